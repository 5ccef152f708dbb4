"""Who could serve a wish: our own fleet, and those of neighbours under agreement. One that is silent, late, or says
what cannot be has no offer."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Connection

from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import OfferOut, QuoteIn, QuoteOut, RefusalOut
from noriai_api.borders import transfer_points
from noriai_api.borders.provider import RIDES
from noriai_api.borders.transfer_points import TransferPoint
from noriai_api.exchange import agreements
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.keys import ProofError
from noriai_api.exchange.service import Exchange
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.schemas import PlaceIn
from noriai_api.standards import tomp

ASK_WITHIN_S = 4.0
"""A neighbour that takes longer to answer has no offer."""
MOST_POINTS, MOST_FIRST = 3, 2
"""Transfer points that are tried for a ride, and first legs that a second is looked for."""
ROOM = timedelta(minutes=10)
"""What a first leg that is asked for to meet a second may run later than planned."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """An offer for one leg, and whose it is: `participant` of None is our own fleet."""

    participant: str | None
    agreement: str | None
    id: str
    offer: OfferOut

    @property
    def pickup(self) -> tuple[datetime, datetime]:
        """The earliest and latest pickup promised."""
        return _instant(self.offer.pickup.earliest), _instant(self.offer.pickup.latest)

    @property
    def arrival(self) -> datetime:
        """The latest arrival promised."""
        return _instant(self.offer.dropoff.latest)

    def body(self) -> Row:
        return {"participant": self.participant, "agreement": self.agreement, "id": self.id,
                "offer": self.offer.model_dump(mode="json")}  # fmt: skip


@dataclass(frozen=True)
class Journey:
    """Legs from door to door; `point`: where the rider changes between the two, if there are two."""

    parts: tuple[Part, ...]
    point: TransferPoint | None = None

    @property
    def order(self) -> tuple[datetime, int, bool]:
        """The earliest arrival first, then fewer changes, then our own fleet."""
        return self.parts[-1].arrival, len(self.parts), self.parts[0].participant is not None

    def body(self) -> Row:
        change = None if self.point is None else self.point.model_dump(mode="json")
        return {"legs": [part.body() for part in self.parts], "change": change}


class Fleets:
    """All fleets that a caller's riders may be carried by: ours in a region, and those of neighbours."""

    def __init__(self, caller: Caller, exchange: Exchange, region: str) -> None:
        self._caller, self._exchange, self._region = caller, exchange, region

    async def own(self, wish: QuoteIn, *, is_leg: bool = False) -> tuple[list[Part], RefusalOut | None]:
        """Offers of our own fleet, or why it has none. Raises Problem."""
        answer = await bookings.quote(self._caller, self._region, wish, _keeps_nothing, is_leg=is_leg)
        said = QuoteOut.model_validate(answer.body)
        return [Part(None, None, f"{said.quote}:{offer.offer}", offer) for offer in said.offers], said.refusal

    async def neighbours(self, wish: QuoteIn) -> list[Part]:
        """Offers of every neighbour with an agreement on rides."""
        under = await self._exchange.read(lambda c: ride_agreements(c, self._exchange.tenant))
        search = tomp.search(wish)

        async def one(peer: str, agreement: Agreement) -> list[Part]:
            try:
                async with asyncio.timeout(ASK_WITHIN_S):
                    answer = await self._exchange.call(peer, "POST", "rides/processes/search-offers/execution", search)
            except (httpx.HTTPError, TimeoutError, ProofError, ValueError):
                return []
            found = [] if answer is None or answer[0] != 200 else tomp.offers_of(answer[1])
            parts = [Part(peer, agreement.agreement, name, offer) for name, offer in found]
            return [part for part in parts if _can_be(part, wish)]

        found = await asyncio.gather(*(one(peer, under[peer]) for peer in sorted(under)))
        return [part for parts in found for part in parts]

    async def all(self, wish: QuoteIn) -> list[Part]:
        """Offers for one leg, of all fleets; ours has none while it takes no rides."""

        async def own() -> list[Part]:
            try:
                return (await self.own(wish, is_leg=True))[0]
            except Problem:
                return []

        mine, others = await asyncio.gather(own(), self.neighbours(wish))
        return mine + others


async def journeys(fleets: Fleets, wish: QuoteIn, points: list[TransferPoint]) -> list[Journey]:
    """Rides of two legs: to a transfer point with one fleet, on with another, such that both promises kept make the
    change. The best of each of the nearest points."""
    nearest = sorted(points, key=lambda point: transfer_points.detour_m(wish, point))[:MOST_POINTS]
    search = _onwards if wish.earliest_pickup is not None else _backwards
    found = await asyncio.gather(*(search(fleets, wish, point) for point in nearest))
    return [min(over, key=lambda journey: journey.order) for over in found if over]


