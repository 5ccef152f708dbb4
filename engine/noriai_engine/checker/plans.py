"""Judge a plan for a benchmark file: every rule of the problem, times by Bellman-Ford on difference constraints.

Rules (design notes on static dial-a-ride, section 7): every request once, both stops in one vehicle, pickup first,
load, windows, ride time, route duration, number of vehicles, depot window, and the cost and times the plan states.
"""

import json
from pathlib import Path
from typing import Any

from noriai_engine.checker.instances import Instance, load_instance
from noriai_engine.checker.load import CheckError
from noriai_engine.checker.report import CheckReport

TOLERANCE = 1e-6
"""For times in the file's unit; plans of outside solvers that scale to integers are judged with 1e-2."""


def check_plan(file: Path, plan: Path, tolerance: float = TOLERANCE) -> CheckReport:
    """All breaches of a plan. Raises CheckError where the instance or the plan cannot be read."""
    instance = load_instance(file)
    report = CheckReport()
    routes, starts, document = _routes(plan, len(instance.stops))
    _served(instance, routes, report)
    for number, route in enumerate(routes, 1):
        who = f"route {number}"
        _order(instance, route, who, report)
        _load(instance, route, who, report)
        slack = _earliest(instance, route, tolerance)
        report.expect(slack is not None, "schedule", who, "no times keep windows, ride times and duration together")
        if starts[number - 1] is not None:
            _stated_times(instance, route, starts[number - 1], who, tolerance, report)
    used = sum(1 for route in routes if route)
    if instance.vehicles is not None:
        report.expect(used <= instance.vehicles, "fleet", "plan", f"{used} vehicles, {instance.vehicles} exist")
    cost = plan_cost(instance, routes)
    if "cost" in document:
        near = abs(float(document["cost"]) - cost) <= max(tolerance, 1e-9 * cost)
        report.expect(near, "cost", "plan", f"states {document['cost']}, its routes cost {cost:.6f}")
    if "vehicles" in document:
        report.expect(
            document["vehicles"] == used, "cost", "plan", f"states {document['vehicles']} vehicles, has {used}"
        )
    bound = document.get("bound")
    if bound is not None:
        report.expect(float(bound) <= cost + tolerance, "bound", "plan", f"bound {bound} above the cost {cost:.6f}")
    return report


def plan_cost(instance: Instance, routes: list[list[int]]) -> float:
    """Sum of the drives of all routes, from and to the depot."""
    return sum(instance.legs[a][b] for route in routes if route for a, b in zip([0, *route], [*route, 0], strict=True))


