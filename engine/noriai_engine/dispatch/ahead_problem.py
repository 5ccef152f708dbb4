"""The problem of a day's plan: requests that wait, bookings made, breaks and vehicles, in the optimiser's own form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.network_problem import energy_of, layouts_of, travel_between
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.requests import Request
from noriai_engine.model.units import RequestId
from noriai_engine.plans.aims import Aims
from noriai_engine.plans.problem import NO_LIMIT, Array, Comfort, Problem

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher

UNSERVED_MS = 1_000_000_000
"""What a request of weight 1 left out costs, in ms of driving: a fleet does not drive that much in a day."""


@dataclass(frozen=True)
class Rides:
    """Requests of a problem by row of the dispatcher, with their limits; tasks 0 .. k - 1 of it."""

    rows: list[int]
    wishes: list[Wish]
    accepted: list[bool]


def day_problem(
    d: "Dispatcher", vehicles: Sequence[int], rides: Rides, weight: Callable[[Request], float], aims: Aims
) -> Problem:
    """Nodes: all pickups, all dropoffs, breaks, vehicles' starts, their ends."""
    store = d._store
    who = [d.vehicles[k] for k in vehicles]
    day = d.day.to_day_ms
    pauses = [(k, pause) for k, vehicle in enumerate(who) for pause in vehicle.breaks]
    r, b, v = len(rides.rows), len(pauses), len(who)
    wishes = rides.wishes
    depots = [store.depot[k] for k in vehicles]
    spots = [Spot(w.origin, w.origin_ms) for w in wishes] + [Spot(w.destination, w.destination_ms) for w in wishes]
    spots += [depots[k] for k, _ in pauses] + depots + depots
    start, end = 2 * r + b + np.arange(v), 2 * r + b + v + np.arange(v)
    shift = np.array([(day(x.shift.start), day(x.shift.end)) for x in who], np.int32).reshape(-1, 2)
    window = [(w.pickup_earliest, w.pickup_latest) for w in wishes]
    window += [(w.dropoff_earliest, w.dropoff_latest) for w in wishes]
    window += [(day(pause.earliest), day(pause.latest)) for _, pause in pauses]
    window += [(first, last) for first, last in shift] + [(first, last) for first, last in shift]
    early, late = np.array(window, np.int64).reshape(-1, 2).T
    service = [w.boarding for w in wishes] + [w.alighting for w in wishes]
    service += [pause.duration_ms for _, pause in pauses] + [0] * (2 * v)
    may = np.zeros((r + b, v), bool)
    for task, wish in enumerate(wishes):
        for k, vehicle in enumerate(vehicles):
            fits = (int(store.fleet.can[vehicle]) & wish.needs) == wish.needs
            may[task, k] = fits and wish.operator in (-1, int(store.fleet.operator[vehicle]))
    _keep_pinned(d, vehicles, rides, may)
    for index, (k, _) in enumerate(pauses):
        may[r + index, k] = True
    travel = travel_between(d.travel_times, spots)
    task_of = {row: task for task, row in enumerate(rides.rows)}
    requests = [d.bookings.requests[row] for row in rides.rows]
    link = np.full(r + b, -1)
    for task, request in enumerate(requests):
        other = task_of.get(d.bookings.row_of.get(request.return_of or "", -1), -1)
        if other >= 0 and not rides.accepted[task] and not rides.accepted[other]:
            link[task], link[other] = other, task
    unserved = UNSERVED_MS * max(1.0, aims.rate)
    price = [np.inf if done else unserved * weight(q) for q, done in zip(requests, rides.accepted, strict=True)]
    kinds = _kinds(who, depots, store.fleet.battery.left_mm[vehicles], may)
    resources = len(store.fleet.layout[0])
    return Problem(
        name=f"{d.service.id}-{d.day.date}",
        label=tuple([f"+{q.id}" for q in requests] + [f"-{q.id}" for q in requests]
                    + [f"break {k} of {who[k].id}" for k, _ in pauses]
                    + [f"start of {x.id}" for x in who] + [f"end of {x.id}" for x in who]),
        travel=travel, cost=travel[None].astype(np.float64), early=early, late=late, service=np.array(service),
        pickup=np.concatenate([np.arange(r), 2 * r + np.arange(b)]).astype(int),
        delivery=np.concatenate([r + np.arange(r), 2 * r + np.arange(b)]).astype(int),
        demand=np.array([w.demand for w in wishes] + [[0] * resources] * b, int).reshape(-1, resources),
        layouts=layouts_of(who, kinds), kind=kinds, start=start, end=end,
        duration=(shift[:, 1] - shift[:, 0]).astype(np.int64), fixed=np.zeros(v),
        max_ride=np.array([w.max_ride for w in wishes] + [0] * b, np.int64),
        price=np.array(price + [np.inf] * b), may=may,
        apart=tuple({(min(a, task_of[o]), max(a, task_of[o]))
                     for a, w in enumerate(wishes) for o in w.apart.tolist() if o in task_of}),
        link=link, unit="ms", comfort=_comfort(requests, wishes, len(early), aims),
        energy=energy_of(store, d.travel_times, [(k, 0) for k in vehicles], spots,
                         [(2 * r + n, vehicles[k], pause.duration_ms) for n, (k, pause) in enumerate(pauses)],
                         day(d._clock.now())),
    )  # fmt: skip


