"""Times, ways and lengths between spots and between coordinates, against networkx and brute force."""

from __future__ import annotations

import itertools
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from builders import a_network, a_random_town, a_street, a_street_town, node, somewhere
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.roads import Times
from osm_maps import Map, arc_between

from noriai_engine.model import InputError, Place, Spot
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads import PlainNetwork, RoadNetwork, TravelTimes
from noriai_engine.roads.access import STEP_FREE, STOPPABLE
from noriai_engine.roads.bridges import to_turn_graph
from noriai_engine.roads.snapper import Snapper


def some_spot(network: RoadNetwork | PlainNetwork, rng: np.random.Generator) -> Spot:
    if isinstance(network, PlainNetwork):
        return Spot(int(rng.integers(len(network.lon))))
    state = int(rng.integers(network.state_count))
    return Spot(state, int(rng.integers(network.state_ms[state] + 1)))


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 100_000), dense=st.booleans())
def test_times_between_spots_equal_networkx(seed: int, dense: bool) -> None:
    """Ahead on the same street, behind on it (round the block), on states that remember restrictions, anywhere."""
    rng = np.random.default_rng(seed)
    network = (a_random_town if seed % 3 == 0 else a_street_town)(rng, int(rng.integers(4, 25)))
    times, twin = TravelTimes(network, dense=dense), Times(network)
    spots = [some_spot(network, rng) for _ in range(12)]
    spots += [Spot(s.state, max(0, s.offset_ms - 500)) for s in spots[:4]]
    states, offsets = (np.array(v, np.int32) for v in zip(*spots, strict=True))
    for a in spots:
        expected = [twin[a][b] if twin.reaches(a, b) else FOREVER_MS for b in spots]
        assert times.to_spots(a, states, offsets).tolist() == expected
        assert [times.between(a, b) for b in spots] == expected
        back = [twin[b][a] if twin.reaches(b, a) else FOREVER_MS for b in spots]
        assert times.from_spots(states, offsets, a).tolist() == back


@hypothesis_settings(max_examples=30)
@given(seed=st.integers(0, 100_000))
def test_spots_obey_the_triangle_inequality(seed: int) -> None:
    """Stops stand in standing states: no detour over a stop is a short cut. The dispatcher's bounds rest on this."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 25)))
    times = TravelTimes(network)
    stops = [times.stop_at(somewhere(network, rng))[0] for _ in range(12)]
    table = np.array([[times.between(a, b) for b in stops] for a in stops], np.int64)
    assert (table[:, None, :] <= table[:, :, None] + table[None, :, :]).all()


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_drives_are_real_and_as_long_as_they_say(seed: int) -> None:
    """Every step is a turn; times and lengths add up; among equally fast ways the shortest is driven."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 20)))
    times, graph = TravelTimes(network), to_turn_graph(network)
    for _ in range(10):
        a, b = some_spot(network, rng), times.stop_at(somewhere(network, rng))[0]
        if times.between(a, b) >= FOREVER_MS:
            with pytest.raises(LookupError):
                times.drive(a, b)
            continue
        drive = times.drive(a, b)
        ms = mm = 0
        for one, other in nx.utils.pairwise(drive.states.tolist()):
            ms, mm = ms + graph[one][other]["ms"], mm + graph[one][other]["mm"]
        assert drive.enter_ms.tolist()[0] == -a.offset_ms
        assert drive.ms == ms + b.offset_ms - a.offset_ms == times.between(a, b)
        assert network.state_arc[drive.states[-1]] == network.state_arc[b.state]
        along = [int(network.state_mm[s.state]) * s.offset_ms // int(network.state_ms[s.state]) for s in (a, b)]
        assert drive.mm == mm + along[1] - along[0] == times.drive_mm(drive, b, len(drive.states))
        line = network.line(drive.states.tolist(), a.offset_ms, b.offset_ms)
        ends = [network.place_at(s) for s in (a, b)]
        assert line[0] == pytest.approx((ends[0].lon, ends[0].lat), abs=1e-9)
        assert line[-1] == pytest.approx((ends[1].lon, ends[1].lat), abs=1e-9)


def test_shortest_of_equally_fast_ways_is_driven() -> None:
    network = a_network([(0, 1, 60), (1, 3, 60), (0, 2, 60), (2, 3, 60), (3, 0, 60)], 4)
    network.mm[0] += 5
    assert TravelTimes(network).drive(Spot(0), Spot(3)).states.tolist() == [0, 2, 3]


@pytest.mark.compiled
def test_long_ways_outgrow_the_first_buffer() -> None:
    drive = TravelTimes(a_street(3_000, 10)).drive(Spot(0), Spot(2_999))
    assert (len(drive.states), drive.ms, drive.mm) == (3_000, 2_999 * 10_000, 2_999 * 100_000)


def test_nearest_vehicles_first() -> None:
    times = TravelTimes(a_street(10))
    at = np.array([9, -1, 2, 5, 2], np.int32)
    rows, ms = times.nearest(at, np.zeros(5, np.int32), Spot(3), 3)
    assert rows.tolist() == [2, 4, 3]
    assert ms.tolist() == [60_000, 60_000, 120_000]


# --- coordinates -------------------------------------------------------------------------------------------------


def brute_force(times: TravelTimes, twin: Times, a: tuple[float, float], b: tuple[float, float]) -> int:
    """Least over the up to two directions at both ends, each from the twin."""
    network = times.network
    assert isinstance(network, RoadNetwork)
    best = FOREVER_MS
    ends: list[list[Spot]] = []
    for point in (a, b):
        found = times.snap([point])
        spots = []
        for arc in range(network.arc_count):
            if network.arc_street[arc] == found.street[0]:
                share = 1.0 - found.share[0] if network.arc_reversed[arc] else found.share[0]
                spots.append(Spot(int(network.stop_state[arc]), int(np.rint(share * network.arc_ms[arc]))))
        ends.append(spots)
    for one in ends[0]:
        for other in ends[1]:
            if twin.reaches(one, other):
                best = min(best, twin[one][other])
    return best


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 100_000), dense=st.booleans())
def test_matrices_of_coordinates_equal_brute_force(seed: int, dense: bool) -> None:
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 20)))
    times, twin = TravelTimes(network, dense=dense), Times(network)
    places = [somewhere(network, rng) for _ in range(6)]
    points = [(p.lon + rng.normal(0, 2e-4), p.lat + rng.normal(0, 2e-4)) for p in places] + [(0.0, 0.0)]
    points += [(points[0][0] + 1e-4, points[0][1])]  # two on one street, often
    table = times.matrix(points)
    both, lengths = times.matrix_with_lengths(points)
    assert np.array_equal(table, both)
    for i, a in enumerate(points):
        for j, b in enumerate(points):
            if 6 in (i, j):
                assert table[i, j] == FOREVER_MS  # in the sea off Africa
                assert lengths[i, j] == -1
            else:
                assert table[i, j] == brute_force(times, twin, a, b)
    assert np.array_equal(times.matrix(points[:3], points[2:]), table[:3, 2:])


