"""Meeting points in offers, plans and batches: the cheapest of all pairs within the rider's walk, and the door for who needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import (
    DAY,
    MINUTE,
    SERVICE,
    a_dispatcher,
    a_mixed_fleet,
    a_random_town,
    a_street_town,
    a_vehicle,
    node,
    somewhere,
    with_footways,
)
from builders import random_requests as random_requests_
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.insertion import Fleet, Row, Task, best_insertion
from naive.roads import times_of
from naive.walks import walks_mm

from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.records import request_record, vehicle_record
from noriai_engine.dispatch.terms import Ends, Terms, wish_of
from noriai_engine.model import InputError, Offer, Place, Request, Resources, RiderNeeds, Service
from noriai_engine.model.errors import StalePlanError
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.plans import SolveParams
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.virtual_stops import virtual_stops
from noriai_engine.roads.walks import Walks
from noriai_engine.world.day import Batch, Day, PlanAhead

LITTLE = SolveParams(seconds=None, iterations=60, dives=0)


def a_meeting_service(network: RoadNetwork, rng: np.random.Generator, **more: int) -> Service:
    stops = tuple(somewhere(network, rng) for _ in range(8))
    walk = int(rng.integers(200, 1_200))
    return replace(SERVICE, mode="meet", stops=stops, max_walk_m=walk, most_meeting_stops=3, max_snap_m=5_000, **more)


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_walks_are_the_shortest_along_the_streets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 30)))
    if seed % 3:
        network = with_footways(network, rng)
    stops, place = tuple(off_the_way(network, rng) for _ in range(10)), off_the_way(network, rng)
    longest, step_free, most = int(rng.integers(1, 3_000)), bool(seed % 2), int(rng.integers(1, 11))
    if step_free:
        flags = np.where(rng.random(network.street_count) < 0.3, network.street_flags & ~2, network.street_flags)
        network = replace(network, street_flags=flags.astype(np.int8))
    lon, lat = np.array([s.lon for s in stops]), np.array([s.lat for s in stops])
    found = Walks(network, lon, lat).nearest(place, longest, step_free, most)
    truth = walks_mm(network, place, stops, step_free)
    expected = sorted(mm for mm in truth if mm <= 1_000 * longest)[:most]
    assert [mm for _, mm in found] == pytest.approx(expected, abs=4)
    assert all(mm == pytest.approx(truth[row], abs=4) for row, mm in found)


def off_the_way(network: RoadNetwork, rng: np.random.Generator) -> Place:
    """Near a street, rarely on it."""
    place = somewhere(network, rng)
    return Place(place.lon + float(rng.normal(0, 4e-4)), place.lat + float(rng.normal(0, 4e-4)))


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_offer_is_the_cheapest_of_all_places_to_meet(seed: int) -> None:
    """Driving and the weight of walks, over every pair of meeting points, vehicle and place in its plan, by brute force;
    walks by networkx."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(6, 16)))
    if seed % 2:
        network = with_footways(network, rng)
    service = a_meeting_service(network, rng, walk_permille=int(rng.choice([0, 200, 1_000])))
    vehicles = a_mixed_fleet(network, rng)
    requests = [with_walks(r, rng) for r in random_requests_(network, rng, 12)]
    dispatcher, clock = a_dispatcher(network, vehicles, service, now="06:30")
    fleet = Fleet({str(r.id): r.party for r in requests})
    for request in sorted(requests, key=lambda r: r.placed_at):
        clock.advance_to(max(request.placed_at, clock.now()))
        expected = cheapest(dispatcher, fleet, request, service)
        quote = dispatcher.quote(request)
        if not quote.offers:
            assert expected is None
            continue
        offer, ends = quote.offers[0], dispatcher.ends_of(request.id)
        walk = (ends.walk_to_ms + ends.walk_from_ms) * service.walk_permille // 1_000
        assert offer.cost_ms + walk == pytest.approx(expected, abs=2), f"seed {seed}"
        fleet.max_ride[str(request.id)] = offer.max_ride_ms
        dispatcher.commit(offer)


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_from_stop_to_stop_each_end_is_the_nearest_on_foot(seed: int) -> None:
    """By networkx, within what the rider walks and on step-free ways for who needs it; too far where there is none."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 16)))
    if seed % 2:
        network = with_footways(network, rng)
    if seed % 3 == 0:
        flags = np.where(rng.random(network.street_count) < 0.4, network.street_flags & ~2, network.street_flags)
        network = replace(network, street_flags=flags.astype(np.int8))
    stops = tuple(off_the_way(network, rng) for _ in range(6))
    service = replace(SERVICE, mode="stops", stops=stops, max_walk_m=int(rng.integers(100, 2_500)))
    dispatcher, _ = a_dispatcher(network, a_mixed_fleet(network, rng), service)
    spots = [dispatcher.travel_times.stop_at(stop)[0] for stop in stops]
    for request in random_requests_(network, rng, 6):
        longest, step_free = [None, 0, 400, 3_000][int(rng.integers(4))], bool(rng.random() < 0.3)
        request = replace(request, needs=RiderNeeds(longest_walk_m=longest, step_free=step_free))
        limit = 1_000 * (service.max_walk_m if longest is None else longest)
        ends = dispatcher.finder.area.ends_of(request)
        truths = [
            walks_mm(network, place, stops, step_free or request.party.wheelchairs > 0)
            for place in (request.origin, request.destination)
        ]
        if any(abs(min(truth) - limit) < 4 for truth in truths):
            continue  # a mm more or less decides
        if any(min(truth) > limit for truth in truths):
            assert ends == "stops.too_far"
            continue
        assert isinstance(ends, Ends)
        told = ((ends.origin, ends.walk_to_ms), (ends.destination, ends.walk_from_ms))
        for truth, (spot, walk_ms) in zip(truths, told, strict=True):
            assert walk_ms == pytest.approx(min(truth), abs=4)  # 1 m/s: a mm is a ms
            assert spot in {spots[k] for k, mm in enumerate(truth) if mm < min(truth) + 4}


def with_walks(request: Request, rng: np.random.Generator) -> Request:
    needs = RiderNeeds(longest_walk_m=[None, 0, 300, 900][int(rng.integers(4))])
    return replace(request, needs=needs, operator_id=None)


def cheapest(dispatcher: Dispatcher, fleet: Fleet, request: Request, service: Service) -> float | None:
    door = dispatcher.finder.area.ends_of(request)
    assert not isinstance(door, str)
    times, network = times_of(dispatcher.travel_times.network), dispatcher.travel_times.network
    assert isinstance(network, RoadNetwork)
    chair = request.party.wheelchairs > 0
    longest = request.needs.longest_walk_m
    longest = (0 if chair else service.max_walk_m) if longest is None else longest
    sides = []
    for place, spot in ((request.origin, door.origin), (request.destination, door.destination)):
        walks = walks_mm(network, place, service.stops, chair)
        near = sorted((mm, k) for k, mm in enumerate(walks) if mm <= 1_000 * longest)[: service.most_meeting_stops]
        stops = [(dispatcher.travel_times.stop_at(service.stops[k])[0], int(np.ceil(mm))) for mm, k in near]
        sides.append([(spot, 0), *stops] if longest > 0 else [(spot, 0)])
    found = []
    for a, walk_a in sides[0]:
        for b, walk_b in sides[1]:
            if walk_a + walk_b and a == b:
                continue
            ends = Ends(a, b, walk_a, walk_b)  # 1 m/s: a mm is a ms
            cost = insertion(dispatcher, fleet, request, ends, service, times)
            if cost is not None:
                found.append(cost + (walk_a + walk_b) * service.walk_permille / 1_000)
    return min(found, default=None)


def insertion(dispatcher, fleet, request, ends, service, times):  # type: ignore[no-untyped-def]
    now = dispatcher._clock.now()
    direct, terms = times[ends.origin][ends.destination], Terms(0, -1, np.zeros(0, np.int32))
    wish = wish_of(request, ends, service, DAY, direct, now, terms)
    if isinstance(wish, str):
        return None
    change, utc = tuple(int(x) for x in wish.demand), DAY.start
    pickup = Row(ends.origin, wish.pickup_earliest + utc, wish.pickup_latest + utc, wish.boarding, change, False, "?", True)  # type: ignore[arg-type]  # fmt: skip
    dropoff = Row(ends.destination, wish.dropoff_earliest + utc, wish.dropoff_latest + utc, wish.alighting,
                  tuple(-x for x in change), False, "?")  # type: ignore[arg-type]  # fmt: skip
    task = Task(pickup, dropoff, wish.max_ride)
    costs = [
        best_insertion(dispatcher.plan(k), fleet, vehicle.layouts, task, times, now)
        for k, vehicle in enumerate(dispatcher.vehicles)
    ]
    return min((cost[0] for cost in costs if cost is not None), default=None)


def test_who_needs_the_door_gets_the_door() -> None:
    """Users of wheelchairs unless they say how far they go; whoever says 0."""
    rng = np.random.default_rng(5)
    network = a_street_town(rng, 12)
    service = replace(a_meeting_service(network, rng), max_walk_m=3_000)
    dispatcher, _ = a_dispatcher(network, [a_vehicle(place=somewhere(network, rng), wheelchairs=1)], service)
    plain = random_requests_(network, rng, 1)[0]
    door = dispatcher.finder.area.ends_of(plain)
    assert not isinstance(door, str)

    def choices(**change: object) -> int:
        return len(list(dispatcher.finder.area.choices(replace(plain, **change), door)))  # type: ignore[arg-type]

    walker, chair = Resources(1), Resources(0, 1)
    assert choices(party=walker, needs=RiderNeeds()) > 1
    assert choices(party=walker, needs=RiderNeeds(longest_walk_m=0)) == 1
    assert choices(party=chair, needs=RiderNeeds()) == 1
    assert choices(party=chair, needs=RiderNeeds(longest_walk_m=3_000)) > 1


def test_virtual_stops_keep_their_distance_and_leave_no_hole() -> None:
    network = a_street_town(np.random.default_rng(9), 40)
    stops = virtual_stops(network, 400)
    assert len(stops) > 5
    lon, lat = np.array([s.lon for s in stops]), np.array([s.lat for s in stops])
    apart = haversine_m(lon[:, None], lat[:, None], lon[None], lat[None])
    assert (apart + 1e9 * np.eye(len(stops))).min() > 395
    to_stops = haversine_m(network.node_lon[:, None], network.node_lat[:, None], lon[None], lat[None])
    assert to_stops.min(axis=1).max() < 405


def test_a_plain_network_has_no_streets_to_walk_on() -> None:
    network = a_random_town(np.random.default_rng(1), 6)
    service = replace(SERVICE, mode="meet", stops=(Place(137.0, 36.0),))
    with pytest.raises(InputError, match="no streets to walk on"):
        a_dispatcher(network, [a_vehicle(place=node(network, 0))], service)


@pytest.mark.parametrize("way", ["plan", "batch"])
def test_plans_of_the_day_and_batches_let_riders_walk_where_it_helps(way: str) -> None:
    """Over a dozen towns more riders are served than from door to door, in as many hours or fewer; nobody walks further
    than they said (by networkx)."""
    served, hours = {"door": 0, "meet": 0}, {"door": 0.0, "meet": 0.0}
    walked = 0
    for seed in range(12):
        for mode in ("door", "meet"):
            rng = np.random.default_rng(seed)
            network = a_street_town(rng, 14)
            service = replace(a_meeting_service(network, rng), mode=mode)
            vehicles = a_mixed_fleet(network, rng)
            asked = [with_walks(r, rng) for r in random_requests_(network, rng, 24)]
            few = DispatchParams(nearest_reach_ms=0)
            dispatcher, clock = a_dispatcher(network, vehicles, service, now="06:30", params=few)
            day = Day(
                dispatcher, clock, asked, ahead=PlanAhead(DAY.at("07:25"), LITTLE) if way == "plan" else None,
                batch=Batch(2 * MINUTE) if way == "batch" else None,
            )  # fmt: skip
            day.run()
            done = [r for r in asked if dispatcher.bookings.states[r.id] == BookingState.DONE]
            served[mode] += len(done)
            hours[mode] += sum(leg.arrive - leg.depart for leg in day.legs) / 3_600_000
            for request in done:
                walked += judged_walk(dispatcher, request, service)
    assert walked >= 12
    assert served["meet"] > served["door"]
    assert hours["meet"] <= hours["door"]


def judged_walk(dispatcher: Dispatcher, request: Request, service: Service) -> bool:
    """Whether the rider walks; each walk is as long as networkx says and no longer than the rider's limit."""
    ends = dispatcher.ends_of(request.id)
    longest = 0 if request.party.wheelchairs else service.max_walk_m
    if request.needs.longest_walk_m is not None:
        longest = request.needs.longest_walk_m
    step_free = request.party.wheelchairs > 0
    stops = [dispatcher.travel_times.stop_at(stop)[0] for stop in service.stops]
    for place, spot, ms in ((request.origin, ends.origin, ends.walk_to_ms),
                            (request.destination, ends.destination, ends.walk_from_ms)):  # fmt: skip
        if ms:
            walks = walks_mm(dispatcher.travel_times.network, place, service.stops, step_free)  # type: ignore[arg-type]
            there = min(mm for mm, stop in zip(walks, stops, strict=True) if stop == spot)
            assert ms == pytest.approx(there * 1_000 / service.walking_speed_mm_s, abs=6)
            assert there <= 1_000 * longest + 4
    return bool(ends.walk_to_ms or ends.walk_from_ms)


