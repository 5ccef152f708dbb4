"""Least-cost feasible insertion of a request into a vehicle's plan, exact under all constraints.

The sequence of what is planned stays; pickup and dropoff may go between any two rows. For a given sequence the
earliest schedule is the least fixpoint of its difference constraints (windows, drives, ride limits), found by
forward sweeps that lift pickups where a ride would be too long: "Version A" of the design notes. Every ride
limit is one backward edge of the constraint graph, so more rounds than rides + 1 prove a positive cycle
(Bellman-Ford) and the sequence infeasible.

Bounds used before that test never drop a feasible insertion: travel times obey the triangle inequality (they
are exact shortest paths), and planned begins only move later when something is inserted.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.energy import lasts
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.plan_arrays import RESOURCES, FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.model.units import IntArray, LongArray, RecordArray, SmallArray
from noriai_engine.roads.kernels.bounds import RoadView, at_least_from, at_least_to
from noriai_engine.roads.kernels.metric import INF
from noriai_engine.roads.kernels.spots import spot_pair

POSITION, PICKUP, DROPOFF, BREAK, END = 0, 1, 2, 3, 4
NO_COST = np.int64(1) << np.int64(60)

# Sieves in the order a candidate meets them; the last one any candidate reached is the reason of a refusal.
NOT_ELIGIBLE, PARTY_TOO_BIG, TOO_FAR, NO_ROOM, TOO_LATE, KEPT_APART, RIDE_TOO_LONG, OUT_OF_RANGE, FEASIBLE = range(9)


class Wish(NamedTuple):
    """A request in kernel terms: spots (state and offset), begin windows, service times, ride limit and direct drive
    (ms), load `demand` (R,), `needs` (bits a vehicle must have), `operator` (row, -1 for any), requests (rows) with
    whom it must not ride. The rider is promised the latest begins and the ride limit and each one's `..._spare` (ms)
    more: a buffer against travel times that were wrong, which only what happens on the road may use up."""

    origin: int
    origin_ms: int
    destination: int
    destination_ms: int
    pickup_earliest: int
    pickup_latest: int
    dropoff_earliest: int
    dropoff_latest: int
    boarding: int
    alighting: int
    max_ride: int
    direct: int
    demand: SmallArray
    needs: int
    operator: int
    apart: IntArray
    pickup_spare: int
    dropoff_spare: int
    ride_spare: int


ASKED = np.dtype(
    [("known", "i4"), ("to_origin", "i4"), ("from_origin", "i4"), ("to_destination", "i4"), ("from_destination", "i4")]
)
STEP = np.dtype(
    [
        ("late", "i4"), ("drop", "i4"), ("leg", "i4"), ("earliest", "i4"), ("latest", "i4"), ("service", "i4"),
        ("partner", "i4"), ("ride_limit", "i4"), ("begin", "i4"), ("done", "i4"), ("joined", "i4"),
    ]
)  # fmt: skip


class Memo(NamedTuple):
    """Times of one trip's two ends to and from plan rows, looked up when first needed: fields of `rows` (N,), whose
    `known` bits say which. A vehicle's rows are stale unless `asked` (V,) is the number in `question` (1,)."""

    question: LongArray
    asked: LongArray
    rows: RecordArray


class Scratch(NamedTuple):
    """Working space of one search: `rows`, a sequence of activities (more than the longest plan has) and the latest
    begins of a plan's rows; loads (R,)."""

    rows: RecordArray
    load: SmallArray
    riding: SmallArray


def scratch_for(rows: int) -> Scratch:
    steps = np.zeros(rows + 2, STEP).view(np.recarray)
    return Scratch(steps, np.zeros(RESOURCES, np.int16), np.zeros(RESOURCES, np.int16))


def memo_for(vehicles: int, rows: int) -> Memo:
    return Memo(np.ones(1, np.int64), np.zeros(vehicles, np.int64), np.zeros(rows, ASKED).view(np.recarray))


@inlined_kernel
def _refresh(plans: PlanArrays, memo: Memo, vehicle: int) -> None:
    """Forget what an earlier question knew of a vehicle's rows."""
    if memo.asked[vehicle] != memo.question[0]:
        memo.asked[vehicle] = memo.question[0]
        base = plans.first[vehicle]
        for row in range(base, base + plans.count[vehicle]):
            memo.rows[row].known = 0


