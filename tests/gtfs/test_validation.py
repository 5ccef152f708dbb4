"""Validation: the canonical rules equal published expectations, Japan's rules equal a second program's findings."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from gtfs.feeds_made import TOWN, plain, zipped

from noriai_engine.cli import main
from noriai_gtfs.feeds.repairs import CODES
from noriai_gtfs.validation import validate
from noriai_gtfs.validation.japan import is_corporate_number
from noriai_gtfs.validation.notices import canonical_codes, own_codes, sentence
from noriai_gtfs.validation.present import lines, write_page

DAY = date(2026, 11, 21)


def found(tmp_path: Path, country: str | None = None, **change: str | None) -> dict[str, int]:
    """Our own findings in the made town after a change."""
    tables = {k: v for k, v in (TOWN | {f"{k}.txt": v for k, v in change.items()}).items() if v is not None}
    return validate(zipped(tmp_path / "f.zip", plain(tables)), DAY, country).own


def test_conformance_feeds_give_the_expected_notices(shared: Path) -> None:
    """37 feeds, 57 codes: two independent programs agreed on code, severity and total."""
    folder = shared / "gtfs-conformance"
    expected = json.loads((folder / "expected.json").read_text())
    assert len(expected) == 37
    for name, entry in expected.items():
        document = validate(folder / name, date.fromisoformat(entry["date"]), entry["country"]).document()
        assert document["notices"] == entry["notices"], name


def test_the_catalogue_is_the_official_one(shared: Path) -> None:
    official = json.loads((shared.parent / "standards/gtfs/canonical-notice-schema-v8.0.1.json").read_text())
    assert {code: entry["severity"] for code, entry in canonical_codes().items()} == {
        code: entry["severityLevel"] for code, entry in official.items()
    }


def test_every_code_has_words_in_both_languages() -> None:
    for code in [*canonical_codes(), *own_codes()]:
        assert sentence(code, "en") != code
        assert any(letter > "\u3040" for letter in sentence(code, "ja"))
    assert all(set(words) == {"en", "ja"} for words in CODES.values())


def test_codes_agree_with_a_second_program_on_japan(shared: Path) -> None:
    """gtfs-analyzer's JPN rules on feeds with translations in the adopted form: the same rules fire."""
    import gtfs_analyzer

    known = {entry["jpn"]: code for code, entry in own_codes().items() if "jpn" in entry}
    folders = [
        shared / "gtfs-conformance" / "jp_base_valid.zip",
        shared / "gtfs-conformance" / "real_yamanashi_2017.zip",
    ]
    folders += sorted((shared / "gtfs").glob("jp-*/*2025.zip"))
    fired = set()
    for path in folders:
        theirs = {n["rule_id"] for n in gtfs_analyzer.validate_gtfs(path)["notices"]} & set(known)
        ours = set(validate(path, DAY, "JP").own)
        assert {known[rule] for rule in theirs} <= ours, path.name
        fired |= theirs
    assert len(fired) >= 5


def test_japan_rules_find_what_was_planted(tmp_path: Path) -> None:
    clean = found(tmp_path)
    assert not {code for code in clean if own_codes()[code]["severity"] == "ERROR"} - {
        "jp_missing_feed_info", "jp_missing_fares"
    }  # fmt: skip
    translations = TOWN["translations.txt"].replace("stops,stop_name,ja-Hrkt,のとやまえ,D\n", "")
    assert found(tmp_path, translations=translations)["jp_stop_name_without_kana"] == 1
    assert "jp_missing_translations" in found(tmp_path, translations=None)
    old = "trans_id,lang,translation\n" + "".join(
        f"{name},ja-Hrkt,かな\n" for name in ("みどり駅", "町立病院", '"商店街, 東口"', "能登屋前")
    )
    legacy = found(tmp_path, translations=old)
    assert "jp_legacy_translations" in legacy
    assert "jp_stop_name_without_kana" not in legacy
    assert found(tmp_path, agency_jp="agency_id,agency_zip_number\nM,939-0793\nX,9390793\n").items() >= {
        "jp_zip_number": 1, "jp_agency_jp_unknown": 1,
    }.items()  # fmt: skip
    fares = "fare_id,price,currency_type,payment_method,transfers\nF,200,USD,0,0\n"
    assert "jp_currency" in found(tmp_path, fare_attributes=fares)
    zones = found(tmp_path, fare_rules="fare_id,origin_id\nF,z\n")
    assert zones["jp_stop_without_zone"] == 4
    assert "jp_stop_without_zone" not in clean


