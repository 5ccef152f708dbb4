"""Our riders in others' vehicles. Our own fleet is asked first and never waits for a neighbour.

A ride has one owner at each moment. Before an offer of a neighbour is taken, that is written down; the ride is theirs
once they have said so. Where their answer is lost they are asked what came of it, by the ride's own id, until it is
known; a ride given up meanwhile is given back.
"""

import asyncio
import json
from functools import partial
from typing import Any

import httpx
from sqlalchemy import Connection, insert, select, update

from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import BookingIn, OfferOut, QuoteOut
from noriai_api.borders.provider import RIDES
from noriai_api.borders.schemas import RideIn, RideOfferOut, RideOut
from noriai_api.exchange import agreements, usage
from noriai_api.exchange.keys import ProofError
from noriai_api.exchange.service import Exchange, log
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.standards import tomp
from noriai_api.store.exchange_tables import rides

ASK_WITHIN_S = 4.0
"""A neighbour that takes longer to answer has no offer."""
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 60_000
LOOK_S = 1.0
UNANSWERED_MS = 30_000
"""A purchase that we do not know the end of by then (we may have stopped meanwhile) is asked about."""

Row = dict[str, Any]


async def ask(caller: Caller, exchange: Exchange, new: RideIn) -> RideOut:
    """Offers of our own fleet, and of neighbours where we have none (or `compare` asks for them). Raises Problem."""
    ride = caller.node.ids.new_id()
    answer = await bookings.quote(caller, new.region, new.wish, _keeps_nothing)
    own = QuoteOut.model_validate(answer.body)
    offers: list[Row] = [{"participant": None, "id": f"{own.quote}:{o.offer}", "offer": o.model_dump(mode="json")}
                         for o in own.offers]  # fmt: skip
    if not own.offers or new.compare:
        offers += await _of_neighbours(exchange, tomp.search(new.wish))
    offers.sort(key=lambda o: (o["offer"]["dropoff"]["latest"], o["participant"] is not None))
    body = {
        "region": new.region,
        "offers": offers,
        "refusal": None if own.refusal is None else own.refusal.model_dump(mode="json"),
    }
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        connection.execute(
            insert(rides).values(
                tenant=caller.tenant, ride=ride, client=caller.subject.client, state="offered", owner=None,
                agreement=None, booking=None, made=now, next_try=0, body=json.dumps(body),
            )
        )  # fmt: skip

    await exchange.write(write)
    return await shown(caller, exchange, ride)


async def take(caller: Caller, exchange: Exchange, ride: str, number: int) -> RideOut:
    """Take an offer. Taking the same again says where it stands. Raises Problem (not_found, conflict, offer_gone)."""
    row = await _row(caller, exchange, ride)
    offers = row["body"]["offers"]
    if number >= len(offers):
        raise Problem("invalid", f"ride {ride} has {len(offers)} offers", errors=[
            {"where": "body.number", "what": f"{number} is none of them", "do": "count offers from 0"}
        ])  # fmt: skip
    taken = offers[number]
    if row["state"] != "offered":
        if row["body"].get("taken") != number:
            raise Problem("conflict", f"ride {ride} is {row['state']}")
        return await shown(caller, exchange, ride)
    if taken["participant"] is None:
        await caller.node.actor(caller.tenant, row["body"]["region"]).here()
    row["body"] |= {"taken": number, "bought_at": exchange.clock.now()}
    again = exchange.clock.now() + UNANSWERED_MS
    if not await exchange.write(lambda c: _move(c, row, "offered", "buying", body=row["body"], next_try=again)):
        raise Problem("conflict", f"ride {ride} is being taken by somebody else")
    if taken["participant"] is None:
        await _take_own(caller, exchange, row, taken)
    else:
        await _buy(exchange, row | {"state": "buying"})
    return await shown(caller, exchange, ride)


async def give_up(caller: Caller, exchange: Exchange, ride: str) -> RideOut:
    """Give a ride up; what a neighbour has of it is given back, as soon as they answer. Raises Problem."""
    row = await _row(caller, exchange, ride)
    if row["state"] == "booked" and row["owner"] == exchange.me.participant:
        await bookings.cancel(caller, row["booking"])
        await exchange.write(lambda c: _move(c, row, "booked", "given_up"))
    elif row["state"] in ("buying", "booked"):
        await exchange.write(lambda c: _move(c, row, row["state"], "giving_back", next_try=0))
        await _give_back(exchange, row | {"state": "giving_back"})
    elif row["state"] == "offered":
        await exchange.write(lambda c: _move(c, row, "offered", "given_up"))
    return await shown(caller, exchange, ride)


