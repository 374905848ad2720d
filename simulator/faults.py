"""What goes wrong on the way: the layer around the app that counts calls, waits, and spoils answers."""

import asyncio
import json
import socket
import struct
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.state import State
from simulator.switches import Endpoint, Fault

ANY: Endpoint = "*"
ENDPOINTS: dict[str, Endpoint] = {
    "/api/webapp/apiCallDemo": "apiCallDemo",
    "/task/openapi/upload": "upload",
    "/task/openapi/ai-app/run": "run",
    "/task/openapi/outputs": "outputs",
    "/task/openapi/status": "status",
    "/task/openapi/cancel": "cancel",
    "/uc/openapi/accountStatus": "accountStatus",
}
DROP = "simulator.drop"
_HANDLED_BY_DEFAULT = {"hang", "lost_reply", "slow_bytes"}
_HTML = b"text/html; charset=utf-8"
_JSON = b"application/json;charset=UTF-8"
_MEGABYTE = 1024 * 1024
_WRONG_TYPES: dict[Endpoint, Any] = {
    "apiCallDemo": {"webappName": 7, "nodeInfoList": {"nodeId": 4}, "covers": "none", "tags": None},
    "upload": ["api/file.png"],
    "run": ["1994070439827980290"],
    "outputs": {"fileUrl": 5},
    "status": {"status": "RUNNING"},
    "cancel": "cancelled",
    "accountStatus": [99999],
}


class DroppableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, and a way for the app to end a connection without a reply: ASGI has none."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DROP: {"close": self._drop}}

    def _drop(self, reset: bool) -> None:
        if reset:  # a zero linger time makes the kernel send RST in place of FIN
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.cycle.disconnected = True  # so that uvicorn misses no answer
        self.transport.close()


class FaultLayer:
    """The app's outermost layer: every reply passes here and gets its `X-RunningHub-Simulator` header."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, _with_header(send))
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:
            if DROP not in scope.get("extensions", {}):  # in process it is the caller who gave up
                raise
            _drop(scope, reset=False)  # the stand-in is told to stop while a request hangs

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = ENDPOINTS.get(scope["path"])
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        self.state.calls[endpoint] += 1
        fault = self._next_fault(endpoint)
        if self.state.switches.latency:
            await asyncio.sleep(self.state.switches.latency)
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await self._spoil(fault, endpoint, scope, receive, send)

    def _next_fault(self, endpoint: Endpoint) -> Fault | None:
        """The fault that strikes now, its `times` counted down; None when all is well."""
        board = self.state.switches.faults
        for name in (endpoint, ANY):
            faults = board.get(name, [])
            for fault in faults if isinstance(faults, list) else [faults]:
                if fault.times == 0 or self.state.random.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def _spoil(
        self, fault: Fault, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        handled = fault.kind in _HANDLED_BY_DEFAULT if fault.handled is None else fault.handled
        reply = await _collect(self.app, scope, receive) if handled else []
        match fault.kind:
            case "close_before" | "lost_reply":
                if not handled and not fault.reset:  # closing over unread bytes would be a reset
                    await Request(scope, receive).body()
                _drop(scope, fault.reset)
            case "hang":
                if await _gone_within(fault.seconds, receive, body_read=handled):
                    return
                await _send_all(reply or await _collect(self.app, scope, receive), send)
            case "slow_bytes":
                await _send_slowly(reply, 1 if fault.seconds is None else fault.seconds, send)
            case "huge":
                await _send_huge(fault.megabytes, send)
            case _:
                await _send_whole(*_spoiled(fault, endpoint), send)


def _with_header(send: Send) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-runninghub-simulator", b"true")]
        await send(message)

    return send_with_header


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    reply: list[Message] = []

    async def keep(message: Message) -> None:
        reply.append(message)

    await app(scope, receive, keep)
    return reply


def _drop(scope: Scope, reset: bool) -> None:
    """End the connection without a reply. In process there is none: the caller meets the exception itself."""
    extension = scope.get("extensions", {}).get(DROP)
    if extension is None:
        raise ConnectionResetError("the simulator closed the connection without a reply")
    extension["close"](reset)


async def _gone_within(seconds: float | None, receive: Receive, body_read: bool) -> bool:
    """Wait, for ever with None; True when the client went away meanwhile."""
    if seconds is not None and not body_read:  # the body is still wanted, so it cannot be watched for the end
        await asyncio.sleep(seconds)
        return False
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def _send_all(reply: list[Message], send: Send) -> None:
    for message in reply:
        await send(message)


async def _send_slowly(reply: list[Message], pause: float, send: Send) -> None:
    start, *rest = reply or [_start(200, _JSON), {"type": "http.response.body", "body": b" " * 60}]
    await send(start)
    for byte in b"".join(message.get("body", b"") for message in rest):
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await asyncio.sleep(pause)
    await send({"type": "http.response.body", "body": b""})


async def _send_huge(megabytes: int, send: Send) -> None:
    await send(_start(200, _JSON))
    await send(
        {"type": "http.response.body", "body": b'{"code":0,"msg":"success","data":"', "more_body": True}
    )
    for _ in range(megabytes):
        await send({"type": "http.response.body", "body": b"x" * _MEGABYTE, "more_body": True})
    await send({"type": "http.response.body", "body": b'"}'})


async def _send_whole(status: int, media_type: bytes, body: bytes, send: Send) -> None:
    await send(_start(status, media_type, len(body)))
    await send({"type": "http.response.body", "body": body})


def _start(status: int, media_type: bytes, length: int | None = None) -> Message:
    headers = [(b"content-type", media_type)]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}


def _spoiled(fault: Fault, endpoint: Endpoint) -> tuple[int, bytes, bytes]:
    """Status, media type and body of a reply that is whole but wrong."""
    match fault.kind:
        case "http_500_html" | "http_502_html" | "http_504_html":
            status = int(fault.kind[5:8])
            return status, _HTML, _page(f"{status} {HTTPStatus(status).phrase}")
        case "http_429":
            return 429, _HTML, _page("429 Too Many Requests")
        case "http_401":
            return 401, _JSON, _envelope(-1, "ApiKey verification failed")
        case "invalid_json":
            return 200, _JSON, b'{"code":0,"msg":"success","data":{'
        case "html_200":
            return 200, _HTML, _page("RunningHub")
        case "wrong_types":
            return 200, _JSON, _envelope(0, "success", _WRONG_TYPES[endpoint])
        case "code":
            return 200, _JSON, _envelope(fault.code, fault.msg, fault.data)
        case _:
            return 200, _JSON, b""


def _page(title: str) -> bytes:
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>nginx</body></html>".encode()


def _envelope(code: int, msg: str, data: Any = None) -> bytes:
    return json.dumps({"code": code, "msg": msg, "errorMessages": None, "data": data}).encode()
