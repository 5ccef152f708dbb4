"""Improving plans between requests: ruin and recreate over every rider who may still change place or vehicle.

Announced stops stay as they are: a vehicle's problem begins behind the last of them. Whoever is aboard stays aboard,
bookings stay with their operator, and every promise is a hard limit, so that a rider notices nothing but, at times,
another vehicle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.dispatch.kernels.insertion import free_from
from noriai_engine.dispatch.kernels.mending import lateness, measure, reschedule
from noriai_engine.dispatch.network_problem import energy_of, layouts_of, travel_between
from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.units import RecordArray
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.problem import NO_LIMIT, Problem
from noriai_engine.plans.run import Solution
from noriai_engine.plans.solver import solve

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher


@dataclass(frozen=True)
class Improvement:
    """What came of it: ms of driving saved, vehicles whose plans changed, riders who changed vehicles."""

    saved_ms: int
    changed: tuple[int, ...] = ()
    moved: tuple[str, ...] = ()


@dataclass
class _Part:
    """A vehicle's plan: rows (records) that stay, position and announced stops; rows that may move; the end."""

    vehicle: int
    stays: Any
    moves: Any
    end: Any
    free_at: int


@dataclass
class _Task:
    """A rider or break of the problem. `pickup` and `dropoff` are rows of a plan, None where that is behind or there is
    none; `vehicle`: the part it cannot leave, -1: any of its operator."""

    request: int
    pickup: RecordArray | None
    dropoff: RecordArray | None
    part: int
    vehicle: int
    latest_dropoff: int = 0


@dataclass
class _Built:
    problem: Problem
    given: list[list[int]]
    tasks: list[_Task] = field(default_factory=list)


