"""What the report draws: the run condensed into small arrays and tables."""

import base64
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from noriai_engine.model.lifecycle import BookingState

if TYPE_CHECKING:
    from noriai_simulations.simulate import Result

ROUTE_STREETS = 400_000
"""Routes are drawn for vehicles in order until so many streets are used; the report says where it stopped."""

OUTCOMES = {
    BookingState.DONE: "served", BookingState.CANCELLED: "cancelled", BookingState.NO_SHOW: "no_show",
    BookingState.DROPPED: "dropped",
}  # fmt: skip
SEGMENT_KINDS = {"pickup_started": 1, "dropoff_started": 2, "break_started": 3}


def packed(values: Any, kind: str = "i4") -> str:
    """Numbers as base64 of zlib-deflated little-endian bytes, for DecompressionStream('deflate')."""
    return base64.b64encode(zlib.compress(np.asarray(values, f"<{kind}").tobytes(), 9)).decode("ascii")


def map_data(result: "Result") -> dict[str, Any]:
    """Streets with traffic, streets driven by each vehicle, both ends of every request. 1e-5 degrees."""
    network = result.scenario.region.network
    flow = np.zeros(network.street_count, np.int64)
    routes: list[int] = []
    route_first: list[int] = [0]
    legs_by_vehicle: dict[str, list[Any]] = {v.id: [] for v in result.scenario.vehicles}
    for leg in result.legs:
        legs_by_vehicle[leg.vehicle_id].append(leg)
        np.add.at(flow, network.arc_street[network.state_arc[list(leg.states)]], 1)
    for legs in legs_by_vehicle.values():
        if len(routes) > ROUTE_STREETS:
            break
        for leg in legs:
            arcs = network.state_arc[list(leg.states)]
            routes += network.arc_street[arcs].tolist()
        route_first.append(len(routes))
    requests = [ride.request for ride in result.rides.values()]
    return {
        "lon": packed(np.rint(np.asarray(network.point_lon) * 1e5)),
        "lat": packed(np.rint(np.asarray(network.point_lat) * 1e5)),
        "first": packed(network.street_first),
        "cls": packed(network.street_class, "i1"),
        "flow": packed(flow),
        "route": packed(routes),
        "routeFirst": packed(route_first),
        "req": packed(
            np.rint(
                np.array([[r.origin.lon, r.origin.lat, r.destination.lon, r.destination.lat] for r in requests]) * 1e5
            ).reshape(-1)
        ),
        "depot": packed(
            np.rint(np.array([[v.depot.lon, v.depot.lat] for v in result.scenario.vehicles]) * 1e5).reshape(-1)
        ),
        "stop": packed(
            np.rint(np.array([[s["lon"], s["lat"]] for s in result.scenario.region.stops]) * 1e5).reshape(-1)
        ),
        "routesDrawn": len(route_first) - 1,
    }


def request_rows(result: "Result", reasons: list[str]) -> list[list[Any]]:
    """One row a request: id, wished time, by arrival, reason index or -1, vehicle index or -1, wait, ride, direct
    (s), nearest feasible time, what became of it."""
    day = result.scenario.day
    vehicle = {str(v.id): k for k, v in enumerate(result.scenario.vehicles)}
    rows = []
    for ride in result.rides.values():
        rows.append(
            [
                ride.request.id,
                day.clock_text(ride.request.wished),
                int(ride.request.latest_arrival is not None),
                reasons.index(ride.reason) if ride.reason else -1,
                vehicle[ride.vehicle_id] if ride.vehicle_id else -1,
                None if ride.wait_ms is None else ride.wait_ms // 1000,
                None if ride.ride_ms is None else ride.ride_ms // 1000,
                None if ride.direct_ms is None else ride.direct_ms // 1000,
                day.clock_text(ride.nearest) if ride.nearest else "",
                OUTCOMES.get(ride.state, "refused"),
            ]
        )
    return rows


def timeline(result: "Result") -> dict[str, Any]:
    """Segments (vehicle, from s, to s, kind, riders): kind 0 drive, 1 boarding, 2 alighting, 3 break, 4 on duty."""
    day, segments = result.scenario.day, []
    index = {str(v.id): k for k, v in enumerate(result.scenario.vehicles)}

    def seconds(instant: int) -> int:
        return (instant - day.start) // 1000

    for k, vehicle in enumerate(result.scenario.vehicles):
        segments.append((k, seconds(vehicle.shift.start), seconds(vehicle.shift.end), 4, 0))
    for leg in result.legs:
        segments.append((index[leg.vehicle_id], seconds(leg.depart), seconds(leg.arrive), 0, leg.aboard.riders))
    started: dict[str, tuple[int, int]] = {}
    for event in result.events:
        if event.vehicle_id is None:
            continue
        if event.kind in SEGMENT_KINDS:
            started[event.vehicle_id] = (event.time, SEGMENT_KINDS[event.kind])
        elif event.kind in ("picked_up", "dropped_off", "break_ended"):
            begin, kind = started.pop(event.vehicle_id)
            segments.append((index[event.vehicle_id], seconds(begin), seconds(event.time), kind, 0))
    span = [min(s[1] for s in segments), max(s[2] for s in segments)]
    return {"segments": packed(np.array(segments).reshape(-1)), "span": span, "count": len(segments)}


def vehicle_rows(result: "Result") -> list[dict[str, Any]]:
    """Figures of every vehicle: riders and requests served, km, empty km, driving and duty hours."""
    served = [r for r in result.rides.values() if r.state == BookingState.DONE]
    requests = Counter(r.vehicle_id for r in served)
    riders: Counter[str | None] = Counter()
    for ride in served:
        riders[ride.vehicle_id] += ride.request.party.riders
    km, empty, drive = Counter[str](), Counter[str](), Counter[str]()
    for leg in result.legs:
        km[leg.vehicle_id] += leg.distance_mm
        empty[leg.vehicle_id] += 0 if leg.request_ids else leg.distance_mm
        drive[leg.vehicle_id] += leg.arrive - leg.depart
    day = result.scenario.day
    return [
        {
            "id": v.id, "operator": v.operator_id, "kind": v.kind,
            "shift": f"{day.clock_text(v.shift.start)}-{day.clock_text(v.shift.end)}",
            "requests": requests[v.id], "riders": riders[v.id], "km": km[v.id] / 1e6, "empty_km": empty[v.id] / 1e6,
            "drive_h": drive[v.id] / 3.6e6, "shift_h": (v.shift.end - v.shift.start) / 3.6e6,
        }
        for v in result.scenario.vehicles
    ]  # fmt: skip


def operator_rows(result: "Result", vehicles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The vehicles' figures added up by operator."""
    rows = []
    for operator in result.scenario.operators:
        own = [v for v in vehicles if v["operator"] == operator.id]
        sums = {k: sum(v[k] for v in own) for k in ("requests", "riders", "km", "empty_km", "drive_h", "shift_h")}
        rows.append({"name": operator.name, "kind": operator.kind, "vehicles": len(own), **sums})
    return rows


def hourly(result: "Result") -> list[tuple[int, int, int]]:
    """(hour, served, refused) by the wished time's hour."""
    day = result.scenario.day
    served: Counter[int] = Counter()
    refused: Counter[int] = Counter()
    for ride in result.rides.values():
        hour = (ride.request.wished - day.start) // 3_600_000
        served[hour] += ride.state == BookingState.DONE
        refused[hour] += ride.state == BookingState.REFUSED
    hours = sorted(set(served) | set(refused))
    return [(h, served[h], refused[h]) for h in range(hours[0], hours[-1] + 1)] if hours else []
