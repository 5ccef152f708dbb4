"""The legs of a ride, each with one owner at each moment. Before an offer is taken, that is written down; the leg is
the fleet's once it has said so. Where a neighbour's answer is lost it is asked what came of it, by the leg's own key,
until it is known; a leg given up meanwhile is given back."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import Connection, insert, select, update

from noriai_api.borders.asking import Row
from noriai_api.clocks import after_pause
from noriai_api.exchange import usage
from noriai_api.exchange.keys import ProofError
from noriai_api.exchange.service import Exchange
from noriai_api.standards import tomp
from noriai_api.store.exchange_tables import legs

FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 60_000
UNANSWERED_MS = 30_000
"""A purchase that we do not know the end of by then (we may have stopped meanwhile) is asked about."""
SETTLED = ("refused", "given_up")
"""States of a leg that is nobody's."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg as it stands: wanted (nothing was sent), buying, booked, refused, giving_back, given_up."""

    ride: str
    number: int
    state: str
    participant: str | None
    agreement: str | None
    booking: str | None
    next_try: int
    body: Row
    """`part`: the offer taken; `key`: what the neighbour knows the purchase by; `said`: the last answer."""

    @property
    def is_own(self) -> bool:
        return self.participant is None

    @property
    def said(self) -> Row:
        return dict(self.body.get("said") or {})


def add(connection: Connection, tenant: str, ride: str, number: int, part: Row) -> None:
    """A leg that is wanted, and not sent yet."""
    body = {"part": part, "key": f"{ride}-{number}", "said": {}}
    connection.execute(
        insert(legs).values(
            tenant=tenant, ride=ride, number=number, state="wanted", participant=part["participant"],
            agreement=part["agreement"], booking=None, next_try=0, body=json.dumps(body),
        )
    )  # fmt: skip


def of_ride(connection: Connection, tenant: str, ride: str) -> list[Leg]:
    """All legs that a ride ever had, by number."""
    query = select(legs).where(legs.c.tenant == tenant, legs.c.ride == ride).order_by(legs.c.number)
    return [_leg(row) for row in connection.execute(query).mappings()]


def due(connection: Connection, tenant: str, now: int) -> list[Leg]:
    """Legs that are neither somebody's nor nobody's, and whose time to be asked about has come."""
    where = (legs.c.tenant == tenant, legs.c.state.in_(("buying", "giving_back")), legs.c.next_try <= now)
    return [_leg(row) for row in connection.execute(select(legs).where(*where).limit(100)).mappings()]


def move(connection: Connection, tenant: str, leg: Leg, before: str, state: str, **more: Any) -> bool:
    """Into another state, if it is still in the one it was; False where it is not."""
    if "body" in more:
        more["body"] = json.dumps(more["body"])
    where = (*_mine(tenant, leg), legs.c.state == before)
    return connection.execute(update(legs).where(*where).values(state=state, **more)).rowcount > 0


async def buy(exchange: Exchange, leg: Leg) -> None:
    """Take a neighbour's offer, once; what their answer means is settled here, or later."""
    try:
        taking = tomp.purchase(leg.body["part"]["id"], leg.body["key"])
        answer = await exchange.call(str(leg.participant), "POST", "rides/processes/purchase-offers/execution", taking)
    except (httpx.HTTPError, ProofError):
        answer = None
    if answer is None or answer[0] >= 500 or answer[0] in (401, 429) or _is_in_flight(answer):
        await exchange.write(lambda c: _later(c, exchange, leg))
        return
    await exchange.write(lambda c: _bought(c, exchange, leg, answer[0], answer[1]))


async def settle(exchange: Exchange, leg: Leg) -> None:
    """An answer was lost: ask what came of the leg, and only where nothing did, take the offer again."""
    answer = await _asked(exchange, leg)
    if answer is not None and answer[0] == 200:
        await exchange.write(lambda c: _bought(c, exchange, leg, 200, answer[1]))
    elif answer is not None and answer[0] == 404:
        await buy(exchange, leg)
    else:
        await exchange.write(lambda c: _later(c, exchange, leg))


