"""Quotes and bookings in the store. Every query is narrowed by the grant it is called with."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select

from noriai_api.access.decision import Grant
from noriai_api.store.tables import bookings, plans, quotes
from noriai_api.tenancy import narrowed

PAGE = 200
_ADD_QUOTE, _ADD_BOOKING = insert(quotes), insert(bookings)
"""Built once: putting a statement together takes longer than running it."""


def add_quote(connection: Connection, grant: Grant, row: dict[str, Any]) -> None:
    connection.execute(_ADD_QUOTE, {"tenant": grant.tenant, **row})


def quote(connection: Connection, grant: Grant, name: str) -> dict[str, Any] | None:
    """A quote that the client itself asked for, or whose rider it is."""
    query = select(quotes).where(quotes.c.tenant == grant.tenant, quotes.c.quote == name)
    if (rider := grant.narrows("rider")) is not None:
        query = query.where(quotes.c.rider == rider)
    else:
        query = query.where(quotes.c.client == grant.client)
    row = connection.execute(query).mappings().first()
    return None if row is None else {**row, "body": json.loads(row["body"])}


def add_booking(connection: Connection, grant: Grant, row: dict[str, Any]) -> None:
    connection.execute(_ADD_BOOKING, {"tenant": grant.tenant, **row})


def booking(connection: Connection, grant: Grant, name: str) -> dict[str, Any] | None:
    """A booking with the times its vehicle's plan has for it now."""
    found = page(connection, grant, only=name)
    return found[0] if found else None


def page(
    connection: Connection, grant: Grant, *, only: str | None = None, region: str | None = None,
    day: str | None = None, rider: str | None = None, after: tuple[int, str] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Bookings by pickup time, at most PAGE of them."""
    same_plan = (
        (plans.c.tenant == bookings.c.tenant) & (plans.c.region == bookings.c.region)
        & (plans.c.day == bookings.c.day) & (plans.c.vehicle == bookings.c.vehicle)
    )  # fmt: skip
    both = bookings.outerjoin(plans, same_plan)
    query = narrowed(select(bookings, plans.c.body.label("plan")).select_from(both), bookings, grant)
    for column, value in (("booking", only), ("region", region), ("day", day), ("rider", rider)):
        if value is not None:
            query = query.where(bookings.c[column] == value)
    if after is not None:
        later = (bookings.c.pickup == after[0]) & (bookings.c.booking > after[1])
        query = query.where((bookings.c.pickup > after[0]) | later)
    rows = connection.execute(query.order_by(bookings.c.pickup, bookings.c.booking).limit(PAGE)).mappings()
    return [
        {**row, "body": json.loads(row["body"]), "promise": json.loads(row["promise"]),
         "planned": _planned(row["plan"], row["quote"])}
        for row in rows
    ]  # fmt: skip


def _planned(plan: str | None, request: str) -> dict[str, int]:
    """Begins of the request's activities that are still to come, by kind (UTC ms)."""
    if plan is None:
        return {}
    return {a["kind"]: a["begin"] for a in json.loads(plan)["activities"] if a["quote"] == request}
