"""Travel times equal Dijkstra's of another library; paths are real, fastest, and shortest among the fastest."""

from __future__ import annotations

import networkx as nx
import numpy as np
from builders import a_network, a_random_town, a_street
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from noriai_engine.roads import RowCacheParams, TravelTimes
from noriai_engine.roads.bridges import to_networkx


@hypothesis_settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_rows_and_paths_equal_networkx(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = a_random_town(rng, int(rng.integers(3, 30)))
    times, graph = TravelTimes(network), to_networkx(network)
    source, target = (int(x) for x in rng.integers(0, network.node_count, 2))
    lengths = nx.single_source_dijkstra_path_length(graph, source, weight="ms")
    assert times.from_node(source).tolist() == [lengths[n] for n in range(network.node_count)]
    back = nx.single_source_dijkstra_path_length(graph.reverse(), target, weight="ms")
    assert times.to_node(target).tolist() == [back[n] for n in range(network.node_count)]
    nodes, elapsed, mm = times.path(source, target)
    assert (nodes[0], nodes[-1], elapsed[0], elapsed[-1]) == (source, target, 0, lengths[target])
    fastest = nx.all_shortest_paths(graph, source, target, weight="ms")
    assert mm == min(sum(graph[a][b]["mm"] for a, b in nx.utils.pairwise(path)) for path in fastest)
    assert mm == times.path_mm(nodes)


def test_shortest_of_equally_fast_paths_is_driven() -> None:
    from dataclasses import replace

    network = a_network([(0, 1, 60), (1, 3, 60), (0, 2, 60), (2, 3, 60), (3, 0, 60)], 4)
    mm = network.arc_mm.copy()
    mm[(network.arc_tail == 0) & (network.arc_head == 1)] += 5
    nodes, _, _ = TravelTimes(replace(network, arc_mm=mm)).path(0, 3)
    assert nodes.tolist() == [0, 2, 3]


def test_long_paths_outgrow_the_first_buffer() -> None:
    network = a_street(700, 10)
    nodes, elapsed, mm = TravelTimes(network).path(0, 699)
    assert (len(nodes), elapsed[-1], mm) == (700, 699 * 10_000, 699 * 100_000)


def test_cache_is_bounded_and_answers_stay_true() -> None:
    network = a_street(40_000, 1)
    times = TravelTimes(network, RowCacheParams(max_bytes=1 << 20))
    for node in range(20):
        assert times.between(node, 20) == (20 - node) * 1000
        times.from_node(node)
    assert len(times._rows) <= 8


def test_unreachable_is_forever_not_a_number_that_overflows() -> None:
    from dataclasses import replace

    from noriai_engine.model.units import FOREVER_MS

    network = a_street(3)
    cut = replace(
        network, arc_tail=network.arc_tail[:1], arc_head=network.arc_head[:1], arc_ms=network.arc_ms[:1],
        arc_mm=network.arc_mm[:1], arc_class=network.arc_class[:1], arc_name=network.arc_name[:1],
    )  # fmt: skip
    assert TravelTimes(cut).between(2, 0) == FOREVER_MS
