"""Judging a trip by a rule pack: permit, refuse or needs_confirmation, with the rule, the fact and the text's key.

A fact that a predicate needs and nobody knows is a refusal that names it; silence of a source is never permission.
"""

import calendar
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from noriai_engine.model.clock import parse_time_of_day
from noriai_engine.model.places import Place
from noriai_engine.rules.pack_file import PackFile

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Verdict(StrEnum):
    PERMIT = "permit"
    REFUSE = "refuse"
    NEEDS_CONFIRMATION = "needs_confirmation"


@dataclass(frozen=True)
class Facts:
    """What is known of a trip, its rider, driver and vehicle; None is unknown. Instants are local wall time.

    `weather`: measured values by the names of a pack's limits. `on_duty`: vehicles of the quota that run already.
    `inside` says whether a place lies in an area by name; a point on the border belongs to it.
    """

    departs: datetime
    inside: Callable[[str, Place], bool]
    holidays: Set[date] = frozenset()
    origin: Place | None = None
    destination: Place | None = None
    booked: datetime | None = None
    registered: bool | None = None
    groups: Set[str] | None = None
    visitor: bool | None = None
    home_end: bool | None = None
    """Whether one end is the rider's registered place in the zone a pack asks for."""
    fixed_before: bool | None = None
    street_hail: bool | None = None
    cash: bool | None = None
    fare: int | None = None
    taxi_fare: int | None = None
    fare_posted: bool | None = None
    born: date | None = None
    applied: date | None = None
    licensed: date | None = None
    course_until: date | None = None
    rollcall: bool | None = None
    inspected: date | None = None
    taxis_of_area: int | None = None
    declared_number: int | None = None
    on_duty: int | None = None
    weather: Mapping[str, float] = field(default_factory=dict)
    roads: Set[str] | None = None
    supervised: int | None = None
    """Vehicles the supervisor watches already; None: no supervisor is there."""
    on_site: bool | None = None
    event_declared: bool | None = None
    boarded: bool = False
    """The rider was aboard before conditions changed."""


@dataclass(frozen=True)
class Decision:
    """The answer of a pack. `predicate` is the one that fell, `key` its text; `facts` what it was judged by."""

    verdict: Verdict
    pack: str
    version: int
    article: str
    predicate: str = ""
    key: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class _Fallen(Exception):  # noqa: N818 - a verdict on its way up, never seen outside
    def __init__(self, key: str, *, confirm: bool = False, **facts: Any) -> None:
        self.key, self.confirm, self.facts = key, confirm, facts


def judge(pack: PackFile, facts: Facts, only: Set[str] | None = None) -> Decision:
    """May this trip be carried under this pack? `only`: predicates to look at, where the others' turn comes later."""
    about, doubt = pack.pack, None
    for name, look in _PREDICATES:
        if only is not None and name not in only:
            continue
        try:
            look(pack, facts)
        except _Fallen as fell:
            verdict = Verdict.NEEDS_CONFIRMATION if fell.confirm else Verdict.REFUSE
            found = Decision(verdict, about.id, about.version, about.article, name, fell.key, fell.facts)
            if not fell.confirm:
                return found
            doubt = doubt or found
    return doubt or Decision(Verdict.PERMIT, about.id, about.version, about.article)


def _known(value: Any, name: str, key: str) -> Any:
    if value is None:
        raise _Fallen(key, unknown=name)
    return value


def _validity(pack: PackFile, facts: Facts) -> None:
    day = facts.departs.date()
    if not pack.pack.valid_from <= day <= pack.pack.valid_to:
        raise _Fallen("pack.expired", day=day, valid_to=pack.pack.valid_to)


def _event(pack: PackFile, facts: Facts) -> None:
    if pack.declared_event and not _known(facts.event_declared, "event_declared", "disaster.not_declared"):
        if facts.boarded:  # whoever is aboard is taken to where they go
            return
        raise _Fallen("disaster.not_declared")


def _ms(moment: datetime, since: date) -> int:
    start = datetime(since.year, since.month, since.day, tzinfo=moment.tzinfo)
    return (moment.replace(tzinfo=None) - start.replace(tzinfo=None)) // timedelta(milliseconds=1)


