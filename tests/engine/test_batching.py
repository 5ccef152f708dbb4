"""Batches: the best of all assignments by trying them, every promise kept through days of batches, idle vehicles sent
to where they are missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from builders import (
    DAY,
    LAYOUTS,
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
    somewhere,
    with_demands,
)
from hard_days import lived, log_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.energy import naive_battery
from naive.insertion import Fleet, Row, rows_of
from naive.matching import Ride, Van, optimum
from naive.roads import times_of

from noriai_engine.dispatch import packing
from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.packing import Columns, choose
from noriai_engine.dispatch.rebalancing import Forecast, Gaps, RebalanceParams, TurnedAway, moves
from noriai_engine.model import Battery, Spot
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.world.day import Batch, Day

EXACT = MatchParams(ahead_ms=10 * 60 * MINUTE)


@pytest.fixture(autouse=True)
def to_the_last_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "ABOUT_MS", 0)


# --- the best there is ------------------------------------------------------------------------------------------


def a_row(spot: Spot, window: tuple[int, int], service: int, demand: list[int], rider: str, sign: int) -> Row:
    change = tuple(sign * x for x in demand)
    utc = DAY.start
    return Row(spot, window[0] + utc, window[1] + utc, service, change, False, rider, sign > 0)  # type: ignore[arg-type]


def a_ride(dispatcher: Dispatcher, name: str, wish: Wish, home: int | None) -> Ride:
    """A rider as brute force sees it."""
    request = dispatcher.bookings.requests[dispatcher.bookings.row_of[name]]
    mine = None if home is None else dispatcher.vehicles[home].operator_id
    able = {
        k for k, vehicle in enumerate(dispatcher.vehicles)
        if dispatcher.is_on_duty(k) and set(request.needs.skills) <= set(vehicle.skills)
        and (mine is None or vehicle.operator_id == mine)
    }  # fmt: skip
    load = wish.demand.tolist()
    on = a_row(
        Spot(wish.origin, wish.origin_ms), (wish.pickup_earliest, wish.pickup_latest), wish.boarding, load, name, 1
    )
    off = a_row(
        Spot(wish.destination, wish.destination_ms), (wish.dropoff_earliest, wish.dropoff_latest), wish.alighting, load,
        name, -1,
    )  # fmt: skip
    return Ride(name, on, off, frozenset(able), home is not None)


def best_by_trying(day: Day, waiting: list[str], fleet: Fleet) -> tuple[int, int]:
    """(left out, driving) over every assignment of who may move and who waits."""
    dispatcher = day.dispatcher
    book, now = dispatcher.bookings, dispatcher._clock.now()
    vans, rides = [], []
    for k, vehicle in enumerate(dispatcher.vehicles):
        if not dispatcher.is_on_duty(k):
            continue
        plan = dispatcher.plan(k)
        rows = rows_of(plan, fleet)
        free = max([n for n, row in enumerate(rows) if row.locked], default=0)
        moving = {row.rider for row in rows[free + 1 :] if row.is_pickup and row.earliest >= 0}
        stays = tuple(row for row in rows[free + 1 : -1] if row.rider not in moving)
        vans.append((k, Van(tuple(rows[: free + 1]), stays, rows[-1], max(plan.activities[0].begin, now), plan.aboard,
                            vehicle.layouts, naive_battery(day, k))))  # fmt: skip
        rides += [a_ride(dispatcher, str(name), book.promised[book.row_of[str(name)]], k) for name in sorted(moving)]
    for name in waiting:
        wish = dispatcher.ahead.wish(book.requests[book.row_of[name]])
        assert not isinstance(wish, str)
        rides.append(a_ride(dispatcher, name, wish, None))
        fleet.max_ride[name] = wish.max_ride
    number = {k: place for place, (k, _) in enumerate(vans)}
    rides = [replace(ride, vehicles=frozenset(number[k] for k in ride.vehicles)) for ride in rides]
    apart = {
        frozenset((str(a.id), str(b.id))) for a, b in combinations(book.requests, 2)
        if book.row_of[b.id] in book.kept_apart(a)
    }  # fmt: skip
    return optimum([van for _, van in vans], rides, fleet, apart, times_of(dispatcher.travel_times.network))


def driving(dispatcher: Dispatcher) -> int:
    """ms from the announced stops on: what a batch can change."""
    total = 0
    for k in range(len(dispatcher.vehicles)):
        if dispatcher.is_on_duty(k):
            total += sum(activity.drive_ms for activity in dispatcher.plan(k).activities)
    return total


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 10_000))
def test_a_batch_is_the_best_of_all_assignments(seed: int) -> None:
    """Riders left out, then driving: against every rider on every vehicle in every order of stops, with windows, ride
    limits, loads on folding seats, breaks, batteries, skills, operators, riders aboard, announced stops and riders kept apart."""
    rng = np.random.default_rng(seed)
    make = a_random_town if seed % 2 else a_street_town
    network = make(rng, int(rng.integers(6, 12)))
    vehicles = [
        a_vehicle(
            f"v{k}", place=somewhere(network, rng), layouts=LAYOUTS[int(rng.integers(len(LAYOUTS)))],
            shift=("07:30", "10:30"), breaks=(("08:15", "09:00", 15),) if rng.random() < 0.3 else (),
            operator=f"op{int(rng.integers(2))}",
        )
        for k in range(3)
    ]  # fmt: skip
    vehicles = [replace(v, skills=("lift", "dog")[: int(rng.integers(3))]) for v in vehicles]
    if seed % 3 == 2:
        vehicles = [replace(v, battery=a_battery(rng)) for v in vehicles]
    requests = with_demands(random_requests(network, rng, 6), rng)
    dispatcher, clock = a_dispatcher(network, vehicles, SERVICE, now="06:30")
    party = {str(r.id): r.party for r in requests}
    fleet = Fleet(party)
    day = Day(dispatcher, clock, requests[:3])
    for request in sorted(requests[:3], key=lambda r: r.placed_at):
        day._go_to(request.placed_at)
        quote = day._answer(request)
        assert quote is not None
        if quote.offers:
            fleet.max_ride[request.id] = quote.offers[0].max_ride_ms
    waiting = []
    for request in requests[3 : 3 + int(rng.integers(1, 4))]:
        if not dispatcher.ahead.hear(replace(request, placed_at=clock.now())):
            waiting.append(str(request.id))
    dispatcher.bookings.waiting.clear()
    for k in range(len(vehicles)):
        dispatcher._settle(k)
    expected = best_by_trying(day, waiting, fleet)
    asked = [dispatcher.bookings.requests[dispatcher.bookings.row_of[name]] for name in waiting]
    wishes = [wish for request in asked if not isinstance(wish := dispatcher.ahead.wish(request), str)]
    found = dispatcher.batching._match(EXACT, asked, wishes, np.zeros(len(vehicles), np.int8))
    dispatcher.batching._adopt(found)
    left_out = int((found.vehicle[found.home < 0] < 0).sum())
    assert (left_out, driving(dispatcher)) == expected, f"seed {seed}"
    assert found.value <= found.greedy


@hypothesis_settings(max_examples=100)
@given(seed=st.integers(0, 100_000))
def test_packing_is_the_best_choice_of_columns(seed: int) -> None:
    """Against every subset of columns that keeps the rows; the known choice is one of them."""
    rng = np.random.default_rng(seed)
    riders, vehicles = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    must = rng.random(riders) < 0.5
    sets = [sorted(rng.choice(riders, int(rng.integers(1, riders + 1)), replace=False).tolist()) for _ in range(8)]
    own = [[r] for r in range(riders) if must[r]]
    where = [*rng.integers(0, vehicles, 8).tolist(), *range(vehicles, vehicles + len(own))]
    lists = sets + own
    columns = Columns(
        np.array(where, np.int32), rng.integers(1, 5_000, len(lists)),
        np.concatenate([[0], np.cumsum([len(x) for x in lists])]), np.array([r for x in lists for r in x], np.int32),
        must.astype(np.int8), np.where(must, 0, rng.choice([2_000, 1_000_000], riders)), np.zeros(0, np.int32),
    )  # fmt: skip
    known = np.arange(8, len(lists))

    def holds(choice: tuple[int, ...]) -> bool:
        riding = [r for c in choice for r in lists[c]]
        cars = [where[c] for c in choice]
        return (
            len(set(riding)) == len(riding) and len(set(cars)) == len(cars) and set(np.flatnonzero(must)) <= set(riding)
        )

    everything = [c for n in range(len(lists) + 1) for c in combinations(range(len(lists)), n) if holds(c)]
    best = min(sum(columns.value(np.array(c, int))) for c in everything)
    chosen = choose(columns, known, 1_000, None)
    assert chosen is None or holds(tuple(chosen.tolist()))
    assert sum(columns.value(known if chosen is None else chosen)) == best


# --- days of batches --------------------------------------------------------------------------------------------


def a_batched_day(seed: int, requests: int = 30) -> Day:
    """Everything that may happen, with batches every minute and idle vehicles sent about."""
    rng = np.random.default_rng(seed)
    make = a_random_town if seed % 2 else a_street_town
    network = make(rng, int(rng.integers(6, 16)))
    vehicles = a_mixed_fleet(network, rng)
    asked = with_demands(random_requests(network, rng, requests), rng)
    asked = [replace(r, needs=replace(r.needs, skills=())) for r in asked]
    if seed % 3 == 1:
        vehicles = [replace(v, battery=a_battery(rng)) for v in vehicles]
    dispatcher, clock = a_dispatcher(network, vehicles, SERVICE, now="06:30")
    params = MatchParams(rider_permille=int(rng.choice([0, 300])), freeze_ms=int(rng.choice([0, 5 * MINUTE])))
    batch = Batch(2 * MINUTE, params, bool(rng.random() < 0.5), RebalanceParams(4 * MINUTE, 30 * MINUTE))
    return lived(Day(dispatcher, clock, asked, batch=batch), asked, rng)


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 1_000_000))
def test_whatever_happens_between_batches_nobody_vanishes_and_every_breach_is_told(seed: int) -> None:
    a_batched_day(seed)


@pytest.mark.long
@hypothesis_settings(max_examples=2_000)
@given(seed=st.integers(0, 1_000_000_000))
def test_whatever_happens_on_two_thousand_days_of_batches(seed: int) -> None:
    a_batched_day(seed, 60)


def test_the_same_seed_gives_the_same_batches_to_the_byte() -> None:
    one, other = (a_batched_day(5).dispatcher for _ in range(2))
    assert log_of(one) == log_of(other)
    reasons = {event.reason for event in one.events}
    assert "batch" in reasons


def test_a_rider_who_cannot_be_served_waits_and_is_served_by_a_later_batch() -> None:
    """The only vehicle is full until its rider leaves; who asks meanwhile is not refused at once."""
    network = a_street(10, 60)
    van = a_vehicle(place=node(network, 0), seats=1)
    dispatcher, clock = a_dispatcher(network, [van], replace(SERVICE, max_wait_ms=8 * MINUTE), now="08:00")
    first = a_request("a", origin=node(network, 0), destination=node(network, 9), placed="08:00", departs="08:00")
    second = a_request("b", origin=node(network, 9), destination=node(network, 5), placed="08:01", departs="08:01")
    day = Day(dispatcher, clock, [first, second], batch=Batch(MINUTE))
    answers = list(day.steps())
    assert answers[0] is not None
    assert answers[0].offers
    assert answers[1] is None
    assert dispatcher.bookings.states["b"] == BookingState.REFUSED  # nobody came free in time, and it was said then
    refused = next(e for e in dispatcher.events if e.kind == "request_refused")
    assert refused.request_id == "b"
    assert refused.time > at("08:01")
    assert refused.reason in ("fleet.too_far", "fleet.no_room", "fleet.too_late", "time.past")


def test_a_batch_serves_whom_the_order_of_asking_would_have_refused() -> None:
    """Two vans, two riders: the first to ask would take the only van that the second can have."""
    network = a_street(12, 60)
    vans = [a_vehicle("near", place=node(network, 5)), a_vehicle("far", place=node(network, 0))]
    service = replace(SERVICE, max_wait_ms=6 * MINUTE)
    asked = [
        a_request("a", origin=node(network, 4), destination=node(network, 0), placed="08:00", departs="08:00"),
        a_request("b", origin=node(network, 10), destination=node(network, 11), placed="08:00", departs="08:00"),
    ]
    outcomes = {}
    for at_once in (True, False):
        dispatcher, clock = a_dispatcher(network, vans, service, now="07:00")
        Day(dispatcher, clock, asked, batch=Batch(MINUTE, MatchParams(), at_once)).run()
        outcomes[at_once] = [dispatcher.bookings.states[r.id] for r in asked]
    assert outcomes[False] == [BookingState.DONE, BookingState.DONE]


def test_a_ride_there_and_its_ride_back_are_booked_together_by_a_batch_or_not_at_all() -> None:
    network = a_street(12, 60)
    states = {}
    for back in ("10:00", "18:55"):  # by then the shift is as good as over
        dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], SERVICE, now="07:00")
        there = a_request("a", origin=node(network, 2), destination=node(network, 9), placed="07:30", departs="08:10")
        home = a_request("b", origin=node(network, 9), destination=node(network, 2), placed="07:30", departs=back)
        Day(dispatcher, clock, [there, replace(home, return_of="a")], batch=Batch(MINUTE, at_once=False)).run()
        states[back] = [dispatcher.bookings.states[name] for name in ("a", "b")]
    assert states["10:00"] == [BookingState.DONE, BookingState.DONE]
    assert states["18:55"] == [BookingState.REFUSED, BookingState.REFUSED]


def test_who_is_fetched_at_once_is_promised_no_less_time_than_others() -> None:
    """Stops of the next minute are announced while the batch is still being put together; the promise stays wide."""
    network = a_street(12, 60)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], SERVICE, now="07:30")
    asked = [
        a_request(f"r{k}", origin=node(network, 0), destination=node(network, 4 + k), placed="08:00", departs="08:00")
        for k in range(3)
    ]
    Day(dispatcher, clock, asked, batch=Batch(MINUTE, at_once=False)).run()
    for name in ("r0", "r1", "r2"):
        booking = dispatcher.bookings.booked[name]
        assert booking.pickup.latest == at("08:00") + SERVICE.max_wait_ms


def test_who_boards_soon_keeps_the_vehicle() -> None:
    """Within the freeze no booking changes vehicles."""
    for freeze in (0, 240):
        day = a_day_with_a_better_van_for("a", freeze_ms=freeze * MINUTE)
        moved = [event for event in day.dispatcher.events if event.kind == "booking_moved"]
        assert bool(moved) == (freeze == 0)


def a_day_with_a_better_van_for(name: str, freeze_ms: int) -> Day:
    """Another rider asks, for whom the first one's van is by far the better."""
    network = a_street(30, 60)
    vans = [a_vehicle("v1", place=node(network, 10), seats=1), a_vehicle("v2", place=node(network, 16), seats=1)]
    dispatcher, clock = a_dispatcher(network, vans, replace(SERVICE, max_wait_ms=MINUTE), now="07:00")
    asked = [
        a_request(name, origin=node(network, 14), destination=node(network, 15), placed="07:30", departs="08:10"),
        a_request("b", origin=node(network, 17), destination=node(network, 29), placed="07:31", departs="08:10"),
    ]
    # v2 is two minutes from the first rider; once it is taken, v1 must pass by there to the second
    day = Day(dispatcher, clock, asked, batch=Batch(MINUTE, MatchParams(freeze_ms=freeze_ms)))
    day.run()
    return day


