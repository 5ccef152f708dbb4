"""A day in which vehicles carry out their plans exactly and requests arrive: the loop over one virtual clock."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from noriai_engine.dispatch.dispatcher import Dispatcher, DriveOrder
from noriai_engine.model.clock import VirtualClock
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind, Leg
from noriai_engine.model.requests import Quote, Request
from noriai_engine.model.resources import Resources
from noriai_engine.model.units import RequestId, UtcMs, VehicleId
from noriai_engine.plans.params import SolveParams
from noriai_engine.roads.traffic import Traffic
from noriai_engine.world.whims import Whims

_START_SHIFT, _DEPART, _ARRIVE, _END_SERVICE = range(4)


@dataclass(frozen=True)
class PlanAhead:
    """Requests placed by the instant `at` are answered then, by one plan for all of them."""

    at: UtcMs
    params: SolveParams
    cpu_clock: Callable[[], float] = lambda: 0.0
    """Read only where `params` give seconds."""


@dataclass(frozen=True)
class Improve:
    """Plans are improved every `every_ms` while vehicles are on duty."""

    every_ms: int
    params: SolveParams


class Day:
    """Drives a Dispatcher through one service day. Riders accept the cheapest offer.

    `whims` says who then cancels or is not there when boarding time is over; `ahead`: who asks early enough is planned
    for before the day; `improve`: plans are improved between requests.

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
    ) -> None:
        self.dispatcher, self._clock, self._whims, self._ahead = dispatcher, clock, whims or Whims(), ahead
        self._improve = improve
        self._next_improvement: UtcMs | None = None
        if improve is not None:
            first = min(vehicle.shift.start for vehicle in dispatcher.vehicles)
            self._next_improvement = UtcMs(first + improve.every_ms)
        self._cancels: list[tuple[UtcMs, RequestId]] = []
        self._requests = sorted(requests, key=lambda r: r.placed_at)
        self._party = {r.id: r.party for r in requests}
        self.legs: list[Leg] = []
        self._wakes: list[tuple[UtcMs, int, int, int]] = []  # instant, vehicle, ticket, what
        self._ticket = [0] * len(dispatcher.vehicles)
        self._driving: dict[int, DriveOrder] = {}
        self._serving: dict[int, tuple[ActivityKind, str | None]] = {}
        self._aboard: list[dict[RequestId, Resources]] = [{} for _ in dispatcher.vehicles]
        for index, vehicle in enumerate(dispatcher.vehicles):
            self._wake(index, vehicle.shift.start, _START_SHIFT)

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

    def _go_to(self, instant: UtcMs) -> None:
        self._move_until(instant)
        self._clock.advance_to(max(instant, self._clock.now()))

    def _answer(self, request: Request) -> Quote | None:
        if self._ahead is not None:
            refusal = self.dispatcher.ahead.hear(request)
            return None if refusal is None else Quote(request.id, refusal=refusal)
        quote = self.dispatcher.quote(request)
        if quote.offers:
            offer = quote.offers[0]
            self.dispatcher.commit(offer)
            self._booked(request.id, offer.vehicle_id, offer.planned_pickup)
        return quote

    def _plan_ahead(self, ahead: PlanAhead) -> None:
        self._go_to(ahead.at)
        self._ahead = None
        for booking in self.dispatcher.ahead.plan(ahead.params, ahead.cpu_clock).bookings:
            self._booked(booking.request_id, booking.vehicle_id, booking.pickup.earliest)

    def _booked(self, request_id: RequestId, vehicle: VehicleId, planned_pickup: UtcMs) -> None:
        self._plan_changed(self.dispatcher.index_of(vehicle))
        if request_id in self._whims.cancels:
            now = self._clock.now()
            wait = int((planned_pickup - now) * self._whims.cancels[request_id])
            heappush(self._cancels, (UtcMs(now + max(0, wait)), request_id))

    # --- what was not planned -------------------------------------------------------------------------------

    def cancel(self, request_id: RequestId) -> None:
        """The rider cancels now."""
        self._look_again(self.dispatcher.incidents.cancel(request_id))

    def no_show(self, request_id: RequestId) -> None:
        """The rider being boarded is not there."""
        vehicle = next(v for v, (_, rider) in self._serving.items() if rider == request_id)
        del self._serving[vehicle]
        del self._aboard[vehicle][request_id]
        self._look_again(self.dispatcher.incidents.no_show(request_id))

    def delay(self, vehicle: int, until: UtcMs) -> None:
        """A vehicle can go on no earlier than `until`; one under way is held up, and at its next stop then."""
        order = self._driving.pop(vehicle, None)
        if order is not None:
            self._end_leg(vehicle, order, *self.dispatcher.position(vehicle))
        changed = self.dispatcher.incidents.delay(vehicle, until)
        if vehicle in self._serving:
            self._wake(vehicle, max(until, self._clock.now()), _END_SERVICE)
        self._look_again(changed)

    def break_down(self, vehicle: int) -> None:
        """The vehicle stops for good where it is; who is alighting does so."""
        order = self._driving.pop(vehicle, None)
        if order is not None:
            self._end_leg(vehicle, order, *self.dispatcher.position(vehicle))
        kind, rider = self._serving.get(vehicle, (ActivityKind.END, None))
        if kind != ActivityKind.DROPOFF:
            self._serving.pop(vehicle, None)
            self._ticket[vehicle] += 1
            rider = None
        self._aboard[vehicle] = {r: party for r, party in self._aboard[vehicle].items() if r == rider}
        self._look_again(self.dispatcher.incidents.break_down(vehicle))

    def end_shift_at(self, vehicle: int, end: UtcMs) -> None:
        """The driver goes home at another time."""
        self._look_again(self.dispatcher.incidents.end_shift_at(vehicle, end))

    def join(self, vehicle: Vehicle) -> None:
        """A vehicle more, from its shift's start or from now on."""
        row = self.dispatcher.incidents.join(vehicle)
        self._ticket.append(0)
        self._aboard.append({})
        self._wake(row, max(vehicle.shift.start, self._clock.now()), _START_SHIFT)

    def set_traffic(self, traffic: Traffic) -> None:
        """Other travel times: every vehicle under way takes the fastest way from where it is."""
        here = {vehicle: self.dispatcher.position(vehicle) for vehicle in self._driving}
        for vehicle, (spot, instant) in here.items():
            self._end_leg(vehicle, self._driving.pop(vehicle), spot, instant)
        changed = self.dispatcher.incidents.set_traffic(traffic)
        for vehicle in here:
            self._drive(vehicle, self.dispatcher.divert(vehicle))
        self._look_again(changed)

    def improve(self, params: SolveParams, cpu_clock: Callable[[], float] = lambda: 0.0) -> int:
        """Look for better plans now; ms of driving saved."""
        found = self.dispatcher.improving.improve(params, cpu_clock)
        self._look_again(found.changed)
        return found.saved_ms

    def _look_again(self, vehicles: Iterable[int]) -> None:
        for vehicle in vehicles:
            if self.dispatcher.is_on_duty(vehicle):
                self._plan_changed(vehicle)

    def _plan_changed(self, vehicle: int) -> None:
        """Turn a vehicle under way if its next stop is another one now; set the alarm of a standing one anew."""
        order = self._driving.get(vehicle)
        if order is None:
            if vehicle not in self._serving and self._on_shift(vehicle):
                self._wake(vehicle, max(self.dispatcher.next_departure(vehicle), self._clock.now()), _DEPART)
        elif self.dispatcher.next_stop(vehicle) != order.drive.target:
            self._end_leg(vehicle, order, *self.dispatcher.position(vehicle))
            self._drive(vehicle, self.dispatcher.divert(vehicle))

    def _on_shift(self, vehicle: int) -> bool:
        return self._clock.now() >= self.dispatcher.vehicles[vehicle].shift.start

    def _wake(self, vehicle: int, instant: UtcMs, what: int) -> None:
        self._ticket[vehicle] += 1
        heappush(self._wakes, (instant, vehicle, self._ticket[vehicle], what))

    def _move_until(self, limit: UtcMs | None) -> None:
        while self._improve is not None and (at := self._next_improvement) is not None:
            if (limit is not None and at > limit) or not self._wakes:
                break
            self._cancel_until(at)
            self._clock.advance_to(max(at, self._clock.now()))
            self.improve(self._improve.params)
            self._next_improvement = UtcMs(at + self._improve.every_ms)
        self._cancel_until(limit)

    def _cancel_until(self, limit: UtcMs | None) -> None:
        while self._cancels and (limit is None or self._cancels[0][0] <= limit):
            instant, rider = heappop(self._cancels)
            self._vehicles_until(instant)
            self._clock.advance_to(max(instant, self._clock.now()))
            if self.dispatcher.bookings.states[rider] == BookingState.ACCEPTED:
                self.cancel(rider)
        self._vehicles_until(limit)

    def _vehicles_until(self, limit: UtcMs | None) -> None:
        while self._wakes and (limit is None or self._wakes[0][0] <= limit):
            instant, vehicle, ticket, what = heappop(self._wakes)
            if ticket != self._ticket[vehicle]:
                continue
            self._clock.advance_to(max(instant, self._clock.now()))
            self._act(vehicle, what)

    def _act(self, vehicle: int, what: int) -> None:
        dispatcher = self.dispatcher
        if what == _START_SHIFT:
            dispatcher.start_shift(vehicle)
        elif what == _DEPART and dispatcher.next_stop(vehicle) != dispatcher.position(vehicle)[0]:
            self._drive(vehicle, dispatcher.depart(vehicle))
            return
        elif what == _DEPART:
            self._begin_service(vehicle)
            return
        elif what == _ARRIVE:
            order = self._driving.pop(vehicle)
            self._end_leg(vehicle, order, order.drive.target, order.arrives)
            dispatcher.arrive(vehicle)
        elif what == _END_SERVICE and self._serving[vehicle][1] in self._whims.absent:
            self.no_show(RequestId(str(self._serving[vehicle][1])))
        elif what == _END_SERVICE:
            kind, rider = self._serving.pop(vehicle)
            dispatcher.end_service(vehicle, kind, rider)
            if kind == ActivityKind.DROPOFF and rider is not None:
                del self._aboard[vehicle][RequestId(rider)]
        if dispatcher.is_on_duty(vehicle):
            self._wake(vehicle, max(dispatcher.next_departure(vehicle), self._clock.now()), _DEPART)

    def _drive(self, vehicle: int, order: DriveOrder) -> None:
        self._driving[vehicle] = order
        self._wake(vehicle, order.arrives, _ARRIVE)

    def _begin_service(self, vehicle: int) -> None:
        kind, rider, ends = self.dispatcher.start_service(vehicle)
        if kind == ActivityKind.END:
            return
        if kind == ActivityKind.PICKUP and rider is not None:
            self._aboard[vehicle][RequestId(rider)] = self._party[RequestId(rider)]
        self._serving[vehicle] = (kind, rider)
        self._wake(vehicle, ends, _END_SERVICE)

    def _end_leg(self, vehicle: int, order: DriveOrder, spot: Spot, instant: UtcMs) -> None:
        """Log the drive up to `spot`; nothing where the vehicle has not moved."""
        drive, driven_ms = order.drive, instant - order.leaves
        if driven_ms <= 0:
            return
        whole = instant == order.arrives
        count = len(drive.states) if whole else int((drive.enter_ms <= driven_ms).sum())
        mm = drive.mm if whole else self.dispatcher.travel_times.drive_mm(drive, spot, count)
        who, riders = self.dispatcher.vehicles[vehicle], self._aboard[vehicle]
        load = Resources(*(sum(x) for x in zip(*(p.as_tuple() for p in riders.values()), strict=True)))
        self.legs.append(
            Leg(
                who.id, who.operator_id, order.leaves, instant, tuple(drive.states[:count].tolist()),
                drive.source.offset_ms, spot.offset_ms, mm, order.purpose.name.lower(), load, tuple(riders), not whole,
            )
        )  # fmt: skip
