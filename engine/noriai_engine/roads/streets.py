"""From OSM ways to streets: pieces of road between junctions, alike in class, name and speed from end to end."""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.units import BoolArray, ByteArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.access import NodeRule
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.kernels import tracing
from noriai_engine.roads.osm import OsmExtract, Restriction, restricted_ways


@dataclass(frozen=True)
class RawStreets:
    """Streets as a source gives them, before anything is dropped; (s,) unless said otherwise.

    Junctions (n,): `node_id`, `node_lon`, `node_lat`, `blocked` (nobody drives through). `tail`, `head`: junctions at
    a street's ends. Its geometry is rows first_point[k] .. first_point[k + 1] of `point_lon`, `point_lat`.
    `forward_ms`, `backward_ms`: driving time along and against it, 0 where closed. `forward_delay_ms`: waiting
    at the head for those who come along the street, `backward_delay_ms` at the tail for those who come against it.
    `way_id`: the OSM way, 0 if none. `flags`: see RoadNetwork. `restrictions` are in OSM ids.
    """

    node_id: LongArray
    node_lon: FloatArray
    node_lat: FloatArray
    blocked: BoolArray
    tail: IntArray
    head: IntArray
    first_point: IntArray
    point_lon: FloatArray
    point_lat: FloatArray
    forward_ms: LongArray
    backward_ms: LongArray
    mm: LongArray
    forward_delay_ms: IntArray
    backward_delay_ms: IntArray
    road_class: ByteArray
    name: IntArray
    names: tuple[str, ...]
    way_id: LongArray
    roundabout: BoolArray
    flags: ByteArray
    restrictions: tuple[Restriction, ...] = ()


def trace_streets(extract: OsmExtract) -> RawStreets:
    """Streets of all ways of an extract.

    A piece between two OSM nodes takes round(length / speed) ms, at least 1; a street the sum of its pieces and of the
    delays at tagged nodes within it, so that any other walk over the same nodes adds up to the same integers.
    """
    ways = extract.ways
    piece = _pieces(extract)
    point_ref, point_of = np.unique(ways.ref, return_inverse=True)
    at = np.zeros(len(point_ref), np.int64)
    at[point_of[::-1]] = np.arange(len(ways.ref) - 1, -1, -1)  # the first row of each point
    lon, lat = ways.lon[at], ways.lat[at]
    tail, head = point_of[piece.row].astype(np.int32), point_of[piece.row + 1].astype(np.int32)
    ahead, back = _attributes(extract)
    delay = _delays(extract.rules, point_ref)
    forced = delay.blocked.copy()
    forced[point_of[_ends_of(extract)]] = True
    is_end = np.empty(len(point_ref), np.bool_)
    tracing.street_ends(len(point_ref), tail, head, ahead[piece.way], back[piece.way], forced, is_end)

    through = ~is_end
    forward_ms = piece.forward_ms + np.where(through[head], delay.forward_ms[head], 0)
    backward_ms = piece.backward_ms + np.where(through[tail], delay.backward_ms[tail], 0)
    room = len(tail)
    first_point, point = np.empty(room + 1, np.int32), np.empty(2 * room + 1, np.int32)
    first_edge, last_edge = np.empty(room, np.int32), np.empty(room, np.int32)
    ms, back_ms, mm = (np.empty(room, np.int64) for _ in range(3))
    count = tracing.trace(
        len(point_ref), tail, head, is_end, forward_ms, backward_ms, piece.mm, first_point, point, first_edge,
        last_edge, ms, back_ms, mm,
    )  # fmt: skip
    first_point = first_point[: count + 1]
    point = point[: first_point[-1]]
    first_edge, last_edge = first_edge[:count], last_edge[:count]
    start, end = point[first_point[:-1]], point[first_point[1:] - 1]
    way, against = piece.way[first_edge >> 1], (first_edge & 1) == 1
    open_ahead = np.where(against, ways.backward_kmh[way], ways.forward_kmh[way]) > 0
    open_back = np.where(against, ways.forward_kmh[way], ways.backward_kmh[way]) > 0
    ends = np.unique(np.concatenate([start, end]))
    junction = np.zeros(len(point_ref), np.int32)
    junction[ends] = np.arange(len(ends))
    at_head = np.where(last_edge & 1, delay.backward_ms[end], delay.forward_ms[end])
    at_tail = np.where(first_edge & 1, delay.forward_ms[start], delay.backward_ms[start])
    return RawStreets(
        point_ref[ends], lon[ends], lat[ends], delay.blocked[ends], junction[start], junction[end], first_point,
        lon[point], lat[point], np.where(open_ahead, ms[:count], 0), np.where(open_back, back_ms[:count], 0),
        mm[:count], at_head.astype(np.int32), at_tail.astype(np.int32), ways.road_class[way], ways.name[way],
        ways.names, ways.way_id[way], ways.roundabout[way].astype(bool), ways.flags[way],
        extract.restrictions,
    )  # fmt: skip


