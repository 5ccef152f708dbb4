"""Least-cost feasible insertion of a request into every vehicle's plan, exact under all constraints.

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

from noriai_engine.dispatch.plan_arrays import PlanArrays
from noriai_engine.kernels import kernel
from noriai_engine.model.units import ByteArray, IntArray, LongArray, SmallArray

BREAK = 3
NO_COST = np.int64(1) << np.int64(60)

# Sieves in the order a candidate meets them; the last one any candidate reached is the reason of a refusal.
NOT_ELIGIBLE, PARTY_TOO_BIG, TOO_FAR, NO_ROOM, TOO_LATE, RIDE_TOO_LONG, FEASIBLE = 0, 1, 2, 3, 4, 5, 6


class Wish(NamedTuple):
    """A request in kernel terms: spots (state and offset), begin windows, service times, ride limit (ms),
    load `demand` (R,)."""

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
    demand: SmallArray


class Rows(NamedTuple):
    """Travel times (N,) of the wish's two ends to and from the spot of every row of all plans, and between them."""

    to_origin: IntArray
    from_origin: IntArray
    to_destination: IntArray
    from_destination: IntArray
    direct: int


class Layouts(NamedTuple):
    """`first` (V + 1,) layouts of each vehicle in `amount` (L, R)."""

    first: IntArray
    amount: SmallArray


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
    load: SmallArray
    riding: SmallArray


def scratch_for(rows: int, resources: int) -> Scratch:
    size = rows + 2
    late, leg, earliest, latest, service, partner, limit, begin = (np.zeros(size, np.int32) for _ in range(8))
    load, riding = np.zeros(resources, np.int16), np.zeros(resources, np.int16)
    return Scratch(late, leg, earliest, latest, service, partner, limit, begin, load, riding)


@kernel
def _fits(load: SmallArray, extra: SmallArray, layouts: Layouts, vehicle: int) -> bool:
    for k in range(layouts.first[vehicle], layouts.first[vehicle + 1]):
        ok = True
        for r in range(load.shape[0]):
            if load[r] + extra[r] > layouts.amount[k, r]:
                ok = False
                break
        if ok:
            return True
    return False


@kernel
def _earliest_schedule(count: int, start: int, s: Scratch) -> bool:
    """Least fixpoint of the sequence in `s` (rows 1..count-1 after a start at `start`) into s.begin; False if none.

    Changes s.earliest where a pickup has to be lifted.
    """
    rides = 0
    for k in range(1, count):
        if s.partner[k] > 0:
            rides += 1
    for _ in range(rides + 2):
        now = start
        s.begin[0] = start
        for k in range(1, count):
            begin = max(now + s.leg[k], s.earliest[k])
            if begin > s.latest[k]:
                return False
            s.begin[k] = begin
            now = begin + s.service[k]
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
def _copy_row(plans: PlanArrays, row: int, shift_after: int, shift_more: int, s: Scratch, k: int) -> None:
    s.leg[k] = plans.leg[row]
    s.earliest[k] = plans.earliest[row]
    s.latest[k] = plans.latest[row]
    s.service[k] = plans.service[row]
    s.ride_limit[k] = plans.ride_limit[row]
    partner = plans.partner[row]
    if partner > 0:
        partner += (1 if partner > shift_after else 0) + (1 if partner > shift_more else 0)
    s.partner[k] = partner


