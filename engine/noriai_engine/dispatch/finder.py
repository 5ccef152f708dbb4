"""Finding: what the fleet could do for a request. Reads plans and changes nothing; the Dispatcher alone writes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    FEASIBLE,
    KEPT_APART,
    NO_COST,
    NO_ROOM,
    NOT_ELIGIBLE,
    OUT_OF_RANGE,
    PARTY_TOO_BIG,
    RIDE_TOO_LONG,
    TOO_FAR,
    TOO_LATE,
    Wish,
    free_from,
    schedule_insertion,
)
from noriai_engine.dispatch.kernels.search import Found, best_insertions, found_for
from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.dispatch.plan_store import PlanStore
from noriai_engine.dispatch.terms import Area, Ends, Terms, from_begin, told, wish_of
from noriai_engine.model.clock import ServiceDay
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.places import Spot
from noriai_engine.model.requests import Offer, Request
from noriai_engine.model.service import Service
from noriai_engine.model.units import IntArray, UtcMs
from noriai_engine.roads import TravelTimes

SIEVE_REASONS = {
    NOT_ELIGIBLE: "fleet.none",
    PARTY_TOO_BIG: "fleet.party_too_big",
    TOO_FAR: "fleet.too_far",
    NO_ROOM: "fleet.no_room",
    TOO_LATE: "fleet.too_late",
    KEPT_APART: "fleet.kept_apart",
    RIDE_TOO_LONG: "fleet.ride_too_long",
    OUT_OF_RANGE: "fleet.out_of_range",
}
"""Reason of a refusal by the furthest sieve that any vehicle reached."""

TIME_REASONS = frozenset(
    {"fleet.none", "fleet.too_far", "fleet.no_room", "fleet.too_late", "fleet.kept_apart", "fleet.ride_too_long",
     "fleet.out_of_range",     "service.closed", "booking.cutoff", "time.past", "time.window"}
)  # fmt: skip
"""Reasons that another time may cure: for these a refusal names the nearest feasible one."""


RUNNERS = 2
"""Vehicles kept of each operator: the one to offer and the next best."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A vehicle's best insertion: added driving time, the vehicle's row, and the rows to insert after."""

    cost_ms: int
    vehicle: int
    after_pickup: int
    after_dropoff: int


@dataclass(frozen=True, slots=True)
class Search:
    """Outcome of one search: the best vehicles, least cost first, then lowest row; and the furthest sieve each vehicle
    (V,) reached, complete where nobody was found."""

    best: tuple[Candidate, ...]
    sieve: "np.ndarray[Any, np.dtype[np.int8]]"

    @property
    def reason(self) -> str:
        """Why nothing was found: the furthest sieve that any vehicle reached."""
        return SIEVE_REASONS[int(self.sieve.max(initial=NOT_ELIGIBLE))]

    @property
    def fallen(self) -> tuple[tuple[str, int], ...]:
        """How many vehicles fell at each sieve, as (reason, vehicles)."""
        return tuple(sorted(Counter(SIEVE_REASONS[int(s)] for s in self.sieve if s != FEASIBLE).items()))


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
        area: Area | None = None,
    ) -> None:
        self.area = area or Area(service, travel_times)
        self.runners = RUNNERS
        self._store, self._times, self._service = store, travel_times, service
        self._vehicles, self._day, self._params = tuple(vehicles), day, params

    def wish(self, request: Request, ends: Ends, apart: IntArray, now: UtcMs, shift_ms: int = 0) -> Wish | str:
        """The request's hard limits, its wished time moved by `shift_ms`; or the reason that rules it out."""
        direct = self._times.between(ends.origin, ends.destination)
        operator = -1 if request.operator_id is None else self._store.operator_row(request.operator_id)
        needs = self._store.skill_bits(request.needs.skills)
        if operator is None or needs is None:
            return "fleet.none"
        return wish_of(request, ends, self._service, self._day, direct, now, Terms(needs, operator, apart), shift_ms)

    def search(self, wish: Wish, now: UtcMs) -> Search:
        """The best insertions over the fleet as it stands; times looked up for the same trip before are kept."""
        store, day_now = self._store, self._day.to_day_ms(now)
        found: Found = found_for(len(self._vehicles), max(1, len(store.operators)), self.runners)
        horizon = day_now + self._service.commit_horizon_ms
        with self._times.reading():
            roads = store.roads(day_now, Spot(wish.origin), Spot(wish.destination))
            best_insertions(
                roads, store.fleet, store.plans, store.paths, wish, day_now, horizon, store.memo, store.scratch, found
            )
        columns = (c.reshape(-1).tolist() for c in found[:4])
        best = sorted(row for row in zip(*columns, strict=True) if row[0] < NO_COST)
        return Search(tuple(Candidate(*row) for row in best), found.sieve)

    def offers(self, request: Request, wish: Wish, search: Search, now: UtcMs) -> tuple[Offer, ...]:
        """At most one offer per operator, by added driving time, then vehicle."""
        first: dict[str, Candidate] = {}
        for candidate in search.best:
            first.setdefault(self._vehicles[candidate.vehicle].operator_id, candidate)
        kept = list(first.values())[: self._params.max_offers]
        return tuple(self._offer(request, wish, candidate, now) for candidate in kept)

    def _offer(self, request: Request, wish: Wish, candidate: Candidate, now: UtcMs) -> Offer:
        store, vehicle = self._store, candidate.vehicle
        i, j = candidate.after_pickup, candidate.after_dropoff
        day_now = self._day.to_day_ms(now)
        start = free_from(store.plans, store.paths, vehicle, day_now)
        with self._times.reading():
            roads = store.roads(day_now, Spot(wish.origin), Spot(wish.destination))
            if not schedule_insertion(
                roads, store.fleet, store.plans, vehicle, wish, store.memo, i, j, start, store.scratch
            ):
                raise AssertionError("the best insertion has no schedule")
        pickup, dropoff = int(store.scratch.rows[i + 1].begin), int(store.scratch.rows[j + 2].begin)
        utc = self._day.to_utc
        if request.latest_arrival is not None:
            wish = from_begin(wish, pickup, self._service)
        windows = told(wish, self._day)
        return Offer(
            request.id, self._vehicles[vehicle].id, self._vehicles[vehicle].operator_id, windows[0], windows[1],
            utc(pickup), utc(dropoff), windows[2], wish.direct, candidate.cost_ms, i, j, int(store.version[vehicle]),
        )  # fmt: skip

    def insert(self, candidate: Candidate, row: int, wish: Wish, now: UtcMs) -> bool:
        """Write a candidate just found into its plan, as request `row`; False where it is infeasible after all."""
        day_now = self._day.to_day_ms(now)
        horizon = day_now + self._service.commit_horizon_ms
        i, j = candidate.after_pickup, candidate.after_dropoff
        return self._store.insert(candidate.vehicle, row, wish, i, j, day_now, horizon)

    def nearest_feasible(self, request: Request, ends: Ends, apart: IntArray, now: UtcMs) -> UtcMs | None:
        """The wished time nearest to the one asked for at which some vehicle could serve; later wins a tie."""
        step, reach = self._params.nearest_step_ms, self._params.nearest_reach_ms
        for distance in range(step, reach + 1, step):
            for shift in (distance, -distance):
                if request.wished + shift < now:
                    continue
                wish = self.wish(request, ends, apart, now, shift)
                if isinstance(wish, str):
                    continue
                if self.search(wish, now).best:
                    return UtcMs(request.wished + shift)
        return None
