"""A crash before and after every step of every sequence: both sides end in the same state, and agreed to the same.

Two participants of ours play the kit and the connector under test. A crash loses everything but the store: the party
begins anew from it. Four crashes belong to each message and its answer: before it leaves, after it was taken, before
the answer is read, and after.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from dsp_kit import MOVES, PATHS, STATES, names_of
from exchanging import Party, Wire, a_description, parties, rule

from noriai_api.exchange import agreements, processes
from noriai_api.store.exchange_tables import incidents, messages

STANDARD = Path(__file__).parents[3] / "shared" / "standards" / "dataspace-protocol"
DATASET = "urn:noriai:dataset:kit"
SIGNALS = ("Signal to start negotiation", "Signal to start transfer")
ANSWERS = ("200 OK", "ContractNegotiation", "TransferProcess", "TransferRequest", "4xx ERROR")

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not STANDARD.is_dir(), reason="needs the Dataspace Protocol files of ../shared/standards"),
]

CASES: list[dict[str, Any]] = (
    [c for c in json.loads((STANDARD / "tck-sequences.json").read_text()) if c["id"][:2] in ("CN", "TP")]
    if STANDARD.is_dir()
    else []
)


class Crash(BaseException):
    """The sender's process is gone."""


class Fault:
    """One crash, at the n-th message between the parties."""

    def __init__(self, wire: Wire, at: int, when: str) -> None:
        self.wire, self.at, self.when, self.count, self.struck = wire, at, when, 0, False
        self.carry = wire.handle_async_request
        wire.handle_async_request = self.carried  # type: ignore[method-assign]

    async def carried(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and "/dsp/" in str(request.url):
            self.count += 1
            if self.count == self.at and not self.struck:
                self.struck = True
                if self.when == "before it leaves":
                    raise Crash
                answer = await self.carry(request)
                if self.when == "before the answer is read":
                    raise Crash
                self.wire.parties[request.url.host].begin()
                if self.when == "after it was taken":
                    raise httpx.ReadError("gone", request=request)
                return answer
        return await self.carry(request)

    def end(self) -> None:
        self.wire.handle_async_request = self.carry  # type: ignore[method-assign]


WHEN = ("before it leaves", "after it was taken", "before the answer is read", "after the answer")


class Play:
    """A sequence between two parties; what is durable is never repeated by hand."""

    def __init__(self, case: dict[str, Any], ours: Party, kit: Party, agreement: dict[str, str]) -> None:
        self.case, self.ours, self.kit, self.agreement = case, ours, kit, agreement
        self.kind = "negotiation" if case["id"].startswith("CN") else "transfer"
        self.we_consume = "_C:" in case["id"]
        self.process = ""  # of the party that began
        self.refusals = 0

    async def go(self) -> None:
        for sender, _, label in self.case["steps"]:
            name = names_of(label)
            first = name in ("ContractRequestMessage", "TransferRequestMessage") and not self.process
            if name in SIGNALS or name in ANSWERS:
                continue
            party = self.ours if sender == "CUT" else self.kit
            if first:
                await self.begin(party)
            elif (await self.of(party)).state != "FINALIZED" or sender == "TCK":
                await self.move(party, name)
            await self.quiet()

    async def begin(self, consumer: Party) -> None:
        provider = self.kit if consumer is self.ours else self.ours
        if self.kind == "negotiation":
            offer = {"@id": "o", "@type": "Offer", "permission": [{"action": "use"}]}
            made = await consumer.exchange.ask(provider.id, DATASET, purpose=None, offer=offer, manual=True)
        else:
            made = await consumer.exchange.request_transfer(
                self.agreement[consumer.name], "HttpData-PULL", "research", manual=True
            )
        self.process, self.consumer = made.process, consumer

    async def of(self, party: Party) -> processes.Process:
        mine = await self.consumer.exchange.process(self.process)
        if party is self.consumer:
            return mine
        assert mine.peer_pid is not None
        return await party.exchange.process(mine.peer_pid)

    async def move(self, party: Party, name: str) -> None:
        process = await self.of(party)
        try:
            await party.exchange.move(process.process, MOVES[name])
        except processes.IllegalMessageError:
            await self.illegal(party, process, name)

    async def illegal(self, party: Party, process: processes.Process, name: str) -> None:
        """What the state forbids is sent all the same, as a broken neighbour would: refused, nothing changed."""
        other = self.kit if party is self.ours else self.ours
        before = (await self.of(other)).state
        body: dict[str, Any] = {"@type": name, "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
                                "providerPid": process.provider_pid, "consumerPid": process.consumer_pid}  # fmt: skip
        if name in ("accepted", "finalized"):
            body |= {"@type": "ContractNegotiationEventMessage", "eventType": name.upper()}
        rules = {"@id": "o", "permission": [{"action": "use"}], "target": DATASET}
        if name in ("ContractRequestMessage", "ContractOfferMessage"):
            body["offer"] = {**rules, "@type": "Offer"}
        if name == "ContractAgreementMessage":
            body["agreement"] = {**rules, "@type": "Agreement", "assigner": party.id, "assignee": other.id}
        url = f"{process.peer_address}/{self.kind}s/{process.peer_pid}/{PATHS[name]}"
        for _ in range(5):
            try:
                answer = await party.exchange.send(other.id, "POST", url, json.dumps(body).encode(), None)
            except httpx.HTTPError:
                continue
            except Crash:
                party.begin()
                continue
            assert answer.status_code == 409, answer.text
            self.refusals += 1
            break
        assert (await self.of(other)).state == before

    async def quiet(self) -> None:
        """Deliver until nothing is on its way, time passing for what has to be tried again."""
        for _ in range(40):
            for party in (self.ours, self.kit):
                try:
                    await party.settle()
                except Crash:
                    party.begin()
            self.ours.clock.ms += 1_000
            if not any(waiting(party) for party in (self.ours, self.kit)):
                return
        raise AssertionError(f"{self.case['id']}: messages do not arrive")

    async def check(self) -> None:
        ours, theirs = await self.of(self.ours), await self.of(self.kit)
        moves = [names_of(label) for _, _, label in self.case["steps"] if names_of(label) in STATES]
        refused = sum(label == "4xx ERROR" for *_, label in self.case["steps"])
        expected = STATES[moves[-1 - refused]] if self.case["id"] != "CN:01-03" else "FINALIZED"
        assert (ours.state, theirs.state, self.refusals) == (expected, expected, refused), self.case["id"]
        if expected == "FINALIZED":
            agreement = ours.body["agreement"]["@id"]
            found = [party.read(lambda c: agreements.find(c, "t", agreement)) for party in (self.ours, self.kit)]
            assert None not in found
            assert found[0].hash == found[1].hash  # type: ignore[union-attr]


def waiting(party: Party) -> bool:
    query = messages.select().where(messages.c.state == "waiting")
    return party.read(lambda c: c.execute(query).first()) is not None


def count_of(party: Party) -> int:
    return len(party.read(lambda c: c.execute(incidents.select()).all()))


async def two(folder: Path) -> tuple[Wire, Party, Party, dict[str, str]]:
    """Two parties that offer each other a dataset decided on by hand, and an agreement each way."""
    wire, _, (ours, kit) = await asyncio.to_thread(parties, folder, "ours", "kit")
    found = {}
    for provider in (ours, kit):
        await provider.exchange.offer(DATASET, a_description(), [rule()], manual=True)
    for name in ("CN:01-04", "CN_C:01-04"):
        play = Play(next(c for c in CASES if c["id"] == name), ours, kit, {})
        await play.go()
        process = await play.of(play.consumer)
        found[play.consumer.name] = process.body["agreement"]["@id"]
    return wire, ours, kit, found


async def crash_everywhere(folder: Path, cases: list[dict[str, Any]]) -> int:
    wire, ours, kit, agreement = await two(folder)
    crashes = 0
    for case in cases:
        for when in WHEN:
            at = 0
            while True:
                at += 1
                fault = Fault(wire, at, when)
                play = Play(case, ours, kit, agreement)
                try:
                    await play.go()
                    await play.check()
                finally:
                    fault.end()
                if not fault.struck:
                    break
                crashes += 1
    assert count_of(ours) == count_of(kit) == 0, "a crash alone makes no incident"
    return crashes


def test_a_crash_at_some_steps(tmp_path: Path) -> None:
    """Every eighth case, every step of it; the long test has all."""
    assert asyncio.run(crash_everywhere(tmp_path, CASES[::8])) > 100


@pytest.mark.long
def test_a_crash_at_every_step(tmp_path: Path) -> None:
    crashes = asyncio.run(crash_everywhere(tmp_path, CASES))
    sys.stdout.write(f"{crashes} crashes\n")
    steps = sum(names_of(label) not in SIGNALS for case in CASES for *_, label in case["steps"])
    assert crashes == 2 * (steps - 1), "one step of CN:01-03 is no legal message"


REACH = {
    ("negotiation", "REQUESTED"): [], ("negotiation", "OFFERED"): [("provider", "offer")], ("transfer", "REQUESTED"): [],
    ("transfer", "STARTED"): [("provider", "start")],
    ("transfer", "SUSPENDED"): [("provider", "start"), ("provider", "suspend")],
}  # fmt: skip
BOTH = {
    ("negotiation", "REQUESTED"): (["terminate"], ["offer", "agree", "terminate"]),
    ("negotiation", "OFFERED"): (["request", "accept", "terminate"], ["terminate"]),
    ("transfer", "REQUESTED"): (["terminate"], ["start", "terminate"]),
    ("transfer", "STARTED"): (["suspend", "complete", "terminate"],) * 2,
    ("transfer", "SUSPENDED"): (["start", "terminate"],) * 2,
}  # fmt: skip


def test_both_move_at_once(tmp_path: Path) -> None:
    """Each side makes a legal move before it hears of the other's: all 21 pairs, whichever message is delivered first,
    and with the first answer lost. Both end in the same state, and what was overtaken is written down."""

    async def go() -> int:
        wire, ours, kit, agreement = await two(tmp_path)
        runs = 0
        for (kind, state), (consumers, providers) in BOTH.items():
            case = {"id": "CN_C:x" if kind == "negotiation" else "TP_C:x", "steps": []}
            for by_consumer in consumers:
                for by_provider in providers:
                    for first, lose in ((0, False), (1, False), (0, True), (1, True)):
                        play = Play(case, ours, kit, agreement)
                        await play.begin(ours)
                        await play.quiet()
                        for _, move in REACH[kind, state]:
                            await kit.exchange.move((await play.of(kit)).process, move)
                            await play.quiet()
                        assert {(await play.of(party)).state for party in (ours, kit)} == {state}
                        await ours.exchange.move((await play.of(ours)).process, by_consumer)
                        await kit.exchange.move((await play.of(kit)).process, by_provider)
                        fault = Fault(wire, 1 if lose else 0, "after it was taken")
                        for party in (ours, kit)[:: -1 if first else 1]:
                            await party.settle()
                        fault.end()
                        await play.quiet()
                        ended = [(await play.of(party)).state for party in (ours, kit)]
                        assert ended[0] == ended[1], (kind, state, by_consumer, by_provider, first, lose, ended)
                        runs += 1
        return runs

    assert asyncio.run(go()) == 4 * 21
