"""Symbolic elimination: the arcs of a contraction hierarchy that no metric can change, and its tree.

Dibbelt, Strasser and Wagner, "Customizable Contraction Hierarchies" (ACM JEA 21, 2016). Nodes are renumbered in
preorder of the elimination tree: an ancestor has a smaller number than its descendants, and a subtree is a range.
"""

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import IntArray, LongArray


@kernel
def eliminate(n: int, low: IntArray, high: IntArray, up_first: LongArray, room: int) -> tuple[int, IntArray]:
    """Upward neighbours of every node when nodes go in the order 0, 1, ...; (number of arcs, their heads).

    `low` < `high` (m,) are the undirected edges. Heads of each node ascend, `up_first` (n + 1,) is written. Where
    `room` heads are not enough the number is -1.
    """
    start = np.zeros(n + 2, np.int64)
    for e in range(low.shape[0]):
        start[low[e] + 2] += 1
    for v in range(n):
        start[v + 2] += start[v + 1]
    own = np.empty(low.shape[0], np.int32)
    for e in range(low.shape[0]):
        own[start[low[e] + 1]] = high[e]
        start[low[e] + 1] += 1
    up = np.empty(room, np.int32)
    mark = np.full(n, -1, np.int32)
    child, sibling = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    count = 0
    for v in range(n):
        up_first[v] = count
        most = start[v + 1] - start[v]
        c = child[v]
        while c >= 0:
            most += up_first[c + 1] - up_first[c]
            c = sibling[c]
        if count + most > room:
            return -1, up
        for k in range(start[v], start[v + 1]):
            w = own[k]
            if mark[w] != v:
                mark[w] = v
                up[count] = w
                count += 1
        c = child[v]
        while c >= 0:
            for k in range(up_first[c] + 1, up_first[c + 1]):
                w = up[k]
                if mark[w] != v:
                    mark[w] = v
                    up[count] = w
                    count += 1
            c = sibling[c]
        a, b = up_first[v], count
        for k in range(a + 1, b):  # insertion sort: the lists are short and almost sorted
            w = up[k]
            j = k - 1
            while j >= a and up[j] > w:
                up[j + 1] = up[j]
                j -= 1
            up[j + 1] = w
        if b > a:
            sibling[v] = child[up[a]]
            child[up[a]] = v
        up_first[v + 1] = count
    return count, up


@kernel
def preorder(n: int, up_first: LongArray, up: IntArray, number: IntArray, parent: IntArray, depth: IntArray) -> int:
    """Preorder numbers of the elimination tree: `number` (n,) of the old node; `parent` (-1 for a root) and `depth`
    (n,) of the new one. Returns the greatest depth."""
    size = np.ones(n, np.int32)
    for v in range(n):
        if up_first[v + 1] > up_first[v]:
            size[up[up_first[v]]] += size[v]
    next_free = np.zeros(n, np.int32)
    roots = 0
    deepest = 0
    for v in range(n - 1, -1, -1):
        if up_first[v + 1] > up_first[v]:
            p = up[up_first[v]]
            at = next_free[p]
            next_free[p] += size[v]
            parent[at] = number[p]
            depth[at] = depth[number[p]] + 1
        else:
            at = roots
            roots += size[v]
            parent[at] = -1
            depth[at] = 0
        number[v] = at
        next_free[v] = at + 1
        deepest = max(deepest, depth[at])
    return deepest


@kernel
def renumber(
    n: int, up_first: LongArray, up: IntArray, number: IntArray, new_first: LongArray, new_up: IntArray
) -> None:
    """The same arcs under preorder numbers; heads of each node now go down from its parent to the root."""
    old = np.empty(n, np.int32)
    for v in range(n):
        old[number[v]] = v
    count = 0
    for v in range(n):
        new_first[v] = count
        for k in range(up_first[old[v]], up_first[old[v] + 1]):
            new_up[count] = number[up[k]]
            count += 1
    new_first[n] = count


@kernel
def down_arcs(n: int, up_first: LongArray, up: IntArray, down_first: LongArray, down: IntArray, tail: IntArray) -> None:
    """For every node the arcs that lead up to it: `down` lists arc numbers, `tail` (arcs,) where each starts."""
    down_first[:] = 0
    for k in range(up.shape[0]):
        down_first[up[k] + 1] += 1
    for v in range(n):
        down_first[v + 1] += down_first[v]
    fill = down_first[:n].copy()
    for v in range(n):
        for k in range(up_first[v], up_first[v + 1]):
            tail[k] = v
            down[fill[up[k]]] = k
            fill[up[k]] += 1


@kernel
def slots(up_first: LongArray, up: IntArray, tail: IntArray, head: IntArray, slot: IntArray) -> None:
    """Where each input arc (tail -> head, tree numbers) lies: arc k as 2k where it goes up, 2k + 1 where down.

    A loop lies nowhere: -1.
    """
    for e in range(tail.shape[0]):
        a, b = tail[e], head[e]
        if a == b:
            slot[e] = -1
            continue
        v, w = max(a, b), min(a, b)
        lo, hi = up_first[v], up_first[v + 1]
        while lo < hi:  # heads go down
            mid = (lo + hi) // 2
            if up[mid] > w:
                lo = mid + 1
            else:
                hi = mid
        slot[e] = 2 * lo + (1 if b > a else 0)
