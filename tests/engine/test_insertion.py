"""The insertion search finds exactly what trying everything finds, in the states a day really brings."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from builders import (
    DAY,
    LAYOUTS,
    MINUTE,
    SERVICE,
    a_battery,
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
    with_demands,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.energy import naive_battery
from naive.insertion import Fleet, Row, Task, best_insertion
from naive.roads import times_of

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.dispatch.terms import Terms, wish_of
from noriai_engine.model import Request, Resources, RiderNeeds, Service, VirtualClock
from noriai_engine.world.day import Day


def naive_answer(
    dispatcher: Dispatcher, fleet: Fleet, request: Request, now: int, shift: int = 0, day: Day | None = None
) -> list[object]:
    ends = dispatcher.finder.area.ends_of(request)
    assert not isinstance(ends, str)
    times = times_of(dispatcher.travel_times.network)
    wish = wish_of(
        request,
        ends,
        SERVICE,
        DAY,
        times[ends.origin][ends.destination],
        now,
        Terms(0, -1, np.zeros(0, np.int32)),
        shift,
    )  # type: ignore[arg-type]
    if isinstance(wish, str):
        return [None] * len(dispatcher.vehicles)
    utc = DAY.start
    change = tuple(int(x) for x in wish.demand)
    pickup = Row(
        ends.origin, wish.pickup_earliest + utc, wish.pickup_latest + utc, wish.boarding, change, False, "?", True
    )  # type: ignore[arg-type]  # fmt: skip
    dropoff = Row(
        ends.destination, wish.dropoff_earliest + utc, wish.dropoff_latest + utc, wish.alighting,
        tuple(-x for x in change), False, "?",
    )  # type: ignore[arg-type]  # fmt: skip
    kept_apart = dispatcher.bookings.kept_apart(request)
    apart = frozenset(str(dispatcher.bookings.requests[row].id) for row in kept_apart)
    task = Task(pickup, dropoff, wish.max_ride, apart)
    return [
        best_insertion(
            dispatcher.plan(k),
            fleet,
            vehicle.layouts,
            task,
            times,
            now,
            (lambda rows: True) if day is None else naive_battery(day, k),
        )
        if dispatcher.is_on_duty(k) and set(request.needs.skills) <= set(vehicle.skills)
        else None
        for k, vehicle in enumerate(dispatcher.vehicles)
    ]


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_search_equals_brute_force_on_every_vehicle(seed: int) -> None:
    """Cost and both positions, for vehicles idle, under way, boarding, before their shift, with locked stops, breaks
    and batteries; ties go to the earliest pickup row, then the earliest dropoff row."""
    rng = np.random.default_rng(seed)
    make = a_random_town if seed % 2 else a_street_town
    network = make(rng, int(rng.integers(6, 16)))
    vehicles = [
        a_vehicle(
            f"v{k}", place=somewhere(network, rng),
            layouts=LAYOUTS[int(rng.integers(len(LAYOUTS)))], shift=("07:30", "10:30"),
            breaks=(("08:15", "09:00", 15),) if rng.random() < 0.5 else (),
        )
        for k in range(3)
    ]  # fmt: skip
    vehicles = [replace(v, skills=("lift", "dog")[: int(rng.integers(3))]) for v in vehicles]
    if seed % 4 > 1:
        vehicles = [replace(v, battery=a_battery(rng)) for v in vehicles]
    requests = with_demands(random_requests(network, rng, 14), rng)
    dispatcher, clock = a_dispatcher(network, vehicles, SERVICE, now="06:30")
    day, fleet = Day(dispatcher, clock, requests), Fleet()
    fleet.party = {r.id: r.party for r in requests}
    search = dispatcher.finder.search

    def compared(wish, now):  # type: ignore[no-untyped-def]
        dispatcher.finder.runners = 2
        few = search(wish, now)
        dispatcher.finder.runners = len(vehicles)
        all_ = search(wish, now)
        assert few.best == all_.best[:2]
        if asked:
            expected = naive_answer(dispatcher, fleet, asked[0], clock.now(), day=day)
            got = {c.vehicle: (c.cost_ms, c.after_pickup, c.after_dropoff) for c in all_.best}
            assert [got.get(k) for k in range(len(vehicles))] == expected, f"seed {seed}, request {asked[0].id}"
            asked.clear()
        return few

    asked: list[Request] = []
    dispatcher.finder.search = compared  # type: ignore[method-assign]
    quote = dispatcher.quote

    def quoted(request: Request):  # type: ignore[no-untyped-def]
        asked.append(request)
        answer = quote(request)
        asked.clear()
        if answer.offers:
            fleet.max_ride[request.id] = answer.offers[0].max_ride_ms
        return answer

    dispatcher.quote = quoted  # type: ignore[method-assign]
    day.run()


@hypothesis_settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_nearest_feasible_time_is_feasible_and_no_nearer_one_is(seed: int) -> None:
    """A refusal's nearest time against brute force at every grid time up to it, in the state it was given in."""
    rng = np.random.default_rng(seed)
    network = a_random_town(rng, 10)
    vehicles = [a_vehicle("v", place=node(network, 0), seats=2, shift=("08:00", "09:40"))]
    params = DispatchParams(nearest_step_ms=10 * MINUTE, nearest_reach_ms=40 * MINUTE)
    dispatcher, clock = a_dispatcher(network, vehicles, SERVICE, now="06:30", params=params)
    requests = random_requests(network, rng, 16)
    fleet = Fleet({r.id: r.party for r in requests})
    looked_up = dispatcher.finder.nearest_feasible

    def judged(request: Request, ends: object, apart: object, now: object) -> object:
        nearest = looked_up(request, ends, apart, now)  # type: ignore[arg-type]
        for distance in range(params.nearest_step_ms, params.nearest_reach_ms + 1, params.nearest_step_ms):
            for shift in (distance, -distance):
                if request.wished + shift < clock.now():
                    continue
                feasible = any(x is not None for x in naive_answer(dispatcher, fleet, request, clock.now(), shift))
                if request.wished + shift == nearest:
                    assert feasible, f"seed {seed}: {request.id} told a time that does not work"
                    return nearest
                assert not feasible, f"seed {seed}: {request.id} could ride {shift} ms later, told {nearest}"
        assert nearest is None
        return nearest

    dispatcher.finder.nearest_feasible = judged  # type: ignore[method-assign, assignment]
    for answer in Day(dispatcher, clock, requests).steps():
        if answer.offers:
            fleet.max_ride[answer.request_id] = answer.offers[0].max_ride_ms


