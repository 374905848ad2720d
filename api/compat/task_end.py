"""TASK_END, RunningHub's webhook, for tasks that were started with a `webhookUrl`."""

import json
from collections.abc import Sequence

from api.compat.task_replies import RUN_ENDED_BADLY, failed_reason
from api.schemas import webhook_body
from models import Json, Output, Task, TaskStatus, WebhookEvent, WebhookFormat
from runninghub.replies import objects


def body_of_format(
    event: WebhookEvent, timestamp: str, task: Task, outputs: Sequence[tuple[Output, str]]
) -> str:
    """What is posted about a task, in the format that its own address expects."""
    if task.webhook_format is WebhookFormat.RUNNINGHUB:
        return task_end(task)
    return webhook_body(event, timestamp, task, outputs)


def task_end(task: Task) -> str:
    """`eventData` is the reply of /outputs as a JSON string; `taskId` is the one that the run returned."""
    event_data = json.dumps(_outputs_reply(task), ensure_ascii=False, separators=(",", ":"))
    body = {"event": "TASK_END", "taskId": task.public_id, "eventData": event_data}
    return json.dumps(body, separators=(",", ":"))


def _outputs_reply(task: Task) -> dict[str, Json]:
    if task.status is TaskStatus.SUCCESS:
        results = [_with_number(result) for result in objects(task.result_data or [])]
        return {"code": 0, "msg": "success", "data": results}
    code, msg = RUN_ENDED_BADLY
    return {"code": code, "msg": msg, "data": {"failedReason": failed_reason(task)}}


def _with_number(result: dict[str, Json]) -> dict[str, Json]:
    """In webhooks RunningHub sends the seconds as a number, elsewhere as a text."""
    seconds = result.get("taskCostTime")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdecimal() and len(seconds) < 16:
        return {**result, "taskCostTime": int(seconds)}
    return result
