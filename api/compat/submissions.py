"""What a client built for RunningHub wants to run, as a submission like any other."""

import re
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from api.compat.calls import Call
from api.schemas import SubmitRequest, WebhookUrl
from errors import AppError, InvalidRequest, NotFound
from models import Task, TaskStatus, WebhookFormat
from task_service import Submission

# First parts of v2 paths that are calls of another kind.
NO_MODELS = frozenset(
    {"aiapp", "api-key", "media", "price-preview", "query", "queue", "resource", "run", "user", "webhook"}
)
MODEL_PATH = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
MAX_MODEL_PATH_CHARS = 200
WEBHOOK_URL: TypeAdapter[str] = TypeAdapter(WebhookUrl)
# Passed through as they are; `workflow` replaces the stored graph.
OPTIONS = ("addMetadata", "workflow")


async def submit(call: Call, submission: Submission) -> Task:
    """Submit like `/submit_task`, except that an unknown outcome is no error here: the client polls.

    Raises what refuses the task itself.
    """
    await call.check_rate()
    try:
        task, _ = await call.services.tasks.submit(submission, call.principal)
    except AppError as problem:
        if problem.task_id is None:
            raise
        task = await call.services.tasks.task(problem.task_id, call.principal)
        if task.status is TaskStatus.FAILED:
            raise
    return task


def submission_of(call: Call, **target: str) -> Submission:
    """The run of an app (`webappId=`) or of a workflow (`workflowId=`). Raises InvalidRequest."""
    names = ("nodeInfoList", "instanceType", "accessPassword", "usePersonalQueue", "retainSeconds")
    members = {name: call.members[name] for name in names if call.members.get(name) not in (None, "")}
    try:
        request = SubmitRequest.model_validate({"nodeInfoList": [], **members, **target})
    except ValidationError as exc:
        error = _first_error(exc)
        raise InvalidRequest(f"{'.'.join(map(str, error['loc']))}: {error['msg']}") from exc
    submission = request.submission(call.request.headers.get("idempotency-key"))
    options = {name: call.members[name] for name in OPTIONS if call.members.get(name) not in (None, "")}
    return _with_webhook(call, replace(submission, run_options={**submission.run_options, **options}))


def _with_webhook(call: Call, submission: Submission) -> Submission:
    """`webhookUrl` is called by this service, in RunningHub's format. Raises InvalidRequest."""
    url = call.members.get("webhookUrl")
    if url in (None, ""):
        return submission
    try:
        checked = WEBHOOK_URL.validate_python(url)
    except ValidationError as exc:
        raise InvalidRequest(f"webhookUrl: {_first_error(exc)['msg']}") from exc
    return replace(submission, webhook_url=checked, webhook_format=WebhookFormat.RUNNINGHUB)


def _first_error(exc: ValidationError) -> ErrorDetails:
    return exc.errors(include_input=False, include_url=False, include_context=False)[0]


def model_submission(call: Call, path: str) -> Submission:
    """The run of a standard model; its body is passed through. Raises NotFound where no model can be."""
    if (
        len(path) > MAX_MODEL_PATH_CHARS
        or not MODEL_PATH.fullmatch(path)
        or ".." in path
        or path.partition("/")[0] in NO_MODELS
    ):
        raise NotFound("There is no such model.")
    body: dict[str, Any] = {name: value for name, value in call.members.items() if name != "webhookUrl"}
    key = call.request.headers.get("idempotency-key")
    return _with_webhook(call, Submission(model_path=path, run_options=body, idempotency_key=key))
