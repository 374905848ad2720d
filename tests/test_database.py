"""The tasks' table: storing, claiming, leases, webhooks, imports, pages and the clock."""

import asyncio
import itertools
import sqlite3
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from database import Added, Database, PageFilter, StrayRun
from db import queries
from db.engine import DatabaseRefused
from db.migrations import MIGRATIONS
from errors import DatabaseUnavailable
from models import (
    AccountRow,
    AccountState,
    CancelReason,
    Hold,
    Kind,
    Task,
    TaskStatus,
    WebhookFormat,
    rfc3339,
    utc_now_ms,
)
from models import TaskStatus as S
from tasks.submit_limiter import AccountLimits, SubmitPlanner
from tests.conftest import (
    FINGERPRINT,
    NODE,
    PLANNER,
    RESPONDING,
    RUNNINGHUB_URL,
    WEBAPP_ID,
    Clock,
    add,
    add_waiting,
    at_runninghub,
    execute,
    new_task,
    sqlite_file,
    stored,
)
from transitions import (
    Accepted,
    CancelRequested,
    Event,
    Finished,
    NotStarted,
    OutcomeUnknown,
    Progress,
    Rejected,
    Released,
    Resubmitted,
    TooExpensive,
    WebhookReceived,
)

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

ERROR = {"code": "c", "message": "m"}


def accepted(attempt: int = 1, runninghub_task_id: str = "1001", *, next_poll_ms: int = 0) -> Accepted:
    return Accepted(attempt, runninghub_task_id, False, None, next_poll_ms)


def finished(runninghub_task_id: str, run_seconds: float | None = None, results: Any = ()) -> Finished:
    return Finished(runninghub_task_id, list(results), run_seconds, None, {})


async def in_status(database: Database, status: TaskStatus, number: int = 1) -> Task:
    """A task in this status."""
    runninghub_id = str(1000 + number)
    ways: dict[TaskStatus, tuple[Event, ...]] = {
        S.PENDING: (NotStarted(1),),
        S.SUBMITTING: (),
        S.QUEUED: (accepted(runninghub_task_id=runninghub_id),),
        S.RUNNING: (Accepted(1, runninghub_id, True, None, 0),),
        S.SUCCESS: (accepted(runninghub_task_id=runninghub_id), finished(runninghub_id)),
        S.FAILED: (Rejected(1, ERROR),),
        S.CANCELLED: (NotStarted(1), CancelRequested(CancelReason.USER)),
        S.SUBMIT_UNKNOWN: (OutcomeUnknown(1, ERROR),),
    }
    task = await add(database, number)
    for event in ways[status]:
        assert await database.store(task.id, event)
    return await stored(database, task.id)


def planner(max_concurrent: int = 1000) -> SubmitPlanner:
    """A planner for one account with so many slots."""
    account = AccountLimits("default", RUNNINGHUB_URL, FINGERPRINT, max_concurrent=max_concurrent)
    return SubmitPlanner((account,))


async def claimed(database: Database, slots: int = 1) -> list[str]:
    return [task.id for task in await database.claim_pending(planner(slots), RESPONDING)]


async def reschedule(database: Database, number: int, next_poll_ms: int) -> None:
    """Lease a task's poll and set its next one."""
    task = await stored(database, f"task-{number}")
    await database.reschedule(task, next_poll_ms)
    assert (await stored(database, task.id)).next_poll_ms == next_poll_ms


# Storing


