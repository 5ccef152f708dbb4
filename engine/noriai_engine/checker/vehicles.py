"""What vehicles did: no teleport, true driving times, capacity, shifts, breaks, and stops that no longer moved."""

import json
from itertools import pairwise
from typing import Any

from noriai_engine.checker.incidents import NEVER, Told
from noriai_engine.checker.load import RowDict, Run, Spot
from noriai_engine.checker.places import Found
from noriai_engine.checker.report import CheckReport
from noriai_engine.checker.shortest import Times, along_mm
from noriai_engine.checker.traffic import Versions

STANDING = ("pickup", "dropoff", "break")
STARTS = {"pickup_started": "picked_up", "dropoff_started": "dropped_off", "break_started": "break_ended"}


def check_legs(run: Run, versions: Versions, times: list[Times], report: CheckReport) -> None:
    """Every leg runs from street to street by turns that exist and are open, in the fastest time and the shortest of
    fastest lengths, under the travel times in force when it began."""
    turns, ms_of, mm_of = [], [], []
    for roads in versions.roads:
        columns = roads.turn_source.tolist(), roads.turn_target.tolist(), roads.turn_ms.tolist()
        turns.append({(a, b): ms for a, b, ms in zip(*columns, strict=True)})
        ms_of.append(roads.arc_ms[roads.state_arc].tolist())
        mm_of.append(roads.arc_mm[roads.state_arc].tolist())
    for number, leg in enumerate(run.legs):
        who, v = f"leg {number} of {leg['vehicle_id']}", versions.at_time(leg["depart_ms"])
        states = [int(state) for state in leg["states"].split()]
        steps = list(pairwise(states))
        if not report.expect(all(s in turns[v] for s in steps), "no teleport", who, "takes a turn that does not exist"):
            continue
        source, target = leg["from_spot"], leg["to_spot"]
        ms = sum(ms_of[v][a] + turns[v][a, b] for a, b in steps) + target[1] - source[1]
        mm = sum(mm_of[v][a] for a, _ in steps) + along_mm(versions.roads[v], target)
        mm -= along_mm(versions.roads[v], source)
        best = times[v][source, target, leg["diverted"]]
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


ABOUT = (
    "booking_accepted", "booking_cancelled", "booking_moved", "booking_dropped", "booking_unassigned", "promise_broken",
    "plan_changed",
)  # fmt: skip
"""Events about a vehicle, not of what it does."""


def check_vehicle(
    run: Run,
    vehicle: RowDict,
    events: list[RowDict],
    legs: list[RowDict],
    found: Found,
    versions: Versions,
    times: list[Times],
    told: Told,
    report: CheckReport,
) -> None:
    """One vehicle's day, walked through event by event beside its legs."""
    moves = [event for event in events if event["kind"] not in ABOUT]
    kinds = [event["kind"] for event in moves]
    failed = "vehicle_failed" in kinds
    begun = [kind for kind in kinds if kind not in ("vehicle_delayed", "vehicle_failed")]
    whole = bool(begun) and begun[0] == "shift_started" and begun[-1] == "shift_ended"
    if not report.expect(
        whole or failed, "shift", vehicle["vehicle_id"], f"its day runs from {kinds[:1]} to {kinds[-1:]}"
    ):
        return
    report.expect(found.worse_m == 0.0, "shift", vehicle["vehicle_id"], f"starts {found.worse_m:.1f} m off its depot")
    report.expect(not found.side, "shift", vehicle["vehicle_id"], f"its depot {found.side}")
    _Walk(run, vehicle, legs, versions, times, told, report).through(moves)