# --- idle vehicles ----------------------------------------------------------------------------------------------


def test_an_idle_vehicle_goes_where_riders_were_turned_away() -> None:
    """The first rider at the far end waits in vain; the next one finds a van there, which left before anybody asked."""
    network = a_street(20, 60)
    van = a_vehicle(place=node(network, 0))
    service = replace(SERVICE, max_wait_ms=5 * MINUTE)
    asked = [
        a_request(f"r{k}", origin=node(network, 18), destination=node(network, 19), placed=t, departs=t)
        for k, t in enumerate(("08:00", "08:40"))
    ]
    states = {}
    for every, at_once in ((0, True), (MINUTE, False), (MINUTE, True)):
        dispatcher, clock = a_dispatcher(network, [van], service, now="07:00")
        batch = Batch(MINUTE, at_once=at_once, rebalance=RebalanceParams(every, 60 * MINUTE, 60 * MINUTE))
        day = Day(dispatcher, clock, asked, batch=batch)
        day.run()
        states[every, at_once] = [dispatcher.bookings.states[r.id] for r in asked]
        waits = [leg for leg in day.legs if leg.purpose == "position"]
        assert bool(waits) == bool(every)
    assert states[0, True] == [BookingState.REFUSED, BookingState.REFUSED]
    assert states[MINUTE, True] == states[MINUTE, False] == [BookingState.REFUSED, BookingState.DONE]


