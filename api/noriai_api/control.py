"""Pausing a service: no new rides are taken, those booked go on, and everybody who asks is told why."""

import json
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import Connection, select, update

from noriai_api.access import audit
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import described
from noriai_api.schemas import Id, Said, Strict, Text
from noriai_api.store.tables import regions

router = APIRouter(prefix="/v1/regions/{region}", tags=["operation"], responses=COMMON)


class PauseIn(Strict):
    """Why, in the words riders are told. Neither: the service resumes."""

    ja: Text | None = None
    en: Text | None = None


class PauseOut(Said):
    region: str
    paused: dict[str, str] | None


@router.put("/pause", response_model=PauseOut, responses=described("not_found", "store_down"))
async def put_pause(region: Id, why: PauseIn, caller: Annotated[Caller, allow("service.control")]) -> PauseOut:
    """Take no new rides until this is written again without a reason. Bookings stay, and can be given up."""
    node, now = caller.node, caller.node.clock.now()
    node.actor(caller.tenant, region)
    reason = None if why.ja is None and why.en is None else {"ja": why.ja or why.en or "", "en": why.en or why.ja or ""}

    def write(connection: Connection) -> None:
        where = (regions.c.tenant == caller.tenant, regions.c.region == region)
        body = json.loads(connection.execute(select(regions.c.body).where(*where)).scalar_one())
        body["paused"] = reason
        connection.execute(update(regions).where(*where).values(body=json.dumps(body)))
        audit.append(connection, time=now, tenant=caller.tenant, actor=caller.subject.client,
                     action=caller.grant.action, resource=f"region/{region}", payload={"paused": reason})  # fmt: skip

    await node.write(write)
    node.paused[caller.tenant, region] = reason
    return PauseOut(region=region, paused=reason)
