"""`kill -9` of two workers while a receiver is down for an hour: every end arrives, under one id."""

import asyncio
import json
import os
import random
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from database import Database
from tests.conftest import Clock, add, add_waiting, at_runninghub
from tests.processes import ROOT, START_TIMEOUT_S, Process, clean_environment, start_module
from tests.webhooks.worker import SECRET

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

TASKS_OF_A_KIND = 20
HOUR_S, STEP_S = 3600, 1200
LIFE_S = (0.05, 0.5)
FINISH_WITHIN_S = 60


@dataclass(slots=True)
class Flaky:
    """A receiver that is down in every way: it refuses, breaks off, or takes a webhook and says nothing."""

    is_down: bool = True
    ids: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    types: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    accepted: set[str] = field(default_factory=set)
    attempts: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        headers, text = request.headers, await request.text()
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert headers["webhook-signature"] == Webhook(SECRET).sign(headers["webhook-id"], at, text)
        event = json.loads(text)
        self.attempts += 1
        self.ids[event["data"]["id"]].add(headers["webhook-id"])
        self.types[event["data"]["id"]].append(event["type"])
        if not self.is_down:
            self.accepted.add(event["data"]["id"])
            return web.Response(status=204)
        if random.random() < 0.5 and request.transport:
            request.transport.close()
        return web.Response(status=503)


async def start_worker(number: int, database: str, url: str, clock: Path) -> Process:
    """It is at work when this returns: what comes next meets it at any point of it."""
    log = clock.with_name(f"worker-{number}.log")
    log.write_text("")
    program = ["tests.webhooks.worker", database, url, str(clock), f"worker-{number}"]
    worker = start_module(program, clean_environment(), ROOT, log)
    async with asyncio.timeout(START_TIMEOUT_S):
        while "at work\n" not in log.read_text():
            assert worker.poll() is None, log.read_text()
            await asyncio.sleep(0.01)
    return worker


def kill(worker: Process) -> None:
    assert worker.poll() is None, "it ended by itself"
    worker.kill()
    worker.wait()


async def add_tasks(path: str, clock: Clock) -> dict[str, str]:
    """Tasks that are to end in every way; the type of the webhook by the task's id."""
    expected = {}
    async with Database(path, clock=clock) as database:
        for number in range(2 * TASKS_OF_A_KIND):
            task = await at_runninghub(database, number)
            expected[task.id] = "task.failed" if number % 2 else "task.succeeded"
        for number in range(2 * TASKS_OF_A_KIND, 3 * TASKS_OF_A_KIND):
            expected[(await add(database, number)).id] = "task.unknown"
        for number in range(3 * TASKS_OF_A_KIND, 4 * TASKS_OF_A_KIND):
            expected[(await add_waiting(database, number)).id] = "task.cancelled"
    return expected


async def test_every_end_arrives_under_one_id_whatever_is_killed_meanwhile(tmp_path: Path) -> None:
    clock, clock_file = Clock(), tmp_path / "clock"
    path = str(tmp_path / "tasks.db")

    def go_on(seconds: float) -> None:
        clock.go_on(seconds)
        (tmp_path / "next").write_text(str(clock()))
        os.replace(tmp_path / "next", clock_file)

    expected = await add_tasks(path, clock)
    receiver = Flaky()
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.01)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    go_on(0)
    workers = [await start_worker(number, path, url, clock_file) for number in range(2)]
    try:
        for step in range(HOUR_S // STEP_S):
            await asyncio.sleep(random.uniform(*LIFE_S))
            kill(workers[step % 2])
            workers[step % 2] = await start_worker(step % 2, path, url, clock_file)
            go_on(STEP_S)
        receiver.is_down = False
        async with asyncio.timeout(FINISH_WITHIN_S):
            while (due_ms := unsent(path)) or receiver.accepted != expected.keys():
                if due_ms and min(due_ms) > clock():  # nothing is left to do now
                    go_on((max(due_ms) - clock()) / 1000)
                await asyncio.sleep(0.1)
    finally:
        for worker in workers:
            kill(worker)
        await runner.cleanup()

    assert {task_id: set(types) for task_id, types in receiver.types.items()} == {
        task_id: {kind} for task_id, kind in expected.items()
    }
    assert [ids for ids in receiver.ids.values() if len(ids) != 1] == []
    assert receiver.attempts > len(expected)  # it was down


def unsent(path: str) -> list[int]:
    """When each delivery that has not arrived is due."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT next_try_ms FROM webhook_deliveries WHERE state <> 'DELIVERED'")
        return [next_try_ms for (next_try_ms,) in rows]