class Improving:
    """The part of one Dispatcher that improves plans."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._d = dispatcher

    def improve(self, params: SolveParams, cpu_clock: Callable[[], float]) -> Improvement:
        """Search for plans with less driving; nothing changes where none is found.

        Returns the vehicles whose plans changed: who drives them must look again.
        """
        d = self._d
        now = d.day.to_day_ms(d._clock.now())
        able = [k for k in range(len(d.vehicles)) if d.is_on_duty(k) and d._store.has_energy(k, now)]
        parts = [self._part(k) for k in able if not self.is_late(k)]
        tasks = [task for number, part in enumerate(parts) for task in self._tasks(number, part)]
        if sum(task.vehicle < 0 for task in tasks) == 0:
            return Improvement(0)
        built = self._problem(parts, tasks)
        before = _drives(built.problem, built.given)
        try:
            solution = solve(built.problem, params, cpu_clock, begin_with=built.given)
        except InputError:  # a plan that is late already, and not yet reported: mending comes first
            return Improvement(0)
        if solution.absent or solution.cost >= before - 0.5:
            return Improvement(0)
        return self._adopt(parts, built, solution, int(before - solution.cost))

    def is_late(self, vehicle: int) -> bool:
        """The vehicle is behind its plan already, and nobody has said so yet: mending comes first."""
        d, store = self._d, self._d._store
        d._settle(vehicle)
        now = d.day.to_day_ms(d._clock.now())
        late = lateness(store.fleet, store.plans, store.paths, vehicle, now, store.scratch)
        base, count = int(store.plans.first[vehicle]), int(store.plans.count[vehicle])
        announced = store.plans.rows[base + 1 : base + count]
        return bool(late) or bool((store.scratch.rows["begin"][1:count] > announced["begin"]).any())

    # --- what may move --------------------------------------------------------------------------------------

    def _part(self, vehicle: int) -> _Part:
        d, store = self._d, self._d._store
        d._settle(vehicle)
        base, count = int(store.plans.first[vehicle]), int(store.plans.count[vehicle])
        rows, free = store.plans.rows[base : base + count], store.first_free(vehicle)
        now = d.day.to_day_ms(d._clock.now())
        free_at = int(rows[free].done) if free else int(free_from(store.plans, store.paths, vehicle, now))
        return _Part(
            vehicle, rows[: free + 1].copy(), rows[free + 1 : -1].copy(), rows[-1:].copy(), free_at
        )  # fmt: skip

    def _tasks(self, number: int, part: _Part) -> list[_Task]:
        pickups = {int(row.request): row for row in part.moves if row.kind == ActivityKind.PICKUP}
        announced = {int(row.request): row for row in part.stays if row.kind == ActivityKind.PICKUP}
        tasks = []
        for row in part.moves:
            request = int(row.request)
            if row.kind == ActivityKind.BREAK:
                tasks.append(_Task(-1, row, None, number, number))
            elif row.kind == ActivityKind.DROPOFF and request in pickups:
                name = self._d.bookings.requests[request].id
                fixed = number if name in self._d.bookings.pinned else -1
                tasks.append(_Task(request, pickups[request], row, number, fixed, int(row.latest)))
            elif row.kind == ActivityKind.DROPOFF:
                latest = int(row.latest)
                if request in announced:
                    boarded = announced[request]
                    latest = min(latest, int(boarded.begin + boarded.service + row.ride_limit))
                tasks.append(_Task(request, None, row, number, number, latest))
        return tasks

    # --- the problem ----------------------------------------------------------------------------------------

    def _problem(self, parts: Sequence[_Part], tasks: Sequence[_Task]) -> _Built:
        """Nodes: first stops of tasks, last stops of riders, starts and ends of vehicles. Who is aboard boards at the
        very start, which fixes vehicle and load."""
        d, store = self._d, self._d._store
        m, v = len(tasks), len(parts)
        start, end = 2 * m + np.arange(v), 2 * m + v + np.arange(v)
        nodes: list[tuple[Spot, int, int, int]] = []  # spot, earliest, latest, service
        here = [Spot(int(p.stays[-1].state), int(p.stays[-1].offset)) for p in parts]
        for task in tasks:
            if task.pickup is None:
                at = parts[task.part].free_at
                nodes.append((here[task.part], at, at, 0))
            else:
                nodes.append(_node(task.pickup, int(task.pickup.latest)))
        for k, task in enumerate(tasks):
            nodes.append(nodes[k] if task.dropoff is None else _node(task.dropoff, task.latest_dropoff))
        nodes += [(here[k], p.free_at, p.free_at, 0) for k, p in enumerate(parts)]
        nodes += [(Spot(int(p.end[0].state), int(p.end[0].offset)), 0, int(p.end[0].latest), 0) for p in parts]
        travel = travel_between(d.travel_times, [node[0] for node in nodes])
        early, late, service = (np.array([node[k] for node in nodes], np.int64) for k in (1, 2, 3))
        single = np.array([task.dropoff is None for task in tasks], bool)
        fleet = store.fleet
        may = np.zeros((m, v), bool)
        for k, task in enumerate(tasks):
            if task.vehicle >= 0:
                may[k, task.vehicle] = True
                continue
            needs, mine = d.bookings.promised[task.request].needs, parts[task.part].vehicle
            for other, part in enumerate(parts):
                able = (int(fleet.can[part.vehicle]) & needs) == needs
                able = able or part.vehicle == mine  # one that takes no new riders keeps those it has
                may[k, other] = able and fleet.operator[part.vehicle] == fleet.operator[mine]
        task_of = {task.request: k for k, task in enumerate(tasks) if task.request >= 0}
        apart = {
            (min(k, task_of[other]), max(k, task_of[other]))
            for request, k in task_of.items()
            for other in d.bookings.kept_apart(d.bookings.requests[request])
            if other in task_of
        }
        load = [np.zeros(3, int) if task.dropoff is None else -task.dropoff.load.astype(int) for task in tasks]
        limit = [NO_LIMIT if t.pickup is None or t.dropoff is None else int(t.dropoff.ride_limit) for t in tasks]
        problem = Problem(
            name="between requests", label=tuple(str(k) for k in range(len(nodes))), travel=travel,
            cost=travel[None].astype(np.float64), early=early, late=late, service=service, pickup=np.arange(m),
            delivery=np.where(single, np.arange(m), m + np.arange(m)), demand=np.array(load, int).reshape(m, -1),
            layouts=layouts_of([d.vehicles[p.vehicle] for p in parts], np.arange(v)), kind=np.arange(v), start=start,
            end=end, duration=np.full(v, NO_LIMIT), fixed=np.zeros(v), max_ride=np.array(limit, np.int64),
            price=np.full(m, np.inf), may=may, apart=tuple(apart), unit="ms",
            energy=energy_of(store, d.travel_times, [(p.vehicle, len(p.stays) - 1) for p in parts],
                             [node[0] for node in nodes],
                             [(k, parts[task.part].vehicle, int(task.pickup.service))
                              for k, task in enumerate(tasks) if task.request < 0 and task.pickup is not None],
                             d.day.to_day_ms(d._clock.now())),
        )  # fmt: skip
        breaks: dict[int, list[int]] = {}
        for k, task in enumerate(tasks):
            if task.request < 0:
                breaks.setdefault(task.part, []).append(k)
        given = []
        for number, part in enumerate(parts):
            route = [k for k, task in enumerate(tasks) if task.part == number and task.pickup is None]
            for row in part.moves:
                if row.kind == ActivityKind.BREAK:
                    route.append(breaks[number].pop(0))
                else:
                    route.append(task_of[int(row.request)] + (m if row.kind == ActivityKind.DROPOFF else 0))
            given.append(route)
        return _Built(problem, given, list(tasks))

    # --- the outcome ----------------------------------------------------------------------------------------

    def _adopt(self, parts: Sequence[_Part], built: _Built, solution: Solution, saved_ms: int) -> Improvement:
        """Write the changed plans, all of them or none."""
        d, store, m = self._d, self._d._store, len(built.tasks)
        changed = [k for k in range(len(parts)) if list(solution.routes[k]) != built.given[k]]
        now = d.day.to_day_ms(d._clock.now())
        new = {k: [_row(built.tasks, node, m) for node in solution.routes[k]] for k in changed}
        rows = {k: [row for row in found if row is not None] for k, found in new.items()}
        good = True
        for k in changed:
            store.put_rows(parts[k].vehicle, [*parts[k].stays, *rows[k], parts[k].end[0]])
        with d.travel_times.reading():
            roads = store.roads(now)
            for k in changed:
                vehicle = parts[k].vehicle
                measure(roads, store.plans, vehicle)
                good = good and bool(
                    reschedule(store.fleet, store.plans, store.paths, vehicle, now, False, store.scratch)
                )
        if not (good and all(store.has_energy(parts[k].vehicle, now) for k in changed)):
            for k in changed:
                store.put_rows(parts[k].vehicle, [*parts[k].stays, *parts[k].moves, parts[k].end[0]])
            raise AssertionError("an improved plan breaks a rule of dispatch")
        moved = []
        for k in changed:
            for node in solution.routes[k]:
                task = built.tasks[node] if node < m else None
                if task is not None and task.request >= 0 and task.part != k:
                    rider = d.bookings.requests[task.request].id
                    d._move_booking(rider, parts[k].vehicle)
                    d._say(
                        "booking_moved", vehicle=parts[k].vehicle, request_id=rider, reason="improved",
                        details={"from": d.vehicles[parts[task.part].vehicle].id},
                    )  # fmt: skip
                    moved.append(str(rider))
        for k in changed:
            d._say_plan(parts[k].vehicle)
        return Improvement(saved_ms, tuple(parts[k].vehicle for k in changed), tuple(moved))


def _node(row: RecordArray, latest: int) -> tuple[Spot, int, int, int]:
    return Spot(int(row.state), int(row.offset)), int(row.earliest), latest, int(row.service)


def _row(tasks: Sequence[_Task], node: int, m: int) -> RecordArray | None:
    """The plan row of a node; None where a rider is aboard already."""
    return tasks[node].pickup if node < m else tasks[node - m].dropoff


def _drives(problem: Problem, routes: Sequence[Sequence[int]]) -> float:
    total = 0.0
    for k, route in enumerate(routes):
        if route:
            sequence = [int(problem.start[k]), *route, int(problem.end[k])]
            total += float(problem.cost[0][sequence[:-1], sequence[1:]].sum())
    return total
