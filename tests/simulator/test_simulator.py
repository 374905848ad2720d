"""The stand-in behaves as RunningHub's documentation says, and fails in every way it is told to."""

import asyncio
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import respx
from fastapi import FastAPI
from PIL import Image

from simulator import apps
from simulator.__main__ import main
from simulator.app import create_app
from simulator.switches import FaultKind, Switches
from simulator.webhooks import Webhooks

pytestmark = pytest.mark.anyio
PICTURE_ITEM = {"nodeId": "39", "fieldName": "image"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> FastAPI:
    return create_app(Switches(queue_time=1, run_time=27), clock=clock)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://rh") as client,
    ):
        yield client


def run_body(webapp_id: str = apps.TEXT_TO_IMAGE, *items: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"apiKey": "key", "webappId": webapp_id, "nodeInfoList": list(items), **members}


async def run(client: httpx.AsyncClient, *args: Any, **members: Any) -> dict[str, Any]:
    reply = await client.post("/task/openapi/ai-app/run", json=run_body(*args, **members))
    return reply.json()  # type: ignore[no-any-return]


async def start(client: httpx.AsyncClient, *args: Any, **members: Any) -> str:
    reply = await run(client, *args, **members)
    assert reply["code"] == 0, reply
    return str(reply["data"]["taskId"])


async def ask(client: httpx.AsyncClient, task_id: str, call: str = "outputs") -> dict[str, Any]:
    reply = await client.post(f"/task/openapi/{call}", json={"apiKey": "key", "taskId": task_id})
    return reply.json()  # type: ignore[no-any-return]


async def switch(client: httpx.AsyncClient, **switches: Any) -> None:
    assert (await client.patch("/simulator/switches", json=switches)).status_code == 200


async def counters(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("/simulator/counters")).json()  # type: ignore[no-any-return]


def refused(code: int, msg: str, data: Any = None) -> dict[str, Any]:
    return {"code": code, "msg": msg, "errorMessages": None, "data": data}


# Apps


async def test_a_form_has_the_callers_key_in_its_curl(client: httpx.AsyncClient) -> None:
    params = {"apiKey": "my-key", "webappId": apps.TEXT_TO_IMAGE}
    reply = await client.get("/api/webapp/apiCallDemo", params=params)
    assert reply.headers["X-RunningHub-Simulator"] == "true"
    form = reply.json()["data"]
    assert '"apiKey": "my-key"' in form["curl"]
    assert [node["nodeId"] for node in form["nodeInfoList"]] == ["4", "11", "15", "16"]
    assert form["accessEncrypted"] is False
    cover = await client.get(form["covers"][0]["url"])
    assert Image.open(io.BytesIO(cover.content)).size == (1280, 720)


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({"webappId": "1992755951447109633"}, refused(301, "apiKey cannot be empty")),
        ({"apiKey": "key"}, refused(301, "webappId cannot be empty")),
        ({"apiKey": "key", "webappId": "app"}, refused(301, "PARAMS_INVALID")),
        ({"apiKey": "key", "webappId": "1992755951447109600"}, refused(1, "webapp not exists")),
    ],
)
async def test_a_form_that_cannot_be_had_is_refused_in_the_envelope(
    client: httpx.AsyncClient, params: dict[str, str], answer: dict[str, Any]
) -> None:
    reply = await client.get("/api/webapp/apiCallDemo", params=params)
    assert (reply.status_code, reply.json()) == (200, answer)


def test_the_apps_cover_every_kind_of_field_and_name_each_once() -> None:
    kinds = {node["fieldType"] for app in apps.APPS.values() for node in app.nodes}
    media = {"IMAGE", "AUDIO", "VIDEO", "ZIP"}
    assert kinds == media | {"STRING", "INT", "FLOAT", "BOOLEAN", "LIST", "SWITCH", "CKPT", "LORA"}
    for app in apps.APPS.values():
        identities = [(node["nodeId"], node["fieldName"]) for node in app.nodes]
        assert len(identities) == len(set(identities))
        assert int(app.id) > 2**53
        assert len(app.id) == 19


