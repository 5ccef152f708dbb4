"""Who the others are: nodes admitted by a signed membership, with their keys, and those we deny."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from noriai_api.exchange.corporate_numbers import is_corporate_number
from noriai_api.exchange.keys import KEYS, MEMBERSHIP, ProofError, PublicKey, issuer, opened, public_key
from noriai_api.store.exchange_tables import participants
from noriai_engine.model.errors import InputError

Authorities = Mapping[str, list[PublicKey]]
"""Authority -> its keys: who may say that somebody is a member."""

MEMBERSHIP_DAYS = 398


@dataclass(frozen=True, slots=True)
class Participant:
    """Another node as we know it."""

    participant: str
    address: str
    keys: list[PublicKey]
    allowed: bool
    valid_to: int
    """UTC seconds."""
    asked: int
    about: Mapping[str, Any]

    def counts(self, now_s: int) -> bool:
        return self.allowed and now_s < self.valid_to


def membership(
    sign: Any, authority: str, participant: str, address: str, keys: list[PublicKey], now_s: int, until_s: int, *,
    name: str = "", corporate_number: str | None = None,
) -> str:  # fmt: skip
    """A membership, signed by an authority's key (`sign`: its OwnKey)."""
    claims = {
        "iss": authority, "sub": participant, "address": address, "name": name, "iat": now_s, "exp": until_s,
        "keys": [key.as_json() for key in keys], "corporate_number": corporate_number,
    }  # fmt: skip
    return str(sign.sign(MEMBERSHIP, claims))


def admit(connection: Connection, upsert: Any, tenant: str, text: str, authorities: Authorities, now_s: int) -> str:
    """Take a participant in, or renew them; returns their id. A denied one stays denied.

    Raises InputError for a membership that is not signed by an authority of ours, has ended, or says nothing usable.
    """
    where, remedy = "membership", "ask the authority of the data space for a new one"
    try:
        authority = issuer(text)
        claims = opened(text, MEMBERSHIP, list(authorities.get(authority, ())), now_s)
        keys = [public_key(body) for body in claims["keys"]]
    except (ProofError, TypeError) as error:
        raise InputError(f"does not hold ({error})", where=where, remedy=remedy) from None
    if claims["iss"] != authority or not now_s < claims["exp"]:
        raise InputError("has ended", where=where, remedy=remedy)
    address = str(claims["address"])
    if not address.startswith(("http://", "https://")) or not keys:
        raise InputError("names no address and keys", where=where, remedy=remedy)
    number = claims.get("corporate_number")
    if number is not None and not is_corporate_number(number):
        raise InputError(f"{number} is no corporate number", where=where, remedy="its first digit checks the others")
    known = find(connection, tenant, claims["sub"])
    row = {
        "tenant": tenant, "participant": claims["sub"], "address": address.rstrip("/"), "membership": text,
        "keys": json.dumps([key.as_json() for key in keys]), "allowed": known is None or known.allowed,
        "valid_to": claims["exp"], "asked": 0,
    }  # fmt: skip
    connection.execute(upsert(participants), [row])
    return str(claims["sub"])


def find(connection: Connection, tenant: str, participant: str) -> Participant | None:
    where = (participants.c.tenant == tenant, participants.c.participant == participant)
    row = connection.execute(select(participants).where(*where)).mappings().first()
    return None if row is None else _participant(row)


def all_of(connection: Connection, tenant: str) -> list[Participant]:
    query = select(participants).where(participants.c.tenant == tenant).order_by(participants.c.participant)
    return [_participant(row) for row in connection.execute(query).mappings()]


def set_allowed(connection: Connection, tenant: str, participant: str, *, allowed: bool) -> bool:
    """Deny a participant, or allow them again; False where we know none."""
    where = (participants.c.tenant == tenant, participants.c.participant == participant)
    return connection.execute(update(participants).where(*where).values(allowed=allowed)).rowcount > 0


def keys_statement(sign: Any, participant: str, keys: list[PublicKey], now_s: int) -> str:
    """What a participant says its keys are, signed by one of them."""
    return str(sign.sign(KEYS, {"iss": participant, "keys": [key.as_json() for key in keys], "iat": now_s}))


def learn_keys(connection: Connection, tenant: str, known: Participant, text: str, now_s: int) -> list[PublicKey]:
    """Take over the keys a participant says it has now, where a key we know has signed it. Raises ProofError."""
    claims = opened(text, KEYS, known.keys, now_s)
    if claims["iss"] != known.participant:
        raise ProofError("wrong_issuer")
    keys = [public_key(body) for body in claims["keys"]]
    where = (participants.c.tenant == tenant, participants.c.participant == known.participant)
    connection.execute(update(participants).where(*where).values(keys=json.dumps([key.as_json() for key in keys])))
    return keys


def note_asked(connection: Connection, tenant: str, participant: str, now_s: int) -> None:
    where = (participants.c.tenant == tenant, participants.c.participant == participant)
    connection.execute(update(participants).where(*where).values(asked=now_s))


def _participant(row: Any) -> Participant:
    keys = [public_key(body) for body in json.loads(row["keys"])]
    payload = row["membership"].split(".")[1]
    about = json.loads(_b64(payload))
    shown = {name: about.get(name) for name in ("name", "corporate_number", "iss")}
    return Participant(row["participant"], row["address"], keys, row["allowed"], row["valid_to"], row["asked"], shown)


def _b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
