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

from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import kernel
from noriai_engine.model.units import ByteArray, IntArray, LongArray, SmallArray
from noriai_engine.roads.kernels.bounds import RoadView, at_least
from noriai_engine.roads.kernels.spots import spot_pair

POSITION, PICKUP, DROPOFF, BREAK, END = 0, 1, 2, 3, 4
NO_COST = np.int64(1) << np.int64(60)

# Sieves in the order a candidate meets them; the last one any candidate reached is the reason of a refusal.
NOT_ELIGIBLE, PARTY_TOO_BIG, TOO_FAR, NO_ROOM, TOO_LATE, KEPT_APART, RIDE_TOO_LONG, FEASIBLE = range(8)


class Wish(NamedTuple):
    """A request in kernel terms: spots (state and offset), begin windows, service times, ride limit and direct drive
    (ms), load `demand` (R,), `needs` (bits a vehicle must have), `operator` (row, -1 for any), requests (rows) with
    whom it must not ride."""

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


class Memo(NamedTuple):
    """Times (N,) of one trip's two ends to and from plan rows, looked up when first needed. `known` (N,) bits say
    which; a vehicle's rows are stale unless `asked` (V,) is the number in `question` (1,)."""

    question: LongArray
    asked: LongArray
    known: ByteArray
    to_origin: IntArray
    from_origin: IntArray
    to_destination: IntArray
    from_destination: IntArray


class Scratch(NamedTuple):
    """Working space of one search, each column longer than the longest plan by two."""

    late: IntArray
    leg: IntArray
    earliest: IntArray
    latest: IntArray
    service: IntArray
    partner: IntArray
    ride_limit: IntArray
    begin: IntArray
    done: IntArray
    joined: ByteArray
    load: SmallArray
    riding: SmallArray


def scratch_for(rows: int, resources: int) -> Scratch:
    size = rows + 2
    late, leg, earliest, latest, service, partner, limit, begin, done = (np.zeros(size, np.int32) for _ in range(9))
    load, riding = np.zeros(resources, np.int16), np.zeros(resources, np.int16)
    joined = np.zeros(size, np.int8)
    return Scratch(late, leg, earliest, latest, service, partner, limit, begin, done, joined, load, riding)


def memo_for(vehicles: int, rows: int) -> Memo:
    times = [np.zeros(rows, np.int32) for _ in range(4)]
    return Memo(np.ones(1, np.int64), np.zeros(vehicles, np.int64), np.zeros(rows, np.int8), *times)


@kernel
def _refresh(plans: PlanArrays, memo: Memo, vehicle: int) -> None:
    """Forget what an earlier question knew of a vehicle's rows."""
    if memo.asked[vehicle] != memo.question[0]:
        memo.asked[vehicle] = memo.question[0]
        base = plans.first[vehicle]
        memo.known[base : base + plans.count[vehicle]] = 0


