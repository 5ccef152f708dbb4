"""At the door of every route: who calls, whether they may, and how often.

A route says with `allow(action)` what it does; a route that says nothing fails a test.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.http import HTTPBase
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import Connection

from noriai_api.access import audit
from noriai_api.access.decision import Grant, Resource, Subject, decide, granted
from noriai_api.identity import store as identity_store
from noriai_api.identity.jwts import TokenError
from noriai_api.identity.service import SAFE
from noriai_api.node import Node
from noriai_api.problems import Problem, described

T = TypeVar("T")

bearer = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key: `Bearer noriai_...`")
bound = HTTPBase(scheme="DPoP", auto_error=False, scheme_name="access_token",
                 description="A token of /oauth/token, with a proof in the header `DPoP` (RFC 9449)")  # fmt: skip
signed_in = APIKeyCookie(name="noriai_session", auto_error=False, scheme_name="session",
                         description="A sign-in's session (`__Host-noriai_session` over https)")  # fmt: skip

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
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._usual, self._vehicle = RateLimitItemPerMinute(per_minute), RateLimitItemPerMinute(10 * per_minute)

    def hit(self, subject: Subject) -> bool:
        """Count a request; False where it is one too many."""
        item = self._vehicle if subject.role == "vehicle" else self._usual
        return self._limiter.hit(item, subject.tenant, subject.client)


async def node_of(request: Request) -> Node:
    """async, since FastAPI would run it in a thread otherwise."""
    return cast(Node, request.app.state.node)


TheNode = Annotated[Node, Depends(node_of)]

COMMON = described("not_authenticated", "not_allowed", "invalid", "bad_request", "too_many", "busy", "too_large")
"""Problems that any route behind the guard may answer with."""


async def subject_of(
    request: Request,
    node: TheNode,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    token: Annotated[HTTPAuthorizationCredentials | None, Security(bound)],
    session: Annotated[str | None, Security(signed_in)],
) -> Subject:
    """Who calls. Raises Problem (not_authenticated, not_allowed, too_many)."""
    if token is not None and token.scheme.lower() == "dpop":
        subject = await _of_token(request, node, token.credentials)
    elif token is None:
        subject = await _of_session(request, node)
    else:
        client = None if credentials is None else await node.client(credentials.credentials)
        subject = None if client is None else client.subject
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
    return None if client is None else replace(client.subject, scopes=holder.scopes)


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


TheSubject = Annotated[Subject, Depends(subject_of)]


def allow(action: str) -> Any:
    """Dependency of a route that does `action`: the caller with a grant for it, or a Problem."""

    async def caller(node: TheNode, subject: TheSubject) -> Caller:
        grant = granted(subject, action)
        if grant is None:
            raise Problem("not_allowed", decide(subject, action).reason)
        return Caller(node, subject, grant)

    caller.action = action  # type: ignore[attr-defined]  # the matrix test reads it off the route
    return Depends(caller)


def action_of(dependency: Callable[..., Awaitable[Any]]) -> str | None:
    """The action a dependency guards, None for another dependency."""
    return getattr(dependency, "action", None)
