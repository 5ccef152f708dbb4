"""Fastest times and the shortest length among fastest ways, by scipy's Dijkstra on exact float keys.

The graph is rebuilt from the region's arrays alone: a node for every state (a directed street), an arc for every
turn, weighing the whole source street and the turn. A key is ms x 2^27 + mm. Floats hold integers up to 2^53
exactly, so ways under 18 hours and 134 km are exact; longer ones are refused rather than judged.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from noriai_engine.checker.load import CheckError, Roads, Spot

_SHIFT = float(1 << 27)
_CHUNK = 64
Way = tuple[Spot, Spot, bool]
"""From, to, and whether that very state must be reached: a vehicle turned on its way is where it is."""
Times = dict[Way, tuple[int, int]]


def fastest(roads: Roads, ways: Iterable[Way]) -> Times:
    """(ms, mm) of each way; (-1, -1) where there is none."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    k = len(roads.state_arc)
    ms, mm = roads.arc_ms[roads.state_arc], roads.arc_mm[roads.state_arc]
    keys = (ms[roads.turn_source] + roads.turn_ms) * _SHIFT + mm[roads.turn_source]
    graph = csr_matrix((keys, (roads.turn_source, roads.turn_target)), shape=(k, k))
    backward = csr_matrix((keys, (roads.turn_target, roads.turn_source)), shape=(k, k))
    same_arc: dict[int, list[int]] = {}
    for state, arc in enumerate(roads.state_arc.tolist()):
        same_arc.setdefault(arc, []).append(state)
    wanted: dict[int, list[Way]] = {}
    for way in ways:
        wanted.setdefault(way[0][0], []).append(way)
    found: Times = {}
    sources = sorted(wanted)
    for at in range(0, len(sources), _CHUNK):
        chunk = sources[at : at + _CHUNK]
        for state, row in zip(chunk, dijkstra(graph, indices=chunk), strict=True):
            for way in wanted[state]:
                found[way] = _answer(roads, row, backward, same_arc, way)
    return found


def _answer(
    roads: Roads, row: npt.NDArray[np.float64], backward: Any, same_arc: dict[int, list[int]], way: Way
) -> tuple[int, int]:
    source, target, exact = way
    arcs = int(roads.state_arc[source[0]]), int(roads.state_arc[target[0]])
    ends = along_mm(roads, source), along_mm(roads, target)
    # Another state of the same street is reached by going round: only so does a vehicle come to know other turns.
    if arcs[0] == arcs[1] and target[1] >= source[1] and not (exact and source[0] != target[0]):
        return target[1] - source[1], ends[1] - ends[0]
    best = float("inf")
    for state in [target[0]] if exact else same_arc[arcs[1]]:
        if state != source[0]:
            best = min(best, float(row[state]))
            continue
        into = slice(backward.indptr[state], backward.indptr[state + 1])  # round the block: out, and in again
        best = min(best, float((row[backward.indices[into]] + backward.data[into]).min(initial=np.inf)))
    if np.isinf(best):
        return -1, -1
    if best >= 2.0**53:
        raise CheckError(f"the way from {source} to {target} is too long for exact keys")
    ms, mm = divmod(int(best), int(_SHIFT))
    return ms + target[1] - source[1], mm + ends[1] - ends[0]


def along_mm(roads: Roads, spot: Spot) -> int:
    """Length from the start of a spot's street to the spot: in proportion to the time, rounded down."""
    arc = int(roads.state_arc[spot[0]])
    return int(roads.arc_mm[arc]) * spot[1] // int(roads.arc_ms[arc])
