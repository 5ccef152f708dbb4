"""What riders were promised and got: states, windows, ride limits, boarding times, reasons of refusal."""

import json
import re
from itertools import pairwise
from typing import Any

import numpy as np

from noriai_engine.checker.incidents import Told
from noriai_engine.checker.load import RowDict, Run, Spot, boarding_ms
from noriai_engine.checker.places import Streets
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.shortest import Times
from noriai_engine.checker.traffic import Versions
from noriai_engine.checker.walking import Walks

LETTERS = {
    "request_received": "r", "request_refused": "x", "offer_lapsed": "l", "booking_accepted": "a",
    "pickup_started": "p", "picked_up": "u", "ride_interrupted": "i", "dropoff_started": "s", "dropped_off": "d",
    "booking_cancelled": "c", "no_show": "n", "booking_dropped": "z", "booking_unassigned": "w",
}  # fmt: skip
STORIES = {
    "refused": "rx", "lapsed": "rl", "served": "ra(pu?i|w)*pusd", "cancelled": "ra(pu?i|w)*c",
    "no_show": "ra(pu?i|w)*pn", "dropped": "ra(pu?i|w)*z",
}  # fmt: skip
"""What may become of a request: rides that vehicles' failures interrupt go on with another one, and bookings that lost
theirs get another one, or none."""
STATIC_REASONS = {"area.outside", "place.off_network", "stops.too_far"}


def events_by_request(run: Run) -> dict[str, list[RowDict]]:
    grouped: dict[str, list[RowDict]] = {request: [] for request in run.requests}
    for event in run.events:
        if event["request_id"] is not None:
            grouped.setdefault(event["request_id"], []).append(event)
    return grouped


def check_stories(run: Run, versions: Versions, told: Told, report: CheckReport) -> dict[str, dict[str, RowDict]]:
    """Every request has one complete story; returns the served ones, by request the first event of each kind."""
    served = {}
    for request, events in events_by_request(run).items():
        if not report.expect(request in run.requests, "partition", request, "is in the log but not among the requests"):
            continue
        all_of_it = events
        events = [event for event in events if event["kind"] not in ("booking_moved", "promise_broken")]
        kinds = [event["kind"] for event in events]
        letters = "".join(LETTERS.get(kind, "?") for kind in kinds)
        outcome = next((name for name, story in STORIES.items() if re.fullmatch(story, letters)), None)
        if not report.expect(outcome is not None, "partition", request, f"its story is {kinds}"):
            continue
        placed = run.requests[request]["placed_at_ms"]
        report.expect(
            events[0]["time_ms"] == placed,
            "partition",
            request,
            f"received {events[0]['time_ms']}, placed {placed}",
        )
        if outcome == "refused":
            report.expect(bool(events[1]["reason"]), "reason", request, "refused without a reason")
        if outcome in ("refused", "lapsed"):
            continue
        if _check_moves(run, request, all_of_it, told, report) and outcome == "served":
            served[request] = _story(request, events, versions, report)
    return served


def _story(request: str, events: list[RowDict], versions: Versions, report: CheckReport) -> dict[str, RowDict]:
    """The first event of each kind. Whoever was aboard a vehicle that failed boards another where that happened."""
    story: dict[str, RowDict] = {}
    for event in events:
        story.setdefault(event["kind"], event)
    for before, event in pairwise(events):
        if before["kind"] == "ride_interrupted":
            there = versions.carried(before["spot"], versions.at_event(before), versions.at_event(event))
            report.expect(event["spot"] == there, "place", request, f"waits at {there}, boards at {event['spot']}")
    return story


