"""The road network as arrays: junctions, streets with their geometry, arcs (directed streets), states and turns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place, Spot
from noriai_engine.model.units import ByteArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.footways import Footways
from noriai_engine.roads.geodesy import bounds_of, haversine_m


@dataclass(frozen=True)
class RoadNetwork:
    """Streets of one profile. From every state one can get to every other (one strong component).

    Junctions (n,): `node_lon`, `node_lat` degrees WGS84, `node_id` in the source (0 if none).
    Streets (s,): `street_first` (s + 1,) rows of `point_lon`, `point_lat`; `street_mm` length, at least 1;
    `street_class` index into ROAD_CLASSES; `street_name` index into `names` (names[0] is ""); `street_way` OSM id;
    `street_flags` bits 1 (one may stop there) and 2 (step-free to the kerb).
    Arcs (m,), sorted by (tail, head): `arc_tail`, `arc_head`; `arc_street`; `arc_reversed` 1 where it runs against
    the street's geometry; `arc_ms` driving time from end to end, at least 1.
    States (k,): `state_arc`. The first m are the arcs; a further one repeats an arc for a driver who came to it by a
    path that a via-way restriction watches. `standing` are those of vehicles that have stopped on such an arc: all
    restrictions that anyone there might be under hold for them.
    Turns (t,), sorted by (source, target): `turn_source`, `turn_target` states; `turn_ms` the delay between them;
    `turn_condition` 0, or the index into `conditions` of the opening-hours text when the turn is forbidden.
    `rank` (k,): elimination order of the states, lowest first (see `hierarchy`).
    `foot`: ways on foot beside the streets, where the source knows them.
    """

    node_lon: FloatArray
    node_lat: FloatArray
    node_id: LongArray
    street_first: IntArray
    street_mm: IntArray
    street_class: ByteArray
    street_name: IntArray
    street_way: LongArray
    street_flags: ByteArray
    point_lon: FloatArray
    point_lat: FloatArray
    arc_tail: IntArray
    arc_head: IntArray
    arc_street: IntArray
    arc_reversed: ByteArray
    arc_ms: IntArray
    state_arc: IntArray
    turn_source: IntArray
    turn_target: IntArray
    turn_ms: IntArray
    turn_condition: IntArray
    standing: IntArray
    rank: IntArray
    names: tuple[str, ...] = field(default=("",), repr=False)
    conditions: tuple[str, ...] = field(default=("",), repr=False)
    profile: str = "taxi"
    driving_side: str = "right"
    foot: Footways | None = field(default=None, repr=False)

    @property
    def node_count(self) -> int:
        return int(self.node_lon.shape[0])

    @property
    def street_count(self) -> int:
        return int(self.street_mm.shape[0])

    @property
    def arc_count(self) -> int:
        return int(self.arc_tail.shape[0])

    @property
    def state_count(self) -> int:
        return int(self.state_arc.shape[0])

    @property
    def turn_count(self) -> int:
        return int(self.turn_source.shape[0])

    @cached_property
    def length_km(self) -> float:
        """Length of all arcs; a two-way street counts in both directions."""
        return float(self.arc_mm.sum(dtype=np.int64)) / 1e6

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        return bounds_of(self.point_lon, self.point_lat)

    @cached_property
    def arc_mm(self) -> IntArray:
        return np.ascontiguousarray(self.street_mm[self.arc_street])

    @cached_property
    def arc_class(self) -> ByteArray:
        return np.ascontiguousarray(self.street_class[self.arc_street])

    @cached_property
    def state_ms(self) -> IntArray:
        """(k,) driving time along each state's arc."""
        return np.ascontiguousarray(self.arc_ms[self.state_arc])

    @cached_property
    def state_mm(self) -> IntArray:
        return np.ascontiguousarray(self.arc_mm[self.state_arc])

    @cached_property
    def twin(self) -> IntArray:
        """(k,) the next state on the same arc, round and round; -1 where there is no other."""
        out = np.full(self.state_count, -1, np.int32)
        extra = np.arange(self.arc_count, self.state_count)
        for state in extra.tolist():
            arc = int(self.state_arc[state])
            out[state] = arc if out[arc] < 0 else out[arc]
            out[arc] = state
        return out

    @cached_property
    def stop_state(self) -> IntArray:
        """(m,) the state of a vehicle that stands on an arc."""
        out = np.arange(self.arc_count, dtype=np.int32)
        out[self.state_arc[self.standing]] = self.standing
        return out

    @cached_property
    def arcs_of_street(self) -> tuple[IntArray, IntArray]:
        """(s,) the arc along each street's geometry, and the one against it; -1 where it is closed that way."""
        arc_of = np.full((2, self.street_count), -1, np.int32)
        arc_of[self.arc_reversed, self.arc_street] = np.arange(self.arc_count, dtype=np.int32)
        return arc_of[0], arc_of[1]

    @cached_property
    def opposite(self) -> IntArray:
        """(m,) the arc along the same street the other way; -1 on one-way streets."""
        ahead, back = self.arcs_of_street
        return np.where(self.arc_reversed == 1, ahead[self.arc_street], back[self.arc_street])

    @cached_property
    def first_turn(self) -> LongArray:
        """(k + 1,) first turn of each source state."""
        return np.searchsorted(self.turn_source, np.arange(self.state_count + 1)).astype(np.int64)

    @cached_property
    def first_out(self) -> LongArray:
        """(n + 1,) first arc of each tail node."""
        return np.searchsorted(self.arc_tail, np.arange(self.node_count + 1)).astype(np.int64)

    def geometry(self, arc: int) -> tuple[FloatArray, FloatArray]:
        """lon, lat of an arc's points in the direction of driving."""
        street = int(self.arc_street[arc])
        rows = slice(int(self.street_first[street]), int(self.street_first[street + 1]))
        lon, lat = self.point_lon[rows], self.point_lat[rows]
        return (lon[::-1], lat[::-1]) if self.arc_reversed[arc] else (lon, lat)

    def place_at(self, spot: Spot, name: str = "") -> Place:
        """Coordinates of a spot."""
        arc = int(self.state_arc[spot.state])
        share = np.array([spot.offset_ms / int(self.arc_ms[arc])])
        return Place(*points_at(*self.geometry(arc), share)[0], name)

    def line(self, states: Sequence[int], source_ms: int, target_ms: int) -> list[tuple[float, float]]:
        """(lon, lat) along a way, from an offset on the first state to one on the last."""
        out: list[tuple[float, float]] = []
        for k, state in enumerate(states):
            lon, lat = self.geometry(int(self.state_arc[state]))
            whole = list(zip(lon.tolist(), lat.tolist(), strict=True))
            total = int(self.state_ms[state])
            low, high = source_ms if k == 0 else 0, target_ms if k == len(states) - 1 else total
            if (low, high) != (0, total):
                whole = _part(lon, lat, low / total, min(1.0, high / total))
            out += whole if not out or out[-1] != whole[0] else whole[1:]
        return out

    def points_along(self, classes: tuple[int, ...], every_m: float) -> tuple[FloatArray, FloatArray]:
        """Points spread evenly along the streets of some classes, one or more a street, `every_m` apart at most."""
        lon, lat = [], []
        for street in np.flatnonzero(np.isin(self.street_class, classes)).tolist():
            rows = slice(int(self.street_first[street]), int(self.street_first[street + 1]))
            count = max(1, int(np.ceil(int(self.street_mm[street]) / 1e3 / every_m)))
            for x, y in points_at(self.point_lon[rows], self.point_lat[rows], (np.arange(count) + 0.5) / count):
                lon.append(round(x, 7))
                lat.append(round(y, 7))
        return np.array(lon), np.array(lat)

    def name_of(self, arc: int) -> str:
        return self.names[int(self.street_name[self.arc_street[arc]])]


