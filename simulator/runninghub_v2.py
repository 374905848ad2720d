"""RunningHub's v2 routes, which read the key from the `Authorization` header only."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import replies, replies_v2
from simulator.context import simulator_of
from simulator.refusals import Refusal, refusal
from simulator.request_checks import note, v2_key

NO_LIMIT = 9999
"""The limit that a key without one is reported to have."""


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
    Route("/openapi/v2/queue/status", queue_status, methods=["GET"]),
]
