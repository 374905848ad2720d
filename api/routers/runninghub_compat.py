"""RunningHub's own routes: its clients use this service in its place, with our tokens as keys.

Plain Starlette routes: they are not part of the OpenAPI document, and every error is in RunningHub's format.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from api.compat.calls import Call, authenticated, find_principal, read_call
from api.compat.errors import (
    OWN_ERROR,
    Refusal,
    json_reply,
    refusal_of,
    refusal_response,
    v1_refusal,
    v1_reply,
    v2_list_refusal,
    v2_task_refusal,
)
from api.compat.socket import SOCKET_PATH, progress_socket
from api.compat.submissions import model_submission, submission_of, submit
from api.compat.task_replies import status_of, v1_outputs, v1_run, v2_task
from api.dependencies import MAX_BODY_BYTES
from api.paths import RUNNINGHUB_PREFIXES
from database import PageFilter
from errors import AppError, NotCancellable, NotFound
from files.upload import FileUpload, open_upload
from models import ACTIVE, Kind, TaskStatus
from runninghub.accounts import Account
from runninghub.replies import count_of, decimal_text
from services import Services
from task_service import require_may_run

log = logging.getLogger(__name__)

# Uploads are counted where they are read, by MAX_UPLOAD_MB.
MAX_UPLOAD_BODY_BYTES = 2**40
SORTS = frozenset({"RECOMMEND", "HOTTEST", "NEWEST"})
MAX_PAGE_SIZE = 50
# Of a user's active tasks.
MAX_COUNTED = 200

Handler = Callable[[Request], Awaitable[Response]]
Format = Callable[[Refusal], Response]


async def _respond(handler: Handler, refused: Format, request: Request) -> Response:
    """The handler's response, or its problem in the format that the client knows."""
    try:
        return await handler(request)
    except NotFound as problem:
        return refusal_response(problem)
    except AppError as problem:
        return refused(refusal_of(problem))
    except (ClientDisconnect, HTTPException):
        raise
    except Exception:  # a client built for RunningHub reads nothing but its envelope
        log.exception("unhandled exception")
        return refused(Refusal(OWN_ERROR, "This is an error in the service; its log has the cause."))


# Tasks


async def run_webapp(request: Request) -> Response:
    call = await read_call(request)
    task = await submit(call, submission_of(call, webappId=call.id_member("webappId")))
    return _woken(call, v1_run(call, task))


async def run_workflow(request: Request) -> Response:
    call = await read_call(request)
    task = await submit(call, submission_of(call, workflowId=call.id_member("workflowId")))
    return _woken(call, v1_run(call, task))


async def run_webapp_v2(request: Request) -> Response:
    call = await read_call(request)
    task = await submit(call, submission_of(call, webappId=request.path_params["id"]))
    return _woken(call, await v2_task(call, task))


async def run_workflow_v2(request: Request) -> Response:
    call = await read_call(request)
    task = await submit(call, submission_of(call, workflowId=request.path_params["id"]))
    return _woken(call, await v2_task(call, task))


async def run_model(request: Request) -> Response:
    call = await read_call(request)
    task = await submit(call, model_submission(call, request.path_params["path"]))
    return _woken(call, await v2_task(call, task))


def _woken(call: Call, response: Response) -> Response:
    """The new task's first poll is due soon."""
    response.background = BackgroundTask(call.services.poller.wake_async)
    return response


async def show_status(request: Request) -> Response:
    call = await read_call(request)
    return v1_reply(0, "", status_of(await call.task()))


async def show_outputs(request: Request) -> Response:
    call = await read_call(request)
    return await v1_outputs(call, await call.task())


async def query(request: Request) -> Response:
    call = await read_call(request)
    return await v2_task(call, await call.task())


async def cancel(request: Request) -> Response:
    """One that has ended gets the same response and stays as it is."""
    call = await read_call(request)
    task = await call.task()
    try:
        await call.services.tasks.cancel(task.id, call.principal)
    except NotCancellable:
        log.debug("cancel of a final task", extra={"task_id": task.id})
    return v1_reply(0, "success")


