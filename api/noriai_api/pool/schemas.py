"""Documents of the pool."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from noriai_api.parties.schemas import Hours, LayoutIn, LicenceIn, Weekday
from noriai_api.pool.hours import Limits
from noriai_api.schemas import Id, Instant, PlaceIn, Said, Strict

Kind = Literal["driver", "vehicle"]
Party = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~:-]*$")]
Area = Annotated[str, Field(pattern=r"^(jis:\d{2}(\d{3})?|mesh:\d{4,11})$")]


class PoolOfferIn(Strict):
    """A driver or vehicle of ours that other towns may borrow in some hours of the week. `duties`: a driver's own
    weekly duties, whether or not this node plans them; limits count over all towns."""

    kind: Kind
    name: Annotated[Id, Field(description="id of the driver or vehicle here")]
    region: Annotated[Id, Field(description="whose time zone the hours are in")]
    hours: Annotated[dict[Weekday, Hours], Field(min_length=1, description="when it may be lent")]
    duties: dict[Weekday, Hours] = Field({}, description="a driver's own hours, which are worked anyway")
    limits: Limits = Limits()
    areas: Annotated[tuple[Area, ...], Field(max_length=50, strict=False, description="where; none: anywhere")] = ()
    base: PlaceIn
    yen_per_hour: Annotated[int, Field(ge=0, le=10**6)]


class PoolOfferOut(Said):
    offer: str
    kind: Kind
    name: str
    operator: str
    region: str
    hours: dict[str, tuple[str, str]]
    duties: dict[str, tuple[str, str]]
    areas: tuple[str, ...]
    yen_per_hour: int


class PoolOffers(Said):
    offers: list[PoolOfferOut]


class NeedIn(Strict):
    """What a town lacks: a driver or a vehicle for some hours, with credentials that hold all the while."""

    kind: Kind
    begin: Instant
    end: Instant
    area: Area
    licences: Annotated[tuple[Id, ...], Field(max_length=10, strict=False)] = ()
    seats: Annotated[int, Field(ge=0, le=100)] = 0
    wheelchairs: Annotated[int, Field(ge=0, le=20)] = 0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.begin:
            raise ValueError("end is not after begin")
        return self


class FreeOut(Said):
    """Somebody or something that another town would lend: what for, where from, and what it costs."""

    participant: str
    offer: str
    kind: Kind
    vehicle_kind: str | None = None
    layouts: tuple[dict[str, int], ...] = ()
    licences: tuple[str, ...] = ()
    base: dict[str, Any]
    yen: int


class FreeList(Said):
    free: list[FreeOut]


class LoanIn(Strict):
    """Borrow what a search found: for an operator of ours, in a region. A vehicle serves under one of our licence
    classes, from a depot of ours where one is named."""

    participant: Party
    offer: Id
    need: NeedIn
    region: Id
    operator: Id
    licence: Id | None = None
    depot: PlaceIn | None = None


class ReturnIn(Strict):
    """When it was really used, if it was: those are the hours that count."""

    begin: Instant | None = None
    end: Instant | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.begin is None) != (self.end is None) or (self.begin and self.end and self.end <= self.begin):
            raise ValueError("give begin and an end after it, or neither")
        return self


class LoanOut(Said):
    """A loan as we have it: borrowed (asking, lent, refused, returning, returned) or lent (lent, returned). `name`: the
    driver or vehicle here."""

    loan: str
    role: Literal["borrowed", "lent"]
    state: str
    participant: str
    offer: str
    kind: Kind
    begin: str
    end: str
    name: str | None
    yen: int | None
    reason: str | None


class LoanList(Said):
    loans: list[LoanOut]


class LoanLine(Said):
    loan: str
    what: Literal["loan", "return"]
    price: int


class LoanSettlementOut(Said):
    """What loans under an agreement came to, by our own log; the other side's log says the same."""

    agreement: str
    role: str
    participant: str
    total: int
    lines: list[LoanLine]


class Credentials(Strict):
    """What the lender says of a driver or vehicle: all that the borrower's rules need, and no name."""

    kind: Kind
    born: str | None = None
    applied: str | None = None
    licences: Annotated[tuple[LicenceIn, ...], Field(strict=False)] = ()
    vehicle_kind: Id | None = None
    layouts: Annotated[tuple[LayoutIn, ...], Field(strict=False)] = ()
    skills: Annotated[tuple[Id, ...], Field(strict=False)] = ()
    inspected: str | None = None
    battery: dict[str, Any] | None = None
    base: PlaceIn
    yen: int
