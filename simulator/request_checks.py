"""What every route of RunningHub does first: note the request for tests, and check its key."""

from typing import Any

from starlette.requests import Request

from simulator.context import Simulator
from simulator.credentials import bearer_key, key_of
from simulator.endpoints import Endpoint
from simulator.refusals import Refusal, params_invalid, refusal
from simulator.state import Seen


def note(simulator: Simulator, endpoint: Endpoint, members: dict[str, Any], request: Request) -> None:
    """Remember the request as the endpoint's last."""
    simulator.state.last_requests[endpoint] = Seen(members, request.headers.raw)


def v1_key(
    simulator: Simulator, members: dict[str, Any], request: Request, name: str = "apiKey"
) -> str | Refusal:
    """The caller's key, the body's before the header's, or the refusal."""
    api_key = key_of(members, request.headers)
    if not api_key:
        return params_invalid(f"{name} cannot be empty")
    return api_key if _is_known(simulator, api_key) else refusal(806)


def v2_key(simulator: Simulator, request: Request) -> str | Refusal:
    """The key of the `Authorization` header, or the refusal; v2 reads no other place."""
    api_key = bearer_key(request.headers)
    if not api_key:
        return refusal(401)
    return api_key if _is_known(simulator, api_key) else refusal(806)


def _is_known(simulator: Simulator, api_key: str) -> bool:
    return not simulator.state.keys or api_key in simulator.state.keys
