"""Times of routes: a fixed sequence is a system of difference constraints; its least and greatest solutions.

Ride time and duration need departures that wait, so "as early as possible" is no test. The least fixpoint is found by
sweeps forward (drives, windows) and backward (a pickup no earlier than its delivery minus the ride limit, a departure
no earlier than the return minus the duration limit); it passes a window exactly where no schedule exists.
"""

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Routes, Tasks, Work
from noriai_engine.plans.kernels.comfort import given_up, is_soft


@lean_kernel
def raise_to_least(t: Tasks, vehicle: int, size: int, w: Work, begin: int, end: int) -> bool:
    """Raise the times of the sequence `w.line` to the least solution; False where there is none.

    On entry they are lower bounds, and keep all limits but those of the drives to positions [begin, end] and those of
    rides and durations that end there or later.
    """
    slack = t.rule[0].slack
    ahead = end  # rides that end behind this position are kept
    for _ in range(size + 1):
        node = w.line[begin - 1].node
        x = w.line[begin - 1].x
        for q in range(begin, size):
            x += t.stops[node].service + t.travel[node, w.line[q].node]
            node = w.line[q].node
            if x > w.line[q].x:
                if x > t.stops[node].late + slack:
                    return False
                w.line[q].x = x
                ahead = max(ahead, q)
            elif q >= end:
                break
            else:
                x = w.line[q].x
        begin, end = size, 0
        for q in range(min(ahead, size - 2), 0, -1):
            p = w.line[q].mate
            if p >= 0:
                y = w.line[q].x - t.jobs[t.stops[w.line[q].node].task].span
                if y > w.line[p].x + slack:
                    if y > t.stops[w.line[p].node].late + slack:
                        return False
                    w.line[p].x = y
                    begin, end = min(begin, p + 1), max(end, p + 1)
        y = w.line[size - 1].x - t.cars[vehicle].duration
        if y > w.line[0].x + slack:
            if y > t.stops[w.line[0].node].late + slack:
                return False
            w.line[0].x = y
            begin, end = 1, max(end, 1)
        if begin == size:
            return True
        ahead = 0
    return False


@inlined_kernel
def _raise_first(t: Tasks, r: Routes, k: int, begin: int) -> bool:
    """The same for the times r.first of a route that is stored, where drives, mates and spans stand beside them."""
    size = r.heads[k].count
    slack = t.rule[0].slack
    for _ in range(size + 1):
        for q in range(begin, size):
            y = r.rows[k, q - 1].first + (r.rows[k, q].path - r.rows[k, q - 1].path)
            if y > r.rows[k, q].first:
                r.rows[k, q].first = y
            if r.rows[k, q].first > t.stops[r.rows[k, q].node].late + slack:
                return False
        begin = size
        if not t.rule[0].tight:
            return True
        for q in range(size - 2, 0, -1):
            p = r.rows[k, q].mate
            if p >= 0:
                y = r.rows[k, q].first - r.rows[k, q].span
                if y > r.rows[k, p].first + slack:
                    r.rows[k, p].first = y
                    begin = min(begin, p + 1)
        y = r.rows[k, size - 1].first - t.cars[k].duration
        if y > r.rows[k, 0].first + slack:
            r.rows[k, 0].first = y
            begin = 1
        if begin == size:
            return True
    return False


@inlined_kernel
def _lower_last(t: Tasks, r: Routes, k: int) -> None:
    """Lower the times r.last of a route to the greatest solution."""
    size = r.heads[k].count
    slack = t.rule[0].slack
    for _ in range(size + 1):
        for q in range(size - 2, -1, -1):
            y = r.rows[k, q + 1].last - (r.rows[k, q + 1].path - r.rows[k, q].path)
            if y < r.rows[k, q].last:
                r.rows[k, q].last = y
        if not t.rule[0].tight:
            return
        changed = False
        for q in range(1, size - 1):
            p = r.rows[k, q].mate
            if p >= 0:
                y = r.rows[k, p].last + r.rows[k, q].span
                if y < r.rows[k, q].last - slack:
                    r.rows[k, q].last = y
                    changed = True
        y = r.rows[k, 0].last + t.cars[k].duration
        if y < r.rows[k, size - 1].last - slack:
            r.rows[k, size - 1].last = y
            changed = True
        if not changed:
            return


@lean_kernel
def settle(t: Tasks, r: Routes, k: int, w: Work) -> bool:
    """Compute everything that follows from the sequence of route k; False where it has no schedule."""
    for q in range(r.heads[k].count):
        r.rows[k, q].first = t.stops[r.rows[k, q].node].early
        r.rows[k, q].last = t.stops[r.rows[k, q].node].late
    return settle_from(t, r, k, 1, w)


@lean_kernel
def settle_from(t: Tasks, r: Routes, k: int, begin: int, w: Work) -> bool:
    """The same where r.first and r.last hold bounds already, r.first a solution of all limits before `begin`."""
    size = r.heads[k].count
    rate = t.cars[k].rate
    load = 0
    cost = 0.0
    path = t.stops[r.rows[k, 0].node].service * 0
    node = r.rows[k, 0].node
    for q in range(size):
        task = t.stops[node].task
        r.rows[k, q].path = path
        r.rows[k, q].mate = -1
        if task >= 0:
            r.home[task] = k
            r.at[node] = q
            if t.stops[node].role > 0:
                load += t.jobs[task].code
            elif t.stops[node].role < 0:
                load -= t.jobs[task].code
                r.rows[k, q].mate = r.at[t.jobs[task].pickup]
                r.rows[k, q].span = t.jobs[task].span
        r.rows[k, q].load = load
        if q + 1 < size:
            after = r.rows[k, q + 1].node
            drive, toll = t.travel[node, after], t.cost[rate, node, after]
            r.rows[k, q].drive = drive
            r.rows[k, q].toll = toll
            cost += toll
            path += t.stops[node].service + drive
            node = after
    r.heads[k].cost = cost + t.cars[k].fixed if size > 2 else 0.0
    r.heads[k].given_up = 0.0
    w.counts[1] += 1
    r.heads[k].stamp = w.counts[1]
    if not _raise_first(t, r, k, begin):
        return False
    if is_soft(t):
        r.heads[k].given_up = given_up(t, r, k)
        r.heads[k].cost += r.heads[k].given_up
    _lower_last(t, r, k)
    if t.rule[0].tight:
        whole = t.cars[k].duration - r.rows[k, size - 1].path
        for q in range(size):
            r.rows[k, q].room = whole
        for q in range(1, size - 1):
            p = r.rows[k, q].mate
            if p >= 0:
                room = r.rows[k, q].span - (r.rows[k, q].path - r.rows[k, p].path)
                for leg in range(p, q):
                    if room < r.rows[k, leg].room:
                        r.rows[k, leg].room = room
    return True