def _window(pack: PackFile, facts: Facts) -> None:
    if pack.when is None:
        return
    today = facts.departs.date()
    key = "shortage.window" if pack.pack.article == "78-3" else "service.closed"
    for day in (today, today - timedelta(days=1)):
        if _is_closed(pack, day, facts):
            continue
        at = _ms(facts.departs, day)
        for window in pack.when.windows:
            if _DAYS[day.weekday()] in window.days:
                if parse_time_of_day(window.start) <= at < parse_time_of_day(window.end):
                    return
                if at == parse_time_of_day(window.end) and window.end in pack.when.confirm_at:
                    raise _Fallen(key, confirm=True, at=facts.departs)
    raise _Fallen(key, at=facts.departs)


def _is_closed(pack: PackFile, day: date, facts: Facts) -> bool:
    assert pack.when is not None
    return (pack.when.closed_on_holidays and day in facts.holidays) or day.strftime("%m-%d") in pack.when.closed_dates


def _booking(pack: PackFile, facts: Facts) -> None:
    if pack.booking is None:
        return
    unknown = "booking.desk" if pack.booking.days_before is None else "booking.cutoff"
    booked: datetime = _known(facts.booked, "booked", unknown)
    if pack.booking.days_before is not None and pack.booking.until is not None:
        last = facts.departs.date() - timedelta(days=pack.booking.days_before)
        if _ms(booked, last) >= parse_time_of_day(pack.booking.until) + 60_000:
            raise _Fallen("booking.cutoff", booked=booked)
    if pack.booking.desk is not None:
        opens, closes = pack.booking.desk
        at = _ms(booked, booked.date())
        if at == parse_time_of_day(closes) and closes in pack.booking.confirm_at:
            raise _Fallen("booking.desk", confirm=True, booked=booked)
        if not parse_time_of_day(opens) <= at < parse_time_of_day(closes):
            raise _Fallen("booking.desk", booked=booked)


def _where(pack: PackFile, facts: Facts) -> None:
    if pack.where is None:
        return
    key = "taxi.area" if pack.pack.article == "20" else "area.outside"
    origin: Place = _known(facts.origin, "origin", key)
    destination: Place = _known(facts.destination, "destination", key)
    inside = [facts.inside(pack.where.area, place) for place in (origin, destination)]
    good = {"both": all(inside), "either": any(inside), "pickup": inside[0]}[pack.where.ends]
    if not good:
        raise _Fallen(key, inside=tuple(inside))
    if pack.where.home_zone is not None and not _known(facts.home_end, "home_end", "area.home"):
        raise _Fallen("area.home")


def _rider(pack: PackFile, facts: Facts) -> None:
    if pack.rider is None:
        return
    if facts.visitor and pack.rider.visitors:
        return
    if facts.visitor:
        raise _Fallen("rider.not_eligible", visitor=True)
    if pack.rider.registered and not _known(facts.registered, "registered", "rider.not_registered"):
        raise _Fallen("rider.not_registered")
    if pack.rider.groups and not set(pack.rider.groups) & set(_known(facts.groups, "groups", "rider.not_eligible")):
        raise _Fallen("rider.not_eligible", groups=facts.groups)


def _trip(pack: PackFile, facts: Facts) -> None:
    if pack.trip is None:
        return
    if pack.trip.fixed_before and not _known(facts.fixed_before, "fixed_before", "trip.not_fixed"):
        raise _Fallen("trip.not_fixed")
    if not pack.trip.street_hail and _known(facts.street_hail, "street_hail", "trip.street_hail"):
        raise _Fallen("trip.street_hail")
    if not pack.trip.cash and _known(facts.cash, "cash", "pay.cash"):
        raise _Fallen("pay.cash")