def street_day(**vehicle: object) -> tuple[Dispatcher, VirtualClock]:
    network = a_street(10, 60)
    return a_dispatcher(network, [a_vehicle(place=node(network, 0), **vehicle)], SERVICE, now="07:00")  # type: ignore[arg-type]


def asks(dispatcher: Dispatcher, name: str, a: int, b: int, **more: object) -> str | None:
    """Quote and take the first offer; returns the reason of a refusal."""
    place = partial(node, dispatcher.travel_times.network)
    quote = dispatcher.quote(a_request(name, origin=place(a), destination=place(b), **more))  # type: ignore[arg-type]
    if quote.refusal:
        return quote.refusal.reason
    dispatcher.commit(quote.offers[0])
    return None


def test_cost_is_the_added_drive_home_included() -> None:
    dispatcher, clock = street_day()
    clock.advance_to(at("08:00"))
    place = partial(node, dispatcher.travel_times.network)
    quote = dispatcher.quote(a_request(origin=place(2), destination=place(5)))
    assert quote.offers[0].cost_ms == 10 * MINUTE  # 2 there, 3 with the rider, 5 back to the depot


def test_vehicle_leaves_just_in_time_and_returns_for_the_end_of_its_shift() -> None:
    dispatcher, _ = street_day()
    assert asks(dispatcher, "r1", 3, 6, placed="07:00") is None
    assert dispatcher.next_departure(0) == at("07:57")
    assert dispatcher.plan(0).activities[-1].begin == at("19:00")


