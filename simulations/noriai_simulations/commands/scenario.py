"""noriai scenario: write a first scenario, check one."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(name="scenario", help="Write a scenario to start from, or check one.")


@app.command
def init(
    *,
    out: Annotated[Path, Parameter(alias="-o")] = Path("scenario.toml"),
    region: str = "coquimbo",
) -> int:
    """Write a commented scenario.toml for a region, ready to run and to change.

    Example: noriai scenario init --region my-town -o my-town.toml

    Parameters
    ----------
    out
        File to write; an existing one is never overwritten.
    region
        Name of a shipped region, or the folder of a bundle (as seen from the scenario's folder).
    """
    from noriai_engine.terminal import out as say
    from noriai_simulations.starter import write_starter

    write_starter(out, region)
    say(f"wrote {out}; try: noriai simulate {out} -o results")
    return 0


@app.command
def validate(scenario: Path, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Check a scenario and everything it points to, without running it.

    Example: noriai scenario validate my-town.toml

    Parameters
    ----------
    scenario
        The scenario.toml to check.
    json
        Print the counts as JSON.
    """
    import json as json_module
    from collections import Counter

    from noriai_engine.terminal import out as say
    from noriai_simulations.scenario import load_scenario

    loaded = load_scenario(scenario)
    counts = {
        "requests": len(loaded.requests),
        "prebooked": sum(r.placed_at < r.wished for r in loaded.requests),
        "vehicles": len(loaded.vehicles),
        "vehicles_by_kind": dict(sorted(Counter(v.kind for v in loaded.vehicles).items())),
        "operators": len(loaded.operators),
        "region": loaded.region.name,
        "service_date": loaded.day.date.isoformat(),
    }
    if json:
        say(json_module.dumps(counts, ensure_ascii=False))
    else:
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts["vehicles_by_kind"].items())  # type: ignore[attr-defined]
        say(
            f"{scenario}: valid. {counts['requests']:,} requests ({counts['prebooked']:,} pre-booked), "
            f"{counts['vehicles']:,} vehicles ({kinds}) in {counts['region']} on {counts['service_date']}"
        )
    return 0
