"""Rows of identity: clients' public keys, people's identities at providers, invitations, sessions, ids used up."""

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from noriai_api.access.decision import Grant
from noriai_api.store.tables import client_keys, identities, invitations, sessions, used_ids


def hash_of(secret: str) -> str:
    """Secrets have 256 random bits: a plain hash keeps them."""
    return hashlib.sha256(secret.encode()).hexdigest()


# --- keys of machines -------------------------------------------------------------------------------------------


def add_key(
    connection: Connection, grant: Grant, client: str, thumbprint: str, jwk: dict[str, Any], now: int, expires: int
) -> bool:
    """Write a client's public key; False where it is there already, whosever it is."""
    if connection.execute(select(client_keys.c.client).where(client_keys.c.thumbprint == thumbprint)).first():
        return False
    connection.execute(
        insert(client_keys).values(
            tenant=grant.tenant, client=client, thumbprint=thumbprint, jwk=json.dumps(jwk), created=now,
            expires=expires, revoked=None,
        )
    )  # fmt: skip
    return True


def keys_of(connection: Connection, tenant: str, client: str) -> list[dict[str, Any]]:
    """A client's keys, those that count no longer too."""
    where = (client_keys.c.tenant == tenant, client_keys.c.client == client)
    rows = connection.execute(select(client_keys).where(*where).order_by(client_keys.c.created)).mappings()
    return [dict(row) | {"jwk": json.loads(row["jwk"])} for row in rows]


def revoke_key(connection: Connection, grant: Grant, client: str, thumbprint: str, now: int) -> bool:
    where = (client_keys.c.tenant == grant.tenant, client_keys.c.client == client,
             client_keys.c.thumbprint == thumbprint, client_keys.c.revoked.is_(None))  # fmt: skip
    return connection.execute(update(client_keys).where(*where).values(revoked=now)).rowcount > 0


# --- people -----------------------------------------------------------------------------------------------------


def client_of(connection: Connection, tenant: str, issuer: str, subject: str) -> str | None:
    """Whom a provider's subject is, in a tenant."""
    where = (identities.c.tenant == tenant, identities.c.issuer == issuer, identities.c.subject == subject)
    found = connection.execute(select(identities.c.client).where(*where)).scalar()
    return None if found is None else str(found)


def tenants_of(connection: Connection, issuer: str, subject: str) -> list[tuple[str, str]]:
    """(tenant, client) that a provider's subject is, in every tenant."""
    where = (identities.c.issuer == issuer, identities.c.subject == subject)
    rows = connection.execute(select(identities.c.tenant, identities.c.client).where(*where))
    return [(row.tenant, row.client) for row in rows]


def link(connection: Connection, tenant: str, issuer: str, subject: str, client: str, now: int) -> None:
    connection.execute(
        insert(identities).values(tenant=tenant, issuer=issuer, subject=subject, client=client, created=now)
    )


def invite(connection: Connection, tenant: str, code: str, client: str, provider: str, expires: int) -> None:
    connection.execute(
        insert(invitations).values(
            tenant=tenant, code_hash=hash_of(code), client=client, provider=provider, expires=expires, used=None
        )
    )


def take_invitation(connection: Connection, tenant: str, code: str, provider: str, now: int) -> str | None:
    """Use an invitation up; the client it is for, None for one that does not count."""
    where = (invitations.c.tenant == tenant, invitations.c.code_hash == hash_of(code),
             invitations.c.provider == provider, invitations.c.expires > now, invitations.c.used.is_(None))  # fmt: skip
    client = connection.execute(select(invitations.c.client).where(*where)).scalar()
    if client is None or not connection.execute(update(invitations).where(*where).values(used=now)).rowcount:
        return None
    return str(client)


def begin_session(connection: Connection, tenant: str, client: str, secret: str, now: int, expires: int) -> None:
    values = {"session_hash": hash_of(secret), "tenant": tenant, "client": client, "created": now, "expires": expires}
    connection.execute(insert(sessions).values(**values))


def session(connection: Connection, secret: str, now: int) -> tuple[str, str] | None:
    """(tenant, client) of a session that goes on."""
    where = (sessions.c.session_hash == hash_of(secret), sessions.c.expires > now)
    row = connection.execute(select(sessions.c.tenant, sessions.c.client).where(*where)).first()
    return None if row is None else (row.tenant, row.client)


def end_session(connection: Connection, secret: str) -> None:
    connection.execute(delete(sessions).where(sessions.c.session_hash == hash_of(secret)))


# --- what counts once -------------------------------------------------------------------------------------------


def use(connection: Connection, kind: str, used: str, expires: int) -> bool:
    """Use an id up; False where it was used before."""
    mine = (used_ids.c.kind == kind, used_ids.c.id_hash == hash_of(used))
    if connection.execute(select(used_ids.c.kind).where(*mine)).first() is not None:
        return False
    connection.execute(insert(used_ids).values(kind=kind, id_hash=hash_of(used), expires=expires))
    return True


def forget(connection: Connection, now: int) -> None:
    """What has ended."""
    connection.execute(delete(used_ids).where(used_ids.c.expires < now))
    connection.execute(delete(sessions).where(sessions.c.expires < now))
    connection.execute(delete(invitations).where(invitations.c.expires < now))
