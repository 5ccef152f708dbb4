"""What riders were promised and got: states, windows, ride limits, boarding times, reasons of refusal."""

import json
from typing import Any

import numpy as np

from noriai_engine.checker.load import RowDict, Run, Spot
from noriai_engine.checker.places import Streets
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.shortest import Times

SERVED = [
    "request_received",
    "booking_accepted",
    "pickup_started",
    "picked_up",
    "dropoff_started",
    "dropped_off",
]
REFUSED = ["request_received", "request_refused"]
LAPSED = ["request_received", "offer_lapsed"]
CANCELLED = ["request_received", "booking_accepted", "booking_cancelled"]
NO_SHOW = ["request_received", "booking_accepted", "pickup_started", "no_show"]
STATIC_REASONS = {"area.outside", "place.off_network", "stops.too_far"}


def events_by_request(run: Run) -> dict[str, list[RowDict]]:
    grouped: dict[str, list[RowDict]] = {request: [] for request in run.requests}
    for event in run.events:
        if event["request_id"] is not None:
            grouped.setdefault(event["request_id"], []).append(event)
    return grouped


def check_stories(run: Run, report: CheckReport) -> dict[str, dict[str, RowDict]]:
    """Every request has one complete story; returns the served ones, by request and kind of event."""
    served = {}
    for request, events in events_by_request(run).items():
        if not report.expect(request in run.requests, "partition", request, "is in the log but not among the requests"):
            continue
        moves = [event for event in events if event["kind"] == "booking_moved"]
        events = [event for event in events if event["kind"] != "booking_moved"]
        kinds = [event["kind"] for event in events]
        if not report.expect(
            kinds in (SERVED, REFUSED, LAPSED, CANCELLED, NO_SHOW), "partition", request, f"its story is {kinds}"
        ):
            continue
        placed = run.requests[request]["placed_at_ms"]
        report.expect(
            events[0]["time_ms"] == placed,
            "partition",
            request,
            f"received {events[0]['time_ms']}, placed {placed}",
        )
        if kinds == REFUSED:
            report.expect(bool(events[1]["reason"]), "reason", request, "refused without a reason")
        if kinds in (REFUSED, LAPSED):
            continue
        _check_moves(run, request, events, moves, report)
        last = moves[-1]["vehicle_id"] if moves else events[1]["vehicle_id"]
        vehicles = {last, *(event["vehicle_id"] for event in events[2:])}
        if (
            report.expect(
                len(vehicles) == 1 and vehicles <= set(run.vehicles),
                "partition",
                request,
                f"is with vehicles {vehicles}",
            )
            and kinds == SERVED
        ):
            served[request] = {event["kind"]: event for event in events}
    return served


def _check_moves(run: Run, request: str, events: list[RowDict], moves: list[RowDict], report: CheckReport) -> None:
    """A booking moves between acceptance and boarding, from where it was, to a vehicle of the same operator."""
    at, accepted = events[1]["vehicle_id"], events[1]["time_ms"]
    boards = next((e["time_ms"] for e in events if e["kind"] == "pickup_started"), None)
    for move in moves:
        details, to = json.loads(move["details"]), move["vehicle_id"]
        good = details["from"] == at and to in run.vehicles and at in run.vehicles
        report.expect(good, "move", request, f"moved from {details['from']} to {to}, but was with {at}")
        if good:
            own = run.vehicles[to]["operator_id"] == run.vehicles[at]["operator_id"]
            report.expect(own, "move", request, f"{to} is another operator's than {at}")
        in_time = accepted <= move["time_ms"] and (boards is None or move["time_ms"] <= boards)
        report.expect(in_time, "move", request, f"moved at {move['time_ms']}, boarded at {boards}")
        at = to


