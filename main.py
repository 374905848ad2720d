"""The service: its routes, its lifespan, and the application. Start it with `uvicorn main:app`."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BeforeValidator

from api.auth import install_auth
from api.body_timeout import BodyTimeoutMiddleware
from api.openapi import install_document, problem_responses
from api.pages import install_pages
from api.problems import install_problem_handlers
from api.schemas import (
    AccountResponse,
    HealthResponse,
    NodeInfoRequest,
    QueryRequest,
    SettleRequest,
    SubmitRequest,
    SubmitResponse,
    TaskPage,
    TaskResponse,
    UploadResponse,
)
from api.startup_error import StartupMiddleware
from config import Settings, load_settings
from errors import (
    FileTooLarge,
    ForbiddenHost,
    IdempotencyKeyReused,
    InsufficientBalance,
    InvalidNodeInfo,
    InvalidRequest,
    NotCancellable,
    NotUnknown,
    RateLimited,
    RunningHubNotConfigured,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    TaskNotFound,
    TooManyPending,
    Unauthorized,
    UnsupportedFile,
    WebappNotFound,
)
from files.upload import open_upload
from forms.builder import WebappForm
from logs import RequestLogMiddleware, configure_logging
from models import Task, TaskStatus
from services import Services, running

# After a stop, how long a stream's client waits before it comes back.
RETRY_MS = 1000
MAX_BODY_BYTES = 4 * 1024 * 1024
# Uploads are counted where they are read, by MAX_UPLOAD_MB.
MAX_UPLOAD_BODY_BYTES = 2**40
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with running(app.state.settings) as services:
        app.state.services = services
        yield


async def get_services(request: Request) -> Services:
    # async: FastAPI would run a plain function in a thread, for every request.
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]
TaskRef = Annotated[str, PathParameter(description="The task's id here, or RunningHub's.", max_length=64)]


async def find_task(task_id: TaskRef, services: ServicesDep) -> Task:
    return await services.tasks.task(task_id)


TaskDep = Annotated[Task, Depends(find_task)]
# A form with nothing chosen sends `status=`.
DropEmptyValues = BeforeValidator(lambda values: values and [value for value in values if value])
UPSTREAM = (
    *(RunningHubNotConfigured, RunningHubRejected, RunningHubUnavailable, RunningHubTimeout),
    InsufficientBalance,
)
AUTH_ERRORS = (Unauthorized, ForbiddenHost)

router = APIRouter(
    responses=problem_responses(*AUTH_ERRORS),
    max_body_size=MAX_BODY_BYTES,
    generate_unique_id_function=lambda route: route.name,
)


@router.post(
    "/get_node_info",
    summary="An app's fields as a form",
    response_description="The app, its fields worked up for drawing, and one JSON Schema for the whole form.",
    responses=problem_responses(InvalidRequest, WebappNotFound, RateLimited, *UPSTREAM),
)
async def get_node_info(body: NodeInfoRequest, services: ServicesDep, request: Request) -> WebappForm:
    if body.refresh:
        await services.rate_limiter.check(request)
    return await services.forms.give(body.webapp_id, refresh=body.refresh)


@router.post(
    "/upload",
    summary="Pass a file through to RunningHub",
    responses=problem_responses(InvalidRequest, FileTooLarge, UnsupportedFile, RateLimited, *UPSTREAM),
    openapi_extra=UPLOAD_BODY,
    max_body_size=MAX_UPLOAD_BODY_BYTES,
)
async def upload(request: Request, services: ServicesDep) -> UploadResponse:
    await services.rate_limiter.check(request)
    file = await open_upload(request.headers, request.stream(), max_bytes=services.settings.upload_limit)
    return UploadResponse(**await services.webapps.upload(file))


@router.post(
    "/submit_task",
    status_code=202,
    summary="Store and start a task",
    responses=problem_responses(
        InvalidRequest,
        InvalidNodeInfo,
        IdempotencyKeyReused,
        WebappNotFound,
        TooManyPending,
        RateLimited,
        *UPSTREAM,
    ),
)
async def submit_task(
    body: SubmitRequest,
    services: ServicesDep,
    request: Request,
    response: Response,
    background: BackgroundTasks,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="The same key with the same body: the same task."),
    ] = None,
) -> SubmitResponse:
    await services.rate_limiter.check(request)
    task, warnings = await services.tasks.submit(body.submission(idempotency_key))
    background.add_task(services.poller.wake_async)
    response.headers["Location"] = f"/tasks/{task.id}"
    return SubmitResponse.of(task, warnings)


@router.post(
    "/task/query_task_status",
    summary="Ask RunningHub about a task now",
    responses=problem_responses(InvalidRequest, TaskNotFound, *UPSTREAM),
)
async def query_task_status(body: QueryRequest, services: ServicesDep) -> TaskResponse:
    return await services.answer(await services.tasks.query(body.task_id))


@router.get(
    "/tasks/{task_id}",
    summary="A task from the database",
    responses=problem_responses(InvalidRequest, TaskNotFound),
)
async def get_task(
    task_id: TaskRef,
    services: ServicesDep,
    wait: Annotated[
        float, Query(ge=0, le=60, description="Answer when the status changes, or after so many seconds.")
    ] = 0,
) -> TaskResponse:
    task = await services.tasks.task(task_id)
    if wait:
        task = await services.change_feed.next_status(task, timeout_s=wait)
    return await services.answer(task)


@router.get(
    "/tasks/{task_id}/events",
    summary="A task's changes as they happen",
    description="An event `task` with the Task at once and at every change; ends after a final status.",
    response_class=EventSourceResponse,
    responses=problem_responses(InvalidRequest, TaskNotFound),
)
async def task_events(
    task: TaskDep,
    services: ServicesDep,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="The `id` of the last event that was seen.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else None
    async for changed in services.change_feed.follow(task.id, seen_version=seen):
        yield ServerSentEvent(data=await services.answer(changed), event="task", id=str(changed.version))
    if services.change_feed.is_closed:
        yield ServerSentEvent(comment="the service is stopping", retry=RETRY_MS)


@router.get("/tasks", summary="All tasks, newest first", responses=problem_responses(InvalidRequest))
async def list_tasks(
    services: ServicesDep,
    status: Annotated[list[TaskStatus] | None, DropEmptyValues, Query(description="May repeat.")] = None,
    webapp_id: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{0,18}$", description="`next_cursor`")] = None,
) -> TaskPage:
    tasks, next_cursor = await services.tasks.page(
        cursor=cursor, limit=limit, statuses=status or (), webapp_id=webapp_id or None
    )
    return TaskPage(tasks=[await services.answer(task) for task in tasks], next_cursor=next_cursor)


@router.post(
    "/tasks/{task_id}/cancel",
    summary="Cancel a task",
    responses=problem_responses(InvalidRequest, TaskNotFound, NotCancellable, *UPSTREAM),
)
async def cancel_task(task_id: TaskRef, services: ServicesDep) -> TaskResponse:
    return await services.answer(await services.tasks.cancel(task_id))


@router.post(
    "/tasks/{task_id}/settle",
    summary="Say what became of a task whose paid call got no answer",
    responses=problem_responses(InvalidRequest, TaskNotFound, NotUnknown),
)
async def settle_task(
    task_id: TaskRef, body: SettleRequest, services: ServicesDep, background: BackgroundTasks
) -> TaskResponse:
    task = await services.tasks.settle(task_id, runninghub_task_id=body.runninghub_task_id)
    background.add_task(services.poller.wake_async)
    return await services.answer(task)


@router.get("/account", summary="RunningHub's coins and slots", responses=problem_responses(*UPSTREAM))
async def get_account(services: ServicesDep) -> AccountResponse:
    return AccountResponse.model_validate(await services.webapps.account())


@router.post(
    "/webhooks/runninghub/{task_id}/{signature}",
    summary="RunningHub's word that a task ended",
    status_code=204,
    responses=problem_responses(InvalidRequest, TaskNotFound),
)
async def runninghub_webhook(
    task_id: TaskRef,
    signature: Annotated[str, PathParameter(max_length=64)],
    request: Request,
    services: ServicesDep,
    background: BackgroundTasks,
) -> None:
    await services.tasks.webhook(task_id, signature, _named_task(await request.body()))
    background.add_task(services.poller.wake_async)


@router.get("/health", summary="Whether the service works", responses={503: {"model": HealthResponse}})
async def get_health(services: ServicesDep, response: Response) -> HealthResponse:
    health = await services.health()
    if health.status != "ok":
        response.status_code = 503
    return health


def _named_task(body: bytes) -> str | None:
    """RunningHub's `taskId` in a webhook, whatever else it holds."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    task_id = event.get("taskId") if isinstance(event, dict) else None
    return str(task_id) if isinstance(task_id, str | int) else None


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application; one per process."""
    configure_logging(settings)
    # `routes=`, not include_router: that would look for every request's route twice.
    app = FastAPI(routes=list(router.routes), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings
    install_document(app, settings)
    install_pages(app)
    app.add_middleware(BodyTimeoutMiddleware)
    install_problem_handlers(app)
    install_auth(app, settings)
    app.add_middleware(RequestLogMiddleware)
    app.add_middleware(StartupMiddleware)
    return app


app = create_app(load_settings())
