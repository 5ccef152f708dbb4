"""Requests from a file of trips: CSV, Excel or Parquet, in our columns or in the file's own by a mapping."""

from collections.abc import Mapping
from pathlib import Path

from noriai_engine.model import (
    InputError,
    Place,
    Request,
    Resources,
    RiderNeeds,
    ServiceDay,
    TimeWindow,
    UtcMs,
)
from noriai_engine.model.requests import MOST_WALK_M
from noriai_engine.model.units import DAY_MS, OperatorId, RequestId
from noriai_engine.tables import Row, read_table
from noriai_simulations import standing
from noriai_simulations.scenario_file import DemandTable

REQUIRED = ("request_id", "origin_lon", "origin_lat", "destination_lon", "destination_lat")
OPTIONAL = (
    "placed_at", "earliest_pickup", "latest_arrival", "seats", "wheelchairs", "luggage", "extra_boarding_s",
    "extra_alighting_s", "longest_walk_m", "step_free", "pickup_from", "pickup_until", "dropoff_from", "dropoff_until",
    "operator_id", "return_of", *standing.FIELDS,
)  # fmt: skip
FIELDS = (*REQUIRED, *OPTIONAL)
MOST_DAYS_AHEAD = 62
"""How many days before its ride a request may have been placed, in a file."""


def requests_from_file(path: Path, table: DemandTable, day: ServiceDay, operators: set[str]) -> list[Request]:
    """Requests in the file's order. Without `placed_at` a request is placed at the wished departure itself.

    Raises RowError for a bad cell, InputError for a duplicate id or an unknown column.
    """
    trips = read_table(path)
    names: Mapping[str, str] = {name: name for name in FIELDS}
    if table.columns:
        unknown = sorted(set(table.columns) - set(FIELDS))
        if unknown:
            raise InputError(
                f"demand.columns names {', '.join(unknown)}",
                where=path,
                remedy=f"fields are {', '.join(FIELDS)}",
            )
        for column in table.columns.values():
            if column not in trips.columns:
                raise InputError(
                    f"demand.columns names column {column!r}",
                    where=path,
                    remedy=f"it has {', '.join(trips.columns)}",
                )
        names = table.columns
        trips.expect(required=[names.get(name, name) for name in REQUIRED], optional=trips.columns)
    else:
        trips.expect(required=REQUIRED, optional=OPTIONAL)
    requests: list[Request] = []
    seen: dict[str, int] = {}
    for row in trips.rows[: table.limit]:
        if standing.is_standing(row, names) and not standing.runs_on(row, names, day.date):
            continue
        request = _request(row, names, day, seconds=table.times == "seconds")
        if request.id in seen:
            name = names.get("request_id", "request_id")
            raise row.error(name, f"{request.id} is also in row {seen[request.id]}", "make ids unique")
        if request.operator_id is not None and request.operator_id not in operators:
            raise row.error(
                names.get("operator_id", "operator_id"),
                f"operator {request.operator_id!r} is unknown",
                "name an operator of the scenario",
            )
        seen[request.id] = row.line
        requests.append(request)
    for request in requests:
        if request.return_of is not None and (request.return_of not in seen or request.return_of == request.id):
            raise InputError(
                f"row {seen[request.id]}: return_of {request.return_of!r} is no other request of that day",
                where=path, remedy="name the ride there by its request_id, or leave the field empty",
            )  # fmt: skip
    if not requests:
        what = (
            "holds no request"
            if not trips.rows
            else f"holds no request for {day.date}, only standing orders of other days"
        )
        raise InputError(what, where=path, remedy="give at least one row for that day under the header")
    return requests


def _request(row: Row, column: Mapping[str, str], day: ServiceDay, *, seconds: bool) -> Request:
    def instant(field: str, days_before: int = 0) -> UtcMs | None:
        name = column.get(field, field)
        if not row.cells.get(name, "").strip():
            return None
        if not seconds:
            return row.convert(name, lambda text: day.parse(text, days_before))
        value = row.number(name)
        if not 0 <= value < 2 * DAY_MS / 1000:
            raise row.error(name, f"{value} s is outside the service day", "count seconds from 00:00, up to 48 h")
        return day.to_utc(round(value * 1000))

    def window(first: str, last: str) -> TimeWindow | None:
        earliest, latest = instant(first), instant(last)
        if earliest is None and latest is None:
            return None
        try:
            return TimeWindow(earliest or day.to_utc(-DAY_MS), latest or day.to_utc(3 * DAY_MS))
        except InputError as error:
            raise row.error(column.get(first, first), error.what, error.remedy or "") from error

    def place(end: str) -> Place:
        return row.place(column.get(f"{end}_lon", f"{end}_lon"), column.get(f"{end}_lat", f"{end}_lat"))

    def amount(field: str, default: int) -> int:
        return row.integer(column.get(field, field), default, least=0)

    earliest, latest = instant("earliest_pickup"), instant("latest_arrival")
    placed = instant("placed_at", MOST_DAYS_AHEAD)
    if placed is None and standing.is_standing(row, column):
        placed = day.to_utc(-DAY_MS)
    wheelchairs = amount("wheelchairs", 0)
    party = Resources(amount("seats", 0 if wheelchairs else 1), wheelchairs, amount("luggage", 0))
    walk = column.get("longest_walk_m", "longest_walk_m")
    longest_walk_m = row.integer(walk, least=0) if row.cells.get(walk, "").strip() else None
    if longest_walk_m is not None and longest_walk_m > MOST_WALK_M:
        raise row.error(walk, f"{longest_walk_m} m is no walk to a stop", f"give 0 to {MOST_WALK_M}")
    extra = amount("extra_boarding_s", 0) * 1000, amount("extra_alighting_s", 0) * 1000
    needs = RiderNeeds(*extra, (), longest_walk_m, amount("step_free", 0) > 0)
    wished = earliest if earliest is not None else latest
    if wished is None:
        name = column.get("earliest_pickup", "earliest_pickup")
        raise row.error(name, "neither departure nor arrival is given", "fill earliest_pickup or latest_arrival")
    if placed is not None and placed > wished:
        raise row.error(
            column.get("placed_at", "placed_at"),
            "is after the wished time",
            "a request is placed before its ride",
        )
    operator = row.cells.get(column.get("operator_id", "operator_id"), "").strip()
    there = row.cells.get(column.get("return_of", "return_of"), "").strip()
    try:
        return Request(
            RequestId(row.text(column.get("request_id", "request_id"))),
            wished if placed is None else placed, place("origin"), place("destination"),
            earliest, latest, party, needs, window("pickup_from", "pickup_until"),
            window("dropoff_from", "dropoff_until"), OperatorId(operator) if operator else None,
            return_of=RequestId(there) if there else None,
        )  # fmt: skip
    except InputError as error:
        if error.where is not None:
            raise
        raise row.error(
            column.get("request_id", "request_id"), error.what, error.remedy or "correct the row"
        ) from error
