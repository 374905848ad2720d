"""RunningHub's calls: what goes up, what each answer means, and when nothing can have been sent."""

import asyncio
import gc
import gzip
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import Settings
from errors import (
    AppError,
    FileTooLarge,
    InsufficientBalance,
    InvalidNodeInfo,
    InvalidRequest,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    UnsupportedFile,
    WebappNotFound,
    WorkflowNotFound,
)
from files.upload import FileUpload, open_upload
from metrics import Metrics
from models import Kind
from runninghub.accounts import Account, Accounts
from runninghub.client import MAX_REPLY_BYTES, MAX_REPLY_VALUES, NotSent, Pools, open_pools
from runninghub.codes import Refusal
from runninghub.replies import PollResult, RunResult, RunState
from tests.conftest import API_KEY, NODE, WEBAPP_ID, RunningHub, answer, settings_with
from tests.processes import free_port
from webapp_service import Run, WebappService

pytestmark = pytest.mark.anyio

TASK_ID = "1994070439827980290"
SAMPLES = Path(__file__).parent / "data"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Calls:
    """The service, and the account that makes the calls."""

    service: WebappService
    account: Account


class Full(Exception):
    """The paid call was refused because RunningHub is full."""

    def __init__(self, upstream: Any) -> None:
        self.upstream = upstream


def calls_with(pools: Pools, settings: Settings) -> Calls:
    accounts = Accounts.of(settings, pools, lambda key: "fingerprint", Metrics())
    return Calls(WebappService(), accounts.first)


@asynccontextmanager
async def service_for(settings: Settings) -> AsyncIterator[Calls]:
    async with open_pools(settings.runninghub_timeout_s) as pools:
        yield calls_with(pools, settings)


@pytest.fixture
def webapps(client: httpx.AsyncClient, runninghub: RunningHub) -> Calls:
    return calls_with(Pools(client, client, client), settings_with())


async def run(webapps: Calls) -> RunResult:
    """The paid call; what is no acceptance is raised."""
    result = await webapps.service.run(webapps.account, Run(Kind.WEBAPP, WEBAPP_ID, [NODE]))
    if result.refusal is Refusal.NOT_SENT:
        raise NotSent
    if result.refusal is Refusal.FULL:
        raise Full(result.error and result.error.upstream)
    if result.error:
        raise result.error
    return result


async def refusal(webapps: Calls) -> Refusal:
    return (await webapps.service.run(webapps.account, Run(Kind.WEBAPP, WEBAPP_ID, [NODE]))).refusal


async def form(webapps: Calls) -> dict[str, Any]:
    return await webapps.service.app_data(webapps.account, WEBAPP_ID)


async def poll(webapps: Calls) -> PollResult:
    return await webapps.service.poll(webapps.account, TASK_ID)


async def cancel(webapps: Calls) -> None:
    await webapps.service.cancel(webapps.account, TASK_ID)


async def account(webapps: Calls) -> dict[str, Any]:
    return await webapps.service.account_status(webapps.account)


def accepted(
    is_running: bool, node_errors: dict[str, str] | None = None, task_id: str = TASK_ID
) -> RunResult:
    return RunResult(Refusal.ACCEPTED, task_id, is_running, node_errors)


async def a_file(filename: str = "cat.png") -> FileUpload:
    body = (
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'.encode()
        + b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--b--"
    )

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    return await open_upload({"content-type": "multipart/form-data; boundary=b"}, chunks(), max_bytes=100)


async def upload(webapps: Calls) -> dict[str, str]:
    return await webapps.service.upload(webapps.account, await a_file())


ALL_CALLS = (run, form, poll, cancel, account, upload)
FREE_CALLS = (form, poll, cancel, account, upload)
Call = Callable[[Calls], Awaitable[Any]]


def everywhere(runninghub: RunningHub, response: httpx.Response) -> None:
    for route in (
        runninghub.run,
        runninghub.form,
        runninghub.outputs,
        runninghub.cancel,
        runninghub.account,
        runninghub.upload,
    ):
        route.mock(return_value=response)


def facts(problem: AppError) -> tuple[type[AppError], Any, Any, Any]:
    return type(problem), problem.upstream, problem.errors, problem.retry_after


# What goes up


