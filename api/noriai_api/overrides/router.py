"""HTTP of overrides and alerts."""

from typing import Annotated

from fastapi import APIRouter

from noriai_api.guard import COMMON, Caller, allow
from noriai_api.overrides import service
from noriai_api.overrides.schemas import AlertsOut, OverrideIn, OverrideOut, UndoneOut
from noriai_api.problems import described
from noriai_api.schemas import Id

router = APIRouter(prefix="/v1/regions/{region}", tags=["dispatch"], responses=COMMON)

Overrider = Annotated[Caller, allow("dispatch.override")]


@router.post("/overrides", response_model=OverrideOut, responses=described("not_found", "conflict", "store_down"))
async def override(region: Id, wish: OverrideIn, caller: Overrider) -> OverrideOut:
    """The operator's word. Tried first: everybody it touches, old and new times; then done, if the outcome is still
    the one shown."""
    return await service.override(caller, region, wish)


@router.post(
    "/overrides/{override}/undo", response_model=UndoneOut,
    responses=described("not_found", "conflict", "store_down"),
)  # fmt: skip
async def undo_override(region: Id, override: Id, caller: Overrider) -> UndoneOut:
    """Put back what an override did, as far as promises to others let it."""
    return await service.undo(caller, region, override)


@router.get("/alerts", response_model=AlertsOut, responses=described("not_found"))
async def get_alerts(region: Id, caller: Overrider) -> AlertsOut:
    """What a person should look at now: predicted lateness, silent vehicles, riders without a vehicle."""
    return await service.alerts(caller, region)
