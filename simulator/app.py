"""The simulator as an ASGI app: its routes behind the layer that injects faults."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from simulator import board, runninghub, runninghub_v2
from simulator.apps import Host
from simulator.context import Simulator
from simulator.faults import FaultLayer
from simulator.state import State
from simulator.switches import Switches
from simulator.uploads import UploadStore
from simulator.webhooks import Webhooks

_DESCRIPTION = "A simulator of RunningHub's HTTP API. It is not RunningHub: nothing runs and nothing costs."


def create_app(
    switches: Switches | None = None,
    keys: frozenset[str] = frozenset(),
    public_url: str | None = None,
    host_name: Host | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """One simulator; `keys` restricts who may call, `public_url` is where it is reached,
    `host_name` restricts the apps to those of one host."""
    state = State(switches or Switches(), keys, seed, clock)
    simulator = Simulator(state, UploadStore(), Webhooks(state), public_url, host_name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await simulator.webhooks.close()
        simulator.uploads.close()

    app = FastAPI(
        title="RunningHub simulator",
        description=_DESCRIPTION,
        routes=[*runninghub.ROUTES, *runninghub_v2.ROUTES],
        lifespan=lifespan,
    )
    app.state.simulator = simulator
    app.include_router(board.router)
    app.add_middleware(FaultLayer, state=state)
    return app
