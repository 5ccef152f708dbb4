"""The best place for a task in a route: all pairs of positions, cheap tests first, the exact schedule last.

Sieves: cost against the best so far; loads; windows against the earliest and latest times of the route; detours
against the room that ride times and durations leave (necessary conditions, O(1)); then the least fixpoint of the
whole sequence; and of electric vehicles, whether the battery lasts.
Where riders' time has a cost, what they give up more is added last: it is never below 0.
"""

import numpy as np

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Array, Routes, Tasks, Work
from noriai_engine.plans.kernels.comfort import given_up_in_line, is_soft
from noriai_engine.plans.kernels.energy import lasts
from noriai_engine.plans.kernels.schedule import raise_to_least, settle_from

EPSILON = 1e-9
SHORT = 14  # stops of a route with depots: so few are looked at whole at once, as others will ask with another limit


@lean_kernel
def _exact(t: Tasks, r: Routes, k: int, task: int, i: int, j: int, w: Work) -> bool:
    """Whether route k with the task's stops behind positions i and j has a schedule."""
    size = r.heads[k].count
    p, d = t.jobs[task].pickup, t.jobs[task].delivery
    for q in range(i + 1):
        w.line[q].node = r.rows[k, q].node
        w.line[q].x = r.rows[k, q].first
        w.line[q].mate = r.rows[k, q].mate
    w.line[i + 1].node = p
    w.line[i + 1].x = t.stops[p].early
    w.line[i + 1].mate = -1
    for q in range(i + 1, j + 1):
        mate = r.rows[k, q].mate
        w.line[q + 1].node = r.rows[k, q].node
        w.line[q + 1].x = r.rows[k, q].first
        w.line[q + 1].mate = mate + 1 if mate > i else mate
    n = j + 2
    if p != d:
        w.line[n].node = d
        w.line[n].x = t.stops[d].early
        w.line[n].mate = i + 1
        n += 1
    shift = n - j - 1
    for q in range(j + 1, size):
        mate = r.rows[k, q].mate
        w.line[q + shift].node = r.rows[k, q].node
        w.line[q + shift].x = r.rows[k, q].first
        w.line[q + shift].mate = mate if mate <= i else mate + 1 if mate <= j else mate + shift
    return raise_to_least(t, k, size + shift, w, i + 1, n)


@inlined_kernel
def _apart(t: Tasks, r: Routes, k: int, task: int, i: int, j: int) -> bool:
    """Whether nobody meets aboard who must not, with the task's stops behind positions i and j."""
    for index in range(t.apart_first[task], t.apart_first[task + 1]):
        other = t.apart[index]
        if r.home[other] == k and r.at[t.jobs[other].pickup] <= j and r.at[t.jobs[other].delivery] > i:
            return False
    return True


