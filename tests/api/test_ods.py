"""ODS at the door: its headers, its errors, and the same decisions behind them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openid import OpenIdProvider, ProviderKey, provider
from serving import MorningClock, Serving, serving, some_settings


class Door:
    """A participant: the partner's key, and tokens of the data space's authorization server."""

    def __init__(self, node: Serving, server: OpenIdProvider) -> None:
        self.node, self.server = node, server

    def token(self, subject: str = "participant-1", key: ProviderKey | None = None, **more: Any) -> str:
        now = self.server.now()
        claims = {"iss": self.server.address, "aud": "noriai", "sub": subject, "iat": now, "exp": now + 300, "jti": "1"}
        return (key or self.server.keys[0]).signed(claims | more, typ="at+jwt")

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        usual = {"API-Key": self.node.keys["partner"], "Authorization": f"Bearer {self.token()}",
                 "X-TrackingId": str(uuid.uuid4())}  # fmt: skip
        given = {k: v for k, v in (usual | (headers or {})).items() if v}
        return self.node.http.request(method, f"/ods{path}", headers=given, **more)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("ods")
    clock = MorningClock()
    with provider(lambda: clock.now() // 1000) as server:
        (folder / "p.toml").write_text(
            f'[[providers]]\nid = "ods"\nissuer = "{server.address}"\nmachines = true\naudience = "noriai"\n'
        )
        with serving(some_settings(folder, moves_itself=False, providers=folder / "p.toml"), clock) as node:
            for client, subject in (("partner", "participant-1"), ("planner", "participant-2")):
                body = {"provider": "ods", "subject": subject}
                path = f"/v1/clients/{client}/identities"
                assert node.ask("administrator", "POST", path, json=body).status_code == 204
            yield Door(node, server)


def test_a_participant_books(door: Door) -> None:
    tracking = str(uuid.uuid4())
    regions = door.ask("GET", "/v1/regions", {"X-TrackingId": tracking})
    assert (regions.status_code, regions.headers["X-TrackingId"]) == (200, tracking)
    for number in range(20):
        quote = door.ask("POST", f"/v1/regions/{door.node.region}/quotes", json=door.node.wish(number)).json()
        if quote["offers"]:
            break
    booked = door.ask("POST", "/v1/bookings", {"Idempotency-Key": "o1"}, json={"quote": quote["quote"]})
    assert booked.status_code == 201
    seen = door.node.ask("partner", "GET", f"/v1/bookings/{booked.json()['booking']}")
    assert seen.json()["state"] == "accepted"


def error(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"code", "message", "detail"}
    assert answer.json()["message"]
    return answer.status_code, answer.json()["code"]


def test_errors_are_written_as_ods_writes_them(door: Door) -> None:
    assert error(door.ask("GET", "/v1/bookings/none")) == (404, "[dataspace] NotFound")
    assert error(door.ask("GET", "/v1/clients")) == (403, "[auth] Forbidden")
    assert error(door.ask("PUT", "/v1/bookings")) == (405, "[dataspace] MethodNotAllowed")
    invalid = door.ask("POST", f"/v1/regions/{door.node.region}/quotes", json={})
    assert error(invalid) == (422, "[dataspace] BadRequest")
    assert any("぀" <= c <= "ヿ" for c in invalid.json()["detail"])
    assert error(door.ask("GET", "/nowhere")) == (404, "[dataspace] NotFound")


def test_key_and_token_of_one_client(door: Door) -> None:
    refused = (401, "[auth] Unauthorized")
    for headers in (
        {"API-Key": ""}, {"API-Key": "noriai_wrong"}, {"Authorization": ""}, {"Authorization": "Bearer x"},
        {"API-Key": door.node.keys["planner"]},  # another's key beside this token
        {"Authorization": f"Bearer {door.token('participant-2')}"}, {"Authorization": f"Bearer {door.token('stranger')}"},
        {"Authorization": f"Bearer {door.token(aud='somebody')}"}, {"Authorization": f"Bearer {door.token(exp=1)}"},
        {"Authorization": f"Bearer {door.token(iss='https://evil.example')}"},
        {"Authorization": f"Bearer {door.token(key=ProviderKey('k1'))}"},
        {"Authorization": f"Bearer {door.node.keys['partner']}"},
    ):  # fmt: skip
        assert error(door.ask("GET", "/v1/bookings", headers)) == refused, headers
    for tracking in ("", "7", "not-a-uuid"):
        assert error(door.ask("GET", "/v1/bookings", {"X-TrackingId": tracking})) == (400, "[dataspace] BadRequest")
    assert door.node.http.get("/v1/bookings", headers={"API-Key": door.node.keys["partner"]}).status_code == 401