async def test_a_new_task_is_stored_whole_and_its_call_is_due(database: Database, clock: Clock) -> None:
    new = new_task(
        instance_type="plus",
        encrypted_password=b"encrypted",
        idempotency_key="key",
        request_digest="digest",
        metadata={"order": 7},
        run_options={"retainSeconds": 60},
        deadline_ms=clock.now_ms + 1000,
        rerun_of="task-0",
        owner="ann",
    )
    added = await database.add_task(new, max_pending=1, planner=PLANNER, responding=RESPONDING)
    assert isinstance(added, Added)
    at = rfc3339(clock.now_ms)
    expected: dict[str, Any] = dict.fromkeys(Task._fields) | Task._field_defaults
    expected |= {
        "seq": 1,
        "id": "task-1",
        "status": S.SUBMITTING,
        "version": 2,
        "created_at": at,
        "updated_at": at,
        "kind": Kind.WEBAPP,
        "webapp_id": WEBAPP_ID,
        "node_info": [NODE],
        "instance_type": "plus",
        "run_options": {"retainSeconds": 60},
        "encrypted_password": b"encrypted",
        "account": "default",
        "key_fingerprint": FINGERPRINT,
        "attempt": 1,
        "owner": "ann",
        "metadata": {"order": 7},
        "webhook_format": WebhookFormat.STANDARD,
        "rerun_of": "task-0",
        "deadline_ms": clock.now_ms + 1000,
        "waiting_since_ms": clock.now_ms,
        "key_refusals": 0,
        "request_digest": "digest",
        "is_cancel_confirmed": False,
        "lost_responses": 0,
        "lost_running_ms": 0,
    }
    assert added.task == Task(**expected)
    assert added.claimed == [added.task]
    assert await stored(database) == added.task
    assert await database.task_by_idempotency_key("key") == added.task


async def test_a_task_starts_at_once_only_where_no_other_waits(database: Database) -> None:
    """A waiting task comes first, also one that could have started when its slot became free."""
    await add_waiting(database, 1)
    added = await database.add_task(new_task(2), max_pending=9, planner=planner(1), responding=RESPONDING)
    assert isinstance(added, Added)
    assert (added.task.id, added.task.status, added.task.attempt) == ("task-2", S.PENDING, 0)
    assert [(task.id, task.attempt) for task in added.claimed] == [("task-1", 1)]


async def test_tasks_that_started_at_once_come_back_in_their_order(database: Database) -> None:
    for number in (1, 2, 3):
        await add(database, number)
    for number in (3, 1, 2):
        assert await database.store(f"task-{number}", NotStarted(1))
    await add_waiting(database, 4)
    assert [(await stored(database, f"task-{n}")).queue_position for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert await claimed(database, slots=4) == ["task-1", "task-2", "task-3", "task-4"]


@pytest.mark.sqlite_only
async def test_a_task_that_starts_at_once_enters_no_queue(database: Database) -> None:
    statements: list[str] = []
    await sqlite_file(database).writer.set_trace_callback(statements.append)
    task = await add(database)
    assert not [each for each in statements if each.startswith("UPDATE tasks SET status")]
    await database.store(task.id, accepted())
    await sqlite_file(database).writer.set_trace_callback(lambda _: None)
    different = set(statements)  # one that has triggers is shown again for each of them
    assert len(different) <= 12  # each is made for every submit


async def test_a_task_past_max_pending_is_not_stored(database: Database) -> None:
    await add_waiting(database, 1)
    await add_waiting(database, 2)
    assert await database.add_task(new_task(3), max_pending=2, planner=SubmitPlanner(())) is None
    assert await database.task("task-3") is None


async def test_the_same_idempotency_key_is_stored_once_however_many_come_at_once(database: Database) -> None:
    added = await asyncio.gather(
        *(
            database.add_task(new_task(number, idempotency_key="key"), max_pending=1000, planner=PLANNER)
            for number in range(10)
        )
    )
    (first,) = [each.task for each in added if isinstance(each, Added)]
    assert await database.task_by_idempotency_key("key") == first
    assert sum((await database.count_by_status()).values()) == 1


async def test_a_task_is_found_by_each_of_its_ids(database: Database) -> None:
    first = await at_runninghub(database, 1)
    refs = ["task-1", "1001", first.public_id, "nothing", "9" * 40]
    found = await asyncio.gather(*map(database.task, refs))
    assert [task and task.id for task in found] == ["task-1", "task-1", "task-1", None, None]
    assert (len(first.public_id), first.public_id[0]) == (19, "8")


async def test_all_that_was_stored_is_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, clock=clock) as database:
        before = [await in_status(database, status, number) for number, status in enumerate(S)]
        before = [await stored(database, task.id) for task in before]
    async with Database(path, clock=clock) as database:
        assert [await stored(database, task.id) for task in before] == before


@pytest.mark.sqlite_only
async def test_a_file_of_a_newer_service_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with Database(str(path)) as database:
        await sqlite_file(database).writer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused, match=r"^the database tasks\.db was written by a newer version"):
        await Database(str(path)).__aenter__()
    assert path.read_bytes() == before