@inlined_kernel
def _quick(t: Tasks, r: Routes, k: int, task: int, i: int, j: int, w: Work) -> int:
    """The exact test where delays stay near the task: 1 yes, 0 no, 2 where pickups must be put off far back."""
    slack = t.rule[0].slack
    p, d = t.jobs[task].pickup, t.jobs[task].delivery
    x_p = max(
        r.rows[k, i].first + t.stops[r.rows[k, i].node].service + t.travel_to[p, r.rows[k, i].node], t.stops[p].early
    )
    x = x_p
    step = t.stops[p].service
    node = p
    for q in range(i + 1, j + 1):
        step = step + t.travel[p, r.rows[k, q].node] if q == i + 1 else r.rows[k, q].path - r.rows[k, q - 1].path
        x = max(x + step, r.rows[k, q].first)
        if x > r.rows[k, q].last + slack:
            return 0
        w.line[q].x = x
        m = r.rows[k, q].mate
        if m >= 0 and not _put_off(t, r, k, p, x_p, d, x, i, j, m, x - r.rows[k, q].span, w):
            return 2
        node = r.rows[k, q].node
    x = max(x + t.stops[node].service + t.travel_to[d, node], t.stops[d].early)
    if x > t.stops[d].late + slack:
        return 0
    x_d = x
    y = x - t.jobs[task].span
    if y > x_p + slack:  # the new rider's own pickup waits
        if y > t.stops[p].late + slack:
            return 0
        if i == j:
            if y + t.stops[p].service + t.travel[p, d] > x_d + slack:
                return 2
        elif y + t.stops[p].service + t.travel[p, r.rows[k, i + 1].node] > w.line[i + 1].x + slack:
            return 2
        x_p = y
    size = r.heads[k].count
    for q in range(j + 1, size):
        x += (
            t.stops[d].service + t.travel[d, r.rows[k, q].node]
            if q == j + 1
            else r.rows[k, q].path - r.rows[k, q - 1].path
        )
        if x <= r.rows[k, q].first:
            return 1
        if x > r.rows[k, q].last + slack:
            return 0
        w.line[q].x = x
        m = r.rows[k, q].mate
        if m >= 0 and not _put_off(t, r, k, p, x_p, d, x_d, i, j, m, x - r.rows[k, q].span, w):
            return 2
    y = x - t.cars[k].duration
    if y > r.rows[k, 0].first + slack:
        if i == 0:
            return 1 if y + t.travel_to[p, r.rows[k, 0].node] <= x_p + slack else 2
        return 1 if y + r.rows[k, 0].drive <= r.rows[k, 1].first + slack else 2
    return 1


@inlined_kernel
def _put_off(
    t: Tasks, r: Routes, k: int, p: int, x_p: float, d: int, x_d: float, i: int, j: int, m: int, y: float, w: Work
) -> bool:
    """Whether the pickup at position m may be put off to y without moving what follows it."""
    slack = t.rule[0].slack
    x = r.rows[k, m].first if m <= i else w.line[m].x
    if y <= x + slack:
        return True
    node = r.rows[k, m].node
    if y > t.stops[node].late + slack:
        return False
    y += t.stops[node].service
    if m == i:
        return bool(y + t.travel_to[p, node] <= x_p + slack)
    if m == j:
        return bool(y + t.travel_to[d, node] <= x_d + slack)
    after = r.rows[k, m + 1].first if m + 1 <= i else w.line[m + 1].x
    return bool(y + r.rows[k, m].drive <= after + slack)


@inlined_kernel
def _possible(t: Tasks, r: Routes, k: int, task: int, i: int, j: int, w: Work) -> bool:
    if t.rule[0].tight:
        answer = _quick(t, r, k, task, i, j, w)
        if answer == 0 or (answer == 2 and not _exact(t, r, k, task, i, j, w)):
            return False
    return _apart(t, r, k, task, i, j) and lasts(t, r, k, task, i, j)


@lean_kernel
def _gives_up(t: Tasks, r: Routes, k: int, task: int, i: int, j: int, w: Work) -> float:
    """What riders give up more with the task's stops behind positions i and j, inf where that cannot be."""
    if not (_exact(t, r, k, task, i, j, w) and _apart(t, r, k, task, i, j) and lasts(t, r, k, task, i, j)):
        return np.inf
    stops = 2 if t.jobs[task].pickup != t.jobs[task].delivery else 1
    return given_up_in_line(t, w, r.heads[k].count + stops) - r.heads[k].given_up


