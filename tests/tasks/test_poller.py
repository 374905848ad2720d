"""The watch: what is due is asked, what waits is sent, and no fault of others ends it."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from models import Change
from models import TaskStatus as S
from tasks.poll_schedule import Pace
from tasks.poller import (
    CIRCUIT_BREAKER_FAILURES,
    CIRCUIT_BREAKER_LONGEST_S,
    LEASE_MARGIN_S,
    POLLS_AT_ONCE,
    TICK_S,
    CircuitBreaker,
    Poller,
    TokenBucket,
)
from tasks.submitter import INTERRUPTED
from tests.conftest import (
    Clock,
    Core,
    RunningHub,
    add,
    answer,
    at_runninghub,
    stored,
    until,
    until_status,
)

pytestmark = pytest.mark.anyio

FILES = [{"fileUrl": "https://x/1.png"}]
DONE = httpx.Response(200, json=answer(0, FILES))

Watching = Callable[[], AbstractAsyncContextManager[Poller]]


@pytest.fixture
def watching(core: Core) -> Watching:
    """The watch as the lifespan owns it."""

    @asynccontextmanager
    async def watch() -> AsyncIterator[Poller]:
        lease_s, longest_s = core.settings.runninghub_timeout_s, core.settings.poll_interval_max_s
        poller = Poller(
            core.database, core.tasks, core.submitter, Pace(), lease_s=lease_s, longest_wait_s=longest_s
        )
        loop = asyncio.create_task(poller.run())
        yield poller
        assert not loop.done()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    return watch


# The breaker


def tripped(now: float = 100.0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(CIRCUIT_BREAKER_FAILURES):
        breaker.failed(now)
    return breaker


def test_a_few_failures_hold_nothing_back() -> None:
    breaker = CircuitBreaker()
    for _ in range(CIRCUIT_BREAKER_FAILURES - 1):
        breaker.failed(100.0)
    assert breaker.allowance(100.0, under_way=3) == POLLS_AT_ONCE - 3


def test_failures_with_a_success_between_them_hold_nothing_back() -> None:
    breaker = CircuitBreaker()
    for _ in range(3 * CIRCUIT_BREAKER_FAILURES):
        breaker.failed(100.0)
        breaker.succeeded()
    assert breaker.allowance(100.0, under_way=0) == POLLS_AT_ONCE


def test_after_five_failures_in_a_row_nothing_is_asked_for_a_while_and_then_one_question() -> None:
    breaker = tripped()
    assert breaker.allowance(100.79, under_way=0) == 0
    assert breaker.allowance(101.21, under_way=0) == 1
    assert breaker.allowance(101.21, under_way=1) == 0


def test_a_trial_that_fails_doubles_the_pause_up_to_a_limit() -> None:
    breaker, now = tripped(), 100.0
    for pause_s in (2, 4, 8, 16, CIRCUIT_BREAKER_LONGEST_S, CIRCUIT_BREAKER_LONGEST_S):
        now = breaker.open_until
        breaker.failed(now)
        assert breaker.allowance(now + pause_s * 0.79, under_way=0) == 0
        assert breaker.allowance(now + pause_s * 1.21, under_way=0) == 1


def test_questions_that_fail_late_do_not_prolong_the_pause() -> None:
    breaker = tripped()
    open_until = breaker.open_until
    for _ in range(50):
        breaker.failed(100.5)
    assert breaker.open_until == open_until


def test_a_trial_that_succeeds_lets_all_questions_through_again() -> None:
    breaker = tripped()
    breaker.succeeded()
    assert breaker.allowance(100.0, under_way=0) == POLLS_AT_ONCE
    breaker.failed(100.0)
    assert breaker.allowance(100.0, under_way=0) == POLLS_AT_ONCE


def test_looks_are_allowed_by_the_second_and_saved_up_for_no_longer_than_a_tick() -> None:
    allowed = TokenBucket(counted_at=100.0)
    assert allowed.count(100.0, per_s=800) == 0
    assert allowed.count(100.125, per_s=800) == 100
    assert allowed.count(160.0, per_s=800) == 160
    allowed.looks -= 100
    assert allowed.count(160.0, per_s=800) == 60
    assert allowed.count(160.0, per_s=100) == 20


# The loop


async def test_rows_that_a_process_before_left_open_are_asked_about_and_ended(
    core: Core, runninghub: RunningHub, watching: Watching
) -> None:
    for number, status in ((1, S.RUNNING), (2, S.QUEUED)):
        await at_runninghub(core.database, number, status)
    runninghub.outputs.mock(return_value=DONE)
    async with watching():
        for number in (1, 2):
            task = await until_status(core.database, S.SUCCESS, f"task-{number}")
            assert task.result_data == FILES
    assert runninghub.outputs.call_count == 2


async def test_a_task_is_not_asked_about_before_its_time(
    core: Core, runninghub: RunningHub, clock: Clock, watching: Watching
) -> None:
    await at_runninghub(core.database)
    await core.database.reschedule("task-1", clock.now_ms + 1000)
    runninghub.outputs.mock(return_value=DONE)
    async with watching() as poller:
        began = poller.last_tick
        await until(lambda: poller.last_tick > began)
        assert not runninghub.outputs.called
        clock.go_on(1)
        poller.wake()
        await until_status(core.database, S.SUCCESS)


async def test_tasks_that_wait_are_sent(core: Core, runninghub: RunningHub, watching: Watching) -> None:
    await add(core.database)
    await core.database.move("task-1", Change(S.PENDING))
    async with watching():
        await until_status(core.database, S.RUNNING)
    assert runninghub.run.call_count == 1


async def test_what_a_died_worker_left_behind_is_repaired(
    core: Core, runninghub: RunningHub, clock: Clock, watching: Watching
) -> None:
    await at_runninghub(core.database, 1)
    await core.database.reschedule("task-1", clock.now_ms + 7_200_000)
    await add(core.database, 2)
    clock.go_on(3600)
    runninghub.outputs.mock(return_value=DONE)
    async with watching():
        await until_status(core.database, S.SUCCESS, "task-1")
        assert (await until_status(core.database, S.SUBMIT_UNKNOWN, "task-2")).error == INTERRUPTED
    assert not runninghub.run.called


async def test_a_broken_runninghub_fails_no_task_and_is_not_asked_without_end(
    core: Core, runninghub: RunningHub, clock: Clock, watching: Watching
) -> None:
    before = [await at_runninghub(core.database, number) for number in range(10)]
    runninghub.outputs.respond(500, html="<h1>oops</h1>")
    async with watching() as poller:
        await until(lambda: runninghub.outputs.call_count >= 10)
        clock.go_on(60)
        for _ in range(3):
            began = poller.last_tick
            poller.wake()
            await until(lambda began=began: poller.last_tick > began)  # type: ignore[misc]
    assert runninghub.outputs.call_count == 10
    assert [await stored(core.database, task.id) for task in before] == before


async def test_a_round_that_fails_does_not_end_the_watch(
    core: Core,
    runninghub: RunningHub,
    watching: Watching,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await at_runninghub(core.database)
    runninghub.outputs.mock(return_value=DONE)
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("ALTER TABLE tasks RENAME TO away")
    async with watching() as poller:
        began = poller.last_tick
        await until(lambda: "a round of the watch failed" in caplog.messages)
        assert poller.last_tick == began
        other.execute("ALTER TABLE away RENAME TO tasks")
        await until_status(core.database, S.SUCCESS)
    other.close()


async def test_an_outcome_that_cannot_be_stored_is_asked_for_again_when_the_lease_runs_out(
    core: Core,
    runninghub: RunningHub,
    clock: Clock,
    watching: Watching,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await at_runninghub(core.database)
    await core.database.writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)

    def lock_and_answer(_: httpx.Request) -> httpx.Response:
        if runninghub.outputs.call_count == 0:
            other.execute("BEGIN IMMEDIATE")
        return DONE

    runninghub.outputs.mock(side_effect=lock_and_answer)
    async with watching() as poller:
        await until(lambda: "an outcome could not be stored; it is asked for again" in caplog.messages)
        other.execute("ROLLBACK")
        other.close()
        assert (await stored(core.database)).status is S.RUNNING
        clock.go_on(core.settings.runninghub_timeout_s + LEASE_MARGIN_S)
        poller.wake()
        await until_status(core.database, S.SUCCESS)
    assert runninghub.outputs.call_count == 2


async def test_a_look_under_way_is_leased_and_dropped_at_a_stop(
    core: Core, runninghub: RunningHub, clock: Clock, watching: Watching
) -> None:
    before = await at_runninghub(core.database)
    asked = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    runninghub.outputs.mock(side_effect=never)
    async with watching():
        await asked.wait()
        lease_s = core.settings.runninghub_timeout_s + LEASE_MARGIN_S
        assert await core.database.next_due_ms() == clock.now_ms + int(lease_s * 1000)
    assert await stored(core.database) == before
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "look task-1"]


async def test_a_handed_over_task_starts_a_round_at_once(core: Core, watching: Watching) -> None:
    async with watching() as poller:
        began = poller.last_tick
        await until(lambda: poller.last_tick > began)
        second = poller.last_tick
        await poller.wake_async()
        await until(lambda: poller.last_tick > second)
        assert poller.last_tick - second < TICK_S
    assert poller.last_tick <= time.time()
