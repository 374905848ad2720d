"""The rows of kept outputs: their states, leases, and which files are deleted when."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from db.engine import Connection, Engine
from db.engines import open_engine
from db.output_rows import LINK_LIFETIME_MS, OutputRows
from models import NewOutput, Output, OutputState
from tests.conftest import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

LEASE_MS = 60_000
PICTURE = NewOutput(
    n=0,
    state=OutputState.KEEPING,
    media_type="image/png",
    source_url="https://rh.example.com/x.png",
    file_type="png",
    node_id="9",
)
TEXT = NewOutput(n=1, state=OutputState.KEPT, media_type="text/plain", text="a 猫")


@pytest.fixture
async def file(location: str) -> AsyncIterator[Engine]:
    async with open_engine(location) as file:
        yield file


@pytest.fixture
def outputs(file: Engine, clock: Clock) -> OutputRows:
    return OutputRows(file, clock)


async def insert(
    file: Engine,
    outputs: OutputRows,
    task_id: str = "task-1",
    new: Sequence[NewOutput] = (PICTURE,),
) -> None:
    async def statements(connection: Connection) -> None:
        await connection.execute_fetchall(
            "INSERT INTO tasks (id, status, created_at, updated_at, node_info)"
            " VALUES (:id, 'SUCCESS', '', '', '[]')",
            {"id": task_id},
        )
        await outputs.insert(connection, task_id, new)

    await file.write(statements)


async def delete_task(file: Engine, task_id: str) -> None:
    async def statements(connection: Connection) -> None:
        await connection.execute_fetchall("DELETE FROM tasks WHERE id = :id", {"id": task_id})

    await file.write(statements)


async def lease(outputs: OutputRows, limit: int = 10) -> list[Output]:
    return await outputs.lease(lease_ms=LEASE_MS, limit=limit)


async def keep(outputs: OutputRows, output: Output, key: str = "a-key", *, text: str | None = None) -> bool:
    assert await outputs.claim_key(output, key)
    return await outputs.kept(
        output, storage_key=key, size=5, sha256="5ha", text=text, media_type=output.media_type
    )


async def kept(file: Engine, outputs: OutputRows, task_id: str, key: str = "a-key") -> None:
    await insert(file, outputs, task_id)
    (output,) = await lease(outputs)
    assert await keep(outputs, output, key)


async def state(outputs: OutputRows, task_id: str = "task-1") -> OutputState:
    return (await outputs.of_task(task_id))[0].state


async def files_to_delete(outputs: OutputRows) -> list[str]:
    return sorted(await outputs.lease_files_to_delete(lease_ms=LEASE_MS, limit=10))


# Inserting and reading


async def test_a_result_with_an_address_is_being_kept(
    file: Engine, outputs: OutputRows, clock: Clock
) -> None:
    await insert(file, outputs)
    assert await outputs.of_task("task-1") == [
        Output(
            task_id="task-1",
            n=0,
            state=OutputState.KEEPING,
            source_url="https://rh.example.com/x.png",
            file_type="png",
            media_type="image/png",
            node_id="9",
            size=None,
            sha256=None,
            text=None,
            storage_key=None,
            attempts=0,
            failures=0,
            expires_ms=clock() + LINK_LIFETIME_MS,
        )
    ]


async def test_a_text_without_an_address_is_kept_at_once(file: Engine, outputs: OutputRows) -> None:
    await insert(file, outputs, new=[TEXT])
    (output,) = await outputs.of_task("task-1")
    assert (output.state, output.text, output.size) == (OutputState.KEPT, "a 猫", 5)
    assert output.sha256 == hashlib.sha256("a 猫".encode()).hexdigest()
    assert await lease(outputs) == []


@pytest.mark.parametrize("state", [OutputState.NOT_KEPT, OutputState.LOST])
async def test_what_is_not_to_be_kept_is_never_leased(
    file: Engine, outputs: OutputRows, state: OutputState
) -> None:
    await insert(file, outputs, new=[replace(PICTURE, state=state)])
    assert (await outputs.of_task("task-1"))[0].state is state
    assert await lease(outputs) == []


async def test_outputs_are_read_for_many_tasks_at_once(file: Engine, outputs: OutputRows) -> None:
    await insert(file, outputs, "task-1", [TEXT, PICTURE])
    await insert(file, outputs, "task-2")
    await insert(file, outputs, "task-3", [])
    found = await outputs.of_tasks(["task-1", "task-2", "task-3", "task-4"])
    assert {task_id: [output.n for output in rows] for task_id, rows in found.items()} == {
        "task-1": [0, 1],
        "task-2": [0],
    }
    assert await outputs.of_task("task-3") == []


# Leases


async def test_a_leased_output_is_nobody_elses_until_the_lease_expires(
    file: Engine, outputs: OutputRows, clock: Clock
) -> None:
    await insert(file, outputs)
    (first,) = await lease(outputs)
    assert await lease(outputs) == []
    clock.go_on(LEASE_MS / 1000)
    (second,) = await lease(outputs)
    assert (first.attempts, second.attempts) == (1, 2)


async def test_a_renewed_lease_lasts_longer(file: Engine, outputs: OutputRows, clock: Clock) -> None:
    await insert(file, outputs)
    leased = await lease(outputs)
    clock.go_on(50)
    await outputs.renew(leased, lease_ms=LEASE_MS)
    clock.go_on(50)
    assert await lease(outputs) == []
    clock.go_on(10)
    assert len(await lease(outputs)) == 1


async def test_no_more_than_the_limit_is_leased_and_the_longest_due_first(
    file: Engine, outputs: OutputRows, clock: Clock
) -> None:
    for task_id in ("task-2", "task-1"):
        await insert(file, outputs, task_id)
        clock.go_on(1)
    assert [output.task_id for output in await lease(outputs, limit=1)] == ["task-2"]
    assert [output.task_id for output in await lease(outputs, limit=1)] == ["task-1"]


async def test_leases_of_a_killed_process_are_due_after_the_next_start(
    file: Engine, outputs: OutputRows
) -> None:
    await kept(file, outputs, "task-1")
    await insert(file, outputs, "task-2")
    await lease(outputs)
    await delete_task(file, "task-1")
    await files_to_delete(outputs)
    await outputs.pull_due(longest_ms=0)
    assert [output.task_id for output in await lease(outputs)] == ["task-2"]
    assert await files_to_delete(outputs) == ["a-key"]


async def test_a_worker_whose_lease_has_expired_changes_nothing_any_more(
    file: Engine, outputs: OutputRows, clock: Clock
) -> None:
    await insert(file, outputs)
    (late,) = await lease(outputs)
    assert await outputs.claim_key(late, "a-key")
    clock.go_on(LEASE_MS / 1000)
    (current,) = await lease(outputs)
    assert not await outputs.claim_key(late, "another-key")
    assert not await outputs.kept(
        late, storage_key="a-key", size=1, sha256="x", text=None, media_type="image/png"
    )
    assert not await outputs.not_kept(late, OutputState.LOST)
    await outputs.retry(late, delay_ms=0, failures=9)
    assert await lease(outputs) == []
    assert await keep(outputs, current)


# The end of a copy


async def test_a_kept_output_has_its_size_sha256_and_text(file: Engine, outputs: OutputRows) -> None:
    await insert(file, outputs)
    (output,) = await lease(outputs)
    assert await keep(outputs, output, text="a cat")
    (done,) = await outputs.of_task("task-1")
    assert (done.state, done.size, done.sha256, done.text, done.storage_key) == (
        OutputState.KEPT,
        5,
        "5ha",
        "a cat",
        "a-key",
    )
    assert await files_to_delete(outputs) == []


@pytest.mark.parametrize("end", [OutputState.LOST, OutputState.TOO_LARGE])
async def test_a_copy_without_a_file_leaves_what_it_claimed_to_be_deleted(
    file: Engine, outputs: OutputRows, end: OutputState
) -> None:
    await insert(file, outputs)
    (output,) = await lease(outputs)
    assert await outputs.claim_key(output, "a-key")
    assert await outputs.not_kept(output, end)
    assert await state(outputs) is end
    assert await files_to_delete(outputs) == ["a-key"]


async def test_a_retry_is_due_after_its_delay(file: Engine, outputs: OutputRows, clock: Clock) -> None:
    await insert(file, outputs)
    (output,) = await lease(outputs)
    await outputs.retry(output, delay_ms=5000, failures=1)
    clock.go_on(4.9)
    assert await lease(outputs) == []
    clock.go_on(0.1)
    (again,) = await lease(outputs)
    assert (again.attempts, again.failures) == (2, 1)


async def test_a_file_that_disappeared_is_copied_again_while_the_link_works(
    file: Engine, outputs: OutputRows, clock: Clock
) -> None:
    await kept(file, outputs, "task-1")
    (output,) = await outputs.of_task("task-1")
    await outputs.keep_again(output)
    assert await state(outputs) is OutputState.KEEPING
    (leased,) = await lease(outputs)
    assert await keep(outputs, leased)
    clock.go_on(LINK_LIFETIME_MS / 1000)
    await outputs.keep_again(output)
    assert await state(outputs) is OutputState.KEPT


# Deleting


async def test_the_files_of_a_deleted_task_are_deleted(file: Engine, outputs: OutputRows) -> None:
    await kept(file, outputs, "task-1")
    await delete_task(file, "task-1")
    assert await outputs.of_task("task-1") == []
    assert await files_to_delete(outputs) == ["a-key"]
    await outputs.file_deleted("a-key")
    await outputs.pull_due(longest_ms=0)
    assert await files_to_delete(outputs) == []


async def test_a_file_of_two_outputs_is_deleted_with_the_second(file: Engine, outputs: OutputRows) -> None:
    await kept(file, outputs, "task-1")
    await kept(file, outputs, "task-2")
    await delete_task(file, "task-1")
    assert await files_to_delete(outputs) == []
    await delete_task(file, "task-2")
    assert await files_to_delete(outputs) == ["a-key"]


async def test_a_file_that_is_being_copied_again_elsewhere_is_not_deleted(
    file: Engine, outputs: OutputRows
) -> None:
    await kept(file, outputs, "task-1")
    await insert(file, outputs, "task-2")
    (copying,) = await lease(outputs)
    assert await outputs.claim_key(copying, "a-key")
    await delete_task(file, "task-1")
    assert await files_to_delete(outputs) == []


async def test_a_file_that_is_about_to_be_deleted_cannot_be_claimed(
    file: Engine, outputs: OutputRows
) -> None:
    await kept(file, outputs, "task-1")
    await delete_task(file, "task-1")
    await insert(file, outputs, "task-2")
    (copying,) = await lease(outputs)
    assert not await outputs.claim_key(copying, "a-key")
    await outputs.file_deleted("a-key")
    assert await outputs.claim_key(copying, "a-key")


async def test_a_deletion_that_failed_is_due_again(file: Engine, outputs: OutputRows, clock: Clock) -> None:
    await kept(file, outputs, "task-1")
    await delete_task(file, "task-1")
    assert await files_to_delete(outputs) == ["a-key"]
    assert await files_to_delete(outputs) == []
    clock.go_on(LEASE_MS / 1000)
    assert await files_to_delete(outputs) == ["a-key"]


async def test_outputs_kept_before_a_time_are_deleted(
    file: Engine, outputs: OutputRows, clock: Clock
) -> None:
    await kept(file, outputs, "task-1", "old")
    clock.go_on(10)
    between = clock()
    clock.go_on(10)
    await kept(file, outputs, "task-2", "new")
    assert await outputs.delete_kept_before(between, limit=10) == 1
    assert await outputs.delete_kept_before(between, limit=10) == 0
    assert [await state(outputs, task_id) for task_id in ("task-1", "task-2")] == [
        OutputState.DELETED,
        OutputState.KEPT,
    ]
    assert await files_to_delete(outputs) == ["old"]
