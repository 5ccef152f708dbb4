"""Day plans on published instances: gap to the best known value, per instance and seed, judged by the checker.

Resumable: rows that stand in the results file are not run again. One core, CPU seconds, kernels compiled beforehand.

    python benchmarks/suites/day_plans.py --sets cordeau_ropke_ab --seconds 5 --seeds 1 2
    python benchmarks/suites/day_plans.py --sets cordeau_laporte_2003 --seconds 60 --seeds 1
    python benchmarks/suites/day_plans.py --summary

Best-known values are read here only, never by the solver. The instances are the developers' ../shared data.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import tempfile
from pathlib import Path
from statistics import mean
from time import process_time

from noriai_engine import __version__
from noriai_engine.checker import check_plan
from noriai_engine.plans import SolveParams, document_of, read_instance, solve

DATA = Path(__file__).parents[3] / "shared" / "data"
RESULTS = Path(__file__).parents[1] / "results" / "day_plans.csv"
FIELDS = (
    "set",
    "instance",
    "seed",
    "seconds",
    "cost",
    "vehicles",
    "gap_percent",
    "more_vehicles",
    "clean",
    "iterations",
)


def best_known() -> dict[str, tuple[str, Path, float, int]]:
    """Of each instance: its set, file, best known cost and vehicles (0: no aim)."""
    found = {}
    for folder in ("darp", "pdptw"):
        with (DATA / folder / "best_known.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                path = DATA / folder / row["set"] / f"{row['instance']}.txt"
                vehicles = int(row.get("best_known_vehicles") or 0)
                found[row["instance"]] = (row["set"], path, float(row["best_known_cost"]), vehicles)
    return found


def run(instance: str, seed: int, seconds: float) -> dict[str, object]:
    """One search, judged by the checker."""
    group, path, cost, vehicles = best_known()[instance]
    problem = read_instance(path)
    solution = solve(problem, SolveParams(seconds=seconds, seed=seed), process_time)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        plan.write_text(json.dumps(document_of(problem, solution)))
        clean = check_plan(path, plan).ok
    return {
        "set": group, "instance": instance, "seed": seed, "seconds": f"{seconds:g}", "cost": f"{solution.cost:.4f}",
        "vehicles": solution.vehicles, "gap_percent": f"{100 * (solution.cost / cost - 1):.4f}",
        "more_vehicles": solution.vehicles - vehicles if vehicles else 0, "clean": int(clean),
        "iterations": solution.iterations,
    }  # fmt: skip


def read_rows() -> list[dict[str, str]]:
    if not RESULTS.is_file():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def summary() -> None:
    """Per set and budget: runs, clean ones, gaps, vehicles, and how many reach the best known value."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read_rows():
        groups.setdefault((row["set"], row["seconds"]), []).append(row)
    print(f"noriai {__version__}, Python {platform.python_version()}, {platform.machine()}, CPU seconds")
    print(
        f"{'set':24}{'CPU s':>6}{'runs':>6}{'clean':>6}{'as best':>15}{'mean gap %':>12}{'worst':>8}{'vehicles +':>12}"
    )
    for (group, seconds), rows in sorted(groups.items()):
        same = [row for row in rows if int(row["more_vehicles"]) <= 0]  # gaps compare plans with as many vehicles
        gaps = [float(row["gap_percent"]) for row in same] or [float("nan")]
        reached = sum(abs(gap) < 0.002 or gap < 0 for gap in gaps)
        more = sum(int(row["more_vehicles"]) > 0 for row in rows)
        print(
            f"{group:24}{seconds:>6}{len(rows):>6}{sum(int(row['clean']) for row in rows):>6}{reached:>15}"
            f"{mean(gaps):>12.3f}{max(gaps):>8.2f}{more:>12}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=["cordeau_ropke_ab"])
    parser.add_argument("--instances", nargs="*", help="only these")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--summary", action="store_true", help="print the table of what has been run")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit("the developers' ../shared/data is not here: the instances are not part of the project")
    if not arguments.summary:
        done = {(row["instance"], row["seed"], row["seconds"]) for row in read_rows()}
        known = best_known()
        names = [name for name, (group, *_) in known.items() if group in arguments.sets]
        wanted = [name for name in names if not arguments.instances or name in arguments.instances]
        RESULTS.parent.mkdir(exist_ok=True)
        solve(read_instance(known["a2-16"][1]), SolveParams(seconds=120.0), process_time)  # compiles; ends with a proof
        for seed in arguments.seeds:
            for instance in wanted:
                if (instance, str(seed), f"{arguments.seconds:g}") in done:
                    continue
                row = run(instance, seed, arguments.seconds)
                new = not RESULTS.is_file()
                with RESULTS.open("a", newline="") as file:
                    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
                    if new:
                        writer.writeheader()
                    writer.writerow(row)
                print(*row.values(), flush=True)
    summary()


if __name__ == "__main__":
    main()
