"""Our service as GTFS Realtime: VehiclePositions without a scheduled trip, which is how on-demand vehicles appear, and
an Alert while no new rides are taken.

There is no TripUpdate for demand-responsive trips, whose stops have no timetable to be late against (gtfs-realtime
reference); plans and promises go out as MDS and TOMP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noriai_engine.model.errors import InputError


@dataclass(frozen=True, slots=True)
class VehicleReport:
    """Where a vehicle is. `time_s` is seconds since 1970; `aboard` of `seats` riders; bearing in degrees from north."""

    vehicle_id: str
    label: str
    lon: float
    lat: float
    time_s: int
    bearing: float | None = None
    speed_m_s: float | None = None
    aboard: int = 0
    seats: int = 0
    wheelchair: bool | None = None


def vehicle_positions(reports: Sequence[VehicleReport], time_s: int) -> bytes:
    """A FeedMessage of all vehicles. Raises InputError for reports that would break the rules of the reference."""
    from google.transit.gtfs_realtime_pb2 import FeedMessage

    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.incrementality = message.header.FULL_DATASET
    message.header.timestamp = time_s
    seen: set[str] = set()
    for report in reports:
        _check(report, time_s, seen)
        entity = message.entity.add()
        entity.id = f"vehicle:{report.vehicle_id}"
        vehicle = entity.vehicle
        vehicle.vehicle.id, vehicle.vehicle.label = report.vehicle_id, report.label or report.vehicle_id
        if report.wheelchair is not None:
            kinds: Any = vehicle.vehicle.WheelchairAccessible
            name = "WHEELCHAIR_ACCESSIBLE" if report.wheelchair else "WHEELCHAIR_INACCESSIBLE"
            vehicle.vehicle.wheelchair_accessible = kinds.Value(name)
        vehicle.position.longitude, vehicle.position.latitude = report.lon, report.lat
        if report.bearing is not None:
            vehicle.position.bearing = report.bearing
        if report.speed_m_s is not None:
            vehicle.position.speed = report.speed_m_s
        vehicle.timestamp = report.time_s
        if report.seats > 0:
            vehicle.occupancy_percentage = 100 * report.aboard // report.seats
            vehicle.occupancy_status = _status(vehicle, report)
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def suspension_alerts(agency_id: str, route_id: str, said: Mapping[str, str] | None, time_s: int) -> bytes:
    """A FeedMessage that says a service is suspended, in the words given by language (BCP 47), or nothing at all."""
    from google.transit.gtfs_realtime_pb2 import Alert, FeedMessage

    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.incrementality = message.header.FULL_DATASET
    message.header.timestamp = time_s
    if said is not None:
        entity = message.entity.add()
        entity.id = f"suspended:{route_id}"
        entity.alert.effect, entity.alert.cause = Alert.NO_SERVICE, Alert.OTHER_CAUSE
        informed = entity.alert.informed_entity.add()
        informed.agency_id, informed.route_id = agency_id, route_id
        for language, words in sorted(said.items()):
            for target in (entity.alert.header_text, entity.alert.description_text):
                translation = target.translation.add()
                translation.language, translation.text = language, words
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def _status(vehicle: Any, report: VehicleReport) -> Any:
    """OccupancyStatus by share of seats taken."""
    if report.aboard == 0:
        return vehicle.EMPTY
    if report.aboard >= report.seats:
        return vehicle.FULL
    return vehicle.MANY_SEATS_AVAILABLE if 2 * report.aboard < report.seats else vehicle.FEW_SEATS_AVAILABLE


def _check(report: VehicleReport, time_s: int, seen: set[str]) -> None:
    where = f"vehicle {report.vehicle_id!r}"
    if not report.vehicle_id or report.vehicle_id in seen:
        raise InputError("comes twice, or has no id", where=where, remedy="one report for each vehicle")
    seen.add(report.vehicle_id)
    if not (-180 <= report.lon <= 180 and -90 <= report.lat <= 90):
        raise InputError(f"is at ({report.lon}, {report.lat})", where=where, remedy="give degrees WGS84 (lon, lat)")
    if report.bearing is not None and not 0 <= report.bearing <= 360:
        raise InputError(f"has a bearing of {report.bearing}", where=where, remedy="degrees from north, 0 to 360")
    if report.time_s > time_s + 60:
        raise InputError("reports from the future", where=where, remedy="mind the vehicle's clock")