# Runs


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
    assert await ask(client, task_id) == refused(813, "APIKEY_TASK_IS_QUEUED")
    assert await ask(client, task_id, "status") == refused(0, "", "QUEUED")
    clock.now += 1
    running = await ask(client, task_id)
    assert (running["code"], running["msg"]) == (804, "APIKEY_TASK_IS_RUNNING")
    assert running["data"]["netWssUrl"].startswith("wss://www.runninghub.cn:443/ws/c_instance?")
    clock.now += 27
    result = {
        "fileUrl": f"http://rh/files/{task_id}_00001.png",
        "fileType": "png",
        "taskCostTime": "27",
        "nodeId": "9",
        "thirdPartyConsumeMoney": None,
        "consumeMoney": None,
        "consumeCoins": "5",
    }
    assert await ask(client, task_id) == refused(0, "success", [result])
    assert await ask(client, task_id, "status") == refused(0, "", "SUCCESS")


async def test_the_board_shows_tasks_in_the_order_of_their_start(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    item = {"nodeId": "15", "fieldName": "text", "fieldValue": "a dog"}
    first = await start(client, apps.TEXT_TO_IMAGE, item, instanceType="plus")
    second = await start(client, apps.WITH_PASSWORD, accessPassword=apps.ACCESS_PASSWORD)
    clock.now += 2
    await ask(client, first)
    tasks = (await client.get("/simulator/tasks")).json()
    begun = tasks[0].pop("started_at"), tasks[1].pop("started_at")
    assert begun == tuple(sorted(begun))
    assert tasks[0] == {
        "taskId": first,
        "webappId": apps.TEXT_TO_IMAGE,
        "nodeInfoList": [item],
        "webhookUrl": None,
        "instanceType": "plus",
        "accessPasswordGiven": False,
        "status": "RUNNING",
        "finished_at": None,
        "outputs_asked": 1,
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
    told = await counters(client)
    assert (told["runs_accepted"], told["runs_refused"], told["active"], told["max_active"]) == (3, 1, 3, 3)
    clock.now += 28
    await start(client)
    assert (await counters(client))["active"] == 1


async def test_without_slots_any_number_runs(client: httpx.AsyncClient) -> None:
    await switch(client, slots=0)
    for _ in range(50):
        await start(client)
    assert (await counters(client))["max_active"] == 50


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"apiKey": ""}, refused(301, "apiKey cannot be empty")),
        ({"webappId": None}, refused(301, "webappId cannot be empty")),
        ({"webappId": "rounded?"}, refused(301, "PARAMS_INVALID")),
        ({"nodeInfoList": None}, refused(301, "PARAMS_INVALID")),
        ({"webhookUrl": 5}, refused(301, "PARAMS_INVALID")),
        ({"webappId": 1992755951447109600}, refused(1, "webapp not exists")),
        ({"webappId": apps.WITH_PASSWORD}, refused(301, "accessPassword is incorrect")),
    ],
)
async def test_a_run_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, members: dict[str, Any], answer: dict[str, Any]
) -> None:
    assert await run(client, **members) == answer
    assert (await counters(client))["runs_refused"] == 1


async def test_a_body_that_is_no_object_is_refused(client: httpx.AsyncClient) -> None:
    for body in ("", "[]", "{", "[" * 100_000):
        reply = await client.post("/task/openapi/ai-app/run", content=body)
        assert reply.json() == refused(301, "apiKey cannot be empty")


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
    assert await run(client, apps.TEXT_TO_IMAGE, item) == refused(803, msg)
    await switch(client, node_mismatch_dialect="old")
    assert await run(client, apps.TEXT_TO_IMAGE, item) == refused(803, "APIKEY_INVALID_NODE_INFO")


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
        unknown = refused(806, "APIKEY_USER_NOT_FOUND")
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
        assert (await client.post("/uc/openapi/accountStatus", json={"apiKey": "good"})).json() == refused(
            301, "apikey cannot be empty"
        )


# Ends of tasks


async def test_a_failed_task_says_why_or_not(client: httpx.AsyncClient, clock: Clock) -> None:
    always = await start(client, apps.ALWAYS_FAILS)
    await switch(client, fail_next=1, fail_reason="null")
    silent, fine = await start(client), await start(client)
    clock.now += 60
    reason = (await ask(client, always))["data"]["failedReason"]
    assert (reason["node_name"], reason["exception_type"]) == ("KSampler", "torch.OutOfMemoryError")
    assert isinstance(json.loads(reason["traceback"]), list)
    assert await ask(client, silent) == refused(805, "APIKEY_TASK_STATUS_ERROR", {"failedReason": None})
    assert (await ask(client, fine))["code"] == 0


