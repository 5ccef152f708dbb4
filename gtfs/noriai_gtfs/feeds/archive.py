"""The files of a feed, wherever they lie: a zip, a folder, a zip inside a zip. Read within limits, never unpacked."""

import io
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from noriai_engine.model.errors import InputError
from noriai_gtfs.feeds.repairs import RepairLog

CHUNK_BYTES = 4 << 20


class FeedError(InputError):
    """A GTFS feed cannot be used: which file, and what to do."""


@dataclass(frozen=True)
class ReadLimits:
    """How much is read before a file is taken for an attack. No real feed comes near."""

    file_bytes: int = 4 << 30
    feed_bytes: int = 12 << 30
    ratio: int = 300  # unpacked to packed, looked at beyond `ratio_from` bytes; timetables reach 5 to 30
    ratio_from: int = 64 << 20
    files: int = 2_000
    columns: int = 1_000
    rows: int = 200_000_000  # of one table
    row_bytes: int = 1 << 20
    stray_quotes: int = 100

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1")
        if self.row_bytes > CHUNK_BYTES // 2:
            raise ValueError(f"row_bytes = {self.row_bytes}: at most {CHUNK_BYTES // 2}, half of what is read at once")


@dataclass(frozen=True)
class Member:
    """A file of a feed: `name` as GTFS has it (`stops.txt`), `open` gives its bytes from the start."""

    name: str
    where: str
    size: int
    packed: int
    open: Callable[[], IO[bytes]]

    def chunks(self, limits: ReadLimits) -> Iterator[bytes]:
        """Its bytes, piece by piece. Raises FeedError where the limits are passed or the archive is damaged."""
        total = 0
        try:
            with self.open() as file:
                while piece := file.read(CHUNK_BYTES):
                    total += len(piece)
                    self.check(total, limits)
                    yield piece
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
            raise FeedError(f"cannot be unpacked: {error}", where=self.where, remedy="download it again") from error
        except Exception as error:  # zlib, lzma and bz2 have errors of their own
            if type(error).__module__ in ("zlib", "lzma", "_lzma", "bz2"):
                raise FeedError(f"cannot be unpacked: {error}", where=self.where, remedy="download it again") from error
            raise

    def check(self, unpacked: int, limits: ReadLimits) -> None:
        """Raise FeedError where that many bytes are more than a timetable has."""
        if unpacked > limits.file_bytes:
            raise FeedError(f"unpacks to more than {limits.file_bytes:,} bytes", where=self.where, remedy=_NO_FEED)
        if unpacked > limits.ratio_from and unpacked > limits.ratio * max(1, self.packed):
            raise FeedError(
                f"unpacks to more than {limits.ratio} times its size, as zip bombs do", where=self.where,
                remedy=_NO_FEED,
            )  # fmt: skip


_NO_FEED = "this is no timetable; ask the publisher what happened"


class FeedArchive:
    """The files of one feed. `path` may name a zip inside a zip: `outer.zip!inner.zip`."""

    def __init__(self, path: Path, limits: ReadLimits, repairs: RepairLog) -> None:
        self.path, self.limits = path, limits
        found = _members_of(path, limits, repairs)
        if sum(member.size for _, member in found) > limits.feed_bytes:
            raise FeedError(f"unpacks to more than {limits.feed_bytes:,} bytes", where=path, remedy=_NO_FEED)
        self.members = _named(found, path, repairs)

    def has(self, name: str) -> bool:
        return name in self.members


def _members_of(path: Path, limits: ReadLimits, repairs: RepairLog) -> list[tuple[PurePosixPath, Member]]:
    outer, separator, inner = str(path).partition("!")
    place = Path(outer)
    if place.is_dir():
        return _folder(place, limits)
    if not place.is_file():
        raise FeedError("there is no such file", where=path, remedy="give a GTFS .zip or a folder of its tables")
    members = _zip(place.open, str(place), limits)
    if separator:
        return _inner(members, [file for file, _ in members if str(file) == inner], path, limits)
    if not any(_table_name(file.name) for file, _ in members):
        zips = [file for file, _ in members if file.suffix.lower() == ".zip"]
        if len(zips) > 1:
            raise FeedError(
                f"holds {len(zips)} feeds: {', '.join(map(str, zips[:10]))}", where=path,
                remedy=f"name one of them: {path}!{zips[0]}",
            )  # fmt: skip
        if zips:
            repairs.add("nested_zip", str(zips[0]), detail=str(zips[0]))
            return _inner(members, zips, path, limits)
    return members


