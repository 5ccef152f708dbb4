"""The event log: append-only, typed, versioned. Only events change state; KPIs are functions of events."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from noriai_engine.model.lifecycle import TRANSITIONS
from noriai_engine.model.places import Spot
from noriai_engine.model.units import UtcMs

EVENT_SCHEMA_VERSION = 2

EVENT_KINDS: dict[str, str] = {
    "request_received": "a wish reached us",
    "request_refused": "nobody could serve it: reason, nearest feasible time, vehicles dropped by each sieve",
    "offer_lapsed": "offers were made and none was taken in time",
    "booking_accepted": "an offer became a promise: windows, ride limit, added driving time, runner-up",
    "plan_changed": "a vehicle's list of activities after a decision",
    "shift_started": "the vehicle is on duty at its depot",
    "shift_ended": "the vehicle is back at its depot",
    "vehicle_departed": "the vehicle leaves a stop for the next",
    "vehicle_diverted": "a new plan turned the vehicle on its way",
    "vehicle_arrived": "the vehicle stands at a stop",
    "pickup_started": "boarding begins",
    "picked_up": "boarding is over, the vehicle may leave",
    "dropoff_started": "alighting begins: the end of the ride",
    "dropped_off": "alighting is over",
    "break_started": "the driver's break begins",
    "break_ended": "the driver's break is over",
    "booking_cancelled": "the rider or the desk gave the booking up before boarding",
    "no_show": "the vehicle was there, the rider was not",
    "booking_moved": "another vehicle, or other places in the same plan: from whom, why",
    "booking_pinned": "an operator wants the booking to stay with its vehicle, or no longer",
    "promise_broken": "the world made a promise impossible: the old and the new time, the cause",
    "booking_unassigned": "its vehicle can serve it no longer, and no other can now: one is looked for, until when",
    "booking_dropped": "no vehicle could take over: the rider must be told by a person",
    "ride_interrupted": "the vehicle failed with the rider aboard",
    "vehicle_delayed": "the vehicle is free later than planned",
    "vehicle_failed": "the vehicle or its driver is out of service",
    "vehicle_blocked": "the vehicle takes no new riders, or takes them again",
    "vehicle_resumed": "a vehicle that failed runs again",
    "vehicle_joined": "a vehicle joins the fleet",
    "shift_changed": "the shift ends at another time",
    "charge_changed": "another charge is left in the vehicle's battery than thought",
    "charge_short": "the vehicle will use its battery's reserve: nobody else can be spared",
    "depot_moved": "the depot is cut off: the vehicle waits and ends elsewhere; or it can be reached again",
    "traffic_changed": "other travel times are in force",
}
assert {event for _, event in TRANSITIONS} <= set(EVENT_KINDS)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. `sequence` counts from 0 within a run; `details` is canonical JSON (sorted keys, no blanks).
    `state` and `offset_ms` are the spot where it happened."""

    sequence: int
    time: UtcMs
    kind: str
    request_id: str | None
    vehicle_id: str | None
    operator_id: str | None
    state: int | None
    offset_ms: int | None
    reason: str | None
    details: str | None


class EventLog:
    """Keeps events in order of `sequence`, times never falling."""

    def __init__(self, first: int = 0, last_time: UtcMs | None = None) -> None:
        """`first` and `last_time`: number of the next event and instant of the last one, of a log kept elsewhere."""
        self._events: list[Event] = []
        self._first, self._last_time = first, last_time

    def copy(self) -> "EventLog":
        """A log that goes on by itself from here."""
        twin = EventLog(self._first, self._last_time)
        twin._events = list(self._events)
        return twin

    def take(self) -> list[Event]:
        """Events since the last call, which the log forgets: somebody else keeps them."""
        taken, self._events = self._events, []
        self._first += len(taken)
        return taken

    def append(
        self,
        time: UtcMs,
        kind: str,
        *,
        request_id: str | None = None,
        vehicle_id: str | None = None,
        operator_id: str | None = None,
        spot: Spot | None = None,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Event:
        if kind not in EVENT_KINDS:
            raise ValueError(f"{kind!r} is no event; the table EVENT_KINDS lists them")
        if self._last_time is not None and time < self._last_time:
            raise ValueError(f"{kind} at {time} ms comes before the last event at {self._last_time} ms")
        text = None if details is None else json.dumps(details, sort_keys=True, separators=(",", ":"))
        state, offset = (None, None) if spot is None else spot
        event = Event(
            self._first + len(self._events),
            time,
            kind,
            request_id,
            vehicle_id,
            operator_id,
            state,
            offset,
            reason,
            text,
        )
        self._events.append(event)
        self._last_time = time
        return event

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)
