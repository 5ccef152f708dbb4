"""Vehicles with drivers: what they report moves their riders' bookings on, and where they are is believed with care."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Serving, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import telemetry
from noriai_api.vehicles.positions import Position, Positions


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A node whose vehicles wait for their drivers' reports; each has a key."""
    with serving(some_settings(tmp_path_factory.mktemp("driven"), moves_itself=False)) as running:
        for vehicle in running.ask("administrator", "GET", "/v1/vehicles").json()["vehicles"]:
            name = vehicle["vehicle"]
            new = {"client": f"tablet-{name}", "name": "tablet", "role": "vehicle", "vehicle": name}
            made = running.ask("administrator", "POST", "/v1/clients", json=new)
            assert made.status_code == 201, made.text
            running.keys[name] = made.json()["key"]
        yield running


def report(driven: Serving, vehicle: str, step: str, booking: str | None = None) -> Any:
    body = {"step": step} | ({} if booking is None else {"booking": booking})
    return driven.ask(vehicle, "POST", f"/v1/vehicles/{vehicle}/steps", json=body)


def state(driven: Serving, booking: str) -> str:
    return str(driven.ask("desk", "GET", f"/v1/bookings/{booking}").json()["state"])


def test_a_ride_from_tablet_to_tablet(driven: Serving) -> None:
    """A driver follows the plan; the booking moves by the table, and repeated reports move nothing."""
    booked = driven.booked(minutes=20)
    vehicle, name = booked["vehicle"], booked["booking"]
    plan = driven.ask(vehicle, "GET", f"/v1/vehicles/{vehicle}/plan").json()
    assert [a["kind"] for a in plan["activities"] if a["booking"] == name] == ["pickup", "dropoff"]
    for step, wanted in (("start_shift", "accepted"), ("arrive", "accepted"), ("begin", "boarding"), ("end", "aboard"),
                         ("arrive", "aboard"), ("begin", "alighting"), ("end", "done")):  # fmt: skip
        said = report(driven, vehicle, step, None if step == "start_shift" else name)
        assert said.status_code == 200, said.text
        assert state(driven, name) == wanted
        if step in ("start_shift", "arrive", "begin"):
            again = report(driven, vehicle, step, None if step == "start_shift" else name)
            assert again.status_code == 200, again.text
            assert state(driven, name) == wanted


def test_a_report_out_of_turn_says_what_is_next(driven: Serving) -> None:
    booked = driven.booked(100, minutes=20)
    vehicle, name = booked["vehicle"], booked["booking"]
    other = next(v for v in driven.keys if v.startswith(("taxi-", "neighbours-")) and v != vehicle)
    refused = report(driven, vehicle, "no_show")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "say whose booking it is" in refused.json()["detail"]
    foreign = report(driven, other, "arrive", name)
    assert foreign.status_code == 404
    strange = driven.ask(other, "POST", f"/v1/vehicles/{vehicle}/steps", json={"step": "arrive"})
    assert strange.status_code == 404


def test_nobody_there(driven: Serving) -> None:
    """The vehicle is free at once, and the booking says why it ended."""
    booked = driven.booked(200, minutes=20)
    vehicle, name = booked["vehicle"], booked["booking"]
    plan = driven.ask(vehicle, "GET", f"/v1/vehicles/{vehicle}/plan").json()
    while (first := next(a for a in plan["activities"] if a["booking"]))["booking"] != name:
        plan = report(driven, vehicle, "end", first["booking"]).json()  # whoever is before gets their ride
    said = report(driven, vehicle, "no_show", name)
    assert said.status_code == 200, said.text
    assert state(driven, name) == "no_show"
    assert name not in [a["booking"] for a in said.json()["activities"]]


def test_the_plan_is_streamed(driven: Serving) -> None:
    booked = driven.booked(300, minutes=25)
    path = f"{driven.address}/v1/vehicles/{booked['vehicle']}/plan/stream"
    headers = {"Authorization": f"Bearer {driven.keys[booked['vehicle']]}"}
    with driven.http.stream("GET", path, headers=headers) as stream:
        lines = stream.iter_lines()
        first = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        driven.ask("partner", "POST", f"/v1/bookings/{booked['booking']}/cancel")
        second = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
    assert booked["booking"] in [a["booking"] for a in first["activities"]]
    assert booked["booking"] not in [a["booking"] for a in second["activities"]]
    assert second["version"] > first["version"]