def _fare(pack: PackFile, facts: Facts) -> None:
    if pack.fare is None:
        return
    if pack.fare.percent_of_taxi is not None:
        fare, taxi = _known(facts.fare, "fare", "fare.over_cap"), _known(facts.taxi_fare, "taxi_fare", "fare.over_cap")
        if fare * 100 > taxi * pack.fare.percent_of_taxi:
            raise _Fallen("fare.over_cap", fare=fare, cap=taxi * pack.fare.percent_of_taxi // 100)
    if pack.fare.posted and not _known(facts.fare_posted, "fare_posted", "fare.not_posted"):
        raise _Fallen("fare.not_posted")


def _driver(pack: PackFile, facts: Facts) -> None:
    need, today = pack.driver, facts.departs.date()
    if need is None:
        return
    if need.licence_days or need.licence_years:
        held: date = _known(facts.licensed, "licensed", "driver.requirement")
        first = min(held + timedelta(days=need.licence_days), date.max)
        too_few = need.licence_years > 0 and _years(held, facts.applied or today) < need.licence_years
        if today < first or too_few:
            raise _Fallen("driver.requirement", licensed=held)
    if need.course and _known(facts.course_until, "course_until", "driver.requirement") < today:
        raise _Fallen("driver.expired", course_until=facts.course_until)
    if need.age_from is not None or need.age_below is not None:
        age = _years(_known(facts.born, "born", "driver.requirement"), _known(facts.applied, "applied",
                                                                             "driver.requirement"))  # fmt: skip
        if (need.age_from is not None and age < need.age_from) or (
            need.age_below is not None and age >= need.age_below
        ):
            raise _Fallen("driver.requirement", age=age)
    if need.rollcall and not _known(facts.rollcall, "rollcall", "driver.no_rollcall"):
        raise _Fallen("driver.no_rollcall")


def _years(since: date, until: date) -> int:
    return until.year - since.year - ((until.month, until.day) < (since.month, since.day))


def _inspection(pack: PackFile, facts: Facts) -> None:
    if pack.inspection_months is None:
        return
    last: date = _known(facts.inspected, "inspected", "vehicle.inspection")
    month = last.month - 1 + pack.inspection_months
    year, month = last.year + month // 12, month % 12 + 1
    due = date(year, month, min(last.day, calendar.monthrange(year, month)[1]))
    if facts.departs.date() > due:
        raise _Fallen("vehicle.inspection", inspected=last)


def _quota(pack: PackFile, facts: Facts) -> None:
    if pack.quota is None:
        return
    if facts.declared_number is not None:
        most = facts.declared_number
    else:
        most = _known(facts.taxis_of_area, "taxis_of_area", "shortage.quota") * pack.quota.permille_of_taxis // 1000
    if _known(facts.on_duty, "on_duty", "shortage.quota") >= most:
        raise _Fallen("shortage.quota", n=most)


def _odd(pack: PackFile, facts: Facts) -> None:
    odd = pack.odd
    if odd is None:
        return
    for name, limit in odd.most.items():
        if _known(facts.weather.get(name), name, "odd.weather") > limit:
            raise _Fallen("odd.weather", what=name, value=facts.weather[name], limit=limit)
    if odd.roads:
        others = set(_known(facts.roads, "roads", "odd.road")) - set(odd.roads)
        if others:
            raise _Fallen("odd.road", road=sorted(others)[0])
    if odd.hours is not None:
        at = _ms(facts.departs, facts.departs.date())
        if not parse_time_of_day(odd.hours[0]) <= at < parse_time_of_day(odd.hours[1]):
            raise _Fallen("odd.hours")
    if odd.per_supervisor is not None:
        if _known(facts.supervised, "supervised", "av.supervisor") >= odd.per_supervisor:
            raise _Fallen("av.supervisor", n=odd.per_supervisor)
        if odd.on_site and not _known(facts.on_site, "on_site", "av.on_site"):
            raise _Fallen("av.on_site")


_PREDICATES: tuple[tuple[str, Callable[[PackFile, Facts], None]], ...] = (
    ("validity", _validity), ("event", _event), ("when", _window), ("booking", _booking), ("where", _where),
    ("rider", _rider), ("trip", _trip), ("fare", _fare), ("driver", _driver), ("inspection", _inspection),
    ("quota", _quota), ("odd", _odd),
)  # fmt: skip
"""In the order they are looked at; the first that falls is the answer, unless it only wants confirming."""

OF_THE_REQUEST = frozenset({"validity", "event", "when", "booking", "where", "rider", "trip", "fare"})
"""Predicates that a request settles."""
ON_DUTY = frozenset({"driver", "inspection", "quota"})
"""Predicates that are settled when a driver goes on duty."""
