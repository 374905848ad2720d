"""Selects the engine by the database's location."""

from db.engine import Engine
from db.migrations import MIGRATIONS
from db.postgres import PostgresServer
from db.sqlite import SqliteFile


def open_engine(location: str) -> Engine:
    """The engine of a PostgreSQL address or a SQLite file's path; it is opened when it is entered."""
    if location.startswith("postgresql://"):
        return PostgresServer(location)
    return SqliteFile(location, MIGRATIONS)
