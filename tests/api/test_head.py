"""HEAD: the status and headers of GET, without a body."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse
from starlette.responses import StreamingResponse

from api.middleware import install_middleware
from tests.conftest import settings_with

pytestmark = pytest.mark.anyio


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = FastAPI()
    install_middleware(app, settings_with())

    @app.get("/tasks")
    async def tasks() -> dict[str, int]:
        return {"a": 1}

    @app.post("/submit_task")
    async def submit() -> None: ...

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(endless(), media_type="text/plain")

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[str]:
        async for piece in endless():
            yield piece

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def endless() -> AsyncIterator[str]:
    while True:
        yield "more"
        await asyncio.sleep(0)


async def test_a_head_has_the_headers_of_a_get_and_no_body(http: httpx.AsyncClient) -> None:
    get, head = await http.get("/tasks"), await http.head("/tasks")
    assert (head.status_code, head.content) == (200, b"")
    del get.headers["x-request-id"], head.headers["x-request-id"]
    assert head.headers == get.headers


async def test_a_head_of_what_is_not_there_is_a_404_without_a_body(http: httpx.AsyncClient) -> None:
    head = await http.head("/nowhere")
    assert (head.status_code, head.content) == (404, b"")
    assert head.headers["content-type"] == "application/problem+json"


async def test_a_head_of_a_route_without_get_is_a_405(http: httpx.AsyncClient) -> None:
    head = await http.head("/submit_task")
    assert (head.status_code, head.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "media_type"), [("/stream", "text/plain"), ("/events", "text/event-stream")]
)
async def test_a_head_of_a_stream_ends_with_its_headers(
    http: httpx.AsyncClient, path: str, media_type: str
) -> None:
    async with asyncio.timeout(5):
        head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith(media_type)
