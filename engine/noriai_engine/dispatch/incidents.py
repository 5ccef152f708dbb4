"""Life as it is: riders cancel or do not come, vehicles are late, fail, join or leave, traffic changes.

Each call logs what happened, repairs every plan it touched (see repairs), logs who moved and which promise could not
be kept, with the cause, and returns the vehicles whose plans changed: who drives them must look again.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.dispatch.bookings import Bookings
from noriai_engine.dispatch.closures import cut_off, shelter
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.kernels.mending import measure
from noriai_engine.dispatch.repairs import WIDER_MS, Late, Move, Repairs
from noriai_engine.dispatch.terms import Area, Ends, widened
from noriai_engine.model.errors import InputError
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.units import FOREVER_MS, MINUTE_MS, IntArray, LongArray, UtcMs
from noriai_engine.roads.traffic import Traffic

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher


LOOK_EVERY_MS = MINUTE_MS
"""How often vehicles are looked for where a booking has none."""


class Incidents:
    """The calls of one Dispatcher for what was not planned. `cause` is logged with every breach."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._d, self._store = dispatcher, dispatcher._store

    @property
    def _bookings(self) -> Bookings:
        return self._d.bookings

    @property
    def _repairs(self) -> Repairs:
        """Over the fleet and the bookings as they are: vehicles join, snapshots come back."""
        d = self._d
        fixed = {d.bookings.row_of[name] for name in d.bookings.pinned}
        return Repairs(self._store, d.finder, d.travel_times, d.vehicles, self.wish_of, fixed)

    # --- riders ---------------------------------------------------------------------------------------------

    def cancel(self, request_id: str, by: str = "rider") -> list[int]:
        """A booking is given up before boarding. Raises InputError where there is none, or boarding has begun."""
        row = self._bookings.row_in(request_id, BookingState.ACCEPTED, BookingState.UNASSIGNED)
        vehicle = self._vehicle_of(row)
        if request_id in self._bookings.unassigned:
            self._d._say("booking_cancelled", vehicle=vehicle, request_id=request_id, details={"by": by})
            return []
        self._d._settle(vehicle)
        self._repairs.take_out(vehicle, row, self._now)
        self._d._say("booking_cancelled", vehicle=vehicle, request_id=request_id, details={"by": by})
        return self.mend([vehicle], "cancelled")

    def no_show(self, request_id: str) -> list[int]:
        """Boarding has begun and nobody is there: the vehicle is free at once. Raises InputError where it has not."""
        row = self._bookings.row_in(request_id, BookingState.BOARDING)
        vehicle = self._vehicle_of(row)
        self._d._settle(vehicle)  # what is announced by now keeps its time
        position = self._store.plans.rows[int(self._store.plans.first[vehicle])]
        position.begin = position.done = min(int(position.begin), self._now)
        self._repairs.take_out(vehicle, row, self._now)
        self._d._say("no_show", vehicle=vehicle, request_id=request_id)
        return self.mend([vehicle], "no_show")

    # --- vehicles -------------------------------------------------------------------------------------------

    def delay(self, vehicle: int, until: UtcMs, cause: str = "late") -> list[int]:
        """A vehicle can go on no earlier than `until`; one under way is held where it is, so that it reaches its next
        stop then, and departs anew. Raises InputError off duty."""
        self._on_duty(vehicle)
        store, free = self._store, int(self._d.day.to_day_ms(until))
        position, onward = self._rows(vehicle)[:2]
        if store.paths.driving[vehicle]:
            if not store.paths.roaming[vehicle]:
                free -= int(onward.leg)
            store.paths.driving[vehicle], store.paths.roaming[vehicle] = 0, 0
        position.begin = position.done = max(int(position.begin), free)
        goes_on = self._d.day.to_utc(int(position.begin))
        self._d._say("vehicle_delayed", vehicle=vehicle, details={"until": until, "goes_on": goes_on, "cause": cause})
        return self.mend([vehicle], cause)

    def set_charge(self, vehicle: int, left_m: int, cause: str = "charge") -> list[int]:
        """What is left in an electric vehicle's battery is something else than thought (m of road): telemetry, or
        charging that was not planned. Raises InputError off duty, or for a vehicle without a battery."""
        self._on_duty(vehicle)
        store, battery = self._store, self._d.vehicles[vehicle].battery
        who = f"vehicle {self._d.vehicles[vehicle].id}"
        if battery is None:
            raise InputError("has no battery we know of", where=who, remedy="enter its range with the vehicle")
        if not 0 <= left_m <= battery.range_m:
            raise InputError(f"{left_m} m left of {battery.range_m}", where=who, remedy="give 0 to the whole range")
        store.spend(vehicle, store.spot(int(store.plans.first[vehicle])))
        store.fleet.battery.left_mm[vehicle] = 1_000 * left_m
        store.version[vehicle] += 1
        self._d._say("charge_changed", vehicle=vehicle, details={"left_m": left_m, "cause": cause})
        return self.mend([vehicle], cause)

    def begin_now(self, vehicle: int) -> list[int]:
        """The vehicle stands at its next stop and begins there now, sooner or later than planned. Raises InputError
        off duty or away from the stop."""
        self._on_duty(vehicle)
        position, coming = self._rows(vehicle)[:2]
        if self._store.paths.driving[vehicle] or (position.state, position.offset) != (coming.state, coming.offset):
            who = f"vehicle {self._d.vehicles[vehicle].id}"
            raise InputError("is not at its next stop", where=who, remedy="report the arrival first")
        if self._now == coming.begin:
            return []
        position.begin = position.done = self._now
        early = self._now < coming.begin
        coming.locked = 1  # whoever is being boarded moves to no other vehicle
        if early:
            coming.earliest = coming.latest = self._now
        return self.mend([vehicle], "early" if early else "late")

    def free_now(self, vehicle: int) -> list[int]:
        """A stop took less time than planned: the vehicle may leave now. Raises InputError off duty."""
        self._on_duty(vehicle)
        position = self._rows(vehicle)[0]
        if self._store.paths.driving[vehicle] or position.begin <= self._now:
            return []
        position.begin = position.done = self._now
        return self.mend([vehicle], "early")

    def break_down(self, vehicle: int, cause: str = "breakdown") -> list[int]:
        """A vehicle or its driver is out of service from now on; all its riders need another one. Raises InputError
        where it is off duty anyway."""
        self._on_duty(vehicle)
        store = self._store
        plans, rows = store.plans, self._rows(vehicle)
        here = store.spot(int(plans.first[vehicle]))
        waiting = [int(r.request) for r in rows if r.kind == ActivityKind.PICKUP]
        aboard = [int(r.request) for r in rows if r.kind == ActivityKind.DROPOFF and r.partner <= 0]
        plans.count[vehicle], plans.aboard[vehicle] = 1, 0
        store.paths.driving[vehicle], store.paths.roaming[vehicle] = 0, 0
        store.version[vehicle] += 1
        self._d._say("vehicle_failed", vehicle=vehicle, spot=here, details={"cause": cause})
        self._d._say_plan(vehicle)
        changed = {vehicle}
        for row in aboard:
            self._interrupt(row, vehicle, here)
        for row in aboard + sorted(waiting, key=lambda r: self._bookings.promised[r].pickup_latest):
            changed |= self._place(row, vehicle, cause)
        return sorted(changed)

    def _interrupt(self, row: int, vehicle: int, here: Spot) -> None:
        """A rider leaves the vehicle before the ride is over, and waits there for another."""
        times, wish = self._d.travel_times, self._bookings.promised[row]
        self._d._say("ride_interrupted", vehicle=vehicle, spot=here, request_id=self._id(row))
        self._bookings.promised[row] = wish._replace(
            origin=here.state, origin_ms=here.offset_ms, pickup_earliest=self._now, pickup_latest=FOREVER_MS,
            max_ride=FOREVER_MS, direct=times.between(here, Spot(wish.destination, wish.destination_ms)),
            pickup_spare=0, ride_spare=0,
        )  # fmt: skip

    def come_home(self, vehicle: int, cause: str) -> None:
        """The vehicle ends at its depot, or where it is while that is cut off; its drives are worked out."""
        d, store = self._d, self._store
        here, home = store.spot(int(store.plans.first[vehicle])), store.home[vehicle]
        if shelter(store, d.travel_times, vehicle):
            d._say("depot_moved", vehicle=vehicle, spot=store.depot[vehicle],
                   details={"from": here, "home": home, "cause": cause})  # fmt: skip
        self.measure(vehicle)

    def _cut_off(self, vehicle: int, cause: str) -> list[tuple[int, int]]:
        """Under other travel times: the vehicle's drives, where it ends, and (request, vehicle) for those who must be
        taken out of its plan."""
        d, store = self._d, self._store
        if store.plans.count[vehicle] < 2:
            return []
        self.come_home(vehicle, cause)
        here, lost = store.spot(int(store.plans.first[vehicle])), list[tuple[int, int]]()
        while found := cut_off(store, d.travel_times, vehicle):
            for row in found:
                state = self._bookings.states[self._id(row)]
                self.take_out(vehicle, row)
                if state != BookingState.ACCEPTED:
                    position = self._rows(vehicle)[0]
                    if state == BookingState.BOARDING:
                        position.begin = position.done = min(int(position.begin), self._now)
                    self._interrupt(row, vehicle, here)
                lost.append((row, vehicle))
        return lost

    def end_shift_at(self, vehicle: int, end: UtcMs, cause: str = "shift") -> list[int]:
        """The shift ends at another time; riders who no longer fit move. Raises InputError where it is over."""
        self._on_duty(vehicle)
        last, ends = self._rows(vehicle)[-1], self._d.day.to_day_ms(end)
        last.earliest = last.latest = last.promised = ends
        last.locked = 0
        self._store.fleet.shift_end[vehicle] = ends
        self._d._say("shift_changed", vehicle=vehicle, details={"end": end, "cause": cause})
        return self.mend([vehicle], cause)

    def join(self, vehicle: Vehicle) -> int:
        """A vehicle joins the fleet; returns its row. Raises InputError where its id is known already."""
        if vehicle.id in self._d._index_of:
            raise InputError(
                "is in the fleet already", where=f"vehicle {vehicle.id}", remedy="give it an id of its own"
            )
        row = self._store.add(vehicle)
        self._d._add_vehicle(vehicle)
        self._d._say("vehicle_joined", vehicle=row, spot=self._store.depot[row])
        return row

    # --- roads ----------------------------------------------------------------------------------------------

    def set_traffic(self, traffic: Traffic, cause: str = "traffic") -> list[int]:
        """Other travel times and closures from now on: every plan is timed anew, and repaired where it must be."""
        d, store, times = self._d, self._store, self._d.travel_times
        for vehicle in range(len(d.vehicles)):
            d._settle(vehicle)
            if store.has_battery(vehicle):
                store.spend(vehicle, store.spot(int(store.plans.first[vehicle])))
        before = times.metric.inner_ms.astype(np.int64)
        times.set_traffic(traffic)
        after = times.metric.inner_ms
        rows = store.plans.rows
        real = rows.state >= 0
        rows.offset[real] = _scaled(rows.offset[real], rows.state[real], before, after)
        battery = store.fleet.battery
        battery.offset[:] = _scaled(battery.offset, battery.state, before, after)
        store.depot, store.home = (
            [_spot_scaled(spot, before, after) for spot in spots] for spots in (store.depot, store.home)
        )
        self._bookings.ends = [
            Ends(_spot_scaled(e.origin, before, after), _spot_scaled(e.destination, before, after), e.walk_to_ms,
                 e.walk_from_ms)
            for e in self._bookings.ends
        ]  # fmt: skip

        def scaled(wish: Wish) -> Wish:
            origin = _spot_scaled(Spot(wish.origin, wish.origin_ms), before, after)
            destination = _spot_scaled(Spot(wish.destination, wish.destination_ms), before, after)
            direct = times.between(origin, destination)
            return wish._replace(origin_ms=origin.offset_ms, destination_ms=destination.offset_ms, direct=direct)

        book = self._bookings
        book.promised = {row: scaled(wish) for row, wish in book.promised.items()}
        book.open = {
            name: replace(opened, wish=scaled(opened.wish), ends=book.ends[book.row_of[name]])
            for name, opened in book.open.items()
        }
        d.finder.area = Area(d.service, times)
        store.version += 1
        d._say("traffic_changed", details={"version": times.metric.version, "cause": cause})
        store.paths.count[:] = 0
        lost = [who for vehicle in range(len(d.vehicles)) for who in self._cut_off(vehicle, cause)]
        changed = set(self.mend(range(len(d.vehicles)), cause))
        for row, vehicle in lost:
            changed |= self._place(row, vehicle, cause)
        return sorted(changed)

    # --- bookings without a vehicle -------------------------------------------------------------------------

    def next_look(self) -> UtcMs | None:
        """When to look for vehicles again: at the next full minute, or sooner where a booking has no more time; None
        where all have one."""
        book, now = self._bookings, self._d._clock.now()
        if not book.unassigned:
            return None
        ends = min(self._given_up_at(book.row_of[name]) for name in book.unassigned)
        minute = (now // LOOK_EVERY_MS + 1) * LOOK_EVERY_MS
        return UtcMs(max(now, min(minute, self._d.day.to_utc(ends))))

    def look_for_vehicles(self) -> list[int]:
        """Those without a vehicle get one within their promise, who is picked up first comes first; where there is no
        more time, as little later as can be, or they are told that there is none."""
        book, changed = self._bookings, set[int]()
        rows = [book.row_of[name] for name in book.unassigned]
        for row in sorted(rows, key=lambda r: (book.promised[r].pickup_latest, r)):
            cause, source, waits = book.unassigned[self._id(row)], self._vehicle_of(row), self._has_time(row)
            found = self._seat(row, source, cause, () if waits else WIDER_MS)
            if found is not None:
                changed.add(found)
            elif not waits:
                self._drop(row, source, cause)
        return sorted(changed)

    def _given_up_at(self, row: int) -> int:
        """Until when (day ms) a vehicle is looked for; who stands where a ride was interrupted cannot wait."""
        wish = self._bookings.promised[row]
        if wish.pickup_latest >= FOREVER_MS:
            return 0
        return wish.pickup_latest + wish.pickup_spare - self._d.service.give_up_ms

    def _has_time(self, row: int) -> bool:
        return self._now < self._given_up_at(row)

    # --- what all of them do --------------------------------------------------------------------------------

    @property
    def _now(self) -> int:
        return self._d.day.to_day_ms(self._d._clock.now())

    def _on_duty(self, vehicle: int) -> None:
        """The vehicle's position and announced stops as of now. Raises InputError for one whose shift is over."""
        if not self._d.is_on_duty(vehicle):
            who = f"vehicle {self._d.vehicles[vehicle].id}"
            raise InputError("is off duty", where=who, remedy="let it join again")
        self._d._settle(vehicle)

    def _rows(self, vehicle: int) -> Any:
        """A view of the plan's rows."""
        base = int(self._store.plans.first[vehicle])
        return self._store.plans.rows[base : base + int(self._store.plans.count[vehicle])]

    def take_out(self, vehicle: int, row: int) -> None:
        """Remove a request from a plan; nothing is logged."""
        self._repairs.take_out(vehicle, row, self._now)

    def measure(self, vehicle: int) -> None:
        """Work out a plan's drives anew."""
        with self._d.travel_times.reading():
            measure(self._store.roads(self._now), self._store.plans, vehicle)

    def log_move(self, row: int, source: int, target: int, late_ms: int, cause: str) -> None:
        """A booking has another vehicle now, its promise widened by `late_ms`."""
        if late_ms:
            self._d._say(
                "promise_broken", vehicle=target, request_id=self._id(row),
                details={"cause": cause, "wider_ms": late_ms},
            )  # fmt: skip
        self._log_move(Move(row, source, target, late_ms), cause)
        self._d._say_plan(target)

    def wish_of(self, row: int) -> Wish:
        """Limits promised to a request by its row."""
        request = self._bookings.requests[row]
        apart = np.array(self._bookings.kept_apart(request), np.int32)
        return self._bookings.promised[row]._replace(apart=apart)

    def _id(self, row: int) -> str:
        return self._bookings.requests[row].id

    def _vehicle_of(self, row: int) -> int:
        return self._d.index_of(self._bookings.booked[self._id(row)].vehicle_id)

    def mend(self, vehicles: Iterable[int], cause: str) -> list[int]:
        """Repair plans one after another, log what it took, and return all vehicles whose plans changed."""
        changed = set()
        for vehicle in vehicles:
            if self._store.plans.count[vehicle] < 2:
                continue
            changed.add(vehicle)
            lost = self._run_short(vehicle, cause)
            moves, late = self._repairs.mend(vehicle, self._now, self._d._clock.now())
            for move in moves:
                self._log_move(move, cause)
                changed.add(move.target)
            if moves:  # without a stop the way may be a longer one
                lost += self._run_short(vehicle, cause)
            for breach in late:
                self._log_breach(breach, cause)
            for touched in {vehicle, *(move.target for move in moves)}:
                self._remember_limits(touched)
            for row in lost:
                changed |= self._place(row, vehicle, cause)
        for vehicle in sorted(changed):
            self._d._say_plan(vehicle)
        return sorted(changed)

    def _run_short(self, vehicle: int, cause: str) -> list[int]:
        """Riders whom a vehicle's battery no longer lasts for, taken out of its plan: those who save most of the way
        first. Who is aboard stays, and where that is still too much the reserve is used, and it is told."""
        store, now, lost = self._store, self._now, list[int]()
        while not store.has_energy(vehicle, now):
            found = self._repairs.dearest(vehicle, now)
            if found is None:
                self._d._say("charge_short", vehicle=vehicle, details={"cause": cause})
                break
            self.take_out(vehicle, found)
            lost.append(found)
        return lost

    def _place(self, row: int, source: int, cause: str) -> set[int]:
        """A rider without a vehicle gets another one; is told that there is none; or, where there is time, one is
        looked for from now on."""
        found = self._seat(row, source, cause, WIDER_MS)
        if found is None and self._bookings.states[self._id(row)] == BookingState.ACCEPTED and self._has_time(row):
            until = self._d.day.to_utc(self._given_up_at(row))
            self._d._say(
                "booking_unassigned", vehicle=source, request_id=self._id(row), details={"cause": cause, "until": until}
            )  # fmt: skip
            self._bookings.unassigned[self._id(row)] = cause
        elif found is None:
            self._drop(row, source, cause)
        return set() if found is None else {found}

    def _drop(self, row: int, source: int, cause: str) -> None:
        details = {"cause": cause, "from": self._d.vehicles[source].id}
        self._d._say("booking_dropped", vehicle=source, request_id=self._id(row), details=details)

    def _seat(self, row: int, source: int, cause: str, wider_ms: tuple[int, ...]) -> int | None:
        """The vehicle that takes a rider who has none, None where nobody can within these wider limits."""
        operator = self._d.vehicles[source].operator_id
        found = self._repairs.place(row, self.wish_of(row), self._d._clock.now(), operator, wider_ms)
        if found is None:
            return None
        target, late_ms = found
        if late_ms:
            self._bookings.promised[row] = widened(self._bookings.promised[row], late_ms)
        self._remember_limits(target)
        self.log_move(row, source, target, late_ms, cause)
        return target

    def _remember_limits(self, vehicle: int) -> None:
        """What a plan's rows took of buffers or promises, for the riders' limits."""
        for row in self._store.rows_of(vehicle)[1:]:
            if row.request < 0:
                continue
            wish = self._bookings.promised[row.request]
            if row.kind == ActivityKind.PICKUP:
                latest = max(wish.pickup_latest, row.begin)
                told = max(wish.pickup_latest + wish.pickup_spare, row.promised)
                wish = wish._replace(pickup_latest=latest, pickup_spare=told - latest)
            else:
                latest = max(wish.dropoff_latest, row.begin)
                told = max(wish.dropoff_latest + wish.dropoff_spare, row.promised)
                wish = wish._replace(dropoff_latest=latest, dropoff_spare=told - latest)
            if row.partner > 0:
                ride = max(wish.max_ride, row.ride_limit)
                longest = max(wish.max_ride + wish.ride_spare, row.ride_limit + row.ride_spare)
                wish = wish._replace(max_ride=ride, ride_spare=longest - ride)
            self._bookings.promised[row.request] = wish

    def _log_move(self, move: Move, cause: str) -> None:
        self._d._move_booking(self._id(move.request), move.target)
        details = {"cause": cause, "from": self._d.vehicles[move.source].id, "later_ms": move.late_ms}
        self._d._say("booking_moved", vehicle=move.target, request_id=self._id(move.request), details=details)

    def _log_breach(self, late: Late, cause: str) -> None:
        promised, now = late.promised, late.expected
        if late.what != "ride":
            promised, now = self._d.day.to_utc(promised), self._d.day.to_utc(now)
        details = {"cause": cause, "what": late.what, "promised": promised, "now": now}
        rider = None if late.request < 0 else self._id(late.request)
        self._d._say("promise_broken", vehicle=late.vehicle, request_id=rider, details=details)


def _scaled(offset: IntArray, state: IntArray, before: LongArray, after: IntArray) -> IntArray:
    whole = np.maximum(before[state], 1)
    out: IntArray = (offset.astype(np.int64) * after[state] // whole).astype(np.int32)
    return out


def _spot_scaled(spot: Spot, before: LongArray, after: IntArray) -> Spot:
    if spot.state < 0:
        return spot
    return Spot(spot.state, int(spot.offset_ms * int(after[spot.state]) // max(1, int(before[spot.state]))))
