"""The provider's data plane: what may leave, and the entry that stands in the log before it does.

Every page, event and push maps to a transfer under way, an agreement in force, a purpose and a verdict on its terms;
a record whose area the terms do not cover is left out, record by record.
"""

import json
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, func, insert, select

from noriai_api.digests import digest_bytes
from noriai_api.exchange import agreements, catalogue, processes, usage
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.encodings import encoded
from noriai_api.exchange.processes import Here, Process
from noriai_api.exchange.terms import PURPOSES, Use, rfc3339
from noriai_api.store.exchange_tables import records
from noriai_engine.model.errors import NoriaiError

PAGE = 500
PAGE_BYTES = 500_000
"""A page has records up to so many bytes, and at least one."""
ROW_GROUP = 1
"""A record of operations stands for one ride: no terms that ask for groups let it pass."""


class RefusedError(NoriaiError, RuntimeError):
    """Data that may not leave; `code` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes that may leave: their entry in the log is durable once the transaction they were made in is."""

    payload: bytes
    cursor: int
    count: int
    more: bool
    transfer: str
    agreement: str
    way: str
    entry: usage.Entry

    def statement(self) -> dict[str, Any]:
        """What the provider signs about it for the receiver's log."""
        return {
            "transfer": self.transfer, "agreement": self.agreement, "sequence": self.entry.sequence,
            "hash": self.entry.hash, "digest": digest_bytes(self.payload), "length": len(self.payload),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grant:
    """A transfer that data may leave by now."""

    transfer: Process
    agreement: Agreement
    use: Use


def granted(
    connection: Connection, here: Here, peer: str, transfer: str, purpose: str | None, epoch: int | None,
    *, new_use: bool,
) -> Grant:  # fmt: skip
    """Raises RefusedError: no_transfer, not_started, no_agreement, revoked, no_purpose, or terms:<operand>."""
    try:
        found = processes.find(connection, here.tenant, transfer, "transfer")
    except processes.UnknownProcessError:
        raise RefusedError("no_transfer") from None
    if found.peer != peer or found.role != "provider":
        raise RefusedError("no_transfer")
    if found.state != "STARTED":
        raise RefusedError("not_started")
    agreement = agreements.find(connection, here.tenant, found.subject)
    if agreement is None or agreement.peer != peer:
        raise RefusedError("no_agreement")
    if agreement.revoked is not None or epoch != agreement.epoch:
        raise RefusedError("revoked")
    if purpose not in PURPOSES:
        raise RefusedError("no_purpose")
    uses = usage.uses_of(connection, here.tenant, agreement.agreement) + (1 if new_use else 0)
    use = Use(peer, purpose, here.now, agreement.finalized, uses)
    verdict = agreement.terms.judge(use)
    if not verdict.allowed:
        raise RefusedError(f"terms:{verdict.operand}")
    _check_source(connection, here, agreement.dataset, use)
    return Grant(found, agreement, use)


def _check_source(connection: Connection, here: Here, dataset: str, use: Use) -> None:
    """Data that we pass on leaves only while the agreement it came under holds, and allows it. Raises RefusedError."""
    described = catalogue.described(connection, here.tenant, dataset)
    name = None if described is None else described.about.passes_on
    if name is None:
        return
    source = agreements.find(connection, here.tenant, name)
    if source is None or source.revoked is not None:
        raise RefusedError("source:revoked")
    ours = Use(here.participant, use.purpose, here.now, source.finalized)
    if use.recipient not in (source.terms.onward or ()) or not source.terms.judge(ours).allowed:
        raise RefusedError("source:terms")


def page(
    connection: Connection, here: Here, grant: Grant, after: int, *, new_use: bool, even_empty: bool = True
) -> Page | None:
    """The next records after a sequence number, with their entry in the log; None where there is none and `even_empty`
    does not hold. Part of the transaction that decided."""
    transfer, dataset = grant.transfer, str(grant.transfer.body["dataset"])
    where = (records.c.tenant == here.tenant, records.c.dataset == dataset, records.c.sequence > after)
    rows = connection.execute(select(records).where(*where).order_by(records.c.sequence).limit(PAGE + 1)).all()
    if not rows and not even_empty:
        return None
    out = []
    taken = _that_fit([len(row.body) for row in rows[:PAGE]])
    for row in rows[:taken]:
        body = json.loads(row.body)
        release = body.pop("release", None)
        if (release is None) != (transfer.body["kind"] == "operations"):
            continue  # operations data is never called statistics, nor the reverse
        use = replace(
            grant.use, group=ROW_GROUP if release is None else release["group"],
            micro_epsilon=None if release is None else release["micro_epsilon"],
        )  # fmt: skip
        if grant.agreement.terms.covers(use, tuple(row.area.split())):
            out.append({"sequence": row.sequence, "time": rfc3339(row.time), "area": row.area.split(), **body})
    cursor, more = (rows[taken - 1].sequence if rows else after), len(rows) > taken
    schema, version = transfer.body["schema"]
    said = {"dataset": dataset, "schema": schema, "version": version, "records": out, "next": cursor, "more": more}
    payload = encoded(said, transfer.body["format"])
    entry = usage.append(
        connection, here.tenant, time=here.now, side="provider", peer=transfer.peer,
        agreement=grant.agreement.agreement, transfer=transfer.process, uses=1 if new_use else 0,
        details={
            "purpose": grant.use.purpose, "decision": here.new_id(), "dataset": dataset, "schema": [schema, version],
            "records": len(out), "digest": digest_bytes(payload), "length": len(payload), "cursor": cursor,
        },
    )  # fmt: skip
    return Page(payload, cursor, len(out), more, transfer.process, grant.agreement.agreement,
                transfer.body["format"], entry)  # fmt: skip


def _that_fit(sizes: list[int]) -> int:
    """How many of the first records make a page."""
    for count, total in enumerate(accumulate(sizes)):
        if total > PAGE_BYTES:
            return max(1, count)
    return len(sizes)


def granted_service(
    connection: Connection, here: Here, peer: str, dataset: str, purpose: str, area: tuple[str, ...]
) -> tuple[Agreement, Use]:
    """A use of a dataset that is a service: each call is one, under an agreement in force that covers the area.

    Raises RefusedError.
    """
    refused = "no_agreement"
    for agreement in agreements.all_of(connection, here.tenant):
        if (agreement.role, agreement.peer, agreement.dataset) != ("provider", peer, dataset):
            continue
        if agreement.revoked is not None:
            refused = "revoked"
            continue
        uses = usage.uses_of(connection, here.tenant, agreement.agreement) + 1
        use = Use(peer, purpose, here.now, agreement.finalized, uses, area)
        verdict = agreement.terms.judge(use)
        if verdict.allowed:
            return agreement, use
        refused = f"terms:{verdict.operand}"
    raise RefusedError(refused)


def log_service(
    connection: Connection, here: Here, agreement: Agreement, use: Use, what: str, payload: bytes, **more: Any
) -> None:
    """The entry of a use of a service, in the transaction before its answer leaves."""
    usage.append(
        connection, here.tenant, time=here.now, side="provider", peer=agreement.peer, agreement=agreement.agreement,
        transfer="", uses=1,
        details={"purpose": use.purpose, "decision": here.new_id(), "dataset": agreement.dataset, "service": what,
                 "digest": digest_bytes(payload), "length": len(payload), **more},
    )  # fmt: skip


def add_records(connection: Connection, tenant: str, dataset: str, rows: list[dict[str, Any]]) -> int:
    """Append records ({time, area, body}) to a dataset; the sequence number of the last."""
    where = (records.c.tenant == tenant, records.c.dataset == dataset)
    last = connection.execute(select(func.max(records.c.sequence)).where(*where)).scalar()
    first = 0 if last is None else last + 1
    if rows:
        connection.execute(insert(records), [
            {"tenant": tenant, "dataset": dataset, "sequence": first + k, "time": row["time"],
             "area": " ".join(row["area"]), "body": json.dumps(row["body"], ensure_ascii=False)}
            for k, row in enumerate(rows)
        ])  # fmt: skip
    return int(first + len(rows) - 1)


def last_sequence(connection: Connection, tenant: str, dataset: str) -> int:
    """Of the newest record, -1 where there is none."""
    where = (records.c.tenant == tenant, records.c.dataset == dataset)
    last = connection.execute(select(func.max(records.c.sequence)).where(*where)).scalar()
    return -1 if last is None else int(last)
