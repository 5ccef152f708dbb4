"""One search of the optimiser: its arrays, its budget, and the best solution so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.plans.comfort import best_times
from noriai_engine.plans.kernels.anneal import keep_best, load_routes, search, take_over
from noriai_engine.plans.kernels.arrays import Array, Pool, Routes, Tasks
from noriai_engine.plans.kernels.recreate import leaves_halves, solution_cost
from noriai_engine.plans.params import FEW, MANY, SolveParams
from noriai_engine.plans.problem import Problem, tasks_of
from noriai_engine.plans.state import empty_memo, empty_pool, empty_routes, working_space

Progress = Callable[[float, int, float], None]
"""Called with the share done, tasks left out and the cost of the best so far; may raise to stop the search."""

CLOSE = 1e-6
"""A plan and its bound are equal: sums of floating-point costs and duals differ by less."""

PACE = 0.01
"""Share of a budget in seconds after which the pace of a search is known."""

RISE, RISE_FEW = 0.05, 0.1
"""Hot enough to begin with: where the cost of what is accepted lies so far above the best; and where the problem wants
the fewest vehicles, whose plans have deeper valleys between them."""
HOTTER, PROBE, PROBES = 1.3, 5, 0.05
"""The factor from one temperature to the next that is tried, iterations a task at each, and the most of the budget."""

NONE = 1e300
"""Cost of no solution at all; finite, so that differences stay numbers."""


@dataclass(frozen=True)
class Solution:
    """Routes as node indices without depots, one for each vehicle (empty: it stays at home), and what is left out."""

    routes: tuple[tuple[int, ...], ...]
    start: tuple[tuple[float, ...], ...]
    """Start of service at each stop, in the problem's unit."""
    absent: tuple[int, ...]
    cost: float
    """Of the drives and vehicles; tasks left out are not in it."""
    given_up: float
    """What riders give up, at the rates of the problem's comfort; 0 without one."""
    total: float
    """All of it, with the prices of what is left out; a price no plan would pay where a task must be served."""
    iterations: int
    bound: float | None
    """No plan costs less, prices of what is left out included; None: not looked for, or not found."""
    met: Pool = field(repr=False, compare=False)
    """Routes met on the way: where a proof begins."""

    @property
    def vehicles(self) -> int:
        return sum(1 for route in self.routes if route)

    @property
    def gap(self) -> float:
        """What a better plan could save at most, as a share of the total; inf where no bound is known."""
        return np.inf if self.bound is None else max(0.0, (self.total - self.bound) / max(self.total, 1e-9))

    @property
    def is_optimal(self) -> bool:
        return self.gap <= CLOSE


