"""The store: migrations make what the code expects, changes share commits and fail alone, backups come back whole."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from serving import serving, some_settings
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from noriai_api.store import StoreError, Writer, open_database
from noriai_api.store.backup import restore_backup, write_backup
from noriai_api.store.migrate import migrate
from noriai_api.store.tables import audit, log, metadata, sessions, tenants
from noriai_api.store.verify import verify_store
from noriai_api.store.writer import Lane, LaneBrokenError
from noriai_engine.model import InputError


def quiet(done: int, total: int) -> None:
    pass


def test_migrations_make_what_the_code_expects(database: str, tmp_path: Path) -> None:
    store = open_database(database, tmp_path)
    migrate(store)
    migrate(store)  # again changes nothing
    found = store.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert found == []
    store.close()


def test_a_query_that_forgets_its_tenant_sees_no_others_rows(postgres: Callable[[], str], tmp_path: Path) -> None:
    """Row policies of PostgreSQL under every table of a party's data: read, change, remove and add, narrowed and not."""
    store = open_database(postgres(), tmp_path)
    migrate(store)
    assert store.is_bound()
    theirs = [table for table in metadata.sorted_tables if "tenant" in table.c and table not in (audit, sessions)]
    bound = text("SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid WHERE relforcerowsecurity")
    assert store.read(lambda c: set(c.execute(bound).scalars())) == {table.name for table in theirs}
    with store.writing.begin() as connection:
        for table in theirs:
            for number, name in enumerate(("ours", "theirs")):
                connection.execute(insert(table).values(**{c.name: a_value(c, number, name) for c in table.c}))
    for table in theirs:
        everything = select(table.c.tenant).order_by(table.c.tenant)
        assert store.read(lambda c, q=everything: c.execute(q).scalars().all()) == ["ours", "theirs"]
        assert store.read(lambda c, q=everything: c.execute(q).scalars().all(), "ours") == ["ours"], table.name
        with store.writing.begin() as connection:
            store.narrow(connection, "ours")
            assert connection.execute(update(table).values(tenant="ours")).rowcount == 1
            assert connection.execute(delete(table).where(table.c.tenant == "theirs")).rowcount == 0
        foreign = insert(table).values(**{c.name: a_value(c, 2, "theirs") for c in table.c})
        with store.writing.connect() as connection:
            store.narrow(connection, "ours")
            with pytest.raises(SQLAlchemyError, match="row-level security"):
                connection.execute(foreign)
        assert store.read(lambda c, q=everything: c.execute(q).scalars().all()) == ["ours", "theirs"]
    silent = text("SET LOCAL noriai.tenant = ''")
    assert store.read(lambda c: (c.execute(silent), c.execute(select(tenants)).all())[1]) == []
    store.close()


def a_value(column: Column[Any], number: int, tenant: str) -> Any:
    if column.name == "tenant":
        return tenant
    kind = column.type
    if isinstance(kind, LargeBinary):
        return b"x"
    if isinstance(kind, Boolean):
        return False
    return number if isinstance(kind, (Integer, Float)) else f"{number}"


def test_each_change_is_narrowed_to_its_tenant(postgres: Callable[[], str], tmp_path: Path) -> None:
    """Also where several tenants' changes share a commit."""
    store = open_database(postgres(), tmp_path)
    migrate(store)
    writer, gate = Writer(store), Signal()
    writer.put(lambda connection: gate.wait(10))

    def add(name: str) -> Any:
        return lambda connection: connection.execute(insert(tenants).values(tenant=name, name=name, created=0)).rowcount

    def count(connection: Connection) -> int:
        return len(connection.execute(select(tenants)).all())

    made = [writer.put(add("a"), tenant="a"), writer.put(add("b"), tenant="b")]
    seen = [writer.put(count, tenant="a"), writer.put(count), writer.put(count, tenant="b"), writer.put(count)]
    gate.set()
    assert [f.result() for f in made] == [1, 1]
    assert [f.result() for f in seen] == [1, 2, 1, 2]
    assert writer.commits <= 2
    with pytest.raises(StoreError, match="row-level security"):
        writer.put(add("c"), tenant="a").result()
    writer.close()
    store.close()


def test_a_store_of_a_newer_noriai_is_left_alone(database: str, tmp_path: Path) -> None:
    store = open_database(database, tmp_path)
    migrate(store)
    with store.writing.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'f999'"))
    with pytest.raises(InputError, match="cannot be brought up to date"):
        migrate(store)
    store.close()


