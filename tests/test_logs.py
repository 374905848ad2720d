"""Log lines: their format, what never stands in one, and the request id."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from config import Settings
from logs import (
    HANDLER_NAME,
    LogLimit,
    RequestLogMiddleware,
    SecretMask,
    configure_logging,
    loggable_path,
    request_id,
)

pytestmark = pytest.mark.anyio

KEY = "0123456789abcdef0123456789abcdef"
TOKEN = 'to"ken/ü'
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TOUCHED_LOGGERS = (None, "access", "uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "aiosqlite")


def settings(**values: Any) -> Settings:
    return Settings(**{"_env_file": None, "runninghub_api_key": KEY, "access_tokens": TOKEN} | values)


class Log:
    """What the service's own handler wrote."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.mask = SecretMask()

    def configure(self, **values: Any) -> None:
        self.mask = configure_logging(settings(**values))
        (handler,) = (found for found in logging.getLogger().handlers if found.name == HANDLER_NAME)
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def log() -> Iterator[Log]:
    loggers = [logging.getLogger(name) for name in TOUCHED_LOGGERS]
    before = [
        (logger, logger.level, logger.propagate, logger.disabled, logger.handlers) for logger in loggers
    ]
    request_id.set(None)
    yield Log()
    request_id.set(None)
    for logger, level, propagate, disabled, handlers in before:
        logger.setLevel(level)
        logger.propagate, logger.disabled, logger.handlers = propagate, disabled, handlers


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


def test_a_text_line_holds_time_level_logger_message_and_extra_fields(log: Log) -> None:
    log.configure()
    logging.getLogger("poller").warning("slow answer from %s", "RunningHub", extra={"task_id": "t1"})
    (line,) = log.lines
    time, rest = line.split(" ", 1)
    assert TIME.fullmatch(time)
    assert rest == "WARNING poller slow answer from RunningHub task_id=t1"


def test_a_json_line_holds_the_same_as_members(log: Log) -> None:
    log.configure(log_format="json")
    logging.getLogger("poller").warning("任务 %s", "x", extra={"upstream_code": 421})
    (line,) = log.objects
    assert TIME.fullmatch(line.pop("time"))
    assert line == {"level": "WARNING", "logger": "poller", "message": "任务 x", "upstream_code": 421}


def test_configuring_twice_writes_each_line_once(log: Log) -> None:
    log.configure()
    log.configure()
    logging.getLogger("poller").warning("once")
    assert len(log.lines) == 1


def test_the_level_of_the_settings_holds(log: Log) -> None:
    log.configure(log_level="error")
    logging.getLogger("poller").warning("not shown")
    logging.getLogger("httpx").warning("not shown either")
    assert log.lines == []


@pytest.mark.parametrize(
    "name", ["httpx", "httpcore.http11", "aiosqlite", "aiohttp.client", "python_multipart"]
)
def test_loggers_that_show_urls_and_parameters_stay_quiet_at_debug(log: Log, name: str) -> None:
    log.configure(log_level="DEBUG")
    logging.getLogger(name).info("GET https://www.runninghub.cn/?apiKey=...")
    logging.getLogger(name).warning("a warning")
    assert [line.split(" ", 1)[1] for line in log.lines] == [f"WARNING {name} a warning"]


def test_uvicorn_writes_the_same_format_and_no_access_lines(log: Log) -> None:
    uvicorns_own = io.StringIO()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.StreamHandler(uvicorns_own)], False
        logger.setLevel(logging.WARNING)
    log.configure(log_format="json")
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted"})
    logging.getLogger("uvicorn.access").warning("GET /?secret=1")
    (line,) = log.objects
    del line["time"]
    assert line == {"level": "INFO", "logger": "uvicorn.error", "message": "Started"}
    assert uvicorns_own.getvalue() == ""


async def test_uvicorns_no_access_log_turns_off_our_access_lines(log: Log, app: FastAPI) -> None:
    uvicorn_access = logging.getLogger("uvicorn.access")
    uvicorn_access.handlers, uvicorn_access.propagate = [], False
    log.configure(log_format="json")
    async with client(app) as http:
        await http.get("/tasks/t1")
    assert [line["logger"] for line in log.objects] == ["task_service"]


def test_no_message_can_forge_a_second_line_of_text(log: Log) -> None:
    log.configure()
    logging.getLogger("a").warning(
        "one\n2026-01-01T00:00:00.000Z INFO root forged\x1b[2J", extra={"x": "\r\u2028"}
    )
    (line,) = log.stream.getvalue().split("\n")[:-1]
    assert line.endswith(r"WARNING a one\n2026-01-01T00:00:00.000Z INFO root forged\x1b[2J x=\r\u2028")


def test_every_line_of_a_traceback_is_indented_in_text(log: Log) -> None:
    log.configure()
    try:
        raise ValueError("bad\nforged line")
    except ValueError:
        logging.getLogger("a").exception("failed")
    first, *traceback = log.lines
    assert first.endswith("ERROR a failed")
    assert all(line.startswith("    ") for line in traceback)
    assert traceback[-2:] == ["    ValueError: bad", "    forged line"]


def test_a_traceback_is_one_member_in_json(log: Log) -> None:
    log.configure(log_format="json")
    try:
        raise ValueError("bad\nnews")
    except ValueError:
        logging.getLogger("a").exception("failed")
    (line,) = log.objects
    assert line["traceback"].endswith("ValueError: bad\nnews")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_masked_wherever_they_stand(log: Log, log_format: str) -> None:
    log.configure(log_format=log_format, log_level="DEBUG")
    log.mask.add("webhook-secret")
    try:
        raise ValueError(f"GET /?apiKey={KEY}&t=to%22ken%2F%C3%BC")
    except ValueError:
        logging.getLogger("a").exception("%s and %s", TOKEN, settings(), extra={"x": ["webhook-secret"]})
    text = log.stream.getvalue()
    for spelling in (KEY, TOKEN, json.dumps(TOKEN)[1:-1], "to%22ken%2F%C3%BC", "webhook-secret"):
        assert spelling not in text
    assert text.count("***") >= 4


def test_no_secret_stands_in_the_repr_of_the_settings() -> None:
    shown = f"{settings()!r} {settings()} {settings().model_dump()} {settings().model_dump_json()}"
    assert KEY not in shown
    assert "ken/" not in shown


def test_a_secret_too_short_to_tell_from_a_word_is_left() -> None:
    assert SecretMask(["INF"])("INFO") == "INFO"


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
        "method": "GET",
        "path": "/tasks/t1",
        "status": 200,
    }


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


# Faults that recur


def test_a_line_about_a_subject_is_let_through_once_in_each_interval() -> None:
    seconds = iter([0.0, 1.0, 2.0, 60.0, 61.0])
    limit = LogLimit(60, clock=lambda: next(seconds))
    subjects = ["full", "full", "locked", "full", "full"]
    assert [limit.allows(subject) for subject in subjects] == [True, False, True, True, False]
