"""What a stop does to requests that are still open."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from api.middleware import install_middleware
from api.open_requests import OpenRequests, OpenRequestsMiddleware
from tests.conftest import settings_with

pytestmark = pytest.mark.anyio

SUBMIT, RUNNINGHUBS_SUBMIT = "/submit_task", "/task/openapi/ai-app/run"


class Service:
    """Its routes hang."""

    def __init__(self) -> None:
        self.app = FastAPI()
        install_middleware(self.app, settings_with())
        self.app.post(SUBMIT)(self._hang)
        self.app.post(RUNNINGHUBS_SUBMIT)(self._hang)
        transport = httpx.ASGITransport(self.app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        self._arrived = asyncio.Event()

    async def _hang(self) -> None:
        self._arrived.set()
        await asyncio.Event().wait()

    async def request(self, path: str) -> "asyncio.Task[httpx.Response]":
        """A request that has arrived."""
        request = asyncio.create_task(self._client.post(path))
        await self._arrived.wait()
        return request

    async def stopped_during(self, path: str) -> httpx.Response:
        request = await self.request(path)
        self.app.state.open_requests.end()
        return await request


async def test_a_request_that_hangs_is_a_problem_with_the_headers_of_others() -> None:
    response = await Service().stopped_during(SUBMIT)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(response.headers["x-request-id"]) == 16
    assert response.json() == {
        "type": "/docs#problem-service_stopping",
        "title": "The service is being stopped and did not finish the request",
        "status": 503,
        "detail": "The service is stopping and did not finish this request. Send it again; a submit with the"
        " same Idempotency-Key, since its task may be stored.",
        "code": "service_stopping",
    }


async def test_on_runninghubs_paths_it_is_in_runninghubs_envelope() -> None:
    response = await Service().stopped_during(RUNNINGHUBS_SUBMIT)
    assert (response.status_code, response.json()["code"]) == (200, 1000)


async def test_a_response_that_has_begun_ends_where_it_is() -> None:
    """The server closes its connection: a client must not take half of it for all."""
    requests, sent = OpenRequests(), list[Message]()

    async def stream(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        requests.end()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "headers": []}
    await OpenRequestsMiddleware(stream, requests)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_who_cancels_a_request_for_another_reason_sees_it_cancelled() -> None:
    service = Service()
    request = await service.request(SUBMIT)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not service.app.state.open_requests.tasks