def _inner(
    members: list[tuple[PurePosixPath, Member]], names: list[PurePosixPath], path: Path, limits: ReadLimits
) -> list[tuple[PurePosixPath, Member]]:
    chosen = next((member for file, member in members if file in names), None)
    if chosen is None:
        listed = ", ".join(str(file) for file, _ in members[:10])
        raise FeedError("there is no such file in the zip", where=path, remedy=f"it holds: {listed}")
    data = b"".join(chosen.chunks(limits))
    return _zip(lambda *_: io.BytesIO(data), chosen.where, limits)


def _folder(folder: Path, limits: ReadLimits) -> list[tuple[PurePosixPath, Member]]:
    root, out = folder.resolve(), []
    for file in sorted(folder.rglob("*")):
        if not _table_name(file.name) or not file.is_file() or _is_litter(PurePosixPath(file.relative_to(folder))):
            continue
        if not file.resolve().is_relative_to(root):
            raise FeedError("is a link that leads out of the feed's folder", where=file, remedy="copy the file itself")
        size = file.stat().st_size
        name = PurePosixPath(file.relative_to(folder).as_posix())
        out.append((name, Member(file.name, str(file), size, size, lambda file=file: file.open("rb"))))  # type: ignore[misc]
        if len(out) > limits.files:
            raise FeedError(f"holds more than {limits.files:,} files", where=folder, remedy="name the feed's folder")
    return out


def _zip(open_file: Callable[..., IO[bytes]], where: str, limits: ReadLimits) -> list[tuple[PurePosixPath, Member]]:
    try:
        archive = zipfile.ZipFile(open_file("rb"))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise FeedError(f"is not a readable zip: {error}", where=where, remedy="download the feed again") from error
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > limits.files:
        raise FeedError(f"holds {len(infos):,} files", where=where, remedy=_NO_FEED)
    out = []
    for info in infos:
        name = PurePosixPath(info.filename.replace("\\", "/"))
        inside = f"{where}!{info.filename}"
        if name.is_absolute() or ".." in name.parts or (name.parts and name.parts[0].endswith(":")):
            raise FeedError("has a name that leads out of the zip", where=inside, remedy=_NO_FEED)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FeedError("is a link, not a file", where=inside, remedy="zip the file itself")
        if _is_litter(name):
            continue
        if info.flag_bits & 1:
            raise FeedError("is encrypted", where=inside, remedy="ask for a feed without a password")
        member = Member(
            name.name, inside, info.file_size, info.compress_size, lambda info=info: archive.open(info)  # type: ignore[misc]
        )  # fmt: skip
        member.check(info.file_size, limits)
        out.append((name, member))
    return out


def _is_litter(name: PurePosixPath) -> bool:
    """Files that programs leave behind: macOS resource forks, thumbnails, editors' copies."""
    return "__MACOSX" in name.parts or name.name.startswith(("._", ".", "~$")) or name.name in ("Thumbs.db",)


def _table_name(name: str) -> str:
    """The GTFS name of a file, "" where it is none: full width and upper case letters and .csv are read kindly."""
    plain = unicodedata.normalize("NFKC", name).strip().lower()
    stem, dot, suffix = plain.rpartition(".")
    if dot and suffix in ("txt", "csv") and stem:
        return stem.strip() + ".txt"
    return plain if suffix == "geojson" else ""


def _named(found: list[tuple[PurePosixPath, Member]], path: Path, repairs: RepairLog) -> dict[str, Member]:
    """Members under their GTFS names; where a name comes twice, the one nearest to the root counts."""
    members: dict[str, Member] = {}
    for file, member in sorted(found, key=lambda item: (len(item[0].parts), str(item[0]))):
        name = _table_name(file.name)
        if not name:
            continue
        if name in members:
            repairs.add("duplicate_file", name, detail=f"{file} beside {members[name].where}")
            continue
        if len(file.parts) > 1:
            repairs.add("sub_folder", name, detail=str(file))
        if file.name != name:
            repairs.add("file_name", name, detail=file.name)
        members[name] = Member(name, member.where, member.size, member.packed, member.open)
    if not members:
        raise FeedError("holds no table of a GTFS feed (stops.txt, ...)", where=path, remedy="give a GTFS feed")
    return members