class Ends:
    """Spots and walks of both ends of a trip, worked out from coordinates alone."""

    def __init__(self, run: Run, streets: Streets) -> None:
        import shapely

        self.service, self.streets, self.stops = run.meta["service"], streets, run.stops
        rings = self.service["area"]
        self.area = shapely.union_all([shapely.Polygon(ring) for ring in rings]) if rings else None

    def judge(self, lon: float, lat: float, spot: Spot | None = None) -> tuple[str | None, str, int]:
        """(reason against this end, what is wrong with `spot` for it, walk in ms)."""
        import shapely

        if self.area is not None and not self.area.intersects(shapely.Point(lon, lat)):
            return "area.outside", "", 0
        walk_ms, places = 0, [(lon, lat)]
        if self.service["mode"] == "stops":
            metres = [_metres(lon, lat, stop["lon"], stop["lat"]) for stop in self.stops]
            if min(metres) > self.service["max_walk_m"]:
                return "stops.too_far", "", 0
            # Of stops equally near, the one the plan used is as good as any.
            near = [k for k, m in enumerate(metres) if m < min(metres) + 0.01]
            walk_ms = int(np.ceil(min(metres) * 1e6 / self.service["walking_speed_mm_s"]))
            places = [(self.stops[k]["lon"], self.stops[k]["lat"]) for k in near]
        found = min((self.streets.find(*place, spot) for place in places), key=lambda f: (f.worse_m, f.side))
        if self.service["mode"] == "door" and found.nearest_m > self.service["max_snap_m"]:
            return "place.off_network", "", 0
        return None, found.side or (f"is {found.worse_m:.1f} m off its street" if found.worse_m else ""), walk_ms


def _metres(lon_a: float, lat_a: float, lon_b: float, lat_b: float) -> float:
    a, b = np.radians([lon_a, lat_a]), np.radians([lon_b, lat_b])
    h = np.sin((b[1] - a[1]) / 2) ** 2 + np.cos(a[1]) * np.cos(b[1]) * np.sin((b[0] - a[0]) / 2) ** 2
    return float(2 * 6_371_008.8 * np.arcsin(np.sqrt(h)))


def check_promises(
    run: Run, streets: Streets, served: dict[str, dict[str, RowDict]], times: Times, report: CheckReport
) -> None:
    """Every served request: spots, limits and windows follow from request and service, and were kept."""
    ends, service, day = Ends(run, streets), run.meta["service"], run.meta["day_start_ms"]
    for name, story in served.items():
        request = run.requests[name]
        promise = json.loads(story["booking_accepted"]["details"])
        walks = []
        for end in ("origin", "destination"):
            reason, wrong, walk = ends.judge(request[f"{end}_lon"], request[f"{end}_lat"], tuple(promise[end]))
            report.expect(reason is None, "area", name, f"{end} should have been refused: {reason}")
            report.expect(not wrong, "place", name, f"{end} {promise[end]} {wrong}")
            walks.append(walk)
        direct = times[tuple(promise["origin"]), tuple(promise["destination"]), False][0]
        limit = min(
            service["max_ride_ms"],
            direct * service["detour_factor_permille"] // 1000 + service["detour_extra_ms"],
        )
        report.expect(
            promise["direct_ms"] == direct,
            "travel time",
            name,
            f"direct {promise['direct_ms']}, Dijkstra {direct}",
        )
        report.expect(
            promise["max_ride_ms"] == limit,
            "ride limit",
            name,
            f"promised {promise['max_ride_ms']}, rule {limit}",
        )
        _check_windows(name, request, promise, service, day, walks, report)
        _check_kept(name, request, story, promise, service, report)
        wanted = request["operator_id"]
        got = run.vehicles[story["booking_accepted"]["vehicle_id"]]["operator_id"]
        report.expect(wanted in (None, got), "operator", name, f"asked for {wanted}, got {got}")


def _check_windows(
    name: str,
    request: RowDict,
    promise: RowDict,
    service: RowDict,
    day: int,
    walks: list[int],
    report: CheckReport,
) -> None:
    earliest, latest = promise["pickup"]
    drop_from, drop_until = promise["dropoff"]
    placed = request["placed_at_ms"]

    def rule(condition: bool, what: str) -> None:
        report.expect(
            condition,
            "window",
            name,
            f"{what}: pickup {earliest}..{latest}, dropoff {drop_from}..{drop_until}",
        )

    rule(earliest <= latest and drop_from <= drop_until, "a window ends before it starts")
    rule(earliest >= placed, "pickup before the request was placed")
    rule(
        day + service["opens"] <= earliest and latest <= day + service["closes"],
        "pickup outside opening hours",
    )
    rule(latest - earliest <= service["max_wait_ms"], "the pickup interval is longer than the longest wait")
    if request["earliest_pickup_ms"] is not None:
        ready = request["earliest_pickup_ms"] + walks[0]
        rule(
            ready <= earliest and latest <= ready + service["max_wait_ms"],
            "not within the wished departure's wait",
        )
        lead = request["earliest_pickup_ms"] - placed
    else:
        there = request["latest_arrival_ms"] - walks[1]
        rule(
            there - service["arrival_margin_ms"] <= drop_from and drop_until <= there,
            "not at the wished arrival",
        )
        lead = service["min_lead_ms"]
    rule(service["min_lead_ms"] <= lead <= service["max_ahead_ms"], "booked too late or too early")
    for low, high, (first, last) in (
        ("pickup_from_ms", "pickup_until_ms", promise["pickup"]),
        ("dropoff_from_ms", "dropoff_until_ms", promise["dropoff"]),
    ):
        if request[low] is not None:
            rule(request[low] <= first and last <= request[high], "outside the rider's own window")


