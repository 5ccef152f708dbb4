"""Walks by networkx and shapely: every way one may walk on, either way, split at the places in question."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
import shapely

from noriai_engine.model import Place
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.footways import Footways
from noriai_engine.roads.speeds import ROAD_CLASSES

NOBODY_WALKS = {"motorway", "trunk", "motorway_link", "trunk_link", "busway", "bus_guideway", "ferry"}
Ways = list[tuple[object, object, int, int, list[tuple[float, float]]]]


def walks_mm(network: RoadNetwork, place: Place, stops: tuple[Place, ...], step_free: bool) -> list[float]:
    """mm from a place to each stop by the ways nearest to them, and what lies beside these ways."""
    ways = ways_of(network.foot) if network.foot is not None else ways_along(network)
    middle = middle_lat(ways)
    ways = [way for way in ways if not step_free or way[3] & 2]
    if not ways:
        return [float("inf")] * len(stops)
    points = [nearest(p, ways, middle) for p in (place, *stops)]
    graph: nx.Graph[object] = nx.Graph()
    for row, (a, b, mm, _, _) in enumerate(ways):
        here = sorted((share, number) for number, (other, share, _) in enumerate(points) if other == row)
        marks: list[tuple[float, object]] = [(0.0, a), *((share, ("point", k)) for share, k in here), (1.0, b)]
        for (x, one), (y, other) in itertools.pairwise(marks):
            length = (y - x) * max(1, mm)
            if not graph.has_edge(one, other) or graph[one][other]["mm"] > length:
                graph.add_edge(one, other, mm=length)
    out = []
    for number in range(1, len(points)):
        try:
            along = float(nx.dijkstra_path_length(graph, ("point", 0), ("point", number), weight="mm"))
            out.append(along + 1_000 * (points[0][2] + points[number][2]))
        except (nx.NodeNotFound, nx.NetworkXNoPath):
            out.append(float("inf"))
    return out


def ways_along(network: RoadNetwork) -> Ways:
    """The streets of vehicles, but for those nobody walks on."""
    out: dict[int, Any] = {}
    for arc in range(network.arc_count):
        street = int(network.arc_street[arc])
        a, b = int(network.arc_tail[arc]), int(network.arc_head[arc])
        if ROAD_CLASSES[network.street_class[street]] not in NOBODY_WALKS:
            rows = slice(network.street_first[street], network.street_first[street + 1])
            line = list(zip(network.point_lon[rows].tolist(), network.point_lat[rows].tolist(), strict=True))
            ends = (b, a) if network.arc_reversed[arc] else (a, b)
            out[street] = (*ends, int(network.street_mm[street]), int(network.street_flags[street]), line)
    return list(out.values())


def ways_of(foot: Footways) -> Ways:
    out: Ways = []
    for way in range(len(foot.street_mm)):
        rows = slice(foot.street_first[way], foot.street_first[way + 1])
        line = list(zip(foot.point_lon[rows].tolist(), foot.point_lat[rows].tolist(), strict=True))
        ends = int(foot.street_tail[way]), int(foot.street_head[way])
        out.append((*ends, int(foot.street_mm[way]), int(foot.street_flags[way]), line))
    return out


def middle_lat(ways: Ways) -> float:
    lat = [y for way in ways for _, y in way[4]]
    return (min(lat) + max(lat)) / 2


def nearest(place: Place, ways: Ways, middle: float) -> tuple[int, float, float]:
    """Row of the nearest way, share of it before the nearest point, metres to it: on the plane of a latitude."""
    metre = np.radians(6_371_008.8)
    scale = np.array([metre * np.cos(np.radians(middle)), metre])
    lines = [shapely.LineString(np.array(way[4]) * scale) for way in ways]
    point = shapely.Point(np.array([place.lon, place.lat]) * scale)
    metres = [float(shapely.distance(line, point)) for line in lines]
    row = int(np.argmin(metres))
    return row, float(shapely.line_locate_point(lines[row], point, normalized=True)), metres[row]
