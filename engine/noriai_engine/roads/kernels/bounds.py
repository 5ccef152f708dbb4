"""Lower bounds of travel times by cells: a look-up in a small matrix instead of a scan over labels.

Each state belongs to a cell with a centre. By the triangle inequality, which exact shortest times obey,
tt(x, y) >= tt(cx, cy) - tt(cx, x) - tt(y, cy) for the centres cx and cy of their cells.
"""

from typing import NamedTuple

from noriai_engine.kernels import kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.metric import INF, Tree
from noriai_engine.roads.kernels.queries import Labels, pair
from noriai_engine.roads.kernels.spots import States


class Bounds(NamedTuple):
    """`cell` (k,) of each state; ms `out` (k,) from its centre to it and `back` (k,) from it or any twin of it to the
    centre; `between` (c, c) ms from centre to centre."""

    cell: IntArray
    out: IntArray
    back: IntArray
    between: IntArray


class RoadView(NamedTuple):
    """One metric as kernels see it: labels, states and bounds for times; `inner` (k,) ms along each state; the
    hierarchy (`tree`, `shape`: labels without rows) with keys of turns and arcs for ways."""

    labels: Labels
    states: States
    bounds: Bounds
    inner: IntArray
    tree: Tree
    shape: Labels
    key: LongArray
    up: LongArray
    down: LongArray
    up_arc: IntArray
    down_arc: IntArray


@kernel
def fill_bounds(
    labels: Labels, states: States, cell: IntArray, centre: IntArray, by_cell: IntArray, out: IntArray, back: IntArray,
) -> None:  # fmt: skip
    """`Bounds.out` and `Bounds.back` of all states; `by_cell` (k,) lists them cell after cell, `centre` (c,) states."""
    away = back.copy()
    for k in by_cell:
        middle = states.number[centre[cell[k]]]
        out[k] = pair(labels, middle, states.number[k])
        away[k] = pair(labels, states.number[k], middle)
    for k in range(back.shape[0]):
        back[k] = away[k]
        twin = states.twin[k]
        while twin >= 0 and twin != k:
            back[k] = max(back[k], away[twin])
            twin = states.twin[twin]


@kernel
def at_least(roads: RoadView, source: int, source_ms: int, target: int, target_ms: int) -> int:
    """A lower bound of `spot_pair`, at least 0; 0 to and from a state of -1."""
    if source < 0 or target < 0 or roads.states.arc[source] == roads.states.arc[target]:
        return 0
    b = roads.bounds
    low = b.between[b.cell[source], b.cell[target]] - b.out[source] - b.back[target] + target_ms - source_ms
    return max(low, 0) if low < INF else INF
