"""Which of RunningHub's calls a path is, and which calls cost money."""

from typing import Literal

from simulator.models import model_of

Endpoint = Literal[
    "accountStatus",
    "aiappList",
    "apiCallDemo",
    "cancel",
    "create",
    "createV2",
    "files",
    "getJsonApiFormat",
    "model",
    "outputs",
    "query",
    "queueStatus",
    "run",
    "runV2",
    "status",
    "upload",
    "uploadV2",
    "webappDetail",
    "webappList",
]
"""A call, by the name that counters and faults use."""
FaultScope = Literal[Endpoint, "paid", "free", "*"]
"""What a fault may be set for: one call, the calls that start a task, all others, or all."""
PAID: frozenset[Endpoint] = frozenset({"create", "createV2", "model", "run", "runV2"})
FLAT: frozenset[Endpoint] = frozenset({"createV2", "model", "query", "runV2"})
"""Calls that return a flat task object and not an envelope."""
FILES: Endpoint = "files"
"""Result files, which RunningHub serves from another host: no group contains them."""

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
    "/openapi/v2/query": "query",
    "/openapi/v2/media/upload/binary": "uploadV2",
    "/openapi/v2/queue/status": "queueStatus",
    "/openapi/v2/aiapp/list": "aiappList",
    "/api/webapp/list": "webappList",
    "/api/webapp/detail": "webappDetail",
}
_PREFIXES: dict[str, Endpoint] = {
    "/files/": FILES,
    "/openapi/v2/run/ai-app/": "runV2",
    "/openapi/v2/run/workflow/": "createV2",
}
_V2 = "/openapi/v2/"


def endpoint_of(path: str) -> Endpoint | None:
    """The call at a path, or None where RunningHub has none."""
    if path in _PATHS:
        return _PATHS[path]
    for prefix, endpoint in _PREFIXES.items():
        if path.startswith(prefix):
            return endpoint
    is_model = path.startswith(_V2) and model_of(path.removeprefix(_V2)) is not None
    return "model" if is_model else None


def scopes_of(endpoint: Endpoint) -> tuple[FaultScope, ...]:
    """The scopes that an endpoint belongs to, the narrowest first."""
    if endpoint == FILES:
        return (endpoint,)
    return endpoint, "paid" if endpoint in PAID else "free", "*"
