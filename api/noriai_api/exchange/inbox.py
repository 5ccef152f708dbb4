"""The receiver's side: its mirror of the provider's log, then the data itself, each record once."""

import json
from typing import Any

from sqlalchemy import Connection, insert, select

from noriai_api.digests import digest_bytes
from noriai_api.exchange import processes, usage
from noriai_api.exchange.encodings import decoded
from noriai_api.exchange.processes import Here
from noriai_api.store.exchange_tables import received
from noriai_engine.model.errors import InputError

READS_SCHEMA_MAJOR = 1
"""Data of a schema version with another first number is not read; unknown members are left aside."""


def mirror(connection: Connection, here: Here, transfer: str, claims: dict[str, Any]) -> None:
    """Write down what the provider signed about the data that follows. Raises InputError, UnknownProcessError."""
    process = processes.find(connection, here.tenant, transfer, "transfer")
    fits = (claims["iss"], claims["aud"], claims["transfer"], claims["agreement"]) == (
        process.peer, here.participant, process.peer_pid, process.subject,
    )  # fmt: skip
    if process.role != "consumer" or not fits:
        raise InputError("is of another transfer", where="Noriai-Usage", remedy="send it with its own data")
    if process.state != "STARTED":
        raise processes.IllegalMessageError(process, "data")
    details = {name: claims[name] for name in ("sequence", "hash", "digest", "length")}
    usage.append(
        connection, here.tenant, time=here.now, side="consumer", peer=process.peer, agreement=process.subject,
        transfer=process.process, uses=0, details={"purpose": process.body["purpose"], "theirs": details},
    )  # fmt: skip


def store(connection: Connection, here: Here, transfer: str, payload: bytes, digest: str) -> bool:
    """Keep the records of a page; those we have already are left alone. True where more is to be had.

    Raises InputError for a page that is not what was signed, or of a schema we do not read.
    """
    process = processes.find(connection, here.tenant, transfer, "transfer")
    if digest_bytes(payload) != digest:
        processes.note_incident(connection, here, "digest_differs", process, {"signed": digest})
        raise InputError("is not what was signed", where="data", remedy="send it again")
    page = decoded(payload, process.body["format"])
    try:
        rows, cursor, more, major = page["records"], page["next"], page["more"], int(page["version"].split(".")[0])
        made = [
            {"tenant": here.tenant, "transfer": transfer, "sequence": row["sequence"], "dataset": page["dataset"],
             "peer": process.peer, "time": here.now, "area": " ".join(row["area"]), "body": json.dumps(row)}
            for row in rows
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"cannot be read: {error}", where="data", remedy="ask its sender") from error
    if major != READS_SCHEMA_MAJOR:
        raise InputError(f"version {page['version']} is not read here", where="data", remedy="update noriai")
    where = (received.c.tenant == here.tenant, received.c.transfer == transfer)
    numbers = [row["sequence"] for row in made]
    known = set(
        connection.execute(select(received.c.sequence).where(*where, received.c.sequence.in_(numbers))).scalars()
    )
    fresh = [row for row in made if row["sequence"] not in known]
    if fresh:
        connection.execute(insert(received), fresh)
    if cursor > process.body["cursor"]:
        processes.keep(connection, here, process, cursor=cursor)
    return bool(more)


def received_of(connection: Connection, tenant: str, dataset: str, peer: str | None = None) -> list[dict[str, Any]]:
    """What we were given of a dataset, in order."""
    where = [received.c.tenant == tenant, received.c.dataset == dataset]
    if peer is not None:
        where.append(received.c.peer == peer)
    query = select(received).where(*where).order_by(received.c.transfer, received.c.sequence)
    return [json.loads(row["body"]) for row in connection.execute(query).mappings()]
