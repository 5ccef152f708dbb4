"""Promises made with a buffer: plans are tighter than what riders are told, and only the road may use the difference."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from builders import DAY, MINUTE, SERVICE, a_dispatcher, a_request, a_street, a_vehicle, at, node

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.model import Service
from noriai_engine.world.day import Day

STREET = a_street(20, 60)
BUFFERED = replace(SERVICE, pickup_buffer_ms=5 * MINUTE, ride_buffer_permille=200)


def dispatched(service: Service, **asked: str) -> tuple[Dispatcher, str]:
    """One vehicle at the end of the street, one rider who asks the evening before."""
    dispatcher, _ = a_dispatcher(STREET, [a_vehicle(place=node(STREET, 0))], service, now="07:00")
    request = a_request(origin=node(STREET, 4), destination=node(STREET, 14), placed="07:00", **asked)  # type: ignore[arg-type]
    quote = dispatcher.quote(request)
    return dispatcher, dispatcher.commit(quote.offers[0]).request_id


def test_riders_are_told_the_service_s_limits_and_plans_are_tighter() -> None:
    dispatcher, rider = dispatched(BUFFERED)
    booking = dispatcher.bookings.booked[rider]  # type: ignore[index]
    assert (booking.pickup.earliest, booking.pickup.latest) == (at("08:00"), at("08:20"))
    assert booking.max_ride_ms == BUFFERED.ride_limit_ms(10 * MINUTE)
    pickup, dropoff = dispatcher.plan(0).activities[1:3]
    assert pickup.latest == at("08:15")
    assert dropoff.latest == booking.dropoff.latest - 7 * MINUTE  # 5 min, and a fifth of the direct ride


def test_who_wishes_to_arrive_has_a_pickup_interval_no_longer_than_the_wait() -> None:
    dispatcher, rider = dispatched(BUFFERED, departs=None, arrives="09:00")  # type: ignore[arg-type]
    booking = dispatcher.bookings.booked[rider]  # type: ignore[index]
    pickup, dropoff = dispatcher.plan(0).activities[1:3]
    assert booking.dropoff.latest == at("09:00")
    assert dropoff.latest == at("08:53")
    assert booking.pickup.latest - booking.pickup.earliest <= BUFFERED.max_wait_ms
    assert booking.pickup.earliest == pickup.begin
    assert pickup.latest == booking.pickup.latest - 5 * MINUTE


def test_a_buffer_never_makes_a_ride_impossible_that_a_vehicle_could_give_alone() -> None:
    """No detour is allowed at all, the rider has a minute to be picked up: the buffers give way."""
    strict = replace(BUFFERED, detour_factor_permille=1_000, detour_extra_ms=0, pickup_buffer_ms=60 * MINUTE)
    dispatcher, rider = dispatched(strict, pickup=("08:00", "08:01"))  # type: ignore[arg-type]
    booking = dispatcher.bookings.booked[rider]  # type: ignore[index]
    assert booking.pickup.latest == at("08:01")
    assert booking.max_ride_ms == 10 * MINUTE


@pytest.mark.parametrize(("late_min", "told"), [(3, None), (9, None), (12, "08:22")])
def test_a_late_vehicle_uses_the_buffer_before_a_promise_is_broken(late_min: int, told: str | None) -> None:
    """Planned for 08:10 with the buffer from 08:15 to 08:20: what is told is a breach of 08:20 alone."""
    dispatcher, clock = a_dispatcher(STREET, [a_vehicle(place=node(STREET, 0))], BUFFERED, now="07:00")
    rider = a_request(origin=node(STREET, 4), destination=node(STREET, 14), placed="07:00", pickup=("08:10", "08:20"))
    day = Day(dispatcher, clock, [rider])
    next(day.steps())
    day.delay(0, at("08:06") + late_min * MINUTE)
    broken = [json.loads(str(e.details)) for e in dispatcher.events if e.kind == "promise_broken"]
    pickups = [b["now"] for b in broken if b["what"] == "pickup"]
    assert pickups == ([at(told)] if told else [])
    assert dispatcher.plan(0).activities[1].begin == at("08:10") + late_min * MINUTE


def test_what_the_road_took_of_a_buffer_later_requests_do_not_take_as_well() -> None:
    """The pickup may be at 08:20 at the latest and is planned for 08:18: nobody is inserted who would make it later."""
    dispatcher, clock = a_dispatcher(STREET, [a_vehicle(place=node(STREET, 0))], BUFFERED, now="07:00")
    rider = a_request(origin=node(STREET, 4), destination=node(STREET, 14), placed="07:00", pickup=("08:10", "08:20"))
    day = Day(dispatcher, clock, [rider])
    next(day.steps())
    day.delay(0, at("08:14"))
    second = a_request("r2", origin=node(STREET, 2), destination=node(STREET, 3), departs="08:10", placed="07:00")
    quote = dispatcher.quote(second)
    if quote.offers:
        dispatcher.commit(quote.offers[0])
    first = next(a for a in dispatcher.plan(0).activities if a.request_id == "r1")
    assert first.begin <= at("08:18")
    assert DAY.to_day_ms(first.latest) == DAY.to_day_ms(at("08:18"))
