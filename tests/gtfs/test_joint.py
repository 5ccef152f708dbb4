"""Rides and lines together: each leg can be booked, nothing better was missed, lines keep their riders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import DAY, MINUTE, a_dispatcher, a_request, a_street, a_vehicle, node
from gtfs.feeds_made import TOWN, plain, zipped
from gtfs.test_realtime import a_message, an_update
from hypothesis import given, settings
from hypothesis import strategies as st

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.model import Resources, Service
from noriai_engine.model.errors import InputError, StaleOfferError
from noriai_engine.roads import PlainNetwork
from noriai_gtfs import read_feed
from noriai_gtfs.fares import Fares, Price, fares_of
from noriai_gtfs.fares.fares import Ride
from noriai_gtfs.joint import Corridor, JointParams, JointSearch, RideLeg, Traveller, transfers_of
from noriai_gtfs.joint.offers import undominated
from noriai_gtfs.journeys import JourneySearch, Leg, SearchParams
from noriai_gtfs.realtime import apply_updates
from noriai_gtfs.timetable import build_timetable, day_timetable

NODES = 60
STOPS = {"A": 5, "B": 20, "C": 40, "D": 55}
PARAMS = JointParams(hubs_per_pattern=4, hub_m=6_000, walk_m=300, change_ms=2 * MINUTE)
SERVICE = Service(max_wait_ms=10 * MINUTE, max_ride_ms=60 * MINUTE, detour_extra_ms=10 * MINUTE, min_lead_ms=0)


def a_feed(folder: Path, headway: int = 20) -> Path:
    """A bus along the street, A to D in 12 minutes from 7:00 on, and back."""
    stops = "".join(f"{name},{name},36.0,{137 + 0.001 * at}\n" for name, at in STOPS.items())
    trips, times = [], []
    for number, start in enumerate(range(7 * 60, 11 * 60, headway)):
        for way, order in (("o", "ABCD"), ("i", "DCBA")):
            name = f"{way}{number}"
            trips.append(f"{'R1' if way == 'o' else 'R2'},W,{name},")
            for place, stop in enumerate(order):
                minute = start + 4 * place
                clock = f"{minute // 60:02d}:{minute % 60:02d}:00"
                times.append(f"{name},{clock},{clock},{stop},{place}")
    return zipped(
        folder / "bus.zip",
        plain(
            TOWN | {
                "stops.txt": "stop_id,stop_name,stop_lat,stop_lon\n" + stops,
                "trips.txt": "route_id,service_id,trip_id,trip_headsign\n" + "\n".join(trips) + "\n",
                "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n" + "\n".join(times) + "\n",
                "fare_attributes.txt": "fare_id,price,currency_type,payment_method,transfers\nF,200,JPY,0,0\n",
                "fare_rules.txt": "fare_id,route_id\nF,R1\nF,R2\n",
            }
        ),
    )  # fmt: skip


def a_world(
    folder: Path, vehicles: int = 2, headway: int = 20, places: tuple[int, ...] = (0, 59, 30), busy: int = 0
) -> tuple[PlainNetwork, Dispatcher, JourneySearch]:
    network = a_street(NODES, 60)
    fleet = [a_vehicle(f"v{k}", place=node(network, places[k % len(places)])) for k in range(vehicles)]
    dispatcher, _ = a_dispatcher(network, fleet, SERVICE, now="07:00")
    rng = np.random.default_rng(busy)
    for k in range(busy):
        a, b = rng.choice(NODES, 2, replace=False)
        quote = dispatcher.quote(
            a_request(
                f"b{k}",
                origin=node(network, int(a)),
                destination=node(network, int(b)),
                departs="08:10",
                placed="07:00",
            )
        )
        if quote.offers:
            dispatcher.commit(quote.offers[0])
    table = build_timetable([read_feed(a_feed(folder, headway))])
    lines = JourneySearch(day_timetable(table, DAY.date), SearchParams(change_ms=0))
    return network, dispatcher, lines


def a_traveller(network: PlainNetwork, a: int, b: int, minute: int = 8 * 60) -> Traveller:
    return Traveller("t", node(network, a), node(network, b), minute * MINUTE)


WORLDS = given(
    ends=st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda e: abs(e[0] - e[1]) > 4),
    vehicles=st.integers(1, 3), busy=st.integers(0, 8), headway=st.sampled_from([10, 20, 45]),
    minute=st.integers(450, 540),
)  # fmt: skip


def test_a_ride_reaches_the_bus_it_was_asked_for(tmp_path: Path) -> None:
    """From node 12, too far to walk: a ride to a stop, the bus, and a short walk at the end."""
    network, dispatcher, lines = a_world(tmp_path)
    search = JointSearch(dispatcher, lines, PARAMS)
    who = a_traveller(network, 12, 56)
    offers = search.offers(who)
    joint = [offer for offer in offers if offer.uses_line and offer.booked]
    assert joint
    for offer in joint:
        ride = offer.legs[0]
        bus = next(leg for leg in offer.legs if isinstance(leg, Leg) and leg.is_ride)
        assert isinstance(ride, RideLeg)
        assert ride.latest_ms + PARAMS.change_ms <= bus.depart_ms
    before = len(dispatcher.events)
    plans = [dispatcher.plan(k) for k in range(2)]
    assert search.offers(who) == offers
    assert len(dispatcher.events) == before
    assert [dispatcher.plan(k) for k in range(2)] == plans


@settings(max_examples=40, deadline=None)
@WORLDS
def test_every_offer_can_be_booked_and_kept(
    tmp_path_factory: pytest.TempPathFactory, ends: tuple[int, int], vehicles: int, busy: int, headway: int, minute: int
) -> None:
    network, dispatcher, lines = a_world(tmp_path_factory.mktemp("w"), vehicles, headway, busy=busy)
    who = a_traveller(network, *ends, minute)
    search = JointSearch(dispatcher, lines, PARAMS)
    offers = search.offers(who)
    assert undominated(offers) == offers
    for offer in offers:
        now = who.depart_ms
        for leg in offer.legs:
            assert leg.depart_ms >= now
            assert leg.arrive_ms >= leg.depart_ms
            now = leg.arrive_ms
        assert now == offer.arrive_ms
        kept = dispatcher.snapshot()
        bookings = search.book(offer)
        assert len(bookings) == len(offer.booked)
        for booking, leg in zip(bookings, offer.booked, strict=True):
            assert booking.dropoff.latest <= leg.offer.dropoff.latest
        dispatcher.restore(kept)


@settings(max_examples=40, deadline=None)
@WORLDS
def test_nothing_sooner_was_missed(
    tmp_path_factory: pytest.TempPathFactory, ends: tuple[int, int], vehicles: int, busy: int, headway: int, minute: int
) -> None:
    """One vehicle at an end and one bus: every hub, departure and stop to leave at is tried by loops."""
    network, dispatcher, lines = a_world(tmp_path_factory.mktemp("w"), vehicles, headway, busy=busy)
    who = a_traveller(network, *ends, minute)
    search = JointSearch(dispatcher, lines, PARAMS)
    offers = search.offers(who)
    trial = dispatcher.trial()
    day = lines.day
    walks = [search._walks(place, False) for place in (who.origin, who.destination)]
    best: dict[str, int] = {}

    def better(kind: str, time: int) -> None:
        best[kind] = min(best.get(kind, time), time)

    stops = range(day.timetable.stops)
    in_time: dict[int, int] = {}
    for hub in stops:
        times = sorted(
            {
                int(day.depart_ms[day.first_time[r] + k])
                for r in range(day.runs)
                for k in range(3)
                if _stop(day, r, k) == hub
            }
        )
        ends_ = trial.ends_of(search._to_hub(who, hub, who.depart_ms + 7_200_000, trial))
        assert not isinstance(ends_, str)
        direct = dispatcher.travel_times.between(ends_.origin, ends_.destination)
        low, high = who.depart_ms + direct + PARAMS.change_ms, who.depart_ms + PARAMS.horizon_ms
        for time in [t for t in times if low <= t <= high][: PARAMS.tries]:
            if not isinstance(trial.offers(search._to_hub(who, hub, time - PARAMS.change_ms, trial)), str):
                in_time[hub] = time
                break
    for run in range(day.runs):
        for i in range(3):
            a = _stop(day, run, i)
            leaves = int(day.depart_ms[day.first_time[run] + i])
            for j in range(i + 1, 4):
                b, there = _stop(day, run, j), int(day.arrive_ms[day.first_time[run] + j])
                on_foot = a in walks[0] and who.depart_ms + walks[0][a] <= leaves
                by_ride = a in in_time and in_time[a] <= leaves
                if b in walks[1]:
                    if on_foot:
                        better("walk walk", there + walks[1][b])
                    if by_ride:
                        better("ride walk", there + walks[1][b])
                if on_foot and there <= who.depart_ms + 12 * 3_600_000:
                    for turn in range(PARAMS.last_mile_waits):
                        ready = there + PARAMS.change_ms + turn * SERVICE.max_wait_ms
                        found = trial.offers(search._from_hub(who, b, ready, trial))
                        if not isinstance(found, str):
                            better("walk ride", DAY.to_day_ms(found[0].planned_dropoff))
                            break
    soonest = min((offer.arrive_ms for offer in offers), default=None)
    for kind, time in best.items():
        assert soonest is not None, kind
        assert soonest <= time, kind
    alone = [offer.arrive_ms for offer in offers if not offer.booked]
    if "walk walk" in best and alone:
        assert min(alone) == best["walk walk"]


def _stop(day: object, run: int, place: int) -> int:
    pattern = day.pattern_of(run)  # type: ignore[attr-defined]
    return int(day.stop[day.first_stop[pattern] + place])  # type: ignore[attr-defined]


def test_a_booking_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    network, dispatcher, lines = a_world(tmp_path, vehicles=1)
    search = JointSearch(dispatcher, lines, PARAMS)
    offer = next(o for o in search.offers(a_traveller(network, 12, 56)) if o.booked)
    for k in range(12):
        quote = dispatcher.quote(
            a_request(
                f"x{k}",
                origin=node(network, 50),
                destination=node(network, 58),
                departs=f"08:{4 * k + 1:02d}",
                placed="07:00",
            )
        )
        if quote.offers:
            dispatcher.commit(quote.offers[0])
    plans = dispatcher.plan(0)
    try:
        search.book(offer)
    except StaleOfferError:
        assert dispatcher.plan(0) == plans
    else:
        assert dispatcher.plan(0) != plans


def test_a_name_that_was_used_books_nothing(tmp_path: Path) -> None:
    """A journey with two rides whose second request exists already must not leave its first ride booked."""
    network, dispatcher, lines = a_world(tmp_path, vehicles=3)
    search = JointSearch(dispatcher, lines, PARAMS)
    offer = next(o for o in search.offers(a_traveller(network, 12, 48)) if o.booked)
    last = offer.booked[-1].request
    dispatcher.quote(replace(last, origin=last.destination, destination=last.origin))
    plans = [dispatcher.plan(k) for k in range(3)]
    events = len(dispatcher.events)
    with pytest.raises(InputError, match="asked before"):
        search.book(offer)
    assert [dispatcher.plan(k) for k in range(3)] == plans
    assert len(dispatcher.events) == events


def test_protected_corridors_keep_rides_back_but_not_from_wheelchairs(tmp_path: Path) -> None:
    network, dispatcher, lines = a_world(tmp_path, headway=10)
    corridor = Corridor("street", frozenset({"R1"}))
    who = a_traveller(network, 6, 54)
    free = JointSearch(dispatcher, lines, PARAMS)
    assert any(offer.booked for offer in free.offers(who))
    guarded = JointSearch(dispatcher, lines, PARAMS, corridors=[corridor])
    offers = guarded.offers(who)
    assert offers
    assert not any(offer.booked for offer in offers)
    assert guarded.withheld is corridor
    rolling = replace(who, party=Resources(seats=0, wheelchairs=1))
    _, vans, more = a_world(tmp_path, headway=10)
    del vans
    van = a_vehicle("van", place=node(network, 0), wheelchairs=1)
    chairs, _ = a_dispatcher(network, [van], SERVICE, now="07:00")
    assert any(offer.booked for offer in JointSearch(chairs, more, PARAMS, corridors=[corridor]).offers(rolling))


def test_prices_add_up(tmp_path: Path) -> None:
    network, dispatcher, lines = a_world(tmp_path)
    fares = fares_of(read_feed(tmp_path / "bus.zip"))
    search = JointSearch(dispatcher, lines, PARAMS, fares=fares, ride_price=lambda offer: Price(300, "JPY"))
    offers = search.offers(a_traveller(network, 12, 56))
    for offer in offers:
        buses = sum(isinstance(leg, Leg) and leg.is_ride for leg in offer.legs)
        assert offer.price == Price(200 * buses + 300 * len(offer.booked), "JPY")
    assert {bool(offer.booked) for offer in offers} == {True}


def test_late_buses_and_late_rides(tmp_path: Path) -> None:
    """The ride waits for a late bus within its promise; the bus waits for a late ride as agreed; else it is missed."""
    network, dispatcher, lines = a_world(tmp_path)
    search = JointSearch(dispatcher, lines, PARAMS)
    offers = search.offers(a_traveller(network, 6, 48))
    last = next(offer for offer in offers if offer.uses_line and isinstance(offer.legs[-1], RideLeg))
    bus = next(leg for leg in last.legs if isinstance(leg, Leg) and leg.is_ride)
    trip = lines.day.timetable.trip_id[int(lines.day.trip[bus.run])]

    def states(delay: int) -> list[str]:
        message = a_message()
        an_update(message, trip).stop_time_update.add(stop_sequence=0).arrival.delay = delay
        now = apply_updates(lines.day, message.SerializeToString()).day
        return [t.state for t in transfers_of(last, lines.day, now, change_ms=PARAMS.change_ms, hold_ms=0)]

    assert states(0) == ["kept"]
    assert states(180) == ["ride_waits"]
    assert states(3600) == ["missed"]
    first = next(
        o for o in search.offers(a_traveller(network, 12, 56)) if isinstance(o.legs[0], RideLeg) and o.uses_line
    )

    def held(late: int, hold: int) -> list[str]:
        found = transfers_of(
            first, lines.day, lines.day, change_ms=PARAMS.change_ms, hold_ms=hold, late_ms=lambda leg: late
        )
        return [t.state for t in found]

    slack = 30 * MINUTE
    assert held(0, 0) == ["kept"]
    assert held(slack, 60 * MINUTE) == ["line_waits"]
    assert held(slack, 0) == ["missed"]


@pytest.mark.parametrize(
    ("rides", "amount"),
    [([("R1", "A", "B")], 200), ([("R1", "A", "C")], 350), ([("R9", "A", "B")], None), ([("R1", "A", "B")] * 2, 400)],
)
def test_fares_v1_by_route_and_zone(tmp_path: Path, rides: list[tuple[str, str, str]], amount: int | None) -> None:
    stops = TOWN["stops.txt"].replace("stop_lon\n", "stop_lon,zone_id\n")
    for stop, zone in (("137.50", "1"), ("137.51", "1"), ("137.52", "2"), ("137.53", "2")):
        stops = stops.replace(f"{stop}\n", f"{stop},{zone}\n")
    feed = TOWN | {
        "stops.txt": stops,
        "fare_attributes.txt": "fare_id,price,currency_type,payment_method,transfers\nn,200,JPY,0,0\nf,350,JPY,0,0\n",
        "fare_rules.txt": "fare_id,route_id,origin_id,destination_id\nn,R1,1,1\nf,R1,1,2\n",
    }
    fares = Fares(read_feed(zipped(tmp_path / "f.zip", plain(feed))))
    expected = None if amount is None else Price(amount, "JPY")
    assert fares.price([Ride(*ride) for ride in rides]) == expected


def test_fares_v2_by_area_and_free_transfer(tmp_path: Path) -> None:
    feed = TOWN | {
        "areas.txt": "area_id\nin\nout\n",
        "stop_areas.txt": "area_id,stop_id\nin,A\nin,B\nout,C\n",
        "fare_products.txt": "fare_product_id,fare_product_name,amount,currency\ns,short,1.50,EUR\nl,long,2.75,EUR\n",
        "fare_leg_rules.txt": "leg_group_id,from_area_id,to_area_id,fare_product_id\ng,in,in,s\ng,in,out,l\n",
        "fare_transfer_rules.txt": "from_leg_group_id,to_leg_group_id,fare_transfer_type,transfer_count\ng,g,0,1\n",
    }
    fares = Fares(read_feed(zipped(tmp_path / "f.zip", plain(feed))))
    assert fares.price([Ride("R1", "A", "B")]) == Price(150, "EUR")
    assert fares.price([Ride("R1", "A", "C")]) == Price(275, "EUR")
    assert fares.price([Ride("R1", "A", "C"), Ride("R1", "A", "B")]) == Price(275, "EUR")
    assert fares.price([Ride("R1", "D", "B")]) is None
