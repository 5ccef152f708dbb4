"""There and back, or a group in several vehicles: every ride of it is booked, or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Serving, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import bookings


@pytest.fixture
def town(tmp_path: Path, database: str) -> Iterator[Serving]:
    with serving(some_settings(tmp_path, database, moves_itself=False, fleet=3)) as running:
        yield running


def take(town: Serving, quotes: list[dict[str, Any]], key: str, role: str = "partner") -> httpx.Response:
    body = {"bookings": [{"quote": quote["quote"]} for quote in quotes]}
    return town.ask(role, "POST", "/v1/joint-bookings", key=key, json=body)


def kept(town: Serving) -> list[str]:
    return list(town.node.database.read(lambda c: c.execute(select(bookings.c.booking)).scalars().all()))


def there_and_back(town: Serving, first: int = 0) -> list[dict[str, Any]]:
    there = town.offered(first, minutes=60)
    wish = town.wish(first, minutes=240)
    back = wish | {"origin": wish["destination"], "destination": wish["origin"]}
    answer = town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=back)
    assert answer.json()["offers"]
    return [there, answer.json()]


def test_there_and_back(town: Serving) -> None:
    quotes = there_and_back(town)
    made = take(town, quotes, "return")
    assert made.status_code == 201, made.text
    out, back = made.json()["bookings"]
    assert out["together"] == back["together"] is not None
    assert (out["quote"], back["quote"]) == (quotes[0]["quote"], quotes[1]["quote"])
    assert sorted(kept(town)) == sorted([out["booking"], back["booking"]])
    replay = take(town, quotes, "return")
    assert (replay.json(), replay.headers["Idempotent-Replayed"]) == (made.json(), "true")
    assert take(town, quotes, "another").status_code == 409
    assert take(town, quotes[::-1], "return").status_code == 422
    assert len(kept(town)) == 2
    assert town.ask("partner", "POST", f"/v1/bookings/{back['booking']}/cancel").status_code == 200
    assert town.ask("partner", "GET", f"/v1/bookings/{out['booking']}").json()["state"] == "accepted"


def test_a_group_in_several_vehicles_or_not_at_all(town: Serving) -> None:
    """Three vehicles of four seats carry twelve at once, and not sixteen: then nobody of them is booked."""
    wish = town.wish(7, minutes=45, party={"seats": 4})
    quotes = []
    for _ in range(4):
        answer = town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=wish).json()
        quotes.append(answer)
    assert all(quote["offers"] for quote in quotes), "each party alone could be served"
    before = town.state_hash()
    refused = take(town, quotes, "sixteen")
    assert (refused.status_code, refused.json()["code"]) == (409, "offer_gone")
    number = refused.json()["number"]
    assert 1 <= number <= 3
    assert kept(town) == []
    assert town.state_hash() == before
    made = take(town, quotes[:number], "fewer")
    assert made.status_code == 201
    assert len({b["vehicle"] for b in made.json()["bookings"]}) == len(kept(town)) == number


def test_what_cannot_be_taken_together(town: Serving) -> None:
    quotes = there_and_back(town)
    assert take(town, [quotes[0], quotes[0]], "twice").status_code == 422
    assert take(town, quotes[:1], "one").status_code == 422
    assert take(town, quotes, "planner", role="planner").status_code == 403
    assert take(town, [*quotes, {"quote": "none"}], "unknown").status_code == 404
    body = {"bookings": [{"quote": quotes[0]["quote"], "offer": 9}, {"quote": quotes[1]["quote"]}]}
    assert town.ask("partner", "POST", "/v1/joint-bookings", key="x", json=body).status_code == 422
    assert town.ask("partner", "POST", "/v1/joint-bookings", json=body).json()["code"] == "key_missing"
    assert kept(town) == []
