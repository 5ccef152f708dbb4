"""Documents of standards, from a region and its log."""

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from noriai_api.node import Node
from noriai_api.runtime.actor import RegionActor
from noriai_api.runtime.region import RegionRuntime
from noriai_api.standards.day_log import DayLog
from noriai_engine.kpis import compute_kpis, rides_of
from noriai_engine.texts import LANGUAGES, text
from noriai_gtfs.feeds.write import write_feed
from noriai_gtfs.publish import HEADERS, PublishedService, flex_of, write_flex
from noriai_gtfs.publish.gofs import gofs_documents
from noriai_gtfs.realtime.publish import VehicleReport, suspension_alerts, vehicle_positions

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


def alerts_feed(node: Node, actor: RegionActor) -> bytes:
    """GTFS Realtime alerts: routes and agency as in the GTFS-Flex feed."""
    route, said = str(actor.runtime.rules.service.id), node.paused.get(actor.key)
    return suspension_alerts(actor.key[0], route, said, int(node.clock.now()) // 1000)


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
