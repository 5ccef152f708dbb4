"""The report: one file, no request to anywhere, both languages, the run's own numbers, nothing unescaped."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from builders import a_scenario_text

from noriai_simulations.report import charts
from noriai_simulations.report.words import WORDS
from noriai_simulations.scenario import load_scenario
from noriai_simulations.simulate import simulate, write_result


def data_of(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found
    document: dict[str, object] = json.loads(found[1])
    return document


@pytest.mark.parametrize("name", ["report.html", "run-sheets.html"])
def test_file_asks_nobody_for_anything(rural_run: Path, name: str) -> None:
    html = (rural_run / name).read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r'(src|href)\s*=\s*"(?!#)', html)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", html)


def test_report_holds_both_languages_and_opens_in_the_one_asked_for(
    rural: Path, rural_run: Path, tmp_path: Path
) -> None:
    html = (rural_run / "report.html").read_text(encoding="utf-8")
    assert '<html lang="en" data-lang="en">' in html
    assert "充足率" in html
    assert "Service rate" in html
    (tmp_path / "day.toml").write_text(a_scenario_text(rural, requests=2))
    write_result(simulate(load_scenario(tmp_path / "day.toml")), tmp_path / "run", language="ja")
    assert 'data-lang="ja"' in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_report_draws_the_run_it_speaks_of(rural_run: Path) -> None:
    """Unpacked again, its segments, requests and traffic are those of legs and events."""
    import pyarrow.parquet as pq

    document = data_of((rural_run / "report.html").read_text(encoding="utf-8"))
    legs, events = pq.read_table(rural_run / "legs.parquet"), pq.read_table(rural_run / "events.parquet").to_pylist()
    assert len(document["requests"]) == pq.read_table(rural_run / "requests.parquet").num_rows  # type: ignore[arg-type]
    refused = {e["request_id"] for e in events if e["kind"] == "request_refused"}
    assert {row[0] for row in document["requests"] if row[3] >= 0} == refused  # type: ignore[attr-defined]
    segments = np.frombuffer(zlib.decompress(base64.b64decode(document["timeline"]["segments"])), "<i4").reshape(-1, 5)  # type: ignore[index]
    assert (segments[:, 3] == 0).sum() == legs.num_rows
    flow = np.frombuffer(zlib.decompress(base64.b64decode(document["map"]["flow"])), "<i4")  # type: ignore[index]
    assert flow.sum() == sum(len(way.split()) for way in legs["states"].to_pylist())
    kpis = json.loads((rural_run / "kpis.json").read_text())["kpis"]
    html = (rural_run / "report.html").read_text(encoding="utf-8")
    assert f"{kpis['service_rate']['value']:,.1f} " in html


def test_attribution_stands_on_the_map(rural_run: Path) -> None:
    assert "made-up town (noriai)" in (rural_run / "report.html").read_text(encoding="utf-8")


def test_nothing_from_the_scenario_is_markup(rural: Path, tmp_path: Path) -> None:
    text = (
        a_scenario_text(rural, requests=3)
        .replace("A small day", "<script>alert(1)</script>")
        .replace('name = "Taxi"', 'name = "</td><b>"')
    )
    (tmp_path / "day.toml").write_text(text)
    write_result(simulate(load_scenario(tmp_path / "day.toml")), tmp_path / "run")
    for name in ("report.html", "run-sheets.html"):
        html = (tmp_path / "run" / name).read_text(encoding="utf-8")
        assert "<script>alert" not in html
        assert "</td><b>" not in html


def test_run_sheets_list_every_stop_of_every_vehicle(rural_run: Path) -> None:
    import pyarrow.parquet as pq

    events = pq.read_table(rural_run / "events.parquet").to_pylist()
    html = (rural_run / "run-sheets.html").read_text(encoding="utf-8")
    assert html.count('<section class="sheet">') == pq.read_table(rural_run / "vehicles.parquet").num_rows
    for kind, word in (("pickup_started", "Pick up"), ("dropoff_started", "Set down")):
        assert html.count(f'<td><span lang="en">{word}') == sum(e["kind"] == kind for e in events)


def test_a_day_without_requests_or_rides_still_reports(rural: Path, tmp_path: Path) -> None:
    text = (
        a_scenario_text(rural, requests=1)
        .replace("max_wait_min = 20", "max_wait_min = 0")
        .replace("seats = ", "luggage = 1, seats = 0")
    )
    text = re.sub(r"layouts = .*", "layouts = [{ wheelchairs = 1 }]", text).replace(
        "wheelchair = 0.1", "wheelchair = 0"
    )
    (tmp_path / "day.toml").write_text(text)
    result = simulate(load_scenario(tmp_path / "day.toml"))
    write_result(result, tmp_path / "run")
    assert result.refusals == {"fleet.party_too_big": 1}
    assert next(k.value for k in result.kpis if k.key == "wait_mean") is None


def test_every_label_has_both_languages() -> None:
    assert all(english and japanese for english, japanese in WORDS.values())


def test_histogram_counts_everything_once() -> None:
    labels, counts = charts.histogram([0.0, 0.9, 1.0, 7.5, 200.0], 1.0)
    assert (sum(counts), labels[0], counts[0], counts[1]) == (5, "0", 2, 1)
    assert charts.histogram([], 1.0) == ([], [])


def test_only_who_was_carried_counts_as_served_in_the_table(rural: Path, tmp_path: Path) -> None:
    from noriai_simulations.report.data import request_rows

    whims = "[demand]\ncancelled = 0.3\nno_show = 0.2\n[demand.synthetic]"
    text = a_scenario_text(rural, requests=80).replace("[demand.synthetic]", whims)
    (tmp_path / "day.toml").write_text(text)
    result = simulate(load_scenario(tmp_path / "day.toml"))
    said = [row[9] for row in request_rows(result, list(result.refusals))]
    figures = {kpi.key: kpi.value for kpi in result.kpis}
    assert said.count("served") == figures["served"]
    assert said.count("cancelled") == figures["cancelled"] > 0  # type: ignore[operator]
    assert said.count("no_show") == figures["no_shows"] > 0  # type: ignore[operator]