class _Walk:
    """A vehicle's state as its events and legs have it."""

    def __init__(
        self, run: Run, vehicle: RowDict, legs: list[RowDict], versions: Versions, times: list[Times], told: Told,
        report: CheckReport,
    ) -> None:  # fmt: skip
        self.run, self.vehicle, self.versions, self.told, self.report = run, vehicle, versions, told, report
        self.times = times
        self.who, self.layouts = vehicle["vehicle_id"], json.loads(vehicle["layouts"])
        self.waiting_legs = list(reversed(legs))
        self.aboard: dict[str, list[int]] = {}
        self.spot: Spot = (0, 0)
        self.depot, self.version, self.depot_version, self.started = self.spot, 0, 0, False
        self.first_depot, self.first_version, self.sheltered = self.spot, 0, False
        self.free_at, self.failed_at = vehicle["shift_start_ms"], NEVER
        self.busy_with: tuple[str, Any] | None = None
        self.set_out = -1  # when it last left or turned; turned back on the spot, it arrives at once and drives no leg
        self.pauses: list[tuple[int, int]] = []
        self.battery = json.loads(vehicle["battery"])  # range, reserve, gained a minute, left: m
        self.left_mm, self.short = 0 if self.battery is None else 1_000 * self.battery[3], False

    def through(self, events: list[RowDict]) -> None:
        for event in events:
            now, kind = event["time_ms"], event["kind"]
            while self.waiting_legs and self._is_driven(self.waiting_legs[-1], now, kind):
                self._drive(self.waiting_legs.pop())
            self.expect(now <= self.failed_at or kind == "dropped_off", "lifecycle", f"{kind} at {now}, has failed")
            handler = {
                "shift_started": self._start, "vehicle_departed": self._depart, "vehicle_diverted": self._turn,
                "vehicle_arrived": self._arrive, "vehicle_delayed": self._wait, "vehicle_failed": self._fail,
                "ride_interrupted": self._interrupt, "depot_moved": self._shelter, "no_show": self._nobody,
                "charge_short": self._run_short,
                "shift_ended": self._end,
            }.get(kind)  # fmt: skip
            if handler is not None:
                handler(event)
            elif kind in STARTS:
                self._begin(event)
            elif kind in STARTS.values():
                self._finish(event)
        self.expect(not self.waiting_legs, "no teleport", f"{len(self.waiting_legs)} legs after its last event")
        _check_breaks(self.who, self.told.breaks[self.who], self.pauses, self.failed_at < NEVER, self.report)

    def expect(self, condition: bool, rule: str, what: str) -> None:
        self.report.expect(condition, rule, self.who, what)

    def _here(self, event: RowDict) -> Spot:
        """Where the vehicle stands, under the travel times of an event."""
        return self.versions.carried(self.spot, self.version, self.versions.at_event(event))

    def _stands(self, event: RowDict, spot: Spot) -> None:
        self.spot, self.version = spot, self.versions.at_event(event)

    def _home(self, event: RowDict) -> Spot:
        return self.versions.carried(self.depot, self.depot_version, self.versions.at_event(event))

    def _is_driven(self, leg: RowDict, now: int, kind: str) -> bool:
        """Whether a leg is over by an event: one that the event itself cuts short ends at the next place to stand."""
        if kind in ("vehicle_delayed", "vehicle_failed", "depot_moved") or (
            kind == "vehicle_arrived" and leg["diverted"]
        ):
            return bool(leg["depart_ms"] < now)
        return bool(leg["arrive_ms"] <= now) and kind != "vehicle_diverted"

    def _drive(self, leg: RowDict) -> None:
        version = self.versions.at_time(leg["depart_ms"])
        standing = self.versions.carried(self.spot, self.version, version)
        self.expect(
            leg["from_spot"] == standing and leg["depart_ms"] >= self.free_at,
            "no teleport",
            f"leg at {leg['depart_ms']} from {leg['from_spot']}, vehicle at {standing} from {self.free_at}",
        )
        carried = sorted(json.loads(leg["requests"]))
        self.expect(
            carried == sorted(self.aboard), "capacity", f"leg carries {carried}, aboard are {sorted(self.aboard)}"
        )
        load = [sum(x) for x in zip([0, 0, 0], *self.aboard.values(), strict=True)]
        said = [leg["seats"], leg["wheelchairs"], leg["luggage"]]
        self.expect(load == said, "capacity", f"leg says load {said}, aboard is {load}")
        self.spot, self.version, self.free_at = leg["to_spot"], version, leg["arrive_ms"]
        if self.battery is not None:
            self.left_mm -= leg["distance_mm"]
            least = 0 if self.short else 1_000 * self.battery[1]
            self.expect(self.left_mm >= least, "charge", f"has {self.left_mm} mm left of {least} at {leg['arrive_ms']}")

    # --- events ---------------------------------------------------------------------------------------------

    def _start(self, event: RowDict) -> None:
        self._stands(event, event["spot"])
        if not self.sheltered:
            self.depot, self.depot_version = self.spot, self.version
        self.first_depot, self.first_version, self.started = self.spot, self.version, True
        due = max(self.vehicle["shift_start_ms"], self.free_at)
        self.expect(event["time_ms"] == due, "shift", f"starts at {event['time_ms']}, not at {due}")

    def _depart(self, event: RowDict) -> None:
        self.expect(
            self.busy_with is None and event["spot"] == self._here(event) and event["time_ms"] >= self.free_at,
            "no teleport",
            f"departs from {event['spot']}, stands at {self._here(event)} until {self.free_at}",
        )
        self.set_out = event["time_ms"]

    def _turn(self, event: RowDict) -> None:
        self.set_out = self.run.details(event)["at"]

    def _arrive(self, event: RowDict) -> None:
        """Two states of one street are one place: what sets them apart is how a vehicle came there."""
        arc = self.versions.roads[0].state_arc
        here = self._here(event)
        same = int(arc[event["spot"][0]]) == int(arc[here[0]]) and event["spot"][1] == here[1]
        # Sent to wait and stopped by other travel times in the middle of a turn, it stands behind it.
        in_time = event["time_ms"] in (self.free_at, self.set_out) or (
            event["time_ms"] < self.free_at and self.told.touched(event["time_ms"], self.who)
        )
        self.expect(same and in_time, "no teleport", f"arrives at {event['spot']}, is at {here}")
        self._stands(event, event["spot"])  # a vehicle that stands has no way behind it

    def _wait(self, event: RowDict) -> None:
        goes_on = self.run.details(event)["goes_on"]
        self.expect(goes_on >= self.free_at, "no teleport", f"goes on at {goes_on}, is there at {self.free_at}")
        self.free_at = goes_on

    def _fail(self, event: RowDict) -> None:
        self.failed_at = event["time_ms"]
        here = self._here(event)
        self.expect(not self.started or event["spot"] == here, "no teleport", f"fails at {event['spot']}, is at {here}")

    def _shelter(self, event: RowDict) -> None:
        """The depot is cut off from where the vehicle is, and it ends there; or it ends at its depot again."""
        details, here = self.run.details(event), self._here(event)
        place, home = event["spot"], tuple(details["home"])
        way = self.times[self.versions.at_event(event)][tuple(details["from"]), home, False][0]
        if self.started:
            self.expect(tuple(details["from"]) == here, "no teleport", f"shelters from {details['from']}, is at {here}")
            back = self.versions.carried(self.first_depot, self.first_version, self.versions.at_event(event))
            self.expect(home == back, "shift", f"its depot is {back}, not {home}")
        right = home if way >= 0 else tuple(details["from"])
        self.expect(place == right, "shift", f"ends at {place}, not {right}: the way to its depot takes {way}")
        self.depot, self.depot_version, self.sheltered = place, self.versions.at_event(event), True

    def _run_short(self, event: RowDict) -> None:
        """Only other travel times excuse the use of the reserve, and a stop that fell away: the fastest way past it may
        be a longer one."""
        now = event["time_ms"]
        excused = self.told.touched(now, self.who) or (now, self.who) in self.told.fell_away
        self.expect(excused, "charge", "uses its reserve without a cause")
        self.short = True

    def _interrupt(self, event: RowDict) -> None:
        """The vehicle failed, or other roads are open: the rider leaves, boarding that had begun is over."""
        now, rider = event["time_ms"], event["request_id"]
        cut_off = any(who is None for who, _ in self.told.causes.get(now, ()))
        self.expect(now == self.failed_at or cut_off, "lifecycle", f"{rider} interrupted, runs on")
        self.expect(rider in self.aboard, "precedence", f"{rider} is not aboard")
        self.aboard.pop(rider, None)
        if self.busy_with == ("picked_up", rider):
            self.busy_with, self.free_at = None, now

    def _begin(self, event: RowDict) -> None:
        now, kind = event["time_ms"], event["kind"]
        self.expect(
            self.busy_with is None and event["spot"] == self._here(event) and self.free_at <= now,
            "no teleport",
            f"{kind} at {event['spot']} at {now}, is at {self._here(event)} from {self.free_at}",
        )
        self.busy_with = (STARTS[kind], event["request_id"])
        self.free_at = now
        _board(self.run, self.who, event, self.aboard, self.layouts, self.report)
        if kind == "break_started":
            self.expect(not self.aboard, "break", "starts with riders aboard")
            self.expect(self._here(event) == self._home(event), "break", "is not at the depot")
            self.pauses.append((now, -1))

    def _finish(self, event: RowDict) -> None:
        now, kind = event["time_ms"], event["kind"]
        self.expect(self.busy_with == (kind, event["request_id"]), "lifecycle", f"{kind} ends what has not begun")
        self.busy_with, self.free_at = None, max(now, self.free_at)
        if kind == "break_ended" and self.pauses:
            self.pauses[-1] = (self.pauses[-1][0], now)
            if self.battery is not None:
                gained = (now - self.pauses[-1][0]) * self.battery[2] // 60
                self.left_mm = min(1_000 * self.battery[0], self.left_mm + gained)
        if kind == "dropped_off":
            self.aboard.pop(event["request_id"], None)

    def _nobody(self, event: RowDict) -> None:
        expected = ("picked_up", event["request_id"])
        self.expect(self.busy_with == expected, "lifecycle", f"a no-show of {event['request_id']} outside boarding")
        self.busy_with, self.free_at = None, event["time_ms"]
        self.aboard.pop(event["request_id"], None)

    def _end(self, event: RowDict) -> None:
        latest = self.told.ends[self.who]
        self.expect(not self.aboard, "capacity", f"ends its shift with {sorted(self.aboard)} aboard")
        self.expect(
            event["spot"] == self._here(event) == self._home(event),
            "no teleport",
            f"ends at {event['spot']}, is at {self._here(event)}",
        )
        self.expect(event["time_ms"] <= latest, "shift", f"ends at {event['time_ms']}, told {latest} at the latest")


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