async def _onwards(fleets: Fleets, wish: QuoteIn, point: TransferPoint) -> list[Journey]:
    """From the wished pickup on: the second leg is asked for from when the first is sure to have arrived."""
    found = []
    there = {"destination": point.place, "arrive_by": None}
    for first in await _firsts(fleets, wish.model_copy(update=there)):
        ready = first.arrival + timedelta(minutes=point.change_min)
        if wish.arrive_by is not None and ready >= wish.arrive_by:
            continue
        for second in await fleets.all(_from(point.place, wish, ready)):
            if is_connection(first, second, point):
                found.append(Journey((first, second), point))
    return found


async def _firsts(fleets: Fleets, wish: QuoteIn) -> list[Part]:
    """First legs, the earliest arrival first. Who asks for a pickup is promised an arrival with much room for other
    riders: each fleet is asked once more, to arrive soon after it plans to, so that nobody waits for that room."""
    loose = _one_of_each(sorted(await fleets.all(wish), key=lambda part: part.arrival))[:MOST_FIRST]
    planned = [_instant(part.offer.dropoff.planned) for part in loose if part.offer.dropoff.planned is not None]
    soon = [wish.model_copy(update={"arrive_by": moment + ROOM}) for moment in planned]
    asked = await asyncio.gather(*(fleets.all(tighter) for tighter in soon))
    tight = [part for parts in asked for part in parts]
    return _one_of_each(sorted(loose + tight, key=lambda part: part.arrival))[:MOST_FIRST]


async def _backwards(fleets: Fleets, wish: QuoteIn, point: TransferPoint) -> list[Journey]:
    """From the wished arrival back: the first leg is asked for so that it is there before the second may leave."""
    seconds = sorted(await fleets.all(wish.model_copy(update={"origin": point.place})), key=lambda p: p.pickup[0],
                     reverse=True)  # fmt: skip
    found = []
    for second in _one_of_each(seconds)[:MOST_FIRST]:
        due = second.pickup[0] - timedelta(minutes=point.change_min)
        first_wish = wish.model_copy(update={"destination": point.place, "latest_arrival": due})
        for first in await fleets.all(first_wish):
            if is_connection(first, second, point):
                found.append(Journey((first, second), point))
    return found


async def second_legs(fleets: Fleets, wish: QuoteIn, point: TransferPoint, ready: datetime) -> list[Part]:
    """Other second legs for a rider who is at the point by `ready`, the earliest arrival first; better late than not
    at all."""
    found = await fleets.all(_from(point.place, wish.model_copy(update={"arrive_by": None}), ready))
    within = ready + timedelta(minutes=point.longest_wait_min)
    return sorted((part for part in found if part.pickup[0] <= within), key=lambda part: part.arrival)


def is_connection(first: Part, second: Part, point: TransferPoint) -> bool:
    """Do two legs of different fleets meet, whatever becomes of either within its promise?"""
    wait = second.pickup[0] - first.arrival
    enough, most = timedelta(minutes=point.change_min), timedelta(minutes=point.longest_wait_min)
    return first.participant != second.participant and enough <= wait <= most


def ride_agreements(connection: Connection, tenant: str) -> dict[str, Agreement]:
    """Neighbour -> the agreement under which its fleet may be asked."""
    found = agreements.all_of(connection, tenant)
    return {a.peer: a for a in found if a.role == "consumer" and a.revoked is None and a.dataset.endswith(RIDES)}


def _from(place: PlaceIn, wish: QuoteIn, ready: datetime) -> QuoteIn:
    return wish.model_copy(update={"origin": place, "earliest_pickup": ready, "latest_arrival": None})


def _one_of_each(parts: list[Part]) -> list[Part]:
    """The first of each fleet."""
    return list({part.participant: part for part in reversed(parts)}.values())[::-1]


def _can_be(part: Part, wish: QuoteIn) -> bool:
    """Are the times of a neighbour's offer in order, and within what was asked for?"""
    try:
        (earliest, latest), arrival = part.pickup, part.arrival
        if part.offer.dropoff.planned is not None:
            _instant(part.offer.dropoff.planned)
    except ValueError:
        return False
    if not earliest <= latest <= arrival:
        return False
    too_early = wish.earliest_pickup is not None and earliest < wish.earliest_pickup - timedelta(seconds=1)
    by = wish.latest_arrival or wish.arrive_by
    too_late = by is not None and arrival > by
    return not (too_early or too_late)


def _instant(text: str) -> datetime:
    """Raises ValueError for what is no instant with an offset."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("an instant has an offset")
    return found


def _keeps_nothing(connection: Connection, status: int, body: Any) -> None:
    """The ride's own row keeps the answer."""
