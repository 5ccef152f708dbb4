"""The best order of what one vehicle has to do: a search over all orders, in depth, nearest first.

A sheet holds the stops whose order is free: those that stay with the vehicle (riders aboard, pinned ones, breaks) and
those of riders it might carry. Announced rows come before them, and the rest of the plan, far ahead, follows as it is.
Travel times obey the triangle inequality, so that a stop that cannot be reached in time from here ends a branch.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    BREAK,
    DROPOFF,
    NO_COST,
    PICKUP,
    Scratch,
    copy_row,
    earliest_schedule,
    fits,
)
from noriai_engine.dispatch.plan_arrays import RESOURCES, FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.model.units import ByteArray, IntArray, LongArray, RecordArray, SmallArray

MOST_ITEMS = 62
"""Bits of a mask that stay positive."""
START, AFTER, FIRST_ITEM = 0, 1, 2
"""Items of every sheet: where the order begins, and what comes behind it."""

ITEM = np.dtype(
    [
        ("state", "i4"), ("offset", "i4"), ("earliest", "i4"), ("latest", "i4"), ("service", "i4"),
        ("ride_limit", "i4"), ("partner", "i4"), ("mate", "i4"), ("code", "i4"), ("request", "i4"), ("kind", "i4"),
        ("load", "i2", (RESOURCES,)), ("shuns", "i8"), ("gain", "i8"),
    ]
)  # fmt: skip

COUNT, FIXED, ABOARD, TAIL, EXACT, BEGIN, DONE, RIDER_PERMILLE, FULL, LEFT, RESERVE, NEEDED = range(12)


class Sheet(NamedTuple):
    """Stops of one vehicle: `items` (MOST_ITEMS,), `ms` and, where it has a battery, `mm` from one to another
    (MOST_ITEMS, MOST_ITEMS), the `load` (R,) at the start, and `facts`: the number of items; masks of those that stay
    and of dropoffs whose riders are aboard at the start; the row of the plan where the rest follows; 1 where an order
    needs the exact schedule; begin and end of service at the start; what a ms of a rider's time weighs, in thousandths
    of a ms of driving; and of a battery, in mm of road, what it holds when full (0: there is none), at the start, in
    reserve, and what the rest of the plan needs on arrival.

    Fields of items: `partner` of a dropoff is its pickup's item, `mate` of a pickup its dropoff's, -1 none; `code`
    names it outside the sheet: a row of the plan as it was, or -1 - 2k and -2 - 2k for the ends of rider k; `shuns`
    (mask) are dropoffs of riders whom a pickup's rider must not meet aboard; `gain` is what a break charges."""

    items: RecordArray
    ms: IntArray
    mm: LongArray
    load: SmallArray
    facts: LongArray


class Branch(NamedTuple):
    """The search's path (MOST_ITEMS + 1,): item, times, cost so far, what is `left` in the battery, masks of what was
    visited, tried next and is aboard, loads, whether a ride is too long so far; begins by item; and the best order
    found, with its length."""

    at: IntArray
    begin: IntArray
    done: IntArray
    cost: LongArray
    left: LongArray
    visited: LongArray
    tried: LongArray
    aboard: LongArray
    broken: ByteArray
    load: SmallArray
    begun: IntArray
    best: IntArray
    length: LongArray


def sheet_for() -> Sheet:
    items = np.zeros(MOST_ITEMS, ITEM).view(np.recarray)
    ms, mm = np.zeros((MOST_ITEMS, MOST_ITEMS), np.int32), np.zeros((MOST_ITEMS, MOST_ITEMS), np.int64)
    return Sheet(items, ms, mm, np.zeros(RESOURCES, np.int16), np.zeros(NEEDED + 1, np.int64))


