"""Rollouts: every promise kept as judged from the journal alone, every answer the best there is by trying everything."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product

import networkx as nx
import numpy as np
from builders import a_random_town
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.roads import Times

from noriai_engine.dispatch.kernels.positions import locate
from noriai_engine.dispatch.kernels.rollout import play_all
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams
from noriai_engine.model import Spot
from noriai_engine.roads import PlainNetwork, TravelTimes
from noriai_engine.world.epochs import BatchRollout, Epochs
from noriai_engine.world.on_foot import OnFoot, WalkRollout
from noriai_engine.world.rollout import OnDemand, Rollout, uniform_fleet

SEATS = 2
LIMITS = OnDemand(max_wait_ms=300_000, trip_permille=1_700, trip_extra_ms=200_000, stop_ms=30_000)
PICKUP, DROPOFF = 1, 2
Walks = Callable[[int, int, int], tuple[int, int]]
"""Of a request, where it boards and leaves: ms of walking to the one and from the other."""


def a_rollout(seed: int, requests: int) -> tuple[Rollout, Times]:
    rng = np.random.default_rng(seed)
    network = a_random_town(rng, int(rng.integers(5, 14)))
    times, n = TravelTimes(network), len(network.lon)
    placed = np.sort(rng.integers(0, 2_400_000, requests)).astype(np.int32)
    ends = [rng.integers(0, n, requests).astype(np.int32) for _ in range(2)]
    starts = rng.integers(0, n, 3).astype(np.int32)
    trips = LIMITS.trips(times, placed, *ends)
    return Rollout(times, uniform_fleet(3, SEATS), starts, trips), Times(network)


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_every_promise_is_kept_by_the_journal(seed: int) -> None:
    rollout, times = a_rollout(seed, 60)
    rollout.run()
    judge(rollout, times)


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_every_promise_is_kept_by_the_journal_of_batches(seed: int) -> None:
    """Riders who change vehicles, vehicles that turn, stop where they are, or are sent to wait somewhere."""
    rollout, times = a_rollout(seed, 60)
    rebalance = RebalanceParams(60_000 * (seed % 3), 1_200_000, 1_200_000)
    days = BatchRollout(rollout, Epochs(30_000, seed % 2 == 0, MatchParams(rider_permille=300 * (seed % 4)), rebalance))
    days.run()
    judge(rollout, times)
    assert all(batch.value <= batch.greedy for batch in days.batches)


def to_the_door(rollout: Rollout) -> Walks:
    """Nobody walks: riders board and leave where they asked to."""

    def walks(k: int, boards: int, leaves: int) -> tuple[int, int]:
        assert (boards, leaves) == (rollout.trips.origin[k], rollout.trips.destination[k])
        return 0, 0

    return walks


def judge(rollout: Rollout, times: Times, walks: Walks | None = None) -> None:
    """Every rider who was taken is brought, by one vehicle, within the limits; drives take their time; loads fit."""
    walks = walks or to_the_door(rollout)
    journal, trips, answers = rollout.journal, rollout.trips, rollout.answers
    stops: dict[int, dict[int, tuple[int, int, int, int]]] = {}
    by_vehicle: dict[int, list[tuple[int, int, int, int, int]]] = {}
    for time, kind, vehicle, request, state, _, done in zip(*(c.tolist() for c in journal[1:]), strict=True):
        if kind in (PICKUP, DROPOFF):
            assert kind not in stops.setdefault(request, {})
            stops[request][kind] = (time, vehicle, done, state)
            by_vehicle.setdefault(vehicle, []).append((time, done, state, kind, request))
    assert set(stops) == {k for k, v in enumerate(answers.vehicle.tolist()) if v >= 0}
    for k, both in stops.items():
        (on, vehicle, aboard, _), (off, same, _, _) = both[PICKUP], both[DROPOFF]
        assert vehicle == same == answers.vehicle[k]
        assert aboard <= off or trips.direct[k] == 0
        walk_to, walk_from = walks(k, both[PICKUP][3], both[DROPOFF][3])
        assert trips.placed[k] + walk_to <= on
        assert aboard - trips.placed[k] <= LIMITS.max_wait_ms
        direct = times[Spot(int(trips.origin[k]))][Spot(int(trips.destination[k]))]
        assert off + walk_from - trips.placed[k] <= direct * 1.7 + LIMITS.trip_extra_ms
    for rows in by_vehicle.values():
        load = 0
        for a, b in pairwise(rows):
            assert b[0] >= (a[0] if a[2] == b[2] else a[1]) + times[Spot(a[2])][Spot(b[2])]
        for row in rows:
            load += 1 if row[3] == PICKUP else -1
            assert 0 <= load <= SEATS


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_every_answer_is_the_best_of_all(seed: int) -> None:
    rollout, times = a_rollout(seed, 40)
    for k in range(40):
        now = int(rollout.trips.placed[k])
        play_all(rollout.fleet, rollout.plans, rollout.paths, now, rollout.wake, rollout.journal)
        view = rollout.times.kernel_view(rollout.plans.rows.state)
        for vehicle in range(3):
            locate(view, rollout.plans, rollout.paths, vehicle, now)
        expected = min((best for v in range(3) if (best := best_by_trying(rollout, v, k, now, times))), default=None)
        rollout.answer(k, k + 1)
        vehicle, cost = int(rollout.answers.vehicle[k]), int(rollout.answers.cost[k])
        assert (None if vehicle < 0 else (cost, vehicle)) == expected, f"seed {seed}, request {k}"


Row = tuple[int, int, int, int, int, int, bool]  # node, kind, request, earliest, latest, service, standing there now


def best_by_trying(
    rollout: Rollout, vehicle: int, k: int, now: int, times: Times,
    ends: tuple[tuple[int, int], tuple[int, int]] | None = None,
) -> tuple[int, int] | None:  # fmt: skip
    """(added driving, vehicle) of the cheapest pair of positions whose whole sequence keeps every limit. `ends`: node
    and ms of walking, where the rider boards and leaves elsewhere than asked."""
    plans, trips = rollout.plans, rollout.trips
    base, count = int(plans.first[vehicle]), int(plans.count[vehicle])
    rows = [
        (int(r.state), int(r.kind), int(r.request), int(r.earliest), int(r.latest), int(r.service))
        for r in (plans.rows[base + n] for n in range(count - 1))
    ]
    start = max(int(plans.rows[base].begin), now)
    free = max([n for n in range(count - 1) if plans.rows[base + n].locked], default=0)
    (on, walk_to), (off, walk_from) = ends or ((int(trips.origin[k]), 0), (int(trips.destination[k]), 0))
    new = [
        (on, PICKUP, k, now + walk_to, int(trips.pickup_latest[k]), LIMITS.stop_ms),
        (off, DROPOFF, k, 0, int(trips.dropoff_latest[k]) - walk_from, LIMITS.stop_ms),
    ]
    aboard, best = int(plans.aboard[vehicle, 0]), None
    for i in range(free, len(rows)):
        for j in range(i, len(rows)):
            sequence = [*rows[: i + 1], new[0], *rows[i + 1 : j + 1], new[1], *rows[j + 1 :]]
            if keeps_limits(sequence, start, aboard, times):
                cost = drive(sequence, times) - drive(rows, times)
                best = cost if best is None or cost < best else best
    return None if best is None else (best, vehicle)


def drive(rows: list[tuple[int, ...]], times: Times) -> int:
    return sum(times[Spot(a[0])][Spot(b[0])] for a, b in pairwise(rows))


def keeps_limits(rows: list[tuple[int, ...]], start: int, load: int, times: Times) -> bool:
    """Parties at one stop begin together, and the vehicle leaves when the last is done."""
    begin = done = start
    for n, (a, b) in enumerate(pairwise(rows)):
        same_stop = a[0] == b[0] and n > 0
        begin = max(begin if same_stop else done + times[Spot(a[0])][Spot(b[0])], b[3])
        done = max(done, begin + b[5]) if same_stop else begin + b[5]
        load += 1 if b[1] == PICKUP else -1
        if begin > b[4] or load > SEATS:
            return False
    return True


# --- on foot ----------------------------------------------------------------------------------------------------

LONGEST_MS = 240_000


class Feet:
    """Walking times by networkx, both ways along every street, at a third of the speed of cars."""

    def __init__(self, network: PlainNetwork) -> None:
        self.tail = np.concatenate([network.tail, network.head])
        self.head = np.concatenate([network.head, network.tail])
        self.ms = np.concatenate([network.ms, network.ms]) * np.int32(3)
        self.graph: nx.DiGraph[int] = nx.DiGraph()
        for a, b, ms in zip(self.tail.tolist(), self.head.tolist(), self.ms.tolist(), strict=True):
            if not self.graph.has_edge(a, b) or self.graph[a][b]["ms"] > ms:
                self.graph.add_edge(a, b, ms=ms)

    def within(self, node: int, *, backward: bool = False) -> dict[int, int]:
        graph = self.graph.reverse() if backward else self.graph
        found: dict[int, int] = nx.single_source_dijkstra_path_length(graph, node, cutoff=LONGEST_MS, weight="ms")
        return found


def a_walk_rollout(seed: int, requests: int, most: int) -> tuple[WalkRollout, Times, Feet, OnFoot]:
    rollout, times = a_rollout(seed, requests)
    network, rng = rollout.times.network, np.random.default_rng(seed)
    assert isinstance(network, PlainNetwork)
    feet = Feet(network)
    worth = rng.integers(0, 3, len(network.lon)).astype(np.int32)
    on_foot = OnFoot(feet.tail, feet.head, feet.ms, worth, LONGEST_MS, most, int(rng.choice([0, 200])))
    starts = rollout.plans.rows.state[rollout.plans.first].astype(np.int32)
    walking = WalkRollout(rollout.times, rollout.fleet, starts, rollout.trips, on_foot)
    return walking, times, feet, on_foot


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_every_answer_on_foot_is_the_best_of_all_spots_and_places(seed: int) -> None:
    """Every node in reach that is worth a stop, to board and to leave, in every place of every plan."""
    rollout, times, feet, on_foot = a_walk_rollout(seed, 25, most=16)
    for k in range(25):
        now, trips = int(rollout.trips.placed[k]), rollout.trips
        play_all(rollout.fleet, rollout.plans, rollout.paths, now, rollout.wake, rollout.journal)
        view = rollout.times.kernel_view(rollout.plans.rows.state)
        for vehicle in range(3):
            locate(view, rollout.plans, rollout.paths, vehicle, now)
        doors = int(trips.origin[k]), int(trips.destination[k])
        reach = [feet.within(doors[0]), feet.within(doors[1], backward=True)]
        ends = [
            [(node, ms) for node, ms in found.items() if node == door or on_foot.worth[node] > 0]
            for door, found in zip(doors, reach, strict=True)
        ]
        expected = min(
            (
                best[0] + board[1] * on_foot.walk_permille // 1_000 + leave[1] * on_foot.walk_permille // 1_000
                for board, leave in product(*ends) for v in range(3)
                if board[0] != leave[0] or doors[0] == doors[1] == board[0]
                if (best := best_by_trying(rollout, v, k, now, times, (board, leave)))
            ),
            default=None,
        )  # fmt: skip
        rollout.answer(k, k + 1)
        found = None if rollout.answers.vehicle[k] < 0 else int(rollout.answers.cost[k])
        assert found == expected, f"seed {seed}, request {k}"


@hypothesis_settings(max_examples=25)
@given(seed=st.integers(0, 100_000), most=st.integers(1, 5))
def test_every_promise_is_kept_on_foot(seed: int, most: int) -> None:
    """Nobody walks further than the longest walk, or boards before the walk is over; walks are inside wait and trip."""
    rollout, times, feet, on_foot = a_walk_rollout(seed, 60, most)
    rollout.run()

    def walks(k: int, boards: int, leaves: int) -> tuple[int, int]:
        doors = int(rollout.trips.origin[k]), int(rollout.trips.destination[k])
        assert boards == doors[0] or on_foot.worth[boards] > 0
        assert leaves == doors[1] or on_foot.worth[leaves] > 0
        return feet.within(doors[0])[boards], feet.within(doors[1], backward=True)[leaves]

    judge(rollout, times, walks)


def test_without_a_walk_riders_are_fetched_at_their_doors() -> None:
    walking, _, feet, on_foot = a_walk_rollout(7, 60, most=16)
    plain, _ = a_rollout(7, 60)
    none = OnFoot(feet.tail, feet.head, feet.ms, on_foot.worth, 0)
    starts = plain.plans.rows.state[plain.plans.first].astype(np.int32)
    walking = WalkRollout(plain.times, plain.fleet, starts, plain.trips, none)
    plain.run()
    walking.run()
    assert walking.answers.vehicle.tolist() == plain.answers.vehicle.tolist()
    assert walking.journal.state.tolist() == plain.journal.state.tolist()
