"""Documents of vehicles."""

from typing import Annotated, Literal

from pydantic import Field

from noriai_api.schemas import Id, Instant, PlaceOut, Said, Strict


class ActivityOut(Said):
    """A thing to do at a stop. `begin` is planned; a pickup is promised within [earliest, latest]."""

    kind: Literal["position", "pickup", "dropoff", "break", "end"]
    booking: str | None
    place: PlaceOut
    begin: str
    earliest: str
    latest: str
    service_s: int
    drive_s: int
    announced: bool
    seats: int
    wheelchairs: int
    luggage: int


class DoingOut(Said):
    kind: str
    booking: str | None
    until: str


class PlanOut(Said):
    """What a vehicle is to do on a day; `version` grows with every change of it."""

    vehicle: str
    region: str
    day: str
    operator: str
    version: int
    started: bool
    driving: bool
    doing: DoingOut | None
    wait_at: PlaceOut | None = Field(
        None,
        description="idle: drive there and wait, since riders are expected; a booking may turn the vehicle on its way",
    )
    activities: list[ActivityOut]


class StepIn(Strict):
    """What a driver reports. Whatever must have happened before is taken as done."""

    step: Literal["start_shift", "arrive", "begin", "end", "no_show"]
    booking: Id | None = Field(None, description="the rider it is about: pickup or dropoff of this booking")
    driver: Id | None = Field(None, description="start_shift: who drives")
    rollcall: bool | None = Field(None, description="start_shift: health and alcohol were checked, and all is well")


class PositionIn(Strict):
    """Where a vehicle was. `at` is when the position was taken, not when it is sent."""

    at: Instant
    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    speed_mps: Annotated[float | None, Field(ge=0, le=100, allow_inf_nan=False)] = None
    heading: Annotated[float | None, Field(ge=0, lt=360, allow_inf_nan=False)] = None


class PositionsIn(Strict):
    positions: Annotated[list[PositionIn], Field(min_length=1, max_length=500)]


class PositionsTaken(Said):
    """What became of a batch. `late` ones are kept and move nothing; `future` and `old` ones are not believed."""

    accepted: int
    duplicate: int
    late: int
    future: int
    old: int


class PositionOut(Said):
    vehicle: str
    at: str
    lon: float
    lat: float
    speed_mps: float | None
    heading: float | None
    stale: bool


class PositionsOut(Said):
    positions: list[PositionOut]
