"""The rules a region is served by; and confirming one whose sources contradict or are silent, which real rides wait
for. Who confirmed what stands with the region and in the audit chain."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection, select, update

from noriai_api.guard import COMMON, Caller, allow
from noriai_api.node import confirmed_in
from noriai_api.problems import Problem, described
from noriai_api.runtime.region import RegionRuntime
from noriai_api.schemas import Id, Said, Strict, Text
from noriai_api.store.tables import regions
from noriai_engine.rules.pack_file import PackFile

router = APIRouter(prefix="/v1/regions/{region}/rules", tags=["services"], responses=COMMON)


class ConfirmationIn(Strict):
    """That a person has read this version's sources and answers for it."""

    version: Annotated[int, Field(ge=1, lt=2**31)]
    name: Annotated[Text, Field(min_length=1, description="who has read it")]


class RulePackOut(Said):
    """A rule pack. `mark`: S read in a published source, C sources contradict, U unconfirmed; `in_force`: the version
    that holds today; `waits`: nothing is booked under it until it is confirmed."""

    licences: list[str]
    pack: str
    version: int
    title: str
    article: str
    law_id: str
    valid_from: date
    valid_to: date
    source: str
    as_of: date
    mark: Literal["S", "C", "U"]
    note: str
    in_force: bool
    confirmed: bool
    waits: bool


class RulePacks(Said):
    rules: list[RulePackOut]


@router.get("", response_model=RulePacks, responses=described("not_found"))
async def list_rules(region: Id, caller: Annotated[Caller, allow("service.read")]) -> RulePacks:
    """What binds the region's licences: each pack with its article, its validity and where it was read."""
    actor = caller.node.actor(caller.tenant, region)
    await actor.here()
    today = actor.runtime.service_day(caller.node.clock.now()).date
    return RulePacks(rules=list(_rules(actor.runtime, today)))


def _rules(runtime: RegionRuntime, today: date) -> Iterator[RulePackOut]:
    law = runtime.rules.legality
    if law is None:
        return
    by_version: dict[tuple[str, int], tuple[PackFile, list[str]]] = {}
    for licence, packs in law.licences.items():
        for pack in packs:
            by_version.setdefault((pack.pack.id, pack.pack.version), (pack, []))[1].append(licence)
    for key, (pack, licences) in sorted(by_version.items()):
        about = pack.pack
        yield RulePackOut(
            licences=sorted(licences), pack=about.id, version=about.version, title=about.title, article=about.article,
            law_id=about.law_id, valid_from=about.valid_from, valid_to=about.valid_to, source=about.source.kind,
            as_of=about.source.as_of, mark=about.source.mark, note=about.source.note,
            in_force=about.valid_from <= today <= about.valid_to, confirmed=key in law.confirmed,
            waits=law.waits_for_confirmation(pack),
        )  # fmt: skip


@router.put(
    "/{pack}/confirmation", response_model=RulePacks, responses=described("not_found", "conflict", "store_down")
)
async def confirm_rule(
    region: Id, pack: Id, said: ConfirmationIn, caller: Annotated[Caller, allow("service.control")]
) -> RulePacks:
    """A named person has confirmed a version of a pack: real rides are booked under it from now on."""
    node, now = caller.node, caller.node.clock.now()
    actor = node.actor(caller.tenant, region)
    await actor.here()
    law = actor.runtime.rules.legality
    versions = {
        one.pack.version for packs in (law.licences.values() if law else ()) for one in packs if one.pack.id == pack
    }
    if not versions:
        raise Problem("not_found", f"no pack {pack} in {region}")
    if said.version not in versions:
        raise Problem("conflict", f"{pack} has version {', '.join(map(str, sorted(versions)))} here")

    def write(connection: Connection) -> frozenset[tuple[str, int]]:
        where = (regions.c.tenant == caller.tenant, regions.c.region == region)
        body = json.loads(connection.execute(select(regions.c.body).where(*where)).scalar_one())
        if (pack, said.version) not in confirmed_in(body):
            entry = {"pack": pack, "version": said.version, "by": said.name, "client": caller.subject.client, "at": now}
            body["law"].setdefault("confirmed", []).append(entry)
            connection.execute(update(regions).where(*where).values(body=json.dumps(body)))
            caller.note(connection, now, f"region/{region}/rule/{pack}", entry)
        return confirmed_in(body)

    confirmed = await caller.write(write)
    await node.confirm_rules(caller.tenant, region, confirmed)
    return await list_rules(region, caller)
