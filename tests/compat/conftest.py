"""The simulator, and services in this process in front of it, for clients built for RunningHub."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.in_process import serving
from tests.processes import Running, start_simulator

Json = dict[str, Any]
Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

TOKEN = "a-token-of-enough-characters"
PATIENCE_S = 20.0


@pytest.fixture(scope="session")
def simulator() -> Iterator[Running]:
    """One process for all files; `board` resets it before each test."""
    with start_simulator(queue_time=0, run_time=0.02, slots=0) as simulator:
        yield simulator


@pytest.fixture
async def board(simulator: Running) -> AsyncIterator[httpx.AsyncClient]:
    """The simulator's switches."""
    async with httpx.AsyncClient(base_url=simulator.url, verify=False) as board:  # noqa: S501 it is http
        (await board.post("/simulator/reset")).raise_for_status()
        yield board


@pytest.fixture
def serve(simulator: Running, board: httpx.AsyncClient, tmp_path: Path) -> Serve:
    """Starts a service on this test's folder; settings by their names in small letters."""
    return partial(serving, simulator.url, tmp_path, outputs_min_free_mb=0)


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A service without token settings."""
    async with serve() as client:
        yield client


@pytest.fixture
async def guarded(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A service that requires TOKEN."""
    async with serve(access_tokens=(TOKEN,)) as client:
        yield client


async def switch(board: httpx.AsyncClient, **switches: Any) -> None:
    (await board.patch("/simulator/switches", json=switches)).raise_for_status()


async def last_sent(board: httpx.AsyncClient, endpoint: str) -> Json:
    """The members that the simulator was last sent."""
    found = await board.get("/simulator/last-request", params={"endpoint": endpoint})
    members: Json = found.raise_for_status().json()
    return members


async def until(call: Callable[[], Awaitable[Json]], is_so: Callable[[Json], bool]) -> list[Json]:
    """All replies up to the one that is so; a client polls in the same way."""
    replies: list[Json] = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            reply = await call()
            if not replies or reply != replies[-1]:
                replies.append(reply)
            if is_so(reply):
                return replies
            await asyncio.sleep(0.01)