@inlined_kernel
def to_origin(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if not memo.rows[row].known & 1:
        memo.rows[row].known |= 1
        memo.rows[row].to_origin = spot_pair(
            roads.labels, roads.states, plans.rows[row].state, plans.rows[row].offset, wish.origin, wish.origin_ms
        )
    return int(memo.rows[row].to_origin)


@inlined_kernel
def from_origin(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if plans.rows[row].state < 0:
        return 0
    if not memo.rows[row].known & 2:
        memo.rows[row].known |= 2
        memo.rows[row].from_origin = spot_pair(
            roads.labels, roads.states, wish.origin, wish.origin_ms, plans.rows[row].state, plans.rows[row].offset
        )
    return int(memo.rows[row].from_origin)


@inlined_kernel
def to_destination(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if not memo.rows[row].known & 4:
        memo.rows[row].known |= 4
        memo.rows[row].to_destination = spot_pair(
            roads.labels, roads.states, plans.rows[row].state, plans.rows[row].offset, wish.destination,
            wish.destination_ms,
        )  # fmt: skip
    return int(memo.rows[row].to_destination)


@inlined_kernel
def from_destination(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if plans.rows[row].state < 0:
        return 0
    if not memo.rows[row].known & 8:
        memo.rows[row].known |= 8
        memo.rows[row].from_destination = spot_pair(
            roads.labels, roads.states, wish.destination, wish.destination_ms, plans.rows[row].state,
            plans.rows[row].offset,
        )  # fmt: skip
    return int(memo.rows[row].from_destination)


@inlined_kernel
def fits(load: SmallArray, extra: SmallArray, fleet: FleetArrays, vehicle: int) -> bool:
    """True where some layout of the vehicle holds both loads at once."""
    for k in range(fleet.layout_first[vehicle], fleet.layout_first[vehicle + 1]):
        ok = True
        for r in range(load.shape[0]):
            if load[r] + extra[r] > fleet.layout[k, r]:
                ok = False
                break
        if ok:
            return True
    return False


@inlined_kernel
def first_free(plans: PlanArrays, vehicle: int) -> int:
    """The row after which something may be inserted: the last locked one (they come first), or the position."""
    base = plans.first[vehicle]
    free = 0
    while free + 1 < plans.count[vehicle] and plans.rows[base + free + 1].locked:
        free += 1
    return free


@inlined_kernel
def free_from(plans: PlanArrays, paths: Paths, vehicle: int, now: int) -> int:
    """When a vehicle can set out from its position: from where it was last seen, if that was earlier on its way."""
    begin = plans.rows[plans.first[vehicle]].begin
    return int(begin if paths.driving[vehicle] and paths.located[vehicle] != now else max(begin, now))


@inlined_kernel
def joins(plans: PlanArrays, fleet: FleetArrays, a: int, b: int) -> bool:
    """True where two rows in a row are one stop for parties that board and alight together."""
    return bool(
        fleet.together == 1
        and (plans.rows[a].kind == PICKUP or plans.rows[a].kind == DROPOFF)
        and (plans.rows[b].kind == PICKUP or plans.rows[b].kind == DROPOFF)
        and plans.rows[a].state == plans.rows[b].state
        and plans.rows[a].offset == plans.rows[b].offset
    )


@inlined_kernel
def _joins_spot(plans: PlanArrays, fleet: FleetArrays, row: int, state: int, offset: int) -> bool:
    return bool(
        fleet.together == 1
        and (plans.rows[row].kind == PICKUP or plans.rows[row].kind == DROPOFF)
        and plans.rows[row].state == state
        and plans.rows[row].offset == offset
    )


@inlined_kernel
def earliest_schedule(count: int, start: int, s: Scratch) -> bool:
    """Least fixpoint of the sequence in `s` (rows 1..count-1 after a start at `start`) into s.begin; False if none.

    Changes s.earliest where a pickup has to be lifted.
    """
    rides = 0
    for k in range(1, count):
        if s.rows[k].partner > 0:
            rides += 1
    for _ in range(rides + 2):
        s.rows[0].begin = start
        s.rows[0].done = start
        for k in range(1, count):
            soonest = s.rows[k - 1].begin if s.rows[k].joined else s.rows[k - 1].done + s.rows[k].leg
            begin = max(soonest, s.rows[k].earliest)
            if begin > s.rows[k].latest:
                return False
            s.rows[k].begin = begin
            done = begin + s.rows[k].service
            s.rows[k].done = max(done, s.rows[k - 1].done) if s.rows[k].joined else done
        lifted = False
        for k in range(count - 1, 0, -1):
            pickup = s.rows[k].partner
            if pickup > 0:
                needed = s.rows[k].begin - s.rows[k].ride_limit - s.rows[pickup].service
                if s.rows[pickup].begin < needed:
                    s.rows[pickup].earliest = needed
                    lifted = True
        if not lifted:
            return True
    return False


@inlined_kernel
def copy_row(plans: PlanArrays, fleet: FleetArrays, row: int, partner: int, s: Scratch, k: int) -> None:
    """A row of a plan into the sequence, with the place its pickup has there."""
    s.rows[k].leg = plans.rows[row].leg
    s.rows[k].earliest = plans.rows[row].earliest
    s.rows[k].latest = plans.rows[row].latest
    s.rows[k].service = plans.rows[row].service
    s.rows[k].ride_limit = plans.rows[row].ride_limit
    s.rows[k].partner = partner
    s.rows[k].joined = joins(plans, fleet, row - 1, row)


@inlined_kernel
def _shifted(partner: int, i: int, j: int) -> int:
    return partner if partner <= 0 else partner + (1 if partner > i else 0) + (1 if partner > j else 0)


@lean_kernel
def schedule_insertion(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, vehicle: int, wish: Wish, memo: Memo, after_pickup: int,
    after_dropoff: int, start: int, s: Scratch,
) -> bool:  # fmt: skip
    """Earliest schedule with the pickup after row `after_pickup` and the dropoff after row `after_dropoff`.

    Both count rows of the plan as it is; equal means pickup, then dropoff at once. The schedule of the
    count + 2 rows is in s.begin and the rest of `s`; False where there is none.
    """
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    i, j = after_pickup, after_dropoff
    k = 1
    for row in range(1, i + 1):
        copy_row(plans, fleet, base + row, _shifted(plans.rows[base + row].partner, i, j), s, k)
        k += 1
    pickup = k
    s.rows[k].leg = to_origin(roads, plans, memo, wish, base + i)
    s.rows[k].earliest = wish.pickup_earliest
    s.rows[k].latest = wish.pickup_latest
    s.rows[k].service = wish.boarding
    s.rows[k].ride_limit = 0
    s.rows[k].partner = -1
    s.rows[k].joined = _joins_spot(plans, fleet, base + i, wish.origin, wish.origin_ms)
    k += 1
    for row in range(i + 1, j + 1):
        copy_row(plans, fleet, base + row, _shifted(plans.rows[base + row].partner, i, j), s, k)
        if row == i + 1:
            s.rows[k].leg = from_origin(roads, plans, memo, wish, base + row)
            s.rows[k].joined = _joins_spot(plans, fleet, base + row, wish.origin, wish.origin_ms)
        k += 1
    s.rows[k].leg = wish.direct if i == j else to_destination(roads, plans, memo, wish, base + j)
    s.rows[k].earliest = wish.dropoff_earliest
    s.rows[k].latest = wish.dropoff_latest
    s.rows[k].service = wish.alighting
    s.rows[k].ride_limit = wish.max_ride
    s.rows[k].partner = pickup
    if i == j:
        at_once = wish.origin == wish.destination and wish.origin_ms == wish.destination_ms
        s.rows[k].joined = fleet.together == 1 and at_once
    else:
        s.rows[k].joined = _joins_spot(plans, fleet, base + j, wish.destination, wish.destination_ms)
    k += 1
    for row in range(j + 1, count):
        copy_row(plans, fleet, base + row, _shifted(plans.rows[base + row].partner, i, j), s, k)
        if row == j + 1:
            s.rows[k].leg = from_destination(roads, plans, memo, wish, base + row)
            s.rows[k].joined = _joins_spot(plans, fleet, base + row, wish.destination, wish.destination_ms)
        k += 1
    return earliest_schedule(k, start, s)


@inlined_kernel
def latest_begins(plans: PlanArrays, fleet: FleetArrays, vehicle: int, s: Scratch) -> None:
    """Latest begins of a plan's rows that leave all later windows reachable (ride limits left aside)."""
    base, last = plans.first[vehicle], plans.count[vehicle] - 1
    s.rows[last].late = plans.rows[base + last].latest
    leaves = s.rows[last].late - plans.rows[base + last].leg
    for k in range(last - 1, 0, -1):
        latest = min(plans.rows[base + k].latest, leaves - plans.rows[base + k].service)
        if k + 1 < last and joins(plans, fleet, base + k, base + k + 1):
            latest = min(latest, s.rows[k + 1].late)
        s.rows[k].late = latest
        if not joins(plans, fleet, base + k - 1, base + k):
            leaves = s.rows[k].late - plans.rows[base + k].leg


@inlined_kernel
def least_drops(roads: RoadView, plans: PlanArrays, vehicle: int, wish: Wish, s: Scratch) -> None:
    """s.rows[k].drop: a lower bound of what a dropoff after row k or later adds."""
    base, last = plans.first[vehicle], plans.count[vehicle] - 1
    s.rows[last].drop = INF
    for k in range(last - 1, -1, -1):
        here, onward = plans.rows[base + k], plans.rows[base + k + 1]
        low = at_least_to(roads, here.state, here.offset, wish.destination, wish.destination_ms) - onward.leg
        low += at_least_from(roads, wish.destination, wish.destination_ms, onward.state, onward.offset)
        s.rows[k].drop = min(s.rows[k + 1].drop, max(low, 0))


@inlined_kernel
def rides_with(plans: PlanArrays, vehicle: int, i: int, j: int, apart: IntArray) -> bool:
    """True where a rider who boards after row i and leaves after row j would meet one of `apart` aboard."""
    base = plans.first[vehicle]
    for k in range(i + 1, plans.count[vehicle]):
        if plans.rows[base + k].kind == DROPOFF and max(plans.rows[base + k].partner, 0) <= j:
            for other in apart:
                if plans.rows[base + k].request == other:
                    return True
    return False


@inlined_kernel
def best_in_plan(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, wish: Wish, now: int,
    limit: int, memo: Memo, s: Scratch, best: LongArray,
) -> int:  # fmt: skip
    """Best insertion into one plan that costs at most `limit`: best[0] added driving ms (NO_COST if there is none),
    best[1] and best[2] the rows to insert after.

    Ties go to the earliest pickup row, then the earliest dropoff row. Returns the furthest sieve reached, which is
    the whole truth where `limit` is NO_COST. A vehicle under way is located only where a turn aside may be the best.
    """
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    best[0] = NO_COST
    sieve = TOO_FAR
    _refresh(plans, memo, vehicle)
    latest_begins(plans, fleet, vehicle, s)
    bounded = limit < NO_COST
    if bounded:
        least_drops(roads, plans, vehicle, wish, s)
    free = first_free(plans, vehicle)
    load = s.load
    for r in range(load.shape[0]):
        load[r] = plans.aboard[vehicle, r]
    for k in range(1, free + 1):
        for r in range(load.shape[0]):
            load[r] += plans.rows[base + k].load[r]

    for i in range(free, count - 1):
        if i > free:
            for r in range(load.shape[0]):
                load[r] += plans.rows[base + i].load[r]
        row_i, next_i = base + i, base + i + 1
        here, onward = plans.rows[row_i], plans.rows[next_i]
        if bounded:
            low = at_least_to(roads, here.state, here.offset, wish.origin, wish.origin_ms) - onward.leg
            back = at_least_from(roads, wish.origin, wish.origin_ms, onward.state, onward.offset)
            apart = max(low + back, 0) + s.rows[i + 1].drop
            back = at_least_from(roads, wish.destination, wish.destination_ms, onward.state, onward.offset)
            if apart > limit and low + wish.direct + back > limit:
                continue
        if i == 0 and paths.driving[vehicle] and paths.located[vehicle] != now:
            # From where it was last seen: no later place on its way is nearer than this less the time since.
            low = at_least_to(roads, here.state, here.offset, wish.origin, wish.origin_ms)
            if max(here.begin + low, now) > wish.pickup_latest:
                continue
            back = at_least_from(roads, wish.origin, wish.origin_ms, onward.state, onward.offset)
            if low + back - onward.leg > limit:
                continue
            locate(roads, plans, paths, vehicle, now)
            memo.rows[row_i].known = 0
        join_i = fleet.together == 1 and here.state == wish.origin and here.offset == wish.origin_ms
        leaves = here.begin if join_i else here.done
        if i == 0:
            leaves = free_from(plans, paths, vehicle, now)
        if leaves > wish.pickup_latest:
            break
        low = at_least_to(roads, here.state, here.offset, wish.origin, wish.origin_ms)
        if leaves + low > wish.pickup_latest:
            continue
        back = at_least_from(roads, wish.origin, wish.origin_ms, onward.state, onward.offset)
        if i < count - 2:
            boarded = max(leaves + low, wish.pickup_earliest) + (0 if fleet.together else wish.boarding)
            if boarded + back > s.rows[i + 1].late or low + back - onward.leg > limit:
                continue
        to_o = to_origin(roads, plans, memo, wish, row_i)
        at_origin = leaves + to_o
        if at_origin > wish.pickup_latest:
            if join_i:
                continue
            break  # every later row reaches the origin later still
        if not fits(load, wish.demand, fleet, vehicle):
            sieve = max(sieve, NO_ROOM)
            continue
        boards = max(at_origin, wish.pickup_earliest)
        reaches = boards + wish.boarding  # when the vehicle may leave row j with the rider aboard
        cost_o = to_o - onward.leg
        if i < count - 2 and (cost_o + back > limit or cost_o + back > best[0]):
            continue
        for r in range(load.shape[0]):
            s.riding[r] = load[r]
        for j in range(i, count - 1):
            row_j, next_j = base + j, base + j + 1
            stop, after = plans.rows[row_j], plans.rows[next_j]
            if j == i:
                begin_d = reaches + wish.direct
                if fleet.together == 1 and wish.direct == 0:
                    begin_d = boards
                to_d, cost = wish.direct, cost_o + wish.direct
            else:
                if stop.kind == BREAK:
                    break
                if j == i + 1:
                    from_o = from_origin(roads, plans, memo, wish, row_j)
                    cost_o += from_o
                    arrives = reaches + from_o
                    if fleet.together == 1 and from_o == 0:
                        arrives = boards
                else:
                    arrives = reaches + stop.leg
                    if joins(plans, fleet, row_j - 1, row_j):
                        arrives = boards
                begin = max(arrives, stop.begin)
                if begin > s.rows[j].late:
                    sieve = max(sieve, TOO_LATE)
                    break
                boards = begin  # when the vehicle began at row j
                reaches = max(begin + stop.service, stop.done)
                for r in range(load.shape[0]):
                    s.riding[r] += stop.load[r]
                if not fits(s.riding, wish.demand, fleet, vehicle):
                    sieve = max(sieve, NO_ROOM)
                    break
                if cost_o > limit or cost_o > best[0]:
                    break
                low = at_least_to(roads, stop.state, stop.offset, wish.destination, wish.destination_ms)
                join_j = fleet.together == 1 and low == 0
                if (boards if join_j else reaches) + low > wish.dropoff_latest:
                    sieve = max(sieve, TOO_LATE)
                    continue
                to_d = to_destination(roads, plans, memo, wish, row_j)
                begin_d = reaches + to_d
                if fleet.together == 1 and to_d == 0:
                    begin_d = boards
                cost = cost_o + to_d - after.leg
            if begin_d > wish.dropoff_latest:
                sieve = max(sieve, TOO_LATE)
                if fleet.together == 1:
                    continue
                break
            low = at_least_from(roads, wish.destination, wish.destination_ms, after.state, after.offset)
            if cost + low > limit or cost + low >= best[0]:
                continue
            from_d = from_destination(roads, plans, memo, wish, next_j)
            begin_d = max(begin_d, wish.dropoff_earliest)
            arrives = begin_d + wish.alighting + from_d
            if fleet.together == 1 and from_d == 0:
                arrives = begin_d
            if arrives > s.rows[j + 1].late:
                sieve = max(sieve, TOO_LATE)
                continue
            cost += from_d
            if cost > limit or cost >= best[0]:
                continue
            if wish.apart.shape[0] > 0 and rides_with(plans, vehicle, i, j, wish.apart):
                sieve = max(sieve, KEPT_APART)
                continue
            start = free_from(plans, paths, vehicle, now)
            if schedule_insertion(roads, fleet, plans, vehicle, wish, memo, i, j, start, s):
                if not lasts(
                    roads, fleet, plans, paths, vehicle, i, j, wish.origin, wish.origin_ms, wish.destination,
                    wish.destination_ms,
                ):  # fmt: skip
                    sieve = max(sieve, OUT_OF_RANGE)
                    continue
                best[0] = cost
                best[1] = i
                best[2] = j
                sieve = FEASIBLE
            else:
                sieve = max(sieve, RIDE_TOO_LONG)
    return sieve
