"""The simulator, and a service process in front of it, for the fault tests."""

from collections.abc import Iterator

import pytest

from tests.faults.calls import Board, start_board
from tests.processes import Running, start_service


@pytest.fixture(scope="session")
def simulator() -> Iterator[Board]:
    """One process for all files; `board` resets it before each test."""
    with start_board() as board:
        yield board


@pytest.fixture
def board(simulator: Board) -> Board:
    simulator.reset()
    return simulator


@pytest.fixture(scope="module")
def real_service(simulator: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start_service(simulator.url, tmp_path_factory.mktemp("real") / "tasks.db") as service:
        yield service
