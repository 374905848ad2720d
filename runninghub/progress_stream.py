"""RunningHub's WebSocket at `netWssUrl`: how far a run is, in ComfyUI's messages.

RunningHub calls it unstable, and its address contains a token: it is neither stored nor logged nor returned.
"""

import asyncio
import math
import re
from collections.abc import AsyncGenerator
from ipaddress import ip_address
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from models import TaskProgress
from runninghub.replies import id_text, json_object

HANDSHAKE_TIMEOUT_S = 10.0
HEARTBEAT_S = 30.0
# A stream without any message for so long is given up; long runs have nodes without steps.
IDLE_S = 600.0
CLOSE_TIMEOUT_S = 2.0
# Previews of pictures arrive as binary messages, which are ignored.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_URL_CHARS = 4096
MAX_NODE_ID_CHARS = 64
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xff]|[^\x00-\xff]")
ENDS = frozenset({"execution_success", "execution_error", "execution_interrupted"})


class StreamFailed(Exception):
    """The stream could not be opened, or broke. The text names no address."""


class _Redirected(Exception):
    """A redirect is not followed: the address's token is for this host alone."""


def allowed_stream(url: object, base_url: str) -> str | None:
    """The `netWssUrl` of a reply, if it leads to the account's own host or one of its domain; else None.

    Where the account's host is called by https, the stream has to be encrypted, too.
    """
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS or UNPRINTABLE.search(url):
        return None
    try:
        parts, own = urlsplit(url), urlsplit(base_url)
        is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return None
    schemes = {"wss"} if own.scheme == "https" else {"ws", "wss"}
    if not is_valid or parts.scheme not in schemes or parts.username or parts.password:
        return None
    return url if _is_of(parts.hostname or "", own.hostname or "") else None


def _is_of(host: str, own: str) -> bool:
    """`ws.runninghub.cn` belongs to `www.runninghub.cn`; an address in numbers only to itself."""
    domain = own.removeprefix("www.")
    if _is_number(own) or "." not in domain:
        return host == own
    return host == domain or host.endswith(f".{domain}")


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class ProgressStreams:
    """`async with ProgressStreams() as streams`: connections that carry neither a key nor cookies."""

    async def __aenter__(self) -> Self:
        redirects = aiohttp.TraceConfig()
        redirects.on_request_redirect.append(_refuse_redirect)
        self._session = aiohttp.ClientSession(
            # Without a limit of its own: who opens the streams has one.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            trace_configs=[redirects],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def steps(self, url: str) -> AsyncGenerator[TaskProgress, None]:
        """A run's steps until it ends. Raises StreamFailed, also where the stream closes without an end."""
        socket = await self._open(url)
        async with socket:
            while True:
                try:
                    frame = await socket.receive()
                except (aiohttp.ClientError, OSError, TimeoutError):
                    raise StreamFailed("the stream broke") from None
                if frame.type is aiohttp.WSMsgType.BINARY:
                    continue
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    raise StreamFailed("the stream was closed before the run ended")
                message = json_object(frame.data)
                if is_end(message):
                    return
                if step := step_of(message):
                    yield step

    async def _open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                return await self._session.ws_connect(
                    URL(url, encoded=True),
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=IDLE_S, ws_close=CLOSE_TIMEOUT_S),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, _Redirected):
            raise StreamFailed("the stream could not be opened") from None


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    raise _Redirected


def step_of(message: dict[str, Any]) -> TaskProgress | None:
    """The step that a message reports; None: it reports none, or one that makes no sense."""
    if message.get("type") != "progress":
        return None
    data = json_object(message.get("data"))
    value, maximum, node_id = _count(data.get("value")), _count(data.get("max")), id_text(data.get("node"))
    if value is None or not maximum or value > maximum:
        return None
    return TaskProgress(value, maximum, node_id[:MAX_NODE_ID_CHARS] or None)


def _count(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return int(value) if is_number and 0 <= value < 2**31 else None


def is_end(message: dict[str, Any]) -> bool:
    """Whether the run has ended, well or badly; `executing` without a node says so, too."""
    if message.get("type") in ENDS:
        return True
    data = message.get("data")
    return message.get("type") == "executing" and isinstance(data, dict) and data.get("node", "") is None
