"""Rides of two legs: one town's vehicle to a transfer point, another's from there on. Both are booked or none is, each
leg by its own region's rules and fares, and a connection that breaks is mended or told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from neighbouring import agree, count_of, exchange_of, manage, neighbours, offer_rides, shown, take, until
from serving import Movable, Serving

from noriai_api.borders import connections, legs, rides
from noriai_api.borders.legs import UNANSWERED_MS
from noriai_api.exchange import usage
from noriai_engine.regions import open_region, write_region
from noriai_engine.world.rural import rural_region

pytestmark = pytest.mark.compiled

PACK = """
[pack]
id = "local.own-town"
version = 1
article = "78-2"
title = "own town only"
valid_from = 2024-04-01
valid_to = 2099-03-31
source = { kind = "test", as_of = 2024-12-01, mark = "S" }

[where]
area = "operating"
ends = "both"
"""
TOWN = """
name = "Own town only"
max_wait_min = 25
detour_factor = 2.0
detour_extra_min = 20
fare = {{ flat = {fare} }}

[[licences]]
id = "public"
packs = ["own.toml"]
"""
FARES = {"a": 300, "b": 500}
ALL_DAY = {day: ["00:00", "30:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


class Towns:
    """Two towns over one network, west and east, whose vehicles carry nobody over the border; they meet at a point."""

    def __init__(self, nodes: list[Serving], clock: Movable, point: dict[str, float]) -> None:
        self.a, self.b, self.clock, self.point = *nodes, clock, point
        region = next(iter(self.a.node.actors.values())).runtime.region
        assert region.population is not None
        people = region.population
        lon, lat = region.snapper.on_street(people.lon, people.lat)
        far = 0.01
        self.west = np.stack([lon, lat], axis=1)[lon < point["lon"] - far]
        self.east = np.stack([lon, lat], axis=1)[lon > point["lon"] + far]

    def wish(self, number: int, *, eastward: bool = True, arrive: bool = False) -> dict[str, Any]:
        rng = np.random.default_rng(number)
        a, b = (side[int(rng.integers(len(side)))] for side in (self.west, self.east))
        ends = [{"lon": round(float(p[0]), 6), "lat": round(float(p[1]), 6)} for p in ((a, b) if eastward else (b, a))]
        when = "latest_arrival" if arrive else "earliest_pickup"
        moment = (self.a.now() + timedelta(minutes=150 if arrive else 45)).isoformat()
        return {"origin": ends[0], "destination": ends[1], when: moment}

    def asked(self, first: int, **more: Any) -> dict[str, Any]:
        """A ride with an offer of two legs, for the first wish that has one."""
        for number in range(first, first + 30):
            body = {"region": self.a.region, "wish": self.wish(number, **more)}
            answer = self.a.ask("partner", "POST", "/v1/exchange/rides", json=body)
            assert answer.status_code == 201, answer.text
            ride: dict[str, Any] = answer.json()
            assert all(len(o["legs"]) == 2 for o in ride["offers"]), "no vehicle may carry anybody over the border"
            if ride["offers"]:
                return ride | {"wish": body["wish"]}
        raise AssertionError("no connection for any of 30 wishes")

    def counts(self) -> tuple[int, int]:
        return count_of(self.a), count_of(self.b)


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Towns]:
    folder, draft = tmp_path_factory.mktemp("towns"), rural_region(7)
    lon, lat = draft.network.point_lon, draft.network.point_lat
    hull = shapely.MultiPoint(np.column_stack([lon, lat])).convex_hull.buffer(0.01)
    west, south, east, north = hull.bounds
    middle, strip = float(np.median(lon)), 0.008
    settings: dict[str, dict[str, Any]] = {}
    for name, box in (("a", (west, south, middle + strip, north)), ("b", (middle - strip, south, east, north))):
        home = folder / f"town-{name}"
        home.mkdir()
        (home / "own.toml").write_text(PACK)
        (home / "service.toml").write_text(TOWN.format(fare=FARES[name]))
        draft.boundary = hull.intersection(shapely.box(*box))
        write_region(draft, home / "valley")
        settings[name] = {"region": home / "valley", "service": home / "service.toml", "quote_lifetime_s": 600}
    region, clock = open_region(folder / "town-a" / "valley"), Movable()
    at = region.snapper.on_street(np.array([middle]), np.array([float(np.median(lat))]))
    point = {"lon": round(float(at[0][0]), 6), "lat": round(float(at[1][0]), 6)}
    with neighbours(folder, clock, settings, a=0, b=0) as nodes:
        for node, side in zip(nodes, ("west", "east"), strict=True):
            _fleet(node, middle, west_side=side == "west")
            offer_rides(node)
        agree(nodes[0], nodes[1])
        said = manage(nodes[0], "PUT", "transfer-points/border-clinic",
                      json={"place": {**point, "name": "Border clinic"}, "change_min": 4})  # fmt: skip
        assert [p["point"] for p in said["points"]] == ["border-clinic"]
        yield Towns(nodes, clock, point)


def _fleet(node: Serving, middle: float, *, west_side: bool) -> None:
    assert node.ask("administrator", "PUT", "/v1/operators/own", json={"name": "Own", "kind": "taxi"}).is_success
    rng, made = np.random.default_rng(5), 0
    while made < 6:
        depot = node.somewhere(rng)
        if (depot["lon"] < middle) == west_side:
            body = {"region": node.region, "operator": "own", "kind": "bus", "layouts": [{"seats": 6}],
                    "depot": depot, "licence": "public", "shifts": ALL_DAY}  # fmt: skip
            assert node.ask("administrator", "PUT", f"/v1/vehicles/v{made}", json=body).status_code == 201
            made += 1


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("eastward", [True, False])
@pytest.mark.parametrize("arrive", [True, False])
def test_two_towns_serve_what_neither_may_alone(towns: Towns, eastward: bool, arrive: bool) -> None:
    """Promises of the two legs meet at the point, whatever becomes of either within its own; the sum of both fares is
    told; each leg is a booking of its own town."""
    ride = towns.asked(10, eastward=eastward, arrive=arrive)
    offer = ride["offers"][0]
    first, second = (leg["offer"] for leg in offer["legs"])
    change = offer["change"]
    order = [None, "urn:noriai:node:b"] if eastward else ["urn:noriai:node:b", None]
    assert [leg["participant"] for leg in offer["legs"]] == order
    wait = at(second["pickup"]["earliest"]) - at(first["dropoff"]["latest"])
    assert timedelta(minutes=change["change_min"]) <= wait <= timedelta(minutes=change["longest_wait_min"])
    if arrive:
        assert at(second["dropoff"]["latest"]) <= at(ride["wish"]["latest_arrival"])
    else:
        assert at(first["pickup"]["earliest"]) >= at(ride["wish"]["earliest_pickup"]).replace(microsecond=0)
    for leg, end in ((first, "dropoff"), (second, "pickup")):
        assert (leg[end]["place"]["lon"], leg[end]["place"]["lat"]) == (towns.point["lon"], towns.point["lat"])
    assert (offer["total"], offer["currency"]) == (FARES["a"] + FARES["b"], "JPY")

    before = towns.counts()
    taken = take(towns.a, ride["ride"]).json()
    assert taken["state"] == "booked"
    assert taken["owner"] == (order[0] or "urn:noriai:node:a"), "whoever carries the first leg has the rider first"
    assert [leg["state"] for leg in taken["legs"]] == ["booked", "booked"]
    assert towns.counts() == (before[0] + 1, before[1] + 1)
    assert take(towns.a, ride["ride"]).json() == taken, "taken once, however often it is said"
    agreement = manage(towns.a, "GET", "agreements")["agreements"][0]["agreement"]
    sides = [manage(node, "GET", f"agreements/{agreement}/settlement") for node in (towns.a, towns.b)]
    assert sides[0]["lines"] == sides[1]["lines"]
    assert sides[0]["total"] == FARES["b"] * len(sides[0]["lines"])

    gone = towns.a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation").json()
    assert gone["state"] == "given_up"
    assert towns.counts() == before


def test_a_leg_that_is_not_to_be_had_gives_the_other_back(towns: Towns, monkeypatch: pytest.MonkeyPatch) -> None:
    """The neighbour sells its leg, our own is gone meanwhile; and the reverse: nothing is booked in the end."""
    before = towns.counts()
    ride = towns.asked(50)
    towns.clock.ahead_ms += 601_000  # offers of both have expired; the neighbour is asked first
    said = take(towns.a, ride["ride"]).json()
    assert said["state"] == "refused"
    assert towns.counts() == before

    ride = towns.asked(60)
    exchange = exchange_of(towns.a)
    send = exchange.send

    async def sold_then_expired(peer: str, method: str, url: str, *more: Any) -> httpx.Response:
        answer = await send(peer, method, url, *more)
        if "purchase" in url:
            towns.clock.ahead_ms += 601_000
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "send", sold_then_expired)
        said = take(towns.a, ride["ride"]).json()
    assert said["state"] in ("giving_back", "refused")
    assert until(towns.a, ride["ride"], "refused")["owner"] is None
    assert towns.counts() == before


def test_wherever_we_stop_both_legs_are_booked_in_the_end_or_none(
    towns: Towns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is cut off before the k-th change to the store, for every k; what goes on later settles it."""
    exchange, ends = exchange_of(towns.a), set()
    write = exchange.write
    for number, left in enumerate(range(12)):
        before, ride = towns.counts(), towns.asked(100 + 20 * number)
        budget = [left]

        async def cut_off(change: Any, budget: list[int] = budget) -> Any:
            if budget[0] == 0:
                raise ConnectionError("cut off")
            budget[0] -= 1
            return await write(change)

        with monkeypatch.context() as patch:
            patch.setattr(exchange, "write", cut_off)
            take(towns.a, ride["ride"])
        towns.clock.ahead_ms += UNANSWERED_MS + 1000
        for _ in range(100):
            state = settled(towns, ride["ride"])
            if state is not None:
                break
        assert state is not None
        booked = (before[0] + 1, before[1] + 1) if state == "booked" else before
        assert towns.counts() == booked, (left, state)
        ends.add(state)
        if state == "booked":
            towns.a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation")
            until(towns.a, ride["ride"], "given_up")
    assert "booked" in ends
    assert ends & {"offered", "refused"}


