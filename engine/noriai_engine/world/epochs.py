"""Rollouts in which riders are matched in batches: every so often, together with those who may still change vehicles.

Riders are answered at once where a vehicle can be found, and the plans matched anew at every epoch with who was turned
away meanwhile; or everybody waits for the next epoch. Who cannot be placed is tried again until too late.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from noriai_engine.dispatch.kernels.rollout import play_all, send, take_turns
from noriai_engine.dispatch.matching import Matcher, Matching, MatchParams, Waiting, World, rows_of
from noriai_engine.dispatch.rebalancing import Outlook, RebalanceParams, TurnedAway, moves
from noriai_engine.model.places import Spot
from noriai_engine.model.units import FOREVER_MS, IntArray
from noriai_engine.world.rollout import Rollout


@dataclass(frozen=True)
class Epochs:
    """`every_ms` a batch; `at_once`: riders are answered when they ask, where that is possible."""

    every_ms: int = 10_000
    at_once: bool = True
    params: MatchParams = MatchParams()
    rebalance: RebalanceParams = RebalanceParams()


class BatchRollout:
    """A rollout whose requests are answered in batches."""

    def __init__(self, rollout: Rollout, epochs: Epochs, outlook: Outlook | None = None) -> None:
        self.rollout, self.epochs = rollout, epochs
        self.outlook = outlook or TurnedAway()
        self._matcher = Matcher(rollout.times, epochs.params)
        self._told: set[int] = set()
        self._next_move = epochs.rebalance.every_ms
        self.batches: list[Matching] = []
        self.sent = 0

    def run(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Answer every request, then let the vehicles finish. `progress` hears (answered, in all)."""
        r, placed = self.rollout, self.rollout.trips.placed
        at, now = 0, 0
        open_: list[int] = []
        while at < len(placed) or open_:
            now += self.epochs.every_ms
            last = int(np.searchsorted(placed, now, side="right"))
            if self.epochs.at_once and last > at:
                r.answer(at, last)
                open_ += [k for k in range(at, last) if r.answers.vehicle[k] < 0]
            else:
                open_ += range(at, last)
            at = last
            play_all(r.fleet, r.plans, r.paths, now, r.wake, r.journal)
            open_ = [k for k in open_ if r.trips.pickup_latest[k] >= now]
            found = self._batch(np.array(open_, np.int32), now)
            open_ = [k for k in open_ if r.answers.vehicle[k] < 0]
            self.batches.append(found)
            if isinstance(self.outlook, TurnedAway):
                for k in sorted(set(open_) - self._told):
                    self.outlook.tell(now, Spot(int(r.trips.origin[k]), int(r.trips.origin_ms[k])))
                self._told.update(open_)
            if 0 < self._next_move <= now:
                self._next_move += self.epochs.rebalance.every_ms
                self._send_idle(now)
            if progress is not None:
                progress(at, len(placed))
        play_all(r.fleet, r.plans, r.paths, FOREVER_MS - 1, r.wake, r.journal)
        r.sort_journal()

    def _batch(self, open_: IntArray, now: int) -> Matching:
        r = self.rollout
        waiting = Waiting(rows_of(r.trips, open_), open_, np.ones(len(open_), np.int64))
        world = World(
            r.fleet, r.plans, r.paths, np.zeros(len(r.plans.first), np.int8), np.zeros(len(r.trips.placed), np.int8),
            lambda which: r.trips.needs[which], lambda which: [], now, now + r.horizon_ms,
        )  # fmt: skip
        found = self._matcher.match(world, waiting)
        changed = np.array(found.changed, np.int32)
        take_turns(r.plans, found.plans, r.paths, changed, now, r.wake, r.journal)
        r.plans = found.plans
        r.answers.vehicle[found.request] = found.vehicle
        r.fit()
        return found

    def _send_idle(self, now: int) -> None:
        """Vehicles with nothing to do drive to where they are missing."""
        r = self.rollout
        rows, first = r.plans.rows, r.plans.first
        free = np.flatnonzero(r.plans.count == 2)
        idle = [v for v in free.tolist() if not r.paths.driving[v] and rows[first[v]].begin <= now]
        standing = [Spot(int(rows[first[v]].state), int(rows[first[v]].offset)) for v in idle]
        roaming = np.flatnonzero(r.paths.roaming)
        coming = [Spot(int(r.paths.goal[v]), int(r.paths.goal_ms[v])) for v in roaming.tolist()]
        params = self.epochs.rebalance
        gaps = self.outlook.gaps(now, standing + coming, params)
        with r.times.reading():
            roads = r.times.kernel_view(rows.state, np.array([s.state for s in gaps.spots], np.int32))
            for place, spot in moves(r.times, standing, gaps, params):
                self.sent += send(roads, r.plans, r.paths, idle[place], *spot, now, r.wake, r.journal)
