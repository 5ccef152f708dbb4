"""Upkeep of plans: apply an insertion, start the next activity, move positions along their paths."""

from typing import NamedTuple

from noriai_engine.dispatch.kernels.insertion import Rows, Scratch, Wish
from noriai_engine.dispatch.plan_arrays import PlanArrays
from noriai_engine.kernels import kernel
from noriai_engine.model.units import ByteArray, IntArray

PICKUP, DROPOFF = 1, 2


class Paths(NamedTuple):
    """Drives under way: `driving` (V,) 0 or 1, `count` and `at` (V,); `state` and `enter` (V, P) when the start of each
    state is passed (day ms); `target` (V,) the offset on the last state where the drive ends."""

    driving: ByteArray
    count: IntArray  # type: ignore[assignment]  # the design's name; tuple.count is never used
    at: IntArray
    state: IntArray
    enter: IntArray
    target: IntArray


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
def apply_insertion(
    plans: PlanArrays, vehicle: int, request: int, wish: Wish, rows: Rows, i: int, j: int, s: Scratch
) -> None:
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


@kernel
def start_next(plans: PlanArrays, vehicle: int) -> None:
    """Row 1 begins its service now: it becomes the position, free at begin + service.

    The dropoff of a pickup that starts gets its ride limit as a latest begin, since the ride's start is now fixed.
    """
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    free = plans.begin[base + 1] + plans.service[base + 1]
    for r in range(plans.aboard.shape[1]):
        plans.aboard[vehicle, r] += plans.load[base + 1, r]
    state, offset = plans.state[base + 1], plans.offset[base + 1]
    for row in range(2, count):
        if plans.partner[base + row] == 1:
            plans.latest[base + row] = min(plans.latest[base + row], free + plans.ride_limit[base + row])
            plans.partner[base + row] = -1
        elif plans.partner[base + row] > 1:
            plans.partner[base + row] -= 1
        _move_row(plans, base + row, base + row - 1)
    plans.state[base] = state
    plans.offset[base] = offset
    plans.begin[base] = free
    plans.count[vehicle] = count - 1


@kernel
def advance_positions(plans: PlanArrays, paths: Paths, inner: IntArray, now: int) -> None:
    """Move the position of every vehicle under way to where it is at `now`.

    On a street that is a spot along it; in the middle of a turn it is the start of the next street, reached a little
    later. `inner` (k,) is the driving time along each state, 0 for the nodes of a plain graph: there a vehicle's
    position is the next node on its way.
    """
    for vehicle in range(paths.driving.shape[0]):
        if not paths.driving[vehicle]:
            continue
        at = paths.at[vehicle]
        last = paths.count[vehicle] - 1
        while at < last and paths.enter[vehicle, at + 1] <= now:
            at += 1
        ends = paths.target[vehicle] if at == last else inner[paths.state[vehicle, at]]
        offset = max(0, now - paths.enter[vehicle, at])
        if offset > ends:
            if at < last:
                at += 1
                offset = 0
            else:
                offset = ends
        paths.at[vehicle] = at
        base = plans.first[vehicle]
        plans.state[base] = paths.state[vehicle, at]
        plans.offset[base] = offset
        plans.begin[base] = paths.enter[vehicle, at] + offset
        plans.leg[base + 1] = paths.enter[vehicle, last] + paths.target[vehicle] - plans.begin[base]


@kernel
def lock_until(plans: PlanArrays, horizon: int) -> None:
    """Lock every row that begins by `horizon`: its time and what comes before it stand."""
    for vehicle in range(plans.first.shape[0]):
        base = plans.first[vehicle]
        for row in range(base + 1, base + plans.count[vehicle]):
            if plans.begin[row] > horizon:
                break
            if not plans.locked[row]:
                plans.locked[row] = 1
                plans.earliest[row] = plans.begin[row]
                plans.latest[row] = plans.begin[row]
