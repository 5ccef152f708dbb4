"""Plans as JSON: cost, vehicles, bound, unserved, routes of nodes (as the file counts them) and starts of service."""

import json
from pathlib import Path
from typing import Any

from noriai_engine.model.errors import InputError
from noriai_engine.plans.problem import Problem
from noriai_engine.plans.run import Solution


def document_of(problem: Problem, solution: Solution) -> dict[str, Any]:
    """A plan for a benchmark file; vehicles that stay at home are left out."""
    return {
        "instance": problem.name,
        "cost": solution.cost,
        "vehicles": solution.vehicles,
        "bound": solution.bound,
        "unserved": [int(problem.label[problem.pickup[task]]) for task in solution.absent],
        "routes": [
            {"nodes": [int(problem.label[node]) for node in route], "start": list(start)}
            for route, start in zip(solution.routes, solution.start, strict=True)
            if route
        ],
    }


def text_of(document: dict[str, Any]) -> str:
    """JSON with one line a route."""
    head = {key: value for key, value in document.items() if key != "routes"}
    lines = ",\n".join("  " + json.dumps(route) for route in document["routes"])
    return json.dumps(head, ensure_ascii=False, indent=1)[:-2] + f',\n "routes": [\n{lines}\n ]\n}}'


def read_routes(file: Path, problem: Problem) -> list[list[int]]:
    """Routes of a plan for this problem, as node indices. Raises InputError where the plan does not fit the file."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        routes = [[str(node) for node in route["nodes"]] for route in document["routes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise InputError(f"{file}: no plan ({why})", remedy="name a plan that noriai solve has written") from error
    index = {label: node for node, label in enumerate(problem.label)}
    stops = {*problem.pickup.tolist(), *problem.delivery.tolist()}
    seen: dict[int, int] = {}
    for number, route in enumerate(routes, 1):
        for label in route:
            node = index.get(label)
            if node is None or node not in stops:
                raise InputError(
                    f"{file}, route {number}: node {label} is no stop of {problem.name}",
                    remedy="name a plan of this file",
                )
            if node in seen:
                raise InputError(f"{file}, route {number}: node {label} comes twice", remedy="visit each stop once")
            seen[node] = number
    for task in range(problem.count):
        p, d = int(problem.pickup[task]), int(problem.delivery[task])
        if seen.get(p) != seen.get(d):
            raise InputError(
                f"{file}: stops {problem.label[p]} and {problem.label[d]} of one request are not in one route",
                remedy="keep both stops of a request in one route, or leave both out",
            )
    place = {index[label]: q for route in routes for q, label in enumerate(route)}
    for p, d in zip(problem.pickup.tolist(), problem.delivery.tolist(), strict=True):
        if p in place and place[p] > place[d]:
            raise InputError(
                f"{file}: stop {problem.label[d]} comes before its pickup {problem.label[p]}",
                remedy="let every rider board before alighting",
            )
    return [[index[label] for label in route] for route in routes]
