"""Riders let others book for them: no more than they may themselves, within limits, on no other rider's rides, and until
they end it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import audit, bookings

SERVICE = (
    'name = "Rides that cost"\nmax_wait_min = 40\ndetour_factor = 2.5\ndetour_extra_min = 40\nfare = { flat = 700 }\n'
)
ALL = ["booking.quote", "booking.create", "booking.read", "booking.change", "booking.cancel", "rider.read"]


@pytest.fixture
def town(tmp_path: Path, database: str) -> Iterator[Serving]:
    (tmp_path / "service.toml").write_text(SERVICE)
    settings = some_settings(tmp_path / "node", database, service=tmp_path / "service.toml")
    with serving(settings) as running:
        yield running


def let(town: Serving, role: str = "resident", **change: Any) -> Any:
    until = (town.now() + timedelta(days=60)).isoformat()
    body = {"name": "Daughter", "kind": "family", "may": ALL, "expires": until} | change
    answer = town.ask(role, "POST", "/v1/me/delegates", json=body)
    if answer.status_code == 201 and answer.json()["key"]:
        town.keys[answer.json()["client"]] = answer.json()["key"]
    return answer


def book(town: Serving, role: str, number: int, minutes: int = 60) -> Any:
    quote = town.offered(number, role, minutes=minutes)
    return town.ask(role, "POST", "/v1/bookings", key=f"{role}-{number}", json={"quote": quote["quote"]})


def test_a_delegate_books_and_the_record_says_for_whom(town: Serving) -> None:
    made = let(town)
    assert made.status_code == 201, made.text
    daughter = made.json()["client"]
    me = town.ask(daughter, "GET", "/v1/me").json()
    assert (me["role"], me["rider"]) == ("proxy", town.ask("resident", "GET", "/v1/me").json()["rider"])
    booked = book(town, daughter, 0)
    assert booked.status_code == 201, booked.text
    assert booked.json()["rider"] == me["rider"]
    name = booked.json()["booking"]
    assert town.ask("resident", "GET", f"/v1/bookings/{name}").status_code == 200
    entries = town.node.database.read(
        lambda c: c.execute(select(audit).where(audit.c.resource == f"booking/{name}")).mappings().all()
    )
    assert {(e["actor"], e["on_behalf_of"]) for e in entries} == {(daughter, me["rider"])}
    (told,) = town.ask("resident", "GET", "/v1/me/delegates").json()["delegates"]
    assert (told["client"], told["amount_this_month"], told["ended"]) == (daughter, 700, None)
    # it may pass nothing on, and the riders of others are none of its business
    assert let(town, daughter).status_code == 403
    others = book(town, "partner", 300, 200).json()["booking"]
    assert town.ask(daughter, "GET", f"/v1/bookings/{others}").status_code == 404
    # ended in one step; what it booked stays
    assert town.ask("resident", "DELETE", f"/v1/me/delegates/{daughter}").status_code == 204
    assert town.ask(daughter, "GET", f"/v1/bookings/{name}").status_code == 401
    assert town.ask("resident", "DELETE", f"/v1/me/delegates/{daughter}").status_code == 404
    assert town.ask("resident", "GET", f"/v1/bookings/{name}").json()["state"] == "accepted"


def test_it_does_what_it_was_let_do_and_nothing_else(town: Serving) -> None:
    reader = let(town, may=["booking.read"], kind="helper").json()["client"]
    mine = book(town, "resident", 0).json()["booking"]
    assert town.ask(reader, "GET", f"/v1/bookings/{mine}").status_code == 200
    assert town.ask(reader, "GET", "/v1/regions").status_code == 200
    for method, path, body in (
        ("POST", f"/v1/regions/{town.region}/quotes", town.wish(1)), ("POST", f"/v1/bookings/{mine}/cancel", None),
        ("POST", "/v1/bookings", {"quote": "none"}), ("POST", f"/v1/bookings/{mine}/quotes", town.wish(1)),
        ("GET", "/v1/riders/rider-demo", None), ("GET", "/v1/vehicles", None), ("GET", "/v1/me/delegates", None),
    ):  # fmt: skip
        answer = town.ask(reader, method, path, key="k", **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), (path, answer.text)
    for wrong in ({"may": ["client.write"]}, {"may": []}, {"kind": "spy"}, {"rides_a_day": -1},
                  {"expires": (town.now() + timedelta(days=400)).isoformat()},
                  {"expires": (town.now() - timedelta(days=1)).isoformat()}):  # fmt: skip
        assert let(town, **wrong).status_code == 422, wrong
    assert let(town, provider="nowhere").status_code == 404
    assert let(town, "partner").status_code == 403


def test_who_let_it_act_takes_it_along(town: Serving) -> None:
    """A rider's key that is taken away ends what the rider let others do; others' delegates go on."""
    daughter = let(town).json()["client"]
    assert town.ask(daughter, "GET", "/v1/me").status_code == 200
    assert town.ask("administrator", "DELETE", "/v1/clients/resident").status_code == 204
    assert town.ask(daughter, "GET", "/v1/me").status_code == 401
    assert town.ask("partner", "GET", "/v1/me").status_code == 200


def test_rides_that_cannot_be_counted_are_for_those_without_limits(town: Serving) -> None:
    path = "/v1/exchange/rides/none/acceptance"
    limited, free = (let(town, **more).json()["client"] for more in ({"rides_a_day": 5}, {}))
    assert town.ask(limited, "POST", path, json={"number": 0}).json()["code"] == "limit_reached"
    assert town.ask(free, "POST", path, json={"number": 0}).json()["code"] != "limit_reached"


def test_limits_hold_also_at_once(town: Serving) -> None:
    """Two rides a day and 1,400 yen a month: the third of a day is refused, also where ten are asked for at once; what is
    given up counts no more; the rider is bound by none of it."""
    program = let(town, kind="program", rides_a_day=2, most_a_month=100_000).json()["client"]
    quotes = [town.offered(20 * k, program, minutes=60 + 30 * k)["quote"] for k in range(6)]
    days = {town.ask(program, "GET", f"/v1/quotes/{q}").json()["day"] for q in quotes}
    assert len(days) == 1
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(
            lambda q: town.ask(program, "POST", "/v1/bookings", key=f"l-{q}", json={"quote": q}), quotes
        ))  # fmt: skip
    refused = {(a.status_code, a.json()["code"]) for a in answers if a.status_code != 201}
    assert sum(a.status_code == 201 for a in answers) == 2
    assert {(403, "limit_reached")} <= refused <= {(403, "limit_reached"), (409, "offer_gone")}
    assert stored(town, program) == 2
    name = next(a.json()["booking"] for a in answers if a.status_code == 201)
    assert town.ask(program, "POST", f"/v1/bookings/{name}/cancel").status_code == 200
    assert book(town, program, 400, 300).status_code == 201
    third = book(town, program, 450, 330)
    assert (third.status_code, third.json()["code"]) == (403, "limit_reached")
    changed = town.ask(program, "POST", f"/v1/bookings/{open_of(town, program)}/quotes", json=town.wish(3, minutes=350))
    if changed.json()["offers"]:  # another ride for one of the two is no third
        taken = town.ask(program, "POST", f"/v1/bookings/{open_of(town, program)}/change", key="c",
                         json={"quote": changed.json()["quote"]})  # fmt: skip
        assert taken.status_code == 201, taken.text
    assert book(town, "resident", 500, 360).status_code == 201


def test_what_rides_of_a_month_may_cost(town: Serving) -> None:
    poor = let(town, most_a_month=1500).json()["client"]
    assert book(town, poor, 0, 60).status_code == 201
    assert book(town, poor, 50, 90).status_code == 201
    third = book(town, poor, 100, 120)
    assert (third.status_code, third.json()["code"]) == (403, "limit_reached")
    both = [town.offered(150, poor, minutes=150)["quote"], town.offered(200, poor, minutes=170)["quote"]]
    joint = town.ask(poor, "POST", "/v1/joint-bookings", key="j", json={"bookings": [{"quote": q} for q in both]})
    assert (joint.status_code, joint.json()["code"]) == (403, "limit_reached")
    assert stored(town, poor) == 2
    (told,) = town.ask("resident", "GET", "/v1/me/delegates").json()["delegates"]
    assert (told["rides_today"], told["amount_this_month"]) == (2, 1400)
    free = let(town, rides_a_day=0).json()["client"]
    assert book(town, free, 250, 200).json()["code"] == "limit_reached"


def stored(town: Serving, client: str) -> int:
    query = select(bookings.c.booking).where(bookings.c.client == client, bookings.c.state != "cancelled")
    return len(town.node.database.read(lambda c: c.execute(query).all()))


def open_of(town: Serving, client: str) -> str:
    query = select(bookings.c.booking, bookings.c.body).where(
        bookings.c.client == client, bookings.c.state == "accepted"
    )
    (row, *_) = town.node.database.read(lambda c: c.execute(query.order_by(bookings.c.pickup.desc())).all())
    assert json.loads(row.body)["fares"]
    return str(row.booking)
