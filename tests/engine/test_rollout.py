"""Rollouts: every promise kept as judged from the journal alone, every answer the best there is by trying everything."""

from __future__ import annotations

from itertools import pairwise

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
from noriai_engine.roads import TravelTimes
from noriai_engine.world.epochs import BatchRollout, Epochs
from noriai_engine.world.rollout import OnDemand, Rollout, uniform_fleet

SEATS = 2
LIMITS = OnDemand(max_wait_ms=300_000, trip_permille=1_700, trip_extra_ms=200_000, stop_ms=30_000)
PICKUP, DROPOFF = 1, 2


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


def judge(rollout: Rollout, times: Times) -> None:
    """Every rider who was taken is brought, by one vehicle, within the limits; drives take their time; loads fit."""
    journal, trips, answers = rollout.journal, rollout.trips, rollout.answers
    stops: dict[int, dict[int, tuple[int, int, int]]] = {}
    by_vehicle: dict[int, list[tuple[int, int, int, int, int]]] = {}
    for time, kind, vehicle, request, state, _, done in zip(*(c.tolist() for c in journal[1:]), strict=True):
        if kind in (PICKUP, DROPOFF):
            assert kind not in stops.setdefault(request, {})
            stops[request][kind] = (time, vehicle, done)
            by_vehicle.setdefault(vehicle, []).append((time, done, state, kind, request))
    assert set(stops) == {k for k, v in enumerate(answers.vehicle.tolist()) if v >= 0}
    for k, both in stops.items():
        (on, vehicle, aboard), (off, same, _) = both[PICKUP], both[DROPOFF]
        assert vehicle == same == answers.vehicle[k]
        assert aboard <= off or trips.direct[k] == 0
        assert trips.placed[k] <= on
        assert aboard - trips.placed[k] <= LIMITS.max_wait_ms
        direct = times[Spot(int(trips.origin[k]))][Spot(int(trips.destination[k]))]
        assert off - trips.placed[k] <= direct * 1.7 + LIMITS.trip_extra_ms
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


def best_by_trying(rollout: Rollout, vehicle: int, k: int, now: int, times: Times) -> tuple[int, int] | None:
    """(added driving, vehicle) of the cheapest pair of positions whose whole sequence keeps every limit."""
    plans, trips = rollout.plans, rollout.trips
    base, count = int(plans.first[vehicle]), int(plans.count[vehicle])
    rows = [
        (int(r.state), int(r.kind), int(r.request), int(r.earliest), int(r.latest), int(r.service))
        for r in (plans.rows[base + n] for n in range(count - 1))
    ]
    start = max(int(plans.rows[base].begin), now)
    free = max([n for n in range(count - 1) if plans.rows[base + n].locked], default=0)
    new = [
        (int(trips.origin[k]), PICKUP, k, now, int(trips.pickup_latest[k]), LIMITS.stop_ms),
        (int(trips.destination[k]), DROPOFF, k, 0, int(trips.dropoff_latest[k]), LIMITS.stop_ms),
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
