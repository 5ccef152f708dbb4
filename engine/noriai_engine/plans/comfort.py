"""The times of a plan that its riders like best: sequences stay, starts of service move within their limits.

The search counts what can only grow as stops are added (kernels/comfort.py). Here everything counts: service earlier
than wished, and rides as long as they are with their waits. A linear program for each route, by HiGHS; its limits are
difference constraints, so whole numbers stay whole.
"""

from collections.abc import Sequence

import numpy as np

from noriai_engine.plans.problem import NO_LIMIT, Problem


def best_times(problem: Problem, vehicle: int, route: Sequence[int]) -> tuple[list[float], float] | None:
    """(starts of service at each stop, what riders give up) of a route that has a schedule; None where HiGHS finds none
    (floating-point times at the very edge of their limits)."""
    from scipy.optimize import linprog

    comfort, n = problem.comfort, len(route)
    assert comfort is not None
    nodes = [int(problem.start[vehicle]), *route, int(problem.end[vehicle])]
    place = {node: q for q, node in enumerate(nodes[:-1])}
    rides = [
        (place[int(p)], place[int(d)], float(problem.service[p]), float(most), float(problem.travel[p, d]))
        for p, d, most in zip(problem.pickup, problem.delivery, problem.max_ride, strict=True)
        if p != d and int(p) in place and int(d) in place
    ]
    # columns: times of all nodes, earliness and lateness of stops
    size = 3 * (n + 2)
    rows, limits = [], []

    def at_most(terms: dict[int, float], limit: float) -> None:
        row = np.zeros(size)
        for column, value in terms.items():
            row[column] += value
        rows.append(row)
        limits.append(limit)

    cost, fixed = np.zeros(size), 0.0
    for q in range(1, n + 2):
        before = nodes[q - 1]
        at_most({q - 1: 1.0, q: -1.0}, -float(problem.service[before] + problem.travel[before, nodes[q]]))
    for q in range(1, n + 1):
        at_most({q: -1.0, n + 2 + q: -1.0}, -float(comfort.early[nodes[q]]))
        at_most({q: 1.0, 2 * (n + 2) + q: -1.0}, float(comfort.late[nodes[q]]))
        cost[n + 2 + q], cost[2 * (n + 2) + q] = comfort.early_rate, comfort.late_rate
    for p, d, service, most, direct in rides:
        if most < NO_LIMIT:
            at_most({d: 1.0, p: -1.0}, most + service)
        cost[d] += comfort.ride_rate
        cost[p] -= comfort.ride_rate
        fixed -= comfort.ride_rate * (service + direct)
    if problem.duration[vehicle] < NO_LIMIT:
        at_most({n + 1: 1.0, 0: -1.0}, float(problem.duration[vehicle]))
    bounds = [(float(problem.early[node]), float(problem.late[node])) for node in nodes] + [(0.0, None)] * (2 * (n + 2))
    found = linprog(cost, A_ub=np.array(rows), b_ub=np.array(limits), bounds=bounds, method="highs")
    if not found.success:
        return None
    times = found.x[1 : n + 1]
    if problem.travel.dtype != np.float64:
        times = np.rint(times)
    return times.tolist(), float(found.fun + fixed)
