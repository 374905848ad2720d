"""Users' rows, their limits, and the sums of what tasks cost."""

import asyncio
from typing import Any

import pytest

from database import Database
from db import user_queries
from db.user_rows import QuotaUsed
from models import CancelReason, Hold, User, UserLimits, rfc3339
from tasks.submit_limiter import AccountLimits, SubmitPlanner
from tests.conftest import (
    FINGERPRINT,
    PLANNER,
    RESPONDING,
    RUNNINGHUB_URL,
    Clock,
    add,
    add_waiting,
    at_runninghub,
    new_task,
    stored,
)
from transitions import CancelRequested, Finished, OutcomeUnknown, Rejected, Resubmitted, RunFailed

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]


async def create(database: Database, name: str = "ann", **limits: Any) -> None:
    user = User(name, rfc3339(database.clock()), None, UserLimits(**limits), None)
    assert await database.users.add(user, name.encode())


async def holds(database: Database, numbers: range) -> list[Hold | None]:
    return [(await stored(database, f"task-{number}")).hold for number in numbers]


async def end(database: Database, number: int, coins: str = "0") -> None:
    micros: dict[str, int | None] = {"coins_micros": int(float(coins) * 1_000_000)}
    finished = Finished(str(1000 + number), [], 1.5, {"coins": coins}, micros)
    assert await database.store(f"task-{number}", finished)


# Active tasks


async def test_tasks_over_the_limit_are_held_and_released_when_one_ends(database: Database) -> None:
    await create(database, max_active_tasks=2)
    for number in range(1, 3):
        await at_runninghub(database, number, owner="ann")
    for number in range(3, 6):
        await add(database, number, owner="ann")
    assert await holds(database, range(1, 6)) == [None, None, *[Hold.USER_LIMIT] * 3]
    await end(database, 1)
    assert await holds(database, range(3, 6)) == [None, *[Hold.USER_LIMIT] * 2]
    assert [task.id for task in await database.claim_pending(PLANNER, RESPONDING)] == ["task-3"]


@pytest.mark.parametrize(
    "event", [CancelRequested(CancelReason.USER), OutcomeUnknown(1, {"code": "x", "message": "x"})]
)
async def test_whatever_ends_a_users_active_task_releases_the_next(database: Database, event: Any) -> None:
    await create(database, max_active_tasks=1)
    first = await (add_waiting if isinstance(event, CancelRequested) else add)(database, 1, owner="ann")
    await add_waiting(database, 2, owner="ann")
    assert (await stored(database, "task-2")).hold is Hold.USER_LIMIT
    assert await database.store(first.id, event)
    assert (await stored(database, "task-2")).hold is None


async def test_a_task_that_is_submitted_again_waits_for_its_user_too(database: Database) -> None:
    await create(database, max_active_tasks=1)
    await add(database, 1, owner="ann")
    await database.store("task-1", OutcomeUnknown(1, {"code": "x", "message": "x"}))
    await at_runninghub(database, 2, owner="ann")
    again = await database.store("task-1", Resubmitted())
    assert again is not None
    assert again.hold is Hold.USER_LIMIT
    await database.store("task-2", RunFailed("1002", None))
    assert (await stored(database, "task-1")).hold is None


async def test_other_users_and_the_operator_are_not_held(database: Database) -> None:
    await create(database, max_active_tasks=1)
    for number, owner in enumerate(["ann", "bob", "bob", None, None]):
        await add_waiting(database, number, owner=owner)
    assert await holds(database, range(5)) == [None] * 5


async def test_a_released_task_takes_its_turn_behind_other_users_tasks(database: Database) -> None:
    """A user who always has one task running must not pass a newcomer again and again."""
    await create(database, max_active_tasks=1)
    for number in range(1, 5):
        await add_waiting(database, number, owner="ann")
    await add_waiting(database, 5, owner="bob")
    started: list[str] = []
    for _ in range(3):
        (task,) = await database.claim_pending(one_slot(), RESPONDING)
        started.append(task.id)
        assert await database.store(task.id, Rejected(task.attempt, {"code": "x", "message": "x"}))
    assert started == ["task-1", "task-5", "task-2"]


def one_slot() -> SubmitPlanner:
    return SubmitPlanner((AccountLimits("default", RUNNINGHUB_URL, FINGERPRINT, max_concurrent=1),))


async def test_a_held_task_knows_its_position(database: Database) -> None:
    await create(database, max_active_tasks=1)
    await add_waiting(database, 1, owner="bob")
    for number in (2, 3, 4):
        await add_waiting(database, number, owner="ann")
    assert [(await stored(database, f"task-{n}")).queue_position for n in (1, 2, 3, 4)] == [1, 2, 3, 4]


async def test_a_changed_limit_applies_to_what_waits_already(database: Database) -> None:
    await create(database, max_active_tasks=2)
    for number in range(4):
        await add_waiting(database, number, owner="ann")
    held = Hold.USER_LIMIT
    assert await holds(database, range(4)) == [None, None, held, held]
    await database.users.change("ann", lambda user: _with(user, max_active_tasks=1))
    assert await holds(database, range(4)) == [None, held, held, held]
    await database.users.change("ann", lambda user: _with(user, max_active_tasks=0))
    assert await holds(database, range(4)) == [None] * 4


def _with(user: User, **limits: int) -> User:
    return User(user.name, user.created_at, user.expires_ms, UserLimits(**limits), user.webapp_ids)


