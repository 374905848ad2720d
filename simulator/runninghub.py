"""RunningHub's routes: paths, members and answers as its HTTP API has them."""

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import replies
from simulator.apps import APPS, WebApp, api_call_demo
from simulator.context import Simulator, simulator_of
from simulator.node_check import errors_as_text, node_errors, unknown_field
from simulator.state import Seen, Task
from simulator.switches import Endpoint
from simulator.uploads import SUPPORTED, BrokenUpload, UploadForm, UploadTooLarge, last_members

MAX_BODY = 4 * 1024 * 1024


async def show_app(request: Request) -> Response:
    """An app's inputs."""
    simulator, members = simulator_of(request), dict(request.query_params)
    _note(simulator, "apiCallDemo", members, request)
    api_key = _api_key(simulator, members, request)
    if isinstance(api_key, Response):
        return api_key
    webapp_id = members.get("webappId", "")
    if not webapp_id:
        return replies.params_invalid("webappId cannot be empty")
    if not webapp_id.isdecimal():
        return replies.params_invalid()
    app = APPS.get(webapp_id)
    if app is None:
        return replies.webapp_not_found()
    return replies.success(api_call_demo(app, simulator.base_url(request), api_key))


async def upload(request: Request) -> Response:
    """An input file."""
    simulator = simulator_of(request)
    switches = simulator.state.switches
    try:
        form = await simulator.uploads.receive(
            request, switches.upload_max_mb * 1024 * 1024, switches.upload_bytes_per_second
        )
    except BrokenUpload:
        return replies.params_invalid()
    except UploadTooLarge:
        return replies.envelope(809, "APIKEY_FILE_SIZE_EXCEEDED")
    _note(simulator, "upload", last_members(form), request)
    api_key = _api_key(simulator, form.fields, request)
    if isinstance(api_key, Response):
        return api_key
    return _answer_upload(form, switches.unsupported_dialect)


def _answer_upload(form: UploadForm, unsupported_dialect: str) -> Response:
    if form.file_name is None or form.size == 0:
        return replies.params_invalid("file cannot be empty")
    if form.extension not in SUPPORTED and unsupported_dialect == "808":
        return replies.envelope(808, "APIKEY_UPLOAD_FAILED")
    if form.extension not in SUPPORTED and unsupported_dialect == "301":
        return replies.params_invalid("file type is not supported")
    return replies.uploaded(form.stored_name, form.fields.get("fileType") or "input")


async def run(request: Request) -> Response:
    """Start an app: the call that costs."""
    simulator, body = simulator_of(request), await request.body()
    members = _members(body)
    _note(simulator, "run", members, request)
    task = _start(simulator, members, body, request)
    if isinstance(task, Response):
        simulator.state.runs_refused += 1
        return task
    await _tell_webhook(simulator, task)
    if simulator.state.switches.run_latency:
        await asyncio.sleep(simulator.state.switches.run_latency)
    status = "RUNNING" if task.runs_from <= simulator.state.clock() else "QUEUED"
    return replies.run_accepted(task, status, simulator.state.switches)


def _start(simulator: Simulator, members: dict[str, Any], body: bytes, request: Request) -> Task | Response:
    """The new task, or why there is none."""
    api_key = _api_key(simulator, members, request)
    if isinstance(api_key, Response):
        return api_key
    refusal = _refuse_run(simulator, members, api_key)
    if refusal:
        return refusal
    app, webhook_url = APPS[str(members["webappId"])], members.get("webhookUrl") or None
    return simulator.state.start(app, api_key, body, simulator.base_url(request), webhook_url)


def _refuse_run(simulator: Simulator, members: dict[str, Any], api_key: str) -> Response | None:
    """The refusal of a run, in RunningHub's order; None when it is accepted."""
    webapp_id, items = members.get("webappId"), members.get("nodeInfoList")
    if webapp_id in (None, ""):
        return replies.params_invalid("webappId cannot be empty")
    if not str(webapp_id).isdecimal() or not isinstance(items, list):
        return replies.params_invalid()
    if not isinstance(members.get("webhookUrl"), str | None):
        return replies.params_invalid()
    app = APPS.get(str(webapp_id))
    if app is None:
        return replies.webapp_not_found()
    if app.access_password and members.get("accessPassword") != app.access_password:
        return replies.params_invalid("accessPassword is incorrect")
    refusal = _refuse_values(simulator, app, items)
    if refusal is None and 0 < simulator.state.switches.slots <= simulator.state.active(api_key):
        return replies.slots_taken(simulator.state.switches)
    return refusal


