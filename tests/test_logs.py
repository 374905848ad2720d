"""Log lines: their format and what never stands in one."""

import io
import json
import logging
import re

import pytest

from logs import LogLimit, SecretMask
from tests.log_capture import KEY, TOKEN, Log, settings

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


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
    assert line == {"level": "INFO", "logger": "uvicorn", "message": "Started"}
    assert uvicorns_own.getvalue() == ""


def test_an_exception_that_uvicorn_logs_as_its_message_is_one_line(log: Log) -> None:
    log.configure()
    logging.getLogger("uvicorn.error").error(OSError(98, "address already in use"))
    assert [line.split(" ", 1)[1] for line in log.lines] == [
        "ERROR uvicorn [Errno 98] address already in use"
    ]


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


# Faults that recur


def test_a_line_about_a_subject_is_let_through_once_in_each_interval() -> None:
    seconds = iter([0.0, 1.0, 2.0, 60.0, 61.0])
    limit = LogLimit(60, clock=lambda: next(seconds))
    subjects = ["full", "full", "locked", "full", "full"]
    assert [limit.allows(subject) for subject in subjects] == [True, False, True, True, False]
