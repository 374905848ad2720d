"""The simulator, and a service process in front of it, for the fault tests."""

from collections.abc import Iterator

import httpx
import pytest

from tests.faults.calls import Board
from tests.processes import Running, start_service, start_simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[Board]:
    """One process for all files; `board` resets it before each test."""
    with (
        start_simulator(run_time=0, queue_time=0, slots=0) as simulator,
        httpx.Client(base_url=simulator.url) as http,
    ):
        yield Board(http)


@pytest.fixture
def board(simulator: Board) -> Board:
    simulator.reset()
    return simulator


@pytest.fixture(scope="module")
def real_service(simulator: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_service(simulator.url, tmp_path_factory.mktemp("real") / "tasks.db") as service:
        yield service
