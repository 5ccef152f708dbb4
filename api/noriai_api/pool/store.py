"""Offers and loans in the store."""

import json
from typing import Any

from sqlalchemy import Connection, select, update

from noriai_api.store.exchange_tables import pool_loans, pool_offers

Row = dict[str, Any]

OPEN = ("asking", "lent", "returning")


def offer(connection: Connection, tenant: str, name: str) -> Row | None:
    where = (pool_offers.c.tenant == tenant, pool_offers.c.offer == name)
    row = connection.execute(select(pool_offers).where(*where)).mappings().first()
    return None if row is None else _row(row)


def offers(connection: Connection, tenant: str) -> list[Row]:
    query = select(pool_offers).where(pool_offers.c.tenant == tenant).order_by(pool_offers.c.offer)
    return [_row(row) for row in connection.execute(query).mappings()]


def loan(connection: Connection, tenant: str, name: str) -> Row | None:
    where = (pool_loans.c.tenant == tenant, pool_loans.c.loan == name)
    row = connection.execute(select(pool_loans).where(*where)).mappings().first()
    return None if row is None else _row(row)


def loans(connection: Connection, tenant: str) -> list[Row]:
    query = select(pool_loans).where(pool_loans.c.tenant == tenant).order_by(pool_loans.c.begin, pool_loans.c.loan)
    return [_row(row) for row in connection.execute(query).mappings()]


def loans_of(connection: Connection, tenant: str, subject: str) -> list[Row]:
    """Loans of one of our drivers or vehicles, to whomever."""
    where = (pool_loans.c.tenant == tenant, pool_loans.c.role == "lent", pool_loans.c.subject == subject)
    return [_row(row) for row in connection.execute(select(pool_loans).where(*where)).mappings()]


def due(connection: Connection, tenant: str, now: int) -> list[Row]:
    """Loans that the lender has not answered about."""
    where = (pool_loans.c.tenant == tenant, pool_loans.c.role == "borrowed",
             pool_loans.c.state.in_(("asking", "returning")), pool_loans.c.next_try <= now)  # fmt: skip
    return [_row(row) for row in connection.execute(select(pool_loans).where(*where).limit(100)).mappings()]


def move(connection: Connection, row: Row, before: str, state: str, **more: Any) -> bool:
    """Into another state, if it is still in the one it was; False where it is not."""
    if "body" in more:
        more["body"] = json.dumps(more["body"])
    where = (pool_loans.c.tenant == row["tenant"], pool_loans.c.loan == row["loan"], pool_loans.c.state == before)
    return connection.execute(update(pool_loans).where(*where).values(state=state, **more)).rowcount > 0


def _row(row: Any) -> Row:
    return dict(row) | {"body": json.loads(row["body"])}
