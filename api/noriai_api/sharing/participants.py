"""A participant of the exchange for each tenant of a node, with its keys beside the store."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import Request

from noriai_api.access.clients import all_tenants
from noriai_api.exchange.comparing import keep_evidence
from noriai_api.exchange.keys import Keyring, ProofError, PublicKey, new_key, public_key
from noriai_api.exchange.service import Exchange, Me
from noriai_api.exchange.workers import look_after_transfers, pass_on
from noriai_api.guard import Caller
from noriai_api.holding.process import HeldElsewhereError
from noriai_api.node import Node
from noriai_api.problems import Problem
from noriai_engine.model.errors import InputError, MissingDataError

KEY_DAYS = 398
OVERLAP_DAYS = 7
"""How long the key before still counts after a new one was made."""

MOUNT = "/exchange"


def exchanges_of(node: Node, address: str, *workers: Callable[[Exchange], Awaitable[None]]) -> dict[str, Exchange]:
    """Tenant -> its participant. `address`: of the node as others see it; `workers`: what else each has going on.

    Raises InputError.
    """
    settings = node.settings
    base = (settings.exchange_address or address).rstrip("/") + MOUNT
    authorities = _authorities(settings.authorities)
    found = {}
    for tenant in node.database.read(all_tenants):
        participant = settings.exchange_id or f"urn:noriai:node:{settings.tenant}"
        if tenant != settings.tenant:
            participant += f":{tenant}"
        exchange = Exchange(
            Me(tenant, participant, f"{base}/{tenant}"), node, node.database.upsert, node.clock, node.ids.new_id,
            _kept_keys(node, tenant), authorities, httpx.AsyncClient(timeout=settings.exchange_timeout_s),
            settings.exchange_nats,
        )  # fmt: skip
        exchange.workers += [look_after_transfers, keep_evidence, pass_on, *workers]
        found[tenant] = exchange
    return found


def _kept_keys(node: Node, tenant: str) -> Keyring:
    return Keyring.load(node.settings.data / f"exchange-keys-{tenant}.json")


def keys_of(node: Node, tenant: str) -> Keyring:
    """A tenant's keys, made if there are none yet. Asked by the one process that speaks for it."""
    keyring = _kept_keys(node, tenant)
    if not keyring.keys:
        now_s = node.clock.now() // 1000
        keyring.add(new_key(bytes.fromhex(node.new_secret()), now_s - 3600, now_s + KEY_DAYS * 86_400))
    return keyring


def exchange_of(request: Request, caller: Caller, *, speaks: bool = True) -> Exchange:
    """The participant of the caller's tenant. Raises Problem (not_found), and HeldElsewhereError where it must be the
    process that `speaks` for it, since others ask that one."""
    key = caller.node.first_region(caller.tenant)
    is_speaker = key in caller.node.process.held
    if speaks and not is_speaker:
        raise HeldElsewhereError(key)
    found = cast("dict[str, Exchange]", request.app.state.exchanges).get(caller.tenant)
    if found is None:
        raise Problem("not_found", "this tenant takes part once the node has been started again")
    if not is_speaker:
        found.keyring = _kept_keys(caller.node, caller.tenant)
    return found


def add_key(exchange: Exchange, secret: bytes) -> PublicKey:
    """A new key that signs from now on; the one before counts for some days more."""
    now_s = exchange.clock.now() // 1000
    made = new_key(secret, now_s, now_s + KEY_DAYS * 86_400)
    exchange.keyring.add(made, old_until=now_s + OVERLAP_DAYS * 86_400)
    return made.public


def _authorities(file: Path | None) -> dict[str, list[PublicKey]]:
    if file is None:
        return {}
    if not file.is_file():
        raise MissingDataError("is not there", where=file, remedy="name a file that exists, or leave authorities out")
    try:
        said: dict[str, list[Any]] = json.loads(file.read_text(encoding="utf-8"))
        return {name: [public_key(key) for key in keys] for name, keys in said.items()}
    except (ValueError, AttributeError, TypeError, ProofError) as error:
        raise InputError(
            f"is no list of authorities: {error}", where=file,
            remedy='write {"<authority>": [{"jwk": {...}, "nbf": 0, "exp": 4102444800}]}',
        ) from error  # fmt: skip
