"""A SQLite file: opened, brought up to date by numbered migrations, written by one writer in groups."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

from db.engine import DatabaseRefused, Parameters
from db.faults import FileFaults, is_busy, unavailable
from metrics import DATABASE_WRITE, Metrics
from models import utc_now_ms

T = TypeVar("T")
Row = sqlite3.Row

BUSY_TIMEOUT_S = 5.0
# Nothing but the recovery of a WAL file keeps a reader waiting; it must not stop the event loop for long.
LOOKUP_TIMEOUT_S = 0.1
CLOSING_BUSY_TIMEOUT_MS = 500
# A large file is checked for as long as a start may take: the whole check is `python -m db.backup`'s.
QUICK_CHECK_S = 2.0
INTERRUPT_PAUSE_S = 0.1
BUSY_PAUSE_S = (0.01, 0.05)
# aiosqlite's own ValueError: the connection is closed.
CONNECTION_ERRORS = (sqlite3.Error, ValueError)


class _StatementsFailed(Exception):
    """The transaction had begun when one of its statements failed, for this reason."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class Connection:
    """The writer's connection as the statements of a transaction see it, inside the writer's thread.

    Each call is done when it returns, so that a whole transaction costs one switch to that thread and back:
    a switch takes longer than most statements.
    """

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver = driver

    async def execute_fetchall(self, sql: str, parameters: Any = None) -> list[Row]:
        return self.driver.execute(sql, parameters or ()).fetchall()


