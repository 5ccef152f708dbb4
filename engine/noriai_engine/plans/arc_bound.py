"""A lower bound from the arcs of the network, where there are too many routes to price: two-index relaxation and cuts.

Every stop is left once and reached once over drives that some schedule could contain (Dumas, Desrosiers & Soumis 1991;
Cordeau 2006), its task or its price. Cuts: whatever leads from a pickup to its delivery, from a depot to a pickup, from
a delivery to a depot must be crossed (precedence and subtours; Balas, Fischetti & Pulleyblank 1995), separated exactly
by maximum flows; drives are followed by some that go with them (forks; Ropke, Cordeau & Laporte 2007). What is left out
(comfort, batteries, route duration, links) only lowers it.

The bound is worked out from the duals by weak duality, so that it holds whatever the LP solver rounds.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from noriai_engine.plans.kernels.arrays import Array
from noriai_engine.plans.problem import NO_LIMIT, Problem, tightened

SCALE = 1_000_000
VIOLATED = 0.02
MOST_CUTS = 150
SAFE = 1e-6  # what sums of floating-point products may be wrong by, as a share


class ArcBound:
    """Variables: arcs between stops (a,), leaving a depot to a stop (n,), back from one (n,), tasks left out (m,)."""

    def __init__(self, problem: Problem) -> None:
        import highspy

        self.p = problem
        self.stop, place = np.unique(np.concatenate([problem.pickup, problem.delivery]), return_inverse=True)
        self.n, self.m = len(self.stop), problem.count
        self.on, self.off = place[: self.m], place[self.m :]
        self.task = np.empty(self.n, int)
        self.task[self.on], self.task[self.off] = np.arange(self.m), np.arange(self.m)
        self.ways = _Ways(problem, self.stop, self.on, self.off)
        self.tail, self.head = np.nonzero(self.ways.two)
        self.bound = -np.inf
        a, n, m = len(self.tail), self.n, self.m
        self.leave, self.back, self.out = a + np.arange(n), a + n + np.arange(n), a + 2 * n + np.arange(m)
        cost = problem.cost.min(axis=0)
        first = np.array([cost[np.unique(problem.start), s].min() for s in self.stop]) + problem.fixed.min()
        last = np.array([cost[s, np.unique(problem.end)].min() for s in self.stop])
        price = np.where(np.isfinite(problem.price), problem.price, 0.0)
        self.cost = np.concatenate([cost[self.stop[self.tail], self.stop[self.head]], first, last, price])
        self.upper = np.ones(len(self.cost))
        self.upper[self.out[~np.isfinite(problem.price)]] = 0.0
        lone = self.on == self.off
        self.upper[self.leave[np.setdiff1d(self.off, self.on[lone])]] = 0.0
        self.upper[self.back[np.setdiff1d(self.on, self.off[lone])]] = 0.0
        self.arc = np.full((self.n, self.n), -1)
        self.arc[self.tail, self.head] = np.arange(a)
        self.rows: list[tuple[Array, Array, float, float]] = []
        self.highs: Any = highspy.Highs()
        self.highs.setOptionValue("output_flag", False)
        self.highs.setOptionValue("threads", 1)
        self.highs.addVars(len(self.cost), np.zeros(len(self.cost)), self.upper)
        self.highs.changeColsCost(len(self.cost), np.arange(len(self.cost), dtype=np.int32), self.cost)
        for s in range(n):
            self._add(
                np.concatenate([np.flatnonzero(self.tail == s), [self.back[s], self.out[self.task[s]]]]), 1.0, 1.0
            )
            self._add(
                np.concatenate([np.flatnonzero(self.head == s), [self.leave[s], self.out[self.task[s]]]]), 1.0, 1.0
            )
        self._add(self.leave, 0.0, float(len(problem.kind)))

    def _add(self, columns: Array, lower: float, upper: float, weights: Array | None = None) -> None:
        columns = np.asarray(columns, np.int32)
        weights = np.ones(len(columns)) if weights is None else weights
        self.rows.append((columns, weights, lower, upper))
        self.highs.addRow(lower, upper, len(columns), columns, weights)

    def rise(self, left: Callable[[], float]) -> None:
        """Add cuts until there are none, or nothing of the time is left."""
        while left() > 0.0:
            self.highs.setOptionValue("time_limit", self.highs.getRunTime() + max(left(), 0.01))
            self.highs.run()
            solution = self.highs.getSolution()
            if not solution.dual_valid:
                return
            self.bound = max(self.bound, self._from_duals(np.array(solution.row_dual)))
            value = np.clip(np.array(solution.col_value), 0.0, 1.0)
            cuts, forks = self._cuts(value, left), self._forks(value, left)
            for _, columns in sorted(cuts, key=lambda cut: cut[0])[:MOST_CUTS]:
                self._add(columns, 1.0, np.inf)
            for _, columns, weights in sorted(forks, key=lambda cut: cut[0])[:MOST_CUTS]:
                self._add(columns, 0.0, np.inf, weights)
            if not cuts and not forks:
                return

    def _from_duals(self, dual: Array) -> float:
        """Weak duality: what the rows are worth, less what columns of negative reduced cost may save."""
        reduced, worth = self.cost.copy(), 0.0
        for (columns, weights, lower, upper), y in zip(self.rows, dual.tolist(), strict=True):
            if y == 0.0 or (y < 0.0 and not np.isfinite(upper)):
                continue
            worth += y * (lower if y > 0.0 else upper)
            reduced[columns] -= y * weights
        bound = worth + float((np.minimum(reduced, 0.0) * self.upper).sum())
        return bound - SAFE * max(1.0, abs(bound))

    # --- cuts -----------------------------------------------------------------------------------------------

    def _cuts(self, value: Array, left: Callable[[], float]) -> list[tuple[float, Array]]:
        """Violated cuts, each once: (value, columns whose sum is 1 at least)."""
        from scipy.sparse import csr_matrix

        a, n = len(self.tail), self.n
        flow = np.rint(SCALE * value).astype(np.int32)
        inside, entering, leaving = flow[:a], flow[self.leave], flow[self.back]
        used = np.flatnonzero(inside)
        depot = np.full(n, n)
        tail = np.concatenate([self.tail[used], depot[entering > 0], np.flatnonzero(leaving)])
        head = np.concatenate([self.head[used], np.flatnonzero(entering), depot[leaving > 0] + 1])
        size = np.concatenate([inside[used], entering[entering > 0], leaving[leaving > 0]])
        whole = csr_matrix((size, (tail, head)), shape=(n + 2, n + 2))
        among = csr_matrix((inside[used], (self.tail[used], self.head[used])), shape=(n + 2, n + 2))
        found: dict[bytes, tuple[float, Array]] = {}
        for task in range(self.m):
            if left() <= 0.0:
                break
            on, off = int(self.on[task]), int(self.off[task])
            asked = [(whole, n, on), (whole, off, n + 1)] + ([(among, on, off)] if on != off else [])
            for graph, source, sink in asked:
                inner = _cut(graph, source, sink, SCALE - int(flow[self.out[task]]))
                if inner is None:
                    continue
                columns = self._crossing(inner, task, depots=graph is whole)
                total = float(value[columns].sum())
                if total < 1.0 - VIOLATED:
                    found.setdefault(columns.tobytes(), (total, columns))
        return list(found.values())

    def _forks(self, value: Array, left: Callable[[], float]) -> list[tuple[float, Array, Array]]:
        """Violated forks: (value, columns, weights). At a stop, those who come by some of the ways leave by ways that
        go with one of these; which ways are short of that is told by a maximum flow from the ways in to those out."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import maximum_flow

        found, n = [], self.n
        for stop in range(n):
            if left() <= 0.0:
                break
            inside = self._into(stop)
            used = inside[value[inside] > 1e-4]
            ways, size = self._onward(stop, used), np.rint(SCALE * value[used]).astype(np.int32)
            outside = np.concatenate([self.arc[stop], [self.back[stop]]])
            there = np.flatnonzero((outside >= 0) & (value[outside] > 1e-4) & ways.any(axis=0))
            rows, columns = np.nonzero(ways[:, there])
            k, source, sink = len(used), len(used) + len(there), len(used) + len(there) + 1
            graph = csr_matrix(
                (
                    np.concatenate([size, size[rows], np.rint(SCALE * value[outside[there]]).astype(np.int32)]),
                    (
                        np.concatenate([np.full(k, source), rows, k + np.arange(len(there))]),
                        np.concatenate([np.arange(k), k + columns, np.full(len(there), sink)]),
                    ),
                ),
                shape=(sink + 1, sink + 1),
            )
            flow = maximum_flow(graph, source, sink)
            if flow.flow_value >= size.sum() - VIOLATED * SCALE:
                continue
            short = _reached(graph, flow.flow, source)[:k]
            needed = ways[short].any(axis=0)
            all_in = inside[~(self._onward(stop, inside) & ~needed).any(axis=1)]  # who needs no other way
            leaving = outside[needed & (outside >= 0)]
            total = float(value[leaving].sum() - value[all_in].sum())
            if total < -VIOLATED:
                weights = np.concatenate([np.full(len(all_in), -1.0), np.ones(len(leaving))])
                found.append((total, np.concatenate([all_in, leaving]).astype(np.int32), weights))
        return found

    def _into(self, stop: int) -> Array:
        """Columns of the ways that lead to a stop; the last is from a depot, where that may be."""
        arcs = self.arc[:, stop]
        depot = [] if self.upper[self.leave[stop]] == 0.0 else [self.leave[stop]]
        return np.concatenate([arcs[arcs >= 0], np.array(depot, int)])

    def _onward(self, stop: int, inside: Array) -> Array:
        """(ways, n + 1) which stop, or at last the depot, may follow each way that leads to a stop."""
        ways, n = self.ways, self.n
        out = np.zeros((len(inside), n + 1), bool)
        arcs = np.flatnonzero(inside < len(self.tail))
        before, after = np.repeat(self.tail[inside[arcs]], n), np.tile(np.arange(n), len(arcs))
        out[arcs, :n] = ways.three(before, np.full(len(before), stop), after).reshape(len(arcs), n)
        tail = self.tail[inside[arcs]]
        out[arcs, n] = ~ways.is_on[tail] | (ways.other[tail] == stop)  # nobody else is aboard for sure
        for row in np.flatnonzero(inside >= len(self.tail)):  # from a depot: nobody was aboard
            out[row, :n] = ways.two[stop] & (~ways.is_off | (ways.other == stop))
            out[row, n] = not ways.is_on[stop]
        return out

    def _crossing(self, inner: Array, task: int, *, depots: bool) -> Array:
        """Columns of the arcs that leave a set of nodes (n + 2,), and of the task left out."""
        n = self.n
        columns = [np.flatnonzero(inner[self.tail] & ~inner[self.head])]
        if depots:
            columns += [self.leave[~inner[:n]]] if inner[n] else []
            columns += [self.back[inner[:n]]] if not inner[n + 1] else []
        return np.concatenate([*columns, [self.out[task]]]).astype(np.int32)


