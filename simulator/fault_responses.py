"""The responses that faults send in place of the real ones: complete but wrong, endless, or cut off."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from starlette.types import Message, Send

from simulator import codes
from simulator.endpoints import FLAT, Endpoint
from simulator.switches import Fault
from simulator.task_object import task_object

_HTML = b"text/html; charset=utf-8"
_JSON = b"application/json;charset=UTF-8"
_MEGABYTE = 1024 * 1024
_HALF_AN_ENVELOPE = b'{"code":0,"msg":"success","data":{'
_WRONG_TYPES: dict[str, Any] = {
    "apiCallDemo": {"webappName": 7, "nodeInfoList": {"nodeId": 4}, "covers": "none", "tags": None},
    "upload": ["api/file.png"],
    "create": ["1994070439827980290"],
    "getJsonApiFormat": {"prompt": {}},
    "queueStatus": {"concurrentLimit": "many"},
    "run": ["1994070439827980290"],
    "outputs": {"fileUrl": 5},
    "status": {"status": "RUNNING"},
    "cancel": "cancelled",
    "accountStatus": [99999],
}
_FLAT_WRONG_TYPES = {"taskId": 5, "status": ["RUNNING"], "errorCode": {}, "results": {"url": 5}}
_NO_TASK_ID = {
    "netWssUrl": None,
    "taskId": None,
    "clientId": None,
    "taskStatus": None,
    "promptTips": None,
}


async def send_complete(fault: Fault, endpoint: Endpoint, send: Send) -> None:
    """A response that arrives in full but is not what the caller expects."""
    status, media_type, body = _complete(fault, endpoint)
    await send(_start(status, media_type, len(body)))
    await send({"type": "http.response.body", "body": body})


async def send_slowly(response: list[Message], pause: float, send: Send) -> None:
    """The bytes of a response one by one; of spaces when there is none."""
    start, *rest = response or [_start(200, _JSON), {"type": "http.response.body", "body": b" " * 60}]
    await send(start)
    for byte in b"".join(message.get("body", b"") for message in rest):
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await asyncio.sleep(pause)
    await send({"type": "http.response.body", "body": b""})


async def send_huge(megabytes: int, send: Send) -> None:
    """A valid envelope of many megabytes."""
    await send(_start(200, _JSON))
    await send(
        {"type": "http.response.body", "body": b'{"code":0,"msg":"success","data":"', "more_body": True}
    )
    for _ in range(megabytes):
        await send({"type": "http.response.body", "body": b"x" * _MEGABYTE, "more_body": True})
    await send({"type": "http.response.body", "body": b'"}'})


async def send_half(send: Send) -> None:
    """The first half of an envelope whose length says that more follows."""
    await send(_start(200, _JSON, 2 * len(_HALF_AN_ENVELOPE)))
    await send({"type": "http.response.body", "body": _HALF_AN_ENVELOPE, "more_body": True})


def _start(status: int, media_type: bytes, length: int | None = None) -> Message:
    headers = [(b"content-type", media_type)]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    if status in {301, 302, 303, 307, 308}:
        headers.append((b"location", b"/moved"))
    return {"type": "http.response.start", "status": status, "headers": headers}


def _complete(fault: Fault, endpoint: Endpoint) -> tuple[int, bytes, bytes]:
    """Status, media type and body."""
    if endpoint in FLAT and fault.kind in {"wrong_types", "no_task_id", "code"}:
        return 200, _JSON, _flat(fault)
    match fault.kind:
        case "http":
            return _page(fault.status)
        case "http_500_html" | "http_502_html" | "http_504_html" | "http_429":
            return _page(int(fault.kind[5:8]))
        case "http_401":
            return 401, _JSON, _envelope(-1)
        case "invalid_json":
            return 200, _JSON, _HALF_AN_ENVELOPE
        case "html_200":
            return 200, _HTML, _html("RunningHub")
        case "wrong_types":
            return 200, _JSON, _envelope(0, data=_WRONG_TYPES.get(endpoint, [5]))
        case "no_task_id":
            return 200, _JSON, _envelope(0, data=_NO_TASK_ID)
        case "code":
            return 200, _JSON, _envelope(fault.code, fault.msg, fault.data)
        case _:
            return 200, _JSON, b""


def _page(status: int) -> tuple[int, bytes, bytes]:
    if status in {204, 205, 304}:  # these have no body
        return status, _HTML, b""
    phrases = {known.value: known.phrase for known in HTTPStatus}
    return status, _HTML, _html(f"{status} {phrases.get(status, '')}".strip())


def _html(title: str) -> bytes:
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>nginx</body></html>".encode()


def _envelope(code: int, msg: str | None = None, data: Any = None) -> bytes:
    text = codes.message(code) if msg is None else msg
    return json.dumps({"code": code, "msg": text, "errorMessages": None, "data": data}).encode()


def _flat(fault: Fault) -> bytes:
    """The same for a call that returns a task object."""
    if fault.kind == "wrong_types":
        return json.dumps(_FLAT_WRONG_TYPES).encode()
    if fault.kind == "no_task_id":
        return json.dumps(task_object("", "QUEUED")).encode()
    text = codes.message(fault.code) if fault.msg is None else fault.msg
    return json.dumps(task_object("", "", error=(str(fault.code), text))).encode()
