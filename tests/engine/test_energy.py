"""Electric vehicles: what a battery lasts for is known to the mm, and the reserve is used only when it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import (
    SERVICE,
    a_dispatcher,
    a_random_town,
    a_request,
    a_street,
    a_street_town,
    a_vehicle,
    node,
    somewhere,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.kernels.energy import length_mm
from noriai_engine.model import Battery, InputError, Vehicle
from noriai_engine.roads import TravelTimes
from noriai_engine.roads.lengths import NO_WAY_MM
from noriai_engine.world.day import Day

STREET = a_street(20, 60)  # 600 m from node to node


def electric(range_m: int, **more: int) -> Vehicle:
    return replace(a_vehicle(place=node(STREET, 0)), battery=Battery(range_m, **more))


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_lengths_are_those_of_the_drives_vehicles_are_sent_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = (a_random_town if seed % 2 else a_street_town)(rng, int(rng.integers(4, 20)))
    times = TravelTimes(network)
    spots = [times.stop_at(somewhere(network, rng))[0] for _ in range(6)]
    view = times.kernel_view(np.array([s.state for s in spots], np.int32))
    climbs, lengths = times.metric.oracle.climbs(), times.lengths(spots)
    for a in spots:
        for b in spots:
            try:
                mm = times.drive(a, b).mm
            except LookupError:
                mm = NO_WAY_MM
            assert length_mm(view, climbs, *a, *b) == mm
            assert lengths[spots.index(a), spots.index(b)] == mm


def asked(name: str, a: int, b: int, clock: str):  # type: ignore[no-untyped-def]
    return a_request(name, origin=node(STREET, a), destination=node(STREET, b), departs=clock, placed="07:00")


def served(dispatcher: Dispatcher, *wishes: tuple[int, int, str]) -> list[bool]:
    out = []
    for number, wish in enumerate(wishes):
        quote = dispatcher.quote(asked(f"r{number}", *wish))
        out.append(bool(quote.offers))
        if quote.offers:
            dispatcher.commit(quote.offers[0])
    return out


def test_a_battery_lasts_there_and_back_and_not_a_metre_further() -> None:
    """To node 10 and back to the depot: 12 km."""
    for range_m, lasts in ((12_000, True), (11_999, False), (14_000, True)):
        dispatcher, _ = a_dispatcher(STREET, [electric(range_m)], SERVICE, now="07:00")
        assert served(dispatcher, (5, 10, "08:00")) == [lasts]
    dispatcher, _ = a_dispatcher(STREET, [electric(14_000, reserve_m=2_001)], SERVICE, now="07:00")
    assert served(dispatcher, (5, 10, "08:00")) == [False]
    assert [e.reason for e in dispatcher.events if e.kind == "request_refused"] == ["fleet.out_of_range"]


def test_what_a_break_charges_lasts_for_the_rides_after_it() -> None:
    """12 km before the break, 12 km after it: 300 m a minute for 20 minutes is not enough, 600 is."""
    for per_min, lasts in ((300, False), (600, True)):
        vehicle = replace(electric(12_500, charge_m_per_min=per_min), breaks=a_vehicle(
            place=node(STREET, 0), breaks=(("10:00", "11:00", 20),)
        ).breaks)  # fmt: skip
        dispatcher, _ = a_dispatcher(STREET, [vehicle], SERVICE, now="07:00")
        assert served(dispatcher, (5, 10, "08:00"), (5, 10, "13:00")) == [True, lasts]


def test_a_battery_with_less_than_thought_gives_its_riders_to_another_vehicle() -> None:
    fleet = [electric(14_000), replace(a_vehicle("v2", place=node(STREET, 0)), shift=a_vehicle(
        place=node(STREET, 0), shift=("07:30", "19:00")).shift)]  # fmt: skip
    dispatcher, clock = a_dispatcher(STREET, fleet, SERVICE, now="07:00")
    dispatcher.overrides.block(1)
    day = Day(dispatcher, clock, [asked("r1", 5, 10, "08:00")])
    next(day.steps())
    dispatcher.overrides.block(1, blocked=False)
    dispatcher.incidents.set_charge(0, 13_000)
    assert dispatcher.bookings.booked["r1"].vehicle_id == "v1"  # type: ignore[index]
    dispatcher.incidents.set_charge(0, 11_000)
    assert dispatcher.bookings.booked["r1"].vehicle_id == "v2"  # type: ignore[index]
    assert not [e for e in dispatcher.events if e.kind in ("promise_broken", "charge_short")]


def test_who_is_aboard_is_brought_home_on_the_reserve_and_it_is_told() -> None:
    dispatcher, clock = a_dispatcher(STREET, [electric(14_000, reserve_m=1_000)], SERVICE, now="07:00")
    late = asked("r2", 0, 1, "08:03")
    day = Day(dispatcher, clock, [asked("r1", 5, 10, "08:00"), replace(late, placed_at=late.wished)])
    steps = day.steps()
    next(steps), next(steps)
    assert dispatcher.plan(0).aboard.riders == 1
    dispatcher.incidents.set_charge(0, 8_000)
    assert [e.kind for e in dispatcher.events if e.kind in ("charge_short", "promise_broken")] == ["charge_short"]
    assert dispatcher.plan(0).aboard.riders == 1


def test_impossible_batteries_are_told() -> None:
    with pytest.raises(InputError, match="reserve"):
        Battery(10_000, 10_000)
    with pytest.raises(InputError, match="start"):
        Battery(10_000, 2_000, start_m=1_000)
    dispatcher, _ = a_dispatcher(STREET, [electric(14_000)], SERVICE, now="07:00")
    with pytest.raises(InputError, match="15000 m left of 14000"):
        dispatcher.incidents.set_charge(0, 15_000)
    plain, _ = a_dispatcher(STREET, [a_vehicle(place=node(STREET, 0))], SERVICE, now="07:00")
    with pytest.raises(InputError, match="no battery"):
        plain.incidents.set_charge(0, 1_000)
