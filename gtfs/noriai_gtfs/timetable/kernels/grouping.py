"""Trips with the same stops, times where feeds leave them blank, and the trips of a day in order."""

import numpy as np
import numpy.typing as npt

from noriai_engine.kernels import lean_kernel

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]


@lean_kernel
def fill_times(first: LongArray, arrive: IntArray, depart: IntArray, along: FloatArray, filled: ByteArray) -> int:
    """Estimate blank times (-1) between given ones, in proportion to the way; times of a trip never run backwards.

    `along` (rows,) is a measure of the way from the trip's start. `filled` becomes 1 where a time was estimated.
    Returns the first trip that has no time at its first or last stop or runs backwards, or -1.
    """
    for trip in range(first.size - 1):
        a, b = first[trip], first[trip + 1]
        if a == b:
            continue
        for row in range(a, b):
            if arrive[row] < 0:
                arrive[row] = depart[row]
            if depart[row] < 0:
                depart[row] = arrive[row]
        if arrive[a] < 0 or arrive[b - 1] < 0:
            return trip
        known = a
        for row in range(a + 1, b):
            if arrive[row] < 0:
                continue
            span = along[row] - along[known]
            begin, end = depart[known], arrive[row]
            if end < begin:
                return trip
            for between in range(known + 1, row):
                share = (along[between] - along[known]) / span if span > 0 else (between - known) / (row - known)
                share = min(1.0, max(0.0, share))
                arrive[between] = begin + 1000 * np.int64(share * (end - begin) / 1000.0)
                depart[between] = arrive[between]
                filled[between] = 1
            known = row
        for row in range(a, b):
            if depart[row] < arrive[row] or (row > a and arrive[row] < depart[row - 1]):
                return trip
    return -1


@lean_kernel
def sequence_keys(first: LongArray, stop: IntArray, rule: ByteArray, key: npt.NDArray[np.uint64]) -> None:
    """A 64-bit hash of each trip's stops and rules."""
    for trip in range(first.size - 1):
        value = np.uint64(first[trip + 1] - first[trip])
        for row in range(first[trip], first[trip + 1]):
            value ^= np.uint64(stop[row]) * np.uint64(64) + np.uint64(rule[row])
            value *= np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(31)
        key[trip] = value


@lean_kernel
def differs(first: LongArray, stop: IntArray, rule: ByteArray, like: LongArray) -> int:
    """The first trip whose stops or rules are not those of the trip `like` it, or -1."""
    for trip in range(first.size - 1):
        a, other = first[trip], first[like[trip]]
        n = first[trip + 1] - a
        if first[like[trip] + 1] - other != n:
            return trip
        for k in range(n):
            if stop[a + k] != stop[other + k] or rule[a + k] != rule[other + k]:
                return trip
    return -1


@lean_kernel
def split_in_order(
    sequence: IntArray, trip: IntArray, shift: IntArray, first: LongArray, arrive: IntArray, depart: IntArray,
    pattern: IntArray, last: IntArray, opened: IntArray,
) -> int:  # fmt: skip
    """Give each run (sorted by sequence, then first departure) a pattern in which no trip overtakes another.

    Runs are trips on a day, `shift` ms later than their times. A run joins the first pattern of its sequence whose last
    run is nowhere later; `last` and `opened` (runs,) are working space. Returns the number of patterns.
    """
    patterns, begin = 0, 0
    for run in range(trip.size):
        if run == 0 or sequence[run] != sequence[run - 1]:
            begin = patterns
        a = first[trip[run]]
        n = first[trip[run] + 1] - a
        found = -1
        for candidate in range(begin, patterns):
            other = last[candidate]
            b = first[trip[other]]
            gap = shift[run] - shift[other]
            fits = True
            for k in range(n):
                if arrive[a + k] + gap < arrive[b + k] or depart[a + k] + gap < depart[b + k]:
                    fits = False
                    break
            if fits:
                found = candidate
                break
        if found < 0:
            found = patterns
            opened[patterns] = run
            patterns += 1
        last[found] = run
        pattern[run] = found
    return patterns


@lean_kernel
def copy_times(
    trip: IntArray, shift: IntArray, first: LongArray, arrive: IntArray, depart: IntArray, row: LongArray,
    day_arrive: IntArray, day_depart: IntArray,
) -> None:  # fmt: skip
    """Times of each run, shifted, to where its row begins."""
    for run in range(trip.size):
        a, to = first[trip[run]], row[run]
        for k in range(first[trip[run] + 1] - a):
            day_arrive[to + k] = arrive[a + k] + shift[run]
            day_depart[to + k] = depart[a + k] + shift[run]


@lean_kernel
def turn_times(
    first_run: IntArray, first_stop: IntArray, first_time: LongArray, by_run: IntArray, alive: ByteArray,
    by_place: IntArray,
) -> None:  # fmt: skip
    """Times of each pattern, run by run, written place by place.

    A run that is not alive gets the time of the one before it, so that the order of times holds whatever became of it.
    """
    for pattern in range(first_run.size - 1):
        begin, end = first_run[pattern], first_run[pattern + 1]
        if begin == end:
            continue
        base = first_time[begin]
        for place in range(first_stop[pattern + 1] - first_stop[pattern]):
            before = -2_000_000_000
            column = base + place * (end - begin) - begin
            for run in range(begin, end):
                if alive[run] != 0:
                    before = by_run[first_time[run] + place]
                by_place[column + run] = before