async def test_the_paid_call_sends_what_runninghub_takes_and_no_more(
    webapps: Calls, runninghub: RunningHub
) -> None:
    await run(webapps)
    request = runninghub.run.calls.last.request
    assert json.loads(request.content) == {"apiKey": API_KEY, "webappId": WEBAPP_ID, "nodeInfoList": [NODE]}
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == "runninghub.test"


async def test_the_paid_calls_optional_members_go_up_when_they_are_given(
    webapps: Calls, runninghub: RunningHub
) -> None:
    hook = "https://here/webhooks/runninghub/t/s"
    given = Run(
        Kind.WEBAPP, WEBAPP_ID, [], "plus", "猫", hook, {"retainSeconds": 60, "usePersonalQueue": True}
    )
    await webapps.service.run(webapps.account, given)
    assert json.loads(runninghub.run.calls.last.request.content) == {
        "apiKey": API_KEY,
        "webappId": WEBAPP_ID,
        "nodeInfoList": [],
        "instanceType": "plus",
        "accessPassword": "猫",
        "webhookUrl": hook,
        "retainSeconds": 60,
        "usePersonalQueue": True,
    }


@pytest.mark.parametrize(("call", "route"), [(poll, "outputs"), (cancel, "cancel")])
async def test_a_call_about_a_task_names_it_as_text(
    webapps: Calls, runninghub: RunningHub, call: Call, route: str
) -> None:
    await call(webapps)
    sent = json.loads(getattr(runninghub, route).calls.last.request.content)
    assert sent == {"apiKey": API_KEY, "taskId": TASK_ID}


async def test_the_form_is_asked_for_by_key_and_app(webapps: Calls, runninghub: RunningHub) -> None:
    await form(webapps)
    assert dict(runninghub.form.calls.last.request.url.params) == {"apiKey": API_KEY, "webappId": WEBAPP_ID}


async def test_the_accounts_call_spells_the_key_in_small_letters(
    webapps: Calls, runninghub: RunningHub
) -> None:
    runninghub.account.respond(json=answer(0, {"remainCoins": "5"}))
    assert await account(webapps) == {"remainCoins": "5"}
    assert json.loads(runninghub.account.calls.last.request.content) == {"apikey": API_KEY}


async def test_an_upload_carries_the_file_and_answers_its_name(
    webapps: Calls, runninghub: RunningHub
) -> None:
    runninghub.upload.respond(json=answer(0, {"fileName": "api/ab.png", "fileType": "input", "x": 1}))
    assert await upload(webapps) == {"fileName": "api/ab.png", "fileType": "input"}
    sent = runninghub.upload.calls.last.request.content
    assert b'name="apiKey"\r\n\r\n' + API_KEY.encode() in sent
    assert b"\x89PNG" in sent


async def test_an_upload_that_cannot_be_read_to_its_end_raises_what_broke_it(
    webapps: Calls, runninghub: RunningHub
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="cat.png"\r\n\r\nhalf'

    headers = {"content-type": "multipart/form-data; boundary=b"}
    file = await open_upload(headers, chunks(), max_bytes=100)
    runninghub.upload.respond(json=answer(0, {"fileName": "api/ab.png"}))
    with pytest.raises(InvalidRequest):
        await webapps.service.upload(webapps.account, file)


async def test_runninghub_may_live_below_a_path() -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await read_request(reader)
        writer.write(http_answer(json.dumps(answer(804))))

    lines: list[bytes] = []
    async with server(reply) as url, service_for(settings_with(runninghub_base_url=f"{url}/hub")) as webapps:
        await poll(webapps)
    assert lines == [b"POST /hub/task/openapi/outputs HTTP/1.1\r\n"]


# What the paid call's answer means


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"taskId": TASK_ID, "taskStatus": "RUNNING"}, accepted(True)),
        ({"taskId": TASK_ID, "taskStatus": "QUEUED"}, accepted(False)),
        ({"taskId": TASK_ID, "taskStatus": "CREATE", "promptTips": None}, accepted(False)),
        ({"taskId": int(TASK_ID), "promptTips": ""}, accepted(False)),
        ({"taskId": TASK_ID, "promptTips": "{broken"}, accepted(False)),
    ],
)
async def test_an_accepted_task_has_runninghubs_id(
    webapps: Calls, runninghub: RunningHub, data: Any, expected: RunResult
) -> None:
    runninghub.run.respond(json=answer(0, data))
    assert await run(webapps) == expected


