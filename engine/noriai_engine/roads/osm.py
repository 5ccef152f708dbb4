"""OSM files (.osm.pbf, .osm, .osm.gz, .osm.bz2) to the ways a profile may use, tagged nodes, restrictions, places.

pyosmium filters and adds locations in C++ and hands the rest over as OPL text, one object a line
(https://osmcode.org/opl-file-format): reading that is twice as fast as asking for objects one by one.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import ByteArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.access import NodeRule, directions, is_open, node_rule, road_class, way_flags
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.profiles import Profile
from noriai_engine.roads.speeds import ROAD_CLASSES, SpeedTable, way_speeds, width_share

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
_PLACE_KEYS = ("amenity", "shop", "railway", "public_transport")
_MODES = ("motorcar", "motor_vehicle", "vehicle", "taxi", "bus", "psv")
_KEYS = (
    "highway", "route", "barrier", "restriction", "restriction:conditional", *(f"restriction:{m}" for m in _MODES),
    "access", "foot", *_MODES, *_PLACE_KEYS,
)  # fmt: skip
_ESCAPED = re.compile("%([0-9a-f]+)%")
_NO_PLACE = 999.0

Tags = dict[str, str]


@dataclass(frozen=True, slots=True)
class Restriction:
    """A turn restriction relation as mapped: OSM ids, in the relation's order. `via` are (type, id)."""

    relation: int
    kind: str
    condition: str
    sources: tuple[int, ...]
    via: tuple[tuple[str, int], ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class OsmWays:
    """Ways open to a profile, (w,) each; the nodes of way k are rows first[k] .. first[k + 1] of ref, lon, lat.

    `forward_kmh`, `backward_kmh`: 0 where closed. `flags` as in `way_flags`. A node whose place the extract
    lacks has lon 999.
    """

    way_id: LongArray
    first: LongArray
    forward_kmh: FloatArray
    backward_kmh: FloatArray
    road_class: ByteArray
    name: IntArray
    roundabout: ByteArray
    flags: ByteArray
    names: tuple[str, ...]
    ref: LongArray
    lon: FloatArray
    lat: FloatArray


@dataclass(frozen=True)
class OsmExtract:
    """What one file gave. `places` are (kind, name, lon, lat); `rules` by OSM node id."""

    ways: OsmWays
    rules: dict[int, NodeRule]
    restrictions: tuple[Restriction, ...]
    places: tuple[tuple[str, str, float, float], ...]
    closed_ways: int
    missing_nodes: int
    timestamp: str
    sha256: str
    country: str


CountryAt = Callable[[float, float], str]
SpeedsOf = Callable[[str], SpeedTable]


def read_osm(path: Path, profile: Profile, country_at: CountryAt, speeds_of: SpeedsOf) -> OsmExtract:
    """Read what `profile` may use. Raises InputError where the file cannot be read or holds no such road.

    `country_at` gives the ISO 3166 code at the roads' middle (lon, lat), "" if unknown; `speeds_of` its speed table.
    """
    import osmium

    if not path.is_file():
        raise InputError("there is no such file", where=path, remedy="give an .osm.pbf, .osm or .osm.gz extract")
    try:
        with osmium.io.Reader(str(path), osmium.osm.osm_entity_bits.NOTHING) as reader:
            timestamp = reader.header().get("osmosis_replication_timestamp", "") or "unknown"
        text = _as_opl(path)
    except (RuntimeError, ValueError, osmium.InvalidLocationError) as error:
        raise InputError(
            f"cannot be read as OSM data: {error}", where=path, remedy="download it again; it may be cut short"
        ) from error
    draft = _Draft()
    for line in text.split("\n"):
        if line:
            draft.take(line, profile)
    if not draft.way_id:
        raise InputError(
            f"holds no road for the profile {profile.name}", where=path, remedy="take an extract with highway=* ways"
        )
    ref, lon, lat = _positions(draft.nodes)
    seen = lon != _NO_PLACE
    if not seen.any():
        raise InputError("holds ways without the places of their nodes", where=path, remedy="take a complete extract")
    country = country_at(float(np.median(lon[seen])), float(np.median(lat[seen])))
    ways = draft.ways(ref, lon, lat, profile, speeds_of(country))
    return OsmExtract(
        ways, draft.rules, tuple(draft.restrictions), tuple(sorted(draft.places)), draft.closed,
        int((~seen).sum()), timestamp, sha256_of(path), country,
    )  # fmt: skip


def _as_opl(path: Path) -> str:
    import osmium

    with tempfile.TemporaryDirectory(prefix="noriai-osm-") as folder:
        out = Path(folder) / "roads.opl"
        form = osmium.io.File(str(out), "opl,locations_on_ways=true,add_metadata=false")
        with osmium.SimpleWriter(form) as writer:
            keys = osmium.filter.KeyFilter(*_KEYS)
            for item in osmium.FileProcessor(str(path)).with_locations().with_filter(keys):
                writer.add(item)
        return out.read_text(encoding="utf-8")


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)), text) if "%" in text else text