@kernel
def schedule_insertion(
    plans: PlanArrays, vehicle: int, wish: Wish, rows: Rows, after_pickup: int, after_dropoff: int, start: int,
    s: Scratch,
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
        _copy_row(plans, base + row, i, j, s, k)
        k += 1
    pickup = k
    s.leg[k] = rows.to_origin[base + i]
    s.earliest[k] = wish.pickup_earliest
    s.latest[k] = wish.pickup_latest
    s.service[k] = wish.boarding
    s.ride_limit[k] = 0
    s.partner[k] = -1
    k += 1
    for row in range(i + 1, j + 1):
        _copy_row(plans, base + row, i, j, s, k)
        if row == i + 1:
            s.leg[k] = rows.from_origin[base + row]
        k += 1
    s.leg[k] = rows.direct if i == j else rows.to_destination[base + j]
    s.earliest[k] = wish.dropoff_earliest
    s.latest[k] = wish.dropoff_latest
    s.service[k] = wish.alighting
    s.ride_limit[k] = wish.max_ride
    s.partner[k] = pickup
    k += 1
    for row in range(j + 1, count):
        _copy_row(plans, base + row, i, j, s, k)
        if row == j + 1:
            s.leg[k] = rows.from_destination[base + row]
        k += 1
    return _earliest_schedule(k, start, s)


@kernel
def best_in_plan(
    plans: PlanArrays,
    layouts: Layouts,
    vehicle: int,
    wish: Wish,
    rows: Rows,
    now: int,
    s: Scratch,
    best: LongArray,
) -> int:
    """Best insertion into one plan: best[0] added driving ms, best[1] and best[2] the rows to insert after.

    Ties go to the earliest pickup row, then the earliest dropoff row. Returns the furthest sieve reached.
    """
    base = plans.first[vehicle]
    count = plans.count[vehicle]
    best[0] = NO_COST
    sieve = TOO_FAR
    direct = rows.direct
    s.late[count - 1] = plans.latest[base + count - 1]
    for k in range(count - 2, 0, -1):
        after = s.late[k + 1] - plans.leg[base + k + 1] - plans.service[base + k]
        s.late[k] = min(plans.latest[base + k], after)
    first_free = 0
    for k in range(1, count):
        if plans.locked[base + k]:
            first_free = k
    load = s.load
    for r in range(load.shape[0]):
        load[r] = plans.aboard[vehicle, r]
    for k in range(1, first_free + 1):
        for r in range(load.shape[0]):
            load[r] += plans.load[base + k, r]

    for i in range(first_free, count - 1):
        if i > first_free:
            for r in range(load.shape[0]):
                load[r] += plans.load[base + i, r]
        row_i = base + i
        next_i = base + i + 1
        leaves = max(plans.begin[base], now) if i == 0 else plans.begin[base + i] + plans.service[base + i]
        at_origin = leaves + rows.to_origin[row_i]
        if at_origin > wish.pickup_latest:
            break  # every later row reaches the origin later still
        if not _fits(load, wish.demand, layouts, vehicle):
            sieve = max(sieve, NO_ROOM)
            continue
        from_origin = max(at_origin, wish.pickup_earliest) + wish.boarding
        detour_origin = rows.to_origin[row_i] + rows.from_origin[next_i] - plans.leg[base + i + 1]
        reaches = from_origin  # when the vehicle leaves row j with the rider aboard
        for r in range(load.shape[0]):
            s.riding[r] = load[r]
        for j in range(i, count - 1):
            row_j = base + j
            next_j = base + j + 1
            if j == i:
                at_destination = reaches + direct
                cost = rows.to_origin[row_i] + direct + rows.from_destination[next_i] - plans.leg[base + i + 1]
            else:
                if plans.kind[base + j] == BREAK:
                    break
                drive = rows.from_origin[next_i] if j == i + 1 else plans.leg[base + j]
                begin = max(reaches + drive, plans.begin[base + j])
                if begin > s.late[j]:
                    sieve = max(sieve, TOO_LATE)
                    break
                reaches = begin + plans.service[base + j]
                for r in range(load.shape[0]):
                    s.riding[r] += plans.load[base + j, r]
                if not _fits(s.riding, wish.demand, layouts, vehicle):
                    sieve = max(sieve, NO_ROOM)
                    break
                at_destination = reaches + rows.to_destination[row_j]
                detour = rows.to_destination[row_j] + rows.from_destination[next_j] - plans.leg[base + j + 1]
                cost = detour_origin + detour
            if at_destination > wish.dropoff_latest:
                sieve = max(sieve, TOO_LATE)
                break
            done = max(at_destination, wish.dropoff_earliest) + wish.alighting
            if done + rows.from_destination[next_j] > s.late[j + 1]:
                sieve = max(sieve, TOO_LATE)
                continue
            if cost >= best[0]:
                continue
            start = max(plans.begin[base], now)
            if schedule_insertion(plans, vehicle, wish, rows, i, j, start, s):
                best[0] = cost
                best[1] = i
                best[2] = j
                sieve = FEASIBLE
            else:
                sieve = max(sieve, RIDE_TOO_LONG)
    return sieve


@kernel
def best_per_vehicle(
    plans: PlanArrays, layouts: Layouts, eligible: ByteArray, wish: Wish, rows: Rows, now: int, s: Scratch,
    cost: LongArray, after_pickup: IntArray, after_dropoff: IntArray, sieve: ByteArray,
) -> None:  # fmt: skip
    """The best insertion into every eligible vehicle's plan; all outputs are (V,), cost NO_COST where none."""
    best = np.zeros(3, np.int64)
    empty = np.zeros(wish.demand.shape[0], np.int16)
    for vehicle in range(plans.first.shape[0]):
        cost[vehicle] = NO_COST
        if not eligible[vehicle]:
            sieve[vehicle] = NOT_ELIGIBLE
        elif not _fits(empty, wish.demand, layouts, vehicle):
            sieve[vehicle] = PARTY_TOO_BIG
        else:
            sieve[vehicle] = best_in_plan(plans, layouts, vehicle, wish, rows, now, s, best)
            cost[vehicle] = best[0]
            after_pickup[vehicle] = best[1]
            after_dropoff[vehicle] = best[2]
