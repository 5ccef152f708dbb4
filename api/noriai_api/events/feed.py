"""Events as they stand in the outbox: written with the change they tell of, numbered in the order of commits (one
writer at a time, also among processes), so that whoever remembers a number misses nothing."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from noriai_api.access.decision import Grant
from noriai_api.store.tables import bookings, outbox
from noriai_api.tenancy import narrowed

PAGE = 500


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `body` is JSON."""

    number: int
    id: str
    tenant: str
    topic: str
    body: str


def newest(connection: Connection) -> int:
    """Number of the last event; 0 where there is none."""
    return int(connection.execute(select(func.max(outbox.c.number))).scalar() or 0)


def after(connection: Connection, number: int) -> list[Event]:
    """The next events of all tenants, a page."""
    return _page(connection, _query().where(outbox.c.number > number))


def within(connection: Connection, grant: Grant, number: int) -> list[Event]:
    """The next events of bookings that a grant reaches, a page."""
    return _page(connection, narrowed(_query().where(outbox.c.number > number), bookings, grant))


def _query() -> Select[Any]:
    same = (bookings.c.tenant == outbox.c.tenant) & (bookings.c.quote == outbox.c.subject)
    return select(outbox, bookings.c.booking, bookings.c.region).join(bookings, same).order_by(outbox.c.number)


def _page(connection: Connection, query: Select[Any]) -> list[Event]:
    return [_event(row) for row in connection.execute(query.limit(PAGE))]


def _event(row: Row[Any]) -> Event:
    said = {"id": row.id, "topic": row.topic, "booking": row.booking, "region": row.region, **json.loads(row.body)}
    body = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Event(row.number, row.id, row.tenant, row.topic, body)
