"""HTTP of the exchange for a tenant's own people: what is offered, asked for, agreed, under way and logged."""

import base64
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import httpx
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection, select

from noriai_api.digests import digest_bytes
from noriai_api.exchange import agreements, catalogue, comparing, inbox, participants, processes, usage
from noriai_api.exchange.encodings import PARQUET, parquet_of
from noriai_api.exchange.keys import ProofError
from noriai_api.exchange.processes import Process
from noriai_api.exchange.protocol.states import Kind
from noriai_api.exchange.service import ALSO, Exchange
from noriai_api.exchange.terms import EPSILON, GROUP, ONWARD
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import Problem, described
from noriai_api.sharing import schemas as s
from noriai_api.sharing.participants import add_key, exchange_of
from noriai_api.store.exchange_tables import incidents

router = APIRouter(prefix="/v1/exchange", tags=["exchange"], responses=COMMON | described("not_found"))

Reader = Annotated[Caller, allow("exchange.read")]
Writer = Annotated[Caller, allow("exchange.write")]


async def _reading(request: Request, caller: Reader) -> Exchange:
    return exchange_of(request, caller)


async def _writing(request: Request, caller: Writer) -> Exchange:
    """The exchange, each of whose changes is noted in the audit chain in its own transaction."""
    exchange, body, path = exchange_of(request, caller), await request.body(), request.url.path
    said = {"method": request.method, "digest": digest_bytes(body)}
    ALSO.set(lambda connection: caller.note(connection, caller.node.clock.now(), path[:160], said))
    return exchange


Read = Annotated[Exchange, Depends(_reading)]
Write = Annotated[Exchange, Depends(_writing)]


@router.get("/self", response_model=s.SelfOut)
async def get_self(exchange: Read) -> s.SelfOut:
    """Who we are, with our public keys: an authority makes a membership of it."""
    return _self(exchange)


@router.post("/keys", status_code=201, response_model=s.SelfOut)
async def new_key(exchange: Write, caller: Writer) -> s.SelfOut:
    """A new key that signs from now on. Neighbours learn it by asking; the one before counts for a week."""
    await exchange.change(lambda c, here: None)  # noted before it is made: a key that nobody asked for cannot be
    add_key(exchange, bytes.fromhex(caller.node.new_secret()))
    return _self(exchange)


@router.get("/participants", response_model=s.ParticipantsOut)
async def get_participants(exchange: Read) -> s.ParticipantsOut:
    """Nodes we know."""
    found = await exchange.read(lambda c: participants.all_of(c, exchange.tenant))
    return s.ParticipantsOut(participants=[
        s.ParticipantOut(
            participant=one.participant, address=one.address, name=one.about["name"] or None,
            corporate_number=one.about["corporate_number"], authority=one.about["iss"], allowed=one.allowed,
            valid_to=_time(one.valid_to * 1000),
        )
        for one in found
    ])  # fmt: skip


@router.post("/participants", status_code=201, response_model=s.ParticipantsOut)
async def admit(new: s.MembershipIn, exchange: Write) -> s.ParticipantsOut:
    """Take a node in by its membership, signed by an authority of ours."""
    await exchange.admit(new.membership)
    return await get_participants(exchange)


@router.put("/participants/{participant}", response_model=s.ParticipantsOut)
async def allow_or_deny(participant: s.Name, said: s.AllowedIn, exchange: Write) -> s.ParticipantsOut:
    """Put a node on the deny list, or take it off."""
    found = await exchange.change(
        lambda c, here: participants.set_allowed(c, exchange.tenant, participant, allowed=said.allowed)
    )
    if not found:
        raise Problem("not_found")
    return await get_participants(exchange)


@router.get("/participants/{participant}/catalogue", response_model=s.CatalogueOut)
async def get_catalogue(participant: s.Name, exchange: Read) -> s.CatalogueOut:
    """What a node offers us."""
    if await exchange.read(lambda c: participants.find(c, exchange.tenant, participant)) is None:
        raise Problem("not_found")
    return s.CatalogueOut(catalogue=await exchange.catalogue_of(participant))


@router.get("/datasets", response_model=s.DatasetsOut)
async def get_datasets(exchange: Read) -> s.DatasetsOut:
    """What we offer."""
    found = await exchange.read(lambda c: catalogue.seen_by(c, exchange.tenant, None))
    return s.DatasetsOut(datasets=[_dataset(one) for one in found])


@router.put("/datasets/{dataset}", response_model=s.DatasetOut)
async def put_dataset(dataset: s.Name, new: s.DatasetIn, exchange: Write) -> s.DatasetOut:
    """Offer a dataset on terms, or change them; agreements in force stay as they are."""
    permission = [{"action": "use", "constraint": _constraints(new.terms)}]
    await exchange.offer(dataset, new.about, permission, viewers=new.viewers, manual=new.manual)
    found = await exchange.read(lambda c: catalogue.described(c, exchange.tenant, dataset))
    assert found is not None
    return _dataset(found)


