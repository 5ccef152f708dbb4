"""Documents of quotes and bookings."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from noriai_api.schemas import Id, Instant, PlaceIn, PlaceOut, Said, Strict, Words
from noriai_engine.model.lifecycle import BookingState

Seats = Annotated[int, Field(ge=0, le=60)]


class PartyIn(Strict):
    """Who rides together: people on seats, people in wheelchairs, pieces of luggage."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"seats": {"minimum": 1}}},
                {"required": ["wheelchairs"], "properties": {"wheelchairs": {"minimum": 1}}},
            ]
        }
    )

    seats: Seats = 1
    wheelchairs: Seats = 0
    luggage: Seats = 0
    children: Annotated[Seats, Field(description="of those on seats: primary pupils")] = 0
    infants: Annotated[Seats, Field(description="of those on seats: infants")] = 0

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.children + self.infants > self.seats:
            raise ValueError("children and infants are more than the seats")
        if self.seats + self.wheelchairs == 0:
            raise ValueError("give at least 1 seat or wheelchair")
        return self


class NeedsIn(Strict):
    """What the rider needs beyond a seat."""

    extra_boarding_s: Annotated[int, Field(ge=0, le=1800)] = 0
    extra_alighting_s: Annotated[int, Field(ge=0, le=1800)] = 0
    skills: Annotated[tuple[Id, ...], Field(max_length=10, strict=False)] = ()
    longest_walk_m: Annotated[
        int | None, Field(ge=0, le=5000, description="to a meeting point; 0: door to door; none: as the service says")
    ] = None
    step_free: Annotated[bool, Field(description="on step-free streets only")] = False


class QuoteIn(Strict):
    """A wish to ride. Exactly one of `earliest_pickup` and `latest_arrival` is given."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": [one],
                    "properties": {one: {"type": "string"}, other: {"type": "null"}},
                }
                for one, other in (("earliest_pickup", "latest_arrival"), ("latest_arrival", "earliest_pickup"))
            ]
        }
    )

    origin: PlaceIn
    destination: PlaceIn
    earliest_pickup: Instant | None = None
    latest_arrival: Instant | None = None
    arrive_by: Instant | None = Field(
        None, description="beside `earliest_pickup`: be there by then, whatever else the service would allow"
    )
    party: PartyIn | None = Field(None, description="left out: as the rider's profile says, else one seat")
    needs: NeedsIn = NeedsIn()
    rider: Id | None = Field(None, description="token of the rider; a resident's own is taken where it is left out")
    operator: Id | None = Field(None, description="only this operator may serve the rider")
    on_behalf_of: Literal["self", "family", "desk"] = "self"

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.earliest_pickup is None) == (self.latest_arrival is None):
            raise ValueError("give either earliest_pickup or latest_arrival")
        if self.arrive_by is not None and (self.earliest_pickup is None or self.arrive_by <= self.earliest_pickup):
            raise ValueError("arrive_by goes with an earliest_pickup before it")
        return self


class FareLine(Said):
    who: str
    count: int
    each: int


class FareOut(Said):
    """What a ride costs, in minor units of `currency` (yen have none): `total` = `rider_pays` + `subsidy`."""

    currency: str
    total: int
    rider_pays: int
    subsidy: int
    payer: str | None
    lines: list[FareLine]


class EndOut(Said):
    """One end of a ride: where, the window promised, and when it is planned now. `walk_s`: on foot to the stop."""

    place: PlaceOut
    earliest: str
    latest: str
    planned: str | None
    walk_s: int


class OfferOut(Said):
    """What an operator could do for the rider."""

    offer: int
    operator: str
    operator_name: str
    vehicle_kind: str
    pickup: EndOut
    dropoff: EndOut
    max_ride_s: int
    direct_s: int
    transfers: int
    fare: FareOut | None
    fare_if_shared: FareOut | None


class RuleOut(Said):
    """A rule that stands in the way: its pack, and the article it comes from."""

    licence: str
    pack: str
    version: int
    article: str
    verdict: Literal["refuse", "needs_confirmation"]
    text: Words


class RefusalOut(Said):
    """Why nobody can, and the nearest time at which somebody could. `rules`: what bars each class of licence;
    `permitted_from`: the next time at which the rules alone would let somebody."""

    reason: str
    text: Words
    nearest: str | None
    rules: tuple[RuleOut, ...] = ()
    permitted_from: str | None = None


class QuoteOut(Said):
    """Offers that hold until `expires`, the cheapest to drive first; or a refusal."""

    quote: str
    region: str
    day: str
    expires: str
    offers: list[OfferOut]
    refusal: RefusalOut | None


class BookingIn(Strict):
    """Taking one of a quote's offers."""

    quote: Id
    offer: Annotated[int, Field(ge=0, le=99)] = 0


class TogetherIn(Strict):
    """Offers of several quotes, taken as one: there and back, or a group in more than one vehicle."""

    bookings: Annotated[tuple[BookingIn, ...], Field(min_length=2, max_length=8, strict=False)]


class BookingOut(Said):
    """A booking as it stands. `version` grows with every change."""

    booking: str
    quote: str
    region: str
    day: str
    state: BookingState
    rider: str | None
    operator: str
    vehicle: str
    pickup: EndOut
    dropoff: EndOut
    party: PartyIn
    fare: FareOut | None
    version: int
    together: str | None = Field(None, description="the same for all bookings that were made as one")


class TogetherOut(Said):
    """The bookings, in the order of the offers."""

    bookings: list[BookingOut]


class ReceiptOut(Said):
    """What a ride cost in the end, or would: `final` once it is done or was missed."""

    booking: str
    state: BookingState
    final: bool
    shared: bool
    fare: FareOut | None


class SettlementOut(Said):
    """An operator's rides of some days: what riders paid, what others pay for them, and who."""

    operator: str
    rides: int
    riders: int
    no_shows: int
    currency: str
    total: int
    rider_pays: int
    subsidy: dict[str, int]


class SettlementsOut(Said):
    first: str
    last: str
    operators: list[SettlementOut]


class BookingsOut(Said):
    """Bookings by pickup time. `next`: give it as `after` for those that follow."""

    bookings: list[BookingOut]
    next: str | None
