"""Fetches result files from RunningHub's file hosts, with a client of its own that never has the API key.

A result's address comes from a response, so it is not trusted: it is fetched only from public addresses, or
from the host of a configured account.
"""

import re
from collections.abc import AsyncGenerator, Collection
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from files.address_check import AddressNotAllowed, public_socket

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CONNECT_TIMEOUT_S = 10.0
# A transfer that has brought nothing for this long has ended.
STALLED_S = 30.0
# Nothing of ours beyond what a file host needs; above all no key. Without `identity` a host may compress,
# and the bytes kept would not be the file.
HEADERS = {"User-Agent": "runninghub-gateway", "Accept": "*/*", "Accept-Encoding": "identity"}
_ENCODED = re.compile(r"[!-~]+")
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}", re.ASCII)


class DownloadFailed(Exception):
    """The file could not be fetched now. `status` is the host's HTTP status, None where there was none.

    The text names no address: a result's link contains a signature.
    """

    def __init__(self, reason: str, status: int | None = None, *, is_timeout: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.is_timeout = is_timeout


class ResultNotAllowed(Exception):
    """The file's address, or one that it redirects to, is not one that may be fetched from."""


class ResultTooLarge(Exception):
    """The file is larger than what is kept."""


class Download:
    """A response whose head has arrived. To be closed, also where its bytes are not read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.content_length = response.content_length
        self.content_range = response.headers.get("Content-Range")
        found = _MEDIA_TYPE.match(response.headers.get("Content-Type", ""))
        self.media_type = found[0].lower() if found else None

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self.chunks()

    async def chunks(self, max_bytes: int | None = None) -> AsyncGenerator[bytes]:
        """The body as it arrives. Raises DownloadFailed if it is cut off, ResultTooLarge over the limit."""
        if max_bytes is not None and (self.content_length or 0) > max_bytes:
            raise ResultTooLarge
        received = 0
        try:
            async for chunk in self._response.content.iter_any():
                received += len(chunk)
                if max_bytes is not None and received > max_bytes:
                    raise ResultTooLarge
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise _failed(exc) from None
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()

    async def aclose(self) -> None:
        self.close()


class ResultDownloader:
    """`async with ResultDownloader(hosts) as downloads`: the hosts' names may be private ones.

    `total_s` limits a whole transfer; None where the reader's own speed decides.
    """

    def __init__(
        self,
        account_hosts: Collection[str],
        *,
        max_connections: int = 100,
        total_s: float | None = None,
        stalled_s: float = STALLED_S,
    ) -> None:
        hosts = frozenset(account_hosts)
        # However a machine names itself, it is the same host.
        self._trusted_hosts = hosts | LOOPBACK_NAMES if hosts & LOOPBACK_NAMES else hosts
        self._max_connections = max_connections
        self._timeout = aiohttp.ClientTimeout(
            total=total_s, connect=CONNECT_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=stalled_s
        )

    async def __aenter__(self) -> Self:
        self._public = self._session(
            aiohttp.TCPConnector(limit=self._max_connections, socket_factory=public_socket)
        )
        self._trusted = self._session(aiohttp.TCPConnector(limit=self._max_connections))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._public.close()
        await self._trusted.close()

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def open(self, url: str, *, byte_range: str | None = None) -> Download:
        """Request a file, with a `Range` header where one is given.

        Raises DownloadFailed (any status but 200, 206 and 416), or ResultNotAllowed.
        """
        headers = {} if byte_range is None else {"Range": byte_range}
        address = _checked(url)
        is_trusted = self._is_trusted(address)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._request(address, headers, is_trusted=is_trusted)
            if response.status not in REDIRECTS:
                return _usable(response)
            response.close()
            target = response.headers.get("Location", "")
            address = _checked(target, base=address)
            # Nobody but a trusted host itself leads to a trusted host.
            is_trusted = is_trusted and self._is_trusted(address)
        raise DownloadFailed("the file's host redirects too often")

    def _is_trusted(self, address: URL) -> bool:
        return (address.host or "").lower() in self._trusted_hosts

    async def _request(
        self, address: URL, headers: dict[str, str], *, is_trusted: bool
    ) -> aiohttp.ClientResponse:
        session = self._trusted if is_trusted else self._public
        try:
            return await session.get(address, headers=headers, allow_redirects=False)
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, AddressNotAllowed):
                raise ResultNotAllowed("the file's address is not a public one") from None
            raise _failed(exc) from None
        except aiohttp.InvalidURL:
            raise ResultNotAllowed("the file's address is malformed") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            raise _failed(exc) from None


def _checked(url: str, *, base: URL | None = None) -> URL:
    """Only plain addresses of the web. Raises ResultNotAllowed."""
    try:
        # A link is signed as it is spelt: what is encoded already must not be encoded again.
        address = URL(url, encoded=_ENCODED.fullmatch(url) is not None)
        if base is not None:
            address = base.join(address)
        is_plain = address.scheme in {"http", "https"} and address.user is None and address.password is None
        if is_plain and address.host and address.port:
            return address
    except ValueError:
        raise ResultNotAllowed("the file's address is malformed") from None
    raise ResultNotAllowed("the file's address is not a plain http:// or https:// one")


def _usable(response: aiohttp.ClientResponse) -> Download:
    if response.status not in {200, 206, 416}:
        response.close()
        raise DownloadFailed(f"the file's host responded {response.status}", response.status)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        response.close()
        raise DownloadFailed("the file's host compressed the file although asked not to")
    return Download(response)


def _failed(exc: Exception) -> DownloadFailed:
    """The texts of these errors may contain the address."""
    if isinstance(exc, TimeoutError):
        return DownloadFailed("the file's host took too long", is_timeout=True)
    if isinstance(exc, aiohttp.ClientPayloadError):
        return DownloadFailed("the transfer broke off")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return DownloadFailed("the file's host could not be reached")
    return DownloadFailed("the request to the file's host failed")
