"""Rows from CSV, Excel (.xlsx, .ods) or Parquet, each value with its file, row and column for error texts."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

from noriai_engine.model.errors import InputError, RowError
from noriai_engine.model.places import Place

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One row: typed access to its cells with errors that name file, row and column."""

    file: str
    line: int
    cells: Mapping[str, str]

    def error(self, column: str, what: str, remedy: str) -> RowError:
        return RowError(what, file=self.file, row=self.line, column=column, remedy=remedy)

    def text(self, column: str, default: str | None = None) -> str:
        value = self.cells.get(column, "").strip()
        if value:
            return value
        if default is None:
            raise self.error(column, "is empty", "fill in a value")
        return default

    def _number(self, column: str, cast: Callable[[str], T], noun: str, default: T | None) -> T:
        value = self.cells.get(column, "").strip()
        if not value and default is not None:
            return default
        try:
            return cast(value)
        except ValueError:
            raise self.error(column, f"{value!r} is not {noun}", f"write {noun}") from None

    def integer(self, column: str, default: int | None = None, *, least: int | None = None) -> int:
        def cast(value: str) -> int:
            number = float(value)
            if number != int(number):
                raise ValueError
            return int(number)

        value = self._number(column, cast, "a whole number", default)
        if least is not None and value < least:
            raise self.error(column, f"{value} is below {least}", f"give {least} or more")
        return value

    def number(self, column: str, default: float | None = None) -> float:
        value = self._number(column, float, "a number", default)
        if value != value or value in (float("inf"), float("-inf")):
            raise self.error(column, f"{value} is not a finite number", "write a number")
        return value

    def place(self, lon: str = "lon", lat: str = "lat", name: str | None = None) -> Place:
        """Place of two columns of degrees, named by a third; an impossible one is told with file, row and column."""
        try:
            return Place(self.number(lon), self.number(lat), self.text(name, "") if name else "")
        except RowError:
            raise
        except InputError as error:
            raise self.error(lon, error.what, error.remedy or "correct the coordinates") from error

    def convert(self, column: str, make: Callable[[str], T], default: T | None = None) -> T:
        """Cell through `make`; an InputError of it is told with file, row and column."""
        value = self.cells.get(column, "").strip()
        if not value and default is not None:
            return default
        try:
            return make(value)
        except InputError as error:
            raise self.error(column, error.what, error.remedy or "correct the value") from error


@dataclass(frozen=True)
class Table:
    """Rows of one file with its header."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def expect(self, *, required: Sequence[str], optional: Sequence[str] = ()) -> "Table":
        """The same table, after checking its header. Raises RowError for a missing or unknown column."""
        known = [*required, *optional]
        for column in required:
            if column not in self.columns:
                raise RowError(
                    "is missing",
                    file=self.file,
                    row=1,
                    column=column,
                    remedy=f"add it; columns: {', '.join(known)}",
                )
        for column in self.columns:
            if column not in known:
                raise RowError(
                    "is not known",
                    file=self.file,
                    row=1,
                    column=column or "(no name)",
                    remedy=f"remove or rename it; columns: {', '.join(known)}",
                )
        return self


def read_table(path: Path) -> Table:
    """Read `.csv`, `.tsv`, `.xlsx`, `.ods` or `.parquet`. Values come as text; empty cells as "".

    Raises InputError where the file is absent, of another kind, not text, or has no header.
    """
    if not path.is_file():
        raise InputError(
            "there is no such file", where=path, remedy="check the path; in a scenario it counts from that file"
        )
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".txt"):
        lines = _csv_lines(path)
    elif suffix in (".xlsx", ".xlsm", ".xls", ".ods"):
        lines = _sheet_lines(path)
    elif suffix in (".parquet", ".pq"):
        lines = _parquet_lines(path)
    else:
        raise InputError(f"is of kind {suffix or '(none)'}", where=path, remedy="give .csv, .xlsx or .parquet")
    if not lines or not any(cell.strip() for cell in lines[0]):
        raise InputError("is empty", where=path, remedy="the first line must name the columns")
    header = tuple(cell.strip() for cell in lines[0])
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            raise RowError(
                f"row has {len(cells)} cells, the header {len(header)}",
                file=path, row=number, column="(last)", remedy="quote cells that contain the separator",
            )  # fmt: skip
        rows.append(Row(str(path), number, dict(zip(header, cells, strict=False))))
    return Table(str(path), header, tuple(rows))


def _csv_lines(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "cp932"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise InputError("is neither UTF-8 nor Shift-JIS text", where=path, remedy="save it as CSV UTF-8")
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"is not well-formed CSV: {error}", where=path, remedy="check the quotes") from error


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def _sheet_lines(path: Path) -> list[list[str]]:
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        rows = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except Exception as error:  # calamine raises several types of its own
        raise InputError(f"is not a readable spreadsheet: {error}", where=path, remedy="save it again") from error
    return [[_cell_text(cell) for cell in row] for row in rows]


def read_parquet_columns(path: Path) -> dict[str, list[Any]]:
    """Columns of a Parquet file as Python values. Raises InputError where it is no Parquet file."""
    import arro3.io

    broken = InputError("is not a readable Parquet file", where=path, remedy="write it again")
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0, io.SEEK_END)
        file.seek(max(0, file.tell() - 4))
        if head != b"PAR1" or file.read(4) != b"PAR1":
            raise broken
    try:
        table = arro3.io.read_parquet(path).read_all()
        return {name: list(table[name].to_pylist()) for name in table.column_names}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust reader panics on a damaged footer
        raise broken from error


def _parquet_lines(path: Path) -> list[list[str]]:
    columns = read_parquet_columns(path)
    body = zip(*columns.values(), strict=True)
    return [list(columns), *([_cell_text(cell) for cell in row] for row in body)]
