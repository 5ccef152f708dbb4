"""The desk's work: from unmet demand and idle vehicles to proposals, and from operators' answers to what is settled."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert, select, update

from noriai_api.broker.opportunities import Opportunity, opportunities, tells_enough, wishes_of
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
    TourStop,
)
from noriai_api.broker.supply import Idle, Proposal, meshes_of, roads_of
from noriai_api.broker.supply import proposals as proposals_of
from noriai_api.exchange.privacy.mesh import centres_of, codes_of
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.runtime.region import RegionRuntime
from noriai_api.sharing.demand import MESH_DIGITS, dataset_of, mesh_of
from noriai_api.store.exchange_tables import idle, proposals, received, records
from noriai_api.tenancy import narrowed
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.regions import Region

WEEK_MS = 7 * 86_400_000
FURTHEST_STREET_M = 1_500.0
"""The middle of a mesh of 1 km may be so far from a street."""


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
    unmet, idle = wishes_of(found, region.timezone), [vehicle for _, vehicle in vehicles.values()]
    seen = await node.compute(lambda: opportunities(unmet, _places(region)))
    offered: list[Proposal] = []
    if seen and idle:
        meshes = meshes_of(seen, unmet, idle)
        drives = await node.actor(caller.tenant, wanted.region).look(lambda runtime: _drives(runtime, meshes))
        roads = roads_of(meshes, drives, FOREVER_MS)
        most = wanted.most_yen_per_rider
        offered = await node.compute(lambda: proposals_of(seen, unmet, idle, roads, wanted.weeks, most))
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


def _drives(runtime: RegionRuntime, meshes: NDArray[np.int64]) -> NDArray[np.int64]:
    """ms between the middles of meshes, over the streets as they are now."""
    places = [(float(lon), float(lat)) for lon, lat in zip(*centres_of(meshes), strict=True)]
    return np.asarray(runtime.today().dispatcher.travel_times.matrix(places, limit_m=FURTHEST_STREET_M), np.int64)


def _free(connection: Connection, tenant: str) -> list[Any]:
    """Idle vehicles that no accepted proposal has taken."""
    agreed = (proposals.c.tenant == tenant, proposals.c.state == "accepted")
    taken = {json.loads(body)["idle"] for body in connection.execute(select(proposals.c.body).where(*agreed)).scalars()}
    rows = connection.execute(select(idle).where(idle.c.tenant == tenant).order_by(idle.c.idle)).mappings()
    return [row for row in rows if row["idle"] not in taken]


def _unmet(connection: Connection, tenant: str, since: int) -> list[dict[str, Any]]:
    """Records of demand: our own, and what neighbours shared with us."""
    own = (records.c.tenant == tenant, records.c.dataset == dataset_of(tenant), records.c.time >= since)
    theirs = (received.c.tenant == tenant, received.c.dataset.like("%:demand%"), received.c.time >= since)
    found = []
    for row in connection.execute(select(records.c.time, records.c.body).where(*own)):
        found.append({"time": datetime.fromtimestamp(row.time / 1000, UTC).isoformat(), **json.loads(row.body)})
    of_peer: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for peer, dataset, body in connection.execute(
        select(received.c.peer, received.c.dataset, received.c.body).where(*theirs)
    ):
        of_peer.setdefault(peer, {}).setdefault(dataset, []).append(json.loads(body))
    for datasets in of_peer.values():  # several datasets of one neighbour tell of the same wishes
        told = [rows for _, rows in sorted(datasets.items()) if tells_enough(rows[0])]
        found += told[0] if told else []
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
        proposal=name, state=state, operator=operator, idle=one.idle.party,
        opportunities=[_shown(each) for each in one.opportunities], tour=_tour(one),
        riders_a_day=round(one.riders, 2), yen_a_day=one.yen, yen_per_rider=one.yen_per_rider,
    )  # fmt: skip


def _tour(one: Proposal) -> list[TourStop]:
    best = max(one.tours, key=lambda tour: tour.riders)
    timed = [(f"{stop.minute // 60:02}:{stop.minute % 60:02}", stop) for stop in best.stops]
    return [TourStop(time=time, place=f"mesh:{stop.mesh}", riders=stop.riders) for time, stop in timed]


def _stored(row: Any) -> ProposalOut:
    return ProposalOut.model_validate(json.loads(row["body"]) | {"state": row["state"]})
