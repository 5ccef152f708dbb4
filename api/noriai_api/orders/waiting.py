"""The waiting list in the domain's terms: wishes that wait for offers, for a batch, or for the plan of the evening
before."""

import asyncio
import json
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from noriai_api.access.decision import decide, granted
from noriai_api.bookings import service as bookings_service
from noriai_api.bookings.repository import quote as quote_of
from noriai_api.bookings.schemas import QuoteIn, QuoteOut
from noriai_api.events.waits import End, end_waits
from noriai_api.guard import Caller
from noriai_api.node import Node
from noriai_api.orders.asker import caller_of
from noriai_api.orders.schemas import WaitIn, WaitingList, WaitOut, WaitState
from noriai_api.problems import Problem
from noriai_api.schemas import in_zone
from noriai_api.store.tables import quotes, waiting
from noriai_engine.model import ServiceDay


async def wait(caller: Caller, quote: str, how: WaitIn) -> WaitOut:
    """Put a wish on the waiting list. Raises Problem (not_found, conflict, not_allowed, paused)."""
    row = await caller.read(lambda connection: quote_of(connection, caller.grant, quote))
    if row is None:
        raise Problem("not_found", f"no quote {quote}")
    body = row["body"]
    is_refused = not body["offers"] and body["said"]["refusal"] is not None
    if body["wish"] is None or not (is_refused or (how.until == "plan" and body["offers"])):
        raise Problem(
            "conflict", "only a wish that was refused for want of a vehicle waits; this one has offers or no day"
        )
    if how.until != "offers":
        _may_be_booked(caller, body)
    async with caller.node.taking_turns.setdefault((caller.tenant, f"wait/{quote}"), asyncio.Lock()):
        found = await _waits(caller, quote)
        if found is not None:  # twice is once
            return found
        if how.until == "offers":
            values = _waiting_row(caller, row)
            await caller.write(lambda connection: connection.execute(insert(waiting).values(**values)))
        else:
            await _wait_to_be_booked(caller, row, how.until)
        found = await _waits(caller, quote)
        assert found is not None
        return found


def _may_be_booked(caller: Caller, body: dict[str, Any]) -> None:
    """Raises Problem (conflict, not_allowed) for a wish that nobody may book later without asking again."""
    if body["replaces"] is not None or body.get("is_leg"):
        raise Problem("conflict", "the change of a booking or a leg of a longer ride cannot be booked by itself")
    if granted(caller.subject, "booking.create") is None:
        raise Problem("not_allowed", decide(caller.subject, "booking.create").reason)
    if caller.subject.limits is not None:
        raise Problem("conflict", "a client with limits books what it was offered: wait until there are offers")


async def _wait_to_be_booked(caller: Caller, row: dict[str, Any], until: bookings_service.Later) -> None:
    def also(connection: Connection, said: QuoteOut) -> None:
        state: WaitState = "offered" if said.offers else "waiting" if said.refusal is None else "over"
        reason = None if said.refusal is None else said.refusal.reason
        values = _waiting_row(caller, row) | {"state": state, "fresh_quote": said.quote, "reason": reason}
        connection.execute(insert(waiting).values(**values, until=until))
        caller.note(connection, caller.node.clock.now(), f"quote/{row['quote']}", {until: said.quote})

    await bookings_service.stand_by(caller, row, until, also)


def _waiting_row(caller: Caller, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "tenant": caller.tenant, "quote": row["quote"], "client": caller.subject.client, "rider": row["rider"],
        "region": row["region"], "wish": json.dumps(row["body"]["wish"]), "state": "waiting", "fresh_quote": None,
    }  # fmt: skip


async def wait_no_longer(caller: Caller, quote: str) -> None:
    """Take a wish off the list. Raises Problem (not_found, conflict)."""
    row = await caller.read(lambda connection: quote_of(connection, caller.grant, quote))
    found = await _waits(caller, quote)
    if row is None or found is None:
        raise Problem("not_found", f"quote {quote} waits for nothing")
    if found.state == "booked":
        raise Problem("conflict", f"it is booked: cancel booking {found.booking}")
    where = (waiting.c.tenant == caller.tenant, waiting.c.quote == quote, waiting.c.state.in_(("waiting", "offered")))

    def write(connection: Connection) -> None:
        connection.execute(update(waiting).where(*where).values(state="withdrawn"))

    if found.state == "waiting" and found.until != "offers" and found.fresh_quote is not None:
        await bookings_service.withdraw(caller, row["region"], row["day"], found.fresh_quote, write)
    else:
        await caller.write(write)


async def waiters(caller: Caller) -> WaitingList:
    """The caller's wishes on the list."""
    rider = caller.grant.narrows("rider")
    mine = waiting.c.rider == rider if rider else waiting.c.client == caller.subject.client
    query = listed().where(waiting.c.tenant == caller.tenant, mine).order_by(waiting.c.quote)
    rows = await caller.read(lambda c: c.execute(query).mappings().all())
    return WaitingList(waiting=[_wait_out(caller, row) for row in rows])


def listed() -> Select[Any]:
    fresh = (quotes.c.tenant == waiting.c.tenant) & (quotes.c.quote == waiting.c.fresh_quote)
    return select(waiting, quotes.c.body, quotes.c.day).select_from(waiting.outerjoin(quotes, fresh))


async def _waits(caller: Caller, quote: str) -> WaitOut | None:
    query = listed().where(waiting.c.tenant == caller.tenant, waiting.c.quote == quote)
    row = await caller.read(lambda connection: connection.execute(query).mappings().first())
    return None if row is None else _wait_out(caller, row)


def _wait_out(caller: Caller, row: Any) -> WaitOut:
    """`row`: with the day and body of the fresh quote, which are kept for 62 days."""
    fare, answer_by = None, None
    if row["until"] != "offers" and row["body"] is not None:
        fare = json.loads(row["body"]).get("fares", [None])[0]
    if row["until"] == "plan" and row["day"] is not None:
        runtime = caller.node.actor(caller.tenant, row["region"]).runtime
        day = ServiceDay.on(row["day"], runtime.region.timezone)
        at = runtime.planned_at(day)
        answer_by = None if at is None else in_zone(at, day)
    return WaitOut(quote=row["quote"], state=row["state"], fresh_quote=row["fresh_quote"], until=row["until"],
                   answer_by=answer_by, booking=row["booking"], reason=row["reason"], fare=fare)  # fmt: skip


async def ask_again(node: Node, row: Any) -> None:
    """A wish of the list is asked anew: with offers it is told, past its time it is over."""
    caller = await caller_of(node, row["tenant"], row["client"])
    wish = QuoteIn.model_validate(json.loads(row["wish"]))
    end: End | None = None
    fresh, reason, now = None, None, node.clock.now()
    moment = wish.earliest_pickup or wish.latest_arrival
    if caller is None:
        end = "over"
    elif moment is None or moment.timestamp() * 1000 < now:
        end, reason = "over", "time.past"
    elif await node.actor(row["tenant"], row["region"]).look(lambda r: bookings_service.is_served(r, wish)):
        answer = await bookings_service.quote(caller, row["region"], wish, lambda connection, status, body: None)
        if answer.body["offers"]:
            end, fresh = "offered", answer.body["quote"]
    if end is not None:
        it, done = waiting.c.quote == row["quote"], end
        await node.write(lambda c: end_waits(c, row["tenant"], it, done, now, fresh_quote=fresh, reason=reason))
