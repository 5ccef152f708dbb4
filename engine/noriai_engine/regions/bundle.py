"""Open a region bundle. The format is described in docs/region-bundle.md; arrays are memory-mapped."""

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.model.errors import InputError, NoriaiError
from noriai_engine.regions.people import PlaceOfInterest, Population
from noriai_engine.roads.footways import Footways, check_footways
from noriai_engine.roads.network import RoadNetwork, check_network
from noriai_engine.tables.read import read_parquet_columns

if TYPE_CHECKING:
    from noriai_engine.roads.snapper import Snapper

FORMAT_VERSION = "2.1"
ROAD_ARRAYS = (
    "node_lon", "node_lat", "node_id", "street_first", "street_mm", "street_class", "street_name", "street_way",
    "street_flags", "point_lon", "point_lat", "arc_tail", "arc_head", "arc_street", "arc_reversed", "arc_ms",
    "state_arc", "turn_source", "turn_target", "turn_ms", "turn_condition", "standing", "rank",
)  # fmt: skip
FOOT_ARRAYS = (
    "street_tail", "street_head", "street_mm", "street_flags", "street_way", "street_first", "point_lon", "point_lat",
)  # fmt: skip


class RegionError(InputError):
    """A region bundle is absent, damaged or of a version this noriai cannot read."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part of the region comes from, and under which licence."""

    what: str
    name: str
    date: str
    licence: str
    attribution: str
    sha256: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Feed:
    """A GTFS feed stored as it is, with what a person wants to know of it."""

    file: str
    sha256: str
    agencies: tuple[str, ...]
    valid_from: str
    valid_to: str
    stops: int
    routes: int
    trips: int
    stop_times: int


@dataclass(frozen=True)
class Region:
    """An open bundle. `checksum` names its whole content: the SHA-256 of region.toml, which lists all others."""

    folder: Path
    name: str
    title: str
    country: str
    timezone: str
    driving_side: str
    profile: str
    notes: tuple[str, ...]
    sources: tuple[Source, ...]
    feeds: tuple[Feed, ...]
    files: dict[str, str] = field(repr=False)
    checksum: str = field(repr=False)

    @cached_property
    def network(self) -> RoadNetwork:
        folder = self.folder / "roads"
        try:
            arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ROAD_ARRAYS}
            names, conditions = (
                tuple(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
                for name in ("names", "conditions")
            )
        except (OSError, ValueError) as error:
            raise RegionError(f"roads cannot be read: {error}", where=self.folder, remedy="build it again") from error
        network = RoadNetwork(
            **arrays, names=names, conditions=conditions, profile=self.profile, driving_side=self.driving_side,
            foot=self._footways,
        )  # fmt: skip
        check_network(network)
        return network

    @property
    def _footways(self) -> Footways | None:
        folder = self.folder / "walks"
        if not folder.is_dir():
            return None
        try:
            arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in FOOT_ARRAYS}
        except (OSError, ValueError) as error:
            raise RegionError(f"walks cannot be read: {error}", where=folder, remedy="build it again") from error
        ways = Footways(**arrays)
        check_footways(ways)
        return ways

    @cached_property
    def snapper(self) -> "Snapper":
        """Finds the streets near a place."""
        from noriai_engine.roads.snapper import Snapper

        return Snapper(self.network)

    @cached_property
    def population(self) -> Population | None:
        columns = self._table("population.parquet")
        if columns is None:
            return None
        return Population(np.array(columns["lon"]), np.array(columns["lat"]), np.array(columns["people"]))

    @cached_property
    def places(self) -> tuple[PlaceOfInterest, ...]:
        columns = self._table("places.parquet") or {"kind": [], "name": [], "lon": [], "lat": []}
        rows = zip(columns["kind"], columns["name"], columns["lon"], columns["lat"], strict=True)
        return tuple(PlaceOfInterest(*row) for row in rows)

    @cached_property
    def stops(self) -> list[dict[str, Any]]:
        """Stops of all feeds: feed, stop_id, name, lon, lat, departures (stop_times at the stop)."""
        columns = self._table("stops.parquet") or {}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @cached_property
    def boundary(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        """Outer rings (lon, lat) of the region."""
        document = json.loads((self.folder / "boundary.geojson").read_text(encoding="utf-8"))
        rings = document["features"][0]["geometry"]["coordinates"]
        return tuple(tuple((float(x), float(y)) for x, y in polygon[0]) for polygon in rings)

    @property
    def attribution(self) -> str:
        """One line to stand on every map."""
        return "; ".join(dict.fromkeys(source.attribution for source in self.sources if source.attribution))

    def verify(self) -> None:
        """Raise RegionError where a file's content is not the one the bundle was built with."""
        for file, digest in self.files.items():
            path = self.folder / file
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise RegionError("differs from its checksum in region.toml", where=path, remedy="copy or build again")

    def _table(self, file: str) -> dict[str, list[Any]] | None:
        return read_parquet_columns(self.folder / file) if (self.folder / file).is_file() else None


def open_region(folder: Path) -> Region:
    """Open a bundle without reading its arrays. Raises RegionError where it is none, damaged or too new."""
    file = folder / "region.toml"
    if not file.is_file():
        raise RegionError("is no region bundle: region.toml is missing", where=folder, remedy="run noriai region build")
    raw = file.read_bytes()
    try:
        data = tomllib.loads(raw.decode("utf-8"))
        version = str(data["format_version"])
        if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
            raise RegionError(
                f"has format {version}, this noriai reads {FORMAT_VERSION}",
                where=file,
                remedy="build the region again with this version, or use the noriai that built it",
            )
        return Region(
            folder=folder,
            name=data["name"],
            title=data["title"],
            country=data["country"],
            timezone=data["timezone"],
            driving_side=data["driving_side"],
            profile=data["profile"],
            notes=tuple(data["notes"]),
            sources=tuple(Source(**source) for source in data["sources"]),
            feeds=tuple(Feed(**feed | {"agencies": tuple(feed["agencies"])}) for feed in data["feeds"]),
            files=data["files"],
            checksum=hashlib.sha256(raw).hexdigest(),
        )
    except NoriaiError:
        raise
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise RegionError(f"cannot be read: {error!r}", where=file, remedy="build the region again") from error
