"""Distances from label rows: one pair, many pairs, matrices.

The rows of two nodes agree on their common ancestors, the first `shared` entries; the distance is the least sum over
them. `shared` is the least depth in the preorder range between the nodes (every common ancestor lies above it).
"""

import math
from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import kernel, lean_kernel
from noriai_engine.model.units import IntArray, LongArray, SmallArray
from noriai_engine.roads.kernels.metric import INF


class Labels(NamedTuple):
    """Dense labels of one metric. `least_depth` (levels, n): [k, i] is the least depth in [i, i + 2^k); `depth` (n,);
    `row` (n + 1,) where a node's row begins; `up`, `down` int32 ms to and from each ancestor."""

    least_depth: SmallArray
    depth: IntArray
    row: LongArray
    up: IntArray
    down: IntArray


@kernel
def least_depths(depth: IntArray, out: SmallArray) -> None:
    """Fill the sparse table of `Labels.least_depth`."""
    n = depth.shape[0]
    for i in range(n):
        out[0, i] = depth[i]
    for k in range(1, out.shape[0]):
        half = 1 << (k - 1)
        for i in range(n):
            out[k, i] = min(out[k - 1, i], out[k - 1, min(i + half, n - 1)])


@lean_kernel
def shared(labels: Labels, a: int, b: int) -> int:
    """How many ancestors two nodes have in common, themselves included; 0 in different trees."""
    if a == b:
        return labels.depth[a] + 1
    low, high = min(a, b) + 1, max(a, b)
    k = math.frexp(float(high - low + 1))[1] - 1
    return min(labels.least_depth[k, low], labels.least_depth[k, high - (1 << k) + 1])


@lean_kernel
def least_sum(a: IntArray, b: IntArray) -> int:
    """min(a[d] + b[d]) of two equally long rows, at most INF."""
    best = INF
    for d in range(a.shape[0]):
        best = min(best, np.int32(a[d] + b[d]))
    return best


@lean_kernel
def pair(labels: Labels, source: int, target: int) -> int:
    """ms from source to target (tree numbers), INF where there is no path."""
    k = shared(labels, source, target)
    a, b = labels.row[source], labels.row[target]
    return least_sum(labels.up[a : a + k], labels.down[b : b + k])


@kernel
def pairs(labels: Labels, source: IntArray, target: IntArray, out: IntArray) -> None:
    """ms of each (source, target), (k,) each."""
    for i in range(out.shape[0]):
        out[i] = pair(labels, source[i], target[i])


@kernel
def _gaps(labels: Labels, node: IntArray, out: IntArray) -> None:
    """out[i] is what nodes i - 1 and i share."""
    for i in range(1, node.shape[0]):
        out[i] = INF if node[i] == node[i - 1] else shared(labels, node[i - 1], node[i])


@kernel
def _prefixes(labels: Labels, node: int, target: IntArray, gap: IntArray, out: SmallArray) -> None:
    """What `node` shares with each target, by running minima outward from its place among them."""
    count = target.shape[0]
    middle = np.searchsorted(target, node)
    running = INF
    for t in range(middle, count):
        running = shared(labels, node, target[t]) if t == middle else min(running, gap[t])
        out[t] = running
    for t in range(middle - 1, -1, -1):
        running = shared(labels, node, target[t]) if t == middle - 1 else min(running, gap[t + 1])
        out[t] = running


TILE = 64  # targets whose rows stay in the cache while a batch of sources passes
BATCH = 512  # sources


@kernel
def matrix(
    labels: Labels, source: IntArray, up: IntArray, up_at: LongArray, target: IntArray, down: IntArray,
    down_at: LongArray, source_place: IntArray, target_place: IntArray, out: IntArray,
) -> None:  # fmt: skip
    """ms from every source to every target. Sources and targets come sorted by tree number; `up_at` and `down_at` say
    where each one's row begins in `up` and `down`, `source_place` and `target_place` its row and column in `out`.

    Prefix lengths come from running minima between neighbours in the sorted lists, not from a query a pair.
    """
    count = target.shape[0]
    gap = np.empty(count + 1, np.int32)
    _gaps(labels, target, gap)
    prefix = np.empty((BATCH, count), np.int16)
    for low in range(0, source.shape[0], BATCH):
        high = min(low + BATCH, source.shape[0])
        for s in range(low, high):
            _prefixes(labels, source[s], target, gap, prefix[s - low])
        for begin in range(0, count, TILE):
            end = min(begin + TILE, count)
            for s in range(low, high):
                row, lengths = out[source_place[s]], prefix[s - low]
                mine = up_at[s]
                t = begin
                while t + 4 <= end:  # four at a time: the source's entry is loaded once for all
                    p, q, r, u = down_at[t], down_at[t + 1], down_at[t + 2], down_at[t + 3]
                    k = np.int64(min(min(lengths[t], lengths[t + 1]), min(lengths[t + 2], lengths[t + 3])))
                    entries = up[mine : mine + k]
                    first, second, third, fourth = down[p : p + k], down[q : q + k], down[r : r + k], down[u : u + k]
                    best_1, best_2, best_3, best_4 = INF, INF, INF, INF
                    for d in range(k):
                        x = entries[d]
                        best_1 = min(best_1, np.int32(x + first[d]))
                        best_2 = min(best_2, np.int32(x + second[d]))
                        best_3 = min(best_3, np.int32(x + third[d]))
                        best_4 = min(best_4, np.int32(x + fourth[d]))
                    for d in range(k, lengths[t]):
                        best_1 = min(best_1, np.int32(up[mine + d] + down[p + d]))
                    for d in range(k, lengths[t + 1]):
                        best_2 = min(best_2, np.int32(up[mine + d] + down[q + d]))
                    for d in range(k, lengths[t + 2]):
                        best_3 = min(best_3, np.int32(up[mine + d] + down[r + d]))
                    for d in range(k, lengths[t + 3]):
                        best_4 = min(best_4, np.int32(up[mine + d] + down[u + d]))
                    row[target_place[t]], row[target_place[t + 1]] = best_1, best_2
                    row[target_place[t + 2]], row[target_place[t + 3]] = best_3, best_4
                    t += 4
                while t < end:
                    k = np.int64(lengths[t])
                    theirs = down_at[t]
                    row[target_place[t]] = least_sum(up[mine : mine + k], down[theirs : theirs + k])
                    t += 1
