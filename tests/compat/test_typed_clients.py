"""Clients that decode every reply into types, as Go's and Kotlin's do: another type is an error to them.

The types are those of runninghub-sdk-go (runninghub/types.go). Whatever is null stays unset there.
"""

from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from simulator.workflows import TEXT_TO_IMAGE_WORKFLOW
from tests.compat.conftest import TOKEN, Json, Serve, switch, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

Types = dict[str, Any]

ENVELOPE: Types = {"code": int, "msg": str}
LIST_ENVELOPE: Types = {"code": int, "message": str}
STARTED: Types = {"netWssUrl": str, "taskId": str, "clientId": str, "taskStatus": str, "promptTips": str}
OUTPUT: Types = {"fileUrl": str, "fileType": str, "taskCostTime": str, "nodeId": str, "consumeCoins": str}
FAILED_REASON: Types = {
    "exception_type": str,
    "exception_message": str,
    "node_name": str,
    "node_id": str,
    "traceback": str,
}
ACCOUNT: Types = {"remainCoins": str, "currentTaskCounts": str, "apiType": str}
QUEUE: Types = {"apiKeyType": str, "runningCount": str, "queuedCount": str, "totalCurrentTasks": str}
UPLOADED: Types = {"type": str, "download_url": str, "fileName": str, "size": str}
USAGE: Types = dict.fromkeys(("thirdPartyConsumeMoney", "consumeMoney", "consumeCoins", "taskCostTime"), str)
TASK: Types = {
    "taskId": str,
    "status": str,
    "errorCode": str,
    "errorMessage": str,
    "results": [{"url": str, "nodeId": str, "outputType": str, "text": str}],
    "clientId": str,
    "promptTips": str,
    "failedReason": dict,
    "usage": USAGE,
}


def decoded(value: Any, types: Any, at: str = "reply") -> Any:
    """The value, whose members have these types or are null."""
    if isinstance(types, dict):
        assert isinstance(value, dict), at
        for name, kind in types.items():
            if value.get(name) is not None:
                decoded(value[name], kind, f"{at}.{name}")
    elif isinstance(types, list):
        assert isinstance(value, list), at
        for item in value:
            decoded(item, types[0], f"{at}[]")
    else:
        assert type(value) is types, f"{at} is {value!r}"
    return value


class Client:
    """Sends the key in the header and, on v1, in the body too."""

    def __init__(self, service: httpx.AsyncClient, key: str) -> None:
        self._service = service
        self._key = key

    async def call(self, method: str, path: str, types: Types, **request: Any) -> Json:
        headers = {"Authorization": f"Bearer {self._key}"}
        response = await self._service.request(method, path, headers=headers, **request)
        assert response.status_code == 200
        reply: Json = decoded(response.json(), types)
        return reply

    async def v1(self, path: str, types: Any, **members: Any) -> Any:
        body = {"apiKey": self._key, **members}
        return (await self.call("POST", path, {**ENVELOPE, "data": types}, json=body))["data"]

    async def v2(self, path: str, **members: Any) -> Json:
        return await self.call("POST", f"/openapi/v2/{path}", TASK, json=members)

    async def ended(self, task_id: str) -> Json:
        *_, last = await until(
            lambda: self.v2("query", taskId=task_id), lambda reply: reply["status"] in {"SUCCESS", "FAILED"}
        )
        return last


@pytest.fixture(params=["an access token", "a user's token"])
async def client(serve: Serve, request: pytest.FixtureRequest) -> Any:
    async with serve(access_tokens=(TOKEN,)) as service:
        key = TOKEN
        if request.param == "a user's token":
            created = await service.post(
                "/users",
                headers={"Authorization": f"Bearer {TOKEN}"},
                json={"name": "anne", "limits": {"coins_per_month": 100, "max_active_tasks": 3}},
            )
            key = created.raise_for_status().json()["token"]
        yield Client(service, key)


