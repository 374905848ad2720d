"""Starting an app: what is accepted, what is refused, and how many tasks run at once."""

import json
import re
from typing import Any

import httpx
import pytest

from simulator import apps
from simulator.app import create_app
from tests.simulator.calls import Clock, counters, envelope, poll, run, run_body, start, switch

pytestmark = pytest.mark.anyio


async def test_a_task_is_queued_then_runs_then_has_results(client: httpx.AsyncClient, clock: Clock) -> None:
    reply = await run(client)
    task_id = reply["data"]["taskId"]
    assert reply["data"] == {
        "netWssUrl": None,
        "taskId": task_id,
        "clientId": reply["data"]["clientId"],
        "taskStatus": "QUEUED",
        "promptTips": '{"result": true, "error": null, "outputs_to_execute": ["9"], "node_errors": {}}',
    }
    assert re.fullmatch(r"\d{19}", task_id)
    assert await poll(client, task_id) == envelope(813, "APIKEY_TASK_IS_QUEUED")
    assert await poll(client, task_id, "status") == envelope(0, "", "QUEUED")
    clock.now += 1
    running = await poll(client, task_id)
    assert (running["code"], running["msg"]) == (804, "APIKEY_TASK_IS_RUNNING")
    assert running["data"]["netWssUrl"].startswith("ws://rh/ws/c_instance?")
    clock.now += 27
    result = {
        "fileType": "png",
        "taskCostTime": "27",
        "nodeId": "9",
        "thirdPartyConsumeMoney": None,
        "consumeMoney": None,
        "consumeCoins": "5",
    }
    ended = await poll(client, task_id)
    (file,) = ended["data"]
    assert file["fileUrl"].startswith(f"http://rh/files/{task_id}_00001.png?q-expires=")
    assert ended == envelope(0, "success", [result | {"fileUrl": file["fileUrl"]}])
    assert await poll(client, task_id, "status") == envelope(0, "", "SUCCESS")


async def test_tasks_are_listed_in_the_order_of_their_start(client: httpx.AsyncClient, clock: Clock) -> None:
    item = {"nodeId": "15", "fieldName": "text", "fieldValue": "a dog"}
    first = await start(client, apps.TEXT_TO_IMAGE, item, instanceType="plus")
    second = await start(client, apps.WITH_PASSWORD, accessPassword=apps.ACCESS_PASSWORD)
    clock.now += 2
    await poll(client, first)
    tasks = (await client.get("/simulator/tasks")).json()
    begun = tasks[0].pop("started_at"), tasks[1].pop("started_at")
    assert begun == tuple(sorted(begun))
    assert tasks[0] == {
        "taskId": first,
        "kind": "webapp",
        "webappId": apps.TEXT_TO_IMAGE,
        "workflowId": None,
        "key_ends_with": "key",
        "nodeInfoList": [item],
        "webhookUrl": None,
        "instanceType": "plus",
        "accessPasswordGiven": False,
        "status": "RUNNING",
        "finished_at": None,
        "polls": 1,
    }
    assert (tasks[1]["taskId"], tasks[1]["accessPasswordGiven"]) == (second, True)


@pytest.mark.parametrize(
    ("dialect", "status", "code"),
    [
        ("421", 200, 421),
        ("415", 200, 415),
        ("1520", 200, 1520),
        ("1003", 200, 1003),
        ("814", 200, 814),
        ("http_429", 429, None),
    ],
)
async def test_a_run_over_the_slots_is_refused_and_starts_nothing(
    client: httpx.AsyncClient, clock: Clock, dialect: str, status: int, code: int | None
) -> None:
    await switch(client, slots=2, slots_dialect=dialect)
    for _ in range(2):
        await start(client)
    over = await client.post("/task/openapi/ai-app/run", json=run_body())
    assert over.status_code == status
    assert code is None or over.json()["code"] == code
    assert (await run(client, apiKey="another key"))["code"] == 0
    counted = await counters(client)
    names = ("runs_accepted", "runs_refused", "active", "max_active")
    assert [counted[name] for name in names] == [3, 1, 3, 3]
    clock.now += 28
    await start(client)
    assert (await counters(client))["active"] == 1


async def test_without_slots_any_number_runs(client: httpx.AsyncClient) -> None:
    await switch(client, slots=0)
    for _ in range(50):
        await start(client)
    assert (await counters(client))["max_active"] == 50


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"apiKey": ""}, envelope(301, "apiKey cannot be empty")),
        ({"webappId": None}, envelope(301, "webappId cannot be empty")),
        ({"webappId": "rounded?"}, envelope(301, "PARAMS_INVALID")),
        ({"nodeInfoList": "none"}, envelope(301, "PARAMS_INVALID")),
        ({"webhookUrl": 5}, envelope(301, "PARAMS_INVALID")),
        ({"webappId": 1992755951447109600}, envelope(1, "webapp not exists")),
        ({"webappId": apps.WITH_PASSWORD}, envelope(301, "accessPassword is incorrect")),
    ],
)
async def test_a_run_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, members: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert await run(client, **members) == expected
    assert (await counters(client))["runs_refused"] == 1


