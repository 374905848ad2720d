"""The OpenAPI document: what clients and their generators read about every route."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.paths import is_public
from api.problems import MEDIA_TYPE, InternalError, Problem, problem_table, problem_title
from config import VERSION, Settings
from errors import AppError, ForbiddenHost, Unauthorized

TITLE = "RunningHub gateway"
DESCRIPTION = """
Put this service between your page and RunningHub: it keeps the API key, stores every task, waits for free
slots, and never pays for a task twice. Each error is `application/problem+json` with a stable `code`:

"""
LICENSE = {"name": "MIT", "identifier": "MIT"}
# Relative: Swagger UI then calls the service that it was loaded from.
SERVERS = [{"url": "/", "description": "This service"}]
FORMS, TASKS, OUTPUTS, ACCOUNTS = "Forms", "Tasks", "Outputs", "Accounts"
USERS, SERVICE, INCOMING = "Users", "Service", "Webhooks"
TAGS = [
    {"name": FORMS, "description": "What an app asks for, and the files that are values of its fields"},
    {"name": TASKS, "description": "Submit tasks, follow them, and read what became of them"},
    {"name": OUTPUTS, "description": "The files that tasks produce, kept here"},
    {"name": ACCOUNTS, "description": "Balances at RunningHub"},
    {"name": USERS, "description": "Who may call this service, their limits and their usage"},
    {"name": SERVICE, "description": "The service itself"},
    {"name": INCOMING, "description": "What RunningHub calls"},
]
# What every route can respond with.
COMMON_ERRORS = (Unauthorized, ForbiddenHost, InternalError)

Document = dict[str, Any]
SCHEMAS = "#/components/schemas/"
TEXT = {"type": "string"}
# No route's return type names it: FastAPI documents events with a keyword that OpenAPI 3.1 does not have.
TASK_EVENT = {
    "type": "object",
    "description": "One server-sent event of `/tasks/{task_id}/events`.",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {**TEXT, "const": "task"},
        "id": {**TEXT, "description": "Send the last one seen as `Last-Event-ID`."},
        "data": {
            **TEXT,
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": SCHEMAS + "TaskResponse"},
        },
    },
}
HEADERS = {
    "X-Request-ID": {"description": "The request's id in the log", "schema": TEXT},
    "Location": {"description": "The new task", "schema": TEXT},
    "Retry-After": {"description": "After how many seconds to try again", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "`Bearer`", "schema": TEXT},
}
HEADERS_BY_STATUS = {
    "202": ("Location",),
    "401": ("WWW-Authenticate",),
    **dict.fromkeys(("429", "503", "504"), ("Retry-After",)),
}


def problem_responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for a route that may raise these, and what every route may raise."""
    lines: dict[int | str, list[str]] = {}
    raised: tuple[type[AppError], ...] = (*errors, *COMMON_ERRORS)
    for error in raised:
        lines.setdefault(error.status_code, []).append(f"`{error.code}`: {problem_title(error)}")
    schema = {"$ref": SCHEMAS + Problem.__name__}
    return {
        status: {"description": "\n\n".join(found), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, found in lines.items()
    }


def install_document(app: FastAPI, settings: Settings) -> None:
    """Make `/openapi.json` complete."""

    def openapi() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, has_tokens=settings.needs_token)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, *, has_tokens: bool) -> Document:
    document = get_openapi(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION + problem_table(),
        routes=app.routes,
        servers=SERVERS,
        tags=TAGS,
        license_info=LICENSE,
    )
    components = document["components"]
    problem = Problem.model_json_schema(ref_template=SCHEMAS + "{model}", mode="serialization")
    components["schemas"] |= problem.pop("$defs") | {"Problem": problem, "TaskEvent": TASK_EVENT}
    # Each item is validated on its own, so that FastAPI does not know its type.
    components["schemas"]["SubmitManyRequest"]["properties"]["tasks"]["items"] = {
        "$ref": SCHEMAS + "SubmitRequest"
    }
    components["headers"] = HEADERS
    for _, operation in operations(document):
        for status, response in operation["responses"].items():
            names = ("X-Request-ID", *HEADERS_BY_STATUS.get(status, ()))
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
            _describe_events(response)
    document["security"] = []
    if has_tokens:
        document_bearer(document)
    return document


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Each operation with its path."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _describe_events(response: Document) -> None:
    if stream := response.get("content", {}).get("text/event-stream"):
        stream.clear()
        stream["schema"] = {
            **TEXT,
            "description": "A sequence of TaskEvent",
            "contentMediaType": "text/event-stream",
            "contentSchema": {"$ref": SCHEMAS + "TaskEvent"},
        }


def document_bearer(document: Document) -> None:
    """Declare which routes need a token; Swagger UI then has its Authorize button."""
    document.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    document["security"] = [{"bearer": []}]
    for path, operation in operations(document):
        if is_public(path):
            operation["security"] = []
