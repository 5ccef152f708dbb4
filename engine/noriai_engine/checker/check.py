"""Judge a run folder: load, recompute, compare. Reads as the list of what is proven."""

import json
from pathlib import Path

from noriai_engine.checker.figures import check_kpis
from noriai_engine.checker.load import CheckError, Roads, RowDict, Run, load_roads, load_run
from noriai_engine.checker.places import Streets
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.riders import check_promises, check_refusals, check_stories
from noriai_engine.checker.shortest import Way, fastest
from noriai_engine.checker.vehicles import check_legs, check_locks, check_vehicle

__all__ = ["CheckError", "check_run"]

SCHEMA = "noriai-run/2"


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
    streets, report = Streets(roads), CheckReport()
    check_log(run, report)
    served = check_stories(run, report)
    times = fastest(roads, _pairs(run, served))
    check_promises(run, streets, served, times, report)
    check_refusals(run, streets, report)
    check_legs(run, roads, times, report)
    check_vehicles(run, roads, streets, report)
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


def check_vehicles(run: Run, roads: Roads, streets: Streets, report: CheckReport) -> None:
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
    for name, vehicle in run.vehicles.items():
        start = next((e["spot"] for e in events[name] if e["kind"] == "shift_started"), None)
        depot = streets.find(vehicle["depot_lon"], vehicle["depot_lat"], start)
        check_vehicle(run, vehicle, events[name], legs[name], depot, roads.state_arc, report)


def _pairs(run: Run, served: dict[str, dict[str, RowDict]]) -> set[Way]:
    pairs = {(leg["from_spot"], leg["to_spot"], leg["diverted"]) for leg in run.legs}
    for story in served.values():
        promise = json.loads(story["booking_accepted"]["details"])
        pairs.add((tuple(promise["origin"]), tuple(promise["destination"]), False))
    return pairs
