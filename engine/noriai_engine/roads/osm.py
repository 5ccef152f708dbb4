"""OSM files (.osm.pbf, .osm, .osm.gz, .osm.bz2) to raw arcs and places of interest, read by pyosmium.

Nodes of the network are way ends, junctions, and as many points between as keep every arc under
MAX_ARC_M: a coordinate then lies within half of that of a node along its street.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.assemble import RawArcs
from noriai_engine.roads.network import haversine_m
from noriai_engine.roads.speeds import ROAD_CLASSES, directions, is_drivable, parse_maxspeed, speed_kmh, speed_table

MAX_ARC_M = 150.0

PLACE_KINDS: dict[tuple[str, str], str] = {
    ("amenity", "hospital"): "hospital", ("amenity", "clinic"): "clinic", ("amenity", "doctors"): "clinic",
    ("amenity", "dentist"): "clinic", ("amenity", "school"): "school", ("amenity", "college"): "school",
    ("amenity", "university"): "school", ("amenity", "kindergarten"): "school", ("amenity", "townhall"): "civic",
    ("amenity", "library"): "civic", ("amenity", "community_centre"): "civic", ("amenity", "post_office"): "civic",
    ("amenity", "bank"): "civic", ("amenity", "pharmacy"): "shop", ("amenity", "marketplace"): "shop",
    ("railway", "station"): "station", ("railway", "halt"): "station", ("public_transport", "station"): "station",
    ("amenity", "bus_station"): "station", ("shop", "supermarket"): "shop", ("shop", "mall"): "shop",
    ("shop", "convenience"): "shop", ("shop", "department_store"): "shop", ("shop", "doityourself"): "shop",
}  # fmt: skip


@dataclass
class OsmExtract:
    """What one file gave: raw arcs, places of interest as (kind, name, lon, lat), and counts for the report."""

    arcs: RawArcs
    places: list[tuple[str, str, float, float]]
    drivable_ways: int
    closed_ways: int
    missing_nodes: int
    timestamp: str
    sha256: str
    country: str


@dataclass
class _Ways:
    """Drivable ways while reading: one entry a way, and the nodes of all ways in one list."""

    first: list[int] = field(default_factory=list)
    forward: list[bool] = field(default_factory=list)
    backward: list[bool] = field(default_factory=list)
    maxspeed: list[float | None] = field(default_factory=list)
    road_class: list[int] = field(default_factory=list)
    name: list[int] = field(default_factory=list)
    refs: list[int] = field(default_factory=list)
    lons: list[float] = field(default_factory=list)
    lats: list[float] = field(default_factory=list)


CountryAt = Callable[[float, float], str]


def read_osm(path: Path, country_at: CountryAt) -> OsmExtract:
    """Read drivable roads and places of interest. Raises InputError where the file cannot be read.

    `country_at` gives the ISO 3166 code at the roads' middle (lon, lat), "" if unknown; it picks the speed table.
    """
    import osmium

    if not path.is_file():
        raise InputError("there is no such file", where=path, remedy="give an .osm.pbf, .osm or .osm.gz extract")
    try:
        with osmium.io.Reader(str(path), osmium.osm.osm_entity_bits.NOTHING) as reader:
            timestamp = reader.header().get("osmosis_replication_timestamp", "") or "unknown"
        return _read(path, country_at, timestamp)
    except (RuntimeError, ValueError, osmium.InvalidLocationError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"cannot be read as OSM data: {error}",
            where=path,
            remedy="download the extract again; it may be cut short",
        ) from error


def _read(path: Path, country_at: CountryAt, timestamp: str) -> OsmExtract:
    ways, names, places, closed, missing = _Ways(), {"": 0}, [], 0, 0
    for item in _objects(path):
        tags = dict(item.tags)
        kind = next((PLACE_KINDS[pair] for pair in tags.items() if pair in PLACE_KINDS), None)
        if kind is not None and (point := _point(item)) is not None:
            places.append((kind, tags.get("name", ""), *point))
        if not item.is_way() or "highway" not in tags:
            continue
        if not is_drivable(tags):
            closed += tags["highway"] in ROAD_CLASSES
            continue
        forward, backward = directions(tags)
        name = names.setdefault(tags.get("name") or tags.get("ref") or "", len(names))
        for run in _located_runs(item):
            if len(run) > 1:
                ways.first.append(len(ways.refs))
                ways.forward.append(forward)
                ways.backward.append(backward)
                ways.maxspeed.append(parse_maxspeed(tags.get("maxspeed")))
                ways.road_class.append(ROAD_CLASSES.index(tags["highway"]))
                ways.name.append(name)
                for ref, lon, lat in run:
                    ways.refs.append(ref)
                    ways.lons.append(lon)
                    ways.lats.append(lat)
        missing += sum(1 for node in item.nodes if not node.location.valid())
    if not ways.first:
        raise InputError("holds no drivable road", where=path, remedy="take an extract with highway=* ways")
    country = country_at(float(np.median(ways.lons)), float(np.median(ways.lats)))
    arcs = _arcs(ways, tuple(names), speed_table(country))
    return OsmExtract(arcs, sorted(places), len(ways.first), closed, missing, timestamp, sha256_of(path), country)


def _objects(path: Path) -> Iterator[Any]:
    import osmium

    keys = osmium.filter.KeyFilter("highway", "amenity", "shop", "railway", "public_transport")
    yield from osmium.FileProcessor(str(path)).with_locations().with_filter(keys)


def _point(item: Any) -> tuple[float, float] | None:
    """Coordinates of a node, or the middle of a way's nodes; None for relations and cut ways."""
    if item.is_node():
        return (item.lon, item.lat) if item.location.valid() else None
    if not item.is_way():
        return None
    known = [(n.lon, n.lat) for n in item.nodes if n.location.valid()]
    if not known:
        return None
    return (
        round(sum(p[0] for p in known) / len(known), 7),
        round(sum(p[1] for p in known) / len(known), 7),
    )


