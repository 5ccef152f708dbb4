"""HTTP of delegates: a rider lets somebody book for them, sees what they did with it, and ends it in one step."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection, select, update

from noriai_api.access import clients
from noriai_api.access.decision import Limits, Subject
from noriai_api.delegates.limits import used_by
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.holding.leases import signal
from noriai_api.identity import store as identity
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id, Instant, Said, Strict, Text, utc_ms
from noriai_api.store import tables
from noriai_engine.model.units import DAY_MS

router = APIRouter(prefix="/v1/me/delegates", tags=["identity"], responses=COMMON)

Verb = Literal["booking.quote", "booking.create", "booking.read", "booking.change", "booking.cancel", "rider.read"]
ALWAYS = frozenset({"service.read", "access.evaluate"})
"""What every client may: it says nothing about riders."""
LONGEST_DAYS = 366
Writer = Annotated[Caller, allow("delegate.write")]


class DelegateIn(Strict):
    """Who may do what for the rider, until when and how much of it. `provider`: they sign in there by an invitation;
    without one they get a key."""

    name: Annotated[Text, Field(min_length=1)]
    kind: Literal["family", "helper", "program"]
    may: Annotated[list[Verb], Field(min_length=1, max_length=6)]
    expires: Instant
    rides_a_day: Annotated[int | None, Field(ge=0, le=100)] = None
    most_a_month: Annotated[
        int | None, Field(ge=0, le=10_000_000, description="what its rides of a calendar month may cost, minor units")
    ] = None
    provider: Id | None = None


class DelegateKey(Said):
    """A key, or the address where a person signs in once. Neither is shown again."""

    client: str
    key: str | None
    address: str | None


class DelegateOut(Said):
    """A delegate, with what it has booked today and this month."""

    client: str
    name: str
    may: list[str]
    expires: int
    ended: int | None
    rides_a_day: int | None
    most_a_month: int | None
    rides_today: int
    amount_this_month: int


class Delegates(Said):
    delegates: list[DelegateOut]


@router.post("", status_code=201, response_model=DelegateKey, responses=described("not_found", "store_down"))
async def add_delegate(new: DelegateIn, caller: Writer) -> DelegateKey:
    """Let somebody act for the rider who calls: no more than the rider may, on no other rider's rides."""
    node, now, rider = caller.node, caller.node.clock.now(), caller.subject.rider
    expires = utc_ms(new.expires)
    if not now < expires <= now + LONGEST_DAYS * DAY_MS:
        raise Problem("invalid", "a delegate acts for a year at most", errors=[
            {"where": "body.expires", "what": "not within a year from now",
             "do": f"give a time within {LONGEST_DAYS} days"}
        ])  # fmt: skip
    found = None if new.provider is None else node.identity.providers.get(new.provider)
    if new.provider is not None and (found is None or (found.told.tenants and caller.tenant not in found.told.tenants)):
        raise Problem("not_found", f"no provider {new.provider}")
    name, secret, code = f"{new.kind}-{node.ids.new_id()}", node.new_secret(), node.new_secret()
    is_limited = (new.rides_a_day, new.most_a_month) != (None, None)
    limits = Limits(new.rides_a_day, new.most_a_month) if is_limited else None
    subject = Subject(caller.tenant, name, "proxy", rider=rider, scopes=frozenset(new.may) | ALWAYS, limits=limits)

    def write(connection: Connection) -> str:
        key = clients.add_client(connection, subject, new.name, secret, now, expires, made_by=caller.subject.client)
        if found is not None:
            identity.invite(connection, caller.tenant, code, name, found.told.id, min(expires, now + 7 * DAY_MS))
        caller.note(connection, now, f"client/{name}", new.model_dump(mode="json", exclude={"name"}))
        return key

    key = await caller.write(write)
    address = f"{node.public_address}/auth/{caller.tenant}/{new.provider}/login?invitation={code}"
    return DelegateKey(client=name, key=None if found else key, address=address if found else None)


@router.get("", response_model=Delegates)
async def list_delegates(caller: Writer) -> Delegates:
    """Whom the rider has let act for them, ended ones too."""
    mine = (tables.clients.c.tenant == caller.tenant, tables.clients.c.made_by == caller.subject.client)
    query = select(tables.clients).where(*mine).order_by(tables.clients.c.created, tables.clients.c.client)
    today = caller.node.today_in(caller.tenant)

    def read(connection: Connection) -> Delegates:
        found = []
        for row in connection.execute(query).mappings().all():
            subject, used = clients.subject_of(row), used_by(connection, caller.tenant, row["client"], today)
            limits = subject.limits or Limits(None, None)
            found.append(DelegateOut(
                client=row["client"], name=row["name"], may=sorted((subject.scopes or frozenset()) - ALWAYS),
                expires=row["expires"], ended=row["revoked"], rides_a_day=limits.rides_a_day,
                most_a_month=limits.most_a_month, rides_today=used.rides, amount_this_month=used.amount,
            ))  # fmt: skip
        return Delegates(delegates=found)

    return await caller.read(read)


@router.delete("/{client}", status_code=204, responses=described("not_found", "store_down"))
async def end_delegate(client: Id, caller: Writer) -> None:
    """From the next request on it may do nothing more. What it booked stays."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        t = tables.clients.c
        mine = (t.tenant == caller.tenant, t.client == client, t.made_by == caller.subject.client, t.revoked.is_(None))
        if not connection.execute(update(tables.clients).where(*mine).values(revoked=now)).rowcount:
            raise Problem("not_found", f"no delegate {client} of yours that acts")
        caller.note(connection, now, f"client/{client}", {"revoked": now})
        signal(connection, "clients", caller.tenant, now)

    await caller.write(write)
    await caller.node.heed("clients", caller.tenant)
