"""What vehicles do: drives under way, stops being served, who is aboard, legs driven.

`Motion` carries out one step of one vehicle when told to, by a driver's tablet or by `Alarms`, which let vehicles keep
to their plans exactly. Both the simulator and the service move their vehicles through it.
"""

from collections.abc import Iterable
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any

from noriai_engine.dispatch.dispatcher import Dispatcher, DriveOrder
from noriai_engine.dispatch.rebalancing import RebalanceParams, moves
from noriai_engine.model.clock import Clock, VirtualClock
from noriai_engine.model.errors import InputError
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind, Leg
from noriai_engine.model.resources import Resources
from noriai_engine.model.units import RequestId, UtcMs
from noriai_engine.roads.traffic import Traffic
from noriai_engine.world.life import HoldUps


class Step(IntEnum):
    """What a vehicle does next."""

    START_SHIFT = 0
    DEPART = 1
    """Leave for the next activity, or begin it where it is at this very stop."""
    ARRIVE = 2
    END_SERVICE = 3
    HELD_UP = 4
    """Stand on the way for a while; `Alarms` know when."""


class Motion:
    """The vehicles of one Dispatcher. `absent`: riders who will not be there when boarding time is over."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock, absent: frozenset[RequestId] = frozenset()) -> None:
        self.dispatcher, self._clock, self._absent = dispatcher, clock, absent
        self.legs: list[Leg] = []
        self._started: set[int] = set()
        self._driving: dict[int, DriveOrder] = {}
        self._serving: dict[int, tuple[ActivityKind, str | None, UtcMs]] = {}
        self._aboard: dict[int, list[RequestId]] = {}
        self.driven_ms: dict[int, int] = {}
        """Time each vehicle has driven, the drive it is on left aside."""

    # --- one step -------------------------------------------------------------------------------------------

    def next_step(self, vehicle: int) -> tuple[UtcMs, Step] | None:
        """What the vehicle does next if it keeps to its plan, and when; None for one off duty."""
        if vehicle in self._driving:
            return self._driving[vehicle].arrives, Step.ARRIVE
        if vehicle in self._serving:
            return self._serving[vehicle][2], Step.END_SERVICE
        if vehicle not in self._started:
            if not self.dispatcher.is_on_duty(vehicle):
                return None
            position = self.dispatcher.position(vehicle)[1]
            return UtcMs(max(self.dispatcher.vehicles[vehicle].shift.start, position)), Step.START_SHIFT
        if not self.dispatcher.is_on_duty(vehicle):
            return None
        return self.dispatcher.next_departure(vehicle), Step.DEPART

    def act(self, vehicle: int, step: Step) -> list[int]:
        """Do the vehicle's next step now; returns vehicles whose plans changed by it."""
        if step == Step.START_SHIFT:
            self._started.add(vehicle)
            self.dispatcher.start_shift(vehicle)
        elif step == Step.DEPART and self.dispatcher.next_stop(vehicle) != self.dispatcher.position(vehicle)[0]:
            self._driving[vehicle] = self.dispatcher.depart(vehicle)
        elif step == Step.DEPART:
            self._begin_service(vehicle)
        elif step == Step.ARRIVE:
            order = self._driving.pop(vehicle)
            self._end_leg(vehicle, order, order.drive.target, self._clock.now(), whole=True)
            self.dispatcher.arrive(vehicle)
        elif self._serving[vehicle][1] in self._absent:
            return self.no_show(RequestId(str(self._serving[vehicle][1])))
        else:
            kind, rider, _ = self._serving.pop(vehicle)
            self.dispatcher.end_service(vehicle, kind, rider)
            if kind == ActivityKind.DROPOFF and rider is not None:
                self._aboard[vehicle].remove(RequestId(rider))
        return []

    def doing(self, vehicle: int) -> tuple[ActivityKind, str | None, UtcMs] | None:
        """The activity that is going on: what, whose, and when it is planned to end."""
        return self._serving.get(vehicle)

    def under_way(self, vehicle: int) -> DriveOrder | None:
        return self._driving.get(vehicle)

    def has_started(self, vehicle: int) -> bool:
        return vehicle in self._started

    def turn(self, vehicle: int) -> None:
        """The plan changed: a vehicle under way turns if its next stop is another one now."""
        order = self._driving.get(vehicle)
        if order is None or (order.is_to_wait and self.dispatcher.keeps_roaming(vehicle)):
            return
        if order.is_to_wait or self.dispatcher.next_stop(vehicle) != order.drive.target:
            self._end_leg(vehicle, order, *self.dispatcher.position(vehicle))
            self._driving[vehicle] = self.dispatcher.divert(vehicle)

    def send(self, vehicle: int, spot: Spot) -> bool:
        """An idle vehicle drives to wait at a spot; False where its plan leaves no time for it."""
        if vehicle not in self._started or vehicle in self._serving or vehicle in self._driving:
            return False
        order = self.dispatcher.reposition(vehicle, spot)
        if order is not None:
            self._driving[vehicle] = order
        return order is not None

    def call_off(self, vehicle: int) -> None:
        """A vehicle on its way to wait somewhere stands where it is instead."""
        self._end_leg(vehicle, self._driving.pop(vehicle), *self.dispatcher.position(vehicle))
        self.dispatcher.stand(vehicle)

    def rebalance(self, params: RebalanceParams) -> list[int]:
        """Send idle vehicles to where riders are expected; returns those that left."""
        d = self.dispatcher
        now = d.day.to_day_ms(self._clock.now())
        busy = self._driving.keys() | self._serving.keys()
        idle = sorted(v for v in self._started - busy if d.is_on_duty(v) and d.idle_ms(v) > 0)
        standing = [d.position(vehicle)[0] for vehicle in idle]
        coming = [order.drive.target for _, order in sorted(self._driving.items()) if order.is_to_wait]
        gaps = d.outlook.gaps(now, standing + coming, params)
        return [idle[k] for k, spot in moves(d.travel_times, standing, gaps, params) if self.send(idle[k], spot)]

    # --- what was not planned; each returns vehicles whose plans changed -------------------------------------

    def no_show(self, rider: RequestId) -> list[int]:
        """The rider being boarded is not there. Raises InputError where nobody is being boarded by that name."""
        vehicle = next((v for v, (_, who, _) in self._serving.items() if who == rider), None)
        if vehicle is None:
            self.dispatcher.bookings.row_in(rider, BookingState.BOARDING)
            raise InputError("is not being boarded", where=f"booking {rider}", remedy="look it up first")
        changed = self.dispatcher.incidents.no_show(rider)
        del self._serving[vehicle]
        self._aboard[vehicle].remove(rider)
        return changed

    def delay(self, vehicle: int, until: UtcMs, cause: str = "late") -> list[int]:
        """A vehicle can go on no earlier than `until`; one under way is held up, and at its next stop then."""
        order = self._driving.pop(vehicle, None)
        if order is not None:
            self._end_leg(vehicle, order, *self.dispatcher.position(vehicle))
        changed = self.dispatcher.incidents.delay(vehicle, until, cause)
        if vehicle in self._serving:
            kind, rider, _ = self._serving[vehicle]
            self._serving[vehicle] = kind, rider, max(until, self._clock.now())
        return changed

    def break_down(self, vehicle: int, cause: str = "breakdown") -> list[int]:
        """The vehicle stops for good where it is; who is alighting does so."""
        order = self._driving.pop(vehicle, None)
        if order is not None:
            self._end_leg(vehicle, order, *self.dispatcher.position(vehicle))
        kind, rider, _ = self._serving.get(vehicle, (ActivityKind.END, None, 0))
        if kind != ActivityKind.DROPOFF:
            self._serving.pop(vehicle, None)
            rider = None
        self._aboard[vehicle] = [r for r in self._aboard.get(vehicle, ()) if r == rider]
        self._started.add(vehicle)
        return self.dispatcher.incidents.break_down(vehicle, cause)

    def set_traffic(self, traffic: Traffic, cause: str = "traffic") -> list[int]:
        """Other travel times: every vehicle under way takes the fastest way from where it is."""
        for vehicle in [v for v, order in self._driving.items() if order.is_to_wait]:
            self.call_off(vehicle)
        here = {vehicle: self.dispatcher.position(vehicle) for vehicle in self._driving}
        for vehicle, (spot, instant) in here.items():
            self._end_leg(vehicle, self._driving.pop(vehicle), spot, instant)
        changed = self.dispatcher.incidents.set_traffic(traffic, cause)
        self._leave_behind()
        for vehicle in here:
            self._driving[vehicle] = self.dispatcher.divert(vehicle)
        return changed

    def _leave_behind(self) -> None:
        """Riders whose ride was interrupted are aboard no more, and boarding that had begun is over."""
        riding = (BookingState.BOARDING, BookingState.ABOARD, BookingState.ALIGHTING)
        book = self.dispatcher.bookings
        for vehicle, riders in self._aboard.items():
            self._aboard[vehicle] = [rider for rider in riders if book.states[rider] in riding]
            serving = self._serving.get(vehicle)
            if serving is not None and serving[1] is not None and book.states[RequestId(serving[1])] not in riding:
                del self._serving[vehicle]

    # --- the state as values --------------------------------------------------------------------------------

    def record(self, vehicle: int) -> dict[str, Any]:
        """What the vehicle is doing as JSON values."""
        order, serving = self._driving.get(vehicle), self._serving.get(vehicle)
        return {
            "started": vehicle in self._started,
            "drive": None if order is None else [*order.drive.source, *order.drive.target, order.leaves, order.purpose],
            "serving": None if serving is None else [int(serving[0]), serving[1], serving[2]],
            "aboard": list(self._aboard.get(vehicle, ())),
        }

    def put(self, vehicle: int, record: dict[str, Any]) -> None:
        """Back to a record."""
        self._started.discard(vehicle)
        self._driving.pop(vehicle, None)
        self._serving.pop(vehicle, None)
        if record["started"]:
            self._started.add(vehicle)
        if record["drive"] is not None:
            a, b, c, d, leaves, purpose = record["drive"]
            drive = self.dispatcher.travel_times.drive(Spot(a, b), Spot(c, d))
            self._driving[vehicle] = DriveOrder(drive, UtcMs(leaves), ActivityKind(purpose))
        if record["serving"] is not None:
            kind, rider, ends = record["serving"]
            self._serving[vehicle] = ActivityKind(kind), rider, UtcMs(ends)
        self._aboard[vehicle] = [RequestId(rider) for rider in record["aboard"]]

    # --- parts ----------------------------------------------------------------------------------------------

    def _begin_service(self, vehicle: int) -> None:
        kind, rider, ends = self.dispatcher.start_service(vehicle)
        if kind == ActivityKind.END:
            return
        if kind == ActivityKind.PICKUP and rider is not None:
            self._aboard.setdefault(vehicle, []).append(RequestId(rider))
        self._serving[vehicle] = kind, rider, ends

    def _end_leg(
        self, vehicle: int, order: DriveOrder, spot: Spot, instant: UtcMs, *, whole: bool | None = None
    ) -> None:
        """Log the drive up to `spot`; nothing where the vehicle has not moved."""
        drive, driven_ms = order.drive, instant - order.leaves
        if driven_ms <= 0:
            return
        self.driven_ms[vehicle] = self.driven_ms.get(vehicle, 0) + driven_ms
        whole = instant == order.arrives if whole is None else whole
        count = len(drive.states) if whole else int((drive.enter_ms <= driven_ms).sum())
        mm = drive.mm if whole else self.dispatcher.travel_times.drive_mm(drive, spot, count)
        who, riders = self.dispatcher.vehicles[vehicle], self._aboard.get(vehicle, [])
        book = self.dispatcher.bookings
        loads = [book.requests[book.row_of[rider]].party.as_tuple() for rider in riders]
        self.legs.append(
            Leg(
                who.id, who.operator_id, order.leaves, instant, tuple(drive.states[:count].tolist()),
                drive.source.offset_ms, spot.offset_ms, mm, order.purpose.name.lower(),
                Resources(*(sum(x) for x in zip(*loads, strict=True))), tuple(riders), not whole,
            )
        )  # fmt: skip


