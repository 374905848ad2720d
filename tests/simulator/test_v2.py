"""The v2 calls: runs, queries, uploads and standard models."""

from typing import Any

import httpx
import pytest

from simulator import apps
from simulator.app import create_app
from simulator.workflows import TEXT_TO_IMAGE_WORKFLOW
from tests.simulator.calls import (
    Clock,
    Json,
    client_of,
    counters,
    envelope,
    poll,
    start,
    switch,
    task_object,
    v2,
)

pytestmark = pytest.mark.anyio
RUN_APP = f"run/ai-app/{apps.TEXT_TO_IMAGE}"
MODEL = "rhart-image/text-to-image"


async def query(client: httpx.AsyncClient, task_id: Any) -> Json:
    return await v2(client, "query", {"taskId": task_id})


async def test_an_app_runs_to_its_results_and_its_cost(client: httpx.AsyncClient, clock: Clock) -> None:
    item = {"nodeId": 15, "fieldName": "text", "fieldValue": "a cat"}
    started = await v2(client, RUN_APP, {"nodeInfoList": [item], "usePersonalQueue": "false"})
    task_id, client_id, tips = started["taskId"], started["clientId"], started["promptTips"]
    known = {"taskId": task_id, "clientId": client_id, "promptTips": tips}
    assert tips == '{"result": true, "error": null, "outputs_to_execute": ["9"], "node_errors": {}}'
    assert started == task_object(**known, status="QUEUED")
    assert await query(client, task_id) == task_object(**known, status="QUEUED")
    clock.now += 2
    assert await query(client, int(task_id)) == task_object(**known, status="RUNNING")
    clock.now += 60
    (file,) = (await poll(client, task_id))["data"]
    assert await query(client, task_id) == task_object(
        **known,
        status="SUCCESS",
        results=[{"url": file["fileUrl"], "nodeId": "9", "outputType": "png", "text": None}],
        usage={
            "consumeMoney": None,
            "consumeCoins": "5",
            "taskCostTime": "27",
            "thirdPartyConsumeMoney": None,
        },
    )


async def test_a_text_result_stands_in_the_response(client: httpx.AsyncClient, clock: Clock) -> None:
    task_id = (await v2(client, f"run/ai-app/{apps.IMAGE_TO_IMAGE}", {}))["taskId"]
    clock.now += 60
    picture, text = (await query(client, task_id))["results"]
    assert (picture["outputType"], picture["text"]) == ("png", None)
    assert (text["outputType"], text["url"]) == ("txt", None)
    assert "3.steps = 20\n" in text["text"]


async def test_a_workflow_runs_and_a_task_of_v1_is_found_too(client: httpx.AsyncClient) -> None:
    workflow = await v2(client, f"run/workflow/{TEXT_TO_IMAGE_WORKFLOW}", {"nodeInfoList": []})
    assert (await query(client, workflow["taskId"]))["status"] == "QUEUED"
    assert (await query(client, await start(client)))["status"] == "QUEUED"


async def test_a_failed_task_has_its_reason_and_a_cancelled_one_no_status(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    failing, cancelled = await start(client, apps.ALWAYS_FAILS), await start(client)
    await poll(client, cancelled, "cancel")
    clock.now += 60
    failed = await query(client, failing)
    assert (failed["status"], failed["errorCode"]) == ("FAILED", "805")
    assert failed["failedReason"]["node_name"] == "KSampler"
    assert (await query(client, cancelled))["status"] == ""
    await switch(client, cancelled_dialect="CANCEL", query_dialect="wrapped")
    wrapped = await query(client, cancelled)
    assert (wrapped["code"], wrapped["data"]["status"]) == (0, "CANCEL")


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("run/ai-app/1992755951447109600", {}, "901", "WEBAPP_NOT_EXISTS"),
        ("run/ai-app/mine", {}, "301", "PARAMS_INVALID"),
        ("run/workflow/1994208430000000999", {}, "380", "WORKFLOW_NOT_EXISTS"),
        ("query", {"taskId": "1990000000000000003"}, "1004", "TASK_NOT_FOUND"),
        ("query", {}, "1004", "TASK_NOT_FOUND"),
    ],
)
async def test_a_refusal_is_a_task_object_without_a_task(
    client: httpx.AsyncClient, path: str, body: Json, code: str, text: str
) -> None:
    assert await v2(client, path, body) == task_object(errorCode=code, errorMessage=text)


async def test_slots_and_balance_are_shared_with_v1(client: httpx.AsyncClient) -> None:
    await switch(client, slots=1)
    await start(client)
    full = task_object(errorCode="421", errorMessage="TASK_QUEUE_MAXED")
    assert await v2(client, RUN_APP, {}) == full
    await switch(client, slots=0, run_coins=10, accounts={"key": {"coins": 5}})
    assert (await v2(client, RUN_APP, {}))["errorCode"] == "414"


