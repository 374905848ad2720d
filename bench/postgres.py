"""A PostgreSQL server of the benchmark's own, with the settings that it has when it is installed."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from simulator import local_postgres
from tests.processes import free_port

MAX_CONNECTIONS = 200


class Postgres:
    """A running server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def database(self, name: str) -> str:
        """The address of a new database."""
        asyncio.run(self._create(name))
        return self._url(name)

    async def _create(self, name: str) -> None:
        connection = await asyncpg.connect(self._url("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Raises RuntimeError where it is not installed."""
    if local_postgres.program("initdb") is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - PostgreSQL's user passes through
        data, port = Path(folder, "postgres", "data"), free_port()
        data.mkdir(parents=True)
        local_postgres.create(data, "-A", "trust")
        local_postgres.start(data, port, {"max_connections": str(MAX_CONNECTIONS)})
        try:
            yield Postgres(port)
        finally:
            local_postgres.stop(data, "fast")
