"""Ways to make a run folder lie, for tests of the checker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]


def rewrite(folder: Path, table: str, change: Callable[[Rows], None]) -> None:
    path = folder / f"{table}.parquet"
    old = pq.read_table(path)
    rows = old.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=old.schema), path)


def first(rows: Rows, kind: str, skip: int = 0) -> dict[str, Any]:
    return [row for row in rows if row["kind"] == kind][skip]


def detail(row: dict[str, Any], **change: Any) -> None:
    row["details"] = json.dumps(json.loads(row["details"]) | change)
