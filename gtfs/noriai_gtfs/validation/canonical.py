"""The canonical rules, by gtfs-guru: 181 codes of MobilityData's validator 8.0.1, judged on the bytes as published."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from noriai_gtfs.feeds.archive import FeedArchive, FeedError, ReadLimits
from noriai_gtfs.feeds.repairs import RepairLog
from noriai_gtfs.validation.notices import Notice, canonical_codes


def canonical_notices(path: Path, day: date, country: str | None) -> tuple[dict[str, int], list[Notice]]:
    """Totals by code, and some notices with their place. Raises FeedError where the engine cannot open the feed."""
    totals, listed = _judged(path, day, country)
    return totals, [_notice(entry["code"], entry["severity"], s) for entry in listed for s in entry["sampleNotices"]]


def canonical_totals(path: Path, day: date, country: str | None) -> dict[str, int]:
    """Totals by code alone. Raises FeedError where the engine cannot open the feed."""
    return _judged(path, day, country)[0]


def _judged(path: Path, day: date, country: str | None) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Totals and the engine's entries; codes of its own, which the canonical list lacks, are left out."""
    import gtfs_guru

    with _on_disk(path) as place:
        try:
            result = gtfs_guru.validate(str(place), country_code=country, date=day.isoformat())
            listed = json.loads(result.to_json())["notices"]
        except Exception as error:  # the engine raises errors of several kinds
            raise FeedError(
                f"cannot be validated: {error}", where=path, remedy="check that it is a GTFS zip"
            ) from error
    kept = [entry for entry in listed if entry["code"] in canonical_codes()]
    return {entry["code"]: int(entry["totalNotices"]) for entry in kept}, kept


def _notice(code: str, severity: str, context: dict[str, object]) -> Notice:
    """The engine names file, row and field by code; these are the names it uses."""

    def first(*names: str) -> object:
        return next((context[name] for name in names if context.get(name) not in (None, "")), "")

    row = first("csvRowNumber", "csvRowNumber1", "tripCsvRowNumber", "childCsvRowNumber")
    value = first("fieldValue", "value", "stopId", "tripId", "routeId", "serviceId", "shapeId", "fieldType")
    rest = ", ".join(f"{name}={text}" for name, text in list(context.items())[:4])
    return Notice(
        code, severity, str(first("filename", "childFilename", "parentFilename")),  # type: ignore[arg-type]
        int(row) if isinstance(row, int | float) else 0, str(first("fieldName", "childFieldName", "fieldName1")),
        str(value) or rest,
    )  # fmt: skip


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """A path the engine can open; a zip inside a zip is taken out for the time being."""
    outer, separator, inner = str(path).partition("!")
    if not separator:
        yield path
        return
    limits = ReadLimits()
    FeedArchive(path, limits, RepairLog())  # raises where it is not there, or no feed
    import zipfile

    with tempfile.TemporaryDirectory(prefix="noriai-") as folder, zipfile.ZipFile(outer) as archive:
        place = Path(folder) / "feed.zip"
        place.write_bytes(archive.read(inner))
        yield place
