"""Who may do what: the matrix of every operation, role and tenant, generated from the OpenAPI document; and the parts
that decide it, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import mds_documents as reports
import pytest
from exchanging import AUTHORITY, an_authority
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from openid import MachineKey
from serving import Serving, serving, some_settings
from sqlalchemy import insert, select

from noriai_api.access import audit, clients
from noriai_api.access.decision import ACTIONS, ROLES, Resource, Subject, decide, granted
from noriai_api.app import ROUTERS
from noriai_api.digests import digest
from noriai_api.exchange.keys import OwnKey
from noriai_api.exchange.participants import membership
from noriai_api.exchange.service import Exchange
from noriai_api.guard import action_of
from noriai_api.sharing.participants import exchanges_of, keys_of
from noriai_api.store.exchange_tables import pool_loans, proposals
from noriai_api.store.tables import metadata
from noriai_gtfs.publish.mds import Authority

FEEDS = "/feeds/{tenant}/{region}"
PUBLIC = {
    ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics"), ("GET", f"{FEEDS}/gtfs-flex.zip"),
    ("GET", f"{FEEDS}/vehicle_positions.pb"), ("GET", f"{FEEDS}/gofs/{{name}}"), ("GET", f"{FEEDS}/alerts.pb"),
    ("GET", f"{FEEDS}/ngsi-ld/fleet_vehicle_status.json"), ("GET", f"{FEEDS}/gif.xml"),
    ("GET", "/.well-known/oauth-authorization-server"), ("GET", "/oauth/jwks"), ("POST", "/oauth/token"),
    ("GET", "/auth/{tenant}/{provider}/login"), ("GET", "/auth/{tenant}/{provider}/callback"),
}  # fmt: skip
QUERIES = {
    "/v1/riders": "?phone=0901234", "/v1/settlements": "?first=2026-01-01&last=2099-12-31",
    "/mds/events/historical": "?event_time=2026-01-05T08", "/mds/trips": "?end_time=2026-01-05T08",
    "/mds/events/recent": "?start_time=1790000000000&end_time=1790000001000",
    "/mds/telemetry": "?telemetry_time=2026-11-24T08",
    "/v1/regions/{region}/kpis": "?day=2026-11-24",
}  # fmt: skip
TENANTS = ("home", "away")
MDS_PROVIDER = "48415839-3e38-4ba5-a557-e45fb4e6a0a3"
MDS_DEVICE = Authority("home", (), ()).uuid("vehicle", "taxi-1")
DATASET = "urn:noriai:dataset:home:matrix"
AN_IDLE = {"operator": "taxi", "kind": "van", "weekday": 1, "begin": "13:00", "end": "16:00", "seats": 6,
           "base": {"lon": 137.6, "lat": 36.9}, "yen_per_hour": 3000}  # fmt: skip
A_POINT = {"place": {"lon": 137.6, "lat": 36.9}}
A_NEED = {"kind": "driver", "begin": "2026-11-24T17:00:00+09:00", "end": "2026-11-24T20:00:00+09:00",
          "area": "jis:08220"}  # fmt: skip
A_DATASET = {
    "about": {
        "title": {"ja": "a", "en": "a"}, "description": {"ja": "a", "en": "a"}, "owner": "urn:a", "kind": "operations",
        "schema_id": "urn:s", "schema_version": "1.0", "area": ["jis:08220"], "coverage": "all",
        "formats": ["HttpData-PULL"],
    },
    "terms": {"purposes": ["dispatch"]},
}  # fmt: skip


def actions_of(route: APIRoute) -> set[str]:
    """Actions that a route's dependencies guard, however deep."""
    found, waiting = set(), [route.dependant]
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        if dependant.call is not None and (action := action_of(dependant.call)) is not None:
            found.add(action)
    return found


