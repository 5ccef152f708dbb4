"""Parties in the store. Every query is narrowed by the grant it is called with."""

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from noriai_api.access.decision import Grant
from noriai_api.problems import Problem
from noriai_api.store.tables import rider_personal, riders
from noriai_api.tenancy import narrowed


def all_of(connection: Connection, table: Table, grant: Grant) -> list[dict[str, Any]]:
    """Bodies with their id, by id."""
    name = _name(table)
    rows = connection.execute(narrowed(select(table), table, grant).order_by(table.c[name])).mappings()
    return [json.loads(row["body"]) | {name: row[name]} for row in rows]


def one(connection: Connection, table: Table, grant: Grant, key: str) -> dict[str, Any]:
    """A body with its id. Raises Problem (not_found)."""
    name = _name(table)
    row = connection.execute(narrowed(select(table), table, grant).where(table.c[name] == key)).mappings().first()
    if row is None:
        raise Problem("not_found", f"no {name} {key}")
    return json.loads(row["body"]) | {name: row[name]}  # type: ignore[no-any-return]  # JSON object and its id


def put(connection: Connection, table: Table, grant: Grant, key: str, body: dict[str, Any], **columns: str) -> bool:
    """Write a body; True where it is new. Raises Problem (not_found) where it is there, but out of reach."""
    name = _name(table)
    where = (table.c.tenant == grant.tenant, table.c[name] == key)
    values = {"body": json.dumps(body, ensure_ascii=False, sort_keys=True), **columns}
    for column, value in grant.only.items():
        if columns.get(column, value) != value:
            raise Problem("not_found", f"no {column} {columns[column]}")
    if connection.execute(select(table.c[name]).where(*where)).first() is None:
        connection.execute(insert(table).values(tenant=grant.tenant, **{name: key}, **values))
        return True
    reach = [table.c[column] == value for column, value in grant.only.items()]
    if connection.execute(update(table).where(*where, *reach).values(**values)).rowcount == 0:
        raise Problem("not_found", f"no {name} {key}")
    return False


def _name(table: Table) -> str:
    """The column of the id: the last of the primary key."""
    return str(list(table.primary_key)[-1].name)


# --- who riders are -----------------------------------------------------------------------------------------


def phone_hash(tenant: str, phone: str) -> str:
    """To look a caller up by; numbers written in different ways are one."""
    digits = "".join(c for c in phone if c.isdigit())
    return hashlib.sha256(f"{tenant}:{digits}".encode()).hexdigest()


def put_personal(connection: Connection, grant: Grant, rider: str, values: dict[str, Any]) -> None:
    where = (rider_personal.c.tenant == grant.tenant, rider_personal.c.rider == rider)
    connection.execute(delete(rider_personal).where(*where))
    phone = values.get("phone")
    hashed = None if phone is None else phone_hash(grant.tenant, phone)
    connection.execute(insert(rider_personal).values(tenant=grant.tenant, rider=rider, phone_hash=hashed, **values))


def personal(connection: Connection, grant: Grant, rider: str) -> dict[str, Any]:
    """Who a rider is. Raises Problem (not_found)."""
    query = narrowed(select(rider_personal).where(rider_personal.c.rider == rider), rider_personal, grant)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise Problem("not_found", f"nothing is kept about rider {rider}")
    return dict(row)


def by_phone(connection: Connection, grant: Grant, phone: str) -> list[str]:
    """Riders who gave this number: a household may share one."""
    query = select(rider_personal.c.rider).where(rider_personal.c.phone_hash == phone_hash(grant.tenant, phone))
    return list(connection.execute(narrowed(query, rider_personal, grant).order_by("rider")).scalars())


def erase(connection: Connection, grant: Grant, rider: str) -> None:
    """Forget who a rider is and what they need; rides stay, by a token that means nothing any more."""
    one(connection, riders, grant, rider)
    for table in (rider_personal, riders):
        connection.execute(delete(table).where(table.c.tenant == grant.tenant, table.c.rider == rider))


def erase_due(connection: Connection, now: int) -> int:
    """Erase personal fields whose time is over; how many riders."""
    return connection.execute(delete(rider_personal).where(rider_personal.c.delete_after < now)).rowcount