async def test_a_cancelled_task_frees_its_slot_and_has_no_reason(client: httpx.AsyncClient) -> None:
    await switch(client, slots=1)
    task_id = await start(client)
    assert await ask(client, task_id, "cancel") == refused(0, "success")
    assert await ask(client, task_id) == refused(805, "APIKEY_TASK_STATUS_ERROR", {"failedReason": None})
    await start(client)


async def test_cancelling_after_the_end_changes_nothing(client: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await start(client)
    clock.now += 60
    assert await ask(client, task_id, "cancel") == refused(0, "success")
    assert (await ask(client, task_id))["code"] == 0


@pytest.mark.parametrize("call", ["outputs", "status", "cancel"])
async def test_an_unknown_task_is_answered_in_both_dialects(client: httpx.AsyncClient, call: str) -> None:
    forgotten = await start(client)
    await switch(client, forget_tasks=True)
    assert await ask(client, forgotten, call) == refused(807, "APIKEY_TASK_NOT_FOUND")
    await switch(client, forget_tasks=False, unknown_task_dialect="423")
    assert await ask(client, "1990000000000000003", call) == refused(423, "TASK_NOT_FOUNED")
    assert await ask(client, "", call) == refused(301, "taskId cannot be empty")
    for wrong in ("000", "abc", "-1", "1.5", "٣x"):
        assert await ask(client, wrong, call) == refused(301, "taskId must be positive")
    assert (await ask(client, "9" * 5000, call))["code"] == 423


async def test_outputs_speaks_every_dialect(client: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await start(client)
    clock.now += 2
    await switch(client, outputs_dialect="no_wss")
    assert await ask(client, task_id) == refused(804, "APIKEY_TASK_IS_RUNNING")
    await switch(client, outputs_dialect="zero_null")
    assert await ask(client, task_id) == refused(0, "任务运行中")
    clock.now += 60
    await switch(client, outputs_dialect="zero_empty")
    assert await ask(client, task_id) == refused(0, "success", [])


async def test_an_accepted_run_can_carry_node_errors(client: httpx.AsyncClient) -> None:
    await switch(client, prompt_tips_errors=True)
    tips = json.loads((await run(client))["data"]["promptTips"])
    assert tips["result"] is False
    assert list(tips["node_errors"]) == ["9"]


# Uploads and results


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def send_file(client: httpx.AsyncClient, name: str, content: bytes) -> dict[str, Any]:
    reply = await client.post(
        "/task/openapi/upload",
        data={"apiKey": "key", "fileType": "input"},
        files={"file": (name, content)},
    )
    return reply.json()  # type: ignore[no-any-return]


async def test_an_upload_is_named_by_its_content(client: httpx.AsyncClient) -> None:
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    data = {"fileName": f"api/{digest}.png", "fileType": "input"}
    assert await send_file(client, "照片.PNG", b"foo") == {"code": 0, "msg": "success", "data": data}
    assert (await send_file(client, "a.zip", b"foo"))["data"]["fileName"] == digest


async def test_parts_may_come_in_any_order_and_in_chunks(client: httpx.AsyncClient) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = (
        part.format("file", '; filename="a.wav"', "foo")
        + part.format("fileType", "", "audio")
        + part.format("apiKey", "", "key")
        + "--b--\r\n"
    )

    async def chunks() -> AsyncIterator[bytes]:
        for character in body:
            yield character.encode()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = await client.post("/task/openapi/upload", content=chunks(), headers=headers)
    assert reply.json()["data"]["fileType"] == "audio"
    assert reply.json()["data"]["fileName"].endswith("e7ae.wav")


async def test_uploads_that_do_not_fit_are_refused(client: httpx.AsyncClient) -> None:
    assert await send_file(client, "a.png", b"") == refused(301, "file cannot be empty")
    assert await send_file(client, "a.exe", b"foo") == refused(808, "APIKEY_UPLOAD_FAILED")
    await switch(client, unsupported_dialect="301")
    assert await send_file(client, "a.exe", b"foo") == refused(301, "file type is not supported")
    await switch(client, unsupported_dialect="accept", upload_max_mb=1)
    assert (await send_file(client, "a.exe", b"x" * 1024**2))["code"] == 0
    assert await send_file(client, "a.png", b"x" * (1024**2 + 1)) == refused(809, "APIKEY_FILE_SIZE_EXCEEDED")
    assert (await client.post("/task/openapi/upload", content=b"foo")).json() == refused(
        301, "PARAMS_INVALID"
    )


async def fetch_result(client: httpx.AsyncClient, clock: Clock, *args: Any) -> httpx.Response:
    task_id = await start(client, *args)
    clock.now += 60
    return await client.get((await ask(client, task_id))["data"][0]["fileUrl"])


async def test_a_picture_shows_the_uploaded_one_and_changes_with_the_values(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    name = (await send_file(client, "red.png", png("#ff0000")))["data"]["fileName"]
    painted = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE, {**PICTURE_ITEM, "fieldValue": name})
    assert painted.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(painted.content)).getpixel((512, 288)) == (255, 0, 0)
    text = {"nodeId": "150:5", "fieldName": "prompt", "fieldValue": "一只猫"}
    other = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE, text)
    plain = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE)
    assert len({painted.content, other.content, plain.content}) == 3


