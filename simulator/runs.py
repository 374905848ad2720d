"""Starting a task: the checks that RunningHub makes, in its order, and the charge."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from simulator import refusals, replies
from simulator.apps import App
from simulator.context import Simulator
from simulator.models import model_of
from simulator.node_check import errors_as_text, missing_files, node_errors, unknown_field
from simulator.payments import payment_of, price
from simulator.refusals import Refusal, params_invalid, refusal
from simulator.state import Run, Task
from simulator.workflows import NEVER_RUN_WORKFLOW, replaced_graph

SHARED = "SHARED"
"""The type of keys that may call standard models."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to start a task, as it came."""

    members: dict[str, Any]
    body: bytes
    api_key: str
    base_url: str
    files_url: str


Start = Callable[[Simulator, Any, Submission], Awaitable[Task | Refusal]]


def submission_of(
    simulator: Simulator, members: dict[str, Any], body: bytes, api_key: str, request: Request
) -> Submission:
    """A request to start something, with the addresses that its results will have."""
    return Submission(members, body, api_key, simulator.base_url(request), simulator.files_base_url(request))


async def start_app(simulator: Simulator, webapp_id: Any, submission: Submission) -> Task | Refusal:
    """Start an AI app, or say why it is not started."""
    if webapp_id in (None, ""):
        return _refused(simulator, params_invalid("webappId cannot be empty"))
    if not str(webapp_id).isdecimal():
        return _refused(simulator, params_invalid())
    app = simulator.apps.get(str(webapp_id))
    if app is None:
        return _refused(simulator, refusal(1))
    return await _start(simulator, app, submission)


async def start_workflow(simulator: Simulator, workflow_id: Any, submission: Submission) -> Task | Refusal:
    """Start a workflow, perhaps with another graph than the stored one, or say why it is not started."""
    workflow = known_workflow(simulator, workflow_id)
    if isinstance(workflow, Refusal):
        return _refused(simulator, workflow)
    graph = submission.members.get("workflow")
    replaced = replaced_graph(workflow, graph) if isinstance(graph, str) and graph else workflow
    if replaced is None:
        return _refused(simulator, refusal(433))
    return await _start(simulator, replaced, submission)


def known_workflow(simulator: Simulator, workflow_id: Any) -> App | Refusal:
    """The workflow with an id, or why it cannot be used."""
    if workflow_id in (None, ""):
        return params_invalid("workflowId cannot be empty")
    if not str(workflow_id).isdecimal():
        return params_invalid()
    workflow = simulator.workflows.get(str(workflow_id))
    if workflow is None:
        return refusal(380)
    return refusal(810) if workflow.id == NEVER_RUN_WORKFLOW else workflow


async def start_model(simulator: Simulator, path: Any, submission: Submission) -> Task | Refusal:
    """Start a standard model, or say why it is not started."""
    model, switches = model_of(str(path)), simulator.state.switches
    if model is None:
        return _refused(simulator, refusal(412))
    if switches.models_for_shared_keys and switches.account(submission.api_key).api_type != SHARED:
        return _refused(simulator, refusal(1014))
    return await _start(simulator, model, submission)


async def _start(simulator: Simulator, app: App, submission: Submission) -> Task | Refusal:
    state, members = simulator.state, submission.members
    found = _problem(simulator, app, members)
    if found:
        return _refused(simulator, found)
    account, instance_type = state.switches.account(submission.api_key), _instance_type(members)
    run_time = state.next_run_time()
    payment = payment_of(account, price(state.switches, run_time, instance_type))
    if payment is None:
        dialect = account.balance_dialect or state.switches.balance_dialect
        return _refused(simulator, refusals.insufficient_balance(dialect))
    if state.is_full(submission.api_key):
        return _refused(simulator, refusals.slots_taken(state.switches))
    webhook_url = members.get("webhookUrl") or None
    run = Run(
        app,
        submission.api_key,
        submission.body,
        submission.base_url,
        submission.files_url,
        webhook_url,
        instance_type,
    )
    task = state.start(run, payment, run_time)
    await _announce(simulator, task)
    return task


def _problem(simulator: Simulator, app: App, members: dict[str, Any]) -> Refusal | None:
    """What is wrong with the request itself."""
    if not isinstance(members.get("webhookUrl"), str | None):
        return params_invalid()
    if app.kind == "model":  # each model has parameters of its own
        return None
    items = members.get("nodeInfoList") or []
    if not isinstance(items, list):
        return params_invalid()
    if app.access_password and members.get("accessPassword") != app.access_password:
        return params_invalid("accessPassword is incorrect")
    switches = simulator.state.switches
    unknown = unknown_field(app, items)
    if unknown:
        return refusals.node_mismatch(switches, *unknown)
    errors = node_errors(app, items) or _missing_files(simulator, app, items)
    return replies.validation_failed(switches, errors, errors_as_text(errors)) if errors else None


def _missing_files(simulator: Simulator, app: App, items: list[Any]) -> dict[str, Any]:
    """`node_errors` for uploaded files of the other host; without a host name, any file exists."""
    if simulator.host_name is None:
        return {}
    return missing_files(app, items, simulator.uploads.knows)


def _instance_type(members: dict[str, Any]) -> str:
    return str(members.get("instanceType") or "default")


def _refused(simulator: Simulator, found: Refusal) -> Refusal:
    simulator.state.runs_refused += 1
    return found


async def _announce(simulator: Simulator, task: Task) -> None:
    """Schedule the webhook, and delay the response where the switches say so."""
    if task.run.webhook_url and simulator.state.switches.webhook == "early":
        await simulator.webhooks.send(task)
    else:
        simulator.webhooks.watch(task)
    if simulator.state.switches.run_latency:
        await asyncio.sleep(simulator.state.switches.run_latency)