def _tags(text: str) -> Tags:
    if not text:
        return {}
    pairs = (pair.split("=") for pair in text.split(","))
    return {_plain(key): _plain(value) for key, value in pairs}


def _positions(nodes: list[str]) -> tuple[LongArray, FloatArray, FloatArray]:
    """ref, lon, lat of the node lists `n1x137.0y36.0,n2x...`; an unknown place is written as `xy`."""
    text = ",".join(filter(None, nodes))
    if "xy" in text:
        text = text.replace("xy", f"x{_NO_PLACE}y{_NO_PLACE}")
    flat = text.translate({ord("n"): None, ord("x"): " ", ord("y"): " ", ord(","): " "})
    table = np.fromstring(flat, sep=" ").reshape(-1, 3)
    return table[:, 0].astype(np.int64), np.ascontiguousarray(table[:, 1]), np.ascontiguousarray(table[:, 2])


_NAMES = (
    "name",
    "ref=",
    "source",
    "note",
    "addr:",
    "tiger:",
    "wiki",
    "alt_name",
    "old_name",
    "created_by",
    "FIXME",
    "fixme",
)
"""Tags that no rule asks about; what is left of a way's tags is the same for thousands of ways."""


@dataclass(slots=True)
class _WayKind:
    """Ways alike in all tags that matter, judged once."""

    tags: Tags
    road_class: str | None
    is_open: bool
    place: str | None
    kmh: tuple[float, float] | None = None


@dataclass
class _Draft:
    """What has been read so far."""

    way_id: list[int] = field(default_factory=list)
    kinds: list[_WayKind] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    rules: dict[int, NodeRule] = field(default_factory=dict)
    restrictions: list[Restriction] = field(default_factory=list)
    places: list[tuple[str, str, float, float]] = field(default_factory=list)
    closed: int = 0
    known: dict[tuple[str, ...], _WayKind] = field(default_factory=dict)

    def take(self, line: str, profile: Profile) -> None:
        fields = line.split(" ")
        number = int(fields[0][1:])
        parts = {field[0]: field[1:] for field in fields[1:] if field}
        if line[0] == "w":
            self._way(number, parts, profile)
            return
        tags = _tags(parts.get("T", ""))
        if line[0] == "n":
            place = next((PLACE_KINDS[pair] for pair in tags.items() if pair in PLACE_KINDS), None)
            if place is not None:
                self._place(place, tags.get("name", ""), parts)
            rule = node_rule(tags, profile)
            if rule is not None:
                self.rules[number] = rule
        elif profile.restricted and tags.get("type", "").startswith("restriction"):
            restriction = _restriction(number, tags, parts.get("M", ""), profile)
            if restriction is not None:
                self.restrictions.append(restriction)

    def _way(self, number: int, parts: dict[str, str], profile: Profile) -> None:
        text = parts.get("T", "")
        pairs = text.split(",") if text else []
        key = tuple(pair for pair in pairs if not pair.startswith(_NAMES))
        kind = self.known.get(key)
        if kind is None:
            tags = _tags(",".join(key))
            place = next((PLACE_KINDS[pair] for pair in tags.items() if pair in PLACE_KINDS), None)
            anywhere = replace(profile, only_ways=None)
            kind = self.known[key] = _WayKind(tags, road_class(tags), is_open(tags, number, anywhere), place)
        if kind.place is not None:
            self._place(kind.place, _tags(text).get("name", ""), parts)
        if kind.road_class is None:
            return
        if not kind.is_open or (profile.only_ways is not None and number not in profile.only_ways):
            self.closed += 1
            return
        name = next((pair[5:] for pair in pairs if pair.startswith("name=")), None)
        name = name or next((pair[4:] for pair in pairs if pair.startswith("ref=")), "")
        self.way_id.append(number)
        self.kinds.append(kind)
        self.names.append(_plain(name))
        self.nodes.append(parts.get("N", ""))

    def _place(self, kind: str, name: str, parts: dict[str, str]) -> None:
        if "N" in parts:
            _, lon, lat = _positions([parts["N"]])
            lon, lat = lon[lon != _NO_PLACE], lat[lon != _NO_PLACE]
            if len(lon):
                self.places.append((kind, name, round(float(lon.mean()), 7), round(float(lat.mean()), 7)))
        elif parts.get("x") and parts.get("y"):
            self.places.append((kind, name, float(parts["x"]), float(parts["y"])))

    def ways(self, ref: LongArray, lon: FloatArray, lat: FloatArray, profile: Profile, table: SpeedTable) -> OsmWays:
        count = np.array([nodes.count("n") for nodes in self.nodes], np.int64)
        first = np.concatenate([[0], np.cumsum(count)])
        names, index, flags = {"": 0}, {name: k for k, name in enumerate(ROAD_CLASSES)}, dict[int, int]()
        forward, backward = np.zeros(len(count)), np.zeros(len(count))
        for k, (way, kind) in enumerate(zip(self.way_id, self.kinds, strict=True)):
            if kind.road_class == "ferry":
                sails = _ferry_kmh(kind.tags, profile, lon, lat, int(first[k]), int(first[k + 1]))
                forward[k], backward[k] = _by_direction(kind.tags, profile, (sails, sails))
            elif way in table.by_way:
                forward[k], backward[k] = _by_direction(kind.tags, profile, way_speeds(kind.tags, way, table, profile))
            else:
                if kind.kmh is None:
                    kind.kmh = _by_direction(kind.tags, profile, way_speeds(kind.tags, way, table, profile))
                forward[k], backward[k] = kind.kmh
        return OsmWays(
            np.array(self.way_id, np.int64), first, forward, backward,
            np.array([index[kind.road_class or "other"] for kind in self.kinds], np.int8),
            np.array([names.setdefault(name, len(names)) for name in self.names], np.int32),
            np.array([k.tags.get("junction") in ("roundabout", "circular") for k in self.kinds], np.int8),
            np.array([flags.get(id(k)) or flags.setdefault(id(k), way_flags(k.tags)) for k in self.kinds], np.int8),
            tuple(names), ref, lon, lat,
        )  # fmt: skip


