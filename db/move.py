"""`python -m db.move SOURCE TARGET` copies a SQLite database to an empty PostgreSQL database.

Everything happens in one transaction: after an interruption the target is as empty as before. What was
copied is read back and compared before it is committed. Afterwards the service refuses to open the source,
until somebody deletes the mark beside it: tasks that wait in both would be paid for twice.
"""

import argparse
import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from config import checked_database_url, without_password
from db.copies import CommandRefused, check_copy, copy_database, draft_folder, key_path, run, sync
from db.engine import DatabaseRefused
from db.migrations import MIGRATIONS
from db.postgres import APPLICATION, START_ERRORS, connect, migrate, refusal, storable
from db.progress import Progress
from db.sqlite import SqliteFile, moved_mark
from db.worker_lock import WorkerLock
from secret_key import SecretKey

DESCRIPTION = "Copy a SQLite database to an empty PostgreSQL database, while the service is stopped."
PREFIX = {"SOURCE": "sqlite:///", "TARGET": "postgresql://"}
# Of SQLite alone (a queue's counters, its sequences), or about processes that have ended.
NOT_COPIED = frozenset({"queue_counts", "sqlite_sequence", "workers", "worker_streams"})
# What a person compares: the sums of these columns are printed.
SUMMED = ("coins_micros", "money_micros", "third_party_money_micros", "size")
# The migrations store its one row.
NEVER_EMPTY = "queue_turn"
READ_AHEAD = 100
INTERRUPTED = 130
CHECKSUM_BYTES = 16

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
COLUMNS = "SELECT name FROM pragma_table_info(?)"
INSTANCES = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()
"""
# The transaction lasts as long as it must, whatever limits the server has by default.
BEGIN = """
    BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s';
    SET LOCAL idle_in_transaction_session_timeout = 0
"""


class Content:
    """What a table contains: how many rows and bytes, and a sum over all rows that no order changes."""

    def __init__(self) -> None:
        self.rows = self.size = self.checksum = 0

    def add(self, row: tuple[Any, ...]) -> None:
        text = repr(row).encode()
        self.rows += 1
        self.size += len(text)
        digest = blake2b(text, digest_size=CHECKSUM_BYTES).digest()
        self.checksum = (self.checksum + int.from_bytes(digest)) % 256**CHECKSUM_BYTES

    def is_same(self, other: "Content") -> bool:
        return (self.rows, self.size, self.checksum) == (other.rows, other.size, other.checksum)


@dataclass(frozen=True, slots=True)
class Table:
    """One table, with the columns that SQLite has; PostgreSQL's further ones have a default."""

    name: str
    columns: tuple[str, ...]
    rows: int

    @property
    def select(self) -> str:
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"  # noqa: S608 - names of our own schema

    @property
    def summed(self) -> tuple[str, ...]:
        return tuple(column for column in SUMMED if column in self.columns)

    @property
    def select_sums(self) -> str:
        sums = (f"coalesce(sum({column}), 0)" for column in self.summed)
        return f"SELECT {', '.join(['count(*)', *sums])} FROM {self.name}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Copied:
    """A table of which both databases contain the same."""

    table: Table
    content: Content
    sums: tuple[int, ...]


def move(source: Path, target: str, progress: Progress) -> str:
    """Copy the database `source` to the address `target`; returns what was copied, and what to do next.

    Raises CommandRefused or DatabaseRefused where nothing was copied.
    """
    began = time.monotonic()
    if not source.is_file():
        raise CommandRefused(f"there is no database {source}")
    if (mark := moved_mark(source)).exists():
        raise CommandRefused(
            f"{source} was moved before: {mark} says when and where to. If that is not so,"
            " or you have given that database up, delete the file and move again"
        )
    if key_path(source).is_file():
        SecretKey.next_to(str(source))  # raises where it is damaged
    copied = asyncio.run(_move_alone(source, target, progress))
    return _report(copied, source, target, time.monotonic() - began)


