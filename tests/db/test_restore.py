"""A restore replaces the database whole, sends nothing twice, and is refused while a worker runs."""

import asyncio
import hashlib
import json
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from database import Database
from db.backup import back_up
from db.copies import CommandRefused
from db.migrations import MIGRATIONS
from db.restore import MESSAGE, restore
from db.worker_lock import WorkerLock
from secret_key import SecretKey
from tests.conftest import add, at_runninghub

pytestmark = pytest.mark.anyio

RELEASE = Path(__file__).parent.parent / "data" / "release-1.0.0.sqlite3"
OF_RELEASE = "SELECT id, status, version, error FROM tasks ORDER BY id"
WAITING = {"PENDING", "SUBMITTING"}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of the first release's rows, with a key."""
    file = tmp_path / "backup.db"
    back_up(file, RELEASE)
    Path(f"{file}.secret").write_text("ab" * 32)
    return file


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


async def restored(file: Path, database: Path) -> str:
    """In a thread, as the command has an event loop of its own."""
    return await asyncio.to_thread(restore, file, database)


async def with_tasks(path: Path, count: int) -> None:
    async with Database(str(path)) as database:
        await asyncio.gather(*(add(database, number) for number in range(count)))


def contents(folder: Path) -> dict[str, str]:
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.iterdir()
        if each.suffix != ".workers"
    }


async def test_every_task_of_the_backup_is_there_and_those_that_waited_are_not_sent_again(
    path: Path, backup: Path
) -> None:
    before = query(backup, OF_RELEASE)
    said = await restored(backup, path)
    assert said == (
        f"restored {len(before)} tasks of {backup} to {path};"
        " 4 that were waiting are SUBMIT_UNKNOWN now: settle them"
    )
    after = query(path, OF_RELEASE)
    expected = [
        (id, "SUBMIT_UNKNOWN", version + 1, json.dumps({"code": "restored", "message": MESSAGE}))
        if status in WAITING
        else (id, status, version, error)
        for id, status, version, error in before
    ]
    assert [(*row[:3], row[3] and json.loads(row[3])) for row in after] == [
        (*row[:3], row[3] and json.loads(row[3])) for row in expected
    ]
    async with Database(str(path)) as database:
        assert not await database.has_claimable()


async def test_a_backup_of_an_older_version_is_brought_up_to_date_and_itself_left_as_it_is(
    path: Path, backup: Path
) -> None:
    before = backup.read_bytes()
    await restored(backup, path)
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert backup.read_bytes() == before


async def test_a_task_that_runninghub_had_resumes(path: Path, tmp_path: Path) -> None:
    async with Database(str(path)) as database:
        running = await at_runninghub(database)
        back_up(tmp_path / "backup.db", path)
    await restored(tmp_path / "backup.db", path)
    async with Database(str(path)) as database:
        assert await database.task(running.id) == running


async def test_the_key_of_the_backup_takes_the_place_of_the_other(path: Path, backup: Path) -> None:
    SecretKey.next_to(str(path))
    await restored(backup, path)
    key = Path(f"{path}.secret")
    assert key.read_text() == "ab" * 32
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_without_a_key_in_the_backup_the_key_stays(path: Path, backup: Path) -> None:
    Path(f"{backup}.secret").unlink()
    before = SecretKey.next_to(str(path)).signature("task-1")
    assert "the secret key stays as it was" in await restored(backup, path)
    assert SecretKey.next_to(str(path)).signature("task-1") == before


async def test_the_database_before_is_kept_and_can_be_restored_in_turn(path: Path, backup: Path) -> None:
    key = SecretKey.next_to(str(path)).signature("task-1")
    await with_tasks(path, 5)
    said = await restored(backup, path)
    kept = Path(said.rpartition(" ")[2])
    assert re.fullmatch(r"tasks\.db\.before-restore-\d{8}T\d{6}Z", kept.name)
    assert query(kept, "SELECT count(*) FROM tasks") == [(5,)]
    assert SecretKey.next_to(str(kept)).signature("task-1") == key
    Path(f"{path}.secret").unlink()
    path.unlink()
    await restored(kept, path)
    assert query(path, "SELECT count(*) FROM tasks") == [(5,)]
    assert SecretKey.next_to(str(path)).signature("task-1") == key


async def test_the_log_of_a_killed_service_is_not_applied_to_the_backup(path: Path, backup: Path) -> None:
    crashed = path.with_name("crashed.db")
    async with Database(str(crashed)) as database:
        await asyncio.gather(*(add(database, number) for number in range(100)))
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").write_bytes(Path(f"{crashed}{suffix}").read_bytes())
    said = await restored(backup, path)
    kept = Path(said.rpartition(" ")[2])
    assert not Path(f"{path}-wal").exists()
    assert not Path(f"{path}-shm").exists()
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "SELECT count(*) FROM tasks") == query(backup, "SELECT count(*) FROM tasks")
    assert query(kept, "SELECT count(*) FROM tasks") == [(100,)]  # with its log, whole


async def test_a_restore_is_refused_while_a_worker_runs(path: Path, backup: Path) -> None:
    await with_tasks(path, 1)
    before = contents(path.parent)
    async with WorkerLock(str(path)) as worker:
        await worker.share()
        with pytest.raises(CommandRefused, match="is in use: stop the service, all its workers, first"):
            await restored(backup, path)
    assert contents(path.parent) == before


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite_middle(file: Path) -> None:
    with file.open("r+b") as pages:
        pages.seek(file.stat().st_size // 2 // 4096 * 4096)
        pages.write(b"\xee" * 4096)


def no_database(file: Path) -> None:
    file.write_text("these are no pages of a database" * 100)


def from_another_program(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE others (number INTEGER)")


def from_a_newer_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def with_a_damaged_key(file: Path) -> None:
    Path(f"{file}.secret").write_text("ab")


def missing(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    "spoil",
    [
        cut_off,
        overwrite_middle,
        no_database,
        from_another_program,
        from_a_newer_version,
        with_a_damaged_key,
        missing,
    ],
)
async def test_a_backup_that_cannot_be_used_changes_nothing(
    path: Path, backup: Path, spoil: Callable[[Path], None]
) -> None:
    SecretKey.next_to(str(path))
    await with_tasks(path, 3)
    before = contents(path.parent)
    spoil(backup)
    with pytest.raises((CommandRefused, sqlite3.DatabaseError, ValueError)):
        await restored(backup, path)
    assert contents(path.parent) == before


# The command


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "db.restore", *arguments], capture_output=True, text=True)


@pytest.mark.processes
@pytest.mark.parametrize("spoil", [cut_off, no_database, from_a_newer_version, with_a_damaged_key, missing])
def test_the_command_refuses_in_one_line(path: Path, backup: Path, spoil: Callable[[Path], None]) -> None:
    spoil(backup)
    done = command(str(backup), "--database", str(path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


@pytest.mark.processes
def test_the_command_says_in_one_line_what_it_did(path: Path, backup: Path) -> None:
    done = command(str(backup), "--database", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"restored \d+ tasks of [^\n]+\n", done.stdout)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.processes
def test_a_folder_that_is_not_there_is_one_line(backup: Path, tmp_path: Path) -> None:
    done = command(str(backup), "--database", str(tmp_path / "nowhere" / "tasks.db"))
    assert (done.returncode, done.stderr) == (1, f"there is no folder {tmp_path / 'nowhere'}\n")