def test_a_ride_given_up_is_settled_though_we_stopped_after_its_last_leg(towns: Towns) -> None:
    """Both legs were given back, and nobody concluded from it: the next look does."""
    ride = towns.asked(380)
    exchange = exchange_of(towns.a)
    take(towns.a, ride["ride"])

    def stopped(connection: Any) -> None:
        row = rides.find(connection, "home", ride["ride"])
        assert row is not None
        rides.undo(connection, row, "given_up")
        for leg in legs.of_ride(connection, "home", ride["ride"]):
            legs.move(connection, "home", leg, leg.state, "given_up")

    towns.a.on_loop(exchange.write(stopped))
    until(towns.a, ride["ride"], "given_up")


def settled(towns: Towns, ride: str) -> str | None:
    """The ride's state once no leg is under way; waits a little."""
    import time

    found = shown(towns.a, ride)
    moving = towns.a.on_loop(exchange_of(towns.a).read(lambda c: legs.of_ride(c, "home", ride)))
    if found["state"] in ("buying", "giving_back") or any(
        leg.state in ("wanted", "buying", "giving_back") for leg in moving
    ):
        time.sleep(0.1)
        return None
    return str(found["state"])


def looked_at(towns: Towns, ride: str) -> dict[str, Any]:
    """The ride after one look at its connection."""
    exchange = exchange_of(towns.a)
    row = towns.a.on_loop(exchange.read(lambda c: rides.find(c, "home", ride)))
    towns.a.on_loop(connections.look(towns.a.node, exchange, row))
    return shown(towns.a, ride)


