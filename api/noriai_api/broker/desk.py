"""The desk's work: from unmet demand and idle vehicles to proposals, and from operators' answers to what is settled."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from noriai_api.broker.opportunities import Opportunity, opportunities, wishes_of
from noriai_api.broker.schemas import (
    AnswerIn,
    IdleIn,
    IdleList,
    IdleOut,
    OpportunityOut,
    ProposalList,
    ProposalOut,
    SearchIn,
    SearchOut,
)
from noriai_api.broker.supply import Idle, Proposal
from noriai_api.broker.supply import proposals as proposals_of
from noriai_api.exchange.privacy.mesh import codes_of
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.sharing.demand import MESH_DIGITS, dataset_of, mesh_of
from noriai_api.store.exchange_tables import idle, proposals, received, records
from noriai_api.tenancy import narrowed
from noriai_engine.regions import Region

WEEK_MS = 7 * 86_400_000


async def put_idle(caller: Caller, name: str, new: IdleIn) -> IdleOut:
    """Say when a vehicle is idle, or say it anew. Raises Problem (not_found), InputError."""
    _vehicle(name, new)
    own = caller.grant.narrows("operator")
    if own is not None and own != new.operator:
        raise Problem("not_found", f"no operator {new.operator}")
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        known = select(idle.c.operator).where(idle.c.tenant == caller.tenant, idle.c.idle == name)
        before = connection.execute(known).scalar()
        if before is not None and own not in (None, before):
            raise Problem("not_found", f"no idle vehicle {name}")
        row = {"tenant": caller.tenant, "idle": name, "operator": new.operator, "body": new.model_dump_json()}
        connection.execute(caller.node.database.upsert(idle), [row])
        caller.note(connection, now, f"idle/{name}", new.model_dump(mode="json"))

    await caller.write(write)
    return IdleOut(idle=name, **new.model_dump())


async def drop_idle(caller: Caller, name: str) -> None:
    """It is idle no longer. Raises Problem (not_found)."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        found = connection.execute(narrowed(select(idle.c.idle).where(idle.c.idle == name), idle, caller.grant)).first()
        if found is None:
            raise Problem("not_found", f"no idle vehicle {name}")
        connection.execute(delete(idle).where(idle.c.tenant == caller.tenant, idle.c.idle == name))
        caller.note(connection, now, f"idle/{name}", {"idle": False})

    await caller.write(write)


async def idle_vehicles(caller: Caller) -> IdleList:
    query = narrowed(select(idle).order_by(idle.c.idle), idle, caller.grant)
    rows = await caller.read(lambda c: c.execute(query).mappings().all())
    return IdleList(idle=[IdleOut(idle=row["idle"], **json.loads(row["body"])) for row in rows])


async def search(caller: Caller, wanted: SearchIn) -> SearchOut:
    """Look for opportunities, and propose idle vehicles for them; what was proposed before and not answered is
    replaced. Raises Problem (not_found)."""
    node = caller.node
    region = node.actor(caller.tenant, wanted.region).runtime.region
    since = node.clock.now() - wanted.weeks * WEEK_MS
    found = await caller.read(lambda c: _unmet(c, caller.tenant, since))
    rows = await caller.read(lambda c: _free(c, caller.tenant))
    vehicles = {row["idle"]: (row["operator"], _vehicle(row["idle"], _idle_in(row))) for row in rows}
    unmet = wishes_of(found, region.timezone)

    def think() -> tuple[list[Opportunity], list[Proposal]]:
        seen = opportunities(unmet, _places(region))
        return seen, proposals_of(seen, [vehicle for _, vehicle in vehicles.values()], wanted.most_yen_per_rider)

    seen, offered = await node.compute(think)
    made = [_out(node.ids.new_id(), "proposed", vehicles[one.idle.party][0], one) for one in offered]
    now = node.clock.now()

    def write(connection: Connection) -> None:
        mine = (proposals.c.tenant == caller.tenant, proposals.c.state == "proposed")
        connection.execute(delete(proposals).where(*mine))
        for one in made:
            connection.execute(
                insert(proposals).values(
                    tenant=caller.tenant, proposal=one.proposal, operator=one.operator, state="proposed", made=now,
                    answered=None, body=one.model_dump_json(),
                )
            )  # fmt: skip
        caller.note(connection, now, "proposals", [one.proposal for one in made])

    await caller.write(write)
    return SearchOut(unmet=len(unmet.day), opportunities=[_shown(one) for one in seen], proposals=made)


