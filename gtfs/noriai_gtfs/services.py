"""On which days a service runs (calendar.txt and calendar_dates.txt of the GTFS Schedule reference)."""

from datetime import date

import numpy as np

from noriai_engine.model.errors import RowError
from noriai_gtfs.feeds import Feed, Table
from noriai_gtfs.feeds.table import IntArray

EPOCH = date(1970, 1, 1).toordinal()
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_DAYS = 366 * 60


def service_days(feed: Feed) -> dict[str, frozenset[int]]:
    """Days since 1970-01-01 on which each service runs. Raises RowError for a date or exception that is none."""
    days: dict[str, set[int]] = {}
    calendar, exceptions = feed.get("calendar"), feed.get("calendar_dates")
    start, end = (_days(calendar, name) for name in ("start_date", "end_date"))
    runs = np.stack([calendar.column_or_blank(name).integers(0) for name in WEEKDAYS], axis=-1)
    for row, service in enumerate(calendar.column_or_blank("service_id").values):
        if start[row] < 0 or end[row] < 0 or end[row] - start[row] > MAX_DAYS:
            raise RowError(
                "has no usable span of dates", file=calendar.name, row=calendar.line_of(row),
                column="start_date, end_date", remedy="give a start and an end at most 60 years apart",
            )  # fmt: skip
        span = np.arange(start[row], end[row] + 1)
        mine = days.setdefault(service, set())
        mine.update(span[runs[row][(span + 3) % 7] == 1].tolist())  # 1970-01-01 was a Thursday
    kinds = exceptions.column_or_blank("exception_type").integers(0)
    for service, day, kind in zip(
        exceptions.column_or_blank("service_id").values, _days(exceptions, "date").tolist(), kinds.tolist(), strict=True
    ):
        mine = days.setdefault(service, set())
        if kind == 1 and day >= 0:
            mine.add(day)
        elif kind == 2:
            mine.discard(day)
    return {service: frozenset(span) for service, span in days.items()}


def _days(table: Table, column: str) -> IntArray:
    return table.column_or_blank(column).days()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - EPOCH


def date_of(day: int) -> date:
    """The date of a day number."""
    return date.fromordinal(EPOCH + day)