@pytest.mark.sqlite_only
async def test_only_the_contracts_statuses_can_be_stored(database: Database) -> None:
    await add(database)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        await sqlite_file(database).writer.execute("UPDATE tasks SET status = 'LOST'")


# Changing


async def test_only_the_first_event_closes_a_task(database: Database) -> None:
    await at_runninghub(database)
    ends: list[Event] = [finished("1001"), CancelRequested(CancelReason.USER)]
    first, second = [await database.store("task-1", end) for end in ends]
    assert second is None
    assert first == await stored(database)
    assert (first.status, first.result_data, first.error) == (S.SUCCESS, [], None)


async def test_an_event_for_a_task_that_is_not_there_is_none(database: Database) -> None:
    assert await database.store("nobody", Resubmitted()) is None


async def test_an_event_stores_what_comes_with_it(database: Database, clock: Clock) -> None:
    await add(database)
    accepted_ms = clock.now_ms
    errors = {"message": "odd", "node_id": "3"}
    await database.store("task-1", Accepted(1, "1001", False, errors, clock.now_ms))
    clock.go_on(5)
    running_ms = clock.now_ms
    await database.store("task-1", Progress("1001", S.RUNNING, clock.now_ms))
    results = [{"fileUrl": "https://x/猫.png", "consumeCoins": None}]
    cost: dict[str, str | None] = {"coins": "6", "money": None, "thirdPartyMoney": None}
    done = await database.store(
        "task-1", Finished("1001", results, 7.5, cost, {"coins_micros": 6_000_000, "money_micros": None})
    )
    assert done
    assert (done.runninghub_task_id, done.node_errors, done.cost) == ("1001", errors, cost)
    assert (done.accepted_ms, done.running_ms, done.result_data) == (accepted_ms, running_ms, results)
    assert (done.created_at, done.updated_at) == (rfc3339(accepted_ms), rfc3339(clock.now_ms))
    assert done.version == 5
    assert await database.run_times(WEBAPP_ID, limit=1) == [7.5]


async def test_an_older_attempts_acceptance_is_a_stray_run_until_it_is_cancelled(
    database: Database, clock: Clock
) -> None:
    await add(database)
    await database.store("task-1", OutcomeUnknown(1, ERROR))
    await database.store("task-1", Resubmitted())
    assert await claimed(database) == ["task-1"]
    assert await database.store("task-1", accepted(attempt=1, runninghub_task_id="55")) is None
    assert (await stored(database)).attempt == 2
    stray = StrayRun("default", "55", "task-1")
    assert await database.lease_stray_runs(lease_ms=1000, limit=9) == [stray]
    assert await database.lease_stray_runs(lease_ms=1000, limit=9) == []
    clock.go_on(1)
    assert await database.lease_stray_runs(lease_ms=1000, limit=9) == [stray]
    await database.delete_stray_run(stray)
    clock.go_on(1)
    assert await database.lease_stray_runs(lease_ms=1000, limit=9) == []


async def test_one_runninghub_id_is_never_stored_for_two_tasks(database: Database) -> None:
    await at_runninghub(database, 1)
    await add(database, 2)
    unknown = await database.store("task-2", accepted(runninghub_task_id="1001"))
    assert unknown
    assert (unknown.status, unknown.runninghub_task_id) == (S.SUBMIT_UNKNOWN, None)
    assert unknown.error
    assert unknown.error["code"] == "duplicate_runninghub_id"


async def test_an_imported_row_gives_way_to_the_task_whose_run_it_is(database: Database) -> None:
    await in_status(database, S.SUBMIT_UNKNOWN, 1)
    await database.import_task("own", "55", account="default", key_fingerprint=FINGERPRINT)
    await database.store("task-1", WebhookReceived("55"))
    await database.store("task-1", finished("55"))
    found = await asyncio.gather(*map(database.task, ["task-1", "own", "55"]))
    assert [task and (task.id, task.status) for task in found] == [("task-1", S.SUCCESS)] * 3
    assert (await database.count_by_status())[S.SUCCESS] == 1


# Claiming


