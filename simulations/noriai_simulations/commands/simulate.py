"""noriai simulate: run a scenario."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def simulate(
    scenario: Path,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    language: Annotated[Literal["en", "ja"], Parameter(alias="-l")] = "en",
    csv: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Simulate a scenario's day and write events, legs, KPIs, map, report and run sheets.

    The same scenario gives the same files to the byte. An interrupted run leaves nothing behind.

    Example: noriai simulate my-town.toml -o results

    Parameters
    ----------
    scenario
        A scenario.toml; `noriai scenario init` writes one to start from.
    out
        Folder to write; an earlier result there is replaced.
    language
        Language in which report and run sheets open; both languages are inside.
    csv
        Write the tables as CSV too, beside Parquet.
    json
        Print the KPIs as JSON on standard output, and no progress.
    """
    return run_and_write(scenario, out, language=language, csv=csv, json=json)


def run_and_write(scenario: Path, out: Path, *, language: str, csv: bool, json: bool) -> int:
    import time

    from noriai_engine.regions.remembered import remember
    from noriai_engine.terminal import out as say
    from noriai_engine.terminal import progress, tell
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.simulate import check_output, simulate, write_result

    check_output(out)
    loaded = load_scenario(scenario)
    remember(loaded.region)
    if not json:
        tell(
            f"{loaded.source.title or loaded.source.name}: {len(loaded.requests):,} requests, "
            f"{len(loaded.vehicles):,} vehicles of {len(loaded.operators)} operators, {loaded.day.date}"
        )
    started, cpu = time.perf_counter(), time.process_time()
    with progress("requests answered", quiet=json) as bar:
        result = simulate(loaded, bar)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    write_result(result, out, language=language, csv=csv)
    if json:
        say((out / "kpis.json").read_text(encoding="utf-8").rstrip())
        return 0
    _print_kpis(result)
    span = (result.events[-1].time - result.events[0].time) / 1000 if result.events else 0
    tell(f"{span:,.0f} simulated seconds in {wall:.1f} s ({cpu:.1f} CPU s): {span / max(wall, 1e-9):,.0f} per second")
    say(f"report: {out / 'report.html'}")
    return 0


def _print_kpis(result: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from noriai_engine.texts import text
    from noriai_simulations.simulate import Result

    assert isinstance(result, Result)
    table = Table("KPI", "value", "unit", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for kpi in result.kpis:
        value = "-" if kpi.value is None else f"{kpi.value:,}"
        table.add_row(text(f"kpi.{kpi.key}", "en"), value, text(f"unit.{kpi.unit}", "en"))
    for reason, count in sorted(result.refusals.items(), key=lambda item: -item[1]):
        table.add_row(f"  refused: {text(reason, 'en')}", f"{count:,}", "requests")
    Console().print(table)
