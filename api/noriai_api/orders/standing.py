"""Standing orders in the domain's terms: each day is booked once, however often it is tried."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from noriai_api.bookings import service as bookings_service
from noriai_api.bookings.schemas import BookingIn, QuoteIn
from noriai_api.guard import Caller
from noriai_api.idempotency import Answer, once
from noriai_api.node import Node
from noriai_api.orders.asker import caller_of
from noriai_api.orders.schemas import StandingIn, StandingOrders, StandingOut, WaitIn
from noriai_api.orders.waiting import wait
from noriai_api.parties.fleet import WEEKDAYS
from noriai_api.problems import Problem
from noriai_api.store.tables import riders, standing, standing_runs, waiting
from noriai_api.tenancy import narrowed
from noriai_engine.model import ServiceDay


async def add(caller: Caller, order: StandingIn) -> StandingOut:
    """Write a standing order. Raises Problem (not_found)."""
    node, now, name = caller.node, caller.node.clock.now(), caller.node.ids.new_id()
    node.actor(caller.tenant, order.region)
    known = select(riders.c.rider).where(riders.c.rider == order.rider)

    def write(connection: Connection) -> None:
        grant = bookings_service.riders_grant(caller.grant)
        if connection.execute(narrowed(known, riders, grant)).first() is None:
            raise Problem("not_found", f"no rider {order.rider}")
        connection.execute(
            insert(standing).values(
                tenant=caller.tenant, order=name, client=caller.subject.client, rider=order.rider,
                body=order.model_dump_json(), ended=None,
            )
        )  # fmt: skip
        caller.note(connection, now, f"order/{name}", {"rider": order.rider})

    await caller.write(write)
    return StandingOut(order=name, runs=[], **order.model_dump())


async def checker(caller: Caller) -> Callable[[StandingIn], list[tuple[str, str, str]]]:
    """Says of an order which region or rider it names is not there: (column, what, what to do)."""
    regions = {region for tenant, region in caller.node.actors if tenant == caller.tenant}
    query = select(riders.c.rider).where(riders.c.tenant == caller.tenant)
    named = set(await caller.read(lambda connection: connection.execute(query).scalars().all()))

    def wrong(order: StandingIn) -> list[tuple[str, str, str]]:
        asked = (("region", order.region, regions), ("rider", order.rider, named))
        return [(column, f"no {column} {value}", f"correct it, or make the {column} first")
                for column, value, there in asked if value not in there]  # fmt: skip

    return wrong


async def take_in(caller: Caller, rows: list[tuple[str, StandingIn]]) -> None:
    """Write standing orders under ids of the caller's own; one that is there already is written anew."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        for name, order in rows:
            mine = (standing.c.tenant == caller.tenant, standing.c.order == name)
            values = {"client": caller.subject.client, "rider": order.rider, "body": order.model_dump_json(),
                      "ended": None}  # fmt: skip
            if not connection.execute(update(standing).where(*mine).values(**values)).rowcount:
                connection.execute(insert(standing).values(tenant=caller.tenant, order=name, **values))
        caller.note(connection, now, "import/standing-orders", {"rows": len(rows)})

    await caller.write(write)


async def listed(caller: Caller) -> StandingOrders:
    """Standing orders within reach, with what came of them."""

    def read(connection: Connection) -> StandingOrders:
        query = select(standing).where(standing.c.ended.is_(None)).order_by(standing.c.order)
        found = []
        for row in connection.execute(
            narrowed(query, standing, bookings_service.riders_grant(caller.grant))
        ).mappings():
            shown = [_shown(run) for run in connection.execute(_runs(caller.tenant, row["order"])).mappings()]
            found.append(StandingOut.model_validate({"order": row["order"], "runs": shown, **json.loads(row["body"])}))
        return StandingOrders(orders=found)

    return await caller.read(read)


def _runs(tenant: str, order: str) -> Select[Any]:
    """Days of an order, each with what became of it on the waiting list."""
    same = (waiting.c.tenant == standing_runs.c.tenant) & (waiting.c.quote == standing_runs.c.quote)
    later = [waiting.c[name].label(f"later_{name}") for name in ("state", "booking", "reason")]
    query = select(standing_runs, *later).select_from(standing_runs.outerjoin(waiting, same))
    mine = (standing_runs.c.tenant == tenant, standing_runs.c.order == order)
    return query.where(*mine).order_by(standing_runs.c.day)


