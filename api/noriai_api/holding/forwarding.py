"""Requests that reach a process which does not hold their region go on to the one that does.

Whatever a route does before it asks a region is reading only, so that a request may begin here and be done there from
its beginning, with the caller's own credentials: processes need not trust each other. Where the holder is gone, this
process takes the region over and answers itself.
"""

import asyncio
from collections.abc import Callable

import httpx
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noriai_api.holding.leases import Key, Peer
from noriai_api.holding.process import HeldElsewhereError, Process
from noriai_api.problems import Problem

PROCESS = b"x-noriai-process"
"""Header of every answer: the process that gave it."""
HOPS = b"x-noriai-hops"
MOST_HOPS = 3
ANSWER_S = 120.0
LOOK_S = 0.2
"""How often it is asked whether the process that is to answer is still there."""
_OF_THE_LINE = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"date", b"server", PROCESS}

log = structlog.get_logger("noriai.holding")


async def process_at(address: str) -> str | None:
    """Which process answers at an address; "": nobody listens there, None: no answer in time."""
    try:
        async with httpx.AsyncClient(timeout=1.0) as http:
            answer = await http.get(f"{address}/health/live")
            return str(answer.headers.get(PROCESS.decode(), ""))
    except httpx.ConnectError:
        return ""
    except httpx.HTTPError:
        return None


class Forwarding:
    """The application, or the process that can answer. `speaker`: the region whose holder alone answers a path, for
    paths that belong to no route of ours."""

    def __init__(
        self, app: ASGIApp, process: Process, http: httpx.AsyncClient, speaker: Callable[[str], Key | None]
    ) -> None:
        self._app, self._process, self._http, self._speaker = app, process, http, speaker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        heard: list[Message] = []
        has_begun = False

        async def kept() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                heard.append(message)
            return message

        async def marked(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message["headers"], (PROCESS, self._process.name.encode())]
            await send(message)

        try:
            await self._here(scope, kept, marked)
        except HeldElsewhereError as error:
            if has_begun:
                raise
            await self._there(scope, _Again(heard, receive), marked, send, error.key)

    async def _here(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._speaker(scope["path"])
        if key is not None:
            await self._process.check(key)
        await self._app(scope, receive, send)

    async def _there(self, scope: Scope, again: "_Again", marked: Send, send: Send, key: Key) -> None:
        """Send the request on until somebody answers. Raises Problem (busy) where nobody can for now."""
        said = dict(scope["headers"]).get(HOPS, b"0")
        hops = int(said) if said.isdigit() and len(said) < 3 else MOST_HOPS
        for _ in range(MOST_HOPS):
            try:
                holder = await self._process.whereabouts(key)
                if holder is None:
                    await self._here(scope, again.receiving(), marked)
                    return
            except HeldElsewhereError as error:
                key = error.key
                continue
            except TimeoutError:
                break
            if hops >= MOST_HOPS:
                break
            if await self._ask(holder, scope, await again.whole(), send, hops):
                return
            await self._process.suspect(holder)
        raise Problem("busy", headers={"Retry-After": "1"})

    async def _ask(self, holder: Peer, scope: Scope, body: bytes, send: Send, hops: int) -> bool:
        """Pass a request on for as long as the holder is there; False where another is to be asked."""
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        asking = asyncio.create_task(self._pass_on(holder, scope, body, noted, hops))
        try:
            while not asking.done() and self._process.is_there(holder):
                await asyncio.wait({asking}, timeout=LOOK_S)
        finally:
            asking.cancel()
        answered = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(answered[0], bool) and answered[0]:
            return True
        if isinstance(answered[0], Exception):
            raise answered[0]
        if has_begun:  # half an answer is out: nothing more can be said
            raise ConnectionError("the process that answered is gone")
        if answered[0] is False or _may_repeat(scope):
            return False
        raise Problem("busy", headers={"Retry-After": "1"})  # it may have been done there: only the caller can look

    async def _pass_on(self, holder: Peer, scope: Scope, body: bytes, send: Send, hops: int) -> bool:
        """The answer as it comes; False where nothing listens there."""
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = [(k, v) for k, v in scope["headers"] if k not in _OF_THE_LINE and k != HOPS]
        request = self._http.build_request(
            scope["method"], holder.address + path, content=body, headers=[*headers, (HOPS, str(hops + 1).encode())]
        )
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.ConnectError:
            return False
        except httpx.HTTPError as error:
            log.warning("no answer from the holder", error=type(error).__name__)
            if _may_repeat(scope):
                return False
            raise Problem("busy", headers={"Retry-After": "1"}) from error
        self._process.counts["forwarded"] += 1
        try:
            answered = [(k.lower(), v) for k, v in answer.headers.raw if k.lower() not in _OF_THE_LINE]
            answered.append((PROCESS, answer.headers.get(PROCESS.decode(), "").encode()))
            await send({"type": "http.response.start", "status": answer.status_code, "headers": answered})
            async for part in answer.aiter_raw():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()
        return True


def client() -> httpx.AsyncClient:
    """What requests are passed on with: streams among them stay open as long as the caller wants."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(ANSWER_S, connect=1.0), limits=httpx.Limits(max_connections=None), follow_redirects=False
    )


def _may_repeat(scope: Scope) -> bool:
    """Whether a request has the same effect when it is done twice: what only reads, and what carries a key."""
    return scope["method"] in ("GET", "HEAD") or any(name == b"idempotency-key" for name, _ in scope["headers"])


class _Again:
    """A request's body, part of which may have been read before."""

    def __init__(self, heard: list[Message], receive: Receive) -> None:
        self._heard, self._receive = heard, receive

    async def whole(self) -> bytes:
        while not self._heard or self._heard[-1].get("more_body", False):
            message = await self._receive()
            if message["type"] != "http.request":  # the caller is gone
                break
            self._heard.append(message)
        return b"".join(message.get("body", b"") for message in self._heard)

    def receiving(self) -> Receive:
        """From the beginning."""
        heard = list(self._heard)

        async def receive() -> Message:
            if heard:
                return heard.pop(0)
            message = await self._receive()
            if message["type"] == "http.request":
                self._heard.append(message)
            return message

        return receive
