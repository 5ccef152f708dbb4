"""What problems of the optimiser share when they come from a dispatcher: times between spots, interiors of vehicles,
their batteries."""

from collections.abc import Sequence

import numpy as np

from noriai_engine.dispatch.kernels.energy import gained
from noriai_engine.dispatch.plan_store import PlanStore
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.places import Spot
from noriai_engine.plans.problem import Array, Energy
from noriai_engine.roads import TravelTimes

NO_WAY_MS = 1 << 28
"""Between spots without a way: longer than any day, and two of them still fit int32."""


def travel_between(times: TravelTimes, spots: Sequence[Spot]) -> Array:
    """(n, n) ms between spots, int32."""
    states = np.array([spot.state for spot in spots], np.int32)
    offsets = np.array([spot.offset_ms for spot in spots], np.int32)
    with times.reading():
        rows = [times.to_spots(spot, states, offsets) for spot in spots]
    return np.minimum(np.array(rows, np.int32).reshape(len(spots), -1), np.int32(NO_WAY_MS))


def energy_of(
    store: PlanStore, times: TravelTimes, vehicles: Sequence[tuple[int, int]], spots: Sequence[Spot],
    breaks: Sequence[tuple[int, int, int]], now: int,
) -> Energy | None:  # fmt: skip
    """Batteries of a problem whose nodes lie at `spots`; None where no vehicle has one.

    `vehicles` are rows of the fleet, each with the row of its plan behind which its problem begins; `breaks` are
    (node, row of the vehicle, ms).
    """
    rows = [vehicle for vehicle, _ in vehicles]
    battery = store.fleet.battery
    if not battery.range_mm[rows].any():
        return None
    gain = np.zeros(len(spots), np.int64)
    for node, vehicle, service in breaks:
        gain[node] = int(gained(store.fleet, vehicle, service))
    left = np.array([store.left_behind(vehicle, row, now) for vehicle, row in vehicles], np.int64)
    return Energy(times.lengths(spots), battery.range_mm[rows], left, battery.reserve_mm[rows], gain)


def layouts_of(who: Sequence[Vehicle], kinds: Array) -> tuple[Array, ...]:
    """(layouts, resources) of each kind, from its first vehicle."""
    first = {int(kind): k for k, kind in reversed(list(enumerate(kinds)))}
    return tuple(np.array([x.as_tuple() for x in who[first[kind]].layouts]) for kind in range(len(first)))
