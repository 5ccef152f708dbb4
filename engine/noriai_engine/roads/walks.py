"""Walks to a list of goals along the ways of a region that one may walk, either way along each.

Of a region that was made from a map these are the walker's own: footpaths and steps too, no trunk road. Of another they
are the streets of its vehicles, so that a walk may be shorter than it says. Those who need it keep to ways that are
step-free. A walk begins at the nearest way and ends at the goal's; what lies between them and the way counts too.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place
from noriai_engine.model.units import BoolArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.access import STEP_FREE
from noriai_engine.roads.footways import NOT_ON_FOOT, Footways
from noriai_engine.roads.kernels.foot import NOWHERE, Foot, Goals, walks_from
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.snapper import FAR_M, Snapper


class _Ways(NamedTuple):
    """What a search needs, for all walkers or for those who keep to step-free ways."""

    foot: Foot
    goals: Goals
    found: IntArray


class Walks:
    """Lengths of walks from places to goals (g,), given in degrees. One search at a time."""

    def __init__(self, network: RoadNetwork, lon: FloatArray, lat: FloatArray) -> None:
        self.ways = network.foot or _along_streets(network)
        self._snapper = Snapper(self.ways)
        self._lon, self._lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        self._kinds: dict[bool, _Ways] = {}

    def lengths(
        self, lon: FloatArray, lat: FloatArray, longest_m: float, *, step_free: bool = False
    ) -> tuple[LongArray, IntArray, LongArray]:
        """All walks from points (p,) of up to `longest_m`: rows of points, ascending; of goals, nearest first, then as
        listed; and mm."""
        kind, limit = self._of(step_free), int(1_000 * longest_m)
        way, at, off = self._on_ways(np.asarray(lon), np.asarray(lat), step_free, longest_m)
        rows, goals, lengths = [], [], []
        for k in np.flatnonzero((way >= 0) & (off <= limit)).tolist():
            count = walks_from(kind.foot, kind.goals, int(way[k]), int(at[k]), int(off[k]), limit, kind.found)
            goal = kind.found[:count].copy()
            mm = kind.goals.best[goal]
            kind.goals.best[goal] = NOWHERE
            order = np.lexsort((goal, mm))
            rows.append(np.full(count, k, np.int64))
            goals.append(goal[order])
            lengths.append(mm[order])
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64)
        return np.concatenate(rows), np.concatenate(goals), np.concatenate(lengths)

    def nearest(self, place: Place, longest_m: int, step_free: bool, most: int) -> list[tuple[int, int]]:
        """The nearest goals within a walk, as (row of the goal, mm), nearest first, then as listed."""
        lon, lat = np.array([place.lon]), np.array([place.lat])
        _, goals, mm = self.lengths(lon, lat, longest_m, step_free=step_free)
        return list(zip(goals[:most].tolist(), mm[:most].tolist(), strict=True))

    def metres_off(self, lon: FloatArray, lat: FloatArray) -> FloatArray:
        """(p,) metres to the nearest way on foot; inf beyond FAR_M and where a coordinate is none."""
        known = (np.abs(lon) <= 180) & (np.abs(lat) <= 90)
        out = np.full(len(known), np.inf)
        out[known] = self._snapper.snap(lon[known], lat[known], limit_m=FAR_M, needed=0).metres
        return out

    def _on_ways(
        self, lon: FloatArray, lat: FloatArray, step_free: bool, longest_m: float
    ) -> tuple[IntArray, LongArray, LongArray]:
        """Of points: the nearest way (-1: none, or a coordinate is none), mm along it and mm beside it."""
        known = np.flatnonzero((np.abs(lon) <= 180) & (np.abs(lat) <= 90))
        found = self._snapper.snap(lon[known], lat[known], limit_m=longest_m, needed=STEP_FREE if step_free else 0)
        on, way = known[found.street >= 0], found.street[found.street >= 0]
        out, at, off = np.full(len(lon), -1, np.int32), np.zeros(len(lon), np.int64), np.zeros(len(lon), np.int64)
        out[on] = way
        at[on] = np.rint(found.share[found.street >= 0] * self.ways.street_mm[way]).astype(np.int64)
        off[on] = np.ceil(1_000 * found.metres[found.street >= 0]).astype(np.int64)
        return out, at, off

    def _of(self, step_free: bool) -> _Ways:
        if step_free not in self._kinds:
            usable = (self.ways.street_flags & STEP_FREE) > 0 if step_free else np.ones(len(self.ways.street_mm), bool)
            way, at, off = self._on_ways(self._lon, self._lat, step_free, FAR_M)
            on = np.flatnonzero(way >= 0)
            goal = on[np.argsort(way[on], kind="stable")]
            first = np.searchsorted(way[goal], np.arange(len(usable) + 1)).astype(np.int64)
            goals = Goals(first, goal.astype(np.int32), at, off, np.full(len(way), NOWHERE, np.int64))
            self._kinds[step_free] = _Ways(_foot(self.ways, usable), goals, np.zeros(len(way), np.int32))
        return self._kinds[step_free]


def _foot(ways: Footways, usable: BoolArray) -> Foot:
    way = np.flatnonzero(usable)
    end = np.concatenate([ways.street_tail[way], ways.street_head[way]])
    other = np.concatenate([ways.street_head[way], ways.street_tail[way]])
    order = np.argsort(end, kind="stable")
    first = np.searchsorted(end[order], np.arange(ways.node_count + 1)).astype(np.int64)
    room = len(order) + 2
    return Foot(
        first, other[order].astype(np.int32), np.concatenate([way, way])[order].astype(np.int32), ways.street_tail,
        ways.street_head, ways.street_mm, np.full(ways.node_count, NOWHERE, np.int64), np.zeros(room, np.int32),
        np.zeros(room, np.int64),
    )  # fmt: skip


def _along_streets(network: RoadNetwork) -> Footways:
    """The streets of vehicles that one may walk along."""
    ahead, back = network.arcs_of_street
    there = ahead >= 0
    tail = np.where(there, network.arc_tail[ahead], network.arc_head[back])
    head = np.where(there, network.arc_head[ahead], network.arc_tail[back])
    kept = ~np.isin(network.street_class, list(NOT_ON_FOOT))
    if not kept.any():
        raise InputError("there is no street to walk on", where="roads", remedy="use mode door")
    counts = np.diff(network.street_first)
    points = np.repeat(kept, counts)
    return Footways(
        tail[kept].astype(np.int32), head[kept].astype(np.int32), network.street_mm[kept],
        network.street_flags[kept], network.street_way[kept],
        np.concatenate([[0], np.cumsum(counts[kept])]).astype(np.int32), network.point_lon[points],
        network.point_lat[points],
    )  # fmt: skip
