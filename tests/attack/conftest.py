"""The simulator, and a service whose event loop and memory are watched, for all attacks."""

from collections.abc import Iterator

import httpx
import pytest

from tests.attack.target import Target, start_target
from tests.faults.calls import Board
from tests.processes import start_simulator


@pytest.fixture(scope="session")
def simulator() -> Iterator[Board]:
    with (
        start_simulator(run_time=0, queue_time=0, slots=0) as simulator,
        httpx.Client(base_url=simulator.url) as http,
    ):
        yield Board(http)


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
