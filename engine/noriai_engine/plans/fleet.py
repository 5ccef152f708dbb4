"""The fleet phase: serve everything with as few vehicles as can be found."""

from collections.abc import Sequence

import numpy as np

from noriai_engine.plans.kernels.anneal import take_over
from noriai_engine.plans.run import Run, write_route
from noriai_engine.plans.state import empty_pool


def reduce_fleet(run: Run) -> None:
    """Give up one vehicle after another, in the fleet's share of the budget: each time the one whose tasks were easiest
    to place so far."""
    p = run.params
    if (run.best.home < 0).any():
        return
    used = np.flatnonzero(run.best.heads["count"] > 2)
    if len(used):
        _keep(run, used)
        run.take_stock()
    while len(run.tasks.cars) > 1 and not (run.best.home < 0).any():
        saved = run.tasks, run.vehicles, run.best, float(run.costs[1])
        found = False
        try:
            easiest = int(np.argmin([run.missed[run.best.home == k].sum() for k in range(len(run.tasks.cars))]))
            _keep(run, [k for k in range(len(run.tasks.cars)) if k != easiest])
            found = run.work.counts[0] == 0
            while not found and (share := run.done()) < p.fleet_share:
                heat = run.scale * p.hot * (p.cold / p.hot) ** (share / p.fleet_share)
                found = bool(run.search_a_while(heat, shrink=True))
                if run.progress is not None and not found:
                    run.progress(share, 0, saved[3])
        finally:
            if not found:  # also where the search is stopped here: the last whole plan is the result
                tasks, run.vehicles, best, cost = saved
                run.take_tasks(tasks)
                take_over(run.routes, best)
                run.best = best
                run.load()
                run.costs[:] = cost
                run.pool = empty_pool(run.tasks)
            else:
                run.take_stock()
        if not found:
            return


def _keep(run: Run, vehicles: Sequence[int] | np.ndarray) -> None:
    """Go on with these vehicles and their routes of the best solution; the tasks of others are left out."""
    t, routes = run.tasks, run.routes_of(run.best)
    rows = np.asarray(vehicles, int)
    run.take_tasks(t._replace(may=np.ascontiguousarray(t.may[:, rows]), cars=t.cars[rows].copy()))
    run.vehicles = run.vehicles[rows]
    for k, row in enumerate(rows):
        write_route(run.tasks, run.routes, k, routes[row])
    run.load()
