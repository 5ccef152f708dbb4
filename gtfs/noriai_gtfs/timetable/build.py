"""From feeds to a Timetable: rows put in order, blank times estimated, trips grouped by their stops."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import RowError
from noriai_gtfs.feeds import Column, Feed, FeedError, Table
from noriai_gtfs.services import day_number, service_days
from noriai_gtfs.timetable.footpaths import Footpaths, footpaths_of
from noriai_gtfs.timetable.strings import StringArray
from noriai_gtfs.timetable.timetable import (
    ASK_TO_ALIGHT,
    ASK_TO_BOARD,
    NO_ALIGHTING,
    NO_BOARDING,
    PHONE_TO_ALIGHT,
    PHONE_TO_BOARD,
    Timetable,
)
from noriai_gtfs.timetable.walking import AirLine, Walking

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
DAY_MS = 86_400_000


def build_timetable(
    feeds: Sequence[Feed], names: Sequence[str] = (), *, walk_m: float = 0.0, walking: Walking | None = None
) -> Timetable:
    """One timetable of one or several feeds.

    Ids are the feed's own; with several feeds `name:id`, by `names`. `walk_m` joins stops that lie no further apart, as
    the crow flies or as `walking` has it, by footpaths; transfers.txt and pathways.txt count in any case.
    Demand-responsive rows (windows, zones) are left out; they are services of their own. Raises FeedError or RowError
    where a feed cannot be searched.
    """
    if not feeds:
        raise FeedError("there is no feed to search", remedy="name at least one")
    prefixes = [f"{name}:" for name in names] if len(feeds) > 1 else [""] * len(feeds)
    if len(prefixes) != len(feeds):
        raise ValueError("every one of several feeds needs a name")
    parts = [_part(feed, prefix) for feed, prefix in zip(feeds, prefixes, strict=True)]
    joined = _joined(parts)
    footpaths = footpaths_of(
        feeds, [part.stop_row for part in parts], joined.lon, joined.lat, walk_m, walking or AirLine()
    )
    return _timetable(joined, footpaths)


@dataclass
class _Part:
    """One feed's share, with rows counted within it."""

    stop_row: dict[str, int]
    stops: dict[str, list[str]]
    lon: FloatArray
    lat: FloatArray
    parent: IntArray
    stop_wheelchair: ByteArray
    routes: dict[str, list[str]]
    route_type: IntArray
    services: list[str]
    days: list[frozenset[int]]
    trips: dict[str, list[str]]
    trip_route: IntArray
    trip_service: IntArray
    trip_wheelchair: ByteArray
    block: IntArray
    links: IntArray
    first: LongArray
    stop: IntArray
    rule: ByteArray
    rank: IntArray
    arrive: IntArray
    depart: IntArray
    timezone: str


