"""Bringing the schema of a store up to date (alembic), whichever database it is in."""

from pathlib import Path
from typing import Any

from noriai_api.store.database import Database
from noriai_engine.model.errors import InputError


def migrate(database: Database) -> None:
    """Apply the migrations that are missing, in one transaction. Raises InputError for a store of a newer noriai."""
    from alembic import command
    from alembic.util.exc import CommandError

    config = _config()
    with database.writing.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise InputError(
                f"cannot be brought up to date: {error}", where="store",
                remedy="a newer noriai has written it: use that one, or restore a backup",
            ) from error  # fmt: skip


def version(database: Database) -> str | None:
    """The migration a store is at, None for an empty one."""
    from alembic.runtime.migration import MigrationContext

    found = database.read(lambda connection: MigrationContext.configure(connection).get_current_revision())
    return None if found is None else str(found)


def head() -> str:
    """The newest migration."""
    from alembic.script import ScriptDirectory

    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
