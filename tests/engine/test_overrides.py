"""The operator's last word: done wholly or not at all, and never at another rider's cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import MINUTE, a_dispatcher, a_random_town, a_vehicle, random_requests, somewhere
from hypothesis import given, settings
from hypothesis import strategies as st

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.records import request_record, vehicle_record
from noriai_engine.model import BookingState, InputError, Request, UtcMs, VirtualClock
from noriai_engine.model.errors import StaleOfferError
from noriai_engine.plans import annealing


def state_of(dispatcher: Dispatcher) -> tuple[Any, ...]:
    book = dispatcher.bookings
    for k in range(len(dispatcher.vehicles)):
        dispatcher.position(k)
    return (
        [vehicle_record(dispatcher, k) for k in range(len(dispatcher.vehicles))],
        [request_record(dispatcher, r.id) for r in book.requests], len(dispatcher.events), sorted(book.pinned),
    )  # fmt: skip


def a_busy_day(rng: np.random.Generator) -> tuple[Dispatcher, VirtualClock, list[Request]]:
    town = a_random_town(rng, 14)
    vehicles = [a_vehicle(f"v{k}", place=somewhere(town, rng), wheelchairs=1) for k in range(3)]
    dispatcher, clock = a_dispatcher(town, vehicles)
    requests = random_requests(town, rng, 13)
    for request in requests[4:]:  # all the evening before: vehicles stand still here
        quote = dispatcher.quote(replace(request, placed_at=clock.now()))
        if quote.offers:
            dispatcher.commit(quote.offers[0])
    soon = UtcMs(clock.now() + 150 * MINUTE)
    later = [
        replace(r, id=f"later-{r.id}", placed_at=clock.now(), earliest_pickup=soon, latest_arrival=None, pickup=None)
        for r in requests[:4]
    ]
    return dispatcher, clock, later


def waiting(dispatcher: Dispatcher) -> list[str]:
    return [r for r, state in dispatcher.bookings.states.items() if state == BookingState.ACCEPTED]


def vehicle_of(dispatcher: Dispatcher, request: str) -> int:
    return dispatcher.index_of(dispatcher.bookings.booked[request].vehicle_id)


def check_promises(dispatcher: Dispatcher, but: frozenset[str] = frozenset()) -> None:
    """Every rider stands in the plan of the booked vehicle and nowhere else, within what was promised at booking."""
    book, seen = dispatcher.bookings, set()
    for k in range(len(dispatcher.vehicles)):
        for activity in dispatcher.plan(k).activities:
            name = activity.request_id
            if name is None:
                continue
            seen.add(name)
            booked = book.booked[name]
            assert booked.vehicle_id == dispatcher.vehicles[k].id
            window = booked.pickup if activity.kind.name == "PICKUP" else booked.dropoff
            assert name in but or activity.begin <= window.latest
    assert set(waiting(dispatcher)) <= seen


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_operators_move_riders_within_all_promises_or_not_at_all(seed: int) -> None:
    """Random words of an operator: each is obeyed with every promise kept, or refused with nothing changed."""
    rng = np.random.default_rng(seed)
    dispatcher, _, later = a_busy_day(rng)
    words = dispatcher.overrides
    for _ in range(6):
        riders, before = waiting(dispatcher), state_of(dispatcher)
        if len(riders) < 2:
            return
        one, other = (str(x) for x in rng.choice(riders, 2, replace=False))
        vehicle = int(rng.integers(0, 3))
        try:
            match rng.integers(0, 4):
                case 0:
                    words.assign(one, vehicle)
                    assert vehicle_of(dispatcher, one) == vehicle
                case 1:
                    here = vehicle_of(dispatcher, one), vehicle_of(dispatcher, other)
                    words.swap(one, other)
                    assert (vehicle_of(dispatcher, other), vehicle_of(dispatcher, one)) == here
                case 2:
                    words.block(vehicle, blocked=bool(rng.integers(0, 2)))
                case _ if later:
                    request = later.pop()
                    quote = words.quote_instead(request, one)
                    if quote.offers:
                        words.change(one, quote.offers[0])
                        assert dispatcher.bookings.states[one] == BookingState.CANCELLED
                        assert dispatcher.bookings.states[request.id] == BookingState.ACCEPTED
        except (InputError, StaleOfferError):
            now = state_of(dispatcher)
            assert now[0] == before[0]  # plans
            assert [r for r in now[1] if not r["request"]["id"].startswith("later")] == [
                r for r in before[1] if not r["request"]["id"].startswith("later")
            ]
        check_promises(dispatcher)


def test_a_change_refused_leaves_the_booking() -> None:
    """Who cannot have the other time keeps the first one."""
    rng = np.random.default_rng(4)
    dispatcher, _, later = a_busy_day(rng)
    rider = waiting(dispatcher)[0]
    quote = dispatcher.overrides.quote_instead(later[0], rider)
    assert quote.offers
    dispatcher.lapse(later[0].id)
    before = state_of(dispatcher)
    with pytest.raises(StaleOfferError):
        dispatcher.overrides.change(rider, quote.offers[0])
    assert state_of(dispatcher) == before


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_a_pinned_rider_moves_only_when_the_vehicle_fails(seed: int) -> None:
    """Improving, delays and cancellations leave a pinned booking where it is; a breakdown does not."""
    rng = np.random.default_rng(seed)
    dispatcher, clock, _ = a_busy_day(rng)
    if not (riders := waiting(dispatcher)):
        return
    rider = str(rng.choice(riders))
    dispatcher.overrides.pin(rider)
    home = vehicle_of(dispatcher, rider)
    for turn in range(4):
        dispatcher.improving.improve(annealing(turn, 300), lambda: 0.0)
        if dispatcher.is_on_duty(home):
            dispatcher.incidents.delay(home, UtcMs(clock.now() + 4 * MINUTE))
        assert vehicle_of(dispatcher, rider) == home
    dispatcher.incidents.break_down(home)
    state = dispatcher.bookings.states[rider]
    assert state in (BookingState.DROPPED, BookingState.ACCEPTED)
    assert state == BookingState.DROPPED or vehicle_of(dispatcher, rider) != home


def test_a_blocked_vehicle_keeps_its_riders_and_takes_no_others() -> None:
    rng = np.random.default_rng(11)
    dispatcher, _, later = a_busy_day(rng)
    rider = waiting(dispatcher)[0]
    home = vehicle_of(dispatcher, rider)
    for vehicle in range(3):
        dispatcher.overrides.block(vehicle)
    assert vehicle_of(dispatcher, rider) == home
    assert dispatcher.quote(later[0]).refusal is not None
    dispatcher.improving.improve(annealing(1, 200), lambda: 0.0)
    check_promises(dispatcher)
    dispatcher.overrides.block(home, blocked=False)
    assert {o.vehicle_id for o in dispatcher.quote(later[1]).offers} <= {dispatcher.vehicles[home].id}


def test_a_vehicle_that_failed_comes_back_empty() -> None:
    rng = np.random.default_rng(3)
    dispatcher, clock, _ = a_busy_day(rng)
    with pytest.raises(InputError, match="on duty"):
        dispatcher.overrides.resume(0)
    dispatcher.incidents.break_down(0)
    assert not dispatcher.is_on_duty(0)
    dispatcher.overrides.resume(0)
    assert dispatcher.is_on_duty(0)
    assert [a.kind.name for a in dispatcher.plan(0).activities] == ["POSITION", "END"]
    assert dispatcher.plan(0).activities[0].begin == clock.now()


def test_an_assignment_may_make_the_rider_late_only_where_it_is_wanted() -> None:
    """Without the word the promise holds; with it, who is later hears by how much, and nobody else is."""
    tried = 0
    for seed in range(60):
        dispatcher, _, _ = a_busy_day(np.random.default_rng(seed))
        for rider in waiting(dispatcher):
            for vehicle in range(3):
                try:
                    dispatcher.overrides.assign(rider, vehicle)
                except InputError:
                    before = len(dispatcher.events)
                    try:
                        dispatcher.overrides.assign(rider, vehicle, may_be_late=True)
                    except InputError:
                        continue
                    tried += 1
                    told = [e for e in list(dispatcher.events)[before:] if e.kind == "promise_broken"]
                    assert [e.request_id for e in told] == [rider]
                    check_promises(dispatcher, frozenset({rider}))
                    return
    assert tried
