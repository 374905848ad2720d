"""Metrics on a real database: of two workers, across a restart, with a file that is locked, and bounded."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from database import Database
from metrics import COINS, DELIVERIES, DETECTION, ENDED, RUN, UNKNOWN_SUBMITS, WAITING, Metrics
from models import AccountRow, NewOutput, OutputState, TaskStatus
from tasks.metrics_recorder import MetricsRecorder
from tests.conftest import Clock, add, add_waiting, at_runninghub, sqlite_file, until
from transitions import Accepted, Finished, KeyRefusedAgain, OutcomeUnknown, RunFailed

pytestmark = pytest.mark.anyio


def recorder_of(database: Database, streams: int = 0) -> MetricsRecorder:
    return MetricsRecorder(database.metrics, database.metric_rows, lambda: streams)


@pytest.fixture
async def other(database: Database, clock: Clock) -> AsyncIterator[Database]:
    """Another worker with the same file."""
    async with Database(sqlite_file(database).path, worker="other", clock=clock) as other:
        yield other


async def total(database: Database, name: str, *labels: str) -> float:
    samples, _ = await recorder_of(database).read()
    return samples.get((name, labels, "total"), 0.0)


async def count(database: Database, name: str) -> float:
    samples, _ = await recorder_of(database).read()
    return sum(value for (each, _, part), value in samples.items() if each == name and part != "sum")


async def test_the_numbers_of_all_workers_are_added_up(database: Database, other: Database) -> None:
    database.metrics.count(DELIVERIES, "delivered", by=2)
    other.metrics.count(DELIVERIES, "delivered", by=3)
    await recorder_of(other).store()

    assert await total(database, DELIVERIES.name, "delivered") == 5
    assert await total(other, DELIVERIES.name, "delivered") == 5


async def test_numbers_continue_after_a_restart(database: Database, clock: Clock) -> None:
    database.metrics.count(DELIVERIES, "delivered")
    await recorder_of(database).store()
    async with Database(sqlite_file(database).path, worker="next", clock=clock) as restarted:
        restarted.metrics.count(DELIVERIES, "delivered")
        assert await total(restarted, DELIVERIES.name, "delivered") == 2


async def test_open_streams_of_a_worker_that_is_gone_are_not_counted(
    database: Database, other: Database, clock: Clock
) -> None:
    await recorder_of(other, streams=3).store()
    mine = recorder_of(database, streams=2)
    assert (await mine.read())[1].streams == 5
    clock.go_on(30)
    assert (await mine.read())[1].streams == 2


async def test_streams_that_have_ended_are_not_counted(database: Database) -> None:
    open_streams = [1]
    recorder = MetricsRecorder(database.metrics, database.metric_rows, open_streams.pop)
    await recorder.store()
    open_streams.append(0)
    _, gauges = await recorder.read()
    assert gauges.streams == 0


async def test_an_idle_worker_writes_nothing(database: Database) -> None:
    recorder = recorder_of(database)
    await recorder.store()  # what opening the file took
    database.metrics.take()

    async def version() -> Any:
        return [tuple(row) for row in await database.engine.read("SELECT * FROM metric_samples")]

    database.metrics.count(DELIVERIES, "failed")
    await recorder.store()
    stored = await version()
    await recorder.store()
    await recorder.store()
    assert await version() == stored


async def test_a_locked_file_delays_a_scrape_by_a_second_at_most_and_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.metrics_recorder.STORE_TIMEOUT_S", 0.05)
    recorder = recorder_of(database)
    await recorder.read()
    with closing(sqlite3.connect(sqlite_file(database).path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        database.metrics.count(DELIVERIES, "failed")
        samples, _ = await recorder.read()
        assert (DELIVERIES.name, ("failed",), "total") not in samples
        connection.execute("ROLLBACK")
    await recorder.store()
    samples, _ = await recorder.read()
    assert samples[DELIVERIES.name, ("failed",), "total"] == 1


async def test_the_loop_stores_by_itself(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.metrics_recorder.INTERVAL_S", 0.001)
    database.metrics.count(DELIVERIES, "failed")
    recorder = recorder_of(database)
    loop = asyncio.create_task(recorder.run())
    await until(lambda: not database.metrics.is_worth_storing)
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    samples, _ = await recorder.read()
    assert samples[DELIVERIES.name, ("failed",), "total"] == 1


async def test_an_app_beyond_the_hundredth_is_counted_as_other(database: Database, other: Database) -> None:
    for worker, first in ((database, 0), (other, 80)):
        for number in range(first, first + 80):
            worker.metrics.count(COINS, f"app-{number}", by=2)
        await recorder_of(worker).store()
    samples, _ = await recorder_of(database).read()
    coins = {labels[0]: value for (name, labels, _), value in samples.items() if name == COINS.name}
    assert (len(coins), coins["app-0"], coins["other"]) == (101, 2, 120)


# What is recorded


async def test_a_tasks_way_is_timed_and_counted(database: Database, clock: Clock) -> None:
    task = await add(database)
    clock.go_on(7)
    await database.store(task.id, Accepted(task.attempt, "1001", True, None, next_poll_ms=clock()))
    clock.go_on(25)
    run = Finished("1001", [], 20.0, {"coins": "6"}, {"coins_micros": 6_000_000})
    assert await database.store(task.id, run)
    assert not await database.store(task.id, run)  # the second time nothing changes

    samples, _ = await recorder_of(database).read()
    found = {name: (labels, part) for (name, labels, part), value in samples.items() if part != "sum"}
    sums = {name: value for (name, _, part), value in samples.items() if part == "sum"}
    assert (sums[WAITING.name], found[WAITING.name]) == (7, ((), "15"))
    assert (sums[RUN.name], found[RUN.name]) == (20, ((), "20"))
    assert (sums[DETECTION.name], found[DETECTION.name]) == (5, ((), "8"))
    assert await total(database, COINS.name, task.webapp_id or "") == 6
    assert await total(database, ENDED.name, "SUCCESS") == 1


async def test_failures_and_unknown_submits_are_counted(database: Database) -> None:
    failed = await at_runninghub(database, 1)
    await database.store(failed.id, RunFailed("1001", None))
    unknown = await add(database, 2)
    await database.store(unknown.id, OutcomeUnknown(unknown.attempt, {"code": "x", "message": "y"}))
    refused = await add_waiting(database, 3)
    for _ in range(5):
        event = KeyRefusedAgain({"code": "runninghub_rejected", "message": "y"})
        await database.update_account("default", _same, events={refused.id: event})

    assert await total(database, ENDED.name, "FAILED") == 2
    assert await total(database, UNKNOWN_SUBMITS.name) == 1
    assert await count(database, COINS.name) == 0


def _same(account: AccountRow) -> AccountRow:
    return account


async def test_the_end_of_a_copy_is_counted_by_outcome(database: Database) -> None:
    task = await at_runninghub(database)
    url = "https://example.com/a.png"
    outputs = tuple(NewOutput(n, OutputState.KEEPING, "image/png", source_url=url) for n in range(2))
    await database.store(task.id, Finished("1001", [], None, None, {}, outputs))
    first, second = await database.outputs.lease(lease_ms=1000, limit=10)
    assert await database.outputs.not_kept(first, OutputState.LOST)
    assert not await database.outputs.not_kept(first, OutputState.LOST)
    await database.outputs.claim_key(second, "key")
    values: dict[str, Any] = {"size": 1, "sha256": "x", "text": None, "media_type": "image/png"}
    assert await database.outputs.kept(second, storage_key="key", **values)

    assert await total(database, "outputs_total", "lost") == 1
    assert await total(database, "outputs_total", "kept") == 1


async def test_gauges_are_what_is_now(database: Database, clock: Clock) -> None:
    await at_runninghub(database, 1)
    created = (await add_waiting(database, 2)).created_at
    clock.go_on(10)
    await add_waiting(database, 3)

    _, gauges = await recorder_of(database).read()

    assert {status: n for status, n in gauges.tasks.items() if n} == {
        TaskStatus.PENDING: 2,
        TaskStatus.RUNNING: 1,
    }
    assert gauges.running == {"default": 1}
    assert gauges.oldest_waiting_at == created
    assert gauges.poll_deadline_ms is not None
    assert gauges.poll_deadline_ms <= clock()


async def test_an_empty_database_has_gauges_too(tmp_path: Path) -> None:
    async with Database(str(tmp_path / "empty.db")) as database:
        samples, gauges = await MetricsRecorder(Metrics(), database.metric_rows, lambda: 0).read()
    assert samples == {}
    assert (gauges.oldest_waiting_at, gauges.poll_deadline_ms, gauges.streams) == (None, None, 0)
