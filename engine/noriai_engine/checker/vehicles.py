"""What vehicles did: no teleport, true driving times, capacity, shifts, breaks, and stops that no longer moved."""

import json
from itertools import pairwise
from typing import Any

from noriai_engine.checker.load import Roads, RowDict, Run
from noriai_engine.checker.report import CheckReport

STANDING = ("pickup", "dropoff", "break")
STARTS = {"pickup_started": "picked_up", "dropoff_started": "dropped_off", "break_started": "break_ended"}
Times = dict[tuple[int, int], tuple[int, int]]


def check_legs(run: Run, roads: Roads, times: Times, report: CheckReport) -> None:
    """Every leg runs over neighbouring nodes, in the fastest time and the shortest of fastest lengths."""
    arcs: dict[tuple[int, int], tuple[int, int]] = {}
    for tail, head, ms, mm in zip(*(x.tolist() for x in (roads.tail, roads.head, roads.ms, roads.mm)), strict=True):
        arcs[tail, head] = min(arcs.get((tail, head), (1 << 60, 0)), (ms, mm))
    for number, leg in enumerate(run.legs):
        who = f"leg {number} of {leg['vehicle_id']}"
        nodes = [int(node) for node in leg["nodes"].split()]
        steps = [arcs.get(pair) for pair in pairwise(nodes)]
        if not report.expect(None not in steps, "no teleport", who, "jumps between nodes that no street joins"):
            continue
        ms, mm = sum(s[0] for s in steps if s), sum(s[1] for s in steps if s)
        best = times[leg["from_node"], leg["to_node"]]
        report.expect(
            (nodes[0], nodes[-1]) == (leg["from_node"], leg["to_node"]),
            "no teleport",
            who,
            "its path has other ends",
        )
        report.expect(
            leg["arrive_ms"] - leg["depart_ms"] == ms == best[0],
            "travel time",
            who,
            f"drove {leg['arrive_ms'] - leg['depart_ms']} ms, its path takes {ms}, Dijkstra {best[0]}",
        )
        report.expect(
            leg["distance_mm"] == mm == best[1],
            "distance",
            who,
            f"says {leg['distance_mm']} mm, its path has {mm}, Dijkstra {best[1]}",
        )


def check_vehicle(
    run: Run,
    vehicle: RowDict,
    events: list[RowDict],
    legs: list[RowDict],
    depot_off_m: float,
    report: CheckReport,
) -> None:
    """One vehicle's day, walked through event by event beside its legs."""
    who = vehicle["vehicle_id"]
    layouts = json.loads(vehicle["layouts"])
    moves = [event for event in events if event["kind"] not in ("booking_accepted", "plan_changed")]
    kinds = [event["kind"] for event in moves]
    if not report.expect(
        bool(kinds) and kinds[0] == "shift_started" and kinds[-1] == "shift_ended", "shift", who,
        f"its day runs from {kinds[:1]} to {kinds[-1:]}",
    ):  # fmt: skip
        return
    depot = moves[0]["node"]
    report.expect(depot_off_m < 1.0, "shift", who, f"starts {depot_off_m:.1f} m farther than the depot's nearest node")
    report.expect(moves[0]["time_ms"] == vehicle["shift_start_ms"], "shift", who, "starts at another time")
    report.expect(moves[-1]["time_ms"] <= vehicle["shift_end_ms"], "shift", who, "ends after its shift")
    report.expect(moves[-1]["node"] == depot, "shift", who, "ends elsewhere than at the depot")

    aboard: dict[str, list[int]] = {}
    node, free_at, busy_with = depot, vehicle["shift_start_ms"], None
    set_out = -1  # when it last left or turned; turned back on the spot, it arrives at once and drives no leg
    waiting_legs = list(reversed(legs))
    pauses: list[tuple[int, int]] = []
    for event in moves[1:]:
        now, kind = event["time_ms"], event["kind"]
        while waiting_legs and waiting_legs[-1]["arrive_ms"] <= now and kind != "vehicle_diverted":
            node, free_at = _drive(who, waiting_legs.pop(), node, free_at, aboard, report)
        if kind == "vehicle_departed":
            report.expect(
                busy_with is None and event["node"] == node,
                "no teleport",
                who,
                f"departs from {event['node']}, stands at {node}",
            )
            set_out = now
        elif kind == "vehicle_diverted":
            set_out = json.loads(event["details"])["at"]
        elif kind == "vehicle_arrived":
            report.expect(
                event["node"] == node and now in (free_at, set_out),
                "no teleport",
                who,
                f"arrives at {event['node']}, is at {node}",
            )
        elif kind in STARTS:
            report.expect(
                busy_with is None and event["node"] == node and free_at <= now,
                "no teleport",
                who,
                f"{kind} at {event['node']} at {now}, is at {node} from {free_at}",
            )
            busy_with = (STARTS[kind], event["request_id"])
            free_at = now
            _board(run, who, event, aboard, layouts, report)
            if kind == "break_started":
                report.expect(not aboard, "break", who, "starts with riders aboard")
                report.expect(node == depot, "break", who, "is not at the depot")
                pauses.append((now, -1))
        elif kind in STARTS.values():
            report.expect(busy_with == (kind, event["request_id"]), "lifecycle", who, f"{kind} ends what has not begun")
            busy_with, free_at = None, now
            if kind == "break_ended" and pauses:
                pauses[-1] = (pauses[-1][0], now)
            if kind == "dropped_off":
                aboard.pop(event["request_id"], None)
        elif kind == "shift_ended":
            report.expect(not aboard, "capacity", who, f"ends its shift with {sorted(aboard)} aboard")
            report.expect(event["node"] == node, "no teleport", who, f"ends at {event['node']}, is at {node}")
    report.expect(not waiting_legs, "no teleport", who, f"{len(waiting_legs)} legs after its last event")
    _check_breaks(who, json.loads(vehicle["breaks"]), pauses, report)


