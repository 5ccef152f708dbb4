"""Days on which things happen: what may, a judge of the plans, and a ledger of what riders were told.

The judge reads the event log and the plans as values.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
from builders import (
    MINUTE,
    SERVICE,
    a_battery,
    a_dispatcher,
    a_mixed_fleet,
    a_random_town,
    a_street_town,
    a_vehicle,
    random_requests,
    somewhere,
)

from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.model import Request, Resources
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.plan import ActivityKind
from noriai_engine.plans import annealing
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.traffic import Traffic, slower
from noriai_engine.world.day import Day
from noriai_engine.world.life import HeldUp, Life

ENDED = {BookingState.REFUSED, BookingState.DONE, BookingState.CANCELLED, BookingState.NO_SHOW, BookingState.DROPPED}
HARMLESS = {"cancelled", "no_show"}


class Ledger:
    """What each rider was told, from the log alone."""

    def __init__(self) -> None:
        self.seen = 0
        self.pickup: dict[str, int] = {}
        self.dropoff: dict[str, int] = {}
        self.ride: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.vehicle: dict[str, str | None] = {}

    def read(self, dispatcher: Dispatcher) -> None:
        for event in list(dispatcher.events)[self.seen :]:
            self.seen += 1
            rider, details = event.request_id, json.loads(event.details) if event.details else {}
            if event.kind == "promise_broken":
                assert details["cause"] not in HARMLESS
            if rider is None:
                continue
            if event.kind == "booking_accepted":
                self.pickup[rider], self.dropoff[rider] = details["pickup"][1], details["dropoff"][1]
                self.ride[rider], self.vehicle[rider] = details["max_ride_ms"], event.vehicle_id
            elif event.kind == "promise_broken" and "wider_ms" in details:
                for told in (self.pickup, self.dropoff, self.ride):
                    told[rider] += details["wider_ms"]
            elif event.kind == "promise_broken":
                told = {"pickup": self.pickup, "dropoff": self.dropoff, "ride": self.ride}[details["what"]]
                assert details["now"] > details["promised"]
                told[rider] = max(told[rider], details["now"])
                if details["what"] == "dropoff" and rider in self.left:
                    self.ride[rider] = max(self.ride[rider], details["now"] - self.left[rider])
            elif event.kind == "ride_interrupted":
                self.pickup[rider], self.ride[rider] = 1 << 60, 1 << 60
                self.left.pop(rider, None)
            elif event.kind == "booking_moved":
                assert details["from"] == self.vehicle[rider]
                self.vehicle[rider] = event.vehicle_id
            elif event.kind == "pickup_started":
                assert event.vehicle_id == self.vehicle[rider]
                assert event.time <= self.pickup[rider], f"{rider} picked up late, and not told"
            elif event.kind == "picked_up":
                self.left[rider] = event.time
            elif event.kind == "dropoff_started":
                assert event.vehicle_id == self.vehicle[rider]
                assert event.time <= self.dropoff[rider], f"{rider} set down late, and not told"


def judge(dispatcher: Dispatcher, party: dict[str, Resources]) -> None:
    """Plans as values: order, load, times that can be driven, and every rider in exactly one of them."""
    times, places = dispatcher.travel_times, {}
    for k, vehicle in enumerate(dispatcher.vehicles):
        if not dispatcher.is_on_duty(k):
            continue
        plan = dispatcher.plan(k)
        load = list(plan.aboard.as_tuple())
        for before, row in pairwise(plan.activities):
            done = before.begin + (before.service_ms if before.kind != ActivityKind.POSITION else 0)
            assert row.drive_ms == times.between(before.stop.spot, row.stop.spot)
            assert row.begin >= max(done + row.drive_ms, row.earliest)
            assert row.begin <= row.latest
            assert not row.locked or row.earliest == row.begin == row.latest  # what was announced is moved by nobody
            sign = {ActivityKind.PICKUP: 1, ActivityKind.DROPOFF: -1}.get(row.kind, 0)
            if sign:
                places.setdefault(str(row.request_id), []).append((k, row.kind))
                load = [a + sign * b for a, b in zip(load, party[str(row.request_id)].as_tuple(), strict=True)]
            assert min(load) >= 0
            assert Resources(*load).fits(vehicle.layouts)
        assert load == [0, 0, 0]
    for rider, state in dispatcher.bookings.states.items():
        mine = places.get(rider, [])
        if state == BookingState.ACCEPTED:
            assert [kind for _, kind in mine] == [ActivityKind.PICKUP, ActivityKind.DROPOFF]
            assert len({k for k, _ in mine}) == 1
        elif state in (BookingState.BOARDING, BookingState.ABOARD):
            assert [kind for _, kind in mine] == [ActivityKind.DROPOFF]
        else:
            assert not mine
        assert state != BookingState.STRANDED


def disturb(day: Day, rng: np.random.Generator, number: int) -> None:
    """One thing that may happen now, if it can."""
    dispatcher, now = day.dispatcher, day._clock.now()
    states = dispatcher.bookings.states
    on_duty = [k for k in range(len(dispatcher.vehicles)) if dispatcher.is_on_duty(k)]
    what = rng.integers(10)
    if what <= 1 and (waiting := [r for r, s in states.items() if s == BookingState.ACCEPTED]):
        day.cancel(str(rng.choice(waiting)))  # type: ignore[arg-type]
    elif what == 2 and (boarding := [r for r, s in states.items() if s == BookingState.BOARDING]):
        day.no_show(str(rng.choice(boarding)))  # type: ignore[arg-type]
    elif what == 3 and on_duty:
        day.delay(int(rng.choice(on_duty)), now + int(rng.integers(1, 40)) * MINUTE)  # type: ignore[arg-type]
    elif what == 4 and len(on_duty) > 1 and rng.random() < 0.5:
        day.break_down(int(rng.choice(on_duty)))
    elif what == 5 and on_duty:
        day.end_shift_at(int(rng.choice(on_duty)), now + int(rng.integers(5, 120)) * MINUTE)  # type: ignore[arg-type]
    elif what == 6:
        network = dispatcher.travel_times.network
        joined = a_vehicle(f"new{number}", place=somewhere(network, rng), shift=("07:30", "11:00"))
        day.join(replace(joined, operator_id="op2" if rng.random() < 0.5 else "op"))  # type: ignore[arg-type]
    elif what == 8 and (electric := [k for k in on_duty if dispatcher.vehicles[k].battery is not None]):
        vehicle = int(rng.choice(electric))
        battery = dispatcher.vehicles[vehicle].battery
        assert battery is not None
        left = int(rng.integers(battery.range_m // 2, battery.range_m + 1))
        day.set_charge(vehicle, left)
    elif what >= 8:
        day.improve(annealing(number, 30))
    elif what == 7 and isinstance(network := dispatcher.travel_times.network, RoadNetwork):
        arcs = np.flatnonzero(rng.random(network.arc_count) < 0.4).astype(np.int32)
        traffic = slower(network, arcs, int(rng.integers(500, 3_000))) if rng.random() < 0.8 else Traffic()
        closed = rng.random(network.arc_count) < rng.choice([0.0, 0.0, 0.05, 0.3])
        day.set_traffic(replace(traffic, closed=closed))


def a_hard_day(seed: int, requests: int = 30, *, nearest: bool = True) -> Day:
    """A day in a random town. On some days drives are held up, on some promises have buffers or vehicles batteries.
    `nearest`: refusals name the nearest feasible time, which takes as long as all the rest."""
    rng = np.random.default_rng(seed)
    make = a_random_town if seed % 2 else a_street_town
    network = make(rng, int(rng.integers(6, 16)))
    vehicles = a_mixed_fleet(network, rng)
    if seed % 7 == 2:
        vehicles = [replace(v, battery=a_battery(rng)) for v in vehicles]
    asked = random_requests(network, rng, requests)
    service = replace(SERVICE, pickup_buffer_ms=3 * MINUTE, ride_buffer_permille=200) if seed % 3 == 0 else SERVICE
    service = replace(service, give_up_ms=[60, 20, 0][seed % 3] * MINUTE)
    params = DispatchParams() if nearest else DispatchParams(nearest_reach_ms=0)
    dispatcher, clock = a_dispatcher(network, vehicles, service, now="06:30", params=params)
    life = Life(HeldUp(300 if seed % 5 == 1 else 0), seed)
    return lived(Day(dispatcher, clock, asked, life=life), asked, rng)


def lived(day: Day, asked: list[Request], rng: np.random.Generator) -> Day:
    """The day to its end with something happening at every other request, judged after each; every request ended."""
    dispatcher, ledger = day.dispatcher, Ledger()
    party = {str(r.id): r.party for r in asked}
    for number, _ in enumerate(day.steps()):
        ledger.read(dispatcher)
        if rng.random() < 0.5:
            disturb(day, rng, number)
            ledger.read(dispatcher)
            judge(dispatcher, party)
    ledger.read(dispatcher)
    assert set(dispatcher.bookings.states.values()) <= ENDED
    assert len(dispatcher.bookings.states) == len(asked)
    return day


def log_of(dispatcher: Dispatcher) -> list[tuple[object, ...]]:
    return [tuple(getattr(e, f) for f in e.__slots__) for e in dispatcher.events]
