"""Events on a NATS server (JetStream), in order: subject `noriai.<tenant>.<topic>`, body as in the stream over HTTP.

How far we are is kept in the store and moves only once the server has confirmed; an event sent twice has the same
`Nats-Msg-Id`, by which the server drops the second. While the server is away events wait in the outbox.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection, insert, select, update

from noriai_api.events import feed
from noriai_api.store.tables import relays
from noriai_engine.model.errors import InputError

if TYPE_CHECKING:
    from noriai_api.node import Node

RELAY = "nats"
SUBJECTS = "noriai.>"
REMEMBERED_S = 3600
"""How long the server drops an event that it has already."""
CONNECT_S = 5.0
AGAIN_S = 2.0

log = structlog.get_logger("noriai.events")


def client() -> Any:
    """The library. Raises InputError where it is not installed."""
    try:
        import nats
    except ImportError:
        raise InputError("needs the NATS client", where="nats", remedy="pip install 'noriai[nats]'") from None
    return nats


async def relay(node: "Node") -> None:
    """Pass events on for as long as it is this process's turn."""
    while True:
        try:
            await _while_connected(node)
        except Exception as error:  # the server or the store is away: nothing is lost meanwhile
            log.warning("events wait for NATS", error=type(error).__name__)
        await asyncio.sleep(AGAIN_S)


async def _while_connected(node: "Node") -> None:
    nats = client()
    server = await nats.connect(
        node.settings.nats, connect_timeout=CONNECT_S, allow_reconnect=False, error_cb=_note, name="noriai"
    )
    try:
        stream = server.jetstream(timeout=CONNECT_S)
        try:
            await stream.stream_info(node.settings.nats_stream)
        except nats.js.errors.NotFoundError:
            await stream.add_stream(name=node.settings.nats_stream, subjects=[SUBJECTS], duplicate_window=REMEMBERED_S)
        number = await node.read(reached)
        while True:
            page = await node.read(partial(feed.after, number=number))
            for event in page:
                subject = f"noriai.{event.tenant}.{event.topic}"
                await stream.publish(subject, event.body.encode(), headers={"Nats-Msg-Id": event.id})
                number = event.number
            if page:
                await node.write(partial(_move, number=number))
            if len(page) < feed.PAGE:
                await node.news.heard(1.0)
    finally:
        await server.close()


async def _note(error: Exception) -> None:
    log.debug("NATS", error=str(error))


def reached(connection: Connection) -> int:
    """Number of the last event that the server has confirmed."""
    return int(connection.execute(select(relays.c.number).where(relays.c.relay == RELAY)).scalar() or 0)


def _move(connection: Connection, number: int) -> None:
    """Never back: another process may have got further meanwhile."""
    mine = relays.c.relay == RELAY
    if connection.execute(select(relays.c.number).where(mine)).first() is None:
        connection.execute(insert(relays).values(relay=RELAY, number=number))
    connection.execute(update(relays).where(mine, relays.c.number < number).values(number=number))
