"""Small towns, where every planner is instant and only the service counts: 5 to 30 vehicles, by class of rider.

Made-up valleys of a few thousand people; each day under three ways of answering, the same requests for all: as they
come, in batches with idle vehicles sent about, and with plans improved as well. Means over seeds, and the difference to
the first way with its interval over seeds (two standard errors). `--json` prints the rows for programs.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

WAYS = {
    "as they come": "",
    "batches, idle vehicles sent": "batch_every_s = 30\nrider_weight = 0.3\nrebalance_every_s = 60\n",
    "and plans improved every 10 min": "batch_every_s = 30\nrider_weight = 0.3\nrebalance_every_s = 60\n"
    "improve_every_min = 10\nimprove_iterations = 300\n",
}
A_VEHICLE = 45  # requests
CLASSES = ("all", "wheelchair", "two or more", "wished arrival", "asked at once")

SCENARIO = """
format = 1
name = "town"
seed = {seed}
region = "region"
service_date = 2026-11-24
[service]
hours = ["07:00", "19:00"]
max_wait_min = 20
max_ride_min = 60
detour_factor = 1.6
[demand.synthetic]
requests = {requests}
prebooked = 0.3
wished_arrival = 0.3
wheelchair = 0.08
companion = 0.2
[[operators]]
id = "taxi"
name = "Taxi"
[[fleet]]
operator = "taxi"
count = {vehicles}
layouts = [{{ seats = 4, luggage = 2 }}, {{ seats = 2, wheelchairs = 1, luggage = 2 }}]
shift = ["07:00", "19:00"]
breaks = [{{ between = ["11:00", "14:00"], minutes = 45 }}]
[dispatch]
{dispatch}
"""


def classes_of(request: Any) -> set[str]:
    kinds = {"all"}
    if request.party.wheelchairs:
        kinds.add("wheelchair")
    if request.party.seats + request.party.wheelchairs > 1:
        kinds.add("two or more")
    if request.latest_arrival is not None:
        kinds.add("wished arrival")
    elif request.wished - request.placed_at < 600_000:
        kinds.add("asked at once")
    return kinds


def a_day(folder: Path, vehicles: int, seed: int, dispatch: str) -> dict[str, Any]:
    """One day: by class, the share served, mean wait and ride ratio; reasons of refusal; km a rider served."""
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.simulate import simulate

    text = SCENARIO.format(seed=seed, requests=A_VEHICLE * vehicles, vehicles=vehicles, dispatch=dispatch)
    (folder / "town.toml").write_text(text, encoding="utf-8")
    begin = time.process_time()
    result = simulate(load_scenario(folder / "town.toml"))
    out: dict[str, Any] = {"cpu_s": time.process_time() - begin, "refusals": dict(Counter(result.refusals))}
    for kind in CLASSES:
        rides = [ride for ride in result.rides.values() if kind in classes_of(ride.request)]
        served = [ride for ride in rides if ride.arrival is not None]
        waits = [ride.wait_ms / 60_000 for ride in served if ride.wait_ms is not None]
        direct = sum(ride.direct_ms or 0 for ride in served)
        out[kind] = {
            "requests": len(rides), "served": 100 * len(served) / max(1, len(rides)),
            "wait_min": float(np.mean(waits)) if waits else None,
            "ride_ratio": sum(ride.ride_ms or 0 for ride in served) / direct if direct else None,
        }  # fmt: skip
    out["km"] = next(kpi.value for kpi in result.kpis if kpi.key == "km_per_served")
    return out


def main() -> None:
    from noriai_engine.regions import write_region
    from noriai_engine.world.rural import rural_region

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--vehicles", default="5,10,20,30")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}; {options.seeds} seeds", file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_region(rural_region(1), folder / "region")
        for vehicles in (int(count) for count in options.vehicles.split(",")):
            first: list[dict[str, Any]] = []
            for way, dispatch in WAYS.items():
                days = [a_day(folder, vehicles, seed, dispatch) for seed in range(options.seeds)]
                first = first or days
                rows.append({"vehicles": vehicles, "way": way, "days": days})
                gain = np.array(
                    [day["all"]["served"] - base["all"]["served"] for day, base in zip(days, first, strict=True)]
                )
                spread = 2 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
                cells = []
                for kind in CLASSES:
                    served, wait, ratio = (
                        np.mean([day[kind][key] for day in days if day[kind][key] is not None])
                        for key in ("served", "wait_min", "ride_ratio")
                    )
                    cells.append(
                        f"{kind}: {served:.0f} %, {'-' if np.isnan(wait) else f'{wait:.1f}'} min, x{ratio:.2f}"
                    )
                reasons: Counter[str] = sum((Counter(day["refusals"]) for day in days), Counter())
                told = ", ".join(f"{reason} {count / len(days):.0f}" for reason, count in reasons.most_common(4))
                print(
                    f"{vehicles} vehicles, {A_VEHICLE * vehicles} requests, {way}: "
                    f"{gain.mean():+.1f} points +- {spread:.1f}, "
                    f"{np.mean([day['km'] for day in days]):.2f} km a rider, "
                    f"{np.mean([day['cpu_s'] for day in days]):.1f} CPU s\n  {'; '.join(cells)}\n  refused: {told}",
                    file=sys.stderr,
                )
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