def operations() -> dict[tuple[str, str], str]:
    """(method, path) -> action of every guarded operation."""
    found = {}
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods:
                if (method, route.path) not in PUBLIC:
                    (found[method, route.path],) = actions_of(route)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One node, two tenants, a client in every role of each."""
    folder = tmp_path_factory.mktemp("two")
    authority = an_authority()
    (folder / "authorities.json").write_text(json.dumps({AUTHORITY: [authority.public.as_json()]}))
    settings = some_settings(
        folder / "node", moves_itself=False, webhooks_inside=True, authorities=folder / "authorities.json"
    )
    with serving(settings) as running:
        now = running.node.clock.now()

        def add(connection: Any) -> dict[str, str]:
            clients.add_tenant(connection, "away", "Another town", now)
            clients.add_tenant(connection, "third", "A third town", now)
            keys = {}
            for tenant in TENANTS:
                for role in ROLES:
                    vehicle = "taxi-1" if role == "vehicle" else None
                    rider = "rider-demo" if role in ("resident", "proxy") else None
                    subject = Subject(tenant, f"{tenant}-{role}", role, None, vehicle, rider)
                    secret = running.node.new_secret()
                    keys[f"{tenant}:{role}"] = clients.add_client(connection, subject, role, secret, now)
            return keys

        running.keys |= running.node.writer.put(add).result()
        more = exchanges_of(running.node, running.address)
        for tenant in ("away", "third"):
            more[tenant].keyring = keys_of(running.node, tenant)
            running.exchanges[tenant] = more[tenant]
        for one in running.exchanges.values():
            for other in running.exchanges.values():
                if "home" in (one.tenant, other.tenant) and one is not other:
                    running.on_loop(one.admit(membership_of(other, authority)))
        yield running


def membership_of(exchange: Exchange, authority: OwnKey) -> str:
    now_s = exchange.clock.now() // 1000
    keys = exchange.keyring.public(now_s)
    return membership(authority, AUTHORITY, exchange.me.participant, exchange.me.address, keys, now_s, now_s + 86_400)


def a_loan(connection: Any) -> None:
    connection.execute(insert(pool_loans).values(
        tenant="home", loan="loan-1", role="borrowed", state="refused", peer="urn:x", agreement="x", subject="",
        offer="o", begin=0, end=1, next_try=0, body=json.dumps({"asked": {"operator": "taxi", "need": A_NEED}}),
    ))  # fmt: skip


def a_proposal(connection: Any) -> None:
    opportunity = {"name": {"ja": "a", "en": "a"}, "when": "Mon", "place": "mesh:54400098", "side": "to", "wishes": 9,
                   "days": 3, "expected": 1.0}  # fmt: skip
    body = {"proposal": "p-1", "state": "proposed", "operator": "taxi", "idle": "van-1", "opportunities": [opportunity], "tour": [],
            "riders_a_day": 3.0, "yen_a_day": 3000, "yen_per_rider": 1000}  # fmt: skip
    row = {"tenant": "home", "proposal": "p-1", "operator": "taxi", "state": "proposed", "made": 0, "answered": None}
    connection.execute(insert(proposals).values(**row, body=json.dumps(body)))


def an_agreement(two: Serving) -> tuple[str, str]:
    """(process, agreement) of home with a third tenant, over the node's own door."""
    put = two.ask("home:administrator", "PUT", f"/v1/exchange/datasets/{DATASET}", json=A_DATASET)
    assert put.status_code == 200, put.text
    home, third = two.exchanges["home"], two.exchanges["third"]
    two.on_loop(third.ask(home.me.participant, DATASET, purpose="dispatch"))
    for _ in range(20):
        two.on_loop(third.deliver_due())
        two.on_loop(home.deliver_due())
    found = two.on_loop(home.agreements())[0]
    process = two.ask("home:administrator", "GET", "/v1/exchange/negotiations").json()["processes"][0]
    return process["process"], found.agreement


def names_of(two: Serving) -> dict[str, str]:
    """Real ids of the home tenant for every path parameter."""
    quote = two.offered(role="home:partner")
    booking = two.booked(50, role="home:partner")["booking"]
    done = two.ask("home:administrator", "POST", f"/v1/regions/{two.region}/overrides",
                   json={"action": "pin", "booking": booking, "commit": True}).json()  # fmt: skip
    hook = two.ask("home:partner", "POST", "/v1/webhooks", json={"url": "http://127.0.0.1:1/"}).json()["webhook"]
    order = two.ask("home:administrator", "POST", "/v1/standing-orders",
                    **body_of(two, "POST", "/v1/standing-orders")).json()["order"]  # fmt: skip
    process, agreement = an_agreement(two)
    ride = two.ask("home:partner", "POST", "/v1/exchange/rides", json={"region": two.region, "wish": two.wish()})
    ride = ride.json()["ride"]
    assert two.ask("home:administrator", "PUT", "/v1/broker/idle/van-1", json=AN_IDLE).status_code == 200
    two.node.writer.put(a_proposal).result()
    two.node.writer.put(a_loan).result()
    assert two.ask("home:administrator", "PUT", "/v1/drivers/d1", json={"operator": "taxi"}).status_code == 201
    assert two.ask("home:administrator", "PUT", "/v1/pool/offers/d1-evenings",
                   **body_of(two, "PUT", "/v1/pool/offers/{offer}")).status_code == 200  # fmt: skip
    assert two.ask("home:administrator", "PUT", "/v1/exchange/transfer-points/clinic", json=A_POINT).status_code == 200
    operator = {"name": "T", "kind": "taxi", "mds_provider": MDS_PROVIDER}
    assert two.ask("home:administrator", "PUT", "/v1/operators/taxi", json=operator).status_code == 200
    for path in ("/mds/agency/vehicles", "/mds/agency/stops"):
        said = two.ask("home:administrator", "POST", path, **body_of(two, "POST", path))
        assert said.status_code == 201, said.text
    return {"region": two.region, "quote": quote["quote"], "booking": booking, "vehicle": "taxi-1", "operator": "taxi",
            "rider": "rider-demo", "driver": "d1", "client": "home-planner", "override": done["override"],
            "what": "operators", "month": "2026-11", "webhook": hook, "order": order, "dataset": DATASET,
            "participant": two.exchanges["third"].me.participant, "process": process, "agreement": agreement,
            "ride": ride, "idle": "van-1", "proposal": "p-1", "thumbprint": a_key(two),
            "offer": "d1-evenings", "loan": "loan-1", "point": "clinic", "device": MDS_DEVICE, "stop": MDS_DEVICE, "pack": "jp.20.taxi-area"}  # fmt: skip


