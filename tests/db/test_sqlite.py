"""Opening, migrating and refusing a file; writes that are committed together, or not at all."""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from database import Database
from db.engine import DatabaseRefused
from db.migrations import MIGRATIONS
from db.sqlite import Connection, SqliteFile
from errors import DatabaseUnavailable
from tests.conftest import until

pytestmark = pytest.mark.anyio

FIRST = "CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"
SECOND = "ALTER TABLE notes ADD COLUMN colour TEXT; UPDATE notes SET colour = 'red';"
SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


@pytest.fixture(autouse=True)
async def no_thread_stays() -> AsyncIterator[None]:
    """A connection that is not closed, also after a refused start, would keep the process from ending."""
    before = threading.active_count()
    yield
    await until(lambda: threading.active_count() <= before)


@pytest.fixture
async def file(path: Path) -> AsyncIterator[SqliteFile]:
    async with SqliteFile(str(path), (FIRST,)) as file:
        yield file


def insert(text: str) -> Callable[[Connection], Awaitable[str]]:
    async def statements(connection: Connection) -> str:
        await connection.execute_fetchall("INSERT INTO notes (text) VALUES (?)", (text,))
        return text

    return statements


def deny_transactions(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK


async def fails(connection: Connection) -> None:
    raise ArithmeticError("a fault in the statements")


async def texts(file: SqliteFile) -> list[str]:
    rows = await file.read("SELECT text FROM notes ORDER BY number")
    return [text for (text,) in rows]


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def write_file(path: Path, script: str) -> bytes:
    """A file as another program left it."""
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path.read_bytes()


# Opening


async def test_a_new_file_gets_the_newest_schema(path: Path) -> None:
    async with SqliteFile(str(path), (FIRST, SECOND)):
        pass
    assert query(path, "PRAGMA user_version") == [(2,)]
    assert query(path, "SELECT name FROM pragma_table_info('notes')") == [("number",), ("text",), ("colour",)]


async def test_an_older_file_is_brought_up_to_date_and_keeps_its_rows(path: Path) -> None:
    async with SqliteFile(str(path), (FIRST,)) as older:
        await older.write(insert("kept"))
    async with SqliteFile(str(path), (FIRST, SECOND)):
        pass
    assert query(path, "SELECT * FROM notes") == [(1, "kept", "red")]


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
async def test_every_older_schema_of_the_service_becomes_the_newest(tmp_path: Path, version: int) -> None:
    older, newest = tmp_path / "older.db", tmp_path / "newest.db"
    async with SqliteFile(str(older), MIGRATIONS[:version]):
        pass
    async with Database(str(older)), Database(str(newest)):
        pass
    assert query(older, SCHEMA) == query(newest, SCHEMA)
    assert query(older, "PRAGMA user_version") == [(len(MIGRATIONS),)]


async def test_a_migration_that_fails_leaves_the_file_at_its_version(path: Path) -> None:
    async with SqliteFile(str(path), (FIRST,)) as older:
        await older.write(insert("kept"))
    half = "ALTER TABLE notes ADD COLUMN colour TEXT; UPDATE nowhere SET colour = 'red';"
    with pytest.raises(DatabaseRefused, match="no such table: nowhere"):
        await SqliteFile(str(path), (FIRST, half)).__aenter__()
    async with SqliteFile(str(path), (FIRST,)) as again:
        assert await texts(again) == ["kept"]


async def test_a_trigger_is_one_statement_of_a_migration(path: Path) -> None:
    trigger = """
        CREATE TRIGGER louder AFTER INSERT ON notes BEGIN
            UPDATE notes SET text = text || ';' WHERE number = new.number;
            UPDATE notes SET text = upper(text) WHERE number = new.number;
        END;
        CREATE TABLE after_it (number INTEGER) STRICT;
    """
    async with SqliteFile(str(path), (FIRST, trigger)) as file:
        await file.write(insert("one"))
        assert await texts(file) == ["ONE;"]


async def test_a_newer_file_is_refused_in_one_line_and_left_as_it_is(path: Path) -> None:
    before = write_file(path, f"{FIRST} PRAGMA user_version = 7;")
    with pytest.raises(DatabaseRefused) as refused:
        await SqliteFile(str(path), (FIRST,)).__aenter__()
    assert str(refused.value) == (
        "the database notes.db was written by a newer version of this service"
        " (schema 7, known here up to 1); it was left as it is"
    )
    assert path.read_bytes() == before


def no_database(path: Path) -> None:
    path.write_bytes(b"these are no pages of a database" * 100)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def broken_schema(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 64)


@pytest.mark.parametrize("damage", [no_database, cut_off, broken_schema])
async def test_a_damaged_file_is_refused_in_one_line_and_left_as_it_is(
    path: Path, damage: Callable[[Path], None]
) -> None:
    async with SqliteFile(str(path), (FIRST, SECOND)) as file:
        for number in range(200):
            await file.write(
                insert(f"{number} of a text that fills pages, so that there is something to cut")
            )
    damage(path)
    before = path.read_bytes()
    with pytest.raises(
        DatabaseRefused, match=r"^the database notes\.db cannot be used \([^\n]*\)"
    ) as refused:
        await SqliteFile(str(path), (FIRST, SECOND)).__aenter__()
    assert str(refused.value).endswith("; it was left as it is")
    assert path.read_bytes() == before


async def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "notes.db"
    with pytest.raises(DatabaseRefused) as refused:
        await SqliteFile(str(path), (FIRST,)).__aenter__()
    assert str(refused.value) == (
        "the database notes.db cannot be used (unable to open database file); it was left as it is"
    )


async def test_workers_that_start_at_once_all_open_the_file(file: SqliteFile, path: Path) -> None:
    files = [SqliteFile(str(path), (FIRST, SECOND)) for _ in range(6)]
    opened = await asyncio.gather(*(file.__aenter__() for file in files), return_exceptions=True)
    await asyncio.gather(*(file.__aexit__() for file in opened if isinstance(file, SqliteFile)))
    assert opened == files


async def test_a_copy_of_an_open_file_with_its_log_is_whole(file: SqliteFile, path: Path) -> None:
    await file.write(insert("on disk"))
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{path}.copy{suffix}")
    assert query(path.with_name("notes.db.copy"), "SELECT text FROM notes") == [("on disk",)]


# Writing


async def test_a_write_answers_what_its_statements_answer_and_is_seen_by_readers(file: SqliteFile) -> None:
    assert await file.write(insert("one")) == "one"
    assert await texts(file) == ["one"]


async def test_writes_that_wait_at_the_same_time_are_done_in_their_order(file: SqliteFile) -> None:
    asked = [str(number) for number in range(100)]
    assert await asyncio.gather(*(file.write(insert(text)) for text in asked)) == asked
    assert await texts(file) == asked


async def test_a_write_that_cannot_be_done_does_not_take_those_that_wait_with_it(file: SqliteFile) -> None:
    writes = [insert("one"), fails, insert("two")]
    ended = await asyncio.gather(*map(file.write, writes), return_exceptions=True)
    assert [type(each) for each in ended if isinstance(each, Exception)] == [ArithmeticError]
    assert await texts(file) == ["one", "two"]


async def test_after_a_write_that_failed_the_next_one_is_written(file: SqliteFile) -> None:
    await file.write(insert("one"))
    with pytest.raises(DatabaseUnavailable):
        await file.write(insert("one"))
    await file.write(insert("two"))
    assert await texts(file) == ["one", "two"]


async def test_a_write_whose_caller_goes_away_is_still_written_and_holds_up_nobody(file: SqliteFile) -> None:
    leaver = asyncio.create_task(file.write(insert("one")))
    await asyncio.sleep(0)
    leaver.cancel()
    await file.write(insert("two"))
    assert leaver.cancelled()
    assert await texts(file) == ["one", "two"]


async def test_a_file_locked_by_another_program_stops_a_write_whole_and_only_that_one(
    file: SqliteFile, path: Path
) -> None:
    await file.writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="it is locked by another program"):
        await file.write(insert("one"))
    other.execute("ROLLBACK")
    other.close()
    await file.write(insert("two"))
    assert await texts(file) == ["two"]


