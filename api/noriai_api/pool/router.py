"""HTTP of the pool: what other towns may borrow of ours, what we could borrow, and the loans there are."""

import json
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from sqlalchemy import Connection, delete, select

from noriai_api.exchange import agreements
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.parties import joining
from noriai_api.pool import borrowing, store
from noriai_api.pool.schemas import (
    FreeList,
    LoanIn,
    LoanLine,
    LoanList,
    LoanOut,
    LoanSettlementOut,
    NeedIn,
    Party,
    PoolOfferIn,
    PoolOfferOut,
    PoolOffers,
    ReturnIn,
)
from noriai_api.pool.store import Row
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id
from noriai_api.sharing.participants import exchange_of
from noriai_api.store.exchange_tables import pool_offers
from noriai_api.tenancy import narrowed

router = APIRouter(prefix="/v1/pool", tags=["pool"], responses=COMMON | described("not_found"))

Office = Annotated[Caller, allow("broker.idle")]


@router.get("/offers", response_model=PoolOffers)
async def get_offers(caller: Office) -> PoolOffers:
    """What other towns may borrow of ours."""
    query = narrowed(select(pool_offers).order_by(pool_offers.c.offer), pool_offers, caller.grant)
    rows = await caller.read(lambda c: c.execute(query).mappings().all())
    return PoolOffers(offers=[_offer_out(dict(row) | {"body": json.loads(row["body"])}) for row in rows])


@router.put("/offers/{offer}", response_model=PoolOffers)
async def put_offer(offer: Id, new: PoolOfferIn, caller: Office) -> PoolOffers:
    """Let other towns borrow a driver or vehicle in some hours of the week, or change that. Loans there are stay."""
    caller.node.actor(caller.tenant, new.region)
    table = joining.TABLES[f"{new.kind}s"]
    column, now = table.c[new.kind], caller.node.clock.now()

    def write(connection: Connection) -> None:
        known = narrowed(select(table.c.operator).where(column == new.name), table, caller.grant)
        operator = connection.execute(known).scalar()
        if operator is None:
            raise Problem("not_found", f"no {new.kind} {new.name}")
        before = store.offer(connection, caller.tenant, offer)
        if before is not None and caller.grant.narrows("operator") not in (None, before["operator"]):
            raise Problem("not_found", f"no offer {offer}")
        row = {"tenant": caller.tenant, "offer": offer, "operator": operator, "body": new.model_dump_json()}
        connection.execute(caller.node.database.upsert(pool_offers), [row])
        caller.note(connection, now, f"pool/{offer}", new.model_dump(mode="json"))

    await caller.write(write)
    return await get_offers(caller)


@router.delete("/offers/{offer}", status_code=204)
async def drop_offer(offer: Id, caller: Office) -> None:
    """It may be borrowed no more; loans there are stay."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        query = narrowed(select(pool_offers.c.offer).where(pool_offers.c.offer == offer), pool_offers, caller.grant)
        if connection.execute(query).first() is None:
            raise Problem("not_found", f"no offer {offer}")
        where = (pool_offers.c.tenant == caller.tenant, pool_offers.c.offer == offer)
        connection.execute(delete(pool_offers).where(*where))
        caller.note(connection, now, f"pool/{offer}", {"offered": False})

    await caller.write(write)


@router.post("/searches", response_model=FreeList)
async def search(need: NeedIn, request: Request, caller: Office) -> FreeList:
    """Who and what neighbours under agreement would lend for a need, the cheapest first."""
    return await borrowing.search(exchange_of(request, caller, speaks=False), need)


@router.post("/loans", status_code=201, response_model=LoanOut, responses=described("store_down"))
async def borrow(new: LoanIn, request: Request, caller: Office) -> LoanOut:
    """Borrow a driver or vehicle. Its town checks hours and credentials, where they are kept; `state` says what came of
    it: lent, refused with its reason, or asking while the answer is missing."""
    return _loan_out(await borrowing.borrow(caller, exchange_of(request, caller, speaks=False), new))


@router.get("/loans", response_model=LoanList)
async def get_loans(request: Request, caller: Office) -> LoanList:
    """What was borrowed and lent."""
    exchange = exchange_of(request, caller, speaks=False)
    rows = await exchange.read(lambda c: store.loans(c, exchange.tenant))
    own = caller.grant.narrows("operator")
    offers = {row["offer"]: row["operator"] for row in await exchange.read(lambda c: store.offers(c, exchange.tenant))}
    return LoanList(loans=[_loan_out(row) for row in rows if own in (None, _operator(row, offers))])


@router.post("/loans/{loan}/return", response_model=LoanOut, responses=described("conflict", "store_down"))
async def give_back(loan: Id, said: ReturnIn, request: Request, caller: Office) -> LoanOut:
    """Return what was borrowed, with the hours it was used; without them it was not used at all."""
    exchange = exchange_of(request, caller, speaks=False)
    row = await borrowing.row_of(exchange, loan)
    if caller.grant.narrows("operator") not in (None, _operator(row, {})):
        raise Problem("not_found", f"no loan {loan}")
    return _loan_out(await borrowing.give_back(caller, exchange, loan, said))


@router.get("/agreements/{agreement}/settlement", response_model=LoanSettlementOut)
async def get_settlement(
    agreement: Party, request: Request, caller: Annotated[Caller, allow("exchange.read")]
) -> LoanSettlementOut:
    """What loans under an agreement came to."""
    exchange = exchange_of(request, caller)
    found = await exchange.read(lambda c: agreements.find(c, exchange.tenant, agreement))
    if found is None:
        raise Problem("not_found")
    lines = await exchange.read(lambda c: borrowing.settlement(c, exchange.tenant, agreement))
    return LoanSettlementOut(
        agreement=agreement, role=found.role, participant=found.peer, total=sum(line["price"] for line in lines),
        lines=[LoanLine(**line) for line in lines],
    )  # fmt: skip


def _operator(row: Row, offers: dict[str, str]) -> str | None:
    """Whose affair a loan is here."""
    return row["body"]["asked"]["operator"] if row["role"] == "borrowed" else offers.get(row["offer"])


def _offer_out(row: Row) -> PoolOfferOut:
    said = {k: v for k, v in row["body"].items() if k not in ("limits", "base")}
    return PoolOfferOut(offer=row["offer"], operator=row["operator"], **said)


def _loan_out(row: Row) -> LoanOut:
    body, borrowed = row["body"], row["role"] == "borrowed"
    kind = body["asked"]["need"]["kind"] if borrowed else body["credentials"]["kind"]
    return LoanOut(
        loan=row["loan"], role=row["role"], state=row["state"], participant=row["peer"], offer=row["offer"], kind=kind,
        begin=_time(row["begin"]), end=_time(row["end"]), name=row["subject"].partition(":")[2] or None,
        yen=body.get("yen"), reason=body.get("reason"),
    )  # fmt: skip


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
