"""RunningHub's envelopes: what each situation is answered with, in its own codes and words."""

import json
from typing import Any

from starlette.responses import Response

from simulator.apps import WebApp
from simulator.state import COINS_PER_SECOND, Task
from simulator.switches import Switches

COMFY_AUTH = "SIMULATED-COMFY-AUTH-TOKEN"
"""The secret inside every `netWssUrl`; a client must not pass it on."""
_NOT_FOUND = {"807": (807, "APIKEY_TASK_NOT_FOUND"), "423": (423, "TASK_NOT_FOUNED")}
_SLOTS_TAKEN = {
    "421": (421, "TASK_QUEUE_MAXED"),
    "415": (415, "TASK_INSTANCE_MAXED"),
    "1520": (1520, "TASK_CONCURRENCY_LIMIT_REACHED"),
    "1003": (1003, "RATE_LIMIT"),
    "814": (814, "PERSONAL_QUEUE_COUNT_LIMIT"),
}


def envelope(code: int, msg: str, data: Any = None) -> Response:
    """A business answer: always HTTP 200."""
    return _json({"code": code, "msg": msg, "errorMessages": None, "data": data})


def success(data: Any) -> Response:
    """Code 0."""
    return envelope(0, "success", data)


def params_invalid(msg: str = "PARAMS_INVALID") -> Response:
    """Code 301: a member is missing or badly typed."""
    return envelope(301, msg)


def key_not_found() -> Response:
    """Code 806: the key is unknown on this host."""
    return envelope(806, "APIKEY_USER_NOT_FOUND")


def webapp_not_found() -> Response:
    """Code 1: the app is unknown, or its id was rounded."""
    return envelope(1, "webapp not exists")


def task_not_found(switches: Switches) -> Response:
    """807 or 423."""
    return envelope(*_NOT_FOUND[switches.unknown_task_dialect])


def slots_taken(switches: Switches) -> Response:
    """The run was refused and nothing was started."""
    if switches.slots_dialect == "http_429":
        return Response("Too Many Requests", 429, media_type="text/plain")
    return envelope(*_SLOTS_TAKEN[switches.slots_dialect])


def node_mismatch(switches: Switches, node_id: str, field_name: str, reason: str) -> Response:
    """803: the app has no such node or field."""
    if switches.node_mismatch_dialect == "old":
        return envelope(803, "APIKEY_INVALID_NODE_INFO")
    return envelope(803, f"NODE_INFO_MISMATCH(nodeId={node_id}, fieldName={field_name}, reason={reason})")


def validation_failed(switches: Switches, errors: dict[str, Any], errors_text: str) -> Response:
    """433: a value does not fit its field."""
    if switches.validation_dialect == "msg":
        return envelope(433, f"VALIDATE_PROMPT_FAILED: {errors_text}")
    if switches.validation_dialect == "promptTips":
        return envelope(433, "VALIDATE_PROMPT_FAILED", {"promptTips": _prompt_tips([], errors)})
    return envelope(433, "VALIDATE_PROMPT_FAILED", {"node_errors": errors})


def uploaded(file_name: str, file_type: str) -> Response:
    """An upload's answer, which has no `errorMessages`."""
    return _json({"code": 0, "msg": "success", "data": {"fileName": file_name, "fileType": file_type}})


def run_accepted(task: Task, status: str, switches: Switches) -> Response:
    """The answer to a run that was started."""
    outputs = [node_id for node_id, _ in task.app.outputs]
    errors = _refused_output(task.app) if switches.prompt_tips_errors else {}
    return success(
        {
            "netWssUrl": net_wss_url(task) if status == "RUNNING" else None,
            "taskId": task.id,
            "clientId": task.client_id,
            "taskStatus": status,
            "promptTips": _prompt_tips(outputs, errors),
        }
    )


def outputs(task: Task, status: str, switches: Switches) -> Response:
    """The answer to the question that clients poll with."""
    if status == "SUCCESS":
        return success([] if switches.outputs_dialect == "zero_empty" else results(task))
    if status in {"FAILED", "CANCEL"}:
        reason = failed_reason(task) if status == "FAILED" else None
        return envelope(805, "APIKEY_TASK_STATUS_ERROR", {"failedReason": reason})
    if switches.outputs_dialect == "zero_null":
        return envelope(0, "任务运行中" if status == "RUNNING" else "任务排队中")
    if status == "QUEUED":
        return envelope(813, "APIKEY_TASK_IS_QUEUED")
    data = None if switches.outputs_dialect == "no_wss" else {"netWssUrl": net_wss_url(task)}
    return envelope(804, "APIKEY_TASK_IS_RUNNING", data)


def results(task: Task) -> list[dict[str, Any]]:
    """The files of a finished task; the cost is the task's and stands at each."""
    coins = max(1, round(task.seconds * COINS_PER_SECOND))
    return [
        {
            "fileUrl": f"{task.base_url}/files/{task.id}_{number:05}.{extension}",
            "fileType": extension,
            "taskCostTime": str(task.seconds),
            "nodeId": node_id,
            "thirdPartyConsumeMoney": None,
            "consumeMoney": None,
            "consumeCoins": str(coins),
        }
        for number, (node_id, extension) in enumerate(task.app.outputs, start=1)
    ]


def failed_reason(task: Task) -> dict[str, str] | None:
    """Why the task failed, with JSON inside strings as RunningHub has it."""
    if task.fail_reason == "null":
        return None
    node_id, node_name = task.app.failing_node or ("3", "KSampler")
    return {
        "node_name": node_name,
        "node_id": node_id,
        "exception_type": "torch.OutOfMemoryError",
        "exception_message": "Allocation on device",
        "traceback": json.dumps(['  File "/workspace/ComfyUI/execution.py", line 349, in execute\n']),
        "current_inputs": "{}",
        "current_outputs": "{}",
    }


def task_end(task: Task, status: str) -> dict[str, Any]:
    """The body of a TASK_END webhook: `eventData` is the outputs reply as a JSON string."""
    if status == "SUCCESS":
        files = [{**file, "taskCostTime": task.seconds} for file in results(task)]
        event = {"code": 0, "msg": "success", "data": files}
    else:
        reason = failed_reason(task) if status == "FAILED" else None
        event = {"code": 805, "msg": "APIKEY_TASK_STATUS_ERROR", "data": {"failedReason": reason}}
    return {"event": "TASK_END", "taskId": task.id, "eventData": json.dumps(event, ensure_ascii=False)}


def net_wss_url(task: Task) -> str:
    """The address of a task's live stream, which this stand-in does not serve."""
    return (
        f"wss://www.runninghub.cn:443/ws/c_instance?c_host=10.2.24.99&c_port=84&clientId={task.client_id}"
        f"&workflowId={task.app.id}&Rh-Comfy-Auth={COMFY_AUTH}&target=http://ln.runninghub.cn:11075"
    )


def _refused_output(app: WebApp) -> dict[str, Any]:
    error = {
        "type": "required_input_missing",
        "message": "Required input is missing",
        "details": "images",
        "extra_info": {"input_name": "images"},
    }
    node_id = app.outputs[0][0] if app.outputs else "9"
    return {node_id: {"errors": [error], "dependent_outputs": [node_id], "class_type": "SaveImage"}}


def _prompt_tips(outputs: list[str], errors: dict[str, Any]) -> str:
    tips = {"result": not errors, "error": None, "outputs_to_execute": outputs, "node_errors": errors}
    return json.dumps(tips)


def _json(body: dict[str, Any]) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(content, media_type="application/json")
