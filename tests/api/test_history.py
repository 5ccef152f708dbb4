"""Sixty-four clients at once: whatever they were told is what the store says in the end, and every plan is whole.

The judge keeps each client's answers and reads the store with plain SQL: it shares no code with the service.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Serving, serving, some_settings
from victims import check_plans, rows_of

CLIENTS = 64


class Told:
    """What one client was told: which of its bookings stand, which were given up."""

    def __init__(self) -> None:
        self.stands: set[str] = set()
        self.given_up: set[str] = set()
        self.done = 0


def act(node: Serving, number: int, steps: int) -> Told:
    """Random steps of one client: ask, take (at times twice at once), change, give up, read."""
    rng, told = random.Random(number), Told()
    with httpx.Client(base_url=node.address, timeout=60) as http:

        def ask(method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
            headers = {"Authorization": f"Bearer {node.keys['partner']}"} | ({"Idempotency-Key": key} if key else {})
            while True:
                answer = http.request(method, path, json=body, headers=headers)
                if answer.status_code != 503 and answer.json().get("code") != "key_in_flight":
                    return answer

        for step in range(steps):
            key = f"{number}-{step}"
            mine = sorted(told.stands)
            what = rng.choice(["book", "book", "book", "give up", "change", "read"]) if mine else "book"
            told.done += 1
            if what == "book":
                wish = node.wish(1000 * number + step, minutes=rng.randint(5, 600))
                quote = ask("POST", f"/v1/regions/{node.region}/quotes", wish).json()
                if quote.get("offers"):
                    body = {"quote": quote["quote"], "offer": rng.randrange(len(quote["offers"]))}
                    answers = [ask("POST", "/v1/bookings", body, key) for _ in range(rng.choice([1, 1, 2]))]
                    names = {a.json()["booking"] for a in answers if a.status_code == 201}
                    assert len(names) <= 1
                    told.stands |= names
            elif what == "give up":
                name = rng.choice(mine)
                if ask("POST", f"/v1/bookings/{name}/cancel").status_code == 200:
                    told.stands.discard(name)
                    told.given_up.add(name)
            elif what == "change":
                name = rng.choice(mine)
                wish = node.wish(1000 * number + step, minutes=rng.randint(5, 600))
                quote = ask("POST", f"/v1/bookings/{name}/quotes", wish).json()
                if quote.get("offers"):
                    changed = ask("POST", f"/v1/bookings/{name}/change", {"quote": quote["quote"]}, key)
                    if changed.status_code == 201:
                        told.stands.discard(name)
                        told.given_up.add(name)
                        told.stands.add(changed.json()["booking"])
            else:
                name = rng.choice(mine)
                assert ask("GET", f"/v1/bookings/{name}").json()["state"] != "cancelled"
    return told


def a_history(folder: Path, database: str, steps: int) -> int:
    """How many steps were done; everything told is held against the store."""
    settings = some_settings(folder, database, moves_itself=False, inbox=1000)
    with serving(settings) as node, ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda number: act(node, number, steps), range(CLIENTS)))
    booked = {
        name: (quote, state, vehicle)
        for name, quote, state, vehicle in rows_of(
            folder, database, "SELECT booking, quote, state, vehicle FROM bookings"
        )
    }
    stands, given_up = set().union(*(t.stands for t in told)), set().union(*(t.given_up for t in told))
    assert {name for name, (_, state, _) in booked.items() if state == "accepted"} == stands
    assert {name for name, (_, state, _) in booked.items() if state == "cancelled"} == given_up
    assert set(booked) == stands | given_up
    check_plans(folder, database, booked)
    assert len(stands) >= CLIENTS // 2
    return sum(t.done for t in told)


@pytest.mark.compiled
def test_a_history_of_sixty_four_clients(database: str, tmp_path: Path) -> None:
    assert a_history(tmp_path, database, 4) == 4 * CLIENTS


@pytest.mark.long
@pytest.mark.compiled
def test_a_long_history(database: str, tmp_path: Path) -> None:
    assert a_history(tmp_path, database, 100) == 100 * CLIENTS
