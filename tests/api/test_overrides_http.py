"""Operators over HTTP: tried before done, seen by whom it touches, undone; and riders who change their minds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import outbox


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(some_settings(tmp_path_factory.mktemp("desk"), moves_itself=False)) as running:
        yield running


def override(desk: Serving, role: str = "desk", **body: Any) -> Any:
    return desk.ask(role, "POST", f"/v1/regions/{desk.region}/overrides", json=body)


def busy_vehicle(desk: Serving) -> tuple[str, list[str]]:
    """The vehicle with most riders to come, and their bookings."""
    riders: dict[str, list[str]] = {}
    for booking in desk.ask("desk", "GET", "/v1/bookings").json()["bookings"]:
        if booking["state"] == "accepted":
            riders.setdefault(booking["vehicle"], []).append(booking["booking"])
    return max(riders.items(), key=lambda item: len(item[1]))


def read(desk: Serving, booking: str) -> dict[str, Any]:
    return dict(desk.ask("desk", "GET", f"/v1/bookings/{booking}").json())


def test_a_breakdown_is_shown_before_it_is_done_and_can_be_undone(desk: Serving) -> None:
    """Three actions: try, do, and if it was a mistake, undo. The trial changes nothing and tells the truth."""
    for k in range(12):
        desk.booked(20 * k, minutes=40 + 10 * k)
    vehicle, riders = busy_vehicle(desk)
    before, hashed = {b: read(desk, b) for b in riders}, desk.state_hash()
    tried = override(desk, action="break_down", vehicle=vehicle)
    assert tried.status_code == 200, tried.text
    shown = {e["booking"]: e for e in tried.json()["effects"]}
    assert set(riders) <= set(shown)
    assert desk.state_hash() == hashed
    assert {b: read(desk, b) for b in riders} == before
    done = override(desk, action="break_down", vehicle=vehicle, commit=True, expect=tried.json()["digest"]).json()
    assert done["committed"]
    for booking in riders:
        now = read(desk, booking)
        assert now["state"] == shown[booking]["state"]
        if now["state"] == "accepted":
            assert now["vehicle"] == shown[booking]["vehicle"][1] != vehicle
            assert now["pickup"]["planned"] == shown[booking]["pickup"][1]
    again = override(desk, action="break_down", vehicle=vehicle)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    undone = desk.ask("desk", "POST", f"/v1/regions/{desk.region}/overrides/{done['override']}/undo").json()
    assert undone["restored"][0] == "break_down"
    for booking in undone["restored"][1:]:
        assert read(desk, booking)["vehicle"] == vehicle
    twice = desk.ask("desk", "POST", f"/v1/regions/{desk.region}/overrides/{done['override']}/undo")
    assert twice.status_code == 409


def test_an_outcome_that_is_another_by_now_is_not_done(desk: Serving) -> None:
    """What was shown is what is done, or nothing."""
    booking = desk.booked(300, minutes=90)
    tried = override(desk, action="break_down", vehicle=booking["vehicle"]).json()
    desk.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel")
    late = override(desk, action="break_down", vehicle=booking["vehicle"], commit=True, expect=tried["digest"])
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert late.json()["digest"] != tried["digest"]


def test_operators_reach_their_own_vehicles_only(desk: Serving) -> None:
    booking = desk.booked(400, minutes=60)
    own, other = ("taxi", "neighbours") if booking["operator"] == "taxi" else ("neighbours", "taxi")
    body = {"action": "pin", "booking": booking["booking"], "commit": True}
    assert override(desk, f"dispatcher-{other}", **body).status_code == 404
    assert override(desk, f"dispatcher-{own}", **body).status_code == 200
    assert override(desk, "partner", **body).status_code == 403
    assert override(desk, "planner", **body).status_code == 403


def test_a_blocked_vehicle_is_offered_to_nobody(desk: Serving) -> None:
    vehicles = desk.ask("desk", "GET", "/v1/vehicles").json()["vehicles"]
    for vehicle in vehicles:
        if vehicle["operator"] == "taxi":
            assert override(desk, action="block", vehicle=vehicle["vehicle"], commit=True).status_code == 200
    quotes = [desk.quote(500 + k, minutes=45) for k in range(4)]
    assert {o["operator"] for q in quotes for o in q["offers"]} <= {"neighbours"}
    for vehicle in vehicles:
        if vehicle["operator"] == "taxi":
            override(desk, action="unblock", vehicle=vehicle["vehicle"], commit=True)
    assert "taxi" in {o["operator"] for q in [desk.offered(550, minutes=60)] for o in q["offers"]}


def test_late_vehicles_raise_alerts(desk: Serving) -> None:
    booking = desk.booked(600, minutes=30)
    until = booking["pickup"]["latest"].replace("+09:00", "+09:00")
    from datetime import datetime, timedelta

    late = (datetime.fromisoformat(until) + timedelta(minutes=25)).isoformat()
    assert override(desk, action="delay", vehicle=booking["vehicle"], until=late, commit=True).status_code == 200
    alerts = desk.ask("desk", "GET", f"/v1/regions/{desk.region}/alerts").json()["alerts"]
    now = read(desk, booking["booking"])
    if now["vehicle"] == booking["vehicle"] and now["state"] == "accepted":
        mine = [a for a in alerts if a["booking"] == booking["booking"]]
        assert mine
        assert mine[0]["minutes"] > 0
    assert all(set(a["text"]) == {"en", "ja"} for a in alerts)


def test_a_rider_changes_the_booking_or_keeps_it(desk: Serving) -> None:
    """The new one is made and the old one given up in one step; a second try with the same offer is refused."""
    booking = desk.booked(700, minutes=50)
    wish = desk.wish(700, minutes=140)
    quote = desk.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/quotes", json=wish).json()
    assert quote["offers"], quote
    wrong = desk.ask("partner", "POST", "/v1/bookings", key="wrongway", json={"quote": quote["quote"]})
    assert wrong.status_code == 409
    path = f"/v1/bookings/{booking['booking']}/change"
    changed = desk.ask("partner", "POST", path, key="change", json={"quote": quote["quote"]})
    assert changed.status_code == 201, changed.text
    assert changed.json()["booking"] != booking["booking"]
    assert changed.json()["pickup"]["earliest"] == quote["offers"][0]["pickup"]["earliest"]
    assert read(desk, booking["booking"])["state"] == "cancelled"
    replay = desk.ask("partner", "POST", path, key="change", json={"quote": quote["quote"]})
    assert replay.json() == changed.json()
    again = desk.ask("partner", "POST", path, key="change2", json={"quote": quote["quote"]})
    assert again.status_code == 409


def test_a_change_to_tomorrow(desk: Serving) -> None:
    booking = desk.booked(800, minutes=50)
    wish = desk.wish(800, minutes=24 * 60 + 30)
    quote = desk.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/quotes", json=wish).json()
    changed = desk.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/change", key="tomorrow",
                       json={"quote": quote["quote"]})  # fmt: skip
    assert changed.status_code == 201, changed.text
    assert changed.json()["day"] > booking["day"]
    assert read(desk, booking["booking"])["state"] == "cancelled"


def test_a_booking_that_loses_its_vehicle_waits_for_another_and_gets_its_own_back(tmp_path: Path) -> None:
    """With no vehicle left a booking of later is unassigned: shown before it is done, told and listed; not given up."""
    with serving(some_settings(tmp_path, moves_itself=False)) as desk:
        lose_and_find_again(desk)


def lose_and_find_again(desk: Serving) -> None:
    booking = desk.booked(minutes=150)
    path, vehicle, overrides = f"/v1/regions/{desk.region}", booking["vehicle"], []
    names = [v["vehicle"] for v in desk.ask("desk", "GET", "/v1/vehicles").json()["vehicles"]]
    for name in [*(v for v in names if v != vehicle), vehicle]:
        done = override(desk, action="break_down", vehicle=name, commit=True)
        assert done.status_code == 200, done.text
        overrides.append(done.json())
    effect = next(e for e in overrides[-1]["effects"] if e["booking"] == booking["booking"])
    assert (effect["state"], effect["promise_kept"]) == ("unassigned", False)
    assert read(desk, booking["booking"])["state"] == "unassigned"
    assert read(desk, booking["booking"])["pickup"]["planned"] is None
    alerts = desk.ask("desk", "GET", f"{path}/alerts").json()["alerts"]
    assert [a["kind"] for a in alerts if a["booking"] == booking["booking"]] == ["unassigned"]
    told = desk.node.database.read(
        lambda c: c.execute(select(outbox.c.body).where(outbox.c.topic == "booking.booking_unassigned")).scalars().all()
    )
    causes = {m["quote"]: m["details"]["cause"] for m in map(json.loads, told)}
    assert causes[booking["quote"]] == "breakdown"
    undone = desk.ask("desk", "POST", f"{path}/overrides/{overrides[-1]['override']}/undo").json()
    assert (undone["restored"], undone["not_restored"]) == (["break_down", booking["booking"]], [])
    now = read(desk, booking["booking"])
    assert (now["state"], now["vehicle"], now["pickup"]["planned"]) == (
        "accepted", vehicle, booking["pickup"]["planned"]
    )  # fmt: skip
