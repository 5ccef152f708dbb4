"""Nodes of neighbouring towns to test with: real HTTP between them, each with its own store, fleet and keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from exchanging import AUTHORITY, YEAR_S, an_authority
from serving import Serving, serving, some_settings
from sqlalchemy import func, select

from noriai_api.exchange.keys import public_key
from noriai_api.exchange.participants import membership
from noriai_api.exchange.service import Exchange
from noriai_api.store.tables import bookings
from noriai_engine.model import Clock


def manage(node: Serving, method: str, path: str, role: str = "administrator", **more: Any) -> Any:
    answer = node.ask(role, method, f"/v1/exchange/{path}", **more)
    assert answer.is_success, (method, path, answer.text)
    return answer.json() if answer.content else None


def exchange_of(node: Serving) -> Exchange:
    return node.exchanges["home"]


@contextmanager
def neighbours(
    folder: Path, clock: Clock | None = None, settings: dict[str, dict[str, Any]] | None = None, **fleets: int
) -> Iterator[list[Serving]]:
    """Nodes over the same made-up town, each with a fleet of its own, that know each other. `settings`: more of a
    node's, by name."""
    authority = an_authority()
    file = folder / "authorities.json"
    file.write_text(json.dumps({AUTHORITY: [authority.public.as_json()]}))
    found: list[Serving] = []

    def begin(names: list[str]) -> Iterator[list[Serving]]:
        if not names:
            introduce(found)
            yield found
            return
        name = names[0]
        more = (settings or {}).get(name, {})
        own = some_settings(
            folder / name, fleet=fleets[name], exchange_id=f"urn:noriai:node:{name}", authorities=file, **more
        )
        with serving(own, clock) as node:
            found.append(node)
            yield from begin(names[1:])

    def introduce(nodes: list[Serving]) -> None:
        for one in nodes:
            about = manage(one, "GET", "self")
            keys = [public_key(key) for key in about["keys"]]
            now_s = one.node.clock.now() // 1000
            text = membership(authority, AUTHORITY, about["participant"], about["address"], keys, now_s, now_s + YEAR_S)
            for other in nodes:
                if other is not one:
                    manage(other, "POST", "participants", json={"membership": text})

    yield from begin(list(fleets))


def offer_rides(node: Serving) -> None:
    about = {
        "title": {"ja": "相乗り", "en": "Rides"}, "description": {"ja": "隣町の車両", "en": "Our vehicles"},
        "owner": "urn:noriai:node:b", "kind": "operations", "schema_id": "urn:noriai:schema:rides",
        "schema_version": "1.0", "area": ["jis:08220"], "coverage": "all", "formats": ["HttpData-PULL"],
    }  # fmt: skip
    manage(
        node,
        "PUT",
        "datasets/urn:noriai:dataset:home:rides",
        json={"about": about, "terms": {"purposes": ["dispatch"]}},
    )


def agree(consumer: Serving, provider: Serving) -> str:
    """Agree on rides."""
    return agree_on(consumer, provider, "urn:noriai:dataset:home:rides", "dispatch")


def agree_on(consumer: Serving, provider: Serving, dataset: str, purpose: str) -> str:
    """The agreement, once it is in force."""
    body = {"participant": exchange_of(provider).me.participant, "dataset": dataset, "purpose": purpose}
    process = manage(consumer, "POST", "negotiations", json=body)["process"]
    for _ in range(200):
        found = manage(consumer, "GET", f"processes/{process}")
        if found["state"] == "FINALIZED":
            return str(found["agreement"])
        time.sleep(0.05)
    raise AssertionError(found)


def asked(node: Serving, number: int, **more: Any) -> dict[str, Any]:
    body = {"region": node.region, "wish": node.wish(number), **more}
    answer = node.ask("partner", "POST", "/v1/exchange/rides", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def with_offers(node: Serving, first: int, **more: Any) -> dict[str, Any]:
    for number in range(first, first + 30):
        ride = asked(node, number, **more)
        if ride["offers"]:
            return ride
    raise AssertionError("nobody serves any of 30 wishes")


def take(node: Serving, ride: str, number: int = 0) -> httpx.Response:
    return node.ask("partner", "POST", f"/v1/exchange/rides/{ride}/acceptance", json={"number": number})


def shown(node: Serving, ride: str) -> dict[str, Any]:
    return dict(node.ask("partner", "GET", f"/v1/exchange/rides/{ride}").json())


def count_of(node: Serving) -> int:
    query = select(func.count()).select_from(bookings).where(bookings.c.state != "cancelled")
    return int(node.node.database.read(lambda c: c.execute(query).scalar_one()))


def until(node: Serving, ride: str, state: str) -> dict[str, Any]:
    for _ in range(300):
        if (found := shown(node, ride))["state"] == state:
            return found
        time.sleep(0.05)
    raise AssertionError(found)
