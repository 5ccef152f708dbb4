"""The API as participants of ODS call it: below /ods, with `API-Key`, a bearer token of the data space's authorization
server, and `X-TrackingId`; errors as {code, message, detail}.

Key and token must be of one client: the key says which application calls, the token for whom. What follows is a request
like any other, decided by the same function.
"""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noriai_api.access.decision import Subject
from noriai_api.identity.jwts import TokenError

PREFIX = "/ods"
TRACKING = b"x-trackingid"
_CODES = {
    400: "[dataspace] BadRequest", 401: "[auth] Unauthorized", 403: "[auth] Forbidden", 404: "[dataspace] NotFound",
    405: "[dataspace] MethodNotAllowed", 409: "[dataspace] Conflict", 413: "[dataspace] PayloadTooLarge",
    422: "[dataspace] BadRequest", 429: "[dataspace] TooManyRequests", 503: "[dataspace] ServiceUnavailable",
}  # fmt: skip

log = structlog.get_logger("noriai.ods")


class OdsAdapter:
    """`of_key` and `of_token` say whose an API key and a bearer token are; the latter raises TokenError."""

    def __init__(
        self, app: ASGIApp, of_key: Callable[[str], Awaitable[Subject | None]],
        of_token: Callable[[str], Awaitable[tuple[str, str]]],
    ) -> None:  # fmt: skip
        self._app, self._of_key, self._of_token = app, of_key, of_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        tracking = headers.get(TRACKING, b"").decode("latin-1")
        if not _is_uuid(tracking):
            await _refuse(send, 400, "no tracking id", "send the header X-TrackingId with a UUID", "")
            return
        key = headers.get(b"api-key", b"").decode("latin-1")
        if not await self._is_one(key, headers.get(b"authorization", b"").decode("latin-1")):
            await _refuse(
                send, 401, "not authenticated", "send API-Key and Authorization: Bearer of one client", tracking
            )
            return
        log.info("request", tracking=tracking, method=scope["method"])
        kept = [(k, v) for k, v in scope["headers"] if k not in (b"authorization", b"api-key", b"cookie", b"dpop")]
        inner = {
            **scope, "path": scope["path"].removeprefix(PREFIX),
            "raw_path": scope["raw_path"].removeprefix(PREFIX.encode()),
            "headers": [*kept, (b"authorization", f"Bearer {key}".encode())],
        }  # fmt: skip
        await self._app(inner, receive, _Answer(send, tracking))

    async def _is_one(self, key: str, authorization: str) -> bool:
        """Whether key and token are of one client."""
        scheme, _, token = authorization.partition(" ")
        subject = await self._of_key(key) if key else None
        if subject is None or scheme.lower() != "bearer" or not token:
            return False
        try:
            return await self._of_token(token) == (subject.tenant, subject.client)
        except TokenError:
            return False


class _Answer:
    """Passes an answer on with the tracking id; problems become errors as ODS writes them."""

    def __init__(self, send: Send, tracking: str) -> None:
        self._send, self._tracking = send, tracking
        self._status, self._problem = 200, b""
        self._is_problem = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._is_problem = self._status >= 400
            if not self._is_problem:
                headers = [*message["headers"], (TRACKING, self._tracking.encode())]
                await self._send({**message, "headers": headers})
        elif not self._is_problem:
            await self._send(message)
        else:
            self._problem += message.get("body", b"")
            if not message.get("more_body", False):
                said = _document(self._problem)
                cause = said.get("cause", {})
                detail = " ".join(str(part) for part in (cause.get("ja", ""), said.get("detail", "")) if part)
                await _refuse(self._send, self._status, str(said.get("title", "error")), detail, self._tracking)


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _refuse(send: Send, status: int, message: str, detail: str, tracking: str) -> None:
    code = _CODES.get(status, "[dataspace] BadRequest" if status < 500 else "[dataspace] InternalServerError")
    body = json.dumps({"code": code, "message": message, "detail": detail}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if tracking:
        headers.append((TRACKING, tracking.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
