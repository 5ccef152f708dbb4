"""Riders who wait for a batch or the plan of the evening before: booked once, told when it is in vain, through restarts;
idle vehicles sent about."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import select

from noriai_api.access.decision import Grant
from noriai_api.events import feed
from noriai_api.orders import evening as evenings
from noriai_api.orders.evening import _left_to_plan, _plan_day, plan_tomorrow
from noriai_api.store.tables import bookings, deliveries, log
from noriai_api.store.verify import verify_store
from noriai_api.webhooks.worker import hand_out
from noriai_engine.model import ServiceDay, UtcMs
from noriai_engine.texts import text

MINUTE = 60_000


def batched(folder: Path, **more: Any) -> Any:
    return some_settings(folder, moves_itself=False, fleet=2, match_every_s=30, **more)


@pytest.fixture
def node(database: str, tmp_path: Path) -> Iterator[Serving]:
    with serving(batched(tmp_path, database=database), SetClock("2026-11-24T09:00:00+09:00")) as running:
        yield running


def later(node: Serving, minutes: float) -> None:
    """Time passes and the region looks at what is due."""
    clock: Any = node.node.clock
    clock.ms = UtcMs(clock.ms + round(minutes * MINUTE))
    (actor,) = node.node.actors.values()
    paused = node.node.paused[actor.key] is not None
    node.on_loop(actor.ask(partial(_tick, paused), "tick"))


def _tick(paused: bool, runtime: Any) -> tuple[None, None]:
    runtime.tick(is_paused=paused)
    return None, None


def block(node: Serving, what: str, *vehicles: str) -> None:
    for vehicle in vehicles:
        body = {"action": what, "vehicle": vehicle, "commit": True}
        assert node.ask("desk", "POST", f"/v1/regions/{node.region}/overrides", json=body).status_code == 200


def wait(node: Serving, quote: str, role: str = "partner", **how: Any) -> Any:
    return node.ask(role, "POST", f"/v1/quotes/{quote}/wait", json={"until": "batch"} | how)


def waits(node: Serving, quote: str) -> dict[str, Any]:
    (found,) = [w for w in node.ask("partner", "GET", "/v1/waiting").json()["waiting"] if w["quote"] == quote]
    return dict(found)


def told(node: Serving, **only: str) -> list[dict[str, Any]]:
    """The messages about waits that a grant narrowed so reaches, as they stand in the stream."""
    (actor,) = node.node.actors.values()
    grant = Grant(actor.key[0], "booking.read", "somebody", only)
    events = node.node.database.read(lambda c: feed.within(c, grant, 0))
    return [json.loads(event.body) for event in events if event.topic.startswith("wait.")]


def test_who_waits_is_booked_by_the_next_batch_that_can(node: Serving) -> None:
    block(node, "block", "taxi-1", "taxi-2")
    quote = node.quote(5, minutes=60)
    assert quote["offers"] == []
    said = wait(node, quote["quote"])
    assert said.status_code == 201, said.text
    assert said.json()["state"] == "waiting"
    assert wait(node, quote["quote"]).json() == said.json()  # twice is once
    later(node, 1)
    assert waits(node, quote["quote"])["state"] == "waiting"
    block(node, "unblock", "taxi-2")
    later(node, 1)
    found = waits(node, quote["quote"])
    assert found["state"] == "booked"
    booking = node.ask("partner", "GET", f"/v1/bookings/{found['booking']}").json()
    assert (booking["state"], booking["vehicle"], booking["quote"]) == ("accepted", "taxi-2", found["fresh_quote"])
    assert booking["fare"] == said.json()["fare"]
    wish = node.wish(5, minutes=60 - 2)
    assert booking["pickup"]["place"] | wish["origin"] == booking["pickup"]["place"]
    plan = node.ask("desk", "GET", "/v1/vehicles/taxi-2/plan").json()
    stops = [a["kind"] for a in plan["activities"] if a["booking"] == found["booking"]]
    assert stops == ["pickup", "dropoff"]
    cancelled = node.ask("partner", "POST", f"/v1/bookings/{found['booking']}/cancel", json={})
    assert cancelled.json()["state"] == "cancelled"
    (message,) = told(node)  # once, however often batches are made
    assert (message["topic"], message["waited"], message["booking"]) == (
        "wait.booked",
        quote["quote"],
        found["booking"],
    )
    assert verify_store(node.node.database).is_whole


def test_a_wait_in_vain_ends_with_its_reason(node: Serving) -> None:
    block(node, "block", "taxi-1", "taxi-2")
    quote = node.quote(5, minutes=20)
    assert wait(node, quote["quote"]).json()["state"] == "waiting"
    for _ in range(8):
        later(node, 10)
    found = waits(node, quote["quote"])
    assert (found["state"], found["reason"]) == ("over", quote["refusal"]["reason"])
    assert node.ask("partner", "DELETE", f"/v1/quotes/{quote['quote']}/wait").status_code == 204
    assert waits(node, quote["quote"])["state"] == "over"
    (message,) = told(node, client="partner")
    assert (message["topic"], message["waited"], message["reason"]) == ("wait.over", quote["quote"], found["reason"])
    assert message["text"] == {"en": text(found["reason"], "en"), "ja": text(found["reason"], "ja")}
    assert message["region"] == node.region
    assert message["booking"] is None
    assert told(node) == [message]
    assert told(node, client="another") == told(node, operator="taxi") == []


def test_who_let_a_wish_wait_hears_by_webhook_what_became_of_it(tmp_path: Path) -> None:
    """A partner of its own wishes, an administrator of all, each of the topics it asked for."""
    settings = batched(tmp_path, webhooks_inside=True)
    with serving(settings, SetClock("2026-11-24T09:00:00+09:00")) as node:
        hooks = {
            role: node.ask(role, "POST", "/v1/webhooks", json={"url": "http://127.0.0.1:9/", "topics": topics}).json()
            for role, topics in (("partner", []), ("administrator", ["wait.over"]))
        }
        block(node, "block", "taxi-1", "taxi-2")
        booked, vain = node.quote(5, minutes=60)["quote"], node.quote(6, minutes=20)["quote"]
        by_desk = node.quote(7, minutes=20, role="desk")["quote"]
        for quote, role in ((booked, "partner"), (vain, "partner"), (by_desk, "desk")):
            assert wait(node, quote, role).json()["state"] == "waiting"
        for _ in range(5):
            later(node, 10)
        block(node, "unblock", "taxi-1")
        later(node, 1)
        node.node.writer.put(hand_out).result()
        rows = node.node.database.read(lambda c: c.execute(select(deliveries)).mappings().all())
        ends = {(r["webhook"], r["subject"]): json.loads(r["body"])["topic"] for r in rows if "wait." in r["body"]}
        partner, office = hooks["partner"]["webhook"], hooks["administrator"]["webhook"]
        assert ends == {
            (partner, booked): "wait.booked", (partner, vain): "wait.over",
            (office, vain): "wait.over", (office, by_desk): "wait.over",
        }  # fmt: skip


def test_a_wish_that_is_withdrawn_is_not_booked(node: Serving) -> None:
    block(node, "block", "taxi-1", "taxi-2")
    quote, other = node.quote(5, minutes=60), node.quote(6, minutes=60)
    assert wait(node, quote["quote"]).status_code == wait(node, other["quote"]).status_code == 201
    assert node.ask("partner", "DELETE", f"/v1/quotes/{quote['quote']}/wait").status_code == 204
    assert node.ask("partner", "DELETE", f"/v1/quotes/{quote['quote']}/wait").status_code == 204
    block(node, "unblock", "taxi-1", "taxi-2")
    later(node, 1)
    assert waits(node, quote["quote"])["state"] == "withdrawn"
    assert waits(node, other["quote"])["state"] == "booked"
    refused = node.ask("partner", "DELETE", f"/v1/quotes/{other['quote']}/wait")
    assert refused.status_code == 409
    assert waits(node, other["quote"])["booking"] in refused.json()["detail"]
    assert node.ask("partner", "DELETE", "/v1/quotes/nobody/wait").status_code == 404


def test_nobody_is_booked_while_no_rides_are_taken(node: Serving) -> None:
    block(node, "block", "taxi-1", "taxi-2")
    quote, second = node.quote(5, minutes=60), node.quote(6, minutes=60)
    wait(node, quote["quote"])
    path, why = f"/v1/regions/{node.region}/pause", {"en": "typhoon", "ja": "台風のため"}
    assert node.ask("administrator", "PUT", path, json=why).status_code == 200
    block(node, "unblock", "taxi-1", "taxi-2")
    later(node, 1)
    assert waits(node, quote["quote"])["state"] == "waiting"
    assert wait(node, second["quote"]).json()["code"] == "paused"
    assert node.ask("administrator", "PUT", path, json={}).status_code == 200
    later(node, 1)
    assert waits(node, quote["quote"])["state"] == "booked"


def test_who_may_wait(tmp_path: Path) -> None:
    """Only a refused wish; only where there are batches; a vehicle that is free by now is offered, not booked."""
    with serving(batched(tmp_path), SetClock("2026-11-24T09:00:00+09:00")) as node:
        offered, too_many = node.offered(50), node.quote(51, party={"seats": 9})
        assert wait(node, offered["quote"]).status_code == 409
        said = wait(node, too_many["quote"]).json()  # no batch will ever help
        assert (said["state"], said["reason"]) == ("over", "fleet.party_too_big")
        assert wait(node, "nobody").status_code == 404
        assert wait(node, offered["quote"], seats=3).status_code == 422
        block(node, "block", "taxi-1", "taxi-2")
        quote = node.quote(5, minutes=60)
        block(node, "unblock", "taxi-1")
        said = wait(node, quote["quote"]).json()
        assert said["state"] == "offered"
        taken = node.ask("partner", "POST", "/v1/bookings", key="k", json={"quote": said["fresh_quote"]})
        assert taken.status_code == 201, taken.text
        keys = node.keys
    one_by_one = some_settings(tmp_path, moves_itself=False, fleet=2)
    with serving(one_by_one, SetClock("2026-11-24T09:10:00+09:00"), keys, seed=2) as node:
        block(node, "block", "taxi-1", "taxi-2")
        quote = node.quote(5, minutes=60)
        answer = wait(node, quote["quote"])
        assert answer.status_code == 409
        assert "batches" in answer.json()["detail"]


@pytest.mark.compiled
def test_everybody_who_waits_is_answered_once_through_restarts(tmp_path: Path) -> None:
    """Two vehicles and forty wishes in an hour; the node goes away and comes back twice. In the end each who waited is
    booked or told, and the store says the same as the dispatcher."""
    clock, keys, asked = SetClock("2026-11-24T09:00:00+09:00"), None, dict[str, datetime]()
    rng = np.random.default_rng(3)
    for life in range(3):
        settings = some_settings(tmp_path, moves_itself=True, fleet=2, match_every_s=30)
        with serving(settings, clock, keys, seed=life + 1) as node:
            keys = node.keys
            for _ in range(25 if life < 2 else 140):
                for _ in range(int(rng.poisson(0.9)) if life < 2 else 0):
                    number, ahead = int(rng.integers(0, 10_000)), int(rng.integers(1, 40))
                    quote = node.quote(number, minutes=ahead)
                    if quote["offers"]:
                        body = {"quote": quote["quote"]}
                        assert (
                            node.ask("partner", "POST", "/v1/bookings", key=quote["quote"], json=body).status_code
                            == 201
                        )
                    else:
                        wish = node.now() + timedelta(minutes=ahead)
                        if wait(node, quote["quote"]).json()["state"] == "waiting":
                            asked[quote["quote"]] = wish
                later(node, 1)
            found = {w["quote"]: w for w in node.ask("partner", "GET", "/v1/waiting").json()["waiting"]}
            (actor,) = node.node.actors.values()
            run = node.on_loop(actor.look(lambda runtime: runtime.today()))
            rows = node.node.database.read(lambda c: c.execute(select(bookings)).mappings().all())
            in_memory = {r: str(b.id) for r, b in run.dispatcher.bookings.booked.items()}
            assert {row["quote"]: row["booking"] for row in rows} == in_memory
            states = {str(r): s.value for r, s in run.dispatcher.bookings.states.items()}
            assert {row["quote"]: row["state"] for row in rows} == {name: states[name] for name in in_memory}
    assert len(asked) >= 5
    ended = {quote: found[quote] for quote in asked}
    assert {w["state"] for w in ended.values()} == {"booked", "over"}
    by_booking = {row["booking"]: row for row in rows}
    for quote, wish in asked.items():
        if ended[quote]["state"] == "booked":
            row = by_booking[ended[quote]["booking"]]
            assert row["quote"] == ended[quote]["fresh_quote"]
            assert row["pickup"] >= wish.timestamp() * 1000 - 1
        else:
            assert ended[quote]["reason"]
        with_end = {quote: w["state"] for quote, w in ended.items()}
    with serving(settings, clock, keys, seed=9) as node:
        messages = {message["waited"]: message["event"] for message in told(node)}
        assert {quote: messages[quote] for quote in asked} == with_end


def planned(folder: Path, **more: Any) -> Any:
    return some_settings(folder, moves_itself=False, fleet=2, plan_at="20:00", plan_iterations=300, **more)


def evening(node: Serving) -> None:
    node.on_loop(plan_tomorrow(node.node))


def test_tomorrow_is_planned_in_the_evening_for_who_waits_for_it(tmp_path: Path) -> None:
    """Offers or none, all are answered by the plan, through a restart; one is withdrawn before, one asks too late."""
    clock = SetClock("2026-11-24T15:00:00+09:00")
    with serving(planned(tmp_path), clock) as node:
        wished = [node.quote(number, minutes=18 * 60 + 5 * number) for number in range(12)]
        for quote in wished:
            said = wait(node, quote["quote"], until="plan").json()
            assert (said["state"], said["answer_by"]) == ("waiting", "2026-11-24T20:00:00+09:00")
            assert said["fare"] is not None or not quote["offers"] or quote["offers"][0]["fare"] is None
        with_offers = next(quote for quote in wished if quote["offers"])
        late = node.ask("partner", "POST", "/v1/bookings", key="late", json={"quote": with_offers["quote"]})
        assert late.status_code == 409, "its offers were let go"
        taken = node.offered(100, minutes=18 * 60)
        assert node.ask("partner", "POST", "/v1/bookings", key="t", json={"quote": taken["quote"]}).status_code == 201
        assert wait(node, taken["quote"], until="plan").status_code == 409
        assert node.ask("partner", "DELETE", f"/v1/quotes/{wished[0]['quote']}/wait").status_code == 204
        evening(node)
        later(node, 1)
        assert {waits(node, quote["quote"])["state"] for quote in wished[1:]} == {"waiting"}
        keys = node.keys
    clock.ms = UtcMs(clock.ms + 301 * MINUTE)
    with serving(planned(tmp_path), clock, keys, seed=2) as node:
        evening(node)
        evening(node)
        found = {w["quote"]: w for w in node.ask("partner", "GET", "/v1/waiting").json()["waiting"]}
        assert found[wished[0]["quote"]]["state"] == "withdrawn"
        ended = [found[quote["quote"]] for quote in wished[1:]]
        assert {w["state"] for w in ended} <= {"booked", "over"}
        made = [w["booking"] for w in ended if w["state"] == "booked"]
        assert len(made) >= 6
        listed = node.ask("partner", "GET", "/v1/bookings").json()["bookings"]
        assert {b["booking"] for b in listed} == {
            *made,
            next(b["booking"] for b in listed if b["quote"] == taken["quote"]),
        }
        assert all(b["pickup"]["planned"] is not None for b in listed)
        too_late = wait(node, node.quote(50, minutes=12 * 60)["quote"], until="plan")
        assert too_late.status_code == 409
        assert "was made at 2026-11-24T20:00" in too_late.json()["detail"]
        assert verify_store(node.node.database).is_whole


def test_who_withdraws_while_the_plan_is_made_is_not_booked(tmp_path: Path) -> None:
    """What waits was read already when it is taken back."""
    clock = SetClock("2026-11-24T15:00:00+09:00")
    with serving(planned(tmp_path), clock) as node:
        quote = node.offered(1, minutes=20 * 60)["quote"]
        assert wait(node, quote, until="plan").json()["state"] == "waiting"
        (actor,) = node.node.actors.values()
        read = node.node.database.read(lambda c: _left_to_plan(c, *actor.key))
        clock.ms = UtcMs(clock.ms + 301 * MINUTE)
        assert node.ask("partner", "DELETE", f"/v1/quotes/{quote}/wait").status_code == 204
        wishes = [json.loads(row.body)["request"] for row in read]
        assert len(wishes) == 1
        day = ServiceDay.on("2026-11-25", "Asia/Tokyo")
        node.on_loop(_plan_day(node.node, actor, day, wishes))
        assert waits(node, quote)["state"] == "withdrawn"
        assert node.ask("partner", "GET", "/v1/bookings").json()["bookings"] == []


def test_a_plan_that_came_too_late_is_made_up_for(tmp_path: Path) -> None:
    """The node was away from the afternoon to the next morning: who waited is answered all the same, or told."""
    clock = SetClock("2026-11-24T15:00:00+09:00")
    with serving(planned(tmp_path), clock) as node:
        morning, noon = node.quote(1, minutes=15 * 60)["quote"], node.quote(2, minutes=20 * 60)["quote"]
        for quote in (morning, noon):
            assert wait(node, quote, until="plan").json()["state"] == "waiting"
        keys = node.keys
    clock.ms = UtcMs(clock.ms + 18 * 60 * MINUTE)
    with serving(planned(tmp_path), clock, keys, seed=2) as node:
        evening(node)
        later(node, 2)
        assert (waits(node, morning)["state"], waits(node, noon)["state"]) == ("over", "booked")
        assert waits(node, morning)["reason"] == "time.past"
        assert {m["waited"]: m["event"] for m in told(node)} == {morning: "over", noon: "booked"}


@pytest.mark.parametrize("changes", [0, 1, 5])
def test_the_region_answers_while_tomorrow_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    """Rides of today are booked during the search; where tomorrow changes under it, it is made anew, at last at once."""
    clock, searches, batches = SetClock("2026-11-24T15:00:00+09:00"), [], []
    settings = planned(tmp_path, match_every_s=30)
    with serving(settings, clock) as node:
        wished = [node.quote(number, minutes=18 * 60 + 5 * number)["quote"] for number in range(6)]
        for quote in wished:
            assert wait(node, quote, until="plan").json()["state"] == "waiting"
        clock.ms = UtcMs(clock.ms + 301 * MINUTE)
        solve = evenings.Search.solve

        def slow(search: Any, *more: Any) -> Any:
            searches.append(search)
            if threading.current_thread().name.startswith("region"):
                return solve(search, *more)  # the last time, while nobody else is answered
            number = len(searches)
            node.booked(100 + 50 * number, minutes=30)
            if number <= changes:
                node.booked(400 + 50 * number, minutes=18 * 60)
            later(node, 1)  # a batch is due, and takes none of those who wait for the plan
            batches.append({waits(node, quote)["state"] for quote in wished})
            return solve(search, *more)

        monkeypatch.setattr(evenings.Search, "solve", slow)
        evening(node)
        monkeypatch.undo()
        assert len(searches) == {0: 1, 1: 2, 5: evenings.SEARCHES}[changes]
        assert batches == [{"waiting"}] * min(len(searches), evenings.SEARCHES - 1)
        assert {waits(node, quote)["state"] for quote in wished} <= {"booked", "over"}
        listed = node.ask("partner", "GET", "/v1/bookings").json()["bookings"]
        assert len(listed) >= len(batches) + min(changes, len(batches)) + 4
        assert verify_store(node.node.database).is_whole
        before = node.state_hash()
        keys = node.keys
    with serving(settings, clock, keys, seed=2) as node:
        assert node.state_hash() == before


def test_a_region_whose_plan_fails_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four regions: one fails, one is paused, one is not planned ahead, one is planned; the failure is told, not swallowed."""
    planned_regions = []

    async def plan(node: Any, actor: Any) -> None:
        planned_regions.append(actor.key[1])
        if actor.key[1] == "a":
            raise RuntimeError("no plan of a")

    keys = [("town", name) for name in ("a", "b", "c", "d")]
    rules = {key: SimpleNamespace(plan_at="" if key[1] == "d" else "20:00") for key in keys}
    actors = {key: SimpleNamespace(key=key, is_held=True, runtime=SimpleNamespace(rules=rules[key])) for key in keys}
    monkeypatch.setattr(evenings, "_plan_region", plan)
    with pytest.raises(RuntimeError, match="no plan of a"):
        asyncio.run(plan_tomorrow(SimpleNamespace(actors=actors, paused={keys[1]: {"en": "snow"}})))  # type: ignore[arg-type]
    assert planned_regions == ["a", "c"]


