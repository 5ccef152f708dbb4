"""Contract negotiation: what each message carries, and what we do next.

A dataset is negotiated by rule, or, where it is marked `manual`, by a person who makes each move. By rule a provider
agrees to its own terms and offers them to whoever asks for others; a consumer accepts terms that allow what it wants,
and verifies an agreement that says what was on the table.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from noriai_api.digests import canonical
from noriai_api.exchange import agreements, catalogue, processes
from noriai_api.exchange.processes import Here, Process
from noriai_api.exchange.protocol.messages import Message
from noriai_api.exchange.protocol.states import Role
from noriai_api.exchange.terms import Use, terms_of
from noriai_engine.model.errors import InputError

MOST_ROUNDS = 3
_RULES = ("permission", "prohibition", "obligation", "profile")


def asked(
    connection: Connection, here: Here, peer: str, message: Message, address: str
) -> Process:  # fmt: skip
    """A consumer's first request. A second copy finds the negotiation that the first one began.

    Raises InputError for a dataset that they cannot see, or terms that have no meaning here.
    """
    known = processes.of_peer(connection, here.tenant, "negotiation", "provider", peer, message["consumerPid"])
    if known is not None:
        return known
    offer = message["offer"]
    dataset = catalogue.dataset_for(connection, here.tenant, str(offer.get("target")), peer)
    if dataset is None:
        raise InputError("is no dataset of ours", where="offer/target", remedy="ask for the catalogue")
    terms_of(offer)
    process = processes.create(
        connection, here, kind="negotiation", role="provider", peer=peer, peer_pid=message["consumerPid"],
        peer_address=address, state="REQUESTED", subject=dataset.dataset, manual=dataset.manual,
        body={"offer": offer, "rounds": 0},
    )  # fmt: skip
    return _next(connection, here, process)


def offered(
    connection: Connection, here: Here, peer: str, message: Message, address: str
) -> Process:  # fmt: skip
    """A provider's first offer to us. It waits for a person. Raises InputError for terms without a meaning here."""
    known = processes.of_peer(connection, here.tenant, "negotiation", "consumer", peer, message["providerPid"])
    if known is not None:
        return known
    terms_of(message["offer"])
    return processes.create(
        connection, here, kind="negotiation", role="consumer", peer=peer, peer_pid=message["providerPid"],
        peer_address=address, state="OFFERED", subject=message["offer"]["target"], manual=True,
        body={"offer": message["offer"]},
    )  # fmt: skip


def take(
    connection: Connection, here: Here, peer: str, pid: str, name: str, message: Message, message_id: str | None
) -> Process:
    """A message for a negotiation there is. Raises UnknownProcessError, IllegalMessageError, InputError."""
    process = processes.find(connection, here.tenant, pid, "negotiation")
    if process.peer != peer:
        raise processes.UnknownProcessError(f"no process {pid}")
    process = processes.met(connection, here, process, message)
    more: dict[str, Any] = {}
    if name in ("request", "offer"):
        offer = message["offer"]
        if offer.get("target", process.subject) != process.subject:
            raise InputError("is another dataset", where="offer/target", remedy="begin a negotiation of its own")
        terms_of(offer)
        more = {"offer": {**offer, "target": process.subject}, "rounds": process.body.get("rounds", 0) + 1}
    elif name == "agree":
        more = {"agreement": message["agreement"]}
    elif name == "terminate":
        more = {"ended": message.get("reason") or [message.get("code", "")]}
    process = processes.heard(connection, here, process, name, message_id, **more)
    if process.state == "FINALIZED":
        agreements.conclude(connection, here, process)
    return _next(connection, here, process)


def ask(
    connection: Connection, here: Here, peer: str, address: str, dataset: str, offer: Message, *, purpose: str | None,
    manual: bool = False,
) -> Process:  # fmt: skip
    """Ask a provider for a dataset on the terms of an offer (its own, or others)."""
    terms_of(offer)
    offer = {**offer, "target": dataset}
    process = processes.create(
        connection, here, kind="negotiation", role="consumer", peer=peer, peer_pid=None, peer_address=address,
        state="REQUESTED", subject=dataset, manual=manual, body={"offer": offer, "purpose": purpose},
    )  # fmt: skip
    processes.post(connection, here, process, "request", None, {"offer": offer, "callbackAddress": here.address})
    return process


