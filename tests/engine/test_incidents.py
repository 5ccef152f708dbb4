"""Life as it is: whatever happens, nobody vanishes, promises hold or are told broken with their cause, plans stay true.

The judge reads the event log and the plans as values, and works out times with a Dijkstra of its own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from builders import (
    DAY,
    MINUTE,
    SERVICE,
    a_dispatcher,
    a_random_town,
    a_request,
    a_street,
    a_street_town,
    a_vehicle,
    at,
    node,
    random_requests,
    somewhere,
)
from hard_days import a_hard_day, log_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from noriai_engine.model import BookingState, InputError, Request
from noriai_engine.plans import annealing
from noriai_engine.roads.traffic import slower
from noriai_engine.world.day import Day
from noriai_engine.world.whims import Whims


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 1_000_000))
def test_whatever_happens_nobody_vanishes_and_every_breach_is_told(seed: int) -> None:
    a_hard_day(seed)


@pytest.mark.long
@hypothesis_settings(max_examples=2_000)
@given(seed=st.integers(0, 1_000_000_000))
def test_whatever_happens_on_two_thousand_days(seed: int) -> None:
    a_hard_day(seed, 60)


def test_the_same_seed_gives_the_same_log_to_the_byte() -> None:
    logs = [[tuple(getattr(e, f) for f in e.__slots__) for e in a_hard_day(77).dispatcher.events] for _ in range(2)]
    assert logs[0] == logs[1]
    assert {"booking_moved", "promise_broken", "booking_cancelled"} & {event[2] for event in logs[0]}


def a_small_day(*requests: Request, vehicles: int = 2) -> Day:
    network = a_street(10, 60)
    fleet = [a_vehicle(f"v{k}", place=node(network, 9 * k)) for k in range(vehicles)]
    dispatcher, clock = a_dispatcher(network, fleet, SERVICE, now="07:00")
    return Day(dispatcher, clock, requests)


def asked(name: str, a: int, b: int, **more: str) -> Request:
    place = partial(node, a_street(10, 60))
    return a_request(name, origin=place(a), destination=place(b), **more)  # type: ignore[arg-type]


def test_a_cancelled_rider_leaves_the_plan_and_the_others_keep_theirs() -> None:
    day = a_small_day(asked("r1", 2, 6, placed="07:00"), asked("r2", 3, 5, placed="07:05"), vehicles=1)
    steps = day.steps()
    next(steps), next(steps)
    day.cancel("r1")  # type: ignore[arg-type]
    assert [a.request_id for a in day.dispatcher.plan(0).activities] == [None, "r2", "r2", None]
    with pytest.raises(InputError, match="is cancelled"):
        day.cancel("r1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no request we know"):
        day.cancel("r9")  # type: ignore[arg-type]


def test_riders_of_a_broken_vehicle_go_on_with_another() -> None:
    """r1 sits in v0 when it fails between 2 and 6: v1 fetches the rider from the roadside and goes on."""
    day = a_small_day(
        asked("r1", 1, 7, departs="07:30", placed="07:00"), asked("r2", 0, 0, departs="07:36", placed="07:36")
    )
    steps = day.steps()
    next(steps)
    vehicle = day.dispatcher.index_of(day.dispatcher.bookings.booked["r1"].vehicle_id)
    next(steps)
    assert day.dispatcher.bookings.states["r1"] == BookingState.ABOARD
    day.break_down(vehicle)
    kinds = [e.kind for e in day.dispatcher.events if e.request_id == "r1"]
    assert kinds[-2:] == ["ride_interrupted", "booking_moved"] or "promise_broken" in kinds
    list(steps)
    assert day.dispatcher.bookings.states["r1"] == BookingState.DONE


def test_a_late_vehicle_hands_its_next_rider_to_another_before_breaking_a_promise() -> None:
    day = a_small_day(asked("r1", 4, 8, departs="08:00", placed="07:00"))
    steps = day.steps()
    next(steps)
    first = day.dispatcher.index_of(day.dispatcher.bookings.booked["r1"].vehicle_id)
    day.delay(first, DAY.at("08:40"))
    moved = [e for e in day.dispatcher.events if e.kind == "booking_moved"]
    assert [e.request_id for e in moved] == ["r1"]
    assert not [e for e in day.dispatcher.events if e.kind == "promise_broken"]
    assert day.dispatcher.index_of(day.dispatcher.bookings.booked["r1"].vehicle_id) != first


def test_a_breach_that_cannot_be_helped_is_told_with_its_cause() -> None:
    day = a_small_day(asked("r1", 4, 8, departs="08:00", placed="07:00"), vehicles=1)
    steps = day.steps()
    next(steps)
    day.delay(0, at("08:40"))
    (breach,) = [e for e in day.dispatcher.events if e.kind == "promise_broken" and '"pickup"' in str(e.details)]
    details = json.loads(str(breach.details))
    assert (details["cause"], details["promised"], details["now"]) == ("late", at("08:20"), at("08:44"))
    list(steps)
    assert day.dispatcher.bookings.states["r1"] == BookingState.DONE


@pytest.mark.parametrize("seed", [3, 8])
def test_a_snapshot_put_back_goes_on_to_the_same_bytes(seed: int) -> None:
    """Half a day, a snapshot through pickle, the other half; put back, and the same half again, ids included."""
    import pickle

    rng = np.random.default_rng(seed)
    network = a_random_town(rng, 12) if seed % 2 else a_street_town(rng, 12)
    fleet = [a_vehicle(f"v{k}", place=somewhere(network, rng)) for k in range(2)]
    dispatcher, _ = a_dispatcher(network, fleet, SERVICE, now="07:00")
    wanted = random_requests(network, rng, 24)

    def ask(part: list[Request]) -> None:
        for request in part:
            quote = dispatcher.quote(request)
            if quote.offers:
                dispatcher.commit(quote.offers[0])

    ask(wanted[:12])
    dispatcher.incidents.join(a_vehicle("v2", place=somewhere(network, rng)))
    kept = pickle.dumps(dispatcher.snapshot())
    before = log_of(dispatcher)
    ask(wanted[12:])
    once, plans = log_of(dispatcher), [dispatcher.plan(k) for k in range(3)]
    dispatcher.restore(pickle.loads(kept))
    assert log_of(dispatcher) == before
    ask(wanted[12:])
    assert log_of(dispatcher) == once
    assert [dispatcher.plan(k) for k in range(3)] == plans
    assert len(once) > len(before) + 12


def test_a_snapshot_of_other_travel_times_is_refused() -> None:
    network = a_street_town(np.random.default_rng(4), 12)
    dispatcher, _ = a_dispatcher(network, [a_vehicle(place=somewhere(network, np.random.default_rng(1)))], SERVICE)
    kept = dispatcher.snapshot()
    dispatcher.incidents.set_traffic(slower(network, np.arange(5, dtype=np.int32), 2_000))
    with pytest.raises(InputError, match="version"):
        dispatcher.restore(kept)


def test_states_are_the_log_folded_by_the_table() -> None:
    """Replay: the log alone gives every request's state and every plan on duty, at the end and at any moment."""
    from noriai_engine.model import next_state

    day = a_hard_day(5)
    states: dict[str, BookingState] = {}
    for event in day.dispatcher.events:
        if event.request_id is not None:
            states[event.request_id] = next_state(states.get(event.request_id), event.kind)
    assert states == day.dispatcher.bookings.states


