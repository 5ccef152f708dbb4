"""Whole days in random towns: the independent checker finds no breach; the same seed gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from builders import a_region_draft, a_scenario_text, a_street_town, somewhere, with_footways, with_trips
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from noriai_engine.checker import check_run
from noriai_engine.model import InputError
from noriai_engine.regions import write_region
from noriai_engine.roads import RoadNetwork
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import streets_of_links
from noriai_engine.roads.profiles import PROFILES
from noriai_simulations.scenario import load_scenario
from noriai_simulations.simulate import simulate, write_result

SERVICES = [
    "",
    "max_wait_min = 3",
    "commit_horizon_s = 600",
    "detour_factor = 1.0\ndetour_extra_min = 0",
    "max_ride_min = 5",
    "boarding_s = 0\nalighting_s = 0\ncommit_horizon_s = 0",
    "wheelchair_boarding_s = 600",
    "give_up_min = 10",
    "min_lead_min = 45",
    'mode = "stops"\nstops = "stops.csv"\nmax_walk_m = 300',
    'mode = "meet"\nstops = "stops.csv"\nmax_walk_m = 600\nwalk_weight = 0.1',
    'mode = "meet"\nstops = "virtual"\nvirtual_stop_m = 150\nmax_walk_m = 400',
]

WAYS = ("at_once", "in_batch")
WHIMS = "cancelled = 0.15\nno_show = 0.1\n"


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def run_in(folder: Path, text: str, name: str = "run") -> Path:
    (folder / "day.toml").write_text(text, encoding="utf-8")
    write_result(simulate(load_scenario(folder / "day.toml")), folder / name)
    return folder / name


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 100_000), service=st.sampled_from(SERVICES))
def test_checker_is_clean_on_random_towns(seed: int, service: str) -> None:
    """Mixed fleets with breaks, folding seats, batteries, pre-booked and immediate riders, every kind of limit in turn."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 40)))
    if "meet" in service and seed % 3:
        network = with_footways(network, rng)
    text = a_scenario_text("town", requests=int(rng.integers(1, 120)), seed=seed)
    if seed % 2:
        text = text.replace("[demand.synthetic]", f"[demand]\n{WHIMS}[demand.synthetic]")
    if seed % 3 == 0:
        text += '[day_plan]\nat = "06:40"\niterations = 100\n'
    if seed % 4 == 1:
        text += "[dispatch]\nimprove_every_min = 7\nimprove_iterations = 30\n"
    if seed % 5 in (1, 3):
        kept = f"reserve_km = {rng.integers(0, 3)}, charge_km_per_min = {rng.choice([0.0, 0.2, 2.0])}"
        text = text.replace("[[fleet]]", f"[[fleet]]\nbattery = {{ range_km = {rng.integers(5, 60)}, {kept} }}")
    if seed % 8 == 3:
        text += f'[dispatch]\nbatch_every_s = 120\nrebalance_every_s = 240\nanswer = "{WAYS[seed // 8 % 2]}"\n'
    for line in service.splitlines():
        key = line.split(" = ")[0]
        text = "\n".join(old for old in text.splitlines() if not old.startswith(f"{key} = "))
    text = text.replace("[service]", f"[service]\n{service}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_region(a_region_draft(network), folder / "town")
        places = [somewhere(network, rng) for _ in range(4)]
        rows = "\n".join(f"{p.lon},{p.lat},Stop {k}" for k, p in enumerate(places))
        (folder / "stops.csv").write_text(f"lon,lat,name\n{rows}\n", encoding="utf-8")
        report = check_run(run_in(folder, text), folder / "town")
    assert report.ok, f"seed {seed}: {report.breaches[:3]}"
    assert report.judged["accounting"] == 3


def random_trips(network: RoadNetwork, rng: np.random.Generator, count: int) -> str:
    """Trips with everything a rider may state: own windows, extra times, parties, a wanted operator, far-off ends."""
    fields = "request_id,placed_at,earliest_pickup,latest_arrival,origin_lon,origin_lat,destination_lon,destination_lat"
    rows = [
        f"{fields},seats,wheelchairs,luggage,extra_boarding_s,extra_alighting_s,pickup_from,pickup_until,dropoff_from,dropoff_until,operator_id"
    ]

    def clock(minute: int) -> str:
        return f"{minute // 60:02d}:{minute % 60:02d}"

    for k in range(count):
        minute = int(rng.integers(6 * 60, 20 * 60))
        places = [somewhere(network, rng) for _ in range(2)]
        off = 0.01 if rng.random() < 0.05 else 0.0005
        ends = [f"{p.lon + rng.normal(0, off):.6f},{p.lat + rng.normal(0, off):.6f}" for p in places]
        by_arrival = rng.random() < 0.3
        placed = clock(max(0, minute - int(rng.integers(1, 300)))) if by_arrival or rng.random() < 0.5 else ""
        pickup = dropoff = ","
        if rng.random() < 0.3:
            first = minute - (60 if by_arrival else 0) + int(rng.integers(0, 20))
            pickup = f"{clock(first)},{clock(first + int(rng.integers(0, 40)))}"
        if rng.random() < 0.2:
            dropoff = f"{clock(minute - 10)},{clock(minute + int(rng.integers(0, 60)))}"
        wish = f",{clock(minute)}" if by_arrival else f"{clock(minute)},"
        party = f"{rng.integers(0, 4)},{int(rng.random() < 0.15)},{rng.integers(0, 3)}"
        party = "1,0,0" if party.startswith("0,0") else party
        extra = f"{rng.choice([0, 60])},{rng.choice([0, 90])}"
        rows.append(
            f"t{k},{placed},{wish},{','.join(ends)},{party},{extra},{pickup},{dropoff},{rng.choice(['', '', '', 'taxi', 'vol'])}"
        )
    return "\n".join(rows) + "\n"


def checked_trips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 40)))
    text = with_trips(a_scenario_text("town", seed=seed), 'file = "trips.csv"\n' + (WHIMS if seed % 2 else ""))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_region(a_region_draft(network), folder / "town")
        (folder / "trips.csv").write_text(random_trips(network, rng, int(rng.integers(1, 150))))
        report = check_run(run_in(folder, text), folder / "town")
    assert report.ok, f"seed {seed}: {report.breaches[:3]}"


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 100_000))
def test_checker_is_clean_on_random_trips(seed: int) -> None:
    checked_trips(seed)


