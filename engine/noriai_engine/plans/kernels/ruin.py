"""Ruin: take strings of neighbouring stops out of routes (SISR, Christiaens & Vanden Berghe 2020), or whole routes.

A stop takes its partner with it. Neighbours are ordered by `near` (drive cost, or drive cost and the waiting or
lateness between two windows).
"""

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Routes, Tasks, Work
from noriai_engine.plans.kernels.dice import below, uniform
from noriai_engine.plans.kernels.schedule import settle

SPLIT = 0.5  # share of strings with a hole (alpha of SISR)
LONGER = 0.01  # chance that the hole grows by one stop (beta of SISR)
HALVES = 0.5  # share of linked tasks served alone that are taken out again


@inlined_kernel
def keep_route(r: Routes, old: Routes, k: int, w: Work) -> None:
    """Before the first change of a route in an iteration: a copy to go back to."""
    if w.dirty[k]:
        return
    w.dirty[k] = 1
    copy_route(r, old, k)


@lean_kernel
def copy_route(r: Routes, to: Routes, k: int) -> None:
    to.heads[k] = r.heads[k]
    for q in range(r.heads[k].count):
        to.rows[k, q] = r.rows[k, q]


@lean_kernel
def back_to(t: Tasks, r: Routes, old: Routes, k: int) -> None:
    """Bring a kept route back."""
    copy_route(old, r, k)
    for q in range(1, r.heads[k].count - 1):
        node = r.rows[k, q].node
        r.at[node] = q
        r.home[t.stops[node].task] = k


@inlined_kernel
def _mark(r: Routes, task: int, w: Work) -> None:
    """A task leaves its route; `_close_gaps` takes its stops out."""
    w.marked[task] = 1
    w.absent[w.counts[0]] = task
    w.counts[0] += 1
    r.home[task] = -1


@inlined_kernel
def _close_gaps(t: Tasks, r: Routes, k: int, w: Work) -> bool:
    n = 1
    for q in range(1, r.heads[k].count):
        node = r.rows[k, q].node
        task = t.stops[node].task
        if task < 0 or not w.marked[task]:
            r.rows[k, n].node = node
            n += 1
    r.heads[k].count = n
    return settle(t, r, k, w)


@inlined_kernel
def _take_string(t: Tasks, r: Routes, k: int, at: int, length: int, skip: int, w: Work) -> None:
    """Mark a string of `length` stops of route k around position `at`; `skip` stops in its middle stay."""
    stops = r.heads[k].count - 2
    whole = min(stops, length + skip)
    low = max(1, at - whole + 1)
    high = min(at, stops - whole + 1)
    begin = low + below(w.dice, high - low + 1)
    hole = begin + (1 + below(w.dice, length - 1) if skip and length > 1 else whole)
    for q in range(begin, begin + whole):
        task = t.stops[r.rows[k, q].node].task
        if not (hole <= q < hole + skip or w.marked[task] or t.jobs[task].held):
            _mark(r, task, w)


@lean_kernel
def ruin_strings(t: Tasks, r: Routes, old: Routes, mean: float, longest: float, w: Work) -> None:
    """Take out strings near a random stop: `mean` stops a time, at most `longest` from one route."""
    stops, used = 0, 0
    for k in range(r.heads.shape[0]):
        if r.heads[k].count > 2:
            used += 1
            stops += r.heads[k].count - 2
    if used == 0:
        return
    most = min(longest, stops / used)
    strings = int(1.0 + uniform(w.dice) * (4.0 * mean / (1.0 + most) - 1.0))
    task = below(w.dice, t.jobs.shape[0])
    node = t.jobs[task].pickup if uniform(w.dice) < 0.5 else t.jobs[task].delivery
    near = t.near[0, node] if uniform(w.dice) < 0.5 else t.near[1, node]
    before = w.counts[0]
    for index in range(-1, near.shape[0]):
        if index >= 0:
            node = near[index]
        task = t.stops[node].task
        k = r.home[task]
        if k < 0 or w.dirty[k] or t.jobs[task].held:
            continue
        room = r.heads[k].count - 2
        length = min(int(1.0 + uniform(w.dice) * min(most, float(room))), room)
        skip = 0
        if length > 1 and length < room and uniform(w.dice) < SPLIT:
            skip = 1
            while length + skip < room and uniform(w.dice) < LONGER:
                skip += 1
        keep_route(r, old, k, w)
        _take_string(t, r, k, r.at[node], length, skip, w)
        _close_gaps(t, r, k, w)
        strings -= 1
        if strings <= 0:
            break
    for index in range(before, w.counts[0]):
        w.marked[w.absent[index]] = 0


@lean_kernel
def ruin_halves(t: Tasks, r: Routes, old: Routes, w: Work) -> bool:
    """Take out tasks whose linked one found no place, half of the time; False where a route has no schedule then.

    They are worth nothing alone, but were put in as if the other could follow.
    """
    before = w.counts[0]
    good = True
    for index in range(before):
        task = t.jobs[w.absent[index]].link
        if task >= 0 and r.home[task] >= 0 and not t.jobs[task].held and uniform(w.dice) < HALVES:
            k = r.home[task]
            keep_route(r, old, k, w)
            _mark(r, task, w)
            good = _close_gaps(t, r, k, w) and good
            w.marked[task] = 0
    return good


@lean_kernel
def ruin_kin(t: Tasks, r: Routes, old: Routes, count: int, power: float, w: Work) -> None:
    """Take out a random task and `count` - 1 others like it; with power 1 any of its kin, with more the closest."""
    before = w.counts[0]
    width = t.kin.shape[1]
    seed = below(w.dice, t.jobs.shape[0])
    task = seed
    for _ in range(4 * count):
        k = r.home[task]
        if k >= 0 and not t.jobs[task].held:
            keep_route(r, old, k, w)
            w.dirty[k] = 2
            _mark(r, task, w)
            if w.counts[0] - before >= count:
                break
        if width == 0:
            break
        task = t.kin[seed, int(uniform(w.dice) ** power * width)]
    for k in range(r.heads.shape[0]):
        if w.dirty[k] == 2:
            w.dirty[k] = 1
            _close_gaps(t, r, k, w)
    for index in range(before, w.counts[0]):
        w.marked[w.absent[index]] = 0
