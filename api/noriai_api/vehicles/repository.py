"""Vehicles in the store."""

import json
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.access.decision import Grant
from noriai_api.problems import Problem
from noriai_api.store.tables import vehicles
from noriai_api.tenancy import narrowed


def row_of(connection: Connection, grant: Grant, vehicle: str) -> dict[str, Any]:
    """A vehicle within reach. Raises Problem (not_found)."""
    query = narrowed(select(vehicles).where(vehicles.c.vehicle == vehicle), vehicles, grant)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise Problem("not_found", f"no vehicle {vehicle}")
    return {**row, "body": json.loads(row["body"])}


def regions_of(connection: Connection, tenant: str) -> dict[str, tuple[str, str]]:
    """Region and operator of each of a tenant's vehicles."""
    query = select(vehicles.c.vehicle, vehicles.c.region, vehicles.c.operator).where(vehicles.c.tenant == tenant)
    return {vehicle: (region, operator) for vehicle, region, operator in connection.execute(query)}
