"""Days of many thousand requests at the speed of the kernels: tables in, tables out, no object per request.

Vehicles keep to their plans exactly and riders take the cheapest offer, as in `Day`. It answers for one fleet without
depots or breaks: a vehicle begins at its first place and may end where its last rider leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.dispatch.kernels.batch import Trips
from noriai_engine.dispatch.kernels.insertion import END, memo_for, scratch_for
from noriai_engine.dispatch.kernels.rollout import NEVER, Answers, Journal, play_all, roll
from noriai_engine.dispatch.kernels.search import found_for
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays, empty_plans, no_batteries, with_room
from noriai_engine.dispatch.plan_store import paths_for
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import FOREVER_MS, IntArray, SmallArray
from noriai_engine.roads import TravelTimes

_ROOM = 24
_WAY = 64  # states of a way known at once: a vehicle is seldom asked where it is for longer
_CHUNK = 2_000
_JOURNAL_ROWS = 9  # a request: two arrivals, two departures, two activities, and turns on the way


@dataclass(frozen=True)
class OnDemand:
    """Limits of a request that wants to leave at once, ms: it boards by `max_wait_ms` after it is placed, boarding
    included, and arrives by `trip_permille`/1000 x direct + `trip_extra_ms` after that."""

    max_wait_ms: int = 300_000
    trip_permille: int = 1_700
    trip_extra_ms: int = 120_000
    stop_ms: int = 30_000

    def __post_init__(self) -> None:
        if self.max_wait_ms < self.stop_ms or min(self.stop_ms, self.trip_extra_ms) < 0 or self.trip_permille < 1_000:
            raise InputError(
                f"{self}", where="limits", remedy="let the wait hold a stop, and the trip the direct drive"
            )

    def trips(self, times: TravelTimes, placed: IntArray, origin: IntArray, destination: IntArray) -> Trips:
        """Requests of one rider each, by states of the network."""
        count, zero = len(placed), np.zeros(len(placed), np.int32)
        direct = times.metric.oracle.pairs(origin, destination)
        trip = np.minimum(direct.astype(np.int64) * self.trip_permille // 1_000 + self.trip_extra_ms, FOREVER_MS)
        until = np.minimum(placed + trip, FOREVER_MS).astype(np.int32)
        demand = np.zeros((count, 3), np.int16)
        demand[:, 0] = 1
        stop = np.full(count, self.stop_ms, np.int32)
        return Trips(
            placed, origin, zero, destination, zero, placed, placed + np.int32(self.max_wait_ms - self.stop_ms), zero,
            until, stop, stop, np.full(count, FOREVER_MS, np.int32), direct, demand, np.zeros(count, np.int64),
            np.full(count, -1, np.int32), zero, zero, zero,
        )  # fmt: skip


def uniform_fleet(vehicles: int, seats: int) -> FleetArrays:
    """One operator's vehicles of so many seats, on duty for ever; riders board and alight together at a stop."""
    layout: SmallArray = np.zeros((vehicles, 3), np.int16)
    layout[:, 0] = seats
    none = np.zeros(vehicles, np.int32)
    forever = np.full(vehicles, FOREVER_MS, np.int32)
    first = np.arange(vehicles + 1, dtype=np.int32)
    return FleetArrays(none, np.zeros(vehicles, np.int64), forever, first, layout, 1, no_batteries(vehicles))


class Rollout:
    """One fleet and one table of requests, played from the first to the last and until every rider is home."""

    def __init__(
        self, times: TravelTimes, fleet: FleetArrays, starts: IntArray, trips: Trips, horizon_ms: int = 0
    ) -> None:
        vehicles, requests = len(starts), len(trips.placed)
        if requests and (np.diff(trips.placed) < 0).any():
            raise InputError("requests are not in order of time", where="trips", remedy="sort them by `placed`")
        self.times, self.fleet, self.trips, self.horizon_ms = times, fleet, trips, horizon_ms
        self.plans = _waiting(starts)
        self.paths = paths_for(vehicles, _WAY, times.metric.oracle.climbs())
        self._memo, self._scratch = memo_for(vehicles, len(self.plans.rows)), scratch_for(4 * _ROOM)
        self._found = found_for(vehicles, int(fleet.operator.max(initial=0)) + 1, 1)
        self.wake = np.full(vehicles, NEVER, np.int32)
        rows = _JOURNAL_ROWS * requests + vehicles
        columns: Any = [np.zeros(rows, np.int8 if name == "kind" else np.int32) for name in Journal._fields[1:]]
        self.journal = Journal(np.zeros(1, np.int64), *columns)
        self.answers = Answers(
            np.full(requests, -1, np.int32), np.zeros(requests, np.int64), np.zeros(requests, np.int32),
            np.zeros(requests, np.int32), np.zeros(requests, np.int8),
        )  # fmt: skip

    def run(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Answer every request, then let the vehicles finish. `progress` hears (answered, in all)."""
        at, count = 0, len(self.trips.placed)
        while at < count:
            last = min(count, at + _CHUNK)
            at = self.answer(at, last)
            if progress is not None:
                progress(at, count)
        play_all(self.fleet, self.plans, self.paths, FOREVER_MS - 1, self.wake, self.journal)
        self.sort_journal()

    def answer(self, first: int, last: int) -> int:
        """Answer requests first .. last - 1; returns `last`."""
        nobody = np.zeros(0, np.int32)
        with self.times.reading():
            roads = self.times.kernel_view(self.plans.rows.state)
            while first < last:
                first = roll(
                    roads, self.fleet, self.plans, self.paths, self.trips, first, last, self.horizon_ms, self._memo,
                    self._scratch, self._found, self.wake, self.journal, self.answers, nobody,
                )  # fmt: skip
                if first < last:
                    self._grow(int(self.answers.vehicle[first]))
        return first

    def _grow(self, vehicle: int) -> None:
        self.plans = with_room(self.plans, vehicle, 2 * int(self.plans.room[vehicle]))
        self.fit()

    def fit(self) -> None:
        """Working space for the plans as they are."""
        rows = int(self.plans.room.max())
        if len(self.plans.rows) > len(self._memo.rows):
            self._memo = memo_for(len(self.wake), 2 * len(self.plans.rows))
        if rows + 4 > len(self._scratch.rows):
            self._scratch = scratch_for(2 * rows)

    def sort_journal(self) -> None:
        used = int(self.journal.used[0])
        columns: Any = [column[:used] for column in self.journal[1:]]
        order = np.lexsort((np.arange(used), columns[2], columns[0]))
        self.journal = Journal(self.journal.used, *(column[order] for column in columns))


def _waiting(starts: IntArray) -> PlanArrays:
    """Every vehicle at its first place, free at once, with nothing to do and nowhere to be at the end."""
    plans = empty_plans(len(starts), _ROOM)
    position, end = plans.first, plans.first + 1
    plans.count[:] = 2
    rows = plans.rows
    rows.state[position], rows.state[end], rows.kind[end] = starts, -1, END
    for field in ("earliest", "latest", "begin", "done"):
        rows[field][end] = FOREVER_MS
    return plans
