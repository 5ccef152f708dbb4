"""noriai route, matrix, isochrone, region arcs, warmup: what they print and write is true, and bad input is told."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from naive.roads import Times
from osm_maps import Map

from noriai_engine.cli import main
from noriai_engine.model import Place
from noriai_engine.regions import Region, open_region
from noriai_engine.roads import TravelTimes
from noriai_engine.roads.isochrones import isochrones
from noriai_engine.roads.routes import find_route


def noriai(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def town(rural: Path) -> Region:
    return open_region(rural)


def home(town: Region, k: int) -> str:
    people = town.population
    assert people is not None
    return f"{people.lon[k]},{people.lat[k]}"


def test_route_tells_time_length_streets_and_turns(
    rural: Path, town: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = home(town, 0), home(town, 60)
    assert noriai("route", rural, *ends, "--json", "-o", tmp_path / "way.geojson") == 0
    told = json.loads(capsys.readouterr().out)
    times = TravelTimes(town.network)
    places = [tuple(float(v) for v in e.split(",")) for e in ends]
    ms, mm = times.matrix_with_lengths(places)
    assert told["duration_ms"] == ms[0, 1]
    assert told["distance_m"] == pytest.approx(mm[0, 1] / 1e3, abs=0.05)
    assert sum(s["duration_ms"] for s in told["steps"]) == told["duration_ms"]
    assert sum(s["distance_m"] for s in told["steps"]) == pytest.approx(told["distance_m"])
    assert told["steps"][0]["turn"] == "depart"
    line = json.loads((tmp_path / "way.geojson").read_text())["geometry"]["coordinates"]
    assert line == told["line"]
    assert np.hypot(line[0][0] - places[0][0], line[0][1] - places[0][1]) < 1e-4
    assert noriai("route", rural, *ends, "--language", "ja") == 0
    assert "所要" in capsys.readouterr().out


def test_route_goes_by_what_the_map_says(town: Region) -> None:
    """The route's line is as long as it says, and no step turns where the map has no turn."""
    times = TravelTimes(town.network)
    people = town.population
    assert people is not None
    for k in range(0, 100, 10):
        a, b = (Place(float(people.lon[i]), float(people.lat[i])) for i in (k, k + 7))
        found = find_route(times, a, b)
        xy = np.array(found.line) * [111_195 * np.cos(np.radians(36.9)), 111_195]
        assert np.hypot(*np.diff(xy, axis=0).T).sum() == pytest.approx(found.mm / 1e3, rel=2e-3, abs=1.0)
        assert all(step.ms >= 0 and step.mm >= 0 for step in found.steps)


def test_matrix_reads_a_table_and_writes_one(
    rural: Path, town: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("a", *home(town, 0).split(",")),
        ("b", *home(town, 30).split(",")),
        ("sea", "0", "0"),
        ("c", *home(town, 60).split(",")),
    ]
    (tmp_path / "points.csv").write_text("id,lon,lat\n" + "\n".join(",".join(r) for r in rows) + "\n")
    assert noriai("matrix", rural, tmp_path / "points.csv", "-o", tmp_path / "m.csv") == 0
    assert "1 places have no street within 1,000 m: sea" in capsys.readouterr().err
    table = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert len(table) == 16
    assert list(table[0]) == ["from", "to", "duration_ms", "distance_m"]
    found = TravelTimes(town.network).matrix([(float(x), float(y)) for _, x, y in rows])
    names = [r[0] for r in rows]
    for row in table:
        i, j = names.index(row["from"]), names.index(row["to"])
        if "sea" in (row["from"], row["to"]):
            assert (row["duration_ms"], row["distance_m"]) == ("", "")
        else:
            assert int(row["duration_ms"]) == found[i, j]


@pytest.mark.parametrize(
    ("text", "message"),
    [("id,lon\na,1\n", "lat"), ("id,lon,lat\na,1,2\na,1,2\n", "given twice"), ("id,lon,lat\na,x,2\n", "row 2"),
     ("id,lon,lat\na,200,2\n", "row 2"), ("id,lon,lat\n", "no place")],
)  # fmt: skip
def test_bad_tables_are_told(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "p.csv").write_text(text)
    assert noriai("matrix", rural, tmp_path / "p.csv", "-o", tmp_path / "m.csv") == 2
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv"]


def test_bad_places_are_told(rural: Path, town: Region, capsys: pytest.CaptureFixture[str]) -> None:
    for origin, message in (
        ("here", "'here' is no place"),
        ("1,2,3", "no place"),
        ("0,0", "no street within"),
        ("300,0", "lon"),
    ):
        assert noriai("route", rural, origin, home(town, 1)) == 2
        assert message in capsys.readouterr().err


def test_isochrones_hold_exactly_what_is_reached(town: Region) -> None:
    """A street's reached share is checked point by point against times to spots along it."""
    times, network = TravelTimes(town.network), town.network
    lon, lat = (float(v) for v in home(town, 3).split(","))
    limit = 240_000
    (found,) = isochrones(times, Place(lon, lat), [limit])
    twin = Times(network)
    starts = times.spots_of(times.snap([(lon, lat)]))[0]
    from noriai_engine.model import Spot

    rng = np.random.default_rng(1)
    own = [int(network.state_arc[s.state]) for s in starts]
    for arc in own + rng.integers(0, network.arc_count, 120).tolist():
        for share in (0.1, 0.5, 0.9):
            spot = Spot(arc, int(share * network.arc_ms[arc]))
            ms = min((twin[s][spot] for s in starts if twin.reaches(s, spot)), default=1 << 30)
            other = int(network.opposite[arc])
            if other >= 0:
                back = Spot(other, int((1 - share) * network.arc_ms[other]))
                ms = min(ms, *(twin[s][back] for s in starts if twin.reaches(s, back)))
            if abs(ms - limit) > 50:
                along = 1.0 - share if network.arc_reversed[arc] else share
                street = int(network.arc_street[arc])
                assert any(s == street and a <= along <= b for s, a, b in found.pieces) is (ms <= limit)


