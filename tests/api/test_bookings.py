"""A booking's life over real HTTP, on both stores: quoted, taken once, looked up, given up; and every answer that is no."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, serving, some_settings
from sqlalchemy import func, select

from noriai_api.runtime.actor import PATIENCE_S
from noriai_api.store.tables import bookings, log


def test_a_quote_is_taken_and_read_and_given_up(node: Serving) -> None:
    """The whole path a partner app walks."""
    quote = node.offered()
    assert [offer["offer"] for offer in quote["offers"]] == list(range(len(quote["offers"])))
    answer = node.ask("partner", "POST", "/v1/bookings", key="life", json={"quote": quote["quote"], "offer": 0})
    assert answer.status_code == 201
    booking, offer = answer.json(), quote["offers"][0]
    assert (booking["pickup"], booking["dropoff"]) == (offer["pickup"], offer["dropoff"])
    assert booking["operator"] == offer["operator"]
    again = node.ask("partner", "GET", f"/v1/bookings/{booking['booking']}").json()
    assert again == booking
    assert booking["booking"] in [b["booking"] for b in node.ask("partner", "GET", "/v1/bookings").json()["bookings"]]
    given_up = node.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel")
    assert (given_up.status_code, given_up.json()["state"]) == (200, "cancelled")
    repeated = node.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel")
    assert repeated.json() == given_up.json()


def test_a_partner_finds_out_what_there_is(node: Serving) -> None:
    (said,) = node.ask("partner", "GET", "/v1/regions").json()["regions"]
    assert said["region"] == node.region
    assert said["hours"] == ["00:00", "24:00"]
    assert (said["max_wait_min"], said["currency"], said["paused"]) == (20, "JPY", None)


def test_a_refusal_says_why_and_when_in_both_languages(node: Serving) -> None:
    """Outside the drivable network nobody comes, and another time would not help."""
    far = {"lon": 0.0, "lat": 0.0}
    quote = node.quote(origin=far)
    assert quote["offers"] == []
    assert quote["refusal"]["reason"] == "place.off_network"
    assert set(quote["refusal"]["text"]) == {"en", "ja"}
    assert quote["refusal"]["nearest"] is None


def test_the_same_key_books_once(node: Serving) -> None:
    """An answer lost on the way is asked for again: it must be the same answer, and one booking."""
    quote = node.offered(100)
    body = {"quote": quote["quote"], "offer": 0}
    first = node.ask("partner", "POST", "/v1/bookings", key="once", json=body)
    second = node.ask("partner", "POST", "/v1/bookings", key="once", json=body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    other = node.ask("partner", "POST", "/v1/bookings", key="once", json=body | {"offer": 1})
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    without = node.ask("partner", "POST", "/v1/bookings", json=body)
    assert (without.status_code, without.json()["code"]) == (400, "key_missing")
    elsewhere = node.ask("partner", "POST", "/v1/bookings", key="another", json=body)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "conflict")


def test_copies_of_a_request_that_race_book_once(node: Serving) -> None:
    """Ten copies at the same moment: each is answered with the one booking, or told to wait."""
    for turn in range(5):
        quote = node.offered(200 + 50 * turn)
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(
                lambda _, q=quote: node.ask("partner", "POST", "/v1/bookings", key=f"race{q['quote']}",
                                            json={"quote": q["quote"]}), range(10),
            ))  # fmt: skip
        made = {a.json()["booking"] for a in answers if a.status_code == 201}
        assert len(made) == 1
        assert {a.json()["code"] for a in answers if a.status_code != 201} <= {"key_in_flight"}


def test_an_offer_overtaken_is_kept_in_another_way_or_asked_afresh(node: Serving) -> None:
    """Many riders hold offers that rest on the same plans; whoever comes later has the same promise, or a new quote."""
    quotes = [node.quote(700 + k, minutes=45) for k in range(30)]
    kept = gone = 0
    for quote in (q for q in quotes if q["offers"]):
        answer = node.ask("partner", "POST", "/v1/bookings", key=quote["quote"], json={"quote": quote["quote"]})
        if answer.status_code == 201:
            offer = quote["offers"][0]
            for end in ("pickup", "dropoff"):
                assert answer.json()[end]["earliest"] == offer[end]["earliest"]
                assert answer.json()[end]["latest"] == offer[end]["latest"]
            kept += 1
        else:
            assert (answer.status_code, answer.json()["code"]) == (409, "offer_gone")
            assert answer.json()["fresh_quote"]["quote"] != quote["quote"]
            gone += 1
    assert kept >= 5, (kept, gone)


def test_a_node_stopped_and_started_is_the_same(database: str, tmp_path: Path) -> None:
    """Whoever was booked before is booked after, the state is the same to the byte, and open quotes can be taken."""
    with serving(some_settings(tmp_path, database)) as before:
        booking, quote = before.booked(), before.offered(60)
        keys, hashed = before.keys, before.state_hash()
    with serving(some_settings(tmp_path, database), before.node.clock, keys) as after:
        assert after.ask("partner", "GET", f"/v1/bookings/{booking['booking']}").json()["state"] in (
            "accepted", "boarding", "aboard",
        )  # fmt: skip
        taken = after.ask("partner", "POST", "/v1/bookings", key="later", json={"quote": quote["quote"]})
        assert taken.status_code == 201
        again = after.ask("partner", "POST", "/v1/bookings", key="later", json={"quote": quote["quote"]})
        assert again.json() == taken.json()
        lines = after.node.database.read(lambda c: c.execute(select(func.count()).select_from(log)).scalar())
        assert lines > 3
        assert hashed != after.state_hash()  # one booking more


def test_a_paused_service_takes_no_rides_and_says_why(database: str, tmp_path: Path) -> None:
    """Bookings stay and can be given up; the pause outlives a restart; without a reason it resumes."""
    why = {"ja": "大雪のため", "en": "heavy snow"}
    with serving(some_settings(tmp_path, database)) as before:
        quote, booking, keys = before.offered(), before.booked(50), before.keys
        path = f"/v1/regions/{before.region}/pause"
        assert before.ask("administrator", "PUT", path, json=why).json()["paused"] == why
    with serving(some_settings(tmp_path, database), before.node.clock, keys) as after:
        refused = after.ask("partner", "POST", f"/v1/regions/{after.region}/quotes", json=after.wish())
        assert (refused.status_code, refused.json()["reason"]) == (409, why)
        late = after.ask("partner", "POST", "/v1/bookings", key="p", json={"quote": quote["quote"]})
        assert late.json()["code"] == "paused"
        gone = after.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel")
        assert gone.json()["state"] == "cancelled"
        assert after.ask("administrator", "PUT", path, json={}).json()["paused"] is None
        assert after.booked(90)["state"] == "accepted"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"origin": {"lon": 200.0, "lat": 0.0}}, "body.origin.lon"),
        ({"origin": {"lon": False, "lat": 0.0}}, "body.origin.lon"),
        ({"party": {"seats": 0}}, "body.party"),
        ({"party": {"seats": True}}, "body.party.seats"),
        ({"earliest_pickup": "tomorrow"}, "body.earliest_pickup"),
        ({"earliest_pickup": "2026-11-24T08:30:00"}, "body.earliest_pickup"),
        ({"earliest_pickup": 1790000000}, "body.earliest_pickup"),
        ({"latest_arrival": "2026-11-24T08:30:00+09:00"}, "body"),
        ({"colour": "red"}, "body.colour"),
    ],
)
def test_wrong_wishes_are_told_where_they_are_wrong(node: Serving, change: dict[str, object], where: str) -> None:
    answer = node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=node.wish() | change)
    said = answer.json()
    assert (answer.status_code, said["code"]) == (422, "invalid"), said
    assert answer.headers["content-type"] == "application/problem+json"
    assert where in [entry["where"] for entry in said["errors"]]
    assert all(set(said[name]) == {"en", "ja"} for name in ("cause", "next_step"))


def test_bodies_that_are_no_request(node: Serving) -> None:
    path = f"/v1/regions/{node.region}/quotes"
    assert node.ask("partner", "POST", path, content=b"{").json()["code"] == "bad_request"
    assert node.ask("partner", "POST", path, content=b"x" * 300_000).json()["code"] == "too_large"
    assert node.ask("partner", "POST", "/v1/regions/nowhere/quotes", json=node.wish()).json()["code"] == "not_found"
    assert node.ask("partner", "PUT", path).json()["code"] == "method_not_allowed"
    assert node.ask("partner", "GET", "/v1/nothing").json()["code"] == "not_found"
    assert node.ask("partner", "GET", "/v1/bookings?after=x").json()["code"] == "invalid"
    assert node.ask("partner", "POST", "/v1/bookings", key="e", json={"quote": "none"}).json()["code"] == "not_found"


def test_pages_of_bookings_have_each_once(node: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    from noriai_api.bookings import repository

    monkeypatch.setattr(repository, "PAGE", 3)
    seen: list[str] = []
    mark = None
    while True:
        page = node.ask("desk", "GET", "/v1/bookings" + (f"?after={mark}" if mark else "")).json()
        seen += [b["booking"] for b in page["bookings"]]
        mark = page["next"]
        if mark is None:
            break
    count = node.node.database.read(lambda c: c.execute(select(func.count()).select_from(bookings)).scalar())
    assert len(seen) == len(set(seen)) == count


def test_the_audit_chain_names_every_booking_and_holds(node: Serving) -> None:
    said = node.ask("administrator", "GET", "/v1/audit").json()
    assert said["first_bad"] is None
    made = {entry["resource"] for entry in said["entries"] if entry["action"] == "booking.create"}
    listed = node.node.database.read(lambda c: c.execute(select(bookings.c.booking)).scalars().all())
    assert {f"booking/{name}" for name in listed} == made
    assert "lon" not in json.dumps(said)


@pytest.mark.parametrize("cause", ["how many wait", "how long they would wait"])
def test_who_is_turned_away_first(node: Serving, cause: str) -> None:
    """With more to do than can be done: quotes, then bookings, then drivers' reports, and giving up last of all. Nothing
    happened to whoever is turned away, and they are told when to come again."""
    actor = next(iter(node.node.actors.values()))
    worker: Any = actor._worker
    quote, given = node.offered(700, minutes=200), node.booked(750, minutes=220)["booking"]
    asks = {
        "quote": ("partner", "POST", f"/v1/regions/{node.region}/quotes", {"json": node.wish(800, minutes=240)}),
        "book": ("partner", "POST", "/v1/bookings", {"json": {"quote": quote["quote"]}, "key": f"turned-{len(cause)}"}),
        "report": ("desk", "POST", "/v1/vehicles/taxi-1/steps", {"json": {"step": "arrive"}}),
        "give up": ("partner", "POST", f"/v1/bookings/{given}/cancel", {}),
    }
    for percent, refused in ((100, set(asks)), (95, set(asks) - {"give up"}), (85, {"quote", "book"}), (60, {"quote"})):
        for what, (role, method, path, more) in asks.items():
            if what == "give up" and percent < 95:
                continue  # it was given up already
            waiting = actor._room * percent // 100 if cause == "how many wait" else 10
            worker.pace_s = 0.0 if cause == "how many wait" else PATIENCE_S * percent / 1000 + 1e-9
            actor.waiting += waiting
            answer = node.ask(role, method, path, **more)
            actor.waiting -= waiting
            is_refused = answer.status_code == 503 and answer.json()["code"] == "busy"
            assert is_refused == (what in refused), (percent, what, answer.status_code, answer.text)
            assert not is_refused or answer.headers["Retry-After"] == "1"
    worker.pace_s = 0.0
    booked = node.ask("partner", "POST", "/v1/bookings", json={"quote": quote["quote"]}, key=f"turned-{len(cause)}")
    assert booked.status_code == 201  # with the key of what was refused: it is no other request


def test_a_pickup_and_an_arrival_may_be_wished_together(node: Serving) -> None:
    """`arrive_by` beside `earliest_pickup` is kept by every offer; alone, or before the pickup, it is refused."""
    quote = node.offered(700)
    wish = node.wish(700)
    direct = quote["offers"][0]["direct_s"]
    when = datetime.fromisoformat(wish["earliest_pickup"])
    by = when + timedelta(seconds=direct + 900)
    tight = node.quote(700, earliest_pickup=when.isoformat(), arrive_by=by.isoformat())
    assert all(datetime.fromisoformat(o["dropoff"]["latest"]) <= by for o in tight["offers"])
    assert any(datetime.fromisoformat(o["dropoff"]["latest"]) > by for o in quote["offers"])
    wrong = [{"arrive_by": wish["earliest_pickup"]}, {"earliest_pickup": None, "latest_arrival": by.isoformat(),
                                                      "arrive_by": by.isoformat()}]  # fmt: skip
    for more in wrong:
        answer = node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=wish | more)
        assert answer.status_code == 422
