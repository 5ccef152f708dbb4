"""Plans kept up by kernels equal plans worked out anew after every request (dispatch invariants 1, 3, 8 and 11)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from builders import LAYOUTS, SERVICE, a_dispatcher, a_random_town, a_street_town, a_vehicle, random_requests, somewhere
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.roads import Times
from naive.schedule import earliest_begins

from noriai_engine.model import Plan, Resources
from noriai_engine.model.plan import ActivityKind
from noriai_engine.world.day import Day


def in_order_and_once(plan: Plan) -> None:
    seen: list[tuple[ActivityKind, str]] = []
    for activity in plan.activities:
        if activity.request_id is None:
            continue
        step = (activity.kind, activity.request_id)
        assert step not in seen
        if activity.kind == ActivityKind.PICKUP:
            assert (ActivityKind.DROPOFF, activity.request_id) not in seen
        seen.append(step)
    assert plan.activities[0].kind == ActivityKind.POSITION
    assert plan.activities[-1].kind == ActivityKind.END
    locked = [activity.locked for activity in plan.activities[1:]]
    assert locked == sorted(locked, reverse=True)  # what is locked comes first


def loads_fit(plan: Plan, party: dict[str, Resources], layouts: tuple[Resources, ...]) -> None:
    load = list(plan.aboard.as_tuple())
    for activity in plan.activities:
        sign = {ActivityKind.PICKUP: 1, ActivityKind.DROPOFF: -1}.get(activity.kind, 0)
        if sign:
            change = party[str(activity.request_id)].as_tuple()
            load = [a + sign * b for a, b in zip(load, change, strict=True)]
        assert min(load) >= 0
        assert Resources(*load).fits(layouts)
    assert load == [0, 0, 0]


@hypothesis_settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_plans_equal_a_full_recompute_after_every_request(seed: int) -> None:
    rng = np.random.default_rng(seed)
    make = a_random_town if seed % 2 else a_street_town
    network = make(rng, int(rng.integers(4, 20)))
    times = Times(network)
    vehicles = [
        a_vehicle(
            f"v{k}", place=somewhere(network, rng), layouts=LAYOUTS[k % len(LAYOUTS)],
            shift=("07:30", "10:30"), breaks=(("08:15", "09:00", 15), ("09:20", "10:00", 5)),
        )
        for k in range(2)
    ]  # fmt: skip
    requests = random_requests(network, rng, 40)
    dispatcher, clock = a_dispatcher(network, vehicles, SERVICE, now="06:30")
    party, max_ride = {r.id: r.party for r in requests}, {}
    for answer in Day(dispatcher, clock, requests).steps():
        if answer.offers:
            max_ride[str(answer.request_id)] = answer.offers[0].max_ride_ms
        for k, vehicle in enumerate(vehicles):
            plan = dispatcher.plan(k)
            if len(plan.activities) == 1:
                continue  # its shift is over
            in_order_and_once(plan)
            loads_fit(plan, {str(r): p for r, p in party.items()}, vehicle.layouts)
            stops = [activity.stop.spot for activity in plan.activities]
            assert [a.drive_ms for a in plan.activities[1:]] == [times[a][b] for a, b in pairwise(stops)]
            begins = [activity.begin for activity in plan.activities]
            assert begins[1:] == earliest_begins(plan, clock.now(), max_ride, times)[1:], f"seed {seed}"
            assert all(a.earliest <= a.begin <= a.latest for a in plan.activities[1:])


def test_blocks_that_are_full_move_and_keep_their_rows() -> None:
    from noriai_engine.dispatch.plan_arrays import empty_plans, with_room

    plans = empty_plans(3, 4)
    plans.count[1] = 4
    plans.rows.state[4:8] = [5, 6, 7, 8]
    plans.rows.load[4:8, 0] = [1, 2, 3, 4]
    grown = with_room(plans, 1, 9)
    first = int(grown.first[1])
    assert grown.room[1] >= 9
    assert grown.rows.state[first : first + 4].tolist() == [5, 6, 7, 8]
    assert grown.rows.load[first : first + 4, 0].tolist() == [1, 2, 3, 4]
    assert with_room(grown, 0, 4) is grown
