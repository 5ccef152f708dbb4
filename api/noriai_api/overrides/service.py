"""Overrides and alerts in the domain's terms."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Connection, insert, select, update

from noriai_api import digests
from noriai_api.guard import Caller
from noriai_api.overrides.schemas import AlertOut, AlertsOut, EffectOut, OverrideIn, OverrideOut, UndoneOut
from noriai_api.problems import Problem
from noriai_api.runtime.actor import Urgency, Writes
from noriai_api.runtime.day import DayRun
from noriai_api.runtime.region import RegionRuntime
from noriai_api.schemas import in_zone, utc_ms, words
from noriai_api.store.tables import bookings, overrides, vehicles
from noriai_api.tenancy import narrowed
from noriai_api.vehicles.positions import STALE_MS
from noriai_engine.model import BookingState
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import VehicleId
from noriai_engine.world.motion import Step

Planned = dict[str, dict[str, Any]]

REMEMBERED = ("delay", "charge")
"""Actions that time has used up: they cannot be undone."""


async def override(caller: Caller, region: str, wish: OverrideIn) -> OverrideOut:
    """Try or do it. Raises Problem (not_found, conflict)."""
    node = caller.node
    riders = {name: await _request_of(caller, region, name) for name in (wish.booking, wish.other) if name is not None}
    if wish.vehicle is not None:
        await _reach_vehicle(caller, region, wish.vehicle)
    name = node.ids.new_id()

    def act(runtime: RegionRuntime) -> tuple[OverrideOut, Writes | None]:
        run = _day_of(runtime, riders)
        before, former_end = _planned(run), _shift_end(run, wish.vehicle)
        with nullcontext() if wish.commit and wish.expect is None else run.tried():
            _do(run, wish, riders)
            effects = _effects(run, before)
        digest = digests.digest([effect.model_dump() for effect in effects], str)
        if not wish.commit:
            return OverrideOut(override=None, action=wish.action, committed=False, digest=digest, effects=effects), None
        if wish.expect is not None:
            if wish.expect != digest:
                said = [effect.model_dump(mode="json") for effect in effects]
                raise Problem("conflict", "the outcome is another by now", digest=digest, effects=said)
            _do(run, wish, riders)
        done = OverrideOut(override=name, action=wish.action, committed=True, digest=digest, effects=effects)
        return done, _remember(caller, runtime, run, wish, done, riders, before, former_end)

    try:
        return await node.actor(caller.tenant, region).ask(
            act, f"override {wish.action}", actor=caller.subject.client, urgency=Urgency.CANCEL
        )
    except InputError as error:
        raise Problem("conflict", str(error).replace("\n", ";")) from error


async def undo(caller: Caller, region: str, name: str) -> UndoneOut:
    """Put back what an override did, as far as it can be. Raises Problem (not_found, conflict)."""
    query = select(overrides).where(
        overrides.c.tenant == caller.tenant, overrides.c.override == name, overrides.c.region == region
    )
    if (operator := caller.grant.narrows("operator")) is not None:
        query = query.where(overrides.c.operator == operator)
    row = await caller.read(lambda connection: connection.execute(query).mappings().first())
    if row is None:
        raise Problem("not_found", f"no override {name}")
    body = json.loads(row["body"])
    if row["undone"] or body["action"] in REMEMBERED:
        raise Problem("conflict", "it is undone already" if row["undone"] else f"{body['action']} cannot be undone")

    def act(runtime: RegionRuntime) -> tuple[UndoneOut, Writes]:
        run = runtime.open_day(row["day"])
        back, lost = _put_back(run, body)
        now = runtime.now

        def writes(connection: Connection) -> None:
            connection.execute(update(overrides).where(*_key(caller, name)).values(undone=now))
            caller.note(connection, now, f"override/{name}", {"undone": back})

        return UndoneOut(override=name, restored=back, not_restored=lost), writes

    try:
        return await caller.node.actor(caller.tenant, region).ask(act, "undo", actor=caller.subject.client)
    except InputError as error:
        raise Problem("conflict", str(error).replace("\n", ";")) from error


async def alerts(caller: Caller, region: str) -> AlertsOut:
    """What a person should look at now, within reach."""
    node = caller.node
    latest = node.positions.all_of(caller.tenant)
    operator = caller.grant.narrows("operator")

    def view(runtime: RegionRuntime) -> AlertsOut:
        run, found = runtime.today(), []
        for index, vehicle in enumerate(run.dispatcher.vehicles):
            if operator is not None and vehicle.operator_id != operator:
                continue
            found += _late(run, index) + _silent(run, index, runtime, latest)
        return AlertsOut(alerts=found + _unhappy(run, operator))

    return await node.actor(caller.tenant, region).look(view)


# --- in the region's thread ---------------------------------------------------------------------------------


def _day_of(runtime: RegionRuntime, riders: dict[str, tuple[str, str]]) -> DayRun:
    days = {day for _, day in riders.values()}
    if len(days) > 1:
        raise InputError("are on two days", where="bookings", remedy="swap bookings of one day")
    return runtime.open_day(days.pop()) if days else runtime.today()


def _do(run: DayRun, wish: OverrideIn, riders: dict[str, tuple[str, str]]) -> None:
    d, words_ = run.dispatcher, run.dispatcher.overrides
    rider = riders[wish.booking][0] if wish.booking is not None else ""
    other = riders[wish.other][0] if wish.other is not None else ""
    vehicle = d.index_of(VehicleId(wish.vehicle)) if wish.vehicle is not None else -1
    until = utc_ms(wish.until) if wish.until is not None else run.clock.now()
    deeds: dict[str, Callable[[], list[int] | None]] = {
        "assign": lambda: words_.assign(rider, vehicle, may_be_late=wish.may_be_late),
        "swap": lambda: words_.swap(rider, other),
        "pin": lambda: words_.pin(rider),
        "unpin": lambda: words_.pin(rider, pinned=False),
        "block": lambda: words_.block(vehicle),
        "unblock": lambda: words_.block(vehicle, blocked=False),
        "break_down": lambda: run.motion.break_down(vehicle),
        "resume": lambda: words_.resume(vehicle),
        "delay": lambda: run.motion.delay(vehicle, until, "operator"),
        "end_shift": lambda: d.incidents.end_shift_at(vehicle, until, "operator"),
        "charge": lambda: d.incidents.set_charge(vehicle, wish.left_m or 0, "operator"),
    }
    run.look_again(deeds[wish.action]() or [])


def _shift_end(run: DayRun, vehicle: str | None) -> int | None:
    """When a vehicle's shift ends as things stand."""
    return None if vehicle is None else run.shift_end(run.dispatcher.index_of(VehicleId(vehicle)))