def test_the_day_as_a_calendar(driven: Serving) -> None:
    """Read by another's library: one event for each thing to do, nobody's name in it."""
    icalendar = pytest.importorskip("icalendar")
    booked = driven.booked(400, minutes=25)
    text = driven.ask(booked["vehicle"], "GET", f"/v1/vehicles/{booked['vehicle']}/calendar.ics").text
    calendar = icalendar.Calendar.from_ical(text)
    plan = driven.ask(booked["vehicle"], "GET", f"/v1/vehicles/{booked['vehicle']}/plan").json()
    todo = [a for a in plan["activities"] if a["kind"] in ("pickup", "dropoff", "break")]
    events = list(calendar.walk("VEVENT"))
    assert [e["DTSTART"].dt for e in events] == [datetime.fromisoformat(a["begin"]) for a in todo]
    assert len({e["UID"] for e in events}) == len(events)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))


def a_track(now: int, count: int) -> list[Position]:
    return [Position(now - 1000 * k, 137.0 + k * 1e-4, 36.0) for k in range(count, 0, -1)]


@given(seed=st.integers(0, 10_000))
def test_a_track_shuffled_doubled_and_from_the_future_ends_the_same(seed: int) -> None:
    """30 % twice, all out of order, some from tomorrow: the same rows and the same latest position as the clean track,
    and what is shown never goes back."""
    rng, now = random.Random(seed), 1_800_000_000_000
    track = a_track(now, 40)
    clean, storm = Positions(), Positions()
    clean.take("t", "v", track, now)
    reports = track + [p for p in track if rng.random() < 0.3]
    reports += [Position(now + 60_000 + k, 0.0, 0.0) for k in range(4)]
    rng.shuffle(reports)
    shown = 0
    while reports:
        cut = rng.randint(1, 7)
        batch, reports = reports[:cut], reports[cut:]
        storm.take("t", "v", batch, now)
        latest = storm.latest("t", "v")
        assert latest is None or latest.at >= shown
        shown = 0 if latest is None else latest.at
    assert storm.latest("t", "v") == clean.latest("t", "v")
    by_time = lambda row: row["at"]  # noqa: E731
    assert sorted(storm.waiting_rows(), key=by_time) == sorted(clean.waiting_rows(), key=by_time)


def test_positions_over_http(driven: Serving) -> None:
    vehicle = next(name for name in driven.keys if name.startswith("taxi-"))
    now = driven.now()

    def at(seconds: int, lon: float = 137.6) -> dict[str, Any]:
        return {"at": (now + timedelta(seconds=seconds)).isoformat(), "lon": lon, "lat": 36.9}

    path = f"/v1/vehicles/{vehicle}/positions"
    said = driven.ask(vehicle, "POST", path, json={"positions": [at(-20), at(-10), at(-10), at(-15), at(3600)]})
    assert said.json() == {"accepted": 2, "duplicate": 1, "late": 1, "future": 1, "old": 0}
    seen = driven.ask("dispatcher-taxi", "GET", f"/v1/regions/{driven.region}/positions").json()["positions"]
    assert [p["vehicle"] for p in seen] == [vehicle]
    assert (seen[0]["lon"], seen[0]["stale"]) == (137.6, False)
    assert (
        driven.ask("dispatcher-neighbours", "GET", f"/v1/regions/{driven.region}/positions").json()["positions"] == []
    )
    other = next(name for name in driven.keys if name.startswith("neighbours-"))
    assert driven.ask(other, "POST", path, json={"positions": [at(0)]}).status_code == 404
    assert driven.ask("partner", "POST", path, json={"positions": [at(0)]}).status_code == 403


def test_positions_reach_the_store_and_come_back(tmp_path: Path, database: str) -> None:
    with serving(some_settings(tmp_path, database, moves_itself=False, tick_ms=20)) as before:
        vehicle = next(name for name in before.keys if name.startswith("vehicle-")).removeprefix("vehicle-")
        at = before.now().isoformat()
        body = {"positions": [{"at": at, "lon": 137.5, "lat": 36.9}]}
        for _ in range(2):
            before.ask(f"vehicle-{vehicle}", "POST", f"/v1/vehicles/{vehicle}/positions", json=body)
        while not before.node.database.read(lambda c: c.execute(select(telemetry)).all()):
            pass
        keys = before.keys
    with serving(some_settings(tmp_path, database, moves_itself=False), before.node.clock, keys) as after:
        seen = after.ask("desk", "GET", f"/v1/regions/{after.region}/positions").json()["positions"]
        assert [(p["vehicle"], p["lon"]) for p in seen] == [(vehicle, 137.5)]
        assert len(after.node.database.read(lambda c: c.execute(select(telemetry)).all())) == 1
