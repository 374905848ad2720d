"""The simulator, and services in this process in front of it, for the tests of routes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.routes.calls import Board, Service
from tests.in_process import serving
from tests.processes import start_simulator


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """One process for all files; `board` resets it before each test."""
    with start_simulator(queue_time=0, run_time=0.02, slots=0) as simulator:
        yield simulator.url


@pytest.fixture
async def board(simulator_url: str) -> AsyncIterator[Board]:
    async with httpx.AsyncClient(base_url=simulator_url, verify=False) as client:  # noqa: S501 it is http
        (await client.post("/simulator/reset")).raise_for_status()
        yield Board(client)


@pytest.fixture
def service(simulator_url: str, board: Board, tmp_path: Path) -> Service:
    return Service(simulator_url, tmp_path)


@pytest.fixture(scope="module")
async def shared_service(
    simulator_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(simulator_url, tmp_path_factory.mktemp("shared")) as client:
        yield client


@pytest.fixture
def shared(shared_service: httpx.AsyncClient, board: Board) -> httpx.AsyncClient:
    """A client of one service for all tests that leave nothing behind that others could meet."""
    return shared_service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service() as client:
        yield client
