"""HTTP of standards. Feeds about the service are open to all; documents about rides need a key."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, select

from noriai_api.bookings.router import Day
from noriai_api.guard import COMMON, Caller, TheNode, allow
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id
from noriai_api.standards import service
from noriai_api.standards.day_log import DayLog, read_day
from noriai_api.standards.service import MDS_VERSION, Mds, hour_of, kpi_document, mds_between, month_of
from noriai_api.store.tables import log

feeds = APIRouter(prefix="/feeds/{tenant}/{region}", tags=["standards"], responses=described("not_found", "invalid"))
router = APIRouter(tags=["standards"], responses=COMMON)

ZIP, PROTOBUF = "application/zip", "application/x-protobuf"


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


@feeds.get("/ngsi-ld/fleet_vehicle_status.json", response_model=list[dict[str, Any]])
async def get_fleet_status(tenant: Id, region: Id, node: TheNode) -> list[dict[str, Any]]:
    """Vehicles on duty as NGSI-LD entities (FleetVehicleStatus)."""
    return await node.actor(tenant, region).look(lambda runtime: service.fleet_status(runtime, node, tenant))


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


# --- MDS ----------------------------------------------------------------------------------------------------

Hour = Annotated[str, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3])$",
                            examples=["2026-11-24T08"], description="An hour in UTC")]  # fmt: skip
Millis = Annotated[int, Query(ge=946_684_800_000, lt=4_102_444_800_000, description="UTC milliseconds")]
MdsReader = Annotated[Caller, allow("mds.read")]


class MdsResponse(JSONResponse):
    media_type = "application/vnd.mds+json;version=2.0"


def _mds(caller: Caller, **data: Any) -> MdsResponse:
    return MdsResponse({"version": MDS_VERSION, "last_updated": caller.node.clock.now(), "ttl": 60_000, **data})


MDS: dict[int | str, dict[str, Any]] = {200: {"content": {MdsResponse.media_type: {"schema": {"type": "object"}}}}}


@router.get("/mds/vehicles", response_class=MdsResponse, responses=MDS)
async def mds_vehicles(caller: MdsReader) -> MdsResponse:
    """Vehicles of today."""
    now = caller.node.clock.now()
    found = await mds_between(caller.node, caller.tenant, now, now, lambda mds: mds.vehicles())
    return _mds(caller, vehicles=list({v["device_id"]: v for v in found}.values()))


@router.get("/mds/vehicles/status", response_class=MdsResponse, responses=MDS)
async def mds_status(caller: MdsReader) -> MdsResponse:
    """Each vehicle's last event."""
    now = caller.node.clock.now()
    found = await mds_between(caller.node, caller.tenant, now, now, lambda mds: mds.status(now))
    return _mds(caller, vehicles_status=list({v["device_id"]: v for v in found}.values()))


@router.get("/mds/events/historical", response_class=MdsResponse, responses=MDS)
async def mds_historical(caller: MdsReader, event_time: Hour) -> MdsResponse:
    """Vehicles' events of an hour."""
    begin, end = hour_of(event_time)
    return _mds(caller, events=await _events(caller, begin, end))


@router.get("/mds/events/recent", response_class=MdsResponse, responses=MDS)
async def mds_recent(caller: MdsReader, start_time: Millis, end_time: Millis) -> MdsResponse:
    """Vehicles' events of at most two weeks up to now."""
    if end_time - start_time > 14 * 86_400_000 or end_time < start_time:
        raise Problem("invalid", "the interval is longer than two weeks, or ends before it begins")
    return _mds(caller, events=await _events(caller, start_time, end_time))


@router.get("/mds/trips", response_class=MdsResponse, responses=MDS)
async def mds_trips(caller: MdsReader, end_time: Hour) -> MdsResponse:
    """Rides that ended within an hour."""
    begin, end = hour_of(end_time)
    found = await mds_between(caller.node, caller.tenant, begin, end, lambda mds: mds.trips(begin, end))
    return _mds(caller, trips=found)


async def _events(caller: Caller, begin: int, end: int) -> list[dict[str, Any]]:
    def documents(mds: Mds) -> list[dict[str, Any]]:
        return mds.events(begin, end)

    return await mds_between(caller.node, caller.tenant, begin, end, documents)


# --- KPIs ---------------------------------------------------------------------------------------------------


@router.get("/v1/regions/{region}/kpis", response_model=dict[str, Any], responses=described("not_found"))
async def get_kpis(region: Id, caller: Annotated[Caller, allow("kpi.read")], day: Day) -> dict[str, Any]:
    """KPIs of a day, by the code that makes the simulator's: each with definition and denominator."""
    caller.node.actor(caller.tenant, region)
    found = await caller.node.read(lambda connection: read_day(connection, caller.tenant, region, day))
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

    logs = await caller.node.read(read)
    whole, daily = kpi_document(month_of(logs), region), [kpi_document(one, region) for one in logs]
    if form == "json":
        return JSONResponse({"region": region, "month": month, "whole": whole, "days": daily})
    lines = [["kpi", "unit", "month", *(one["day"] for one in daily)]]
    for key, kpi in whole["kpis"].items():
        values = [kpi["value"], *(one["kpis"][key]["value"] for one in daily)]
        lines.append([key, kpi["unit"], *("" if value is None else str(value) for value in values)])
    return Response("".join(",".join(line) + "\r\n" for line in lines), media_type="text/csv")
