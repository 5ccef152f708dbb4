"""The runs of one day, as the search wants them: patterns in which no trip overtakes another.

The day before counts where its trips pass midnight, the day after where journeys do.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from noriai_gtfs.timetable.timetable import Timetable

IntArray = npt.NDArray[np.int32]
DAY_MS = 86_400_000


@dataclass
class Run:
    """A run with a pattern of its own."""

    trip: int
    day_of: int
    stop: list[int]
    rule: list[int]
    arrive: list[int]
    depart: list[int]


@dataclass(frozen=True)
class DayTimetable:
    """Runs from the start of `day` on, in ms of its service day; the day after is +24 h.

    Pattern p has stops `stop[first_stop[p]:first_stop[p + 1]]` and runs `first_run[p]` to `first_run[p + 1]`, ordered;
    times of run r begin at row `first_time[r]` of `arrive_ms` and `depart_ms`. `leave_ms` has the departures again,
    place by place: those of place q of pattern p begin at `first_leave[p] + q * runs of p`. `alive[r]` is 0 for a run
    that was cancelled; `day_of[r]` is -1, 0 or 1. `backward`: time runs from the end of the day to its beginning.
    """

    timetable: Timetable
    day: date
    first_stop: IntArray
    stop: IntArray
    rule: npt.NDArray[np.uint8]
    first_run: IntArray
    trip: IntArray
    day_of: npt.NDArray[np.int8]
    alive: npt.NDArray[np.uint8]
    first_time: npt.NDArray[np.int64]
    arrive_ms: IntArray
    depart_ms: IntArray
    first_leave: npt.NDArray[np.int64]
    leave_ms: IntArray
    walk_first: IntArray
    walk_to: IntArray
    walk_ms: IntArray
    step_free_first: IntArray
    step_free_to: IntArray
    step_free_ms: IntArray
    backward: bool = False

    @property
    def runs(self) -> int:
        return self.trip.size

    @cached_property
    def length_of_run(self) -> IntArray:
        """(runs,) number of stops of each run."""
        return np.repeat(np.diff(self.first_stop), np.diff(self.first_run)).astype(np.int32)

    @cached_property
    def run_of_trip(self) -> IntArray:
        """(3, trips) the run of a trip of the day before, of the day, of the day after; -1 where it does not run."""
        out = np.full((3, self.timetable.trips), -1, np.int32)
        out[self.day_of + 1, self.trip] = np.arange(self.runs, dtype=np.int32)
        return out

    @cached_property
    def pattern_of_run(self) -> IntArray:
        """(runs,) the pattern of each run."""
        return np.repeat(np.arange(self.first_stop.size - 1, dtype=np.int32), np.diff(self.first_run))

    def pattern_of(self, run: int) -> int:
        return int(self.pattern_of_run[run])

    def place_of(self, run: int, stop_sequence: int) -> int:
        """Place of a stop_sequence in a run's trip, or -1."""
        table, trip = self.timetable, self.trip[run]
        numbers = table.stop_sequence[table.trip_first[trip] : table.trip_first[trip + 1]]
        place = int(numbers.searchsorted(stop_sequence))
        return place if place < numbers.size and numbers[place] == stop_sequence else -1


def day_timetable(timetable: Timetable, day: date) -> DayTimetable:
    """Runs of a day, of the day before that pass midnight, and of the day after."""
    from noriai_gtfs.timetable.kernels.grouping import copy_times, split_in_order, turn_times

    first = timetable.trip_first
    used = first[1:] > first[:-1]
    last = np.zeros(timetable.trips, np.int64)
    last[used] = timetable.arrive_ms[first[1:][used] - 1]
    trips, shifts, offsets = [], [], []
    for offset in (-1, 0, 1):
        runs = timetable.runs_on(day + timedelta(days=offset))
        service = timetable.trip_service
        chosen = used & (service >= 0) & np.append(runs, False)[service]
        if offset == -1:
            chosen &= last >= DAY_MS
        rows = np.flatnonzero(chosen).astype(np.int32)
        trips.append(rows)
        shifts.append(np.full(rows.size, offset * DAY_MS, np.int32))
        offsets.append(np.full(rows.size, offset, np.int8))
    trip, shift, day_of = np.concatenate(trips), np.concatenate(shifts), np.concatenate(offsets)
    sequence = timetable.trip_sequence[trip]
    start = timetable.depart_ms[first[trip]] + shift
    order = np.lexsort((trip, timetable.arrive_ms[first[trip + 1] - 1] + shift, start, sequence))
    trip, shift, day_of, sequence = trip[order], shift[order], day_of[order], sequence[order]

    pattern, opened = np.empty(trip.size, np.int32), np.empty(trip.size, np.int32)
    patterns = int(
        split_in_order(
            sequence, trip, shift, first, timetable.arrive_ms, timetable.depart_ms, pattern, np.empty_like(pattern),
            opened,
        )
    )  # fmt: skip
    order = np.argsort(pattern, kind="stable")
    trip, shift, day_of, pattern = trip[order], shift[order], day_of[order], pattern[order]
    kind = sequence[opened[:patterns]]
    first_stop, stop_rows = _spans(timetable.sequence_first, kind)
    first_run = np.zeros(patterns + 1, np.int32)
    np.cumsum(np.bincount(pattern, minlength=patterns), out=first_run[1:])
    length = np.diff(first_stop)[pattern].astype(np.int64)
    first_time = np.zeros(trip.size + 1, np.int64)
    np.cumsum(length, out=first_time[1:])
    arrive, depart = np.empty(first_time[-1], np.int32), np.empty(first_time[-1], np.int32)
    copy_times(trip, shift, first, timetable.arrive_ms, timetable.depart_ms, first_time, arrive, depart)
    first_leave, leave = first_time[first_run].copy(), np.empty_like(depart)
    alive = np.ones(trip.size, np.uint8)
    turn_times(first_run, first_stop, first_time, depart, alive, leave)
    stop = timetable.sequence_stop[stop_rows]
    return DayTimetable(
        timetable=timetable, day=day, first_stop=first_stop, stop=stop, rule=timetable.sequence_rule[stop_rows],
        first_run=first_run, trip=trip, day_of=day_of, alive=alive, first_time=first_time,
        arrive_ms=arrive, depart_ms=depart, first_leave=first_leave, leave_ms=leave,
        **_walks(timetable),
    )  # fmt: skip


