"""The connections to RunningHub, against a server that answers as the test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from metrics import Metrics
from runninghub.client import Pools, RunningHubClient, open_pools

pytestmark = pytest.mark.anyio

BODY = b'{"code": 0, "msg": "success", "data": null}'
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: session=of-the-first; Path=/\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The server's address, and the heads of the requests that it got."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head.lower())
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            writer.write(REPLY)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        # By name: cookies of addresses in numbers are kept by nobody.
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}", heads


def client(pools: Pools, url: str, key: str) -> RunningHubClient:
    return RunningHubClient(pools, url, key, 5.0, Metrics())


async def test_a_cookie_for_one_account_is_sent_with_no_other_call() -> None:
    async with answering() as (url, heads), open_pools(5.0) as pools:
        for key in ("a" * 32, "b" * 32, "a" * 32):
            reply = await client(pools, url, key).free_call("POST", "/uc/openapi/accountStatus", json={})
            assert reply.code == 0

    assert len(heads) == 3
    assert not any(b"\r\ncookie:" in head for head in heads)


async def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering() as (url, heads):
        monkeypatch.setenv("HTTP_PROXY", url)
        async with open_pools(5.0) as pools:
            reply = await client(pools, "http://runninghub.test", "a" * 32).free_call("POST", "/x", json={})

    assert reply.code == 0
    assert heads[0].startswith(b"post http://runninghub.test/x http/1.1")
