"""The audit chain: who did what, each entry's hash covering the one before. Written with the change it records.

Only digests and opaque ids stand in it, so that erasing personal data does not break it.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select

from noriai_api.digests import digest
from noriai_api.store.tables import audit

ALGORITHM = "sha256"
FIRST = "0" * 64
_ADD = insert(audit)
_LAST = select(audit.c.sequence, audit.c.hash).order_by(audit.c.sequence.desc()).limit(1)
_SIGNED = ("sequence", "time", "tenant", "actor", "on_behalf_of", "action", "resource", "digest", "algorithm",
           "previous")  # fmt: skip


def append(
    connection: Connection,
    *,
    time: int,
    tenant: str,
    actor: str,
    action: str,
    resource: str,
    payload: Any,
    on_behalf_of: str | None = None,
) -> None:
    """Add an entry at the end of the chain, in the transaction of `connection`."""
    last = connection.execute(_LAST).first()
    entry = {
        "sequence": 0 if last is None else last.sequence + 1, "time": time, "tenant": tenant, "actor": actor,
        "on_behalf_of": on_behalf_of, "action": action, "resource": resource, "digest": digest(payload, str),
        "algorithm": ALGORITHM, "previous": FIRST if last is None else last.hash,
    }  # fmt: skip
    connection.execute(_ADD, {**entry, "hash": hash_of(entry)})


def hash_of(entry: dict[str, Any]) -> str:
    return digest([entry[name] for name in _SIGNED], str)


def first_bad(entries: Iterable[dict[str, Any]]) -> int | None:
    """Number of the first entry that does not follow from the one before; None where the chain holds."""
    previous = FIRST
    for number, entry in enumerate(entries):
        whole = entry["sequence"] == number and entry["previous"] == previous and entry["algorithm"] == ALGORITHM
        if not whole or hash_of(entry) != entry["hash"]:
            return number
        previous = entry["hash"]
    return None