@pytest.mark.parametrize(
    ("range_m", "goes", "served"), [(23_000, True, True), (22_000, True, False), (21_000, False, False)]
)
def test_an_electric_vehicle_is_sent_about_as_far_as_it_gets_home(range_m: int, goes: bool, served: bool) -> None:
    """10.8 km there and back; with the ride of the one who asks then, 22.8 km."""
    network = a_street(20, 60)
    van = replace(a_vehicle(place=node(network, 0)), battery=Battery(range_m))
    asked = [
        a_request(f"r{k}", origin=node(network, 18), destination=node(network, 19), placed=t, departs=t)
        for k, t in enumerate(("08:00", "08:40"))
    ]
    dispatcher, clock = a_dispatcher(network, [van], replace(SERVICE, max_wait_ms=5 * MINUTE), now="07:00")
    day = Day(
        dispatcher, clock, asked, batch=Batch(MINUTE, rebalance=RebalanceParams(MINUTE, 60 * MINUTE, 60 * MINUTE))
    )
    day.run()
    assert bool([leg for leg in day.legs if leg.purpose == "position"]) == goes
    assert (dispatcher.bookings.states[asked[1].id] == BookingState.DONE) == served
    assert sum(leg.distance_mm for leg in day.legs) <= 1_000 * range_m


