"""Feeds of several publishers become one: ids kept apart, one form of translations, one span of dates.

Towns number their stops alike, so every id gets its feed's name in front, in whichever column it stands. Shared places
are joined by transfers, never by making two stops one: each town keeps its own pole and its own name for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.feeds.feed import Feed
from noriai_gtfs.services import service_days
from noriai_gtfs.timetable.walking import walk_ms

DatePolicy = Literal["union", "common"]
_NO_ID = {"direction_id", "record_sub_id"}
_LEGACY = (
    ("stops", "stop_name"), ("stops", "platform_code"), ("routes", "route_short_name"), ("routes", "route_long_name"),
    ("trips", "trip_headsign"), ("stop_times", "stop_headsign"), ("agency", "agency_name"),
    ("feed_info", "feed_publisher_name"),
)  # fmt: skip
Record = dict[str, str]


@dataclass(frozen=True)
class Merged:
    """The tables of a merged feed, its zones, and what a person should know."""

    tables: dict[str, list[Record]]
    locations: dict[str, Any]
    remarks: tuple[str, ...]


def is_id(column: str) -> bool:
    """Whether a column holds ids of the feed's own records."""
    return (column.endswith("_id") and column not in _NO_ID) or column == "parent_station"


def merge_feeds(
    feeds: Sequence[Feed], names: Sequence[str], *, dates: DatePolicy = "union", join_m: float = 0.0
) -> Merged:  # fmt: skip
    """One feed of several.

    `dates` "common" keeps the days all feeds cover; `join_m` adds transfers between their stops.

    Raises InputError where names are not distinct, time zones differ, or no day is common.
    """
    if len(set(names)) != len(names) or len(names) != len(feeds):
        raise InputError("feeds need distinct names", where=", ".join(names), remedy="give --names a b c")
    zones = {zone for feed in feeds for zone in feed["agency"].column_or_blank("agency_timezone").values}
    if len(zones) > 1:
        raise InputError(
            f"the feeds have several time zones: {', '.join(sorted(zones))}", remedy="merge feeds of one time zone"
        )
    remarks: list[str] = []
    tables: dict[str, list[Record]] = {}
    features: list[dict[str, Any]] = []
    spans = [_span(feed) for feed in feeds]
    keep = _kept_days(spans, names, dates)
    for feed, name in zip(feeds, names, strict=True):
        part = _renamed(feed, name)
        if keep is not None:
            dropped = _clip(part, *keep)
            if dropped:
                remarks.append(f"{name}: {dropped} services run on no common day and were left out with their trips")
        for table, rows in part.items():
            tables.setdefault(table, []).extend(rows)
        features += [
            {**feature, "id": f"{name}:{feature.get('id', '')}"} for feature in feed.geojson()["features"]
        ]  # fmt: skip
    if any("feed_info" in feed for feed in feeds):
        tables["feed_info"] = [_feed_info(tables.get("feed_info", []), spans, keep)]
    if join_m > 0:
        joined = _joins(tables, join_m)
        tables.setdefault("transfers", []).extend(joined)
        remarks.append(f"{len(joined) // 2} pairs of stops of different feeds within {join_m:g} m joined by transfers")
    order = sorted(tables, key=lambda table: (_FIRST.index(table) if table in _FIRST else len(_FIRST), table))
    locations = {"type": "FeatureCollection", "features": features}
    return Merged({table: tables[table] for table in order}, locations if features else {}, tuple(remarks))


_FIRST = ["agency", "feed_info", "stops", "routes", "trips", "stop_times", "calendar", "calendar_dates"]


def _renamed(feed: Feed, name: str) -> dict[str, list[Record]]:
    """All tables of a feed with its name before every id."""
    out: dict[str, list[Record]] = {}
    only = len(feed["agency"]) == 1
    agency = feed["agency"].column_or_blank("agency_id").values[0] if only else ""
    for table in feed.table_names:
        source = feed[table]
        ids = [column for column in source.columns if is_id(column)]
        rows = []
        for row in source.records():
            for column in ids:
                if column == "record_id" and row.get("table_name") == "stop_times":
                    row[column] = row[column] and f"{name}:{row[column]}"
                elif row[column]:
                    row[column] = f"{name}:{row[column]}"
            if only and table in ("agency", "routes", "fare_attributes") and not row.get("agency_id"):
                row["agency_id"] = f"{name}:{agency or 'agency'}"
            rows.append(row)
        out[table] = rows
    if any("trans_id" in row for row in out.get("translations", [])):
        out["translations"] = _adopted(feed, out["translations"])
    return out