def _by_direction(tags: Tags, profile: Profile, kmh: tuple[float, float]) -> tuple[float, float]:
    """Speeds forward and backward, 0 where closed; narrow two-way streets are slower."""
    ahead, back = directions(tags, profile)
    share = width_share(tags) if ahead and back and not profile.is_walking else 1.0
    return (kmh[0] * share if ahead else 0.0), (kmh[1] * share if back else 0.0)


def _ferry_kmh(tags: Tags, profile: Profile, lon: FloatArray, lat: FloatArray, a: int, b: int) -> float:
    """Speed of a ferry by its `duration` (Key:duration: HH:MM, H:MM:SS or minutes), else the profile's."""
    parts = tags.get("duration", "").split(":")
    if not all(part.isdigit() for part in parts) or len(parts) > 3:
        return profile.ferry_kmh
    units = {1: (60,), 2: (3_600, 60), 3: (3_600, 60, 1)}[len(parts)]
    seconds = sum(int(part) * unit for part, unit in zip(parts, units, strict=True))
    metres = float(haversine_m(lon[a : b - 1], lat[a : b - 1], lon[a + 1 : b], lat[a + 1 : b]).sum())
    return max(0.5, metres / seconds * 3.6) if seconds else profile.ferry_kmh


def _restriction(number: int, tags: Tags, members: str, profile: Profile) -> Restriction | None:
    """None where the profile is excepted or the relation is no restriction of its kind of vehicle."""
    if profile.excepted_by & set(re.split(r"[;,]\s*", tags.get("except", ""))):
        return None
    kind, condition = tags.get("restriction", ""), ""
    if not kind:
        kinds = (tags[f"restriction:{key}"] for key in profile.access_keys if f"restriction:{key}" in tags)
        kind = next(kinds, "")
    if not kind and "restriction:conditional" in tags:
        kind, _, condition = (part.strip() for part in tags["restriction:conditional"].partition("@"))
        condition = condition.strip("() ")
    elif kind and tags.get("hour_on") and tags.get("hour_off"):  # the older way to say so
        days = f"{tags['day_on'][:2]}-{tags['day_off'][:2]} " if tags.get("day_on") and tags.get("day_off") else ""
        condition = f"{days}{tags['hour_on']}-{tags['hour_off']}"
    if not kind.startswith(("no_", "only_")):
        return None
    by_role: dict[str, list[tuple[str, int]]] = {"from": [], "via": [], "to": []}
    for member in filter(None, members.split(",")):
        item, _, role = member.partition("@")
        if role in by_role:
            by_role[role].append((item[0], int(item[1:])))
    return Restriction(
        number, kind, condition, tuple(i for t, i in by_role["from"] if t == "w"), tuple(by_role["via"]),
        tuple(i for t, i in by_role["to"] if t == "w"),
    )  # fmt: skip


def restricted_ways(restrictions: tuple[Restriction, ...]) -> Iterator[int]:
    """Ways that some restriction names: a street never runs on from one of them into another way."""
    for restriction in restrictions:
        yield from restriction.sources
        yield from restriction.targets
        yield from (number for kind, number in restriction.via if kind == "w")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
