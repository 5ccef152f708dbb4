"""Riding in neighbours' vehicles: whose a ride is, whatever gets lost between the nodes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from neighbouring import (
    agree,
    asked,
    count_of,
    exchange_of,
    manage,
    neighbours,
    offer_rides,
    take,
    until,
    with_offers,
)
from serving import Serving

from noriai_api.bookings.schemas import QuoteIn
from noriai_api.borders import legs, rides
from noriai_api.exchange import usage
from noriai_api.standards import tomp
from noriai_engine.model.errors import InputError

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Serving]]:
    """A town without vehicles and its neighbour with eight, which agreed on rides."""
    with neighbours(tmp_path_factory.mktemp("two"), a=0, b=8) as nodes:
        offer_rides(nodes[1])
        agree(nodes[0], nodes[1])
        yield nodes


def test_a_rider_of_a_town_without_vehicles_rides_with_the_neighbour(two: list[Serving]) -> None:
    a, b = two
    before = count_of(b)
    ride = with_offers(a, 0)
    assert {leg["participant"] for o in ride["offers"] for leg in o["legs"]} == {"urn:noriai:node:b"}
    assert ride["refusal"]["text"]["ja"], "why our own could not"
    taken = take(a, ride["ride"]).json()
    assert (taken["state"], taken["owner"]) == ("booked", "urn:noriai:node:b")
    again = take(a, ride["ride"]).json()
    assert again["booking"] == taken["booking"]
    assert (count_of(a), count_of(b)) == (0, before + 1)
    settled = [
        manage(n, "GET", f"agreements/{manage(a, 'GET', 'agreements')['agreements'][0]['agreement']}/settlement")
        for n in (a, b)
    ]
    assert settled[0]["lines"] == settled[1]["lines"]
    assert settled[0]["total"] == settled[1]["total"] == sum(line["price"] for line in settled[0]["lines"]) > 0
    for node in (a, b):
        rows = node.node.database.read(lambda c: usage.entries(c, "home"))
        assert usage.first_bad(rows) is None


def test_what_neighbours_hear_names_nobody(two: list[Serving]) -> None:
    """The search has places, time, party and needs; the rider's token and the client's name stay home."""
    a, _ = two
    wish = QuoteIn.model_validate_json(
        json.dumps(a.wish(3) | {"rider": "rider-demo", "party": {"seats": 1, "wheelchairs": 1}})
    )
    said = json.dumps(tomp.search(wish))
    assert "rider-demo" not in said
    back = tomp.wish_of(json.loads(said))
    assert back == wish.model_copy(update={"rider": None, "origin": back.origin, "destination": back.destination})
    assert (back.origin.lon, back.origin.lat) == (wish.origin.lon, wish.origin.lat)
    for broken in (None, {}, {"inputs": {}}, {"inputs": {"specification": {"from": "x", "to": "y"}, "travellers": []}}):
        with pytest.raises(InputError):
            tomp.wish_of(broken)
        with pytest.raises(InputError):
            tomp.purchase_of(broken)
        assert tomp.offers_of(broken) == []
        assert tomp.booking_of(broken) is None


def test_nothing_of_a_person_is_on_the_wire(two: list[Serving], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that passes between the nodes is caught and read: no name, telephone, rider's token, client or key of
    either side, in whichever direction; and every answer with rides in it was under an agreement in force."""
    a, b = two
    known = {"Yamada Hanako", "0901234567", "rider-demo"}
    personal = {"name": "Yamada Hanako", "phone": "0901234567", "purpose": "notices"}
    for node in two:
        assert node.ask("administrator", "PUT", "/v1/riders/rider-demo/personal", json=personal).is_success
    passed: list[tuple[str, bytes, bytes, int]] = []
    request = httpx.AsyncClient.request

    async def caught(self: Any, method: str, url: str, **more: Any) -> httpx.Response:
        answer = await request(self, method, url, **more)
        passed.append((url, more.get("content") or b"", answer.content, answer.status_code))
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "request", caught)
    ride = None
    for number in range(400, 430):
        ride = asked(a, number)
        body = {"region": a.region, "wish": a.wish(number) | {"rider": "rider-demo"}}
        ride = a.ask("partner", "POST", "/v1/exchange/rides", json=body).json()
        if ride["offers"]:
            break
    assert ride is not None
    assert take(a, ride["ride"]).json()["state"] == "booked"
    assert a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation").json()["state"] == "given_up"
    b.booked(440, rider="rider-demo")
    texts = [part.decode() for _, sent, got, _ in passed for part in (sent, got)]
    assert len(texts) >= 8
    secrets = known | {key for node in two for key in node.keys.values()} | {'"partner"', "desk", "administrator"}
    for text in texts:
        assert not [secret for secret in secrets if secret in text], text
    agreement = next(x for x in manage(b, "GET", "agreements")["agreements"] if x["role"] == "provider")
    assert agreement["revoked"] is None
    log = b.node.database.read(lambda c: usage.entries(c, "home", agreement["agreement"]))
    digests = {json.loads(entry["body"])["digest"] for entry in log}
    sold = [got for url, _, got, status in passed if url.endswith("execution") and status == 200]
    assert sold
    assert {hashlib.sha256(got).hexdigest() for got in sold} <= digests, "each answer has its entry"


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_lost_purchase_ends_with_one_owner(two: list[Serving], monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    a, b = two
    before, exchange = count_of(b), exchange_of(a)
    ride = with_offers(a, 40)
    send = exchange.send

    async def losing(peer: str, method: str, url: str, *more: Any) -> httpx.Response:
        if "purchase" in url:
            if lost == "answer":
                await send(peer, method, url, *more)
            raise httpx.ReadError("gone")
        return await send(peer, method, url, *more)

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "send", losing)
        assert take(a, ride["ride"]).json()["state"] == "buying"
    ended = until(a, ride["ride"], "booked")
    assert (ended["owner"], count_of(b)) == ("urn:noriai:node:b", before + 1)
    agreement = manage(a, "GET", "agreements")["agreements"][0]["agreement"]
    assert len({str(manage(n, "GET", f"agreements/{agreement}/settlement")["lines"]) for n in (a, b)}) == 1


