"""The broker's desk: planted clusters are found, chance is not, and idle vehicles go where most ride."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise, permutations, product
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import Serving, serving, some_settings
from sqlalchemy import insert

from noriai_api.broker import supply
from noriai_api.broker.opportunities import Opportunity, Wishes, opportunities, wishes_of
from noriai_api.broker.supply import Idle, Roads, roads_of
from noriai_api.exchange import data_plane
from noriai_api.exchange.privacy.mesh import centres_of
from noriai_api.sharing.demand import dataset_of, mesh_of
from noriai_api.store.exchange_tables import received
from noriai_engine.model.errors import InputError

MESHES = [54400000 + 10 * a + b for a in range(8) for b in range(8)]


def background(rng: np.random.Generator, count: int) -> list[tuple[int, ...]]:
    """Unmet wishes at random: four weeks, more by day than by night, some meshes more than others."""
    weights = rng.dirichlet(np.ones(len(MESHES)))
    rows = []
    for _ in range(count):
        day = int(rng.integers(0, 28))
        minute = int(np.clip(rng.normal(12 * 60, 200), 0, 1439)) // 15 * 15
        a, b = rng.choice(MESHES, 2, p=weights)
        rows.append((739_000 + day, day % 7, minute, int(a), int(b)))
    return rows


def planted(
    rng: np.random.Generator, weekday: int, hour: int, mesh: int, size: int, *, back: bool
) -> list[tuple[int, ...]]:
    rows = []
    for _ in range(size):
        week, minute = int(rng.integers(0, 4)), hour * 60 + int(rng.integers(0, 90)) // 15 * 15
        other = int(rng.choice(MESHES))
        ends = (mesh, other) if back else (other, mesh)
        rows.append((739_000 + 7 * week + weekday, weekday, minute, *ends))
    return rows


def as_wishes(rows: list[tuple[int, ...]]) -> Wishes:
    rows = [(*row, 1)[:6] for row in rows]
    table = np.array(rows, np.int64).reshape(-1, 6)
    return Wishes(*(table[:, n] for n in range(6)))


def test_planted_clusters_are_found_and_chance_is_not() -> None:
    """Precision and recall over made-up months of five clusters each."""
    right = wrong = missed = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows = background(rng, 300)
        truth = set()
        for mesh in rng.choice(MESHES, 5, replace=False):
            weekday, hour, back = int(rng.integers(0, 5)), int(rng.integers(7, 18)), bool(rng.integers(0, 2))
            rows += planted(rng, weekday, hour, int(mesh), 14, back=back)
            truth.add((int(mesh), "from" if back else "to", weekday, hour))
        hit = set()
        for one in opportunities(as_wishes(rows), {}):
            named = [t for t in truth if (t[0], t[1], t[2]) == (one.mesh, one.side, one.weekday)
                     and one.begin < t[3] * 60 + 90 and t[3] * 60 < one.end]  # fmt: skip
            hit |= set(named)
            right += bool(named)
            wrong += not named
        missed += len(truth - hit)
    assert right / (right + wrong) >= 0.9, (right, wrong)
    assert right / (right + missed) >= 0.9, (right, missed)


def test_chance_alone_makes_no_opportunities() -> None:
    found = [opportunities(as_wishes(background(np.random.default_rng(seed), 300)), {}) for seed in range(30)]
    assert sum(map(len, found)) <= 3, "one in a hundred, and three with luck"


def test_names_come_from_the_place() -> None:
    rng = np.random.default_rng(1)
    rows = (
        background(rng, 100)
        + planted(rng, 2, 9, MESHES[5], 15, back=False)
        + planted(rng, 3, 15, MESHES[9], 15, back=True)
    )
    found = opportunities(as_wishes(rows), {MESHES[5]: "clinic", MESHES[9]: "school"})
    assert {(one.name, one.name_ja, one.when[:3]) for one in found} == {
        ("Clinic day", "通院の日", "Wed"),
        ("School return", "下校便", "Thu"),
    }
    assert all(one.wishes >= 14 and one.days >= 2 for one in found)


def test_records_of_demand_are_read_in_local_time() -> None:
    record = {
        "what": "refused",
        "time": "2026-11-24T23:45:00.000+00:00",
        "from": "mesh:54400098",
        "to": "mesh:54400099",
    }
    found = wishes_of([record, record | {"what": "served"}, record | {"what": "abandoned"}], "Asia/Tokyo")
    assert (found.weekday.tolist(), found.minute.tolist()) == ([2, 2], [8 * 60 + 45] * 2)
    assert found.destination.tolist() == [54400099] * 2
    assert opportunities(wishes_of([], "Asia/Tokyo"), {}) == []


def an_idle(**more: Any) -> Idle:
    said: dict[str, Any] = {"party": "care home", "kind": "van", "weekday": 1, "begin": 480, "end": 800, "seats": 6,
                            "mesh": MESHES[0], "yen_per_hour": 3000}  # fmt: skip
    return Idle(**said | more)


def some_roads(seed: int = 0) -> Roads:
    """Streets between meshes: about two minutes a kilometre, one way a little slower than the other."""
    codes = np.array(MESHES)
    lon, lat = centres_of(codes)
    far = np.hypot((lon[:, None] - lon[None]) * 90, (lat[:, None] - lat[None]) * 111)
    noise = np.random.default_rng(seed).uniform(1.0, 1.3, far.shape)
    return roads_of(codes, (far * 120_000 * noise).astype(np.int64), 2**29)


def a_day(rng: np.random.Generator, count: int, day: int = 739_001) -> list[tuple[int, ...]]:
    rows = []
    while len(rows) < count:
        a, b = rng.choice(MESHES[:20], 2)
        if a != b:
            rows.append((day, day % 7, 540 + 15 * int(rng.integers(0, 8)), int(a), int(b), int(rng.integers(1, 4))))
    return rows


def opportunity_of(wishes: Wishes, **more: Any) -> Opportunity:
    """All of some wishes."""
    said: dict[str, Any] = {"name": "n", "name_ja": "n", "side": "to", "mesh": MESHES[0], "weekday": 1, "begin": 540,
                            "end": 690, "wishes": len(wishes.day), "days": 1, "expected": 1.0,
                            "members": tuple(range(len(wishes.day)))}  # fmt: skip
    return Opportunity(**said | more)


def can_be_driven(order: list[int], rows: list[tuple[int, ...]], vehicle: Idle, roads: Roads) -> bool:
    """By difference constraints and nothing else: stop k is +row (getting on) or ~row (off)."""
    aboard, places = 0, []
    for k in order:
        row = rows[k if k >= 0 else ~k]
        aboard += row[5] if k >= 0 else -row[5]
        if aboard > vehicle.seats:
            return False
        places.append(row[3] if k >= 0 else row[4])
    at = roads.row_of
    way = [int(roads.travel_ms[at[a], at[b]]) for a, b in pairwise([vehicle.mesh, *places, vehicle.mesh])]
    size, minute, stop = len(order) + 3, 60_000, 2 * 60_000  # nodes: origin of time, leave, stops, back
    bounds = [(1, 0, -(vehicle.begin + 15) * minute), (0, size - 1, (vehicle.end - 15) * minute)]  # to - from <= bound
    for n, drive in enumerate(way):
        bounds.append((n + 2, n + 1, -(drive + (stop if n else 0))))
    for n, k in enumerate(order):
        row = rows[k if k >= 0 else ~k]
        direct = int(roads.travel_ms[at[row[3]], at[row[4]]])
        longest = 2 * direct + 20 * minute
        wished = row[2] * minute
        if k >= 0:
            bounds += [(n + 2, 0, -(wished - 15 * minute)), (0, n + 2, wished + 45 * minute)]
            bounds.append((n + 2, order.index(~k) + 2, longest + stop))
        else:
            bounds.append((0, n + 2, wished + 45 * minute + longest))
    far = [0.0] * size
    for _ in range(size + 1):
        changed = False
        for a, b, bound in bounds:
            if far[a] + bound < far[b]:
                far[b], changed = far[a] + bound, True
        if not changed:
            return True
    return False


def best_by_hand(rows: list[tuple[int, ...]], idle: list[Idle], roads: Roads, most: int) -> float:
    """The least cost over every choice of riders, vehicles and orders of stops."""
    at = roads.row_of

    def tours(vehicle: Idle, chosen: tuple[int, ...]) -> float:
        best = float("inf")
        for order in permutations([*chosen, *(~k for k in chosen)]):
            stops = list(order)
            if all(stops.index(k) < stops.index(~k) for k in chosen) and can_be_driven(stops, rows, vehicle, roads):
                places = [rows[k][3] if k >= 0 else rows[~k][4] for k in stops]
                drives = sum(
                    int(roads.travel_ms[at[a], at[b]]) for a, b in pairwise([vehicle.mesh, *places, vehicle.mesh])
                )
                best = min(best, (drives / 3_600_000 + 0.5) * vehicle.yen_per_hour)
        return best

    everyone = range(len(rows))
    costs = {
        (v, chosen): tours(vehicle, chosen) if chosen else 0.0
        for v, vehicle in enumerate(idle) for size in range(len(rows) + 1) for chosen in combinations(everyone, size)
    }  # fmt: skip
    best = float("inf")
    for choice in product(range(len(idle) + 1), repeat=len(rows)):
        chosen = [tuple(k for k in everyone if choice[k] == v) for v in range(len(idle))]
        left = sum(rows[k][5] * most for k in everyone if choice[k] == len(idle))
        best = min(best, left + sum(costs[v, chosen[v]] for v in range(len(idle))))
    return best


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_tours_are_within_a_hundredth_of_the_best_there_are(seed: int) -> None:
    """Against every choice of riders, vehicles and orders on small days; each tour is judged by difference constraints
    of another hand."""
    rng, roads = np.random.default_rng(seed), some_roads(seed)
    rows = a_day(rng, 3)
    idle = [an_idle(party=f"v{n}", seats=int(rng.integers(2, 6)), mesh=int(rng.choice(MESHES[:20])),
                    begin=int(rng.integers(480, 540)), end=int(rng.integers(640, 760)),
                    yen_per_hour=int(rng.integers(1000, 4000))) for n in range(2)]  # fmt: skip
    most, wishes = int(rng.integers(300, 2500)), as_wishes(rows)
    found = supply._planned([0, 1, 2], wishes, idle, roads, most)
    cost, at = 0.0, roads.row_of
    served = [row for _, tour in found for row in tour.wishes]
    assert len(served) == len(set(served))
    for vehicle, tour in found:
        left = dict.fromkeys(tour.wishes, "wanted")
        order = []
        for stop in tour.stops:
            row = next(r for r in tour.wishes if left[r] == ("wanted" if stop.riders > 0 else "aboard")
                       and rows[r][3 if stop.riders > 0 else 4] == stop.mesh and rows[r][5] == abs(stop.riders))  # fmt: skip
            left[row] = "aboard" if stop.riders > 0 else "there"
            order.append(row if stop.riders > 0 else ~row)
        assert can_be_driven(order, rows, vehicle, roads)
        places = [vehicle.mesh, *(stop.mesh for stop in tour.stops), vehicle.mesh]
        drives = sum(int(roads.travel_ms[at[a], at[b]]) for a, b in pairwise(places))
        cost += (drives / 3_600_000 + 0.5) * vehicle.yen_per_hour
        assert vehicle.begin <= tour.begin < tour.end <= vehicle.end
        assert tour.minutes * 60_000 >= drives
    cost += sum(rows[k][5] * most for k in range(3) if k not in served)
    best = best_by_hand(rows, idle, roads, most)
    assert best - 0.01 <= cost <= 1.01 * best


def test_one_vehicle_serves_several_opportunities_where_that_pays() -> None:
    """A clinic day in the morning and the way home at noon, both of which one van can do: one proposal for both, and
    none for a van that would carry too few or cost too much."""
    rng, rows = np.random.default_rng(3), []
    for week in range(4):
        day = 739_001 + 7 * week
        for n in range(5):
            home = int(rng.choice(MESHES[1:12]))
            rows.append((day, 1, 540 + 15 * (n % 3), home, MESHES[0], 1))
            rows.append((day, 1, 690 + 15 * (n % 3), MESHES[0], home, 1))
    wishes, roads = as_wishes(rows), some_roads()
    there = opportunity_of(wishes, name="Clinic day", members=tuple(range(0, len(rows), 2)))
    back = opportunity_of(wishes, name="Ride home", side="from", begin=690, members=tuple(range(1, len(rows), 2)))
    idle = [an_idle(), an_idle(party="on another day", weekday=2), an_idle(party="too dear", yen_per_hour=60_000),
            an_idle(party="too short", begin=480, end=500)]  # fmt: skip
    (one,) = supply.proposals([there, back], wishes, idle, roads, 4, 1500)
    assert one.idle.party == "care home"
    assert {o.name for o in one.opportunities} == {"Clinic day", "Ride home"}
    assert one.riders >= 7, "most of the ten of a day"
    assert one.yen_per_rider == round(one.yen / one.riders) <= 1500
    assert one.yen == round(sum(t.minutes for t in one.tours) / 60 * 3000 / 4)
    assert supply.proposals([there, back], wishes, [an_idle()], roads, 4, 100) == []
    assert supply.proposals([], wishes, idle, roads, 4, 1500) == []
    again = supply.proposals([there, back], wishes, idle, roads, 4, 1500)
    assert again == [one], "the same question has the same answer"


def test_places_of_one_name_and_hour_stay_apart() -> None:
    """Two opportunities with the same name at the same time, in different places: a proposal names both."""
    rows = [
        (739_001 + 7 * week, 1, 540, MESHES[2 + n % 2], MESHES[8 * (n % 2)], 1) for week in range(2) for n in range(6)
    ]
    wishes = as_wishes(rows)
    both = [opportunity_of(wishes, mesh=MESHES[8 * k], members=tuple(range(k, len(rows), 2))) for k in range(2)]
    (one,) = supply.proposals(both, wishes, [an_idle()], some_roads(), 2, 5000)
    assert {o.mesh for o in one.opportunities} == {MESHES[0], MESHES[8]}


def test_roads_keep_the_triangle_inequality_and_no_way_stays_none() -> None:
    far = 2**29
    plain = np.array([[0, 10, 3, far], [10, 0, 4, far], [3, 4, 0, far], [far, far, far, 0]], np.int64)
    roads = roads_of(np.array(MESHES[:4]), plain, far)
    assert roads.travel_ms.tolist() == [[0, 7, 3, -1], [7, 0, 4, -1], [3, 4, 0, -1], [-1, -1, -1, 0]]


def test_a_wish_no_street_leads_to_is_left_out() -> None:
    roads = some_roads()
    cut = roads.travel_ms.copy()
    cut[5, :] = cut[:, 5] = -1
    rows = [(739_001, 1, 540, MESHES[5], MESHES[0], 1), (739_001, 1, 540, MESHES[3], MESHES[3], 1),
            (739_001, 1, 540, MESHES[3], MESHES[0], 2)]  # fmt: skip
    ((_, tour),) = supply._planned([0, 1, 2], as_wishes(rows), [an_idle()], replace(roads, travel_ms=cut), 9999)
    assert tour.wishes == (2,)
    for wrong in ({"weekday": 7}, {"begin": 900}, {"seats": 0}):
        with pytest.raises(InputError, match="idle care home"):
            an_idle(**wrong)


# --- the desk -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A town whose own demand, and a neighbour's as it was shared, hold a clinic day."""
    with serving(some_settings(tmp_path_factory.mktemp("desk"), moves_itself=False)) as running:
        region = next(iter(running.node.actors.values())).runtime.region
        clinic = next(place for place in region.places if place.kind == "clinic")
        mesh = mesh_of(clinic.lon, clinic.lat)
        now, rng = running.node.clock.now(), np.random.default_rng(2)
        lived = [mesh_of(a, b) for a, b in zip(region.population.lon, region.population.lat, strict=True)]  # type: ignore[union-attr]

        def body(what: str, a: int, b: int) -> dict[str, Any]:
            return {"what": what, "reason": None, "from": f"mesh:{a}", "to": f"mesh:{b}", "riders": 1}

        monday = datetime.fromtimestamp(now / 1000, ZoneInfo("Asia/Tokyo")).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        monday -= timedelta(days=monday.weekday() + 14)
        rows = []
        for _ in range(80):
            when = monday + timedelta(days=int(rng.integers(0, 14)), minutes=int(rng.integers(28, 72)) * 15)
            a, b = rng.choice(lived, 2)
            rows.append((when, body("refused", int(a), int(b))))
        for n in range(16):
            when = monday + timedelta(days=1 + 7 * (n % 2), minutes=9 * 60 + 15 * (n % 5))
            rows.append((when, body("refused", int(rng.choice(lived)), mesh)))
        made = [{"time": int(when.timestamp() * 1000), "area": (said["from"],), "body": said} for when, said in rows]

        def write(connection: Any) -> None:
            data_plane.add_records(connection, "home", dataset_of("home"), made[:60])
            for n, row in enumerate(made[60:]):
                whole = {"time": datetime.fromtimestamp(row["time"] / 1000, UTC).isoformat(), **row["body"]}
                coarse = {**whole, "from": whole["from"][:11], "to": whole["to"][:11]}
                for word, told in (("", whole), ("-all", whole), ("-by-10-km", coarse)):  # counted once
                    connection.execute(insert(received).values(
                        tenant="home", transfer=f"t{word}", sequence=n, peer="urn:next", time=row["time"],
                        dataset=f"urn:noriai:dataset:next:demand{word}", area=row["area"][0], body=json.dumps(told),
                    ))  # fmt: skip

        running.node.writer.put(write).result()
        yield running