def _planned(run: DayRun) -> Planned:
    """Each booking's vehicle and planned times, as they stand."""
    d = run.dispatcher
    found: Planned = {}
    for index, vehicle in enumerate(d.vehicles):
        for activity in d.plan(index).activities:
            if activity.request_id is not None:
                entry = found.setdefault(str(activity.request_id), {"vehicle": str(vehicle.id)})
                entry[activity.kind.name.lower()] = activity.begin
    return found


def _effects(run: DayRun, before: Planned) -> list[EffectOut]:
    """Bookings whose vehicle or times are others now."""
    after, book, out = _planned(run), run.dispatcher.bookings, []
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name, {}), after.get(name, {})
        if old == new:
            continue
        booked, state = book.booked[name], book.states[name]

        def pair(kind: str, old: dict[str, Any] = old, new: dict[str, Any] = new) -> tuple[str | None, str | None]:
            both = [None if e.get(kind) is None else in_zone(e[kind], run.day) for e in (old, new)]
            return both[0], both[1]

        late = any(
            new.get(kind, 0) > window.latest
            for kind, window in (("pickup", booked.pickup), ("dropoff", booked.dropoff))
        )
        kept = state not in (BookingState.DROPPED, BookingState.UNASSIGNED, BookingState.STRANDED) and not late
        vehicle = (str(old.get("vehicle", "")), new.get("vehicle"))
        out.append(EffectOut(booking=str(booked.id), vehicle=vehicle, pickup=pair("pickup"), dropoff=pair("dropoff"),
                             promise_kept=kept, state=state.value))  # fmt: skip
    return out


def _remember(
    caller: Caller, runtime: RegionRuntime, run: DayRun, wish: OverrideIn, done: OverrideOut,
    riders: dict[str, tuple[str, str]], before: Planned, former_end: int | None,
) -> Writes:  # fmt: skip
    book = run.dispatcher.bookings
    moved = {name: entry["vehicle"] for name, entry in before.items()
             if str(book.booked[name].vehicle_id) != entry["vehicle"] or name in book.unassigned}  # fmt: skip
    body: dict[str, Any] = {
        "former_end": former_end,
        "action": wish.action,
        "vehicle": wish.vehicle,
        "moved": moved,
        "riders": [r for r, _ in riders.values()],
    }
    vehicle_id = wish.vehicle or next(iter(moved.values()), None)
    index = None if vehicle_id is None else run.dispatcher.index_of(VehicleId(vehicle_id))
    operator = None if index is None else str(run.dispatcher.vehicles[index].operator_id)
    now = runtime.now

    def writes(connection: Connection) -> None:
        connection.execute(
            insert(overrides).values(
                tenant=caller.tenant, override=done.override, region=runtime.rules.region, day=run.name, time=now,
                operator=operator, body=json.dumps(body, sort_keys=True), undone=None,
            )
        )  # fmt: skip
        caller.note(connection, now, f"override/{done.override}", wish.model_dump(mode="json"))

    return writes


