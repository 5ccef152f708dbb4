"""What leaves, what is written down before it does, and what makes it stop."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from exchanging import (
    FOR_PLANNING,
    NOW,
    Hand,
    Party,
    a_description,
    agreed,
    limit,
    live,
    parties,
    rule,
    settled,
    until,
)
from hypothesis import given
from hypothesis import strategies as st
from nats_server import NatsServer
from sqlalchemy import select

from noriai_api.exchange import (
    agreements,
    anchors,
    bus,
    comparing,
    data_plane,
    encodings,
    inbox,
    processes,
    transfers,
    usage,
)
from noriai_api.exchange.catalogue import BUS, FORMATS, PARQUET, PULL, STREAM, STREAM_PUSH
from noriai_api.exchange.keys import USAGE, ProofError, opened
from noriai_api.store.exchange_tables import incidents
from noriai_engine.model.errors import InputError

DEMAND = "urn:noriai:dataset:demand"


def had(party: Party) -> list[dict[str, Any]]:
    return party.read(lambda c: inbox.received_of(c, "t", DEMAND))


def log_of(party: Party) -> list[dict[str, Any]]:
    return party.read(lambda c: usage.entries(c, "t"))


def mirrors(a: Party, b: Party) -> tuple[list[Any], list[Any]]:
    """(number, hash, digest) of what the provider wrote, and of what the receiver says that it wrote."""
    ours = [(r["sequence"], r["hash"], json.loads(r["body"])["digest"]) for r in log_of(a) if r["side"] == "provider"]
    theirs = [json.loads(r["body"])["theirs"] for r in log_of(b) if r["side"] == "consumer"]
    return ours, [(r["sequence"], r["hash"], r["digest"]) for r in theirs]


GOES_ON = (STREAM, STREAM_PUSH, BUS)


@pytest.mark.parametrize("way", FORMATS)
def test_every_way_of_transfer(tmp_path: Path, way: str, request: pytest.FixtureRequest) -> None:
    """Over real HTTP, or a real NATS server: all records in order, once each, and both logs say the same of every
    page."""
    server = request.getfixturevalue("nats_server") if way == BUS else None

    async def go() -> None:
        async with live(tmp_path, "a", "b") as (_, (a, b)):
            if server is not None:
                a.exchange.bus = b.exchange.bus = server.address
            await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
            process = await b.exchange.ask(a.id, DEMAND, purpose="service-planning")

            async def final() -> bool:
                return (await b.exchange.process(process.process)).state == "FINALIZED"

            await until(final)
            agreement = (await b.exchange.agreements())[0].agreement
            a.add(DEMAND, *({"n": n} for n in range(1200)))
            transfer = await b.exchange.request_transfer(agreement, way, "service-planning")

            async def all_here() -> bool:
                return len(had(b)) >= 1200

            await until(all_here)
            if way in GOES_ON:
                a.add(DEMAND, {"n": 1200}, {"n": 1201})

                async def new_here() -> bool:
                    return len(had(b)) == 1202

                await until(new_here)
                await a.exchange.revoke(agreement, "enough")
            ended = "COMPLETED" if way not in GOES_ON else "TERMINATED"

            async def over() -> bool:
                return (await b.exchange.process(transfer.process)).state == ended

            await until(over)
            assert [row["n"] for row in had(b)] == list(range(len(had(b))))
            ours, theirs = mirrors(a, b)
            assert ours == theirs
            assert len(ours) >= 3
            assert usage.first_bad(log_of(a)) is usage.first_bad(log_of(b)) is None

    asyncio.run(go())


def test_a_stream_ends_with_its_agreement(tmp_path: Path) -> None:
    """Revoked, expired, suspended: nothing that comes later leaves."""

    async def go() -> None:
        async with live(tmp_path, "a", "b") as (clock, (a, b)):
            until_noon = rule(limit("elapsedTime", "lt", "PT1H"), limit("purpose", "eq", "dispatch"))
            await a.exchange.offer(DEMAND, a_description(), [until_noon])
            for end in (revoke, expire, suspend):
                process = await b.exchange.ask(a.id, DEMAND, purpose="dispatch")

                async def final(pid: str = process.process) -> bool:
                    return (await b.exchange.process(pid)).state == "FINALIZED"

                await until(final)
                agreement = (await b.exchange.process(process.process)).body["agreement"]["@id"]
                transfer = await b.exchange.request_transfer(agreement, STREAM, "dispatch")
                before = len(had(b))
                a.add(DEMAND, {"end": end.__name__})

                async def more(count: int = before) -> bool:
                    return len(had(b)) > count

                await until(more)
                known = await a.exchange.process((await b.exchange.process(transfer.process)).peer_pid or "")
                await end(clock, a, known)
                count = len(had(b))
                a.add(DEMAND, {"late": end.__name__})
                await asyncio.sleep(0.6)
                assert len(had(b)) == count, end.__name__
                states = {revoke: "TERMINATED", expire: "TERMINATED", suspend: "SUSPENDED"}

                async def ended(pid: str = transfer.process, wanted: str = states[end]) -> bool:
                    return (await b.exchange.process(pid)).state == wanted

                await until(ended)
            assert not any("late" in row for row in had(b) if row.get("late") == "suspend")

    asyncio.run(go())


async def revoke(clock: Hand, a: Party, known: processes.Process) -> None:
    await a.exchange.revoke(known.subject, "enough")


async def expire(clock: Hand, a: Party, known: processes.Process) -> None:
    clock.ms += 3_600_000


async def suspend(clock: Hand, a: Party, known: processes.Process) -> None:
    await a.exchange.move(known.process, "suspend")


class Pulling:
    """A pull transfer that is fetched by hand."""

    def __init__(self, folder: Path, *constraints: dict[str, Any], kind: str = "operations") -> None:
        self.wire, self.clock, (self.a, self.b) = parties(folder, "a", "b")
        self.kind = kind
        asyncio.run(self._agree(constraints or (limit("purpose", "isAnyOf", ["dispatch", "research"]),)))

    async def _agree(self, constraints: tuple[dict[str, Any], ...]) -> None:
        await self.a.exchange.offer(DEMAND, a_description(kind=self.kind), [rule(*constraints)])
        self.agreement = await agreed(self.b, self.a, DEMAND, "dispatch")
        process = await self.b.exchange.request_transfer(self.agreement, PULL, "dispatch", manual=True)
        await settled(self.b, self.a)
        self.transfer = (await self.b.exchange.process(process.process)).peer_pid or ""
        self.token = (await self.b.exchange.process(process.process)).body["address"]["endpointProperties"][0]["value"]

    def fetch(self, *, purpose: str | None = "dispatch", token: str | None = None, who: Party | None = None,
              after: int = -1) -> httpx.Response:  # fmt: skip
        headers = {"Authorization": f"DPoP {self.token if token is None else token}"}
        headers |= {} if purpose is None else {"Noriai-Purpose": purpose}
        url = f"{self.a.address}/t/data/{self.transfer}?after={after}"
        sender = who or self.b
        return asyncio.run(sender.exchange.send(self.a.id, "GET", url, b"", None, headers))


def test_agreement_purpose_and_token_are_each_needed(tmp_path: Path) -> None:
    """Dropped, forged or borrowed: no byte leaves, and nothing is written into the log."""
    pulling = Pulling(tmp_path)
    a, b = pulling.a, pulling.b
    a.add(DEMAND, {"n": 1})
    for status, code, more in (
        (403, "no_purpose", {"purpose": None}), (403, "no_purpose", {"purpose": "fun"}),
        (403, "terms:purpose", {"purpose": "open-data"}), (401, "not_authenticated", {"token": ""}),
        (401, "not_authenticated", {"token": pulling.token[:-6] + "AAAAAA"}),
        (400, "invalid", {"after": "x"}),
    ):  # fmt: skip
        answer = pulling.fetch(**more)  # type: ignore[arg-type]  # a wrong one on purpose
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert log_of(a) == []
    fine = pulling.fetch()
    assert [row["n"] for row in fine.json()["records"]] == [1]
    assert (fine.json()["schema"], fine.json()["version"]) == ("urn:noriai:schema:demand", "1.0")
    forged = b.exchange.access_token(asyncio.run(b.exchange.process(find_mine(b))), 0)
    assert pulling.fetch(token=forged).status_code == 401
    asyncio.run(a.exchange.move(pulling.transfer, "suspend"))
    assert pulling.fetch().json()["code"] == "not_started"
    asyncio.run(a.exchange.move(pulling.transfer, "start"))
    assert pulling.fetch().status_code == 200
    asyncio.run(a.exchange.revoke(pulling.agreement, "enough"))
    assert pulling.fetch().status_code == 403
    assert asyncio.run(a.exchange.revoke(pulling.agreement, "again")) is None
    assert len(log_of(a)) == 2


def find_mine(party: Party) -> str:
    return party.read(lambda c: processes.all_of(c, "t", "transfer"))[0].process


def test_a_token_works_for_its_owner_only(tmp_path: Path) -> None:
    wire, _, (a, b, c) = parties(tmp_path, "a", "b", "c")

    async def go() -> tuple[str, str]:
        await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
        agreement = await agreed(b, a, DEMAND)
        process = await b.exchange.request_transfer(agreement, PULL, "dispatch", manual=True)
        await settled(b, a)
        mine = await b.exchange.process(process.process)
        return mine.body["address"]["endpoint"], mine.body["address"]["endpointProperties"][0]["value"]

    endpoint, token = asyncio.run(go())
    headers = {"Authorization": f"DPoP {token}", "Noriai-Purpose": "dispatch"}
    assert asyncio.run(c.exchange.send(a.id, "GET", endpoint, b"", None, headers)).status_code == 401
    assert asyncio.run(b.exchange.send(a.id, "GET", endpoint, b"", None, headers)).status_code == 200
    assert wire.passed


def test_uses_are_counted_with_the_entry(tmp_path: Path) -> None:
    pulling = Pulling(tmp_path, limit("count", "lteq", "3"), limit("purpose", "eq", "dispatch"))
    assert [pulling.fetch().status_code for _ in range(5)] == [200, 200, 200, 403, 403]
    assert pulling.fetch().json()["code"] == "terms:count"
    assert pulling.a.read(lambda c: usage.uses_of(c, "t", pulling.agreement)) == 3


def test_areas_are_cut_record_by_record(tmp_path: Path) -> None:
    pulling = Pulling(
        tmp_path, limit("spatial", "isPartOf", ["jis:08220", "mesh:5440"]), limit("purpose", "eq", "dispatch")
    )
    for area in (("jis:08220",), ("jis:08203",), ("jis:13101", "mesh:54400098"), ("mesh:53390000",)):
        pulling.a.add(DEMAND, {"of": area[0]}, area=area)
    assert [row["of"] for row in pulling.fetch().json()["records"]] == ["jis:08220", "jis:13101"]


def test_operations_are_never_called_statistics_nor_the_reverse(tmp_path: Path) -> None:
    release = {"release": {"group": 36, "micro_epsilon": 1_000_000}}
    for kind, expected in (("operations", ["ride"]), ("statistics", ["figure"])):
        pulling = Pulling(tmp_path / kind, limit("purpose", "eq", "dispatch"), kind=kind)
        pulling.a.add(DEMAND, {"what": "ride"}, {"what": "figure", **release})
        rows = pulling.fetch().json()["records"]
        assert [row["what"] for row in rows] == expected
        assert all("release" not in row for row in rows)


def test_terms_that_ask_for_groups_let_no_single_ride_pass(tmp_path: Path) -> None:
    group = limit("urn:noriai:terms:minimumGroup", "gteq", "10")
    pulling = Pulling(tmp_path, group, limit("purpose", "eq", "dispatch"))
    pulling.a.add(DEMAND, {"what": "ride"})
    assert pulling.fetch().json()["records"] == []


def test_an_entry_stands_before_the_bytes_leave(tmp_path: Path) -> None:
    """The store fails at the moment of the entry: nothing leaves."""
    pulling = Pulling(tmp_path)
    pulling.a.add(DEMAND, {"n": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage, "append", fails)
        answer = pulling.fetch()
    assert answer.status_code == 500
    assert b'"n"' not in answer.content
    assert log_of(pulling.a) == []


def fails(*arguments: Any, **more: Any) -> None:
    raise RuntimeError("planted")


def test_data_that_is_not_what_was_signed_is_not_kept(tmp_path: Path) -> None:
    """A provider that signs one page and sends another; a page of a schema we do not read."""
    pulling = Pulling(tmp_path)
    b = pulling.b
    pid = find_mine(b)
    page = {"dataset": DEMAND, "schema": "urn:noriai:schema:demand", "version": "1.7", "more": False, "next": 0,
            "records": [{"sequence": 0, "area": ["jis:08220"], "n": 1, "new_member": True}]}  # fmt: skip
    payload = json.dumps(page).encode()

    def keep(payload: bytes, digest: str) -> Any:
        return b.database_write(lambda c: inbox.store(c, b.exchange.here(), pid, payload, digest))

    with pytest.raises(ValueError, match="not what was signed"):
        keep(payload, "0" * 64)
    newer = json.dumps({**page, "version": "2.0"}).encode()
    with pytest.raises(ValueError, match=r"version 2\.0"):
        keep(newer, data_plane.digest_bytes(newer))
    assert had(b) == []
    for _ in range(3):
        keep(payload, data_plane.digest_bytes(payload))
    assert [row["n"] for row in had(b)] == [1]


def test_a_statement_of_another_transfer_is_not_mirrored(tmp_path: Path) -> None:
    pulling = Pulling(tmp_path)
    a, b = pulling.a, pulling.b
    pid = find_mine(b)
    claims = {"iss": a.id, "aud": b.id, "transfer": "other", "agreement": pulling.agreement, "sequence": 0,
              "hash": "0" * 64, "digest": "0" * 64, "length": 1}  # fmt: skip
    with pytest.raises(ValueError, match="another transfer"):
        b.database_write(lambda c: inbox.mirror(c, b.exchange.here(), pid, claims))
    with pytest.raises(ValueError, match="another transfer"):
        b.database_write(
            lambda c: inbox.mirror(c, b.exchange.here(), pid, claims | {"transfer": pulling.transfer, "aud": "x"})
        )
    assert log_of(b) == []


def a_log(folder: Path, entries: int = 60) -> list[dict[str, Any]]:
    _, _, (a,) = parties(folder, "a")
    for n in range(entries):
        a.database_write(lambda c, n=n: usage.append(
            c, "t", time=NOW + n * 1000, side="provider", peer="urn:b", agreement=f"ag{n % 3}", transfer="tr", uses=1,
            details={"digest": str(n), "length": n}))  # fmt: skip
    return log_of(a)


def mutated(rows: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """A log somebody has touched: an entry changed, dropped, moved, doubled, back-dated, or all rewritten from there."""
    rows = [dict(row) for row in rows]
    at = rng.randrange(len(rows))
    how = rng.choice(["change", "drop", "swap", "double", "backdate", "rewrite", "cut"])
    if how == "change":
        field = rng.choice(["time", "side", "peer", "agreement", "transfer", "uses", "body", "hash", "sequence"])
        value = rows[at][field]
        rows[at][field] = (
            value + rng.choice([-1, 1]) if isinstance(value, int) else value[:-1] + ("x" if value[-1] != "x" else "y")
        )
    elif how == "drop":
        del rows[at]
    elif how == "swap":
        other = (at + 1 + rng.randrange(len(rows) - 1)) % len(rows)
        rows[at], rows[other] = rows[other], rows[at]
    elif how == "double":
        rows.insert(at, dict(rows[at]))
    elif how == "cut":
        rows = rows[:at]
    else:
        rows[at]["time"] -= rng.randrange(1, 10**6)
        if how == "rewrite":  # with every hash after it made anew, as its owner could
            rows[at]["uses"] += 7
            previous = rows[at - 1]["hash"] if at else usage.FIRST
            for row in rows[at:]:
                body = json.loads(row["body"]) | {"previous": previous}
                row["body"] = json.dumps(body, sort_keys=True)
                row["hash"] = previous = usage.hash_of({**row, "previous": previous})
    return rows


def test_ten_thousand_touched_logs_are_all_found(tmp_path: Path) -> None:
    """By the chain alone, or, where its owner rewrote or cut it, by a head that a neighbour holds."""
    rows = a_log(tmp_path)
    anchor = [(len(rows), usage.merkle_root([row["hash"] for row in rows]))]
    assert usage.first_bad(rows) is None
    assert usage.broken_anchor(rows, anchor) is None
    rng, found, by_chain = random.Random(5), 0, 0
    for _ in range(10_000):
        touched = mutated(rows, rng)
        if [tuple(row.items()) for row in touched] == [tuple(row.items()) for row in rows]:
            raise AssertionError("a mutation that changes nothing")
        chain = usage.first_bad(touched) is not None
        by_chain += chain
        found += chain or usage.broken_anchor(touched, anchor) is not None
    assert found == 10_000
    assert 5_000 < by_chain < 10_000, "some are found by the neighbour's head alone"


def test_merkle_roots_are_those_of_the_rfc() -> None:
    """RFC 6962's own test vectors for leaves of these bytes (certificate-transparency's reference tests)."""
    import hashlib

    def naive(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return hashlib.sha256(b"\x00" + leaves[0]).digest()
        k = 1
        while k * 2 < len(leaves):
            k *= 2
        return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()

    leaves = [bytes([n]) * 32 for n in range(33)]
    for n in range(1, 34):
        assert usage.merkle_root([leaf.hex() for leaf in leaves[:n]]) == naive(leaves[:n]).hex()
    assert usage.merkle_root([]) == hashlib.sha256().hexdigest()


def test_a_neighbour_that_rewrites_its_log_is_noticed(tmp_path: Path) -> None:
    _, _, (a, b) = parties(tmp_path, "a", "b")
    key, now_s = a.keyring.keys[0], NOW // 1000

    async def send(text: str) -> int:
        url = f"{b.address}/t/anchors"
        return (await a.exchange.send(b.id, "POST", url, text.encode(), None)).status_code

    def head(length: int, root: str, by: str = a.id) -> str:
        return key.sign("noriai-head+jwt", {"iss": by, "sequence": length, "root": root, "iat": now_s})

    def noticed() -> list[str]:
        return list(b.read(lambda c: c.execute(select(incidents.c.what)).scalars().all()))

    statement = a.database_write(lambda c: anchors.head_statement(c, a.exchange.here(), a.exchange.upsert, key, now_s))
    assert asyncio.run(send(statement)) == 204
    assert asyncio.run(send(head(10, "aa"))) == 204
    assert noticed() == []
    assert asyncio.run(send(head(10, "bb"))) == 204
    assert asyncio.run(send(head(9, "cc"))) == 204
    assert noticed() == ["log_rewritten"] * 2
    assert asyncio.run(send(head(11, "dd", by=b.id))) == 401
    assert [pair[0] for pair in b.read(lambda c: anchors.of_peer(c, "t", a.id))] == [0, 10]
    with pytest.raises(ProofError):
        b.database_write(lambda c: anchors.keep(c, b.exchange.here(), asyncio.run(b.exchange.known(a.id)), "x", now_s))


def test_a_head_reads_what_came_since_the_last_one_only(tmp_path: Path) -> None:
    """Heads made now and then have the roots of a plain tree over the whole log at those lengths; an entry before the
    last head is not read again, so that one that was rewritten does not change what neighbours are told."""
    _, _, (a, _) = parties(tmp_path, "a", "b")
    rng = random.Random(4)

    def add(connection: Any, count: int) -> None:
        for _ in range(count):
            usage.append(connection, "t", time=NOW, side="provider", peer="urn:b", agreement="x", transfer="y", uses=1,
                         details={"n": rng.random()})  # fmt: skip

    def head() -> dict[str, Any]:
        key, now_s = a.keyring.signing(NOW // 1000), NOW // 1000
        text = a.database_write(lambda c: anchors.head_statement(c, a.exchange.here(), a.exchange.upsert, key, now_s))
        return opened(text, "noriai-head+jwt", [key.public], now_s)

    for count in (0, 1, 1, 5, 0, 13, 64, 3):
        a.database_write(lambda c, count=count: add(c, count))  # type: ignore[misc]  # bound now
        said, hashes = head(), [row["hash"] for row in log_of(a)]
        assert (said["sequence"], said["root"]) == (len(hashes), usage.merkle_root(hashes))
    before = head()["root"]
    with a.database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE exchange_usage SET hash = 'ff' WHERE sequence = 3")
    assert head()["root"] == before
    assert usage.first_bad(log_of(a)) == 3, "the chain itself tells"


def test_the_log_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, (a, _) = parties(tmp_path, "a", "b")
    monkeypatch.setattr(usage, "PAGE", 10)

    def add(connection: Any) -> None:
        for n in range(25):
            usage.append(connection, "t", time=NOW + n, side="provider", peer="urn:b", agreement="x", transfer="y",
                         uses=1, details={"n": n})  # fmt: skip

    a.database_write(add)
    found, after = [], -1
    for length in (10, 10, 5, 0):
        rows, whole = a.read(lambda c, after=after: usage.page(c, "t", after))  # type: ignore[misc]  # bound now
        assert (len(rows), whole) == (length, True)
        found += [row["sequence"] for row in rows]
        after = found[-1]
    assert found == list(range(25))
    with a.database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE exchange_usage SET time = time + 1 WHERE sequence = 14")
    whole = [a.read(lambda c, after=after: usage.page(c, "t", after))[1] for after in (-1, 9, 19, 99)]  # type: ignore[misc]  # bound now
    assert whole == [True, False, True, False]


def test_both_parties_of_an_agreement_see_its_entries_and_nobody_else(tmp_path: Path) -> None:
    _, _, (a, b, c) = parties(tmp_path, "a", "b", "c")

    async def go() -> None:
        await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
        agreement = await agreed(b, a, DEMAND)
        url = f"{a.address}/t/usage/{agreement}"
        assert (await b.exchange.send(a.id, "GET", url, b"", None)).status_code == 200
        assert (await c.exchange.send(a.id, "GET", url, b"", None)).status_code == 404
        kept = [party.read(lambda conn: agreements.find(conn, "t", agreement)) for party in (a, b)]
        assert [k.hash for k in kept if k is not None] == [kept[0].hash] * 2  # type: ignore[union-attr]

    asyncio.run(go())


def test_logs_are_compared_and_a_difference_is_noted_once(tmp_path: Path) -> None:
    """Once a day by itself; a provider that rewrote an entry after it was mirrored is found."""
    pulling = Pulling(tmp_path)
    a, b = pulling.a, pulling.b
    a.add(DEMAND, {"n": 1})
    answer = pulling.fetch()
    claims = opened(answer.headers["noriai-usage"], USAGE, [k.public for k in a.keyring.keys], NOW // 1000)
    b.database_write(lambda c: inbox.mirror(c, b.exchange.here(), find_mine(b), claims))
    pulling.fetch()  # served, and lost on its way: no difference

    def of(party: Party) -> list[Any]:
        return list(party.read(lambda c: c.execute(select(incidents.c.what)).scalars().all()))

    for party, peer in ((a, b.id), (b, a.id)):
        assert party.read(lambda c, p=party: comparing.due(c, p.exchange.here())) == [peer]
        assert asyncio.run(comparing.visit(party.exchange, peer))
    assert of(a) == of(b) == []
    assert [length for length, _ in a.read(lambda c: anchors.of_peer(c, "t", b.id))] == [1]
    with a.database.writing.begin() as connection:
        connection.execute(usage.usage.update().where(usage.usage.c.sequence == 0).values(hash="f" * 64))
    for _ in range(3):
        assert asyncio.run(comparing.visit(b.exchange, a.id))
    assert of(b) == ["logs_differ"]
    b.database_write(lambda c: comparing._done(c, b.exchange, a.id))
    assert b.read(lambda c: comparing.due(c, b.exchange.here())) == []
    pulling.clock.ms += 86_400_000
    assert b.read(lambda c: comparing.due(c, b.exchange.here())) == [a.id]
    pulling.wire.meddle = lambda request: "lost"
    assert not asyncio.run(comparing.visit(b.exchange, a.id))


async def _agreed(a: Party, b: Party, purpose: str = "service-planning") -> str:
    process = await b.exchange.ask(a.id, DEMAND, purpose=purpose)

    async def final() -> bool:
        return (await b.exchange.process(process.process)).state == "FINALIZED"

    await until(final)
    return str((await b.exchange.process(process.process)).body["agreement"]["@id"])


def test_a_bus_carries_pages_that_nobody_else_can_read(tmp_path: Path, nats_server: NatsServer) -> None:
    """Whoever reads the server's stream sees ciphertext; the server's death in between loses and doubles nothing;
    after a revocation nothing is published, and what nobody had read is deleted."""
    import nats
    import nats.js.errors

    async def on_the_server() -> list[bytes]:
        client = await nats.connect(nats_server.address)
        stream = client.jetstream()
        info = await stream.stream_info(bus.STREAM)
        numbers = range(info.state.first_seq, info.state.last_seq + 1) if info.state.messages else ()
        found = []
        for k in numbers:
            with contextlib.suppress(nats.js.errors.NotFoundError):  # deleted since we asked how many there are
                found.append(bytes((await stream.get_msg(bus.STREAM, seq=k)).data or b""))
        await client.close()
        return found

    async def go() -> None:
        async with live(tmp_path, "a", "b") as (_, (a, b)):
            a.exchange.bus = b.exchange.bus = nats_server.address
            await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
            agreement = await _agreed(a, b)
            a.add(DEMAND, *({"secret": f"mesh-of-a-wish-{n}"} for n in range(700)))
            transfer = await b.exchange.request_transfer(agreement, BUS, "service-planning")

            async def here(count: int) -> None:
                async def has() -> bool:
                    return len(had(b)) == count

                await until(has, 30)

            await here(700)
            seen = await on_the_server()
            assert len(seen) == 2
            assert not any(b"secret" in page or b"mesh-of" in page for page in seen)
            key = transfers.token_of((await b.exchange.process(transfer.process)).body["address"])
            assert b"mesh-of-a-wish-0" in bus.unsealed(seen[0], str(key))
            for wrong in ("00" * 32, "x"):
                with pytest.raises(InputError):
                    bus.unsealed(seen[0], wrong)
            nats_server.kill()
            a.add(DEMAND, *({"secret": n} for n in range(3)))
            await asyncio.sleep(0.5)
            nats_server.start()
            await here(703)
            assert [row["sequence"] for row in had(b)] == list(range(703))
            await b.exchange.stop()  # nobody reads any more
            a.add(DEMAND, {"secret": "unread"})

            async def published() -> bool:
                return len(await on_the_server()) > 3

            await until(published, 30)
            await a.exchange.revoke(agreement, "enough")
            a.add(DEMAND, {"secret": "later"})

            async def empty() -> bool:
                return not await on_the_server()

            await until(empty, 30)
            b.exchange.start()
            await asyncio.sleep(1.5)
            assert len(had(b)) == 703

    asyncio.run(go())


def test_a_bus_is_read_at_its_providers_host_or_our_own_only() -> None:
    peer = "https://exchange.town.example/x"
    assert bus.may_connect("nats://exchange.town.example:4222", peer, "")
    assert bus.may_connect("nats://shared.example:4222", peer, "nats://shared.example:4222")
    for elsewhere in ("nats://127.0.0.1:4222", "nats://exchange.town.example.evil:4222", "http://x", ""):
        assert not bus.may_connect(elsewhere, peer, "nats://shared.example:4222")


def test_without_a_bus_no_transfer_over_it(tmp_path: Path) -> None:
    _, _, (a, b) = parties(tmp_path, "a", "b")

    async def go() -> None:
        await a.exchange.offer(DEMAND, a_description(), [FOR_PLANNING])
        agreement = await agreed(b, a, DEMAND)
        transfer = await b.exchange.request_transfer(agreement, BUS, "service-planning")
        await settled(a, b)
        assert (await b.exchange.process(transfer.process)).state != "STARTED"

    asyncio.run(go())


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=8),
    st.lists(st.text(max_size=4), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(["sequence", "what", "reason", "n", "area"]), VALUES), max_size=6))
def test_a_page_comes_out_of_parquet_as_it_went_in(records: list[dict[str, Any]]) -> None:
    """Whatever the records; another library reads the same number of rows."""
    import pyarrow.parquet as pq

    page = {"dataset": "d", "schema": "s", "version": "1.0", "records": records, "next": 5, "more": False}
    payload = encodings.encoded(page, PARQUET)
    back = encodings.decoded(payload, PARQUET)
    rows = pq.read_table(io.BytesIO(payload)).num_rows
    if any(records):  # a file without columns has no rows
        assert back == page
        assert rows == len(records)


@given(st.binary(max_size=60))
def test_what_is_no_parquet_is_refused(junk: bytes) -> None:
    for payload in (junk, b"PAR1" + junk + b"PAR1"):
        with pytest.raises(InputError):
            encodings.decoded(payload, PARQUET)
