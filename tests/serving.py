"""A node to test against: real HTTP on a real port, a real store, inside this process."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn

from noriai_api.app import create_app
from noriai_api.clocks import SystemClock
from noriai_api.exchange.service import Exchange
from noriai_api.node import Node, Outside
from noriai_api.settings import NodeSettings
from noriai_api.watch import set_up_logs
from noriai_engine.model import Clock, UtcMs
from noriai_engine.regions import Region


class SetClock:
    """Stands where the test sets it."""

    def __init__(self, start: str) -> None:
        self.ms = UtcMs(int(datetime.fromisoformat(start).timestamp() * 1000))

    def now(self) -> UtcMs:
        return self.ms


NINE_MS = int(datetime.fromisoformat("2026-05-20T09:00:00+09:00").timestamp() * 1000)
AHEAD_MS = NINE_MS - SystemClock().now()


class MorningClock:
    """Goes as the system's does, but the tests began at nine on a working day: they are the same at any hour."""

    def __init__(self) -> None:
        self._system = SystemClock()

    def now(self) -> UtcMs:
        return UtcMs(self._system.now() + AHEAD_MS)


class Movable(MorningClock):
    """May be set ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ms = 0

    def now(self) -> UtcMs:
        return UtcMs(super().now() + self.ahead_ms)


class Serving:
    """A node that answers, and clients of it by role."""

    def __init__(self, node: Node, keys: dict[str, str], address: str) -> None:
        self.node, self.keys, self.address = node, keys, address
        self.http = httpx.Client(base_url=address, timeout=60)
        self.region = next(region for _, region in node.actors)

    def ask(self, role: str | None, method: str, path: str, *, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if role is None else {"Authorization": f"Bearer {self.keys[role]}"}
        if "content" in more:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.http.request(method, path, headers=headers, **more)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.node.clock.now() / 1000, UTC)

    def wish(self, number: int = 0, minutes: int = 30, **more: Any) -> dict[str, Any]:
        """A wish to ride between places where people live."""
        rng = np.random.default_rng(number)
        a, b = (self.somewhere(rng) for _ in range(2))
        when = self.now() + timedelta(minutes=minutes)
        return {"origin": a, "destination": b, "earliest_pickup": when.isoformat()} | more

    def somewhere(self, rng: np.random.Generator) -> dict[str, float]:
        region: Region = next(iter(self.node.actors.values())).runtime.region
        assert region.population is not None
        k = int(rng.integers(0, len(region.population.people)))
        lon, lat = region.snapper.on_street(region.population.lon[k : k + 1], region.population.lat[k : k + 1])
        return {"lon": round(float(lon[0]), 6), "lat": round(float(lat[0]), 6)}

    def somewhere_now(self) -> dict[str, Any]:
        """A vehicle's position, taken now."""
        return {"at": self.now().isoformat(), **self.somewhere(np.random.default_rng(0))}

    def quote(self, number: int = 0, role: str = "partner", **more: Any) -> dict[str, Any]:
        def asked() -> httpx.Response:
            return self.ask(role, "POST", f"/v1/regions/{self.region}/quotes", json=self.wish(number, **more))

        answer = asked()
        while answer.status_code == 503 and answer.json()["code"] == "busy":  # kernels are being compiled
            time.sleep(float(answer.headers["Retry-After"]))
            answer = asked()
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def offered(self, first: int = 0, role: str = "partner", **more: Any) -> dict[str, Any]:
        """A quote with offers: the first wish from `first` on that somebody can serve."""
        for number in range(first, first + 50):
            quote = self.quote(number, role, **more)
            if quote["offers"]:
                return quote
        raise AssertionError("nobody serves any of 50 wishes")

    def booked(self, first: int = 0, role: str = "partner", **more: Any) -> dict[str, Any]:
        quote = self.offered(first, role, **more)
        answer = self.ask(role, "POST", "/v1/bookings", key=quote["quote"], json={"quote": quote["quote"]})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def state_hash(self) -> str:
        """Of the region's state, as it is in memory."""
        actor = next(iter(self.node.actors.values()))
        return self.on_loop(actor.look(lambda runtime: runtime.hash()))

    def on_loop(self, doing: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(60)

    loop: asyncio.AbstractEventLoop
    exchanges: dict[str, Exchange]


@contextmanager
def serving(
    settings: NodeSettings, clock: Clock | None = None, keys: dict[str, str] | None = None, seed: int = 1
) -> Iterator[Serving]:
    """A node on a free port. `keys` of a store that was started before; another process of it has another `seed`."""
    set_up_logs("warning", "text")
    node = Node(settings, Outside(clock or MorningClock(), seed))
    made = node.prepare()
    listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, else asyncio lets answers wait 40 ms
    listening.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(create_app(node, address), log_config=None, access_log=False))
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        watcher = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not watcher.done():
            await asyncio.sleep(0.01)
        started.set()
        await watcher

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(120)
    assert server.started, "the node did not start"
    running = Serving(node, made or keys or {}, address)
    running.exchanges = server.config.app.state.exchanges  # type: ignore[union-attr]  # the FastAPI application
    running.loop = loops[0]
    try:
        yield running
    finally:
        running.http.close()
        server.should_exit = True
        thread.join(60)


def some_settings(folder: Path, database: str = "", **more: Any) -> NodeSettings:
    return NodeSettings(data=folder, database=database, improve_every_s=0, requests_per_minute=1_000_000, **more)


def pretty(answer: httpx.Response) -> str:
    return json.dumps(answer.json(), ensure_ascii=False, indent=1)