def test_who_was_turned_away_long_ago_is_forgotten() -> None:
    outlook, params = TurnedAway(), RebalanceParams(MINUTE)
    for minute in range(0, 60, 5):
        outlook.tell(minute * MINUTE, Spot(minute))
    assert len(outlook.seen) == 3
    assert outlook.gaps(56 * MINUTE, [], params).spots == (Spot(50), Spot(55))
    assert outlook.gaps(56 * MINUTE, [], params).spots == ()


def test_a_vehicle_on_its_way_to_wait_turns_to_a_rider() -> None:
    network = a_street(20, 60)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], SERVICE, now="07:00")
    day = Day(dispatcher, clock, [])
    day._go_to(at("07:30"))
    assert day.motion.send(0, Spot(18))
    day._alarms.set(0)
    day._go_to(at("07:36"))
    quote = dispatcher.quote(a_request("a", origin=node(network, 4), destination=node(network, 1), placed="07:36",
                                       departs="07:36"))  # fmt: skip
    assert quote.offers[0].planned_pickup == at("07:38")  # it is at node 6, and comes back
    dispatcher.commit(quote.offers[0])
    day._alarms.look_again([0])
    day._go_to(at("12:00"))
    assert dispatcher.bookings.states["a"] == BookingState.DONE
    assert [leg.diverted for leg in day.legs][:1] == [True]


