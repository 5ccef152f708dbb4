"""Documents of standing orders and the waiting list."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from noriai_api.bookings.schemas import FareOut, NeedsIn, PartyIn
from noriai_api.parties.schemas import Day, ServiceTime, Weekday
from noriai_api.schemas import Id, PlaceIn, Said, Strict


class StandingIn(Strict):
    """A ride that comes again on some weekdays: dialysis, school, work. Each day is booked as soon as it can be,
    `ahead_days` before at most, or by the plan of the evening before."""

    region: Id
    rider: Id
    origin: PlaceIn
    destination: PlaceIn
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7, strict=False)]
    depart: ServiceTime | None = None
    arrive: ServiceTime | None = None
    valid_from: Day
    valid_to: Day
    except_dates: Annotated[tuple[Day, ...], Field(max_length=366, strict=False)] = ()
    ahead_days: Annotated[int, Field(ge=0, le=14)] = 7
    by_plan: bool = Field(
        False, description="left to the plan of the evening before, which is free to choose the best time of all rides"
    )
    party: PartyIn | None = None
    needs: NeedsIn = NeedsIn()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.depart is None) == (self.arrive is None):
            raise ValueError("give either depart or arrive")
        if self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self


class RunOut(Said):
    """What came of an order on a day: a booking, or the reason why there is none; `waiting` for the plan, `withdrawn`
    from it."""

    day: str
    state: Literal["booked", "refused", "waiting", "withdrawn"]
    booking: str | None
    reason: str | None


class StandingOut(StandingIn):
    order: str
    runs: list[RunOut]


class StandingOrders(Said):
    orders: list[StandingOut]


WaitState = Literal["waiting", "offered", "booked", "over", "withdrawn"]


WaitUntil = Literal["offers", "batch", "plan"]


class WaitIn(Strict):
    """How a wish waits."""

    until: WaitUntil = Field(
        "offers",
        description="offers: asked again every minute, and offered; batch, plan: booked without asking again, at the "
        "fare named, by the next batch that has a vehicle or by the plan of the evening before",
    )


class WaitOut(Said):
    """A wish on the waiting list, until somebody can serve it, its time is over (`reason`), or it is withdrawn.
    `fresh_quote`: the offers where it is `offered`; the quote that is booked where it waits for a batch or a plan."""

    quote: str
    state: WaitState
    fresh_quote: str | None
    until: WaitUntil = "offers"
    answer_by: str | None = Field(None, description="when the plan is made that it waits for")
    booking: str | None = None
    reason: str | None = None
    fare: FareOut | None = Field(None, description="what the rider pays alone, where it is booked without asking again")


class WaitingList(Said):
    waiting: list[WaitOut]
