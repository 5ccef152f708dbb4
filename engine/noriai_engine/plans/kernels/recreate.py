"""Recreate: put absent tasks back, each where it costs least, in one of several orders (SISR)."""

import numpy as np

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Array, Routes, Tasks, Work
from noriai_engine.plans.kernels.dice import uniform
from noriai_engine.plans.kernels.place import best_place, put
from noriai_engine.plans.kernels.ruin import keep_route


@inlined_kernel
def _sort(w: Work, count: int) -> None:
    """Absent tasks by rising `w.order` (insertion sort: they are few)."""
    for a in range(1, count):
        task = w.absent[a]
        key = w.order[task]
        b = a - 1
        while b >= 0 and w.order[w.absent[b]] > key:
            w.absent[b + 1] = w.absent[b]
            b -= 1
        w.absent[b + 1] = task


@lean_kernel
def order_absent(t: Tasks, w: Work) -> None:
    """Choose the order of insertion: random, by load, far from or close to the depot, narrow windows, by time."""
    count = w.counts[0]
    way = uniform(w.dice)
    depot = t.cars[0].start
    for index in range(count):
        task = w.absent[index]
        p, d = t.jobs[task].pickup, t.jobs[task].delivery
        if way < 0.35:
            key = uniform(w.dice)
        elif way < 0.5:
            key = -float(t.jobs[task].code)
        elif way < 0.6:
            key = -(t.cost[0, depot, p] + t.cost[0, d, depot])
        elif way < 0.65:
            key = t.cost[0, depot, p] + t.cost[0, d, depot]
        elif way < 0.75:
            key = float(min(t.stops[p].late - t.stops[p].early, t.stops[d].late - t.stops[d].early))
        elif way < 0.85:
            key = float(t.stops[p].early)
        elif way < 0.95:
            key = -float(t.stops[d].late)
        else:
            key = -t.cost[0, p, d]
        w.order[task] = key
    _sort(w, count)


@inlined_kernel
def recreate(
    t: Tasks, r: Routes, old: Routes, memo: Array, by_regret: bool, shake: float, bold: bool, room: float, w: Work
) -> bool:  # fmt: skip
    """Insert absent tasks at their best place, in an order chosen now or whatever loses most by waiting.

    In order, a route is passed over with chance `shake` (blinks of SISR); by regret (Potvin & Rousseau 1993), costs are
    multiplied by up to 1 +- shake / 2. `bold` opens vehicles as if they cost nothing: tasks that pay for one together,
    and none alone, come in so. False, in the middle of it, once that adds more than `room` to the cost.
    Places are looked at as far as they can matter: below the best one so far and `room`, by regret the second best.
    """
    if not by_regret:
        order_absent(t, w)
    count = w.counts[0]
    head, left = 0, 0  # absent[:left] found no place, absent[head:count] wait
    while head < count:
        chosen, chosen_k, most = head, -1, -np.inf
        for index in range(head, count if by_regret else head + 1):
            task = w.absent[index]
            worth = t.jobs[task].price
            if t.jobs[task].link >= 0:
                worth += t.jobs[t.jobs[task].link].price
            elif not by_regret:
                worth = min(worth, room)
            best, second, best_k = worth, worth, -1
            empty = -1
            for k in range(r.heads.shape[0]):
                if r.heads[k].count == 2:  # equal vehicles that stand idle: one is enough
                    if t.cars[k].kind == empty:
                        continue
                    empty = t.cars[k].kind
                if shake > 0.0 and not by_regret and uniform(w.dice) < shake:
                    continue
                enough = best
                if by_regret:
                    enough = second / (1.0 - 0.5 * shake if second > 0.0 else 1.0 + 0.5 * shake)
                if bold and r.heads[k].count == 2:
                    enough += t.cars[k].fixed
                cost = memo[task, k].cost
                if memo[task, k].stamp != r.heads[k].stamp or (memo[task, k].i < 0 and cost < enough):
                    cost = best_place(t, r, memo, w, task, k, enough)
                if bold and r.heads[k].count == 2:
                    cost -= t.cars[k].fixed
                if by_regret and shake > 0.0:
                    cost *= 1.0 + shake * (uniform(w.dice) - 0.5)
                if cost < best:
                    best, second, best_k = cost, best, k
                elif cost < second:
                    second = cost
            if best_k >= 0 and second - best > most:
                chosen, chosen_k, most = index, best_k, second - best
        if chosen_k < 0:  # nobody waiting has a place
            for index in range(head, count if by_regret else head + 1):
                task = w.absent[index]
                room -= t.jobs[task].price
                w.absent[left] = task
                left += 1
                head += 1
            if room < 0.0:
                return False
            continue
        task = w.absent[chosen]
        w.absent[chosen] = w.absent[head]
        head += 1
        room -= memo[task, chosen_k].cost
        if room < 0.0:
            return False
        keep_route(r, old, chosen_k, w)
        put(t, r, memo, w, task, chosen_k)
    w.counts[0] = left
    return True


@lean_kernel
def solution_cost(t: Tasks, r: Routes, w: Work) -> float:
    """Cost of routes and of tasks left out; half a linked pair counts as both left out."""
    total = 0.0
    for k in range(r.heads.shape[0]):
        total += r.heads[k].cost
    for index in range(w.counts[0]):
        task = w.absent[index]
        total += t.jobs[task].price
        other = t.jobs[task].link
        if other >= 0 and r.home[other] >= 0:
            total += t.jobs[other].price
    return total


@lean_kernel
def leaves_halves(t: Tasks, r: Routes, w: Work) -> bool:
    """Whether half a linked pair is served that could not be taken out with ease: a battery that lasts for a route need
    not last for the route without a stop."""
    if t.length.shape[0] == 0:
        return False
    found = False
    for index in range(w.counts[0]):
        other = t.jobs[w.absent[index]].link
        found = found or (other >= 0 and r.home[other] >= 0)
    return found


@inlined_kernel
def is_better(cost: float, than: float) -> bool:
    return cost < than - 1e-7 * (1.0 + np.abs(than))
