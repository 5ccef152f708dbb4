"""Walks to stops along a region's ways: equal to networkx, without steps for those who need it, by air off the map."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import a_region_draft, a_street_town, somewhere, with_footways
from gtfs.feeds_made import TOWN, plain, zipped
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.walks import walks_mm
from osm_maps import Map

from noriai_engine.cli import main
from noriai_engine.model import Place
from noriai_engine.regions import Region, open_region, write_region
from noriai_engine.roads.footways import footways_of
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.streets import trace_streets
from noriai_gtfs import read_feed
from noriai_gtfs.timetable import Timetable, build_timetable, open_timetable
from noriai_gtfs.timetable.walking import DETOUR, WALK_M_PER_S, AirLine, AlongWays, walking_on


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_walks_are_those_of_networkx(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = with_footways(a_street_town(rng, int(rng.integers(4, 30))), rng)
    stops, places = (tuple(somewhere(network, rng) for _ in range(count)) for count in (8, 5))
    longest, step_free = float(rng.uniform(100, 2_000)), bool(seed % 2)
    (lon, lat), (from_lon, from_lat) = coordinates(stops), coordinates(places)
    rows, goals, ms = AlongWays(network).to(lon, lat)(from_lon, from_lat, longest, step_free)
    found = dict(zip(zip(rows.tolist(), goals.tolist(), strict=True), ms.tolist(), strict=True))
    for row, place in enumerate(places):
        for goal, mm in enumerate(walks_mm(network, place, stops, step_free)):
            known, on_map = found.get((row, goal)), is_on_map(network, place) and is_on_map(network, stops[goal])
            if on_map and abs(mm / 1e3 - longest * DETOUR) > 0.01:
                assert (known is not None) == (mm / 1e3 <= longest * DETOUR)
                if known is not None:
                    assert known / 1e3 == pytest.approx(mm / 1e3 / WALK_M_PER_S, abs=1.01)


def coordinates(places: tuple[Place, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p.lon for p in places]), np.array([p.lat for p in places])


def is_on_map(network, place: Place) -> bool:  # type: ignore[no-untyped-def]
    return min(walks_mm(network, place, (place,), False)) / 2_000 < 249


def test_off_the_map_the_air_line_counts() -> None:
    network = a_street_town(np.random.default_rng(2), 12)
    far = Place(138.5, 36.5), Place(138.5001, 36.5)
    lon, lat = coordinates(far)
    along, by_air = AlongWays(network).to(lon, lat), AirLine().to(lon, lat)
    for one, other in zip(along(lon, lat, 500, True), by_air(lon, lat, 500, True), strict=True):
        assert one.tolist() == other.tolist()
    assert len(by_air(lon, lat, 500, False)[0]) == 4


def test_a_stop_without_a_place_is_reached_by_nobody() -> None:
    network = with_footways(a_street_town(np.random.default_rng(3), 20), np.random.default_rng(4))
    lon, lat = coordinates(tuple(somewhere(network, np.random.default_rng(k)) for k in range(6)))
    known = AlongWays(network).to(lon[:4], lat[:4])(lon[:4], lat[:4], 6_000, False)
    lon[4], lat[5] = np.nan, 999.0
    found = AlongWays(network).to(lon, lat)(lon, lat, 6_000, False)
    assert [column.tolist() for column in found] == [column.tolist() for column in known]
    assert len(known[0]) > 4


@hypothesis_settings(max_examples=30)
@given(seed=st.integers(0, 10_000), unknown=st.booleans())
def test_the_air_line_is_the_sphere(seed: int, unknown: bool) -> None:
    rng = np.random.default_rng(seed)
    lon, lat = 137 + rng.random(30) * 0.02, 36 + rng.random(30) * 0.02
    if unknown:
        lon[3], lat[4] = np.nan, 999.0
    rows, goals, ms = AirLine().to(lon, lat)(lon, lat, 700, False)
    metres = haversine_m(lon[:, None], lat[:, None], lon[None], lat[None])
    with np.errstate(invalid="ignore"):
        near = (metres <= 700) & (np.abs(lat) <= 90)[:, None] & (np.abs(lat) <= 90)[None]
    assert list(zip(rows.tolist(), goals.tolist(), strict=True)) == [(a, b) for a, b in np.argwhere(near).tolist()]
    assert ms.tolist() == [1_000 * int(np.ceil(metres[a, b] * 1.3 / 1.1)) for a, b in np.argwhere(near)]


def over_the_hill(folder: Path, across: str) -> Region:
    """Two stops of the feed TOWN on either side of a block, which a way crosses."""
    drawn = Map(folder).way(1, [11, 12, 13]).way(2, [13, 23, 33, 43]).way(3, [43, 42, 41]).way(4, [41, 31, 21, 11])
    drawn.way(5, [21, 22, 23], highway=across)
    network = replace(
        a_street_town(np.random.default_rng(1), 6), foot=footways_of(trace_streets(drawn.extract("walking")))[0]
    )
    write_region(a_region_draft(network), folder / "region")
    return open_region(folder / "region")


def timetable_over(folder: Path, region: Region | None) -> Timetable:
    stops = "stop_id,stop_name,stop_lon,stop_lat\nA,South,0.102,0.001\nB,North,0.102,0.003\nC,Far,0.104,0.002\nD,Out,0.2,0.2\n"
    return build_timetable([read_feed(zipped(folder / "f.zip", plain(TOWN | {"stops.txt": stops})))], walk_m=400,
                           walking=walking_on(region and region.network))  # fmt: skip


@pytest.mark.parametrize("across", ["footway", "steps"])
def test_steps_are_for_those_who_can(tmp_path: Path, across: str) -> None:
    """Along the footway 222 m for all; where it has steps, round the block 445 m without."""
    table = timetable_over(tmp_path, over_the_hill(tmp_path, across))
    columns = table.footpath_from, table.footpath_to, table.footpath_steps, table.footpath_ms
    edges = {
        (steps, ms)
        for a, b, steps, ms in zip(*(c.tolist() for c in columns), strict=True)
        if (table.stop_id[a], table.stop_id[b]) == ("A", "B")
    }
    assert edges == ({(0, 203_000)} if across == "footway" else {(1, 203_000), (0, 405_000)})


def test_the_commands_walk_along_a_region(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From where A stands to B: 1.3 times the air line, over the steps, or round the block."""
    region = over_the_hill(tmp_path, "steps")
    timetable_over(tmp_path, None)
    feed, folder, bundle = (str(path) for path in (tmp_path / "f.zip", tmp_path / "t", region.folder))
    assert noriai("gtfs", "build", feed, "--region", bundle, "--walk", "400", "-o", folder) == 0
    assert sorted(set(open_timetable(Path(folder)).footpath_steps.tolist())) == [0, 1]
    assert noriai("gtfs", "build", feed, "--walk", "0", "-o", folder) == 0
    assert open_timetable(Path(folder)).footpath_ms.size == 0
    capsys.readouterr()
    arrive = []
    for more in ([], ["--region", bundle], ["--region", bundle, "--wheelchair"]):
        noriai("gtfs", "journey", folder, "0.102,0.001", "B", "--date", "2026-04-06", "--json", *more)
        arrive.append(json.loads(capsys.readouterr().out)[0]["arrive"])
    assert arrive == ["08:04:23", "08:03:23", "08:06:45"]
    assert noriai("gtfs", "journey", folder, "A", "B", "--date", "2026-04-06", "--region", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def noriai(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    return int(ended.value.code or 0)
