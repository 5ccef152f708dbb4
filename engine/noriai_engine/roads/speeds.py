"""Who may drive where, and how fast: OSM tags to access, direction and speed.

Tags: https://wiki.openstreetmap.org/wiki/Key:highway, Key:access, Key:oneway, Key:maxspeed. Free-flow speeds are
assumptions of a town's daytime traffic, not limits; a numeric `maxspeed` counts at 80 % of its value.
"""

import re
from collections.abc import Mapping

ROAD_CLASSES = (
    "motorway", "trunk", "primary", "secondary", "tertiary", "unclassified", "residential", "living_street",
    "road", "service", "motorway_link", "trunk_link", "primary_link", "secondary_link", "tertiary_link", "other",
)  # fmt: skip
"""From the most important down; an arc's class is its index here."""

FREE_FLOW_KMH: dict[str, float] = {
    "motorway": 90, "trunk": 85, "primary": 65, "secondary": 55, "tertiary": 40, "unclassified": 25,
    "residential": 25, "living_street": 10, "road": 20, "service": 15, "motorway_link": 45, "trunk_link": 40,
    "primary_link": 30, "secondary_link": 25, "tertiary_link": 20, "other": 25,
}  # fmt: skip

COUNTRY_KMH: dict[str, dict[str, float]] = {
    # Japan: 60 km/h is the legal limit on ordinary roads, and most town streets are signed 30 to 40.
    "JP": {"motorway": 80, "trunk": 45, "primary": 40, "secondary": 38, "tertiary": 32, "residential": 22},
}

LEFT_HAND_COUNTRIES = frozenset(
    [
        "AG",
        "AI",
        "AU",
        "BB",
        "BD",
        "BM",
        "BN",
        "BS",
        "BT",
        "BW",
        "CC",
        "CK",
        "CX",
        "CY",
        "DM",
        "FJ",
        "FK",
        "GB",
        "GD",
        "GG",
        "GY",
        "HK",
        "ID",
        "IE",
        "IM",
        "IN",
        "JE",
        "JM",
        "JP",
        "KE",
        "KI",
        "KN",
        "KY",
        "LC",
        "LK",
        "LS",
        "MO",
        "MS",
        "MT",
        "MU",
        "MV",
        "MW",
        "MY",
        "MZ",
        "NA",
        "NF",
        "NP",
        "NR",
        "NU",
        "NZ",
        "PG",
        "PK",
        "PN",
        "SB",
        "SC",
        "SG",
        "SH",
        "SR",
        "SZ",
        "TC",
        "TH",
        "TK",
        "TL",
        "TO",
        "TT",
        "TV",
        "TZ",
        "UG",
        "VC",
        "VG",
        "VI",
        "WS",
        "ZA",
        "ZM",
        "ZW",
    ]
)
"""ISO 3166 codes of countries that drive on the left."""

_CLOSED = frozenset({"no", "private", "agricultural", "forestry", "delivery", "emergency"})
_MPH = re.compile(r"^(\d+(?:\.\d+)?)\s*mph$")
_KMH = re.compile(r"^(\d+(?:\.\d+)?)(?:\s*(?:km/?h|kph))?$")
SLOWEST_KMH = 3.0
MAXSPEED_SHARE = 0.8


def speed_table(country: str | None) -> dict[str, float]:
    """km/h by road class: the general table with the country's own values over it."""
    return FREE_FLOW_KMH | COUNTRY_KMH.get(country or "", {})


def is_drivable(tags: Mapping[str, str]) -> bool:
    """True for a road class in the table that is open to motor vehicles (access=destination counts as open)."""
    if tags.get("highway") not in FREE_FLOW_KMH or tags.get("area") == "yes":
        return False
    access = tags.get("motor_vehicle") or tags.get("vehicle") or tags.get("access") or "yes"
    return access not in _CLOSED


def directions(tags: Mapping[str, str]) -> tuple[bool, bool]:
    """(forward, backward): which ways along the OSM way one may drive."""
    oneway = tags.get("oneway", "")
    if oneway in ("yes", "true", "1"):
        return True, False
    if oneway in ("-1", "reverse"):
        return False, True
    if oneway in ("no", "false", "0"):
        return True, True
    implied = tags.get("junction") in ("roundabout", "circular") or tags.get("highway") == "motorway"
    return True, not implied


def parse_maxspeed(text: str | None) -> float | None:
    """km/h of a numeric maxspeed (`50`, `50 km/h`, `30 mph`); None for anything else, such as `RO:urban`."""
    if not text:
        return None
    text = text.strip().lower()
    if match := _KMH.match(text):
        return float(match[1])
    if match := _MPH.match(text):
        return float(match[1]) * 1.609344
    return None


def speed_kmh(road_class: str, limit: float | None, table: Mapping[str, float]) -> float:
    """Free-flow speed of a road class with a signed `limit` (km/h), at least SLOWEST_KMH."""
    speed = table[road_class] if limit is None else limit * MAXSPEED_SHARE
    return max(SLOWEST_KMH, speed)
