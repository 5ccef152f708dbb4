"""Judge a run folder: load, recompute, compare. Reads as the list of what is proven."""

import json
from pathlib import Path

from noriai_engine.checker.figures import check_kpis
from noriai_engine.checker.load import CheckError, Roads, RowDict, Run, load_roads, load_run
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.riders import check_promises, check_refusals, check_stories
from noriai_engine.checker.shortest import fastest, nearest_distances
from noriai_engine.checker.vehicles import check_legs, check_locks, check_vehicle

__all__ = ["CheckError", "check_run"]

SCHEMA = "noriai-run/1"


def check_run(folder: Path, region: Path) -> CheckReport:
    """All breaches of a finished run. Raises CheckError where the folder or its region cannot be read."""
    try:
        return _judge(folder, region)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckError(
            f"{folder}: its files do not have the form of {SCHEMA} ({type(error).__name__}: {error})"
        ) from error


def _judge(folder: Path, region: Path) -> CheckReport:
    run = load_run(folder)
    if run.meta.get("schema") != SCHEMA:
        raise CheckError(f"{folder}/run.json: schema {run.meta.get('schema')!r}; this checker judges {SCHEMA}")
    roads = load_roads(region, run.meta["region"]["checksum"])
    report = CheckReport()
    check_log(run, report)
    served = check_stories(run, report)
    times = fastest(roads, _pairs(run, served))
    check_promises(run, roads, served, times, report)
    check_refusals(run, roads, report)
    check_legs(run, roads, times, report)
    check_vehicles(run, roads, report)
    check_locks(run, report)
    check_kpis(run, served, times, report)
    return report


def check_log(run: Run, report: CheckReport) -> None:
    """Sequence numbers run without a gap, times never fall, ids are unique."""
    last = None
    for number, event in enumerate(run.events):
        report.expect(event["sequence"] == number, "log", f"event {number}", f"has sequence {event['sequence']}")
        report.expect(last is None or event["time_ms"] >= last, "log", f"event {number}", "comes before the one before")
        last = event["time_ms"]
    report.expect(not run.duplicates, "log", "ids", f"given twice: {run.duplicates[:5]}")


def check_vehicles(run: Run, roads: Roads, report: CheckReport) -> None:
    events: dict[str, list[RowDict]] = {name: [] for name in run.vehicles}
    legs: dict[str, list[RowDict]] = {name: [] for name in run.vehicles}
    for event in run.events:
        if event["vehicle_id"] is not None and report.expect(
            event["vehicle_id"] in events, "partition", event["vehicle_id"], "is no vehicle of this run"
        ):
            events[event["vehicle_id"]].append(event)
    for leg in run.legs:
        if report.expect(leg["vehicle_id"] in legs, "partition", leg["vehicle_id"], "is no vehicle of this run"):
            legs[leg["vehicle_id"]].append(leg)
    names = list(run.vehicles)
    starts = [next((e["node"] for e in events[name] if e["kind"] == "shift_started"), -1) for name in names]
    depots = [(run.vehicles[name]["depot_lon"], run.vehicles[name]["depot_lat"]) for name in names]
    for name, (nearest, given) in zip(names, nearest_distances(roads, depots, starts), strict=True):
        check_vehicle(run, run.vehicles[name], events[name], legs[name], given - nearest, report)


def _pairs(run: Run, served: dict[str, dict[str, RowDict]]) -> set[tuple[int, int]]:
    pairs = {(leg["from_node"], leg["to_node"]) for leg in run.legs}
    for story in served.values():
        promise = json.loads(story["booking_accepted"]["details"])
        pairs.add((promise["origin_node"], promise["destination_node"]))
    return pairs
