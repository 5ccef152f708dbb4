"""A ride over one or several fleets as a whole: all its legs are booked, or none is.

States: offered, buying, booked, giving_back, and at the end refused, given_up or broken. While it is bought, one leg is
taken after another, neighbours' first; where one is not to be had, those before are given back.
"""

import json
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from noriai_api.access.decision import granted
from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import BookingIn, QuoteIn
from noriai_api.borders import legs
from noriai_api.borders.asking import Journey, Row
from noriai_api.borders.legs import SETTLED, UNANSWERED_MS, Leg
from noriai_api.exchange.service import Exchange
from noriai_api.guard import Caller
from noriai_api.node import Node
from noriai_api.problems import Problem
from noriai_api.store.exchange_tables import rides

NEVER = 2**62
UNDER_WAY = ("buying", "giving_back", "booked")

End = Literal["refused", "given_up", "broken", "offered"]


def write_offered(
    connection: Connection, tenant: str, ride: str, client: str, now: int, region: str, wish: QuoteIn,
    journeys: list[Journey], refusal: Row | None,
) -> None:  # fmt: skip
    """A ride that was asked for, with what it could be."""
    body = {
        "region": region, "wish": wish.model_dump(mode="json"), "offers": [journey.body() for journey in journeys],
        "refusal": refusal,
    }  # fmt: skip
    row = {"tenant": tenant, "ride": ride, "client": client, "state": "offered", "made": now, "next_try": NEVER}
    connection.execute(insert(rides).values(**row, body=json.dumps(body)))


def find(connection: Connection, tenant: str, ride: str) -> Row | None:
    where = (rides.c.tenant == tenant, rides.c.ride == ride)
    row = connection.execute(select(rides).where(*where)).mappings().first()
    return None if row is None else dict(row) | {"body": json.loads(row["body"])}


def due(connection: Connection, tenant: str, now: int) -> list[Row]:
    """Rides under way that are to be looked at now."""
    where = (rides.c.tenant == tenant, rides.c.next_try <= now)
    rows = connection.execute(select(rides).where(*where).order_by(rides.c.next_try).limit(100)).mappings()
    return [dict(row) | {"body": json.loads(row["body"])} for row in rows]


def move(connection: Connection, row: Row, before: str, state: str, **more: Any) -> bool:
    """Into another state, if it is still in the one it was; False where it is not."""
    if "body" in more:
        more["body"] = json.dumps(more["body"])
    where = (rides.c.tenant == row["tenant"], rides.c.ride == row["ride"], rides.c.state == before)
    return connection.execute(update(rides).where(*where).values(state=state, **more)).rowcount > 0


def keep(connection: Connection, row: Row, *, next_try: int, **body: Any) -> bool:
    """Note more of a booked ride; False where it, or what it is made of, has changed since it was read."""
    now = find(connection, row["tenant"], row["ride"])
    if now is None or now["body"].get("legs") != row["body"].get("legs"):
        return False
    return move(connection, row, "booked", "booked", body=now["body"] | body, next_try=next_try)


def plan(connection: Connection, row: Row) -> list[Leg]:
    """The legs that the ride is made of now, in their order; those given back meanwhile are not among them."""
    found = {leg.number: leg for leg in legs.of_ride(connection, row["tenant"], row["ride"])}
    return [found[number] for number in row["body"].get("legs", ())]


def begin(connection: Connection, row: Row, number: int, now: int) -> bool:
    """Take an offer: from here on it is bought, whatever happens to us; False where another was quicker."""
    parts = row["body"]["offers"][number]["legs"]
    first = len(legs.of_ride(connection, row["tenant"], row["ride"]))
    body = row["body"] | {"taken": number, "legs": [first + k for k in range(len(parts))], "at": 0}
    if not move(connection, row, "offered", "buying", body=body, next_try=now + UNANSWERED_MS):
        return False
    for k, part in enumerate(parts):
        legs.add(connection, row["tenant"], row["ride"], first + k, part)
    return True


async def pursue(node: Node, exchange: Exchange, ride: str, caller: Caller | None = None) -> None:
    """Take one leg after another, until all are booked, one is not to be had, or an answer is missing. `caller`: who
    asked, if they are there; else their client is asked for."""
    while True:
        leg = await exchange.write(lambda c: _next(c, exchange, ride))
        if leg is None:
            break
        await take_leg(node, exchange, leg, caller)
        await exchange.write(lambda c: conclude(c, exchange, ride))
    await exchange.write(lambda c: conclude(c, exchange, ride))


async def take_leg(node: Node, exchange: Exchange, leg: Leg, caller: Caller | None) -> Leg:
    """Take a leg that is marked as being bought; as it stands after that."""
    if leg.is_own:
        await _book_own(node, exchange, leg, caller)
    else:
        await legs.buy(exchange, leg)
    return (await exchange.read(lambda c: legs.of_ride(c, exchange.tenant, leg.ride)))[leg.number]


async def settle(node: Node, exchange: Exchange, leg: Leg) -> None:
    """Go on with a leg that is neither somebody's nor nobody's."""
    if not leg.is_own:
        await (legs.settle if leg.state == "buying" else legs.give_back)(exchange, leg)
    elif leg.state == "buying":  # we stopped before we had booked it
        body = leg.body | {"said": {"code": "interrupted"}}
        await exchange.write(lambda c: legs.move(c, exchange.tenant, leg, "buying", "refused", body=body))
    else:
        await _cancel_own(node, exchange, leg)
    await pursue(node, exchange, leg.ride)


