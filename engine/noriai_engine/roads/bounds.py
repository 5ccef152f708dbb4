"""Cells for lower bounds of travel times: made once a network, filled once a metric."""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.units import BoolArray, FloatArray, IntArray
from noriai_engine.roads.kernels.bounds import CELL, Bounds, fill_bounds
from noriai_engine.roads.kernels.spots import States
from noriai_engine.roads.oracle import Oracle

CELLS = 1_000
"""At most about so many: their matrix takes 4 MB and some 20 ms after each change of weights."""

STATES_A_CELL = 20


@dataclass(frozen=True)
class Cells:
    """`cell` (k,) of each state, `centre` (c,) the state in the middle of each, `by_cell` (k,) states cell by cell."""

    cell: IntArray
    centre: IntArray
    by_cell: IntArray

    def bounds(self, oracle: Oracle, states: States) -> Bounds:
        """Lower bounds for the weights in force; none, but for 0, on a graph too large for all labels."""
        place = np.zeros((len(self.cell), 4), np.int32)
        if oracle.weights.labels is None:
            return Bounds(place, np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32))
        place[:, CELL] = self.cell
        fill_bounds(oracle.weights.labels, states, self.centre, self.by_cell, place)
        between = oracle.matrix(self.centre, self.centre)
        return Bounds(place, between, np.ascontiguousarray(between.T))


def cells_of(x: FloatArray, y: FloatArray, arc: IntArray, connected: BoolArray) -> Cells:
    """Square cells over states at x, y (k,) in one unit; states of one `arc` (k,) share one. Centres are states that
    are `connected` (k,) to the heart of the network, where there are any."""
    count = len(x)
    wanted = max(1, min(CELLS, count // STATES_A_CELL))
    width, height = float(np.ptp(x)), float(np.ptp(y))
    size = max(float(np.sqrt(width * height / wanted / 2)), max(width, height) / wanted / 2, 1e-9)
    columns = int(width / size) + 1
    place = ((y - y.min()) / size).astype(np.int64) * columns + ((x - x.min()) / size).astype(np.int64)
    first = np.full(int(arc.max()) + 1, -1, np.int64)
    first[arc[::-1]] = np.arange(count)[::-1]
    _, inverse = np.unique(place[first[arc]], return_inverse=True)
    cell: IntArray = inverse.astype(np.int32)
    cells = int(cell.max()) + 1
    members = np.bincount(cell, minlength=cells)
    middle = [np.bincount(cell, weights=v, minlength=cells)[cell] / members[cell] for v in (x, y)]
    off = np.hypot(x - middle[0], y - middle[1]) + np.where(connected, 0.0, 1e9)
    by_cell: IntArray = np.lexsort((off, cell)).astype(np.int32)
    begins: IntArray = np.concatenate([[0], np.cumsum(members)[:-1]]).astype(np.int32)
    centre: IntArray = by_cell[begins]
    return Cells(cell, centre, by_cell)
