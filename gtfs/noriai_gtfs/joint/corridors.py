"""Protected corridors: a ride must not drain a line that people could take instead.

Where a protected route takes a rider from door to door within the corridor's terms, rides along it are not offered.
Riders who cannot use the line (wheelchair, extra time to board, a skill of the driver) are exempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from noriai_engine.model.errors import InputError
from noriai_gtfs.joint.offers import JointOffer
from noriai_gtfs.journeys import Leg
from noriai_gtfs.timetable import DayTimetable


@dataclass(frozen=True, slots=True)
class Corridor:
    """Routes to protect: where they bring a rider who walks at most `max_walk_ms` in all, at most `max_later_ms` later
    than a ride would, and with no more than `max_wait_ms` until they leave."""

    name: str
    route_ids: frozenset[str]
    max_walk_ms: int = 15 * 60_000
    max_later_ms: int = 20 * 60_000
    max_wait_ms: int = 40 * 60_000

    def __post_init__(self) -> None:
        if not self.route_ids:
            raise InputError("names no route", where=f"corridor {self.name}", remedy="give route_ids")
        for field in ("max_walk_ms", "max_later_ms", "max_wait_ms"):
            if getattr(self, field) < 0:
                raise InputError(f"{field} is below 0", where=f"corridor {self.name}", remedy="give 0 or more")


def withheld_by(
    corridors: Sequence[Corridor], day: DayTimetable, ride: JointOffer, lines: Sequence[JointOffer], wished_ms: int
) -> Corridor | None:
    """The corridor that forbids to offer a ride, for the journeys by line alone that are there instead; or None."""
    for corridor in corridors:
        for line in lines:
            routes = {_route(day, leg) for leg in line.legs if isinstance(leg, Leg) and leg.is_ride}
            first = next((leg.depart_ms for leg in line.legs if isinstance(leg, Leg) and leg.is_ride), None)
            if (
                first is not None
                and routes <= corridor.route_ids
                and line.walk_ms <= corridor.max_walk_ms
                and line.arrive_ms <= ride.arrive_ms + corridor.max_later_ms
                and first - wished_ms <= corridor.max_wait_ms
            ):
                return corridor
    return None


def _route(day: DayTimetable, leg: Leg) -> str:
    return day.timetable.route_id[int(day.timetable.trip_route[int(day.trip[leg.run])])]
