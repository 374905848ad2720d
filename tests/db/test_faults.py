"""Damage, lost files and a failing disk: each is one error of ours, and the log says it once a minute."""

import asyncio
import logging
import os
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.engine import DatabaseRefused
from db.faults import RETRY_AFTER_S, FileFaults, reason_of
from db.sqlite import Connection, SqliteFile
from errors import DatabaseUnavailable

pytestmark = pytest.mark.anyio

SCHEMA = ("CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",)
ALL_NOTES = "SELECT * FROM notes"
PAGE = 4096
ROWS = 300
DAMAGED = "its file is damaged"
# Each row's check takes milliseconds; the last one's fails.
SLOW_TO_CHECK = """
    CREATE TABLE slow (number INTEGER CHECK (number < length(replace(hex(zeroblob(5000000)), '0', '1'))));
    PRAGMA ignore_check_constraints = ON;
    INSERT INTO slow SELECT iif(number < 150, number, 1e9) FROM notes WHERE number <= 150;
"""


def insert(text: str) -> Callable[[Connection], Awaitable[None]]:
    async def statements(connection: Connection) -> None:
        await connection.execute_fetchall("INSERT INTO notes (text) VALUES (?)", (text,))

    return statements


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed file of many pages."""
    path = tmp_path / "data" / "notes.db"
    path.parent.mkdir()
    async with SqliteFile(str(path), SCHEMA) as file:
        await asyncio.gather(*(file.write(insert(f"{number} {'text' * 100}")) for number in range(ROWS)))
    return path


@pytest.fixture
async def file(path: Path) -> AsyncIterator[SqliteFile]:
    async with SqliteFile(str(path), SCHEMA) as file:
        yield file


def overwrite_middle(path: Path) -> None:
    with path.open("r+b") as pages:
        pages.seek(path.stat().st_size // PAGE // 2 * PAGE)
        pages.write(b"\xee" * 4 * PAGE)


def overwrite_header(path: Path) -> None:
    with path.open("r+b") as pages:
        pages.write(b"\xee" * PAGE)


def error_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# Damage


async def test_damage_that_a_statement_comes_across_is_remembered_and_logged_once_a_minute(
    file: SqliteFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overwrite_middle(path)
    await file.lister.execute_fetchall("PRAGMA shrink_memory")  # what a long-running process has read before
    assert file.fault is None
    for _ in range(20):
        with pytest.raises(DatabaseUnavailable) as refused:
            await file.scan(ALL_NOTES)
    assert refused.value.message == (
        "The database cannot be used now: its file is damaged. Try again in a few seconds."
    )
    assert (refused.value.status_code, refused.value.retry_after) == (503, RETRY_AFTER_S)
    assert isinstance(refused.value.__cause__, sqlite3.DatabaseError)
    assert file.fault == DAMAGED
    with pytest.raises(DatabaseUnavailable, match=DAMAGED):
        file.require_no_fault()
    with pytest.raises(DatabaseUnavailable, match=DAMAGED):
        await file.count("SELECT 1")
    assert error_lines(caplog) == [
        "the database cannot be used: database disk image is malformed",
        "the database cannot be used: its file is damaged",
    ]


async def test_what_can_still_be_written_to_a_damaged_file_is_written(file: SqliteFile, path: Path) -> None:
    overwrite_middle(path)
    with pytest.raises(DatabaseUnavailable):
        await file.scan(ALL_NOTES)
    await file.write(insert("the outcome of a paid call"))
    (row,) = await file.read("SELECT text FROM notes ORDER BY number DESC LIMIT 1")
    assert row["text"] == "the outcome of a paid call"
    assert file.fault == DAMAGED


@pytest.mark.parametrize("damage", [overwrite_middle, overwrite_header])
async def test_a_damaged_file_is_refused_at_the_start_and_left_as_it_is(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused) as refused:
        await SqliteFile(str(path), SCHEMA).__aenter__()
    assert str(refused.value).startswith("the database notes.db cannot be used (")
    assert str(refused.value).count("\n") == 0
    assert path.read_bytes() == before


async def test_the_check_at_the_start_ends_when_its_time_is_up(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(SLOW_TO_CHECK)
    connection.close()
    async with SqliteFile(str(path), SCHEMA, quick_check_s=0.001) as file:
        assert len(await file.scan(ALL_NOTES)) == ROWS
    with pytest.raises(DatabaseRefused, match="CHECK constraint failed in slow"):
        await SqliteFile(str(path), SCHEMA, quick_check_s=600).__aenter__()


# Lost files


async def test_a_file_that_stays_where_it_is_has_no_fault(file: SqliteFile) -> None:
    await file.write(insert("one"))
    assert file.fault is None
    file.require_no_fault()


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    shutil.copy(path, f"{path}.copy")
    os.replace(f"{path}.copy", path)


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def delete_wal(path: Path) -> None:
    Path(f"{path}-wal").unlink()


@pytest.mark.parametrize(
    ("loses", "fault"),
    [
        (delete, "its file was deleted or replaced"),
        (replace, "its file was deleted or replaced"),
        (delete_folder, "its file was deleted or replaced"),
        (delete_wal, "its -wal file was deleted or replaced"),
    ],
)
async def test_nothing_is_written_to_a_file_that_is_lost(
    file: SqliteFile, path: Path, loses: Callable[[Path], None], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    await file.write(insert("one"))
    loses(path)
    assert file.fault == fault
    for _ in range(20):
        with pytest.raises(DatabaseUnavailable, match=fault):
            await file.write(insert("gone after the next start"))
    assert len(await file.read(ALL_NOTES)) == ROWS + 1  # what is open can still be read
    assert error_lines(caplog) == [f"the database cannot be used: {fault}"]


async def test_a_file_that_is_put_back_is_written_again(file: SqliteFile, path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    with pytest.raises(DatabaseUnavailable):
        await file.write(insert("one"))
    path.with_suffix(".away").rename(path)
    await file.write(insert("two"))
    assert file.fault is None


# The disk and the system


@contextmanager
def no_file_may_grow_over(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_reports_an_error_stops_only_what_is_written_then(
    file: SqliteFile, path: Path
) -> None:
    await file.write(insert("one"))
    with no_file_may_grow_over(Path(f"{path}-wal").stat().st_size + 100):
        with pytest.raises(DatabaseUnavailable, match="its disk reports an error"):
            await file.write(insert("two" * PAGE))
        assert len(await file.scan(ALL_NOTES)) == ROWS + 1
    await file.write(insert("three"))
    assert len(await file.scan(ALL_NOTES)) == ROWS + 2
    assert file.fault is None


async def test_a_file_that_may_only_be_read_stops_writes_and_no_reads(file: SqliteFile) -> None:
    await file.writer.execute_fetchall("PRAGMA query_only = ON")
    with pytest.raises(DatabaseUnavailable, match="it cannot be written to"):
        await file.write(insert("one"))
    assert len(await file.scan(ALL_NOTES)) == ROWS


async def test_a_statement_that_is_wrong_does_not_show_the_drivers_text(
    file: SqliteFile, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        await file.read("SELECT secret FROM nowhere")
    assert "nowhere" not in refused.value.message
    assert error_lines(caplog) == ["the database cannot be used: no such table: nowhere"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (sqlite3.SQLITE_BUSY, "it is locked by another program"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "it is locked by another program"),
        (sqlite3.SQLITE_FULL, "its disk is full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "it cannot be written to"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "its file cannot be opened"),
        (sqlite3.SQLITE_IOERR_FSYNC, "its disk reports an error"),
        (sqlite3.SQLITE_CORRUPT_INDEX, DAMAGED),
        (sqlite3.SQLITE_NOTADB, DAMAGED),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, "the log has the reason"),
    ],
)
def test_the_drivers_codes_in_words(code: int, reason: str) -> None:
    exc = sqlite3.OperationalError("text of the driver")
    exc.sqlite_errorcode = code
    assert reason_of(exc) == reason


def test_a_path_that_was_never_opened_has_no_fault(tmp_path: Path) -> None:
    assert FileFaults(str(tmp_path / "nowhere.db")).fault is None
