"""The protocol's two state machines as tables: (state, sender, message) -> state. What is not in them is illegal.

Source: Dataspace Protocol 2025-1, sections 5.1 (contract negotiation) and 7.1 (transfer process).
"""

from collections.abc import Mapping
from typing import Literal

Role = Literal["consumer", "provider"]
Kind = Literal["negotiation", "transfer"]
Move = tuple[str | None, Role, str]

ROLES: tuple[Role, Role] = ("consumer", "provider")


def _each(sender: Role | None, message: str, state: str, *froms: str | None) -> dict[Move, str]:
    senders = ROLES if sender is None else (sender,)
    return {(before, who, message): state for before in froms for who in senders}


NEGOTIATION: Mapping[Move, str] = {
    **_each("consumer", "request", "REQUESTED", None, "OFFERED"),
    **_each("provider", "offer", "OFFERED", None, "REQUESTED"),
    **_each("consumer", "accept", "ACCEPTED", "OFFERED"),
    **_each("provider", "agree", "AGREED", "REQUESTED", "ACCEPTED"),
    **_each("consumer", "verify", "VERIFIED", "AGREED"),
    **_each("provider", "finalize", "FINALIZED", "VERIFIED"),
    **_each(None, "terminate", "TERMINATED", "REQUESTED", "OFFERED"),
    **_each("provider", "terminate", "TERMINATED", "ACCEPTED", "VERIFIED"),
    **_each("consumer", "terminate", "TERMINATED", "AGREED"),
}

TRANSFER: Mapping[Move, str] = {
    **_each("consumer", "request", "REQUESTED", None),
    **_each("provider", "start", "STARTED", "REQUESTED"),
    **_each(None, "start", "STARTED", "SUSPENDED"),
    **_each(None, "suspend", "SUSPENDED", "STARTED"),
    **_each(None, "complete", "COMPLETED", "STARTED"),
    **_each(None, "terminate", "TERMINATED", "REQUESTED", "STARTED", "SUSPENDED"),
}

TABLES: Mapping[Kind, Mapping[Move, str]] = {"negotiation": NEGOTIATION, "transfer": TRANSFER}

FINAL: Mapping[Kind, tuple[str, ...]] = {
    "negotiation": ("TERMINATED", "FINALIZED"),
    "transfer": ("TERMINATED", "COMPLETED"),
}
"""States without a way out; where two sides ended in different ones at the same time, the first outranks the other."""

STATES: Mapping[Kind, tuple[str, ...]] = {
    "negotiation": ("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED"),
    "transfer": ("REQUESTED", "STARTED", "SUSPENDED", "COMPLETED", "TERMINATED"),
}


def after(kind: Kind, state: str | None, sender: Role, message: str) -> str | None:
    """The state a message leads to, None where it is illegal. `state` of None: there is no process yet."""
    return TABLES[kind].get((state, sender, message))


def other(role: Role) -> Role:
    """The role of the one on the other side."""
    return "provider" if role == "consumer" else "consumer"


def settled(kind: Kind, ours: str, theirs: str) -> str:
    """What we are in once we learn that the other side is in `theirs` and takes no message of ours: a final state wins,
    and of two final ones the safer."""
    final = FINAL[kind]
    ended = [state for state in final if state in (ours, theirs)]
    return ended[0] if ended else ours
