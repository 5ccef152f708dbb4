"""Feeds written, merged and compared: what comes back is what went in."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from gtfs.feeds_made import DIALECTS, TOWN, plain, zipped

from noriai_engine.cli import main
from noriai_engine.model.errors import InputError
from noriai_gtfs import Feed, read_feed
from noriai_gtfs.feeds.diff import diff_feeds
from noriai_gtfs.feeds.merge import merge_feeds
from noriai_gtfs.feeds.write import write_feed
from noriai_gtfs.validation import validate


def town(path: Path, **change: str) -> Feed:
    return read_feed(zipped(path, plain(TOWN | {f"{name}.txt": text for name, text in change.items()})))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["gtfs", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("dialect", ["cp932_semicolons_padded", "utf_16", "upper_case_headers"])
def test_an_exported_feed_is_clean_and_says_the_same(tmp_path: Path, dialect: str) -> None:
    dirty = zipped(tmp_path / "dirty.zip", DIALECTS[dialect](TOWN))
    assert run("export", str(dirty), "-o", str(tmp_path / "clean.zip")) == 0
    clean = read_feed(tmp_path / "clean.zip")
    clean.read_all()
    assert len(clean.repairs) == 0
    assert diff_feeds(read_feed(dirty), clean).is_empty
    assert run("export", str(dirty), "-o", str(tmp_path / "again.zip")) == 0
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "clean.zip").read_bytes()


def test_merged_towns_keep_every_row_and_point_at_their_own(tmp_path: Path, shared: Path) -> None:
    """Niikawa: nine feeds of six municipalities; rows add up, no new canonical error appears."""
    paths = sorted((shared / "gtfs" / "jp-niikawa").glob("*.zip"))
    feeds = [read_feed(path) for path in paths]
    merged = merge_feeds(feeds, [path.stem for path in paths], join_m=60)
    for table in ("stops", "routes", "trips", "stop_times", "calendar", "shapes", "fare_rules"):
        assert len(merged.tables[table]) == sum(len(feed.get(table)) for feed in feeds), table
    write_feed(tmp_path / "niikawa.zip", merged.tables)
    day = date(2019, 6, 12)
    ours = validate(tmp_path / "niikawa.zip", day, "JP")
    apart = [validate(path, day, "JP") for path in paths]
    assert "foreign_key_violation" not in ours.totals
    assert set(ours.totals) - {"missing_recommended_field"} <= set().union(*(set(r.totals) for r in apart)) | {
        "big_gap_in_service", "missing_feed_contact_email_and_url",
    }  # fmt: skip
    assert "jp_legacy_translations" not in ours.own
    assert ours.own.get("jp_stop_name_without_kana", 0) == sum(r.own.get("jp_stop_name_without_kana", 0) for r in apart)


def test_merging_keeps_only_common_days(tmp_path: Path) -> None:
    later = TOWN["calendar.txt"].replace("20260401,20270331", "20270101,20271231")
    a, b = town(tmp_path / "a.zip"), town(tmp_path / "b.zip", calendar=later)
    merged = merge_feeds([a, b], ["a", "b"], dates="common")
    assert {(row["start_date"], row["end_date"]) for row in merged.tables["calendar"]} == {("20270101", "20270331")}
    far = TOWN["calendar.txt"].replace("20260401,20270331", "20290101,20291231")
    with pytest.raises(InputError, match="no day is common"):
        merge_feeds([a, town(tmp_path / "c.zip", calendar=far)], ["a", "c"], dates="common")
    with pytest.raises(InputError, match="distinct"):
        merge_feeds([a, b], ["a", "a"])
    paris = TOWN["agency.txt"].replace("Asia/Tokyo", "Europe/Paris")
    with pytest.raises(InputError, match="time zones"):
        merge_feeds([a, town(tmp_path / "d.zip", agency=paris)], ["a", "d"])


def test_a_single_agency_without_id_gets_one_when_merged(tmp_path: Path) -> None:
    agency = TOWN["agency.txt"].replace("\nM,", "\n,")
    routes = TOWN["routes.txt"].replace(",M,", ",,")
    merged = merge_feeds(
        [town(tmp_path / "a.zip", agency=agency, routes=routes), town(tmp_path / "b.zip")], ["a", "b"]
    )  # fmt: skip
    assert [row["agency_id"] for row in merged.tables["agency"]] == ["a:agency", "b:M"]
    assert {row["agency_id"] for row in merged.tables["routes"]} == {"a:agency", "b:M"}


def test_differences_are_named(tmp_path: Path) -> None:
    old = town(tmp_path / "a.zip")
    stops = TOWN["stops.txt"].replace("36.93,137.53", "36.931,137.53").replace("みどり駅", "みどり中央駅")
    trips = TOWN["trips.txt"] + "R1,W,T4,町立病院\n"
    times = TOWN["stop_times.txt"] + "T4,10:00:00,10:00:00,A,1\nT4,10:20:00,10:20:00,B,2\n"
    found = diff_feeds(old, town(tmp_path / "b.zip", stops=stops, trips=trips, stop_times=times))
    assert found.tables["stops"] == {
        "added": 0, "removed": 0, "changed": 2, "fields": {"stop_lat": 1, "stop_name": 1},
        "examples": {"added": [], "removed": [], "changed": ["A: stop_name", "D: stop_lat"]},
    }  # fmt: skip
    assert found.tables["trips"]["added"] == 1
    assert found.tables["stop_times"]["added"] == 2
    assert [(stop, round(metres)) for stop, _, metres in found.moved] == [("D", 111)]
    assert found.service == (("R1", "泊", "wednesday", 2, 3),)
    shuffled = TOWN["stops.txt"].splitlines()
    turned = "\n".join([shuffled[0], *reversed(shuffled[1:])]) + "\n"
    assert diff_feeds(old, town(tmp_path / "c.zip", stops=turned)).is_empty


def test_commands_say_what_they_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(zipped(tmp_path / f"{n}.zip", plain(TOWN))) for n in "ab")
    assert run("info", a, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"]["stop_times"] == 8
    assert facts["busiest_week"]["trips"] == [3, 3, 3, 3, 3, 0, 0]
    assert run("info", a) == 0
    assert "Mon 3" in capsys.readouterr().out
    assert run("diff", a, b) == 0
    assert run("merge", a, b, "--names", "x", "y", "-o", str(tmp_path / "m.zip")) == 0
    assert run("diff", a, str(tmp_path / "m.zip"), "--json") == 1
    assert run("merge", a, "-o", str(tmp_path / "m.zip")) == 2
    assert run("build", str(tmp_path / "m.zip"), "-o", str(tmp_path / "t")) == 0
    capsys.readouterr()
    assert (
        run(
            "journey",
            str(tmp_path / "t"),
            "みどりえき",
            "町立病院",
            "--date",
            "2026-04-06",
            "--time",
            "07:30",
            "--json",
        )
        == 0
    )
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["depart"], found["arrive"], found["legs"][0]["mode"]) == ("07:30:00", "08:20:00", "ride")
    assert run("journey", a, "みどり駅", "町立病院", "--date", "2026-04-06", "--time", "07:30", "--window", "120") == 0
    assert "09:00 - 09:20" in capsys.readouterr().out
    by = ("--date", "2026-04-06", "--arrive", "09:30")
    assert run("journey", a, "みどり駅", "町立病院", *by, "--json") == 0
    assert [j["depart"] for j in json.loads(capsys.readouterr().out)] == ["09:00:00"]
    assert run("journey", a, "みどり駅", "町立病院", "--date", "2026-04-06", "--arrive", "soon") == 2
    capsys.readouterr()
    assert run("journey", a, "137.5,36.9", "能登屋前", "--date", "2026-04-11") == 1
    assert run("journey", a, "みどり", "能登屋前", "--date", "2026-04-06") == 2
    assert "did you mean みどり駅" in capsys.readouterr().err
    assert run("journey", a, "みどり駅", "能登屋前", "--date", "2026-04-06", "--time", "8h") == 2
    assert run("journey", a, "-71.3,-29.9", "能登屋前", "--date", "2026-04-06") == 2
    assert "the nearest is" in capsys.readouterr().err
    assert run("journey", a, "0,0", "能登屋前", "--date", "2026-04-06") == 2
    assert run("info", str(tmp_path / "nothing.zip")) == 2
