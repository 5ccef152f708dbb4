"""Days of many thousand requests in one loop: vehicles that keep to their plans, requests answered as they come.

The same search and the same upkeep as behind the Dispatcher, with rows of arrays for requests and events.
"""

from typing import NamedTuple

from noriai_engine.dispatch.kernels.batch import Trips, wide, wish_at
from noriai_engine.dispatch.kernels.insertion import END, NO_COST, Memo, Scratch, Wish, joins
from noriai_engine.dispatch.kernels.meeting import Desk, Spots, best_meeting, fill_direct, wish_with
from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.kernels.search import Found, best_insertions, cheapest
from noriai_engine.dispatch.kernels.upkeep import insert, start_next
from noriai_engine.dispatch.kernels.walking import Walks, near
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import FOREVER_MS, ByteArray, IntArray, LongArray
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.metric import INF
from noriai_engine.roads.kernels.spots import spot_pair

DEPARTED, DIVERTED, ARRIVED = 10, 11, 12
NEVER = FOREVER_MS


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
        if paths.roaming[vehicle]:
            arrives = paths.due[vehicle]
            if arrives > until:
                wake[vehicle] = arrives
                return
            paths.driving[vehicle], paths.roaming[vehicle] = 0, 0
            plans.rows[base].state, plans.rows[base].offset = paths.goal[vehicle], paths.goal_ms[vehicle]
            plans.rows[base].begin = arrives
            plans.rows[base].done = arrives
            plans.rows[following].leg = paths.onward[vehicle]
            _write(journal, plans, base, vehicle, ARRIVED, arrives, arrives)
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
def _take(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, k: int, wish: Wish, i: int,
    j: int, now: int, horizon: int, memo: Memo, s: Scratch, wake: IntArray, journal: Journal, answers: Answers,
) -> bool:  # fmt: skip
    """Request k into a vehicle's plan, which turns to it if it is under way. False where its block of rows is full."""
    answers.vehicle[k] = vehicle
    if plans.count[vehicle] + 2 > plans.room[vehicle]:
        return False
    was_driving, base = paths.driving[vehicle], plans.first[vehicle]
    insert(roads, fleet, plans, paths, vehicle, k, wish, i, j, now, horizon, memo, s)
    answers.pickup[k], answers.dropoff[k] = plans.rows[base + i + 1].begin, plans.rows[base + j + 2].begin
    if was_driving and (i == 0 or paths.roaming[vehicle]):
        paths.count[vehicle], paths.roaming[vehicle] = 0, 0
        _write(journal, plans, base, vehicle, DIVERTED, plans.rows[base].begin, plans.rows[base].begin)
    wake[vehicle] = now
    return True


@lean_kernel
def answer(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, trips: Trips, k: int, horizon_ms: int,
    nobody: IntArray, memo: Memo, s: Scratch, found: Found, wake: IntArray, journal: Journal, answers: Answers,
) -> bool:  # fmt: skip
    """Search for request k and take the best vehicle. False, with nothing done, where its block of rows is full."""
    now = wide(trips.placed[k])
    wish = wish_at(trips, k, nobody)
    memo.question[0] += 1
    best_insertions(roads, fleet, plans, paths, wish, now, now + horizon_ms, memo, s, found)
    cost, vehicle, i, j = cheapest(found)
    answers.vehicle[k], answers.cost[k] = -1, cost
    if vehicle < 0:
        for v in range(found.sieve.shape[0]):
            answers.sieve[k] = max(answers.sieve[k], found.sieve[v])
        return True
    return _take(
        roads, fleet, plans, paths, vehicle, k, wish, i, j, now, now + horizon_ms, memo, s, wake, journal, answers
    )


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


@lean_kernel
def take_turns(
    before: PlanArrays, after: PlanArrays, paths: Paths, changed: IntArray, now: int, wake: IntArray, journal: Journal
) -> None:
    """Vehicles under way whose next row is another one turn to it, or stop where they are if there is none."""
    for vehicle in changed:
        wake[vehicle] = now
        if not paths.driving[vehicle]:
            continue
        old, new = before.rows[before.first[vehicle] + 1], after.rows[after.first[vehicle] + 1]
        if old.request == new.request and old.kind == new.kind:
            continue
        base = after.first[vehicle]
        paths.count[vehicle], paths.roaming[vehicle] = 0, 0
        at = after.rows[base].begin
        if new.kind == END and new.state < 0:
            paths.driving[vehicle] = 0
            _write(journal, after, base, vehicle, ARRIVED, at, at)
        else:
            _write(journal, after, base, vehicle, DIVERTED, at, at)


