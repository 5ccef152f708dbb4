"""Events as they stand in the outbox: written with the change they tell of, numbered in the order of commits (one
writer at a time, also among processes), so that whoever remembers a number misses nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, select

from noriai_api.access.decision import Grant
from noriai_api.events.waits import TOPICS
from noriai_api.store.tables import bookings, outbox, waiting
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
    return _page(connection, number, lambda query, table: query)


def within(connection: Connection, grant: Grant, number: int) -> list[Event]:
    """The next events of bookings and waits that a grant reaches, a page."""
    return _page(connection, number, lambda query, table: narrowed(query, table, grant))


def _page(connection: Connection, number: int, seen: Callable[[Select[Any], Table], Select[Any]]) -> list[Event]:
    """`seen`: the rows of a query over a table that may be read."""
    found = list[Event]()
    for table in (bookings, waiting):
        about = outbox.c.topic.startswith(TOPICS)
        same = (table.c.tenant == outbox.c.tenant) & (table.c.quote == outbox.c.subject)
        query = select(outbox, table.c.booking, table.c.region).join(table, same)
        mine = query.where(outbox.c.number > number, about if table is waiting else ~about)
        rows = connection.execute(seen(mine, table).order_by(outbox.c.number).limit(PAGE))
        found += [_event(row) for row in rows]
    return sorted(found, key=lambda event: event.number)[:PAGE]


def _event(row: Row[Any]) -> Event:
    said = {"id": row.id, "topic": row.topic, "booking": row.booking, "region": row.region, **json.loads(row.body)}
    body = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Event(row.number, row.id, row.tenant, row.topic, body)