async def test_node_errors_beside_code_0_are_told(webapps: Calls, runninghub: RunningHub) -> None:
    error = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": "sampler: 'x'",
        "extra_info": {"input_name": "sampler"},
    }
    tips = {"result": True, "node_errors": {"3": {"errors": [error], "class_type": "KSampler"}}}
    runninghub.run.respond(json=runninghub.accepted(promptTips=json.dumps(tips)))
    assert (await run(webapps)).node_errors == {
        "message": "Value not in list: sampler: 'x'",
        "node_id": "3",
        "node_name": "KSampler",
    }


@pytest.mark.parametrize("code", [415, 421, 814, 1003, 1520])
async def test_a_full_runninghub_is_full_for_the_paid_call_and_busy_for_others(
    webapps: Calls, runninghub: RunningHub, code: int
) -> None:
    everywhere(runninghub, httpx.Response(200, json=answer(code, msg="FULL")))
    upstream = {"code": code, "msg": "FULL"}
    with pytest.raises(Full) as full:
        await run(webapps)
    assert full.value.upstream == upstream
    for call in FREE_CALLS:
        with pytest.raises(RunningHubRejected) as busy:
            await call(webapps)
        assert facts(busy.value) == (RunningHubRejected, upstream, None, 5)


async def test_http_429_is_full_as_well_whatever_it_holds(webapps: Calls, runninghub: RunningHub) -> None:
    everywhere(runninghub, httpx.Response(429, html="<h1>slow down</h1>"))
    with pytest.raises(Full):
        await run(webapps)
    for call in FREE_CALLS:
        with pytest.raises(RunningHubRejected) as busy:
            await call(webapps)
        assert facts(busy.value) == (RunningHubRejected, {"code": 429, "msg": "HTTP 429"}, None, 5)


REFUSALS: list[tuple[int, str, type[AppError]]] = [
    (414, "TASK_CREATE_FAILED_BY_NOT_ENOUGH_POWER_VALUE", InsufficientBalance),
    (416, "TASK_CREATE_FAILED_BY_NOT_ENOUGH_WALLET", InsufficientBalance),
    (605, "", InsufficientBalance),
    (812, "CORPAPIKEY_INSUFFICIENT_FUNDS", InsufficientBalance),
    (433, "VALIDATE_PROMPT_FAILED", InvalidNodeInfo),
    (803, "APIKEY_INVALID_NODE_INFO", InvalidNodeInfo),
    (1101, "", InvalidNodeInfo),
    (809, "APIKEY_FILE_SIZE_EXCEEDED", FileTooLarge),
    (1008, "", FileTooLarge),
    (901, "WEBAPP_NOT_EXISTS", WebappNotFound),
    (1, "webapp not exists", WebappNotFound),
    (380, "WORKFLOW_NOT_EXISTS", WorkflowNotFound),
    *(
        (code, f"CODE_{code}", RunningHubRejected)
        for code in (
            *(-1, 1, 301, 401, 412, 423, 435, 436, 801, 802, 804, 805, 806, 807, 808, 810, 811),
            *(813, 1001, 1002, 1007, 1009, 1014, 99999),
        )
    ),
]


@pytest.mark.parametrize(("code", "msg", "kind"), REFUSALS)
async def test_each_code_that_refuses_the_paid_call_has_its_problem(
    webapps: Calls, runninghub: RunningHub, code: int, msg: str, kind: type[AppError]
) -> None:
    runninghub.run.respond(json={"code": code, "msg": msg, "data": None})
    with pytest.raises(AppError) as refused:
        await run(webapps)
    errors = [{"nodeId": None, "fieldName": None, "msg": msg}] if kind is InvalidNodeInfo else None
    assert facts(refused.value) == (kind, {"code": code, "msg": msg}, errors, None)
    assert refused.value.message.startswith(f"RunningHub returned {code} ({msg or 'no message'}). ")


