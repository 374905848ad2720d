"""Who may come in: hosts, origins, tokens and call rates; and the security headers of every answer."""

import hmac
import math
import time
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response
from config import Settings
from errors import AppError, ForbiddenHost, RateLimited, Unauthorized
from logs import WEBHOOK_PREFIX

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Served without a token. /docs and what it loads are here because a browser cannot send a token for a page:
# behind one, nobody could reach Swagger UI's Authorize button. They describe the API and hold no data.
PUBLIC_PATHS = frozenset({"/", "/health", "/favicon.ico", "/docs", "/openapi.json"})
PUBLIC_PREFIXES = ("/web/", "/docs/", WEBHOOK_PREFIX)

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

RawHeaders = dict[bytes, bytes]


class AuthMiddleware:
    """Lets a request through or answers it with a problem; both ways the security headers are added.

    With tokens, a valid one is all that counts: a foreign page cannot send it unless CORS lets it.
    Without, the request has to be addressed to an allowed host (a DNS name that an attacker points at
    this machine is none), and what changes something must not come from a foreign page.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token_digests = [
            _digest(token.get_secret_value().encode(errors="surrogateescape"))
            for token in settings.access_tokens
        ]
        self._hosts = LOOPBACK_HOSTS | {_host_name(host) for host in settings.allowed_hosts}
        self._webhook_host = _host_name(urlsplit(settings.public_url or "").netloc)
        self._cors = cors_middleware(app, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_security_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                missing = (header for header in SECURITY_HEADERS if header[0] not in present)
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        refusal = self._refusal(scope)
        app = self._app if refusal is None else problem_response(refusal)
        await app(scope, receive, send_with_security_headers)

    def _refusal(self, scope: Scope) -> AppError | None:
        headers: RawHeaders = dict(scope["headers"])
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._token_digests:
            return self._token_refusal(path, headers)
        return self._host_refusal(path, headers) or self._origin_refusal(scope["method"], path, headers)

    def _token_refusal(self, path: str, headers: RawHeaders) -> AppError | None:
        if path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES):
            return None
        digest = _digest(bearer_token(headers.get(b"authorization", b"")))
        # Every token is compared, so that the time taken does not tell which one fits.
        matches = [hmac.compare_digest(digest, known) for known in self._token_digests]
        if any(matches):
            return None
        return Unauthorized("Send one of the service's access tokens: Authorization: Bearer <token>.")

    def _host_refusal(self, path: str, headers: RawHeaders) -> AppError | None:
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if host in self._hosts or "*" in self._hosts:
            return None
        # RunningHub calls PUBLIC_URL; the signature in the path is that route's own guard.
        if host and host == self._webhook_host and path.startswith(WEBHOOK_PREFIX):
            return None
        return ForbiddenHost(
            "Without ACCESS_TOKENS this service answers only to loopback names. "
            "Set ACCESS_TOKENS, or add the host's name to ALLOWED_HOSTS."
        )

    def _origin_refusal(self, method: str, path: str, headers: RawHeaders) -> AppError | None:
        if method in SAFE_METHODS or path.startswith(WEBHOOK_PREFIX):
            return None
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin and headers.get(b"sec-fetch-site") != b"cross-site":
            return None  # not from a page at all, such as curl
        host = headers.get(b"host", b"").decode("latin-1").lower()
        # The scheme is left out of it: behind a TLS proxy a page's own requests arrive here as http.
        if origin in {f"http://{host}", f"https://{host}"} or self._cors.is_allowed_origin(origin):
            return None
        return ForbiddenHost(
            "Pages of this origin may not call this service. Add the origin to CORS_ORIGINS."
        )


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _host_name(host: str) -> str:
    """A Host header without its port; an IPv6 address keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if port.isdecimal() else host).lower()


def bearer_token(authorization: bytes) -> bytes:
    """The token of an `Authorization` header; empty where there is none."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


class ProblemCORSMiddleware(CORSMiddleware):
    """Starlette's CORS, with its plain text refusal of a preflight as a problem."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        refusal = ForbiddenHost(
            "This origin, method or header is not allowed here; CORS_ORIGINS lists the origins."
        )
        return problem_response(refusal, {"Vary": response.headers["Vary"]})


def cors_middleware(app: ASGIApp, settings: Settings) -> ProblemCORSMiddleware:
    """Never `*`, and no credentials: a bearer token is a plain header."""
    return ProblemCORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_origin_regex=None if settings.cors_origins else LOOPBACK_ORIGIN,
        allow_methods=("GET", "POST"),
        allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"),
        expose_headers=("Location", "Retry-After", "X-Request-ID"),
    )


def install_auth(app: FastAPI, settings: Settings) -> None:
    """Call it after `install_problem_handlers` and before RequestLogMiddleware is added."""
    app.add_middleware(AuthMiddleware, settings=settings)
    app.add_middleware(cors_middleware, settings=settings)


def document_bearer(document: dict[str, Any]) -> None:
    """Say in an OpenAPI document which routes need a token; Swagger UI then has its Authorize button."""
    document.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    document["security"] = [{"bearer": []}]
    for path, operations in document["paths"].items():
        if path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES):
            for operation in operations.values():
                operation["security"] = []


class RateLimiter:
    """Counts the calls that cost, by client and minute, in this process.

    A client is a token, or an address where no tokens are set.
    """

    def __init__(self, settings: Settings) -> None:
        per_minute = settings.rate_limit_per_minute
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._by_token = bool(settings.access_tokens)
        # A fixed window from a client's first call: one counter a client, and Retry-After is exact.
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def check(self, request: Request) -> None:
        """Raise RateLimited when the client has used up its minute."""
        if self._limit is None:
            return
        client = self._client(request)
        if await self._limiter.hit(self._limit, client):
            return
        window = await self._limiter.get_window_stats(self._limit, client)
        raise RateLimited(
            f"More than {self._limit.amount} calls in a minute; call again when the minute is over.",
            retry_after=max(1, math.ceil(window.reset_time - time.time())),
        )

    def _client(self, request: Request) -> str:
        if self._by_token:
            return _digest(bearer_token(request.headers.get("authorization", "").encode("latin-1"))).hex()
        return request.client.host if request.client else "unknown"
