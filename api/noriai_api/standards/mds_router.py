"""HTTP of MDS 2.0 for passenger services: as a provider (the authority reads) and as an agency (operators that dispatch
by themselves report)."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query
from fastapi.responses import JSONResponse

from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import Problem, described
from noriai_api.standards import mds_agency
from noriai_api.standards.mds import VERSION, Mds, hour_of, mds_between, track_between
from noriai_api.vehicles.positions import Position

MEDIA_TYPE = "application/vnd.mds+json"
RECENT_MS = 14 * 86_400_000


async def our_version(accept: Annotated[str | None, Header()] = None) -> None:
    """Raises Problem (not_acceptable) where only other versions of MDS would be understood."""
    asked = re.findall(rf"{re.escape(MEDIA_TYPE)}\s*;\s*version\s*=\s*([\d.]+)", accept or "")
    if asked and not any(version in ("2", "2.0", VERSION) for version in asked) and "*/*" not in (accept or ""):
        raise Problem("not_acceptable", f"MDS {', '.join(asked)} is not spoken here, {VERSION} is")


router = APIRouter(
    prefix="/mds", tags=["MDS"], responses=COMMON | described("not_acceptable"), dependencies=[Depends(our_version)]
)

Hour = Annotated[str, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3])$",
                            examples=["2026-11-24T08"], description="An hour in UTC")]  # fmt: skip
Millis = Annotated[int, Query(ge=946_684_800_000, lt=4_102_444_800_000, description="UTC milliseconds")]
Device = Annotated[str, Path(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="A UUID")]
Reader = Annotated[Caller, allow("mds.read")]
Reporter = Annotated[Caller, allow("mds.report")]


class MdsResponse(JSONResponse):
    media_type = f"{MEDIA_TYPE};version=2.0"


def _said(status: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"content": {MdsResponse.media_type: {"schema": {"type": "object"}}}}}


SAID = _said(200)


def _document(caller: Caller, **data: Any) -> MdsResponse:
    return MdsResponse({"version": VERSION, "last_updated": caller.node.clock.now(), "ttl": 60_000, **data})


def _one(found: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    mine = [document for document in found if document["device_id"] == device.lower()]
    if not mine:
        raise Problem("not_found", f"no vehicle {device}")
    return mine


# --- as a provider ------------------------------------------------------------------------------------------


@router.get("/vehicles", response_class=MdsResponse, responses=SAID)
async def mds_vehicles(caller: Reader) -> MdsResponse:
    """Vehicles of today."""
    return _document(caller, vehicles=await _vehicles(caller), links={"next": None})


@router.get("/vehicles/status", response_class=MdsResponse, responses=SAID)
async def mds_status(caller: Reader) -> MdsResponse:
    """Each vehicle's last event and position."""
    return _document(caller, vehicles_status=await _status(caller), links={"next": None})


@router.get("/vehicles/status/{device}", response_class=MdsResponse, responses=SAID | described("not_found"))
async def mds_status_of(device: Device, caller: Reader) -> MdsResponse:
    """A vehicle's last event and position."""
    return _document(caller, vehicles_status=_one(await _status(caller), device))


@router.get("/vehicles/{device}", response_class=MdsResponse, responses=SAID | described("not_found"))
async def mds_vehicle(device: Device, caller: Reader) -> MdsResponse:
    """One vehicle of today."""
    return _document(caller, vehicles=_one(await _vehicles(caller), device))


@router.get("/events/historical", response_class=MdsResponse, responses=SAID | described("not_found"))
async def mds_historical(caller: Reader, event_time: Hour) -> MdsResponse:
    """Vehicles' events of an hour that is over."""
    begin, end = _past(caller, event_time)
    return _document(caller, events=await _events(caller, begin, end))


@router.get("/events/recent", response_class=MdsResponse, responses=SAID)
async def mds_recent(caller: Reader, start_time: Millis, end_time: Millis) -> MdsResponse:
    """Vehicles' events of at most two weeks up to now."""
    if end_time - start_time > RECENT_MS or end_time < start_time:
        raise Problem("invalid", "the interval is longer than two weeks, or ends before it begins")
    return _document(caller, events=await _events(caller, start_time, end_time))


@router.get("/trips", response_class=MdsResponse, responses=SAID | described("not_found"))
async def mds_trips(caller: Reader, end_time: Hour) -> MdsResponse:
    """Rides that ended within an hour that is over."""
    begin, end = _past(caller, end_time)
    found = await mds_between(caller.node, caller.tenant, begin, end, lambda mds: mds.trips(begin, end))
    return _document(caller, trips=found)


@router.get("/telemetry", response_class=MdsResponse, responses=SAID)
async def mds_telemetry(caller: Reader, telemetry_time: Hour) -> MdsResponse:
    """Where vehicles were within an hour, each position with the rides it belongs to."""
    begin, end = hour_of(telemetry_time)
    track = await caller.read(lambda connection: track_between(connection, caller.tenant, begin, end))

    def documents(mds: Mds) -> list[dict[str, Any]]:
        return mds.telemetry(begin, end)

    return _document(caller, telemetry=await mds_between(caller.node, caller.tenant, begin, end, documents, track))


def _past(caller: Caller, hour: str) -> tuple[int, int]:
    """Raises Problem (invalid, not_found): what is still going on is not told yet."""
    begin, end = hour_of(hour)
    if end > caller.node.clock.now():
        raise Problem("not_found", f"{hour} (UTC) is not over")
    return begin, end


async def _vehicles(caller: Caller) -> list[dict[str, Any]]:
    now = caller.node.clock.now()
    return await mds_between(caller.node, caller.tenant, now, now, lambda mds: mds.vehicles())


