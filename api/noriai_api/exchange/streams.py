"""Pages of data that leave one after another, for as long as they may."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from sqlalchemy import Connection

from noriai_api.exchange import data_plane
from noriai_api.exchange.data_plane import Page, RefusedError
from noriai_api.exchange.processes import IllegalMessageError
from noriai_api.exchange.service import Exchange

LOOK_S = 0.25
"""A stream looks at the clock this often; news and revocations wake it at once."""
ENDS = {
    "terms:dateTime": "expired", "terms:elapsedTime": "expired", "source:revoked": "source", "source:terms": "source"
}  # fmt: skip
"""Refusals after which nothing will ever leave again, and what is told."""
QUIET_LOOKS = 60
"""After so many looks without news it says that it is still there."""


async def pages(
    exchange: Exchange, peer: str, transfer: str, purpose: str | None, epoch: int, cursor: int, *,
    new_use: bool = False, once: bool = False,
) -> AsyncGenerator[Page | str | None, None]:  # fmt: skip
    """Pages as records come; None now and then where none comes; at the end the code of why it ended. Whether data may
    still leave is asked before each page, when news wake us, and when nothing happens.

    `new_use`: the first page is a use of the agreement. `once`: only what there is by now.
    """

    def look(connection: Connection) -> bool:
        grant = data_plane.granted(connection, exchange.here(), peer, transfer, purpose, epoch, new_use=new_use)
        dataset = str(grant.transfer.body["dataset"])
        return data_plane.last_sequence(connection, exchange.tenant, dataset) > cursor

    def take(connection: Connection) -> Page | None:
        here = exchange.here()
        grant = data_plane.granted(connection, here, peer, transfer, purpose, epoch, new_use=new_use)
        return data_plane.page(connection, here, grant, cursor, new_use=new_use, even_empty=False)

    news, quiet = asyncio.Event(), 0
    exchange.listeners.append(news.set)
    try:
        while not exchange.is_ending:
            news.clear()
            page = await exchange.write(take) if await exchange.read(look) else None
            if page is not None:
                cursor, quiet, new_use = page.cursor, 0, False
                yield page
                continue
            if once:
                return
            quiet += 1
            if quiet % QUIET_LOOKS == 0:
                yield None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):  # wait_for may lose a cancellation in Python 3.11
                    await news.wait()
    except RefusedError as refused:
        if refused.code in ENDS:  # as after a revocation, the transfer itself is over
            with contextlib.suppress(IllegalMessageError):
                await exchange.move(transfer, "terminate", reason=ENDS[refused.code])
        yield refused.code
    finally:
        exchange.listeners.remove(news.set)
