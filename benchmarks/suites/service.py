"""The service under load: bookings a second and their latency while vehicles report, beside an empty FastAPI POST.

One node as a process of its own on SQLite (or --database), vehicles that report a position every 5 s, and clients that
ask for offers and take the first, one after the other or (--rate) as riders come, by chance. Between its parts the same
clients post to an empty FastAPI app, which runs all the while: the ratio says what is ours. Client and servers share
the machine's cores.

Example: python benchmarks/suites/service.py --vehicles 1000 --seconds 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

LINES = 50
"""Connections that vehicles share to report."""
EMPTY = """
from fastapi import FastAPI
from pydantic import BaseModel
import uvicorn, sys
app = FastAPI()
class Body(BaseModel):
    quote: str
    offer: int = 0
@app.post("/empty")
async def empty(body: Body) -> dict[str, str]:
    return {"quote": body.quote}
uvicorn.run(
    app, port=int(sys.argv[1]), log_config=None, access_log=False, timeout_keep_alive=300, http="httptools",
    loop="uvloop",
)
"""


class Line:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, port: int, key: str = "") -> None:
        self._port, self._key = port, key
        self._reader: asyncio.StreamReader | None = None

    async def post(self, path: str, body: Any, idempotency: str = "") -> tuple[int, Any]:
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        if self._key:
            head += f"Authorization: Bearer {self._key}\r\n"
        if idempotency:
            head += f"Idempotency-Key: {idempotency}\r\n"
        self._writer.write(head.encode() + b"\r\n" + data)
        status = int((await self._reader.readline()).split()[1])
        length = 0
        while (line := await self._reader.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, json.loads(await self._reader.readexactly(length))


@dataclass
class Times:
    """Seconds of each call by what it was."""

    of: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, seconds: float) -> None:
        self.of.setdefault(what, []).append(seconds)

    def line(self, what: str, wall: float) -> str:
        found = sorted(self.of.get(what, []))
        if not found:
            return f"{what:<10} none"
        p50, p99 = found[len(found) // 2], found[min(len(found) - 1, int(0.99 * len(found)))]
        rate = f"{len(found):6} calls {len(found) / wall:8.1f}/s"
        return f"{what:<10} {rate}   p50 {1e3 * p50:7.1f} ms   p99 {1e3 * p99:7.1f} ms"


async def report(line: Line, vehicles: list[str], times: Times, stop: asyncio.Event, place: list[float]) -> None:
    """Positions of some vehicles, each every 5 s."""
    while not stop.is_set():
        began = time.monotonic()
        for vehicle in vehicles:
            now = datetime.now(UTC).isoformat()
            at = time.perf_counter()
            status, _ = await line.post(
                f"/v1/vehicles/{vehicle}/positions", {"positions": [{"at": now, "lon": place[0], "lat": place[1]}]}
            )
            times.add("position", time.perf_counter() - at)
            assert status == 200, status
            left = 5 - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, left / len(vehicles)) if left > 0 else 0)
            if stop.is_set():
                return


async def ride(line: Line, region: str, places: list[list[float]], rng: random.Random, times: Times, name: str) -> None:
    """Ask, and take the first offer."""
    a, b = rng.sample(places, 2)
    when = datetime.now(UTC) + timedelta(minutes=rng.randint(10, 600))
    wish = {"origin": {"lon": a[0], "lat": a[1]}, "destination": {"lon": b[0], "lat": b[1]},
            "earliest_pickup": when.isoformat()}  # fmt: skip
    began = time.perf_counter()
    status, quote = await line.post(f"/v1/regions/{region}/quotes", wish)
    times.add("quote", time.perf_counter() - began)
    if status != 201 or not quote["offers"]:
        times.failed["quote"] = times.failed.get("quote", 0) + 1
        return
    began = time.perf_counter()
    status, _ = await line.post("/v1/bookings", {"quote": quote["quote"]}, name)
    times.add("booking", time.perf_counter() - began)
    if status != 201:
        times.failed[f"booking {status}"] = times.failed.get(f"booking {status}", 0) + 1


async def arrivals(
    rate: float, end: float, lines: list[Line], region: str, places: list[list[float]], rng: random.Random,
    times: Times, turn: int,
) -> None:  # fmt: skip
    """Riders come by chance, `rate` a second, whether or not those before were served; waiting for a line counts."""
    free: asyncio.Queue[Line] = asyncio.Queue()
    for line in lines:
        free.put_nowait(line)
    under_way: list[asyncio.Task[None]] = []

    async def one(name: str) -> None:
        came = time.perf_counter()
        line = await free.get()
        times.add("waiting", time.perf_counter() - came)
        await ride(line, region, places, rng, times, name)
        free.put_nowait(line)

    while time.monotonic() < end:
        under_way.append(asyncio.create_task(one(f"r{turn}-{len(under_way)}")))
        await asyncio.sleep(rng.expovariate(rate))
    await asyncio.gather(*under_way)


async def measure(arguments: argparse.Namespace, port: int, empty_port: int, keys: dict[str, str], world: Any) -> None:
    region, places, vehicles = world
    desk, partner = keys["desk"], keys["partner"]
    times, rng, stop = Times(), random.Random(1), asyncio.Event()
    parts = [vehicles[k::LINES] for k in range(LINES)]
    reports = [asyncio.create_task(report(Line(port, desk), part, times, stop, places[0])) for part in parts if part]
    riders = [Line(port, partner) for _ in range(arguments.clients)]
    empties = [Line(empty_port) for _ in range(arguments.clients)]
    count, wall_ours, counted = 0, 0.0, time.monotonic()
    for turn in range(arguments.turns + 1):
        if turn == 1:
            times.of.clear()  # the first turn warms up
            wall_ours, counted = 0.0, time.monotonic()
        end, began = time.monotonic() + arguments.seconds / arguments.turns, time.monotonic()

        async def ask(number: int, end: float = end) -> None:
            nonlocal count
            while time.monotonic() < end:
                count += 1
                await ride(riders[number], region, places, rng, times, f"b{count}")

        if arguments.rate:
            await arrivals(arguments.rate, end, riders, region, places, rng, times, turn)
        else:
            await asyncio.gather(*(ask(number) for number in range(arguments.clients)))
        wall_ours += time.monotonic() - began

        async def nothing(number: int) -> None:
            for _ in range(100):
                at = time.perf_counter()
                await empties[number].post("/empty", {"quote": "x"})
                times.add("empty", time.perf_counter() - at)

        await asyncio.gather(*(nothing(number) for number in range(arguments.clients)))
    stop.set()
    await asyncio.gather(*reports)
    print(f"{len(vehicles)} vehicles reporting every 5 s, {arguments.clients} clients, {arguments.seconds} s, "
          f"{'PostgreSQL' if arguments.database else 'SQLite'}, {os.cpu_count()} cores"
          f"{f', {arguments.rate:g} riders a second by chance' if arguments.rate else ''}")  # fmt: skip
    for what in ("quote", "booking", *(("waiting",) if arguments.rate else ())):
        print(times.line(what, wall_ours))
    print(times.line("position", time.monotonic() - counted))  # they go on while the empty app is asked
    empty, booking = sorted(times.of["empty"]), sorted(times.of["booking"])
    print(f"empty      {len(empty):6} calls               p50 {1e3 * empty[len(empty) // 2]:7.1f} ms")
    ratio = booking[len(booking) // 2] / empty[len(empty) // 2]
    print(f"booking / empty at p50: {ratio:.1f} x; not booked: {times.failed}")


def start_node(arguments: argparse.Namespace, folder: str) -> tuple[subprocess.Popen[str], int, dict[str, str], float]:
    environment = {
        **os.environ,
        "NORIAI_FLEET": str(arguments.vehicles),
        "NORIAI_MOVES_ITSELF": "false",
        "NORIAI_REQUESTS_PER_MINUTE": "100000000",
        "NORIAI_IMPROVE_EVERY_S": str(arguments.improve),
    }
    command = [Path(sys.executable).parent / "noriai", "serve", "--port", "0", "--data", folder, "--json",
               "--log-level", "error", "--database", arguments.database]  # fmt: skip
    began = time.monotonic()
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert node.stdout is not None
    said = json.loads(node.stdout.readline())
    port = int(said["address"].rsplit(":", 1)[1])
    import http.client

    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return node, port, said["keys"], time.monotonic() - began
        except OSError:
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0, help="riders a second by chance; 0: each after the one before")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--improve", type=int, default=0)
    parser.add_argument("--database", default="")
    arguments = parser.parse_args()
    if arguments.rate < 0:
        parser.error("--rate: riders a second, 0 or more")
    with tempfile.TemporaryDirectory() as folder:
        node, port, keys, start = start_node(arguments, folder)
        from noriai_engine.regions import open_region

        region = open_region(Path(folder) / "region")
        assert region.population is not None
        lon, lat = region.snapper.on_street(region.population.lon, region.population.lat)
        places = [[round(float(x), 6), round(float(y), 6)] for x, y in zip(lon[:400], lat[:400], strict=True)]
        vehicles = [f"{'neighbours' if k % 3 == 2 else 'taxi'}-{k + 1}" for k in range(arguments.vehicles)]
        empty = subprocess.Popen([sys.executable, "-c", EMPTY, str(port + 1)])
        time.sleep(3)
        try:
            asyncio.run(measure(arguments, port, port + 1, keys, (region.name, places, vehicles)))
            peak = int(Path(f"/proc/{node.pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
            print(f"ready after {start:.1f} s (a data folder of its own is made first), peak memory {peak} MB")
        finally:
            node.terminate()
            empty.terminate()
            node.wait(60)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"servers' CPU: {used.ru_utime + used.ru_stime:.1f} s")


if __name__ == "__main__":
    main()