def test_a_vehicle_is_not_sent_where_it_would_be_late_for_its_break_or_its_rider() -> None:
    network = a_street(20, 60)
    van = a_vehicle(place=node(network, 0), breaks=(("08:00", "08:10", 15),))
    dispatcher, clock = a_dispatcher(network, [van], SERVICE, now="07:00")
    day = Day(dispatcher, clock, [])
    day._go_to(at("07:30"))
    assert not day.motion.send(0, Spot(18))
    assert day.motion.send(0, Spot(10))
    day._alarms.set(0)
    day._go_to(at("09:00"))
    pause = next(event for event in dispatcher.events if event.kind == "break_started")
    assert pause.time == at("08:00")


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 100_000))
def test_moves_are_worth_the_most_less_the_driving(seed: int) -> None:
    """Against scipy's assignment, where nobody drives further than allowed or for nothing."""
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(seed)
    network = a_random_town(rng, int(rng.integers(4, 12)))
    dispatcher, _ = a_dispatcher(network, [a_vehicle(place=node(network, 0))])
    n = len(network.lon)
    idle = [Spot(int(s)) for s in rng.integers(0, n, int(rng.integers(1, 5)))]
    spots = tuple(Spot(int(s)) for s in rng.integers(0, n, int(rng.integers(1, 5))))
    gaps = Gaps(spots, rng.integers(1, 40 * MINUTE, len(spots)).astype(np.int32))
    params = RebalanceParams(MINUTE, int(rng.integers(1, 40)) * MINUTE)
    times = times_of(network)
    drive = np.array([[times[a][b] for b in spots] for a in idle])
    gain = np.where((drive <= params.longest_ms) & (drive > 0), np.maximum(gaps.worth_ms - drive, 0), 0)
    rows, columns = linear_sum_assignment(-gain)
    sent = moves(dispatcher.travel_times, idle, gaps, params)
    places = [(k, spots.index(spot)) for k, spot in sent]
    worth = sum(int(gaps.worth_ms[j]) - int(drive[k, j]) for k, j in places)
    if len(set(spots)) == len(spots):
        assert worth == gain[rows, columns].sum()
    assert len({k for k, _ in places}) == len(places)
    assert all(0 < drive[k, j] <= params.longest_ms for k, j in places)


