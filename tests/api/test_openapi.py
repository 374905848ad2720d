"""The OpenAPI document."""

from typing import Any

from api.openapi import document_bearer


def test_the_document_names_the_bearer_scheme_and_the_open_routes() -> None:
    document: dict[str, Any] = {"paths": {"/tasks": {"get": {}}, "/health": {"get": {}}}}
    document_bearer(document)
    assert document == {
        "paths": {"/tasks": {"get": {}}, "/health": {"get": {"security": []}}},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{"bearer": []}],
    }