async def test_the_key_is_read_from_the_header_only_with_or_without_bearer() -> None:
    async with client_of(create_app(keys=frozenset({"good"}))) as client:
        for authorization in ("Bearer good", "good"):
            assert (await v2(client, RUN_APP, {}, authorization))["errorCode"] == ""
        assert (await v2(client, RUN_APP, {"apiKey": "good"}, ""))["errorCode"] == "401"
        assert (await v2(client, RUN_APP, {}, "Bearer bad"))["errorCode"] == "806"
        assert (await v2(client, "query", {"taskId": "1"}, "Bearer bad"))["errorCode"] == "806"


async def test_faults_of_v2_calls_come_in_their_format(client: httpx.AsyncClient) -> None:
    await switch(client, faults={"paid": {"kind": "code", "code": 1011}})
    busy = task_object(errorCode="1011", errorMessage="SYSTEM_BUSY")
    for path in (RUN_APP, f"run/workflow/{TEXT_TO_IMAGE_WORKFLOW}", MODEL):
        assert await v2(client, path, {}) == busy
    await switch(client, faults={"model": {"kind": "no_task_id"}})
    assert await v2(client, MODEL, {}) == task_object(status="QUEUED")
    assert (await counters(client))["calls"] == {"runV2": 1, "createV2": 1, "model": 2}


# Standard models


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        (MODEL, "png"),
        ("vendor/model-v2/image-to-video", "mp4"),
        ("vendor/text-to-speech", "wav"),
        ("vendor/chat", "txt"),
    ],
)
async def test_a_model_takes_any_body_and_gives_what_its_path_names(
    client: httpx.AsyncClient, clock: Clock, path: str, extension: str
) -> None:
    started = await v2(client, path, {"prompt": "一只猫", "nodeInfoList": "not a list", "n": 2})
    assert (started["status"], started["errorCode"]) == ("QUEUED", "")
    clock.now += 60
    (result,) = (await query(client, started["taskId"]))["results"]
    assert result["outputType"] == extension
    if extension != "txt":
        assert (await client.get(result["url"])).status_code == 200
    (task,) = (await client.get("/simulator/tasks")).json()
    assert (task["kind"], task["webappId"], task["workflowId"]) == ("model", None, None)


async def test_models_may_be_for_shared_keys_only(client: httpx.AsyncClient) -> None:
    await switch(client, models_for_shared_keys=True, accounts={"key": {"api_type": "NORMAL"}})
    assert (await v2(client, MODEL, {}))["errorCode"] == "1014"
    await switch(client, accounts={"key": {"api_type": "SHARED"}})
    assert (await v2(client, MODEL, {}))["errorCode"] == ""


# Uploads


async def send(client: httpx.AsyncClient, name: str, content: bytes, key: str = "key") -> Json:
    response = await client.post(
        "/openapi/v2/media/upload/binary",
        files={"file": (name, content)},
        headers={"Authorization": f"Bearer {key}"},
    )
    return response.json()  # type: ignore[no-any-return]


async def test_an_upload_has_a_name_and_an_address(client: httpx.AsyncClient) -> None:
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    assert await send(client, "cat.PNG", b"foo") == {
        "code": 0,
        "message": "success",
        "data": {
            "type": "image",
            "download_url": f"http://rh/uploads/{digest}.png",
            "fileName": f"openapi/{digest}.png",
            "size": "3",
        },
    }
    bundle = (await send(client, "bundle.zip", b"bar"))["data"]
    assert (bundle["type"], bundle["fileName"][-4:]) == ("file", ".zip")
    assert (await client.get(bundle["download_url"])).content == b"bar"
    assert (await client.get("/uploads/none.png")).status_code == 404


async def test_an_upload_that_does_not_fit_is_refused(client: httpx.AsyncClient) -> None:
    def refused(code: int, message: str) -> Json:
        return {"code": code, "message": message, "data": None}

    assert await send(client, "a.exe", b"foo") == refused(1013, "FILE_PROCESSING_FAILED")
    assert await send(client, "a.png", b"") == refused(301, "file cannot be empty")
    await switch(client, upload_max_mb=0)
    assert await send(client, "a.png", b"foo") == refused(1008, "FILE_SIZE_EXCEEDED")
    async with client_of(create_app(keys=frozenset({"good"}))) as strict:
        assert await send(strict, "a.png", b"foo", "bad") == refused(401, "ApiKey verification failed")
    broken = await client.post("/openapi/v2/media/upload/binary", content=b"foo")
    assert broken.json() == refused(301, "PARAMS_INVALID")


# Paths


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/openapi/upload"),
        ("GET", "/task/openapi/outputs"),
        ("POST", "/task/openapi/no-such-call"),
        ("GET", "/"),
        ("DELETE", "/openapi/v2/query"),
        ("POST", "/openapi/v2/price-preview/vendor/model"),
        ("POST", "/openapi/v2/querry"),
        ("GET", "/openapi/v2/api-key/list"),
        ("POST", "/uc/openapi/none"),
    ],
)
async def test_every_other_path_or_method_is_412_in_the_envelope(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.json()) == (200, envelope(412, "TOKEN_INVALID"))


async def test_a_wrong_path_of_the_control_routes_is_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/simulator/none")).status_code == 404
    assert (await client.delete("/simulator/tasks")).status_code == 405
