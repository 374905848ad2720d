"""A JSON body may have only so many values, whatever they are, before anything reads it as JSON."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.body_structure import BodyStructureMiddleware
from api.problems import install_problem_handlers

pytestmark = pytest.mark.anyio


async def post(body: Any, path: str = "/submit_task") -> httpx.Response:
    """What an echo responds that accepts ten values."""
    app = FastAPI()

    @app.post("/submit_task")
    @app.post("/upload")
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    app.add_middleware(BodyStructureMiddleware, max_values=10)
    install_problem_handlers(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.post(path, json=body)


@pytest.mark.parametrize("value", [[[]] * 4, [{}] * 4, [0] * 8, {str(n): 0 for n in range(8)}, "," * 9])
async def test_a_body_with_as_many_values_as_allowed_is_read(value: Any) -> None:
    assert (await post({"a": value})).json() == {"a": value}


@pytest.mark.parametrize("value", [[[]] * 6, [{}] * 6, [0] * 10, {str(n): 0 for n in range(10)}, "," * 10])
async def test_a_body_with_more_is_an_invalid_request(value: Any) -> None:
    response = await post({"a": value})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert response.json()["detail"] == "The body has more than 10 values. Send fewer in one request."


async def test_the_values_of_all_pieces_of_a_body_count() -> None:
    app_calls: list[bytes] = []

    async def read(scope: Any, receive: Any, send: Any) -> None:
        while True:
            app_calls.append((await receive())["body"])

    pieces = iter([b"[0,0,0", b",0,0,0", b",0,0,0,0,0]"])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    async def send(_: Any) -> None: ...

    middleware = BodyStructureMiddleware(read, max_values=10)
    with pytest.raises(Exception, match="more than 10 values"):
        await middleware({"type": "http", "method": "POST", "path": "/submit_task"}, receive, send)
    assert app_calls == [b"[0,0,0", b",0,0,0"]


async def test_a_file_is_not_counted() -> None:
    assert (await post({"a": "," * 100}, "/upload")).status_code == 200
