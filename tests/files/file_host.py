"""A bare server on loopback in the place of RunningHub's file hosts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class FileHost:
    """A bare server on loopback that sends what a test says, and the heads of what it was asked."""

    respond: Callable[[str], bytes] = lambda head: response(b"a cat", "Content-Type: image/png")
    is_slow: bool = False
    heads: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.respond(head))
        if self.is_slow:
            await reader.read()
        writer.close()

    def url(self, path: str = "/x.png?sign=a%2Fb", *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


@asynccontextmanager
async def file_host() -> AsyncIterator[FileHost]:
    host = FileHost()
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:
        host.port = server.sockets[0].getsockname()[1]
        yield host
