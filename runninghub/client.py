"""The connections to RunningHub: one client per account, over three pools that cannot hold each other up."""

import asyncio
import functools
import logging
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient
from opentelemetry import trace

from errors import RunningHubTimeout, RunningHubUnavailable
from logs import request_id
from metrics import UPSTREAM, Metrics
from runninghub.codes import code_label
from runninghub.replies import Reply, count_values, parse_reply, unreadable

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
# Shorter than any server keeps an idle connection, so that a call seldom meets one that is just closing.
KEEPALIVE_S = 3.0
# More paid calls are never in flight (see tasks/submit_limiter.py), so that none waits for a connection.
PAID_CONNECTIONS = 1024
FREE_CONNECTIONS = 256
FILE_CONNECTIONS = 64
MAX_REPLY_BYTES = 16 * 1024 * 1024
# Reading a value takes time on the event loop; commas and brackets are counted, also those in texts. The
# largest form that is passed on has a tenth of it.
MAX_REPLY_VALUES = 200_000
# Of a reply that is packed although that was not asked for: unpacking takes time on the event loop, too.
MAX_UNPACKED_BYTES = MAX_REPLY_BYTES // 4
ADDRESSES = 256
# How a response is summed up where none arrived.
NO_ANSWER = "no answer"


class NotSent(Exception):
    """The call did not reach RunningHub: nothing was started, and it may be made again."""


class NoReply(Exception):
    """The call was sent and no response arrived: not in time, or the connection broke first."""

    def __init__(self, *, is_timeout: bool) -> None:
        super().__init__("no reply")
        self.is_timeout = is_timeout


class NotHttp(Exception):
    """The call was sent and what arrived is no HTTP response."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Connections of their own for paid calls, for all other calls, and for files."""

    paid: httpx.AsyncClient
    free: httpx.AsyncClient
    files: httpx.AsyncClient


class PoolName(Enum):
    PAID = "paid"
    FREE = "free"
    FILES = "files"


@asynccontextmanager
async def open_pools(timeout_s: float) -> AsyncIterator[Pools]:
    """The process's clients, closed at the end. `timeout_s`: for one response."""
    async with AsyncExitStack() as stack:
        yield Pools(
            *[
                await stack.enter_async_context(create_client(timeout_s, connections))
                for connections in (PAID_CONNECTIONS, FREE_CONNECTIONS, FILE_CONNECTIONS)
            ]
        )


def create_client(
    timeout_s: float,
    connections: int = FREE_CONNECTIONS,
) -> httpx.AsyncClient:
    """httpx over aiohttp's connections: httpx's own pool slows down with the number of requests in flight."""
    return _Client(
        verify=_certificates(),
        timeout=httpx.Timeout(timeout_s, connect=_connect_timeout_s(timeout_s), pool=timeout_s * 0.9),
        limits=httpx.Limits(max_connections=connections, keepalive_expiry=KEEPALIVE_S),
        follow_redirects=False,
    )


class _NoCookies(httpx.Cookies):
    """Looking for cookies in a response takes longer than reading it."""

    def extract_cookies(self, response: httpx.Response) -> None: ...


