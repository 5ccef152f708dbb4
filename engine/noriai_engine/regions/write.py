"""Write a region bundle: same content, same bytes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from noriai_engine.regions.bundle import FOOT_ARRAYS, FORMAT_VERSION, ROAD_ARRAYS, Feed, Source
from noriai_engine.regions.people import PlaceOfInterest, Population
from noriai_engine.roads.footways import Footways
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.tables import Column, replace_folder, write_parquet

_OLDER_FORMAT = "2.0"
"""The format of a bundle that holds nothing an older reader does not know."""


@dataclass
class RegionDraft:
    """Everything a bundle is made of. `feed_files` are copied as they are; `stops` are theirs."""

    name: str
    title: str
    country: str
    timezone: str
    driving_side: str
    network: RoadNetwork
    sources: list[Source]
    notes: list[str] = field(default_factory=list)
    boundary: Any = None
    """shapely polygon or multipolygon; None: the hull of the network."""
    population: Population | None = None
    places: list[PlaceOfInterest] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    feed_files: list[tuple[str, bytes]] = field(default_factory=list)
    stops: list[tuple[str, str, str, float, float, int]] = field(default_factory=list)
    licences: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[Column]] = field(default_factory=dict)
    """Further tables by their path in the bundle, such as recorded demand."""
    folders: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    """Further folders by their name in the bundle, each with what writes it."""


def write_region(draft: RegionDraft, folder: Path) -> None:
    """Write the bundle to `folder`, whole or not at all. Raises InputError where the folder holds other things."""
    with replace_folder(folder, marker="region.toml") as out:
        _write_roads(draft.network, out / "roads")
        if draft.network.foot is not None:
            _write_arrays(draft.network.foot, FOOT_ARRAYS, out / "walks")
        _write_boundary(draft, out / "boundary.geojson")
        _write_tables(draft, out)
        for name, data in draft.feed_files:
            (out / "gtfs").mkdir(exist_ok=True)
            (out / "gtfs" / name).write_bytes(data)
        for name, columns in draft.tables.items():
            (out / name).parent.mkdir(exist_ok=True)
            write_parquet(out / name, columns)
        for name, write in draft.folders.items():
            write(out / name)
        for name, text in draft.licences.items():
            (out / "licences").mkdir(exist_ok=True)
            (out / "licences" / name).write_text(text, encoding="utf-8")
        files = sorted(path for path in out.rglob("*") if path.is_file())
        document = {
            "format_version": FORMAT_VERSION if draft.network.foot or draft.folders else _OLDER_FORMAT,
            "name": draft.name,
            "title": draft.title,
            "country": draft.country,
            "timezone": draft.timezone,
            "driving_side": draft.driving_side,
            "profile": draft.network.profile,
            "notes": draft.notes,
            "counts": {
                "junctions": draft.network.node_count,
                "streets": draft.network.street_count,
                "arcs": draft.network.arc_count,
                "turns": draft.network.turn_count,
                "arc_km": round(draft.network.length_km, 1),
                "people": round(draft.population.total) if draft.population else 0,
                "places": len(draft.places),
                "stops": len(draft.stops),
            },
            "sources": [asdict(source) for source in draft.sources],
            "feeds": [asdict(feed) | {"agencies": list(feed.agencies)} for feed in draft.feeds],
            "files": {
                path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
            },
        }
        (out / "region.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


def _write_roads(network: RoadNetwork, folder: Path) -> None:
    _write_arrays(network, ROAD_ARRAYS, folder)
    for name in ("names", "conditions"):
        text = json.dumps(getattr(network, name), ensure_ascii=False, separators=(",", ":"))
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _write_arrays(source: RoadNetwork | Footways, names: tuple[str, ...], folder: Path) -> None:
    folder.mkdir()
    for name in names:
        np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(source, name)))


def _write_boundary(draft: RegionDraft, path: Path) -> None:
    import shapely

    shape = draft.boundary
    if shape is None:
        points = shapely.MultiPoint(np.column_stack([draft.network.point_lon, draft.network.point_lat]))
        shape = points.convex_hull.buffer(0.005, quad_segs=2)
    polygons = list(getattr(shape, "geoms", [shape]))
    rings = [[[[round(x, 6), round(y, 6)] for x, y in polygon.exterior.coords]] for polygon in polygons]
    feature = {
        "type": "Feature",
        "properties": {"name": draft.name},
        "geometry": {"type": "MultiPolygon", "coordinates": rings},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")


def _write_tables(draft: RegionDraft, out: Path) -> None:
    if draft.population is not None:
        people = draft.population
        write_parquet(
            out / "population.parquet",
            [
                Column("lon", "float64", people.lon.tolist()),
                Column("lat", "float64", people.lat.tolist()),
                Column("people", "float64", people.people.tolist()),
            ],
        )
    if draft.places:
        write_parquet(
            out / "places.parquet",
            [
                Column("kind", "string", [p.kind for p in draft.places]),
                Column("name", "string", [p.name for p in draft.places]),
                Column("lon", "float64", [p.lon for p in draft.places]),
                Column("lat", "float64", [p.lat for p in draft.places]),
            ],
        )
    if draft.stops:
        feed, stop_id, name, lon, lat, departures = zip(*draft.stops, strict=True)
        write_parquet(
            out / "stops.parquet",
            [
                Column("feed", "string", feed),
                Column("stop_id", "string", stop_id),
                Column("name", "string", name),
                Column("lon", "float64", lon),
                Column("lat", "float64", lat),
                Column("departures", "int64", departures),
            ],
        )
