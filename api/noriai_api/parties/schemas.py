"""Documents of parties."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from noriai_api.schemas import Id, Instant, PlaceIn, Said, Strict, Text
from noriai_engine.model.clock import parse_time_of_day
from noriai_engine.model.errors import InputError

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _service_time(value: object) -> object:
    try:
        parse_time_of_day(str(value))
    except InputError as error:
        raise ValueError(str(error)) from error
    return value


def _iso_date(value: object) -> object:
    if not isinstance(value, (str, date)):
        raise ValueError("write a date such as 2026-11-24")
    return value


ServiceTime = Annotated[
    str,
    BeforeValidator(_service_time),
    Field(examples=["08:30"], pattern=r"^([0-3]?[0-9]|4[0-7]):[0-5][0-9](:[0-5][0-9])?$"),
]
Day = Annotated[date, BeforeValidator(_iso_date), Field(strict=False)]
Hours = Annotated[tuple[ServiceTime, ServiceTime], Field(strict=False)]
Few = Annotated[int, Field(ge=0, le=200)]


class LicenceIn(Strict):
    """Permission to carry, drive or operate: its class (78-1, 78-2, 78-3, taxi, av4, class2, ...) and how long it is
    valid; the last day is included."""

    licence: Id
    number: Text = ""
    valid_from: Day
    valid_to: Day

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self


class OperatorIn(Strict):
    """A taxi company, volunteer scheme or shuttle operator."""

    name: Annotated[Text, Field(min_length=1)]
    name_ja: Text = ""
    kind: Literal["taxi", "volunteer", "shuttle", "municipal"]
    phone: Text = ""
    mds_provider: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
            description="the id under which it reports by MDS",
        ),
    ] = None
    licences: Annotated[tuple[LicenceIn, ...], Field(max_length=50, strict=False)] = ()


class LayoutIn(Strict):
    """One way to arrange the interior."""

    seats: Few = 0
    wheelchairs: Few = 0
    luggage: Few = 0


class BreakIn(Strict):
    """A pause of so many minutes that begins between two times, at the depot, with nobody aboard."""

    between: Hours
    minutes: Annotated[int, Field(ge=1, le=600)]


class BatteryIn(Strict):
    """How far an electric vehicle drives on a full battery, of which the reserve is never planned with; what it gains
    a minute in breaks; and what is left when a shift begins, if that is not a full battery."""

    range_m: Annotated[int, Field(ge=1_000, le=10_000_000)]
    reserve_m: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    charge_m_per_min: Annotated[int, Field(ge=0, le=100_000)] = 0
    start_m: Annotated[int, Field(ge=0, le=10_000_000)] | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        start = self.range_m if self.start_m is None else self.start_m
        if not self.reserve_m < self.range_m or not self.reserve_m <= start <= self.range_m:
            raise ValueError("battery: let the reserve be below the range, and the start between the two")
        return self


class VehicleIn(Strict):
    """A vehicle with its weekly shifts. A day that is open already takes in a vehicle that is new; other changes hold
    from the next day that opens."""

    region: Id
    operator: Id
    kind: Id = "taxi"
    layouts: Annotated[tuple[LayoutIn, ...], Field(min_length=1, max_length=20, strict=False)]
    depot: PlaceIn
    shifts: dict[Weekday, Hours]
    dates: dict[Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")], Hours] = Field(
        {}, description="hours of single days, instead of those of the week"
    )
    breaks: Annotated[tuple[BreakIn, ...], Field(max_length=10, strict=False)] = ()
    skills: Annotated[tuple[Id, ...], Field(max_length=20, strict=False)] = ()
    autonomous: bool = False
    battery: BatteryIn | None = None
    licence: Id | None = Field(None, description="the licence class it serves under")
    inspected: Day | None = Field(None, description="last inspection, where a rule asks for it")
    blocked: bool = False

    @model_validator(mode="after")
    def _carries(self) -> Self:
        if all(layout.seats + layout.wheelchairs == 0 for layout in self.layouts):
            raise ValueError("layouts: give at least one seat or wheelchair place")
        for name, hours in (("shifts", self.shifts), ("dates", self.dates)):
            for day, (start, end) in hours.items():
                if parse_time_of_day(end) <= parse_time_of_day(start):
                    raise ValueError(f"{name}.{day} ends before it starts; past midnight write e.g. 26:00")
        return self


class DriverIn(Strict):
    """A driver, by an opaque id and what they may do: `driving` is the ordinary licence, `course` the approved course.
    Who they are is the operator's own affair."""

    operator: Id
    born: Day | None = None
    applied: Day | None = Field(None, description="when the driver applied: ages are counted then")
    licences: Annotated[tuple[LicenceIn, ...], Field(max_length=50, strict=False)] = ()
    vehicles: Annotated[tuple[Id, ...], Field(max_length=50, strict=False)] = ()
    between: Annotated[tuple[Instant, Instant] | None, Field(strict=False)] = Field(
        None, description="goes on duty from the one to the other only, such as a driver lent by another town"
    )


class RiderIn(Strict):
    """What a rider's rides need, by token; `personal` is kept apart, for a purpose and a time."""

    wheelchairs: Annotated[int, Field(ge=0, le=4)] = 0
    companions: Annotated[int, Field(ge=0, le=8)] = 0
    guide_dog: bool = False
    child_seats: Annotated[int, Field(ge=0, le=4)] = 0
    language: Literal["ja", "en"] = "ja"
    extra_boarding_s: Annotated[int, Field(ge=0, le=1800)] = 0
    extra_alighting_s: Annotated[int, Field(ge=0, le=1800)] = 0
    skills: Annotated[tuple[Id, ...], Field(max_length=10, strict=False)] = ()
    entitlements: dict[Id, Day] = Field({}, description="what the rider is entitled to, and until which day")


class PersonalIn(Strict):
    """Who a rider is. Kept until `days` after it was last said, for `purpose` only, then erased."""

    name: Annotated[Text, Field(min_length=1)]
    phone: Annotated[str, Field(pattern=r"^\+?[0-9-]{3,20}$")] | None = None
    purpose: Literal["booking_by_phone", "notices"]
    days: Annotated[int, Field(ge=1, le=3650)] = 400


class RiderRow(RiderIn):
    """A row of riders to import: what their rides need, and who they are where that is to be kept."""

    personal: PersonalIn | None = None


class OperatorOut(OperatorIn):
    operator: str


class Operators(Said):
    operators: list[OperatorOut]


class VehicleOut(VehicleIn):
    vehicle: str


class Vehicles(Said):
    vehicles: list[VehicleOut]


class DriverOut(DriverIn):
    driver: str


class Drivers(Said):
    drivers: list[DriverOut]


class RiderOut(RiderIn):
    rider: str


class Riders(Said):
    riders: list[RiderOut]


class PersonalOut(Said):
    rider: str
    name: str | None
    phone: str | None
    purpose: str
    delete_after: str


class RowProblem(Said):
    """A row that cannot be taken: row 1 is the file's first line."""

    row: int
    column: str | None
    what: str
    do: str


class Imported(Said):
    """What an import did, or would do: all rows or, where any has a problem, none."""

    rows: int
    written: int
    problems: list[RowProblem]
