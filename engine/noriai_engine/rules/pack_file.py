"""Rule packs: who may carry whom, where, when and for how much, as data with a citation, a validity and a sentence for
whoever is refused. No rule stands in code; nothing here is legal advice, and every pack names its source and its date.
"""

import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.rules.service_file import FileTable, ServiceTime

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Mark = Literal["S", "C", "U"]
"""S read in a published source, C sources contradict, U unconfirmed."""


class SourceTable(FileTable):
    """Where a rule was read, when, and how sure that is."""

    kind: str
    as_of: date
    mark: Mark
    note: str = ""


class PackTable(FileTable):
    """Which rule this is, and from when to when it holds, both days included. A pack is never open-ended."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    version: Annotated[int, Field(ge=1)]
    article: str
    title: str
    valid_from: date
    valid_to: date
    source: SourceTable
    law_id: str = ""
    read_by: tuple[str, str] = ("", "")


class WindowTable(FileTable):
    """Times on some days; one past midnight belongs to the day it starts on. Half-open: the end is outside."""

    days: tuple[Weekday, ...]
    start: ServiceTime
    end: ServiceTime


class WhenTable(FileTable):
    """When a trip may depart. `confirm_at`: times at which the source is silent."""

    windows: tuple[WindowTable, ...]
    closed_on_holidays: bool = False
    closed_dates: tuple[Annotated[str, Field(pattern=r"^\d\d-\d\d$")], ...] = ()
    confirm_at: tuple[ServiceTime, ...] = ()


class BookingTable(FileTable):
    """How a trip is booked: so many days before until a time (that minute included), or while a desk is open."""

    days_before: Annotated[int, Field(ge=0)] | None = None
    until: ServiceTime | None = None
    desk: tuple[ServiceTime, ServiceTime] | None = None
    confirm_at: tuple[ServiceTime, ...] = ()


class WhereTable(FileTable):
    """Which ends must lie in the area named: `both`, `either` of them, or (`pickup`) the pickup."""

    area: str
    ends: Literal["both", "either", "pickup"]
    home_zone: str | None = None
    """One end must be the rider's registered place in this zone."""


class RiderTable(FileTable):
    """Who is carried: registered riders, and those of one of these groups; `visitors` besides, or not."""

    registered: bool = False
    groups: tuple[str, ...] = ()
    visitors: bool = True


class TripTable(FileTable):
    """How a trip comes about."""

    fixed_before: bool = False
    street_hail: bool = True
    cash: bool = True


class CapTable(FileTable):
    """What may be charged."""

    percent_of_taxi: Annotated[int, Field(ge=1, le=100)] | None = None
    posted: bool = False


class DriverTable(FileTable):
    """What a driver must have. Ages are counted at application."""

    licence_days: Annotated[int, Field(ge=0)] = 0
    licence_years: Annotated[int, Field(ge=0)] = 0
    course: bool = False
    rollcall: bool = False
    age_from: int | None = None
    age_below: int | None = None


class QuotaTable(FileTable):
    """How many vehicles may run at one time: a share of the area's taxis, rounded down, unless a number is declared."""

    permille_of_taxis: Annotated[int, Field(ge=0, le=1000)]


class OddTable(FileTable):
    """The conditions an automated vehicle is permitted for."""

    most: dict[str, float] = Field(default_factory=dict)
    roads: tuple[str, ...] = ()
    hours: tuple[ServiceTime, ServiceTime] | None = None
    per_supervisor: Annotated[int, Field(ge=1)] | None = None
    on_site: bool = False


class PackFile(FileTable):
    """A whole pack. Predicates that are absent do not restrict; `refuse` has the text's key for each that is there."""

    pack: PackTable
    when: WhenTable | None = None
    booking: BookingTable | None = None
    where: WhereTable | None = None
    rider: RiderTable | None = None
    trip: TripTable | None = None
    fare: CapTable | None = None
    driver: DriverTable | None = None
    inspection_months: Annotated[int, Field(ge=1)] | None = None
    quota: QuotaTable | None = None
    odd: OddTable | None = None
    declared_event: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.pack.valid_to < self.pack.valid_from:
            raise ValueError("pack: valid_to is before valid_from")
        return self


def in_force(packs: Iterable[PackFile], day: date) -> list[PackFile]:
    """Of each pack the version that holds on a day; where none does, the newest, which then refuses."""
    found: dict[str, PackFile] = {}
    for pack in packs:
        other = found.get(pack.pack.id)
        if other is None or (_holds(pack, day), pack.pack.version) > (_holds(other, day), other.pack.version):
            found[pack.pack.id] = pack
    return list(found.values())


def _holds(pack: PackFile, day: date) -> bool:
    return pack.pack.valid_from <= day <= pack.pack.valid_to


def check_versions(packs: Sequence[PackFile], where: str) -> None:
    """Raises InputError where two versions of a pack hold on one day, or the later one is no newer."""
    for a, b in combinations(sorted(packs, key=lambda pack: pack.pack.valid_from), 2):
        if a.pack.id == b.pack.id and (b.pack.valid_from <= a.pack.valid_to or b.pack.version <= a.pack.version):
            raise InputError(
                f"versions {a.pack.version} and {b.pack.version} of {a.pack.id} overlap, or do not follow each other",
                where=where, remedy="end the earlier one the day before, and give the later one a higher version",
            )  # fmt: skip


@cache
def shipped_packs() -> tuple[str, ...]:
    """Names of the packs that come with noriai."""
    folder = files("noriai_engine.rules").joinpath("packs")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_pack(name: str, base: Path = Path()) -> PackFile:
    """A shipped pack by name, or one in a file. Raises InputError naming the field, MissingDataError for none."""
    if name in shipped_packs():
        text, where = files("noriai_engine.rules").joinpath("packs", f"{name}.toml").read_text(encoding="utf-8"), name
    elif (base / name).is_file():
        text, where = (base / name).read_text(encoding="utf-8"), str(base / name)
    else:
        raise MissingDataError(
            f"{name!r} is no pack", where="rules", remedy=f"name a file, or one of: {', '.join(shipped_packs())}"
        )
    try:
        return PackFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not TOML: {error}", where=where, remedy="correct the line it names") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=where, remedy="docs/rules.md lists the fields"
        ) from error
