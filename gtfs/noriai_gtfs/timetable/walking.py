"""How long it takes on foot from here to there: by the air line, or along the ways of a region."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.walks import Walks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
WALK_M_PER_S = 1.1
"""Walking speed of older people (a 75-year-old walks 1.0 to 1.2 m/s; MLIT uses 80 m a minute for flats)."""
DETOUR = 1.3
"""Ways on foot to air line, usual in towns."""
BETWEEN_STOPS_M = 300.0
"""How far one walks between stops, unless told otherwise."""
OFF_THE_MAP_M = 250.0
"""A place farther from every way on foot than this lies off the map: the air line counts there."""

Found = tuple[LongArray, IntArray, IntArray]
"""Rows of points, ascending; of goals; and ms, whole seconds rounded up."""
WalksTo = Callable[[FloatArray, FloatArray, float, bool], Found]
"""Of points (lon, lat), goals within a walk of DETOUR x so many metres; True: without steps."""


class Walking(Protocol):
    """A way to tell walks."""

    def to(self, lon: FloatArray, lat: FloatArray) -> WalksTo:
        """Walks to these goals. Goals whose coordinates are none are never reached."""


class AirLine:
    """DETOUR times the air line, for all alike."""

    def to(self, lon: FloatArray, lat: FloatArray) -> WalksTo:
        from scipy.spatial import cKDTree

        usable = np.flatnonzero((np.abs(lon) <= 180) & (np.abs(lat) <= 90))
        tree = cKDTree(_on_sphere(lon[usable], lat[usable])) if usable.size else None

        def walks(from_lon: FloatArray, from_lat: FloatArray, longest_m: float, step_free: bool) -> Found:
            del step_free
            here = np.flatnonzero((np.abs(from_lon) <= 180) & (np.abs(from_lat) <= 90))
            if tree is None or not here.size:
                return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)
            near = tree.query_ball_point(_on_sphere(from_lon[here], from_lat[here]), longest_m * 1.001)
            rows = np.repeat(here, [len(found) for found in near])
            goals = usable[np.concatenate([np.sort(np.array(found, np.int64)) for found in near]).astype(np.int64)]
            metres = haversine_m(from_lon[rows], from_lat[rows], lon[goals], lat[goals])
            kept = metres <= longest_m
            return rows[kept].astype(np.int64), goals[kept].astype(np.int32), walk_ms(metres[kept])

        return walks


class AlongWays:
    """The shortest walks along the ways on foot of a region; off its map as the air line has it."""

    def __init__(self, network: RoadNetwork) -> None:
        self._network = network

    def to(self, lon: FloatArray, lat: FloatArray) -> WalksTo:
        on_ways = Walks(self._network, lon, lat)
        by_air = AirLine().to(lon, lat)
        goal_off = on_ways.metres_off(lon, lat) > OFF_THE_MAP_M

        def walks(from_lon: FloatArray, from_lat: FloatArray, longest_m: float, step_free: bool) -> Found:
            point, goal, mm = on_ways.lengths(from_lon, from_lat, longest_m * DETOUR, step_free=step_free)
            off = on_ways.metres_off(from_lon, from_lat) > OFF_THE_MAP_M
            kept = ~off[point] & ~goal_off[goal]
            air = by_air(from_lon, from_lat, longest_m, step_free)
            lost = off[air[0]] | goal_off[air[1]]
            ms = (1_000 * np.ceil(mm[kept] / 1e3 / WALK_M_PER_S)).astype(np.int32)
            rows, goals = np.concatenate([point[kept], air[0][lost]]), np.concatenate([goal[kept], air[1][lost]])
            order = np.lexsort((goals, rows))
            return rows[order], goals[order].astype(np.int32), np.concatenate([ms, air[2][lost]])[order]

        return walks


def walking_on(network: RoadNetwork | None) -> Walking:
    """Along the ways on foot beside a network, where it knows any; by the air line where not."""
    return AirLine() if network is None or network.foot is None else AlongWays(network)


def walk_ms(metres: FloatArray) -> IntArray:
    """Time to walk an air line, whole seconds rounded up."""
    return (1000 * np.ceil(metres * DETOUR / WALK_M_PER_S)).astype(np.int32)


def _on_sphere(lon: FloatArray, lat: FloatArray) -> FloatArray:
    x, y = np.radians(lon), np.radians(lat)
    points: FloatArray = 6_371_008.8 * np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)
    return points
