"""Set partitioning: the best choice among all routes the search has met (HiGHS)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_engine.plans.kernels.arrays import Pool, Tasks

Array = NDArray[Any]


@dataclass(frozen=True)
class Choice:
    """Rows of the pool that serve every task at most once; `bound` is the value of the linear relaxation."""

    rows: Array
    cost: float
    bound: float


def choose_routes(
    t: Tasks, pool: Pool, known: float, known_rows: Array, seconds: float | None, most_columns: int = 4000
) -> Choice | None:
    """The cheapest set of pool routes below the cost `known`, tasks left out at their price; None where none is found.

    `known_rows` are the pool rows of that solution, to start from; `seconds` limits the integer search (None: a number
    of nodes does, which repeats). Columns whose reduced cost exceeds the gap cannot be part of an improvement
    and are left out; of the others at most `most_columns`, those of least reduced cost.
    """
    import highspy

    rows, kinds = len(t.jobs), int(t.cars["kind"].max()) + 1
    count = int(pool.used[0])
    first = pool.first[: count + 1]
    task = t.stops["task"][pool.node[: first[count]]]
    starts = t.stops["role"][pool.node[: first[count]]] >= 0
    column = np.repeat(np.arange(count), np.diff(first))[starts]
    task = task[starts]
    has = np.bincount(t.cars["kind"], minlength=kinds)
    cost = np.concatenate([pool.cost[:count], t.jobs["price"]])
    # every column: its tasks, then the fleet row of its kind; then one column for each task left out
    length = np.concatenate([np.bincount(column, minlength=count) + 1, np.ones(rows, int)])
    start = np.concatenate([[0], np.cumsum(length)])
    index = np.empty(start[-1], np.int32)
    place = (
        start[column]
        + np.arange(len(column))
        - np.concatenate([[0], np.cumsum(np.bincount(column, minlength=count))])[column]
    )
    index[place] = task
    index[start[1 : count + 1] - 1] = rows + pool.kind[:count]
    index[start[count : count + rows]] = np.arange(rows)
    lower = np.concatenate([np.ones(rows), np.zeros(kinds)])
    upper = np.concatenate([np.ones(rows), has])

    def solved(columns: Array, integer: bool) -> Any:
        h: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        h.setOptionValue("output_flag", False)
        h.setOptionValue("threads", 1)
        lp = highspy.HighsLp()
        lengths = length[columns]
        lp.num_col_, lp.num_row_ = len(columns), rows + kinds
        lp.col_cost_ = cost[columns]
        lp.col_lower_, lp.col_upper_ = np.zeros(len(columns)), np.ones(len(columns))
        lp.row_lower_, lp.row_upper_ = lower, upper
        begin = np.concatenate([[0], np.cumsum(lengths)])
        pick = np.repeat(start[columns] - begin[:-1], lengths) + np.arange(begin[-1])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = begin.astype(np.int32)
        lp.a_matrix_.index_ = index[pick]
        lp.a_matrix_.value_ = np.ones(len(pick))
        if integer:
            lp.integrality_ = [highspy.HighsVarType.kInteger] * len(columns)
            if seconds is None:
                h.setOptionValue("mip_max_nodes", 100)
            else:
                h.setOptionValue("time_limit", seconds)
            h.setOptionValue("mip_rel_gap", 1e-6)
        h.passModel(lp)
        if integer:
            begin_with = highspy.HighsSolution()
            begin_with.col_value = list(np.isin(columns, known_columns).astype(float))
            h.setSolution(begin_with)
        h.run()
        return h

    served = np.zeros(rows, bool)
    for row in known_rows:
        served[t.stops["task"][pool.node[first[row] : first[row + 1]]]] = True
    known_columns = np.concatenate([known_rows, count + np.flatnonzero(~served)])
    whole = np.arange(len(cost))
    relaxed = solved(whole, False)
    bound = relaxed.getInfo().objective_function_value
    dual = np.array(relaxed.getSolution().row_dual)
    if bound >= known - 1e-6:
        return None
    reduced = cost - np.add.reduceat(dual[index], start[:-1])
    chance = np.flatnonzero(reduced <= known - bound)
    if len(chance) > most_columns:
        chance = chance[np.argsort(reduced[chance], kind="stable")[:most_columns]]
    chance = np.union1d(chance, known_columns)
    whole_numbers = solved(chance, True)
    info = whole_numbers.getInfo()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    value = np.array(whole_numbers.getSolution().col_value)
    chosen = chance[value > 0.5]
    total = float(cost[chosen].sum())
    if total >= known - 1e-7:
        return None
    return Choice(rows=chosen[chosen < count], cost=total, bound=bound)
