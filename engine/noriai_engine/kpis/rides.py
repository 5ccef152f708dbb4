"""What became of each request, folded from the event log by the lifecycle table."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from noriai_engine.model.events import Event
from noriai_engine.model.lifecycle import BookingState, next_state
from noriai_engine.model.requests import Request
from noriai_engine.model.units import UtcMs


@dataclass(frozen=True, slots=True)
class Ride:
    """A request and its story; times are UTC ms, None where it did not come to that."""

    request: Request
    state: BookingState = BookingState.WAITING_FOR_ANSWER
    reason: str | None = None
    nearest: UtcMs | None = None
    vehicle_id: str | None = None
    operator_id: str | None = None
    direct_ms: int | None = None
    promised_pickup: tuple[UtcMs, UtcMs] | None = None
    promised_dropoff: tuple[UtcMs, UtcMs] | None = None
    max_ride_ms: int | None = None
    walk_ms: int = 0
    """To the stop and from the stop."""
    pickup: UtcMs | None = None
    departure: UtcMs | None = None
    arrival: UtcMs | None = None

    @property
    def wait_ms(self) -> int | None:
        """From the wished departure to the start of boarding; None for a wished arrival or no ride."""
        if self.pickup is None or self.request.earliest_pickup is None:
            return None
        return self.pickup - self.request.earliest_pickup

    @property
    def late_ms(self) -> int:
        """How much later than promised at booking the rider was picked up or set down, whichever is more; 0 if not."""
        ends = ((self.pickup, self.promised_pickup), (self.arrival, self.promised_dropoff))
        return max([0, *(at - promised[1] for at, promised in ends if at is not None and promised is not None)])

    @property
    def is_kept(self) -> bool:
        """Picked up, carried and set down within what was promised at booking."""
        return self.late_ms == 0 and (self.ride_ms or 0) <= (self.max_ride_ms or 0)

    @property
    def ride_ms(self) -> int | None:
        return None if self.arrival is None or self.departure is None else self.arrival - self.departure


def rides_of(requests: Iterable[Request], events: Iterable[Event]) -> dict[str, Ride]:
    """Every request's story, in the order of `requests`. Raises ValueError where the log breaks the lifecycle."""
    stories: dict[str, Ride] = {request.id: Ride(request) for request in requests}
    seen: set[str] = set()
    for event in events:
        if event.request_id is None:
            continue
        ride = stories[event.request_id]
        before = ride.state if event.request_id in seen else None
        seen.add(event.request_id)
        ride = replace(ride, state=next_state(before, event.kind))
        if event.kind == "request_refused":
            nearest = json.loads(event.details or "{}").get("nearest")
            ride = replace(ride, reason=event.reason, nearest=nearest)
        elif event.kind == "booking_accepted":
            details = json.loads(event.details or "{}")
            ride = replace(
                ride,
                vehicle_id=event.vehicle_id,
                operator_id=event.operator_id,
                direct_ms=details["direct_ms"],
                promised_pickup=tuple(details["pickup"]),
                promised_dropoff=tuple(details["dropoff"]),
                max_ride_ms=details["max_ride_ms"],
                walk_ms=sum(details["walk_ms"]),
            )
        elif event.kind == "booking_moved":
            ride = replace(ride, vehicle_id=event.vehicle_id, operator_id=event.operator_id)
        elif event.kind == "pickup_started":
            ride = replace(ride, pickup=ride.pickup or event.time)  # the first: a failure may interrupt the ride
        elif event.kind == "picked_up":
            ride = replace(ride, departure=ride.departure or event.time)
        elif event.kind == "dropoff_started":
            ride = replace(ride, arrival=event.time)
        stories[event.request_id] = ride
    return stories