@lean_kernel
def _single_place(t: Tasks, r: Routes, memo: Array, w: Work, task: int, k: int, enough: float) -> None:
    """Best place of a stop that needs an empty vehicle."""
    rate = t.cars[k].rate
    p = t.jobs[task].pickup
    base = t.cars[k].fixed + r.rows[k, 0].toll if r.heads[k].count == 2 else 0.0
    best, best_i = enough - base, -1
    for i in range(r.heads[k].count - 1):
        a, b = r.rows[k, i].node, r.rows[k, i + 1].node
        if r.rows[k, i].load != 0:
            continue
        begin = max(r.rows[k, i].first + t.stops[a].service + t.travel_to[p, a], t.stops[p].early)
        if begin > t.stops[p].late:
            break
        add = t.cost_to[rate, p, a] + t.cost[rate, p, b] - t.cost[rate, a, b]
        if add >= best or begin + t.stops[p].service + t.travel[p, b] > r.rows[k, i + 1].last:
            continue
        if is_soft(t):
            add += _gives_up(t, r, k, task, i, i, w)
            if add < best:
                best, best_i = add, i
        elif _exact(t, r, k, task, i, i, w) and lasts(t, r, k, task, i, i):
            best, best_i = add, i
    memo[task, k].cost = best + base if best_i >= 0 else enough
    memo[task, k].i = best_i
    memo[task, k].j = best_i


