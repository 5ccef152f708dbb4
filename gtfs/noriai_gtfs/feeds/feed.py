"""A feed: its tables, read when first asked for, and everything the reader put right."""

import json
from pathlib import Path
from typing import Any

from noriai_gtfs.feeds.archive import FeedArchive, FeedError, ReadLimits
from noriai_gtfs.feeds.encodings import to_utf8
from noriai_gtfs.feeds.repairs import RepairLog
from noriai_gtfs.feeds.table import Table


class Feed:
    """Tables of a GTFS feed by name (`feed["stop_times"]`), whatever dialect it was written in.

    Files are read when first asked for and kept. `repairs` lists what was put right in those read so far.
    """

    def __init__(self, path: Path, limits: ReadLimits | None = None) -> None:
        self.path = path
        self.repairs = RepairLog()
        self.limits = ReadLimits() if limits is None else limits
        self._archive = FeedArchive(path, self.limits, self.repairs)
        self._tables: dict[str, Table] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files there are, in the order of the alphabet."""
        return tuple(sorted(self._archive.members))

    @property
    def table_names(self) -> tuple[str, ...]:
        """Names of the tables, without `.txt`."""
        return tuple(name.removesuffix(".txt") for name in self.files if name.endswith(".txt"))

    def __contains__(self, name: str) -> bool:
        return self._archive.has(f"{name}.txt")

    def __getitem__(self, name: str) -> Table:
        """A table. Raises FeedError where the feed has none, or what stands there is none."""
        if name not in self._tables:
            if name not in self:
                raise FeedError(f"has no {name}.txt", where=self.path, remedy="ask its publisher for a whole feed")
            from noriai_gtfs.feeds.parse import read_table

            self._tables[name] = read_table(self._archive.members[f"{name}.txt"], self.limits, self.repairs)
        return self._tables[name]

    def get(self, name: str) -> Table:
        """A table, without rows and columns where the feed has none."""
        return self[name] if name in self else Table(f"{name}.txt", {}, 0, self.repairs)

    def read_all(self) -> dict[str, Table]:
        """Every table there is."""
        return {name: self[name] for name in self.table_names}

    def bytes_of(self, file: str) -> bytes:
        """A file as published, to the byte. Raises FeedError where there is none."""
        if not self._archive.has(file):
            raise FeedError(f"has no {file}", where=self.path, remedy=f"it has {', '.join(self.files)}")
        return b"".join(self._archive.members[file].chunks(self.limits))

    def geojson(self, file: str = "locations.geojson") -> dict[str, Any]:
        """A GeoJSON file; an empty collection where the feed has none. Raises FeedError where it is broken."""
        if not self._archive.has(file):
            return {"type": "FeatureCollection", "features": []}
        data = self.bytes_of(file)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = to_utf8(data, file, self.repairs).decode()
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FeedError(f"is no GeoJSON: {error}", where=f"{self.path}!{file}", remedy="mend the file") from error
        if not isinstance(document, dict) or not isinstance(document.get("features"), list):
            raise FeedError("is no FeatureCollection", where=f"{self.path}!{file}", remedy="mend the file")
        return document


def read_feed(path: Path, limits: ReadLimits | None = None) -> Feed:
    """Open a feed: a zip, a folder, a zip inside a zip (`outer.zip!inner.zip`).

    Raises FeedError where there is none, or where it is a zip bomb, encrypted, or names files outside itself.
    """
    return Feed(path, limits)
