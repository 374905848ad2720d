"""Signals at bad moments: SIGTERM ends the process in time, whatever hangs."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.attack.test_pools import attackers
from tests.faults.calls import Board
from tests.processes import Running, start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

STOPPED_WITHIN_S = 15


@asynccontextmanager
async def all_pools_full(board: Board, service: Running, database: Path) -> AsyncIterator[None]:
    board.set(faults={"outputs": {"kind": "hang"}})
    with attackers(service.url, uploads=256, polls=300, webhooks=30):
        await asyncio.sleep(2)
        yield


@asynccontextmanager
async def a_deleted_database(board: Board, service: Running, database: Path) -> AsyncIterator[None]:
    database.unlink()
    yield


FaultState = Callable[[Board, Running, Path], AbstractAsyncContextManager[Any]]
# A locked file and a paid call that hangs: tests/test_database_faults.py and tests/test_end_to_end.py.
STATES: list[FaultState] = [all_pools_full, a_deleted_database]


@pytest.mark.parametrize("state", STATES)
async def test_sigterm_stops_the_service_in_time_in_every_fault_state(
    board: Board, tmp_path: Path, state: FaultState
) -> None:
    database = tmp_path / "tasks.db"
    with start_service(board.url, database, env={"RUNNINGHUB_TIMEOUT_S": "60"}) as service:
        async with state(board, service, database):
            os.kill(service.process.pid, signal.SIGTERM)
            began = time.monotonic()
            await asyncio.to_thread(service.process.wait, STOPPED_WITHIN_S + 30)
            assert time.monotonic() - began < STOPPED_WITHIN_S
