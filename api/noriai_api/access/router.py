"""HTTP of access: decisions in AuthZEN's shape, clients and their keys, the audit chain."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select

from noriai_api.access import audit, clients
from noriai_api.access.decision import ACTIONS, Resource, Subject, decide
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.holding.leases import signal
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id, Instant, Said, Strict, Text, utc_ms
from noriai_api.store import tables
from noriai_engine.model.errors import InputError

router = APIRouter(tags=["access"], responses=COMMON)

Role = Literal["resident", "proxy", "partner", "vehicle", "dispatcher", "planner", "administrator", "neighbour"]


class Asked(BaseModel):
    """A part of an AuthZEN request: type, id, and properties of which we read those we know."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, Field(max_length=64)] = ""
    id: Annotated[str, Field(max_length=160)] = ""
    properties: dict[str, Any] = {}


class AskedAction(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=64)]


class Evaluation(BaseModel):
    """An AuthZEN evaluation request. The subject is the caller: whatever else is said of it is not believed."""

    model_config = ConfigDict(extra="ignore")

    subject: Asked = Asked()
    action: AskedAction
    resource: Asked = Asked()
    context: dict[str, Any] = {}


class Evaluated(Said):
    decision: bool
    context: dict[str, Any]


@router.post("/access/v1/evaluation", response_model=Evaluated)
async def evaluate(asked: Evaluation, caller: Annotated[Caller, allow("access.evaluate")]) -> Evaluated:
    """May the caller do this? The same function decides that guards every route (OpenID AuthZEN 1.0)."""
    said = asked.resource.properties
    known = {name: str(said[name]) for name in ("tenant", "operator", "client", "rider", "vehicle") if said.get(name)}
    resource = Resource(asked.resource.type, asked.resource.id or None, **known)
    decision = decide(caller.subject, asked.action.name, resource)
    return Evaluated(
        decision=decision.allowed, context={"reason": decision.reason, "policy": "roles@1", "obligations": []}
    )


class ClientIn(Strict):
    """A caller to be: its role, and whom it acts for. Vehicles name theirs, residents and proxies their rider."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"role": {"enum": ["partner", "dispatcher", "planner", "administrator", "neighbour"]}}},
                {"required": ["vehicle"],
                 "properties": {"role": {"const": "vehicle"}, "vehicle": {"type": "string"}}},
                {"required": ["rider"],
                 "properties": {"role": {"enum": ["resident", "proxy"]}, "rider": {"type": "string"}}},
            ]
        }
    )  # fmt: skip

    client: Id
    name: Text
    role: Role
    operator: Id | None = None
    vehicle: Id | None = None
    rider: Id | None = None
    expires: Instant | None = None
    key: Annotated[bool, Field(description="false: it signs in, or proves a key of its own")] = True


class ClientKey(Said):
    """A new client's key, shown this once; none where it was asked for without."""

    client: str
    key: str | None


class ClientOut(Said):
    client: str
    role: str
    name: str
    operator: str | None
    vehicle: str | None
    rider: str | None
    created: int
    expires: int | None
    revoked: int | None


class Clients(Said):
    clients: list[ClientOut]


@router.post(
    "/v1/clients", status_code=201, response_model=ClientKey, responses=described("conflict", "store_down")
)  # fmt: skip
async def add_client(new: ClientIn, caller: Annotated[Caller, allow("client.write")]) -> ClientKey:
    """A client with a key of its own in the caller's tenant."""
    node, now = caller.node, caller.node.clock.now()
    subject = Subject(caller.tenant, new.client, new.role, new.operator, new.vehicle, new.rider)
    expires, secret = None if new.expires is None else utc_ms(new.expires), node.new_secret()

    def write(connection: Connection) -> str:
        mine = (tables.clients.c.tenant == caller.tenant, tables.clients.c.client == new.client)
        if connection.execute(select(tables.clients.c.client).where(*mine)).first() is not None:
            raise Problem("conflict", f"client {new.client} exists")
        if new.rider is not None:
            known = (tables.riders.c.tenant == caller.tenant, tables.riders.c.rider == new.rider)
            if connection.execute(select(tables.riders.c.rider).where(*known)).first() is None:
                raise InputError(f"no rider {new.rider}", where="body.rider", remedy="register the rider first")
        key = clients.add_client(connection, subject, new.name, secret, now, expires)
        caller.note(connection, now, f"client/{new.client}", {"role": new.role})
        return key

    key = await caller.write(write)
    return ClientKey(client=new.client, key=key if new.key else None)


@router.get("/v1/clients", response_model=Clients)
async def list_clients(caller: Annotated[Caller, allow("client.write")]) -> Clients:
    """The tenant's clients, without their keys."""
    rows = await caller.read(lambda connection: clients.all_of(connection, caller.grant))
    return Clients(clients=[ClientOut(**{k: v for k, v in row.items() if k != "tenant"}) for row in rows])


@router.delete("/v1/clients/{client}", status_code=204, responses=described("not_found", "conflict", "store_down"))
async def revoke_client(client: Id, caller: Annotated[Caller, allow("client.write")]) -> None:
    """Take a client's key away; it is refused from the next request on."""
    node, now = caller.node, caller.node.clock.now()
    if client == caller.subject.client:
        raise Problem("conflict", "that is the key of this very request: let another administrator revoke it")

    def write(connection: Connection) -> None:
        if not clients.revoke(connection, caller.grant, client, now):
            raise Problem("not_found", f"no client {client} with a valid key")
        caller.note(connection, now, f"client/{client}", {"revoked": now})
        signal(connection, "clients", caller.tenant, now)

    await caller.write(write)
    await node.heed("clients", caller.tenant)


class AuditOut(Said):
    """Entries of the audit chain, in order, and whether the whole chain holds."""

    entries: list[dict[str, Any]]
    first_bad: int | None


@router.get("/v1/audit", response_model=AuditOut)
async def read_audit(
    caller: Annotated[Caller, allow("audit.read")], after: Annotated[int, Query(ge=-1, le=2**53)] = -1
) -> AuditOut:
    """The tenant's entries after a number, 500 a page. The chain is the node's; entries of others are not shown."""

    def read(connection: Connection) -> AuditOut:
        everything = connection.execute(select(tables.audit).order_by(tables.audit.c.sequence)).mappings()
        chain = [dict(row) for row in everything]
        mine = [row for row in chain if row["tenant"] == caller.tenant and row["sequence"] > after]
        return AuditOut(entries=mine[:500], first_bad=audit.first_bad(chain))

    return await caller.read(read)


@router.get("/v1/actions", response_model=dict[str, dict[str, str]])
async def list_actions(caller: Annotated[Caller, allow("access.evaluate")]) -> dict[str, dict[str, str]]:
    """Which role may do what, and on whose rows."""
    return {action: dict(roles) for action, roles in ACTIONS.items()}
