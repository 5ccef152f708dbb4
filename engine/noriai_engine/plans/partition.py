"""Set partitioning: the best choice among all routes the search has met (HiGHS), and what each task is worth there."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.plans.kernels.arrays import Array, Pool, Tasks

MOST_ADDED = 2_000  # columns added to the relaxation at once
MOST_COLUMNS = 4_000  # columns of an integer search


@dataclass(frozen=True)
class Choice:
    """Rows of the pool that serve every task at most once."""

    rows: Array
    cost: float


class Master:
    """Choose routes of a pool so that every task is served once or left out at its price, at least cost.

    The relaxation is kept between calls and grows with the pool: a column enters when its reduced cost is negative.
    """

    def __init__(self, t: Tasks, pool: Pool) -> None:
        import highspy

        self.t, self.pool = t, pool
        self.tasks, self.kinds = len(t.jobs), int(t.cars["kind"].max()) + 1
        self.fleet = np.bincount(t.cars["kind"], minlength=self.kinds)
        self.price = np.asarray(t.jobs["price"])
        self.inside = np.zeros(len(pool.key), bool)
        self.paid = np.zeros(len(pool.key))
        self.column_of = np.full(len(pool.key), -1)
        self.dual = np.zeros(self.tasks + self.kinds)
        self.bound = -np.inf
        h: Any = highspy.Highs()
        h.setOptionValue("output_flag", False)
        h.setOptionValue("threads", 1)
        h.passModel(self._model(np.zeros(0, int), np.arange(self.tasks), np.full(self.tasks, np.inf), integer=False))
        self.relaxation = h

    def _entries(self, rows: Array) -> tuple[Array, Array]:
        """(starts, indices) of the columns of these pool rows: their tasks, then the fleet row of their class."""
        pool, t = self.pool, self.t
        first, length = pool.first[rows], pool.first[rows + 1] - pool.first[rows]
        begin = np.concatenate([[0], np.cumsum(length)])
        nodes = pool.node[np.repeat(first - begin[:-1], length) + np.arange(begin[-1])]
        column = np.repeat(np.arange(len(rows)), length)
        is_start = t.stops["role"][nodes] >= 0
        column, task = column[is_start], t.stops["task"][nodes[is_start]]
        count = np.bincount(column, minlength=len(rows))
        starts = np.concatenate([[0], np.cumsum(count + 1)])
        index = np.empty(starts[-1], np.int32)
        index[np.arange(len(task)) + column] = task
        index[starts[1:] - 1] = self.tasks + pool.kind[rows]
        return starts, index

    def _model(self, rows: Array, absent: Array, upper: Array, *, integer: bool) -> Any:
        """The model over these pool rows and the possibility to leave out the `absent` tasks."""
        import highspy

        starts, index = self._entries(rows)
        lp = highspy.HighsLp()
        n = len(rows) + len(absent)
        lp.num_col_, lp.num_row_ = n, self.tasks + self.kinds
        lp.col_cost_ = np.concatenate([self.pool.cost[rows], self.price[absent]])
        # no upper bound in the relaxation: a column at it would hide its reduced cost from the duals
        lp.col_lower_, lp.col_upper_ = np.zeros(n), np.ones(n) if integer else np.full(n, np.inf)
        lp.row_lower_ = np.concatenate([np.ones(self.tasks), np.zeros(self.kinds)])
        lp.row_upper_ = np.concatenate([upper, self.fleet])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.concatenate([starts, starts[-1] + 1 + np.arange(len(absent))]).astype(np.int32)
        lp.a_matrix_.index_ = np.concatenate([index, absent]).astype(np.int32)
        lp.a_matrix_.value_ = np.ones(len(index) + len(absent))
        if integer:
            lp.integrality_ = [highspy.HighsVarType.kInteger] * n
        return lp

    def reduced(self) -> Array:
        """Reduced cost of every row of the pool."""
        count = int(self.pool.used[0])
        starts, index = self._entries(np.arange(count))
        if not count:
            return np.zeros(0)
        worth: Array = np.add.reduceat(self.dual[index], starts[:-1])
        return np.subtract(self.pool.cost[:count], worth)

    def relax(self) -> float:
        """Solve the linear relaxation over the whole pool, tasks served at least once; its value."""
        import highspy

        h = self.relaxation
        while True:
            count = int(self.pool.used[0])
            cheaper = np.flatnonzero(self.inside[:count] & (self.pool.cost[:count] < self.paid[:count] - 1e-9))
            for row in cheaper:  # a better sequence of the same tasks was found meanwhile
                h.changeColCost(int(self.column_of[row]), float(self.pool.cost[row]))
                self.paid[row] = self.pool.cost[row]
            reduced = np.where(self.inside[:count], np.inf, self.reduced())
            new = np.flatnonzero(reduced < -1e-7)
            if len(new) > MOST_ADDED:
                new = np.sort(new[np.argsort(reduced[new], kind="stable")[:MOST_ADDED]])
            if len(new):
                starts, index = self._entries(new)
                n = len(new)
                self.column_of[new] = h.getNumCol() + np.arange(n)
                status = h.addCols(
                    n, self.pool.cost[new], np.zeros(n), np.full(n, np.inf), len(index), starts[:-1].astype(np.int32),
                    index, np.ones(len(index)),
                )  # fmt: skip
                if status != highspy.HighsStatus.kOk:
                    raise RuntimeError(f"relaxation of day plans: HiGHS takes no columns ({status})")
                self.inside[new] = True
                self.paid[new] = self.pool.cost[new]
            elif self.bound > -np.inf and not len(cheaper):
                return self.bound
            self._run()
            self.bound = float(h.getInfo().objective_function_value)
            self.dual = np.array(h.getSolution().row_dual)

    def _run(self) -> None:
        """Solve the relaxation from the last basis; anew where that basis leads nowhere."""
        import highspy

        self.relaxation.run()
        if self.relaxation.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            self.relaxation.clearSolver()
            self.relaxation.run()
        if self.relaxation.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"relaxation of day plans: HiGHS ends with {self.relaxation.getModelStatus()}")

    def in_use(self) -> Array:
        """Rows of the pool with a share in the relaxation's solution."""
        value = np.array(self.relaxation.getSolution().col_value)
        rows: Array = np.flatnonzero(self.inside)
        used: Array = rows[value[self.column_of[rows]] > 1e-6]
        return used

    def dive(self, rng: np.random.Generator) -> Array:
        """Rows that share no task: fix a route with a large share in the relaxation, solve again, and so on.

        Chance chooses by share, so that dives differ (Joncour et al. 2010: diving for column generation).
        """
        h = self.relaxation
        inside = np.flatnonzero(self.inside)
        columns = self.column_of[inside]
        starts, index = self._entries(inside)
        free = np.ones(len(inside), bool)
        fixed: list[int] = []
        while free.any():
            value = np.array(h.getSolution().col_value)[columns]
            chance = np.where(free, np.maximum(value, 0.0), 0.0)
            if chance.max() < 1e-3:
                break
            sure = chance > 0.999
            pick = np.flatnonzero(sure) if sure.any() else rng.choice(len(chance), 1, p=chance**3 / (chance**3).sum())
            covered = np.zeros(self.tasks + self.kinds, bool)
            for one in pick:  # tasks are served at least once there: two routes may both be sure of one
                tasks = index[starts[one] : starts[one + 1] - 1]
                if not covered[tasks].any():
                    fixed.append(int(inside[one]))
                    covered[tasks] = True
            clash = free & np.logical_or.reduceat(covered[index], starts[:-1])
            free &= ~clash
            lower = np.isin(inside[clash], fixed).astype(float)
            h.changeColsBounds(int(clash.sum()), columns[clash].astype(np.int32), lower, lower)
            self._run()
        free_again = np.full(len(columns), np.inf)
        h.changeColsBounds(len(columns), columns.astype(np.int32), np.zeros(len(columns)), free_again)
        self._run()
        return np.array(fixed, int)

    def choose(self, known: float, known_rows: Array, seconds: float | None) -> Choice | None:
        """The cheapest whole choice below the cost `known`; None where none is found. `relax` comes first.

        `known_rows` are the pool rows of that solution, to start from; `seconds` limits the search (None: a number of
        nodes does, which repeats). Columns whose reduced cost exceeds the gap cannot be part of an improvement.
        """
        gap = known - self.bound
        if gap <= 1e-7:
            return None
        reduced = self.reduced()
        rows = np.flatnonzero(reduced <= gap)
        if len(rows) > MOST_COLUMNS:
            rows = rows[np.argsort(reduced[rows], kind="stable")[:MOST_COLUMNS]]
        return self.search(np.union1d(rows, known_rows), gap, known, known_rows, seconds)[0]

    def search(
        self,
        rows: Array,
        gap: float,
        known: float,
        known_rows: Array,
        seconds: float | None,
        ceiling: float | None = None,
    ) -> tuple[Choice | None, float]:
        """The cheapest choice among these rows below the cost `known`, None where none is found, and a lower bound of
        all choices among them. Tasks are left out only where their price is within the gap or `known_rows` lack them.

        `ceiling`: only choices that cost no more are looked for; where there are none, it is the bound.
        """
        import highspy

        known_tasks = np.zeros(self.tasks, bool)
        known_tasks[self._entries(known_rows)[1][self._entries(known_rows)[1] < self.tasks]] = True
        absent = np.flatnonzero((self.price - self.dual[: self.tasks] <= gap) | ~known_tasks)
        h: Any = highspy.Highs()
        h.setOptionValue("output_flag", False)
        h.setOptionValue("threads", 1)
        h.setOptionValue("mip_rel_gap", 1e-6)
        if seconds is None:
            h.setOptionValue("mip_max_nodes", 100)
        else:
            h.setOptionValue("time_limit", seconds)
        h.passModel(self._model(rows, absent, np.ones(self.tasks), integer=True))
        if ceiling is None or known <= ceiling:
            begin_with = highspy.HighsSolution()
            begin_with.col_value = [*np.isin(rows, known_rows).astype(float), *(~known_tasks[absent]).astype(float)]
            h.setSolution(begin_with)
        if ceiling is not None:
            costs = np.concatenate([self.pool.cost[rows], self.price[absent]])
            h.addRow(-highspy.kHighsInf, ceiling, len(costs), np.arange(len(costs), dtype=np.int32), costs)
        h.run()
        if ceiling is not None and h.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            return None, ceiling
        info = h.getInfo()
        bound = float(info.mip_dual_bound)
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None, bound
        value = np.array(h.getSolution().col_value)
        chosen = rows[value[: len(rows)] > 0.5]
        cost = float(self.pool.cost[chosen].sum() + self.price[absent[value[len(rows) :] > 0.5]].sum())
        return (Choice(chosen, cost) if cost < known - 1e-7 else None), bound
