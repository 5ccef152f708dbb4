"""Days of many thousand requests in one loop: vehicles that keep to their plans, requests answered as they come.

The same search and the same upkeep as behind the Dispatcher, with rows of arrays for requests and events.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    END,
    NO_COST,
    Memo,
    Scratch,
    Wish,
    joins,
)
from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.kernels.search import Found, best_insertions
from noriai_engine.dispatch.kernels.upkeep import insert, start_next
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import FOREVER_MS, ByteArray, IntArray, LongArray, SmallArray
from noriai_engine.roads.kernels.bounds import RoadView

DEPARTED, DIVERTED, ARRIVED = 10, 11, 12
NEVER = FOREVER_MS


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


class Answers(NamedTuple):
    """Of each request (r,): the `vehicle` that took it (-1 none), added driving `cost`, the planned pickup and dropoff,
    and the furthest sieve where nobody could."""

    vehicle: IntArray
    cost: LongArray
    pickup: IntArray
    dropoff: IntArray
    sieve: ByteArray


class Journal(NamedTuple):
    """What vehicles did (e,): `time`, `kind` (of activity, or DEPARTED, DIVERTED, ARRIVED), vehicle, request, spot,
    and `done`, when an activity ends. `used` (1,) rows are written."""

    used: LongArray
    time: IntArray
    kind: ByteArray
    vehicle: IntArray
    request: IntArray
    state: IntArray
    offset: IntArray
    done: IntArray


@lean_kernel
def _write(journal: Journal, plans: PlanArrays, row: int, vehicle: int, kind: int, time: int, done: int) -> None:
    k = journal.used[0]
    journal.used[0] += 1
    journal.time[k], journal.kind[k], journal.vehicle[k] = time, kind, vehicle
    journal.request[k] = plans.rows[row].request
    journal.state[k], journal.offset[k], journal.done[k] = plans.rows[row].state, plans.rows[row].offset, done


@lean_kernel
def play(
    fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, until: int, wake: IntArray, journal: Journal
) -> None:
    """The vehicle carries out its plan up to and including `until`; `wake` (V,) is when it acts next."""
    base = plans.first[vehicle]
    while plans.count[vehicle] > 1:
        following = base + 1
        if paths.driving[vehicle]:
            arrives = plans.rows[base].begin + plans.rows[following].leg
            if arrives > until:
                wake[vehicle] = arrives
                return
            paths.driving[vehicle] = 0
            plans.rows[base].state, plans.rows[base].offset = plans.rows[following].state, plans.rows[following].offset
            plans.rows[base].begin = arrives
            plans.rows[base].done = arrives
            plans.rows[following].leg = 0
            _write(journal, plans, base, vehicle, ARRIVED, arrives, arrives)
        leaves = max(plans.rows[following].begin - plans.rows[following].leg, plans.rows[base].begin)
        if plans.rows[following].kind == END and plans.rows[following].state < 0:
            leaves = plans.rows[following].begin
        if leaves > until:
            wake[vehicle] = leaves
            return
        if plans.rows[following].leg == 0:
            while True:
                begin, kind = plans.rows[following].begin, plans.rows[following].kind
                together = plans.count[vehicle] > 2 and joins(plans, fleet, following, following + 1)
                together = together and plans.rows[following + 1].begin == begin
                _write(journal, plans, following, vehicle, kind, begin, plans.rows[following].done)
                start_next(plans, vehicle)
                if not together:
                    break
        else:
            _write(journal, plans, base, vehicle, DEPARTED, leaves, leaves)
            paths.driving[vehicle], paths.count[vehicle], paths.located[vehicle] = 1, 0, leaves
            plans.rows[base].begin = leaves
            plans.rows[base].done = leaves
    wake[vehicle] = NEVER


@lean_kernel
def play_all(fleet: FleetArrays, plans: PlanArrays, paths: Paths, until: int, wake: IntArray, journal: Journal) -> None:
    """Every vehicle acts up to `until`."""
    for vehicle in range(wake.shape[0]):
        if wake[vehicle] <= until:
            play(fleet, plans, paths, vehicle, until, wake, journal)


@lean_kernel
def _wide(number: int) -> int:
    """An int64."""
    wide: int = np.int64(number)  # type: ignore[assignment]  # as numba has it
    return wide


@lean_kernel
def wish_at(trips: Trips, k: int, nobody: IntArray) -> Wish:
    """A row of the table as a wish, in the very types the Dispatcher's wishes have: one compilation serves both."""
    return Wish(
        _wide(trips.origin[k]), _wide(trips.origin_ms[k]), _wide(trips.destination[k]),
        _wide(trips.destination_ms[k]), _wide(trips.pickup_earliest[k]), _wide(trips.pickup_latest[k]),
        _wide(trips.dropoff_earliest[k]), _wide(trips.dropoff_latest[k]), _wide(trips.boarding[k]),
        _wide(trips.alighting[k]), _wide(trips.max_ride[k]), _wide(trips.direct[k]), trips.demand[k],
        trips.needs[k], _wide(trips.operator[k]), nobody,
    )  # fmt: skip