def _check_breaks(
    who: str, due: list[list[int]], taken: list[tuple[int, int]], failed: bool, report: CheckReport
) -> None:
    if not report.expect(failed or len(due) == len(taken), "break", who, f"{len(taken)} breaks taken, {len(due)} due"):
        return
    for (earliest, latest, duration), (start, end) in zip(sorted(due), taken, strict=not failed):
        if failed and end < 0:
            continue
        report.expect(earliest <= start <= latest, "break", who, f"starts {start}, window {earliest}..{latest}")
        report.expect(end - start == duration, "break", who, f"lasts {end - start} ms, due {duration}")


def check_locks(run: Run, versions: Versions, told: Told, report: CheckReport) -> None:
    """A stop that began within the commit horizon when a plan changed keeps its place and its time.

    Where an incident touched the vehicle it keeps its place, and may be later than it was committed for at first; a
    vehicle that failed has no stops, and riders whom closed roads cut off may be taken out.
    """
    horizon = run.meta["service"]["commit_horizon_ms"]
    plans: dict[str, list[list[Any]]] = {}
    written: dict[str, int] = {}
    announced: dict[tuple[str, ...], int] = {}  # for when a stop was committed first
    failed: set[str] = set()
    roads_changed = {event["time_ms"] for event in run.events if event["kind"] == "traffic_changed"}
    left_out = {
        (event["time_ms"], event["request_id"]) for event in run.events
        if event["kind"] in ("booking_moved", "booking_dropped", "booking_unassigned", "ride_interrupted")
        and event["time_ms"] in roads_changed
    }  # fmt: skip
    done: dict[str, set[tuple[str, str | None]]] = {}
    actual: dict[tuple[str, str | None, str], int] = {}
    kinds = {"pickup_started": "pickup", "dropoff_started": "dropoff"}
    for event in run.events:
        vehicle, version = event["vehicle_id"], versions.at_event(event)
        if event["kind"] == "vehicle_failed":
            failed.add(vehicle)
        elif event["kind"] in kinds:
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
            locked = [
                [kind, rider, list(versions.carried((spot[0], spot[1]), written[vehicle], version)), begin]
                for kind, rider, spot, begin in old
                if kind != "break"
                and begin <= event["time_ms"] + horizon
                and vehicle not in failed
                and (event["time_ms"], rider) not in left_out
            ]
            kept = [a for a in new if a[0] != "break"][: len(locked)]
            if told.touched(event["time_ms"], vehicle):
                later = all(
                    announced.setdefault((vehicle, *a[:2]), a[3]) <= b[3] for a, b in zip(locked, kept, strict=False)
                )
                places = [a[:3] for a in locked] == [a[:3] for a in kept]
            else:
                later, places = True, locked == kept
            report.expect(later and places, "lock", vehicle, f"committed {locked} became {kept} at {event['time_ms']}")
            begins = [a[3] for a in new]
            report.expect(begins == sorted(begins), "plan", vehicle, f"times fall in the plan of {event['time_ms']}")
            plans[vehicle], written[vehicle] = new, version
