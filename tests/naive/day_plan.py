"""The obvious way to judge and to find day plans: difference constraints as a graph, every sequence tried.

Shares no code with the optimiser; reads only the fields of `Problem` that state the task.
"""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np

from noriai_engine.plans import Problem


def constraints(problem: Problem, vehicle: int, route: list[int]) -> list[tuple[object, object, float]]:
    """(a, b, w): time of b <= time of a + w. Nodes are positions with both depots; "zero" is the origin of times."""
    sequence = [int(problem.start[vehicle]), *route, int(problem.end[vehicle])]
    out: list[tuple[object, object, float]] = []
    for q, node in enumerate(sequence):
        out += [("zero", q, float(problem.late[node])), (q, "zero", -float(problem.early[node]))]
    for q, (a, b) in enumerate(pairwise(sequence)):
        out.append((q + 1, q, -float(problem.service[a] + problem.travel[a, b])))
    place = {node: q for q, node in enumerate(sequence[:-1])}
    out.append((0, len(sequence) - 1, float(problem.duration[vehicle])))
    for p, d, ride in zip(problem.pickup, problem.delivery, problem.max_ride, strict=True):
        if p != d and int(p) in place and int(d) in place:
            out.append((place[int(p)], place[int(d)], float(ride + problem.service[p])))
    return out


def has_schedule(problem: Problem, vehicle: int, route: list[int]) -> bool:
    """Whether times exist that keep windows, drives, ride times and duration: no negative cycle (networkx)."""
    graph = nx.DiGraph()
    for a, b, most in constraints(problem, vehicle, route):
        graph.add_edge(a, b, weight=min(most, graph.edges[a, b]["weight"]) if graph.has_edge(a, b) else most)
    return not nx.negative_edge_cycle(graph)


def may_drive(problem: Problem, vehicle: int, route: list[int]) -> bool:
    """Every rule of one route: pairs and their order, loads by layout, empty stops, masks, riders kept apart, times."""
    place = {node: q for q, node in enumerate(route)}
    tasks = []
    for task, (p, d) in enumerate(zip(problem.pickup, problem.delivery, strict=True)):
        p, d = int(p), int(d)
        if (p in place) != (d in place) or (p in place and place[p] > place[d]):
            return False
        if p in place:
            tasks.append((task, place[p], place[d]))
    if problem.may is not None and not all(problem.may[task, vehicle] for task, _, _ in tasks):
        return False
    layouts = problem.layouts[int(problem.kind[vehicle])]
    for q in range(len(route)):
        aboard = [task for task, p, d in tasks if p <= q < d]
        load = problem.demand[aboard].sum(axis=0)
        if not any((load <= layout).all() for layout in layouts):
            return False
        if any(p == d == q for _, p, d in tasks) and aboard:
            return False
        if any(a in aboard and b in aboard for a, b in problem.apart):
            return False
    return battery_lasts(problem, vehicle, route) and has_schedule(problem, vehicle, route)


def battery_lasts(problem: Problem, vehicle: int, route: list[int]) -> bool:
    """What is left after every drive is the reserve at least; stops charge up to what the battery can hold."""
    energy = problem.energy
    if energy is None or energy.full[vehicle] == 0:
        return True
    left, here = int(energy.left[vehicle]), int(problem.start[vehicle])
    for node in [*route, int(problem.end[vehicle])]:
        left -= int(energy.length[here, node])
        if left < energy.reserve[vehicle]:
            return False
        left, here = min(left + int(energy.gain[node]), int(energy.full[vehicle])), node
    return True


def route_cost(problem: Problem, vehicle: int, route: list[int]) -> float:
    """Drives and the vehicle's fixed cost, and what riders give up; a vehicle that stays at home costs nothing."""
    if not route:
        return 0.0
    cost = problem.cost[int(problem.kind[vehicle])]
    sequence = [int(problem.start[vehicle]), *route, int(problem.end[vehicle])]
    drives = float(problem.fixed[vehicle] + sum(cost[a, b] for a, b in pairwise(sequence)))
    return drives + given_up(problem, vehicle, route)


def least_times(problem: Problem, vehicle: int, route: list[int]) -> list[float]:
    """Earliest starts of service of a route that may be driven: longest ways from the origin of times."""
    graph = nx.DiGraph()
    for a, b, most in constraints(problem, vehicle, route):
        graph.add_edge(a, b, weight=min(most, graph.edges[a, b]["weight"]) if graph.has_edge(a, b) else most)
    # time of "zero" <= time of q + w: the shortest way from q to "zero" is minus the earliest time of q
    return [-nx.bellman_ford_path_length(graph, q, "zero") for q in range(len(route) + 2)]