async def test_tasks_start_in_the_order_they_came_and_know_their_position(database: Database) -> None:
    for number in (1, 2, 3):
        await add_waiting(database, number)
    positions = [(await stored(database, f"task-{number}")).queue_position for number in (1, 2, 3)]
    assert positions == [1, 2, 3]
    for number in (1, 2, 3):
        assert await claimed(database, slots=number) == [f"task-{number}"]
    assert await claimed(database, slots=9) == []


async def test_a_refused_task_keeps_its_position_at_the_head(database: Database) -> None:
    for number in (1, 2, 3):
        await add_waiting(database, number)
    assert await claimed(database) == ["task-1"]
    await database.store("task-1", NotStarted(1))
    assert (await stored(database)).queue_position == 1
    assert await claimed(database) == ["task-1"]


async def test_users_start_in_turns_and_each_users_tasks_in_order(database: Database) -> None:
    for number in range(1, 6):
        await add_waiting(database, number, owner="ann")
    for number in range(6, 8):
        await add_waiting(database, number, owner="bob")
    order = [f"task-{number}" for number in (1, 6, 2, 7, 3, 4, 5)]
    positions = [(await stored(database, task_id)).queue_position for task_id in order]
    assert positions == list(range(1, 8))
    assert await claimed(database, slots=7) == order


async def test_a_user_with_many_waiting_tasks_delays_another_by_one_slot_at_most(database: Database) -> None:
    for number in range(1, 50):
        await add_waiting(database, number, owner="ann")
    assert await claimed(database, slots=5) == [f"task-{number}" for number in range(1, 6)]
    await add_waiting(database, 50, owner="bob")
    assert (await stored(database, "task-50")).queue_position == 2


@pytest.mark.sqlite_only
async def test_positions_are_right_across_blocks_of_turns(database: Database) -> None:
    for number in range(1, 1100):
        await add_waiting(database, number)
    assert (await stored(database, "task-1099")).queue_position == 1099
    assert len(await claimed(database, slots=60)) == 60
    await database.store("task-700", CancelRequested(CancelReason.USER))
    assert (await stored(database, "task-1099")).queue_position == 1038


async def test_held_tasks_are_not_claimed_and_others_pass_them(database: Database) -> None:
    await add_waiting(database, 1)
    await add_waiting(database, 2)
    await database.store("task-1", TooExpensive("5/"))
    assert (await stored(database, "task-2")).queue_position == 1
    assert await claimed(database, slots=9) == ["task-2"]
    assert [task.id for task in await database.held_tasks(Hold.BALANCE, limit=9)] == ["task-1"]
    await database.store("task-1", Released(Hold.BALANCE))
    assert await claimed(database, slots=9) == ["task-1"]


async def test_a_task_is_sent_only_to_accounts_on_its_host(database: Database) -> None:
    await add_waiting(database, 1, base_url="https://other.test")
    await add_waiting(database, 2, base_url=RUNNINGHUB_URL)
    await add_waiting(database, 3)
    assert await claimed(database, slots=9) == ["task-2", "task-3"]


async def test_no_more_than_max_concurrent_tasks_are_active(database: Database) -> None:
    limited = planner(2)
    for number in (1, 2, 3):
        added = await database.add_task(
            new_task(number), max_pending=10, planner=limited, responding=RESPONDING
        )
        assert isinstance(added, Added)
        assert added.task.status is (S.PENDING if number == 3 else S.SUBMITTING)
    await database.store("task-1", accepted())
    assert await claimed(database, slots=2) == []
    await database.store("task-1", finished("1001"))
    assert await claimed(database, slots=2) == ["task-3"]


async def test_two_workers_never_claim_the_same_task(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, clock=clock) as first, Database(path, clock=clock) as second:
        for number in range(1, 10):
            await add_waiting(first, number)
        got = await asyncio.gather(*(claimed(database, slots=9) for database in (first, second) * 5))
        assert sorted(itertools.chain(*got)) == [f"task-{number}" for number in range(1, 10)]


