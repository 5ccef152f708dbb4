"""How fast a way is driven: road class, country, signed limit, surface and width.

Tags: https://wiki.openstreetmap.org/wiki/Key:maxspeed, Key:surface, Key:tracktype, Key:smoothness, Key:width.
Free-flow speeds are assumptions of a town's daytime traffic, not limits; a signed limit counts at 80 %.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from noriai_engine.roads.profiles import Profile
from noriai_engine.tables import read_table

ROAD_CLASSES = (
    "motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "living_street",
    "road", "service", "motorway_link", "trunk_link", "primary_link", "secondary_link", "tertiary_link", "other",
    "busway", "bus_guideway", "track", "pedestrian", "footway", "path", "cycleway", "steps", "ferry",
)  # fmt: skip
"""An arc's class is its index here."""

FREE_FLOW_KMH: dict[str, float] = {
    "motorway": 90, "trunk": 85, "primary": 65, "secondary": 55, "tertiary": 40, "unclassified": 25,
    "residential": 25, "living_street": 10, "road": 20, "service": 15, "motorway_link": 45, "trunk_link": 40,
    "primary_link": 30, "secondary_link": 25, "tertiary_link": 20, "other": 25, "busway": 40, "bus_guideway": 50,
    "track": 15, "pedestrian": 8,
}  # fmt: skip

COUNTRY_KMH: dict[str, dict[str, float]] = {
    # Japan: 60 km/h is the legal limit on ordinary roads, 30 on those without a centre line (Road Traffic Act
    # Enforcement Order, from September 2026), and most town streets are signed 30 to 40.
    "JP": {"motorway": 80, "trunk": 45, "primary": 40, "secondary": 38, "tertiary": 32, "residential": 22},
}

_LEFT_HAND = (
    "AG AI AU BB BD BM BN BS BT BW CC CK CX CY DM FJ FK GB GD GG GY HK ID IE IM IN JE JM JP KE KI KN KY "
    "LC LK LS MO MS MT MU MV MW MY MZ NA NF NP NR NU NZ PG PK PN SB SC SG SH SR SZ TC TH TK TL TO TT TV "
    "TZ UG VC VG VI WS ZA ZM ZW "
)
LEFT_HAND_COUNTRIES = frozenset(_LEFT_HAND.split())
"""ISO 3166 codes of countries that drive on the left."""

_LIMIT_BY_ZONE = {"urban": 50.0, "rural": 90.0, "trunk": 110.0, "motorway": 130.0, "living_street": 20.0}
_SURFACE_KMH = {
    "cement": 80, "compacted": 80, "fine_gravel": 80, "paving_stones": 60, "metal": 60, "bricks": 60, "grass": 40,
    "wood": 40, "sett": 40, "grass_paver": 40, "gravel": 40, "unpaved": 40, "ground": 40, "dirt": 40,
    "pebblestone": 40, "tartan": 40, "cobblestone": 30, "clay": 30, "earth": 20, "stone": 20, "rocky": 20, "sand": 20,
    "mud": 10, "ice": 20, "snow": 30,
}  # fmt: skip
_TRACK_KMH = {"grade1": 60, "grade2": 40, "grade3": 30, "grade4": 25, "grade5": 20}
_SMOOTHNESS_KMH = {"intermediate": 80, "bad": 40, "very_bad": 20, "horrible": 10, "very_horrible": 5}
_MPH = re.compile(r"^(\d+(?:\.\d+)?)\s*mph$")
_KMH = re.compile(r"^(\d+(?:\.\d+)?)(?:\s*(?:km/?h|kph))?$")
_METRES = re.compile(r"^(\d+(?:\.\d+)?)\s*m?$")
SLOWEST_KMH = 3.0
MAXSPEED_SHARE = 0.8
STEPS_SHARE = 0.5


