"""The WebSocket at `netWssUrl`: ComfyUI's messages for a task that runs here."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest
import websockets

from simulator.apps import TEXT_TO_IMAGE
from tests.compat.conftest import TOKEN, Json, switch
from tests.processes import Running, start_service

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

RUN = {"apiKey": TOKEN, "webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
TOKENS = {"ACCESS_TOKENS": TOKEN, "POLL_INTERVAL_S": "0.05"}


async def started(client: httpx.AsyncClient) -> Json:
    reply: Json = (await client.post("/task/openapi/ai-app/run", json=RUN)).json()
    data: Json = reply["data"]
    return data


async def messages(url: str) -> list[Json]:
    """All that comes until the service closes."""
    async with asyncio.timeout(20), websockets.connect(url, proxy=None) as socket:
        return [json.loads(frame) async for frame in socket]


async def test_a_task_is_followed_to_its_end(
    simulator: Running, board: httpx.AsyncClient, tmp_path: Path
) -> None:
    await switch(board, run_time=0.5)
    with start_service(simulator.url, tmp_path / "tasks.db", env=TOKENS) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            task = await started(client)
            frames = await messages(task["netWssUrl"])
        log = service.log.read_text()

    assert task["netWssUrl"].startswith(service.url.replace("http", "ws"))
    assert [frame["type"] for frame in frames] == [
        *("status", "execution_start", "executing"),
        *("execution_success", "executing"),
    ]
    assert frames[0]["data"]["sid"] == task["clientId"]
    assert frames[2]["data"]["node"] is not None
    assert frames[-1]["data"]["node"] is None
    assert "signature" not in log
    assert TOKEN not in log


async def test_a_cancelled_task_ends_its_stream(
    simulator: Running, board: httpx.AsyncClient, tmp_path: Path
) -> None:
    await switch(board, run_time=60)
    with start_service(simulator.url, tmp_path / "tasks.db", env=TOKENS) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            task = await started(client)
            following = asyncio.create_task(messages(task["netWssUrl"]))
            await client.post("/task/openapi/cancel", json={"apiKey": TOKEN, "taskId": int(task["taskId"])})
            frames = await following

    assert [frame["type"] for frame in frames[-2:]] == ["execution_interrupted", "executing"]


async def test_an_address_that_was_changed_is_refused(
    simulator: Running, board: httpx.AsyncClient, tmp_path: Path
) -> None:
    await switch(board, run_time=60)
    with start_service(simulator.url, tmp_path / "tasks.db", env=TOKENS) as service:
        async with httpx.AsyncClient(base_url=service.url) as client:
            first, second = await started(client), await started(client)
        address, _, _ = first["netWssUrl"].partition("?")
        for wrong in (
            address,
            first["netWssUrl"].replace(first["clientId"], second["clientId"]),
            first["netWssUrl"].replace("expires=", "expires=1"),
            first["netWssUrl"][:-1],
        ):
            with pytest.raises(websockets.InvalidStatus):
                await messages(wrong)


async def test_runninghubs_steps_are_passed_on_and_shown_with_the_task(
    simulator: Running, board: httpx.AsyncClient, tmp_path: Path
) -> None:
    await switch(board, run_time=2.5)
    env = TOKENS | {"PROGRESS": "true"}
    with start_service(simulator.url, tmp_path / "tasks.db", env=env) as service:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as client:
            task = await started(client)
            following = asyncio.create_task(messages(task["netWssUrl"]))
            events = await client.get(f"/tasks/{task['taskId']}/events")
            frames = await following
        log = service.log.read_text()

    steps = [frame["data"] for frame in frames if frame["type"] == "progress"]
    tasks = [json.loads(line[6:]) for line in events.text.splitlines() if line.startswith("data: ")]
    shown = [task["progress"] for task in tasks]
    assert steps
    assert all(0 < step["value"] <= step["max"] for step in steps)
    assert {"value": steps[0]["value"], "max": steps[0]["max"], "node_id": steps[0]["node"]} in shown
    assert [(task["status"], task["progress"]) for task in tasks][-1] == ("SUCCESS", None)
    assert [frame["type"] for frame in frames[-2:]] == ["execution_success", "executing"]
    assert "Rh-Comfy-Auth" not in log + events.text + json.dumps(frames)
