"""Walks to meeting points, judged: shortest along the region's ways on foot, no longer than the rider walks."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from noriai_engine.checker.load import Footways, Roads

# Road classes nobody walks on (region bundle format): motorway, trunk and their ramps, busway, guideway, ferry.
NOT_ON_FOOT = (0, 1, 10, 11, 16, 17, 24)
STEP_FREE = 2
_DEGREE_M = 6_371_008.8 * np.pi / 180.0


def footways_along(roads: Roads) -> Footways:
    """Where a region knows no ways on foot of their own: its streets, but for those nobody walks on."""
    tail, head = (np.zeros(len(roads.street_mm), np.int64) for _ in range(2))
    for arc, street in enumerate(roads.arc_street.tolist()):
        ends = int(roads.arc_tail[arc]), int(roads.arc_head[arc])
        tail[street], head[street] = ends[::-1] if roads.arc_reversed[arc] else ends
    kept = ~np.isin(roads.street_class, NOT_ON_FOOT)
    rows = np.repeat(kept, np.diff(roads.street_first))
    first = np.concatenate([[0], np.cumsum(np.diff(roads.street_first)[kept])])
    return Footways(
        tail[kept], head[kept], roads.street_mm[kept], roads.street_flags[kept], first, roads.point_lon[rows],
        roads.point_lat[rows],
    )  # fmt: skip


@dataclass(frozen=True)
class _Near:
    """A way near a place: mm beside it, mm along it from its tail."""

    way: int
    off_mm: float
    at_mm: float


class Walks:
    """Dijkstra over the ends of ways, in mm, either way along each."""

    def __init__(self, ways: Footways) -> None:
        self._ways = ways
        self._next: dict[bool, dict[int, list[tuple[int, float]]]] = {}
        self._trees: dict[bool, tuple[npt.NDArray[np.int64], Any]] = {}
        self._reached: dict[tuple[float, float, bool], list[tuple[_Near, dict[int, float]]]] = {}

    def lengths_mm(self, place: tuple[float, float], stop: tuple[float, float], step_free: bool) -> list[float]:
        """mm between two places by the ways nearest to them, and what lies beside these ways. One length, unless
        several ways are as near as rounding can tell; none where there is no way on foot."""
        found, mm = [], self._ways.mm
        for (a, reached), b in product(self._reach(place, step_free), self._near(stop, step_free)):
            best = abs(a.at_mm - b.at_mm) if a.way == b.way else np.inf
            best = min(best, reached.get(int(self._ways.tail[b.way]), np.inf) + b.at_mm)
            best = min(best, reached.get(int(self._ways.head[b.way]), np.inf) + float(mm[b.way]) - b.at_mm)
            if best < np.inf:
                found.append(best + a.off_mm + b.off_mm)
        return found

    def _reach(self, place: tuple[float, float], step_free: bool) -> list[tuple[_Near, dict[int, float]]]:
        """Of each way near a place: mm to all nodes; that of the last place is kept."""
        if (*place, step_free) not in self._reached:
            self._reached.clear()
            found = []
            for near in self._near(place, step_free):
                tail, head = int(self._ways.tail[near.way]), int(self._ways.head[near.way])
                start = {tail: near.at_mm}
                start[head] = min(start.get(head, np.inf), float(self._ways.mm[near.way]) - near.at_mm)
                found.append((near, self._from(start, step_free)))
            self._reached[*place, step_free] = found
        return self._reached[*place, step_free]

    @cached_property
    def _scale(self) -> npt.NDArray[np.float64]:
        middle = (float(self._ways.point_lat.min()) + float(self._ways.point_lat.max())) / 2
        return np.array([_DEGREE_M * np.cos(np.radians(middle)), _DEGREE_M])

    @cached_property
    def _lines(self) -> Any:
        import shapely

        xy = np.column_stack([self._ways.point_lon, self._ways.point_lat]) * self._scale
        counts = np.diff(self._ways.first)
        return shapely.linestrings(xy, indices=np.repeat(np.arange(len(counts)), counts))

    def _near(self, place: tuple[float, float], step_free: bool) -> list[_Near]:
        import shapely

        if step_free not in self._trees:
            rows = np.flatnonzero(self._ways.flags & STEP_FREE) if step_free else np.arange(len(self._ways.mm))
            self._trees[step_free] = rows, shapely.STRtree(self._lines[rows])
        rows, tree = self._trees[step_free]
        if len(rows) == 0:
            return []
        point = shapely.Point(np.array(place) * self._scale)
        _, metres = tree.query_nearest(point, return_distance=True, all_matches=False)
        close = rows[tree.query(point, predicate="dwithin", distance=1.001 * float(metres[0]) + 0.05)]
        return [
            _Near(
                int(way), 1_000 * float(shapely.distance(point, self._lines[way])),
                float(self._ways.mm[way]) * float(shapely.line_locate_point(self._lines[way], point, normalized=True)),
            )
            for way in close
        ]  # fmt: skip

    def _from(self, start: dict[int, float], step_free: bool, longest_mm: float = 6e6) -> dict[int, float]:
        if step_free not in self._next:
            found: dict[int, list[tuple[int, float]]] = defaultdict(list)
            columns = (self._ways.tail, self._ways.head, self._ways.mm, self._ways.flags)
            for a, b, mm, flags in zip(*(c.tolist() for c in columns), strict=True):
                if not step_free or flags & STEP_FREE:
                    found[a].append((b, mm))
                    found[b].append((a, mm))
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
