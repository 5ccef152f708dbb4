"""Operators, vehicles, drivers, riders and standing orders from CSV or Excel: every row is checked, and all are written
or none.

A column is a field of the JSON document; `depot.lon`, `layouts.0.seats` and the like reach into it; a list in one cell
is separated by blanks. Columns that are empty in a row are left out.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError

from noriai_api.parties.schemas import RowProblem
from noriai_engine.model.errors import InputError
from noriai_engine.tables import read_table

MOST_ROWS = 20_000


TABLE_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
        "schema": {"type": "string", "format": "binary"}},
}}}  # fmt: skip
"""What a route that takes a table says of its body."""


def kind_of(request: Request) -> str:
    """How a table is written, by what the request says of it."""
    return "csv" if "csv" in request.headers.get("content-type", "") else "xlsx"


def rows_of(
    data: bytes, kind: str, key: str, model: type[BaseModel],
    check: Callable[[Any], list[tuple[str, str, str]]] = lambda document: [],
) -> tuple[list[tuple[str, Any]], list[RowProblem]]:  # fmt: skip
    """(id, document) of each row that is right, and what is wrong with the others. `check` says what more is wrong with
    a document: (column, what, what to do).

    Raises InputError where the file as a whole cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="noriai-import") as folder:
        path = Path(folder) / f"import.{kind}"
        path.write_bytes(data)
        try:
            table = read_table(path)
            if key not in table.columns:
                raise InputError(f"has no column {key}", where="file", remedy=f"name a column {key}: each row's own id")
            rows = [(row.line, {name: row.text(name, "") for name in table.columns}) for row in table]
        except InputError as error:
            raise InputError(error.what, where="file", remedy=error.remedy) from error
    if len(rows) > MOST_ROWS:
        raise InputError(f"has {len(rows)} rows", where="file", remedy=f"send at most {MOST_ROWS} at a time")
    good: list[tuple[str, Any]] = []
    problems: list[RowProblem] = []
    seen: dict[str, int] = {}
    for number, cells in rows:
        name = cells.pop(key, "")
        if not name or name in seen:
            what = f"{name} stands in row {seen[name]} already" if name else "is empty"
            problems.append(RowProblem(row=number, column=key, what=what, do="give every row an id of its own"))
            continue
        seen[name] = number
        try:
            document = model.model_validate(_document(cells, model))
            wrong = [RowProblem(row=number, column=c, what=what, do=do) for c, what, do in check(document)]
            problems += wrong
            if not wrong:
                good.append((name, document))
        except ValidationError as error:
            for entry in error.errors():
                column = ".".join(str(part) for part in entry["loc"]) or None
                problems.append(
                    RowProblem(
                        row=number,
                        column=column,
                        what=entry["msg"],
                        do=_REMEDIES.get(entry["type"], "correct this cell"),
                    )
                )
        except ValueError as error:
            problems.append(RowProblem(row=number, column=None, what=str(error), do="name columns as in the document"))
    return good, problems


_REMEDIES = {
    "missing": "add this column",
    "extra_forbidden": "take this column out, or spell it as the document does",
}


def _document(cells: dict[str, str], model: type[BaseModel]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for column, cell in cells.items():
        if cell.strip():
            _set(out, column.split("."), cell.strip(), model)
    return {name: _listed(value) for name, value in out.items()}


def _set(out: dict[str, Any], path: list[str], cell: str, model: type[BaseModel]) -> None:
    head, rest = path[0], path[1:]
    if rest:
        below = out.setdefault(head, {})
        if not isinstance(below, dict):
            raise ValueError(f"column {head} is given both whole and in parts")
        _set(below, rest, cell, model)
        return
    out[head] = _value(head, cell)


def _value(name: str, cell: str) -> Any:
    """A cell as JSON would have it: numbers and truth values by how they are written, lists where the field is one."""
    if name in _LISTS or (name in _WEEKDAYS and " " in cell):
        return cell.split()
    if name in _TEXTS:
        return cell
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if _NUMBER.fullmatch(cell):
        return float(cell) if "." in cell else int(cell)
    return cell


_LISTS = ("skills", "vehicles", "weekdays", "except_dates")
_TEXTS = ("name", "phone")
"""Never numbers, however they are written."""
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?")


def _listed(value: Any) -> Any:
    """Parts numbered from 0 are a list."""
    if not isinstance(value, dict):
        return value
    below = {name: _listed(part) for name, part in value.items()}
    if below and all(name.isdigit() for name in below):
        return [below[name] for name in sorted(below, key=int)]
    return below
