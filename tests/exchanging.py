"""Participants of a data space to test with: each with its own store and keys, on a wire that can be tapped and cut."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import uvicorn
from sqlalchemy import Connection

from noriai_api.exchange import data_plane
from noriai_api.exchange.catalogue import FORMATS, Description
from noriai_api.exchange.door import exchange_app
from noriai_api.exchange.keys import Keyring, OwnKey, new_key
from noriai_api.exchange.participants import membership
from noriai_api.exchange.service import Exchange, Me
from noriai_api.exchange.workers import look_after_transfers
from noriai_api.store import Database, Writer, open_database
from noriai_api.store.migrate import migrate
from noriai_engine.model import IdSource, UtcMs

T = TypeVar("T")

NOW = 1_790_000_000_000
YEAR_S = 365 * 86_400
AUTHORITY = "urn:noriai:authority:test"


class Hand:
    """A clock that is moved by hand."""

    def __init__(self, ms: int = NOW) -> None:
        self.ms = ms

    def now(self) -> UtcMs:
        return UtcMs(self.ms)


class DirectStore:
    """A store without threads: what is written is durable when `write` returns."""

    def __init__(self, database: Database) -> None:
        self.database, self.writer = database, Writer(database, threaded=False)

    async def read(self, query: Callable[[Connection], T], tenant: str) -> T:
        return self.database.read(query, tenant)

    async def write(self, change: Callable[[Connection], T], tenant: str) -> T:
        result: T = self.writer.put(change, tenant=tenant).result()
        return result


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """Carries requests between parties by the host's name. What passes is kept; `meddle` may lose things."""

    parties: dict[str, Party] = field(default_factory=dict)
    passed: list[tuple[str, str, str, bytes, int, bytes]] = field(default_factory=list)
    """(sender's host or empty, method, url, body, status, answer)"""
    meddle: Callable[[httpx.Request], str | None] | None = None
    """What happens to a request: None (arrives), "lost" (does not), "answer lost" (does, and nobody hears)."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        fate = None if self.meddle is None else self.meddle(request)
        party = self.parties.get(request.url.host)
        if fate == "lost" or party is None or party.is_down:
            raise httpx.ConnectError("nobody there", request=request)
        answer = await httpx.ASGITransport(party.app).handle_async_request(request)
        said = await answer.aread()
        self.passed.append(("", request.method, str(request.url), body, answer.status_code, said))
        if fate == "answer lost":
            raise httpx.ReadError("cut off", request=request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=said, request=request)


class Party:
    """A participant: `stop` is like a crash, since nothing is kept but the store and the keys."""

    def __init__(
        self, name: str, folder: Path, clock: Hand, wire: Wire | None, authority: OwnKey, address: str = ""
    ) -> None:
        self.name, self.folder, self.clock, self.wire, self.authority = name, folder, clock, wire, authority
        self.id, self.address = f"urn:noriai:node:{name}", address or f"http://{name}/x"
        self.seed = sum(name.encode())
        self.database = open_database("", folder)
        migrate(self.database)
        self.keyring = Keyring([new_key(bytes([self.seed % 256]) * 32, 0, NOW // 1000 + YEAR_S)])
        self.lives = 0
        self.begin()
        if wire is not None:
            wire.parties[name] = self

    def begin(self) -> None:
        self.lives += 1
        ids = IdSource(self.clock, np.random.default_rng([self.seed, self.lives]))
        http = httpx.AsyncClient(transport=self.wire, timeout=20)
        authorities = {AUTHORITY: [self.authority.public]}
        self.exchange = Exchange(
            Me("t", self.id, f"{self.address}/t"), DirectStore(self.database), self.database.upsert, self.clock,
            ids.new_id, self.keyring, authorities, http,
        )  # fmt: skip
        self.exchange.workers.append(look_after_transfers)
        from starlette.applications import Starlette
        from starlette.routing import Mount

        self.app = Starlette(routes=[Mount("/x", exchange_app({"t": self.exchange}))])
        self.is_down = False

    def membership(self, **more: Any) -> str:
        now_s = self.clock.now() // 1000
        keys = [key.public for key in self.keyring.keys]
        return membership(self.authority, AUTHORITY, self.id, f"{self.address}/t", keys, now_s, now_s + YEAR_S, **more)

    def read(self, query: Callable[[Connection], T]) -> T:
        return self.database.read(query)

    async def settle(self) -> int:
        """Deliver what is due now; how many messages."""
        return await self.exchange.deliver_due()

    def add(self, dataset: str, *bodies: dict[str, Any], area: tuple[str, ...] = ("jis:08220",)) -> None:
        rows = [{"time": int(self.clock.now()), "area": area, "body": body} for body in bodies]
        self.database_write(lambda c: data_plane.add_records(c, "t", dataset, rows))
        self.exchange.wake()

    def database_write(self, change: Callable[[Connection], T]) -> T:
        with self.database.writing.begin() as connection:
            return change(connection)


def parties(folder: Path, *names: str) -> tuple[Wire, Hand, list[Party]]:
    """Participants that know each other, on a wire inside this process."""
    clock, wire, authority = Hand(), Wire(), an_authority()
    found = [Party(name, folder / name, clock, wire, authority) for name in names]
    asyncio.run(introduce(found))
    return wire, clock, found


def an_authority() -> OwnKey:
    return new_key(b"a" * 32, 0, NOW // 1000 + 10 * YEAR_S)


async def introduce(found: list[Party]) -> None:
    for one in found:
        for another in found:
            if one is not another:
                await one.exchange.admit(another.membership())


@asynccontextmanager
async def live(folder: Path, *names: str) -> AsyncIterator[tuple[Hand, list[Party]]]:
    """Participants that know each other, each behind a real server on this loop; their workers run."""
    clock, authority = Hand(), an_authority()
    found, servers = [], []
    for name in names:
        listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, else asyncio lets answers wait 40 ms
        listening.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        party = Party(name, folder / name, clock, None, authority, address)
        server = uvicorn.Server(uvicorn.Config(party.app, log_config=None, access_log=False, lifespan="off"))
        servers.append((server, asyncio.create_task(server.serve(sockets=[listening]))))
        found.append(party)
    while not all(server.started for server, _ in servers):
        await asyncio.sleep(0.01)
    await introduce(found)
    for party in found:
        party.exchange.start()
    try:
        yield clock, found
    finally:
        for party in found:
            await party.exchange.stop()
        for server, task in servers:
            server.should_exit = server.force_exit = True
            await task


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait until something holds."""
    for _ in range(int(seconds / 0.02)):
        if await true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come to hold")


