"""Shared cars in GBFS 3.0: valid by the official schemas, true to the sheet, silent about who drives where."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gtfs.test_walking import noriai
from jsonschema import Draft7Validator, FormatChecker

from noriai_engine.model.errors import InputError
from noriai_gtfs.publish.gbfs import STATES, CarSharing, SharedCar, gbfs_documents, load_sharing, rental_id

NOW = 1_795_000_000
SYSTEM = """
id = "asahi-cars"
name = "あさひまちカー"
operator = "朝日町"
language = "ja"
timezone = "Asia/Tokyo"
email = "cars@example.com"
phone = "+81765831100"
url = "https://example.com/cars"
opening_hours = "Mo-Su 06:00-22:00"
secret = "a sentence nobody else knows"
cars = "cars.csv"
[[kinds]]
id = "kei"
name = "軽自動車"
seats = 4
drive = "electric"
range_m = 180000
[[kinds]]
id = "van"
name = "ワゴン"
seats = 8
drive = "hybrid"
range_m = 600000
automatic = false
[[stations]]
id = "tomari"
name = "泊駅"
lon = 137.55
lat = 36.95
spaces = 3
charging = true
[[stations]]
id = "hall"
name = "役場"
lon = 137.56
lat = 36.95
spaces = 1
closed = true
[[plans]]
id = "hourly"
name = "時間"
text = "最初の1時間500円、以後15分150円"
currency = "JPY"
price = 500
per_minutes = 15
rate = 150
km_rate = 16
"""
CARS = """car_id,kind,state,reported,station,lon,lat,rentals,range_km
c1,kei,free,2026-11-18T08:00:00+09:00,tomari,,,12,95.5
c2,kei,reserved,2026-11-18T08:05:00+09:00,tomari,,,3,
c3,van,under_way,2026-11-18T07:00:00+09:00,,,,7,
c4,van,out_of_service,2026-11-18T07:30:00+09:00,tomari,,,1,
c5,kei,free,2026-11-18T08:01:00+09:00,hall,,,0,
c6,kei,free,2026-11-18T08:02:00+09:00,,137.57,36.96,0,50
"""


def files_in(folder: Path, system: str = SYSTEM, cars: str = CARS) -> Path:
    (folder / "cars.csv").write_text(cars, encoding="utf-8")
    (folder / "shared.toml").write_text(system, encoding="utf-8")
    return folder / "shared.toml"


@cache
def schema_of(file: Path) -> Draft7Validator:
    return Draft7Validator(json.loads(file.read_text()), format_checker=FormatChecker())


def judged(shared: Path, documents: dict[str, Any]) -> None:
    folder = shared.parent / "standards" / "gbfs" / "v3.0"
    for name, document in documents.items():
        schema_of(folder / name).validate(document)
        assert json.loads(json.dumps(document)) == document


def test_every_file_is_valid(shared: Path, tmp_path: Path) -> None:
    documents = gbfs_documents(*load_sharing(files_in(tmp_path)), "https://example.com/gbfs/", NOW)
    judged(shared, documents)
    feeds = {feed["name"]: feed["url"] for feed in documents["gbfs.json"]["data"]["feeds"]}
    assert {f"{name}.json" for name in feeds} | {"gbfs.json"} == set(documents)
    assert feeds["vehicle_status"] == "https://example.com/gbfs/vehicle_status.json"
    alone = SYSTEM.replace(SYSTEM[SYSTEM.index("[[plans]]") :], "")
    judged(shared, gbfs_documents(*load_sharing(files_in(tmp_path, alone)), "https://example.com/gbfs", NOW))


def test_what_stands_where(tmp_path: Path) -> None:
    """Two free cars to be had, none at the closed station; the one under way is in no file."""
    sharing, cars = load_sharing(files_in(tmp_path))
    documents = gbfs_documents(sharing, cars, "https://example.com", NOW)
    tomari, hall = documents["station_status.json"]["data"]["stations"]
    assert (tomari["num_vehicles_available"], tomari["num_vehicles_disabled"], tomari["num_docks_available"]) == (
        1,
        1,
        0,
    )
    assert tomari["vehicle_types_available"] == [
        {"vehicle_type_id": "kei", "count": 1}, {"vehicle_type_id": "van", "count": 0}
    ]  # fmt: skip
    assert (hall["num_vehicles_available"], hall["is_renting"]) == (0, False)
    vehicles = documents["vehicle_status.json"]["data"]["vehicles"]
    assert len(vehicles) == 5
    assert [v["current_range_meters"] for v in vehicles] == [95_500, 180_000, 600_000, 180_000, 50_000]
    assert [v.get("station_id") for v in vehicles] == ["tomari", "tomari", "tomari", "hall", None]
    text = json.dumps(documents)
    assert not any(f'"{car.id}"' in text for car in cars)
    assert sharing.secret not in text


def test_a_car_has_a_new_name_after_every_rental() -> None:
    car = SharedCar("c1", "kei", "free", NOW, 4)
    again = SharedCar("c1", "kei", "free", NOW, 5)
    assert rental_id("a" * 16, car) != rental_id("a" * 16, again)
    assert rental_id("a" * 16, car) == rental_id("a" * 16, SharedCar("c1", "kei", "reserved", NOW + 9, 4))
    assert rental_id("a" * 16, car) != rental_id("b" * 16, car)


def test_a_thousand_sheets_are_valid(shared: Path, tmp_path: Path) -> None:
    sharing, _ = load_sharing(files_in(tmp_path))
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        cars = [
            SharedCar(
                f"c{k}", str(rng.choice(["kei", "van"])), STATES[int(rng.integers(4))],  # type: ignore[arg-type]
                NOW - int(rng.integers(10_000)), int(rng.integers(100)), at := str(rng.choice(["", "tomari", "hall"])),
                None if at else 137.5, None if at else 36.9, int(rng.integers(1_000, 9_000)) if rng.random() < 0.5 else None,
            )
            for k in range(int(rng.integers(0, 8)))
        ]  # fmt: skip
        documents = gbfs_documents(sharing, cars, "https://example.com", NOW + seed)
        judged(shared, documents)
        status = documents["station_status.json"]["data"]["stations"]
        open_here = sum(car.state == "free" and car.station == "tomari" for car in cars)
        assert [s["num_vehicles_available"] for s in status] == [open_here, 0]
        assert len({v["vehicle_id"] for v in documents["vehicle_status.json"]["data"]["vehicles"]}) == sum(
            car.state != "under_way" for car in cars
        )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [('language = "ja"', 'language = "Japanese"', "language"), ('timezone = "Asia/Tokyo"', 'timezone = "JST"', "Asia/Tokyo"),
     ('id = "van"', 'id = "kei"', "stands twice"), ("seats = 4", "seats = 0", r"kinds\.0\.seats"), ("range_m = 180000", "", "range_m"),
     ('currency = "JPY"', 'currency = "円"', "currency"), ('secret = "a sentence nobody else knows"', 'secret = "x"', "secret"),
     ("spaces = 3", 'spaces = 3\ncolour = "red"', "colour"), ('id = "asahi-cars"', "id = ", "no TOML"),
     ('cars = "cars.csv"', 'cars = "none.csv"', "none.csv")],
)  # fmt: skip
def test_a_file_that_is_wrong_is_told_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SYSTEM
    with pytest.raises(InputError, match=said):
        load_sharing(files_in(tmp_path, SYSTEM.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("c2,kei", "c1,kei", "row 3, column car_id"), ("c1,kei", "c1,bus", "column kind.*kei, van"),
     ("reserved", "lost", "column state.*under_way"), ("08:00:00+09:00,tomari", "08:00:00,tomari", "column reported"),
     (",hall,", ",pier,", "column station.*hall, tomari"), ("137.57", "", "row 7, column lon"), (",12,", ",-1,", "rentals")],
)  # fmt: skip
def test_a_row_that_is_wrong_is_told_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CARS
    with pytest.raises(InputError, match=f"(?s){said}"):
        load_sharing(files_in(tmp_path, cars=CARS.replace(old, new, 1)))


def test_cars_may_stand_anywhere(tmp_path: Path) -> None:
    floating = SYSTEM.replace('cars = "cars.csv"', 'cars = "cars.csv"\nreturns = "free_floating"')
    assert load_sharing(files_in(tmp_path, floating))[0].returns == "free_floating"
    with pytest.raises(ValueError, match="need"):
        CarSharing.model_validate(load_sharing(files_in(tmp_path))[0].model_dump() | {"stations": ()})


def test_the_command_writes_the_folder(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(files_in(tmp_path)), tmp_path / "gbfs"
    ask = ("gtfs", "cars", file, "--url", "https://example.com/gbfs", "-o", str(out))
    assert noriai(*ask, "--at", "2026-11-18T08:10:00+09:00") == 0
    assert "3 of 6 cars free" in capsys.readouterr().out
    documents = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in out.iterdir()}
    judged(shared, documents)
    assert documents["gbfs.json"]["last_updated"] == "2026-11-17T23:10:00+00:00"
    assert noriai(*ask) == 0
    assert noriai(*ask, "--at", "2026-11-18T08:10:00") == 2
    assert "offset" in capsys.readouterr().err
