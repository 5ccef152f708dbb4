"""Against npm's oidc-provider, a certified implementation of another hand: people sign in, machines get bound tokens.

It needs Node and npm, and fetches the package; where that cannot be, it is skipped."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from openid import MachineKey
from serving import Serving, serving, some_settings

from noriai_api.clocks import SystemClock

pytestmark = pytest.mark.long
PACKAGE = "oidc-provider@9.13.3"


def a_free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node and npm are not here")
    folder = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE], cwd=folder,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"npm cannot fetch {PACKAGE}")
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, modules: Path) -> Iterator[tuple[Serving, str, MachineKey]]:
    """A node that trusts the provider, the provider's address, and a machine's key known there."""
    folder, port, key = tmp_path_factory.mktemp("both"), a_free_port(), MachineKey()
    issuer, patch = f"http://127.0.0.1:{port}", pytest.MonkeyPatch()
    patch.setenv("OP_SECRET", "a secret")
    (folder / "providers.toml").write_text(
        f'[[providers]]\nid = "op"\nissuer = "{issuer}"\nclient_id = "noriai"\nclient_secret_env = "OP_SECRET"\n'
        f'admits_residents = true\nmachines = true\naudience = "urn:noriai"\n'
    )
    settings = some_settings(folder, moves_itself=False, providers=folder / "providers.toml")
    with serving(settings, SystemClock()) as node:
        redirect = f"{node.address}/auth/home/op/callback"
        script = Path(__file__).parent.parent / "oidc_provider.mjs"
        jwk = json.dumps(key.jwk | {"kid": key.thumbprint, "use": "sig", "alg": "ES256"})
        command = ["node", script, modules, str(port), redirect, jwk]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if "ready" not in process.stdout.readline():
            process.kill()
            pytest.fail(process.communicate()[1][-2000:])
        yield node, issuer, key
        process.kill()
        process.wait(20)
    patch.undo()


def follow(http: httpx.Client, where: str, until: str) -> httpx.Response:
    """Go where one is sent, as a browser does, until an address that begins so."""
    for _ in range(12):
        answer = http.get(where)
        if answer.status_code not in (302, 303):
            return answer
        where = str(answer.url.join(answer.headers["location"]))
        if where.startswith(until):
            return answer
    raise AssertionError("sent from one to the other for ever")


def test_a_person_signs_in(both: tuple[Serving, str, MachineKey]) -> None:
    node, _, _ = both
    with httpx.Client(timeout=30) as http:
        answer = follow(http, f"{node.address}/auth/home/op/login", f"{node.address}/docs")
        assert answer.status_code == 302, answer.text
        me = http.get(f"{node.address}/v1/me")
        assert (me.status_code, me.json()["role"]) == (200, "resident")
        again = follow(http, f"{node.address}/auth/home/op/login", f"{node.address}/docs")
        assert again.status_code == 302
        assert http.get(f"{node.address}/v1/me").json() == me.json()
    assert not node.node.identity.refused


def test_a_code_is_worth_nothing_in_other_hands(both: tuple[Serving, str, MachineKey]) -> None:
    """The provider itself refuses a code that comes with another sign-in's verifier, or a second time."""
    node, _, _ = both
    callback = f"{node.address}/auth/home/op/callback"
    with httpx.Client(timeout=30) as victim, httpx.Client(timeout=30) as thief:
        stolen = follow(victim, f"{node.address}/auth/home/op/login", callback).headers["location"]
        own = follow(thief, f"{node.address}/auth/home/op/login", callback).headers["location"]
        query = {**httpx.URL(own).params, "code": httpx.URL(stolen).params["code"]}
        assert thief.get(callback, params=query).status_code == 400
        assert node.node.identity.refused["code_refused"] == 1


def token_of(issuer: str, key: MachineKey, **more: Any) -> httpx.Response:
    url, now = f"{issuer}/token", SystemClock().now() // 1000
    form = {
        "grant_type": "client_credentials", "resource": "urn:noriai",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": key.assertion("av-7", issuer, now),
    }  # fmt: skip
    return httpx.post(url, data=form | more, headers={"DPoP": key.proof("POST", url, now)})


def test_a_machine_calls_with_a_token_of_the_provider(both: tuple[Serving, str, MachineKey]) -> None:
    node, issuer, key = both
    answer = token_of(issuer, key)
    assert (answer.status_code, answer.json().get("token_type")) == (200, "DPoP"), answer.text
    token, url = answer.json()["access_token"], f"{node.address}/v1/me"

    def go(holder: MachineKey, scheme: str = "DPoP") -> httpx.Response:
        proof = holder.proof("GET", url, SystemClock().now() // 1000, token)
        return httpx.get(url, headers={"Authorization": f"{scheme} {token}", "DPoP": proof})

    assert go(key).status_code == 401  # nobody has said who it is here
    new = {"client": "av-7", "name": "A shuttle", "role": "vehicle", "vehicle": "taxi-1", "key": False}
    assert node.ask("administrator", "POST", "/v1/clients", json=new).status_code == 201
    known = {"provider": "op", "subject": "av-7"}
    assert node.ask("administrator", "POST", "/v1/clients/av-7/identities", json=known).status_code == 204
    assert go(key).json()["vehicle"] == "taxi-1"
    assert go(MachineKey()).status_code == 401
    assert go(key, "Bearer").status_code == 401
