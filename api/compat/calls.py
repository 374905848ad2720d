"""A call by a client built for RunningHub: its members, its key, and the address that it was sent to."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from api.auth import RUNNINGHUB_HOSTS, Tokens, host_name
from api.paths import HAS_TOKEN, PRINCIPAL
from api.rate_limit import RateLimiter
from errors import InvalidRequest, TaskNotFound, Unauthorized
from models import OPERATOR, PUBLIC_ID_BASE, Principal, Task
from runninghub.replies import id_text, json_object
from services import Services
from users.tokens import is_user_token

FORM = "application/x-www-form-urlencoded"
KEY_MEMBERS = ("apiKey", "apikey")
MAX_TASK_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call. `members` are those of the body, or of the query of a GET."""

    request: Request
    services: Services
    members: dict[str, Any]
    key: bytes
    principal: Principal

    @property
    def base_url(self) -> str:
        """This service's address as the client can reach it, whatever it sent as Host."""
        scope = self.request.scope
        host = self.request.headers.get("host", "")
        if host and host_name(host) not in RUNNINGHUB_HOSTS:
            return f"{scope['scheme']}://{host}{scope.get('root_path', '')}"
        if public_url := self.services.settings.public_url:
            return public_url
        name, port = scope.get("server") or ("127.0.0.1", None)
        name = f"[{name}]" if ":" in name else name
        return f"{scope['scheme']}://{name}{f':{port}' if port else ''}"

    def id_member(self, name: str) -> str:
        """An id, sent as a text or as a number. Raises InvalidRequest with RunningHub's sentences."""
        value = id_text(self.members.get(name)).strip()
        if not value:
            raise InvalidRequest(f"{name} cannot be empty")
        return value

    async def task(self) -> Task:
        """The task that `taskId` names, by our id or by RunningHub's. Raises TaskNotFound.

        For an access token, one that only RunningHub knows is imported, so that a client may move here while
        its tasks run.
        """
        ref = self.id_member("taskId")
        if not (ref.isascii() and ref.isdecimal() and ref.strip("0")) or len(ref) > MAX_TASK_ID_CHARS:
            raise InvalidRequest("taskId must be positive")
        try:
            return await self.services.tasks.task(ref, self.principal)
        except TaskNotFound:
            if int(ref) > PUBLIC_ID_BASE or not self.principal.is_operator:
                raise
            return await self.services.tasks.query(ref)

    async def check_rate(self) -> None:
        """Raises RateLimited."""
        limiter: RateLimiter = self.request.app.state.rate_limiter
        await limiter.check(self.request, self.key)


async def read_call(request: Request) -> Call:
    """Read the body and authenticate. Raises Unauthorized."""
    members = dict(request.query_params) if request.method == "GET" else await _members(request)
    return await authenticated(request, members)


async def authenticated(request: Request, members: Mapping[str, Any]) -> Call:
    """A call whose body has been read, or is a file. Raises Unauthorized."""
    known = await find_principal(request, members)
    if known is None:
        raise Unauthorized("Send one of the service's access tokens as the API key.")
    key, principal = known
    request.scope[PRINCIPAL], request.scope[HAS_TOKEN] = principal, True
    without_key = {name: value for name, value in members.items() if name not in KEY_MEMBERS}
    return Call(request, request.app.state.services, without_key, key, principal)


async def find_principal(request: Request, members: Mapping[str, Any]) -> tuple[bytes, Principal] | None:
    """The first key that is one of our tokens, and whose it is; None: there is none yet.

    Without token settings any key will do, also none; but a user's token is checked.
    """
    tokens: Tokens = request.app.state.tokens
    keys = _keys(request, members)
    if not tokens.are_needed and not any(map(is_user_token, keys)):
        return b"", OPERATOR
    for key in keys:
        with suppress(Unauthorized):
            return key, await tokens.principal(request.scope, key)
    return None


def _keys(request: Request, members: Mapping[str, Any]) -> list[bytes]:
    """Wherever RunningHub's clients put the key: `Authorization` with or without `Bearer`, body, query."""
    authorization = request.headers.get("authorization", "").strip()
    scheme, _, token = authorization.partition(" ")
    sent: list[Any] = [token if scheme.lower() == "bearer" else authorization]
    sent += [members.get(name) for name in KEY_MEMBERS]
    sent += [request.query_params.get(name) for name in KEY_MEMBERS]
    return [key.strip().encode(errors="replace") for key in sent if isinstance(key, str) and key.strip()]


async def _members(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("content-type", "").startswith(FORM):
        return dict(parse_qsl(body.decode(errors="replace")))
    return json_object(body)
