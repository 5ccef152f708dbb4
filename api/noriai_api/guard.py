"""At the door of every route: who calls, whether they may, and how often.

A route says with `allow(action)` what it does; a route that says nothing fails a test.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import Connection

from noriai_api.access import audit
from noriai_api.access.decision import Grant, Resource, Subject, decide, granted
from noriai_api.node import Node
from noriai_api.problems import Problem, described

bearer = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key: `Bearer noriai_...`")


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
) -> Subject:
    """Who calls. Raises Problem (not_authenticated, too_many)."""
    client = None if credentials is None else await node.client(credentials.credentials)
    if client is None:
        raise Problem("not_authenticated", headers={"WWW-Authenticate": "Bearer"})
    if not request.app.state.rates.hit(client.subject):
        raise Problem("too_many", headers={"Retry-After": "60"})
    return client.subject


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
