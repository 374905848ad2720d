"""A SQLite file: opened, brought up to date by numbered migrations, written by one writer in groups."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

from errors import DatabaseUnavailable

T = TypeVar("T")
Connection = aiosqlite.Connection
Row = sqlite3.Row
Parameters = Mapping[str, Any]

BUSY_TIMEOUT_S = 5.0
RETRY_AFTER_S = 5
# SQLite's primary result codes, in words for people: https://www.sqlite.org/rescode.html
REASONS = {
    sqlite3.SQLITE_BUSY: "it is locked by another program",
    sqlite3.SQLITE_LOCKED: "it is locked by another program",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written to",
    sqlite3.SQLITE_PERM: "it cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_IOERR: "its disk reports an error",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_NOTADB: "its file is damaged",
}
OTHER_REASON = "the log has the reason"


class DatabaseRefused(Exception):
    """The file cannot be used (damaged, newer than this service, not writable); one line for people."""


def _reason(exc: Exception) -> str:
    """Why a call failed, without the driver's text."""
    code: int = getattr(exc, "sqlite_errorcode", 0)
    return REASONS.get(code & 0xFF, OTHER_REASON)


@contextmanager
def _translated() -> Iterator[None]:
    """Every exception of the driver becomes DatabaseUnavailable, one of its own for every caller."""
    try:
        yield
    except sqlite3.Error as exc:
        message = f"The database cannot be used now: {_reason(exc)}. Try again in a few seconds."
        raise DatabaseUnavailable(message, retry_after=RETRY_AFTER_S) from exc


@dataclass(frozen=True, slots=True)
class _Write:
    statements: Callable[[Connection], Awaitable[Any]]
    done: asyncio.Future[Any]


class SqliteFile:
    """One file and a connection for each kind of access, so that a slow one delays no other.

    `write` uses the `writer`, `read` the `reader`, `scan` the `lister` and `count` the `counter`.
    Enter it to open the file and close it after; raises DatabaseRefused when the file cannot be used.
    While it is open, whatever stops a call is raised as DatabaseUnavailable.
    """

    writer: Connection
    reader: Connection
    lister: Connection
    counter: Connection

    def __init__(self, path: str, migrations: Sequence[str]) -> None:
        self.path = path
        self._migrations = migrations
        self._writes: asyncio.Queue[_Write | None] = asyncio.Queue()
        self._committed = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            async with AsyncExitStack() as stack:
                self.writer = await stack.enter_async_context(self._connection())
                await self._migrate()
                self.reader = await stack.enter_async_context(self._connection())
                self.lister = await stack.enter_async_context(self._connection())
                self.counter = await stack.enter_async_context(self._connection())
                stack.push_async_callback(self._finish_writes, asyncio.create_task(self._commit_writes()))
                self._stack = stack.pop_all()
        except (sqlite3.Error, OSError) as exc:
            raise DatabaseRefused(f"{self._name} cannot be used ({exc}); it was left as it is") from exc
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def _name(self) -> str:
        return f"the database {Path(self.path).name}"

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with aiosqlite.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None) as connection:
            connection.row_factory = Row
            yield connection

    async def _migrate(self) -> None:
        # FULL: what was paid for must be on disk, not only in the page cache, when the power goes.
        await self.writer.execute_fetchall("PRAGMA synchronous = FULL")
        await self.writer.execute("BEGIN IMMEDIATE")
        try:
            ((version,),) = await self.writer.execute_fetchall("PRAGMA user_version")
            if version > len(self._migrations):
                raise DatabaseRefused(
                    f"{self._name} was written by a newer version of this service"
                    f" (schema {version}, known here up to {len(self._migrations)}); it was left as it is"
                )
            for script in self._migrations[version:]:
                for statement in script.split(";"):
                    await self.writer.execute_fetchall(statement)
            await self.writer.execute_fetchall(f"PRAGMA user_version = {len(self._migrations)}")
        except BaseException:
            await self.writer.execute("ROLLBACK")
            raise
        await self.writer.execute("COMMIT")
        # Last, since it changes the file: one that is refused stays as it is, byte for byte.
        await self.writer.execute_fetchall("PRAGMA journal_mode = WAL")

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Rows that are found by an index: what a request waits for."""
        return await self._fetch(self.reader, sql, parameters)

    async def scan(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Rows of a list, which may take longer."""
        return await self._fetch(self.lister, sql, parameters)

    async def count(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Counts, and whether the database responds: neither waits behind a list."""
        return await self._fetch(self.counter, sql, parameters)

    async def _fetch(self, connection: Connection, sql: str, parameters: Parameters | None) -> list[Row]:
        with _translated():
            return list(await connection.execute_fetchall(sql, parameters or {}))

    async def write(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `statements` inside the next transaction; returns when it is on disk.

        Writes that wait at the same time are committed together, so that they share one sync to disk.
        Nothing may be awaited inside but the connection. Raises DatabaseUnavailable, or what `statements`
        raised; then nothing was written.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.put_nowait(_Write(statements, done))
        with _translated():
            return await done

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
        try:
            await self.writer.execute("BEGIN IMMEDIATE")
            results = [await write.statements(self.writer) for write in batch]
            await self.writer.execute("COMMIT")
        except Exception as exc:  # whatever it was, it belongs to those who wait; the writer goes on
            if self.writer.in_transaction:
                await self.writer.execute("ROLLBACK")
            if len(batch) > 1 and not isinstance(exc, sqlite3.OperationalError):
                for write in batch:  # one write cannot be done: it must not take the others with it
                    await self._commit([write])
                return
            for write in batch:
                if not write.done.cancelled():
                    write.done.set_exception(exc)
            return
        self._committed.set()
        for write, result in zip(batch, results, strict=True):
            if not write.done.cancelled():
                write.done.set_result(result)

    async def wait_for_commit(self, timeout_s: float) -> None:
        """Return after the next commit of this process, or after `timeout_s`; for one waiter."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._committed.wait()
        except TimeoutError:
            pass
        self._committed.clear()

    async def _finish_writes(self, writes: asyncio.Task[None]) -> None:
        self._writes.put_nowait(None)
        await writes