async def test_an_upload_that_is_no_picture_is_left_out_of_the_result(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    name = (await send_file(client, "broken.png", b"foo"))["data"]["fileName"]
    painted = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE, {**PICTURE_ITEM, "fieldValue": name})
    assert Image.open(io.BytesIO(painted.content)).width == 1024


async def test_sound_film_and_text_are_real_files(client: httpx.AsyncClient, clock: Clock) -> None:
    sound = await fetch_result(client, clock, apps.AUDIO)
    with wave.open(io.BytesIO(sound.content)) as file:
        assert file.getnframes() == 2 * file.getframerate()
    film = await fetch_result(client, clock, apps.VIDEO)
    assert film.headers["content-type"] == "video/mp4"
    assert film.content[4:8] == b"ftyp"
    task_id = await start(
        client, apps.IMAGE_TO_IMAGE, {"nodeId": "3", "fieldName": "steps", "fieldValue": "8"}
    )
    clock.now += 60
    text = await client.get(f"/files/{task_id}_00002.txt")
    assert "3.steps = 8\n" in text.text


async def test_there_is_no_file_before_the_end_nor_one_that_was_not_made(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    task_id = await start(client)
    assert (await client.get(f"/files/{task_id}_00001.png")).status_code == 404
    clock.now += 60
    for name in (f"{task_id}_00001.txt", f"{task_id}_00002.png", f"{task_id}.png", "1_00001.png"):
        assert (await client.get(f"/files/{name}")).status_code == 404
    assert (await client.get("/covers/1.png")).status_code == 404


# Webhooks


class Hook:
    """The address that a TASK_END is sent to; every delivery goes into a queue."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.deliveries: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.deliveries.put_nowait(json.loads(request.content))
        return httpx.Response(self.statuses.pop(0) if self.statuses else 200)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.deliveries.get(), 2)


@contextmanager
def listening(hook: Hook) -> Iterator[None]:
    with respx.mock(using="httpx", assert_all_called=False) as mock:
        mock.post("http://client/hook").mock(side_effect=hook)
        mock.route(host="rh").pass_through()
        yield


async def test_a_task_that_ends_is_told_to_its_webhook(client: httpx.AsyncClient) -> None:
    await switch(client, queue_time=0, run_time=0, webhook_repeats=1)
    hook = Hook()
    with listening(hook):
        task_id = await start(client, webhookUrl="http://client/hook")
        first, repeated = await hook.next(), await hook.next()
    assert first == repeated
    assert (first["event"], first["taskId"]) == ("TASK_END", task_id)
    event = json.loads(first["eventData"])
    assert (event["code"], event["data"][0]["taskCostTime"]) == (0, 1)
    assert (await counters(client))["webhooks_sent"] == 2


async def test_a_cancel_sends_the_webhook_at_once(client: httpx.AsyncClient) -> None:
    hook = Hook()
    with listening(hook):
        task_id = await start(client, webhookUrl="http://client/hook")
        await ask(client, task_id, "cancel")
        event = json.loads((await hook.next())["eventData"])
    assert event == {"code": 805, "msg": "APIKEY_TASK_STATUS_ERROR", "data": {"failedReason": None}}


async def test_an_early_webhook_comes_before_the_runs_own_reply(client: httpx.AsyncClient) -> None:
    await switch(client, webhook="early")
    hook = Hook()
    with listening(hook):
        reply = await run(client, webhookUrl="http://client/hook")
        assert hook.deliveries.get_nowait()["taskId"] == reply["data"]["taskId"]
    assert (await ask(client, reply["data"]["taskId"]))["code"] == 0


async def test_a_webhook_that_is_not_answered_well_is_sent_three_times() -> None:
    app = create_app(Switches(webhook="early"))
    simulator = app.state.simulator
    webhooks = Webhooks(simulator.state, pause_s=0)
    task = simulator.state.start(apps.APPS[apps.AUDIO], "key", b"{}", "http://rh", "http://client/hook")
    hook = Hook(500, 404, 503, 200)
    with listening(hook):
        await webhooks.send(task)
    await webhooks.close()
    assert hook.deliveries.qsize() == 3


async def test_without_webhooks_none_is_sent(client: httpx.AsyncClient) -> None:
    await switch(client, queue_time=0, run_time=0, webhook="off")
    hook = Hook()
    with listening(hook):
        await start(client, webhookUrl="http://client/hook")
    assert (await counters(client))["webhooks_sent"] == 0


# The switch board


async def test_an_unknown_switch_or_a_wrong_value_is_refused(client: httpx.AsyncClient) -> None:
    wrong: list[dict[str, Any]] = [
        {"runtime": 1},
        {"slots": -1},
        {"faults": {"run": {"kind": "fire"}}},
        {"faults": {"x": {}}},
    ]
    for switches in wrong:
        reply = await client.patch("/simulator/switches", json=switches)
        assert reply.status_code == 422


async def test_a_reset_forgets_everything_but_the_start(client: httpx.AsyncClient) -> None:
    before = (await client.get("/simulator/switches")).json()
    await switch(client, slots=1, faults={"cancel": {"kind": "empty"}})
    await start(client)
    zero = {
        "calls": {},
        "runs_accepted": 0,
        "runs_refused": 0,
        "max_active": 0,
        "active": 0,
        "webhooks_sent": 0,
    }
    assert (await client.post("/simulator/reset")).json() == zero
    assert (await client.get("/simulator/switches")).json() == before
    assert (await client.get("/simulator/tasks")).json() == []


async def test_the_last_request_is_shown_without_its_key(client: httpx.AsyncClient) -> None:
    reply = await client.get("/simulator/last-request", params={"endpoint": "run"})
    assert reply.json() == {"endpoint": "run", "members": None, "headers": None}
    await client.post("/task/openapi/ai-app/run", json=run_body(), headers={"Authorization": "Bearer key"})
    seen = (await client.get("/simulator/last-request", params={"endpoint": "run"})).json()
    assert seen["members"] == {"apiKey": True, "webappId": apps.TEXT_TO_IMAGE, "nodeInfoList": []}
    assert seen["headers"]["authorization"] is True
    await send_file(client, "a.png", b"foo")
    seen = (await client.get("/simulator/last-request", params={"endpoint": "upload"})).json()
    assert seen["members"] == {"apiKey": True, "fileType": "input", "file": {"filename": "a.png", "size": 3}}


def test_the_readme_names_every_switch_and_fault() -> None:
    readme = (Path(apps.__file__).parent / "README.md").read_text(encoding="utf-8")
    missing = [
        name
        for name in (*Switches.model_fields, *get_args(FaultKind), *apps.APPS)
        if f"`{name}`" not in readme
    ]
    assert missing == []


async def test_a_wrong_path_is_412(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/openapi/upload")).json() == refused(412, "TOKEN_INVALID")


# Faults


@pytest.mark.parametrize(
    ("fault", "status", "media_type", "body"),
    [
        ({"kind": "http_500_html"}, 500, "text/html; charset=utf-8", b"500 Internal Server Error"),
        ({"kind": "http_502_html"}, 502, "text/html; charset=utf-8", b"502 Bad Gateway"),
        ({"kind": "http_504_html"}, 504, "text/html; charset=utf-8", b"504 Gateway Timeout"),
        ({"kind": "http_429"}, 429, "text/html; charset=utf-8", b"429 Too Many Requests"),
        ({"kind": "http_401"}, 401, "application/json;charset=UTF-8", b"ApiKey verification failed"),
        ({"kind": "html_200"}, 200, "text/html; charset=utf-8", b"<html>"),
        ({"kind": "invalid_json"}, 200, "application/json;charset=UTF-8", b'"data":{'),
        ({"kind": "empty"}, 200, "application/json;charset=UTF-8", b""),
        ({"kind": "wrong_types"}, 200, "application/json;charset=UTF-8", b'"data": ["1994070439827980290"]'),
        ({"kind": "huge", "megabytes": 2}, 200, "application/json;charset=UTF-8", b"x" * 2 * 1024**2),
        (
            {"kind": "code", "code": 801, "msg": "APIKEY_UNSUPPORTED_FREE_USER"},
            200,
            "application/json;charset=UTF-8",
            b'{"code": 801, "msg": "APIKEY_UNSUPPORTED_FREE_USER", "errorMessages": null, "data": null}',
        ),
    ],
)
async def test_a_spoiled_answer_starts_nothing_and_happens_as_often_as_told(
    client: httpx.AsyncClient, fault: dict[str, Any], status: int, media_type: str, body: bytes
) -> None:
    await switch(client, faults={"run": {**fault, "times": 1}})
    reply = await client.post("/task/openapi/ai-app/run", json=run_body())
    assert (reply.status_code, reply.headers["content-type"]) == (status, media_type)
    assert body in reply.content
    assert reply.headers["X-RunningHub-Simulator"] == "true"
    told = await counters(client)
    assert (told["runs_accepted"], told["calls"]) == (0, {"run": 1})
    await start(client)


async def test_a_spoiled_answer_may_hide_that_the_run_was_accepted(client: httpx.AsyncClient) -> None:
    await switch(client, faults={"run": {"kind": "http_504_html", "handled": True}})
    assert (await client.post("/task/openapi/ai-app/run", json=run_body())).status_code == 504
    assert (await counters(client))["runs_accepted"] == 1


async def test_of_several_faults_the_first_that_strikes_happens(client: httpx.AsyncClient) -> None:
    never, broken = {"kind": "empty", "probability": 0}, {"kind": "invalid_json", "times": 1}
    await switch(client, faults={"*": [never, broken, {"kind": "http_429", "times": 1}]})
    url = "/uc/openapi/accountStatus"
    assert [(await client.post(url, json={"apikey": "key"})).status_code for _ in range(3)] == [200, 429, 200]


@pytest.mark.parametrize("kind", ["hang", "slow_bytes"])
async def test_a_slow_answer_is_the_real_one(client: httpx.AsyncClient, kind: str) -> None:
    await switch(client, faults={"run": {"kind": kind, "seconds": 0}})
    await start(client)
    await switch(client, faults={"run": {"kind": "hang", "seconds": 0, "handled": False}})
    await start(client)


async def test_in_process_a_lost_reply_is_an_exception_and_a_hanging_call_can_be_given_up(
    client: httpx.AsyncClient,
) -> None:
    await switch(client, faults={"run": {"kind": "lost_reply"}, "outputs": {"kind": "hang"}})
    with pytest.raises(ConnectionResetError):
        await run(client)
    assert (await counters(client))["runs_accepted"] == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(client, "1990000000000000003"), 0.01)


# The real process


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "simulator", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().removeprefix("listening on ").strip()
        try:
            yield url, process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as (url, _):
        yield url


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_ends_without_a_reply_before_or_after_the_run_is_accepted(
    server: str, reset: bool
) -> None:
    async with httpx.AsyncClient(base_url=server) as client:
        await client.post("/simulator/reset")
        for kind, accepted in (("close_before", 0), ("lost_reply", 1)):
            await switch(client, faults={"run": {"kind": kind, "times": 1, "reset": reset}})
            with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
                await run(client)
            assert (await counters(client))["runs_accepted"] == accepted
        await start(client)


def test_the_help_explains_every_switch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert [name for name in Switches.model_fields if f"--{name.replace('_', '-')}" not in said] == []


async def test_the_process_stops_at_once_while_a_request_hangs() -> None:
    with serving("--faults", '{"outputs": {"kind": "hang"}}') as (url, process):
        async with httpx.AsyncClient(base_url=url) as client:
            hanging = asyncio.create_task(ask(client, "1990000000000000003"))
            while (await counters(client))["calls"] == {}:
                pass
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                await hanging
            await asyncio.to_thread(process.wait, 5)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--slots", "many"], "argument --slots: Input should be a valid integer"),
        (["--faults", "{"], "argument --faults: no JSON"),
        (["--faults", '{"run": {"kind": "fire"}}'], "argument --faults.run"),
        (["--port", "70000"], "argument --port: '70000' is no port number"),
        (["--public-url", "ftp://x"], "argument --public-url: 'ftp://x' is no http:// or https:// address"),
        (["--fire"], "unrecognized arguments: --fire"),
    ],
)
def test_a_wrong_option_gives_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(options)
    said = capsys.readouterr().err
    assert (stopped.value.code, said.count("\n")) == (2, 1)
    assert line in said


def test_a_port_in_use_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stopped:
            main(["--port", str(port)])
    assert stopped.value.code == 1
    said = f"python -m simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert capsys.readouterr().err == said
