"""Problems as RunningHub reports them: HTTP 200, its envelope, its codes and texts."""

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from errors import (
    AppError,
    BudgetExceeded,
    FileTooLarge,
    InsufficientBalance,
    InvalidNodeInfo,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    RateLimited,
    RunningHubRejected,
    TaskNotFound,
    TooManyPending,
    Unauthorized,
    UnsupportedFile,
    WebappNotFound,
    WorkflowNotFound,
)
from runninghub.codes import Refusal as RefusalClass
from runninghub.codes import refusal as refusal_class

VALIDATE_PROMPT_FAILED = "VALIDATE_PROMPT_FAILED"
OWN_ERROR = 1000
V1_UNKNOWN_APP = 1
V2_UNKNOWN_APP = (901, "WEBAPP_NOT_EXISTS")
# Clients compare these texts.
CODES: dict[type[AppError], tuple[int, str]] = {
    Unauthorized: (806, "APIKEY_USER_NOT_FOUND"),
    NotFound: (412, "TOKEN_INVALID"),
    TaskNotFound: (807, "APIKEY_TASK_NOT_FOUND"),
    TooManyPending: (421, "TASK_QUEUE_MAXED"),
    QuotaExceeded: (421, "TASK_QUEUE_MAXED"),
    RateLimited: (1003, "RATE_LIMIT"),
    BudgetExceeded: (414, "TASK_CREATE_FAILED_BY_NOT_ENOUGH_POWER_VALUE"),
    InsufficientBalance: (414, "TASK_CREATE_FAILED_BY_NOT_ENOUGH_POWER_VALUE"),
    WebappNotFound: (1, "webapp not exists"),
    WorkflowNotFound: (380, "WORKFLOW_NOT_EXISTS"),
    FileTooLarge: (809, "APIKEY_FILE_SIZE_EXCEEDED"),
    UnsupportedFile: (808, "APIKEY_UPLOAD_FAILED"),
}
# With which RunningHub rejected a task: its own code says more than ours.
PASSED_ON = (InvalidNodeInfo, WebappNotFound, WorkflowNotFound, RunningHubRejected, InsufficientBalance)


@dataclass(frozen=True, slots=True)
class Refusal:
    """RunningHub's code and text; `node_errors` in ComfyUI's format where values are invalid."""

    code: int
    msg: str
    node_errors: dict[str, Any] | None = None

    @property
    def prompt_tips(self) -> str:
        """ComfyUI's response to a graph that it does not accept, a JSON string."""
        tips: dict[str, Any] = {
            "result": False,
            "error": None,
            "outputs_to_execute": [],
            "node_errors": self.node_errors,
        }
        return json.dumps(tips, ensure_ascii=False) if self.node_errors else ""


def refusal_of(problem: AppError) -> Refusal:
    """The code that a client built for RunningHub knows for a problem."""
    node_errors = _node_errors(problem) if isinstance(problem, InvalidNodeInfo) else None
    if isinstance(problem, PASSED_ON) and (passed_on := _upstream(problem)):
        return Refusal(*passed_on, node_errors if passed_on[0] == 433 else None)
    if node_errors is not None:
        return Refusal(433, f"{VALIDATE_PROMPT_FAILED}: {_sentence(problem)}", node_errors)
    if isinstance(problem, InvalidRequest):
        return Refusal(301, problem.message)
    return Refusal(*CODES.get(type(problem), (OWN_ERROR, problem.message)))


def _upstream(problem: AppError) -> tuple[int, str] | None:
    """RunningHub's code, unless it is about this service's key: a client would take it for its own."""
    upstream = problem.upstream or {}
    code, msg = upstream.get("code"), str(upstream.get("msg") or "")
    if not isinstance(code, int) or refusal_class(200, code, msg) is RefusalClass.KEY_REFUSED:
        return None
    return (code, msg) if msg and not msg.startswith("HTTP ") else None


def _sentence(problem: AppError) -> str:
    errors = problem.errors or []
    return "; ".join(f"nodeId={e['nodeId']}, fieldName={e['fieldName']}: {e['msg']}" for e in errors)


def _node_errors(problem: AppError) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for error in problem.errors or ():
        node = {"errors": [], "dependent_outputs": [], "class_type": ""}
        found.setdefault(str(error["nodeId"] or ""), node)["errors"].append(
            {
                "type": "invalid_value",
                "message": error["msg"],
                "details": str(error["fieldName"] or ""),
                "extra_info": {"input_name": error["fieldName"]},
            }
        )
    return found


def refusal_response(problem: AppError) -> Response:
    """A problem in v1's envelope."""
    return v1_refusal(refusal_of(problem))


def v1_refusal(refusal: Refusal) -> Response:
    """v1's envelope; of invalid values the nodes are in `data`."""
    data = None
    if refusal.node_errors:
        data = {"node_errors": refusal.node_errors, "promptTips": refusal.prompt_tips}
    return v1_reply(refusal.code, refusal.msg, data)


def v2_list_refusal(refusal: Refusal) -> Response:
    """v2's envelope of uploads and lists, which has `message`."""
    return json_reply({"code": refusal.code, "message": refusal.msg, "data": None})


def v2_task_refusal(refusal: Refusal) -> Response:
    """v2's flat task object, without a task. It has a code of its own for an unknown app."""
    code, msg = V2_UNKNOWN_APP if refusal.code == V1_UNKNOWN_APP else (refusal.code, refusal.msg)
    return json_reply(
        {
            "taskId": "",
            "status": "",
            "errorCode": str(code),
            "errorMessage": msg,
            "results": None,
            "clientId": "",
            "promptTips": refusal.prompt_tips,
            "failedReason": {},
            "usage": None,
        }
    )


def v1_reply(code: int, msg: str, data: Any = None) -> Response:
    return json_reply({"code": code, "msg": msg, "errorMessages": None, "data": data})


def json_reply(body: dict[str, Any]) -> Response:
    """HTTP 200 whatever the code is, as RunningHub does."""
    # "replace": half a surrogate pair from a client's JSON must not turn its reply into a 500.
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, media_type="application/json")
