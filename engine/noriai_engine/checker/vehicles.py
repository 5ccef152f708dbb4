"""What vehicles did: no teleport, true driving times, capacity, shifts, breaks, and stops that no longer moved."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from noriai_engine.checker.load import Roads, RowDict, Run, Spot
from noriai_engine.checker.places import Found
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.shortest import Times, along_mm

STANDING = ("pickup", "dropoff", "break")
STARTS = {"pickup_started": "picked_up", "dropoff_started": "dropped_off", "break_started": "break_ended"}


def check_legs(run: Run, roads: Roads, times: Times, report: CheckReport) -> None:
    """Every leg runs from street to street by turns that exist, in the fastest time and the shortest of fastest
    lengths."""
    columns = roads.turn_source.tolist(), roads.turn_target.tolist(), roads.turn_ms.tolist()
    turns = {(a, b): ms for a, b, ms in zip(*columns, strict=True)}
    ms_of, mm_of = roads.arc_ms[roads.state_arc].tolist(), roads.arc_mm[roads.state_arc].tolist()
    for number, leg in enumerate(run.legs):
        who = f"leg {number} of {leg['vehicle_id']}"
        states = [int(state) for state in leg["states"].split()]
        steps = list(pairwise(states))
        if not report.expect(all(s in turns for s in steps), "no teleport", who, "takes a turn that does not exist"):
            continue
        source, target = leg["from_spot"], leg["to_spot"]
        ms = sum(ms_of[a] + turns[a, b] for a, b in steps) + target[1] - source[1]
        mm = sum(mm_of[a] for a, _ in steps) + along_mm(roads, target) - along_mm(roads, source)
        best = times[source, target, leg["diverted"]]
        report.expect((states[0], states[-1]) == (source[0], target[0]), "no teleport", who, "its way has other ends")
        report.expect(
            leg["arrive_ms"] - leg["depart_ms"] == ms == best[0],
            "travel time",
            who,
            f"drove {leg['arrive_ms'] - leg['depart_ms']} ms, its way takes {ms}, Dijkstra {best[0]}",
        )
        report.expect(
            leg["distance_mm"] == mm == best[1],
            "distance",
            who,
            f"says {leg['distance_mm']} mm, its way has {mm}, Dijkstra {best[1]}",
        )


def check_vehicle(
    run: Run,
    vehicle: RowDict,
    events: list[RowDict],
    legs: list[RowDict],
    found: Found,
    state_arc: npt.NDArray[np.int64],
    report: CheckReport,
) -> None:
    """One vehicle's day, walked through event by event beside its legs."""
    who = vehicle["vehicle_id"]

    def same(one: Spot, other: Spot) -> bool:
        """Two states of one street are one place: what sets them apart is how a vehicle came there."""
        return int(state_arc[one[0]]) == int(state_arc[other[0]]) and one[1] == other[1]

    layouts = json.loads(vehicle["layouts"])
    told = ("booking_accepted", "booking_cancelled", "booking_moved", "plan_changed")  # about it, not by it
    moves = [event for event in events if event["kind"] not in told]
    kinds = [event["kind"] for event in moves]
    if not report.expect(
        bool(kinds) and kinds[0] == "shift_started" and kinds[-1] == "shift_ended", "shift", who,
        f"its day runs from {kinds[:1]} to {kinds[-1:]}",
    ):  # fmt: skip
        return
    depot = moves[0]["spot"]
    report.expect(found.worse_m == 0.0, "shift", who, f"starts {found.worse_m:.1f} m beside the depot's street")
    report.expect(not found.side, "shift", who, f"its depot {found.side}")
    report.expect(moves[0]["time_ms"] == vehicle["shift_start_ms"], "shift", who, "starts at another time")
    report.expect(moves[-1]["time_ms"] <= vehicle["shift_end_ms"], "shift", who, "ends after its shift")
    report.expect(moves[-1]["spot"] == depot, "shift", who, "ends elsewhere than at the depot")

    aboard: dict[str, list[int]] = {}
    spot, free_at, busy_with = depot, vehicle["shift_start_ms"], None
    set_out = -1  # when it last left or turned; turned back on the spot, it arrives at once and drives no leg
    waiting_legs = list(reversed(legs))
    pauses: list[tuple[int, int]] = []
    for event in moves[1:]:
        now, kind = event["time_ms"], event["kind"]
        while waiting_legs and waiting_legs[-1]["arrive_ms"] <= now and kind != "vehicle_diverted":
            spot, free_at = _drive(who, waiting_legs.pop(), spot, free_at, aboard, report)
        if kind == "vehicle_departed":
            report.expect(
                busy_with is None and event["spot"] == spot,
                "no teleport",
                who,
                f"departs from {event['spot']}, stands at {spot}",
            )
            set_out = now
        elif kind == "vehicle_diverted":
            set_out = json.loads(event["details"])["at"]
        elif kind == "vehicle_arrived":
            report.expect(
                same(event["spot"], spot) and now in (free_at, set_out),
                "no teleport",
                who,
                f"arrives at {event['spot']}, is at {spot}",
            )
            spot = event["spot"]  # a vehicle that stands has no way behind it
        elif kind in STARTS:
            report.expect(
                busy_with is None and event["spot"] == spot and free_at <= now,
                "no teleport",
                who,
                f"{kind} at {event['spot']} at {now}, is at {spot} from {free_at}",
            )
            busy_with = (STARTS[kind], event["request_id"])
            free_at = now
            _board(run, who, event, aboard, layouts, report)
            if kind == "break_started":
                report.expect(not aboard, "break", who, "starts with riders aboard")
                report.expect(spot == depot, "break", who, "is not at the depot")
                pauses.append((now, -1))
        elif kind == "no_show":
            expected = ("picked_up", event["request_id"])
            report.expect(
                busy_with == expected, "lifecycle", who, f"a no-show of {event['request_id']} outside boarding"
            )
            busy_with, free_at = None, now
            aboard.pop(event["request_id"], None)
        elif kind in STARTS.values():
            report.expect(busy_with == (kind, event["request_id"]), "lifecycle", who, f"{kind} ends what has not begun")
            busy_with, free_at = None, now
            if kind == "break_ended" and pauses:
                pauses[-1] = (pauses[-1][0], now)
            if kind == "dropped_off":
                aboard.pop(event["request_id"], None)
        elif kind == "shift_ended":
            report.expect(not aboard, "capacity", who, f"ends its shift with {sorted(aboard)} aboard")
            report.expect(event["spot"] == spot, "no teleport", who, f"ends at {event['spot']}, is at {spot}")
    report.expect(not waiting_legs, "no teleport", who, f"{len(waiting_legs)} legs after its last event")
    _check_breaks(who, json.loads(vehicle["breaks"]), pauses, report)


def _drive(
    who: str, leg: RowDict, spot: Spot, free_at: int, aboard: dict[str, list[int]], report: CheckReport
) -> tuple[Spot, int]:
    report.expect(
        leg["from_spot"] == spot and leg["depart_ms"] >= free_at,
        "no teleport",
        who,
        f"leg at {leg['depart_ms']} from {leg['from_spot']}, vehicle at {spot} from {free_at}",
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
    return leg["to_spot"], leg["arrive_ms"]


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
        elif event["kind"] in ("booking_cancelled", "no_show"):
            plans[vehicle] = [a for a in plans.get(vehicle, []) if a[1] != event["request_id"]]
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