def test_points_are_refused_or_read_in_every_form() -> None:
    network = a_street_town(np.random.default_rng(1), 12)
    times, place = TravelTimes(network), somewhere(network, np.random.default_rng(2))
    table = np.array([[place.lon, place.lat]] * 2)
    assert times.matrix([place, place]).tolist() == times.matrix(table).tolist() == [[0, 0], [0, 0]]
    assert times.matrix([]).shape == (0, 0)
    with pytest.raises(InputError, match="point 1"):
        times.matrix([(0.0, 0.0), (200.0, 0.0)])
    with pytest.raises(InputError, match="point 0"):
        times.matrix([(float("nan"), 0.0)])
    with pytest.raises(InputError, match="no streets"):
        TravelTimes(a_street()).matrix([(0.0, 0.0)])


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_snapping_equals_shapely(seed: int) -> None:
    """Nearest street, distance and share of the way, for points near, far and outside, with and without flags."""
    import shapely

    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 40)))
    flags = rng.integers(0, 4, network.street_count).astype(np.int8)
    network = type(network)(**{**{f: getattr(network, f) for f in network.__dataclass_fields__}, "street_flags": flags})
    snapper = Snapper(network)
    lon, lat = 137.0 + rng.uniform(-0.02, 0.05, 40), 36.0 + rng.uniform(-0.02, 0.05, 40)
    needed = int(rng.choice([0, STOPPABLE, STOPPABLE | STEP_FREE]))
    limit = float(rng.choice([50.0, 500.0, 1e6]))
    found = snapper.snap(lon, lat, limit_m=limit, needed=needed)
    scale = np.array([snapper._kx, snapper._ky])
    rows = network.street_first
    xy = np.column_stack([network.point_lon, network.point_lat]) * scale
    lines = [shapely.LineString(xy[a:b]) for a, b in itertools.pairwise(rows)]
    fit = [k for k in range(len(lines)) if flags[k] & needed == needed]
    for k in range(40):
        point = shapely.Point(np.array([lon[k], lat[k]]) * scale)
        best = min((lines[s].distance(point) for s in fit), default=np.inf)
        if best > limit:
            assert found.street[k] == -1
            continue
        street = int(found.street[k])
        assert street in fit
        assert lines[street].distance(point) == pytest.approx(best, abs=1e-6)
        assert found.metres[k] == pytest.approx(best, abs=1e-6)
        on_line = lines[street].interpolate(found.share[k], normalized=True)
        assert on_line.distance(point) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("left", [False, True])
