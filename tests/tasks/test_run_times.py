"""An app's run times from the database, remembered for a moment."""

import pytest

from database import Database
from models import Change, TaskStatus
from tasks.run_times import LATEST, RunTimes
from tests.conftest import WEBAPP_ID, at_runninghub

pytestmark = pytest.mark.anyio


async def finish(database: Database, number: int, seconds: float) -> None:
    await at_runninghub(database, number)
    change = Change(TaskStatus.SUCCESS, result_data=[], run_seconds=seconds)
    assert await database.move(f"task-{number}", change)


async def test_the_latest_run_times_of_an_app_are_told_newest_first(database: Database) -> None:
    for number in range(LATEST + 2):
        await finish(database, number, number)
    assert await RunTimes(database).of(WEBAPP_ID) == [float(21 - number) for number in range(LATEST)]


async def test_without_an_app_or_a_finished_task_there_are_none(database: Database) -> None:
    run_times = RunTimes(database)
    assert list(await run_times.of(None)) == []
    assert list(await run_times.of(WEBAPP_ID)) == []


async def test_they_are_remembered_until_a_task_of_the_app_finishes(database: Database) -> None:
    run_times = RunTimes(database)
    await finish(database, 1, 5)
    assert await run_times.of(WEBAPP_ID) == [5]
    await finish(database, 2, 6)
    assert await run_times.of(WEBAPP_ID) == [5]
    run_times.forget("another")
    run_times.forget(None)
    assert await run_times.of(WEBAPP_ID) == [5]
    run_times.forget(WEBAPP_ID)
    assert await run_times.of(WEBAPP_ID) == [6, 5]


async def test_that_there_are_none_is_remembered_too(database: Database) -> None:
    run_times = RunTimes(database)
    assert list(await run_times.of(WEBAPP_ID)) == []
    await finish(database, 1, 5)
    assert list(await run_times.of(WEBAPP_ID)) == []
