"""`webhookUrl`: a client built for RunningHub is called by this service when its task ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web

from simulator.apps import TEXT_TO_IMAGE
from simulator.workflows import GRAPHS, NEVER_RUN_WORKFLOW
from tests.compat.conftest import TOKEN, Json, Serve, switch
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
WEBHOOKS = {"access_tokens": (TOKEN,), "webhook_secret": SECRET, "webhook_allow_private": True}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WORKFLOW = next(number for number in GRAPHS if number != NEVER_RUN_WORKFLOW)
V1_RUN: Json = {"path": "/task/openapi/ai-app/run", "webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
V1_CREATE: Json = {"path": "/task/openapi/create", "workflowId": WORKFLOW}
V2_RUN: Json = {"path": f"/openapi/v2/run/ai-app/{TEXT_TO_IMAGE}", "nodeInfoList": []}
V2_MODEL: Json = {"path": "/openapi/v2/vendor/some-model/text-to-image", "prompt": "a cat"}


class Receiver:
    """What a client's address was sent; it answers 200, or the statuses that a test gives."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.received: asyncio.Queue[Json] = asyncio.Queue()
        self.headers: Any = {}
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.headers = request.headers
        self.received.put_nowait({"path": request.path_qs, **await request.json()})
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def next(self) -> Json:
        async with asyncio.timeout(20):
            return await self.received.get()


@asynccontextmanager
async def listening() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/?secret=x"
    yield receiver
    await runner.cleanup()


async def start(service: httpx.AsyncClient, call: Json, url: Any) -> Json:
    """The reply to a run; its errors are in `code` and `msg`, in v2 `errorCode` and `errorMessage`."""
    members = {name: value for name, value in call.items() if name != "path"}
    reply: Json = (
        await service.post(call["path"], json={"webhookUrl": url, **members}, headers=BEARER)
    ).json()
    return reply


async def deliveries(service: httpx.AsyncClient, task_id: str) -> list[Json]:
    found: list[Json] = (await service.get(f"/tasks/{task_id}/deliveries", headers=BEARER)).json()[
        "deliveries"
    ]
    return found


@pytest.mark.parametrize("call", [V1_RUN, V1_CREATE, V2_RUN, V2_MODEL], ids=lambda call: call["path"])
async def test_the_end_is_posted_as_runninghub_posts_it(
    serve: Serve, board: httpx.AsyncClient, call: Json
) -> None:
    async with listening() as receiver, serve(**WEBHOOKS) as service:
        reply = await start(service, call, receiver.url)
        task_id = reply["taskId"] if "taskId" in reply else reply["data"]["taskId"]
        posted = await receiver.next()
        body = {"taskId": task_id}
        outputs = await service.post("/task/openapi/outputs", json=body, headers=BEARER)
        own_secret = (await board.get("/simulator/last-request", params={"endpoint": "outputs"})).text

    assert posted == {
        "path": "/hook/?secret=x",
        "event": "TASK_END",
        "taskId": task_id,
        "eventData": posted["eventData"],
    }
    event = json.loads(posted["eventData"])
    assert (event["code"], event["msg"]) == (0, "success")
    assert isinstance(event["data"][0]["taskCostTime"], int)
    same = ("nodeId", "fileType", "consumeCoins")
    assert [[r[name] for name in same] for r in event["data"]] == [
        [r[name] for name in same] for r in outputs.json()["data"]
    ]
    assert "secret=x" not in own_secret
    assert API_KEY not in json.dumps(posted) + str(receiver.headers)
    assert TOKEN not in json.dumps(posted) + str(receiver.headers)


async def test_a_failed_task_is_posted_with_its_reason(serve: Serve, board: httpx.AsyncClient) -> None:
    await switch(board, fail_next=1)
    async with listening() as receiver, serve(**WEBHOOKS) as service:
        await start(service, V1_RUN, receiver.url)
        event = json.loads((await receiver.next())["eventData"])

    assert (event["code"], event["msg"]) == (805, "APIKEY_TASK_STATUS_ERROR")
    assert event["data"]["failedReason"]["exception_message"] == "Allocation on device"


