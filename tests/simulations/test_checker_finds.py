"""The checker is worth something: each planted breach is found and named. One lie at a time, in a clean run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import a_scenario_text
from lies import Rows, detail, first, rewrite

from noriai_engine.checker import CheckError, check_run
from noriai_simulations.scenario import load_scenario
from noriai_simulations.simulate import simulate, write_result


def late_pickup(rows: Rows) -> None:
    booked = first(rows, "booking_accepted", 3)
    details = json.loads(booked["details"])
    detail(booked, pickup=[details["pickup"][0] - 10, details["planned"][0] - 1])


def longer_ride(rows: Rows) -> None:
    detail(first(rows, "booking_accepted"), max_ride_ms=1)


def shorter_walk(rows: Rows) -> None:
    booked = next(
        row for row in rows if row["kind"] == "booking_accepted" and max(json.loads(row["details"])["walk_ms"]) > 9_000
    )
    detail(booked, walk_ms=[ms // 2 for ms in json.loads(booked["details"])["walk_ms"]])


def wrong_direct(rows: Rows) -> None:
    detail(first(rows, "booking_accepted"), direct_ms=1)


def other_street(rows: Rows) -> None:
    detail(first(rows, "booking_accepted"), origin=[0, 0])


def along_the_street(rows: Rows) -> None:
    booked = first(rows, "booking_accepted")
    state, offset = json.loads(booked["details"])["origin"]
    detail(booked, origin=[state, offset + 3_000])


def lost_rider(rows: Rows) -> None:
    rows.remove(first(rows, "dropped_off"))


def swapped_vehicle(rows: Rows) -> None:
    event = first(rows, "pickup_started")
    event["vehicle_id"] = next(r["vehicle_id"] for r in rows if r["vehicle_id"] not in (None, event["vehicle_id"]))


def moved_from_nowhere(rows: Rows) -> None:
    """A rider moves from a vehicle that never had the booking."""
    booked = first(rows, "booking_accepted")
    other = next(r["vehicle_id"] for r in rows if r["vehicle_id"] not in (None, booked["vehicle_id"]))
    rows.insert(rows.index(booked) + 1, booked | {"kind": "booking_moved", "details": json.dumps({"from": other})})
    for number, row in enumerate(rows):
        row["sequence"] = number


def time_travel(rows: Rows) -> None:
    rows[10]["time_ms"] += 10**9


def short_boarding(rows: Rows) -> None:
    rows[rows.index(first(rows, "picked_up"))]["time_ms"] -= 1


def no_break(rows: Rows) -> None:
    for kind in ("break_started", "break_ended"):
        rows.remove(first(rows, kind))


def moved_lock(rows: Rows) -> None:
    """A plan change that drops the stop the vehicle is just about to make."""
    for at, row in enumerate(rows):
        if row["kind"] == "plan_changed":
            vehicle, time = row["vehicle_id"], row["time_ms"]
            previous = [r for r in rows[:at] if r["kind"] == "plan_changed" and r["vehicle_id"] == vehicle]
            if previous:
                plan = json.loads(previous[-1]["details"])["activities"]
                if any(a[0] == "pickup" and time <= a[3] <= time + 60_000 for a in plan):
                    activities = json.loads(row["details"])["activities"]
                    detail(row, activities=[[*a[:3], a[3] + 1] for a in activities])
                    return
    raise AssertionError("no plan changed just before a stop")


def false_reason(rows: Rows) -> None:
    first(rows, "request_refused")["reason"] = "place.off_network"


def teleport(rows: Rows) -> None:
    leg = next(row for row in rows if len(row["states"].split()) > 3)
    states = leg["states"].split()
    leg["states"] = " ".join([states[0], *states[3:]])


def slow_leg(rows: Rows) -> None:
    rows[5]["arrive_ms"] += 1


def longer_leg(rows: Rows) -> None:
    rows[5]["distance_mm"] += 1


def stowaway(rows: Rows) -> None:
    rows[5]["seats"] += 1


def lost_leg(rows: Rows) -> None:
    del rows[5]


def tiny_vehicle(rows: Rows) -> None:
    for row in rows:
        row["layouts"] = "[[1,0,0]]"


def short_shift(rows: Rows) -> None:
    rows[0]["shift_end_ms"] -= 3_600_000


def other_depot(rows: Rows) -> None:
    rows[0]["depot_lon"] += 0.05


def stricter_rider(rows: Rows) -> None:
    for row in rows:
        row["operator_id"] = "taxi"


def earlier_wish(rows: Rows) -> None:
    for row in rows:
        if row["earliest_pickup_ms"] is not None:
            row["earliest_pickup_ms"] += 1


LIES: list[tuple[str, Callable[[Rows], None], str]] = [
    ("events", late_pickup, "promise"),
    ("events", longer_ride, "ride limit"),
    ("events", wrong_direct, "travel time"),
    ("events", other_street, "place"),
    ("events", along_the_street, "place"),
    ("events", lost_rider, "partition"),
    ("events", swapped_vehicle, "partition"),
    ("events", moved_from_nowhere, "move"),
    ("events", time_travel, "log"),
    ("events", short_boarding, "boarding"),
    ("events", no_break, "break"),
    ("events", moved_lock, "lock"),
    ("events", false_reason, "reason"),
    ("legs", teleport, "no teleport"),
    ("legs", slow_leg, "travel time"),
    ("legs", longer_leg, "distance"),
    ("legs", stowaway, "capacity"),
    ("legs", lost_leg, "no teleport"),
    ("vehicles", tiny_vehicle, "capacity"),
    ("vehicles", short_shift, "shift"),
    ("vehicles", other_depot, "shift"),
    ("requests", stricter_rider, "operator"),
    ("requests", earlier_wish, "window"),
]


@pytest.fixture
def copy(rural_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rural_run, tmp_path / "run"))


def test_the_run_itself_is_clean(rural_run: Path, rural: Path) -> None:
    report = check_run(rural_run, rural)
    assert report.ok, report.breaches[:3]
    assert len(report.judged) >= 20


@pytest.mark.parametrize(("table", "lie", "rule"), LIES, ids=[lie.__name__ for _, lie, _ in LIES])
def test_planted_breach_is_found_and_named(
    copy: Path, rural: Path, table: str, lie: Callable[[Rows], None], rule: str
) -> None:
    rewrite(copy, table, lie)
    assert rule in {breach.rule for breach in check_run(copy, rural).breaches}


@pytest.mark.parametrize("name", ["served", "wait_mean", "vehicle_km", "occupancy", "service_rate_wheelchair"])
def test_false_figure_is_found(copy: Path, rural: Path, name: str) -> None:
    document = json.loads((copy / "kpis.json").read_text())
    document["kpis"][name]["value"] += 1
    (copy / "kpis.json").write_text(json.dumps(document))
    assert ("kpi", name) in {(b.rule, b.who) for b in check_run(copy, rural).breaches}


def test_a_wider_service_in_run_json_is_not_believed_blindly(copy: Path, rural: Path) -> None:
    document = json.loads((copy / "run.json").read_text())
    document["service"]["max_wait_ms"] //= 4
    (copy / "run.json").write_text(json.dumps(document))
    assert "window" in {b.rule for b in check_run(copy, rural).breaches}


def test_another_region_is_refused(copy: Path, tmp_path: Path) -> None:
    from noriai_engine.regions import write_region
    from noriai_engine.world.rural import rural_region

    write_region(rural_region(8), tmp_path / "other")
    with pytest.raises(CheckError, match="not the region"):
        check_run(copy, tmp_path / "other")


def test_no_run_folder_at_all(tmp_path: Path, rural: Path) -> None:
    with pytest.raises(CheckError, match="run folder"):
        check_run(tmp_path, rural)


@pytest.mark.parametrize("table", ["events", "legs", "requests", "vehicles"])
def test_damaged_or_foreign_files_are_told_not_crashed_on(copy: Path, rural: Path, table: str) -> None:
    whole = (copy / f"{table}.parquet").read_bytes()
    (copy / f"{table}.parquet").write_bytes(whole[:200] + whole[-8:])
    with pytest.raises(CheckError, match="damaged"):
        check_run(copy, rural)
    pq.write_table(pa.table({"colour": ["red"]}), copy / f"{table}.parquet")
    with pytest.raises(CheckError, match="form of"):
        check_run(copy, rural)


def clean_run(folder: Path, rural: Path, requests: int, service: str) -> Path:
    """A run of a service that the checker finds clean."""
    text = a_scenario_text(rural, requests=requests).replace("[service]", f"[service]\n{service}")
    (folder / "day.toml").write_text(text, encoding="utf-8")
    write_result(simulate(load_scenario(folder / "day.toml")), folder / "run")
    report = check_run(folder / "run", rural)
    assert report.ok, report.breaches[:3]
    return folder / "run"


@pytest.fixture(scope="module")
def met_run(rural: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day on which riders walk to virtual stops where that is better."""
    meet = 'mode = "meet"\nstops = "virtual"\nvirtual_stop_m = 200\nmax_walk_m = 600\nwalk_weight = 0.1'
    return clean_run(tmp_path_factory.mktemp("met"), rural, 120, meet)


