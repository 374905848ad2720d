"""A database of the first release opens with every row kept, or stays as it was."""

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from database import Database
from db.engine import DatabaseRefused
from db.migrations import MIGRATIONS
from db.sqlite import SqliteFile
from models import TaskStatus
from secret_key import SecretKey
from tests.conftest import stored

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parent.parent / "data"
RELEASE = DATA / "release-1.0.0.sqlite3"
RELEASE_SCHEMA = 1
ROWS = {
    TaskStatus.CANCELLED: 1,
    TaskStatus.FAILED: 2,
    TaskStatus.PENDING: 3,
    TaskStatus.QUEUED: 2,
    TaskStatus.RUNNING: 1,
    TaskStatus.SUBMITTING: 1,
    TaskStatus.SUBMIT_UNKNOWN: 1,
    TaskStatus.SUCCESS: 18,
}
SHARED_RUNNINGHUB_ID = "1994070439827980001"
WITH_PASSWORD = "0199f0c2000000000000000000000017"
# What a client can see, or what decides whether a call is paid for again.
KEPT = (
    "seq, id, status, created_at, updated_at, webapp_id, node_info, instance_type, runninghub_task_id,"
    " result_data, error, node_errors, idempotency_key, request_digest"
)
KEPT_ROWS = f"SELECT {KEPT} FROM tasks ORDER BY seq"  # noqa: S608 - the names above


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The first release's database and secret key, as an upgrade finds them."""
    path = tmp_path / "tasks.db"
    shutil.copyfile(RELEASE, path)
    shutil.copyfile(DATA / "release-1.0.0.key", f"{path}.secret")
    return path


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


async def test_every_row_of_the_first_release_is_kept(path: Path) -> None:
    before = query(path, KEPT_ROWS)
    async with Database(str(path)) as database:
        tasks = await database.page(before_seq=2**62, limit=200)
        counts = await database.count_by_status()
    assert Counter(task.status for task in tasks) == ROWS
    assert counts == ROWS
    assert query(path, KEPT_ROWS) == before
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []


async def test_two_rows_of_one_run_are_both_kept(path: Path) -> None:
    async with Database(str(path)) as database:
        tasks = await database.page(before_seq=2**62, limit=200)
        newest = await stored(database, SHARED_RUNNINGHUB_ID)
    same = [task.id for task in tasks if task.runninghub_task_id == SHARED_RUNNINGHUB_ID]
    assert len(same) == 2
    assert newest.id == same[0]


async def test_a_password_that_waited_can_still_be_decrypted(path: Path) -> None:
    async with Database(str(path)) as database:
        encrypted = (await stored(database, WITH_PASSWORD)).encrypted_password
    assert encrypted
    assert SecretKey.next_to(str(path)).decrypt(encrypted)


async def test_opening_it_again_changes_nothing(path: Path) -> None:
    async with Database(str(path)):
        pass
    before = path.read_bytes()
    async with Database(str(path)):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", range(RELEASE_SCHEMA, len(MIGRATIONS) + 1))
async def test_a_migration_that_fails_at_any_point_leaves_the_file_as_it_was(
    path: Path, version: int
) -> None:
    before = path.read_bytes()
    fails = "UPDATE tasks SET status = 'CANCELLED'; DELETE FROM nowhere;"
    with pytest.raises(DatabaseRefused, match="no such table: nowhere"):
        await SqliteFile(str(path), (*MIGRATIONS[:version], fails)).__aenter__()
    assert path.read_bytes() == before
    assert not Path(f"{path}-wal").exists()
    async with Database(str(path)) as database:
        assert await database.count_by_status() == ROWS


async def test_a_release_that_was_killed_while_it_wrote_loses_nothing(path: Path, tmp_path: Path) -> None:
    """The rows in its -wal file belong to the database, also when the next version opens it."""
    killed = tmp_path / "killed.db"
    with closing(sqlite3.connect(path)) as release:
        release.execute("PRAGMA journal_mode = WAL")
        release.execute("UPDATE tasks SET instance_type = 'plus' WHERE seq = 25")
        release.commit()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{killed}{suffix}")
    async with Database(str(killed)) as database:
        assert await database.count_by_status() == ROWS
    assert query(killed, "SELECT instance_type FROM tasks WHERE seq = 25") == [("plus",)]
