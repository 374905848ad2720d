"""What the service logs: one line per event on stderr, with a request id and without secrets."""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from opentelemetry import trace

from config import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

ACCESS_LOGGER = "access"

# httpx logs whole URLs, key included, at INFO, and aiosqlite logs SQL parameters at DEBUG.
QUIET_LOGGERS = ("aiohttp", "aiosqlite", "httpcore", "httpx", "python_multipart")
HANDLER_NAME = "service"
MIN_MASKED_CHARS = 4  # a shorter secret would mask ordinary words
# Under "uvicorn.error", uvicorn logs that it started.
LOGGER_NAMES = {"uvicorn.error": "uvicorn"}
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
        """Mask `secret` from now on, as it is and as JSON and URLs encode it."""
        if len(secret) < MIN_MASKED_CHARS:
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
            "logger": LOGGER_NAMES.get(record.name, record.name),
            "message": record.getMessage(),
        }
        if current := request_id.get():
            fields["request_id"] = current
        if trace_id := _trace_id():
            fields["trace_id"] = trace_id
        fields |= {name: value for name, value in vars(record).items() if name not in STANDARD_ATTRIBUTES}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return self._mask(self._render(fields))


def _trace_id() -> str | None:
    """Of the span in which the line is logged; None: the request is not traced."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


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
    # Indented, so that no line inside an exception's text can be mistaken for a line of the log.
    return "\n    ".join([line, *map(_one_line, traceback.splitlines())])


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class WithoutQuery(logging.Filter):
    """uvicorn logs the whole address of a WebSocket; its query has a signature."""

    def filter(self, record: logging.LogRecord) -> bool:
        # uvicorn also logs exceptions as messages, such as that a port is in use.
        if '"WebSocket %s"' in str(record.msg) and isinstance(record.args, tuple):
            record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
        return True


WITHOUT_QUERY = WithoutQuery()


def configure_logging(settings: Settings) -> SecretMask:
    """Send every logger's lines, uvicorn's too, to stderr in one format.

    Secrets that are only known later can be added to the returned mask.
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
    _replace_uvicorn_handlers()
    return mask


def _replace_uvicorn_handlers() -> None:
    logging.getLogger("uvicorn.error").addFilter(WITHOUT_QUERY)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    # uvicorn's access lines show query strings and no request id. Ours replace them, and respect its
    # --no-access-log, which removes the handlers.
    uvicorn_access = logging.getLogger("uvicorn.access")
    logging.getLogger(ACCESS_LOGGER).disabled = not uvicorn_access.hasHandlers()
    uvicorn_access.disabled = True
