"""The stream of ComfyUI messages at `netWssUrl`, called as an ASGI app."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from simulator import apps
from simulator.app import create_app
from simulator.switches import Switches
from tests.simulator.calls import Json, client_of, poll, run, switch

pytestmark = pytest.mark.anyio


class Stream:
    """A WebSocket client of an app in this process."""

    def __init__(self, app: FastAPI, url: str) -> None:
        self.to_app: asyncio.Queue[Json] = asyncio.Queue()
        self.from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.to_app.put_nowait({"type": "websocket.connect"})
        address = httpx.URL(url)
        scope: Json = {
            "type": "websocket",
            "path": address.path,
            "query_string": address.query,
            "headers": [],
            "scheme": "ws",
            "server": ("rh", 80),
            "subprotocols": [],
        }
        self._task = asyncio.create_task(app(scope, self.to_app.get, self.from_app.put))

    async def next(self) -> Json:
        """The next frame, or how the stream was closed."""
        event = await asyncio.wait_for(self.from_app.get(), 5)
        return json.loads(event["text"]) if "text" in event else dict(event)

    async def rest(self) -> list[Json]:
        """All that comes until the stream is closed, and the close."""
        events = [await self.next()]
        while events[-1]["type"] != "websocket.close":
            events.append(await self.next())
        await self._task
        return events

    async def leave(self) -> None:
        """Disconnect, and wait for the app to notice."""
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self._task, 5)


@pytest.fixture
def app() -> FastAPI:
    return create_app(Switches(queue_time=0, run_time=0))


async def url_of_a_run(client: httpx.AsyncClient, *args: Any) -> tuple[str, str]:
    data = (await run(client, *args))["data"]
    return data["netWssUrl"], data["taskId"]


async def test_a_stream_reports_every_node_and_ends(client: httpx.AsyncClient, app: FastAPI) -> None:
    url, task_id = await url_of_a_run(client, apps.AUDIO)
    accept, *messages, close = await Stream(app, url).rest()
    assert accept["type"] == "websocket.accept"
    assert [message["type"] for message in messages] == [
        "status",
        "execution_start",
        "execution_cached",
        *["executing", *["progress"] * 4] * 4,
        "executed",
        "execution_success",
        "executing",
    ]
    nodes = [message["data"]["node"] for message in messages if message["type"] == "executing"]
    assert nodes == ["12", "13", "14", "20", None]
    progress = [message["data"] for message in messages if message["type"] == "progress"]
    assert [(step["value"], step["max"], step["node"]) for step in progress[:4]] == [
        (value, 4, "12") for value in (1, 2, 3, 4)
    ]
    (executed,) = [message["data"] for message in messages if message["type"] == "executed"]
    assert executed["node"] == "20"
    assert executed["output"]["images"][0]["filename"] == f"{task_id}_00001.wav"
    assert close["code"] == 1000


async def test_a_failed_task_reports_its_error(client: httpx.AsyncClient, app: FastAPI) -> None:
    url, _ = await url_of_a_run(client, apps.ALWAYS_FAILS)
    messages = await Stream(app, url).rest()
    error, executing, _ = messages[-3:]
    assert (error["type"], error["data"]["node_id"]) == ("execution_error", "3")
    assert executing["data"]["node"] is None


async def test_messages_come_when_they_are_due_until_a_cancel(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    await switch(client, run_time=600)
    url, task_id = await url_of_a_run(client)
    stream = Stream(app, url)
    types = [(await stream.next())["type"] for _ in range(5)]
    assert types[1:] == ["status", "execution_start", "execution_cached", "executing"]
    assert stream.from_app.empty()
    await poll(client, task_id, "cancel")
    interrupted, close = await stream.rest()
    assert (interrupted["type"], close["code"]) == ("execution_interrupted", 1000)


async def test_a_client_may_send_something_and_leave(client: httpx.AsyncClient, app: FastAPI) -> None:
    await switch(client, run_time=600)
    url, _ = await url_of_a_run(client)
    stream = Stream(app, url)
    for _ in range(5):
        await stream.next()
    stream.to_app.put_nowait({"type": "websocket.receive", "text": "hello"})
    await stream.leave()


async def test_a_stream_may_break_halfway(client: httpx.AsyncClient, app: FastAPI) -> None:
    await switch(client, websocket="breaks")
    url, _ = await url_of_a_run(client)
    *messages, close = await Stream(app, url).rest()
    assert close["code"] == 1011
    assert [message["type"] for message in messages][-1] in {"executing", "progress"}


async def test_a_stream_needs_its_token_and_a_task(client: httpx.AsyncClient, app: FastAPI) -> None:
    url, _ = await url_of_a_run(client)
    for wrong in (url.replace("Auth=", "Auth=x"), url.replace("clientId=", "clientId=x")):
        (close,) = await Stream(app, wrong).rest()
        assert close["code"] == 1008
    await switch(client, websocket="refused")
    (close,) = await Stream(app, url).rest()
    assert close["code"] == 1008


async def test_each_simulator_has_streams_of_its_own_tasks(app: FastAPI) -> None:
    async with client_of(create_app(Switches(queue_time=0))) as other:
        url, _ = await url_of_a_run(other)
        (close,) = await Stream(app, url).rest()
        assert close["code"] == 1008