async def _move_alone(source: Path, target: str, progress: Progress) -> list[Copied]:
    # Held to the end: a worker that starts meanwhile waits, and finds the mark.
    async with WorkerLock(str(source)) as lock:
        if not lock.is_only_worker:
            raise CommandRefused(f"{source} is in use: stop the service, all its workers, first")
        with draft_folder(source, "move-") as folder:
            draft = Path(folder) / source.name
            await _draft(source, draft, progress)
            with closing(sqlite3.connect(draft)) as rows:
                async with _transaction(target) as connection:
                    copied = await _copy_all(rows, connection, progress)
                    await _commit(connection, source, target)
    return copied


async def _draft(source: Path, draft: Path, progress: Progress) -> None:
    """A consistent copy, checked for damage and brought up to date: the source itself is only read."""
    progress.begin("reading the source")
    copy_database(source, draft)
    check_copy(draft, str(source))
    async with SqliteFile(str(draft), MIGRATIONS):
        pass
    progress.end()


@asynccontextmanager
async def _transaction(url: str) -> AsyncIterator[Any]:
    """A transaction on a database that no instance uses, nor starts to use until it ends.

    Whatever was not committed is undone.
    """
    try:
        connection = await connect(url, f"{APPLICATION}-move")
        try:
            if await connection.fetchval(INSTANCES, APPLICATION):
                raise DatabaseRefused("it is in use: stop the service, all its instances, first")
            await connection.execute(BEGIN)
            await migrate(connection)
            yield connection
        finally:
            connection.terminate()
    except DatabaseRefused as exc:
        raise CommandRefused(_nothing_moved(url, str(exc))) from exc
    except START_ERRORS as exc:
        raise CommandRefused(_nothing_moved(url, refusal(exc))) from exc


def _nothing_moved(url: str, reason: str) -> str:
    return f"nothing was moved, since {without_password(url)} cannot be used: {reason}"


async def _copy_all(rows: sqlite3.Connection, connection: Any, progress: Progress) -> list[Copied]:
    """Copy every table, read all back, and compare."""
    tables = list(_tables(rows))
    await _require_empty(connection, tables)
    total = sum(table.rows for table in tables)
    progress.begin("copying", total)
    contents = [await _copy(table, rows, connection, progress) for table in tables]
    await _continue_sequences(rows, connection)
    progress.end()
    progress.begin("comparing", total)
    copied = [
        await _compare(table, content, rows, connection, progress)
        for table, content in zip(tables, contents, strict=True)
    ]
    progress.end()
    await connection.execute("ANALYZE")
    return copied


def _tables(rows: sqlite3.Connection) -> Iterator[Table]:
    for (name,) in rows.execute(TABLES).fetchall():
        if name not in NOT_COPIED:
            columns = tuple(column for (column,) in rows.execute(COLUMNS, (name,)))
            ((count,),) = rows.execute(f"SELECT count(*) FROM {name}")  # noqa: S608
            yield Table(name, columns, count)


async def _require_empty(connection: Any, tables: Sequence[Table]) -> None:
    for name in [*(table.name for table in tables), "workers"]:
        if name != NEVER_EMPTY and await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {name})"):  # noqa: S608
            raise DatabaseRefused(f"it is not empty, there are rows in its table {name}")


