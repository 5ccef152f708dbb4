"""Round-based search over a day's timetable: RAPTOR, and its range form over a window of departures.

Delling, Pajor, Werneck: Round-Based Public Transit Routing, Transportation Science 49 (2015). Round k reaches what k
rides reach. Between two rides lies at most one footpath, which starts where a vehicle was left; footpaths need not be
transitively closed, so arrivals by vehicle and on foot are bounded apart.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from noriai_engine.kernels import inlined_kernel, lean_kernel

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]

FAR = 2_000_000_000
CANNOT_ALIGHT = 2
BY_RIDE, BY_ACCESS = -2, -1
RIDE, WALK = 0, 1
BY_VEHICLE = 0  # fields of a label: arrival by vehicle
READY = 1  # from when on the next vehicle may be boarded
RUN, PATTERN, BOARD, ALIGHT = 2, 3, 4, 5  # the run that arrives, its pattern, places in it
FROM = 6  # the stop a footpath comes from; BY_RIDE, BY_ACCESS
QUESTION = 7  # number of the search in which a vehicle arrived; labels of earlier ones stay in the array


class DayArrays(NamedTuple):
    """A DayTimetable for kernels.

    `open_run` is 0 for a run this rider cannot use; `rule` forbids alighting at stops that are closed to the rider.
    `leave_ms` has the departures of a pattern place by place, so that a search among runs stays within a few lines of
    cache.
    """

    first_stop: IntArray
    stop: IntArray
    rule: ByteArray
    first_run: IntArray
    first_time: LongArray
    arrive_ms: IntArray
    depart_ms: IntArray
    at_first: IntArray  # (stops + 1,) where a stop's entries begin: places at which this rider can board
    at_pattern: IntArray
    at_place: IntArray
    at_leave: LongArray  # run r leaves there at leave_ms[at_leave + r]
    walk_first: IntArray
    walk_to: IntArray
    walk_ms: IntArray
    change_ms: IntArray  # (stops,) time to change there, -1: as long as anywhere
    open_run: ByteArray
    leave_ms: IntArray


class Scratch(NamedTuple):
    """Working space, prepared by `clear`.

    Bounds of one departure need one level, since rounds come in order; those of a window need one for each round.
    """

    label: IntArray  # (rounds + 1, stops, 8) fields LABEL_...: what lies together is written together
    ride_bound: IntArray  # (levels, stops) least arrival by vehicle with at most so many rides
    ready_bound: IntArray  # (levels, stops) the same of when the next vehicle can be boarded
    reach: IntArray  # (stops,) least arrival of all
    touched_in: IntArray  # (stops,) stamp of the round in which a vehicle arrived
    marked_in: IntArray  # (stops,) stamp of the round since which it can be boarded from
    touched: IntArray  # (stops,)
    marked: IntArray  # (stops,)
    next_marked: IntArray  # (stops,)
    reached: IntArray  # (levels, places of all patterns) earliest run that came there with at most so many rides
    segment: IntArray  # (room, 3) pattern, place and run to board
    target_ms: IntArray  # (stops,) from the stop to the destination, -1: not from here
    away: (
        IntArray  # (stops, 2 L) least ms from each of L landmarks to a stop, then from the stop to each; FARTHEST: none
    )
    aim: IntArray  # (2 L,) the same of the destination: ms from a landmark to it, and from it to a landmark
    target_bound: IntArray  # (rounds + 1,) least arrival at the destination with at most so many rides
    target_stop: IntArray  # (rounds + 1,) the stop it comes from, -1: not this time
    target_walk: IntArray  # (rounds + 1,) 1 where that stop was reached by a footpath
    stamp: IntArray  # (1,)
    question: IntArray  # (1,) number of searches so far


class Journeys(NamedTuple):
    """What was found: `head` (journeys, 4) departure, arrival, rides, legs; `leg` (journeys, legs, 6).

    A leg is (RIDE, run, board place, alight place, departure, arrival) or (WALK, from stop, to stop, 0, ...);
    from stop -1 is the origin, to stop -1 the destination.
    """

    head: IntArray
    leg: IntArray


@lean_kernel
def clear(scratch: Scratch) -> None:
    """Forget everything but the destination."""
    scratch.ride_bound[:] = FAR
    scratch.ready_bound[:] = FAR
    scratch.reach[:] = FAR
    scratch.target_bound[:] = FAR
    scratch.reached[:] = FAR
    scratch.touched_in[:] = 0
    scratch.marked_in[:] = 0
    scratch.stamp[0] = 0
    scratch.question[0] += 1


@inlined_kernel
def _make_ready(
    s: Scratch, k: int, stop: int, time: int, came_from: int, marks: IntArray, count: int, stamp: int
) -> int:
    """Note from when a stop can be boarded from; returns the number of marked stops."""
    s.label[k, stop, READY] = time
    s.label[k, stop, FROM] = came_from
    for later in range(min(k, s.ready_bound.shape[0] - 1), s.ready_bound.shape[0]):
        if s.ready_bound[later, stop] <= time:
            break
        s.ready_bound[later, stop] = time
    if s.marked_in[stop] != stamp:
        s.marked_in[stop] = stamp
        marks[count] = stop
        count += 1
    return count


@inlined_kernel
def _still(s: Scratch, stop: int) -> int:
    """A lower bound of the ms from a stop to the destination, by landmarks and the triangle inequality (Goldberg,
    Harrelson 2005): to - from, each over the least times of the day."""
    least, half = 0, s.aim.shape[0] >> 1
    for k in range(half):
        least = max(least, s.aim[k] - s.away[stop, k], s.away[stop, half + k] - s.aim[half + k])
    return least


@inlined_kernel
def _arrive(s: Scratch, k: int, stop: int, time: int, walked: int) -> None:
    """Note an arrival at the destination."""
    if time < s.target_bound[k]:
        s.target_stop[k], s.target_walk[k] = stop, walked
        for later in range(k, s.target_bound.size):
            if s.target_bound[later] <= time:
                break
            s.target_bound[later] = time


@inlined_kernel
def _first_run(day: DayArrays, column: int, low: int, limit: int, time: int) -> int:
    """The first run from `low` on and below `limit` that leaves at `time` or later and is open to the rider, or -1."""
    high = limit
    while low < high:
        middle = (low + high) >> 1
        if day.leave_ms[column + middle] < time:
            low = middle + 1
        else:
            high = middle
    while low < limit:
        if day.open_run[low] != 0:
            return low
        low += 1
    return -1


@lean_kernel
def run_rounds(
    day: DayArrays, s: Scratch, access: IntArray, depart: int, latest: int, change_ms: int, rounds: int
) -> None:  # fmt: skip
    """All that `depart` reaches before `latest` with up to `rounds` rides, beyond what is bounded already.

    `access` (n, 2): stop and ms from the origin; a stop 0 ms away may be left on foot as well.
    """
    for k in range(rounds + 1):
        s.target_stop[k] = -1
    s.stamp[0] += 1
    stamp = s.stamp[0]
    marked = 0
    for row in range(access.shape[0]):
        stop, time = access[row, 0], depart + access[row, 1]
        if time < s.ready_bound[0, stop]:
            marked = _make_ready(s, 0, stop, time, BY_ACCESS, s.marked, marked, stamp)
            s.reach[stop] = min(s.reach[stop], time)
            if s.target_ms[stop] >= 0:
                _arrive(s, 0, stop, time + s.target_ms[stop], 0)
        if access[row, 1] == 0:
            for edge in range(day.walk_first[stop], day.walk_first[stop + 1]):
                other, there = day.walk_to[edge], depart + day.walk_ms[edge]
                if there < s.ready_bound[0, other]:
                    marked = _make_ready(s, 0, other, there, stop, s.marked, marked, stamp)
                    s.reach[other] = min(s.reach[other], there)
                    if s.target_ms[other] == 0:
                        _arrive(s, 0, other, there, 1)
    marks, others = s.marked, s.next_marked
    for k in range(1, rounds + 1):
        if marked == 0:
            break
        touched, level = 0, min(k, s.ride_bound.shape[0] - 1)
        stamp = s.stamp[0]  # of the marks; arrivals of this round get the next one
        s.stamp[0] += 1
        at, row = 0, 0
        while row < marked:
            segments = 0
            while row < marked and segments < s.segment.shape[0]:
                stop = marks[row]
                if at == 0:
                    at = day.at_first[stop]
                end = day.at_first[stop + 1]
                ready = s.label[k - 1, stop, READY]
                while at < end and segments < s.segment.shape[0]:
                    segments = _board(day, s, level, at, ready, segments)
                    at += 1
                if at >= end:
                    at, row = 0, row + 1
            for number in range(segments):
                touched = _ride(day, s, k, number, min(latest, s.target_bound[k]), stamp, touched)
        stamp = s.stamp[0]
        marked = 0
        for row in range(touched):
            stop = s.touched[row]
            time = s.label[k, stop, BY_VEHICLE]
            s.reach[stop] = min(s.reach[stop], time)
            own = day.change_ms[stop]
            ready = time + (own if own >= 0 else change_ms)
            if ready < s.ready_bound[level, stop]:
                marked = _make_ready(s, k, stop, ready, BY_RIDE, others, marked, stamp)
            if s.target_ms[stop] >= 0:
                _arrive(s, k, stop, time + s.target_ms[stop], 0)
        for row in range(touched):
            stop = s.touched[row]
            time = s.label[k, stop, BY_VEHICLE]
            for edge in range(day.walk_first[stop], day.walk_first[stop + 1]):
                other, there = day.walk_to[edge], time + day.walk_ms[edge]
                if there + _still(s, other) >= min(latest, s.target_bound[k]):
                    continue
                s.reach[other] = min(s.reach[other], there)
                if s.target_ms[other] == 0:
                    _arrive(s, k, other, there, 1 + stop)
                if there < s.ready_bound[level, other]:
                    marked = _make_ready(s, k, other, there, stop, others, marked, stamp)
        marks, others = others, marks


@inlined_kernel
def _board(day: DayArrays, s: Scratch, level: int, at: int, ready: int, segments: int) -> int:
    """Line up the run that can be caught at an entry, unless it or an earlier one was ridden on from that place."""
    pattern, place = day.at_pattern[at], day.at_place[at]
    first, limit = day.first_run[pattern], day.first_run[pattern + 1]
    column = day.at_leave[at]
    reached = s.reached[level, day.first_stop[pattern] + place + 1]
    if reached < limit:
        if reached == first or day.leave_ms[column + reached - 1] < ready:
            return segments
        limit = reached
    run = _first_run(day, column, first, limit, ready)
    if run >= 0:
        s.segment[segments, 0], s.segment[segments, 1], s.segment[segments, 2] = pattern, place, run
        segments += 1
    return segments


@inlined_kernel
def _ride(day: DayArrays, s: Scratch, k: int, number: int, limit: int, stamp: int, touched: int) -> int:
    """Ride a run from where it was boarded to where it, or one before it, was ridden already, or to the end.

    No run overtakes another, so what an earlier one reached is never reached sooner (Witt, Trip-Based Public Transit
    Routing, 2015: each run is ridden once through each place). Where it was boarded it was not reached: whoever comes
    there by an earlier place may walk on, which one who walked there may not.
    """
    pattern, place, run = s.segment[number, 0], s.segment[number, 1], s.segment[number, 2]
    levels = s.ride_bound.shape[0]
    level = min(k, levels - 1)
    base, row = day.first_stop[pattern], day.first_time[run]
    for here in range(place + 1, day.first_stop[pattern + 1] - base):
        time = day.arrive_ms[row + here]
        if time >= limit or s.reached[level, base + here] <= run:
            break
        for later in range(level, levels):
            if s.reached[later, base + here] <= run:
                break
            s.reached[later, base + here] = run
        stop = day.stop[base + here]
        if time < s.ride_bound[level, stop] and (day.rule[base + here] & CANNOT_ALIGHT) == 0:
            if time + _still(s, stop) >= limit:
                continue
            s.label[k, stop, BY_VEHICLE] = time
            s.label[k, stop, QUESTION] = s.question[0]
            s.label[k, stop, RUN], s.label[k, stop, PATTERN] = run, pattern
            s.label[k, stop, BOARD], s.label[k, stop, ALIGHT] = place, here
            for later in range(level, levels):
                if s.ride_bound[later, stop] <= time:
                    break
                s.ride_bound[later, stop] = time
            if s.touched_in[stop] != stamp:
                s.touched_in[stop] = stamp
                s.touched[touched] = stop
                touched += 1
    return touched


@lean_kernel
def take_out(day: DayArrays, s: Scratch, depart: int, rounds: int, out: Journeys, count: int) -> int:
    """Write down the journeys of the last departure, quicker with each more ride. Returns their new number."""
    legs_room = out.leg.shape[1]
    for k in range(rounds + 1):
        stop = s.target_stop[k]
        if stop < 0 or (k > 0 and s.target_bound[k] >= s.target_bound[k - 1]) or count == out.head.shape[0]:
            continue
        at = legs_room
        arrival = s.target_bound[k]
        egress = s.target_ms[stop]
        time = arrival
        if egress > 0:
            at -= 1
            _leg(out, count, at, WALK, stop, -1, 0, arrival - egress, arrival)
            time = arrival - egress
        by_walk, rides = s.target_walk[k], k
        came_from = BY_RIDE
        if rides == 0:
            came_from = s.label[0, stop, FROM]
        elif by_walk > 0:
            came_from = by_walk - 1
        while True:
            if came_from >= 0:  # a footpath to `stop`
                begin = s.label[rides, came_from, BY_VEHICLE] if rides > 0 else depart
                at -= 1
                _leg(out, count, at, WALK, came_from, stop, 0, begin, time)
                stop, time = came_from, begin
            if rides == 0:
                break
            run, pattern = s.label[rides, stop, RUN], s.label[rides, stop, PATTERN]
            board, alight = s.label[rides, stop, BOARD], s.label[rides, stop, ALIGHT]
            begin = day.depart_ms[day.first_time[run] + board]
            at -= 1
            _leg(out, count, at, RIDE, run, board, alight, begin, day.arrive_ms[day.first_time[run] + alight])
            stop = day.stop[day.first_stop[pattern] + board]
            rides -= 1
            time = s.label[rides, stop, READY]
            came_from = s.label[rides, stop, FROM]
        if time > depart:
            at -= 1
            _leg(out, count, at, WALK, -1, stop, 0, depart, time)
        legs = legs_room - at
        for leg in range(legs):
            for field in range(6):
                out.leg[count, leg, field] = out.leg[count, at + leg, field]
        out.head[count, 0], out.head[count, 1], out.head[count, 2], out.head[count, 3] = depart, arrival, k, legs
        count += 1
    return count


@inlined_kernel
def _leg(out: Journeys, journey: int, at: int, kind: int, a: int, b: int, c: int, begin: int, end: int) -> None:
    out.leg[journey, at, 0], out.leg[journey, at, 1], out.leg[journey, at, 2] = kind, a, b
    out.leg[journey, at, 3], out.leg[journey, at, 4], out.leg[journey, at, 5] = c, begin, end


@lean_kernel
def search(
    day: DayArrays, s: Scratch, access: IntArray, departures: IntArray, after: int, longest_ms: int, change_ms: int,
    rounds: int, out: Journeys,
) -> int:  # fmt: skip
    """Journeys for each departure, latest first, none worse in departure, arrival and rides than another found.

    They take less than `longest_ms`. Where `after` >= 0, journeys that leave then count as known and are not written.
    Returns their number.
    """
    clear(s)
    if after >= 0:
        run_rounds(day, s, access, after, after + longest_ms, change_ms, rounds)
    count = 0
    for row in range(departures.size):
        latest = departures[row] + longest_ms
        run_rounds(day, s, access, departures[row], latest, change_ms, rounds)
        count = take_out(day, s, departures[row], rounds, out, count)
    return count


@lean_kernel
def departures_between(day: DayArrays, access: IntArray, earliest: int, latest: int, times: IntArray) -> int:
    """Moments in a window at which leaving the origin catches a vehicle just in time; returns how many were written.

    One more than fits is returned as `times.size + 1`.
    """
    count = 0
    for row in range(access.shape[0]):
        stop, way = access[row, 0], access[row, 1]
        count = _departures_at(day, stop, way, earliest, latest, times, count)
        if way == 0:
            for edge in range(day.walk_first[stop], day.walk_first[stop + 1]):
                count = _departures_at(day, day.walk_to[edge], day.walk_ms[edge], earliest, latest, times, count)
        if count > times.size:
            return count
    return count


@lean_kernel
def _departures_at(day: DayArrays, stop: int, way: int, earliest: int, latest: int, times: IntArray, count: int) -> int:
    for at in range(day.at_first[stop], day.at_first[stop + 1]):
        pattern, column = day.at_pattern[at], day.at_leave[at]
        last = day.first_run[pattern + 1]
        run = _first_run(day, column, day.first_run[pattern], last, earliest + way)
        while 0 <= run < last:
            time = day.leave_ms[column + run] - way
            if time > latest:
                break
            if day.open_run[run] != 0:
                if count >= times.size:
                    return times.size + 1
                times[count] = time
                count += 1
            run += 1
    return count