def _check_moves(run: Run, request: str, events: list[RowDict], told: Told, report: CheckReport) -> bool:
    """A booking moves while nobody boards, from where it was; to another operator's vehicle only for an incident's
    sake, or because an electric one gets past a stop that fell away by a longer way only. All that is done for it is
    done by the vehicle it is with; False where not. A booking loses its vehicle for the same reasons only, nothing is
    done for it until it has another, and nobody is given up before `give_up_ms` before the latest pickup promised,
    unless on the way."""
    at: Any = None
    riding, good, alone, told_latest, left_behind = False, True, False, 0, False
    give_up_ms = run.meta["service"]["give_up_ms"]
    for event in events:
        kind, who = event["kind"], event["vehicle_id"]
        if kind == "booking_accepted":
            at, told_latest = who, json.loads(event["details"])["pickup"][1]
            continue
        if kind == "ride_interrupted":
            left_behind = True
        if kind == "booking_dropped":
            late = event["time_ms"] >= told_latest - give_up_ms
            good &= report.expect(late or left_behind, "given up", request, f"given up at {event['time_ms']}")
        if kind == "booking_unassigned":
            causes = {cause for _, cause in told.causes.get(event["time_ms"], ())}
            electric = who in run.vehicles and json.loads(run.vehicles[who]["battery"]) is not None
            need = json.loads(event["details"])["cause"] in causes
            need = need or (electric and (event["time_ms"], who) in told.fell_away)
            good &= report.expect(need and not alone and not riding, "move", request, "lost its vehicle for no reason")
            good &= report.expect(who == at, "partition", request, f"{kind} with {who}, is with {at}")
            alone = True
        elif kind == "booking_moved":
            details = json.loads(event["details"])
            known = details["from"] == at and who in run.vehicles and at in run.vehicles
            good &= report.expect(known, "move", request, f"moved from {details['from']} to {who}, but was with {at}")
            if known:
                own = run.vehicles[who]["operator_id"] == run.vehicles[at]["operator_id"]
                need = details.get("cause") in {cause for _, cause in told.causes.get(event["time_ms"], ())}
                electric = json.loads(run.vehicles[at]["battery"]) is not None
                need = need or (electric and (event["time_ms"], at) in told.fell_away) or alone
                report.expect(own or need, "move", request, f"{who} is another operator's than {at}")
            report.expect(not riding, "move", request, f"moved at {event['time_ms']}, while aboard {at}")
            at, alone = who, False
        elif kind not in ("request_received", "promise_broken"):
            good &= report.expect(
                who == at and who in run.vehicles, "partition", request, f"{kind} with {who}, is with {at}"
            )
            still = not alone or kind in ("booking_cancelled", "booking_dropped")
            good &= report.expect(still, "partition", request, f"{kind} without a vehicle")
            riding = kind in ("pickup_started", "picked_up", "dropoff_started")
    return good


