"""Streets out of OSM edges: chains of points between which nothing branches and nothing changes."""

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import BoolArray, IntArray, LongArray
from noriai_engine.roads.kernels.dissection import half_edges


@kernel
def street_ends(
    n: int, tail: IntArray, head: IntArray, ahead: IntArray, back: IntArray, forced: BoolArray, out: BoolArray
) -> None:
    """Mark in `out` (n,) where streets end: at any number of edges but two, where `forced`, and where the two differ.

    `ahead` and `back` (edges,) name an edge's attributes as seen along it and against it.
    """
    first, edge = half_edges(n, tail, head)
    for v in range(n):
        out[v] = forced[v] or first[v + 1] - first[v] != 2
        if not out[v]:
            e, f = edge[first[v]], edge[first[v] + 1]
            into = ahead[e] if head[e] == v else back[e]
            onward = ahead[f] if tail[f] == v else back[f]
            out[v] = e == f or into != onward


@kernel
def trace(
    n: int, tail: IntArray, head: IntArray, is_end: BoolArray, forward_ms: LongArray, backward_ms: LongArray,
    mm: LongArray, first_point: IntArray, point: IntArray, first_edge: IntArray, last_edge: IntArray,
    ms: LongArray, back_ms: LongArray, length: LongArray,
) -> int:  # fmt: skip
    """Walk from every end along every edge to the next end. Returns the number of streets; see `Streets`.

    `first_edge` and `last_edge` are 2 x edge, + 1 where the street passes it against its direction. A ring without
    any end becomes a street from and to its lowest point.
    """
    first, edge = half_edges(n, tail, head)
    done = np.zeros(tail.shape[0], np.bool_)
    streets, points = 0, 0
    for sweep in range(2):
        for start in range(n):
            if sweep == 0 and not is_end[start]:
                continue
            for k in range(first[start], first[start + 1]):
                if done[edge[k]]:
                    continue
                first_point[streets] = points
                point[points] = start
                points += 1
                v, e = start, edge[k]
                ms[streets], back_ms[streets], length[streets] = 0, 0, 0
                first_edge[streets] = -1
                while True:
                    done[e] = True
                    against = tail[e] != v
                    ms[streets] += backward_ms[e] if against else forward_ms[e]
                    back_ms[streets] += forward_ms[e] if against else backward_ms[e]
                    length[streets] += mm[e]
                    if first_edge[streets] < 0:
                        first_edge[streets] = 2 * e + (1 if against else 0)
                    last_edge[streets] = 2 * e + (1 if against else 0)
                    v = tail[e] if against else head[e]
                    point[points] = v
                    points += 1
                    if is_end[v] or v == start:
                        break
                    e = edge[first[v]] if done[edge[first[v] + 1]] else edge[first[v] + 1]
                streets += 1
    first_point[streets] = points
    return streets