@dataclass(frozen=True)
class SpeedTable:
    """km/h by road class for a country, with overrides by class and by OSM way."""

    by_class: Mapping[str, float]
    by_way: Mapping[int, float] = field(default_factory=dict)


def speed_table(country: str | None, overrides: Path | None = None) -> SpeedTable:
    """The general table, the country's own values over it, and over both a CSV `way_id,road_class,kmh`.

    Each row of the CSV names a way or a class. Raises RowError for a bad row.
    """
    by_class, by_way = FREE_FLOW_KMH | COUNTRY_KMH.get(country or "", {}), {}
    if overrides is not None:
        for row in read_table(overrides).expect(required=["kmh"], optional=["way_id", "road_class"]):
            kmh, way, road = row.number("kmh"), row.text("way_id", ""), row.text("road_class", "")
            if not SLOWEST_KMH <= kmh <= 200:
                raise row.error("kmh", f"{kmh:g} is no speed of a vehicle", f"give {SLOWEST_KMH:g} to 200")
            if bool(way) == bool(road):
                raise row.error("way_id", "a row names a way or a road class, one of them", "leave the other empty")
            if road and road not in ROAD_CLASSES:
                raise row.error("road_class", f"{road!r} is no road class", "use a value of highway=*")
            if way and not way.isdigit():
                raise row.error("way_id", f"{way!r} is no OSM way id", "give its number")
            if way:
                by_way[int(way)] = kmh
            else:
                by_class[road] = kmh
    return SpeedTable(by_class, by_way)


def parse_maxspeed(text: str | None) -> float | None:
    """km/h of a maxspeed: `50`, `50 km/h`, `30 mph`, `none`, `walk`, `RO:urban`; None for anything else."""
    if not text:
        return None
    text = text.strip().lower()
    if match := _KMH.match(text):
        return float(match[1]) or None
    if match := _MPH.match(text):
        return float(match[1]) * 1.609344
    if text in ("none", "walk"):
        return 140.0 if text == "none" else 7.0
    return _LIMIT_BY_ZONE.get(text.partition(":")[2])


def speed_kmh(road_class: str, limit: float | None, table: SpeedTable) -> float:
    """Free-flow speed of a road class with a signed `limit` (km/h), at least SLOWEST_KMH."""
    speed = table.by_class[road_class] if limit is None else limit * MAXSPEED_SHARE
    return max(SLOWEST_KMH, speed)


def way_speeds(tags: Mapping[str, str], way: int, table: SpeedTable, profile: Profile) -> tuple[float, float]:
    """(forward, backward) km/h on an open way with `highway` tag, before its directions are looked at."""
    if profile.is_walking:
        kmh = profile.walking_kmh * (STEPS_SHARE if tags["highway"] == "steps" else 1.0)
        return kmh, kmh
    if way in table.by_way:
        kmh = min(table.by_way[way], profile.max_kmh)
        return kmh, kmh
    both = tags.get("maxspeed:advisory") or tags.get("maxspeed")
    road, out = tags["highway"], []
    cap = min(
        profile.max_kmh, _SURFACE_KMH.get(tags.get("surface", ""), 999.0),
        _TRACK_KMH.get(tags.get("tracktype", ""), 999.0), _SMOOTHNESS_KMH.get(tags.get("smoothness", ""), 999.0),
    )  # fmt: skip
    for side in ("forward", "backward"):
        limit = parse_maxspeed(tags.get(f"maxspeed:{side}") or both)
        base = speed_kmh(road, limit, table) if road in table.by_class else speed_kmh("other", limit, table)
        out.append(max(SLOWEST_KMH, min(base, cap)))
    return out[0], out[1]


def width_share(tags: Mapping[str, str]) -> float:
    """Share of its speed that a two-way street keeps for being narrow: a car waits for the other to pass."""
    match = _METRES.match(tags.get("width", ""))
    if match is None or (metres := float(match[1])) >= 4.0:
        return 1.0
    return 0.5 if metres <= 3.0 else 0.6
