"""From OSM tags to a network: every rule on a map small enough to check by eye, and against osmnx on a real one."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from builders import a_street

from noriai_engine.model import InputError, Place
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import from_graphml, from_osmnx, from_tables, to_networkx
from noriai_engine.roads.network import haversine_m
from noriai_engine.roads.osm import OsmExtract, read_osm
from noriai_engine.roads.speeds import ROAD_CLASSES, directions, is_drivable, parse_maxspeed


def osm(tmp_path: Path, ways: list[tuple[list[int], dict[str, str]]], places: str = "") -> OsmExtract:
    """Nodes k lie at (0.001 k, 0); ways are (nodes, tags)."""
    used = sorted({n for nodes, _ in ways for n in nodes})
    text = [f'<node id="{n}" lat="0" lon="{n / 1000}"/>' for n in used] + [places]
    for number, (nodes, tags) in enumerate(ways, start=1):
        refs = "".join(f'<nd ref="{n}"/>' for n in nodes)
        pairs = "".join(f'<tag k="{k}" v="{v}"/>' for k, v in tags.items())
        text.append(f'<way id="{number}">{refs}{pairs}</way>')
    (tmp_path / "map.osm").write_text(f'<osm version="0.6">{"".join(text)}</osm>', encoding="utf-8")
    return read_osm(tmp_path / "map.osm", lambda lon, lat: "")


def arcs_by_id(network: RoadNetwork) -> dict[tuple[int, int], tuple[int, int]]:
    ids = network.node_id
    return {
        (int(ids[t]), int(ids[h])): (int(ms), int(mm))
        for t, h, ms, mm in zip(network.arc_tail, network.arc_head, network.arc_ms, network.arc_mm, strict=True)
    }


STEP_M = float(haversine_m(np.array(0.0), np.array(0.0), np.array(0.001), np.array(0.0)))  # 111.2 m


def test_times_from_class_and_maxspeed(tmp_path: Path) -> None:
    network, _ = assemble(
        osm(tmp_path, [([1, 2], {"highway": "residential"}), ([2, 3], {"highway": "primary", "maxspeed": "50"})]).arcs
    )
    arcs = arcs_by_id(network)
    assert arcs[1, 2] == arcs[2, 1] == (round(STEP_M * 3600 / 25), round(STEP_M * 1000))
    assert arcs[2, 3][0] == round(STEP_M * 3600 / 40)  # 0.8 x 50 km/h


def test_long_ways_get_a_node_every_150_m_and_short_ones_none(tmp_path: Path) -> None:
    network, _ = assemble(osm(tmp_path, [([1, 2, 3, 4], {"highway": "residential"})]).arcs)
    assert sorted(network.node_id) == [1, 3, 4]  # 111 m to node 2, 222 m to node 3
    assert arcs_by_id(network)[1, 3][1] == pytest.approx(2 * STEP_M * 1000, abs=1)


def test_junctions_split_ways(tmp_path: Path) -> None:
    ways = [([1, 2, 3], {"highway": "residential"}), ([2, 9], {"highway": "residential"})]
    assert sorted(assemble(osm(tmp_path, ways).arcs)[0].node_id) == [1, 2, 3, 9]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"highway": "residential"}, (True, True)), ({"oneway": "yes"}, (True, False)), ({"oneway": "-1"}, (False, True)),
        ({"oneway": "1"}, (True, False)), ({"junction": "roundabout"}, (True, False)), ({"highway": "motorway"}, (True, False)),
        ({"highway": "motorway", "oneway": "no"}, (True, True)), ({"junction": "roundabout", "oneway": "-1"}, (False, True)),
    ],
)  # fmt: skip
def test_directions(tags: dict[str, str], expected: tuple[bool, bool]) -> None:
    assert directions(tags) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"highway": "residential"}, True), ({"highway": "footway"}, False), ({"highway": "service", "access": "private"}, False),
        ({"highway": "service", "access": "private", "motor_vehicle": "yes"}, True),
        ({"highway": "residential", "access": "destination"}, True), ({"highway": "residential", "vehicle": "no"}, False),
        ({"highway": "residential", "area": "yes"}, False), ({"highway": "proposed"}, False), ({"railway": "rail"}, False),
        ({"highway": "track", "access": "yes"}, False), ({"highway": "service", "access": "agricultural"}, False),
    ],
)  # fmt: skip
def test_access(tags: dict[str, str], expected: bool) -> None:
    assert is_drivable(tags) is expected


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("50", 50.0),
        ("50 km/h", 50.0),
        ("30 mph", 48.28032),
        ("walk", None),
        ("RU:urban", None),
        ("none", None),
        (None, None),
        ("", None),
        ("50;30", None),
    ],
)
def test_maxspeed(text: str | None, kmh: float | None) -> None:
    assert parse_maxspeed(text) == kmh


def test_what_cannot_be_driven_back_from_is_dropped_and_said(tmp_path: Path) -> None:
    ways = [
        ([1, 2, 3], {"highway": "residential"}),
        ([3, 4], {"highway": "residential", "oneway": "yes"}),
        ([7, 8], {"highway": "residential"}),
    ]
    network, dropped = assemble(osm(tmp_path, ways).arcs)
    assert 4 not in network.node_id
    assert dropped.unconnected_nodes == 3
    assert "smaller components were dropped" in " ".join(dropped.sentences())


def test_parallel_ways_keep_the_faster_and_loops_go(tmp_path: Path) -> None:
    ways = [
        ([1, 2], {"highway": "service"}),
        ([1, 2], {"highway": "primary"}),
        ([2, 3], {"highway": "service"}),
        ([3, 4, 3], {"highway": "service"}),
    ]
    network, dropped = assemble(osm(tmp_path, ways).arcs)
    assert ROAD_CLASSES[network.arc_class[list(arcs_by_id(network)).index((1, 2))]] == "primary"
    assert dropped.parallel_arcs == 2  # service 1-2, both ways
    assert dropped.self_loops == 2  # 3-4-3 leaves and reaches node 3, both ways


def test_places_of_interest_from_nodes_and_areas(tmp_path: Path) -> None:
    places = '<node id="90" lat="0.001" lon="0.001"><tag k="amenity" v="clinic"/><tag k="name" v="診療所"/></node>'
    ways = [([1, 2], {"highway": "residential"}), ([1, 2, 1], {"shop": "supermarket", "name": "Shop"})]
    found = osm(tmp_path, ways, places).places
    assert ("clinic", "診療所", 0.001, 0.001) in found
    assert [kind for kind, *_ in found] == ["clinic", "shop"]


def test_ways_are_cut_where_nodes_are_missing(tmp_path: Path) -> None:
    text = '<osm version="0.6"><node id="1" lat="0" lon="0"/><node id="2" lat="0" lon="0.001"/><way id="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><tag k="highway" v="residential"/></way></osm>'
    (tmp_path / "cut.osm").write_text(text)
    extract = read_osm(tmp_path / "cut.osm", lambda lon, lat: "JP")
    assert (extract.missing_nodes, extract.country, len(extract.arcs.tail)) == (1, "JP", 2)


def test_nearest_node_equals_brute_force() -> None:
    network, rng = a_street(50), np.random.default_rng(1)
    lon, lat = 137.0 + rng.random(200) * 0.05, 36.0 + (rng.random(200) - 0.5) * 0.001
    nodes, metres = network.nearest_nodes(lon, lat)
    for x, y, node, m in zip(lon, lat, nodes, metres, strict=True):
        every = haversine_m(np.array(x), np.array(y), network.node_lon, network.node_lat)
        assert m == pytest.approx(every.min(), abs=0.01)
        assert every[node] == pytest.approx(every.min(), abs=0.01)
    assert network.snap(Place(137.0, 36.0))[0] == 0


def test_link_tables_and_their_errors(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("node_id,lon,lat\na,14.3,51.7\nb,14.31,51.7\n")
    links = tmp_path / "l.csv"
    links.write_text("link_id,from_node,to_node,length_m,freespeed_mps\n1,a,b,500,10\n2,b,a,500,20\n")
    network, _ = assemble(from_tables(tmp_path / "n.csv", links))
    assert network.arc_ms.tolist() == [50_000, 25_000]
    for row, message in (("3,a,c,5,1", "'c' is not in"), ("3,a,b,0,1", "length_m"), ("3,a,b,5,-1", "freespeed_mps")):
        links.write_text(f"link_id,from_node,to_node,length_m,freespeed_mps\n{row}\n")
        with pytest.raises(InputError, match=message):
            from_tables(tmp_path / "n.csv", links)


def test_graphml_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "g.graphml").write_text("<graphml><node")
    with pytest.raises(InputError, match="GraphML"):
        from_graphml(tmp_path / "g.graphml")


def test_osmnx_graph_keeps_its_travel_times(shared: Path) -> None:
    """Tsukuba: 583 nodes, 567 of them in the largest strong component; times equal networkx on osmnx's own graph."""
    import osmnx as ox

    graph = ox.graph_from_xml(shared / "osm" / "jp-tsukuba-aist.osm", simplify=True, retain_all=True)
    graph = ox.truncate.largest_component(graph, strongly=True)
    network, dropped = assemble(from_osmnx(graph, "JP"))
    assert (network.node_count, dropped.unconnected_nodes) == (len(graph), 0)
    ours = to_networkx(network)
    ids = [int(x) for x in network.node_id]
    metres = nx.single_source_dijkstra_path_length(graph, ids[0], weight="length")
    again = nx.single_source_dijkstra_path_length(ours, 0, weight="mm")
    assert all(abs(again[k] / 1000 - metres[osm_id]) < 0.1 for k, osm_id in enumerate(ids))


def test_graphml_equals_the_same_graph_through_osmnx(shared: Path) -> None:
    import osmnx as ox

    path = shared / "osm" / "jp-tachikawa-drive.graphml"
    ours, theirs = from_graphml(path), from_osmnx(ox.load_graphml(path))
    assert (len(ours.node_id), len(ours.tail), round(ours.length_m.sum())) == (
        len(theirs.node_id),
        len(theirs.tail),
        round(theirs.length_m.sum()),
    )
    assert np.sort(ours.duration_ms).tolist() == np.sort(theirs.duration_ms).tolist()
