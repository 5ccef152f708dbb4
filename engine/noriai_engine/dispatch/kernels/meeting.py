"""The best insertion where riders may walk: up to some spots to board at, and some to leave at, tried together.

Exact over all pairs of spots and places in all plans (KaRRi, Laupichler & Sanders 2024, asks the same question): what
a pickup adds and what a dropoff adds are bounded apart, looked up where they may matter, and put together. The cost is
driving and what the walk weighs; ties go to the lower vehicle, then the earlier rows, then the earlier spots.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.batch import wide
from noriai_engine.dispatch.kernels.insertion import (
    BREAK,
    NO_COST,
    Memo,
    Scratch,
    Wish,
    first_free,
    fits,
    free_from,
    joins,
    latest_begins,
    rides_with,
    schedule_insertion,
)
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.kernels.search import Found, is_eligible, pop, push
from noriai_engine.dispatch.kernels.upkeep import lock_until
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.bounds import RoadView, at_least_from, at_least_to
from noriai_engine.roads.kernels.spots import spot_pair

MOST_SPOTS = 32
MOST_ROWS = 256


class Spots(NamedTuple):
    """Where a rider may board (p,) and leave (d,): state, offset, ms of walking from or to the door; ms `direct` (p, d)
    between them. The first of each is the door, with no walk. Where both are one place there is no ride."""

    board: IntArray
    board_ms: IntArray
    board_walk: IntArray
    leave: IntArray
    leave_ms: IntArray
    leave_walk: IntArray
    direct: IntArray


class Desk(NamedTuple):
    """Times between one plan's rows and spots, -1 unknown: to and from boarding, to and from leaving (rows, spots)."""

    to_board: IntArray
    from_board: IntArray
    to_leave: IntArray
    from_leave: IntArray


def desk_for() -> Desk:
    tables = np.zeros((4, MOST_ROWS, MOST_SPOTS), np.int32)
    return Desk(tables[0], tables[1], tables[2], tables[3])


@lean_kernel
def fill_direct(roads: RoadView, spots: Spots) -> None:
    for p in range(spots.board.shape[0]):
        for d in range(spots.leave.shape[0]):
            spots.direct[p, d] = spot_pair(
                roads.labels, roads.states, spots.board[p], spots.board_ms[p], spots.leave[d], spots.leave_ms[d]
            )


@inlined_kernel
def wish_with(wish: Wish, spots: Spots, p: int, d: int) -> Wish:
    """The same limits where the rider boards at spot p and leaves at spot d: walks are inside wait and trip."""
    return Wish(
        wide(spots.board[p]), wide(spots.board_ms[p]), wide(spots.leave[d]), wide(spots.leave_ms[d]),
        wide(wish.pickup_earliest + spots.board_walk[p]), wish.pickup_latest,
        wide(wish.dropoff_earliest - spots.leave_walk[d]), wide(wish.dropoff_latest - spots.leave_walk[d]),
        wish.boarding, wish.alighting, wish.max_ride, wide(spots.direct[p, d]), wish.demand, wish.needs,
        wish.operator, wish.apart, wish.pickup_spare, wish.dropoff_spare, wish.ride_spare,
    )  # fmt: skip


@inlined_kernel
def _to(roads: RoadView, plans: PlanArrays, table: IntArray, k: int, row: int, n: int, state: int, offset: int) -> int:
    if table[k, n] < 0:
        table[k, n] = spot_pair(
            roads.labels, roads.states, plans.rows[row].state, plans.rows[row].offset, state, offset
        )
    return int(table[k, n])


@inlined_kernel
def _from(
    roads: RoadView, plans: PlanArrays, table: IntArray, k: int, row: int, n: int, state: int, offset: int
) -> int:
    if plans.rows[row].state < 0:
        return 0
    if table[k, n] < 0:
        table[k, n] = spot_pair(
            roads.labels, roads.states, state, offset, plans.rows[row].state, plans.rows[row].offset
        )
    return int(table[k, n])


@inlined_kernel
def _at(fleet: FleetArrays, plans: PlanArrays, row: int, state: int, offset: int) -> bool:
    """Parties board and leave together at a row's stop, and this is the stop."""
    here = plans.rows[row]
    return bool(fleet.together == 1 and 0 < here.kind < BREAK and here.state == state and here.offset == offset)


