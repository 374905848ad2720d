"""The service in this process, for tests of its routes: the real app and lifespan, without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from config import Settings
from main import create_app
from tests.processes import API_KEY


@asynccontextmanager
async def serving(simulator_url: str, directory: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service on `tasks.db` in `directory`; `settings` by their names in small letters."""
    defaults: dict[str, Any] = {
        "_env_file": None,
        "runninghub_api_key": API_KEY,
        "runninghub_base_url": simulator_url,
        "database_url": f"sqlite:///{directory / 'tasks.db'}",
        "outputs_url": f"file://{directory / 'outputs'}",
        "poll_interval_s": 0.05,
        "poll_interval_max_s": 0.1,
    }
    app = create_app(Settings(**defaults | settings))
    # What escapes the app is answered as the server would, so that a test sees the answer and not the cause.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=30) as client,
    ):
        yield client