def test_practice_rules_find_what_was_planted(tmp_path: Path) -> None:
    asked = TOWN["stop_times.txt"].replace("stop_sequence\n", "stop_sequence,pickup_type\n").replace("A,1\n", "A,1,2\n")
    assert found(tmp_path, stop_times=asked)["demand_service_without_contact"] == 2
    phone = TOWN["agency.txt"].replace("agency_lang\n", "agency_lang,agency_phone\n").replace("ja\n", "ja,0765-1\n")
    assert "demand_service_without_contact" not in found(tmp_path, stop_times=asked, agency=phone)
    twin = (
        TOWN["trips.txt"] + "R2,W,T4,x\n",
        TOWN["stop_times.txt"] + "T4,08:30:00,08:30:00,B,1\nT4,25:05:00,25:05:00,D,2\n",
    )
    assert found(tmp_path, trips=twin[0], stop_times=twin[1])["duplicate_trip"] == 1
    never = twin[0].replace("R2,W,T4", "R2,N,T4")
    apart = found(tmp_path, trips=never, stop_times=twin[1])
    assert apart["trip_without_service_day"] == 1
    assert "duplicate_trip" not in apart
    swapped = TOWN["stops.txt"].replace("36.90,137.50", "137.50,36.90")
    assert found(tmp_path, stops=swapped)["stop_outside_country"] == 1
    near = TOWN["stops.txt"] + "E,みどり駅,36.90001,137.50\n"
    assert found(tmp_path, stops=near)["same_stop_twice_nearby"] == 1


def test_a_cell_that_cannot_be_read_stops_one_rule_only(tmp_path: Path) -> None:
    calendar = TOWN["calendar.txt"].replace("20260401", "1 April")
    assert found(tmp_path, calendar=calendar)["rules_not_judged"] == 1


def test_corporate_numbers() -> None:
    """7000012050002: the National Tax Agency's own number; a digit changed makes it wrong."""
    assert is_corporate_number("7000012050002")
    assert not is_corporate_number("7000012050003")
    assert not is_corporate_number("163431")


def test_the_report_in_lines_and_as_a_page(tmp_path: Path) -> None:
    path = zipped(tmp_path / "<b>.zip", plain(TOWN | {"stops.txt": TOWN["stops.txt"].replace("36.90,", " 36.90 ,")}))
    report = validate(path, DAY)
    japanese = "\n".join(lines(report, "ja"))
    assert "エラー" in japanese
    assert "padded_cell" in japanese
    write_page(report, tmp_path / "r.html", "ja")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>.zip" not in page
    assert "padded_cell" in page


@pytest.mark.parametrize(("arguments", "status"), [(["--json"], 1), (["-l", "ja"], 1), (["--date", "tomorrow"], 2)])
def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int
) -> None:  # fmt: skip
    path = zipped(tmp_path / "f.zip", plain(TOWN))
    with pytest.raises(SystemExit) as ended:
        main(["gtfs", "validate", str(path), "--date", "2026-11-21", *arguments])
    assert ended.value.code == status
    printed = capsys.readouterr().out
    if arguments == ["--json"]:
        document = json.loads(printed)
        assert document["rows"]["stop_times.txt"] == 8
        assert all(set(entry) == {"severity", "total"} for entry in document["notices"].values())
    if arguments == ["-l", "ja"]:
        assert "エラー" in printed
