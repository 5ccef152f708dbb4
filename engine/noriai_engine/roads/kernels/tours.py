"""Hop counts as coordinates, for graphs that have none."""

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import FloatArray, IntArray
from noriai_engine.roads.kernels.dissection import half_edges


@kernel
def _hops(first: IntArray, edge: IntArray, tail: IntArray, head: IntArray, start: int, out: IntArray) -> int:
    """Hops from `start` in the undirected graph (-1 unreached); returns the node reached last."""
    out[:] = -1
    out[start] = 0
    queue = np.empty(out.shape[0], np.int32)
    queue[0] = start
    count, at = 1, 0
    while at < count:
        v = queue[at]
        at += 1
        for k in range(first[v], first[v + 1]):
            e = edge[k]
            w = head[e] if tail[e] == v else tail[e]
            if out[w] < 0:
                out[w] = out[v] + 1
                queue[count] = w
                count += 1
    return queue[count - 1]


@kernel
def hop_coordinates(n: int, tail: IntArray, head: IntArray) -> tuple[FloatArray, FloatArray]:
    """x and y (n,) by hop counts to two pairs of nodes that lie far apart; parts of their own stay at 0."""
    first, edge = half_edges(n, tail, head)
    a, b, c, d = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    west = _hops(first, edge, tail, head, 0, a)
    east = _hops(first, edge, tail, head, west, a)
    _hops(first, edge, tail, head, east, b)
    south, least = west, 1 << 30
    for v in range(n):  # in the middle of the two, and farthest from both
        spread = abs(a[v] - b[v])
        if a[v] >= 0 and spread - (a[v] + b[v]) < least:
            south, least = v, spread - (a[v] + b[v])
    north = _hops(first, edge, tail, head, south, c)
    _hops(first, edge, tail, head, north, d)
    return (a - b).astype(np.float64), (c - d).astype(np.float64)
