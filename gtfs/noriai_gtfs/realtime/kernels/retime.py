"""Predicted times of runs, and whether they still follow one another."""

import numpy as np
import numpy.typing as npt

from noriai_engine.kernels import lean_kernel

IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]

NOTHING, DELAY, TIME, NO_DATA = 0, 1, 2, 3


@lean_kernel
def retime(
    run: IntArray, first: IntArray, place: IntArray, kind: IntArray, value: IntArray, row: LongArray, length: IntArray,
    arrive: IntArray, depart: IntArray,
) -> None:  # fmt: skip
    """Put the updates of each run into its times, in place.

    Updates of run[u] are rows first[u] to first[u + 1], ordered by place; `kind` and `value` (rows, 2) hold arrival and
    departure: NOTHING, a DELAY in ms against the schedule, or a TIME in ms of the day. A delay holds for the stops
    after it until the next update; NO_DATA returns to the schedule (GTFS Realtime reference, StopTimeUpdate). Times
    never run backwards.
    """
    for u in range(run.size):
        base = row[run[u]]
        delay, update, known = np.int64(0), first[u], False
        before = np.int64(-2_000_000_000)
        for here in range(length[run[u]]):
            scheduled_in, scheduled_out = np.int64(arrive[base + here]), np.int64(depart[base + here])
            into, out = scheduled_in + delay, scheduled_out + delay
            if update < first[u + 1] and place[update] == here:
                if kind[update, 0] == NO_DATA:
                    delay = np.int64(0)
                    into, out = scheduled_in, scheduled_out
                else:
                    if kind[update, 0] == DELAY:
                        delay = np.int64(value[update, 0])
                        into = scheduled_in + delay
                    elif kind[update, 0] == TIME:
                        into = np.int64(value[update, 0])
                        delay = into - scheduled_in
                    out = scheduled_out + delay
                    if kind[update, 1] == DELAY:
                        delay = np.int64(value[update, 1])
                        out = scheduled_out + delay
                    elif kind[update, 1] == TIME:
                        out = np.int64(value[update, 1])
                        delay = out - scheduled_out
                    if kind[update, 0] == NOTHING:
                        into = min(into, out)
                known = True
                update += 1
            if known:
                into = max(into, before)
                out = max(into, out)
                arrive[base + here], depart[base + here] = into, out
            before = np.int64(depart[base + here])


@lean_kernel
def out_of_order(
    first_run: IntArray, row: LongArray, length: IntArray, arrive: IntArray, depart: IntArray, alive: ByteArray,
    touched: ByteArray, odd: ByteArray,
) -> int:  # fmt: skip
    """Mark runs that overtake or are overtaken: 1 in `odd` for those to be taken out. Returns their number.

    `touched` runs go first; what remains of a pattern is in order.
    """
    count = 0
    for pattern in range(first_run.size - 1):
        dirty = False
        for run in range(first_run[pattern], first_run[pattern + 1]):
            if touched[run] != 0:
                dirty = True
                break
        if not dirty:
            continue
        last = -1
        for run in range(first_run[pattern], first_run[pattern + 1]):
            if alive[run] == 0:
                continue
            fits = True
            while True:
                fits = True
                if last >= 0:
                    a, b = row[run], row[last]
                    for k in range(length[run]):
                        if arrive[a + k] < arrive[b + k] or depart[a + k] < depart[b + k]:
                            fits = False
                            break
                if fits or touched[run] != 0 or touched[last] == 0:
                    break
                odd[last] = 1  # the run before was the one that moved: it goes, and the one before it is asked
                count += 1
                last -= 1
                while last >= first_run[pattern] and (alive[last] == 0 or odd[last] != 0):
                    last -= 1
                if last < first_run[pattern]:
                    last = -1
            if fits:
                last = run
            else:
                odd[run] = 1
                count += 1
    return count