def of_b(towns: Towns, ride: dict[str, Any]) -> dict[str, Any]:
    return next(leg for leg in ride["legs"] if leg["participant"] == "urn:noriai:node:b")


def test_a_second_leg_that_falls_away_is_replaced(towns: Towns) -> None:
    ride = towns.asked(400)
    taken = take(towns.a, ride["ride"]).json()
    assert looked_at(towns, ride["ride"])["legs"] == taken["legs"], "nothing is wrong: nothing changes"
    before = towns.counts()
    lost = of_b(towns, taken)["booking"]
    assert towns.b.ask("administrator", "POST", f"/v1/bookings/{lost}/cancel").is_success
    assert towns.counts() == (before[0], before[1] - 1)
    for _ in range(20):  # the node's own look may be at it already
        mended = looked_at(towns, ride["ride"])
        if of_b(towns, mended)["booking"] != lost:
            break
    assert mended["state"] == "booked"
    assert of_b(towns, mended)["booking"] not in (None, lost)
    assert towns.counts() == before
    assert towns.a.ask("partner", "POST", f"/v1/exchange/rides/{ride['ride']}/cancellation").is_success
    until(towns.a, ride["ride"], "given_up")


def test_a_first_leg_that_falls_away_ends_the_ride_and_frees_the_second(towns: Towns) -> None:
    ride = towns.asked(430)
    before = towns.counts()
    taken = take(towns.a, ride["ride"]).json()
    own = next(leg for leg in taken["legs"] if leg["participant"] == "urn:noriai:node:a")
    assert towns.a.ask("administrator", "POST", f"/v1/bookings/{own['booking']}/cancel").is_success
    looked_at(towns, ride["ride"])
    assert until(towns.a, ride["ride"], "broken")["owner"] is None
    assert towns.counts() == before
    assert incidents_of(towns, ride) == ["first_leg_gone"]


