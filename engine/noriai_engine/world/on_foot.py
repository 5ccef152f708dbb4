"""Rollouts whose riders may walk to a better place to board, and from one to leave."""

from dataclasses import dataclass

import numpy as np

from noriai_engine.dispatch.kernels.batch import Trips
from noriai_engine.dispatch.kernels.meeting import MOST_SPOTS, Spots, desk_for
from noriai_engine.dispatch.kernels.rollout import roll_on_foot
from noriai_engine.dispatch.kernels.walking import Walks, walks_of
from noriai_engine.dispatch.plan_arrays import FleetArrays
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import IntArray
from noriai_engine.roads import TravelTimes
from noriai_engine.world.rollout import Rollout


@dataclass(frozen=True)
class OnFoot:
    """Walks of up to `longest_ms` to and from each stop, inside wait and trip, to `most` spots each (the door among
    them). A ms of walking weighs `walk_permille` thousandths of a ms of driving. Arcs (m,) of the walker's graph over
    the nodes of the network: tail, head, ms; `worth` (n,): how good a place to stop each node is, 0: none."""

    tail: IntArray
    head: IntArray
    ms: IntArray
    worth: IntArray
    longest_ms: int = 300_000
    most: int = 16
    walk_permille: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.most <= MOST_SPOTS:
            raise InputError(f"{self.most} spots", where="on foot", remedy=f"use 1 to {MOST_SPOTS}")

    def walks(self) -> tuple[Walks, Walks]:
        """The walker's graph away from a node, and toward it."""
        return walks_of(self.tail, self.head, self.ms, self.worth), walks_of(self.head, self.tail, self.ms, self.worth)


class WalkRollout(Rollout):
    """A rollout with walks: where each rider boards and leaves is in the journal."""

    def __init__(
        self, times: TravelTimes, fleet: FleetArrays, starts: IntArray, trips: Trips, on_foot: OnFoot,
        horizon_ms: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(times, fleet, starts, trips, horizon_ms)
        self.on_foot, self._desk = on_foot, desk_for()
        self._toward, self._back = on_foot.walks()
        board, board_ms, board_walk, leave, leave_ms, leave_walk = np.zeros((6, on_foot.most), np.int32)
        direct = np.zeros((on_foot.most, on_foot.most), np.int32)
        self._spots = Spots(board, board_ms, board_walk, leave, leave_ms, leave_walk, direct)
        self._best = np.zeros(12, np.int64)

    def answer(self, first: int, last: int) -> int:
        """Answer requests first .. last - 1; returns `last`."""
        nobody, walk = np.zeros(0, np.int32), self.on_foot
        with self.times.reading():
            roads = self.times.kernel_view(self.plans.rows.state, np.arange(len(walk.worth), dtype=np.int32))
            while first < last:
                first = roll_on_foot(
                    roads, self.fleet, self.plans, self.paths, self.trips, first, last, self.horizon_ms,
                    walk.walk_permille, self._toward, self._back, walk.longest_ms, self._spots, self._desk, nobody,
                    self._memo, self._scratch, self._found, self._best, self.wake, self.journal, self.answers,
                )  # fmt: skip
                if first < last:
                    self._grow(int(self.answers.vehicle[first]))
        return first