def no_walker(rows: Rows) -> None:
    for row in rows:
        row["longest_walk_m"] = 5


@pytest.mark.parametrize(("table", "lie"), [("events", shorter_walk), ("requests", no_walker)])
def test_a_false_walk_is_found(
    met_run: Path, rural: Path, tmp_path: Path, table: str, lie: Callable[[Rows], None]
) -> None:
    copy = Path(shutil.copytree(met_run, tmp_path / "run"))
    rewrite(copy, table, lie)
    assert "place" in {breach.rule for breach in check_run(copy, rural).breaches}


@pytest.fixture(scope="module")
def stop_run(rural: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day from stop to stop: some riders live too far away."""
    stops = 'mode = "stops"\nstops = "virtual"\nvirtual_stop_m = 500\nmax_walk_m = 400'
    return clean_run(tmp_path_factory.mktemp("stops"), rural, 150, stops)


def too_far_after_all(rows: Rows) -> None:
    """Another reason stood against somebody whose stop is too far away."""
    next(row for row in rows if row["reason"] == "stops.too_far")["reason"] = "fleet.no_room"


def called_too_far(rows: Rows) -> None:
    next(row for row in rows if (row["reason"] or "").startswith("fleet."))["reason"] = "stops.too_far"


def everybody_walks_far(rows: Rows) -> None:
    """Nobody was too far away then, and no walk too long."""
    for row in rows:
        row["longest_walk_m"] = 5_000


@pytest.mark.parametrize(
    ("table", "lie", "rule"),
    [
        ("events", shorter_walk, "place"), ("requests", no_walker, "place"), ("events", too_far_after_all, "reason"),
        ("events", called_too_far, "reason"), ("requests", everybody_walks_far, "reason"),
    ],
)  # fmt: skip
def test_a_false_stop_is_found(
    stop_run: Path, rural: Path, tmp_path: Path, table: str, lie: Callable[[Rows], None], rule: str
) -> None:
    copy = Path(shutil.copytree(stop_run, tmp_path / "run"))
    rewrite(copy, table, lie)
    assert rule in {breach.rule for breach in check_run(copy, rural).breaches}


def test_a_stop_that_is_not_the_nearest_is_found(stop_run: Path, rural: Path, tmp_path: Path) -> None:
    """Each walk is told as it is, but a stop was left out: now it stands in the list of stops."""
    copy = Path(shutil.copytree(stop_run, tmp_path / "run"))
    events = pq.read_table(copy / "events.parquet").to_pylist()
    accepted = next(
        row for row in events
        if row["kind"] == "booking_accepted" and json.loads(row["details"])["walk_ms"][0] > 60_000
    )  # fmt: skip
    requests = {row["request_id"]: row for row in pq.read_table(copy / "requests.parquet").to_pylist()}
    home = requests[accepted["request_id"]]

    def one_more(rows: Rows) -> None:
        rows.append({**rows[0], "lon": home["origin_lon"], "lat": home["origin_lat"]})

    rewrite(copy, "stops", one_more)
    assert "place" in {breach.rule for breach in check_run(copy, rural).breaches}
