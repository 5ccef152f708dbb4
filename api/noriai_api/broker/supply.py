"""Idle vehicles for opportunities, planned by the day-plan optimiser: which wishes each could serve, on which tour, and
what that would cost. Proposed, never imposed.

Every past day of the weeks looked at is planned as it was: the wishes of that day that belong to an opportunity, the
vehicles that are idle on that weekday from their base and back to it, over the region's streets. A wish is left out
where it would cost more than its worth, and a vehicle is proposed for a weekday where what it would have served pays.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_api.broker.opportunities import Opportunity, Wishes
from noriai_engine.model.errors import InputError

Ints = NDArray[np.int64]

MIN_MS = 60_000
SETUP_MIN = 15
"""Before a tour and after it: paid, for getting ready and for putting away."""
EARLIER_MIN, LATER_MIN = 15, 45
"""A rider of a shuttle is picked up from so long before the wished quarter of an hour until so long after it."""
STOP_MIN = 2
DETOUR, EXTRA_MIN = 2.0, 20
"""The longest ride: so many times the direct one, and so much more."""
ITERATIONS = 20_000
MOST_FLEETS = 4
"""Idle vehicles of one day up to which every choice of them is planned."""
LEAST_A_WEEK = 1.0
"""Riders that a vehicle must have on average of its weekday to be proposed."""


@dataclass(frozen=True, slots=True)
class Idle:
    """A vehicle with nothing to do: a taxi between peaks, a school bus at noon, a care home's van."""

    party: str
    kind: str
    weekday: int
    begin: int
    """Minute of the day, as `end`."""
    end: int
    seats: int
    mesh: int
    yen_per_hour: int

    def __post_init__(self) -> None:
        if not 0 <= self.weekday <= 6 or not 0 <= self.begin < self.end <= 1440 or self.seats < 1:
            raise InputError(
                f"weekday {self.weekday}, {self.begin} to {self.end}, {self.seats} seats", where=f"idle {self.party}",
                remedy="give a weekday from 0 (Monday), minutes of the day in order, and at least a seat",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop of a tour: minute of the day at which it begins, mesh, riders who get on (off, where below 0)."""

    minute: int
    mesh: int
    riders: int


@dataclass(frozen=True, slots=True)
class Tour:
    """What a vehicle would have done on one day. `wishes`: rows of those it serves."""

    day: int
    stops: tuple[Stop, ...]
    wishes: tuple[int, ...]
    riders: int
    begin: int
    end: int

    @property
    def minutes(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Proposal:
    """A vehicle for one day of the week: the opportunities it serves, its tours on the days looked at, averages of such
    a day, and the price."""

    idle: Idle
    opportunities: tuple[Opportunity, ...]
    tours: tuple[Tour, ...]
    weeks: int

    @property
    def riders(self) -> float:
        return sum(tour.riders for tour in self.tours) / self.weeks

    @property
    def yen(self) -> int:
        return round(sum(tour.minutes for tour in self.tours) / 60 * self.idle.yen_per_hour / self.weeks)

    @property
    def yen_per_rider(self) -> int:
        return round(self.yen / self.riders)


@dataclass(frozen=True)
class Roads:
    """Drives between meshes: codes (m,), ms from each to each (m, m); -1 where there is none."""

    meshes: Ints
    travel_ms: Ints

    @property
    def row_of(self) -> dict[int, int]:
        return {int(mesh): row for row, mesh in enumerate(self.meshes.tolist())}


def roads_of(meshes: Ints, travel_ms: Ints, forever_ms: int) -> Roads:
    """Drives with the shortest way by other meshes wherever that is shorter: a stop lets a vehicle turn, so a plain
    matrix of stops does not keep the triangle inequality that the optimiser needs."""
    best = np.where(travel_ms >= forever_ms, forever_ms, travel_ms).astype(np.int64)
    for via in range(len(meshes)):
        np.minimum(best, best[:, via, None] + best[None, via], out=best)
    return Roads(meshes, np.where(best >= forever_ms, -1, best))


def meshes_of(opportunities: Sequence[Opportunity], wishes: Wishes, idle: Sequence[Idle]) -> Ints:
    """Meshes whose drives are needed."""
    rows = np.array(sorted({row for one in opportunities for row in one.members}), np.int64)
    bases = np.array([vehicle.mesh for vehicle in idle], np.int64)
    return np.unique(np.concatenate([wishes.origin[rows], wishes.destination[rows], bases]))


def proposals(
    opportunities: Sequence[Opportunity], wishes: Wishes, idle: Sequence[Idle], roads: Roads, weeks: int,
    most_yen_per_rider: int,
) -> list[Proposal]:  # fmt: skip
    """Each vehicle on its weekday, where that pays: nothing dearer than `most_yen_per_rider`, nothing that carries
    fewer than LEAST_A_WEEK riders. Vehicles that do not pay are taken out, the dearest first, and the rest plan anew.
    """
    rows = {row: one for one in opportunities for row in one.members}
    found = []
    for weekday in sorted({vehicle.weekday for vehicle in idle}):
        mine = [
            vehicle for vehicle in idle if vehicle.weekday == weekday and vehicle.end - vehicle.begin > 2 * SETUP_MIN
        ]
        days: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            if wishes.weekday[row] == weekday:
                days[int(wishes.day[row])].append(row)
        while mine:
            tours: dict[str, list[Tour]] = defaultdict(list)
            for day in sorted(days):
                for vehicle, tour in _planned(sorted(days[day]), wishes, mine, roads, most_yen_per_rider):
                    tours[vehicle.party].append(tour)
            made = [_proposal(vehicle, tours[vehicle.party], rows, weeks) for vehicle in mine]
            bad = [p for p in made if p.riders < LEAST_A_WEEK or p.yen_per_rider > most_yen_per_rider]
            if not bad:
                found += made
                break
            worst = max(bad, key=lambda p: (p.yen / p.riders if p.riders else np.inf, p.idle.party))
            mine = [vehicle for vehicle in mine if vehicle.party != worst.idle.party]
    return found


def _proposal(vehicle: Idle, tours: list[Tour], rows: Mapping[int, Opportunity], weeks: int) -> Proposal:
    served = Counter(rows[row] for tour in tours for row in tour.wishes)
    return Proposal(vehicle, tuple(one for one, _ in served.most_common()), tuple(tours), weeks)


def _planned(
    rows: list[int], wishes: Wishes, idle: Sequence[Idle], roads: Roads, most_yen: int
) -> list[tuple[Idle, Tour]]:  # fmt: skip
    """Tours of one day, by the optimiser. Deterministic."""
    at = roads.row_of
    kept = [row for row in rows if _can_be(row, wishes, roads, at)]
    if not kept:
        return []
    plan = _best_fleet(kept, wishes, list(idle), roads, most_yen)
    found, r = [], len(kept)
    for vehicle, route, start in plan.tours:
        stops, served = [], []
        for node, begin in zip(route, start, strict=True):
            row, on = kept[node % r], node < r
            mesh = int((wishes.origin if on else wishes.destination)[row])
            stops.append(Stop(int(begin) // MIN_MS, mesh, int(wishes.riders[row]) * (1 if on else -1)))
            if on:
                served.append(row)
        base = at[vehicle.mesh]
        there, back = roads.travel_ms[base, at[stops[0].mesh]], roads.travel_ms[at[stops[-1].mesh], base]
        first = int(np.floor((start[0] - there) / MIN_MS)) - SETUP_MIN
        last = int(np.ceil((start[-1] + STOP_MIN * MIN_MS + back) / MIN_MS)) + SETUP_MIN
        riders = int(wishes.riders[served].sum())
        found.append((vehicle, Tour(int(wishes.day[kept[0]]), tuple(stops), tuple(served), riders, first, last)))
    return found


@dataclass(frozen=True)
class _Plan:
    """Nodes and their times by vehicle, of those that drive, and what all of it costs, wishes left out included."""

    tours: tuple[tuple[Idle, tuple[int, ...], tuple[float, ...]], ...]
    yen: float


def _best_fleet(rows: list[int], wishes: Wishes, idle: list[Idle], roads: Roads, most_yen: int) -> _Plan:
    """The optimiser's plan with the vehicles that pay. Getting a vehicle ready costs the same for one rider as for
    many, so no single insertion would pay: each fleet is planned without that, and the cheapest taken. Of more than
    MOST_FLEETS vehicles, one after another is left out as long as that saves something."""
    if len(idle) <= MOST_FLEETS:
        fleets = [list(some) for size in range(len(idle) + 1) for some in combinations(idle, size)]
        return min((_solved(rows, wishes, fleet, roads, most_yen) for fleet in fleets), key=lambda plan: plan.yen)
    best, fleet = _solved(rows, wishes, idle, roads, most_yen), idle
    while best.tours:
        fewer = []
        for without, _, _ in best.tours:
            rest = [vehicle for vehicle in fleet if vehicle is not without]
            fewer.append((_solved(rows, wishes, rest, roads, most_yen), rest))
        better, rest = min(fewer, key=lambda found: found[0].yen)
        if better.yen >= best.yen:
            break
        best, fleet = better, rest
    return min(best, _solved(rows, wishes, [], roads, most_yen), key=lambda plan: plan.yen)


def _solved(rows: list[int], wishes: Wishes, idle: list[Idle], roads: Roads, most_yen: int) -> _Plan:
    from noriai_engine.plans import annealing, solve

    prices = float(wishes.riders[rows].sum() * most_yen)
    if not idle:
        return _Plan((), prices)
    problem = _problem(rows, wishes, idle, roads, roads.row_of, most_yen)
    solution = solve(problem, annealing(1, ITERATIONS), lambda: 0.0)
    tours = tuple(
        (vehicle, solution.routes[k], solution.start[k]) for k, vehicle in enumerate(idle) if solution.routes[k]
    )
    setup = sum(vehicle.yen_per_hour * 2 * SETUP_MIN / 60 for vehicle, _, _ in tours)
    left = float(problem.price[list(solution.absent)].sum())
    return _Plan(tours, solution.cost + setup + left)


def _can_be(row: int, wishes: Wishes, roads: Roads, at: Mapping[int, int]) -> bool:
    a, b = at[int(wishes.origin[row])], at[int(wishes.destination[row])]
    return a != b and roads.travel_ms[a, b] >= 0


def _problem(
    rows: list[int], wishes: Wishes, idle: Sequence[Idle], roads: Roads, at: Mapping[int, int], most_yen: int
) -> Any:
    """Nodes: all pickups, all dropoffs, vehicles' bases when they leave, and when they are back. Costs are yen."""
    from noriai_engine.plans import Problem

    r, v = len(rows), len(idle)
    picked = np.array(rows, np.int64)
    where = [at[int(mesh)] for mesh in wishes.origin[picked]] + [at[int(mesh)] for mesh in wishes.destination[picked]]
    bases = [at[vehicle.mesh] for vehicle in idle]
    where += bases + bases
    travel = roads.travel_ms[np.ix_(where, where)]
    travel = np.where(travel < 0, 2**27, travel).astype(np.int32)
    wished = wishes.minute[picked] * MIN_MS
    direct = travel[np.arange(r), r + np.arange(r)].astype(np.int64)
    longest = (direct * DETOUR).astype(np.int64) + EXTRA_MIN * MIN_MS
    idle_from = np.array([vehicle.begin + SETUP_MIN for vehicle in idle], np.int64) * MIN_MS
    idle_to = np.array([vehicle.end - SETUP_MIN for vehicle in idle], np.int64) * MIN_MS
    early = np.concatenate([wished - EARLIER_MIN * MIN_MS, wished - EARLIER_MIN * MIN_MS, idle_from, idle_from])
    late = np.concatenate([wished + LATER_MIN * MIN_MS, wished + LATER_MIN * MIN_MS + longest, idle_to, idle_to])
    hourly = np.array([vehicle.yen_per_hour for vehicle in idle], np.float64)
    return Problem(
        name="idle vehicles", label=tuple(f"{n}" for n in range(2 * r + 2 * v)), travel=travel,
        cost=(travel[None] / 3_600_000 * hourly[:, None, None]).astype(np.float64),
        early=np.maximum(early, 0), late=np.maximum(late, 0),
        service=np.concatenate([np.full(2 * r, STOP_MIN * MIN_MS), np.zeros(2 * v, np.int64)]),
        pickup=np.arange(r), delivery=r + np.arange(r), demand=wishes.riders[picked][:, None].astype(int),
        layouts=tuple(np.array([[vehicle.seats]]) for vehicle in idle), kind=np.arange(v),
        start=2 * r + np.arange(v), end=2 * r + v + np.arange(v), duration=idle_to - idle_from,
        fixed=np.zeros(v), max_ride=longest,
        price=wishes.riders[picked].astype(np.float64) * most_yen, unit="ms",
    )  # fmt: skip
