"""Changes between two fleets, watched from before the first pickup until the second has the rider.

A first leg that runs late past the second's pickup, or a second that falls away, gets another second leg: the new one
is bought before the old one is given back. Where there is none, an incident says so, and a person must help.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import QuoteIn
from noriai_api.borders import legs, rides
from noriai_api.borders.asking import Fleets, Part, Row, second_legs
from noriai_api.borders.legs import Leg
from noriai_api.borders.transfer_points import TransferPoint
from noriai_api.exchange.processes import note_incident
from noriai_api.exchange.service import Exchange
from noriai_api.guard import Caller
from noriai_api.node import Node
from noriai_api.problems import Problem

LOOK_MS = 60_000
BEFORE_MS = 15 * 60_000
"""A connection is watched from so long before the first pickup on."""
MOST_TRIED = 3

GONE = ("cancelled", "no_show", "dropped")
"""States of a booking that carries nobody."""
TO_COME = ("accepted", "unassigned")
"""States of a booking whose rider has not been picked up."""


async def look(node: Node, exchange: Exchange, row: Row) -> None:
    """One look at a booked ride of two legs."""
    now = exchange.clock.now()
    caller = await rides.caller_of(node, exchange, row["ride"])
    first, second = await exchange.read(lambda c: rides.plan(c, row))
    ahead, onward = await _booking(exchange, caller, first), await _booking(exchange, caller, second)
    again, at = now + LOOK_MS, row["body"].get("at", 0)
    if ahead is not None and onward is not None:
        if ahead["state"] in GONE:
            await exchange.write(lambda c: _broken(c, exchange, row, "first_leg_gone"))
            return
        if ahead["state"] == "done":
            at = 1
        if onward["state"] == "done":
            again = rides.NEVER
        elif onward["state"] in GONE or _is_missed(row, ahead, onward):
            if await _reconnect(node, exchange, caller, row, second, _ready(row, ahead, now)):
                return
            if onward["state"] in GONE:
                await exchange.write(lambda c: _broken(c, exchange, row, "second_leg_gone"))
                return
            await exchange.write(lambda c: _at_risk(c, exchange, row, again, at))
            return
        elif ahead["state"] in TO_COME:
            again = max(again, _ms(ahead["pickup"]["earliest"]) - BEFORE_MS)
    await exchange.write(lambda c: rides.keep(c, row, next_try=again, at=at))


async def _booking(exchange: Exchange, caller: Caller | None, leg: Leg) -> Row | None:
    """A leg's booking as its owner has it now; None where they do not say."""
    if not leg.is_own:
        return await legs.look(exchange, leg)
    if caller is None or leg.booking is None:
        return None
    try:
        return (await bookings.booked(caller, leg.booking)).model_dump(mode="json")
    except Problem:
        return None


def _is_missed(row: Row, ahead: Row, onward: Row) -> bool:
    """Would the second vehicle be there before the rider can be, or is there none for now?"""
    if onward["state"] == "unassigned":
        return True
    if ahead["state"] == "done" or onward["state"] != "accepted":
        return False
    planned = onward["pickup"]["planned"] or onward["pickup"]["earliest"]
    return _arrives(ahead) + _change_ms(row) > _ms(planned)


def _ready(row: Row, ahead: Row, now: int) -> datetime:
    """From when on the rider may leave the transfer point."""
    ready = now if ahead["state"] == "done" else max(now, _arrives(ahead) + _change_ms(row))
    return datetime.fromtimestamp(ready / 1000, UTC)


async def _reconnect(
    node: Node, exchange: Exchange, caller: Caller | None, row: Row, old: Leg, ready: datetime
) -> bool:  # fmt: skip
    """Another second leg instead of one that cannot be caught; False where there is none."""
    if caller is None:
        return False
    wish, point = QuoteIn.model_validate_json(json.dumps(row["body"]["wish"])), _point(row)
    found = await second_legs(Fleets(caller, exchange, row["body"]["region"]), wish, point, ready)
    for part in found[:MOST_TRIED]:
        wanted = await exchange.write(partial(_wanted, exchange=exchange, row=row, part=part))
        if wanted is None:
            continue
        taken = await rides.take_leg(node, exchange, wanted, caller)
        if await exchange.write(partial(_replaced, exchange=exchange, row=row, old=old, new=taken)):
            return True
    return False


def _wanted(connection: Connection, exchange: Exchange, row: Row, part: Part) -> Leg | None:
    number = len(legs.of_ride(connection, exchange.tenant, row["ride"]))
    legs.add(connection, exchange.tenant, row["ride"], number, part.body())
    leg = legs.of_ride(connection, exchange.tenant, row["ride"])[number]
    return rides.bought_from_now(connection, exchange, leg, exchange.clock.now())


def _replaced(connection: Connection, exchange: Exchange, row: Row, old: Leg, new: Leg) -> bool:
    """The new leg is the ride's and the old one is given back; or the reverse, where it could not be had or the ride
    was given up meanwhile."""
    made_of, again = [row["body"]["legs"][0], new.number], exchange.clock.now() + LOOK_MS
    done = new.state == "booked" and rides.keep(connection, row, next_try=again, legs=made_of)
    rides.let_go(connection, exchange.tenant, old if done else new)
    return done


def _broken(connection: Connection, exchange: Exchange, row: Row, why: str) -> None:
    """The ride cannot be had any more; whatever can still be given back is."""
    if rides.undo(connection, row, "broken"):  # not one that its rider has given up meanwhile
        _note(connection, exchange, row, why)


def _at_risk(connection: Connection, exchange: Exchange, row: Row, again: int, at: int) -> None:
    if rides.keep(connection, row, next_try=again, at=at):
        _note(connection, exchange, row, "connection_at_risk")


def _note(connection: Connection, exchange: Exchange, row: Row, why: str) -> None:
    note_incident(connection, exchange.here(), why, None, {"ride": row["ride"]}, once=True)


def _point(row: Row) -> TransferPoint:
    return TransferPoint.model_validate(row["body"]["offers"][row["body"]["taken"]]["change"])


def _change_ms(row: Row) -> int:
    return _point(row).change_min * 60_000


def _arrives(booking: Row) -> int:
    """When a leg arrives, by its plan, or at the latest."""
    return _ms(booking["dropoff"]["planned"] or booking["dropoff"]["latest"])


def _ms(text: str) -> int:
    return int((datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
