"""Authentication: access tokens, and without them the allowed hosts and origins."""

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from api.cors import cors_middleware
from api.paths import HAS_TOKEN, WEBHOOK_PREFIX, is_public, is_signed_link
from api.problems import problem_response
from config import Settings
from errors import AppError, ForbiddenHost, Unauthorized

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

RawHeaders = dict[bytes, bytes]


class AuthMiddleware:
    """Passes a request on, or responds with a problem.

    With tokens, a valid one is all that counts: a foreign page cannot send it unless CORS lets it.
    Without, the request has to be addressed to an allowed host (a DNS name that an attacker points at
    this machine is none), and what changes something must not come from a foreign page.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token_digests = [
            token_digest(token.get_secret_value().encode(errors="surrogateescape"))
            for token in settings.access_tokens
        ]
        self._hosts = LOOPBACK_HOSTS | {_host_name(host) for host in settings.allowed_hosts}
        self._webhook_host = _host_name(urlsplit(settings.public_url or "").netloc)
        self._cors = cors_middleware(app, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        app = self._app if refusal is None else problem_response(refusal)
        await app(scope, receive, send)

    def _refusal(self, scope: Scope) -> AppError | None:
        headers: RawHeaders = dict(scope["headers"])
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._token_digests:
            return self._token_refusal(scope, path, headers)
        return self._host_refusal(path, headers) or self._origin_refusal(scope["method"], path, headers)

    def _token_refusal(self, scope: Scope, path: str, headers: RawHeaders) -> AppError | None:
        if is_public(path):
            return None
        digest = token_digest(bearer_token(headers.get(b"authorization", b"")))
        # Every token is compared, so that the time taken does not reveal which one matches.
        matches = [hmac.compare_digest(digest, known) for known in self._token_digests]
        if any(matches):
            scope[HAS_TOKEN] = True
            return None
        if is_signed_link(path, scope["query_string"]):
            return None
        return Unauthorized("Send one of the service's access tokens: Authorization: Bearer <token>.")

    def _host_refusal(self, path: str, headers: RawHeaders) -> AppError | None:
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if host in self._hosts or "*" in self._hosts:
            return None
        # RunningHub calls PUBLIC_URL; that route is protected by the signature in its path.
        if host and host == self._webhook_host and path.startswith(WEBHOOK_PREFIX):
            return None
        return ForbiddenHost(
            "Without ACCESS_TOKENS this service responds only to loopback names. "
            "Set ACCESS_TOKENS, or add the host's name to ALLOWED_HOSTS."
        )

    def _origin_refusal(self, method: str, path: str, headers: RawHeaders) -> AppError | None:
        if method in SAFE_METHODS or path.startswith(WEBHOOK_PREFIX):
            return None
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin and headers.get(b"sec-fetch-site") != b"cross-site":
            return None  # not from a page at all, such as curl
        host = headers.get(b"host", b"").decode("latin-1").lower()
        # The scheme is not compared: behind a TLS proxy a page's own requests arrive here as http.
        if origin in {f"http://{host}", f"https://{host}"} or self._cors.is_allowed_origin(origin):
            return None
        return ForbiddenHost(
            "Pages of this origin may not call this service. Add the origin to CORS_ORIGINS."
        )


def token_digest(token: bytes) -> bytes:
    """What is compared and counted in place of a token."""
    return sha256(token).digest()


def bearer_token(authorization: bytes) -> bytes:
    """The token of an `Authorization` header; empty where there is none."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _host_name(host: str) -> str:
    """A Host header without its port; an IPv6 address keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if port.isdecimal() else host).lower()
