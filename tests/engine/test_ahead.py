"""Plans made ahead: what the optimiser accepts, dispatch accepts, and the other way round; promises hold all day."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from builders import (
    MINUTE,
    SERVICE,
    a_battery,
    a_dispatcher,
    a_mixed_fleet,
    a_random_town,
    a_request,
    a_street,
    a_street_town,
    a_vehicle,
    at,
    node,
    random_requests,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.model import InputError, Request, Resources
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.plan import ActivityKind
from noriai_engine.plans import Aims, SolveParams
from noriai_engine.world.day import Day, PlanAhead
from noriai_simulations.tomorrow import given_up_ms

LITTLE = SolveParams(seconds=None, iterations=60, dives=0)
AIMS = (
    Aims(), Aims(rider_weight=0.5), Aims(("unserved", "inconvenience", "cost")), Aims(("unserved", "cost", "inconvenience"))
)  # fmt: skip


def no_clock() -> float:
    return 0.0


def a_town_with(seed: int, requests: int) -> tuple[Dispatcher, object, list[Request]]:
    rng = np.random.default_rng(seed)
    make = a_random_town if seed % 2 else a_street_town
    network = make(rng, int(rng.integers(6, 16)))
    fleet = a_mixed_fleet(network, rng)
    if seed % 3 == 1:
        fleet = [replace(v, battery=a_battery(rng)) for v in fleet]
    dispatcher, clock = a_dispatcher(network, fleet, SERVICE, now="06:30")
    return dispatcher, clock, random_requests(network, rng, requests)


def driving(dispatcher: Dispatcher) -> int:
    return sum(row.drive_ms for k in range(len(dispatcher.vehicles)) for row in dispatcher.plan(k).activities)


def judge(dispatcher: Dispatcher, party: dict[str, Resources]) -> None:
    """Plans as values: times that can be driven, windows, loads, every accepted rider in exactly one plan."""
    seen: dict[str, list[int]] = {}
    for k, vehicle in enumerate(dispatcher.vehicles):
        load, plan = [0, 0, 0], dispatcher.plan(k)
        for before, row in pairwise(plan.activities):
            done = before.begin + (before.service_ms if before.kind != ActivityKind.POSITION else 0)
            assert row.drive_ms == dispatcher.travel_times.between(before.stop.spot, row.stop.spot)
            assert max(done + row.drive_ms, row.earliest) <= row.begin <= row.latest
            if row.request_id is not None:
                sign = 1 if row.kind == ActivityKind.PICKUP else -1
                load = [a + sign * b for a, b in zip(load, party[row.request_id].as_tuple(), strict=True)]
                seen.setdefault(row.request_id, []).append(k)
                booking = dispatcher.bookings.booked[row.request_id]
                assert booking.vehicle_id == vehicle.id
                window = booking.pickup if sign > 0 else booking.dropoff
                assert window.earliest <= row.begin <= window.latest
            assert Resources(*load).fits(vehicle.layouts)
            assert row.kind != ActivityKind.BREAK or load == [0, 0, 0]
    for rider, state in dispatcher.bookings.states.items():
        assert len(seen.get(rider, [])) == (2 if state == BookingState.ACCEPTED else 0)


def judge_batteries(dispatcher: Dispatcher) -> None:
    """From the depot in the morning, drive by drive: the reserve is left at every stop, breaks charge."""
    for k, vehicle in enumerate(dispatcher.vehicles):
        if (battery := vehicle.battery) is None:
            continue
        left = 1_000 * (battery.range_m if battery.start_m is None else battery.start_m)
        for before, row in pairwise(dispatcher.plan(k).activities):
            left -= dispatcher.travel_times.drive(before.stop.spot, row.stop.spot).mm
            assert left >= 1_000 * battery.reserve_m
            if row.kind == ActivityKind.BREAK:
                left = min(1_000 * battery.range_m, left + row.service_ms * battery.charge_m_per_min // 60)


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 1_000_000))
def test_a_plan_accepted_by_one_is_accepted_by_the_other(seed: int) -> None:
    """Half the riders are booked online, then the optimiser takes those plans over (it refuses unlawful ones) and
    plans the others with them; dispatch inserts what it found (and raises where a rule of its own would break)."""
    dispatcher, _, requests = a_town_with(seed, 24)
    party = {str(r.id): r.party for r in requests}
    for request in requests[:12]:
        quote = dispatcher.quote(request)
        if quote.offers:
            dispatcher.commit(quote.offers[0])
    booked = set(dispatcher.bookings.booked)
    before = driving(dispatcher)
    again = dispatcher.ahead.plan(LITTLE, no_clock)
    assert not again.bookings
    assert not again.refusals
    assert set(dispatcher.bookings.booked) == booked
    assert driving(dispatcher) <= before
    judge(dispatcher, party)
    judge_batteries(dispatcher)
    for request in requests[12:]:
        dispatcher.ahead.hear(request)
    dispatcher.ahead.plan(LITTLE, no_clock, aims=AIMS[seed % len(AIMS)])
    assert booked <= {r for r, s in dispatcher.bookings.states.items() if s == BookingState.ACCEPTED}
    assert set(dispatcher.bookings.states.values()) <= {BookingState.ACCEPTED, BookingState.REFUSED}
    judge(dispatcher, party)
    judge_batteries(dispatcher)


@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 1_000_000))
def test_promises_of_the_evening_hold_through_a_day_of_more_requests(seed: int) -> None:
    dispatcher, clock, requests = a_town_with(seed, 24)
    Day(dispatcher, clock, requests, ahead=PlanAhead(at("07:25"), LITTLE, aims=AIMS[seed % 4])).run()  # type: ignore[arg-type]
    assert set(dispatcher.bookings.states.values()) <= {BookingState.DONE, BookingState.REFUSED}
    assert len(dispatcher.bookings.states) == 24
    boarded = {}
    for event in dispatcher.events:
        booking = dispatcher.bookings.booked.get(event.request_id or "")
        if booking is None:
            continue
        if event.kind == "pickup_started":
            assert booking.pickup.earliest <= event.time <= booking.pickup.latest
        elif event.kind == "picked_up":
            boarded[event.request_id] = event.time
        elif event.kind == "dropoff_started":
            assert booking.dropoff.earliest <= event.time <= booking.dropoff.latest
            assert event.time - boarded[event.request_id] <= booking.max_ride_ms


def test_the_same_plan_comes_out_twice() -> None:
    logs = []
    for _ in range(2):
        dispatcher, clock, requests = a_town_with(11, 24)
        Day(dispatcher, clock, requests, ahead=PlanAhead(at("07:25"), LITTLE)).run()  # type: ignore[arg-type]
        logs.append([tuple(getattr(e, f) for f in e.__slots__) for e in dispatcher.events])
    assert logs[0] == logs[1]
    assert any(event[8] == "plan" for event in logs[0])


def test_a_plan_serves_whom_the_order_of_asking_would_have_refused() -> None:
    """One vehicle: the rider who asked first blocks two others; planned together, the one is refused."""
    network = a_street(12, 60)
    riders = [
        a_request("far", origin=node(network, 11), destination=node(network, 0), departs="08:00", placed="06:00"),
        a_request("near", origin=node(network, 0), destination=node(network, 2), departs="08:00", placed="06:10"),
        a_request("next", origin=node(network, 2), destination=node(network, 0), departs="08:04", placed="06:20"),
    ]
    served = {}
    for plan in (False, True):
        service = SERVICE.__class__(max_wait_ms=180_000, detour_factor_permille=1_000, detour_extra_ms=60_000)
        dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], service, now="05:00")
        ahead = PlanAhead(at("06:30"), LITTLE) if plan else None
        Day(dispatcher, clock, riders, ahead=ahead).run()
        served[plan] = {r for r, s in dispatcher.bookings.states.items() if s == BookingState.DONE}
    assert served == {False: {"far"}, True: {"near", "next"}}


def test_a_ride_there_and_its_ride_back_stand_or_fall_together() -> None:
    network = a_street(12, 60)
    there = a_request("there", origin=node(network, 2), destination=node(network, 6), departs="08:00", placed="06:00")
    back = a_request("back", origin=node(network, 6), destination=node(network, 2), departs="11:00", placed="06:00")
    back = replace(back, return_of=there.id)
    for end, expected in (("12:00", {BookingState.ACCEPTED}), ("10:00", {BookingState.REFUSED})):
        dispatcher, _ = a_dispatcher(network, [a_vehicle(place=node(network, 0), shift=("07:00", end))], now="06:00")
        for request in (there, back):
            dispatcher.ahead.hear(request)
        dispatcher.ahead.plan(LITTLE, no_clock)
        assert set(dispatcher.bookings.states.values()) == expected


def test_a_request_that_cannot_be_is_refused_when_it_is_heard() -> None:
    network = a_street(12, 60)
    dispatcher, _ = a_dispatcher(network, [a_vehicle(place=node(network, 0))], now="06:00")
    late = a_request("late", origin=node(network, 0), destination=node(network, 3), departs="05:00", placed="04:00")
    refusal = dispatcher.ahead.hear(late)
    assert refusal is not None
    assert refusal.reason == "time.past"
    with pytest.raises(ValueError, match="answered already"):
        dispatcher.ahead.hear(late)


def test_riders_give_up_less_where_that_comes_first() -> None:
    """Over eight towns: the same riders or more are served, who wait less and ride straighter, and vehicles drive more."""
    served, minutes, drives = [0, 0], [0.0, 0.0], [0.0, 0.0]
    for seed in range(8):
        for k, aims in enumerate((Aims(), Aims(("unserved", "inconvenience", "cost")))):
            dispatcher, _, requests = a_town_with(3 * seed, 14)
            for request in requests:
                dispatcher.ahead.hear(request)
            dispatcher.ahead.plan(replace(LITTLE, iterations=400), no_clock, aims=aims)
            served[k] += len(dispatcher.bookings.booked)
            minutes[k] += given_up_ms(dispatcher) / MINUTE
            drives[k] += driving(dispatcher) / MINUTE
    assert served[1] >= served[0]
    assert minutes[1] < minutes[0]
    assert drives[1] > drives[0]


def test_impossible_aims_are_told() -> None:
    for order in ((), ("cost",), ("cost", "unserved"), ("unserved", "inconvenience"), ("unserved", "cost", "cost")):
        with pytest.raises(InputError, match="order"):
            Aims(order)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rider_weight = -1"):
        Aims(rider_weight=-1.0)
    with pytest.raises(InputError, match="give one of both"):
        Aims(("unserved", "cost", "inconvenience"), 0.5)
