"""GET /health: whether the service works. GET /ready: whether this instance should get requests."""

import asyncio
import time
from typing import Literal

from fastapi import Response

from api.dependencies import ServicesDep, new_router
from api.openapi import SERVICE, problem_responses
from api.schemas import HealthResponse, LastRunningHubResponse, OutputsState, ReadyResponse
from errors import DatabaseUnavailable, NotReady
from files.output_store import NotEnoughSpace
from models import TaskStatus, rfc3339
from services import Services

# A poller whose loop has not run for this long is stalled.
POLLER_STALLED_S = 15.0
DATABASE_TIMEOUT_S = 5.0
# How the last response starts where none was received, or none that was RunningHub's JSON; HTTP 4xx is one.
UNREACHABLE = ("no answer", "HTTP 2", "HTTP 3", "HTTP 5")

router = new_router(SERVICE)


@router.get(
    "/health",
    summary="Whether the service works",
    responses=problem_responses() | {503: {"model": HealthResponse, "description": "It does not work"}},
)
async def get_health(services: ServicesDep, response: Response) -> HealthResponse:
    health = await _health(services)
    if health.status != "ok":
        response.status_code = 503
    return health


@router.get(
    "/ready",
    summary="Whether this instance should get requests",
    responses=problem_responses(NotReady),
)
async def get_ready(services: ServicesDep) -> ReadyResponse:
    # A server that stops still serves what comes on open connections.
    if services.change_feed.is_closed:
        raise NotReady("This instance is stopping; send requests to another one.", retry_after=1)
    _, reason = await _counts(services)
    if reason:
        raise NotReady(reason, retry_after=1)
    return ReadyResponse(status="ready")


async def _counts(services: Services) -> tuple[dict[TaskStatus, int] | None, str | None]:
    """Tasks by status; or None, and why the database cannot be used."""
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S):
            return await services.database.count_by_status(), None
    except TimeoutError:
        return None, "The database does not respond."
    except DatabaseUnavailable as problem:
        return None, problem.message


async def _health(services: Services) -> HealthResponse:
    counts, reason = await _counts(services)
    last_tick = services.poller.last_tick
    is_stalled = time.time() - last_tick > POLLER_STALLED_S
    last = services.accounts.last_response
    return HealthResponse(
        status="ok" if counts is not None and not is_stalled else "unavailable",
        database="ok" if counts is not None else "unavailable",
        runninghub=_runninghub_state(services),
        outputs=_outputs_state(services),
        tasks=counts or {},
        reason=reason,
        watch="stalled" if is_stalled else "ok",
        watch_last_beat=rfc3339(int(last_tick * 1000)),
        runninghub_last_answer=LastRunningHubResponse(
            upstream_code=last.summary, at=rfc3339(int(last.at * 1000))
        )
        if last
        else None,
    )


def _outputs_state(services: Services) -> OutputsState:
    """Outputs that are not being kept stop no task, so that the service is ready all the same."""
    if services.output_copier is None:
        return "off"
    problem = services.output_copier.problem
    if problem is None:
        return "ok"
    return "no_space" if isinstance(problem, NotEnoughSpace) else "unavailable"


def _runninghub_state(services: Services) -> Literal["configured", "not_configured", "unreachable"]:
    if not services.accounts.all:
        return "not_configured"
    last = services.accounts.last_response
    return "unreachable" if last and last.summary.startswith(UNREACHABLE) else "configured"
