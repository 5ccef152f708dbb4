"""Upkeep of plans: apply an insertion, start the next activity, lock what is near."""

from noriai_engine.dispatch.kernels.energy import lasts
from noriai_engine.dispatch.kernels.insertion import Memo, Scratch, Wish, first_free, free_from, schedule_insertion
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.roads.kernels.bounds import RoadView

PICKUP, DROPOFF = 1, 2


@inlined_kernel
def _write_row(
    plans: PlanArrays, row: int, kind: int, spot: tuple[int, int], request: int, window: tuple[int, int, int],
    service: int, ride_spare: int,
) -> None:  # fmt: skip
    plans.rows[row].kind = kind
    plans.rows[row].state = spot[0]
    plans.rows[row].offset = spot[1]
    plans.rows[row].request = request
    plans.rows[row].earliest = window[0]
    plans.rows[row].latest = window[1]
    plans.rows[row].promised = window[1] + window[2]
    plans.rows[row].ride_spare = ride_spare
    plans.rows[row].service = service
    plans.rows[row].locked = 0


@lean_kernel
def apply_insertion(plans: PlanArrays, vehicle: int, request: int, wish: Wish, i: int, j: int, s: Scratch) -> None:
    """Write pickup and dropoff into the plan. `s` holds the schedule of `schedule_insertion` for the same i, j."""
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    for row in range(count - 1, j, -1):
        plans.rows[base + row + 2] = plans.rows[base + row]
    for row in range(j, i, -1):
        plans.rows[base + row + 1] = plans.rows[base + row]
    pickup, dropoff = i + 1, j + 2
    _write_row(
        plans, base + pickup, PICKUP, (wish.origin, wish.origin_ms), request,
        (wish.pickup_earliest, wish.pickup_latest, wish.pickup_spare), wish.boarding, 0,
    )  # fmt: skip
    _write_row(
        plans, base + dropoff, DROPOFF, (wish.destination, wish.destination_ms), request,
        (wish.dropoff_earliest, wish.dropoff_latest, wish.dropoff_spare), wish.alighting, wish.ride_spare,
    )  # fmt: skip
    for r in range(plans.aboard.shape[1]):
        plans.rows[base + pickup].load[r] = wish.demand[r]
        plans.rows[base + dropoff].load[r] = -wish.demand[r]
    plans.count[vehicle] = count + 2
    for k in range(1, count + 2):
        plans.rows[base + k].leg = s.rows[k].leg
        plans.rows[base + k].partner = s.rows[k].partner
        plans.rows[base + k].ride_limit = s.rows[k].ride_limit
        plans.rows[base + k].begin = s.rows[k].begin
        plans.rows[base + k].done = s.rows[k].done


@inlined_kernel
def start_next(plans: PlanArrays, vehicle: int) -> None:
    """Row 1 begins its service now: it becomes the position, free at begin + service.

    The dropoff of a pickup that starts gets its ride limit as a latest begin, since the ride's start is now fixed.
    """
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    boarded = plans.rows[base + 1].begin + plans.rows[base + 1].service
    free = plans.rows[base + 1].done
    for r in range(plans.aboard.shape[1]):
        plans.aboard[vehicle, r] += plans.rows[base + 1].load[r]
    state, offset = plans.rows[base + 1].state, plans.rows[base + 1].offset
    for k in range(2, count):
        row = plans.rows[base + k]
        if row.partner == 1:
            row.latest = min(row.latest, boarded + row.ride_limit)
            row.promised = min(row.promised, boarded + row.ride_limit + row.ride_spare)
            row.partner = -1
        elif row.partner > 1:
            row.partner -= 1
        plans.rows[base + k - 1] = plans.rows[base + k]
    plans.rows[base].state = state
    plans.rows[base].offset = offset
    plans.rows[base].begin = free
    plans.rows[base].done = free
    plans.count[vehicle] = count - 1


@inlined_kernel
def lock_until(plans: PlanArrays, vehicle: int, horizon: int) -> None:
    """Lock every row that begins by `horizon`: its time and what comes before it stand."""
    base = plans.first[vehicle]
    for row in range(base + 1, base + plans.count[vehicle]):
        if plans.rows[row].begin > horizon:
            break
        if not plans.rows[row].locked:
            plans.rows[row].locked = 1
            plans.rows[row].earliest = plans.rows[row].begin
            plans.rows[row].latest = plans.rows[row].begin


@lean_kernel
def insert(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, request: int, wish: Wish,
    i: int, j: int, now: int, horizon: int, memo: Memo, s: Scratch,
) -> bool:  # fmt: skip
    """Insert a request into a plan as it stands at `now`; False, and no change but what time brings, where it is
    infeasible. The block must have room for two rows more, and `memo` must be asked a new question."""
    locate(roads, plans, paths, vehicle, now)
    lock_until(plans, vehicle, horizon)
    if i < first_free(plans, vehicle):
        return False
    base = plans.first[vehicle]
    memo.asked[vehicle] = memo.question[0]
    for row in range(base, base + plans.count[vehicle]):
        memo.rows[row].known = 0
    start = free_from(plans, paths, vehicle, now)
    if not schedule_insertion(roads, fleet, plans, vehicle, wish, memo, i, j, start, s):
        return False
    if not lasts(
        roads, fleet, plans, paths, vehicle, i, j, wish.origin, wish.origin_ms, wish.destination, wish.destination_ms
    ):
        return False
    apply_insertion(plans, vehicle, request, wish, i, j, s)
    return True
