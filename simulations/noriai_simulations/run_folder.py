"""The run folder: one format for simulated and (later) real days. docs/run-folder.md describes every file."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import noriai_engine
from noriai_engine.kpis import Kpi, Ride
from noriai_engine.model import Leg, Request, Spot, Vehicle
from noriai_engine.model.events import EVENT_SCHEMA_VERSION, Event
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.traffic import Traffic
from noriai_engine.tables import Column, write_csv, write_parquet
from noriai_engine.texts import text
from noriai_engine.world.life import LATE_DRIVER, Breakdown, Life, TrafficChange
from noriai_simulations.fleet import battery_json, breaks_json, layouts_json
from noriai_simulations.scenario import Scenario

RUN_SCHEMA = "noriai-run/3"


def write_tables(folder: Path, scenario: Scenario, events: Iterable[Event], legs: Sequence[Leg], *, csv: bool) -> None:
    """requests, vehicles, events and legs as Parquet, and as CSV beside them if asked."""
    tables = {
        "requests": _requests(scenario.requests),
        "vehicles": _vehicles(scenario.vehicles),
        "events": _events(list(events)),
        "legs": _legs(legs, scenario.region.network),
    }
    if scenario.service.stops:
        stops = scenario.service.stops
        tables["stops"] = [
            Column("name", "string", [s.name for s in stops]),
            Column("lon", "float64", [s.lon for s in stops]),
            Column("lat", "float64", [s.lat for s in stops]),
        ]
    changes = [i.traffic for i in scenario.life.incidents if isinstance(i, TrafficChange)]
    if changes:
        tables["traffic"] = _traffic(changes, scenario.region.network)
    for name, columns in tables.items():
        write_parquet(folder / f"{name}.parquet", columns)
        if csv:
            write_csv(folder / f"{name}.csv", columns)


def write_run(folder: Path, scenario: Scenario) -> None:
    """run.json: what the run was made of. No wall-clock time, so that equal runs are equal files."""
    service = asdict(scenario.service)
    service.pop("stops")
    document = {
        "schema": RUN_SCHEMA,
        "event_schema": EVENT_SCHEMA_VERSION,
        "noriai": noriai_engine.__version__,
        "scenario": scenario.source.name,
        "seed": scenario.source.seed,
        "region": {
            "name": scenario.region.name,
            "reference": scenario.source.region,
            "checksum": scenario.region.checksum,
        },
        "service_date": scenario.day.date.isoformat(),
        "timezone": scenario.day.timezone,
        "day_start_ms": scenario.day.start,
        "service": service,
        "operators": [asdict(operator) for operator in scenario.operators],
        "life": _life(scenario.life),
    }
    write_json(folder / "run.json", document)
    (folder / "scenario.toml").write_text(scenario.text, encoding="utf-8")


def write_kpis(folder: Path, kpis: Sequence[Kpi], refusals: dict[str, int], requests: int) -> None:
    document = {
        "schema": "noriai-kpis/1",
        "kpis": {
            kpi.key: {
                "value": kpi.value,
                "unit": kpi.unit,
                "denominator": {"value": kpi.denominator, "unit": kpi.denominator_unit},
                "definition": {lang: text(f"kpi.{kpi.key}_def", lang) for lang in ("en", "ja")},
            }
            for kpi in kpis
        },
        "refusals": {
            "unit": "requests",
            "denominator": {"value": requests, "unit": "requests"},
            "definition": {"en": "Refused requests by reason.", "ja": "断った依頼の理由別の件数。"},
            "value": dict(sorted(refusals.items())),
        },
    }
    write_json(folder / "kpis.json", document)


def write_plan_geojson(folder: Path, scenario: Scenario, legs: Sequence[Leg], rides: Iterable[Ride]) -> None:
    """Each vehicle's drives as one MultiLineString, each request as a line from origin to destination."""
    network = scenario.region.network
    lines: dict[str, list[list[list[float]]]] = {vehicle.id: [] for vehicle in scenario.vehicles}
    for leg in legs:
        way = network.line(leg.states, leg.source_ms, leg.target_ms)
        lines[leg.vehicle_id].append([[round(x, 5), round(y, 5)] for x, y in way])
    features = [
        _feature(
            "MultiLineString", lines[v.id], what="vehicle", vehicle_id=v.id, operator_id=v.operator_id, kind=v.kind
        )
        for v in scenario.vehicles
    ]
    for ride in rides:
        ends = [[round(p.lon, 5), round(p.lat, 5)] for p in (ride.request.origin, ride.request.destination)]
        features.append(
            _feature(
                "LineString", ends, what="request", request_id=ride.request.id, state=ride.state.value,
                reason=ride.reason, vehicle_id=ride.vehicle_id,
            )
        )  # fmt: skip
    document = {"type": "FeatureCollection", "attribution": scenario.region.attribution, "features": features}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    (folder / "plan.geojson").write_text(text + "\n", encoding="utf-8")


