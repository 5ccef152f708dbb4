"""HTTP of parties: operators, vehicles, drivers, riders, and imports of them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from noriai_api.bookings.service import riders_grant
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.holding.leases import signal
from noriai_api.holding.process import HeldElsewhereError
from noriai_api.parties import joining, repository
from noriai_api.parties.fleet import vehicle_on
from noriai_api.parties.imports import TABLE_BODY, kind_of, rows_of
from noriai_api.parties.schemas import (
    DriverIn,
    DriverOut,
    Drivers,
    Imported,
    OperatorIn,
    OperatorOut,
    Operators,
    PersonalIn,
    PersonalOut,
    RiderIn,
    RiderOut,
    RiderRow,
    Riders,
    VehicleIn,
    VehicleOut,
    Vehicles,
)
from noriai_api.problems import Problem, described
from noriai_api.runtime.region import RegionRuntime
from noriai_api.schemas import Id
from noriai_api.store import tables
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import DAY_MS

router = APIRouter(prefix="/v1", tags=["parties"], responses=COMMON)

MODELS: dict[str, tuple[type[BaseModel], str]] = {
    "operators": (OperatorIn, "operator"), "vehicles": (VehicleIn, "vehicle"), "drivers": (DriverIn, "driver")
}  # fmt: skip
PUT = {201: {"description": "It is new"}, **described("not_found", "store_down")}


@router.get("/operators", response_model=Operators)
async def list_operators(caller: Annotated[Caller, allow("fleet.read")]) -> Operators:
    """The operators within reach."""
    return Operators(operators=[OperatorOut(**row) for row in await _all(caller, "operators")])


@router.put("/operators/{operator}", response_model=OperatorOut, responses=PUT)
async def put_operator(
    operator: Id, body: OperatorIn, response: Response, caller: Annotated[Caller, allow("fleet.write")]
) -> OperatorOut:
    """Write an operator; one's own, for those who belong to one."""
    own = caller.grant.narrows("operator")
    if own is not None and own != operator:
        raise Problem("not_found", f"no operator {operator}")
    await _put(caller, "operators", operator, body, response)
    return OperatorOut(operator=operator, **body.model_dump())


@router.get("/vehicles", response_model=Vehicles)
async def list_vehicles(caller: Annotated[Caller, allow("fleet.read")]) -> Vehicles:
    """The vehicles within reach."""
    return Vehicles(vehicles=[VehicleOut(**row) for row in await _all(caller, "vehicles")])


@router.put("/vehicles/{vehicle}", response_model=VehicleOut, responses=PUT)
async def put_vehicle(
    vehicle: Id, body: VehicleIn, response: Response, caller: Annotated[Caller, allow("fleet.write")]
) -> VehicleOut:
    """Write a vehicle. Days that are open take it in where they do not have it yet."""
    caller.node.actor(caller.tenant, body.region)
    await _put(caller, "vehicles", vehicle, body, response)
    await _join(caller, vehicle, body)
    return VehicleOut(vehicle=vehicle, **body.model_dump())


@router.get("/drivers", response_model=Drivers)
async def list_drivers(caller: Annotated[Caller, allow("fleet.write")]) -> Drivers:
    """The drivers within reach."""
    return Drivers(drivers=[DriverOut(**row) for row in await _all(caller, "drivers")])


@router.put("/drivers/{driver}", response_model=DriverOut, responses=PUT)
async def put_driver(
    driver: Id, body: DriverIn, response: Response, caller: Annotated[Caller, allow("fleet.write")]
) -> DriverOut:
    """Write a driver."""
    await _put(caller, "drivers", driver, body, response)
    return DriverOut(driver=driver, **body.model_dump())


@router.get("/riders", response_model=Riders)
async def find_riders(
    caller: Annotated[Caller, allow("rider.personal")], phone: Annotated[str, Query(pattern=r"^\+?[0-9-]{3,20}$")]
) -> Riders:
    """Riders who gave this telephone number: the desk's card opens with it. It does not prove who is calling."""

    def read(connection: Connection) -> list[RiderOut]:
        found = repository.by_phone(connection, caller.grant, phone)
        return [RiderOut(**repository.one(connection, tables.riders, caller.grant, name)) for name in found]

    return Riders(riders=await caller.read(read))


