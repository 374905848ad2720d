"""Tells a worker whether it is the only one that serves a database, even after a kill -9."""

import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import aiosqlite

from db.engine import DatabaseRefused

WAIT_S = 10.0


class NoWorkerLock:
    """For a server's database: whether other instances live cannot be told, so that each counts on some."""

    is_only_worker = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to give back."""

    async def share(self) -> None:
        """It never was alone."""


class WorkerLock:
    """A shared lock on `<database>.workers`, held while a worker lives; the system frees it when it dies.

    SQLite's own locks serve, since they work on every system and need no further package.
    `is_only_worker` is true on entry when nobody else held the lock; call `share` when what that allowed
    is done. Raises DatabaseRefused on entry.
    """

    is_only_worker = False

    def __init__(self, database_path: str) -> None:
        self._path = f"{database_path}.workers"
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            async with AsyncExitStack() as stack:
                connect = aiosqlite.connect(self._path, timeout=0, isolation_level=None)
                self._connection = await stack.enter_async_context(connect)
                await self._lock()
                self._stack = stack.pop_all()
        except sqlite3.Error as exc:
            raise DatabaseRefused(f"the lock file {Path(self._path).name} cannot be used ({exc})") from exc
        return self

    async def _lock(self) -> None:
        try:
            await self._connection.execute("BEGIN EXCLUSIVE")
            self.is_only_worker = True
        except sqlite3.OperationalError:
            await self.share()

    async def share(self) -> None:
        """Hold the lock together with other workers from now on."""
        if self.is_only_worker:
            await self._connection.execute("COMMIT")
        self.is_only_worker = False
        await self._connection.execute(f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}")
        await self._connection.execute("BEGIN")
        await self._connection.execute_fetchall("SELECT count(*) FROM sqlite_master")

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
