"""Standing orders and the waiting list in the domain's terms. Each step is done once, however often it is tried."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from noriai_api.access.clients import subject_of
from noriai_api.access.decision import decide, granted
from noriai_api.bookings import service as bookings_service
from noriai_api.bookings.repository import quote as quote_of
from noriai_api.bookings.schemas import BookingIn, QuoteIn, QuoteOut
from noriai_api.guard import Caller
from noriai_api.idempotency import Answer, once
from noriai_api.node import Node
from noriai_api.orders.schemas import StandingIn, StandingOrders, StandingOut, WaitIn, WaitingList, WaitOut, WaitState
from noriai_api.parties.fleet import WEEKDAYS
from noriai_api.problems import Problem
from noriai_api.store.tables import clients, quotes, riders, standing, standing_runs, waiting
from noriai_api.tenancy import narrowed
from noriai_engine.model import ServiceDay

# --- standing orders ----------------------------------------------------------------------------------------


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
            mine = (standing_runs.c.tenant == caller.tenant, standing_runs.c.order == row["order"])
            runs = connection.execute(select(standing_runs).where(*mine).order_by(standing_runs.c.day)).mappings()
            shown = [
                {"day": r["day"], "state": r["state"], "booking": r["booking"], "reason": r["reason"]} for r in runs
            ]
            found.append(StandingOut.model_validate({"order": row["order"], "runs": shown, **json.loads(row["body"])}))
        return StandingOrders(orders=found)

    return await caller.read(read)


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
    caller = await _caller(node, one.tenant, one.client)
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


# --- the waiting list ---------------------------------------------------------------------------------------


async def wait(caller: Caller, quote: str, how: WaitIn) -> WaitOut:
    """Put a refused wish on the waiting list. Raises Problem (not_found, conflict, paused)."""
    row = await caller.read(lambda connection: quote_of(connection, caller.grant, quote))
    if row is None:
        raise Problem("not_found", f"no quote {quote}")
    body = row["body"]
    if body["offers"] or body["wish"] is None or body["said"]["refusal"] is None:
        raise Problem(
            "conflict", "only a wish that was refused for want of a vehicle waits; this one has offers or no day"
        )
    if how.book and (body["replaces"] is not None or body.get("is_leg")):
        raise Problem("conflict", "the change of a booking or a leg of a longer ride cannot be booked by itself")
    if how.book and granted(caller.subject, "booking.create") is None:
        raise Problem("not_allowed", decide(caller.subject, "booking.create").reason)
    if how.book and caller.subject.limits is not None:
        raise Problem("conflict", "a client with limits books what it was offered: wait without `book`")
    async with caller.node.taking_turns.setdefault((caller.tenant, f"wait/{quote}"), asyncio.Lock()):
        found = await caller.read(lambda connection: _waits(connection, caller.tenant, quote))
        if found is not None:  # twice is once
            return found
        return await _wait_for_batch(caller, row) if how.book else await _wait_for_offers(caller, row)


async def _wait_for_offers(caller: Caller, row: dict[str, Any]) -> WaitOut:
    values = _waiting_row(caller, row)
    await caller.write(lambda connection: connection.execute(insert(waiting).values(**values)))
    return _wait_out({**values, "books": False, "booking": None, "reason": None})


async def _wait_for_batch(caller: Caller, row: dict[str, Any]) -> WaitOut:
    def state_of(said: QuoteOut) -> WaitState:
        return "offered" if said.offers else "waiting" if said.refusal is None else "over"

    def also(connection: Connection, said: QuoteOut) -> None:
        reason = None if said.refusal is None else said.refusal.reason
        values = _waiting_row(caller, row) | {"state": state_of(said), "fresh_quote": said.quote, "reason": reason}
        connection.execute(insert(waiting).values(**values, books=True))
        caller.note(connection, caller.node.clock.now(), f"quote/{row['quote']}", {"book": said.quote})

    said, fare = await bookings_service.stand_by(caller, row, also)
    reason = None if said.refusal is None else said.refusal.reason
    return WaitOut(
        quote=row["quote"], state=state_of(said), fresh_quote=said.quote, book=True, reason=reason, fare=fare
    )


def _waiting_row(caller: Caller, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "tenant": caller.tenant, "quote": row["quote"], "client": caller.subject.client, "rider": row["rider"],
        "region": row["region"], "wish": json.dumps(row["body"]["wish"]), "state": "waiting", "fresh_quote": None,
    }  # fmt: skip


async def wait_no_longer(caller: Caller, quote: str) -> None:
    """Take a wish off the list. Raises Problem (not_found, conflict)."""
    row = await caller.read(lambda connection: quote_of(connection, caller.grant, quote))
    found = await caller.read(lambda connection: _waits(connection, caller.tenant, quote))
    if row is None or found is None:
        raise Problem("not_found", f"quote {quote} waits for nothing")
    if found.state == "booked":
        raise Problem("conflict", f"it is booked: cancel booking {found.booking}")
    where = (waiting.c.tenant == caller.tenant, waiting.c.quote == quote, waiting.c.state.in_(("waiting", "offered")))

    def write(connection: Connection) -> None:
        connection.execute(update(waiting).where(*where).values(state="withdrawn"))

    if found.state == "waiting" and found.book and found.fresh_quote is not None:
        await bookings_service.withdraw(caller, row["region"], row["day"], found.fresh_quote, write)
    else:
        await caller.write(write)


async def waiters(caller: Caller) -> WaitingList:
    """The caller's wishes on the list."""
    rider = caller.grant.narrows("rider")
    mine = waiting.c.rider == rider if rider else waiting.c.client == caller.subject.client
    query = _listed().where(waiting.c.tenant == caller.tenant, mine).order_by(waiting.c.quote)
    rows = await caller.read(lambda c: c.execute(query).mappings().all())
    return WaitingList(waiting=[_wait_out(row) for row in rows])


