"""What changed between two editions of a feed: rows by key, stops that moved, trips by route and day."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.feeds.feed import Feed
from noriai_gtfs.services import date_of, service_days

KEYS: dict[str, tuple[str, ...]] = {
    "agency": ("agency_id",), "stops": ("stop_id",), "routes": ("route_id",), "trips": ("trip_id",),
    "stop_times": ("trip_id", "stop_sequence"), "calendar": ("service_id",),
    "calendar_dates": ("service_id", "date"), "fare_attributes": ("fare_id",),
    "fare_rules": ("fare_id", "route_id", "origin_id", "destination_id", "contains_id"),
    "shapes": ("shape_id", "shape_pt_sequence"), "frequencies": ("trip_id", "start_time"),
    "transfers": ("from_stop_id", "to_stop_id", "from_trip_id", "to_trip_id", "from_route_id", "to_route_id"),
    "translations": ("table_name", "field_name", "language", "record_id", "record_sub_id", "field_value"),
    "booking_rules": ("booking_rule_id",), "location_groups": ("location_group_id",),
    "location_group_stops": ("location_group_id", "stop_id"),
}  # fmt: skip
"""What tells the rows of a table apart (primary keys of the GTFS Schedule reference); others by all their fields."""
MOVED_M = 10.0


@dataclass(frozen=True)
class Difference:
    """Rows added, removed and changed by table; stops that moved by metres; trips a day by route and kind of day."""

    tables: dict[str, dict[str, Any]]
    moved: tuple[tuple[str, str, float], ...]
    service: tuple[tuple[str, str, str, int, int], ...]

    @property
    def is_empty(self) -> bool:
        return not self.tables and not self.moved and not self.service

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "tables": self.tables,
            "stops_moved": [{"stop_id": s, "stop_name": n, "metres": round(m, 1)} for s, n, m in self.moved],
            "trips_a_day": [
                {"route_id": r, "route_name": n, "day": d, "before": a, "after": b} for r, n, d, a, b in self.service
            ],
        }


def diff_feeds(old: Feed, new: Feed) -> Difference:
    """Compare two editions. Order of rows and columns and ways of writing do not count."""
    tables = {}
    for name in sorted(set(old.table_names) | set(new.table_names)):
        found = _table(old, new, name)
        if found:
            tables[name] = found
    return Difference(tables, tuple(_moved(old, new)), tuple(_service(old, new)))


def _table(old: Feed, new: Feed, name: str) -> dict[str, Any]:
    before, after = old.get(name), new.get(name)
    columns = list(dict.fromkeys([*before.columns, *after.columns]))
    key = KEYS.get(name, tuple(columns))
    rows = []
    for table in (before, after):
        keyed: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        values = [table.column_or_blank(column).values for column in columns]
        keys = [table.column_or_blank(column).values for column in key]
        for row in range(len(table)):
            keyed.setdefault(tuple(k[row] for k in keys), []).append(tuple(v[row] for v in values))
        rows.append(keyed)
    was, now = rows
    added = [k for k in now if k not in was]
    removed = [k for k in was if k not in now]
    changed: Counter[str] = Counter()
    examples = []
    for k in was.keys() & now.keys():
        if Counter(was[k]) != Counter(now[k]):
            fields = [c for c, a, b in zip(columns, was[k][0], now[k][0], strict=True) if a != b] or ["(rows)"]
            changed.update(fields)
            examples.append((k, fields))
    if not added and not removed and not changed:
        return {}
    return {
        "added": len(added), "removed": len(removed), "changed": len(examples), "fields": dict(sorted(changed.items())),
        "examples": {
            "added": [" ".join(k) for k in sorted(added)[:5]], "removed": [" ".join(k) for k in sorted(removed)[:5]],
            "changed": [f"{' '.join(k)}: {', '.join(fields)}" for k, fields in sorted(examples)[:5]],
        },
    }  # fmt: skip


def _moved(old: Feed, new: Feed) -> list[tuple[str, str, float]]:
    places = []
    for feed in (old, new):
        stops = feed.get("stops")
        lon, lat = stops.column_or_blank("stop_lon").floats(), stops.column_or_blank("stop_lat").floats()
        names = stops.column_or_blank("stop_name").values
        places.append({s: (lon[k], lat[k], names[k]) for k, s in enumerate(stops.column_or_blank("stop_id").values)})
    out = []
    for stop in places[0].keys() & places[1].keys():
        a, b = places[0][stop], places[1][stop]
        metres = float(haversine_m(*(np.array([value]) for value in (a[0], a[1], b[0], b[1])))[0])
        if metres >= MOVED_M:
            out.append((stop, b[2], metres))
    return sorted(out, key=lambda entry: (-entry[2], entry[0]))


def _service(old: Feed, new: Feed) -> list[tuple[str, str, str, int, int]]:
    """Trips a day of each route on the busiest ordinary Wednesday, Saturday and Sunday of each edition."""
    before, after = (_trips_a_day(feed) for feed in (old, new))
    names: dict[str, str] = {}
    for feed in (old, new):
        routes = feed.get("routes")
        ids, short, long = (
            routes.column_or_blank(f"route_{part}").values for part in ("id", "short_name", "long_name")
        )
        names |= {route: a or b for route, a, b in zip(ids, short, long, strict=True)}
    return [
        (route, names.get(route, ""), day, before.get((route, day), 0), after.get((route, day), 0))
        for route, day in sorted(before.keys() | after.keys())
        if before.get((route, day), 0) != after.get((route, day), 0)
    ]


def _trips_a_day(feed: Feed) -> dict[tuple[str, str], int]:
    days = service_days(feed)
    trips = feed.get("trips")
    by_service: Counter[tuple[str, str]] = Counter(
        zip(trips.column_or_blank("route_id").values, trips.column_or_blank("service_id").values, strict=True)
    )
    weight: Counter[int] = Counter()
    for (_, service), count in by_service.items():
        for day in days.get(service, ()):
            weight[day] += count
    out: dict[tuple[str, str], int] = {}
    for name, weekday in (("wednesday", 2), ("saturday", 5), ("sunday", 6)):
        best = max((d for d in weight if date_of(d).weekday() == weekday), key=lambda d: (weight[d], -d), default=None)
        if best is None:
            continue
        for (route, service), count in by_service.items():
            if best in days.get(service, ()):
                out[route, name] = out.get((route, name), 0) + count
    return out