def _routes(plan: Path, size: int) -> tuple[list[list[int]], list[list[float] | None], dict[str, Any]]:
    """Routes, stated times and the whole document; `Route k : ids` lines of published solutions are read too."""
    try:
        text = plan.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckError(f"{plan}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        if text.lstrip().startswith("Route"):
            lines = [line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith("Route")]
            routes = [[int(word) for word in line] for line in lines]
            starts: list[list[float] | None] = [None] * len(routes)
            document: dict[str, Any] = {}
        else:
            document = json.loads(text)
            routes = [[int(node) for node in route["nodes"]] for route in document["routes"]]
            starts = [
                None if route.get("start") is None else [float(x) for x in route["start"]]
                for route in document["routes"]
            ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckError(
            f"{plan}: is no plan ({type(error).__name__}: {error}); "
            'expected {"cost": ..., "routes": [{"nodes": [...], "start": [...]}]}'
        ) from error
    for number, route in enumerate(routes, 1):
        for node in route:
            if not 0 < node < size:
                raise CheckError(f"{plan}, route {number}: node {node} is not in the file (1 to {size - 1})")
    return routes, starts, document


def _served(instance: Instance, routes: list[list[int]], report: CheckReport) -> None:
    visits = [0] * len(instance.stops)
    for route in routes:
        for node in route:
            visits[node] += 1
    for node in range(1, len(instance.stops)):
        report.expect(visits[node] == 1, "once", f"node {node}", f"is visited {visits[node]} times")


def _order(instance: Instance, route: list[int], who: str, report: CheckReport) -> None:
    place = {node: q for q, node in enumerate(route)}
    for node in route:
        stop = instance.stops[node]
        if stop.load > 0:
            partner = place.get(stop.partner)
            report.expect(partner is not None, "pair", who, f"node {node} without its delivery {stop.partner}")
            if partner is not None:
                report.expect(place[node] < partner, "order", who, f"delivery {stop.partner} before pickup {node}")
        else:
            report.expect(stop.partner in place, "pair", who, f"node {node} without its pickup {stop.partner}")


def _load(instance: Instance, route: list[int], who: str, report: CheckReport) -> None:
    load = 0.0
    for node in route:
        load += instance.stops[node].load
        report.expect(load <= instance.capacity, "load", who, f"{load:g} aboard behind node {node}")


def _constraints(instance: Instance, route: list[int]) -> list[tuple[int, int, float]]:
    """(a, b, w): time b is at least time a + w. Positions 0 and m + 1 are the depot."""
    sequence = [0, *route, 0]
    last = len(sequence) - 1
    result = []
    for q in range(last):
        a, b = sequence[q], sequence[q + 1]
        result.append((q, q + 1, instance.stops[a].service + instance.legs[a][b]))
    place = {node: q for q, node in enumerate(sequence[:-1])}
    if instance.longest_ride is not None:
        for node in route:
            stop = instance.stops[node]
            if stop.load < 0 and stop.partner in place:
                most = instance.longest_ride + instance.stops[stop.partner].service
                result.append((place[node], place[stop.partner], -most))
    if instance.longest_route is not None:
        result.append((last, 0, -instance.longest_route))
    return result


def _earliest(instance: Instance, route: list[int], tolerance: float) -> list[float] | None:
    """Earliest times by Bellman-Ford, None where a window must be passed."""
    sequence = [0, *route, 0]
    time = [instance.stops[node].earliest for node in sequence]
    constraints = _constraints(instance, route)
    for _ in range(len(sequence) + 1):
        changed = False
        for a, b, weight in constraints:
            if time[a] + weight > time[b] + tolerance / 100:
                time[b] = time[a] + weight
                changed = True
        if any(x > instance.stops[node].latest + tolerance for x, node in zip(time, sequence, strict=True)):
            return None
        if not changed:
            return time
    return None


def _stated_times(
    instance: Instance, route: list[int], start: list[float] | None, who: str, tolerance: float, report: CheckReport
) -> None:
    """The stated start of each service keeps every limit; departure is as late, return as early as can be."""
    assert start is not None
    if not report.expect(len(start) == len(route), "times", who, f"{len(start)} times for {len(route)} stops"):
        return
    if not route:
        return
    stops = instance.stops
    for node, time in zip(route, start, strict=True):
        inside = stops[node].earliest - tolerance <= time <= stops[node].latest + tolerance
        report.expect(inside, "window", who, f"node {node} at {time:g}")
    depart = start[0] - instance.legs[0][route[0]] - stops[0].service
    back = start[-1] + stops[route[-1]].service + instance.legs[route[-1]][0]
    report.expect(depart >= stops[0].earliest - tolerance, "window", who, f"leaves the depot at {depart:g}")
    report.expect(back <= stops[0].latest + tolerance, "window", who, f"is back at {back:g}")
    for a, b, x, y in zip(route, route[1:], start, start[1:], strict=False):
        ready = x + stops[a].service + instance.legs[a][b]
        report.expect(y >= ready - tolerance, "drive", who, f"node {b} at {y:g}, reached at {ready:g}")
    if instance.longest_route is not None:
        report.expect(back - depart <= instance.longest_route + tolerance, "duration", who, f"{back - depart:g}")
    when = dict(zip(route, start, strict=True))
    if instance.longest_ride is not None:
        for node in route:
            if stops[node].load < 0 and stops[node].partner in when:
                begun = when[stops[node].partner] + stops[stops[node].partner].service
                ride = when[node] - begun
                report.expect(ride <= instance.longest_ride + tolerance, "ride", who, f"to node {node}: {ride:g}")