def _located_runs(way: Any) -> Iterator[list[tuple[int, float, float]]]:
    """The way's nodes, cut where the extract lacks a node's location."""
    run: list[tuple[int, float, float]] = []
    for node in way.nodes:
        if node.location.valid():
            run.append((node.ref, node.lon, node.lat))
        else:
            yield run
            run = []
    yield run


def _arcs(ways: _Ways, names: tuple[str, ...], table: dict[str, float]) -> RawArcs:
    refs = np.array(ways.refs, np.int64)
    lon, lat = np.array(ways.lons), np.array(ways.lats)
    way_of = np.zeros(len(refs), np.int32)
    way_of[np.array(ways.first[1:], np.int64)] = 1
    way_of = np.cumsum(way_of, dtype=np.int32)
    step = np.zeros(len(refs))
    step[1:] = np.where(way_of[1:] == way_of[:-1], haversine_m(lon[:-1], lat[:-1], lon[1:], lat[1:]), 0.0)
    along = np.cumsum(step)
    kept = np.flatnonzero(_kept(refs, way_of, along))

    same_way = way_of[kept[1:]] == way_of[kept[:-1]]
    tails, heads = kept[:-1][same_way], kept[1:][same_way]
    way = way_of[tails]
    length = along[heads] - along[tails]
    kmh = np.array([speed_kmh(ROAD_CLASSES[k], m, table) for k, m in zip(ways.road_class, ways.maxspeed, strict=True)])
    ms = np.rint(length * 3_600.0 / kmh[way]).astype(np.int64)

    node_id, first_seen, node_of = np.unique(refs[kept], return_index=True, return_inverse=True)
    node_at = np.zeros(len(refs), np.int32)
    node_at[kept] = node_of
    forward, backward = np.array(ways.forward)[way], np.array(ways.backward)[way]
    both = np.concatenate([np.flatnonzero(forward), np.flatnonzero(backward)])
    turned = np.concatenate([np.zeros(int(forward.sum()), bool), np.ones(int(backward.sum()), bool)])
    tail = np.where(turned, node_at[heads[both]], node_at[tails[both]]).astype(np.int32)
    head = np.where(turned, node_at[tails[both]], node_at[heads[both]]).astype(np.int32)
    return RawArcs(
        node_id, lon[kept][first_seen], lat[kept][first_seen], tail, head, length[both], ms[both],
        np.array(ways.road_class, np.int8)[way][both], np.array(ways.name, np.int32)[way][both], names,
    )  # fmt: skip


def _kept(refs: LongArray, way_of: IntArray, along: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mask of way nodes that become network nodes: ends, junctions, and one at least every MAX_ARC_M."""
    _, node, uses = np.unique(refs, return_inverse=True, return_counts=True)
    is_end = np.ones(len(refs), bool)
    is_end[1:-1] = (way_of[1:-1] != way_of[:-2]) | (way_of[1:-1] != way_of[2:])
    # A shape point of one way that is chosen here and shared with no other stays that way's alone.
    kept = is_end | (uses[node] > 1)
    last_kept = np.maximum.accumulate(np.where(kept, np.arange(len(refs)), 0))
    bucket = ((along - along[last_kept]) // MAX_ARC_M).astype(np.int64)
    spaced = np.zeros(len(refs), bool)
    spaced[1:] = (bucket[1:] > bucket[:-1]) & ~kept[1:]
    return kept | spaced


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