class Ends:
    """Spots and walks of both ends of a trip, worked out from coordinates alone."""

    def __init__(self, run: Run, streets: Streets, walks: Walks | None = None) -> None:
        import shapely

        self._walks = walks
        self.service, self.streets, self.stops = run.meta["service"], streets, run.stops
        rings = self.service["area"]
        self.area = shapely.union_all([shapely.Polygon(ring) for ring in rings]) if rings else None

    @property
    def walks(self) -> Walks:
        assert self._walks is not None
        return self._walks

    def on_foot(self, request: RowDict, end: str, spot: Spot, walk_ms: int) -> str:
        """What is wrong with a stop that a rider walks to or from: it is none, it is farther than told, or than the
        rider walks; or, where every ride is from stop to stop, another one is nearer."""
        place, longest, step_free = self._walker(request, end)
        found = [self.streets.find(stop["lon"], stop["lat"], spot) for stop in self.stops]
        at = [stop for stop, f in zip(self.stops, found, strict=True) if not f.side and f.worse_m == 0.0]
        if not at:
            return "is no stop of the service"
        if walk_ms * self.service["walking_speed_mm_s"] > (longest * 1_000 + 1) * 1_000:
            return f"is {walk_ms} ms on foot, the rider walks {longest} m"
        lengths = [mm for stop in at for mm in self.walks.lengths_mm(place, (stop["lon"], stop["lat"]), step_free)]
        told = walk_ms * self.service["walking_speed_mm_s"] / 1_000
        if not any(abs(told - mm) <= _unsure(mm) for mm in lengths):
            return f"is {', '.join(f'{mm:.0f}' for mm in sorted(lengths)) or 'no way'} mm on foot, told {told:.0f}"
        nearest = self._nearest(place, told, step_free)[1] if self.service["mode"] == "stops" else told
        return f"is {told:.0f} mm on foot, another stop {nearest:.0f}" if nearest < told - _unsure(told) else ""

    def reasons(self, request: RowDict, end: str) -> set[str | None]:
        """What may stand against this end: one reason, or None, unless lengths are too near to the limit to tell."""
        import shapely

        lon, lat = request[f"{end}_lon"], request[f"{end}_lat"]
        if self.area is not None and not self.area.intersects(shapely.Point(lon, lat)):
            return {"area.outside"}
        if self.service["mode"] != "stops":
            near = self.streets.find(lon, lat, None).nearest_m <= self.service["max_snap_m"]
            return {None if near else "place.off_network"}
        place, longest, step_free = self._walker(request, end)
        limit = 1_000.0 * longest
        least, most = self._nearest(place, limit, step_free)
        may = {None: least <= limit + _unsure(limit), "stops.too_far": most >= limit - _unsure(limit)}
        return {reason for reason, possible in may.items() if possible}

    def at_door(self, request: RowDict, end: str, spot: Spot) -> str:
        """What is wrong with a spot for this end where nobody walks."""
        found = self.streets.find(request[f"{end}_lon"], request[f"{end}_lat"], spot)
        return found.side or (f"is {found.worse_m:.1f} m off its street" if found.worse_m else "")

    def _walker(self, request: RowDict, end: str) -> tuple[tuple[float, float], int, bool]:
        """Where they are, how far they walk at most (m), and whether on step-free ways only."""
        chair, longest = request["wheelchairs"] > 0, request["longest_walk_m"]
        if longest is None:
            longest = 0 if chair and self.service["mode"] == "meet" else self.service["max_walk_m"]
        return (request[f"{end}_lon"], request[f"{end}_lat"]), longest, bool(request["step_free"] or chair)

    def _nearest(self, place: tuple[float, float], limit_mm: float, step_free: bool) -> tuple[float, float]:
        """mm to the nearest stop, at least and at most; infinite where none is within the limit by the air."""
        least = most = np.inf
        for stop in self.stops:
            goal = stop["lon"], stop["lat"]
            if 1_000 * _metres(*place, *goal) <= limit_mm + _unsure(limit_mm):
                lengths = self.walks.lengths_mm(place, goal, step_free)
                least, most = min([least, *lengths]), min(most, max(lengths, default=np.inf))
        return least, most


def _unsure(mm: float) -> float:
    """Points are found on the sphere there and on a plane here."""
    return 2_000 + 0.01 * mm


def _metres(lon_a: float, lat_a: float, lon_b: float, lat_b: float) -> float:
    a, b = np.radians([lon_a, lat_a]), np.radians([lon_b, lat_b])
    h = np.sin((b[1] - a[1]) / 2) ** 2 + np.cos(a[1]) * np.cos(b[1]) * np.sin((b[0] - a[0]) / 2) ** 2
    return float(2 * 6_371_008.8 * np.arcsin(np.sqrt(h)))


