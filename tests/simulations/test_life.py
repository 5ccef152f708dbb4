"""Days on which things happen that nobody planned: judged by the independent checker, which must also see through lies."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders import a_region_draft, a_scenario_text, a_street_town, somewhere
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lies import Rows, detail, first, rewrite

from noriai_engine.checker import check_run
from noriai_engine.checker.report import CheckReport
from noriai_engine.model import InputError
from noriai_engine.regions import write_region
from noriai_simulations.scenario import load_scenario
from noriai_simulations.simulate import simulate, write_result

FLOOD = '[[life.traffic]]\nbetween = ["08:00", "10:00"]\nclosed = true\narea = "flood.geojson"\ncause = "flood"\n'
LIVES = [
    "held_up = 0.3",
    "held_up = 1.0\nheld_up_every_min = 1",
    "fail = 0.3\ndriver_absent = 0.1\ndriver_late = 0.3",
    '[[life.traffic]]\nbetween = ["08:00", "10:00"]\nslower = 1.7\n'
    '[[life.traffic]]\nbetween = ["09:00", "11:30"]\nslower = 0.6\n',
    "held_up = 0.3\nfail = 0.3\ndriver_late = 0.3\n" + FLOOD,
    FLOOD,
]
WHIMS = "[demand]\ncancelled = 0.15\nno_show = 0.1\n[demand.synthetic]"
BUFFERS = "[service]\npickup_buffer_min = 3\nride_buffer = 0.2"


def a_living_day(folder: Path, seed: int, life: str) -> tuple[Path, CheckReport]:
    """A random town's day with some way of dispatching, and what the checker says."""
    rng = np.random.default_rng(seed)
    network = a_street_town(rng, int(rng.integers(4, 40)))
    text = a_scenario_text("town", requests=int(rng.integers(20, 120)), seed=seed)
    if seed % 2:
        text = text.replace("[demand.synthetic]", WHIMS)
    if seed % 3 == 0:
        text += '[day_plan]\nat = "06:40"\niterations = 100\n'
    if seed % 4 == 1:
        text += "[dispatch]\nimprove_every_min = 7\nimprove_iterations = 30\n"
    if seed % 8 == 3:
        text += "[dispatch]\nbatch_every_s = 120\nrebalance_every_s = 240\n"
    if seed % 5 < 2:
        text = text.replace("[service]", BUFFERS)
    if seed % 7 == 3:
        battery = (
            f"battery = {{ range_km = {rng.integers(15, 80)}, reserve_km = 5, charge_km_per_min = 0.2, start = 0.8 }}"
        )
        text = text.replace("\nshift = ", f"\n{battery}\nshift = ")
    middle, half = somewhere(network, rng), float(rng.choice([0.0005, 0.003, 0.01]))
    corners = [(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)]
    flood = {"type": "Polygon", "coordinates": [[[middle.lon + x, middle.lat + y] for x, y in corners]]}
    (folder / "flood.geojson").write_text(json.dumps(flood))
    write_region(a_region_draft(network), folder / "town")
    (folder / "day.toml").write_text(f"{text}\n[life]\n{life}")
    write_result(simulate(load_scenario(folder / "day.toml")), folder / "run")
    return folder / "run", check_run(folder / "run", folder / "town")


