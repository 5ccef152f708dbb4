"""Vehicles in the domain's terms."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.access.decision import Resource
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.runtime.actor import RegionActor, Urgency
from noriai_api.runtime.day import DayRun
from noriai_api.runtime.driving import report
from noriai_api.runtime.region import RegionRuntime
from noriai_api.schemas import PlaceOut, in_zone, utc_ms, words
from noriai_api.store.tables import bookings, drivers, plans, vehicles
from noriai_api.tenancy import narrowed
from noriai_api.vehicles.positions import STALE_MS, Position
from noriai_api.vehicles.repository import row_of
from noriai_api.vehicles.schemas import (
    ActivityOut,
    DoingOut,
    PlanOut,
    PositionOut,
    PositionsIn,
    PositionsOut,
    PositionsTaken,
    StepIn,
)
from noriai_engine.model import ServiceDay
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import VehicleId


async def plan(caller: Caller, vehicle: str, day: str | None) -> PlanOut:
    """What a vehicle is to do today, or on a day. Raises Problem (not_found)."""
    node = caller.node
    row = await caller.read(lambda connection: row_of(connection, caller.grant, vehicle))
    actor = node.actor(caller.tenant, row["region"])
    name = day or actor.runtime.service_day(node.clock.now()).date.isoformat()

    def read(connection: Connection) -> Any:
        key = (plans.c.tenant == caller.tenant, plans.c.region == row["region"], plans.c.day == name)
        return connection.execute(select(plans).where(*key, plans.c.vehicle == vehicle)).mappings().first()

    found = await caller.read(read)
    if found is None:
        raise Problem("not_found", f"no plan of {vehicle} on {name}")
    return plan_out(found, actor.runtime.region.timezone)


async def plan_stream(caller: Caller, vehicle: str) -> AsyncIterator[str]:
    """Server-sent events: the plan now, and whenever it changes; a comment every few seconds keeps the line open."""
    row = await caller.read(lambda connection: row_of(connection, caller.grant, vehicle))
    actor = caller.node.actor(caller.tenant, row["region"])
    await actor.here()
    return _plans(caller, vehicle, actor)


async def _plans(caller: Caller, vehicle: str, actor: RegionActor) -> AsyncIterator[str]:
    last: PlanOut | None = None
    while actor.is_held and not caller.node.is_draining:
        try:
            now: PlanOut | None = await plan(caller, vehicle, None)
        except Problem:
            now = None  # no plan yet today
        if now is not None and now != last:
            last = now
            yield f"event: plan\nid: {now.version}\ndata: {now.model_dump_json()}\n\n"
        else:
            yield ": still here\n\n"
        await actor.changed.heard(5.0)


async def step(caller: Caller, vehicle: str, said: StepIn) -> PlanOut:
    """Take a driver's report in. Raises Problem (not_found, conflict)."""
    node = caller.node
    row = await caller.read(lambda connection: row_of(connection, caller.grant, vehicle))
    rider = None if said.booking is None else await _rider_of(caller, said.booking, vehicle)
    driver = None if said.driver is None else await _driver_of(caller, said.driver, row["operator"])

    def act(runtime: RegionRuntime) -> tuple[str, None]:
        if runtime.rules.moves_itself:
            raise InputError("moves by itself", where=f"vehicle {vehicle}", remedy="it is simulated; nothing to report")
        run = runtime.today()
        if not run.motion.has_started(run.dispatcher.index_of(VehicleId(vehicle))):
            _is_here_now(driver, runtime.now)
            _may_go_on_duty(runtime, run, vehicle, row["body"], driver, said.rollcall)
        report(run, run.dispatcher.index_of(VehicleId(vehicle)), said.step, rider)
        return run.name, None

    actor = node.actor(caller.tenant, row["region"])
    try:
        day = await actor.ask(act, f"step {said.step}", actor=caller.subject.client, urgency=Urgency.VEHICLE)
    except InputError as error:
        raise Problem("conflict", str(error).replace("\n", ";")) from error
    return await plan(caller, vehicle, day)


def _is_here_now(driver: dict[str, Any] | None, now: int) -> None:
    """Raises Problem (conflict) for a driver who is here at other times only."""
    between = (driver or {}).get("between")
    if between is None:
        return
    begin, end = (utc_ms(datetime.fromisoformat(text)) for text in between)
    if not begin <= now < end:
        raise Problem("conflict", f"the driver is here from {between[0]} to {between[1]} only")


