"""Writing operators, vehicles, drivers and riders so that every process that must hears of it."""

from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, delete

from noriai_api.access.decision import Grant
from noriai_api.holding.leases import signal
from noriai_api.parties import repository
from noriai_api.store import tables

TABLES = {"operators": tables.operators, "vehicles": tables.vehicles, "drivers": tables.drivers,
          "riders": tables.riders}  # fmt: skip


def write(
    connection: Connection, grant: Grant, what: str, name: str, body: BaseModel, now: int, **columns: str
) -> bool:
    """Write a party under an id; True where it is new. Raises Problem (not_found)."""
    is_new = repository.put(
        connection, TABLES[what], grant, name, stored(what, body), **columns_of(what, body), **columns
    )
    for subject in others_learn(what, grant.tenant, {getattr(body, "region", "")}):
        signal(connection, what, subject, now)
    return is_new


def columns_of(what: str, body: BaseModel) -> dict[str, str]:
    """What of a body stands in columns of its own."""
    own = {"vehicles": ("region", "operator"), "drivers": ("operator",)}
    return {column: getattr(body, column) for column in own.get(what, ())}


def end(connection: Connection, grant: Grant, what: str, name: str, now: int) -> None:
    """A driver or vehicle that was here for a time is here no longer: it comes on duty no more. Where it is on duty, it
    stays until its shift is over."""
    table = TABLES[what]
    column = table.c.driver if what == "drivers" else table.c.vehicle
    if what == "drivers":
        connection.execute(delete(table).where(table.c.tenant == grant.tenant, column == name))
        return
    body = repository.one(connection, table, grant, name)
    region = body["region"]
    kept = {k: v for k, v in body.items() if k != "vehicle"} | {"dates": {}, "shifts": {}}
    repository.put(connection, table, grant, name, kept, region=region, operator=body["operator"])
    signal(connection, what, f"{grant.tenant}/{region}", now)


def stored(what: str, body: BaseModel) -> dict[str, Any]:
    """A body as it is kept."""
    values = body.model_dump(mode="json")
    if what == "vehicles":
        values["depot"] = [values["depot"]["lon"], values["depot"]["lat"], values["depot"]["name"]]
    return values


def others_learn(what: str, tenant: str, regions: set[str]) -> list[str]:
    """What processes that remember operators, or hold a vehicle's region, must hear of."""
    if what == "vehicles":
        return sorted(f"{tenant}/{region}" for region in regions)
    return [tenant] if what == "operators" else []