def test_isochrone_command_writes_nested_areas(rural: Path, town: Region, tmp_path: Path) -> None:
    import shapely

    out = tmp_path / "reach.geojson"
    assert noriai("isochrone", rural, home(town, 3), "--minutes", "3", "6", "-o", out) == 0
    features = json.loads(out.read_text())["features"]
    areas = [shapely.from_geojson(json.dumps(f["geometry"])) for f in features]
    assert [f["properties"]["minutes"] for f in features] == [3, 6]
    assert areas[1].buffer(1e-4).contains(areas[0])
    assert areas[0].buffer(1e-4).contains(shapely.Point(*(float(v) for v in home(town, 3).split(","))))
    assert features[0]["properties"]["street_km"] < features[1]["properties"]["street_km"]


def test_arcs_are_the_graph_anyone_can_check_us_with(rural: Path, town: Region, tmp_path: Path) -> None:
    """networkx on the two CSV files alone gives the oracle's times."""
    import networkx as nx

    assert noriai("region", "arcs", rural, "-o", tmp_path / "arcs.csv") == 0
    graph: nx.DiGraph[int] = nx.DiGraph()
    for row in csv.DictReader((tmp_path / "arcs.csv").open()):
        graph.add_edge(int(row["from"]), int(row["to"]), ms=int(row["duration_ms"]))
    nodes = list(csv.DictReader((tmp_path / "nodes.csv").open()))
    times = TravelTimes(town.network)
    assert len(nodes) == times.graph.state_count
    expected = nx.single_source_dijkstra_path_length(graph, 5, weight="ms")
    found = times.metric.oracle.to_all(5)
    assert [int(found[int(n["id"])]) for n in nodes] == [expected[int(n["id"])] for n in nodes]


def test_warmup_runs_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert noriai("warmup") == 0
    assert "kernels:" in capsys.readouterr().out


def test_a_shuttle_region_keeps_to_its_list(tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract = shared / "osm" / "jp-tokyo-nerima.osm.gz"
    assert noriai("region", "build", "--osm", extract, "--profile", "shuttle", "-o", tmp_path / "r") == 2
    assert "approved ways only" in capsys.readouterr().err
    import osmium

    ways = [o.id for o in osmium.FileProcessor(str(extract)) if o.is_way() and o.tags.get("highway") == "residential"]
    (tmp_path / "ways.csv").write_text("way_id\n" + "\n".join(map(str, ways)) + "\n")
    assert (
        noriai(
            "region",
            "build",
            "--osm",
            extract,
            "--profile",
            "shuttle",
            "--ways",
            tmp_path / "ways.csv",
            "-o",
            tmp_path / "r",
        )
        == 0
    )
    region = open_region(tmp_path / "r")
    assert region.profile == "shuttle"
    assert set(region.network.street_way.tolist()) <= set(ways)


def test_outputs_that_cannot_be_written_are_told_before_anything_is_lost(
    rural: Path, town: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = home(town, 0), home(town, 60)
    (tmp_path / "p.csv").write_text(f"id,lon,lat\na,{here}\n")
    for target in (tmp_path / "none" / "x", tmp_path):
        for command in (
            ("route", rural, here, there), ("matrix", rural, tmp_path / "p.csv"), ("isochrone", rural, here),
            ("region", "arcs", rural),
        ):  # fmt: skip
            assert noriai(*command, "-o", target) == 2
            assert "remedy" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]


@pytest.mark.parametrize("minutes", ["-5", "0", "nan", "1e9"])
def test_limits_that_are_no_time_are_told(
    rural: Path, town: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str], minutes: str
) -> None:
    assert noriai("isochrone", rural, home(town, 0), "--minutes", minutes, "-o", tmp_path / "x.geojson") == 2
    assert "--minutes" in capsys.readouterr().err


def test_a_region_that_is_not_there_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert noriai("route", tmp_path / "nowhere", "1,2", "3,4") == 2
    assert capsys.readouterr().err.count("remedy") == 1


def test_step_free_stops_keep_off_rough_streets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A place on a gravel road is 0 m off the road for a walker, and a block away for a wheelchair."""
    drawn = Map(tmp_path).way(1, [12, 22, 32, 42], surface="gravel").way(2, [12, 11, 21, 31, 41, 42], surface="asphalt")
    drawn.extract()
    assert noriai("region", "build", "--osm", drawn.file, "--timezone", "UTC", "-o", tmp_path / "r") == 0
    (lon, lat), goal = drawn.place(22), ",".join(map(str, drawn.place(41)))
    off = {}
    for flag in ((), ("--step-free",)):
        capsys.readouterr()
        assert noriai("route", tmp_path / "r", f"{lon},{lat}", goal, "--json", *flag) == 0
        off[flag] = json.loads(capsys.readouterr().out)["metres_off_the_road"]
    assert off[()] == [0.0, 0.0]
    assert off["--step-free",] == [pytest.approx(111, abs=2), 0.0]
    (tmp_path / "p.csv").write_text(f"id,lon,lat\na,{lon},{lat}\n")
    to = tmp_path / "m.csv"
    assert noriai("matrix", tmp_path / "r", tmp_path / "p.csv", "-o", to, "--step-free", "--max-snap-m", "50") == 0
    assert to.read_text().splitlines()[1] == "a,a,,"
