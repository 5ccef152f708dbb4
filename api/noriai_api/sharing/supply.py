"""Capacity as records to share: how many vehicles are on duty in a mesh of 1 km in an hour, of which kind, and what
they hold. Published for the hour that begins; nothing of a vehicle, a driver or a plan is in it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from noriai_api.exchange import catalogue, data_plane
from noriai_api.exchange.processes import Here
from noriai_api.exchange.service import Exchange, log
from noriai_api.parties.fleet import fleet_on
from noriai_api.sharing.demand import mesh_of
from noriai_api.store.exchange_tables import cursors
from noriai_engine.model import ServiceDay, Vehicle

HOUR_MS = 3_600_000
LOOK_S = 5.0

Regions = dict[str, str]
"""Region -> its time zone."""


def dataset_of(tenant: str) -> str:
    return f"urn:noriai:dataset:{tenant}:supply"


def publishing_supply(
    regions: Callable[[str], Regions], areas: tuple[str, ...]
) -> Callable[[Exchange], Awaitable[None]]:
    """A worker of the exchange: once the dataset is offered, every hour's capacity joins it. `regions`: of a tenant."""

    async def publish(exchange: Exchange) -> None:
        def look(connection: Connection) -> bool:
            return is_due(connection, exchange.here(), regions(exchange.tenant))

        def add(connection: Connection, here: Here) -> int:
            return add_hour(connection, here, exchange.upsert, regions(exchange.tenant), areas)

        while True:
            try:
                if await exchange.read(look):
                    await exchange.change(add)
            except Exception as error:  # the store is down: the next look tries again
                log.warning("supply is published later", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    return publish


def is_due(connection: Connection, here: Here, regions: Regions) -> bool:
    """True where the dataset is offered and this hour of a region is not in it."""
    if catalogue.described(connection, here.tenant, dataset_of(here.tenant)) is None:
        return False
    return any(_last(connection, here, region) < here.now // HOUR_MS for region in regions)


def add_hour(
    connection: Connection, here: Here, upsert: Callable[[Any], Any], regions: Regions, areas: tuple[str, ...]
) -> int:
    """Records of the hour that is now; how many."""
    hour, made = here.now // HOUR_MS, []
    for region, timezone in sorted(regions.items()):
        if _last(connection, here, region) < hour:
            date = datetime.fromtimestamp(here.now / 1000, UTC).astimezone(ZoneInfo(timezone)).date()
            fleet = fleet_on(connection, here.tenant, region, ServiceDay(date, timezone))
            made += list(_records(fleet, hour * HOUR_MS, areas))
            row = {"tenant": here.tenant, "name": f"supply:{region}", "value": hour}
            connection.execute(upsert(cursors), [row])
    data_plane.add_records(connection, here.tenant, dataset_of(here.tenant), made)
    return len(made)


def _records(fleet: Iterable[Vehicle], begin: int, areas: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    """Vehicles whose shift covers some of the hour, by mesh and kind."""
    found: dict[tuple[int, str], list[Vehicle]] = defaultdict(list)
    for vehicle in fleet:
        if vehicle.shift.start < begin + HOUR_MS and vehicle.shift.end > begin:
            found[mesh_of(vehicle.depot.lon, vehicle.depot.lat), vehicle.kind].append(vehicle)
    for (mesh, kind), vehicles in sorted(found.items()):
        layouts = [max(v.layouts, key=lambda layout: (layout.seats, layout.wheelchairs)) for v in vehicles]
        body = {
            "kind": kind, "vehicles": len(vehicles), "seats": sum(layout.seats for layout in layouts),
            "wheelchairs": sum(max(x.wheelchairs for x in v.layouts) for v in vehicles), "at": f"mesh:{mesh}",
        }  # fmt: skip
        yield {"time": begin, "area": (f"mesh:{mesh}", *areas), "body": body}


def _last(connection: Connection, here: Here, region: str) -> int:
    where = (cursors.c.tenant == here.tenant, cursors.c.name == f"supply:{region}")
    found = connection.execute(select(cursors.c.value).where(*where)).scalar()
    return -1 if found is None else int(found)