async def test_what_a_changed_setting_allows_is_released(tmp_path: Any, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, clock=clock, user_limits=UserLimits(max_active_tasks=1)) as database:
        for number in range(3):
            await add_waiting(database, number, owner="ann")
        assert await database.users.release_all() == 0
    async with Database(path, clock=clock, user_limits=UserLimits(max_active_tasks=2)) as database:
        assert await database.users.release_all() == 1
        assert await holds(database, range(3)) == [None, None, Hold.USER_LIMIT]


# Quotas and budgets


async def test_a_users_waiting_tasks_are_bounded_however_many_come_at_once(database: Database) -> None:
    limits = UserLimits(max_pending_tasks=2)
    added = await asyncio.gather(
        *(
            database.add_task(
                new_task(number, owner="ann"), max_pending=100, planner=SubmitPlanner(()), limits=limits
            )
            for number in range(5)
        )
    )
    assert [each for each in added if isinstance(each, QuotaUsed)] == [QuotaUsed.PENDING_TASKS] * 3
    assert sum((await database.count_by_status()).values()) == 2


async def test_a_days_quota_is_not_won_back_by_deleting_and_ends_at_midnight(
    database: Database, clock: Clock
) -> None:
    limits = UserLimits(tasks_per_day=1)

    async def submit(number: int) -> Any:
        return await database.add_task(
            new_task(number, owner="ann"), max_pending=100, planner=SubmitPlanner(()), limits=limits
        )

    await at_runninghub(database, 1, owner="ann")
    await end(database, 1)
    assert await submit(2) is QuotaUsed.TASKS_PER_DAY
    assert await database.delete_task("task-1")
    assert await submit(2) is QuotaUsed.TASKS_PER_DAY
    clock.go_on(86_400)
    assert not isinstance(await submit(2), QuotaUsed)


async def test_a_months_coins_count_deleted_tasks_and_begin_anew(database: Database, clock: Clock) -> None:
    limits = UserLimits(coins_per_month=3)
    for number in (1, 2):
        await at_runninghub(database, number, owner="ann")
        assert not await database.users.is_budget_used("ann", limits)
        await end(database, number, "1.5")
    assert await database.users.is_budget_used("ann", limits)
    assert await database.delete_task("task-1")
    assert await database.users.is_budget_used("ann", limits)
    assert not await database.users.is_budget_used("bob", limits)
    clock.go_on(32 * 86_400)
    assert not await database.users.is_budget_used("ann", limits)


# Usage


async def test_usage_is_exact_and_counts_each_task_once(database: Database, clock: Clock) -> None:
    for number in range(1, 11):
        await at_runninghub(database, number, owner="ann" if number % 2 else None)
        await end(database, number, "0.1")
    await at_runninghub(database, 11, owner="ann")
    await database.store("task-11", RunFailed("1011", None))
    await at_runninghub(database, 12, owner="ann")  # has not ended
    await database.delete_task("task-1")
    end_ms = clock.now_ms + 1
    (total,) = await database.users.usage(from_ms=0, to_ms=end_ms)
    assert (total.tasks, total.succeeded, total.failed) == (11, 10, 1)
    assert (total.coins_micros, total.run_ms) == (1_000_000, 15_000)
    by_owner = await database.users.usage(from_ms=0, to_ms=end_ms, groups=("owner", "account"))
    assert [(row.groups["owner"], row.tasks, row.coins_micros) for row in by_owner] == [
        (None, 5, 500_000),
        ("ann", 6, 500_000),
    ]
    (own,) = await database.users.usage(from_ms=0, to_ms=end_ms, owner="ann")
    assert own.tasks == 6
    (before,) = await database.users.usage(from_ms=0, to_ms=clock.now_ms)
    assert (before.tasks, before.coins_micros) == (0, 0)


@pytest.mark.sqlite_only
async def test_no_limit_scans_the_tasks(database: Database) -> None:
    plans = []
    values = {"owner": "ann", "since": "", "since_ms": 0, "from_ms": 0, "to_ms": 1, "id": "x", "name": "x"}
    for sql in (
        user_queries.COUNT_ACTIVE,
        user_queries.RELEASE_HELD,
        user_queries.COUNT_PENDING,
        user_queries.COUNT_CREATED,
        user_queries.SUM_COINS,
        user_queries.select_usage(groups=("owner",), is_of_one_owner=False),
    ):
        plans += [row["detail"] for row in await database.engine.scan(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert [plan for plan in plans if plan.startswith(("SCAN tasks", "SCAN own"))] == []


# Tokens


async def test_a_token_opens_until_it_expires_or_is_revoked(database: Database, clock: Clock) -> None:
    user = User("ann", rfc3339(clock.now_ms), clock.now_ms + 1000, UserLimits(), ("1",))
    assert await database.users.add(user, b"first") == user
    assert await database.users.add(user, b"second") is None
    assert await database.users.find_by_token(b"first") == user
    clock.go_on(1)
    assert await database.users.find_by_token(b"first") is None
    later = User("ann", user.created_at, None, user.limits, user.webapp_ids)
    assert await database.users.change("ann", lambda _: later) == later
    assert await database.users.set_token("ann", b"third") == later
    assert await database.users.find_by_token(b"first") is None
    assert await database.users.find_by_token(b"third") == later
    assert await database.users.all() == [later]
    assert await database.users.delete("ann")
    assert await database.users.find_by_token(b"third") is None
    assert not await database.users.delete("ann")


async def test_another_worker_sees_a_revoked_token_at_once(
    database: Database, location: str, clock: Clock
) -> None:
    await create(database)
    async with Database(location, clock=clock) as other:
        assert await other.users.find_by_token(b"ann")
        await database.users.delete("ann")
        assert await other.users.find_by_token(b"ann") is None
