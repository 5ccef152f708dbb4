"""Documents of rides that several nodes may serve."""

from typing import Annotated, Any

from pydantic import Field

from noriai_api.bookings.schemas import OfferOut, QuoteIn, RefusalOut
from noriai_api.schemas import Id, Said, Strict


class RideIn(Strict):
    """A wish to ride, for our own fleet and for those of neighbours."""

    region: Id
    wish: QuoteIn
    compare: Annotated[bool, Field(description="ask neighbours too where our own fleet has an offer")] = False


class RideOfferOut(Said):
    """An offer, and whose it is: `participant` of null is our own fleet."""

    number: int
    participant: str | None
    offer: OfferOut


class RideOut(Said):
    """A ride: asked for, on its way to a neighbour, booked, or given up. `owner` is whoever's fleet has it now."""

    ride: str
    state: str
    owner: str | None
    booking: str | None
    offers: list[RideOfferOut]
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
