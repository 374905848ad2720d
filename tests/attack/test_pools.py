"""Slow uploads, polls that hang and hostile webhooks, all at once: paid submits and reads go on."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.attack.target import Target
from tests.faults.calls import SUBMISSION, Board
from tests.processes import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

MOST_MEMORY_MB = 200
CALLS = 20


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


async def test_slow_uploads_hanging_polls_and_hostile_webhooks_leave_the_service_to_others(
    target: Target, board: Board
) -> None:
    board.set(faults={"outputs": {"kind": "hang"}})
    with attackers(target.url, uploads=256, polls=300, webhooks=30):
        async with httpx.AsyncClient(base_url=target.url, timeout=60) as client:
            await refused_upload(client)
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
