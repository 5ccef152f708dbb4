"""Chains of fragments: what is left to gain from each stop at each time, and the routes that may still matter.

`finish` is a relaxation (a task may come twice), solved exactly from the end of the day to its start; its value bounds
every route from below. `gather` builds real routes from the start of the day and drops every beginning that the
relaxation cannot finish below a limit.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Array, Floats, Ints, Tasks
from noriai_engine.plans.kernels.fragments import Fragments

EPS = 1e-9
NO_MORE = 1e300


class Lists(NamedTuple):
    """Fragments of each node that is their first or last stop: rows `of_first[first_at[n] : first_at[n + 1]]`."""

    first_at: Ints  # (n + 1,) int64
    of_first: Ints  # int32
    last_at: Ints  # (n + 1,) int64
    of_last: Ints  # int32
    latest: Array  # (n,) latest entry of any fragment from that stop


class Ends(NamedTuple):
    """What can follow a stop: `time[at[n] : at[n + 1]]` falls, and so does `cost`: until that time, that cost at best.

    At the last stop of a fragment: what follows its start of service; at a first stop: that fragment and what follows.
    """

    settled: Ints  # (1,) int64
    node: Ints  # (e,) int32 in the order found
    raw_time: Array  # (e,)
    raw_cost: Floats  # (e,)
    at: Ints  # (n + 1,) int64
    time: Array  # (e,)
    cost: Floats  # (e,)


class Heap(NamedTuple):
    """A binary heap of labels by `key`, the greatest on top."""

    used: Ints  # (1,) int64
    key: Array
    label: Ints  # int32


class Labels(NamedTuple):
    """Beginnings of routes that end with a fragment: its last stop, its row, start of service there, reduced cost, the
    tasks served (`done`), those of them that could still be reached (`mind`) and whatever could (`reach`)."""

    used: Ints  # (2,) int64: labels, routes
    node: Ints  # (k,) int32
    row: Ints  # (k,) int32
    time: Array  # (k,)
    cost: Floats  # (k,)
    done: Ints  # (k, words) uint64
    mind: Ints  # (k, words) uint64
    reach: Ints  # (k, words) uint64
    parent: Ints  # (k,) int32
    after: Ints  # (k,) int32 the label before in the same list
    newest: Ints  # (n + 2^x,) int32: a list for each node, or for each node and set of tasks (hashed)
    dead: Ints  # (k,) uint8
    route: Ints  # (...,) int32 labels that end a route
    value: Floats  # (...,) its reduced cost


@inlined_kernel
def _push(h: Heap, key: float, label: int) -> bool:
    k = h.used[0]
    if k >= h.key.shape[0]:
        return False
    h.used[0] = k + 1
    while k > 0 and h.key[(k - 1) >> 1] < key:
        h.key[k], h.label[k] = h.key[(k - 1) >> 1], h.label[(k - 1) >> 1]
        k = (k - 1) >> 1
    h.key[k], h.label[k] = key, label
    return True


@inlined_kernel
def _pop(h: Heap) -> int:
    top = h.label[0]
    count = h.used[0] - 1
    h.used[0] = count
    key, label, k = h.key[count], h.label[count], 0
    while 2 * k + 1 < count:
        child = 2 * k + 1
        if child + 1 < count and h.key[child + 1] > h.key[child]:
            child += 1
        if h.key[child] <= key:
            break
        h.key[k], h.label[k] = h.key[child], h.label[child]
        k = child
    if count > 0:
        h.key[k], h.label[k] = key, label
    return int(top)


@lean_kernel
def finish(t: Tasks, car: int, f: Fragments, lists: Lists, value: Floats, h: Heap, best: Floats, ends: Ends) -> float:
    """The least value of any chain of fragments, each of the given `value`, with all drives; NO_MORE: none exists.

    `best` (2, n) is working space. Labels are settled from the latest time to the earliest; a settled label is kept
    where it is cheaper than all later ones of its node. Returns -NO_MORE where the working space is too small.
    """
    slack = t.rule[0].slack
    rate = t.cars[car].rate
    n = t.stops.shape[0]
    start, end = t.cars[car].start, t.cars[car].end
    room = ends.raw_time.shape[0]
    # labels wait in raw_time, raw_cost and node from behind (negative nodes - 1: first stops), settled ones in front
    best[:] = NO_MORE
    h.used[0] = 0
    ends.settled[0] = 0
    spare = room
    for node in range(n):
        if lists.last_at[node + 1] > lists.last_at[node]:
            time = min(t.stops[node].late, t.stops[end].late - t.travel[node, end] - t.stops[node].service)
            spare -= 1
            ends.raw_time[spare], ends.raw_cost[spare], ends.node[spare] = time, t.cost[rate, node, end], node
            _push(h, time, spare)
    least = NO_MORE
    while h.used[0] > 0:
        label = _pop(h)
        node, time, cost = ends.node[label], ends.raw_time[label], ends.raw_cost[label]
        is_first = node < 0
        if is_first:
            node = -1 - node
        side = 1 if is_first else 0
        if cost >= best[side, node] - EPS:
            continue
        best[side, node] = cost
        k = ends.settled[0]
        if k + 1 >= spare:
            return -NO_MORE
        ends.settled[0] = k + 1
        ends.node[k] = -1 - node if is_first else node
        ends.raw_time[k], ends.raw_cost[k] = time, cost
        if is_first:
            if t.stops[start].early + t.stops[start].service + t.travel[start, node] <= time + slack:
                least = min(least, cost + t.cost[rate, start, node])
            for before in range(n):
                if lists.last_at[before + 1] == lists.last_at[before]:
                    continue
                c = cost + t.cost[rate, before, node]
                if c >= best[0, before] - EPS:
                    continue
                u = min(time - t.stops[before].service - t.travel[before, node], t.stops[before].late)
                if u + slack < t.stops[before].early:
                    continue
                spare -= 1
                if k + 1 >= spare:
                    return -NO_MORE
                ends.raw_time[spare], ends.raw_cost[spare], ends.node[spare] = u, c, before
                if not _push(h, u, spare):
                    return -NO_MORE
        else:
            for index in range(lists.last_at[node], lists.last_at[node + 1]):
                row = lists.of_last[index]
                first = f.first[row]
                c = cost + value[row]
                if f.early[row] > time + slack or c >= best[1, first] - EPS:
                    continue
                u = min(f.late[row], time - f.span[row])
                spare -= 1
                if k + 1 >= spare:
                    return -NO_MORE
                ends.raw_time[spare], ends.raw_cost[spare], ends.node[spare] = u, c, -1 - first
                if not _push(h, u, spare):
                    return -NO_MORE
    _sort_ends(n, ends)
    return least


@inlined_kernel
def _sort_ends(n: int, ends: Ends) -> None:
    """Group the settled labels by node: a node is either a first or a last stop, or both for single stops."""
    for node in range(2 * n + 1):
        ends.at[node] = 0
    for k in range(ends.settled[0]):
        place = ends.node[k] if ends.node[k] >= 0 else n - 1 - ends.node[k]
        ends.at[place + 1] += 1
    for node in range(2 * n):
        ends.at[node + 1] += ends.at[node]
    for k in range(ends.settled[0]):
        place = ends.node[k] if ends.node[k] >= 0 else n - 1 - ends.node[k]
        ends.time[ends.at[place]], ends.cost[ends.at[place]] = ends.raw_time[k], ends.raw_cost[k]
        ends.at[place] += 1
    for node in range(2 * n, 0, -1):
        ends.at[node] = ends.at[node - 1]
    ends.at[0] = 0


@inlined_kernel
def _rest(ends: Ends, place: int, time: float, slack: float) -> float:
    """The least cost of what can follow at `place` from a time on."""
    low, high = ends.at[place], ends.at[place + 1]
    begin = low
    while low < high:
        middle = (low + high) >> 1
        if ends.time[middle] + slack >= time:
            low = middle + 1
        else:
            high = middle
    return ends.cost[low - 1] if low > begin else NO_MORE


@inlined_kernel
def _reachable(t: Tasks, node: int, time: float, lists: Lists, labels: Labels, k: int) -> None:
    """Bits of the tasks that could still be begun after service at a node."""
    slack = t.rule[0].slack
    for word in range(labels.reach.shape[1]):
        labels.reach[k, word] = 0
    leaves = time + t.stops[node].service
    for task in range(t.jobs.shape[0]):
        pickup = t.jobs[task].pickup
        if leaves + t.travel[node, pickup] <= t.stops[pickup].late + slack:
            labels.reach[k, task >> 6] |= np.uint64(1) << np.uint64(task & 63)


@inlined_kernel
def _is_beaten(labels: Labels, place: int, k: int, whole: bool) -> bool:
    """Whether another label of the list is as good as label k; those that k beats are marked dead.

    `whole`: only labels of the same tasks are compared.
    """
    other = labels.newest[place]
    while other >= 0:
        if not labels.dead[other] and labels.node[other] == labels.node[k]:
            better = labels.time[other] <= labels.time[k] + EPS and labels.cost[other] <= labels.cost[k] + EPS
            worse = labels.time[k] <= labels.time[other] and labels.cost[k] <= labels.cost[other]
            if better or worse:
                for word in range(labels.done.shape[1]):
                    if whole:
                        same = labels.done[other, word] == labels.done[k, word]
                        better = better and same
                        worse = worse and same
                    else:
                        better = better and not labels.mind[other, word] & labels.reach[k, word] & ~labels.mind[k, word]
                        worse = (
                            worse and not labels.mind[k, word] & labels.reach[other, word] & ~labels.mind[other, word]
                        )
                if better:
                    return True
                if worse:
                    labels.dead[other] = 1
        other = labels.after[other]
    return False


@lean_kernel
def gather(
    t: Tasks, car: int, f: Fragments, lists: Lists, value: Floats, fixed: float, limit: float, whole: bool, ends: Ends,
    h: Heap, labels: Labels,
) -> bool:  # fmt: skip
    """Find routes of reduced cost below `limit` (`fixed` counts once a route); False where space runs out.

    `whole`: all of them, but of those with the same tasks only the best in time and cost; otherwise those that no other
    beginning makes superfluous, enough to tell whether any exists.
    """
    slack = t.rule[0].slack
    rate = t.cars[car].rate
    n = t.stops.shape[0]
    words = labels.done.shape[1]
    start, end = t.cars[car].start, t.cars[car].end
    h.used[0] = 0
    labels.used[0] = labels.used[1] = 0
    for place in range(labels.newest.shape[0] if whole else n):
        labels.newest[place] = -1
    mask = np.uint64(labels.newest.shape[0] - n - 1)
    here, leaves, cost, label = start, t.stops[start].early + t.stops[start].service, fixed, -1
    while True:
        for node in range(n):
            if lists.first_at[node + 1] == lists.first_at[node]:
                continue
            task = t.stops[node].task
            if label >= 0 and labels.done[label, task >> 6] >> np.uint64(task & 63) & np.uint64(1):
                continue
            arrives = leaves + t.travel[here, node]
            if arrives > lists.latest[node] + slack:
                continue
            c = cost + t.cost[rate, here, node]
            if c + _rest(ends, n + node, arrives, slack) >= limit:
                continue
            for index in range(lists.first_at[node], lists.first_at[node + 1]):
                row = lists.of_first[index]
                if arrives > f.late[row] + slack:
                    continue
                last = f.last[row]
                time = max(f.early[row], arrives + f.span[row])
                c2 = c + value[row]
                if c2 + _rest(ends, last, time, slack) >= limit:
                    continue
                twice = False
                if label >= 0:
                    for word in range(words):
                        twice = twice or (labels.done[label, word] & f.tasks[row, word]) != 0
                if twice:
                    continue
                k = labels.used[0]
                if k >= labels.time.shape[0]:
                    return False
                labels.node[k], labels.row[k], labels.time[k], labels.cost[k] = last, row, time, c2
                labels.parent[k], labels.dead[k] = label, 0
                _reachable(t, last, time, lists, labels, k)
                for word in range(words):
                    before = labels.done[label, word] if label >= 0 else np.uint64(0)
                    labels.done[k, word] = before | f.tasks[row, word]
                    labels.mind[k, word] = labels.done[k, word] & labels.reach[k, word]
                place = last
                if whole:
                    mixed = np.uint64(last)
                    for word in range(words):
                        mixed = (mixed ^ labels.done[k, word]) * np.uint64(0x9E3779B97F4A7C15)
                        mixed ^= mixed >> np.uint64(29)
                    place = n + np.int64(mixed & mask)
                if _is_beaten(labels, place, k, whole):
                    continue
                labels.after[k] = labels.newest[place]
                labels.newest[place] = k
                labels.used[0] = k + 1
                if not _push(h, -time, k):
                    return False
                total = c2 + t.cost[rate, last, end]
                back = time + t.stops[last].service + t.travel[last, end]
                if total < limit and back <= t.stops[end].late + slack:
                    r = labels.used[1]
                    if r >= labels.route.shape[0]:
                        return False
                    labels.route[r], labels.value[r] = k, total
                    labels.used[1] = r + 1
        label = -1
        while h.used[0] > 0 and label < 0:
            label = _pop(h)
            if labels.dead[label]:
                label = -1
        if label < 0:
            return True
        here, cost = labels.node[label], labels.cost[label]
        leaves = labels.time[label] + t.stops[here].service
