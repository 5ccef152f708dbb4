"""A day's timetable turned round in time, so that one search from a destination says when to leave everywhere."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from noriai_gtfs.journeys.search import Journey, JourneySearch, Leg, SearchParams
from noriai_gtfs.timetable.days import DayTimetable
from noriai_gtfs.timetable.timetable import NO_ALIGHTING, NO_BOARDING

IntArray = npt.NDArray[np.int32]


def turned_round(day: DayTimetable) -> DayTimetable:
    """The day with stops, runs and times reversed: time t is -t, boarding is alighting.

    A search that leaves a destination at -T reaches a stop at -L, where L is the latest moment to leave that stop and
    be at the destination by T. Runs keep their trips; the last run of a pattern is its first.
    """
    from noriai_gtfs.timetable.kernels.grouping import turn_times

    lengths = np.diff(day.first_stop)
    pattern_of_place = np.repeat(np.arange(lengths.size), lengths)
    mirrored = day.first_stop[:-1][pattern_of_place] + day.first_stop[1:][pattern_of_place] - 1
    places = (mirrored - np.arange(day.stop.size)).astype(np.int64)
    runs = np.diff(day.first_run)
    pattern_of_run = np.repeat(np.arange(runs.size), runs)
    order = (day.first_run[:-1] + day.first_run[1:] - 1)[pattern_of_run] - np.arange(day.runs)
    # rows of the new times: runs in reverse order within a pattern, places in reverse order within a run
    length = lengths[pattern_of_run]
    row_of_run = np.repeat(day.first_time[order], length)
    within = np.arange(day.first_time[-1]) - np.repeat(day.first_time[:-1], length)
    rows = row_of_run + np.repeat(length, length) - 1 - within
    rule = day.rule[places]
    kept = rule & ~np.uint8(NO_BOARDING | NO_ALIGHTING)
    swapped = np.where(rule & NO_BOARDING, NO_ALIGHTING, 0) | np.where(rule & NO_ALIGHTING, NO_BOARDING, 0)
    arrive, depart = -day.depart_ms[rows], -day.arrive_ms[rows]
    alive = day.alive[order]
    leave = np.empty_like(depart)
    turn_times(day.first_run, day.first_stop, day.first_time, depart, alive, leave)
    walks = {name: _reversed(day, name) for name in ("walk", "step_free")}
    return replace(
        day, stop=day.stop[places], rule=(kept | swapped).astype(np.uint8), trip=day.trip[order],
        day_of=day.day_of[order], alive=alive, arrive_ms=arrive, depart_ms=depart, leave_ms=leave,
        walk_first=walks["walk"][0], walk_to=walks["walk"][1], walk_ms=walks["walk"][2],
        step_free_first=walks["step_free"][0], step_free_to=walks["step_free"][1],
        step_free_ms=walks["step_free"][2], backward=not day.backward,
    )  # fmt: skip


def _reversed(day: DayTimetable, name: str) -> tuple[IntArray, IntArray, IntArray]:
    first, to, ms = (getattr(day, f"{name}_{part}") for part in ("first", "to", "ms"))
    origin = np.repeat(np.arange(first.size - 1, dtype=np.int32), np.diff(first))
    order = np.argsort(to, kind="stable")
    out = np.zeros(first.size, np.int32)
    np.cumsum(np.bincount(to, minlength=first.size - 1), out=out[1:])
    return out, origin[order], ms[order]


class ArriveBySearch:
    """Journeys to a deadline: the latest to leave, for each number of rides."""

    def __init__(self, day: DayTimetable, params: SearchParams | None = None) -> None:
        self._day = day
        self._backward = JourneySearch(turned_round(day), params)

    def journeys(
        self, origin: Sequence[tuple[int, int]], destination: Sequence[tuple[int, int]], arrive_ms: int
    ) -> list[Journey]:
        """Journeys that are there by `arrive_ms`, none worse than another in departure and rides, fewest rides first.

        `origin` and `destination` are pairs of stop and ms on the way, as for JourneySearch.
        """
        return [self._forward(journey) for journey in self._backward.journeys(destination, origin, -arrive_ms)]

    def departures(self, destination: Sequence[tuple[int, int]], arrive_ms: int) -> IntArray:
        """(stops,) latest moment to leave every stop and be there in time, -FAR where there is none."""
        return -self._backward.arrivals(destination, -arrive_ms)

    def _forward(self, journey: Journey) -> Journey:
        stays = [False, *(leg.stays for leg in reversed(journey.legs))]
        legs = tuple(self._turned(leg, same) for leg, same in zip(reversed(journey.legs), stays, strict=False))
        arrive = legs[-1].arrive_ms if legs else -journey.depart_ms
        return Journey(-journey.arrive_ms, arrive, journey.rides, legs)

    def _turned(self, leg: Leg, stays: bool) -> Leg:
        if not leg.is_ride:
            return Leg(-1, leg.to_stop, leg.from_stop, -1, -1, -leg.arrive_ms, -leg.depart_ms)
        day, pattern = self._day, self._backward.day.pattern_of(leg.run)
        run = int(day.first_run[pattern] + day.first_run[pattern + 1]) - 1 - leg.run
        last = int(day.first_stop[pattern + 1] - day.first_stop[pattern]) - 1
        return Leg(
            run, leg.to_stop, leg.from_stop, last - leg.alight_place, last - leg.board_place, -leg.arrive_ms,
            -leg.depart_ms, stays,
        )  # fmt: skip