def a_description(**more: Any) -> Description:
    said: dict[str, Any] = {
        "title": {"ja": "運行需要", "en": "Live demand"}, "description": {"ja": "需要", "en": "Requests by mesh"},
        "owner": "urn:noriai:node:a", "kind": "operations", "schema_id": "urn:noriai:schema:demand",
        "schema_version": "1.0", "area": ["jis:08220"], "coverage": "all requests", "formats": list(FORMATS),
    }  # fmt: skip
    return Description(**said | more)


def rule(*constraints: dict[str, Any]) -> dict[str, Any]:
    return {"action": "use", "constraint": list(constraints)}


def limit(operand: str, operator: str, right: Any) -> dict[str, Any]:
    return {"leftOperand": operand, "operator": operator, "rightOperand": right}


FOR_PLANNING = rule(limit("purpose", "isAnyOf", ["service-planning", "dispatch"]))


async def settled(*found: Party) -> None:
    """Deliver until nothing is on its way."""
    for _ in range(100):
        if sum([await party.settle() for party in found]) == 0:
            return
    raise AssertionError("messages go round and round")


async def agreed(consumer: Party, provider: Party, dataset: str, purpose: str = "service-planning") -> str:
    """Negotiate by rule; the agreement's id."""
    process = await consumer.exchange.ask(provider.id, dataset, purpose=purpose)
    await settled(consumer, provider)
    process = await consumer.exchange.process(process.process)
    assert process.state == "FINALIZED", process
    return str(process.body["agreement"]["@id"])


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)
