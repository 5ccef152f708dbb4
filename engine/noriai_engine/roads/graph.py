"""The graph that an oracle runs on, whatever it was made from: states, and turns between them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from noriai_engine.model.units import FloatArray, IntArray, LongArray
from noriai_engine.roads.hierarchy import Hierarchy, build_hierarchy, check_arcs, order_nodes
from noriai_engine.roads.network import RoadNetwork


@dataclass(frozen=True)
class StateGraph:
    """States (k,) and turns (t,) sorted by source. Of a road network, states are arcs; of plain arrays, nodes.

    `arc` (k,) what a state stands on (several may share one), `twin` the next state of the same arc or -1. `inner_ms`,
    `inner_mm` (k,): how long one is on it: an arc's own weights, 0 for a node. `between_ms`, `between_mm` (t,): what
    a turn adds. `rank` (k,) elimination order; `beside` pairs of states that are to be neighbours in the hierarchy.
    """

    source: IntArray
    target: IntArray
    between_ms: IntArray
    between_mm: IntArray
    inner_ms: IntArray
    inner_mm: IntArray
    arc: IntArray
    twin: IntArray
    rank: IntArray
    beside: tuple[IntArray, IntArray]

    @property
    def state_count(self) -> int:
        return len(self.inner_ms)

    @cached_property
    def first(self) -> LongArray:
        """(k + 1,) first turn of each state."""
        return np.searchsorted(self.source, np.arange(self.state_count + 1)).astype(np.int64)

    @cached_property
    def mm(self) -> IntArray:
        """(t,) mm from the start of a state to the start of the next."""
        return self.inner_mm[self.source] + self.between_mm

    def ms(self, inner_ms: IntArray, between_ms: IntArray) -> IntArray:
        """(t,) ms from the start of a state to the start of the next."""
        out: IntArray = inner_ms[self.source] + between_ms
        return out

    def hierarchy(self) -> Hierarchy:
        return build_hierarchy(self.state_count, self.source, self.target, self.rank, self.beside)


def state_graph(network: RoadNetwork) -> StateGraph:
    """The turn-aware graph of a road network."""
    zero = np.zeros(network.turn_count, np.int32)
    arcs = np.flatnonzero(network.opposite >= 0).astype(np.int32)
    again = np.flatnonzero(network.twin >= 0).astype(np.int32)
    beside = np.concatenate([arcs, again]), np.concatenate([network.opposite[arcs], network.twin[again]])
    # Copies: numba compiles a kernel anew for arrays that cannot be written, as memory-mapped ones are.
    source, target, ms, arc = (
        np.array(a) for a in (network.turn_source, network.turn_target, network.turn_ms, network.state_arc)
    )
    return StateGraph(
        source, target, ms, zero, network.state_ms, network.state_mm, arc, network.twin, network.rank, beside
    )


def plain_graph(
    tail: IntArray, head: IntArray, ms: IntArray, mm: IntArray | None = None, *, node_count: int | None = None,
    x: FloatArray | None = None, y: FloatArray | None = None,
) -> StateGraph:  # fmt: skip
    """A graph of nodes 0 .. n - 1 from plain arrays (m,), in any order; parallel arcs and loops are allowed.

    x, y (n,) in one unit help the elimination order; without them it takes hop counts. Raises InputError where the
    arrays do not fit together.
    """
    tail, head, ms = (np.ascontiguousarray(a, np.int32) for a in (tail, head, ms))
    mm = np.zeros(len(tail), np.int32) if mm is None else np.ascontiguousarray(mm, np.int32)
    n = int(max(tail.max(initial=-1), head.max(initial=-1)) + 1) if node_count is None else node_count
    check_arcs(n, tail, head, ms, mm)
    order = np.lexsort((mm, ms, head, tail))
    tail, head, ms, mm = tail[order], head[order], ms[order], mm[order]
    none, zero = np.zeros(0, np.int32), np.zeros(n, np.int32)
    rank = order_nodes(n, tail, head, x, y)
    everyone = np.arange(n, dtype=np.int32)
    return StateGraph(tail, head, ms, mm, zero, zero, everyone, np.full(n, -1, np.int32), rank, (none, none))
