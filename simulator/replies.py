"""RunningHub's v1 envelopes: the response to each situation, in its own codes and texts."""

import json
from typing import Any

from starlette.responses import Response

from simulator import codes
from simulator.apps import App
from simulator.json_response import json_response
from simulator.links import signed_url
from simulator.payments import coins_left
from simulator.refusals import Refusal, refusal
from simulator.state import Task
from simulator.switches import Account, Switches

COMFY_AUTH = "SIMULATED-COMFY-AUTH-TOKEN"
"""The secret inside every `netWssUrl`; a client must not pass it on."""


def envelope(code: int, msg: str, data: Any = None) -> Response:
    """A business response: always HTTP 200."""
    return json_response({"code": code, "msg": msg, "errorMessages": None, "data": data})


def success(data: Any) -> Response:
    """Code 0."""
    return envelope(0, "success", data)


def refused(refusal: Refusal) -> Response:
    """A call that was refused."""
    if refusal.http_status != 200:
        return Response(refusal.msg, refusal.http_status, media_type="text/plain")
    return envelope(refusal.code, refusal.msg, refusal.data)


def uploaded(file_name: str, file_type: str) -> Response:
    """The response to an upload, which has no `errorMessages`."""
    return json_response(
        {"code": 0, "msg": "success", "data": {"fileName": file_name, "fileType": file_type}}
    )


def run_accepted(task: Task, status: str, switches: Switches) -> Response:
    """The response to a run that was started."""
    return success(
        {
            "netWssUrl": net_wss_url(task) if status == "RUNNING" else None,
            "taskId": task.id,
            "clientId": task.client_id,
            "taskStatus": status,
            "promptTips": prompt_tips_of(task, switches),
        }
    )


def prompt_tips_of(task: Task, switches: Switches) -> str:
    """What ComfyUI said of an accepted graph, as a JSON string."""
    outputs = [node_id for node_id, _ in task.app.outputs]
    errors = _refused_output(task.app) if switches.prompt_tips_errors else {}
    return _prompt_tips(outputs, errors)


def outputs(task: Task, status: str, switches: Switches) -> Response:
    """The response that clients poll for."""
    if status == "SUCCESS":
        return success([] if switches.outputs_dialect == "zero_empty" else results(task, switches))
    if status in {"FAILED", "CANCEL"}:
        reason = failed_reason(task) if status == "FAILED" else None
        return envelope(805, "APIKEY_TASK_STATUS_ERROR", {"failedReason": reason})
    if switches.outputs_dialect == "zero_null":
        return envelope(0, "任务运行中" if status == "RUNNING" else "任务排队中")
    if status == "QUEUED":
        return envelope(813, "APIKEY_TASK_IS_QUEUED")
    data = None if switches.outputs_dialect == "no_wss" else {"netWssUrl": net_wss_url(task)}
    return envelope(804, "APIKEY_TASK_IS_RUNNING", data)


def account_status(account: Account, active: int) -> Response:
    """What an account has left; all numbers are strings."""
    return success(
        {
            "remainCoins": coins_left(account),
            "currentTaskCounts": str(active),
            "remainMoney": None if account.money is None else str(account.money),
            "currency": None if account.money is None else account.currency,
            "apiType": account.api_type,
        }
    )


def validation_failed(switches: Switches, errors: dict[str, Any], errors_text: str) -> Refusal:
    """433: a value does not fit its field."""
    if switches.validation_dialect == "msg":
        return refusal(433, f"{codes.message(433)}: {errors_text}")
    if switches.validation_dialect == "promptTips":
        return refusal(433, data={"promptTips": _prompt_tips([], errors)})
    return refusal(433, data={"node_errors": errors})


def results(task: Task, switches: Switches) -> list[dict[str, Any]]:
    """The files of a finished task; the cost is the task's and is repeated at each."""
    coins, money = task.payment.coins, task.payment.money
    return [
        {
            "fileUrl": signed_url(task, number, extension, switches.files_ttl),
            "fileType": extension,
            "taskCostTime": str(task.seconds),
            "nodeId": node_id,
            "thirdPartyConsumeMoney": None,
            "consumeMoney": f"{money:.3f}" if money else None,
            "consumeCoins": None if money else str(coins),
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


def task_end(task: Task, status: str, switches: Switches) -> dict[str, Any]:
    """The body of a TASK_END webhook: `eventData` is the outputs reply as a JSON string."""
    if status == "SUCCESS":
        files = [{**file, "taskCostTime": task.seconds} for file in results(task, switches)]
        event = {"code": 0, "msg": "success", "data": files}
    else:
        reason = failed_reason(task) if status == "FAILED" else None
        event = {"code": 805, "msg": "APIKEY_TASK_STATUS_ERROR", "data": {"failedReason": reason}}
    return {"event": "TASK_END", "taskId": task.id, "eventData": json.dumps(event, ensure_ascii=False)}


def net_wss_url(task: Task) -> str:
    """The address of a task's stream of ComfyUI messages, at this simulator."""
    address = task.run.base_url.replace("http", "ws", 1)
    return (
        f"{address}/ws/c_instance?c_host=10.2.24.99&c_port=84&clientId={task.client_id}"
        f"&workflowId={task.app.id}&Rh-Comfy-Auth={COMFY_AUTH}&target=http://ln.runninghub.cn:11075"
    )


def _refused_output(app: App) -> dict[str, Any]:
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
