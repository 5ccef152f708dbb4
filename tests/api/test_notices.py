"""Riders are told the evening before, when their time moves, and when the vehicle is near: each once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import select

from noriai_api.notices.service import give_notices
from noriai_api.store.tables import outbox

MORNING = "2026-05-20T09:00:00+09:00"


@pytest.fixture
def town(tmp_path: Path, database: str) -> Iterator[tuple[Serving, SetClock]]:
    clock = SetClock(MORNING)
    with serving(
        some_settings(tmp_path, database, moves_itself=True, tick_ms=60_000, webhooks_inside=True), clock
    ) as node:
        yield node, clock


def told(town: tuple[Serving, SetClock], at: str | datetime) -> list[dict[str, Any]]:
    """What was told of when the notices were looked at then, and a second time."""
    node, clock = town
    clock.ms = int(datetime.fromisoformat(str(at)).timestamp() * 1000)  # type: ignore[assignment]
    before = rows(node)
    actor = next(iter(node.node.actors.values()))
    asyncio.run_coroutine_threadsafe(actor.look(lambda runtime: None), node.loop).result(60)
    for _ in range(2):
        asyncio.run_coroutine_threadsafe(give_notices(node.node), node.loop).result(60)
    return rows(node)[len(before) :]


def rows(node: Serving) -> list[dict[str, Any]]:
    query = select(outbox).where(outbox.c.topic.startswith("notice.")).order_by(outbox.c.number)
    found = node.node.database.read(lambda c: c.execute(query).mappings().all())
    return [json.loads(row["body"]) | {"topic": row["topic"]} for row in found]


def at(day: str, clock: str) -> str:
    return f"{day}T{clock}:00+09:00"


def test_the_evening_before_and_when_the_vehicle_is_near(town: tuple[Serving, SetClock]) -> None:
    node, _ = town
    booking = node.booked(1, minutes=26 * 60)  # tomorrow at eleven
    assert told(town, at("2026-05-20", "17:59")) == []
    (evening,) = told(town, at("2026-05-20", "18:00"))
    assert evening["notice"] == "day_before"
    planned = node.ask("partner", "GET", f"/v1/bookings/{booking['booking']}").json()["pickup"]["planned"]
    time = planned[11:16]
    assert evening["new"] == planned
    assert evening["text"]["ja"].startswith(f"明日5月21日{time}ごろ、")
    assert (
        evening["text"]["en"] == f"Tomorrow, 2026-05-21, {OPERATORS[booking['operator']]} picks you up at about {time}."
    )
    assert told(town, at("2026-05-20", "23:00")) == []
    far = datetime.fromisoformat(planned) - timedelta(minutes=11)
    assert told(town, far) == []
    (near,) = told(town, far + timedelta(minutes=2))
    assert near["notice"] == "vehicle_near"
    assert "9 min" in near["text"]["en"]
    assert "あと9分" in near["text"]["ja"]
    assert told(town, far + timedelta(minutes=4)) == []


OPERATORS = {"taxi": "Town Taxi", "neighbours": "Neighbours' cars"}


def test_who_books_in_the_evening_needs_no_reminder(town: tuple[Serving, SetClock]) -> None:
    told(town, at("2026-05-20", "19:00"))
    town[0].booked(1, minutes=15 * 60)
    assert told(town, at("2026-05-20", "20:00")) == []


def test_a_time_that_moves_is_told_once_and_against_the_one_before(town: tuple[Serving, SetClock]) -> None:
    """A vehicle that is held up moves the times of its riders; small moves are no news."""
    node, _ = town
    booking = node.booked(1, minutes=90)
    assert told(town, at("2026-05-20", "09:01")) == []
    first = node.ask("partner", "GET", f"/v1/bookings/{booking['booking']}").json()["pickup"]["planned"]
    known, outcomes = datetime.fromisoformat(first), []
    for minutes in (-12, 0, 2, 3, 9, 12, 12, 13, 30):
        until = (datetime.fromisoformat(first) + timedelta(minutes=minutes)).isoformat()
        body = {"action": "delay", "vehicle": booking["vehicle"], "until": until, "commit": True}
        node.ask("desk", "POST", f"/v1/regions/{node.region}/overrides", json=body)
        now = node.ask("partner", "GET", f"/v1/bookings/{booking['booking']}").json()
        assert now["state"] == "accepted"
        booking = now
        news = told(town, at("2026-05-20", "09:02"))
        planned = datetime.fromisoformat(now["pickup"]["planned"])
        outcomes.append((abs(planned - known) >= timedelta(minutes=5), planned != known))
        assert len(news) == outcomes[-1][0], (minutes, news)
        if news:
            known = planned
            assert (news[0]["notice"], news[0]["new"]) == ("new_time", now["pickup"]["planned"])
            assert news[0]["old"][11:16] in news[0]["text"]["ja"]
            assert now["pickup"]["planned"][11:16] in news[0]["text"]["en"]
    assert {(True, True), (False, True), (False, False)} <= set(outcomes)


def test_webhooks_may_ask_for_them(town: tuple[Serving, SetClock]) -> None:
    body = {"url": "http://127.0.0.1:1/hook", "topics": ["notice.day_before"]}
    assert town[0].ask("partner", "POST", "/v1/webhooks", json=body).status_code == 201
    unknown = town[0].ask("partner", "POST", "/v1/webhooks", json=body | {"topics": ["notice.lottery"]})
    assert unknown.status_code == 422
