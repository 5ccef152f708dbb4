"""The obvious way to insert a request: try every pair of positions, and test each sequence as a whole.

A sequence is feasible if its difference constraints have no negative cycle (networkx finds one); its cost is the
driving it adds. Shares no code with the kernels. Slow, and the best documentation of what they compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx
from naive.roads import Times

from noriai_engine.model import Plan, Resources, Spot
from noriai_engine.model.plan import ActivityKind


@dataclass(frozen=True)
class Row:
    """One row of a sequence: where, when it may begin, how long it lasts, how the load changes."""

    spot: Spot
    earliest: int
    latest: int
    service: int
    change: tuple[int, int, int] = (0, 0, 0)
    must_be_empty: bool = False
    rider: str | None = None
    is_pickup: bool = False
    locked: bool = False


@dataclass
class Task:
    """The request in question: its two rows, its longest ride, and riders it must not meet aboard."""

    pickup: Row
    dropoff: Row
    max_ride: int
    apart: frozenset[str] = frozenset()


@dataclass
class Fleet:
    """What is known of riders beyond the plan: party and longest ride by request id."""

    party: dict[str, Resources] = field(default_factory=dict)
    max_ride: dict[str, int] = field(default_factory=dict)


def rows_of(plan: Plan, fleet: Fleet) -> list[Row]:
    rows = []
    for activity in plan.activities:
        sign = {ActivityKind.PICKUP: 1, ActivityKind.DROPOFF: -1}.get(activity.kind, 0)
        party = fleet.party[activity.request_id] if activity.request_id else Resources()
        rows.append(
            Row(
                activity.stop.spot, activity.earliest, activity.latest, activity.service_ms,
                tuple(sign * x for x in party.as_tuple()), activity.kind == ActivityKind.BREAK,  # type: ignore[arg-type]
                activity.request_id, activity.kind == ActivityKind.PICKUP, activity.locked,
            )
        )  # fmt: skip
    return rows


def best_insertion(
    plan: Plan, fleet: Fleet, layouts: tuple[Resources, ...], task: Task, times: Times, now: int,
    lasts: Callable[[list[Row]], bool] = lambda rows: True,
) -> tuple[int, int, int] | None:  # fmt: skip
    """(added driving, row before the pickup, row before the dropoff), the least of all; None if none is feasible.

    `lasts` says whether the battery does for a sequence.
    """
    rows = rows_of(plan, fleet)
    start = max(plan.activities[0].begin, now)
    limits = dict(fleet.max_ride) | {"?": task.max_ride}
    first_free = max([k for k, row in enumerate(rows) if row.locked], default=0)
    candidates = []
    for i in range(first_free, len(rows) - 1):
        for j in range(i, len(rows) - 1):
            sequence = [*rows[: i + 1], task.pickup, *rows[i + 1 : j + 1], task.dropoff, *rows[j + 1 :]]
            if not capacity_holds(sequence, plan.aboard, layouts) or not times_hold(sequence, start, limits, times):
                continue
            if meets(sequence, task.apart) or not lasts(sequence):
                continue
            candidates.append((driving(sequence, times) - driving(rows, times), i, j))
    return min(candidates, default=None)


def meets(rows: list[Row], apart: frozenset[str]) -> bool:
    """True where the rider in question is aboard together with one of `apart`."""
    aboard = {row.rider for row in rows if row.rider and not row.is_pickup} - {r.rider for r in rows if r.is_pickup}
    for row in rows:
        if row.rider and row.is_pickup:
            aboard.add(row.rider)
        elif row.rider:
            aboard.discard(row.rider)
        if "?" in aboard and aboard & apart:
            return True
    return False


def driving(rows: list[Row], times: Times) -> int:
    return sum(times[a.spot][b.spot] for a, b in pairwise(rows))


def capacity_holds(rows: list[Row], aboard: Resources, layouts: tuple[Resources, ...]) -> bool:
    load = list(aboard.as_tuple())
    for row in rows:
        if row.must_be_empty and any(load):
            return False
        load = [a + b for a, b in zip(load, row.change, strict=True)]
        if not any(all(a <= b for a, b in zip(load, lay.as_tuple(), strict=True)) for lay in layouts):
            return False
    return True


def times_hold(rows: list[Row], start: int, limits: dict[str, int], times: Times) -> bool:
    """An edge u -> v of weight w says b(v) <= b(u) + w; "zero" is the beginning of time."""
    graph = nx.DiGraph()

    def at_most(u: object, v: object, weight: int) -> None:
        if not graph.has_edge(u, v) or graph[u][v]["weight"] > weight:
            graph.add_edge(u, v, weight=weight)

    at_most("zero", 0, start)
    at_most(0, "zero", -start)
    for k in range(1, len(rows)):
        at_most(k, k - 1, -((rows[k - 1].service if k > 1 else 0) + times[rows[k - 1].spot][rows[k].spot]))
        at_most("zero", k, rows[k].latest)
        at_most(k, "zero", -rows[k].earliest)
    boarded = {row.rider: k for k, row in enumerate(rows) if row.is_pickup}
    for k, row in enumerate(rows):
        if row.rider is not None and not row.is_pickup and row.rider in boarded:
            pickup = boarded[row.rider]
            at_most(pickup, k, rows[pickup].service + limits[row.rider])
    return not nx.negative_edge_cycle(graph)