@inlined_kernel
def _least_for(
    roads: RoadView, plans: PlanArrays, paths: Paths, fleet: FleetArrays, vehicle: int, wish: Wish, spots: Spots,
    now: int, permille: int, least_direct: int, around: int,
) -> int:  # fmt: skip
    """A lower bound of the cost of any insertion in time for any pickup; -1 where there is none. No spot to board at is
    more than `around` ms of driving from the door: one look-up a row tells most vehicles apart."""
    base, last = plans.first[vehicle], plans.count[vehicle] - 1
    possible = False
    for k in range(first_free(plans, vehicle), last):
        here = plans.rows[base + k]
        leaves = here.begin if fleet.together else here.done
        if k == 0:
            leaves = free_from(plans, paths, vehicle, now)
        if leaves > wish.pickup_latest:
            break
        low = at_least_to(roads, here.state, here.offset, wish.origin, wish.origin_ms) - around
        if leaves + max(low, 0) <= wish.pickup_latest:
            possible = True
            break
    if not possible:
        return -1
    best_pick, best_drop, best_both = NO_COST, NO_COST, NO_COST
    for k in range(last - 1, first_free(plans, vehicle) - 1, -1):
        here, onward = plans.rows[base + k], plans.rows[base + k + 1]
        leaves = here.begin if fleet.together else here.done
        if k == 0:
            leaves = free_from(plans, paths, vehicle, now)
        drop_after = best_drop
        for d in range(spots.leave.shape[0]):
            low = at_least_to(roads, here.state, here.offset, spots.leave[d], spots.leave_ms[d]) - onward.leg
            low += at_least_from(roads, spots.leave[d], spots.leave_ms[d], onward.state, onward.offset)
            best_drop = min(best_drop, max(low, 0) + spots.leave_walk[d] * permille // 1_000)
        if leaves > wish.pickup_latest:
            continue
        for p in range(spots.board.shape[0]):
            low = at_least_to(roads, here.state, here.offset, spots.board[p], spots.board_ms[p])
            if leaves + low > wish.pickup_latest:
                continue
            walk = spots.board_walk[p] * permille // 1_000
            best_both = min(best_both, max(low + least_direct - onward.leg, 0) + walk)
            if drop_after < NO_COST:
                back = at_least_from(roads, spots.board[p], spots.board_ms[p], onward.state, onward.offset)
                best_pick = min(best_pick, max(low + back - onward.leg, 0) + walk + drop_after)
    least = min(best_pick, best_both)
    return int(least) if least < NO_COST else -1


@lean_kernel
def best_meeting_in_plan(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, wish: Wish, spots: Spots,
    now: int, permille: int, limit: int, desk: Desk, memo: Memo, s: Scratch, best: LongArray,
) -> None:  # fmt: skip
    """Best insertion into one plan that costs at most `limit`: best[0] its cost (NO_COST if there is none), best[1] and
    best[2] the rows to insert after, best[3] and best[4] the spots. A plan of more than MOST_ROWS rows gets none."""
    base, count = plans.first[vehicle], plans.count[vehicle]
    best[0] = NO_COST
    if count > MOST_ROWS:
        return
    locate(roads, plans, paths, vehicle, now)
    latest_begins(plans, fleet, vehicle, s)
    free = first_free(plans, vehicle)
    boards, leaves_at = spots.board.shape[0], spots.leave.shape[0]
    for k in range(free, count):
        for p in range(boards):
            desk.to_board[k, p], desk.from_board[k, p] = -1, -1
        for d in range(leaves_at):
            desk.to_leave[k, d], desk.from_leave[k, d] = -1, -1
    load, start = s.load, free_from(plans, paths, vehicle, now)
    for r in range(load.shape[0]):
        load[r] = plans.aboard[vehicle, r]
    for k in range(1, free + 1):
        for r in range(load.shape[0]):
            load[r] += plans.rows[base + k].load[r]
    for i in range(free, count - 1):
        if i > free:
            for r in range(load.shape[0]):
                load[r] += plans.rows[base + i].load[r]
        row_i = base + i
        here, onward = plans.rows[row_i], plans.rows[row_i + 1]
        if not fits(load, wish.demand, fleet, vehicle):
            continue
        for p in range(boards):
            state, offset = spots.board[p], spots.board_ms[p]
            walk_p = spots.board_walk[p] * permille // 1_000
            leaves = start if i == 0 else here.done
            if i > 0 and _at(fleet, plans, row_i, state, offset):
                leaves = here.begin
            low = at_least_to(roads, here.state, here.offset, state, offset)
            earliest = wish.pickup_earliest + spots.board_walk[p]
            if leaves + low > wish.pickup_latest or earliest > wish.pickup_latest:
                continue
            to_p = _to(roads, plans, desk.to_board, i, row_i, p, state, offset)
            if leaves + to_p > wish.pickup_latest:
                continue
            begin_p = max(leaves + to_p, earliest)
            reaches, began = begin_p + wish.boarding, begin_p
            cost_p = to_p - onward.leg + walk_p
            for r in range(load.shape[0]):
                s.riding[r] = load[r]
            for j in range(i, count - 1):
                row_j = base + j
                stop, after = plans.rows[row_j], plans.rows[row_j + 1]
                if j > i:
                    if stop.kind == BREAK:
                        break
                    if j == i + 1:
                        from_p = _from(roads, plans, desk.from_board, j, row_j, p, state, offset)
                        cost_p += from_p
                        arrives = began if _at(fleet, plans, row_j, state, offset) else reaches + from_p
                    else:
                        arrives = began if joins(plans, fleet, row_j - 1, row_j) else reaches + stop.leg
                    begin = max(arrives, stop.begin)
                    if begin > s.rows[j].late or cost_p > limit or cost_p >= best[0]:
                        break
                    began, reaches = begin, max(begin + stop.service, stop.done)
                    for r in range(load.shape[0]):
                        s.riding[r] += stop.load[r]
                    if not fits(s.riding, wish.demand, fleet, vehicle):
                        break
                for d in range(leaves_at):
                    off, off_ms = spots.leave[d], spots.leave_ms[d]
                    walk_d = spots.leave_walk[d] * permille // 1_000
                    latest = wish.dropoff_latest - spots.leave_walk[d]
                    here_too = j > i and _at(fleet, plans, row_j, off, off_ms)
                    there_at_once = j == i and fleet.together == 1 and off == state and off_ms == offset
                    low = at_least_from(roads, off, off_ms, after.state, after.offset)
                    if spots.direct[p, d] == 0 and p + d > 0:
                        continue  # nobody waits for a vehicle at the end of the trip
                    if j == i:
                        to_d, cost = spots.direct[p, d], cost_p + spots.direct[p, d] + walk_d
                    else:
                        to_d = at_least_to(roads, stop.state, stop.offset, off, off_ms)
                        if cost_p + to_d - after.leg + low + walk_d > limit:
                            continue
                        if cost_p + to_d - after.leg + low + walk_d >= best[0]:
                            continue
                        to_d = _to(roads, plans, desk.to_leave, j, row_j, d, off, off_ms)
                        cost = cost_p + to_d - after.leg + walk_d
                    if cost + low > limit or cost + low >= best[0]:
                        continue
                    begin_d = began if here_too or there_at_once else reaches + to_d
                    if begin_d > latest:
                        continue
                    from_d = _from(roads, plans, desk.from_leave, j + 1, row_j + 1, d, off, off_ms)
                    cost += from_d
                    if cost > limit or cost >= best[0]:
                        continue
                    begin_d = max(begin_d, wish.dropoff_earliest - spots.leave_walk[d])
                    arrives = (
                        begin_d if _at(fleet, plans, row_j + 1, off, off_ms) else begin_d + wish.alighting + from_d
                    )
                    if arrives > s.rows[j + 1].late:
                        continue
                    if wish.apart.shape[0] > 0 and rides_with(plans, vehicle, i, j, wish.apart):
                        continue
                    exact = wish_with(wish, spots, p, d)
                    memo.rows[row_i].known, memo.rows[row_i].to_origin = 1, to_p
                    memo.rows[row_j + 1].known = 0
                    if j > i:
                        memo.rows[row_i + 1].known = 2
                        memo.rows[row_i + 1].from_origin = desk.from_board[i + 1, p]
                        memo.rows[row_j].known |= 4
                        memo.rows[row_j].to_destination = to_d
                    memo.rows[row_j + 1].known |= 8
                    memo.rows[row_j + 1].from_destination = from_d
                    if schedule_insertion(roads, fleet, plans, vehicle, exact, memo, i, j, start, s):
                        best[0], best[1], best[2], best[3], best[4] = cost, i, j, p, d


@lean_kernel
def best_meeting(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, wish: Wish, spots: Spots, now: int,
    horizon: int, permille: int, desk: Desk, memo: Memo, s: Scratch, found: Found, best: LongArray, out: LongArray,
) -> None:  # fmt: skip
    """The least costly insertion over the fleet: out[0] its cost (NO_COST if there is none), then vehicle, the rows to
    insert after, the spots to board and to leave at."""
    out[0] = NO_COST
    count = 0
    least_direct, around = spots.direct[0, 0], 0
    for p in range(spots.board.shape[0]):
        around = max(
            around,
            spot_pair(roads.labels, roads.states, spots.board[p], spots.board_ms[p], wish.origin, wish.origin_ms),
        )
        for d in range(spots.leave.shape[0]):
            least_direct = min(least_direct, spots.direct[p, d])
    for r in range(s.load.shape[0]):
        s.load[r] = 0
    for vehicle in range(plans.first.shape[0]):
        if not is_eligible(fleet, plans, vehicle, wish, now) or not fits(s.load, wish.demand, fleet, vehicle):
            continue
        if paths.roaming[vehicle]:
            locate(roads, plans, paths, vehicle, now)
        lock_until(plans, vehicle, horizon)
        least = _least_for(roads, plans, paths, fleet, vehicle, wish, spots, now, permille, least_direct, around)
        if least >= 0:
            push(found, count, least, vehicle)
            count += 1
    while count > 0:
        least, vehicle = found.heap_cost[0], found.heap[0]
        count -= 1
        pop(found, count)
        limit = out[0]
        if limit < NO_COST and out[1] < vehicle:
            limit -= 1
        if least > limit:
            continue
        best_meeting_in_plan(
            roads, fleet, plans, paths, vehicle, wish, spots, now, permille, limit, desk, memo, s, best
        )
        if best[0] < NO_COST:
            out[0], out[1] = best[0], vehicle
            for k in range(1, 5):
                out[k + 1] = best[k]
