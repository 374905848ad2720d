"""Clients of v1: the key in the body, envelopes with codes, and a loop over /outputs."""

import json
from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from simulator.workflows import GRAPHS, NEVER_RUN_WORKFLOW
from tests.compat.conftest import TOKEN, Json, Serve, last_sent, switch, until
from tests.processes import API_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

KEY = {"apiKey": TOKEN}
APP = TEXT_TO_IMAGE
WORKFLOW = next(number for number in GRAPHS if number != NEVER_RUN_WORKFLOW)
DONE = {0, 805}


async def post(client: httpx.AsyncClient, path: str, **members: Any) -> Json:
    response = await client.post(path, json=KEY | members)
    assert response.status_code == 200
    reply: Json = response.json()
    assert set(reply) == {"code", "msg", "errorMessages", "data"}
    return reply


async def run(client: httpx.AsyncClient, **members: Any) -> Json:
    reply = await post(client, "/task/openapi/ai-app/run", **{"webappId": APP, "nodeInfoList": []} | members)
    assert (reply["code"], reply["msg"]) == (0, "success")
    data: Json = reply["data"]
    return data


async def outputs(client: httpx.AsyncClient, task_id: Any) -> list[Json]:
    """What a loop sees until the task ends."""
    return await until(
        lambda: post(client, "/task/openapi/outputs", taskId=task_id), lambda reply: reply["code"] in DONE
    )


async def test_a_run_is_polled_to_its_results(guarded: httpx.AsyncClient) -> None:
    started = await run(guarded)
    *_, last = await outputs(guarded, started["taskId"])
    status = await post(guarded, "/task/openapi/status", taskId=started["taskId"])

    assert started["taskId"].isdecimal()
    assert len(started["taskId"]) == 19
    assert json.loads(started["promptTips"])["node_errors"] == {}
    assert (last["code"], last["msg"]) == (0, "success")
    assert {"fileUrl", "fileType", "taskCostTime", "nodeId", "consumeCoins"} <= set(last["data"][0])
    assert (status["code"], status["data"]) == (0, "SUCCESS")


async def test_a_task_is_queued_then_running_then_has_results(
    service: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, queue_time=0.3, run_time=0.3)
    started = await run(service)
    replies = await outputs(service, started["taskId"])

    assert (started["taskStatus"], started["netWssUrl"]) == ("QUEUED", None)
    assert [(reply["code"], reply["msg"]) for reply in replies if reply["code"]] == [
        (813, "APIKEY_TASK_IS_QUEUED"),
        (804, "APIKEY_TASK_IS_RUNNING"),
    ]
    assert replies[0]["data"] is None
    assert replies[1]["data"]["netWssUrl"].startswith("ws://127.0.0.1")


async def test_a_task_that_waits_here_is_accepted_as_queued(serve: Serve, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=30)
    async with serve(max_concurrent_tasks=1) as service:
        first, second = await run(service), await run(service)
        status = await post(service, "/task/openapi/status", taskId=second["taskId"])

    assert (first["taskStatus"], second["taskStatus"]) == ("RUNNING", "QUEUED")
    assert second["netWssUrl"] is None
    assert status["data"] == "QUEUED"


async def test_too_many_waiting_tasks_are_421(serve: Serve, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=30)
    async with serve(max_concurrent_tasks=1, max_pending_tasks=1) as service:
        await run(service)
        await run(service)
        reply = await post(service, "/task/openapi/ai-app/run", webappId=APP)

    assert (reply["code"], reply["msg"], reply["data"]) == (421, "TASK_QUEUE_MAXED", None)


async def test_numbers_are_accepted_as_ids(service: httpx.AsyncClient) -> None:
    started = await run(
        service,
        webappId=int(APP),
        nodeInfoList=[{"nodeId": 15, "fieldName": "text", "fieldValue": 8}],
    )
    replies = await outputs(service, int(started["taskId"]))

    assert replies[-1]["code"] == 0


async def test_the_whole_node_list_can_be_sent_back(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    demo = await guarded.get("/api/webapp/apiCallDemo", params=KEY | {"webappId": APP})
    nodes = demo.json()["data"]["nodeInfoList"]
    started = await run(guarded, nodeInfoList=nodes)
    sent = (await last_sent(board, "run"))["members"]

    assert "fieldData" in nodes[0]
    assert (await outputs(guarded, started["taskId"]))[-1]["code"] == 0
    assert set(sent["nodeInfoList"][0]) == {"nodeId", "fieldName", "fieldType", "fieldValue"}


async def test_a_run_without_a_node_list_takes_the_saved_values(service: httpx.AsyncClient) -> None:
    reply = await post(service, "/task/openapi/ai-app/run", webappId=APP)

    assert (await outputs(service, reply["data"]["taskId"]))[-1]["code"] == 0


async def test_a_workflow_is_created(guarded: httpx.AsyncClient) -> None:
    graph = await post(guarded, "/api/openapi/getJsonApiFormat", workflowId=WORKFLOW)
    reply = await post(guarded, "/task/openapi/create", workflowId=WORKFLOW, addMetadata=True)

    assert graph["msg"] == "SUCCESS"
    assert json.loads(graph["data"]["prompt"]) == GRAPHS[WORKFLOW]
    assert (await outputs(guarded, reply["data"]["taskId"]))[-1]["code"] == 0


async def test_a_workflow_that_is_sent_along_replaces_the_stored_one(
    service: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    graph = json.dumps(GRAPHS[WORKFLOW])
    reply = await post(service, "/task/openapi/create", workflowId=WORKFLOW, workflow=graph)

    assert reply["code"] == 0
    assert (await last_sent(board, "create"))["members"]["workflow"] == graph


async def test_a_cancelled_task_is_805_without_a_reason(
    service: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, run_time=30)
    started = await run(service)
    cancelled = await post(service, "/task/openapi/cancel", taskId=started["taskId"])
    again = await post(service, "/task/openapi/cancel", taskId=started["taskId"])
    *_, last = await outputs(service, started["taskId"])

    assert cancelled == again == {"code": 0, "msg": "success", "errorMessages": None, "data": None}
    assert (last["code"], last["msg"]) == (805, "APIKEY_TASK_STATUS_ERROR")
    assert last["data"] == {"failedReason": None}


async def test_a_failed_task_is_805_with_its_reason(
    service: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, fail_next=1)
    started = await run(service)
    *_, last = await outputs(service, started["taskId"])

    assert last["code"] == 805
    assert last["data"]["failedReason"]["exception_message"] == "Allocation on device"


async def test_a_value_for_no_field_is_433_and_nothing_is_paid(
    service: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    node = {"nodeId": "15", "fieldName": "txt", "fieldValue": "a cat"}
    reply = await post(service, "/task/openapi/ai-app/run", webappId=APP, nodeInfoList=[node])
    counters = (await board.get("/simulator/counters")).json()

    assert reply["code"] == 433
    assert reply["msg"].startswith("VALIDATE_PROMPT_FAILED")
    assert set(reply["data"]["node_errors"]) == {"15"}
    assert set(json.loads(reply["data"]["promptTips"])["node_errors"]) == {"15"}
    assert counters["runs_accepted"] + counters["runs_refused"] == 0


@pytest.mark.parametrize("task_id", ["8999999999999999999", "1900000000000000001"])
async def test_an_unknown_task_is_807(service: httpx.AsyncClient, task_id: str) -> None:
    for path in ("outputs", "status", "cancel"):
        reply = await post(service, f"/task/openapi/{path}", taskId=task_id)

        assert (reply["code"], reply["msg"]) == (807, "APIKEY_TASK_NOT_FOUND")


async def test_a_missing_or_strange_task_id_is_301(service: httpx.AsyncClient) -> None:
    none = await post(service, "/task/openapi/outputs")
    zero = await post(service, "/task/openapi/outputs", taskId=0)

    assert (none["code"], none["msg"]) == (301, "taskId cannot be empty")
    assert (zero["code"], zero["msg"]) == (301, "taskId must be positive")


async def test_an_unknown_app_and_workflow_have_runninghubs_codes(service: httpx.AsyncClient) -> None:
    demo = (await service.get("/api/webapp/apiCallDemo", params={"webappId": "12"})).json()
    started = await post(service, "/task/openapi/ai-app/run", webappId="12", nodeInfoList=[])
    workflow = await post(service, "/task/openapi/create", workflowId="12")

    assert (demo["code"], demo["msg"]) == (1, "webapp not exists")
    assert (started["code"], started["msg"]) == (1, "webapp not exists")
    assert (workflow["code"], workflow["msg"]) == (380, "WORKFLOW_NOT_EXISTS")


async def test_a_run_whose_reply_is_lost_is_accepted_and_running(
    service: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, faults={"run": {"kind": "lost_reply", "times": 1}})
    started = await run(service)
    polled = await post(service, "/task/openapi/outputs", taskId=started["taskId"])
    task = (await service.get(f"/tasks/{started['taskId']}")).json()

    assert task["status"] == "SUBMIT_UNKNOWN"
    assert started["taskStatus"] == "RUNNING"
    assert (polled["code"], polled["msg"]) == (804, "APIKEY_TASK_IS_RUNNING")


async def test_runninghubs_id_is_accepted_and_ours_is_returned(service: httpx.AsyncClient) -> None:
    started = await run(service)
    await outputs(service, started["taskId"])
    task = (await service.get(f"/tasks/{started['taskId']}")).json()
    reply = await post(service, "/task/openapi/outputs", taskId=task["runninghub_task_id"])
    query = await service.post("/openapi/v2/query", json={"taskId": task["runninghub_task_id"]})

    assert reply["code"] == 0
    assert query.json()["taskId"] == started["taskId"]


async def test_a_kept_file_has_an_absolute_address_of_this_service(service: httpx.AsyncClient) -> None:
    started = await run(service)

    async def poll() -> Json:
        return await post(service, "/task/openapi/outputs", taskId=started["taskId"])

    *_, last = await until(poll, lambda r: bool(r["data"]) and "/tasks/" in str(r["data"]))
    url = last["data"][0]["fileUrl"]
    download = await service.get(url)

    assert url.startswith("http://127.0.0.1/tasks/")
    assert download.status_code == 200
    assert download.headers["content-type"] == "image/png"


async def test_the_accounts_balance_is_passed_on_in_strings(guarded: httpx.AsyncClient) -> None:
    response = await guarded.post("/uc/openapi/accountStatus", json={"apikey": TOKEN})

    assert response.json()["data"] == {
        "remainCoins": "99999",
        "currentTaskCounts": "0",
        "remainMoney": None,
        "currency": None,
        "apiType": "NORMAL",
    }


async def test_nothing_that_a_client_receives_contains_the_key(guarded: httpx.AsyncClient) -> None:
    demo = await guarded.get("/api/webapp/apiCallDemo", params=KEY | {"webappId": APP})
    listed = await guarded.post("/openapi/v2/aiapp/list", json=KEY | {"current": 1, "size": 10})

    assert demo.json()["code"] == listed.json()["code"] == 0
    assert "curl" not in demo.json()["data"]
    assert API_KEY not in demo.text + listed.text
