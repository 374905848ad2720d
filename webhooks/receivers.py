"""Posts webhooks to addresses that others choose, with a client of its own that never has the API key."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from files.address_check import AddressNotAllowed, is_public, public_socket
from webhooks.names import ReceiverNames

RESPONSE_TIMEOUT_S = 15.0
HEADERS = {"User-Agent": "runninghub-gateway", "Content-Type": "application/json"}


class PostFailed(Exception):
    """There was no response. The text names no address: it may contain a password."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receiver's response; `retry_after_s` is how long it wants to be left alone; 0: it does not say."""

    status: int
    retry_after_s: float = 0.0


def is_known_private(url: str) -> bool:
    """Whether the address is a private one without any name being resolved."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if ":" in host:
        return not is_public(host)
    try:
        # As resolvers read numbers: 127.1, 0x7f000001 and 2130706433 are 127.0.0.1.
        return not is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, UnicodeError):
        return False


class Receivers:
    """`async with Receivers(…) as receivers`: connections to all receivers.

    The address is checked on the socket that is about to connect, unless `may_be_private`.
    """

    def __init__(self, *, may_be_private: bool, at_once: int, timeout_s: float = RESPONSE_TIMEOUT_S) -> None:
        self._may_be_private = may_be_private
        self._at_once = at_once
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._names = ReceiverNames(at_once)

    async def __aenter__(self) -> Self:
        checked = None if self._may_be_private else public_socket
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._at_once, socket_factory=checked, resolver=self._names),
            timeout=self._timeout,
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._names.close()

    async def may_send_to(self, url: str) -> bool:
        """Whether nothing is known against the address; each attempt checks the one it connects to."""
        if self._may_be_private:
            return True
        return not is_known_private(url) and not await self._names.is_private(urlsplit(url).hostname or "")

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Receipt:
        """Send a webhook; redirects are not followed. Raises PostFailed."""
        try:
            async with self._session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                return Receipt(response.status, _seconds(response.headers.get("Retry-After", "")))
        except TimeoutError:
            raise PostFailed("the receiver did not respond in time") from None
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, AddressNotAllowed):
                raise PostFailed("the receiver's address is not a public one") from None
            raise PostFailed("the receiver could not be reached") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise PostFailed("the request to the receiver failed") from None


def _seconds(retry_after: str) -> float:
    """`Retry-After` is a number of seconds or a time."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
