"""Authentication: who makes a request, by token; without token settings the allowed hosts and origins."""

import hmac
from hashlib import sha256
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from api.cors import cors_middleware
from api.paths import (
    HAS_TOKEN,
    PRINCIPAL,
    WEBHOOK_PREFIX,
    is_public,
    is_runninghub_path,
    is_signed_link,
    path_of,
)
from api.problems import response_to
from config import Settings
from errors import AppError, ForbiddenHost, Unauthorized
from models import OPERATOR, Principal
from users.jwt_verifier import InvalidJwt
from users.tokens import is_user_token

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
# What clients built for RunningHub send as Host, whatever address they call.
RUNNINGHUB_HOSTS = frozenset({"www.runninghub.cn", "www.runninghub.ai"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

RawHeaders = dict[bytes, bytes]


class Tokens:
    """Whose token it is: an access token is the operator's."""

    def __init__(self, settings: Settings) -> None:
        self.are_needed = settings.needs_token
        self._digests = [
            token_digest(token.get_secret_value().encode(errors="surrogateescape"))
            for token in settings.access_tokens
        ]

    async def principal(self, scope: Scope, token: bytes) -> Principal:
        """Raises Unauthorized."""
        digest = token_digest(token)
        # Every token is compared, so that the time taken does not reveal which one matches.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if any(matches):
            return OPERATOR
        services = getattr(scope["app"].state, "services", None)
        try:
            principal = await services.authenticator.user(token) if token and services else None
        except InvalidJwt as exc:
            raise Unauthorized(str(exc)) from exc
        if principal is None:
            raise Unauthorized("Send one of the service's access tokens: Authorization: Bearer <token>.")
        return cast(Principal, principal)


class AuthMiddleware:
    """Passes a request on with its principal, or responds with a problem.

    With tokens, a valid one is all that counts: a foreign page cannot send it unless CORS lets it.
    Without, the request has to be addressed to an allowed host (a DNS name that an attacker points at
    this machine is none), and what changes something must not come from a foreign page.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._tokens = Tokens(settings)
        self._hosts = LOOPBACK_HOSTS | {host_name(host) for host in settings.allowed_hosts}
        self._webhook_host = host_name(urlsplit(settings.public_url or "").netloc)
        self._cors = cors_middleware(app, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            try:
                await self._authenticate(scope)
            except AppError as problem:
                app = response_to(scope, problem)
        await app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> None:
        """Set the request's principal. Raises the problem to respond with."""
        headers: RawHeaders = dict(scope["headers"])
        path = path_of(scope)
        token = bearer_token(headers.get(b"authorization", b""))
        if not self._tokens.are_needed:
            refusal = self._host_refusal(scope, path, headers)
            refusal = refusal or self._origin_refusal(scope["method"], path, headers)
            if refusal:
                raise refusal
        if path.startswith(WEBHOOK_PREFIX) and scope["method"] == "POST":
            _require_signature(scope, path)
        if is_runninghub_path(path):
            return  # its clients send the key in several places: the routes find and verify it
        if not self._tokens.are_needed:
            # Everybody here is the operator, except for who presents the token of a user.
            if not is_user_token(token) or is_public(path):
                scope[PRINCIPAL] = OPERATOR
                return
        elif is_public(path):
            return
        try:
            scope[PRINCIPAL], scope[HAS_TOKEN] = await self._tokens.principal(scope, token), True
        except Unauthorized:
            if not is_signed_link(path, scope["query_string"]):
                raise

    def _host_refusal(self, scope: Scope, path: str, headers: RawHeaders) -> AppError | None:
        host = host_name(headers.get(b"host", b"").decode("latin-1"))
        if host in self._hosts or "*" in self._hosts:
            return None
        # RunningHub calls PUBLIC_URL; that route is protected by the signature in its path.
        if host and host == self._webhook_host and path.startswith(WEBHOOK_PREFIX):
            return None
        # From another machine, or with a name that a web page can choose, this could be DNS rebinding.
        if host in RUNNINGHUB_HOSTS and is_runninghub_path(path) and _is_from_loopback(scope):
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


def _require_signature(scope: Scope, path: str) -> None:
    """Of RunningHub's webhook, which anybody can send: before it costs anything. Raises TaskNotFound."""
    task_id, _, signature = path.removeprefix(WEBHOOK_PREFIX).partition("/")
    if services := getattr(scope["app"].state, "services", None):
        services.tasks.check_webhook_signature(task_id, signature)


def _is_from_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ip_address(client[0]).is_loopback
    except ValueError:
        return False


def token_digest(token: bytes) -> bytes:
    """What is compared and counted in place of a token."""
    return sha256(token).digest()


def bearer_token(authorization: bytes) -> bytes:
    """The token of an `Authorization` header; empty where there is none."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def host_name(host: str) -> str:
    """A Host header without its port; an IPv6 address keeps its brackets."""
    name, _, port = host.rpartition(":")
    return (name if port.isdecimal() else host).lower()
