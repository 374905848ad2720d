"""The whole service in this process with an operator and two users, and tasks that need no RunningHub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from main import create_app
from services import Services
from tests.empty_database import create_database
from tests.settings import GivenSettings

OPERATOR_TOKEN = "operators-long-token"
# Nothing listens there: what gets as far as RunningHub is 503.
NOWHERE = "http://127.0.0.1:1"

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    """A running service; `call` sends a request with a token."""

    app: FastAPI
    client: httpx.AsyncClient

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    async def call(self, token: str | None, method: str, path: str, **members: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.client.request(
            method, path, headers=headers | members.pop("headers", {}), **members
        )

    async def create_user(self, name: str, **members: Any) -> str:
        response = await self.call(OPERATOR_TOKEN, "POST", "/users", json={"name": name, **members})
        assert response.status_code == 201, response.text
        token: str = response.json()["token"]
        return token


@asynccontextmanager
async def serving_users(directory: Path, **values: Any) -> AsyncIterator[Served]:
    settings: dict[str, Any] = {
        "_env_file": None,
        "runninghub_api_key": "0123456789abcdef0123456789abcdef",
        "runninghub_base_url": NOWHERE,
        "database_url": f"sqlite:///{directory / 'tasks.db'}",
        "outputs_url": "none",
        "access_tokens": OPERATOR_TOKEN,
    }
    if "database_url" not in values:
        create_database(directory / "tasks.db")
    app = create_app(GivenSettings(**settings | values))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        yield Served(app, client)
