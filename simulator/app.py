"""The simulator as an ASGI app: its routes behind the layer that injects faults."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException

from simulator import catalogue, control, file_server, replies, runninghub, runninghub_v2, websocket
from simulator.apps import Host
from simulator.context import Simulator
from simulator.faults import FaultLayer
from simulator.listeners import ListenerLayer
from simulator.refusals import refusal
from simulator.state import State
from simulator.switches import Switches
from simulator.uploads import UploadStore
from simulator.webhooks import Webhooks

_DESCRIPTION = "A simulator of RunningHub's HTTP API. It is not RunningHub: nothing runs and nothing costs."
ROUTES = [
    *runninghub.ROUTES,
    *runninghub_v2.ROUTES,
    *catalogue.ROUTES,
    *file_server.ROUTES,
    *websocket.ROUTES,
    runninghub_v2.MODEL_ROUTE,
]
"""RunningHub's routes; the one of models is the last, since it matches every v2 path."""


def create_app(
    switches: Switches | None = None,
    keys: frozenset[str] = frozenset(),
    public_url: str | None = None,
    host_name: Host | None = None,
    files_port: int | None = None,
    files_url: str | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """One simulator; `keys` restricts who may call, `public_url` is where it is reached,
    `host_name` restricts the apps to those of one host, `files_port` and `files_url` are where files are.
    """
    state = State(switches or Switches(), keys, seed, clock)
    simulator = Simulator(state, UploadStore(), Webhooks(state), public_url, files_port, files_url, host_name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await simulator.webhooks.close()
        simulator.uploads.close()

    app = FastAPI(
        title="RunningHub simulator",
        description=_DESCRIPTION,
        routes=[*ROUTES],
        lifespan=lifespan,
        redirect_slashes=False,  # RunningHub answers every path itself
    )
    app.state.simulator = simulator
    app.include_router(control.router)
    app.add_exception_handler(404, wrong_path)
    app.add_exception_handler(405, wrong_path)
    app.add_middleware(ListenerLayer, files_port=files_port)
    app.add_middleware(FaultLayer, state=state)
    return app


async def wrong_path(request: Request, exc: Exception) -> Response:
    """RunningHub's response to a path or method that it does not have; the control routes keep their 404."""
    if request.url.path.startswith("/simulator/"):
        assert isinstance(exc, HTTPException)  # noqa: S101 - the handler of 404 and 405 gets no other
        return await http_exception_handler(request, exc)
    return replies.refused(refusal(412))
