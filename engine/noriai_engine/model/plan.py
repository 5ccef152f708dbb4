"""The one plan representation: what a vehicle is going to do, and what it has driven."""

from dataclasses import dataclass
from enum import IntEnum

from noriai_engine.model.places import Place, Spot
from noriai_engine.model.resources import Resources
from noriai_engine.model.units import OperatorId, RequestId, UtcMs, VehicleId


class ActivityKind(IntEnum):
    """What happens at a row of a plan. POSITION is where the vehicle is free next, END its return."""

    POSITION = 0
    PICKUP = 1
    DROPOFF = 2
    BREAK = 3
    END = 4


@dataclass(frozen=True, slots=True)
class Stop:
    """Where an activity takes place: a spot on the road graph and its coordinates."""

    spot: Spot
    place: Place


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing to do at a stop. `begin` is the planned start of boarding, alighting or break (UTC ms)."""

    kind: ActivityKind
    stop: Stop
    request_id: RequestId | None
    earliest: UtcMs
    latest: UtcMs
    begin: UtcMs
    service_ms: int
    drive_ms: int
    """Driving time from the activity before."""
    locked: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A vehicle's coming activities in order, from its next free position to the return to the depot."""

    vehicle_id: VehicleId
    version: int
    activities: tuple[Activity, ...]
    aboard: Resources


@dataclass(frozen=True, slots=True)
class Leg:
    """A drive without a stop. `diverted` means that a new plan cut it short on the way.

    `states` are the directed streets it drives, from `source_ms` along the first to `target_ms` along the last.
    """

    vehicle_id: VehicleId
    operator_id: OperatorId
    depart: UtcMs
    arrive: UtcMs
    states: tuple[int, ...]
    source_ms: int
    target_ms: int
    distance_mm: int
    purpose: str
    aboard: Resources
    request_ids: tuple[RequestId, ...]
    diverted: bool