def conclude(connection: Connection, exchange: Exchange, ride: str) -> None:
    """What the states of its legs make of a ride."""
    row = find(connection, exchange.tenant, ride)
    if row is None:
        return
    here = plan(connection, row)
    if row["state"] == "buying" and all(leg.state == "booked" for leg in here):
        again = NEVER if len(here) == 1 else exchange.clock.now()
        move(connection, row, "buying", "booked", next_try=again)
    elif row["state"] == "buying" and (lost := next((leg for leg in here if leg.state == "refused"), None)):
        undo(connection, row, "offered" if lost.said.get("code") == "interrupted" else "refused")
    elif row["state"] == "giving_back" and all(
        leg.state in SETTLED for leg in legs.of_ride(connection, row["tenant"], ride)
    ):
        move(connection, row, "giving_back", row["body"]["then"], next_try=NEVER)


def undo(connection: Connection, row: Row, then: End) -> bool:
    """Give back every leg there is; what the ride is once that is done. It is looked at until then. False, and nothing
    done, where its state is another by now."""
    body = row["body"] | {"then": then}
    if not move(connection, row, row["state"], "giving_back", body=body, next_try=0):
        return False
    of_ride = legs.of_ride(connection, row["tenant"], row["ride"])
    for leg in of_ride:
        let_go(connection, row["tenant"], leg)
    if all(leg.state in (*SETTLED, "wanted") for leg in of_ride):
        move(connection, row, "giving_back", then, next_try=NEVER)
    return True


def let_go(connection: Connection, tenant: str, leg: Leg) -> None:
    """A leg that is wanted no longer."""
    if leg.state == "wanted":
        legs.move(connection, tenant, leg, "wanted", "given_up")
    elif leg.state not in SETTLED:
        legs.move(connection, tenant, leg, leg.state, "giving_back", next_try=0)


def _next(connection: Connection, exchange: Exchange, ride: str) -> Leg | None:
    """The next leg to take, marked as being bought; None where there is none, or an answer is missing."""
    row, now = find(connection, exchange.tenant, ride), exchange.clock.now()
    if row is None or row["state"] != "buying":
        return None
    here = sorted(plan(connection, row), key=lambda leg: leg.is_own)
    if any(leg.state == "buying" for leg in here):
        return None
    wanted = next((leg for leg in here if leg.state == "wanted"), None)
    return None if wanted is None else bought_from_now(connection, exchange, wanted, now)


def bought_from_now(connection: Connection, exchange: Exchange, leg: Leg, now: int) -> Leg | None:
    """Mark a wanted leg as being bought."""
    body, again = leg.body | {"bought_at": now}, now + UNANSWERED_MS
    if not legs.move(connection, exchange.tenant, leg, "wanted", "buying", body=body, next_try=again):
        return None
    return Leg(leg.ride, leg.number, "buying", leg.participant, leg.agreement, None, again, body)


# --- our own fleet ----------------------------------------------------------------------------------------------


async def caller_of(node: Node, exchange: Exchange, ride: str) -> Caller | None:
    """Whoever asked for a ride, as they would ask now; None for one whose key was revoked."""
    row = await exchange.read(lambda c: find(c, exchange.tenant, ride))
    client = None if row is None else await node.client_named(exchange.tenant, row["client"])
    grant = None if client is None else granted(client.subject, "booking.create")
    return None if client is None or grant is None else Caller(node, client.subject, grant)


async def _book_own(node: Node, exchange: Exchange, leg: Leg, caller: Caller | None) -> None:
    """Book a leg with our own fleet; its row changes with the booking, or not at all."""
    caller = caller or await caller_of(node, exchange, leg.ride)
    quote, _, number = str(leg.body["part"]["id"]).rpartition(":")

    def keep(connection: Connection, status: int, body: Any) -> None:
        more = {"booking": body["booking"], "body": leg.body | {"said": body}}
        if not legs.move(connection, exchange.tenant, leg, "buying", "booked", **more):  # given up meanwhile
            for state in ("giving_back", *SETTLED):
                legs.move(connection, exchange.tenant, leg, state, "giving_back", next_try=0, **more)

    try:
        if caller is None:
            raise Problem("not_allowed")
        await bookings.book(caller, BookingIn(quote=quote, offer=int(number)), keep)
    except Problem as problem:
        body = leg.body | {"said": {"code": problem.code}}
        await exchange.write(lambda c: legs.move(c, exchange.tenant, leg, "buying", "refused", body=body))


async def _cancel_own(node: Node, exchange: Exchange, leg: Leg) -> None:
    caller, said = await caller_of(node, exchange, leg.ride), {}
    if leg.booking is not None and caller is not None:
        try:
            await bookings.cancel(caller, leg.booking)
        except Problem as problem:
            if problem.code not in ("conflict", "not_found"):
                raise
            said = {"said": {"code": problem.code}}
    await exchange.write(lambda c: legs.move(c, exchange.tenant, leg, "giving_back", "given_up", body=leg.body | said))
