"""Fastest times and the shortest length among fastest paths, by scipy's Dijkstra on exact float keys.

A key is ms x 2^27 + mm. Floats hold integers up to 2^53 exactly, so paths under 18 hours and 134 km are exact;
longer ones are refused rather than judged.
"""

from collections.abc import Iterable

import numpy as np

from noriai_engine.checker.load import CheckError, Roads

_SHIFT = float(1 << 27)
_CHUNK = 128


def fastest(roads: Roads, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """(ms, mm) of each (from, to) pair of nodes; (-1, -1) where there is no path."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    n = len(roads.lon)
    keys = roads.ms * _SHIFT + roads.mm
    order = np.lexsort((keys, roads.head, roads.tail))
    tail, head = roads.tail[order], roads.head[order]
    first = np.ones(len(order), bool)
    first[1:] = (tail[1:] != tail[:-1]) | (head[1:] != head[:-1])
    graph = csr_matrix((keys[order][first], (tail[first], head[first])), shape=(n, n))
    wanted: dict[int, list[int]] = {}
    for source, target in pairs:
        wanted.setdefault(source, []).append(target)
    found: dict[tuple[int, int], tuple[int, int]] = {}
    sources = sorted(wanted)
    for at in range(0, len(sources), _CHUNK):
        chunk = sources[at : at + _CHUNK]
        for source, row in zip(chunk, dijkstra(graph, indices=chunk), strict=True):
            for target in wanted[source]:
                key = float(row[target])
                if np.isinf(key):
                    found[source, target] = (-1, -1)
                    continue
                if key >= 2.0**53:
                    raise CheckError(f"the path {source} to {target} is too long for exact keys")
                ms, mm = divmod(int(key), int(_SHIFT))
                found[source, target] = (ms, mm)
    return found


def nearest_distances(roads: Roads, points: list[tuple[float, float]], nodes: list[int]) -> list[tuple[float, float]]:
    """(metres to the nearest node, metres to the given node) of each (lon, lat), on a local plane."""
    out = []
    for (lon, lat), node in zip(points, nodes, strict=True):
        x = (roads.lon - lon) * np.cos(np.radians(lat))
        y = roads.lat - lat
        square = x * x + y * y
        to_metres = 6_371_008.8 * np.pi / 180.0
        best = float(np.sqrt(square.min())) * to_metres
        given = float(np.sqrt(square[node])) * to_metres if node >= 0 else float("nan")
        out.append((best, given))
    return out
