"""Roads close in the middle of the day: whoever is cut off is told, vehicles wait where they are, all others go on."""

from __future__ import annotations

import json
from pathlib import Path

from builders import SERVICE, a_dispatcher, a_request, a_vehicle
from osm_maps import a_long_street, beside, bridge_closed

from noriai_engine.model import BookingState, Spot
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads.traffic import Traffic
from noriai_engine.world.day import Day


def kinds_of(day: Day, rider: str) -> list[str]:
    return [e.kind for e in day.dispatcher.events if e.request_id == rider]


def test_a_rider_beyond_a_closed_bridge_gets_the_vehicle_over_there(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    far, near = beside(network, 42, 52), beside(network, 12, 22)
    fleet = [a_vehicle("near", place=near), a_vehicle("far", place=far, shift=("07:10", "19:00"))]
    dispatcher, clock = a_dispatcher(network, fleet, SERVICE, now="07:00")
    rider = a_request("r1", origin=far, destination=far, placed="07:00")
    dispatcher.overrides.block(1)
    day = Day(
        dispatcher, clock, [rider, a_request("r2", origin=near, destination=near, departs="10:00", placed="07:01")]
    )
    steps = day.steps()
    next(steps)
    assert dispatcher.bookings.booked["r1"].vehicle_id == "near"  # type: ignore[index]
    dispatcher.overrides.block(1, blocked=False)
    next(steps)
    day.set_traffic(bridge_closed(network), "bridge")
    assert dispatcher.bookings.booked["r1"].vehicle_id == "far"  # type: ignore[index]
    list(steps)
    assert set(dispatcher.bookings.states.values()) == {BookingState.DONE}
    assert not [e for e in dispatcher.events if e.kind == "promise_broken"]


def test_a_rider_whom_nobody_can_reach_is_told_that_a_person_must_help(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near, far = beside(network, 12, 22), beside(network, 42, 52)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=near)], SERVICE, now="07:00")
    over, stays = a_request("r1", origin=near, destination=far, departs="07:30", placed="07:00"), near
    day = Day(
        dispatcher, clock, [over, a_request("r2", origin=stays, destination=stays, departs="09:00", placed="07:01")]
    )
    steps = day.steps()
    next(steps), next(steps)
    day.set_traffic(bridge_closed(network), "bridge")
    assert kinds_of(day, "r1")[-1] == "booking_dropped"
    (dropped,) = [e for e in dispatcher.events if e.kind == "booking_dropped"]
    assert json.loads(str(dropped.details))["cause"] == "bridge"
    list(steps)
    assert dispatcher.bookings.states["r2"] == BookingState.DONE  # type: ignore[index]


def test_a_vehicle_cut_off_from_its_depot_works_on_and_comes_home_when_it_can(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near, far = beside(network, 12, 22), beside(network, 42, 52)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=near)], SERVICE, now="07:00")
    riders = [
        a_request("r1", origin=near, destination=far, departs="07:10", placed="07:00"),
        a_request("r2", origin=far, destination=far, departs="08:00", placed="08:00"),
        a_request("r3", origin=far, destination=far, departs="09:00", placed="09:00"),
    ]
    day = Day(dispatcher, clock, riders)
    steps = day.steps()
    next(steps), next(steps)
    home = dispatcher.plan(0).activities[-1].stop.spot
    day.set_traffic(bridge_closed(network), "bridge")
    assert dispatcher.plan(0).activities[-1].stop.spot != home
    assert dispatcher.travel_times.between(dispatcher.position(0)[0], home) == FOREVER_MS
    next(steps)
    assert dispatcher.bookings.states["r2"] == BookingState.DONE  # type: ignore[index]
    assert dispatcher.bookings.states["r3"] == BookingState.ACCEPTED  # type: ignore[index]
    day.set_traffic(Traffic(), "bridge")
    assert dispatcher.plan(0).activities[-1].stop.spot == home
    list(steps)
    assert [e.kind for e in dispatcher.events if e.kind == "depot_moved"] == ["depot_moved"] * 2
    assert [Spot(e.state or 0, e.offset_ms or 0) for e in dispatcher.events if e.kind == "shift_ended"] == [home]


def test_a_rider_aboard_whose_destination_is_cut_off_leaves_the_vehicle(tmp_path: Path) -> None:
    network = a_long_street(tmp_path)
    near, far = beside(network, 12, 22), beside(network, 42, 52)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=near)], SERVICE, now="07:00")
    later = a_request("r2", origin=near, destination=near, departs="07:10", placed="07:10")
    over = a_request("r1", origin=near, destination=far, departs="07:10", placed="07:00")
    day = Day(dispatcher, clock, [over, later])
    steps = day.steps()
    next(steps), next(steps)
    assert dispatcher.bookings.states["r1"] == BookingState.BOARDING  # type: ignore[index]
    day.set_traffic(bridge_closed(network), "bridge")
    assert kinds_of(day, "r1")[-2:] == ["ride_interrupted", "booking_dropped"]
    assert dispatcher.plan(0).aboard.riders == 0
    list(steps)
    assert dispatcher.bookings.states["r2"] == BookingState.DONE  # type: ignore[index]
    assert all(leg.request_ids in ((), ("r2",)) for leg in day.legs)