@dataclass(frozen=True)
class _Pieces:
    """Pieces between neighbouring OSM nodes: `row` of the first one in the extract's node list, `way`, and weights."""

    row: LongArray
    way: LongArray
    forward_ms: LongArray
    backward_ms: LongArray
    mm: LongArray


def _pieces(extract: OsmExtract) -> _Pieces:
    ways = extract.ways
    way_of = np.repeat(np.arange(len(ways.way_id)), np.diff(ways.first))
    known = ways.lon < 900
    row = np.flatnonzero((way_of[1:] == way_of[:-1]) & known[1:] & known[:-1] & (ways.ref[1:] != ways.ref[:-1]))
    way = way_of[row]
    usable = (ways.forward_kmh[way] > 0) | (ways.backward_kmh[way] > 0)
    row, way = row[usable], way[usable]
    once = _first_passes(ways.ref[row], ways.ref[row + 1], way, (ways.forward_kmh > 0) & (ways.backward_kmh > 0))
    row, way = row[once], way[once]
    metres = haversine_m(ways.lon[row], ways.lat[row], ways.lon[row + 1], ways.lat[row + 1])
    return _Pieces(
        row, way, piece_ms(metres, ways.forward_kmh[way]), piece_ms(metres, ways.backward_kmh[way]),
        np.maximum(1, np.rint(metres * 1e3).astype(np.int64)),
    )  # fmt: skip


def _first_passes(a: LongArray, b: LongArray, way: LongArray, two_way: BoolArray) -> BoolArray:
    """False for a piece that its way has passed before: ways are sometimes drawn there and back."""
    turned = two_way[way] & (a > b)
    low, high = np.where(turned, b, a), np.where(turned, a, b)
    order = np.lexsort((np.arange(len(a)), high, low, way))
    again = np.zeros(len(a), bool)
    again[1:] = (np.diff(way[order]) == 0) & (np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)
    out = np.ones(len(a), bool)
    out[order] = ~again
    return out


def piece_ms(metres: FloatArray, kmh: FloatArray) -> LongArray:
    """Whole ms for a piece of road, at least 1; 0 where the speed is 0 (closed)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ms = np.maximum(1.0, np.rint(metres * 3_600.0 / kmh))
    return np.where(kmh > 0, ms, 0).astype(np.int64)


def _attributes(extract: OsmExtract) -> tuple[IntArray, IntArray]:
    """A number for what a way is like along it and against it: equal numbers may be one street."""
    ways = extract.ways
    restricted = np.isin(ways.way_id, np.fromiter(set(restricted_ways(extract.restrictions)), np.int64))
    own = np.where(restricted, ways.way_id, 0)
    numbers: dict[tuple[float, ...], int] = {}
    ahead, back = np.empty(len(own), np.int32), np.empty(len(own), np.int32)
    columns = (ways.road_class, ways.name, ways.roundabout + 2 * ways.flags, own, ways.forward_kmh, ways.backward_kmh)
    for k, (kind, name, ring, way, forward, backward) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        ahead[k] = numbers.setdefault((kind, name, ring, way, forward, backward), len(numbers))
        back[k] = numbers.setdefault((kind, name, ring, way, backward, forward), len(numbers))
    return ahead, back


def _ends_of(extract: OsmExtract) -> LongArray:
    """Rows of nodes where a street must end: via nodes of restrictions, and where the extract cuts a way."""
    vias = {number for r in extract.restrictions for kind, number in r.via if kind == "n"}
    return np.flatnonzero(np.isin(extract.ways.ref, np.fromiter(vias, np.int64)))


@dataclass(frozen=True)
class _Delays:
    """By point: `blocked`, and delays of those who come along and against the way."""

    blocked: BoolArray
    forward_ms: LongArray
    backward_ms: LongArray


def _delays(rules: dict[int, NodeRule], point_ref: LongArray) -> _Delays:
    out = _Delays(
        np.zeros(len(point_ref), bool), np.zeros(len(point_ref), np.int64), np.zeros(len(point_ref), np.int64)
    )
    ids = np.fromiter(rules, np.int64, len(rules))
    at = np.minimum(np.searchsorted(point_ref, ids), len(point_ref) - 1)
    for k, rule in zip(at.tolist(), rules.items(), strict=True):
        if point_ref[k] == rule[0]:
            out.blocked[k] = rule[1].blocked
            out.forward_ms[k], out.backward_ms[k] = rule[1].forward_ms, rule[1].backward_ms
    return out
