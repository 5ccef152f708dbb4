"""Service practice: what makes a feed useless to riders though every field is well formed."""

from collections.abc import Iterator

import numpy as np

from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.feeds import Feed
from noriai_gtfs.services import WEEKDAYS, date_of, day_number, service_days
from noriai_gtfs.validation.notices import Notice, own_notice

_JAPAN = (122.0, 20.0, 154.5, 46.0)
SAME_STOP_M = 5.0


def practice_notices(feed: Feed, *, japanese: bool) -> Iterator[Notice]:
    """Every finding, rule by rule."""
    if japanese:
        yield from _outside(feed)
    yield from _no_contact(feed)
    yield from _no_day(feed)
    yield from _twice(feed)
    yield from _same_place(feed)
    yield from _flex(feed)


def holiday_notices(feed: Feed, country: str | None) -> Iterator[Notice]:
    """Services of Mondays to Fridays that run on all public holidays of the country within their span."""
    import holidays

    if country is None or country.upper() not in holidays.list_supported_countries():
        return
    calendar = feed.get("calendar")
    days = service_days(feed)
    start, end = (calendar.column_or_blank(name).days().tolist() for name in ("start_date", "end_date"))
    flags = np.stack([calendar.column_or_blank(name).integers(0) for name in WEEKDAYS], axis=-1)
    for row, service in enumerate(calendar.column_or_blank("service_id").values):
        if flags[row].tolist() != [1, 1, 1, 1, 1, 0, 0]:
            continue
        years = range(date_of(start[row]).year, date_of(end[row]).year + 1)
        off = [
            day for day in sorted(holidays.country_holidays(country.upper(), years=years))
            if day.weekday() < 5 and start[row] <= day_number(day) <= end[row]
        ]  # fmt: skip
        if off and all(day_number(day) in days[service] for day in off):
            value = f"{service}: {len(off)}, {off[0]} to {off[-1]}"
            yield own_notice("weekday_service_on_holidays", calendar.name, calendar.line_of(row), "service_id", value)


def _outside(feed: Feed) -> Iterator[Notice]:
    stops = feed.get("stops")
    lon, lat = stops.column_or_blank("stop_lon"), stops.column_or_blank("stop_lat")
    west, south, east, north = _JAPAN
    x, y = lon.floats(), lat.floats()
    for row in np.flatnonzero(~((x >= west) & (x <= east) & (y >= south) & (y <= north)) & ~np.isnan(x + y)).tolist():
        yield own_notice("stop_outside_country", stops.name, stops.line_of(row), "stop_lat", f"{lat[row]}, {lon[row]}")


def _no_contact(feed: Feed) -> Iterator[Notice]:
    times = feed.get("stop_times")
    if any(feed.get("agency").column_or_blank("agency_phone").texts[1:]):
        return
    asked = np.zeros(len(times), bool)
    for kind, rule in (("pickup_type", "pickup_booking_rule_id"), ("drop_off_type", "drop_off_booking_rule_id")):
        column = times.column_or_blank(kind)
        if "2" in column.texts:
            asked |= (column.number == column.texts.index("2")) & ~times.column_or_blank(rule).is_filled
    if asked.any():
        trip = times["trip_id"]
        _, first = np.unique(trip.number[asked], return_index=True)
        for row in np.sort(np.flatnonzero(asked)[first]).tolist():
            yield own_notice("demand_service_without_contact", times.name, times.line_of(row), "pickup_type", trip[row])


def _no_day(feed: Feed) -> Iterator[Notice]:
    trips = feed.get("trips")
    days = service_days(feed)
    for row, service in enumerate(trips.column_or_blank("service_id").values):
        if not days.get(service):
            trip = trips.column_or_blank("trip_id")[row]
            yield own_notice("trip_without_service_day", trips.name, trips.line_of(row), "service_id", trip)


def _twice(feed: Feed) -> Iterator[Notice]:
    """Trips with equal stops and times on a common day, whatever their route."""
    times, trips = feed.get("stop_times"), feed.get("trips")
    if not len(times) or ("frequencies" in feed and len(feed["frequencies"])):
        return
    trip, stop = times["trip_id"], times.column_or_blank("stop_id")
    at = times.column_or_blank("departure_time")
    rank = times.column_or_blank("stop_sequence").integers(0)
    order = np.lexsort((rank, trip.number))
    number = trip.number[order].astype(np.int64)
    edges = np.flatnonzero(np.diff(number, prepend=-1, append=-1))
    days = service_days(feed)
    service = dict(
        zip(trips.column_or_blank("trip_id").values, trips.column_or_blank("service_id").values, strict=True)
    )
    cells = np.ascontiguousarray(np.stack([stop.number[order], at.number[order]], axis=1).astype(np.int32))
    seen: dict[bytes, list[str]] = {}
    for a, b in zip(edges.tolist(), edges[1:].tolist(), strict=False):
        if not (cells[a:b, 1] != 0).any():
            continue
        name = trip.texts[number[a]]
        same = seen.setdefault(cells[a:b].tobytes(), [])
        mine = days.get(service.get(name, ""), frozenset())
        if any(not mine.isdisjoint(days.get(service.get(other, ""), frozenset())) for other in same):
            yield own_notice(
                "duplicate_trip", times.name, times.line_of(int(order[a])), "trip_id", f"{name} = {same[0]}"
            )
        same.append(name)


def _same_place(feed: Feed) -> Iterator[Notice]:
    stops = feed.get("stops")
    if "stop_name" not in stops:
        return
    lon, lat = stops.column_or_blank("stop_lon").floats(), stops.column_or_blank("stop_lat").floats()
    free = ~stops.column_or_blank("parent_station").is_filled & ~np.isnan(lon + lat)
    groups: dict[int, list[int]] = {}
    for row, name in enumerate(stops["stop_name"].number.tolist()):
        if free[row] and name:
            groups.setdefault(name, []).append(row)
    for rows in groups.values():
        for k, row in enumerate(rows[1:], start=1):
            others = np.array(rows[:k])
            gap = haversine_m(lon[[row]], lat[[row]], lon[others], lat[others])
            if gap.min() < SAME_STOP_M:
                twin = stops["stop_id"][int(others[gap.argmin()])]
                value = f"{stops['stop_id'][row]} = {twin}"
                yield own_notice("same_stop_twice_nearby", stops.name, stops.line_of(row), "stop_id", value)


def _flex(feed: Feed) -> Iterator[Notice]:
    """Zones and groups that stop times name: defined, and in the adopted columns."""
    times = feed.get("stop_times")
    stops = set(feed.get("stops").column_or_blank("stop_id").texts)
    zones = {str(feature.get("id", "")) for feature in feed.geojson()["features"]}
    groups = set(feed.get("location_groups").column_or_blank("location_group_id").texts)
    for field, known in (("location_id", zones), ("location_group_id", groups)):
        column = times.column_or_blank(field)
        for number, text in enumerate(column.texts):
            if number and text not in known:
                row = int(np.flatnonzero(column.number == number)[0])
                yield own_notice("flex_zone_without_area", times.name, times.line_of(row), field, text)
    column = times.column_or_blank("stop_id")
    for number, text in enumerate(column.texts):
        if number and text not in stops and text in zones | groups:
            row = int(np.flatnonzero(column.number == number)[0])
            yield own_notice("flex_draft_form", times.name, times.line_of(row), "stop_id", text)
    table = feed.get("location_groups")
    if "location_id" in table:
        yield own_notice("flex_draft_form", table.name, 1, "location_id")
