"""A batch's riders: taken out of the plans they are in, with the limits promised to them, and who could carry them."""

from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    DROPOFF,
    NO_COST,
    PICKUP,
    Memo,
    Scratch,
    Wish,
    copy_row,
    earliest_schedule,
    first_free,
    free_from,
)
from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.kernels.search import Found, best_insertions, cheapest
from noriai_engine.dispatch.kernels.upkeep import insert
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import ByteArray, IntArray, LongArray, SmallArray
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.spots import spot_pair


class Trips(NamedTuple):
    """Requests (r,) in order of `placed` (day ms), with the fields of Wish; `demand` (r, R)."""

    placed: IntArray
    origin: IntArray
    origin_ms: IntArray
    destination: IntArray
    destination_ms: IntArray
    pickup_earliest: IntArray
    pickup_latest: IntArray
    dropoff_earliest: IntArray
    dropoff_latest: IntArray
    boarding: IntArray
    alighting: IntArray
    max_ride: IntArray
    direct: IntArray
    demand: SmallArray
    needs: LongArray
    operator: IntArray
    pickup_spare: IntArray
    dropoff_spare: IntArray
    ride_spare: IntArray


class Riders(NamedTuple):
    """Riders of a batch (k,): `trips` with their limits; `home`, the vehicle of those accepted, -1 for those who wait
    for an answer; `request`, the number by which plans name them. `row_of` (requests,) is their row here, -1 for all
    others. Requests whose riders each must not meet: `shunned` (a,), from `first_shunned` (k + 1,)."""

    trips: Trips
    home: IntArray
    request: IntArray
    row_of: IntArray
    first_shunned: IntArray
    shunned: IntArray


class Edges(NamedTuple):
    """Who could carry whom (e,): `rider` and `vehicle`; `used` (1,)."""

    used: LongArray
    rider: IntArray
    vehicle: IntArray


@lean_kernel
def wide(number: int) -> int:
    """An int64."""
    wide: int = np.int64(number)  # type: ignore[assignment]  # as numba has it
    return wide


@lean_kernel
def wish_at(trips: Trips, k: int, shunned: IntArray) -> Wish:
    """A row of the table as a wish, in the very types the Dispatcher's wishes have: one compilation serves both."""
    return Wish(
        wide(trips.origin[k]), wide(trips.origin_ms[k]), wide(trips.destination[k]),
        wide(trips.destination_ms[k]), wide(trips.pickup_earliest[k]), wide(trips.pickup_latest[k]),
        wide(trips.dropoff_earliest[k]), wide(trips.dropoff_latest[k]), wide(trips.boarding[k]),
        wide(trips.alighting[k]), wide(trips.max_ride[k]), wide(trips.direct[k]), trips.demand[k],
        trips.needs[k], wide(trips.operator[k]), shunned, wide(trips.pickup_spare[k]),
        wide(trips.dropoff_spare[k]), wide(trips.ride_spare[k]),
    )  # fmt: skip


@lean_kernel
def rest_of(plans: PlanArrays, vehicle: int, free: int, until: int) -> int:
    """The row where a plan's rest begins: the first after `free` that begins later than `until` with nobody aboard."""
    base, last = plans.first[vehicle], plans.count[vehicle] - 1
    riding = 0
    for r in range(plans.aboard.shape[1]):
        riding += plans.aboard[vehicle, r]
    for k in range(1, last):
        if k > free and riding == 0 and plans.rows[base + k].begin > until:
            return int(k)
        for r in range(plans.aboard.shape[1]):
            riding += plans.rows[base + k].load[r]
    return int(last)


@lean_kernel
def movable(
    plans: PlanArrays, vehicle: int, now: int, freeze_ms: int, until: int, pinned: ByteArray, out: IntArray, used: int
) -> int:
    """Requests of a plan that may still change vehicles, from out[used] on; returns how many are in `out` now.

    They begin to board `freeze_ms` or more from now, and before the plan's rest; `pinned` (requests,) are not asked.
    """
    base, free = plans.first[vehicle], first_free(plans, vehicle)
    for k in range(free + 1, rest_of(plans, vehicle, free, until)):
        row = plans.rows[base + k]
        if row.kind == PICKUP and row.begin >= now + freeze_ms and not pinned[row.request]:
            out[used] = row.request
            used += 1
    return used


