"""Ways on foot from a map: what is one, what stops a walker, what is left out; kept in the region's bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import a_region_draft, a_street_town, with_footways
from naive.walks import walks_mm
from osm_maps import STEP, Map

from noriai_engine.model import InputError, Place
from noriai_engine.regions import open_region, write_region
from noriai_engine.regions.bundle import FOOT_ARRAYS, RegionError
from noriai_engine.roads import RoadNetwork, read_roads
from noriai_engine.roads.footways import footways_of
from noriai_engine.roads.read import read_footways
from noriai_engine.roads.streets import trace_streets
from noriai_engine.roads.walks import Walks

STEP_M = 111.195 * STEP / 0.001


ANY = a_street_town(np.random.default_rng(1), 6)


def a_block(folder: Path) -> Map:
    """A block of streets three steps wide and two high, round the nodes 11, 13, 43 and 41."""
    return Map(folder).way(1, [11, 12, 13]).way(2, [13, 23, 33, 43]).way(3, [43, 42, 41]).way(4, [41, 31, 21, 11])


def steps_between(drawn: Map, a: int, b: int, *, step_free: bool = False, longest: float = 30) -> float | None:
    """Grid steps on foot between two nodes; None where there is no way."""
    network = replace(ANY, foot=footways_of(trace_streets(drawn.extract("walking")))[0])
    (lon, lat), goal = drawn.place(a), drawn.place(b)
    found = Walks(network, np.array([goal[0]]), np.array([goal[1]])).lengths(
        np.array([lon]), np.array([lat]), longest * STEP_M, step_free=step_free
    )
    return round(found[2][0] / 1e3 / STEP_M, 2) if len(found[2]) else None


@pytest.mark.parametrize(
    ("tags", "all_walk", "chairs_roll"),
    [({}, 2, 2), ({"highway": "footway"}, 2, 2), ({"highway": "steps"}, 2, 4), ({"highway": "path", "surface": "mud"}, 2, 4),
     ({"highway": "footway", "wheelchair": "no"}, 2, 4), ({"highway": "motorway"}, 4, 4), ({"access": "private"}, 4, 4),
     ({"access": "private", "foot": "yes"}, 2, 2), ({"foot": "no"}, 4, 4), ({"oneway": "yes"}, 2, 2),
     ({"highway": "footway", "impassable": "yes"}, 4, 4)],
)  # fmt: skip
def test_what_a_way_across_a_block_saves(
    tmp_path: Path, tags: dict[str, str], all_walk: float, chairs_roll: float
) -> None:
    """From the middle of one side to the middle of the other: straight across, or round half the block."""
    drawn = a_block(tmp_path).way(5, [21, 22, 23], **tags)
    assert steps_between(drawn, 21, 23) == pytest.approx(all_walk, abs=0.02)
    assert steps_between(drawn, 21, 23, step_free=True) == pytest.approx(chairs_roll, abs=0.02)


@pytest.mark.parametrize(("tags", "length"), [
    ({"barrier": "gate"}, 2), ({"barrier": "bollard"}, 2), ({"barrier": "wall"}, 4), ({"barrier": "gate", "foot": "no"}, 4),
])  # fmt: skip
def test_a_barrier_is_reached_and_not_passed(tmp_path: Path, tags: dict[str, str], length: float) -> None:
    drawn = a_block(tmp_path).way(5, [21, 22], highway="footway").way(6, [22, 23], highway="footway").node(22, **tags)
    assert steps_between(drawn, 21, 23) == pytest.approx(length, abs=0.02)
    assert steps_between(drawn, 21, 22) == pytest.approx(1, abs=0.02)


def test_a_short_part_by_itself_is_left_out(tmp_path: Path) -> None:
    drawn = a_block(tmp_path).way(5, [22, 32], highway="footway")
    ways, lost_km = footways_of(trace_streets(drawn.extract("walking")))
    assert set(ways.street_way.tolist()) <= {1, 2, 3, 4}
    assert lost_km == pytest.approx(STEP_M / 1e3, rel=0.01)


def test_a_walk_longer_than_the_rider_goes_is_none(tmp_path: Path) -> None:
    assert steps_between(a_block(tmp_path), 21, 23, longest=3.9) is None
    assert steps_between(a_block(tmp_path), 21, 23, longest=4.1) == pytest.approx(4, abs=0.02)


def test_the_bundle_keeps_them(tmp_path: Path) -> None:
    network = with_footways(a_street_town(np.random.default_rng(3), 20), np.random.default_rng(4))
    assert network.foot is not None
    write_region(a_region_draft(network), tmp_path / "town")
    region = open_region(tmp_path / "town")
    region.verify()
    assert region.network.foot is not None
    for name in FOOT_ARRAYS:
        assert np.array_equal(getattr(region.network.foot, name), getattr(network.foot, name)), name
    write_region(a_region_draft(region.network), tmp_path / "again")
    assert open_region(tmp_path / "again").checksum == region.checksum


def test_a_bundle_without_them_is_as_it_was(tmp_path: Path) -> None:
    network = a_street_town(np.random.default_rng(3), 20)
    write_region(a_region_draft(network), tmp_path / "town")
    assert 'format_version = "2.0"' in (tmp_path / "town" / "region.toml").read_text()
    assert open_region(tmp_path / "town").network.foot is None


@pytest.mark.parametrize("damage", ["gone", "short", "outside"])
def test_damaged_ways_are_named(tmp_path: Path, damage: str) -> None:
    network = with_footways(a_street_town(np.random.default_rng(3), 20), np.random.default_rng(4))
    write_region(a_region_draft(network), tmp_path / "town")
    file = tmp_path / "town" / "walks" / "street_tail.npy"
    if damage == "gone":
        file.unlink()
    else:
        column = np.load(file)
        np.save(file, column[:-1] if damage == "short" else column - 1)
    with pytest.raises((RegionError, InputError), match=r"walks cannot be read|ways on foot do not fit"):
        _ = open_region(tmp_path / "town").network


def test_real_walks_by_networkx(shared: Path) -> None:
    """Helsinki's centre: stairs, parks, yards; any two places within 2 km, for all and for those who need no steps."""
    file = shared / "osm" / "fi-helsinki-centre.osm.pbf"
    network = replace(read_roads(file, country="FI"), foot=read_footways(file, country="FI"))
    rng = np.random.default_rng(1)
    west, south, east, north = network.bounds
    places = [Place(float(rng.uniform(west, east)), float(rng.uniform(south, north))) for _ in range(24)]
    shorter = longer = 0
    for place, step_free in zip(places[:6], [False, True] * 3, strict=True):
        found = lengths(network, place, places[6:], step_free)
        assert found == pytest.approx(walks_mm(network, place, tuple(places[6:]), step_free), abs=200)
        by_car = lengths(replace(network, foot=None), place, places[6:], step_free)
        shorter += sum(a < b for a, b in zip(found, by_car, strict=True))
        longer += sum(a > b + 1 for a, b in zip(found, by_car, strict=True))
    assert shorter > 3 * longer


def lengths(network: RoadNetwork, place: Place, goals: list[Place], step_free: bool) -> list[float]:
    """mm to each goal, infinite where there is no way."""
    walks = Walks(network, np.array([g.lon for g in goals]), np.array([g.lat for g in goals]))
    _, rows, mm = walks.lengths(np.array([place.lon]), np.array([place.lat]), 20_000, step_free=step_free)
    out = np.full(len(goals), np.inf)
    out[rows] = mm
    return [float(x) for x in out]
