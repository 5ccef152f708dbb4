"""Documents of standards, from a region and its log."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from noriai_api.node import Node
from noriai_api.problems import Problem
from noriai_api.runtime.actor import RegionActor
from noriai_api.runtime.region import RegionRuntime
from noriai_api.standards.day_log import DayLog, read_day
from noriai_engine.kpis import compute_kpis, rides_of
from noriai_engine.model import Event, Place, Spot
from noriai_engine.model.units import HOUR_MS
from noriai_engine.texts import LANGUAGES, text
from noriai_gtfs.feeds.write import write_feed
from noriai_gtfs.publish import HEADERS, PublishedService, flex_of, write_flex
from noriai_gtfs.publish.gofs import gofs_documents
from noriai_gtfs.publish.mds import Authority
from noriai_gtfs.realtime.publish import VehicleReport, vehicle_positions

MDS_VERSION = "2.0.0"
PUBLISHED_DAYS = 60


def published(node: Node, actor: RegionActor, base_url: str) -> PublishedService:
    """The region's service as the public sees it, from today on."""
    runtime = actor.runtime
    today = runtime.service_day(node.clock.now()).date
    return PublishedService(
        runtime.rules.service, actor.key[0], node.settings.tenant_name, base_url, runtime.region.timezone, "ja",
        today, today + timedelta(days=PUBLISHED_DAYS), area=runtime.region.boundary, booking_url=base_url,
        phone=node.settings.desk_phone,
    )  # fmt: skip


def flex_zip(node: Node, actor: RegionActor, base_url: str) -> bytes:
    """GTFS-Flex as a zip."""
    offered = published(node, actor, base_url)
    tables, zones = write_flex(flex_of([offered], offered.valid_from.isoformat()))
    with tempfile.TemporaryDirectory(prefix="noriai-flex") as folder:
        path = Path(folder) / "flex.zip"
        write_feed(path, tables, zones, HEADERS)
        return path.read_bytes()