def check_promises(
    run: Run, versions: Versions, streets: list[Streets], served: dict[str, dict[str, RowDict]], times: list[Times],
    told: Told, on_foot: Walks | None, report: CheckReport,
) -> None:  # fmt: skip
    """Every served request: spots, limits and windows follow from request and service, and were kept."""
    service, day = run.meta["service"], run.meta["day_start_ms"]
    all_ends = [Ends(run, under, on_foot) for under in streets]
    for name, story in served.items():
        request, version = run.requests[name], versions.at_event(story["booking_accepted"])
        promise, ends = json.loads(story["booking_accepted"]["details"]), all_ends[version]
        walks = []
        for end, told_ms in zip(("origin", "destination"), promise["walk_ms"], strict=True):
            spot, reasons = tuple(promise[end]), ends.reasons(request, end)
            if service["mode"] == "stops" or (service["mode"] == "meet" and told_ms > 0):
                wrong = ends.on_foot(request, end, spot, told_ms)
            else:
                wrong = ends.at_door(request, end, spot)
                report.expect(told_ms == 0, "place", name, f"{end} told as {told_ms} ms on foot, is at the door")
            report.expect(None in reasons, "area", name, f"{end} should have been refused: {reasons}")
            report.expect(not wrong, "place", name, f"{end} {promise[end]} {wrong}")
            walks.append(told_ms)
        direct = times[version][tuple(promise["origin"]), tuple(promise["destination"]), False][0]
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
        _check_kept(run, name, request, story, promise, service, name in told.interrupted, versions, report)
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
    run: Run,
    name: str,
    request: RowDict,
    story: dict[str, RowDict],
    promise: RowDict,
    service: RowDict,
    interrupted: bool,
    versions: Versions,
    report: CheckReport,
) -> None:
    at = {kind: event["time_ms"] for kind, event in story.items()}
    chair = "wheelchair_" if request["wheelchairs"] else ""
    boarding = boarding_ms(run, name)
    alighting = service[f"{chair}alighting_ms"] + request["extra_alighting_ms"]
    for what, kind in (("pickup", "pickup_started"), ("dropoff", "dropoff_started")):
        first = promise[what][0]
        report.expect(first <= at[kind], "promise", name, f"{kind} at {at[kind]}, promised no sooner than {first}")
    report.expect(
        interrupted or at["picked_up"] - at["pickup_started"] == boarding,
        "boarding", name, f"took other than {boarding} ms",
    )  # fmt: skip
    report.expect(
        at["dropped_off"] - at["dropoff_started"] == alighting,
        "boarding",
        name,
        f"alighting other than {alighting} ms",
    )
    accepted = versions.at_event(story["booking_accepted"])
    for end, kind in (("origin", "pickup_started"), ("destination", "dropoff_started")):
        there = versions.carried(tuple(promise[end]), accepted, versions.at_event(story[kind]))
        report.expect(story[kind]["spot"] == there, "place", name, f"{kind} at {story[kind]['spot']}, not at {there}")


def check_refusals(run: Run, streets: Streets, on_foot: Walks | None, report: CheckReport) -> None:
    """Refusals whose truth does not hang on the state of the fleet."""
    ends = Ends(run, streets, on_foot)
    layouts = [json.loads(v["layouts"]) for v in run.vehicles.values()]
    failed: set[str] = set()
    for event in run.events:
        if event["kind"] == "vehicle_failed":
            failed.add(event["vehicle_id"])
        if event["kind"] != "request_refused" or event["request_id"] not in run.requests:
            continue
        request, reason = run.requests[event["request_id"]], event["reason"]
        first, then = (ends.reasons(request, end) for end in ("origin", "destination"))
        found = (first - {None}) | (then if None in first else set())
        said = reason if reason in STATIC_REASONS else None
        report.expect(said in found, "reason", request["request_id"], f"refused for {reason}, found {found}")
        if reason == "fleet.party_too_big":
            party = [request[k] for k in ("seats", "wheelchairs", "luggage")]
            allowed = [
                lay for lay, v in zip(layouts, run.vehicles.values(), strict=True)
                if request["operator_id"] in (None, v["operator_id"]) and v["shift_end_ms"] > event["time_ms"]
                and v["vehicle_id"] not in failed
            ]  # fmt: skip
            holds = any(all(a <= b for a, b in zip(party, x, strict=True)) for lay in allowed for x in lay)
            report.expect(not holds, "reason", request["request_id"], "a vehicle on duty could hold the party")
        nearest: Any = json.loads(event["details"] or "{}").get("nearest")
        report.expect(
            nearest is None or nearest >= event["time_ms"], "reason", request["request_id"],
            f"nearest feasible time {nearest} lies in the past",
        )  # fmt: skip
