"""The operator's last word: bookings assigned, pinned, swapped or changed, vehicles taken out of service and back.

Each call does all of what it says or nothing, keeps every other rider's promise, logs what it did with cause
"operator", and returns the vehicles whose plans changed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.dispatch.finder import Candidate
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.plan_store import CHOSEN, IN_SERVICE
from noriai_engine.dispatch.repairs import WIDER_MS, choices
from noriai_engine.dispatch.snapshots import put_back, take
from noriai_engine.model.errors import InputError, StaleOfferError
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.requests import Booking, Offer, Quote, Request

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher

CAUSE = "operator"


class Overrides:
    """The part of one Dispatcher that obeys operators."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._d = dispatcher

    # --- bookings -------------------------------------------------------------------------------------------

    def assign(self, request_id: str, vehicle: int, *, may_be_late: bool = False) -> list[int]:
        """Give a booking that waits, or has no vehicle any more, to another vehicle, within its promise; or, if
        `may_be_late`, with the promise widened as little as can be. Raises InputError, with nothing changed, where that
        cannot be."""
        d = self._d
        row = d.bookings.row_in(request_id, BookingState.ACCEPTED, BookingState.UNASSIGNED)
        with self.all_or_nothing():
            source = d.index_of(d.bookings.booked[request_id].vehicle_id)
            if source == vehicle and request_id not in d.bookings.unassigned:
                return []
            changed = self._take_out(request_id, source)
            for late_ms, wish in choices(d.incidents.wish_of(row), WIDER_MS if may_be_late else ()):
                if self._insert(row, wish, vehicle):
                    d.incidents.log_move(row, source, vehicle, late_ms, CAUSE)
                    return sorted({*changed, *d.incidents.mend([source], CAUSE), vehicle})
            raise InputError(
                "has no place for this booking within what is promised to all", where=f"vehicle {self._name(vehicle)}",
                remedy="choose another vehicle, or let the rider be later",
            )  # fmt: skip

    def swap(self, one: str, other: str) -> list[int]:
        """Two waiting bookings change vehicles, within all promises. Raises InputError, with nothing changed."""
        d = self._d
        rows = [d.bookings.row_in(name, BookingState.ACCEPTED) for name in (one, other)]
        here = [d.index_of(d.bookings.booked[name].vehicle_id) for name in (one, other)]
        with self.all_or_nothing():
            for name, vehicle in zip((one, other), here, strict=True):
                self._take_out(name, vehicle)
            for row, source, target in zip(rows, here, reversed(here), strict=True):
                if not self._insert(row, d.incidents.wish_of(row), target):
                    raise InputError(
                        f"vehicle {self._name(target)} has no place for {d.bookings.requests[row].id}",
                        where=f"swap of {one} and {other}", remedy="assign one of them to a third vehicle",
                    )  # fmt: skip
                d.incidents.log_move(row, source, target, 0, CAUSE)
            return sorted({*here, *d.incidents.mend(here, CAUSE)})

    def pin(self, request_id: str, *, pinned: bool = True) -> None:
        """A booking stays with its vehicle whatever would be better, as long as that one runs; or no longer."""
        d = self._d
        d.bookings.row_in(request_id, BookingState.ACCEPTED, BookingState.BOARDING, BookingState.ABOARD)
        (d.bookings.pinned.add if pinned else d.bookings.pinned.discard)(request_id)
        vehicle = d.index_of(d.bookings.booked[request_id].vehicle_id)
        d._say("booking_pinned", vehicle=vehicle, request_id=request_id, details={"pinned": pinned})

    def quote_instead(self, request: Request, replaced: str) -> Quote:
        """Offers for a request that would replace a waiting booking, whose place counts as free. Its offers are
        committed by `change`. Raises InputError where the booking does not wait."""
        d = self._d
        d.bookings.row_in(replaced, BookingState.ACCEPTED, BookingState.UNASSIGNED)
        before = take(d)
        self._take_out(replaced, d.index_of(d.bookings.booked[replaced].vehicle_id))
        quote = d.quote(request)
        bookings, events = d.bookings, d.events
        put_back(d, before)
        d.bookings, d.events = bookings, events
        return quote

    def change(self, replaced: str, offer: Offer) -> tuple[Booking, list[int]]:
        """Give up a booking and take an offer for it, or neither. Raises StaleOfferError, InputError."""
        d = self._d
        with self.all_or_nothing():
            changed = d.incidents.cancel(replaced, by="change")
            booking = d.commit(d.renewed(offer))
            return booking, sorted({*changed, d.index_of(booking.vehicle_id)})

    # --- vehicles -------------------------------------------------------------------------------------------

    def block(self, vehicle: int, *, blocked: bool = True) -> None:
        """The vehicle takes no new riders, and keeps those it has; or takes them again."""
        self._d._store.set_in_service(vehicle, not blocked)
        self._d._say("vehicle_blocked", vehicle=vehicle, details={"blocked": blocked})

    def resume(self, vehicle: int) -> list[int]:
        """A vehicle that failed runs again, empty, from where it stands. Raises InputError for one on duty or whose
        shift is over."""
        d, store = self._d, self._d._store
        who = f"vehicle {self._name(vehicle)}"
        now, ends = d.day.to_day_ms(d._clock.now()), int(store.fleet.shift_end[vehicle])
        if d.is_on_duty(vehicle):
            raise InputError("is on duty", where=who, remedy="nothing needs to be done")
        if ends <= now:
            raise InputError("has no shift any more", where=who, remedy="let another vehicle join")
        base = int(store.plans.first[vehicle])
        position: Any = store.plans.rows[base : base + 1].copy()[0]
        position.begin = position.done = now
        home: Any = position.copy()
        home.kind, home.locked, home.request = int(ActivityKind.END), 0, -1
        home.state, home.offset = store.depot[vehicle]
        home.earliest = home.latest = home.promised = home.begin = home.done = ends
        store.put_rows(vehicle, [position, home])
        d._say("vehicle_resumed", vehicle=vehicle, spot=store.spot(int(store.plans.first[vehicle])))
        d.incidents.come_home(vehicle, CAUSE)
        return d.incidents.mend([vehicle], CAUSE)

    # --- parts ----------------------------------------------------------------------------------------------

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Whatever is raised within: everything is as it was."""
        before = take(self._d)
        try:
            yield
        except (InputError, StaleOfferError):
            put_back(self._d, before)
            raise

    def _take_out(self, request_id: str, vehicle: int) -> Sequence[int]:
        """Out of the vehicle's plan, if it is in it."""
        d = self._d
        if request_id in d.bookings.unassigned:
            return []
        d._settle(vehicle)
        d.incidents.take_out(vehicle, d.bookings.row_of[request_id])
        return [vehicle]

    def _insert(self, row: int, wish: Wish, vehicle: int) -> bool:
        """Insert into this vehicle's plan at the least cost, False where it cannot be."""
        d, store = self._d, self._d._store
        had = int(store.fleet.can[vehicle])
        store.fleet.can[vehicle] |= CHOSEN | IN_SERVICE
        try:
            store.new_question()
            found: Sequence[Candidate] = d.finder.search(
                wish._replace(needs=wish.needs | CHOSEN, apart=np.asarray(wish.apart, np.int32)), d._clock.now()
            ).best
            if not found:
                return False
            if not d.finder.insert(found[0], row, wish, d._clock.now()):
                return False
        finally:
            store.fleet.can[vehicle] = had
        d.bookings.promised[row] = wish
        return True

    def _name(self, vehicle: int) -> str:
        return str(self._d.vehicles[vehicle].id)
