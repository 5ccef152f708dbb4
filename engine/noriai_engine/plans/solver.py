"""The optimiser: from a problem to the best plan found in the time given (ruin, recreate, recombine).

Slack induction by string removals (Christiaens & Vanden Berghe 2020) with removals of tasks alike (Shaw 1998) and
regret insertion, accepted by simulated annealing; routes met on the way are recombined by set partitioning (Gschwind &
Drexl 2019). Where fewer vehicles come first, a fleet phase goes before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.plans.kernels.anneal import load_routes, rows_of, search, take_over
from noriai_engine.plans.kernels.arrays import Moves, Pool, Routes, Tasks
from noriai_engine.plans.kernels.pricing import collect, load_row
from noriai_engine.plans.partition import Master
from noriai_engine.plans.problem import Array, Problem, tasks_of
from noriai_engine.plans.state import empty_memo, empty_pool, empty_routes, working_space

Progress = Callable[[float, int, float], None]
"""Called with the share done, tasks left out and the cost of the best so far; may raise to stop the search."""

NONE = 1e300
"""Cost of no solution at all; finite, so that differences stay numbers."""


class StopSearch(Exception):  # noqa: N818 - a signal, no error
    """Raised by `progress`: end now and give back the best found."""


@dataclass(frozen=True)
class SolveParams:
    """Budget and habits of the search. Give `seconds` (of the clock that is passed in) or `iterations`, or both."""

    seconds: float | None = 10.0
    iterations: int | None = None
    seed: int = 1
    hot: float = 0.3
    """First temperature, in mean drive costs."""
    cold: float = 0.08
    """Last temperature."""
    moves: Moves = field(
        default_factory=lambda: Moves(
            strings=0.6, mean=12.0, longest=10.0, kin=20.0, power=3.0, regret=0.15, noise=0.3, blink=0.01
        )
    )
    anneal_share: float = 0.4
    """Share of the budget for annealing from hot to cold; the rest recombines, dives and anneals a little."""
    dives: int = 3
    """Starts from the relaxation after each recombination."""
    quench_share: float = 0.02
    """Share of the budget for annealing after each dive."""
    recombine_share: float = 0.03
    """Most of the budget that one recombination may take."""
    price_share: float = 0.04
    """Most of the budget that the pricing of new routes may take each time."""
    price_iterations: int = 300
    """Variations of each route in use, each time."""
    price_heat: float = 0.2
    """Temperature of the pricing, in mean drive costs."""
    fleet_share: float = 0.5
    """Most of the budget for the fleet phase, where fewer vehicles come first."""

    def __post_init__(self) -> None:
        if self.seconds is None and self.iterations is None:
            raise InputError("neither seconds nor iterations", remedy="give the search a budget")
        if self.seconds is not None and self.seconds <= 0:
            raise InputError(f"{self.seconds} seconds", remedy="give more than 0 seconds")
        if self.iterations is not None and self.iterations < 1:
            raise InputError(f"{self.iterations} iterations", remedy="give at least 1")


@dataclass(frozen=True)
class Solution:
    """Routes as node indices without depots, one for each vehicle (empty: it stays at home), and what is left out."""

    routes: tuple[tuple[int, ...], ...]
    start: tuple[tuple[float, ...], ...]
    """Start of service at each stop, in the problem's unit."""
    absent: tuple[int, ...]
    cost: float
    """Of the drives and vehicles; tasks left out are not in it."""
    iterations: int

    @property
    def vehicles(self) -> int:
        return sum(1 for route in self.routes if route)


