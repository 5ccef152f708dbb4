"""Region bundles: same input same bytes, on every extract at hand, and the shipped ones as their wheels give them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import a_region_draft, a_street_town

from noriai_engine.model import InputError
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.regions import open_region, write_region
from noriai_engine.roads import TravelTimes
from noriai_engine.roads.bridges import to_sparse
from noriai_engine.roads.snapper import Snapper
from noriai_engine.world.rural import RuralParams, rural_region
from noriai_gtfs import read_feed
from noriai_gtfs.timetable import build_timetable
from noriai_gtfs.timetable.of_region import timetable_of
from noriai_gtfs.timetable.timetable import ARRAYS
from noriai_simulations import shipped
from noriai_simulations.region_build.build import BuildOptions, build_region
from noriai_simulations.region_info import region_facts

EXTRACTS = [
    "br-sao-paulo-centre.osm.pbf", "cobb-county.osm.pbf", "de-north-bayreuth-rural.osm.gz", "fi-helsinki-centre.osm.pbf",
    "jp-niikawa-busroads.osm.pbf", "jp-tachikawa-drive.osm.pbf", "jp-tokyo-nerima.osm.gz", "jp-tokyo-shibuya.osm.gz",
    "jp-tsukuba-aist.osm", "mc-monaco.osm.pbf", "mt-malta.osm.pbf", "portoalegre.osm.pbf", "pt-porto-large.osm.pbf",
    "us-portland-centre.osm.pbf", "us-reisterstown-via-way-restrictions.osm.pbf", "us-washington-dc-nw.osm.pbf",
]  # fmt: skip
LEFT = {"jp", "mt"}


def tree(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("name", EXTRACTS)
def test_every_extract_builds_and_routes_exactly(shared: Path, tmp_path: Path, name: str) -> None:
    """Times between states equal scipy's Dijkstra on the bundle's turns, for 3 sources x all states."""
    from scipy.sparse.csgraph import dijkstra

    told: list[str] = []
    build_region(BuildOptions(out=tmp_path / "r", osm=shared / "osm" / name), told.append)
    region = open_region(tmp_path / "r")
    region.verify()
    assert region.driving_side == ("left" if name[:2] in LEFT else "right")
    assert any("dropped" in line for line in told)
    times = TravelTimes(region.network)
    sources = np.linspace(0, region.network.arc_count - 1, 3).astype(np.int32)
    expected = dijkstra(to_sparse(times.graph), indices=sources)
    expected[np.isinf(expected)] = FOREVER_MS
    found = times.metric.oracle.matrix(sources, np.arange(times.graph.state_count, dtype=np.int32))
    assert np.array_equal(found, expected.astype(np.int32))


def test_niikawa_with_its_nine_feeds(shared: Path, tmp_path: Path) -> None:
    feeds = tuple(sorted((shared / "gtfs" / "jp-niikawa").glob("*.zip")))
    options = BuildOptions(
        out=tmp_path / "r", osm=shared / "osm" / "jp-niikawa-busroads.osm.pbf", gtfs=feeds,
        boundary=shared / "demand" / "jp-boundaries" / "toyama-municipalities.geojson",
    )  # fmt: skip
    build_region(options, lambda line: None)
    region = open_region(tmp_path / "r")
    assert len(region.feeds) == 9
    for feed, path in zip(region.feeds, feeds, strict=True):
        assert (region.folder / "gtfs" / feed.file).read_bytes() == path.read_bytes()
        assert feed.valid_from < feed.valid_to
    assert region_facts(region)["stops"] == len(region.stops) > 600
    region.verify()
    kept = timetable_of(region)
    again = build_timetable([read_feed(path) for path in feeds], [path.stem for path in feeds], walk_m=300)
    shutil.rmtree(region.folder / "timetable")
    made = timetable_of(region)
    for name in ARRAYS:
        assert np.array_equal(getattr(kept, name), getattr(again, name)), name
        assert np.array_equal(getattr(made, name), getattr(again, name)), name
    assert kept.stop_id.all() == again.stop_id.all()


def test_a_region_without_feeds_holds_no_timetable(tmp_path: Path) -> None:
    network = a_street_town(np.random.default_rng(1), 6)
    write_region(a_region_draft(network), tmp_path / "r")
    with pytest.raises(InputError, match="holds no timetable"):
        timetable_of(open_region(tmp_path / "r"))


def test_two_feeds_of_one_name_are_refused(shared: Path, tmp_path: Path) -> None:
    feed = shared / "gtfs" / "jp-niikawa" / "town_asahi_gtfs.zip"
    other = Path(shutil.copy(feed, tmp_path / feed.name))
    options = BuildOptions(out=tmp_path / "r", osm=shared / "osm" / "jp-niikawa-busroads.osm.pbf", gtfs=(feed, other))
    with pytest.raises(InputError, match="same file name"):
        build_region(options, lambda line: None)


def test_a_feed_of_another_place_is_a_mix_up(shared: Path, tmp_path: Path) -> None:
    options = BuildOptions(
        out=tmp_path / "r", osm=shared / "osm" / "jp-tsukuba-aist.osm",
        gtfs=(shared / "gtfs" / "world" / "cobblinc-bus30.zip",),
    )  # fmt: skip
    with pytest.raises(InputError, match="agency_timezone"):
        build_region(options, lambda line: None)
    assert not (tmp_path / "r").exists()


def test_population_is_spread_over_residential_streets_and_kept_whole(shared: Path, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("lon,lat,population\n139.40,35.70,1200\n139.41,35.71,300\n")
    options = BuildOptions(out=tmp_path / "r", osm=shared / "osm" / "jp-tachikawa-drive.osm.pbf", population=table)
    build_region(options, lambda line: None)
    people = open_region(tmp_path / "r").population
    assert people is not None
    assert people.total == pytest.approx(1500)


def test_cottbus_demand_on_its_network(shared: Path, tmp_path: Path) -> None:
    """A sample of MATSim's Cottbus trips, in the file's own columns and seconds, from stop to stop, checked."""
    from noriai_engine.checker import check_run
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.simulate import simulate, write_result

    folder = shared / "demand" / "cottbus"
    options = BuildOptions(
        out=tmp_path / "cottbus", nodes=folder / "cottbus_nodes.csv", links=folder / "cottbus_links.csv", country="DE",
    )  # fmt: skip
    build_region(options, lambda line: None)
    text = Path(__file__).with_name("cottbus.toml").read_text(encoding="utf-8").replace("SHARED", os.fspath(folder))
    (tmp_path / "day.toml").write_text(text.replace("limit = 6000", "limit = 400"), encoding="utf-8")
    result = simulate(load_scenario(tmp_path / "day.toml"))
    write_result(result, tmp_path / "run")
    assert check_run(tmp_path / "run", tmp_path / "cottbus").ok
    assert next(k.value for k in result.kpis if k.key == "requests") == 400


def test_rural_towns_replay_from_their_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_region(rural_region(seed), tmp_path / name)
    assert tree(tmp_path / "a") == tree(tmp_path / "b") != tree(tmp_path / "c")
    region = open_region(tmp_path / "a")
    assert {place.kind for place in region.places} == {"station", "clinic", "shop", "school", "civic"}
    assert region.population is not None
    assert region.population.total == pytest.approx(6_000)


@pytest.mark.parametrize("seed", range(25))
def test_every_seed_makes_a_connected_town(seed: int) -> None:
    draft = rural_region(seed, RuralParams(villages=2 + seed % 20, people=100, valley_km=3.0 + seed))
    assert draft.network.node_count > 50
    assert draft.population is not None
    metres = Snapper(draft.network).snap(draft.population.lon, draft.population.lat).metres
    assert metres.max() < 1.0


def test_impossible_towns_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2 villages"):
        RuralParams(villages=1)


@pytest.mark.parametrize("name", shipped.REGIONS)
def test_shipped_regions_are_whole_and_credited(name: str) -> None:
    region = open_region(shipped.region_folder(name))
    region.verify()
    assert "OpenStreetMap contributors" in region.attribution
    assert (region.folder / "licences" / "ODbL-1.0.txt").is_file()
    assert region.network.node_count == {"coquimbo": 15_492, "manhattan": 4_197}[name]


@pytest.mark.long
@pytest.mark.parametrize("name", shipped.REGIONS)
def test_shipped_regions_are_what_their_wheels_give(name: str, tmp_path: Path) -> None:
    from noriai_simulations.region_build.coquimbo import build_coquimbo
    from noriai_simulations.region_build.manhattan import build_manhattan

    build = {"coquimbo": build_coquimbo, "manhattan": build_manhattan}[name]
    try:
        build(tmp_path / name, None, lambda line: None)
    except InputError as error:
        if "cannot be downloaded" in str(error):
            pytest.skip("no network and no cached wheel")
        raise
    assert tree(tmp_path / name) == tree(shipped.region_folder(name))


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    from noriai_simulations.region_build.coquimbo import build_coquimbo

    (tmp_path / "x.whl").write_bytes(b"not it")
    with pytest.raises(InputError, match="SHA-256"):
        build_coquimbo(tmp_path / "out", tmp_path / "x.whl", lambda line: None)
