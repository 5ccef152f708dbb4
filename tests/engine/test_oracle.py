"""The oracle equals Dijkstra of other libraries on any graph: times, lengths, paths, new weights, sparse labels."""

from __future__ import annotations

import itertools
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from noriai_engine.model import InputError
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads import Oracle
from noriai_engine.roads.bridges import from_sparse

Arcs = tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # type: ignore[type-arg]


def some_arcs(rng: np.random.Generator, most: int = 60) -> Arcs:
    """Any directed graph: parallel arcs, loops, unreachable parts, ties, arcs of no time, isolated nodes."""
    n = int(rng.integers(1, most))
    m = int(rng.integers(0, 4 * n + 1))
    tail, head = rng.integers(0, n, m).astype(np.int32), rng.integers(0, n, m).astype(np.int32)
    low = int(rng.integers(0, 2))
    return n, tail, head, rng.integers(low, 9, m).astype(np.int32), rng.integers(1, 9, m).astype(np.int32)


def floyd(n: int, tail: object, head: object, keys: list[int]) -> list[list[int]]:
    """All pairs by Floyd and Warshall in Python integers."""
    far = 1 << 62
    table = [[0 if a == b else far for b in range(n)] for a in range(n)]
    for a, b, key in zip(tail, head, keys, strict=True):  # type: ignore[call-overload]
        table[a][b] = min(table[a][b], key)
    for k in range(n):
        for a in range(n):
            if table[a][k] < far:
                for b in range(n):
                    table[a][b] = min(table[a][b], table[a][k] + table[k][b])
    return table


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 100_000), dense=st.booleans(), placed=st.booleans())
def test_all_pairs_equal_floyd_warshall(seed: int, dense: bool, placed: bool) -> None:
    """ms and mm of every pair, with and without coordinates, with labels for all nodes and only for those in use."""
    rng = np.random.default_rng(seed)
    n, tail, head, ms, mm = some_arcs(rng)
    x, y = (rng.random(n), rng.random(n)) if placed else (None, None)
    oracle = Oracle.from_arcs(tail, head, ms, mm, node_count=n, x=x, y=y, dense=dense)
    keys = floyd(n, tail.tolist(), head.tolist(), [(int(a) << 32) + int(b) for a, b in zip(ms, mm, strict=True)])
    everyone = np.arange(n)
    found, lengths = oracle.matrix_with_lengths(everyone, everyone)
    assert found.tolist() == [[min(k >> 32, FOREVER_MS) for k in row] for row in keys]
    assert lengths.tolist() == [[k & 0xFFFFFFFF if k < 1 << 62 else -1 for k in row] for row in keys]
    order = rng.permutation(n)
    assert oracle.matrix(order, everyone).tolist() == found[order].tolist()
    assert oracle.pairs(order, everyone).tolist() == found[order, everyone].tolist()
    a = int(rng.integers(n))
    assert oracle.to_all(a).tolist() == found[a].tolist()
    assert oracle.from_all(a).tolist() == found[:, a].tolist()


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_paths_are_walks_of_the_length_they_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, tail, head, ms, mm = some_arcs(rng)
    oracle = Oracle.from_arcs(tail, head, ms, mm, node_count=n)
    times, lengths = oracle.matrix_with_lengths(np.arange(n), np.arange(n))
    for _ in range(20):
        a, b = (int(v) for v in rng.integers(0, n, 2))
        if times[a, b] == FOREVER_MS:
            with pytest.raises(LookupError, match="no path"):
                oracle.path(a, b)
            continue
        path, at = oracle.path(a, b), a
        for arc in path:
            assert tail[arc] == at
            at = int(head[arc])
        assert at == b
        assert (int(ms[path].sum()), int(mm[path].sum())) == (times[a, b], lengths[a, b])


@hypothesis_settings(max_examples=30)
@given(seed=st.integers(0, 100_000))
def test_new_weights_make_every_pair_exact_again_and_leave_the_old_oracle_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, tail, head, ms, mm = some_arcs(rng)
    old = Oracle.from_arcs(tail, head, ms, mm, node_count=n)
    everyone = np.arange(n)
    before = old.matrix(everyone, everyone)
    changed = rng.integers(0, 9, len(ms)).astype(np.int32)
    changed[rng.random(len(ms)) < 0.2] = FOREVER_MS  # closed
    new = old.reweighted(changed)
    keys = floyd(n, tail.tolist(), head.tolist(), [int(w) if w < FOREVER_MS else 1 << 62 for w in changed])
    assert new.matrix(everyone, everyone).tolist() == [[min(k, FOREVER_MS) for k in row] for row in keys]
    times, _ = new.matrix_with_lengths(everyone, everyone)
    assert times.tolist() == new.matrix(everyone, everyone).tolist()
    assert np.array_equal(old.matrix(everyone, everyone), before)


@pytest.mark.compiled
def test_a_larger_town_equals_scipy_and_networkx() -> None:
    from scipy.sparse.csgraph import dijkstra

    graph = nx.random_geometric_graph(3_000, 0.03, seed=4).to_directed()
    rng = np.random.default_rng(1)
    tail, _head = (np.array(v, np.int32) for v in zip(*graph.edges, strict=True))
    ms = rng.integers(1, 100_000, len(tail)).astype(np.int32)
    for (a, b), w in zip(graph.edges, ms.tolist(), strict=True):
        graph[a][b]["ms"] = w
    oracle = from_sparse(nx.to_scipy_sparse_array(graph, weight="ms", dtype=np.int64))
    sources = rng.integers(0, 3_000, 40)
    expected = dijkstra(nx.to_scipy_sparse_array(graph, weight="ms", dtype=np.float64), indices=sources)
    expected[np.isinf(expected)] = FOREVER_MS
    assert np.array_equal(oracle.matrix(sources, np.arange(3_000)), expected.astype(np.int32))
    for a, b in zip(rng.integers(0, 3_000, 20).tolist(), rng.integers(0, 3_000, 20).tolist(), strict=True):
        if nx.has_path(graph, a, b):
            assert oracle.between(a, b) == nx.dijkstra_path_length(graph, a, b, weight="ms")


