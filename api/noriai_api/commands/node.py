"""noriai node: looking after a node's store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from noriai_api.store import Database

app = App(name="node", help="Look after a node: back up, restore, verify, make keys.", help_format="plaintext")

Data = Annotated[Path | None, Parameter(help="Folder of the store.")]
Url = Annotated[str | None, Parameter(help="A postgresql:// URL instead.")]


@app.command
def backup(file: Path, *, data: Data = None, database: Url = None) -> int:
    """Write the whole store, and the regions it serves, to a zip; the node may serve meanwhile.

    Example: noriai node backup noriai-2026-11-24.zip --data my-node
    """
    from noriai_api.clocks import SystemClock
    from noriai_api.store.backup import write_backup
    from noriai_engine.terminal import out, progress

    store = _open_used(data, database)
    with progress("tables written") as bar:
        counts = write_backup(store, file, SystemClock().now(), bar)
    out(f"{file}: {sum(counts.values()):,} rows of {len(counts)} tables")
    return 0


@app.command
def restore(file: Path, *, data: Path, database: Url = None) -> int:
    """Fill an empty store from a backup, then verify it.

    Example: noriai node restore noriai-2026-11-24.zip --data another-node
    """
    from noriai_api.store.backup import restore_backup
    from noriai_engine.terminal import out, progress

    store = _open(data, database)
    with progress("tables read") as bar:
        counts = restore_backup(store, file, data, bar)
    out(f"{data}: {sum(counts.values()):,} rows of {len(counts)} tables")
    return _verify(store)


@app.command
def verify(*, data: Data = None, database: Url = None) -> int:
    """Check that the log and the audit chain are whole: every hash follows from the one before.

    Example: noriai node verify --data my-node
    """
    return _verify(_open_used(data, database))


@app.command
def migrate(*, data: Data = None, database: Url = None) -> int:
    """Bring the store's schema up to date; `noriai serve` does it too.

    Example: noriai node migrate --data my-node
    """
    from noriai_api.store.migrate import migrate as bring_up
    from noriai_api.store.migrate import version
    from noriai_engine.terminal import out

    store = _open(data, database)
    before = version(store)
    bring_up(store)
    out(f"schema {before or 'none'} -> {version(store)}")
    return 0


@app.command
def key(
    client: str,
    role: Literal["resident", "proxy", "partner", "vehicle", "dispatcher", "planner", "administrator", "neighbour"],
    *,
    tenant: str = "home",
    operator: str | None = None,
    vehicle: str | None = None,
    rider: str | None = None,
    data: Data = None,
    database: Url = None,
) -> int:
    """Make a client with a key of its own, shown this once: for when no administrator's key is left.

    Example: noriai node key office administrator --data my-node
    """
    import secrets

    from noriai_api.access.clients import add_client, all_of, all_tenants
    from noriai_api.access.decision import Grant, Subject
    from noriai_api.clocks import SystemClock
    from noriai_engine.model.errors import InputError
    from noriai_engine.terminal import out

    store, now = _open_used(data, database), SystemClock().now()
    subject = Subject(tenant, client, role, operator, vehicle, rider)
    grant = Grant(tenant, "client.write", "console")
    secret = secrets.token_hex(32)
    with store.writing.begin() as connection:
        if tenant not in all_tenants(connection):
            known = ", ".join(all_tenants(connection))
            raise InputError(f"no tenant {tenant}", where="--tenant", remedy=f"name one of: {known}")
        if client in [row["client"] for row in all_of(connection, grant)]:
            raise InputError("exists already", where=f"client {client}", remedy="name another")
        made = add_client(connection, subject, client, secret, now)
    out(made)
    return 0


def _open(data: Path | None, database: str | None) -> "Database":
    """A store, in whatever state."""
    from noriai_api.settings import load_settings
    from noriai_api.store import open_database

    settings, _ = load_settings({"data": data, "database": database})
    return open_database(settings.database, settings.data)


def _open_used(data: Path | None, database: str | None) -> "Database":
    """A store with a node's data in it. Raises InputError for one that is not there, empty, or of another schema."""
    from noriai_api.settings import load_settings
    from noriai_api.store.migrate import head, version
    from noriai_engine.model.errors import MissingDataError

    settings, _ = load_settings({"data": data, "database": database})
    where = settings.database or settings.data
    if not settings.database and not (settings.data / "noriai.sqlite3").is_file():
        raise MissingDataError("holds no store", where=where, remedy="name the node's folder with --data")
    store = _open(data, database)
    found = version(store)
    if found != head():
        remedy = "start noriai serve once" if found is None else "run noriai node migrate"
        raise MissingDataError(f"has schema {found or 'none'}, wanted {head()}", where=where, remedy=remedy)
    return store


def _verify(store: "Database") -> int:
    from noriai_api.store.verify import verify_store
    from noriai_engine.terminal import out

    found = verify_store(store)
    for line in found.lines:
        out(line)
    return 0 if found.is_whole else 1
