"""Are stops where they should be: on the nearest street, at the nearest point, on the right side? By shapely."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from noriai_engine.checker.load import Roads, Spot

# Classes too busy to cross: trunk to tertiary and the ramps of the last three (region bundle format, road classes).
BUSY = frozenset({1, 2, 3, 4, 12, 13, 14})
STOPPABLE = 1
_DEGREE_M = 6_371_008.8 * np.pi / 180.0


@dataclass(frozen=True, slots=True)
class Found:
    """metres from a point to the nearest street; metres by which the given spot is farther; "" or what is wrong with
    the side of the street."""

    nearest_m: float
    worse_m: float
    side: str


class Streets:
    """All streets of a region as lines on a local plane in metres."""

    def __init__(self, roads: Roads) -> None:
        self._roads = roads
        middle = (float(roads.point_lat.min()) + float(roads.point_lat.max())) / 2
        self._kx, self._ky = _DEGREE_M * float(np.cos(np.radians(middle))), _DEGREE_M

    @cached_property
    def _lines(self) -> Any:
        import shapely

        roads = self._roads
        counts = np.diff(roads.street_first)
        xy = np.column_stack([roads.point_lon * self._kx, roads.point_lat * self._ky])
        return shapely.linestrings(xy, indices=np.repeat(np.arange(len(counts)), counts))

    @cached_property
    def _tree(self) -> Any:
        import shapely

        return shapely.STRtree(self._lines[(self._roads.street_flags & STOPPABLE) > 0])

    def find(self, lon: float, lat: float, spot: Spot | None = None) -> Found:
        """The nearest street where one may stop, and how a given spot compares with it."""
        import shapely

        point = shapely.Point(lon * self._kx, lat * self._ky)
        _, distance = self._tree.query_nearest(point, return_distance=True, all_matches=False)
        nearest = float(distance[0])
        if spot is None or spot[0] < 0:
            return Found(nearest, 0.0, "")
        roads = self._roads
        arc = int(roads.state_arc[spot[0]])
        line = self._lines[roads.arc_street[arc]]
        if roads.arc_reversed[arc]:
            line = shapely.reverse(line)
        there = shapely.line_interpolate_point(line, spot[1] / int(roads.arc_ms[arc]), normalized=True)
        # The offset is whole ms, and the share of the way is taken on the sphere there and on a plane here.
        slack = 1.0 + 0.002 * float(line.length) + 0.01 * nearest
        worse = max(0.0, float(shapely.distance(point, there)) - nearest - slack)
        return Found(nearest, worse, self._side(arc, line, point))

    def _side(self, arc: int, line: Any, point: Any) -> str:
        import shapely

        roads = self._roads
        street = int(roads.arc_street[arc])
        if int(roads.street_class[street]) not in BUSY or (roads.arc_street == street).sum() < 2:
            return ""
        along = shapely.line_locate_point(line, point)
        if not 0.5 < along < line.length - 0.5:
            return ""
        a, b = (shapely.line_interpolate_point(line, along + step) for step in (-0.2, 0.2))
        cross = (b.x - a.x) * (point.y - a.y) - (b.y - a.y) * (point.x - a.x)
        if abs(cross) < 0.4 * 0.5:  # within half a metre of the line there is no telling
            return ""
        kerb = cross > 0 if roads.driving_side == "left" else cross < 0
        return "" if kerb else "is across a busy street"
