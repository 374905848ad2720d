"""Databases with many tasks, written by SQL into the service's own schema."""

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.floor import NODE_INFO, RESULT
from bench.plain.main import SCHEMA as PLAIN_SCHEMA
from database import Database

FIRST_MS = 1_767_225_600_000  # 2026-01-01
APPS = 20

INSERT_FINISHED = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
    INSERT INTO tasks (id, status, created_at, updated_at, webapp_id, node_info, runninghub_task_id,
        result_data, accepted_ms, running_ms, run_seconds)
    SELECT printf('%032x', n), 'SUCCESS',
        strftime('%Y-%m-%dT%H:%M:%fZ', (:first_ms + n * 1000) / 1000.0, 'unixepoch'),
        strftime('%Y-%m-%dT%H:%M:%fZ', (:first_ms + n * 1000 + 27000) / 1000.0, 'unixepoch'),
        CAST(1992755951447109000 + n % :apps AS TEXT), :node_info, CAST(1890000000000000000 + n AS TEXT),
        :result_data, :first_ms + n * 1000, :first_ms + n * 1000, 27.0
    FROM numbers
"""
# Each user's tasks in turn, as they start: one of each user, then the second of each.
INSERT_WAITING = """
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows - 1)
    INSERT INTO tasks (id, status, created_at, updated_at, webapp_id, node_info, owner, waiting_since_ms,
        turn)
    SELECT printf('%032x', n + 1), 'PENDING',
        strftime('%Y-%m-%dT%H:%M:%fZ', (:first_ms + n) / 1000.0, 'unixepoch'),
        strftime('%Y-%m-%dT%H:%M:%fZ', (:first_ms + n) / 1000.0, 'unixepoch'),
        :webapp_id, :node_info, printf('user-%d', n % :users), :first_ms + n, 1 + n / :users
    FROM numbers
"""
COPY_TO_PLAIN = """
    INSERT INTO plain.tasks (id, runninghub_task_id, webapp_id, status, created_at, updated_at, node_info,
        result_data)
    SELECT id, runninghub_task_id, webapp_id, status, created_at, updated_at, node_info, result_data
    FROM tasks
"""
INSERT_RUNNING = """
    INSERT INTO tasks (id, status, created_at, updated_at, webapp_id, node_info, runninghub_task_id,
        accepted_ms, running_ms, next_poll_ms, poll_deadline_ms)
    SELECT :id, 'RUNNING', strftime('%Y-%m-%dT%H:%M:%fZ', :began_ms / 1000.0, 'unixepoch'),
        strftime('%Y-%m-%dT%H:%M:%fZ', :began_ms / 1000.0, 'unixepoch'), :webapp_id, :node_info,
        :runninghub_task_id, :began_ms, :began_ms, :next_poll_ms, :poll_deadline_ms
"""
INSERT_EARLIER = """
    INSERT INTO tasks (id, status, created_at, updated_at, webapp_id, node_info, run_seconds)
    VALUES (:id, 'SUCCESS', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', :webapp_id, '[]',
        :run_seconds)
"""


def finished_id(number: int) -> str:
    """The id of the row that `create_finished` gave this number, from 1."""
    return f"{number:032x}"


def create(path: Path) -> None:
    """An empty database, brought up to date by the service itself."""

    async def open_once() -> None:
        async with Database(str(path)):
            pass

    asyncio.run(open_once())


def create_finished(path: Path, rows: int) -> None:
    """A database of finished tasks."""
    create(path)
    add_finished(path, rows)


def add_finished(path: Path, rows: int) -> None:
    """Finished tasks, in a database that has none."""
    parameters = {
        "rows": rows,
        "apps": APPS,
        "first_ms": FIRST_MS,
        "node_info": json.dumps([NODE_INFO]),
        "result_data": json.dumps([RESULT]),
    }
    with closing(_connect(path)) as connection, _indexed_at_the_end(connection):
        connection.execute(INSERT_FINISHED, parameters)


def give_to(path: Path, owner: str) -> None:
    """Make all tasks one user's."""
    with closing(_connect(path)) as connection, connection:
        connection.execute("UPDATE tasks SET owner = ?", [owner])


def webapp_id(number: int) -> str:
    """The app of the finished rows with this number modulo `APPS`."""
    return str(1_992_755_951_447_109_000 + number)


def create_waiting(path: Path, rows: int, users: int) -> None:
    """A database of waiting tasks, each user's as many as any other's."""
    create(path)
    parameters = {
        "rows": rows,
        "users": users,
        "first_ms": FIRST_MS,
        "webapp_id": webapp_id(0),
        "node_info": json.dumps([NODE_INFO]),
    }
    with closing(_connect(path)) as connection, _indexed_at_the_end(connection):
        connection.execute(INSERT_WAITING, parameters)


def copy_to_plain(path: Path, plain_path: Path) -> None:
    """The same tasks for the plain version."""
    with closing(_connect(plain_path)) as connection, connection:
        connection.execute(PLAIN_SCHEMA)
    with closing(_connect(path)) as connection:
        connection.execute("ATTACH ? AS plain", [str(plain_path)])
        with connection:
            connection.execute(COPY_TO_PLAIN)


def create_running(
    path: Path, polled: Iterable[dict[str, Any]], run_times: Iterable[tuple[str, float]] = ()
) -> None:
    """A database of tasks at RunningHub, and of `(webapp_id, run seconds)` of earlier ones."""
    create(path)
    node_info = json.dumps([NODE_INFO])
    earlier = [
        {"id": f"earlier-{number}", "webapp_id": webapp_id, "run_seconds": seconds}
        for number, (webapp_id, seconds) in enumerate(run_times)
    ]
    with closing(_connect(path)) as connection, connection:
        connection.executemany(INSERT_EARLIER, earlier)
        connection.executemany(INSERT_RUNNING, ({**row, "node_info": node_info} for row in polled))


@contextmanager
def _indexed_at_the_end(connection: sqlite3.Connection) -> Iterator[None]:
    """Insert many rows, then build the indexes: row by row, a million would be added in a random order."""
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'tasks' AND sql IS NOT NULL"
    ).fetchall()
    with connection:
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        yield
        for _, sql in indexes:
            connection.execute(sql)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    return connection
