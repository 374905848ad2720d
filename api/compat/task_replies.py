"""A task in RunningHub's formats: v1's envelope with codes, and v2's flat object."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from api.compat.calls import Call
from api.compat.errors import json_reply, v1_reply
from api.compat.socket import socket_url
from models import Json, Output, OutputState, Task, TaskStatus
from runninghub.replies import objects

S = TaskStatus
# A task whose outcome is unknown may run: its client goes on polling until it is settled.
RUNNING = frozenset({S.RUNNING, S.SUBMIT_UNKNOWN})
ENDED_WITHOUT_RESULTS = frozenset({S.FAILED, S.CANCELLED})
RUN_ENDED_BADLY = (805, "APIKEY_TASK_STATUS_ERROR")
COST_MEMBERS = ("consumeMoney", "consumeCoins", "taskCostTime", "thirdPartyConsumeMoney")
PROMPT_TIPS = json.dumps({"result": True, "error": None, "outputs_to_execute": [], "node_errors": {}})


@dataclass(frozen=True, slots=True)
class Result:
    """One result: RunningHub's members, and the text of a small text file."""

    members: dict[str, Json]
    text: str | None


def status_of(task: Task) -> str:
    """RunningHub's text for a task's status; it has none for a cancelled one."""
    if task.status in RUNNING:
        return "RUNNING"
    if task.status in ENDED_WITHOUT_RESULTS:
        return "FAILED"
    return "SUCCESS" if task.status is S.SUCCESS else "QUEUED"


def v1_run(call: Call, task: Task) -> Response:
    """The reply to a run, whose task may wait here: for the client it is queued."""
    data = {
        "netWssUrl": _socket_url(call, task),
        "taskId": task.public_id,
        "clientId": task.id,
        "taskStatus": status_of(task),
        "promptTips": PROMPT_TIPS,
    }
    return v1_reply(0, "success", data)


async def v1_outputs(call: Call, task: Task) -> Response:
    """The reply that v1 clients poll for."""
    match status_of(task):
        case "SUCCESS":
            return v1_reply(0, "success", [result.members for result in await _results(call, task)])
        case "FAILED":
            return v1_reply(*RUN_ENDED_BADLY, {"failedReason": failed_reason(task)})
        case "RUNNING":
            return v1_reply(804, "APIKEY_TASK_IS_RUNNING", {"netWssUrl": _socket_url(call, task)})
    return v1_reply(813, "APIKEY_TASK_IS_QUEUED")


async def v2_task(call: Call, task: Task) -> Response:
    """The flat object that v2's runs and queries return; a success has an empty `errorCode`."""
    results = await _results(call, task) if task.status is S.SUCCESS else None
    has_failed = task.status in ENDED_WITHOUT_RESULTS
    return json_reply(
        {
            "taskId": task.public_id,
            "status": status_of(task),
            "errorCode": str(RUN_ENDED_BADLY[0]) if has_failed else "",
            "errorMessage": (task.error or {}).get("message", RUN_ENDED_BADLY[1]) if has_failed else "",
            "results": None if results is None else [_v2_result(result) for result in results],
            "clientId": task.id,
            "promptTips": PROMPT_TIPS,
            "failedReason": (failed_reason(task) if has_failed else None) or {},
            "usage": _usage(results),
        }
    )


async def _results(call: Call, task: Task) -> list[Result]:
    """RunningHub's results; a file that is kept here has our address."""
    outputs = await call.services.outputs.of_task(task)
    kept = {output.n: output for output in outputs if output.state is OutputState.KEPT}
    return [
        _result(call, item, kept.get(n))
        for n, item in enumerate(task.result_data or ())
        if isinstance(item, dict)
    ]


def _result(call: Call, item: dict[str, Json], kept: Output | None) -> Result:
    if kept is None:
        return Result(item, item.get("text"))
    url = call.base_url + call.services.outputs.link(kept)
    return Result({**item, "fileUrl": url}, kept.text)


def _v2_result(result: Result) -> dict[str, Json]:
    return {
        "url": result.members.get("fileUrl"),
        "nodeId": result.members.get("nodeId"),
        "outputType": result.members.get("fileType"),
        "text": result.text,
    }


def _usage(results: Sequence[Result] | None) -> dict[str, Json] | None:
    """The cost, which v1 repeats at every file."""
    first = next(iter(objects([result.members for result in results or ()])), {})
    return {name: first.get(name) for name in COST_MEMBERS}


def failed_reason(task: Task) -> dict[str, str] | None:
    """Without a traceback, which RunningHub's own reasons have: it can contain paths and prompts."""
    if task.status is S.CANCELLED or not task.error:
        return None
    return {
        "node_name": task.error.get("node_name", ""),
        "node_id": task.error.get("node_id", ""),
        "exception_type": task.error.get("code", ""),
        "exception_message": task.error.get("message", ""),
        "traceback": "[]",
        "current_inputs": "{}",
        "current_outputs": "{}",
    }


def _socket_url(call: Call, task: Task) -> str | None:
    return socket_url(call.services, call.base_url, task) if task.status in RUNNING else None
