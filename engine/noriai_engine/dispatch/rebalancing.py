"""Idle vehicles on their way to where riders are expected, before anybody asks.

An `Outlook` names gaps: places where one vehicle more would be worth some driving. Vehicles are sent by a minimum-cost
flow (OR-Tools), each to one gap at most, where the gap is worth more than the drive. Who is on the way is under way:
a rider may turn the vehicle at any time.

The default outlook is Alonso-Mora et al. (PNAS 114(3), 2017): where riders were turned away a moment ago, others will
ask soon. `Forecast` knows how many ask where at which hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from noriai_engine.dispatch.network_problem import NO_WAY_MS
from noriai_engine.model.errors import MissingDataError
from noriai_engine.model.places import Spot
from noriai_engine.model.units import HOUR_MS, MINUTE_MS, FloatArray, IntArray
from noriai_engine.roads import TravelTimes


@dataclass(frozen=True, slots=True)
class RebalanceParams:
    """`every_ms`: how often vehicles are sent (0: never). `longest_ms`: no drive takes longer. `worth_ms`: driving that
    one rider more is worth."""

    every_ms: int = 0
    longest_ms: int = 10 * MINUTE_MS
    worth_ms: int = HOUR_MS

    def __post_init__(self) -> None:
        if min(self.every_ms, self.longest_ms, self.worth_ms) < 0:
            raise ValueError(f"{self}: times must be 0 or more")


@dataclass(frozen=True)
class Gaps:
    """Places (g,) where a vehicle more is worth `worth_ms` of driving."""

    spots: tuple[Spot, ...]
    worth_ms: IntArray


class Outlook(Protocol):
    """Where vehicles are missing. `standing`: spots of idle vehicles, and where those sent already will stand."""

    def gaps(self, now: int, standing: Sequence[Spot], params: RebalanceParams) -> Gaps: ...


@dataclass
class TurnedAway:
    """A gap wherever somebody was turned away since the last time it was asked, day ms and spot of each in `seen`."""

    seen: list[tuple[int, Spot]] = field(default_factory=list)
    memory_ms: int = 10 * MINUTE_MS

    def tell(self, now: int, spot: Spot) -> None:
        """Somebody was turned away at `spot`; what is too long ago is forgotten, also where nobody ever asks."""
        while self.seen and self.seen[0][0] < now - self.memory_ms:
            del self.seen[0]
        self.seen.append((now, spot))

    def gaps(self, now: int, standing: Sequence[Spot], params: RebalanceParams) -> Gaps:
        spots = tuple(spot for at, spot in self.seen if at >= now - self.memory_ms)
        self.seen.clear()
        return Gaps(spots, np.full(len(spots), params.worth_ms, np.int32))


@dataclass(frozen=True)
class Forecast:
    """Riders expected by zone and time: `rate` (slots, zones) an hour in each slot of `slot_ms` of the day, `centre` of
    each zone, `zone` (states,) of every state of the network.

    The k-th vehicle of a zone is worth what the chance is that k riders or more ask there within `ahead_ms`: demand is
    Poisson, vehicles that stand there count."""

    rate: FloatArray
    slot_ms: int
    centre: tuple[Spot, ...]
    zone: IntArray
    ahead_ms: int = 15 * MINUTE_MS

    def gaps(self, now: int, standing: Sequence[Spot], params: RebalanceParams) -> Gaps:
        from scipy.special import pdtrc

        slot = min(max(now // self.slot_ms, 0), len(self.rate) - 1)
        expected = self.rate[slot] * self.ahead_ms / HOUR_MS
        there = np.bincount(self.zone[[s.state for s in standing]].astype(int), minlength=len(expected))
        spots, worth = [], []
        for zone in np.flatnonzero(expected > 0).tolist():
            k = int(there[zone])
            while (value := int(pdtrc(k, expected[zone]) * params.worth_ms)) >= MINUTE_MS:
                spots.append(self.centre[zone])
                worth.append(value)
                k += 1
        return Gaps(tuple(spots), np.array(worth, np.int32))


def moves(times: TravelTimes, idle: Sequence[Spot], gaps: Gaps, params: RebalanceParams) -> list[tuple[int, Spot]]:
    """Which of the idle vehicles (by place in the list) drive to which spot: worth least driving in sum the most.

    Raises MissingDataError where OR-Tools is not installed.
    """
    if not idle or not gaps.spots:
        return []
    states = np.array([spot.state for spot in gaps.spots], np.int32)
    offsets = np.array([spot.offset_ms for spot in gaps.spots], np.int32)
    with times.reading():
        drive = np.array([times.to_spots(spot, states, offsets) for spot in idle], np.int64)
    gain = np.minimum(gaps.worth_ms[None, :], NO_WAY_MS) - drive
    who, where = np.nonzero((gain > 0) & (drive <= params.longest_ms) & (drive > 0))
    if not len(who):
        return []
    flow = flow_solver()
    n, g = len(idle), len(gaps.spots)
    sink = n + g
    arcs = flow.add_arcs_with_capacity_and_unit_cost(who, n + where, np.ones(len(who), int), -gain[who, where])
    flow.add_arcs_with_capacity_and_unit_cost(
        np.arange(n), np.full(n, sink), np.ones(n, int), np.zeros(n, int)
    )  # who stays
    flow.add_arcs_with_capacity_and_unit_cost(n + np.arange(g), np.full(g, sink), np.ones(g, int), np.zeros(g, int))
    flow.set_nodes_supplies(np.arange(sink + 1), np.concatenate([np.ones(n, int), np.zeros(g, int), [-n]]))
    if flow.solve() != flow.OPTIMAL:
        raise RuntimeError("rebalancing: the flow has no optimum, though staying is always possible")
    sent = np.flatnonzero(flow.flows(arcs) > 0)
    return [(int(who[a]), gaps.spots[int(where[a])]) for a in sent]


def flow_solver() -> Any:
    """A solver of minimum-cost flows. Raises MissingDataError where OR-Tools is not installed."""
    try:
        from ortools.graph.python import min_cost_flow
    except ImportError as error:
        raise MissingDataError(
            "OR-Tools is not installed", where="rebalancing", remedy="pip install 'noriai[planner]', or send none about"
        ) from error
    return min_cost_flow.SimpleMinCostFlow()