async def shown(caller: Caller, exchange: Exchange, ride: str) -> RideOut:
    """A ride as it stands. Raises Problem (not_found)."""
    row = await _row(caller, exchange, ride)
    body = row["body"]
    return RideOut(
        ride=ride, state=row["state"], owner=row["owner"], booking=row["booking"], refusal=body["refusal"],
        offers=[RideOfferOut(number=n, participant=o["participant"], offer=OfferOut.model_validate(o["offer"]))
                for n, o in enumerate(body["offers"])],
        detail=body.get("said"),
    )  # fmt: skip


async def look_after_rides(exchange: Exchange) -> None:
    """Whatever is not settled between us and a neighbour is asked about until it is."""
    while True:
        try:
            for row in await exchange.read(lambda c: _unsettled(c, exchange)):
                if _taken(row)["participant"] is None:  # we stopped before we had booked it
                    await exchange.write(partial(_move, row=row, before="buying", state="offered"))
                else:
                    await (_settle if row["state"] == "buying" else _give_back)(exchange, row)
        except Exception as error:  # the store is down: the next look tries again
            log.warning("rides are looked at later", error=type(error).__name__)
        await asyncio.sleep(LOOK_S)


def _unsettled(connection: Connection, exchange: Exchange) -> list[Row]:
    where = (rides.c.tenant == exchange.tenant, rides.c.state.in_(("buying", "giving_back")),
             rides.c.next_try <= exchange.clock.now())  # fmt: skip
    rows = connection.execute(select(rides).where(*where).limit(100)).mappings()
    return [dict(row) | {"body": json.loads(row["body"])} for row in rows]


# --- between nodes ----------------------------------------------------------------------------------------------


async def _of_neighbours(exchange: Exchange, search: Row) -> list[Row]:
    """Offers of every neighbour with an agreement on rides; one that does not answer in time has none."""
    found = await exchange.read(lambda c: agreements.all_of(c, exchange.tenant))
    mine = {a.peer: a for a in found if a.role == "consumer" and a.revoked is None and a.dataset.endswith(RIDES)}

    async def one(peer: str) -> list[Row]:
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                answer = await _call(exchange, peer, "POST", "processes/search-offers/execution", search)
        except (httpx.HTTPError, TimeoutError, ProofError, ValueError):
            return []
        if answer is None or answer[0] != 200:
            return []
        return [{"participant": peer, "agreement": mine[peer].agreement, "id": name, "offer": o.model_dump(mode="json")}
                for name, o in tomp.offers_of(answer[1])]  # fmt: skip

    return [offer for offers in await asyncio.gather(*(one(peer) for peer in sorted(mine))) for offer in offers]


async def _call(
    exchange: Exchange, peer: str, method: str, path: str, body: Row | None = None
) -> tuple[int, Any] | None:
    """(status, document) of a neighbour's answer, None where it is none we understand."""
    known = await exchange.known(peer)
    sent = b"" if body is None else json.dumps(body).encode()
    answer = await exchange.send(peer, method, f"{known.address}/rides/{path}", sent, None)
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return None


async def _buy(exchange: Exchange, row: Row) -> None:
    """Take a neighbour's offer, once; what their answer means is settled here, or later."""
    taken = _taken(row)
    try:
        answer = await _call(
            exchange, taken["participant"], "POST", "processes/purchase-offers/execution",
            tomp.purchase(taken["id"], row["ride"]),
        )  # fmt: skip
    except (httpx.HTTPError, ProofError):
        answer = None
    if answer is None or answer[0] >= 500 or answer[0] in (401, 429) or _is_in_flight(answer):
        await exchange.write(lambda c: _later(c, exchange, row))
        return
    await exchange.write(lambda c: _bought(c, exchange, row, answer[0], answer[1]))


def _is_in_flight(answer: tuple[int, Any]) -> bool:
    """An earlier copy of the purchase is being answered over there: what comes of it is not known yet."""
    return answer[0] == 409 and isinstance(answer[1], dict) and answer[1].get("code") == "key_in_flight"


async def _settle(exchange: Exchange, row: Row) -> None:
    """An answer was lost: ask what came of the ride, and only where nothing did, take the offer again."""
    taken = _taken(row)
    try:
        path = f"collections/packages/items/{row['ride']}?by=ride"
        answer = await _call(exchange, taken["participant"], "GET", path)
    except (httpx.HTTPError, ProofError):
        answer = None
    if answer is not None and answer[0] == 200:
        await exchange.write(lambda c: _bought(c, exchange, row, 200, answer[1]))
    elif answer is not None and answer[0] == 404:
        await _buy(exchange, row)
    else:
        await exchange.write(lambda c: _later(c, exchange, row))


