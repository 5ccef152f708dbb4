"""The KPIs counted again, from requests, events and legs."""

import json
from fractions import Fraction
from typing import Any

from noriai_engine.checker.load import RowDict, Run
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.shortest import Times
from noriai_engine.checker.traffic import Versions


def check_kpis(
    run: Run,
    served: dict[str, dict[str, RowDict]],
    versions: Versions,
    times: list[Times],
    report: CheckReport,
) -> None:
    """Every figure in kpis.json equals the recount to its last digit; the map's lines equal the legs."""
    counted = _recount(run, served, versions, times)
    said: RowDict = run.kpis["kpis"]
    for name in sorted(set(counted) | set(said)):
        figure = said.get(name, {})
        value, of = figure.get("value", "absent"), figure.get("denominator", {}).get("value")
        wanted, wanted_of = counted.get(name, ("no such figure", None))
        report.expect(value == wanted, "kpi", name, f"says {value}, counted {wanted}")
        report.expect(of == wanted_of, "kpi", name, f"says a denominator of {of}, counted {wanted_of}")
    refusals: dict[str, int] = {}
    for event in run.events:
        if event["kind"] == "request_refused":
            refusals[event["reason"]] = refusals.get(event["reason"], 0) + 1
    report.expect(run.kpis["refusals"]["value"] == refusals, "kpi", "refusals", f"counted {refusals}")
    ends = {
        "booking_cancelled": "cancelled",
        "no_show": "no_show",
        "request_refused": "refused",
        "offer_lapsed": "lapsed",
        "booking_dropped": "dropped",
    }
    lost = {event["request_id"]: ends[event["kind"]] for event in run.events if event["kind"] in ends}
    total = len(served) + len(lost)
    report.expect(
        total == len(run.requests),
        "accounting",
        "requests",
        f"served + refused + cancelled + not come + dropped = {total} of {len(run.requests)}",
    )
    features = [(feature["properties"], feature["geometry"]["coordinates"]) for feature in run.lines["features"]]
    drawn = {what["vehicle_id"]: len(lines) for what, lines in features if what["what"] == "vehicle"}
    outcomes = {what["request_id"]: what["state"] for what, _ in features if what["what"] == "request"}
    truth = {name: "done" if name in served else lost.get(name, "lost") for name in run.requests}
    report.expect(outcomes == truth, "accounting", "plan.geojson", "its requests are not those of the log")
    driven = dict.fromkeys(run.vehicles, 0)
    for leg in run.legs:
        driven[leg["vehicle_id"]] = driven.get(leg["vehicle_id"], 0) + 1
    report.expect(drawn == driven, "accounting", "plan.geojson", "its lines are not the legs")


def _rounded(top: int, bottom: int, scale: Fraction = Fraction(1)) -> float | None:
    return None if bottom == 0 else float(round(Fraction(top, bottom) * scale, 3))


def _recount(
    run: Run, served: dict[str, dict[str, RowDict]], versions: Versions, times: list[Times]
) -> dict[str, tuple[Any, int]]:
    """Value and denominator of every figure."""
    minute, hour, km = Fraction(1, 60_000), Fraction(1, 3_600_000), Fraction(1, 1_000_000)
    waits, rides, directs, on_time, timed, riders = [], [], [], 0, 0, 0
    kept, late, walked = 0, [], 0
    for name, story in served.items():
        request = run.requests[name]
        riders += request["seats"] + request["wheelchairs"]
        if request["earliest_pickup_ms"] is None:
            timed += 1
            on_time += story["dropoff_started"]["time_ms"] <= request["latest_arrival_ms"]
        else:
            waits.append(story["pickup_started"]["time_ms"] - request["earliest_pickup_ms"])
        rides.append(story["dropoff_started"]["time_ms"] - story["picked_up"]["time_ms"])
        promise = run.details(story["booking_accepted"])
        version = versions.at_event(story["booking_accepted"])
        directs.append(times[version][tuple(promise["origin"]), tuple(promise["destination"]), False][0])
        walked += sum(promise["walk_ms"])
        over = [story[f"{end}_started"]["time_ms"] - promise[end][1] for end in ("pickup", "dropoff")]
        late += [max(over)] if max(over) > 0 else []
        kept += max(*over, rides[-1] - promise["max_ride_ms"]) <= 0
    chairs = {name for name, request in run.requests.items() if request["wheelchairs"] > 0}
    driven = sum(leg["distance_mm"] for leg in run.legs)
    crews = [(leg, json.loads(leg["requests"])) for leg in run.legs]
    loaded = sum(leg["distance_mm"] for leg, crew in crews if crew)
    together = {name for _, crew in crews if len(crew) > 1 for name in crew}
    rider_mm = sum(leg["distance_mm"] * (leg["seats"] + leg["wheelchairs"]) for leg in run.legs)
    shifts = sum(v["shift_end_ms"] - v["shift_start_ms"] for v in run.vehicles.values())
    rank = sorted(waits)[-(-95 * len(waits) // 100) - 1] if waits else None
    n, hundred = len(served), Fraction(100)
    everybody, run_of_one = len(run.requests), 1
    drive_ms = sum(leg["arrive_ms"] - leg["depart_ms"] for leg in run.legs)
    return {
        "requests": (everybody, run_of_one),
        "served": (n, everybody),
        "service_rate": (_rounded(n, everybody, hundred), everybody),
        "service_rate_wheelchair": (_rounded(len(chairs & set(served)), len(chairs), hundred), len(chairs)),
        "cancelled": (sum(event["kind"] == "booking_cancelled" for event in run.events), everybody),
        "no_shows": (sum(event["kind"] == "no_show" for event in run.events), everybody),
        "dropped": (sum(event["kind"] == "booking_dropped" for event in run.events), everybody),
        "riders_served": (riders, n),
        "wait_mean": (_rounded(sum(waits), len(waits), minute), len(waits)),
        "wait_p95": (None if rank is None else round(rank / 60_000, 3), len(waits)),
        "walk_mean": (_rounded(walked, n, minute), n),
        "ride_mean": (_rounded(sum(rides), n, minute), n),
        "ride_ratio": (_rounded(sum(rides), sum(directs)), sum(directs)),
        "detour_mean": (_rounded(sum(rides) - sum(directs), n, minute), n),
        "shared_share": (_rounded(len(together & set(served)), n, hundred), n),
        "on_time_arrivals": (_rounded(on_time, timed, hundred), timed),
        "promises_kept": (_rounded(kept, n, hundred), n),
        "late_mean": (_rounded(sum(late), len(late), minute), len(late)),
        "vehicle_km": (_rounded(driven, 1, km), run_of_one),
        "empty_share": (_rounded(driven - loaded, driven, hundred), driven),
        "km_per_served": (_rounded(driven, n, km), n),
        "occupancy": (_rounded(rider_mm, loaded), loaded),
        "drive_hours": (_rounded(drive_ms, 1, hour), run_of_one),
        "shift_hours": (_rounded(shifts, 1, hour), run_of_one),
        "riders_per_hour": (_rounded(riders, shifts, Fraction(3_600_000)), shifts),
    }
