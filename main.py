"""The service: the routes of the plan and of tasks, the lifespan, and the application.

Start it with `uvicorn main:app`, or with `python main.py`, which listens at HOST and PORT.
"""

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BeforeValidator

from api.auth import Tokens
from api.compat.task_end import body_of_format
from api.dependencies import (
    APP_ERRORS,
    BODY_ERRORS,
    TASK_ERRORS,
    UPSTREAM_ERRORS,
    USER_ERRORS,
    IdempotencyKey,
    OperatorOnly,
    PrincipalDep,
    RateLimiterDep,
    ServicesDep,
    TaskRef,
    WaitForEnd,
    new_router,
    principal_of,
    rate_limiter_of,
    reject_unknown_query,
    services_of,
)
from api.middleware import install_middleware
from api.openapi import FORMS, TASKS, install_document, problem_responses
from api.pages import install_pages
from api.rate_limit import RateLimiter
from api.routers import (
    accounts,
    deliveries,
    health,
    metrics,
    outputs,
    runninghub_compat,
    task_actions,
    usage,
    users,
    webapps,
    webhooks,
)
from api.schemas import (
    NodeInfoRequest,
    QueryRequest,
    SettleRequest,
    SubmitRequest,
    SubmitResponse,
    TaskPage,
    TaskResponse,
    UploadResponse,
    UtcTime,
    empty_is,
    utc_text,
)
from api.task_responses import submit_response, task_response, task_responses
from api.telemetry import TELEMETRY, hide_secrets_in_spans
from config import VERSION, Settings, load_server_settings, load_settings
from database import PageFilter
from errors import (
    DatabaseUnavailable,
    FileTooLarge,
    Forbidden,
    IdempotencyKeyReused,
    InvalidNodeInfo,
    InvalidRequest,
    NotCancellable,
    NotUnknown,
    RateLimited,
    TooManyPending,
    UnsupportedFile,
)
from files.upload import open_upload
from forms.types import Form
from logs import configure_logging
from models import Kind, Task, TaskStatus
from services import ends_in_time, on_stop_signal, running
from task_service import require_may_run

log = logging.getLogger("main")  # also where it runs as __main__

# After a stop, how long a stream's client waits before it reconnects.
RETRY_MS = 1000
# After a stop, how long the server waits for its connections: longer than for requests, which end first.
CONNECTIONS_S = 6
MIN_TOKEN_CHARS = 16
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
    hide_secrets_in_spans()
    _stop_with_parent()
    _limit_wait_for_connections()
    with ends_in_time(), on_stop_signal(app.state.open_requests.end_in_time):
        async with running(app.state.settings, body_of_format, clock=app.state.clock) as services:
            app.state.services = services
            _log_start(app.state.settings)
            yield


