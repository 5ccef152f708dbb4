"""Walks to meeting points, judged: shortest along the region's streets, no longer than the rider walks."""

from collections import defaultdict
from heapq import heappop, heappush

import numpy as np

from noriai_engine.checker.load import Roads
from noriai_engine.checker.places import Streets

# Road classes nobody walks on (region bundle format): motorway, trunk and their ramps, busway, guideway, ferry.
NOT_ON_FOOT = frozenset({0, 1, 10, 11, 16, 17, 24})
STEP_FREE = 2


class Walks:
    """Dijkstra over the ends of streets, in mm, either way along each."""

    def __init__(self, roads: Roads, streets: Streets) -> None:
        self._roads, self._streets = roads, streets
        self._ends: dict[int, tuple[int, int]] = {}
        for arc, street in enumerate(roads.arc_street.tolist()):
            tail, head = int(roads.arc_tail[arc]), int(roads.arc_head[arc])
            self._ends[street] = (head, tail) if roads.arc_reversed[arc] else (tail, head)
        self._next: dict[bool, dict[int, list[tuple[int, int]]]] = {}

    def length_mm(self, place: tuple[float, float], stop: tuple[float, float], step_free: bool) -> float:
        """mm between the points of the streets nearest to two places; infinite where there is no way on foot."""
        (a, at_a), (b, at_b) = self._streets.nearest(*place), self._streets.nearest(*stop)
        if not self._usable(a, step_free) or not self._usable(b, step_free):
            return float("inf")
        mm_a, mm_b = int(self._roads.street_mm[a]), int(self._roads.street_mm[b])
        best = abs(at_a - at_b) * mm_a if a == b else float("inf")
        reached = self._from({self._ends[a][0]: at_a * mm_a, self._ends[a][1]: (1 - at_a) * mm_a}, step_free)
        ends = self._ends[b]
        return min(best, reached.get(ends[0], np.inf) + at_b * mm_b, reached.get(ends[1], np.inf) + (1 - at_b) * mm_b)

    def _usable(self, street: int, step_free: bool) -> bool:
        good = int(self._roads.street_class[street]) not in NOT_ON_FOOT and street in self._ends
        return good and (not step_free or bool(self._roads.street_flags[street] & STEP_FREE))

    def _from(self, start: dict[int, float], step_free: bool, longest_mm: float = 6e6) -> dict[int, float]:
        if step_free not in self._next:
            found: dict[int, list[tuple[int, int]]] = defaultdict(list)
            for street, (a, b) in self._ends.items():
                if self._usable(street, step_free):
                    length = max(1, int(self._roads.street_mm[street]))
                    found[a].append((b, length))
                    found[b].append((a, length))
            self._next[step_free] = found
        done: dict[int, float] = {}
        heap: list[tuple[float, int]] = sorted((float(mm), node) for node, mm in start.items())
        while heap:
            mm, node = heappop(heap)
            if node in done or mm > longest_mm:
                continue
            done[node] = mm
            for other, further in self._next[step_free].get(node, ()):
                if other not in done:
                    heappush(heap, (mm + further, other))
        return done
