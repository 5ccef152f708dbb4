"""Rows and paths made on demand by climbing the elimination tree, in exact (ms, mm) keys or in ms.

The elimination tree query of Buchhold, Sanders and Wagner ("Real-time Traffic Assignment Using Engineered
Customizable Contraction Hierarchies", ACM JEA 24, 2019): no queue, the search space is the way to the root.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import kernel, lean_kernel
from noriai_engine.model.units import IntArray, LongArray, WeightArray
from noriai_engine.roads.kernels.metric import INF_KEY, Tree
from noriai_engine.roads.kernels.queries import Labels, shared


class Climbs(NamedTuple):
    """Working space of one way: keys and arcs by depth on both sides (d,), and a stack of arcs to unpack."""

    above: LongArray
    below: LongArray
    via_up: IntArray
    via_down: IntArray
    todo: IntArray


@kernel
def climbs_for(tree: Tree) -> Climbs:
    """Space for ways between any two nodes."""
    room = np.max(tree.depth) + 1
    return Climbs(
        np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int32), np.empty(room, np.int32),
        np.empty(4 * room + 64, np.int32),
    )  # fmt: skip


@lean_kernel
def climb(tree: Tree, weight: WeightArray, inf: int, node: int, dist: LongArray, via: IntArray) -> None:
    """Distances from `node` to its ancestors by depth (weights up), or from them to it (weights down).

    `via` (depth + 1,) is the arc by which the best path enters an ancestor, -1 at the node itself.
    """
    depth = tree.depth[node]
    for d in range(depth + 1):
        dist[d] = inf
        via[d] = -1
    dist[depth] = 0
    v = node
    while v >= 0:
        here = dist[tree.depth[v]]
        if here < inf:
            for k in range(tree.up_first[v], tree.up_first[v + 1]):
                d = tree.up_depth[k]
                reached = here + weight[k]
                if reached < dist[d]:
                    dist[d] = reached
                    via[d] = k
        v = tree.parent[v]


@kernel
def climb_rows(tree: Tree, weight: WeightArray, inf: int, nodes: IntArray, at: LongArray, out: IntArray) -> None:
    """Label rows of `nodes` one after another into `out`, the k-th from at[k] on."""
    room = np.max(tree.depth) + 1
    dist, via = np.empty(room, np.int64), np.empty(room, np.int32)
    for k in range(nodes.shape[0]):
        climb(tree, weight, inf, nodes[k], dist, via)
        for d in range(tree.depth[nodes[k]] + 1):
            out[at[k] + d] = dist[d]


@kernel
def key_matrix(
    tree: Tree, labels: Labels, up: LongArray, down: LongArray, source: IntArray, target: IntArray, out: LongArray
) -> None:
    """Keys from every source to every target, INF_KEY where there is no path; rows are climbed for this call."""
    room = np.max(tree.depth) + 1
    via = np.empty(room, np.int32)
    above, below = np.empty(room, np.int64), np.empty((target.shape[0], room), np.int64)
    for t in range(target.shape[0]):
        climb(tree, down, INF_KEY, target[t], below[t], via)
    for s in range(source.shape[0]):
        climb(tree, up, INF_KEY, source[s], above, via)
        for t in range(target.shape[0]):
            best = INF_KEY
            theirs = below[t]
            for d in range(shared(labels, source[s], target[t])):
                best = min(best, above[d] + theirs[d])
            out[s, t] = best


@lean_kernel
def _middle(tree: Tree, up: LongArray, down: LongArray, arc: int, is_down: bool) -> tuple[int, int]:
    """The lower triangle that an arc's weight stands for: its two arcs, (-1, -1) if there is none."""
    v, w = tree.tail[arc], tree.up[arc]
    i, j = tree.down_first[v], tree.down_first[w]
    while i < tree.down_first[v + 1] and j < tree.down_first[w + 1]:
        a, b = tree.down[i], tree.down[j]
        x, y = tree.tail[a], tree.tail[b]
        if x < y:
            i += 1
        elif y < x:
            j += 1
        else:
            if is_down and down[b] + up[a] == down[arc]:
                return b, a
            if not is_down and down[a] + up[b] == up[arc]:
                return a, b
            i += 1
            j += 1
    return -1, -1


@lean_kernel
def unpack(
    tree: Tree, up: LongArray, down: LongArray, up_arc: IntArray, down_arc: IntArray, key: LongArray,
    middle: LongArray, todo: IntArray, count: int, out: IntArray,
) -> int:  # fmt: skip
    """Input arcs of a path of hierarchy arcs; returns how many, -1 where `out` is too short, -2 where none fits.

    `todo[:count]` holds the arcs from the last to the first, as 2 x arc, + 1 when passed downward. `up_arc` and
    `down_arc` are the lightest input arcs on each arc, `key` the weights of the input arcs.
    """
    made = 0
    while count > 0:
        count -= 1
        arc, is_down = todo[count] >> 1, (todo[count] & 1) == 1
        own = down_arc[arc] if is_down else up_arc[arc]
        weight = down[arc] if is_down else up[arc]
        if own >= 0 and key[own] == weight:
            if made == out.shape[0]:
                return -1
            out[made] = own
            made += 1
            continue
        both = middle[todo[count]]
        if both < 0:
            a, b = _middle(tree, up, down, arc, is_down)
            if a < 0:
                return -2
            both = (np.int64(a) << 32) | np.int64(b)
            middle[todo[count]] = both
        a, b = both >> 32, both & 0xFFFFFFFF
        if count + 2 > todo.shape[0]:
            return -1
        todo[count] = 2 * b
        todo[count + 1] = 2 * a + 1
        count += 2
    return made


@kernel
def lightest_arcs(slot: IntArray, key: LongArray, up_arc: IntArray, down_arc: IntArray) -> None:
    """The lightest input arc on each hierarchy arc, the lowest number among equals; -1 where none lies."""
    up_arc[:] = -1
    down_arc[:] = -1
    for e in range(slot.shape[0]):
        s = slot[e]
        if s >= 0:
            k = s >> 1
            best = down_arc[k] if s & 1 else up_arc[k]
            if best < 0 or key[e] < key[best]:
                if s & 1:
                    down_arc[k] = e
                else:
                    up_arc[k] = e


@lean_kernel
def key_path(
    tree: Tree, labels: Labels, up: LongArray, down: LongArray, up_arc: IntArray, down_arc: IntArray, key: LongArray,
    middle: LongArray, source: int, target: int, climbs: Climbs, out: IntArray,
) -> int:  # fmt: skip
    """Input arcs of the best path into `out`; returns how many, -1 where `out` is too short for more than its
    beginning, -2 without a path."""
    if source == target:
        return 0
    above, below, via_up, via_down, todo = climbs
    climb(tree, up, INF_KEY, source, above, via_up)
    climb(tree, down, INF_KEY, target, below, via_down)
    best, top = INF_KEY, -1
    for d in range(shared(labels, source, target)):
        if above[d] + below[d] < best:
            best, top = above[d] + below[d], d
    if top < 0:
        return -2
    count = 0
    d = top
    while via_down[d] >= 0:  # from the target upward: last arcs first
        count += 1
        d = tree.depth[tree.tail[via_down[d]]]
    at = count - 1
    d = top
    while via_down[d] >= 0:
        todo[at] = 2 * via_down[d] + 1
        at -= 1
        d = tree.depth[tree.tail[via_down[d]]]
    d = top
    while via_up[d] >= 0:
        todo[count] = 2 * via_up[d]
        count += 1
        d = tree.depth[tree.tail[via_up[d]]]
    return unpack(tree, up, down, up_arc, down_arc, key, middle, todo, count, out)
