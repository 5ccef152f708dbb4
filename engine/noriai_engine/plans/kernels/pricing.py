"""New routes for the pool: a lone vehicle collects the tasks that are worth more than they cost (column generation).

What a task is worth is its dual price in the linear relaxation of the set partitioning; a route whose tasks are worth
more than it costs improves the relaxation. Ruin and recreate on one route, accepted by annealing, finds such routes
(Parragh & Schmid 2013 price by neighbourhood search too); it proves nothing where it finds none.
"""

import numpy as np

from noriai_engine.kernels import lean_kernel
from noriai_engine.plans.kernels.anneal import remember
from noriai_engine.plans.kernels.arrays import Array, Floats, Pool, Routes, Tasks, Work
from noriai_engine.plans.kernels.dice import below, uniform
from noriai_engine.plans.kernels.energy import lasts
from noriai_engine.plans.kernels.place import best_place, put
from noriai_engine.plans.kernels.ruin import copy_route
from noriai_engine.plans.kernels.schedule import settle

CANDIDATES = 24
LONGEST = 5


@lean_kernel
def load_row(t: Tasks, r: Routes, pool: Pool, row: int, w: Work) -> bool:
    """Make a route of the pool the route of the lone vehicle; False where it breaks a limit."""
    for task in range(t.jobs.shape[0]):
        r.home[task] = -1
    first = pool.first[row]
    length = pool.first[row + 1] - first
    r.rows[0, 0].node = t.cars[0].start
    for q in range(length):
        r.rows[0, q + 1].node = pool.node[first + q]
    r.rows[0, length + 1].node = t.cars[0].end
    r.heads[0].count = length + 2
    return settle(t, r, 0, w) and lasts(t, r, 0, -1, 0, 0)


@lean_kernel
def pour(t: Tasks, r: Routes, w: Work, kind: int, source: Pool, target: Pool) -> None:
    """Copy all lawful routes of a class from one pool to another; t and r are those of a lone vehicle of the class."""
    for row in range(source.used[0]):
        if source.kind[row] == kind and load_row(t, r, source, row, w):
            remember(t, r, 0, target)


@lean_kernel
def _take_out(t: Tasks, r: Routes, w: Work) -> int:
    """Take out the tasks of a few neighbouring stops, which stay marked; returns one of them, or one that stays."""
    stops = r.heads[0].count - 2
    length = min(below(w.dice, LONGEST + 1), stops)
    begin = 1 + below(w.dice, stops - length + 1)
    first = t.stops[r.rows[0, min(begin, stops)].node].task
    if length == 0:
        return first
    for q in range(begin, begin + length):
        w.marked[t.stops[r.rows[0, q].node].task] = 1
    n = 1
    for q in range(1, stops + 2):
        node = r.rows[0, q].node
        task = t.stops[node].task
        if task < 0 or not w.marked[task]:
            r.rows[0, n].node = node
            n += 1
        elif t.stops[node].role >= 0:
            r.home[task] = -1
            w.absent[w.counts[0]] = task
            w.counts[0] += 1
    r.heads[0].count = n
    settle(t, r, 0, w)
    return first


@lean_kernel
def collect(
    t: Tasks, r: Routes, old: Routes, memo: Array, pool: Pool, w: Work, worth: Floats, most: float, iterations: int,
    heat: float,
) -> int:  # fmt: skip
    """Vary the route of the lone vehicle; returns how many routes of value below `most` went into the pool.

    The value of a route is its cost less the worth of its tasks.
    """
    found = 0
    value = r.heads[0].cost
    for q in range(1, r.heads[0].count - 1):
        if t.stops[r.rows[0, q].node].role >= 0:
            value -= worth[t.stops[r.rows[0, q].node].task]
    for _ in range(iterations):
        if r.heads[0].count < 4:
            break
        copy_route(r, old, 0)
        w.counts[0] = 0
        base = _take_out(t, r, w)
        count = w.counts[0]
        for _ in range(min(CANDIDATES, t.kin.shape[1])):
            task = t.kin[base, int(uniform(w.dice) ** 2 * t.kin.shape[1])]
            if r.home[task] < 0 and not w.marked[task] and worth[task] > 0.0:
                w.marked[task] = 1
                w.absent[count] = task
                count += 1
        for index in range(count):
            w.marked[w.absent[index]] = 0
        left = count
        shake = 0.4 * uniform(w.dice) if uniform(w.dice) < 0.5 else 0.0
        while left > 0:
            chosen, least = -1, 0.0
            for index in range(left):
                task = w.absent[index]
                gain = best_place(t, r, memo, w, task, 0, worth[task]) - worth[task]
                if shake > 0.0 and gain < 0.0:
                    gain *= 1.0 - shake * uniform(w.dice)
                if gain < least:
                    chosen, least = index, gain
            if chosen < 0:
                break
            task = w.absent[chosen]
            left -= 1
            w.absent[chosen] = w.absent[left]
            w.absent[left] = task
            put(t, r, memo, w, task, 0)
        after = r.heads[0].cost
        for q in range(1, r.heads[0].count - 1):
            if t.stops[r.rows[0, q].node].role >= 0:
                after -= worth[t.stops[r.rows[0, q].node].task]
        good = after < value - heat * np.log(1.0 - uniform(w.dice)) and r.heads[0].count > 2
        if good and lasts(t, r, 0, -1, 0, 0):
            if after < most - 1e-7 and after != value:
                before = pool.used[0]
                remember(t, r, 0, pool)
                found += pool.used[0] - before
            value = after
            continue
        for q in range(1, r.heads[0].count - 1):
            r.home[t.stops[r.rows[0, q].node].task] = -1
        copy_route(old, r, 0)
        for q in range(1, r.heads[0].count - 1):
            node = r.rows[0, q].node
            r.at[node] = q
            r.home[t.stops[node].task] = 0
    return found
