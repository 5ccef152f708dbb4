"""Journeys on a day's timetable, each with its legs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from noriai_gtfs.journeys.landmarks import FARTHEST, least_ms
from noriai_gtfs.journeys.through import Through, through_runs
from noriai_gtfs.timetable.days import DayTimetable
from noriai_gtfs.timetable.timetable import NO_ALIGHTING, NO_BOARDING, NOT_POSSIBLE, POSSIBLE

if TYPE_CHECKING:
    from noriai_gtfs.journeys.kernels.raptor import DayArrays, Journeys, Scratch

IntArray = npt.NDArray[np.int32]
FAR = 2_000_000_000


@dataclass(frozen=True)
class SearchParams:
    """How a rider travels.

    `change_ms`: least time between two vehicles at a stop. `wheelchair`: "strict" takes trips and stops marked as
    accessible only, "known" leaves out those marked as not; step-free footpaths in both.
    """

    max_rides: int = 6
    change_ms: int = 120_000
    wheelchair: Literal["", "known", "strict"] = ""
    max_duration_ms: int = 12 * 3_600_000
    max_journeys: int = 400

    def __post_init__(self) -> None:
        if not 1 <= self.max_rides <= 15:
            raise ValueError(f"max_rides = {self.max_rides}: 1 to 15")
        if self.change_ms < 0:
            raise ValueError(f"change_ms = {self.change_ms}: 0 or more")
        if not 0 < self.max_duration_ms <= 48 * 3_600_000:
            raise ValueError(f"max_duration_ms = {self.max_duration_ms}: above 0, at most 48 hours")
        if self.max_journeys < 1:
            raise ValueError(f"max_journeys = {self.max_journeys}: at least 1")


@dataclass(frozen=True, slots=True)
class Leg:
    """A ride (`run` >= 0: row of the day timetable) or a walk. Stops are rows, -1 the origin or destination itself.
    `stays`: the rider keeps the seat of the leg before, as its vehicle goes on as this run."""

    run: int
    from_stop: int
    to_stop: int
    board_place: int
    alight_place: int
    depart_ms: int
    arrive_ms: int
    stays: bool = False

    @property
    def is_ride(self) -> bool:
        return self.run >= 0


@dataclass(frozen=True, slots=True)
class Journey:
    """One way to go. Times in ms of the service day's start."""

    depart_ms: int
    arrive_ms: int
    rides: int
    legs: tuple[Leg, ...]


