"""Operators and vehicles in the store, and which of them serve on a day.

A vehicle keeps weekly shifts; a day's `Vehicle` values are made from them when the day is opened.
"""

import json
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.access.decision import Grant
from noriai_api.runtime.legality import Legality
from noriai_api.store.tables import operators, vehicles
from noriai_engine.model import Battery, Break, Place, Resources, ServiceDay, Shift, Vehicle
from noriai_engine.model.units import OperatorId, VehicleId

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def vehicle_on(
    name: str, operator: str, body: dict[str, Any], day: ServiceDay, legality: Legality | None = None
) -> Vehicle | None:
    """The vehicle as it serves on a day, marked by what its licence lets it do; None where it has no shift then, or is
    blocked."""
    hours = body.get("dates", {}).get(day.date.isoformat()) or body["shifts"].get(WEEKDAYS[day.date.weekday()])
    if hours is None or body.get("blocked"):
        return None
    pauses = tuple(
        Break(day.at(p["between"][0]), day.at(p["between"][1]), round(p["minutes"] * 60_000))
        for p in body.get("breaks", ())
    )
    return Vehicle(
        VehicleId(name), OperatorId(operator), body["kind"], tuple(Resources(**x) for x in body["layouts"]),
        Shift(day.at(hours[0]), day.at(hours[1])), Place(*body["depot"]), pauses, body.get("autonomous", False),
        (*body.get("skills", ()), *(legality.skills_of(body.get("licence")) if legality is not None else ())),
        Battery(**battery) if (battery := body.get("battery")) is not None else None,
    )  # fmt: skip


def fleet_on(
    connection: Connection, tenant: str, region: str, day: ServiceDay, legality: Legality | None = None
) -> list[Vehicle]:
    """All vehicles that serve a region on a day, by id."""
    query = (
        select(vehicles).where(vehicles.c.tenant == tenant, vehicles.c.region == region).order_by(vehicles.c.vehicle)
    )
    rows = connection.execute(query).mappings()
    made = (vehicle_on(row["vehicle"], row["operator"], json.loads(row["body"]), day, legality) for row in rows)
    return [vehicle for vehicle in made if vehicle is not None]


def operators_of(connection: Connection, grant: Grant) -> dict[str, dict[str, Any]]:
    """A tenant's operators by id."""
    rows = connection.execute(select(operators).where(operators.c.tenant == grant.tenant)).mappings()
    return {row["operator"]: json.loads(row["body"]) for row in rows}