def _limit_wait_for_connections() -> None:
    """uvicorn waits at a stop until the last client has read its response, unless it has a limit."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server):
        own_s = server.config.timeout_graceful_shutdown
        if own_s is None or own_s > CONNECTIONS_S:
            server.config.timeout_graceful_shutdown = CONNECTIONS_S


def _stop_with_parent() -> None:
    """Stop a worker whose parent process has gone: nobody could stop it later, and it would hold the port."""
    if parent := multiprocessing.parent_process():
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_reader(parent.sentinel)
            signal.raise_signal(signal.SIGTERM)

        loop.add_reader(parent.sentinel, stop)


async def find_task(task_id: TaskRef, request: Request) -> Task:
    return await services_of(request).tasks.task(task_id, principal_of(request))


TaskDep = Annotated[Task, Depends(find_task)]
# A form in which nothing is selected sends `status=`.
DropEmptyValues = BeforeValidator(lambda values: values and [value for value in values if value])

router = new_router()


@router.post(
    "/get_node_info",
    tags=[FORMS],
    summary="An app's fields as a form",
    response_description="The app, each field with its input, and one JSON Schema for the whole form.",
    responses=problem_responses(*BODY_ERRORS, Forbidden, *APP_ERRORS, RateLimited, *UPSTREAM_ERRORS),
)
async def get_node_info(
    body: NodeInfoRequest,
    services: ServicesDep,
    principal: PrincipalDep,
    rate_limiter: RateLimiterDep,
    request: Request,
) -> Form:
    require_may_run(principal, body.workflow_id or body.webapp_id or "")
    if body.refresh:
        await rate_limiter.check(request)
    if body.workflow_id:
        return await services.forms.get(Kind.WORKFLOW, body.workflow_id, refresh=body.refresh)
    return await services.forms.get(Kind.WEBAPP, body.webapp_id or "", refresh=body.refresh)


@router.post(
    "/upload",
    tags=[FORMS],
    summary="Pass a file through to RunningHub",
    responses=problem_responses(InvalidRequest, FileTooLarge, UnsupportedFile, RateLimited, *UPSTREAM_ERRORS),
    openapi_extra=UPLOAD_BODY,
    max_body_size=MAX_UPLOAD_BODY_BYTES,
)
async def upload(
    request: Request,
    services: ServicesDep,
    rate_limiter: RateLimiterDep,
    webapp_id: Annotated[str | None, Query(max_length=64, description="The app it is for.")] = None,
    base_url: Annotated[str | None, Query(max_length=500, description="The RunningHub host.")] = None,
) -> UploadResponse:
    base_url = (base_url or "").rstrip("/") or await services.tasks.host_of(webapp_id or None)
    await rate_limiter.check(request)
    with rate_limiter.upload_slot(request):
        file = await open_upload(request.headers, request.stream(), max_bytes=services.settings.upload_limit)
        account = services.monitor.usable_account(base_url)
        uploaded = await services.webapps.upload(account, file)
    services.tasks.file_uploaded(account, uploaded["fileName"])
    return UploadResponse(**uploaded)


@router.post(
    "/submit_task",
    tags=[TASKS],
    status_code=202,
    summary="Store and start a task",
    responses=problem_responses(
        *BODY_ERRORS,
        InvalidNodeInfo,
        IdempotencyKeyReused,
        *APP_ERRORS,
        TooManyPending,
        *USER_ERRORS,
        RateLimited,
        DatabaseUnavailable,
        *UPSTREAM_ERRORS,
    ),
)
async def submit_task(
    body: SubmitRequest,
    request: Request,
    response: Response,
    background: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
    wait: WaitForEnd = 0,
) -> SubmitResponse:
    services = services_of(request)
    await rate_limiter_of(request).check(request)
    task, warnings = await services.tasks.submit(body.submission(idempotency_key), principal_of(request))
    background.add_task(services.poller.wake_async)
    response.headers["Location"] = f"/tasks/{task.id}"
    return await submit_response(services, task, [*body.ignored_members(), *warnings], wait_s=wait)


@router.post(
    "/task/query_task_status",
    tags=[TASKS],
    summary="Query RunningHub about a task now",
    responses=problem_responses(*BODY_ERRORS, *TASK_ERRORS, Forbidden, *UPSTREAM_ERRORS),
)
async def query_task_status(
    body: QueryRequest, services: ServicesDep, principal: PrincipalDep
) -> TaskResponse:
    return await task_response(services, await services.tasks.query(body.task_id, principal))


@router.get(
    "/tasks/{task_id}",
    tags=[TASKS],
    summary="A task from the database",
    responses=problem_responses(InvalidRequest, *TASK_ERRORS),
)
async def get_task(
    task: TaskDep,
    request: Request,
    wait: Annotated[
        float, Query(ge=0, le=60, description="Respond when the status changes, or after so many seconds.")
    ] = 0,
) -> TaskResponse:
    services = services_of(request)
    if wait:
        task = await services.change_feed.next_status(task, timeout_s=wait)
    return await task_response(services, task)


@router.get(
    "/tasks/{task_id}/events",
    tags=[TASKS],
    summary="A task's changes as they happen",
    description="An event `task` with the Task immediately and on every change; ends after a final status.",
    response_class=EventSourceResponse,
    responses=problem_responses(InvalidRequest, *TASK_ERRORS),
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
        yield ServerSentEvent(
            data=await task_response(services, changed), event="task", id=str(changed.version)
        )
    if services.change_feed.is_closed:
        yield ServerSentEvent(comment="the service is stopping", retry=RETRY_MS)


@router.get(
    "/tasks",
    tags=[TASKS],
    summary="All tasks, newest first",
    responses=problem_responses(InvalidRequest, Forbidden, DatabaseUnavailable),
)
async def list_tasks(
    request: Request,
    status: Annotated[list[TaskStatus] | None, DropEmptyValues, Query(description="May repeat.")] = None,
    webapp_id: Annotated[str | None, Query(max_length=64)] = None,
    owner: Annotated[str | None, Query(max_length=255, description="Only this user's tasks.")] = None,
    created_after: Annotated[
        UtcTime | None, empty_is(None), Query(description="RFC 3339, inclusive.")
    ] = None,
    created_before: Annotated[
        UtcTime | None, empty_is(None), Query(description="RFC 3339, exclusive.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200), empty_is(50)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{0,18}$", description="`next_cursor`")] = None,
) -> TaskPage:
    reject_unknown_query(request)
    services = services_of(request)
    tasks, next_cursor = await services.tasks.page(
        principal_of(request),
        cursor=cursor,
        limit=limit,
        wanted=PageFilter(
            statuses=tuple(status or ()),
            webapp_id=webapp_id or None,
            owner=owner or None,
            created_after=utc_text(created_after),
            created_before=utc_text(created_before),
        ),
    )
    return TaskPage(tasks=await task_responses(services, tasks), next_cursor=next_cursor)


@router.post(
    "/tasks/{task_id}/cancel",
    tags=[TASKS],
    summary="Cancel a task",
    responses=problem_responses(InvalidRequest, *TASK_ERRORS, NotCancellable, *UPSTREAM_ERRORS),
)
async def cancel_task(task_id: TaskRef, services: ServicesDep, principal: PrincipalDep) -> TaskResponse:
    return await task_response(services, await services.tasks.cancel(task_id, principal))


@router.post(
    "/tasks/{task_id}/settle",
    tags=[TASKS],
    summary="Manually resolve a SUBMIT_UNKNOWN task",
    dependencies=[OperatorOnly],
    responses=problem_responses(*BODY_ERRORS, *TASK_ERRORS, NotUnknown, Forbidden),
)
async def settle_task(
    task_id: TaskRef, body: SettleRequest, services: ServicesDep, background: BackgroundTasks
) -> TaskResponse:
    task = await services.tasks.settle(task_id, runninghub_task_id=body.runninghub_task_id)
    background.add_task(services.poller.wake_async)
    return await task_response(services, task)


def create_app(settings: Settings, *, clock: Callable[[], int] | None = None) -> FastAPI:
    """The ASGI application; one per process. `clock`: instead of the database's."""
    configure_logging(settings)
    routers = (
        router,
        task_actions.router,
        outputs.router,
        deliveries.router,
        accounts.router,
        webapps.router,
        users.router,
        usage.router,
        webhooks.router,
        health.router,
        metrics.router,
    )
    # `routes=`, not include_router: that would match every request's route twice.
    routes = [route for each in routers for route in each.routes] + runninghub_compat.ROUTES
    app = FastAPI(routes=routes, lifespan=lifespan, telemetry=TELEMETRY, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.clock = clock
    app.state.tokens = Tokens(settings)
    app.state.rate_limiter = RateLimiter(settings)
    install_document(app, settings)
    install_pages(app)
    install_middleware(app, settings)
    return app


def _log_start(settings: Settings) -> None:
    urls = {account.base_url for account in settings.accounts} or {settings.runninghub_base_url}
    log.info(
        "started",
        extra={
            "version": VERSION,
            "runninghub": ",".join(sorted(urls)),
            "database": settings.database_url_without_password,
            "api_key": "set" if settings.accounts else "none",
            "access_tokens": "set" if settings.access_tokens else "none",
        },
    )
    if not settings.accounts:
        log.warning("no RunningHub API key is set: calls that need RunningHub return 503")
    if short := [token for token in settings.access_tokens if len(token) < MIN_TOKEN_CHARS]:
        log.warning(
            "access tokens under %d characters can be guessed; use longer ones",
            MIN_TOKEN_CHARS,
            extra={"short_tokens": len(short)},
        )


app = create_app(load_settings())


def main() -> None:
    server = load_server_settings()
    # log_config=None: create_app has configured the log.
    uvicorn.run(app, host=server.host, port=server.port, server_header=False, log_config=None)


if __name__ == "__main__":
    main()
