"""Times between spots by networkx: the obvious Dijkstra on the graph of turns, one source at a time."""

from __future__ import annotations

import networkx as nx

from noriai_engine.model import Spot
from noriai_engine.roads import PlainNetwork, RoadNetwork


class Times:
    """times[a][b] in ms, for spots a and b."""

    def __init__(self, network: RoadNetwork | PlainNetwork) -> None:
        self._graph: nx.DiGraph[int] = nx.DiGraph()
        if isinstance(network, PlainNetwork):
            self._arc = list(range(len(network.lon)))
            rows = zip(
                network.tail.tolist(), network.head.tolist(), network.ms.tolist(), network.mm.tolist(), strict=True
            )
        else:
            self._arc = network.state_arc.tolist()
            ms = [
                network.arc_ms[network.state_arc[a]] + d
                for a, d in zip(network.turn_source, network.turn_ms, strict=True)
            ]
            mm = network.arc_mm[network.state_arc[network.turn_source]]
            rows = zip(
                network.turn_source.tolist(), network.turn_target.tolist(), map(int, ms), mm.tolist(), strict=True
            )
        self._graph.add_nodes_from(range(len(self._arc)))
        for a, b, ms_, mm_ in rows:
            if not self._graph.has_edge(a, b) or (ms_, mm_) < self._graph[a][b]["key"]:
                self._graph.add_edge(a, b, ms=ms_, key=(ms_, mm_))
        self._rows: dict[int, dict[int, int]] = {}

    def __getitem__(self, source: Spot) -> Row:
        return Row(self, source)

    def between(self, source: Spot, target: Spot) -> int:
        best = self._best(source, target)
        assert best is not None
        return best

    def reaches(self, source: Spot, target: Spot) -> bool:
        return self._best(source, target) is not None

    def _best(self, source: Spot, target: Spot) -> int | None:
        if self._arc[source.state] == self._arc[target.state] and target.offset_ms >= source.offset_ms:
            return target.offset_ms - source.offset_ms
        if source.state not in self._rows:
            self._rows[source.state] = nx.single_source_dijkstra_path_length(self._graph, source.state, weight="ms")
        row, best = self._rows[source.state], None
        for state, arc in enumerate(self._arc):
            if arc != self._arc[target.state]:
                continue
            if state != source.state:
                ways = [row[state]] if state in row else []
            else:  # round the block
                ways = [row[p] + self._graph[p][state]["ms"] for p in self._graph.predecessors(state) if p in row]
            best = min([*ways, *([] if best is None else [best])], default=None)
        return None if best is None else best + target.offset_ms - source.offset_ms


class Row:
    def __init__(self, times: Times, source: Spot) -> None:
        self._times, self._source = times, source

    def __getitem__(self, target: Spot) -> int:
        return self._times.between(self._source, target)


TIMES: list[tuple[object, Times]] = []


def times_of(network: RoadNetwork | PlainNetwork) -> Times:
    """The twin of the network in use, made once."""
    if not TIMES or TIMES[0][0] is not network:
        TIMES[:] = [(network, Times(network))]
    return TIMES[0][1]
