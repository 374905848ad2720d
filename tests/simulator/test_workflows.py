"""Plain workflows: their graph, and runs that change its values or all of it."""

import json
from typing import Any

import httpx
import pytest

from simulator.workflows import MEDIA_WORKFLOW, NEVER_RUN_WORKFLOW, TEXT_TO_IMAGE_WORKFLOW
from tests.simulator.calls import Clock, Json, counters, envelope, poll, switch

pytestmark = pytest.mark.anyio


async def graph_of(client: httpx.AsyncClient, workflow_id: Any) -> Json:
    body = {"apiKey": "key", "workflowId": workflow_id}
    response = await client.post("/api/openapi/getJsonApiFormat", json=body)
    return response.json()  # type: ignore[no-any-return]


async def create(client: httpx.AsyncClient, workflow_id: Any, *items: Json, **members: Any) -> Json:
    body = {"apiKey": "key", "workflowId": workflow_id, "nodeInfoList": list(items), **members}
    return (await client.post("/task/openapi/create", json=body)).json()  # type: ignore[no-any-return]


async def test_a_workflow_is_a_graph_in_api_format_inside_a_string(client: httpx.AsyncClient) -> None:
    response = await graph_of(client, MEDIA_WORKFLOW)
    assert (response["code"], response["msg"]) == (0, "SUCCESS")
    graph = json.loads(response["data"]["prompt"])
    inputs = graph["150:5"]["inputs"]
    assert inputs["toggles"] == {"__value__": [False, True]}
    assert inputs["image"] == ["10", 0]
    assert (graph["10"]["class_type"], graph["10"]["_meta"]) == ("LoadImage", {"title": "上传图片"})


@pytest.mark.parametrize(
    ("workflow_id", "refusal"),
    [
        (None, envelope(301, "workflowId cannot be empty")),
        ("mine", envelope(301, "PARAMS_INVALID")),
        ("1994208430000000999", envelope(380, "WORKFLOW_NOT_EXISTS")),
        (NEVER_RUN_WORKFLOW, envelope(810, "WORKFLOW_NOT_SAVED_OR_NOT_RUNNING")),
    ],
)
async def test_a_workflow_that_cannot_be_used_is_refused_by_both_calls(
    client: httpx.AsyncClient, workflow_id: Any, refusal: Json
) -> None:
    assert await graph_of(client, workflow_id) == refusal
    assert await create(client, workflow_id) == refusal
    assert (await counters(client))["runs_refused"] == 1


async def test_a_workflow_runs_to_its_results_with_or_without_a_node_list(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    item = {"nodeId": 6, "fieldName": "text", "fieldValue": "a cat"}
    task_id = (await create(client, int(TEXT_TO_IMAGE_WORKFLOW), item))["data"]["taskId"]
    body = {"apiKey": "key", "workflowId": MEDIA_WORKFLOW}
    other = (await client.post("/task/openapi/create", json=body)).json()["data"]["taskId"]
    clock.now += 60
    assert [file["nodeId"] for file in (await poll(client, task_id))["data"]] == ["9"]
    assert [file["fileType"] for file in (await poll(client, other))["data"]] == ["mp4", "txt"]
    first, second = (await client.get("/simulator/tasks")).json()
    assert (first["kind"], first["workflowId"], first["webappId"]) == (
        "workflow",
        TEXT_TO_IMAGE_WORKFLOW,
        None,
    )
    assert (first["nodeInfoList"], second["nodeInfoList"]) == ([item], None)


async def test_values_are_checked_against_the_graph(client: httpx.AsyncClient) -> None:
    unknown = await create(
        client, TEXT_TO_IMAGE_WORKFLOW, {"nodeId": "6", "fieldName": "prompt", "fieldValue": "x"}
    )
    reason = "reason=field_not_found_in_node_inputs"
    assert unknown == envelope(803, f"NODE_INFO_MISMATCH(nodeId=6, fieldName=prompt, {reason})")
    wrong = await create(
        client, TEXT_TO_IMAGE_WORKFLOW, {"nodeId": "3", "fieldName": "steps", "fieldValue": "many"}
    )
    assert wrong["code"] == 433


async def test_another_graph_replaces_the_stored_one(client: httpx.AsyncClient, clock: Clock) -> None:
    graph = {"70": {"class_type": "SaveAudio", "inputs": {"text": "hello"}}}
    item = {"nodeId": "70", "fieldName": "text", "fieldValue": "good day"}
    response = await create(client, TEXT_TO_IMAGE_WORKFLOW, item, workflow=json.dumps(graph))
    clock.now += 60
    (result,) = (await poll(client, response["data"]["taskId"]))["data"]
    assert (result["nodeId"], result["fileType"]) == ("70", "wav")


@pytest.mark.parametrize("graph", ["{", "[1]", '{"70": {}}', "{}"])
async def test_a_text_that_is_no_graph_is_433(client: httpx.AsyncClient, graph: str) -> None:
    response = await create(client, TEXT_TO_IMAGE_WORKFLOW, workflow=graph)
    assert response == envelope(433, "VALIDATE_PROMPT_FAILED")


async def test_create_is_a_paid_call_and_the_graph_a_free_one(client: httpx.AsyncClient) -> None:
    await switch(client, faults={"paid": {"kind": "code", "code": 421}})
    assert (await create(client, TEXT_TO_IMAGE_WORKFLOW))["code"] == 421
    assert (await graph_of(client, TEXT_TO_IMAGE_WORKFLOW))["code"] == 0
    assert (await counters(client))["calls"] == {"create": 1, "getJsonApiFormat": 1}
