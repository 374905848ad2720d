"""A PostgreSQL server of the tests' own, in a temporary folder, or the one that TEST_DATABASE_URL names.

with start_postgres() as server:
    with server.database() as url: …
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from simulator import local_postgres
from tests.processes import free_port

NO_SERVER = "no PostgreSQL server: install the system's package postgresql, or set TEST_DATABASE_URL"
IS_RECEIVING = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
IS_SYNCHRONOUS = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
OPTIONS = {**local_postgres.VOLATILE, "max_connections": "200", "shared_buffers": "64MB"}


@dataclass(slots=True)
class RunningServer:
    """A running server; `url` is its maintenance database. `data` is None for one that is not ours."""

    url: str
    data: Path | None = None
    port: int = 0

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a new database, which is deleted at the end."""
        name = f"test_{secrets.token_hex(8)}"
        asyncio.run(_execute(self.url, f'CREATE DATABASE "{name}"'))
        try:
            yield self.address(name)
        finally:
            asyncio.run(_execute(self.url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def address(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def start(self) -> None:
        """As its service manager would; returns when it accepts connections."""
        assert self.data is not None
        local_postgres.start(self.data, self.port, OPTIONS)

    def is_running(self) -> bool:
        assert self.data is not None
        try:
            local_postgres.run("pg_ctl", "-D", str(self.data), "status")
        except subprocess.CalledProcessError:
            return False
        return True

    def stop(self, mode: str = "immediate") -> None:
        """`fast`: as a restart does. `immediate`: as a crash."""
        assert self.data is not None
        local_postgres.stop(self.data, mode)

    def kill(self) -> None:
        """SIGKILL to the server and all its processes, as when its machine loses power."""
        assert self.data is not None
        process = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        for number in (process, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    @contextmanager
    def standby(self, *, is_synchronous: bool) -> Iterator["RunningServer"]:
        """A second server that receives what this one commits: before a commit returns, or a moment later."""
        assert self.data is not None
        data, port = self.data.with_name("standby"), free_port()
        copy = ("--checkpoint=fast", "--no-sync", "--wal-method=stream", "--write-recovery-conf")
        local_postgres.run("pg_basebackup", "-d", self.url, "-D", str(data), *copy)
        standby = RunningServer(self.url.replace(f":{self.port}/", f":{port}/"), data, port)
        standby.start()
        try:
            if is_synchronous:
                self.configure("synchronous_standby_names = '*'")
            self.wait_until(IS_SYNCHRONOUS if is_synchronous else IS_RECEIVING)
            yield standby
        finally:
            if is_synchronous:
                self.configure("synchronous_standby_names = ''")
            standby.stop()
            shutil.rmtree(data)

    def stop_receiving(self) -> None:
        """Let a standby lag: what the other server commits from now on it does not get."""
        self.configure("primary_conninfo = ''")
        self.wait_until("SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    def promote(self) -> None:
        """Let a standby accept writes."""
        assert self.data is not None
        local_postgres.run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def configure(self, setting: str) -> None:
        for sql in (f"ALTER SYSTEM SET {setting}", "SELECT pg_reload_conf()"):
            asyncio.run(_execute(self.url, sql))

    def wait_until(self, sql: str) -> None:
        """Until the statement returns true."""
        deadline = time.monotonic() + local_postgres.TIMEOUT_S
        while not asyncio.run(_value(self.url, sql)):
            assert time.monotonic() < deadline, sql
            time.sleep(0.05)


def empty(url: str) -> None:
    """Delete all rows that the service has stored, without its triggers."""
    tables = ("tasks", "task_counts", "accounts", "submit_limiters", "stray_runs", "workers", "outputs")
    more = ("files_to_delete", "used_webapps", "users", "deleted_tasks", "webhook_deliveries")
    metrics = ("metric_samples", "worker_streams")
    statements = [
        "SET session_replication_role = replica",
        *(f"DELETE FROM {table}" for table in (*tables, *more, *metrics)),  # noqa: S608
        "UPDATE queue_turn SET turn = 0",
        "ALTER SEQUENCE tasks_seq_seq RESTART",
    ]
    asyncio.run(_execute(url, ";".join(statements)))


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _value(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@contextmanager
def start_postgres() -> Iterator[RunningServer]:
    """Skips the test where there is no server; in CI that is a failure."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield RunningServer(url)
        return
    if local_postgres.program("initdb") is None:
        pytest.skip(NO_SERVER)
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - its user passes through
        data = Path(folder) / "data"
        data.mkdir()
        local_postgres.create(data, "-A", "trust")
        port = free_port()
        server = RunningServer(f"postgresql://postgres:{quote('pw')}@127.0.0.1:{port}/postgres", data, port)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def start_own_postgres() -> Iterator[RunningServer]:
    """A server that tests may stop; skips them where there is none but the one that others need."""
    with start_postgres() as server:
        if server.data is None:
            pytest.skip("TEST_DATABASE_URL is a server that other tests need")
        yield server