@lean_kernel
def send(
    roads: RoadView, plans: PlanArrays, paths: Paths, vehicle: int, state: int, offset: int, now: int,
    wake: IntArray, journal: Journal,
) -> bool:  # fmt: skip
    """A vehicle that stands drives to a spot, to wait there; False, and no change, where it stands there already."""
    base = plans.first[vehicle]
    here, onward = plans.rows[base], plans.rows[base + 1]
    leaves = max(now, here.begin)
    drive = spot_pair(roads.labels, roads.states, here.state, here.offset, state, offset)
    if drive <= 0 or drive >= INF:
        return False
    here.begin = here.done = leaves
    _write(journal, plans, base, vehicle, DEPARTED, leaves, leaves)
    paths.driving[vehicle], paths.roaming[vehicle], paths.count[vehicle], paths.located[vehicle] = 1, 1, 0, leaves
    paths.goal[vehicle], paths.goal_ms[vehicle], paths.due[vehicle] = state, offset, leaves + drive
    paths.onward[vehicle] = 0
    if onward.state >= 0:
        paths.onward[vehicle] = spot_pair(roads.labels, roads.states, state, offset, onward.state, onward.offset)
    wake[vehicle] = leaves + drive
    return True


@lean_kernel
def answer_on_foot(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, trips: Trips, k: int, horizon_ms: int,
    permille: int, toward: Walks, back: Walks, longest_ms: int, spots: Spots, desk: Desk, nobody: IntArray, memo: Memo,
    s: Scratch, found: Found, best: LongArray, wake: IntArray, journal: Journal, answers: Answers,
) -> bool:  # fmt: skip
    """`answer` where riders may walk up to `longest_ms` from and to their doors; who walks how far is in `spots`."""
    now = wide(trips.placed[k])
    wish = wish_at(trips, k, nobody)
    memo.question[0] += 1
    boards = near(toward, trips.origin[k], longest_ms, spots.board, spots.board_walk)
    leaves = near(back, trips.destination[k], longest_ms, spots.leave, spots.leave_walk)
    here = Spots(
        spots.board[:boards], spots.board_ms[:boards], spots.board_walk[:boards], spots.leave[:leaves],
        spots.leave_ms[:leaves], spots.leave_walk[:leaves], spots.direct[:boards, :leaves],
    )  # fmt: skip
    fill_direct(roads, here)
    best_meeting(
        roads, fleet, plans, paths, wish, here, now, now + horizon_ms, permille, desk, memo, s, found, best[6:], best
    )
    answers.vehicle[k], answers.cost[k] = -1, best[0]
    if best[0] >= NO_COST:
        return True
    memo.question[0] += 1
    exact = wish_with(wish, here, best[4], best[5])
    return _take(
        roads, fleet, plans, paths, best[1], k, exact, best[2], best[3], now, now + horizon_ms, memo, s, wake, journal,
        answers,
    )  # fmt: skip


@lean_kernel
def roll_on_foot(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, trips: Trips, first: int, last: int,
    horizon_ms: int, permille: int, toward: Walks, back: Walks, longest_ms: int, spots: Spots, desk: Desk,
    nobody: IntArray, memo: Memo, s: Scratch, found: Found, best: LongArray, wake: IntArray, journal: Journal,
    answers: Answers,
) -> int:  # fmt: skip
    """`roll` where riders may walk."""
    for k in range(first, last):
        play_all(fleet, plans, paths, trips.placed[k], wake, journal)
        if not answer_on_foot(
            roads, fleet, plans, paths, trips, k, horizon_ms, permille, toward, back, longest_ms, spots, desk, nobody,
            memo, s, found, best, wake, journal, answers,
        ):  # fmt: skip
            return k
    return last
