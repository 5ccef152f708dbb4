"""Exact travel times and paths on a road network, a row (one node to or from all) at a time.

Rows are kept in a bounded cache, least recently used first out. Every answer equals Dijkstra's.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from noriai_engine.model.units import FOREVER_MS, IntArray, LongArray, NodeIndex
from noriai_engine.roads.network import RoadNetwork


@dataclass(frozen=True, slots=True)
class RowCacheParams:
    """How much memory rows of travel times may take, in bytes."""

    max_bytes: int = 512 << 20

    def __post_init__(self) -> None:
        if self.max_bytes < 1 << 20:
            raise ValueError(f"max_bytes = {self.max_bytes}: rows need at least 1 MiB")


class TravelTimes:
    """Travel times of one road network. Durations are int32 ms; FOREVER_MS where there is no path."""

    def __init__(self, network: RoadNetwork, params: RowCacheParams | None = None) -> None:
        self.network = network
        row_bytes = 12 * network.node_count
        self._room = max(8, (params or RowCacheParams()).max_bytes // row_bytes)
        self._rows: OrderedDict[tuple[str, int], tuple[LongArray, IntArray]] = OrderedDict()

    def from_node(self, node: int) -> IntArray:
        """(n,) ms from `node` to every node."""
        return self._row("from", node)[1]

    def to_node(self, node: int) -> IntArray:
        """(n,) ms from every node to `node`."""
        return self._row("to", node)[1]

    def between(self, source: int, target: int) -> int:
        """Driving time in ms."""
        return int(self.to_node(target)[source])

    def path(self, source: int, target: int) -> tuple[IntArray, IntArray, int]:
        """Nodes of the best path (k,), ms from the start at each of them (k,), and its length in mm.

        Among equally fast paths the shortest; `source == target` gives one node, 0 ms, 0 mm. Raises LookupError
        where there is no path.
        """
        from noriai_engine.roads.kernels.shortest_path import walk

        network = self.network
        keys = self._row("to", target)[0]
        arcs = np.empty(256, np.int32)
        while (count := walk(network.first_out, network.arc_head, network.weight, keys, source, target, arcs)) == -1:
            arcs = np.empty(2 * len(arcs), np.int32)
        if count < 0:
            raise LookupError(f"no path from node {source} to node {target}")
        arcs = arcs[:count]
        nodes = np.concatenate([np.array([source], np.int32), network.arc_head[arcs]])
        elapsed = np.concatenate([[0], np.cumsum(network.arc_ms[arcs])]).astype(np.int32)
        return nodes, elapsed, int(network.arc_mm[arcs].sum(dtype=np.int64))

    def path_mm(self, nodes: IntArray) -> int:
        """Length in mm of a walk over neighbouring nodes, taking the lightest of parallel arcs."""
        total = 0
        for tail, head in pairwise(nodes.tolist()):
            first, last = self.network.first_out[tail], self.network.first_out[tail + 1]
            arcs = first + np.flatnonzero(self.network.arc_head[first:last] == head)
            total += int(self.network.weight[arcs].min() & 0xFFFFFFFF)
        return total

    def _row(self, direction: str, node: int) -> tuple[LongArray, IntArray]:
        key = (direction, int(node))
        row = self._rows.get(key)
        if row is None:
            row = self._compute(direction, NodeIndex(int(node)))
            self._rows[key] = row
            if len(self._rows) > self._room:
                self._rows.popitem(last=False)
        else:
            self._rows.move_to_end(key)
        return row

    def _compute(self, direction: str, node: NodeIndex) -> tuple[LongArray, IntArray]:
        from noriai_engine.roads.kernels.shortest_path import UNREACHED, one_to_all

        network = self.network
        arcs = (network.first_out, network.arc_head, network.weight) if direction == "from" else network.reversed_arcs
        keys = np.empty(network.node_count, np.int64)
        one_to_all(*arcs, node, keys)
        ms = np.where(keys == UNREACHED, FOREVER_MS, keys >> 32).astype(np.int32)
        return keys, ms
