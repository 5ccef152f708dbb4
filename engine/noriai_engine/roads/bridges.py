"""Other road data to raw arcs: osmnx and networkx graphs, GraphML, and plain node and link tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.roads.assemble import RawArcs
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.speeds import ROAD_CLASSES, SLOWEST_KMH, parse_maxspeed, speed_kmh, speed_table
from noriai_engine.tables import Row, read_table

if TYPE_CHECKING:
    import networkx as nx


def from_osmnx(graph: "nx.MultiDiGraph[Any]", country: str | None = None) -> RawArcs:
    """Arcs of an osmnx drive graph (node `x`, `y`; edge `length` in m, and `travel_time` in s, `speed_kph` /
    `speed_kmph`, or `highway` and `maxspeed`). Raises InputError where a node or edge lacks them."""
    nodes = sorted(graph.nodes, key=str)
    return _from_edges(
        [(node, graph.nodes[node].get("x"), graph.nodes[node].get("y")) for node in nodes],
        [(u, v, data) for u, v, data in graph.edges(data=True)],
        country,
    )


def from_node_link(data: Mapping[str, Any], country: str | None = None) -> RawArcs:
    """Arcs of a networkx node-link document (`nodes` with id, x, y; `links` with source, target, length, ...)."""
    nodes = [(node["id"], node.get("x"), node.get("y")) for node in data["nodes"]]
    return _from_edges(nodes, [(e["source"], e["target"], e) for e in data["links"]], country)


def from_graphml(path: Path, country: str | None = None) -> RawArcs:
    """Arcs of a GraphML file as osmnx writes it (streamed; networkx is not needed). Raises InputError."""
    from xml.etree.ElementTree import ParseError, iterparse

    keys: dict[str, str] = {}
    nodes: list[tuple[Any, Any, Any]] = []
    edges: list[tuple[Any, Any, Mapping[str, Any]]] = []
    try:
        for _, element in iterparse(path):
            tag = element.tag.rpartition("}")[2]
            if tag == "key":
                keys[element.attrib["id"]] = element.attrib["attr.name"]
            elif tag in ("node", "edge"):
                data = {keys.get(d.attrib["key"], ""): d.text or "" for d in element if d.tag.endswith("data")}
                if tag == "node":
                    nodes.append((element.attrib["id"], data.get("x"), data.get("y")))
                else:
                    edges.append((element.attrib["source"], element.attrib["target"], data))
                element.clear()
    except (ParseError, KeyError, OSError) as error:
        raise InputError(f"is not readable GraphML: {error}", where=path, remedy="save it again with osmnx") from error
    return _from_edges(nodes, edges, country)


def from_tables(nodes_file: Path, links_file: Path) -> RawArcs:
    """Arcs of two tables: nodes `node_id,lon,lat` and links `from_node,to_node,length_m,freespeed_mps` (m, m/s).

    Further columns of the links (link_id, name, lanes, ...) are allowed. Raises RowError for a bad row.
    """
    nodes = read_table(nodes_file).expect(required=["node_id", "lon", "lat"])
    links = read_table(links_file).expect(
        required=["from_node", "to_node", "length_m", "freespeed_mps"],
        optional=["link_id", "lanes", "capacity_vph", "modes", "name", "highway"],
    )
    known = {row.text("node_id") for row in nodes}
    edges: list[tuple[Any, Any, Mapping[str, Any]]] = []
    for row in links:
        for column in ("from_node", "to_node"):
            if row.text(column) not in known:
                raise row.error(column, f"node {row.text(column)!r} is not in {nodes_file.name}", "add the node")
        length, speed = _positive(row, "length_m"), _positive(row, "freespeed_mps")
        data = {"length": length, "travel_time": length / speed}
        edges.append((row.text("from_node"), row.text("to_node"), data | dict(row.cells)))
    return _from_edges([(r.text("node_id"), r.number("lon"), r.number("lat")) for r in nodes], edges, None)


def to_networkx(network: RoadNetwork) -> "nx.DiGraph[int]":
    """The network as a networkx graph: node x, y; edge `ms`, `mm` (int), `highway`, `name`."""
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    for node in range(network.node_count):
        graph.add_node(node, x=float(network.node_lon[node]), y=float(network.node_lat[node]))
    for arc in range(network.arc_count):
        graph.add_edge(
            int(network.arc_tail[arc]),
            int(network.arc_head[arc]),
            ms=int(network.arc_ms[arc]),
            mm=int(network.arc_mm[arc]),
            highway=ROAD_CLASSES[network.arc_class[arc]],
            name=network.names[network.arc_name[arc]],
        )
    return graph


def _positive(row: Row, column: str) -> float:
    value = row.number(column)
    if value <= 0:
        raise row.error(column, f"{value} is not above 0", "give a positive number")
    return value


def _first(value: Any) -> str:
    """osmnx joins the tags of merged ways into a list (in GraphML: its text); the first one stands for all."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value.replace("'", '"'))
        except ValueError:
            return ""
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    return "" if value is None else str(value)


def _from_edges(
    nodes: list[tuple[Any, Any, Any]], edges: list[tuple[Any, Any, Mapping[str, Any]]], country: str | None
) -> RawArcs:
    index: dict[Any, int] = {}
    for node, lon, lat in nodes:
        if lon in (None, "") or lat in (None, ""):
            raise InputError(f"node {node!r} has no coordinates x, y", remedy="give x (lon) and y (lat) in degrees")
        index[node] = len(index)
    lons, lats = np.array([float(n[1]) for n in nodes]), np.array([float(n[2]) for n in nodes])
    if len(lons) and (np.abs(lons).max() > 180 or np.abs(lats).max() > 90):
        raise InputError("node coordinates are not degrees", remedy="project the graph to EPSG:4326 first")
    table, names = speed_table(country), {"": 0}
    rows = []
    for source, target, data in edges:
        if source not in index or target not in index:
            raise InputError(f"edge {source!r} -> {target!r} ends at an unknown node", remedy="add the node")
        road = _first(data.get("highway")) or "other"
        road = road if road in ROAD_CLASSES else "other"
        try:
            length = float(data["length"])
            seconds = _seconds(data, length, road, table)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"edge {source!r} -> {target!r} has no usable length or speed", remedy="give length in m"
            ) from error
        name = names.setdefault(_first(data.get("name")), len(names))
        rows.append((index[source], index[target], length, round(seconds * 1e3), ROAD_CLASSES.index(road), name))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    ids = [int(str(n[0])) if str(n[0]).lstrip("-").isdigit() else 0 for n in nodes]
    return RawArcs(
        np.array(ids, np.int64), lons, lats, np.array(columns[0], np.int32), np.array(columns[1], np.int32),
        np.array(columns[2], np.float64), np.array(columns[3], np.int64), np.array(columns[4], np.int8),
        np.array(columns[5], np.int32), tuple(names),
    )  # fmt: skip


def _seconds(data: Mapping[str, Any], length_m: float, road: str, table: Mapping[str, float]) -> float:
    if data.get("travel_time") not in (None, ""):
        return float(data["travel_time"])
    for key in ("speed_kph", "speed_kmph"):
        if data.get(key) not in (None, ""):
            return length_m * 3.6 / max(SLOWEST_KMH, float(data[key]))
    return length_m * 3.6 / speed_kmh(road, parse_maxspeed(_first(data.get("maxspeed"))), table)