async def _give_back(exchange: Exchange, row: Row) -> None:
    """Cancel what the neighbour has of a ride, if they have anything."""
    peer = _taken(row)["participant"]
    try:
        found = await _call(exchange, peer, "GET", f"collections/packages/items/{row['ride']}?by=ride")
        if found is not None and found[0] == 200 and (booking := tomp.booking_of(found[1])) is not None:
            path = f"collections/packages/items/{booking['booking']}/cancellation"
            found = await _call(exchange, peer, "POST", path, {})
    except (httpx.HTTPError, ProofError):
        found = None
    waited = exchange.clock.now() - row["body"].get("bought_at", 0)
    if found is not None and found[0] == 404 and row["booking"] is None and waited < UNANSWERED_MS:
        found = None  # the purchase itself may still be on its way there
    if found is not None and found[0] in (200, 404, 409):
        said = {"said": found[1]} if found[0] == 409 else {}
        await exchange.write(lambda c: _move(c, row, "giving_back", "given_up", body=row["body"] | said))
    else:
        await exchange.write(lambda c: _later(c, exchange, row))


def _bought(connection: Connection, exchange: Exchange, row: Row, status: int, said: Any) -> None:
    """What a purchase came to: theirs from now on, or not to be had; the log has it in the same transaction."""
    taken, booking = _taken(row), tomp.booking_of(said)
    if status in (200, 201) and booking is not None:
        if _move(connection, row, row["state"], "booked", owner=taken["participant"], agreement=taken["agreement"],
                 booking=booking["booking"], body=row["body"] | {"said": booking}):  # fmt: skip
            price = (booking.get("fare") or {}).get("total", 0)
            usage.append(
                connection, exchange.tenant, time=exchange.clock.now(), side="consumer", peer=taken["participant"],
                agreement=taken["agreement"], transfer="", uses=0,
                details={"purpose": "dispatch", "service": "purchase", "ride": row["ride"], "price": price,
                         "booking": booking["booking"]},
            )  # fmt: skip
    else:
        detail = {"code": said.get("code")} if isinstance(said, dict) else {}
        _move(connection, row, row["state"], "refused", body=row["body"] | {"said": detail})


# --- our own ----------------------------------------------------------------------------------------------------


async def _take_own(caller: Caller, exchange: Exchange, row: Row, taken: Row) -> None:
    """Book with our own fleet; the ride's row changes with the booking, or not at all."""
    quote, _, number = taken["id"].rpartition(":")

    def keep(connection: Connection, status: int, body: Any) -> None:
        more = {"owner": exchange.me.participant, "booking": body["booking"], "body": row["body"] | {"said": body}}
        if not _move(connection, row, "buying", "booked", **more):
            _move(connection, row, "offered", "booked", **more)

    try:
        await bookings.book(caller, BookingIn(quote=quote, offer=int(number)), keep)
    except Problem as problem:
        body = row["body"] | {"said": {"code": problem.code}}
        await exchange.write(lambda c: _move(c, row, "buying", "refused", body=body))


def _keeps_nothing(connection: Connection, status: int, body: Any) -> None:
    """The ride's own row keeps the answer."""


# --- rows -------------------------------------------------------------------------------------------------------


def settlement(connection: Connection, tenant: str, agreement: str) -> list[Row]:
    """The purchases under an agreement, by our own log."""
    found = [json.loads(entry["body"]) for entry in usage.entries(connection, tenant, agreement)]
    return [
        {name: body[name] for name in ("ride", "booking", "price")}
        for body in found
        if body.get("service") == "purchase"
    ]


def _taken(row: Row) -> Row:
    return dict(row["body"]["offers"][row["body"]["taken"]])


async def _row(caller: Caller, exchange: Exchange, ride: str) -> Row:
    where = (rides.c.tenant == caller.tenant, rides.c.ride == ride, rides.c.client == caller.subject.client)
    found = await exchange.read(lambda c: c.execute(select(rides).where(*where)).mappings().first())
    if found is None:
        raise Problem("not_found", f"no ride {ride}")
    return dict(found) | {"body": json.loads(found["body"])}


def _move(connection: Connection, row: Row, before: str, state: str, **more: Any) -> bool:
    """Into another state, if it is still in the one it was; False where it is not."""
    if "body" in more:
        more["body"] = json.dumps(more["body"])
    where = (rides.c.tenant == row["tenant"], rides.c.ride == row["ride"], rides.c.state == before)
    return connection.execute(update(rides).where(*where).values(state=state, **more)).rowcount > 0


def _later(connection: Connection, exchange: Exchange, row: Row) -> None:
    """Ask again after a pause that doubles."""
    pauses = row["body"].get("pauses", 0)
    pause = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(pauses, 10))
    where = (rides.c.tenant == row["tenant"], rides.c.ride == row["ride"])
    body = json.dumps(row["body"] | {"pauses": pauses + 1})
    connection.execute(update(rides).where(*where).values(next_try=exchange.clock.now() + pause, body=body))