def test_where_days_are_not_planned_nobody_waits_for_it(node: Serving) -> None:
    answer = wait(node, node.quote(1, minutes=24 * 60)["quote"], until="plan")
    assert answer.status_code == 409
    assert "not planned ahead" in answer.json()["detail"]


@contextmanager
def sent_about(folder: Path) -> Iterator[tuple[Serving, dict[str, Any]]]:
    """Of two idle vehicles one is on its way to where somebody was turned away: the node, and that vehicle's plan."""
    with serving(batched(folder, rebalance_every_s=60), SetClock("2026-11-24T09:00:00+09:00")) as node:
        for vehicle in ("taxi-1", "taxi-2"):
            said = node.ask("desk", "POST", f"/v1/vehicles/{vehicle}/steps", json={"step": "start_shift"})
            assert said.status_code == 200, said.text
        block(node, "block", "taxi-1", "taxi-2")
        assert node.quote(0, minutes=5)["offers"] == []
        assert node.quote(1, minutes=300)["offers"] == []  # says nothing of now
        block(node, "unblock", "taxi-1", "taxi-2")
        later(node, 2)
        (sent,) = [plan for plan in (plan_of(node, v) for v in ("taxi-1", "taxi-2")) if plan["wait_at"] is not None]
        assert sent["driving"]
        assert is_there(node, sent["wait_at"])
        yield node, sent