@lean_kernel
def read_limits(roads: RoadView, plans: PlanArrays, vehicle: int, riders: Riders) -> None:
    """The limits of a plan's riders as its rows have them, into the table; what they need is not in a plan."""
    base = plans.first[vehicle]
    trips = riders.trips
    for row in range(base + 1, base + plans.count[vehicle]):
        on = plans.rows[row]
        if on.kind != PICKUP or riders.row_of[on.request] < 0:
            continue
        k = riders.row_of[on.request]
        trips.origin[k], trips.origin_ms[k] = on.state, on.offset
        trips.pickup_earliest[k], trips.pickup_latest[k], trips.boarding[k] = on.earliest, on.latest, on.service
        trips.pickup_spare[k] = on.promised - on.latest
        for other in range(row + 1, base + plans.count[vehicle]):
            off = plans.rows[other]
            if off.kind == DROPOFF and off.request == on.request:
                trips.destination[k], trips.destination_ms[k] = off.state, off.offset
                trips.dropoff_earliest[k], trips.dropoff_latest[k] = off.earliest, off.latest
                trips.alighting[k], trips.max_ride[k] = off.service, off.ride_limit
                trips.dropoff_spare[k], trips.ride_spare[k] = off.promised - off.latest, off.ride_spare
                trips.direct[k] = spot_pair(
                    roads.labels, roads.states, on.state, on.offset, off.state, off.offset
                )  # fmt: skip
        for r in range(trips.demand.shape[1]):
            trips.demand[k, r] = on.load[r]


@lean_kernel
def strip(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, row_of: IntArray, now: int,
    s: Scratch,
) -> bool:  # fmt: skip
    """Take the batch's riders out of a plan and work out its times; False where what stays is late already."""
    base, count, kept = plans.first[vehicle], plans.count[vehicle], 1
    for k in range(1, count):
        row = plans.rows[base + k]
        if row.request >= 0 and row_of[row.request] >= 0:
            continue
        if kept < k:
            plans.rows[base + kept] = plans.rows[base + k]
        kept += 1
    if kept < count:
        plans.count[vehicle] = kept
        for k in range(1, kept):
            row, before = plans.rows[base + k], plans.rows[base + k - 1]
            row.leg = 0
            if row.state >= 0:
                row.leg = spot_pair(roads.labels, roads.states, before.state, before.offset, row.state, row.offset)
        number_partners(plans, vehicle)
    for k in range(1, kept):
        copy_row(plans, fleet, base + k, plans.rows[base + k].partner, s, k)
    if not earliest_schedule(kept, free_from(plans, paths, vehicle, now), s):
        return False
    for k in range(1, kept):
        plans.rows[base + k].begin, plans.rows[base + k].done = s.rows[k].begin, s.rows[k].done
    return True


@lean_kernel
def number_partners(plans: PlanArrays, vehicle: int) -> None:
    """`partner` of every dropoff: the row of its pickup, -1 where the rider is aboard."""
    base = plans.first[vehicle]
    for k in range(1, plans.count[vehicle]):
        plans.rows[base + k].partner = -1
        if plans.rows[base + k].kind == DROPOFF:
            for other in range(1, k):
                before = plans.rows[base + other]
                if before.kind == PICKUP and before.request == plans.rows[base + k].request:
                    plans.rows[base + k].partner = other


@lean_kernel
def edges(
    roads: RoadView, fleet: FleetArrays, stripped: PlanArrays, paths: Paths, riders: Riders, now: int, memo: Memo,
    s: Scratch, found: Found, out: Edges,
) -> None:  # fmt: skip
    """For every rider the vehicles that could carry them at least cost, of every operator as many as `found` keeps,
    beside what stays with the vehicle. Exact, by the insertion of online requests."""
    for k in range(riders.home.shape[0]):
        shunned = riders.shunned[riders.first_shunned[k] : riders.first_shunned[k + 1]]
        wish = wish_at(riders.trips, k, shunned)
        memo.question[0] += 1
        best_insertions(roads, fleet, stripped, paths, wish, now, -1, memo, s, found)
        for operator in range(found.cost.shape[0]):
            for place in range(found.cost.shape[1]):
                if found.cost[operator, place] >= NO_COST:
                    break
                e = out.used[0]
                out.used[0] += 1
                out.rider[e], out.vehicle[e] = k, found.vehicle[operator, place]


@lean_kernel
def place_one_by_one(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, riders: Riders, first: int, now: int,
    horizon: int, memo: Memo, s: Scratch, found: Found,
) -> int:  # fmt: skip
    """Insert who waits, from row `first` on, one after another where it costs the least added driving; `home` becomes
    the vehicle. Returns the first whose vehicle (then `home`) has no room for two rows more; the count when done."""
    for k in range(first, riders.home.shape[0]):
        shunned = riders.shunned[riders.first_shunned[k] : riders.first_shunned[k + 1]]
        wish = wish_at(riders.trips, k, shunned)
        memo.question[0] += 1
        best_insertions(roads, fleet, plans, paths, wish, now, horizon, memo, s, found)
        _, vehicle, i, j = cheapest(found)
        riders.home[k] = vehicle
        if vehicle < 0:
            continue
        if plans.count[vehicle] + 2 > plans.room[vehicle]:
            return k
        insert(roads, fleet, plans, paths, vehicle, riders.request[k], wish, i, j, now, horizon, memo, s)
    return int(riders.home.shape[0])
