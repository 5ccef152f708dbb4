"""HTTP of standards. Feeds about the service are open to all; documents about rides need a key."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, select

from noriai_api.bookings.router import Day
from noriai_api.guard import COMMON, Caller, TheNode, allow
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id
from noriai_api.standards import gif, service
from noriai_api.standards.day_log import DayLog, read_day
from noriai_api.standards.service import kpi_document, month_of
from noriai_api.store.tables import log, operators

feeds = APIRouter(prefix="/feeds/{tenant}/{region}", tags=["standards"], responses=described("not_found", "invalid"))
router = APIRouter(tags=["standards"], responses=COMMON)

ZIP, PROTOBUF, XML = "application/zip", "application/x-protobuf", "application/xml"


@feeds.get("/gtfs-flex.zip", response_class=Response, responses={200: {"content": {ZIP: {}}}})
async def get_flex(tenant: Id, region: Id, request: Request, node: TheNode) -> Response:
    """The service as GTFS-Flex: where and when it runs, how to book."""
    actor = node.actor(tenant, region)
    data = await node.compute(lambda: service.flex_zip(node, actor, str(request.base_url)))
    return Response(data, media_type=ZIP)


@feeds.get("/vehicle_positions.pb", response_class=Response, responses={200: {"content": {PROTOBUF: {}}}})
async def get_positions(tenant: Id, region: Id, node: TheNode) -> Response:
    """Vehicles on duty as GTFS Realtime."""
    actor = node.actor(tenant, region)
    data = await actor.look(lambda runtime: service.positions_feed(runtime, node, tenant))
    return Response(data, media_type=PROTOBUF)


@feeds.get("/alerts.pb", response_class=Response, responses={200: {"content": {PROTOBUF: {}}}})
async def get_alerts(tenant: Id, region: Id, node: TheNode) -> Response:
    """While the service takes no new rides, an alert that says why, as GTFS Realtime."""
    actor = node.actor(tenant, region)
    await actor.here()
    return Response(service.alerts_feed(node, actor), media_type=PROTOBUF)


@feeds.get("/ngsi-ld/fleet_vehicle_status.json", response_model=list[dict[str, Any]])
async def get_fleet_status(tenant: Id, region: Id, node: TheNode) -> list[dict[str, Any]]:
    """Vehicles on duty as NGSI-LD entities (FleetVehicleStatus)."""
    return await node.actor(tenant, region).look(lambda runtime: service.fleet_status(runtime, node, tenant))


@feeds.get("/gif.xml", response_class=Response, responses={200: {"content": {XML: {}}}})
async def get_gif(tenant: Id, region: Id, node: TheNode) -> Response:
    """Places and operators in the core data model of Japan's GIF (Facility, LegalEntity)."""
    actor = node.actor(tenant, region)
    query = select(operators).where(operators.c.tenant == tenant)
    rows = await node.read(lambda c: c.execute(query).mappings().all(), tenant)
    named = {row["operator"]: json.loads(row["body"]) for row in rows}
    code = node.settings.exchange_area.removeprefix("jis:")
    places = actor.runtime.region.places
    return Response(await node.compute(lambda: gif.document(places, named, code)), media_type=XML)


@feeds.get("/gofs/{name}", response_model=dict[str, Any])
async def get_gofs(tenant: Id, region: Id, name: Id, request: Request, node: TheNode) -> dict[str, Any]:
    """A file of the GOFS dataset; gofs.json names the others."""
    actor = node.actor(tenant, region)
    base = str(request.url_for("get_gofs", tenant=tenant, region=region, name="x")).removesuffix("/x")
    vehicles = await actor.look(lambda runtime: runtime.today().dispatcher.vehicles)
    documents = service.gofs(node, actor, base, vehicles)
    if name not in documents:
        raise Problem("not_found", f"no file {name}; gofs.json names them")
    return documents[name]


# --- KPIs ---------------------------------------------------------------------------------------------------


@router.get("/v1/regions/{region}/kpis", response_model=dict[str, Any], responses=described("not_found"))
async def get_kpis(region: Id, caller: Annotated[Caller, allow("kpi.read")], day: Day) -> dict[str, Any]:
    """KPIs of a day, by the code that makes the simulator's: each with definition and denominator."""
    caller.node.actor(caller.tenant, region)
    found = await caller.read(lambda connection: read_day(connection, caller.tenant, region, day))
    return kpi_document(found, region)


@router.get("/v1/regions/{region}/reports/{month}", response_model=None, responses={
    200: {"content": {"application/json": {"schema": {"type": "object"}}, "text/csv": {"schema": {"type": "string"}}}},
    **described("not_found"),
})  # fmt: skip
async def get_report(
    region: Id, month: Annotated[str, Path(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", examples=["2026-11"])],
    caller: Annotated[Caller, allow("kpi.read")], form: Literal["json", "csv"] = "json",
) -> Response:  # fmt: skip
    """The month for the municipality: each figure over all its days and day by day, as JSON or as a table (CSV)."""
    caller.node.actor(caller.tenant, region)

    def read(connection: Connection) -> list[DayLog]:
        mine = (log.c.tenant == caller.tenant, log.c.region == region, log.c.day.startswith(month))
        days = connection.execute(select(log.c.day).where(*mine).distinct().order_by(log.c.day)).scalars()
        return [read_day(connection, caller.tenant, region, day) for day in days]

    logs = await caller.read(read)
    whole, daily = kpi_document(month_of(logs), region), [kpi_document(one, region) for one in logs]
    if form == "json":
        return JSONResponse({"region": region, "month": month, "whole": whole, "days": daily})
    lines = [["kpi", "unit", "month", *(one["day"] for one in daily)]]
    for key, kpi in whole["kpis"].items():
        values = [kpi["value"], *(one["kpis"][key]["value"] for one in daily)]
        lines.append([key, kpi["unit"], *("" if value is None else str(value) for value in values)])
    return Response("".join(",".join(line) + "\r\n" for line in lines), media_type="text/csv")
