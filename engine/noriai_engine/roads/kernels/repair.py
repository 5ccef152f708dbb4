"""A few new weights in a customised hierarchy: only what they touch is computed again.

Partial customisation as in Dibbelt, Strasser and Wagner (2016): an arc is looked at again when an input arc on it
changed, or when one of its lower triangles was tight and is not any more, or has become shorter than the arc.
"""

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import BoolArray, IntArray, LongArray
from noriai_engine.roads.kernels.metric import INF, Tree


@kernel
def subtree_ends(parent: IntArray, out: IntArray) -> None:
    """The first number behind each node's subtree (preorder numbers)."""
    n = parent.shape[0]
    for v in range(n):
        out[v] = v + 1
    for v in range(n - 1, -1, -1):
        if parent[v] >= 0:
            out[parent[v]] = max(out[parent[v]], out[v])


@kernel
def _arc(tree: Tree, low: int, high: int) -> int:
    """The arc from a node up to one of its up-neighbours."""
    a, b = tree.up_first[low], tree.up_first[low + 1]
    while a < b:  # heads go down
        middle = (a + b) // 2
        if tree.up[middle] > high:
            a = middle + 1
        else:
            b = middle
    return a


@kernel
def _exact(
    tree: Tree, arc: int, on_first: LongArray, on: IntArray, ms: IntArray, up: IntArray, down: IntArray
) -> tuple[int, int]:
    """An arc's two weights from its input arcs and lower triangles. `on` lists input arcs by 2 x arc + direction."""
    best_up, best_down = INF, INF
    for k in range(on_first[2 * arc], on_first[2 * arc + 1]):
        best_up = min(best_up, ms[on[k]])
    for k in range(on_first[2 * arc + 1], on_first[2 * arc + 2]):
        best_down = min(best_down, ms[on[k]])
    v, w = tree.tail[arc], tree.up[arc]
    for h in range(tree.down_first[v], tree.down_first[v + 1]):
        e = tree.down[h]
        x = tree.tail[e]
        f = _arc(tree, x, w)
        if f < tree.up_first[x + 1] and tree.up[f] == w:
            best_up = min(best_up, down[e] + up[f])
            best_down = min(best_down, down[f] + up[e])
    return min(best_up, INF), min(best_down, INF)


@kernel
def repair_arcs(
    tree: Tree, changed: IntArray, slot: IntArray, on_first: LongArray, on: IntArray, ms: IntArray, up: IntArray,
    down: IntArray, node_changed: BoolArray,
) -> int:  # fmt: skip
    """Bring `up` and `down` in line with `ms` after the input arcs `changed`; marks in `node_changed` (n,) the nodes
    with a changed arc up. Returns how many hierarchy arcs changed."""
    n = tree.parent.shape[0]
    dirty = np.zeros(tree.up.shape[0], np.bool_)
    dirty_node = np.zeros(n, np.bool_)
    last = -1
    for e in changed:
        if slot[e] >= 0:
            arc = slot[e] >> 1
            dirty[arc] = True
            dirty_node[tree.tail[arc]] = True
            last = max(last, tree.tail[arc])
    room = 0
    for v in range(n):
        room = max(room, tree.up_first[v + 1] - tree.up_first[v])
    old_up, old_down = np.empty(room, np.int32), np.empty(room, np.int32)
    moved = np.empty(room, np.bool_)
    count = 0
    for v in range(last, -1, -1):
        if not dirty_node[v]:
            continue
        a, b = tree.up_first[v], tree.up_first[v + 1]
        some = False
        for k in range(a, b):
            i = k - a
            old_up[i], old_down[i], moved[i] = up[k], down[k], False
        for k in range(a, b):
            if dirty[k]:
                new_up, new_down = _exact(tree, k, on_first, on, ms, up, down)
                if new_up != up[k] or new_down != down[k]:
                    up[k], down[k] = new_up, new_down
                    moved[k - a] = True
                    some = True
                    count += 1
        if not some:
            continue
        node_changed[v] = True
        for i in range(b - a):
            for j in range(i + 1, b - a):
                if not (moved[i] or moved[j]):
                    continue
                was_up, was_down = old_down[i] + old_up[j], old_down[j] + old_up[i]
                now_up, now_down = down[a + i] + up[a + j], down[a + j] + up[a + i]
                if was_up == now_up and was_down == now_down:
                    continue
                w = tree.up[a + i]  # the lower of the two: heads go down
                t = _arc(tree, w, tree.up[a + j])
                if now_up < up[t] or now_down < down[t] or was_up == up[t] or was_down == down[t]:
                    dirty[t] = True
                    dirty_node[w] = True
    return count


@kernel
def repair_rows(
    tree: Tree, ends: IntArray, node_changed: BoolArray, weight: IntArray, rows: IntArray, row_changed: BoolArray
) -> int:
    """Compute again the label rows that changed weights touch; returns how many were looked at."""
    n = tree.parent.shape[0]
    row_changed[:] = False
    scratch = np.empty(np.max(tree.depth) + 1, np.int32)
    horizon, count = 0, 0
    for v in range(n):
        needed = node_changed[v]
        if not needed and v < horizon:
            for k in range(tree.up_first[v], tree.up_first[v + 1]):
                if row_changed[tree.up[k]]:
                    needed = True
                    break
        if not needed:
            continue
        count += 1
        size = tree.depth[v] + 1
        begin = tree.row[v]
        scratch[:size] = INF
        scratch[size - 1] = 0
        for k in range(tree.up_first[v], tree.up_first[v + 1]):
            w = weight[k]
            d = tree.up_depth[k]
            if w >= scratch[d]:
                continue
            start = tree.row[tree.up[k]]
            theirs = rows[start : start + d + 1]
            for j in range(d + 1):
                scratch[j] = min(scratch[j], np.int32(w + theirs[j]))
        same = True
        for j in range(size):
            if rows[begin + j] != scratch[j]:
                same = False
                rows[begin + j] = scratch[j]
        if not same:
            row_changed[v] = True
            horizon = max(horizon, ends[v])
    return count
