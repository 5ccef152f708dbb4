"""The relaxation over all routes there are: chains of fragments, priced exactly (column generation).

Routes are chains of fragments (kernels/fragments.py). Column generation solves the relaxation over all of them: where
no chain has a negative reduced cost, its value is a lower bound of every plan; before that, value plus fleet times the
least reduced cost is one (Lasdon's bound). Route durations are left out, which only lowers it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from noriai_engine.plans.kernels.anneal import remember
from noriai_engine.plans.kernels.arrays import Array, Pool, Routes, Tasks
from noriai_engine.plans.kernels.chains import NO_MORE, Ends, Heap, Labels, Lists, finish, gather
from noriai_engine.plans.kernels.fragments import Fragments, Trail, enumerate_from
from noriai_engine.plans.kernels.pricing import pour
from noriai_engine.plans.kernels.schedule import settle
from noriai_engine.plans.partition import Master
from noriai_engine.plans.problem import NO_LIMIT
from noriai_engine.plans.state import empty_pool, empty_routes, working_space

MOST_FRAGMENTS = 400_000
MOST_LABELS = 200_000
MOST_LISTED = 1_000_000
MOST_ROUTES = 150_000
ROUND = 100  # routes that enter the relaxation at once
SMOOTH = 0.6  # weight of the duals of the best bound
CLOSE = 1e-7  # relaxation and bound are equal
SAFE = 1e-6  # taken off every bound: what sums of floating-point duals may be wrong by


class Chains:
    """Fragments of the vehicles of one class and their chains."""

    def __init__(self, t: Tasks, car: int, found: tuple[Fragments, int]) -> None:
        self.t, self.car, self.kind = t, car, int(t.cars["kind"][car])
        self.rate = int(t.cars["rate"][car])
        self.fragments, self.count = found
        f, n = self.fragments, len(t.stops)
        alive = np.flatnonzero(f.dead[: self.count] == 0).astype(np.int32)
        self.lists = _lists(t, f, alive)
        self.heap, self.ends = _ends(t, 40 * self.count + 400_000)
        self.best = np.zeros((2, n))
        self.labels = _labels(t, MOST_LABELS, MOST_ROUTES)
        length = np.diff(f.begin[: self.count + 1])
        self.stop = t.stops["task"][f.node[: f.begin[self.count]]]
        self.is_start = t.stops["role"][f.node[: f.begin[self.count]]] >= 0
        self.owner = np.repeat(np.arange(self.count), length)

    def values(self, worth: Array) -> Array:
        """Cost less what the tasks are worth, of every fragment."""
        value: Array = self.fragments.cost[: self.count] - np.bincount(
            self.owner[self.is_start], weights=worth[self.stop[self.is_start]], minlength=self.count
        )
        return value

    def least(self, value: Array) -> float:
        """The least value of any chain; -inf where space runs out, and nothing else may be asked then."""
        found = float(finish(self.t, self.car, self.fragments, self.lists, value, self.heap, self.best, self.ends))
        return found if found > -NO_MORE else -np.inf

    def gather(self, value: Array, fixed: float, limit: float, *, whole: bool) -> bool:
        return bool(
            gather(
                self.t, self.car, self.fragments, self.lists, value, fixed, limit, whole, self.ends, self.heap,
                self.labels,
            )
        )  # fmt: skip

    def list_all(self, value: Array, fixed: float, limit: float) -> list[Array] | None:
        """Every route of reduced cost below `limit`, the cheapest of each set of tasks; None: too many.

        Beginnings that no other makes superfluous tell, for each stop and time, what a beginning costs at least; with
        that bound, whole routes are listed from the end of the day.
        """
        least = self.least(value) + fixed
        if least >= limit:
            return []
        if least == -np.inf:
            return None
        if not self.gather(value, fixed, limit, whole=False):
            return None
        t, f = _backward(self.t, self.fragments)
        ends = self._beginnings(fixed)
        lists = _lists(t, f, np.sort(self.lists.of_first))
        labels, heap = _labels(t, MOST_LISTED, MOST_ROUTES), _ends(t, MOST_LISTED)[0]
        if not gather(t, self.car, f, lists, value, fixed, limit, True, ends, heap, labels):
            return None
        return _sequences(labels, self.fragments, None, backward=True)

    def _beginnings(self, fixed: float) -> Ends:
        """What the labels gathered last say of the cost up to each stop, in the form and times of `_backward`."""
        t, labels = self.t, self.labels
        n, used, car = len(t.stops), int(labels.used[0]), t.cars[self.car]
        node, cost = labels.node[:used], labels.cost[:used] - fixed  # which the other end counts
        ready = labels.time[:used] + t.stops["service"][node]
        leaves = t.stops["early"][car["start"]] + t.stops["service"][car["start"]]
        times, costs, at = [], [], np.zeros(2 * n + 1, np.int64)
        for place in range(2 * n):
            stop = place % n
            if place < n:  # before a first stop, with the drive to it
                when = np.append(ready + t.travel[node, stop], leaves + t.travel[car["start"], stop])
                what = np.append(cost + t.cost[self.rate, node, stop], t.cost[self.rate, car["start"], stop])
            else:  # at a last stop, its fragment included
                here = node == stop
                when, what = labels.time[:used][here], cost[here]
            order = np.argsort(when, kind="stable")
            least = np.minimum.accumulate(what[order]) if len(order) else what
            kept = np.ones(len(least), bool)
            kept[1:] = least[1:] < least[:-1]
            times.append(-when[order][kept])
            costs.append(least[kept])
            at[place + 1] = at[place] + kept.sum()
        empty = np.zeros(0, np.int32)
        return Ends(
            np.zeros(1, np.int64), empty, np.concatenate(times), np.zeros(0), at,
            np.ascontiguousarray(np.concatenate(times)), np.concatenate(costs),
        )  # fmt: skip

    def routes(self, most: int) -> list[Array]:
        """Node sequences of the routes gathered last, the most negative ones first."""
        return _sequences(self.labels, self.fragments, most, backward=False)


def _sequences(labels: Labels, f: Fragments, most: int | None, *, backward: bool) -> list[Array]:
    count = int(labels.used[1])
    order = np.argsort(labels.value[:count], kind="stable")[:most]
    seen: set[bytes] = set()
    out = []
    for label in labels.route[:count][order]:
        tasks = labels.done[label].tobytes()
        if tasks in seen:
            continue
        seen.add(tasks)
        rows = []
        while label >= 0:
            rows.append(labels.row[label])
            label = labels.parent[label]
        out.append(
            np.concatenate([f.node[f.begin[row] : f.begin[row + 1]] for row in (rows if backward else rows[::-1])])
        )
    return out


def all_fragments(t: Tasks, car: int, steps: int, room: int = MOST_FRAGMENTS) -> tuple[Fragments, int]:
    """Every fragment for a vehicle, and how many; below 0: more than there is room for, or more steps than `steps`."""
    m, time = len(t.jobs), t.travel.dtype
    leaves = t.stops["early"] + t.stops["service"]
    follows = leaves[:, None] + t.travel <= t.stops["late"][None, :] + t.rule["slack"][0]
    follows &= (t.stops["role"] != 0)[:, None] & (t.stops["role"] != 0)[None, :]
    np.fill_diagonal(follows, False)
    first = np.concatenate([[0], np.cumsum(follows.sum(axis=1))])
    follow = np.nonzero(follows)[1].astype(np.int32)
    w = 2 * m + 2
    trail = Trail(
        np.zeros(w, np.int32), np.zeros(w, np.int32), np.zeros(w, np.int64), np.zeros((w, w), time),
        np.zeros(w, time), np.zeros(m, np.int32), np.zeros(m, np.int32), np.zeros(m + 1, np.int32), np.zeros(w, time),
        np.zeros(m + 1, time), np.zeros(m + 1, time), np.zeros(m + 1, np.int32),
    )  # fmt: skip
    fragments = Fragments(
        np.zeros(room, np.int32), np.zeros(room, np.int32), np.zeros(room, time), np.zeros(room, time),
        np.zeros(room, time), np.zeros(room), np.zeros((room, (m + 63) // 64), np.uint64),
        np.zeros(room + 1, np.int64), np.zeros(room * 24, np.int32), np.zeros(room, np.int32),
        np.full(1 << 20, -1, np.int32), np.zeros(room, np.uint8),
    )  # fmt: skip
    name = empty_pool(t, 1).name
    count, left = 0, np.array([steps])
    for stop in t.jobs["pickup"]:
        count = enumerate_from(t, car, int(stop), first, follow, trail, name, fragments, count, left)
        if count < 0:
            break
    return fragments, int(count)


def _lists(t: Tasks, f: Fragments, alive: Array) -> Lists:
    n = len(t.stops)
    first, last = f.first[alive], f.last[alive]
    latest = np.full(n, np.iinfo(np.int32).min, t.travel.dtype)
    np.maximum.at(latest, first, f.late[alive])
    return Lists(
        np.searchsorted(np.sort(first), np.arange(n + 1)),
        alive[np.argsort(first, kind="stable")],
        np.searchsorted(np.sort(last), np.arange(n + 1)),
        alive[np.argsort(last, kind="stable")],
        latest,
    )


def _backward(t: Tasks, f: Fragments) -> tuple[Tasks, Fragments]:
    """The same problem with time running backward: chains from the end of the day to its start.

    A fragment entered by time `late` that ends at max(early, t + span) is, backward, entered by -early and ends at
    max(-late, t + span). Service comes with the drive.
    """
    stops, jobs, cars = t.stops.copy(), t.jobs.copy(), t.cars.copy()
    stops["early"], stops["late"], stops["service"] = -t.stops["late"], -t.stops["early"], 0
    jobs["pickup"], jobs["delivery"] = t.jobs["delivery"], t.jobs["pickup"]
    cars["start"], cars["end"] = t.cars["end"], t.cars["start"]
    travel = np.ascontiguousarray((t.travel + t.stops["service"][:, None]).T)
    cost = np.ascontiguousarray(t.cost.transpose(0, 2, 1))
    back = t._replace(stops=stops, jobs=jobs, cars=cars, travel=travel, cost=cost)
    return back, f._replace(first=f.last, last=f.first, early=-f.late, late=-f.early)


def _ends(t: Tasks, room: int) -> tuple[Heap, Ends]:
    time, n = t.travel.dtype, len(t.stops)
    heap = Heap(np.zeros(1, np.int64), np.zeros(room, time), np.zeros(room, np.int32))
    return heap, Ends(
        np.zeros(1, np.int64), np.zeros(room, np.int32), np.zeros(room, time), np.zeros(room),
        np.zeros(2 * n + 1, np.int64), np.zeros(room, time), np.zeros(room),
    )  # fmt: skip


def _labels(t: Tasks, labels: int, routes: int) -> Labels:
    m, n, time = len(t.jobs), len(t.stops), t.travel.dtype
    words = (m + 63) // 64
    return Labels(
        np.zeros(2, np.int64), np.zeros(labels, np.int32), np.zeros(labels, np.int32), np.zeros(labels, time),
        np.zeros(labels), np.zeros((labels, words), np.uint64), np.zeros((labels, words), np.uint64),
        np.zeros((labels, words), np.uint64), np.zeros(labels, np.int32), np.zeros(labels, np.int32),
        np.zeros(n + (1 << 18), np.int32), np.zeros(labels, np.uint8), np.zeros(routes, np.int32), np.zeros(routes),
    )  # fmt: skip


@dataclass
class _Duals:
    """What tasks and classes of vehicles are worth, and the bound that follows from it."""

    worth: Array  # (m,)
    fleet: Array  # (kinds,) at most 0


class Relaxation:
    """All routes of a problem, of which the pool holds those the relaxation has asked for. `usable` is False where a
    class has more than `most` fragments, or they are not listed in so many steps."""

    def __init__(self, tasks: Tasks, left: Callable[[], float], steps: int, most: int) -> None:
        self.exact, self.left = tasks, left
        cars = self.exact.cars.copy()
        cars["duration"] = NO_LIMIT
        self.t = self.exact._replace(cars=cars)
        self.fleet = np.bincount(cars["kind"])
        _, firsts = np.unique(cars["kind"], return_index=True)
        self.classes: list[Chains] = []
        self.usable, self.bound = False, -np.inf
        shared: dict[tuple[bytes, bytes, int], tuple[Fragments, int]] = {}
        for k in firsts:
            alike = self.t.fits[cars["kind"][k]].tobytes(), self.t.may[:, k].tobytes(), int(cars["rate"][k])
            if alike not in shared:
                shared[alike] = all_fragments(self.t, int(k), steps, most)
                if shared[alike][1] < 0:
                    return
            self.classes.append(Chains(self.t, int(k), shared[alike]))
        self.usable = True
        self.pool = empty_pool(self.t, MOST_ROUTES + 80_000)
        self.work = working_space(self.t, 1)
        self.lone: dict[int, tuple[Tasks, Routes]] = {}
        for k in firsts:
            one = self.t._replace(cars=cars[k : k + 1].copy(), may=np.ascontiguousarray(self.t.may[:, k : k + 1]))
            self.lone[int(cars["kind"][k])] = one, empty_routes(one)
        self.master = Master(self.t, self.pool)

    def take(self, pool: Pool) -> None:
        """Routes to begin with."""
        for kind, (one, routes) in self.lone.items():
            pour(one, routes, self.work, kind, pool, self.pool)

    def give(self, pool: Pool) -> None:
        """Routes that keep every limit, durations too, for another pool."""
        for kind, (one, routes) in self.lone.items():
            cars = self.exact.cars[self.exact.cars["kind"] == kind][:1].copy()
            pour(one._replace(cars=cars), routes, self.work, kind, self.pool, pool)

    def into_pool(self, kind: int, nodes: Sequence[int] | Array) -> int:
        one, routes = self.lone[kind]
        routes.rows["node"][0, 1 : len(nodes) + 1] = nodes
        routes.rows["node"][0, len(nodes) + 1] = one.cars["end"][0]
        routes.heads["count"][0] = len(nodes) + 2
        settle(one, routes, 0, self.work)
        return int(remember(one, routes, 0, self.pool))

    def _price(self, at: _Duals) -> tuple[float, list[tuple[int, Array]]]:
        """The bound at these duals, and routes of negative reduced cost."""
        bound, found = float(at.worth.sum() + self.fleet @ at.fleet), []
        for group in self.classes:
            value, mu = group.values(at.worth), float(at.fleet[group.kind])
            fixed = float(self.t.cars["fixed"][group.car])
            relaxed = group.least(value) + fixed - mu
            if relaxed == -np.inf:
                bound = -np.inf
                continue
            complete = group.gather(value, fixed - mu, -SAFE, whole=False)
            routes = group.routes(ROUND)
            found += [(group.kind, route) for route in routes]
            least = min(float(group.labels.value[: group.labels.used[1]].min(initial=0.0)), -SAFE)
            bound += self.fleet[group.kind] * (least if complete else min(relaxed, 0.0))
        return bound, found

    def relax(self) -> None:
        """Raise `bound` to the value of the relaxation over all routes, or to the best bound when time is over.

        Duals are smoothed toward those of the best bound so far (Wentges 1997): what HiGHS gives swings widely.
        """
        m = self.t.jobs.shape[0]
        best, centre, smooth = -np.inf, None, SMOOTH
        while True:
            value = self.master.relax()
            dual = self.master.dual
            out = _Duals(np.maximum(dual[:m], 0.0), np.minimum(dual[m:], 0.0))
            at = out
            if centre is not None and smooth > 0.0:
                at = _Duals(
                    smooth * centre.worth + (1 - smooth) * out.worth, smooth * centre.fleet + (1 - smooth) * out.fleet
                )
            bound, found = self._price(at)
            if centre is None or bound > best:
                best, centre = bound, at
            if self.left() <= 0.0 or value - best < CLOSE * max(1.0, abs(value)):
                break
            before = self.pool.used[0]
            for kind, route in found:
                self.into_pool(kind, route)
            if self.pool.used[0] > before:
                smooth = SMOOTH
            elif at is out:
                break  # nothing new at the true duals
            else:
                smooth = 0.0 if smooth < 0.2 else smooth / 2
        self.bound, self.centre = best, centre
        self.master.dual = np.concatenate([centre.worth, centre.fleet])  # what the bound holds for