def _feature(geometry: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    shape = {"type": geometry, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": shape}


def write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _requests(requests: Sequence[Request]) -> list[Column]:
    def column(name: str, kind: Any, values: Iterable[Any]) -> Column:
        return Column(name, kind, list(values))

    return [
        column("request_id", "string", (r.id for r in requests)),
        column("placed_at_ms", "int64", (r.placed_at for r in requests)),
        column("earliest_pickup_ms", "int64", (r.earliest_pickup for r in requests)),
        column("latest_arrival_ms", "int64", (r.latest_arrival for r in requests)),
        column("origin_lon", "float64", (r.origin.lon for r in requests)),
        column("origin_lat", "float64", (r.origin.lat for r in requests)),
        column("destination_lon", "float64", (r.destination.lon for r in requests)),
        column("destination_lat", "float64", (r.destination.lat for r in requests)),
        column("seats", "int64", (r.party.seats for r in requests)),
        column("wheelchairs", "int64", (r.party.wheelchairs for r in requests)),
        column("luggage", "int64", (r.party.luggage for r in requests)),
        column("extra_boarding_ms", "int64", (r.needs.extra_boarding_ms for r in requests)),
        column("extra_alighting_ms", "int64", (r.needs.extra_alighting_ms for r in requests)),
        column("longest_walk_m", "int64", (r.needs.longest_walk_m for r in requests)),
        column("step_free", "bool", (r.needs.step_free for r in requests)),
        column("pickup_from_ms", "int64", (r.pickup.earliest if r.pickup else None for r in requests)),
        column("pickup_until_ms", "int64", (r.pickup.latest if r.pickup else None for r in requests)),
        column("dropoff_from_ms", "int64", (r.dropoff.earliest if r.dropoff else None for r in requests)),
        column("dropoff_until_ms", "int64", (r.dropoff.latest if r.dropoff else None for r in requests)),
        column("operator_id", "string", (r.operator_id for r in requests)),
    ]


def _vehicles(vehicles: Sequence[Vehicle]) -> list[Column]:
    return [
        Column("vehicle_id", "string", [v.id for v in vehicles]),
        Column("operator_id", "string", [v.operator_id for v in vehicles]),
        Column("kind", "string", [v.kind for v in vehicles]),
        Column("layouts", "string", [layouts_json(v) for v in vehicles]),
        Column("shift_start_ms", "int64", [v.shift.start for v in vehicles]),
        Column("shift_end_ms", "int64", [v.shift.end for v in vehicles]),
        Column("depot_lon", "float64", [v.depot.lon for v in vehicles]),
        Column("depot_lat", "float64", [v.depot.lat for v in vehicles]),
        Column("breaks", "string", [breaks_json(v) for v in vehicles]),
        Column("autonomous", "bool", [v.autonomous for v in vehicles]),
        Column("battery", "string", [battery_json(v) for v in vehicles]),
    ]


def _life(life: Life) -> dict[str, Any]:
    """What happens on the day that nobody planned, as it was drawn."""
    mishaps: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for incident in life.incidents:
        if isinstance(incident, TrafficChange):
            changes.append({"version": len(changes) + 1, "at_ms": incident.at, "cause": incident.cause})
            continue
        cause = incident.cause if isinstance(incident, Breakdown) else LATE_DRIVER
        until = None if isinstance(incident, Breakdown) else incident.until
        mishaps.append({"at_ms": incident.at, "vehicle_id": incident.vehicle, "cause": cause, "until_ms": until})
    held_up = {"held_up_permille": life.held_up.share_permille, "held_up_every_ms": life.held_up.every_ms}
    return held_up | {"incidents": mishaps, "traffic": changes}


def _traffic(changes: Sequence[Traffic], network: RoadNetwork) -> list[Column]:
    """By version: arcs that take another time than in free flow, and closed ones (no ms)."""
    version, arcs, ms = [], [], []
    for number, traffic in enumerate(changes, start=1):
        now = network.arc_ms if traffic.arc_ms is None else traffic.arc_ms
        closed = np.zeros(network.arc_count, bool) if traffic.closed is None else traffic.closed
        for arc in np.flatnonzero(closed | (now != network.arc_ms)).tolist():
            version.append(number)
            arcs.append(arc)
            ms.append(None if closed[arc] else int(now[arc]))
    return [Column("version", "int64", version), Column("arc", "int64", arcs), Column("ms", "int64", ms)]


def _events(events: Sequence[Event]) -> list[Column]:
    return [
        Column("sequence", "int64", [e.sequence for e in events]),
        Column("time_ms", "int64", [e.time for e in events]),
        Column("kind", "string", [e.kind for e in events]),
        Column("request_id", "string", [e.request_id for e in events]),
        Column("vehicle_id", "string", [e.vehicle_id for e in events]),
        Column("operator_id", "string", [e.operator_id for e in events]),
        Column("state", "int64", [e.state for e in events]),
        Column("offset_ms", "int64", [e.offset_ms for e in events]),
        Column("reason", "string", [e.reason for e in events]),
        Column("details", "string", [e.details for e in events]),
    ]


def _legs(legs: Sequence[Leg], network: RoadNetwork) -> list[Column]:
    first = [network.place_at(Spot(leg.states[0], leg.source_ms)) for leg in legs]
    last = [network.place_at(Spot(leg.states[-1], leg.target_ms)) for leg in legs]
    return [
        Column("vehicle_id", "string", [leg.vehicle_id for leg in legs]),
        Column("operator_id", "string", [leg.operator_id for leg in legs]),
        Column("depart_ms", "int64", [leg.depart for leg in legs]),
        Column("arrive_ms", "int64", [leg.arrive for leg in legs]),
        Column("from_state", "int64", [leg.states[0] for leg in legs]),
        Column("from_offset_ms", "int64", [leg.source_ms for leg in legs]),
        Column("to_state", "int64", [leg.states[-1] for leg in legs]),
        Column("to_offset_ms", "int64", [leg.target_ms for leg in legs]),
        Column("from_lon", "float64", [round(p.lon, 7) for p in first]),
        Column("from_lat", "float64", [round(p.lat, 7) for p in first]),
        Column("to_lon", "float64", [round(p.lon, 7) for p in last]),
        Column("to_lat", "float64", [round(p.lat, 7) for p in last]),
        Column("distance_mm", "int64", [leg.distance_mm for leg in legs]),
        Column("purpose", "string", [leg.purpose for leg in legs]),
        Column("diverted", "bool", [leg.diverted for leg in legs]),
        Column("seats", "int64", [leg.aboard.seats for leg in legs]),
        Column("wheelchairs", "int64", [leg.aboard.wheelchairs for leg in legs]),
        Column("luggage", "int64", [leg.aboard.luggage for leg in legs]),
        Column("requests", "string", [json.dumps(leg.request_ids, separators=(",", ":")) for leg in legs]),
        Column("states", "string", [" ".join(map(str, leg.states)) for leg in legs]),
    ]