@router.delete("/datasets/{dataset}", status_code=204)
async def withdraw_dataset(dataset: s.Name, exchange: Write) -> None:
    """Offer it no longer; agreements in force stay."""
    found = await exchange.change(lambda c, here: catalogue.withdraw(c, exchange.tenant, dataset, here.now))
    if not found:
        raise Problem("not_found")


@router.get("/datasets/{dataset}/received", response_model=s.ReceivedOut, responses={
    200: {"content": {"application/json": {}, PARQUET: {"schema": {"type": "string", "format": "binary"}}}}
})  # fmt: skip
async def get_received(
    dataset: s.Name, exchange: Read, form: Literal["json", "parquet"] = "json"
) -> s.ReceivedOut | Response:  # fmt: skip
    """What others gave us of a dataset of theirs, as JSON or as a Parquet file."""
    found = await _received(dataset, exchange)
    if form == "parquet":
        return Response(parquet_of(found), media_type=PARQUET)
    return s.ReceivedOut(records=found)


@router.get("/datasets/{dataset}/received/file", response_class=Response)
async def get_received_file(dataset: s.Name, exchange: Read) -> Response:
    """The newest file among what others gave us of a dataset, such as their service as GTFS-Flex."""
    files = [record for record in await _received(dataset, exchange) if "content" in record]
    if not files:
        raise Problem("not_found", f"no file of {dataset} has come")
    newest = max(files, key=lambda record: (record["time"], record["sequence"]))
    content = base64.b64decode(newest["content"])
    if digest_bytes(content) != newest["sha256"]:
        raise Problem("conflict", f"the file of {dataset} is not what its sender said it is")
    return Response(content, media_type="application/octet-stream")


async def _received(dataset: str, exchange: Exchange) -> list[dict[str, Any]]:
    """Raises Problem (not_found) for a dataset that nobody agreed to give us."""
    agreed = await exchange.agreements()
    if not any((one.role, one.dataset) == ("consumer", dataset) for one in agreed):
        raise Problem("not_found")
    return await exchange.read(lambda c: inbox.received_of(c, exchange.tenant, dataset))


@router.get("/negotiations", response_model=s.ProcessesOut)
async def get_negotiations(exchange: Read) -> s.ProcessesOut:
    return await _all_of(exchange, "negotiation")


@router.post("/negotiations", status_code=201, response_model=s.ProcessOut)
async def negotiate(new: s.NegotiationIn, exchange: Write) -> s.ProcessOut:
    """Ask a node for a dataset."""
    return _process(await exchange.ask(new.participant, new.dataset, purpose=new.purpose, manual=new.manual))


@router.post("/proposals", status_code=201, response_model=s.ProcessOut)
async def propose(new: s.ProposalIn, exchange: Write) -> s.ProcessOut:
    """Offer a dataset to a node that has not asked."""
    return _process(await exchange.propose(new.participant, new.dataset))


@router.get("/transfers", response_model=s.ProcessesOut)
async def get_transfers(exchange: Read) -> s.ProcessesOut:
    return await _all_of(exchange, "transfer")


@router.post("/transfers", status_code=201, response_model=s.ProcessOut)
async def transfer(new: s.TransferIn, exchange: Write) -> s.ProcessOut:
    """Ask for the data of an agreement."""
    return _process(await exchange.request_transfer(new.agreement, new.way, new.purpose, manual=new.manual))


@router.get("/processes/{process}", response_model=s.ProcessOut)
async def get_process(process: s.Name, exchange: Read) -> s.ProcessOut:
    """A negotiation or a transfer."""
    try:
        return _process(await exchange.process(process))
    except processes.UnknownProcessError:
        raise Problem("not_found") from None


@router.post("/processes/{process}/moves", response_model=s.ProcessOut, responses=described("conflict"))
async def move(process: s.Name, said: s.MoveIn, exchange: Write) -> s.ProcessOut:
    """Make the next move in a negotiation or a transfer."""
    try:
        return _process(await exchange.move(process, said.move, reason=said.reason))
    except processes.UnknownProcessError:
        raise Problem("not_found") from None
    except processes.IllegalMessageError as error:
        raise Problem("conflict", str(error)) from None


