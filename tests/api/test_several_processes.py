"""Several processes over one PostgreSQL store: any of them answers, one dispatches, and where it is killed, frozen or
told to go, another takes over with nothing lost, nothing doubled and nobody overbooked."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Serving, serving, some_settings
from victims import Rider, Victim, acknowledged, check_store, rows_of, rural_places

RIDERS = 8


@pytest.fixture
def store(postgres: Callable[[], str]) -> str:
    return postgres()


class Several:
    """Processes of one node, and riders who ask all of them."""

    def __init__(self, folder: Path, store: str, count: int, lease_s: int) -> None:
        self.folder, self.store = folder, store
        self.victims = [Victim(folder, store, lease_s=lease_s, fleet=40) for _ in range(count)]
        for victim in self.victims:
            victim.keys = self.victims[0].keys
            victim.start()
        places, self.region = rural_places(folder)
        self.riders = [Rider(n, self.victims, places, self.region, patience_s=4) for n in range(RIDERS)]
        for rider in self.riders:
            rider.start()

    def holder(self) -> Victim:
        """The process that dispatches, by the store."""
        query = "SELECT p.address FROM processes p JOIN holdings h ON h.holder = p.process WHERE h.region <> '*'"
        while not (rows := rows_of(self.folder, self.store, query)):
            time.sleep(0.02)
        return next(victim for victim in self.victims if victim.address == rows[0][0])

    def serve(self, more: int) -> None:
        """Go on until so many more bookings were answered."""
        before, end = acknowledged(self.riders), time.monotonic() + 60
        while acknowledged(self.riders) < before + more:
            assert time.monotonic() < end, "nobody is served any more"
            time.sleep(0.02)

    def without(self, since: float, gone: str) -> float:
        """Seconds from an instant until a wish was answered by another process than the one that is gone."""
        end = time.monotonic() + 60
        while True:
            seen = [at for rider in self.riders for at, _, process in list(rider.answered) if at > since
                    and process != gone]  # fmt: skip
            if seen:
                return min(seen) - since
            assert time.monotonic() < end, "nobody took over"
            time.sleep(0.01)

    def end(self) -> dict[str, int]:
        for rider in self.riders:
            rider.stopping = True
        for rider in self.riders:
            rider.join(60)
        for victim in self.victims:
            if victim.process is not None and victim.process.poll() is None:
                victim.end(signal.SIGTERM)
                assert victim.process.returncode == 0, victim.process.communicate()
        return check_store(self.folder, self.store, self.riders)


def name_of(victim: Victim) -> str:
    return httpx.get(f"{victim.address}/health/live").headers["x-noriai-process"]


@pytest.fixture
def both(tmp_path: Path, store: str) -> Iterator[tuple[Serving, Serving]]:
    """Two processes in this one: the first holds the region, the second is asked."""
    settings = some_settings(tmp_path, store, moves_itself=False, tick_ms=50, lease_s=2)
    with serving(settings) as first, serving(settings, keys=first.keys, seed=2) as second:
        yield first, second


def by(answer: httpx.Response) -> str:
    return answer.headers["x-noriai-process"]


def test_whoever_is_asked_the_holder_answers(both: tuple[Serving, Serving]) -> None:
    """What a process remembers of a region counts only where it holds it; what is in the store anybody can say."""
    first, second = both
    holder, name = first.node.process.name, f"/v1/regions/{first.region}"
    vehicle = next(key for key in second.keys if key.startswith("vehicle-")).removeprefix("vehicle-")
    quoted = second.ask("partner", "POST", f"{name}/quotes", json=second.wish(1))
    assert (quoted.status_code, by(quoted)) == (201, holder)
    booking = second.booked(2)
    read = second.ask("partner", "GET", f"/v1/bookings/{booking['booking']}")
    assert (read.json()["state"], by(read)) == ("accepted", second.node.process.name)
    sent = second.ask("vehicle-" + vehicle, "POST", f"/v1/vehicles/{vehicle}/positions",
                      json={"positions": [second.somewhere_now()]})  # fmt: skip
    assert (sent.json()["accepted"], by(sent)) == (1, holder)
    assert [p["vehicle"] for p in first.ask("desk", "GET", f"{name}/positions").json()["positions"]] == [vehicle]
    paused = second.ask("administrator", "PUT", f"{name}/pause", json={"en": "snow"})
    assert by(paused) == holder
    for asked in both:
        assert asked.ask("partner", "POST", f"{name}/quotes", json=asked.wish(3)).json()["code"] == "paused"
        assert asked.ask("partner", "GET", "/v1/regions").json()["regions"][0]["paused"]["en"] == "snow"
    second.ask("administrator", "PUT", f"{name}/pause", json={})
    assert by(second.ask("administrator", "GET", "/v1/exchange/participants")) == holder
    assert by(second.ask(None, "POST", "/exchange/home/catalog/request", json={})) == holder
    assert by(second.ask(None, "GET", f"/feeds/home/{first.region}/vehicle_positions.pb")) == holder


def test_odd_requests_are_passed_on_too(both: tuple[Serving, Serving]) -> None:
    """Whatever callers write into headers and addresses, the process in between does not fall over it."""
    first, second = both
    path, key = f"/v1/regions/{second.region}/alerts", {"Authorization": f"Bearer {second.keys['desk']}"}
    for hops in ("x", "-1", "99999999999999999999", "\u00b2", ""):
        answer = second.http.get(path, headers=[*key.items(), ("X-Noriai-Hops", hops.encode("latin-1"))])
        assert answer.status_code in (200, 503), (
            hops
        )  # one that claims to have been passed on too often goes no further
    assert by(second.http.get(f"{path}?a=%FF&b=%00", headers=key)) == first.node.process.name
    host, port = second.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as line:
        line.sendall(f"GET {path}?q=".encode() + b"\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     + f"Authorization: Bearer {second.keys['desk']}\r\n\r\n".encode())  # fmt: skip
        said = b"".join(iter(lambda: line.recv(4096), b""))
    assert said.split()[1] in (b"200", b"400"), said[:200]


def test_what_one_changes_the_others_learn(both: tuple[Serving, Serving]) -> None:
    first, second = both
    new = {"client": "app", "name": "An app", "role": "partner"}
    key = first.ask("administrator", "POST", "/v1/clients", json=new).json()["key"]
    for asked in both:
        asked.keys["app"] = key
        assert asked.ask("app", "GET", "/v1/bookings").status_code == 200
    assert first.ask("administrator", "DELETE", "/v1/clients/app").status_code == 204
    until(lambda: second.ask("app", "GET", "/v1/bookings").status_code == 401)
    vehicle = second.ask("desk", "GET", "/v1/vehicles").json()["vehicles"][0]
    vehicle = {name: value for name, value in vehicle.items() if name != "vehicle"}
    assert second.ask("administrator", "PUT", "/v1/vehicles/taxi-99", json=vehicle).status_code == 201
    actor = next(iter(first.node.actors.values()))
    until(lambda: "taxi-99" in {str(v.id) for v in actor.runtime.today().dispatcher.vehicles})


def test_a_region_is_passed_on_with_all_it_knows(tmp_path: Path, store: str) -> None:
    """A stream of plans that came through another process ends with the hand-over, and begins anew with the next."""
    settings = some_settings(tmp_path, store, moves_itself=False, tick_ms=50, lease_s=2)
    with ExitStack() as later:
        with serving(settings) as first:
            second = later.enter_context(serving(settings, keys=first.keys, seed=2))
            booking = second.booked(1, minutes=20)
            path = f"/v1/vehicles/{booking['vehicle']}/plan/stream"
            before = first.state_hash()
            headers = {"Authorization": f"Bearer {second.keys['desk']}"}
            with second.http.stream("GET", path, headers=headers) as stream:
                lines = stream.iter_lines()
                assert "plan" in next(lines)
                first.on_loop(first.node.process.leave())
                assert len([line for line in lines if line]) < 10  # it ends
            until(lambda: ("home", second.region) in second.node.process.held)
        assert second.state_hash() == before
        with second.http.stream("GET", path, headers=headers) as stream:
            assert by(stream) == second.node.process.name
            assert booking["booking"] in "".join(line for line, _ in zip(stream.iter_lines(), range(3), strict=False))
        assert second.booked(5)["state"] == "accepted"


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.compiled
def test_the_holder_is_killed_frozen_and_told_to_go(tmp_path: Path, store: str) -> None:
    """Each way a holder can go, one after another, while riders book at both processes."""
    several = Several(tmp_path, store, 2, lease_s=3)
    took: dict[str, float] = {}
    several.serve(10)

    gone = several.holder()
    name, since = name_of(gone), time.monotonic()
    gone.end(signal.SIGKILL)
    took["killed"] = several.without(since, name)
    several.serve(10)
    gone.start()
    several.serve(10)

    frozen = several.holder()
    assert frozen.process is not None
    name, since = name_of(frozen), time.monotonic()
    frozen.process.send_signal(signal.SIGSTOP)
    took["frozen"] = several.without(since, name)
    several.serve(10)
    frozen.process.send_signal(signal.SIGCONT)  # it thinks that it holds the region still
    several.serve(20)
    until(lambda: 'noriai_process_holdings{what="lost"}' in httpx.get(f"{frozen.address}/metrics").text)

    told = several.holder()
    name, since = name_of(told), time.monotonic()
    told.end(signal.SIGTERM)
    took["told"] = several.without(since, name)
    several.serve(10)
    assert told.process is not None
    assert told.process.returncode == 0
    figures = several.end()
    both = {address for rider in several.riders for _, address, _ in rider.answered}
    assert both == {victim.address for victim in several.victims}
    sys.stdout.write(f"until somebody else answered (s): {took}; {figures}\n")


@pytest.mark.long
@pytest.mark.compiled
def test_holders_are_killed_twenty_times(tmp_path: Path, store: str) -> None:
    several, took = Several(tmp_path, store, 3, lease_s=3), []
    for _ in range(20):
        several.serve(10)
        gone = several.holder()
        name, since = name_of(gone), time.monotonic()
        gone.end(signal.SIGKILL)
        took.append(several.without(since, name))
        gone.start()
    figures: dict[str, Any] = several.end()
    took.sort()
    sys.stdout.write(f"hand-over: median {took[10]:.2f} s, worst {took[-1]:.2f} s; {figures}\n")
