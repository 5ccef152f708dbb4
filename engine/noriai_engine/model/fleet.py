"""Operators and vehicles: who drives, with which seats, when, from where."""

from dataclasses import dataclass

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place
from noriai_engine.model.resources import Resources
from noriai_engine.model.units import OperatorId, UtcMs, VehicleId


@dataclass(frozen=True, slots=True)
class Operator:
    """A taxi company, volunteer scheme or shuttle operator. Matching is neutral between operators."""

    id: OperatorId
    name: str
    kind: str  # taxi, volunteer, shuttle, ...


@dataclass(frozen=True, slots=True)
class Shift:
    """A vehicle serves riders from `start` at its depot and is back at the depot by `end` (UTC ms)."""

    start: UtcMs
    end: UtcMs

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise InputError(
                f"shift ends {self.start - self.end} ms before it starts",
                remedy="let the shift end after its start; past midnight write hours over 24, such as 26:00",
            )


@dataclass(frozen=True, slots=True)
class Break:
    """A pause of `duration_ms` that starts within [earliest, latest], at the depot, with nobody aboard."""

    earliest: UtcMs
    latest: UtcMs
    duration_ms: int

    def __post_init__(self) -> None:
        if self.latest < self.earliest or self.duration_ms <= 0:
            raise InputError(
                f"break window of {self.latest - self.earliest} ms for {self.duration_ms} ms",
                remedy="give a window that does not end before it starts, and a duration above 0",
            )


@dataclass(frozen=True, slots=True)
class Battery:
    """How far an electric vehicle drives: `range_m` on a full battery, of which `reserve_m` is never planned with;
    `charge_m_per_min` of road gained a minute in breaks, which are at the depot; `start_m` is left when the shift
    begins (None: full)."""

    range_m: int
    reserve_m: int = 0
    charge_m_per_min: int = 0
    start_m: int | None = None

    def __post_init__(self) -> None:
        start = self.range_m if self.start_m is None else self.start_m
        if not 0 <= self.reserve_m < self.range_m or not self.reserve_m <= start <= self.range_m:
            raise InputError(
                f"a battery for {self.range_m} m with {self.reserve_m} m in reserve and {start} m at the start",
                remedy="let the reserve be below the range, and the start between the two",
            )
        if self.charge_m_per_min < 0 or self.range_m > 10_000_000:
            raise InputError(
                f"a range of {self.range_m} m, charging {self.charge_m_per_min} m a minute",
                remedy="give at most 10,000 km, and 0 or more a minute",
            )


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle of one operator for one shift.

    `layouts` are the ways its interior can be arranged: a load fits if some layout holds it, so a folding
    seat that makes room for a wheelchair is two layouts.
    """

    id: VehicleId
    operator_id: OperatorId
    kind: str
    layouts: tuple[Resources, ...]
    shift: Shift
    depot: Place
    breaks: tuple[Break, ...] = ()
    autonomous: bool = False
    skills: tuple[str, ...] = ()
    """What vehicle and driver are fit for beyond the ordinary: a lift, a licence, a language."""
    battery: Battery | None = None
    """Of an electric vehicle; None: it drives as far as its shift allows."""

    def __post_init__(self) -> None:
        if not self.layouts or all(layout.riders == 0 for layout in self.layouts):
            raise InputError(
                f"vehicle {self.id} can carry nobody", remedy="give it at least one seat or wheelchair place"
            )
        for pause in self.breaks:
            if pause.earliest < self.shift.start or pause.latest + pause.duration_ms > self.shift.end:
                raise InputError(
                    f"vehicle {self.id}: a break may fall outside the shift",
                    remedy="keep the break's window and duration inside the shift",
                )
