"""Batches: riders who wait are matched together with those accepted who may still change vehicles, every so often.

Between batches a rider can be answered at once where a vehicle is found, and waits for the next batch where none is.
What was promised stays a hard limit: a rider notices another vehicle at most.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from noriai_engine.dispatch.finder import TIME_REASONS
from noriai_engine.dispatch.kernels.batch import Trips
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.matching import Matcher, Matching, MatchParams, Waiting, World
from noriai_engine.dispatch.plan_arrays import RESOURCES
from noriai_engine.dispatch.terms import from_begin, told
from noriai_engine.model.errors import InputError
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.requests import Booking, Quote, Refusal, Request
from noriai_engine.model.units import BookingId, ByteArray, IntArray, LongArray, RequestId

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher


@dataclass(frozen=True)
class BatchOutcome:
    """Who was answered, who changed vehicles, the vehicles whose plans changed, and the matching behind it (None where
    there was nothing to match)."""

    bookings: tuple[Booking, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    moved: tuple[str, ...] = ()
    changed: tuple[int, ...] = ()
    matching: Matching | None = None


class Batching:
    """The part of one Dispatcher that matches in batches."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._d = dispatcher
        self._matcher: Matcher | None = None

    def ask(self, request: Request) -> Quote | None:
        """Offers now, a refusal where no later batch could help; or None: the rider waits for the next batch.

        Raises ValueError where the same request id is asked twice.
        """
        d = self._d
        heard = d.ahead.hear(request)
        if heard is not None:
            return Quote(request.id, refusal=heard)
        d.bookings.waiting.pop()
        quote = d.offers_for(request)
        if isinstance(quote, str) and quote in TIME_REASONS:
            self._wait(request, quote)
            return None
        return d._refuse(request, quote, ends=d.ends_of(request.id)) if isinstance(quote, str) else quote

    def withdraw(self, request_id: RequestId) -> None:
        """Who waits for a batch waits no longer. Raises InputError for a request that does not wait."""
        book = self._d.bookings
        book.row_in(request_id, BookingState.WAITING_FOR_ANSWER)
        if request_id not in book.waiting:
            raise InputError(
                "has offers and waits for no batch", where=f"request {request_id}", remedy="let them lapse"
            )
        book.waiting.remove(request_id)
        book.fallen.pop(request_id, None)
        self._d.lapse(request_id)

    def run(self, params: MatchParams, until_ms: int = 0) -> BatchOutcome:
        """Match now. Who has no vehicle then and could not be picked up `until_ms` from now, the time of the next
        batch, is refused with the reason."""
        d = self._d
        waiting, wishes, bookings, refusals = [], [], [], []
        who = [d.bookings.requests[d.bookings.row_of[name]] for name in d.bookings.waiting]
        there = {request.return_of for request in who}
        for request in who:
            if d.bookings.states[request.id] != BookingState.WAITING_FOR_ANSWER:  # answered with its other half
                continue
            if request.return_of is not None or request.id in there:  # a pair, both or none
                more, refused = d.ahead.ask(request.id, d.bookings.waiting)
                bookings += more
                refusals += refused
            elif isinstance(wish := self._wish(request), str):  # too late
                refusals.append(self._refused(request, wish))
            else:
                waiting.append(request)
                wishes.append(wish)
        d.bookings.waiting.clear()
        if not waiting and len(d.bookings.booked) == d.bookings.matched:  # nobody new: the last choice stands
            changed = {d.index_of(booking.vehicle_id) for booking in bookings}
            return BatchOutcome(tuple(bookings), tuple(refusals), changed=tuple(sorted(changed)))
        now = d.day.to_day_ms(d._clock.now())
        skip = np.array(
            [not d.is_on_duty(k) or not d._store.has_energy(k, now) or d.improving.is_late(k)
             for k in range(len(d.vehicles))], np.int8,
        )  # fmt: skip
        matching = self._match(params, waiting, wishes, skip)
        moved = self._adopt(matching)
        new = [
            self._book(request, wish, int(vehicle))
            for request, wish, vehicle in zip(waiting, wishes, matching.vehicle[matching.home < 0], strict=True)
        ]
        bookings += [booking for booking in new if booking is not None]
        for vehicle in matching.changed:
            d._say_plan(vehicle)
        for request, wish, booking in zip(waiting, wishes, new, strict=True):
            quote = None if booking is not None else d.offers_for(request)  # the new plans may have room for one more
            if isinstance(quote, Quote):
                bookings.append(d.commit(quote.offers[0]))
            if not isinstance(quote, str):
                d.bookings.fallen.pop(request.id, None)
            elif wish.pickup_latest >= now + until_ms:
                self._wait(request, quote)
            else:
                refusals.append(self._refused(request, quote))
        d.bookings.matched = len(d.bookings.booked)
        changed = {d.index_of(booking.vehicle_id) for booking in bookings} | set(matching.changed)
        return BatchOutcome(tuple(bookings), tuple(refusals), moved, tuple(sorted(changed)), matching)

    def _wish(self, request: Request) -> Wish | str:
        """The limits of one who waits, or the reason that rules the ride out; on foot to and from where it would cost
        least by the plans as they are."""
        d = self._d
        if d.service.mode == "meet":
            d.choosing.best(request)
        return d.ahead.wish(request)

    def _wait(self, request: Request, reason: str) -> None:
        """Until the next batch; who had to for the first time shows where vehicles are missing."""
        d = self._d
        d.bookings.waiting.append(request.id)
        if request.id not in d.bookings.fallen:
            d.bookings.fallen[request.id] = reason
            d.miss(request)

    def _refused(self, request: Request, reason: str) -> Refusal:
        """For the reason there was at first, when there was still time: by now every vehicle is too far away."""
        d = self._d
        first = d.bookings.fallen.pop(request.id, reason)
        refusal = d._refuse(request, first, ends=d.ends_of(request.id)).refusal
        assert refusal is not None
        return refusal

    # --- the matching ---------------------------------------------------------------------------------------

    def _match(self, params: MatchParams, waiting: list[Request], wishes: list[Wish], skip: ByteArray) -> Matching:
        d, store = self._d, self._d._store
        if self._matcher is None or self._matcher.params != params:
            self._matcher = Matcher(d.travel_times, params)
        now = d.day.to_day_ms(d._clock.now())
        pinned = np.zeros(len(d.bookings.requests), np.int8)
        pinned[[d.bookings.row_of[name] for name in d.bookings.pinned]] = 1
        rows = np.array([d.bookings.row_of[request.id] for request in waiting], np.int32)
        weight = np.ones(len(rows), np.int64)
        world = World(
            store.fleet, store.plans, store.paths, skip, pinned, self._needs, self._shunned, now,
            now + d.service.commit_horizon_ms,
        )  # fmt: skip
        return self._matcher.match(world, Waiting(table_of(wishes), rows, weight))

    def _needs(self, rows: IntArray) -> LongArray:
        return np.array([self._d.bookings.promised[row].needs for row in rows.tolist()], np.int64)

    def _shunned(self, row: int) -> list[int]:
        return self._d.bookings.kept_apart(self._d.bookings.requests[row])

    # --- the outcome ----------------------------------------------------------------------------------------

    def _adopt(self, matching: Matching) -> tuple[str, ...]:
        """Write the plans and say who moved; new riders are in them without a booking yet."""
        d, store, moved = self._d, self._d._store, []
        store.put_plans(matching.plans, matching.changed)
        for row, home, vehicle in zip(matching.request, matching.home, matching.vehicle, strict=True):
            if vehicle not in (-1, home) and home >= 0:
                rider = d.bookings.requests[int(row)].id
                d._move_booking(rider, int(vehicle))
                d._say("booking_moved", vehicle=int(vehicle), request_id=rider, reason="batch",
                       details={"from": d.vehicles[int(home)].id})  # fmt: skip
                moved.append(str(rider))
        return tuple(moved)

    def _book(self, request: Request, wish: Wish, vehicle: int) -> Booking | None:
        """The promise to a rider whom the matching has put into a vehicle's plan; none for -1."""
        if vehicle < 0:
            return None
        d, row, utc = self._d, self._d.bookings.row_of[request.id], self._d.day.to_utc
        on, off = self._rows_of(vehicle, row)
        promised = wish
        if request.latest_arrival is not None:  # the pickup interval begins as planned
            begin = int(on["begin"])
            promised = from_begin(wish, begin, d.service)
            on["promised"] = promised.pickup_latest + promised.pickup_spare
            if not on["locked"]:  # what is announced already keeps its time
                on["earliest"], on["latest"] = begin, promised.pickup_latest
        who = d.vehicles[vehicle]
        booking = Booking(BookingId(d._ids.new_id()), request.id, who.id, who.operator_id, *told(promised, d.day))
        d.bookings.promised[row], d.bookings.booked[request.id] = promised, booking
        d.log_booking(booking, (utc(int(on["begin"])), utc(int(off["begin"]))), wish.direct, reason="batch")
        return booking

    def _rows_of(self, vehicle: int, request: int) -> "tuple[np.void, np.void]":
        store = self._d._store
        base = int(store.plans.first[vehicle])
        rows = store.plans.rows.view(np.ndarray)[base : base + int(store.plans.count[vehicle])]
        on = next(r for r in rows if r["request"] == request and r["kind"] == ActivityKind.PICKUP)
        off = next(r for r in rows if r["request"] == request and r["kind"] == ActivityKind.DROPOFF)
        return on, off


def table_of(wishes: list[Wish]) -> Trips:
    """Wishes as the columns of a table."""

    def column(name: str) -> IntArray:
        return np.array([getattr(wish, name) for wish in wishes], np.int32)

    demand = np.array([wish.demand for wish in wishes], np.int16).reshape(-1, RESOURCES)
    needs = np.array([wish.needs for wish in wishes], np.int64)
    columns = {name: column(name) for name in Trips._fields if name not in ("placed", "demand", "needs")}
    return Trips(np.zeros(len(wishes), np.int32), **columns, demand=demand, needs=needs)
