"""Who gets through the door, and what they see there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from exchanging import NOW, YEAR_S, Party, a_description, agreed, limit, parties, rule
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from noriai_api.digests import digest_bytes
from noriai_api.exchange.corporate_numbers import check_digit, is_corporate_number, of_municipality
from noriai_api.exchange.keys import PROOF, Keyring, OwnKey, ProofError, check_proof, new_key, proof
from noriai_engine.model.errors import InputError

STANDARD = Path(__file__).parents[3] / "shared" / "standards" / "dataspace-protocol"
DEMAND = "urn:noriai:dataset:demand"


def asked(party: Party, peer: Party, headers: dict[str, str], path: str = "/x/t/dsp/catalog/request") -> httpx.Response:
    body = json.dumps({"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "CatalogRequestMessage"})

    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=party.wire) as http:
            return await http.post(f"http://{peer.name}{path}", content=body, headers=headers)

    return asyncio.run(go())


BODY = json.dumps({"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "CatalogRequestMessage"})


def claims(a: Party, b: Party, **more: Any) -> dict[str, Any]:
    return {"iss": b.id, "aud": a.id, "iat": NOW // 1000, "jti": "1", "htm": "POST", "htu": "/x/t/dsp/catalog/request",
            "bsh": digest_bytes(BODY.encode())} | more  # fmt: skip


def test_what_is_wrong_with_a_proof_is_found_and_not_told(tmp_path: Path) -> None:
    """Every way in which a proof may fail is its own code inside, and one and the same answer outside."""
    _, clock, (a, b, c) = parties(tmp_path, "a", "b", "c")
    key = b.keyring.keys[0]
    stranger = new_key(b"z" * 32, 0, NOW // 1000 + YEAR_S)
    old = new_key(b"o" * 32, 0, NOW // 1000 - 10)
    secret = OctKey.import_key(b.keyring.keys[0].public.jwk["x"])
    header = {"alg": "HS256", "typ": PROOF, "kid": key.public.kid}
    now_s = NOW // 1000

    def signed(by: OwnKey = key, **more: Any) -> str:
        return by.sign(PROOF, claims(a, b, **more))

    good = signed(jti="good")
    wrong: dict[str, str | None] = {
        "missing": None, "malformed": "no.token", "unknown_participant": stranger.sign(PROOF, claims(a, b, iss="urn:x")),
        "unknown_key": signed(stranger), "wrong_type": key.sign("noriai-keys+jwt", claims(a, b)),
        "wrong_algorithm": jwt.encode(header, claims(a, b), secret, algorithms=["HS256"]),
        "bad_signature": good[:-8] + ("AAAAAAA=" if not good.endswith("AAAAAAA") else "BBBBBBB="),
        "wrong_audience": signed(aud=c.id), "too_old": signed(iat=now_s - 301), "not_yet": signed(iat=now_s + 301),
        "other_method": signed(htm="GET"), "other_path": signed(htu="/x/t/dsp/negotiations/request"),
        "other_body": signed(bsh="0" * 64), "claims_missing": key.sign(PROOF, {"iss": b.id}),
    }  # fmt: skip
    answers = set()
    for code, text in wrong.items():
        with pytest.raises(ProofError) as caught:
            asyncio.run(a.exchange.proven(text, "POST", "/x/t/dsp/catalog/request", BODY.encode()))
        assert caught.value.code == code
        answer = asked(b, a, {} if text is None else {"Noriai-Proof": text})
        answers.add((answer.status_code, answer.text))
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    with pytest.raises(ProofError, match="rotated_out"):
        check_proof(old.sign(PROOF, claims(a, b)), [old.public], a.id, "POST", "/", b"", now_s)
    assert asked(b, a, {"Noriai-Proof": good}).status_code == 200
    assert asked(b, a, {"Noriai-Proof": good}).status_code == 401, "a proof counts once"
    asyncio.run(a.exchange.change(lambda conn, here: deny(conn, b.id)))
    assert asked(b, a, {"Noriai-Proof": signed(jti="later")}).status_code == 401, "denied"
    assert clock.ms == NOW


def deny(connection: Any, participant: str) -> None:
    from noriai_api.exchange.participants import set_allowed

    assert set_allowed(connection, "t", participant, allowed=False)


def test_a_replayed_message_is_refused_after_a_restart_too(tmp_path: Path) -> None:
    wire, _, (a, b) = parties(tmp_path, "a", "b")
    asyncio.run(a.exchange.offer(DEMAND, a_description(), [rule()], manual=True))
    asyncio.run(b.exchange.ask(a.id, DEMAND, purpose=None))
    caught: list[httpx.Request] = []
    wire.meddle = lambda request: caught.append(request)
    asyncio.run(b.settle())
    request = next(r for r in caught if r.url.path.endswith("negotiations/request"))
    a.begin()

    async def again() -> httpx.Response:
        async with httpx.AsyncClient(transport=wire) as http:
            return await http.post(request.url, content=request.content, headers=request.headers)

    assert asyncio.run(again()).status_code == 401


def test_a_second_copy_of_a_first_message_finds_what_the_first_one_began(tmp_path: Path) -> None:
    """By the sender's id: the same process, and where it stands by now."""
    _, _, (a, b) = parties(tmp_path, "a", "b")
    url = f"{a.address}/t/dsp/negotiations/request"

    async def go() -> None:
        await a.exchange.offer(DEMAND, a_description(), [rule()])
        body = json.dumps(ask({"permission": [{"action": "use"}]})).encode()
        first, second = [(await b.exchange.send(a.id, "POST", url, body, None)) for _ in range(2)]
        assert (first.status_code, first.json()["state"]) == (201, "REQUESTED")
        assert (second.status_code, second.json()["state"]) == (201, "OFFERED"), (
            "other terms than ours: we offered ours"
        )
        assert first.json()["providerPid"] == second.json()["providerPid"]

    asyncio.run(go())


