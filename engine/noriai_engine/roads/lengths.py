"""Lengths of many drives at once: of the shortest among the fastest ways, in mm."""

import numpy as np

from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.graph import StateGraph
from noriai_engine.roads.kernels.climbing import key_matrix
from noriai_engine.roads.kernels.metric import INF_KEY
from noriai_engine.roads.oracle import Oracle

NO_WAY_MM = 1 << 50
"""Longer than any road, and sums of thousands still fit 64 bits."""


def lengths_between(oracle: Oracle, graph: StateGraph, state: IntArray) -> LongArray:
    """(n, n) mm from the start of each state to the start of each other's arc, by whichever of its states is reached
    first; 2 * NO_WAY_MM where there is no way. Between states of one arc it says nothing of use."""
    there = np.maximum(state, 0)
    near, row = np.unique(there, return_inverse=True)
    ends = near
    while len(more := np.setdiff1d(graph.twin[ends], np.append(ends, np.int32(-1)))):
        ends = np.union1d(ends, more)
    keys = np.empty((len(near), len(ends)), np.int64)
    key_matrix(
        oracle.hierarchy.tree, oracle.shape, oracle.keys.up, oracle.keys.down, oracle.numbers(near),
        oracle.numbers(ends), keys,
    )  # fmt: skip
    best, twin = keys[:, np.searchsorted(ends, near)], graph.twin[near]
    while (other := (twin >= 0) & (twin != near)).any():
        best[:, other] = np.minimum(best[:, other], keys[:, np.searchsorted(ends, twin[other])])
        twin = np.where(other, graph.twin[twin], -1)
    found = best[np.ix_(row, row)]
    mm: LongArray = np.where(found < INF_KEY, found & 0xFFFFFFFF, 2 * NO_WAY_MM)
    return mm
