"""One of the four nodes, in a process of its own: a real node on a clock that its parent sets.

Run as `python -m noriai_api.four_nodes.node CONFIG`. It prints one line of JSON with its address and keys, then reads
instants (UTC ms) from standard input, one a line; after each it lets its regions be what they are by then, and answers
with a line.
"""

import asyncio
import contextlib
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from noriai_api import first_start
from noriai_api.app import create_app
from noriai_api.four_nodes import towns
from noriai_api.node import Node, Outside
from noriai_api.runtime.region import RegionRuntime
from noriai_api.serving import NodeServer
from noriai_api.settings import NodeSettings
from noriai_api.store import open_database
from noriai_api.store.migrate import migrate
from noriai_api.watch import set_up_logs
from noriai_engine.model import UtcMs
from noriai_engine.terminal import out


class HeldClock:
    """Stands where the parent sets it."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now(self) -> UtcMs:
        return UtcMs(self.ms)


def main(file: Path) -> None:
    """Serve until standard input ends."""
    set_up_logs("error", "text")
    config = json.loads(file.read_text(encoding="utf-8"))
    clock, number = HeldClock(config["start_ms"]), config["town"]
    town = towns.TOWNS[number]
    said: dict[str, Any] = {
        "data": config["data"], "region": config["region"], "authorities": config["authorities"], "port": 0,
        "tenant": town.name, "tenant_name": town.title, "exchange_id": town.participant,
        "exchange_area": f"jis:{town.code[:5]}", "tick_ms": 60_000, "improve_every_s": 0,
        "requests_per_minute": 10_000_000, "quote_lifetime_s": 600,
    }  # fmt: skip
    settings = NodeSettings(**said)
    keys = _first_start(settings, config, clock)
    node = Node(settings, Outside(clock, config["seed"] * 10 + number))
    node.prepare()
    listening = socket.socket(proto=socket.IPPROTO_TCP)  # named, else asyncio lets answers wait 40 ms
    listening.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = NodeServer(uvicorn.Config(create_app(node, address), log_config=None, access_log=False))
    asyncio.run(_serve(server, listening, node, clock, {"address": address, "keys": keys}))


def _first_start(settings: NodeSettings, config: dict[str, Any], clock: HeldClock) -> dict[str, str]:
    """Tenant, region and fleet, as a first start has them; the vehicles drive by themselves."""
    store = open_database("", settings.data)
    migrate(store)
    town = towns.TOWNS[config["town"]]
    taxi = {"name": f"{town.title} Taxi", "name_ja": f"{town.title_ja}タクシー", "kind": "taxi"}
    named = first_start.prepare(settings)
    fleet = towns.fleet(named.region, config["town"], config["vehicles"], config["seed"])
    ready = replace(named, moves_itself=True, operators={f"{town.name}-taxi": taxi}, vehicles=fleet)
    secrets = np.random.default_rng()
    with store.writing.begin() as connection:
        keys = first_start.write_first(
            connection, settings, ready, lambda: secrets.bytes(32).hex(), clock.now()
        )  # fmt: skip
    store.close()
    return keys


def _tick(runtime: RegionRuntime) -> tuple[None, None]:
    runtime.tick()
    return None, None


async def _serve(
    server: uvicorn.Server, listening: socket.socket, node: Node, clock: HeldClock, said: dict[str, Any]
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not (server.started and node.is_ready):
        await asyncio.sleep(0.02)
    out(json.dumps(said))
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        clock.ms = max(clock.ms, int(line))
        for actor in node.actors.values():
            await actor.ask(_tick, "tick")
        out("done")
        sys.stdout.flush()
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    main(Path(sys.argv[1]))