def a_key(two: Serving) -> str:
    """The thumbprint of a key that a client of the home tenant has."""
    body = {"jwk": MachineKey().jwk, "expires": "2026-12-31T00:00:00Z"}
    made = two.ask("home:administrator", "POST", "/v1/clients/home-planner/keys", json=body)
    return str(made.json()["thumbprint"])


def body_of(two: Serving, method: str, path: str) -> dict[str, Any]:
    """A right body for an operation, where it takes one."""
    vehicle = {"region": two.region, "operator": "taxi", "layouts": [{"seats": 4}], "depot": {"lon": 137.6, "lat": 36.9},
               "shifts": {}}  # fmt: skip
    standing = {**two.wish(), "region": two.region, "rider": "rider-demo", "weekdays": ["mon"], "depart": "09:00",
                "valid_from": "2026-01-01", "valid_to": "2026-01-31"}  # fmt: skip
    del standing["earliest_pickup"]
    bodies: dict[str, Any] = {
        "/v1/regions/{region}/quotes": two.wish(), "/v1/bookings/{booking}/quotes": two.wish(),
        "/v1/bookings": {"quote": "none"}, "/v1/bookings/{booking}/change": {"quote": "none"},
        "/mds/agency/vehicles": [reports.a_vehicle(MDS_PROVIDER, MDS_DEVICE)],
        "/mds/agency/stops": [reports.a_stop(MDS_PROVIDER, MDS_DEVICE)] if method == "POST" else [
            {"stop_id": MDS_DEVICE, "last_updated": 1_790_000_000_000}
        ],
        "/mds/agency/events": [reports.an_event(MDS_PROVIDER, MDS_DEVICE)],
        "/mds/agency/trips": [reports.a_trip(MDS_PROVIDER, MDS_DEVICE)],
        "/mds/agency/telemetry": [reports.a_point(MDS_PROVIDER, MDS_DEVICE)],
        "/v1/regions/{region}/rules/{pack}/confirmation": {"version": 1, "name": "n"},
        "/v1/me/delegates": {"name": "D", "kind": "family", "may": ["booking.read"],
                             "expires": (two.now() + timedelta(days=9)).isoformat()},
        "/v1/vehicles/{vehicle}/steps": {"step": "arrive"},
        "/v1/vehicles/{vehicle}/positions": {"positions": [two.somewhere_now()]},
        "/v1/regions/{region}/overrides": {"action": "block", "vehicle": "taxi-2"},
        "/v1/operators/{operator}": {"name": "T", "kind": "taxi"}, "/v1/vehicles/{vehicle}": vehicle,
        "/v1/drivers/{driver}": {"operator": "taxi"}, "/v1/riders/{rider}": {},
        "/v1/riders/{rider}/personal": {"name": "A", "purpose": "notices"},
        "/access/v1/evaluation": {"action": {"name": "booking.read"}},
        "/v1/standing-orders": standing, "/v1/regions/{region}/pause": {},
        "/v1/webhooks": {"url": "http://127.0.0.1:1/hook"},
        "/v1/clients/{client}/keys": {"jwk": MachineKey().jwk, "expires": "2026-12-31T00:00:00Z"},
        "/v1/clients/{client}/identities": {"provider": "none", "subject": "s"},
        "/v1/invitations": {"client": "home-planner", "provider": "none"},
        "/v1/clients": {"client": "new", "name": "n", "role": "planner"},
        "/v1/exchange/participants": {"membership": "a.b.c"}, "/v1/exchange/participants/{participant}": {"allowed": True},
        "/v1/exchange/datasets/{dataset}": A_DATASET,
        "/v1/exchange/negotiations": {"participant": "urn:x", "dataset": DATASET, "purpose": "dispatch"},
        "/v1/exchange/proposals": {"participant": "urn:x", "dataset": DATASET},
        "/v1/exchange/transfers": {"agreement": "urn:x", "way": "HttpData-PULL", "purpose": "dispatch"},
        "/v1/exchange/processes/{process}/moves": {"move": "terminate"},
        "/v1/exchange/agreements/{agreement}/revocation": {"reason": "r"},
        "/v1/broker/idle/{idle}": AN_IDLE, "/v1/broker/searches": {"region": two.region},
        "/v1/broker/proposals/{proposal}/answer": {"accepted": True},
        "/v1/exchange/rides": {"region": two.region, "wish": two.wish()},
        "/v1/exchange/rides/{ride}/acceptance": {"number": 0},
        "/v1/exchange/transfer-points/{point}": A_POINT,
        "/v1/pool/offers/{offer}": {"kind": "driver", "name": "d1", "region": two.region, "base": A_POINT["place"],
                                    "hours": {"tue": ["17:00", "21:00"]}, "yen_per_hour": 1500},
        "/v1/pool/searches": A_NEED,
        "/v1/pool/loans": {"participant": "urn:x", "offer": "o", "need": A_NEED, "region": two.region,
                           "operator": "taxi"},
        "/v1/pool/loans/{loan}/return": {},
    }  # fmt: skip
    if path == "/v1/imports/{what}":
        return {"content": "operator,name,kind\nnew,N,taxi\n"}
    return {"json": bodies[path]} if method in ("POST", "PUT") and path in bodies else {}


