"""Forms over HTTP: a plain workflow, and `values` in place of the node list, as a front end sends them."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from logs import request_id
from tests.conftest import RUNNINGHUB_URL, WEBAPP_ID, RunningHub, answer
from tests.in_process import serving

pytestmark = pytest.mark.anyio

WORKFLOW_ID = "1850925505116598274"
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"steps": 20, "cfg": 8, "model": ["4", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
}
APP_NODE = {
    "nodeId": "9",
    "fieldName": "steps",
    "fieldType": "INT",
    "fieldValue": "20",
    "fieldData": '["INT", {"min": 1, "max": 50}]',
}


@pytest.fixture
def runninghub() -> Iterator[RunningHub]:
    """The calls to RunningHub are faked, those to the service are not."""
    with respx.mock(using="httpx", assert_all_called=False) as router:
        router.route(host="127.0.0.1").pass_through()
        yield RunningHub(router)


@pytest.fixture
async def service(runninghub: RunningHub, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    runninghub.form.respond(json=answer(0, {"webappName": "An app", "nodeInfoList": [APP_NODE]}))
    runninghub.workflow.respond(json=answer(0, {"prompt": json.dumps(GRAPH)}))
    async with serving(RUNNINGHUB_URL, tmp_path) as client:
        yield client
    request_id.set(None)  # without a server, requests and tests share one context


def sent(call: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(call.calls.last.request.content)
    return body


async def test_the_inputs_of_a_workflow_are_a_form(service: httpx.AsyncClient) -> None:
    response = await service.post("/get_node_info", json={"workflowId": WORKFLOW_ID})
    form = response.json()

    assert response.status_code == 200, response.text
    assert form["workflowId"] == WORKFLOW_ID
    assert "webappId" not in form
    assert [
        (field["nodeId"], field["fieldName"], field["input"]["value"]) for field in form["nodeInfoList"]
    ] == [
        ("3", "steps", 20),
        ("3", "cfg", 8),
        ("6", "text", "a cat"),
    ]


async def test_a_workflow_that_runninghub_does_not_know_is_not_found(
    service: httpx.AsyncClient, runninghub: RunningHub
) -> None:
    runninghub.workflow.respond(json=answer(380))
    response = await service.post("/get_node_info", json={"workflowId": WORKFLOW_ID})

    assert (response.status_code, response.json()["code"]) == (404, "workflow_not_found")


@pytest.mark.parametrize("body", [{}, {"webappId": WEBAPP_ID, "workflowId": WORKFLOW_ID}])
async def test_a_form_is_of_either_an_app_or_a_workflow(service: httpx.AsyncClient, body: Any) -> None:
    response = await service.post("/get_node_info", json=body)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_the_values_of_a_workflow_are_sent_as_its_node_list(
    service: httpx.AsyncClient, runninghub: RunningHub
) -> None:
    values = {"3.cfg": 7.5, "6.text": "a dog"}
    response = await service.post("/submit_task", json={"workflowId": WORKFLOW_ID, "values": values})

    assert response.status_code == 202, response.text
    body = sent(runninghub.create)
    assert body["workflowId"] == WORKFLOW_ID
    assert body["nodeInfoList"] == [
        {"nodeId": "3", "fieldName": "cfg", "fieldValue": "7.5"},
        {"nodeId": "6", "fieldName": "text", "fieldValue": "a dog"},
    ]


async def test_the_values_of_an_app_are_sent_as_its_node_list(
    service: httpx.AsyncClient, runninghub: RunningHub
) -> None:
    response = await service.post("/submit_task", json={"webappId": WEBAPP_ID, "values": {"9.steps": 8}})

    assert response.status_code == 202, response.text
    assert sent(runninghub.run)["nodeInfoList"] == [
        {"nodeId": "9", "fieldName": "steps", "fieldType": "INT", "fieldValue": "8"}
    ]


@pytest.mark.parametrize(
    ("target", "values", "error"),
    [
        (
            {"webappId": WEBAPP_ID},
            {"9.steps": 51},
            {"nodeId": "9", "fieldName": "steps", "msg": "Must be at most 50."},
        ),
        (
            {"webappId": WEBAPP_ID},
            {"9.stpes": 8},
            {"nodeId": "9", "fieldName": "stpes", "msg": "The app has no such field."},
        ),
        (
            {"workflowId": WORKFLOW_ID},
            {"3.cfg": "many"},
            {"nodeId": "3", "fieldName": "cfg", "msg": "Must be a number."},
        ),
        (
            {"workflowId": WORKFLOW_ID},
            {"3.model": "x"},
            {"nodeId": "3", "fieldName": "model", "msg": "The workflow has no such field."},
        ),
    ],
)
async def test_invalid_values_are_rejected_before_anything_is_paid(
    service: httpx.AsyncClient,
    runninghub: RunningHub,
    target: dict[str, str],
    values: dict[str, Any],
    error: dict[str, str],
) -> None:
    response = await service.post("/submit_task", json={**target, "values": values})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_node_info")
    found = response.json()["errors"]
    assert [{name: each[name] for name in error} for each in found] == [error]
    assert runninghub.run.call_count + runninghub.create.call_count == 0
    assert (await service.get("/tasks")).json()["tasks"] == []
