"""Which riders one vehicle could carry together: trips grown by size, a trip only where all its parts are possible.

The trip-vehicle graph of Alonso-Mora et al., PNAS 114(3), 2017: a vehicle and a set of riders with the least driving of
any order of stops. Two riders whom no vehicle at all could carry together (the shareability graph of Santi et al. 2014)
are tried once, whatever the vehicle.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.batch import Riders, rest_of, wide
from noriai_engine.dispatch.kernels.energy import gained, left_behind, length_mm, needed_at
from noriai_engine.dispatch.kernels.insertion import (
    BREAK,
    DROPOFF,
    NO_COST,
    PICKUP,
    Scratch,
    first_free,
    free_from,
    latest_begins,
)
from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.kernels.tours import (
    ABOARD,
    AFTER,
    BEGIN,
    COUNT,
    DONE,
    EXACT,
    FIRST_ITEM,
    FIXED,
    FULL,
    LEFT,
    NEEDED,
    RESERVE,
    RIDER_PERMILLE,
    START,
    TAIL,
    Branch,
    Sheet,
    best_order,
)
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.model.units import FOREVER_MS, ByteArray, IntArray, LongArray
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.spots import spot_pair

FREELY = 1 << 60
UNKNOWN, TOGETHER, NEVER_TOGETHER = 0, 1, 2


class TripGraph(NamedTuple):
    """Trips (t,): `vehicle`, `cost` (as of `best_order`), riders from `first_rider` (t + 1,) on in
    `rider`, and the order of stops from `first_code` (t + 1,) on in `code`, as sheets name them. `used` (3,): trips,
    riders, codes."""

    used: LongArray
    vehicle: IntArray
    cost: LongArray
    first_rider: LongArray
    rider: IntArray
    first_code: LongArray
    code: IntArray


class Pairs(NamedTuple):
    """What is known of pairs of riders: `ms` and `mm` (2k, 2k) between their ends, -1 unknown; `together` (k, k)."""

    ms: IntArray
    mm: LongArray
    together: ByteArray


class Growth(NamedTuple):
    """Working space for one vehicle: riders that may come (`member`, as items' pairs), trips so far by mask, a table to
    find a mask in (`slot` with `stamp`: which vehicle wrote it)."""

    member: IntArray
    mask: LongArray
    slot: LongArray
    stamp: IntArray


SLOTS = 1 << 13


def growth_for(trips: int) -> Growth:
    return Growth(
        np.zeros(64, np.int32), np.zeros(trips + 1, np.int64), np.zeros(SLOTS, np.int64), np.zeros(SLOTS, np.int32)
    )


@inlined_kernel
def _put_item(sheet: Sheet, fleet: FleetArrays, vehicle: int, k: int, plans: PlanArrays, row: int, code: int) -> None:
    here, item = plans.rows[row], sheet.items[k]
    item.state, item.offset, item.kind, item.request = here.state, here.offset, here.kind, here.request
    item.earliest, item.latest, item.service, item.ride_limit = (
        here.earliest,
        here.latest,
        here.service,
        here.ride_limit,
    )
    item.partner, item.mate, item.code, item.shuns = -1, -1, code, 0
    item.gain = gained(fleet, vehicle, here.service) if here.kind == BREAK else 0
    for r in range(sheet.load.shape[0]):
        item.load[r] = here.load[r]


@lean_kernel
def stays_sheet(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, row_of: IntArray, now: int,
    until: int, sheet: Sheet, s: Scratch,
) -> bool:  # fmt: skip
    """Begin a vehicle's sheet with what stays there; False where there is more of it than a sheet holds."""
    base, free = plans.first[vehicle], first_free(plans, vehicle)
    tail, facts = rest_of(plans, vehicle, free, until), sheet.facts
    facts[TAIL], facts[EXACT], facts[ABOARD], facts[FIXED] = tail, 0, 0, 0
    for r in range(sheet.load.shape[0]):
        sheet.load[r] = plans.aboard[vehicle, r]
        for k in range(1, free + 1):
            sheet.load[r] += plans.rows[base + k].load[r]
    _put_item(sheet, fleet, vehicle, START, plans, base + free, free)
    facts[BEGIN], facts[DONE] = plans.rows[base + free].begin, plans.rows[base + free].done
    if free == 0:
        facts[BEGIN] = free_from(plans, paths, vehicle, now)
        facts[DONE] = facts[BEGIN]
    latest_begins(plans, fleet, vehicle, s)
    _put_item(sheet, fleet, vehicle, AFTER, plans, base + tail, tail)
    sheet.items[AFTER].latest = s.rows[tail].late
    for row in range(tail, plans.count[vehicle]):
        if plans.rows[base + row].kind == DROPOFF and plans.rows[base + row].ride_limit < FOREVER_MS:
            facts[EXACT] = 1
    count = FIRST_ITEM
    for row in range(free + 1, tail):
        here = plans.rows[base + row]
        if here.request >= 0 and row_of[here.request] >= 0:
            continue
        if count >= sheet.items.shape[0]:
            return False
        _put_item(sheet, fleet, vehicle, count, plans, base + row, row)
        facts[FIXED] |= np.int64(1) << np.int64(count)
        if here.kind == DROPOFF:
            for k in range(FIRST_ITEM, count):
                if sheet.items[k].kind == PICKUP and sheet.items[k].request == here.request:
                    sheet.items[count].partner, sheet.items[k].mate = k, count
            if sheet.items[count].partner < 0:
                facts[ABOARD] |= np.int64(1) << np.int64(count)
                for k in range(1, free + 1):
                    on = plans.rows[base + k]
                    if on.kind == PICKUP and on.request == here.request:
                        limit = on.begin + on.service + here.ride_limit
                        sheet.items[count].latest = min(sheet.items[count].latest, limit)
        count += 1
    facts[COUNT], facts[FULL] = count, fleet.battery.range_mm[vehicle]
    for a in range(count):
        for b in range(1, count):
            sheet.ms[a, b] = _between(roads, sheet, a, b)
            if facts[FULL] > 0:
                sheet.mm[a, b] = _length(roads, paths, sheet, a, b)
    if facts[FULL] > 0:
        facts[LEFT] = left_behind(roads, fleet, plans, paths, vehicle, free)
        facts[RESERVE] = fleet.battery.reserve_mm[vehicle]
        facts[NEEDED] = needed_at(roads, fleet, plans, paths, vehicle, tail)
    return True


@inlined_kernel
def _length(roads: RoadView, paths: Paths, sheet: Sheet, a: int, b: int) -> int:
    """mm between two items."""
    if a == b or sheet.items[b].state < 0 or sheet.items[a].state < 0:
        return 0
    return length_mm(
        roads, paths.climbs, sheet.items[a].state, sheet.items[a].offset, sheet.items[b].state, sheet.items[b].offset
    )


@inlined_kernel
def _between(roads: RoadView, sheet: Sheet, a: int, b: int) -> int:
    if a == b or sheet.items[b].state < 0 or sheet.items[a].state < 0:
        return 0
    return spot_pair(
        roads.labels, roads.states, sheet.items[a].state, sheet.items[a].offset, sheet.items[b].state,
        sheet.items[b].offset,
    )  # fmt: skip


@lean_kernel
def add_rider(roads: RoadView, paths: Paths, riders: Riders, pairs: Pairs, k: int, sheet: Sheet) -> None:
    """A rider's pickup and dropoff, as the next two items of a sheet."""
    count, trips = sheet.facts[COUNT], riders.trips
    on, off = sheet.items[count], sheet.items[count + 1]
    on.state, on.offset, on.kind, on.request = trips.origin[k], trips.origin_ms[k], PICKUP, riders.request[k]
    on.earliest, on.latest, on.service = trips.pickup_earliest[k], trips.pickup_latest[k], trips.boarding[k]
    on.ride_limit, on.partner, on.mate, on.code, on.shuns = 0, -1, count + 1, -1 - 2 * k, 0
    on.gain, off.gain = 0, 0
    off.state, off.offset, off.kind = trips.destination[k], trips.destination_ms[k], DROPOFF
    off.request = riders.request[k]
    off.earliest, off.latest, off.service = trips.dropoff_earliest[k], trips.dropoff_latest[k], trips.alighting[k]
    off.ride_limit, off.partner, off.mate, off.code, off.shuns = trips.max_ride[k], count, -1, -2 - 2 * k, 0
    for r in range(sheet.load.shape[0]):
        on.load[r], off.load[r] = trips.demand[k, r], -trips.demand[k, r]
    sheet.facts[COUNT] = count + 2
    for mine in range(count, count + 2):
        for other in range(count + 2):
            sheet.ms[other, mine] = _known(roads, pairs, sheet, other, mine)
            sheet.ms[mine, other] = _known(roads, pairs, sheet, mine, other)
            if sheet.facts[FULL] > 0:
                sheet.mm[other, mine] = _known_length(roads, paths, pairs, sheet, other, mine)
                sheet.mm[mine, other] = _known_length(roads, paths, pairs, sheet, mine, other)
    for shunned in range(riders.first_shunned[k], riders.first_shunned[k + 1]):
        for other in range(FIRST_ITEM, count):
            item = sheet.items[other]
            if item.kind == DROPOFF and item.request == riders.shunned[shunned]:
                on.shuns |= np.int64(1) << np.int64(other)
                if item.partner >= 0:
                    sheet.items[item.partner].shuns |= np.int64(1) << np.int64(count + 1)


@inlined_kernel
def _known(roads: RoadView, pairs: Pairs, sheet: Sheet, a: int, b: int) -> int:
    """ms between two items; of two riders' ends it is looked up once a batch."""
    code_a, code_b = sheet.items[a].code, sheet.items[b].code
    if code_a >= 0 or code_b >= 0:
        return _between(roads, sheet, a, b)
    if pairs.ms[-1 - code_a, -1 - code_b] < 0:
        pairs.ms[-1 - code_a, -1 - code_b] = _between(roads, sheet, a, b)
    return int(pairs.ms[-1 - code_a, -1 - code_b])


@inlined_kernel
def _known_length(roads: RoadView, paths: Paths, pairs: Pairs, sheet: Sheet, a: int, b: int) -> int:
    """mm between two items, likewise."""
    code_a, code_b = sheet.items[a].code, sheet.items[b].code
    if code_a >= 0 or code_b >= 0:
        return _length(roads, paths, sheet, a, b)
    if pairs.mm[-1 - code_a, -1 - code_b] < 0:
        pairs.mm[-1 - code_a, -1 - code_b] = _length(roads, paths, sheet, a, b)
    return int(pairs.mm[-1 - code_a, -1 - code_b])


@lean_kernel
def can_meet(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, riders: Riders, pairs: Pairs, a: int, b: int,
    now: int, vehicle: int, sheet: Sheet, o: Branch, s: Scratch,
) -> bool:  # fmt: skip
    """Whether any vehicle could carry both, one after the other or together, wherever it begins; found out once."""
    if pairs.together[a, b] == UNKNOWN:
        facts = sheet.facts
        facts[COUNT], facts[FIXED], facts[ABOARD], facts[EXACT] = FIRST_ITEM, 0, 0, 0
        facts[RIDER_PERMILLE], facts[FULL] = 0, 0
        facts[BEGIN], facts[DONE] = now, now
        for r in range(sheet.load.shape[0]):
            sheet.load[r] = 0
        for k in range(FIRST_ITEM):
            sheet.items[k].state, sheet.items[k].kind, sheet.items[k].code = -1, BREAK, 0
            sheet.items[k].latest = FOREVER_MS
        facts[TAIL] = plans.count[vehicle]
        add_rider(roads, paths, riders, pairs, a, sheet)
        add_rider(roads, paths, riders, pairs, b, sheet)
        for k in range(FIRST_ITEM, facts[COUNT]):  # any vehicle: the one with the most room, too
            for r in range(sheet.load.shape[0]):
                sheet.items[k].load[r] = 0
        cost = best_order(fleet, plans, vehicle, sheet, 0b111100, FREELY, 100, o, s)
        pairs.together[a, b] = pairs.together[b, a] = TOGETHER if cost < NO_COST else NEVER_TOGETHER
    return bool(pairs.together[a, b] == TOGETHER)


@inlined_kernel
def _find(growth: Growth, mask: int, stamp: int) -> int:
    """The slot of a mask, or the empty one where it belongs."""
    at = (mask ^ (mask >> 11) ^ (mask >> 23) ^ (mask >> 37)) & (SLOTS - 1)
    while growth.stamp[at] == stamp and growth.slot[at] != mask:
        at = (at + 1) & (SLOTS - 1)
    return int(at)


@lean_kernel
def _record(graph: TripGraph, vehicle: int, cost: int, sheet: Sheet, o: Branch, growth: Growth, mask: int) -> None:
    t = graph.used[0]
    graph.used[0] += 1
    graph.vehicle[t], graph.cost[t] = vehicle, cost
    riders, codes = graph.first_rider[t], graph.first_code[t]
    for k in range(64):
        if (mask >> k) & 1:
            graph.rider[riders] = growth.member[k]
            riders += 1
    for k in range(o.length[0]):
        graph.code[codes] = sheet.items[o.best[k]].code
        codes += 1
    graph.first_rider[t + 1], graph.first_code[t + 1] = riders, codes
    graph.used[1], graph.used[2] = riders, codes


@inlined_kernel
def _has_room(graph: TripGraph, sheet: Sheet) -> bool:
    return bool(
        graph.used[0] + 1 < graph.vehicle.shape[0]
        and graph.used[1] + 64 < graph.rider.shape[0]
        and graph.used[2] + sheet.facts[COUNT] < graph.code.shape[0]
    )


@lean_kernel
def grow(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, riders: Riders,
    wanted: IntArray, now: int, until: int, most_riders: int, most_trips: int, steps: int, rider_permille: int,
    pairs: Pairs, graph: TripGraph, growth: Growth, sheet: Sheet, spare: Sheet, o: Branch, s: Scratch,
) -> bool:  # fmt: skip
    """All trips of one vehicle with some of the `wanted` riders, the trip with none first: up to `most_riders` a trip
    and `most_trips` in all. False where the graph has no room for more."""
    stamp = vehicle + 1
    if not stays_sheet(roads, fleet, plans, paths, vehicle, riders.row_of, now, until, sheet, s):
        return True
    sheet.facts[RIDER_PERMILLE] = rider_permille
    fixed, stays = wide(sheet.facts[FIXED]), wide(sheet.facts[COUNT])
    base_cost = best_order(fleet, plans, vehicle, sheet, fixed, FREELY, steps, o, s)
    if base_cost >= NO_COST:
        return True
    members = 0
    for k in wanted:
        if sheet.facts[COUNT] + 2 > sheet.items.shape[0]:
            break
        growth.member[members] = k
        members += 1
        add_rider(roads, paths, riders, pairs, k, sheet)
    if not _has_room(graph, sheet):
        return False
    growth.mask[0] = 0
    _record(graph, vehicle, base_cost, sheet, o, growth, 0)
    trips, level_first, level_last = 1, 0, 1
    for _ in range(most_riders):
        for parent in range(level_first, level_last):
            mask, highest = growth.mask[parent], -1
            for k in range(members):
                if (mask >> k) & 1:
                    highest = k
            for k in range(highest + 1, members):
                grown, possible = mask | (np.int64(1) << np.int64(k)), True
                for other in range(highest + 1):
                    if (mask >> other) & 1 and possible:
                        possible = can_meet(
                            roads, fleet, plans, paths, riders, pairs, growth.member[other], growth.member[k], now,
                            vehicle, spare, o, s,
                        )  # fmt: skip
                        part = grown & ~(np.int64(1) << np.int64(other))
                        possible = possible and growth.stamp[_find(growth, part, stamp)] == stamp
                if not possible:
                    continue
                items = wide(fixed)
                for other in range(members):
                    if (grown >> other) & 1:
                        items |= 3 << (stays + 2 * other)
                cost = best_order(fleet, plans, vehicle, sheet, items, FREELY, steps, o, s)
                if cost >= NO_COST:
                    continue
                if not _has_room(graph, sheet):
                    return False
                at = _find(growth, grown, stamp)
                growth.stamp[at], growth.slot[at] = stamp, grown
                growth.mask[trips] = grown
                _record(graph, vehicle, cost, sheet, o, growth, grown)
                trips += 1
                if trips >= most_trips:
                    return True
        if level_last == trips:
            break
        level_first, level_last = level_last, trips
    return True