async def test_a_lock_that_is_given_back_in_time_only_delays_a_write(file: SqliteFile, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(file.write(insert("one")))
    await asyncio.sleep(0)
    assert not write.done()
    other.execute("ROLLBACK")
    other.close()
    assert await write == "one"


async def test_a_full_disk_stops_a_write_whole_and_the_ones_that_still_fit_are_written(
    file: SqliteFile,
) -> None:
    await file.write(insert("one"))
    ((pages,),) = await file.writer.execute_fetchall("PRAGMA page_count")
    await file.writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    small, big = await asyncio.gather(
        file.write(insert("small")), file.write(insert("big" * 10_000)), return_exceptions=True
    )
    assert small == "small"
    assert isinstance(big, DatabaseUnavailable)
    assert big.message == ("The database cannot be used now: its disk is full. Try again in a few seconds.")
    await file.writer.execute_fetchall("PRAGMA max_page_count = 1000000")
    await file.write(insert("two"))
    assert await texts(file) == ["one", "small", "two"]


async def test_after_a_rollback_that_fails_the_next_write_is_written(file: SqliteFile) -> None:
    async def forbids_its_rollback(connection: Connection) -> None:
        await insert("half")(connection)
        connection.driver.set_authorizer(deny_transactions)
        raise ArithmeticError("a fault in the statements")

    with pytest.raises(ArithmeticError):
        await file.write(forbids_its_rollback)
    await file.write(insert("one"))
    assert await texts(file) == ["one"]
    assert [tuple(row) for row in await file.writer.execute_fetchall("PRAGMA synchronous")] == [(2,)]


async def test_a_write_that_breaks_the_connection_takes_no_other_with_it(file: SqliteFile) -> None:
    async def closes_the_connection(connection: Connection) -> None:
        connection.driver.close()
        await insert("too late")(connection)

    writes = [insert("one"), closes_the_connection, insert("two")]
    ended = await asyncio.gather(*map(file.write, writes), return_exceptions=True)
    assert [type(each) for each in ended] == [str, DatabaseUnavailable, str]
    assert await texts(file) == ["one", "two"]


async def test_a_write_that_waits_for_something_else_is_refused_and_takes_no_other_with_it(
    file: SqliteFile,
) -> None:
    async def sleeps(connection: Connection) -> None:
        await insert("half")(connection)
        await asyncio.sleep(0)

    one, refused = await asyncio.gather(file.write(insert("one")), file.write(sleeps), return_exceptions=True)
    assert one == "one"
    assert isinstance(refused, RuntimeError)
    assert await texts(file) == ["one"]


async def test_a_write_that_ends_the_transaction_itself_leaves_none_open(file: SqliteFile) -> None:
    async def commits(connection: Connection) -> None:
        connection.driver.execute("COMMIT")

    with pytest.raises(DatabaseUnavailable):
        await file.write(commits)
    await file.write(insert("one"))
    assert await texts(file) == ["one"]


async def test_a_connection_that_cannot_be_opened_again_holds_up_nobody_and_is_tried_again(
    file: SqliteFile, path: Path
) -> None:
    async def loses_file_and_connection(connection: Connection) -> None:
        path.rename(path.with_suffix(".away"))
        connection.driver.close()
        await insert("too late")(connection)

    with pytest.raises(DatabaseUnavailable, match="the log has the reason"):
        await file.write(loses_file_and_connection)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await file.write(insert("lost"))
    assert not path.exists()  # not made anew, empty
    path.with_suffix(".away").rename(path)
    await file.write(insert("one"))
    assert await texts(file) == ["one"]


async def test_a_failure_reaches_each_caller_as_an_error_of_its_own_but_not_one_who_has_gone(
    file: SqliteFile, path: Path
) -> None:
    await file.writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    leaver, *others = [asyncio.create_task(file.write(insert(str(number)))) for number in range(3)]
    await asyncio.sleep(0)
    leaver.cancel()
    first, second = await asyncio.gather(*others, return_exceptions=True)
    assert isinstance(first, DatabaseUnavailable)
    assert isinstance(second, DatabaseUnavailable)
    assert first is not second
    other.close()
    await file.write(insert("one"))


async def test_what_waits_when_the_file_is_closed_is_written_first(path: Path) -> None:
    async with SqliteFile(str(path), (FIRST,)) as file:
        writes = [asyncio.create_task(file.write(insert(str(number)))) for number in range(10)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*writes) == [str(number) for number in range(10)]
    assert query(path, "SELECT count(*) FROM notes") == [(10,)]


async def test_a_closed_file_refuses_at_once(path: Path) -> None:
    async with SqliteFile(str(path), (FIRST,)) as file:
        pass
    for call in (file.write(insert("late")), file.read("SELECT 1"), file.scan("SELECT 1")):
        with pytest.raises(DatabaseUnavailable, match="the service is stopping"):
            await call


async def test_counts_do_not_wait_behind_a_list(file: SqliteFile) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
    listing = asyncio.create_task(file.scan(endless))
    await asyncio.sleep(0)
    assert [tuple(row) for row in await file.count("SELECT count(*) FROM notes")] == [(0,)]
    assert [tuple(row) for row in await file.read("SELECT :x", {"x": 1})] == [(1,)]
    assert not listing.done()
    while not listing.done():  # an interrupt before the statement has begun is lost
        await file.lister.interrupt()
        await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailable):
        await listing


async def test_who_waits_for_a_commit_is_woken_by_it_and_else_by_the_time(file: SqliteFile) -> None:
    await file.wait_for_commit(0)
    waiting = asyncio.create_task(file.wait_for_commit(60))
    await file.write(insert("one"))
    async with asyncio.timeout(1):
        await waiting