class JourneySearch:
    """Searches one day. Not for use by two threads at once: it owns its working space."""

    def __init__(self, day: DayTimetable, params: SearchParams | None = None) -> None:
        self.day = day
        self.params = SearchParams() if params is None else params
        self._through, self._arrays = _arrays(day, self.params)
        self._away: IntArray | None = None
        self._make_room()
        self._out = _journeys(self.params)

    def refresh(self) -> None:
        """Take in what became of runs (cancelled, retimed) since the search was made."""
        self._through, self._arrays = _arrays(self.day, self.params)
        if self._away is not None:
            self.prepare()
        if self._single.reached.shape[1] != self._through.day.stop.size:
            self._make_room()

    def prepare(self) -> None:
        """Find least times to and from landmarks, which takes some tenths of a second, for searches over a window: they
        take about three quarters of the time from then on, with the same answers."""
        self._away = least_ms(self._through.day, self._arrays)

    def _make_room(self) -> None:
        rounds = self.params.max_rides
        self._single, self._range = (_scratch(self._through.day, rounds, levels) for levels in (1, rounds + 1))

    def journeys(
        self, origin: Sequence[tuple[int, int]], destination: Sequence[tuple[int, int]], depart_ms: int
    ) -> list[Journey]:
        """Journeys that leave at `depart_ms`, none worse than another in arrival and rides, fewest rides first.

        `origin` and `destination` are pairs of stop and ms on the way to or from it.
        """
        return self._found(origin, destination, np.array([depart_ms], np.int32), -1)

    def window(
        self,
        origin: Sequence[tuple[int, int]],
        destination: Sequence[tuple[int, int]],
        earliest_ms: int,
        latest_ms: int,
    ) -> list[Journey]:
        """Journeys that leave within a window, none worse than another in departure, arrival and rides.

        Each leaves just in time for its first vehicle; latest first. One that leaves after the window and is as good
        hides those within it.
        """
        from noriai_gtfs.journeys.kernels.raptor import departures_between

        access = _pairs(origin)
        times = np.empty(4096, np.int32)
        while (count := departures_between(self._arrays, access, earliest_ms, latest_ms, times)) > times.size:
            times = np.empty(4 * times.size, np.int32)
        return self._found(origin, destination, np.unique(times[:count])[::-1].copy(), latest_ms + 1)

    def arrivals(self, origin: Sequence[tuple[int, int]], depart_ms: int) -> IntArray:
        """(stops,) earliest arrival at every stop, FAR where none is."""
        from noriai_gtfs.journeys.kernels.raptor import clear, run_rounds

        self._single = _aim(self._single, (), None)
        clear(self._single)
        params = self.params
        latest = depart_ms + params.max_duration_ms + 1
        run_rounds(
            self._arrays, self._single, _pairs(origin), depart_ms, latest, params.change_ms, params.max_rides
        )  # fmt: skip
        return self._single.reach.copy()

    def arrivals_by_rides(self) -> IntArray:
        """(rides + 1, stops) arrivals by vehicle of the last `arrivals`, FAR where more rides bring nothing sooner."""
        from noriai_gtfs.journeys.kernels.raptor import BY_VEHICLE, QUESTION

        label = self._single.label
        current = label[:, :, QUESTION] == self._single.question[0]
        current[0] = False
        return np.where(current, label[:, :, BY_VEHICLE], FAR).astype(np.int32)

    def journey_to(self, stop: int, rides: int, depart_ms: int) -> Journey:
        """The journey behind an entry of `arrivals_by_rides`, which left at `depart_ms`."""
        from noriai_gtfs.journeys.kernels.raptor import BY_VEHICLE, take_out

        scratch = self._single = _aim(self._single, [(stop, 0)], None)
        scratch.target_bound[:] = FAR
        scratch.target_stop[:] = -1
        scratch.target_stop[rides], scratch.target_walk[rides] = stop, 0
        scratch.target_bound[rides:] = scratch.label[rides, stop, BY_VEHICLE]
        take_out(self._arrays, scratch, depart_ms, self.params.max_rides, self._out, 0)
        return self._journey(0)

    def departures_at(self, stop: int, earliest_ms: int, latest_ms: int) -> list[int]:
        """Times at which vehicles that can be boarded leave a stop, in order."""
        from noriai_gtfs.journeys.kernels.raptor import departures_between

        times, here = np.empty(256, np.int32), _pairs([(stop, 1)])  # 1 ms away: not by footpaths
        while (count := departures_between(self._arrays, here, earliest_ms - 1, latest_ms - 1, times)) > times.size:
            times = np.empty(4 * times.size, np.int32)
        return sorted({int(time) + 1 for time in times[:count]})

    def boardable_patterns(self) -> list[frozenset[int]]:
        """For each stop the patterns that can be boarded there."""
        arrays = self._arrays
        first, own = arrays.at_first, self.day.first_stop.size - 1  # chains repeat what their trips serve
        found = (arrays.at_pattern[first[stop] : first[stop + 1]] for stop in range(first.size - 1))
        return [frozenset(patterns[patterns < own].tolist()) for patterns in found]

    def _found(
        self,
        origin: Sequence[tuple[int, int]],
        destination: Sequence[tuple[int, int]],
        departures: IntArray,
        after: int,
    ) -> list[Journey]:
        from noriai_gtfs.journeys.kernels.raptor import search

        if after < 0:
            scratch = self._single = _aim(self._single, destination, None)
        else:
            scratch = self._range = _aim(self._range, destination, self._away)
        access, params = _pairs(origin), self.params
        while True:
            count = search(
                self._arrays, scratch, access, departures, after, params.max_duration_ms + 1, params.change_ms,
                params.max_rides, self._out,
            )  # fmt: skip
            if count < self._out.head.shape[0]:
                return [self._journey(row) for row in range(count)]
            self._out = _journeys(params, 4 * self._out.head.shape[0])

    def _journey(self, row: int) -> Journey:
        depart, arrive, rides, legs = self._out.head[row].tolist()
        rows = self._out.leg[row, :legs].tolist()
        return Journey(depart, arrive, rides, tuple(leg for fields in rows for leg in self._legs(*fields)))

    def _legs(self, kind: int, a: int, b: int, c: int, depart: int, arrive: int) -> list[Leg]:
        if kind == 1:
            return [Leg(-1, a, b, -1, -1, depart, arrive)]
        return [self._ride(*part, stays=number > 0) for number, part in enumerate(self._through.ridden(a, b, c))]

    def _ride(self, run: int, board: int, alight: int, *, stays: bool) -> Leg:
        day = self.day
        first, row = day.first_stop[np.searchsorted(day.first_run, run, side="right") - 1], day.first_time[run]
        return Leg(
            run, int(day.stop[first + board]), int(day.stop[first + alight]), board, alight,
            int(day.depart_ms[row + board]), int(day.arrive_ms[row + alight]), stays,
        )  # fmt: skip


def _aim(scratch: "Scratch", destination: Sequence[tuple[int, int]], away: IntArray | None) -> "Scratch":
    """Search for a destination, with bounds by landmarks where there are any."""
    scratch.target_ms[:] = -1
    for stop, ms in destination:
        scratch.target_ms[stop] = ms
    if away is None or not destination:
        return scratch._replace(away=np.zeros((0, 0), np.int32), aim=np.zeros(0, np.int32))
    half, pairs = away.shape[1] // 2, _pairs(destination)
    there, way = away[pairs[:, 0]].astype(np.int64), pairs[:, 1:].astype(np.int64)
    aim = np.concatenate([(there[:, :half] + way).min(axis=0), (there[:, half:] - way).max(axis=0)])
    return scratch._replace(away=away, aim=np.minimum(aim, FARTHEST).astype(np.int32))


