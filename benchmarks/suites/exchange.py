"""The exchange between two nodes: how fast a revocation reaches a running stream, what checking a request costs; and,
with --days N, how many wishes four towns leave unmet alone and together, over N seeds.

    python benchmarks/suites/exchange.py --revocations 100
    python benchmarks/suites/exchange.py --revocations 0 --requests 0 --days 5

Everything runs on this machine, over real HTTP. A checked request is one for an empty page of data: proof, token,
agreement, purpose, terms, entry in the log (durable), signed statement; the unchecked one is a small answer of the
same server. They alternate.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from exchanging import FOR_PLANNING, Party, a_description, live, until

from noriai_api.exchange import inbox
from noriai_api.exchange.catalogue import PULL, STREAM

DEMAND = "urn:noriai:dataset:demand"


async def agreement_of(consumer: Party, provider: Party) -> str:
    process = await consumer.exchange.ask(provider.id, DEMAND, purpose="dispatch")

    async def final() -> bool:
        return (await consumer.exchange.process(process.process)).state == "FINALIZED"

    await until(final)
    return str((await consumer.exchange.process(process.process)).body["agreement"]["@id"])


async def revocations(folder: Path, count: int) -> list[float]:
    """Seconds from the call that revokes to the end of the stream at the receiver, records flowing meanwhile."""
    found = []
    async with live(folder, "a", "b") as (_, (a, b)):
        await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
        for _ in range(count):
            agreement = await agreement_of(b, a)
            transfer = await b.exchange.request_transfer(agreement, STREAM, "dispatch")
            had = len(b.read(lambda c: inbox.received_of(c, "t", DEMAND)))
            a.add(DEMAND, {"n": 1})

            async def flows(before: int = had) -> bool:
                return len(b.read(lambda c: inbox.received_of(c, "t", DEMAND))) > before

            await until(flows)
            began = time.perf_counter()
            await a.exchange.revoke(agreement, "enough")

            async def ended(pid: str = transfer.process) -> bool:
                return (await b.exchange.process(pid)).state == "TERMINATED"

            while not await ended():
                await asyncio.sleep(0.001)
            found.append(time.perf_counter() - began)
    return found


async def requests(folder: Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds of checked and of unchecked requests, alternating."""
    checked, plain = [], []
    async with live(folder, "a", "b") as (_, (a, b)):
        await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
        agreement = await agreement_of(b, a)
        process = await b.exchange.request_transfer(agreement, PULL, "dispatch", manual=True)

        async def started() -> bool:
            return (await b.exchange.process(process.process)).state == "STARTED"

        await until(started)
        address = (await b.exchange.process(process.process)).body["address"]
        headers = {"Authorization": f"DPoP {address['endpointProperties'][0]['value']}", "Noriai-Purpose": "dispatch"}
        async with httpx.AsyncClient() as http:
            for _ in range(count):
                began = time.perf_counter()
                answer = await b.exchange.send(a.id, "GET", address["endpoint"], b"", None, headers)
                checked.append(time.perf_counter() - began)
                assert answer.status_code == 200, answer.text
                began = time.perf_counter()
                answer = await http.get(f"{a.address}/t/.well-known/dspace-version")
                plain.append(time.perf_counter() - began)
                assert answer.status_code == 200
    return checked, plain


def days(folder: Path, seeds: int, wishes: int, vehicles: int) -> list[tuple[int, int, int]]:
    """(wishes, unmet alone, unmet together) of each seed."""
    from noriai_api.four_nodes import day, towns

    found = []
    for seed in range(1, seeds + 1):
        here = folder / str(seed)
        here.mkdir()
        region = day.make_world(here, seed)
        asked = towns.wishes(region, wishes, seed)
        served = [
            day.serve_day(here / name, region, asked, vehicles, seed, lambda said: None, together=name == "together")
            for name in ("alone", "together")
        ]
        found.append((len(asked), served[0].unmet, served[1].unmet))
        print(f"seed {seed}: {found[-1]}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revocations", type=int, default=50)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--wishes", type=int, default=200)
    parser.add_argument("--vehicles", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.revocations:
            took = np.array(asyncio.run(revocations(folder / "r", chosen.revocations))) * 1000
            print(f"revocation to the end of a running stream, {len(took)}: p50 {np.median(took):.0f} ms, "
                  f"p99 {np.percentile(took, 99):.0f} ms, longest {took.max():.0f} ms")  # fmt: skip
        if chosen.requests:
            checked, plain = (np.array(side) for side in asyncio.run(requests(folder / "q", chosen.requests)))
            print(f"checked request: {np.median(checked) / np.median(plain):.1f} x an unchecked one (median of "
                  f"{len(checked)}, alternating)")  # fmt: skip
        if chosen.days:
            rows = np.array(days(folder, chosen.days, chosen.wishes, chosen.vehicles))
            rng = np.random.default_rng(0)
            drawn = rows[rng.integers(0, len(rows), (10_000, len(rows)))].sum(1)
            less = 1 - drawn[:, 2] / np.maximum(drawn[:, 1], 1)
            total, low, high = rows.sum(0), np.percentile(less, 2.5), np.percentile(less, 97.5)
            print(f"four towns, {chosen.days} seeds, {total[0]} wishes, {chosen.vehicles} vehicles each: unmet "
                  f"{total[1]} alone, {total[2]} together: {1 - total[2] / max(1, total[1]):.0%} fewer "
                  f"(95 % of resamples: {low:.0%} to {high:.0%})")  # fmt: skip


if __name__ == "__main__":
    main()
