"""Backups: the whole store as it stood at one moment, and the region it serves, in one zip; and back, into an empty
store of either kind. So a node also moves from SQLite to PostgreSQL."""

import base64
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, func, insert, select, text, update

from noriai_api.store.database import Database
from noriai_api.store.migrate import migrate, version
from noriai_api.store.tables import PASSING, metadata, regions
from noriai_engine.model.errors import InputError, MissingDataError

FORMAT = "noriai-backup/1"
BATCH = 500
KEPT = [table for table in metadata.sorted_tables if table.name not in PASSING]
Progress = Callable[[int, int], None]


def write_backup(database: Database, path: Path, now: int, progress: Progress) -> dict[str, int]:
    """Write the store to a zip that is not there yet; how many rows of each table. Serving goes on meanwhile.

    Raises InputError where the file exists or cannot be written.
    """
    if path.exists():
        raise InputError("exists already", where=path, remedy="name another file; nothing was written")
    partial = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            counts = database.read(lambda connection: _write_all(connection, database, archive, now, progress))
        partial.rename(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=path, remedy="name another place") from error
    finally:
        partial.unlink(missing_ok=True)
    return counts


def restore_backup(database: Database, path: Path, folder: Path, progress: Progress) -> dict[str, int]:
    """Fill an empty store, and put regions under `folder`; how many rows of each table.

    Raises InputError where the file is no backup, damaged, or newer than this noriai, or the store is not empty.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise MissingDataError("is not there", where=path, remedy="name a backup") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            "is no backup", where=path, remedy="name a file that noriai node backup has written"
        ) from error
    with archive:
        manifest = _manifest(archive, path)
        migrate(database)
        if version(database) != manifest["schema"]:
            raise InputError(
                f"has schema {manifest['schema']}, this noriai {version(database)}", where=path,
                remedy="restore it with the noriai that wrote it, then update",
            )  # fmt: skip
        with database.writing.begin() as connection:
            for table in KEPT:
                if connection.execute(select(func.count()).select_from(table)).scalar():
                    raise InputError(
                        f"table {table.name} is not empty",
                        where="store",
                        remedy="restore into an empty data folder",
                    )
            counts = _read_all(connection, archive, manifest, progress)
            _put_regions(connection, archive, folder)
            if not database.is_sqlite:
                connection.execute(
                    text("SELECT setval('outbox_number_seq', (SELECT COALESCE(MAX(number), 0) + 1 FROM outbox))")
                )
        return counts


def _write_all(
    connection: Connection, database: Database, archive: zipfile.ZipFile, now: int, progress: Progress
) -> dict[str, int]:
    if not database.is_sqlite:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    for number, table in enumerate(KEPT, start=1):
        digest, rows = hashlib.sha256(), 0
        with archive.open(f"tables/{table.name}.jsonl", "w", force_zip64=True) as out:
            for row in connection.execute(select(table).order_by(*table.primary_key)).mappings():
                line = json.dumps({k: _plain(v) for k, v in row.items()}, ensure_ascii=False, sort_keys=True).encode()
                out.write(line + b"\n")
                digest.update(line + b"\n")
                rows += 1
        counts[table.name], digests[table.name] = rows, digest.hexdigest()
        progress(number, len(KEPT))
    for row in connection.execute(select(regions)).mappings():
        folder = Path(row["folder"])
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, f"regions/{row['tenant']}/{row['region']}/{file.relative_to(folder).as_posix()}")
    manifest = {"format": FORMAT, "schema": version(database), "time": now, "rows": counts, "sha256": digests}
    archive.writestr("manifest.json", json.dumps(manifest, indent=1, sort_keys=True))
    return counts


def _manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError("has no manifest", where=path, remedy="name a whole backup: this one is cut short") from error
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"is {manifest.get('format')}, not {FORMAT}", where=path, remedy="use the noriai that wrote it"
        )
    return manifest


def _read_all(
    connection: Connection, archive: zipfile.ZipFile, manifest: dict[str, Any], progress: Progress
) -> dict[str, int]:
    counts = {}
    for number, table in enumerate(KEPT, start=1):
        digest, batch, rows = hashlib.sha256(), [], 0
        for line in _lines(archive, table):
            digest.update(line)
            batch.append(_row(table, json.loads(line)))
            rows += 1
            if len(batch) == BATCH:
                connection.execute(insert(table), batch)
                batch = []
        if batch:
            connection.execute(insert(table), batch)
        if digest.hexdigest() != manifest["sha256"][table.name]:
            raise InputError(
                f"table {table.name} differs from its checksum",
                where="backup",
                remedy="use another backup: this one is damaged",
            )
        counts[table.name] = rows
        progress(number, len(KEPT))
    return counts


def _lines(archive: zipfile.ZipFile, table: Table) -> Iterator[bytes]:
    try:
        with archive.open(f"tables/{table.name}.jsonl") as lines:
            yield from lines
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"table {table.name} cannot be read", where="backup", remedy="use another: it is damaged"
        ) from error


def _put_regions(connection: Connection, archive: zipfile.ZipFile, folder: Path) -> None:
    """Region bundles beside the store, and where they lie now."""
    for row in connection.execute(select(regions)).mappings().all():
        prefix = f"regions/{row['tenant']}/{row['region']}/"
        place = (folder / "regions" / row["tenant"] / row["region"]).absolute()
        for name in archive.namelist():
            if name.startswith(prefix):
                target = (place / name.removeprefix(prefix)).resolve()
                if not target.is_relative_to(place):
                    raise InputError(f"{name} leads out of the folder", where="backup", remedy="do not use this file")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
        where = (regions.c.tenant == row["tenant"], regions.c.region == row["region"])
        connection.execute(update(regions).where(*where).values(folder=str(place)))


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, (bytes, memoryview)) else value


def _row(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64decode(value) if isinstance(table.c[name].type, LargeBinary) else value
        for name, value in values.items()
    }
