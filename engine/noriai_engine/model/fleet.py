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
