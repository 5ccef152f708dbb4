"""Live demand as records to share: what happened to wishes, by mesh and step of time as coarse as each dataset says
(1 km and a quarter of an hour, if it says nothing), without anybody's name, token or booking. Made from the region's
own log, each row once. Wishes that a neighbour passed on to us are the neighbour's to share, not ours; legs of longer
rides are nobody's wish by themselves."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from noriai_api.borders.provider import NEIGHBOUR
from noriai_api.digests import digest
from noriai_api.exchange import catalogue, data_plane
from noriai_api.exchange.catalogue import Coarseness
from noriai_api.exchange.privacy.mesh import codes_of
from noriai_api.exchange.processes import Here
from noriai_api.exchange.service import Exchange, log
from noriai_api.store.exchange_tables import cursors
from noriai_api.store.tables import log as region_log
from noriai_api.store.tables import quotes
from noriai_engine.model.errors import InputError

EVENTS = {
    "request_received": "requested", "request_refused": "refused", "offer_lapsed": "abandoned",
    "booking_accepted": "booked", "booking_cancelled": "cancelled", "no_show": "no_show", "dropped_off": "served",
}  # fmt: skip
"""Event of the log -> what the record says of the wish."""

MINUTE_MS = 60_000
MESH_DIGITS = 8
"""What the broker's desk looks at: 1 km."""
ROWS = 500
LOOK_S = 1.0


def dataset_of(tenant: str) -> str:
    """The dataset of demand; others of it, coarser or finer, have `-` and a word of their own behind."""
    return f"urn:noriai:dataset:{tenant}:demand"


def _datasets(connection: Connection, tenant: str) -> list[tuple[str, Coarseness]]:
    """Datasets of demand that are offered."""
    base = dataset_of(tenant)
    offered = catalogue.seen_by(connection, tenant, None)
    return [(d.dataset, d.about.coarseness) for d in offered if d.dataset == base or d.dataset.startswith(f"{base}-")]


def publishing_demand(areas: tuple[str, ...] = ()) -> Callable[[Exchange], Awaitable[None]]:
    """A worker of the exchange: once the dataset is offered, what happens joins it. `areas`: of the tenant, such as its
    municipality, beside each record's mesh."""

    async def publish(exchange: Exchange) -> None:
        while True:
            try:
                while await exchange.read(lambda c: has_news(c, exchange.tenant)):
                    await exchange.change(lambda c, here: add_news(c, here, exchange.upsert, areas))
            except Exception as error:  # the store is down: the next look tries again
                log.warning("demand is published later", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    return publish


def has_news(connection: Connection, tenant: str) -> bool:
    """True where the log has rows that were not looked at for a dataset that is offered."""
    return any(_rows(connection, tenant, dataset, 1) for dataset, _ in _datasets(connection, tenant))


def add_news(connection: Connection, here: Here, upsert: Callable[[Any], Any], areas: tuple[str, ...]) -> int:
    """Make records of the next rows of the log; how many."""
    count = 0
    for dataset, coarseness in _datasets(connection, here.tenant):
        rows = _rows(connection, here.tenant, dataset, ROWS)
        made = list(_records(connection, here.tenant, rows, areas, coarseness))
        if made:
            data_plane.add_records(connection, here.tenant, dataset, made)
        for region in {row.region for row in rows}:
            last = max(row.sequence for row in rows if row.region == region)
            value = {"tenant": here.tenant, "name": _cursor(here.tenant, dataset, region), "value": last}
            connection.execute(upsert(cursors), [value])
        count += len(made)
    return count


def _cursor(tenant: str, dataset: str, region: str) -> str:
    """What a dataset has looked at of a region's log."""
    own = dataset.removeprefix(dataset_of(tenant))
    return f"demand:{region}" if not own else f"demand:{digest([own, region])[:40]}"


def _rows(connection: Connection, tenant: str, dataset: str, most: int) -> list[Any]:
    """Rows of the tenant's log after those looked at for a dataset."""
    known = {row.name: row.value for row in connection.execute(select(cursors).where(cursors.c.tenant == tenant))}
    regions = connection.execute(select(region_log.c.region).where(region_log.c.tenant == tenant).distinct()).scalars()
    found: list[Any] = []
    for region in sorted(regions):
        where = (region_log.c.tenant == tenant, region_log.c.region == region,
                 region_log.c.sequence > known.get(_cursor(tenant, dataset, region), -1))  # fmt: skip
        query = select(region_log.c.region, region_log.c.sequence, region_log.c.body).where(*where)
        found += connection.execute(query.order_by(region_log.c.sequence).limit(most)).all()
    return found


def _records(
    connection: Connection, tenant: str, rows: list[Any], areas: tuple[str, ...], coarseness: Coarseness
) -> Iterable[dict[str, Any]]:  # fmt: skip
    events = [event for row in rows for event in json.loads(row.body)["events"] if event[2] in EVENTS]
    names = {event[3] for event in events}
    ours = (quotes.c.tenant == tenant, quotes.c.quote.in_(names), quotes.c.client.not_like(f"{NEIGHBOUR}%"))
    wanted = select(quotes.c.quote, quotes.c.body).where(*ours)
    asked = {row.quote: json.loads(row.body) for row in connection.execute(wanted)}
    wishes = {quote: body["request"] for quote, body in asked.items() if not body.get("is_leg")}
    for event in events:
        wish = wishes.get(event[3])
        if wish is None:
            continue
        try:
            digits = coarseness.mesh_digits
            origin, destination = (
                mesh_of(wish[end]["lon"], wish[end]["lat"], digits) for end in ("origin", "destination")
            )
        except InputError:
            continue
        body = {
            "what": EVENTS[event[2]], "reason": event[8], "from": f"mesh:{origin}", "to": f"mesh:{destination}",
            "riders": wish["party"]["seats"] + wish["party"]["wheelchairs"],
        }  # fmt: skip
        step = coarseness.minutes * MINUTE_MS
        yield {"time": event[1] // step * step, "area": (f"mesh:{origin}", *areas), "body": body}


def mesh_of(lon: float, lat: float, digits: int = MESH_DIGITS) -> int:
    """The mesh a place lies in, of 1 km if nothing else is said. Raises InputError outside of Japan."""
    return int(codes_of(np.array([lon]), np.array([lat]), digits)[0])
