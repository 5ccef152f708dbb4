"""A provider to be killed: run as `python exchange_victim.py FOLDER PORT`. It stays, and for each line of its input forks
a copy of itself that serves the party's store over HTTP, killed by the next line; forking saves the start of Python."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import exchanging
import uvicorn
from exchanging import DirectStore, Hand, Party, T, an_authority
from sqlalchemy import Connection
from starlette.applications import Starlette

from noriai_api.exchange import data_plane

PAGE = 2
"""Records of a page: small, so that many pages leave in a short life."""


class Hasty(DirectStore):
    """The planted fault: says that something is written before it is."""

    async def write(self, change: Callable[[Connection], T], tenant: str) -> T:
        with self.database.writing.connect() as connection, connection.begin() as transaction:
            result = change(connection)
            transaction.rollback()
        asyncio.get_running_loop().call_later(0.03, self.writer.put, change)
        return result


def serve(folder: Path, port: int, *, planted: bool) -> None:
    data_plane.PAGE = PAGE
    party = Party("a", folder, Hand(), None, an_authority(), f"http://127.0.0.1:{port}/x")
    if planted:
        party.exchange._store = Hasty(party.database)
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(party.app, log_config=None, access_log=False, lifespan="off"))
    asyncio.run(server.serve(sockets=[listening]))


def main() -> None:
    folder, port, child = Path(sys.argv[1]), int(sys.argv[2]), 0
    exchanging.migrate = lambda database: None  # type: ignore[attr-defined]  # the store is there
    uvicorn.Config(Starlette(), log_config=None).load()  # imports what each life would import anew
    for line in sys.stdin:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
        if line.strip() == "live":
            child = os.fork()
            if child == 0:
                serve(folder, port, planted="planted" in sys.argv)
                os._exit(1)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
