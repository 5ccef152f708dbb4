"""HTTP of events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from noriai_api.events import feed
from noriai_api.guard import COMMON, Caller, allow

router = APIRouter(prefix="/v1/events", tags=["events"], responses=COMMON)

STILL_HERE_S = 5.0


@router.get(
    "", response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def follow(
    caller: Annotated[Caller, allow("booking.read")],
    after: Annotated[
        int | None, Query(ge=0, le=2**53, description="number of the last event seen; none: from now on")
    ] = None,
    seen: Annotated[str | None, Header(alias="Last-Event-ID", pattern=r"^\d{1,15}$")] = None,
) -> StreamingResponse:
    """What happens to the bookings and waits within reach, as server-sent events, each once and in order. A client that
    comes again names the last number it saw (browsers do so by themselves) and misses nothing of the last month."""
    node = caller.node
    begin = int(seen) if seen is not None else after
    number = await node.read(feed.newest) if begin is None else begin
    return StreamingResponse(_stream(caller, number), media_type="text/event-stream")


async def _stream(caller: Caller, number: int) -> AsyncIterator[str]:
    node = caller.node
    yield ": here\n\n"
    while not node.is_draining:
        last = number
        page = await caller.read(lambda c, last=last: feed.within(c, caller.grant, last))  # type: ignore[misc]
        for event in page:
            yield f"id: {event.number}\nevent: {event.topic}\ndata: {event.body}\n\n"
            number = event.number
        if len(page) < feed.PAGE and not await node.news.heard(STILL_HERE_S):
            yield ": still here\n\n"
