"""Walks by networkx: every street one may walk on, either way, split at the places in question."""

from __future__ import annotations

import itertools

import networkx as nx

from noriai_engine.model import Place
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.snapper import Snapper


def walks_mm(network: RoadNetwork, place: Place, stops: tuple[Place, ...], step_free: bool) -> list[float]:
    """mm from a place to each stop, both at their nearest points of streets where a vehicle may stop."""
    import numpy as np

    found = Snapper(network).snap(
        np.array([place.lon, *(s.lon for s in stops)]), np.array([place.lat, *(s.lat for s in stops)])
    )
    points = list(zip(found.street.tolist(), found.share.tolist(), strict=True))
    graph: nx.Graph[object] = nx.Graph()
    ends: dict[int, tuple[int, int]] = {}
    for arc in range(network.arc_count):
        street = int(network.arc_street[arc])
        a, b = int(network.arc_tail[arc]), int(network.arc_head[arc])
        ends[street] = (b, a) if network.arc_reversed[arc] else (a, b)
    for street, (a, b) in ends.items():
        if step_free and not network.street_flags[street] & 2:
            continue
        here = sorted((share, number) for number, (other, share) in enumerate(points) if other == street)
        row = [(0.0, a), *((share, ("point", number)) for share, number in here), (1.0, b)]
        for (x, one), (y, other) in itertools.pairwise(row):
            mm = (y - x) * max(1, int(network.street_mm[street]))
            if not graph.has_edge(one, other) or graph[one][other]["mm"] > mm:
                graph.add_edge(one, other, mm=mm)
    out = []
    for number in range(1, len(points)):
        try:
            out.append(float(nx.dijkstra_path_length(graph, ("point", 0), ("point", number), weight="mm")))
        except (nx.NodeNotFound, nx.NetworkXNoPath):
            out.append(float("inf"))
    return out
