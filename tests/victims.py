"""Nodes as processes that tests may kill, riders who do not give up, and what must hold in the store afterwards, read
with plain SQL and JSON."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

CLIENTS = 16
LOST_ANSWERS = 0.2


def a_free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Victim:
    """A node as a process of its own."""

    folder: Path
    database: str
    port: int = field(default_factory=a_free_port)
    keys: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    lease_s: int = 10
    fleet: int = 8

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Seconds until it was ready."""
        began = time.monotonic()
        command = [Path(sys.executable).parent / "noriai", "serve", "--port", str(self.port), "--data", self.folder,
                   "--json", "--log-level", "error", "--database", self.database]  # fmt: skip
        environment = {**os.environ, "NORIAI_REQUESTS_PER_MINUTE": "1000000", "NORIAI_TICK_MS": "200",
                       "NORIAI_LEASE_S": str(self.lease_s), "NORIAI_FLEET": str(self.fleet)}  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.keys = json.loads(line)["keys"] or self.keys
        while True:
            try:
                if httpx.get(f"{self.address}/health/ready").status_code == 200:
                    return time.monotonic() - began
            except httpx.TransportError:
                time.sleep(0.05)

    def end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(60)


class Rider(threading.Thread):
    """Asks, books and at times gives up, each step repeated with the same key until it is answered: by any of several
    processes, the next one where one does not answer."""

    def __init__(
        self, number: int, victims: list[Victim], places: list[tuple[float, float]], region: str, patience_s: float = 20
    ) -> None:
        super().__init__(daemon=True)
        self._patience_s = patience_s
        self._victims, self._at, self._places, self._region = victims, number, places, region
        self._rng = random.Random(number)
        self._name, self._count = f"rider{number}", 0
        self.acknowledged: dict[str, set[str]] = {}
        """Idempotency key -> bookings it was answered with."""
        self.cancelled: set[str] = set()
        self.answered: list[tuple[float, str, str]] = []
        """When a wish was answered, at which address, by which process."""
        self.stopping = False

    def run(self) -> None:
        with httpx.Client(timeout=self._patience_s) as http:
            while not self.stopping:
                self._count += 1
                self._at += 1
                self._ride(http)

    def _ride(self, http: httpx.Client) -> None:
        (a, b), (c, d) = self._rng.sample(self._places, 2)
        when = datetime.now(UTC) + timedelta(minutes=self._rng.randint(2, 300))
        wish = {"origin": {"lon": a, "lat": b}, "destination": {"lon": c, "lat": d}, "earliest_pickup": when.isoformat(),
                "party": {"seats": self._rng.randint(1, 3)}}  # fmt: skip
        quoted = self._until(lambda: self._post(http, f"/v1/regions/{self._region}/quotes", wish, None))
        if quoted is None or not quoted.json().get("offers"):
            return
        key = f"{self._name}-{self._count}"
        body = {"quote": quoted.json()["quote"], "offer": 0}
        booked = self._until(lambda: self._post(http, "/v1/bookings", body, key), lost=LOST_ANSWERS)
        if booked is None or booked.status_code != 201:
            return
        name = booked.json()["booking"]
        self.acknowledged.setdefault(key, set()).add(name)
        if self._rng.random() < 0.2:
            given_up = self._until(lambda: self._post(http, f"/v1/bookings/{name}/cancel", None, None))
            if given_up is not None and given_up.status_code == 200:
                self.cancelled.add(name)

    def _until(self, ask: Callable[[], httpx.Response], lost: float = 0.0) -> httpx.Response | None:
        """The answer, however often one must ask; None where the day is over before."""
        while not self.stopping:
            try:
                answer = ask()
            except httpx.TransportError:
                self._at += 1
                time.sleep(0.05)
                continue
            if answer.status_code >= 500 or answer.json().get("code") in ("key_in_flight", "too_many"):
                time.sleep(0.05)
                continue
            if answer.status_code == 201 and lost and answer.request.headers.get("Idempotency-Key"):
                self.acknowledged.setdefault(answer.request.headers["Idempotency-Key"], set()).add(
                    answer.json()["booking"]
                )
            if self._rng.random() >= lost:
                return answer
        return None

    def _post(self, http: httpx.Client, path: str, body: Any, key: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._victims[0].keys['partner']}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        asked = self._victims[self._at % len(self._victims)]
        answer = http.post(asked.address + path, json=body, headers=headers)
        if answer.status_code == 201:
            self.answered.append((time.monotonic(), asked.address, answer.headers["x-noriai-process"]))
        return answer