def _pairs(places: Sequence[tuple[int, int]]) -> IntArray:
    return np.array(places, np.int32).reshape(-1, 2)


def _arrays(day: DayTimetable, params: SearchParams) -> "tuple[Through, DayArrays]":
    """The day with chains of trips that one may ride through, and what of it the rider can use."""
    from noriai_gtfs.journeys.kernels.raptor import DayArrays

    timetable = day.timetable
    through = through_runs(day, _usable(day, params))
    day = through.day
    runs, rule, way = _usable(day, params), day.rule, "walk"
    if params.wheelchair:
        known = timetable.stop_wheelchair
        closed = (known != POSSIBLE) if params.wheelchair == "strict" else (known == NOT_POSSIBLE)
        rule = (rule | np.where(closed[day.stop], NO_BOARDING | NO_ALIGHTING, 0)).astype(np.uint8)
        way = "step_free"
    at_first, at_pattern, at_place, at_leave = _boarding_places(day, rule)
    return through, DayArrays(
        first_stop=day.first_stop, stop=day.stop, rule=rule, first_run=day.first_run, first_time=day.first_time,
        arrive_ms=day.arrive_ms, depart_ms=day.depart_ms, at_first=at_first, at_pattern=at_pattern, at_place=at_place,
        at_leave=at_leave, walk_first=getattr(day, f"{way}_first"), walk_to=getattr(day, f"{way}_to"),
        walk_ms=getattr(day, f"{way}_ms"), change_ms=timetable.stop_change_ms, open_run=runs, leave_ms=day.leave_ms,
    )  # fmt: skip


def _usable(day: DayTimetable, params: SearchParams) -> npt.NDArray[np.uint8]:
    """(runs,) 1 where the rider can use a run."""
    if not params.wheelchair:
        return day.alive
    trips = day.timetable.trip_wheelchair[day.trip]
    usable = (trips == POSSIBLE) if params.wheelchair == "strict" else (trips != NOT_POSSIBLE)
    return np.asarray(day.alive * usable, np.uint8)


def _boarding_places(
    day: DayTimetable, rule: npt.NDArray[np.uint8]
) -> tuple[IntArray, IntArray, IntArray, npt.NDArray[np.int64]]:
    """For each stop the places of patterns at which vehicles can be boarded: first, pattern, place, leave column."""
    pattern = np.repeat(np.arange(day.first_stop.size - 1, dtype=np.int32), np.diff(day.first_stop))
    place = (np.arange(day.stop.size, dtype=np.int32) - day.first_stop[pattern]).astype(np.int32)
    last = place + 1 == np.diff(day.first_stop)[pattern]
    rows = np.flatnonzero(~last & ((rule & NO_BOARDING) == 0))
    rows = rows[np.argsort(day.stop[rows], kind="stable")]
    first = np.zeros(day.timetable.stops + 1, np.int32)
    np.cumsum(np.bincount(day.stop[rows], minlength=day.timetable.stops), out=first[1:])
    runs, before = np.diff(day.first_run)[pattern[rows]].astype(np.int64), day.first_run[pattern[rows]]
    leave = (day.first_leave[pattern[rows]] + place[rows] * runs - before).astype(np.int64)
    return first, pattern[rows], place[rows], leave


def _scratch(day: DayTimetable, rounds: int, levels: int) -> "Scratch":
    from noriai_gtfs.journeys.kernels.raptor import Scratch

    stops = day.timetable.stops

    def row(size: int) -> IntArray:
        return np.zeros(size, np.int32)

    return Scratch(
        label=np.zeros((rounds + 1, stops, 8), np.int32), ride_bound=np.zeros((levels, stops), np.int32),
        ready_bound=np.zeros((levels, stops), np.int32), reach=row(stops), touched_in=row(stops), marked_in=row(stops),
        touched=row(stops), marked=row(stops), next_marked=row(stops),
        reached=np.zeros((levels, day.stop.size), np.int32), segment=np.zeros((4096, 3), np.int32),
        target_ms=row(stops), target_bound=row(rounds + 1), target_stop=row(rounds + 1),
        target_walk=row(rounds + 1), stamp=row(1), question=row(1), away=np.zeros((0, 0), np.int32),
        aim=np.zeros(0, np.int32),
    )  # fmt: skip


def _journeys(params: SearchParams, count: int | None = None) -> "Journeys":
    from noriai_gtfs.journeys.kernels.raptor import Journeys

    size = (params.max_journeys if count is None else count) + 1
    return Journeys(np.zeros((size, 4), np.int32), np.zeros((size, 2 * params.max_rides + 3, 6), np.int32))
