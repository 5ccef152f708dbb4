"""A region at run time: its service days, each with its Dispatcher, and nothing of HTTP or SQL.

It is called by one thread only (runtime.actor). Every call says what time it is, so that a region replays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from noriai_api.runtime.changes import DayChange, DayState, state_hash
from noriai_api.runtime.day import DayRun, fleet_of
from noriai_api.runtime.legality import Legality
from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.ahead import Planning
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams
from noriai_engine.model import Request, Service, ServiceDay, UtcMs, Vehicle
from noriai_engine.model.errors import InputError, MissingDataError, StalePlanError
from noriai_engine.model.units import DAY_MS, FOREVER_MS, MINUTE_MS
from noriai_engine.plans import annealing
from noriai_engine.regions import Region
from noriai_engine.roads import TravelTimes
from noriai_engine.rules.tariff import Tariff

LINGERS_MS = 6 * 3_600_000
"""A service day stays open this long after its last shift has ended."""


@dataclass(frozen=True)
class RegionRules:
    """How a region is served. `moves_itself`: its vehicles are simulated. `improve_every_ms` 0: plans stay.
    `match_every_ms` 0: riders are answered one by one, and nobody waits for a batch."""

    tenant: str
    region: str
    service: Service
    params: DispatchParams
    quote_lifetime_ms: int = 5 * MINUTE_MS
    moves_itself: bool = False
    improve_every_ms: int = 0
    improve_iterations: int = 2_000
    match_every_ms: int = 0
    matching: MatchParams = MatchParams(freeze_ms=10 * MINUTE_MS)
    """Who boards within ten minutes has been told which vehicle comes, and keeps it."""
    rebalance: RebalanceParams = RebalanceParams()
    plan_at: str = ""
    """HH:MM of the evening before at which a day is planned as a whole; empty: never."""
    plan_iterations: int = 20_000
    tariff: Tariff | None = None
    legality: Legality | None = None


class RegionRuntime:
    """Open days of one region. `fleet` says which vehicles serve on a day; `rng` makes the ids of bookings."""

    def __init__(
        self, rules: RegionRules, region: Region, fleet: Callable[[ServiceDay], Sequence[Vehicle]],
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.rules, self.region, self._fleet, self._rng = rules, region, fleet, rng
        self.travel_times = TravelTimes(region.network)
        self.days: dict[str, DayRun] = {}
        self.now = UtcMs(0)
        self._next: dict[str, UtcMs] = {}
        self._planned: set[str] = set()
        self._in_the_making: set[str] = set()
        self.withdrawn: set[str] = set()
        """Requests that wait for no plan any more, should they have been read already."""

    # --- time -----------------------------------------------------------------------------------------------

    def advance(self, now: UtcMs) -> None:
        """Time passes on every open day; it never runs backwards."""
        self.now = UtcMs(max(now, self.now))
        for run in self.days.values():
            run.advance(self.now)

    def tick(self, *, is_paused: bool = False) -> None:
        """What is due without anybody asking: today is open, old days are closed, old offers lapse, plans improve; and
        while rides are taken, riders are matched and idle vehicles sent about."""
        today, rules = self.today(), self.rules
        for name, run in [(name, run) for name, run in self.days.items() if self._is_over(run)]:
            if run.dispatcher.bookings.waiting:  # nobody is left without an answer
                run.match(rules.matching, FOREVER_MS)
            else:
                del self.days[name]
        for run in self.days.values():
            run.lapse(UtcMs(self.now - rules.quote_lifetime_ms))
        if not is_paused:
            self.match()
        if self._is_due("improve", rules.improve_every_ms):
            self.improve(today)
        if not is_paused and self._is_due("rebalance", rules.rebalance.every_ms):
            today.send_about(rules.rebalance)

    def match(self) -> None:
        """Match riders in batches where that is due; those who wait since before a restart, too, if there are to be no
        batches any more."""
        today, waits = self.today(), [run for run in self.days.values() if run.dispatcher.bookings.waiting]
        every = self.rules.match_every_ms or (MINUTE_MS if waits else 0)
        if self._is_due("match", every):
            for run in [run for run in self.days.values() if run is today or run in waits]:
                if run.name in self._in_the_making:
                    continue
                run.match(self.rules.matching, every)

    def planned_at(self, day: ServiceDay) -> UtcMs | None:
        """When a day is planned as a whole; None: never."""
        at = self.rules.plan_at
        return UtcMs(ServiceDay(day.date - timedelta(days=1), day.timezone).at(at)) if at else None

    def is_planned(self, day: ServiceDay) -> bool:
        """Whether a day's plan was made, as far as this process remembers."""
        return day.date.isoformat() in self._planned

    def plan_ahead(self, day: ServiceDay, requests: Sequence[Request]) -> Planning[None]:
        """Plan a day as a whole for those who wait for it, step by step: in the last one they are answered, and
        bookings that were made before find their best place within what was promised. No batch answers them meanwhile.
        Of a day that has begun they wait for the next batch. A step raises InputError for a day that is over,
        StalePlanError where the day has changed since the step before."""
        run = self.on(day)
        run.hear([request for request in requests if request.id not in self.withdrawn])
        if self.now >= run.begins:
            return
        self._in_the_making.add(run.name)
        try:
            yield from run.plan_ahead()
            if self.days.get(run.name) is not run:
                raise StalePlanError(f"{run.name} was built anew from its log while its plan was searched for")
            self._planned.add(run.name)
        finally:
            self._in_the_making.discard(run.name)

    def _is_due(self, what: str, every_ms: int) -> bool:
        """Whether something that is done every so often (0: never) is due now; if so, when it is due next is set."""
        if not every_ms or self.now < self._next.get(what, 0):
            return False
        self._next[what] = UtcMs(self.now + every_ms)
        return True

    def improve(self, run: DayRun) -> int:
        """Look for a better plan of a day; ms of driving saved."""
        params = annealing(run.dispatcher.version(0) if run.dispatcher.vehicles else 0, self.rules.improve_iterations)
        found = run.dispatcher.improving.improve(params, lambda: 0.0)
        run.look_again(found.changed)
        return found.saved_ms

    def _is_over(self, run: DayRun) -> bool:
        ends = max([run.day.to_utc(DAY_MS), *(v.shift.end for v in run.dispatcher.vehicles)])
        return self.now > ends + LINGERS_MS

    # --- days -----------------------------------------------------------------------------------------------

    def service_day(self, instant: UtcMs) -> ServiceDay:
        """The service day an instant belongs to: after midnight still yesterday's while that one is open."""
        zone = self.region.timezone
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(
            ServiceDay(date(2000, 1, 1), zone).zone
        )
        today = ServiceDay(local.date(), zone)
        before = ServiceDay(local.date() - timedelta(days=1), zone)
        past_midnight = self.rules.service.closes > DAY_MS and before.to_day_ms(instant) <= self.rules.service.closes
        return before if past_midnight else today

    def today(self) -> DayRun:
        return self.on(self.service_day(self.now))

    def on(self, day: ServiceDay) -> DayRun:
        """The day, opened if it is not. Raises InputError for one that is over, or too far ahead."""
        name = day.date.isoformat()
        if name in self.days:
            return self.days[name]
        first = self.service_day(self.now)
        ahead = (day.date - first.date).days
        if ahead < 0:
            raise InputError(f"{name} is over", where="day", remedy="ask for today or later")
        if ahead > self.rules.service.max_ahead_ms // DAY_MS + 1:
            raise InputError(f"{name} is too far ahead", where="day", remedy="ask again nearer to that day")
        self.days[name] = self._run(day, self._fleet(day), self.now)
        return self.days[name]

    def take_in(self) -> None:
        """Open days take in vehicles of the store that they do not have yet, and that still serve."""
        for run in self.days.values():
            known = {str(v.id) for v in run.dispatcher.vehicles}
            for vehicle in self._fleet(run.day):
                if str(vehicle.id) not in known and vehicle.shift.end > self.now:
                    run.look_again([run.dispatcher.incidents.join(vehicle)])

    def open_day(self, name: str) -> DayRun:
        """A day that is open already. Raises MissingDataError otherwise."""
        if name not in self.days:
            raise MissingDataError(f"{name} is not open", where="day", remedy="it may be over; look it up in the log")
        return self.days[name]

    def _run(self, day: ServiceDay, vehicles: Sequence[Vehicle], now: UtcMs) -> DayRun:
        return DayRun(
            day, self.travel_times, self.rules.service, vehicles, self.rules.params, self._rng, now,
            self.rules.moves_itself, self.region.checksum,
        )  # fmt: skip

    # --- the log --------------------------------------------------------------------------------------------

    def take(self) -> list[DayChange]:
        """What changed since the last call, day by day."""
        changes = (self.days[name].take() for name in sorted(self.days))
        return [change for change in changes if change is not None]

    def rebuild(self, states: dict[str, DayState]) -> None:
        """Make this region what the log says. Raises InputError where the road network is another one."""
        self.days.clear()
        for name, state in sorted(states.items()):
            if state.opened["network"] != self.region.checksum:
                raise InputError(
                    f"the log of {name} was written on another road network", where=f"region {self.rules.region}",
                    remedy="put the region's former bundle back until its open days are over",
                )  # fmt: skip
            day = ServiceDay(date.fromisoformat(name), self.region.timezone)
            run = self._run(day, fleet_of(state), UtcMs(state.last_time))
            run.put(state)
            self.days[name] = run
        self.now = UtcMs(max([self.now, *(state.last_time for state in states.values())]))

    def hash(self) -> str:
        """Of the state of all open days."""
        return state_hash({name: run.records() for name, run in self.days.items()})

    def kept(self) -> dict[str, Any]:
        """Figures for metrics."""
        return {
            "days": len(self.days),
            "vehicles": sum(len(run.dispatcher.vehicles) for run in self.days.values()),
            "requests": sum(len(run.dispatcher.bookings.requests) for run in self.days.values()),
        }
