"""RunningHub's v2 routes, which read the key from the `Authorization` header only."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import replies, replies_v2
from simulator.context import Simulator, simulator_of
from simulator.credentials import json_members
from simulator.endpoints import Endpoint
from simulator.models import model_of
from simulator.refusals import Refusal, params_invalid, refusal
from simulator.request_checks import note, v2_key
from simulator.runs import Start, start_app, start_model, start_workflow, submission_of
from simulator.uploads import (
    AUDIO,
    PICTURES,
    SUPPORTED,
    VIDEOS,
    BrokenUpload,
    UploadForm,
    UploadTooLarge,
    last_members,
)

NO_LIMIT = 9999
"""The limit that a key without one is reported to have."""


async def run_app(request: Request) -> Response:
    """Start an AI app: a call that costs."""
    return await _submit("runV2", request.path_params["webapp_id"], start_app, request)


async def run_workflow(request: Request) -> Response:
    """Start a workflow: a call that costs."""
    return await _submit("createV2", request.path_params["workflow_id"], start_workflow, request)


async def run_model(request: Request) -> Response:
    """Start a standard model: a call that costs. A path where no model can be is a wrong path."""
    path = request.path_params["path"]
    if model_of(path) is None:
        return replies.refused(refusal(412))
    return await _submit("model", path, start_model, request)


async def _submit(endpoint: Endpoint, what: str, start: Start, request: Request) -> Response:
    simulator, body = simulator_of(request), await request.body()
    members = json_members(body)
    note(simulator, endpoint, members, request)
    api_key = v2_key(simulator, request)
    if isinstance(api_key, Refusal):
        simulator.state.runs_refused += 1
        return replies_v2.run_refused(api_key)
    submission = submission_of(simulator, members, body, api_key, request)
    task = await start(simulator, what, submission)
    if isinstance(task, Refusal):
        return replies_v2.run_refused(_renumbered(task))
    state = simulator.state
    return replies_v2.run_accepted(task, state.status_when_started(task), state.switches)


def _renumbered(found: Refusal) -> Refusal:
    """v2 has a code of its own for an unknown app."""
    return refusal(901) if found.code == 1 else found


async def query(request: Request) -> Response:
    """A task's status, and at its end its results."""
    simulator, members = simulator_of(request), json_members(await request.body())
    note(simulator, "query", members, request)
    api_key = v2_key(simulator, request)
    if isinstance(api_key, Refusal):
        return replies_v2.run_refused(api_key)
    task = simulator.state.find(str(members.get("taskId") or ""))
    if task is None or task.run.api_key != api_key:
        return replies_v2.run_refused(refusal(1004))
    task.polls += 1
    return replies_v2.query(task, task.status(simulator.state.clock()), simulator.state.switches)


async def upload(request: Request) -> Response:
    """An input file, which v2 also gives an address."""
    simulator = simulator_of(request)
    switches = simulator.state.switches
    try:
        form = await simulator.uploads.receive(
            request, switches.upload_max_mb * 1024 * 1024, switches.upload_bytes_per_second, folder="openapi"
        )
    except BrokenUpload:
        return replies_v2.refused(params_invalid())
    except UploadTooLarge:
        return replies_v2.refused(refusal(1008))
    note(simulator, "uploadV2", last_members(form), request)
    api_key = v2_key(simulator, request)
    found = api_key if isinstance(api_key, Refusal) else _refuse_upload(form, simulator)
    if found:
        return replies_v2.refused(found)
    name = form.stored_name.removeprefix("openapi/")
    return replies_v2.success(
        {
            "type": _media_type(form),
            "download_url": f"{simulator.files_base_url(request)}/uploads/{name}",
            "fileName": form.stored_name,
            "size": str(form.size),
        }
    )


def _refuse_upload(form: UploadForm, simulator: Simulator) -> Refusal | None:
    if form.file_name is None or form.size == 0:
        return params_invalid("file cannot be empty")
    if form.extension not in SUPPORTED and simulator.state.switches.unsupported_dialect != "accept":
        return refusal(1013)
    return None


def _media_type(form: UploadForm) -> str:
    kinds = {"image": PICTURES, "audio": AUDIO, "video": VIDEOS}
    return next((kind for kind, extensions in kinds.items() if form.extension in extensions), "file")


async def queue_status(request: Request) -> Response:
    """How many tasks the key may have at once, and how many it has."""
    simulator = simulator_of(request)
    note(simulator, "queueStatus", {}, request)
    state, dialect = simulator.state, simulator.state.switches.queue_status
    if dialect == "http_404":
        return Response("Not Found", 404, media_type="text/plain")
    if dialect == "hidden":
        return replies.refused(refusal(412))
    api_key = v2_key(simulator, request)
    if isinstance(api_key, Refusal):
        return replies_v2.refused(api_key)
    account = state.switches.account(api_key)
    slots = state.switches.slots_of(api_key)
    limit = slots if account.concurrent_limit is None else account.concurrent_limit
    active, running = state.active(api_key), state.running(api_key)
    numbers: dict[str, Any] = {
        "concurrentLimit": limit or NO_LIMIT,
        "runningCount": running,
        "queuedCount": active - running,
        "totalCurrentTasks": active,
    }
    if dialect == "strings":
        numbers = {name: str(number) for name, number in numbers.items()}
    return replies_v2.success({"apiKeyType": account.api_type, **numbers})


ROUTES = [
    Route("/openapi/v2/query", query, methods=["POST"]),
    Route("/openapi/v2/run/ai-app/{webapp_id}", run_app, methods=["POST"]),
    Route("/openapi/v2/run/workflow/{workflow_id}", run_workflow, methods=["POST"]),
    Route("/openapi/v2/media/upload/binary", upload, methods=["POST"]),
    Route("/openapi/v2/queue/status", queue_status, methods=["GET"]),
]
MODEL_ROUTE = Route("/openapi/v2/{path:path}", run_model, methods=["POST"])
"""After all others, since it matches every path."""
