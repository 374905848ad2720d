"""The HTTP contract, sentence by sentence: every route and every problem, against the simulator."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from errors import AppError
from models import TaskStatus
from simulator.apps import (
    ACCESS_PASSWORD,
    ALWAYS_FAILS,
    APPS,
    AUDIO,
    IMAGE_TO_IMAGE,
    TEXT_TO_IMAGE,
    VIDEO,
    WITH_PASSWORD,
)
from tests.in_process import serving
from tests.processes import API_KEY, free_port, start_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

UNKNOWN_APP = "1111111111111111111"
LONG = {"run_time": 600}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

Json = dict[str, Any]


class Like:
    """Equal to every text that the pattern describes."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other) is not None

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"Like({self.pattern!r})"


ID = Like("[0-9a-f]{32}")
RUNNINGHUB_ID = Like(r"\d{19}")
TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TEXT = Like("(?s).{10,}")


class Board:
    """The simulator's switches."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def set(self, **switches: Any) -> None:
        (await self.client.patch("/simulator/switches", json=switches)).raise_for_status()

    async def fault(self, endpoint: str, kind: str, **details: Any) -> None:
        await self.set(faults={endpoint: {"kind": kind, **details}})

    async def tasks(self) -> list[Json]:
        found: list[Json] = (await self.client.get("/simulator/tasks")).json()
        return found

    async def calls(self, endpoint: str) -> int:
        counters = (await self.client.get("/simulator/counters")).json()
        return int(counters["calls"].get(endpoint, 0))

    async def sent(self, endpoint: str) -> Json:
        """The members that RunningHub was last sent; of a key only whether there was one."""
        last = (await self.client.get("/simulator/last-request", params={"endpoint": endpoint})).json()
        members: Json = last["members"]
        return members


@pytest.fixture(scope="module")
def simulator_url() -> Iterator[str]:
    with start_simulator(queue_time=0, run_time=0.02, slots=0) as simulator:
        yield simulator.url


@pytest.fixture
async def board(simulator_url: str) -> AsyncIterator[Board]:
    async with httpx.AsyncClient(base_url=simulator_url, verify=False) as client:  # noqa: S501 it is http
        (await client.post("/simulator/reset")).raise_for_status()
        yield Board(client)


class Service:
    """Starts services on this test's database, all with the same simulator."""

    def __init__(self, simulator_url: str, directory: Path) -> None:
        self.simulator_url = simulator_url
        self.directory = directory

    @asynccontextmanager
    async def __call__(self, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        url = settings.pop("runninghub_base_url", self.simulator_url)
        async with serving(url, self.directory, **settings) as client:
            yield client

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.directory / "tasks.db") as connection:
            found = connection.execute(statement).fetchall()
        connection.close()
        return found


@pytest.fixture
def service(simulator_url: str, board: Board, tmp_path: Path) -> Service:
    return Service(simulator_url, tmp_path)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared_service(
    simulator_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(simulator_url, tmp_path_factory.mktemp("shared")) as client:
        yield client


@pytest.fixture
def shared(shared_service: httpx.AsyncClient, board: Board) -> httpx.AsyncClient:
    """A client of one service for all tests that leave nothing behind that others could meet."""
    return shared_service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service() as client:
        yield client


def text_node(text: Any = "a cat") -> Json:
    return {"nodeId": "15", "fieldName": "text", "fieldType": "STRING", "fieldValue": text}


def submission(text: Any = "a cat", webapp_id: Any = TEXT_TO_IMAGE, **members: Any) -> Json:
    return {"webappId": webapp_id, "nodeInfoList": [text_node(text)], **members}


async def submit(client: httpx.AsyncClient, text: Any = "a cat", **members: Any) -> Json:
    response = await client.post("/submit_task", json=submission(text, **members))
    assert response.status_code == 202, response.text
    answer: Json = response.json()
    return answer


async def task_of(client: httpx.AsyncClient, task_id: str) -> Json:
    response = await client.get(f"/tasks/{task_id}")
    assert response.status_code == 200, response.text
    task: Json = response.json()
    return task


async def until(client: httpx.AsyncClient, task_id: str, status: str, within_s: float = 20) -> Json:
    """The task once it has the status; fails when it does not get there in time."""
    async with asyncio.timeout(within_s):
        while (task := await task_of(client, task_id))["status"] != status:
            await client.get(f"/tasks/{task_id}", params={"wait": 1})
    return task


async def unknown_task(client: httpx.AsyncClient, board: Board, text: str = "lost") -> str:
    """The id of a task that runs at RunningHub, whose paid call got no answer."""
    await board.fault("run", "lost_reply", times=1)
    response = await client.post("/submit_task", json=submission(text))
    assert response.status_code == 504, response.text
    task_id: str = response.json()["task_id"]
    return task_id


async def eventually(is_so: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
    """Ask again and again until it is so; fails when that takes too long."""
    async with asyncio.timeout(within_s):
        while not await is_so():  # noqa: ASYNC110 the event is in another process
            await asyncio.sleep(0.02)


async def ended_at_runninghub(board: Board) -> None:
    async def has_ended() -> bool:
        return all(task["finished_at"] for task in await board.tasks())

    await eventually(has_ended)


def problem(code: str, status: int, **members: Any) -> Json:
    return {
        "type": f"/docs#problem-{code}",
        "title": TEXT,
        "status": status,
        "detail": TEXT,
        "code": code,
        **members,
    }


def assert_problem(response: httpx.Response, code: str, status: int, **members: Any) -> None:
    assert response.json() == problem(code, status, **members)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


# Spelling


@pytest.mark.parametrize(
    "body",
    [
        {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [text_node()]},
        {
            "webapp_id": TEXT_TO_IMAGE,
            "node_info_list": [
                {"node_id": "15", "field_name": "text", "field_type": "STRING", "field_value": "a cat"}
            ],
        },
        {"webappId": int(TEXT_TO_IMAGE), "nodeInfoList": [{**text_node(), "nodeId": 15}]},
        {**submission(), "apiKey": "somebody's"},
    ],
    ids=["camelCase", "snake_case", "integers", "API key"],
)
async def test_a_submit_is_understood_in_every_spelling(
    shared: httpx.AsyncClient, board: Board, body: Json
) -> None:
    response = await shared.post("/submit_task", json=body)
    assert response.status_code == 202
    assert response.json() == {
        "task_id": ID,
        "status": "RUNNING",
        "runninghub_task_id": RUNNINGHUB_ID,
        "queue_position": None,
        "warnings": [],
    }
    assert response.headers["location"] == f"/tasks/{response.json()['task_id']}"
    assert await board.sent("run") == {
        "apiKey": True,
        "webappId": TEXT_TO_IMAGE,
        "nodeInfoList": [text_node()],
    }


@pytest.mark.parametrize("name", ["webappId", "webapp_id"])
@pytest.mark.parametrize("webapp_id", [TEXT_TO_IMAGE, int(TEXT_TO_IMAGE)])
async def test_an_app_is_asked_for_in_every_spelling(
    shared: httpx.AsyncClient, name: str, webapp_id: Any
) -> None:
    response = await shared.post("/get_node_info", json={name: webapp_id, "apiKey": "x"})
    assert response.status_code == 200
    assert response.json()["webappId"] == TEXT_TO_IMAGE


@pytest.mark.parametrize("name", ["taskId", "task_id"])
async def test_a_task_is_asked_for_by_either_id_in_every_spelling(
    shared: httpx.AsyncClient, name: str
) -> None:
    answer = await submit(shared)
    expected = await until(shared, answer["task_id"], "SUCCESS")
    for task_id in (answer["task_id"], answer["runninghub_task_id"], int(answer["runninghub_task_id"])):
        response = await shared.post("/task/query_task_status", json={name: task_id, "apiKey": "x"})
        assert response.status_code == 200
        assert response.json() == expected


@pytest.mark.parametrize("action", ["", "/events"])
async def test_a_path_takes_runninghubs_id_as_well(shared: httpx.AsyncClient, action: str) -> None:
    answer = await submit(shared)
    await until(shared, answer["task_id"], "SUCCESS")
    ours = await shared.get(f"/tasks/{answer['task_id']}{action}")
    theirs = await shared.get(f"/tasks/{answer['runninghub_task_id']}{action}")
    assert theirs.status_code == 200
    assert theirs.text == ours.text


async def test_an_id_that_is_a_float_is_refused_since_digits_are_lost_already(
    shared: httpx.AsyncClient,
) -> None:
    response = await shared.post("/get_node_info", json={"webappId": 1.992755951447109633e18})
    assert_problem(
        response,
        "invalid_request",
        422,
        errors=[{"loc": ["body", "webappId"], "msg": "Input should be a valid string"}],
    )


def has_long_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_long_number, value.values()))
    if isinstance(value, list):
        return any(map(has_long_number, value))
    return isinstance(value, int | float) and abs(value) > 2**53