def _refuse_values(simulator: Simulator, app: WebApp, items: list[Any]) -> Response | None:
    switches = simulator.state.switches
    unknown = unknown_field(app, items)
    if unknown:
        return replies.node_mismatch(switches, *unknown)
    errors = node_errors(app, items)
    return replies.validation_failed(switches, errors, errors_as_text(errors)) if errors else None


async def _tell_webhook(simulator: Simulator, task: Task) -> None:
    if task.webhook_url and simulator.state.switches.webhook == "early":
        await simulator.webhooks.send(task)
    else:
        simulator.webhooks.watch(task)


async def outputs(request: Request) -> Response:
    """A task's results, or how far it is."""
    simulator = simulator_of(request)
    task = await _asked_task(simulator, "outputs", request)
    if isinstance(task, Response):
        return task
    task.questions += 1
    return replies.outputs(task, task.status(simulator.state.clock()), simulator.state.switches)


async def status(request: Request) -> Response:
    """A task's status as a bare word."""
    simulator = simulator_of(request)
    task = await _asked_task(simulator, "status", request)
    if isinstance(task, Response):
        return task
    word = task.status(simulator.state.clock())
    return replies.envelope(0, "", "FAILED" if word == "CANCEL" else word)


async def cancel(request: Request) -> Response:
    """Cancel a task; one that has ended is answered the same and stays as it is."""
    simulator = simulator_of(request)
    task = await _asked_task(simulator, "cancel", request)
    if isinstance(task, Response):
        return task
    if simulator.state.cancel(task):
        simulator.webhooks.watch(task)
    return replies.success(None)


async def account(request: Request) -> Response:
    """What the key's account has left. The only call that spells `apikey`."""
    simulator, members = simulator_of(request), _members(await request.body())
    _note(simulator, "accountStatus", members, request)
    api_key = _api_key(simulator, members, request, name="apikey")
    if isinstance(api_key, Response):
        return api_key
    return replies.success(
        {
            "remainCoins": "99999",
            "currentTaskCounts": str(simulator.state.active(api_key)),
            "remainMoney": None,
            "currency": None,
            "apiType": "NORMAL",
        }
    )


async def wrong_path(_: Request) -> Response:
    """What RunningHub says where only the path is wrong, as in /api/openapi/upload."""
    return replies.envelope(412, "TOKEN_INVALID")


async def _asked_task(simulator: Simulator, endpoint: Endpoint, request: Request) -> Task | Response:
    """The task that a body names, or the refusal; the id is looked at before the key, as RunningHub does."""
    members = _members(await request.body())
    _note(simulator, endpoint, members, request)
    task_id = members.get("taskId")
    if task_id in (None, ""):
        return replies.params_invalid("taskId cannot be empty")
    if not str(task_id).isdecimal() or not str(task_id).strip("0"):
        return replies.params_invalid("taskId must be positive")
    api_key = _api_key(simulator, members, request)
    if isinstance(api_key, Response):
        return api_key
    task = simulator.state.find(str(task_id))
    if task is None or task.api_key != api_key:
        return replies.task_not_found(simulator.state.switches)
    return task


def _api_key(
    simulator: Simulator, members: dict[str, Any], request: Request, name: str = "apiKey"
) -> str | Response:
    """The caller's key, the body's before the bearer's, or the refusal."""
    api_key = members.get(name) or request.headers.get("authorization", "").removeprefix("Bearer ")
    if not isinstance(api_key, str) or not api_key:
        return replies.params_invalid(f"{name} cannot be empty")
    if simulator.state.keys and api_key not in simulator.state.keys:
        return replies.key_not_found()
    return api_key


def _members(body: bytes) -> dict[str, Any]:
    """A JSON body's members; none when it is no object."""
    try:
        members = json.loads(body) if len(body) <= MAX_BODY else None
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _note(simulator: Simulator, endpoint: Endpoint, members: dict[str, Any], request: Request) -> None:
    simulator.state.last_requests[endpoint] = Seen(members, request.headers.raw)


# Plain Starlette routes: FastAPI's would be half of a call's cost, and benchmarks have this as upstream.
ROUTES = [
    Route("/task/openapi/outputs", outputs, methods=["POST"]),
    Route("/task/openapi/ai-app/run", run, methods=["POST"]),
    Route("/task/openapi/upload", upload, methods=["POST"]),
    Route("/api/webapp/apiCallDemo", show_app, methods=["GET"]),
    Route("/task/openapi/cancel", cancel, methods=["POST"]),
    Route("/task/openapi/status", status, methods=["POST"]),
    Route("/uc/openapi/accountStatus", account, methods=["POST"]),
    Route("/api/openapi/{rest:path}", wrong_path, methods=["GET", "POST"]),
]
