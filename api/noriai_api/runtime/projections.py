"""Tables to look things up in, from what a step of a region changed: bookings, plans, and messages to the world."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from noriai_api.access import audit
from noriai_api.events.waits import end_waits
from noriai_api.runtime.changes import DayChange
from noriai_api.runtime.made import compact, known_of, row_of
from noriai_api.runtime.region import RegionRuntime
from noriai_api.store import Database
from noriai_api.store.tables import bookings, outbox, plans, quotes, waiting
from noriai_engine.dispatch.bookings import Bookings
from noriai_engine.model import Booking
from noriai_engine.model.units import VehicleId

TOLD = frozenset({
    "booking_accepted", "booking_cancelled", "booking_moved", "promise_broken", "booking_dropped", "ride_interrupted",
    "booking_unassigned", "pickup_started", "picked_up", "dropped_off", "no_show",
})  # fmt: skip
"""Events of a booking that whoever made it hears of."""


@dataclass(frozen=True, slots=True)
class Projected:
    """Rows that follow from one change, at `time` (UTC ms)."""

    time: int
    bookings: list[dict[str, Any]]
    shared: list[str]
    """Requests that rode a leg together with another."""
    plans: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    made: list[dict[str, Any]]
    """Bookings of riders who waited for a batch, as `known_of` has them."""
    refused: list[dict[str, Any]]
    """Who waited in vain: quote and reason."""


def project(runtime: RegionRuntime, change: DayChange) -> Projected:
    """What a change is in the tables, read off the region just after it."""
    tenant, region = runtime.rules.tenant, runtime.rules.region
    found = Projected(change.time, [], shared_in(change), [], [], [], [])
    for answer in change.answered:
        if isinstance(answer, Booking):
            found.made.append(known_of(runtime.days[change.day], region, answer))
        else:
            found.refused.append({"quote": answer.request_id, "reason": answer.reason})
    for name, record in change.requests.items():
        booking = record["booking"]
        if booking is not None:
            found.bookings.append({
                "quote": name, "operator": booking["operator_id"], "vehicle": booking["vehicle_id"],
                "state": record["state"], "promise": compact(promise_of(runtime, change.day, record)),
            })  # fmt: skip
    for name in change.vehicles:
        found.plans.append(
            {
                "tenant": tenant,
                "region": region,
                "day": change.day,
                "vehicle": name,
                **plan_of(runtime, change.day, name),
            }
        )
    for event in change.events:
        if event.kind in TOLD and event.request_id is not None:
            body = {
                "event": event.kind, "quote": event.request_id, "time": event.time, "vehicle": event.vehicle_id,
                "operator": event.operator_id, "reason": event.reason, "details": json.loads(event.details or "{}"),
            }  # fmt: skip
            found.messages.append({
                "id": f"{region}-{change.day}-{event.sequence}", "tenant": tenant, "topic": f"booking.{event.kind}",
                "subject": event.request_id, "created": event.time, "body": compact(body), "done": False,
            })  # fmt: skip
    return found


def shared_in(change: DayChange) -> list[str]:
    """Requests that rode a leg of this change together with another."""
    return sorted({rider for leg in change.legs if len(leg.request_ids) > 1 for rider in leg.request_ids})


def promise_of(runtime: RegionRuntime, day: str, record: dict[str, Any]) -> dict[str, Any]:
    """What a booking is promised as it stands, any breach included (UTC ms)."""
    utc, wish = runtime.days[day].day.to_utc, record["wish"]
    return {
        "pickup": [utc(wish[4]), utc(wish[5])], "dropoff": [utc(wish[6]), utc(wish[7])], "max_ride_ms": wish[10],
    }  # fmt: skip


def plan_of(runtime: RegionRuntime, day: str, vehicle: str) -> dict[str, Any]:
    """A vehicle's plan as its driver needs it. Instants are UTC ms."""
    run = runtime.days[day]
    index = run.dispatcher.index_of(VehicleId(vehicle))
    plan, doing = run.dispatcher.plan(index, with_places=False), run.motion.doing(index)
    book = run.dispatcher.bookings
    activities = []
    for activity in plan.activities:
        request = book.requests[book.row_of[activity.request_id]] if activity.request_id is not None else None
        lon, lat = run.degrees(activity.stop.spot)
        named = None if request is None else (request.origin if activity.kind.name == "PICKUP" else request.destination)
        activities.append({
            "kind": activity.kind.name.lower(), "quote": activity.request_id,
            "booking": None if request is None else str(book.booked[request.id].id), "lon": lon, "lat": lat,
            "name": named.name if named is not None else "", "begin": activity.begin,
            "earliest": activity.earliest, "latest": activity.latest, "service_ms": activity.service_ms,
            "drive_ms": activity.drive_ms, "announced": activity.locked,
            "party": None if request is None else request.party.as_tuple(),
        })  # fmt: skip
    order = run.motion.under_way(index)
    waits = run.degrees(order.drive.target) if order is not None and order.is_to_wait else None
    body = {
        "activities": activities, "aboard": plan.aboard.as_tuple(), "started": run.motion.has_started(index),
        "driving": order is not None,
        "doing": None if doing is None else [doing[0].name.lower(), doing[1], doing[2], _booking(book, doing[1])],
        "wait_at": None if waits is None else {"lon": waits[0], "lat": waits[1]},
    }  # fmt: skip
    operator = str(run.dispatcher.vehicles[index].operator_id)
    return {"operator": operator, "version": plan.version, "body": compact(body)}


