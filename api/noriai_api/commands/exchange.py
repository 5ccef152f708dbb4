"""noriai exchange: sharing with other regions."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from noriai_api.commands.statistics import publish, sum_up

app = App(name="exchange", help="Share with other regions: statistics, demand, rides.", help_format="plaintext")
app.command(publish)
app.command(sum_up, name="sum")


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("four-towns"),
    wishes: int = 160,
    vehicles: int = 2,
    seed: int = 7,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Four towns, each with a node of its own (process, store, keys): they agree, share demand, and serve a day.

    The day is served twice from the same wishes and vehicles, each town alone and all together. Writes what was shared,
    with whom, under which agreement, and what it changed: summary.json and summary.html. Takes about two minutes.

    Example: noriai exchange demo -o four-towns

    Parameters
    ----------
    out
        Folder to write to; the nodes' stores and logs stay there too.
    wishes
        About how many people want to ride that day.
    vehicles
        Vehicles in each town.
    seed
        Of the network, the fleets and the wishes.
    json
        The summary as JSON.
    """
    import json as encoding
    import shutil

    from noriai_api.four_nodes import day, summary, towns
    from noriai_engine.model.errors import InputError
    from noriai_engine.terminal import out as say
    from noriai_engine.terminal import tell

    for name, value in (("--wishes", wishes), ("--vehicles", vehicles)):
        if not 1 <= value <= 100_000:
            raise InputError(f"{value}", where=name, remedy="give at least 1")
    if out.exists() and any(out.iterdir()) and not (out / "life-area").is_dir():
        raise InputError("holds other things", where=out, remedy="name an empty folder")
    for old in ("alone", "together"):
        shutil.rmtree(out / old, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    region = day.make_world(out, seed)
    asked = towns.wishes(region, wishes, seed)
    served = []
    for together in (False, True):
        tell(f"{'together' if together else 'each town alone'}:")
        folder = out / ("together" if together else "alone")
        served.append(day.serve_day(folder, region, asked, vehicles, seed, tell, together=together))
    found = summary.summary_of(asked, vehicles, *served)
    (out / "summary.json").write_text(encoding.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    (out / "summary.html").write_text(summary.page(found), encoding="utf-8")
    if json:
        say(encoding.dumps(found, ensure_ascii=False))
    else:
        for line in summary.lines(found):
            say(line)
        say(f"look at {out / 'summary.html'}")
    return 0