def _cut(graph: Any, source: int, sink: int, wanted: int) -> Array | None:
    """The source's side (nodes,) of a least cut, None where as much as wanted flows."""
    from scipy.sparse.csgraph import maximum_flow

    found = maximum_flow(graph, source, sink)
    return None if found.flow_value >= wanted - VIOLATED * SCALE else _reached(graph, found.flow, source)


def _reached(graph: Any, flow: Any, source: int) -> Array:
    """(nodes,) what more could flow to."""
    from scipy.sparse.csgraph import breadth_first_order

    rest = graph - flow
    rest.data[rest.data < 0] = 0
    rest.eliminate_zeros()
    inner = np.zeros(graph.shape[0], bool)
    inner[breadth_first_order(rest, source, return_predecessors=False)] = True
    return inner


class _Ways:
    """Which stops may follow each other at once in some route of a lawful plan: two (n, n), and three. Judged by what
    their tasks need, whatever else is in the route."""

    def __init__(self, problem: Problem, stop: Array, on: Array, off: Array) -> None:
        m = len(on)
        travel, service = problem.travel.astype(np.float64), problem.service.astype(np.float64)
        span = np.minimum(problem.max_ride.astype(np.float64) + service[problem.pickup], NO_LIMIT)
        self.early, self.late = (x[stop].astype(np.float64) for x in tightened(problem, travel, span))
        self.drive, self.stay = _closure(travel[np.ix_(stop, stop)]), service[stop]
        self.slack = 1e-6 * max(1.0, float(np.abs(self.late).max()))
        self.most = problem.max_ride.astype(np.float64) + self.slack
        self.other = np.empty(len(stop), int)  # the other end of its task
        self.other[on], self.other[off] = off, on
        self.task, self.is_on, self.is_off = (np.zeros(len(stop), kind) for kind in (int, bool, bool))
        self.task[on], self.task[off] = np.arange(m), np.arange(m)
        self.is_on[on[on != off]], self.is_off[off[on != off]] = True, True
        self.two = self._two(problem, on, off)

    def _two(self, problem: Problem, on: Array, off: Array) -> Array:
        n, m = len(self.stay), len(on)
        one, other = np.arange(m)[:, None], np.arange(m)[None, :]
        p, d, q, e = on[one], off[one], on[other], off[other]
        possible, distinct = np.zeros((n, n), bool), one != other
        if problem.may is not None:
            distinct = distinct & ((problem.may.astype(int) @ problem.may.T.astype(int)) > 0)
        both = distinct & _together(problem)
        within = both & self._timely(p, q, e, d) & (self._length(p, q, e, d) <= self.most[one])
        across = both & self._timely(p, q, d, e) & (self._length(p, q, d) <= self.most[one])
        across &= self._length(q, d, e) <= self.most[other]
        for a, b, may in (
            (p, q, within | across), (p, e, across.T), (d, e, across | within.T),
            (d, q, distinct & self._timely(p, d, q, e)),
        ):  # fmt: skip
            possible[np.broadcast_to(a, (m, m))[may], np.broadcast_to(b, (m, m))[may]] = True
        possible[on[on != off], off[on != off]] = True
        return possible

    def _step(self, a: Array, b: Array) -> Array:
        """From the begin of service at a to the arrival at b; 0 to itself, a stop that is both ends of its task."""
        out: Array = np.where(a == b, 0.0, self.stay[a] + self.drive[a, b])
        return out

    def _length(self, *order: Array) -> Array:
        """From the end of service at the first stop to the arrival at the last."""
        out: Array = sum((self._step(a, b) for a, b in pairwise(order)), start=np.zeros(1)) - self.stay[order[0]]
        return out

    def _timely(self, *order: Array) -> Array:
        """Whether stops can be served in this order, the first as early as may be."""
        ready = self.early[order[0]]
        good: Array = np.ones(np.broadcast_shapes(*(stop.shape for stop in order)), bool)
        for a, b in pairwise(order):
            ready = np.maximum(self.early[b], ready + self._step(a, b))
            good &= ready <= self.late[b] + self.slack
        return good

    def three(self, a: Array, b: Array, c: Array) -> Array:
        """(k,) whether three stops may follow each other: who is set down there was picked up before, who is picked up
        there is set down after."""
        path = (a, b, c)
        good: Array = self.two[a, b] & self.two[b, c] & (a != c) & ~(self.is_off[a] & (self.other[a] == c))
        ready = self.early[a].copy()
        for k, x in enumerate(path):
            before = self.other[x]
            open_ = self.is_off[x] & ~_among(before, path[:k])
            start = self.early[before] + self._step(before, a)
            ready = np.where(open_, np.maximum(ready, start), ready)
            good &= ~open_ | (self._length(before, *path[: k + 1]) <= self.most[self.task[x]])
        good &= ready <= self.late[a] + self.slack
        for x, y in pairwise(path):
            ready = np.maximum(self.early[y], ready + self._step(x, y))
            good &= ready <= self.late[y] + self.slack
        for k, x in enumerate(path):
            after = self.other[x]
            open_ = self.is_on[x] & ~_among(after, path[k + 1 :])
            good &= ~open_ | (ready + self._step(c, after) <= self.late[after] + self.slack)
            good &= ~open_ | (self._length(*path[k:], after) <= self.most[self.task[x]])
        for k, i in combinations(range(3), 2):
            good &= self._both_set_down(path, k, i) & self._both_picked_up(path, k, i)
        return good

    def _both_set_down(self, path: tuple[Array, ...], k: int, i: int) -> Array:
        """Where two of the path are picked up there and set down behind it: whether that may be in one order."""
        x, y = path[k], path[i]
        d, e = self.other[x], self.other[y]
        both = self.is_on[x] & self.is_on[y] & ~_among(d, path) & ~_among(e, path)
        far = (self._length(*path[i:], d, e) <= self.most[self.task[y]]) & self._timely(*path, d, e)
        near = (self._length(*path[k:], e, d) <= self.most[self.task[x]]) & self._timely(*path, e, d)
        return ~both | far | near

    def _both_picked_up(self, path: tuple[Array, ...], k: int, i: int) -> Array:
        """Where two of the path are set down there and were picked up before it: whether that may be in one order."""
        x, y = path[k], path[i]
        p, q = self.other[x], self.other[y]
        both = self.is_off[x] & self.is_off[y] & ~_among(p, path) & ~_among(q, path)
        far = (self._length(p, q, *path[: k + 1]) <= self.most[self.task[x]]) & self._timely(p, q, *path)
        near = (self._length(q, p, *path[: i + 1]) <= self.most[self.task[y]]) & self._timely(q, p, *path)
        return ~both | far | near


def _among(stop: Array, others: Sequence[Array]) -> Array:
    out = np.zeros(len(stop), bool)
    for other in others:
        out |= stop == other
    return out


def _together(problem: Problem) -> Array:
    """(m, m) whether two tasks may be aboard at once."""
    both = problem.demand[:, None, :] + problem.demand[None, :, :]
    fits = np.zeros(both.shape[:2], bool)
    for layouts in problem.layouts:
        for layout in np.atleast_2d(layouts):
            fits |= (both <= layout).all(axis=2)
    for a, b in problem.apart:
        fits[a, b] = fits[b, a] = False
    alone = problem.pickup == problem.delivery
    fits[alone, :] = fits[:, alone] = False
    return fits


def _closure(travel: Array) -> Array:
    """Least times between stops by way of others: matrices of files need not keep the triangle inequality."""
    out: Array = travel.copy()
    for k in range(len(out)):
        np.minimum(out, out[:, k : k + 1] + out[k : k + 1, :], out=out)
    return out
