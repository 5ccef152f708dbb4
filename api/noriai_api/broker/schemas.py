"""Documents of the broker's desk."""

from typing import Annotated

from pydantic import Field

from noriai_api.schemas import Id, PlaceIn, Said, Strict, Text, Words

Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["13:30"])]


class IdleIn(Strict):
    """A vehicle with nothing to do at some hours of a weekday: whose, what it is, where it stands, what an hour is."""

    operator: Id
    kind: Text
    weekday: Annotated[int, Field(ge=0, le=6, description="0 Monday")]
    begin: Clock
    end: Clock
    seats: Annotated[int, Field(ge=1, le=100)]
    base: PlaceIn
    yen_per_hour: Annotated[int, Field(ge=0, le=10**6)]


class IdleOut(IdleIn):
    idle: str


class IdleList(Said):
    idle: list[IdleOut]


class SearchIn(Strict):
    """What may be proposed. `weeks`: of demand looked at, ours and what neighbours shared."""

    region: Id
    weeks: Annotated[int, Field(ge=1, le=52)] = 4
    most_yen_per_rider: Annotated[int, Field(ge=1, le=10**6)] = 3000


class OpportunityOut(Said):
    """Unmet wishes that could ride together. `expected`: how many chance would have brought."""

    name: Words
    when: str
    place: str
    side: str
    wishes: int
    days: int
    expected: float


class TourStop(Said):
    """A stop of a tour: local time, place, riders who get on (off, where below 0)."""

    time: str
    place: str
    riders: int


class ProposalOut(Said):
    """A vehicle for the opportunities of one day of the week, planned by the optimiser on the days looked at: proposed,
    accepted or declined by its operator. `tour`: of the day with most riders."""

    proposal: str
    state: str
    operator: str
    idle: str
    opportunities: list[OpportunityOut]
    tour: list[TourStop]
    riders_a_day: float
    yen_a_day: int
    yen_per_rider: int


class SearchOut(Said):
    unmet: int
    opportunities: list[OpportunityOut]
    proposals: list[ProposalOut]


class ProposalList(Said):
    proposals: list[ProposalOut]


class AnswerIn(Strict):
    accepted: bool
    reason: Text = ""
