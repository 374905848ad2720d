"""What is deleted when it has been kept for long enough."""

import pytest

from database import Database
from models import NewOutput, OutputState
from tasks.retention import Retention
from tests.conftest import Clock, at_runninghub, settings_with
from transitions import Finished

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

DAY_S = 86_400
TEXT = NewOutput(n=0, state=OutputState.KEPT, media_type="text/plain", text="a cat")


async def end(database: Database, number: int = 1) -> None:
    await at_runninghub(database, number)
    assert await database.store(
        f"task-{number}", Finished(str(1000 + number), [], None, None, {}, outputs=(TEXT,))
    )


async def state(database: Database, task_id: str = "task-1") -> OutputState:
    (output,) = await database.outputs.of_task(task_id)
    return output.state


async def test_outputs_are_deleted_after_their_days(database: Database, clock: Clock) -> None:
    retention = Retention(database, settings_with(outputs_keep_days=30))
    await end(database)
    clock.go_on(29.9 * DAY_S)
    await retention.delete_old()
    assert await state(database) is OutputState.KEPT
    clock.go_on(0.2 * DAY_S)
    await retention.delete_old()
    assert await state(database) is OutputState.DELETED
    assert await database.task("task-1") is not None


async def test_tasks_are_deleted_with_their_outputs_after_their_days(
    database: Database, clock: Clock
) -> None:
    await end(database, 1)
    clock.go_on(2 * DAY_S)
    await end(database, 2)
    await at_runninghub(database, 3)
    clock.go_on(1 * DAY_S)
    await Retention(database, settings_with(tasks_keep_days=2)).delete_old()
    assert [await database.task(f"task-{number}") is None for number in (1, 2, 3)] == [True, False, False]
    assert await database.outputs.of_task("task-1") == []


async def test_nothing_is_deleted_where_no_time_is_set(database: Database, clock: Clock) -> None:
    await end(database)
    clock.go_on(10_000 * DAY_S)
    await Retention(database, settings_with(outputs_keep_days=0)).delete_old()
    assert await state(database) is OutputState.KEPT


async def test_more_rows_than_one_transaction_takes_are_deleted(database: Database, clock: Clock) -> None:
    await end(database, 1)
    await end(database, 2)
    clock.go_on(31 * DAY_S)
    await Retention(database, settings_with(), rows_at_once=1).delete_old()
    assert [await state(database, f"task-{number}") for number in (1, 2)] == [OutputState.DELETED] * 2
