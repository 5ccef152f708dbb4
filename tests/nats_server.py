"""A real NATS server to test with."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


class NatsServer:
    """A NATS server of its own, with JetStream in a folder."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent))
        if program is None:
            pytest.skip("the nats-server wheel is not here")
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._command = [program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(folder)]
        self.address = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, "the NATS server does not start"
                time.sleep(0.05)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(20)

    def messages(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(subject, id, body) of everything in the stream, in order; read by the library alone."""
        import nats

        async def read() -> list[tuple[str, str, dict[str, Any]]]:
            client = await nats.connect(self.address)
            stream = client.jetstream()
            info = await stream.stream_info("noriai")
            found = [await stream.get_msg("noriai", seq=k) for k in range(1, info.state.messages + 1)]
            await client.close()
            return [(str(m.subject), (m.headers or {})["Nats-Msg-Id"], json.loads(m.data or b"")) for m in found]

        return asyncio.run(read())