@router.get("/riders/{rider}", response_model=RiderOut, responses=described("not_found"))
async def get_rider(rider: Id, caller: Annotated[Caller, allow("rider.read")]) -> RiderOut:
    """What a rider's rides need."""
    grant = riders_grant(caller.grant)
    return RiderOut(**await caller.read(lambda c: repository.one(c, tables.riders, grant, rider)))


@router.put("/riders/{rider}", response_model=RiderOut, responses=PUT)
async def put_rider(
    rider: Id, body: RiderIn, response: Response, caller: Annotated[Caller, allow("rider.write")]
) -> RiderOut:
    """Write what a rider's rides need, under a token of the caller's."""
    if caller.grant.narrows("rider") not in (None, rider):
        raise Problem("not_found", f"no rider {rider}")
    await _put(caller, "riders", rider, body, response)
    return RiderOut(rider=rider, **body.model_dump())


@router.delete("/riders/{rider}", status_code=204, responses=described("not_found", "store_down"))
async def erase_rider(rider: Id, caller: Annotated[Caller, allow("rider.write")]) -> None:
    """Forget who a rider is and what they need. Past rides stay, by a token that means nothing any more."""
    grant, now = riders_grant(caller.grant), caller.node.clock.now()

    def write(connection: Connection) -> None:
        repository.erase(connection, grant, rider)
        caller.note(connection, now, f"rider/{rider}", {"erased": True})

    await caller.write(write)


@router.put("/riders/{rider}/personal", response_model=PersonalOut, responses=described("not_found", "store_down"))
async def put_personal(rider: Id, body: PersonalIn, caller: Annotated[Caller, allow("rider.personal")]) -> PersonalOut:
    """Say who a rider is, for a purpose and a time."""
    now = caller.node.clock.now()
    values = _kept(body, now)

    def write(connection: Connection) -> None:
        repository.one(connection, tables.riders, caller.grant, rider)
        repository.put_personal(connection, caller.grant, rider, values)
        caller.note(connection, now, f"rider/{rider}/personal", {"purpose": body.purpose})

    await caller.write(write)
    return _personal_out({"rider": rider, **values})


@router.get("/riders/{rider}/personal", response_model=PersonalOut, responses=described("not_found", "store_down"))
async def get_personal(rider: Id, caller: Annotated[Caller, allow("rider.personal")]) -> PersonalOut:
    """Who a rider is. That it was read stands in the audit chain."""
    now = caller.node.clock.now()

    def read(connection: Connection) -> dict[str, Any]:
        row = repository.personal(connection, caller.grant, rider)
        caller.note(connection, now, f"rider/{rider}/personal", {"read": True})
        return row

    return _personal_out(await caller.write(read))


@router.post(
    "/imports/riders", response_model=Imported, responses=described("not_found", "store_down"), openapi_extra=TABLE_BODY
)
async def import_riders(
    request: Request, caller: Annotated[Caller, allow("rider.import")], dry_run: bool = False
) -> Imported:
    """Riders from CSV or Excel, with `personal.name` and the like where that is to be kept: all written or none."""
    good, problems = rows_of(await request.body(), kind_of(request), "rider", RiderRow)
    if problems or dry_run:
        return Imported(rows=len(good) + len({p.row for p in problems}), written=0, problems=problems)
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        grant = riders_grant(caller.grant)
        for name, row in good:
            body = row.model_dump(mode="json", exclude={"personal"})
            repository.put(connection, tables.riders, grant, name, body)
            if row.personal is not None:
                repository.put_personal(connection, grant, name, _kept(row.personal, now))
        caller.note(connection, now, "import/riders", {"rows": len(good)})

    await caller.write(write)
    return Imported(rows=len(good), written=len(good), problems=[])