def branch_for() -> Branch:
    n = MOST_ITEMS + 1
    at, begin, done, begun, best = np.zeros((5, n), np.int32)
    cost, left, visited, tried, aboard = np.zeros((5, n), np.int64)
    load = np.zeros((n, RESOURCES), np.int16)
    return Branch(
        at,
        begin,
        done,
        cost,
        left,
        visited,
        tried,
        aboard,
        np.zeros(n, np.int8),
        load,
        begun,
        best,
        np.zeros(1, np.int64),
    )


@inlined_kernel
def _meets(fleet: FleetArrays, items: RecordArray, a: int, b: int) -> bool:
    """True where two items in a row are one stop for parties that board and alight together."""
    return bool(
        fleet.together == 1
        and (items[a].kind == PICKUP or items[a].kind == DROPOFF)
        and (items[b].kind == PICKUP or items[b].kind == DROPOFF)
        and items[a].state == items[b].state
        and items[a].offset == items[b].offset
    )


@inlined_kernel
def _all_in_reach(fleet: FleetArrays, sheet: Sheet, o: Branch, d: int, left: int, most: int) -> bool:
    """False where something left cannot be reached in time, or no way over it is cheap enough."""
    at, count = o.at[d], sheet.facts[COUNT]
    rest = 0
    for k in range(1, count):
        if k == AFTER or (left >> k) & 1:
            there = sheet.ms[at, k]
            leaves = o.begin[d] if there == 0 and _meets(fleet, sheet.items, at, k) else o.done[d]
            if leaves + there > sheet.items[k].latest:
                return False
            if there + sheet.ms[k, AFTER] > rest:
                rest = there + sheet.ms[k, AFTER]
    return bool(o.cost[d] + rest <= most)


@lean_kernel
def lay_out(fleet: FleetArrays, plans: PlanArrays, vehicle: int, sheet: Sheet, o: Branch, d: int, s: Scratch) -> int:
    """The path of length d and the rest of the plan into `s`, ready for `earliest_schedule`; returns the rows."""
    before = START
    for k in range(1, d + 1):
        here = o.at[k]
        s.rows[k].leg = sheet.ms[before, here]
        s.rows[k].earliest = sheet.items[here].earliest
        s.rows[k].latest = sheet.items[here].latest
        s.rows[k].service = sheet.items[here].service
        s.rows[k].ride_limit = sheet.items[here].ride_limit
        s.rows[k].joined = _meets(fleet, sheet.items, before, here)
        s.rows[k].partner = -1
        if sheet.items[here].partner >= 0:
            for other in range(1, k):
                if o.at[other] == sheet.items[here].partner:
                    s.rows[k].partner = other
        before = here
    base, tail = plans.first[vehicle], sheet.facts[TAIL]
    k = d + 1
    for row in range(tail, plans.count[vehicle]):
        partner = plans.rows[base + row].partner
        copy_row(plans, fleet, base + row, partner - tail + d + 1 if partner >= tail else -1, s, k)
        k += 1
    s.rows[d + 1].leg = sheet.ms[before, AFTER]
    s.rows[d + 1].joined = _meets(fleet, sheet.items, before, AFTER)
    return int(k)


