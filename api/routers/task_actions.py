"""Several tasks in one request, and what can be done with a final one: run it again, delete it."""

from typing import Any, Literal

from fastapi import BackgroundTasks, Request, Response
from pydantic import BaseModel, Field, ValidationError

from api.dependencies import (
    APP_ERRORS,
    BODY_ERRORS,
    TASK_ERRORS,
    UPSTREAM_ERRORS,
    USER_ERRORS,
    IdempotencyKey,
    PrincipalDep,
    RateLimiterDep,
    ServicesDep,
    TaskRef,
    WaitForEnd,
    new_router,
)
from api.openapi import TASKS, problem_responses
from api.problems import Problem, problem_members
from api.schemas import EXAMPLE_NODE, EXAMPLE_WEBAPP, Body, SubmitRequest, SubmitResponse, SubmitWarning
from api.task_responses import submit_response
from errors import (
    AppError,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    InvalidNodeInfo,
    InvalidRequest,
    NotDeletable,
    NotFinal,
    RateLimited,
    TooManyPending,
)
from models import Task, TaskStatus

MAX_TASKS = 100

router = new_router()


class SubmitManyRequest(Body):
    """Each item is a body of `/submit_task`; a wrong one gets its own problem and stops no other."""

    tasks: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_TASKS,
        examples=[[{"webappId": EXAMPLE_WEBAPP, "nodeInfoList": [EXAMPLE_NODE]}]],
    )


class SubmittedTask(BaseModel):
    """The members of SubmitResponse; the task's own status is `task_status`."""

    status: Literal[202]
    task_id: str
    task_status: TaskStatus
    runninghub_task_id: str | None
    queue_position: int | None
    warnings: list[SubmitWarning]


class SubmitManyResponse(BaseModel):
    """One result for each task, in order; `status` is the HTTP status that the task alone would have."""

    results: list[SubmittedTask | Problem]


@router.post(
    "/submit_tasks",
    tags=[TASKS],
    summary="Store and start several tasks",
    responses=problem_responses(
        *BODY_ERRORS, IdempotencyKeyReused, RateLimited, DatabaseUnavailable, *UPSTREAM_ERRORS
    ),
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
    parsed = [_parsed(item) for item in body.tasks]
    for _ in parsed:
        await rate_limiter.check(request)
    valid = [item.submission(None) for item in parsed if isinstance(item, SubmitRequest)]
    results = await services.tasks.submit_many(valid, principal, idempotency_key=idempotency_key)
    submitted = iter(results)
    background.add_task(services.poller.wake_async)
    return SubmitManyResponse(
        results=[
            _result(item, next(submitted)) if isinstance(item, SubmitRequest) else _problem(item)
            for item in parsed
        ]
    )


def _parsed(item: dict[str, Any]) -> SubmitRequest | AppError:
    try:
        return SubmitRequest.model_validate(item)
    except ValidationError as exc:
        errors = [
            {"loc": list(error["loc"]), "msg": error["msg"].removeprefix("Value error, ")}
            for error in exc.errors()
        ]
        where = ".".join(map(str, errors[0]["loc"]))
        at = f" at {where}" if where else ""
        return InvalidRequest(f"The task is not valid{at}: {errors[0]['msg']}.", errors=errors)


def _result(
    body: SubmitRequest, result: tuple[Task, list[dict[str, Any]]] | AppError
) -> SubmittedTask | Problem:
    if isinstance(result, AppError):
        return _problem(result)
    task, warnings = result
    return SubmittedTask(
        status=202,
        task_id=task.id,
        task_status=task.status,
        runninghub_task_id=task.runninghub_task_id,
        queue_position=task.queue_position,
        warnings=[SubmitWarning(**warning) for warning in (*body.ignored_members(), *warnings)],
    )


def _problem(error: AppError) -> Problem:
    return Problem.model_validate(problem_members(error))


@router.post(
    "/tasks/{task_id}/rerun",
    tags=[TASKS],
    status_code=202,
    summary="Run a final task's values again, as a new task",
    responses=problem_responses(
        *(InvalidRequest, InvalidNodeInfo, IdempotencyKeyReused, NotFinal, TooManyPending, RateLimited),
        *TASK_ERRORS,
        *APP_ERRORS,
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
    wait: WaitForEnd = 0,
) -> SubmitResponse:
    await rate_limiter.check(request)
    task, warnings = await services.tasks.rerun(task_id, principal, idempotency_key=idempotency_key)
    background.add_task(services.poller.wake_async)
    response.headers["Location"] = f"/tasks/{task.id}"
    return await submit_response(services, task, warnings, wait_s=wait)


@router.delete(
    "/tasks/{task_id}",
    tags=[TASKS],
    status_code=204,
    summary="Delete a final task with all that was kept of it",
    responses=problem_responses(InvalidRequest, *TASK_ERRORS, NotDeletable),
)
async def delete_task(task_id: TaskRef, services: ServicesDep, principal: PrincipalDep) -> None:
    await services.tasks.delete(task_id, principal)