def tables_of(two: Serving, tenant: str) -> dict[str, list[Any]]:
    """Everything a tenant has in the store, but who asked when, and how far its node's own daily work has come."""
    found = {}
    for table in metadata.tables.values():
        if "tenant" in table.c and table.name not in (
            "log",
            "plans",
            "audit",
            "idempotency",
            "outbox",
            "telemetry",
            "notices",
            "deliveries",
            "exchange_cursors",
            "exchange_trees",
        ):
            rows = two.node.database.read(lambda c, t=table: c.execute(select(t).where(t.c.tenant == tenant)).all())
            found[table.name] = sorted(map(str, rows))
    return found


def test_every_route_says_what_it_does() -> None:
    """A route without a rule fails here; so does a rule that no route uses."""
    used = set(operations().values())
    assert used == set(ACTIONS)
    assert len(operations()) > 30


def test_the_matrix(two: Serving) -> None:
    """Every operation x role x tenant over HTTP: no key is 401, a role without the right 403, another tenant's things
    look as if they were not there, and one's own never are refused for want of rights."""
    names = names_of(two)
    skipped = {("GET", "/v1/vehicles/{vehicle}/plan/stream"), ("GET", "/v1/events")}  # never end where they are allowed
    cells = 0
    for (method, path), action in sorted(operations().items()):
        if (method, path) in skipped:
            continue
        where = path.format(**names) + QUERIES.get(path, "")
        more = body_of(two, method, path)
        assert two.ask(None, method, where, **more).status_code == 401, (method, path)
        home_before = tables_of(two, "home")
        for role in ROLES:
            answer = two.ask(f"away:{role}", method, where, key=f"m{cells}", **more)
            allowed = role in ACTIONS[action]
            cells += 1
            what = (method, path, role, answer.status_code, answer.text[:300])
            assert answer.status_code == (403 if not allowed else answer.status_code), what
            assert not allowed or answer.status_code not in (401, 403), what
            assert answer.status_code < 500, what
            if allowed and "{" in path and method == "GET":
                assert answer.status_code == 404, what
            assert answer.status_code >= 400 or names["booking"] not in answer.text, what
            if method != "GET" or role == ROLES[-1]:  # reading is looked at once for all roles
                assert tables_of(two, "home") == home_before, what
        for role in ROLES:
            if method == "DELETE" or (method, path) == ("POST", "/v1/bookings/{booking}/cancel"):
                continue
            answer = two.ask(f"home:{role}", method, where, key=f"h{cells}", **more)
            cells += 1
            what = (method, path, role, answer.status_code, answer.text[:300])
            if role in ACTIONS[action]:
                assert answer.status_code not in (401, 403), what
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), what
            assert answer.status_code < 500, what
    assert cells > 2 * len(ROLES) * 25