def given_up(problem: Problem, vehicle: int, route: list[int]) -> float:
    """What riders of a route give up as the search counts it: lateness, and driving and stops on the way."""
    comfort = problem.comfort
    if comfort is None or not route:
        return 0.0
    sequence = [int(problem.start[vehicle]), *route, int(problem.end[vehicle])]
    times = least_times(problem, vehicle, route)
    place = {node: q for q, node in enumerate(sequence[:-1])}
    total = 0.0
    for q, node in enumerate(sequence[1:-1], 1):
        total += comfort.late_rate * max(0.0, times[q] - float(comfort.late[node]))
    for p, d in zip(problem.pickup.tolist(), problem.delivery.tolist(), strict=True):
        if p != d and p in place:
            legs = pairwise(sequence[place[p] : place[d] + 1])
            ride = sum(float(problem.travel[a, b] + (problem.service[a] if a != p else 0)) for a, b in legs)
            total += comfort.ride_rate * (ride - float(problem.travel[p, d]))
    return total


def with_task(problem: Problem, route: list[int], task: int) -> list[list[int]]:
    """The route with the task's stops at every pair of places."""
    p, d = int(problem.pickup[task]), int(problem.delivery[task])
    if p == d:
        return [[*route[:i], p, *route[i:]] for i in range(len(route) + 1)]
    return [
        [*route[:i], p, *route[i:j], d, *route[j:]] for i in range(len(route) + 1) for j in range(i, len(route) + 1)
    ]


def best_insertion(problem: Problem, vehicle: int, route: list[int], task: int) -> float:
    """Least added cost over every pair of places, inf where none is lawful."""
    base = route_cost(problem, vehicle, route)
    costs = [
        route_cost(problem, vehicle, longer) - base
        for longer in with_task(problem, route, task)
        if may_drive(problem, vehicle, longer)
    ]
    return min(costs, default=np.inf)


def optimum(problem: Problem) -> float:
    """Least cost of routes and of tasks left out at their price, by trying everything. For a handful of tasks.

    Half a linked pair counts as both left out.
    """
    vehicles = range(len(problem.kind))
    best = [np.inf]

    def total(routes: list[list[int]], absent: list[int]) -> float:
        cost = sum(route_cost(problem, k, route) for k, route in enumerate(routes))
        for task in absent:
            cost += float(problem.price[task])
            other = -1 if problem.link is None else int(problem.link[task])
            if other >= 0 and other not in absent:
                cost += float(problem.price[other])
        return cost

    def grow(task: int, routes: list[list[int]], absent: list[int]) -> None:
        if task == problem.count:
            if all(may_drive(problem, k, route) for k, route in enumerate(routes)):
                best[0] = min(best[0], total(routes, absent))
            return
        if np.isfinite(problem.price[task]):
            grow(task + 1, routes, [*absent, task])
        for k in vehicles:
            for longer in with_task(problem, routes[k], task):
                grow(task + 1, [*routes[:k], longer, *routes[k + 1 :]], absent)

    grow(0, [[] for _ in vehicles], [])
    return best[0]


def fragments_by_trying(problem: Problem, vehicle: int) -> dict[tuple[frozenset[int], int, int], float]:
    """For each set of tasks, first and last stop: the least cost of a lawful sequence that is empty only at its ends."""
    found: dict[tuple[frozenset[int], int, int], float] = {}

    def grow(route: list[int], aboard: set[int], done: set[int]) -> None:
        if route and not aboard:
            if may_drive(problem, vehicle, route):
                key = frozenset(done), route[0], route[-1]
                rate = problem.cost[int(problem.kind[vehicle])] if len(problem.cost) > 1 else problem.cost[0]
                cost = sum(float(rate[a, b]) for a, b in pairwise(route))
                found[key] = min(found.get(key, np.inf), cost)
            return
        for task in range(problem.count):
            p, d = int(problem.pickup[task]), int(problem.delivery[task])
            if task in aboard:
                grow([*route, d], aboard - {task}, done | {task})
            elif task not in done and p == d and not route:
                grow([p], set(), {task})
            elif task not in done and p != d:
                grow([*route, p], aboard | {task}, done)

    grow([], set(), set())
    return found
