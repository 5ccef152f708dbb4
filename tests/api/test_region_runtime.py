"""A region at run time: the log it leaves is its state, at any moment and however vehicles move."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noriai_api.runtime.changes import DayChange, DayState
from noriai_api.runtime.region import RegionRules, RegionRuntime
from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams
from noriai_engine.model import InputError, Place, Request, Resources, Service, ServiceDay, Shift, UtcMs, Vehicle
from noriai_engine.model.errors import StaleOfferError
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.regions import Region, open_region
from noriai_engine.world.motion import Step

DAY = ServiceDay(date(2026, 11, 24), "Asia/Tokyo")
MINUTE = 60_000


@pytest.fixture(scope="module")
def town(rural: Path) -> Region:
    return open_region(rural)


def some_place(region: Region, rng: np.random.Generator) -> Place:
    people = region.population
    assert people is not None
    k = int(rng.integers(0, len(people.people)))
    lon, lat = region.snapper.on_street(people.lon[k : k + 1], people.lat[k : k + 1])
    return Place(float(lon[0]), float(lat[0]))


def a_runtime(region: Region, *, moves_itself: bool, seed: int = 1) -> RegionRuntime:
    def fleet(day: ServiceDay) -> list[Vehicle]:
        rng = np.random.default_rng(5)
        return [
            Vehicle(f"v{k}", "taxi" if k % 2 else "shuttle", "taxi", (Resources(4, 1, 2),),
                    Shift(day.at("07:00"), day.at("19:00")), some_place(region, rng))
            for k in range(4)
        ]  # fmt: skip

    service = Service(max_wait_ms=25 * MINUTE, detour_extra_ms=15 * MINUTE)
    rules = RegionRules("town", "valley", service, DispatchParams(nearest_reach_ms=0), moves_itself=moves_itself)
    return RegionRuntime(rules, region, fleet, np.random.default_rng(seed))


class Log:
    """Rows as a store would have them, JSON and back."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, str]] = []

    def add(self, changes: list[DayChange]) -> None:
        self.rows += [(change.day, change.time, change.body()) for change in changes]

    def states(self) -> dict[str, DayState]:
        states: dict[str, DayState] = {}
        for day, time, body in self.rows:
            states.setdefault(day, DayState()).fold(json.loads(body), time)
        return states


def do_something(runtime: RegionRuntime, rng: np.random.Generator, number: int) -> None:
    """One random call that a rider, a driver or an operator might make."""
    run = runtime.today()
    dispatcher, book = run.dispatcher, run.dispatcher.bookings
    accepted = [r for r, state in book.states.items() if state == BookingState.ACCEPTED]
    vehicle = int(rng.integers(0, len(dispatcher.vehicles)))
    what = rng.choice(["ride", "ride", "ride", "quote", "wait", "wait", "cancel", "late", "drive", "drive", "drive",
                       "fail", "join", "improve", "lapse", "match", "withdraw", "send"])  # fmt: skip
    if what in ("ride", "quote", "wait"):
        asked = UtcMs(runtime.now + int(rng.integers(0, 90)) * MINUTE)
        request = Request(
            f"r{number}", runtime.now, some_place(runtime.region, rng), some_place(runtime.region, rng),
            earliest_pickup=asked, party=Resources(int(rng.integers(1, 3))),
        )  # fmt: skip
        quote = dispatcher.batching.ask(request) if what == "wait" else dispatcher.quote(request)
        if quote is not None and quote.offers and what == "ride":
            booking = dispatcher.accept(quote.offers[int(rng.integers(0, len(quote.offers)))])
            run.look_again([dispatcher.index_of(booking.vehicle_id)])
    elif what == "cancel" and accepted:
        run.look_again(dispatcher.incidents.cancel(str(rng.choice(accepted))))
    elif what == "late" and dispatcher.is_on_duty(vehicle):
        run.look_again(run.motion.delay(vehicle, UtcMs(runtime.now + int(rng.integers(1, 10)) * MINUTE)))
    elif what == "fail" and dispatcher.is_on_duty(vehicle) and number % 5 == 0:
        run.look_again(run.motion.break_down(vehicle))
    elif what == "join" and number % 7 == 0:
        new = Vehicle(f"new{number}", "taxi", "taxi", (Resources(4),), Shift(runtime.now, DAY.at("20:00")),
                      some_place(runtime.region, rng), skills=("lift",))  # fmt: skip
        row = dispatcher.incidents.join(new)
        run.look_again([row])
    elif what == "withdraw" and book.waiting:
        dispatcher.batching.withdraw(book.waiting[int(rng.integers(0, len(book.waiting)))])
    elif what == "match":
        run.match(MatchParams(), MINUTE)
    elif what == "send":
        run.send_about(RebalanceParams())
    elif what == "improve":
        runtime.improve(run)
    elif what == "lapse":
        run.lapse(UtcMs(runtime.now - 5 * MINUTE))
    elif what == "drive" and not runtime.rules.moves_itself:
        step = run.motion.next_step(vehicle)
        if step is not None and step[0] <= runtime.now + 5 * MINUTE:
            if step[1] == Step.DEPART and dispatcher.next_stop(vehicle) == dispatcher.position(vehicle)[0]:
                run.look_again(dispatcher.incidents.begin_now(vehicle))
            run.look_again([vehicle, *run.motion.act(vehicle, step[1])])


