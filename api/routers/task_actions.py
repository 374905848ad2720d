"""Several tasks in one request, and what can be done with a final one: run it again, delete it."""

import json
from typing import Annotated, Any

from fastapi import BackgroundTasks, Header, Request, Response
from pydantic import BaseModel, Field, ValidationError

from api.dependencies import (
    UPSTREAM_ERRORS,
    USER_ERRORS,
    PrincipalDep,
    RateLimiterDep,
    ServicesDep,
    TaskRef,
    new_router,
)
from api.openapi import TASKS, problem_responses
from api.problems import problem_response
from api.schemas import Body, SubmitRequest, SubmitResponse
from errors import (
    AppError,
    IdempotencyKeyReused,
    InvalidNodeInfo,
    InvalidRequest,
    NotDeletable,
    NotFinal,
    RateLimited,
    TaskNotFound,
    TooManyPending,
    WebappNotFound,
    WorkflowNotFound,
)
from models import Task
from task_service import Submission

MAX_TASKS = 100

router = new_router()

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same body: the same task.",
    ),
]


class SubmitManyRequest(Body):
    """Each item is a body of `/submit_task`; a wrong one gets its own problem and stops no other."""

    tasks: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_TASKS)


class SubmitManyResponse(BaseModel):
    """One result for each task, in order."""

    results: list[dict[str, Any]] = Field(
        description="`status` is the HTTP status that the task alone would have: 202 with the members of"
        " SubmitResponse (its own status as `task_status`), otherwise the members of Problem."
    )


@router.post(
    "/submit_tasks",
    tags=[TASKS],
    summary="Store and start several tasks",
    responses=problem_responses(InvalidRequest, IdempotencyKeyReused, RateLimited, *UPSTREAM_ERRORS),
)
async def submit_tasks(
    body: SubmitManyRequest,
    services: ServicesDep,
    principal: PrincipalDep,
    rate_limiter: RateLimiterDep,
    request: Request,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> SubmitManyResponse:
    parsed = [_submission(item) for item in body.tasks]
    for _ in parsed:
        await rate_limiter.check(request)
    valid = [item for item in parsed if isinstance(item, Submission)]
    results = await services.tasks.submit_many(valid, principal, idempotency_key=idempotency_key)
    submitted = iter(results)
    background.add_task(services.poller.wake_async)
    return SubmitManyResponse(
        results=[_result(next(submitted) if isinstance(item, Submission) else item) for item in parsed]
    )


def _submission(item: dict[str, Any]) -> Submission | AppError:
    try:
        return SubmitRequest.model_validate(item).submission(None)
    except ValidationError as exc:
        errors = [
            {"loc": list(error["loc"]), "msg": error["msg"].removeprefix("Value error, ")}
            for error in exc.errors()
        ]
        where = ".".join(map(str, errors[0]["loc"]))
        at = f" at {where}" if where else ""
        return InvalidRequest(f"The task is not valid{at}: {errors[0]['msg']}.", errors=errors)


def _result(result: tuple[Task, list[dict[str, Any]]] | AppError) -> dict[str, Any]:
    if isinstance(result, AppError):
        problem: dict[str, Any] = json.loads(bytes(problem_response(result).body))
        return problem
    response = SubmitResponse.of(*result).model_dump(mode="json")
    return {**response, "status": 202, "task_status": response["status"]}


@router.post(
    "/tasks/{task_id}/rerun",
    tags=[TASKS],
    status_code=202,
    summary="Run a final task's values again, as a new task",
    responses=problem_responses(
        *(InvalidRequest, InvalidNodeInfo, IdempotencyKeyReused, TaskNotFound, NotFinal),
        *(WebappNotFound, WorkflowNotFound, TooManyPending, RateLimited),
        *USER_ERRORS,
        *UPSTREAM_ERRORS,
    ),
)
async def rerun_task(
    task_id: TaskRef,
    services: ServicesDep,
    principal: PrincipalDep,
    rate_limiter: RateLimiterDep,
    request: Request,
    response: Response,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> SubmitResponse:
    await rate_limiter.check(request)
    task, warnings = await services.tasks.rerun(task_id, principal, idempotency_key=idempotency_key)
    background.add_task(services.poller.wake_async)
    response.headers["Location"] = f"/tasks/{task.id}"
    return SubmitResponse.of(task, warnings)


@router.delete(
    "/tasks/{task_id}",
    tags=[TASKS],
    status_code=204,
    summary="Delete a final task with all that was kept of it",
    responses=problem_responses(InvalidRequest, TaskNotFound, NotDeletable),
)
async def delete_task(task_id: TaskRef, services: ServicesDep, principal: PrincipalDep) -> None:
    await services.tasks.delete(task_id, principal)
