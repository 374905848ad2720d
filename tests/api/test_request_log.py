"""One log line per request, and its id."""

import logging
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response

from api.request_log import RequestLogMiddleware, loggable_path
from tests.log_capture import Log

pytestmark = pytest.mark.anyio

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestLogMiddleware)

    @app.get("/tasks/{task_id}")
    async def read(task_id: str) -> dict[str, str]:
        logging.getLogger("task_service").info("looked up", extra={"task_id": task_id})
        return {"id": task_id}

    return app


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_uvicorns_no_access_log_turns_off_our_access_lines(log: Log, app: FastAPI) -> None:
    uvicorn_access = logging.getLogger("uvicorn.access")
    uvicorn_access.handlers, uvicorn_access.propagate = [], False
    log.configure(log_format="json")
    async with client(app) as http:
        await http.get("/tasks/t1")
    assert [line["logger"] for line in log.objects] == ["task_service"]


async def test_a_request_gets_one_line_and_its_id_is_on_every_line_and_in_the_answer(
    log: Log, app: FastAPI
) -> None:
    log.configure(log_format="json")
    async with client(app) as http:
        answer = await http.get("/tasks/t1?token=abc")
    own, access = log.objects
    assert own["task_id"] == "t1"
    assert own["request_id"] == access["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", access.pop("request_id"))
    assert TIME.fullmatch(access.pop("time"))
    assert access.pop("duration_ms") >= 0
    assert access == {
        "level": "INFO",
        "logger": "access",
        "message": "request",
        "client": "127.0.0.1",
        "method": "GET",
        "path": "/tasks/t1",
        "status": 200,
    }


async def test_a_line_after_a_request_does_not_have_its_id(log: Log, app: FastAPI) -> None:
    log.configure(log_format="json")
    async with client(app) as http:
        await http.get("/tasks/t1")
    logging.getLogger("poller").info("not part of that request")
    assert "request_id" not in log.objects[-1]


async def test_an_incoming_request_id_is_kept(log: Log, app: FastAPI) -> None:
    log.configure(log_format="json")
    async with client(app) as http:
        answer = await http.get("/tasks/t1", headers={"X-Request-ID": "front-end.42_A"})
    assert answer.headers.get_list("x-request-id") == ["front-end.42_A"]
    assert {line["request_id"] for line in log.objects} == {"front-end.42_A"}


@pytest.mark.parametrize("odd", ["", "a b", "x" * 65, "a\tb", "<script>", "id;", "ü"])
async def test_an_odd_incoming_request_id_is_replaced(log: Log, app: FastAPI, odd: str) -> None:
    log.configure()
    async with client(app) as http:
        answer = await http.get("/tasks/t1", headers=[(b"X-Request-ID", odd.encode())])
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_each_request_has_its_own_id(log: Log, app: FastAPI) -> None:
    log.configure()
    async with client(app) as http:
        ids = {(await http.get("/tasks/t1")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_no_access_line_is_written_above_info(log: Log, app: FastAPI) -> None:
    log.configure(log_level="WARNING")
    async with client(app) as http:
        await http.get("/tasks/t1")
    assert log.lines == []


async def test_a_request_that_ends_without_an_answer_is_logged_as_499(log: Log) -> None:
    async def silent_app(*_: Any) -> Any:
        raise ConnectionError

    log.configure(log_format="json")
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    with pytest.raises(ConnectionError):
        await RequestLogMiddleware(silent_app)(scope, silent_app, silent_app)
    assert [line["status"] for line in log.objects] == [499]


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/tasks/t1", "/tasks/t1"),
        ("/webhooks/runninghub/t1/5ec2e7", "/webhooks/runninghub/t1/***"),
        ("/webhooks/runninghub/t1/5ec2e7/more", "/webhooks/runninghub/t1/***"),
        ("/prefix//webhooks/runninghub/t1/5ec2e7", "/prefix//webhooks/runninghub/t1/***"),
        ("/" + "x" * 600, "/" + "x" * 499),
    ],
)
def test_a_logged_path_is_short_and_shows_no_signature(path: str, logged: str) -> None:
    assert loggable_path(path) == logged


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_a_request_for_health_is_logged_only_when_it_fails(log: Log, path: str) -> None:
    statuses = iter([200, 503])
    app = FastAPI()
    app.add_middleware(RequestLogMiddleware)

    @app.get(path)
    async def health(response: Response) -> None:
        response.status_code = next(statuses)

    log.configure(log_format="json")
    async with client(app) as http:
        assert (await http.get(path)).status_code == 200
        assert (await http.get(path)).status_code == 503
    assert [(line["path"], line["status"]) for line in log.objects] == [(path, 503)]
