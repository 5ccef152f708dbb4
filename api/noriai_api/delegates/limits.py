"""What a delegate has used of its limits, asked and booked under a lock: two bookings at once count as two."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.store.tables import bookings


@dataclass(frozen=True, slots=True)
class Used:
    """Rides of a day, and what riders pay for those of its month (minor units); rides given up do not count."""

    rides: int
    amount: int


def used_by(connection: Connection, tenant: str, client: str, day: str, but: str | None = None) -> Used:
    """What a client has booked. `but`: a booking that is about to be replaced."""
    mine = (bookings.c.tenant == tenant, bookings.c.client == client, bookings.c.day.startswith(day[:7]))
    query = select(bookings.c.booking, bookings.c.day, bookings.c.body).where(*mine, bookings.c.state != "cancelled")
    rows = [row for row in connection.execute(query) if row.booking != but]
    return Used(sum(row.day == day for row in rows), sum(_pays(json.loads(row.body)) for row in rows))


def _pays(body: dict[str, Any]) -> int:
    alone = body["fares"][0]
    return 0 if alone is None else int(alone["rider_pays"])


@asynccontextmanager
async def within_limits(caller: Caller, *quotes: dict[str, Any], but: str | None = None) -> AsyncIterator[None]:
    """While rides are booked from these quotes' rows. Raises Problem (limit_reached)."""
    limits = caller.subject.limits
    if limits is None:
        yield
        return
    whole = (caller.tenant, caller.subject.client)
    async with caller.node.taking_turns.setdefault(whole, asyncio.Lock()):
        for day in sorted({quote["day"] for quote in quotes}):
            used = await caller.read(lambda c, day=day: used_by(c, *whole, day, but))  # type: ignore[misc]
            rides = used.rides + sum(quote["day"] == day for quote in quotes)
            amount = used.amount + sum(_pays(quote["body"]) for quote in quotes if quote["day"][:7] == day[:7])
            if limits.rides_a_day is not None and rides > limits.rides_a_day:
                raise Problem("limit_reached", f"{limits.rides_a_day} rides a day are allowed, {used.rides} are booked")
            if limits.most_a_month is not None and amount > limits.most_a_month:
                raise Problem("limit_reached", f"rides of a month may cost {limits.most_a_month}, not {amount}")
        yield
