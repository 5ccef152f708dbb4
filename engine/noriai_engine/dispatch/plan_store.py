"""The fleet's plans and positions: the one writer's state. Finding reads it, only the Dispatcher changes it."""

from collections.abc import Sequence

import numpy as np

from noriai_engine.dispatch.kernels.insertion import (
    Layouts,
    Rows,
    Scratch,
    Wish,
    schedule_insertion,
    scratch_for,
)
from noriai_engine.dispatch.kernels.upkeep import (
    Paths,
    advance_positions,
    apply_insertion,
    lock_until,
    start_next,
)
from noriai_engine.dispatch.plan_arrays import PlanArrays, empty_plans, with_room
from noriai_engine.model import RESOURCE_NAMES, ServiceDay, Vehicle
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.units import IntArray, NodeIndex
from noriai_engine.roads.travel_times import TravelTimes

_FIRST_ROOM = 12
_FIRST_PATH = 256


class PlanStore:
    """Arrays of plans, versions and paths under way, with the depots and layouts of the fleet."""

    def __init__(self, vehicles: Sequence[Vehicle], travel_times: TravelTimes, day: ServiceDay) -> None:
        kinds = len(RESOURCE_NAMES)
        self.plans: PlanArrays = empty_plans(len(vehicles), _FIRST_ROOM, kinds)
        self.version = np.zeros(len(vehicles), np.int64)
        self.layouts = Layouts(
            np.cumsum([0, *(len(v.layouts) for v in vehicles)]).astype(np.int32),
            np.array([layout.as_tuple() for v in vehicles for layout in v.layouts], np.int16).reshape(-1, kinds),
        )
        self.depot = [travel_times.network.snap(v.depot)[0] for v in vehicles]
        self.scratch: Scratch = scratch_for(_FIRST_ROOM + 2, kinds)
        self.paths = Paths(
            np.zeros(len(vehicles), np.int8), np.zeros(len(vehicles), np.int32), np.zeros(len(vehicles), np.int32),
            np.zeros((len(vehicles), _FIRST_PATH), np.int32), np.zeros((len(vehicles), _FIRST_PATH), np.int32),
        )  # fmt: skip
        for index, vehicle in enumerate(vehicles):
            self._first_plan(index, vehicle, day)

    def _first_plan(self, index: int, vehicle: Vehicle, day: ServiceDay) -> None:
        """At the depot from the shift's start, the breaks at the depot, back there for the shift's end."""
        breaks = sorted(vehicle.breaks, key=lambda pause: pause.earliest)
        self.make_room(index, len(breaks) + 2)
        plans, base = self.plans, int(self.plans.first[index])
        start, end = day.to_day_ms(vehicle.shift.start), day.to_day_ms(vehicle.shift.end)
        rows = [(ActivityKind.POSITION, start, start, 0)]
        rows += [
            (ActivityKind.BREAK, day.to_day_ms(p.earliest), day.to_day_ms(p.latest), p.duration_ms) for p in breaks
        ]
        rows.append((ActivityKind.END, end, end, 0))
        free: int = start
        for k, (kind, earliest, latest, service) in enumerate(rows):
            row = base + k
            plans.node[row], plans.kind[row], plans.request[row] = self.depot[index], kind, -1
            plans.earliest[row], plans.latest[row], plans.service[row] = earliest, latest, service
            plans.leg[row], plans.partner[row], plans.locked[row] = 0, -1, 0
            plans.begin[row] = max(free, earliest)
            free = int(plans.begin[row]) + service
        plans.count[index] = len(rows)

    def free_from(self, vehicle: int, now: int) -> int:
        """When the vehicle can set out from its position, day ms."""
        return max(int(self.plans.begin[self.plans.first[vehicle]]), now)

    def make_room(self, vehicle: int, rows: int) -> None:
        self.plans = with_room(self.plans, vehicle, rows)
        if rows + 2 > len(self.scratch.begin):
            self.scratch = scratch_for(2 * rows, len(RESOURCE_NAMES))

    def insert(self, vehicle: int, request: int, wish: Wish, rows: Rows, i: int, j: int, start: int) -> bool:
        """Schedule an insertion from `start` and write it; False, and no change, where it is infeasible."""
        self.make_room(vehicle, int(self.plans.count[vehicle]) + 2)
        if not schedule_insertion(self.plans, vehicle, wish, rows, i, j, start, self.scratch):
            return False
        apply_insertion(self.plans, vehicle, request, wish, rows, i, j, self.scratch)
        self.version[vehicle] += 1
        return True

    def first_free(self, vehicle: int) -> int:
        """The row after which something may be inserted: the last locked one, or the position."""
        base, count = int(self.plans.first[vehicle]), int(self.plans.count[vehicle])
        return int(np.flatnonzero(self.plans.locked[base : base + count]).max(initial=0))

    def start_next(self, vehicle: int) -> None:
        start_next(self.plans, vehicle)
        self.version[vehicle] += 1

    def advance(self, now: int, horizon: int) -> None:
        advance_positions(self.plans, self.paths, now)
        lock_until(self.plans, horizon)

    def set_path(self, vehicle: int, nodes: IntArray, arrivals: IntArray) -> None:
        """The vehicle is under way along `nodes`, reaching each at `arrivals` (day ms)."""
        while len(nodes) > self.paths.node.shape[1]:
            wider = [np.zeros((len(a), 2 * a.shape[1]), np.int32) for a in (self.paths.node, self.paths.ms)]
            for old, new in zip((self.paths.node, self.paths.ms), wider, strict=True):
                new[:, : old.shape[1]] = old
            self.paths = self.paths._replace(node=wider[0], ms=wider[1])
        self.paths.driving[vehicle] = 1
        self.paths.at[vehicle], self.paths.count[vehicle] = 0, len(nodes)
        self.paths.node[vehicle, : len(nodes)] = nodes
        self.paths.ms[vehicle, : len(nodes)] = arrivals
        base = self.plans.first[vehicle]
        self.plans.node[base], self.plans.begin[base] = nodes[0], arrivals[0]

    def stop_at(self, vehicle: int, node: NodeIndex, now: int) -> None:
        """The vehicle stands at `node` from `now` on."""
        self.paths.driving[vehicle] = 0
        base = self.plans.first[vehicle]
        self.plans.node[base], self.plans.begin[base], self.plans.leg[base + 1] = node, now, 0
