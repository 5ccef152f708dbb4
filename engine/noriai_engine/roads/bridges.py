"""Roads from and to other tools: osmnx and networkx graphs, GraphML, tables of nodes and links, scipy matrices."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import LongArray
from noriai_engine.roads.access import STEP_FREE, STOPPABLE
from noriai_engine.roads.graph import StateGraph
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.oracle import Oracle
from noriai_engine.roads.speeds import ROAD_CLASSES, SLOWEST_KMH, SpeedTable, parse_maxspeed, speed_kmh, speed_table
from noriai_engine.roads.streets import RawStreets
from noriai_engine.tables import Row, read_table

if TYPE_CHECKING:
    import networkx as nx
    import scipy.sparse

Link = tuple[int, int, int, int, str, str, list[tuple[float, float]]]
"""tail, head, ms, mm, road class, name, shape points between the ends."""

_WKT_LINE = re.compile(r"LINESTRING\s*\((.*)\)", re.IGNORECASE)


def from_osmnx(graph: "nx.MultiDiGraph[Any]", country: str | None = None) -> RawStreets:
    """Streets of an osmnx drive graph (node `x`, `y`; edge `length` in m, and `travel_time` in s, `speed_kph` /
    `speed_kmph`, or `highway` and `maxspeed`). Raises InputError where a node or edge lacks them."""
    nodes = sorted(graph.nodes, key=str)
    return _from_edges(
        [(node, graph.nodes[node].get("x"), graph.nodes[node].get("y")) for node in nodes],
        [(u, v, data) for u, v, data in graph.edges(data=True)],
        country,
    )


def from_node_link(data: Mapping[str, Any], country: str | None = None) -> RawStreets:
    """Streets of a networkx node-link document (`nodes` with id, x, y; `links` with source, target, length, ...)."""
    nodes = [(node["id"], node.get("x"), node.get("y")) for node in data["nodes"]]
    return _from_edges(nodes, [(e["source"], e["target"], e) for e in data["links"]], country)


def from_graphml(path: Path, country: str | None = None) -> RawStreets:
    """Streets of a GraphML file as osmnx writes it (streamed; networkx is not needed). Raises InputError."""
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


def from_tables(nodes_file: Path, links_file: Path) -> RawStreets:
    """Streets of two tables: nodes `node_id,lon,lat` and links `from_node,to_node,length_m,freespeed_mps` (m, m/s).

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


def to_networkx(network: RoadNetwork) -> "nx.MultiDiGraph[int]":
    """The junction graph as osmnx has it, without turns: node x, y; edge `ms`, `mm`, `length` (m), `travel_time` (s),
    `highway`, `name`, `osmid`, `geometry` (shapely). osmnx plots and saves it."""
    import networkx as nx
    import shapely

    graph: nx.MultiDiGraph[int] = nx.MultiDiGraph(crs="epsg:4326")
    for node in range(network.node_count):
        graph.add_node(node, x=float(network.node_lon[node]), y=float(network.node_lat[node]))
    for arc in range(network.arc_count):
        ms, mm = int(network.arc_ms[arc]), int(network.arc_mm[arc])
        graph.add_edge(
            int(network.arc_tail[arc]), int(network.arc_head[arc]), ms=ms, mm=mm, length=mm / 1e3,
            travel_time=ms / 1e3, highway=ROAD_CLASSES[network.arc_class[arc]], name=network.name_of(arc),
            osmid=int(network.street_way[network.arc_street[arc]]),
            geometry=shapely.LineString(np.column_stack(network.geometry(arc))),
        )  # fmt: skip
    return graph


def to_turn_graph(network: RoadNetwork) -> "nx.DiGraph[int]":
    """The turn-aware graph the oracle runs on: nodes are states (attribute `arc`), edges turns with `ms` and `mm` from
    the start of one state's street to the start of the next."""
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from((k, {"arc": int(arc)}) for k, arc in enumerate(network.state_arc))
    ms, mm = turn_weights(network)
    columns = network.turn_source.tolist(), network.turn_target.tolist(), ms.tolist(), mm.tolist()
    graph.add_edges_from((a, b, {"ms": x, "mm": y}) for a, b, x, y in zip(*columns, strict=True))
    return graph


def turn_weights(network: RoadNetwork) -> tuple[LongArray, LongArray]:
    """(t,) ms and mm of each turn, from the start of its source's street to the start of its target's."""
    source = network.turn_source
    ms = network.state_ms[source].astype(np.int64) + network.turn_ms
    return ms, network.state_mm[source].astype(np.int64)


def to_sparse(graph: StateGraph) -> "scipy.sparse.csr_array":
    """ms between neighbouring states as a (k, k) sparse array, ready for scipy.sparse.csgraph (the lighter of
    parallel ones)."""
    from scipy.sparse import csr_array

    ms = graph.ms(graph.inner_ms, graph.between_ms).astype(np.float64)
    order = np.lexsort((ms, graph.target, graph.source))
    first = np.ones(len(order), bool)
    pair = graph.source[order].astype(np.int64) * graph.state_count + graph.target[order]
    first[1:] = pair[1:] != pair[:-1]
    kept = order[first]
    shape = (graph.state_count, graph.state_count)
    return csr_array((ms[kept], (graph.source[kept], graph.target[kept])), shape=shape)


