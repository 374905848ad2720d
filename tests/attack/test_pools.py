"""Slow uploads, polls that hang and hostile webhooks, all at once: paid submits and reads go on."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.attack.target import Target
from tests.faults.calls import SUBMISSION, Board
from tests.processes import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

# Of one core. What an attack takes is not there for others: with a half of it, waiting times would double.
MOST_PROCESSOR = 0.35
MOST_MEMORY_MB = 200
CALLS = 20
MEASURED_S = 4.0


@contextmanager
def attackers(url: str, **counts: int) -> Iterator[None]:
    """In a process of their own, so that their work is not the service's."""
    arguments = [part for name, count in counts.items() for part in (f"--{name}", str(count))]
    command = [sys.executable, "-m", "tests.attack.attackers", url, *arguments]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def processor_s(target: Target) -> float:
    """Seconds that the service has spent on the processor."""
    fields = Path(f"/proc/{target.service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def test_slow_uploads_hanging_polls_and_hostile_webhooks_leave_the_service_to_others(
    target: Target, board: Board
) -> None:
    board.set(faults={"outputs": {"kind": "hang"}})
    with attackers(target.url, uploads=256, polls=300, webhooks=30):
        async with httpx.AsyncClient(base_url=target.url, timeout=60) as client:
            await refused_upload(client)
            before, began = processor_s(target), time.monotonic()
            await asyncio.sleep(MEASURED_S)
            assert (processor_s(target) - before) / (time.monotonic() - began) < MOST_PROCESSOR
            for _ in range(CALLS):
                submitted = await client.post("/submit_task", json=SUBMISSION)
                assert submitted.status_code == 202
                assert (await client.get("/tasks", params={"limit": 20})).status_code == 200
            task = await client.get(submitted.headers["location"], params={"wait": 20})
            assert task.json()["status"] in {"QUEUED", "RUNNING"}
        assert target.peak_memory_mb < MOST_MEMORY_MB
    await asyncio.to_thread(target.check)


async def refused_upload(client: httpx.AsyncClient) -> None:
    """Wait until the attackers have all slots for uploads."""
    async with asyncio.timeout(60):
        while True:
            upload = await client.post("/upload", files={"file": ("a.png", b"x")})
            if upload.status_code == 429:
                return
            await asyncio.sleep(0.1)
