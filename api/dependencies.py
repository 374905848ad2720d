"""What several groups of routes share: the services, the rate limiter, and what every route declares."""

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as PathParameter

from api.openapi import problem_responses
from api.rate_limit import RateLimiter
from errors import (
    BodyTooLarge,
    DatabaseUnavailable,
    InsufficientBalance,
    InvalidRequest,
    RunningHubNotConfigured,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    TaskNotFound,
)
from services import Services

MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_ERRORS = (InvalidRequest, BodyTooLarge)
TASK_ERRORS = (TaskNotFound, DatabaseUnavailable)
UPSTREAM_ERRORS = (
    *(RunningHubNotConfigured, RunningHubRejected, RunningHubUnavailable, RunningHubTimeout),
    InsufficientBalance,
)


async def get_services(request: Request) -> Services:
    # async: FastAPI would run a plain function in a thread, for every request.
    services: Services = request.app.state.services
    return services


async def get_rate_limiter(request: Request) -> RateLimiter:
    limiter: RateLimiter = request.app.state.rate_limiter
    return limiter


ServicesDep = Annotated[Services, Depends(get_services)]
RateLimiterDep = Annotated[RateLimiter, Depends(get_rate_limiter)]
TaskRef = Annotated[str, PathParameter(description="The task's id here, or RunningHub's.", max_length=64)]


def new_router(*tags: str | Enum) -> APIRouter:
    return APIRouter(
        tags=list(tags),
        responses=problem_responses(),
        max_body_size=MAX_BODY_BYTES,
        generate_unique_id_function=lambda route: route.name,
    )