def _listed() -> Select[Any]:
    fresh = (quotes.c.tenant == waiting.c.tenant) & (quotes.c.quote == waiting.c.fresh_quote)
    return select(waiting, quotes.c.body).select_from(waiting.outerjoin(quotes, fresh))


def _waits(connection: Connection, tenant: str, quote: str) -> WaitOut | None:
    query = _listed().where(waiting.c.tenant == tenant, waiting.c.quote == quote)
    row = connection.execute(query).mappings().first()
    return None if row is None else _wait_out(row)


def _wait_out(row: Any) -> WaitOut:
    quote = json.loads(row["body"]) if row["books"] and row["body"] is not None else {}  # kept for 62 days
    fare = quote.get("fares", [None])[0]
    return WaitOut(quote=row["quote"], state=row["state"], fresh_quote=row["fresh_quote"], book=row["books"],
                   booking=row["booking"], reason=row["reason"], fare=fare)  # fmt: skip


async def ask_again(node: Node, row: Any) -> None:
    """A wish of the list is asked anew: with offers it is told, past its time it is over."""
    caller = await _caller(node, row["tenant"], row["client"])
    wish = QuoteIn.model_validate(json.loads(row["wish"]))
    state, fresh = "waiting", None
    moment = wish.earliest_pickup or wish.latest_arrival
    if caller is None or moment is None or moment.timestamp() * 1000 < node.clock.now():
        state = "over"
    elif await node.actor(row["tenant"], row["region"]).look(lambda r: bookings_service.is_served(r, wish)):
        answer = await bookings_service.quote(caller, row["region"], wish, lambda connection, status, body: None)
        if answer.body["offers"]:
            state, fresh = "offered", answer.body["quote"]
    if state != "waiting":
        where = (waiting.c.tenant == row["tenant"], waiting.c.quote == row["quote"], waiting.c.state == "waiting")
        await node.write(lambda c: c.execute(update(waiting).where(*where).values(state=state, fresh_quote=fresh)))


async def look_after_wishes(node: Node) -> None:
    """What is due of standing orders and the waiting list."""
    for one in await node.read(lambda connection: due(connection, node)):
        await place(node, one)
    query = select(waiting).where(waiting.c.state == "waiting", waiting.c.books.is_(False)).order_by(waiting.c.quote)
    for row in await node.read(lambda connection: connection.execute(query).mappings().all()):
        if (row["tenant"], row["region"]) in node.process.held:
            await ask_again(node, row)


async def _caller(node: Node, tenant: str, client: str) -> Caller | None:
    """Whoever asked, as they would ask now; None for one whose key was revoked."""
    query = select(clients).where(clients.c.tenant == tenant, clients.c.client == client, clients.c.revoked.is_(None))
    row = await node.read(lambda connection: connection.execute(query).mappings().first())
    if row is None:
        return None
    subject = subject_of(row)
    grant = granted(subject, "booking.create")
    return None if grant is None else Caller(node, subject, grant)