def _comfort(requests: Sequence[Request], wishes: Sequence[Wish], nodes: int, aims: Aims) -> Comfort | None:
    """Who wishes to leave minds waiting from then on, who wishes to arrive minds being there before, and both mind
    rides longer than the direct drive."""
    if aims.rate == 0.0:
        return None
    early, late = np.zeros(nodes, np.int64), np.full(nodes, NO_LIMIT, np.int64)
    for task, (request, wish) in enumerate(zip(requests, wishes, strict=True)):
        if request.latest_arrival is None:
            late[task] = wish.pickup_earliest
        else:
            early[len(wishes) + task] = wish.dropoff_latest + wish.dropoff_spare
    return Comfort(early, late, aims.rate, aims.rate, aims.rate)


def _keep_pinned(d: "Dispatcher", vehicles: Sequence[int], rides: Rides, may: Array) -> None:
    """Pinned bookings may have no vehicle but their own; one that takes no new riders keeps those it has."""
    book = d.bookings
    for task, row in enumerate(rides.rows):
        if rides.accepted[task]:
            name = book.requests[row].id
            own = vehicles.index(d.index_of(book.booked[name].vehicle_id))
            if name in book.pinned:
                may[task] = False
            may[task, own] = True


def nodes_of(d: "Dispatcher", vehicle: int, k: int, rides: Rides, problem: Problem) -> list[int]:
    """The vehicle's plan as it stands, as nodes of the problem."""
    task_of = {d.bookings.requests[row].id: task for task, row in enumerate(rides.rows)}
    mine = [task for task in range(len(rides.rows), problem.count) if problem.may is not None and problem.may[task, k]]
    nodes = []
    for activity in d.plan(vehicle).activities:
        if activity.kind == ActivityKind.PICKUP:
            nodes.append(int(problem.pickup[task_of[RequestId(str(activity.request_id))]]))
        elif activity.kind == ActivityKind.DROPOFF:
            nodes.append(int(problem.delivery[task_of[RequestId(str(activity.request_id))]]))
        elif activity.kind == ActivityKind.BREAK:
            nodes.append(int(problem.pickup[mine.pop(0)]))
    return nodes


def _kinds(who: Sequence[Vehicle], depots: Sequence[Spot], left: Array, may: Array) -> Array:
    """A number for each vehicle, the same for equal ones."""
    seen: dict[tuple[object, ...], int] = {}
    return np.array(
        [
            seen.setdefault((depots[k], x.shift, x.layouts, x.battery, left[k], may[:, k].tobytes()), len(seen))
            for k, x in enumerate(who)
        ],
        int,
    )
