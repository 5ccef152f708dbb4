"""Machines prove a key of their own (private_key_jwt) and every request with it (DPoP); what is replayed, swapped, old,
or meant for somebody else is refused."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openid import MachineKey, OpenIdProvider, ProviderKey, b64, provider
from serving import Movable, Serving, serving, some_settings

from noriai_api.identity.machines import ASSERTION


@dataclass
class Fleet:
    node: Serving
    clock: Movable
    server: OpenIdProvider
    """An authorization server of another hand, whose machines may call."""

    @property
    def now(self) -> int:
        return self.clock.now() // 1000

    def machine(self, role: str = "partner", **more: Any) -> Machine:
        name = f"m-{secrets.token_hex(4)}"
        new = {"client": name, "name": "a machine", "role": role, "key": False, **more}
        assert self.node.ask("administrator", "POST", "/v1/clients", json=new).status_code == 201
        machine = Machine(self, name, MachineKey())
        assert machine.register(machine.key).status_code == 201
        return machine

    def why(self, act: Callable[[], httpx.Response]) -> tuple[int, str]:
        """Status, and the check that failed."""
        before = dict(self.node.node.identity.refused)
        answer = act()
        after = self.node.node.identity.refused
        changed = [name for name in after if after[name] != before.get(name, 0)]
        return answer.status_code, changed[0] if changed else ""


@dataclass
class Machine:
    fleet: Fleet
    name: str
    key: MachineKey

    @property
    def id(self) -> str:
        return f"home/{self.name}"

    def register(self, key: MachineKey, days: int = 30) -> httpx.Response:
        until = f"{2026 if days > 0 else 2020}-12-31T00:00:00Z"
        body = {"jwk": key.jwk, "expires": until}
        return self.fleet.node.ask("administrator", "POST", f"/v1/clients/{self.name}/keys", json=body)

    def ask_token(self, *, assertion: str | None = None, proof: str | None = None, **form: str) -> httpx.Response:
        node, now = self.fleet.node, self.fleet.now
        url = f"{node.address}/oauth/token"
        asked = {
            "grant_type": "client_credentials", "client_assertion_type": ASSERTION,
            "client_assertion": assertion or self.key.assertion(self.id, node.address, now), **form,
        }  # fmt: skip
        return node.http.post(url, data=asked, headers={"DPoP": proof or self.key.proof("POST", url, now)})

    def token(self, **form: str) -> str:
        answer = self.ask_token(**form)
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "DPoP"
        return str(answer.json()["access_token"])

    def go(self, token: str, path: str, method: str = "GET", *, proof: str | None = None, scheme: str = "DPoP",
           **more: Any) -> httpx.Response:  # fmt: skip
        url = self.fleet.node.address + path
        headers = {"Authorization": f"{scheme} {token}", **more.pop("headers", {})}
        headers["DPoP"] = proof or self.key.proof(method, url.partition("?")[0], self.fleet.now, token)
        return self.fleet.node.http.request(method, url, headers=headers, **more)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder, clock = tmp_path_factory.mktemp("machines"), Movable()
    with provider(lambda: clock.now() // 1000) as server:
        (folder / "providers.toml").write_text(
            f'[[providers]]\nid = "fleet"\nissuer = "{server.address}"\nmachines = true\naudience = "noriai"\n'
        )
        settings = some_settings(folder, moves_itself=False, providers=folder / "providers.toml")
        with serving(settings, clock) as node:
            yield Fleet(node, clock, server)


# --- what goes well ---------------------------------------------------------------------------------------------


def test_a_machine_books(fleet: Fleet) -> None:
    found = fleet.node.http.get("/.well-known/oauth-authorization-server").json()
    assert found["token_endpoint"] == f"{fleet.node.address}/oauth/token"
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    machine = fleet.machine()
    token = machine.token()
    assert machine.go(token, "/v1/me").json()["client"] == machine.name
    path = f"/v1/regions/{fleet.node.region}/quotes"
    for number in range(20):
        quote = machine.go(token, path, "POST", json=fleet.node.wish(number)).json()
        if quote["offers"]:
            break
    more = {"json": {"quote": quote["quote"]}, "headers": {"Idempotency-Key": "m-1"}}
    booked = machine.go(token, "/v1/bookings", "POST", **more)
    assert booked.status_code == 201, booked.text
    listed = machine.go(token, f"/v1/bookings?region={fleet.node.region}").json()["bookings"]
    assert [b["booking"] for b in listed] == [booked.json()["booking"]]


def test_the_token_says_what_the_standard_has(fleet: Fleet) -> None:
    """RFC 9068, checked against the published keys by the cryptography library alone."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    machine = fleet.machine()
    head, body, signature = machine.token(scope="booking.read").split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(p + "==")) for p in (head, body))
    (jwk,) = fleet.node.http.get("/oauth/jwks").json()["keys"]
    assert (header["typ"], header["kid"], "d" in jwk) == ("at+jwt", jwk["kid"], False)
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "=="))
    key.verify(base64.urlsafe_b64decode(signature + "=="), f"{head}.{body}".encode())
    assert {"iss", "aud", "exp", "iat", "jti", "sub", "client_id"} <= claims.keys()
    assert claims["cnf"]["jkt"] == machine.key.thumbprint
    assert claims["exp"] - claims["iat"] == 600


