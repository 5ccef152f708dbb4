"""Upkeep of plans: apply an insertion, start the next activity, lock what is near."""

from noriai_engine.dispatch.kernels.insertion import Memo, Scratch, Wish, first_free, free_from, schedule_insertion
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import kernel
from noriai_engine.roads.kernels.bounds import RoadView

PICKUP, DROPOFF = 1, 2


@kernel
def _move_row(plans: PlanArrays, source: int, target: int) -> None:
    plans.state[target] = plans.state[source]
    plans.offset[target] = plans.offset[source]
    plans.kind[target] = plans.kind[source]
    plans.request[target] = plans.request[source]
    plans.earliest[target] = plans.earliest[source]
    plans.latest[target] = plans.latest[source]
    plans.begin[target] = plans.begin[source]
    plans.service[target] = plans.service[source]
    plans.done[target] = plans.done[source]
    plans.leg[target] = plans.leg[source]
    plans.partner[target] = plans.partner[source]
    plans.ride_limit[target] = plans.ride_limit[source]
    plans.locked[target] = plans.locked[source]
    for r in range(plans.load.shape[1]):
        plans.load[target, r] = plans.load[source, r]


@kernel
def _write_row(
    plans: PlanArrays, row: int, kind: int, spot: tuple[int, int], request: int, window: tuple[int, int], service: int
) -> None:
    plans.kind[row] = kind
    plans.state[row] = spot[0]
    plans.offset[row] = spot[1]
    plans.request[row] = request
    plans.earliest[row] = window[0]
    plans.latest[row] = window[1]
    plans.service[row] = service
    plans.locked[row] = 0


@kernel
def apply_insertion(plans: PlanArrays, vehicle: int, request: int, wish: Wish, i: int, j: int, s: Scratch) -> None:
    """Write pickup and dropoff into the plan. `s` holds the schedule of `schedule_insertion` for the same i, j."""
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    for row in range(count - 1, j, -1):
        _move_row(plans, base + row, base + row + 2)
    for row in range(j, i, -1):
        _move_row(plans, base + row, base + row + 1)
    pickup, dropoff = i + 1, j + 2
    _write_row(
        plans,
        base + pickup,
        PICKUP,
        (wish.origin, wish.origin_ms),
        request,
        (wish.pickup_earliest, wish.pickup_latest),
        wish.boarding,
    )
    _write_row(
        plans, base + dropoff, DROPOFF, (wish.destination, wish.destination_ms), request,
        (wish.dropoff_earliest, wish.dropoff_latest), wish.alighting,
    )  # fmt: skip
    for r in range(plans.load.shape[1]):
        plans.load[base + pickup, r] = wish.demand[r]
        plans.load[base + dropoff, r] = -wish.demand[r]
    plans.count[vehicle] = count + 2
    for k in range(1, count + 2):
        plans.leg[base + k] = s.leg[k]
        plans.partner[base + k] = s.partner[k]
        plans.ride_limit[base + k] = s.ride_limit[k]
        plans.begin[base + k] = s.begin[k]
        plans.done[base + k] = s.done[k]


@kernel
def start_next(plans: PlanArrays, vehicle: int) -> None:
    """Row 1 begins its service now: it becomes the position, free at begin + service.

    The dropoff of a pickup that starts gets its ride limit as a latest begin, since the ride's start is now fixed.
    """
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    boarded = plans.begin[base + 1] + plans.service[base + 1]
    free = plans.done[base + 1]
    for r in range(plans.aboard.shape[1]):
        plans.aboard[vehicle, r] += plans.load[base + 1, r]
    state, offset = plans.state[base + 1], plans.offset[base + 1]
    for row in range(2, count):
        if plans.partner[base + row] == 1:
            plans.latest[base + row] = min(plans.latest[base + row], boarded + plans.ride_limit[base + row])
            plans.partner[base + row] = -1
        elif plans.partner[base + row] > 1:
            plans.partner[base + row] -= 1
        _move_row(plans, base + row, base + row - 1)
    plans.state[base] = state
    plans.offset[base] = offset
    plans.begin[base] = free
    plans.done[base] = free
    plans.count[vehicle] = count - 1


@kernel
def lock_until(plans: PlanArrays, vehicle: int, horizon: int) -> None:
    """Lock every row that begins by `horizon`: its time and what comes before it stand."""
    base = plans.first[vehicle]
    for row in range(base + 1, base + plans.count[vehicle]):
        if plans.begin[row] > horizon:
            break
        if not plans.locked[row]:
            plans.locked[row] = 1
            plans.earliest[row] = plans.begin[row]
            plans.latest[row] = plans.begin[row]


@kernel
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
    memo.known[base : base + plans.count[vehicle]] = 0
    start = free_from(plans, paths, vehicle, now)
    if not schedule_insertion(roads, fleet, plans, vehicle, wish, memo, i, j, start, s):
        return False
    apply_insertion(plans, vehicle, request, wish, i, j, s)
    return True
