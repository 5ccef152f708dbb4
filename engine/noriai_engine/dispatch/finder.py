"""Finding: what the fleet could do for a request. Reads plans and changes nothing; the Dispatcher alone writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    NO_COST,
    NO_ROOM,
    NOT_ELIGIBLE,
    PARTY_TOO_BIG,
    RIDE_TOO_LONG,
    TOO_FAR,
    TOO_LATE,
    Rows,
    Wish,
    best_per_vehicle,
    schedule_insertion,
)
from noriai_engine.dispatch.kernels.reaches import reaches, reaching_by
from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.dispatch.plan_store import PlanStore
from noriai_engine.dispatch.terms import Area, Ends, wish_of
from noriai_engine.model.clock import ServiceDay
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.requests import Offer, Request, TimeWindow
from noriai_engine.model.service import Service
from noriai_engine.model.units import BoolArray, IntArray, LongArray, UtcMs
from noriai_engine.roads import TravelTimes

SIEVE_REASONS = {
    NOT_ELIGIBLE: "fleet.none",
    PARTY_TOO_BIG: "fleet.party_too_big",
    TOO_FAR: "fleet.too_far",
    NO_ROOM: "fleet.no_room",
    TOO_LATE: "fleet.too_late",
    RIDE_TOO_LONG: "fleet.ride_too_long",
}
"""Reason of a refusal by the furthest sieve that any vehicle reached."""

TIME_REASONS = frozenset(
    {"fleet.none", "fleet.too_far", "fleet.no_room", "fleet.too_late", "fleet.ride_too_long", "service.closed",
     "booking.cutoff", "time.past", "time.window"}
)  # fmt: skip
"""Reasons that another time may cure: for these a refusal names the nearest feasible one."""


@dataclass(frozen=True, slots=True)
class Search:
    """Outcome of one search over the fleet, (V,) each."""

    cost: LongArray
    after_pickup: IntArray
    after_dropoff: IntArray
    sieve: "np.ndarray[Any, np.dtype[np.int8]]"

    @property
    def found(self) -> bool:
        return bool((self.cost < NO_COST).any())

    @property
    def reason(self) -> str:
        """Why nothing was found: the furthest sieve that any vehicle reached."""
        return SIEVE_REASONS[int(self.sieve.max(initial=NOT_ELIGIBLE))]


class Finder:
    """Searches over the plans of a store. Instants `now` are passed in by the Dispatcher."""

    def __init__(
        self,
        store: PlanStore,
        travel_times: TravelTimes,
        service: Service,
        vehicles: Sequence[Vehicle],
        day: ServiceDay,
        params: DispatchParams,
    ) -> None:
        self.area = Area(service, travel_times)
        self._store, self._times, self._service = store, travel_times, service
        self._vehicles, self._day, self._params = tuple(vehicles), day, params
        self._operator = np.array([v.operator_id for v in vehicles], object)
        self._shift_end = np.array([day.to_day_ms(v.shift.end) for v in vehicles], np.int64)

    def direct_ms(self, ends: Ends) -> int:
        """The drive from the trip's origin to its destination."""
        return self._times.between(ends.origin, ends.destination)

    def rows(self, ends: Ends, *, only: int | None = None, now: UtcMs | None = None, latest: int | None = None) -> Rows:
        """Times of a trip's ends to and from every row of all plans (or of `only` one vehicle's), as plans are now.

        With `now` and `latest` (day ms), times that matter only to vehicles which reach the origin by then: enough for
        one search with that latest pickup, and for no other.
        """
        plans = self._store.plans
        wanted = np.ones(len(plans.first), bool) if only is None else np.arange(len(plans.first)) == only
        out = [np.zeros(len(plans.state), np.int32) for _ in range(4)]
        with self._times.reading():
            labels, states = self._times.kernel_view(plans.state, ends.origin.state, ends.destination.state)
            if now is not None and latest is not None:
                day_now = self._day.to_day_ms(now)
                reaching_by(labels, states, plans, *ends.origin, day_now, latest, out[0], wanted)
            reaches(labels, states, plans, wanted, *ends.origin, out[0], out[1])
            reaches(labels, states, plans, wanted, *ends.destination, out[2], out[3])
        return Rows(out[0], out[1], out[2], out[3], self.direct_ms(ends))

    def wish(self, request: Request, ends: Ends, direct_ms: int, now: UtcMs, shift_ms: int = 0) -> Wish | str:
        """The request's hard limits, its wished time moved by `shift_ms`; or the reason that rules it out."""
        return wish_of(request, ends, self._service, self._day, direct_ms, now, shift_ms)

    def eligible(self, request: Request, now: UtcMs) -> BoolArray:
        """(V,) vehicles with shift left, of the wanted operator if one is wanted."""
        mask: BoolArray = self._shift_end > self._day.to_day_ms(now)
        if request.operator_id is not None:
            mask = mask & (self._operator == request.operator_id).astype(bool)
        return mask & (self._store.plans.count > 1)

    def search(self, wish: Wish, rows: Rows, eligible: BoolArray, now: UtcMs) -> Search:
        """The best insertion into every eligible vehicle's plan."""
        n = len(self._vehicles)
        out = Search(np.zeros(n, np.int64), np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int8))
        if n:
            best_per_vehicle(
                self._store.plans, self._store.layouts, eligible.astype(np.int8), wish, rows,
                self._day.to_day_ms(now), self._store.scratch,
                out.cost, out.after_pickup, out.after_dropoff, out.sieve,
            )  # fmt: skip
        return out

    def offers(self, request: Request, wish: Wish, rows: Rows, search: Search, now: UtcMs) -> tuple[Offer, ...]:
        """At most one offer per operator, by added driving time, then vehicle."""
        ranked: dict[str, int] = {}
        for vehicle in np.argsort(search.cost, kind="stable"):
            if search.cost[vehicle] == NO_COST or len(ranked) == self._params.max_offers:
                break
            ranked.setdefault(str(self._operator[vehicle]), int(vehicle))
        return tuple(self._offer(request, wish, rows, search, vehicle, now) for vehicle in ranked.values())

    def _offer(self, request: Request, wish: Wish, rows: Rows, search: Search, vehicle: int, now: UtcMs) -> Offer:
        i, j = int(search.after_pickup[vehicle]), int(search.after_dropoff[vehicle])
        store = self._store
        start = store.free_from(vehicle, self._day.to_day_ms(now))
        if not schedule_insertion(store.plans, vehicle, wish, rows, i, j, start, store.scratch):
            raise AssertionError("the best insertion has no schedule")
        pickup, dropoff = int(store.scratch.begin[i + 1]), int(store.scratch.begin[j + 2])
        utc = self._day.to_utc
        earliest, latest = wish.pickup_earliest, wish.pickup_latest
        if request.latest_arrival is not None:
            earliest, latest = pickup, min(latest, pickup + self._service.max_wait_ms)
        return Offer(
            request.id, self._vehicles[vehicle].id, self._vehicles[vehicle].operator_id,
            TimeWindow(utc(earliest), utc(latest)), TimeWindow(utc(wish.dropoff_earliest), utc(wish.dropoff_latest)),
            utc(pickup), utc(dropoff), wish.max_ride, rows.direct,
            int(search.cost[vehicle]), i, j, int(store.version[vehicle]),
        )  # fmt: skip

    def nearest_feasible(self, request: Request, ends: Ends, rows: Rows, now: UtcMs) -> UtcMs | None:
        """The wished time nearest to the one asked for at which some vehicle could serve; later wins a tie."""
        step, reach = self._params.nearest_step_ms, self._params.nearest_reach_ms
        eligible = self.eligible(request, now)
        for distance in range(step, reach + 1, step):
            for shift in (distance, -distance):
                if request.wished + shift < now:
                    continue
                wish = self.wish(request, ends, rows.direct, now, shift)
                if isinstance(wish, str):
                    continue
                if self.search(wish, rows, eligible, now).found:
                    return UtcMs(request.wished + shift)
        return None