@pytest.mark.parametrize("webapp_id", APPS)
async def test_no_form_holds_a_number_that_javascript_rounds(
    shared: httpx.AsyncClient, webapp_id: str
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": webapp_id})).json()
    assert not has_long_number(form)


# The task

# Its members, for a task with none of the optional ones.
MEMBERS_OF_A_TASK: Json = {
    "id": ID,
    "created_at": TIME,
    "updated_at": TIME,
    "result_data": None,
    "node_info": [text_node()],
    "webapp_id": TEXT_TO_IMAGE,
    "workflow_id": None,
    "runninghub_task_id": RUNNINGHUB_ID,
    "account": "default",
    "owner": None,
    "error": None,
    "waiting": None,
    "queue_position": None,
    "expected_seconds": None,
    "outputs": [],
    "cost": None,
    "metadata": None,
    "rerun_of": None,
    "deadline_at": None,
}


async def test_a_finished_task_has_runninghubs_results_and_all_its_members(
    client: httpx.AsyncClient, board: Board
) -> None:
    answer = await submit(client)
    task = await until(client, answer["task_id"], "SUCCESS")
    (running,) = await board.tasks()
    (output,) = task.pop("outputs")
    assert output["url"].startswith(f"/tasks/{task['id']}/outputs/0?expires=")
    assert {"outputs": [], **task} == {
        **MEMBERS_OF_A_TASK,
        "id": answer["task_id"],
        "status": "SUCCESS",
        "result_data": [
            {
                "fileUrl": Like(f"{board.client.base_url}/files/{running['taskId']}_00001.png.q-expires=.*"),
                "fileType": "png",
                "taskCostTime": "1",
                "nodeId": "9",
                "thirdPartyConsumeMoney": None,
                "consumeMoney": None,
                "consumeCoins": "1",
            }
        ],
        "runninghub_task_id": running["taskId"],
        "expected_seconds": 1,
        "cost": {"coins": "1", "money": None, "thirdPartyMoney": None},
    }
    assert task["created_at"] < task["updated_at"]
    assert (await board.client.get(task["result_data"][0]["fileUrl"])).content.startswith(b"\x89PNG")


async def test_a_running_task_has_no_results_and_no_expected_time_yet(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(**LONG)
    answer = await submit(client)
    assert await task_of(client, answer["task_id"]) == {
        **MEMBERS_OF_A_TASK,
        "id": answer["task_id"],
        "status": "RUNNING",
        "runninghub_task_id": answer["runninghub_task_id"],
    }


async def test_a_task_without_results_is_a_success_with_an_empty_list(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(outputs_dialect="zero_empty")
    answer = await submit(shared)
    assert (await until(shared, answer["task_id"], "SUCCESS"))["result_data"] == []


@pytest.mark.parametrize("dialect", ["wss", "no_wss", "zero_null"])
async def test_a_task_goes_from_queued_over_running_to_success_in_each_dialect(
    client: httpx.AsyncClient, board: Board, dialect: str
) -> None:
    await board.set(outputs_dialect=dialect, queue_time=0.2, run_time=0.3)
    answer = await submit(client)
    assert answer["status"] == "QUEUED"
    await until(client, answer["task_id"], "RUNNING")
    await until(client, answer["task_id"], "SUCCESS")


async def test_a_failed_task_says_which_node_broke_and_shows_no_traceback(shared: httpx.AsyncClient) -> None:
    answer = await submit(shared, webapp_id=ALWAYS_FAILS)
    task = await until(shared, answer["task_id"], "FAILED")
    assert task["error"] == {
        "code": "run_failed",
        "message": "Allocation on device",
        "node_id": "3",
        "node_name": "KSampler",
    }
    assert task["result_data"] is None
    assert "execution.py" not in json.dumps(task)


async def test_a_failure_without_a_reason_still_has_a_message(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(fail_next=1, fail_reason="null")
    answer = await submit(shared)
    task = await until(shared, answer["task_id"], "FAILED")
    assert task["error"] == {"code": "run_failed", "message": TEXT, "node_id": None, "node_name": None}


async def test_node_errors_beside_code_0_are_the_error_if_the_task_then_fails(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(prompt_tips_errors=True, fail_next=1)
    answer = await submit(shared)
    task = await until(shared, answer["task_id"], "FAILED")
    assert task["error"] == {
        "code": "run_failed",
        "message": "Required input is missing: images",
        "node_id": "9",
        "node_name": "SaveImage",
    }


async def test_node_errors_beside_code_0_do_no_harm_to_a_task_that_succeeds(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(prompt_tips_errors=True)
    answer = await submit(shared)
    assert (await until(shared, answer["task_id"], "SUCCESS"))["error"] is None


async def test_a_final_status_never_changes_whoever_asks(client: httpx.AsyncClient, board: Board) -> None:
    answer = await submit(client)
    task = await until(client, answer["task_id"], "SUCCESS")
    await board.set(forget_tasks=True)
    asked = [task["polls"] for task in await board.tasks()]
    queried = await client.post("/task/query_task_status", json={"taskId": task["id"]})
    assert queried.json() == task
    assert_problem(await client.post(f"/tasks/{task['id']}/cancel"), "not_cancellable", 409)
    assert await task_of(client, task["id"]) == task
    assert [task["polls"] for task in await board.tasks()] == asked


# POST /get_node_info


async def test_an_app_is_answered_as_a_form_with_only_the_listed_members(
    shared: httpx.AsyncClient, simulator_url: str
) -> None:
    response = await shared.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    form = response.json()
    fields, schema = form.pop("nodeInfoList"), form.pop("schema")
    assert form == {
        "webappId": TEXT_TO_IMAGE,
        "webappName": "【c0029】基础LoRA配合提示词文生图",
        "description": Like("基于 LoRA 应用.*生成。"),
        "descriptionEn": Like("Based on the ComfyUI.*achieved."),
        "covers": [
            {
                "id": "1992755951447109634",
                "url": f"{simulator_url}/covers/{TEXT_TO_IMAGE}.png",
                "thumbnailUri": Like(f"{simulator_url}/covers/{TEXT_TO_IMAGE}.png.imageMogr2/.*"),
                "imageWidth": 1280,
                "imageHeight": 720,
            }
        ],
        "tags": [{"id": "1871151815242543197", "name": "文生图", "nameEn": "Text-to-Image"}],
        "accessEncrypted": False,
        "statisticsInfo": {"likeCount": 0, "downloadCount": 0, "useCount": 0, "pv": 0, "collectCount": 0},
    }
    assert [(field["nodeId"], field["fieldName"]) for field in fields] == [
        ("4", "ckpt_name"),
        ("11", "lora_name"),
        ("15", "text"),
        ("16", "text"),
    ]
    assert fields[2] == {
        "nodeId": "15",
        "nodeName": "Text",
        "fieldName": "text",
        "fieldType": "STRING",
        "fieldValue": Like("upperbody shot.*details,"),
        "description": "正面prompt（英文）",
        "descriptionCn": None,
        "descriptionEn": "Positive prompt (English)",
        "input": {
            "type": "textarea",
            "label": "正面prompt（英文）",
            "labelEn": "Positive prompt (English)",
            "tooltip": None,
            "default": fields[2]["input"]["default"],
            "value": fields[2]["fieldValue"],
            "options": None,
            "min": None,
            "max": None,
            "step": None,
            "accept": None,
        },
    }
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]) == ["4.ckpt_name", "11.lora_name", "15.text", "16.text"]
    assert schema["properties"]["15.text"]["type"] == "string"
    assert API_KEY not in response.text
    assert "curl" not in response.text


async def test_each_kind_of_field_has_its_input(shared: httpx.AsyncClient) -> None:
    kinds = {}
    for webapp_id in (IMAGE_TO_IMAGE, AUDIO, VIDEO):
        form = (await shared.post("/get_node_info", json={"webappId": webapp_id})).json()
        for field in form["nodeInfoList"]:
            kinds[field["fieldName"], field["nodeId"]] = (field["input"]["type"], field["input"]["accept"])
    assert kinds == {
        ("image", "39"): ("image", "image/*"),
        ("prompt", "150:5"): ("textarea", None),
        ("sampling_mode.top_p", "150:5"): ("number", None),
        ("select", "41"): ("select", None),
        ("model", "52"): ("select", None),
        ("aspect_ratio", "52"): ("select", None),
        ("resolution", "60"): ("select", None),
        ("steps", "3"): ("integer", None),
        ("seed", "3"): ("integer", None),
        ("denoise", "3"): ("number", None),
        ("value", "70"): ("boolean", None),
        ("value", "71"): ("boolean", None),
        ("audio", "12"): ("audio", "audio/*"),
        ("text", "13"): ("textarea", None),
        ("language", "14"): ("select", None),
        ("speed", "14"): ("number", None),
        ("video", "30"): ("video", "video/*"),
        ("upload", "31"): ("file", ".zip"),
        ("duration_seconds", "32"): ("select", None),
        ("提示词", "32"): ("text", None),
    }


async def test_choices_keep_runninghubs_order_and_leave_the_default_marker_out(
    shared: httpx.AsyncClient,
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": IMAGE_TO_IMAGE})).json()
    options = {field["fieldName"]: field["input"]["options"] for field in form["nodeInfoList"]}
    assert options["select"] == [
        {"value": "2", "label": "qwen 大模型生成内容", "labelEn": "qwen large model generates content"},
        {"value": "1", "label": "用户输入内容", "labelEn": "User input content"},
    ]
    assert options["model"] == [
        {"value": "flux-kontext-pro", "label": "flux-kontext-pro 模型（默认）", "labelEn": None},
        {"value": "flux-kontext-max", "label": "flux-kontext-max 模型", "labelEn": None},
    ]
    assert options["image"] is None


async def test_bounds_that_javascript_cannot_hold_are_left_out_and_the_default_is_typed(
    shared: httpx.AsyncClient,
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": IMAGE_TO_IMAGE})).json()
    inputs = {field["fieldName"]: field["input"] for field in form["nodeInfoList"]}
    assert (inputs["seed"]["min"], inputs["seed"]["max"], inputs["seed"]["default"]) == (0, None, 0)
    assert (inputs["steps"]["min"], inputs["steps"]["max"], inputs["steps"]["default"]) == (1, 60, 20)
    assert inputs["denoise"]["step"] == 0.05
    values = {field["fieldName"]: field["fieldValue"] for field in form["nodeInfoList"]}
    assert (values["seed"], values["sampling_mode.top_p"]) == ("669816362794144", "0.7000000000000001")


async def test_a_form_is_kept_in_memory_until_it_is_asked_for_anew(
    client: httpx.AsyncClient, board: Board
) -> None:
    for _ in range(3):
        await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    assert await board.calls("apiCallDemo") == 1
    await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE, "refresh": True})
    assert await board.calls("apiCallDemo") == 2


async def test_a_form_is_asked_for_anew_when_its_time_is_over(service: Service, board: Board) -> None:
    async with service(node_info_ttl_s=0) as client:
        for _ in range(2):
            await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    assert await board.calls("apiCallDemo") == 2


async def test_an_app_that_needs_a_password_says_so(shared: httpx.AsyncClient) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": WITH_PASSWORD})).json()
    assert form["accessEncrypted"] is True


async def test_a_form_can_go_back_as_it_is_and_only_known_members_go_up(
    shared: httpx.AsyncClient, board: Board
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": IMAGE_TO_IMAGE})).json()
    response = await shared.post("/submit_task", json=form)
    assert response.status_code == 202, response.text
    sent = await board.sent("run")
    assert list(sent) == ["apiKey", "webappId", "nodeInfoList"]
    assert [list(item) for item in sent["nodeInfoList"]] == [
        ["nodeId", "fieldName", "fieldType", "fieldValue"]
    ] * 12


# POST /upload


async def test_an_upload_answers_the_name_that_is_the_fields_value(
    shared: httpx.AsyncClient, board: Board
) -> None:
    response = await shared.post("/upload", files={"file": ("cat.png", PNG, "image/png")})
    assert response.status_code == 200
    assert response.json() == {"fileName": Like(r"api/[0-9a-f]{64}\.png"), "fileType": "input"}
    assert await board.sent("upload") == {
        "apiKey": True,
        "fileType": "input",
        "file": {"filename": "cat.png", "size": len(PNG)},
    }
    node = {"nodeId": "39", "fieldName": "image", "fieldValue": response.json()["fileName"]}
    submitted = await shared.post("/submit_task", json={"webappId": IMAGE_TO_IMAGE, "nodeInfoList": [node]})
    assert submitted.json()["warnings"] == []


@pytest.mark.parametrize(
    "parts",
    [
        {"files": {"file": ("cat.png", b"")}},
        {"files": {"other": ("cat.png", PNG)}},
        {"data": {"file": "text"}},
        {"json": {"file": "cat.png"}},
    ],
    ids=["empty", "other name", "no file", "json"],
)
async def test_an_upload_without_a_file_is_an_invalid_request(shared: httpx.AsyncClient, parts: Json) -> None:
    response = await shared.post("/upload", **parts)
    assert_problem(response, "invalid_request", 422, errors=[{"loc": ["body", "file"], "msg": TEXT}])


# POST /submit_task


@pytest.mark.parametrize(
    ("value", "text"),
    [(8, "8"), (True, "true"), (False, "false"), (0.7, "0.7"), (2**63, "9223372036854775808"), ("猫", "猫")],
)
async def test_every_value_goes_up_as_a_string(
    shared: httpx.AsyncClient, board: Board, value: Any, text: str
) -> None:
    answer = await submit(shared, value)
    assert (await board.sent("run"))["nodeInfoList"] == [text_node(text)]
    assert (await task_of(shared, answer["task_id"]))["node_info"] == [text_node(text)]


async def test_only_the_fields_that_are_given_go_up(shared: httpx.AsyncClient, board: Board) -> None:
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": "a cat"}
    for nodes in ([], [node]):
        await shared.post("/submit_task", json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": nodes})
        assert (await board.sent("run"))["nodeInfoList"] == nodes


async def test_instance_type_and_password_are_passed_on_and_the_password_is_nowhere_else(
    service: Service, board: Board
) -> None:
    async with service() as client:
        answer = await submit(
            client, webapp_id=WITH_PASSWORD, instanceType="plus", access_password=ACCESS_PASSWORD
        )
        assert await board.sent("run") == {
            "apiKey": True,
            "webappId": WITH_PASSWORD,
            "nodeInfoList": [text_node()],
            "instanceType": "plus",
            "accessPassword": ACCESS_PASSWORD,
        }
        assert ACCESS_PASSWORD not in json.dumps(await until(client, answer["task_id"], "SUCCESS"))
    assert ACCESS_PASSWORD not in repr(service.rows("SELECT * FROM tasks"))


async def test_unknown_members_of_a_submit_are_ignored_and_named_in_warnings(
    shared: httpx.AsyncClient, board: Board
) -> None:
    body = {**submission(), "instancetype": "plus", "apiKey": "somebody's", "note": {"deep": [1]}}
    response = await shared.post("/submit_task", json=body)
    assert response.status_code == 202
    assert response.json()["warnings"] == [
        {
            "nodeId": None,
            "fieldName": "instancetype",
            "message": "Unknown member, ignored. Did you mean instanceType?",
        },
        {"nodeId": None, "fieldName": "note", "message": "Unknown member, ignored."},
    ]
    assert {"instanceType", "instancetype", "note"} & (await board.sent("run")).keys() == set()


async def test_a_wrong_password_leaves_a_failed_row(shared: httpx.AsyncClient) -> None:
    response = await shared.post("/submit_task", json=submission(webapp_id=WITH_PASSWORD, accessPassword="x"))
    upstream = {"code": 301, "msg": "accessPassword is incorrect"}
    assert_problem(response, "runninghub_rejected", 502, upstream=upstream, task_id=ID)


async def test_a_file_left_at_the_authors_sample_is_a_warning(shared: httpx.AsyncClient) -> None:
    response = await shared.post("/submit_task", json={"webappId": IMAGE_TO_IMAGE, "nodeInfoList": []})
    assert response.status_code == 202
    assert response.json()["warnings"] == [{"nodeId": "39", "fieldName": "image", "message": TEXT}]


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (("3", "steps", "61"), {"msg": "Must be at most 60."}),
        (("3", "steps", 0), {"msg": "Must be at least 1."}),
        (("3", "steps", "many"), {"msg": "Must be a whole number."}),
        (("3", "denoise", "x"), {"msg": "Must be a number."}),
        (("70", "value", "True!"), {"msg": "Must be true or false."}),
        (("60", "resolution", "8k"), {"msg": "Is not one of the choices.", "allowed": ["1k", "2k", "4k"]}),
        (("3", "no_such", "1"), {"msg": "The app has no such field."}),
        (("999", "steps", "1"), {"msg": "The app has no such field."}),
    ],
)
async def test_a_value_that_cannot_work_is_refused_before_anything_is_paid_or_stored(
    client: httpx.AsyncClient, board: Board, node: tuple[str, str, Any], error: Json
) -> None:
    node_id, field_name, value = node
    item = {"nodeId": node_id, "fieldName": field_name, "fieldValue": value}
    response = await client.post("/submit_task", json={"webappId": IMAGE_TO_IMAGE, "nodeInfoList": [item]})
    errors = [{"nodeId": node_id, "fieldName": field_name, **error}]
    assert_problem(response, "invalid_node_info", 422, errors=errors)
    assert (await client.get("/tasks")).json() == {"tasks": [], "next_cursor": None}
    assert await board.calls("run") == 0


async def test_a_refusing_form_is_fetched_anew_before_it_refuses(
    client: httpx.AsyncClient, board: Board
) -> None:
    await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    body = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [{**text_node(), "fieldName": "new_field"}]}
    assert (await client.post("/submit_task", json=body)).status_code == 422
    assert await board.calls("apiCallDemo") == 2


@pytest.mark.parametrize("kind", ["http_500_html", "invalid_json", "wrong_types", "close_before"])
async def test_without_a_form_the_check_is_skipped(
    client: httpx.AsyncClient, board: Board, kind: str
) -> None:
    await board.fault("apiCallDemo", kind)
    assert (await submit(client))["status"] == "RUNNING"


async def test_what_runninghub_refuses_names_the_fields_and_leaves_a_failed_row(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.fault("apiCallDemo", "http_500_html")
    body = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [{**text_node(), "nodeId": "77"}]}
    response = await client.post("/submit_task", json=body)
    msg = "NODE_INFO_MISMATCH(nodeId=77, fieldName=text, reason=node_not_found_in_workflow)"
    assert_problem(
        response,
        "invalid_node_info",
        422,
        errors=[{"nodeId": "77", "fieldName": "text", "msg": "node_not_found_in_workflow"}],
        upstream={"code": 803, "msg": msg},
        task_id=ID,
    )
    task = await task_of(client, response.json()["task_id"])
    assert task["status"] == "FAILED"
    assert task["error"]["code"] == "invalid_node_info"
    assert task["error"]["message"] == response.json()["detail"]


@pytest.mark.parametrize("dialect", ["421", "415", "814", "1003", "1520", "http_429"])
async def test_runninghubs_limits_are_a_wait_and_no_error(
    client: httpx.AsyncClient, board: Board, dialect: str
) -> None:
    await board.set(slots=1, slots_dialect=dialect, run_time=0.2)
    first = await submit(client, "first")
    second = await submit(client, "second")
    assert second == {
        "task_id": ID,
        "status": "PENDING",
        "runninghub_task_id": None,
        "queue_position": 1,
        "warnings": [],
    }
    await until(client, first["task_id"], "SUCCESS")
    await until(client, second["task_id"], "SUCCESS")


async def test_waiting_tasks_have_their_place_and_go_first_in_first_out(
    service: Service, board: Board
) -> None:
    await board.set(**LONG)
    async with service(max_concurrent_tasks=1) as client:
        running = await submit(client, "0")
        answers = [await submit(client, str(number)) for number in range(1, 4)]
        assert [answer["queue_position"] for answer in answers] == [1, 2, 3]
        await client.post(f"/tasks/{answers[0]['task_id']}/cancel")
        places = [(await task_of(client, answer["task_id"]))["queue_position"] for answer in answers]
        assert places == [None, 1, 2]
        await client.post(f"/tasks/{running['task_id']}/cancel")
        await until(client, answers[1]["task_id"], "RUNNING")
        assert (await task_of(client, answers[2]["task_id"]))["queue_position"] == 1
    assert [task["nodeInfoList"][0]["fieldValue"] for task in await board.tasks()] == ["0", "2"]


async def test_never_more_than_max_concurrent_tasks_run(service: Service, board: Board) -> None:
    async with service(max_concurrent_tasks=2) as client:
        answers = await asyncio.gather(*(submit(client, str(number)) for number in range(8)))
        for answer in answers:
            await until(client, answer["task_id"], "SUCCESS")
    counters = (await board.client.get("/simulator/counters")).json()
    assert (counters["max_active"], counters["runs_accepted"]) == (2, 8)


async def test_a_runninghub_that_is_not_reached_was_sent_nothing(service: Service) -> None:
    port = free_port()
    async with service(runninghub_base_url=f"http://127.0.0.1:{port}") as client:
        answer = await submit(client)
        assert (answer["status"], answer["queue_position"]) == ("PENDING", 1)
        assert (await task_of(client, answer["task_id"]))["waiting"]["code"] == "runninghub_unavailable"
        with start_simulator(port=port, queue_time=0, run_time=0.02) as simulator:
            await until(client, answer["task_id"], "SUCCESS")
            async with httpx.AsyncClient(base_url=simulator.url) as board:
                counters = (await board.get("/simulator/counters")).json()
    assert counters["calls"]["run"] == 1


@pytest.mark.parametrize(
    ("kind", "details", "code", "status"),
    [
        ("lost_reply", {}, "runninghub_timeout", 504),
        ("lost_reply", {"reset": True}, "runninghub_timeout", 504),
        ("close_before", {}, "runninghub_timeout", 504),
        ("hang", {}, "runninghub_timeout", 504),
        ("slow_bytes", {"seconds": 0.2}, "runninghub_timeout", 504),
        ("http_500_html", {}, "runninghub_unavailable", 503),
        ("http_502_html", {}, "runninghub_unavailable", 503),
        ("http_504_html", {"handled": True}, "runninghub_unavailable", 503),
        ("html_200", {}, "runninghub_unavailable", 503),
        ("invalid_json", {"handled": True}, "runninghub_unavailable", 503),
        ("empty", {}, "runninghub_unavailable", 503),
        ("wrong_types", {}, "runninghub_unavailable", 503),
        ("huge", {"megabytes": 20}, "runninghub_unavailable", 503),
    ],
)
async def test_a_paid_call_without_a_usable_answer_is_unknown_and_never_sent_again(
    service: Service, board: Board, kind: str, details: Json, code: str, status: int
) -> None:
    async with service(runninghub_timeout_s=1) as client:
        await board.fault("run", kind, **details)
        response = await client.post("/submit_task", json=submission())
        assert_problem(response, code, status, task_id=ID)
        assert response.headers["retry-after"].isdecimal()
        task_id = response.json()["task_id"]
    await board.set(faults={})
    async with service() as client:
        task = await task_of(client, task_id)
        assert (task["status"], task["error"]["code"]) == ("SUBMIT_UNKNOWN", code)
        assert task["runninghub_task_id"] is None
        last = await submit(client, "the next one")
        await until(client, last["task_id"], "SUCCESS")
        later = await task_of(client, task_id)
        assert later == {**task, "expected_seconds": later["expected_seconds"]}
    assert await board.calls("run") == 2


async def test_the_same_key_and_body_is_the_same_task(shared: httpx.AsyncClient, board: Board) -> None:
    headers = {"Idempotency-Key": "order-7"}
    responses = await asyncio.gather(
        *(shared.post("/submit_task", json=submission(), headers=headers) for _ in range(10))
    )
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["task_id"] for response in responses}) == 1
    assert {response.headers["location"] for response in responses} == {
        f"/tasks/{responses[0].json()['task_id']}"
    }
    await until(shared, responses[0].json()["task_id"], "SUCCESS")
    again = await shared.post(
        "/submit_task",
        json={"webapp_id": int(TEXT_TO_IMAGE), "node_info_list": [text_node()], "apiKey": "x"},
        headers=headers,
    )
    assert again.status_code == 202
    assert again.json() == {**responses[0].json(), "status": "SUCCESS"}
    assert await board.calls("run") == 1


async def test_a_key_survives_a_restart(service: Service, board: Board) -> None:
    async with service() as client:
        first = await client.post("/submit_task", json=submission(), headers={"Idempotency-Key": "k"})
    async with service() as client:
        again = await client.post("/submit_task", json=submission(), headers={"Idempotency-Key": "k"})
    assert again.json()["task_id"] == first.json()["task_id"]
    assert await board.calls("run") == 1


@pytest.mark.parametrize(("length", "status"), [(0, 422), (1, 202), (255, 202), (256, 422)])
async def test_a_key_has_1_to_255_characters(shared: httpx.AsyncClient, length: int, status: int) -> None:
    headers = {"Idempotency-Key": "x" * length}
    assert (await shared.post("/submit_task", json=submission(), headers=headers)).status_code == status


# POST /task/query_task_status


async def test_a_query_asks_runninghub_now_and_stores_what_it_says(service: Service, board: Board) -> None:
    async with service(poll_interval_s=600, poll_interval_max_s=600) as client:
        answer = await submit(client)
        await ended_at_runninghub(board)
        response = await client.post("/task/query_task_status", json={"taskId": answer["task_id"]})
        assert response.status_code == 200
        assert response.json()["status"] == "SUCCESS"
        assert await task_of(client, answer["task_id"]) == response.json()


async def test_a_task_that_only_runninghub_knows_is_taken_in(
    service: Service, board: Board, tmp_path: Path
) -> None:
    async with service() as client:
        known = await submit(client)
        await until(client, known["task_id"], "SUCCESS")
    (tmp_path / "tasks.db").rename(tmp_path / "old.db")
    for name in ("tasks.db-wal", "tasks.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    async with service() as client:
        task_id = int(known["runninghub_task_id"])
        response = await client.post("/task/query_task_status", json={"taskId": task_id})
        assert response.status_code == 200
        taken_in = response.json()
        assert (taken_in["status"], taken_in["webapp_id"], taken_in["node_info"]) == ("SUCCESS", None, [])
        assert taken_in["id"] == ID
        assert taken_in["runninghub_task_id"] == known["runninghub_task_id"]
        assert len(taken_in["result_data"]) == 1
        assert (await client.get("/tasks")).json()["tasks"] == [taken_in]


# GET /tasks/{task_id}


async def test_reading_a_task_does_not_ask_runninghub(service: Service, board: Board) -> None:
    await board.set(**LONG)
    async with service(poll_interval_s=600, poll_interval_max_s=600) as client:
        answer = await submit(client)
        for _ in range(5):
            await task_of(client, answer["task_id"])
    assert [task["polls"] for task in await board.tasks()] == [0]


async def test_a_wait_answers_at_the_change_or_at_its_end(client: httpx.AsyncClient, board: Board) -> None:
    await board.set(run_time=0.3)
    answer = await submit(client)
    path = f"/tasks/{answer['task_id']}"
    early = await client.get(path, params={"wait": 0.05})
    assert early.json()["status"] == "RUNNING"
    async with asyncio.timeout(20):
        assert (await client.get(path, params={"wait": 60})).json()["status"] == "SUCCESS"
        assert (await client.get(path, params={"wait": 60})).json()["status"] == "SUCCESS"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "x"])
