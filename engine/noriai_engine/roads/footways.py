"""Ways one may walk, as arrays: of a walker's reading of the map, or of the streets that vehicles use."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import BoolArray, ByteArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.geodesy import bounds_of
from noriai_engine.roads.speeds import ROAD_CLASSES

if TYPE_CHECKING:
    from noriai_engine.roads.streets import RawStreets

NOT_ON_FOOT = frozenset(
    ROAD_CLASSES.index(name)
    for name in ("motorway", "trunk", "motorway_link", "trunk_link", "busway", "bus_guideway", "ferry")
)
SHORTEST_PART_MM = 1_000_000
"""Ways that hang together with less than this in all are left out: yards, platforms, what an extract cuts off."""


@dataclass(frozen=True)
class Footways:
    """Ways on foot, either way along each, (s,): `street_tail`, `street_head` ends; `street_mm` at least 1;
    `street_flags` (2: step-free); `street_way` the OSM way or 0; `street_first` (s + 1,) rows of `point_lon`,
    `point_lat`.

    An end that nobody may pass (a barrier) is one of its own for every way that leads to it.
    """

    street_tail: IntArray
    street_head: IntArray
    street_mm: IntArray
    street_flags: ByteArray
    street_way: LongArray
    street_first: IntArray
    point_lon: FloatArray
    point_lat: FloatArray

    @cached_property
    def node_count(self) -> int:
        return int(max(self.street_tail.max(), self.street_head.max())) + 1

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        return bounds_of(self.point_lon, self.point_lat)

    @property
    def length_km(self) -> float:
        return float(self.street_mm.sum(dtype=np.int64)) / 1e6


def footways_of(raw: "RawStreets", inside: BoolArray | None = None) -> tuple[Footways, float]:
    """The ways of a walker's reading of a map, and how many km of them were left out as parts too short.

    `inside` (n,): ends that belong to the region. Raises InputError where nothing is left.
    """
    kept = (raw.forward_ms > 0) | (raw.backward_ms > 0)
    if inside is not None:
        kept &= inside[raw.tail] & inside[raw.head]
    tail, head, count = _without_blocked(raw, kept)
    part = _parts(count, tail, head, raw.mm * kept)
    long_enough = kept & part
    if not long_enough.any():
        raise InputError("no way on foot is left", where="walks", remedy="check the boundary and the extract")
    lost_km = float(raw.mm[kept & ~part].sum()) / 1e6
    _, ends = np.unique(np.concatenate([tail[long_enough], head[long_enough]]), return_inverse=True)
    half = int(long_enough.sum())
    counts = np.diff(raw.first_point)
    points = np.repeat(long_enough, counts)
    ways = Footways(
        ends[:half].astype(np.int32), ends[half:].astype(np.int32),
        np.maximum(1, raw.mm[long_enough]).astype(np.int32), raw.flags[long_enough].astype(np.int8),
        raw.way_id[long_enough], np.concatenate([[0], np.cumsum(counts[long_enough])]).astype(np.int32),
        raw.point_lon[points], raw.point_lat[points],
    )  # fmt: skip
    return ways, lost_km


def _without_blocked(raw: "RawStreets", kept: BoolArray) -> tuple[LongArray, LongArray, int]:
    """Ends of the ways, with an end of its own for every way at a node that is blocked."""
    tail, head = raw.tail.astype(np.int64), raw.head.astype(np.int64)
    count = len(raw.node_id)
    for ends in (tail, head):
        alone = np.flatnonzero(kept & raw.blocked[ends])
        ends[alone] = count + np.arange(len(alone))
        count += len(alone)
    return tail, head, count


def _parts(count: int, tail: LongArray, head: LongArray, mm: LongArray) -> BoolArray:
    """Of each way, whether what hangs together with it is long enough. A way of 0 mm is none."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    there = mm > 0
    graph = csr_matrix((np.ones(int(there.sum())), (tail[there], head[there])), shape=(count, count))
    found, part = connected_components(graph, directed=False)
    length = np.bincount(part[tail], weights=mm, minlength=found)
    longest = length.max(initial=0.0)
    out: BoolArray = there & (length[part[tail]] >= min(SHORTEST_PART_MM, longest))
    return out


def check_footways(ways: Footways) -> None:
    """Raise InputError where arrays disagree in length or point outside."""
    s = len(ways.street_tail)
    by_way = (ways.street_head, ways.street_mm, ways.street_flags, ways.street_way)
    fits = s > 0 and len(ways.street_first) == s + 1 and all(len(column) == s for column in by_way)
    fits = fits and int(ways.street_first[-1]) == len(ways.point_lon) == len(ways.point_lat)
    if not fits or min(ways.street_tail.min(), ways.street_head.min(), ways.street_mm.min() - 1) < 0:
        raise InputError("the ways on foot do not fit together", remedy="build the region again")
