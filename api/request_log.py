"""One log line per request, and its id: on the request's log lines and in `X-Request-ID`."""

import logging
import random
import re
import time

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.paths import PROXY_PREFIXES, WEBHOOK_PREFIX
from logs import ACCESS_LOGGER, request_id

logger = logging.getLogger(ACCESS_LOGGER)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# nginx's number for a client that disconnected before the response.
CLIENT_CLOSED_REQUEST = 499
MAX_PATH_CHARS = 500
# Called every few seconds by whatever supervises the service.
HEALTH_PATHS = frozenset({"/health", "/ready"})


class RequestLogMiddleware:
    """Gives every request an id, and logs one line at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # No secret, so no system call for it.
        current = _incoming_request_id(scope) or f"{random.getrandbits(64):016x}"
        # Never reset: what the server logs about this request afterwards still carries the id.
        token = request_id.set(current)
        trace.get_current_span().set_attribute("request_id", current)
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
            is_healthy = scope["path"] in HEALTH_PATHS and status < 400
            if logger.isEnabledFor(logging.INFO) and not is_healthy:
                _log_request(scope, status, time.perf_counter() - started)
            request_id.reset(token)


def _incoming_request_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return None


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    client = scope.get("client")
    logger.info(
        "request",
        extra={
            "client": client[0] if client else "unknown",
            "method": scope["method"],
            "path": loggable_path(scope["path"]),
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
        },
    )


def loggable_path(path: str) -> str:
    """The path of a request as it may be logged: without the signature of a webhook, or a key."""
    for proxy in PROXY_PREFIXES:
        if path.startswith(proxy):
            return f"{proxy}***"
    before, prefix, rest = path.partition(WEBHOOK_PREFIX)
    if prefix:
        path = f"{before}{prefix}{rest.partition('/')[0]}/***"
    return path[:MAX_PATH_CHARS]