@pytest.mark.compiled
@given(seed=st.integers(0, 10_000), moves_itself=st.booleans(), steps=st.integers(5, 60))
@settings(max_examples=12)
def test_the_state_is_the_fold_of_its_log(town: Region, seed: int, moves_itself: bool, steps: int) -> None:
    """Whatever riders, drivers and operators did: a region rebuilt from the log has the same state to the byte, and
    goes on alike from there."""
    rng, log = np.random.default_rng(seed), Log()
    live = a_runtime(town, moves_itself=moves_itself)
    now = UtcMs(DAY.at("07:00") - 20 * MINUTE)
    for number in range(steps):
        now = UtcMs(now + int(rng.integers(1_000, 6 * MINUTE)))
        live.advance(now)
        with contextlib.suppress(StaleOfferError, InputError):  # then nothing has changed, and the log must agree
            do_something(live, rng, number)
        log.add(live.take())
    again = a_runtime(town, moves_itself=moves_itself)
    again.rebuild(log.states())
    for later in (0, 1_000, 4 * MINUTE, 40 * MINUTE):
        live.advance(UtcMs(now + later))
        again.advance(UtcMs(now + later))
        log.add(live.take())
        again.take()
        assert again.hash() == live.hash()


def test_a_log_from_another_road_network_is_refused(town: Region) -> None:
    runtime = a_runtime(town, moves_itself=True)
    runtime.advance(DAY.at("08:00"))
    runtime.tick()
    log = Log()
    log.add(runtime.take())
    states = log.states()
    states["2026-11-24"].opened["network"] = "another"
    with pytest.raises(InputError, match="another road network"):
        a_runtime(town, moves_itself=True).rebuild(states)


def test_days_open_when_asked_for_and_close_when_over(town: Region) -> None:
    runtime = a_runtime(town, moves_itself=True)
    runtime.advance(DAY.at("23:59"))
    runtime.tick()
    assert list(runtime.days) == ["2026-11-24"]
    runtime.advance(UtcMs(DAY.at("24:01")))
    runtime.tick()
    assert list(runtime.days) == ["2026-11-24", "2026-11-25"]
    runtime.advance(UtcMs(DAY.at("30:02")))
    runtime.tick()
    assert list(runtime.days) == ["2026-11-25"]
    with pytest.raises(InputError, match="is over"):
        runtime.on(DAY)
    with pytest.raises(InputError, match="too far ahead"):
        runtime.on(ServiceDay(date(2026, 12, 24), "Asia/Tokyo"))


def test_past_midnight_belongs_to_the_evening_before(town: Region) -> None:
    runtime = a_runtime(town, moves_itself=True)
    object.__setattr__(runtime.rules.service, "closes", 26 * 60 * MINUTE)
    assert runtime.service_day(DAY.at("25:30")).date == date(2026, 11, 24)
    assert runtime.service_day(DAY.at("26:30")).date == date(2026, 11, 25)
