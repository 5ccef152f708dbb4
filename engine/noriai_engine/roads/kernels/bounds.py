"""Lower bounds of travel times by cells: a look-up in a small matrix instead of a scan over labels.

Each state belongs to a cell with a centre. By the triangle inequality, which exact shortest times obey,
tt(x, y) >= tt(cx, cy) - tt(cx, x) - tt(y, cy) for the centres cx and cy of their cells.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import inlined_kernel, kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.metric import Tree
from noriai_engine.roads.kernels.queries import Labels, pair
from noriai_engine.roads.kernels.spots import States

CELL, OUT, BACK = 0, 1, 2


class Bounds(NamedTuple):
    """`place` (k, 4) of each state, in one row to be fetched at once: its cell, ms from the centre to it (OUT) and from
    it or any twin of it to the centre (BACK). ms `between` (c, c) from the row's centre to the column's, `toward` the
    other way. States of one street direction share a cell: so the bound holds ahead on one street, too."""

    place: IntArray
    between: IntArray
    toward: IntArray


class RoadView(NamedTuple):
    """One metric as kernels see it: labels, states and bounds for times; `inner` (k,) ms and
    `inner_mm` (k,) mm along each state; the hierarchy (`tree`, `shape`: labels without rows) with keys of turns and
    arcs for ways."""

    labels: Labels
    states: States
    bounds: Bounds
    inner: IntArray
    inner_mm: IntArray
    tree: Tree
    shape: Labels
    key: LongArray
    up: LongArray
    down: LongArray
    up_arc: IntArray
    down_arc: IntArray
    middle: LongArray


@kernel
def fill_bounds(labels: Labels, states: States, centre: IntArray, by_cell: IntArray, place: IntArray) -> None:
    """OUT and BACK of all states; `by_cell` (k,) lists them cell after cell, `centre` (c,) are states."""
    away = np.empty(place.shape[0], np.int32)
    for k in by_cell:
        middle = states.number[centre[place[k, CELL]]]
        place[k, OUT] = pair(labels, middle, states.number[k])
        away[k] = pair(labels, states.number[k], middle)
    for k in range(place.shape[0]):
        place[k, BACK] = away[k]
        twin = states.twin[k]
        while twin >= 0 and twin != k:
            place[k, BACK] = max(place[k, BACK], away[twin])
            twin = states.twin[twin]


@inlined_kernel
def at_least_to(roads: RoadView, source: int, source_ms: int, target: int, target_ms: int) -> int:
    """A lower bound of `spot_pair`, at least 0; quick for many sources of one target."""
    place = roads.bounds.place
    low = roads.bounds.toward[place[target, CELL], place[source, CELL]] - place[source, OUT] - place[target, BACK]
    return max(low + target_ms - source_ms, 0)


@inlined_kernel
def at_least_from(roads: RoadView, source: int, source_ms: int, target: int, target_ms: int) -> int:
    """The same, quick for many targets of one source; 0 to a target of -1."""
    if target < 0:
        return 0
    place = roads.bounds.place
    low = roads.bounds.between[place[source, CELL], place[target, CELL]] - place[source, OUT] - place[target, BACK]
    return max(low + target_ms - source_ms, 0)
