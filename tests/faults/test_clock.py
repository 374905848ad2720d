"""A clock that steps back, and a worker that is stalled."""

import asyncio
import time
from pathlib import Path

import pytest

from database import Database, Limits
from models import AccountRow, LimiterRow, NewTask, TaskStatus
from simulator.apps import TEXT_TO_IMAGE
from tasks.submit_limiter import after_full
from tests.conftest import PLANNER, RESPONDING
from tests.faults.calls import Board, Json, ended, submit
from tests.in_process import serving
from transitions import Accepted, Finished, NotStarted, OutcomeUnknown, RunFailed

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


class Clock:
    """Milliseconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


HOUR_MS = 3_600_000
AT_ONCE: Json = {"max_pending": 100, "planner": PLANNER, "responding": RESPONDING}
MINUTE_MS = 60_000


async def running_task(database: Database, task_id: str = "a") -> None:
    await database.add_task(NewTask(task_id, [], TEXT_TO_IMAGE), **AT_ONCE)
    await database.store(task_id, Accepted(1, f"1{task_id}", True, None, database.clock()))


async def test_after_the_clock_stepped_back_polls_are_due_again(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await running_task(database)
        clock.ms -= HOUR_MS
        assert await database.lease_due(lease_ms=MINUTE_MS, limit=10) == []
        await database.pull_due(longest_ms=MINUTE_MS)
        assert [task.id for task in await database.lease_due(lease_ms=MINUTE_MS, limit=10)] == ["a"]


async def test_after_the_clock_stepped_back_the_queue_resumes(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await database.add_task(NewTask("a", [], TEXT_TO_IMAGE), **AT_ONCE)
        await database.store("a", NotStarted(1), limits=refused)
        assert await database.claim_pending(PLANNER, RESPONDING) == []
        clock.ms -= HOUR_MS
        assert [task.id for task in await database.claim_pending(PLANNER, RESPONDING)] == ["a"]


def refused(account: AccountRow, limiter: LimiterRow, active: int, now_ms: int) -> Limits:
    return account, after_full(limiter, active, now_ms, now_ms)


async def test_after_the_clock_stepped_back_tasks_keep_their_order(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        for task_id in "abc":
            await database.add_task(NewTask(task_id, [], TEXT_TO_IMAGE), **AT_ONCE)
            clock.ms -= HOUR_MS
        page = await database.page(before_seq=2**62, limit=10)
        assert [task.id for task in page] == ["c", "b", "a"]


async def test_a_worker_that_stood_still_past_its_lease_changes_nothing_twice(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await running_task(database)
        assert len(await database.lease_due(lease_ms=MINUTE_MS, limit=10)) == 1
        assert await database.lease_due(lease_ms=MINUTE_MS, limit=10) == []
        clock.ms += 2 * MINUTE_MS
        assert len(await database.lease_due(lease_ms=MINUTE_MS, limit=10)) == 1
        first = await database.store("a", Finished("1a", [{"fileUrl": "1"}], None, None, {}))
        late = await database.store("a", RunFailed("1a", None))
        task = await database.task("a")
    assert (first is not None, late) == (True, None)
    assert task is not None
    assert (task.status, task.result_data, task.error) == (TaskStatus.SUCCESS, [{"fileUrl": "1"}], None)


async def test_a_paid_call_given_up_by_another_worker_is_taken_when_its_answer_comes(tmp_path: Path) -> None:
    clock = Clock()
    async with Database(str(tmp_path / "tasks.db"), clock=clock) as database:
        await database.add_task(NewTask("a", [], TEXT_TO_IMAGE), **AT_ONCE)
        clock.ms += HOUR_MS
        async with Database(str(tmp_path / "tasks.db"), worker="other", clock=clock) as other:
            (stale,) = await other.stale_submits()
            await other.store(stale.id, OutcomeUnknown(1, {"code": "submit_interrupted"}))
        assert await database.claim_pending(PLANNER, RESPONDING) == []
        late = await database.store("a", Accepted(1, "1", True, None, 0))
    assert late is not None
    assert (late.status, late.error) == (TaskStatus.RUNNING, None)


async def test_a_blocked_event_loop_makes_polls_late_and_none_twice(board: Board, tmp_path: Path) -> None:
    board.set(run_time=0.5)
    async with serving(board.url, tmp_path) as client:
        tasks = [await submit(client) for _ in range(30)]
        for _ in range(3):
            time.sleep(0.5)  # noqa: ASYNC251 - the fault itself
            await asyncio.sleep(0.05)
        assert {(await ended(client, task))["status"] for task in tasks} == {"SUCCESS"}
        assert (await client.get("/health")).json()["watch"] == "ok"
    assert board.counters()["runs_accepted"] == len(tasks)