@pytest.mark.parametrize("code", [500, 1000, 1005, 1010, 1011, 1012])
async def test_a_code_that_may_come_of_a_run_that_started_is_an_unknown_outcome(
    webapps: Calls, runninghub: RunningHub, code: int
) -> None:
    runninghub.run.respond(json=answer(code, msg="busy"))
    with pytest.raises(RunningHubUnavailable) as unknown:
        await run(webapps)
    assert facts(unknown.value) == (RunningHubUnavailable, {"code": code, "msg": "busy"}, None, 5)
    assert await refusal(webapps) is Refusal.UNKNOWN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_a_refusal_in_http_alone_is_rejected(
    webapps: Calls, runninghub: RunningHub, status: int
) -> None:
    everywhere(runninghub, httpx.Response(status, html="<h1>no</h1>"))
    for call in ALL_CALLS if status in {401, 403} else FREE_CALLS:
        with pytest.raises(RunningHubRejected) as refused:
            await call(webapps)
        upstream = {"code": status, "msg": f"HTTP {status}"}
        assert facts(refused.value) == (RunningHubRejected, upstream, None, None)


@pytest.mark.parametrize("status", [400, 404, 413])
async def test_a_page_in_response_to_the_paid_call_is_an_unknown_outcome_whatever_its_status(
    webapps: Calls, runninghub: RunningHub, status: int
) -> None:
    runninghub.run.respond(status, html="<h1>no</h1>")
    with pytest.raises(RunningHubUnavailable) as unknown:
        await run(webapps)
    assert facts(unknown.value) == (RunningHubUnavailable, None, None, 5)
    assert await refusal(webapps) is Refusal.UNKNOWN


async def test_a_refusal_in_http_and_json_is_told_by_its_code(webapps: Calls, runninghub: RunningHub) -> None:
    everywhere(runninghub, httpx.Response(401, json=answer(-1, msg="ApiKey verification failed")))
    for call in ALL_CALLS:
        with pytest.raises(RunningHubRejected) as refused:
            await call(webapps)
        assert refused.value.upstream == {"code": -1, "msg": "ApiKey verification failed"}


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, html="<h1>oops</h1>"),
        httpx.Response(503, json=answer(421)),
        httpx.Response(504, html="<h1>gateway</h1>"),
        httpx.Response(408, text=""),
        httpx.Response(200, html="<h1>welcome</h1>"),
        httpx.Response(200, text=""),
        httpx.Response(200, text="{"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"msg": "success"}),
        httpx.Response(200, json={"code": True, "data": {"taskId": "1"}}),
        httpx.Response(200, json={"code": 0.0, "data": {"taskId": "1"}}),
        httpx.Response(200, json={"code": "\u0660", "data": {"taskId": "1"}}),
        httpx.Response(200, text="[" * 100_000),
    ],
    ids=range(13),
)
async def test_an_answer_that_cannot_be_read_is_unavailable_and_never_a_refusal(
    webapps: Calls, runninghub: RunningHub, response: httpx.Response
) -> None:
    everywhere(runninghub, response)
    for call in ALL_CALLS:
        with pytest.raises(RunningHubUnavailable) as unknown:
            await call(webapps)
        assert facts(unknown.value) == (RunningHubUnavailable, None, None, 5)


async def test_a_redirect_has_started_nothing(webapps: Calls, runninghub: RunningHub) -> None:
    everywhere(runninghub, httpx.Response(302, headers={"location": "https://elsewhere/"}))
    assert await refusal(webapps) is Refusal.NOT_SENT
    for call in FREE_CALLS:
        with pytest.raises(RunningHubUnavailable):
            await call(webapps)


async def test_a_reply_that_is_too_long_is_not_read_to_its_end(
    webapps: Calls, runninghub: RunningHub
) -> None:
    everywhere(runninghub, httpx.Response(200, content=b"x" * (MAX_REPLY_BYTES + 1)))
    assert await refusal(webapps) is Refusal.UNKNOWN
    for call in ALL_CALLS:
        with pytest.raises(RunningHubUnavailable):
            await call(webapps)


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0"])
async def test_a_reply_with_too_many_values_is_not_read_as_json(
    webapps: Calls, runninghub: RunningHub, value: bytes
) -> None:
    content = b'{"code":0,"data":[' + (value + b",") * MAX_REPLY_VALUES + value + b"]}"
    everywhere(runninghub, httpx.Response(200, content=content))
    assert await refusal(webapps) is Refusal.UNKNOWN
    for call in ALL_CALLS:
        with pytest.raises(RunningHubUnavailable):
            await call(webapps)