@lean_kernel
def best_place(t: Tasks, r: Routes, memo: Array, w: Work, task: int, k: int, enough: float) -> float:
    """Least added cost of the task in route k, where that is below `enough`; its positions stand in `memo`.

    Where it is not, some number from `enough` on and no positions: how much dearer it is does not matter then, and most
    places are ruled out before their times are looked at.
    """
    if memo[task, k].stamp == r.heads[k].stamp and (memo[task, k].i >= 0 or memo[task, k].cost >= enough):
        return memo[task, k].cost
    memo[task, k].stamp = r.heads[k].stamp
    if r.heads[k].count <= SHORT:
        enough = np.inf
    p, d = t.jobs[task].pickup, t.jobs[task].delivery
    if not t.may[task, k] or t.stops[p].early > t.stops[p].late or t.stops[d].early > t.stops[d].late:
        memo[task, k].cost = np.inf
        memo[task, k].i = -1
        return np.inf
    if p == d:
        _single_place(t, r, memo, w, task, k, enough)
        return memo[task, k].cost
    kind, rate = t.cars[k].kind, t.cars[k].rate
    slack = t.rule[0].slack
    tight, soft = t.rule[0].tight, is_soft(t)
    size = r.heads[k].count
    code = t.jobs[task].code
    early_d, late_d, service_d = t.stops[d].early, t.stops[d].late, t.stops[d].service
    early_p, late_p, service_p = t.stops[p].early, t.stops[p].late, t.stops[p].service
    low = 0  # behind earlier positions there is no way to be at the next one in time
    while low < size - 2 and r.rows[k, low + 1].last < early_p + service_p:
        low += 1
    low_d = low
    while low_d < size - 2 and r.rows[k, low_d + 1].last < early_d + service_d:
        low_d += 1
    end = low_d
    for j in range(low_d, size - 1):
        a, b = r.rows[k, j].node, r.rows[k, j + 1].node
        to_d = t.travel_to[d, a]
        begin = r.rows[k, j].first + t.stops[a].service + to_d
        if begin > late_d + slack:
            break
        end = j + 1
        from_d = service_d + t.travel[d, b]
        if (
            max(begin, early_d) + from_d > r.rows[k, j + 1].last + slack
            or (tight and to_d + from_d - r.rows[k, j].drive > r.rows[k, j].room + slack)
            or not t.fits[kind, r.rows[k, j].load + code]
        ):
            w.add_d[j] = np.inf
        else:
            w.add_d[j] = t.cost_to[rate, d, a] + t.cost[rate, d, b] - r.rows[k, j].toll
    least = np.inf
    w.least_d[end] = np.inf
    for j in range(end - 1, low_d - 1, -1):
        least = min(least, w.add_d[j])
        w.least_d[j] = least

    # a vehicle that stays at home does not drive from start to end either
    base = t.cars[k].fixed + r.rows[k, 0].toll if size == 2 else 0.0
    best = enough - base
    best_i, best_j = -1, -1
    span = t.jobs[task].span
    direct = service_p + t.travel[p, d]
    direct_cost = t.cost[rate, p, d]
    for i in range(low, end):
        a, b = r.rows[k, i].node, r.rows[k, i + 1].node
        drive_to_p = t.travel_to[p, a]
        begin = r.rows[k, i].first + t.stops[a].service + drive_to_p
        if begin > late_p + slack:
            break
        if not t.fits[kind, r.rows[k, i].load + code]:
            continue
        begin = max(begin, early_p)
        to_p = t.cost_to[rate, p, a] - r.rows[k, i].toll
        add_p = to_p + t.cost[rate, p, b]
        ride = service_p + t.travel[p, b]
        onward = begin + ride
        further = (
            add_p + w.least_d[max(i + 1, low_d)] < best - EPSILON
            and onward <= r.rows[k, i + 1].last + slack
            and (not tight or drive_to_p + ride - r.rows[k, i].drive <= r.rows[k, i].room + slack)
        )
        x = begin
        for j in range(i, end):
            if j == i:  # both stops on one leg
                add = to_p + direct_cost + t.cost[rate, d, b]
                to_d = direct
                after = b
                hope = i >= low_d and add < best - EPSILON
                if hope and tight:
                    from_d = service_d + t.travel[d, b]
                    hope = drive_to_p + direct + from_d - r.rows[k, i].drive <= r.rows[k, i].room + slack
            else:
                a = r.rows[k, j].node
                if t.stops[a].role == 0 or not t.fits[kind, r.rows[k, j].load + code]:
                    break
                add = add_p + w.add_d[j]
                to_d = t.stops[a].service + t.travel_to[d, a]
                after = r.rows[k, j + 1].node
                hope = j >= low_d and add < best - EPSILON
            if hope:
                y = max(x + to_d, early_d)
                if y > late_d + slack or (j > i and ride + to_d > span + slack):
                    if j > i:
                        break
                elif y + service_d + t.travel[d, after] > r.rows[k, j + 1].last + slack:
                    pass
                elif soft:
                    add += _gives_up(t, r, k, task, i, j, w)
                    if add < best - EPSILON:
                        best, best_i, best_j = add, i, j
                elif _possible(t, r, k, task, i, j, w):
                    best, best_i, best_j = add, i, j
            if j == i:
                if not further:
                    break
                x = max(onward, r.rows[k, i + 1].first)
            elif j + 1 < end:
                step = r.rows[k, j + 1].path - r.rows[k, j].path
                x = max(x + step, r.rows[k, j + 1].first)
                ride += step
                if (
                    ride > span + slack
                    or x > r.rows[k, j + 1].last + slack
                    or add_p + w.least_d[max(j + 1, low_d)] >= best - EPSILON
                ):
                    break
    memo[task, k].cost = best + base if best_i >= 0 else enough
    memo[task, k].i = best_i
    memo[task, k].j = best_j
    return memo[task, k].cost


@lean_kernel
def put(t: Tasks, r: Routes, memo: Array, w: Work, task: int, k: int) -> bool:
    """Insert the task into route k where `memo` says."""
    i, j = memo[task, k].i, memo[task, k].j
    p, d = t.jobs[task].pickup, t.jobs[task].delivery
    size = r.heads[k].count
    both = 2 if p != d else 1
    for q in range(size - 1, j, -1):
        _shift(r, k, q, both)
    if both == 2:
        _new_stop(t, r, k, j + 2, d)
        for q in range(j, i, -1):
            _shift(r, k, q, 1)
    _new_stop(t, r, k, i + 1, p)
    r.heads[k].count = size + both
    return settle_from(t, r, k, i + 1, w)


@inlined_kernel
def _shift(r: Routes, k: int, q: int, by: int) -> None:
    r.rows[k, q + by].node = r.rows[k, q].node
    r.rows[k, q + by].first = r.rows[k, q].first
    r.rows[k, q + by].last = r.rows[k, q].last


@inlined_kernel
def _new_stop(t: Tasks, r: Routes, k: int, q: int, node: int) -> None:
    r.rows[k, q].node = node
    r.rows[k, q].first = t.stops[node].early
    r.rows[k, q].last = t.stops[node].late