# Apps and workflows


async def show_webapp(request: Request) -> Response:
    """RunningHub's own data, without the command line that contains the service's key."""
    call = await read_call(request)
    webapp_id = call.id_member("webappId")
    require_may_run(call.principal, webapp_id)
    await call.check_rate()
    account = call.services.monitor.usable_account(await call.services.tasks.host_of(webapp_id))
    data = await call.services.webapps.app_data(account, webapp_id)
    return v1_reply(0, "success", {name: value for name, value in data.items() if name != "curl"})


async def show_workflow(request: Request) -> Response:
    call = await read_call(request)
    workflow_id = call.id_member("workflowId")
    require_may_run(call.principal, workflow_id)
    await call.check_rate()
    base_url = await call.services.tasks.host_of(workflow_id, Kind.WORKFLOW)
    account = call.services.monitor.usable_account(base_url)
    graph = await call.services.webapps.workflow_graph(account, workflow_id)
    prompt = graph if isinstance(graph, str) else json.dumps(graph, ensure_ascii=False)
    return v1_reply(0, "SUCCESS", {"prompt": prompt})


async def list_webapps(request: Request) -> Response:
    call = await read_call(request)
    sort = str(call.members.get("sort") or "RECOMMEND").upper()
    data = await call.services.webapps.list_webapps(
        call.services.accounts.first,
        current=max(1, count_of(call.members.get("current")) or 1),
        size=min(MAX_PAGE_SIZE, count_of(call.members.get("size")) or 10),
        sort=sort if sort in SORTS else "RECOMMEND",
    )
    return json_reply({"code": 0, "message": "success", "data": data})


# Account


async def account_status(request: Request) -> Response:
    call = await read_call(request)
    data = await call.services.webapps.account_status(call.services.accounts.first)
    if not call.principal.is_operator:
        data |= await _own_account(call)
    numbers = {name: decimal_text(data.get(name)) for name in ("remainCoins", "remainMoney")}
    shown = {
        **numbers,
        "currentTaskCounts": str(count_of(data.get("currentTaskCounts")) or 0),
        "currency": data.get("currency"),
        "apiType": data.get("apiType"),
    }
    return v1_reply(0, "success", shown)


async def queue_status(request: Request) -> Response:
    call = await read_call(request)
    data = await call.services.webapps.queue_status(call.services.accounts.first)
    if not call.principal.is_operator:
        # RunningHub returns numbers, or texts: its clients know what they got there.
        own = (await _own_queue(call)).items()
        data |= {name: str(n) if isinstance(data.get(name), str) else n for name, n in own}
    return json_reply({"code": 0, "message": "success", "data": data})


async def _own_account(call: Call) -> dict[str, Any]:
    """A user's share of the account: what is left of their coins, where they are limited, and their tasks."""
    own: dict[str, Any] = {"currentTaskCounts": (await _own_queue(call))["totalCurrentTasks"]}
    if limit := call.principal.limits.coins_per_month:
        spent = await call.services.database.users.coins_this_month(call.principal.owner or "")
        own |= {"remainCoins": f"{max(0.0, limit - spent):.3f}", "remainMoney": None, "currency": None}
    return own


async def _own_queue(call: Call) -> dict[str, Any]:
    """A user's tasks, and how many may run at once, where that is limited."""
    wanted = PageFilter(statuses=tuple(ACTIVE))
    tasks, _ = await call.services.tasks.page(call.principal, cursor=None, limit=MAX_COUNTED, wanted=wanted)
    running = sum(task.status is TaskStatus.RUNNING for task in tasks)
    own = {"runningCount": running, "queuedCount": len(tasks) - running, "totalCurrentTasks": len(tasks)}
    limit = call.principal.limits.max_active_tasks
    return own | ({"concurrentLimit": limit} if limit else {})


