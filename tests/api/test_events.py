"""What happens to bookings, followed over HTTP and on a NATS server: all of it, in order, each once, whatever goes away
meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats_server import NatsServer
from serving import Serving, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import bookings, outbox, relays


class Follower(threading.Thread):
    """Reads a stream of events until so many have come."""

    def __init__(self, node: Serving, role: str, **query: Any) -> None:
        super().__init__(daemon=True)
        self._node, self._role, self._query = node, role, query
        self.seen: list[tuple[int, str, dict[str, Any]]] = []
        self.is_listening = threading.Event()
        self.start()
        assert self.is_listening.wait(20)

    def run(self) -> None:
        with suppress(httpx.TransportError):  # the node ends
            self._follow()

    def _follow(self) -> None:
        headers = {"Authorization": f"Bearer {self._node.keys[self._role]}"}
        with self._node.http.stream("GET", "/v1/events", params=self._query, headers=headers) as answer:
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                self.is_listening.set()
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    self.seen.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
                    fields = {}


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def node(tmp_path: Path, database: str) -> Iterator[Serving]:
    with serving(some_settings(tmp_path, database, moves_itself=False, tick_ms=20)) as running:
        yield running


def told(node: Serving) -> list[int]:
    """Numbers of all events, by the store."""
    query = select(outbox.c.number).order_by(outbox.c.number)
    return list(node.node.database.read(lambda c: c.execute(query).scalars().all()))


def test_followed_from_the_beginning_and_again(node: Serving) -> None:
    live = Follower(node, "partner")
    names = [node.booked(10 * k, minutes=40 + 15 * k)["booking"] for k in range(4)]
    node.ask("partner", "POST", f"/v1/bookings/{names[1]}/cancel")
    until(lambda: len(live.seen) >= len(told(node)) >= 5)
    assert [number for number, _, _ in live.seen] == told(node)
    accepted = [body["booking"] for _, topic, body in live.seen if topic == "booking.booking_accepted"]
    assert accepted == names
    assert (live.seen[-1][1], live.seen[-1][2]["booking"]) == ("booking.booking_cancelled", names[1])
    again = Follower(node, "partner", after=live.seen[2][0])
    until(lambda: len(again.seen) >= len(live.seen) - 3)
    assert again.seen == live.seen[3:]


def taken_of(node: Serving, operator: str, first: int) -> dict[str, Any]:
    """A booking with one operator."""
    for number in range(first, first + 50):
        quote = node.quote(number, minutes=60)
        for offer in quote["offers"]:
            if offer["operator"] == operator:
                body = {"quote": quote["quote"], "offer": offer["offer"]}
                return dict(node.ask("partner", "POST", "/v1/bookings", key=quote["quote"], json=body).json())
    raise AssertionError(f"{operator} serves nobody")


def test_everybody_sees_their_own(node: Serving) -> None:
    """What may be read of bookings may be followed, and nothing else."""
    booked = [taken_of(node, operator, 10 * k) for k, operator in enumerate(["taxi", "neighbours"] * 2)]
    desk = Follower(node, "desk", after=0)
    until(lambda: len(desk.seen) == len(told(node)))
    operators = {b["booking"]: b["operator"] for b in booked}
    assert set(operators.values()) == {"taxi", "neighbours"}
    for operator in ("taxi", "neighbours"):
        own = Follower(node, f"dispatcher-{operator}", after=0)
        mine = {name for name, whose in operators.items() if whose == operator}
        until(lambda own=own, mine=mine: {e[2]["booking"] for e in own.seen} >= mine)
        assert {e[2]["booking"] for e in own.seen} == mine
    resident = Follower(node, "resident", after=0)
    time.sleep(0.3)
    assert resident.seen == []
    assert node.ask("planner", "GET", "/v1/events").status_code == 403
    assert node.ask("partner", "GET", "/v1/events?after=-1").status_code == 422


# --- NATS -------------------------------------------------------------------------------------------------------


def test_events_reach_nats_through_everything(tmp_path: Path, database: str, nats_server: NatsServer) -> None:
    """The server is killed, the node is started again: the stream has every event once, in the order of the store."""
    settings = some_settings(tmp_path, database, moves_itself=False, tick_ms=20, nats=nats_server.address)
    with serving(settings) as first:
        names = [first.booked(k, minutes=40 + 10 * k)["booking"] for k in range(3)]
        until(lambda: _reached(first) == told(first)[-1])
        nats_server.kill()
        names += [first.booked(10 + k, minutes=90 + 10 * k)["booking"] for k in range(3)]
        first.ask("partner", "POST", f"/v1/bookings/{names[0]}/cancel")
        nats_server.start()
        until(lambda: _reached(first) == told(first)[-1])
        first.booked(20, minutes=150)
        keys, clock = first.keys, first.node.clock
    with serving(settings, clock, keys) as second:
        second.booked(30, minutes=160)
        until(lambda: _reached(second) == told(second)[-1])
        ids = second.node.database.read(
            lambda c: c.execute(select(outbox.c.id).order_by(outbox.c.number)).scalars().all()
        )
        sent = nats_server.messages()
        assert [name for _, name, _ in sent] == list(ids)
        assert {subject.rsplit(".", 2)[0] for subject, _, _ in sent} == {"noriai.home"}
        assert [b["booking"] for s, _, b in sent if s.endswith("booking_accepted")][:6] == names
        # confirmations that were lost: all is sent again, and the server drops it
        nats_server.kill()
        second.node.writer.put(lambda c: c.execute(relays.update().values(number=0))).result()
        nats_server.start()
        second.booked(40, minutes=170)
        until(lambda: _reached(second) == told(second)[-1])
        sent = nats_server.messages()
        assert len(sent) == len(told(second))
        count = second.node.database.read(lambda c: len(c.execute(select(bookings.c.booking)).all()))
        topics = Counter(subject.rsplit(".", 1)[1] for subject, _, _ in sent)
        assert (topics["booking_accepted"], topics["booking_cancelled"]) == (count, 1), topics


def _reached(node: Serving) -> int:
    return node.node.database.read(lambda c: c.execute(select(relays.c.number)).scalar()) or 0
