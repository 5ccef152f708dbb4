"""Dijkstra (1959) with a binary heap on (time, distance) keys, and the walk along its tree.

A weight is (milliseconds << 32) + millimetres: one integer whose order is "fastest, and among equally fast the
shortest". Sums stay exact while a path is under 2^31 ms and 2^32 mm (4,294 km).
"""

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import IntArray, LongArray

UNREACHED = np.int64(1) << np.int64(62)


@kernel
def one_to_all(first: LongArray, head: IntArray, weight: LongArray, source: int, out: LongArray) -> None:
    """Write the key of the best path from `source` to every node into `out` (n,); UNREACHED where there is none.

    `first` (n + 1,), `head` (m,), `weight` (m,) are the arcs by tail node. Called with the reversed graph it
    gives the keys of the best paths *to* `source`.
    """
    n = first.shape[0] - 1
    for node in range(n):
        out[node] = UNREACHED
    heap_key = np.empty(head.shape[0] + 1, np.int64)
    heap_node = np.empty(head.shape[0] + 1, np.int32)
    heap_key[0] = 0
    heap_node[0] = source
    out[source] = 0
    size = 1
    while size > 0:
        key = heap_key[0]
        node = heap_node[0]
        size -= 1
        last_key = heap_key[size]
        last_node = heap_node[size]
        at = 0
        while True:
            child = 2 * at + 1
            if child >= size:
                break
            if child + 1 < size and heap_key[child + 1] < heap_key[child]:
                child += 1
            if heap_key[child] >= last_key:
                break
            heap_key[at] = heap_key[child]
            heap_node[at] = heap_node[child]
            at = child
        if size > 0:
            heap_key[at] = last_key
            heap_node[at] = last_node
        if key > out[node]:
            continue
        for arc in range(first[node], first[node + 1]):
            target = head[arc]
            reached = key + weight[arc]
            if reached < out[target]:
                out[target] = reached
                at = size
                size += 1
                while at > 0:
                    parent = (at - 1) // 2
                    if heap_key[parent] <= reached:
                        break
                    heap_key[at] = heap_key[parent]
                    heap_node[at] = heap_node[parent]
                    at = parent
                heap_key[at] = reached
                heap_node[at] = target


@kernel
def walk(
    first: LongArray,
    head: IntArray,
    weight: LongArray,
    to_target: LongArray,
    source: int,
    target: int,
    out: IntArray,
) -> int:
    """Write the arcs of the best path from `source` to `target` into `out`; return how many, -1 if out is too short.

    `to_target` (n,) are the keys of `one_to_all` on the reversed graph. Among equal paths the arc of the lowest
    index is taken at each node, so the walk is one function of graph and ends.
    """
    count = 0
    node = source
    while node != target:
        for arc in range(first[node], first[node + 1]):
            if weight[arc] + to_target[head[arc]] == to_target[node]:
                if count == out.shape[0]:
                    return -1
                out[count] = arc
                count += 1
                node = head[arc]
                break
        else:
            return -2
    return count
