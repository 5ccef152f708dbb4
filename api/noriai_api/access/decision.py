"""The decision point: one pure function that every route, stream and job asks, in the shape of OpenID AuthZEN 1.0.

Deny by default: an unknown role, action or resource is refused. A grant says not only that something is allowed but
on which rows, so that a list is filtered in its query and a refused object looks the same as an absent one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Reach = Literal["tenant", "operator", "client", "rider", "vehicle"]
"""Which rows of a tenant an action reaches: all, or those of the subject's own operator, client, rider or vehicle."""

ROLES = ("resident", "proxy", "partner", "vehicle", "dispatcher", "planner", "administrator", "neighbour")

_RIDES: Mapping[str, Reach] = {
    "resident": "rider", "proxy": "rider", "partner": "client", "dispatcher": "operator", "administrator": "tenant",
    "neighbour": "client",
}  # fmt: skip
_OFFICE: Mapping[str, Reach] = {"dispatcher": "operator", "administrator": "tenant"}
_ALL: Mapping[str, Reach] = dict.fromkeys(ROLES, "tenant")

ACTIONS: Mapping[str, Mapping[str, Reach]] = {
    "service.read": _ALL,
    "access.evaluate": _ALL,
    "booking.quote": _RIDES,
    "booking.create": _RIDES,
    "booking.read": {**_RIDES, "vehicle": "vehicle"},
    "booking.change": _RIDES,
    "booking.cancel": _RIDES,
    "rider.read": {"resident": "rider", "proxy": "rider", "partner": "client", **_OFFICE},
    "rider.write": {"resident": "rider", "proxy": "rider", "partner": "client", **_OFFICE},
    "rider.personal": {"resident": "rider", "dispatcher": "tenant", "administrator": "tenant"},
    "delegate.write": {"resident": "rider"},
    "rider.import": {"dispatcher": "tenant", "administrator": "tenant"},
    "fleet.read": {"vehicle": "vehicle", "planner": "tenant", **_OFFICE},
    "fleet.write": _OFFICE,
    "plan.read": {"vehicle": "vehicle", **_OFFICE},
    "vehicle.act": {"vehicle": "vehicle", **_OFFICE},
    "vehicle.report": {"vehicle": "vehicle", **_OFFICE},
    "dispatch.override": _OFFICE,
    "service.control": {"administrator": "tenant"},
    "kpi.read": {"planner": "tenant", **_OFFICE},
    "settlement.read": _OFFICE,
    "mds.read": {"planner": "tenant", "administrator": "tenant"},
    "mds.report": _OFFICE,
    "client.write": {"administrator": "tenant"},
    "webhook.write": {"partner": "client", "administrator": "tenant"},
    "audit.read": {"administrator": "tenant"},
    "broker.read": {"planner": "tenant", **_OFFICE},
    "broker.write": {"planner": "tenant", "administrator": "tenant"},
    "broker.idle": _OFFICE,
    "exchange.read": {"planner": "tenant", "administrator": "tenant"},
    "exchange.write": {"administrator": "tenant"},
}  # fmt: skip
"""Action -> role -> reach. A dispatcher without an operator of their own is the town's desk and reaches the tenant."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a delegate may book: rides of a day, and what those of a calendar month cost (minor units)."""

    rides_a_day: int | None
    most_a_month: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks: an authenticated client in one role of one tenant."""

    tenant: str
    client: str
    role: str
    operator: str | None = None
    vehicle: str | None = None
    rider: str | None = None
    scopes: frozenset[str] | None = None
    """Actions that it, or its token, is good for; None: all that the role may."""
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked about. `tenant` of None is the subject's own; other fields are of the row, where there is one."""

    type: str = ""
    id: str | None = None
    tenant: str | None = None
    operator: str | None = None
    client: str | None = None
    rider: str | None = None
    vehicle: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `reason` names why not; `reach` on which rows, where it is allowed."""

    allowed: bool
    reason: str
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to touch rows of one tenant, narrowed to those of one operator, client, rider or vehicle. Only
    `granted` makes one; repositories cannot be called without."""

    tenant: str
    action: str
    client: str
    only: Mapping[str, str] = field(default_factory=dict)
    """Column -> the one value a row must have in it."""

    def narrows(self, column: str) -> str | None:
        return self.only.get(column)


def decide(subject: Subject, action: str, resource: Resource | None = None) -> Decision:
    """May the subject do this to the resource? Without a resource: to any at all."""
    if subject.role not in ROLES:
        return Decision(False, "unknown_role")
    if action not in ACTIONS:
        return Decision(False, "unknown_action")
    reach = ACTIONS[action].get(subject.role)
    if reach is None:
        return Decision(False, "role_may_not")
    if subject.scopes is not None and action not in subject.scopes:
        return Decision(False, "not_in_scope")
    if reach == "operator" and subject.operator is None:
        reach = "tenant"
    own = None if reach == "tenant" else getattr(subject, reach)
    if reach != "tenant" and own is None:
        return Decision(False, "subject_is_nobody")
    if resource is not None:
        if resource.tenant not in (None, subject.tenant):
            return Decision(False, "other_tenant")
        if reach != "tenant" and getattr(resource, reach) not in (None, own):
            return Decision(False, "not_yours")
    return Decision(True, "role", reach)


def granted(subject: Subject, action: str) -> Grant | None:
    """A grant for an action, None where it is refused."""
    decision = decide(subject, action)
    if not decision.allowed:
        return None
    only: dict[str, str] = {}
    if decision.reach not in (None, "tenant"):
        only[decision.reach] = getattr(subject, decision.reach)
    return Grant(subject.tenant, action, subject.client, only)
