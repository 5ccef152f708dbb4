"""How alembic runs here: on the connection it is given, within its transaction."""

from alembic import context

from noriai_api.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
