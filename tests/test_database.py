"""The tasks' table: every arrow between statuses, the gate, the queue, leases, pages and the clock."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from database import Database
from db.migrations import MIGRATIONS
from db.queries import SUBMIT_BLOCK_MAX_MS, SUBMIT_STREAK_PER_SLOT, SUBMIT_WINDOW_MAX
from db.sqlite import DatabaseRefused
from errors import DatabaseUnavailable
from models import Change, LimiterSignal, Task, TaskStatus, rfc3339, utc_now_ms
from models import TaskStatus as S
from tests.conftest import NODE, WEBAPP_ID, Clock, add, at_runninghub, new_task, stored

pytestmark = pytest.mark.anyio

# Written out, not taken from the module: these are the contract's arrows.
TRANSITIONS = {
    (S.PENDING, S.SUBMITTING),
    (S.PENDING, S.CANCELLED),
    (S.SUBMITTING, S.PENDING),
    (S.SUBMITTING, S.QUEUED),
    (S.SUBMITTING, S.RUNNING),
    (S.SUBMITTING, S.FAILED),
    (S.SUBMITTING, S.CANCELLED),
    (S.SUBMITTING, S.SUBMIT_UNKNOWN),
    (S.SUBMIT_UNKNOWN, S.PENDING),
    (S.SUBMIT_UNKNOWN, S.QUEUED),
    (S.SUBMIT_UNKNOWN, S.RUNNING),
    (S.SUBMIT_UNKNOWN, S.SUCCESS),
    (S.SUBMIT_UNKNOWN, S.FAILED),
    (S.SUBMIT_UNKNOWN, S.CANCELLED),
    (S.QUEUED, S.RUNNING),
    (S.QUEUED, S.SUCCESS),
    (S.QUEUED, S.FAILED),
    (S.QUEUED, S.CANCELLED),
    (S.RUNNING, S.QUEUED),
    (S.RUNNING, S.SUCCESS),
    (S.RUNNING, S.FAILED),
    (S.RUNNING, S.CANCELLED),
}
# How a task comes to each status: the moves after it was claimed.
WAYS: dict[TaskStatus, tuple[TaskStatus, ...]] = {
    S.SUBMITTING: (),
    S.PENDING: (S.PENDING,),
    S.QUEUED: (S.QUEUED,),
    S.RUNNING: (S.RUNNING,),
    S.SUCCESS: (S.RUNNING, S.SUCCESS),
    S.FAILED: (S.FAILED,),
    S.CANCELLED: (S.CANCELLED,),
    S.SUBMIT_UNKNOWN: (S.SUBMIT_UNKNOWN,),
}


async def in_status(database: Database, status: TaskStatus, number: int = 1) -> Task:
    """A task in this status; of many, the ones under way have to come last, since they hold others up."""
    if (task := await add(database, number)).status is status:
        return task
    if task.status is S.PENDING:  # behind those of other tests
        assert f"task-{number}" in await claimed(database)
    for step in WAYS[status]:
        assert await database.move(f"task-{number}", Change(step))
    return await stored(database, f"task-{number}")


async def waiting(database: Database, count: int) -> None:
    """So many tasks that wait, with no call under way and the gate open with its first window."""
    await add(database, 1)
    for number in range(2, count + 1):
        await add(database, number)
    assert await database.move("task-1", Change(S.PENDING))


async def claimed(database: Database, max_concurrent: int = 0) -> list[str]:
    return [task.id for task in await database.claim_pending(max_concurrent=max_concurrent)]


async def widen_gate(database: Database, window: int) -> None:
    """Let as many calls be under way at once as after a time in which RunningHub took everything."""
    taken = [
        database.move("nobody", Change(S.QUEUED), gate=LimiterSignal.ACCEPTED)
        for _ in range(SUBMIT_STREAK_PER_SLOT * window)
    ]
    await asyncio.gather(*taken)


async def take(database: Database, number: int) -> None:
    """RunningHub takes a task whose call is under way."""
    change = Change(S.QUEUED, runninghub_task_id=str(1000 + number))
    assert await database.move(f"task-{number}", change, gate=LimiterSignal.ACCEPTED)


@pytest.fixture(scope="module")
async def shared_database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """One file for the tests of all arrows, with room for the calls under way that they leave behind."""
    path = tmp_path_factory.mktemp("arrows") / "tasks.db"
    async with Database(str(path), clock=Clock()) as database:
        await widen_gate(database, SUBMIT_WINDOW_MAX)
        yield database


# Storing


async def test_a_new_task_is_stored_whole_and_its_call_is_due(database: Database, clock: Clock) -> None:
    new = new_task(
        instance_type="plus", encrypted_password=b"sealed", idempotency_key="key", request_digest="digest"
    )
    added = await database.add_task(new, max_pending=1, max_concurrent=0)
    at = rfc3339(clock.now_ms)
    assert added == Task(
        seq=1,
        id="task-1",
        status=S.SUBMITTING,
        version=1,
        created_at=at,
        updated_at=at,
        webapp_id=WEBAPP_ID,
        node_info=[NODE],
        instance_type="plus",
        encrypted_password=b"sealed",
        runninghub_task_id=None,
        hinted_task_id=None,
        result_data=None,
        error=None,
        node_errors=None,
        request_digest="digest",
        cancel_requested=False,
        accepted_ms=None,
        running_ms=None,
        lost_since_ms=None,
    )
    assert await stored(database) == added
    assert await database.task_by_idempotency_key("key") == added


async def test_a_task_past_max_pending_is_not_stored(database: Database) -> None:
    await waiting(database, 2)
    assert await database.add_task(new_task(3), max_pending=2, max_concurrent=0) is None
    assert await database.task("task-3") is None


async def test_the_same_idempotency_key_is_stored_once_however_many_come_at_once(database: Database) -> None:
    added = await asyncio.gather(
        *(
            database.add_task(new_task(number, idempotency_key="key"), max_pending=1000, max_concurrent=0)
            for number in range(10)
        )
    )
    assert [task.id for task in added if task] == ["task-0"]
    assert sum((await database.count_by_status()).values()) == 1


async def test_a_task_is_found_by_either_id_and_the_newest_has_a_shared_one(database: Database) -> None:
    first = await at_runninghub(database, 1)
    assert await database.task("1001") == await database.task("task-1") == first
    await add(database, 2)
    await database.move("task-2", Change(S.QUEUED, runninghub_task_id="1001"))
    found = await asyncio.gather(*map(database.task, ["1001", "task-1", "task-2", "nothing"]))
    assert [task and task.id for task in found] == ["task-2", "task-1", "task-2", None]


async def test_all_that_was_stored_is_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, clock=clock) as database:
        before = [await in_status(database, status, number) for number, status in enumerate(reversed(S))]
    async with Database(path, clock=clock) as database:
        assert [await stored(database, task.id) for task in before] == before


async def test_a_file_of_a_newer_service_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with Database(str(path)) as database:
        await database.writer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused, match=r"^the database tasks\.db was written by a newer version"):
        await Database(str(path)).__aenter__()
    assert path.read_bytes() == before


async def test_no_other_word_than_the_contracts_can_be_a_status(database: Database) -> None:
    await add(database)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        await database.writer.execute("UPDATE tasks SET status = 'LOST'")


# Arrows


@pytest.mark.parametrize(("source", "target"), list(itertools.product(S, S)))
async def test_a_status_follows_only_where_an_arrow_leads(
    shared_database: Database, source: TaskStatus, target: TaskStatus
) -> None:
    number = len(S) * list(S).index(source) + list(S).index(target)
    before = await in_status(shared_database, source, number)
    moved = await shared_database.move(before.id, Change(target))
    after = await stored(shared_database, before.id)
    if (source, target) not in TRANSITIONS:
        assert (moved, after) == (None, before)
        return
    assert moved == replace(after, queue_position=None)
    assert (after.status, after.version) == (target, before.version + 1)


@pytest.mark.parametrize("status", S)
def test_the_final_statuses_are_success_failed_and_cancelled(status: TaskStatus) -> None:
    assert status.is_final == (status in {S.SUCCESS, S.FAILED, S.CANCELLED})


async def test_a_move_can_be_narrowed_to_some_sources_and_never_widened(database: Database) -> None:
    await in_status(database, S.SUBMIT_UNKNOWN, 1)
    await in_status(database, S.SUCCESS, 2)
    assert await database.move("task-1", Change(S.CANCELLED, sources=frozenset({S.PENDING}))) is None
    assert await database.move("task-2", Change(S.CANCELLED, sources=frozenset({S.SUCCESS}))) is None


async def test_only_the_first_answer_closes_a_task(database: Database) -> None:
    await at_runninghub(database)
    ends = [Change(S.SUCCESS, result_data=[]), Change(S.FAILED, error={"code": "c", "message": "m"})]
    first, second = await asyncio.gather(*(database.move("task-1", end) for end in ends))
    assert second is None
    assert first == await stored(database)
    assert (first.status, first.result_data, first.error) == (S.SUCCESS, [], None)


async def test_a_move_of_a_task_that_is_not_there_is_none(database: Database) -> None:
    assert await database.move("nobody", Change(S.CANCELLED)) is None


async def test_a_move_stores_what_comes_with_it_and_keeps_the_times_of_the_first(
    database: Database, clock: Clock
) -> None:
    await add(database)
    accepted_ms = clock.now_ms
    await database.move(
        "task-1", Change(S.QUEUED, runninghub_task_id="1001", node_errors={"message": "odd", "node_id": "3"})
    )
    clock.go_on(5)
    running_ms = clock.now_ms
    await database.move("task-1", Change(S.RUNNING))
    clock.go_on(5)
    await database.move("task-1", Change(S.QUEUED))
    await database.move("task-1", Change(S.RUNNING))
    results = [{"fileUrl": "https://x/猫.png", "consumeCoins": None}]
    done = await database.move("task-1", Change(S.SUCCESS, result_data=results, run_seconds=7.5))
    assert done
    assert (done.runninghub_task_id, done.node_errors) == ("1001", {"message": "odd", "node_id": "3"})
    assert (done.accepted_ms, done.running_ms, done.result_data) == (accepted_ms, running_ms, results)
    assert (done.created_at, done.updated_at) == (rfc3339(accepted_ms), rfc3339(clock.now_ms))
    assert await database.run_times(WEBAPP_ID, limit=1) == [7.5]


@pytest.mark.parametrize(
    ("status", "is_kept"),
    [(S.PENDING, True), (S.SUBMIT_UNKNOWN, True), (S.QUEUED, False), (S.FAILED, False), (S.CANCELLED, False)],
)
async def test_a_sealed_password_is_kept_only_while_it_may_be_needed(
    database: Database, status: TaskStatus, is_kept: bool
) -> None:
    await add(database, encrypted_password=b"sealed")
    moved = await database.move("task-1", Change(status))
    assert moved
    assert moved.encrypted_password == (b"sealed" if is_kept else None)


# The queue and the gate


async def test_tasks_go_in_the_order_they_came_and_know_their_place(database: Database) -> None:
    await waiting(database, 3)
    places = [(await stored(database, f"task-{number}")).queue_position for number in (1, 2, 3)]
    assert places == [1, 2, 3]
    for number in (1, 2, 3):
        assert await claimed(database) == [f"task-{number}"]
        await take(database, number)
    assert await claimed(database) == []


async def test_a_task_that_was_refused_keeps_its_place_at_the_head(database: Database) -> None:
    await waiting(database, 3)
    await claimed(database)
    await database.move("task-1", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    await database.move("task-1", Change(S.PENDING), gate=LimiterSignal.FREED)
    assert await claimed(database) == ["task-1"]


async def test_at_first_only_one_call_is_under_way(database: Database) -> None:
    await waiting(database, 3)
    assert await claimed(database) == ["task-1"]
    assert await claimed(database) == []


async def test_the_window_widens_while_runninghub_takes_everything_and_a_refusal_narrows_it(
    database: Database,
) -> None:
    for number in range(SUBMIT_STREAK_PER_SLOT):
        await add(database, number)
        await take(database, number)
    for number in (100, 101, 102):
        await add(database, number)
    assert (await database.count_by_status())[S.SUBMITTING] == 2
    await database.move("task-100", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    await database.move("task-101", Change(S.PENDING), gate=LimiterSignal.FREED)
    assert await claimed(database) == ["task-100"]


async def test_the_window_has_an_end(database: Database) -> None:
    await add(database, 0)
    await widen_gate(database, SUBMIT_WINDOW_MAX + 2)
    for number in range(1, SUBMIT_WINDOW_MAX + 9):
        await add(database, number)
    assert (await database.count_by_status())[S.SUBMITTING] == SUBMIT_WINDOW_MAX


async def test_a_refusal_closes_the_gate_for_a_while(database: Database, clock: Clock) -> None:
    await waiting(database, 2)
    await claimed(database)
    await database.move("task-1", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    clock.go_on(0.7)
    assert await claimed(database) == []
    clock.go_on(0.6)
    assert await claimed(database) == ["task-1"]


async def test_the_gate_is_closed_for_longer_after_each_refusal_up_to_a_limit(
    database: Database, clock: Clock
) -> None:
    await waiting(database, 2)
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        assert await claimed(database) == ["task-1"]
        await database.move("task-1", Change(S.PENDING), gate=LimiterSignal.REJECTED)
        clock.go_on(seconds * 0.79)
        assert await claimed(database) == []
        clock.go_on(seconds * 0.42)


async def test_after_a_task_was_taken_the_first_block_is_short_again(
    database: Database, clock: Clock
) -> None:
    await waiting(database, 3)
    for _ in range(5):
        await database.move("nobody", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    clock.go_on(SUBMIT_BLOCK_MAX_MS)
    await claimed(database)
    await take(database, 1)
    await claimed(database)
    await database.move("task-2", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    clock.go_on(1.21)
    assert await claimed(database) == ["task-2"]


async def test_the_end_of_a_task_opens_the_gate(database: Database) -> None:
    await at_runninghub(database, 1)
    await add(database, 2)
    await database.move("task-2", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    assert await claimed(database) == []
    await database.move("task-1", Change(S.SUCCESS, result_data=[]), gate=LimiterSignal.FREED)
    assert await claimed(database) == ["task-2"]


async def test_a_word_that_could_not_be_stored_is_not_counted_twice(database: Database) -> None:
    await add(database, 1)
    unstorable = Change(S.QUEUED, result_data=[object()])
    for _ in range(SUBMIT_STREAK_PER_SLOT):
        with pytest.raises(TypeError):
            await database.move("task-1", unstorable, gate=LimiterSignal.ACCEPTED)
    await take(database, 1)
    await add(database, 2)
    assert (await add(database, 3)).status is S.PENDING


async def test_a_task_that_comes_to_an_empty_queue_is_tried_at_once(database: Database) -> None:
    await database.move("nobody", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    assert (await add(database, 1)).status is S.SUBMITTING
    assert (await add(database, 2)).status is S.PENDING


async def test_a_task_that_comes_to_a_closed_gate_does_not_overtake(database: Database) -> None:
    await add(database, 1)
    await database.move("task-1", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    assert (await add(database, 2)).queue_position == 2


async def test_a_clock_that_steps_back_does_not_close_the_gate_for_long(
    database: Database, clock: Clock
) -> None:
    await waiting(database, 1)
    await database.move("nobody", Change(S.PENDING), gate=LimiterSignal.REJECTED)
    clock.go_on(-3600)
    assert await claimed(database) == ["task-1"]


async def test_no_more_than_max_concurrent_tasks_are_at_runninghub_or_on_their_way(
    database: Database,
) -> None:
    for number in (1, 2):
        await database.add_task(new_task(number), max_pending=10, max_concurrent=2)
        await take(database, number)
    added = await database.add_task(new_task(3), max_pending=10, max_concurrent=2)
    assert added
    assert added.status is S.PENDING
    assert await claimed(database, max_concurrent=2) == []
    await database.move("task-1", Change(S.SUCCESS, result_data=[]), gate=LimiterSignal.FREED)
    assert await claimed(database, max_concurrent=2) == ["task-3"]


async def test_two_workers_never_claim_the_same_task(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "tasks.db")
    async with Database(path, clock=clock) as first, Database(path, clock=clock) as second:
        await waiting(first, 9)
        await widen_gate(first, 9)
        got = await asyncio.gather(*(claimed(database) for database in (first, second) * 5))
        assert sorted(itertools.chain(*got)) == [f"task-{number}" for number in range(1, 10)]


async def test_calls_whose_worker_died_are_stale_after_their_time(database: Database, clock: Clock) -> None:
    await add(database)
    began_ms = clock.now_ms
    clock.go_on(30)
    assert await database.stale_submits(before_ms=began_ms - 1) == []
    assert [task.id for task in await database.stale_submits(before_ms=began_ms)] == ["task-1"]
    clock.go_on(-60)
    assert [task.id for task in await database.stale_submits(before_ms=began_ms - 1)] == ["task-1"]


# Looks


async def test_a_leased_look_belongs_to_one_until_its_lease_runs_out(tmp_path: Path, clock: Clock) -> None:
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


async def test_the_due_looks_come_first_whose_wait_would_double_first(
    database: Database, clock: Clock
) -> None:
    for number in (1, 2, 3, 4):
        await at_runninghub(database, number)
    await database.reschedule("task-1", clock.now_ms + 4_000)  # doubled 8 s from now
    clock.go_on(3)
    for number, seconds in ((2, 1), (3, 2), (4, 9)):  # doubled after 5, 7 and 21 s
        await database.reschedule(f"task-{number}", clock.now_ms + seconds * 1000)
    clock.go_on(2)
    leased = await database.lease_due(lease_ms=1000, limit=2)
    assert [task.id for task in leased] == ["task-2", "task-3"]
    assert [task.id for task in await database.lease_due(lease_ms=1000, limit=2)] == ["task-1"]


async def test_a_look_is_late_when_its_wait_has_doubled(database: Database, clock: Clock) -> None:
    assert await database.most_late_s() < 0
    for number, seconds in ((1, 2), (2, 10)):
        await at_runninghub(database, number)
        await database.reschedule(f"task-{number}", clock.now_ms + seconds * 1000)
    clock.go_on(3.5)
    assert await database.most_late_s() == -0.5
    clock.go_on(2)
    assert await database.most_late_s() == 1.5
    await database.lease_due(lease_ms=9000, limit=1)
    assert await database.most_late_s() < 0


async def test_a_hinted_look_goes_first(database: Database, clock: Clock) -> None:
    for number in (1, 2):
        await at_runninghub(database, number)
        await database.reschedule(f"task-{number}", clock.now_ms + 1000)
    clock.go_on(1)
    await database.hint_finished("task-2", None)
    leased = await database.lease_due(lease_ms=1, limit=1)
    assert [task.id for task in leased] == ["task-2"]


async def test_only_tasks_that_may_run_at_runninghub_are_looked_at(database: Database, clock: Clock) -> None:
    for number, status in enumerate(reversed(S)):
        await in_status(database, status, number)
        await database.reschedule(f"task-{number}", clock.now_ms)
    leased = await database.lease_due(lease_ms=1, limit=100)
    assert {task.status for task in leased} == {S.QUEUED, S.RUNNING, S.SUBMIT_UNKNOWN}


async def test_the_next_due_time_is_the_earliest_of_tasks_that_are_looked_at(
    database: Database, clock: Clock
) -> None:
    assert await database.next_due_ms() is None
    for number, seconds in ((1, 3), (2, 1)):
        await at_runninghub(database, number)
        await database.reschedule(f"task-{number}", clock.now_ms + seconds * 1000)
    assert await database.next_due_ms() == clock.now_ms + 1000
    await database.reschedule("task-2", None)
    assert await database.next_due_ms() == clock.now_ms + 3000


async def test_looks_that_a_clock_stepping_back_put_far_away_are_due_again(
    database: Database, clock: Clock
) -> None:
    await at_runninghub(database, 1)
    await database.reschedule("task-1", clock.now_ms + 15_000)
    await database.pull_due(longest_ms=15_000)
    assert await database.next_due_ms() == clock.now_ms + 15_000
    clock.go_on(-3600)
    await database.pull_due(longest_ms=15_000)
    assert await database.next_due_ms() == clock.now_ms


async def test_a_reschedule_is_no_change_that_a_client_sees(database: Database, clock: Clock) -> None:
    before = await at_runninghub(database)
    clock.go_on(1)
    await database.reschedule("task-1", clock.now_ms, lost_since_ms=5)
    assert await stored(database) == replace(before, lost_since_ms=5)
    await database.reschedule("task-1", clock.now_ms)
    assert await stored(database) == before


# Hints, cancels and adoptions


@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize("hint", ["77", None])
async def test_a_hint_makes_a_look_due_where_one_can_be_made(
    database: Database, clock: Clock, status: TaskStatus, hint: str | None
) -> None:
    before = await in_status(database, status)
    takes_hint = {S.QUEUED, S.RUNNING} | ({S.SUBMITTING, S.SUBMIT_UNKNOWN} if hint else set())
    hinted = await database.hint_finished("task-1", hint)
    if status not in takes_hint:
        assert (hinted, await stored(database)) == (None, before)
        return
    assert hinted == await stored(database) == replace(before, hinted_task_id=hint)
    looks = await database.lease_due(lease_ms=1, limit=1)
    assert [task.id for task in looks] == ([] if status is S.SUBMITTING else ["task-1"])


async def test_a_hint_that_came_during_the_paid_call_goes_first_of_the_due_looks(
    database: Database, clock: Clock
) -> None:
    await at_runninghub(database, 1)
    await database.reschedule("task-1", clock.now_ms + 1000)
    await add(database, 2)
    await database.hint_finished("task-2", "1002")
    change = Change(S.QUEUED, runninghub_task_id="1002", next_poll_ms=clock.now_ms + 2000)
    await database.move("task-2", change)
    clock.go_on(1)
    leased = await database.lease_due(lease_ms=1000, limit=1)
    assert [task.id for task in leased] == ["task-2"]


async def test_a_hint_does_not_replace_a_known_id(database: Database) -> None:
    await at_runninghub(database)
    hinted = await database.hint_finished("task-1", "77")
    assert hinted
    assert (hinted.runninghub_task_id, hinted.hinted_task_id) == ("1001", None)


async def test_a_hint_that_came_during_the_paid_call_is_looked_at_when_its_answer_gets_lost(
    database: Database, clock: Clock
) -> None:
    await add(database)
    await database.hint_finished("task-1", "77")
    await database.move("task-1", Change(S.SUBMIT_UNKNOWN))
    (task,) = await database.lease_due(lease_ms=1, limit=1)
    assert task.hinted_task_id == "77"
    await database.reschedule("task-1", None)
    assert (await stored(database)).hinted_task_id is None
    assert await database.next_due_ms() is None


@pytest.mark.parametrize("status", S)
async def test_a_cancel_is_noted_while_a_task_is_under_way(database: Database, status: TaskStatus) -> None:
    before = await in_status(database, status)
    noted = await database.request_cancel("task-1")
    if status in {S.SUBMITTING, S.QUEUED, S.RUNNING}:
        assert noted == replace(before, cancel_requested=True) == await stored(database)
    else:
        assert (noted, await stored(database)) == (None, before)


async def test_a_task_that_only_runninghub_knew_is_taken_in_once(database: Database, clock: Clock) -> None:
    adopted = await asyncio.gather(*(database.import_task(f"own-{number}", "55") for number in range(3)))
    assert adopted == [await stored(database, "own-0"), None, None]
    task = await stored(database, "55")
    assert (task.id, task.status, task.webapp_id, task.node_info) == ("own-0", S.QUEUED, None, [])
    assert await database.next_due_ms() == clock.now_ms


# Reading


async def test_pages_are_newest_first_and_filtered(database: Database) -> None:
    for number, status in enumerate((S.RUNNING, S.SUCCESS, S.RUNNING, S.FAILED, S.SUCCESS), start=1):
        await in_status(database, status, number)
    await add(database, 6, webapp_id="other")

    async def page(**filters: object) -> list[int]:
        asked = {"before_seq": 2**62, "limit": 10} | filters
        return [task.seq for task in await database.page(**asked)]  # type: ignore[arg-type]

    assert await page() == [6, 5, 4, 3, 2, 1]
    assert await page(limit=2) == [6, 5]
    assert await page(before_seq=5, limit=2) == [4, 3]
    assert await page(webapp_id="other") == [6]
    assert await page(statuses=[S.SUCCESS, S.RUNNING, S.SUCCESS]) == [5, 3, 2, 1]
    assert await page(statuses=[S.SUCCESS, S.FAILED], before_seq=5, limit=2) == [4, 2]
    assert await page(statuses=[S.RUNNING], webapp_id="other") == []


async def test_tasks_are_counted_by_every_status(database: Database) -> None:
    await in_status(database, S.RUNNING, 1)
    await in_status(database, S.FAILED, 2)
    assert await database.count_by_status() == dict.fromkeys(S, 0) | {S.RUNNING: 1, S.FAILED: 1}


async def test_a_version_counts_a_tasks_changes(database: Database) -> None:
    await at_runninghub(database)
    assert await database.versions(["task-1", "nobody"]) == {"task-1": 2}


async def test_run_times_are_an_apps_latest(database: Database) -> None:
    for number, seconds in ((1, 5.0), (2, 6.0), (3, None), (4, 7.0)):
        await at_runninghub(database, number)
        await database.move(f"task-{number}", Change(S.SUCCESS, result_data=[], run_seconds=seconds))
    assert await database.run_times(WEBAPP_ID, limit=2) == [7.0, 6.0]
    assert await database.run_times("other", limit=2) == []


# Faults


async def test_a_locked_file_stops_a_submit_whole_and_the_next_one_is_stored(
    database: Database, tmp_path: Path
) -> None:
    await database.writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        await add(database, 1)
    assert await database.task("task-1") is None
    other.execute("ROLLBACK")
    other.close()
    assert (await add(database, 2)).status is S.SUBMITTING


async def test_a_full_disk_leaves_no_task_half_stored(database: Database) -> None:
    ((pages,),) = await database.writer.execute_fetchall("PRAGMA page_count")
    await database.writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DatabaseUnavailable, match="full"):
        await add(database, node_info=[NODE | {"fieldValue": "x" * 100_000}])
    assert await database.task("task-1") is None


# The clock


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(1_800_000_000_123) == "2027-01-15T08:00:00.123Z"
    assert utc_now_ms() > 1_700_000_000_000
