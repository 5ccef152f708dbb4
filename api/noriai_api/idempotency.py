"""Doing things once: the answer to an Idempotency-Key is kept in the transaction of what it answers.

The same key with the same request is answered as before, with another request it is refused (422), and while the
first is still on its way it is refused too (409).
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header
from sqlalchemy import Connection, bindparam, insert, select

from noriai_api import digests
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.store.tables import idempotency

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own for this request; repeat it when you repeat the request.",
    ),
]  # fmt: skip

_KEEP = insert(idempotency)
_KEPT = select(idempotency).where(*(idempotency.c[name] == bindparam(name) for name in ("tenant", "client", "key")))

Keep = Callable[[Connection, int, Any], None]
"""Called in the transaction of the change with status and body of the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, now or to an earlier copy of the request."""

    status: int
    body: Any
    replayed: bool = False


async def once(
    caller: Caller, key: str | None, request: Any, do: Callable[[Keep], Awaitable[Answer]], *, required: bool = True
) -> Answer:
    """Do something once per key. `request`: what is asked for, as JSON values; `do` must call what it is given within
    its transaction.

    Raises Problem: key_missing, key_in_flight, key_reused.
    """
    if key is None:
        if required:
            raise Problem("key_missing")
        return await do(lambda connection, status, body: None)
    node, whole = caller.node, (caller.tenant, caller.subject.client, key)
    fingerprint = digests.digest(request, str)
    if whole in node.in_flight:
        raise Problem("key_in_flight", headers={"Retry-After": "1"})
    node.in_flight.add(whole)
    try:
        kept = await caller.read(lambda connection: _kept(connection, whole))
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise Problem("key_reused")
            return Answer(kept.status, json.loads(kept.result), replayed=True)
        now = node.clock.now()

        def keep(connection: Connection, status: int, body: Any) -> None:
            connection.execute(
                _KEEP,
                {"tenant": whole[0], "client": whole[1], "key": key, "fingerprint": fingerprint, "status": status,
                 "result": json.dumps(body, ensure_ascii=False), "created": now},
            )  # fmt: skip

        return await do(keep)
    finally:
        node.in_flight.discard(whole)


def _kept(connection: Connection, whole: tuple[str, str, str]) -> Any:
    return connection.execute(_KEPT, dict(zip(("tenant", "client", "key"), whole, strict=True))).first()
