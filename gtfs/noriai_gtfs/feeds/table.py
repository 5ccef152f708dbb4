"""A table of a feed: each column as numbers of its distinct texts, exactly as published.

Timetables repeat themselves: 435,507 stop times of a city have some 30,000 distinct clock times. A column is
therefore an array of small integers and a vocabulary; times, numbers and dates are read once per distinct text.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import RowError
from noriai_gtfs.feeds.archive import FeedError
from noriai_gtfs.feeds.encodings import plain_width
from noriai_gtfs.feeds.repairs import RepairLog

IntArray = npt.NDArray[np.int32]
_DATE = re.compile(r"(\d{4})[-/.]?(\d{1,2})[-/.]?(\d{1,2})")
_CLOCK = re.compile(r"(\d{1,3}):(\d{1,2})(?::(\d{1,2})(?:\.0+)?)?")


@dataclass(frozen=True)
class Vocabulary:
    """Distinct texts of a column; number 0 is the empty text."""

    offset: npt.NDArray[np.int64]  # (n + 1,)
    bytes: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return self.offset.size - 1

    @cached_property
    def texts(self) -> tuple[str, ...]:
        data, offset = self.bytes.tobytes(), self.offset.tolist()
        return tuple(data[a:b].decode() for a, b in pairwise(offset))


@dataclass(frozen=True)
class Column:
    """One column: `number` (n rows) into `words`. `lines` gives the line of the file of a row, for messages."""

    name: str
    file: str
    number: npt.NDArray[Any]
    words: Vocabulary
    first_line: int
    line: IntArray | None
    repairs: RepairLog

    def __len__(self) -> int:
        return self.number.size

    def __getitem__(self, row: int) -> str:
        return self.words.texts[int(self.number[row])]

    @property
    def texts(self) -> tuple[str, ...]:
        """Distinct texts, by number."""
        return self.words.texts

    @cached_property
    def values(self) -> list[str]:
        """The text of every row."""
        texts = self.words.texts
        return [texts[number] for number in self.number.tolist()]

    @property
    def is_filled(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a cell holds anything."""
        return np.asarray(self.number != 0)

    def lines_of(self, rows: npt.NDArray[Any]) -> IntArray:
        """Lines of the file (1 = header) on which rows stand."""
        if self.line is None:
            return np.asarray(rows + self.first_line, np.int32)
        return np.asarray(self.line[rows], np.int32)

    def times_ms(self) -> IntArray:
        """(n,) milliseconds from the service day's start, -1 where empty. Raises RowError for what is no time."""
        from noriai_gtfs.feeds.kernels.cells import read_times

        out: IntArray = np.empty(len(self.words), np.int32)
        bad = np.zeros(len(self.words), np.uint8)
        read_times(self.words.offset, self.words.bytes, len(self.words), out, bad)
        for number in np.flatnonzero(bad).tolist():
            found = _CLOCK.fullmatch(plain_width(self.texts[number]).replace("：", ":"))
            hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 99, 0)
            if minutes > 59 or seconds > 59 or hours >= 500:
                self._refuse(number, "is no time", "write H:MM:SS, hours beyond 24 for trips past midnight")
            out[number] = 1000 * (3600 * hours + 60 * minutes + seconds)
            self._repaired("time_format", number)
        return np.asarray(out[self.number], np.int32)

    def integers(self, default: int) -> IntArray:
        """(n,) whole numbers, `default` where empty. Raises RowError for a cell that is none."""
        return self._read(np.int32, default, _whole, "number_format", "is no whole number", "write a whole number")

    def floats(self, default: float = float("nan")) -> npt.NDArray[np.float64]:
        """(n,) numbers, `default` where empty. Raises RowError for a cell that is none."""
        return self._read(np.float64, default, _decimal, "number_format", "is no number", "write a number")

    def days(self) -> IntArray:
        """(n,) days since 1970-01-01, -1 where empty. Raises RowError for a cell that is no date."""
        return self._read(np.int32, -1, _day, "date_format", "is no date", "write YYYYMMDD")

    def _read(
        self, dtype: type, default: float, read: Callable[[str], tuple[Any, bool]], code: str, what: str, remedy: str
    ) -> npt.NDArray[Any]:
        out: npt.NDArray[Any] = np.empty(len(self.words), dtype)
        for number, text in enumerate(self.texts):
            if not text:
                out[number] = default
                continue
            try:
                out[number], repaired = read(text)
            except (ValueError, OverflowError):
                self._refuse(number, what, remedy)
            if repaired:
                self._repaired(code, number)
        values: npt.NDArray[Any] = out[self.number]
        return values

    def _repaired(self, code: str, number: int) -> None:
        rows = np.flatnonzero(self.number == number)
        self.repairs.add_rows(code, self.file, self.lines_of(rows), self.name, self.texts[number])

    def _refuse(self, number: int, what: str, remedy: str) -> None:
        rows = np.flatnonzero(self.number == number)
        if rows.size:
            row = int(self.lines_of(rows[:1])[0])
            raise RowError(f"{self.texts[number]!r} {what}", file=self.file, row=row, column=self.name, remedy=remedy)


def _whole(text: str) -> tuple[int, bool]:
    if text.isascii() and text.isdigit():
        return int(text), False
    number = float(plain_width(text))
    if number != int(number):
        raise ValueError(text)
    return int(number), True


def _decimal(text: str) -> tuple[float, bool]:
    try:
        number, repaired = float(text), not text.isascii() or "_" in text
    except ValueError:
        number, repaired = float(plain_width(text).replace(",", ".")), True
    if not np.isfinite(number):
        raise ValueError(text)
    return number, repaired


def _day(text: str) -> tuple[int, bool]:
    plain = len(text) == 8 and text.isascii() and text.isdigit()
    found = _DATE.fullmatch(text if plain else plain_width(text).partition(" ")[0])
    if not found:
        raise ValueError(text)
    return date(*(int(part) for part in found.groups())).toordinal() - date(1970, 1, 1).toordinal(), not plain


@dataclass(frozen=True)
class Table:
    """A table of a feed, cells exactly as published (blanks around them taken off)."""

    name: str
    columns: Mapping[str, Column]
    rows: int
    repairs: RepairLog = field(repr=False)

    def __len__(self) -> int:
        return self.rows

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> Column:
        """A column by its GTFS name. Raises FeedError where the table has none."""
        if column not in self.columns:
            has = ", ".join(self.columns)
            raise FeedError(f"has no column {column}", where=self.name, remedy=f"it has {has}")
        return self.columns[column]

    def column_or_blank(self, name: str) -> Column:
        """A column, or one of empty cells where the table has none."""
        if name in self.columns:
            return self.columns[name]
        words = Vocabulary(np.zeros(2, np.int64), np.zeros(0, np.uint8))
        first = next(iter(self.columns.values()), None)
        line = None if first is None else first.line
        return Column(name, self.name, np.zeros(self.rows, np.uint8), words, 2, line, self.repairs)

    def records(self) -> Iterator[dict[str, str]]:
        """Rows as dictionaries of texts; for small tables."""
        names = list(self.columns)
        for cells in zip(*(column.values for column in self.columns.values()), strict=True):
            yield dict(zip(names, cells, strict=True))

    def line_of(self, row: int) -> int:
        """Line of the file (1 = header) on which a row stands."""
        column = next(iter(self.columns.values()))
        return int(column.lines_of(np.array([row]))[0])
