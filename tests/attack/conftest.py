"""The simulator, and a service whose event loop and memory are watched, for all attacks."""

from collections.abc import Iterator

import pytest

from tests.attack.target import Target, start_target
from tests.faults.calls import Board, start_board


@pytest.fixture(scope="session")
def simulator() -> Iterator[Board]:
    with start_board() as board:
        yield board


@pytest.fixture
def board(simulator: Board) -> Board:
    simulator.reset()
    return simulator


@pytest.fixture(scope="session")
def running_target(simulator: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with start_target(simulator.url, tmp_path_factory.mktemp("target")) as target:
        yield target


@pytest.fixture
def target(running_target: Target, board: Board) -> Target:
    running_target.reset()
    return running_target
