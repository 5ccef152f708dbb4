"""Batch matching: riders who wait for an answer, and those accepted who may still change vehicles, assigned together.

Riders are taken out of the plans, trips grown for every vehicle (`kernels.sharing`), and the best choice of trips found
by set packing. It starts from the greedy plan (one rider after another, at least added driving) and is taken only where
it is strictly better: more riders by their weight, or as many at less cost. Alonso-Mora et al., PNAS 114(3), 2017.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.dispatch.kernels.batch import (
    Edges,
    Riders,
    Trips,
    edges,
    movable,
    place_one_by_one,
    read_limits,
    strip,
)
from noriai_engine.dispatch.kernels.insertion import memo_for, scratch_for
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.kernels.rewriting import read_order, write_order
from noriai_engine.dispatch.kernels.search import found_for
from noriai_engine.dispatch.kernels.sharing import Pairs, TripGraph, grow, growth_for
from noriai_engine.dispatch.kernels.tours import branch_for, sheet_for
from noriai_engine.dispatch.kernels.upkeep import lock_until
from noriai_engine.dispatch.packing import Columns, choose
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays, empty_rows, with_room
from noriai_engine.model.units import ByteArray, IntArray, LongArray
from noriai_engine.roads import TravelTimes
from noriai_engine.roads.kernels.bounds import RoadView

NOBODY = np.zeros(0, np.int32)
_FIRST_TRIPS = 20_000


@dataclass(frozen=True, slots=True)
class MatchParams:
    """`vehicles_a_rider`: vehicles tried for a rider, those that could come at least added driving, of each operator.
    `riders_a_trip`, `trips_a_vehicle`: the most that are grown. `steps_an_order`: branches of the search for the best
    order of one trip's stops; beyond, the best found is taken. `freeze_ms`: who begins to board sooner keeps the
    vehicle. `ahead_ms`: plans are looked at so far ahead; what begins later stays as it is. `unserved_ms`: ms of
    driving that a rider of weight 1 left out weighs. `rider_permille`: what a rider's time until arrival weighs, in
    thousandths of driving. `nodes`, `seconds`: where the choice of trips ends early; seconds (None: no limit) are not
    the same from run to run.
    """

    vehicles_a_rider: int = 12
    riders_a_trip: int = 6
    trips_a_vehicle: int = 300
    steps_an_order: int = 1_000
    freeze_ms: int = 0
    ahead_ms: int = 3_600_000
    unserved_ms: int = 100_000_000
    rider_permille: int = 0
    nodes: int = 200
    seconds: float | None = None

    def __post_init__(self) -> None:
        least = min(self.vehicles_a_rider, self.riders_a_trip, self.trips_a_vehicle, self.steps_an_order, self.nodes)
        if least < 1 or min(self.freeze_ms, self.ahead_ms, self.unserved_ms, self.rider_permille) < 0:
            raise ValueError(f"{self}: counts must be 1 or more, and times and weights 0 or more")


@dataclass(frozen=True)
class Waiting:
    """Who waits for an answer (w,): limits, the number by which plans will name them, and weight."""

    trips: Trips
    request: IntArray
    weight: LongArray


@dataclass(frozen=True)
class World:
    """What a batch reads: the fleet, its plans and drives under way, which vehicles keep theirs as they are (V,); of
    requests by number, which keep their vehicle (requests,), what bits they need, and whose riders one must not meet.
    `now` and `horizon` are day ms: what begins by the horizon is announced."""

    fleet: FleetArrays
    plans: PlanArrays
    paths: Paths
    skip: ByteArray
    pinned: ByteArray
    needs_of: Callable[[IntArray], LongArray]
    shunned_by: Callable[[int], list[int]]
    now: int
    horizon: int


@dataclass(frozen=True)
class Matching:
    """The outcome: `plans` anew, and the `changed` vehicles. Of every rider of the batch (k,), those who waited last:
    `request`, the vehicle at `home` before (-1: waited) and `vehicle` now (-1: none). (Price of those left out, cost)
    of the greedy plan and of this one; how many trips were grown; and whether set packing's choice was taken."""

    plans: PlanArrays
    changed: tuple[int, ...]
    request: IntArray
    home: IntArray
    vehicle: IntArray
    greedy: tuple[int, int] = (0, 0)
    value: tuple[int, int] = (0, 0)
    trips: int = 0
    packed: bool = False