@lean_kernel
def answer(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, trips: Trips, k: int, horizon_ms: int,
    nobody: IntArray, memo: Memo, s: Scratch, found: Found, wake: IntArray, journal: Journal, answers: Answers,
) -> bool:  # fmt: skip
    """Search for request k and take the best vehicle. False, with nothing done, where its block of rows is full."""
    now = _wide(trips.placed[k])
    wish = wish_at(trips, k, nobody)
    memo.question[0] += 1
    best_insertions(roads, fleet, plans, paths, wish, now, now + horizon_ms, memo, s, found)
    cost, vehicle, i, j = NO_COST, _wide(-1), _wide(0), _wide(0)
    for operator in range(found.cost.shape[0]):
        other = _wide(found.vehicle[operator, 0])
        if found.cost[operator, 0] < cost or (found.cost[operator, 0] == cost and cost < NO_COST and other < vehicle):
            cost, vehicle = found.cost[operator, 0], other
            i, j = _wide(found.after_pickup[operator, 0]), _wide(found.after_dropoff[operator, 0])
    answers.vehicle[k], answers.cost[k] = -1, cost
    if vehicle < 0:
        for v in range(found.sieve.shape[0]):
            answers.sieve[k] = max(answers.sieve[k], found.sieve[v])
        return True
    if plans.count[vehicle] + 2 > plans.room[vehicle]:
        answers.vehicle[k] = vehicle
        return False
    was_driving, base = paths.driving[vehicle], plans.first[vehicle]
    insert(roads, fleet, plans, paths, vehicle, k, wish, i, j, now, now + horizon_ms, memo, s)
    answers.vehicle[k] = vehicle
    answers.pickup[k], answers.dropoff[k] = plans.rows[base + i + 1].begin, plans.rows[base + j + 2].begin
    if was_driving and i == 0:
        paths.count[vehicle] = 0
        _write(journal, plans, base, vehicle, DIVERTED, plans.rows[base].begin, plans.rows[base].begin)
    wake[vehicle] = now
    return True


@lean_kernel
def roll(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, trips: Trips, first: int, last: int,
    horizon_ms: int, memo: Memo, s: Scratch, found: Found, wake: IntArray, journal: Journal, answers: Answers,
    nobody: IntArray,
) -> int:  # fmt: skip
    """Answer requests first .. last - 1, the vehicles moving meanwhile; returns the first that needs more room."""
    for k in range(first, last):
        play_all(fleet, plans, paths, trips.placed[k], wake, journal)
        if not answer(roads, fleet, plans, paths, trips, k, horizon_ms, nobody, memo, s, found, wake, journal, answers):
            return k
    return last