def test_kerb_approach_stops_on_the_side_of_the_address(tmp_path: Path, left: bool) -> None:
    """A point north of a street that runs east is on its left: driving on the left one stops there going east."""
    drawn = Map(tmp_path).way(1, [12, 32]).way(2, [32, 33, 13, 12]).way(3, [32, 42]).way(4, [12, 11])
    network = drawn.network(left=left)
    times = TravelTimes(network)
    north, south = (0.102, 0.00205), (0.102, 0.00195)
    east = arc_between(network, 12, 32)
    metric = times.metric
    for point, expected in ((north, left), (south, not left)):
        anchors = times._anchors(metric, times.snap([point]), "kerb")
        assert (int(anchors.a[0]) == east, int(anchors.b[0])) == (expected, -1)
    both = times.matrix([north, south])
    assert both.max() == 0  # either direction: the two are one spot
    assert times.matrix([north, south], approach="kerb").max() > 60_000  # across the street means round by the dead end


def test_busy_streets_are_not_crossed_and_quiet_ones_are(tmp_path: Path) -> None:
    """On a quiet street both sides share the direction that is the shorter way there and back."""
    for road, spots in (("secondary", 2), ("residential", 1)):
        drawn = Map(tmp_path).way(1, [12, 32], highway=road).way(2, [32, 33, 13, 12], oneway="yes").way(3, [12, 11])
        network = drawn.way(4, [32, 92]).network()
        times = TravelTimes(network)
        north, south = (times.stop_at(Place(0.102, lat)) for lat in (0.00205, 0.00195))
        assert len({north[0].state, south[0].state}) == spots
        assert north[1] == pytest.approx(5.56, abs=0.1)
        heart = Spot(int(times.metric.oracle.hierarchy.node[0]))
        sides = [
            Spot(arc_between(network, a, b), 8_006 if road == "secondary" else 16_012) for a, b in ((12, 32), (32, 12))
        ]
        rounds = [times.between(heart, s) + times.between(s, heart) for s in sides]
        if road == "residential":
            assert north[0].state == sides[int(np.argmin(rounds))].state


def test_a_place_far_from_any_street(tmp_path: Path) -> None:
    times = TravelTimes(Map(tmp_path).way(1, [12, 32]).network())
    assert times.stop_at(Place(20.0, 50.0)) == (Spot(-1), float("inf"))
    assert times.matrix([(0.102, 0.002), (0.102, 0.0111)]).tolist()[0][1] == FOREVER_MS  # 1,012 m off
    assert times.matrix([(0.102, 0.002), (0.102, 0.0111)], limit_m=2_000).tolist()[0][1] == 0


def test_plain_networks_stop_at_the_nearest_node() -> None:
    network = a_street(5)
    spot, metres = TravelTimes(network).stop_at(Place(node(network, 3).lon + 1e-4, 36.0))
    assert (spot, round(metres)) == (Spot(3), 9)


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_no_bound_by_cells_exceeds_the_exact_time(seed: int) -> None:
    """Free flow and traffic, one-way streets, states that share an arc, spots on one street before and behind."""
    from noriai_engine.roads.kernels.bounds import at_least_from, at_least_to
    from noriai_engine.roads.traffic import slower

    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 60)))
    times, tight = TravelTimes(network), 0
    for permille in (1_000, 2_700):
        arcs = np.flatnonzero(rng.random(network.arc_count) < 0.5).astype(np.int32)
        times.set_traffic(slower(network, arcs, permille))
        view, inner = times.kernel_view(np.zeros(1, np.int32)), times.metric.inner_ms
        for _ in range(150):
            a, b = (int(s) for s in rng.integers(0, network.state_count, 2))
            b = a if rng.random() < 0.1 else b
            ends = [(s, int(rng.integers(inner[s] + 1))) for s in (a, b)]
            exact = times.between(Spot(*ends[0]), Spot(*ends[1]))
            low = at_least_to(view, *ends[0], *ends[1]), at_least_from(view, *ends[0], *ends[1])
            assert 0 <= low[0] == low[1] <= exact
            tight += low[0] > 0
    assert at_least_from(view, 0, 0, -1, 0) == 0
    assert tight > 0 or network.state_count < 60
