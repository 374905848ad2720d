import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from api.body_timeout import BodyTimeoutMiddleware
from api.problems import install_problem_handlers

pytestmark = pytest.mark.anyio


def service(body_s: float, upload_s: float) -> FastAPI:
    app = FastAPI()

    @app.post("/submit_task")
    @app.post("/upload")
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    app.add_middleware(BodyTimeoutMiddleware, body_s=body_s, upload_s=upload_s)
    install_problem_handlers(app)
    return app


async def post(app: FastAPI, path: str, *pieces: bytes) -> tuple[int, bytes]:
    """What a client is answered that sends the pieces, and then nothing more, without ending its body."""
    sent: list[Message] = []
    waiting = list(pieces)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}
    async with asyncio.timeout(5):
        await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


async def test_a_body_that_does_not_end_is_refused_when_its_time_is_over() -> None:
    status, body = await post(service(0.02, 60), "/submit_task", b'{"a":')
    assert status == 422
    assert b'"code": "invalid_request"' in body
    assert b"The body did not arrive within 0.02 seconds." in body


async def test_an_upload_has_a_time_of_its_own() -> None:
    _, body = await post(service(60, 0.03), "/upload", b'{"a":')
    assert b"The body did not arrive within 0.03 seconds." in body


async def test_a_body_in_time_is_passed_on() -> None:
    transport = httpx.ASGITransport(service(1, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/submit_task", json={"a": 1})
    assert (answer.status_code, answer.json()) == (200, {"a": 1})
