"""Exact shortest times on any directed graph: a customizable contraction hierarchy with dense labels.

A pair costs one scan over two contiguous rows; new weights for all arcs make every pair exact again in tens of
milliseconds. All answers equal Dijkstra's on the same graph, in whole milliseconds; with lengths given, the
length is that of the shortest among the fastest paths.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from noriai_engine.model.units import FOREVER_MS, FloatArray, IntArray, LongArray, SmallArray
from noriai_engine.roads.hierarchy import Hierarchy, build_hierarchy, check_arcs, order_nodes
from noriai_engine.roads.kernels import climbing, metric, queries, repair
from noriai_engine.roads.row_pool import RowPool

DENSE_NODES = 300_000
"""Above this many nodes no labels are kept for all nodes; rows are made for the nodes asked about."""


@dataclass(frozen=True)
class Weights:
    """One metric, customised: `ms` (m,) of the input arcs, `up` and `down` (hierarchy arcs,) int32 ms, label rows of
    all nodes or, on a large graph, a pool of those in use."""

    ms: IntArray
    up: IntArray
    down: IntArray
    labels: queries.Labels | None
    pool: RowPool | None


@dataclass(frozen=True)
class KeyWeights:
    """Customised (ms << 32) + mm keys and the input arc on each hierarchy arc: what paths and lengths need. `middle`:
    the triangles of arcs unpacked so far."""

    key: LongArray
    up: LongArray
    down: LongArray
    up_arc: IntArray
    down_arc: IntArray
    middle: LongArray


class Oracle:
    """Distances and paths between nodes 0 .. n - 1. `reweighted` gives a new oracle and leaves this one alone;
    `repair` changes this one, and nobody may ask it anything meanwhile (TravelTimes sees to that).

    tail, head: (m,) int32. ms: (m,) at least 0. mm: (m,) lengths, or None where nobody asks for them.
    """

    def __init__(
        self, hierarchy: Hierarchy, tail: IntArray, head: IntArray, ms: IntArray, mm: IntArray | None = None,
        *, dense: bool | None = None,
    ) -> None:  # fmt: skip
        self.hierarchy, self.tail, self.head, self.mm = hierarchy, tail, head, mm
        self._dense = hierarchy.node_count <= DENSE_NODES if dense is None else dense
        self.least_depth = least_depth_table(hierarchy)
        self.weights = self._customised(ms)
        self._keys: KeyWeights | None = None

    @classmethod
    def from_arcs(
        cls, tail: IntArray, head: IntArray, ms: IntArray, mm: IntArray | None = None, *,
        node_count: int | None = None, x: FloatArray | None = None, y: FloatArray | None = None,
        dense: bool | None = None,
    ) -> "Oracle":  # fmt: skip
        """An oracle on plain arrays. Coordinates in one unit help the order; without them it takes hop counts.

        Raises InputError where arrays differ in length, an end is no node or a weight is negative.
        """
        tail, head, ms = (np.ascontiguousarray(a, np.int32) for a in (tail, head, ms))
        n = int(max(tail.max(initial=-1), head.max(initial=-1)) + 1) if node_count is None else node_count
        check_arcs(n, tail, head, ms)
        rank = order_nodes(n, tail, head, x, y)
        lengths = None if mm is None else np.ascontiguousarray(mm, np.int32)
        return cls(build_hierarchy(n, tail, head, rank), tail, head, ms, lengths, dense=dense)

    @property
    def node_count(self) -> int:
        return self.hierarchy.node_count

    def reweighted(self, ms: IntArray, spare: Weights | None = None) -> "Oracle":
        """The same graph with other times (m,); this oracle stays as it is. The arrays of `spare`, weights that nobody
        uses any more, are written over instead of taking new memory."""
        other = object.__new__(Oracle)
        other.__dict__.update(self.__dict__)
        other.weights, other._keys = self._customised(ms, spare), None
        return other

    def repair(self, arcs: IntArray, ms: IntArray) -> None:
        """New times for some arcs (k,), in place: every pair is exact again. Raises InputError for a bad time."""
        weights, tree = self.weights, self.hierarchy.tree
        check_arcs(self.node_count, self.tail[arcs], self.head[arcs], ms)
        weights.ms[arcs] = ms
        on_first, on, ends = self._repair_index
        changed = np.zeros(self.node_count, np.bool_)
        repair.repair_arcs(
            tree, np.ascontiguousarray(arcs, np.int32), self.hierarchy.slot, on_first, on, weights.ms, weights.up,
            weights.down, changed,
        )  # fmt: skip
        if weights.labels is not None:
            again = np.empty(self.node_count, np.bool_)
            for weight, rows in ((weights.up, weights.labels.up), (weights.down, weights.labels.down)):
                repair.repair_rows(tree, ends, changed, weight, rows, again)
        else:
            pool = RowPool(tree, self.least_depth, weights.up, weights.down)
            self.weights = Weights(weights.ms, weights.up, weights.down, None, pool)
        self._keys = None

    @cached_property
    def _repair_index(self) -> tuple[LongArray, IntArray, IntArray]:
        """Input arcs by the hierarchy arc and direction they lie on, and the ends of subtrees."""
        slot = self.hierarchy.slot
        order = np.argsort(slot, kind="stable").astype(np.int32)
        first = np.searchsorted(slot[order], np.arange(2 * self.hierarchy.arc_count + 1)).astype(np.int64)
        ends = np.empty(self.node_count, np.int32)
        repair.subtree_ends(self.hierarchy.tree.parent, ends)
        return first, order, ends

    def labels_of(self, *numbers: IntArray) -> queries.Labels:
        """Labels in which the rows of these tree numbers stand."""
        if self.weights.labels is not None:
            return self.weights.labels
        assert self.weights.pool is not None
        return self.weights.pool.with_rows(np.unique(np.concatenate(numbers)))

    def pairs(self, sources: IntArray, targets: IntArray) -> IntArray:
        """(k,) ms of each pair; FOREVER_MS where there is no path."""
        a, b = self.numbers(sources), self.numbers(targets)
        out = np.empty(len(a), np.int32)
        queries.pairs(self.labels_of(a, b), a, b, out)
        return out

    def between(self, source: int, target: int) -> int:
        """ms from one node to another."""
        return int(self.pairs(np.array([source]), np.array([target]))[0])

    def matrix(self, sources: IntArray, targets: IntArray) -> IntArray:
        """(s, t) ms from every source to every target."""
        a, b = self.numbers(sources), self.numbers(targets)
        labels = self.labels_of(a, b)
        by_a, by_b = np.argsort(a, kind="stable").astype(np.int32), np.argsort(b, kind="stable").astype(np.int32)
        a, b = a[by_a], b[by_b]
        out = np.empty((len(a), len(b)), np.int32)
        queries.matrix(labels, a, labels.up, labels.row[a], b, labels.down, labels.row[b], by_a, by_b, out)
        return out

    def matrix_with_lengths(self, sources: IntArray, targets: IntArray) -> tuple[IntArray, IntArray]:
        """(s, t) ms, and mm of the shortest among the fastest paths (-1 where there is no path).

        Raises ValueError where the oracle was made without lengths.
        """
        keys = self.keys
        a, b = self.numbers(sources), self.numbers(targets)
        out = np.empty((len(a), len(b)), np.int64)
        climbing.key_matrix(self.hierarchy.tree, self.shape, keys.up, keys.down, a, b, out)
        return split_keys(out)

    def from_all(self, target: int) -> IntArray:
        """(n,) ms from every node to `target`."""
        out: IntArray = self.matrix(np.arange(self.node_count, dtype=np.int32), np.array([target], np.int32))[:, 0]
        return out

    def to_all(self, source: int) -> IntArray:
        """(n,) ms from `source` to every node."""
        out: IntArray = self.matrix(np.array([source], np.int32), np.arange(self.node_count, dtype=np.int32))[0]
        return out

    def path(self, source: int, target: int) -> IntArray:
        """Input arcs of the fastest path, the shortest among equally fast ones (k,); none where source == target.

        Raises LookupError where there is no path.
        """
        a, b = (int(x) for x in self.numbers(np.array([source, target])))
        keys, room = self.keys, 1024
        while True:
            out = np.empty(room, np.int32)
            count = climbing.key_path(
                self.hierarchy.tree,
                self.shape,
                keys.up,
                keys.down,
                keys.up_arc,
                keys.down_arc,
                keys.key,
                keys.middle,
                a,
                b,
                self.climbs(),
                out,
            )
            if count >= 0:
                return out[:count]
            if count == -2:
                raise LookupError(f"no path from node {source} to node {target}")
            room *= 4

    def climbs(self) -> climbing.Climbs:
        """Working space for ways, new for each caller."""
        return climbing.climbs_for(self.hierarchy.tree)

    @property
    def shape(self) -> queries.Labels:
        """Labels without rows: enough to tell what two nodes share."""
        tree, none = self.hierarchy.tree, np.zeros(0, np.int32)
        return queries.Labels(self.least_depth, tree.depth, tree.row, none, none)

    @property
    def keys(self) -> KeyWeights:
        """Keys of the metric in force, customised at first use. Raises ValueError without lengths."""
        if self._keys is None:
            if self.mm is None:
                raise ValueError("this oracle was made without lengths (mm): it knows times only")
            tree, slot = self.hierarchy.tree, self.hierarchy.slot
            key = (self.weights.ms.astype(np.int64) << 32) + self.mm
            key[self.weights.ms >= FOREVER_MS] = metric.INF_KEY
            up, down = (np.empty(self.hierarchy.arc_count, np.int64) for _ in range(2))
            up_arc, down_arc = (np.empty(self.hierarchy.arc_count, np.int32) for _ in range(2))
            metric.place_weights(slot, key, metric.INF_KEY, up, down)
            metric.customise(tree, metric.INF_KEY, up, down, 0, self.node_count)
            climbing.lightest_arcs(slot, key, up_arc, down_arc)
            unknown = np.full(2 * self.hierarchy.arc_count, -1, np.int64)
            self._keys = KeyWeights(key, up, down, up_arc, down_arc, unknown)
        return self._keys

    def numbers(self, nodes: IntArray) -> IntArray:
        """Tree numbers of nodes. Raises IndexError for what is no node."""
        nodes = np.asarray(nodes)
        if len(nodes) and (nodes.min() < 0 or nodes.max() >= self.node_count):
            raise IndexError(f"nodes must lie in 0 .. {self.node_count - 1}")
        out: IntArray = self.hierarchy.number[nodes]
        return out

    def _customised(self, ms: IntArray, spare: Weights | None = None) -> Weights:
        ms = np.array(ms, np.int32)
        check_arcs(self.node_count, self.tail, self.head, ms)
        tree = self.hierarchy.tree
        if spare is None:
            up, down = (np.empty(self.hierarchy.arc_count, np.int32) for _ in range(2))
        else:
            up, down = spare.up, spare.down
        metric.place_weights(self.hierarchy.slot, ms, metric.INF, up, down)
        metric.customise(tree, metric.INF, up, down, 0, self.node_count)
        if not self._dense:
            return Weights(ms, up, down, None, RowPool(tree, self.least_depth, up, down))
        if spare is None or spare.labels is None:
            rows = np.empty(self.hierarchy.label_entries, np.int32), np.empty(self.hierarchy.label_entries, np.int32)
        else:
            rows = spare.labels.up, spare.labels.down
        metric.label_rows(tree, up, rows[0], 0, self.node_count)
        metric.label_rows(tree, down, rows[1], 0, self.node_count)
        return Weights(ms, up, down, queries.Labels(self.least_depth, tree.depth, tree.row, *rows), None)


def split_keys(keys: LongArray) -> tuple[IntArray, IntArray]:
    """ms and mm of (ms << 32) + mm keys; FOREVER_MS and -1 where there is no path."""
    unreached = keys >= metric.INF_KEY
    ms = np.where(unreached, FOREVER_MS, keys >> 32).astype(np.int32)
    return ms, np.where(unreached, -1, keys & 0xFFFFFFFF).astype(np.int32)


def least_depth_table(hierarchy: Hierarchy) -> SmallArray:
    """Sparse table (levels, n) of least depths, int16."""
    n = hierarchy.node_count
    table = np.empty((max(1, n.bit_length()), n), np.int16)
    queries.least_depths(hierarchy.tree.depth, table)
    return table
