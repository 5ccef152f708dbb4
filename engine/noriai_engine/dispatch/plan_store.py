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
from noriai_engine.model import RESOURCE_NAMES, ServiceDay, Spot, Vehicle
from noriai_engine.model.plan import ActivityKind
from noriai_engine.roads import Drive, TravelTimes

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
        self.depot = [travel_times.stop_at(v.depot)[0] for v in vehicles]
        self._times = travel_times
        self.scratch: Scratch = scratch_for(_FIRST_ROOM + 2, kinds)
        self.paths = Paths(
            np.zeros(len(vehicles), np.int8), np.zeros(len(vehicles), np.int32), np.zeros(len(vehicles), np.int32),
            np.zeros((len(vehicles), _FIRST_PATH), np.int32), np.zeros((len(vehicles), _FIRST_PATH), np.int32),
            np.zeros(len(vehicles), np.int32),
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
            (plans.state[row], plans.offset[row]), plans.kind[row], plans.request[row] = self.depot[index], kind, -1
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
        """Schedule an insertion from `start` and write it; False, and no change, where it is infeasible.

        `rows` must have been asked for since the plan last moved or grew: call `make_room` first.
        """
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
        advance_positions(self.plans, self.paths, self._times.metric.inner_ms, now)
        lock_until(self.plans, horizon)

    def set_path(self, vehicle: int, drive: Drive, leaves: int) -> None:
        """The vehicle is under way along `drive`, having left at `leaves` (day ms)."""
        count = len(drive.states)
        while count > self.paths.state.shape[1]:
            wider = [np.zeros((len(a), 2 * a.shape[1]), np.int32) for a in (self.paths.state, self.paths.enter)]
            for old, new in zip((self.paths.state, self.paths.enter), wider, strict=True):
                new[:, : old.shape[1]] = old
            self.paths = self.paths._replace(state=wider[0], enter=wider[1])
        self.paths.driving[vehicle] = 1
        self.paths.at[vehicle], self.paths.count[vehicle] = 0, count
        self.paths.state[vehicle, :count] = drive.states
        self.paths.enter[vehicle, :count] = leaves + drive.enter_ms
        self.paths.target[vehicle] = drive.target.offset_ms
        self._stand(vehicle, drive.source, leaves)

    def stop_at(self, vehicle: int, spot: Spot, now: int) -> None:
        """The vehicle stands at `spot` from `now` on."""
        self.paths.driving[vehicle] = 0
        self._stand(vehicle, spot, now)
        self.plans.leg[self.plans.first[vehicle] + 1] = 0

    def _stand(self, vehicle: int, spot: Spot, since: int) -> None:
        base = self.plans.first[vehicle]
        self.plans.state[base], self.plans.offset[base], self.plans.begin[base] = *spot, since

    def spot(self, row: int) -> Spot:
        return Spot(int(self.plans.state[row]), int(self.plans.offset[row]))
