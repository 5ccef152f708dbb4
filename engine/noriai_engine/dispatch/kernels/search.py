"""The best insertions over a whole fleet: vehicles in order of a lower bound, until it passes the best found."""

from typing import Any, NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    NO_COST,
    NOT_ELIGIBLE,
    PARTY_TOO_BIG,
    TOO_FAR,
    Memo,
    Scratch,
    Wish,
    best_in_plan,
    first_free,
    fits,
    free_from,
    least_drops,
)
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.kernels.upkeep import lock_until
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.model.units import ByteArray, IntArray, LongArray
from noriai_engine.roads.kernels.bounds import RoadView, at_least_from, at_least_to


class Found(NamedTuple):
    """The best vehicles of each operator (O, K), least cost first, then lowest vehicle; cost NO_COST where there is
    none. `sieve` (V,) is the furthest each vehicle reached: the whole truth only where nothing was found. The rest is
    working space: a heap of vehicles (V,) by a lower bound of their cost, and the best of one vehicle (3,)."""

    cost: LongArray
    vehicle: IntArray
    after_pickup: IntArray
    after_dropoff: IntArray
    sieve: ByteArray
    heap_cost: LongArray
    heap: IntArray
    best: LongArray


def found_for(vehicles: int, operators: int, keep: int) -> Found:
    return Found(
        np.zeros((operators, keep), np.int64), np.zeros((operators, keep), np.int32),
        np.zeros((operators, keep), np.int32), np.zeros((operators, keep), np.int32), np.zeros(vehicles, np.int8),
        np.zeros(vehicles, np.int64), np.zeros(vehicles, np.int32), np.zeros(3, np.int64),
    )  # fmt: skip


@inlined_kernel
def is_eligible(fleet: FleetArrays, plans: PlanArrays, vehicle: int, wish: Wish, now: int) -> bool:
    return bool(
        plans.count[vehicle] > 1
        and fleet.shift_end[vehicle] > now
        and (wish.operator < 0 or fleet.operator[vehicle] == wish.operator)
        and (fleet.can[vehicle] & wish.needs) == wish.needs
    )


@inlined_kernel
def _least_cost(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, wish: Wish, now: int,
    s: Scratch,
) -> int:  # fmt: skip
    """A lower bound of the cost of any insertion in time for the pickup; -1 where there is none."""
    base, count = plans.first[vehicle], plans.count[vehicle]
    least = np.int64(-1)
    for i in range(first_free(plans, vehicle), count - 1):
        row = base + i
        if i == 0:
            leaves = free_from(plans, paths, vehicle, now)
        else:
            leaves = plans.rows[row].begin if fleet.together else plans.rows[row].done
        if leaves > wish.pickup_latest:
            break
        there = at_least_to(roads, plans.rows[row].state, plans.rows[row].offset, wish.origin, wish.origin_ms)
        if leaves + there > wish.pickup_latest:
            continue
        if least < 0:
            least_drops(roads, plans, vehicle, wish, s)
        onward = plans.rows[row + 1]
        there -= onward.leg
        cost = there + wish.direct
        cost += at_least_from(roads, wish.destination, wish.destination_ms, onward.state, onward.offset)
        if i < count - 2:
            back = at_least_from(roads, wish.origin, wish.origin_ms, onward.state, onward.offset)
            cost = min(cost, max(there + back, 0) + s.rows[i + 1].drop)
        cost = max(cost, 0)
        if least < 0 or cost < least:
            least = np.int64(cost)
    return int(least)


@inlined_kernel
def _keep(found: Found, operator: int, cost: int, vehicle: int, i: int, j: int) -> None:
    k = found.cost.shape[1] - 1
    while k > 0 and (
        found.cost[operator, k - 1] > cost
        or (found.cost[operator, k - 1] == cost and found.vehicle[operator, k - 1] > vehicle)
    ):
        found.cost[operator, k] = found.cost[operator, k - 1]
        found.vehicle[operator, k] = found.vehicle[operator, k - 1]
        found.after_pickup[operator, k] = found.after_pickup[operator, k - 1]
        found.after_dropoff[operator, k] = found.after_dropoff[operator, k - 1]
        k -= 1
    found.cost[operator, k], found.vehicle[operator, k] = cost, vehicle
    found.after_pickup[operator, k], found.after_dropoff[operator, k] = i, j


