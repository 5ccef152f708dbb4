"""Judge a run folder: load, recompute, compare. Reads as the list of what is proven."""

from pathlib import Path

from noriai_engine.checker.figures import check_kpis
from noriai_engine.checker.incidents import Told, check_breaches, check_incidents
from noriai_engine.checker.load import CheckError, RowDict, Run, load_footways, load_roads, load_run
from noriai_engine.checker.places import Streets
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.riders import check_promises, check_refusals, check_stories
from noriai_engine.checker.shortest import Times, Way, fastest
from noriai_engine.checker.traffic import Versions, check_traffic
from noriai_engine.checker.vehicles import check_legs, check_locks, check_vehicle
from noriai_engine.checker.walking import Walks, footways_along

__all__ = ["CheckError", "check_run"]

SCHEMA = "noriai-run/3"


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
    report, versions = CheckReport(), Versions(run, roads)
    streets = [Streets(under) for under in versions.roads]
    check_log(run, report)
    check_traffic(run, report)
    check_incidents(run, report)
    told = check_breaches(run, report)
    served = check_stories(run, versions, told, report)
    pairs = _pairs(run, served, versions)
    times = [fastest(under, pairs[version]) for version, under in enumerate(versions.roads)]
    walks = run.meta["service"]["mode"] != "door"
    on_foot = Walks(load_footways(region) or footways_along(roads)) if walks else None
    check_promises(run, versions, streets, served, times, told, on_foot, report)
    check_refusals(run, streets[0], on_foot, report)
    check_legs(run, versions, times, report)
    check_vehicles(run, versions, streets, times, told, report)
    check_locks(run, versions, told, report)
    check_kpis(run, served, versions, times, report)
    return report


def check_log(run: Run, report: CheckReport) -> None:
    """Sequence numbers run without a gap, times never fall, ids are unique."""
    last = None
    for number, event in enumerate(run.events):
        report.expect(event["sequence"] == number, "log", f"event {number}", f"has sequence {event['sequence']}")
        report.expect(last is None or event["time_ms"] >= last, "log", f"event {number}", "comes before the one before")
        last = event["time_ms"]
    report.expect(not run.duplicates, "log", "ids", f"given twice: {run.duplicates[:5]}")


def check_vehicles(
    run: Run, versions: Versions, streets: list[Streets], times: list[Times], told: Told, report: CheckReport
) -> None:
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
        start = next((e for e in events[name] if e["kind"] == "shift_started"), None)
        place = vehicle["depot_lon"], vehicle["depot_lat"]
        depot = (
            streets[0].find(*place) if start is None else streets[versions.at_event(start)].find(*place, start["spot"])
        )
        check_vehicle(run, vehicle, events[name], legs[name], depot, versions, times, told, report)


def _pairs(run: Run, served: dict[str, dict[str, RowDict]], versions: Versions) -> list[set[Way]]:
    """Ways to be judged under each version."""
    pairs: list[set[Way]] = [set() for _ in versions.roads]
    for leg in run.legs:
        pairs[versions.at_time(leg["depart_ms"])].add((leg["from_spot"], leg["to_spot"], leg["diverted"]))
    for event in run.events:
        if event["kind"] == "depot_moved":
            details = run.details(event)
            pairs[versions.at_event(event)].add((tuple(details["from"]), tuple(details["home"]), False))
    for story in served.values():
        accepted = story["booking_accepted"]
        promise = run.details(accepted)
        pairs[versions.at_event(accepted)].add((tuple(promise["origin"]), tuple(promise["destination"]), False))
    return pairs