@pytest.mark.parametrize(
    "body", [b'{"code":813,"data":[' + b"[]," * MAX_REPLY_VALUES + b"0]}", b" " * 5_000_000]
)
async def test_a_packed_reply_with_too_many_values_or_bytes_is_not_read_as_json(body: bytes) -> None:
    async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        packed = gzip.compress(body, 1)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)

    async with server(bomb) as url, service_for(settings_with(runninghub_base_url=url)) as webapps:
        with pytest.raises(RunningHubUnavailable):
            await poll(webapps)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, Refusal.NOT_SENT), (401, Refusal.KEY_REFUSED), (429, Refusal.FULL), (502, Refusal.UNKNOWN)],
)
async def test_of_a_reply_without_a_usable_body_the_http_status_decides(
    webapps: Calls, runninghub: RunningHub, status: int, kind: Refusal
) -> None:
    everywhere(runninghub, httpx.Response(status, content=b"x" * (MAX_REPLY_BYTES + 1)))
    assert await refusal(webapps) is kind


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"taskId": None}, {"taskId": ""}, {"taskId": True}, {"taskId": 1.5e18}]
)
async def test_code_0_without_a_task_id_leaves_the_paid_call_unknown(
    webapps: Calls, runninghub: RunningHub, data: Any
) -> None:
    runninghub.run.respond(json=answer(0, data))
    with pytest.raises(RunningHubUnavailable):
        await run(webapps)


async def test_a_code_that_is_text_is_read_as_a_number(webapps: Calls, runninghub: RunningHub) -> None:
    runninghub.run.respond(json={"code": "421", "msg": "TASK_QUEUE_MAXED"})
    with pytest.raises(Full):
        await run(webapps)


MISMATCH = "NODE_INFO_MISMATCH(nodeId=15, fieldName=txt, reason=field_not_found_in_node_inputs)"
NODE_ERRORS = {
    "node_errors": {
        "3": {
            "errors": [{"message": "Value not in list", "extra_info": {"input_name": "sampler"}}, "odd"],
            "class_type": "KSampler",
        }
    }
}
SAMPLER = {"nodeId": "3", "fieldName": "sampler", "msg": "Value not in list"}


@pytest.mark.parametrize(
    ("msg", "data", "errors"),
    [
        (MISMATCH, None, [{"nodeId": "15", "fieldName": "txt", "msg": "field_not_found_in_node_inputs"}]),
        (json.dumps(NODE_ERRORS), None, [SAMPLER]),
        ("VALIDATE_PROMPT_FAILED", NODE_ERRORS, [SAMPLER]),
        ("VALIDATE_PROMPT_FAILED", {"promptTips": json.dumps(NODE_ERRORS)}, [SAMPLER]),
        ("odd", {"node_errors": [1]}, [{"nodeId": None, "fieldName": None, "msg": "odd"}]),
        (None, None, [{"nodeId": None, "fieldName": None, "msg": ""}]),
    ],
)
async def test_refused_values_are_named_where_runninghub_names_them(
    webapps: Calls, runninghub: RunningHub, msg: Any, data: Any, errors: list[dict[str, Any]]
) -> None:
    runninghub.run.respond(json={"code": 803, "msg": msg, "data": data})
    with pytest.raises(InvalidNodeInfo) as refused:
        await run(webapps)
    assert refused.value.errors == errors


# What the other calls' answers mean


@pytest.mark.parametrize(
    ("filename", "code", "msg", "kind"),
    [
        ("cat.gif", 808, "APIKEY_UPLOAD_FAILED", UnsupportedFile),
        ("cat", 301, "PARAMS_INVALID", UnsupportedFile),
        ("cat.PNG", 808, "APIKEY_UPLOAD_FAILED", RunningHubRejected),
        ("cat.gif", 806, "APIKEY_USER_NOT_FOUND", RunningHubRejected),
        ("cat.png", 809, "APIKEY_FILE_SIZE_EXCEEDED", FileTooLarge),
        ("cat.gif", 1008, "file size exceeded", FileTooLarge),
        ("cat.png", 1, "no", RunningHubRejected),
    ],
)
async def test_a_refused_upload_says_why(
    webapps: Calls, runninghub: RunningHub, filename: str, code: int, msg: str, kind: type[AppError]
) -> None:
    runninghub.upload.respond(json=answer(code, msg=msg))
    with pytest.raises(AppError) as refused:
        await webapps.service.upload(webapps.account, await a_file(filename))
    assert facts(refused.value) == (kind, {"code": code, "msg": msg}, None, None)


