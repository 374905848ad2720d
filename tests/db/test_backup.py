"""A backup is whole and consistent, also while rows are written, and has its secret key beside it."""

import asyncio
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from database import Database
from db.backup import back_up
from db.copies import CommandRefused
from secret_key import SecretKey
from tests.conftest import add, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_backup_has_every_row_and_the_key_and_is_for_its_owner_only(
    path: Path, tmp_path: Path
) -> None:
    secret = SecretKey.next_to(str(path))
    async with Database(str(path)) as database:
        for number in range(3):
            await add(database, number)
        backup = tmp_path / "backup.db"
        assert back_up(backup, path) == (
            f"backed up 3 tasks of {path} to {backup}, with its secret key {backup}.secret"
        )
    assert (mode(backup), mode(Path(f"{backup}.secret"))) == (0o600, 0o600)
    assert SecretKey.next_to(str(backup)).signature("task-1") == secret.signature("task-1")
    async with Database(str(backup)) as copy:
        assert (await stored(copy, "task-2")).node_info
    assert {each.name for each in tmp_path.glob("backup*")} == {"backup.db", "backup.db.secret"}


async def test_a_backup_while_rows_are_written_has_all_that_were_stored_before_it(
    path: Path, tmp_path: Path
) -> None:
    async with Database(str(path)) as database:
        await asyncio.gather(*(add(database, number) for number in range(100)))
        adding = asyncio.gather(*(add(database, number) for number in range(100, 200)))
        await asyncio.to_thread(back_up, tmp_path / "backup.db", path)
        await adding
    ids = {id for (id,) in query(tmp_path / "backup.db", "SELECT id FROM tasks")}
    assert ids >= {f"task-{number}" for number in range(100)}
    assert query(tmp_path / "backup.db", "PRAGMA integrity_check") == [("ok",)]


async def test_a_backup_of_a_file_that_was_left_with_its_log_has_the_logs_rows(
    path: Path, tmp_path: Path
) -> None:
    left = tmp_path / "left.db"
    async with Database(str(path)) as database:
        await add(database, 1)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{left}{suffix}")
    back_up(tmp_path / "backup.db", left)
    assert query(tmp_path / "backup.db", "SELECT id FROM tasks") == [("task-1",)]


async def test_without_a_key_file_a_backup_says_so(path: Path, tmp_path: Path) -> None:
    async with Database(str(path)):
        pass
    said = back_up(tmp_path / "backup.db", path)
    assert said.endswith(f"without a key, since there is no {path}.secret")
    assert not (tmp_path / "backup.db.secret").exists()


@pytest.mark.parametrize("exists", ["backup.db", "backup.db.secret"])
async def test_nothing_is_overwritten(path: Path, tmp_path: Path, exists: str) -> None:
    async with Database(str(path)):
        pass
    (tmp_path / exists).write_text("an older backup")
    with pytest.raises(CommandRefused, match="exists already; name a new file"):
        back_up(tmp_path / "backup.db", path)
    assert (tmp_path / exists).read_text() == "an older backup"


async def test_a_damaged_database_is_no_backup(path: Path, tmp_path: Path) -> None:
    async with Database(str(path)) as database:
        await asyncio.gather(
            *(add(database, number, node_info=[{"fieldValue": "x" * 500}]) for number in range(200))
        )
    with path.open("r+b") as pages:
        pages.seek(path.stat().st_size // 2 // 4096 * 4096)
        pages.write(b"\xee" * 4 * 4096)
    before = set(tmp_path.iterdir())
    with pytest.raises((CommandRefused, sqlite3.DatabaseError), match=r"damaged|malformed"):
        back_up(tmp_path / "backup.db", path)
    assert set(tmp_path.iterdir()) == before


def test_a_database_that_is_not_there_is_not_made(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="there is no database"):
        back_up(tmp_path / "backup.db", path)
    assert list(tmp_path.iterdir()) == []


def test_another_programs_database_is_refused(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE others (number INTEGER)")
    with pytest.raises(CommandRefused, match="is no database of this service"):
        back_up(tmp_path / "backup.db", path)


# The command


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "db.backup", *arguments],
        env={"DATABASE_URL": "sqlite:///nowhere.db", **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.processes
async def test_the_command_reads_the_database_from_the_settings_or_the_command_line(
    path: Path, tmp_path: Path
) -> None:
    async with Database(str(path)) as database:
        await add(database, 1)
        by_settings = command(str(tmp_path / "one.db"), DATABASE_URL=f"sqlite:///{path}")
        by_argument = command(str(tmp_path / "two.db"), "--database", str(path))
    for done in (by_settings, by_argument):
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"backed up 1 tasks of [^\n]+\n", done.stdout)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("sqlite:///nowhere.db", 1, "there is no database nowhere.db"),
        ("postgresql://user:password@localhost:5432/name", 1, "use pg_dump and pg_restore"),
        ("mysql://localhost", 3, "DATABASE_URL"),
    ],
)
def test_the_command_fails_in_one_line(tmp_path: Path, url: str, code: int, said: str) -> None:
    secret_key = "a secret key of 32 characters or more"
    done = command(str(tmp_path / "backup.db"), DATABASE_URL=url, SECRET_KEY=secret_key)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr
