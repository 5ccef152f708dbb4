"""Energy of electric vehicles: whether a plan can be driven with what is in the battery, never below the reserve.

Energy is counted in mm of road, as the range of a vehicle is. Drives take the shortest among the fastest ways, the very
ways vehicles are sent on, so what is planned is what will be driven.
"""

import numpy as np

from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.climbing import Climbs
from noriai_engine.roads.kernels.key_spots import best_end
from noriai_engine.roads.kernels.metric import INF_KEY
from noriai_engine.roads.lengths import NO_WAY_MM

BREAK = 3


@inlined_kernel
def _along_mm(roads: RoadView, state: int, offset: int) -> int:
    inner = np.int64(roads.inner[state])
    return int(np.int64(roads.inner_mm[state]) * offset // inner) if inner > 0 else 0


@inlined_kernel
def gained(fleet: FleetArrays, vehicle: int, service: int) -> int:
    """What a break of `service` ms charges, in mm of road."""
    gain: int = np.int64(service) * fleet.battery.charge_m_min[vehicle] // 60
    return gain


@lean_kernel
def length_mm(roads: RoadView, climbs: Climbs, source: int, source_ms: int, target: int, target_ms: int) -> int:
    """mm of the drive from one spot to another; NO_WAY_MM where there is none."""
    states = roads.states
    ends = _along_mm(roads, target, target_ms) - _along_mm(roads, source, source_ms)
    if states.arc[source] == states.arc[target] and target_ms >= source_ms:
        return ends
    key, _, _ = best_end(
        roads.tree, roads.shape, states, roads.key, roads.up, roads.down, source, target, True, climbs
    )  # fmt: skip
    if key >= INF_KEY:
        return NO_WAY_MM
    return int(key & np.int64(0xFFFFFFFF)) + ends


@lean_kernel
def left_behind(roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, last: int) -> int:
    """What the battery holds after row `last` of the plan, charged there where it is a break."""
    battery = fleet.battery
    left, at, at_ms = battery.left_mm[vehicle], battery.state[vehicle], battery.offset[vehicle]
    base = plans.first[vehicle]
    for k in range(last + 1):
        row = plans.rows[base + k]
        if row.state >= 0:
            left -= length_mm(roads, paths.climbs, at, at_ms, row.state, row.offset)
            at, at_ms = row.state, row.offset
        if k > 0 and row.kind == BREAK:
            left = min(battery.range_mm[vehicle], left + gained(fleet, vehicle, row.service))
    return int(left)


@lean_kernel
def needed_at(roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, first: int) -> int:
    """What the battery must hold at least on arrival at row `first` for that and the rows behind it; more than it can
    hold where no charge would do."""
    base, count, battery = plans.first[vehicle], plans.count[vehicle], fleet.battery
    reserve, full = battery.reserve_mm[vehicle], battery.range_mm[vehicle]
    need = reserve
    for k in range(count - 1, first - 1, -1):
        row = plans.rows[base + k]
        if k + 1 < count and row.state >= 0:
            for after in range(k + 1, count):
                coming = plans.rows[base + after]
                if coming.state >= 0:
                    need += length_mm(roads, paths.climbs, row.state, row.offset, coming.state, coming.offset)
                    break
        if row.kind == BREAK:
            if need > full:
                return int(need)
            need -= gained(fleet, vehicle, row.service)
        need = max(need, reserve)
    return int(need)


@lean_kernel
def lasts(
    roads: RoadView, fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, i: int, j: int, origin: int,
    origin_ms: int, destination: int, destination_ms: int,
) -> bool:  # fmt: skip
    """Whether the battery lasts for the plan with stops inserted after rows i and j (-1: the plan as it is): what is
    left at each stop is the reserve at least. Breaks charge, up to the whole range."""
    battery = fleet.battery
    if battery.range_mm[vehicle] == 0:
        return True
    left, reserve = battery.left_mm[vehicle], battery.reserve_mm[vehicle]
    at, at_ms = battery.state[vehicle], battery.offset[vehicle]
    base = plans.first[vehicle]
    for k in range(plans.count[vehicle]):
        row = plans.rows[base + k]
        if row.state >= 0:
            left -= length_mm(roads, paths.climbs, at, at_ms, row.state, row.offset)
            at, at_ms = row.state, row.offset
        if left < reserve:
            return False
        if k > 0 and row.kind == BREAK:
            left = min(battery.range_mm[vehicle], left + gained(fleet, vehicle, row.service))
        if k == i:
            left -= length_mm(roads, paths.climbs, at, at_ms, origin, origin_ms)
            at, at_ms = origin, origin_ms
        if k == j:
            left -= length_mm(roads, paths.climbs, at, at_ms, destination, destination_ms)
            at, at_ms = destination, destination_ms
    return bool(left >= reserve)
