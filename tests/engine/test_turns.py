"""Turn restrictions, U-turns, turn costs, signals and barriers on maps small enough to check by eye."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from osm_maps import Map, arc_between, has_turn, way_driven

from noriai_engine.roads import TravelTimes
from noriai_engine.roads.profiles import PROFILES


def cross(folder: Path, mirror: bool = False) -> Map:
    """A crossroads at node 22 inside a square, so that every side can be reached round the block.

    12-22-32 runs west to east, 21-22-23 south to north; 11-13-33-31 is the square.
    """
    drawn = Map(folder, mirror)
    drawn.way(1, [12, 22]).way(2, [22, 32]).way(3, [21, 22]).way(4, [22, 23])
    drawn.way(5, [11, 12, 13]).way(6, [13, 23, 33]).way(7, [33, 32, 31]).way(8, [31, 21, 11])
    return drawn


def test_no_left_turn_over_a_node(tmp_path: Path) -> None:
    network = cross(tmp_path).restriction("no_left_turn", 1, 22, 4).network()
    assert not has_turn(network, 12, 22, 23)
    assert has_turn(network, 12, 22, 32)
    assert has_turn(network, 12, 22, 21)
    assert has_turn(network, 23, 22, 12)


def test_only_straight_on_forbids_all_else(tmp_path: Path) -> None:
    network = cross(tmp_path).restriction("only_straight_on", 1, 22, 2).network()
    assert [has_turn(network, 12, 22, n) for n in (32, 21, 23)] == [True, False, False]
    assert has_turn(network, 21, 22, 23)


@pytest.mark.parametrize(
    ("profile", "excepted", "free"),
    [("taxi", "psv", True), ("volunteer", "psv", False), ("bus", "bus;bicycle", True), ("volunteer", "motorcar", True),
     ("taxi", "bicycle", False)],
)  # fmt: skip
def test_except_frees_those_it_names(tmp_path: Path, profile: str, excepted: str, free: bool) -> None:
    network = cross(tmp_path).restriction("no_left_turn", 1, 22, 4, **{"except": excepted}).network(profile)
    assert has_turn(network, 12, 22, 23) is free


def test_walkers_know_no_turn_restrictions(tmp_path: Path) -> None:
    assert has_turn(cross(tmp_path).restriction("no_left_turn", 1, 22, 4).network("walking"), 12, 22, 23)


def test_restriction_for_one_kind_of_vehicle(tmp_path: Path) -> None:
    drawn = cross(tmp_path).restriction("", 1, 22, 4, restriction__bus="no_left_turn")
    assert not has_turn(drawn.network("bus"), 12, 22, 23)
    assert has_turn(drawn.network("volunteer"), 12, 22, 23)


def test_a_way_that_runs_through_the_via_node_is_read_by_the_angle(tmp_path: Path) -> None:
    """From way 1 through node 22 (12-22-32) into the north: only the arm from which that is a left turn is meant."""
    drawn = Map(tmp_path).way(1, [12, 22, 32]).way(4, [22, 23]).way(3, [21, 22])
    drawn.way(5, [11, 12, 13]).way(6, [13, 23, 33]).way(7, [33, 32, 31]).way(8, [31, 21, 11])
    network = drawn.restriction("no_left_turn", 1, 22, 4).network()
    assert not has_turn(network, 12, 22, 23)
    assert has_turn(network, 32, 22, 23)


def dual_carriageway(folder: Path) -> Map:
    """Two one-way carriageways west (y=3) and east (y=2) with a link 33-32, and a square round them."""
    drawn = Map(folder)
    drawn.way(1, [12, 22, 32], oneway="yes").way(2, [32, 42], oneway="yes").way(3, [32, 33], oneway="yes")
    drawn.way(4, [33, 23, 13], oneway="yes").way(5, [43, 33], oneway="yes")
    drawn.way(6, [13, 12]).way(7, [42, 43]).way(8, [13, 14, 44, 43]).way(9, [12, 11, 41, 42])
    return drawn


def test_no_u_turn_over_a_way(tmp_path: Path) -> None:
    """From way 1 over the link 3 back along way 4 is forbidden; the detour runs over the end of the carriageway."""
    free = dual_carriageway(tmp_path).network()
    assert way_driven(free, 22, 32, 33, 23) == [32, 33]
    network = dual_carriageway(tmp_path).way(12, [31, 32]).restriction("no_u_turn", 1, [3], 4).network()
    assert way_driven(network, 22, 32, 33, 23) == [32, 42, 43, 33]
    assert has_turn(network, 32, 33, 23)  # for those who come another way


def test_who_stops_on_the_via_way_is_not_freed_by_stopping(tmp_path: Path) -> None:
    network = (
        dual_carriageway(tmp_path).way(12, [31, 32]).way(10, [33, 34]).restriction("no_u_turn", 1, [3], 4).network()
    )
    link = arc_between(network, 32, 33)
    standing = int(network.stop_state[link])
    assert standing >= network.arc_count
    targets = network.state_arc[network.turn_target[network.turn_source == standing]]
    assert arc_between(network, 33, 23) not in targets


def test_only_over_a_way(tmp_path: Path) -> None:
    """Who comes from way 1 over link 3 must go on into way 4; a way into 8 would be free for others."""
    drawn = dual_carriageway(tmp_path).way(10, [33, 34]).restriction("only_left_turn", 1, [3], 4)
    network = drawn.way(11, [34, 44]).network()
    entered = network.turn_target[network.turn_source == arc_between(network, 22, 32)]
    (watched,) = [int(s) for s in entered if s >= network.arc_count]
    out = network.state_arc[network.turn_target[network.turn_source == watched]]
    assert out.tolist() == [arc_between(network, 33, 23)]
    assert has_turn(network, 32, 33, 34)


def test_restrictions_that_overlap_on_a_via_way(tmp_path: Path) -> None:
    """Two rules share the link: from way 1 not into 4, from way 12 (32 entered from 31) not into 10."""
    drawn = dual_carriageway(tmp_path).way(10, [33, 34]).way(11, [34, 44]).way(12, [31, 32])
    drawn.restriction("no_left_turn", 1, [3], 4).restriction("no_straight_on", 12, [3], 10)
    network = drawn.network()
    exits = {}
    for name, arc in (("west", arc_between(network, 22, 32)), ("south", arc_between(network, 31, 32))):
        (state,) = [
            int(s) for s in network.turn_target[network.turn_source == arc]
            if network.state_arc[s] == arc_between(network, 32, 33)
        ]  # fmt: skip
        arcs = network.state_arc[network.turn_target[network.turn_source == state]]
        exits[name] = sorted(int(network.node_id[network.arc_head[a]]) for a in arcs)
    assert exits == {"west": [34], "south": [13]}


def test_conditional_restrictions_are_kept_with_their_times(tmp_path: Path) -> None:
    text = "no_left_turn @ (Mo-Fr 07:00-09:00)"
    network = cross(tmp_path).restriction("", 1, 22, 4, restriction__conditional=text).network()
    turn = np.flatnonzero(network.turn_condition)
    assert network.conditions == ("", "Mo-Fr 07:00-09:00")
    assert [
        (int(network.turn_source[t]), int(network.turn_target[t])) for t in turn
    ] == [(arc_between(network, 12, 22), arc_between(network, 22, 23))]  # fmt: skip


def test_u_turns_only_at_dead_ends_and_barriers(tmp_path: Path) -> None:
    drawn = cross(tmp_path).way(9, [23, 24]).way(10, [33, 43, 53])
    network = drawn.node(43, barrier="bollard").network()
    assert has_turn(network, 23, 24, 23)
    assert not has_turn(network, 12, 22, 12)
    assert has_turn(network, 33, 43, 33)
    assert 53 not in network.node_id  # nobody gets past the bollard
    back = network.turn_ms[
        (network.turn_source == arc_between(network, 23, 24)) & (network.turn_target == arc_between(network, 24, 23))
    ]
    assert back.tolist() == [27_500]


@pytest.mark.parametrize(
    ("tags", "passes", "delay"),
    [({"barrier": "bollard"}, False, 0), ({"barrier": "gate"}, True, 60_000), ({"barrier": "toll_booth"}, True, 0),
     ({"barrier": "bollard", "bollard": "rising"}, True, 0), ({"barrier": "gate", "access": "private"}, False, 0),
     ({"barrier": "bollard", "motor_vehicle": "yes"}, True, 0), ({"highway": "traffic_signals"}, True, 2_000),
     ({"barrier": "bus_trap", "psv": "yes"}, True, 0), ({"motor_vehicle": "no"}, False, 0), ({"access": "no"}, False, 0)],
)  # fmt: skip
def test_nodes_on_the_way(tmp_path: Path, tags: dict[str, str], passes: bool, delay: int) -> None:
    """Node 21 of the way 11-21-31 with and without a tag; the way round is never faster."""
    plain, tagged = cross(tmp_path), cross(tmp_path).node(21, **tags)
    if not passes:
        assert not has_turn(tagged.network(), 31, 21, 11)
        return
    a, b = (TravelTimes(drawn.network()) for drawn in (plain, tagged))
    times = []
    for t in (a, b):
        start, goal = arc_between(t.network, 31, 21), arc_between(t.network, 21, 11)  # type: ignore[arg-type]
        times.append(t.metric.oracle.between(start, goal))
    assert times[1] - times[0] == delay


def test_signal_of_one_direction(tmp_path: Path) -> None:
    """A signal within a street counts for those whom it faces."""
    network = (
        Map(tmp_path).way(1, [11, 21, 31]).way(2, [31, 32, 12, 11], highway="tertiary").way(3, [11, 10])
        .node(21, highway="traffic_signals", traffic_signals__direction="backward").network()
    )  # fmt: skip
    there, back = network.arc_ms[arc_between(network, 11, 21)], network.arc_ms[arc_between(network, 31, 21)]
    assert int(back) - int(there) == 2_000


def turn_ms(network: object, a: int, via: int, b: int) -> int:
    one, other = arc_between(network, a, via), arc_between(network, via, b)  # type: ignore[arg-type]
    rows = (network.turn_source == one) & (network.turn_target == other)  # type: ignore[attr-defined]
    return int(network.turn_ms[rows][0])  # type: ignore[attr-defined]


def test_turn_costs_follow_the_sigmoid_and_the_side_of_the_road(tmp_path: Path) -> None:
    """At 90 degrees, driving on the right: 7.5 s x sigmoid with the bias, and 2 s x sigmoid across oncoming traffic."""
    network = cross(tmp_path).network()
    right = 7_500 / (1 + math.exp(-((13 / 1.075) * 0.5 - 6.5 * 1.075)))
    left = 7_500 / (1 + math.exp(-((13 * 1.075) * 0.5 - 6.5 / 1.075)))
    across = 2_000 / (1 + math.exp(-(13 * 0.5 - 3.25)))
    assert turn_ms(network, 12, 22, 21) == pytest.approx(right, abs=2)
    assert turn_ms(network, 12, 22, 23) == pytest.approx(left + across, abs=2)
    assert turn_ms(network, 12, 22, 32) < 20


def test_mirror_the_map_and_the_side_and_nothing_changes(tmp_path: Path) -> None:
    """Left-hand driving is right-hand driving in a mirror; without changing sides the mirror changes times."""
    times = []
    for mirror, left in ((False, False), (True, True), (True, False)):
        network = (
            cross(tmp_path, mirror)
            .restriction("no_left_turn" if not mirror else "no_right_turn", 1, 22, 4)
            .network(left=left)
        )
        ends = [(12, 22), (22, 32), (21, 22), (22, 23), (11, 12), (33, 32)]
        arcs = np.array([arc_between(network, a, b) for a, b in ends], np.int32)
        times.append(TravelTimes(network).metric.oracle.matrix(arcs, arcs))
    assert np.array_equal(times[0], times[1])
    assert not np.array_equal(times[0], times[2])


def test_roundabouts_do_not_cross_oncoming_traffic(tmp_path: Path) -> None:
    ring = {"junction": "roundabout"}
    drawn = Map(tmp_path).way(1, [22, 32, 33, 23, 22], **ring).way(2, [12, 22]).way(3, [32, 42]).way(4, [33, 34])
    network = drawn.network()
    assert network.arc_count == 3 + 6  # the ring runs one way
    without = drawn.network(replace(PROFILES["taxi"], oncoming_ms=0))
    assert np.array_equal(network.turn_ms, without.turn_ms)


# --- real relations, read by hand --------------------------------------------------------------------------------


def real(shared: Path, name: str) -> object:
    from noriai_engine.roads.assemble import assemble
    from noriai_engine.roads.osm import read_osm
    from noriai_engine.roads.speeds import speed_table
    from noriai_engine.roads.streets import trace_streets

    extract = read_osm(shared / "osm" / name, PROFILES["taxi"], lambda lon, lat: "US", speed_table)
    return assemble(trace_streets(extract), PROFILES["taxi"], left_hand=False)[0]


@pytest.mark.compiled
def test_reisterstown_no_u_turn_over_two_ways(shared: Path) -> None:
    """Relation 555630: from way 238215855 over 238215854 and 53332280 nobody turns into 238215856.

    Its members are one-way: 2460634044 -> 2460634038 -> 2460634035 -> 37435301 -> 2460634050.
    """
    network = real(shared, "us-reisterstown-via-way-restrictions.osm.pbf")
    start, first, second, goal = (
        arc_between(network, a, b)  # type: ignore[arg-type]
        for a, b in ((2460634044, 2460634038), (2460634038, 2460634035), (2460634035, 37435301), (37435301, 2460634050))
    )
    state = start
    for arc in (first, second):
        onward = network.turn_target[network.turn_source == state]  # type: ignore[attr-defined]
        (state,) = [int(s) for s in onward if network.state_arc[s] == arc]  # type: ignore[attr-defined]
        assert state >= network.arc_count  # type: ignore[attr-defined]
    onward = network.state_arc[network.turn_target[network.turn_source == state]]  # type: ignore[attr-defined]
    assert goal not in onward
    assert has_turn(network, 2460634035, 37435301, 2460634050)  # type: ignore[arg-type]


@pytest.mark.compiled
def test_washington_no_left_from_connecticut_avenue_into_r_street(shared: Path) -> None:
    """Relation 5134048: way 130285106 ends at node 49817499; R Street is way 344730218 from there."""
    network = real(shared, "us-washington-dc-nw.osm.pbf")
    street_way, arc_street = network.street_way, network.arc_street  # type: ignore[attr-defined]
    node = int(np.flatnonzero(network.node_id == 49817499)[0])  # type: ignore[attr-defined]
    source = np.flatnonzero((network.arc_head == node) & (street_way[arc_street] == 130285106))  # type: ignore[attr-defined]
    target = np.flatnonzero((network.arc_tail == node) & (street_way[arc_street] == 344730218))  # type: ignore[attr-defined]
    assert len(source) == len(target) == 1
    turns = network.turn_target[network.turn_source == source[0]]  # type: ignore[attr-defined]
    assert int(target[0]) not in network.state_arc[turns]  # type: ignore[attr-defined]
    assert len(turns)


@pytest.mark.compiled
def test_washington_keeps_rush_hour_restrictions_with_their_times(shared: Path) -> None:
    """Relation 5264558: no left turn from 1st Street into Florida Avenue, Monday to Friday 07:00 to 09:30."""
    network = real(shared, "us-washington-dc-nw.osm.pbf")
    assert "Mo-Fr 07:00-09:30" in network.conditions  # type: ignore[attr-defined]
