"""Weights on a contraction hierarchy: customisation, and dense labels over the elimination tree.

Customisation is the basic one of Dibbelt, Strasser and Wagner (2016): every lower triangle is relaxed, bottom up.
A label row of a node holds the distance to (or from) each ancestor by its depth, so that a distance is the
minimum over the common prefix of two contiguous rows: hierarchical hub labels (Abraham et al., ESA 2012) without
hub lists. Kernels are generic in the weight: int32 milliseconds, or int64 keys (ms << 32) + mm, whose order is
"fastest, and among equally fast the shortest".
"""

from typing import Any, NamedTuple

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import IntArray, LongArray, WeightArray

INF: Any = np.int32(1 << 29)
"""No path, in int32 ms; the sum of two is still an int32. 24 hours are 8.64e7."""

INF_KEY: Any = np.int64(1) << np.int64(61)


class Tree(NamedTuple):
    """The hierarchy without weights, nodes in preorder of the elimination tree.

    `parent`, `depth` (n,); arcs up: `up_first` (n + 1,), `up` heads from the parent to the root, `up_depth` their
    depths; arcs seen from above: `down_first` (n + 1,), `down` arc numbers, `tail` where each arc starts;
    `row` (n + 1,) where each label row begins.
    """

    parent: IntArray
    depth: IntArray
    up_first: LongArray
    up: IntArray
    up_depth: IntArray
    down_first: LongArray
    down: IntArray
    tail: IntArray
    row: LongArray


@kernel
def place_weights(slot: IntArray, weight: WeightArray, inf: int, up: WeightArray, down: WeightArray) -> None:
    """Weights of the input arcs to the arcs they lie on, the lightest of parallel ones; `inf` where none lies.

    `up[k]` is the weight from an arc's lower end to its higher one, `down[k]` the other way.
    """
    up[:] = inf
    down[:] = inf
    for e in range(slot.shape[0]):
        s = slot[e]
        if s >= 0:
            if s & 1:
                down[s >> 1] = min(down[s >> 1], weight[e])
            else:
                up[s >> 1] = min(up[s >> 1], weight[e])


@kernel
def customise(tree: Tree, inf: int, up: WeightArray, down: WeightArray, first: int, last: int) -> None:
    """Relax all lower triangles of the nodes in [first, last), a union of whole subtrees or everything below done."""
    best_up = np.empty(np.max(tree.depth) + 1, up.dtype)
    best_down = np.empty_like(best_up)
    for x in range(last - 1, first - 1, -1):
        a, b = tree.up_first[x], tree.up_first[x + 1]
        if a == b:
            continue
        for k in range(a, b):
            d = np.uint32(tree.up_depth[k])
            best_up[d] = up[k]
            best_down[d] = down[k]
        for h in range(tree.down_first[x], tree.down_first[x + 1]):
            e = tree.down[h]
            to_low, from_low = down[e], up[e]  # x -> low, low -> x
            for j in range(e + 1, tree.up_first[tree.tail[e] + 1]):
                d = np.uint32(tree.up_depth[j])
                best_up[d] = min(best_up[d], to_low + up[j])
                best_down[d] = min(best_down[d], down[j] + from_low)
        for k in range(a, b):
            d = np.uint32(tree.up_depth[k])
            up[k] = min(best_up[d], inf)
            down[k] = min(best_down[d], inf)


@kernel
def label_rows(tree: Tree, weight: IntArray, out: IntArray, first: int, last: int) -> None:
    """Label rows of the nodes in [first, last), whose ancestors' rows outside it stand already.

    With weights up the rows hold distances to the ancestors, with weights down distances from them.
    """
    for v in range(first, last):
        size = tree.depth[v] + 1
        begin = tree.row[v]
        mine = out[begin : begin + size]
        mine[:] = INF
        mine[size - 1] = 0
        for k in range(tree.up_first[v], tree.up_first[v + 1]):
            w = weight[k]
            d = tree.up_depth[k]
            if w >= mine[d]:
                continue  # some path through a nearer ancestor is no longer: this arc is not needed
            start = tree.row[tree.up[k]]
            theirs = out[start : start + d + 1]
            for j in range(d + 1):
                mine[j] = min(mine[j], np.int32(w + theirs[j]))  # int32 + int32 is int64 to numba: cast, or no SIMD
