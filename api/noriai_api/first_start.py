"""What a node has after its first start: a tenant, a region, and keys that are shown once.

With nothing configured the region is a made-up town whose vehicles move by themselves.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select

from noriai_api.access.clients import add_client, add_tenant
from noriai_api.access.decision import Subject
from noriai_api.settings import NodeSettings
from noriai_api.store.tables import operators, regions, riders, tenants, vehicles
from noriai_engine.model import Service
from noriai_engine.model.errors import InputError
from noriai_engine.regions import Region, open_region, write_region
from noriai_engine.rules.pack_file import check_versions, load_pack
from noriai_engine.rules.service_file import service_of
from noriai_engine.rules.tariff import FareTable, read_zones
from noriai_engine.rules.town_file import TownFile, load_town_file

SERVICE: TypeAdapter[Service] = TypeAdapter(Service)

DEMO_OPERATORS = {
    "taxi": {"name": "Town Taxi", "name_ja": "まちタクシー", "kind": "taxi"},
    "neighbours": {"name": "Neighbours' cars", "name_ja": "ご近所の車", "kind": "volunteer"},
}
DEMO_SERVICE: dict[str, Any] = {
    "max_wait_min": 20, "detour_factor": 1.6, "detour_extra_min": 8,
    "fare": {
        "distance": {"first_m": 2000, "first": 500, "step_m": 500, "step": 50, "most": 1500}, "rounding": 10,
        "shared_percent": 80, "entitlements": [{"name": "over75", "pays": 300}],
    },
}  # fmt: skip
_ALWAYS = {day: ["00:00", "24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


@dataclass(frozen=True)
class Prepared:
    """A region ready to be served, and the rows that make it so."""

    region: Region
    service: Service
    town: TownFile
    zones: dict[str, Any]
    packs: dict[str, list[dict[str, Any]]]
    """Licence class -> its packs, as they are to be kept: a changed file does not change a running town."""
    moves_itself: bool
    operators: dict[str, dict[str, Any]]
    vehicles: list[tuple[str, str, dict[str, Any]]]


def has_tenants(connection: Connection) -> bool:
    return connection.execute(select(tenants.c.tenant).limit(1)).first() is not None


def prepare(settings: NodeSettings) -> Prepared:
    """The region to serve at first start, built if it is to be made up. Raises InputError."""
    if settings.region is not None:
        region = open_region(settings.region.absolute())
        return Prepared(region, *_service(settings, region), False, {}, [])
    folder = (settings.data / "region").absolute()
    if not (folder / "region.toml").is_file():
        from noriai_engine.world.rural import rural_region

        write_region(rural_region(settings.seed), folder)
    region = open_region(folder)
    rng = np.random.default_rng([settings.seed, 1])
    fleet = _demo_fleet(region, settings.fleet, rng)
    return Prepared(region, *_service(settings, region), settings.moves_itself, DEMO_OPERATORS, fleet)


def write_first(
    connection: Connection, settings: NodeSettings, prepared: Prepared, new_secret: Callable[[], str], now: int
) -> dict[str, str]:
    """Tenant, region, fleet and clients in one transaction; returns each client's key, which nobody can show again."""
    tenant, region = settings.tenant, prepared.region
    add_tenant(connection, tenant, settings.tenant_name, now)
    add_region(connection, tenant, prepared, settings)
    for name, body in prepared.operators.items():
        connection.execute(insert(operators).values(tenant=tenant, operator=name, body=json.dumps(body)))
    for name, operator, body in prepared.vehicles:
        connection.execute(
            insert(vehicles).values(
                tenant=tenant, vehicle=name, region=region.name, operator=operator, body=json.dumps(body)
            )
        )
    rider = "rider-demo"
    connection.execute(insert(riders).values(tenant=tenant, rider=rider, client="partner", body=json.dumps({})))
    subjects = {
        "administrator": Subject(tenant, "administrator", "administrator"),
        "desk": Subject(tenant, "desk", "dispatcher"),
        "partner": Subject(tenant, "partner", "partner"),
        "planner": Subject(tenant, "planner", "planner"),
        "resident": Subject(tenant, "resident", "resident", rider=rider),
    }
    for name in prepared.operators:
        subjects[f"dispatcher-{name}"] = Subject(tenant, f"dispatcher-{name}", "dispatcher", operator=name)
    if prepared.vehicles:
        name, operator, _ = prepared.vehicles[0]
        subjects[f"vehicle-{name}"] = Subject(tenant, f"vehicle-{name}", "vehicle", operator, vehicle=name)
    return {name: add_client(connection, s, name, new_secret(), now) for name, s in subjects.items()}


