"""GTFS-Flex: demand-responsive services of a feed as values, in and out without loss of meaning.

Adopted in March 2024; feeds written after drafts of it are read too: zone or group ids in `stop_times.stop_id`,
`location_groups.txt` with `location_id`, misspelt columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from noriai_gtfs.feeds import Feed, FeedError
from noriai_gtfs.services import EPOCH, service_days

Record = dict[str, str]
PlaceKind = Literal["zone", "group", "stop"]


@dataclass(frozen=True, slots=True)
class FlexVisit:
    """A place a flexible trip serves: within a window (ms of the service day) or, in between, at set times."""

    kind: PlaceKind
    place: str
    start_ms: int
    end_ms: int
    is_window: bool
    pickup: int
    drop_off: int
    pickup_rule: str = ""
    drop_off_rule: str = ""


@dataclass(frozen=True, slots=True)
class FlexTrip:
    """A trip with at least one window or zone. Safe durations bound the ride: factor x driving time + offset (s)."""

    id: str
    route_id: str
    service_id: str
    headsign: str
    visits: tuple[FlexVisit, ...]
    safe_factor: float | None = None
    safe_offset_s: float | None = None


@dataclass(frozen=True)
class FlexFeed:
    """The demand-responsive part of a feed. Records hold the fields that are filled, by GTFS name."""

    agencies: tuple[Record, ...]
    routes: Mapping[str, Record]
    services: Mapping[str, frozenset[int]]
    trips: Mapping[str, FlexTrip]
    zones: Mapping[str, dict[str, Any]]
    groups: Mapping[str, tuple[str, frozenset[str]]]
    stops: Mapping[str, Record]
    rules: Mapping[str, Record]
    info: Record = field(default_factory=dict)


def read_flex(feed: Feed) -> FlexFeed:
    """The demand-responsive trips of a feed and all they refer to."""
    zones = {str(f.get("id", "")): f for f in feed.geojson()["features"]}
    stops = {row["stop_id"]: _filled(row) for row in feed.get("stops").records()}
    groups = _groups(feed)
    trips = _trips(feed, zones, groups, stops)
    places = {(visit.kind, visit.place) for trip in trips.values() for visit in trip.visits}
    groups = {name: group for name, group in groups.items() if ("group", name) in places}
    inside = {stop for _, members in groups.values() for stop in members}
    wanted = {name for kind, name in places if kind == "stop"} | inside
    parents = {stops[s].get("parent_station", "") for s in wanted if s in stops}
    routes = {trip.route_id for trip in trips.values()}
    days = service_days(feed)
    visits = [visit for trip in trips.values() for visit in trip.visits]
    rules = {rule for visit in visits for rule in (visit.pickup_rule, visit.drop_off_rule)}
    info = next((_filled(row) for row in feed.get("feed_info").records()), {})
    return FlexFeed(
        agencies=tuple(_filled(row) for row in feed.get("agency").records()),
        routes={row["route_id"]: _filled(row) for row in feed.get("routes").records() if row["route_id"] in routes},
        services={trip.service_id: days.get(trip.service_id, frozenset()) for trip in trips.values()},
        trips=trips,
        zones={name: zone for name, zone in zones.items() if ("zone", name) in places or name in inside},
        groups=groups,
        stops={name: stop for name, stop in stops.items() if name in wanted | parents},
        rules={
            row["booking_rule_id"]: _filled(row)
            for row in feed.get("booking_rules").records() if row.get("booking_rule_id") in rules
        },
        info=info,
    )  # fmt: skip


def _filled(row: Record) -> Record:
    return {name: value for name, value in row.items() if value}


def _groups(feed: Feed) -> dict[str, tuple[str, frozenset[str]]]:
    """Name and stops (in drafts also zones) of each location group."""
    names: dict[str, str] = {}
    members: dict[str, set[str]] = {}
    for row in feed.get("location_groups").records():
        group = row.get("location_group_id", "")
        names[group] = row.get("location_group_name", "") or names.get(group, "")
        members.setdefault(group, set())
        if row.get("location_id"):  # a draft
            members[group].add(row["location_id"])
    for row in feed.get("location_group_stops").records():
        members.setdefault(row["location_group_id"], set()).add(row["stop_id"])
    return {group: (names.get(group, ""), frozenset(members[group])) for group in members if group}


def _trips(
    feed: Feed, zones: Mapping[str, Any], groups: Mapping[str, Any], stops: Mapping[str, Record]
) -> dict[str, FlexTrip]:
    times = feed.get("stop_times")
    if not len(times):
        return {}
    columns = {
        name: times.column_or_blank(name).values
        for name in ("trip_id", "stop_id", "location_id", "location_group_id", "pickup_type", "drop_off_type",
                     "pickup_booking_rule_id", "drop_off_booking_rule_id")
    }  # fmt: skip
    start = times.column_or_blank("start_pickup_drop_off_window").times_ms()
    end = times.column_or_blank("end_pickup_drop_off_window").times_ms()
    arrive, depart = (times.column_or_blank(f"{name}_time").times_ms() for name in ("arrival", "departure"))
    rank = times["stop_sequence"].integers(0)
    rows_of: dict[str, list[int]] = {}
    flexible = set()
    for row, trip in enumerate(columns["trip_id"]):
        rows_of.setdefault(trip, []).append(row)
        named = columns["location_id"][row] or columns["location_group_id"][row]
        stop = columns["stop_id"][row]
        if start[row] >= 0 or named or (stop not in stops and (stop in zones or stop in groups)):
            flexible.add(trip)

    def visit(row: int) -> FlexVisit:
        kind, place = _place(columns, row, zones, groups, stops)
        window = start[row] >= 0 or end[row] >= 0
        first, last = (start[row], end[row]) if window else (arrive[row], depart[row])
        pickup, drop_off = (
            int(columns[name][row] or 0) for name in ("pickup_type", "drop_off_type")
        )  # fmt: skip
        return FlexVisit(
            kind, place, int(first), int(last), bool(window), pickup, drop_off,
            columns["pickup_booking_rule_id"][row], columns["drop_off_booking_rule_id"][row],
        )  # fmt: skip

    out = {}
    for record in feed["trips"].records():
        name = record["trip_id"]
        if name in flexible:
            rows = sorted(rows_of[name], key=lambda row: int(rank[row]))
            factor, offset = (_safe(times, record, field, rows) for field in ("factor", "offset"))
            out[name] = FlexTrip(
                name, record["route_id"], record["service_id"], record.get("trip_headsign", ""),
                tuple(visit(row) for row in rows), factor, offset,
            )  # fmt: skip
    return out


def _safe(times: Any, record: Record, field: str, rows: list[int]) -> float | None:
    """safe_duration_factor or _offset: of the trip (adopted 2026-04), or of its stop times in drafts."""
    text = record.get(f"safe_duration_{field}", "")
    if not text:
        column = times.column_or_blank(f"safe_duration_{field}")
        text = next((column[row] for row in rows if column[row]), "")
    try:
        return float(text) if text else None
    except ValueError:
        raise FeedError(
            f"{text!r} is no number", where=f"trip {record['trip_id']}, safe_duration_{field}", remedy="write a number"
        ) from None


def _place(
    columns: Mapping[str, list[str]], row: int, zones: Mapping[str, Any], groups: Mapping[str, Any],
    stops: Mapping[str, Record],
) -> tuple[PlaceKind, str]:  # fmt: skip
    if columns["location_group_id"][row]:
        return "group", columns["location_group_id"][row]
    if columns["location_id"][row]:
        return "zone", columns["location_id"][row]
    place = columns["stop_id"][row]
    if place not in stops and place in groups:
        return "group", place
    return ("zone", place) if place not in stops and place in zones else ("stop", place)


HEADERS = {"stops": ("stop_id", "stop_name", "stop_lat", "stop_lon")}
"""Tables that validators miss even where they may be absent, for `write_feed`."""


def write_flex(flex: FlexFeed) -> tuple[dict[str, list[Record]], dict[str, dict[str, Any]]]:
    """Tables and GeoJSON files in the adopted form, for `write_feed`."""
    calendar, dates = calendars_of(flex.services)
    tables: dict[str, list[Record]] = {
        "agency": [dict(row) for row in flex.agencies],
        "feed_info": [dict(flex.info)] if flex.info else [],
        "stops": [dict(row) for row in flex.stops.values()],
        "routes": [dict(row) for row in flex.routes.values()],
        "trips": [_trip_record(trip) for trip in flex.trips.values()],
        "stop_times": [row for trip in flex.trips.values() for row in _stop_times(trip)],
        "calendar": calendar,
        "calendar_dates": dates,
        "booking_rules": [dict(row) for row in flex.rules.values()],
        "location_groups": [
            {"location_group_id": group} | ({"location_group_name": name} if name else {})
            for group, (name, _) in flex.groups.items()
        ],
        "location_group_stops": [
            {"location_group_id": group, "stop_id": stop}
            for group, (_, members) in flex.groups.items() for stop in sorted(members)
        ],
    }  # fmt: skip
    zones = {"type": "FeatureCollection", "features": list(flex.zones.values())}
    return tables, ({"locations.geojson": zones} if flex.zones else {})


def _trip_record(trip: FlexTrip) -> Record:
    record = {"route_id": trip.route_id, "service_id": trip.service_id, "trip_id": trip.id}
    if trip.headsign:
        record["trip_headsign"] = trip.headsign
    if trip.safe_factor is not None:
        record["safe_duration_factor"] = f"{trip.safe_factor:g}"
    if trip.safe_offset_s is not None:
        record["safe_duration_offset"] = f"{trip.safe_offset_s:g}"
    return record


_STOP_TIMES = (
    "trip_id", "arrival_time", "departure_time", "stop_id", "location_group_id", "location_id", "stop_sequence",
    "start_pickup_drop_off_window", "end_pickup_drop_off_window", "pickup_type", "drop_off_type",
    "pickup_booking_rule_id", "drop_off_booking_rule_id",
)  # fmt: skip


def _stop_times(trip: FlexTrip) -> list[Record]:
    columns = {"zone": "location_id", "group": "location_group_id", "stop": "stop_id"}
    out = []
    for number, visit in enumerate(trip.visits, start=1):
        first, last = (
            ("start_pickup_drop_off_window", "end_pickup_drop_off_window")
            if visit.is_window else ("arrival_time", "departure_time")
        )  # fmt: skip
        out.append(
            dict.fromkeys(_STOP_TIMES, "")
            | {
                "trip_id": trip.id, "stop_sequence": str(number), columns[visit.kind]: visit.place,
                first: clock(visit.start_ms), last: clock(visit.end_ms), "pickup_type": str(visit.pickup),
                "drop_off_type": str(visit.drop_off), "pickup_booking_rule_id": visit.pickup_rule,
                "drop_off_booking_rule_id": visit.drop_off_rule,
            }
        )  # fmt: skip
    return out


def clock(ms: int) -> str:
    """H:MM:SS of the service day; empty for -1."""
    if ms < 0:
        return ""
    seconds = ms // 1000
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def calendars_of(services: Mapping[str, frozenset[int]]) -> tuple[list[Record], list[Record]]:
    """calendar.txt and calendar_dates.txt for days of service: weekdays that mostly run, and the exceptions."""
    calendar: list[Record] = []
    dates: list[Record] = []
    for service, days in sorted(services.items()):
        if not days:
            continue
        first, last = min(days), max(days)
        by_weekday: list[list[int]] = [[] for _ in range(7)]
        for day in range(first, last + 1):
            by_weekday[(day + 3) % 7].append(day)
        runs = [2 * sum(day in days for day in span) > len(span) for span in by_weekday]
        calendar.append(
            {"service_id": service}
            | {name: str(int(run)) for name, run in zip(_WEEKDAYS, runs, strict=True)}
            | {"start_date": compact(first), "end_date": compact(last)}
        )
        for day in range(first, last + 1):
            if (day in days) != runs[(day + 3) % 7]:
                kind = "1" if day in days else "2"
                dates.append({"service_id": service, "date": compact(day), "exception_type": kind})
    return calendar, dates


def compact(day: int) -> str:
    """YYYYMMDD of a day number."""
    return (date.fromordinal(EPOCH) + timedelta(days=day)).strftime("%Y%m%d")
