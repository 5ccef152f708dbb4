"""The fleet phase: serve everything with as few vehicles as can be found.

With so few, plans lie in valleys with no way from one to the next: whoever leaves a route finds no other. So several
are looked for, each from nothing, and the search goes on from the one that cools to the least cost.
"""

from collections.abc import Sequence

import numpy as np

from noriai_engine.plans.kernels.anneal import take_over
from noriai_engine.plans.kernels.arrays import Array, Routes, Tasks
from noriai_engine.plans.run import Run, write_route

IN_VAIN = 2
"""Attempts one after the other that need more vehicles: no more are made."""


def find_fleet(run: Run) -> None:
    """The fewest vehicles found in the fleet's share of the budget, and a cheap plan for them to go on from."""
    whole = run.tasks
    _reduce(run, run.params.fleet_share)
    if not (run.best.home < 0).any() and not run.tasks.jobs["held"].any() and len(run.tasks.cars) < len(whole.cars):
        _try_others(run, whole)


def _try_others(run: Run, whole: Tasks) -> None:
    """Cool plans of as many vehicles for a moment each; the cheapest one becomes the best."""
    p, few = run.params, len(run.tasks.cars)
    begin = run.done()
    share = p.starts_share * (1.0 - begin)
    end = begin + share
    each = max(share / p.starts, p.start_iterations * run.problem.count * begin / max(run.iterations, 1))
    if 2.0 * each > share:  # no time for two
        return
    heat, cold = run.first_heat(each / (1.0 - begin)), run.cold_heat()
    kept = run.tasks, run.vehicles, run.best, float(run.costs[1])
    rank, vain = _rank(run), 0
    try:
        while run.done() < end and vain < IN_VAIN:
            if len(run.tasks.cars) > few or (run.best.home < 0).any():
                vain += 1
            else:
                vain = 0
                run.cool(min(end, run.done() + each), heat, cold)
                if _rank(run) < rank:
                    kept, rank = (run.tasks, run.vehicles, run.best, float(run.costs[1])), _rank(run)
            run.vehicles = np.arange(len(whole.cars))
            run.take_tasks(whole)
            run.begin(None)
            _reduce(run, min(end, run.done() + each), few)
    finally:  # also where the search is stopped here
        if _rank(run) >= rank:
            _go_back(run, *kept)


def _rank(run: Run) -> tuple[bool, int, float]:
    """The lower, the better: nobody left out, then vehicles, then cost."""
    return bool((run.best.home < 0).any()), len(run.tasks.cars), float(run.costs[1])


def _reduce(run: Run, until: float, enough: int = 1) -> None:
    """Give up one vehicle after another, until a share of the budget is used or there are but `enough`: each time the
    one whose tasks were easiest to place so far."""
    p, begin = run.params, run.done()
    if (run.best.home < 0).any() or begin >= until:
        return
    used = np.flatnonzero(run.best.heads["count"] > 2)
    if len(used):
        _keep(run, used)
        run.take_stock()
    while len(run.tasks.cars) > enough and not (run.best.home < 0).any():
        saved = run.tasks, run.vehicles, run.best, float(run.costs[1])
        found = False
        try:
            easiest = int(np.argmin([run.missed[run.best.home == k].sum() for k in range(len(run.tasks.cars))]))
            _keep(run, [k for k in range(len(run.tasks.cars)) if k != easiest])
            found = run.work.counts[0] == 0
            last = run.iterations + p.fleet_patience * run.problem.count
            while not found and run.iterations < last and (share := run.done()) < until:
                heat = run.scale * p.hot * (p.cold / p.hot) ** ((share - begin) / (until - begin))
                found = bool(run.search_a_while(heat, shrink=True))
                if run.progress is not None and not found:
                    run.progress(share, 0, saved[3])
        finally:
            if not found:  # also where the search is stopped here: the last whole plan is the result
                _go_back(run, *saved)
            else:
                run.take_stock()
        if not found:
            return


def _go_back(run: Run, tasks: Tasks, vehicles: Array, best: Routes, cost: float) -> None:
    """The solution that was the best with these vehicles is it again."""
    run.take_tasks(tasks)
    run.vehicles = vehicles
    take_over(run.routes, best)
    run.best = best
    run.load()
    run.costs[:] = cost


def _keep(run: Run, vehicles: Sequence[int] | np.ndarray) -> None:
    """Go on with these vehicles and their routes of the best solution; the tasks of others are left out."""
    t, routes = run.tasks, run.routes_of(run.best)
    rows = np.asarray(vehicles, int)
    run.take_tasks(t._replace(may=np.ascontiguousarray(t.may[:, rows]), cars=t.cars[rows].copy()))
    run.vehicles = run.vehicles[rows]
    for k, row in enumerate(rows):
        write_route(run.tasks, run.routes, k, routes[row])
    run.load()
