"""The protocol's messages: what each is called, where it is posted, how it is made, whether it is valid."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from noriai_api.exchange.protocol.states import Kind
from noriai_engine.model.errors import InputError

CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]
VERSION = "2025-1"
_BASE = "https://w3id.org/dspace/2025/1/"

Message = dict[str, Any]

NAMES: Mapping[tuple[Kind, str], tuple[str, str]] = {
    ("negotiation", "request"): ("ContractRequestMessage", "request"),
    ("negotiation", "offer"): ("ContractOfferMessage", "offers"),
    ("negotiation", "accept"): ("ContractNegotiationEventMessage", "events"),
    ("negotiation", "agree"): ("ContractAgreementMessage", "agreement"),
    ("negotiation", "verify"): ("ContractAgreementVerificationMessage", "agreement/verification"),
    ("negotiation", "finalize"): ("ContractNegotiationEventMessage", "events"),
    ("negotiation", "terminate"): ("ContractNegotiationTerminationMessage", "termination"),
    ("transfer", "request"): ("TransferRequestMessage", "request"),
    ("transfer", "start"): ("TransferStartMessage", "start"),
    ("transfer", "suspend"): ("TransferSuspensionMessage", "suspension"),
    ("transfer", "complete"): ("TransferCompletionMessage", "completion"),
    ("transfer", "terminate"): ("TransferTerminationMessage", "termination"),
}
"""(kind, message) -> its type, and the last part of the path it is posted to."""

EVENTS = {"ACCEPTED": "accept", "FINALIZED": "finalize"}

SCHEMAS: Mapping[str, str] = {
    "CatalogRequestMessage": "catalog/catalog-request-message", "Catalog": "catalog/catalog",
    "DatasetRequestMessage": "catalog/dataset-request-message", "Dataset": "catalog/dataset",
    "CatalogError": "catalog/catalog-error",
    "ContractRequestMessage": "negotiation/contract-request-message",
    "ContractOfferMessage": "negotiation/contract-offer-message",
    "ContractNegotiationEventMessage": "negotiation/contract-negotiation-event-message",
    "ContractAgreementMessage": "negotiation/contract-agreement-message",
    "ContractAgreementVerificationMessage": "negotiation/contract-agreement-verification-message",
    "ContractNegotiationTerminationMessage": "negotiation/contract-negotiation-termination-message",
    "ContractNegotiation": "negotiation/contract-negotiation",
    "ContractNegotiationError": "negotiation/contract-negotiation-error",
    "TransferRequestMessage": "transfer/transfer-request-message",
    "TransferStartMessage": "transfer/transfer-start-message",
    "TransferSuspensionMessage": "transfer/transfer-suspension-message",
    "TransferCompletionMessage": "transfer/transfer-completion-message",
    "TransferTerminationMessage": "transfer/transfer-termination-message",
    "TransferProcess": "transfer/transfer-process",
    "TransferError": "transfer/transfer-error",
    "VersionResponse": "common/protocol-version",
}  # fmt: skip
"""Message type -> its official schema."""


def pids(provider: str | None, consumer: str | None) -> Message:
    found = {"providerPid": provider, "consumerPid": consumer}
    return {name: value for name, value in found.items() if value is not None}


def made(kind: Kind, message: str, provider: str | None, consumer: str | None, **more: Any) -> Message:
    """A message of a process, its fields in the protocol's names."""
    name, _ = NAMES[kind, message]
    out: Message = {"@context": CONTEXT, "@type": name, **pids(provider, consumer), **more}
    if name == "ContractNegotiationEventMessage":
        out["eventType"] = "ACCEPTED" if message == "accept" else "FINALIZED"
    return out


def process(kind: Kind, provider: str, consumer: str, state: str) -> Message:
    """The answer that says where a process stands."""
    name = "ContractNegotiation" if kind == "negotiation" else "TransferProcess"
    return {"@context": CONTEXT, "@type": name, **pids(provider, consumer), "state": state}


def error(name: str, code: str, reason: str, provider: str | None = None, consumer: str | None = None) -> Message:
    """CatalogError, ContractNegotiationError or TransferError."""
    return {"@context": CONTEXT, "@type": name, **pids(provider, consumer), "code": code, "reason": [reason]}


def checked(message: Any, *names: str) -> Message:
    """The message itself, where it is one of the types named and valid under its official schema.

    Raises InputError with the place in the message that is wrong.
    """
    said = message.get("@type") if isinstance(message, dict) else None
    if said not in names:
        raise InputError(
            f"is {said!r}, not {' or '.join(names)}", where="@type", remedy="send the message of this path"
        )
    for found in sorted(_validator(str(said)).iter_errors(message), key=lambda e: list(map(str, e.absolute_path))):
        where = "/".join(map(str, found.absolute_path)) or "message"
        raise InputError(
            found.message[:300], where=where, remedy=f"see the schema of {said}, Dataspace Protocol {VERSION}"
        )
    return dict(message)


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft201909Validator

    return Draft201909Validator({"$ref": f"{_BASE}{SCHEMAS[name]}-schema.json"}, registry=_registry())


@cache
def _registry() -> Any:
    """All schemas by their id. Three of the published files lack a slash in a reference; it is added here."""
    from referencing import Registry, Resource

    found = []
    for file in files(__package__).joinpath("schemas").iterdir():
        if file.name.endswith(".json"):
            text = file.read_text(encoding="utf-8").replace("json#definitions/", "json#/definitions/")
            resource = Resource.from_contents(json.loads(text))
            found.append((str(resource.id()), resource))
    return Registry().with_resources(found)
