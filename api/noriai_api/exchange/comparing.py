"""Evidence kept alive: once a day each node gives its neighbours the signed head of its log, and compares what they say
they served it with what it wrote down. A difference is an incident, never merged in silence."""

import asyncio
import json
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import structlog
from sqlalchemy import Connection, select

from noriai_api.exchange import agreements, anchors, processes, usage
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.keys import ProofError
from noriai_api.exchange.processes import Here
from noriai_api.exchange.service import Exchange
from noriai_api.store.exchange_tables import cursors

DAY_MS = 86_400_000
LOOK_S = 60.0

log = structlog.get_logger("noriai.exchange")


async def keep_evidence(exchange: Exchange) -> None:
    """Once a day, for each neighbour; one that does not answer is tried again at the next look."""
    while True:
        try:
            for peer in await exchange.read(lambda c: due(c, exchange.here())):
                if await visit(exchange, peer):
                    await exchange.write(partial(_done, exchange=exchange, peer=peer))
        except Exception as error:  # the store is down: the next look tries again
            log.warning("logs are compared later", error=type(error).__name__)
        await asyncio.sleep(LOOK_S)


def due(connection: Connection, here: Here) -> list[str]:
    """Neighbours with an agreement that were not visited today."""
    rows = connection.execute(select(cursors).where(cursors.c.tenant == here.tenant))
    visited = {row.name: row.value for row in rows}
    peers = {agreement.peer for agreement in agreements.all_of(connection, here.tenant)}
    return sorted(peer for peer in peers if visited.get(f"evidence:{peer}", -1) < here.now // DAY_MS)


async def visit(exchange: Exchange, peer: str) -> bool:
    """Give a neighbour our head, and compare logs under every agreement; False where they did not answer."""
    now_s = exchange.clock.now() // 1000
    key = exchange.keyring.signing(now_s)
    head = await exchange.write(lambda c: anchors.head_statement(c, exchange.here(), exchange.upsert, key, now_s))
    try:
        known = await exchange.known(peer)
        answer = await exchange.send(peer, "POST", f"{known.address}/anchors", head.encode(), None)
        if not answer.is_success:
            return False
        for agreement in await exchange.agreements():
            if agreement.peer == peer:
                await compare(exchange, agreement)
    except (httpx.HTTPError, ProofError):
        return False
    return True


async def compare(exchange: Exchange, agreement: Agreement) -> list[dict[str, Any]]:
    """What does not fit between the two logs of an agreement; each difference is noted as an incident once.

    Raises httpx.HTTPError, ProofError where the other side does not answer.
    """
    known = await exchange.known(agreement.peer)
    url = f"{known.address}/usage/{quote(agreement.agreement, safe=':')}"
    answer = await exchange.send(agreement.peer, "GET", url, b"", None)
    if answer.status_code != 200:
        raise httpx.HTTPError(f"answers {answer.status_code}")
    try:
        theirs = list(answer.json()["entries"])
        ours = await exchange.read(lambda c: usage.entries(c, exchange.tenant, agreement.agreement))
        found = differences(ours, theirs)
    except (ValueError, KeyError, TypeError) as error:
        raise httpx.HTTPError("answers no log") from error

    def note(connection: Connection) -> None:
        here = exchange.here()
        for difference in found:
            processes.note_incident(
                connection, here, "logs_differ", None, difference | {"agreement": agreement.agreement},
                peer=agreement.peer, once=True,
            )  # fmt: skip

    if found:
        await exchange.write(note)
    return found


def differences(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of data that one side has and the other has not, or has otherwise. What a provider wrote before bytes
    that were lost on the way is no difference: the receiver never had them."""
    found = []
    for served, mirrored, side in ((theirs, ours, "theirs"), (ours, theirs, "ours")):
        provided = {entry["sequence"]: entry["hash"] for entry in served if entry["side"] == "provider"}
        for entry in mirrored:
            said = json.loads(entry["body"]).get("theirs") if entry["side"] == "consumer" else None
            if said is not None and provided.get(said["sequence"]) != said["hash"]:
                found.append({"provider": side, "sequence": said["sequence"], "received": said["hash"],
                              "served": provided.get(said["sequence"])})  # fmt: skip
    return found


def _done(connection: Connection, exchange: Exchange, peer: str) -> None:
    row = {"tenant": exchange.tenant, "name": f"evidence:{peer}", "value": exchange.clock.now() // DAY_MS}
    connection.execute(exchange.upsert(cursors), [row])
