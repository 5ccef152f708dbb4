"""Exchange: two routes swap segments, or all that follows a place in each (2-opt*, Potvin & Rousseau 1995; CROSS,
Taillard et al. 1997; zero-split segments of dial-a-ride, Parragh et al. 2010).

Who is aboard across an end of a segment, or may not ride in the other vehicle, is left out for the recreate step.
"""

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Routes, Tasks, Work
from noriai_engine.plans.kernels.dice import below, uniform
from noriai_engine.plans.kernels.ruin import keep_route
from noriai_engine.plans.kernels.schedule import settle

NOTHING, DONE, BROKEN = 0, 1, -1
TAILS = 0.4  # share of exchanges of everything that follows
MOST_LEFT_OUT = 10  # tasks; an exchange that leaves out more is not made
TRIES = 10  # neighbours looked at for a place where both routes go on in time


@inlined_kernel
def _goes_on(t: Tasks, r: Routes, k: int, q: int, other: int, p: int) -> bool:
    """Whether route k can go on from its position q to position p of the other in time."""
    a, b = r.rows[k, q].node, r.rows[other, p].node
    return bool(r.rows[k, q].first + t.stops[a].service + t.travel[a, b] <= r.rows[other, p].last + t.rule[0].slack)


@inlined_kernel
def _leave_out(t: Tasks, r: Routes, k: int, begin: int, end: int, other: int, w: Work) -> bool:
    """Mark the tasks of route k with one stop in its positions [begin, end), and those the other may not serve; False
    where one of them is held."""
    for q in range(begin, end):
        node = r.rows[k, q].node
        task = t.stops[node].task
        if w.marked[task]:
            continue
        if t.jobs[task].held:
            return False
        mate = t.jobs[task].delivery if node == t.jobs[task].pickup else t.jobs[task].pickup
        if not (begin <= r.at[mate] < end) or not t.may[task, other]:
            w.marked[task] = 1
            w.absent[w.counts[0]] = task
            w.counts[0] += 1
    return True


@inlined_kernel
def _append(t: Tasks, r: Routes, k: int, n: int, node: int, w: Work) -> int:
    """Write a stop at position n unless its task is marked; the position that follows."""
    task = t.stops[node].task
    if task >= 0 and w.marked[task]:
        return n
    r.rows[k, n].node = node
    return n + 1


@inlined_kernel
def _splice(
    t: Tasks, r: Routes, old: Routes, k: int, begin: int, end: int, other: int, first: int, last: int, w: Work
) -> None:
    """Route k gets positions [first, last) of the other in place of its own [begin, end), without marked tasks."""
    n, depot = 1, old.heads[k].count - 1
    for q in range(1, begin):
        n = _append(t, r, k, n, old.rows[k, q].node, w)
    for q in range(first, last):
        n = _append(t, r, k, n, old.rows[other, q].node, w)
    for q in range(end, depot):
        n = _append(t, r, k, n, old.rows[k, q].node, w)
    r.rows[k, n].node = old.rows[k, depot].node
    r.heads[k].count = n + 1


@inlined_kernel
def _loads(t: Tasks, r: Routes, k: int) -> bool:
    """Whether the vehicle can carry what its new sequence takes aboard, and breaks find it empty."""
    kind = t.cars[k].kind
    load = 0
    for q in range(1, r.heads[k].count - 1):
        node = r.rows[k, q].node
        task = t.stops[node].task
        if t.stops[node].role > 0:
            load += t.jobs[task].code
            if not t.fits[kind, load]:
                return False
        elif t.stops[node].role < 0:
            load -= t.jobs[task].code
        elif load != 0:
            return False
    return True


@inlined_kernel
def _all_apart(t: Tasks, r: Routes, k: int) -> bool:
    """Whether nobody meets aboard who must not; the route is settled."""
    for q in range(1, r.heads[k].count - 1):
        node = r.rows[k, q].node
        task = t.stops[node].task
        if t.stops[node].role > 0:
            for index in range(t.apart_first[task], t.apart_first[task + 1]):
                other = t.apart[index]
                if r.home[other] == k and r.at[t.jobs[other].pickup] < q < r.at[t.jobs[other].delivery]:
                    return False
    return True


@lean_kernel
def exchange(t: Tasks, r: Routes, old: Routes, w: Work) -> int:
    """One exchange between two routes that pass near each other; see the module."""
    task = below(w.dice, t.jobs.shape[0])
    k = r.home[task]
    if k < 0 or t.near.shape[2] == 0:
        return NOTHING
    node = t.jobs[task].pickup if uniform(w.dice) < 0.5 else t.jobs[task].delivery
    row = 0 if uniform(w.dice) < 0.5 else 1
    ahead = uniform(w.dice) < 0.5  # from here on to the neighbour, or from the neighbour on to here
    tails = uniform(w.dice) < TAILS
    other, i, p = -1, 0, 0
    for _ in range(TRIES):
        b = t.near[row, node, int(uniform(w.dice) ** 2 * t.near.shape[2])]
        other = r.home[t.stops[b].task]
        if other < 0 or other == k:
            other = -1
            continue
        if ahead:
            i, p = r.at[node] + 1, r.at[b]
        else:
            i, p = r.at[node], r.at[b] + 1
        if _goes_on(t, r, k, i - 1, other, p) and (not tails or _goes_on(t, r, other, p - 1, k, i)):
            break
        other = -1
    if other < 0:
        return NOTHING
    n_k, n_o = r.heads[k].count - 1, r.heads[other].count - 1
    j, q = n_k, n_o
    if not tails:
        j = min(n_k, i + below(w.dice, 9))
        q = min(n_o, p + below(w.dice, 9))
        if j == i and q == p:
            return NOTHING
        if not (_goes_on(t, r, other, q - 1, k, j) if q > p else _goes_on(t, r, k, i - 1, k, j)):
            return NOTHING
        if j > i:
            if not (_goes_on(t, r, other, p - 1, k, i) and _goes_on(t, r, k, j - 1, other, q)):
                return NOTHING
        elif not _goes_on(t, r, other, p - 1, other, q):
            return NOTHING
    before = w.counts[0]
    good = _leave_out(t, r, k, i, j, other, w) and _leave_out(t, r, other, p, q, k, w)
    if not good or w.counts[0] - before > MOST_LEFT_OUT:
        for index in range(before, w.counts[0]):
            w.marked[w.absent[index]] = 0
        w.counts[0] = before
        return NOTHING
    keep_route(r, old, k, w)
    keep_route(r, old, other, w)
    _splice(t, r, old, k, i, j, other, p, q, w)
    _splice(t, r, old, other, p, q, k, i, j, w)
    for index in range(before, w.counts[0]):
        w.marked[w.absent[index]] = 0
        r.home[w.absent[index]] = -1
    if not (_loads(t, r, k) and _loads(t, r, other)):
        return BROKEN
    if not (settle(t, r, k, w) and settle(t, r, other, w)):
        return BROKEN
    if t.apart.shape[0] and not (_all_apart(t, r, k) and _all_apart(t, r, other)):
        return BROKEN
    return DONE
