"""Spots within a walk: a Dijkstra on the walker's graph that ends at the longest walk."""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.heap import drop_first, push
from noriai_engine.roads.kernels.metric import INF


class Walks(NamedTuple):
    """A walker's graph: arcs from `first` (n + 1,) on with `head` and `ms`; `worth` (n,), how good a place to stop a
    node is, 0 where none; INF is left in `reached` (n,) between searches. `heap` and `heap_ms` are working space."""

    first: LongArray
    head: IntArray
    ms: IntArray
    worth: IntArray
    reached: IntArray
    heap: IntArray
    heap_ms: IntArray


def walks_of(tail: IntArray, head: IntArray, ms: IntArray, worth: IntArray) -> Walks:
    """Arcs in any order; nodes are the rows of `worth`."""
    order, n = np.argsort(tail, kind="stable"), len(worth)
    first = np.concatenate([[0], np.cumsum(np.bincount(tail, minlength=n))]).astype(np.int64)
    room = len(head) + 1
    return Walks(
        first, head[order].astype(np.int32), ms[order].astype(np.int32), worth.astype(np.int32),
        np.full(n, INF, np.int32), np.zeros(room, np.int32), np.zeros(room, np.int32),
    )  # fmt: skip


@lean_kernel
def near(walks: Walks, source: int, longest_ms: int, spot: IntArray, walk: IntArray) -> int:
    """The best places to stop within a walk: the source first, then by worth, then by walk; returns how many."""
    most, kept, used = spot.shape[0], 1, 1
    spot[0], walk[0] = source, 0
    walks.heap[0], walks.heap_ms[0] = source, 0
    walks.reached[source] = 0
    while used > 0:
        node, ms = walks.heap[0], walks.heap_ms[0]
        used = drop_first(walks.heap, walks.heap_ms, used)
        if ms > walks.reached[node]:
            continue
        if node != source and walks.worth[node] > 0:
            k = kept if kept < most else most
            while k > 1 and walks.worth[spot[k - 1]] < walks.worth[node]:
                if k < most:
                    spot[k], walk[k] = spot[k - 1], walk[k - 1]
                k -= 1
            if k < most:
                spot[k], walk[k] = node, ms
                kept = min(kept + 1, most)
        for arc in range(walks.first[node], walks.first[node + 1]):
            there, there_ms = walks.head[arc], ms + walks.ms[arc]
            if there_ms <= longest_ms and there_ms < walks.reached[there]:
                walks.reached[there] = there_ms
                used = push(walks.heap, walks.heap_ms, used, there, there_ms)
    _forget(walks, source)
    return int(kept)


@lean_kernel
def _forget(walks: Walks, source: int) -> None:
    """INF again wherever the search came."""
    walks.heap[0], used = source, 1
    walks.reached[source] = INF
    while used > 0:
        used -= 1
        node = walks.heap[used]
        for arc in range(walks.first[node], walks.first[node + 1]):
            there = walks.head[arc]
            if walks.reached[there] < INF:
                walks.reached[there] = INF
                walks.heap[used] = there
                used += 1