@inlined_kernel
def push(found: Found, count: int, cost: int, vehicle: int) -> None:
    """Add to a binary heap of `count` vehicles."""
    k = count
    while k > 0 and found.heap_cost[(k - 1) >> 1] > cost:
        found.heap_cost[k], found.heap[k] = found.heap_cost[(k - 1) >> 1], found.heap[(k - 1) >> 1]
        k = (k - 1) >> 1
    found.heap_cost[k], found.heap[k] = cost, vehicle


@inlined_kernel
def pop(found: Found, count: int) -> None:
    """Take the first away; `count` stay."""
    cost, vehicle, k = found.heap_cost[count], found.heap[count], 0
    while 2 * k + 1 < count:
        child = 2 * k + 1
        if child + 1 < count and found.heap_cost[child + 1] < found.heap_cost[child]:
            child += 1
        if found.heap_cost[child] >= cost:
            break
        found.heap_cost[k], found.heap[k] = found.heap_cost[child], found.heap[child]
        k = child
    found.heap_cost[k], found.heap[k] = cost, vehicle


@lean_kernel
def best_insertions(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, wish: Wish, now: int, horizon: int,
    memo: Memo, s: Scratch, found: Found,
) -> None:  # fmt: skip
    """The least costly insertions of each operator, exact; ties go to the lower vehicle, then the earlier rows.

    Rows that begin by `horizon` are locked first. Changes nothing else but positions found on the way.
    """
    found.cost[:] = NO_COST
    count = 0
    for r in range(s.load.shape[0]):
        s.load[r] = 0
    for vehicle in range(plans.first.shape[0]):
        if not is_eligible(fleet, plans, vehicle, wish, now):
            found.sieve[vehicle] = NOT_ELIGIBLE
            continue
        if not fits(s.load, wish.demand, fleet, vehicle):
            found.sieve[vehicle] = PARTY_TOO_BIG
            continue
        found.sieve[vehicle] = TOO_FAR
        if paths.roaming[vehicle]:  # it may come nearer or go away: bounds from where it was last seen do not hold
            locate(roads, plans, paths, vehicle, now)
        lock_until(plans, vehicle, horizon)
        cost = _least_cost(roads, fleet, plans, paths, vehicle, wish, now, s)
        if cost >= 0:
            push(found, count, cost, vehicle)
            count += 1
    last = found.cost.shape[1] - 1
    while count > 0:
        least, vehicle = found.heap_cost[0], found.heap[0]
        count -= 1
        pop(found, count)
        operator = fleet.operator[vehicle]
        limit = found.cost[operator, last]
        if limit < NO_COST and found.vehicle[operator, last] < vehicle:
            limit -= 1
        if least > limit:
            continue
        found.sieve[vehicle] = best_in_plan(roads, fleet, plans, paths, vehicle, wish, now, limit, memo, s, found.best)
        if found.best[0] < NO_COST:
            _keep(found, operator, found.best[0], vehicle, found.best[1], found.best[2])


@lean_kernel
def cheapest(found: Found) -> tuple[Any, Any, Any, Any]:
    """The least costly of all operators' insertions: its cost (NO_COST if there is none), the vehicle (-1) and the rows
    to insert after. Of equals the lowest vehicle."""
    cost, vehicle, i, j = NO_COST, np.int64(-1), np.int64(0), np.int64(0)
    for operator in range(found.cost.shape[0]):
        other = np.int64(found.vehicle[operator, 0])
        if found.cost[operator, 0] < cost or (found.cost[operator, 0] == cost and cost < NO_COST and other < vehicle):
            cost, vehicle = found.cost[operator, 0], other
            i, j = np.int64(found.after_pickup[operator, 0]), np.int64(found.after_dropoff[operator, 0])
    return cost, vehicle, i, j