def with_runs(
    day: DayTimetable, arrive: IntArray, depart: IntArray, alive: npt.NDArray[np.uint8], own: list[Run]
) -> DayTimetable:
    """The day with other times, and runs more, each with a pattern of its own; its timetable may have new stops."""
    walks = _walks(day.timetable)
    return replace(with_more_runs(day, arrive, depart, alive, [[run] for run in own]), **walks)


def with_more_runs(
    day: DayTimetable, arrive: IntArray, depart: IntArray, alive: npt.NDArray[np.uint8], groups: list[list[Run]]
) -> DayTimetable:
    """The day with other times, and runs more. Those of a group have the same stops and rules, in the order of their
    times, and share a pattern."""
    from noriai_gtfs.timetable.kernels.grouping import turn_times

    own = [run for group in groups for run in group]
    sizes, lengths = [len(run.stop) for run in own], [len(group[0].stop) for group in groups]

    def longer(base: npt.NDArray[Any], values: list[int]) -> npt.NDArray[Any]:
        return np.append(base, np.array(values, base.dtype)).astype(base.dtype)

    first_stop = longer(day.first_stop, (np.cumsum(lengths) + day.first_stop[-1]).tolist())
    first_run = longer(day.first_run, (np.cumsum([len(group) for group in groups]) + day.runs).tolist())
    first_time = longer(day.first_time, (np.cumsum(sizes) + day.first_time[-1]).tolist())
    arrive = longer(arrive, [time for run in own for time in run.arrive])
    depart = longer(depart, [time for run in own for time in run.depart])
    alive = longer(alive, [1] * len(own))
    leave = np.empty_like(depart)
    turn_times(first_run, first_stop, first_time, depart, alive, leave)
    return replace(
        day, first_stop=first_stop, stop=longer(day.stop, [stop for group in groups for stop in group[0].stop]),
        rule=longer(day.rule, [rule for group in groups for rule in group[0].rule]), first_run=first_run,
        trip=longer(day.trip, [run.trip for run in own]), day_of=longer(day.day_of, [run.day_of for run in own]),
        alive=alive, first_time=first_time, arrive_ms=arrive, depart_ms=depart,
        first_leave=first_time[first_run].copy(), leave_ms=leave,
    )  # fmt: skip


def _spans(first: IntArray, chosen: IntArray) -> tuple[IntArray, IntArray]:
    """Offsets of the chosen spans laid end to end, and the rows they hold."""
    counts = first[chosen + 1] - first[chosen]
    out = np.zeros(chosen.size + 1, np.int32)
    np.cumsum(counts, out=out[1:])
    rows = np.repeat(first[chosen] - out[:-1], counts) + np.arange(out[-1], dtype=np.int32)
    return out, rows


def _walks(timetable: Timetable) -> dict[str, Any]:
    """Footpaths by the stop they start at: for everybody (the quicker of two), and without steps."""
    out: dict[str, IntArray] = {}
    for name, steps in (("walk", 1), ("step_free", 0)):
        rows = np.flatnonzero(timetable.footpath_steps <= steps)
        if steps:  # where both ways exist, the one with steps is listed for its speed only
            rows = rows[
                np.lexsort((timetable.footpath_ms[rows], timetable.footpath_to[rows], timetable.footpath_from[rows]))
            ]
            pair = np.stack([timetable.footpath_from[rows], timetable.footpath_to[rows]])
            rows = rows[np.append(True, (np.diff(pair) != 0).any(axis=0))] if rows.size else rows
        first = np.zeros(timetable.stops + 1, np.int32)
        np.cumsum(np.bincount(timetable.footpath_from[rows], minlength=timetable.stops), out=first[1:])
        out |= {
            f"{name}_first": first,
            f"{name}_to": timetable.footpath_to[rows],
            f"{name}_ms": timetable.footpath_ms[rows],
        }
    return out
