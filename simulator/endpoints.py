"""Which of RunningHub's calls a path is, and which calls cost money."""

from typing import Literal

Endpoint = Literal[
    "accountStatus",
    "apiCallDemo",
    "cancel",
    "create",
    "getJsonApiFormat",
    "outputs",
    "queueStatus",
    "run",
    "status",
    "upload",
]
"""A call, by the name that counters and faults use."""
FaultScope = Literal[Endpoint, "paid", "free", "*"]
"""What a fault may be set for: one call, the calls that start a task, all others, or all."""
PAID: frozenset[Endpoint] = frozenset({"create", "run"})

_PATHS: dict[str, Endpoint] = {
    "/api/webapp/apiCallDemo": "apiCallDemo",
    "/task/openapi/upload": "upload",
    "/task/openapi/ai-app/run": "run",
    "/task/openapi/outputs": "outputs",
    "/task/openapi/status": "status",
    "/task/openapi/cancel": "cancel",
    "/task/openapi/create": "create",
    "/uc/openapi/accountStatus": "accountStatus",
    "/api/openapi/getJsonApiFormat": "getJsonApiFormat",
    "/openapi/v2/queue/status": "queueStatus",
}


def endpoint_of(path: str) -> Endpoint | None:
    """The call at a path, or None where RunningHub has none."""
    return _PATHS.get(path)


def scopes_of(endpoint: Endpoint) -> tuple[FaultScope, ...]:
    """The scopes that an endpoint belongs to, the narrowest first."""
    return endpoint, "paid" if endpoint in PAID else "free", "*"
