"""Our riders in others' vehicles: a ride asked for, taken, looked at, given up. Our own fleet is asked first and never
waits for a neighbour."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from sqlalchemy import Connection

from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import OfferOut
from noriai_api.borders import connections, legs, rides, transfer_points
from noriai_api.borders.asking import Fleets, Journey, Row, journeys
from noriai_api.borders.legs import UNANSWERED_MS, Leg
from noriai_api.borders.schemas import RideIn, RideLegOut, RideOfferOut, RideOut, RidePartOut
from noriai_api.exchange import usage
from noriai_api.exchange.service import Exchange, log
from noriai_api.guard import Caller
from noriai_api.node import Node
from noriai_api.problems import Problem

LOOK_S = 1.0


async def ask(caller: Caller, exchange: Exchange, new: RideIn) -> RideOut:
    """Offers of our own fleet, of neighbours where we have none, of two fleets one after the other where nobody serves
    the whole way; all of them where `compare` says so. Raises Problem."""
    ride, fleets = caller.node.ids.new_id(), Fleets(caller, exchange, new.region)
    own, refusal = await fleets.own(new.wish)
    found = [Journey((part,)) for part in own]
    if not found or new.compare:
        found += [Journey((part,)) for part in await fleets.neighbours(new.wish)]
    if (not found or new.compare) and new.wish.operator is None:
        points = await exchange.read(lambda c: transfer_points.all_of(c, exchange.tenant))
        found += await journeys(fleets, new.wish, list(points.values()))
    found.sort(key=lambda journey: journey.order)
    said = None if refusal is None else refusal.model_dump(mode="json")
    now = caller.node.clock.now()
    await exchange.write(
        lambda c: rides.write_offered(
            c, caller.tenant, ride, caller.subject.client, now, new.region, new.wish, found, said
        )
    )
    return await shown(caller, exchange, ride)


async def take(caller: Caller, exchange: Exchange, ride: str, number: int) -> RideOut:
    """Take an offer. Taking the same again says where it stands. Raises Problem (not_found, conflict, offer_gone)."""
    row = await _row(caller, exchange, ride)
    offers = row["body"]["offers"]
    if number >= len(offers):
        raise Problem("invalid", f"ride {ride} has {len(offers)} offers", errors=[
            {"where": "body.number", "what": f"{number} is none of them", "do": "count offers from 0"}
        ])  # fmt: skip
    if row["state"] != "offered":
        if row["body"].get("taken") != number:
            raise Problem("conflict", f"ride {ride} is {row['state']}")
        return await shown(caller, exchange, ride)
    if any(part["participant"] is None for part in offers[number]["legs"]):
        await caller.node.actor(caller.tenant, row["body"]["region"]).here()
    if not await exchange.write(lambda c: rides.begin(c, row, number, exchange.clock.now())):
        raise Problem("conflict", f"ride {ride} is being taken by somebody else")
    await rides.pursue(caller.node, exchange, ride, caller)
    return await shown(caller, exchange, ride)


async def give_up(caller: Caller, exchange: Exchange, ride: str) -> RideOut:
    """Give a ride up; what neighbours have of it is given back, as soon as they answer. Raises Problem."""
    row = await _row(caller, exchange, ride)
    if row["state"] in ("booked", "buying"):
        for leg in await exchange.read(lambda c: rides.plan(c, row)):
            if leg.is_own and leg.booking is not None:
                await bookings.cancel(caller, leg.booking)
    if row["state"] in ("booked", "buying", "offered"):
        await exchange.write(lambda c: rides.undo(c, row, "given_up"))
        for leg in await exchange.read(lambda c: legs.of_ride(c, exchange.tenant, ride)):
            if leg.state == "giving_back":
                await rides.settle(caller.node, exchange, leg)
    return await shown(caller, exchange, ride)


async def shown(caller: Caller, exchange: Exchange, ride: str) -> RideOut:
    """A ride as it stands. Raises Problem (not_found)."""
    row = await _row(caller, exchange, ride)
    body = row["body"]
    plan = await exchange.read(lambda c: rides.plan(c, row))
    here = plan[body.get("at", 0)] if plan and row["state"] == "booked" else None
    told = here or next((leg for leg in plan if leg.said), None)
    return RideOut(
        ride=ride, state=row["state"], owner=None if here is None else here.participant or exchange.me.participant,
        booking=None if here is None else here.booking, refusal=body["refusal"],
        offers=[_offer_out(number, offer) for number, offer in enumerate(body["offers"])],
        legs=[_leg_out(leg, exchange) for leg in plan], detail=None if told is None else told.said or None,
    )  # fmt: skip


def looking_after_rides(node: Node) -> Callable[[Exchange], Awaitable[None]]:
    """A worker of the exchange: whatever is not settled between us and a neighbour is asked about until it is, and
    connections are watched."""

    async def look_after_rides(exchange: Exchange) -> None:
        while True:
            try:
                for leg in await exchange.read(lambda c: legs.due(c, exchange.tenant, exchange.clock.now())):
                    await rides.settle(node, exchange, leg)
                for row in await exchange.read(lambda c: rides.due(c, exchange.tenant, exchange.clock.now())):
                    if row["state"] == "booked":
                        await connections.look(node, exchange, row)
                    else:
                        await _resume(node, exchange, row)
            except Exception as error:  # the store is down: the next look tries again
                log.warning("rides are looked at later", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    return look_after_rides


async def _resume(node: Node, exchange: Exchange, row: Row) -> None:
    """Go on with a ride that was being bought when we stopped."""
    again = exchange.clock.now() + UNANSWERED_MS
    await exchange.write(lambda c: rides.move(c, row, row["state"], row["state"], next_try=again))
    await rides.pursue(node, exchange, row["ride"])


def settlement(connection: Connection, tenant: str, agreement: str) -> list[Row]:
    """The purchases under an agreement, by our own log."""
    found = [json.loads(entry["body"]) for entry in usage.entries(connection, tenant, agreement)]
    return [
        {name: body[name] for name in ("ride", "booking", "price")}
        for body in found
        if body.get("service") == "purchase"
    ]


def _offer_out(number: int, offer: Row) -> RideOfferOut:
    parts = [RidePartOut(participant=part["participant"], offer=OfferOut.model_validate(part["offer"]))
             for part in offer["legs"]]  # fmt: skip
    fares = [part.offer.fare for part in parts if part.offer.fare is not None]
    one_currency = len(fares) == len(parts) and len({fare.currency for fare in fares}) == 1
    return RideOfferOut(
        number=number, legs=parts, change=offer["change"], currency=fares[0].currency if one_currency else None,
        total=sum(fare.total for fare in fares) if one_currency else None,
    )  # fmt: skip


def _leg_out(leg: Leg, exchange: Exchange) -> RideLegOut:
    return RideLegOut(participant=leg.participant or exchange.me.participant, state=leg.state, booking=leg.booking)


async def _row(caller: Caller, exchange: Exchange, ride: str) -> Row:
    row = await exchange.read(lambda c: rides.find(c, caller.tenant, ride))
    if row is None or row["client"] != caller.subject.client:
        raise Problem("not_found", f"no ride {ride}")
    return row