@pytest.mark.parametrize(
    ("party", "reason"),
    [(Resources(5), "fleet.party_too_big"), (Resources(0, 1), "fleet.party_too_big"), (Resources(4), None)],
)
def test_a_party_must_fit_some_layout(party: Resources, reason: str | None) -> None:
    dispatcher, _ = street_day()
    assert asks(dispatcher, "r1", 1, 2, placed="07:00", party=party) == reason


def test_full_vehicle_refuses_with_that_reason() -> None:
    """The first rider's pickup is committed, so the second could only come aboard while the one seat is taken."""
    network = a_street(10, 60)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0), seats=1)], SERVICE, now="07:00")
    requests = [
        a_request("r1", origin=node(network, 0), destination=node(network, 9), placed="07:00"),
        a_request(
            "r2", origin=node(network, 1), destination=node(network, 8), departs="08:00", pickup=("08:00", "08:06")
        ),
    ]
    answers = list(Day(dispatcher, clock, requests).steps())
    assert answers[1].refusal is not None
    assert answers[1].refusal.reason == "fleet.no_room"


def test_too_far_to_come_in_time() -> None:
    dispatcher, clock = street_day()
    clock.advance_to(at("08:00"))
    assert asks(dispatcher, "r1", 9, 5, pickup=("08:00", "08:05")) == "fleet.too_far"


def test_folding_seats_make_room_for_a_wheelchair() -> None:
    dispatcher, _ = street_day(layouts=(Resources(4), Resources(2, 1)))
    assert asks(dispatcher, "r1", 0, 9, placed="07:00", party=Resources(2)) is None
    assert asks(dispatcher, "r2", 0, 9, placed="07:00", party=Resources(0, 1)) is None
    # The shared stretch holds 2 + 1 seats only with the chair's layout, which has 2 seats: no third rider fits.
    assert asks(dispatcher, "r3", 1, 8, placed="07:00", departs="08:04", pickup=("08:00", "08:08")) is not None


def test_nobody_rides_through_a_break() -> None:
    dispatcher, _ = street_day(breaks=(("08:00", "08:00", 30),))
    assert asks(dispatcher, "r1", 1, 2, placed="07:00", departs="07:58", pickup=("07:58", "08:10")) is not None
    assert asks(dispatcher, "r2", 1, 2, placed="07:00", departs="08:31") is None


def test_refusal_names_the_nearest_feasible_time_and_it_is_feasible() -> None:
    dispatcher, _ = street_day(shift=("09:00", "12:00"))
    place = partial(node, dispatcher.travel_times.network)
    refusal = dispatcher.quote(a_request("r1", origin=place(2), destination=place(4), placed="07:00")).refusal
    assert refusal is not None
    assert refusal.nearest == at("08:45")  # 09:02 is the first pickup, 20 minutes of wait: 08:42, on the grid 08:45
    assert asks(dispatcher, "r2", 2, 4, placed="07:00", departs="08:45") is None


def test_a_wished_arrival_is_met_within_the_margin() -> None:
    dispatcher, _ = street_day()
    place = partial(node, dispatcher.travel_times.network)
    offer = dispatcher.quote(
        a_request("r1", origin=place(2), destination=place(6), departs=None, arrives="09:00", placed="07:00")
    ).offers[0]
    assert at("08:40") <= offer.planned_dropoff <= at("09:00")
    assert offer.pickup.latest - offer.pickup.earliest <= SERVICE.max_wait_ms


def test_locked_stop_keeps_place_and_time() -> None:
    """A rider on the way asks 30 s before the committed pickup of another: served, but only after that pickup."""
    network = a_street(10, 60)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], SERVICE, now="07:00")
    early = a_request("r1", origin=node(network, 3), destination=node(network, 6), placed="07:00")
    late = a_request("r2", origin=node(network, 2), destination=node(network, 6), departs="07:59")
    late = replace(late, placed_at=at("07:59") + 30_000, earliest_pickup=at("07:59") + 30_000)
    list(Day(dispatcher, clock, [early, late]).steps())
    pickups = [(e.request_id, e.time) for e in dispatcher.events if e.kind == "pickup_started"]
    assert pickups[0] == ("r1", at("08:00"))
    assert [rider for rider, _ in pickups] == ["r1", "r2"]