# Files


async def upload(request: Request) -> Response:
    services, account, file, slot = await _open_upload(request)
    with slot:
        uploaded = await services.webapps.upload(account, file)
    services.tasks.file_uploaded(account, uploaded["fileName"])
    kind = file.fields.get("fileType") or uploaded["fileType"]
    return v1_reply(0, "success", {"fileName": uploaded["fileName"], "fileType": kind})


async def upload_v2(request: Request) -> Response:
    services, account, file, slot = await _open_upload(request)
    with slot:
        data = await services.webapps.upload_media(account, file)
    services.tasks.file_uploaded(account, data["fileName"])
    return json_reply({"code": 0, "message": "success", "data": data})


async def _open_upload(
    request: Request,
) -> tuple[Services, Account, FileUpload, AbstractContextManager[None]]:
    """The file's first bytes. A key that comes behind the file is checked before RunningHub has it all."""
    services: Services = request.app.state.services
    file = await open_upload(request.headers, request.stream(), max_bytes=services.settings.upload_limit)

    async def check(fields: Mapping[str, Any]) -> None:
        await (await authenticated(request, fields)).check_rate()

    known = await find_principal(request, file.fields)
    if known is None:
        file.before_end = check
    else:
        await check(file.fields)
    slot = request.app.state.rate_limiter.upload_slot(request, known[0] if known else None)
    return services, services.monitor.usable_account(None), file, slot


def _route(
    path: str, method: str, refused: Format, handler: Handler, max_bytes: int = MAX_BODY_BYTES
) -> Route:
    """`refused` is the format of the call's errors."""
    return Route(
        path,
        partial(_respond, handler, refused),
        methods=[method],
        name=handler.__name__,
        max_body_size=max_bytes,
    )


V2 = "/openapi/v2"
# What RunningHub says to every path and method that it does not have.
NO_SUCH_PATH = refusal_response(NotFound("There is no such path."))
ROUTES: list[BaseRoute] = [
    _route("/task/openapi/outputs", "POST", v1_refusal, show_outputs),
    _route("/task/openapi/status", "POST", v1_refusal, show_status),
    _route("/task/openapi/ai-app/run", "POST", v1_refusal, run_webapp),
    _route("/task/openapi/create", "POST", v1_refusal, run_workflow),
    _route("/task/openapi/cancel", "POST", v1_refusal, cancel),
    _route("/task/openapi/upload", "POST", v1_refusal, upload, MAX_UPLOAD_BODY_BYTES),
    _route("/uc/openapi/accountStatus", "POST", v1_refusal, account_status),
    _route("/api/webapp/apiCallDemo", "GET", v1_refusal, show_webapp),
    _route("/api/openapi/getJsonApiFormat", "POST", v1_refusal, show_workflow),
    _route(f"{V2}/query", "POST", v2_task_refusal, query),
    _route(f"{V2}/run/ai-app/{{id}}", "POST", v2_task_refusal, run_webapp_v2),
    _route(f"{V2}/run/workflow/{{id}}", "POST", v2_task_refusal, run_workflow_v2),
    _route(f"{V2}/media/upload/binary", "POST", v2_list_refusal, upload_v2, MAX_UPLOAD_BODY_BYTES),
    _route(f"{V2}/queue/status", "GET", v2_list_refusal, queue_status),
    _route(f"{V2}/aiapp/list", "POST", v2_list_refusal, list_webapps),
    # Behind all others of v2, since it matches every path.
    _route(f"{V2}/{{path:path}}", "POST", v2_task_refusal, run_model),
    WebSocketRoute(SOCKET_PATH, progress_socket),
    *(
        Route(path, NO_SUCH_PATH, name="no_such_path", include_in_schema=False)
        for prefix in RUNNINGHUB_PREFIXES
        for path in (f"{prefix}{{path:path}}", prefix.removesuffix("/"))
    ),
]
