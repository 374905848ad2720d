"""`netWssUrl`: a task's progress in ComfyUI's messages, on an address of this service."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from models import Task, TaskStatus
from services import Services

SOCKET_PATH = "/ws/c_instance"
REFUSED, GOING_AWAY, COMPLETE = 1008, 1001, 1000

# A client that polls does not get a new address each time.
STEP_S = 3600

Message = dict[str, Any]


def socket_url(services: Services, base_url: str, task: Task) -> str:
    """A signed address; it is valid as long as the links to outputs."""
    end_s = services.database.clock() / 1000 + services.settings.outputs_link_ttl_s
    expires = int(end_s // STEP_S + 1) * STEP_S
    address = base_url.replace("http", "ws", 1) + SOCKET_PATH
    signature = services.secret.socket_signature(task.id, expires)
    return f"{address}?clientId={task.id}&expires={expires}&signature={signature}"


async def progress_socket(websocket: WebSocket) -> None:
    """Send a task's messages until it ends or its client leaves. The signature stands for a token."""
    services: Services = websocket.app.state.services
    task_id = websocket.query_params.get("clientId", "")
    if not _is_signed(services, websocket, task_id):
        await websocket.close(REFUSED)
        return
    await websocket.accept()
    sending = asyncio.create_task(_send_all(websocket, services, task_id))
    leaving = asyncio.create_task(_until_left(websocket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


def _is_signed(services: Services, websocket: WebSocket, task_id: str) -> bool:
    expires = websocket.query_params.get("expires", "")
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
        return False
    signature = websocket.query_params.get("signature", "")
    is_ours = services.secret.is_socket_signature(task_id, int(expires), signature)
    return is_ours and int(expires) * 1000 > services.database.clock()


async def _send_all(websocket: WebSocket, services: Services, task_id: str) -> None:
    with suppress(WebSocketDisconnect):
        last: Task | None = None
        async for task in services.change_feed.follow(task_id, seen_version=None):
            for message in messages(last, task):
                await websocket.send_json(message)
            last = task
        has_ended = last is not None and last.status.is_final
        await websocket.close(COMPLETE if has_ended else GOING_AWAY)


async def _until_left(websocket: WebSocket) -> None:
    """What the client sends is ignored."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def messages(before: Task | None, task: Task) -> list[Message]:
    """What ComfyUI says when a task has changed; `before` is None at first."""
    prompt = {"prompt_id": task.id}
    found: list[Message] = []
    if before is None or before.queue_position != task.queue_position:
        waiting = {"exec_info": {"queue_remaining": task.queue_position or 1}}
        found.append(_message("status", {"status": waiting, "sid": task.id}))
    if task.status is TaskStatus.RUNNING and (before is None or before.status is not task.status):
        node = task.node_info[0]["nodeId"] if task.node_info else "0"
        found.append(_message("execution_start", prompt))
        found.append(_message("executing", {"node": node, "display_node": node, **prompt}))
    found += _steps(before, task)
    if task.status.is_final:
        found.append(_end(task, prompt))
        found.append(_message("executing", {"node": None, **prompt}))
    return found


def _steps(before: Task | None, task: Task) -> list[Message]:
    """The step that RunningHub reported, where its WebSocket is followed."""
    step, earlier = task.progress, before.progress if before else None
    if task.status is not TaskStatus.RUNNING or step is None or step == earlier:
        return []
    node, prompt = step["node_id"], {"prompt_id": task.id}
    found = [_message("progress", {"value": step["value"], "max": step["max"], "node": node, **prompt})]
    if earlier is None or earlier["node_id"] != node:
        found.insert(0, _message("executing", {"node": node, "display_node": node, **prompt}))
    return found


def _end(task: Task, prompt: dict[str, str]) -> Message:
    if task.status is TaskStatus.SUCCESS:
        return _message("execution_success", prompt)
    if task.status is TaskStatus.CANCELLED:
        return _message("execution_interrupted", prompt)
    error = task.error or {}
    reason = {
        "node_id": error.get("node_id", ""),
        "node_type": error.get("node_name", ""),
        "exception_type": error.get("code", ""),
        "exception_message": error.get("message", ""),
    }
    return _message("execution_error", {**prompt, **reason})


def _message(kind: str, data: dict[str, Any]) -> Message:
    return {"type": kind, "data": data}