def an_evening(seed: int, mode: str) -> tuple[Dispatcher, list[Request], list[Offer]]:
    """A town where some are booked (two of them), some hold offers, and ten wait for the plan."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, 14)
    service = replace(a_meeting_service(network, rng), mode=mode)
    few = DispatchParams(nearest_reach_ms=0)
    dispatcher, _ = a_dispatcher(network, a_mixed_fleet(network, rng), service, now="06:30", params=few)
    asked = [with_walks(r, rng) for r in random_requests_(network, rng, 24)]
    offers = [quote.offers[0] for quote in map(dispatcher.quote, asked[:10]) if quote.offers]
    for offer in offers[:2]:
        dispatcher.accept(offer)
    for request in asked[10:20]:
        dispatcher.ahead.hear(request)
    return dispatcher, asked, offers


@pytest.mark.parametrize("mode", ["door", "meet"])
def test_a_plan_made_in_steps_is_the_plan_made_at_once(mode: str) -> None:
    """To the last event, a quote in between apart; nothing is changed before the last step, nor by giving up."""
    walked = 0
    for seed in range(8):
        at_once, asked, _ = an_evening(seed, mode)
        doors = list(at_once.bookings.ends)
        at_once.ahead.plan(LITTLE, lambda: 0.0)
        walked += at_once.bookings.ends != doors
        in_steps, _, _ = an_evening(seed, mode)
        before = everything(in_steps)
        for gives_up in (True, False):
            steps = in_steps.ahead.planning()
            search = next(steps)
            while search.share != ((0.0, 1.0) if mode == "door" else (0.5, 0.5)):
                assert everything(in_steps) == before
                search = steps.send(search.solve(LITTLE))
            assert everything(in_steps) == before
            if gives_up:
                steps.close()
                assert everything(in_steps) == before
        in_steps.quote(asked[20])
        with pytest.raises(StopIteration):
            steps.send(search.solve(LITTLE))
        one, other = everything(at_once), everything(in_steps)
        assert one["plans"] == other["plans"]
        assert one["requests"].items() <= other["requests"].items()
        assert one["events"] == [event for event in other["events"] if event[1] != asked[20].id]
    assert (walked > 0) == (mode == "meet")


@pytest.mark.parametrize("what", ["booked", "pinned", "blocked", "heard"])
def test_a_plan_is_refused_for_a_day_that_has_changed(what: str) -> None:
    for seed in range(8):
        dispatcher, asked, offers = an_evening(seed, "meet")
        steps = dispatcher.ahead.planning()
        found = next(steps).solve(LITTLE)
        if what == "booked":
            more = (quote for quote in map(dispatcher.quote, asked[20:]) if quote.offers)
            dispatcher.accept(next(more).offers[0])
        elif what == "pinned":
            dispatcher.overrides.pin(offers[0].request_id)
        elif what == "blocked":
            dispatcher.overrides.block(0)
        else:
            assert dispatcher.ahead.hear(asked[20]) is None
        changed = everything(dispatcher)
        with pytest.raises(StalePlanError, match="plan it anew"):
            steps.send(found)
        assert everything(dispatcher) == changed
        dispatcher.ahead.plan(LITTLE, lambda: 0.0)
        states = {dispatcher.bookings.states[request.id] for request in asked[10:20]}
        assert states <= {BookingState.ACCEPTED, BookingState.REFUSED}


def everything(dispatcher: Dispatcher) -> dict[str, Any]:
    """A dispatcher as values: what a region's log would have of it, and the events."""
    book = dispatcher.bookings
    return {
        "plans": [vehicle_record(dispatcher, k) for k in range(len(dispatcher.vehicles))],
        "requests": {str(r.id): request_record(dispatcher, r.id) for r in book.requests},
        "ends": list(book.ends), "waiting": list(book.waiting),
        "events": [(e.kind, e.request_id, e.vehicle_id, e.reason, e.details) for e in dispatcher.events],
    }  # fmt: skip
