"""The Dispatcher: answers requests with offers or reasons, turns offers into promises, and keeps all plans.

It is the only writer of plans and of the event log. Simulator and service drive it through the same calls:
`quote` and `commit` for riders; `depart`, `arrive`, `start_service`, `end_service` for what vehicles do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from noriai_engine.dispatch.ahead import Ahead
from noriai_engine.dispatch.batching import Batching
from noriai_engine.dispatch.bookings import Bookings, OpenQuote
from noriai_engine.dispatch.choosing import Choosing
from noriai_engine.dispatch.finder import TIME_REASONS, Finder, Search
from noriai_engine.dispatch.improving import Improving
from noriai_engine.dispatch.incidents import Incidents
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.overrides import Overrides
from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.dispatch.plan_arrays import PlanRow
from noriai_engine.dispatch.plan_store import PlanStore
from noriai_engine.dispatch.rebalancing import TurnedAway
from noriai_engine.dispatch.snapshots import Snapshot, put_back, take
from noriai_engine.dispatch.terms import Ends, as_told
from noriai_engine.dispatch.trial import Trial
from noriai_engine.model.clock import Clock, ServiceDay
from noriai_engine.model.errors import InputError, StaleOfferError
from noriai_engine.model.events import EventLog
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.ids import IdSource
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.places import Place, Spot
from noriai_engine.model.plan import Activity, ActivityKind, Plan, Stop
from noriai_engine.model.requests import Booking, Offer, Quote, Refusal, Request, TimeWindow
from noriai_engine.model.resources import Resources
from noriai_engine.model.service import Service
from noriai_engine.model.units import HOUR_MS, BookingId, RequestId, UtcMs, VehicleId
from noriai_engine.roads import Drive, TravelTimes

NOWHERE = Place(0.0, 0.0)
SOON_MS = HOUR_MS


@dataclass(frozen=True, slots=True)
class DriveOrder:
    """What a vehicle is to drive now, when it leaves, and what it drives to."""

    drive: Drive
    leaves: UtcMs
    purpose: ActivityKind
    """The activity there, or POSITION where there is none."""

    @property
    def is_to_wait(self) -> bool:
        """No activity there: the vehicle is sent to where riders are expected."""
        return self.purpose == ActivityKind.POSITION

    @property
    def arrives(self) -> UtcMs:
        return UtcMs(self.leaves + self.drive.ms)


class Dispatcher:
    """One service, one fleet, one service day, one road network."""

    def __init__(
        self,
        travel_times: TravelTimes,
        service: Service,
        vehicles: Sequence[Vehicle],
        day: ServiceDay,
        clock: Clock,
        ids: IdSource,
        params: DispatchParams | None = None,
    ) -> None:
        self.travel_times, self.service, self.day = travel_times, service, day
        self.vehicles = tuple(vehicles)
        self.params = params or DispatchParams()
        self.events = EventLog()
        self._clock, self._ids = clock, ids
        self._store = PlanStore(self.vehicles, travel_times, day)
        self.finder = Finder(self._store, travel_times, service, self.vehicles, day, self.params)
        self._index_of = {v.id: k for k, v in enumerate(self.vehicles)}
        self.bookings = Bookings()
        self.incidents = Incidents(self)
        self.ahead = Ahead(self)
        self.improving = Improving(self)
        self.batching = Batching(self)
        self.choosing = Choosing(self)
        self.outlook = TurnedAway()
        self.overrides = Overrides(self)

    # --- riders ---------------------------------------------------------------------------------------------

    def quote(self, request: Request) -> Quote:
        """Offers for a request, or a refusal with its reason and the nearest feasible time.

        Raises ValueError where the same request id is asked twice.
        """
        self.bookings.add(request)
        self._say("request_received", request_id=request.id)
        ends = self.finder.area.ends_of(request)
        if isinstance(ends, str):
            self.bookings.ends.append(Ends(Spot(-1), Spot(-1)))
            return self._refuse(request, ends)
        self.bookings.ends.append(ends)
        return self._answer(request)

    def turn_away(self, request: Request, reason: str) -> Quote:
        """A refusal without a search: a rule forbids the ride. Raises ValueError where the same id is asked twice."""
        self.bookings.add(request)
        self._say("request_received", request_id=request.id)
        ends = self.finder.area.ends_of(request)
        self.bookings.ends.append(Ends(Spot(-1), Spot(-1)) if isinstance(ends, str) else ends)
        return self._refuse(request, reason)

    def commit(self, offer: Offer) -> Booking:
        """Turn an offer into a promise.

        Raises StaleOfferError, with nothing changed, if the plan or the vehicle has moved since the quote so that the
        offer cannot be kept any more.
        """
        vehicle = self.index_of(offer.vehicle_id)
        if offer.request_id not in self.bookings.open or self._store.version[vehicle] != offer.plan_version:
            raise StaleOfferError(f"offer of {offer.vehicle_id} to {offer.request_id} is out of date; quote again")
        opened = self.bookings.open[offer.request_id]
        now = self.day.to_day_ms(self._clock.now())
        promised = as_told(opened.wish, offer.pickup, offer.dropoff, self.day)
        row, horizon = self.bookings.row_of[offer.request_id], now + self.service.commit_horizon_ms
        i, j = offer.after_pickup_row, offer.after_dropoff_row
        if not self._store.insert(vehicle, row, promised, i, j, now, horizon):
            raise StaleOfferError(f"{offer.vehicle_id} has moved on since its offer to {offer.request_id}; quote again")
        del self.bookings.open[offer.request_id]
        booking = Booking(
            BookingId(self._ids.new_id()), offer.request_id, offer.vehicle_id, offer.operator_id,
            offer.pickup, offer.dropoff, offer.max_ride_ms,
        )  # fmt: skip
        self.bookings.promised[row], self.bookings.booked[offer.request_id] = promised, booking
        planned = offer.planned_pickup, offer.planned_dropoff
        self.log_booking(
            booking, planned, offer.direct_ms, added_drive_ms=offer.cost_ms, runner_up=opened.runner_up
        )  # fmt: skip
        self._say_plan(vehicle)
        return booking

    def accept(self, offer: Offer) -> Booking:
        """`commit`; where plans have moved since the quote, the same promise on whichever vehicle of the operator can
        keep it now.

        Raises StaleOfferError, with nothing changed, where none can.
        """
        try:
            return self.commit(offer)
        except StaleOfferError:
            return self.commit(self.renewed(offer))

    def lapse(self, request_id: RequestId) -> None:
        """Nobody took the offers of a quote: they hold no longer. Raises InputError where none are open."""
        self.bookings.row_in(request_id, BookingState.WAITING_FOR_ANSWER)
        self.bookings.open.pop(request_id, None)
        self._say("offer_lapsed", request_id=request_id)

    def miss(self, request: Request) -> None:
        """No vehicle could come for a request that was received: where they are missing, others will ask soon. Who asks
        for a later ride says nothing of now."""
        now = self._clock.now()
        if request.wished <= now + SOON_MS:
            self.outlook.tell(self.day.to_day_ms(now), self.ends_of(request.id).origin)

    def trial(self) -> Trial:
        """Ask what the fleet could do now, in doubt as often as one likes: nothing is logged and nothing changes."""
        return Trial(self, self._clock.now())

    # --- vehicles -------------------------------------------------------------------------------------------

    def next_departure(self, vehicle: int) -> UtcMs:
        """When a standing vehicle leaves for its next activity: just in time for it, or as soon as it is free."""
        plans, base = self._store.plans, int(self._store.plans.first[vehicle])
        wanted = int(plans.rows[base + 1].begin) - int(plans.rows[base + 1].leg)
        return self.day.to_utc(max(wanted, int(plans.rows[base].begin)))

    def drive_order(self, vehicle: int) -> DriveOrder:
        """The path from the vehicle's position to its next activity, leaving when it is free there."""
        plans, base = self._store.plans, int(self._store.plans.first[vehicle])
        drive = self.travel_times.drive(self._store.spot(base), self._store.spot(base + 1))
        leaves = max(int(plans.rows[base].begin), self.day.to_day_ms(self._clock.now()))
        self._store.set_path(vehicle, drive, leaves)
        return DriveOrder(drive, self.day.to_utc(leaves), ActivityKind(int(plans.rows[base + 1].kind)))

    def depart(self, vehicle: int) -> DriveOrder:
        """The vehicle leaves its stop now for its next activity."""
        order = self.drive_order(vehicle)
        self._say("vehicle_departed", vehicle=vehicle, spot=order.drive.source, details={"to": order.drive.target})
        return order

    def reposition(self, vehicle: int, spot: Spot) -> DriveOrder | None:
        """A standing vehicle leaves now to wait at `spot`; None, and no change, where it is there already, its plan
        leaves no time for it, or its battery would not last. A rider may turn it on its way."""
        self._settle(vehicle)
        store, now = self._store, self.day.to_day_ms(self._clock.now())
        base = int(store.plans.first[vehicle])
        position, coming = store.plans.rows[base], store.plans.rows[base + 1]
        if store.plans.count[vehicle] < 2:
            return None
        if store.paths.driving[vehicle] or coming.locked:
            return None
        drive = self.travel_times.drive(store.spot(base), spot)
        onward = self.travel_times.between(spot, store.spot(base + 1))
        leaves = max(int(position.begin), now)
        if drive.ms <= 0 or leaves > now or leaves + drive.ms + onward > coming.begin:
            return None
        if not store.has_energy(vehicle, now, spot):
            return None
        store.set_path(vehicle, drive, leaves)
        store.roam(vehicle, spot, leaves + drive.ms, onward)
        details = {"to": drive.target, "why": "rebalancing"}
        self._say("vehicle_departed", vehicle=vehicle, spot=drive.source, details=details)
        return DriveOrder(drive, self.day.to_utc(leaves), ActivityKind.POSITION)

    def idle_ms(self, vehicle: int) -> int:
        """How long a vehicle has nothing to do from now on, the drive to its next activity left aside."""
        store, now = self._store, self.day.to_day_ms(self._clock.now())
        coming = store.plans.rows[int(store.plans.first[vehicle]) + 1]
        return int(coming.begin) - int(coming.leg) - now

    def keeps_roaming(self, vehicle: int) -> bool:
        """Whether a vehicle on its way to wait somewhere may go on: its plan has nothing to do before."""
        store = self._store
        if not store.paths.roaming[vehicle]:
            return False
        coming = store.plans.rows[int(store.plans.first[vehicle]) + 1]
        onward = self.travel_times.between(store.goal(vehicle), self.next_stop(vehicle))
        store.paths.onward[vehicle] = onward  # the plan may have changed
        if int(store.paths.due[vehicle]) + onward > coming.begin or coming.locked:
            return False
        self._settle(vehicle)
        return store.has_energy(vehicle, self.day.to_day_ms(self._clock.now()), store.goal(vehicle))

    def stand(self, vehicle: int) -> None:
        """A vehicle on its way to wait somewhere waits where it is."""
        spot, instant = self.position(vehicle)
        self._store.stand_at(vehicle, spot, self.day.to_day_ms(instant))
        self._say("vehicle_arrived", vehicle=vehicle, spot=spot)

    def divert(self, vehicle: int) -> DriveOrder:
        """A new plan has another next activity: turn at the vehicle's position."""
        order = self.drive_order(vehicle)
        at = {"to": order.drive.target, "at": order.leaves}
        self._say("vehicle_diverted", vehicle=vehicle, spot=order.drive.source, details=at)
        return order

    def arrive(self, vehicle: int) -> None:
        """The vehicle stands at the stop of its next activity, or where it was sent to wait."""
        now = self.day.to_day_ms(self._clock.now())
        spot = self._store.goal(vehicle)
        self._store.stop_at(vehicle, spot, now)
        self._say("vehicle_arrived", vehicle=vehicle, spot=spot)

    def start_shift(self, vehicle: int) -> None:
        self._say("shift_started", vehicle=vehicle, spot=self._store.depot[vehicle])

    def start_service(self, vehicle: int) -> tuple[ActivityKind, str | None, UtcMs]:
        """The next activity begins: what it is, whose, and when it ends."""
        plans, base = self._store.plans, int(self._store.plans.first[vehicle])
        kind, request = ActivityKind(int(plans.rows[base + 1].kind)), int(plans.rows[base + 1].request)
        spot = self._store.spot(base + 1)
        name = {
            ActivityKind.PICKUP: "pickup_started",
            ActivityKind.DROPOFF: "dropoff_started",
            ActivityKind.BREAK: "break_started",
            ActivityKind.END: "shift_ended",
        }[kind]
        rider = self.bookings.requests[request].id if request >= 0 else None
        self._say(name, vehicle=vehicle, spot=spot, request_id=rider)
        self._store.start_next(vehicle)
        return kind, rider, self.day.to_utc(int(self._store.plans.rows[base].begin))

    def end_service(self, vehicle: int, kind: ActivityKind, rider: str | None) -> None:
        name = {
            ActivityKind.PICKUP: "picked_up",
            ActivityKind.DROPOFF: "dropped_off",
            ActivityKind.BREAK: "break_ended",
        }[kind]
        base = int(self._store.plans.first[vehicle])
        self._say(name, vehicle=vehicle, spot=self._store.spot(base), request_id=rider)

    def snapshot(self) -> Snapshot:
        """The whole state as a value."""
        return take(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Back to a snapshot. Raises InputError where other travel times are in force than then."""
        put_back(self, snapshot)

    # --- views ----------------------------------------------------------------------------------------------

    def plan(self, vehicle: int, *, with_places: bool = True) -> Plan:
        """The vehicle's plan as a value, as it stands now; coordinates of stops only `with_places`, else (0, 0)."""
        self._settle(vehicle)
        activities = tuple(self._activity(row, with_places) for row in self._store.rows_of(vehicle))
        aboard = Resources(*self._store.plans.aboard[vehicle].tolist())
        return Plan(self.vehicles[vehicle].id, int(self._store.version[vehicle]), activities, aboard)

    def index_of(self, vehicle_id: VehicleId) -> int:
        """Row of a vehicle in `vehicles`. Raises InputError for one that is not in the fleet."""
        if vehicle_id not in self._index_of:
            raise InputError("is not in the fleet", where=f"vehicle {vehicle_id}", remedy="check the id")
        return self._index_of[vehicle_id]

    def version(self, vehicle: int) -> int:
        return int(self._store.version[vehicle])

    def next_stop(self, vehicle: int) -> Spot:
        return self._store.spot(int(self._store.plans.first[vehicle]) + 1)

    def position(self, vehicle: int) -> tuple[Spot, UtcMs]:
        """Where and when the vehicle is free next; under way: where it may turn to something else."""
        self._settle(vehicle)
        base = int(self._store.plans.first[vehicle])
        return self._store.spot(base), self.day.to_utc(int(self._store.plans.rows[base].begin))

    def is_on_duty(self, vehicle: int) -> bool:
        return int(self._store.plans.count[vehicle]) > 1

    def ends_of(self, request_id: str) -> Ends:
        return self.bookings.ends[self.bookings.row_of[request_id]]

    def _activity(self, row: PlanRow, with_place: bool) -> Activity:
        spot, utc = Spot(row.state, row.offset), self.day.to_utc
        return Activity(
            ActivityKind(row.kind), Stop(spot, self.travel_times.place_of(spot) if with_place else NOWHERE),
            self.bookings.requests[row.request].id if row.request >= 0 else None,
            utc(row.earliest), utc(row.latest), utc(row.begin), row.service, row.leg, bool(row.locked),
        )  # fmt: skip

    def renewed(self, offer: Offer) -> Offer:
        """An offer whose promise is the same, as the plans are now. Raises StaleOfferError where none can keep it."""
        opened, now = self.bookings.open.get(offer.request_id), self._clock.now()
        operator = self._store.operator_row(offer.operator_id)
        if opened is None or operator is None or offer.pickup.latest < now:
            raise StaleOfferError(f"offer of {offer.vehicle_id} to {offer.request_id} is out of date; quote again")
        request = self.bookings.requests[self.bookings.row_of[offer.request_id]]
        pickup = TimeWindow(UtcMs(max(offer.pickup.earliest, now)), offer.pickup.latest)
        wish = as_told(opened.wish, pickup, offer.dropoff, self.day)._replace(
            operator=operator, apart=np.array(self.bookings.kept_apart(request), np.int32)
        )
        self._store.new_question()
        search = self.finder.search(wish, now)
        if not search.best:
            raise StaleOfferError(f"{offer.operator_id} cannot keep its offer to {offer.request_id}; quote again")
        found = self.finder.offers(request, wish, search, now)[0]
        return replace(found, pickup=offer.pickup, dropoff=offer.dropoff)

    # --- the answer -----------------------------------------------------------------------------------------

    def _settle(self, vehicle: int) -> None:
        now = self.day.to_day_ms(self._clock.now())
        self._store.settle(vehicle, now, now + self.service.commit_horizon_ms)

    def _answer(self, request: Request) -> Quote:
        """Offers or a refusal for a request that was received."""
        found = self.choosing.best(request)
        if isinstance(found, str):
            return self._refuse(request, found, ends=self.ends_of(request.id))
        wish, search = found
        if not search.best:
            if search.reason in TIME_REASONS:
                self.miss(request)
            return self._refuse(request, search.reason, search=search, ends=self.ends_of(request.id))
        return self._offer(request, wish, search)

    def offers_for(self, request: Request) -> Quote | str:
        """Offers for a request that was received, or the reason why no vehicle could serve it as of now."""
        found = self.choosing.best(request)
        if isinstance(found, str):
            return found
        return self._offer(request, *found) if found[1].best else found[1].reason

    def _offer(self, request: Request, wish: Wish, search: Search) -> Quote:
        second = search.best[1] if len(search.best) > 1 else None
        runner_up = None if second is None else (self.vehicles[second.vehicle].id, second.cost_ms)
        self.bookings.open[request.id] = OpenQuote(wish, self.ends_of(request.id), runner_up)
        return Quote(request.id, self.finder.offers(request, wish, search, self._clock.now()), runner_up=runner_up)

    def _refuse(
        self,
        request: Request,
        reason: str,
        *,
        search: Search | None = None,
        ends: Ends | None = None,
    ) -> Quote:
        now, nearest = self._clock.now(), None
        if reason in TIME_REASONS and ends is not None:
            apart = np.array(self.bookings.kept_apart(request), np.int32)
            nearest = self.finder.nearest_feasible(request, ends, apart, now)
        refusal = Refusal(request.id, reason, nearest, search.fallen if search else ())
        details = {"nearest": nearest, "vehicles": dict(refusal.candidates)}
        self._say("request_refused", request_id=request.id, reason=reason, details=details)
        return Quote(request.id, refusal=refusal)

    # --- the log --------------------------------------------------------------------------------------------

    def _say(
        self,
        kind: str,
        *,
        vehicle: int | None = None,
        spot: Spot | None = None,
        request_id: str | None = None,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Log an event; a request named in it moves by the lifecycle table."""
        if request_id is not None:
            self.bookings.step(request_id, kind)
        who = None if vehicle is None else self.vehicles[vehicle]
        self.events.append(
            self._clock.now(), kind, request_id=request_id, vehicle_id=who.id if who else None,
            operator_id=who.operator_id if who else None, spot=spot, reason=reason, details=details,
        )  # fmt: skip

    def log_booking(
        self, booking: Booking, planned: tuple[UtcMs, UtcMs], direct_ms: int, *, reason: str | None = None,
        added_drive_ms: int | None = None, runner_up: tuple[VehicleId, int] | None = None,
    ) -> None:  # fmt: skip
        """A promise was made; `reason`: how it came about other than by an offer."""
        ends = self.ends_of(booking.request_id)
        self._say(
            "booking_accepted", vehicle=self.index_of(booking.vehicle_id), request_id=booking.request_id, reason=reason,
            details={
                "booking": booking.id, "origin": ends.origin, "destination": ends.destination,
                "pickup": [booking.pickup.earliest, booking.pickup.latest],
                "dropoff": [booking.dropoff.earliest, booking.dropoff.latest], "planned": list(planned),
                "max_ride_ms": booking.max_ride_ms, "direct_ms": direct_ms, "added_drive_ms": added_drive_ms,
                "runner_up": runner_up, "walk_ms": [ends.walk_to_ms, ends.walk_from_ms],
            },
        )  # fmt: skip

    def _say_plan(self, vehicle: int) -> None:
        self._say("plan_changed", vehicle=vehicle, details={"activities": self._todo(vehicle)})

    def _move_booking(self, request_id: str, vehicle: int) -> None:
        """A booking's vehicle is another one now; its promise stays."""
        who = self.vehicles[vehicle]
        booked = self.bookings.booked[request_id]
        self.bookings.booked[request_id] = replace(booked, vehicle_id=who.id, operator_id=who.operator_id)

    def _add_vehicle(self, vehicle: Vehicle) -> None:
        self._index_of[vehicle.id] = len(self.vehicles)
        self.vehicles = (*self.vehicles, vehicle)
        self._rewire()

    def _rewire(self) -> None:
        """The finder anew, for another fleet or another state; where rides may begin and end is the same."""
        self._store.refit()
        self.finder = Finder(
            self._store, self.travel_times, self.service, self.vehicles, self.day, self.params, self.finder.area
        )

    def _todo(self, vehicle: int) -> list[list[Any]]:
        """The plan's coming rows as the log has them: kind, request, spot, begin (UTC ms)."""
        return [
            [
                ActivityKind(row.kind).name.lower(),
                self.bookings.requests[row.request].id if row.request >= 0 else None,
                Spot(row.state, row.offset), self.day.to_utc(row.begin),
            ]
            for row in self._store.rows_of(vehicle)[1:]
        ]  # fmt: skip
