"""Work that transfers under way need: we fetch what we were granted, and push what others asked for."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
import structlog
from httpx_sse import EventSource
from sqlalchemy import Connection

from noriai_api.exchange import bus, catalogue, inbox, passing_on, processes, transfers
from noriai_api.exchange.data_plane import Page
from noriai_api.exchange.keys import USAGE, ProofError, opened
from noriai_api.exchange.processes import IllegalMessageError, Process
from noriai_api.exchange.service import Exchange
from noriai_api.exchange.streams import pages
from noriai_engine.model.errors import InputError

LOOK_S = 2.0
PASS_ON_S = 0.5
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger("noriai.exchange")


async def look_after_transfers(exchange: Exchange) -> None:
    """A task for each transfer that needs one, for as long as it is under way; after a restart they begin anew."""
    running: dict[str, asyncio.Task[None]] = {}
    news = asyncio.Event()
    exchange.listeners.append(news.set)
    try:
        while True:
            news.clear()
            with contextlib.suppress(Exception):  # the store is down: the next look tries again
                under_way = await exchange.read(
                    lambda c: processes.all_of(c, exchange.tenant, "transfer", states=("STARTED",))
                )
                for process in under_way:
                    if process.process not in running and _needs_work(process):
                        running[process.process] = asyncio.create_task(_until_done(exchange, process.process))
            running = {name: task for name, task in running.items() if not task.done()}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await news.wait()
    finally:
        exchange.listeners.remove(news.set)
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)


async def pass_on(exchange: Exchange) -> None:
    """What comes in and may go on, goes on."""
    while True:
        try:
            while await exchange.read(lambda c: any(passing_on.waiting(c, exchange.here(), 1))):
                await exchange.change(partial(passing_on.add_waiting, upsert=exchange.upsert))
        except Exception as error:  # the store is down: the next look tries again
            log.warning("data is passed on later", error=type(error).__name__)
        await asyncio.sleep(PASS_ON_S)


def _needs_work(process: Process) -> bool:
    if process.manual:
        return False
    if process.body["format"] == catalogue.BUS:
        return True  # the one publishes, the other reads
    pushed = process.body["format"] in transfers.PUSHED
    return process.role == ("provider" if pushed else "consumer")


async def _until_done(exchange: Exchange, pid: str) -> None:
    """Work on a transfer until it is no longer started; what fails is tried again after a pause."""
    pause = FIRST_PAUSE_S
    while True:
        process = await exchange.process(pid)
        if process.state != "STARTED":
            await _over(exchange, process)
            return
        try:
            before = process.body["cursor"]
            if await _WORK[process.body["format"]](exchange, process):
                return
            moved = (await exchange.process(pid)).body["cursor"] != before
            pause = FIRST_PAUSE_S if moved else pause
        except (httpx.HTTPError, InputError, ProofError, IllegalMessageError, OSError) as error:
            log.info("a transfer pauses", transfer=pid, error=type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_S, 2 * pause)


# --- fetching ---------------------------------------------------------------------------------------------------


async def _pull(exchange: Exchange, process: Process) -> bool:
    """All there is, page by page; then the transfer is complete."""
    more, cursor = True, int(process.body["cursor"])
    while more:
        url, headers = _source(process, f"?after={cursor}")
        async with exchange.stream(process.peer, "GET", url, headers) as answer:
            if answer.status_code != 200:
                return False
            statement = answer.headers.get("noriai-usage", "")
            digest = await _mirrored(exchange, process, statement)
            payload = await answer.aread()
        more = await _stored(exchange, process, payload, digest)
        cursor = (await exchange.process(process.process)).body["cursor"]
    await exchange.move(process.process, "complete")
    return True


async def _listen(exchange: Exchange, process: Process) -> bool:
    """Records as they come, until the stream ends."""
    url, headers = _source(process, f"/stream?after={process.body['cursor']}")
    async with exchange.stream(process.peer, "GET", url, headers) as answer:
        if answer.status_code != 200:
            return False
        digest: str | None = None
        async for event in EventSource(answer).aiter_sse():
            if event.event == "usage":
                digest = await _mirrored(exchange, process, event.data)
            elif event.event == "records" and digest is not None:
                await _stored(exchange, process, event.data.encode(), digest)
            elif event.event == "end":
                break
    return False


def _source(process: Process, after: str) -> tuple[str, dict[str, str]]:
    address = process.body["address"]
    token = transfers.token_of(address) or ""
    return address["endpoint"] + after, {"Authorization": f"DPoP {token}", "Noriai-Purpose": process.body["purpose"]}


async def _mirrored(exchange: Exchange, process: Process, statement: str) -> str:
    """Write the mirror entry; returns the digest that the data must have."""
    known = await exchange.known(process.peer)
    claims = opened(statement, USAGE, known.keys, exchange.clock.now() // 1000)
    await exchange.write(lambda c: inbox.mirror(c, exchange.here(), process.process, claims))
    return str(claims["digest"])


async def _stored(exchange: Exchange, process: Process, payload: bytes, digest: str) -> bool:
    """Keep a page; True where more is to be had."""
    return await exchange.write(lambda c: inbox.store(c, exchange.here(), process.process, payload, digest))


# --- pushing ----------------------------------------------------------------------------------------------------


async def _push(exchange: Exchange, process: Process) -> bool:
    """All there is by now; then the transfer is complete."""
    if not await _push_on(exchange, process, once=True):
        return False
    await exchange.move(process.process, "complete")
    return True


async def _push_on(exchange: Exchange, process: Process, *, once: bool = False) -> bool:
    """Records as they come, for as long as the transfer lasts; True where all were taken."""
    body = process.body
    leaving = pages(exchange, process.peer, process.process, body["purpose"], body["epoch"], body["cursor"],
                    new_use=body["cursor"] < 0, once=once)  # fmt: skip
    async for page in leaving:
        if isinstance(page, str) or (page is not None and not await _sent(exchange, process, page)):
            return False
    return True


async def _sent(exchange: Exchange, process: Process, page: Page) -> bool:
    """Push a page; once it was taken, the next begins after it."""
    headers = {"Noriai-Usage": exchange.usage_statement(process.peer, page)}
    answer = await exchange.send(process.peer, "POST", process.body["address"]["endpoint"], page.payload, None, headers)

    if answer.is_success:
        await exchange.write(partial(_moved_on, exchange=exchange, process=process, page=page))
    return answer.is_success


def _moved_on(connection: Connection, exchange: Exchange, process: Process, page: Page) -> None:
    """The next page begins after this one."""
    found = processes.find(connection, exchange.tenant, process.process)
    processes.keep(connection, exchange.here(), found, cursor=page.cursor)


# --- over the bus -----------------------------------------------------------------------------------------------


async def _by_bus(exchange: Exchange, process: Process) -> bool:
    return await (_publish if process.role == "provider" else _read)(exchange, process)


async def _publish(exchange: Exchange, process: Process) -> bool:
    """Publish records as they come, for as long as the transfer lasts."""
    body = process.body
    key = exchange.access_token(process, body["epoch"])
    leaving = pages(exchange, process.peer, process.process, body["purpose"], body["epoch"], body["cursor"],
                    new_use=body["cursor"] < 0)  # fmt: skip
    async with bus.connected(exchange.bus) as stream, contextlib.aclosing(leaving):
        await bus.prepare(stream)
        async for page in leaving:
            if isinstance(page, str):
                return False
            if page is not None:
                statement = exchange.usage_statement(process.peer, page)
                sealed = bus.sealed(page.payload, key)
                try:
                    await bus.publish(stream, process.process, page.cursor, sealed, statement)
                except bus.TooLargeError as error:
                    await exchange.move(process.process, "terminate", reason=str(error))
                    return False
                await exchange.write(partial(_moved_on, exchange=exchange, process=process, page=page))
    return False


async def _read(exchange: Exchange, process: Process) -> bool:
    """Read what the provider publishes; each page is confirmed once it is kept."""
    address = process.body["address"]
    known = await exchange.known(process.peer)
    if not bus.may_connect(address["endpoint"], known.address, exchange.bus):
        await exchange.move(process.process, "terminate", reason="the bus is neither yours nor ours")
        return False
    async with bus.connected(address["endpoint"]) as stream:
        arriving = bus.messages(stream, str(process.peer_pid), process.process)
        async with contextlib.aclosing(arriving):
            async for message in arriving:
                if message is not None:
                    digest = await _mirrored(exchange, process, (message.headers or {}).get("Noriai-Usage", ""))
                    payload = bus.unsealed(message.data, transfers.token_of(address) or "")
                    await _stored(exchange, process, payload, digest)
                    await message.ack()
                elif (await exchange.process(process.process)).state != "STARTED":
                    return False
    return False


async def _over(exchange: Exchange, process: Process) -> None:
    """A transfer has ended: what nobody has read of it goes."""
    if process.body["format"] == catalogue.BUS and process.role == "provider" and process.is_final:
        await bus.forget(exchange.bus, process.process)


_WORK: dict[str, Callable[[Exchange, Process], Awaitable[bool]]] = {
    catalogue.PULL: _pull, catalogue.STREAM: _listen, catalogue.PUSH: _push, catalogue.STREAM_PUSH: _push_on,
    catalogue.PARQUET: _pull, catalogue.BUS: _by_bus,
}  # fmt: skip
