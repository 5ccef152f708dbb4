"""The end of a wait: the row of the waiting list and the message that tells of it, in one transaction."""

import json
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, insert, select, update

from noriai_api.schemas import words
from noriai_api.store.tables import outbox, waiting

TOPICS = "wait."
"""What messages about waits begin with: their subject is the quote that waits, not a booking."""

End = Literal["offered", "booked", "over"]


def end_waits(
    connection: Connection, tenant: str, which: ColumnElement[bool], end: End, now: int, *,
    fresh_quote: str | None = None, booking: str | None = None, reason: str | None = None,
) -> None:  # fmt: skip
    """Those of `which` that still wait do so no longer, and whoever let them wait is told: once, since a wait ends but
    once. `now`: UTC ms; `reason`: a key of the texts, where it was in vain."""
    still = (waiting.c.tenant == tenant, waiting.c.state == "waiting", which)
    found = connection.execute(select(waiting.c.quote, waiting.c.fresh_quote).where(*still)).all()
    values = {"state": end, "fresh_quote": fresh_quote, "booking": booking, "reason": reason}
    new = {name: value for name, value in values.items() if value is not None}
    for row in found:
        connection.execute(update(waiting).where(waiting.c.tenant == tenant, waiting.c.quote == row.quote).values(new))
        body: dict[str, Any] = {
            "event": end, "waited": row.quote, "quote": fresh_quote or row.fresh_quote, "time": now, "reason": reason,
            "text": words(reason if end == "over" and reason else f"wait.{end}"),
        } | ({} if booking is None else {"booking": booking})  # fmt: skip
        connection.execute(insert(outbox).values(
            id=f"{TOPICS}{row.quote}", tenant=tenant, topic=f"{TOPICS}{end}", subject=row.quote, created=now,
            body=json.dumps(body, sort_keys=True, ensure_ascii=False), done=False,
        ))  # fmt: skip
