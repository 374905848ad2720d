"""Calls as n8n-nodes-runninghub-api 0.1.1 makes them; it can be had as source only, not from npm.

It names RunningHub as Host whatever the address, has the key in the body as `apiKey`, also for accountStatus,
sends a workflow with or without a list, and branches on nothing but the HTTP status.
"""

from typing import Any

import httpx
import pytest

from simulator.workflows import TEXT_TO_IMAGE_WORKFLOW
from tests.compat.conftest import TOKEN, Json, switch, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

HEADERS = {"Host": "www.runninghub.cn", "Content-Type": "application/json"}


async def call(client: httpx.AsyncClient, path: str, **members: Any) -> Json:
    response = await client.post(path, json={"apiKey": TOKEN, **members}, headers=HEADERS)
    assert response.status_code == 200
    reply: Json = response.json()
    return reply


async def create(client: httpx.AsyncClient, **members: Any) -> Json:
    reply = await call(client, "/task/openapi/create", workflowId=TEXT_TO_IMAGE_WORKFLOW, **members)
    assert (reply["code"], reply["msg"]) == (0, "success")
    data: Json = reply["data"]
    return data


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"nodeInfoList": []},
        {"nodeInfoList": [{"nodeId": 6, "fieldName": "text", "fieldValue": "a cat"}]},
        {"nodeInfoList": [{"nodeId": "3", "fieldName": "steps", "fieldValue": 8}]},
    ],
)
async def test_a_workflow_is_created_and_its_output_fetched(
    guarded: httpx.AsyncClient, members: Json
) -> None:
    task_id = (await create(guarded, **members))["taskId"]
    states = await until(
        lambda: call(guarded, "/task/openapi/status", taskId=task_id),
        lambda reply: reply["data"] == "SUCCESS",
    )
    output = await call(guarded, "/task/openapi/outputs", taskId=task_id)

    assert {state["data"] for state in states} <= {"QUEUED", "RUNNING", "SUCCESS"}
    assert output["data"][0]["fileType"] == "png"


async def test_a_task_is_cancelled(guarded: httpx.AsyncClient, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=30)
    task_id = (await create(guarded))["taskId"]
    cancelled = await call(guarded, "/task/openapi/cancel", taskId=task_id)
    states = await until(
        lambda: call(guarded, "/task/openapi/status", taskId=task_id), lambda reply: reply["data"] == "FAILED"
    )

    assert cancelled["code"] == 0
    assert states[-1]["data"] == "FAILED"


async def test_the_account_is_read_with_the_other_spelling(guarded: httpx.AsyncClient) -> None:
    account = await call(guarded, "/uc/openapi/accountStatus")

    assert account["data"]["currentTaskCounts"] == "0"


async def test_the_workflow_is_read(guarded: httpx.AsyncClient) -> None:
    workflow = await call(guarded, "/api/openapi/getJsonApiFormat", workflowId=TEXT_TO_IMAGE_WORKFLOW)

    assert workflow["data"]["prompt"].startswith("{")


async def test_the_test_of_the_credentials_gets_an_envelope(guarded: httpx.AsyncClient) -> None:
    """It sends a GET with a body to a route that is a POST, and wants HTTP 200."""
    body = {"apikey": TOKEN, "extension": "all"}
    response = await guarded.request("GET", "/uc/openapi/accountStatus", json=body, headers=HEADERS)

    assert (response.status_code, response.json()["code"]) == (200, 412)
