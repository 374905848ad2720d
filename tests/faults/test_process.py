"""A service process that is stopped or killed during a paid call."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.faults.calls import SUBMISSION, Board, ended, submit, until
from tests.processes import start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


async def test_a_process_that_was_stopped_during_a_paid_call_resumes(board: Board, tmp_path: Path) -> None:
    board.set(run_latency=0.3)
    with start_service(board.url, tmp_path / "tasks.db", env={"POLL_INTERVAL_S": "0.1"}) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            submitting = asyncio.create_task(submit(client))
            await until(board.runs_called)
            os.kill(service.process.pid, signal.SIGSTOP)
            await asyncio.sleep(1)
            os.kill(service.process.pid, signal.SIGCONT)
            assert (await ended(client, await submitting))["status"] == "SUCCESS"
    assert board.counters()["runs_accepted"] == 1


async def test_a_killed_process_pays_for_nothing_twice_and_fails_nothing(
    board: Board, tmp_path: Path
) -> None:
    fast = {"POLL_INTERVAL_S": "0.1"}
    with start_service(board.url, tmp_path / "tasks.db", env=fast) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            board.set(run_time=2)
            taken = await submit(client)
            board.set(run_latency=5)
            lost = asyncio.create_task(client.post("/submit_task", json=SUBMISSION))
            await until(lambda: board.runs_called() == 2)
            service.kill()
            with pytest.raises(httpx.TransportError):
                await lost
    board.set(run_latency=0)
    with start_service(board.url, tmp_path / "tasks.db", env=fast) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            assert (await ended(client, taken))["status"] == "SUCCESS"
            (unknown,) = (await client.get("/tasks", params={"status": "SUBMIT_UNKNOWN"})).json()["tasks"]
            assert unknown["error"]["code"] == "submit_interrupted"
            health = (await client.get("/health")).json()
            assert (health["status"], health["tasks"]["FAILED"]) == ("ok", 0)
    assert board.runs_called() == 2
