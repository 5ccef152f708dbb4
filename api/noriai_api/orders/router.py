"""HTTP of standing orders and the waiting list."""

from typing import Annotated

from fastapi import APIRouter, Request

from noriai_api.guard import COMMON, Caller, allow
from noriai_api.orders import standing, waiting
from noriai_api.orders.schemas import StandingIn, StandingOrders, StandingOut, WaitIn, WaitingList, WaitOut
from noriai_api.parties.imports import TABLE_BODY, kind_of, rows_of
from noriai_api.parties.schemas import Imported
from noriai_api.problems import described
from noriai_api.schemas import Id

router = APIRouter(prefix="/v1", tags=["orders"], responses=COMMON)


@router.post("/standing-orders", status_code=201, response_model=StandingOut,
             responses=described("not_found", "store_down"))  # fmt: skip
async def add_order(order: StandingIn, caller: Annotated[Caller, allow("booking.create")]) -> StandingOut:
    """A ride that comes again: each day is booked by itself as soon as it can be."""
    return await standing.add(caller, order)


@router.post(
    "/imports/standing-orders", response_model=Imported, responses=described("not_found", "store_down"),
    openapi_extra=TABLE_BODY,
)  # fmt: skip
async def import_orders(
    request: Request, caller: Annotated[Caller, allow("rider.import")], dry_run: bool = False
) -> Imported:
    """Standing orders from CSV or Excel, each with an id of its own in the column `order`: all written or none. One
    that is there already is written anew; what is booked of it stays."""
    check = await standing.checker(caller)
    good, problems = rows_of(await request.body(), kind_of(request), "order", StandingIn, check)
    if problems or dry_run:
        return Imported(rows=len(good) + len({p.row for p in problems}), written=0, problems=problems)
    await standing.take_in(caller, good)
    return Imported(rows=len(good), written=len(good), problems=[])


@router.get("/standing-orders", response_model=StandingOrders)
async def list_orders(caller: Annotated[Caller, allow("booking.create")]) -> StandingOrders:
    """Standing orders within reach, and what came of each day."""
    return await standing.listed(caller)


@router.delete("/standing-orders/{order}", status_code=204, responses=described("not_found", "store_down"))
async def end_order(order: Id, caller: Annotated[Caller, allow("booking.create")]) -> None:
    """No further rides; those booked stay."""
    await standing.end(caller, order)


@router.post("/quotes/{quote}/wait", status_code=201, response_model=WaitOut,
             responses=described("not_found", "conflict", "store_down"))  # fmt: skip
async def wait_for_offers(
    quote: Id, caller: Annotated[Caller, allow("booking.quote")], how: WaitIn | None = None
) -> WaitOut:
    """Put a refused wish on the waiting list: it is asked again every minute until somebody can serve it, and then has
    offers; or it waits for a batch, which may move others to make room, and books it. Any wish for a later day may be
    left to the plan of the evening before."""
    return await waiting.wait(caller, quote, how or WaitIn(until="offers"))


@router.delete("/quotes/{quote}/wait", status_code=204, responses=described("not_found", "conflict", "store_down"))
async def wait_no_longer(quote: Id, caller: Annotated[Caller, allow("booking.quote")]) -> None:
    """Take a wish off the waiting list. One that is booked is cancelled as a booking instead."""
    await waiting.wait_no_longer(caller, quote)


@router.get("/waiting", response_model=WaitingList)
async def list_waiting(caller: Annotated[Caller, allow("booking.quote")]) -> WaitingList:
    """The caller's wishes on the waiting list, and what became of them; those `offered` have a fresh quote."""
    return await waiting.waiters(caller)