def _check_kept(
    name: str,
    request: RowDict,
    story: dict[str, RowDict],
    promise: RowDict,
    service: RowDict,
    report: CheckReport,
) -> None:
    at = {kind: event["time_ms"] for kind, event in story.items()}
    chair = "wheelchair_" if request["wheelchairs"] else ""
    boarding = service[f"{chair}boarding_ms"] + request["extra_boarding_ms"]
    alighting = service[f"{chair}alighting_ms"] + request["extra_alighting_ms"]
    spots = {kind: event["spot"] for kind, event in story.items()}
    (p0, p1), (d0, d1) = promise["pickup"], promise["dropoff"]
    ride = at["dropoff_started"] - at["picked_up"]
    report.expect(
        p0 <= at["pickup_started"] <= p1,
        "promise",
        name,
        f"picked up at {at['pickup_started']}, promised {p0}..{p1}",
    )
    report.expect(
        d0 <= at["dropoff_started"] <= d1,
        "promise",
        name,
        f"set down at {at['dropoff_started']}, promised {d0}..{d1}",
    )
    report.expect(ride <= promise["max_ride_ms"], "ride limit", name, f"rode {ride} ms of {promise['max_ride_ms']}")
    report.expect(
        at["picked_up"] - at["pickup_started"] == boarding, "boarding", name, f"took other than {boarding} ms"
    )
    report.expect(
        at["dropped_off"] - at["dropoff_started"] == alighting,
        "boarding",
        name,
        f"alighting other than {alighting} ms",
    )
    report.expect(
        spots["pickup_started"] == tuple(promise["origin"])
        and spots["dropoff_started"] == tuple(promise["destination"]),
        "place", name, f"boarded at {spots['pickup_started']}, alighted at {spots['dropoff_started']}",
    )  # fmt: skip


def check_refusals(run: Run, streets: Streets, report: CheckReport) -> None:
    """Refusals whose truth does not hang on the state of the fleet."""
    ends = Ends(run, streets)
    layouts = [json.loads(v["layouts"]) for v in run.vehicles.values()]
    for event in run.events:
        if event["kind"] != "request_refused" or event["request_id"] not in run.requests:
            continue
        request, reason = run.requests[event["request_id"]], event["reason"]
        found = [ends.judge(request[f"{end}_lon"], request[f"{end}_lat"])[0] for end in ("origin", "destination")]
        first = next((x for x in found if x), None)
        if reason in STATIC_REASONS or first is not None:
            report.expect(reason == first, "reason", request["request_id"], f"refused for {reason}, found {first}")
        if reason == "fleet.party_too_big":
            party = [request[k] for k in ("seats", "wheelchairs", "luggage")]
            allowed = [
                lay for lay, v in zip(layouts, run.vehicles.values(), strict=True)
                if request["operator_id"] in (None, v["operator_id"]) and v["shift_end_ms"] > event["time_ms"]
            ]  # fmt: skip
            holds = any(all(a <= b for a, b in zip(party, x, strict=True)) for lay in allowed for x in lay)
            report.expect(not holds, "reason", request["request_id"], "a vehicle on duty could hold the party")
        nearest: Any = json.loads(event["details"] or "{}").get("nearest")
        report.expect(
            nearest is None or nearest >= event["time_ms"], "reason", request["request_id"],
            f"nearest feasible time {nearest} lies in the past",
        )  # fmt: skip