def _drive(
    who: str, leg: RowDict, node: int, free_at: int, aboard: dict[str, list[int]], report: CheckReport
) -> tuple[int, int]:
    report.expect(
        leg["from_node"] == node and leg["depart_ms"] >= free_at,
        "no teleport",
        who,
        f"leg at {leg['depart_ms']} from {leg['from_node']}, vehicle at {node} from {free_at}",
    )
    report.expect(
        sorted(json.loads(leg["requests"])) == sorted(aboard),
        "capacity",
        who,
        f"leg carries {leg['requests']}, aboard are {sorted(aboard)}",
    )
    load = [sum(x) for x in zip([0, 0, 0], *aboard.values(), strict=True)]
    said = [leg["seats"], leg["wheelchairs"], leg["luggage"]]
    report.expect(load == said, "capacity", who, f"leg says load {said}, aboard is {load}")
    return leg["to_node"], leg["arrive_ms"]


def _board(
    run: Run,
    who: str,
    event: RowDict,
    aboard: dict[str, list[int]],
    layouts: list[list[int]],
    report: CheckReport,
) -> None:
    if event["kind"] != "pickup_started" or event["request_id"] not in run.requests:
        if event["kind"] == "dropoff_started":
            report.expect(
                event["request_id"] in aboard,
                "precedence",
                who,
                f"{event['request_id']} alights, is not aboard",
            )
        return
    request = run.requests[event["request_id"]]
    aboard[event["request_id"]] = [request["seats"], request["wheelchairs"], request["luggage"]]
    load = [sum(x) for x in zip(*aboard.values(), strict=True)]
    fits = any(all(a <= b for a, b in zip(load, layout, strict=True)) for layout in layouts)
    report.expect(fits, "capacity", who, f"load {load} fits no layout of {layouts}")


def _check_breaks(who: str, due: list[list[int]], taken: list[tuple[int, int]], report: CheckReport) -> None:
    if not report.expect(len(due) == len(taken), "break", who, f"{len(taken)} breaks taken, {len(due)} due"):
        return
    for (earliest, latest, duration), (start, end) in zip(sorted(due), taken, strict=True):
        report.expect(earliest <= start <= latest, "break", who, f"starts {start}, window {earliest}..{latest}")
        report.expect(end - start == duration, "break", who, f"lasts {end - start} ms, due {duration}")


def check_locks(run: Run, report: CheckReport) -> None:
    """A stop that began within the commit horizon when a plan changed keeps its place and its time."""
    horizon = run.meta["service"]["commit_horizon_ms"]
    plans: dict[str, list[list[Any]]] = {}
    done: dict[str, set[tuple[str, str | None]]] = {}
    actual: dict[tuple[str, str | None, str], int] = {}
    kinds = {"pickup_started": "pickup", "dropoff_started": "dropoff"}
    for event in run.events:
        vehicle = event["vehicle_id"]
        if event["kind"] in kinds:
            key = (kinds[event["kind"]], event["request_id"])
            done.setdefault(vehicle, set()).add(key)
            actual[vehicle, event["request_id"], key[0]] = event["time_ms"]
            planned = [a for a in plans.get(vehicle, []) if (a[0], a[1]) == key]
            report.expect(
                bool(planned) and planned[0][3] == event["time_ms"],
                "plan",
                vehicle,
                f"{key} at {event['time_ms']}, planned {planned}",
            )
        elif event["kind"] == "plan_changed":
            new = json.loads(event["details"])["activities"]
            old = [
                a for a in plans.get(vehicle, []) if a[0] in STANDING and (a[0], a[1]) not in done.get(vehicle, set())
            ]
            locked = [a for a in old if a[0] != "break" and a[3] <= event["time_ms"] + horizon]
            kept = [a for a in new if a[0] != "break"][: len(locked)]
            report.expect(locked == kept, "lock", vehicle, f"committed {locked} became {kept} at {event['time_ms']}")
            begins = [a[3] for a in new]
            report.expect(begins == sorted(begins), "plan", vehicle, f"times fall in the plan of {event['time_ms']}")
            plans[vehicle] = new
