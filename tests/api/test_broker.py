"""The broker's desk: planted clusters are found, chance is not, and idle vehicles go where most ride."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import Serving, serving, some_settings
from sqlalchemy import insert

from noriai_api.broker.opportunities import Opportunity, Wishes, opportunities, wishes_of
from noriai_api.broker.supply import Idle, proposals
from noriai_api.exchange import data_plane
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
    table = np.array(rows, np.int64).reshape(-1, 5)
    return Wishes(*(table[:, n] for n in range(5)))


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


def an_opportunity(**more: Any) -> Opportunity:
    said: dict[str, Any] = {"name": "n", "name_ja": "n", "side": "to", "mesh": MESHES[0], "weekday": 1, "begin": 600, "end": 690,
                            "wishes": 16, "days": 4, "expected": 1.0, "others": (MESHES[1],)}  # fmt: skip
    return Opportunity(**said | more)


def an_idle(**more: Any) -> Idle:
    said: dict[str, Any] = {"party": "care home", "kind": "van", "weekday": 1, "begin": 500, "end": 800, "seats": 6, "mesh": MESHES[0],
                            "yen_per_hour": 3000}  # fmt: skip
    return Idle(**said | more)


def test_only_vehicles_that_are_idle_then_are_proposed() -> None:
    (found,) = proposals(
        [an_opportunity()], [an_idle(weekday=2), an_idle(begin=595), an_idle(party="bus"), an_idle(end=700)], 9999
    )
    assert found.idle.party == "bus"
    assert found.riders == 4.0
    assert found.yen == 3000 * 120 / 60
    assert proposals([an_opportunity()], [an_idle()], 1000) == []
    assert proposals([], [an_idle()], 1000) == proposals([an_opportunity()], [], 1000) == []
    for wrong in ({"weekday": 7}, {"begin": 900}, {"seats": 0}):
        with pytest.raises(InputError, match="idle care home"):
            an_idle(**wrong)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_no_other_choice_serves_more_riders(seed: int) -> None:
    """Against every way to give vehicles to opportunities."""
    rng = np.random.default_rng(seed)
    asked = [an_opportunity(mesh=int(rng.choice(MESHES)), wishes=int(rng.integers(4, 40)), begin=int(b), end=int(b) + 90)
             for b in rng.integers(560, 640, 3)]  # fmt: skip
    idle = [
        an_idle(seats=int(rng.integers(1, 9)), mesh=int(rng.choice(MESHES)), begin=int(rng.integers(480, 600)))
        for _ in range(3)
    ]
    alone = {(i, j): proposals([asked[i]], [idle[j]], 10**6) for i in range(3) for j in range(3)}
    best = max(sum(p.riders for i, j in enumerate(order) for p in alone[i, j]) for order in permutations(range(3)))
    assert sum(p.riders for p in proposals(asked, idle, 10**6)) == pytest.approx(best, abs=0.01)


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
                connection.execute(insert(received).values(
                    tenant="home", transfer="t", sequence=n, dataset="urn:noriai:dataset:next:demand", peer="urn:next",
                    time=row["time"], area=row["area"][0], body=json.dumps(whole)))  # fmt: skip

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
    found = said(town, "planner", "POST", "searches", json={"region": town.region})
    assert found["unmet"] == 96
    assert [(o["name"]["en"], o["when"][:9]) for o in found["opportunities"]] == [("Clinic day", "Tue 09:00")]
    (proposal,) = found["proposals"]
    assert (proposal["operator"], proposal["idle"]) == ("neighbours", "van")
    assert proposal["yen_per_rider"] == round(proposal["yen_a_day"] / proposal["riders_a_day"])
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
