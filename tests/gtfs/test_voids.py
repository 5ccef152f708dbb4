"""Voids: mesh codes equal jismesh, searching backward equals trying every departure, and maps say what was found."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import jismesh.utils as jm
import numpy as np
import pytest
from gtfs.feeds_made import TOWN, plain, zipped
from gtfs.test_journeys import (
    MONDAY,
    H,
    M,
    changes_of,
    check_legs,
    names_of,
    onward_of,
    small_feeds,
    trips_of,
    walks_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.journeys import least_arrivals

from noriai_engine.cli import main
from noriai_engine.model.errors import InputError
from noriai_engine.regions.people import PlaceOfInterest
from noriai_engine.roads import haversine_m
from noriai_gtfs import read_feed
from noriai_gtfs.journeys import ArriveBySearch, JourneySearch, SearchParams
from noriai_gtfs.journeys.backward import turned_round
from noriai_gtfs.timetable import build_timetable, day_timetable
from noriai_gtfs.voids import VoidParams, find_voids, hex_cells, hex_resolution, jis_codes, jis_corners, mesh_cells


@pytest.mark.parametrize(("level", "name"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)])
def test_mesh_codes_equal_jismesh(level: int, name: int) -> None:
    rng = np.random.default_rng(level)
    lon, lat = rng.uniform(123, 153, 2000), rng.uniform(24, 45, 2000)
    expected = jm.to_meshcode(lat, lon, name)
    np.testing.assert_array_equal(jis_codes(lon, lat, level), expected)
    south_west = np.array([jis_corners(int(code))[0] for code in expected[:200]])
    np.testing.assert_allclose(south_west[:, 1], jm.to_meshpoint(expected[:200], 0, 0)[0], atol=1e-9)
    np.testing.assert_allclose(south_west[:, 0], jm.to_meshpoint(expected[:200], 0, 0)[1], atol=1e-9)


def test_minakami_by_distance_and_by_its_third_party_flag(shared: Path) -> None:
    """330 half-grid cells of a mountain town: corners as published, and air lines to served stops of five feeds beside a
    flag somebody else computed. 5,170 of 17,369 people live beyond 500 m; the flag leaves 6,741 out."""
    document = json.loads((shared / "demand/jp-population/minakami_mesh500_census2020_buscover.geojson").read_text())
    rows = [feature["properties"] for feature in document["features"]]
    corners = [jis_corners(int(row["KEY_CODE"])) for row in rows]
    for feature, mine in zip(document["features"], corners, strict=True):
        published = sorted(tuple(point) for point in feature["geometry"]["coordinates"][0][:4])
        np.testing.assert_allclose(published, sorted(mine), atol=1e-9)
    names = [
        "1022.minakamimachi_com",
        "1001.kanetsu_kotu",
        "1021.numatashi_com",
        "1042.kawabamura_com",
        "1043.showamura_com",
    ]
    feeds = [read_feed(shared / "gtfs" / "jp-gunma" / f"gtfs.{name}.zip") for name in names]
    timetable = build_timetable(feeds, [name.split(".")[1] for name in names])
    served = np.unique(timetable.sequence_stop)
    lon, lat = np.array(corners).mean(axis=1).T
    metres = haversine_m(
        lon[:, None], lat[:, None], timetable.stop_lon[served][None], timetable.stop_lat[served][None]
    ).min(axis=1)  # fmt: skip
    people = np.array([float(row["population"]) for row in rows])
    flag = np.array([row["bus_cover"] for row in rows])
    assert (people.sum(), people[~flag].sum()) == (17_369, 6_741)
    assert people[metres > 500].sum() == pytest.approx(5_170, abs=50)
    assert ((metres <= 500) == flag).mean() > 0.9


def test_hexagons_are_those_of_others(shared: Path) -> None:
    """The grid of Porto Alegre that r5r ships, people by H3 cell."""
    with (shared / "demand" / "portoalegre" / "poa_hexgrid.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lon, lat, people = (np.array([float(row[name]) for row in rows]) for name in ("lon", "lat", "population"))
    cells = hex_cells(lon, lat, people, hex_resolution(200))
    assert dict(zip(cells.name, cells.people.tolist(), strict=True)) == {
        row["id"]: float(row["population"]) for row in rows
    }


def test_cells_keep_everybody() -> None:
    rng = np.random.default_rng(1)
    lon, lat, people = 137.5 + 0.05 * rng.random(500), 36.9 + 0.05 * rng.random(500), rng.random(500) * 9
    people[:20] = 0
    for cells in (mesh_cells(lon, lat, people, 4), hex_cells(lon, lat, people, 9)):
        assert cells.people.sum() == pytest.approx(people.sum())
        for k, corners in enumerate(cells.corners):
            ring = np.array(corners)
            assert (ring.min(axis=0) <= [cells.lon[k] + 1e-9, cells.lat[k] + 1e-9]).all()
            assert (ring.max(axis=0) >= [cells.lon[k] - 1e-9, cells.lat[k] - 1e-9]).all()
    with pytest.raises(InputError, match="outside Japan"):
        jis_codes(np.array([2.3]), np.array([48.8]), 3)


@settings(max_examples=60, deadline=None)
@given(tables=small_feeds(), by=st.integers(4 * 6, 4 * 24), target=st.integers(0, 2))
def test_the_latest_departure_is_the_last_that_arrives(tables: dict[str, str], by: int, target: int) -> None:
    """Backward from a stop: every other stop's latest departure, against trying all departures forward."""
    with TemporaryDirectory() as folder:
        timetable = build_timetable([read_feed(zipped(Path(folder) / "f.zip", plain(TOWN | tables)))])
    day = day_timetable(timetable, MONDAY)
    deadline, longest = by * 900_000, 5 * H
    params = SearchParams(max_rides=4, change_ms=60_000, max_duration_ms=longest)
    reach = JourneySearch(turned_round(day), params).arrivals([(target, 0)], -deadline)
    trips, walks = trips_of(timetable, MONDAY), walks_of(timetable)
    more = changes_of(timetable), onward_of(tables, trips, names_of(timetable, MONDAY))
    for origin in range(timetable.stops):
        if origin == target:
            continue
        moments = {leaves for trip in trips for stop, _, leaves, board, _ in trip if stop == origin and board}
        moments |= {
            leaves - ms
            for (a, b), ms in walks.items() if a == origin
            for trip in trips for stop, _, leaves, board, _ in trip if stop == b and board
        }  # fmt: skip
        moments |= {deadline - ms for (a, b), ms in walks.items() if (a, b) == (origin, target)}
        good = [
            m for m in moments
            if any(t <= deadline for _, t in least_arrivals(trips, walks, origin, target, m, 60_000, 4, 10 * H, *more))
        ]  # fmt: skip
        latest = max(good, default=None)
        found = -int(reach[origin]) if reach[origin] < 2_000_000_000 else None
        assert found == (latest if latest is not None and deadline - latest <= longest else None)
        journeys = ArriveBySearch(day, params).journeys([(origin, 0)], [(target, 0)], deadline)
        assert (journeys[-1].depart_ms if journeys else None) == found
        for journey in journeys:
            check_legs(day, journey, origin, target, 60_000)
            assert journey.arrive_ms <= deadline