async def listed(caller: Caller) -> ProposalList:
    query = narrowed(select(proposals).order_by(proposals.c.made, proposals.c.proposal), proposals, caller.grant)
    rows = await caller.read(lambda c: c.execute(query).mappings().all())
    return ProposalList(proposals=[_stored(row) for row in rows])


async def answer(caller: Caller, name: str, said: AnswerIn) -> ProposalOut:
    """An operator's yes or no, said once. Raises Problem (not_found, conflict)."""
    now, state = caller.node.clock.now(), "accepted" if said.accepted else "declined"
    query = narrowed(select(proposals).where(proposals.c.proposal == name), proposals, caller.grant)

    def write(connection: Connection) -> dict[str, Any]:
        row = connection.execute(query).mappings().first()
        if row is None:
            raise Problem("not_found", f"no proposal {name}")
        if row["state"] not in ("proposed", state):
            raise Problem("conflict", f"proposal {name} was {row['state']}")
        mine = (proposals.c.tenant == caller.tenant, proposals.c.proposal == name)
        connection.execute(update(proposals).where(*mine).values(state=state, answered=now))
        caller.note(connection, now, f"proposal/{name}", {"state": state, "reason": said.reason})
        return dict(row) | {"state": state}

    return _stored(await caller.write(write))


def _free(connection: Connection, tenant: str) -> list[Any]:
    """Idle vehicles that no accepted proposal has taken."""
    agreed = (proposals.c.tenant == tenant, proposals.c.state == "accepted")
    taken = {json.loads(body)["idle"] for body in connection.execute(select(proposals.c.body).where(*agreed)).scalars()}
    rows = connection.execute(select(idle).where(idle.c.tenant == tenant).order_by(idle.c.idle)).mappings()
    return [row for row in rows if row["idle"] not in taken]


def _unmet(connection: Connection, tenant: str, since: int) -> list[dict[str, Any]]:
    """Records of demand: our own, and what neighbours shared with us."""
    own = (records.c.tenant == tenant, records.c.dataset == dataset_of(tenant), records.c.time >= since)
    theirs = (received.c.tenant == tenant, received.c.dataset.like("%:demand"), received.c.time >= since)
    found = []
    for row in connection.execute(select(records.c.time, records.c.body).where(*own)):
        found.append({"time": datetime.fromtimestamp(row.time / 1000, UTC).isoformat(), **json.loads(row.body)})
    found += [json.loads(body) for body in connection.execute(select(received.c.body).where(*theirs)).scalars()]
    return found


def _places(region: Region) -> dict[int, str]:
    """Kind of a known place by mesh."""
    if not region.places:
        return {}
    lon, lat = (np.array([getattr(place, name) for place in region.places]) for name in ("lon", "lat"))
    return {int(code): place.kind for code, place in zip(codes_of(lon, lat, MESH_DIGITS), region.places, strict=True)}


def _idle_in(row: Any) -> IdleIn:
    return IdleIn.model_validate_json(row["body"])


def _vehicle(name: str, new: IdleIn) -> Idle:
    """Raises InputError."""
    begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in (new.begin, new.end))
    base = mesh_of(new.base.lon, new.base.lat)
    return Idle(name, new.kind, new.weekday, begin, end, new.seats, base, new.yen_per_hour)


def _shown(one: Opportunity) -> OpportunityOut:
    return OpportunityOut(
        name={"ja": one.name_ja, "en": one.name}, when=one.when, place=f"mesh:{one.mesh}", side=one.side,
        wishes=one.wishes, days=one.days, expected=round(one.expected, 2),
    )  # fmt: skip


def _out(name: str, state: str, operator: str, one: Proposal) -> ProposalOut:
    return ProposalOut(
        proposal=name, state=state, operator=operator, idle=one.idle.party, opportunity=_shown(one.opportunity),
        riders_a_day=round(one.riders, 2), yen_a_day=one.yen, yen_per_rider=one.yen_per_rider,
    )  # fmt: skip


def _stored(row: Any) -> ProposalOut:
    return ProposalOut.model_validate(json.loads(row["body"]) | {"state": row["state"]})