def test_an_offer_goes_stale_when_the_plan_moves() -> None:
    from noriai_engine.model.errors import StaleOfferError

    dispatcher, _ = street_day()
    place = partial(node, dispatcher.travel_times.network)
    first = dispatcher.quote(a_request("r1", origin=place(1), destination=place(4), placed="07:00")).offers[0]
    second = dispatcher.quote(a_request("r2", origin=place(2), destination=place(5), placed="07:00")).offers[0]
    dispatcher.commit(first)
    with pytest.raises(StaleOfferError):
        dispatcher.commit(second)


def test_an_offer_taken_late_is_kept_or_called_stale_never_broken() -> None:
    """The vehicle drives on between quote and acceptance: too late means stale, with the plan as it was."""
    from noriai_engine.model.errors import StaleOfferError

    network = a_street(10, 60)
    for seconds_later, kept in ((0, True), (30, True), (330, False)):
        dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], SERVICE, now="07:00")
        early = a_request("r1", origin=node(network, 1), destination=node(network, 9), departs="07:01", placed="07:00")
        dispatcher.commit(dispatcher.quote(early).offers[0])
        dispatcher.depart(0)
        clock.advance_to(at("07:00") + 10_000)
        late = a_request("r2", origin=node(network, 2), destination=node(network, 5), departs="07:00", placed="07:00",
                         pickup=("07:00", "07:04"))  # fmt: skip
        quote = dispatcher.quote(late)
        before = dispatcher.plan(0).version
        clock.advance_to(clock.now() + seconds_later * 1000)
        if kept:
            dispatcher.commit(quote.offers[0])
            assert all(a.earliest <= a.begin <= a.latest for a in dispatcher.plan(0).activities[1:])
        else:
            with pytest.raises(StaleOfferError, match="moved on"):
                dispatcher.commit(quote.offers[0])
            assert dispatcher.plan(0).version == before


def test_same_request_is_not_answered_twice() -> None:
    dispatcher, _ = street_day()
    asks(dispatcher, "r1", 1, 4, placed="07:00")
    with pytest.raises(ValueError, match="answered already"):
        asks(dispatcher, "r1", 1, 4, placed="07:00")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"departs": "06:50", "placed": "06:40", "now": "07:15"}, "time.past"),
        ({"departs": "07:10", "min_lead": 30}, "booking.cutoff"),
        ({"departs": "18:00", "closes": 12}, "service.closed"),
        ({"departs": "09:00", "max_ahead": 60}, "booking.too_early"),
        ({"departs": "09:00", "max_ride": 2}, "time.ride_limit"),
        ({"departs": "09:00", "pickup": ("09:30", "09:40")}, "time.window"),
    ],
)
def test_service_rules_refuse_with_their_reason(request_: dict[str, object], reason: str) -> None:
    network = a_street(10, 60)
    service = Service(
        max_wait_ms=15 * MINUTE,
        min_lead_ms=int(request_.pop("min_lead", 0)) * MINUTE,  # type: ignore[call-overload]
        max_ahead_ms=int(request_.pop("max_ahead", 1440)) * MINUTE,  # type: ignore[call-overload]
        closes=int(request_.pop("closes", 24)) * 60 * MINUTE,  # type: ignore[call-overload]
        max_ride_ms=int(request_.pop("max_ride", 60)) * MINUTE,  # type: ignore[call-overload]
    )
    now, request_ = str(request_.pop("now", "07:00")), {"placed": "07:00"} | request_
    dispatcher, _ = a_dispatcher(network, [a_vehicle(place=node(network, 0))], service, now=now)
    assert asks(dispatcher, "r1", 1, 9, **request_) == reason


