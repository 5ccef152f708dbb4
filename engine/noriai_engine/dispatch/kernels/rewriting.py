"""A batch's outcome in the plans: orders read from them and written to them, by the codes of sheets."""

from noriai_engine.dispatch.kernels.batch import Riders, number_partners, rest_of
from noriai_engine.dispatch.kernels.energy import lasts
from noriai_engine.dispatch.kernels.insertion import DROPOFF, PICKUP, Scratch, first_free, free_from
from noriai_engine.dispatch.kernels.mending import measure, reschedule
from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import IntArray, LongArray, RecordArray
from noriai_engine.roads.kernels.bounds import RoadView


@lean_kernel
def read_order(
    plans: PlanArrays, before: PlanArrays, paths: Paths, vehicle: int, riders: Riders, until: int, now: int,
    rider_permille: int, code: IntArray,
    total: LongArray,
) -> int:  # fmt: skip
    """The order of a plan that was `before` another, as codes; returns how many. total[0] is
    its cost as of `best_order`."""
    base, free = plans.first[vehicle], first_free(before, vehicle)
    tail = plans.count[vehicle] - (before.count[vehicle] - rest_of(before, vehicle, free, until))
    old, used = free + 1, 0
    total[0] = plans.rows[base + tail].leg
    starts = before.rows[before.first[vehicle] + free].done
    if free == 0:
        starts = free_from(before, paths, vehicle, now)
    for row in range(free + 1, tail):
        here = plans.rows[base + row]
        total[0] += here.leg
        if here.kind == DROPOFF:
            total[0] += (here.begin - starts) * rider_permille // 1_000
        k = riders.row_of[here.request] if here.request >= 0 else -1
        if k >= 0:
            code[used] = -1 - 2 * k - (1 if here.kind == DROPOFF else 0)
        else:
            while _belongs(before, vehicle, old, riders):
                old += 1
            code[used] = old
            old += 1
        used += 1
    return used


@lean_kernel
def _belongs(plans: PlanArrays, vehicle: int, row: int, riders: Riders) -> bool:
    """Whether a row is one of the batch's riders."""
    request = plans.rows[plans.first[vehicle] + row].request
    return bool(request >= 0 and riders.row_of[request] >= 0)


@lean_kernel
def write_order(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, riders: Riders, code: IntArray,
    until: int, now: int, spare: RecordArray, s: Scratch,
) -> bool:  # fmt: skip
    """Make this order the vehicle's plan; False where no schedule keeps its limits: then the plan is spoilt.

    The block has room for it, and so has `spare`.
    """
    base, free = plans.first[vehicle], first_free(plans, vehicle)
    tail = rest_of(plans, vehicle, free, until)
    count, trips = plans.count[vehicle], riders.trips
    for k in range(count):
        spare[k] = plans.rows[base + k]
    row = free + 1
    for what in code:
        if what >= 0:
            plans.rows[base + row] = spare[what]
        else:
            k = (-1 - what) >> 1
            here = plans.rows[base + row]
            here.request, here.locked, here.ride_spare = riders.request[k], 0, 0
            if (-1 - what) & 1:
                here.kind, here.state, here.offset = DROPOFF, trips.destination[k], trips.destination_ms[k]
                here.earliest, here.latest = trips.dropoff_earliest[k], trips.dropoff_latest[k]
                here.service, here.ride_limit = trips.alighting[k], trips.max_ride[k]
                here.promised, here.ride_spare = here.latest + trips.dropoff_spare[k], trips.ride_spare[k]
            else:
                here.kind, here.state, here.offset = PICKUP, trips.origin[k], trips.origin_ms[k]
                here.earliest, here.latest = trips.pickup_earliest[k], trips.pickup_latest[k]
                here.service, here.ride_limit = trips.boarding[k], 0
                here.promised = here.latest + trips.pickup_spare[k]
            for r in range(plans.aboard.shape[1]):
                here.load[r] = -trips.demand[k, r] if (-1 - what) & 1 else trips.demand[k, r]
        row += 1
    for k in range(tail, count):
        plans.rows[base + row] = spare[k]
        row += 1
    plans.count[vehicle] = row
    number_partners(plans, vehicle)
    measure(roads, plans, vehicle)
    if not reschedule(fleet, plans, paths, vehicle, now, False, s):
        return False
    return lasts(roads, fleet, plans, paths, vehicle, -1, -1, 0, 0, 0, 0)