def add_region(connection: Connection, tenant: str, prepared: Prepared, settings: NodeSettings) -> None:
    """A region with its rules."""
    body = {
        "title": prepared.region.title, "service": SERVICE.dump_python(prepared.service, mode="json"),
        "moves_itself": prepared.moves_itself, "zones": prepared.zones,
        "fare": _dumped(prepared.town.fare), "taxi_fare": _dumped(prepared.town.taxi_fare),
        "law": {
            "licences": prepared.packs, "holidays": [day.isoformat() for day in prepared.town.holidays],
            "cash": prepared.town.cash, "fares_posted": prepared.town.fares_posted,
            "taxis_of_area": prepared.town.taxis_of_area, "declared_number": prepared.town.declared_number,
        },
    }  # fmt: skip
    connection.execute(
        insert(regions).values(
            tenant=tenant, region=prepared.region.name, folder=str(prepared.region.folder),
            checksum=prepared.region.checksum, body=json.dumps(body),
        )
    )  # fmt: skip


def _dumped(fare: FareTable | None) -> dict[str, Any] | None:
    return None if fare is None else fare.model_dump(mode="json")


def _service(
    settings: NodeSettings, region: Region
) -> tuple[Service, TownFile, dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Limits, fares and rules: of the town's file, or those of the made-up town."""
    if settings.service is None:
        town, base = TownFile.model_validate(DEMO_SERVICE), Path()
    else:
        town, base = load_town_file(settings.service), settings.service.parent

    def locate(reference: str) -> Path:
        return base / reference

    zones: dict[str, Any] = {}
    for fare in (town.fare, town.taxi_fare):
        zones |= {} if fare is None else read_zones(fare, locate)
    packs: dict[str, list[dict[str, Any]]] = {}
    for licence in town.licences:
        loaded = [load_pack(name, base) for name in licence.packs]
        check_versions(loaded, f"licence {licence.id}")
        packs[licence.id] = [pack.model_dump(mode="json") for pack in loaded]
    return service_of(town, region, locate), town, zones, packs


def _demo_fleet(region: Region, count: int, rng: np.random.Generator) -> list[tuple[str, str, dict[str, Any]]]:
    """Vehicles where people live, two thirds of them taxis, every third of those with a wheelchair place."""
    people = region.population
    if people is None:
        raise InputError("has no population to place a fleet by", where=f"region {region.name}", remedy="add vehicles")
    drawn = rng.choice(len(people.people), count, p=people.people / people.people.sum())
    lon, lat = region.snapper.on_street(people.lon[drawn], people.lat[drawn])
    fleet = []
    for k in range(count):
        operator, kind = ("neighbours", "volunteer") if k % 3 == 2 else ("taxi", "taxi")
        layouts = [{"seats": 4, "wheelchairs": 0, "luggage": 2}]
        if k % 3 == 0:
            layouts.append({"seats": 2, "wheelchairs": 1, "luggage": 2})
        body = {
            "region": region.name, "operator": operator, "kind": kind, "layouts": layouts,
            "depot": [round(float(lon[k]), 6), round(float(lat[k]), 6), ""],
            "shifts": _ALWAYS, "breaks": [], "skills": [],
        }  # fmt: skip
        fleet.append((f"{operator}-{k + 1}", operator, body))
    return fleet