@router.get("/agreements", response_model=s.AgreementsOut)
async def get_agreements(exchange: Read) -> s.AgreementsOut:
    """Agreements in force, and those revoked."""

    def look(connection: Connection) -> list[s.AgreementOut]:
        return [
            s.AgreementOut(
                agreement=one.agreement, role=one.role, participant=one.peer, dataset=one.dataset, hash=one.hash,
                finalized=_time(one.finalized), revoked=None if one.revoked is None else _time(one.revoked),
                uses=usage.uses_of(connection, exchange.tenant, one.agreement), terms=one.body,
            )
            for one in agreements.all_of(connection, exchange.tenant)
        ]  # fmt: skip

    return s.AgreementsOut(agreements=await exchange.read(look))


@router.post("/agreements/{agreement}/revocation", status_code=204, responses=described("not_found"))
async def revoke(agreement: s.Name, said: s.RevocationIn, exchange: Write) -> None:
    """Take an agreement back. What runs under it stops within a second."""
    if await exchange.revoke(agreement, said.reason) is None:
        raise Problem("not_found")


@router.post("/agreements/{agreement}/comparison", response_model=s.ComparisonOut, responses=described("conflict"))
async def compare(agreement: s.Name, exchange: Write) -> s.ComparisonOut:
    """Compare our log under an agreement with the other side's; each node does it by itself once a day."""
    found = await exchange.read(lambda c: agreements.find(c, exchange.tenant, agreement))
    if found is None:
        raise Problem("not_found")
    try:
        return s.ComparisonOut(differences=await comparing.compare(exchange, found))
    except (httpx.HTTPError, ProofError) as error:
        raise Problem("conflict", f"the other side does not answer: {error}") from None


@router.get("/usage", response_model=s.UsageOut)
async def get_usage(exchange: Read, after: Annotated[int, Query(ge=-1, le=2**62)] = -1) -> s.UsageOut:
    """The log of what was served and received, page by page, and whether each page's chain holds."""
    rows, whole = await exchange.read(lambda c: usage.page(c, exchange.tenant, after))
    shown = [{name: value for name, value in row.items() if name != "tenant"} for row in rows]
    return s.UsageOut(entries=shown, whole=whole, next=rows[-1]["sequence"] if len(rows) == usage.PAGE else None)


@router.get("/incidents", response_model=s.IncidentsOut)
async def get_incidents(exchange: Read) -> s.IncidentsOut:
    """What did not go as it should."""
    query = select(incidents).where(incidents.c.tenant == exchange.tenant).order_by(incidents.c.time)
    rows = await exchange.read(lambda c: c.execute(query).mappings().all())
    return s.IncidentsOut(incidents=[
        {"what": row["what"], "time": _time(row["time"]), "participant": row["peer"], "process": row["process"],
         **json.loads(row["body"])}
        for row in rows
    ])  # fmt: skip


async def _all_of(exchange: Exchange, kind: Kind) -> s.ProcessesOut:
    found = await exchange.read(lambda c: processes.all_of(c, exchange.tenant, kind))
    return s.ProcessesOut(processes=[_process(one) for one in found])


def _process(one: Process) -> s.ProcessOut:
    agreement = one.subject if one.kind == "transfer" else (one.body.get("agreement") or {}).get("@id")
    return s.ProcessOut(
        process=one.process, kind=one.kind, role=one.role, participant=one.peer, peer_process=one.peer_pid,
        state=one.state, subject=one.subject, manual=one.manual, agreement=agreement,
        ended=[str(reason) for reason in one.body.get("ended") or ()],
    )  # fmt: skip


def _self(exchange: Exchange) -> s.SelfOut:
    keys = exchange.keyring.public(exchange.clock.now() // 1000)
    return s.SelfOut(
        participant=exchange.me.participant, address=exchange.me.address, keys=[key.as_json() for key in keys]
    )  # fmt: skip


def _dataset(one: catalogue.Dataset) -> s.DatasetOut:
    return s.DatasetOut(dataset=one.dataset, about=one.about.model_dump(), offer=one.offer, manual=one.manual)


def _constraints(terms: s.TermsIn) -> list[dict[str, Any]]:
    """Terms in short, as ODRL."""
    found: list[tuple[str, str, Any]] = [("purpose", "isAnyOf", list(terms.purposes))]
    for operand, operator, value in (
        ("recipient", "isAnyOf", terms.recipients), ("spatial", "isAnyOf", terms.areas),
        ("dateTime", "lt", terms.until), ("elapsedTime", "lt", terms.lasts), ("count", "lteq", terms.uses),
        (GROUP, "gteq", terms.smallest_group), (EPSILON, "lteq", terms.epsilon), (ONWARD, "isAnyOf", terms.onward),
    ):  # fmt: skip
        if value is not None:
            typed = {"@value": str(value), "@type": "xsd:integer"} if isinstance(value, int) else value
            found.append((operand, operator, typed))
    return [{"leftOperand": a, "operator": b, "rightOperand": c} for a, b, c in found]


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