@pytest.mark.compiled
@pytest.mark.parametrize("shape", ["path", "star", "clique", "grid", "ring"])
def test_shapes_that_test_the_order(shape: str) -> None:
    """A path of 5,000 nodes must not make a tree 5,000 deep; a star, a clique and a grid must not break anything."""
    graph = {
        "path": nx.path_graph(5_000), "star": nx.star_graph(500), "clique": nx.complete_graph(60),
        "grid": nx.convert_node_labels_to_integers(nx.grid_2d_graph(40, 40)), "ring": nx.cycle_graph(2_000),
    }[shape].to_directed()  # fmt: skip
    tail, head = (np.array(v, np.int32) for v in zip(*graph.edges, strict=True))
    oracle = Oracle.from_arcs(tail, head, np.ones(len(tail), np.int32), np.ones(len(tail), np.int32))
    deepest = {"path": 40, "star": 20, "clique": 60, "grid": 200, "ring": 40}[shape]
    assert oracle.hierarchy.tree.depth.max() < deepest
    hops = nx.single_source_shortest_path_length(graph, 7)
    assert oracle.to_all(7).tolist() == [hops[v] for v in range(len(graph))]
    assert len(oracle.path(0, len(graph) - 1)) == nx.shortest_path_length(graph, 0, len(graph) - 1)


def test_rows_in_use_only_stay_within_their_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    from noriai_engine.roads import row_pool

    monkeypatch.setattr(row_pool, "POOL_ENTRIES", 400)
    rng = np.random.default_rng(3)
    n, tail, head, ms, mm = (
        300,
        *(rng.integers(0, 300, 900).astype(np.int32) for _ in range(2)),
        *(rng.integers(1, 50, 900).astype(np.int32) for _ in range(2)),
    )
    dense, pooled = (Oracle.from_arcs(tail, head, ms, mm, node_count=n, dense=d) for d in (True, False))
    for _ in range(60):
        a, b = rng.integers(0, n, 2).tolist()
        assert pooled.between(a, b) == dense.between(a, b)


@pytest.mark.parametrize(
    ("tail", "head", "ms", "message"),
    [([0, 1], [1], [1, 2], "2 tails, 1 heads"), ([0], [5], [1], "outside 0 .. 1"), ([-1], [1], [1], "outside"),
     ([0], [1], [-3], "-3 ms"), ([0], [1], [FOREVER_MS + 1], "ms")],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_told(tail: list[int], head: list[int], ms: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Oracle.from_arcs(np.array(tail), np.array(head), np.array(ms), node_count=2)


def test_no_such_node() -> None:
    oracle = Oracle.from_arcs(np.array([0]), np.array([1]), np.array([5]))
    with pytest.raises(IndexError, match=r"0 \.\. 1"):
        oracle.between(0, 2)
    with pytest.raises(ValueError, match="without lengths"):
        oracle.path(0, 1)


def test_times_near_the_limit_do_not_overflow() -> None:
    """Two arcs of a day and more each; three would pass FOREVER_MS and count as no path."""
    big = FOREVER_MS // 2 - 1
    oracle = Oracle.from_arcs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([big, big, big]))
    assert oracle.to_all(0).tolist() == [0, big, 2 * big, FOREVER_MS]


def test_sparse_matrices_must_be_square_and_whole() -> None:
    from scipy.sparse import csr_array

    with pytest.raises(InputError, match="2 x 3"):
        from_sparse(csr_array(np.ones((2, 3))))
    with pytest.raises(InputError, match="fractions"):
        from_sparse(csr_array(np.array([[0, 0.5], [1, 0]])))


@pytest.mark.compiled
@pytest.mark.shared
def test_malta_all_nodes_equal_scipy(shared: Path) -> None:
    """The plain graph of a whole island state: 20 sources x all nodes."""
    import osmium
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    index: dict[int, int] = {}
    rows = []
    for way in osmium.FileProcessor(str(shared / "osm" / "mt-malta.osm.pbf")).with_filter(
        osmium.filter.KeyFilter("highway")
    ):
        if way.is_way():
            refs = [index.setdefault(n.ref, len(index)) for n in way.nodes]
            rows += [(a, b) for a, b in itertools.pairwise(refs) if a != b]
    table = np.unique(np.array(rows, np.int32), axis=0)
    tail, head = np.r_[table[:, 0], table[:, 1]], np.r_[table[:, 1], table[:, 0]]
    ms = np.random.default_rng(0).integers(1, 60_000, len(tail)).astype(np.int32)
    oracle = Oracle.from_arcs(tail, head, ms)
    n = oracle.node_count
    light = np.lexsort((ms, head, tail))
    first = np.r_[True, (np.diff(tail[light]) != 0) | (np.diff(head[light]) != 0)]
    arcs = light[first]
    graph = csr_array((ms[arcs].astype(float), (tail[arcs], head[arcs])), shape=(n, n))
    sources = np.linspace(0, n - 1, 20).astype(int)
    expected = dijkstra(graph, indices=sources)
    expected[np.isinf(expected)] = FOREVER_MS
    assert np.array_equal(oracle.matrix(sources, np.arange(n)), expected.astype(np.int32))