def _part(feed: Feed, prefix: str) -> _Part:
    from noriai_gtfs.timetable.kernels.grouping import fill_times

    stops, trips, routes = feed["stops"], feed["trips"], feed["routes"]
    stop_row = _rows(stops, "stop_id")
    trip_row, route_row = _rows(trips, "trip_id"), _rows(routes, "route_id")
    lon, lat = stops.column_or_blank("stop_lon").floats(), stops.column_or_blank("stop_lat").floats()
    days = service_days(feed)
    services = sorted(days)
    service_row = {service: row for row, service in enumerate(services)}

    times = feed["stop_times"]
    fixed = _fixed_rows(times)
    trip = _numbers(times["trip_id"], trip_row, "trips.txt")[fixed]
    rank = times["stop_sequence"].integers(0)[fixed]
    order = _order(trip, rank)
    rank = rank if order is None else rank[order]
    rows = np.flatnonzero(fixed) if order is None else np.flatnonzero(fixed)[order]
    trip = trip if order is None else trip[order]
    stop = _numbers(times["stop_id"], stop_row, "stops.txt")[rows]
    _check_places(stop, lon, lat, stops)
    arrive, depart = times["arrival_time"].times_ms()[rows], times["departure_time"].times_ms()[rows]
    rule = _rules(times)[rows]
    first = np.zeros(len(trip_row) + 1, np.int64)
    np.cumsum(np.bincount(trip, minlength=len(trip_row)), out=first[1:])

    filled = np.zeros(rows.size, np.uint8)
    blank = bool((arrive < 0).any() or (depart < 0).any())
    along = _along(times, rows, stop, lon, lat, first) if blank else np.zeros(rows.size)
    bad = int(fill_times(first, arrive, depart, along, filled))
    if bad >= 0:
        where = int(times["trip_id"].lines_of(rows[first[bad] : first[bad] + 1])[0])
        raise RowError(
            f"trip {trips['trip_id'][bad]!r} has no time at its first or last stop, or runs backwards in time",
            file=f"{feed.path}!stop_times.txt", row=where, column="arrival_time, departure_time",
            remedy="give times in the order of stop_sequence; noriai gtfs validate lists all such rows",
        )  # fmt: skip
    if filled.any():
        at = np.sort(times["trip_id"].lines_of(rows[filled == 1]))
        feed.repairs.add_rows("blank_time", times.name, at, "arrival_time")
    zones = [zone for zone in feed.get("agency").column_or_blank("agency_timezone").values if zone]
    part = _Part(
        stop_row=stop_row,
        stops={
            "id": [prefix + text for text in stops["stop_id"].values],
            "name": stops.column_or_blank("stop_name").values,
            "kana": _kana(feed, stops),
            "zone": [zone and prefix + zone for zone in stops.column_or_blank("zone_id").values],
        },
        lon=lon, lat=lat, parent=_numbers(stops.column_or_blank("parent_station"), stop_row, "stops.txt", blank=-1),
        stop_wheelchair=_small(stops.column_or_blank("wheelchair_boarding")),
        routes={
            "id": [prefix + text for text in routes["route_id"].values],
            "name": [
                short or long
                for short, long in zip(
                    routes.column_or_blank("route_short_name").values, routes.column_or_blank("route_long_name").values,
                    strict=True,
                )
            ],
            "agency": [prefix + text for text in routes.column_or_blank("agency_id").values],
        },
        route_type=routes.column_or_blank("route_type").integers(3),
        services=[prefix + service for service in services], days=[days[service] for service in services],
        trips={"id": trips["trip_id"].values, "headsign": trips.column_or_blank("trip_headsign").values},
        trip_route=_numbers(trips["route_id"], route_row, "routes.txt"),
        trip_service=_services(trips["service_id"], service_row),
        trip_wheelchair=_small(trips.column_or_blank("wheelchair_accessible")),
        block=trips.column_or_blank("block_id").number.astype(np.int32) - 1, links=_links(feed, trip_row),
        first=first, stop=stop, rule=rule, rank=rank, arrive=arrive, depart=depart,
        timezone=zones[0] if zones else "UTC",
    )  # fmt: skip
    part.trips["id"] = [prefix + text for text in part.trips["id"]]
    _inherit_wheelchair(part)
    return _with_frequencies(feed, part, trip_row)


def _rows(table: Table, key: str) -> dict[str, int]:
    """Row of each id; the first counts where one comes twice."""
    rows: dict[str, int] = {}
    for row, text in enumerate(table[key].values):
        rows.setdefault(text, row)
    return rows if len(rows) == len(table) else {text: rows[text] for text in rows}


def _numbers(column: Column, rows: dict[str, int], table: str, blank: int | None = None) -> IntArray:
    """(n,) row of the record each cell names. Raises RowError where there is none."""
    table_of = np.array([rows.get(text, -2) for text in column.texts], np.int32)
    if blank is not None:
        table_of[0] = blank
    out = table_of[column.number]
    if (out == -2).any():
        row = int(np.flatnonzero(out == -2)[0])
        raise RowError(
            f"{column[row]!r} is not in {table}", file=column.file, row=int(column.lines_of(np.array([row]))[0]),
            column=column.name, remedy="noriai gtfs validate lists every such cell (foreign_key_violation)",
        )  # fmt: skip
    return np.asarray(out, np.int32)


def _services(column: Column, rows: dict[str, int]) -> IntArray:
    """(n,) service rows; -1 for a service that no calendar has, which never runs."""
    by_text = np.array([rows.get(text, -1) for text in column.texts], np.int32)
    return np.asarray(by_text[column.number], np.int32)


def _small(column: Column) -> ByteArray:
    return np.clip(column.integers(0), 0, 2).astype(np.uint8)


