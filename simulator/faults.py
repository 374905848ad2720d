"""The app's outermost layer: counts calls, delays them, and makes them go wrong as the switches say."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator import fault_responses
from simulator.credentials import key_of, members_of
from simulator.endpoints import FILES, Endpoint, endpoint_of, scopes_of
from simulator.state import State
from simulator.switches import Fault, Faults

DROP = "simulator.drop"
_HANDLED_BY_DEFAULT = {"hang", "lost_reply", "slow_bytes", "truncated"}


class DroppableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, and a way for the app to end a connection without a response: ASGI has none."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DROP: {"close": self._drop}}

    def _drop(self, reset: bool) -> None:
        if reset:  # a zero linger time makes the kernel send RST in place of FIN
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self.cycle.disconnected = True  # so that uvicorn expects no response
        self.transport.close()


class FaultLayer:
    """Every response passes here and gets its `X-RunningHub-Simulator` header."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self._respond(scope, receive, _with_header(send))
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:
            if DROP not in scope.get("extensions", {}):  # in process it is the caller who gave up
                raise
            _drop(scope, reset=False)  # the simulator is stopped while a request hangs

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope["path"])
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        self.state.calls[endpoint] += 1
        members: dict[str, Any] = {}
        if _depends_on_members(self.state):
            members, receive = await _read_members(scope, receive)
        fault = self._next_fault(endpoint, members, scope)
        if self.state.switches.latency and endpoint != FILES:
            await asyncio.sleep(self.state.switches.latency)
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await self._apply(fault, endpoint, scope, receive, send)

    def _next_fault(self, endpoint: Endpoint, members: dict[str, Any], scope: Scope) -> Fault | None:
        """The fault that happens now, its `times` counted down; None when all is well."""
        switches = self.state.switches
        own: Faults = {}
        if switches.accounts:
            own = switches.account(key_of(members, Request(scope).headers)).faults
        instance_type = members.get("instanceType") or "default"
        for fault in [*_faults_of(own, endpoint), *_faults_of(switches.faults, endpoint)]:
            if fault.instance_types is not None and instance_type not in fault.instance_types:
                continue
            if fault.times == 0 or self.state.random.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None

    async def _apply(
        self, fault: Fault, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        handled = fault.kind in _HANDLED_BY_DEFAULT if fault.handled is None else fault.handled
        if fault.kind == "truncated":
            await self._truncate(fault, handled, scope, receive, send)
            return
        response = await _collect(self.app, scope, receive) if handled else []
        match fault.kind:
            case "close_before" | "lost_reply":
                if not handled and not fault.reset:  # closing over unread bytes would be a reset
                    await Request(scope, receive).body()
                _drop(scope, fault.reset)
            case "hang":
                if await _gone_within(fault.seconds, receive, body_read=handled):
                    return
                for message in response or await _collect(self.app, scope, receive):
                    await send(message)
            case "slow_bytes":
                pause = 1 if fault.seconds is None else fault.seconds
                await fault_responses.send_slowly(response, pause, send)
            case "huge":
                await fault_responses.send_huge(fault.megabytes, send)
            case _:
                await fault_responses.send_complete(fault, endpoint, send)

    async def _truncate(
        self, fault: Fault, handled: bool, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if handled:
            await self.app(scope, receive, _cut_after(fault.bytes, send))
        else:
            await Request(scope, receive).body()
            await fault_responses.send_half(send)
        _drop(scope, fault.reset)


def _faults_of(faults: Faults, endpoint: Endpoint) -> Iterator[Fault]:
    for name in scopes_of(endpoint):
        found = faults.get(name, [])
        yield from found if isinstance(found, list) else [found]


def _depends_on_members(state: State) -> bool:
    """Whether a fault depends on a request's key or instance type, so that its body must be read first."""
    accounts = state.switches.accounts.values()
    all_faults = [state.switches.faults, *(account.faults for account in accounts)]
    every = [fault for faults in all_faults for found in faults.values() for fault in _as_list(found)]
    return any(account.faults for account in accounts) or any(fault.instance_types for fault in every)


def _as_list(found: Fault | list[Fault]) -> list[Fault]:
    return found if isinstance(found, list) else [found]


async def _read_members(scope: Scope, receive: Receive) -> tuple[dict[str, Any], Receive]:
    """A request's members, and a `receive` that gives the app the body once more."""
    request = Request(scope, receive)
    body = await request.body()
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return members_of(request, body), receive_again


def _with_header(send: Send) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-runninghub-simulator", b"true")]
        await send(message)

    return send_with_header


def _cut_after(limit: int | None, send: Send) -> Send:
    """A `send` that passes on the first bytes of a body, by default half of it, and no end."""
    left = 0

    async def send_a_part(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            length = int(dict(message["headers"]).get(b"content-length", b"0"))
            left = length // 2 if limit is None else limit
            await send(message)
        elif left > 0:
            part = message.get("body", b"")[:left]
            left -= len(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})

    return send_a_part


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    response: list[Message] = []

    async def keep(message: Message) -> None:
        response.append(message)

    await app(scope, receive, keep)
    return response


def _drop(scope: Scope, reset: bool) -> None:
    """End the connection without a response. In process there is none: the caller gets the exception."""
    extension = scope.get("extensions", {}).get(DROP)
    if extension is None:
        raise ConnectionResetError("the simulator closed the connection without a response")
    extension["close"](reset)


async def _gone_within(seconds: float | None, receive: Receive, body_read: bool) -> bool:
    """Wait, for ever with None; True when the client disconnected meanwhile."""
    if seconds is not None and not body_read:  # the body is still needed, so its end cannot be awaited
        await asyncio.sleep(seconds)
        return False
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
