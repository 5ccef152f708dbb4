"""The service itself as a dataset: each region's GTFS-Flex feed, the newest edition only. A neighbour's planner or app
reads from it where and when we serve whom, and how to book."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, select

from noriai_api.digests import digest_bytes
from noriai_api.exchange import catalogue, data_plane
from noriai_api.exchange.processes import Here
from noriai_api.exchange.service import Exchange, log
from noriai_api.node import Node
from noriai_api.standards.service import flex_zip
from noriai_api.store.exchange_tables import records

LOOK_S = 30.0
FILE, ZIP = "gtfs-flex.zip", "application/zip"


def dataset_of(tenant: str) -> str:
    return f"urn:noriai:dataset:{tenant}:service"


def publishing_definitions(node: Node, areas: tuple[str, ...]) -> Callable[[Exchange], Awaitable[None]]:
    """A worker of the exchange: once the dataset is offered, each region's feed joins it whenever it is another."""

    async def publish(exchange: Exchange) -> None:
        while True:
            try:
                if await exchange.read(lambda c: is_offered(c, exchange.tenant)):
                    for (tenant, region), actor in list(node.actors.items()):
                        if tenant == exchange.tenant:
                            feed = await node.compute(partial(flex_zip, node, actor, f"{node.public_address}/"))
                            if await exchange.read(partial(_is_new, tenant=tenant, region=region, feed=feed)):
                                await exchange.change(partial(put, region=region, feed=feed, areas=areas))
            except Exception as error:  # the store is down: the next look tries again
                log.warning("the service is published later", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    return publish


def is_offered(connection: Connection, tenant: str) -> bool:
    found = catalogue.described(connection, tenant, dataset_of(tenant))
    return found is not None


def put(connection: Connection, here: Here, region: str, feed: bytes, areas: tuple[str, ...]) -> None:
    """A region's feed as a record; the edition before goes."""
    mine = (records.c.tenant == here.tenant, records.c.dataset == dataset_of(here.tenant))
    rows = connection.execute(select(records.c.sequence, records.c.body).where(*mine)).all()
    old = [row.sequence for row in rows if json.loads(row.body)["region"] == region]
    body: dict[str, Any] = {
        "region": region, "file": FILE, "media_type": ZIP, "sha256": digest_bytes(feed), "bytes": len(feed),
        "content": base64.b64encode(feed).decode(),
    }  # fmt: skip
    data_plane.add_records(
        connection, here.tenant, dataset_of(here.tenant), [{"time": here.now, "area": areas, "body": body}]
    )
    connection.execute(delete(records).where(*mine, records.c.sequence.in_(old)))


def _is_new(connection: Connection, tenant: str, region: str, feed: bytes) -> bool:
    mine = (records.c.tenant == tenant, records.c.dataset == dataset_of(tenant))
    bodies = [json.loads(body) for body in connection.execute(select(records.c.body).where(*mine)).scalars()]
    return not any((body["region"], body["sha256"]) == (region, digest_bytes(feed)) for body in bodies)
