"""RunningHub's v1 routes: paths, members and responses as its HTTP API has them."""

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import replies
from simulator.apps import api_call_demo
from simulator.context import Simulator, simulator_of
from simulator.credentials import json_members
from simulator.endpoints import Endpoint
from simulator.refusals import Refusal, params_invalid, refusal, task_not_found
from simulator.request_checks import note, v1_key
from simulator.runs import Start, known_workflow, start_app, start_workflow, submission_of
from simulator.state import Task
from simulator.uploads import SUPPORTED, BrokenUpload, UploadForm, UploadTooLarge, last_members
from simulator.workflows import GRAPHS


async def show_app(request: Request) -> Response:
    """An app's inputs."""
    simulator, members = simulator_of(request), dict(request.query_params)
    note(simulator, "apiCallDemo", members, request)
    api_key = v1_key(simulator, members, request)
    if isinstance(api_key, Refusal):
        return replies.refused(api_key)
    webapp_id = members.get("webappId", "")
    if not webapp_id:
        return replies.refused(params_invalid("webappId cannot be empty"))
    if not webapp_id.isdecimal():
        return replies.refused(params_invalid())
    app = simulator.apps.get(webapp_id)
    if app is None:
        return replies.refused(refusal(1))
    return replies.success(
        api_call_demo(app, simulator.base_url(request), simulator.files_base_url(request), api_key)
    )


async def upload(request: Request) -> Response:
    """An input file."""
    simulator = simulator_of(request)
    switches = simulator.state.switches
    try:
        form = await simulator.uploads.receive(
            request, switches.upload_max_mb * 1024 * 1024, switches.upload_bytes_per_second
        )
    except BrokenUpload:
        return replies.refused(params_invalid())
    except UploadTooLarge:
        return replies.refused(refusal(809))
    note(simulator, "upload", last_members(form), request)
    api_key = v1_key(simulator, form.fields, request)
    found = api_key if isinstance(api_key, Refusal) else _refuse_upload(form, switches.unsupported_dialect)
    if found:
        return replies.refused(found)
    return replies.uploaded(form.stored_name, form.fields.get("fileType") or "input")


def _refuse_upload(form: UploadForm, unsupported_dialect: str) -> Refusal | None:
    if form.file_name is None or form.size == 0:
        return params_invalid("file cannot be empty")
    if form.extension not in SUPPORTED and unsupported_dialect == "808":
        return refusal(808)
    if form.extension not in SUPPORTED and unsupported_dialect == "301":
        return params_invalid("file type is not supported")
    return None


async def run(request: Request) -> Response:
    """Start an AI app: a call that costs."""
    return await _submit("run", "webappId", start_app, request)


async def create(request: Request) -> Response:
    """Start a workflow: a call that costs."""
    return await _submit("create", "workflowId", start_workflow, request)


async def _submit(endpoint: Endpoint, id_name: str, start: Start, request: Request) -> Response:
    simulator, body = simulator_of(request), await request.body()
    members = json_members(body)
    note(simulator, endpoint, members, request)
    api_key = v1_key(simulator, members, request)
    if isinstance(api_key, Refusal):
        simulator.state.runs_refused += 1
        return replies.refused(api_key)
    submission = submission_of(simulator, members, body, api_key, request)
    task = await start(simulator, members.get(id_name), submission)
    if isinstance(task, Refusal):
        return replies.refused(task)
    return replies.run_accepted(task, simulator.state.status_when_started(task), simulator.state.switches)


async def show_workflow(request: Request) -> Response:
    """A workflow's graph in API format, as a JSON string."""
    simulator, members = simulator_of(request), json_members(await request.body())
    note(simulator, "getJsonApiFormat", members, request)
    api_key = v1_key(simulator, members, request)
    if isinstance(api_key, Refusal):
        return replies.refused(api_key)
    workflow = known_workflow(simulator, members.get("workflowId"))
    if isinstance(workflow, Refusal):
        return replies.refused(workflow)
    prompt = json.dumps(GRAPHS[workflow.id], ensure_ascii=False)
    return replies.envelope(0, "SUCCESS", {"prompt": prompt})


async def outputs(request: Request) -> Response:
    """A task's results, or how far it is."""
    simulator = simulator_of(request)
    task = await _named_task(simulator, "outputs", request)
    if isinstance(task, Refusal):
        return replies.refused(task)
    task.polls += 1
    return replies.outputs(task, task.status(simulator.state.clock()), simulator.state.switches)


async def status(request: Request) -> Response:
    """A task's status as a bare string."""
    simulator = simulator_of(request)
    task = await _named_task(simulator, "status", request)
    if isinstance(task, Refusal):
        return replies.refused(task)
    name = task.status(simulator.state.clock())
    return replies.envelope(0, "", "FAILED" if name == "CANCEL" else name)


async def cancel(request: Request) -> Response:
    """Cancel a task; one that has ended gets the same response and stays as it is."""
    simulator = simulator_of(request)
    task = await _named_task(simulator, "cancel", request)
    if isinstance(task, Refusal):
        return replies.refused(task)
    if simulator.state.cancel(task):
        simulator.webhooks.watch(task)
    return replies.success(None)


async def account(request: Request) -> Response:
    """What the key's account has left. Documented with `apikey`; clients also send `apiKey`."""
    simulator, members = simulator_of(request), json_members(await request.body())
    note(simulator, "accountStatus", members, request)
    api_key = v1_key(simulator, members, request, name="apikey")
    if isinstance(api_key, Refusal):
        return replies.refused(api_key)
    active = simulator.state.active(api_key)  # before the balance: it refunds what has failed by now
    return replies.account_status(simulator.state.switches.account(api_key), active)


async def _named_task(simulator: Simulator, endpoint: Endpoint, request: Request) -> Task | Refusal:
    """The task that a body names, or the refusal; the id is checked before the key, as RunningHub does."""
    members = json_members(await request.body())
    note(simulator, endpoint, members, request)
    task_id = members.get("taskId")
    if task_id in (None, ""):
        return params_invalid("taskId cannot be empty")
    if not str(task_id).isdecimal() or not str(task_id).strip("0"):
        return params_invalid("taskId must be positive")
    api_key = v1_key(simulator, members, request)
    if isinstance(api_key, Refusal):
        return api_key
    task = simulator.state.find(str(task_id))
    if task is None or task.run.api_key != api_key:
        return task_not_found(simulator.state.switches)
    return task


# Plain Starlette routes: FastAPI's would be half of a call's cost, and benchmarks have this as upstream.
ROUTES = [
    Route("/task/openapi/outputs", outputs, methods=["POST"]),
    Route("/task/openapi/ai-app/run", run, methods=["POST"]),
    Route("/task/openapi/create", create, methods=["POST"]),
    Route("/task/openapi/upload", upload, methods=["POST"]),
    Route("/api/webapp/apiCallDemo", show_app, methods=["GET"]),
    Route("/task/openapi/cancel", cancel, methods=["POST"]),
    Route("/task/openapi/status", status, methods=["POST"]),
    Route("/uc/openapi/accountStatus", account, methods=["POST"]),
    Route("/api/openapi/getJsonApiFormat", show_workflow, methods=["POST"]),
]
