"""Parquet and CSV with a fixed column order and types, so that equal content gives equal bytes."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Column:
    """A column: name, type (int64, float64, string, bool; all may hold None) and values."""

    name: str
    type: Literal["int64", "float64", "string", "bool"]
    values: Sequence[Any]


def write_parquet(path: Path, columns: Sequence[Column]) -> None:
    """Write columns of equal length. Zstandard, one file, no time stamp inside: same values, same bytes."""
    import arro3.core as arrow
    import arro3.io

    types = {
        "int64": arrow.DataType.int64(),
        "float64": arrow.DataType.float64(),
        "string": arrow.DataType.string(),
        "bool": arrow.DataType.bool(),
    }
    arrays: dict[str, Any] = {
        column.name: arrow.Array(list(column.values), type=types[column.type]) for column in columns
    }
    arro3.io.write_parquet(arrow.Table.from_pydict(arrays), path, compression="zstd(3)")


def write_csv(path: Path, columns: Sequence[Column]) -> None:
    """The same columns as UTF-8 CSV with a header; None as an empty cell, booleans as 0 and 1."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in columns])
        for row in zip(*(column.values for column in columns), strict=True):
            writer.writerow(["" if v is None else int(v) if isinstance(v, bool) else v for v in row])
