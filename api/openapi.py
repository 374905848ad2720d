"""The OpenAPI document: what the service says of itself, its problems and its tokens."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.paths import is_public
from api.problems import MEDIA_TYPE, Problem, problem_table, problem_title
from config import VERSION, Settings
from errors import AppError

TITLE = "RunningHub gateway"
DESCRIPTION = """
Put this service between your page and RunningHub: it keeps the API key, stores every task, waits for free
slots, and never pays for a task twice. Each error is `application/problem+json` with a stable `code`:

"""


def problem_responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for a route that may raise these, one entry a status."""
    lines: dict[int | str, list[str]] = {}
    for error in errors:
        lines.setdefault(error.status_code, []).append(f"`{error.code}`: {problem_title(error)}")
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": "\n\n".join(found), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, found in lines.items()
    }


def install_document(app: FastAPI, settings: Settings) -> None:
    """Make `/openapi.json` complete: the Problem's schema, the table of problems, and the bearer scheme."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=TITLE, version=VERSION, description=DESCRIPTION + problem_table(), routes=app.routes
            )
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= problem.pop("$defs") | {"Problem": problem}
            if settings.access_tokens:
                document_bearer(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document_bearer(document: dict[str, Any]) -> None:
    """Declare in an OpenAPI document which routes need a token; Swagger UI then has its Authorize button."""
    document.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    document["security"] = [{"bearer": []}]
    for path, operations in document["paths"].items():
        if is_public(path):
            for operation in operations.values():
                operation["security"] = []
