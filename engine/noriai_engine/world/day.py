"""A day in which vehicles carry out their plans, life comes between, and requests arrive: one virtual clock's loop."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams
from noriai_engine.model.clock import VirtualClock
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.plan import Leg
from noriai_engine.model.requests import Quote, Request
from noriai_engine.model.units import FOREVER_MS, RequestId, UtcMs, VehicleId
from noriai_engine.plans.aims import Aims
from noriai_engine.plans.params import SolveParams
from noriai_engine.roads.traffic import Traffic
from noriai_engine.world.life import LATE_DRIVER, Breakdown, HoldUps, Incident, Life, TrafficChange
from noriai_engine.world.motion import Alarms, Motion
from noriai_engine.world.whims import Whims


@dataclass(frozen=True)
class PlanAhead:
    """Requests placed by the instant `at` are answered then, by one plan for all of them."""

    at: UtcMs
    params: SolveParams
    cpu_clock: Callable[[], float] = lambda: 0.0
    """Read only where `params` give seconds."""
    aims: Aims = Aims()


@dataclass(frozen=True)
class Improve:
    """Plans are improved every `every_ms` while vehicles are on duty."""

    every_ms: int
    params: SolveParams


@dataclass(frozen=True)
class Batch:
    """Riders are matched every `every_ms`; `at_once`: those for whom there is a vehicle are answered when they ask, the
    others wait for the next batch. `rebalance`: idle vehicles are sent to where riders were turned away."""

    every_ms: int
    params: MatchParams = MatchParams()
    at_once: bool = True
    rebalance: RebalanceParams = RebalanceParams()


@dataclass
class _Job:
    """What is done again and again."""

    at: UtcMs
    every_ms: int
    do: Callable[[], None]


class Day:
    """Drives a Dispatcher through one service day. Riders accept the cheapest offer.

    `whims` says who then cancels or is not there when boarding time is over; `ahead`: who asks early enough is planned
    for before the day; `improve`: plans are improved between requests; `batch`: riders are matched in batches; `life`:
    what else nobody planned.

    At one instant vehicles act before requests are answered, lower vehicle rows first, and requests in the
    order given: the same input gives the same events.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        clock: VirtualClock,
        requests: Sequence[Request],
        whims: Whims | None = None,
        ahead: PlanAhead | None = None,
        improve: Improve | None = None,
        batch: Batch | None = None,
        life: Life | None = None,
    ) -> None:
        self.dispatcher, self._clock, self._whims, self._ahead = dispatcher, clock, whims or Whims(), ahead
        self._order = 0
        self._batch, self._jobs = batch, self._all_jobs(batch, improve)
        life = life or Life()
        self._unplanned: list[tuple[UtcMs, int, Callable[[], None]]] = []
        for incident in life.incidents:
            self._expect(incident.at, partial(self._happen, incident))
        self._requests = sorted(requests, key=lambda r: r.placed_at)
        self.motion = Motion(dispatcher, clock, self._whims.absent)
        self._alarms = Alarms(self.motion, clock, hold_ups=HoldUps(life.held_up, life.seed))
        for index in range(len(dispatcher.vehicles)):
            self._alarms.set(index)

    def _all_jobs(self, batch: Batch | None, improve: Improve | None) -> list[_Job]:
        first = min((vehicle.shift.start for vehicle in self.dispatcher.vehicles), default=UtcMs(0))
        jobs: list[tuple[int, Callable[[], None]]] = []
        if batch is not None:
            jobs.append((batch.every_ms, lambda: self._match(batch, batch.every_ms)))
            jobs.append((batch.rebalance.every_ms, lambda: self._rebalance(batch.rebalance)))
        if improve is not None:
            jobs.append((improve.every_ms, lambda: self._improve_plans(improve)))
        return [_Job(UtcMs(first + every), every, do) for every, do in jobs if every > 0]

    @property
    def legs(self) -> list[Leg]:
        return self.motion.legs

    def run(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Run to the end of the last shift. `progress` hears (requests answered, requests in all)."""
        for answered, _ in enumerate(self.steps(), start=1):
            if progress is not None and (answered % 50 == 0 or answered == len(self._requests)):
                progress(answered, len(self._requests))

    def steps(self) -> Iterator[Quote | None]:
        """Take one request after another, the vehicles moving meanwhile; finishes the day after the last.

        Yields the answer, None where it is left to the plan of the day.
        """
        for request in self._requests:
            if self._ahead is not None and request.placed_at > self._ahead.at:
                self._plan_ahead(self._ahead)
            self._go_to(request.placed_at)
            yield self._answer(request)
        if self._ahead is not None:
            self._plan_ahead(self._ahead)
        self._move_until(None)
        if self._batch is not None:  # nobody is left without an answer
            self._match(self._batch, FOREVER_MS)

    def _go_to(self, instant: UtcMs) -> None:
        self._move_until(instant)
        self._clock.advance_to(max(instant, self._clock.now()))

    def _answer(self, request: Request) -> Quote | None:
        if self._ahead is not None:
            refusal = self.dispatcher.ahead.hear(request)
            return None if refusal is None else Quote(request.id, refusal=refusal)
        if self._batch is not None and not self._batch.at_once:
            refusal = self.dispatcher.ahead.hear(request)
            return None if refusal is None else Quote(request.id, refusal=refusal)
        quote = self.dispatcher.quote(request) if self._batch is None else self.dispatcher.batching.ask(request)
        if quote is not None and quote.offers:
            offer = quote.offers[0]
            self.dispatcher.commit(offer)
            self._booked(request.id, offer.vehicle_id, offer.planned_pickup)
        return quote

    def _plan_ahead(self, ahead: PlanAhead) -> None:
        self._go_to(ahead.at)
        self._ahead = None
        for booking in self.dispatcher.ahead.plan(ahead.params, ahead.cpu_clock, aims=ahead.aims).bookings:
            self._booked(booking.request_id, booking.vehicle_id, booking.pickup.earliest)

    def _booked(self, request_id: RequestId, vehicle: VehicleId, planned_pickup: UtcMs) -> None:
        self._alarms.look_again([self.dispatcher.index_of(vehicle)])
        if request_id in self._whims.cancels:
            now = self._clock.now()
            wait = int((planned_pickup - now) * self._whims.cancels[request_id])
            self._expect(UtcMs(now + max(0, wait)), partial(self._give_up, request_id))

    # --- what was not planned -------------------------------------------------------------------------------

    def _expect(self, at: UtcMs, do: Callable[[], None]) -> None:
        """Something will happen; at one instant in the order it was drawn, after what vehicles do."""
        self._order += 1
        heappush(self._unplanned, (at, self._order, do))

    def _give_up(self, request_id: RequestId) -> None:
        if self.dispatcher.bookings.states[request_id] in (BookingState.ACCEPTED, BookingState.UNASSIGNED):
            self.cancel(request_id)

    def _happen(self, incident: Incident) -> None:
        """An incident of life; none where the vehicle is off duty anyway."""
        if isinstance(incident, TrafficChange):
            self.set_traffic(incident.traffic, incident.cause)
            return
        vehicle = self.dispatcher.index_of(incident.vehicle)
        if not self.dispatcher.is_on_duty(vehicle):
            return
        if isinstance(incident, Breakdown):
            self.break_down(vehicle, incident.cause)
        else:
            self.delay(vehicle, incident.until, LATE_DRIVER)

    def cancel(self, request_id: RequestId) -> None:
        """The rider cancels now."""
        self._alarms.look_again(self.dispatcher.incidents.cancel(request_id))

    def no_show(self, request_id: RequestId) -> None:
        """The rider being boarded is not there."""
        self._alarms.look_again(self.motion.no_show(request_id))

    def delay(self, vehicle: int, until: UtcMs, cause: str = "late") -> None:
        """A vehicle can go on no earlier than `until`; one under way is held up, and at its next stop then."""
        self._alarms.look_again(self.motion.delay(vehicle, until, cause))

    def break_down(self, vehicle: int, cause: str = "breakdown") -> None:
        """The vehicle stops for good where it is; who is alighting does so."""
        self._alarms.look_again(self.motion.break_down(vehicle, cause))

    def set_charge(self, vehicle: int, left_m: int) -> None:
        """Another charge is left in an electric vehicle's battery than thought (m of road)."""
        self._alarms.look_again(self.dispatcher.incidents.set_charge(vehicle, left_m))

    def end_shift_at(self, vehicle: int, end: UtcMs) -> None:
        """The driver goes home at another time."""
        self._alarms.look_again(self.dispatcher.incidents.end_shift_at(vehicle, end))

    def join(self, vehicle: Vehicle) -> None:
        """A vehicle more, from its shift's start or from now on."""
        self._alarms.set(self.dispatcher.incidents.join(vehicle))

    def set_traffic(self, traffic: Traffic, cause: str = "traffic") -> None:
        """Other travel times: every vehicle under way takes the fastest way from where it is."""
        self._alarms.look_again(self.motion.set_traffic(traffic, cause))

    def improve(self, params: SolveParams, cpu_clock: Callable[[], float] = lambda: 0.0) -> int:
        """Look for better plans now; ms of driving saved."""
        found = self.dispatcher.improving.improve(params, cpu_clock)
        self._alarms.look_again(found.changed)
        return found.saved_ms

    def _match(self, batch: Batch, until_ms: int) -> None:
        found = self.dispatcher.batching.run(batch.params, until_ms)
        self._alarms.look_again(found.changed)
        for booking in found.bookings:
            self._booked(booking.request_id, booking.vehicle_id, booking.pickup.earliest)

    def _rebalance(self, params: RebalanceParams) -> None:
        for vehicle in self.motion.rebalance(params):
            self._alarms.set(vehicle)

    def _improve_plans(self, improve: Improve) -> None:
        self.improve(improve.params)

    def _move_until(self, limit: UtcMs | None) -> None:
        while self._jobs and self._alarms:
            job = min(self._jobs, key=lambda one: one.at)  # at one instant in the order of the list
            if limit is not None and job.at > limit:
                break
            self._live_until(job.at)
            self._clock.advance_to(max(job.at, self._clock.now()))
            job.do()
            job.at = UtcMs(job.at + job.every_ms)
        self._live_until(limit)

    def _live_until(self, limit: UtcMs | None) -> None:
        """Vehicles act and what nobody planned happens, in order of time."""
        while self._unplanned and (limit is None or self._unplanned[0][0] <= limit):
            instant, _, do = heappop(self._unplanned)
            self._alarms.until(instant)
            self._clock.advance_to(max(instant, self._clock.now()))
            do()
        self._alarms.until(limit)
