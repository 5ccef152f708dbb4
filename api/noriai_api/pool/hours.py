"""Working hours that follow a person: whether one more duty is lawful beside those they have, wherever those are.

Limits by default are those of taxi drivers on day shifts (改善基準告示, article 2, in force since 2024-04-01): from the
first duty of a working day to the end of its last at most 13 hours, 9 hours of rest at least before the next, 288 hours
in a month, taken here as any 28 days.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from noriai_api.schemas import Strict
from noriai_engine.model import ServiceDay

HOUR_MS, DAYS_28_MS = 3_600_000, 28 * 86_400_000
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Duty = tuple[int, int]
"""Begin and end, UTC ms, half-open."""


class Limits(Strict):
    """Hours that a person may work, over all towns."""

    longest_day_h: Annotated[float, Field(gt=0, le=24)] = 13
    least_rest_h: Annotated[float, Field(ge=0, le=24)] = 9
    most_28_days_h: Annotated[float, Field(gt=0, le=672)] = 288

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest_day_h + self.least_rest_h > 24:
            raise ValueError("longest_day_h and least_rest_h are more than a day together")
        return self


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a duty may not be: busy, rest, day, month."""

    why: str


def objection(duties: Iterable[Duty], new: Duty, limits: Limits) -> Objection | None:
    """What stands against a duty beside others (which do not overlap), None where nothing does."""
    others = sorted(duties)
    if any(begin < new[1] and new[0] < end for begin, end in others):
        return Objection("busy")
    every = sorted([*others, new])
    for day in _working_days(every, limits):
        if new in day and day[-1][1] - day[0][0] > limits.longest_day_h * HOUR_MS:
            return Objection("rest" if len(day) > 1 else "day")
    most = limits.most_28_days_h * HOUR_MS
    for start in {end - DAYS_28_MS for _, end in every} | {begin for begin, _ in every}:
        window = (start, start + DAYS_28_MS)
        if _overlap(new, window) and sum(_overlap(duty, window) for duty in every) > most:
            return Objection("month")
    return None


def _working_days(duties: Sequence[Duty], limits: Limits) -> list[list[Duty]]:
    """Duties with less rest between them than a night's are one working day."""
    days: list[list[Duty]] = []
    for duty in duties:
        if days and duty[0] - days[-1][-1][1] < limits.least_rest_h * HOUR_MS:
            days[-1].append(duty)
        else:
            days.append([duty])
    return days


def _overlap(duty: Duty, window: Duty) -> int:
    return max(0, min(duty[1], window[1]) - max(duty[0], window[0]))


def weekly(hours: dict[str, tuple[str, str]], zone: str, first: int, last: int) -> list[Duty]:
    """Hours of the week (weekday -> from and to, as service times) as duties that touch [first, last)."""
    found = []
    day = datetime.fromtimestamp(first / 1000, ZoneInfo(zone)).date() - timedelta(days=2)
    while (start := ServiceDay(day, zone)).start < last:
        if (said := hours.get(WEEKDAYS[day.weekday()])) is not None:
            begin, end = (int(start.at(text)) for text in said)
            if end > first and begin < last:
                found.append((begin, end))
        day += timedelta(days=1)
    return found