def _fixed_rows(times: Table) -> npt.NDArray[np.bool_]:
    """Rows of scheduled stops: a stop, and no window of demand-responsive service."""
    window = times.column_or_blank("start_pickup_drop_off_window").is_filled
    zone = times.column_or_blank("location_id").is_filled | times.column_or_blank("location_group_id").is_filled
    flexible = window | zone
    if flexible.any():  # a trip with one such row is flexible as a whole
        trip = times["trip_id"]
        of_trip = np.zeros(len(trip.texts), bool)
        of_trip[trip.number[flexible]] = True
        flexible = of_trip[trip.number]
    return np.asarray(~flexible & times["stop_id"].is_filled)


def _order(trip: IntArray, rank: IntArray) -> LongArray | None:
    """The order by trip and stop_sequence; None where rows stand so already."""
    step = np.diff(trip)
    if bool(((step > 0) | ((step == 0) & (np.diff(rank) > 0))).all()):
        return None
    return np.lexsort((rank, trip)).astype(np.int64)


def _check_places(stop: IntArray, lon: FloatArray, lat: FloatArray, stops: Table) -> None:
    used = np.zeros(lon.size, bool)
    used[stop] = True
    wrong = np.flatnonzero(used & ~((np.abs(lon) <= 180) & (np.abs(lat) <= 90)))
    if wrong.size:
        row = int(wrong[0])
        raise RowError(
            f"stop {stops['stop_id'][row]!r} has no usable coordinates", file=stops.name, row=stops.line_of(row),
            column="stop_lon, stop_lat", remedy="give degrees WGS84",
        )  # fmt: skip


def _rules(times: Table) -> ByteArray:
    """(rows,) rules of boarding and alighting as bits."""
    out = np.zeros(len(times), np.uint8)
    for name, bits in (
        ("pickup_type", (0, NO_BOARDING, PHONE_TO_BOARD, ASK_TO_BOARD)),
        ("drop_off_type", (0, NO_ALIGHTING, PHONE_TO_ALIGHT, ASK_TO_ALIGHT)),
    ):
        column = times.column_or_blank(name)
        by_number = np.array(
            [bits[int(text)] if text in ("0", "1", "2", "3") else 0 for text in column.texts], np.uint8
        )
        out |= by_number[column.number]
    return out


def _along(
    times: Table, rows: LongArray, stop: IntArray, lon: FloatArray, lat: FloatArray, first: LongArray
) -> FloatArray:
    """(rows,) way from the trip's start: shape_dist_traveled where all rows have it, else air lines added up."""
    given = times.column_or_blank("shape_dist_traveled")
    if given.is_filled[rows].all():
        return given.floats()[rows]
    x, y = lon[stop] * np.cos(np.radians(lat[stop])), lat[stop]
    step = np.hypot(np.diff(x, prepend=x[:1]), np.diff(y, prepend=y[:1]))
    step[first[:-1][first[:-1] < first[1:]]] = 0.0
    return np.cumsum(step)


def _kana(feed: Feed, stops: Table) -> list[str]:
    """Kana reading of each stop's name, in either form of translations.txt; "" where there is none."""
    by_record: dict[str, str] = {}
    by_value: dict[str, str] = {}
    for row in feed.get("translations").records():
        if (row.get("language") or row.get("lang", "")).lower() != "ja-hrkt":
            continue
        if "trans_id" in row:
            by_value[row["trans_id"]] = row["translation"]
        elif row.get("table_name") == "stops" and row.get("field_name") == "stop_name":
            if row.get("record_id"):
                by_record[row["record_id"]] = row["translation"]
            else:
                by_value[row.get("field_value", "")] = row["translation"]
    return [
        by_record.get(stop) or by_value.get(name, "")
        for stop, name in zip(stops["stop_id"].values, stops.column_or_blank("stop_name").values, strict=True)
    ]


def _inherit_wheelchair(part: _Part) -> None:
    """A platform without word of its own has its station's (stops.wheelchair_boarding of the reference)."""
    child = (part.parent >= 0) & (part.stop_wheelchair == 0)
    part.stop_wheelchair[child] = part.stop_wheelchair[part.parent[child]]


def _links(feed: Feed, trip_row: dict[str, int]) -> IntArray:
    """(n, 3) trip, trip, and 4 where riders may stay aboard from one into the other, 5 where not."""
    rows = [
        (trip_row[one], trip_row[other], int(row["transfer_type"]))
        for row in feed.get("transfers").records()
        if row.get("transfer_type") in ("4", "5")
        and (one := row.get("from_trip_id", "")) in trip_row
        and (other := row.get("to_trip_id", "")) in trip_row
    ]
    return np.array(rows, np.int32).reshape(-1, 3)