def test_keys_are_renewed_while_messages_go_on(tmp_path: Path) -> None:
    """A neighbour learns a new key by asking; the one before ends; one that was made by nobody is not learnt."""
    _, clock, (a, b) = parties(tmp_path, "a", "b")
    now_s = NOW // 1000

    async def catalogues() -> int:
        return len(await b.exchange.catalogue_of(a.id))

    asyncio.run(catalogues())
    before = b.keyring.keys[0]
    b.keyring.add(new_key(b"n" * 32, now_s, now_s + YEAR_S), old_until=now_s + 600)
    asyncio.run(catalogues())
    clock.ms += 700_000
    asyncio.run(catalogues())
    late = proof(before, b.id, a.id, "POST", "/p", b"", clock.ms // 1000, "late")
    with pytest.raises(ProofError, match=r"rotated_out|unknown_key"):
        asyncio.run(a.exchange.proven(late, "POST", "/p", b""))
    b.keyring.keys = [new_key(b"q" * 32, now_s, now_s + YEAR_S)]  # as if somebody else answered for b
    clock.ms += 100_000
    with pytest.raises(InputError, match="401"):
        asyncio.run(catalogues())


def test_keys_are_kept_in_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "k.json"
    ring = Keyring.load(path)
    ring.add(new_key(b"k" * 32, 0, 100))
    ring.add(new_key(b"l" * 32, 50, 200), old_until=60)
    again = Keyring.load(path)
    assert [key.public for key in again.keys] == [key.public for key in ring.keys]
    assert again.signing(55).public.kid == ring.keys[1].public.kid
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(InputError, match="no key"):
        again.signing(300)
    path.write_text("{")
    with pytest.raises(InputError, match="holds no keys"):
        Keyring.load(path)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda p: p.membership()[:-4] + "AAAA", "does not hold"), (lambda p: "no", "does not hold"),
        (lambda p: p.membership(corporate_number="1000020082202"), "no corporate number"),
    ],
)  # fmt: skip
def test_memberships_that_do_not_hold(tmp_path: Path, spoil: Callable[[Party], str], what: str) -> None:
    _, _, (a, b) = parties(tmp_path, "a", "b")
    with pytest.raises(InputError, match=what):
        asyncio.run(a.exchange.admit(spoil(b)))
    b.authority = new_key(b"e" * 32, 0, NOW // 1000 + YEAR_S)
    with pytest.raises(InputError, match="unknown_key"):
        asyncio.run(a.exchange.admit(b.membership()))


def test_four_viewers_see_four_catalogues(tmp_path: Path) -> None:
    """What one may not see is absent; asking for it by name answers as for what is not there, to the byte."""
    wire, _, (a, *others) = parties(tmp_path, "a", "b", "c", "d", "e")
    viewers = {"b": [o.id for o in others[:1]], "bc": [o.id for o in others[:2]], "all": None, "none": []}

    async def go() -> None:
        for name, allowed in viewers.items():
            await a.exchange.offer(f"urn:noriai:dataset:{name}", a_description(), [rule()], viewers=allowed)
        seen = []
        for other in others:
            found = (await other.exchange.catalogue_of(a.id)).get("dataset", [])
            seen.append({dataset["@id"].split(":")[-1] for dataset in found})
        assert seen == [{"b", "bc", "all"}, {"bc", "all"}, {"all"}, {"all"}]
        texts = set()
        for name in ("none", "b", "missing"):
            url = f"{a.address}/t/dsp/catalog/datasets/urn:noriai:dataset:{name}"
            answer = await others[3].exchange.send(a.id, "GET", url, b"", None)
            texts.add((answer.status_code, answer.text))
            negotiation = await others[3].exchange.ask(
                a.id, f"urn:noriai:dataset:{name}", purpose=None, offer={"@id": "o", "@type": "Offer", **PERMITS}
            )  # fmt: skip
            await others[3].settle()
            ended = await others[3].exchange.process(negotiation.process)
            texts.add((ended.state, str(ended.body["ended"])))
        assert len(texts) == 2
        assert {status for status, _ in texts} == {404, "TERMINATED"}

    asyncio.run(go())
    assert wire.passed


PERMITS = {"permission": [{"action": "use"}]}


@pytest.mark.shared
@pytest.mark.skipif(not STANDARD.is_dir(), reason="needs ../shared/standards/dataspace-protocol")
def test_the_catalogue_fits_mobilitydcat_ap(tmp_path: Path) -> None:
    """Expanded by PyLD with the official context, judged by pySHACL with the profile's own shapes."""
    import pyshacl
    import rdflib
    from pyld import jsonld

    files = {"context.jsonld": "dspace.jsonld", "odrl-profile.jsonld": "odrl.jsonld"}

    def load(url: str, options: Any) -> dict[str, Any]:
        document = json.loads((STANDARD / "context" / files[url.rsplit("/", 1)[1]]).read_text())
        return {"contextUrl": None, "documentUrl": url, "document": document}

    _, _, (a, b) = parties(tmp_path, "a", "b")
    asyncio.run(
        a.exchange.offer(DEMAND, a_description(since="2026-01-01T00:00:00Z"), [rule(limit("count", "lteq", "5"))])
    )
    found = asyncio.run(b.exchange.catalogue_of(a.id))
    shapes = rdflib.Graph().parse(STANDARD / "related/mobilitydcat-ap/shacl_shapes.ttl")

    def verdict(catalogue: dict[str, Any]) -> tuple[bool, str]:
        quads = jsonld.to_rdf(catalogue, {"format": "application/n-quads", "documentLoader": load})
        graph = rdflib.Graph().parse(data=quads, format="nt")
        fits, _, text = pyshacl.validate(graph, shacl_graph=shapes)
        return fits, text

    assert verdict(found) == (True, verdict(found)[1])
    del found["dataset"][0]["http://w3id.org/mobilitydcat-ap#mobilityTheme"]
    fits, text = verdict(found)
    assert not fits, "a bare catalogue falls at the theme"
    assert "mobilityTheme" in text


def test_callbacks_only_to_where_one_was_admitted(tmp_path: Path) -> None:
    """A neighbour cannot make us call somebody else."""
    wire, _, (a, b, c) = parties(tmp_path, "a", "b", "c")

    async def go() -> None:
        await a.exchange.offer(DEMAND, a_description(), [rule()])
        b.exchange.me = type(b.exchange.me)("t", b.id, f"{c.address}/t")
        process = await b.exchange.ask(a.id, DEMAND, purpose=None)
        await b.settle()
        ended = await b.exchange.process(process.process)
        assert ended.state == "TERMINATED"
        assert "callbackAddress" in str(ended.body["ended"])

    asyncio.run(go())
    assert not any("//c/" in url for _, _, url, *_ in wire.passed)


def test_hostile_bodies_are_refused(tmp_path: Path) -> None:
    """Nothing makes the door fall: deep nesting, other types, foreign ids, wrong JSON."""
    _, _, (a, b) = parties(tmp_path, "a", "b")

    async def go() -> None:
        await a.exchange.offer(DEMAND, a_description(), [rule()])
        await agreed(b, a, DEMAND)
        deep: Any = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "dispatch"}
        for _ in range(60):
            deep = {"and": [deep]}
        bodies: list[Any] = [
            None, [], {"@type": "ContractRequestMessage"}, {"@type": 7}, "x", 1e400,
            ask({"permission": [{"action": "use", "constraint": [deep]}]}), ask({"permission": []}),
            ask({"permission": [{"action": "sell"}]}), ask({"permission": [{"action": "use"}], "prohibition": [{}]}),
            ask({"permission": [{"action": "use", "constraint": [{"leftOperand": "mood", "operator": "eq", "rightOperand": "x"}]}]}),
        ]  # fmt: skip
        raw = [b"{", b"\xff\xfe", b"[" * 20_000, *(json.dumps(body).encode() for body in bodies)]
        for path in ("negotiations/request", "transfers/request", "negotiations/offers", "catalog/request"):
            for body in raw:
                answer = await b.exchange.send(a.id, "POST", f"{a.address}/t/dsp/{path}", body, None)
                assert 400 <= answer.status_code < 500, (path, body[:100], answer.text)
                assert "Error" in answer.json()["@type"]

    asyncio.run(go())


