"""The log of what was served and received: each entry is written before the bytes move, and covers the one before.

Both sides keep one, as X-Road has it: the provider's entry, and the receiver's mirror of it with the provider's number
and hash. Neighbours keep each other's signed heads (Merkle root as in RFC 6962 over the entries' hashes), so that
nobody rewrites what they once had.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, func, insert, select

from noriai_api.digests import ALGORITHM, digest
from noriai_api.store.exchange_tables import agreements, usage

FIRST = "0" * 64
PAGE = 1000
_COVERED = ("sequence", "time", "side", "peer", "agreement", "transfer", "uses", "body", "previous")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was written."""

    sequence: int
    hash: str


def append(
    connection: Connection, tenant: str, *, time: int, side: str, peer: str, agreement: str, transfer: str,
    uses: int, details: dict[str, Any],
) -> Entry:  # fmt: skip
    """Add an entry, in the transaction of `connection`. `uses`: how many uses of the agreement it is, 0 for mirrors and
    for what belongs to a use counted before. `details`: decision, purpose, dataset, schema, digest and length."""
    sequence, previous = head(connection, tenant)
    body = json.dumps({**details, "algorithm": ALGORITHM, "previous": previous}, sort_keys=True)
    row = {"sequence": sequence, "time": time, "side": side, "peer": peer, "agreement": agreement,
           "transfer": transfer, "uses": uses, "body": body}  # fmt: skip
    found = hash_of({**row, "previous": previous})
    connection.execute(insert(usage).values(tenant=tenant, **row, hash=found))
    return Entry(sequence, found)


def head(connection: Connection, tenant: str) -> tuple[int, str]:
    """Number of the next entry, and the hash of the last."""
    query = select(usage.c.sequence, usage.c.hash).where(usage.c.tenant == tenant)
    last = connection.execute(query.order_by(usage.c.sequence.desc()).limit(1)).first()
    return (0, FIRST) if last is None else (last.sequence + 1, last.hash)


def uses_of(connection: Connection, tenant: str, agreement: str) -> int:
    """How often an agreement was used with us as its provider."""
    where = (usage.c.tenant == tenant, usage.c.agreement == agreement, usage.c.side == "provider")
    return int(connection.execute(select(func.coalesce(func.sum(usage.c.uses), 0)).where(*where)).scalar_one())


def hash_of(entry: dict[str, Any]) -> str:
    return digest([entry[name] for name in _COVERED])


def entries(connection: Connection, tenant: str, agreement: str | None = None) -> list[dict[str, Any]]:
    """The log, or what of it is of one agreement, in order."""
    query = select(usage).where(usage.c.tenant == tenant).order_by(usage.c.sequence)
    if agreement is not None:
        query = query.where(usage.c.agreement == agreement)
    return [dict(row) for row in connection.execute(query).mappings()]


def walk(connection: Connection, tenant: str, after: int = -1) -> Iterator[dict[str, Any]]:
    """The log after a number, entry by entry: it may be longer than memory."""
    where = (usage.c.tenant == tenant, usage.c.sequence > after)
    query = select(usage).where(*where).order_by(usage.c.sequence).execution_options(yield_per=1000)
    return (dict(row) for row in connection.execute(query).mappings())


def page(connection: Connection, tenant: str, after: int) -> tuple[list[dict[str, Any]], bool]:
    """(the next PAGE entries after a number, whether they follow from each other and from the one before)."""
    rows = list(islice(walk(connection, tenant, after), PAGE))
    where = (usage.c.tenant == tenant, usage.c.sequence == after)
    before = connection.execute(select(usage.c.hash, usage.c.time).where(*where)).first()
    if before is None and after >= 0:
        return rows, False
    start = (FIRST, 0) if before is None else (before.hash, before.time)
    return rows, first_bad(rows, after + 1, *start) is None


def shared_entries(connection: Connection, tenant: str, agreement: str, peer: str) -> list[dict[str, Any]] | None:
    """What the other party of an agreement may see of our log: the entries under it; None for anybody else."""
    where = (agreements.c.tenant == tenant, agreements.c.agreement == agreement, agreements.c.peer == peer)
    if connection.execute(select(agreements.c.agreement).where(*where)).first() is None:
        return None
    shown = ("sequence", "time", "side", "transfer", "uses", "body", "hash")
    return [{name: row[name] for name in shown} for row in entries(connection, tenant, agreement)]


def first_bad(rows: Iterable[dict[str, Any]], begin: int = 0, previous: str = FIRST, latest: int = 0) -> int | None:
    """Number of the first entry that does not follow from the one before; None where the chain holds. A part of a log
    begins with the number `begin`, after an entry of hash `previous` and time `latest`."""
    for number, row in enumerate(rows, begin):
        try:
            said = json.loads(row["body"])["previous"]
        except (ValueError, KeyError, TypeError):
            return number
        follows = row["sequence"] == number and said == previous and row["time"] >= latest
        if not follows or hash_of({**row, "previous": previous}) != row["hash"]:
            return number
        previous, latest = row["hash"], row["time"]
    return None


Peaks = tuple[tuple[int, str], ...]
"""Whole subtrees of a Merkle tree, from the left: (leaves, hash), each half as large as the one before at most. They
are all that a tree needs to grow, however long the log is."""


def grown(peaks: Peaks, hashes: Iterable[str]) -> Peaks:
    """A tree with more entries' hashes at its end."""
    trees = [(size, bytes.fromhex(found)) for size, found in peaks]
    for leaf in hashes:
        trees.append((1, hashlib.sha256(b"\x00" + bytes.fromhex(leaf)).digest()))
        while len(trees) > 1 and trees[-1][0] == trees[-2][0]:
            (size, right), (_, left) = trees.pop(), trees.pop()
            trees.append((2 * size, hashlib.sha256(b"\x01" + left + right).digest()))
    return tuple((size, found.hex()) for size, found in trees)


def root_of(peaks: Peaks) -> str:
    """The tree's root: Merkle tree hash of RFC 6962, section 2.1."""
    if not peaks:
        return hashlib.sha256(b"").hexdigest()
    root = bytes.fromhex(peaks[-1][1])
    for _, left in reversed(peaks[:-1]):
        root = hashlib.sha256(b"\x01" + bytes.fromhex(left) + root).digest()
    return root.hex()


def merkle_root(hashes: Iterable[str]) -> str:
    """The root over entries' hashes."""
    return root_of(grown((), hashes))


def broken_anchor(rows: Sequence[dict[str, Any]], anchors: Iterable[tuple[int, str]]) -> int | None:
    """Length of the log at the first anchor (length, root) it does not fit; None where it fits all."""
    hashes = [row["hash"] for row in rows]
    for length, root in sorted(anchors):
        if length > len(hashes) or merkle_root(hashes[:length]) != root:
            return length
    return None
