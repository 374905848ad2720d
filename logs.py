"""What the service logs: one line an event on stderr, with a request id and without secrets."""

import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import Settings

WEBHOOK_PREFIX = "/webhooks/runninghub/"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

access_logger = logging.getLogger("access")

# httpx logs whole URLs, key included, at INFO, and aiosqlite logs SQL parameters at DEBUG.
QUIET_LOGGERS = ("aiohttp", "aiosqlite", "httpcore", "httpx", "python_multipart")
HANDLER_NAME = "service"
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# nginx's number for a client that went away before it was answered.
CLIENT_CLOSED_REQUEST = 499
LONGEST_LOGGED_PATH = 500
SHORTEST_MASKED_SECRET = 4  # a shorter one would blank out ordinary words
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "color_message",
    "message",
    "taskName",
}

Fields = dict[str, Any]


class SecretMask:
    """Replaces known secrets in a line by `***`: the safety net under the rule that none is logged."""

    def __init__(self, secret_values: Iterable[str] = ()) -> None:
        self._spellings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secret_values:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask `secret` from now on, as it is and as JSON and URLs spell it."""
        if len(secret) < SHORTEST_MASKED_SECRET:
            return
        self._spellings |= {secret, json.dumps(secret)[1:-1], quote(secret, safe="", errors="replace")}
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, line: str) -> str:
        return self._pattern.sub("***", line) if self._pattern else line


class LogLimit:
    """Lets one line about a subject through in each interval: a fault that recurs must not fill the disk."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._last: dict[str, float] = {}

    def allows(self, subject: str) -> bool:
        now = self._clock()
        if subject in self._last and now - self._last[subject] < self._interval_s:
            return False
        self._last[subject] = now
        return True


class LineFormatter(logging.Formatter):
    """Collects a record's fields, `extra` included, renders them, and masks the secrets in the result."""

    def __init__(self, render: Callable[[Fields], str], mask: SecretMask) -> None:
        super().__init__()
        self._render = render
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        fields: Fields = {
            "time": _rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            fields["request_id"] = current
        fields |= {name: value for name, value in vars(record).items() if name not in STANDARD_ATTRIBUTES}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return self._mask(self._render(fields))


def _rfc3339(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(fields: Fields) -> str:
    return json.dumps(fields, default=str)


def as_text(fields: Fields) -> str:
    rest = dict(fields)
    head = [rest.pop(name) for name in ("time", "level", "logger", "message")]
    traceback = rest.pop("traceback", None)
    line = _one_line(" ".join([*head, *(f"{name}={value}" for name, value in rest.items())]))
    if traceback is None:
        return line
    # Indented, so that no line inside an exception's text can pass for a line of the log.
    return "\n    ".join([line, *map(_one_line, traceback.splitlines())])


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def configure_logging(settings: Settings) -> SecretMask:
    """Send every logger's lines, uvicorn's too, to stderr in one format.

    The answer takes secrets that are only known later.
    """
    mask = SecretMask(settings.secret_values)
    handler = logging.StreamHandler()
    handler.set_name(HANDLER_NAME)
    handler.setFormatter(LineFormatter(as_json if settings.log_format == "json" else as_text, mask))

    root = logging.getLogger()
    root.handlers = [*(other for other in root.handlers if other.name != HANDLER_NAME), handler]
    root.setLevel(settings.log_level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    _take_over_uvicorn()
    return mask


def _take_over_uvicorn() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    # uvicorn's access lines show query strings and no request id. Ours stand in for them, and keep to
    # its --no-access-log, which takes the handlers away.
    uvicorn_access = logging.getLogger("uvicorn.access")
    access_logger.disabled = not uvicorn_access.hasHandlers()
    uvicorn_access.disabled = True


class RequestLogMiddleware:
    """Gives every request an id, in its log lines and in `X-Request-ID`, and logs one line at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # No secret, so no system call for it.
        current = _incoming_request_id(scope) or f"{random.getrandbits(64):016x}"
        # Never reset: what the server logs about this request afterwards still carries the id.
        request_id.set(current)
        status = CLIENT_CLOSED_REQUEST

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", current.encode())]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if access_logger.isEnabledFor(logging.INFO):
                _log_request(scope, status, time.perf_counter() - started)


def _incoming_request_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return None


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    access_logger.info(
        "request",
        extra={
            "method": scope["method"],
            "path": loggable_path(scope["path"]),
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
        },
    )


def loggable_path(path: str) -> str:
    """The path of a request as it may be logged: a webhook's signature is as good as a password."""
    before, prefix, rest = path.partition(WEBHOOK_PREFIX)
    if prefix:
        path = f"{before}{prefix}{rest.partition('/')[0]}/***"
    return path[:LONGEST_LOGGED_PATH]