async def test_a_run_and_its_outputs_have_their_types(client: Client, board: httpx.AsyncClient) -> None:
    started = await client.v1(
        "/task/openapi/ai-app/run", STARTED, webappId=TEXT_TO_IMAGE, usePersonalQueue=False
    )
    last = await client.ended(started["taskId"])
    outputs = await client.v1("/task/openapi/outputs", [OUTPUT], taskId=started["taskId"])
    status = await client.v1("/task/openapi/status", str, taskId=started["taskId"])

    assert 0 < int(started["taskId"]) < 2**63
    assert (last["status"], status) == ("SUCCESS", "SUCCESS")
    assert len(outputs) == len(last["results"]) > 0


async def test_a_failure_and_a_cancel_have_their_types(client: Client, board: httpx.AsyncClient) -> None:
    await switch(board, fail_next=1)
    failed = await client.v2(f"run/workflow/{TEXT_TO_IMAGE_WORKFLOW}", nodeInfoList=[], addMetadata=True)
    last = await client.ended(failed["taskId"])
    reason = await client.v1(
        "/task/openapi/outputs", {"failedReason": FAILED_REASON}, taskId=failed["taskId"]
    )
    await switch(board, run_time=30)
    running = await client.v2(f"run/ai-app/{TEXT_TO_IMAGE}", nodeInfoList=[], instanceType="plus")
    waited = await client.v1("/task/openapi/outputs", {"netWssUrl": str}, taskId=running["taskId"])
    cancelled = await client.call(
        "POST", "/task/openapi/cancel", ENVELOPE, json={"taskId": running["taskId"]}
    )
    end = await client.ended(running["taskId"])

    assert (last["status"], last["errorCode"]) == ("FAILED", "805")
    assert reason["failedReason"]["exception_message"] == "Allocation on device"
    assert waited["netWssUrl"].startswith("ws")
    assert (cancelled["code"], end["status"]) == (0, "FAILED")


async def test_errors_have_their_types(client: Client) -> None:
    unknown = await client.v2("query", taskId="1900000000000000001")
    no_app = await client.v2("run/ai-app/12", nodeInfoList=[])
    value = {"nodeId": "15", "fieldName": "txt", "fieldValue": "a cat"}
    invalid = await client.v2(f"run/ai-app/{TEXT_TO_IMAGE}", nodeInfoList=[value])
    no_path = await client.call("POST", "/task/openapi/getWebhookDetail", ENVELOPE, json={"taskId": "1"})

    assert [reply["errorCode"] for reply in (unknown, no_app, invalid)] == ["807", "901", "433"]
    assert no_path["code"] == 412


@pytest.mark.parametrize("dialect", ["strings", "numbers"])
async def test_the_account_and_the_queue_have_their_types(
    client: Client, board: httpx.AsyncClient, dialect: str
) -> None:
    """RunningHub returns the queue's numbers as either; a user's own are of the same type."""
    await switch(board, queue_status=dialect, run_time=30)
    await client.v2(f"run/ai-app/{TEXT_TO_IMAGE}", nodeInfoList=[])
    account = await client.v1("/uc/openapi/accountStatus", ACCOUNT)
    queue = QUEUE if dialect == "strings" else dict.fromkeys(QUEUE, int) | {"apiKeyType": str}
    reply = await client.call("GET", "/openapi/v2/queue/status", {**LIST_ENVELOPE, "data": queue})

    assert account["currentTaskCounts"] == "1"
    assert str(reply["data"]["totalCurrentTasks"]) == "1"


async def test_an_upload_has_its_types(client: Client) -> None:
    path, file = "/openapi/v2/media/upload/binary", {"file": ("a.png", b"some bytes", "image/png")}
    reply = await client.call("POST", path, {**LIST_ENVELOPE, "data": UPLOADED}, files=file)

    assert (reply["code"], reply["data"]["size"]) == (0, "10")