def ask(offer: dict[str, Any]) -> dict[str, Any]:
    return {
        "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "ContractRequestMessage",
        "consumerPid": "c", "callbackAddress": "http://b/x/t/dsp",
        "offer": {"@id": "o", "@type": "Offer", "target": DEMAND, **offer},
    }  # fmt: skip


def test_known_corporate_numbers() -> None:
    """The National Tax Agency, the Ministry of Internal Affairs, Tokyo, Yokohama, Osaka."""
    for known in ("7000012050002", "2000012020001", "8000020130001", "3000020141003", "6000020271004"):
        assert is_corporate_number(known)
        assert not is_corporate_number(str((int(known[0]) + 1) % 10) + known[1:])
    assert of_municipality("130001") == "8000020130001"
    for other in (None, 7, "", "700001205000", "70000120500021", "７０００００１２０５０００２"):
        assert not is_corporate_number(other)


@given(st.from_regex(r"[0-9]{12}", fullmatch=True), st.integers(0, 12), st.integers(1, 8))
def test_a_wrong_digit_is_found(twelve: str, place: int, shift: int) -> None:
    """Any single digit that is not the right one by less than nine is found (nine apart counts the same)."""
    number = check_digit(twelve) + twelve
    assert is_corporate_number(number)
    digit = (int(number[place]) + shift) % 10
    changed = number[:place] + str(digit) + number[place + 1 :]
    if abs(digit - int(number[place])) not in (0, 9):
        weight = 1 if place == 0 else (2 if (12 - place) % 2 else 1)
        same = place > 0 and (weight * (digit - int(number[place]))) % 9 == 0
        assert same or not is_corporate_number(changed)
