"""A full disk, and a database that another program locks."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from api.schemas import webhook_body
from config import Settings
from errors import DatabaseUnavailable
from models import TaskStatus
from services import Services, running
from simulator.apps import TEXT_TO_IMAGE
from task_service import Submission
from tests.conftest import sqlite_file
from tests.faults.calls import SUBMISSION, Board, Json, all_tasks, answer_of, ended, submit, until
from tests.in_process import serving
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left, and answer the file to delete."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


async def test_a_full_disk_refuses_a_submit_before_anything_is_paid(board: Board, small_disk: Path) -> None:
    async with serving(board.url, small_disk) as client:
        first = await submit(client)
        await ended(client, first)
        ballast = fill(small_disk)
        # The file of changes that is there already may have room for a few more.
        answers = [await client.post("/submit_task", json=SUBMISSION) for _ in range(200)]
        assert {answer_of(answer) for answer in answers} <= {
            (202, "QUEUED"),
            (202, "RUNNING"),
            (503, "database_unavailable"),
        }
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert (await client.get(f"/tasks/{first}")).json()["status"] == "SUCCESS"
        assert board.counters()["runs_accepted"] == 1 + len(answers) - len(refused)
        ballast.unlink()
        await ended(client, await submit(client))
        assert {task["status"] for task in await all_tasks(client)} == {"SUCCESS"}


async def test_what_was_paid_for_while_the_disk_was_full_is_stored_later(
    board: Board, small_disk: Path
) -> None:
    board.set(run_latency=1)
    async with serving(board.url, small_disk) as client:
        submitting = asyncio.create_task(submit(client))
        await until(board.runs_called)
        ballast = fill(small_disk)
        await asyncio.sleep(1.5)
        ballast.unlink()
        task = await ended(client, await submitting)
    assert task["status"] == "SUCCESS"
    assert board.counters()["runs_accepted"] == 1


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Another program writes. The service, in this loop, has to be able to end its own transaction first."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0)) as other:
        await until(lambda: begins(other))
        yield
        other.execute("COMMIT")


def begins(connection: sqlite3.Connection) -> bool:
    with suppress(sqlite3.OperationalError):
        connection.execute("BEGIN EXCLUSIVE")
    return connection.in_transaction


async def test_a_locked_database_is_read_and_what_is_to_be_written_waits(
    board: Board, tmp_path: Path
) -> None:
    async with serving(board.url, tmp_path) as client:
        first = await submit(client)
        async with locked(tmp_path / "tasks.db"):
            submitting = asyncio.create_task(submit(client))
            assert answer_of(await client.get(f"/tasks/{first}"))[0] == 200
            assert len((await client.get("/tasks")).json()["tasks"]) == 1
            health = await client.get("/health")
            assert (health.status_code, health.json()["database"]) == (200, "ok")
            await asyncio.sleep(1)
            assert not submitting.done()
            assert board.runs_called() == 1
        for task in (first, await submitting):
            assert (await ended(client, task))["status"] == "SUCCESS"
    assert board.counters()["runs_accepted"] == 2


@asynccontextmanager
async def impatient_services(url: str, directory: Path, **settings: Any) -> AsyncIterator[Services]:
    """The service below its routes; it waits only a moment for a locked database."""
    defaults: Json = {
        "_env_file": None,
        "runninghub_api_key": API_KEY,
        "runninghub_base_url": url,
        "database_url": f"sqlite:///{directory / 'tasks.db'}",
        "poll_interval_s": 0.05,
        "poll_interval_max_s": 0.1,
    }
    async with running(Settings(**defaults | settings), webhook_body) as services:
        await sqlite_file(services.database).writer.execute("PRAGMA busy_timeout = 50")
        yield services


async def end_of(services: Services, task_id: str) -> TaskStatus:
    async for task in services.change_feed.follow(task_id, seen_version=None):
        status = task.status
    return status


async def test_a_database_that_stays_locked_refuses_a_submit_before_anything_is_paid(
    board: Board, tmp_path: Path
) -> None:
    async with impatient_services(board.url, tmp_path) as services:
        async with locked(tmp_path / "tasks.db"):
            with pytest.raises(DatabaseUnavailable, match="locked"):
                await services.tasks.submit(Submission([], TEXT_TO_IMAGE))
        assert board.runs_called() == 0
        assert await services.database.page(before_seq=2**62, limit=10) == []
        task, _ = await services.tasks.submit(Submission([], TEXT_TO_IMAGE))
        assert await end_of(services, task.id) is TaskStatus.SUCCESS


async def test_what_was_paid_for_while_the_database_was_locked_is_stored_later(
    board: Board, tmp_path: Path
) -> None:
    board.set(run_latency=0.5)
    async with impatient_services(board.url, tmp_path) as services:
        submitting = asyncio.create_task(services.tasks.submit(Submission([], TEXT_TO_IMAGE)))
        await until(board.runs_called)
        async with locked(tmp_path / "tasks.db"):
            await asyncio.sleep(1)
            assert not submitting.done()
        task, _ = await submitting
        assert await end_of(services, task.id) is TaskStatus.SUCCESS
    assert board.counters()["runs_accepted"] == 1
