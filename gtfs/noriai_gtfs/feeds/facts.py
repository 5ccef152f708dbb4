"""What a feed holds, in words and numbers."""

from collections import Counter
from typing import Any

from noriai_engine.model.errors import InputError
from noriai_gtfs.feeds.feed import Feed
from noriai_gtfs.feeds.summary import summary_of
from noriai_gtfs.services import date_of, service_days

_USES = {
    "Flex": ("booking_rules", "location_groups", "location_group_stops"),
    "Fares v1": ("fare_attributes",), "Fares v2": ("fare_products", "fare_leg_rules"),
    "pathways": ("pathways",), "frequencies": ("frequencies",), "shapes": ("shapes",), "transfers": ("transfers",),
    "translations": ("translations",), "GTFS-JP": ("agency_jp", "office_jp", "routes_jp", "pattern_jp"),
}  # fmt: skip


def facts_of(feed: Feed) -> dict[str, Any]:
    """Agencies, validity, rows by table, standards in use, trips by weekday in the busiest week, repairs by code."""
    summary = summary_of(feed)
    rows, unread = {}, {}
    for name in feed.table_names:
        try:
            rows[name] = len(feed[name])
        except InputError as error:
            unread[name] = str(error)
    return {
        "feed": str(feed.path),
        "agencies": list(summary.agencies),
        "timezone": summary.timezone,
        "valid_from": summary.valid_from,
        "valid_to": summary.valid_to,
        "rows": rows,
        "unread": unread,
        "uses": [use for use, tables in _USES.items() if any(rows.get(table) for table in tables)]
        + (["locations.geojson"] if "locations.geojson" in feed.files else []),
        "busiest_week": _week(feed),
        "repairs": feed.repairs.totals(),
    }


def lines_of(facts: dict[str, Any]) -> list[str]:
    """The same for the terminal."""
    out = [
        f"{facts['feed']}: {', '.join(facts['agencies'])} ({facts['timezone']})",
        f"valid {facts['valid_from']} to {facts['valid_to']}; uses {', '.join(facts['uses']) or 'nothing optional'}",
        ", ".join(f"{rows:,} {name}" for name, rows in facts["rows"].items()),
    ]
    if facts["busiest_week"]:
        week = facts["busiest_week"]
        days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        out.append(
            f"trips a day in the week of {week['monday']}: "
            + ", ".join(f"{day} {trips:,}" for day, trips in zip(days, week["trips"], strict=True))
        )
    if facts["repairs"]:
        out.append("repairs: " + ", ".join(f"{code} {count:,}" for code, count in facts["repairs"].items()))
    return out + [f"{name} cannot be read: {why}" for name, why in facts["unread"].items()]


def _week(feed: Feed) -> dict[str, Any]:
    days = service_days(feed)
    trips: Counter[int] = Counter()
    for service, count in Counter(feed["trips"].column_or_blank("service_id").values).items():
        for day in days.get(service, ()):
            trips[day] += count
    if not trips:
        return {}
    weeks: Counter[int] = Counter()
    for day, count in trips.items():
        weeks[day - date_of(day).weekday()] += count
    monday = max(weeks, key=lambda day: (weeks[day], -day))
    return {"monday": date_of(monday).isoformat(), "trips": [trips[monday + k] for k in range(7)]}
