"""The OpenAPI document: valid, and precise enough to generate a client's types from it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from api.openapi import document_bearer, operations
from config import VERSION
from errors import AppError
from main import create_app
from tests.conftest import settings_with
from tests.npm import generate_types, install, npm
from tests.processes import ROOT

REDOCLY = Path(__file__).parent / "redocly"
TOKEN = "a-long-random-token"
Json = dict[str, Any]

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here: apt-get install npm")


@pytest.fixture(scope="module")
def document() -> Json:
    return create_app(settings_with()).openapi()


def test_the_document_names_the_bearer_scheme_and_the_open_routes() -> None:
    document: dict[str, Any] = {"paths": {"/tasks": {"get": {}}, "/health": {"get": {}}}}
    document_bearer(document)
    assert document == {
        "paths": {"/tasks": {"get": {}}, "/health": {"get": {"security": []}}},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{"bearer": []}],
    }


@pytest.mark.processes
@needs_npm
@pytest.mark.parametrize("settings", [{}, {"access_tokens": TOKEN}], ids=["open", "tokens"])
def test_redoclys_recommended_rules_find_nothing(tmp_path: Path, settings: Json) -> None:
    install(REDOCLY)
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(create_app(settings_with(**settings)).openapi()))
    linted = npm(REDOCLY, "exec", "--", "redocly", "lint", str(path), "--format", "json")
    report = json.loads(linted.stdout[linted.stdout.index("{") :])
    assert report["problems"] == []
    assert linted.returncode == 0


@pytest.mark.processes
@needs_npm
def test_the_types_made_from_it_leave_nothing_unknown_that_a_page_reads(tmp_path: Path) -> None:
    client = ROOT / "client"
    install(client)
    generate_types(client, tmp_path / "schema.d.ts")
    types = (tmp_path / "schema.d.ts").read_text()
    # Headers of every response, whatever the document says, and what only the client knows.
    for expected in (r"\[name: string\]: unknown;", r"metadata\??: \{\s+\[key: string\]: unknown;"):
        types = re.sub(expected, "", types)
    assert re.findall(r".*: unknown.*", types) == []


def test_it_says_which_release_this_is_and_where_it_is_served(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == VERSION
    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_every_operation_has_a_summary_an_id_of_its_own_and_a_described_tag(document: Json) -> None:
    found = [operation for _, operation in operations(document)]
    assert all(operation["summary"] for operation in found)
    assert len({operation["operationId"] for operation in found}) == len(found)
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for operation in found for tag in operation["tags"]} == described


def test_every_response_declares_its_headers_and_every_operation_an_internal_error(document: Json) -> None:
    for path, operation in operations(document):
        assert "500" in operation["responses"], path
        for status, response in operation["responses"].items():
            expected = {"X-Request-ID"}
            expected |= {"Location"} if status == "202" else set()
            expected |= {"WWW-Authenticate"} if status == "401" else set()
            expected |= {"Retry-After"} if status in {"429", "503", "504"} else set()
            assert set(response["headers"]) == expected, (path, status)


def test_codes_are_enums(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Problem"]["properties"]["code"] == {"$ref": "#/components/schemas/ProblemCode"}
    assert set(schemas["ProblemCode"]["enum"]) == {error.code for error in AppError.__subclasses__()}
    assert schemas["TaskError"]["properties"]["code"] == {"$ref": "#/components/schemas/TaskErrorCode"}
    assert {"run_failed", "runninghub_rejected", "deadline"} <= set(schemas["TaskErrorCode"]["enum"])


def test_times_and_ids_of_a_task_have_their_types(document: Json) -> None:
    members = document["components"]["schemas"]["TaskResponse"]["properties"]
    times = {name: member for name, member in members.items() if name.endswith("_at")}
    for name, member in times.items():
        assert "date-time" in json.dumps(member), name
    ids = [member for name, member in members.items() if name == "id" or name.endswith("_id")]
    kinds = {kind.get("type") for member in ids for kind in member.get("anyOf", [member])}
    assert kinds == {"string", "null"}
    assert members["node_info"]["anyOf"][0]["items"] == {"$ref": "#/components/schemas/NodeValueResponse"}


def test_an_event_stream_names_its_events(document: Json) -> None:
    responses = document["paths"]["/tasks/{task_id}/events"]["get"]["responses"]
    stream = responses["200"]["content"]["text/event-stream"]
    assert stream["schema"]["contentSchema"] == {"$ref": "#/components/schemas/TaskEvent"}
    data = document["components"]["schemas"]["TaskEvent"]["properties"]["data"]
    assert data["contentSchema"] == {"$ref": "#/components/schemas/TaskResponse"}
