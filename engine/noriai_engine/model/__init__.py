"""Domain objects in the field's terms, shared by dispatcher, simulator, checker tests and (later) the API."""

from noriai_engine.model.clock import Clock, ServiceDay, VirtualClock
from noriai_engine.model.errors import InputError, NoriaiError, RowError
from noriai_engine.model.events import Event, EventLog
from noriai_engine.model.fleet import Battery, Break, Operator, Shift, Vehicle
from noriai_engine.model.ids import IdSource
from noriai_engine.model.lifecycle import BookingState, next_state
from noriai_engine.model.places import Place, Spot
from noriai_engine.model.plan import Activity, Leg, Plan, Stop
from noriai_engine.model.requests import Booking, Offer, Quote, Refusal, Request, RiderNeeds, TimeWindow
from noriai_engine.model.resources import RESOURCE_NAMES, Resources
from noriai_engine.model.service import Service
from noriai_engine.model.units import DayMs, UtcMs

__all__ = [
    "RESOURCE_NAMES",
    "Activity",
    "Battery",
    "Booking",
    "BookingState",
    "Break",
    "Clock",
    "DayMs",
    "Event",
    "EventLog",
    "IdSource",
    "InputError",
    "Leg",
    "NoriaiError",
    "Offer",
    "Operator",
    "Place",
    "Plan",
    "Quote",
    "Refusal",
    "Request",
    "Resources",
    "RiderNeeds",
    "RowError",
    "Service",
    "ServiceDay",
    "Shift",
    "Spot",
    "Stop",
    "TimeWindow",
    "UtcMs",
    "Vehicle",
    "VirtualClock",
    "next_state",
]
