"""What other processes and power failures do to a file: workers that start at once, copies at any moment."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from db.migrations import MIGRATIONS
from db.sqlite import SqliteFile
from tests.db.test_migrations import RELEASE

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

WORKERS = 6
MOMENTS = 25
SCHEMA = ("CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",)
OPEN = """
import asyncio, sys
from database import Database

async def open_it():
    sys.stdin.readline()
    async with Database(sys.argv[1]) as database:
        print(sum((await database.count_by_status()).values()))

print("ready", flush=True)
asyncio.run(open_it())
"""
# Notes in a file of its own which rows were acknowledged; its checkpoints are small, so that there are many.
WRITE = """
import asyncio, itertools, os, sys
from db.sqlite import SqliteFile
from tests.db.test_sqlite_processes import SCHEMA

numbers = itertools.count(1)
acknowledged = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

async def write_for_ever(file):
    for number in numbers:
        async def statements(connection):
            await connection.execute_fetchall("INSERT INTO notes VALUES (?, ?)", (number, "text" * 200))
        await file.write(statements)
        os.write(acknowledged, f"{number}\\n".encode())

async def main():
    async with SqliteFile(sys.argv[1], SCHEMA) as file:
        await file.writer.execute_fetchall("PRAGMA wal_autocheckpoint = 20")
        await asyncio.gather(*(write_for_ever(file) for _ in range(4)))

asyncio.run(main())
"""


def python(script: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


# Workers that start at once


@pytest.mark.parametrize(("rows", "start_with"), [(0, None), (29, RELEASE)])
def test_workers_that_start_at_once_all_open_a_new_or_an_older_file(
    tmp_path: Path, rows: int, start_with: Path | None
) -> None:
    path = tmp_path / "tasks.db"
    if start_with:
        shutil.copyfile(start_with, path)
    workers = [python(OPEN, path) for _ in range(WORKERS)]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * WORKERS
    assert said == [f"{rows}\n"] * WORKERS
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


# Power failures


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """The process stands still, wherever it is in writing."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def copies(process: subprocess.Popen[str], path: Path, acknowledged: Path) -> Iterator[tuple[Path, set[int]]]:
    """The files as they are on disk at random moments, and which rows had been acknowledged by then."""
    for moment in range(MOMENTS):
        seen = lines(acknowledged)
        while lines(acknowledged) == seen:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.03))
        copy = path.with_name(f"copy-{moment}.db")
        with stopped(process):
            for suffix in ("", "-wal"):
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
            stored = {int(line) for line in acknowledged.read_text().splitlines()}
        yield copy, stored


def half_written_page(wal: Path) -> None:
    with wal.open("ab") as log:
        log.write(os.urandom(random.randrange(1, 4096)))


async def test_after_a_power_failure_at_any_moment_no_acknowledged_row_is_missing(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "notes.db", tmp_path / "acknowledged"
    process = python(WRITE, path, acknowledged)
    try:
        for number, (copy, stored) in enumerate(copies(process, path, acknowledged)):
            if number % 2:
                half_written_page(Path(f"{copy}-wal"))
            async with SqliteFile(str(copy), SCHEMA) as file:
                assert stored <= {row["number"] for row in await file.scan("SELECT number FROM notes")}
            assert query(copy, "PRAGMA integrity_check") == [("ok",)]
    finally:
        process.kill()
        process.communicate()
    assert len(stored) > MOMENTS
