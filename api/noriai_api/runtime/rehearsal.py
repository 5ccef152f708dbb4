"""A made-up ride before the first rider asks: on a fresh machine it compiles the dispatch kernels, which takes a minute
that nobody should wait for with a telephone in hand."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np

from noriai_api.runtime.day import DayRun
from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.ahead import at_once
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.model import Request, Resources, Service, ServiceDay, Shift, Spot, Vehicle
from noriai_engine.model.units import HOUR_MS, MINUTE_MS, OperatorId, RequestId, UtcMs, VehicleId
from noriai_engine.plans import annealing
from noriai_engine.regions import Region
from noriai_engine.roads import TravelTimes

FROM_MS = 9 * HOUR_MS
PLACES = 24


def rehearse(
    region: Region, travel_times: TravelTimes, *, improves: bool, matches: bool = False, plans: bool = False
) -> int:
    """Ask, book, cancel, drive and break down on a day of its own, on the region's roads, and where plans are improved,
    riders matched in batches or days planned ahead, that too; how many rides were booked. Nothing of it is kept."""
    day = ServiceDay(date(2001, 1, 1), region.timezone)
    states = np.linspace(0, travel_times.graph.state_count - 1, PLACES).astype(np.int64)
    places = [travel_times.place_of(Spot(int(state))) for state in states]
    places = [place for place in places if travel_times.stop_at(place)[0].state >= 0]  # a motorway has no stop near it
    shift = Shift(day.to_utc(0), day.to_utc(24 * HOUR_MS))
    fleet = [
        Vehicle(VehicleId(name), OperatorId("rehearsal"), "taxi", (Resources(4),), shift, place)
        for name, place in zip(("first", "second"), places, strict=False)
    ]
    service = Service(id="rehearsal", max_wait_ms=2 * HOUR_MS, max_ride_ms=12 * HOUR_MS, detour_extra_ms=HOUR_MS)
    begins = day.to_utc(FROM_MS)
    if plans and len(places) > 1:
        eve = DayRun(
            day, travel_times, service, fleet, DispatchParams(), np.random.default_rng(0), UtcMs(day.to_utc(0) - 1),
            True, region.checksum,
        )  # fmt: skip
        eve.dispatcher.ahead.hear(Request(RequestId("tomorrow"), eve.clock.now(), places[0], places[1], begins))
        at_once(eve.plan_ahead(), annealing(0, 20))
    run = DayRun(
        day, travel_times, service, fleet, DispatchParams(), np.random.default_rng(0), begins, True, region.checksum
    )
    for number, (origin, destination) in enumerate(pairwise(places)):
        wished = day.to_utc(FROM_MS + number * MINUTE_MS)
        quote = run.dispatcher.quote(Request(RequestId(str(number)), begins, origin, destination, wished))
        if quote.offers:
            run.look_again([run.dispatcher.index_of(run.dispatcher.accept(quote.offers[0]).vehicle_id)])
    booked = sorted(run.dispatcher.bookings.booked)
    run.look_again(run.dispatcher.incidents.cancel(booked[-1]) if booked else [])
    for vehicle in range(len(fleet)):
        run.look_again(run.dispatcher.incidents.delay(vehicle, UtcMs(begins + 20 * MINUTE_MS)))
        run.degrees(run.dispatcher.next_stop(vehicle))
    if matches and booked:
        first = run.request(booked[0])
        run.dispatcher.batching.ask(replace(first, id=RequestId("waits"), party=Resources(5)))
        run.dispatcher.batching.ask(replace(first, id=RequestId("offered")))
        run.match(MatchParams(), MINUTE_MS)
    if improves:
        run.look_again(run.dispatcher.improving.improve(annealing(0, 20), lambda: 0.0).changed)
    run.advance(day.to_utc(FROM_MS + HOUR_MS))
    if fleet:
        run.look_again(run.dispatcher.incidents.break_down(0))
    return len(booked)
