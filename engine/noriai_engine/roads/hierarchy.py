"""The contraction hierarchy of a graph: everything that no change of weights can touch.

Built once per graph: an elimination order by nested dissection, the arcs that elimination adds, and their tree.
"""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import FOREVER_MS, BoolArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.kernels import dissection, elimination
from noriai_engine.roads.kernels.metric import Tree
from noriai_engine.roads.kernels.tours import hop_coordinates

ROW_STEP = 8  # entries: one AVX2 register of int32


@dataclass(frozen=True)
class Hierarchy:
    """`number` (n,) is each node's place in the tree (its preorder number), `node` the way back.

    `slot` (m,) says where each input arc lies: 2 x arc where it goes up, 2 x arc + 1 where it goes down, -1 for a
    loop. Nodes and arcs are those of the graph it was built from.
    """

    tree: Tree
    number: IntArray
    node: IntArray
    slot: IntArray

    @property
    def node_count(self) -> int:
        return len(self.number)

    @property
    def arc_count(self) -> int:
        """Arcs of the hierarchy, each usable in both directions."""
        return len(self.tree.up)

    @property
    def label_entries(self) -> int:
        """Entries of all label rows in one direction, padding included."""
        return int(self.tree.row[-1])


def build_hierarchy(
    node_count: int, tail: IntArray, head: IntArray, rank: IntArray, beside: tuple[IntArray, IntArray] | None = None
) -> Hierarchy:
    """Eliminate the nodes of the graph (tail -> head, (m,) each) in the order of `rank` (n,), lowest first.

    `beside` are further pairs of nodes that must become neighbours in the hierarchy, such as the two directions of a
    street: one of each pair is then an ancestor of the other.
    """
    ends = (tail, head) if beside is None else (np.r_[tail, beside[0]], np.r_[head, beside[1]])
    low, high = np.minimum(rank[ends[0]], rank[ends[1]]), np.maximum(rank[ends[0]], rank[ends[1]])
    edge = np.unique(low[low != high].astype(np.int64) * node_count + high[low != high])
    low, high = (edge // node_count).astype(np.int32), (edge % node_count).astype(np.int32)
    first = np.zeros(node_count + 1, np.int64)
    room = 8 * len(low) + 64
    while (made := elimination.eliminate(node_count, low, high, first, room))[0] < 0:
        room *= 2
    count, heads = made
    return _number(node_count, first, heads[:count], rank, tail, head)


def _number(n: int, first: LongArray, heads: IntArray, rank: IntArray, tail: IntArray, head: IntArray) -> Hierarchy:
    by_rank, parent, depth = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    deepest = elimination.preorder(n, first, heads, by_rank, parent, depth)
    if deepest >= np.iinfo(np.int16).max:
        raise ValueError(f"the elimination tree is {deepest} deep: the graph is no road network (limit 32,766)")
    up_first, up = np.empty(n + 1, np.int64), np.empty_like(heads)
    elimination.renumber(n, first, heads, by_rank, up_first, up)
    down_first, down, tails = np.empty(n + 1, np.int64), np.empty_like(up), np.empty_like(up)
    elimination.down_arcs(n, up_first, up, down_first, down, tails)
    row = np.zeros(n + 1, np.int64)
    np.cumsum(-(-(depth + 1) // ROW_STEP) * ROW_STEP, out=row[1:])
    tree = Tree(parent, depth, up_first, up, depth[up], down_first, down, tails, row)
    number = by_rank[rank]
    node = np.empty(n, np.int32)
    node[number] = np.arange(n, dtype=np.int32)
    slot = np.empty(len(tail), np.int32)
    elimination.slots(up_first, up, number[tail], number[head], slot)
    return Hierarchy(tree, number, node, slot)


def check_arcs(node_count: int, tail: IntArray, head: IntArray, ms: IntArray, mm: IntArray | None = None) -> None:
    """Raise InputError where the arrays of a graph do not fit together."""
    if not len(tail) == len(head) == len(ms) == (len(ms) if mm is None else len(mm)):
        counts = f"{len(tail)} tails, {len(head)} heads, {len(ms)} times"
        counts += "" if mm is None else f", {len(mm)} lengths"
        raise InputError(counts, where="arcs", remedy="give one of each an arc")
    if len(tail) and (min(tail.min(), head.min()) < 0 or max(tail.max(), head.max()) >= node_count):
        raise InputError(f"an arc ends outside 0 .. {node_count - 1}", where="arcs", remedy="check the node numbers")
    if len(ms) and (ms.min() < 0 or ms.max() > FOREVER_MS):
        bad = int(np.flatnonzero((ms < 0) | (ms > FOREVER_MS))[0])
        raise InputError(f"time of {ms[bad]} ms", where=f"arc {bad}", remedy="give 0 or more; FOREVER_MS closes an arc")


def order_nodes(
    node_count: int, tail: IntArray, head: IntArray, x: FloatArray | None = None, y: FloatArray | None = None
) -> IntArray:
    """Elimination rank (n,) of the nodes of a graph by nested dissection; x and y in one unit, any origin. Without
    them it takes hop counts."""
    if x is None or y is None:
        x, y = hop_coordinates(node_count, tail, head)
    a, b = np.minimum(tail, head), np.maximum(tail, head)
    edge = np.unique(a[a != b].astype(np.int64) * node_count + b[a != b])
    low, high = (edge // node_count).astype(np.int32), (edge % node_count).astype(np.int32)
    places = np.asarray(x, np.float64), np.asarray(y, np.float64)
    _, node_rank = _dissect(node_count, low, high, np.ones(len(low), np.int32), *places, by_nodes=True)
    return node_rank


def order_streets(
    node_count: int, tail: IntArray, head: IntArray, width: IntArray, x: FloatArray, y: FloatArray
) -> IntArray:
    """Elimination rank (streets,) of streets between junctions: what cuts the town in two goes last.

    `width` is how many directions a street has (1 or 2). The nodes of a turn-aware graph are directed streets, and
    cutting streets cuts it: an order on the junction graph serves the far larger graph of turns.
    """
    edge_rank, _ = _dissect(node_count, tail.copy(), head.copy(), width, x, y, by_nodes=False)
    return edge_rank


def _dissect(
    n: int, tail: IntArray, head: IntArray, width: IntArray, x: FloatArray, y: FloatArray, *, by_nodes: bool
) -> tuple[IntArray, IntArray]:
    edge_rank, node_rank = np.empty(len(tail), np.int32), np.empty(n, np.int32)
    dissection.peel(n, tail, head, edge_rank, node_rank)
    alive: BoolArray = edge_rank < 0
    core = np.flatnonzero(node_rank < 0).astype(np.int32)
    along = [core[np.argsort(value[core], kind="stable")] for value in (x, y, x + y, x - y)]
    dissection.dissect(n, tail, head, width, alive, np.stack(along), by_nodes, edge_rank, node_rank)
    return edge_rank, node_rank