def test_the_decision_endpoint_says_what_the_guard_does(two: Serving) -> None:
    """AuthZEN's question over HTTP has the answer of the function that guards the routes."""
    for role in ROLES:
        for action in [*ACTIONS, "nothing.known"]:
            for tenant in (None, "home", "away"):
                properties = {} if tenant is None else {"tenant": tenant}
                said = two.ask(f"home:{role}", "POST", "/access/v1/evaluation", json={
                    "subject": {"type": "client", "id": "whoever", "properties": {"roles": ["administrator"]}},
                    "action": {"name": action}, "resource": {"type": "booking", "id": "b", "properties": properties},
                }).json()  # fmt: skip
                rider = "rider-demo" if role in ("resident", "proxy") else None
                subject = Subject("home", f"home-{role}", role, None, "taxi-1" if role == "vehicle" else None, rider)
                assert said["decision"] == decide(subject, action, Resource("booking", "b", tenant)).allowed
                assert not (said["decision"] and tenant == "away")


def test_a_revoked_key_is_refused_at_once(two: Serving) -> None:
    new = {"client": "gone", "name": "n", "role": "planner"}
    two.keys["gone"] = two.ask("administrator", "POST", "/v1/clients", json=new).json()["key"]
    assert two.ask("gone", "GET", "/v1/vehicles").status_code == 200
    assert two.ask("administrator", "DELETE", "/v1/clients/gone").status_code == 204
    refused = two.ask("gone", "GET", "/v1/vehicles")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer, DPoP algs="ES256 EdDSA"')
    assert two.ask("administrator", "DELETE", "/v1/clients/gone").status_code == 404
    assert two.ask("administrator", "DELETE", "/v1/clients/administrator").status_code == 409


def test_too_many_requests(two: Serving) -> None:
    from noriai_api.guard import Rates

    rates = Rates(3)
    one, other = Subject("t", "a", "partner"), Subject("t", "b", "vehicle")
    assert [rates.hit(one) for _ in range(4)] == [True, True, True, False]
    assert all(rates.hit(other) for _ in range(30))
    assert not rates.hit(other)


@given(
    role=st.sampled_from([*ROLES, "stranger"]), action=st.sampled_from([*ACTIONS, "nothing"]),
    mine=st.sampled_from([None, "x"]), theirs=st.sampled_from([None, "x", "y"]), tenant=st.sampled_from([None, "t", "u"]),
)  # fmt: skip
def test_nothing_is_allowed_that_is_not_written(
    role: str, action: str, mine: str | None, theirs: str | None, tenant: str | None
) -> None:
    """Deny by default, never across tenants, and a narrow grant never reaches another's."""
    subject = Subject("t", "c", role, operator=mine, vehicle=mine, rider=mine)
    decision = decide(subject, action, Resource("booking", "b", tenant, operator=theirs, rider=theirs, vehicle=theirs))
    if decision.allowed:
        assert tenant in (None, "t")
        assert role in ACTIONS[action]
        if decision.reach in ("operator", "rider", "vehicle"):
            assert theirs in (None, mine)
    if role not in ROLES or action not in ACTIONS:
        assert not decision.allowed
    grant = granted(subject, action)
    assert (grant is not None) == decide(subject, action).allowed


@given(st.lists(st.text(max_size=5), min_size=1, max_size=8), st.data())
def test_the_verifier_names_the_first_entry_that_was_touched(resources: list[str], data: st.DataObject) -> None:
    entries: list[dict[str, Any]] = []
    previous = audit.FIRST
    for number, resource in enumerate(resources):
        entry = {"sequence": number, "time": number, "tenant": "t", "actor": "a", "on_behalf_of": None, "action": "x",
                 "resource": resource, "digest": digest(resource), "algorithm": "sha256",
                 "previous": previous}  # fmt: skip
        previous = audit.hash_of(entry)
        entries.append(entry | {"hash": previous})
    assert audit.first_bad(entries) is None
    bad = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from(["time", "actor", "resource", "digest", "hash", "previous"]))
    touched = json.loads(json.dumps(entries))
    touched[bad][field] = "ff" if touched[bad][field] != "ff" else "ee"
    assert audit.first_bad(touched) in (bad, bad + 1)
    assert audit.first_bad(entries[:bad] + entries[bad + 1 :]) in (bad, None if bad == len(entries) - 1 else bad)
