"""Clients of v2: the key in `Authorization`, flat task objects, and standard models."""

from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.compat.conftest import TOKEN, Json, last_sent, switch, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

APP = TEXT_TO_IMAGE
BEARER = {"Authorization": f"Bearer {TOKEN}"}
RAW = {"Authorization": TOKEN}
WRONG = {"Authorization": "Bearer another-token-of-enough-characters"}
MODEL = "vendor/some-model/text-to-image"


async def post(
    client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None, **members: Any
) -> Json:
    response = await client.post(f"/openapi/v2/{path}", headers=headers or BEARER, json=members)
    assert response.status_code == 200
    reply: Json = response.json()
    return reply


async def ended(client: httpx.AsyncClient, task_id: str) -> Json:
    *_, last = await until(
        lambda: post(client, "query", taskId=task_id), lambda reply: reply["status"] in {"SUCCESS", "FAILED"}
    )
    return last


@pytest.mark.parametrize("headers", [BEARER, RAW])
async def test_an_app_is_run_and_queried(guarded: httpx.AsyncClient, headers: dict[str, str]) -> None:
    started = await post(guarded, f"run/ai-app/{APP}", headers, nodeInfoList=[], usePersonalQueue="false")
    last = await ended(guarded, started["taskId"])

    assert started["errorCode"] == started["errorMessage"] == ""
    assert started["results"] is None
    assert last["status"] == "SUCCESS"
    assert {"url", "nodeId", "outputType", "text"} == set(last["results"][0])
    assert last["usage"]["consumeCoins"] is not None


async def test_a_model_is_a_task_whose_body_is_passed_through(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    body: Json = {
        "prompt": "a cat",
        "seed": 7,
        "images": ["https://files.example/a.png"],
        "nested": {"a": None},
    }
    started = await post(guarded, MODEL, **body)
    last = await ended(guarded, started["taskId"])
    sent = (await last_sent(board, "model"))["members"]
    task = (await guarded.get(f"/tasks/{started['taskId']}", headers=BEARER)).json()

    assert last["status"] == "SUCCESS"
    assert last["results"]
    assert sent == body
    assert (task["webapp_id"], task["workflow_id"], task["status"]) == (None, None, "SUCCESS")


async def test_a_model_can_be_run_again(guarded: httpx.AsyncClient, board: httpx.AsyncClient) -> None:
    started = await post(guarded, MODEL, prompt="a cat")
    await ended(guarded, started["taskId"])
    again = await guarded.post(f"/tasks/{started['taskId']}/rerun", headers=BEARER)
    counters = (await board.get("/simulator/counters")).json()

    assert again.status_code == 202
    assert counters["calls"]["model"] == 2


async def test_an_unknown_app_and_task_have_codes_in_the_object(guarded: httpx.AsyncClient) -> None:
    unknown_app = await post(guarded, "run/ai-app/12", nodeInfoList=[])
    unknown_task = await post(guarded, "query", taskId="8999999999999999999")

    assert (unknown_app["taskId"], unknown_app["errorCode"]) == ("", "901")
    assert (unknown_task["errorCode"], unknown_task["errorMessage"]) == ("807", "APIKEY_TASK_NOT_FOUND")


async def test_a_wrong_key_is_806(guarded: httpx.AsyncClient) -> None:
    run = await post(guarded, f"run/ai-app/{APP}", WRONG, nodeInfoList=[])
    listed = await post(guarded, "aiapp/list", WRONG)

    assert (run["errorCode"], run["taskId"]) == ("806", "")
    assert (listed["code"], listed["message"]) == (806, "APIKEY_USER_NOT_FOUND")


async def test_a_failed_task_has_its_reason(service: httpx.AsyncClient, board: httpx.AsyncClient) -> None:
    await switch(board, fail_next=1)
    started = await post(service, f"run/ai-app/{APP}", nodeInfoList=[])
    last = await ended(service, started["taskId"])

    assert (last["status"], last["errorCode"], last["results"]) == ("FAILED", "805", None)
    assert last["failedReason"]["exception_message"] == "Allocation on device"


async def test_an_upload_has_an_address_for_models(guarded: httpx.AsyncClient) -> None:
    response = await guarded.post(
        "/openapi/v2/media/upload/binary", headers=BEARER, files={"file": ("a.png", b"some bytes")}
    )
    reply = response.json()

    assert (reply["code"], reply["message"]) == (0, "success")
    assert reply["data"]["fileName"].startswith("openapi/")
    assert reply["data"]["download_url"].startswith("http")


async def test_the_queue_and_the_list_of_apps_are_passed_on(guarded: httpx.AsyncClient) -> None:
    queue = (await guarded.get("/openapi/v2/queue/status", headers=RAW)).json()
    listed = await post(guarded, "aiapp/list", RAW, current=1, size=10, sort="RECOMMEND")

    assert queue["code"] == listed["code"] == 0
    assert queue["data"]["concurrentLimit"] == 9999
    assert listed["data"]["records"]


@pytest.mark.parametrize(
    "path", ["resource/list", "price-preview/vendor/model", "api-key/list", "one", "a/../b", "a//b"]
)
async def test_what_is_no_model_is_no_path(
    service: httpx.AsyncClient, board: httpx.AsyncClient, path: str
) -> None:
    reply = await post(service, path, prompt="a cat")
    counters = (await board.get("/simulator/counters")).json()

    assert (reply["code"], reply["msg"]) == (412, "TOKEN_INVALID")
    assert counters["runs_accepted"] == 0