async def test_a_wait_is_between_0_and_60_seconds(shared: httpx.AsyncClient, wait: str) -> None:
    answer = await submit(shared)
    response = await shared.get(f"/tasks/{answer['task_id']}", params={"wait": wait})
    errors = [{"loc": ["query", "wait"], "msg": TEXT}]
    assert_problem(response, "invalid_request", 422, errors=errors)


# GET /tasks


async def test_pages_are_newest_first_and_stable_while_tasks_arrive(service: Service, board: Board) -> None:
    await board.set(**LONG)
    async with service() as client:
        first = [(await submit(client, str(number)))["task_id"] for number in range(7)]
        seen: list[str] = []
        cursor: str | None = None
        sizes = []
        while True:
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/tasks", params=params)).json()
            assert list(page) == ["tasks", "next_cursor"]
            seen += [task["id"] for task in page["tasks"]]
            sizes.append(len(page["tasks"]))
            if (cursor := page["next_cursor"]) is None:
                break
            await submit(client, "a later one")
        assert seen == first[::-1]
        assert sizes == [3, 3, 1]
        newest = (await client.get("/tasks", params={"limit": 1})).json()["tasks"][0]
        assert newest == await task_of(client, newest["id"])
        assert newest["node_info"] == [text_node("a later one")]


