"""noriai check: judge a finished run."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def check(
    run: Path,
    plan: Path | None = None,
    *,
    region: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    show: int = 20,
) -> int:
    """Prove that a finished run, or a plan for a benchmark file, breaks no constraint and that its figures are true.

    Recomputes everything from the files with code of its own. Exit status 0: clean; 1: breaches, each
    named; 2: the folder cannot be judged.

    Example: noriai check demo
    Example: noriai check a2-16.txt plan.json

    Parameters
    ----------
    run
        Run folder, as `noriai simulate` writes it; or a benchmark file, with its plan.
    plan
        Plan for the benchmark file, as `noriai solve` writes it, or a published solution (`Route k : ids`).
    region
        Region bundle the run was made with; found by itself for shipped regions and beside the run folder.
    json
        Print the findings as JSON.
    show
        How many breaches to print.
    """
    import json as json_module

    from noriai_engine.checker import CheckError, check_plan, check_run
    from noriai_engine.model.errors import InputError
    from noriai_engine.terminal import out, tell

    try:
        if not json:
            tell(f"judging {plan or run} with code of its own ...")
        report = check_run(run, region or _find_region(run)) if plan is None else check_plan(run, plan)
    except CheckError as error:
        remedy = "name a folder written by noriai simulate" if plan is None else "name a benchmark file and its plan"
        raise InputError(str(error), remedy=remedy) from error
    if json:
        document = {
            "ok": report.ok,
            "judged": report.judged,
            "breaches": [{"rule": b.rule, "who": b.who, "what": b.what} for b in report.breaches],
        }
        print(json_module.dumps(document, ensure_ascii=False, indent=1))  # noqa: T201
        return 0 if report.ok else 1
    total = sum(report.judged.values())
    if report.ok:
        out(f"{plan or run}: clean. {total:,} judgements of {len(report.judged)} rules, no breach.")
        return 0
    out(f"{plan or run}: {len(report.breaches):,} breaches in {total:,} judgements")
    for breach in report.breaches[:show]:
        out(f"  {breach}")
    if len(report.breaches) > show:
        out(f"  ... and {len(report.breaches) - show:,} more; --show {len(report.breaches)} prints all")
    return 1


def _find_region(run: Path) -> Path:
    """The region named in run.json: a shipped one, or a folder beside the run or the working folder."""
    import hashlib
    import json
    from importlib.util import find_spec

    from noriai_engine.checker import CheckError
    from noriai_engine.regions.remembered import recall

    try:
        region = json.loads((run / "run.json").read_text(encoding="utf-8"))["region"]
        reference, checksum = str(region["reference"]), str(region["checksum"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = getattr(error, "strerror", None) or repr(error)
        raise CheckError(f"{run / 'run.json'}: cannot be read ({why}); is this a run folder?") from error
    shipped = find_spec("noriai_simulations")
    homes = [Path.cwd(), run, run.parent]
    if shipped is not None and shipped.origin is not None:
        homes.append(Path(shipped.origin).parent / "shipped" / "regions")
    found = [home / reference for home in homes if (home / reference / "region.toml").is_file()]
    if (folder := recall(checksum)) is not None:
        found.append(folder)
    for folder in found:  # another bundle may bear the same name
        if hashlib.sha256((folder / "region.toml").read_bytes()).hexdigest() == checksum:
            return folder
    if found:
        return found[0]
    raise CheckError(f"{run}: its region {reference!r} is not here; name its folder with --region")
