"""A provider that is killed at random, again and again, while it streams: every byte that left has an entry in its log
that was durable before, and the receiver's log says the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from exchanging import FOR_PLANNING, Hand, Party, a_description, agreed, an_authority, introduce, settled

from noriai_api.digests import digest_bytes
from noriai_api.exchange import inbox, usage, workers
from noriai_api.exchange.catalogue import STREAM
from noriai_api.exchange.keys import ProofError
from noriai_engine.model.errors import InputError

DATASET = "urn:noriai:dataset:demand"
PAGES_A_LIFE = 12


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepared(folder: Path, port: int, records: int) -> tuple[Party, Party, str]:
    """Two parties that agreed on a stream, on a wire inside this process; the provider's server comes later."""
    from exchanging import Wire

    clock, wire, authority = Hand(), Wire(), an_authority()
    host = f"127.0.0.1:{port}"
    a = Party("a", folder / "a", clock, wire, authority, f"http://{host}/x")
    b = Party("b", folder / "b", clock, wire, authority)
    wire.parties["127.0.0.1"] = a

    async def go() -> str:
        await introduce([a, b])
        await a.exchange.offer(DATASET, a_description(), [FOR_PLANNING])
        agreement = await agreed(b, a, DATASET)
        transfer = await b.exchange.request_transfer(agreement, STREAM, "service-planning")
        await settled(a, b)
        assert (await b.exchange.process(transfer.process)).state == "STARTED"
        return transfer.process

    transfer = asyncio.run(go())
    a.add(DATASET, *({"n": n} for n in range(records)))
    return a, b, transfer


def kill_again_and_again(folder: Path, kills: int, monkeypatch: pytest.MonkeyPatch, *planted: str) -> dict[str, int]:
    """Figures of the run; what must hold is asserted."""
    port, rng = free_port(), random.Random(kills)
    a, b, transfer = prepared(folder, port, 0)
    records = 0
    b.exchange._http = httpx.AsyncClient(timeout=5)
    read: list[str] = []
    store = inbox.store

    def noted(connection: Any, here: Any, name: str, payload: bytes, digest: str) -> bool:
        read.append(digest_bytes(payload))
        return store(connection, here, name, payload, digest)

    monkeypatch.setattr(inbox, "store", noted)
    victim = subprocess.Popen(
        [sys.executable, Path(__file__).parents[1] / "exchange_victim.py", folder / "a", str(port), *planted],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def tell(word: str) -> None:
        assert victim.stdin is not None
        assert victim.stdout is not None
        victim.stdin.write(f"{word}\n")
        victim.stdin.flush()
        assert victim.stdout.readline() == "done\n"

    async def listen() -> None:
        """Connect again whenever the stream breaks."""
        while True:
            process = await b.exchange.process(transfer)
            with contextlib.suppress(httpx.HTTPError, InputError, ProofError, OSError):
                await workers._listen(b.exchange, process)
            await asyncio.sleep(0.005)

    lives = {"with pages": 0, "pages": 0}

    async def go() -> None:
        nonlocal records
        listening = asyncio.create_task(listen())
        for number in range(kills + 1):
            before = len(read)
            await asyncio.to_thread(tell, "dead")
            if records < 2 * (len(read) + PAGES_A_LIFE):  # enough for the life that begins
                a.add(DATASET, *({"n": records + n} for n in range(2 * PAGES_A_LIFE)))
                records += 2 * PAGES_A_LIFE
            await asyncio.to_thread(tell, "live")
            for _ in range(400):
                await asyncio.sleep(0.01)
                if len(read) > before or number % 10 == 0:  # every tenth dies whenever it does
                    break
            await asyncio.sleep(rng.random() * 0.05)
            if number == kills:
                so_far = -1
                while so_far != len(read):  # the last life lasts until nothing more comes
                    so_far = len(read)
                    await asyncio.sleep(2)
            lives["with pages"] += len(read) > before
        await asyncio.to_thread(tell, "dead")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    try:
        asyncio.run(go())
    finally:
        victim.stdin.close()  # type: ignore[union-attr]  # a pipe
        victim.wait(20)
    again = Party("a", folder / "a", Hand(), None, an_authority(), "http://x")
    served, kept = (party.read(lambda c: usage.entries(c, "t")) for party in (again, b))
    assert usage.first_bad(served) is None
    assert usage.first_bad(kept) is None
    entries = {entry["sequence"]: (entry["hash"], json.loads(entry["body"])["digest"]) for entry in served}
    digests = {digest for _, digest in entries.values()}
    assert set(read) <= digests, "a byte left that no entry speaks of"
    mirrored = [json.loads(entry["body"])["theirs"] for entry in kept]
    assert all(entries[one["sequence"]] == (one["hash"], one["digest"]) for one in mirrored)
    assert set(read) <= {one["digest"] for one in mirrored}, "it was read before it was written down"
    got = [row["n"] for row in b.read(lambda c: inbox.received_of(c, "t", DATASET))]
    assert got == list(range(records)), "each record once, in order"
    lives["pages"] = len(read)
    assert lives["with pages"] > kills // 2
    return lives


def test_killed_twenty_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_again_and_again(tmp_path, 20, monkeypatch)


def test_a_provider_that_writes_after_the_bytes_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault shows: its entries are durable 30 ms after it says so."""
    with pytest.raises(AssertionError, match="no entry speaks of"):
        kill_again_and_again(tmp_path, 20, monkeypatch, "planted")


@pytest.mark.long
def test_killed_a_thousand_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = kill_again_and_again(tmp_path, 1000, monkeypatch)
    sys.stdout.write(f"{figures['pages']} pages in {figures['with pages']} of 1,000 lives\n")
