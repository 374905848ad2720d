"""Who waits for a task hears of each change, whoever made it, and nobody waits for ever."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from database import Database
from models import CancelReason, Task
from models import TaskStatus as S
from tasks.change_feed import ChangeFeed
from tests.conftest import Clock, add_waiting, at_runninghub, until
from transitions import CancelRequested, Finished, Progress

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

DONE = Finished("1001", [], None, None, {})
QUEUED = Progress("1001", S.QUEUED, 0)
CANCEL = CancelRequested(CancelReason.USER)


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[ChangeFeed]:
    changes = ChangeFeed(database)
    loop = asyncio.create_task(changes.run())
    yield changes
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


@pytest.fixture
async def changes(database: Database) -> AsyncIterator[ChangeFeed]:
    async with running(database) as changes:
        yield changes


class LateAnswers(Database):
    """A database whose answers arrive when the test says so, as on a busy event loop."""

    def __init__(self, path: str, clock: Clock) -> None:
        super().__init__(path, clock=clock)
        self.is_read = asyncio.Event()
        self.may_arrive = asyncio.Event()
        self.may_arrive.set()

    async def task(self, ref: str) -> Task | None:
        task = await super().task(ref)
        self.is_read.set()
        await self.may_arrive.wait()
        return task


async def followed(
    changes: ChangeFeed, task_id: str = "task-1", seen_version: int | None = None
) -> list[Task]:
    return [task async for task in changes.follow(task_id, seen_version=seen_version)]


# Waiting for a status


async def test_a_wait_ends_with_the_change_of_the_status(database: Database, changes: ChangeFeed) -> None:
    task = await at_runninghub(database)
    waiting = asyncio.create_task(changes.next_status(task, timeout_s=60))
    await asyncio.sleep(0)
    moved = await database.store("task-1", DONE)
    async with asyncio.timeout(1):
        assert await waiting == moved


async def test_a_wait_without_a_change_answers_the_task_at_its_end(
    database: Database, changes: ChangeFeed
) -> None:
    task = await at_runninghub(database)
    assert await changes.next_status(task, timeout_s=0.01) == task


async def test_a_final_task_is_not_waited_for(database: Database, changes: ChangeFeed) -> None:
    await at_runninghub(database)
    done = await database.store("task-1", DONE)
    assert done
    assert await changes.next_status(done, timeout_s=60) == done


async def test_a_wait_that_begins_with_an_old_copy_of_the_task_still_ends(
    database: Database, changes: ChangeFeed
) -> None:
    old = await at_runninghub(database)
    first = asyncio.create_task(changes.next_status(old, timeout_s=60))
    moved = await database.store("task-1", QUEUED)
    async with changes.watch("task-1"):
        await first
        async with asyncio.timeout(1):
            assert await changes.next_status(old, timeout_s=60) == moved


async def test_a_change_made_by_another_worker_is_seen(
    database: Database, changes: ChangeFeed, location: str, clock: Clock
) -> None:
    task = await at_runninghub(database)
    waiting = asyncio.create_task(changes.next_status(task, timeout_s=60))
    async with Database(location, clock=clock) as other:
        moved = await other.store("task-1", DONE)
    async with asyncio.timeout(2):
        assert await waiting == moved


# Following


async def test_who_follows_a_task_gets_it_now_and_at_every_change_until_it_is_final(
    database: Database, changes: ChangeFeed
) -> None:
    task = await at_runninghub(database)
    seen: list[Task] = []

    async def follow() -> None:
        async for changed in changes.follow("task-1", seen_version=None):
            seen.append(changed)

    following = asyncio.create_task(follow())
    await until(lambda: len(seen) == 1)
    queued = await database.store("task-1", QUEUED)
    await until(lambda: len(seen) == 2)
    done = await database.store("task-1", DONE)
    async with asyncio.timeout(1):
        await following
    assert seen == [task, queued, done]


async def test_a_final_task_is_told_once_also_to_who_has_seen_it(
    database: Database, changes: ChangeFeed
) -> None:
    await at_runninghub(database)
    done = await database.store("task-1", DONE)
    assert done
    assert await followed(changes) == [done] == await followed(changes, seen_version=done.version)


async def test_a_task_that_is_not_there_has_nothing_to_follow(changes: ChangeFeed) -> None:
    assert await followed(changes, "nobody") == []


async def test_who_comes_back_does_not_get_again_what_was_seen(
    database: Database, changes: ChangeFeed
) -> None:
    task = await at_runninghub(database)
    following = asyncio.create_task(followed(changes, seen_version=task.version))
    await asyncio.sleep(0)
    done = await database.store("task-1", DONE)
    async with asyncio.timeout(1):
        assert await following == [done]


async def test_a_waiting_task_is_told_again_when_it_moves_up(database: Database, changes: ChangeFeed) -> None:
    for number in (1, 2, 3):
        await add_waiting(database, number)
    places: list[int | None] = []

    async def follow() -> None:
        async for task in changes.follow("task-3", seen_version=None):
            places.append(task.queue_position)
            if len(places) == 1:
                await database.store("task-1", CANCEL)
            if len(places) == 2:
                await database.store("task-3", CANCEL)

    async with asyncio.timeout(4):
        await follow()
    assert places == [3, 2, None]


async def test_a_change_that_comes_while_the_task_is_read_is_not_missed(tmp_path: Path, clock: Clock) -> None:
    async with LateAnswers(str(tmp_path / "late.db"), clock) as database, running(database) as changes:
        task = await at_runninghub(database)
        database.is_read.clear()
        database.may_arrive.clear()
        following = asyncio.create_task(followed(changes))
        await database.is_read.wait()
        done = await database.store("task-1", DONE)
        async with changes.watch("task-1") as told:
            await told.wait()
        database.may_arrive.set()
        async with asyncio.timeout(1):
            assert await following == [task, done]


async def test_a_thousand_followers_all_hear_of_the_end(database: Database, changes: ChangeFeed) -> None:
    task = await at_runninghub(database)
    following = [asyncio.create_task(followed(changes)) for _ in range(1000)]
    await asyncio.sleep(0.01)
    done = await database.store("task-1", DONE)
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*following)
    assert all(seen in ([task, done], [done]) for seen in ends)


# Ends


async def test_a_close_wakes_all_who_wait_for_good(database: Database, changes: ChangeFeed) -> None:
    task = await at_runninghub(database)
    waiting = asyncio.create_task(changes.next_status(task, timeout_s=60))
    following = asyncio.create_task(followed(changes))
    await asyncio.sleep(0.01)
    changes.close()
    async with asyncio.timeout(1):
        assert await waiting == task
        assert await following == [task]
        assert await changes.next_status(task, timeout_s=60) == task
    assert changes.is_closed


async def test_who_goes_away_leaves_nothing_behind(database: Database, changes: ChangeFeed) -> None:
    task = await at_runninghub(database)
    waiting = [asyncio.create_task(changes.next_status(task, timeout_s=60)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    moved = await database.store("task-1", QUEUED)
    assert moved
    fresh = asyncio.create_task(changes.next_status(moved, timeout_s=60))
    await asyncio.sleep(0)
    done = await database.store("task-1", DONE)
    async with asyncio.timeout(1):
        assert await fresh == done


@pytest.mark.sqlite_only
async def test_a_database_that_cannot_be_read_for_a_while_does_not_end_the_loop(
    database: Database, changes: ChangeFeed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await at_runninghub(database)
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    async with changes.watch("task-1") as told, asyncio.timeout(3):
        await told.wait()
        told.clear()
        other.execute("ALTER TABLE tasks RENAME TO away")
        await database.engine.write(lambda connection: connection.execute_fetchall("SELECT 1"))
        await until(lambda: "the database cannot be used: no such table: tasks" in caplog.messages)
        other.execute("ALTER TABLE away RENAME TO tasks")
        other.close()
        await database.store("task-1", DONE)
        await told.wait()
