"""Traffic: after every change all pairs equal those of an oracle made anew; readers never see a mix; times of day."""

from __future__ import annotations

import threading
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from builders import a_street_town, some_streets
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.roads import Times
from osm_maps import Map, arc_between

from noriai_engine.model import InputError, Spot
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads import Oracle, TravelTimes
from noriai_engine.roads.slices import DaySlices, Slice
from noriai_engine.roads.traffic import Traffic, closed_area, slower, streets_in, traffic_at

HOUR = 3_600_000


def all_pairs(times: TravelTimes) -> np.ndarray:  # type: ignore[type-arg]
    states = np.arange(times.graph.state_count, dtype=np.int32)
    return times.metric.oracle.matrix(states, states)


def expected_pairs(times: TravelTimes, traffic: Traffic) -> np.ndarray:  # type: ignore[type-arg]
    """By scipy on weights worked out from the description of Traffic alone."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    network, graph = times.network, times.graph
    arc_ms = network.arc_ms if traffic.arc_ms is None else traffic.arc_ms  # type: ignore[union-attr]
    rows = {}
    for t in range(network.turn_count):  # type: ignore[union-attr]
        a, b = int(network.turn_source[t]), int(network.turn_target[t])  # type: ignore[union-attr]
        if traffic.closed is not None and traffic.closed[graph.arc[b]]:
            continue
        if traffic.closed_turns is not None and traffic.closed_turns[t]:
            continue
        rows[a, b] = min(rows.get((a, b), 1 << 60), int(arc_ms[graph.arc[a]]) + int(network.turn_ms[t]))  # type: ignore[union-attr]
    k = graph.state_count
    if not rows:
        return np.where(np.eye(k, dtype=bool), 0, FOREVER_MS)
    ends, ms = np.array(list(rows)), np.array(list(rows.values()), float)
    out = dijkstra(csr_array((ms, (ends[:, 0], ends[:, 1])), shape=(k, k)))
    out[np.isinf(out)] = FOREVER_MS
    return out.astype(int)


def random_traffic(times: TravelTimes, rng: np.random.Generator) -> Traffic:
    network = times.network
    m, t = network.arc_count, network.turn_count  # type: ignore[union-attr]
    arc_ms = network.arc_ms.copy()  # type: ignore[union-attr]
    some = rng.integers(0, m, int(rng.choice([1, 2, m])))
    arc_ms[some] = np.maximum(1, (arc_ms[some] * rng.uniform(0.2, 5.0, len(some))).astype(np.int32))
    return Traffic(
        None if rng.random() < 0.2 else arc_ms,
        None if rng.random() < 0.5 else rng.random(m) < rng.choice([0.02, 0.3]),
        None if rng.random() < 0.7 else rng.random(t) < 0.1,
    )


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 100_000), dense=st.booleans(), in_place=st.booleans())
def test_every_pair_is_exact_after_every_change(seed: int, dense: bool, in_place: bool) -> None:
    """Slower, faster, closed, open again; repaired in place and customised anew; lengths and ways follow."""
    rng = np.random.default_rng(seed)
    times = TravelTimes(a_street_town(rng, int(rng.integers(4, 25))), dense=dense)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noriai_engine.roads.travel_times.REPAIR_SHARE", 1.0 if in_place else 0.0)
        _change_and_compare(times, rng)


def _change_and_compare(times: TravelTimes, rng: np.random.Generator) -> None:
    free = all_pairs(times)
    for _ in range(5):
        traffic = random_traffic(times, rng)
        beside = times.under(traffic)
        times.set_traffic(traffic)
        found = all_pairs(times)
        assert np.array_equal(found, expected_pairs(times, traffic))
        assert np.array_equal(found, all_pairs(beside))
        a, b = (int(x) for x in rng.integers(0, times.graph.state_count, 2))
        if found[a, b] < FOREVER_MS:
            turns = times.metric.oracle.path(a, b)
            assert times.metric.oracle.weights.ms[turns].sum() == found[a, b]
    times.set_traffic(Traffic())
    assert np.array_equal(all_pairs(times), free)
    assert times.metric.version == 6


@hypothesis_settings(max_examples=30)
@given(seed=st.integers(0, 100_000))
def test_repair_equals_a_new_customisation_on_any_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    m = int(rng.integers(1, 4 * n))
    tail, head = rng.integers(0, n, m).astype(np.int32), rng.integers(0, n, m).astype(np.int32)
    ms = rng.integers(1, 30, m).astype(np.int32)
    oracle = Oracle.from_arcs(tail, head, ms, node_count=n)
    everyone = np.arange(n)
    for _ in range(6):
        arcs = np.unique(rng.integers(0, m, int(rng.integers(1, 6)))).astype(np.int32)
        new = np.where(rng.random(len(arcs)) < 0.2, FOREVER_MS, rng.integers(1, 60, len(arcs))).astype(np.int32)
        oracle.repair(arcs, new)
        ms[arcs] = new
        again = Oracle.from_arcs(tail, head, ms, node_count=n)
        assert np.array_equal(oracle.matrix(everyone, everyone), again.matrix(everyone, everyone))
        assert np.array_equal(oracle.weights.up, oracle.reweighted(ms).weights.up)


@pytest.mark.compiled
def test_readers_see_the_old_state_or_the_new_never_a_mix() -> None:
    rng = np.random.default_rng(5)
    times = TravelTimes(a_street_town(rng, 200))
    network = times.network
    points = np.column_stack([network.point_lon[::9], network.point_lat[::9]])[:60]  # type: ignore[union-attr]
    slow = slower(network, np.arange(network.arc_count), 3_000)  # type: ignore[arg-type, union-attr]
    one = slower(network, np.arange(8), 9_000)  # type: ignore[arg-type]
    states = [Traffic(), slow, Traffic(), one]
    truths = []
    for traffic in states:
        times.set_traffic(traffic)
        truths.append(times.matrix(points))
    assert not np.array_equal(truths[0], truths[1])
    seen: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(times.matrix(points))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()

    def write(first: int) -> None:
        for round_ in range(first, first + 40):
            times.set_traffic(states[round_ % 4])

    writers = [threading.Thread(target=write, args=(k,)) for k in (0, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    for reader in readers:
        reader.join()
    assert times.metric.version == 84
    assert len(seen) > 20
    assert all(any(np.array_equal(table, truth) for truth in truths) for table in seen)  # type: ignore[arg-type]


def test_a_flooded_area_is_driven_round_and_left(tmp_path: Path) -> None:
    import shapely

    drawn = Map(tmp_path).way(1, [12, 22]).way(2, [22, 32]).way(3, [32, 42])
    drawn.way(4, [22, 23, 33, 32], highway="tertiary").way(5, [12, 11]).way(6, [42, 41])
    network = drawn.network()
    times = TravelTimes(network)
    start, goal, wet = (arc_between(network, *pair) for pair in ((12, 22), (32, 42), (22, 32)))
    before = times.between(Spot(start), Spot(goal))
    water = shapely.Point(0.1025, 0.002).buffer(0.0002)
    assert streets_in(network, water).sum() == 1
    times.set_traffic(closed_area(network, water))
    after = times.between(Spot(start), Spot(goal))
    assert before < after < FOREVER_MS
    assert times.between(Spot(start), Spot(wet)) == FOREVER_MS
    assert times.between(Spot(wet, 1_000), Spot(goal)) < FOREVER_MS  # who is in it gets out
    times.set_traffic(Traffic())
    assert times.between(Spot(start), Spot(goal)) == before


def test_rush_hour_restrictions_hold_in_rush_hour(tmp_path: Path) -> None:
    drawn = (
        Map(tmp_path)
        .way(1, [12, 22])
        .way(2, [22, 32])
        .way(4, [22, 23])
        .way(5, [12, 11])
        .way(6, [32, 31])
        .way(7, [23, 24])
    )
    text = "no_left_turn @ (Mo-Fr 07:00-09:00)"
    network = drawn.restriction("", 1, 22, 4, restriction__conditional=text).network()
    times = TravelTimes(network)
    pair = Spot(arc_between(network, 12, 22)), Spot(arc_between(network, 22, 23))
    free = times.between(*pair)
    for moment, closed in (("2026-11-24T08:00", True), ("2026-11-24T09:30", False), ("2026-11-28T08:00", False)):
        times.set_traffic(traffic_at(network, datetime.fromisoformat(moment)))
        assert (times.between(*pair) > free) is closed


def test_conditions_that_cannot_be_read_never_hold(tmp_path: Path) -> None:
    drawn = Map(tmp_path).way(1, [12, 22]).way(2, [22, 32]).way(4, [22, 23]).way(5, [12, 11])
    network = drawn.restriction("", 1, 22, 4, restriction__conditional="no_left_turn @ (weight>7.5)").network()
    assert network.conditions == ("", "weight>7.5")
    assert traffic_at(network, datetime.fromisoformat("2026-11-24T08:00")).closed_turns.sum() == 0  # type: ignore[union-attr]


def test_bad_traffic_is_told() -> None:
    times = TravelTimes(a_street_town(np.random.default_rng(1), 12))
    with pytest.raises(InputError, match="one time of at least 1 ms for each"):
        times.set_traffic(Traffic(np.ones(3, np.int32)))
    with pytest.raises(InputError, match="permille"):
        slower(times.network, np.array([0]), 0)  # type: ignore[arg-type]


# --- times of day ------------------------------------------------------------------------------------------------


def a_day(seed: int) -> DaySlices:
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 15)))
    begins = [0, *sorted({int(x) for x in rng.integers(1, 24 * HOUR, 3)})]
    slices = []
    for begin in begins:
        arcs = np.flatnonzero(rng.random(network.arc_count) < 0.5).astype(np.int32)
        slices.append(Slice(begin, slower(network, arcs, int(rng.integers(300, 4_000)))))
    return DaySlices(network, slices)


@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 100_000))
def test_who_leaves_later_arrives_later_whatever_the_slices(seed: int) -> None:
    """FIFO over the borders of slices and over midnight, to the rounding of a ms; exact within a slice."""
    rng = np.random.default_rng(seed)
    day = a_day(seed)
    arcs = rng.integers(0, day.network.arc_count, 2)
    source, target = (Spot(int(a), int(rng.integers(day.network.arc_ms[a] + 1))) for a in arcs)
    begins = [s.begins_ms for s in day._slices] + [24 * HOUR]
    for border in begins:
        departs = range(max(0, border - 400_000), border + 100_001, 25_000)
        arrives = [at + day.duration_ms(source, target, at) for at in departs]
        assert all(b >= a - 1 for a, b in pairwise(arrives))
    for index, begin in enumerate(begins[:-1]):
        times = day.at(begin)
        ends = [Spot(s.state, round(s.offset_ms / int(day.network.arc_ms[s.state]) * int(times.metric.inner_ms[s.state])))
                for s in (source, target)]  # fmt: skip
        exact = times.between(*ends)
        if begin + exact < begins[index + 1]:
            assert day.duration_ms(source, target, begin) == pytest.approx(exact, abs=2)


def test_a_drive_over_the_border_of_two_slices(tmp_path: Path) -> None:
    """100 s of street at the old speed, of which 40 s are done when speeds halve: 60 s become 120 s."""
    network = Map(tmp_path).way(1, [12, 22, 32]).network()
    arc = arc_between(network, 12, 22)
    whole = int(network.arc_ms[arc])
    day = DaySlices(network, [Slice(0, Traffic()), Slice(HOUR, slower(network, np.arange(2), 2_000))])
    goal = Spot(arc, whole)
    assert day.duration_ms(Spot(arc), goal, 0) == whole
    assert day.duration_ms(Spot(arc), goal, HOUR) == pytest.approx(2 * whole, abs=1)
    left = HOUR - 10_000
    assert day.duration_ms(Spot(arc), goal, left) == pytest.approx(10_000 + 2 * (whole - 10_000), abs=2)
    assert day.duration_ms(Spot(arc), goal, 24 * HOUR - 10_000) == pytest.approx(10_000 + whole - 5_000, abs=2)
    assert day.at(30 * HOUR).metric.inner_ms[arc] == 2 * whole  # 06:00 of the next day


@pytest.mark.parametrize("begins", [[], [5], [0, 0], [0, 9, 3], [0, 24 * HOUR]])
def test_slices_that_make_no_day_are_refused(begins: list[int]) -> None:
    network = a_street_town(np.random.default_rng(1), 8)
    with pytest.raises(InputError, match="begin with 0"):
        DaySlices(network, [Slice(b, Traffic()) for b in begins])


def test_towns_of_tests_have_restrictions_that_bite() -> None:
    """The random towns above do hold states that remember: else these tests would prove less than they say."""
    towns = [a_street_town(np.random.default_rng(k), 25) for k in range(20)]
    assert sum(town.state_count > town.arc_count for town in towns) > 5
    assert any(len(some_streets(np.random.default_rng(k), 25).restrictions) > 5 for k in range(3))
    assert Times(towns[0]).reaches(Spot(0), Spot(1))