class _Transport(AiohttpTransport):
    def get_client(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self.limits.max_connections or 0,
            keepalive_timeout=self.limits.keepalive_expiry or KEEPALIVE_S,
            ssl=self.ssl_context,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


class _Client(HttpxAiohttpClient):
    """Keeps no cookies: all accounts share it, and one's must not be sent with another's calls."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cookies = _NoCookies()

    # The hooks by which HttpxAiohttpClient itself brings in aiohttp; a transport that is passed to httpx
    # would turn off the proxies of the environment.
    def _init_transport(  # type: ignore[override]
        self, *, transport: httpx.AsyncBaseTransport | None = None, **options: Any
    ) -> httpx.AsyncBaseTransport:
        return transport or _Transport(**options)

    def _init_proxy_transport(  # type: ignore[override]
        self, proxy: httpx.Proxy, **options: Any
    ) -> httpx.AsyncBaseTransport:
        return _Transport(proxy=proxy, **options)


# Parsing an address takes longer than the rest of a request; a host has few that are called often.
@functools.lru_cache(ADDRESSES)
def _url(address: str) -> httpx.URL:
    return httpx.URL(address)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """What the system trusts, read once per process: it takes 50 ms."""
    return httpx.create_ssl_context()


def _connect_timeout_s(timeout_s: float) -> float:
    return min(CONNECT_TIMEOUT_S, timeout_s * 0.8)


class Responsiveness:
    """Whether RunningHub has answered an account's calls lately; on a clock that never jumps."""

    FRESH_S = 10.0

    def __init__(self) -> None:
        self._answered_at: float | None = None
        self._has_failed_since = False

    def answered(self) -> None:
        self._answered_at, self._has_failed_since = time.monotonic(), False

    def failed(self) -> None:
        self._has_failed_since = True

    @property
    def is_responding(self) -> bool:
        """Answered a short while ago, and no call has failed since."""
        if self._answered_at is None or self._has_failed_since:
            return False
        return time.monotonic() - self._answered_at < self.FRESH_S

    @property
    def has_failed(self) -> bool:
        """Whether the last call got no answer."""
        return self._has_failed_since


@dataclass(frozen=True, slots=True)
class LastResponse:
    """What RunningHub responded last (its code, or the lack of one), and when (seconds since 1970)."""

    summary: str
    at: float


class RunningHubClient:
    """RunningHub's host with one account's key. The key is sent with every call and masked in every reply."""

    def __init__(self, pools: Pools, base_url: str, api_key: str, timeout_s: float, metrics: Metrics) -> None:
        self._clients = {
            PoolName.PAID: pools.paid,
            PoolName.FREE: pools.free,
            PoolName.FILES: pools.files,
        }
        self._base_url = base_url
        self._host = urlsplit(base_url).hostname or ""
        self._key = api_key
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._tracer = trace.get_tracer("runninghub_gateway")
        self.responsiveness = Responsiveness()
        self.last_response: LastResponse | None = None

    def with_key(self, members: Mapping[str, Any], *, name: str = "apiKey") -> dict[str, Any]:
        """`members` and the key: some keys are accepted only here, others only in the header."""
        return {name: self._key, **members}

    async def call(
        self,
        method: str,
        path: str,
        *,
        pool: PoolName = PoolName.FREE,
        timeout_s: float | None = None,
        name: str | None = None,
        secrets: Iterable[str] = (),
        **parts: Any,
    ) -> Reply:
        """Send a call and return RunningHub's reply, whatever its code; `secrets` are masked in it.

        A body that is too long, cut off or wrongly encoded is a reply that is not RunningHub's JSON.
        `name` is the call's in metrics, where the path is not one of few.
        `parts` are httpx's `json`, `params`, `content` and `headers`. Raises NotSent, NoReply and NotHttp.
        """
        request = self._request(method, path, self._clients[pool], **parts)
        began = time.perf_counter()
        summary = NO_ANSWER
        with self._span(method, name or path) as span:
            try:
                # The time to connect comes on top: a call that was not sent must never count as sent.
                limit_s = (timeout_s or self._timeout_s) + _connect_timeout_s(self._timeout_s)
                async with asyncio.timeout(limit_s):
                    response = await self._clients[pool].send(request, stream=True)
                    try:
                        summary = f"HTTP {response.status_code}"
                        content = await _read_or_nothing(response)
                    finally:
                        await response.aclose()
                reply = parse_reply(response.status_code, content, [self._key, *secrets])
            except (TimeoutError, httpx.RequestError, aiohttp.ClientError) as exc:
                self.responsiveness.failed()
                raise _not_arrived(exc) from exc
            else:
                summary = summary if reply.code is None else str(reply.code)
                # A path that this host does not have (4xx) says nothing about how it works.
                if reply.is_answer or 400 <= reply.http_status < 500:
                    self.responsiveness.answered()
                else:
                    self.responsiveness.failed()
                return reply
            finally:
                self._called(span, name or path, summary, time.perf_counter() - began)

    def _span(self, method: str, call: str) -> AbstractContextManager[trace.Span]:
        """A span of a trace, where traces are on: without the address and the body, which have the key."""
        attributes = {"http.request.method": method, "server.address": self._host}
        if current := request_id.get():
            attributes["request_id"] = current
        return self._tracer.start_as_current_span(
            f"RunningHub {call}",
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )

    def _called(self, span: trace.Span, call: str, summary: str, duration_s: float) -> None:
        self.last_response = LastResponse(summary, time.time())
        self._metrics.observe(UPSTREAM, duration_s, call, code_label(summary))
        span.set_attribute("runninghub.code", summary)
        if summary == NO_ANSWER or summary.startswith("HTTP "):
            span.set_status(trace.StatusCode.ERROR)
        log.debug(
            "RunningHub called",
            extra={"call": call, "upstream_code": summary, "duration_ms": round(duration_s * 1000, 1)},
        )

    async def free_call(self, method: str, path: str, **parts: Any) -> Reply:
        """`call` for a call that costs nothing: that it got no reply is a problem like others.

        Raises RunningHubUnavailable and RunningHubTimeout.
        """
        try:
            return await self.call(method, path, **parts)
        except NotSent as exc:
            raise RunningHubUnavailable(
                "RunningHub cannot be reached. Check RUNNINGHUB_BASE_URL and the network, and try again.",
                retry_after=5,
            ) from exc
        except NoReply as exc:
            raise no_reply_error(exc) from exc
        except NotHttp as exc:
            raise unreadable() from exc

    def _request(
        self,
        method: str,
        path: str,
        client: httpx.AsyncClient,
        *,
        params: dict[str, str] | None = None,
        json: Any = None,
        content: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """Only the headers RunningHub asks for, which also costs less than the client's own merging."""
        return httpx.Request(
            method,
            _url(self._base_url + path),
            params=params,
            json=json,
            content=content,
            headers={
                "Authorization": f"Bearer {self._key}",
                "Accept-Encoding": "identity",  # a reply's size is bounded where it is read
                **(headers or {}),
            },
            extensions={"timeout": client.timeout.as_dict()},
        )


def no_reply_error(exc: NoReply) -> RunningHubTimeout | RunningHubUnavailable:
    """The problem for a call that was sent and got no reply."""
    if exc.is_timeout:
        return RunningHubTimeout("The call was sent and RunningHub did not respond in time.", retry_after=5)
    return RunningHubUnavailable("RunningHub broke the connection. Try again shortly.", retry_after=5)


class _UnusableReply(Exception):
    """The reply is too long, has too many values, or an encoding that was not asked for."""


async def _read_or_nothing(response: httpx.Response) -> bytes:
    """The body; empty where it cannot be used, since the HTTP status alone says then what was done.

    Raises what a body raises that does not arrive in time.
    """
    try:
        return await _read(response)
    except httpx.TimeoutException:
        raise
    except (httpx.RequestError, aiohttp.ClientError, _UnusableReply):
        return b""


async def _read(response: httpx.Response) -> bytes:
    """The body, decoded; bytes are counted after decoding, so that a small body cannot grow without limit."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "deflate"}:
        raise _UnusableReply
    is_plain = encoding in {"identity", ""}
    content, values = bytearray(), 0
    async for chunk in response.aiter_bytes() if is_plain else response.aiter_raw():
        content += chunk
        values += count_values(chunk) if is_plain else 0
        if len(content) > MAX_REPLY_BYTES or values > MAX_REPLY_VALUES:
            raise _UnusableReply
    if is_plain:
        return bytes(content)
    decompressed = _decompressed(bytes(content))
    if count_values(decompressed) > MAX_REPLY_VALUES:
        raise _UnusableReply
    return decompressed


def _decompressed(content: bytes) -> bytes:
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # the header tells gzip from zlib
    try:
        decoded = decoder.decompress(content, MAX_UNPACKED_BYTES)
    except zlib.error as exc:
        raise _UnusableReply from exc
    if decoder.unconsumed_tail or not decoder.eof:
        raise _UnusableReply
    return decoded


def _not_arrived(exc: Exception) -> NotSent | NoReply | NotHttp:
    if _was_not_sent(exc):
        return NotSent()
    if isinstance(exc, aiohttp.ClientResponseError):  # raised for what no HTTP parser accepts
        return NotHttp()
    return NoReply(is_timeout=isinstance(exc, TimeoutError | httpx.ReadTimeout | httpx.WriteTimeout))


def _was_not_sent(exc: Exception) -> bool:
    """Whether no connection was made: refused, name not found, no TLS, or the handshake not answered.

    httpx-aiohttp raises ConnectTimeout also for a connection that broke after the request was sent, so
    aiohttp's own exception decides where there is one.
    """
    if isinstance(exc.__cause__, aiohttp.ClientError):
        return isinstance(exc.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
