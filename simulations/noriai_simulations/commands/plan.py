"""noriai plan: tomorrow's plan for what is booked by tonight."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from noriai_simulations.tomorrow import Tomorrow


def plan(
    scenario: Path,
    *,
    time: float | None = None,
    iterations: int | None = None,
    seed: int = 1,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    language: Annotated[Literal["en", "ja"], Parameter(alias="-l")] = "en",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Plan tomorrow as a whole, for all requests placed by the evening before.

    Planning time is [day_plan] at in the scenario (eve 20:00 if it says nothing). Promises, then riders left out, then
    what [day_plan] aims names: driving time, and what riders give up (waits, early arrivals, detours). Beside it stands
    what answering the same requests one by one would give. Ctrl-C ends the search with the best plan found so far. Exit
    status 0: planned; 2: bad input.

    Example: noriai plan my-town.toml --time 20 -o tomorrow.json

    Parameters
    ----------
    scenario
        A scenario.toml; `noriai scenario init` writes one to start from.
    time
        CPU seconds for the search (10 unless iterations are given).
    iterations
        Iterations of the search; given alone, the same seed gives the same plan to the byte.
    seed
        Seed of the search.
    output
        Where to write the plan, as JSON: each vehicle's stops with local times, and who was refused and why.
    language
        Language of the summary.
    json
        Print the plan as JSON, and no progress.
    """
    import json as json_module
    from contextlib import nullcontext
    from time import process_time

    import numpy as np

    from noriai_engine.plans import SolveParams, annealing, rehearse
    from noriai_engine.tables.files import replace_file
    from noriai_engine.terminal import out, progress, tell
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.tomorrow import document_of, plan_tomorrow

    seconds = 10.0 if time is None and iterations is None else time
    params = SolveParams(seconds=seconds, iterations=iterations, seed=seed)
    if seconds is None and iterations is not None:
        params = annealing(seed, iterations)
    loaded = load_scenario(scenario)
    if not json:
        tell("a first run compiles the kernels, which takes about a minute; the clock of the search starts then")
    rehearse(np.dtype(np.int32))
    with replace_file(output) if output is not None else nullcontext() as target:
        with progress(loaded.source.title or loaded.source.name, quiet=json) as advance:
            tomorrow = plan_tomorrow(
                loaded, params, process_time, lambda share, absent, cost: advance(int(1000 * share), 1000)
            )
        text = json_module.dumps(document_of(tomorrow), ensure_ascii=False, indent=1)
        if target is not None:
            target.write(text + "\n")
    if json:
        out(text)
    else:
        _print_plan(tomorrow, language)
        if output is not None:
            out(f"plan: {output}")
    return 0


def _print_plan(tomorrow: "Tomorrow", language: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from noriai_engine.model.plan import ActivityKind
    from noriai_engine.texts import text
    from noriai_simulations.tomorrow import drive_ms, rides

    day, console = tomorrow.scenario.day, Console()
    heads = [text(f"tomorrow.{key}", language) for key in ("vehicle", "rides", "first", "last", "driving")]
    table = Table(*heads, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for plan in tomorrow.plans:
        if rides(plan):
            stops = [row for row in plan.activities if row.kind in (ActivityKind.PICKUP, ActivityKind.DROPOFF)]
            first, last = day.clock_text(stops[0].begin), day.clock_text(stops[-1].begin)
            table.add_row(plan.vehicle_id, str(rides(plan)), first, last, f"{drive_ms(plan) / 60_000:.0f}")
    console.print(table)
    for key, (count, ms, gives_up) in (
        ("planned", (tomorrow.served, tomorrow.drive_ms, tomorrow.given_up_ms)), ("one_by_one", tomorrow.one_by_one),
    ):  # fmt: skip
        minutes, riders = f"{ms / 60_000:,.0f}", f"{gives_up / 60_000 / max(1, count):,.1f}"
        console.print(
            text(f"tomorrow.{key}", language, served=count, asked=tomorrow.asked, minutes=minutes, riders=riders)
        )
    for refusal in tomorrow.refusals:
        nearest = "" if refusal.nearest is None else f" ({day.clock_text(refusal.nearest)})"
        console.print(f"  {refusal.request_id}: {text(refusal.reason, language)}{nearest}")