def plan_of(node: Serving, vehicle: str) -> dict[str, Any]:
    return dict(node.ask("desk", "GET", f"/v1/vehicles/{vehicle}/plan").json())


def is_there(node: Serving, place: dict[str, Any]) -> bool:
    """Where the wish was made that was turned away."""
    wished = node.wish(0)["origin"]
    return abs(place["lon"] - wished["lon"]) + abs(place["lat"] - wished["lat"]) < 1e-3


def test_an_idle_vehicle_waits_where_riders_were_turned_away(tmp_path: Path) -> None:
    """Its driver sees where to, and says when it is there; a region built anew from its log says the same."""
    with sent_about(tmp_path) as (node, sent):
        before = node.state_hash()
        (actor,) = node.node.actors.values()
        with pytest.raises(RuntimeError):
            node.on_loop(actor.ask(_forget, "forget"))
        assert node.state_hash() == before
        path = f"/v1/vehicles/{sent['vehicle']}/steps"
        arrived = node.ask("desk", "POST", path, json={"step": "arrive"}).json()
        assert (arrived["wait_at"], arrived["driving"]) == (None, False)
        assert is_there(node, arrived["activities"][0]["place"])


def test_a_driver_sent_about_who_reports_nothing_is_not_late(tmp_path: Path) -> None:
    with sent_about(tmp_path) as (node, sent):
        for _ in range(20):
            later(node, 1)
        plan = plan_of(node, sent["vehicle"])
        assert (plan["wait_at"], plan["driving"]) == (None, False)
        assert is_there(node, plan["activities"][0]["place"])
        (actor,) = node.node.actors.values()
        bodies = node.node.database.read(
            lambda c: c.execute(select(log.c.body).where(log.c.region == actor.key[1])).scalars().all()
        )
        kinds = [event[2] for body in bodies for event in json.loads(body)["events"]]
        assert kinds.count("vehicle_arrived") == 1
        assert "vehicle_delayed" not in kinds


