"""The simulator in this process, with a clock that tests move."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from simulator.app import create_app
from simulator.switches import Switches
from tests.simulator.calls import Clock, client_of


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> FastAPI:
    return create_app(Switches(queue_time=1, run_time=27), clock=clock)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client
