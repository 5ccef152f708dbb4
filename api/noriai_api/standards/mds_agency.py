"""MDS 2.0 as an agency: operators that dispatch by themselves report their vehicles, events, trips and positions.

Each document is judged and kept by itself; one that comes again changes nothing. An operator reports under the
`provider_id` of its own record only.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from noriai_api.digests import digest
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.store.tables import reported, vehicles
from noriai_api.tenancy import narrowed
from noriai_api.vehicles.positions import Position
from noriai_gtfs.publish.mds_reports import failure, fault_of

ID_OF = {"vehicle": "device_id", "event": "event_id", "trip": "trip_id", "telemetry": "telemetry_id", "stop": "stop_id"}
TIME_OF = {"event": "timestamp", "trip": "end_time", "telemetry": "timestamp"}
CHANGEABLE = ("last_updated", "status", "rental_methods", "num_vehicles_available", "num_vehicles_disabled",
              "num_places_available", "num_places_disabled", "devices")  # fmt: skip
"""Fields of a stop that an update may have, besides its id."""
STATUS_OF = {"already_registered": 409, "unregistered": 404}


@dataclass
class Taken:
    """What became of a batch."""

    success: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """400, or what all failures have in common."""
        found = {STATUS_OF.get(one["error"], 400) for one in self.failures}
        return found.pop() if len(found) == 1 else 400


async def take(caller: Caller, kind: str, items: list[Any], *, known: bool | None = None) -> Taken:
    """Keep documents of a kind. `known`: they must have been registered before (True), or not (False).

    Raises Problem (busy) where positions come faster than they are kept.
    """
    node = caller.node
    if kind == "telemetry" and node.positions.is_full:
        raise Problem("busy", headers={"Retry-After": "5"})
    operators = {
        str(body["mds_provider"]).lower(): name
        for name, body in (await node.operators(caller.grant)).items()
        if body.get("mds_provider") and caller.grant.narrows("operator") in (None, name)
    }
    now = node.clock.now()

    def write(connection: Connection) -> Taken:
        taken = Taken()
        for item in items:
            fault = _keep(connection, caller, kind, item, operators, now, known=known)
            if fault is None:
                taken.success += 1
            else:
                taken.failures.append(fault)
        return taken

    taken = await caller.write(write)
    if kind == "telemetry":
        wrong = {id(one["item"]) for one in taken.failures}
        await _follow(caller, [item for item in items if id(item) not in wrong], now)
    return taken


def _keep(
    connection: Connection, caller: Caller, kind: str, item: Any, operators: dict[str, str], now: int, *,
    known: bool | None,
) -> dict[str, Any] | None:  # fmt: skip
    """Write one document, or say what is wrong with it."""
    if not isinstance(item, dict):
        return fault_of(kind, item)
    before = _registered(connection, caller.tenant, kind, item.get(ID_OF[kind])) if known is not False else None
    if kind == "stop" and known and before is not None:
        wrong = sorted(set(item) - {"stop_id", *CHANGEABLE})
        if wrong:
            return failure(item, "bad_param", "These fields of a stop do not change.", wrong)
        whole = json.loads(before.body) | item
    else:
        whole = item
    if known and before is None and isinstance(item.get(ID_OF[kind]), str):
        return _unregistered(item, ID_OF[kind])
    fault = fault_of(kind, whole)
    if fault is not None:
        return fault | {"item": item}
    operator = operators.get(str(whole["provider_id"]).lower())
    if operator is None:
        return failure(item, "bad_param", "No operator within reach has this provider_id in its record.",
                       ["provider_id"])  # fmt: skip
    name, device = str(whole[ID_OF[kind]]).lower(), whole.get("device_id")
    body = json.dumps(whole, ensure_ascii=False, sort_keys=True)
    stands = before if known else _registered(connection, caller.tenant, kind, name)
    if stands is not None and stands.operator != operator:
        return failure(item, "bad_param", "This id is of another provider.", [ID_OF[kind]])
    if kind in TIME_OF and _owner(connection, caller.tenant, str(device).lower()) != operator:
        return _unregistered(item, "device_id")
    key = {"tenant": caller.tenant, "kind": kind, "id": name}
    if stands is None:
        time = whole[TIME_OF[kind]] if kind in TIME_OF else now
        row = {"operator": operator, "device": None if device is None else str(device).lower(), "time": time}
        connection.execute(insert(reported).values(**key, **row, body=body))
        return None
    if known:
        where = [reported.c[column] == value for column, value in key.items()]
        connection.execute(update(reported).where(*where).values(body=body, time=now))
        return None
    if known is False:
        return failure(item, "already_registered", f"A {kind} with that {ID_OF[kind]} is already registered.",
                       [ID_OF[kind]])  # fmt: skip
    if digest(json.loads(stands.body), str) != digest(whole, str):
        return failure(item, "bad_param", "This id was reported before, with another content.", [ID_OF[kind]])
    return None


def _registered(connection: Connection, tenant: str, kind: str, name: Any) -> Row[Any] | None:
    if not isinstance(name, str):
        return None
    where = (reported.c.tenant == tenant, reported.c.kind == kind, reported.c.id == name.lower())
    return connection.execute(select(reported).where(*where)).first()


def _owner(connection: Connection, tenant: str, device: str) -> str | None:
    """The operator who registered a vehicle."""
    row = _registered(connection, tenant, "vehicle", device)
    return None if row is None else str(row.operator)


def _unregistered(item: dict[str, Any], name: str) -> dict[str, Any]:
    return failure(item, "unregistered", f"This {name} is unregistered.", [name])


async def _follow(caller: Caller, items: list[dict[str, Any]], now: int) -> None:
    """Positions of vehicles that we dispatch are theirs: those registered under the id of one of their operator's."""
    devices = {str(item["device_id"]).lower() for item in items}

    def read(connection: Connection) -> dict[str, str]:
        query = select(reported.c.id, reported.c.operator, reported.c.body)
        rows = connection.execute(query.where(reported.c.tenant == caller.tenant, reported.c.kind == "vehicle",
                                              reported.c.id.in_(devices))).all()  # fmt: skip
        named = {(row.operator, json.loads(row.body)["vehicle_id"]): row.id for row in rows}
        ours = select(vehicles.c.operator, vehicles.c.vehicle).where(vehicles.c.tenant == caller.tenant)
        found = connection.execute(ours.where(vehicles.c.vehicle.in_({vehicle for _, vehicle in named}))).all()
        return {named[row.operator, row.vehicle]: row.vehicle for row in found if (row.operator, row.vehicle) in named}

    ours = await caller.read(read)
    regions = {await caller.node.region_of(caller.grant, vehicle) for vehicle in ours.values()}
    if len(regions) == 1:  # whoever dispatches them is told; a batch of several regions is at least kept
        await caller.node.actor(caller.tenant, regions.pop()).here()
    for item in items:
        vehicle = ours.get(str(item["device_id"]).lower())
        if vehicle is not None:
            at = item["location"]
            position = Position(item["timestamp"], at["lng"], at["lat"], at.get("speed"), at.get("heading"))
            caller.node.positions.take(caller.tenant, vehicle, [position], now)


async def told(caller: Caller, kind: str) -> list[dict[str, Any]]:
    """Documents of a kind within reach."""
    query = narrowed(
        select(reported.c.body).where(reported.c.kind == kind).order_by(reported.c.id), reported, caller.grant
    )
    rows = await caller.read(lambda connection: connection.execute(query).scalars().all())
    return [json.loads(body) for body in rows]


async def status(caller: Caller) -> list[dict[str, Any]]:
    """Each vehicle's last event and position, where both are known."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        query = narrowed(
            select(reported).where(reported.c.kind == "vehicle").order_by(reported.c.id), reported, caller.grant
        )
        found = []
        for row in connection.execute(query).all():
            last = {}
            for kind in ("event", "telemetry"):
                where = (reported.c.tenant == caller.tenant, reported.c.kind == kind, reported.c.device == row.id)
                newest = select(reported.c.body).where(*where).order_by(reported.c.time.desc(), reported.c.id).limit(1)
                body = connection.execute(newest).scalar()
                if body is not None:
                    last[f"last_{kind}"] = json.loads(body)
            if len(last) == 2:
                found.append({"device_id": row.id, "provider_id": json.loads(row.body)["provider_id"], **last})
        return found

    return await caller.read(read)
