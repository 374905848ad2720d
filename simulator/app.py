"""The stand-in as an ASGI app: its routes behind the layer that spoils answers."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from simulator import board, runninghub
from simulator.context import Simulator
from simulator.faults import FaultLayer
from simulator.state import State
from simulator.switches import Switches
from simulator.uploads import UploadStore
from simulator.webhooks import Webhooks

_DESCRIPTION = "A stand-in for RunningHub's HTTP API. It is not RunningHub: nothing runs and nothing costs."


def create_app(
    switches: Switches | None = None,
    keys: frozenset[str] = frozenset(),
    public_url: str | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """A stand-in of its own; `keys` restricts who may call, `public_url` is where its files are reached."""
    state = State(switches or Switches(), keys, seed, clock)
    simulator = Simulator(state, UploadStore(), Webhooks(state), public_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await simulator.webhooks.close()
        simulator.uploads.close()

    app = FastAPI(
        title="RunningHub simulator",
        description=_DESCRIPTION,
        routes=[*runninghub.ROUTES],
        lifespan=lifespan,
    )
    app.state.simulator = simulator
    app.include_router(board.router)
    app.add_middleware(FaultLayer, state=state)
    return app
