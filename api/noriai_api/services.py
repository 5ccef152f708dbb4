"""What services there are, for whoever books; and pausing one: no new rides are taken, those booked go on, and whoever
asks is told why."""

import json
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection, select, update

from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import described
from noriai_api.schemas import Id, Said, Strict, Text
from noriai_api.store.tables import regions
from noriai_engine.model.units import DAY_MS, MINUTE_MS

router = APIRouter(prefix="/v1/regions", tags=["services"], responses=COMMON)


Reason = Annotated[Text, Field(min_length=1)]


class PauseIn(Strict):
    """Why, in the words riders are told. Neither: the service resumes."""

    ja: Reason | None = None
    en: Reason | None = None


class PauseOut(Said):
    region: str
    paused: dict[str, str] | None


@router.put("/{region}/pause", response_model=PauseOut, responses=described("not_found", "store_down"))
async def put_pause(region: Id, why: PauseIn, caller: Annotated[Caller, allow("service.control")]) -> PauseOut:
    """Take no new rides until this is written again without a reason. Bookings stay, and can be given up."""
    node, now = caller.node, caller.node.clock.now()
    await node.actor(caller.tenant, region).here()
    reason = None if why.ja is None and why.en is None else {"ja": why.ja or why.en or "", "en": why.en or why.ja or ""}

    def write(connection: Connection) -> None:
        where = (regions.c.tenant == caller.tenant, regions.c.region == region)
        body = json.loads(connection.execute(select(regions.c.body).where(*where)).scalar_one())
        body["paused"] = reason
        connection.execute(update(regions).where(*where).values(body=json.dumps(body)))
        caller.note(connection, now, f"region/{region}", {"paused": reason})

    await caller.write(write)
    node.paused[caller.tenant, region] = reason
    return PauseOut(region=region, paused=reason)


class RegionOut(Said):
    """A service riders can book. Times of day are local; `area`: outer rings (lon, lat), empty: all of the region."""

    region: str
    title: str
    service: str
    timezone: str
    hours: tuple[str, str]
    mode: str
    max_wait_min: float
    max_ride_min: float
    min_lead_min: float
    max_ahead_days: float
    area: list[list[tuple[float, float]]]
    currency: str | None
    licences: list[str]
    paused: dict[str, str] | None


class Regions(Said):
    regions: list[RegionOut]


@router.get("", response_model=Regions)
async def list_regions(caller: Annotated[Caller, allow("service.read")]) -> Regions:
    """The tenant's services: where and when they run, and what they ask of a booking."""
    query = select(regions.c.region, regions.c.body).where(regions.c.tenant == caller.tenant)
    rows = await caller.read(lambda c: c.execute(query).all())
    paused = {row.region: json.loads(row.body).get("paused") for row in rows}
    found = []
    for (tenant, name), actor in sorted(caller.node.actors.items()):
        if tenant != caller.tenant:
            continue
        rules, region = actor.runtime.rules, actor.runtime.region
        service = rules.service
        day = actor.runtime.service_day(caller.node.clock.now())
        found.append(
            RegionOut(
                region=name, title=region.title, service=service.name, timezone=region.timezone,
                hours=(day.clock_text(day.to_utc(service.opens)), day.clock_text(day.to_utc(service.closes))),
                mode=service.mode, max_wait_min=service.max_wait_ms / MINUTE_MS,
                max_ride_min=service.max_ride_ms / MINUTE_MS,
                min_lead_min=service.min_lead_ms / MINUTE_MS, max_ahead_days=service.max_ahead_ms / DAY_MS,
                area=[list(ring) for ring in service.area],
                currency=None if rules.tariff is None else rules.tariff.table.currency,
                licences=[] if rules.legality is None else sorted(rules.legality.licences),
                paused=paused[name],
            )
        )  # fmt: skip
    return Regions(regions=found)
