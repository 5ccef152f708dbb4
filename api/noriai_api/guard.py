"""At the door of every route: who calls, whether they may, and how often.

A route says with `allow(action)` what it does; a route that says nothing fails a test.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from threading import Timer
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Connection

from noriai_api.access import audit
from noriai_api.access.decision import Grant, Resource, Subject, decide, granted
from noriai_api.identity import store as identity_store
from noriai_api.identity.jwts import TokenError
from noriai_api.identity.service import SAFE
from noriai_api.node import Node
from noriai_api.problems import Problem, described

T = TypeVar("T")

SCHEMES = {
    "api_key": {"type": "http", "scheme": "bearer", "description": "An API key: `Bearer noriai_...`"},
    "access_token": {
        "type": "http", "scheme": "DPoP",
        "description": "A token of /oauth/token, with a proof in the header `DPoP` (RFC 9449)",
    },
    "session": {
        "type": "apiKey", "in": "cookie", "name": "noriai_session",
        "description": "A sign-in's session (`__Host-noriai_session` over https)",
    },
}  # fmt: skip
"""How a caller says who it is, as OpenAPI has it."""

KNOWN_WINDOWS = 20_000
"""Counts of requests that are kept before those that are over are looked for."""
REQUESTED = "Noriai-Request"
"""Header of requests in a session that change something: other sites cannot send it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client with the grant for what it is about to do."""

    node: Node
    subject: Subject
    grant: Grant

    def may(self, resource: Resource) -> None:
        """Raises Problem (not_found) where the resource is out of reach: it looks as if it were not there."""
        if not decide(self.subject, self.grant.action, resource).allowed:
            raise Problem("not_found")

    @property
    def tenant(self) -> str:
        return self.subject.tenant

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query that sees no rows of other tenants."""
        return await self.node.read(query, self.tenant)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Write a change that touches no rows of other tenants, and wait until it is durable."""
        return await self.node.write(change, self.tenant)

    def note(self, connection: Connection, now: int, resource: str, payload: Any, action: str | None = None) -> None:
        """Write what the caller does to the audit chain, in the transaction of what they do."""
        audit.append(
            connection, time=now, tenant=self.tenant, actor=self.subject.client, on_behalf_of=self.subject.rider,
            action=action or self.grant.action, resource=resource, payload=payload,
        )  # fmt: skip


class Rates:
    """Requests of each client in the last minute, over all routes."""

    def __init__(self, per_minute: int) -> None:
        self._storage = MemoryStorage()
        self._storage.timer.cancel()
        self._storage.timer = _NoTimer()  # it would start a thread a hundred times a second to clear up
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._most = KNOWN_WINDOWS
        self._usual, self._vehicle = RateLimitItemPerMinute(per_minute), RateLimitItemPerMinute(10 * per_minute)

    def hit(self, subject: Subject) -> bool:
        """Count a request; False where it is one too many."""
        if len(self._storage.expirations) > self._most:
            self._forget()
        item = self._vehicle if subject.role == "vehicle" else self._usual
        return self._limiter.hit(item, subject.tenant, subject.client)

    def _forget(self) -> None:
        for key in list(self._storage.expirations):
            self._storage.get(key)  # which drops those that are over
        self._most = max(KNOWN_WINDOWS, 2 * len(self._storage.expirations))


class _NoTimer(Timer):
    """Looks as if it were on its way already."""

    def __init__(self) -> None:
        super().__init__(0, lambda: None)

    def is_alive(self) -> bool:
        return True


async def node_of(request: Request) -> Node:
    """async, since FastAPI would run it in a thread otherwise."""
    return cast(Node, request.app.state.node)


TheNode = Annotated[Node, Depends(node_of)]

COMMON = described("not_authenticated", "not_allowed", "invalid", "bad_request", "too_many", "busy", "too_large")
"""Problems that any route behind the guard may answer with."""


async def subject_of(request: Request, node: Node) -> Subject:
    """Who calls. Raises Problem (not_authenticated, not_allowed, too_many)."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "dpop":
        subject = await _of_token(request, node, credentials)
    elif scheme.lower() == "bearer":
        client = await node.client(credentials)
        subject = None if client is None else client.subject
    elif not scheme:
        subject = await _of_session(request, node)
    else:
        subject = None
    if subject is None:
        raise Problem("not_authenticated", headers={"WWW-Authenticate": 'Bearer, DPoP algs="ES256 EdDSA"'})
    if not request.app.state.rates.hit(subject):
        raise Problem("too_many", headers={"Retry-After": "60"})
    return subject


async def _of_token(request: Request, node: Node, token: str) -> Subject | None:
    """The holder of an access token that comes with a proof of its key."""
    proofs = request.headers.getlist("DPoP")
    try:
        if len(proofs) != 1:
            raise TokenError("no_proof")
        holder = await node.identity.holder(token, proofs[0], request.method, url_of(request, node))
    except TokenError as error:
        node.identity.note(error.code, "access token")
        return None
    client = await node.client_named(holder.tenant, holder.client)
    if client is None:
        return None
    own, asked = client.subject.scopes, holder.scopes
    return replace(client.subject, scopes=own if asked is None else asked if own is None else own & asked)


async def _of_session(request: Request, node: Node) -> Subject | None:
    """Whoever signed in. Raises Problem (not_allowed) for a change that another site may have sent."""
    secret = request.cookies.get(session_cookie(safe=url_of(request, node).startswith("https:")))
    if not secret:
        return None
    found = await node.read(lambda c: identity_store.session(c, secret, node.clock.now()))
    client = None if found is None else await node.client_named(*found)
    if client is None:
        return None
    if request.method not in SAFE and REQUESTED not in request.headers:
        raise Problem("not_allowed", f"a request in a session carries the header {REQUESTED}")
    return client.subject


def session_cookie(*, safe: bool) -> str:
    """The cookie's name: over https one that no other host can set (RFC 6265bis)."""
    return "__Host-noriai_session" if safe else "noriai_session"


def url_of(request: Request, node: Node, path: str | None = None) -> str:
    """A request's address as its caller wrote it, without query; another path of the same place."""
    here = node.settings.public_address or f"{request.url.scheme}://{request.url.netloc}"
    return here + (request.scope["raw_path"].decode("latin-1") if path is None else path)


def allow(action: str) -> Any:
    """Dependency of a route that does `action`: the caller with a grant for it, or a Problem.

    One dependency does it all: FastAPI takes longer to resolve each than most of them do."""

    async def caller(request: Request) -> Caller:
        node: Node = request.app.state.node
        subject = await subject_of(request, node)
        grant = granted(subject, action)
        if grant is None:
            raise Problem("not_allowed", decide(subject, action).reason)
        return Caller(node, subject, grant)

    caller.action = action  # type: ignore[attr-defined]  # OpenAPI and the matrix test read it off the route
    return Depends(caller)


def guarded(routers: Iterable[APIRouter]) -> dict[tuple[str, str], str]:
    """(method, path) -> action, for every route that says one."""
    return {
        (method, route.path): action
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies
        if dependency.call is not None and (action := action_of(dependency.call)) is not None
        for method in route.methods or ()
    }


def action_of(dependency: Callable[..., Awaitable[Any]]) -> str | None:
    """The action a dependency guards, None for another dependency."""
    return getattr(dependency, "action", None)
