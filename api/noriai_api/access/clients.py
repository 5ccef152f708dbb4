"""Clients and their API keys. A key is shown once; the store has only its hash."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from noriai_api.access.decision import ROLES, Grant, Limits, Subject
from noriai_api.store.tables import clients, tenants
from noriai_engine.model.errors import InputError

PREFIX = "noriai_"


@dataclass(frozen=True, slots=True)
class Client:
    """A caller with a key, and what it is."""

    subject: Subject
    expires: int | None
    revoked: int | None

    def is_valid(self, now: int) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


def hash_of(key: str) -> str:
    """Keys have 256 random bits, so that a plain hash is as good as a slow one."""
    return hashlib.sha256(key.encode()).hexdigest()


def add_tenant(connection: Connection, tenant: str, name: str, now: int) -> None:
    connection.execute(insert(tenants).values(tenant=tenant, name=name, created=now))


def add_client(connection: Connection, subject: Subject, name: str, secret: str, now: int,
               expires: int | None = None, made_by: str | None = None) -> str:  # fmt: skip
    """Write a client; returns its key, made from the `secret` given (hexadecimal). Raises InputError."""
    if subject.role not in ROLES:
        raise InputError(f"role {subject.role!r}", where="role", remedy=f"give one of {', '.join(ROLES)}")
    needs = {"vehicle": "vehicle", "resident": "rider", "proxy": "rider"}.get(subject.role)
    if needs is not None and getattr(subject, needs) is None:
        raise InputError(
            f"a client in the role {subject.role} has no {needs}", where=needs, remedy=f"say for which {needs} it acts"
        )
    key = PREFIX + secret
    connection.execute(
        insert(clients).values(
            tenant=subject.tenant, client=subject.client, role=subject.role, name=name, operator=subject.operator,
            vehicle=subject.vehicle, rider=subject.rider, secret_hash=hash_of(key), created=now, expires=expires,
            scopes=None if subject.scopes is None else json.dumps(sorted(subject.scopes)),
            limits=None if subject.limits is None else json.dumps(asdict(subject.limits)), made_by=made_by,
        )
    )  # fmt: skip
    return key


def all_tenants(connection: Connection) -> list[str]:
    return list(connection.execute(select(tenants.c.tenant).order_by(tenants.c.tenant)).scalars())


def by_key(connection: Connection, key: str) -> Client | None:
    """The client whose key this is, valid or not."""
    row = connection.execute(select(clients).where(clients.c.secret_hash == hash_of(key))).mappings().first()
    return None if row is None else _client(row)


def named(connection: Connection, tenant: str, client: str) -> Client | None:
    """A client by its id, valid or not."""
    where = (clients.c.tenant == tenant, clients.c.client == client)
    row = connection.execute(select(clients).where(*where)).mappings().first()
    return None if row is None else _client(row)


def _client(row: Any) -> Client:
    return Client(subject_of(row), row["expires"], row["revoked"])


def subject_of(row: Any) -> Subject:
    """Who a client's row is, with what it was let do."""
    return Subject(
        row["tenant"], row["client"], row["role"], row["operator"], row["vehicle"], row["rider"],
        None if row["scopes"] is None else frozenset(json.loads(row["scopes"])),
        None if row["limits"] is None else Limits(**json.loads(row["limits"])),
    )  # fmt: skip


def all_of(connection: Connection, grant: Grant) -> list[dict[str, Any]]:
    """A tenant's clients, without their keys."""
    shown = [column for column in clients.c if column.name != "secret_hash"]
    query = select(*shown).where(clients.c.tenant == grant.tenant).order_by(clients.c.client)
    return [dict(row) for row in connection.execute(query).mappings()]


def revoke(connection: Connection, grant: Grant, client: str, now: int) -> bool:
    """Take a client's key away, and those of whom it let act for it; False where there is no such client with a valid
    key."""
    valid = (clients.c.tenant == grant.tenant, clients.c.revoked.is_(None))
    found = connection.execute(update(clients).where(*valid, clients.c.client == client).values(revoked=now)).rowcount
    connection.execute(update(clients).where(*valid, clients.c.made_by == client).values(revoked=now))
    return found > 0
