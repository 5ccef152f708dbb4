"""Webhooks: signed, in order for each booking, again until taken; and what is kept for a time is forgotten after it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, serving, some_settings
from sqlalchemy import select, update

from noriai_api.housekeeping import forget
from noriai_api.store.tables import deliveries, rider_personal
from noriai_api.webhooks.worker import may_be_called, signature


class Receiver:
    """A partner's server that is down for the first attempts of every message."""

    def __init__(self, failures: int) -> None:
        self.taken: list[tuple[dict[str, Any], str, bytes]] = []
        tried: dict[str, int] = {}
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.headers["Noriai-Delivery"]
                tried[name] = tried.get(name, 0) + 1
                fails = tried[name] <= failures
                if not fails:
                    taken.append((json.loads(body), self.headers["Noriai-Signature"], body))
                self.send_response(500 if fails else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("told")
    with serving(some_settings(folder, moves_itself=False, webhooks_inside=True, tick_ms=50)) as running:
        yield running


def wait_for(what: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_messages_come_signed_in_order_and_until_taken(told: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    from noriai_api.webhooks import worker

    monkeypatch.setattr(worker, "FIRST_PAUSE_MS", 20)
    partner, office = Receiver(failures=1), Receiver(failures=0)
    secret = told.ask("partner", "POST", "/v1/webhooks", json={"url": partner.url}).json()["secret"]
    topics = ["booking.booking_cancelled"]
    told.ask("administrator", "POST", "/v1/webhooks", json={"url": office.url, "topics": topics})
    names = []
    for k in range(3):
        booking = told.booked(60 * k, minutes=30 + 20 * k)
        told.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel")
        names.append(booking["booking"])
    desk = told.booked(300, role="desk", minutes=100)["booking"]
    wait_for(lambda: len(partner.taken) >= 6 and len(office.taken) >= 3)
    by_booking: dict[str, list[str]] = {}
    for body, signed, raw in partner.taken:
        by_booking.setdefault(body["booking"], []).append(body["event"])
        moment = int(signed.split(",")[0][2:])
        wanted = hmac.new(secret.encode(), f"{moment}.".encode() + raw, hashlib.sha256).hexdigest()
        assert signed == f"t={moment},v1={wanted}" == signature(secret, moment, raw)
    assert by_booking == {name: ["booking_accepted", "booking_cancelled"] for name in names}
    assert desk not in by_booking  # the desk's bookings are not the partner's affair
    assert {body["booking"] for body, _, _ in office.taken} == set(names)

    def listed() -> list[tuple[int, int]]:
        said = told.ask("partner", "GET", "/v1/webhooks").json()["webhooks"]
        return [(w["waiting"], w["given_up"]) for w in said]

    wait_for(lambda: listed() == [(0, 0)])  # what was taken is written down a moment later
    ids = [body["id"] for body, _, _ in partner.taken]
    assert len(ids) == len(set(ids))


def test_a_receiver_that_is_gone_is_given_up_in_the_end(told: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    from noriai_api.webhooks import worker

    monkeypatch.setattr(worker, "FIRST_PAUSE_MS", 1)
    monkeypatch.setattr(worker, "LONGEST_PAUSE_MS", 5)
    hook = told.ask("administrator", "POST", "/v1/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["webhook"]
    told.booked(500, minutes=60)
    mine = select(deliveries.c.state).where(deliveries.c.webhook == hook)
    wait_for(lambda: "given_up" in told.node.database.read(lambda c: c.execute(mine).scalars().all()))
    assert told.ask("administrator", "DELETE", f"/v1/webhooks/{hook}").status_code == 204
    assert told.node.database.read(lambda c: c.execute(mine).all()) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [("https://" + 64 * "a" + ".jp/", "has no address"), ("https://a:99999/", "is no http address"),
     ("https://[::1/", "is no http address"), ("ftp://example.com/", "is no http address"), ("http://example.com/", "is not https"),
     ("https://127.0.0.1/", "is inside a private network"), ("https://[::1]/", "is inside a private network"),
     ("https://169.254.169.254/latest", "is inside a private network"), ("https://10.0.0.1:8443/", "is inside a private network")],
)  # fmt: skip
def test_no_webhook_reaches_into_our_own_network(url: str, why: str) -> None:
    assert may_be_called(url, private=False) == why


def test_what_is_kept_for_a_time_is_forgotten_after_it(tmp_path: Path, database: str) -> None:
    with serving(some_settings(tmp_path, database, moves_itself=False)) as node:
        person = {"name": "山田 花子", "phone": "0765-12-3456", "purpose": "booking_by_phone", "days": 10}
        assert node.ask("desk", "PUT", "/v1/riders/r1", json={"wheelchairs": 1}).status_code == 201
        assert node.ask("desk", "PUT", "/v1/riders/r1/personal", json=person).status_code == 200
        found = node.ask("desk", "GET", "/v1/riders?phone=0765123456").json()["riders"]
        assert [r["rider"] for r in found] == ["r1"]
        assert node.ask("desk", "GET", "/v1/riders/r1/personal").json()["name"] == "山田 花子"
        booking = node.booked(role="desk", rider="r1", party=None)
        assert booking["party"] == {"seats": 0, "wheelchairs": 1, "luggage": 0, "children": 0, "infants": 0}
        hours = partial(forget, idempotency_hours=24, telemetry_days=1, relayed=False)
        now = node.node.clock.now()
        early = node.node.writer.put(partial(hours, now=now + 9 * 86_400_000)).result()
        assert (early["personal"], early["idempotency"]) == (0, 1)
        gone = node.node.writer.put(partial(hours, now=now + 11 * 86_400_000)).result()
        assert gone["personal"] == 1
        assert node.ask("desk", "GET", "/v1/riders/r1/personal").status_code == 404
        node.node.writer.put(lambda c: c.execute(update(rider_personal).values(name="x"))).result()
        assert node.ask("desk", "DELETE", "/v1/riders/r1").status_code == 204
        assert node.ask("desk", "GET", "/v1/riders/r1").status_code == 404
        assert node.ask("desk", "GET", f"/v1/bookings/{booking['booking']}").json()["rider"] == "r1"
        everything = "".join(str(e) for e in node.ask("administrator", "GET", "/v1/audit").json()["entries"])
        assert "花子" not in everything
        assert "3456" not in everything