class Alarms:
    """Each vehicle's next step at its instant, lower rows first.

    Vehicles keep to their plans by themselves; or, with `patience_ms` above 0, drivers report what they do: a step not
    reported when it was due is expected `patience_ms` later, its plan is mended for that, and so on. Leaving a stop is
    not reported: who is free leaves as planned. Nor is arriving where one is sent to wait: nobody is late there.
    """

    def __init__(
        self, motion: Motion, clock: VirtualClock, patience_ms: int = 0, hold_ups: HoldUps | None = None
    ) -> None:
        self.motion, self._clock, self._patience_ms, self._hold_ups = motion, clock, patience_ms, hold_ups
        self._wakes: list[tuple[UtcMs, int, int, Step]] = []  # instant, vehicle, ticket, what
        self._ticket: dict[int, int] = {}

    def __bool__(self) -> bool:
        """True while anything is to come."""
        return bool(self._wakes)

    def set(self, vehicle: int, not_before: int = 0) -> None:
        """Set the vehicle's alarm anew, by what it does next."""
        ticket = self._ticket[vehicle] = self._ticket.get(vehicle, 0) + 1
        step = self._held_up_at(vehicle) or self.motion.next_step(vehicle)
        if step is not None:
            heappush(self._wakes, (UtcMs(max(step[0], self._clock.now(), not_before)), vehicle, ticket, step[1]))

    def look_again(self, vehicles: Iterable[int]) -> None:
        """Plans have changed: turn vehicles under way, set alarms."""
        for vehicle in vehicles:
            self.motion.turn(vehicle)
            self.set(vehicle)

    def until(self, limit: UtcMs | None) -> None:
        """Let vehicles act up to `limit` (None: to the end), the clock going with them; bookings that lost theirs are
        looked after once a minute."""
        incidents = self.motion.dispatcher.incidents
        while True:
            look, wake = incidents.next_look(), self._wakes[0][0] if self._wakes else None
            if look is not None and (limit is None or look <= limit) and (wake is None or look < wake):
                self._clock.advance_to(look)
                self.look_again(incidents.look_for_vehicles())
                continue
            if wake is None or (limit is not None and wake > limit):
                break
            instant, vehicle, ticket, step = heappop(self._wakes)
            if ticket != self._ticket[vehicle]:
                continue
            self._clock.advance_to(max(instant, self._clock.now()))
            if self._waits_idle(vehicle, step):
                self.set(vehicle, instant + 5 * self._patience_ms)
                continue
            self.look_again(self._due(vehicle, step))
            self.set(vehicle)

    def _held_up_at(self, vehicle: int) -> tuple[UtcMs, Step] | None:
        """When a vehicle under way is held up before it arrives."""
        order = self.motion.under_way(vehicle)
        limit = None if order is None or self._hold_ups is None else self._hold_ups.at(vehicle)
        if order is None or limit is None:
            return None
        instant = order.leaves + max(0, limit - self.motion.driven_ms.get(vehicle, 0))
        return (UtcMs(instant), Step.HELD_UP) if instant < order.arrives else None

    def _hold_up(self, vehicle: int) -> list[int]:
        """The vehicle stands where it is: it arrives so much later, if it goes on as planned."""
        order = self.motion.under_way(vehicle)
        assert order is not None
        assert self._hold_ups is not None
        since = self._clock.now() if order.is_to_wait else order.arrives
        return self.motion.delay(vehicle, UtcMs(since + self._hold_ups.take(vehicle)), "held_up")

    def _waits_idle(self, vehicle: int, step: Step) -> bool:
        """A driver who has not come yet and has nobody to fetch: nothing is late."""
        if self._patience_ms == 0 or step != Step.START_SHIFT:
            return False
        return all(activity.request_id is None for activity in self.motion.dispatcher.plan(vehicle).activities)

    def _due(self, vehicle: int, step: Step) -> list[int]:
        if step == Step.HELD_UP:
            return self._hold_up(vehicle)
        if self._patience_ms == 0 or not self._is_reported(vehicle, step):
            return self.motion.act(vehicle, step)
        wait = self._patience_ms * (5 if step == Step.START_SHIFT else 1)  # drivers who are not there yet, seldom
        return self.motion.delay(vehicle, UtcMs(self._clock.now() + wait), "not_reported")

    def _is_reported(self, vehicle: int, step: Step) -> bool:
        """Whether drivers say that they do it."""
        dispatcher, order = self.motion.dispatcher, self.motion.under_way(vehicle)
        if step == Step.DEPART:
            return dispatcher.next_stop(vehicle) == dispatcher.position(vehicle)[0]
        return order is None or not order.is_to_wait
