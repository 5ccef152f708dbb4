"""Who holds a region, as the store has it.

A process is alive while its beat goes on; others judge that by their own clock, so that clocks need not agree (as
leader election in Kubernetes does). A region changes hands in one statement that raises its epoch. Whatever a holder
writes of a region is written only if the epoch is still its own (a fencing token: Kleppmann, How to do distributed
locking, 2016), so that one who was thought gone can do no harm when it comes back.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, update

from noriai_api.store.tables import holdings, processes, signals
from noriai_api.store.writer import StoreError

Key = tuple[str, str]
"""Tenant and region."""

CHORES: Key = ("*", "*")
"""What one process does for all: deliver messages, forget what is due."""


class FencedError(StoreError):
    """The region has another holder by now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A region's holder (None: nobody) and the epoch it holds it in."""

    holder: str | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that serves the store: where others reach it, and how far it has counted."""

    process: str
    address: str
    beat: int


def beat(connection: Connection, process: str, address: str) -> None:
    """Say that a process is there."""
    mine = processes.c.process == process
    if not connection.execute(update(processes).where(mine).values(beat=processes.c.beat + 1)).rowcount:
        connection.execute(insert(processes).values(process=process, address=address, beat=0))


def peers(connection: Connection) -> dict[str, Peer]:
    return {row.process: Peer(row.process, row.address, row.beat) for row in connection.execute(select(processes))}


def all_held(connection: Connection) -> dict[Key, Holding]:
    rows = connection.execute(select(holdings))
    return {(row.tenant, row.region): Holding(row.holder, row.epoch) for row in rows}


_HELD = select(holdings.c.holder, holdings.c.epoch).where(
    holdings.c.tenant == bindparam("its_tenant"), holdings.c.region == bindparam("its_region")
)


def held(connection: Connection, key: Key) -> Holding:
    """As the store has it; nobody's where it has never been anybody's."""
    row = connection.execute(_HELD, {"its_tenant": key[0], "its_region": key[1]}).first()
    return Holding(None, 0) if row is None else Holding(row.holder, row.epoch)


def pass_on(connection: Connection, key: Key, before: Holding, holder: str | None) -> Holding | None:
    """Give a region to a process (None: to whoever wants it), unless it has changed hands meanwhile: then None."""
    if connection.execute(select(holdings.c.epoch).where(*_of(key))).first() is None:
        connection.execute(insert(holdings).values(tenant=key[0], region=key[1], holder=None, epoch=0))
    same = holdings.c.holder.is_(None) if before.holder is None else holdings.c.holder == before.holder
    where = (*_of(key), same, holdings.c.epoch == before.epoch)
    after = Holding(holder, before.epoch + 1)
    changed = connection.execute(update(holdings).where(*where).values(holder=holder, epoch=after.epoch)).rowcount
    return after if changed else None


def fence(connection: Connection, key: Key, mine: Holding) -> None:
    """Raises FencedError where somebody else holds the region by now. Called in the transaction of what is written: no
    other transaction writes meanwhile."""
    if held(connection, key) != mine:
        raise FencedError(f"{key[0]}/{key[1]} is held by another process")


def bury(connection: Connection, process: str) -> None:
    """A process is gone; its regions are passed on one by one."""
    connection.execute(delete(processes).where(processes.c.process == process))


def signal(connection: Connection, kind: str, subject: str, now: int) -> None:
    """Tell the other processes, once this is durable, to look something up anew."""
    connection.execute(insert(signals).values(time=now, kind=kind, subject=subject))


def signals_after(connection: Connection, number: int) -> list[tuple[int, str, str]]:
    rows = connection.execute(select(signals).where(signals.c.number > number).order_by(signals.c.number))
    return [(row.number, row.kind, row.subject) for row in rows]


def last_signal(connection: Connection) -> int:
    return connection.execute(select(signals.c.number).order_by(signals.c.number.desc()).limit(1)).scalar() or 0


def forget_signals(connection: Connection, before: int) -> None:
    """Those every process has long read."""
    connection.execute(delete(signals).where(signals.c.time < before))


def _of(key: Key) -> tuple[ColumnElement[bool], ...]:
    return holdings.c.tenant == key[0], holdings.c.region == key[1]