async def test_a_page_that_ends_exactly_at_the_last_task_has_no_next(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await submit(client)
    assert (await client.get("/tasks", params={"limit": 2})).json()["next_cursor"] is None


async def test_tasks_are_filtered_by_status_and_app(client: httpx.AsyncClient) -> None:
    done = await submit(client)
    failed = await submit(client, webapp_id=ALWAYS_FAILS)
    await until(client, done["task_id"], "SUCCESS")
    await until(client, failed["task_id"], "FAILED")

    async def ids(**params: Any) -> list[str]:
        response = await client.get("/tasks", params=params)
        assert response.status_code == 200
        return [task["id"] for task in response.json()["tasks"]]

    assert await ids(status="SUCCESS") == [done["task_id"]]
    assert await ids(status=["SUCCESS", "FAILED"]) == [failed["task_id"], done["task_id"]]
    assert await ids(webapp_id=ALWAYS_FAILS) == [failed["task_id"]]
    assert await ids(webapp_id=ALWAYS_FAILS, status="SUCCESS") == []
    assert await ids(status="PENDING") == []


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("limit=0", ["query", "limit"]),
        ("limit=201", ["query", "limit"]),
        ("status=DONE", ["query", "status", 0]),
        ("cursor=x", ["query", "cursor"]),
    ],
)
async def test_a_list_query_that_does_not_fit_is_refused(
    shared: httpx.AsyncClient, query: str, loc: list[Any]
) -> None:
    assert (await shared.get("/tasks?limit=200")).status_code == 200
    response = await shared.get(f"/tasks?{query}")
    assert_problem(response, "invalid_request", 422, errors=[{"loc": loc, "msg": TEXT}])