@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 1_000_000), life=st.sampled_from(LIVES))
def test_whatever_happens_the_checker_finds_every_promise_kept_or_told(seed: int, life: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        _, report = a_living_day(Path(name), seed, life)
    assert report.ok, f"seed {seed}: {report.breaches[:3]}"


@pytest.mark.long
@hypothesis_settings(max_examples=2_000)
@given(seed=st.integers(0, 100_000_000), life=st.sampled_from(LIVES))
def test_whatever_happens_on_two_thousand_checked_days(seed: int, life: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        _, report = a_living_day(Path(name), seed, life)
    assert report.ok, f"seed {seed}: {report.breaches[:3]}"


def test_every_kind_of_mishap_happens_and_all_are_counted(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run, report = a_living_day(folder, seed, LIVES[4])
        assert report.ok, report.breaches[:3]
        seen.update(event["kind"] for event in pq.read_table(run / "events.parquet").to_pylist())
        kpis = json.loads((run / "kpis.json").read_text())["kpis"]
        seen["late"] += kpis["late_mean"]["denominator"]["value"]
    wanted = ("vehicle_delayed", "vehicle_failed", "traffic_changed", "promise_broken", "booking_dropped", "late",
              "ride_interrupted", "booking_moved", "depot_moved")  # fmt: skip
    assert not [kind for kind in wanted if not seen[kind]], seen


def test_drives_take_as_much_longer_as_was_asked_for(rural: Path, tmp_path: Path) -> None:
    """The time lost in hold-ups is the share of the driving time, as far as chance allows."""
    text = a_scenario_text(rural, requests=400) + "[life]\nheld_up = 0.5\nheld_up_every_min = 2\n"
    (tmp_path / "day.toml").write_text(text)
    result = simulate(load_scenario(tmp_path / "day.toml"))
    driven = sum(leg.arrive - leg.depart for leg in result.legs)
    lost = sum(
        json.loads(e.details or "")["goes_on"] - e.time for e in result.events if e.kind == "vehicle_delayed"
    )  # fmt: skip
    count = sum(e.kind == "vehicle_delayed" for e in result.events)
    assert count > 200
    assert abs(lost / driven - 0.5) < 4 * 0.5 * (2 / count) ** 0.5


def test_buffers_keep_more_promises_when_drives_take_longer(rural: Path, tmp_path: Path) -> None:
    kept = []
    for buffers in ("[service]", BUFFERS):
        text = a_scenario_text(rural, requests=250).replace("[service]", buffers)
        (tmp_path / "day.toml").write_text(f"{text}\n[life]\nheld_up = 0.2\n")
        kpis = {kpi.key: kpi.value for kpi in simulate(load_scenario(tmp_path / "day.toml")).kpis}
        kept.append(kpis["promises_kept"] or 0)
    assert kept[1] > kept[0] + 5


def test_the_same_seed_lives_the_same_day(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        runs.append(a_living_day(tmp_path / name, 11, LIVES[4])[0])
    for file in ("events.parquet", "legs.parquet", "kpis.json", "run.json", "traffic.parquet"):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes(), file


@pytest.mark.parametrize(
    ("life", "said"),
    [
        ("held_up = -0.1", "held_up"),
        ("fail = 0.6\ndriver_late = 0.6", "together 1 at most"),
        ('[[life.traffic]]\nbetween = ["08:00", "10:00"]\nclosed = true', "name its GeoJSON file"),
        ('[[life.traffic]]\nbetween = ["08:00", "10:00"]', "give slower"),
        ('[[life.traffic]]\nbetween = ["10:00", "08:00"]\nslower = 2', "ends before it begins"),
        (FLOOD, "flood.geojson"),
    ],
)
def test_a_life_that_cannot_be_is_told(rural: Path, tmp_path: Path, life: str, said: str) -> None:
    (tmp_path / "day.toml").write_text(a_scenario_text(rural) + f"[life]\n{life}\n")
    with pytest.raises(InputError, match=said):
        load_scenario(tmp_path / "day.toml")


# --- one lie at a time --------------------------------------------------------------------------------------


def untold(rows: Rows) -> None:
    """A breach whose rider is never told."""
    late = next(r for r in rows if r["kind"] == "promise_broken" and r["request_id"] and "now" in r["details"])
    rows[:] = [r for r in rows if r["kind"] != "promise_broken" or r["request_id"] != late["request_id"]]
    for number, row in enumerate(rows):
        row["sequence"] = number


def no_cause(rows: Rows) -> None:
    detail(first(rows, "promise_broken"), cause="bad_luck")


def told_wrong(rows: Rows) -> None:
    broken = first(rows, "promise_broken")
    detail(broken, promised=json.loads(broken["details"])["promised"] - 1)


def half_a_battery(rows: Rows) -> None:
    for row in rows:
        row["battery"] = "[4000,1000,0,4000]"


def drives_on(rows: Rows) -> None:
    """A vehicle held up leaves before it may."""
    delayed = next(
        row for at, row in enumerate(rows) if row["kind"] == "vehicle_delayed"
        for later in rows[at:] if later["kind"] == "vehicle_departed" and later["vehicle_id"] == row["vehicle_id"]
    )  # fmt: skip
    detail(delayed, goes_on=json.loads(delayed["details"])["goes_on"] + 3_600_000)


def another_breakdown(rows: Rows) -> None:
    """A vehicle fails that was not to fail."""
    at = next(k for k, row in enumerate(rows) if row["kind"] == "vehicle_departed")
    failed = rows[at] | {"kind": "vehicle_failed", "details": '{"cause":"breakdown"}'}
    rows.insert(at, failed)
    for number, row in enumerate(rows):
        row["sequence"] = number


def sheltered(rows: Rows) -> None:
    """A vehicle ends elsewhere although there is a way to its depot."""
    moved = first(rows, "depot_moved")
    moved["state"], moved["offset_ms"] = 0, 0


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lived")
    run, report = a_living_day(folder, 4, LIVES[4])
    assert report.ok
    kinds = {event["kind"] for event in pq.read_table(run / "events.parquet").to_pylist()}
    assert {"promise_broken", "depot_moved", "vehicle_failed", "vehicle_delayed"} <= kinds
    return folder


@pytest.mark.parametrize(
    ("lie", "rule"),
    [
        (untold, "promise"), (no_cause, "breach"), (told_wrong, "breach"), (drives_on, "no teleport"),
        (another_breakdown, "incident"), (sheltered, "shift"),
    ],
)  # fmt: skip
def test_the_checker_sees_through(lived: Path, tmp_path: Path, lie: Callable[[Rows], None], rule: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(lived / "run", folder)
    rewrite(folder, "events", lie)
    assert rule in {breach.rule for breach in check_run(folder, lived / "town").breaches}


def test_a_battery_that_would_not_have_lasted_is_seen(lived: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(lived / "run", folder)
    rewrite(folder, "vehicles", half_a_battery)
    assert "charge" in {breach.rule for breach in check_run(folder, lived / "town").breaches}


def test_drives_are_judged_under_the_travel_times_in_force(tmp_path: Path) -> None:
    run, report = a_living_day(tmp_path, 4, LIVES[3])
    assert report.ok

    def slower(rows: Rows) -> None:
        for row in rows:
            row["ms"] *= 2

    rewrite(run, "traffic", slower)
    assert "travel time" in {breach.rule for breach in check_run(run, tmp_path / "town").breaches}
