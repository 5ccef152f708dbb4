"""The commands as a user meets them: exit status, what is printed, and nothing written after bad input."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from builders import a_scenario_text, with_trips

from noriai_engine.cli import main


def noriai(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


OSM = """<?xml version="1.0"?><osm version="0.6">
{nodes}
<way id="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><tag k="highway" v="residential"/><tag k="name" v="Main"/></way>
</osm>"""


def an_osm(path: Path, lon: float = 139.7, lat: float = 35.7) -> Path:
    nodes = "\n".join(f'<node id="{k + 1}" lat="{lat}" lon="{lon + k / 1000}"/>' for k in range(3))
    path.write_text(OSM.format(nodes=nodes), encoding="utf-8")
    return path


def test_help_of_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["check"], ["demo"], ["simulate"], ["scenario", "init"], ["scenario", "validate"],
                  ["plan"], ["solve"], ["region", "build"], ["region", "info"], ["region", "rural"]):  # fmt: skip
        assert noriai(*words, "--help") == 0
        assert "Example: noriai" in capsys.readouterr().out


def test_rural_region_to_checked_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path a newcomer takes: make a region, start a scenario, validate, simulate, check."""
    monkeypatch.chdir(tmp_path)
    assert noriai("region", "rural", "-o", "valley", "--seed", 11) == 0
    assert noriai("region", "info", "valley") == 0
    assert "6,000" in capsys.readouterr().out
    assert noriai("scenario", "init", "--region", "valley", "-o", "day.toml") == 0
    assert noriai("scenario", "validate", "day.toml", "--json") == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (counts["requests"], counts["vehicles"]) == (200, 7)
    assert noriai("simulate", "day.toml", "-o", "out", "--language", "ja") == 0
    assert "report: out/report.html" in capsys.readouterr().out
    assert noriai("check", "out") == 0
    assert "clean" in capsys.readouterr().out
    assert noriai("check", "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_json_prints_the_kpis_and_nothing_else(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "day.toml").write_text(a_scenario_text(rural, requests=5))
    assert noriai("simulate", tmp_path / "day.toml", "-o", tmp_path / "out", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out" / "kpis.json").read_text())
    assert set(printed["kpis"]["service_rate"]) == {"value", "unit", "denominator", "definition"}


def test_check_names_the_breach_and_exits_1(
    rural_run: Path, rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    run = Path(shutil.copytree(rural_run, tmp_path / "run"))
    document = json.loads((run / "kpis.json").read_text())
    document["kpis"]["served"]["denominator"]["value"] += 1
    (run / "kpis.json").write_text(json.dumps(document))
    assert noriai("check", run, "--region", rural) == 1
    assert "[kpi]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seats = 4", "seats = -4"), "layouts.0.seats"),
        (("seats = 3, luggage = 1", "luggage = 1"), "can carry nobody"),
        (("max_wait_min = 20", "max_wait_min = -5"), "service.max_wait_min"),
        (("max_wait_min = 20", "max_weight_min = 20"), "max_weight_min"),
        (('shift = ["08:00", "16:00"]', 'shift = ["16:00", "08:00"]'), "ends"),
        (('hours = ["07:00", "19:00"]', 'hours = ["19:00", "07:00"]'), "closes before it opens"),
        (('shift = ["08:00", "16:00"]', 'shift = ["8 am", "16:00"]'), "not a service time"),
        (("2026-11-24", "2026-13-24"), "TOML"),
        (('region = "', 'region = "nowhere'), "noriai region build"),
        (('operator = "vol"', 'operator = "nobody"'), "nobody"),
        (("requests = 60", "requests = 0"), "demand.synthetic.requests"),
        (("detour_factor = 1.6", "detour_factor = 0.5"), "detour_factor"),
        (('between = ["11:00", "14:00"]', 'between = ["18:00", "18:59"]'), "outside the shift"),
        (("[demand.synthetic]", '[demand]\nfile = "gone.csv"\n[demand.synthetic]'), "either file"),
        (('kind = "volunteer"\n[[fleet]]', 'kind = "volunteer"\n[[flet]]'), "flet"),
        (('shift = ["08:00", "16:00"]', 'shift = ["08:00", "16:00"]\ndepot = [0.0, 0.0]'), "nearest drivable road"),
        (("typical_km = 6", 'typical_km = 6\nprofile = "lunar"'), "profile"),
    ],
)  # fmt: skip
def test_bad_scenario_is_refused_with_its_place(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], message: str
) -> None:
    text = a_scenario_text(rural)
    assert change[0] in text
    (tmp_path / "day.toml").write_text(text.replace(change[0], change[1]))
    assert noriai("simulate", tmp_path / "day.toml", "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "remedy" in error
    assert [p.name for p in tmp_path.iterdir()] == ["day.toml"]


HEADER = (
    "request_id,placed_at,earliest_pickup,latest_arrival,origin_lon,origin_lat,destination_lon,destination_lat,seats"
)
GOOD = "a,,08:00,,137.6,36.9,137.65,36.87,1"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,,08:00,,137.6,36.9,137.65,36.87,-1"], "row 2, column seats"),
        (["a,,08:00,,137.6,36.9,137.65,36.87,0"], "for nobody"),
        (["a,,25:99,,137.6,36.9,137.65,36.87,1"], "row 2, column earliest_pickup"),
        (["a,,2026-11-24T08:00:00-03:00,,137.6,36.9,137.65,36.87,1"], "UTC offset"),
        (["a,,2026-11-20 08:00,,137.6,36.9,137.65,36.87,1"], "outside service day"),
        (["a,,,,137.6,36.9,137.65,36.87,1"], "neither departure nor arrival"),
        (["a,,08:00,09:00,137.6,36.9,137.65,36.87,1"], "both of departure and arrival"),
        (["a,09:00,08:00,,137.6,36.9,137.65,36.87,1"], "after the wished time"),
        (["a,,08:00,,36.9,137.6,137.65,36.87,1"], "swapped"),
        (["a,,08:00,,east,36.9,137.65,36.87,1"], "not a number"),
        ([GOOD, GOOD], "also in row 2"),
        ([], "no request"),
        (["a,,08:00,,137.6,36.9,137.65,36.87,1,9"], "10 cells"),
        (['a,,"08:00,,137.6,36.9,137.65,36.87,1'], "CSV"),
    ],
)  # fmt: skip
def test_bad_trip_is_refused_with_file_row_and_column(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], message: str
) -> None:
    (tmp_path / "trips.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    text = with_trips(a_scenario_text(rural))
    (tmp_path / "day.toml").write_text(text)
    assert noriai("scenario", "validate", tmp_path / "day.toml") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "trips.csv" in error


def test_negative_window_is_refused(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trips.csv").write_text(f"{HEADER},pickup_from,pickup_until\n{GOOD},08:30,08:10\n")
    text = with_trips(a_scenario_text(rural))
    (tmp_path / "day.toml").write_text(text)
    assert noriai("scenario", "validate", tmp_path / "day.toml") == 2
    assert "row 2, column pickup_from: time window ends 1200000 ms before it starts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("lon,lat\n137.6,36.9\n138.9,37.9\n", "from the nearest drivable road"),
        ("lon,lat\n36.9,137.6\n", "swapped"),
        ("lon,lat,colour\n137.6,36.9,red\n", "column colour"),
    ],
)
def test_a_stop_in_the_sea_is_refused(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, message: str
) -> None:
    (tmp_path / "stops.csv").write_text(table)
    extra = '[service]\nmode = "stops"\nstops = "stops.csv"\nmax_snap_m = 5000'
    (tmp_path / "day.toml").write_text(a_scenario_text(rural).replace("[service]", extra))
    assert noriai("simulate", tmp_path / "day.toml", "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "stops.csv, row" in error
    assert not (tmp_path / "out").exists()


def test_a_terminated_run_leaves_nothing(rural: Path, tmp_path: Path) -> None:
    """SIGTERM while it simulates: exit 130 and an untouched folder."""
    import signal
    import subprocess
    import sys

    (tmp_path / "day.toml").write_text(a_scenario_text(rural, requests=3000))
    command = [sys.executable, "-c", "from noriai_engine.cli import main; main()", "simulate", "day.toml", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("requests answered"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "nothing was written" in rest
    assert [p.name for p in tmp_path.iterdir()] == ["day.toml"]


def test_unknown_column_is_named(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trips.csv").write_text(f"{HEADER},colour\n{GOOD},red\n")
    text = with_trips(a_scenario_text(rural))
    (tmp_path / "day.toml").write_text(text)
    assert noriai("scenario", "validate", tmp_path / "day.toml") == 2
    assert "column colour: is not known" in capsys.readouterr().err


def test_trips_and_vehicles_from_csv_excel_and_parquet_are_the_same_day(rural: Path, tmp_path: Path) -> None:
    import openpyxl
    import pyarrow as pa
    import pyarrow.parquet as pq

    trips = [
        HEADER.split(","),
        *([f"t{k}", "", f"{8 + k % 9:02d}:{k:02d}", "", "137.6", "36.9", "137.65", "36.87", "1"] for k in range(12)),
    ]
    fleet = [
        ["vehicle_id", "lon", "lat", "seats", "shift_start", "shift_end"],
        *([f"c{k}", "137.6", "36.9", "4", "07:00", "19:00"] for k in range(2)),
    ]
    for name, rows in (("trips", trips), ("fleet", fleet)):
        (tmp_path / f"{name}.csv").write_text("\n".join(",".join(row) for row in rows))
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([float(c) if re.fullmatch(r"[\d.]+", c) else c or None for c in row])
        book.save(tmp_path / f"{name}.xlsx")
        pq.write_table(
            pa.table({c: [r[k] for r in rows[1:]] for k, c in enumerate(rows[0])}), tmp_path / f"{name}.parquet"
        )
    results = []
    for kind in ("csv", "xlsx", "parquet"):
        text = with_trips(a_scenario_text(rural), f'file = "trips.{kind}"')
        text = re.sub(
            r"\[\[fleet\]\]\noperator = \"taxi\".*?(?=\[\[fleet)",
            f'[[fleet]]\noperator = "taxi"\nfile = "fleet.{kind}"\n',
            text,
            flags=re.S,
        )
        (tmp_path / f"{kind}.toml").write_text(text)
        assert noriai("simulate", tmp_path / f"{kind}.toml", "-o", tmp_path / kind, "--json") == 0
        results.append((tmp_path / kind / "events.parquet").read_bytes())
    assert results[0] == results[1] == results[2]


def test_output_that_is_not_ours_is_never_touched(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "day.toml").write_text(a_scenario_text(rural, requests=3))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    assert noriai("simulate", tmp_path / "day.toml", "-o", tmp_path / "photos") == 2
    assert "not an earlier result" in capsys.readouterr().err
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "meow"


def a_corrupt_pbf(path: Path) -> list[object]:
    (path / "bad.osm.pbf").write_bytes(b"\x00\x00\x00\x0d\x0a\x09OSMHeader" + b"\xff" * 200)
    return ["--osm", path / "bad.osm.pbf"]


def a_text_as_pbf(path: Path) -> list[object]:
    (path / "bad.osm.pbf").write_text("this is no map")
    return ["--osm", path / "bad.osm.pbf"]


def a_cut_gz(path: Path) -> list[object]:
    whole = gzip.compress(an_osm(path / "x.osm").read_bytes())
    (path / "bad.osm.gz").write_bytes(whole[: len(whole) // 2])
    return ["--osm", path / "bad.osm.gz"]


def a_map_without_roads(path: Path) -> list[object]:
    (path / "sea.osm").write_text('<osm version="0.6"><node id="1" lat="1" lon="1"/></osm>')
    return ["--osm", path / "sea.osm"]


def a_one_way_out(path: Path) -> list[object]:
    file = an_osm(path / "x.osm")
    file.write_text(file.read_text().replace('v="Main"/>', 'v="Main"/><tag k="oneway" v="yes"/>'))
    return ["--osm", file]


def a_boundary_elsewhere(path: Path) -> list[object]:
    (path / "b.geojson").write_text('{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}')
    return ["--osm", an_osm(path / "x.osm"), "--boundary", path / "b.geojson"]


def a_boundary_of_nothing(path: Path) -> list[object]:
    (path / "b.geojson").write_text('{"type":"Polygon","coordinates":[[[0,0],[0,0],[0,0],[0,0]]]}')
    return ["--osm", an_osm(path / "x.osm"), "--boundary", path / "b.geojson"]


def a_boundary_that_is_no_json(path: Path) -> list[object]:
    (path / "b.geojson").write_text("POLYGON")
    return ["--osm", an_osm(path / "x.osm"), "--boundary", path / "b.geojson"]


def a_feed_that_is_no_zip(path: Path) -> list[object]:
    (path / "f.zip").write_text("no zip")
    return ["--osm", an_osm(path / "x.osm"), "--gtfs", path / "f.zip"]


def a_negative_population(path: Path) -> list[object]:
    (path / "p.csv").write_text("lon,lat,population\n139.7,35.7,-5\n")
    return ["--osm", an_osm(path / "x.osm"), "--population", path / "p.csv"]


def an_empty_population(path: Path) -> list[object]:
    (path / "p.csv").write_text("lon,lat,population\n139.7,35.7,0\n")
    return ["--osm", an_osm(path / "x.osm"), "--population", path / "p.csv"]


def a_missing_file(path: Path) -> list[object]:
    return ["--osm", path / "gone.osm.pbf"]


def no_roads_at_all(path: Path) -> list[object]:
    return ["--country", "JP"]


def an_unknown_zone(path: Path) -> list[object]:
    return ["--osm", an_osm(path / "x.osm"), "--timezone", "Mars/Olympus"]


BAD_BUILDS = [
    (a_corrupt_pbf, "cannot be read as OSM"), (a_text_as_pbf, "cannot be read as OSM"), (a_cut_gz, "cannot be read"),
    (a_map_without_roads, "no road for the profile"), (a_one_way_out, "connected both ways"),
    (a_boundary_elsewhere, "inside the boundary"), (a_boundary_of_nothing, "no polygon"),
    (a_boundary_that_is_no_json, "GeoJSON"), (a_feed_that_is_no_zip, "not a readable zip"),
    (a_negative_population, "row 2, column population"), (an_empty_population, "nobody lives"),
    (a_missing_file, "no such file"), (no_roads_at_all, "one source"), (an_unknown_zone, "Mars/Olympus"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BAD_BUILDS, ids=[make.__name__ for make, _ in BAD_BUILDS])
def test_bad_material_builds_no_region(tmp_path: Path, capsys: pytest.CaptureFixture[str], make, message: str) -> None:  # type: ignore[no-untyped-def]
    assert noriai("region", "build", *make(tmp_path), "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "remedy" in error
    assert not list(tmp_path.glob("out*"))


def test_unknown_command_and_option_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert noriai("simulat") == 2
    assert noriai("check") == 2
    assert noriai("region", "info", "atlantis") == 2
    assert "coquimbo" in capsys.readouterr().err


def test_damaged_bundle_is_told(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = Path(shutil.copytree(rural, tmp_path / "copy"))
    (copy / "roads" / "arc_ms.npy").write_bytes(b"x")
    assert noriai("region", "info", copy) == 2
    assert "checksum" in capsys.readouterr().err
    toml = (rural / "region.toml").read_text()
    (copy / "region.toml").write_text(toml.replace('format_version = "2.0"', 'format_version = "9.0"'))
    assert noriai("region", "info", copy) == 2
    assert "format 9.0" in capsys.readouterr().err


VEHICLES = "vehicle_id,kind,lon,lat,seats,wheelchairs,luggage,shift_start,shift_end,break_start,break_end,break_min"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,van,137.6,36.9,4,1,2,07:00,19:00,11:00,13:00,30"], None),
        (["a,van,137.6,36.9,0,0,2,07:00,19:00,,,"], "row 2, column vehicle_id: vehicle a can carry nobody"),
        (["a,van,137.6,36.9,four,0,2,07:00,19:00,,,"], "row 2, column seats"),
        (["a,van,137.6,36.9,4,0,2,19:00,07:00,,,"], "shift ends"),
        (["a,van,137.6,36.9,4,0,2,07:00,19:00,18:45,18:50,30"], "outside the shift"),
        (["a,van,137.6,36.9,4,0,2,07:00,19:00,11:00,,30"], "column break_end"),
        (["a,van,137.6,36.9,4,0,2,07:00,19:00,,,", "a,van,137.6,36.9,4,0,2,07:00,19:00,,,"], "two vehicles have id a"),
        (["a,van,5.0,5.0,4,0,2,07:00,19:00,,,"], "nearest drivable road"),
    ],
)  # fmt: skip
def test_vehicles_from_a_file(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], message: str | None
) -> None:
    (tmp_path / "cars.csv").write_text("\n".join([VEHICLES, *rows]) + "\n")
    text = re.sub(
        r"\[\[fleet\]\].*", '[[fleet]]\noperator = "taxi"\nfile = "cars.csv"\n', a_scenario_text(rural), flags=re.S
    )
    (tmp_path / "day.toml").write_text(text)
    status = noriai("scenario", "validate", tmp_path / "day.toml")
    printed = capsys.readouterr()
    assert status == (0 if message is None else 2)
    assert (message or "1 van") in printed.out + printed.err


def test_column_mappings_that_name_nothing(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trips.csv").write_text(f"{HEADER}\n{GOOD}\n")
    for mapping, message in (('{ colour = "x" }', "names colour"), ('{ request_id = "gone" }', "names column 'gone'")):
        text = with_trips(a_scenario_text(rural), f'file = "trips.csv"\ncolumns = {mapping}')
        (tmp_path / "day.toml").write_text(text)
        assert noriai("scenario", "validate", tmp_path / "day.toml") == 2
        assert message in capsys.readouterr().err


def test_scenario_init_never_overwrites(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("precious")
    assert noriai("scenario", "init", "--region", rural, "-o", tmp_path / "mine.toml") == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "mine.toml").read_text() == "precious"
    assert noriai("scenario", "init", "--region", rural, "-o", tmp_path / "no" / "folder.toml") == 2


def test_population_polygons_are_spread_and_bad_ones_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    square = {
        "type": "Polygon",
        "coordinates": [[[139.69, 35.69], [139.71, 35.69], [139.71, 35.71], [139.69, 35.71], [139.69, 35.69]]],
    }

    def feature(properties: dict[str, object], geometry: object = square) -> dict[str, object]:
        return {"type": "Feature", "properties": properties, "geometry": geometry}

    file = tmp_path / "p.geojson"
    file.write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature({"JINKO": 90}), feature({"JINKO": 30})]})
    )
    osm = an_osm(tmp_path / "x.osm")
    assert noriai("region", "build", "--osm", osm, "--population", file, "-o", tmp_path / "r") == 0
    from noriai_engine.regions import open_region

    people = open_region(tmp_path / "r").population
    assert people is not None
    assert people.total == pytest.approx(120)
    capsys.readouterr()
    for features, message in (
        ([feature({"name": "x"})], "feature 1 has none of"),
        ([feature({"JINKO": 1}), feature({"JINKO": "many"})], "feature 2 cannot be used"),
        ([feature({"JINKO": 1}, {"type": "Blob"})], "feature 1 cannot be used"),
    ):
        file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        assert noriai("region", "build", "--osm", osm, "--population", file, "-o", tmp_path / "q") == 2
        assert message in capsys.readouterr().err
    file.write_text("{}")
    assert noriai("region", "build", "--osm", osm, "--population", file, "-o", tmp_path / "q") == 2


def test_check_finds_the_region_wherever_it_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region beside the scenario, results elsewhere, the checker called from a third place."""
    for name in ("plans", "results", "desk", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert noriai("region", "rural", "-o", tmp_path / "plans" / "valley", "--villages", 3) == 0
    (tmp_path / "plans" / "day.toml").write_text(a_scenario_text("valley", requests=10))
    assert noriai("simulate", tmp_path / "plans" / "day.toml", "-o", tmp_path / "results" / "run") == 0
    monkeypatch.chdir(tmp_path / "desk")
    assert noriai("check", tmp_path / "results" / "run") == 0
    (tmp_path / "plans" / "valley" / "region.toml").unlink()
    assert noriai("check", tmp_path / "results" / "run") == 2


def test_check_looks_past_a_folder_of_the_regions_name(
    rural: Path, rural_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another bundle called `valley` stands beside the run; the right one is in the working folder."""
    import shutil

    run = Path(shutil.copytree(rural_run, tmp_path / "runs" / "run"))
    document = json.loads((run / "run.json").read_text())
    document["region"]["reference"] = "valley"
    (run / "run.json").write_text(json.dumps(document))
    other = tmp_path / "runs" / "valley"
    other.mkdir()
    (other / "region.toml").write_text("format_version = '2.0'")
    shutil.copytree(rural, tmp_path / "here" / "valley")
    monkeypatch.chdir(tmp_path / "here")
    assert noriai("check", run) == 0
    assert "clean" in capsys.readouterr().out


def test_tomorrow_is_planned_as_a_whole(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everybody booked by then is either in one vehicle's plan or refused with a reason; twice the same bytes."""
    text = a_scenario_text(rural, requests=60) + '[day_plan]\nat = "06:30"\n'
    (tmp_path / "day.toml").write_text(text.replace("prebooked = 0.4", "prebooked = 0.9"))
    assert noriai("plan", tmp_path / "day.toml", "--iterations", 300, "-o", tmp_path / "a.json") == 0
    assert "requests" in capsys.readouterr().out
    assert noriai("plan", tmp_path / "day.toml", "--iterations", 300, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan == json.loads((tmp_path / "a.json").read_text())
    stops = [(stop["request_id"], stop["kind"]) for route in plan["routes"] for stop in route["stops"]]
    riders = [rider for rider, kind in stops if kind == "pickup"]
    assert sorted(riders) == sorted(rider for rider, kind in stops if kind == "dropoff")
    assert len(set(riders)) == len(riders) == plan["served"] > 10
    assert not set(riders) & {refused["request_id"] for refused in plan["refused"]}
    assert plan["served"] + len(plan["refused"]) == plan["requests"]


def test_a_plan_for_nobody_is_told(rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = a_scenario_text(rural, requests=5) + '[day_plan]\nat = "eve 00:10"\n'
    (tmp_path / "day.toml").write_text(text)
    assert noriai("plan", tmp_path / "day.toml", "-o", tmp_path / "a.json") == 2
    assert "is placed by" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
    (tmp_path / "day.toml").write_text(text.replace("eve 00:10", "eve 8pm"))
    assert noriai("plan", tmp_path / "day.toml") == 2
    assert "the evening before is eve HH:MM" in capsys.readouterr().err


def test_standing_orders_come_back_on_their_days(
    rural: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service day is Tuesday, 24 November 2026."""
    (tmp_path / "day.toml").write_text(with_trips(a_scenario_text(rural)), encoding="utf-8")
    from noriai_engine.regions import open_region

    people = open_region(rural).population
    assert people is not None
    ends = [(float(people.lon[k]), float(people.lat[k])) for k in (0, -1)]
    head = "request_id,origin_lon,origin_lat,destination_lon,destination_lat,earliest_pickup,weekdays,valid_from,"
    head += "valid_until,except_dates,return_of\n"
    place = ",".join(f"{lon},{lat}" for lon, lat in ends)
    rows = [
        f'dialysis,{place},09:00,"tue, thu",,,,',
        f"monday,{place},09:00,mon,,,,",
        f"later,{place},09:00,tue,2026-12-01,,,",
        f"over,{place},09:00,tue,,2026-11-23,,",
        f'holiday,{place},09:00,tue,,,"2026-11-17,2026-11-24",',
        f"home,{place},12:00,tue,,,,dialysis",
        f"once,{place},10:00,,,,,",
    ]
    (tmp_path / "trips.csv").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    assert noriai("scenario", "validate", tmp_path / "day.toml", "--json") == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["requests"], counts["prebooked"]) == (3, 2)
    for bad, message in (
        (f"x,{place},09:00,tues,,,,", "'tues' is no day of the week"),
        (f"x,{place},09:00,tue,next,,,", "'next' is no date"),
        (f"x,{place},09:00,tue,2026-12-01,2026-11-01,,", "is before valid_from"),
        (f"x,{place},09:00,,,,,nobody", "is no other request of that day"),
        (f"x,{place},09:00,mon,,,,", "only standing orders of other days"),
    ):
        (tmp_path / "trips.csv").write_text(head + bad + "\n", encoding="utf-8")
        assert noriai("scenario", "validate", tmp_path / "day.toml") == 2
        assert message in capsys.readouterr().err
