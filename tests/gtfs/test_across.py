"""Feeds of neighbours side by side: each rule finds what was planted, and nothing where nothing is wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from gtfs.feeds_made import TOWN, Tables, plain, zipped
from gtfs.test_validation import DAY
from gtfs.test_walking import noriai

from noriai_gtfs.validation import validate
from noriai_gtfs.validation.across import plain as plain_name

NEIGHBOUR: Tables = {
    "agency.txt": "agency_id,agency_name,agency_url,agency_timezone,agency_lang\nK,かわ市,https://example.com,Asia/Tokyo,ja\n",
    "stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nk1,能登屋前,36.9300,137.5301\nk2,かわ駅,36.95,137.55\n",
    "routes.txt": "route_id,agency_id,route_short_name,route_long_name,route_type\nK1,K,かわ,かわ線,3\n",
    "trips.txt": "route_id,service_id,trip_id,trip_headsign\nK1,W,k9,かわ駅\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
    "k9,25:30:00,25:30:00,k1,1\nk9,25:50:00,25:50:00,k2,2\n",
    "calendar.txt": TOWN["calendar.txt"],
}  # fmt: skip


def found(folder: Path, change: Tables | None = None, other: Tables | None = None) -> Counter[str]:
    mine = zipped(folder / "mine.zip", plain(TOWN | (change or {})))
    beside = zipped(folder / "beside.zip", plain(NEIGHBOUR | (other or {})))
    own = validate(mine, DAY, "JP", beside=[beside]).own
    return Counter({code: n for code, n in own.items() if code.startswith("across_")})


def test_neighbours_that_fit_together(tmp_path: Path) -> None:
    """T3 arrives at 25:05, the neighbour leaves at 25:30 from the other side of the street."""
    assert found(tmp_path) == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("agency.txt", "Asia/Tokyo", "Asia/Seoul", "across_time_zones"),
        ("agency.txt", "K,かわ市", "M,かわ市", "across_agency_names"),
        ("stops.txt", "k2,かわ駅", "A,かわ駅", "across_id_of_two_things"),
        ("stops.txt", "能登屋前", "港", "across_names_of_one_place"),
        ("stops.txt", "かわ駅,36.95,137.55", "みどり駅,36.905,137.50", "across_one_name_apart"),
        ("calendar.txt", "20260401,20270331", "20280401,20290331", "across_no_common_day"),
        ("stop_times.txt", "25:30:00", "24:30:00", "across_no_connection"),
    ],
)  # fmt: skip
def test_what_was_planted_is_found(tmp_path: Path, file: str, old: str, new: str, code: str) -> None:
    text = NEIGHBOUR[file]
    assert old in text
    other = {file: text.replace(old, new)}
    if file == "stops.txt" and new.startswith("A,"):
        other["stop_times.txt"] = NEIGHBOUR["stop_times.txt"].replace(",k2,", ",A,")
    assert found(tmp_path, other=other)[code] == 1


def test_a_trip_published_twice(tmp_path: Path) -> None:
    """The neighbour has T1 as its own, its poles across the street; on other days it would be another trip."""
    times = (
        NEIGHBOUR["stop_times.txt"] + "k7,08:00:00,08:00:00,a,1\nk7,08:10:00,08:11:00,c,2\nk7,08:20:00,08:20:00,b,3\n"
    )
    stops = (
        NEIGHBOUR["stops.txt"] + "a,みどり駅,36.9001,137.50\nb,町立病院,36.9101,137.51\nc,商店街 東口,36.9201,137.52\n"
    )
    other = {"stops.txt": stops, "stop_times.txt": times, "trips.txt": NEIGHBOUR["trips.txt"] + "K1,W,k7,病院\n"}
    assert found(tmp_path, other=other)["across_trip_of_both"] == 1
    sundays = NEIGHBOUR["calendar.txt"] + "S,0,0,0,0,0,0,1,20260401,20270331\n"
    other |= {"trips.txt": NEIGHBOUR["trips.txt"] + "K1,S,k7,病院\n", "calendar.txt": sundays}
    assert found(tmp_path, other=other)["across_trip_of_both"] == 0


def test_names_are_compared_as_people_read_them() -> None:
    assert plain_name("商店街, 東口") == plain_name("商店街，東口")
    assert plain_name("Ｋａｗａ １丁目") == plain_name("kawa1丁目")
    assert plain_name("港") != plain_name("湊")


@pytest.mark.parametrize(
    ("dates", "country", "expected"),
    [("", "JP", 1), ("service_id,date,exception_type\nW,20260429,2\n", "JP", 0), ("", None, 1), ("", "XX", 0)],
)
def test_weekday_services_on_holidays(tmp_path: Path, dates: str, country: str | None, expected: int) -> None:
    """W runs Mondays to Fridays from April 2026 to March 2027, so on Showa Day, 29 April, a Wednesday, too."""
    tables = TOWN | ({"calendar_dates.txt": dates} if dates else {})
    report = validate(zipped(tmp_path / "f.zip", plain(tables)), DAY, country)
    assert report.own.get("weekday_service_on_holidays", 0) == expected
    if expected:
        (sample,) = report.samples_of("weekday_service_on_holidays")
        assert "2026-04-29" in sample.value


def test_the_command_compares_neighbours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = zipped(tmp_path / "mine.zip", plain(TOWN))
    other = NEIGHBOUR | {"stops.txt": NEIGHBOUR["stops.txt"].replace("能登屋前", "港")}
    beside = zipped(tmp_path / "beside.zip", plain(other))
    noriai("gtfs", "validate", str(mine), "--date", "2026-11-21", "--beside", str(beside), "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["noriai"]["across_names_of_one_place"] == {"severity": "INFO", "total": 1}
    assert not any(code.startswith("across_") for code in document["notices"])
    assert noriai("gtfs", "validate", str(mine), "--beside", str(tmp_path / "none.zip")) == 2
    assert "none.zip" in capsys.readouterr().err