def propose(connection: Connection, here: Here, peer: str, address: str, dataset: str) -> Process:
    """Offer a dataset of ours to a participant who has not asked. Raises InputError where they cannot see it."""
    found = catalogue.dataset_for(connection, here.tenant, dataset, peer)
    if found is None:
        raise InputError(f"{dataset} is not offered to {peer}", where="dataset", remedy="add them to its viewers")
    offer = {**found.offer, "target": dataset}
    process = processes.create(
        connection, here, kind="negotiation", role="provider", peer=peer, peer_pid=None, peer_address=address,
        state="OFFERED", subject=dataset, manual=found.manual, body={"offer": offer, "rounds": 0},
    )  # fmt: skip
    processes.post(connection, here, process, "offer", None, {"offer": offer, "callbackAddress": here.address})
    return process


def act(
    connection: Connection, here: Here, process: Process, move: str, *, offer: Message | None = None,
    reason: str | None = None,
) -> Process:  # fmt: skip
    """Make a move of ours. Raises IllegalMessageError, InputError."""
    fields: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if process.peer_pid is None:
        raise processes.IllegalMessageError(process, move)
    if move in ("request", "offer"):
        offer = {**(offer or process.body["offer"]), "target": process.subject}
        terms_of(offer)
        fields, more = {"offer": offer}, {"offer": offer}
    elif move == "agree":
        when = datetime.fromtimestamp(here.now / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        agreement = agreements.drawn_up(here, process, when)
        fields, more = {"agreement": agreement}, {"agreement": agreement}
    elif move == "terminate":
        fields, more = {"code": "ended", "reason": [reason or "ended"]}, {"ended": [reason or "ended"]}
    process = processes.tell(connection, here, process, move, fields=fields, **more)
    if process.state == "FINALIZED":
        agreements.conclude(connection, here, process)
    return process


def _next(connection: Connection, here: Here, process: Process) -> Process:
    """What follows by rule."""
    if process.manual:
        return process
    make: dict[tuple[Role, str], Any] = {
        ("provider", "REQUESTED"): _answer_request, ("provider", "ACCEPTED"): _answer_acceptance,
        ("provider", "VERIFIED"): lambda *_: ("finalize", None), ("consumer", "OFFERED"): _answer_offer,
        ("consumer", "AGREED"): _answer_agreement,
    }  # fmt: skip
    answer = make.get((process.role, process.state))
    if answer is None:
        return process
    move, said = answer(connection, here, process)
    offer, reason = (said, None) if move == "offer" else (None, said)
    return act(connection, here, process, move, offer=offer, reason=reason)


def _answer_request(connection: Connection, here: Here, process: Process) -> tuple[str, Any]:
    dataset = catalogue.dataset_for(connection, here.tenant, process.subject, process.peer)
    if dataset is None:
        return "terminate", "no longer offered"
    if not terms_of(dataset.offer).judge(Use(process.peer)).allowed:
        return "terminate", "not offered to you"
    if same_terms(process.body["offer"], dataset.offer):
        return "agree", None
    if process.body["rounds"] >= MOST_ROUNDS:
        return "terminate", "we do not find terms that both want"
    return "offer", dataset.offer


def _answer_acceptance(connection: Connection, here: Here, process: Process) -> tuple[str, Any]:
    return "agree", None


def _answer_offer(connection: Connection, here: Here, process: Process) -> tuple[str, Any]:
    verdict = terms_of(process.body["offer"]).judge(Use(here.participant, process.body.get("purpose")))
    return ("accept", None) if verdict.allowed else ("terminate", f"{verdict.operand} does not fit")


def _answer_agreement(connection: Connection, here: Here, process: Process) -> tuple[str, Any]:
    agreement = process.body["agreement"]
    whole = (agreement["target"], agreement["assigner"], agreement["assignee"])
    fits = whole == (process.subject, process.peer, here.participant)
    if fits and same_terms(agreement, process.body["offer"]):
        return "verify", None
    return "terminate", "the agreement is not what was offered"


def same_terms(one: Message, another: Message) -> bool:
    """Do two policies have the same rules, to the byte of their canonical form?"""
    return canonical([one.get(name) for name in _RULES]) == canonical([another.get(name) for name in _RULES])
