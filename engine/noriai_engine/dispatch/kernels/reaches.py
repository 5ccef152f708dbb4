"""Times between a spot and every row of the fleet's plans, straight from the oracle's labels."""

from noriai_engine.dispatch.plan_arrays import PlanArrays
from noriai_engine.kernels import kernel
from noriai_engine.model.units import IntArray
from noriai_engine.roads.kernels.queries import Labels
from noriai_engine.roads.kernels.spots import States, spot_pair


@kernel
def reaches(
    labels: Labels, states: States, plans: PlanArrays, first: int, last: int, state: int, offset_ms: int,
    to_spot: IntArray, from_spot: IntArray,
) -> None:  # fmt: skip
    """ms from each row of the vehicles [first, last) to the spot, and back; rows that hold nothing stay as they are."""
    for vehicle in range(first, last):
        base = plans.first[vehicle]
        for row in range(base, base + plans.count[vehicle]):
            to_spot[row] = spot_pair(labels, states, plans.state[row], plans.offset[row], state, offset_ms)
            from_spot[row] = spot_pair(labels, states, state, offset_ms, plans.state[row], plans.offset[row])