def test_scopes_narrow(fleet: Fleet) -> None:
    machine = fleet.machine()
    token = machine.token(scope="booking.read service.read")
    assert machine.go(token, "/v1/bookings").status_code == 200
    assert machine.go(token, "/v1/me").json()["scopes"] == ["booking.read", "service.read"]
    refused = machine.go(token, f"/v1/regions/{fleet.node.region}/quotes", "POST", json=fleet.node.wish(1))
    assert (refused.status_code, refused.json()["detail"]) == (403, "not_in_scope")
    assert machine.ask_token(scope="everything").json()["error"] == "invalid_scope"
    widened = machine.token(scope="client.write")  # a scope is no right
    assert machine.go(widened, "/v1/clients").status_code == 403


def test_keys_are_changed_without_a_gap(fleet: Fleet) -> None:
    machine, second = fleet.machine(), MachineKey()
    assert machine.register(second).status_code == 201
    assert machine.register(second).status_code == 409
    assert fleet.machine().register(second).status_code == 409  # a key is one client's
    path = f"/v1/clients/{machine.name}/keys"
    assert {k["thumbprint"] for k in fleet.node.ask("administrator", "GET", path).json()["keys"]} == {
        machine.key.thumbprint, second.thumbprint,
    }  # fmt: skip
    first_token = machine.token()
    assert fleet.node.ask("administrator", "DELETE", f"{path}/{machine.key.thumbprint}").status_code == 204
    assert fleet.why(machine.ask_token) == (400, "rotated_out")
    assert machine.go(first_token, "/v1/me").status_code == 200  # until it ends
    machine.key = second
    token = machine.token()
    assert machine.go(token, "/v1/me").status_code == 200
    assert fleet.node.ask("administrator", "DELETE", f"/v1/clients/{machine.name}").status_code == 204
    assert machine.go(token, "/v1/me").status_code == 401
    assert fleet.why(machine.ask_token) == (400, "revoked")


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "EC"}, {},
        {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}, {**MachineKey().jwk, "d": b64(bytes(32))},
        {**MachineKey().jwk, "use": "enc"},
    ],
)  # fmt: skip
def test_keys_that_are_none(fleet: Fleet, jwk: dict[str, str]) -> None:
    body = {"jwk": jwk, "expires": "2026-12-31T00:00:00Z"}
    assert fleet.node.ask("administrator", "POST", "/v1/clients/partner/keys", json=body).status_code == 422


# --- asking for tokens ------------------------------------------------------------------------------------------

Assertion = Callable[[Machine, int, str], str]