def incidents_of(towns: Towns, ride: dict[str, Any]) -> list[str]:
    return [i["what"] for i in manage(towns.a, "GET", "incidents")["incidents"] if i.get("ride") == ride["ride"]]


@pytest.mark.parametrize("lost", ["first", "second"])
def test_a_ride_given_up_while_it_is_looked_at_is_no_incident(
    towns: Towns, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Its legs are gone because the rider wished so."""
    ride = towns.asked(445)
    taken = take(towns.a, ride["ride"]).json()
    assert taken["state"] == "booked"
    booking = connections._booking

    async def given_up_meanwhile(exchange: Any, caller: Any, leg: Any) -> Any:
        found = await booking(exchange, caller, leg)
        if found is not None and leg.ride == ride["ride"] and leg.is_own == (lost == "first"):
            await exchange.write(_give_up)
            found["state"] = "cancelled"
        return found

    def _give_up(connection: Any) -> None:
        row = rides.find(connection, "home", ride["ride"])
        if row["state"] == "booked":
            assert rides.undo(connection, row, "given_up")

    async def nobody(*arguments: Any) -> list[Any]:
        return []

    with monkeypatch.context() as patch:
        patch.setattr(connections, "_booking", given_up_meanwhile)
        patch.setattr(connections, "second_legs", nobody)
        looked_at(towns, ride["ride"])
        until(towns.a, ride["ride"], "given_up")
    assert incidents_of(towns, ride) == []


def test_a_late_first_leg_gets_a_later_second(towns: Towns, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first leg is told to arrive after the second vehicle leaves: another second leg is bought, then the old one
    given back. Where there is none, the ride stays and an incident tells."""
    ride = towns.asked(460)
    taken = take(towns.a, ride["ride"]).json()
    before, old = towns.counts(), of_b(towns, taken)["booking"]
    booking = connections._booking
    late = timedelta(minutes=60)

    async def told_late(exchange: Any, caller: Any, leg: Any) -> Any:
        found = await booking(exchange, caller, leg)
        if found is not None and leg.is_own:
            for name in ("planned", "latest"):
                found["dropoff"][name] = (at(found["dropoff"][name]) + late).isoformat()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(connections, "_booking", told_late)
        for _ in range(20):  # the node's own look may be at it already
            mended = looked_at(towns, ride["ride"])
            if of_b(towns, mended)["booking"] != old:
                break
    assert of_b(towns, mended)["booking"] != old
    until_count(towns, before)
    now = towns.b.ask("administrator", "GET", f"/v1/bookings/{of_b(towns, mended)['booking']}").json()
    first = towns.a.ask("administrator", "GET", f"/v1/bookings/{taken['legs'][0]['booking']}").json()
    assert at(now["pickup"]["earliest"]) >= at(first["dropoff"]["planned"]) + late

    async def nobody(*arguments: Any) -> list[Any]:
        return []

    late = timedelta(hours=3)
    with monkeypatch.context() as patch:
        patch.setattr(connections, "_booking", told_late)
        patch.setattr(connections, "second_legs", nobody)
        assert looked_at(towns, ride["ride"])["legs"] == mended["legs"]
    assert "connection_at_risk" in {i["what"] for i in manage(towns.a, "GET", "incidents")["incidents"]}


def until_count(towns: Towns, wanted: tuple[int, int]) -> None:
    import time

    for _ in range(200):
        if towns.counts() == wanted:
            return
        time.sleep(0.05)
    raise AssertionError((towns.counts(), wanted))


def test_whose_the_rider_is_changes_at_the_point(towns: Towns, monkeypatch: pytest.MonkeyPatch) -> None:
    ride = towns.asked(500)
    taken = take(towns.a, ride["ride"]).json()
    assert taken["owner"] == "urn:noriai:node:a"
    booking = connections._booking

    async def arrived(exchange: Any, caller: Any, leg: Any) -> Any:
        found = await booking(exchange, caller, leg)
        return found | {"state": "done"} if leg.is_own else found

    monkeypatch.setattr(connections, "_booking", arrived)
    there = looked_at(towns, ride["ride"])
    assert (there["owner"], there["booking"]) == ("urn:noriai:node:b", of_b(towns, taken)["booking"])


def test_a_lying_neighbour_has_no_connection(towns: Towns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times out of order, before what was asked, without an offset, or not at all: no offer is made of them."""
    exchange = exchange_of(towns.a)
    send, bent = exchange.send, []

    async def lies(peer: str, method: str, url: str, *more: Any) -> httpx.Response:
        answer = await send(peer, method, url, *more)
        if "search-offers" not in url or not answer.is_success:
            return answer
        said = answer.json()
        for feature in said["features"]:
            offer = feature["properties"]["customFields"]["noriaiOffer"]
            kind = len(bent) % 3
            if kind == 0:
                offer["pickup"]["earliest"] = "2020-01-01T00:00:00+09:00"
            elif kind == 1:
                offer["dropoff"]["latest"] = offer["dropoff"]["latest"][:19]
            else:
                offer["pickup"]["latest"], offer["dropoff"]["latest"] = "2030-01-01T00:00:00+09:00", "soon"
            bent.append(kind)
        return httpx.Response(200, content=json.dumps(said))

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "send", lies)
        for number in range(540, 552):
            body = {"region": towns.a.region, "wish": towns.wish(number)}
            assert towns.a.ask("partner", "POST", "/v1/exchange/rides", json=body).json()["offers"] == []
    assert set(bent) == {0, 1, 2}


def test_legs_are_nobodys_wish_in_the_demand_that_is_shared(towns: Towns) -> None:
    """What is asked for a leg is not shared as demand; the wish for the whole way is, once."""
    about = {
        "title": {"ja": "需要", "en": "Demand"}, "description": {"ja": "需要", "en": "Demand"}, "owner": "o",
        "kind": "operations", "schema_id": "urn:noriai:schema:demand", "schema_version": "1.0",
        "area": ["jis:08220"], "coverage": "all", "formats": ["HttpData-PULL"],
    }  # fmt: skip
    from sqlalchemy import select

    from noriai_api.sharing.demand import add_news, dataset_of, has_news
    from noriai_api.store.exchange_tables import records
    from noriai_api.store.tables import quotes

    exchange = exchange_of(towns.a)
    manage(towns.a, "PUT", f"datasets/{dataset_of('home')}", json={"about": about, "terms": {"purposes": ["dispatch"]}})
    while towns.a.on_loop(exchange.read(lambda c: has_news(c, "home"))):
        towns.a.on_loop(exchange.change(lambda c, here: add_news(c, here, exchange.upsert, ())))
    rows = towns.a.node.database.read(lambda c: [json.loads(b) for b in c.execute(select(quotes.c.body)).scalars()])
    made = towns.a.node.database.read(lambda c: [json.loads(b) for b in c.execute(select(records.c.body)).scalars()])
    asked = [record for record in made if record["what"] == "requested"]
    whole = [row for row in rows if not row.get("is_leg")]
    assert len(asked) == len(whole) < len(rows)


def test_a_transfer_point_is_dropped(towns: Towns) -> None:
    """Last, since nobody changes there any more; the logs of both sides are whole."""
    wrong = {"place": {**towns.point}, "change_min": 10, "longest_wait_min": 5}
    assert towns.a.ask("administrator", "PUT", "/v1/exchange/transfer-points/x", json=wrong).status_code == 422
    assert towns.a.ask("partner", "PUT", "/v1/exchange/transfer-points/x", json=wrong).status_code == 403
    manage(towns.a, "DELETE", "transfer-points/border-clinic")
    assert towns.a.ask("administrator", "DELETE", "/v1/exchange/transfer-points/border-clinic").status_code == 404
    body = {"region": towns.a.region, "wish": towns.wish(10)}
    assert towns.a.ask("partner", "POST", "/v1/exchange/rides", json=body).json()["offers"] == []
    for node in (towns.a, towns.b):
        assert usage.first_bad(node.node.database.read(lambda c: usage.entries(c, "home"))) is None


def test_rides_of_before_become_rides_of_one_leg(tmp_path: Path) -> None:
    """Rides of before legs were kept are carried over by the migration."""
    from sqlalchemy import text

    from noriai_api.store import open_database
    from noriai_api.store.migrate import _config, migrate

    database = open_database("", tmp_path)
    from alembic import command

    config = _config()
    with database.writing.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        body = {"region": "r", "offers": [{"participant": "urn:noriai:node:b", "agreement": "x", "id": "q:0",
                                           "offer": {}}], "refusal": None, "taken": 0, "bought_at": 5,
                "said": {"booking": "k"}}  # fmt: skip
        connection.execute(text(
            "INSERT INTO exchange_rides VALUES ('t', 'r1', 'c', 'booked', 'urn:noriai:node:b', 'x', 'k', 1, 0, :body)"
        ), {"body": json.dumps(body)})  # fmt: skip
    migrate(database)
    (leg,) = database.read(lambda c: legs.of_ride(c, "t", "r1"))
    assert (leg.state, leg.participant, leg.booking, leg.body["key"]) == ("booked", "urn:noriai:node:b", "k", "r1")
    row = database.read(lambda c: rides.find(c, "t", "r1"))
    assert row is not None
    assert [leg.number for leg in database.read(lambda c: rides.plan(c, row))] == [0]
    assert database.read(lambda c: rides.due(c, "t", 10**15)) == [], "nothing is left to do about it"
    database.close()
