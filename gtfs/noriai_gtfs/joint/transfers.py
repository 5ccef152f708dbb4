"""Transfers between rides and lines of a booked journey, and what becomes of them when one is late.

A ride to a line is promised to be there in time. A line that is late makes the ride after it wait, as long as the
vehicle's plan allows; a ride that is late makes the line wait where its operator has agreed to hold it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from noriai_gtfs.joint.offers import JointOffer, RideLeg
from noriai_gtfs.journeys import Leg
from noriai_gtfs.timetable import DayTimetable

State = Literal["kept", "ride_waits", "line_waits", "missed"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A change of vehicle: when the first arrives and the second leaves by what is known now, and what follows.

    `wait_ms` is how long the second vehicle has to wait beyond its time.
    """

    at_leg: int
    arrive_ms: int
    leave_ms: int
    state: State
    wait_ms: int


def transfers_of(
    offer: JointOffer, booked_on: DayTimetable, now: DayTimetable, *, change_ms: int, hold_ms: int,
    late_ms: Callable[[RideLeg], int] = lambda leg: 0,
) -> list[Transfer]:  # fmt: skip
    """Every change of vehicle of a journey under the timetable as it runs now.

    `hold_ms` is how long a line's vehicle is held for a late ride; `late_ms` says by how much a ride is late now. A
    ride after a line waits to the end of the rider's promised pickup interval.
    """
    out = []
    arrival = 0
    previous: RideLeg | Leg | None = None
    for number, leg in enumerate(offer.legs):
        if isinstance(leg, Leg) and not leg.is_ride:
            arrival += leg.arrive_ms - leg.depart_ms
            continue
        leave, arrive = _times(leg, booked_on, now, late_ms)
        if previous is not None and not (isinstance(leg, Leg) and leg.stays and leave is not None):
            out.append(_transfer(number, previous, leg, arrival, leave, change_ms, hold_ms))
        previous, arrival = leg, arrive
    return out


def _transfer(
    number: int,
    previous: RideLeg | Leg,
    leg: RideLeg | Leg,
    arrival: int,
    leave: int | None,
    change_ms: int,
    hold_ms: int,
) -> Transfer:
    if leave is None:
        return Transfer(number, arrival, -1, "missed", 0)
    least = change_ms if isinstance(previous, RideLeg) or isinstance(leg, RideLeg) else 0
    late = arrival + least - leave
    if late <= 0:
        return Transfer(number, arrival, leave, "kept", 0)
    if isinstance(leg, RideLeg):
        room = leg.depart_ms + (leg.offer.pickup.latest - leg.offer.planned_pickup) - leave
        return Transfer(number, arrival, leave, "ride_waits" if late <= room else "missed", late)
    held = hold_ms if isinstance(previous, RideLeg) else 0
    return Transfer(number, arrival, leave, "line_waits" if late <= held else "missed", late)


def _times(
    leg: RideLeg | Leg, booked_on: DayTimetable, now: DayTimetable, late_ms: Callable[[RideLeg], int]
) -> tuple[int | None, int]:
    """When a leg leaves (None: it does not run) and arrives, as things stand."""
    if isinstance(leg, RideLeg):
        late = late_ms(leg)
        return leg.depart_ms + late, leg.arrive_ms + late
    trip, day_of = int(booked_on.trip[leg.run]), int(booked_on.day_of[leg.run])
    for run in np.flatnonzero((now.trip == trip) & (now.day_of == day_of) & (now.alive == 1)).tolist():
        first, row = int(now.first_stop[now.pattern_of(run)]), int(now.first_time[run])
        stops = now.stop[first : first + int(now.length_of_run[run])]
        board = np.flatnonzero(stops == leg.from_stop)
        alight = np.flatnonzero(stops == leg.to_stop)
        if board.size and alight.size and board[0] < alight[-1]:
            return int(now.depart_ms[row + board[0]]), int(now.arrive_ms[row + alight[-1]])
    return None, leg.arrive_ms
