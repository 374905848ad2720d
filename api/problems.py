"""The body of every 4xx and 5xx response: RFC 9457 `application/problem+json` with a stable `code`."""

import json
import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import TypeAliasType

from api.compat.errors import refusal_response
from api.paths import is_runninghub_path, path_of
from errors import AppError, BodyTooLarge, InvalidRequest, MethodNotAllowed, NotFound
from logs import request_id

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 50


class InternalError(AppError):
    """An error in this service."""

    status_code, code = 500, "internal_error"


def problem_codes() -> list[str]:
    return sorted(error.code for error in AppError.__subclasses__())


ProblemCode = TypeAliasType(
    "ProblemCode", Annotated[str, WithJsonSchema({"type": "string", "enum": problem_codes()})]
)


def is_none(value: object) -> bool:
    return value is None


class ProblemDetail(BaseModel):
    """What was wrong where: `loc` in a request, or `nodeId` and `fieldName` in an app's form."""

    msg: str
    loc: list[str | int] | None = Field(None, exclude_if=is_none)
    nodeId: str | None = Field(None, exclude_if=is_none)
    fieldName: str | None = Field(None, exclude_if=is_none)
    allowed: list[str] | None = Field(
        None, exclude_if=is_none, description="The first choices, where there are choices"
    )


class Upstream(BaseModel):
    """What RunningHub returned."""

    code: int
    msg: str


class Problem(BaseModel):
    """The body of a 4xx or 5xx response (RFC 9457)."""

    type: str = Field(description="`/docs#problem-` and the `code`")
    title: str
    status: int
    detail: str = Field(description="What is wrong and what to do")
    code: ProblemCode
    errors: list[ProblemDetail] | None = Field(None, exclude_if=is_none, description="What was wrong where")
    upstream: Upstream | None = Field(
        None, exclude_if=is_none, description="RunningHub's own `code` and `msg`"
    )
    task_id: str | None = Field(
        None, exclude_if=is_none, description="The task that it left behind, or that has the id already"
    )
    request_id: str | None = Field(
        None, exclude_if=is_none, description="Of an error in this service: where the log has it"
    )


def problem_title(error: type[AppError]) -> str:
    return (error.__doc__ or error.code).splitlines()[0].rstrip(".")


def problem_members(error: AppError) -> dict[str, Any]:
    """The body for `error`; members that are `None` are left out."""
    members = {
        "type": f"/docs#problem-{error.code}",
        "title": problem_title(type(error)),
        "status": error.status_code,
        "detail": error.message,
        "code": error.code,
        "errors": error.errors,
        "upstream": error.upstream,
        "task_id": error.task_id,
        "request_id": request_id.get() if isinstance(error, InternalError) else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def problem_response(error: AppError, headers: Mapping[str, str] | None = None) -> Response:
    all_headers = dict(headers or {})
    if error.status_code == 401:
        all_headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        all_headers["Retry-After"] = str(error.retry_after)
    # "replace": half a surrogate pair from a client's JSON must not turn its 422 into a 500.
    content = json.dumps(problem_members(error), ensure_ascii=False, default=str).encode("utf-8", "replace")
    return Response(content, error.status_code, all_headers, MEDIA_TYPE)


def response_to(scope: Scope, error: AppError, headers: Mapping[str, str] | None = None) -> Response:
    """In RunningHub's envelope on RunningHub's own paths: its clients read nothing else."""
    if is_runninghub_path(path_of(scope)):
        return refusal_response(error)
    return problem_response(error, headers)


async def handle_app_error(_: Request, exc: AppError) -> Response:
    return problem_response(exc)


async def handle_validation_error(_: Request, exc: RequestValidationError) -> Response:
    """422 with where and what, never with the values: a body may hold a password."""
    errors = [_field_error(error) for error in exc.errors()[:MOST_ERRORS]]
    if isinstance(exc.body, bytes):
        detail = "The body was not read as JSON: send it with the header Content-Type: application/json."
    else:
        where = ".".join(map(str, errors[0]["loc"]))
        detail = f"The request is invalid at {where}: {errors[0]['msg']}."
    return problem_response(InvalidRequest(detail, errors=errors))


def _field_error(error: dict[str, Any]) -> dict[str, Any]:
    if error["type"] == "json_invalid":
        return {"loc": list(error["loc"]), "msg": f"Not valid JSON: {error['ctx']['error']}"}
    return {"loc": list(error["loc"]), "msg": error["msg"].removeprefix("Value error, ")}


async def handle_http_exception(request: Request, exc: HTTPException) -> Response:
    """Starlette's and FastAPI's own refusals, in the envelope and with their headers, such as `Allow`."""
    headers = dict(exc.headers or {})
    if exc.status_code == 405:
        headers["Allow"] = _allowed(request, headers.get("Allow", ""))
    return response_to(request.scope, _from_http_exception(request, exc), headers)


def _allowed(request: Request, first: str) -> str:
    """All methods of a path; Starlette names those of the first route that matches it."""
    methods = set(filter(None, first.split(", ")))
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def _from_http_exception(request: Request, exc: HTTPException) -> AppError:
    if isinstance(exc.__cause__, AppError):  # FastAPI wraps what is raised while it reads a body
        return exc.__cause__
    if exc.status_code == 405:
        return MethodNotAllowed(
            f"This route does not accept {request.method}; the Allow header lists what it accepts."
        )
    if exc.status_code in {401, 404}:  # Starlette uses 401 for a file that it may not read
        return NotFound("There is no such route; /docs lists them all.")
    if exc.status_code == 413:
        return _body_too_large()
    if exc.status_code < 500:
        return InvalidRequest(f"The request could not be read: {exc.detail.rstrip('.')}.")
    return _internal_error()


def _body_too_large() -> AppError:
    return BodyTooLarge("The body is larger than this route accepts; a JSON body may have 4 MB.")


def _internal_error() -> AppError:
    return InternalError("This is an error in the service; its log has it under this request_id.")


class ProblemMiddleware:
    """Responds to what escapes the exception handlers; inside the others, so that it gets their headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = replaced = False

        async def send_problem_for_plain_text(message: Message) -> None:
            nonlocal started, replaced
            if replaced:
                return
            started = True
            replaced = message.get("status") == 413 and _is_plain_text(message)
            if replaced:
                await response_to(scope, _body_too_large())(scope, receive, send)
            else:
                await send(message)

        try:
            await self._app(scope, receive, send_problem_for_plain_text)
        except ClientDisconnect:
            logger.info("client disconnected")
        except Exception:
            if started:
                raise  # the server has to close the connection: half a response is sent
            logger.exception("unhandled exception")
            await response_to(scope, _internal_error())(scope, receive, send)


def _is_plain_text(start: Message) -> bool:
    """True of Starlette's own 413: a declared Content-Length is rejected without calling any handler."""
    return any(
        name == b"content-type" and value.startswith(b"text/plain") for name, value in start["headers"]
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Call it before any other middleware is added: ProblemMiddleware has to be the innermost."""
    app.exception_handler(AppError)(handle_app_error)
    app.exception_handler(RequestValidationError)(handle_validation_error)
    app.exception_handler(HTTPException)(handle_http_exception)
    app.add_middleware(ProblemMiddleware)


def problem_table() -> str:
    """Every problem as Markdown for the OpenAPI document's description, where `type` points to."""
    problems = sorted(AppError.__subclasses__(), key=lambda error: (error.status_code, error.code))
    rows = (f"| `{error.code}` | {error.status_code} | {problem_title(error)} |" for error in problems)
    return "\n".join(["| code | status | meaning |", "|---|---|---|", *rows])
