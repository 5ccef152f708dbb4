"""Closing the gap between the relaxation and a plan (set partitioning over listed routes).

Every route of a better plan has a reduced cost below the gap (Baldacci, Christofides & Mingozzi 2008), so all those are
listed, and HiGHS chooses among them: the best choice is the best plan there is.
"""

from collections.abc import Sequence

import numpy as np

from noriai_engine.plans.exact import CLOSE, SAFE, Relaxation
from noriai_engine.plans.kernels.arrays import Array, Pool
from noriai_engine.plans.kernels.pricing import load_row
from noriai_engine.plans.kernels.schedule import settle
from noriai_engine.plans.partition import Choice

LIMIT = 1e-4  # first limit of reduced costs, as a share of the cost
FEW = 2_000  # routes worth an integer search


class Proof(Relaxation):
    """A relaxation and the best plan known."""

    def begin(self, routes: Sequence[Sequence[int] | Array], cost: float, pool: Pool) -> None:
        """From a plan (nodes, one list a vehicle), its cost with the prices of what it leaves out, and routes."""
        kinds = self.t.cars["kind"]
        self.cost = cost
        self.plan = [(int(kinds[k]), tuple(int(x) for x in route)) for k, route in enumerate(routes) if len(route)]
        self.known = np.array([self.into_pool(kind, nodes) for kind, nodes in self.plan], int)
        self.take(pool)

    @property
    def is_closed(self) -> bool:
        return self.cost - self.bound <= 2.0 * SAFE + CLOSE * abs(self.cost)

    def close(self, patience: float = 0.0) -> None:
        """Raise the bound of `relax` toward the cost of the best plan, which may fall meanwhile; equal: it is proven.

        All routes of reduced cost up to a limit are listed, few first: where HiGHS finds the best choice among them no
        further than the limit above the bound, no other route can be part of a better plan. A round is begun where
        `patience` times as long is left as the longest so far took: the next takes longer.
        """
        base = self.bound
        if (
            base == -np.inf
            or (self.t.jobs["link"] >= 0).any()
            or self.t.jobs["held"].any()
            or self.t.cars["full"].any()
            or (self.t.rule["late_rate"] + self.t.rule["ride_rate"]).any()
        ):
            return  # what routes alone do not say: the bound holds, but a choice may be no plan
        if self.left() > 0.0:
            self._adopt(self.master.choose(self.cost, self.known, min(self.left(), 1.0)))
        limit, listed, took = LIMIT * self.cost, 0, 0.0
        while not self.is_closed and (left := self.left()) > patience * took:
            limit = min(limit, self.cost - base)
            rows = self._list(limit + SAFE)
            if rows is None:
                break
            if limit < self.cost - base and len(rows) < max(FEW, 2 * listed):
                limit *= 2.0
                took = max(took, left - self.left())
                continue
            listed = len(rows)
            choice, least = self.master.search(
                np.union1d(rows, self.known), limit, self.cost, self.known, max(self.left(), 0.01), base + limit
            )
            self._adopt(choice)
            self.bound = max(self.bound, min(least, base + limit, self.cost) - SAFE)
            if limit >= self.cost - base:
                break
            limit *= 2.0
            took = max(took, left - self.left())

    def _adopt(self, choice: Choice | None) -> None:
        """Take over a cheaper plan, unless a route is longer than its vehicle may be under way."""
        if choice is None:
            return
        plan = []
        for row in choice.rows:
            kind = int(self.pool.kind[row])
            one, routes = self.lone[kind]
            load_row(one, routes, self.pool, row, self.work)
            exact = self.exact.cars[self.exact.cars["kind"] == kind][:1].copy()
            if not settle(one._replace(cars=exact), routes, 0, self.work):
                return
            nodes = self.pool.node[self.pool.first[row] : self.pool.first[row + 1]]
            plan.append((kind, tuple(int(node) for node in nodes)))
        self.cost, self.known, self.plan = choice.cost, choice.rows, plan

    def _list(self, limit: float) -> Array | None:
        """Rows of the pool: all routes of reduced cost up to `limit`; None where they are too many."""
        rows = []
        for group in self.classes:
            fixed = float(self.t.cars["fixed"][group.car]) - float(self.centre.fleet[group.kind])
            listed = group.list_all(group.values(self.centre.worth), fixed, limit)
            if listed is None:
                return None
            for nodes in listed:
                rows.append(self.into_pool(group.kind, nodes))
                if rows[-1] < 0:
                    return None
        return np.array(rows, int)

    def routes(self) -> tuple[tuple[int, ...], ...]:
        """The routes of the cheapest plan, one for each vehicle."""
        out: list[tuple[int, ...]] = [() for _ in self.t.cars]
        free = {kind: list(np.flatnonzero(self.t.cars["kind"] == kind)) for kind in self.lone}
        for (
            kind,
            nodes,
        ) in self.plan:  # the pool may hold a cheaper route of these tasks, too long for a vehicle
            out[free[kind].pop(0)] = nodes
        return tuple(out)