def test_a_ride_given_up_is_given_back_once_the_neighbour_answers(
    two: list[Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    before, exchange = count_of(b), exchange_of(a)
    ride = with_offers(a, 80)
    assert take(a, ride["ride"]).json()["state"] == "booked"
    assert count_of(b) == before + 1

    async def silent(*arguments: Any) -> httpx.Response:
        raise httpx.ConnectError("partition")

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "send", silent)
        answer = a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation")
        assert answer.json()["state"] == "giving_back"
    until(a, ride["ride"], "given_up")
    assert count_of(b) == before


def test_a_purchase_still_on_its_way_is_neither_refused_nor_given_up(
    two: list[Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The neighbour is still busy with an earlier copy: what comes of it is asked later. A ride given up meanwhile waits
    for it, and is then given back."""
    a, b = two
    before, exchange = count_of(b), exchange_of(a)
    send, late = exchange.send, []

    async def busy(peer: str, method: str, url: str, *more: Any) -> httpx.Response:
        if "purchase" in url:
            late.append((peer, method, url, *more))
            return httpx.Response(409, json={"code": "key_in_flight"})
        return await send(peer, method, url, *more)

    for given_up in (False, True):
        ride = with_offers(a, 320 if given_up else 360)
        with monkeypatch.context() as patch:
            patch.setattr(exchange, "send", busy)
            assert take(a, ride["ride"]).json()["state"] == "buying"
            if given_up:
                answer = a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation")
                assert answer.json()["state"] == "giving_back"
            assert a.on_loop(send(*late[-1])).status_code == 200, "the copy that was on its way arrives"
        until(a, ride["ride"], "given_up" if given_up else "booked")
    assert count_of(b) == before + 1


def test_own_bookings_go_on_while_a_neighbour_is_silent_or_lies(
    two: list[Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node b has vehicles: it agrees with a, whose answers are then garbage, too late, or none at all."""
    a, b = two
    offer_rides(a)
    agree(b, a)
    exchange = exchange_of(b)
    calls = []

    def answering(text: str, status: int = 200) -> Any:
        async def send(peer: str, method: str, url: str, *more: Any) -> httpx.Response:
            calls.append(url)
            return httpx.Response(status, text=text)

        return send

    good = tomp.offers_of
    lie = {
        "features": [
            {"id": "x", "properties": {"customFields": {"noriaiOffer": {"offer": 0, "operator": "o"}}}},
            7,
            None,
        ]
    }
    for text in ("", "[]", json.dumps(lie), '{"features": {}}', "x" * 100_000):
        with monkeypatch.context() as patch:
            patch.setattr(exchange, "send", answering(text))
            ride = with_offers(b, 120, compare=True)
        assert {leg["participant"] for o in ride["offers"] for leg in o["legs"]} == {None}
    assert calls
    assert good is tomp.offers_of
    taken = take(b, ride["ride"]).json()
    assert (taken["state"], taken["owner"]) == ("booked", "urn:noriai:node:b")

    async def never(*arguments: Any) -> httpx.Response:
        raise httpx.ConnectError("partition")

    monkeypatch.setattr(exchange, "send", never)
    assert with_offers(b, 160, compare=True)["offers"]


def test_another_client_sees_nothing_and_a_wrong_number_is_told(two: list[Serving]) -> None:
    a, _ = two
    ride = with_offers(a, 200)
    assert a.ask("desk", "GET", f"/v1/exchange/rides/{ride['ride']}").status_code == 404
    wrong = take(a, ride["ride"], 99)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid")
    gone = a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation")
    assert gone.json()["state"] == "given_up"
    assert take(a, ride["ride"]).status_code == 409


def test_a_neighbour_sees_only_what_it_bought_itself(two: list[Serving]) -> None:
    """Bookings of b's own riders are not there for a."""
    a, b = two
    mine = b.booked(300)
    exchange = exchange_of(a)
    url = f"{exchange_of(b).me.address}/rides/collections/packages/items/{mine['booking']}"
    answer = a.on_loop(exchange.send("urn:noriai:node:b", "GET", url, b"", None))
    assert answer.status_code == 404
    answer = a.on_loop(exchange.send("urn:noriai:node:b", "POST", f"{url}/cancellation", b"{}", None))
    assert answer.status_code == 404


def test_without_an_agreement_there_are_no_offers(two: list[Serving]) -> None:
    """Last, since it ends the agreement: nothing is offered or sold any longer, what was bought stays."""
    a, b = two
    ride = with_offers(a, 240)
    agreement = next(x for x in manage(b, "GET", "agreements")["agreements"] if x["role"] == "provider")
    manage(b, "POST", f"agreements/{agreement['agreement']}/revocation", json={"reason": "enough"})
    assert asked(a, 240)["offers"] == []
    assert take(a, ride["ride"]).json()["state"] == "refused"


def test_what_stopped_before_it_booked_may_be_taken_again(two: list[Serving]) -> None:
    _, b = two
    ride = with_offers(b, 260)
    exchange = exchange_of(b)

    def stopped(connection: Any) -> None:
        row = rides.find(connection, "home", ride["ride"])
        assert row is not None
        assert rides.begin(connection, row, 0, 0)
        (leg,) = legs.of_ride(connection, "home", ride["ride"])
        assert legs.move(connection, "home", leg, "wanted", "buying", next_try=0)

    b.on_loop(exchange.write(stopped))
    until(b, ride["ride"], "offered")
    assert take(b, ride["ride"]).json()["state"] == "booked"