def _shown(run: Any) -> dict[str, Any]:
    before = "later_" if run["later_state"] is not None else ""
    state = {"over": "refused", "offered": "refused"}.get(run[f"{before}state"], run[f"{before}state"])
    return {"day": run["day"], "state": state, "booking": run[f"{before}booking"], "reason": run[f"{before}reason"]}


async def end(caller: Caller, name: str) -> None:
    """No further rides of an order; those booked stay. Raises Problem (not_found)."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        query = select(standing.c.order).where(standing.c.order == name, standing.c.ended.is_(None))
        if connection.execute(narrowed(query, standing, bookings_service.riders_grant(caller.grant))).first() is None:
            raise Problem("not_found", f"no order {name}")
        where = (standing.c.tenant == caller.tenant, standing.c.order == name)
        connection.execute(update(standing).where(*where).values(ended=now))
        caller.note(connection, now, f"order/{name}", {"ended": True})

    await caller.write(write)


@dataclass(frozen=True, slots=True)
class _Due:
    tenant: str
    order: str
    client: str
    day: date
    body: StandingIn


def due(connection: Connection, node: Node) -> list[_Due]:
    """Days of orders that can be booked now and have not been tried."""
    done = {(r.tenant, r.order, r.day) for r in connection.execute(select(standing_runs.c.tenant, standing_runs.c.order,
                                                                          standing_runs.c.day))}  # fmt: skip
    found = []
    for row in connection.execute(select(standing).where(standing.c.ended.is_(None))).mappings():
        body = StandingIn.model_validate(json.loads(row["body"]))
        actor = node.actors.get((row["tenant"], body.region))
        if actor is None or not actor.is_held:
            continue
        today = actor.runtime.service_day(node.clock.now()).date
        for ahead in range(body.ahead_days + 1):
            day = today + timedelta(days=ahead)
            runs = body.valid_from <= day <= body.valid_to and day not in body.except_dates
            if runs and WEEKDAYS[day.weekday()] in body.weekdays and (row["tenant"], row["order"],
                                                                      day.isoformat()) not in done:  # fmt: skip
                found.append(_Due(row["tenant"], row["order"], row["client"], day, body))
    return found


async def place(node: Node, one: _Due) -> None:
    """Book a day of an order, or note why it cannot be."""
    caller = await caller_of(node, one.tenant, one.client)
    if caller is None:
        return
    body, day = one.body, ServiceDay(one.day, node.actor(one.tenant, one.body.region).runtime.region.timezone)
    when = day.rfc3339(day.at(str(body.depart or body.arrive)))
    wish = QuoteIn.model_validate({
        **body.model_dump(include={"origin", "destination", "party", "needs"}), "rider": body.rider,
        "earliest_pickup" if body.depart else "latest_arrival": when,
    })  # fmt: skip
    key = f"standing-{one.order}-{one.day}"
    quoted = await once(caller, f"{key}-q", wish.model_dump(mode="json"),
                        lambda keep: bookings_service.quote(caller, body.region, wish, keep))  # fmt: skip
    booking, reason = None, None
    if body.by_plan and await _is_left_to_plan(caller, quoted.body["quote"]):
        row = {"tenant": one.tenant, "order": one.order, "day": one.day.isoformat(), "booking": None, "reason": None,
               "state": "waiting", "quote": quoted.body["quote"]}  # fmt: skip
        await node.write(lambda connection: connection.execute(insert(standing_runs).values(**row)))
        return
    if quoted.body["offers"]:
        taking = BookingIn(quote=quoted.body["quote"])
        try:
            answer: Answer = await once(caller, key, taking.model_dump(),
                                        lambda keep: bookings_service.book(caller, taking, keep))  # fmt: skip
            booking = answer.body["booking"]
        except Problem as problem:
            reason = problem.code
    else:
        reason = quoted.body["refusal"]["reason"]
    row = {"tenant": one.tenant, "order": one.order, "day": one.day.isoformat(), "booking": booking, "reason": reason,
           "state": "booked" if booking else "refused"}  # fmt: skip
    await node.write(lambda connection: connection.execute(insert(standing_runs).values(**row)))


async def _is_left_to_plan(caller: Caller, quote: str) -> bool:
    """Leave a wish to the plan; False where there is none, it was made, or an offer was taken. Raises Problem."""
    try:
        await wait(caller, quote, WaitIn(until="plan"))
    except Problem as problem:
        if problem.code != "conflict":
            raise
        return False
    return True