class Run:
    """One search over a problem. `vehicles` are the rows of the problem's vehicles still in use."""

    def __init__(
        self, problem: Problem, params: SolveParams, clock: Callable[[], float], progress: Progress | None
    ) -> None:
        self.problem, self.params, self.clock, self.progress = problem, params, clock, progress
        self.scale = float(np.mean(problem.cost)) or 1.0  # where everything is at one place nothing costs anything
        self.tasks = tasks_of(problem)
        self.vehicles = np.arange(len(self.tasks.cars))
        self.work = working_space(self.tasks, params.seed)
        self.costs = np.array([NONE, NONE])
        self.missed = np.ones(problem.count, np.int64)
        self.iterations = 0
        self.chunk = 20
        self.bound: float | None = None
        self.began = clock()
        self.pool: Pool = empty_pool(self.tasks)
        self.take_tasks(self.tasks)

    def take_tasks(self, tasks: Tasks) -> None:
        """Work on these from now on: empty routes."""
        self.tasks = tasks
        self.routes, self.old, self.best = empty_routes(tasks), empty_routes(tasks), empty_routes(tasks)
        self.memo = empty_memo(tasks)
        self.work = self.work._replace(dirty=np.zeros(len(tasks.cars), np.uint8))
        self.costs[:] = NONE

    def begin(self, given: Sequence[Sequence[int]] | None) -> None:
        """From a given plan, or from nothing. Raises InputError where it breaks a limit."""
        if given is not None:
            if len(given) > len(self.tasks.cars):
                raise InputError(
                    f"{len(given)} routes for {len(self.tasks.cars)} vehicles", remedy="give one route a vehicle"
                )
            for k, route in enumerate(given):
                write_route(self.tasks, self.routes, k, route)
        self.load()
        self.take_stock()
        if given is None:
            self.search(1, 0.0)

    def load(self) -> None:
        """Settle the sequences in self.routes."""
        if not load_routes(self.tasks, self.routes, self.work):
            raise InputError("a given route breaks a limit", remedy="check it first; give a plan that can be kept")

    def take_stock(self) -> None:
        """The current solution was put together by hand: its cost, and whether it is the best."""
        self.costs[0] = solution_cost(self.tasks, self.routes, self.work)
        if self.costs[0] < self.costs[1] and not leaves_halves(self.tasks, self.routes, self.work):
            self.costs[1] = self.costs[0]
            keep_best(self.routes, self.best)

    def search(self, iterations: int, heat: float, shrink: bool = False) -> int:
        """Iterations of ruin and recreate; see the kernel."""
        return search(
            self.tasks, self.routes, self.old, self.best, self.memo, self.pool, self.work, self.params.moves,
            self.costs, self.missed, iterations, heat, shrink,
        )  # fmt: skip

    def search_a_while(self, heat: float, shrink: bool = False) -> int:
        """As many iterations as fit between two looks at the budget."""
        began = self.clock()
        left = self.chunk if self.params.iterations is None else self.params.iterations - self.iterations
        steps = max(1, min(self.chunk, left))
        beaten = self.search(steps, heat, shrink)
        self.iterations += steps
        if self.params.seconds is None:
            self.chunk = 100
        else:  # calls of some 20 ms
            self.chunk = int(np.clip(self.chunk * 0.02 / max(self.clock() - began, 1e-4), 1, 2000))
        return beaten

    def done(self) -> float:
        """Share of the budget used, 1 and more: over."""
        share = 0.0
        if self.params.seconds is not None:
            share = (self.clock() - self.began) / self.params.seconds
        if self.params.iterations is not None:
            share = max(share, self.iterations / self.params.iterations)
        return share

    def tell(self, share: float) -> None:
        if self.progress is not None:
            absent = int((self.best.home < 0).sum())
            self.progress(min(share, 1.0), absent, float(self.best.heads["cost"].sum()))

    def cool(self, end: float, hot: float, cold: float) -> None:
        """Ruin and recreate from one temperature to another until the share `end` of the budget is used."""
        begin = self.done()
        while (share := self.done()) < end:
            heat = hot * (cold / hot) ** ((share - begin) / (end - begin))
            if self.search_a_while(heat) or self.progress is not None:
                self.tell(share)

    def first_heat(self, share: float) -> float:
        """Where to begin to cool in this share of what is left: the more iterations a task it has room for, the hotter.

        A search by time anneals a moment to see how many that are. How hot that is differs widely: where windows are
        narrow and vehicles scarce, much more is needed to leave a valley, so the costs there decide.
        """
        p, count = self.params, np.inf
        if p.seconds is not None:
            begin, before = self.done(), self.iterations
            self.cool(begin + PACE, p.cold * self.scale, p.cold * self.scale)
            count = (self.iterations - before) * (1.0 - self.done()) / max(self.done() - begin, 1e-9)
        if p.iterations is not None:
            count = min(count, p.iterations - self.iterations)
        room = share * max(count, 1.0) / max(self.problem.count, 1)
        grade = float(np.clip(np.log(room / FEW) / np.log(MANY / FEW), 0.0, 1.0))
        heat = self.scale * p.warm * (p.hot / p.warm) ** grade
        rise = RISE_FEW if self.problem.fewest_vehicles else RISE
        begin, enough = self.done(), self.costs[1] * (1.0 + rise * grade)
        while grade > 0.0 and self.done() - begin < PROBES * share:
            before = self.iterations
            while self.iterations - before < PROBE * self.problem.count and self.done() < 1.0:
                self.search_a_while(heat)
            if (self.routes.home < 0).sum() > (self.best.home < 0).sum():  # too hot: tasks are left out
                self.back_to_best()
                heat /= HOTTER
                break
            if self.costs[0] >= enough:
                break
            heat *= HOTTER
        return float(heat)

    def cold_heat(self) -> float:
        """Where to stop cooling: where most that makes a plan dearer is refused, by the drives of the best plan."""
        drives = 2 * self.problem.count + int((self.best.heads["count"] > 2).sum())
        mean = float((self.best.heads["cost"] - self.best.heads["given_up"]).sum()) / max(drives, 1)
        return min(self.params.cold * self.scale, self.params.cold_drives * mean) or self.params.cold * self.scale

    def back_to_best(self) -> None:
        """Make the best solution the current one."""
        take_over(self.routes, self.best)
        self.load()
        self.take_stock()

    def routes_of(self, r: Routes) -> list[Array]:
        """Its sequences without depots, one for each vehicle in use."""
        return [r.rows["node"][k, 1 : size - 1].copy() for k, size in enumerate(r.heads["count"])]

    def solution(self) -> Solution:
        """The best solution with its times; halves of linked pairs that are served alone are left out too."""
        take_over(self.routes, self.best)
        self.load()
        t, r = self.tasks, self.routes
        alone = np.flatnonzero((t.jobs["link"] >= 0) & (r.home >= 0) & (r.home[t.jobs["link"]] < 0))
        if len(alone):
            for k in set(r.home[alone].tolist()):
                stops = r.rows["node"][k, 1 : r.heads["count"][k] - 1]
                write_route(t, r, k, stops[~np.isin(t.stops["task"][stops], alone)].copy())
            self.load()
        sizes = [int(size) for size in r.heads["count"]]
        routes: list[tuple[int, ...]] = [() for _ in self.problem.kind]
        starts: list[tuple[float, ...]] = [() for _ in self.problem.kind]
        for k, size in enumerate(sizes):
            routes[self.vehicles[k]] = tuple(int(x) for x in r.rows["node"][k, 1 : size - 1])
            starts[self.vehicles[k]] = tuple(x.item() for x in r.rows["first"][k, 1 : size - 1])
        drives = float((r.heads["cost"] - r.heads["given_up"]).sum())
        given_up = float(r.heads["given_up"].sum())
        if self.problem.comfort is not None:
            for k, vehicle in enumerate(self.vehicles):
                timed = best_times(self.problem, int(vehicle), routes[vehicle]) if routes[vehicle] else None
                if timed is not None:
                    starts[vehicle] = tuple(timed[0])
                    given_up += timed[1] - float(r.heads["given_up"][k])
        return Solution(
            routes=tuple(routes),
            start=tuple(starts),
            absent=tuple(int(task) for task in np.flatnonzero(r.home < 0)),
            cost=drives,
            given_up=given_up,
            total=float(drives + given_up + t.jobs["price"][r.home < 0].sum()),
            iterations=self.iterations,
            bound=self.bound,
            met=self.pool,
        )


def write_route(t: Tasks, r: Routes, k: int, route: Sequence[int] | Array) -> None:
    """Make a sequence the route of vehicle k; it must be loaded before it counts."""
    r.rows["node"][k, 0] = t.cars["start"][k]
    r.rows["node"][k, 1 : len(route) + 1] = route
    r.rows["node"][k, len(route) + 1] = t.cars["end"][k]
    r.heads["count"][k] = len(route) + 2