def said(town: Serving, role: str, method: str, path: str, status: int = 200, **more: Any) -> Any:
    answer = town.ask(role, method, f"/v1/broker/{path}", **more)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_from_unmet_demand_to_a_yes(town: Serving) -> None:
    region = next(iter(town.node.actors.values())).runtime.region
    clinic = next(place for place in region.places if place.kind == "clinic")
    base = {"lon": clinic.lon, "lat": clinic.lat}
    van = {"operator": "neighbours", "kind": "care home's van", "weekday": 1, "begin": "07:30", "end": "12:30", "seats": 8,
           "base": base, "yen_per_hour": 2000}  # fmt: skip
    said(town, "dispatcher-neighbours", "PUT", "idle/van", json=van)
    said(town, "dispatcher-taxi", "PUT", "idle/van", 404, json=van | {"operator": "taxi"})
    said(town, "dispatcher-taxi", "PUT", "idle/mine", 404, json=van)
    said(town, "dispatcher-taxi", "PUT", "idle/mine", 422, json=van | {"operator": "taxi", "end": "07:00"})
    said(town, "dispatcher-taxi", "PUT", "idle/mine", json=van | {"operator": "taxi", "weekday": 4})
    assert [i["idle"] for i in said(town, "dispatcher-taxi", "GET", "idle")["idle"]] == ["mine"]
    found = said(town, "planner", "POST", "searches", json={"region": town.region, "weeks": 3})
    assert found["unmet"] == 96
    assert [(o["name"]["en"], o["when"][:9]) for o in found["opportunities"]] == [("Clinic day", "Tue 09:00")]
    (proposal,) = found["proposals"]
    assert (proposal["operator"], proposal["idle"]) == ("neighbours", "van")
    assert proposal["yen_per_rider"] == round(proposal["yen_a_day"] / proposal["riders_a_day"]) <= 3000
    assert [o["name"]["en"] for o in proposal["opportunities"]] == ["Clinic day"]
    assert sum(stop["riders"] for stop in proposal["tour"]) == 0, "whoever gets on gets off"
    assert [stop["time"] for stop in proposal["tour"]] == sorted(stop["time"] for stop in proposal["tour"])
    assert all("07:30" < stop["time"] < "12:30" for stop in proposal["tour"])
    assert said(town, "dispatcher-taxi", "GET", "proposals")["proposals"] == []
    path = f"proposals/{proposal['proposal']}/answer"
    said(town, "dispatcher-taxi", "POST", path, 404, json={"accepted": True})
    assert said(town, "dispatcher-neighbours", "POST", path, json={"accepted": True})["state"] == "accepted"
    assert said(town, "dispatcher-neighbours", "POST", path, json={"accepted": True})["state"] == "accepted"
    said(town, "dispatcher-neighbours", "POST", path, 409, json={"accepted": False})
    again = said(town, "planner", "POST", "searches", json={"region": town.region})
    assert again["proposals"] == [], "the van is taken"
    assert [p["state"] for p in said(town, "planner", "GET", "proposals")["proposals"]] == ["accepted"]
    said(town, "dispatcher-taxi", "DELETE", "idle/van", 404)
    said(town, "dispatcher-neighbours", "DELETE", "idle/van", 204)
    assert said(town, "planner", "POST", "searches", json={"region": town.region})["proposals"] == []
    said(town, "planner", "POST", "searches", 404, json={"region": "none"})
