"""What a node does by itself beside its regions: keep positions (each process), deliver messages and forget what is
due (the process that has the chores)."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import httpx
import structlog
from sqlalchemy import Connection, delete

from noriai_api.events.relay import reached, relay
from noriai_api.holding.leases import forget_signals
from noriai_api.identity import store as identity
from noriai_api.parties.repository import erase_due
from noriai_api.store import StoreError
from noriai_api.store.tables import STANDING_REPORTS, deliveries, idempotency, outbox, quotes, reported, telemetry
from noriai_api.vehicles.positions import write as write_positions
from noriai_api.webhooks import worker
from noriai_engine.model.units import DAY_MS, HOUR_MS

log = structlog.get_logger("noriai")

if TYPE_CHECKING:
    from noriai_api.node import Node


async def keep_positions(node: "Node") -> None:
    """Positions go to the store in batches; those that could not be written go with the next."""
    rows = node.positions.waiting_rows()
    if not rows:
        return
    try:
        await node.write(partial(write_positions, rows=rows, is_sqlite=node.database.is_sqlite))
    except StoreError:
        node.positions.put_back(rows)


async def deliver_messages(node: "Node", http: httpx.AsyncClient) -> int:
    """Hand new messages out and try those that are due; how many were tried."""

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        try:
            return (await http.post(url, content=body, headers=headers)).status_code
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error

    while await node.read(worker.has_new):
        await node.write(worker.hand_out)
    rows = await node.read(lambda connection: worker.due(connection, node.clock.now()))
    if not rows:
        return 0
    allowed = partial(worker.may_be_called, private=node.settings.webhooks_inside)
    tried = await worker.deliver(rows, post, node.clock.now, allowed)
    now = node.clock.now()

    def write(connection: Connection) -> None:
        for row, taken in tried:
            worker.note(connection, row, now, taken=taken)

    await node.write(write)
    return len(tried)


REQUESTS_KEPT_DAYS = 62
"""What became of requests is published over 28 days at a time: the last such period is whole for as long as the one
after lasts, and a few days more."""


def forget(
    connection: Connection, now: int, idempotency_hours: int, telemetry_days: int, *, relayed: bool
) -> dict[str, int]:
    """Erase what was kept for a time that is over; how many rows of what. `relayed`: events wait for an event bus."""
    month_ago = now - 30 * DAY_MS
    old = [outbox.c.done.is_(True), outbox.c.created < month_ago]
    if relayed:
        old.append(outbox.c.number <= reached(connection))
    identity.forget(connection, now)
    forget_signals(connection, now - HOUR_MS)
    return {
        "personal": erase_due(connection, now),
        "idempotency": connection.execute(
            delete(idempotency).where(idempotency.c.created < now - idempotency_hours * HOUR_MS)
        ).rowcount,
        "telemetry": connection.execute(
            delete(telemetry).where(telemetry.c.at < now - telemetry_days * DAY_MS)
        ).rowcount,
        "reported": connection.execute(
            delete(reported).where(
                reported.c.kind.not_in(STANDING_REPORTS), reported.c.time < now - telemetry_days * DAY_MS
            )
        ).rowcount,
        "quotes": connection.execute(
            delete(quotes).where(quotes.c.expires < now - REQUESTS_KEPT_DAYS * DAY_MS)
        ).rowcount,
        "messages": connection.execute(
            delete(outbox).where(*old)
        ).rowcount,
        "deliveries": connection.execute(
            delete(deliveries).where(deliveries.c.state != "waiting", deliveries.c.next_try < month_ago)
        ).rowcount,
    }  # fmt: skip


async def look_after_positions(node: "Node") -> None:
    """For as long as the process runs."""
    while True:
        await asyncio.sleep(node.settings.tick_ms / 1000)
        await keep_positions(node)


async def do_chores(node: "Node") -> None:
    """For as long as no other process does them."""
    async with asyncio.TaskGroup() as chores:
        chores.create_task(_deliver_and_forget(node))
        if node.settings.nats:
            chores.create_task(relay(node))


async def _deliver_and_forget(node: "Node") -> None:
    next_forgetting = 0
    async with httpx.AsyncClient(timeout=10, follow_redirects=False) as http:
        while True:
            await asyncio.sleep(node.settings.tick_ms / 1000)
            try:
                await deliver_messages(node, http)
                if node.clock.now() >= next_forgetting:
                    next_forgetting = node.clock.now() + HOUR_MS
                    hours, days = node.settings.idempotency_hours, node.settings.telemetry_days
                    await node.write(partial(forget, now=node.clock.now(), idempotency_hours=hours,
                                             telemetry_days=days, relayed=bool(node.settings.nats)))  # fmt: skip
            except Exception as error:  # the store is down: the next look tries again
                log.warning("chores are done later", error=type(error).__name__)
