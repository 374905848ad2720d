"""A complete outage of RunningHub with a thousand tasks waiting: every call 504, then refused, then 421.

python -m tests.outage --seconds 60
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.processes import start_service, start_simulator

TASKS = 1000
BATCH = 100
SLOTS = 100
SECONDS = 60.0
FINISH_WITHIN_S = 120
WEBAPP_ID = "1992755951447109633"
ACCOUNTS = {"first": "a" * 32, "second": "b" * 32}
SETTINGS = {
    "POLL_INTERVAL_S": "0.2",
    "POLL_INTERVAL_MAX_S": "2",
    "LOG_LEVEL": "ERROR",
    "OUTPUTS_URL": "none",
    "MAX_PENDING_TASKS": str(2 * TASKS),
}
GATEWAY_TIMEOUT = {"*": {"kind": "http_504_html"}}
ALL_FULL = {"*": {"kind": "code", "code": 421}}
OPEN = ("PENDING", "SUBMITTING", "QUEUED", "RUNNING")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the outage left: `statuses` of all tasks, and for each account its tasks SUBMIT_UNKNOWN."""

    tasks: int
    statuses: Counter[str]
    unknown: Counter[str]
    waiting_at_start: int
    calls_in_outage: Counter[str]
    recovery_s: float

    def faults(self) -> list[str]:
        """What must not be; empty when all is well."""
        found = [f"{n} unknown tasks of {account}" for account, n in self.unknown.items() if n > 1]
        ended = self.statuses["SUCCESS"] + self.statuses["SUBMIT_UNKNOWN"]
        return found if ended == self.tasks else [*found, f"statuses at the end: {dict(self.statuses)}"]


class Cable:
    """Relays connections to RunningHub; while it is cut, new ones are refused and open ones are broken."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None] | None] = set()
        self.port = 0

    async def connect(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if relays := [relay for relay in self._relays if relay]:
            await asyncio.wait(relays)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relays.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        ends = {writer, far_writer}
        self._writers |= ends
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        self._writers -= ends
        self._relays.discard(asyncio.current_task())


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    with suppress(OSError):
        writer.close()


@asynccontextmanager
async def cable_to(url: str) -> AsyncIterator[Cable]:
    cable = Cable(httpx.URL(url).port or 0)
    await cable.connect()
    try:
        yield cable
    finally:
        await cable.cut()


async def run_outage(seconds: float, directory: Path, *, tasks: int = TASKS) -> Outcome:
    """Let a third of the outage be of each kind; returns what is left when all tasks have ended."""
    with start_simulator(
        run_time=0.2, run_time_max=0.4, queue_time=0, slots=SLOTS, latency=0.005
    ) as simulator:
        async with (
            cable_to(simulator.url) as cable,
            httpx.AsyncClient(base_url=simulator.url, timeout=30) as board,
        ):
            host = f"http://127.0.0.1:{cable.port}"
            accounts = [{"name": n, "api_key": key, "base_url": host} for n, key in ACCOUNTS.items()]
            env = SETTINGS | {"RUNNINGHUB_ACCOUNTS": json.dumps(accounts)}
            with start_service(simulator.url, directory / "tasks.db", env=env) as service:
                async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
                    return await _outage(seconds, tasks, cable, board, client)


async def _outage(
    seconds: float, tasks: int, cable: Cable, board: httpx.AsyncClient, client: httpx.AsyncClient
) -> Outcome:
    await cable.cut()
    await _submit_all(client, tasks)
    waiting = (await _statuses(client))["PENDING"]
    await _set(board, faults=GATEWAY_TIMEOUT)
    before = await _calls(board)
    await cable.connect()
    await asyncio.sleep(seconds / 3)
    await cable.cut()
    await asyncio.sleep(seconds / 3)
    await _set(board, faults=ALL_FULL)
    await cable.connect()
    await asyncio.sleep(seconds / 3)
    calls = await _calls(board) - before
    await _set(board, faults={})
    began = time.monotonic()
    while time.monotonic() < began + FINISH_WITHIN_S:
        statuses = await _statuses(client)
        if not any(statuses[status] for status in OPEN):
            break
        await asyncio.sleep(0.2)
    page = await client.get("/tasks", params={"status": "SUBMIT_UNKNOWN", "limit": 200})
    unknown = Counter(task["account"] for task in page.json()["tasks"])
    return Outcome(tasks, statuses, unknown, waiting, calls, time.monotonic() - began)


async def _submit_all(client: httpx.AsyncClient, tasks: int) -> None:
    task = {"webappId": WEBAPP_ID, "nodeInfoList": []}
    for _ in range(tasks // BATCH):
        response = await client.post("/submit_tasks", json={"tasks": [task] * BATCH})
        assert {result["status"] for result in response.json()["results"]} == {202}


async def _set(board: httpx.AsyncClient, **switches: Any) -> None:
    (await board.patch("/simulator/switches", json=switches)).raise_for_status()


async def _calls(board: httpx.AsyncClient) -> Counter[str]:
    return Counter((await board.get("/simulator/counters")).json()["calls"])


async def _statuses(client: httpx.AsyncClient) -> Counter[str]:
    return Counter((await client.get("/health")).json()["tasks"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory:
        outcome = asyncio.run(run_outage(seconds, Path(directory)))
    print(f"{seconds:g} s without RunningHub, {outcome.waiting_at_start} tasks waiting when it began")
    print(f"calls during it: {dict(outcome.calls_in_outage)}")
    print(f"statuses {dict(outcome.statuses)}, unknown {dict(outcome.unknown)}")
    print(f"all ended {outcome.recovery_s:.1f} s after it")
    for fault in outcome.faults():
        print(fault)
    return 1 if outcome.faults() else 0


if __name__ == "__main__":
    raise SystemExit(main())
