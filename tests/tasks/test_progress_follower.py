"""What becomes of the steps that RunningHub's WebSocket reports, on a real database."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from database import Database
from models import Task, TaskProgress, TaskStatus
from runninghub.progress_stream import ProgressStreams, StreamFailed
from tasks.progress_follower import QUIET_MS, ProgressFollower
from tests.conftest import Clock, at_runninghub, stored, until
from transitions import RunFailed

pytestmark = pytest.mark.anyio

BASE_URL = "http://127.0.0.1:9000"
FIRST, SECOND = TaskProgress(1, 20, "3"), TaskProgress(2, 20, "3")
BREAKS = StreamFailed("the stream broke")


def url(number: int = 1) -> str:
    return f"ws://127.0.0.1:9000/ws?number={number}"


class Streams:
    """What each address says: a step, None where the run ends, or what is raised."""

    def __init__(self) -> None:
        self.said: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self.opened: list[str] = []
        self.open: set[str] = set()

    async def steps(self, url: str) -> AsyncGenerator[TaskProgress, None]:
        self.opened.append(url)
        self.open.add(url)
        try:
            while (said := await self.said[url].get()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.open.discard(url)


@pytest.fixture
def streams() -> Streams:
    return Streams()


@asynccontextmanager
async def following(database: Database, streams: Streams, **options: Any) -> AsyncIterator[ProgressFollower]:
    follower = ProgressFollower(database, cast(ProgressStreams, streams), **options)
    loop = asyncio.create_task(follower.run())
    yield follower
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


async def shown(database: Database, progress: TaskProgress, task_id: str = "task-1") -> Task:
    """The task once it has this progress."""
    expected = {"value": progress.value, "max": progress.max, "node_id": progress.node_id}
    async with asyncio.timeout(5):
        while (task := await stored(database, task_id)).progress != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return task


async def test_the_last_step_of_a_running_task_is_stored_with_the_task(
    database: Database, streams: Streams
) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        for step in (FIRST, SECOND):
            streams.said[url()].put_nowait(step)
        changed = await shown(database, SECOND)

    assert (changed.status, changed.version) == (TaskStatus.RUNNING, task.version + 1)


async def test_many_steps_are_few_writes(database: Database, streams: Streams) -> None:
    tasks = [await at_runninghub(database, number) for number in range(1, 21)]
    async with following(database, streams) as follower:
        for number, task in enumerate(tasks):
            follower.follow(task, url(number), BASE_URL)
            for value in range(1, 101):
                streams.said[url(number)].put_nowait(TaskProgress(value, 100, "3"))
        for task in tasks:
            changed = await shown(database, TaskProgress(100, 100, "3"), task.id)
            assert changed.version <= task.version + 2


@pytest.mark.parametrize("fault", [BREAKS, ValueError("a fault of ours")])
async def test_a_stream_that_breaks_changes_nothing(
    database: Database, streams: Streams, fault: Exception
) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        streams.said[url()].put_nowait(fault)
        await until(lambda: streams.opened == [url()] and not streams.open)

        assert await stored(database) == task
        follower.follow(task, url(), BASE_URL)
        streams.said[url()].put_nowait(FIRST)
        await shown(database, FIRST)


async def test_a_step_of_a_task_that_has_ended_is_dropped_and_its_stream_closed(
    database: Database, streams: Streams
) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        ended = await database.store(task.id, RunFailed(task.runninghub_task_id or "", None))
        streams.said[url()].put_nowait(FIRST)
        await until(lambda: streams.opened == [url()] and not streams.open)

    assert await stored(database) == ended


async def test_a_stream_is_closed_when_its_task_ends_here(database: Database, streams: Streams) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        await until(lambda: streams.open == {url()})
        follower.stop(task.id)
        follower.stop("unknown")
        await until(lambda: not streams.open)


async def test_a_task_is_followed_once(database: Database, streams: Streams) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        for _ in range(3):
            follower.follow(task, url(), BASE_URL)
        await until(lambda: streams.open == {url()})

    assert streams.opened == [url()]


async def test_no_more_streams_are_opened_than_allowed(database: Database, streams: Streams) -> None:
    first, second = await at_runninghub(database, 1), await at_runninghub(database, 2)
    async with following(database, streams, max_streams=1) as follower:
        follower.follow(first, url(1), BASE_URL)
        follower.follow(second, url(2), BASE_URL)
        await until(lambda: streams.open == {url(1)})
        streams.said[url(1)].put_nowait(None)
        await until(lambda: not streams.open)
        await asyncio.sleep(0)
        follower.follow(second, url(2), BASE_URL)
        await until(lambda: streams.open == {url(2)})

    assert streams.opened == [url(1), url(2)]


async def test_a_task_that_another_worker_follows_is_left_to_it(
    database: Database, streams: Streams, clock: Clock
) -> None:
    task = await at_runninghub(database)
    await database.store_progress({task.id: FIRST})
    task = await stored(database)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        await asyncio.sleep(0)
        assert streams.opened == []

        clock.go_on(QUIET_MS / 1000)
        follower.follow(task, url(), BASE_URL)
        await until(lambda: streams.opened == [url()])


@pytest.mark.parametrize("refused", [None, "", "ws://evil.example/ws", "http://127.0.0.1:9000/ws"])
async def test_an_address_of_another_host_is_never_opened(
    database: Database, streams: Streams, refused: str | None
) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        follower.follow(task, refused, BASE_URL)
        await asyncio.sleep(0)

    assert streams.opened == []


async def test_a_queued_task_is_not_followed(database: Database, streams: Streams) -> None:
    task = await at_runninghub(database, status=TaskStatus.QUEUED)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        await asyncio.sleep(0)

    assert streams.opened == []


async def test_all_streams_end_with_the_service(database: Database, streams: Streams) -> None:
    task = await at_runninghub(database)
    async with following(database, streams) as follower:
        follower.follow(task, url(), BASE_URL)
        await until(lambda: streams.open == {url()})

    assert not streams.open
