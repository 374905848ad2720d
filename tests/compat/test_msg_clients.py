"""Calls as RH_CozeSDK and runninghub-api (a client for Node) make them: by `msg`, as clients of another host.

Both name RunningHub as Host whatever the address, take an id only if it has 19 digits, start nothing while
`currentTaskCounts` is not "0", and go on polling for whatever `msg` is neither `success` nor a failure.
"""

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from simulator.workflows import TEXT_TO_IMAGE_WORKFLOW
from tests.compat.conftest import TOKEN, Json, last_sent, switch, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

HEADERS = {
    "User-Agent": "Apifox/1.0.0 (https://apifox.com)",
    "Content-Type": "application/json",
    "Accept": "*/*",
    "Host": "www.runninghub.cn",
    "Connection": "keep-alive",
}
WAITING = {"APIKEY_TASK_IS_QUEUED", "APIKEY_TASK_IS_RUNNING"}


async def post(client: httpx.AsyncClient, path: str, **members: object) -> Json:
    response = await client.post(path, json=members, headers=HEADERS)
    assert response.status_code == 200
    reply: Json = response.json()
    return reply


async def outputs(client: httpx.AsyncClient, task_id: str) -> list[Json]:
    return await until(
        lambda: post(client, "/task/openapi/outputs", taskId=task_id, apiKey=TOKEN),
        lambda reply: reply["msg"] not in WAITING,
    )


async def test_a_workflow_runs_when_the_account_is_free(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, queue_time=0.1, run_time=0.1)
    account = await post(guarded, "/uc/openapi/accountStatus", apikey=TOKEN)
    created = await post(
        guarded,
        "/task/openapi/create",
        workflowId=TEXT_TO_IMAGE_WORKFLOW,
        apiKey=TOKEN,
        nodeInfoList=[{"nodeId": "6", "fieldName": "text", "fieldValue": "a cat"}],
    )
    task_id = created["data"]["taskId"]
    busy = await post(guarded, "/uc/openapi/accountStatus", apikey=TOKEN)
    *waited, last = await outputs(guarded, task_id)

    assert account["data"]["currentTaskCounts"] == "0"
    assert busy["data"]["currentTaskCounts"] == "1"
    assert (task_id.isdigit(), len(task_id)) == (True, 19)
    assert {reply["msg"] for reply in waited} <= WAITING
    assert last["msg"] == "success"
    assert last["data"][0]["fileUrl"].startswith("http")


async def test_a_failure_is_found_by_its_text_and_has_a_reason(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, fail_next=1)
    run = await post(guarded, "/task/openapi/ai-app/run", webappId=TEXT_TO_IMAGE, apiKey=TOKEN)
    *_, last = await outputs(guarded, run["data"]["taskId"])

    assert last["msg"] == "APIKEY_TASK_STATUS_ERROR"
    assert last["data"]["failedReason"]["exception_message"] == "Allocation on device"


async def test_a_picture_is_uploaded_with_the_key_behind_it(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    """form-data of Node: the file first, and no length of its parts."""
    response = await guarded.post(
        "/task/openapi/upload",
        files=[
            ("file", ("image.png", b"some bytes", "image/png")),
            ("apiKey", (None, TOKEN)),
            ("fileType", (None, "image")),
        ],
        headers={"Host": "www.runninghub.cn"},
    )
    name = response.json()["data"]["fileName"]
    value = {"nodeId": "10", "fieldName": "image", "fieldValue": name}
    await post(
        guarded,
        "/task/openapi/create",
        workflowId=TEXT_TO_IMAGE_WORKFLOW,
        apiKey=TOKEN,
        workflow='{"10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}}}',
        nodeInfoList=[value],
    )
    sent = (await last_sent(board, "create"))["members"]

    assert (response.json()["code"], response.json()["msg"]) == (0, "success")
    assert sent["nodeInfoList"] == [value]


@pytest.mark.parametrize("value", ["a cat", 8, 0.7, True, None, ["a", 1], {"x": 1}])
async def test_a_value_of_any_type_is_sent_as_a_text(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient, value: object
) -> None:
    """With the members that such a client leaves empty."""
    node = {"nodeId": 15, "fieldName": "text", "fieldValue": value, "fieldData": None, "description": None}
    reply = await post(
        guarded,
        "/task/openapi/ai-app/run",
        webappId=int(TEXT_TO_IMAGE),
        apiKey=TOKEN,
        nodeInfoList=[node],
        instanceType=None,
        accessPassword="",
        usePersonalQueue="false",
        webhookUrl="",
    )
    (sent,) = (await last_sent(board, "run"))["members"]["nodeInfoList"]

    assert (reply["code"], reply["msg"]) == (0, "success")
    assert isinstance(sent["fieldValue"], str)
    assert sent["nodeId"] == "15"
