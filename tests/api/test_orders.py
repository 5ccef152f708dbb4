"""Rides that come again, and riders who wait: each day booked once, each wish asked until it is served or over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import delete

from noriai_api.events import feed
from noriai_api.orders.chores import look_after_wishes
from noriai_api.orders.evening import plan_tomorrow
from noriai_api.store.tables import standing_runs
from noriai_engine.model import UtcMs

DAY_MS = 86_400_000


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Serving]:
    clock = SetClock("2026-11-23T06:00:00+09:00")  # a Monday
    with serving(some_settings(tmp_path, moves_itself=False, fleet=2), clock) as running:
        yield running


def look(node: Serving) -> None:
    node.on_loop(look_after_wishes(node.node))


def an_order(node: Serving, **change: Any) -> dict[str, Any]:
    wish = node.wish(3)
    return {"region": node.region, "rider": "rider-demo", "origin": wish["origin"], "destination": wish["destination"],
            "weekdays": ["mon", "wed", "fri"], "arrive": "10:00", "valid_from": "2026-11-23", "valid_to": "2026-12-31",
            "except_dates": ["2026-11-27"], "ahead_days": 7} | change  # fmt: skip


def test_a_standing_order_books_each_day_once(node: Serving) -> None:
    """Monday, Wednesday, Friday but one, as days come within reach; looked at again and again, restarted or not."""
    made = node.ask("partner", "POST", "/v1/standing-orders", json=an_order(node))
    assert made.status_code == 201, made.text
    for _ in range(3):
        look(node)
    (order,) = node.ask("partner", "GET", "/v1/standing-orders").json()["orders"]
    assert [(r["day"], r["state"]) for r in order["runs"]] == [
        (day, "booked") for day in ("2026-11-23", "2026-11-25", "2026-11-30")
    ]
    booked = node.ask("partner", "GET", "/v1/bookings").json()["bookings"]
    assert {b["booking"] for b in booked} == {r["booking"] for r in order["runs"]}
    assert {b["rider"] for b in booked} == {"rider-demo"}
    clock: Any = node.node.clock
    clock.ms = UtcMs(clock.ms + 2 * DAY_MS)
    look(node)
    (order,) = node.ask("desk", "GET", "/v1/standing-orders").json()["orders"]
    assert order["runs"][-1]["day"] == "2026-12-02"
    assert node.ask("partner", "DELETE", f"/v1/standing-orders/{order['order']}").status_code == 204
    clock.ms = UtcMs(clock.ms + 7 * DAY_MS)
    look(node)
    assert node.ask("partner", "GET", "/v1/standing-orders").json()["orders"] == []
    assert len(node.ask("partner", "GET", "/v1/bookings").json()["bookings"]) == 4


def test_an_order_left_to_the_plan_is_booked_in_the_evening_before(tmp_path: Path) -> None:
    """Each day waits for its plan, tried again and again as if it had not been noted; where the evening is over already,
    the day is booked at once."""
    clock = SetClock("2026-11-22T06:00:00+09:00")  # a Sunday
    settings = some_settings(tmp_path, moves_itself=False, fleet=2, plan_at="20:00", plan_iterations=200)
    with serving(settings, clock) as node:
        ordered = an_order(
            node, by_plan=True, ahead_days=3, weekdays=["sun", "mon", "tue", "wed"], valid_from="2026-11-22"
        )
        assert node.ask("partner", "POST", "/v1/standing-orders", json=ordered).status_code == 201
        look(node)

        def runs() -> dict[str, str]:
            (order,) = node.ask("partner", "GET", "/v1/standing-orders").json()["orders"]
            return {r["day"][-2:]: r["state"] for r in order["runs"]}

        def forgotten(connection: Any) -> None:
            connection.execute(delete(standing_runs))  # as if we had stopped just before it was noted

        def again() -> dict[str, str]:
            known = runs()
            node.on_loop(node.node.write(forgotten))
            look(node)
            assert runs() == known
            return known

        assert again() == {"22": "booked", "23": "waiting", "24": "waiting", "25": "waiting"}
        clock.ms = UtcMs(clock.ms + 15 * 3_600_000)
        node.on_loop(plan_tomorrow(node.node))
        assert again() == {"22": "booked", "23": "booked", "24": "waiting", "25": "waiting"}
        clock.ms = UtcMs(clock.ms + DAY_MS)
        node.on_loop(plan_tomorrow(node.node))
        look(node)
        assert runs() == {"22": "booked", "23": "booked", "24": "booked", "25": "waiting"}
        bookings = node.ask("partner", "GET", "/v1/bookings").json()["bookings"]
        assert sorted(b["day"] for b in bookings) == ["2026-11-22", "2026-11-23", "2026-11-24"]


def test_an_order_that_cannot_be_served_says_why(node: Serving) -> None:
    far = {"lon": 0.0, "lat": 0.0}
    node.ask("partner", "POST", "/v1/standing-orders", json=an_order(node, destination=far))
    look(node)
    (order,) = node.ask("partner", "GET", "/v1/standing-orders").json()["orders"]
    assert {(r["state"], r["reason"]) for r in order["runs"]} == {("refused", "place.off_network")}
    stranger = node.ask("partner", "POST", "/v1/standing-orders", json=an_order(node, rider="nobody"))
    assert stranger.status_code == 404


def test_who_waits_is_offered_a_ride_when_one_is_free(node: Serving) -> None:
    """Both vehicles are out of service; one comes back, and the wish has offers."""
    for vehicle in ("taxi-1", "taxi-2"):
        body = {"action": "block", "vehicle": vehicle, "commit": True}
        assert node.ask("desk", "POST", f"/v1/regions/{node.region}/overrides", json=body).status_code == 200
    quote = node.quote(5, minutes=90)
    assert quote["offers"] == []
    assert node.ask("partner", "POST", f"/v1/quotes/{quote['quote']}/wait").status_code == 201
    assert node.ask("partner", "POST", f"/v1/quotes/{quote['quote']}/wait").status_code == 201  # twice is once
    late = node.quote(6, minutes=20)
    node.ask("partner", "POST", f"/v1/quotes/{late['quote']}/wait")
    look(node)
    assert {w["state"] for w in node.ask("partner", "GET", "/v1/waiting").json()["waiting"]} == {"waiting"}
    body = {"action": "unblock", "vehicle": "taxi-1", "commit": True}
    node.ask("desk", "POST", f"/v1/regions/{node.region}/overrides", json=body)
    clock: Any = node.node.clock
    clock.ms = UtcMs(clock.ms + 30 * 60_000)
    look(node)
    found = {w["quote"]: w for w in node.ask("partner", "GET", "/v1/waiting").json()["waiting"]}
    assert found[late["quote"]]["state"] == "over"
    fresh = found[quote["quote"]]
    assert fresh["state"] == "offered"
    events = [e for e in node.node.database.read(lambda c: feed.after(c, 0)) if e.topic.startswith("wait.")]
    said = {json.loads(e.body)["waited"]: (e.topic, json.loads(e.body)["quote"]) for e in events}
    assert said == {quote["quote"]: ("wait.offered", fresh["fresh_quote"]), late["quote"]: ("wait.over", None)}
    assert len(events) == 2
    assert found[late["quote"]]["reason"] == "time.past"
    taken = node.ask("partner", "POST", "/v1/bookings", key="w", json={"quote": fresh["fresh_quote"]})
    assert taken.status_code == 201, taken.text
    offered = node.offered(50)
    assert node.ask("partner", "POST", f"/v1/quotes/{offered['quote']}/wait").status_code == 409
