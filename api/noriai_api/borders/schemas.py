"""Documents of rides that several nodes may serve."""

from typing import Annotated, Any

from pydantic import Field

from noriai_api.bookings.schemas import OfferOut, QuoteIn, RefusalOut
from noriai_api.schemas import Id, PlaceOut, Said, Strict


class RideIn(Strict):
    """A wish to ride, for our own fleet and for those of neighbours."""

    region: Id
    wish: QuoteIn
    compare: Annotated[bool, Field(description="ask neighbours too where our own fleet has an offer")] = False


class RidePartOut(Said):
    """An offer for a leg, and whose it is: `participant` of null is our own fleet."""

    participant: str | None
    offer: OfferOut


class ChangeOut(Said):
    """Where the rider changes vehicles, how long that takes, and how long they may have to wait."""

    place: PlaceOut
    change_min: int
    longest_wait_min: int


class RideOfferOut(Said):
    """A way to ride: one leg, or two with a change between them. `total`: what its legs cost together, each by its own
    region's fares, where they are in one currency."""

    number: int
    legs: list[RidePartOut]
    change: ChangeOut | None
    currency: str | None
    total: int | None


class RideLegOut(Said):
    """A leg that was taken: whose fleet's it is, and where it stands."""

    participant: str
    state: str
    booking: str | None


class RideOut(Said):
    """A ride: offered, buying, booked, giving_back, and at the end refused, given_up or broken (a leg fell away and
    nobody else could take it). `owner` is whoever's fleet has it now, `booking` theirs of it."""

    ride: str
    state: str
    owner: str | None
    booking: str | None
    offers: list[RideOfferOut]
    legs: list[RideLegOut]
    refusal: RefusalOut | None
    detail: dict[str, Any] | None = None


class AcceptanceIn(Strict):
    number: Annotated[int, Field(ge=0, le=999)] = 0


class SettlementLine(Said):
    ride: str
    booking: str
    price: int


class RideSettlementOut(Said):
    """What rides under an agreement came to, by our own log; the other side's log says the same."""

    agreement: str
    role: str
    participant: str
    rides: int
    total: int
    lines: list[SettlementLine]
