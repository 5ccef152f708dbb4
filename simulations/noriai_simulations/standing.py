"""Standing orders: rows of a trip file that come back on some days of the week."""

from collections.abc import Mapping
from datetime import date

from noriai_engine.tables import Row

FIELDS = ("weekdays", "valid_from", "valid_until", "except_dates")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_standing(row: Row, column: Mapping[str, str]) -> bool:
    """Whether the row names days of the week."""
    return bool(_cell(row, column, "weekdays"))


def runs_on(row: Row, column: Mapping[str, str], day: date) -> bool:
    """Whether a standing order is for this day: among its `weekdays` (mon,thu), from `valid_from` to `valid_until`,
    both included, and not one of `except_dates`. Raises RowError."""
    names = _cell(row, column, "weekdays").lower().replace(" ", "").split(",")
    unknown = [name for name in names if name not in WEEKDAYS]
    if unknown:
        field = column.get("weekdays", "weekdays")
        raise row.error(field, f"{unknown[0]!r} is no day of the week", f"write {','.join(WEEKDAYS)}, as needed")
    first, last = _date(row, column, "valid_from"), _date(row, column, "valid_until")
    if first is not None and last is not None and last < first:
        raise row.error(
            column.get("valid_until", "valid_until"), f"{last} is before valid_from", "turn the dates round"
        )
    texts = _cell(row, column, "except_dates").replace(" ", "").split(",")
    pauses = {_parse(row, column.get("except_dates", "except_dates"), text) for text in texts if text}
    within = (first is None or first <= day) and (last is None or day <= last)
    return within and WEEKDAYS[day.weekday()] in names and day not in pauses


def _cell(row: Row, column: Mapping[str, str], field: str) -> str:
    return row.cells.get(column.get(field, field), "").strip()


def _date(row: Row, column: Mapping[str, str], field: str) -> date | None:
    text = _cell(row, column, field)
    return _parse(row, column.get(field, field), text) if text else None


def _parse(row: Row, field: str, text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise row.error(field, f"{text!r} is no date", "write 2026-11-24") from error
