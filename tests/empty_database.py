"""SQLite databases with the service's schema and no rows: a copy takes a fraction of the migrations' time."""

import functools
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from db.migrations import MIGRATIONS


def create_database(path: Path) -> None:
    """Unless there is one."""
    if not path.exists():
        path.write_bytes(_content())


@functools.cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.db"
        with closing(sqlite3.connect(path)) as connection:
            for script in MIGRATIONS:
                connection.executescript(script)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            connection.execute("PRAGMA journal_mode = WAL")
        return path.read_bytes()