def gofs(node: Node, actor: RegionActor, base_url: str, vehicles: Any) -> dict[str, dict[str, Any]]:
    """Every GOFS file by name."""
    return gofs_documents([published(node, actor, base_url)], vehicles, base_url, node.clock.now() // 1000)


def positions_feed(runtime: RegionRuntime, node: Node, tenant: str) -> bytes:
    """GTFS Realtime vehicle positions."""
    return vehicle_positions(_reports(runtime, node, tenant), runtime.now // 1000)


NGSI_CONTEXT = [
    "https://smart-data-models.github.io/dataModel.Transportation/context.jsonld",
    "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld",
]


def fleet_status(runtime: RegionRuntime, node: Node, tenant: str) -> list[dict[str, Any]]:
    """Vehicles on duty as NGSI-LD entities: FleetVehicleStatus of the Smart Data Models, in key-values form."""
    return [
        {
            "@context": NGSI_CONTEXT, "id": f"urn:ngsi-ld:FleetVehicleStatus:{tenant}:{report.vehicle_id}",
            "type": "FleetVehicleStatus", "fleetVehicle": f"urn:ngsi-ld:FleetVehicle:{tenant}:{report.vehicle_id}",
            "currentStatus": "deployed",
            "lastKnownPosition": {"type": "Point", "coordinates": [report.lon, report.lat]},
            "lastKnownPositionUpdatedAt": datetime.fromtimestamp(report.time_s, UTC).isoformat(),
        }
        for report in _reports(runtime, node, tenant)
    ]  # fmt: skip


def _reports(runtime: RegionRuntime, node: Node, tenant: str) -> list[VehicleReport]:
    """Vehicles on duty: simulated ones where they are, real ones where they last said."""
    run, reports = runtime.today(), []
    told = node.positions.all_of(tenant)
    for index, vehicle in enumerate(run.dispatcher.vehicles):
        if not run.motion.has_started(index):
            continue
        if runtime.rules.moves_itself:
            place = run.dispatcher.travel_times.place_of(run.dispatcher.position(index)[0])
            lon, lat, at_ms = place.lon, place.lat, int(runtime.now)
        else:
            known = told.get(str(vehicle.id))
            if known is None:
                continue
            lon, lat, at_ms = known.lon, known.lat, min(known.at, int(runtime.now))
        aboard, seats = run.dispatcher.plan(index).aboard, max(layout.riders for layout in vehicle.layouts)
        chair = any(layout.wheelchairs for layout in vehicle.layouts)
        reports.append(VehicleReport(str(vehicle.id), str(vehicle.id), round(lon, 6), round(lat, 6), at_ms // 1000,
                                     aboard=min(aboard.riders, seats), seats=seats, wheelchair=chair))  # fmt: skip
    return reports


# --- MDS ----------------------------------------------------------------------------------------------------


class Mds:
    """MDS 2.0 provider documents of one region's day."""

    def __init__(self, actor: RegionActor, log: DayLog) -> None:
        self._network, self._log = actor.runtime.region.network, log
        self.authority = Authority(actor.key[0], log.vehicles, log.requests)
        shift = date.fromisoformat(log.day).toordinal() * 10_000_000  # numbers begin anew each day, ids must not
        self._events = [replace(event, sequence=shift + event.sequence) for event in log.events]

    def vehicles(self) -> list[dict[str, Any]]:
        return [self.authority.vehicle(vehicle) for vehicle in self._log.vehicles]

    def events(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Events with begin <= timestamp < end."""
        return [e for e in self.authority.events(self._events, self._place) if begin <= e["timestamp"] < end]

    def trips(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Trips that ended then."""
        made = self.authority.trips(self._events, self._place, self._metres)
        return [trip for trip in made if begin <= trip["end_time"] < end]

    def status(self, now: int) -> list[dict[str, Any]]:
        """Each vehicle's last event."""
        last: dict[str, dict[str, Any]] = {}
        for event in self.events(0, now + 1):
            last[event["device_id"]] = event
        return [
            {"device_id": name, "provider_id": self.authority.provider_id, "last_event": event}
            for name, event in last.items()
        ]

    def _place(self, event: Event) -> Place | None:
        if event.state is None or event.offset_ms is None:
            return None
        place = self._network.place_at(Spot(event.state, event.offset_ms))
        return Place(round(place.lon, 7), round(place.lat, 7))

    def _metres(self, begin: Event, end: Event) -> int:
        legs = (leg for leg in self._log.legs if leg.vehicle_id == end.vehicle_id)
        return sum(leg.distance_mm for leg in legs if begin.time <= leg.depart and leg.arrive <= end.time) // 1000


async def mds_between(
    node: Node, tenant: str, begin: int, end: int, documents: Callable[[Mds], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Documents of all a tenant's regions, over the service days that an interval touches."""
    found: list[dict[str, Any]] = []
    for (owner, region), actor in node.actors.items():
        if owner != tenant:
            continue
        first = actor.runtime.service_day(begin).date - timedelta(days=1)  # type: ignore[arg-type]
        last = actor.runtime.service_day(end).date  # type: ignore[arg-type]
        for offset in range((last - first).days + 1):
            day = (first + timedelta(days=offset)).isoformat()
            log = await node.read(_day_reader(tenant, region, day))
            if log.events:
                found += documents(Mds(actor, log))
    return found


def _day_reader(tenant: str, region: str, day: str) -> Callable[[Connection], DayLog]:
    return lambda connection: read_day(connection, tenant, region, day)


def hour_of(value: str) -> tuple[int, int]:
    """[begin, end) in UTC ms of an hour as MDS writes it. Raises Problem (invalid)."""
    try:
        begin = datetime.strptime(value, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        raise Problem("invalid", f"{value} is no hour", errors=[
            {"where": "query", "what": f"{value} is no hour", "do": "write the hour in UTC, such as 2026-11-24T08"}
        ]) from None  # fmt: skip
    ms = int(begin.timestamp()) * 1000
    return ms, ms + HOUR_MS


# --- KPIs ---------------------------------------------------------------------------------------------------


def month_of(logs: list[DayLog]) -> DayLog:
    """The days of a month as one; a vehicle counts once for each day it served."""
    return DayLog(
        logs[0].day[:7] if logs else "", tuple(e for log in logs for e in log.events),
        tuple(v for log in logs for v in log.vehicles), tuple(r for log in logs for r in log.requests),
        tuple(leg for log in logs for leg in log.legs),
    )  # fmt: skip


def kpi_document(log: DayLog, region: str) -> dict[str, Any]:
    """The simulator's KPIs of a day, each with its definition and denominator."""
    rides = rides_of(log.requests, log.events)
    kpis = compute_kpis(rides.values(), log.legs, log.vehicles)
    return {
        "region": region, "day": log.day,
        "kpis": {
            kpi.key: {
                "value": kpi.value, "unit": kpi.unit,
                "denominator": {"value": kpi.denominator, "unit": kpi.denominator_unit},
                "name": {lang: text(f"kpi.{kpi.key}", lang) for lang in LANGUAGES},
                "definition": {lang: text(f"kpi.{kpi.key}_def", lang) for lang in LANGUAGES},
            }
            for kpi in kpis
        },
        "refusals": dict(sorted(Counter(r.reason for r in rides.values() if r.reason is not None).items())),
    }  # fmt: skip