def points_at(lon: FloatArray, lat: FloatArray, shares: FloatArray) -> list[tuple[float, float]]:
    """Points at shares (0 to 1) of the way along a line."""
    along = np.concatenate([[0.0], np.cumsum(haversine_m(lon[:-1], lat[:-1], lon[1:], lat[1:]))])
    at = np.clip(shares, 0.0, 1.0) * along[-1]
    return list(zip(np.interp(at, along, lon).tolist(), np.interp(at, along, lat).tolist(), strict=True))


def _part(lon: FloatArray, lat: FloatArray, low: float, high: float) -> list[tuple[float, float]]:
    """The piece of a line between two shares of its length."""
    along = np.concatenate([[0.0], np.cumsum(haversine_m(lon[:-1], lat[:-1], lon[1:], lat[1:]))])
    inside = np.flatnonzero((along > low * along[-1]) & (along < high * along[-1]))
    first, last = points_at(lon, lat, np.array([low, high]))
    return [first, *zip(lon[inside].tolist(), lat[inside].tolist(), strict=True), last]


def check_network(network: RoadNetwork) -> None:
    """Raise InputError where arrays disagree in length or point outside, or weights are not positive."""
    n, s, m = network.node_count, network.street_count, network.arc_count
    k, t = network.state_count, network.turn_count
    if min(n, s, m, k, t) == 0:
        raise InputError("the road network is empty", remedy="check that the extract holds drivable roads")
    lengths: list[tuple[int, *tuple[Any, ...]]] = [
        (n, network.node_lat, network.node_id), (s + 1, network.street_first),
        (s, network.street_class, network.street_name, network.street_way, network.street_flags),
        (int(network.street_first[-1]), network.point_lon, network.point_lat),
        (m, network.arc_head, network.arc_street, network.arc_reversed, network.arc_ms), (k, network.rank),
        (t, network.turn_target, network.turn_ms, network.turn_condition),
    ]  # fmt: skip
    limits: list[tuple[int, *tuple[Any, ...]]] = [
        (n, network.arc_tail, network.arc_head), (s, network.arc_street), (m, network.state_arc),
        (k, network.turn_source, network.turn_target, network.rank, network.standing),
        (len(network.names), network.street_name), (len(network.conditions), network.turn_condition),
    ]  # fmt: skip
    fits = all(len(array) == size for size, *arrays in lengths for array in arrays)
    inside = all(
        array.min(initial=0) >= 0 and array.max(initial=0) < size for size, *arrays in limits for array in arrays
    )
    if not fits or not inside or not np.array_equal(network.state_arc[:m], np.arange(m)):
        raise InputError("the road network's arrays do not fit together", remedy="build the region again")
    if network.arc_ms.min() < 1 or network.street_mm.min() < 1 or network.turn_ms.min() < 0:
        raise InputError("an arc takes no time or has no length", remedy="build the region again")
