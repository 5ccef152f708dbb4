"""The fleet's plans and positions: the one writer's state. Finding reads it, only the Dispatcher changes it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from noriai_engine.dispatch.kernels.energy import gained, lasts, left_behind
from noriai_engine.dispatch.kernels.insertion import Memo, Scratch, Wish, first_free, memo_for, scratch_for
from noriai_engine.dispatch.kernels.positions import Paths, locate
from noriai_engine.dispatch.kernels.upkeep import insert, lock_until, start_next
from noriai_engine.dispatch.plan_arrays import (
    Batteries,
    FleetArrays,
    PlanArrays,
    PlanRow,
    empty_plans,
    no_batteries,
    with_room,
)
from noriai_engine.model import RESOURCE_NAMES, InputError, ServiceDay, Spot, Vehicle
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.units import ByteArray, OperatorId
from noriai_engine.roads import Drive, TravelTimes
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.climbing import Climbs

_FIRST_ROOM = 12
_FIRST_PATH = 256
_MOST_SKILLS = 61
IN_SERVICE = 1 << 62
"""Every wish needs it: a vehicle without this bit takes no new riders."""
CHOSEN = 1 << 61
"""A wish for one vehicle only needs it, and only that vehicle has it for as long as is searched."""


class PlanStore:
    """Arrays of plans, versions and paths under way, with the fleet they belong to."""

    def __init__(self, vehicles: Sequence[Vehicle], travel_times: TravelTimes, day: ServiceDay) -> None:
        self.plans: PlanArrays = empty_plans(len(vehicles), _FIRST_ROOM)
        self.version = np.zeros(len(vehicles), np.int64)
        self._vehicles, self._day = list(vehicles), day
        self.operators, self._skill_bit = _operators_of(vehicles), _bits_of(vehicles)
        self.fleet = fleet_arrays(vehicles, self.operators, self._skill_bit, day)
        self.home = [travel_times.stop_at(v.depot)[0] for v in vehicles]
        self.depot = list(self.home)  # where vehicles wait and end: elsewhere while their home is cut off
        self._times = travel_times
        self.scratch: Scratch = scratch_for(_FIRST_ROOM + 2)
        self.memo: Memo = memo_for(len(vehicles), len(self.plans.rows))
        self.paths = paths_for(len(vehicles), _FIRST_PATH, travel_times.metric.oracle.climbs())
        for index, vehicle in enumerate(vehicles):
            self._first_plan(index, vehicle, day)
            self._charged_at(index, self.depot[index])

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
            row = plans.rows[base + k]
            (row.state, row.offset), row.kind, row.request, row.partner = self.depot[index], kind, -1, -1
            row.earliest, row.latest, row.service, row.leg, row.locked = earliest, latest, service, 0, 0
            row.promised = latest
            row.begin = max(free, earliest)
            free = int(row.begin) + service
            row.done = free
        plans.count[index] = len(rows)

    def put_rows(self, vehicle: int, rows: Sequence[Any]) -> None:
        """Make these rows the vehicle's plan, as they are; drives and times must be worked out anew."""
        self.make_room(vehicle, len(rows))
        base, place = int(self.plans.first[vehicle]), {}
        for k, row in enumerate(rows):
            self.plans.rows[base + k] = row
            if row.kind == ActivityKind.PICKUP:
                place[int(row.request)] = k
            self.plans.rows[base + k].partner = (
                place.get(int(row.request), -1) if row.kind == ActivityKind.DROPOFF else -1
            )
        self.plans.count[vehicle] = len(rows)
        self.version[vehicle] += 1

    def clear(self, vehicle: int) -> None:
        """The plan the vehicle began with: its shift and breaks, no rides."""
        self._first_plan(vehicle, self._vehicles[vehicle], self._day)
        self.version[vehicle] += 1

    def add(self, vehicle: Vehicle) -> int:
        """A vehicle more, waiting at its depot; returns its row."""
        index = len(self._vehicles)
        self._vehicles.append(vehicle)
        self.operators, self._skill_bit = _operators_of(self._vehicles), _bits_of(self._vehicles)
        before = self.fleet
        self.fleet = fleet_arrays(self._vehicles, self.operators, self._skill_bit, self._day)
        self.fleet.shift_end[:index] = before.shift_end
        self.fleet.can[:index] &= ~IN_SERVICE | (before.can & IN_SERVICE)
        self.home.append(self._times.stop_at(vehicle.depot)[0])
        self.depot.append(self.home[-1])
        plans, one = self.plans, empty_plans(1, _FIRST_ROOM)
        self.plans = PlanArrays(
            np.append(plans.first, np.int64(len(plans.rows))), np.append(plans.count, one.count),
            np.append(plans.room, one.room), np.concatenate([plans.aboard, one.aboard]),
            np.concatenate([plans.rows, one.rows]).view(np.recarray),
        )  # fmt: skip
        self.version = np.append(self.version, 0)
        more = paths_for(1, self.paths.state.shape[1], self.paths.climbs)
        grown: Any = {
            name: np.concatenate([getattr(self.paths, name), getattr(more, name)])
            for name in Paths._fields if name not in ("turns", "climbs")
        }  # fmt: skip
        self.paths = self.paths._replace(**grown)
        self.refit()
        self._first_plan(index, vehicle, self._day)
        for name in ("left_mm", "state", "offset"):
            getattr(self.fleet.battery, name)[:index] = getattr(before.battery, name)
        self._charged_at(index, self.depot[index])
        return index

    # --- what kernels need ----------------------------------------------------------------------------------

    def operator_row(self, operator: OperatorId) -> int | None:
        """Row of an operator, None for one that has no vehicle here."""
        return self.operators.index(operator) if operator in self.operators else None

    def skill_bits(self, skills: Iterable[str]) -> int | None:
        """Bits of skills; None where no vehicle here has one of them."""
        if any(skill not in self._skill_bit for skill in skills):
            return None
        return IN_SERVICE | sum({self._skill_bit[skill] for skill in skills})

    def roads(self, now: int, *spots: Spot) -> RoadView:
        """Times and ways between everything planned and some spots."""
        if self._times.metric.oracle.weights.labels is None:  # rows of labels for those in use: first say which
            view = self._times.kernel_view(self.plans.rows.state)
            for vehicle in np.flatnonzero(self.paths.driving).tolist():
                locate(view, self.plans, self.paths, vehicle, now)
        return self._times.kernel_view(self.plans.rows.state, *(spot.state for spot in spots))

    def new_question(self) -> None:
        """Forget the times looked up for the trip before."""
        self.memo.question[0] += 1

    def refit(self) -> None:
        """Working space for the fleet and plans as they are."""
        self.memo = memo_for(len(self.version), len(self.plans.rows))
        self.scratch = scratch_for(2 * int(self.plans.room.max(initial=_FIRST_ROOM)))

    def make_room(self, vehicle: int, rows: int) -> None:
        self.plans = with_room(self.plans, vehicle, rows)
        if len(self.plans.rows) > len(self.memo.rows):
            self.memo = memo_for(len(self.version), 2 * len(self.plans.rows))
        if rows + 2 > len(self.scratch.rows):
            self.scratch = scratch_for(2 * rows)

    def set_in_service(self, vehicle: int, in_service: bool) -> None:
        """Whether the vehicle takes new riders."""
        if in_service:
            self.fleet.can[vehicle] |= IN_SERVICE
        else:
            self.fleet.can[vehicle] &= ~IN_SERVICE

    # --- changes --------------------------------------------------------------------------------------------

    def insert(self, vehicle: int, request: int, wish: Wish, i: int, j: int, now: int, horizon: int) -> bool:
        """Schedule an insertion from `now` on and write it; False, and no change, where it is infeasible."""
        self.make_room(vehicle, int(self.plans.count[vehicle]) + 2)
        self.new_question()
        with self._times.reading():
            roads = self.roads(now, Spot(wish.origin), Spot(wish.destination))
            done = insert(
                roads, self.fleet, self.plans, self.paths, vehicle, request, wish, i, j, now, horizon, self.memo,
                self.scratch,
            )  # fmt: skip
        self.version[vehicle] += done
        return bool(done)

    def start_next(self, vehicle: int) -> None:
        coming, battery = self.plans.rows[int(self.plans.first[vehicle]) + 1], self.fleet.battery
        if coming.kind == ActivityKind.BREAK:
            left = int(battery.left_mm[vehicle]) + int(gained(self.fleet, vehicle, coming.service))
            battery.left_mm[vehicle] = min(int(battery.range_mm[vehicle]), left)
        start_next(self.plans, vehicle)
        self.version[vehicle] += 1

    def settle(self, vehicle: int, now: int, horizon: int) -> None:
        """Find the vehicle's position and lock what begins by `horizon`."""
        if self.paths.driving[vehicle]:
            locate(self._times.kernel_view(self.plans.rows.state), self.plans, self.paths, vehicle, now)
        lock_until(self.plans, vehicle, horizon)

    def set_path(self, vehicle: int, drive: Drive, leaves: int) -> None:
        """The vehicle is under way along `drive`, having left at `leaves` (day ms)."""
        count = len(drive.states)
        while count > self.paths.state.shape[1]:
            wider = [np.zeros((len(a), 2 * a.shape[1]), np.int32) for a in (self.paths.state, self.paths.enter)]
            for old, new in zip((self.paths.state, self.paths.enter), wider, strict=True):
                new[:, : old.shape[1]] = old
            self.paths = self.paths._replace(state=wider[0], enter=wider[1])
        self.spend(vehicle, drive.source)
        self.paths.driving[vehicle], self.paths.whole[vehicle], self.paths.roaming[vehicle] = 1, 1, 0
        self.paths.located[vehicle] = leaves
        self.paths.at[vehicle], self.paths.count[vehicle] = 0, count
        self.paths.state[vehicle, :count] = drive.states
        self.paths.enter[vehicle, :count] = leaves + drive.enter_ms
        self.paths.target[vehicle] = drive.target.offset_ms
        self._stand(vehicle, drive.source, leaves)

    def roam(self, vehicle: int, spot: Spot, due: int, onward: int) -> None:
        """The path just set ends where the vehicle is to wait, `onward` ms from its next activity."""
        self.paths.roaming[vehicle], self.paths.due[vehicle], self.paths.onward[vehicle] = 1, due, onward
        self.paths.goal[vehicle], self.paths.goal_ms[vehicle] = spot

    def goal(self, vehicle: int) -> Spot:
        """Where a vehicle under way drives to: to wait, or to its next activity."""
        if self.paths.roaming[vehicle]:
            return Spot(int(self.paths.goal[vehicle]), int(self.paths.goal_ms[vehicle]))
        return self.spot(int(self.plans.first[vehicle]) + 1)

    def stop_at(self, vehicle: int, spot: Spot, now: int) -> None:
        """The vehicle stands at the goal of its drive from `now` on."""
        onward = int(self.paths.onward[vehicle]) if self.paths.roaming[vehicle] else 0
        self.spend(vehicle, spot)
        self.paths.driving[vehicle], self.paths.roaming[vehicle] = 0, 0
        self._stand(vehicle, spot, now)
        self.plans.rows[self.plans.first[vehicle] + 1].leg = onward

    def stand_at(self, vehicle: int, spot: Spot, since: int) -> None:
        """The vehicle stands at its position, the drive to its next activity known."""
        self.spend(vehicle, spot)
        self.paths.driving[vehicle], self.paths.roaming[vehicle] = 0, 0
        self._stand(vehicle, spot, since)

    # --- energy ---------------------------------------------------------------------------------------------

    def has_battery(self, vehicle: int) -> bool:
        return bool(self.fleet.battery.range_mm[vehicle])

    def spend(self, vehicle: int, spot: Spot) -> None:
        """The vehicle has come to a spot on its way: what is left there. Under the metric it drove by."""
        if self.has_battery(vehicle):
            seen = Spot(int(self.fleet.battery.state[vehicle]), int(self.fleet.battery.offset[vehicle]))
            if seen != spot:
                self.fleet.battery.left_mm[vehicle] -= self._times.drive(seen, spot).mm
            self._charged_at(vehicle, spot)

    def _charged_at(self, vehicle: int, spot: Spot) -> None:
        self.fleet.battery.state[vehicle], self.fleet.battery.offset[vehicle] = spot

    def has_energy(self, vehicle: int, now: int, first: Spot | None = None) -> bool:
        """Whether the battery lasts for the plan as it is; with a drive to the spot `first` before all else."""
        if not self.has_battery(vehicle):
            return True
        with self._times.reading():
            roads = self.roads(now, *([] if first is None else [first]))
            over = (-1, -1, 0, 0) if first is None else (0, -1, *first)
            return bool(lasts(roads, self.fleet, self.plans, self.paths, vehicle, *over, 0, 0))

    @contextmanager
    def without_battery(self, vehicle: int) -> Iterator[None]:
        """Within, the vehicle drives without limit: who puts a plan together piece by piece looks at the whole."""
        full = int(self.fleet.battery.range_mm[vehicle])
        self.fleet.battery.range_mm[vehicle] = 0
        try:
            yield
        finally:
            self.fleet.battery.range_mm[vehicle] = full

    def left_behind(self, vehicle: int, row: int, now: int) -> int:
        """What is left in the battery after a row of the plan, mm of road; 0 without one."""
        if not self.has_battery(vehicle):
            return 0
        with self._times.reading():
            return int(left_behind(self.roads(now), self.fleet, self.plans, self.paths, vehicle, row))

    def put_plans(self, plans: PlanArrays, changed: Iterable[int]) -> None:
        """Other plans, of which these vehicles' differ."""
        self.plans = plans
        self.version[list(changed)] += 1
        self.refit()

    def _stand(self, vehicle: int, spot: Spot, since: int) -> None:
        base = self.plans.first[vehicle]
        self.plans.rows[base].state, self.plans.rows[base].offset = spot
        self.plans.rows[base].begin = self.plans.rows[base].done = since

    # --- views ----------------------------------------------------------------------------------------------

    def first_free(self, vehicle: int) -> int:
        """The row after which something may be inserted: the last locked one, or the position."""
        return int(first_free(self.plans, vehicle))

    def rows_of(self, vehicle: int) -> list[PlanRow]:
        """The vehicle's plan, row by row."""
        base = int(self.plans.first[vehicle])
        return [PlanRow(*row) for row in self.plans.rows[base : base + int(self.plans.count[vehicle])].tolist()]

    def spot(self, row: int) -> Spot:
        return Spot(int(self.plans.rows[row].state), int(self.plans.rows[row].offset))


