"""Nested dissection of a road graph by inertial flow: which edges and nodes to eliminate first.

Schild and Sommer, "On Balanced Separators in Road Networks" (SEA 2015): order the nodes along a direction, fuse
the first and the last quarter into source and sink, and the minimum cut between them is a small balanced cut.
Cuts come from Dinic's algorithm ("Algorithm for solution of a problem of maximum flow", 1970) with unit or
double capacities. Dead ends and chains are peeled off first: they cost nothing where they are, at the bottom.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import BoolArray, ByteArray, IntArray

DIRECTIONS = 4
SHARE = 4  # a quarter of the nodes is source, a quarter sink


class Half(NamedTuple):
    """Half-edges of one cell, by node: `first` (n + 1,), `to`, `mate` (the same edge seen from its other end),
    `edge` (its number in the whole graph) and what is left of its capacity, `rest`."""

    first: IntArray
    to: IntArray
    mate: IntArray
    edge: IntArray
    rest: IntArray


@kernel
def half_edges(n: int, tail: IntArray, head: IntArray) -> tuple[IntArray, IntArray]:
    """first (n + 1,) and the edge of each half-edge by node; a loop is listed twice at its node."""
    first = np.zeros(n + 2, np.int32)
    for e in range(tail.shape[0]):
        first[tail[e] + 2] += 1
        first[head[e] + 2] += 1
    for v in range(n):
        first[v + 2] += first[v + 1]
    edge = np.empty(2 * tail.shape[0], np.int32)
    for e in range(tail.shape[0]):
        edge[first[tail[e] + 1]] = e
        first[tail[e] + 1] += 1
        edge[first[head[e] + 1]] = e
        first[head[e] + 1] += 1
    return first[: n + 1], edge


@kernel
def peel(n: int, tail: IntArray, head: IntArray, edge_rank: IntArray, node_rank: IntArray) -> tuple[int, int]:
    """Take away nodes of degree 0, 1 and 2 until none is left; a chain's last edge stays and spans it.

    `tail` and `head` are changed to the ends of what stays. Ranks 0, 1, ... are written to `edge_rank` and
    `node_rank` for what goes, -1 stays for the rest; returns how many edges and nodes went. Neighbours do not go
    in the same round, so that a chain of k nodes becomes a tree of depth log k.
    """
    first, edge = half_edges(n, tail, head)
    degree = np.empty(n, np.int32)
    for v in range(n):
        degree[v] = first[v + 1] - first[v]
    edge_rank[:] = -1
    node_rank[:] = -1
    edges, nodes = 0, 0
    touched = np.full(n, -1, np.int32)
    queue, later = np.empty(n, np.int32), np.empty(n, np.int32)
    queued = np.zeros(n, np.bool_)
    count = 0
    for v in range(n):
        if degree[v] <= 2:
            queue[count] = v
            queued[v] = True
            count += 1
    rounds = 0
    while count > 0:
        more = 0
        for q in range(count):
            v = queue[q]
            if node_rank[v] >= 0:
                continue
            if touched[v] == rounds:
                later[more] = v
                more += 1
                continue
            one, two = -1, -1
            for k in range(first[v], first[v + 1]):
                if edge[k] >= 0 and edge_rank[edge[k]] < 0:
                    if one < 0:
                        one = edge[k]
                    elif edge[k] != one:
                        two = edge[k]
            node_rank[v] = nodes
            nodes += 1
            if one < 0:
                continue
            edge_rank[one] = edges
            edges += 1
            u = head[one] if tail[one] == v else tail[one]
            if two < 0:
                if u != v:
                    degree[u] -= 1
                    touched[u] = rounds
                    if degree[u] <= 2 and not queued[u]:
                        later[more] = u
                        queued[u] = True
                        more += 1
                continue
            w = head[two] if tail[two] == v else tail[two]
            touched[u] = rounds
            touched[w] = rounds
            if u == w:
                edge_rank[two] = edges
                edges += 1
                degree[u] -= 2
                if degree[u] <= 2 and not queued[u]:
                    later[more] = u
                    queued[u] = True
                    more += 1
                continue
            for k in range(first[u], first[u + 1]):
                if edge[k] == one:
                    edge[k] = two
                    break
            if tail[two] == v:
                tail[two] = u
            else:
                head[two] = u
        queue, later = later, queue
        count = more
        rounds += 1
    return edges, nodes


@kernel
def _levels(half: Half, n: int, side: ByteArray, level: IntArray, queue: IntArray) -> bool:
    """Breadth-first levels from all source nodes (side 1) over what is left; True where a sink (side 2) is met."""
    count = 0
    for v in range(n):
        level[v] = -1
        if side[v] == 1:
            level[v] = 0
            queue[count] = v
            count += 1
    at = 0
    found = False
    while at < count:
        v = queue[at]
        at += 1
        if found and level[v] >= level[queue[count - 1]]:
            break
        for k in range(half.first[v], half.first[v + 1]):
            w = half.to[k]
            if half.rest[k] > 0 and level[w] < 0:
                level[w] = level[v] + 1
                queue[count] = w
                count += 1
                if side[w] == 2:
                    found = True
    return found


@kernel
def _blocking_flow(
    half: Half, n: int, side: ByteArray, level: IntArray, turn: IntArray, path: IntArray, limit: int
) -> int:
    """Push flow along shortest paths until none is left; stops beyond `limit`."""
    flow = 0
    for v in range(n):
        turn[v] = half.first[v]
    for start in range(n):
        if side[start] != 1:
            continue
        v = start
        length = 0
        while True:
            if side[v] == 2:
                room = 2
                for k in range(length):
                    room = min(room, half.rest[path[k]])
                back = 0
                for k in range(length - 1, -1, -1):
                    half.rest[path[k]] -= room
                    half.rest[half.mate[path[k]]] += room
                    if half.rest[path[k]] == 0:
                        back = k
                flow += room
                if flow > limit:
                    return flow
                length = back
                v = half.to[half.mate[path[back]]]
                continue
            moved = False
            while turn[v] < half.first[v + 1]:
                k = turn[v]
                if half.rest[k] > 0 and level[half.to[k]] == level[v] + 1:
                    path[length] = k
                    length += 1
                    v = half.to[k]
                    moved = True
                    break
                turn[v] += 1
            if moved:
                continue
            if length == 0:
                break
            length -= 1
            v = half.to[half.mate[path[length]]]
            turn[v] += 1
    return flow


@kernel
def _reach(half: Half, n: int, side: ByteArray, which: int, reached: BoolArray, queue: IntArray) -> int:
    """Nodes on the source's (1) or sink's (2) side of the minimum cut next to it; returns how many."""
    count = 0
    for v in range(n):
        reached[v] = side[v] == which
        if reached[v]:
            queue[count] = v
            count += 1
    at = 0
    while at < count:
        v = queue[at]
        at += 1
        for k in range(half.first[v], half.first[v + 1]):
            w = half.to[k]
            rest = half.rest[k] if which == 1 else half.rest[half.mate[k]]
            if rest > 0 and not reached[w]:
                reached[w] = True
                queue[count] = w
                count += 1
    return count


@kernel
def _cell(nodes: IntArray, local: IntArray, first: IntArray, edge: IntArray, tail: IntArray, head: IntArray) -> Half:
    """Half-edges among `nodes`, whose places in `nodes` are in `local` (-1 for all others)."""
    n = nodes.shape[0]
    most = 0
    for k in range(n):
        most += first[nodes[k] + 1] - first[nodes[k]]
    cell_first = np.zeros(n + 1, np.int32)
    to, mate, name = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    count = 0
    for k in range(n):
        v = nodes[k]
        for h in range(first[v], first[v + 1]):
            e = edge[h]
            if e >= 0:
                w = local[head[e] if tail[e] == v else tail[e]]
                if w >= 0 and w != k:
                    to[count] = w
                    name[count] = e
                    count += 1
        cell_first[k + 1] = count
    seen = np.full(count, -1, np.int32)
    for k in range(n):
        for h in range(cell_first[k], cell_first[k + 1]):
            if seen[h] >= 0:
                continue
            w = to[h]
            for g in range(cell_first[w], cell_first[w + 1]):
                if name[g] == name[h] and to[g] == k:
                    mate[h], mate[g] = g, h
                    seen[h], seen[g] = 1, 1
                    break
    return Half(cell_first, to[:count], mate[:count], name[:count], np.empty(count, np.int32))


@kernel
def dissect(
    n: int, tail: IntArray, head: IntArray, width: IntArray, alive: BoolArray,
    sorted_by: IntArray, by_nodes: bool, edge_rank: IntArray, node_rank: IntArray,
) -> None:  # fmt: skip
    """Cut the graph in two again and again, down to single nodes; what is cut first gets the highest rank.

    `alive` (m,) are the edges that take part, `width` (m,) their capacity (1 or 2); `sorted_by` (4, members) lists
    the nodes that do along four directions and is used up. With `by_nodes` the cuts are of nodes (the
    ends of the cut edges on the side with fewer of them) and `node_rank` is written downward from its size - 1,
    else edges are cut and `edge_rank` is written so.
    """
    first, edge = half_edges(n, tail, head)
    for h in range(edge.shape[0]):
        if not alive[edge[h]]:
            edge[h] = -1
    members = sorted_by.shape[1]
    next_rank = n if by_nodes else tail.shape[0]
    local = np.full(n, -1, np.int32)
    low, high = np.empty(members + 1, np.int32), np.empty(members + 1, np.int32)
    top = 1
    low[0], high[0] = 0, members
    level, queue = np.empty(members, np.int32), np.empty(members, np.int32)
    turn, path = np.empty(members, np.int32), np.empty(members + 1, np.int32)
    side = np.empty(members, np.int8)
    reached, best_side = np.empty(members, np.bool_), np.empty(members, np.bool_)
    spare = np.empty(members, np.int32)
    where = np.empty(n, np.int8)
    while top > 0:
        top -= 1
        a, b = low[top], high[top]
        size = b - a
        if size == 0:
            continue
        if size == 1:
            if by_nodes:
                next_rank -= 1
                node_rank[sorted_by[0, a]] = next_rank
            continue
        nodes = sorted_by[0, a:b].copy()
        for k in range(size):
            local[nodes[k]] = k
        half = _cell(nodes, local, first, edge, tail, head)
        best = 1e30
        best_count = 0
        quarter = max(1, size // SHARE)
        if size == 2:
            best_side[0], best_side[1], best_count = True, False, 1
        for direction in range(DIRECTIONS if size > 2 else 0):
            side[:size] = 0
            for k in range(quarter):
                side[local[sorted_by[direction, a + k]]] = 1
                side[local[sorted_by[direction, b - 1 - k]]] = 2
            for h in range(half.rest.shape[0]):
                half.rest[h] = width[half.edge[h]]
            limit = int(best * (size // 2)) if best < 1e29 else 1 << 30
            flow = 0
            while flow <= limit and _levels(half, size, side, level, queue):
                flow += _blocking_flow(half, size, side, level, turn, path, limit - flow)
            if flow > limit:
                continue
            for which in range(1, 3):
                count = _reach(half, size, side, which, reached, queue)
                smaller = min(count, size - count)
                if flow / smaller < best:
                    best = flow / smaller
                    best_count = count
                    for k in range(size):
                        best_side[k] = reached[k]
        for k in range(size):
            where[nodes[k]] = 1 if best_side[k] else 2
        if by_nodes:
            ends_in, ends_out = 0, 0
            for k in range(size):
                for h in range(half.first[k], half.first[k + 1]):
                    if best_side[half.to[h]] != best_side[k]:
                        if best_side[k]:
                            ends_in += 1
                        else:
                            ends_out += 1
                        break
            inner = ends_in < ends_out or (ends_in == ends_out and best_count * 2 >= size)
            for k in range(size):
                if best_side[k] == inner:
                    for h in range(half.first[k], half.first[k + 1]):
                        if best_side[half.to[h]] != best_side[k]:
                            where[nodes[k]] = 3
                            next_rank -= 1
                            node_rank[nodes[k]] = next_rank
                            break
        else:
            for k in range(size):
                for h in range(half.first[k], half.first[k + 1]):
                    if best_side[k] and not best_side[half.to[h]]:
                        next_rank -= 1
                        edge_rank[half.edge[h]] = next_rank
        for k in range(size):
            local[nodes[k]] = -1
        middle = a
        end = a
        for direction in range(DIRECTIONS):
            at, rest = a, 0
            for k in range(a, b):
                v = sorted_by[direction, k]
                if where[v] == 1:
                    sorted_by[direction, at] = v
                    at += 1
                elif where[v] == 2:
                    spare[rest] = v
                    rest += 1
            for k in range(rest):
                sorted_by[direction, at + k] = spare[k]
            middle, end = at, at + rest
        low[top], high[top] = a, middle
        low[top + 1], high[top + 1] = middle, end
        top += 2