async def test_a_body_that_is_no_object_is_refused(client: httpx.AsyncClient) -> None:
    for body in ("", "[]", "{", "[" * 100_000):
        reply = await client.post("/task/openapi/ai-app/run", content=body)
        assert reply.json() == envelope(301, "apiKey cannot be empty")


@pytest.mark.parametrize(
    ("item", "msg"),
    [
        (
            {"nodeId": "99", "fieldName": "text", "fieldValue": "x"},
            "NODE_INFO_MISMATCH(nodeId=99, fieldName=text, reason=node_not_found_in_workflow)",
        ),
        (
            {"nodeId": "15", "fieldName": "prompt", "fieldValue": "x"},
            "NODE_INFO_MISMATCH(nodeId=15, fieldName=prompt, reason=field_not_found_in_node_inputs)",
        ),
    ],
)
async def test_an_unknown_node_or_field_is_803_in_both_dialects(
    client: httpx.AsyncClient, item: dict[str, str], msg: str
) -> None:
    assert await run(client, apps.TEXT_TO_IMAGE, item) == envelope(803, msg)
    await switch(client, node_mismatch_dialect="old")
    assert await run(client, apps.TEXT_TO_IMAGE, item) == envelope(803, "APIKEY_INVALID_NODE_INFO")


@pytest.mark.parametrize(
    ("node_id", "field_name", "value", "fault"),
    [
        (
            "60",
            "resolution",
            "8k",
            "value_not_in_list: Value not in list: resolution: '8k' not in ['1k', '2k', '4k']",
        ),
        (
            "52",
            "model",
            "flux",
            "value_not_in_list: Value not in list: "
            "model: 'flux' not in ['flux-kontext-pro', 'flux-kontext-max']",
        ),
        ("41", "select", "2.0", "value_not_in_list: Value not in list: select: '2.0' not in ['2', '1']"),
        ("3", "steps", 61, "value_bigger_than_max: Value 61 bigger than max of 60: steps"),
        ("3", "seed", "-1", "value_smaller_than_min: Value -1 smaller than min of 0: seed"),
        ("3", "denoise", "much", "invalid_input_type: Failed to convert an input value to a FLOAT value:"),
        ("70", "value", "True", "invalid_input_type: Failed to convert an input value to a BOOLEAN value:"),
    ],
)
async def test_a_value_that_does_not_fit_is_433_and_says_what_would(
    client: httpx.AsyncClient, node_id: str, field_name: str, value: Any, fault: str
) -> None:
    item = {"nodeId": node_id, "fieldName": field_name, "fieldValue": value}
    reply = await run(client, apps.IMAGE_TO_IMAGE, item)
    assert (reply["code"], reply["data"]) == (433, None)
    assert fault in reply["msg"]
    await switch(client, validation_dialect="data")
    reply = await run(client, apps.IMAGE_TO_IMAGE, item)
    assert list(reply["data"]["node_errors"]) == [node_id]
    await switch(client, validation_dialect="promptTips")
    tips = (await run(client, apps.IMAGE_TO_IMAGE, item))["data"]["promptTips"]
    assert list(json.loads(tips)["node_errors"]) == [node_id]


@pytest.mark.parametrize(
    ("node_id", "field_name", "value"),
    [("3", "seed", 2**64 - 1), ("41", "select", "1"), ("70", "value", True), ("3", "denoise", "0.1")],
)
async def test_a_value_at_its_bound_is_accepted(
    client: httpx.AsyncClient, node_id: str, field_name: str, value: Any
) -> None:
    item = {"nodeId": node_id, "fieldName": field_name, "fieldValue": value}
    await start(client, apps.IMAGE_TO_IMAGE, item)


async def test_only_the_given_keys_are_known() -> None:
    app = create_app(keys=frozenset({"good"}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rh") as client:
        unknown = envelope(806, "APIKEY_USER_NOT_FOUND")
        assert await run(client, apiKey="bad") == unknown
        assert (await client.post("/uc/openapi/accountStatus", json={"apikey": "bad"})).json() == unknown
        account = await client.post("/uc/openapi/accountStatus", json={"apikey": "good"})
        assert account.json()["data"] == {
            "remainCoins": "99999",
            "currentTaskCounts": "0",
            "remainMoney": None,
            "currency": None,
            "apiType": "NORMAL",
        }
        both = await client.post("/uc/openapi/accountStatus", json={"apiKey": "good"})
        assert both.json() == account.json()
        neither = await client.post("/uc/openapi/accountStatus", json={})
        assert neither.json() == envelope(301, "apikey cannot be empty")


@pytest.mark.parametrize("items", [None, "", []])
async def test_a_run_may_leave_the_node_list_out(client: httpx.AsyncClient, items: Any) -> None:
    await start(client, nodeInfoList=items)
    body = run_body()
    del body["nodeInfoList"]
    assert (await client.post("/task/openapi/ai-app/run", json=body)).json()["code"] == 0


async def test_a_slash_too_many_is_another_path(client: httpx.AsyncClient) -> None:
    response = await client.post("/task/openapi/outputs/", json={})

    assert (response.status_code, response.json()["code"]) == (200, 412)
