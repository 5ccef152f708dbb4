"""Bookings whose vehicle can come no longer: another one is looked for until there is no time, and all of it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import DAY, MINUTE, SERVICE, a_dispatcher, a_request, a_vehicle, at
from hard_days import a_hard_day
from osm_maps import a_long_street, beside, bridge_closed

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.records import put_request, put_vehicle, request_record, vehicle_record
from noriai_engine.model import BookingState, InputError
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.traffic import Traffic
from noriai_engine.world.day import Day
from noriai_engine.world.life import Life, TrafficChange

RIDE = ["pickup_started", "picked_up", "dropoff_started", "dropped_off"]


def a_day_beyond_the_bridge(network: RoadNetwork, opens: str | None = None, **fleet: object) -> Day:
    """One vehicle this side of the bridge, booked to fetch r1 beyond it at 12:00. At 07:30 the bridge is closed, and
    opens again, if ever. r2 rides on this side in the evening."""
    near, far = beside(network, 12, 22), beside(network, 42, 52)
    dispatcher, clock = a_dispatcher(network, [a_vehicle("near", place=near)], SERVICE, now="07:00")
    changes = [TrafficChange(at("07:30"), bridge_closed(network), "bridge")]
    changes += [TrafficChange(at(opens), Traffic(), "bridge")] if opens else []
    riders = [
        a_request("r1", origin=far, destination=near, departs="12:00", placed="07:00"),
        a_request("r2", origin=near, destination=near, departs="18:00", placed="07:40"),
    ]
    return Day(dispatcher, clock, riders, life=Life(incidents=tuple(changes)))


def kinds_of(day: Day, rider: str) -> list[str]:
    return [e.kind for e in day.dispatcher.events if e.request_id == rider]


def go(day: Day, steps: int = 2) -> Dispatcher:
    answers = day.steps()
    for _ in range(steps):
        next(answers)
    return day.dispatcher


def last(dispatcher: Dispatcher, kind: str) -> tuple[int, dict[str, object]]:
    event = [e for e in dispatcher.events if e.kind == kind][-1]
    return event.time, json.loads(str(event.details))


def deadline(dispatcher: Dispatcher) -> int:
    return DAY.to_utc(dispatcher.bookings.promised[0].pickup_latest) - SERVICE.give_up_ms


def test_a_booking_beyond_a_bridge_that_opens_in_time_is_kept(tmp_path: Path) -> None:
    day = a_day_beyond_the_bridge(a_long_street(tmp_path), opens="09:00")
    day.run()
    dispatcher = day.dispatcher
    assert kinds_of(day, "r1")[2:] == ["booking_unassigned", "booking_moved", *RIDE]
    assert last(dispatcher, "booking_unassigned") == (at("07:30"), {"cause": "bridge", "until": deadline(dispatcher)})
    assert last(dispatcher, "booking_moved") == (at("09:01"), {"cause": "bridge", "from": "near", "later_ms": 0})
    assert not [e for e in dispatcher.events if e.kind == "promise_broken"]
    assert set(dispatcher.bookings.states.values()) == {BookingState.DONE}


def test_a_booking_beyond_a_bridge_that_stays_closed_is_given_up_when_there_is_no_time_left(tmp_path: Path) -> None:
    day = a_day_beyond_the_bridge(a_long_street(tmp_path), opens="12:00")
    day.run()
    assert kinds_of(day, "r1")[2:] == ["booking_unassigned", "booking_dropped"]
    assert last(day.dispatcher, "booking_dropped") == (deadline(day.dispatcher), {"cause": "bridge", "from": "near"})
    assert day.dispatcher.bookings.states["r2"] == BookingState.DONE  # type: ignore[index]
    assert day.dispatcher.incidents.next_look() is None


def test_a_vehicle_that_joins_takes_over_and_who_is_picked_up_first_comes_first(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near = beside(network, 12, 22)
    dispatcher, clock = a_dispatcher(network, [a_vehicle("v1", place=near)], SERVICE, now="07:00")
    late, early = (
        a_request(name, origin=near, destination=near, departs=departs, placed="07:00")
        for name, departs in (("late", "12:00"), ("early", "11:00"))
    )
    stop = a_request("stop", origin=near, destination=near, departs="07:31", placed="07:30")
    day = Day(dispatcher, clock, [late, early, stop])
    answers = day.steps()
    next(answers), next(answers)
    day.break_down(0)
    assert {"late", "early"} == set(dispatcher.bookings.unassigned)
    next(answers)
    day.join(a_vehicle("v2", place=near, shift=("07:30", "19:00")))
    list(answers)
    moved = [e for e in dispatcher.events if e.kind == "booking_moved"]
    assert [(e.time, e.request_id, e.vehicle_id) for e in moved] == [
        (at("07:31"), "early", "v2"),
        (at("07:31"), "late", "v2"),
    ]
    assert kinds_of(day, "late")[2:] == ["booking_unassigned", "booking_moved", *RIDE]
    assert not dispatcher.bookings.unassigned


def test_without_a_vehicle_in_time_the_rider_is_told_of_a_later_one(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near = beside(network, 12, 22)
    dispatcher, clock = a_dispatcher(network, [a_vehicle("v1", place=near)], SERVICE, now="07:00")
    rider = a_request("r1", origin=near, destination=near, departs="12:00", placed="07:00")
    day = Day(
        dispatcher, clock, [rider, a_request("r2", origin=near, destination=near, departs="18:00", placed="07:30")]
    )
    answers = day.steps()
    next(answers)
    day.break_down(0)
    latest = dispatcher.bookings.promised[0].pickup_latest
    shift = DAY.to_utc(latest + 5 * MINUTE)
    joins = a_vehicle("v2", place=near, shift=("07:30", "19:00"))
    day.join(
        type(joins)(
            **{**{f: getattr(joins, f) for f in joins.__slots__}, "shift": type(joins.shift)(shift, at("19:00"))}
        )
    )
    assert dispatcher.incidents.look_for_vehicles() == []
    assert dispatcher.bookings.states["r1"] == BookingState.UNASSIGNED  # type: ignore[index]
    list(answers)
    assert last(dispatcher, "promise_broken") == (
        DAY.to_utc(latest) - SERVICE.give_up_ms,
        {"cause": "breakdown", "wider_ms": 7 * MINUTE},
    )
    assert dispatcher.bookings.states["r1"] == BookingState.DONE  # type: ignore[index]


def test_a_rider_without_a_vehicle_may_cancel_and_an_operator_may_assign_another(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    dispatcher = go(a_day_beyond_the_bridge(network))
    with pytest.raises(InputError, match="has no place for this booking"):
        dispatcher.overrides.assign("r1", 0)
    assert dispatcher.bookings.unassigned == {"r1": "bridge"}
    dispatcher.incidents.join(a_vehicle("far", place=beside(network, 42, 52), shift=("07:45", "19:00")))
    with pytest.raises(InputError):
        dispatcher.overrides.assign("r1", 1)  # it may come, and cannot set r1 down on the other side
    assert dispatcher.incidents.cancel("r1") == []
    assert dispatcher.bookings.states["r1"] == BookingState.CANCELLED  # type: ignore[index]
    assert dispatcher.incidents.next_look() is None


def test_an_operator_gives_a_rider_without_a_vehicle_one_again(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near = beside(network, 12, 22)
    dispatcher, clock = a_dispatcher(network, [a_vehicle("v1", place=near)], SERVICE, now="07:00")
    rider = a_request("r1", origin=near, destination=near, departs="12:00", placed="07:00")
    day = Day(dispatcher, clock, [rider])
    next(day.steps())
    day.break_down(0)
    dispatcher.overrides.resume(0)
    assert dispatcher.overrides.assign("r1", 0) == [0]
    assert dispatcher.bookings.states["r1"] == BookingState.ACCEPTED  # type: ignore[index]
    assert [a.request_id for a in dispatcher.plan(0).activities] == [None, "r1", "r1", None]


def test_a_dispatcher_put_together_again_from_its_records_looks_on(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near = beside(network, 12, 22)
    logs = []
    for restarts in (False, True):
        dispatcher, clock = a_dispatcher(network, [a_vehicle("v1", place=near)], SERVICE, now="07:00")
        rider = a_request("r1", origin=near, destination=near, departs="12:00", placed="07:00")
        next(Day(dispatcher, clock, [rider]).steps())
        dispatcher.incidents.break_down(0)
        if restarts:
            records = request_record(dispatcher, "r1"), vehicle_record(dispatcher, 0)
            records = json.loads(json.dumps(records))
            dispatcher, clock = a_dispatcher(network, [a_vehicle("v1", place=near)], SERVICE, now="07:00")
            put_request(dispatcher, records[0])
            put_vehicle(dispatcher, 0, records[1])
        assert dispatcher.incidents.next_look() == at("07:01")
        clock.advance_to(at("07:01"))
        assert dispatcher.incidents.look_for_vehicles() == []
        dispatcher.overrides.resume(0)
        assert dispatcher.incidents.look_for_vehicles() == [0]
        logs.append([(e.time, e.kind, e.details) for e in list(dispatcher.events)[-2:]])
    assert logs[0] == logs[1]
    assert [kind for _, kind, _ in logs[0]] == ["booking_moved", "plan_changed"]


def test_days_full_of_incidents_have_bookings_that_lose_their_vehicle_and_get_another_one() -> None:
    events = [event for seed in range(30) for event in a_hard_day(seed).dispatcher.events]
    assert sum(event.kind == "booking_unassigned" for event in events) > 5