def _put_back(run: DayRun, body: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Vehicle first, then each booking that had another one."""
    d, back, lost = run.dispatcher, [], []
    opposite = {"pin": "unpin", "unpin": "pin", "block": "unblock", "unblock": "block", "break_down": "resume"}
    vehicle = None if body["vehicle"] is None else d.index_of(VehicleId(body["vehicle"]))
    if body["action"] in opposite:
        wish = OverrideIn.model_validate(
            {"action": opposite[body["action"]], "vehicle": body["vehicle"], "booking": "x", "commit": True}
        )
        _do(run, wish, {"x": (body["riders"][0] if body["riders"] else "", run.name)})
        back.append(body["action"])
    elif body["action"] == "end_shift" and vehicle is not None:
        run.look_again(d.incidents.end_shift_at(vehicle, body["former_end"], "operator"))
        back.append("end_shift")
    for rider, home in sorted(body["moved"].items()):
        booked = d.bookings.booked[rider]
        try:
            run.look_again(d.overrides.assign(rider, d.index_of(VehicleId(home))))
            back.append(str(booked.id))
        except InputError:
            lost.append(str(booked.id))
    return back, lost


def _late(run: DayRun, index: int) -> list[AlertOut]:
    d, out = run.dispatcher, []
    for activity in d.plan(index).activities:
        if activity.request_id is None or activity.kind.name not in ("PICKUP", "DROPOFF"):
            continue
        booked = d.bookings.booked[activity.request_id]
        latest = booked.pickup.latest if activity.kind.name == "PICKUP" else booked.dropoff.latest
        minutes = -(-(activity.begin - latest) // 60_000)
        if minutes > 0:
            out.append(_alert("late", str(d.vehicles[index].id), str(booked.id), minutes, "assign"))
    return out


def _silent(run: DayRun, index: int, runtime: RegionRuntime, latest: dict[str, Any]) -> list[AlertOut]:
    """A real vehicle at work that has not been heard of."""
    if runtime.rules.moves_itself or not run.dispatcher.is_on_duty(index):
        return []
    vehicle, step = run.dispatcher.vehicles[index], run.motion.next_step(index)
    if step is not None and step[1] == Step.START_SHIFT and vehicle.shift.start < runtime.now:
        minutes = (runtime.now - vehicle.shift.start) // 60_000
        return [_alert("not_reported", str(vehicle.id), None, minutes, "block")]
    seen = latest.get(str(vehicle.id))
    if run.motion.has_started(index) and seen is not None and seen.at < runtime.now - STALE_MS:
        return [_alert("stale_position", str(vehicle.id), None, (runtime.now - seen.at) // 60_000, None)]
    return []


def _unhappy(run: DayRun, operator: str | None) -> list[AlertOut]:
    """Riders whom a person must help."""
    book, out = run.dispatcher.bookings, []
    for name, state in book.states.items():
        if state in (BookingState.UNASSIGNED, BookingState.DROPPED):
            booked = book.booked[name]
            if operator in (None, booked.operator_id):
                out.append(_alert(state.value, str(booked.vehicle_id), str(booked.id), None, "assign"))
    return out


def _alert(kind: Any, vehicle: str, booking: str | None, minutes: int | None, suggested: str | None) -> AlertOut:
    return AlertOut(
        kind=kind, vehicle=vehicle, booking=booking, minutes=minutes, suggested=suggested,
        text=words(f"alert.{kind}", vehicle=vehicle, minutes=minutes or 0),
    )  # fmt: skip


# --- within reach -------------------------------------------------------------------------------------------


async def _request_of(caller: Caller, region: str, booking: str) -> tuple[str, str]:
    """(request, day) of a booking within reach. Raises Problem (not_found)."""
    query = select(bookings.c.quote, bookings.c.day).where(bookings.c.booking == booking, bookings.c.region == region)
    row = await caller.read(lambda c: c.execute(narrowed(query, bookings, caller.grant)).first())
    if row is None:
        raise Problem("not_found", f"no booking {booking}")
    return row.quote, row.day


async def _reach_vehicle(caller: Caller, region: str, vehicle: str) -> None:
    query = select(vehicles.c.vehicle).where(vehicles.c.vehicle == vehicle, vehicles.c.region == region)
    if await caller.read(lambda c: c.execute(narrowed(query, vehicles, caller.grant)).first()) is None:
        raise Problem("not_found", f"no vehicle {vehicle}")


def _key(caller: Caller, name: str) -> tuple[Any, ...]:
    return overrides.c.tenant == caller.tenant, overrides.c.override == name
