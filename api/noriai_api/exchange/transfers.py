"""Transfer processes: data under an agreement, pulled or pushed, once or for as long as it lasts."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from noriai_api.exchange import agreements, catalogue, processes
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.processes import Here, Process
from noriai_api.exchange.protocol.messages import Message
from noriai_api.exchange.terms import PURPOSES, Use
from noriai_engine.model.errors import InputError

PURPOSE = "urn:noriai:terms:purpose"
"""Member of a transfer request that names the purpose of what is pushed; a pull names it with each request."""

ENDPOINT = "https://w3id.org/idsa/v4.1/HTTP"
NATS = "urn:noriai:endpoint:nats"
PUSHED = (catalogue.PUSH, catalogue.STREAM_PUSH)
REVOKED = "revoked"
"""Code of the termination that tells that an agreement was taken back."""
MOVES = {"start", "suspend", "complete", "terminate"}


def address_of(endpoint: str, token: str | None = None, way: str = catalogue.PULL) -> Message:
    """A data address: where to fetch or to send, and with which token, or key of pages on a bus."""
    is_bus = way == catalogue.BUS
    out: Message = {"@type": "DataAddress", "endpointType": NATS if is_bus else ENDPOINT, "endpoint": endpoint}
    if token is not None:
        named = {"authorization": token, "authType": "A256GCM" if is_bus else "DPoP"}
        out["endpointProperties"] = [
            {"@type": "EndpointProperty", "name": name, "value": value} for name, value in named.items()
        ]
    return out


def token_of(address: Message) -> str | None:
    """The token in a data address."""
    properties = address.get("endpointProperties") or ()
    return next((str(part["value"]) for part in properties if part["name"] == "authorization"), None)


def asked(
    connection: Connection, here: Here, peer: str, message: Message, address: str,
    token_for: Callable[[Process, int], str],
) -> Process:  # fmt: skip
    """A consumer's request; by rule it starts at once.

    Raises InputError where no agreement in force, or no such way of transfer, covers it.
    """
    known = processes.of_peer(connection, here.tenant, "transfer", "provider", peer, message["consumerPid"])
    if known is not None:
        return known
    agreement = agreements.find(connection, here.tenant, message["agreementId"])
    if agreement is None or agreement.peer != peer or agreement.role != "provider" or agreement.revoked is not None:
        raise InputError("is no agreement in force", where="agreementId", remedy="negotiate one")
    dataset = catalogue.described(connection, here.tenant, agreement.dataset)
    no_bus = message["format"] == catalogue.BUS and not here.bus
    if dataset is None or message["format"] not in dataset.about.formats or no_bus:
        raise InputError("is no way this dataset moves", where="format", remedy="take one of its distributions")
    purpose = message.get(PURPOSE)
    verdict = agreement.terms.judge(Use(peer, purpose, here.now, agreement.finalized))
    if purpose not in {None, *PURPOSES} or not verdict.allowed:
        raise InputError(f"is not allowed: {verdict.operand}", where=PURPOSE, remedy="name a purpose of the agreement")
    if message["format"] in PUSHED and (purpose is None or "endpoint" not in message.get("dataAddress", {})):
        raise InputError("is missing", where=f"dataAddress/endpoint, {PURPOSE}", remedy="say where to send, and why")
    process = processes.create(
        connection, here, kind="transfer", role="provider", peer=peer, peer_pid=message["consumerPid"],
        peer_address=address, state="REQUESTED", subject=agreement.agreement, manual=dataset.manual,
        body={"format": message["format"], "address": message.get("dataAddress"), "purpose": purpose,
              "dataset": dataset.dataset, "kind": dataset.about.kind, "epoch": agreement.epoch, "cursor": -1,
              "schema": [dataset.about.schema_id, dataset.about.schema_version]},
    )  # fmt: skip
    if process.manual:
        return process
    return act(connection, here, process, "start", token=token_for(process, agreement.epoch))


def take(
    connection: Connection, here: Here, peer: str, pid: str, name: str, message: Message, message_id: str | None
) -> Process:
    """A message for a transfer there is. Raises UnknownProcessError, IllegalMessageError, InputError."""
    process = processes.find(connection, here.tenant, pid, "transfer")
    if process.peer != peer:
        raise processes.UnknownProcessError(f"no process {pid}")
    process = processes.met(connection, here, process, message)
    more: dict[str, Any] = {}
    if name == "start" and process.role == "consumer" and "dataAddress" in message:
        more = {"address": message["dataAddress"]}
    elif name in ("terminate", "suspend"):
        more = {"ended": message.get("reason") or [message.get("code", "")]}
        if name == "terminate" and process.role == "consumer" and message.get("code") == REVOKED:
            agreements.fell_away(connection, here, process.subject)
    return processes.heard(connection, here, process, name, message_id, **more)


def ask(
    connection: Connection, here: Here, agreement: Agreement, address: str, way: str, purpose: str, *,
    manual: bool = False,
) -> Process:  # fmt: skip
    """Ask the provider of an agreement for its data."""
    process = processes.create(
        connection, here, kind="transfer", role="consumer", peer=agreement.peer, peer_pid=None, peer_address=address,
        state="REQUESTED", subject=agreement.agreement, manual=manual,
        body={"format": way, "purpose": purpose, "dataset": agreement.dataset, "cursor": -1},
    )  # fmt: skip
    fields: dict[str, Any] = {
        "agreementId": agreement.agreement, "format": way, "callbackAddress": here.address, PURPOSE: purpose
    }  # fmt: skip
    if way in PUSHED:
        fields["dataAddress"] = address_of(f"{here.address.removesuffix('/dsp')}/inbox/{process.process}")
    processes.post(connection, here, process, "request", None, fields)
    return process


def act(
    connection: Connection, here: Here, process: Process, move: str, *, token: str | None = None,
    reason: str | None = None,
) -> Process:  # fmt: skip
    """Make a move of ours. `token`: of the data address that a provider starts a pull with. Raises
    IllegalMessageError."""
    if process.peer_pid is None:
        raise processes.IllegalMessageError(process, move)
    fields: dict[str, Any] = {}
    if move == "start" and process.role == "provider" and process.body["format"] not in PUSHED:
        way = process.body["format"]
        endpoint = here.bus if way == catalogue.BUS else f"{here.address.removesuffix('/dsp')}/data/{process.process}"
        fields["dataAddress"] = address_of(endpoint, token, way)
    elif move in ("terminate", "suspend"):
        fields |= {"code": move, "reason": [reason or move]}
    return processes.tell(connection, here, process, move, fields=fields)
