"""Delivery. Messages stand in the outbox with the change they tell of; here they are handed to each webhook that wants
them, and delivered in order for each booking, again and again with longer pauses, until taken or given up."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from sqlalchemy import Connection, insert, select, update

from noriai_api.clocks import after_pause
from noriai_api.events.waits import TOPICS
from noriai_api.store.tables import bookings, deliveries, outbox, waiting, webhooks

BATCH = 500
FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 3_600_000
MOST_ATTEMPTS = 20
"""About 11 hours with doubling pauses."""


class Post(Protocol):
    """Sends a body and returns the status of the answer; raises OSError where nobody answers."""

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> Awaitable[int]: ...


def has_new(connection: Connection) -> bool:
    """True where messages were not handed out yet."""
    return connection.execute(select(outbox.c.number).where(outbox.c.done.is_(False)).limit(1)).first() is not None


def hand_out(connection: Connection) -> int:
    """Give new messages to the webhooks that want them; how many messages."""
    rows = connection.execute(
        select(outbox).where(outbox.c.done.is_(False)).order_by(outbox.c.number).limit(BATCH)
    ).mappings().all()  # fmt: skip
    if not rows:
        return 0
    hooks = connection.execute(select(webhooks).where(webhooks.c.paused.is_(False))).mappings().all()
    made = []
    for row in rows if hooks else ():
        of = waiting if row["topic"].startswith(TOPICS) else bookings
        where = (of.c.tenant == row["tenant"], of.c.quote == row["subject"])
        about = connection.execute(select(of.c.booking, of.c.client).where(*where)).first()
        if about is None:
            continue
        for hook in hooks:
            wanted = hook["tenant"] == row["tenant"] and hook["client"] in (None, about.client)
            topics = json.loads(hook["topics"])
            if wanted and (not topics or row["topic"] in topics):
                body = {"id": row["id"], "topic": row["topic"], "booking": about.booking, **json.loads(row["body"])}
                made.append({
                    "tenant": row["tenant"], "webhook": hook["webhook"], "number": row["number"],
                    "subject": row["subject"], "body": json.dumps(body, sort_keys=True, ensure_ascii=False),
                    "attempts": 0, "next_try": 0, "state": "waiting",
                })  # fmt: skip
    if made:
        connection.execute(insert(deliveries), made)
    numbers = [row["number"] for row in rows]
    connection.execute(update(outbox).where(outbox.c.number.in_(numbers)).values(done=True))
    return len(rows)


def due(connection: Connection, now: int) -> list[dict[str, Any]]:
    """The first waiting delivery of each webhook and booking whose pause is over: later ones wait for it."""
    query = (
        select(deliveries, webhooks.c.url, webhooks.c.secret)
        .join(webhooks, (webhooks.c.tenant == deliveries.c.tenant) & (webhooks.c.webhook == deliveries.c.webhook))
        .where(deliveries.c.state == "waiting")
        .order_by(deliveries.c.number)
        .limit(BATCH)
    )
    first: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in connection.execute(query).mappings():
        first.setdefault((row["tenant"], row["webhook"], row["subject"]), dict(row))
    return [row for row in first.values() if row["next_try"] <= now]


def note(connection: Connection, row: dict[str, Any], now: int, *, taken: bool) -> None:
    """What came of an attempt."""
    attempts = row["attempts"] + 1
    state = "delivered" if taken else "given_up" if attempts >= MOST_ATTEMPTS else "waiting"
    again = after_pause(now, attempts, FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    connection.execute(
        update(deliveries)
        .where(deliveries.c.tenant == row["tenant"], deliveries.c.webhook == row["webhook"],
               deliveries.c.number == row["number"])
        .values(attempts=attempts, state=state, next_try=again)
    )  # fmt: skip


def signature(secret: str, time_s: int, body: bytes) -> str:
    """`t=<seconds>,v1=<HMAC-SHA256 of "seconds.body">`: receivers compute the same, and refuse what is old."""
    digest = hmac.new(secret.encode(), f"{time_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={time_s},v1={digest}"


def may_be_called(url: str, *, private: bool) -> str | None:
    """Why an address may not be called, None where it may: nothing inside our own network unless settings allow."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return "is no http address"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "is no http address"
    if private:
        return None
    if parts.scheme != "https":
        return "is not https"
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return "has no address"
    inside = [a[4][0] for a in found if not ipaddress.ip_address(a[4][0]).is_global]
    return "is inside a private network" if inside else None


async def deliver(
    rows: list[dict[str, Any]], post: Post, now: Callable[[], int], allowed: Callable[[str], str | None]
) -> list[tuple[dict[str, Any], bool]]:
    """Try each once, side by side; (row, taken)."""

    async def one(row: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        if allowed(row["url"]) is not None:
            return row, False
        body, time_s = row["body"].encode(), now() // 1000
        headers = {
            "Content-Type": "application/json", "Noriai-Signature": signature(row["secret"], time_s, body),
            "Noriai-Delivery": f"{row['webhook']}-{row['number']}",
        }  # fmt: skip
        try:
            status = await post(row["url"], body, headers)
        except OSError:
            return row, False
        return row, 200 <= status < 300

    return list(await asyncio.gather(*(one(row) for row in rows)))
