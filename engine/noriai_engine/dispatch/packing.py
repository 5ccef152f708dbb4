"""Set packing: the choice of trips in which every vehicle makes one at most and every rider is in one at most (HiGHS).

Riders who were promised a ride are in exactly one. Aims: riders left out, by their price, then cost. The relaxation
is solved over columns that enter as their reduced cost asks for (column generation over a given list); the whole choice
is then looked for among the columns that could be part of a better one than the best known.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.model.units import ByteArray, FloatArray, IntArray, LongArray

MOST_ADDED = 500  # columns that enter the relaxation at once
MOST_SEARCHED = 2_000  # columns of the integer search
ABOUT_MS = 1_000  # a choice this near to the best possible is good enough


@dataclass(frozen=True)
class Columns:
    """Trips (t,) as columns: `vehicle`, `cost_ms`, riders of each from `first` (t + 1,) on in `rider`. Of riders (k,):
    `must`, 1 where a promise was made, and `price_ms`, what leaving one out costs. `busy` (b,): vehicles that make one
    of their trips in any case."""

    vehicle: IntArray
    cost_ms: LongArray
    first: LongArray
    rider: IntArray
    must: ByteArray
    price_ms: LongArray
    busy: IntArray

    def value(self, chosen: LongArray) -> tuple[int, int]:
        """(price of those left out, cost) of a choice of columns, exact."""
        inside = np.zeros(len(self.must), bool)
        for column in chosen.tolist():
            inside[self.rider[self.first[column] : self.first[column + 1]]] = True
        return int(self.price_ms[~inside & (self.must == 0)].sum()), int(self.cost_ms[chosen].sum())


def choose(columns: Columns, known: LongArray, nodes: int, seconds: float | None) -> LongArray | None:
    """The columns of the best choice found, None where the search ends without a better one than `known`, a choice that
    keeps all promises. `nodes` and `seconds` end the search early; seconds do not repeat from run to run."""
    packing = _Packing(columns)
    inside = packing.relax(known)
    best = float(packing.cost[known].sum())
    gap = best - packing.bound
    if gap * 1_000 <= ABOUT_MS:
        return None
    if packing.is_whole:
        return inside[packing.value > 0.5]
    rows = np.flatnonzero(packing.reduced() <= gap)
    if len(rows) > MOST_SEARCHED:
        rows = rows[np.argsort(packing.reduced()[rows], kind="stable")[:MOST_SEARCHED]]
    return packing.search(np.union1d(rows, known), known, nodes, seconds)


class _Packing:
    """One packing: rows are riders, then vehicles. Costs are in seconds, less the price of those who come along."""

    def __init__(self, columns: Columns) -> None:
        self.riders, count = len(columns.must), len(columns.vehicle)
        vehicles, row_of = np.unique(columns.vehicle, return_inverse=True)
        length = np.diff(columns.first)
        self.starts = np.concatenate([[0], np.cumsum(length + 1)]).astype(np.int64)
        self.index = np.empty(self.starts[-1], np.int32)
        self.index[self.starts[:-1]] = self.riders + row_of
        self.index[np.arange(len(columns.rider)) + np.repeat(np.arange(count), length) + 1] = columns.rider
        worth = np.zeros(self.riders + len(vehicles))
        worth[: self.riders] = columns.price_ms * (columns.must == 0)
        self.cost: FloatArray = (columns.cost_ms - np.add.reduceat(worth[self.index], self.starts[:-1])) / 1_000
        self.lower = np.concatenate([columns.must, np.isin(vehicles, columns.busy)]).astype(float)
        self.dual = np.zeros(len(self.lower))
        self.bound, self.value, self.is_whole = -np.inf, np.zeros(0), False

    def reduced(self) -> FloatArray:
        """Reduced cost of every column."""
        out: FloatArray = self.cost - np.add.reduceat(self.dual[self.index], self.starts[:-1])
        return out

    def relax(self, known: LongArray) -> LongArray:
        """Solve the relaxation, beginning with some columns; returns those that entered, `value` their shares."""
        import highspy

        inside, h = np.asarray(known), self._solver()
        h.passModel(self._model(inside, integer=False))
        entered = np.zeros(len(self.cost), bool)
        entered[inside] = True
        while True:
            h.run()
            solution = h.getSolution()
            self.dual = np.array(solution.row_dual)
            reduced = self.reduced()
            new = np.flatnonzero((reduced < -1e-6) & ~entered)
            if not len(new):
                break
            if len(new) > MOST_ADDED:
                new = new[np.argsort(reduced[new], kind="stable")[:MOST_ADDED]]
            entered[new] = True
            inside = np.concatenate([inside, new])
            starts, index = self._entries(new)
            h.addCols(
                len(new), self.cost[new], np.zeros(len(new)), np.full(len(new), highspy.kHighsInf), len(index),
                starts[:-1].astype(np.int32), index, np.ones(len(index)),
            )  # fmt: skip
        self.bound = float(h.getInfo().objective_function_value)
        self.value = np.array(solution.col_value)
        self.is_whole = bool((np.abs(self.value - np.round(self.value)) < 1e-6).all())
        return inside

    def search(self, rows: LongArray, known: LongArray, nodes: int, seconds: float | None) -> LongArray | None:
        """The best whole choice among some columns, starting from a known one; None where there is no solution."""
        import highspy

        h = self._solver()
        h.setOptionValue("mip_rel_gap", 0.0)
        h.setOptionValue("mip_abs_gap", ABOUT_MS / 1_000)
        h.setOptionValue("mip_max_nodes", nodes)
        if seconds is not None:
            h.setOptionValue("time_limit", seconds)
        h.passModel(self._model(rows, integer=True))
        begin_with = highspy.HighsSolution()
        begin_with.col_value = np.isin(rows, known).astype(float)
        h.setSolution(begin_with)
        h.run()
        if h.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        chosen: LongArray = rows[np.array(h.getSolution().col_value) > 0.5]
        return chosen

    def _solver(self) -> Any:
        import highspy

        h: Any = highspy.Highs()
        h.setOptionValue("output_flag", False)
        h.setOptionValue("threads", 1)
        return h

    def _entries(self, rows: LongArray) -> tuple[LongArray, IntArray]:
        """(starts, indices) of some columns."""
        length = self.starts[rows + 1] - self.starts[rows]
        begin = np.concatenate([[0], np.cumsum(length)])
        return begin, self.index[np.repeat(self.starts[rows] - begin[:-1], length) + np.arange(begin[-1])]

    def _model(self, rows: LongArray, *, integer: bool) -> Any:
        import highspy

        starts, index = self._entries(rows)
        lp: Any = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(rows), len(self.lower)
        lp.col_cost_ = self.cost[rows]
        # no upper bound in the relaxation: a column at it would hide its reduced cost from the duals
        lp.col_lower_ = np.zeros(len(rows))
        lp.col_upper_ = np.full(len(rows), 1.0 if integer else highspy.kHighsInf)
        lp.row_lower_, lp.row_upper_ = self.lower, np.ones(len(self.lower))
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = starts.astype(np.int32), index
        lp.a_matrix_.value_ = np.ones(len(index))
        if integer:
            lp.integrality_ = [highspy.HighsVarType.kInteger] * len(rows)
        return lp
