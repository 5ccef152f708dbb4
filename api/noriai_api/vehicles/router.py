"""HTTP of vehicles: plans to drivers, reports and positions from them."""

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, StreamingResponse

from noriai_api.bookings.router import Day
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.problems import described
from noriai_api.schemas import Id
from noriai_api.vehicles import service
from noriai_api.vehicles.calendar import calendar_of
from noriai_api.vehicles.schemas import PlanOut, PositionsIn, PositionsOut, PositionsTaken, StepIn

router = APIRouter(prefix="/v1", tags=["vehicles"], responses=COMMON)


@router.post("/vehicles/{vehicle}/positions", response_model=PositionsTaken, responses=described("not_found"))
async def report_positions(
    vehicle: Id, batch: PositionsIn, caller: Annotated[Caller, allow("vehicle.report")]
) -> PositionsTaken:
    """Where the vehicle was, in batches, in any order."""
    return await service.take_positions(caller, vehicle, batch)


@router.get("/vehicles/{vehicle}/plan", response_model=PlanOut, responses=described("not_found"))
async def get_plan(vehicle: Id, caller: Annotated[Caller, allow("plan.read")], day: Day | None = None) -> PlanOut:
    """What the vehicle is to do today, or on a day."""
    return await service.plan(caller, vehicle, day)


@router.get(
    "/vehicles/{vehicle}/plan/stream", response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **described("not_found")},
)  # fmt: skip
async def stream_plan(vehicle: Id, caller: Annotated[Caller, allow("plan.read")]) -> StreamingResponse:
    """The plan as server-sent events: now, and whenever it changes."""
    return StreamingResponse(await service.plan_stream(caller, vehicle), media_type="text/event-stream")


@router.get(
    "/vehicles/{vehicle}/calendar.ics", response_class=PlainTextResponse,
    responses={200: {"content": {"text/calendar": {}}}, **described("not_found")},
)  # fmt: skip
async def get_calendar(
    vehicle: Id, caller: Annotated[Caller, allow("plan.read")], day: Day | None = None,
    language: Literal["en", "ja"] = "ja",
) -> PlainTextResponse:  # fmt: skip
    """The vehicle's day as a calendar (iCalendar)."""
    plan = await service.plan(caller, vehicle, day)
    return PlainTextResponse(calendar_of(plan, language, caller.node.clock.now()), media_type="text/calendar")


@router.post(
    "/vehicles/{vehicle}/steps", response_model=PlanOut, responses=described("not_found", "conflict", "store_down")
)
async def report_step(vehicle: Id, said: StepIn, caller: Annotated[Caller, allow("vehicle.act")]) -> PlanOut:
    """The driver reports: shift started, arrived, boarding or alighting begun or ended, nobody there. The answer is
    the plan that follows. Repeating a report changes nothing."""
    return await service.step(caller, vehicle, said)


@router.get("/regions/{region}/positions", response_model=PositionsOut, responses=described("not_found"))
async def get_positions(region: Id, caller: Annotated[Caller, allow("fleet.read")]) -> PositionsOut:
    """Where vehicles within reach are."""
    return await service.positions(caller, region)