async def give_back(exchange: Exchange, leg: Leg) -> None:
    """Cancel what the neighbour has of a leg, if they have anything."""
    found = await _asked(exchange, leg)
    if found is not None and found[0] == 200 and (booking := tomp.booking_of(found[1])) is not None:
        path = f"rides/collections/packages/items/{booking['booking']}/cancellation"
        try:
            found = await exchange.call(str(leg.participant), "POST", path, {})
        except (httpx.HTTPError, ProofError):
            found = None
    waited = exchange.clock.now() - leg.body.get("bought_at", 0)
    if found is not None and found[0] == 404 and leg.booking is None and waited < UNANSWERED_MS:
        found = None  # the purchase itself may still be on its way there
    if found is not None and found[0] in (200, 404, 409):
        said = {"said": found[1]} if found[0] == 409 else {}
        await exchange.write(lambda c: move(c, exchange.tenant, leg, "giving_back", "given_up", body=leg.body | said))
    else:
        await exchange.write(lambda c: _later(c, exchange, leg))


async def look(exchange: Exchange, leg: Leg) -> Row | None:
    """A neighbour's booking of a leg as it stands there; None where they do not say."""
    answer = await _asked(exchange, leg)
    return None if answer is None or answer[0] != 200 else tomp.booking_of(answer[1])


async def _asked(exchange: Exchange, leg: Leg) -> tuple[int, Any] | None:
    """What the neighbour has of a leg, by its key; None where nobody answers."""
    try:
        path = f"rides/collections/packages/items/{leg.body['key']}?by=ride"
        return await exchange.call(str(leg.participant), "GET", path)
    except (httpx.HTTPError, ProofError):
        return None


def _bought(connection: Connection, exchange: Exchange, leg: Leg, status: int, said: Any) -> None:
    """What a purchase came to: theirs from now on, or not to be had; the log has it in the same transaction."""
    booking = tomp.booking_of(said)
    if status in (200, 201) and booking is not None:
        body = leg.body | {"said": booking}
        if move(connection, exchange.tenant, leg, leg.state, "booked", booking=booking["booking"], body=body):
            price = (booking.get("fare") or {}).get("total", 0)
            usage.append(
                connection, exchange.tenant, time=exchange.clock.now(), side="consumer", peer=str(leg.participant),
                agreement=str(leg.agreement), transfer="", uses=0,
                details={"purpose": "dispatch", "service": "purchase", "ride": leg.body["key"], "price": price,
                         "booking": booking["booking"]},
            )  # fmt: skip
    else:
        detail = {"code": said.get("code")} if isinstance(said, dict) else {}
        move(connection, exchange.tenant, leg, leg.state, "refused", body=leg.body | {"said": detail})


def _is_in_flight(answer: tuple[int, Any]) -> bool:
    """An earlier copy of the purchase is being answered over there: what comes of it is not known yet."""
    return answer[0] == 409 and isinstance(answer[1], dict) and answer[1].get("code") == "key_in_flight"


def _later(connection: Connection, exchange: Exchange, leg: Leg) -> None:
    """Ask again after a pause that doubles."""
    pauses = leg.body.get("pauses", 0)
    again = after_pause(exchange.clock.now(), pauses, FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    body = json.dumps(leg.body | {"pauses": pauses + 1})
    connection.execute(update(legs).where(*_mine(exchange.tenant, leg)).values(next_try=again, body=body))


def _mine(tenant: str, leg: Leg) -> tuple[Any, ...]:
    return legs.c.tenant == tenant, legs.c.ride == leg.ride, legs.c.number == leg.number


def _leg(row: Any) -> Leg:
    found = {name: row[name] for name in Leg.__slots__}
    return Leg(**found | {"body": json.loads(found["body"])})
