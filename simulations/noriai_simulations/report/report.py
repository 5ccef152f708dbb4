"""The report: one HTML file that opens from disk without any request, in Japanese and English."""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import noriai_engine
from noriai_engine.kpis import Kpi
from noriai_engine.texts import text
from noriai_simulations.report import charts, data
from noriai_simulations.report.method import method_notes
from noriai_simulations.report.words import WORDS, both, option, word

if TYPE_CHECKING:
    from noriai_simulations.simulate import Result

CARDS = (
    "service_rate", "served", "wait_mean", "wait_p95", "ride_ratio", "detour_mean", "shared_share", "occupancy",
    "vehicle_km", "km_per_served", "empty_share", "riders_per_hour",
)  # fmt: skip
REASON_COLOURS = ("#b3261e", "#7b3fa0", "#8a6d00", "#00695c", "#444", "#ad1457", "#3949ab", "#5d4037")


def asset(name: str) -> str:
    return (files("noriai_simulations.report") / "templates" / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """A template with its values; everything is escaped unless it is Markup."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template).render(w=word, option=option, **values)


def script_json(document: Any) -> Markup:
    """JSON that may stand inside a script element: no `<`, so no early end."""
    dumped = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return Markup(dumped.replace("<", "\\u003c"))


def write_report(result: "Result", path: Path, language: str) -> None:
    """Write report.html; it opens in `language` and holds both."""
    scenario = result.scenario
    vehicles = data.vehicle_rows(result)
    reasons = _reasons(result)
    drawn = data.map_data(result)
    document = {
        "map": drawn,
        "timeline": data.timeline(result),
        "requests": data.request_rows(result, [r["key"] for r in reasons]),
        "reasons": [[text(r["key"], "en"), text(r["key"], "ja")] for r in reasons],
        "vehicles": [v.id for v in scenario.vehicles],
        "words": {key: WORDS[key] for key in (
            "refused", "served", "cancelled", "no_show", "dropped", "arrive_by", "depart_at", "riders_aboard", "empty", "boarding", "break", "on_duty",
        )},
    }  # fmt: skip
    cut = drawn["routesDrawn"] if drawn["routesDrawn"] < len(vehicles) else 0
    html = render(
        "report.html.j2",
        language=language, version=noriai_engine.__version__, css=Markup(asset("base.css") + asset("report.css")),
        js=Markup(asset("report.js")), data=script_json(document),
        title=scenario.source.title or scenario.source.name, lead=_lead(result),
        cards=[_kpi_words(k) for name in _cards(result) for k in result.kpis if k.key == name],
        kpis=[_kpi_words(k) for k in result.kpis], vehicle_names=[v.id for v in scenario.vehicles],
        has_stops=bool(scenario.region.stops), attribution=scenario.region.attribution, reasons=reasons, routes_cut=cut, vehicles=vehicles,
        operators=data.operator_rows(result, vehicles), hour_chart=_hours(result), wait_chart=_waits(result),
        detour_chart=_detours(result), chart_table=_chart_table, method=method_notes(scenario),
        sources=scenario.region.sources,
        footer=f"noriai {noriai_engine.__version__} · {scenario.source.name} · seed {scenario.source.seed} · region "
        f"{scenario.region.name} {scenario.region.checksum[:12]}",
    )  # fmt: skip
    path.write_text(html, encoding="utf-8")


def _cards(result: "Result") -> tuple[str, ...]:
    """The figures shown first: with promises where something came between, with walks where there are any."""
    life, more = result.scenario.life, tuple[str, ...]()
    if life.incidents or life.held_up.share_permille:
        more += ("promises_kept", "late_mean")
    if result.scenario.service.mode != "door":
        more += ("walk_mean",)
    return CARDS[:4] + more + CARDS[4:]


def _lead(result: "Result") -> Markup:
    s = result.scenario
    n, m, date = len(s.requests), len(s.vehicles), s.day.date.isoformat()
    return both(
        f"{s.region.title} · {date} · {n:,} requests, {m:,} vehicles of {len(s.operators)} operators",
        f"{s.region.title}・{date}・依頼 {n:,}件、車両 {m:,}台、事業者 {len(s.operators)}",
    )


def _kpi_words(kpi: Kpi) -> dict[str, Any]:
    value = "–" if kpi.value is None else f"{kpi.value:,.1f}" if isinstance(kpi.value, float) else f"{kpi.value:,}"
    if kpi.key in ("ride_ratio", "occupancy", "km_per_served", "riders_per_hour") and kpi.value is not None:
        value = f"{kpi.value:,.2f}"
    denominator = f"{kpi.denominator:,} {kpi.denominator_unit}" if kpi.denominator_unit != "runs" else ""
    definition = both(text(f"kpi.{kpi.key}_def", "en"), text(f"kpi.{kpi.key}_def", "ja"))
    return {
        "name": both(text(f"kpi.{kpi.key}", "en"), text(f"kpi.{kpi.key}", "ja")),
        "value": value,
        "unit": both(text(f"unit.{kpi.unit}", "en"), text(f"unit.{kpi.unit}", "ja")),
        "denominator": denominator,
        "definition": definition,
        "note": definition,
    }


def _reasons(result: "Result") -> list[dict[str, Any]]:
    counts = sorted(result.refusals.items(), key=lambda item: (-item[1], item[0]))
    most = max((count for _, count in counts), default=1)
    return [
        {
            "key": key,
            "text": both(text(key, "en"), text(key, "ja")),
            "count": count,
            "share": 100 * count / len(result.rides),
            "width": 100 * count / most,
            "colour": REASON_COLOURS[k % len(REASON_COLOURS)],
        }
        for k, (key, count) in enumerate(counts)
    ]


def _hours(result: "Result") -> dict[str, Any]:
    rows = data.hourly(result)
    labels, served, refused = [str(r[0]) for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    return {"svg": charts.bars(labels, [served, refused], option("hour_chart"), ""), "rows": rows}


def _waits(result: "Result") -> dict[str, Any]:
    minutes = [ride.wait_ms / 60_000 for ride in result.rides.values() if ride.wait_ms is not None]
    return _distribution(minutes, "wait_chart")


def _detours(result: "Result") -> dict[str, Any]:
    minutes = [
        (ride.ride_ms - ride.direct_ms) / 60_000
        for ride in result.rides.values()
        if ride.ride_ms is not None and ride.direct_ms is not None
    ]
    return _distribution(minutes, "detour_chart")


def _distribution(minutes: list[float], name: str) -> dict[str, Any]:
    step = 1.0 if not minutes or max(minutes) <= 30 else 2.0 if max(minutes) <= 60 else 5.0
    labels, counts = charts.histogram(minutes, step)
    return {
        "svg": charts.bars(labels, [counts], option(name), "min / 分"),
        "rows": list(zip(labels, counts, strict=True)),
    }


def _chart_table(chart: dict[str, Any], header: list[Markup]) -> Markup:
    head = Markup("").join(Markup('<th class="n">{}</th>').format(h) for h in header)
    cell = Markup('<td class="n">{}</td>')
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(cell.format(x) for x in row)) for row in chart["rows"]
    )
    return Markup(
        "<details><summary>{}</summary><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></details>"
    ).format(word("as_table"), head, rows)
