"""Times between a spot and every row of the fleet's plans, straight from the oracle's labels."""

from noriai_engine.dispatch.plan_arrays import PlanArrays
from noriai_engine.kernels import kernel
from noriai_engine.model.units import BoolArray, IntArray
from noriai_engine.roads.kernels.queries import Labels
from noriai_engine.roads.kernels.spots import States, spot_pair


@kernel
def reaches(
    labels: Labels, states: States, plans: PlanArrays, wanted: BoolArray, state: int, offset_ms: int,
    to_spot: IntArray, from_spot: IntArray,
) -> None:  # fmt: skip
    """ms from each row of the `wanted` (V,) vehicles to the spot, and back; all other rows stay as they are."""
    for vehicle in range(plans.first.shape[0]):
        if not wanted[vehicle]:
            continue
        base = plans.first[vehicle]
        for row in range(base, base + plans.count[vehicle]):
            to_spot[row] = spot_pair(labels, states, plans.state[row], plans.offset[row], state, offset_ms)
            from_spot[row] = spot_pair(labels, states, state, offset_ms, plans.state[row], plans.offset[row])


@kernel
def reaching_by(
    labels: Labels, states: States, plans: PlanArrays, state: int, offset_ms: int, now: int, latest: int,
    to_spot: IntArray, wanted: BoolArray,
) -> None:  # fmt: skip
    """ms from each row to the spot, and in `wanted` which vehicles could be there by `latest` (day ms) from some row.

    The insertion search leaves a vehicle at its first row that is too late, and rows only grow later: of all others
    it asks no further times.
    """
    for vehicle in range(plans.first.shape[0]):
        base = plans.first[vehicle]
        reached = False
        for k in range(plans.count[vehicle]):
            row = base + k
            to_spot[row] = spot_pair(labels, states, plans.state[row], plans.offset[row], state, offset_ms)
            leaves = max(plans.begin[row], now) if k == 0 else plans.begin[row] + plans.service[row]
            if leaves + to_spot[row] <= latest:
                reached = True
        wanted[vehicle] = wanted[vehicle] and reached
