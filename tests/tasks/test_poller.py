"""The poller's loop: what is due is polled, what waits is sent, and no fault of others ends it."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from models import TaskStatus as S
from tasks.poll_schedule import PollSchedule
from tasks.poller import LEASE_MARGIN_S, TICK_S, Poller
from tasks.submitter import INTERRUPTED
from tests.conftest import (
    Clock,
    Core,
    RunningHub,
    add,
    add_waiting,
    answer,
    at_runninghub,
    execute,
    sqlite_file,
    stored,
    until,
    until_status,
)

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

FILES = [{"fileUrl": "https://x/1.png"}]
DONE = httpx.Response(200, json=answer(0, FILES))

Polling = Callable[[], AbstractAsyncContextManager[Poller]]


@pytest.fixture
def polling(core: Core) -> Polling:
    """The loop as the lifespan owns it."""

    @asynccontextmanager
    async def poll() -> AsyncIterator[Poller]:
        schedule = PollSchedule(core.run_times, core.settings, core.database.clock)
        poller = Poller(
            core.database, core.tasks, core.submitter, schedule, lease_s=core.settings.runninghub_timeout_s
        )
        loop = asyncio.create_task(poller.run())
        yield poller
        assert not loop.done()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    return poll


# The loop


async def test_rows_that_a_process_before_left_open_are_polled_and_ended(
    core: Core, runninghub: RunningHub, polling: Polling
) -> None:
    for number, status in ((1, S.RUNNING), (2, S.QUEUED)):
        await at_runninghub(core.database, number, status)
    runninghub.outputs.mock(return_value=DONE)
    async with polling():
        for number in (1, 2):
            task = await until_status(core.database, S.SUCCESS, f"task-{number}")
            assert task.result_data == FILES
    assert runninghub.outputs.call_count == 2


async def test_a_task_is_not_polled_before_its_time(
    core: Core, runninghub: RunningHub, clock: Clock, polling: Polling
) -> None:
    await at_runninghub(core.database)
    await core.database.reschedule(await stored(core.database), clock.now_ms + 1000)
    runninghub.outputs.mock(return_value=DONE)
    async with polling() as poller:
        began = poller.last_tick
        await until(lambda: poller.last_tick > began)
        assert not runninghub.outputs.called
        clock.go_on(1)
        poller.wake()
        await until_status(core.database, S.SUCCESS)


async def test_tasks_that_wait_are_sent(core: Core, runninghub: RunningHub, polling: Polling) -> None:
    await add_waiting(core.database)
    async with polling():
        await until_status(core.database, S.RUNNING)
    assert runninghub.run.call_count == 1


async def test_what_a_died_worker_left_behind_is_repaired(
    core: Core, runninghub: RunningHub, clock: Clock, polling: Polling
) -> None:
    await at_runninghub(core.database, 1)
    await core.database.reschedule(await stored(core.database), clock.now_ms + 7_200_000)
    await add(core.database, 2)
    await execute(core.database, "UPDATE tasks SET worker = 'another' WHERE id = 'task-2'")
    clock.go_on(3600)
    runninghub.outputs.mock(return_value=DONE)
    async with polling():
        await until_status(core.database, S.SUCCESS, "task-1")
        assert (await until_status(core.database, S.SUBMIT_UNKNOWN, "task-2")).error == INTERRUPTED
    assert not runninghub.run.called


async def test_a_broken_runninghub_fails_no_task_and_is_not_polled_without_end(
    core: Core, runninghub: RunningHub, clock: Clock, polling: Polling
) -> None:
    before = [await at_runninghub(core.database, number) for number in range(10)]
    runninghub.outputs.respond(500, html="<h1>oops</h1>")
    async with polling() as poller:
        await until(lambda: runninghub.outputs.call_count >= 10)
        clock.go_on(60)
        for _ in range(3):
            began = poller.last_tick
            poller.wake()
            await until(lambda began=began: poller.last_tick > began)  # type: ignore[misc]
    assert runninghub.outputs.call_count == 10
    after = [await stored(core.database, task.id) for task in before]
    assert [task._replace(next_poll_ms=None) for task in after] == [
        task._replace(next_poll_ms=None) for task in before
    ]


@pytest.mark.sqlite_only
async def test_a_round_that_fails_does_not_end_the_loop(
    core: Core,
    runninghub: RunningHub,
    polling: Polling,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await at_runninghub(core.database)
    runninghub.outputs.mock(return_value=DONE)
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("ALTER TABLE tasks RENAME TO away")
    async with polling() as poller:
        began = poller.last_tick
        await until(lambda: any("cannot be used" in message for message in caplog.messages))
        assert poller.last_tick == began
        other.execute("ALTER TABLE away RENAME TO tasks")
        await until_status(core.database, S.SUCCESS)
    other.close()


@pytest.mark.sqlite_only
async def test_an_outcome_that_cannot_be_stored_is_polled_again_when_the_lease_expires(
    core: Core,
    runninghub: RunningHub,
    clock: Clock,
    polling: Polling,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await at_runninghub(core.database)
    await sqlite_file(core.database).writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)

    def lock_and_answer(_: httpx.Request) -> httpx.Response:
        if runninghub.outputs.call_count == 0:
            other.execute("BEGIN IMMEDIATE")
        return DONE

    runninghub.outputs.mock(side_effect=lock_and_answer)
    async with polling() as poller:
        await until(lambda: "a poll's outcome could not be stored; it is polled again" in caplog.messages)
        other.execute("ROLLBACK")
        other.close()
        assert (await stored(core.database)).status is S.RUNNING
        clock.go_on(core.settings.runninghub_timeout_s + LEASE_MARGIN_S)
        poller.wake()
        await until_status(core.database, S.SUCCESS)
    assert runninghub.outputs.call_count == 2


async def test_a_poll_under_way_is_leased_and_dropped_at_a_stop(
    core: Core, runninghub: RunningHub, clock: Clock, polling: Polling
) -> None:
    before = await at_runninghub(core.database)
    asked = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    runninghub.outputs.mock(side_effect=never)
    async with polling():
        await asked.wait()
        lease_s = core.settings.runninghub_timeout_s + LEASE_MARGIN_S
        assert await core.database.next_due_ms() == clock.now_ms + int(lease_s * 1000)
    assert (await stored(core.database))._replace(next_poll_ms=before.next_poll_ms) == before
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "poll task-1"]


async def test_a_handed_over_task_starts_a_round_at_once(core: Core, polling: Polling) -> None:
    async with polling() as poller:
        began = poller.last_tick
        await until(lambda: poller.last_tick > began)
        second = poller.last_tick
        await poller.wake_async()
        await until(lambda: poller.last_tick > second)
        assert poller.last_tick - second < TICK_S
    assert poller.last_tick <= time.time()