def test_offers_of_several_operators_cheapest_first() -> None:
    network = a_street(10, 60)
    vehicles = [a_vehicle("far", place=node(network, 9), operator="a"), a_vehicle("near", place=node(network, 1), operator="b"),
                a_vehicle("also-near", place=node(network, 1), operator="b")]  # fmt: skip
    dispatcher, _ = a_dispatcher(network, vehicles, SERVICE, now="07:00")
    place = partial(node, network)
    quote = dispatcher.quote(a_request("r1", origin=place(1), destination=place(3), placed="07:00"))
    assert [offer.vehicle_id for offer in quote.offers] == ["near", "far"]
    dispatcher.commit(quote.offers[1])
    assert [a.request_id for a in dispatcher.plan(0).activities] == [None, "r1", "r1", None]
    assert len(dispatcher.plan(1).activities) == 2
    wanted = dispatcher.quote(a_request("r2", origin=place(1), destination=place(3), placed="07:00", operator="a"))
    assert [offer.operator_id for offer in wanted.offers] == ["a"]


def test_empty_fleet_refuses() -> None:
    network = a_street(4)
    dispatcher, _ = a_dispatcher(network, [], SERVICE, now="07:00")
    assert asks(dispatcher, "r1", 0, 3, placed="07:00") == "fleet.none"


def test_origin_may_be_the_destination() -> None:
    dispatcher, _ = street_day()
    assert asks(dispatcher, "r1", 3, 3, placed="07:00") is None


def test_riders_kept_apart_never_meet_and_skills_are_kept() -> None:
    """Told by the log: intervals aboard of two who must not meet do not overlap in one vehicle; many would have met."""
    met_without = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network = a_random_town(rng, 12)
        fleet = [a_vehicle(f"v{k}", place=somewhere(network, rng), shift=("07:30", "11:00")) for k in range(2)]
        fleet = [replace(fleet[0], skills=("lift",)), fleet[1]]
        for requests in (with_demands(random_requests(network, rng, 40), rng), random_requests(network, rng, 40)):
            strict = any(r.apart_from for r in requests)
            dispatcher, clock = a_dispatcher(network, fleet, SERVICE, now="06:30")
            Day(dispatcher, clock, requests).run()
            rides = {}
            for event in dispatcher.events:
                if event.kind == "pickup_started":
                    rides[event.request_id] = [event.vehicle_id, event.time, event.time]
                elif event.kind == "dropoff_started":
                    rides[event.request_id][2] = event.time
            wanted = {r.id: r for r in requests}
            for a, (vehicle, start, end) in rides.items():
                assert vehicle == "v0" or "lift" not in wanted[a].needs.skills
                for b, (other, begin, stop) in rides.items():
                    overlap = a < b and vehicle == other and start < stop and begin < end
                    met_without += overlap and not strict
                    assert not (overlap and (b in wanted[a].apart_from or a in wanted[b].apart_from))
    assert met_without > 10


def test_why_nobody_may_ride_with_whom_and_what_nobody_can() -> None:
    dispatcher, _ = street_day()
    place = partial(node, dispatcher.travel_times.network)
    first = a_request("r1", origin=place(1), destination=place(8), placed="07:00", pickup=("08:00", "08:00"))
    dispatcher.commit(dispatcher.quote(first).offers[0])
    second = a_request(
        "r2", origin=place(2), destination=place(7), placed="07:00", departs="08:01", pickup=("08:01", "08:02")
    )
    quote = dispatcher.quote(replace(second, apart_from=("r1",)))  # type: ignore[arg-type]
    assert quote.refusal is not None
    assert quote.refusal.reason == "fleet.kept_apart"
    assert quote.refusal.nearest is not None
    lift = replace(second, id="r3", needs=RiderNeeds(skills=("lift",)))  # type: ignore[arg-type]
    refused = dispatcher.quote(lift).refusal
    assert refused is not None
    assert refused.reason == "fleet.none"
