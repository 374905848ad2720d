"""Whether a worker is the only one, however the others end."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from db.engine import DatabaseRefused
from db.worker_lock import WorkerLock
from tests.conftest import until

pytestmark = pytest.mark.anyio

HOLD = """
import asyncio, sys
from db.worker_lock import WorkerLock

async def hold():
    async with WorkerLock(sys.argv[1]) as lock:
        await lock.share()
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


@pytest.fixture
def database_path(tmp_path: Path) -> str:
    return str(tmp_path / "tasks.db")


async def test_the_first_worker_is_the_only_one(database_path: str) -> None:
    async with WorkerLock(database_path) as lock:
        assert lock.is_only_worker
        await lock.share()
        assert not lock.is_only_worker


async def test_a_worker_beside_another_is_not_the_only_one(database_path: str) -> None:
    async with WorkerLock(database_path) as first:
        await first.share()
        async with WorkerLock(database_path) as second, WorkerLock(database_path) as third:
            assert (second.is_only_worker, third.is_only_worker) == (False, False)


async def test_a_second_worker_waits_until_the_first_has_used_that_it_was_alone(database_path: str) -> None:
    async with WorkerLock(database_path) as first:
        second = WorkerLock(database_path)
        entering = asyncio.create_task(second.__aenter__())
        done, _ = await asyncio.wait({entering}, timeout=0.05)
        assert not done
        await first.share()
        await entering
        assert not second.is_only_worker
        await second.__aexit__()


async def test_after_all_others_have_left_a_worker_is_the_only_one_again(database_path: str) -> None:
    for _ in range(2):
        async with WorkerLock(database_path) as first:
            assert first.is_only_worker
            await first.share()
            async with WorkerLock(database_path) as second:
                assert not second.is_only_worker


async def test_a_killed_worker_holds_nothing(database_path: str) -> None:
    command = [sys.executable, "-c", HOLD, database_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220 - it says one line at once
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        async with WorkerLock(database_path) as beside:
            assert not beside.is_only_worker
        other.kill()
    async with WorkerLock(database_path) as alone:
        assert alone.is_only_worker


async def test_locks_of_two_databases_are_apart(tmp_path: Path) -> None:
    async with WorkerLock(str(tmp_path / "a.db")) as first, WorkerLock(str(tmp_path / "b.db")) as second:
        assert (first.is_only_worker, second.is_only_worker) == (True, True)


async def test_a_lock_that_cannot_be_taken_leaves_no_thread_that_would_keep_the_process(
    database_path: str,
) -> None:
    Path(f"{database_path}.workers").write_bytes(b"this is no database at all" * 50)
    before = threading.active_count()
    with pytest.raises(
        DatabaseRefused, match=r"^the lock file tasks\.db\.workers cannot be used \(file is not a database\)$"
    ):
        await WorkerLock(database_path).__aenter__()
    await until(lambda: threading.active_count() <= before)
