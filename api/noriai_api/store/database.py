"""Opening the store: SQLite in a file of the data folder, or PostgreSQL by URL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from noriai_engine.model.errors import InputError, MissingDataError

T = TypeVar("T")

READERS = 4
TURN = 7_601_874_402
"""Number of the lock that makes one writer of several processes."""
ALL_TENANTS = "*"
"""What the node's own work reaches; no tenant has this name."""
_NARROW = text("SELECT set_config('noriai.tenant', :tenant, true)")
TURN_MS = 5_000
"""A process that stops in the middle of a transaction (frozen, cut off) keeps the others waiting no longer."""


class Database:
    """Connections for one writer and some readers. Nothing is written but through the writer."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._upserts: dict[str, Any] = {}
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.writing, self.reading = _engine(url, 1, is_writer=True), _engine(url, READERS, is_writer=False)

    def read(self, query: Callable[[Connection], T], tenant: str | None = None) -> T:
        """Run a query on one of the readers' connections; it sees one state of the store, of one tenant or of all."""
        with self.reading.begin() as connection:
            if tenant is not None:
                self.narrow(connection, tenant)
            return query(connection)

    def narrow(self, connection: Connection, tenant: str | None) -> None:
        """Put rows of other tenants out of reach until the transaction ends, by PostgreSQL's row policies (migration
        0004): the second belt, should a query ever forget its tenant. SQLite has none. `tenant` None: all."""
        if not self.is_sqlite:
            connection.execute(_NARROW, {"tenant": ALL_TENANTS if tenant is None else tenant})

    def is_bound(self) -> bool:
        """Whether row policies bind the user we connect as: a superuser passes them by."""
        passes = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        return not self.is_sqlite and not self.read(lambda connection: connection.execute(passes).scalar())

    def upsert(self, table: Table) -> Any:
        """A statement that inserts the rows it is executed with, or overwrites those with the same primary key."""
        if table.name not in self._upserts:
            statement = (sqlite.insert if self.is_sqlite else postgresql.insert)(table)
            keys = [column.name for column in table.primary_key]
            rest = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
            self._upserts[table.name] = statement.on_conflict_do_update(index_elements=keys, set_=rest)
        return self._upserts[table.name]

    def close(self) -> None:
        self.writing.dispose()
        self.reading.dispose()


def open_database(address: str, folder: Path) -> Database:
    """The store at `address`: empty for a file in `folder`, or a postgresql:// URL. The schema is not looked at.

    Raises InputError for an address that is none, MissingDataError where no server answers.
    """
    if not address:
        folder.mkdir(parents=True, exist_ok=True)
        return Database(URL.create("sqlite+pysqlite", database=str(folder / "noriai.sqlite3")))
    try:
        url = make_url(address)
    except ArgumentError:
        raise InputError("is no address of a database", where="database", remedy=_REMEDY) from None
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        raise InputError(f"{url.get_backend_name()} is not supported", where="database", remedy=_REMEDY)
    if url.get_backend_name() == "postgresql":
        url = _for_pg8000(url)
    database = Database(url)
    try:
        database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    except SQLAlchemyError as error:
        database.close()
        said = str(getattr(error, "orig", error)).splitlines()[0]
        raise MissingDataError(
            f"does not answer: {said}", where=f"database {url.render_as_string()}", remedy="start it, or correct it"
        ) from error
    return database


_REMEDY = "write postgresql://user:password@host/name, or leave it empty for a file in the data folder"


def _for_pg8000(url: URL) -> URL:
    try:
        import pg8000  # noqa: F401
    except ImportError:
        raise InputError(
            "needs the PostgreSQL driver", where="database", remedy="pip install 'noriai[postgres]'"
        ) from None
    query: dict[str, Any] = dict(url.query)
    socket = str(query.pop("host", ""))
    if socket.startswith("/"):
        query["unix_sock"] = f"{socket}/.s.PGSQL.{url.port or 5432}"
    return url.set(drivername="postgresql+pg8000", query=query)


def _engine(url: URL, connections: int, *, is_writer: bool) -> Engine:
    """Connections of readers, or the one that writes: whoever writes has the store to itself until it commits, also
    among several processes, and a process that stops halfway loses its turn (and what it wrote) after a while."""
    engine = create_engine(url, pool_size=connections, max_overflow=0, pool_pre_ping=False)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # transactions begin when we say so
            cursor = connection.cursor()
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000", "foreign_keys = ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _on_begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

        return engine

    @event.listens_for(engine, "connect")
    def _for_all(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET noriai.tenant = '{ALL_TENANTS}'")
        connection.commit()
        cursor.close()

    if is_writer:

        @event.listens_for(engine, "begin")
        def _on_turn(connection: Connection) -> None:
            patience = f"set_config('idle_in_transaction_session_timeout', '{TURN_MS}', true)"
            connection.exec_driver_sql(f"SELECT {patience}, pg_advisory_xact_lock({TURN})")

    return engine