def paths_for(vehicles: int, room: int, climbs: Climbs) -> Paths:
    def ints() -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
        return np.zeros(vehicles, np.int32)

    def flags() -> ByteArray:
        return np.zeros(vehicles, np.int8)

    ways = np.zeros((vehicles, room), np.int32), np.zeros((vehicles, room), np.int32)
    return Paths(
        flags(), ints(), flags(), ints(), ints(), ints(), *ways, flags(), ints(), ints(), ints(), ints(),
        np.zeros(room, np.int32), climbs,
    )  # fmt: skip


def _operators_of(vehicles: Sequence[Vehicle]) -> list[OperatorId]:
    """In order of first appearance: one who joins later changes no other's row."""
    return list(dict.fromkeys(v.operator_id for v in vehicles))


def _bits_of(vehicles: Sequence[Vehicle]) -> dict[str, int]:
    skills = list(dict.fromkeys(skill for vehicle in vehicles for skill in vehicle.skills))
    if len(skills) > _MOST_SKILLS:
        raise InputError(f"{len(skills)} different skills", where="fleet", remedy=f"use at most {_MOST_SKILLS}")
    return {skill: 1 << k for k, skill in enumerate(skills)}


def fleet_arrays(
    vehicles: Sequence[Vehicle], operators: Sequence[OperatorId], skill_bit: dict[str, int], day: ServiceDay
) -> FleetArrays:
    return FleetArrays(
        np.array([operators.index(v.operator_id) for v in vehicles], np.int32),
        np.array([IN_SERVICE | sum(skill_bit[s] for s in set(v.skills)) for v in vehicles], np.int64),
        np.array([day.to_day_ms(v.shift.end) for v in vehicles], np.int32),
        np.cumsum([0, *(len(v.layouts) for v in vehicles)]).astype(np.int32),
        np.array([lay.as_tuple() for v in vehicles for lay in v.layouts], np.int16).reshape(-1, len(RESOURCE_NAMES)),
        0, batteries_of(vehicles),
    )  # fmt: skip


def batteries_of(vehicles: Sequence[Vehicle]) -> Batteries:
    """Batteries as they are when shifts begin; where the vehicles are then is to be filled in."""
    out = no_batteries(len(vehicles))
    for k, vehicle in enumerate(vehicles):
        if (battery := vehicle.battery) is not None:
            out.range_mm[k], out.reserve_mm[k] = 1_000 * battery.range_m, 1_000 * battery.reserve_m
            out.charge_m_min[k] = battery.charge_m_per_min
            out.left_mm[k] = 1_000 * (battery.range_m if battery.start_m is None else battery.start_m)
    return out
