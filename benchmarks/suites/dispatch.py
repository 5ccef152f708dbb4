"""The dispatch core on the Malta workload (s, m, l, xl): goals G1 to G3, G5 and G6, CPU time, answers judged beside.

G1 is search and update of one request, by the thread's CPU clock read inside the loop; G5 whole periods with vehicles
moving and the journal written. KaRRi's figures are those of the design notes (PyPI has no KaRRi); as a yardstick,
scipy's Dijkstra is run beside, to compare machines. `--json` prints the rows for programs.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from workload import MALTA, SEATS, Workload, read_graph, workloads  # a module of the benchmarks

GOALS_US = {"s": 67, "m": 94, "l": 262, "xl": None}
KARRI_US = {"s": 134, "m": 187, "l": 350, "xl": None}
GOALS_RATE = {"s": 9_200, "m": 8_000, "l": 2_850, "xl": None}
KARRI_SERVED = {"s": 83.0, "m": 81.2, "l": 82.3, "xl": None}
KARRI_HOURS = {"s": 359, "m": 1_085, "l": 2_921, "xl": None}

_clock = ctypes.CDLL(None).clock_gettime
_clock.argtypes, _clock.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_int
_THREAD_CPU = 3


@numba.njit(nogil=True)
def _timed(
    roads: Any, fleet: Any, plans: Any, paths: Any, trips: Any, first: int, memo: Any, s: Any, found: Any, wake: Any,
    journal: Any, answers: Any, nobody: Any, play_all: Any, answer: Any, spent: Any,
) -> int:  # fmt: skip
    """Answer requests from `first` on, ns of search and update of each into `spent`; returns the first without room."""
    clock = np.zeros(2, np.int64)
    for k in range(first, trips.placed.shape[0]):
        play_all(fleet, plans, paths, trips.placed[k], wake, journal)
        _clock(_THREAD_CPU, clock.ctypes.data)
        begin = clock[0] * 1_000_000_000 + clock[1]
        done = answer(roads, fleet, plans, paths, trips, k, 0, nobody, memo, s, found, wake, journal, answers)
        _clock(_THREAD_CPU, clock.ctypes.data)
        spent[k] = clock[0] * 1_000_000_000 + clock[1] - begin
        if not done:
            return k
    return trips.placed.shape[0]


def manhattan(vehicles: int) -> list[dict[str, Any]]:
    """G8: the recorded taxi trips of the shipped Manhattan, a wait of 300 s, batches every 30 s: the greedy answers;
    one new rider a vehicle and batch with accepted riders fixed (the single-request rule of AMoD2), and with idle
    vehicles sent about; our batches without and with that."""
    from noriai_engine.dispatch.kernels.batch import Trips
    from noriai_engine.dispatch.matching import MatchParams
    from noriai_engine.dispatch.rebalancing import RebalanceParams
    from noriai_engine.model import Spot
    from noriai_engine.model.units import FOREVER_MS
    from noriai_engine.roads import TravelTimes
    from noriai_engine.world.epochs import BatchRollout, Epochs
    from noriai_engine.world.rollout import OnDemand, Rollout, uniform_fleet
    from noriai_simulations import shipped
    from noriai_simulations.scenario import load_scenario

    scenario, limits = load_scenario(shipped.scenario_file("manhattan-taxi")), OnDemand(stop_ms=0)
    times = TravelTimes(scenario.region.network)
    rides = [
        (scenario.day.to_day_ms(r.placed_at), times.stop_at(r.origin)[0].state, times.stop_at(r.destination)[0].state)
        for r in sorted(scenario.requests, key=lambda r: r.placed_at)
    ]
    placed, origin, destination = np.array([r for r in rides if min(r[1:]) >= 0], np.int32).T.copy()
    starts = np.array([times.stop_at(v.depot)[0].state for v in scenario.vehicles[:vehicles]], np.int32)
    ends = zip(origin.tolist(), destination.tolist(), strict=True)
    direct = np.array([times.between(Spot(a), Spot(b)) for a, b in ends], np.int32)
    count, none = len(placed), np.zeros(len(placed), np.int32)
    until = (placed + direct.astype(np.int64) * limits.trip_permille // 1_000 + limits.trip_extra_ms).astype(np.int32)
    demand = np.zeros((count, 3), np.int16)
    demand[:, 0] = 1
    trips = Trips(
        placed, origin, none, destination, none, placed, placed + np.int32(limits.max_wait_ms), none, until, none, none,
        np.full(count, FOREVER_MS, np.int32), direct, demand, np.zeros(count, np.int64), np.full(count, -1, np.int32),
        none, none, none,
    )  # fmt: skip
    alone = MatchParams(riders_a_trip=1, freeze_ms=FOREVER_MS, vehicles_a_rider=30)
    sent, rows = RebalanceParams(30_000), []
    ways: dict[str, Epochs | None] = {
        "as they come": None,
        "one new rider a vehicle and batch": Epochs(30_000, False, alone),
        "the same, idle vehicles sent": Epochs(30_000, False, alone, sent),
        "batches": Epochs(30_000, True, MatchParams(rider_permille=300)),
        "batches, idle vehicles sent": Epochs(30_000, True, MatchParams(rider_permille=300), sent),
    }
    for way, epochs in ways.items():
        day = Rollout(times, uniform_fleet(vehicles, 4), starts, trips)
        begin = time.process_time()
        if epochs is None:
            day.run()
        else:
            BatchRollout(day, epochs).run()
        spent = 1e3 * (time.process_time() - begin) / count
        served, minutes = served_and_minutes(day)
        figure = f"{served:.1f} % served, {minutes:.2f} min driven a rider, {spent:.1f} ms a request"
        what = f"Manhattan, {count:,} trips, {vehicles} vehicles: {way}"
        rows.append({"goal": "G8", "what": what, "figure": figure, "wanted": ""})
        sys.stderr.write(f"G8   {what:<75} {figure}\n")
    return rows


class Bench:
    def __init__(self) -> None:
        from noriai_engine.roads import PlainNetwork, TravelTimes

        self.rows: list[dict[str, Any]] = []
        self.trips: Any = None  # others than the workload's own
        self.fleet: Any = None
        graph = read_graph()
        self.works = workloads(graph)
        self.network = PlainNetwork(graph.lon, graph.lat, graph.tail, graph.head, graph.ms, graph.mm)
        self.times = TravelTimes(self.network)
        self.add("-", f"Python {platform.python_version()}, {platform.machine()}", f"{len(graph.lon):,} nodes")

    def add(self, goal: str, what: str, figure: str, wanted: str = "") -> None:
        self.rows.append({"goal": goal, "what": what, "figure": figure, "wanted": wanted})
        sys.stderr.write(f"{goal:<4} {what:<58} {figure:<58} {wanted}\n")

    def rollout(self, work: Workload) -> Any:
        from noriai_engine.world.rollout import OnDemand, Rollout, uniform_fleet

        trips = self.trips or OnDemand().trips(self.times, work.placed_ms, work.origin, work.destination)
        return Rollout(self.times, self.fleet or uniform_fleet(len(work.starts), SEATS), work.starts, trips)

    def latency(self, work: Workload) -> Any:
        """us of every request."""
        from noriai_engine.dispatch.kernels.rollout import answer, play_all

        day, spent, at = self.rollout(work), np.zeros(len(work.origin), np.int64), 0
        roads, nobody = self.times.kernel_view(day.plans.rows.state), np.zeros(0, np.int32)
        while at < len(spent):
            at = _timed(
                roads, day.fleet, day.plans, day.paths, day.trips, at, day._memo, day._scratch, day._found, day.wake,
                day.journal, day.answers, nobody, play_all, answer, spent,
            )  # fmt: skip
            if at < len(spent):
                day._grow(int(day.answers.vehicle[at]))
        return spent / 1e3

    def size(self, name: str) -> None:
        work, runs, rates = self.works[name], [], []
        self.rollout(work).answer(0, 50)
        for _ in range(3):
            runs.append(self.latency(work))
            begin = time.process_time()
            day = self.rollout(work)
            day.run()
            rates.append(len(work.origin) / (time.process_time() - begin))
        us = np.median(np.stack(runs), axis=0)
        goal, karri = GOALS_US[name], KARRI_US[name]
        self.add(
            "G1", f"{name}: {len(us):,} requests, {len(work.starts):,} vehicles: us, median / mean / p99",
            f"{np.median(us):.0f} / {us.mean():.0f} / {np.percentile(us, 99):.0f}",
            "" if goal is None else f"median <= {goal} (KaRRi {karri})",
        )  # fmt: skip
        rate = GOALS_RATE[name]
        self.add("G5", f"{name}: whole run, requests a CPU second", f"{np.median(rates):,.0f}",
                 "" if rate is None else f">= {rate:,}")  # fmt: skip
        self.outcome(name, day)

    def outcome(self, name: str, day: Any) -> None:
        served = day.answers.vehicle >= 0
        rows = day.journal
        kinds, riders = np.array(rows.kind), np.array(rows.request)
        boards = np.zeros(len(served))
        boards[riders[kinds == 1]] = np.array(rows.done)[kinds == 1]
        wait = (boards - day.trips.placed)[served].mean() / 1e3
        hours = driven_hours(rows, len(day.fleet.operator))
        text = f"{100 * served.mean():.1f} % served, {hours:,.0f} h driven, wait {wait:.0f} s"
        karri = KARRI_SERVED[name]
        self.add("-", f"{name}: outcome", text, "" if karri is None else f"KaRRi {karri} %, {KARRI_HOURS[name]:,} h")
        self.add("-", f"{name}: judged from the journal", judge(self.network, day), "0 breaches")

    def batches(self, name: str) -> None:
        """Everybody matched anew every 30 s, idle vehicles sent to where riders were turned away; beside the greedy
        plan of the same requests."""
        from noriai_engine.dispatch.matching import MatchParams
        from noriai_engine.dispatch.rebalancing import RebalanceParams
        from noriai_engine.world.epochs import BatchRollout, Epochs

        work = self.works[name]
        greedy = self.rollout(work)
        greedy.run()
        before = served_and_minutes(greedy)
        self.add(
            "-", f"{name}: answered as they come: served %, minutes driven a rider", f"{before[0]:.1f}, {before[1]:.2f}"
        )
        for what, rebalance, wanted in (
            ("batches every 30 s", RebalanceParams(), ""),
            ("and idle vehicles sent, 6 min", RebalanceParams(30_000, 360_000), "+3 points, no more driving; 2.5 ms"),
            ("and idle vehicles sent, 10 min", RebalanceParams(30_000), ""),
        ):
            day = self.rollout(work)
            run = BatchRollout(day, Epochs(30_000, True, MatchParams(rider_permille=300), rebalance))
            begin = time.process_time()
            run.run()
            spent = 1e3 * (time.process_time() - begin) / len(work.origin)
            served, minutes = served_and_minutes(day)
            worse = sum(batch.value > batch.greedy for batch in run.batches)
            text = f"{served:.1f} ({served - before[0]:+.1f}), {minutes:.2f} ({100 * minutes / before[1] - 100:+.1f} %)"
            self.add("G3", f"{name}: {what}", f"{text}, {spent:.1f} ms a request, {worse} batches worse", wanted)
            self.add("-", f"{name}: judged from the journal", judge(self.network, day), "0 breaches")

    def on_foot(self, name: str) -> None:
        """Riders walk up to 300 s to and from 16 junctions each, walks inside wait and trip; beside door to door, and
        with fewer vehicles until as many are served."""
        from noriai_engine.world.on_foot import OnFoot, WalkRollout
        from noriai_engine.world.rollout import OnDemand, uniform_fleet

        work, graph = self.works[name], self.network
        plain = self.rollout(work)
        plain.run()
        before, hours = served_and_minutes(plain), driven_hours(plain.journal, len(work.starts))
        worth = np.zeros(len(graph.lon), np.int32)
        speed = (graph.mm * 3.6 / np.maximum(graph.ms, 1)).astype(np.int32)
        np.maximum.at(worth, graph.tail, speed)
        np.maximum.at(worth, graph.head, speed)
        ends = np.unique(np.sort(np.stack([graph.tail, graph.head]), axis=0), axis=1)
        worth[np.bincount(ends.ravel(), minlength=len(worth)) < 3] = 0  # a bend is no place to meet
        walks = OnFoot(graph.tail, graph.head, np.rint(graph.mm / 1.4).astype(np.int32), worth, walk_permille=200)
        trips = OnDemand().trips(self.times, work.placed_ms, work.origin, work.destination)
        fleet = len(work.starts)
        for share in (1.0, 0.86, 0.825):
            cars = round(share * fleet)
            spent = []
            for _ in range(3):
                day = WalkRollout(self.times, uniform_fleet(cars, SEATS), work.starts[:cars], trips, walks)
                begin = time.process_time()
                day.run()
                spent.append(1e6 * (time.process_time() - begin) / len(work.origin))
            served, minutes = served_and_minutes(day)
            text = f"{served:.1f} ({served - before[0]:+.1f}), {minutes:.2f} ({100 * minutes / before[1] - 100:+.1f} %)"
            drives = driven_hours(day.journal, cars)
            text += (
                f", {drives:,.0f} h driven ({100 * drives / hours - 100:+.1f} %), {np.median(spent):.0f} us a request"
            )
            self.add("G6", f"{name}: on foot, {cars} vehicles for {fleet}", text, "-15 % h at equal service")
            self.add("-", f"{name}: judged from the journal", judge(self.network, day), "0 breaches")

    def whole_promises(self) -> None:
        """The same requests with everything riders may ask for, in the same loop: ride limits counted from boarding,
        later wishes, parties, wheelchairs on folding seats with long boarding, skills; two operators."""
        work, rng = self.works["s"], np.random.default_rng(5)
        plain = np.median(self.latency(work))
        day, count = self.rollout(work), len(work.origin)
        trips, fleet, n = day.trips, day.fleet, len(work.starts)
        chair = rng.random(count) < 0.05
        later = (rng.integers(0, 900, count) * 1_000 * (rng.random(count) < 0.3)).astype(np.int32)
        demand = np.zeros((count, 3), np.int16)
        demand[:, 0] = np.where(chair, 0, rng.choice([1, 1, 1, 2, 3], count))
        demand[:, 1] = chair
        boarding = np.where(chair, 180_000, 30_000).astype(np.int32)
        self.trips = trips._replace(
            demand=demand, boarding=boarding, alighting=boarding,
            pickup_earliest=trips.pickup_earliest + later, pickup_latest=trips.pickup_latest + later,
            dropoff_latest=trips.dropoff_latest + later + boarding - np.int32(30_000),
            max_ride=(trips.direct * 1.5 + 180_000).astype(np.int32),
            needs=(rng.random(count) < 0.05).astype(np.int64),
        )  # fmt: skip
        layout = np.tile(np.array([[6, 0, 4], [3, 1, 4]], np.int16), (n, 1))
        self.fleet = fleet._replace(
            layout=layout, layout_first=np.arange(0, 2 * n + 1, 2, dtype=np.int32), together=0,
            operator=(np.arange(n) % 2).astype(np.int32), can=(np.arange(n) % 3 == 0).astype(np.int64),
        )  # fmt: skip
        whole = np.median(self.latency(work))
        served = self.rollout(work)
        served.run()
        share = 100 * (served.answers.vehicle >= 0).mean()
        self.trips = self.fleet = None
        self.add("G7", f"s: median latency with the whole promise set / plain ({share:.0f} % served)",
                 f"{whole / plain:.2f} ({whole:.0f} us)", "<= 2")  # fmt: skip

    def town(self) -> None:
        """A day of 24 hours in one town: 5,000 requests within 4 km of its middle, 20 vehicles."""
        lon, lat, rng = self.network.lon, self.network.lat, np.random.default_rng(11)
        km = np.hypot((lon - 14.49) * 90.2, (lat - 35.89) * 110.9)
        near = np.flatnonzero(km < 4)
        origin, destination = rng.choice(near, 5_000), rng.choice(near, 5_000)
        placed = np.sort(rng.integers(0, 86_400, 5_000)) * 1_000
        columns = (np.asarray(c, np.int32) for c in (origin, destination, placed, rng.choice(near, 20)))
        work, spent = Workload(*columns), []
        for _ in range(4):
            day = self.rollout(work)
            begin = time.process_time()
            day.run()
            spent.append(time.process_time() - begin)
        served = 100 * (day.answers.vehicle >= 0).mean()
        self.add("G5", f"town day, 5,000 requests, 20 vehicles, {served:.0f} % served: CPU s",
                 f"{np.median(spent[1:]):.2f}", "< 1")  # fmt: skip

    def traffic(self) -> None:
        """All weights of the node graph new: times, bounds and ways exact again."""
        from noriai_engine.roads import PlainNetwork, TravelTimes

        base = self.times.metric.oracle
        cells, spent, parts = self.times._cells, [], []
        for k in range(6):
            ms = (self.network.ms * (1.3 + 0.1 * k)).astype(np.int32)
            begin = time.process_time()
            oracle = base.reweighted(ms)
            middle = time.process_time()
            cells.bounds(oracle, self.times.metric.states._replace(turn_ms=oracle.weights.ms))
            spent.append(time.process_time() - begin)
            parts.append(middle - begin)
        self.add(
            "G2", "node graph: new weights to exact times and bounds, ms (times alone)",
            f"{1e3 * np.median(spent[1:]):.0f} ({1e3 * np.median(parts[1:]):.0f})", "<= 100",
        )  # fmt: skip
        slow = PlainNetwork(*(getattr(self.network, f) for f in ("lon", "lat", "tail", "head")),
                            (self.network.ms * 1.3).astype(np.int32), self.network.mm)  # fmt: skip
        fast_us = np.median(self.latency(self.works["s"]))
        kept, self.times = self.times, TravelTimes(slow)
        self.latency(self.works["s"])
        slow_us = np.median(self.latency(self.works["s"]))
        self.times = kept
        self.add("G2", "s: median latency after new weights / before", f"{slow_us / fast_us:.2f}", "<= 1.05")

    def yardstick(self) -> None:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        n = len(self.network.lon)
        table = csr_array((self.network.ms.astype(float), (self.network.tail, self.network.head)), shape=(n, n))
        spent = []
        for source in (1, 20_000, 40_000, 50_000, 59_000):
            begin = time.process_time()
            dijkstra(table, indices=source)
            spent.append(time.process_time() - begin)
        self.add("-", "yardstick: scipy's Dijkstra over this graph, ms", f"{1e3 * np.median(spent):.1f}")


def served_and_minutes(day: Any) -> tuple[float, float]:
    """Share served in percent, and minutes driven for each who was."""
    served = day.answers.vehicle >= 0
    hours = driven_hours(day.journal, len(day.fleet.operator))
    return 100 * float(served.mean()), 60 * hours / int(served.sum())


def driven_hours(journal: Any, vehicles: int) -> float:
    """Hours on the road: from each departure to the arrival after it."""
    left, total = np.full(vehicles, -1, np.int64), 0
    for kind, vehicle, at in zip(journal.kind.tolist(), journal.vehicle.tolist(), journal.time.tolist(), strict=True):
        if kind == 10:
            left[vehicle] = at
        elif kind == 12:
            total += at - int(left[vehicle])
    return total / 3.6e6


def judge(network: Any, day: Any) -> str:
    """Count what breaks the workload's rules, from the journal, the requests and Dijkstra's times alone."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    n = len(network.lon)
    table = csr_array((network.ms.astype(float), (network.tail, network.head)), shape=(n, n))
    j, trips, breaches = day.journal, day.trips, 0
    rows = list(zip(j.time.tolist(), j.kind.tolist(), j.vehicle.tolist(), j.request.tolist(), j.state.tolist(),
                    j.done.tolist(), strict=True))  # fmt: skip
    on: dict[int, tuple[int, int]] = {}
    off: dict[int, tuple[int, int]] = {}
    load: dict[int, int] = {}
    last: dict[int, tuple[int, int]] = {}
    legs = []
    for at, kind, vehicle, rider, state, done in rows:
        if kind == 1:
            breaches += rider in on
            on[rider] = (vehicle, done)
            load[vehicle] = load.get(vehicle, 0) + 1
            breaches += load[vehicle] > SEATS
            breaches += done - int(trips.placed[rider]) > 300_000
        elif kind == 2:
            breaches += on.get(rider, (-1, 0))[0] != vehicle or rider in off
            off[rider] = (vehicle, at)
            load[vehicle] -= 1
        if kind in (1, 2):
            if vehicle in last:
                legs.append((*last[vehicle], state, at))
            last[vehicle] = (state, done)
    breaches += len(set(on) ^ set(off)) + len(set(on) ^ set(np.flatnonzero(day.answers.vehicle >= 0).tolist()))
    rng = np.random.default_rng(3)
    some = rng.choice(len(legs), min(150, len(legs)), replace=False)
    for k in some.tolist():
        source, leaves, target, arrives = legs[k]
        if source != target:
            breaches += arrives - leaves < dijkstra(table, indices=source)[target]
    for rider in rng.choice(sorted(off), min(150, len(off)), replace=False).tolist():
        direct = dijkstra(table, indices=int(trips.origin[rider]))[int(trips.destination[rider])]
        breaches += off[rider][1] - int(trips.placed[rider]) > 1.7 * direct + 120_000
    return f"{breaches} breaches, {len(on):,} riders, {len(some)} drives and 150 trips measured"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", default="s,m,l", help="of s, m, l and xl (default: s,m,l)")
    parser.add_argument("--manhattan", type=int, metavar="N", help="only Manhattan's taxi trips, with N vehicles (G8)")
    options = parser.parse_args()
    if options.manhattan:
        rows = manhattan(options.manhattan)
        if options.json:
            print(json.dumps(rows, indent=1))
        return
    if not MALTA.is_file():
        sys.exit("the developers' ../shared is absent: this suite needs its Malta extract")
    bench = Bench()
    bench.yardstick()
    for name in options.sizes.split(","):
        bench.size(name)
    for name in [size for size in options.sizes.split(",") if size in ("s", "m")]:
        bench.batches(name)
        bench.on_foot(name)
    bench.whole_promises()
    bench.town()
    bench.traffic()
    if options.json:
        print(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