def rows_of(folder: Path, database: str, query: str) -> list[tuple[Any, ...]]:
    """Rows of the store, read without any code of ours."""
    if not database:
        with closing(sqlite3.connect(folder / "noriai.sqlite3")) as store:
            return store.execute(query).fetchall()
    import pg8000.dbapi

    socket_folder, name = database.split("host=")[1], database.split("/")[3].split("?")[0]
    with closing(pg8000.dbapi.connect("postgres", database=name, unix_sock=f"{socket_folder}/.s.PGSQL.5432")) as store:
        cursor = store.cursor()
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]


def check_store(folder: Path, database: str, riders: Iterable[Rider]) -> dict[str, int]:
    """All that must hold after any number of kills."""
    booked = {
        name: (quote, state, vehicle)
        for name, quote, state, vehicle in rows_of(
            folder, database, "SELECT booking, quote, state, vehicle FROM bookings"
        )
    }
    acknowledged = [names for rider in riders for names in rider.acknowledged.values()]
    assert all(len(names) == 1 for names in acknowledged), "one key was answered with two bookings"
    lost = [name for names in acknowledged for name in names if name not in booked]
    assert not lost, f"acknowledged and lost: {lost}"
    assert len({quote for quote, _, _ in booked.values()}) == len(booked), "a quote was booked twice"
    given_up = {name for rider in riders for name in rider.cancelled}
    assert all(booked[name][1] == "cancelled" for name in given_up)
    check_plans(folder, database, booked)
    previous = bytes(32)
    for number, (sequence, body, digest) in enumerate(
        rows_of(folder, database, "SELECT sequence, body, hash FROM log ORDER BY sequence")
    ):
        previous = hashlib.sha256(previous + body.encode()).digest()
        assert sequence == number
        assert bytes(digest) == previous
    return {"acknowledged": len(acknowledged), "bookings": len(booked), "cancelled": len(given_up)}


def check_plans(folder: Path, database: str, booked: dict[str, tuple[str, str, str]]) -> None:
    """Every booking that waits or rides stands in one plan, its vehicle's; no other does; no vehicle is overfull."""
    vehicles = {
        name: json.loads(body)["layouts"]
        for name, body in rows_of(folder, database, "SELECT vehicle, body FROM vehicles")
    }
    plans = rows_of(folder, database, "SELECT day, vehicle, body FROM plans")
    found: dict[str, list[tuple[str, str]]] = {}
    for _, vehicle, body in plans:
        plan = json.loads(body)
        load = list(plan["aboard"])
        for activity in plan["activities"]:
            if activity["quote"] is None:
                continue
            found.setdefault(activity["quote"], []).append((vehicle, activity["kind"]))
            sign = 1 if activity["kind"] == "pickup" else -1
            load = [have + sign * take for have, take in zip(load, activity["party"], strict=True)]
            fits = any(
                all(have <= room for have, room in zip(load, (lay["seats"], lay["wheelchairs"], lay["luggage"]),
                                                       strict=True))
                for lay in vehicles[vehicle]
            )  # fmt: skip
            assert min(load) >= 0
            assert fits, f"{vehicle} is overfull: {load}"
    for name, (quote, state, vehicle) in booked.items():
        wanted = {"accepted": ["pickup", "dropoff"], "boarding": ["dropoff"], "aboard": ["dropoff"]}.get(state, [])
        assert found.pop(quote, []) == [(vehicle, kind) for kind in wanted], (name, state)
    assert not found, f"in a plan, but in no booking: {found}"


def acknowledged(riders: Iterable[Rider]) -> int:
    """Bookings that were answered so far."""
    return sum(len(rider.acknowledged) for rider in riders)


def rural_places(folder: Path) -> tuple[list[tuple[float, float]], str]:
    """Places where the made-up town's vehicles stand, and the town's name."""
    from noriai_engine.regions import open_region

    region = open_region(folder / "region")
    assert region.population is not None
    lon, lat = region.snapper.on_street(region.population.lon, region.population.lat)
    return list(zip(lon.round(6).tolist(), lat.round(6).tolist(), strict=True))[:200], region.name
