"""RunningHub's WebSocket: which addresses are followed, what is read from it, and what breaks it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from models import TaskProgress
from runninghub.progress_stream import ProgressStreams, StreamFailed, allowed_stream, is_end, step_of

pytestmark = pytest.mark.anyio

CN = "https://www.runninghub.cn"
LOCAL = "http://127.0.0.1:9000"
Speak = Callable[[web.WebSocketResponse], Awaitable[Any]]


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("wss://www.runninghub.cn:443/ws/c_instance?c_host=10.0.0.1&target=http://x:1", CN),
        ("wss://ws.runninghub.cn/ws", CN),
        ("wss://runninghub.cn/ws", CN),
        ("ws://127.0.0.1:9001/ws", LOCAL),
        ("wss://127.0.0.1:9001/ws", LOCAL),
    ],
)
def test_a_stream_of_the_accounts_own_host_is_followed(url: str, base_url: str) -> None:
    assert allowed_stream(url, base_url) == url


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("wss://evil.example/ws", CN),
        ("wss://www.runninghub.cn.evil.example/ws", CN),
        ("wss://evilrunninghub.cn/ws", CN),
        ("wss://www.runninghub.ai/ws", CN),
        ("wss://user:password@www.runninghub.cn/ws", CN),
        ("wss://evil.example\\@www.runninghub.cn/ws", CN),
        ("ws://www.runninghub.cn/ws", CN),
        ("https://www.runninghub.cn/ws", CN),
        ("wss://www.runninghub.cn/ws\r\nX: y", CN),
        ("wss://www.runninghub.cn/w s", CN),
        ("wss://www.runninghub.cn:99999/ws", CN),
        ("wss://[www.runninghub.cn/ws", CN),
        ("wss://www.runninghub.cn/" + "x" * 5000, CN),
        ("ws://1.127.0.0.1/ws", LOCAL),
        ("ws://169.254.169.254/ws", LOCAL),
        ("ws://a.localhost/ws", "http://localhost:9000"),
        ("", CN),
        (None, CN),
        (7, CN),
    ],
)
def test_no_other_address_is_followed(url: object, base_url: str) -> None:
    assert allowed_stream(url, base_url) is None


STRANGE_STEPS: tuple[Any, ...] = (
    {"value": 21, "max": 20, "node": "3"},
    {"value": 0, "max": 0, "node": "3"},
    {"value": -1, "max": 20, "node": "3"},
    {"value": True, "max": 20, "node": "3"},
    {"value": "5", "max": 20, "node": "3"},
    {"value": 5, "max": float("inf")},
    {"value": 5, "max": 10**30},
    {"max": 20},
    [],
    None,
)


@pytest.mark.parametrize(
    ("data", "step"),
    [
        ({"value": 5, "max": 20, "node": "3"}, TaskProgress(5, 20, "3")),
        ({"value": 5.0, "max": 20.0, "node": 3}, TaskProgress(5, 20, "3")),
        ({"value": 0, "max": 20}, TaskProgress(0, 20, None)),
        ({"value": 1, "max": 1, "node": "x" * 100}, TaskProgress(1, 1, "x" * 64)),
        *((data, None) for data in STRANGE_STEPS),
    ],
)
def test_a_step_is_read_from_a_progress_message(data: Any, step: TaskProgress | None) -> None:
    assert step_of({"type": "progress", "data": data}) == step


@pytest.mark.parametrize(
    ("message", "has_ended"),
    [
        ({"type": "execution_success", "data": {}}, True),
        ({"type": "execution_error", "data": None}, True),
        ({"type": "execution_interrupted"}, True),
        ({"type": "executing", "data": {"node": None}}, True),
        ({"type": "executing", "data": {"node": "3"}}, False),
        ({"type": "executing", "data": {}}, False),
        ({"type": "executing", "data": None}, False),
        ({"type": "progress", "data": {"node": None}}, False),
        ({}, False),
    ],
)
def test_a_run_ends_with_a_message_of_its_own(message: dict[str, Any], has_ended: bool) -> None:
    assert is_end(message) is has_ended


class Host:
    """A WebSocket server on loopback; `requests` are all that reached it."""

    def __init__(self, speak: Speak | None, redirect_to: str | None) -> None:
        self.requests: list[web.BaseRequest] = []
        self.url = ""
        self._speak = speak
        self._redirect_to = redirect_to

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if self._redirect_to:
            return web.Response(status=302, headers={"Location": self._redirect_to, "Set-Cookie": "a=b"})
        if self._speak is None:
            return web.Response(status=403)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self._speak(socket)
        return socket


@asynccontextmanager
async def hosting(speak: Speak | None = None, redirect_to: str | None = None) -> AsyncIterator[Host]:
    host = Host(speak, redirect_to)
    runner = web.ServerRunner(web.Server(host.handle), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws?Rh-Comfy-Auth=t&target=http://x:1"
    yield host
    await runner.cleanup()


async def steps_of(url: str, into: list[TaskProgress]) -> None:
    async with asyncio.timeout(10), ProgressStreams() as streams:
        async for step in streams.steps(url):
            into.append(step)


def progress(value: int) -> str:
    return json.dumps({"type": "progress", "data": {"value": value, "max": 3, "node": "3"}})


async def test_steps_are_read_until_the_run_ends() -> None:
    async def speak(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"a preview")
        for text in ("no JSON", "[]", '{"type": 7}', "", progress(1), progress(9), progress(2)):
            await socket.send_str(text)
        await socket.send_str('{"type": "execution_success", "data": {}}')
        await socket.send_str(progress(3))

    steps: list[TaskProgress] = []
    async with hosting(speak) as host:
        await steps_of(host.url, steps)
        (request,) = host.requests

    assert steps == [TaskProgress(1, 3, "3"), TaskProgress(2, 3, "3")]
    assert request.path_qs == "/ws?Rh-Comfy-Auth=t&target=http://x:1"
    assert {"Authorization", "Cookie"} & set(request.headers) == set()


async def test_a_stream_that_closes_early_is_a_failure_after_its_steps() -> None:
    async def speak(socket: web.WebSocketResponse) -> None:
        await socket.send_str(progress(1))
        await socket.close(code=1011)

    steps: list[TaskProgress] = []
    async with hosting(speak) as host:
        with pytest.raises(StreamFailed) as failed:
            await steps_of(host.url, steps)

    assert steps == [TaskProgress(1, 3, "3")]
    assert "127.0.0.1" not in str(failed.value)


async def test_a_message_that_is_too_large_ends_the_stream() -> None:
    async def speak(socket: web.WebSocketResponse) -> None:
        await socket.send_str("x" * (5 * 2**20))
        await socket.receive()

    async with hosting(speak) as host:
        with pytest.raises(StreamFailed):
            await steps_of(host.url, [])


async def test_a_refused_stream_is_a_failure() -> None:
    async with hosting() as host:
        with pytest.raises(StreamFailed):
            await steps_of(host.url, [])


async def test_a_host_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(StreamFailed):
        await steps_of("ws://127.0.0.1:1/ws", [])


async def test_a_redirect_is_not_followed() -> None:
    async with hosting() as other:
        target = other.url.replace("ws://", "http://")
        async with hosting(redirect_to=target) as host:
            with pytest.raises(StreamFailed):
                await steps_of(host.url, [])

        assert other.requests == []
