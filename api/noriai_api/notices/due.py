"""Which notices are due. Each is given once; a new time is told against the time that was told before."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from noriai_api.schemas import in_zone
from noriai_engine.model import ServiceDay
from noriai_engine.model.units import HOUR_MS, MINUTE_MS
from noriai_engine.texts import LANGUAGES, text

Kind = Literal["day_before", "new_time", "vehicle_near"]

EVENING = "18:00"
"""From then on riders of the next day are reminded."""
NEAR_MS = 10 * MINUTE_MS
MOVED_MS = 5 * MINUTE_MS
"""A time that moves by less is within what riders were told to expect."""
AHEAD_MS = 36 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Ride:
    """A booking that waits for its pickup. Instants are UTC ms; `told` is the time its rider knows, None: none yet."""

    booking: str
    quote: str
    day: str
    operator: str
    made: int
    pickup: int
    is_next: bool
    """The vehicle does nothing else before."""
    told: int | None
    given: frozenset[str]


@dataclass(frozen=True, slots=True)
class Notice:
    """What one rider is told."""

    ride: Ride
    kind: Kind
    text: dict[str, str]
    old: str | None
    new: str


def due(rides: Iterable[Ride], now: int, timezone: str, operators: dict[str, dict[str, Any]]) -> list[Notice]:
    """The notices to give now, the most urgent for each ride."""
    found = []
    for ride in rides:
        kind = _kind(ride, now, ServiceDay.on(ride.day, timezone))
        if kind is not None:
            found.append(_notice(ride, kind, now, timezone, operators.get(ride.operator, {})))
    return found


def _kind(ride: Ride, now: int, day: ServiceDay) -> Kind | None:
    if ride.told is not None and abs(ride.pickup - ride.told) >= MOVED_MS and ride.pickup >= now:
        return "new_time"
    if "vehicle_near" not in ride.given and ride.is_next and 0 <= ride.pickup - now <= NEAR_MS:
        return "vehicle_near"
    evening = _evening(day)
    if "day_before" not in ride.given and ride.made < evening <= now and now < day.to_utc(0):
        return "day_before"
    return None


def _evening(day: ServiceDay) -> int:
    """When riders of a day are reminded: the evening before."""
    before = ServiceDay(day.date - timedelta(days=1), day.timezone)
    return int(before.at(EVENING))


def _name(operator: dict[str, Any], language: str) -> str:
    return str((operator.get("name_ja") if language == "ja" else None) or operator.get("name") or "")


def _notice(ride: Ride, kind: Kind, now: int, timezone: str, operator: dict[str, Any]) -> Notice:
    day = ServiceDay.on(ride.day, timezone)

    def clock(instant: int) -> str:
        return in_zone(instant, day)[11:16]

    on: date = day.date
    minutes = max(1, round((ride.pickup - now) / MINUTE_MS))
    values = {"time": clock(ride.pickup), "minutes": minutes, "month": on.month, "day": on.day, "date": on.isoformat(),
              "old": clock(ride.told if ride.told is not None else ride.pickup)}  # fmt: skip
    said = {
        language: text(f"notice.{kind}", language, operator=_name(operator, language) or ride.operator, **values)
        for language in LANGUAGES
    }
    old = None if ride.told is None or kind != "new_time" else in_zone(ride.told, day)
    return Notice(ride, kind, said, old, in_zone(ride.pickup, day))