@dataclass(frozen=True)
class _Given:
    """A vehicle's trip in the greedy plan: riders by row, the order of stops as codes, its cost."""

    riders: list[int]
    codes: list[int]
    cost: int


class Matcher:
    """Working space for batches over one fleet."""

    def __init__(self, times: TravelTimes, params: MatchParams) -> None:
        self._times, self.params = times, params
        self._sheets, self._branch = (sheet_for(), sheet_for()), branch_for()
        self._growth = growth_for(params.trips_a_vehicle)
        self._trips = _FIRST_TRIPS

    def match(self, world: World, waiting: Waiting) -> Matching:
        """Answer who waits, and look for better vehicles for who was accepted.

        Reads the given plans and changes nothing but positions and locks that time brings.
        """
        until = max([world.now + self.params.ahead_ms, *waiting.trips.dropoff_latest.tolist()])
        with self._times.reading():
            roads = self._times.kernel_view(world.plans.rows.state, waiting.trips.origin, waiting.trips.destination)
            for vehicle in range(len(world.plans.first)):
                if world.paths.driving[vehicle]:
                    locate(roads, world.plans, world.paths, vehicle, world.now)
                lock_until(world.plans, vehicle, world.horizon)
            greedy, taken = self._greedy(roads, world, waiting)
            riders = self._riders(roads, world, waiting, until)
            mine = riders.home.copy()
            mine[len(mine) - len(taken) :] = taken
            if not len(mine):
                return Matching(greedy, (), riders.request, riders.home, mine)
            wanted = self._wanted(roads, world, riders, mine)
            while (graph := self._grown(roads, world, riders, wanted, until)) is None:
                self._trips *= 2
            prices = np.zeros(len(mine), np.int64)
            prices[len(mine) - len(taken) :] = waiting.weight * self.params.unserved_ms
            return self._choice(roads, world, greedy, riders, mine, graph, prices, until)

    # --- the greedy plan ------------------------------------------------------------------------------------

    def _greedy(self, roads: RoadView, world: World, waiting: Waiting) -> tuple[PlanArrays, IntArray]:
        """Plans with those who wait inserted one after another, and the vehicle of each, -1 for none."""
        plans, count, k = copied(world.plans), len(waiting.request), 0
        first, shunned = _listed([world.shunned_by(r) for r in waiting.request.tolist()])
        taken = Riders(waiting.trips, np.full(count, -1, np.int32), waiting.request, NOBODY, first, shunned)
        found = found_for(len(plans.first), _operators(world.fleet), 1)
        while True:
            memo, s = memo_for(len(plans.first), len(plans.rows)), scratch_for(_longest(plans))
            k = place_one_by_one(
                roads, world.fleet, plans, world.paths, taken, k, world.now, world.horizon, memo, s, found
            )
            if k == count:
                return plans, taken.home
            vehicle = int(taken.home[k])
            plans = with_room(plans, vehicle, 2 * int(plans.room[vehicle]))

    # --- riders and trips -----------------------------------------------------------------------------------

    def _riders(self, roads: RoadView, world: World, waiting: Waiting, until: int) -> Riders:
        """Who may change vehicles, then who waits, with their limits."""
        plans, room, used = world.plans, np.zeros(int(world.plans.count.sum()) + 1, np.int32), 0
        home: list[int] = []
        for vehicle in np.flatnonzero((plans.count > 2) & (world.skip == 0)).tolist():
            before = used
            used = movable(plans, vehicle, world.now, self.params.freeze_ms, until, world.pinned, room, used)
            home += [vehicle] * (used - before)
        request = np.concatenate([room[:used], waiting.request]).astype(np.int32)
        columns: Any = [np.concatenate([np.zeros((used, *c.shape[1:]), c.dtype), c]) for c in waiting.trips]
        trips = Trips(*columns)
        row_of = np.full(len(world.pinned), -1, np.int32)
        row_of[request] = np.arange(len(request), dtype=np.int32)
        first, shunned = _listed([world.shunned_by(r) for r in request.tolist()])
        homes = np.array(home + [-1] * len(waiting.request), np.int32)
        riders = Riders(trips, homes, request, row_of, first, shunned)
        for vehicle in sorted(set(home)):
            read_limits(roads, plans, vehicle, riders)
        trips.needs[:used] = world.needs_of(request[:used])
        trips.operator[:used] = world.fleet.operator[homes[:used]]
        return riders

    def _wanted(self, roads: RoadView, world: World, riders: Riders, mine: IntArray) -> dict[int, list[int]]:
        """Riders to try with each vehicle: where they are in the greedy plan, and where they could go at least cost."""
        fleet, params, count = world.fleet, self.params, len(riders.home)
        stripped, s = copied(world.plans), scratch_for(_longest(world.plans))
        for vehicle in range(len(stripped.first)):
            good = not world.skip[vehicle] and stripped.count[vehicle] > 1
            if not good or not strip(roads, fleet, stripped, world.paths, vehicle, riders.row_of, world.now, s):
                stripped.count[vehicle] = 0
        pairs = {(v, r) for r, v in enumerate(mine.tolist()) if v >= 0}
        if len(stripped.first) <= params.vehicles_a_rider:  # few enough to try them all, whatever the order of stops
            fits = (fleet.can[None, :] & riders.trips.needs[:, None]) == riders.trips.needs[:, None]
            own = riders.trips.operator[:, None]
            fits &= (stripped.count[None, :] > 0) & ((own < 0) | (own == fleet.operator[None, :]))
            pairs |= {(v, r) for r, v in np.argwhere(fits).tolist()}
        else:
            found = found_for(len(stripped.first), _operators(fleet), params.vehicles_a_rider)
            most = count * _operators(fleet) * params.vehicles_a_rider
            who, where = np.zeros((2, most), np.int32)
            out = Edges(np.zeros(1, np.int64), who, where)
            memo = memo_for(len(stripped.first), len(stripped.rows))
            edges(roads, fleet, stripped, world.paths, riders, world.now, memo, s, found, out)
            used = int(out.used[0])
            pairs |= set(zip(out.vehicle[:used].tolist(), out.rider[:used].tolist(), strict=True))
        wanted: dict[int, list[int]] = {}
        for vehicle, rider in sorted(pairs):
            if not world.skip[vehicle]:
                wanted.setdefault(vehicle, []).append(rider)
        return wanted

    def _grown(
        self, roads: RoadView, world: World, riders: Riders, wanted: dict[int, list[int]], until: int
    ) -> TripGraph | None:
        """The trips of all vehicles; None where they need more room."""
        params, n, k = self.params, self._trips, len(riders.home)
        graph = TripGraph(
            np.zeros(3, np.int64), np.zeros(n, np.int32), np.zeros(n, np.int64), np.zeros(n + 1, np.int64),
            np.zeros(4 * n, np.int32), np.zeros(n + 1, np.int64), np.zeros(10 * n, np.int32),
        )  # fmt: skip
        electric = world.fleet.battery.range_mm.any()
        pairs = Pairs(
            np.full((2 * k, 2 * k), -1, np.int32), np.full((2 * k, 2 * k) if electric else (0, 0), -1, np.int64),
            np.zeros((k, k), np.int8),
        )  # fmt: skip
        self._growth.stamp[:] = 0
        s = scratch_for(_longest(world.plans) + 130)
        for vehicle, members in wanted.items():
            if not grow(
                roads, world.fleet, world.plans, world.paths, vehicle, riders, np.array(members, np.int32), world.now,
                until, params.riders_a_trip, params.trips_a_vehicle, params.steps_an_order, params.rider_permille,
                pairs, graph, self._growth, *self._sheets, self._branch, s,
            ):  # fmt: skip
                return None
        return graph

    # --- the choice -----------------------------------------------------------------------------------------

    def _choice(
        self, roads: RoadView, world: World, greedy: PlanArrays, riders: Riders, mine: IntArray, graph: TripGraph,
        prices: LongArray, until: int,
    ) -> Matching:  # fmt: skip
        """The best choice of trips where it is better than the greedy plan, else that."""
        used = int(graph.used[0])
        length = np.diff(graph.first_rider[: used + 1])
        trips = np.flatnonzero(length > 0)
        alone = {int(graph.vehicle[t]): int(t) for t in np.flatnonzero(length == 0)}  # with what stays there only
        given = self._given(world, greedy, riders, mine, until)
        base = np.zeros(len(greedy.first), np.int64)
        for vehicle, t in alone.items():
            base[vehicle] = graph.cost[t]
        more = [rider for trip in given.values() for rider in trip.riders]
        lengths = np.concatenate([length[trips], [len(trip.riders) for trip in given.values()]])
        columns = Columns(
            np.concatenate([graph.vehicle[trips], np.array(list(given), np.int32)]),
            np.concatenate([graph.cost[trips] - base[graph.vehicle[trips]],
                            np.array([trip.cost - base[v] for v, trip in given.items()], np.int64)]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([graph.rider[: graph.used[1]], np.array(more, np.int32)]),
            (riders.home >= 0).astype(np.int8), prices, np.array([v for v in given if v not in alone], np.int32),
        )  # fmt: skip
        known = np.arange(len(trips), len(trips) + len(given))
        before = columns.value(known)
        chosen = choose(columns, known, self.params.nodes, self.params.seconds)
        if chosen is None or columns.value(chosen) >= before:
            changed = tuple(sorted(set(mine[(riders.home < 0) & (mine >= 0)].tolist())))
            return Matching(greedy, changed, riders.request, riders.home, mine, before, before, used)
        orders = {vehicle: _codes(graph, t) for vehicle, t in alone.items()}
        where = np.full(len(mine), -1, np.int32)
        for column in chosen.tolist():
            vehicle = int(columns.vehicle[column])
            where[columns.rider[columns.first[column] : columns.first[column + 1]]] = vehicle
            in_graph = column < len(trips)
            orders[vehicle] = _codes(graph, int(trips[column])) if in_graph else given[vehicle].codes
        plans, written = self._written(roads, world, riders, orders, until)
        value = columns.value(chosen)
        return Matching(plans, written, riders.request, riders.home, where, before, value, used, packed=True)

    def _given(self, world: World, greedy: PlanArrays, riders: Riders, mine: IntArray, until: int) -> dict[int, _Given]:
        """The greedy plan's trips, by vehicle."""
        out = {}
        for vehicle in sorted(set(mine[mine >= 0].tolist())):
            codes, cost = self._order(world, greedy, vehicle, riders, until)
            out[vehicle] = _Given(sorted({(-1 - code) >> 1 for code in codes if code < 0}), codes, cost)
        return out

    def _order(
        self, world: World, plans: PlanArrays, vehicle: int, riders: Riders, until: int
    ) -> tuple[list[int], int]:
        """The order of a plan that was the world's before, as codes, and its cost."""
        codes, cost = np.zeros(int(plans.count[vehicle]), np.int32), np.zeros(1, np.int64)
        end = read_order(
            plans, world.plans, world.paths, vehicle, riders, until, world.now, self.params.rider_permille, codes, cost
        )
        return codes[:end].tolist(), int(cost[0])

    def _written(
        self, roads: RoadView, world: World, riders: Riders, orders: dict[int, list[int]], until: int
    ) -> tuple[PlanArrays, tuple[int, ...]]:
        """Plans with these orders, and the vehicles whose plans are others now."""
        plans, changed = copied(world.plans), []
        most = _longest(plans) + 2 * max(len(order) for order in orders.values())
        spare, s = empty_rows(most), scratch_for(most)
        for vehicle, order in sorted(orders.items()):
            if self._order(world, world.plans, vehicle, riders, until)[0] == order:
                continue
            plans = with_room(plans, vehicle, int(plans.count[vehicle]) + len(order))
            changed.append(vehicle)
            codes = np.array(order, np.int32)
            if not write_order(
                roads, world.fleet, plans, world.paths, vehicle, riders, codes, until, world.now, spare, s
            ):
                raise AssertionError("a trip of the graph breaks a rule of dispatch")
        return plans, tuple(changed)


def rows_of(trips: Trips, which: IntArray) -> Trips:
    """Some rows of a table."""
    columns: Any = [column[which] for column in trips]
    return Trips(*columns)


def copied(plans: PlanArrays) -> PlanArrays:
    """The same plans in arrays of their own."""
    return PlanArrays(
        plans.first.copy(), plans.count.copy(), plans.room.copy(), plans.aboard.copy(),
        plans.rows.copy().view(np.recarray),
    )  # fmt: skip


def _codes(graph: TripGraph, trip: int) -> list[int]:
    codes: list[int] = graph.code[graph.first_code[trip] : graph.first_code[trip + 1]].tolist()
    return codes


def _operators(fleet: FleetArrays) -> int:
    return int(fleet.operator.max(initial=0)) + 1


def _listed(lists: list[list[int]]) -> tuple[IntArray, IntArray]:
    """Where each list begins (n + 1,), and all of them one after another."""
    first = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int32)
    return first, np.array([r for x in lists for r in x], np.int32)


def _longest(plans: PlanArrays) -> int:
    """Rows enough for any plan that comes out of these."""
    return 2 * int(plans.room.max(initial=12)) + 8
