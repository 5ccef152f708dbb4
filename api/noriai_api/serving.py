"""Running a node as a process: it listens, tells people how to reach it, and ends without losing anything."""

import contextlib
import json
import socket
import sys

import uvicorn

from noriai_api.settings import NodeSettings
from noriai_engine.model.errors import InputError
from noriai_engine.terminal import out, tell

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while others wait: at 5 ms (Python's own) each answer that passes from the
region's thread to the event loop waits that long."""


def show_settings(settings: NodeSettings, source: dict[str, str], *, as_json: bool) -> int:
    """Every setting: value, where it comes from, what it means."""
    fields = NodeSettings.model_fields
    values = settings.model_dump(mode="json")
    if as_json:
        out(json.dumps({name: {"value": values[name], "from": source[name], "meaning": field.description}
                        for name, field in fields.items()}, ensure_ascii=False, indent=1))  # fmt: skip
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "from", "meaning", box=None, pad_edge=False)
    for name, field in fields.items():
        shown = "-" if values[name] is None else str(values[name])
        table.add_row(name, shown or '""', source[name], field.description)
    Console().print(table)
    return 0


def run_node(settings: NodeSettings, *, as_json: bool) -> int:
    """Serve until told to stop (SIGTERM, Ctrl-C); requests being answered are finished first."""
    from noriai_api.app import create_app
    from noriai_api.clocks import SystemClock
    from noriai_api.node import Node, Outside
    from noriai_api.watch import set_up_logs

    set_up_logs(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_S)
    listening = _listen(settings)
    address = f"http://{settings.host if settings.host != '0.0.0.0' else 'localhost'}:{listening.getsockname()[1]}"
    tell("preparing: store, region, dispatch kernels (compiled at the first start, in one to three minutes) ...")
    node = Node(settings, Outside(SystemClock(), None))
    keys = node.prepare()
    _introduce(address, keys, as_json)
    config = uvicorn.Config(
        create_app(node, address), log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=20,
        timeout_keep_alive=30, http="httptools", loop="auto", lifespan="on",
    )  # fmt: skip
    server = NodeServer(config)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes the signal on once everything is finished
        server.run(sockets=[listening])
    return 0 if server.started else 70


class NodeServer(uvicorn.Server):
    """A server whose streams end when it is told to stop: it waits for open answers, and streams never end alone."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.config.app.state  # type: ignore[union-attr]  # the node's application
        state.node.drain()
        for exchange in state.exchanges.values():
            exchange.end_streams()
        await super().shutdown(sockets)


def _listen(settings: NodeSettings) -> socket.socket:
    """A socket on the port asked for, before anything else is done. Raises InputError where it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, else asyncio lets answers wait
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot be listened on: {error.strerror}", where=f"{settings.host}:{settings.port}",
            remedy="name another with --port, or stop what listens there",
        ) from error  # fmt: skip
    return listening


def _introduce(address: str, keys: dict[str, str], as_json: bool) -> None:
    if as_json:
        out(json.dumps({"address": address, "keys": keys}))
        return
    said = [f"listening on {address}", f"documentation: {address}/docs"]
    if keys:
        said.append("keys, shown this once (write them down; `Authorization: Bearer <key>`):")
        said += [f"  {name:22} {key}" for name, key in keys.items()]
    for line in said:
        out(line)
