"""Walks from a point on a way to all goals within a limit: Dijkstra over the ends of ways, in whole mm."""

from typing import NamedTuple

from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.heap import drop_first, push

NOWHERE = 1 << 60


class Foot(NamedTuple):
    """Ways by end: `first` (n + 1,) into `other` (the far end) and `along` (the way). By way: `tail`, `mm`.
    `reached` (n,) NOWHERE between searches; `heap`, `heap_mm`: working space, as many as rows of `other` and two."""

    first: LongArray
    other: IntArray
    along: IntArray
    tail: IntArray
    head: IntArray
    mm: IntArray
    reached: LongArray
    heap: IntArray
    heap_mm: LongArray


class Goals(NamedTuple):
    """Goals by the way they lie on: `first` (s + 1,) into `goal`; by goal: `at` mm from the way's tail, `off` mm from
    the way. `best` (g,) is NOWHERE between searches."""

    first: LongArray
    goal: IntArray
    at: LongArray
    off: LongArray
    best: LongArray


@lean_kernel
def walks_from(foot: Foot, goals: Goals, way: int, at: int, off: int, limit: int, found: IntArray) -> int:
    """Goals within `limit` mm of a point `at` mm along a way and `off` mm beside it: their rows in `found`, their mm in
    goals.best, which the caller clears; returns how many."""
    count = _meet(goals, way, 0, at, off, limit, found, _meet(goals, way, 1, at, off, limit, found, 0))
    used = _push(foot, foot.tail[way], off + at, limit, 0)
    used = _push(foot, foot.head[way], off + foot.mm[way] - at, limit, used)
    while used > 0:
        node, mm = foot.heap[0], foot.heap_mm[0]
        used = drop_first(foot.heap, foot.heap_mm, used)
        if mm > foot.reached[node]:
            continue
        for k in range(foot.first[node], foot.first[node + 1]):
            way_on = foot.along[k]
            if foot.tail[way_on] == node:
                count = _meet(goals, way_on, 1, 0, mm, limit, found, count)
            if foot.head[way_on] == node:
                count = _meet(goals, way_on, 0, foot.mm[way_on], mm, limit, found, count)
            used = _push(foot, foot.other[k], mm + foot.mm[way_on], limit, used)
    _forget(foot, foot.tail[way])
    _forget(foot, foot.head[way])
    return count


@lean_kernel
def _meet(goals: Goals, way: int, ahead: int, at: int, mm: int, limit: int, found: IntArray, count: int) -> int:
    """Goals on a way seen from `at` on it, toward its head or its tail, after `mm`."""
    for k in range(goals.first[way], goals.first[way + 1]):
        goal = goals.goal[k]
        further = goals.at[goal] - at if ahead else at - goals.at[goal]
        if further < 0:
            continue
        total = mm + further + goals.off[goal]
        if total <= limit and total < goals.best[goal]:
            if goals.best[goal] == NOWHERE:
                found[count] = goal
                count += 1
            goals.best[goal] = total
    return count


@lean_kernel
def _push(foot: Foot, node: int, mm: int, limit: int, used: int) -> int:
    if mm > limit or mm >= foot.reached[node]:
        return used
    foot.reached[node] = mm
    return push(foot.heap, foot.heap_mm, used, node, mm)


@lean_kernel
def _forget(foot: Foot, source: int) -> None:
    """NOWHERE again wherever the search came. What was reached hangs together with where it began."""
    if foot.reached[source] == NOWHERE:
        return
    foot.heap[0], used = source, 1
    foot.reached[source] = NOWHERE
    while used > 0:
        used -= 1
        node = foot.heap[used]
        for k in range(foot.first[node], foot.first[node + 1]):
            there = foot.other[k]
            if foot.reached[there] < NOWHERE:
                foot.reached[there] = NOWHERE
                foot.heap[used] = there
                used += 1