@dataclass(frozen=True, slots=True)
class _Write:
    statements: Callable[[Connection], Awaitable[Any]]
    done: asyncio.Future[Any]

    def succeed(self, result: Any) -> None:
        if not self.done.done():  # its caller has gone
            self.done.set_result(result)

    def fail(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


def moved_mark(database: Path) -> Path:
    """A file that keeps a database from being opened; it contains the address the tasks were moved to."""
    return Path(f"{database}.moved")


class SqliteFile:
    """One file and a connection for each kind of access, so that a slow one delays no other.

    `write` uses the `writer`, `read` the `reader`, `scan` the `lister` and `count` the `counter`; `look_up`
    has one of its own that needs no thread.
    Enter it to open the file and close it after; raises DatabaseRefused when the file cannot be used.
    While it is open, whatever stops a call is raised as DatabaseUnavailable.
    """

    writer: aiosqlite.Connection
    reader: aiosqlite.Connection
    lister: aiosqlite.Connection
    counter: aiosqlite.Connection
    lookups: sqlite3.Connection

    def __init__(self, path: str, migrations: Sequence[str], *, quick_check_s: float = QUICK_CHECK_S) -> None:
        self.path = path
        self.metrics = Metrics()
        self._uri = Path(path).absolute().as_uri()
        self._migrations = migrations
        self._quick_check_s = quick_check_s
        self._faults = FileFaults(path)
        self._writes: asyncio.Queue[_Write | None] = asyncio.Queue()
        self._is_closed = False
        self._is_writer_broken = False
        self._committed = asyncio.Event()
        self._stack = AsyncExitStack()

    has_one_writer = True
    clock = staticmethod(utc_now_ms)

    async def __aenter__(self) -> Self:
        try:
            self._require_not_moved()
            async with AsyncExitStack() as stack:
                self.writer = await self._open(mode="rwc")
                stack.push_async_callback(self._close_writer)
                await self._prepare()
                self.reader = await self._open_until_end(stack)
                self.lister = await self._open_until_end(stack)
                self.counter = await self._open_until_end(stack)
                self.lookups = stack.enter_context(closing(self._open_lookups()))
                self._faults.remember_files()
                stack.push_async_callback(self._finish_writes, asyncio.create_task(self._commit_writes()))
                self._stack = stack.pop_all()
        except (sqlite3.Error, OSError) as exc:
            raise self._refused(str(exc)) from exc
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def fault(self) -> str | None:
        """Why the file cannot be relied on (damaged, deleted, replaced); None: it can.

        While there is a fault nothing may be paid for, since its outcome might not be kept.
        """
        return self._faults.fault

    def require_no_fault(self) -> None:
        """Raise DatabaseUnavailable where `fault` says something."""
        self._faults.require_none()

    @property
    def _name(self) -> str:
        return f"the database {Path(self.path).name}"

    def _refused(self, reason: str) -> DatabaseRefused:
        return DatabaseRefused(f"{self._name} cannot be used ({reason}); it was left as it is")

    def _require_not_moved(self) -> None:
        mark = moved_mark(Path(self.path))
        if mark.exists():
            raise DatabaseRefused(
                f"{self._name} was moved to {mark.read_text('utf-8').strip()}: set DATABASE_URL to that."
                f" Delete {mark.name} only if the tasks are not there: those that wait in both are paid for"
                " twice"
            )

    async def _open(self, *, mode: str = "rw") -> aiosqlite.Connection:
        """Only the first connection (mode `rwc`) may create the file: an empty one would hide a lost one."""
        uri = f"{self._uri}?mode={mode}"
        connection = await aiosqlite.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = Row
        return connection

    async def _open_until_end(self, stack: AsyncExitStack) -> aiosqlite.Connection:
        connection = await self._open()
        stack.push_async_callback(connection.close)
        # Its first read opens the -wal file: all connections must have the same one.
        await connection.execute_fetchall("SELECT count(*) FROM sqlite_master")
        return connection

    def _open_lookups(self) -> sqlite3.Connection:
        uri = f"{self._uri}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=LOOKUP_TIMEOUT_S, isolation_level=None)
        connection.row_factory = Row
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        return connection

    async def _prepare(self) -> None:
        """Check and migrate the file, again where other workers that start at once are in the way.

        SQLite waits for other locks itself, but not for the one that switching to WAL needs.
        """
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                await self._check()
                await self._migrate()
                return
            except sqlite3.OperationalError as exc:
                if not is_busy(exc) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(random.uniform(*BUSY_PAUSE_S))

    async def _check(self) -> None:
        """Refuse a damaged file, as far as the time allows: it must not be served as a healthy one."""
        check = asyncio.ensure_future(self.writer.execute_fetchall("PRAGMA quick_check(1)"))
        is_finished = bool((await asyncio.wait({check}, timeout=self._quick_check_s))[0])
        while not check.done():
            await self.writer.interrupt()
            await asyncio.wait({check}, timeout=INTERRUPT_PAUSE_S)  # once more: it may not have begun
        try:
            ((result,),) = await check
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        else:  # a check that is interrupted may report the row it was at as damaged
            if is_finished and result != "ok":
                raise self._refused(f"it is damaged: {result.splitlines()[-1]}")

    async def _migrate(self) -> None:
        await _sync_fully(self.writer)
        await self.writer.execute("BEGIN IMMEDIATE")
        try:
            ((version,),) = await self.writer.execute_fetchall("PRAGMA user_version")
            if version > len(self._migrations):
                raise DatabaseRefused(
                    f"{self._name} was written by a newer version of this service"
                    f" (schema {version}, known here up to {len(self._migrations)}); it was left as it is"
                )
            for script in self._migrations[version:]:
                for statement in _statements(script):
                    await self.writer.execute_fetchall(statement)
            if version < len(self._migrations):
                await self.writer.execute_fetchall(f"PRAGMA user_version = {len(self._migrations)}")
            await self.writer.execute("COMMIT")
        except BaseException:
            await self._roll_back()
            raise
        # Last, since it changes the file: one that is refused stays as it is, byte for byte.
        await self.writer.execute_fetchall("PRAGMA journal_mode = WAL")

    # Reading

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Rows that are found by an index: what a request waits for."""
        return await self._fetch(self.reader, sql, parameters)

    async def scan(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Rows of a list, which may take longer."""
        return await self._fetch(self.lister, sql, parameters)

    async def count(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Counts, and whether the database responds: neither waits behind a list.

        Raises also where there is a `fault`, so that readiness ends with the first statement that met it.
        """
        self.require_no_fault()
        return await self._fetch(self.counter, sql, parameters)

    async def _fetch(
        self, connection: aiosqlite.Connection, sql: str, parameters: Parameters | None
    ) -> list[Row]:
        self._require_open()
        with self._faults.translated():
            return list(await connection.execute_fetchall(sql, parameters or {}))

    async def look_up(self, sql: str, parameters: Parameters) -> Row | None:
        """One row of a small table by an index, read in the event loop's own thread.

        For what every request needs before anything else: it takes 10 µs, a switch to a reader's thread ten
        times as long. A reader of a WAL file never waits for a writer.
        """
        self._require_open()
        with self._faults.translated():
            row: Row | None = self.lookups.execute(sql, parameters).fetchone()
            return row

    def _require_open(self) -> None:
        if self._is_closed:
            raise unavailable("the service is stopping")

    # Writing

    async def write(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `statements` inside the next transaction; returns when it is on disk.

        Writes that wait at the same time are committed together, so that they share one sync to disk.
        Nothing may be awaited inside but the connection. Raises DatabaseUnavailable, or what `statements`
        raised; then nothing was written. A caller that is cancelled does not stop the write.
        """
        self._require_open()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.put_nowait(_Write(statements, done))
        with self._faults.translated():
            return await done

    async def lock(self, connection: object, name: str) -> None:
        """Nothing to do: a transaction is alone anyway."""

    async def _commit_writes(self) -> None:
        while (write := await self._writes.get()) is not None:
            batch = [write]
            while not self._writes.empty():
                if (write := self._writes.get_nowait()) is None:
                    self._writes.put_nowait(None)
                    break
                batch.append(write)
            await self._commit(batch)

    async def _commit(self, batch: list[_Write]) -> None:
        """One transaction for all. Whatever fails belongs to those who wait: the writer goes on."""
        began = time.perf_counter()
        try:
            await self._prepare_writer()
            # aiosqlite's way to call a function in the connection's thread; its public methods run one
            # statement each.
            results = await self.writer._execute(  # type: ignore[no-untyped-call]
                _run_transaction, self.writer._conn, batch
            )
        except _StatementsFailed as failed:
            await self._roll_back()
            if len(batch) == 1:
                batch[0].fail(failed.reason)
            else:  # one write cannot be done: it must not take the others with it
                for write in batch:
                    await self._commit([write])
            return
        except Exception as exc:  # before the first statement, so it concerns them all
            await self._roll_back()
            for write in batch:
                write.fail(exc)
            return
        self.metrics.observe(DATABASE_WRITE, time.perf_counter() - began)
        self._committed.set()
        for write, result in zip(batch, results, strict=True):
            write.succeed(result)

    async def _prepare_writer(self) -> None:
        self._faults.require_files()
        if self._is_writer_broken:
            await self._reopen_writer()
        if self._is_closed:  # what waits behind a lock must not keep the process from stopping
            await self.writer.execute_fetchall(f"PRAGMA busy_timeout = {CLOSING_BUSY_TIMEOUT_MS}")

    async def _roll_back(self) -> None:
        """Leave no transaction open; where that fails, the next write gets a new connection."""
        try:
            if self.writer.in_transaction:
                await self.writer.execute("ROLLBACK")
        except CONNECTION_ERRORS:
            self._is_writer_broken = True

    async def _reopen_writer(self) -> None:
        await self._close_writer()
        self.writer = await self._open()
        await _sync_fully(self.writer)
        self._is_writer_broken = False

    async def _close_writer(self) -> None:
        with suppress(*CONNECTION_ERRORS):  # it may be broken, and closing it rolls back whatever it had open
            await self.writer.close()

    async def wait_for_commit(self, timeout_s: float) -> None:
        """Return after the next commit of this process, or after `timeout_s`; for one waiter."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._committed.wait()
        except TimeoutError:
            pass
        self._committed.clear()

    async def _finish_writes(self, writes: asyncio.Task[None]) -> None:
        self._is_closed = True
        self._writes.put_nowait(None)
        await writes


def _run_transaction(driver: sqlite3.Connection, batch: list[_Write]) -> list[Any]:
    """Run the statements of all writes in one transaction; returns what each returned."""
    driver.execute("BEGIN IMMEDIATE")
    try:
        connection = Connection(driver)
        results = [_result(write.statements(connection)) for write in batch]
        driver.execute("COMMIT")
    except Exception as exc:
        raise _StatementsFailed(exc) from exc
    return results


def _result(statements: Awaitable[T]) -> T:
    """Run a coroutine that waits for nothing to its end."""
    try:
        next(iter(statements.__await__()))
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("the statements of a transaction may await nothing but its connection")


async def _sync_fully(connection: aiosqlite.Connection) -> None:
    # What was paid for must be on disk, not only in the page cache, when the power goes.
    await connection.execute_fetchall("PRAGMA synchronous = FULL")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; a trigger's own semicolons do not end it."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
