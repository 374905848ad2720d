"""The service in this process, for tests of its routes: the real app and lifespan, without a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from main import create_app
from models import utc_now_ms
from tests.empty_database import create_database
from tests.processes import API_KEY
from tests.settings import GivenSettings


def serving(
    simulator_url: str, directory: Path, **settings: Any
) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A client of a service on `tasks.db` in `directory`; `settings` by their names in small letters."""
    return serving_at(utc_now_ms, simulator_url, directory, **settings)


@asynccontextmanager
async def serving_at(
    clock: Callable[[], int], simulator_url: str, directory: Path, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """As `serving`, by another clock (milliseconds since 1970)."""
    defaults: dict[str, Any] = {
        "_env_file": None,
        "runninghub_api_key": API_KEY,
        "runninghub_base_url": simulator_url,
        "database_url": f"sqlite:///{directory / 'tasks.db'}",
        "outputs_url": f"file://{directory / 'outputs'}",
        "poll_interval_s": 0.05,
        "poll_interval_max_s": 0.1,
    }
    if "database_url" not in settings:
        create_database(directory / "tasks.db")
    app = create_app(GivenSettings(**defaults | settings), clock=clock)
    # What escapes the app is answered as the server would, so that a test sees the answer and not the cause.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=30) as client,
    ):
        yield client
