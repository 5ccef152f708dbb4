"""Agreements: both sides keep the same one, by its hash. The protocol has no word for taking one back: revoking is our
own record, which raises the agreement's epoch and ends every transfer under it."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from noriai_api.digests import digest
from noriai_api.exchange import processes
from noriai_api.exchange.processes import Here, Process
from noriai_api.exchange.protocol.messages import Message
from noriai_api.exchange.protocol.states import Role
from noriai_api.exchange.terms import Terms, terms_of
from noriai_api.store.exchange_tables import agreements


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was agreed, and whether it still holds."""

    agreement: str
    role: Role
    peer: str
    dataset: str
    body: Message
    hash: str
    finalized: int
    epoch: int
    revoked: int | None

    @property
    def terms(self) -> Terms:
        return terms_of(self.body)


def drawn_up(here: Here, process: Process, timestamp: str) -> Message:
    """The agreement to what is on the table, with us as its provider."""
    offer = process.body["offer"]
    kept = {name: offer[name] for name in ("profile", "permission", "prohibition", "obligation") if name in offer}
    return {
        "@id": f"urn:uuid:{here.new_id()}", "@type": "Agreement", "target": process.subject,
        "assigner": here.participant, "assignee": process.peer, "timestamp": timestamp, **kept,
    }  # fmt: skip


def conclude(connection: Connection, here: Here, process: Process) -> None:
    """The negotiation is finalized: its agreement is in force."""
    body = process.body["agreement"]
    connection.execute(
        insert(agreements).values(
            tenant=here.tenant, agreement=body["@id"], role=process.role, peer=process.peer, dataset=process.subject,
            negotiation=process.process, body=json.dumps(body), hash=digest(body), finalized=here.now, epoch=0,
        )
    )  # fmt: skip


def find(connection: Connection, tenant: str, agreement: str) -> Agreement | None:
    where = (agreements.c.tenant == tenant, agreements.c.agreement == agreement)
    row = connection.execute(select(agreements).where(*where)).mappings().first()
    return None if row is None else _agreement(row)


def all_of(connection: Connection, tenant: str) -> list[Agreement]:
    query = select(agreements).where(agreements.c.tenant == tenant).order_by(agreements.c.finalized)
    return [_agreement(row) for row in connection.execute(query).mappings()]


def revoke(connection: Connection, here: Here, agreement: str, reason: str) -> int | None:
    """Take an agreement back, and end every transfer under it; its new epoch, None where there is none in force."""
    where = (agreements.c.tenant == here.tenant, agreements.c.agreement == agreement, agreements.c.revoked.is_(None))
    found = connection.execute(update(agreements).where(*where).values(revoked=here.now, epoch=agreements.c.epoch + 1))
    if found.rowcount == 0:
        return None
    for transfer in processes.all_of(connection, here.tenant, "transfer", agreement):
        if not transfer.is_final:
            processes.tell(connection, here, transfer, "terminate", fields={"code": "revoked", "reason": [reason]})
    after = find(connection, here.tenant, agreement)
    return None if after is None else after.epoch


def fell_away(connection: Connection, here: Here, agreement: str) -> None:
    """Its provider has taken an agreement of ours back, as the end of a transfer under it says."""
    where = (agreements.c.tenant == here.tenant, agreements.c.agreement == agreement, agreements.c.role == "consumer",
             agreements.c.revoked.is_(None))  # fmt: skip
    connection.execute(update(agreements).where(*where).values(revoked=here.now, epoch=agreements.c.epoch + 1))


def _agreement(row: object) -> Agreement:
    found = {name: row[name] for name in Agreement.__slots__}  # type: ignore[index]  # a row's mapping
    return Agreement(**found | {"body": json.loads(found["body"])})
