"""A SQLite file: opened, brought up to date by numbered migrations, written by one writer in groups."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

T = TypeVar("T")
Connection = aiosqlite.Connection
Row = sqlite3.Row

BUSY_TIMEOUT_S = 5.0


class DatabaseRefused(Exception):
    """The file cannot be used (damaged, newer than this service, not writable); one line for people."""


@dataclass(frozen=True, slots=True)
class _Write:
    statements: Callable[[Connection], Awaitable[Any]]
    done: asyncio.Future[Any]


class SqliteFile:
    """One file and three connections: `writer` (through `write`), `reader` for rows, `lister` for scans.

    Enter it to open the file and close it after; raises DatabaseRefused when the file cannot be used.
    """

    writer: Connection
    reader: Connection
    lister: Connection

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

    async def write(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `statements` inside the next transaction; returns when it is on disk.

        Writes that wait at the same time are committed together, so that they share one sync to disk.
        Nothing may be awaited inside but the connection. Raises sqlite3.Error; then nothing was written.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.put_nowait(_Write(statements, done))
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
