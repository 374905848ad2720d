"""A TCP proxy in front of a PostgreSQL server: leads elsewhere, cuts connections, or breaks at a commit."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit, urlunsplit

BEGIN = b"BEGIN;"
COMMIT = b"COMMIT\0"


class Break(Enum):
    """When a connection breaks: before the server has received a COMMIT, or after it has committed."""

    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()


class Link:
    """One connection through the proxy, and what was sent since its last BEGIN."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.sent = bytearray()
        self.drops_reply = False

    def abort(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Relays connections to `target_port`, which may change for new ones.

    While `breaks` is set, every COMMIT breaks its connection; `broken` is what these transactions sent.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.breaks: Break | None = None
        self.broken: list[bytes] = []
        self._links: set[Link] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        if self._server:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def address(self, url: str) -> str:
        """The address of the same database through the proxy."""
        assert self._server is not None
        parts = urlsplit(url)
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(parts._replace(netloc=re.sub(r":\d+$", f":{port}", parts.netloc)))

    def cut(self) -> None:
        """Break all connections, as a network does that fails for a moment."""
        for link in self._links:
            link.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server_writer)
        self._links.add(link)
        try:
            with suppress(OSError):
                await asyncio.gather(self._requests(link, reader), self._replies(link, server_reader))
        finally:
            link.abort()
            self._links.discard(link)

    async def _requests(self, link: Link, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(65_536):
            if BEGIN in chunk:
                link.sent.clear()
            link.sent += chunk
            if self.breaks and COMMIT in chunk:
                self.broken.append(bytes(link.sent))
                if self.breaks is Break.BEFORE_COMMIT:
                    break
                link.drops_reply = True
            link.server.write(chunk)
            await link.server.drain()
        link.abort()

    async def _replies(self, link: Link, reader: asyncio.StreamReader) -> None:
        while (chunk := await reader.read(65_536)) and not link.drops_reply:
            link.client.write(chunk)
            await link.client.drain()
        link.abort()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
