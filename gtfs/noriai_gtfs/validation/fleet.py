"""A published on-demand service held against the fleet that runs it: hours nobody drives, seats nobody has."""

from collections.abc import Iterator, Sequence

from noriai_engine.model import ServiceDay, Vehicle
from noriai_gtfs.publish.flex import FlexFeed, clock
from noriai_gtfs.services import day_number
from noriai_gtfs.validation.notices import Notice, own_notice


def fleet_notices(
    flex: FlexFeed, vehicles: Sequence[Vehicle], day: ServiceDay, agency_of: dict[str, str]
) -> Iterator[Notice]:
    """Findings on one day. `agency_of` gives the agency_id of each operator; routes of agencies without one count all.

    Judged are trips that run on the day: a window in which no vehicle is on duty, a part of it in which none is, and a
    service without a single place for a wheelchair.
    """
    number = day_number(day.date)
    for trip in flex.trips.values():
        if number not in flex.services.get(trip.service_id, ()):
            continue
        agency = flex.routes.get(trip.route_id, {}).get("agency_id", "")
        mine = [v for v in vehicles if agency_of.get(v.operator_id, agency) == agency]
        shifts = sorted((int(day.to_day_ms(v.shift.start)), int(day.to_day_ms(v.shift.end))) for v in mine)
        for visit in trip.visits:
            if not visit.is_window:
                continue
            gaps = list(_gaps(visit.start_ms, visit.end_ms, shifts))
            if gaps == [(visit.start_ms, visit.end_ms)]:
                yield own_notice(
                    "flex_window_without_vehicle", "stop_times.txt", 0, "start_pickup_drop_off_window", trip.id
                )
            else:
                for start, end in gaps:
                    value = f"{trip.id}: {clock(start)} to {clock(end)}"
                    yield own_notice("flex_window_partly_without_vehicle", "stop_times.txt", 0, "", value)
            break
        if mine and not any(lay.wheelchairs for v in mine for lay in v.layouts):
            yield own_notice("flex_service_without_wheelchair_place", "trips.txt", 0, "trip_id", trip.id)


def _gaps(start: int, end: int, shifts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Parts of a span that no shift covers."""
    at = start
    for begin, stop in shifts:
        if begin > at and at < end:
            yield at, min(begin, end)
        at = max(at, stop)
    if at < end:
        yield at, end
