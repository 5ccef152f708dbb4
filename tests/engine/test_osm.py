"""From OSM tags to a network: every rule on a map small enough to check by eye, bad files, other tools' graphs."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from osm_maps import Map, arc_between

from noriai_engine.model import InputError
from noriai_engine.roads import haversine_m
from noriai_engine.roads.access import directions, is_open, way_flags
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import from_graphml, from_osmnx, from_tables, to_networkx
from noriai_engine.roads.osm import read_osm
from noriai_engine.roads.profiles import PROFILES, profile_named
from noriai_engine.roads.speeds import ROAD_CLASSES, parse_maxspeed, speed_table, way_speeds, width_share

TAXI = PROFILES["taxi"]
STEP_M = float(haversine_m(np.array(0.1), np.array(0.002), np.array(0.101), np.array(0.002)))  # 111.2 m


def test_times_from_class_and_maxspeed(tmp_path: Path) -> None:
    drawn = Map(tmp_path).way(1, [12, 22]).way(2, [22, 32], highway="primary", maxspeed="50")
    network = drawn.network()
    slow, fast = arc_between(network, 12, 22), arc_between(network, 22, 32)
    assert network.arc_ms[slow] == round(STEP_M * 3600 / 25)
    assert network.arc_mm[slow] == round(STEP_M * 1000)
    assert network.arc_ms[fast] == round(STEP_M * 3600 / 40)  # 0.8 x 50 km/h


@pytest.mark.parametrize(
    ("tags", "profile", "kmh"),
    [
        ({"maxspeed": "50"}, "taxi", (40.0, 40.0)), ({"maxspeed:forward": "50"}, "taxi", (40.0, 25.0)),
        ({"maxspeed": "30 mph"}, "taxi", (38.624256, 38.624256)), ({"maxspeed": "RO:urban"}, "taxi", (40.0, 40.0)),
        ({"maxspeed": "50", "maxspeed:advisory": "30"}, "taxi", (24.0, 24.0)), ({"surface": "mud"}, "taxi", (10.0, 10.0)),
        ({"surface": "gravel"}, "taxi", (25.0, 25.0)), ({"tracktype": "grade5"}, "taxi", (20.0, 20.0)),
        ({"smoothness": "very_horrible"}, "taxi", (5.0, 5.0)), ({"maxspeed": "100"}, "shuttle", (20.0, 20.0)),
        ({"maxspeed": "100"}, "walking", (3.6, 3.6)), ({"maxspeed": "1"}, "taxi", (3.0, 3.0)),
    ],
)  # fmt: skip
def test_speeds(tags: dict[str, str], profile: str, kmh: tuple[float, float]) -> None:
    found = way_speeds({"highway": "residential"} | tags, 1, speed_table(None), PROFILES[profile])
    assert found == pytest.approx(kmh)


def test_country_tables_and_overrides(tmp_path: Path) -> None:
    assert speed_table("JP").by_class["residential"] == 22
    file = tmp_path / "speeds.csv"
    file.write_text("way_id,road_class,kmh\n7,,12\n,residential,18\n")
    table = speed_table("JP", file)
    tags = {"highway": "residential", "maxspeed": "40"}
    assert way_speeds(tags, 7, table, TAXI) == (12, 12)  # a way's own speed beats its sign
    assert way_speeds({"highway": "residential"}, 8, table, TAXI) == (18, 18)
    for row, message in (("7,residential,12", "one of them"), (",alley,12", "no road class"), ("x,,12", "no OSM way id"),
                         ("7,,400", "no speed")):  # fmt: skip
        file.write_text(f"way_id,road_class,kmh\n{row}\n")
        with pytest.raises(InputError, match=message):
            speed_table("JP", file)


@pytest.mark.parametrize(("width", "share"), [("3", 0.5), ("3.5 m", 0.6), ("4", 1.0), ("", 1.0), ("narrow", 1.0)])
def test_narrow_two_way_streets_are_slower(width: str, share: float) -> None:
    assert width_share({"width": width}) == share


def test_junctions_end_streets_and_bends_do_not(tmp_path: Path) -> None:
    network = Map(tmp_path).way(1, [12, 22, 33, 42]).way(2, [22, 21]).network()
    assert sorted(network.node_id) == [12, 21, 22, 42]
    assert network.street_count == 3
    longest = int(np.argmax(network.street_mm))
    assert network.street_first[longest + 1] - network.street_first[longest] == 3  # the bend at 33


def test_streets_run_on_from_way_to_way_while_nothing_changes(tmp_path: Path) -> None:
    drawn = Map(tmp_path).way(1, [12, 22], name="A").way(2, [32, 22], name="A").way(3, [32, 42], name="B")
    network = drawn.network()
    assert sorted(network.node_id) == [12, 32, 42]
    assert {network.name_of(a) for a in range(network.arc_count)} == {"A", "B"}


def test_a_ring_without_junctions_is_a_street(tmp_path: Path) -> None:
    network = Map(tmp_path).way(1, [12, 22, 23, 13, 12]).way(2, [12, 11]).network()
    assert (network.street_count, network.node_count) == (2, 2)


@pytest.mark.parametrize(
    ("tags", "profile", "expected"),
    [
        ({"highway": "residential"}, "taxi", (True, True)), ({"oneway": "yes"}, "taxi", (True, False)),
        ({"oneway": "-1"}, "taxi", (False, True)), ({"oneway": "1"}, "taxi", (True, False)),
        ({"junction": "roundabout"}, "taxi", (True, False)), ({"highway": "motorway"}, "taxi", (True, False)),
        ({"highway": "motorway", "oneway": "no"}, "taxi", (True, True)),
        ({"junction": "roundabout", "oneway": "-1"}, "taxi", (False, True)),
        ({"oneway": "yes", "oneway:bus": "no"}, "bus", (True, True)), ({"oneway": "yes", "oneway:bus": "no"}, "taxi", (True, False)),
        ({"oneway": "yes", "oneway:psv": "no"}, "taxi", (True, True)), ({"oneway": "yes"}, "walking", (True, True)),
        ({"oneway": "yes", "oneway:foot": "yes"}, "walking", (True, False)), ({"oneway": "reversible"}, "taxi", (False, False)),
        ({"oneway": "alternating"}, "taxi", (True, True)), ({"motor_vehicle:backward": "no"}, "volunteer", (True, False)),
        ({"junction": "roundabout"}, "walking", (True, True)),
    ],
)  # fmt: skip
def test_directions(tags: dict[str, str], profile: str, expected: tuple[bool, bool]) -> None:
    assert directions(tags, PROFILES[profile]) == expected


@pytest.mark.parametrize(
    ("tags", "profile", "expected"),
    [
        ({"highway": "residential"}, "taxi", True), ({"highway": "footway"}, "taxi", False),
        ({"highway": "footway"}, "walking", True), ({"highway": "service", "access": "private"}, "taxi", False),
        ({"highway": "service", "access": "private", "motor_vehicle": "yes"}, "taxi", True),
        ({"highway": "residential", "access": "destination"}, "taxi", True), ({"highway": "residential", "vehicle": "no"}, "taxi", False),
        ({"highway": "residential", "area": "yes"}, "taxi", False), ({"highway": "pedestrian", "area": "yes"}, "walking", True),
        ({"highway": "proposed"}, "taxi", False), ({"railway": "rail"}, "taxi", False),
        ({"highway": "track", "access": "yes"}, "taxi", False), ({"highway": "track", "motor_vehicle": "designated"}, "taxi", True),
        ({"highway": "service", "access": "agricultural"}, "taxi", False), ({"highway": "service", "access": "no", "psv": "yes"}, "taxi", True),
        ({"highway": "service", "access": "no", "psv": "yes"}, "volunteer", False), ({"highway": "service", "motor_vehicle": "psv"}, "taxi", True),
        ({"highway": "service", "motor_vehicle": "psv"}, "volunteer", False), ({"highway": "busway"}, "taxi", False),
        ({"highway": "busway"}, "bus", True), ({"highway": "service", "bus": "no"}, "bus", False),
        ({"route": "ferry"}, "taxi", False), ({"route": "ferry", "motor_vehicle": "yes"}, "taxi", True),
        ({"route": "ferry", "motor_vehicle": "yes"}, "walking", False), ({"highway": "motorway"}, "walking", False),
        ({"highway": "residential", "smoothness": "impassable"}, "taxi", False), ({"highway": "steps"}, "walking", True),
        ({"highway": "residential", "foot": "no"}, "walking", False), ({"highway": "service", "service": "emergency_access"}, "taxi", False),
    ],
)  # fmt: skip
def test_access(tags: dict[str, str], profile: str, expected: bool) -> None:
    assert is_open(tags, 1, PROFILES[profile]) is expected


def test_a_level_4_shuttle_keeps_to_approved_ways(tmp_path: Path) -> None:
    drawn = Map(tmp_path).way(1, [12, 22]).way(2, [22, 32]).way(3, [22, 23])
    network = drawn.network(PROFILES["shuttle"].limited_to(frozenset({1, 2})))
    assert sorted(set(network.street_way)) == [1]  # way 2 continues it: one street, named by its first way
    assert sorted(network.node_id) == [12, 32]
    with pytest.raises(InputError, match="names no way"):
        PROFILES["shuttle"].limited_to(frozenset())
    with pytest.raises(InputError, match="taxi, volunteer"):
        profile_named("lorry")


def test_where_one_may_stop() -> None:
    assert way_flags({"highway": "residential"}) == 3
    assert way_flags({"highway": "motorway"}) & 1 == 0
    assert way_flags({"highway": "primary", "tunnel": "yes"}) & 1 == 0
    assert way_flags({"highway": "residential", "surface": "gravel"}) & 2 == 0
    assert way_flags({"highway": "footway", "wheelchair": "no"}) & 2 == 0


def test_ferries_sail_by_their_timetable(tmp_path: Path) -> None:
    """2 steps in 5 minutes; the ferry is a street nobody stops on."""
    drawn = Map(tmp_path).way(1, [12, 22]).way(3, [42, 52])
    drawn.ways.append((2, [22, 42], {"route": "ferry", "motor_vehicle": "yes", "duration": "00:05"}))
    network = drawn.network()
    ferry = arc_between(network, 22, 42)
    assert network.arc_ms[ferry] == pytest.approx(5 * 60_000, abs=2)
    assert ROAD_CLASSES[network.arc_class[ferry]] == "ferry"
    assert network.street_flags[network.arc_street[ferry]] & 1 == 0


@pytest.mark.parametrize(
    ("text", "kmh"),
    [
        ("50", 50.0), ("50 km/h", 50.0), ("30 mph", 48.28032), ("walk", 7.0), ("RU:urban", 50.0), ("none", 140.0),
        ("DE:motorway", 130.0), ("JP:nsl", None), (None, None), ("", None), ("50;30", None), ("0", None),
    ],
)  # fmt: skip
def test_maxspeed(text: str | None, kmh: float | None) -> None:
    assert parse_maxspeed(text) == kmh


def test_what_cannot_be_driven_back_from_is_dropped_and_said(tmp_path: Path) -> None:
    from noriai_engine.roads.streets import trace_streets

    drawn = Map(tmp_path).way(1, [12, 22, 32]).way(2, [32, 42], oneway="yes").way(3, [61, 62])
    network, dropped = assemble(trace_streets(drawn.extract()), TAXI, left_hand=False)
    assert 42 not in network.node_id
    assert dropped.unconnected_streets == 2
    assert "smaller components were dropped" in " ".join(dropped.sentences())


def test_parallel_ways_are_two_streets(tmp_path: Path) -> None:
    network = Map(tmp_path).way(1, [12, 22], highway="service").way(2, [12, 22], highway="primary").network()
    assert network.street_count == 2


def test_places_of_interest_from_nodes_and_areas(tmp_path: Path) -> None:
    drawn = Map(tmp_path).way(1, [12, 22]).node(31, amenity="clinic", name="診療所, 50 % = x")
    drawn.ways.append((2, [12, 22, 12], {"shop": "supermarket", "name": "Shop"}))
    found = drawn.extract().places
    assert ("clinic", "診療所, 50 % = x", 0.103, 0.001) in found
    assert [kind for kind, *_ in found] == ["clinic", "shop"]


def test_names_with_odd_characters_come_through(tmp_path: Path) -> None:
    name = "Rua “A”, 5% = b\tc 🚌"
    assert Map(tmp_path).way(1, [12, 22], name=name.replace("“", "&quot;").replace("”", "&quot;")).network().names == (
        "", name.replace("“", '"').replace("”", '"').replace("\t", " "),
    )  # fmt: skip


def test_ways_are_cut_where_nodes_are_missing(tmp_path: Path) -> None:
    text = '<osm version="0.6"><node id="1" lat="0" lon="0"/><node id="2" lat="0" lon="0.001"/><way id="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><tag k="highway" v="residential"/></way></osm>'
    (tmp_path / "cut.osm").write_text(text)
    extract = read_osm(tmp_path / "cut.osm", TAXI, lambda lon, lat: "JP", speed_table)
    assert (extract.missing_nodes, extract.country) == (1, "JP")


BROKEN = {
    "not XML": "hello", "cut short": '<osm version="0.6"><node id="1" lat="0"', "no roads": '<osm version="0.6"></osm>',
    "ways without nodes": '<osm version="0.6"><way id="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="primary"/></way></osm>',
    "a way of one node": '<osm version="0.6"><node id="1" lat="0" lon="0"/><way id="1"><nd ref="1"/><tag k="highway" v="primary"/></way></osm>',
    "all in one place": '<osm version="0.6"><node id="1" lat="0" lon="0"/><way id="1"><nd ref="1"/><nd ref="1"/><tag k="highway" v="primary"/></way></osm>',
    "latitude 95": '<osm version="0.6"><node id="1" lat="95" lon="0"/><node id="2" lat="0" lon="0"/><way id="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="primary"/></way></osm>',
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_extracts_are_told_not_crashed_on(tmp_path: Path, name: str) -> None:
    from noriai_engine.roads.streets import trace_streets

    (tmp_path / "x.osm").write_text(BROKEN[name], encoding="utf-8")
    with pytest.raises(InputError):
        assemble(
            trace_streets(read_osm(tmp_path / "x.osm", TAXI, lambda lon, lat: "", speed_table)), TAXI, left_hand=False
        )


@pytest.mark.parametrize("kind", ["no_left_turn", "only_right_turn", "no_u_turn"])
def test_restrictions_of_odd_members_are_left_out_and_counted(tmp_path: Path, kind: str) -> None:
    """No via, two vias, unknown ways, a via node elsewhere, a way that does not touch: nothing breaks."""
    from noriai_engine.roads.streets import trace_streets

    drawn = Map(tmp_path).way(1, [12, 22]).way(2, [22, 32]).way(3, [22, 23])
    drawn.restriction(kind, 1, 99, 2).restriction(kind, 1, 12, 2).restriction(kind, 98, 22, 97).restriction(
        kind, 1, [], 2
    )
    drawn.restriction(kind, 1, [97], 2).restriction(kind, 2, [1, 1, 1], 3)
    extract = drawn.extract()
    network, dropped = assemble(trace_streets(extract), TAXI, left_hand=False)
    assert network.state_count == network.arc_count
    assert (dropped.restrictions, dropped.restrictions_lost) == (6, 6)


def test_link_tables_and_their_errors(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("node_id,lon,lat\na,14.3,51.7\nb,14.31,51.7\n")
    links = tmp_path / "l.csv"
    links.write_text("link_id,from_node,to_node,length_m,freespeed_mps\n1,a,b,500,10\n2,b,a,500,20\n")
    network, _ = assemble(from_tables(tmp_path / "n.csv", links), TAXI, left_hand=False)
    assert network.arc_ms.tolist() == [50_000, 25_000]
    assert network.street_count == 1
    for row, message in (("3,a,c,5,1", "'c' is not in"), ("3,a,b,0,1", "length_m"), ("3,a,b,5,-1", "freespeed_mps")):
        links.write_text(f"link_id,from_node,to_node,length_m,freespeed_mps\n{row}\n")
        with pytest.raises(InputError, match=message):
            from_tables(tmp_path / "n.csv", links)


def test_graphml_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "g.graphml").write_text("<graphml><node")
    with pytest.raises(InputError, match="GraphML"):
        from_graphml(tmp_path / "g.graphml")


def test_osmnx_graph_keeps_its_lengths(shared: Path) -> None:
    """Tsukuba: 583 nodes, 567 of them in the largest strong component; lengths equal networkx on osmnx's own graph."""
    import osmnx as ox

    graph = ox.graph_from_xml(shared / "osm" / "jp-tsukuba-aist.osm", simplify=True, retain_all=True)
    graph = ox.truncate.largest_component(graph, strongly=True)
    raw = from_osmnx(graph, "JP")
    network, _ = assemble(raw, TAXI, left_hand=True)
    ours = to_networkx(network)
    ids = [int(x) for x in network.node_id]
    metres = nx.single_source_dijkstra_path_length(graph, ids[0], weight="length")
    again = nx.single_source_dijkstra_path_length(ours, 0, weight="mm")
    assert len(ids) > 500
    assert all(abs(again[k] / 1000 - metres[osm_id]) < 0.1 for k, osm_id in enumerate(ids))


