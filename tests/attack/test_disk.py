"""A power failure: what is on the disk at one moment is all that is left, and nothing accepted is missing."""

import asyncio
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.attack.target import SETTINGS
from tests.faults.calls import SUBMISSION, Board, until
from tests.processes import Running, start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

COPIES = 2
CLIENTS = 6


async def submit_until(stop: asyncio.Event, client: httpx.AsyncClient, accepted: list[str]) -> None:
    while not stop.is_set():
        response = await client.post("/submit_task", json=SUBMISSION)
        if response.status_code == 202:
            accepted.append(response.json()["task_id"])


def copy_disk(service: Running, source: Path, target: Path) -> None:
    """All files of the service as they are at one moment, in the middle of whatever it writes."""
    os.kill(service.process.pid, signal.SIGSTOP)
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm", "*.workers"))
    finally:
        os.kill(service.process.pid, signal.SIGCONT)


async def until_more(accepted: list[str]) -> None:
    seen = len(accepted)
    await until(lambda: len(accepted) > seen + CLIENTS)


def ids_of(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {task_id for (task_id,) in connection.execute("SELECT id FROM tasks")}


async def test_after_a_power_failure_the_service_starts_and_no_accepted_task_is_missing(
    board: Board, tmp_path: Path
) -> None:
    env = {**SETTINGS, "OUTPUTS_URL": "file:outputs"}
    disk, accepted, stop = tmp_path / "disk", list[str](), asyncio.Event()
    disk.mkdir()
    moments: list[tuple[Path, set[str]]] = []
    with start_service(board.url, disk / "tasks.db", env=env) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            clients = [asyncio.create_task(submit_until(stop, client, accepted)) for _ in range(CLIENTS)]
            for number in range(COPIES):
                await until_more(accepted)
                known, copy = set(accepted), tmp_path / f"copy-{number}"
                await asyncio.to_thread(copy_disk, service, disk, copy)
                moments.append((copy, known))
            stop.set()
            await asyncio.gather(*clients)
    for copy, known in moments:
        with start_service(board.url, copy / "tasks.db", env=env) as service:
            async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
                assert (await client.get("/health")).json()["status"] == "ok"
                assert (await client.post("/submit_task", json=SUBMISSION)).status_code == 202
        assert known
        assert known <= ids_of(copy / "tasks.db")