ASSERTIONS: dict[str, tuple[Assertion, str]] = {
    "for somebody else": (lambda m, now, us: m.key.assertion(m.id, "https://other.example", now), "wrong_audience"),
    "for us and others": (lambda m, now, us: m.key.assertion(m.id, "x", now, aud=[us, "x"]), "wrong_audience"),
    "expired": (lambda m, now, us: m.key.assertion(m.id, us, now - 300), "expired"),
    "of the future": (lambda m, now, us: m.key.assertion(m.id, us, now + 300), "not_yet"),
    "for a day": (lambda m, now, us: m.key.assertion(m.id, us, now, exp=now + 86_400), "too_long"),
    "without an id": (lambda m, now, us: m.key.assertion(m.id, us, now, jti=None), "claims_missing"),
    "without an end": (lambda m, now, us: m.key.assertion(m.id, us, now, exp=None), "claims_missing"),
    "subject is another": (lambda m, now, us: m.key.assertion(m.id, us, now, sub="home/administrator"), "unknown_client"),
    "of another client": (lambda m, now, us: m.key.assertion("home/administrator", us, now), "unknown_key"),
    "of another tenant": (lambda m, now, us: m.key.assertion(f"away/{m.name}", us, now), "unknown_key"),
    "of nobody": (lambda m, now, us: m.key.assertion("nobody", us, now), "unknown_client"),
    "of an unknown key": (lambda m, now, us: MachineKey().assertion(m.id, us, now), "unknown_key"),
    "of another key by that name": (
        lambda m, now, us: MachineKey().signed(
            {"kid": m.key.thumbprint},
            {"iss": m.id, "sub": m.id, "aud": us, "iat": now, "exp": now + 60, "jti": "x"},
        ),
        "bad_signature",
    ),
    "unsigned": (lambda m, now, us: m.key.assertion(m.id, us, now).rpartition(".")[0] + ".", "bad_signature"),
    "no token": (lambda m, now, us: "abc", "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("how", ASSERTIONS)
def test_assertions_that_do_not_hold(fleet: Fleet, how: str) -> None:
    make, code = ASSERTIONS[how]
    machine = fleet.machine()
    text = make(machine, fleet.now, fleet.node.address)
    assert fleet.why(lambda: machine.ask_token(assertion=text)) == (400, code)
    said = machine.ask_token(assertion=text).json()
    assert (said["error"], said["code"]) == ("invalid_client", "token_refused")
    assert code not in json.dumps(said)


def test_assertion_and_proof_count_once(fleet: Fleet) -> None:
    machine, us = fleet.machine(), fleet.node.address
    assertion = machine.key.assertion(machine.id, us, fleet.now)
    assert machine.ask_token(assertion=assertion).status_code == 200
    assert fleet.why(lambda: machine.ask_token(assertion=assertion)) == (400, "replayed")
    proof = machine.key.proof("POST", f"{us}/oauth/token", fleet.now)
    assert machine.ask_token(proof=proof).status_code == 200
    assert fleet.why(lambda: machine.ask_token(proof=proof)) == (400, "replayed")


def test_forms_that_are_none(fleet: Fleet) -> None:
    machine, url = fleet.machine(), f"{fleet.node.address}/oauth/token"
    assert machine.ask_token(grant_type="password").json()["error"] == "unsupported_grant_type"
    assert machine.ask_token(client_assertion_type="other").json()["error"] == "invalid_client"
    for body, kind in (
        (b"\xff", "application/x-www-form-urlencoded"), (b"{}", "application/json"), (b"", ""),
        (b"a=1&a=2", "application/x-www-form-urlencoded"), (b"a=1&" * 50, "application/x-www-form-urlencoded"),
        (b"a" * 40_000, "application/x-www-form-urlencoded"),
    ):  # fmt: skip
        answer = fleet.node.http.post(url, content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), body[:10]
    asked = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION,
             "client_assertion": machine.key.assertion(machine.id, fleet.node.address, fleet.now)}  # fmt: skip
    assert fleet.node.http.post(url, data=asked).json()["error"] == "invalid_dpop_proof"


# --- using them -------------------------------------------------------------------------------------------------

Proof = Callable[[Machine, str, int, str], str]

PROOFS: dict[str, tuple[Proof, str]] = {
    "another method": (lambda m, url, now, t: m.key.proof("POST", url, now, t), "wrong_method"),
    "another address": (lambda m, url, now, t: m.key.proof("GET", url + "/x", now, t), "wrong_url"),
    "another host": (lambda m, url, now, t: m.key.proof("GET", "https://evil.example/v1/me", now, t), "wrong_url"),
    "another token": (lambda m, url, now, t: m.key.proof("GET", url, now, "another"), "wrong_token"),
    "no token": (lambda m, url, now, t: m.key.proof("GET", url, now), "wrong_token"),
    "old": (lambda m, url, now, t: m.key.proof("GET", url, now - 61, t), "too_old"),
    "of the future": (lambda m, url, now, t: m.key.proof("GET", url, now + 62, t), "not_yet"),
    "another key": (lambda m, url, now, t: MachineKey().proof("GET", url, now, t), "wrong_key"),
    "the private key in it": (
        lambda m, url, now, t: m.key.proof("GET", url, now, t, header={"jwk": m.key.jwk | {"d": "AA"}}), "bad_key"),
    "no key in it": (lambda m, url, now, t: m.key.proof("GET", url, now, t, header={"jwk": None}), "bad_key"),
    "another's key in it": (
        lambda m, url, now, t: m.key.proof("GET", url, now, t, header={"jwk": MachineKey().jwk}), "bad_signature"),
    "a shared secret": (
        lambda m, url, now, t: m.key.proof("GET", url, now, t, header={"alg": "HS256"}), "wrong_algorithm"),
    "unsigned": (lambda m, url, now, t: m.key.proof("GET", url, now, t, header={"alg": "none"}), "wrong_algorithm"),
    "another type": (lambda m, url, now, t: m.key.proof("GET", url, now, t, header={"typ": "JWT"}), "wrong_type"),
    "no id": (lambda m, url, now, t: m.key.proof("GET", url, now, t, jti=None), "claims_missing"),
    "no instant": (lambda m, url, now, t: m.key.proof("GET", url, now, t, iat="now"), "claims_missing"),
    "no proof": (lambda m, url, now, t: "abc", "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("how", PROOFS)
def test_proofs_that_do_not_hold(fleet: Fleet, how: str) -> None:
    make, code = PROOFS[how]
    machine = fleet.machine()
    token = machine.token()
    proof = make(machine, f"{fleet.node.address}/v1/me", fleet.now, token)
    assert fleet.why(lambda: machine.go(token, "/v1/me", proof=proof)) == (401, code)
    said = machine.go(token, "/v1/me", proof=proof)
    assert "DPoP" in said.headers["www-authenticate"]
    assert code not in said.text


def test_proofs_count_once_and_addresses_are_compared_as_the_standard_says(fleet: Fleet) -> None:
    machine, url = fleet.machine(), f"{fleet.node.address}/v1/me"
    token = machine.token()
    proof = machine.key.proof("GET", url, fleet.now, token)
    assert machine.go(token, "/v1/me", proof=proof).status_code == 200
    assert fleet.why(lambda: machine.go(token, "/v1/me", proof=proof)) == (401, "replayed")
    for same in (url + "?a=1", url + "#x", url.replace("http://", "HTTP://")):
        proof = machine.key.proof("GET", same, fleet.now, token)
        assert machine.go(token, "/v1/me", proof=proof).status_code == 200
    changing = f"/v1/regions/{fleet.node.region}/quotes"
    proof = machine.key.proof("POST", fleet.node.address + changing, fleet.now, token)
    assert machine.go(token, changing, "POST", proof=proof, json=fleet.node.wish(1)).status_code == 201
    fleet.node.node.identity._proofs.clear()  # another process has never seen it; the store has
    again = lambda: machine.go(token, changing, "POST", proof=proof, json=fleet.node.wish(1))  # noqa: E731
    assert fleet.why(again) == (401, "replayed")


def test_tokens_that_do_not_hold(fleet: Fleet) -> None:
    machine, url = fleet.machine(), f"{fleet.node.address}/v1/me"
    token = machine.token()
    assert machine.go(token, "/v1/me", scheme="Bearer").status_code == 401  # as if it were bound to nothing
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = b64(json.dumps(claims | {"sub": "home/administrator"}).encode())
    for wrong, code in (
        (f"{head}.{forged}.{signature}", "bad_signature"),
        (machine.key.signed({"typ": "at+jwt", "kid": "k"}, claims), "unknown_key"),
        (machine.key.signed({"typ": "at+jwt", "kid": json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]}, claims),
         "bad_signature"),
        (f"{b64(json.dumps({'alg': 'none', 'typ': 'at+jwt'}).encode())}.{body}.", "wrong_algorithm"),
        (machine.key.assertion(machine.id, fleet.node.address, fleet.now), "wrong_type"),
    ):  # fmt: skip
        proof = machine.key.proof("GET", url, fleet.now, wrong)
        assert fleet.why(lambda wrong=wrong, proof=proof: machine.go(wrong, "/v1/me", proof=proof)) == (401, code)
    two = {"Authorization": f"DPoP {token}"}
    headers = [*two.items(), ("DPoP", machine.key.proof("GET", url, fleet.now, token)),
               ("DPoP", machine.key.proof("GET", url, fleet.now, token))]  # fmt: skip
    assert fleet.why(lambda: fleet.node.http.get(url, headers=headers)) == (401, "no_proof")
    assert fleet.why(lambda: fleet.node.http.get(url, headers=two)) == (401, "no_proof")
    fleet.clock.ahead_ms += 661_000
    assert fleet.why(lambda: machine.go(token, "/v1/me")) == (401, "expired")


# --- tokens of another authorization server ---------------------------------------------------------------------


def test_machines_of_another_authorization_server(fleet: Fleet) -> None:
    """Its tokens count where they are bound, meant for us, and their machine was made known here."""
    machine = fleet.machine(role="vehicle", vehicle="taxi-1")
    claims = {
        "iss": fleet.server.address, "aud": "noriai", "sub": "av-7", "client_id": "av-7", "iat": fleet.now,
        "exp": fleet.now + 300, "jti": "t1", "cnf": {"jkt": machine.key.thumbprint},
    }  # fmt: skip

    def go(said: dict[str, Any], key: ProviderKey | None = None, typ: str = "at+jwt") -> tuple[int, str]:
        token = (key or fleet.server.keys[0]).signed(said, typ=typ)
        return fleet.why(lambda: machine.go(token, "/v1/me"))

    assert go(claims) == (401, "unknown_client")
    known = {"provider": "fleet", "subject": "av-7"}
    path = f"/v1/clients/{machine.name}/identities"
    assert fleet.node.ask("administrator", "POST", path, json=known).status_code == 204
    assert fleet.node.ask("administrator", "POST", path, json=known).status_code == 204
    assert fleet.node.ask("administrator", "POST", "/v1/clients/partner/identities", json=known).status_code == 409
    assert go(claims) == (200, "")
    for changed, code in (
        ({"aud": "somebody"}, "wrong_audience"), ({"cnf": None}, "not_bound"), ({"cnf": {"jkt": "another"}}, "wrong_key"),
        ({"exp": fleet.now - 100}, "expired"), ({"client_id": "av-8"}, "unknown_client"),
        ({"iss": "https://evil.example"}, "wrong_algorithm"),  # taken for one of ours, which are never RS256
    ):  # fmt: skip
        assert go(claims | changed) == (401, code), changed
    assert go(claims, ProviderKey("k1"))[1] == "bad_signature"
    assert go(claims, typ="JWT")[1] == "wrong_type"  # an ID token is no access token
