"""What a client built for RunningHub wants to run, as a submission like any other."""

import re
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from api.compat.calls import Call
from api.schemas import SubmitRequest
from errors import AppError, InvalidRequest, NotFound
from models import Task, TaskStatus
from task_service import Submission

# First parts of v2 paths that are calls of another kind.
NO_MODELS = frozenset(
    {"aiapp", "api-key", "media", "price-preview", "query", "queue", "resource", "run", "user", "webhook"}
)
MODEL_PATH = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
MAX_MODEL_PATH_CHARS = 200
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
        error = exc.errors(include_input=False, include_url=False)[0]
        raise InvalidRequest(f"{'.'.join(map(str, error['loc']))}: {error['msg']}") from exc
    submission = request.submission(call.request.headers.get("idempotency-key"))
    options = {name: call.members[name] for name in OPTIONS if call.members.get(name) not in (None, "")}
    return replace(submission, run_options={**submission.run_options, **options})


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
    return Submission(model_path=path, run_options=body, idempotency_key=key)
