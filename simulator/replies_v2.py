"""RunningHub's v2 responses: an envelope with `message`, and the flat task object."""

from typing import Any

from starlette.responses import Response

from simulator import codes, replies
from simulator.json_response import json_response
from simulator.refusals import Refusal
from simulator.results import values_text
from simulator.state import Task
from simulator.switches import Switches
from simulator.task_object import task_object

_BAD_KEY = 401
"""What the calls with an envelope report for any key that they refuse."""
_FAILED = 805


def success(data: Any) -> Response:
    """Code 0."""
    return json_response({"code": 0, "message": "success", "data": data})


def refused(refusal: Refusal) -> Response:
    """A call with an envelope that was refused."""
    code, message = refusal.code, refusal.msg
    if code == 806:
        code, message = _BAD_KEY, codes.message(_BAD_KEY)
    return json_response({"code": code, "message": message, "data": None})


def run_refused(refusal: Refusal) -> Response:
    """A run or a query that was refused: a task object without a task."""
    if refusal.http_status != 200:
        return Response(refusal.msg, refusal.http_status, media_type="text/plain")
    tips = refusal.data.get("promptTips") if isinstance(refusal.data, dict) else None
    return json_response(task_object("", "", error=(str(refusal.code), refusal.msg), prompt_tips=tips or ""))


def run_accepted(task: Task, status: str, switches: Switches) -> Response:
    """The response to a run that was started."""
    tips = replies.prompt_tips_of(task, switches)
    return json_response(task_object(task.id, status, client_id=task.client_id, prompt_tips=tips))


def query(task: Task, status: str, switches: Switches) -> Response:
    """The response that v2 clients poll for."""
    body = _described(task, status, switches)
    if switches.query_dialect == "wrapped":
        return json_response({"code": 0, "msg": "success", "data": body})
    return json_response(body)


def _described(task: Task, status: str, switches: Switches) -> dict[str, Any]:
    tips = replies.prompt_tips_of(task, switches)
    if status == "SUCCESS":
        return task_object(
            task.id,
            status,
            client_id=task.client_id,
            prompt_tips=tips,
            results=[] if switches.outputs_dialect == "zero_empty" else _results(task, switches),
            usage=_usage(task, switches),
        )
    if status == "FAILED":
        return task_object(
            task.id,
            status,
            client_id=task.client_id,
            prompt_tips=tips,
            error=(str(_FAILED), codes.message(_FAILED)),
            failed_reason=replies.failed_reason(task) or {},
        )
    shown = "" if status == "CANCEL" and switches.cancelled_dialect == "empty" else status
    return task_object(task.id, shown, client_id=task.client_id, prompt_tips=tips)


def _results(task: Task, switches: Switches) -> list[dict[str, Any]]:
    """A task's files; a text stands in the response itself."""
    return [
        {
            "url": None if file["fileType"] == "txt" else file["fileUrl"],
            "nodeId": file["nodeId"],
            "outputType": file["fileType"],
            "text": values_text(task) if file["fileType"] == "txt" else None,
        }
        for file in replies.results(task, switches)
    ]


def _usage(task: Task, switches: Switches) -> dict[str, Any]:
    (file, *_) = replies.results(task, switches) or [{}]
    names = ("consumeMoney", "consumeCoins", "taskCostTime", "thirdPartyConsumeMoney")
    return {name: file.get(name) for name in names}