@pytest.mark.parametrize("data", [None, {}, {"fileName": None}, {"fileName": ""}, {"fileName": 5}])
async def test_an_upload_without_a_name_is_unavailable(
    webapps: Calls, runninghub: RunningHub, data: Any
) -> None:
    runninghub.upload.respond(json=answer(0, data))
    with pytest.raises(RunningHubUnavailable):
        await upload(webapps)


@pytest.mark.parametrize("code", [1, 901])
async def test_an_app_that_runninghub_does_not_know_is_not_found(
    webapps: Calls, runninghub: RunningHub, code: int
) -> None:
    runninghub.form.respond(json=answer(code, msg="webapp not exists"))
    with pytest.raises(WebappNotFound):
        await form(webapps)


@pytest.mark.parametrize("call", [form, account])
async def test_data_that_is_no_object_is_unavailable(
    webapps: Calls, runninghub: RunningHub, call: Call
) -> None:
    everywhere(runninghub, httpx.Response(200, json=answer(0, [1])))
    with pytest.raises(RunningHubUnavailable):
        await call(webapps)


FILES = [{"fileUrl": "https://x/y.png", "fileType": "png", "taskCostTime": "27", "nodeId": "9"}]
REASON = {
    "node_name": "KSampler",
    "node_id": "3",
    "exception_type": "torch.OutOfMemoryError",
    "exception_message": "Allocation on device",
    "traceback": '["  File \\"/x.py\\""]',
    "current_inputs": "{}",
}
WHY = {"message": "Allocation on device", "node_id": "3", "node_name": "KSampler"}
POLLS: Sequence[tuple[dict[str, Any], PollResult]] = [
    (answer(0, FILES), PollResult(RunState.FINISHED, results=FILES)),
    (answer(0, []), PollResult(RunState.FINISHED, results=[])),
    (answer(0, None, "任务运行中"), PollResult(RunState.RUNNING)),
    (answer(804), PollResult(RunState.RUNNING)),
    (answer(804, {"netWssUrl": "wss://secret"}), PollResult(RunState.RUNNING)),
    (answer(813), PollResult(RunState.QUEUED)),
    (answer(423), PollResult(RunState.NOT_KNOWN)),
    (answer(807), PollResult(RunState.NOT_KNOWN)),
    (answer(1004), PollResult(RunState.NOT_KNOWN)),
    (answer(805), PollResult(RunState.FAILED)),
    (answer(805, {"failedReason": None}), PollResult(RunState.FAILED)),
    (answer(805, {"failedReason": {}}), PollResult(RunState.FAILED)),
    (answer(805, {"failedReason": REASON}), PollResult(RunState.FAILED, reason=WHY)),
    (answer(805, {"failedReason": json.dumps(REASON)}), PollResult(RunState.FAILED, reason=WHY)),
    (
        answer(805, {"failedReason": {"exception_type": "KeyError"}}),
        PollResult(RunState.FAILED, reason={"message": "KeyError"}),
    ),
    (
        answer(805, {"failedReason": {"node_id": 3}}),
        PollResult(RunState.FAILED, reason={"message": "CODE_805", "node_id": "3"}),
    ),
    *(
        (answer(code, msg="content check"), PollResult(RunState.FAILED, reason={"message": "content check"}))
        for code in (1006, 1013, 1015, 1501, 1504, 1505, 1516, 1517, 1519, 1601, 2001)
    ),
]


@pytest.mark.parametrize(("envelope", "expected"), POLLS)
async def test_a_poll_reads_runninghubs_status(
    webapps: Calls, runninghub: RunningHub, envelope: dict[str, Any], expected: PollResult
) -> None:
    runninghub.outputs.respond(json=envelope)
    assert await poll(webapps) == expected


@pytest.mark.parametrize(("code", "data"), [(0, {}), (0, "x"), (500, None), (1000, None), (806, None)])
async def test_any_other_status_is_a_problem_and_no_outcome(
    webapps: Calls, runninghub: RunningHub, code: int, data: Any
) -> None:
    runninghub.outputs.respond(json=answer(code, data))
    with pytest.raises(AppError) as problem:
        await poll(webapps)
    assert type(problem.value) is (RunningHubUnavailable if code == 0 else RunningHubRejected)


