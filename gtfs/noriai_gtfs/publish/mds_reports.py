"""MDS 2.0 documents that other providers report to an agency: what is wrong with one, in the terms of the standard.

Passenger services only. Fields and enumerations: the models `vehicle`, `event`, `trip`, `telemetry`, `stop` of
mds-openapi 2.0 with `modes/passenger-services`, and its state machine.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

EVENTS_INTO: Mapping[str, frozenset[str]] = {
    "removed": frozenset({"comms_restored", "decommissioned", "maintenance_pick_up"}),
    "available": frozenset({
        "comms_restored", "driver_cancellation", "passenger_cancellation", "provider_cancellation", "service_start",
        "trip_end", "trip_enter_jurisdiction",
    }),
    "non_operational": frozenset({
        "comms_restored", "maintenance", "maintenance_end", "recommissioned", "service_end", "trip_enter_jurisdiction",
    }),
    "reserved": frozenset({"comms_restored", "reservation_start", "trip_enter_jurisdiction"}),
    "on_trip": frozenset({"comms_restored", "trip_enter_jurisdiction", "trip_resume", "trip_start"}),
    "non_contactable": frozenset({"comms_lost"}),
    "stopped": frozenset({"comms_restored", "reservation_stop", "trip_stop"}),
    "elsewhere": frozenset({"comms_restored", "trip_leave_jurisdiction"}),
}  # fmt: skip
"""State -> events that lead to it, by the state machine of passenger services."""
OF_TRIPS = frozenset({
    "driver_cancellation", "passenger_cancellation", "provider_cancellation", "reservation_start", "reservation_stop",
    "trip_end", "trip_enter_jurisdiction", "trip_leave_jurisdiction", "trip_resume", "trip_start", "trip_stop",
})  # fmt: skip


def _written_as_uuid(value: object) -> object:
    if not isinstance(value, str) or str(UUID(value)) != value.lower():
        raise ValueError("a UUID is wanted, such as 48415839-3e38-4ba5-a557-e45fb4e6a0a3")
    return value.lower()


Uuid = Annotated[str, BeforeValidator(_written_as_uuid)]
Millis = Annotated[int, Field(ge=946_684_800_000, lt=4_102_444_800_000, description="UTC milliseconds")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Kind = Literal["bicycle", "bus", "cargo_bicycle", "car", "delivery_robot", "moped", "motorcycle", "other",
               "scooter_standing", "scooter_seated", "truck"]  # fmt: skip
Counts = dict[Kind, Annotated[int, Field(ge=0, lt=2**53)]]
Word = Annotated[str, Field(min_length=1, max_length=255)]


class _Document(BaseModel):
    """Fields that the standard names are checked, others kept as they are."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Gps(_Document):
    lat: Annotated[float, Field(ge=-90, le=90)]
    lng: Annotated[float, Field(ge=-180, le=180)]
    speed: Annotated[float, Field(ge=0, le=100)] = 0
    heading: Annotated[float, Field(ge=0, le=360)] = 0


NOWHERE = Gps(lat=0, lng=0)


class _Reported(_Document):
    provider_id: Uuid
    device_id: Uuid


class ReportedVehicle(_Reported):
    """models/vehicle"""

    vehicle_id: Word
    vehicle_type: Kind
    propulsion_types: Annotated[
        list[Literal["human", "electric_assist", "electric", "combustion", "combustion_diesel", "hybrid",
                     "hydrogen_fuel_cell", "plug_in_hybrid"]], Field(min_length=1)]  # fmt: skip
    accessibility_attributes: list[Literal["wheelchair_accessible"]] = []


class ReportedEvent(_Reported):
    """models/event"""

    event_id: Uuid
    vehicle_state: Literal["removed", "available", "non_operational", "reserved", "on_trip", "stopped",
                           "non_contactable", "elsewhere"]  # fmt: skip
    event_types: Annotated[list[str], Field(min_length=1)]
    timestamp: Millis
    location: Gps = NOWHERE
    event_geographies: list[Uuid] = []
    trip_ids: list[Uuid] = []

    @model_validator(mode="after")
    def _is_possible(self) -> "ReportedEvent":
        wrong = sorted(set(self.event_types) - EVENTS_INTO[self.vehicle_state])
        if wrong:
            raise ValueError(f"event_types: {', '.join(wrong)} do not lead to {self.vehicle_state}")
        if "location" not in self.model_fields_set and not self.event_geographies:
            raise ValueError("location: an event has a location, or event_geographies")
        if "trip_ids" in self.model_fields_set and not self.trip_ids and not OF_TRIPS.isdisjoint(self.event_types):
            raise ValueError("trip_ids: this event is of a trip; name it")
        return self


class ReportedTrip(_Reported):
    """models/trip"""

    trip_id: Uuid
    trip_type: Annotated[list[Literal["private", "shared", "reservation", "empty"]], Field(min_length=1, max_length=1)]
    start_time: Millis
    end_time: Millis
    start_location: Gps
    end_location: Gps
    duration: Count
    distance: Count
    journey_id: Uuid = ""

    @model_validator(mode="after")
    def _goes_on(self) -> "ReportedTrip":
        if self.end_time < self.start_time:
            raise ValueError("end_time: the trip ends before it begins")
        return self


class ReportedTelemetry(_Reported):
    """models/telemetry"""

    telemetry_id: Uuid
    timestamp: Millis
    trip_ids: Annotated[list[Uuid], Field(min_length=1)] | None
    journey_id: Uuid | None
    location: Gps


class StopStatus(_Document):
    is_installed: bool
    is_renting: bool
    is_returning: bool


class ReportedStop(_Document):
    """models/stop"""

    stop_id: Uuid
    provider_id: Uuid
    last_updated: Millis
    name: Word
    location: Gps
    status: StopStatus
    capacity: Counts
    num_vehicles_available: Counts
    num_vehicles_disabled: Counts


MODELS: Mapping[str, type[_Document]] = {
    "vehicle": ReportedVehicle, "event": ReportedEvent, "trip": ReportedTrip, "telemetry": ReportedTelemetry,
    "stop": ReportedStop,
}  # fmt: skip


def fault_of(kind: str, item: Any) -> dict[str, Any] | None:
    """What is wrong with a document, as an entry of a bulk response's `failures`; None where all is well."""
    if not isinstance(item, dict):
        return failure(item, "bad_param", "a document is an object", ["(item)"])
    try:
        MODELS[kind].model_validate(item)
    except ValidationError as error:
        found = error.errors()
        missing = sorted({".".join(map(str, e["loc"])) for e in found if e["type"] == "missing"})
        if missing:
            return failure(item, "missing_param", "A required parameter is missing.", missing)
        told = sorted({".".join(map(str, e["loc"])) or e["msg"].split(": ")[0].split(", ")[-1] for e in found})
        return failure(item, "bad_param", "; ".join(sorted({e["msg"] for e in found})), told)
    return None


def failure(item: Any, error: str, description: str, details: list[str]) -> dict[str, Any]:
    """models/response/error_..."""
    return {"item": item, "error": error, "error_description": description, "error_details": details}