async def _status(caller: Caller) -> list[dict[str, Any]]:
    now = caller.node.clock.now()
    track: list[tuple[str, Position]] = list(caller.node.positions.all_of(caller.tenant).items())
    return await mds_between(caller.node, caller.tenant, now, now, lambda mds: mds.status(now), track)


async def _events(caller: Caller, begin: int, end: int) -> list[dict[str, Any]]:
    def documents(mds: Mds) -> list[dict[str, Any]]:
        return mds.events(begin, end)

    return await mds_between(caller.node, caller.tenant, begin, end, documents)


# --- as an agency -------------------------------------------------------------------------------------------

Items = Annotated[list[Any], Body(min_length=1, max_length=1000, description="Documents of MDS 2.0")]
BULK: dict[int | str, dict[str, Any]] = {
    status: {"description": f"{what}: `failures` says which and why; the others are kept", "content":
             {MdsResponse.media_type: {"schema": {"type": "object"}}}}
    for status, what in ((400, "Some are wrong"), (404, "Some are of vehicles or stops not registered"),
                         (409, "Some are registered already"))
}  # fmt: skip
BULK[400]["content"] |= described("bad_request")[400]["content"]
BULK |= described("store_down")


def _bulk(done: int, taken: mds_agency.Taken) -> MdsResponse:
    body = {"success": taken.success, "total": taken.success + len(taken.failures), "failures": taken.failures}
    return MdsResponse(body, done if not taken.failures else taken.status)


@router.post("/agency/vehicles", response_class=MdsResponse, status_code=201, responses=_said(201) | BULK)
async def register_vehicles(items: Items, caller: Reporter) -> MdsResponse:
    """Vehicles of an operator that dispatches them by itself. One whose `vehicle_id` is a vehicle of ours is ours."""
    return _bulk(201, await mds_agency.take(caller, "vehicle", items, known=False))


@router.put("/agency/vehicles", response_class=MdsResponse, responses=SAID | BULK)
async def update_vehicles(items: Items, caller: Reporter) -> MdsResponse:
    """Registered vehicles as they are now."""
    return _bulk(200, await mds_agency.take(caller, "vehicle", items, known=True))


@router.get("/agency/vehicles", response_class=MdsResponse, responses=SAID)
async def list_reported_vehicles(caller: Reporter) -> MdsResponse:
    """Registered vehicles within reach."""
    return _document(caller, vehicles=await mds_agency.told(caller, "vehicle"), links={"next": None})


@router.get("/agency/vehicles/status", response_class=MdsResponse, responses=SAID)
async def list_reported_status(caller: Reporter) -> MdsResponse:
    """Each registered vehicle's last event and position, once both were reported."""
    return _document(caller, vehicles_status=await mds_agency.status(caller), links={"next": None})


@router.get("/agency/vehicles/status/{device}", response_class=MdsResponse, responses=SAID | described("not_found"))
async def get_reported_status(device: Device, caller: Reporter) -> MdsResponse:
    """A registered vehicle's last event and position."""
    return _document(caller, vehicles_status=_one(await mds_agency.status(caller), device))


@router.get("/agency/vehicles/{device}", response_class=MdsResponse, responses=SAID | described("not_found"))
async def get_reported_vehicle(device: Device, caller: Reporter) -> MdsResponse:
    """A registered vehicle."""
    return _document(caller, vehicles=_one(await mds_agency.told(caller, "vehicle"), device))


@router.post("/agency/events", response_class=MdsResponse, status_code=201, responses=_said(201) | BULK)
async def report_events(items: Items, caller: Reporter) -> MdsResponse:
    """Changes of vehicles' states."""
    return _bulk(201, await mds_agency.take(caller, "event", items))


@router.post("/agency/trips", response_class=MdsResponse, status_code=201, responses=_said(201) | BULK)
async def report_trips(items: Items, caller: Reporter) -> MdsResponse:
    """Trips that are over."""
    return _bulk(201, await mds_agency.take(caller, "trip", items))


@router.post("/agency/telemetry", response_class=MdsResponse, status_code=201, responses=_said(201) | BULK)
async def report_telemetry(items: Items, caller: Reporter) -> MdsResponse:
    """Where vehicles were. Positions of vehicles of ours move them in the plan, as if they came from the vehicle."""
    return _bulk(201, await mds_agency.take(caller, "telemetry", items))


@router.post("/agency/stops", response_class=MdsResponse, status_code=201, responses=_said(201) | BULK)
async def register_stops(items: Items, caller: Reporter) -> MdsResponse:
    """Stops that an operator looks after."""
    return _bulk(201, await mds_agency.take(caller, "stop", items, known=False))


@router.put("/agency/stops", response_class=MdsResponse, responses=SAID | BULK)
async def update_stops(items: Items, caller: Reporter) -> MdsResponse:
    """What changes of registered stops: status and counts; other fields stay as they were."""
    return _bulk(200, await mds_agency.take(caller, "stop", items, known=True))


@router.get("/agency/stops", response_class=MdsResponse, responses=SAID)
async def list_reported_stops(caller: Reporter) -> MdsResponse:
    """Registered stops within reach."""
    return _document(caller, stops=await mds_agency.told(caller, "stop"))


@router.get("/agency/stops/{stop}", response_class=MdsResponse, responses=SAID | described("not_found"))
async def get_reported_stop(stop: Device, caller: Reporter) -> MdsResponse:
    """A registered stop."""
    found = [one for one in await mds_agency.told(caller, "stop") if one["stop_id"] == stop.lower()]
    if not found:
        raise Problem("not_found", f"no stop {stop}")
    return _document(caller, stops=found)
