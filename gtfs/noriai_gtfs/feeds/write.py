"""Feeds out: tables as CSV in a zip that is the same to the byte for the same content."""

import csv
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noriai_engine.model.errors import InputError

Rows = Sequence[Mapping[str, str]]
_STAMP = (1980, 1, 1, 0, 0, 0)


def csv_text(columns: Sequence[str], rows: Rows) -> str:
    """Rows as GTFS has them: UTF-8, commas, line feeds, quotes where needed; a field a row lacks is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return out.getvalue()


def columns_of(rows: Rows) -> list[str]:
    """Every field that occurs, in the order of first sight."""
    return list(dict.fromkeys(column for row in rows for column in row))


def write_feed(
    path: Path,
    tables: Mapping[str, Rows],
    geojson: Mapping[str, Mapping[str, Any]] | None = None,
    headers: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a zip with `tables` by name (without .txt) and GeoJSON files by file name.

    Tables without rows are left out, but for those whose columns `headers` gives.
    The zip appears whole or not at all. Raises InputError where it cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name, rows in tables.items():
                if rows or name in (headers or {}):
                    _put(archive, f"{name}.txt", csv_text(columns_of(rows) or (headers or {})[name], rows))
            for name, document in (geojson or {}).items():
                _put(archive, name, json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
        os.replace(partial, path)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", where=path, remedy="choose a folder that exists and is yours"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _put(archive: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name, _STAMP)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, text.encode())
