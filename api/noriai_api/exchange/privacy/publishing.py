"""From bookings, or a file of trips, to published figures: charge, make, publish, each a transaction of its own."""

import csv
import json
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, select

from noriai_api.exchange import data_plane
from noriai_api.exchange.privacy import ledger
from noriai_api.exchange.privacy.kpis import OUTCOMES, Requests, release_kpis
from noriai_api.exchange.privacy.mesh import codes_of
from noriai_api.exchange.privacy.noise import Measure
from noriai_api.exchange.privacy.partition import PublicData
from noriai_api.exchange.privacy.release import FIRST_PERIOD, PERIOD_DAYS, Question, Trips, release
from noriai_api.store import Database
from noriai_api.store.exchange_tables import received, releases
from noriai_api.store.tables import bookings, quotes
from noriai_engine.model import BookingState
from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.regions import Region

TRIP_COLUMNS = ("rider", "origin_lon", "origin_lat", "destination_lon", "destination_lat")
PUBLIC_COLUMNS = ("mesh", "people", "attraction")
MESH_DIGITS = 9
PARTS = "-parts"
"""End of the name of the dataset that has what was measured for sums, beside the one that has the figures."""


def publish(
    database: Database, tenant: str, question: Question, limit: int, trips: Trips, data: PublicData, *,
    dataset: str, measure: Measure, rng: np.random.Generator, now: int,
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """(the release, whether it is new). What is new joins the records of `dataset`, to be shared under its terms.

    Raises BudgetError where the period's budget (`limit`, millionths of epsilon) does not suffice.
    """
    return _once(database, tenant, question, limit, dataset, now, lambda: release(question, trips, data, measure, rng))


def publish_kpis(
    database: Database, tenant: str, question: Question, limit: int, requests: Requests, *,
    dataset: str, measure: Measure, rng: np.random.Generator, now: int,
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """The same for what became of requests."""
    return _once(
        database, tenant, question, limit, dataset, now, lambda: release_kpis(question, requests, measure, rng)
    )


def _once(
    database: Database, tenant: str, question: Question, limit: int, dataset: str, now: int,
    make: Callable[[], dict[str, Any]],
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """Charge, make, publish: each a transaction of its own. Raises BudgetError."""
    name = question.release
    with database.writing.begin() as connection:
        known = ledger.published(connection, tenant, name)
        if known is not None:
            return known, False
        ledger.charge(connection, tenant, question.area, question.period, name, question.micro_epsilon, limit, now)
    made = make()
    with database.writing.begin() as connection:
        kept = ledger.keep(connection, tenant, question.area, question.period, name, made, now)
        if kept is made:
            data_plane.add_records(connection, tenant, dataset, list(_records(made, question, now)))
            if "measured" in made:
                data_plane.add_records(connection, tenant, f"{dataset}{PARTS}", [_for_sums(made, question, now)])
    return kept, kept is made


def _records(made: dict[str, Any], question: Question, now: int) -> Iterable[dict[str, Any]]:
    """Each figure as a record, with what it was made by, for the terms to be judged on."""
    about = {"group": made["threshold"], "micro_epsilon": question.micro_epsilon}
    shared = {name: made[name] for name in ("release", "period", "unit", "epsilon", "interval", "left_out")}
    for figure in [*made.get("kpis", ()), *made.get("outcomes", ()), *made["figures"]]:
        yield {"time": now, "area": (question.area,), "body": {**shared, **figure, "release": about}}


def _for_sums(made: dict[str, Any], question: Question, now: int) -> dict[str, Any]:
    """What was measured, part by part, small ones too: a group of one, whatever terms ask for."""
    about = {"group": 1, "micro_epsilon": question.micro_epsilon}
    body = {"period": question.period, "measured": made["measured"], "release": about}
    return {"time": now, "area": (question.area,), "body": body}


def measured_of(connection: Connection, tenant: str, question: Question) -> list[dict[str, Any]]:
    """What regions measured for sums in a question's period, ours and neighbours', each region once: the first that
    came, and our own whatever a neighbour says of our area."""
    own = (releases.c.tenant == tenant, releases.c.period == question.period)
    found = [
        json.loads(body).get("measured") for body in connection.execute(select(releases.c.body).where(*own)).scalars()
    ]
    theirs = (received.c.tenant == tenant, received.c.dataset.like(f"%{PARTS}"))
    for body in connection.execute(select(received.c.body).where(*theirs).order_by(received.c.time)).scalars():
        record = json.loads(body)
        found.append(record.get("measured") if record.get("period") == question.period else None)
    regions: dict[str, dict[str, Any]] = {}
    for one in found:
        if isinstance(one, dict):
            regions.setdefault(str(one.get("area")), one)
    return list(regions.values())


def requests_of_node(connection: Connection, tenant: str, region: str, first_day: str, timezone: str) -> Requests:
    """Requests of a period, of riders with a profile: what was booked, and what was asked for and not."""
    first = date.fromisoformat(first_day)
    days = [str(first + timedelta(days=n)) for n in range(PERIOD_DAYS)]
    zone, riders, rows = ZoneInfo(timezone), dict[str, int](), []
    where = (quotes.c.tenant == tenant, quotes.c.region == region, quotes.c.day.in_(days), quotes.c.rider.is_not(None))
    booked = {
        row.quote: row
        for row in connection.execute(
            select(bookings.c.quote, bookings.c.state, bookings.c.pickup, bookings.c.shared).where(
                bookings.c.tenant == tenant, bookings.c.region == region, bookings.c.day.in_(days)
            )
        )
    }
    asked = select(quotes.c.quote, quotes.c.rider, quotes.c.body).where(*where).order_by(quotes.c.quote)
    for row in connection.execute(asked):
        body = json.loads(row.body)
        if body.get("is_leg") or body.get("replaces") or body["request"] is None:
            continue
        booking, request = booked.get(row.quote), body["request"]
        outcome = _outcome(booking, bool(body["offers"]))
        if outcome is None:
            continue
        wished = request["earliest_pickup"] or request["latest_arrival"]
        local = datetime.fromtimestamp(wished / 1000, UTC).astimezone(zone)
        wait = 0
        if booking is not None and request["earliest_pickup"] is not None:
            wait = max(0, booking.pickup - wished) // 60_000
        rider, shared = riders.setdefault(row.rider, len(riders)), booking is not None and booking.shared
        rows.append((rider, OUTCOMES.index(outcome), local.weekday() >= 5, local.hour, wait, shared))
    table = np.array(rows, np.int64).reshape(-1, 6)
    return Requests(table[:, 0], table[:, 1], table[:, 2] > 0, table[:, 3], table[:, 4], table[:, 5] > 0)


def _outcome(booking: Any, has_offers: bool) -> str | None:
    """What became of a request, None where that is open still."""
    if booking is None:
        return "not_taken" if has_offers else "refused"
    states = {"done": "served", "cancelled": "cancelled", "no_show": "no_show", "dropped": "dropped"}
    return states.get(booking.state)


def trips_of_bookings(connection: Connection, tenant: str, region: str, first_day: str) -> Trips:
    """Rides of a period that were completed, of riders with a profile."""
    first = date.fromisoformat(first_day)
    days = [str(first + timedelta(days=n)) for n in range(PERIOD_DAYS)]
    where = (bookings.c.tenant == tenant, bookings.c.region == region, bookings.c.day.in_(days),
             bookings.c.state == BookingState.DONE, bookings.c.rider.is_not(None))  # fmt: skip
    query = select(bookings.c.rider, bookings.c.body).where(*where).order_by(bookings.c.booking)
    rows = connection.execute(query).all()
    riders: dict[str, int] = {}
    numbers, places = [], []
    for row in rows:
        a, b = json.loads(row.body)["places"]
        numbers.append(riders.setdefault(row.rider, len(riders)))
        places.append((a["lon"], a["lat"], b["lon"], b["lat"]))
    return _trips(numbers, places)


def trips_of_file(path: Path) -> Trips:
    """Trips of a CSV file with the columns TRIP_COLUMNS. Raises InputError naming file, row and column."""
    riders: dict[str, int] = {}
    numbers, places = [], []
    for number, row in _rows(path, TRIP_COLUMNS):
        values = [_number(path, number, row, column) for column in TRIP_COLUMNS[1:]]
        numbers.append(riders.setdefault(row["rider"], len(riders)))
        places.append((values[0], values[1], values[2], values[3]))
    return _trips(numbers, places)


def public_of_file(path: Path) -> PublicData:
    """Mesh cells with people and attraction, of a CSV file. Raises InputError."""
    rows = _rows(path, PUBLIC_COLUMNS)
    found = [[_number(path, number, row, column) for column in PUBLIC_COLUMNS] for number, row in rows]
    array = np.array(found, np.float64).reshape(-1, 3)
    return PublicData(array[:, 0].astype(np.int64), array[:, 1], array[:, 2])


def public_of_region(region: Region) -> PublicData:
    """The census's people and the known places of a region, by mesh of 500 m. Raises InputError."""
    if region.population is None:
        raise InputError("has no population", where=f"region {region.name}", remedy="name a file with --public")
    people, places = region.population, region.places
    lived = codes_of(people.lon, people.lat, MESH_DIGITS)
    drawn = codes_of(np.array([p.lon for p in places]), np.array([p.lat for p in places]), MESH_DIGITS)
    cells = np.unique(np.concatenate([lived, drawn]))
    counts = np.bincount(np.searchsorted(cells, lived), weights=people.people, minlength=len(cells)).astype(np.float64)
    attraction = np.bincount(np.searchsorted(cells, drawn), minlength=len(cells)).astype(np.float64)
    return PublicData(cells, counts, attraction)


def _trips(numbers: list[int], places: list[tuple[float, float, float, float]]) -> Trips:
    array = np.array(places, np.float64).reshape(-1, 4)
    return Trips(np.array(numbers, np.int64), array[:, :2], array[:, 2:])


def _rows(path: Path, columns: tuple[str, ...]) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"has no column {missing[0]}", where=path, remedy=f"columns: {', '.join(columns)}")
            yield from enumerate(reader, start=2)
    except FileNotFoundError:
        raise MissingDataError("is not there", where=path, remedy="name a file that exists") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no CSV in UTF-8: {error}", where=path, remedy="save it as CSV, UTF-8") from None


def _number(path: Path, number: int, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{column} is {row[column]!r}", where=f"{path}, row {number}", remedy="write a number")
    return value


def period_now(now_ms: int) -> str:
    """The first day of the last period that is over."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return str(FIRST_PERIOD + timedelta(days=((today - FIRST_PERIOD).days // PERIOD_DAYS - 1) * PERIOD_DAYS))
