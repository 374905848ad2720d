"""The stream of ComfyUI messages at `netWssUrl`: how far a task is, node by node."""

import asyncio
import contextlib
import hmac
import time
from dataclasses import dataclass
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from simulator import links
from simulator.context import simulator_of
from simulator.replies import COMFY_AUTH, failed_reason
from simulator.state import State, Task

STEPS = 4
"""The `progress` messages of each node."""
CHECK_S = 0.1
"""How often a stream checks whether its task was cancelled."""
_REFUSED = 1008
_BROKEN = 1011
_COMPLETE = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """One text frame, and how long after the start of the run it is due."""

    due: float
    type: str
    data: dict[str, Any]


async def stream(websocket: WebSocket) -> None:
    """Send a task's messages as they become due, then close."""
    simulator, query = simulator_of(websocket), websocket.query_params
    state = simulator.state
    state.calls["websocket"] += 1
    task = _task_of(state, query.get("clientId", ""))
    allowed = hmac.compare_digest(query.get("Rh-Comfy-Auth", "").encode(), COMFY_AUTH.encode())
    if task is None or not allowed or state.switches.websocket == "refused":
        await websocket.close(_REFUSED)
        return
    await websocket.accept()
    waiting = {"status": {"exec_info": {"queue_remaining": 1}}, "sid": task.client_id}
    with contextlib.suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "status", "data": waiting})
        code = await _send_all(websocket, state, task)
        await websocket.close(code)


async def _send_all(websocket: WebSocket, state: State, task: Task) -> int:
    """All messages, unless the task is cancelled or the stream breaks; returns how it is to be closed."""
    messages = timeline(task)
    for number, message in enumerate(messages):
        if state.switches.websocket == "breaks" and number > len(messages) // 2:
            return _BROKEN
        while (rest := task.runs_from + message.due - state.clock()) > 0 and not task.cancelled:
            await _ignore_client(websocket, min(rest, CHECK_S))
        if task.cancelled:
            message = Message(0, "execution_interrupted", {"prompt_id": task.client_id})
        await websocket.send_json({"type": message.type, "data": message.data})
        if task.cancelled:
            break
    return _COMPLETE


async def _ignore_client(websocket: WebSocket, seconds: float) -> None:
    """Wait; what the client sends is ignored, but its leaving is raised as `WebSocketDisconnect`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await websocket.receive_text()


def timeline(task: Task) -> list[Message]:
    """All messages of a task that is not cancelled."""
    duration, prompt = task.ends - task.runs_from, {"prompt_id": task.client_id}
    nodes = _nodes(task)
    each = duration / len(nodes)
    messages = [
        Message(0, "execution_start", {**prompt, "timestamp": round(time.time() * 1000)}),
        Message(0, "execution_cached", {**prompt, "nodes": []}),
    ]
    for number, node_id in enumerate(nodes):
        messages += _node_messages(task, node_id, number * each, each)
    if task.fails:
        messages.append(Message(duration, "execution_error", {**prompt, **(failed_reason(task) or {})}))
    else:
        messages.append(Message(duration, "execution_success", prompt))
    messages.append(Message(duration, "executing", {"node": None, **prompt}))
    return messages


def _node_messages(task: Task, node_id: str, begins: float, lasts: float) -> list[Message]:
    prompt = {"prompt_id": task.client_id}
    messages = [Message(begins, "executing", {"node": node_id, "display_node": node_id, **prompt})]
    for step in range(1, STEPS + 1):
        due = begins + lasts * step / STEPS
        progress = {"value": step, "max": STEPS, "node": node_id, **prompt}
        messages.append(Message(due, "progress", progress))
    files = [
        {"filename": links.file_name(task, number, extension), "subfolder": "", "type": "output"}
        for number, (output_id, extension) in enumerate(task.app.outputs, start=1)
        if output_id == node_id and not task.fails
    ]
    if files:
        output = {"node": node_id, "display_node": node_id, "output": {"images": files}, **prompt}
        messages.append(Message(begins + lasts, "executed", output))
    return messages


def _nodes(task: Task) -> list[str]:
    """The nodes in the order in which they run: those with inputs, then those with results."""
    ids = [node["nodeId"] for node in task.app.nodes] + [node_id for node_id, _ in task.app.outputs]
    return list(dict.fromkeys(ids))


def _task_of(state: State, client_id: str) -> Task | None:
    return next((task for task in reversed(state.tasks.values()) if task.client_id == client_id), None)


ROUTES = [WebSocketRoute("/ws/c_instance", stream)]
