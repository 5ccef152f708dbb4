"""Clock and service day. The clock is passed in; nothing in the engine reads the wall clock."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Protocol, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, DayMs, UtcMs


class Clock(Protocol):
    """Tells the instant; the simulator's moves only when told, the service's is the real one."""

    def now(self) -> UtcMs: ...


class VirtualClock:
    """A clock that stands still until `advance_to`; it never runs backwards."""

    def __init__(self, start: UtcMs) -> None:
        self._now = start

    def now(self) -> UtcMs:
        return self._now

    def advance_to(self, instant: UtcMs) -> None:
        if instant < self._now:
            raise ValueError(f"the clock cannot go back from {self._now} to {instant} ms")
        self._now = instant


_TIME_OF_DAY = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2}))?$")


@dataclass(frozen=True)
class ServiceDay:
    """A date of operation as GTFS counts it: from noon minus 12 hours local time, and past 24:00 if need be.

    Noon minus 12 h differs from midnight on the two days a year when the clocks change (GTFS reference,
    "Time"), so 08:00 is 8 hours after `start` on every day. All instants are UTC milliseconds.
    """

    date: date
    timezone: str

    @classmethod
    def on(cls, iso_date: str, timezone: str) -> Self:
        """The service day of a date written 2026-11-24."""
        return cls(date.fromisoformat(iso_date), timezone)

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise InputError(
                f"time zone {self.timezone!r} is not known",
                remedy="use a name of the IANA data base, such as Asia/Tokyo",
            ) from error

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def start(self) -> UtcMs:
        noon = datetime(self.date.year, self.date.month, self.date.day, 12, tzinfo=self.zone)
        return UtcMs(int(noon.timestamp()) * SECOND_MS - 12 * HOUR_MS)

    def to_day_ms(self, instant: UtcMs) -> DayMs:
        return DayMs(instant - self.start)

    def to_utc(self, day_ms: int) -> UtcMs:
        return UtcMs(self.start + day_ms)

    def at(self, text: str) -> UtcMs:
        """Instant of a service time `HH:MM[:SS]`, hours 0 to 47 (25:30 is half past one in the next night)."""
        return self.to_utc(parse_time_of_day(text))

    def clock_text(self, instant: UtcMs, *, seconds: bool = False) -> str:
        """Service time of an instant, as GTFS writes it: 08:05, or 25:10 after midnight."""
        total_s = (instant - self.start) // SECOND_MS
        sign = "-" if total_s < 0 else ""
        hours, rest = divmod(abs(total_s), 3600)
        minutes, secs = divmod(rest, 60)
        return f"{sign}{hours:02d}:{minutes:02d}" + (f":{secs:02d}" if seconds else "")

    def rfc3339(self, instant: UtcMs) -> str:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)
        return moment.astimezone(self.zone).isoformat(timespec="milliseconds")

    def parse(self, text: str, days_before: int = 0) -> UtcMs:
        """Instant from `HH:MM[:SS]`, a local `YYYY-MM-DD HH:MM:SS`, or RFC 3339 with offset.

        Raises InputError where the text is no time, where its offset is neither UTC nor the region's (a time
        zone mix-up), or where the instant lies outside the service day (-6 h to 48 h) and the days before that count.
        """
        text = text.strip()
        if _TIME_OF_DAY.match(text):
            return self.at(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise InputError(
                f"{text!r} is not a time",
                remedy="write 08:30, 2026-11-21 08:30:00 or 2026-11-21T08:30:00+09:00",
            ) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        elif moment.utcoffset() not in (timedelta(0), moment.astimezone(self.zone).utcoffset()):
            local = moment.astimezone(self.zone)
            raise InputError(
                f"{text!r} has UTC offset {moment.strftime('%z')}, but {self.timezone} has {local.strftime('%z')} then",
                remedy="write local time without offset, local time with the region's offset, or UTC (Z)",
            )
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
        instant = UtcMs(elapsed // timedelta(milliseconds=1))
        if not -6 * HOUR_MS - days_before * DAY_MS <= instant - self.start < 2 * DAY_MS:
            raise InputError(
                f"{text!r} is outside service day {self.date} in {self.timezone}",
                remedy="check date and time zone; a service day runs from 00:00 to 48:00 local time",
            )
        return instant


def parse_time_of_day(text: str) -> DayMs:
    """Milliseconds from the service day's start of `HH:MM[:SS]`; hours 0 to 47. Raises InputError."""
    match = _TIME_OF_DAY.match(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
    if hours > 47 or minutes > 59 or seconds > 59:
        raise InputError(f"{text!r} is not a service time", remedy="write HH:MM or HH:MM:SS, hours 00 to 47")
    return DayMs(hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS)
