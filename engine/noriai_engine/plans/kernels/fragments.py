"""Fragments: the pieces of routes from an empty vehicle to the next time it is empty, all of them, for one class.

A route is a chain of fragments, and all that ties riders together (loads, ride times, pairs) stays within one
(Rist & Forbes 2021). What a chain has to know of a fragment's times are three numbers: entered at time t, at most
`late`, it ends at max(early, t + span), since the least solution of difference constraints is a longest path.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Array, Floats, Ints, Tasks

TOO_MANY, TOO_LONG = -1, -2


class Fragments(NamedTuple):
    """f fragments: start of service at the `first` stop and at the `last` one, in the times of the module's text."""

    first: Ints  # (f,) int32 node
    last: Ints  # (f,) int32 node
    early: Array  # (f,)
    span: Array  # (f,)
    late: Array  # (f,)
    cost: Floats  # (f,) of its drives
    tasks: Ints  # (f, words) uint64, a bit for each task
    begin: Ints  # (f + 1,) int64
    node: Ints  # (...,) int32 stops of all
    after: Ints  # (f,) int32: the next of the same ends and tasks, -1 none
    head: Ints  # (2^x,) int32 hash table of those lists
    dead: Ints  # (f,) uint8: another one is as good in everything


class Trail(NamedTuple):
    """Working space of the enumeration, w positions."""

    node: Ints  # (w,) int32
    mate: Ints  # (w,) int32
    turn: Ints  # (w,) int64 next entry of `follow` to try
    x: Array  # (w, w) least times of each prefix
    y: Array  # (w,)
    aboard: Ints  # (m,) int32 0 not yet, 1 aboard, 2 done
    at: Ints  # (m,) int32 position of the pickup
    riders: Ints  # (w,) int32 who is aboard, in an order of alighting that is tried
    way: Array  # (w,) driving and service from the first stop to each
    out: Array  # (w,) time of each alighting
    out_way: Array  # (w,)
    choice: Ints  # (w,) int32 whose turn to alight it is


@inlined_kernel
def _raise(t: Tasks, s: Trail, x: Array, size: int, begin: int) -> bool:
    """Raise lower bounds `x` of a sequence without depots to its least times; False where there are none."""
    slack = t.rule[0].slack
    for _ in range(size + 1):
        for q in range(begin, size):
            y = x[q - 1] + t.stops[s.node[q - 1]].service + t.travel[s.node[q - 1], s.node[q]]
            if y > x[q]:
                x[q] = y
            if x[q] > t.stops[s.node[q]].late + slack:
                return False
        begin = size
        for q in range(size - 1, 0, -1):
            p = s.mate[q]
            if p >= 0:
                y = x[q] - t.jobs[t.stops[s.node[q]].task].span
                if y > x[p] + slack:
                    if y > t.stops[s.node[p]].late + slack:
                        return False
                    x[p] = y
                    begin = min(begin, p + 1)
        if begin == size:
            return True
    return False


@inlined_kernel
def _all_alight(t: Tasks, s: Trail, x: Array, size: int) -> bool:
    """Whether everybody aboard after `size` stops may alight in some order if nobody else boards, as far as times and
    rides tell that are counted too short rather than too long: where not, no extension helps, as a detour saves
    nothing."""
    slack = t.rule[0].slack
    s.y[size - 1] = t.stops[s.node[size - 1]].late
    for q in range(size - 2, -1, -1):
        s.y[q] = min(t.stops[s.node[q]].late, s.y[q + 1] - (s.way[q + 1] - s.way[q]))
    count = 0
    for q in range(size):
        if s.mate[q] < 0 and s.aboard[t.stops[s.node[q]].task] == 1:
            s.riders[count] = t.stops[s.node[q]].task
            count += 1
    depth = 0
    s.choice[0] = 0
    while depth < count:  # riders[:depth] have alighted, riders[depth:] are aboard
        turn = s.choice[depth]
        if turn == count:
            if depth == 0:
                return False
            depth -= 1
            turn = s.choice[depth]
            s.riders[depth], s.riders[turn] = s.riders[turn], s.riders[depth]
            s.choice[depth] = turn + 1
            continue
        rider = s.riders[turn]
        if depth == 0:
            here, time, way = s.node[size - 1], x[size - 1], s.way[size - 1]
        else:
            here, time, way = t.jobs[s.riders[depth - 1]].delivery, s.out[depth - 1], s.out_way[depth - 1]
        node = t.jobs[rider].delivery
        drive = t.stops[here].service + t.travel[here, node]
        time = max(time + drive, t.stops[node].early)
        way += drive
        p = s.at[rider]
        if time > t.stops[node].late + slack or max(way - s.way[p], time - s.y[p]) > t.jobs[rider].span + slack:
            s.choice[depth] = count  # who is too late next is too late after others
            continue
        s.out[depth], s.out_way[depth] = time, way
        s.riders[depth], s.riders[turn] = s.riders[turn], s.riders[depth]
        depth += 1
        s.choice[depth] = depth
    return True


@inlined_kernel
def _latest_entry(t: Tasks, s: Trail, size: int) -> None:
    """Greatest times of the sequence into s.y."""
    slack = t.rule[0].slack
    for q in range(size):
        s.y[q] = t.stops[s.node[q]].late
    for _ in range(size + 1):
        for q in range(size - 2, -1, -1):
            y = s.y[q + 1] - t.stops[s.node[q]].service - t.travel[s.node[q], s.node[q + 1]]
            if y < s.y[q]:
                s.y[q] = y
        changed = False
        for q in range(1, size):
            p = s.mate[q]
            if p >= 0:
                y = s.y[p] + t.jobs[t.stops[s.node[q]].task].span
                if y < s.y[q] - slack:
                    s.y[q] = y
                    changed = True
        if not changed:
            return


