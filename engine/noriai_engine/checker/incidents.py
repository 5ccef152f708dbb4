"""What nobody planned: it happened as the run declares, and every promise it broke was told before, with its cause."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from noriai_engine.checker.load import RowDict, Run, boarding_ms
from noriai_engine.checker.report import CheckReport

INCIDENTS = ("vehicle_delayed", "vehicle_failed", "traffic_changed")
NEVER = 1 << 60


@dataclass
class Told:
    """The latest that was told: of each request (pickup, dropoff, longest ride), of each vehicle its shift's end and
    its breaks' latest begins; who was aboard a vehicle that failed; vehicles by instant that an incident touched, and
    (instant, vehicle) of stops that fell away; bookings without a vehicle, with the cause that took it; each
    booking's vehicle."""

    limits: dict[str, list[int]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, list[list[int]]] = field(default_factory=dict)
    interrupted: set[str] = field(default_factory=set)
    causes: dict[int, set[tuple[str | None, str]]] = field(default_factory=dict)
    fell_away: set[tuple[int, str]] = field(default_factory=set)
    alone: dict[str, str] = field(default_factory=dict)
    riding_with: dict[str, str] = field(default_factory=dict)

    def touched(self, instant: int, vehicle: str) -> bool:
        """Whether an incident of that instant concerned the vehicle."""
        return any(who in (None, vehicle) for who, _ in self.causes.get(instant, ()))


def check_incidents(run: Run, report: CheckReport) -> None:
    """Failures and late drivers are those declared; vehicles are held up only on the way, and only if that may be."""
    life = run.meta["life"]
    declared = Counter((d["at_ms"], d["vehicle_id"], d["cause"], d["until_ms"]) for d in life["incidents"])
    off: dict[str, int] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    under_way: set[str] = set()
    for event in run.events:
        kind, who, now = event["kind"], event["vehicle_id"], event["time_ms"]
        if kind in ("vehicle_departed", "vehicle_diverted"):
            under_way.add(who)
        elif kind == "vehicle_arrived":
            under_way.discard(who)
        if kind in ("shift_ended", "vehicle_failed"):
            off.setdefault(who, now)
        if kind not in ("vehicle_delayed", "vehicle_failed"):
            continue
        details = run.details(event)
        if kind == "vehicle_delayed" and details["cause"] == "held_up":
            report.expect(life["held_up_permille"] > 0, "incident", who, f"held up at {now}: no hold-ups declared")
            report.expect(who in under_way, "incident", who, f"held up at {now}, not on its way")
            under_way.discard(who)
            report.expect(details["until"] >= now, "incident", who, f"held up until {details['until']} at {now}")
        else:
            seen[now, who, details["cause"], details.get("until")] += 1
    for what in seen - declared:
        report.expect(False, "incident", str(what[1]), f"{what[2]} at {what[0]} is not declared")
    for at, who, cause, _ in declared - seen:
        gone = who in off and off[who] <= at
        report.expect(gone, "incident", str(who), f"{cause} declared for {at} did not happen")


def check_breaches(run: Run, report: CheckReport) -> Told:
    """Nobody is picked up, carried or set down later than told; what is told later than promised has its cause."""
    told, left = Told(), dict[str, int]()
    for name, vehicle in run.vehicles.items():
        told.ends[name] = vehicle["shift_end_ms"]
        told.breaks[name] = [list(b) for b in run.breaks(vehicle)]
    for event in run.events:
        kind, rider, now = event["kind"], event["request_id"], event["time_ms"]
        if kind in ("booking_cancelled", "no_show"):
            told.fell_away.add((now, event["vehicle_id"]))
        if kind in INCIDENTS:
            told.causes.setdefault(now, set()).add((event["vehicle_id"], run.details(event)["cause"]))
        elif kind == "booking_accepted":
            promise = run.details(event)
            told.limits[rider] = [promise["pickup"][1], promise["dropoff"][1], promise["max_ride_ms"]]
            told.riding_with[rider] = event["vehicle_id"]
        elif kind == "promise_broken":
            _tell(run, event, told, left, report)
        elif kind == "booking_unassigned":
            told.alone[rider] = run.details(event)["cause"]
        elif kind == "booking_moved":
            told.alone.pop(rider, None)
            told.riding_with[rider] = event["vehicle_id"]
        elif rider not in told.limits:
            continue
        elif kind == "ride_interrupted":
            told.limits[rider][0] = told.limits[rider][2] = NEVER
            told.interrupted.add(rider)
            left.pop(rider, None)
        elif kind == "pickup_started":
            latest = told.limits[rider][0]
            report.expect(now <= latest, "promise", rider, f"picked up at {now}, told {latest} at the latest")
            left[rider] = now + boarding_ms(run, rider)  # as planned: a ride's length counts from then
        elif kind == "picked_up":
            left[rider] = now
        elif kind == "dropoff_started":
            _, latest, longest = told.limits[rider]
            report.expect(now <= latest, "promise", rider, f"set down at {now}, told {latest} at the latest")
            ride = now - left.get(rider, now)
            report.expect(ride <= longest, "ride limit", rider, f"rode {ride} ms of {longest}")
    return told


def _tell(run: Run, event: RowDict, told: Told, left: dict[str, int], report: CheckReport) -> None:
    """One `promise_broken`: an incident of that instant is its cause, or what took the booking's vehicle, or a stop
    that fell away, past which an electric one gets by a longer way only; and it corrects what was told last."""
    rider, vehicle, details = event["request_id"], event["vehicle_id"], run.details(event)
    causes = {cause for _, cause in told.causes.get(event["time_ms"], ())}
    causes |= {told.alone[rider]} if rider in told.alone else set()
    former = told.riding_with.get(rider, "")
    electric = former in run.vehicles and json.loads(run.vehicles[former]["battery"]) is not None
    if electric and (event["time_ms"], former) in told.fell_away:
        causes |= {"cancelled", "no_show"}
    who = str(rider or vehicle)
    report.expect(details["cause"] in causes, "breach", who, f"cause {details['cause']}, but there were {causes}")
    if "wider_ms" in details:
        told.limits[rider] = [limit + details["wider_ms"] for limit in told.limits[rider]]
        return
    what, promised, later = details["what"], details["promised"], details["now"]
    report.expect(later > promised, "breach", who, f"{what} told for {later} instead of {promised}")
    if rider is None:
        if what == "end":
            report.expect(promised == told.ends[vehicle], "breach", who, f"end {promised}, told {told.ends[vehicle]}")
            told.ends[vehicle] = later
            return
        pause = next((b for b in told.breaks[vehicle] if b[1] == promised), None)
        if report.expect(pause is not None, "breach", who, f"no break was told for {promised} at the latest"):
            assert pause is not None
            pause[1] = later
        return
    pickup, dropoff, ride = told.limits[rider]
    if what == "dropoff" and rider in left:
        dropoff = min(dropoff, left[rider] + ride)
        told.limits[rider][2] = max(ride, later - left[rider])
    before = {"pickup": pickup, "dropoff": dropoff, "ride": ride}[what]
    report.expect(promised == before, "breach", who, f"{what} says it was told {promised}, but {before} was")
    place = ("pickup", "dropoff", "ride").index(what)
    told.limits[rider][place] = max(told.limits[rider][place], later)