def test_a_forecast_counts_the_vehicles_that_stand_there_already() -> None:
    zone = np.array([0, 0, 1, 1], np.int32)
    forecast = Forecast(np.array([[8.0, 0.0], [0.0, 8.0]]), 60 * MINUTE, (Spot(0), Spot(2)), zone)
    params = RebalanceParams(MINUTE, 60 * MINUTE, 60 * MINUTE)
    none = forecast.gaps(0, [], params)
    assert set(none.spots) == {Spot(0)}
    assert (np.diff(none.worth_ms) < 0).all()
    one = forecast.gaps(0, [Spot(1)], params)
    assert one.worth_ms.tolist() == none.worth_ms[1:].tolist()
    assert set(forecast.gaps(60 * MINUTE, [], params).spots) == {Spot(2)}


def test_a_snapshot_with_a_vehicle_on_its_way_to_wait_goes_on_to_the_same_bytes() -> None:
    network = a_street(20, 60)
    dispatcher, clock = a_dispatcher(network, [a_vehicle(place=node(network, 0))], SERVICE, now="07:00")
    day = Day(dispatcher, clock, [])
    day._go_to(at("07:30"))
    assert day.motion.send(0, Spot(18))
    kept, motion = dispatcher.snapshot(), day.motion.record(0)
    clock.advance_to(at("07:35"))
    request = a_request("a", origin=node(network, 9), destination=node(network, 1), placed="07:35", departs="07:35")
    offers = []
    for _ in range(2):
        dispatcher.restore(kept)
        day.motion.put(0, motion)
        offers.append(dispatcher.quote(request).offers)
    assert offers[0] == offers[1]
