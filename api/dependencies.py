"""What several groups of routes share: the services, the rate limiter, and what every route declares."""

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi import Path as PathParameter

from api.openapi import problem_responses
from api.paths import PRINCIPAL
from api.rate_limit import RateLimiter
from errors import (
    BodyTooLarge,
    BudgetExceeded,
    DatabaseUnavailable,
    Forbidden,
    InsufficientBalance,
    InvalidRequest,
    QuotaExceeded,
    RunningHubNotConfigured,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    TaskNotFound,
    Unauthorized,
    WebappNotFound,
    WorkflowNotFound,
)
from models import Principal
from services import Services

MAX_ERRORS, MAX_SHOWN_CHARS = 50, 100
MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_ERRORS = (InvalidRequest, BodyTooLarge)
APP_ERRORS = (WebappNotFound, WorkflowNotFound)
TASK_ERRORS = (TaskNotFound, DatabaseUnavailable)
# Of a submit by a user: an app that is not theirs, and limits.
USER_ERRORS = (Forbidden, QuotaExceeded, BudgetExceeded)
UPSTREAM_ERRORS = (
    *(RunningHubNotConfigured, RunningHubRejected, RunningHubUnavailable, RunningHubTimeout),
    InsufficientBalance,
)


# The routes that are called most take the request and call these themselves: as dependencies, FastAPI spends
# more on each of them than a read spends on its row.


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def rate_limiter_of(request: Request) -> RateLimiter:
    limiter: RateLimiter = request.app.state.rate_limiter
    return limiter


def principal_of(request: Request) -> Principal:
    """Who makes the request; the authentication has found it out. Raises Unauthorized: a public route."""
    principal: Principal | None = request.scope.get(PRINCIPAL)
    if principal is None:
        raise Unauthorized("Send one of the service's access tokens: Authorization: Bearer <token>.")
    return principal


# async: FastAPI would run a plain function in a thread, for every request.


async def get_services(request: Request) -> Services:
    return services_of(request)


async def get_rate_limiter(request: Request) -> RateLimiter:
    return rate_limiter_of(request)


async def get_principal(request: Request) -> Principal:
    """Raises Unauthorized: a public route."""
    return principal_of(request)


async def require_operator(principal: Annotated[Principal, Depends(get_principal)]) -> None:
    if not principal.is_operator:
        raise Forbidden("This route is for access tokens only, not for users' tokens.")


ServicesDep = Annotated[Services, Depends(get_services)]
RateLimiterDep = Annotated[RateLimiter, Depends(get_rate_limiter)]
PrincipalDep = Annotated[Principal, Depends(get_principal)]
OperatorOnly = Depends(require_operator)
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="With the same body it returns the same task."),
]
WaitForEnd = Annotated[
    float, Query(ge=0, le=60, description="Respond when the task is final, or after so many seconds.")
]
TaskRef = Annotated[str, PathParameter(description="The task's id here, or RunningHub's.", max_length=64)]


def reject_unknown_query(request: Request) -> None:
    """A misspelt filter would otherwise be ignored, and show everything. Raises InvalidRequest."""
    if not request.scope["query_string"]:
        return
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = sorted(request.query_params.keys() - known)
    if unknown:
        raise InvalidRequest(
            f"{unknown[0][:MAX_SHOWN_CHARS]!r} is no query parameter of this route;"
            f" it has {', '.join(sorted(known))}.",
            errors=[
                {"loc": ["query", name[:MAX_SHOWN_CHARS]], "msg": "Unknown parameter"}
                for name in unknown[:MAX_ERRORS]
            ],
        )


async def require_known_query(request: Request) -> None:
    """Raises InvalidRequest."""
    reject_unknown_query(request)


KnownQueryOnly = Depends(require_known_query)


def new_router(*tags: str | Enum) -> APIRouter:
    return APIRouter(
        tags=list(tags),
        responses=problem_responses(),
        max_body_size=MAX_BODY_BYTES,
        generate_unique_id_function=lambda route: route.name,
    )