async def _copy(table: Table, rows: sqlite3.Connection, connection: Any, progress: Progress) -> Content:
    """Stream a table's rows, without PostgreSQL's triggers: what they count is copied, too."""
    content = Content()

    def passing() -> Iterator[tuple[Any, ...]]:
        for row in rows.execute(table.select):
            values = tuple(map(storable, row))
            content.add(values)
            progress.advance()
            yield values

    if table.name == NEVER_EMPTY:
        await connection.execute(f"DELETE FROM {table.name}")  # noqa: S608
    await connection.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
    await connection.copy_records_to_table(table.name, columns=table.columns, records=passing())
    await connection.execute(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")
    return content


async def _continue_sequences(rows: sqlite3.Connection, connection: Any) -> None:
    """The numbers of deleted rows are not given again either: they are public."""
    for name, number in rows.execute("SELECT name, seq FROM sqlite_sequence WHERE seq > 0").fetchall():
        await connection.execute("SELECT setval(pg_get_serial_sequence($1, 'seq'), $2)", name, number)


async def _compare(
    table: Table, content: Content, rows: sqlite3.Connection, connection: Any, progress: Progress
) -> Copied:
    """Raises DatabaseRefused where the target does not contain what was read from the source."""
    read_back = Content()
    async for record in connection.cursor(table.select, prefetch=READ_AHEAD):
        read_back.add(tuple(record))
        progress.advance()
    (expected,) = rows.execute(table.select_sums)
    count, *sums = map(int, await connection.fetchrow(table.select_sums))
    if not content.is_same(read_back) or (count, *sums) != tuple(expected):
        raise DatabaseRefused(
            f"its table {table.name} differs from the source's: {content.rows} rows were copied,"
            f" {read_back.rows} read back"
        )
    return Copied(table, content, tuple(sums))


async def _commit(connection: Any, source: Path, target: str) -> None:
    """From here on the source is not to be served: the mark is on disk before the target has the tasks."""
    mark = moved_mark(source)
    mark.write_text(f"{without_password(target)}\n", "utf-8")
    sync(mark)
    sync(mark.absolute().parent)
    try:
        await connection.execute("COMMIT")
    except BaseException as exc:
        raise CommandRefused(
            f"the connection broke at the very end. If the table tasks of {without_password(target)} has"
            f" rows, all was moved; otherwise delete {mark} and move again"
        ) from exc


def _report(copied: Sequence[Copied], source: Path, target: str, seconds: float) -> str:
    lines = [f"{'table':<20}{'rows':>12}{'MB':>10}  sums"]
    for one in copied:
        if one.content.rows:
            sums = zip(one.table.summed, one.sums, strict=True)
            line = f"{one.table.name:<20}{one.content.rows:>12,}{one.content.size / 1e6:>10.1f}  "
            lines.append((line + ", ".join(f"{name} {value:,}" for name, value in sums if value)).rstrip())
    size = sum(one.content.size for one in copied) / 1e6
    lines += [
        f"moved {source} to {without_password(target)}: {size:.1f} MB in {seconds:.1f} s;"
        " all rows were read back and are the same",
        f"{source} is as it was; {moved_mark(source)} keeps the service from opening it",
    ]
    return "\n".join([*lines, *_next_settings(source, target)])


def _next_settings(source: Path, target: str) -> Iterator[str]:
    yield f"Now set DATABASE_URL={without_password(target)}"
    if key_path(source).is_file():
        yield "and keep SECRET_KEY as it is; if it was not set, it is now the key from the file:"
        yield f'SECRET_KEY="hex:$(cat {key_path(source)})"'
    else:
        yield "and keep SECRET_KEY as it is"


def _checked(name: str, url: str) -> str:
    try:
        checked = checked_database_url(url)
    except ValueError:
        checked = ""
    if not checked.startswith(PREFIX[name]):
        example = {"SOURCE": "sqlite:///tasks.db", "TARGET": "postgresql://user@host:5432/name"}[name]
        raise CommandRefused(f"{name} must be an address such as {example}")
    return checked


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m db.move", description=DESCRIPTION)
    parser.add_argument("source", metavar="SOURCE", help="sqlite:///path, as in DATABASE_URL")
    parser.add_argument("target", metavar="TARGET", help="postgresql://user@host:port/name; see PGPASSWORD")
    arguments = parser.parse_args()
    progress = Progress(sys.stderr)

    def command() -> str:
        source = _checked("SOURCE", arguments.source).removeprefix(PREFIX["SOURCE"])
        try:
            return move(Path(source), _checked("TARGET", arguments.target), progress)
        finally:
            progress.clear()

    try:
        return run(command, Path(arguments.source))
    except KeyboardInterrupt:
        print("interrupted: nothing was moved", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(_main())