async def test_an_unknown_query_parameter_of_a_list_is_refused(shared: httpx.AsyncClient) -> None:
    response = await shared.get("/tasks?satus=FAILED&limit=1")
    assert_problem(
        response, "invalid_request", 422, errors=[{"loc": ["query", "satus"], "msg": "Unknown parameter"}]
    )


# POST /tasks/{task_id}/cancel


async def test_a_waiting_task_is_cancelled_without_runninghub(service: Service, board: Board) -> None:
    await board.set(**LONG)
    async with service(max_concurrent_tasks=1) as client:
        await submit(client)
        waiting = await submit(client, "second")
        response = await client.post(f"/tasks/{waiting['task_id']}/cancel")
        assert response.status_code == 200
        assert response.json() == await task_of(client, waiting["task_id"])
        assert (response.json()["status"], response.json()["queue_position"]) == ("CANCELLED", None)
    assert (await board.calls("cancel"), await board.calls("run")) == (0, 1)


async def test_a_running_task_is_cancelled_at_runninghub(client: httpx.AsyncClient, board: Board) -> None:
    await board.set(**LONG)
    answer = await submit(client)
    response = await client.post(f"/tasks/{answer['task_id']}/cancel")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["error"]) == ("CANCELLED", None)
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


async def test_a_cancel_during_the_paid_call_is_passed_on_after_it(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(run_latency=0.3, **LONG)
    submitting = asyncio.create_task(submit(client))

    async def is_submitting() -> bool:
        return bool((await client.get("/tasks?status=SUBMITTING")).json()["tasks"])

    await eventually(is_submitting)
    (task,) = (await client.get("/tasks")).json()["tasks"]
    assert (await client.post(f"/tasks/{task['id']}/cancel")).status_code == 200
    await submitting
    await until(client, task["id"], "CANCELLED")
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


async def test_a_cancel_that_comes_after_the_end_ends_as_runninghub_says(
    service: Service, board: Board
) -> None:
    async with service(poll_interval_s=600, poll_interval_max_s=600) as client:
        answer = await submit(client)
        await ended_at_runninghub(board)
        response = await client.post(f"/tasks/{answer['task_id']}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "SUCCESS")


async def test_a_cancel_that_runninghub_does_not_take_is_kept_until_it_is_confirmed(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(**LONG)
    answer = await submit(client)
    await board.fault("cancel", "http_502_html", times=2)
    response = await client.post(f"/tasks/{answer['task_id']}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "RUNNING")
    await until(client, answer["task_id"], "CANCELLED")
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


async def test_a_cancel_of_an_unknown_submit_is_kept_until_it_is_settled(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(**LONG)
    task_id = await unknown_task(client, board)
    response = await client.post(f"/tasks/{task_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "SUBMIT_UNKNOWN")
    (running,) = await board.tasks()
    await client.post(f"/tasks/{task_id}/settle", json={"runninghub_task_id": running["taskId"]})
    await until(client, task_id, "CANCELLED")
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


# POST /tasks/{task_id}/settle


@pytest.mark.parametrize("kind", [str, int])
async def test_a_person_settles_an_unknown_task_with_its_id_and_the_watch_goes_on(
    client: httpx.AsyncClient, board: Board, kind: Callable[[str], Any]
) -> None:
    task_id = await unknown_task(client, board)
    (running,) = await board.tasks()
    body = {"runninghub_task_id": kind(running["taskId"])}
    response = await client.post(f"/tasks/{task_id}/settle", json=body)
    assert response.status_code == 200
    assert response.json()["runninghub_task_id"] == running["taskId"]
    assert response.json()["error"] is None
    await until(client, task_id, "SUCCESS")
    assert await board.calls("run") == 1


async def test_a_person_sends_an_unknown_task_again(client: httpx.AsyncClient, board: Board) -> None:
    await board.fault("run", "close_before", times=1)
    response = await client.post("/submit_task", json=submission())
    task_id = response.json()["task_id"]
    settled = await client.post(f"/tasks/{task_id}/settle", json={"resubmit": True})
    assert settled.status_code == 200
    assert settled.json()["status"] in {"PENDING", "SUBMITTING", "RUNNING"}
    await until(client, task_id, "SUCCESS")
    assert len(await board.tasks()) == 1


async def test_a_task_that_is_sent_again_forgets_an_earlier_cancel(service: Service, board: Board) -> None:
    await board.fault("run", "hang", handled=False, times=1)
    async with service(runninghub_timeout_s=1) as client:
        submitting = asyncio.create_task(client.post("/submit_task", json=submission()))

        async def is_submitting() -> bool:
            return bool((await client.get("/tasks?status=SUBMITTING")).json()["tasks"])

        await eventually(is_submitting)
        (task,) = (await client.get("/tasks")).json()["tasks"]
        await client.post(f"/tasks/{task['id']}/cancel")
        assert (await submitting).status_code == 504
        await client.post(f"/tasks/{task['id']}/settle", json={"resubmit": True})
        await until(client, task["id"], "SUCCESS")


@pytest.mark.parametrize("body", [{}, {"resubmit": False}, {"resubmit": True, "runninghub_task_id": "1"}])
async def test_settling_takes_exactly_one_word(client: httpx.AsyncClient, board: Board, body: Json) -> None:
    task_id = await unknown_task(client, board)
    response = await client.post(f"/tasks/{task_id}/settle", json=body)
    assert_problem(response, "invalid_request", 422, errors=[{"loc": ["body"], "msg": TEXT}])
    assert (await task_of(client, task_id))["status"] == "SUBMIT_UNKNOWN"


# POST /webhooks/runninghub/{task_id}/{signature}

WEBHOOKS = {
    "public_url": "http://127.0.0.1:9/app",
    "poll_interval_s": 600,
    "poll_interval_max_s": 600,
}


async def webhook_path(board: Board) -> str:
    await board.set(webhook="off")
    (task,) = await board.tasks()
    path: str = task["webhookUrl"].removeprefix("http://127.0.0.1:9/app")
    return path


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"taskId": 5}', b'{"event":"TASK_END","eventData":"{}"}', b"\xff" * 100]
)
async def test_a_webhook_makes_the_watch_look_now_whatever_its_body_holds(
    service: Service, board: Board, body: bytes
) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        answer = await submit(client)
        path = await webhook_path(board)
        assert path.startswith(f"/webhooks/runninghub/{answer['task_id']}/")
        await ended_at_runninghub(board)
        response = await client.post(path, content=body)
        assert (response.status_code, response.content) == (204, b"")
        await until(client, answer["task_id"], "SUCCESS")


async def test_early_late_and_repeated_webhooks_do_no_harm(service: Service, board: Board) -> None:
    await board.set(webhook="off", run_time=0.4)
    async with service(**WEBHOOKS) as client:
        answer = await submit(client)
        path = await webhook_path(board)
        early = await client.post(path, json={"event": "TASK_END", "eventData": '{"code":805}'})
        assert early.status_code == 204
        await ended_at_runninghub(board)
        for _ in range(3):
            assert (await client.post(path, json={})).status_code == 204
        task = await until(client, answer["task_id"], "SUCCESS")
        assert (await client.post(path, json={"taskId": "1"})).status_code == 204
        assert await task_of(client, answer["task_id"]) == task


async def test_a_forged_webhook_is_not_found_and_asks_nothing(service: Service, board: Board) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        answer = await submit(client)
        path = await webhook_path(board)
        await ended_at_runninghub(board)
        signature = path.rpartition("/")[2]
        for task_id, word in [
            (answer["task_id"], "0" * 64),
            (answer["task_id"], signature[:-1] + ("0" if signature[-1] != "0" else "1")),
            (answer["runninghub_task_id"], signature),
            (answer["task_id"], "é"),
            ("0" * 32, signature),
        ]:
            response = await client.post(f"/webhooks/runninghub/{task_id}/{word}", json={})
            assert_problem(response, "task_not_found", 404)
        assert (await task_of(client, answer["task_id"]))["status"] == "RUNNING"
    assert [task["polls"] for task in await board.tasks()] == [0]


async def test_a_webhook_settles_a_task_whose_paid_call_got_no_answer(service: Service, board: Board) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        task_id = await unknown_task(client, board)
        path = await webhook_path(board)
        await ended_at_runninghub(board)
        (running,) = await board.tasks()
        await client.post(path, json={"event": "TASK_END", "taskId": running["taskId"]})
        task = await until(client, task_id, "SUCCESS")
        assert task["runninghub_task_id"] == running["taskId"]
        assert task["error"] is None
    assert await board.calls("run") == 1


async def test_a_webhook_with_a_wrong_id_leaves_an_unknown_task_unknown(
    service: Service, board: Board
) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        task_id = await unknown_task(client, board)
        path = await webhook_path(board)
        await client.post(path, json={"taskId": "1234567890"})

        async def runninghub_does_not_know_it() -> bool:
            health = (await client.get("/health")).json()
            return bool(health["runninghub_last_answer"]["upstream_code"] == "807")

        await eventually(runninghub_does_not_know_it)
        assert (await task_of(client, task_id))["status"] == "SUBMIT_UNKNOWN"


async def test_without_a_public_url_no_webhook_is_asked_for(shared: httpx.AsyncClient, board: Board) -> None:
    await submit(shared)
    assert "webhookUrl" not in await board.sent("run")


# GET /account, /health, /docs


async def test_the_account_has_its_five_members_and_no_key(shared: httpx.AsyncClient, board: Board) -> None:
    response = await shared.get("/account")
    assert (response.status_code, response.json()) == (
        200,
        {
            "remainCoins": "99999",
            "currentTaskCounts": "0",
            "remainMoney": None,
            "currency": None,
            "apiType": "NORMAL",
        },
    )
    assert await board.sent("accountStatus") == {"apikey": True}
    data = {"remainCoins": "1", "currentTaskCounts": "2", "apikey": API_KEY, "userName": "x"}
    await board.fault("accountStatus", "code", code=0, msg="success", data=data)
    assert (await shared.get("/account")).json() == {
        "remainCoins": "1",
        "currentTaskCounts": "2",
        "remainMoney": None,
        "currency": None,
        "apiType": None,
    }


async def test_health_counts_the_tasks_of_every_status(client: httpx.AsyncClient) -> None:
    answer = await submit(client)
    await until(client, answer["task_id"], "SUCCESS")
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "database": "ok",
        "runninghub": "configured",
        "reason": None,
        "watch": "ok",
        "watch_last_beat": TIME,
        "runninghub_last_answer": {"at": TIME, "upstream_code": "0"},
        "outputs": "ok",
        "tasks": dict.fromkeys(TaskStatus, 0) | {"SUCCESS": 1},
    }


async def test_health_says_when_no_key_is_set_and_the_service_still_reads(
    service: Service,
) -> None:
    async with service(runninghub_api_key=None) as client:
        health = await client.get("/health")
        assert (health.status_code, health.json()["runninghub"]) == (200, "not_configured")
        assert (await client.get("/tasks")).status_code == 200
        assert (await client.get("/docs")).status_code == 200


@pytest.mark.parametrize("fault", ["http_502_html", "empty", "lost_reply"])
async def test_health_says_when_runninghub_is_unreachable(
    client: httpx.AsyncClient, board: Board, fault: str
) -> None:
    await board.fault("*", fault)  # all calls: one in the background must not be the last to succeed
    assert (await client.get("/account")).status_code in {503, 504}
    health = await client.get("/health")
    assert (health.status_code, health.json()["runninghub"]) == (200, "unreachable")
    await board.set(faults={})
    await client.get("/account")
    assert (await client.get("/health")).json()["runninghub"] == "configured"


async def test_health_is_503_when_the_database_is_lost(service: Service) -> None:
    async with service() as client:
        (service.directory / "tasks.db").unlink()
        response = await client.get("/health")
        assert response.status_code == 503
        assert (response.json()["status"], response.json()["database"]) == ("unavailable", "unavailable")
        assert response.json()["reason"]


async def test_the_docs_load_nothing_from_another_host(shared: httpx.AsyncClient) -> None:
    page = await shared.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    for address in addresses:
        assert address.startswith(("/", "data:"))
        assert not address.startswith("//")
        if address.startswith("/"):
            assert (await shared.get(address)).status_code == 200


# Problems

Scenario = Callable[["Service", Board], Awaitable[httpx.Response]]
CODES = {
    "invalid_request": 422,
    "invalid_node_info": 422,
    "unauthorized": 401,
    "forbidden_host": 403,
    "task_not_found": 404,
    "webapp_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_cancellable": 409,
    "not_unknown": 409,
    "idempotency_key_reused": 422,
    "body_too_large": 413,
    "file_too_large": 413,
    "unsupported_file": 415,
    "too_many_pending": 429,
    "rate_limited": 429,
    "insufficient_balance": 402,
    "runninghub_not_configured": 503,
    "runninghub_rejected": 502,
    "runninghub_unavailable": 503,
    "runninghub_timeout": 504,
    "database_unavailable": 503,
    "internal_error": 500,
}
RETRY_AFTER = {
    *("too_many_pending", "rate_limited", "runninghub_unavailable", "runninghub_timeout"),
    "database_unavailable",
}


async def produce_invalid_request(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/submit_task", json={"nodeInfoList": []})


async def produce_invalid_node_info(service: Service, board: Board) -> httpx.Response:
    await board.fault("run", "code", code=433, msg="VALIDATE_PROMPT_FAILED")
    async with service() as client:
        return await client.post("/submit_task", json=submission())


async def produce_unauthorized(service: Service, board: Board) -> httpx.Response:
    async with service(access_tokens="right") as client:
        return await client.get("/tasks", headers={"Authorization": "Bearer wrong"})


async def produce_forbidden_host(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.get("/tasks", headers={"Host": "tasks.example.com"})


async def produce_task_not_found(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/task/query_task_status", json={"taskId": "1234567890123456789"})


async def produce_webapp_not_found(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/get_node_info", json={"webappId": UNKNOWN_APP})


async def produce_not_found(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.get("/no/such/route")


async def produce_method_not_allowed(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.delete("/tasks")


async def produce_not_cancellable(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        answer = await submit(client)
        await until(client, answer["task_id"], "SUCCESS")
        return await client.post(f"/tasks/{answer['task_id']}/cancel")


async def produce_not_unknown(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        answer = await submit(client)
        return await client.post(f"/tasks/{answer['task_id']}/settle", json={"resubmit": True})


async def produce_idempotency_key_reused(service: Service, board: Board) -> httpx.Response:
    headers = {"Idempotency-Key": "k"}
    async with service() as client:
        await client.post("/submit_task", json=submission("a"), headers=headers)
        return await client.post("/submit_task", json=submission("b"), headers=headers)


async def produce_body_too_large(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        return await client.post("/submit_task", json=submission("x" * 4_200_000))


async def produce_file_too_large(service: Service, board: Board) -> httpx.Response:
    async with service(max_upload_mb=1) as client:
        response = await client.post("/upload", files={"file": ("a.png", bytes(1024 * 1024 + 1))})
    assert await board.calls("upload") <= 1
    return response


async def produce_unsupported_file(service: Service, board: Board) -> httpx.Response:
    await board.set(unsupported_dialect="301")
    async with service() as client:
        return await client.post("/upload", files={"file": ("a.exe", b"MZ")})


async def produce_too_many_pending(service: Service, board: Board) -> httpx.Response:
    await board.set(**LONG)
    async with service(max_concurrent_tasks=1, max_pending_tasks=2) as client:
        for _ in range(3):
            await submit(client)
        response = await client.post("/submit_task", json=submission())
        assert (await client.get("/health")).json()["tasks"]["PENDING"] == 2
        return response


async def produce_rate_limited(service: Service, board: Board) -> httpx.Response:
    async with service(rate_limit_per_minute=1) as client:
        await submit(client)
        assert (await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})).status_code == 200
        return await client.post("/submit_task", json=submission())


async def produce_insufficient_balance(service: Service, board: Board) -> httpx.Response:
    await board.fault("accountStatus", "code", code=416, msg="TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET")
    async with service() as client:
        return await client.get("/account")


async def produce_runninghub_not_configured(service: Service, board: Board) -> httpx.Response:
    async with service(runninghub_api_key=None) as client:
        response = await client.post("/submit_task", json=submission())
        assert "RUNNINGHUB_API_KEY" in response.json()["detail"]
        assert (await client.get("/tasks")).json()["tasks"] == []
        return response


async def produce_runninghub_rejected(service: Service, board: Board) -> httpx.Response:
    await board.fault("*", "code", code=806, msg="APIKEY_USER_NOT_FOUND")
    async with service() as client:
        return await client.get("/account")


async def produce_runninghub_unavailable(service: Service, board: Board) -> httpx.Response:
    async with service(runninghub_base_url="http://127.0.0.1:9") as client:
        return await client.get("/account")


async def produce_runninghub_timeout(service: Service, board: Board) -> httpx.Response:
    await board.fault("accountStatus", "hang")
    async with service(runninghub_timeout_s=0.3) as client:
        return await client.get("/account")


async def produce_internal_error(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        await submit(client)
        service.rows("UPDATE tasks SET node_info = 'no JSON'")
        return await client.get("/tasks", headers={"X-Request-ID": "my-request"})


async def produce_database_unavailable(service: Service, board: Board) -> httpx.Response:
    async with service() as client:
        service.rows("ALTER TABLE tasks RENAME TO gone")
        return await client.get("/tasks")


UPSTREAM = {
    "invalid_node_info": {"code": 433, "msg": "VALIDATE_PROMPT_FAILED"},
    "webapp_not_found": {"code": 1, "msg": "webapp not exists"},
    "unsupported_file": {"code": 301, "msg": "file type is not supported"},
    "insufficient_balance": {"code": 416, "msg": "TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET"},
    "runninghub_rejected": {"code": 806, "msg": "APIKEY_USER_NOT_FOUND"},
}
MEMBERS: dict[str, Json] = {code: {"upstream": upstream} for code, upstream in UPSTREAM.items()}
MEMBERS["invalid_request"] = {"errors": [{"loc": ["body"], "msg": "give either webappId or workflowId"}]}
MEMBERS["invalid_node_info"] |= {
    "errors": [{"nodeId": None, "fieldName": None, "msg": "VALIDATE_PROMPT_FAILED"}],
    "task_id": ID,
}
MEMBERS["internal_error"] = {"request_id": "my-request"}


@pytest.mark.parametrize("code", CODES)
async def test_every_problem_has_its_status_and_the_one_envelope(
    service: Service, board: Board, code: str
) -> None:
    scenario: Scenario = globals()[f"produce_{code}"]
    response = await scenario(service, board)
    assert_problem(response, code, CODES[code], **MEMBERS.get(code, {}))
    assert response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (code in RETRY_AFTER)
    assert ("www-authenticate" in response.headers) == (code == "unauthorized")


def test_the_table_of_problems_has_the_same_statuses() -> None:
    statuses = {error.code: error.status_code for error in AppError.__subclasses__()}
    assert {code: statuses[code] for code in CODES} == CODES


@pytest.mark.parametrize(
    ("upstream", "code", "status"),
    [
        (433, "invalid_node_info", 422),
        (803, "invalid_node_info", 422),
        (1101, "invalid_node_info", 422),
        (901, "webapp_not_found", 404),
        *((number, "runninghub_rejected", 502) for number in (301, 435, 810, 1007)),
    ],
)
async def test_a_refusal_leaves_a_failed_row_with_the_same_code(
    shared: httpx.AsyncClient, board: Board, upstream: int, code: str, status: int
) -> None:
    await board.fault("run", "code", code=upstream, msg="SAID SO")
    response = await shared.post("/submit_task", json=submission())
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["upstream"] == {"code": upstream, "msg": "SAID SO"}
    task = await task_of(shared, response.json()["task_id"])
    assert (task["status"], task["error"]["code"]) == ("FAILED", code)
    assert task["error"]["message"] == response.json()["detail"]
    assert await board.calls("run") == 1


@pytest.mark.parametrize(
    ("upstream", "reason"),
    [
        *((number, "insufficient_balance") for number in (414, 416, 605, 812)),
        *((number, "key_refused") for number in (-1, 401, 801, 802, 806, 811, 1002, 1014)),
    ],
)
async def test_what_is_wrong_with_the_account_leaves_the_task_waiting_with_the_reason(
    client: httpx.AsyncClient, board: Board, upstream: int, reason: str
) -> None:
    await board.fault("*", "code", code=upstream, msg="SAID SO")
    answer = await submit(client)
    assert (answer["status"], answer["queue_position"]) == ("PENDING", 1)

    async def is_probed() -> bool:
        """The account has been probed too, and with the same outcome."""
        waiting = (await task_of(client, answer["task_id"]))["waiting"]
        assert waiting["code"] == reason
        return bool(waiting["next_try_at"] > waiting["since"])

    await eventually(is_probed)
    await board.set(faults={})
    await until(client, answer["task_id"], "SUCCESS")
    assert await board.calls("run") == 2


@pytest.mark.parametrize("upstream", [500, 1000, 1005, 1010, 1011, 1012])
async def test_a_code_that_leaves_open_whether_it_runs_makes_the_outcome_unknown(
    client: httpx.AsyncClient, board: Board, upstream: int
) -> None:
    await board.fault("run", "code", code=upstream, msg="SAID SO")
    response = await client.post("/submit_task", json=submission())
    assert_problem(
        response,
        "runninghub_unavailable",
        503,
        task_id=ID,
        upstream={"code": upstream, "msg": "SAID SO"},
    )
    assert (await task_of(client, response.json()["task_id"]))["status"] == "SUBMIT_UNKNOWN"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("http_500_html", "runninghub_unavailable", 503),
        ("http_429", "runninghub_rejected", 502),
        ("http_401", "runninghub_rejected", 502),
        ("html_200", "runninghub_unavailable", 503),
        ("invalid_json", "runninghub_unavailable", 503),
        ("empty", "runninghub_unavailable", 503),
        ("close_before", "runninghub_unavailable", 503),
        ("huge", "runninghub_unavailable", 503),
        ("hang", "runninghub_timeout", 504),
        ("wrong_types", "", 0),
    ],
)
@pytest.mark.parametrize("route", ["node_info", "upload", "query", "account"])
async def test_whatever_runninghub_answers_the_client_gets_the_tables_problem(
    service: Service, board: Board, route: str, kind: str, code: str, status: int
) -> None:
    details = {"megabytes": 20} if kind == "huge" else {}
    async with service(runninghub_timeout_s=0.3 if kind == "hang" and route != "upload" else 30) as client:
        await board.fault("*", kind, **({"seconds": 0.1} if route == "upload" else {}), **details)
        response = await {
            "node_info": lambda: client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE}),
            "upload": lambda: client.post("/upload", files={"file": ("a.png", PNG)}),
            "query": lambda: client.post("/task/query_task_status", json={"taskId": "1" * 19}),
            "account": lambda: client.get("/account"),
        }[route]()
    if kind == "wrong_types" or (kind == "hang" and route == "upload"):
        assert response.status_code in {200, 502, 503}
        return
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


LONE = "\\ud83d"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"webappId":"1{LONE}","nodeInfoList":[]}}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":[{{"nodeId":"{LONE}","fieldName":"a","fieldValue":""}}]}}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":[{{"nodeId":"1","fieldName":"{LONE}","fieldValue":""}}]}}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":[],"accessPassword":"{LONE}"}}',
        f'{{"webappId":{"1" * 5000},"nodeInfoList":[]}}',
        '{"webappId":true,"nodeInfoList":[]}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":{"[" * 100_000}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":null}}',
        '"x"',
        "",
        "\x00",
    ],
)
async def test_an_odd_body_is_an_invalid_request(shared: httpx.AsyncClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await shared.post("/submit_task", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_a_body_without_its_content_type_is_told_about_it(shared: httpx.AsyncClient) -> None:
    response = await shared.post("/submit_task", content=json.dumps(submission()))
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "Content-Type: application/json" in response.json()["detail"]


@asynccontextmanager
async def runninghub_that_says(**replies: bytes) -> AsyncIterator[str]:
    """An upstream of raw bytes, by the last word of the path: for what the simulator cannot say."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        path = head.split()[1].partition(b"?")[0].decode()
        writer.write(replies.get(path.rpartition("/")[2], b""))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def raw(body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body), b"Connection: close")
    return b"\r\n".join((*lines, b"", body))


ACCEPTED = raw(b'{"code":0,"data":{"taskId":"1990000000000000003","taskStatus":"RUNNING"}}')


@pytest.mark.parametrize(
    ("data", "results"),
    [
        (b'[{"fileUrl":"cut \\ud83d"}]', [{"fileUrl": "cut ?"}]),
        (b'[{"x":NaN,"y":1e999}]', [{"x": None, "y": None}]),
        (b'[1,"a",null,[2]]', [1, "a", None, [2]]),
        (b'[{"x":"a\\u0000b"}]', [{"x": "a\0b"}]),
    ],
)
async def test_odd_results_are_stored_and_can_be_read(service: Service, data: bytes, results: Any) -> None:
    outputs = raw(b'{"code":0,"data":' + data + b"}")
    async with (
        runninghub_that_says(run=ACCEPTED, outputs=outputs) as url,
        service(runninghub_base_url=url) as client,
    ):
        answer = await submit(client)
        task = await until(client, answer["task_id"], "SUCCESS")
        assert task["result_data"] == results
        assert (await client.get("/tasks")).json()["tasks"] == [task]


async def test_a_cut_character_in_a_failures_text_does_not_keep_the_task_open(service: Service) -> None:
    reason = b'{"exception_message":"cut \\ud83d"}'
    outputs = raw(b'{"code":805,"msg":"","data":{"failedReason":' + reason + b"}}")
    async with (
        runninghub_that_says(run=ACCEPTED, outputs=outputs) as url,
        service(runninghub_base_url=url) as client,
    ):
        answer = await submit(client)
        assert (await until(client, answer["task_id"], "FAILED"))["error"]["message"] == "cut ?"


@pytest.mark.parametrize(
    "reply",
    [
        raw(b"no gzip", b"Content-Encoding: gzip"),
        raw(b"no deflate", b"Content-Encoding: deflate"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        raw(b'{"code":0,"data":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        raw(b'{"code":' + b"1" * 5000 + b"}"),
        raw(b'{"code":0,"data":{"taskId":["1"]}}'),
    ],
    ids=["gzip", "deflate", "short", "chunks", "no http", "deep", "digits", "list"],
)
async def test_a_broken_reply_to_the_paid_call_leaves_an_unknown_task(service: Service, reply: bytes) -> None:
    async with (
        runninghub_that_says(run=reply, accountStatus=reply, apiCallDemo=reply) as url,
        service(runninghub_base_url=url) as client,
    ):
        response = await client.post("/submit_task", json=submission())
        assert_problem(response, "runninghub_unavailable", 503, task_id=ID)
        task = await task_of(client, response.json()["task_id"])
        assert (task["status"], task["error"]["code"]) == ("SUBMIT_UNKNOWN", response.json()["code"])
        assert (await client.get("/account")).status_code in {200, 503}


async def test_a_redirect_of_the_paid_call_was_no_run_and_the_task_waits(service: Service) -> None:
    reply = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with (
        runninghub_that_says(run=reply, accountStatus=reply, apiCallDemo=reply) as url,
        service(runninghub_base_url=url) as client,
    ):
        answer = await submit(client)
        assert answer["status"] == "PENDING"
        assert (await task_of(client, answer["task_id"]))["waiting"]["code"] == "runninghub_unavailable"


# The OpenAPI document


async def document_of(client: httpx.AsyncClient) -> Json:
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    document: Json = response.json()
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def example_of(document: Json, schema: Json) -> Any:
    """What Swagger UI fills a body in with: each member's example, else its default, else its type."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if "example" in schema:
        return schema["example"]
    if "default" in schema:
        return schema["default"]
    if "properties" in schema:
        return {name: example_of(document, member) for name, member in schema["properties"].items()}
    for choice in schema.get("anyOf", []):
        return example_of(document, choice)
    return {"array": [], "boolean": True, "integer": 0, "number": 1, "string": "string"}[schema["type"]]


async def test_try_it_out_works_with_every_bodys_example(client: httpx.AsyncClient, board: Board) -> None:
    document = await document_of(client)
    bodies = {
        path: example_of(document, operation["requestBody"]["content"]["application/json"]["schema"])
        for _, path, operation in operations(document)
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert set(bodies) == {
        "/get_node_info",
        "/submit_task",
        "/task/query_task_status",
        "/tasks/{task_id}/settle",
        "/submit_tasks",
        "/users",
        "/users/{name}",
    }
    assert (await client.post("/get_node_info", json=bodies["/get_node_info"])).status_code == 200
    several = await client.post("/submit_tasks", json=bodies["/submit_tasks"])
    assert [result["status"] for result in several.json()["results"]] == [202]
    await until(client, several.json()["results"][0]["task_id"], "SUCCESS")
    await board.client.post("/simulator/reset")
    submitted = await client.post("/submit_task", json=bodies["/submit_task"])
    assert submitted.status_code == 202
    (running,) = await board.tasks()
    task_id = await unknown_task(client, board)
    await board.fault("outputs", "code", code=804, msg="APIKEY_TASK_IS_RUNNING")
    settled = await client.post(f"/tasks/{task_id}/settle", json=bodies["/tasks/{task_id}/settle"])
    assert settled.status_code == 200
    queried = await client.post("/task/query_task_status", json=bodies["/task/query_task_status"])
    assert queried.status_code == 200
    assert running["webappId"] == TEXT_TO_IMAGE


EVERYWHERE = {"401": {"unauthorized"}, "403": {"forbidden_host"}, "500": {"internal_error"}}
OF_RUNNINGHUB = {
    "402": {"insufficient_balance"},
    "502": {"runninghub_rejected"},
    "503": {"runninghub_not_configured", "runninghub_unavailable"},
    "504": {"runninghub_timeout"},
}
STORED = {"503": {"database_unavailable"}}
RUNNINGHUB_AND_STORED = OF_RUNNINGHUB | {"503": OF_RUNNINGHUB["503"] | STORED["503"]}
INVALID, GONE = {"422": {"invalid_request"}}, {"404": {"task_not_found"}}
APP = {"404": {"webapp_not_found", "workflow_not_found"}}
BODY = INVALID | {"413": {"body_too_large"}}
# Refused for a user's token, or for an app that is not the user's.
FORBIDDEN = {"403": {"forbidden", "forbidden_host"}}
USER = {"404": {"user_not_found"}}
DOCUMENTED: dict[str, dict[str, set[str]]] = {
    "post /get_node_info": FORBIDDEN | BODY | APP | {"429": {"rate_limited"}} | OF_RUNNINGHUB,
    "post /upload": INVALID
    | {"413": {"file_too_large"}, "415": {"unsupported_file"}, "429": {"rate_limited"}}
    | OF_RUNNINGHUB,
    "post /submit_task": BODY
    | APP
    | {
        "422": {"invalid_request", "invalid_node_info", "idempotency_key_reused"},
        "429": {"too_many_pending", "rate_limited", "quota_exceeded"},
    }
    | FORBIDDEN
    | RUNNINGHUB_AND_STORED
    | {"402": {"insufficient_balance", "budget_exceeded"}},
    "post /submit_tasks": BODY
    | {"422": {"invalid_request", "idempotency_key_reused"}, "429": {"rate_limited"}}
    | RUNNINGHUB_AND_STORED,
    "post /tasks/{task_id}/rerun": {
        "422": {"invalid_request", "invalid_node_info", "idempotency_key_reused"},
        "404": {"task_not_found", *APP["404"]},
        "409": {"not_final"},
        "429": {"too_many_pending", "rate_limited", "quota_exceeded"},
    }
    | FORBIDDEN
    | RUNNINGHUB_AND_STORED
    | {"402": {"insufficient_balance", "budget_exceeded"}},
    "delete /tasks/{task_id}": INVALID | GONE | STORED | {"409": {"not_deletable"}},
    "get /webapps": INVALID | RUNNINGHUB_AND_STORED,
    "get /accounts": FORBIDDEN,
    "post /task/query_task_status": FORBIDDEN | BODY | GONE | RUNNINGHUB_AND_STORED,
    "get /tasks/{task_id}": INVALID | GONE | STORED,
    "get /tasks/{task_id}/events": INVALID | GONE | STORED,
    "get /tasks": FORBIDDEN | INVALID | STORED,
    "post /tasks/{task_id}/cancel": INVALID | GONE | {"409": {"not_cancellable"}} | RUNNINGHUB_AND_STORED,
    "post /tasks/{task_id}/settle": FORBIDDEN | BODY | GONE | STORED | {"409": {"not_unknown"}},
    "get /tasks/{task_id}/outputs/{n}": INVALID
    | {
        "403": {"forbidden", "forbidden_host"},
        "404": {"task_not_found", "output_not_found"},
        "410": {"output_gone"},
        "416": {"range_not_satisfiable"},
        "503": {"output_unavailable", "runninghub_unavailable", "database_unavailable"},
        "504": {"runninghub_timeout"},
    },
    "get /account": FORBIDDEN | OF_RUNNINGHUB,
    "get /tasks/{task_id}/outputs.zip": INVALID
    | STORED
    | {"404": {"task_not_found", "output_not_found"}, "410": {"output_gone"}},
    "get /tasks/{task_id}/deliveries": INVALID | GONE | STORED,
    "post /tasks/{task_id}/deliveries/{delivery_id}/redeliver": INVALID
    | STORED
    | {"404": {"task_not_found", "not_found"}},
    "get /users": FORBIDDEN | STORED,
    "post /users": FORBIDDEN | BODY | STORED | {"409": {"user_exists"}},
    "patch /users/{name}": FORBIDDEN | BODY | USER | STORED,
    "delete /users/{name}": FORBIDDEN | INVALID | USER | STORED,
    "post /users/{name}/token": FORBIDDEN | INVALID | USER | STORED,
    "get /usage": INVALID | STORED,
    "post /webhooks/runninghub/{task_id}/{signature}": BODY | GONE | STORED,
}


async def test_the_document_has_each_routes_summary_and_problems(shared: httpx.AsyncClient) -> None:
    document = await document_of(shared)
    documented: dict[str, dict[str, set[str]]] = {}
    for method, path, operation in operations(document):
        assert operation["summary"]
        problems = documented[f"{method} {path}"] = {}
        for status, response in operation["responses"].items():
            if "application/problem+json" not in response.get("content", {}) and path != "/health":
                assert status[0] in "23", (method, path, status)
                continue
            problems[status] = set(re.findall(r"^`(\w+)`", response["description"], re.MULTILINE))
            schemas = [content["schema"] for content in response.get("content", {}).values()]
            if path != "/health":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
                assert schemas == [{"$ref": "#/components/schemas/Problem"}]
    documented.pop("get /health")
    assert documented == {route: EVERYWHERE | problems for route, problems in DOCUMENTED.items()}


async def test_the_document_names_every_problem_of_the_table(shared: httpx.AsyncClient) -> None:
    description = (await document_of(shared))["info"]["description"]
    for code, status in CODES.items():
        assert f"| `{code}` | {status} |" in description


async def test_the_document_asks_for_a_token_only_where_tokens_are_set(service: Service) -> None:
    async with service() as client:
        assert "securitySchemes" not in (await document_of(client))["components"]
    async with service(access_tokens="t") as client:
        document = await document_of(client)
        assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
        open_routes = {path for _, path, operation in operations(document) if operation.get("security") == []}
        assert open_routes == {"/health", "/webhooks/runninghub/{task_id}/{signature}"}
        assert (await client.get("/tasks", headers={"Authorization": "Bearer t"})).status_code == 200