def _may_go_on_duty(
    runtime: RegionRuntime, run: DayRun, vehicle: str, body: dict[str, Any], driver: dict[str, Any] | None,
    rollcall: bool | None,
) -> None:  # fmt: skip
    """Raises Problem (conflict) where a rule stands against this driver, this vehicle, or one more of its kind."""
    law, licence = runtime.rules.legality, body.get("licence")
    if law is None or licence is None or licence not in law.licences:
        return
    mark = set(law.skills_of(licence))
    running = sum(
        run.motion.has_started(k) and run.dispatcher.is_on_duty(k) and mark <= set(other.skills)
        for k, other in enumerate(run.dispatcher.vehicles)
    )
    fell = law.on_duty(licence, runtime.now, run.day, driver, body, rollcall, running)
    if fell is not None:
        said = words(fell.key, **{"n": 0, **fell.facts})
        raise Problem("conflict", said["en"], rule={"licence": licence, "pack": fell.pack, "version": fell.version,
                                                    "article": fell.article, "text": said})  # fmt: skip


async def _driver_of(caller: Caller, driver: str, operator: str) -> dict[str, Any]:
    """A driver of the vehicle's operator. Raises Problem (not_found)."""
    where = (drivers.c.tenant == caller.tenant, drivers.c.driver == driver, drivers.c.operator == operator)
    found = await caller.read(lambda c: c.execute(select(drivers.c.body).where(*where)).scalar())
    if found is None:
        raise Problem("not_found", f"no driver {driver} of {operator}")
    return dict(json.loads(found))


async def take_positions(caller: Caller, vehicle: str, batch: PositionsIn) -> PositionsTaken:
    """Take positions in. Raises Problem (not_found, busy)."""
    node = caller.node
    caller.may(Resource("vehicle", vehicle, caller.tenant, vehicle=vehicle))
    if node.positions.is_full:
        raise Problem("busy", headers={"Retry-After": "5"})
    await node.actor(caller.tenant, await node.region_of(caller.grant, vehicle)).here()
    reports = [Position(utc_ms(p.at), p.lon, p.lat, p.speed_mps, p.heading) for p in batch.positions]
    return PositionsTaken(**node.positions.take(caller.tenant, vehicle, reports, node.clock.now()))


async def positions(caller: Caller, region: str) -> PositionsOut:
    """Where vehicles within reach are."""
    node = caller.node
    actor = node.actor(caller.tenant, region)
    query = narrowed(select(vehicles.c.vehicle).where(vehicles.c.region == region), vehicles, caller.grant)
    names = set(await caller.read(lambda connection: connection.execute(query).scalars().all()))
    now = node.clock.now()
    if actor.runtime.rules.moves_itself:
        found = await actor.look(_simulated)
    else:
        found = node.positions.all_of(caller.tenant)
    day = actor.runtime.service_day(now)
    out = [
        PositionOut(vehicle=name, at=in_zone(p.at, day), lon=p.lon, lat=p.lat, speed_mps=p.speed_mps,
                    heading=p.heading, stale=p.at < now - STALE_MS)
        for name, p in sorted(found.items()) if name in names
    ]  # fmt: skip
    return PositionsOut(positions=out)


def _simulated(runtime: RegionRuntime) -> dict[str, Position]:
    """Where vehicles are that move by themselves."""
    run = runtime.today()
    found = {}
    for index, vehicle in enumerate(run.dispatcher.vehicles):
        spot, _ = run.dispatcher.position(index)
        place = run.dispatcher.travel_times.place_of(spot)
        found[str(vehicle.id)] = Position(runtime.now, round(place.lon, 6), round(place.lat, 6))
    return found


async def _rider_of(caller: Caller, booking: str, vehicle: str) -> str:
    """The request of a booking that this vehicle carries."""
    where = (bookings.c.tenant == caller.tenant, bookings.c.booking == booking, bookings.c.vehicle == vehicle)
    query = select(bookings.c.quote).where(*where)
    found = await caller.read(lambda connection: connection.execute(query).scalar())
    if found is None:
        raise Problem("not_found", f"no booking {booking} of vehicle {vehicle}")
    return str(found)


def plan_out(row: Any, timezone: str) -> PlanOut:
    """A plan's document from its row."""
    body, day = json.loads(row["body"]), ServiceDay.on(row["day"], timezone)
    doing = body["doing"]
    activities = []
    for a in body["activities"]:
        seats, wheelchairs, luggage = a["party"] or (0, 0, 0)
        activities.append(
            ActivityOut(
                kind=a["kind"], booking=a["booking"], place=PlaceOut(lon=a["lon"], lat=a["lat"], name=a["name"]),
                begin=in_zone(a["begin"], day), earliest=in_zone(a["earliest"], day), latest=in_zone(a["latest"], day),
                service_s=a["service_ms"] // 1000, drive_s=a["drive_ms"] // 1000, announced=a["announced"],
                seats=seats, wheelchairs=wheelchairs, luggage=luggage,
            )
        )  # fmt: skip
    return PlanOut(
        vehicle=row["vehicle"], region=row["region"], day=row["day"], operator=row["operator"], version=row["version"],
        started=body["started"], driving=body["driving"],
        doing=None if doing is None else DoingOut(kind=doing[0], booking=doing[3], until=in_zone(doing[2], day)),
        wait_at=None if body.get("wait_at") is None else PlaceOut(**body["wait_at"]), activities=activities,
    )  # fmt: skip