@kernel
def to_origin(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if not memo.known[row] & 1:
        memo.known[row] |= 1
        memo.to_origin[row] = spot_pair(
            roads.labels, roads.states, plans.state[row], plans.offset[row], wish.origin, wish.origin_ms
        )
    return int(memo.to_origin[row])


@kernel
def from_origin(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if plans.state[row] < 0:
        return 0
    if not memo.known[row] & 2:
        memo.known[row] |= 2
        memo.from_origin[row] = spot_pair(
            roads.labels, roads.states, wish.origin, wish.origin_ms, plans.state[row], plans.offset[row]
        )
    return int(memo.from_origin[row])


@kernel
def to_destination(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if not memo.known[row] & 4:
        memo.known[row] |= 4
        memo.to_destination[row] = spot_pair(
            roads.labels, roads.states, plans.state[row], plans.offset[row], wish.destination, wish.destination_ms
        )
    return int(memo.to_destination[row])


@kernel
def from_destination(roads: RoadView, plans: PlanArrays, memo: Memo, wish: Wish, row: int) -> int:
    if plans.state[row] < 0:
        return 0
    if not memo.known[row] & 8:
        memo.known[row] |= 8
        memo.from_destination[row] = spot_pair(
            roads.labels, roads.states, wish.destination, wish.destination_ms, plans.state[row], plans.offset[row]
        )
    return int(memo.from_destination[row])


@kernel
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


@kernel
def first_free(plans: PlanArrays, vehicle: int) -> int:
    """The row after which something may be inserted: the last locked one, or the position."""
    base = plans.first[vehicle]
    free = 0
    for k in range(1, plans.count[vehicle]):
        if plans.locked[base + k]:
            free = k
    return free


@kernel
def free_from(plans: PlanArrays, paths: Paths, vehicle: int, now: int) -> int:
    """When a vehicle can set out from its position: from where it was last seen, if that was earlier on its way."""
    begin = plans.begin[plans.first[vehicle]]
    return int(begin if paths.driving[vehicle] and paths.located[vehicle] != now else max(begin, now))


@kernel
def joins(plans: PlanArrays, fleet: FleetArrays, a: int, b: int) -> bool:
    """True where two rows in a row are one stop for parties that board and alight together."""
    return bool(
        fleet.together == 1
        and (plans.kind[a] == PICKUP or plans.kind[a] == DROPOFF)
        and (plans.kind[b] == PICKUP or plans.kind[b] == DROPOFF)
        and plans.state[a] == plans.state[b]
        and plans.offset[a] == plans.offset[b]
    )


@kernel
def _joins_spot(plans: PlanArrays, fleet: FleetArrays, row: int, state: int, offset: int) -> bool:
    return bool(
        fleet.together == 1
        and (plans.kind[row] == PICKUP or plans.kind[row] == DROPOFF)
        and plans.state[row] == state
        and plans.offset[row] == offset
    )


@kernel
def earliest_schedule(count: int, start: int, s: Scratch) -> bool:
    """Least fixpoint of the sequence in `s` (rows 1..count-1 after a start at `start`) into s.begin; False if none.

    Changes s.earliest where a pickup has to be lifted.
    """
    rides = 0
    for k in range(1, count):
        if s.partner[k] > 0:
            rides += 1
    for _ in range(rides + 2):
        s.begin[0] = start
        s.done[0] = start
        for k in range(1, count):
            soonest = s.begin[k - 1] if s.joined[k] else s.done[k - 1] + s.leg[k]
            begin = max(soonest, s.earliest[k])
            if begin > s.latest[k]:
                return False
            s.begin[k] = begin
            done = begin + s.service[k]
            s.done[k] = max(done, s.done[k - 1]) if s.joined[k] else done
        lifted = False
        for k in range(count - 1, 0, -1):
            pickup = s.partner[k]
            if pickup > 0:
                needed = s.begin[k] - s.ride_limit[k] - s.service[pickup]
                if s.begin[pickup] < needed:
                    s.earliest[pickup] = needed
                    lifted = True
        if not lifted:
            return True
    return False


@kernel
def copy_row(plans: PlanArrays, fleet: FleetArrays, row: int, partner: int, s: Scratch, k: int) -> None:
    """A row of a plan into the sequence, with the place its pickup has there."""
    s.leg[k] = plans.leg[row]
    s.earliest[k] = plans.earliest[row]
    s.latest[k] = plans.latest[row]
    s.service[k] = plans.service[row]
    s.ride_limit[k] = plans.ride_limit[row]
    s.partner[k] = partner
    s.joined[k] = joins(plans, fleet, row - 1, row)


@kernel
def _shifted(partner: int, i: int, j: int) -> int:
    return partner if partner <= 0 else partner + (1 if partner > i else 0) + (1 if partner > j else 0)


@kernel
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
        copy_row(plans, fleet, base + row, _shifted(plans.partner[base + row], i, j), s, k)
        k += 1
    pickup = k
    s.leg[k] = to_origin(roads, plans, memo, wish, base + i)
    s.earliest[k] = wish.pickup_earliest
    s.latest[k] = wish.pickup_latest
    s.service[k] = wish.boarding
    s.ride_limit[k] = 0
    s.partner[k] = -1
    s.joined[k] = _joins_spot(plans, fleet, base + i, wish.origin, wish.origin_ms)
    k += 1
    for row in range(i + 1, j + 1):
        copy_row(plans, fleet, base + row, _shifted(plans.partner[base + row], i, j), s, k)
        if row == i + 1:
            s.leg[k] = from_origin(roads, plans, memo, wish, base + row)
            s.joined[k] = _joins_spot(plans, fleet, base + row, wish.origin, wish.origin_ms)
        k += 1
    s.leg[k] = wish.direct if i == j else to_destination(roads, plans, memo, wish, base + j)
    s.earliest[k] = wish.dropoff_earliest
    s.latest[k] = wish.dropoff_latest
    s.service[k] = wish.alighting
    s.ride_limit[k] = wish.max_ride
    s.partner[k] = pickup
    if i == j:
        s.joined[k] = fleet.together == 1 and wish.origin == wish.destination and wish.origin_ms == wish.destination_ms
    else:
        s.joined[k] = _joins_spot(plans, fleet, base + j, wish.destination, wish.destination_ms)
    k += 1
    for row in range(j + 1, count):
        copy_row(plans, fleet, base + row, _shifted(plans.partner[base + row], i, j), s, k)
        if row == j + 1:
            s.leg[k] = from_destination(roads, plans, memo, wish, base + row)
            s.joined[k] = _joins_spot(plans, fleet, base + row, wish.destination, wish.destination_ms)
        k += 1
    return earliest_schedule(k, start, s)


@kernel
def latest_begins(plans: PlanArrays, fleet: FleetArrays, vehicle: int, late: IntArray) -> None:
    """Latest begins of a plan's rows that leave all later windows reachable (ride limits left aside)."""
    base, last = plans.first[vehicle], plans.count[vehicle] - 1
    late[last] = plans.latest[base + last]
    leaves = late[last] - plans.leg[base + last]
    for k in range(last - 1, 0, -1):
        latest = min(plans.latest[base + k], leaves - plans.service[base + k])
        if k + 1 < last and joins(plans, fleet, base + k, base + k + 1):
            latest = min(latest, late[k + 1])
        late[k] = latest
        if not joins(plans, fleet, base + k - 1, base + k):
            leaves = late[k] - plans.leg[base + k]


@kernel
def rides_with(plans: PlanArrays, vehicle: int, i: int, j: int, apart: IntArray) -> bool:
    """True where a rider who boards after row i and leaves after row j would meet one of `apart` aboard."""
    base = plans.first[vehicle]
    for k in range(i + 1, plans.count[vehicle]):
        if plans.kind[base + k] == DROPOFF and max(plans.partner[base + k], 0) <= j:
            for other in apart:
                if plans.request[base + k] == other:
                    return True
    return False


@kernel
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
    latest_begins(plans, fleet, vehicle, s.late)
    free = first_free(plans, vehicle)
    load = s.load
    for r in range(load.shape[0]):
        load[r] = plans.aboard[vehicle, r]
    for k in range(1, free + 1):
        for r in range(load.shape[0]):
            load[r] += plans.load[base + k, r]

    for i in range(free, count - 1):
        if i > free:
            for r in range(load.shape[0]):
                load[r] += plans.load[base + i, r]
        row_i = base + i
        next_i = base + i + 1
        if i == 0 and paths.driving[vehicle] and paths.located[vehicle] != now:
            # From where it was last seen: no later place on its way is nearer than this less the time since.
            low = at_least(roads, plans.state[row_i], plans.offset[row_i], wish.origin, wish.origin_ms)
            if max(plans.begin[row_i] + low, now) > wish.pickup_latest:
                continue
            back = at_least(roads, wish.origin, wish.origin_ms, plans.state[next_i], plans.offset[next_i])
            if low + back - plans.leg[next_i] > limit:
                continue
            locate(roads, plans, paths, vehicle, now)
            memo.known[row_i] = 0
        join_i = fleet.together == 1 and plans.state[row_i] == wish.origin and plans.offset[row_i] == wish.origin_ms
        if i == 0:
            leaves = free_from(plans, paths, vehicle, now)
        else:
            leaves = plans.begin[row_i] if join_i else plans.done[row_i]
        if leaves > wish.pickup_latest:
            break
        low = at_least(roads, plans.state[row_i], plans.offset[row_i], wish.origin, wish.origin_ms)
        if leaves + low > wish.pickup_latest:
            continue
        back = at_least(roads, wish.origin, wish.origin_ms, plans.state[next_i], plans.offset[next_i])
        if i < count - 2:
            boarded = max(leaves + low, wish.pickup_earliest) + (0 if fleet.together else wish.boarding)
            if boarded + back > s.late[i + 1] or low + back - plans.leg[next_i] > limit:
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
        cost_o = to_o - plans.leg[next_i]
        if i < count - 2 and (cost_o + back > limit or cost_o + back > best[0]):
            continue
        for r in range(load.shape[0]):
            s.riding[r] = load[r]
        for j in range(i, count - 1):
            row_j = base + j
            next_j = base + j + 1
            if j == i:
                begin_d = reaches + wish.direct
                if fleet.together == 1 and wish.direct == 0:
                    begin_d = boards
                to_d, cost = wish.direct, cost_o + wish.direct
            else:
                if plans.kind[row_j] == BREAK:
                    break
                if j == i + 1:
                    from_o = from_origin(roads, plans, memo, wish, row_j)
                    cost_o += from_o
                    arrives = reaches + from_o
                    if fleet.together == 1 and from_o == 0:
                        arrives = boards
                else:
                    arrives = reaches + plans.leg[row_j]
                    if joins(plans, fleet, row_j - 1, row_j):
                        arrives = boards
                begin = max(arrives, plans.begin[row_j])
                if begin > s.late[j]:
                    sieve = max(sieve, TOO_LATE)
                    break
                boards = begin  # when the vehicle began at row j
                reaches = max(begin + plans.service[row_j], plans.done[row_j])
                for r in range(load.shape[0]):
                    s.riding[r] += plans.load[row_j, r]
                if not fits(s.riding, wish.demand, fleet, vehicle):
                    sieve = max(sieve, NO_ROOM)
                    break
                if cost_o > limit or cost_o > best[0]:
                    break
                low = at_least(roads, plans.state[row_j], plans.offset[row_j], wish.destination, wish.destination_ms)
                join_j = fleet.together == 1 and low == 0
                if (boards if join_j else reaches) + low > wish.dropoff_latest:
                    sieve = max(sieve, TOO_LATE)
                    continue
                to_d = to_destination(roads, plans, memo, wish, row_j)
                begin_d = reaches + to_d
                if fleet.together == 1 and to_d == 0:
                    begin_d = boards
                cost = cost_o + to_d - plans.leg[next_j]
            if begin_d > wish.dropoff_latest:
                sieve = max(sieve, TOO_LATE)
                if fleet.together == 1:
                    continue
                break
            low = at_least(roads, wish.destination, wish.destination_ms, plans.state[next_j], plans.offset[next_j])
            if cost + low > limit or cost + low >= best[0]:
                continue
            from_d = from_destination(roads, plans, memo, wish, next_j)
            begin_d = max(begin_d, wish.dropoff_earliest)
            arrives = begin_d + wish.alighting + from_d
            if fleet.together == 1 and from_d == 0:
                arrives = begin_d
            if arrives > s.late[j + 1]:
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
                best[0] = cost
                best[1] = i
                best[2] = j
                sieve = FEASIBLE
            else:
                sieve = max(sieve, RIDE_TOO_LONG)
    return sieve
