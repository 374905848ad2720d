"""What several groups of routes share: the services, the rate limiter, and what every route declares."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi import Path as PathParameter

from api.openapi import problem_responses
from api.rate_limit import RateLimiter
from errors import (
    ForbiddenHost,
    InsufficientBalance,
    RunningHubNotConfigured,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    Unauthorized,
)
from services import Services

MAX_BODY_BYTES = 4 * 1024 * 1024
AUTH_ERRORS = (Unauthorized, ForbiddenHost)
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


def new_router() -> APIRouter:
    return APIRouter(
        responses=problem_responses(*AUTH_ERRORS),
        max_body_size=MAX_BODY_BYTES,
        generate_unique_id_function=lambda route: route.name,
    )
