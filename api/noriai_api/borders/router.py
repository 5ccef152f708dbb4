"""HTTP of rides that several nodes may serve."""

from typing import Annotated

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from noriai_api.borders import riding, transfer_points
from noriai_api.borders.schemas import AcceptanceIn, RideIn, RideOut, RideSettlementOut, SettlementLine
from noriai_api.borders.transfer_points import TransferPoint, TransferPointOut, TransferPoints
from noriai_api.exchange import agreements
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id
from noriai_api.sharing.participants import exchange_of
from noriai_api.sharing.schemas import Name

router = APIRouter(prefix="/v1/exchange", tags=["exchange"], responses=COMMON | described("not_found"))


@router.post("/rides", status_code=201, response_model=RideOut, responses=described("paused", "store_down"))
async def ask_for_ride(new: RideIn, request: Request, caller: Annotated[Caller, allow("booking.quote")]) -> RideOut:
    """Offers of our own fleet, and of neighbours under agreement."""
    return await riding.ask(caller, exchange_of(request, caller, speaks=False), new)


@router.get("/rides/{ride}", response_model=RideOut)
async def get_ride(ride: Id, request: Request, caller: Annotated[Caller, allow("booking.read")]) -> RideOut:
    """A ride as it stands, and whose it is."""
    return await riding.shown(caller, exchange_of(request, caller, speaks=False), ride)


@router.post(
    "/rides/{ride}/acceptance", response_model=RideOut, responses=described("conflict", "paused", "store_down")
)
async def take_ride(
    ride: Id, taking: AcceptanceIn, request: Request, caller: Annotated[Caller, allow("booking.create")]
) -> RideOut:
    """Take an offer. Repeating it says where the ride stands, and takes nothing twice."""
    if caller.subject.limits is not None:
        raise Problem("limit_reached", "what another node's rides cost is not counted here: the rider books them")
    return await riding.take(caller, exchange_of(request, caller, speaks=False), ride, taking.number)


@router.post("/rides/{ride}/cancellation", response_model=RideOut, responses=described("conflict", "store_down"))
async def give_ride_up(ride: Id, request: Request, caller: Annotated[Caller, allow("booking.cancel")]) -> RideOut:
    """Give a ride up, whoever has it."""
    return await riding.give_up(caller, exchange_of(request, caller, speaks=False), ride)


@router.get("/transfer-points", response_model=TransferPoints)
async def get_transfer_points(request: Request, caller: Annotated[Caller, allow("exchange.read")]) -> TransferPoints:
    """Places where riders may change from one fleet's vehicle to another's."""
    exchange = exchange_of(request, caller)
    return _points(await exchange.read(lambda c: transfer_points.all_of(c, exchange.tenant)))


@router.put("/transfer-points/{point}", response_model=TransferPoints)
async def put_transfer_point(
    point: Id, new: TransferPoint, request: Request, caller: Annotated[Caller, allow("exchange.write")]
) -> TransferPoints:
    """Let riders change at a place, or change what holds there."""
    exchange, now = exchange_of(request, caller), caller.node.clock.now()

    def write(connection: Connection) -> None:
        transfer_points.put(connection, exchange.upsert, exchange.tenant, point, new)
        caller.note(connection, now, f"transfer-point/{point}", new.model_dump(mode="json"))

    await caller.write(write)
    return await get_transfer_points(request, caller)


@router.delete("/transfer-points/{point}", status_code=204)
async def drop_transfer_point(point: Id, request: Request, caller: Annotated[Caller, allow("exchange.write")]) -> None:
    """Nobody changes there any more; rides that were booked go on."""
    exchange, now = exchange_of(request, caller), caller.node.clock.now()

    def write(connection: Connection) -> None:
        if not transfer_points.drop(connection, exchange.tenant, point):
            raise Problem("not_found", f"no transfer point {point}")
        caller.note(connection, now, f"transfer-point/{point}", {"dropped": True})

    await caller.write(write)


def _points(found: dict[str, TransferPoint]) -> TransferPoints:
    return TransferPoints(points=[TransferPointOut(point=n, **p.model_dump(mode="json")) for n, p in found.items()])


@router.get("/agreements/{agreement}/settlement", response_model=RideSettlementOut)
async def get_settlement(
    agreement: Name, request: Request, caller: Annotated[Caller, allow("exchange.read")]
) -> RideSettlementOut:
    """What rides under an agreement came to."""
    exchange = exchange_of(request, caller)
    found = await exchange.read(lambda c: agreements.find(c, exchange.tenant, agreement))
    if found is None:
        raise Problem("not_found")
    lines = await exchange.read(lambda c: riding.settlement(c, exchange.tenant, agreement))
    return RideSettlementOut(
        agreement=agreement, role=found.role, participant=found.peer, rides=len(lines),
        total=sum(line["price"] for line in lines), lines=[SettlementLine(**line) for line in lines],
    )  # fmt: skip