@pytest.mark.parametrize("step", ["arrive", "begin"])
def test_a_rider_turns_a_vehicle_that_is_sent_about(tmp_path: Path, step: str) -> None:
    """One who wishes to leave at once; and the driver is at their door sooner than thought."""
    with sent_about(tmp_path) as (node, sent):
        block(node, "block", "taxi-1" if sent["vehicle"] == "taxi-2" else "taxi-2")
        booking = node.booked(10, minutes=1)
        turned = plan_of(node, sent["vehicle"])
        assert (turned["wait_at"], turned["driving"]) == (None, True)
        assert turned["activities"][1]["booking"] == booking["booking"]
        body = {"step": step, "booking": booking["booking"]}
        there = node.ask("desk", "POST", f"/v1/vehicles/{sent['vehicle']}/steps", json=body)
        assert there.status_code == 200, there.text
        assert (there.json()["doing"] is not None) == (step == "begin")


@pytest.mark.parametrize("step", ["arrive", "begin"])
def test_a_driver_sent_about_may_go_to_a_later_rider_instead(tmp_path: Path, step: str) -> None:
    """The plan leaves time to wait elsewhere first, and the driver does not."""
    with sent_about(tmp_path) as (node, sent):
        block(node, "block", "taxi-1" if sent["vehicle"] == "taxi-2" else "taxi-2")
        booking = node.booked(20, minutes=120)
        on_its_way = plan_of(node, sent["vehicle"])
        assert on_its_way["wait_at"] == sent["wait_at"]
        body = {"step": step, "booking": booking["booking"]}
        there = node.ask("desk", "POST", f"/v1/vehicles/{sent['vehicle']}/steps", json=body)
        assert there.status_code == 200, there.text
        assert there.json()["wait_at"] is None


def _forget(runtime: Any) -> tuple[None, None]:
    """What is in memory is not to be trusted: the region is built anew from its log."""
    raise RuntimeError
