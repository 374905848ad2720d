"""The control routes, which RunningHub does not have: switches, counters, tasks and accounts."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from simulator.context import simulator_of
from simulator.endpoints import Endpoint
from simulator.payments import coins_left
from simulator.switches import Switches, SwitchesPatch, patched

router = APIRouter()
_SECRET_MEMBERS = ("apiKey", "apikey")


@router.get("/simulator/switches", tags=["control"])
async def get_switches(request: Request) -> Switches:
    """All switches as they stand; a fault's `times` counts down."""
    return simulator_of(request).state.switches


@router.patch("/simulator/switches", tags=["control"])
async def set_switches(request: Request, patch: SwitchesPatch) -> Switches:
    """Set the members that are sent; `faults` is replaced as a whole, `accounts` member by member."""
    state = simulator_of(request).state
    state.switches = patched(state.switches, patch)
    return state.switches


@router.post("/simulator/reset", tags=["control"])
async def reset(request: Request) -> dict[str, Any]:
    """Forget tasks and counters; switches go back to the command line's."""
    simulator = simulator_of(request)
    simulator.webhooks.forget()
    simulator.state.reset()
    return simulator.state.counters()


@router.post("/simulator/finish", tags=["control"])
async def finish(request: Request) -> dict[str, Any]:
    """End all tasks that are queued or running, so that nobody has to wait for their run time."""
    simulator = simulator_of(request)
    for task in simulator.state.finish_tasks():
        simulator.webhooks.watch(task)
    return simulator.state.counters()


@router.get("/simulator/counters", tags=["control"])
async def get_counters(request: Request) -> dict[str, Any]:
    """How often each call was made, and what came of the runs."""
    return simulator_of(request).state.counters()


@router.get("/simulator/accounts", tags=["control"])
async def get_accounts(request: Request) -> dict[str, dict[str, Any]]:
    """Every key of the switch `accounts`: its slots, its tasks and its balance now."""
    state = simulator_of(request).state
    return {
        key: {
            "slots": state.switches.slots_of(key),
            "active": state.active(key),
            "max_active": state.max_active_of[key],
            "coins": coins_left(account),
            "money": None if account.money is None else str(account.money),
        }
        for key, account in state.switches.accounts.items()
    }


@router.get("/simulator/tasks", tags=["control"])
async def get_tasks(request: Request) -> list[dict[str, Any]]:
    """Every accepted task, in the order of their start."""
    state = simulator_of(request).state
    return [state.describe(task) for task in state.tasks.values()]


@router.get("/simulator/last-request", tags=["control"])
async def get_last_request(request: Request, endpoint: Annotated[Endpoint, Query()]) -> dict[str, Any]:
    """The members and headers of an endpoint's last request; of a key only whether there was one."""
    seen = simulator_of(request).state.last_requests.get(endpoint)
    if seen is None:
        return {"endpoint": endpoint, "members": None, "headers": None}
    members = {
        name: bool(value) if name in _SECRET_MEMBERS else value for name, value in seen.members.items()
    }
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in seen.headers}
    shown = {name: True if name == "authorization" else value for name, value in headers.items()}
    return {"endpoint": endpoint, "members": members, "headers": shown}