@pytest.mark.parametrize("code", [0, 423, 807, 1004])
async def test_to_cancel_a_task_that_runninghub_does_not_know_is_no_error(
    webapps: Calls, runninghub: RunningHub, code: int
) -> None:
    runninghub.cancel.respond(json=answer(code))
    await cancel(webapps)


async def test_a_cancel_that_is_refused_is_a_problem(webapps: Calls, runninghub: RunningHub) -> None:
    runninghub.cancel.respond(json=answer(500))
    with pytest.raises(RunningHubRejected):
        await cancel(webapps)


async def test_the_plans_own_sample_is_read(webapps: Calls, runninghub: RunningHub) -> None:
    sample = json.loads((SAMPLES / "api-call-demo.json").read_text("utf-8"))
    runninghub.form.respond(json=sample)
    assert await form(webapps) == sample["data"]


async def test_half_a_surrogate_pair_becomes_a_question_mark(webapps: Calls, runninghub: RunningHub) -> None:
    text = '{"code": 0, "data": [{"fileUrl": "cut \\ud83d off"}]}'
    runninghub.outputs.respond(text=text)
    assert await poll(webapps) == PollResult(RunState.FINISHED, results=[{"fileUrl": "cut ? off"}])


# The key stays here


@pytest.mark.parametrize("before", [0, 5, 980, 995])
async def test_a_message_that_repeats_the_key_is_told_without_it(
    webapps: Calls, runninghub: RunningHub, before: int
) -> None:
    everywhere(runninghub, httpx.Response(200, json=answer(301, msg="x" * before + API_KEY + " is wrong")))
    for call in ALL_CALLS:
        with pytest.raises(AppError) as refused:
            await call(webapps)
        told = f"{refused.value.message} {refused.value.upstream} {refused.value.errors}"
        assert API_KEY[:8] not in told


async def test_no_log_line_holds_the_key(
    webapps: Calls, runninghub: RunningHub, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "runninghub.client"):
        await form(webapps)
        runninghub.form.mock(side_effect=httpx.ConnectError(f"no {API_KEY}"))
        with pytest.raises(RunningHubUnavailable):
            await form(webapps)
    assert [record.__dict__["upstream_code"] for record in caplog.records] == ["0", "no answer"]
    assert API_KEY not in "".join(str(record.__dict__) for record in caplog.records)


async def test_the_last_response_is_runninghubs_newest(webapps: Calls, runninghub: RunningHub) -> None:
    words = []
    for response in (
        httpx.Response(200, json=answer(804)),
        httpx.Response(200, json=answer(805)),
        httpx.Response(502, text=""),
        httpx.ConnectError("no"),
    ):
        runninghub.outputs.mock(side_effect=[response])
        await asyncio.gather(poll(webapps), return_exceptions=True)
        words.append(last_summary(webapps))
    assert words == ["804", "805", "HTTP 502", "no answer"]


def last_summary(webapps: Calls) -> str | None:
    last = webapps.account.client.last_response
    return last.summary if last else None


# When nothing can have been sent: real sockets, since only they break as sockets do


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)


def http_answer(text: str, *headers: str) -> bytes:
    head = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}", *headers]
    return ("\r\n".join(head) + "\r\n\r\n" + text).encode()


