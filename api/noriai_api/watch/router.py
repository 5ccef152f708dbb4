"""Health, readiness and metrics: without a key, and without anything about anybody."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import generate_latest

from noriai_api.guard import TheNode
from noriai_api.problems import Problem, described
from noriai_api.schemas import Said
from noriai_api.watch import Watch

router = APIRouter(tags=["operation"])


class Health(Said):
    status: str


async def watch_of(request: Request) -> Watch:
    return cast(Watch, request.app.state.watch)


@router.get("/health/live", response_model=Health)
async def live() -> Health:
    """The process answers."""
    return Health(status="live")


@router.get("/health/ready", response_model=Health, responses=described("store_down", "not_ready"))
async def ready(node: TheNode) -> Health:
    """The node takes requests: its regions are rebuilt and its store answers."""
    if not node.is_ready:
        raise Problem("not_ready", headers={"Retry-After": "2"})
    try:
        await node.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    except Exception as error:
        raise Problem("store_down", headers={"Retry-After": "2"}) from error
    return Health(status="ready")


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(watch: Annotated[Watch, Depends(watch_of)]) -> PlainTextResponse:
    """Prometheus metrics."""
    watch.gather()
    return PlainTextResponse(generate_latest(watch.registry).decode(), media_type="text/plain; version=0.0.4")
