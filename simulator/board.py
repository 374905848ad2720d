"""What RunningHub itself does not have at these paths: the switch board, the counters and the files."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from simulator import results
from simulator.apps import APPS
from simulator.context import simulator_of
from simulator.endpoints import Endpoint
from simulator.payments import coins_left
from simulator.switches import Switches, SwitchesPatch, patched

router = APIRouter()
_SECRET_MEMBERS = ("apiKey", "apikey")


@router.get("/simulator/switches", tags=["switch board"])
async def get_switches(request: Request) -> Switches:
    """All switches as they stand; a fault's `times` counts down."""
    return simulator_of(request).state.switches


@router.patch("/simulator/switches", tags=["switch board"])
async def set_switches(request: Request, patch: SwitchesPatch) -> Switches:
    """Set the members that are sent; `faults` is replaced as a whole, `accounts` member by member."""
    state = simulator_of(request).state
    state.switches = patched(state.switches, patch)
    return state.switches


@router.post("/simulator/reset", tags=["switch board"])
async def reset(request: Request) -> dict[str, Any]:
    """Forget tasks and counters; switches go back to the command line's."""
    simulator = simulator_of(request)
    simulator.webhooks.forget()
    simulator.state.reset()
    return simulator.state.counters()


@router.get("/simulator/counters", tags=["switch board"])
async def get_counters(request: Request) -> dict[str, Any]:
    """How often each route was asked, and what came of the runs."""
    return simulator_of(request).state.counters()


@router.get("/simulator/accounts", tags=["switch board"])
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


@router.get("/simulator/tasks", tags=["switch board"])
async def get_tasks(request: Request) -> list[dict[str, Any]]:
    """Every accepted task, in the order of their start."""
    state = simulator_of(request).state
    return [state.describe(task) for task in state.tasks.values()]


@router.get("/simulator/last-request", tags=["switch board"])
async def get_last_request(request: Request, endpoint: Annotated[Endpoint, Query()]) -> dict[str, Any]:
    """The members and headers that an endpoint was last sent; of a key only whether there was one."""
    seen = simulator_of(request).state.last_requests.get(endpoint)
    if seen is None:
        return {"endpoint": endpoint, "members": None, "headers": None}
    members = {
        name: bool(value) if name in _SECRET_MEMBERS else value for name, value in seen.members.items()
    }
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in seen.headers}
    shown = {name: True if name == "authorization" else value for name, value in headers.items()}
    return {"endpoint": endpoint, "members": members, "headers": shown}


# Files do not change: a page that shows many results again does not have them drawn again.
KEPT = {"Cache-Control": "public, max-age=86400, immutable"}


@router.get("/files/{name}", tags=["files"])
def get_file(request: Request, name: str) -> Response:
    """A result, made now. No coroutine, so that drawing does not hold up the other routes."""
    simulator = simulator_of(request)
    stem, _, extension = name.rpartition(".")
    task_id, _, number = stem.partition("_")
    task = simulator.state.tasks.get(task_id)
    files = task.app.outputs if task else ()
    if task is None or task.status(simulator.state.clock()) != "SUCCESS" or not number.isdecimal():
        raise HTTPException(404)
    if not 1 <= int(number) <= len(files) or files[int(number) - 1][1] != extension:
        raise HTTPException(404)
    content = results.make(task, extension, simulator.uploads)
    return Response(content, media_type=results.MEDIA_TYPES[extension], headers=KEPT)


@router.get("/covers/{name}", tags=["files"])
def get_cover(name: str) -> Response:
    """An app's cover."""
    app = APPS.get(name.removesuffix(".png"))
    if app is None:
        raise HTTPException(404)
    return Response(results.cover_picture(app), media_type="image/png", headers=KEPT)
