"""What a GTFS zip holds: agencies, validity, counts and stops. The feed itself is kept untouched.

Validity is the span of calendar.txt and of the dates added by calendar_dates.txt (GTFS Schedule reference,
calendar.txt and calendar_dates.txt).
"""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from noriai_engine.model.errors import InputError, RowError

MAX_TABLE_BYTES = 1 << 30
"""A table that unpacks to more is refused: no real feed comes near, a zip bomb does."""


class FeedError(InputError):
    """A GTFS feed cannot be used: which file, and what to do."""


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
    """Read a feed's facts. Raises FeedError where it is no zip or lacks a required table, RowError for a bad row."""
    if not path.is_file():
        raise FeedError("there is no such file", where=path, remedy="give a GTFS .zip")
    try:
        with zipfile.ZipFile(path) as archive:
            return _summarise(archive, path)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise FeedError(f"is not a readable zip: {error}", where=path, remedy="download the feed again") from error


def _summarise(archive: zipfile.ZipFile, path: Path) -> FeedSummary:
    agencies = list(_rows(archive, path, "agency.txt", required=True))
    departures = Counter(row.get("stop_id", "") for _, row in _rows(archive, path, "stop_times.txt", required=True))
    return FeedSummary(
        agencies=tuple(row.get("agency_name", "") for _, row in agencies),
        timezone=agencies[0][1].get("agency_timezone", "") if agencies else "",
        valid_from=(dates := _dates(archive, path))[0],
        valid_to=dates[1],
        routes=sum(1 for _ in _rows(archive, path, "routes.txt", required=True)),
        trips=sum(1 for _ in _rows(archive, path, "trips.txt", required=True)),
        stop_times=departures.total(),
        stops=tuple(_stops(archive, path, departures)),
    )


def _stops(
    archive: zipfile.ZipFile, path: Path, departures: Counter[str]
) -> Iterator[tuple[str, str, float, float, int]]:
    for number, row in _rows(archive, path, "stops.txt", required=True):
        if row.get("location_type", "") not in ("", "0"):
            continue
        try:
            lon, lat = float(row["stop_lon"]), float(row["stop_lat"])
            if not (-180 <= lon <= 180 and -90 <= lat <= 90):
                raise ValueError(f"({lon}, {lat})")
        except (KeyError, ValueError) as error:
            raise RowError(
                f"stop {row.get('stop_id')!r} has no usable coordinates: {error}",
                file=f"{path}!stops.txt", row=number, column="stop_lon, stop_lat", remedy="give degrees WGS84",
            ) from error  # fmt: skip
        yield row.get("stop_id", ""), row.get("stop_name", ""), lon, lat, departures[row.get("stop_id", "")]


def _dates(archive: zipfile.ZipFile, path: Path) -> tuple[str, str]:
    days: list[str] = []
    for number, row in _rows(archive, path, "calendar.txt"):
        days += [_date(row, column, "calendar.txt", number, path) for column in ("start_date", "end_date")]
    for number, row in _rows(archive, path, "calendar_dates.txt"):
        if row.get("exception_type") == "1":
            days.append(_date(row, "date", "calendar_dates.txt", number, path))
    return (min(days), max(days)) if days else ("", "")


def _date(row: dict[str, str], column: str, table: str, number: int, path: Path) -> str:
    try:
        return datetime.strptime(row.get(column, ""), "%Y%m%d").date().isoformat()  # noqa: DTZ007
    except ValueError as error:
        raise RowError(
            f"{row.get(column)!r} is not a date", file=f"{path}!{table}", row=number, column=column,
            remedy="write YYYYMMDD",
        ) from error  # fmt: skip


def _rows(
    archive: zipfile.ZipFile, path: Path, table: str, *, required: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table with their line number; header names and cells without blanks around them."""
    names = {Path(info.filename).name.lower(): info for info in archive.infolist() if not info.is_dir()}
    info = names.get(table)
    if info is None:
        if required:
            raise FeedError(f"has no {table}", where=path, remedy="a GTFS feed needs it; ask its publisher")
        return
    if info.file_size > MAX_TABLE_BYTES:
        raise FeedError(f"{table} unpacks to {info.file_size:,} bytes", where=path, remedy="this is no timetable")
    raw = archive.read(info)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp932", errors="replace")
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip().lower() for name in next(reader, [])]
    for number, cells in enumerate(reader, start=2):
        if any(cells):
            yield number, dict(zip(header, (cell.strip() for cell in cells), strict=False))
