"""Offers of whole journeys, and which of them are worth showing."""

from collections.abc import Iterable
from dataclasses import dataclass

from noriai_engine.model import Offer, Request
from noriai_gtfs.fares import Price
from noriai_gtfs.journeys import Leg


@dataclass(frozen=True, slots=True)
class RideLeg:
    """A leg in one of our vehicles, with the request and the offer that book it. Times in ms of the service day."""

    request: Request
    offer: Offer
    depart_ms: int
    arrive_ms: int
    latest_ms: int
    """The arrival promised at the latest."""


@dataclass(frozen=True, slots=True)
class JointOffer:
    """A journey in which every leg can be booked. `arrive_ms` is planned; rides count vehicles of both kinds.

    `price` is None where a part of it is unknown.
    """

    depart_ms: int
    arrive_ms: int
    rides: int
    walk_ms: int
    price: Price | None
    legs: tuple[RideLeg | Leg, ...]

    @property
    def booked(self) -> tuple[RideLeg, ...]:
        """The legs that our vehicles serve."""
        return tuple(leg for leg in self.legs if isinstance(leg, RideLeg))

    @property
    def uses_line(self) -> bool:
        return any(isinstance(leg, Leg) and leg.is_ride for leg in self.legs)

    def criteria(self) -> tuple[int, int, int, float]:
        """Arrival, rides, walking, price; an unknown price is worse than any."""
        return self.arrive_ms, self.rides, self.walk_ms, float("inf") if self.price is None else self.price.amount


def undominated(offers: Iterable[JointOffer]) -> list[JointOffer]:
    """Offers that no other equals or beats in all of arrival, rides, walking and price; sorted by these."""
    kept: list[JointOffer] = []
    for offer in sorted(offers, key=lambda one: (one.criteria(), one.depart_ms)):
        mine = offer.criteria()
        if not any(all(a <= b for a, b in zip(other.criteria(), mine, strict=True)) for other in kept):
            kept.append(offer)
    return kept