@pytest.mark.compiled
def test_graphml_equals_the_same_graph_through_osmnx(shared: Path) -> None:
    import osmnx as ox

    path = shared / "osm" / "jp-tachikawa-drive.graphml"
    ours, theirs = from_graphml(path), from_osmnx(ox.load_graphml(path))
    assert (len(ours.node_id), len(ours.tail)) == (len(theirs.node_id), len(theirs.tail))
    both = [np.sort(np.r_[raw.forward_ms, raw.backward_ms]).tolist() for raw in (ours, theirs)]
    assert both[0] == both[1]
    assert len(ours.point_lon) == pytest.approx(len(theirs.point_lon), abs=10)
    assert len(ours.point_lon) > 2 * len(ours.tail)


def test_our_graph_is_one_osmnx_can_save_and_read(tmp_path: Path) -> None:
    import osmnx as ox

    network = Map(tmp_path).way(1, [12, 22, 33], name="A").way(2, [22, 32], highway="primary").network()
    graph = to_networkx(network)
    for _, _, data in graph.edges(data=True):
        assert data["length"] * 1e3 == pytest.approx(data["mm"])
    ox.save_graphml(graph, tmp_path / "g.graphml")
    again, _ = assemble(from_graphml(tmp_path / "g.graphml"), TAXI, left_hand=False)
    assert sorted(again.arc_ms.tolist()) == sorted(network.arc_ms.tolist())
