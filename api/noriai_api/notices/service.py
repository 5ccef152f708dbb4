"""Giving notices: a message in the outbox and the note that it was given, in one transaction."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select, update

from noriai_api.node import Node
from noriai_api.notices.due import AHEAD_MS, Notice, Ride, due
from noriai_api.store.tables import bookings, notices, operators, outbox, plans
from noriai_engine.model.units import HOUR_MS

TIME = "time"
"""The row of the time a rider knows."""


async def give_notices(node: Node) -> None:
    """What riders are to be told now, in the regions that this process holds."""
    for (tenant, region), actor in node.actors.items():
        if not actor.is_held:
            continue
        now = node.clock.now()
        rides, fresh, named = await node.read(partial(_waiting, tenant=tenant, region=region, now=now))
        found = due(rides, now, actor.runtime.region.timezone, named)
        if found or fresh:
            await node.write(partial(_give, new_id=node.ids.new_id, tenant=tenant, now=now, given=found, fresh=fresh))


def _waiting(
    connection: Connection, tenant: str, region: str, now: int
) -> tuple[list[Ride], list[tuple[str, int]], dict[str, dict[str, Any]]]:
    """Rides to come with what their riders know; times that were never noted; operators by id."""
    where = (bookings.c.tenant == tenant, bookings.c.region == region, bookings.c.state == "accepted",
             bookings.c.pickup.between(now - HOUR_MS, now + AHEAD_MS))  # fmt: skip
    rows = connection.execute(select(bookings).where(*where)).mappings().all()
    days = {row["day"] for row in rows}
    mine = (plans.c.tenant == tenant, plans.c.region == region, plans.c.day.in_(days))
    planned: dict[str, tuple[int, bool]] = {}
    for plan in connection.execute(select(plans.c.body).where(*mine)).scalars():
        for number, activity in enumerate(a for a in json.loads(plan)["activities"] if a["quote"] is not None):
            if activity["kind"] == "pickup":
                planned[activity["quote"]] = (activity["begin"], number == 0)
    names = [row["booking"] for row in rows]
    query = select(notices).where(notices.c.tenant == tenant, notices.c.booking.in_(names))
    known: dict[str, dict[str, int]] = {}
    for row in connection.execute(query).mappings():
        known.setdefault(row["booking"], {})[row["kind"]] = row["at"]
    rides, fresh = [], []
    for row in rows:
        if row["quote"] not in planned:
            continue
        pickup, is_next = planned[row["quote"]]
        given = known.get(row["booking"], {})
        if TIME not in given:
            fresh.append((row["booking"], pickup))
        rides.append(Ride(
            row["booking"], row["quote"], row["day"], row["operator"], json.loads(row["body"])["made"], pickup, is_next,
            given.get(TIME), frozenset(given),
        ))  # fmt: skip
    found = connection.execute(select(operators.c.operator, operators.c.body).where(operators.c.tenant == tenant))
    return rides, fresh, {row.operator: json.loads(row.body) for row in found}


def _give(
    connection: Connection, new_id: Callable[[], str], tenant: str, now: int, given: list[Notice],
    fresh: list[tuple[str, int]],
) -> None:  # fmt: skip
    for booking, pickup in fresh:
        if not _known(connection, tenant, booking, TIME):
            _note(connection, tenant, booking, TIME, pickup)
    for notice in given:
        ride, kind = notice.ride, notice.kind
        mine = (notices.c.tenant == tenant, notices.c.booking == ride.booking, notices.c.kind == TIME)
        if kind == "new_time":
            same = connection.execute(update(notices).where(*mine, notices.c.at == ride.told).values(at=ride.pickup))
            if not same.rowcount:  # somebody was faster
                continue
        elif _known(connection, tenant, ride.booking, kind):
            continue
        else:
            _note(connection, tenant, ride.booking, kind, ride.pickup)
        body = {"notice": kind, "time": now, "text": notice.text, "old": notice.old, "new": notice.new}
        connection.execute(insert(outbox).values(
            id=new_id(), tenant=tenant, topic=f"notice.{kind}",
            subject=ride.quote, created=now, body=json.dumps(body, sort_keys=True, ensure_ascii=False), done=False,
        ))  # fmt: skip


def _known(connection: Connection, tenant: str, booking: str, kind: str) -> bool:
    where = (notices.c.tenant == tenant, notices.c.booking == booking, notices.c.kind == kind)
    return connection.execute(select(notices.c.kind).where(*where)).first() is not None


def _note(connection: Connection, tenant: str, booking: str, kind: str, at: int) -> None:
    connection.execute(insert(notices).values(tenant=tenant, booking=booking, kind=kind, at=at))