def test_changes_that_wait_share_a_commit_and_one_that_fails_fails_alone(database: str, tmp_path: Path) -> None:
    store = open_database(database, tmp_path)
    migrate(store)
    writer, gate = Writer(store), Signal()
    blocked = writer.put(lambda connection: gate.wait(10))

    def add(name: str):  # type: ignore[no-untyped-def]
        return lambda connection: connection.execute(insert(tenants).values(tenant=name, name=name, created=0)).rowcount

    lane, other = Lane("one"), Lane("two")
    first = [writer.put(add(f"a{k}"), other) for k in range(50)]
    gate.set()
    assert blocked.result()
    assert [f.result() for f in first] == [1] * 50
    assert writer.commits < 10
    doomed = [writer.put(add(name), lane) for name in ("b1", "a3", "b2")]  # a3 is there already
    good = writer.put(add("c1"), other)
    assert doomed[0].result() == good.result() == 1
    with pytest.raises(StoreError):
        doomed[1].result()
    with pytest.raises(LaneBrokenError):  # it built on the one that failed
        doomed[2].result()
    lane.broken = False
    assert writer.put(add("b2"), lane).result() == 1
    gone = writer.put(add("d1"), other)
    assert not gone.cancel()  # a client that hangs up stops nothing
    assert gone.result() == 1
    writer.close()
    there = store.read(lambda c: set(c.execute(select(tenants.c.tenant)).scalars()))
    assert there == {f"a{k}" for k in range(50)} | {"b1", "b2", "c1", "d1"}
    store.close()


def test_a_region_whose_rows_cannot_be_written_is_built_anew(tmp_path: Path) -> None:
    """The disk is full for a moment: nothing is acknowledged, nothing is lost, and the same request books then."""
    with serving(some_settings(tmp_path, moves_itself=False)) as node:
        kept = node.booked(minutes=60)
        quote, hashed = node.offered(50, minutes=90), node.state_hash()
        real = node.node.writer._commit
        node.node.writer._commit = lambda jobs: (_ for _ in ()).throw(OSError("No space left on device"))  # type: ignore[method-assign]
        refused = node.ask("partner", "POST", "/v1/bookings", key="full", json={"quote": quote["quote"]})
        assert (refused.status_code, refused.json()["code"]) == (503, "store_down"), refused.text
        # now reading fails too: so does the rebuild, and so must every call until it works
        node.node.actors[next(iter(node.node.actors))]._database = None  # type: ignore[assignment]
        for _ in range(2):
            again = node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=node.wish(1))
            assert again.status_code >= 500, again.text
        node.node.writer._commit = real  # type: ignore[method-assign]
        still = node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=node.wish(1))
        assert still.status_code >= 500, still.text  # written again, but not rebuilt: memory is ahead of the log
        node.node.actors[next(iter(node.node.actors))]._database = node.node.database
        assert node.state_hash() == hashed
        taken = node.ask("partner", "POST", "/v1/bookings", key="full", json={"quote": quote["quote"]})
        assert taken.status_code == 201, taken.text
        assert node.ask("partner", "GET", f"/v1/bookings/{kept['booking']}").json()["state"] == "accepted"
        assert next(iter(node.node.actors.values())).rebuilds >= 2
        assert verify_store(node.node.database).is_whole


def test_a_backup_comes_back_in_either_store(tmp_path: Path, database: str) -> None:
    """Made while serving; put into the other kind of store; the node there has the same state to the byte."""
    with serving(some_settings(tmp_path / "a", database, moves_itself=False)) as before:
        booking, keys = before.booked(minutes=60), before.keys
        counts = write_backup(before.node.database, tmp_path / "b.zip", before.node.clock.now(), quiet)
        hashed, clock = before.state_hash(), before.node.clock
        with pytest.raises(InputError, match="exists already"):
            write_backup(before.node.database, tmp_path / "b.zip", 0, quiet)
    other = open_database("", tmp_path / "c")
    assert restore_backup(other, tmp_path / "b.zip", tmp_path / "c", quiet) == counts
    assert verify_store(other).is_whole
    with pytest.raises(InputError, match="is not empty"):
        restore_backup(other, tmp_path / "b.zip", tmp_path / "c", quiet)
    other.close()
    with serving(some_settings(tmp_path / "c", moves_itself=False), clock, keys) as after:
        assert after.state_hash() == hashed
        assert after.ask("partner", "GET", f"/v1/bookings/{booking['booking']}").json() == booking
        assert after.booked(80, minutes=80)["booking"]


def test_damaged_backups_are_refused_by_name(tmp_path: Path) -> None:
    with serving(some_settings(tmp_path / "a", moves_itself=False)) as node:
        write_backup(node.node.database, tmp_path / "b.zip", 0, quiet)
    with zipfile.ZipFile(tmp_path / "b.zip") as good, zipfile.ZipFile(tmp_path / "touched.zip", "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            bad.writestr(name, data.replace(b"accepted", b"refused.").replace(b"Town Taxi", b"Taxi Town"))
    (tmp_path / "cut.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:-2_000])
    (tmp_path / "text.zip").write_text("no zip")
    for name, said in (("touched", "differs from its checksum"), ("cut", "is no backup"), ("text", "is no backup"),
                       ("nothing", "is not there")):  # fmt: skip
        store = open_database("", tmp_path / f"into-{name}")
        with pytest.raises(InputError, match=said):
            restore_backup(store, tmp_path / f"{name}.zip", tmp_path / f"into-{name}", quiet)
        store.close()


def test_the_verifier_finds_what_was_touched(tmp_path: Path) -> None:
    with serving(some_settings(tmp_path, moves_itself=False)) as node:
        node.booked(minutes=60)
        store = node.node.database
        assert verify_store(store).is_whole
        for table, change in ((audit, {"actor": "nobody"}), (log, {"body": "{}"})):
            with store.writing.begin() as connection:
                connection.execute(update(table).where(table.c.sequence == 0).values(**change))
            assert not verify_store(store).is_whole
