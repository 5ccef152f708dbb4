"""A service day as its log has it: events, vehicles, requests, legs, in the order they came."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.runtime.changes import DayState, events_of
from noriai_api.runtime.records import REQUEST
from noriai_api.store.tables import log
from noriai_engine.dispatch.records import vehicle_from_json
from noriai_engine.model import Event, Leg, Request, Resources, UtcMs, Vehicle
from noriai_engine.model.units import OperatorId, RequestId, VehicleId


@dataclass(frozen=True)
class DayLog:
    """What happened on a day."""

    day: str
    events: tuple[Event, ...]
    vehicles: tuple[Vehicle, ...]
    requests: tuple[Request, ...]
    legs: tuple[Leg, ...]


def read_day(connection: Connection, tenant: str, region: str, day: str) -> DayLog:
    """A day from the log; empty where it was never opened."""
    mine = (log.c.tenant == tenant, log.c.region == region, log.c.day == day)
    rows = connection.execute(select(log.c.time, log.c.body).where(*mine).order_by(log.c.sequence)).all()
    bodies, state = [], DayState()
    for row in rows:
        body = json.loads(row.body)
        bodies.append(body)
        state.fold(body, row.time)
    fleet = [vehicle_from_json(v) for v in [*state.opened.get("vehicles", ()), *state.joined]]
    requests = [REQUEST.validate_python(record["request"]) for record in state.requests.values()]
    legs = [_leg(leg) for body in bodies for leg in body["legs"]]
    legs.sort(key=lambda leg: (leg.depart, leg.vehicle_id, leg.arrive))
    return DayLog(day, tuple(events_of(bodies)), tuple(fleet), tuple(requests), tuple(legs))


def _leg(values: dict[str, Any]) -> Leg:
    """A leg without the streets it took: the log keeps how many they were."""
    return Leg(
        VehicleId(values["vehicle_id"]), OperatorId(values["operator_id"]), UtcMs(values["depart"]),
        UtcMs(values["arrive"]), (), values["source_ms"], values["target_ms"], values["distance_mm"],
        values["purpose"], Resources(**values["aboard"]), tuple(RequestId(r) for r in values["request_ids"]),
        values["diverted"],
    )  # fmt: skip