def _adopted(feed: Feed, rows: list[Record]) -> list[Record]:
    """Translations of the form before 2020 (trans_id is the text itself) in the adopted one, by field_value."""
    used = {(table, field): set(feed.get(table).column_or_blank(field).texts[1:]) for table, field in _LEGACY}
    out = []
    for row in feed["translations"].records():
        for (table, field), texts in used.items():
            if row.get("trans_id") in texts:
                out.append(
                    {
                        "table_name": table, "field_name": field, "language": row.get("lang", ""),
                        "translation": row.get("translation", ""), "record_id": "", "record_sub_id": "",
                        "field_value": row["trans_id"],
                    }
                )  # fmt: skip
    del rows
    return out


def _span(feed: Feed) -> tuple[int, int]:
    days = set().union(*service_days(feed).values())
    return (min(days), max(days)) if days else (0, -1)


def _kept_days(spans: list[tuple[int, int]], names: Sequence[str], dates: DatePolicy) -> tuple[int, int] | None:
    if dates == "union":
        return None
    first, last = max(a for a, _ in spans), min(b for _, b in spans)
    if first > last:
        listed = ", ".join(f"{n} {_iso(a)} to {_iso(b)}" for n, (a, b) in zip(names, spans, strict=True))
        raise InputError(f"no day is common to all feeds: {listed}", remedy="use --dates union, or other editions")
    return first, last


def _iso(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _compact(day: int) -> str:
    return _iso(day).replace("-", "")


def _clip(part: dict[str, list[Record]], first: int, last: int) -> int:
    """Cut calendars to a span of days; services without a day go, with their trips. Returns how many went."""
    low, high = _compact(first), _compact(last)
    calendar = []
    for row in part.get("calendar", []):
        row["start_date"], row["end_date"] = max(row["start_date"], low), min(row["end_date"], high)
        if row["start_date"] <= row["end_date"]:
            calendar.append(row)
    exceptions = [row for row in part.get("calendar_dates", []) if low <= row["date"] <= high]
    alive = {row["service_id"] for row in calendar}
    alive |= {row["service_id"] for row in exceptions if row["exception_type"] == "1"}
    exceptions = [row for row in exceptions if row["service_id"] in alive]
    gone = {row["service_id"] for row in part["trips"]} - alive
    trips = {row["trip_id"] for row in part["trips"] if row["service_id"] in gone}
    part["calendar"], part["calendar_dates"] = calendar, exceptions
    for table in ("trips", "stop_times", "frequencies"):
        if table in part:
            part[table] = [row for row in part[table] if row["trip_id"] not in trips]
    return len(gone)


def _feed_info(rows: list[Record], spans: list[tuple[int, int]], keep: tuple[int, int] | None) -> Record:
    """One row for all: publishers named together, the span of days, the language they share."""
    languages = {row.get("feed_lang", "") for row in rows if row.get("feed_lang")}
    first, last = keep or (min(a for a, _ in spans), max(b for _, b in spans))
    return {
        "feed_publisher_name": ", ".join(dict.fromkeys(row.get("feed_publisher_name", "") for row in rows)),
        "feed_publisher_url": next((row["feed_publisher_url"] for row in rows if row.get("feed_publisher_url")), ""),
        "feed_lang": languages.pop() if len(languages) == 1 else "mul",
        "feed_start_date": _compact(first),
        "feed_end_date": _compact(last),
        "feed_version": "+".join(dict.fromkeys(row["feed_version"] for row in rows if row.get("feed_version"))),
    }


def _joins(tables: dict[str, list[Record]], join_m: float) -> list[Record]:
    """Transfers both ways between stops of different feeds that stand near each other."""
    stops = [
        row for row in tables["stops"] if row.get("location_type", "") in ("", "0") and row.get("stop_lon", "")
    ]  # fmt: skip
    lon, lat = (np.array([float(row[key]) for row in stops]) for key in ("stop_lon", "stop_lat"))
    feed = np.unique([row["stop_id"].partition(":")[0] for row in stops], return_inverse=True)[1].reshape(-1)
    order = np.argsort(lat, kind="stable")
    out: list[Record] = []
    reach = join_m / 111_000
    for place, a in enumerate(order.tolist()):
        end = int(np.searchsorted(lat[order], lat[a] + reach, side="right"))
        others = order[place + 1 : end]
        others = others[feed[others] != feed[a]]
        if not others.size:
            continue
        metres = haversine_m(lon[[a]], lat[[a]], lon[others], lat[others])
        for b, way in zip(others[metres <= join_m].tolist(), metres[metres <= join_m].tolist(), strict=True):
            seconds = str(int(walk_ms(np.array([way]))[0]) // 1000)
            for start, end_stop in ((a, b), (b, a)):
                out.append(
                    {
                        "from_stop_id": stops[start]["stop_id"], "to_stop_id": stops[end_stop]["stop_id"],
                        "transfer_type": "2", "min_transfer_time": seconds,
                    }
                )  # fmt: skip
    return out
