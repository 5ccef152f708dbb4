"""Times between streets equal those of a second router that works on raw OSM nodes (tests/naive/osm_router.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from naive.osm_router import Edge, OsmRouter

from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads import RoadNetwork, TravelTimes
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.osm import read_osm
from noriai_engine.roads.profiles import PROFILES
from noriai_engine.roads.speeds import LEFT_HAND_COUNTRIES, speed_table
from noriai_engine.roads.streets import trace_streets

pytestmark = pytest.mark.compiled

SMALL = [
    ("us-reisterstown-via-way-restrictions.osm.pbf", "US"), ("us-washington-dc-nw.osm.pbf", "US"),
    ("us-portland-centre.osm.pbf", "US"), ("fi-helsinki-centre.osm.pbf", "FI"), ("cobb-county.osm.pbf", "US"),
    ("jp-tokyo-shibuya.osm.gz", "JP"), ("jp-tokyo-nerima.osm.gz", "JP"), ("jp-tsukuba-aist.osm", "JP"),
]  # fmt: skip
LARGE = [
    ("mc-monaco.osm.pbf", "MC"), ("br-sao-paulo-centre.osm.pbf", "BR"), ("mt-malta.osm.pbf", "MT"),
    ("portoalegre.osm.pbf", "BR"), ("de-north-bayreuth-rural.osm.gz", "DE"), ("jp-tachikawa-drive.osm.pbf", "JP"),
    ("jp-niikawa-busroads.osm.pbf", "JP"), ("pt-porto-large.osm.pbf", "PT"), *SMALL,
]  # fmt: skip


def first_edges(network: RoadNetwork, router: OsmRouter, arcs: list[int]) -> dict[int, Edge]:
    """The raw edge each arc begins with; arcs that begin like another way of the same nodes are left out."""
    by_start: dict[tuple[int, tuple[float, float]], list[Edge]] = {}
    for edge in router.ms:
        by_start.setdefault((edge[0], router.place[edge[1]]), []).append(edge)
    found = {}
    for arc in arcs:
        lon, lat = network.geometry(arc)
        edges = by_start[int(network.node_id[network.arc_tail[arc]]), (float(lon[1]), float(lat[1]))]
        if len(edges) == 1:
            found[arc] = edges[0]
    return found


def compare(path: Path, country: str, profile_name: str, sources: int, targets: int) -> int:
    """Compare random pairs; returns how many."""
    profile, left = PROFILES[profile_name], country in LEFT_HAND_COUNTRIES
    router = OsmRouter(path, profile, country, left_hand=left)
    extract = read_osm(path, profile, lambda lon, lat: country, speed_table)
    network, _ = assemble(trace_streets(extract), profile, left_hand=left)
    order = np.random.default_rng(7).permutation(network.arc_count)[:targets].tolist()
    edges = first_edges(network, router, order)
    assert len(edges) > 0.25 * len(order)  # Niikawa is drawn twice in most places
    starts = list(edges)[:sources]
    expected = router.distances([edges[a] for a in starts], list(edges.values()))
    times = TravelTimes(network)
    states = np.arange(network.state_count, dtype=np.int32)
    every = times.metric.oracle.matrix(np.array(starts, np.int32), states)
    found = np.full((len(starts), network.arc_count), FOREVER_MS)
    for state, arc in enumerate(network.state_arc.tolist()):
        found[:, arc] = np.minimum(found[:, arc], every[:, state])
    expected[np.isinf(expected)] = FOREVER_MS
    assert np.array_equal(found[:, list(edges)], expected)
    return expected.size


@pytest.mark.parametrize(("name", "country"), SMALL)
def test_times_equal_those_of_a_router_on_raw_osm(shared: Path, name: str, country: str) -> None:
    assert compare(shared / "osm" / name, country, "taxi", 20, 1_000) > 5_000


@pytest.mark.parametrize("profile", ["volunteer", "bus"])
def test_other_profiles_too(shared: Path, profile: str) -> None:
    assert compare(shared / "osm" / "us-portland-centre.osm.pbf", "US", profile, 10, 500) > 4_000


@pytest.mark.long
@pytest.mark.parametrize(("name", "country"), LARGE)
def test_a_million_pairs_an_extract(shared: Path, name: str, country: str) -> None:
    """Together over 10^7 pairs on 16 extracts (or all pairs of the small ones)."""
    compare(shared / "osm" / name, country, "taxi", 400, 4_000)
