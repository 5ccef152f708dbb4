"""HTTP of the broker's desk."""

from typing import Annotated

from fastapi import APIRouter

from noriai_api.broker import desk
from noriai_api.broker import schemas as s
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import described
from noriai_api.schemas import Id

router = APIRouter(prefix="/v1/broker", tags=["broker"], responses=COMMON)


@router.get("/idle", response_model=s.IdleList)
async def get_idle(caller: Annotated[Caller, allow("broker.read")]) -> s.IdleList:
    """Vehicles that have nothing to do at some hours of the week."""
    return await desk.idle_vehicles(caller)


@router.put("/idle/{idle}", response_model=s.IdleOut, responses=described("not_found", "store_down"))
async def put_idle(idle: Id, new: s.IdleIn, caller: Annotated[Caller, allow("broker.idle")]) -> s.IdleOut:
    """Say when a vehicle is idle: a taxi between peaks, a school bus at noon, a care home's van."""
    return await desk.put_idle(caller, idle, new)


@router.delete("/idle/{idle}", status_code=204, responses=described("not_found", "store_down"))
async def drop_idle(idle: Id, caller: Annotated[Caller, allow("broker.idle")]) -> None:
    """It is idle no longer."""
    await desk.drop_idle(caller, idle)


@router.post("/searches", response_model=s.SearchOut, responses=described("not_found", "store_down"))
async def search(wanted: s.SearchIn, caller: Annotated[Caller, allow("broker.write")]) -> s.SearchOut:
    """Unmet wishes that belong together, ours and what neighbours shared, and idle vehicles proposed for them.
    Proposals that were not answered are replaced."""
    return await desk.search(caller, wanted)


@router.get("/proposals", response_model=s.ProposalList)
async def get_proposals(caller: Annotated[Caller, allow("broker.read")]) -> s.ProposalList:
    """Proposals: an operator sees its own."""
    return await desk.listed(caller)


@router.post(
    "/proposals/{proposal}/answer", response_model=s.ProposalOut,
    responses=described("not_found", "conflict", "store_down"),
)  # fmt: skip
async def answer(proposal: Id, said: s.AnswerIn, caller: Annotated[Caller, allow("broker.idle")]) -> s.ProposalOut:
    """Accept or decline."""
    return await desk.answer(caller, proposal, said)