async def test_a_cancelled_task_is_posted_without_a_reason(serve: Serve, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=30)
    async with listening() as receiver, serve(**WEBHOOKS) as service:
        task_id = (await start(service, V1_RUN, receiver.url))["data"]["taskId"]
        await service.post("/task/openapi/cancel", json={"taskId": task_id}, headers=BEARER)
        posted = await receiver.next()

    assert posted["taskId"] == task_id
    assert json.loads(posted["eventData"]) == {
        "code": 805,
        "msg": "APIKEY_TASK_STATUS_ERROR",
        "data": {"failedReason": None},
    }


async def test_a_task_whose_run_reply_was_lost_is_posted_when_it_has_been_settled(
    serve: Serve, board: httpx.AsyncClient
) -> None:
    await switch(board, faults={"run": {"kind": "lost_reply", "times": 1}})
    async with listening() as receiver, serve(**WEBHOOKS) as service:
        task_id = (await start(service, V1_RUN, receiver.url))["data"]["taskId"]
        before = await deliveries(service, task_id)
        run = (await board.get("/simulator/tasks")).json()[0]["taskId"]
        body = {"runninghub_task_id": run}
        settled = await service.post(f"/tasks/{task_id}/settle", json=body, headers=BEARER)
        posted = await receiver.next()

    assert before == []
    assert settled.status_code == 200
    assert posted["taskId"] == task_id
    assert json.loads(posted["eventData"])["code"] == 0


async def test_a_delivery_that_was_not_received_is_listed_and_repeated(serve: Serve) -> None:
    async with listening() as receiver, serve(**WEBHOOKS) as service:
        receiver.statuses = [500]
        task_id = (await start(service, V1_RUN, receiver.url))["data"]["taskId"]
        first = await receiver.next()
        (delivery,) = await deliveries(service, task_id)
        path = f"/tasks/{task_id}/deliveries/{delivery['id']}/redeliver"
        resent = await service.post(path, headers=BEARER)
        second = await receiver.next()

    assert delivery["type"] == "task.succeeded"
    assert resent.status_code == 202
    assert first == second


async def test_the_same_run_again_keeps_the_format(serve: Serve) -> None:
    async with listening() as receiver, serve(**WEBHOOKS) as service:
        task_id = (await start(service, V1_RUN, receiver.url))["data"]["taskId"]
        await receiver.next()
        again = (await service.post(f"/tasks/{task_id}/rerun", headers=BEARER)).json()["task_id"]
        posted = await receiver.next()
        returned = (
            await service.post("/openapi/v2/query", json={"taskId": posted["taskId"]}, headers=BEARER)
        ).json()

    assert posted["event"] == "TASK_END"
    assert returned["clientId"] == again


async def test_a_webhook_without_a_secret_is_301_and_nothing_is_paid(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    refused = await start(guarded, V1_RUN, "https://receiver.example/hook")
    in_v2 = await start(guarded, V2_MODEL, "https://receiver.example/hook")
    counters = (await board.get("/simulator/counters")).json()

    assert (refused["code"], "WEBHOOK_SECRET" in refused["msg"]) == (301, True)
    assert (in_v2["errorCode"], "WEBHOOK_SECRET" in in_v2["errorMessage"]) == ("301", True)
    assert counters["runs_accepted"] == 0


@pytest.mark.parametrize("url", ["ftp://receiver.example/x", "no address", "https://a.example/#b", 7, ["x"]])
async def test_what_is_no_address_is_301(serve: Serve, url: Any) -> None:
    async with serve(**WEBHOOKS) as service:
        replies = [await start(service, call, url) for call in (V1_RUN, V1_CREATE)]
        model = await start(service, V2_MODEL, url)

    assert [reply["code"] for reply in replies] == [301, 301]
    assert all(reply["msg"].startswith("webhookUrl: ") for reply in replies)
    assert model["errorCode"] == "301"


async def test_a_private_address_is_refused(serve: Serve, board: httpx.AsyncClient) -> None:
    async with serve(**WEBHOOKS | {"webhook_allow_private": False}) as service:
        refused = await start(service, V1_RUN, "http://127.0.0.1:9/hook")
        counters = (await board.get("/simulator/counters")).json()

    assert (refused["code"], "private address" in refused["msg"]) == (1000, True)
    assert counters["runs_accepted"] == 0


@pytest.mark.parametrize("url", ["", None])
async def test_an_empty_address_is_none(guarded: httpx.AsyncClient, url: str | None) -> None:
    started = await start(guarded, V1_RUN, url)

    assert started["code"] == 0
    assert await deliveries(guarded, started["data"]["taskId"]) == []
