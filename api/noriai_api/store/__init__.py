"""The store: one schema on SQLite and PostgreSQL, one writer with group commit, readers beside it."""

from noriai_api.store import exchange_tables, tables
from noriai_api.store.database import Database, open_database
from noriai_api.store.writer import StoreError, Writer

__all__ = ["Database", "StoreError", "Writer", "exchange_tables", "open_database", "tables"]
