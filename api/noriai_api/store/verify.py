"""Is a store whole? Its hash chains are followed from their beginning."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from noriai_api.access import audit as chain
from noriai_api.exchange import usage
from noriai_api.runtime.changes import FIRST_HASH, chained
from noriai_api.store import exchange_tables
from noriai_api.store.database import Database
from noriai_api.store.tables import audit, bookings, log


@dataclass(frozen=True)
class Verified:
    """What was looked at, in words, and whether all of it is whole."""

    lines: list[str]
    is_whole: bool


def verify_store(database: Database) -> Verified:
    """Follow every chain of a store."""
    return database.read(_verify)


def _verify(connection: Connection) -> Verified:
    lines, whole = [], True
    regions = connection.execute(select(log.c.tenant, log.c.region).distinct().order_by("tenant", "region")).all()
    for tenant, region in regions:
        bad, rows = _follow(connection, tenant, region)
        whole = whole and bad is None
        said = "whole" if bad is None else f"row {bad} does not follow from the one before: restore a backup"
        lines.append(f"log of {tenant}/{region}: {rows:,} rows, {said}")
    entries = [dict(row) for row in connection.execute(select(audit).order_by(audit.c.sequence)).mappings()]
    bad_entry = chain.first_bad(entries)
    whole = whole and bad_entry is None
    said = "whole" if bad_entry is None else f"entry {bad_entry} was touched"
    lines.append(f"audit chain: {len(entries):,} entries, {said}")
    for tenant in connection.execute(select(exchange_tables.usage.c.tenant).distinct().order_by("tenant")).scalars():
        bad_use = usage.first_bad(usage.walk(connection, tenant))
        whole = whole and bad_use is None
        said = "whole" if bad_use is None else f"entry {bad_use} was touched"
        lines.append(f"usage log of {tenant}: {usage.head(connection, tenant)[0]:,} entries, {said}")
    lines.append(f"bookings: {connection.execute(select(func.count()).select_from(bookings)).scalar():,}")
    return Verified(lines, whole)


def _follow(connection: Connection, tenant: str, region: str) -> tuple[int | None, int]:
    """Number of the first log row that is wrong, None where all follow; and how many there are."""
    mine = (log.c.tenant == tenant, log.c.region == region)
    query = select(log.c.sequence, log.c.body, log.c.hash).where(*mine).order_by(log.c.sequence)
    previous, count = FIRST_HASH, 0
    for row in connection.execute(query):
        previous = chained(previous, row.body)
        if row.sequence != count or bytes(row.hash) != previous:
            return row.sequence, count
        count += 1
    return None, count
