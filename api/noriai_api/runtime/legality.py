"""What the law and the town's own conditions say of a request: which classes of licence may carry it.

Each class that may not becomes a skill the request needs and no vehicle of that class has, so that insertion, repair
and improvement keep to the law without knowing of it.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from noriai_engine.model import Place, Request, ServiceDay, UtcMs
from noriai_engine.rules.judge import OF_THE_REQUEST, ON_DUTY, Decision, Facts, Verdict, judge
from noriai_engine.rules.pack_file import PackFile, in_force
from noriai_engine.rules.tariff import Tariff

RULE = "rule:"
"""Skills that begin so are not a vehicle's own, but what the law makes of it."""
LICENSED = f"{RULE}licensed"
STEP_MIN, REACH_DAYS = 15, 14
_BY_TIME = frozenset({"when", "booking"})


@dataclass(frozen=True)
class Legality:
    """Licence classes with their packs, and what the town says of itself. `area`: outer rings (lon, lat)."""

    licences: Mapping[str, tuple[PackFile, ...]]
    area: tuple[tuple[tuple[float, float], ...], ...]
    holidays: Set[date] = frozenset()
    cash: bool = False
    fares_posted: bool = False
    taxi_fare: Tariff | None = None
    taxis_of_area: int | None = None
    declared_number: int | None = None
    live: bool = False
    """Real vehicles carry real riders: a pack whose sources contradict or are silent refuses until confirmed."""
    confirmed: Set[tuple[str, int]] = frozenset()
    """Packs (id, version) that a named person has confirmed."""

    def skills_of(self, licence: str | None) -> tuple[str, ...]:
        """What a vehicle of a class has: a mark that it is licensed, and the absence of every other class."""
        if not self.licences or licence not in self.licences:
            return ()
        return (LICENSED, *(f"{RULE}not-{name}" for name in self.licences if name != licence))

    def facts(self, request: Request, day: ServiceDay, rider: str | None, profile: Mapping[str, Any],
              fare: int | None, taxi_fare: int | None) -> Facts:  # fmt: skip
        """What is known of a request, at its wished time."""
        return Facts(
            _local(request.wished, day), self._inside, self.holidays, request.origin, request.destination,
            _local(request.placed_at, day), registered=rider is not None,
            groups=frozenset(profile.get("entitlements", ())), visitor=bool(profile.get("visitor", False)),
            fixed_before=True, street_hail=False, cash=self.cash, fare=fare, taxi_fare=taxi_fare,
            fare_posted=self.fares_posted,
        )  # fmt: skip

    def barred(self, facts: Facts) -> dict[str, Decision]:
        """Classes that may not carry it, each with the decision that says why."""
        found = {}
        for name, packs in self.licences.items():
            for pack in in_force(packs, facts.departs.date()):
                decision = self._judge(pack, facts, OF_THE_REQUEST)
                if decision.verdict != Verdict.PERMIT:
                    found[name] = decision
                    break
        return found

    def waits_for_confirmation(self, pack: PackFile) -> bool:
        about = pack.pack
        return self.live and about.source.mark != "S" and (about.id, about.version) not in self.confirmed

    def _judge(self, pack: PackFile, facts: Facts, only: Set[str]) -> Decision:
        if self.waits_for_confirmation(pack):
            about = pack.pack
            return Decision(Verdict.REFUSE, about.id, about.version, about.article, "source", "pack.unconfirmed",
                            {"mark": about.source.mark})  # fmt: skip
        return judge(pack, facts, only)

    def needs(self, barred: Mapping[str, Decision]) -> tuple[str, ...]:
        """Skills a request needs so that no barred class carries it."""
        return (LICENSED, *(f"{RULE}not-{name}" for name in barred)) if self.licences else ()

    def permitted_from(self, facts: Facts, barred: Mapping[str, Decision]) -> datetime | None:
        """The next quarter of an hour at which one of the classes that time bars may carry it; None where time is not
        what stands in the way, or none comes within two weeks."""
        waiting = {name for name, decision in barred.items() if decision.predicate in _BY_TIME}
        begin = facts.departs.replace(minute=0, second=0, microsecond=0)
        for step in range(1, REACH_DAYS * 24 * 60 // STEP_MIN if waiting else 0):
            moment = begin + timedelta(minutes=STEP_MIN * step)
            if moment > facts.departs and waiting - set(self.barred(replace(facts, departs=moment))):
                return moment
        return None

    def on_duty(
        self, licence: str, now: UtcMs, day: ServiceDay, driver: Mapping[str, Any] | None, vehicle: Mapping[str, Any],
        rollcall: bool | None, running: int,
    ) -> Decision | None:  # fmt: skip
        """Why a driver may not go on duty with a vehicle of a class, None where they may. `running`: vehicles of the
        class that are on duty already. Raises KeyError for a class the town does not have."""
        permits = {p["licence"]: p for p in (driver or {}).get("licences", ())}
        held, course = permits.get("driving"), permits.get("course")
        facts = Facts(
            _local(now, day), self._inside, self.holidays, born=_date((driver or {}).get("born")),
            applied=_date((driver or {}).get("applied")), licensed=_date(held["valid_from"]) if held else None,
            course_until=_date(course["valid_to"]) if course else None, rollcall=rollcall,
            inspected=_date(vehicle.get("inspected")), taxis_of_area=self.taxis_of_area,
            declared_number=self.declared_number, on_duty=running,
        )  # fmt: skip
        for pack in in_force(self.licences[licence], facts.departs.date()):
            decision = self._judge(pack, facts, ON_DUTY)
            if decision.verdict != Verdict.PERMIT:
                return decision
        return None

    def _inside(self, area: str, place: Place) -> bool:
        import shapely

        return any(bool(shapely.intersects_xy(shapely.Polygon(ring), place.lon, place.lat)) for ring in self.area)


def _date(value: str | None) -> date | None:
    return None if value is None else date.fromisoformat(value)


def _local(instant: UtcMs, day: ServiceDay) -> datetime:
    """Wall time of the region, without its zone."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)
    return moment.astimezone(day.zone).replace(tzinfo=None)
