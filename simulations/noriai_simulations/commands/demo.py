"""noriai demo: a day in a real town."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def demo(
    *,
    out: Annotated[Path, Parameter(alias="-o")] = Path("demo"),
    language: Annotated[Literal["en", "ja"], Parameter(alias="-l")] = "en",
    scenario: Literal["coquimbo-day", "manhattan-taxi"] = "coquimbo-day",
    csv: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Simulate a day of shared rides in a real town that comes with noriai, check it, and write its report.

    Example: noriai demo -o demo

    Parameters
    ----------
    out
        Folder to write; an earlier demo there is replaced.
    language
        Language in which the report opens.
    scenario
        Which day: Coquimbo, Chile (the default) or 19,979 recorded taxi trips in Manhattan.
    csv
        Write the tables as CSV too.
    json
        Print the KPIs as JSON and no progress.
    """
    from noriai_engine.commands.check import check
    from noriai_engine.terminal import out as say
    from noriai_simulations import shipped
    from noriai_simulations.commands.simulate import run_and_write

    if not json:
        from noriai_engine.terminal import tell

        tell("the first run compiles the dispatch kernels, which takes a minute or two; later runs start at once")
    status = run_and_write(shipped.scenario_file(scenario), out, language=language, csv=csv, json=json)
    if not json:
        status = check(out)
        say(f"open the report in a browser: {(out / 'report.html').absolute()}")
    return status