def from_sparse(matrix: "scipy.sparse.sparray | scipy.sparse.spmatrix") -> Oracle:
    """An oracle on a square sparse matrix of whole ms. Raises InputError where it is not square or not whole."""
    from scipy.sparse import coo_array

    table = coo_array(matrix)
    if table.shape[0] != table.shape[1]:
        raise InputError(f"is {table.shape[0]} x {table.shape[1]}", where="matrix", remedy="give a square one")
    if not np.array_equal(table.data, np.rint(table.data)):
        raise InputError("holds fractions of a millisecond", where="matrix", remedy="round it first")
    return Oracle.from_arcs(table.row, table.col, table.data, node_count=table.shape[0])


def streets_of_links(node_id: LongArray, places: list[tuple[float, float]], links: list[Link]) -> RawStreets:
    """Streets of directed links; the k-th link one way and the k-th back between two nodes are one street.

    Loops are left out. A link without time or length gets 1 ms and 1 mm.
    """
    between: dict[tuple[int, int], tuple[list[Link], list[Link]]] = {}
    for link in links:
        a, b = link[0], link[1]
        if a != b:
            between.setdefault((min(a, b), max(a, b)), ([], []))[int(a > b)].append(link)
    rows = []
    for (low, high), (ahead, back) in sorted(between.items()):
        ahead.sort(key=lambda link: (link[3], link[2]))
        back.sort(key=lambda link: (link[3], link[2]))
        for k in range(max(len(ahead), len(back))):
            one, other = (side[k] if k < len(side) else None for side in (ahead, back))
            shown = one or other
            assert shown is not None
            shape = shown[6] if shown is one else shown[6][::-1]
            rows.append(
                (low, high, max(1, one[2]) if one else 0, max(1, other[2]) if other else 0, max(1, shown[3]), shown[4],
                 shown[5], [places[low], *shape, places[high]])
            )  # fmt: skip
    names = {"": 0}
    name = [names.setdefault(row[6], len(names)) for row in rows]
    points = [point for row in rows for point in row[7]]
    n, s = len(places), len(rows)
    tail, head, forward, backward, mm = (np.array([row[k] for row in rows], np.int64) for k in range(5))
    lon_lat = np.array(places, np.float64).reshape(-1, 2)
    shapes = np.array(points, np.float64).reshape(-1, 2)
    return RawStreets(
        node_id, np.ascontiguousarray(lon_lat[:, 0]), np.ascontiguousarray(lon_lat[:, 1]), np.zeros(n, bool),
        tail.astype(np.int32), head.astype(np.int32),
        np.concatenate([[0], np.cumsum([len(row[7]) for row in rows])]).astype(np.int32),
        np.ascontiguousarray(shapes[:, 0]), np.ascontiguousarray(shapes[:, 1]), forward, backward, mm,
        np.zeros(s, np.int32), np.zeros(s, np.int32),
        np.array([ROAD_CLASSES.index(row[5]) for row in rows], np.int8), np.array(name, np.int32), tuple(names),
        np.zeros(s, np.int64), np.zeros(s, bool), np.full(s, STOPPABLE | STEP_FREE, np.int8),
    )  # fmt: skip


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
) -> RawStreets:
    index: dict[Any, int] = {}
    for node, lon, lat in nodes:
        if lon in (None, "") or lat in (None, ""):
            raise InputError(f"node {node!r} has no coordinates x, y", remedy="give x (lon) and y (lat) in degrees")
        index[node] = len(index)
    places = [(float(n[1]), float(n[2])) for n in nodes]
    if any(abs(lon) > 180 or abs(lat) > 90 for lon, lat in places):
        raise InputError("node coordinates are not degrees", remedy="project the graph to EPSG:4326 first")
    table = speed_table(country)
    links: list[Link] = []
    for source, target, data in edges:
        if source not in index or target not in index:
            raise InputError(f"edge {source!r} -> {target!r} ends at an unknown node", remedy="add the node")
        road = _first(data.get("highway")) or "other"
        road = road if road in ROAD_CLASSES else "other"
        try:
            length = float(data["length"])
            seconds = _seconds(data, length, road, table)
            shape = _shape(data.get("geometry"))
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"edge {source!r} -> {target!r} has no usable length, speed or geometry", remedy="give length in m"
            ) from error
        links.append(
            (index[source], index[target], round(seconds * 1e3), round(length * 1e3), road, _first(data.get("name")),
             shape)
        )  # fmt: skip
    ids = [int(str(n[0])) if str(n[0]).lstrip("-").isdigit() else 0 for n in nodes]
    return streets_of_links(np.array(ids, np.int64), places, links)


def _shape(geometry: Any) -> list[tuple[float, float]]:
    """Points between the ends of a line, given as WKT text or as a shapely LineString."""
    if geometry in (None, ""):
        return []
    if isinstance(geometry, str):
        match = _WKT_LINE.match(geometry.strip())
        if match is None:
            return []
        pairs = [part.split()[:2] for part in match[1].split(",")]
    else:
        pairs = list(geometry.coords)
    return [(float(x), float(y)) for x, y, *_ in pairs[1:-1]]


def _seconds(data: Mapping[str, Any], length_m: float, road: str, table: SpeedTable) -> float:
    if data.get("travel_time") not in (None, ""):
        return float(data["travel_time"])
    for key in ("speed_kph", "speed_kmph"):
        if data.get(key) not in (None, ""):
            return length_m * 3.6 / max(SLOWEST_KMH, float(data[key]))
    known = road if road in table.by_class else "other"
    return length_m * 3.6 / speed_kmh(known, parse_maxspeed(_first(data.get("maxspeed"))), table)