def _with_frequencies(feed: Feed, part: _Part, trip_row: dict[str, int]) -> _Part:
    """Trips of frequencies.txt written out, one for each departure; the trip they were given as goes."""
    table = feed.get("frequencies")
    if not len(table):
        return part
    pattern = _numbers(table["trip_id"], trip_row, "trips.txt")
    start, end = table["start_time"].times_ms(), table["end_time"].times_ms()
    headway = table["headway_secs"].integers(0)
    chosen: list[int] = []
    shift: list[int] = []
    label: list[str] = []
    for row in range(len(table)):
        trip = int(pattern[row])
        if headway[row] <= 0 or part.first[trip] == part.first[trip + 1]:
            continue
        base = int(part.depart[part.first[trip]])
        for time in range(int(start[row]), int(end[row]), 1000 * int(headway[row])):
            chosen.append(trip)
            shift.append(time - base)
            label.append(f"{part.trips['id'][trip]}@{time // 3_600_000:02d}:{time // 60_000 % 60:02d}")
    gone = set(pattern.tolist())
    keep = [trip for trip in range(part.trip_route.size) if trip not in gone]
    source = np.array(keep + chosen, np.int64)
    later = np.array([0] * len(keep) + shift, np.int64)
    counts = np.diff(part.first)[source]
    first = np.zeros(source.size + 1, np.int64)
    np.cumsum(counts, out=first[1:])
    rows = np.repeat(part.first[source] - first[:-1], counts) + np.arange(first[-1])
    ids, signs = part.trips["id"], part.trips["headsign"]
    part.trips = {
        "id": [ids[trip] for trip in keep] + label,
        "headsign": [signs[trip] for trip in source.tolist()],
    }
    part.arrive = (part.arrive[rows] + np.repeat(later, counts)).astype(np.int32)
    part.depart = (part.depart[rows] + np.repeat(later, counts)).astype(np.int32)
    part.stop, part.rule, part.rank, part.first = part.stop[rows], part.rule[rows], part.rank[rows], first
    part.trip_route, part.trip_service = part.trip_route[source], part.trip_service[source]
    part.trip_wheelchair = part.trip_wheelchair[source]
    kept = np.full(len(ids), -1, np.int32)
    kept[keep] = np.arange(len(keep), dtype=np.int32)
    part.block = np.where(np.arange(source.size) < len(keep), part.block[source], -1).astype(np.int32)
    links = np.column_stack([kept[part.links[:, 0]], kept[part.links[:, 1]], part.links[:, 2]])
    part.links = links[(links >= 0).all(axis=1)]
    return part


def _joined(parts: list[_Part]) -> _Part:
    """All parts as one, rows counted over all."""
    if len(parts) == 1:
        return parts[0]
    stops, routes, services, rows, trips, blocks = (
        np.cumsum([0] + [size(part) for part in parts])
        for size in (
            lambda part: part.lon.size, lambda part: part.route_type.size, lambda part: len(part.services),
            lambda part: part.stop.size, lambda part: part.trip_route.size,
            lambda part: int(part.block.max(initial=-1)) + 1,
        )
    )  # fmt: skip
    if len({part.timezone for part in parts}) > 1:
        zones = ", ".join(sorted({part.timezone for part in parts}))
        raise FeedError(f"the feeds have several time zones: {zones}", remedy="build a timetable for each zone")

    def later(values: list[npt.NDArray[np.int32]], by: npt.NDArray[np.int64]) -> IntArray:
        return np.concatenate([np.where(v < 0, v, v + by[k]) for k, v in enumerate(values)]).astype(np.int32)

    def texts(name: str) -> dict[str, list[str]]:
        return {key: [t for part in parts for t in getattr(part, name)[key]] for key in getattr(parts[0], name)}

    first = [part.first[:-1] + rows[k] for k, part in enumerate(parts)]
    return _Part(
        stop_row={},
        stops=texts("stops"), lon=np.concatenate([p.lon for p in parts]), lat=np.concatenate([p.lat for p in parts]),
        parent=later([p.parent for p in parts], stops),
        stop_wheelchair=np.concatenate([p.stop_wheelchair for p in parts]),
        routes=texts("routes"), route_type=np.concatenate([p.route_type for p in parts]),
        services=[s for p in parts for s in p.services], days=[d for p in parts for d in p.days],
        trips=texts("trips"), trip_route=later([p.trip_route for p in parts], routes),
        trip_service=later([p.trip_service for p in parts], services),
        trip_wheelchair=np.concatenate([p.trip_wheelchair for p in parts]),
        block=later([p.block for p in parts], blocks),
        links=np.concatenate([p.links + np.array([trips[k], trips[k], 0], np.int32) for k, p in enumerate(parts)]),
        first=np.concatenate([*first, rows[-1:]]), stop=later([p.stop for p in parts], stops),
        rule=np.concatenate([p.rule for p in parts]), rank=np.concatenate([p.rank for p in parts]),
        arrive=np.concatenate([p.arrive for p in parts]),
        depart=np.concatenate([p.depart for p in parts]), timezone=parts[0].timezone,
    )  # fmt: skip


