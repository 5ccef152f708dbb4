"""Whole days and region builds, each in a process of its own: CPU seconds, peak memory, KPIs, checker.

Usage: python benchmarks/suites/days.py [--json] [coquimbo] [manhattan] [porto] [niikawa] [cottbus]
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
INSTANCES = ("coquimbo", "manhattan", "porto", "niikawa", "cottbus")
FIGURES = (
    "requests",
    "service_rate",
    "wait_mean",
    "wait_p95",
    "ride_ratio",
    "detour_mean",
    "km_per_served",
    "occupancy",
)


def a_day(scenario: Path, folder: Path, region: Path) -> dict[str, Any]:
    """Simulate and check; the kernels are compiled before the clock starts."""
    from noriai_engine.checker import check_run
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.simulate import simulate, write_result

    warm = scenario.read_text(encoding="utf-8").replace("requests = 2400", "requests = 3")
    (folder / "warm.toml").write_text(
        warm.replace("[demand]\n", "[demand]\nlimit = 3\n") if "limit =" not in warm else warm
    )
    loaded = load_scenario(scenario)
    if (folder / "warm.toml").read_text() != scenario.read_text(encoding="utf-8"):
        simulate(load_scenario(folder / "warm.toml"))
    cpu, wall = time.process_time(), time.perf_counter()
    result = simulate(loaded)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    write_result(result, folder / "run")
    check_cpu = time.process_time()
    report = check_run(folder / "run", region)
    span = (result.events[-1].time - result.events[0].time) / 1000
    return {
        "cpu_s": round(cpu, 1),
        "simulated_s_per_wall_s": round(span / wall),
        "requests_per_cpu_s": round(len(loaded.requests) / cpu),
        "vehicles": len(loaded.vehicles),
        **{k.key: k.value for k in result.kpis if k.key in FIGURES},
        "refusals": result.refusals,
        "checker_clean": report.ok,
        "judgements": sum(report.judged.values()),
        "check_cpu_s": round(time.process_time() - check_cpu, 1),
        "report_mb": round((folder / "run" / "report.html").stat().st_size / 1e6, 2),
    }


def a_build(folder: Path, **options: Any) -> dict[str, Any]:
    from noriai_engine.regions import open_region
    from noriai_simulations.region_build.build import BuildOptions, build_region

    cpu = time.process_time()
    build_region(BuildOptions(out=folder / "region", **options), lambda line: None)
    cpu = time.process_time() - cpu
    region = open_region(folder / "region")
    return {
        "cpu_s": round(cpu, 2),
        "nodes": region.network.node_count,
        "arcs": region.network.arc_count,
        "feeds": len(region.feeds),
        "stops": len(region.stops),
        "bundle_mb": round(sum(p.stat().st_size for p in (folder / "region").rglob("*") if p.is_file()) / 1e6, 1),
    }


def run(instance: str, folder: Path) -> dict[str, Any]:
    from noriai_simulations import shipped

    if instance == "coquimbo":
        return a_day(shipped.scenario_file("coquimbo-day"), folder, shipped.region_folder("coquimbo"))
    if instance == "manhattan":
        return a_day(shipped.scenario_file("manhattan-taxi"), folder, shipped.region_folder("manhattan"))
    if instance == "porto":
        return a_build(folder, osm=SHARED / "osm" / "pt-porto-large.osm.pbf")
    if instance == "niikawa":
        return a_build(
            folder,
            osm=SHARED / "osm" / "jp-niikawa-busroads.osm.pbf",
            gtfs=tuple(sorted((SHARED / "gtfs" / "jp-niikawa").glob("*.zip"))),
        )
    demand = SHARED / "demand" / "cottbus"
    a_build(
        folder, nodes=demand / "cottbus_nodes.csv", links=demand / "cottbus_links.csv", country="DE", name="cottbus"
    )
    (folder / "region").rename(folder / "cottbus")
    text = (ROOT / "tests" / "simulations" / "cottbus.toml").read_text(encoding="utf-8")
    (folder / "cottbus.toml").write_text(text.replace("SHARED", str(demand)), encoding="utf-8")
    return a_day(folder / "cottbus.toml", folder, folder / "cottbus")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--child"]:
        with tempfile.TemporaryDirectory() as name:
            result = run(arguments[1], Path(name))
        result["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps(result))
        return
    as_json = "--json" in arguments
    chosen = [a for a in arguments if not a.startswith("-")] or list(INSTANCES)
    results: dict[str, Any] = {}
    for instance in chosen:
        if instance in ("porto", "niikawa", "cottbus") and not SHARED.is_dir():
            results[instance] = "left out: the developers' ../shared is not here"
        else:
            done = subprocess.run(
                [sys.executable, __file__, "--child", instance], capture_output=True, text=True, check=False
            )
            results[instance] = json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()[-300:]
        if not as_json:
            print(instance)
            items = results[instance].items() if isinstance(results[instance], dict) else [("", results[instance])]
            for key, value in items:
                print(f"  {key:24} {value}")
    if as_json:
        print(json.dumps(results, indent=1))
    else:
        print(f"python {platform.python_version()}, {platform.machine()}; one process each, seeds as in the scenarios")


if __name__ == "__main__":
    main(sys.argv[1:])