@inlined_kernel
def _record(t: Tasks, rate: int, s: Trail, size: int, name: Ints, f: Fragments, count: int, words: int) -> int:
    """Keep the fragment in `s` unless one with the same ends and tasks is as good; the new count, or TOO_MANY."""
    slack = t.rule[0].slack
    first, last = s.node[0], s.node[size - 1]
    early = s.x[size - 1, size - 1]
    _latest_entry(t, s, size)
    late = s.y[0]
    for q in range(1, size):
        s.y[q] = t.stops[s.node[q]].early
    _raise(t, s, s.y, size, 1)
    span = s.y[size - 1] - late
    cost = 0.0
    key = np.uint64(first) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(last) * np.uint64(0xC2B2AE3D27D4EB4F)
    for q in range(size):
        if q > 0:
            cost += t.cost[rate, s.node[q - 1], s.node[q]]
        if t.stops[s.node[q]].role >= 0:
            key += name[t.stops[s.node[q]].task]
    key ^= key >> np.uint64(29)
    slot = key & np.uint64(f.head.shape[0] - 1)
    if count >= f.first.shape[0] or f.begin[count] + size > f.node.shape[0]:
        return TOO_MANY
    for word in range(words):
        f.tasks[count, word] = 0
    for q in range(size):
        task = t.stops[s.node[q]].task
        f.tasks[count, task >> 6] |= np.uint64(1) << np.uint64(task & 63)
    other = f.head[slot]
    while other >= 0:
        same = f.first[other] == first and f.last[other] == last and not f.dead[other]
        for word in range(words):
            same = same and f.tasks[other, word] == f.tasks[count, word]
        if same:
            if (
                f.cost[other] <= cost + 1e-9
                and f.early[other] <= early + slack
                and f.span[other] <= span + slack
                and f.late[other] >= late - slack
            ):
                return count
            if cost <= f.cost[other] and early <= f.early[other] and span <= f.span[other] and late >= f.late[other]:
                f.dead[other] = 1
        other = f.after[other]
    f.first[count], f.last[count] = first, last
    f.early[count], f.span[count], f.late[count], f.cost[count] = early, span, late, cost
    for q in range(size):
        f.node[f.begin[count] + q] = s.node[q]
    f.begin[count + 1] = f.begin[count] + size
    f.after[count] = f.head[slot]
    f.head[slot] = count
    f.dead[count] = 0
    return count + 1


@lean_kernel
def enumerate_from(
    t: Tasks, car: int, stop: int, follow_first: Ints, follow: Ints, s: Trail, name: Ints, f: Fragments, count: int,
    steps: Ints,
) -> int:  # fmt: skip
    """Add every fragment that begins at a stop for vehicle `car`; the new count, TOO_MANY or TOO_LONG.

    `follow` lists the stops that may come after each; `steps[0]` extensions may still be tried.
    """
    kind, rate = t.cars[car].kind, t.cars[car].rate
    words = f.tasks.shape[1]
    first_task = t.stops[stop].task
    if not t.may[first_task, car]:
        return count
    s.node[0], s.mate[0], s.x[0, 0] = stop, -1, t.stops[stop].early
    if t.stops[stop].role == 0:
        return _record(t, rate, s, 1, name, f, count, words)
    if not t.fits[kind, t.jobs[first_task].code]:
        return count
    for task in range(s.aboard.shape[0]):
        s.aboard[task] = 0
    s.aboard[first_task], s.at[first_task] = 1, 0
    load, riders, depth = t.jobs[first_task].code, 1, 1
    s.turn[0] = follow_first[stop]
    s.way[0] = t.stops[stop].service * 0
    while depth > 0:
        here = s.node[depth - 1]
        if s.turn[depth - 1] == follow_first[here + 1]:
            task = t.stops[here].task
            if t.stops[here].role > 0:
                s.aboard[task] = 0
                load -= t.jobs[task].code
                riders -= 1
            else:
                s.aboard[task] = 1
                load += t.jobs[task].code
                riders += 1
            depth -= 1
            continue
        node = follow[s.turn[depth - 1]]
        s.turn[depth - 1] += 1
        task = t.stops[node].task
        boards = t.stops[node].role > 0
        if boards:
            if s.aboard[task] or not t.may[task, car] or not t.fits[kind, load + t.jobs[task].code]:
                continue
            apart = False
            for index in range(t.apart_first[task], t.apart_first[task + 1]):
                apart = apart or s.aboard[t.apart[index]] == 1
            if apart:
                continue
            s.mate[depth] = -1
        else:
            if s.aboard[task] != 1:
                continue
            s.mate[depth] = s.at[task]
        steps[0] -= 1
        if steps[0] < 0:
            return TOO_LONG
        s.node[depth] = node
        s.way[depth] = s.way[depth - 1] + t.stops[here].service + t.travel[here, node]
        x = s.x[depth]
        for q in range(depth):
            x[q] = s.x[depth - 1, q]
        x[depth] = t.stops[node].early
        if not _raise(t, s, x, depth + 1, depth):
            continue
        if not boards and riders == 1:
            count = _record(t, rate, s, depth + 1, name, f, count, words)
            if count < 0:
                return count
            continue
        if boards:
            s.aboard[task], s.at[task] = 1, depth
            load += t.jobs[task].code
            riders += 1
        else:
            s.aboard[task] = 2
            load -= t.jobs[task].code
            riders -= 1
        depth += 1
        s.turn[depth - 1] = follow_first[node if _all_alight(t, s, x, depth) else node + 1]
    return count
