"""One service day of a region: its Dispatcher, what its vehicles are doing, and what of it is not in the log yet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from noriai_api.runtime.changes import DayChange, DayState
from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.ahead import Planning
from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams
from noriai_engine.dispatch.records import (
    put_request,
    put_vehicle,
    request_record,
    vehicle_as_json,
    vehicle_from_json,
    vehicle_record,
)
from noriai_engine.model import (
    Booking,
    IdSource,
    Refusal,
    Request,
    Service,
    ServiceDay,
    Spot,
    UtcMs,
    Vehicle,
    VirtualClock,
)
from noriai_engine.model.errors import InputError
from noriai_engine.model.events import EventLog
from noriai_engine.model.units import MINUTE_MS, RequestId
from noriai_engine.roads import TravelTimes
from noriai_engine.world.motion import Alarms, Motion

MOST_PLACES = 50_000
PATIENCE_MS = MINUTE_MS
"""A driver who has not reported a step when it was due is expected to do so this much later."""


class DayRun:
    """A Dispatcher on a clock of its own. Its vehicles move by themselves, or their drivers report what they do."""

    def __init__(
        self,
        day: ServiceDay,
        travel_times: TravelTimes,
        service: Service,
        vehicles: Sequence[Vehicle],
        params: DispatchParams,
        rng: np.random.Generator,
        now: UtcMs,
        moves_itself: bool,
        network: str,
    ) -> None:
        self.day, self.network = day, network
        self.clock = VirtualClock(now)
        self.dispatcher = Dispatcher(
            travel_times, service, vehicles, day, self.clock, IdSource(self.clock, rng), params
        )  # fmt: skip
        self.motion = Motion(self.dispatcher, self.clock)
        self.alarms = Alarms(self.motion, self.clock, 0 if moves_itself else PATIENCE_MS)
        self._opened: dict[str, Any] | None = {"network": network, "vehicles": [vehicle_as_json(v) for v in vehicles]}
        self._known = len(vehicles)
        self._degrees: dict[Spot, tuple[float, float]] = {}
        self._answered: list[Booking | Refusal] = []
        self._matched: tuple[int, ...] = ()
        self.alarms.look_again(range(len(vehicles)))

    @property
    def name(self) -> str:
        return self.day.date.isoformat()

    # --- steps ----------------------------------------------------------------------------------------------

    def advance(self, now: UtcMs) -> None:
        """Time passes: vehicles that move by themselves do, and others are looked for."""
        self.alarms.until(now)
        self.clock.advance_to(max(now, self.clock.now()))

    def look_again(self, vehicles: Sequence[int]) -> None:
        """Plans changed: whoever drives them learns of it."""
        self.alarms.look_again(vehicles)

    def match(self, params: MatchParams, until_ms: int) -> None:
        """Match those who wait, and those accepted who may still change vehicles. Before the first shift only where
        something has changed since the last time. `until_ms`: to the next time."""
        if self.clock.now() < self.begins and self._changes() == self._matched:
            return
        found = self.dispatcher.batching.run(params, until_ms)
        self._answered += [*found.bookings, *found.refusals]
        self.look_again(found.changed)
        self._matched = self._changes()

    @property
    def begins(self) -> UtcMs:
        """When the first shift does."""
        return min((vehicle.shift.start for vehicle in self.dispatcher.vehicles), default=UtcMs(0))

    def hear(self, requests: Sequence[Request]) -> None:
        """Take requests down for the next plan or batch; those heard before, once."""
        for request in requests:
            if request.id not in self.dispatcher.bookings.row_of:
                refusal = self.dispatcher.ahead.hear(request)
                self._answered += [] if refusal is None else [refusal]

    def plan_ahead(self) -> Planning[None]:
        """Plan the day as a whole, before it begins, step by step: who waits is answered in the last one."""
        found = yield from self.dispatcher.ahead.planning()
        self._answered += [*found.bookings, *found.refusals]
        self.look_again(found.vehicles)
        self._matched = self._changes()

    def _changes(self) -> tuple[int, ...]:
        """Other numbers than before mean that requests or plans have changed."""
        book, vehicles = self.dispatcher.bookings, range(len(self.dispatcher.vehicles))
        return (len(book.requests), len(book.waiting), *(self.dispatcher.version(k) for k in vehicles))

    def send_about(self, params: RebalanceParams) -> None:
        """Send idle vehicles to where riders are expected."""
        for vehicle in self.motion.rebalance(params):
            self.alarms.set(vehicle)

    def degrees(self, spot: Spot) -> tuple[float, float]:
        """(lon, lat) of a spot, looked up once: plans name the same stops again and again."""
        if spot not in self._degrees:
            if len(self._degrees) > MOST_PLACES:
                self._degrees.clear()
            place = self.dispatcher.travel_times.place_of(spot)
            self._degrees[spot] = round(place.lon, 6), round(place.lat, 6)
        return self._degrees[spot]

    def shift_end(self, vehicle: int) -> UtcMs:
        """When a vehicle's shift ends as things stand."""
        end: int = vehicle_record(self.dispatcher, vehicle)["shift_end"]
        return self.day.to_utc(end)

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Whatever is done within is not done: the day is as it was afterwards."""
        motion, legs = [self.motion.record(k) for k in range(len(self.dispatcher.vehicles))], list(self.motion.legs)
        before = self.dispatcher.snapshot()
        try:
            yield
        finally:
            self.dispatcher.restore(before)
            self.motion.legs[:] = legs
            for index, record in enumerate(motion):
                self.motion.put(index, record)
                self.alarms.set(index)

    def lapse(self, placed_before: UtcMs) -> list[str]:
        """Offers of quotes placed before hold no longer."""
        book = self.dispatcher.bookings
        old = [name for name in book.open if book.requests[book.row_of[name]].placed_at <= placed_before]
        for name in old:
            self.dispatcher.lapse(RequestId(name))
        return old

    def request(self, request_id: str) -> Request:
        """A request of this day. Raises InputError for one that is not."""
        book = self.dispatcher.bookings
        if request_id not in book.row_of:
            raise InputError("is no request of this day", where=f"request {request_id}", remedy="check the id")
        return book.requests[book.row_of[request_id]]

    # --- what the log gets ----------------------------------------------------------------------------------

    def take(self) -> DayChange | None:
        """What changed since the last call; None where nothing did."""
        events = self.dispatcher.events.take()
        if not events and self._opened is None:
            return None
        dispatcher, book = self.dispatcher, self.dispatcher.bookings
        touched = sorted({dispatcher.index_of(e.vehicle_id) for e in events if e.vehicle_id is not None})  # type: ignore[arg-type]
        touched = sorted({*touched, *range(self._known, len(dispatcher.vehicles))})
        vehicles = {str(dispatcher.vehicles[k].id): self._vehicle(k) for k in touched}
        asked = sorted({e.request_id for e in events if e.request_id is not None}, key=lambda name: book.row_of[name])
        requests = {name: {"row": book.row_of[name], **request_record(dispatcher, name)} for name in asked}
        change = DayChange(
            self.name, self.clock.now(), tuple(events), vehicles, requests, tuple(self.motion.legs), self._opened,
            tuple(self._answered),
        )  # fmt: skip
        self.motion.legs.clear()
        self._answered.clear()
        self._opened, self._known = None, len(dispatcher.vehicles)
        return change

    def _vehicle(self, index: int) -> dict[str, Any]:
        record = {"plan": vehicle_record(self.dispatcher, index), "motion": self.motion.record(index)}
        if index >= self._known:
            record["vehicle"] = vehicle_as_json(self.dispatcher.vehicles[index])
        return record

    def records(self) -> dict[str, Any]:
        """The whole state as values, every vehicle settled at the clock's instant."""
        dispatcher, book = self.dispatcher, self.dispatcher.bookings
        for k in range(len(dispatcher.vehicles)):
            dispatcher.position(k)
        return {
            "vehicles": {
                str(v.id): {"plan": vehicle_record(dispatcher, k), "motion": self.motion.record(k)}
                for k, v in enumerate(dispatcher.vehicles)
            },
            "requests": {r.id: {"row": book.row_of[r.id], **request_record(dispatcher, r.id)} for r in book.requests},
        }

    def put(self, state: DayState) -> None:
        """Make this day, just opened with the fleet of `state`, what the log says it is."""
        self._opened = None
        self.dispatcher.events = EventLog(state.events, UtcMs(state.last_time))
        for record in state.requests.values():
            put_request(self.dispatcher, record)
        for name, record in state.vehicles.items():
            index = self.dispatcher.index_of(name)  # type: ignore[arg-type]
            self.motion.put(index, record["motion"])
            put_vehicle(self.dispatcher, index, record["plan"], self.motion.under_way(index))
        for index in range(len(self.dispatcher.vehicles)):
            self.alarms.set(index)


def fleet_of(state: DayState) -> list[Vehicle]:
    """Vehicles of a folded day, in the order of their rows."""
    return [vehicle_from_json(values) for values in [*state.opened["vehicles"], *state.joined]]