async def close_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepted, and closed before anything was read."""


async def close_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def reset_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    reset(writer)


async def reset_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"code": 0, "data": {"taskId": "1"')


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"220 mail.example.com ESMTP\r\n")


async def plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def broken_gzip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(http_answer("no gzip at all", "Content-Encoding: gzip"))


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_in_the_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each byte comes in time, the whole does not."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A server on loopback that does to each connection what `handler` does, then closes it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "handler",
    [
        close_unread,
        close_after_request,
        reset_unread,
        reset_after_request,
        half_a_head,
        hang,
        hang_in_the_body,
        drip,
    ],
)
async def test_once_a_connection_was_made_the_paid_call_may_have_been_sent(handler: Handler) -> None:
    async with server(handler) as url:
        settings = settings_with(runninghub_base_url=url, runninghub_timeout_s=0.15)
        async with service_for(settings) as webapps:
            with pytest.raises(RunningHubTimeout) as unknown:
                await run(webapps)
    assert facts(unknown.value) == (RunningHubTimeout, None, None, 5)


@pytest.mark.parametrize("handler", [half_a_body, no_http, broken_gzip])
async def test_a_response_to_the_paid_call_that_is_not_runninghubs_json_is_unavailable(
    handler: Handler,
) -> None:
    async with server(handler) as url, service_for(settings_with(runninghub_base_url=url)) as webapps:
        result = await webapps.service.run(webapps.account, Run(Kind.WEBAPP, WEBAPP_ID, [NODE]))
    assert result.refusal is Refusal.UNKNOWN
    assert result.error
    assert facts(result.error) == (RunningHubUnavailable, None, None, 5)


@pytest.mark.parametrize("handler", [close_after_request, reset_after_request, half_a_body, no_http])
async def test_a_free_call_whose_connection_breaks_is_unavailable(handler: Handler) -> None:
    async with server(handler) as url, service_for(settings_with(runninghub_base_url=url)) as webapps:
        with pytest.raises(RunningHubUnavailable):
            await poll(webapps)


async def test_a_free_call_that_is_not_answered_in_time_is_a_timeout() -> None:
    async with server(hang) as url:
        settings = settings_with(runninghub_base_url=url, runninghub_timeout_s=0.1)
        async with service_for(settings) as webapps:
            with pytest.raises(RunningHubTimeout):
                await poll(webapps)


async def assert_not_sent(url: str, timeout_s: float = 5) -> None:
    settings = settings_with(runninghub_base_url=url, runninghub_timeout_s=timeout_s)
    async with service_for(settings) as webapps:
        with pytest.raises(NotSent):
            await run(webapps)
        with pytest.raises(RunningHubUnavailable) as unavailable:
            await poll(webapps)
    assert facts(unavailable.value) == (RunningHubUnavailable, None, None, 5)


async def test_a_refused_connection_has_sent_nothing() -> None:
    await assert_not_sent(f"http://127.0.0.1:{free_port()}")


async def test_a_name_that_is_not_found_has_sent_nothing() -> None:
    await assert_not_sent("http://name.invalid")


@pytest.mark.parametrize("handler", [close_unread, reset_unread, plain_http])
async def test_a_tls_handshake_that_fails_has_sent_nothing(handler: Handler) -> None:
    async with server(handler) as url:
        await assert_not_sent(url.replace("http:", "https:"))


async def test_a_tls_handshake_that_is_not_answered_in_time_has_sent_nothing() -> None:
    async with server(hang) as url:
        await assert_not_sent(url.replace("http:", "https:"), timeout_s=0.2)


async def test_a_connection_that_is_not_accepted_in_time_has_sent_nothing() -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        await assert_not_sent(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.2)


async def test_a_paid_call_on_a_kept_connection_that_breaks_is_not_made_again() -> None:
    async def first_works(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_answer(json.dumps(answer(0, {"taskId": "1"}))))
        await read_request(reader)
        requests.append("second")

    requests: list[str] = []
    async with server(first_works) as url, service_for(settings_with(runninghub_base_url=url)) as webapps:
        assert await run(webapps) == accepted(False, task_id="1")
        with pytest.raises(RunningHubTimeout):
            await run(webapps)
    assert requests == ["second"]


async def test_a_packed_answer_is_read() -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = gzip.compress(json.dumps(answer(813)).encode())
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    async with server(reply) as url, service_for(settings_with(runninghub_base_url=url)) as webapps:
        assert await poll(webapps) == PollResult(RunState.QUEUED)


async def test_a_failed_call_whose_callers_have_gone_is_not_an_error_of_the_loop() -> None:
    webapps, is_refused = WebappService(), asyncio.Event()

    async def call() -> None:
        await is_refused.wait()
        raise RunningHubUnavailable("RunningHub cannot be reached.", retry_after=5)

    caller = asyncio.create_task(webapps._share("account", call))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    del caller  # its traceback refers to the call
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    is_refused.set()
    while webapps._shared:  # noqa: ASYNC110
        await asyncio.sleep(0)
    gc.collect()
    assert errors == []


async def test_polls_of_one_task_at_the_same_time_share_one_call(
    webapps: Calls, runninghub: RunningHub
) -> None:
    runninghub.outputs.respond(json=answer(813))
    assert await asyncio.gather(*(poll(webapps) for _ in range(50))) == [PollResult(RunState.QUEUED)] * 50
    assert runninghub.outputs.call_count == 1
