"""MDS 2.0 passenger services: vehicles, events, trips and telemetry for the authority, from our own event log.

States of a vehicle move by the table of the specification (passenger-services state machine) only. Ids that MDS wants
as UUIDs are made from ours by name (UUIDv5), so the same log gives the same documents.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID, uuid5

from noriai_engine.model import Place, Request, Vehicle
from noriai_engine.model.events import Event

NAMESPACE = UUID("6f0b8f5e-3a52-5c0e-9d1c-1b7f6e0a7a11")
LEGAL = {
    ("non_operational", "service_start"): "available",
    ("available", "service_end"): "non_operational",
    ("available", "reservation_start"): "reserved",
    ("reserved", "reservation_stop"): "stopped",
    ("reserved", "passenger_cancellation"): "available",
    ("reserved", "provider_cancellation"): "available",
    ("stopped", "trip_start"): "on_trip",
    ("stopped", "trip_resume"): "on_trip",
    ("stopped", "trip_end"): "available",
    ("stopped", "passenger_cancellation"): "available",
    ("stopped", "provider_cancellation"): "available",
    ("on_trip", "trip_stop"): "stopped",
}
"""(state, event) -> next state: the rows of the specification that our vehicles use."""


class PlaceOf(Protocol):
    """Where an event happened, None where the log does not say."""

    def __call__(self, event: Event) -> Place | None: ...


class MetresOf(Protocol):
    """How far a vehicle drove between two events."""

    def __call__(self, begin: Event, end: Event) -> int: ...


@dataclass
class _State:
    place: Place
    state: str = "non_operational"
    aboard: set[str] = field(default_factory=set)
    assigned: set[str] = field(default_factory=set)


class Authority:
    """Documents for one provider. `places` gives where an event happened, `requests` what was asked."""

    def __init__(self, provider: str, vehicles: Iterable[Vehicle], requests: Iterable[Request]) -> None:
        self.provider_id = str(uuid5(NAMESPACE, provider))
        self._vehicles: dict[str, Vehicle] = {vehicle.id: vehicle for vehicle in vehicles}
        self._requests: dict[str, Request] = {request.id: request for request in requests}

    def uuid(self, kind: str, name: str) -> str:
        """The UUID of one of our ids."""
        return str(uuid5(UUID(self.provider_id), f"{kind}:{name}"))

    def vehicle(self, vehicle: Vehicle) -> dict[str, Any]:
        """models/vehicle."""
        chair = any(lay.wheelchairs for lay in vehicle.layouts)
        return {
            "device_id": self.uuid("vehicle", vehicle.id), "provider_id": self.provider_id, "vehicle_id": vehicle.id,
            "vehicle_type": "bus" if max(lay.seats for lay in vehicle.layouts) > 9 else "car",
            "propulsion_types": ["combustion"], "vehicle_attributes": {"placard_number": vehicle.id},
            "accessibility_attributes": ["wheelchair_accessible"] if chair else [],
        }  # fmt: skip

    def events(self, log: Iterable[Event], place_of: PlaceOf) -> Iterator[dict[str, Any]]:
        """models/event for each change of a vehicle's state, in the order of the log."""
        states = {name: _State(vehicle.depot) for name, vehicle in self._vehicles.items()}
        for event in log:
            if event.vehicle_id is None or event.vehicle_id not in states:
                continue
            vehicle = states[event.vehicle_id]
            vehicle.place = place_of(event) or vehicle.place
            if event.kind in ("booking_moved", "booking_unassigned", "booking_dropped"):
                yield from self._taken_away(states, event)
            for name, trips in self._steps(vehicle, event):
                yield self._event(event, name, vehicle, trips)

    def _taken_away(self, states: dict[str, _State], event: Event) -> Iterator[dict[str, Any]]:
        """A booking leaves whoever had it; a vehicle reserved for it alone is free again."""
        rider = event.request_id or ""
        for name, vehicle in states.items():
            if rider in vehicle.assigned and (name != event.vehicle_id or event.kind != "booking_moved"):
                vehicle.assigned.discard(rider)
                if vehicle.state == "reserved" and not vehicle.assigned:
                    vehicle.state = LEGAL[vehicle.state, "provider_cancellation"]
                    yield self._event(replace(event, vehicle_id=name), "provider_cancellation", vehicle, [rider])

    def _steps(self, vehicle: _State, event: Event) -> Iterator[tuple[str, list[str]]]:
        """MDS events that one of ours brings, with the trips concerned; the state moves with each."""
        rider = event.request_id or ""

        def step(name: str) -> bool:
            following = LEGAL.get((vehicle.state, name))
            if following is not None:
                vehicle.state = following
            return following is not None

        if event.kind == "shift_started" and step("service_start"):
            yield "service_start", []
            if vehicle.assigned and step("reservation_start"):
                yield "reservation_start", sorted(vehicle.assigned)
        elif event.kind in ("booking_accepted", "booking_moved"):
            vehicle.assigned.add(rider)
            if vehicle.state == "available" and step("reservation_start"):
                yield "reservation_start", [rider]
        elif event.kind in ("pickup_started", "dropoff_started"):
            name = "trip_stop" if vehicle.aboard else "reservation_stop"
            if step(name):
                yield name, sorted(vehicle.aboard) or [rider]
        elif event.kind == "picked_up":
            name = "trip_resume" if vehicle.aboard else "trip_start"
            vehicle.aboard.add(rider)
            vehicle.assigned.discard(rider)
            if step(name):
                yield name, sorted(vehicle.aboard)
        elif event.kind == "dropped_off":
            vehicle.aboard.discard(rider)
            if vehicle.aboard:
                if step("trip_resume"):
                    yield "trip_resume", sorted(vehicle.aboard)
            elif step("trip_end"):
                yield "trip_end", [rider]
                if vehicle.assigned and step("reservation_start"):
                    yield "reservation_start", sorted(vehicle.assigned)
        elif event.kind in ("booking_cancelled", "no_show"):
            vehicle.assigned.discard(rider)
            name = "passenger_cancellation" if event.kind == "booking_cancelled" else "provider_cancellation"
            if vehicle.state == "stopped" and vehicle.aboard:
                if step("trip_resume"):
                    yield "trip_resume", sorted(vehicle.aboard)
            elif not vehicle.assigned and vehicle.state in ("reserved", "stopped") and step(name):
                yield name, [rider]
        elif event.kind == "shift_ended" and step("service_end"):
            yield "service_end", []

    def _event(self, event: Event, name: str, vehicle: _State, trips: list[str]) -> dict[str, Any]:
        place = vehicle.place
        out: dict[str, Any] = {
            "device_id": self.uuid("vehicle", event.vehicle_id or ""), "provider_id": self.provider_id,
            "event_id": self.uuid("event", f"{event.sequence}:{name}"), "vehicle_state": vehicle.state,
            "event_types": [name], "timestamp": int(event.time), "publication_time": int(event.time),
            "location": {"lat": place.lat, "lng": place.lon},
        }  # fmt: skip
        if trips:
            out["trip_ids"] = [self.uuid("trip", trip) for trip in trips]
        return out

    def trips(self, log: Iterable[Event], place_of: PlaceOf, metres_of: MetresOf) -> Iterator[dict[str, Any]]:
        """models/trip for each ride that was completed."""
        booked: dict[str, Event] = {}
        began: dict[str, Event] = {}
        shared: set[str] = set()
        aboard: dict[str, set[str]] = {}
        for event in log:
            rider, vehicle = event.request_id, event.vehicle_id
            if rider is None or vehicle is None:
                continue
            if event.kind == "booking_accepted":
                booked[rider] = event
            elif event.kind == "picked_up":
                began[rider] = event
                aboard.setdefault(vehicle, set()).add(rider)
                if len(aboard[vehicle]) > 1:
                    shared |= aboard[vehicle]
            elif event.kind == "dropped_off" and rider in began:
                aboard.get(vehicle, set()).discard(rider)
                yield self._trip(rider, booked[rider], began.pop(rider), event, rider in shared, place_of, metres_of)

    def _trip(
        self, rider: str, booked: Event, begin: Event, end: Event, shared: bool, place_of: PlaceOf,
        metres_of: MetresOf,
    ) -> dict[str, Any]:  # fmt: skip
        request = self._requests[rider]
        start, stop = place_of(begin) or request.origin, place_of(end) or request.destination
        planned = json.loads(booked.details or "{}").get("planned", [int(begin.time)])
        return {
            "provider_id": self.provider_id, "device_id": self.uuid("vehicle", end.vehicle_id or ""),
            "trip_id": self.uuid("trip", rider), "trip_type": ["shared" if shared else "reservation"],
            "trip_attributes": {
                "hail_type": "phone_dispatch", "passenger_count": request.party.riders,
                "requested_time": int(request.placed_at), "quoted_trip_start_time": int(planned[0]),
                "dispatch_time": int(booked.time), "wheelchair_transported": request.party.wheelchairs > 0,
            },
            "fare_attributes": {"payment_type": "cash", "fare_type": "flat_rate"},
            "start_time": int(begin.time), "end_time": int(end.time),
            "start_location": {"lat": start.lat, "lng": start.lon}, "end_location": {"lat": stop.lat, "lng": stop.lon},
            "duration": (int(end.time) - int(begin.time)) // 1000, "distance": metres_of(begin, end),
        }  # fmt: skip

    def telemetry(
        self, vehicle_id: str, time_ms: int, place: Place, aboard: "Aboard", speed_mps: float | None = None,
        heading: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """models/telemetry."""
        riders, first = aboard.at(vehicle_id, time_ms)
        location = {"lat": place.lat, "lng": place.lon, "speed": speed_mps, "heading": heading}
        return {
            "device_id": self.uuid("vehicle", vehicle_id), "provider_id": self.provider_id,
            "telemetry_id": self.uuid("telemetry", f"{vehicle_id}:{time_ms}"), "timestamp": time_ms,
            "trip_ids": [self.uuid("trip", rider) for rider in riders] or None,
            "journey_id": self.uuid("journey", f"{vehicle_id}:{first}") if riders else None,
            "location": {name: value for name, value in location.items() if value is not None},
        }  # fmt: skip


class Aboard:
    """Who was aboard of which vehicle when, from the log. Rides that overlap are one journey."""

    def __init__(self, log: Iterable[Event]) -> None:
        self._rides: dict[str, list[list[Any]]] = {}
        """Vehicle -> [boarded, alighted (None: not yet), rider, first rider of the journey], as they boarded."""
        for event in log:
            rides = self._rides.setdefault(event.vehicle_id or "", [])
            if event.kind == "picked_up":
                fellow = next((ride for ride in rides if ride[1] is None), None)
                first = event.request_id if fellow is None else fellow[3]
                rides.append([int(event.time), None, event.request_id, first])
            elif event.kind == "dropped_off":
                for ride in rides:
                    if ride[2] == event.request_id:
                        ride[1] = int(event.time)

    def at(self, vehicle: str, time: int) -> tuple[list[str], str | None]:
        """Riders aboard at an instant, both ends of a ride included, and the one whose name the journey has."""
        found = [r for r in self._rides.get(vehicle, []) if r[0] <= time and (r[1] is None or time <= r[1])]
        last = found[-1][3] if found else None
        return [ride[2] for ride in found if ride[3] == last], last
