"""Clock, ids, resources, requests, vehicles: values that cannot be wrong."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from builders import DAY, a_request, a_vehicle, at
from hypothesis import given
from hypothesis import strategies as st

from noriai_engine.model import (
    BookingState,
    Break,
    EventLog,
    IdSource,
    InputError,
    Place,
    Quote,
    Resources,
    RiderNeeds,
    Service,
    ServiceDay,
    Shift,
    TimeWindow,
    VirtualClock,
    next_state,
)

HERE, THERE = Place(137.0, 36.0), Place(137.01, 36.0)


def test_service_day_counts_from_noon_minus_twelve_hours() -> None:
    """On the day the clocks go forward 08:00 is still eight hours after the service day's start (GTFS, "Time")."""
    day = ServiceDay(date(2026, 3, 29), "Europe/Berlin")
    local = datetime(2026, 3, 29, 8, tzinfo=ZoneInfo("Europe/Berlin"))
    assert day.at("08:00") == int(local.timestamp() * 1000)
    assert day.rfc3339(day.start) == "2026-03-28T23:00:00.000+01:00"


@given(st.integers(0, 47), st.integers(0, 59), st.integers(0, 59))
def test_clock_text_reads_back(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}"
    assert DAY.clock_text(DAY.at(text), seconds=True) == text
    assert DAY.to_utc(DAY.to_day_ms(DAY.at(text))) == DAY.at(text)


@pytest.mark.parametrize(
    "text", ["2026-11-24 08:30", "2026-11-24T08:30:00+09:00", "2026-11-23T23:30:00Z", "08:30", "8:30"]
)
def test_one_instant_in_many_spellings(text: str) -> None:
    assert DAY.parse(text) == at("08:30")


@pytest.mark.parametrize(
    "text", ["soon", "", "48:00", "08:60", "2026-11-24T08:30:00-03:00", "2026-11-26 09:00", "2025-11-24 08:00"]
)
def test_times_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(InputError, match="remedy"):
        DAY.parse(text)


def test_times_before_the_day_read_with_a_sign() -> None:
    assert DAY.clock_text(DAY.to_utc(-90 * 60_000)) == "-01:30"


def test_clock_never_runs_back() -> None:
    clock = VirtualClock(at("08:00"))
    clock.advance_to(at("09:00"))
    with pytest.raises(ValueError, match="go back"):
        clock.advance_to(at("08:59"))


def test_ids_are_uuid7_in_order_of_time_and_replay() -> None:
    clock = VirtualClock(at("08:00"))
    source, again = IdSource(clock, np.random.default_rng(5)), IdSource(clock, np.random.default_rng(5))
    first = source.new_id()
    assert first == again.new_id()
    assert (UUID(first).version, UUID(first).variant, UUID(first).int >> 80) == (
        7,
        "specified in RFC 4122",
        at("08:00"),
    )
    clock.advance_to(at("08:01"))
    assert source.new_id() > first


@given(st.tuples(*[st.integers(0, 5)] * 3), st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=3))
def test_a_load_fits_if_one_layout_holds_all_of_it(
    load: tuple[int, int, int], layouts: list[tuple[int, int, int]]
) -> None:
    fits = Resources(*load).fits(tuple(Resources(*x) for x in layouts))
    assert fits == any(np.all(np.array(load) <= np.array(x)) for x in layouts)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Resources(-1),
        lambda: Place(36.0, 137.0),
        lambda: Place(500.0, 0.0),
        lambda: Shift(at("10:00"), at("10:00")),
        lambda: Break(at("10:00"), at("09:00"), 60_000),
        lambda: TimeWindow(at("10:00"), at("09:59")),
        lambda: RiderNeeds(-1),
        lambda: ServiceDay(date(2026, 1, 1), "Asia/Atlantis"),
        lambda: a_vehicle(place=HERE, seats=0),
        lambda: a_vehicle(place=HERE, breaks=(("18:30", "18:45", 30),)),
        lambda: a_request(origin=HERE, destination=THERE, party=Resources(0, 0, 2)),
        lambda: Service(max_wait_ms=-1),
        lambda: Service(detour_factor_permille=900),
        lambda: Service(opens=5, closes=5),
        lambda: Service(mode="stops"),
        lambda: Service(walking_speed_mm_s=0),
    ],
)
def test_impossible_values_are_refused_with_a_remedy(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="remedy"):
        make()


def test_relative_and_absolute_ride_limit() -> None:
    service = Service(max_ride_ms=600_000, detour_factor_permille=1500, detour_extra_ms=60_000)
    assert service.ride_limit_ms(100_001) == 150_001 + 60_000
    assert service.ride_limit_ms(500_000) == 600_000


def test_a_quote_is_offers_or_a_refusal() -> None:
    with pytest.raises(ValueError, match="never both"):
        Quote("r1")  # type: ignore[arg-type]


def test_lifecycle_has_no_shortcuts() -> None:
    assert next_state(None, "request_received") == BookingState.WAITING_FOR_ANSWER
    with pytest.raises(ValueError, match="cannot take event"):
        next_state(BookingState.ACCEPTED, "dropped_off")


def test_event_log_refuses_unknown_events_and_falling_times() -> None:
    log = EventLog()
    log.append(at("08:00"), "request_received", request_id="r1", details={"b": 1, "a": [2]})
    assert next(iter(log)).details == '{"a":[2],"b":1}'
    with pytest.raises(ValueError, match="no event"):
        log.append(at("08:00"), "teleported")
    with pytest.raises(ValueError, match="comes before"):
        log.append(at("07:59"), "request_received", request_id="r2")
