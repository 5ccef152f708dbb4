"""HTTP of webhooks."""

import json
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select

from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id, Said, Strict
from noriai_api.store.tables import deliveries, webhooks
from noriai_api.tenancy import narrowed
from noriai_api.webhooks.worker import may_be_called

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=COMMON)

Topic = Literal[
    "booking.booking_accepted", "booking.booking_cancelled", "booking.booking_moved", "booking.promise_broken",
    "booking.booking_unassigned", "booking.booking_dropped", "booking.ride_interrupted", "booking.pickup_started",
    "booking.picked_up", "booking.dropped_off", "booking.no_show", "notice.day_before", "notice.new_time",
    "notice.vehicle_near", "wait.offered", "wait.booked", "wait.over",
]  # fmt: skip


class WebhookIn(Strict):
    """Where to tell what. No topics: all of them."""

    url: Annotated[str, Field(max_length=500, pattern=r"^https?://[^\s]+$")]
    topics: Annotated[tuple[Topic, ...], Field(max_length=20, strict=False)] = ()


class WebhookKey(Said):
    """A webhook with the secret that signs its messages, shown this once."""

    webhook: str
    secret: str


class WebhookOut(Said):
    webhook: str
    url: str
    topics: list[str]
    waiting: int
    given_up: int


class Webhooks(Said):
    webhooks: list[WebhookOut]


@router.post("", status_code=201, response_model=WebhookKey, responses=described("store_down"))
async def add_webhook(new: WebhookIn, caller: Annotated[Caller, allow("webhook.write")]) -> WebhookKey:
    """Be told of what happens to bookings and to wishes that wait: a partner of its own, an administrator of all of the
    tenant's."""
    node, now = caller.node, caller.node.clock.now()
    why = await node.compute(lambda: may_be_called(new.url, private=node.settings.webhooks_inside))
    if why is not None:
        raise Problem("invalid", f"{new.url} {why}", errors=[
            {"where": "body.url", "what": why, "do": "give a public https address"}
        ])  # fmt: skip
    name, secret = node.ids.new_id(), node.new_secret()

    def write(connection: Connection) -> None:
        connection.execute(
            insert(webhooks).values(
                tenant=caller.tenant, webhook=name, client=caller.grant.narrows("client"), url=new.url, secret=secret,
                topics=json.dumps(new.topics), paused=False, created=now,
            )
        )  # fmt: skip
        caller.note(connection, now, f"webhook/{name}", {"topics": new.topics})

    await caller.write(write)
    return WebhookKey(webhook=name, secret=secret)


@router.get("", response_model=Webhooks)
async def list_webhooks(caller: Annotated[Caller, allow("webhook.write")]) -> Webhooks:
    """The caller's webhooks, and how many messages wait for each or were given up."""

    def read(connection: Connection) -> Webhooks:
        rows = connection.execute(narrowed(select(webhooks), webhooks, caller.grant).order_by("webhook")).mappings()
        found = []
        for row in rows:
            mine = (deliveries.c.tenant == caller.tenant, deliveries.c.webhook == row["webhook"])
            query = select(deliveries.c.state, func.count()).where(*mine).group_by(deliveries.c.state)
            count = {str(row.state): int(row[1]) for row in connection.execute(query)}
            found.append(WebhookOut(webhook=row["webhook"], url=row["url"], topics=json.loads(row["topics"]),
                                    waiting=count.get("waiting", 0), given_up=count.get("given_up", 0)))  # fmt: skip
        return Webhooks(webhooks=found)

    return await caller.read(read)


@router.delete("/{webhook}", status_code=204, responses=described("not_found", "store_down"))
async def drop_webhook(webhook: Id, caller: Annotated[Caller, allow("webhook.write")]) -> None:
    """Be told no longer; messages that wait are dropped."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        query = narrowed(select(webhooks.c.webhook).where(webhooks.c.webhook == webhook), webhooks, caller.grant)
        if connection.execute(query).first() is None:
            raise Problem("not_found", f"no webhook {webhook}")
        for table in (deliveries, webhooks):
            connection.execute(delete(table).where(table.c.tenant == caller.tenant, table.c.webhook == webhook))
        caller.note(connection, now, f"webhook/{webhook}", {"dropped": True})

    await caller.write(write)