@pytest.mark.long
@hypothesis_settings(max_examples=1_000)
@given(seed=st.integers(0, 10_000_000))
def test_checker_is_clean_on_a_thousand_random_days(seed: int) -> None:
    checked_trips(seed)


def test_same_seed_same_bytes_other_seed_other_bytes(rural: Path, tmp_path: Path) -> None:
    first = digests(run_in(tmp_path, a_scenario_text(rural), "a"))
    assert digests(run_in(tmp_path, a_scenario_text(rural), "b")) == first
    other = digests(run_in(tmp_path, a_scenario_text(rural, seed=4), "c"))
    assert other["events.parquet"] != first["events.parquet"]


def test_interrupted_run_leaves_nothing(rural: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noriai_simulations import simulate as module

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_run_sheets", interrupt)  # the last file to be written
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path, a_scenario_text(rural))
    assert [p.name for p in tmp_path.iterdir()] == ["day.toml"]


def test_earlier_result_survives_an_interrupted_rerun(
    rural: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(run_in(tmp_path, a_scenario_text(rural)))
    test_error = RuntimeError("cut")
    from noriai_simulations import simulate as module

    def cut(*_: object, **__: object) -> None:
        raise test_error

    monkeypatch.setattr(module, "write_report", cut)
    with pytest.raises(RuntimeError):
        run_in(tmp_path, a_scenario_text(rural, seed=9))
    assert digests(tmp_path / "run") == before


def test_a_day_past_midnight_and_through_the_clock_change(rural: Path, tmp_path: Path) -> None:
    """29 March 2026 in Europe: 02:00 does not exist; service times count from noon minus 12 h (GTFS)."""
    from noriai_engine.world.rural import RuralParams, rural_region

    write_region(rural_region(5, RuralParams(timezone="Europe/Berlin", lon=11.5, lat=50.0)), tmp_path / "town")
    text = (
        a_scenario_text("town")
        .replace("2026-11-24", "2026-03-29")
        .replace('["07:00", "19:00"]\nmax_wait', '["00:00", "27:00"]\nmax_wait')
    )
    text = text.replace('shift = ["07:00", "19:00"]', 'shift = ["00:30", "27:30"]').replace('profile = "everyday"', "")
    text = text.replace("requests = 60", 'requests = 60\nprofile = "flat"')
    folder = run_in(tmp_path, text)
    assert check_run(folder, tmp_path / "town").ok
    assert (
        json.loads((folder / "run.json").read_text())["day_start_ms"] == 1_774_735_200_000
    )  # 28 March 23:00 UTC - 1 h


def test_csv_stands_beside_parquet_with_the_same_rows(rural_run: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    for name in ("requests", "vehicles", "events", "legs"):
        parquet = pyarrow.parquet.read_table(rural_run / f"{name}.parquet")
        csv = pyarrow.csv.read_csv(rural_run / f"{name}.csv")
        assert (csv.num_rows, csv.column_names) == (parquet.num_rows, parquet.column_names)
    assert parquet["distance_mm"].to_pylist() == csv["distance_mm"].to_pylist()


def test_manhattan_trips_with_a_small_fleet_are_clean(tmp_path: Path) -> None:
    from noriai_simulations import shipped

    text = shipped.scenario_file("manhattan-taxi").read_text(encoding="utf-8")
    text = text.replace('file = "region:demand/trips.parquet"', 'file = "region:demand/trips.parquet"\nlimit = 600')
    folder = run_in(tmp_path, text.replace("limit = 1000", "limit = 40"))
    report = check_run(folder, shipped.region_folder("manhattan"))
    assert report.ok, report.breaches[:3]
    kpis = json.loads((folder / "kpis.json").read_text())
    assert kpis["kpis"]["requests"]["value"] == 600
    assert kpis["refusals"]["value"]["place.off_network"] > 0


def test_paths_of_many_nodes(tmp_path: Path) -> None:
    """Legs over more nodes than the first buffers hold, with riders asking while vehicles are on them."""
    places = [(137.0 + 0.001 * k, 36.0) for k in range(700)]
    links = [
        (a, b, 20_000, 90_000, "residential", "", [])
        for k in range(699) for a, b in ((k, k + 1), (k + 1, k))
    ]  # fmt: skip
    network, _ = assemble(streets_of_links(np.arange(700), places, links), PROFILES["taxi"], left_hand=True)
    write_region(a_region_draft(network), tmp_path / "town")
    text = a_scenario_text("town", requests=80).replace("max_ride_min = 60", "max_ride_min = 900")
    text = text.replace("max_wait_min = 20", "max_wait_min = 500")
    folder = run_in(tmp_path, text.replace("typical_km = 6", "typical_km = 100"))
    assert check_run(folder, tmp_path / "town").ok
    import pyarrow.parquet as pq

    assert max(len(way.split()) for way in pq.read_table(folder / "legs.parquet")["states"].to_pylist()) > 256


def test_service_area_refuses_what_lies_outside(rural: Path, tmp_path: Path) -> None:
    from noriai_engine.regions import open_region

    west, south, east, north = open_region(rural).network.bounds
    ring = [
        [west - 1, south - 1],
        [(west + east) / 2, south - 1],
        [(west + east) / 2, north + 1],
        [west - 1, north + 1],
    ]
    area = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    text = a_scenario_text(rural, requests=120).replace("[service]", '[service]\narea = "area.geojson"')
    folder = run_in(tmp_path, text)
    assert check_run(folder, rural).ok
    refused = json.loads((folder / "kpis.json").read_text())["refusals"]["value"]
    assert 0 < refused["area.outside"] < 120


def test_riders_walk_to_the_bus_stops_of_the_feed(tmp_path: Path) -> None:
    from noriai_simulations import shipped

    text = shipped.scenario_file("coquimbo-day").read_text(encoding="utf-8")
    text = text.replace("requests = 2400", "requests = 120").replace(
        "[service]", '[service]\nmode = "stops"\nstops = "gtfs"\nmax_walk_m = 1200'
    )
    folder = run_in(tmp_path, text)
    report = check_run(folder, shipped.region_folder("coquimbo"))
    assert report.ok, report.breaches[:3]
    kpis = json.loads((folder / "kpis.json").read_text())
    assert kpis["kpis"]["served"]["value"] > 10
    assert kpis["refusals"]["value"]["stops.too_far"] > 10


def test_the_demo_is_a_real_day_and_ends_with_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The main job: at least 2,000 requests and 40 vehicles of three kinds, checked, in one command."""
    from noriai_engine.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["demo", "-o", str(tmp_path / "demo")])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "clean" in printed
    assert printed.rstrip().endswith("demo/report.html")
    kpis = json.loads((tmp_path / "demo" / "kpis.json").read_text())["kpis"]
    assert kpis["requests"]["value"] >= 2_000
    assert kpis["service_rate"]["value"] > 80
    import pyarrow.parquet as pq

    vehicles = pq.read_table(tmp_path / "demo" / "vehicles.parquet").to_pylist()
    assert len(vehicles) >= 40
    assert len({v["operator_id"] for v in vehicles}) == 3


def test_riders_who_cancel_or_do_not_come_are_counted_and_free_their_vehicles(tmp_path: Path, rural: Path) -> None:
    plain = a_scenario_text(rural, requests=150)
    whims = plain.replace("[demand.synthetic]", f"[demand]\n{WHIMS}[demand.synthetic]")
    counts = {}
    for name, text in (("plain", plain), ("whims", whims)):
        folder = run_in(tmp_path, text, name)
        assert check_run(folder, rural).ok
        kpis = json.loads((folder / "kpis.json").read_text())["kpis"]
        counts[name] = [kpis[key]["value"] for key in ("served", "cancelled", "no_shows", "vehicle_km")]
    assert counts["plain"][1:3] == [0, 0]
    assert counts["whims"][1] > 8
    assert counts["whims"][2] > 4
    assert counts["whims"][3] < counts["plain"][3]


@pytest.mark.parametrize("line", ['answer = "in_batch"', "rebalance_every_s = 60"])
def test_what_only_batches_do_needs_batches(tmp_path: Path, line: str) -> None:
    (tmp_path / "day.toml").write_text(a_scenario_text("town") + f"[dispatch]\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match="give batch_every_s as well"):
        load_scenario(tmp_path / "day.toml")