def solve(
    problem: Problem,
    params: SolveParams,
    clock: Callable[[], float],
    *,
    begin_with: Sequence[Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """The best plan found in the budget; a valid one whenever it stops.

    `begin_with` are routes of a given plan (node indices, one list a vehicle): tasks that `problem.held` names stay in
    them, in that order. Raises InputError where they break a limit.
    """
    run = _Run(problem, params, clock, progress)
    run.begin(begin_with)
    try:
        if problem.fewest_vehicles:
            run.reduce_fleet()
        run.anneal()
    except (StopSearch, KeyboardInterrupt):
        pass  # what was best when the last call of the kernel ended is whole
    return run.solution()


class _Run:
    """One search: its arrays and its budget."""

    def __init__(
        self, problem: Problem, params: SolveParams, clock: Callable[[], float], progress: Progress | None
    ) -> None:
        self.problem, self.params, self.clock, self.progress = problem, params, clock, progress
        self.tasks = tasks_of(problem)
        self.work = working_space(self.tasks, params.seed)
        self.costs = np.array([NONE, NONE])
        self.missed = np.ones(problem.count, np.int64)
        self.iterations = 0
        self.chunk = 20
        self.master: Master | None = None
        self.chance = np.random.default_rng(params.seed)
        self.began = clock()
        self.pool: Pool = empty_pool(self.tasks)
        self._arrays(self.tasks)

    def _arrays(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.routes, self.old, self.best = empty_routes(tasks), empty_routes(tasks), empty_routes(tasks)
        self.memo = empty_memo(tasks)

    def begin(self, given: Sequence[Sequence[int]] | None) -> None:
        if given is not None:
            if len(given) > len(self.tasks.cars):
                raise InputError(
                    f"{len(given)} routes for {len(self.tasks.cars)} vehicles", remedy="give one route a vehicle"
                )
            for k, route in enumerate(given):
                _write_route(self.tasks, self.routes, k, route)
        self._load(self.routes)
        self.costs[:] = NONE
        self._search(1, 0.0)  # from here on there is a best one

    def _load(self, routes: Routes) -> None:
        """Settle the sequences in self.routes."""
        if not load_routes(self.tasks, routes, self.work):
            raise InputError("a given route breaks a limit", remedy="check it first; give a plan that can be kept")

    def _search(self, iterations: int, heat: float, shrink: bool = False) -> int:
        return search(
            self.tasks, self.routes, self.old, self.best, self.memo, self.pool, self.work, self.params.moves,
            self.costs, self.missed, iterations, heat, shrink,
        )  # fmt: skip

    def done(self) -> float:
        """Share of the budget used, 1 and more: over."""
        share = 0.0
        if self.params.seconds is not None:
            share = (self.clock() - self.began) / self.params.seconds
        if self.params.iterations is not None:
            share = max(share, self.iterations / self.params.iterations)
        return share

    def _step(self) -> int:
        """How many iterations to run before the budget is looked at again."""
        left = self.chunk if self.params.iterations is None else self.params.iterations - self.iterations
        return max(1, min(self.chunk, left))

    def _adapt(self, began: float) -> None:
        """Calls of some 20 ms where time is the budget; of fixed length where only iterations are."""
        if self.params.seconds is None:
            self.chunk = 100
        else:
            took = self.clock() - began
            self.chunk = int(np.clip(self.chunk * 0.02 / max(took, 1e-4), 1, 2000))

    def _tell(self, share: float) -> None:
        if self.progress is not None:
            absent = int((self.best.home < 0).sum())
            self.progress(min(share, 1.0), absent, float(self.best.heads["cost"].sum()))

    def anneal(self) -> None:
        """Ruin and recreate from hot to cold; then recombine, dive and anneal a little, again and again."""
        p = self.params
        scale = float(np.mean(self.problem.cost))
        begin = self.done()
        end = begin + p.anneal_share * (1.0 - begin)
        self.cool(end, p.hot * scale, p.cold * scale)
        while self.done() < 1.0:
            self.recombine()
            for _ in range(p.dives):
                if self.done() < 1.0 and not self.tasks.jobs["held"].any():
                    self.dive()
                self.cool(min(1.0, self.done() + p.quench_share), p.cold * scale, 0.5 * p.cold * scale)

    def cool(self, end: float, hot: float, cold: float) -> None:
        """Ruin and recreate from one temperature to another until the share `end` of the budget is used."""
        begin = self.done()
        while (share := self.done()) < end:
            heat = hot * (cold / hot) ** ((share - begin) / (end - begin))
            began, steps = self.clock(), self._step()
            beaten = self._search(steps, heat)
            self.iterations += steps
            self._adapt(began)
            if beaten or self.progress is not None:
                self._tell(share)

    def recombine(self) -> None:
        """The best choice among all routes met and priced, where it beats the best; the search goes on there."""
        p = self.params
        seconds = None if p.seconds is None else p.seconds * p.recombine_share
        rows = np.full(len(self.tasks.cars), -1, np.int32)
        rows_of(self.tasks, self.best, self.pool, rows)
        if (rows[self.best.heads["count"] > 2] < 0).any():  # the pool is full: begin anew
            self.pool = empty_pool(self.tasks)
            rows_of(self.tasks, self.best, self.pool, rows)
        if self.master is None or self.master.t is not self.tasks or self.master.pool is not self.pool:
            self.master = Master(self.tasks, self.pool)
        self.price_routes(self.master, rows[rows >= 0])
        choice = self.master.choose(self.costs[1], rows[rows >= 0], seconds)
        if choice is not None:
            self._go_on_from(choice.rows)

    def dive(self) -> None:
        """Go on from routes that the relaxation likes; what they leave out is inserted by the search."""
        assert self.master is not None
        self._go_on_from(self.master.dive(self.chance))

    def _go_on_from(self, rows: Array) -> None:
        """Make pool routes the current solution; the best one is kept until it is beaten."""
        chosen = empty_routes(self.tasks)
        sequences = [self.pool.node[self.pool.first[row] : self.pool.first[row + 1]] for row in rows]
        home = [self._held_by(sequence) for sequence in sequences]
        free = [k for k in range(len(self.tasks.cars)) if k not in home]
        for row, sequence, k in zip(rows, sequences, home, strict=True):
            if k < 0:
                k = next((k for k in free if self.tasks.cars["kind"][k] == self.pool.kind[row]), -1)
                if k < 0:
                    continue  # within the relaxation's tolerance there may be a vehicle too many
                free.remove(k)
            _write_route(self.tasks, chosen, k, sequence)
        take_over(self.routes, chosen)
        self._load(self.routes)
        self.costs[0] = NONE
        self._search(1, 0.0)

    def price_routes(self, master: Master, known_rows: Array) -> None:
        """Find routes whose tasks are worth more than they cost in the relaxation, until its value stops falling."""
        p, t = self.params, self.tasks
        began, value = self.done(), master.relax()
        if t.jobs["held"].any():
            return
        kinds, firsts = np.unique(t.cars["kind"], return_index=True)
        lone = []
        for k in firsts:
            one = t._replace(cars=t.cars[k : k + 1].copy(), may=np.ascontiguousarray(t.may[:, k : k + 1]))
            lone.append((one, empty_routes(one), empty_routes(one), empty_memo(one)))
        work = working_space(t, p.seed + 7_919 * (1 + self.iterations))
        heat = p.price_heat * float(np.mean(self.problem.cost))
        stalled = 0
        while stalled < 2 and value < self.costs[1] - 1e-7:
            found = 0
            for row in np.union1d(master.in_use(), known_rows):
                kind = int(self.pool.kind[row])
                one, routes, old, memo = lone[int(np.searchsorted(kinds, kind))]
                worth = np.maximum(master.dual[: len(t.jobs)], 0.0)
                most = master.dual[len(t.jobs) + kind] + 0.3 * (self.costs[1] - value)
                load_row(one, routes, self.pool, row, work)
                found += collect(one, routes, old, memo, self.pool, work, worth, most, p.price_iterations, heat)
                if self.done() - began > p.price_share:
                    break
            lower = master.relax()
            stalled = stalled + 1 if value - lower < 2e-4 * (self.costs[1] - lower) else 0
            value = lower
            self._tell(self.done())
            if not found or self.done() - began > p.price_share:
                return

    def _held_by(self, sequence: Array) -> int:
        """The vehicle that tasks of this sequence must stay with, -1: any."""
        tasks = self.tasks.stops["task"][sequence]
        held = tasks[self.tasks.jobs["held"][tasks] != 0]
        return int(self.routes.home[held[0]]) if len(held) else -1

    def reduce_fleet(self) -> None:
        """Serve everything with as few vehicles as can be found in the fleet's share of the budget."""
        p = self.params
        self._tighten_to_used()
        scale = float(np.mean(self.problem.cost))
        while len(self.tasks.cars) > 1 and not (self.best.home < 0).any():
            saved = self.tasks, self.best, self.costs.copy()
            found = False
            try:
                self._drop_route()
                found = self.work.counts[0] == 0
                while not found and (share := self.done()) < p.fleet_share:
                    heat = scale * p.hot * (p.cold / p.hot) ** (share / p.fleet_share)
                    began, steps = self.clock(), self._step()
                    found = bool(self._search(steps, heat, shrink=True))
                    self.iterations += steps
                    self._adapt(began)
                    if self.progress is not None:
                        self.progress(share, 0, float(saved[1].heads["cost"].sum()))
            finally:
                if not found:  # also where the search is stopped here: the last whole plan is the result
                    tasks, best, costs = saved
                    self._arrays(tasks)
                    self.work = self.work._replace(dirty=np.zeros(len(tasks.cars), np.uint8))
                    take_over(self.routes, best)
                    self.best = best
                    self._load(self.routes)
                    self.costs[:] = costs[1]
                    self.pool = empty_pool(self.tasks)
            if not found:
                return
            self.costs[:] = NONE
            self._search(1, 0.0)

    def _tighten_to_used(self) -> None:
        """Leave out the vehicles that the first solution does not use."""
        used = [k for k in range(len(self.tasks.cars)) if self.best.heads["count"][k] > 2]
        if not used or (self.best.home < 0).any():
            return
        self._keep_vehicles([list(self.best.rows["node"][k, 1 : self.best.heads["count"][k] - 1]) for k in used])

    def _keep_vehicles(self, routes: list[list[int]]) -> None:
        v = len(routes)
        t = self.tasks
        self._arrays(t._replace(may=np.ascontiguousarray(t.may[:, :v]), cars=t.cars[:v].copy()))
        self.work = self.work._replace(dirty=np.zeros(v, np.uint8))
        for k, route in enumerate(routes):
            _write_route(self.tasks, self.routes, k, route)
        self._load(self.routes)
        self.costs[:] = NONE
        self._search(1, 0.0)

    def _drop_route(self) -> None:
        """Give up the route whose tasks were easiest to place so far."""
        t, r = self.tasks, self.best
        routes = [
            list(r.rows["node"][k, 1 : r.heads["count"][k] - 1]) for k in range(len(t.cars)) if r.heads["count"][k] > 2
        ]
        weight = [int(self.missed[t.stops["task"][route]].sum()) for route in routes]
        del routes[int(np.argmin(weight))]
        v = len(t.cars) - 1
        self._arrays(t._replace(may=np.ascontiguousarray(t.may[:, :v]), cars=t.cars[:v].copy()))
        self.work = self.work._replace(dirty=np.zeros(v, np.uint8))
        for k, route in enumerate(routes):
            _write_route(self.tasks, self.routes, k, route)
        self._load(self.routes)

    def solution(self) -> Solution:
        """The best solution with its times; halves of linked pairs that are served alone are left out too."""
        take_over(self.routes, self.best)
        self._load(self.routes)
        t, r = self.tasks, self.routes
        alone = np.flatnonzero((t.jobs["link"] >= 0) & (r.home >= 0) & (r.home[t.jobs["link"]] < 0))
        if len(alone):
            for k in set(r.home[alone].tolist()):
                stops = r.rows["node"][k, 1 : r.heads["count"][k] - 1]
                _write_route(t, r, k, stops[~np.isin(t.stops["task"][stops], alone)].copy())
            self._load(r)
        sizes = [int(size) for size in r.heads["count"]]
        return Solution(
            routes=tuple(tuple(int(x) for x in r.rows["node"][k, 1 : size - 1]) for k, size in enumerate(sizes)),
            start=tuple(tuple(x.item() for x in r.rows["first"][k, 1 : size - 1]) for k, size in enumerate(sizes)),
            absent=tuple(int(task) for task in np.flatnonzero(r.home < 0)),
            cost=float(r.heads["cost"].sum()),
            iterations=self.iterations,
        )


def _write_route(t: Tasks, r: Routes, k: int, route: Sequence[int] | Array) -> None:
    r.rows["node"][k, 0] = t.cars["start"][k]
    r.rows["node"][k, 1 : len(route) + 1] = route
    r.rows["node"][k, len(route) + 1] = t.cars["end"][k]
    r.heads["count"][k] = len(route) + 2
