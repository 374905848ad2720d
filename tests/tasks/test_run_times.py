"""An app's run times from the database, remembered for a moment."""

import pytest

from database import Database
from models import Task
from tasks.run_times import LATEST, RunTimes
from tests.conftest import Clock, add_waiting, at_runninghub
from transitions import Finished

pytestmark = pytest.mark.anyio


async def finish(database: Database, number: int, seconds: float) -> None:
    await at_runninghub(database, number)
    assert await database.store(f"task-{number}", Finished(str(1000 + number), [], seconds, None, {}))


async def task_of(database: Database, **target: str | None) -> Task:
    """A task of an app (unless told otherwise) that has not finished."""
    return await add_waiting(database, 99, **target)


async def test_the_latest_run_times_of_an_app_are_told_newest_first(database: Database) -> None:
    for number in range(LATEST + 2):
        await finish(database, number, number)
    task = await task_of(database)
    assert await RunTimes(database).of(task) == [float(21 - number) for number in range(LATEST)]


async def test_without_an_app_or_a_finished_task_there_are_none(database: Database) -> None:
    run_times = RunTimes(database)
    task = await task_of(database)
    assert list(await run_times.of(task._replace(webapp_id=None))) == []
    assert list(await run_times.of(task)) == []


async def test_they_are_remembered_until_a_task_of_the_app_finishes(database: Database) -> None:
    run_times, task = RunTimes(database), await task_of(database)
    await finish(database, 1, 5)
    assert await run_times.of(task) == [5]
    await finish(database, 2, 6)
    assert await run_times.of(task) == [5]
    run_times.forget(task._replace(webapp_id="another"))
    run_times.forget(task._replace(webapp_id=None))
    assert await run_times.of(task) == [5]
    run_times.forget(task)
    assert await run_times.of(task) == [6, 5]


async def test_that_there_are_none_is_remembered_too(database: Database) -> None:
    run_times, task = RunTimes(database), await task_of(database)
    assert list(await run_times.of(task)) == []
    await finish(database, 1, 5)
    assert list(await run_times.of(task)) == []


async def test_an_apps_first_run_times_count_when_longer_runs_would_have_ended(
    database: Database, clock: Clock
) -> None:
    run_times, task = RunTimes(database), await task_of(database)
    assert list(await run_times.settled(task)) == []
    await finish(database, 1, 5)
    run_times.forget(task, 5)
    clock.go_on(9)
    assert await run_times.of(task) == [5]
    assert list(await run_times.settled(task)) == []
    run_times.forget(task, 8)  # one that is not among the newest any more, or that failed
    clock.go_on(6)
    assert list(await run_times.settled(task)) == []
    clock.go_on(1)
    assert await run_times.settled(task) == [5]
    run_times.forget(task, 60)
    assert await run_times.settled(task) == [5]


async def test_run_times_from_before_the_start_count_at_once(database: Database) -> None:
    await finish(database, 1, 5)
    assert await RunTimes(database).settled(await task_of(database)) == [5]
