"""Who may do what: the matrix of every operation, role and tenant, generated from the OpenAPI document; and the parts
that decide it, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from serving import Serving, serving, some_settings
from sqlalchemy import select

from noriai_api.access import audit, clients
from noriai_api.access.decision import ACTIONS, ROLES, Resource, Subject, decide, granted
from noriai_api.app import ROUTERS
from noriai_api.guard import action_of
from noriai_api.store.tables import metadata

FEEDS = "/feeds/{tenant}/{region}"
PUBLIC = {
    ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics"), ("GET", f"{FEEDS}/gtfs-flex.zip"),
    ("GET", f"{FEEDS}/vehicle_positions.pb"), ("GET", f"{FEEDS}/gofs/{{name}}"),
}  # fmt: skip
QUERIES = {
    "/v1/riders": "?phone=0901234", "/v1/settlements": "?first=2026-01-01&last=2099-12-31",
    "/mds/events/historical": "?event_time=2026-11-24T08", "/mds/trips": "?end_time=2026-11-24T08",
    "/mds/events/recent": "?start_time=1790000000000&end_time=1790000001000",
    "/v1/regions/{region}/kpis": "?day=2026-11-24",
}  # fmt: skip
TENANTS = ("home", "away")


def actions_of(route: APIRoute) -> list[str]:
    found = [action_of(d.call) for d in route.dependant.dependencies if d.call is not None]
    return [action for action in found if action is not None]


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
    with serving(some_settings(tmp_path_factory.mktemp("two"), moves_itself=False, webhooks_inside=True)) as running:
        now = running.node.clock.now()

        def add(connection: Any) -> dict[str, str]:
            clients.add_tenant(connection, "away", "Another town", now)
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
        yield running


def names_of(two: Serving) -> dict[str, str]:
    """Real ids of the home tenant for every path parameter."""
    quote = two.offered(role="home:partner")
    booking = two.booked(50, role="home:partner")["booking"]
    done = two.ask("home:administrator", "POST", f"/v1/regions/{two.region}/overrides",
                   json={"action": "pin", "booking": booking, "commit": True}).json()  # fmt: skip
    hook = two.ask("home:partner", "POST", "/v1/webhooks", json={"url": "http://127.0.0.1:1/"}).json()["webhook"]
    order = two.ask("home:administrator", "POST", "/v1/standing-orders",
                    **body_of(two, "POST", "/v1/standing-orders")).json()["order"]  # fmt: skip
    return {"region": two.region, "quote": quote["quote"], "booking": booking, "vehicle": "taxi-1", "operator": "taxi",
            "rider": "rider-demo", "driver": "d1", "client": "home-planner", "override": done["override"],
            "what": "operators", "month": "2026-11", "webhook": hook, "order": order}  # fmt: skip


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
        "/v1/vehicles/{vehicle}/steps": {"step": "arrive"},
        "/v1/vehicles/{vehicle}/positions": {"positions": [two.somewhere_now()]},
        "/v1/regions/{region}/overrides": {"action": "block", "vehicle": "taxi-2"},
        "/v1/operators/{operator}": {"name": "T", "kind": "taxi"}, "/v1/vehicles/{vehicle}": vehicle,
        "/v1/drivers/{driver}": {"operator": "taxi"}, "/v1/riders/{rider}": {},
        "/v1/riders/{rider}/personal": {"name": "A", "purpose": "notices"},
        "/access/v1/evaluation": {"action": {"name": "booking.read"}},
        "/v1/standing-orders": standing, "/v1/regions/{region}/pause": {},
        "/v1/webhooks": {"url": "http://127.0.0.1:1/hook"},
        "/v1/clients": {"client": "new", "name": "n", "role": "planner"},
    }  # fmt: skip
    if path == "/v1/imports/{what}":
        return {"content": "operator,name,kind\nnew,N,taxi\n"}
    return {"json": bodies[path]} if method in ("POST", "PUT") and path in bodies else {}


def tables_of(two: Serving, tenant: str) -> dict[str, list[Any]]:
    """Everything a tenant has in the store, but who asked when."""
    found = {}
    for table in metadata.tables.values():
        if "tenant" in table.c and table.name not in (
            "log",
            "plans",
            "audit",
            "idempotency",
            "outbox",
            "telemetry",
            "deliveries",
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
    skipped = {("GET", "/v1/vehicles/{vehicle}/plan/stream")}  # never ends where it is allowed
    cells = 0
    home_before = None
    for (method, path), action in sorted(operations().items()):
        if (method, path) in skipped:
            continue
        where = path.format(**names) + QUERIES.get(path, "")
        more = body_of(two, method, path)
        assert two.ask(None, method, where, **more).status_code == 401, (method, path)
        for role in ROLES:
            home_before = tables_of(two, "home")
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
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
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
                 "resource": resource, "digest": audit.digest_of(resource), "algorithm": "sha256",
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