async def test_calls_of_a_worker_that_is_gone_are_stale(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with (
        Database(path, worker="first", clock=clock) as first,
        Database(path, worker="second", clock=clock) as second,
    ):
        await first.worker_seen()
        await add(first, 1)
        clock.go_on(5)
        assert await second.stale_submits() == []
        await first.worker_seen()
        clock.go_on(5)
        assert await second.stale_submits() == []
        clock.go_on(2)
        assert [task.id for task in await second.stale_submits()] == ["task-1"]
        assert await first.stale_submits() == []


async def test_calls_of_others_are_stale_at_once_for_the_only_worker(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, worker="first", clock=clock) as database:
        await database.worker_seen()
        await add(database, 1)
    async with Database(path, worker="second", clock=clock) as database:
        assert [task.id for task in await database.stale_submits(is_only_worker=True)] == ["task-1"]


# Accounts


async def test_what_an_outcome_says_about_its_account_is_stored_with_it(database: Database) -> None:
    await add(database)
    counts = []

    def paused(account: Any, limiter: Any, active: int, now_ms: int) -> Any:
        counts.append(active)
        return replace(account, state=AccountState.KEY_REFUSED), replace(limiter, rejections=3)

    await database.store("task-1", NotStarted(1), limits=paused)
    view = await database.submit_view()
    assert view.account("default").state is AccountState.KEY_REFUSED
    assert view.limiter("default", "default").rejections == 3
    assert counts == [0]


async def test_an_account_and_its_tasks_change_together(database: Database) -> None:
    await add_waiting(database, 1)
    changed = await database.update_account(
        "default",
        lambda row: replace(row, coins="5"),
        events={"task-1": TooExpensive("5/"), "nobody": TooExpensive("5/")},
    )
    assert changed == AccountRow("default", coins="5")
    assert (await stored(database)).hold is Hold.BALANCE
    assert (await database.submit_view()).account("default") == changed


async def test_tasks_of_an_account_that_left_the_settings_are_polled_when_it_is_back(
    database: Database, clock: Clock
) -> None:
    await at_runninghub(database)
    await database.assign_accounts({"other": "another-fingerprint"})
    assert await database.lease_due(lease_ms=1, limit=9) == []
    assert (await stored(database)).status is S.RUNNING
    await database.assign_accounts({"renamed": FINGERPRINT})
    assert [task.id for task in await database.lease_due(lease_ms=1, limit=9)] == ["task-1"]


# Polls


async def test_a_leased_poll_belongs_to_one_until_its_lease_runs_out(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, clock=clock) as first, Database(path, clock=clock) as second:
        for number in range(20):
            await at_runninghub(first, number)
        leases = [each.lease_due(lease_ms=10_000, limit=7) for each in (first, second) * 3]
        leased = [task.id for tasks in await asyncio.gather(*leases) for task in tasks]
        assert sorted(leased) == sorted(f"task-{number}" for number in range(20))
        clock.go_on(9.999)
        assert await second.lease_due(lease_ms=10_000, limit=100) == []
        clock.go_on(0.001)
        assert len(await second.lease_due(lease_ms=10_000, limit=100)) == 20


async def test_the_due_polls_come_first_whose_wait_would_double_first(
    database: Database, clock: Clock
) -> None:
    for number in (1, 2, 3, 4):
        await at_runninghub(database, number)
    await reschedule(database, 1, clock.now_ms + 4_000)  # doubled 8 s from now
    clock.go_on(3)
    for number, seconds in ((2, 1), (3, 2), (4, 9)):  # doubled after 5, 7 and 21 s
        await reschedule(database, number, clock.now_ms + seconds * 1000)
    clock.go_on(2)
    leased = await database.lease_due(lease_ms=1000, limit=2)
    assert [task.id for task in leased] == ["task-2", "task-3"]
    assert [task.id for task in await database.lease_due(lease_ms=1000, limit=2)] == ["task-1"]


async def test_a_poll_is_late_when_its_wait_has_doubled(database: Database, clock: Clock) -> None:
    assert await database.poll_lag_s() < 0
    for number, seconds in ((1, 2), (2, 10)):
        await at_runninghub(database, number)
        await reschedule(database, number, clock.now_ms + seconds * 1000)
    clock.go_on(3.5)
    assert await database.poll_lag_s() == -0.5
    clock.go_on(2)
    assert await database.poll_lag_s() == 1.5
    await database.lease_due(lease_ms=9000, limit=1)
    assert await database.poll_lag_s() < 0


async def test_a_hinted_poll_goes_first(database: Database, clock: Clock) -> None:
    for number in (1, 2):
        await at_runninghub(database, number)
        await reschedule(database, number, clock.now_ms + 1000)
    clock.go_on(1)
    await database.store("task-2", WebhookReceived(None))
    leased = await database.lease_due(lease_ms=1, limit=1)
    assert [task.id for task in leased] == ["task-2"]


async def test_the_next_due_time_is_the_earliest_of_tasks_that_are_polled(
    database: Database, clock: Clock
) -> None:
    assert await database.next_due_ms() is None
    for number, seconds in ((1, 3), (2, 1)):
        await at_runninghub(database, number)
        await reschedule(database, number, clock.now_ms + seconds * 1000)
    assert await database.next_due_ms() == clock.now_ms + 1000
    await database.store("task-2", finished("1002"))
    assert await database.next_due_ms() == clock.now_ms + 3000


async def test_polls_that_a_clock_stepping_back_put_far_away_are_due_again(
    database: Database, clock: Clock
) -> None:
    await at_runninghub(database, 1)
    await reschedule(database, 1, clock.now_ms + 15_000)
    await database.pull_due(longest_ms=15_000)
    assert await database.next_due_ms() == clock.now_ms + 15_000
    clock.go_on(-3600)
    await database.pull_due(longest_ms=15_000)
    assert await database.next_due_ms() == clock.now_ms


async def test_a_reschedule_does_not_postpone_a_poll_that_a_webhook_made_due(
    database: Database, clock: Clock
) -> None:
    await at_runninghub(database)
    (leased,) = await database.lease_due(lease_ms=10_000, limit=1)
    await database.store("task-1", WebhookReceived(None))
    await database.reschedule(leased, clock.now_ms + 15_000)
    assert await database.next_due_ms() == clock.now_ms


async def test_polls_can_be_leased_without_some_accounts_and_of_only_one(database: Database) -> None:
    await at_runninghub(database)
    assert await database.lease_due(lease_ms=1, limit=9, without=["default"]) == []
    assert await database.lease_due(lease_ms=1, limit=9, only="other") == []
    assert len(await database.lease_due(lease_ms=1, limit=9, without=["other"])) == 1


async def test_the_oldest_running_tasks_of_an_account_can_be_polled_now(
    database: Database, clock: Clock
) -> None:
    for number in (1, 2, 3):
        await at_runninghub(database, number)
        await reschedule(database, number, clock.now_ms + 9_000)
        clock.go_on(1)
    await database.poll_now("default", limit=2, lease_ms=40_000)
    leased = await database.lease_due(lease_ms=40_000, limit=9)
    assert [task.id for task in leased] == ["task-1", "task-2"]
    await database.poll_now("default", limit=2, lease_ms=40_000)  # both are under way
    assert await database.lease_due(lease_ms=40_000, limit=9) == []


async def test_a_row_that_cannot_be_decoded_stops_no_other(database: Database) -> None:
    for number in (1, 2):
        await at_runninghub(database, number)
    await execute(database, "UPDATE tasks SET node_info = '{' WHERE id = 'task-1'")
    assert [task.id for task in await database.lease_due(lease_ms=1000, limit=9)] == ["task-2"]


async def test_tasks_past_their_deadline_are_found_until_they_are_cancelled(
    database: Database, clock: Clock
) -> None:
    await add_waiting(database, 1, deadline_ms=clock.now_ms + 1000)
    await add_waiting(database, 2)
    assert await database.past_deadline(limit=9) == []
    clock.go_on(1)
    assert await database.past_deadline(limit=9) == ["task-1"]
    await database.store("task-1", CancelRequested(CancelReason.DEADLINE))
    assert await database.past_deadline(limit=9) == []


async def test_a_task_that_only_runninghub_knew_is_imported_once(database: Database, clock: Clock) -> None:
    imported = await asyncio.gather(
        *(
            database.import_task(f"own-{number}", "55", account="default", key_fingerprint=FINGERPRINT)
            for number in range(3)
        )
    )
    (task,) = filter(None, imported)
    assert imported.count(None) == 2
    assert task == await stored(database, "55")
    assert task.id in {"own-0", "own-1", "own-2"}
    assert (task.status, task.webapp_id, task.node_info) == (S.QUEUED, None, [])
    assert await database.next_due_ms() == clock.now_ms


# Deleting


async def test_only_final_tasks_are_deleted(database: Database) -> None:
    for number, status in enumerate(S):
        task = await in_status(database, status, number)
        assert await database.delete_task(task.id) == status.is_final
        assert (await database.task(task.id) is None) == status.is_final
    assert sum((await database.count_by_status()).values()) == 5


async def test_old_final_tasks_are_deleted_in_portions(database: Database, clock: Clock) -> None:
    for number in (1, 2, 3):
        await in_status(database, S.SUCCESS, number)
    await in_status(database, S.RUNNING, 4)
    clock.go_on(10)
    assert await database.delete_tasks_ended_before(clock.now_ms - 10_000, limit=9) == []
    assert len(await database.delete_tasks_ended_before(clock.now_ms, limit=2)) == 2
    assert len(await database.delete_tasks_ended_before(clock.now_ms, limit=2)) == 1


# Reading


async def test_pages_are_newest_first_and_filtered(database: Database, clock: Clock) -> None:
    for number, status in enumerate((S.RUNNING, S.SUCCESS, S.RUNNING, S.FAILED, S.SUCCESS), start=1):
        await in_status(database, status, number)
        clock.go_on(1)
    await add(database, 6, webapp_id="other", owner="ann")

    async def page(before_seq: int = 2**62, limit: int = 10, **filters: Any) -> list[int]:
        wanted = PageFilter(**filters)
        return [task.seq for task in await database.page(before_seq=before_seq, limit=limit, wanted=wanted)]

    second, fourth = rfc3339(clock.now_ms - 4000), rfc3339(clock.now_ms - 2000)
    assert await page() == [6, 5, 4, 3, 2, 1]
    assert await page(limit=2) == [6, 5]
    assert await page(before_seq=5, limit=2) == [4, 3]
    assert await page(webapp_id="other") == [6]
    assert await page(owner="ann") == [6]
    assert await page(statuses=(S.SUCCESS, S.RUNNING, S.SUCCESS)) == [5, 3, 2, 1]
    assert await page(statuses=(S.SUCCESS, S.FAILED), before_seq=5, limit=2) == [4, 2]
    assert await page(statuses=(S.RUNNING,), webapp_id="other") == []
    assert await page(created_after=second) == [6, 5, 4, 3, 2]
    assert await page(created_before=fourth) == [3, 2, 1]
    assert await page(created_after=second, created_before=fourth, statuses=(S.RUNNING,)) == [3]
    assert await page(created_before=rfc3339(0)) == []
    assert await page(created_after=rfc3339(clock.now_ms + 1)) == []


async def test_tasks_are_counted_by_every_status(database: Database) -> None:
    await in_status(database, S.RUNNING, 1)
    await in_status(database, S.FAILED, 2)
    assert await database.count_by_status() == dict.fromkeys(S, 0) | {S.RUNNING: 1, S.FAILED: 1}


async def test_a_version_counts_a_tasks_changes(database: Database) -> None:
    await at_runninghub(database)
    assert await database.versions(["task-1", "nobody"]) == {"task-1": 3}


async def test_run_times_are_an_apps_latest(database: Database) -> None:
    for number, seconds in ((1, 5.0), (2, 6.0), (3, None), (4, 7.0)):
        await at_runninghub(database, number)
        await database.store(f"task-{number}", finished(str(1000 + number), seconds))
    assert await database.run_times(WEBAPP_ID, limit=2) == [7.0, 6.0]
    assert await database.run_times("other", limit=2) == []


async def plan(database: Database, sql: str, parameters: dict[str, Any]) -> list[str]:
    """How SQLite runs a statement: one line for each table that it reads or sorts."""
    values = {"before": 1, "limit": 1, "short": 1} | parameters
    return [row["detail"] for row in await database.engine.scan(f"EXPLAIN QUERY PLAN {sql}", values)]


def is_scan(step: str) -> bool:
    """Whether a step reads or sorts all rows; of a covering index it stops at the first that fits."""
    is_whole_table = step.startswith(("SCAN tasks", "SCAN ahead", "SCAN own")) and "USING" not in step
    return is_whole_table or step.startswith("USE TEMP B-TREE")


@pytest.mark.sqlite_only
async def test_no_request_scans_more_rows_than_it_returns(database: Database) -> None:
    """Every statement of a request finds its rows by an index."""
    steps = []
    for sql, parameters in (
        (queries.SELECT_TASKS, {"refs": "[]", "seqs": "[]"}),
        (queries.SELECT_BY_IDEMPOTENCY_KEY, {"key": "k"}),
        (queries.SELECT_BY_RUNNINGHUB_ID, {"runninghub_task_id": "1"}),
        (queries.SELECT_CANDIDATES, {"base_url": None, "instance_type": "default", "limit": 1}),
        (queries.SELECT_VALUES, {"seqs": "[]"}),
        (queries.HAS_CLAIMABLE, {}),
        (queries.NEXT_DUE, {}),
        (queries.SELECT_PAST_DEADLINE, {"now": 1, "limit": 1}),
    ):
        steps += await plan(database, sql, parameters)
    # What is sorted is a list of ids that a request came with, not rows.
    assert [step for step in steps if is_scan(step)] == ["USE TEMP B-TREE FOR GROUP BY"]


@pytest.mark.sqlite_only
@pytest.mark.parametrize("count", range(len(queries.PAGE_FILTERS) + 1))
async def test_every_combination_of_a_lists_filters_finds_its_rows_by_an_index(
    database: Database, count: int
) -> None:
    for filters in combinations(queries.PAGE_FILTERS, count):
        steps = await plan(database, queries.select_page(filters=filters), dict.fromkeys(filters, "x"))
        assert [step for step in steps if is_scan(step)] == []
        assert [step for step in steps if step.startswith("SEARCH tasks USING")], filters


def long_value(megabytes: float) -> list[dict[str, str]]:
    return [NODE | {"fieldValue": "猫" * int(megabytes * 2**20 / 3)}]


async def test_a_list_leaves_out_the_values_that_would_make_it_too_large(database: Database) -> None:
    for number, megabytes in enumerate((0.001, 1.5, 3, 1.5, 0.5)):
        await add(database, number, node_info=long_value(megabytes))
    page = await database.page(before_seq=99, limit=200)
    assert [(task.id, task.is_truncated, len(task.node_info)) for task in page] == [
        ("task-4", False, 1),
        ("task-3", False, 1),
        ("task-2", True, 0),
        ("task-1", False, 1),
        ("task-0", False, 1),
    ]
    assert page[0].node_info == long_value(0.5)
    assert (await stored(database, "task-2")).node_info == long_value(3)


async def test_a_lists_long_results_are_left_out_with_the_values(database: Database) -> None:
    for number in (1, 2):
        await at_runninghub(database, number)
        results = [{"text": "x" * 3 * 2**20}]
        await database.store(f"task-{number}", finished(str(1000 + number), results=results))
    newest, older = await database.page(before_seq=99, limit=50)
    assert newest.result_data == [{"text": "x" * 3 * 2**20}]
    assert (older.is_truncated, older.node_info, older.result_data) == (True, [], None)


# Faults


@pytest.mark.sqlite_only
async def test_a_locked_file_stops_a_submit_whole_and_the_next_one_is_stored(
    database: Database, tmp_path: Path
) -> None:
    await sqlite_file(database).writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        await add(database, 1)
    assert await database.task("task-1") is None
    other.execute("ROLLBACK")
    other.close()
    assert (await add(database, 2)).status is S.SUBMITTING


@pytest.mark.sqlite_only
async def test_a_full_disk_leaves_no_task_half_stored(database: Database) -> None:
    ((pages,),) = await sqlite_file(database).writer.execute_fetchall("PRAGMA page_count")
    await sqlite_file(database).writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DatabaseUnavailable, match="full"):
        await add(database, node_info=[NODE | {"fieldValue": "x" * 100_000}])
    assert await database.task("task-1") is None


# The clock


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(1_800_000_000_123) == "2027-01-15T08:00:00.123Z"
    assert utc_now_ms() > 1_700_000_000_000
