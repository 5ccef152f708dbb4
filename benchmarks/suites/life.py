"""Life on Coquimbo's shipped day: what a buffer does to promises when drives take longer, and how long repairs take.

`buffers`: the day with drives held up by 0 to 30 %, promised without and with buffers: requests served, promises kept,
how late the others were. Every run is judged by the checker. `repairs`: at 10:00 every travel time changes, or streets
close: CPU seconds until every plan is repaired, new labels included, the second of two alike (the first loads kernels).
`--json` prints the rows for programs.
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

from noriai_engine.dispatch import Dispatcher
from noriai_engine.model import IdSource, UtcMs, VirtualClock
from noriai_engine.roads import TravelTimes
from noriai_engine.roads.traffic import Traffic, slower
from noriai_engine.world.day import Day
from noriai_simulations import shipped
from noriai_simulations.scenario import Scenario, load_scenario
from noriai_simulations.simulate import simulate, write_result

HELD_UP = (0.1, 0.2, 0.3)
BUFFERS = ((0, 0.0), (3, 0.2), (5, 0.3), (8, 0.3))


def buffers(folder: Path) -> list[dict[str, Any]]:
    from noriai_engine.checker import check_run

    text, rows = shipped.scenario_file("coquimbo-day").read_text(encoding="utf-8"), []
    for held_up in HELD_UP:
        for minutes, share in BUFFERS:
            buffered = f"[service]\npickup_buffer_min = {minutes}\nride_buffer = {share}"
            day = text.replace("[service]", buffered) + f"\n[life]\nheld_up = {held_up}\n"
            (folder / "day.toml").write_text(day, encoding="utf-8")
            begin = time.process_time()
            result = simulate(load_scenario(folder / "day.toml"))
            spent = time.process_time() - begin
            write_result(result, folder / "run")
            kpis = {kpi.key: kpi.value for kpi in result.kpis}
            breaches = len(check_run(folder / "run", shipped.region_folder("coquimbo")).breaches)
            row = {"held_up": held_up, "pickup_buffer_min": minutes, "ride_buffer": share, "cpu_s": round(spent, 1),
                   "breaches": breaches}  # fmt: skip
            row |= {key: kpis[key] for key in ("served", "promises_kept", "late_mean", "wait_mean", "drive_hours")}
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    return rows


def repairs() -> list[dict[str, Any]]:
    scenario = load_scenario(shipped.scenario_file("coquimbo-day"))
    network, rng = scenario.region.network, np.random.default_rng(3)
    every, closed = np.arange(network.arc_count, dtype=np.int32), rng.random((2, network.arc_count))
    changes = {
        "all drives take 20 % longer": slower(network, every, 1_200),
        "all drives take 50 % longer": slower(network, every, 1_500),
        "0.2 % of all arcs close": Traffic(closed=closed[0] < 0.002),
        "2 % of all arcs close": Traffic(closed=closed[1] < 0.02),
    }
    _repair(scenario, next(iter(changes.values())))
    rows = [{"what": what} | _repair(scenario, traffic) for what, traffic in changes.items()]
    for row in rows:
        print(row, file=sys.stderr, flush=True)
    return rows


def _repair(scenario: Scenario, traffic: Traffic) -> dict[str, Any]:
    shifts = [vehicle.shift.start for vehicle in scenario.vehicles]
    clock = VirtualClock(UtcMs(min([request.placed_at for request in scenario.requests] + shifts)))
    dispatcher = Dispatcher(
        TravelTimes(scenario.region.network), scenario.service, scenario.vehicles, scenario.day, clock,
        IdSource(clock, np.random.default_rng(1)), scenario.params,
    )  # fmt: skip
    day, at = Day(dispatcher, clock, scenario.requests), scenario.day.at("10:00")
    for _ in day.steps():
        if clock.now() >= at:
            break
    before, riding = len(dispatcher.events), ("accepted", "boarding", "aboard")
    riders = sum(state.value in riding for state in dispatcher.bookings.states.values())
    begin = time.process_time()
    day.set_traffic(traffic)
    spent = time.process_time() - begin
    kinds = Counter(event.kind for event in list(dispatcher.events)[before:])
    wanted = ("promise_broken", "booking_moved", "booking_unassigned", "booking_dropped")
    vehicles = len(dispatcher.vehicles)
    return {"vehicles": vehicles, "riders": riders, "cpu_s": round(spent, 2)} | {kind: kinds[kind] for kind in wanted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["buffers", "repairs"], default=["buffers", "repairs"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine()}
    with tempfile.TemporaryDirectory() as name:
        if "buffers" in args.what:
            found["buffers"] = buffers(Path(name))
        if "repairs" in args.what:
            found["repairs"] = repairs()
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
