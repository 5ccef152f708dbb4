"""What a feed holds: agencies, validity, counts and stops. The feed itself is kept untouched.

Validity is the span of calendar.txt and of the dates added by calendar_dates.txt (GTFS Schedule reference,
calendar.txt and calendar_dates.txt).
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from noriai_engine.model.errors import RowError
from noriai_gtfs.feeds.feed import Feed, read_feed

_REQUIRED = ("agency", "stops", "routes", "trips", "stop_times")


@dataclass(frozen=True)
class FeedSummary:
    """Facts of one feed. Dates are ISO; `stops` are (stop_id, name, lon, lat, stop_times at the stop)."""

    agencies: tuple[str, ...]
    timezone: str
    valid_from: str
    valid_to: str
    routes: int
    trips: int
    stop_times: int
    stops: tuple[tuple[str, str, float, float, int], ...]


def summarise_feed(path: Path) -> FeedSummary:
    """Read a feed's facts. Raises FeedError where it is none or lacks a required table, RowError for a bad row."""
    return summary_of(read_feed(path))


def summary_of(feed: Feed) -> FeedSummary:
    """The facts of a feed that is open."""
    for name in _REQUIRED:
        feed[name]  # raises where it is missing
    zones = feed["agency"].column_or_blank("agency_timezone").values
    first, last = _validity(feed)
    return FeedSummary(
        agencies=tuple(feed["agency"].column_or_blank("agency_name").values),
        timezone=zones[0] if zones else "",
        valid_from=first,
        valid_to=last,
        routes=len(feed["routes"]),
        trips=len(feed["trips"]),
        stop_times=len(feed["stop_times"]),
        stops=_stops(feed),
    )


def _stops(feed: Feed) -> tuple[tuple[str, str, float, float, int], ...]:
    used = feed["stop_times"].column_or_blank("stop_id")
    visits = dict(zip(used.texts, np.bincount(used.number, minlength=len(used.texts)).tolist(), strict=True))
    stops = feed["stops"]
    lon, lat = stops.column_or_blank("stop_lon").floats(), stops.column_or_blank("stop_lat").floats()
    kind, names = stops.column_or_blank("location_type").values, stops.column_or_blank("stop_name").values
    out = []
    for row, stop in enumerate(stops["stop_id"].values):
        if kind[row] not in ("", "0"):
            continue
        if not (-180 <= lon[row] <= 180 and -90 <= lat[row] <= 90):
            raise RowError(
                f"stop {stop!r} has no usable coordinates: ({lon[row]}, {lat[row]})",
                file=f"{feed.path}!stops.txt", row=stops.line_of(row), column="stop_lon, stop_lat",
                remedy="give degrees WGS84",
            )  # fmt: skip
        out.append((stop, names[row], float(lon[row]), float(lat[row]), visits.get(stop, 0)))
    return tuple(out)


def _validity(feed: Feed) -> tuple[str, str]:
    calendar, dates = feed.get("calendar"), feed.get("calendar_dates")
    added = dates.column_or_blank("exception_type").integers(0) == 1
    days = np.concatenate(
        [calendar.column_or_blank(name).days() for name in ("start_date", "end_date")]
        + [dates.column_or_blank("date").days()[added]]
    )
    days = days[days >= 0]
    if not days.size:
        return "", ""
    first, last = (date(1970, 1, 1) + timedelta(days=int(day)) for day in (days.min(), days.max()))
    return first.isoformat(), last.isoformat()
