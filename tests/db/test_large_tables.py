"""What a request costs does not grow with the number of rows: counted in steps of SQLite's machine."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
import pytest

from database import Database, PageFilter
from models import TaskStatus
from tasks.submit_limiter import AccountLimits, SubmitPlanner
from tests.conftest import FINGERPRINT, NODE, RESPONDING, RUNNINGHUB_URL, sqlite_file

pytestmark = pytest.mark.anyio

FEW, MANY = 1_000, 10_000
# A queue that is ten times as long has some more blocks of turns to add up.
NOT_MORE_THAN = 1.5
STEPS_A_CALL = 100
ONE_SLOT = SubmitPlanner((AccountLimits("default", RUNNINGHUB_URL, FINGERPRINT, max_concurrent=1),))
INSERT_TASKS = """
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows - 1)
    INSERT INTO tasks (id, status, created_at, updated_at, webapp_id, node_info, owner, turn)
    SELECT 'task-' || n, :status, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', '1', :node_info,
        'user-' || (n % :users), 1 + n / :users
    FROM numbers
"""

ONE_A_SECOND = """
    UPDATE tasks SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 1767225600 + seq, 'unixepoch')
"""


@asynccontextmanager
async def database_of(path: Path, rows: int, users: int, status: TaskStatus) -> AsyncIterator[Database]:
    """A database of tasks, each user's as many as any other's."""
    values = {"rows": rows, "users": users, "status": status, "node_info": json.dumps([NODE])}
    async with Database(str(path / f"{rows}-{users}-{status}.db")) as database:
        await sqlite_file(database).writer.execute_fetchall(INSERT_TASKS, values)
        yield database


async def steps(connection: aiosqlite.Connection, operation: Awaitable[object]) -> int:
    """How many steps SQLite takes for it on this connection."""
    calls = 0

    def count() -> int:
        nonlocal calls
        calls += 1
        return 0

    await connection.set_progress_handler(count, STEPS_A_CALL)
    await operation
    return calls * STEPS_A_CALL


async def page_of_waiting(database: Database) -> int:
    page = database.page(before_seq=2**62, limit=200, wanted=PageFilter((TaskStatus.PENDING,)))
    return await steps(sqlite_file(database).lister, page)


async def claim(database: Database) -> int:
    return await steps(sqlite_file(database).writer, database.claim_pending(ONE_SLOT, RESPONDING))


async def count_by_status(database: Database) -> int:
    return await steps(sqlite_file(database).counter, database.count_by_status())


@pytest.mark.parametrize(
    ("measure", "status", "users"),
    [
        (page_of_waiting, TaskStatus.PENDING, 1),
        (page_of_waiting, TaskStatus.PENDING, 1_000),
        (claim, TaskStatus.PENDING, 1),
        (claim, TaskStatus.PENDING, 1_000),
        (count_by_status, TaskStatus.SUCCESS, 1),
    ],
)
async def test_ten_times_as_many_rows_cost_no_more(
    tmp_path: Path, measure: Callable[[Database], Awaitable[int]], status: TaskStatus, users: int
) -> None:
    async with (
        database_of(tmp_path, FEW, users, status) as few,
        database_of(tmp_path, MANY, users, status) as many,
    ):
        assert await measure(many) <= NOT_MORE_THAN * await measure(few) + STEPS_A_CALL


@pytest.mark.parametrize(
    "wanted",
    [
        PageFilter(created_after="2027-01-01T00:00:00.000Z"),
        PageFilter(created_before="2026-01-01T00:00:05.000Z"),
        PageFilter(created_after="2026-01-01T00:10:00.000Z", created_before="2026-01-01T00:00:05.000Z"),
        PageFilter(webapp_id="1", created_after="2027-01-01T00:00:00.000Z"),
        PageFilter((TaskStatus.SUCCESS,), webapp_id="1", created_before="2026-01-01T00:00:05.000Z"),
        PageFilter(owner="user-0", created_after="2027-01-01T00:00:00.000Z"),
    ],
)
async def test_a_time_that_few_or_no_rows_have_costs_no_more_with_ten_times_as_many(
    tmp_path: Path, wanted: PageFilter
) -> None:
    costs = []
    for rows in (FEW, MANY):
        async with database_of(tmp_path, rows, 1, TaskStatus.SUCCESS) as database:
            await sqlite_file(database).writer.execute_fetchall(ONE_A_SECOND)
            page = database.page(before_seq=2**62, limit=50, wanted=wanted)
            costs.append(await steps(sqlite_file(database).lister, page))
    assert costs[1] <= NOT_MORE_THAN * costs[0] + STEPS_A_CALL


@pytest.mark.parametrize("users", [1, 7])
async def test_the_places_in_the_queue_are_those_of_the_turns(tmp_path: Path, users: int) -> None:
    async with database_of(tmp_path, FEW, users, TaskStatus.PENDING) as database:
        page = await database.page(before_seq=2**62, limit=200)
        assert [task.queue_position for task in page] == list(range(FEW, FEW - 200, -1))