@router.post(
    "/imports/{what}", response_model=Imported, responses=described("not_found", "store_down"), openapi_extra=TABLE_BODY
)
async def import_rows(
    what: Literal["operators", "vehicles", "drivers"], request: Request,
    caller: Annotated[Caller, allow("fleet.write")], dry_run: bool = False,
) -> Imported:  # fmt: skip
    """Operators, vehicles or drivers from CSV or Excel: every row checked, all written or none."""
    table, (model, key) = joining.TABLES[what], MODELS[what]
    good, problems = rows_of(await request.body(), kind_of(request), key, model)
    if problems or dry_run:
        return Imported(rows=len(good) + len({p.row for p in problems}), written=0, problems=problems)
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        for name, body in good:
            columns = joining.columns_of(what, body)
            repository.put(connection, table, caller.grant, name, joining.stored(what, body), **columns)
        caller.note(connection, now, f"import/{what}", {"rows": len(good)})
        for subject in joining.others_learn(what, caller.tenant, {getattr(body, "region", "") for _, body in good}):
            signal(connection, what, subject, now)

    if what == "vehicles":
        for _, body in good:
            caller.node.actor(caller.tenant, body.region)
    await caller.write(write)
    if what == "operators":
        await caller.node.heed(what, caller.tenant)
    if what == "vehicles":
        for name, body in good:
            await _join(caller, name, body)
    return Imported(rows=len(good), written=len(good), problems=[])


# --- parts --------------------------------------------------------------------------------------------------


async def _all(caller: Caller, what: str) -> list[dict[str, Any]]:
    rows = await caller.read(lambda connection: repository.all_of(connection, joining.TABLES[what], caller.grant))
    return [_shown(what, row) for row in rows]


async def _put(caller: Caller, what: str, key: str, body: BaseModel, response: Response) -> None:
    now = caller.node.clock.now()

    def write(connection: Connection) -> bool:
        extra = {"client": caller.subject.client} if what == "riders" and "client" in caller.grant.only else {}
        grant = riders_grant(caller.grant) if what == "riders" else caller.grant
        is_new = joining.write(connection, grant, what, key, body, now, **extra)
        caller.note(connection, now, f"{what}/{key}", body.model_dump(mode="json"))
        return is_new

    if await caller.write(write):
        response.status_code = 201
    if what == "operators":
        await caller.node.heed(what, caller.tenant)


def _kept(body: PersonalIn, now: int) -> dict[str, Any]:
    """Who a rider is as it is written, with its last day."""
    return {
        "name": body.name, "phone": body.phone, "purpose": body.purpose, "delete_after": now + body.days * DAY_MS
    }  # fmt: skip


def _shown(what: str, row: dict[str, Any]) -> dict[str, Any]:
    if what == "vehicles":
        lon, lat, *name = row["depot"]
        row["depot"] = {"lon": lon, "lat": lat, "name": name[0] if name else ""}
    return row


async def _join(caller: Caller, vehicle: str, body: VehicleIn) -> None:
    """Open days take the vehicle in where they do not have it."""
    caller.node.forget_fleet(caller.tenant)

    def act(runtime: RegionRuntime) -> tuple[None, None]:
        for run in runtime.days.values():
            made = vehicle_on(vehicle, body.operator, joining.stored("vehicles", body), run.day, runtime.rules.legality)
            known = {str(v.id) for v in run.dispatcher.vehicles}
            if made is not None and vehicle not in known and made.shift.end > runtime.now:
                run.look_again([run.dispatcher.incidents.join(made)])
        return None, None

    try:
        await caller.node.actor(caller.tenant, body.region).ask(act, "join", actor=caller.subject.client)
    except HeldElsewhereError:
        pass  # the process that holds the region takes the vehicle in: the signal was written with it
    except InputError as error:
        raise Problem("invalid", error.what, errors=[
            {"where": "body", "what": error.what, "do": error.remedy}]) from error  # fmt: skip


def _personal_out(row: dict[str, Any]) -> PersonalOut:
    from noriai_engine.model import ServiceDay

    day = ServiceDay.on("2000-01-01", "UTC")
    until = day.rfc3339(row["delete_after"])
    return PersonalOut(
        rider=row["rider"], name=row["name"], phone=row["phone"], purpose=row["purpose"], delete_after=until
    )