def test_a_town_with_one_bus(tmp_path: Path) -> None:
    """The clinic stands at B. From A there are buses at 8:00 and 9:00; D has none there; the house at B walks."""
    timetable = build_timetable([read_feed(zipped(tmp_path / "f.zip", plain(TOWN)))])
    lon, lat = np.array([137.50, 137.51, 137.53]), np.array([36.90, 36.91, 36.93])
    cells = mesh_cells(lon, lat, np.array([100.0, 10.0, 1.0]), 6)
    order = [cells.name.index(str(code)) for code in jis_codes(lon, lat, 6)]
    clinic = PlaceOfInterest("hospital", "町立病院", 137.51, 36.91)
    params = VoidParams(first_hour=7, last_hour=11, every_ms=10 * M, max_ms=40 * M)
    found = find_voids(timetable, cells, [clinic], [MONDAY, date(2026, 4, 5)], None, params)
    assert found.purposes == ("clinic",)
    a, b, d = order
    assert found.served[0, 0, :, a].tolist() == [False, True, True, False]
    assert found.served[0, 1, :, a].tolist() == [False] * 4
    assert found.served[0, :, :, b].all()
    assert not found.served[0, :, :, d].any()
    assert found.without(0, 0, 0) == 101
    assert found.without(0, 0, 1) == 1
    assert found.void_hours(0)[[a, b, d]].tolist() == [6, 0, 8]
    with pytest.raises(InputError, match="--places"):
        find_voids(timetable, cells, [], [MONDAY], None)


def test_the_command_writes_map_table_and_geoparquet(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import geopandas

    from noriai_engine.regions import open_region

    region = open_region(rural)
    assert region.population is not None
    west, south = region.population.lon.min(), region.population.lat.min()
    stops = TOWN["stops.txt"]
    for old, new in (("36.90,137.50", (0.0, 0.0)), ("36.91,137.51", (0.02, 0.02)), ("36.92,137.52", (0.03, 0.01))):
        stops = stops.replace(old, f"{south + new[1]:.4f},{west + new[0]:.4f}")
    feed = zipped(tmp_path / "f.zip", plain(TOWN | {"stops.txt": stops}))
    out = tmp_path / "voids"
    call = ["gtfs", "voids", str(rural), "--feeds", str(feed), "--dates", "2026-04-06", "-o", str(out)]
    for language in ("ja", "en"):
        with pytest.raises(SystemExit) as ended:
            main([*call, "-l", language])
        assert ended.value.code == 0
    assert "out of reach" in capsys.readouterr().out
    document = json.loads((out / "voids.json").read_text(encoding="utf-8"))
    assert document["people"] == pytest.approx(6000)
    assert {row["purpose"] for row in document["rows"]} == {"clinic", "shop", "school", "station"}
    assert all(row["with_on_demand"] <= row["people_out_of_reach"] <= 6000.5 for row in document["rows"])
    table = geopandas.read_parquet(out / "voids.parquet")
    assert table.people.sum() == pytest.approx(6000)
    assert table.geometry.is_valid.all()
    assert "Out of reach" in (out / "voids.html").read_text(encoding="utf-8")
    (tmp_path / "places.csv").write_text("kind,name,lon,lat\nbar,x,137,36\n")
    with pytest.raises(SystemExit) as ended:
        main([*call, "--places", str(tmp_path / "places.csv")])
    assert ended.value.code == 2
    assert "row 2" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*call, "--size", "300"])
    assert ended.value.code == 2