def test_a_vehicle_held_up_on_its_way_arrives_when_it_says() -> None:
    too_far = asked("r2", 9, 9, departs="07:58", placed="07:58", pickup=("07:58", "07:59"))  # type: ignore[arg-type]
    day = a_small_day(asked("r1", 3, 6, placed="07:00"), too_far, vehicles=1)
    steps = day.steps()
    next(steps)
    next(steps)  # under way since 07:57
    dispatcher = day.dispatcher
    day.delay(0, at("08:10"))
    begins = {(a.request_id, a.kind.name): a.begin for a in dispatcher.plan(0).activities}
    assert begins["r1", "PICKUP"] == at("08:10")
    assert not [e for e in dispatcher.events if e.kind == "promise_broken"]
    day._clock.advance_to(at("08:05"))
    assert dispatcher.plan(0).activities[1].begin == at("08:10")
    day.delay(0, at("08:30"))  # it stands two minutes away now
    breach = [json.loads(str(e.details)) for e in dispatcher.events if e.kind == "promise_broken"]
    assert {"cause": "late", "what": "pickup", "promised": at("08:20"), "now": at("08:32")} in breach
    list(steps)
    started = [e.time for e in dispatcher.events if e.kind == "pickup_started"]
    assert started == [at("08:32")]


def test_incidents_of_what_is_not_there_are_told() -> None:
    day = a_small_day(asked("r1", 4, 8, departs="08:00", placed="07:00"))
    list(day.steps())
    incidents = day.dispatcher.incidents
    for call in (lambda: incidents.delay(0, at("20:00")), lambda: incidents.break_down(0),
                 lambda: incidents.end_shift_at(0, at("20:00"))):  # fmt: skip
        with pytest.raises(InputError, match="is off duty"):
            call()
    with pytest.raises(InputError, match="is done, not boarding"):
        incidents.no_show("r1")
    with pytest.raises(InputError, match="in the fleet already"):
        incidents.join(day.dispatcher.vehicles[0])
    incidents.join(a_vehicle("v2", place=node(a_street(10, 60), 0), shift=("07:00", "23:00")))
    assert incidents.delay(2, at("20:00")) == [2]  # the calls at hand know the one who joined
    with pytest.raises(InputError, match="not in the fleet"):
        day.dispatcher.index_of("v9")  # type: ignore[arg-type]


def test_plans_in_which_everything_is_at_one_place_are_improved_without_fuss() -> None:
    """No drive costs anything: there is nothing to find, and nothing to divide by."""
    day = a_small_day(asked("r1", 0, 0, departs="08:00", placed="07:00"), vehicles=1)
    next(day.steps())
    assert day.improve(annealing(1, 10)) == 0


def test_a_no_show_moves_no_pickup_that_is_announced() -> None:
    """Both stops lie within the horizon: the second rider was told a time, and the vehicle waits for it."""
    network = a_street(12, 60)
    service = replace(SERVICE, commit_horizon_ms=20 * MINUTE)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], service, now="07:50")
    asked = [
        a_request("a", origin=node(network, 2), destination=node(network, 9), placed="07:50", departs="08:00"),
        a_request("b", origin=node(network, 10), destination=node(network, 11), placed="08:00:20", departs="08:00:20"),
    ]
    day = Day(dispatcher, clock, asked, Whims(absent=frozenset({"a"})))  # type: ignore[arg-type]
    day.run()
    told = [
        row[3] for e in dispatcher.events if e.kind == "plan_changed"
        for row in json.loads(str(e.details))["activities"] if row[:2] == ["pickup", "b"]
    ]  # fmt: skip
    begun = next(e.time for e in dispatcher.events if e.kind == "pickup_started" and e.request_id == "b")
    assert "no_show" in {e.kind for e in dispatcher.events}
    assert len(told) > 1  # when asked, and again when the first rider did not come
    assert {begun} == set(told)
