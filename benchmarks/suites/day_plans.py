"""Day plans on published instances: gap to the best known value, per instance and seed, judged by the checker; and
beside it what OR-Tools, PyVRP and VROOM find (benchmarks/peers has what they need).

Resumable: rows that stand in the results file are not run again. One core, CPU seconds, kernels compiled beforehand.
OR-Tools counts seconds of the wall, VROOM stops by itself.

    python benchmarks/suites/day_plans.py --sets cordeau_ropke_ab --seconds 5 --seeds 1 2
    python benchmarks/suites/day_plans.py --sets cordeau_laporte_2003 --seconds 60 --solvers noriai or-tools
    python benchmarks/suites/day_plans.py --sets li_lim_100 --seconds 10 --solvers noriai pyvrp vroom
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
from itertools import product
from pathlib import Path
from statistics import mean
from time import process_time

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers.plan_solvers import PEERS  # a module of the benchmarks

from noriai_engine import __version__
from noriai_engine.checker import check_plan
from noriai_engine.checker.instances import load_instance
from noriai_engine.checker.plans import plan_cost
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
    "solver",
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


def run(instance: str, seed: int, seconds: float, solver: str) -> dict[str, object]:
    """One search, judged by the checker. Other solvers round to integers, and are judged more kindly."""
    group, path, cost, vehicles = best_known()[instance]
    iterations, tolerance = 0, 1e-2
    if solver == "noriai":
        problem = read_instance(path)
        solution = solve(problem, SolveParams(seconds=seconds, seed=seed), process_time)
        document, iterations, tolerance = document_of(problem, solution), solution.iterations, 1e-6
    else:
        routes = PEERS[solver](load_instance(path), seconds, seed, vehicles > 0)
        document = {"routes": [{"nodes": route} for route in routes]}
    used = len([route for route in document["routes"] if route["nodes"]])
    found = plan_cost(load_instance(path), [route["nodes"] for route in document["routes"]])
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        plan.write_text(json.dumps(document, default=int))
        clean = check_plan(path, plan, tolerance).ok
    return {
        "set": group, "instance": instance, "seed": seed, "seconds": f"{seconds:g}", "cost": f"{found:.4f}",
        "vehicles": used, "gap_percent": f"{100 * (found / cost - 1):.4f}",
        "more_vehicles": used - vehicles if vehicles else 0, "clean": int(clean), "iterations": iterations,
        "solver": solver,
    }  # fmt: skip


def read_rows() -> list[dict[str, str]]:
    if not RESULTS.is_file():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def summary() -> None:
    """Per set and budget: runs, clean ones, gaps, vehicles, and how many reach the best known value."""
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in read_rows():
        groups.setdefault((row["set"], row["solver"], row["seconds"]), []).append(row)
    print(f"noriai {__version__}, Python {platform.python_version()}, {platform.machine()}, CPU seconds")
    print(
        f"{'set':24}{'solver':>10}{'CPU s':>6}{'runs':>6}{'clean':>6}{'as best':>9}{'mean gap %':>12}{'worst':>8}"
        f"{'vehicles +':>12}"
    )
    for (group, solver, seconds), rows in sorted(groups.items()):
        clean = [row for row in rows if int(row["clean"])]
        same = [row for row in clean if int(row["more_vehicles"]) <= 0]  # gaps compare plans with as many vehicles
        gaps = [float(row["gap_percent"]) for row in same] or [float("nan")]
        reached = sum(abs(gap) < 0.002 or gap < 0 for gap in gaps)
        more = sum(int(row["more_vehicles"]) > 0 for row in clean)
        print(
            f"{group:24}{solver:>10}{seconds:>6}{len(rows):>6}{len(clean):>6}{reached:>9}{mean(gaps):>12.3f}"
            f"{max(gaps):>8.2f}{more:>12}"
        )
    _compare(groups)


def _compare(groups: dict[tuple[str, str, str], list[dict[str, str]]]) -> None:
    """Instance by instance and seed by seed: ours in each budget against each of the others in theirs."""
    for (group, peer, theirs), rows in sorted(groups.items()):
        if peer == "noriai":
            continue
        other = {(row["instance"], row["seed"]): _rank(row) for row in rows}
        for (_, _, seconds), own in sorted((key, own) for key, own in groups.items() if key[:2] == (group, "noriai")):
            pairs = [(_rank(r), other[r["instance"], r["seed"]]) for r in own if (r["instance"], r["seed"]) in other]
            better = sum(us < them for us, them in pairs)
            worse = sum(us > them for us, them in pairs)
            fewer, more = (sum(sign * (us[1] - them[1]) > 0 for us, them in pairs) for sign in (-1, 1))
            print(
                f"{group}: ours in {seconds} s against {peer} in {theirs} s, {len(pairs)} runs: better {better}, "
                f"as good {len(pairs) - better - worse}, worse {worse}; fewer vehicles {fewer}, more {more}"
            )


def _rank(row: dict[str, str]) -> tuple[int, int, float]:
    """The lower the better: kept all rules, vehicles above the best known, cost (as good within 0.002 %)."""
    return (
        1 - int(row["clean"]),
        int(row["more_vehicles"]) * int(row["clean"]),
        round(float(row["gap_percent"]) / 0.002),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=["cordeau_ropke_ab"])
    parser.add_argument("--instances", nargs="*", help="only these")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--solvers", nargs="*", default=["noriai"], choices=["noriai", *PEERS])
    parser.add_argument("--summary", action="store_true", help="print the table of what has been run")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit("the developers' ../shared/data is not here: the instances are not part of the project")
    if not arguments.summary:
        done = {(row["instance"], row["seed"], row["seconds"], row["solver"]) for row in read_rows()}
        known = best_known()
        names = [name for name, (group, *_) in known.items() if group in arguments.sets]
        wanted = [name for name in names if not arguments.instances or name in arguments.instances]
        RESULTS.parent.mkdir(exist_ok=True)
        solve(read_instance(known["a2-16"][1]), SolveParams(seconds=120.0), process_time)  # compiles; ends with a proof
        for seed, instance, solver in product(arguments.seeds, wanted, arguments.solvers):
            if (instance, str(seed), f"{arguments.seconds:g}", solver) in done:
                continue
            row = run(instance, seed, arguments.seconds, solver)
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