def _timetable(part: _Part, footpaths: Footpaths) -> Timetable:
    sequence, sequence_trip = _sequences(part)
    counts = np.diff(part.first)[sequence_trip]
    sequence_first = np.zeros(sequence_trip.size + 1, np.int32)
    np.cumsum(counts, out=sequence_first[1:])
    rows = np.repeat(part.first[sequence_trip] - sequence_first[:-1], counts) + np.arange(sequence_first[-1])
    first_day, runs = _calendar(part.days)
    return Timetable(
        stop_id=StringArray.of(part.stops["id"]), stop_name=StringArray.of(part.stops["name"]),
        stop_kana=StringArray.of(part.stops["kana"]), stop_lon=part.lon, stop_lat=part.lat, stop_parent=part.parent,
        stop_wheelchair=part.stop_wheelchair, stop_change_ms=footpaths.change_ms,
        stop_zone=StringArray.of(part.stops["zone"]),
        route_id=StringArray.of(part.routes["id"]), route_name=StringArray.of(part.routes["name"]),
        route_type=part.route_type, route_agency=StringArray.of(part.routes["agency"]),
        service_id=StringArray.of(part.services), service_runs=runs, first_day=np.array([first_day], np.int32),
        sequence_first=sequence_first, sequence_stop=part.stop[rows], sequence_rule=part.rule[rows],
        trip_id=StringArray.of(part.trips["id"]), trip_headsign=StringArray.of(part.trips["headsign"]),
        trip_route=part.trip_route, trip_service=part.trip_service, trip_sequence=sequence,
        trip_wheelchair=part.trip_wheelchair, trip_block=part.block, link_from=part.links[:, 0].copy(),
        link_to=part.links[:, 1].copy(), link_kind=part.links[:, 2].astype(np.uint8), trip_first=part.first,
        stop_sequence=part.rank, arrive_ms=part.arrive, depart_ms=part.depart,
        footpath_from=footpaths.origin, footpath_to=footpaths.target, footpath_ms=footpaths.ms,
        footpath_steps=footpaths.steps, timezone=StringArray.of([part.timezone]),
    )  # fmt: skip


def _sequences(part: _Part) -> tuple[IntArray, LongArray]:
    """(trips,) number of each trip's sequence, and (sequences,) a trip that has it."""
    from noriai_gtfs.timetable.kernels.grouping import differs, sequence_keys

    key = np.empty(part.trip_route.size, np.uint64)
    sequence_keys(part.first, part.stop, part.rule, key)
    _, trip, number = np.unique(key, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    if differs(part.first, part.stop, part.rule, trip[number].astype(np.int64)) >= 0:
        rows = [
            part.stop[a:b].tobytes() + part.rule[a:b].tobytes()
            for a, b in zip(part.first[:-1].tolist(), part.first[1:].tolist(), strict=True)
        ]
        seen: dict[bytes, int] = {}
        number = np.array([seen.setdefault(row, len(seen)) for row in rows])
        trip = np.array([int(np.flatnonzero(number == k)[0]) for k in range(len(seen))])
    return number.astype(np.int32), trip.astype(np.int64)


def _calendar(days: list[frozenset[int]]) -> tuple[int, npt.NDArray[np.bool_]]:
    present = [span for span in days if span]
    first = min((min(span) for span in present), default=day_number(date(1970, 1, 1)))
    last = max((max(span) for span in present), default=first)
    runs = np.zeros((len(days), last - first + 1), bool)
    for row, span in enumerate(days):
        runs[row, np.fromiter(span, np.int64, len(span)) - first] = True
    return first, runs
