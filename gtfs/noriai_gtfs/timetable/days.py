"""The runs of one day, as the search wants them: patterns in which no trip overtakes another.

The day before counts where its trips pass midnight, the day after where journeys do.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from noriai_gtfs.timetable.timetable import Timetable

IntArray = npt.NDArray[np.int32]
DAY_MS = 86_400_000


@dataclass(frozen=True)
class DayTimetable:
    """Runs from the start of `day` on, in ms of its service day; the day after is +24 h.

    Pattern p has stops `stop[first_stop[p]:first_stop[p + 1]]` and runs `first_run[p]` to `first_run[p + 1]`, ordered;
    times of run r begin at row `first_time[r]` of `arrive_ms` and `depart_ms`. `leave_ms` has the departures again,
    place by place: those of place q of pattern p begin at `first_leave[p] + q * runs of p`. `alive[r]` is 0 for a run
    that was cancelled; `day_of[r]` is -1, 0 or 1.
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

    @property
    def runs(self) -> int:
        return self.trip.size


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
    turn_times(first_run, first_stop, first_time, depart, leave)
    stop = timetable.sequence_stop[stop_rows]
    return DayTimetable(
        timetable=timetable, day=day, first_stop=first_stop, stop=stop, rule=timetable.sequence_rule[stop_rows],
        first_run=first_run, trip=trip, day_of=day_of, alive=np.ones(trip.size, np.uint8), first_time=first_time,
        arrive_ms=arrive, depart_ms=depart, first_leave=first_leave, leave_ms=leave,
        **_walks(timetable),
    )  # fmt: skip


def _spans(first: IntArray, chosen: IntArray) -> tuple[IntArray, IntArray]:
    """Offsets of the chosen spans laid end to end, and the rows they hold."""
    counts = first[chosen + 1] - first[chosen]
    out = np.zeros(chosen.size + 1, np.int32)
    np.cumsum(counts, out=out[1:])
    rows = np.repeat(first[chosen] - out[:-1], counts) + np.arange(out[-1], dtype=np.int32)
    return out, rows


def _walks(timetable: Timetable) -> dict[str, IntArray]:
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