_FOLLOW = (
    update(bookings)
    .where(bookings.c.tenant == bindparam("its_tenant"), bookings.c.quote == bindparam("its_quote"))
    .values(version=bookings.c.version + 1, operator=bindparam("new_operator"), vehicle=bindparam("new_vehicle"),
            state=bindparam("new_state"), promise=bindparam("new_promise"))
)  # fmt: skip
"""Built once: putting a statement together takes longer than running it."""


def write_projected(database: Database, connection: Connection, tenant: str, region: str, projected: Projected) -> None:
    """Write the rows, in the transaction of `connection`."""
    for known in projected.made:
        _write_made(connection, tenant, known)
    for refused in projected.refused:
        waits = waiting.c.fresh_quote == refused["quote"]
        end_waits(connection, tenant, waits, "over", projected.time, reason=refused["reason"])
    if projected.bookings:
        rows = [
            {"its_tenant": tenant, "its_quote": row["quote"], "new_operator": row["operator"],
             "new_vehicle": row["vehicle"], "new_state": row["state"], "new_promise": row["promise"]}
            for row in projected.bookings
        ]  # fmt: skip
        connection.execute(_FOLLOW, rows)
    if projected.shared:
        where = (bookings.c.tenant == tenant, bookings.c.quote.in_(projected.shared))
        connection.execute(update(bookings).where(*where).values(shared=True))
    if projected.plans:
        connection.execute(database.upsert(plans), projected.plans)
    if projected.messages:
        connection.execute(_MESSAGE, projected.messages)


_MESSAGE = insert(outbox)


def _write_made(connection: Connection, tenant: str, known: dict[str, Any]) -> None:
    """The booking of a rider who waited, on behalf of the client that let it wait."""
    mine = (quotes.c.tenant == tenant, quotes.c.quote == known["quote"])
    quote = connection.execute(select(quotes).where(*mine)).mappings().one()
    row = row_of(known, {**quote, "body": json.loads(quote["body"])})
    connection.execute(insert(bookings).values(tenant=tenant, **row))
    audit.append(
        connection, time=known["body"]["made"], tenant=tenant, actor=row["client"], on_behalf_of=row["rider"],
        action="booking.create", resource=f"booking/{row['booking']}", payload=known["promise"],
    )  # fmt: skip
    waits, made = waiting.c.fresh_quote == row["quote"], known["body"]["made"]
    end_waits(connection, tenant, waits, "booked", made, booking=row["booking"])


def _booking(book: Bookings, request: str | None) -> str | None:
    return str(book.booked[request].id) if request is not None else None