@inlined_kernel
def _step(fleet: FleetArrays, vehicle: int, sheet: Sheet, o: Branch, d: int, k: int) -> bool:
    """Go on to item k: fills the path's place d + 1; False where that breaks a limit."""
    items, at = sheet.items, o.at[d]
    item = items[k]
    meets = _meets(fleet, items, at, k)
    begin = max(o.begin[d] if meets else o.done[d] + sheet.ms[at, k], item.earliest)
    if begin > item.latest:
        return False
    aboard = o.aboard[d]
    if item.kind == PICKUP:
        if item.shuns & aboard:
            return False
        if not fits(o.load[d], item.load, fleet, vehicle):
            return False
        aboard |= np.int64(1) << np.int64(item.mate)
    elif item.kind == DROPOFF:
        aboard &= ~(np.int64(1) << np.int64(k))
    elif item.kind == BREAK and aboard != 0:
        return False
    if sheet.facts[FULL] > 0:
        held = o.left[d] - sheet.mm[at, k]
        if held < sheet.facts[RESERVE]:
            return False
        o.left[d + 1] = min(sheet.facts[FULL], held + item.gain)
    o.broken[d + 1] = o.broken[d]
    if item.partner >= 0 and begin - o.begun[item.partner] - items[item.partner].service > item.ride_limit:
        o.broken[d + 1] = 1
    for r in range(sheet.load.shape[0]):
        o.load[d + 1, r] = o.load[d, r] + item.load[r]
    done = begin + item.service
    o.at[d + 1], o.begin[d + 1], o.begun[k] = k, begin, begin
    o.done[d + 1] = max(done, o.done[d]) if meets else done
    o.cost[d + 1] = o.cost[d] + sheet.ms[at, k]
    if item.kind == DROPOFF:
        o.cost[d + 1] += (begin - sheet.facts[DONE]) * sheet.facts[RIDER_PERMILLE] // 1_000
    o.visited[d + 1] = o.visited[d] | (np.int64(1) << np.int64(k))
    o.tried[d + 1] = 0
    o.aboard[d + 1] = aboard
    return True


@lean_kernel
def best_order(
    fleet: FleetArrays, plans: PlanArrays, vehicle: int, sheet: Sheet, must: int, most: int, steps: int, o: Branch,
    s: Scratch,
) -> int:  # fmt: skip
    """Least cost, at most `most`, over all orders of the items in the mask `must`, up to the rest of the plan: driving
    ms, and the time until each rider is there by its weight. NO_COST where there is none. The order is in `o.best`, its
    length in `o.length`.

    Ties go to the order found first: of two stops equally near, the one that comes first in the sheet. After `steps`
    branches the best so far is the answer.
    """
    best, facts = NO_COST, sheet.facts
    o.at[0], o.begin[0], o.done[0], o.cost[0] = START, facts[BEGIN], facts[DONE], 0
    o.visited[0], o.tried[0], o.aboard[0], o.broken[0] = 0, 0, facts[ABOARD], 0
    o.left[0] = facts[LEFT]
    if facts[FULL] > 0 and facts[LEFT] < facts[RESERVE]:
        return int(NO_COST)
    for r in range(sheet.load.shape[0]):
        o.load[0, r] = sheet.load[r]
    d = 0
    while d >= 0:
        at, left = o.at[d], must & ~o.visited[d]
        if o.tried[d] == 0:
            o.tried[d] = 1
            steps -= 1
            if steps < 0:
                break
            if not _all_in_reach(fleet, sheet, o, d, left, most):
                d -= 1
                continue
            if left == 0:
                good = facts[FULL] == 0 or o.left[d] - sheet.mm[at, AFTER] >= facts[NEEDED]
                if good and (o.broken[d] or facts[EXACT]):
                    good = earliest_schedule(lay_out(fleet, plans, vehicle, sheet, o, d, s), facts[DONE], s)
                if good:
                    best = o.cost[d] + sheet.ms[at, AFTER]
                    most = best - 1
                    o.length[0] = d
                    for k in range(d):
                        o.best[k] = o.at[k + 1]
                d -= 1
                continue
        nearest = -1
        for k in range(FIRST_ITEM, facts[COUNT]):
            if (left >> k) & 1 and not (o.tried[d] >> k) & 1:
                partner = sheet.items[k].partner
                if partner >= 0 and not (o.visited[d] >> partner) & 1:
                    continue
                if nearest < 0 or sheet.ms[at, k] < sheet.ms[at, nearest]:
                    nearest = k
        if nearest < 0:
            d -= 1
            continue
        o.tried[d] |= np.int64(1) << np.int64(nearest)
        if _step(fleet, vehicle, sheet, o, d, nearest):
            d += 1
    return int(best)
