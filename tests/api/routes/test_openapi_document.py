"""The OpenAPI document: its examples work, and it names each route's problems."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.api.routes.calls import CODES, Board, Json, Service, unknown_task, until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


async def document_of(client: httpx.AsyncClient) -> Json:
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    document: Json = response.json()
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def example_of(document: Json, schema: Json) -> Any:
    """What Swagger UI fills a body in with: each member's example, else its default, else its type."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if "example" in schema:
        return schema["example"]
    if "default" in schema:
        return schema["default"]
    if "properties" in schema:
        return {name: example_of(document, member) for name, member in schema["properties"].items()}
    for choice in schema.get("anyOf", []):
        return example_of(document, choice)
    return {"array": [], "boolean": True, "integer": 0, "number": 1, "string": "string"}[schema["type"]]


async def test_try_it_out_works_with_every_bodys_example(client: httpx.AsyncClient, board: Board) -> None:
    document = await document_of(client)
    bodies = {
        path: example_of(document, operation["requestBody"]["content"]["application/json"]["schema"])
        for _, path, operation in operations(document)
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert set(bodies) == {
        "/get_node_info",
        "/submit_task",
        "/task/query_task_status",
        "/tasks/{task_id}/settle",
        "/submit_tasks",
        "/users",
        "/users/{name}",
    }
    assert (await client.post("/get_node_info", json=bodies["/get_node_info"])).status_code == 200
    several = await client.post("/submit_tasks", json=bodies["/submit_tasks"])
    assert [result["status"] for result in several.json()["results"]] == [202]
    await until(client, several.json()["results"][0]["task_id"], "SUCCESS")
    await board.client.post("/simulator/reset")
    submitted = await client.post("/submit_task", json=bodies["/submit_task"])
    assert submitted.status_code == 202
    (running,) = await board.tasks()
    task_id = await unknown_task(client, board)
    await board.fault("outputs", "code", code=804, msg="APIKEY_TASK_IS_RUNNING")
    settled = await client.post(f"/tasks/{task_id}/settle", json=bodies["/tasks/{task_id}/settle"])
    assert settled.status_code == 200
    queried = await client.post("/task/query_task_status", json=bodies["/task/query_task_status"])
    assert queried.status_code == 200
    assert running["webappId"] == TEXT_TO_IMAGE


EVERYWHERE = {"401": {"unauthorized"}, "403": {"forbidden_host"}, "500": {"internal_error"}}
OF_RUNNINGHUB = {
    "402": {"insufficient_balance"},
    "502": {"runninghub_rejected"},
    "503": {"runninghub_not_configured", "runninghub_unavailable"},
    "504": {"runninghub_timeout"},
}
STORED = {"503": {"database_unavailable"}}
RUNNINGHUB_AND_STORED = OF_RUNNINGHUB | {"503": OF_RUNNINGHUB["503"] | STORED["503"]}
INVALID, GONE = {"422": {"invalid_request"}}, {"404": {"task_not_found"}}
APP = {"404": {"webapp_not_found", "workflow_not_found"}}
BODY = INVALID | {"413": {"body_too_large"}}
# Refused for a user's token, or for an app that is not the user's.
FORBIDDEN = {"403": {"forbidden", "forbidden_host"}}
USER = {"404": {"user_not_found"}}
DOCUMENTED: dict[str, dict[str, set[str]]] = {
    "post /get_node_info": FORBIDDEN | BODY | APP | {"429": {"rate_limited"}} | OF_RUNNINGHUB,
    "post /upload": INVALID
    | {"413": {"file_too_large"}, "415": {"unsupported_file"}, "429": {"rate_limited"}}
    | OF_RUNNINGHUB,
    "post /submit_task": BODY
    | APP
    | {
        "422": {"invalid_request", "invalid_node_info", "idempotency_key_reused"},
        "429": {"too_many_pending", "rate_limited", "quota_exceeded"},
    }
    | FORBIDDEN
    | RUNNINGHUB_AND_STORED
    | {"402": {"insufficient_balance", "budget_exceeded"}},
    "post /submit_tasks": BODY
    | {"422": {"invalid_request", "idempotency_key_reused"}, "429": {"rate_limited"}}
    | RUNNINGHUB_AND_STORED,
    "post /tasks/{task_id}/rerun": {
        "422": {"invalid_request", "invalid_node_info", "idempotency_key_reused"},
        "404": {"task_not_found", *APP["404"]},
        "409": {"not_final"},
        "429": {"too_many_pending", "rate_limited", "quota_exceeded"},
    }
    | FORBIDDEN
    | RUNNINGHUB_AND_STORED
    | {"402": {"insufficient_balance", "budget_exceeded"}},
    "delete /tasks/{task_id}": INVALID | GONE | STORED | {"409": {"not_deletable"}},
    "get /webapps": INVALID | RUNNINGHUB_AND_STORED,
    "get /accounts": FORBIDDEN,
    "post /task/query_task_status": FORBIDDEN | BODY | GONE | RUNNINGHUB_AND_STORED,
    "get /tasks/{task_id}": INVALID | GONE | STORED,
    "get /tasks/{task_id}/events": INVALID | GONE | STORED,
    "get /tasks": FORBIDDEN | INVALID | STORED,
    "post /tasks/{task_id}/cancel": INVALID | GONE | {"409": {"not_cancellable"}} | RUNNINGHUB_AND_STORED,
    "post /tasks/{task_id}/settle": FORBIDDEN | BODY | GONE | STORED | {"409": {"not_unknown"}},
    "get /tasks/{task_id}/outputs/{n}": INVALID
    | {
        "403": {"forbidden", "forbidden_host"},
        "404": {"task_not_found", "output_not_found"},
        "410": {"output_gone"},
        "416": {"range_not_satisfiable"},
        "503": {"output_unavailable", "runninghub_unavailable", "database_unavailable"},
        "504": {"runninghub_timeout"},
    },
    "get /account": FORBIDDEN | OF_RUNNINGHUB,
    "get /tasks/{task_id}/outputs.zip": INVALID
    | STORED
    | {"404": {"task_not_found", "output_not_found"}, "410": {"output_gone"}},
    "get /tasks/{task_id}/deliveries": INVALID | GONE | STORED,
    "post /tasks/{task_id}/deliveries/{delivery_id}/redeliver": INVALID
    | STORED
    | {"404": {"task_not_found", "not_found"}},
    "get /users": FORBIDDEN | STORED,
    "post /users": FORBIDDEN | BODY | STORED | {"409": {"user_exists"}},
    "patch /users/{name}": FORBIDDEN | BODY | USER | STORED,
    "delete /users/{name}": FORBIDDEN | INVALID | USER | STORED,
    "post /users/{name}/token": FORBIDDEN | INVALID | USER | STORED,
    "get /usage": INVALID | STORED,
    "get /metrics": FORBIDDEN | STORED,
    "get /ready": {"503": {"not_ready"}},
    "post /webhooks/runninghub/{task_id}/{signature}": BODY | GONE | STORED,
}


async def test_the_document_has_each_routes_summary_and_problems(shared: httpx.AsyncClient) -> None:
    document = await document_of(shared)
    documented: dict[str, dict[str, set[str]]] = {}
    for method, path, operation in operations(document):
        assert operation["summary"]
        problems = documented[f"{method} {path}"] = {}
        for status, response in operation["responses"].items():
            if "application/problem+json" not in response.get("content", {}) and path != "/health":
                assert status[0] in "23", (method, path, status)
                continue
            problems[status] = set(re.findall(r"^`(\w+)`", response["description"], re.MULTILINE))
            schemas = [content["schema"] for content in response.get("content", {}).values()]
            if path != "/health":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
                assert schemas == [{"$ref": "#/components/schemas/Problem"}]
    documented.pop("get /health")
    assert documented == {route: EVERYWHERE | problems for route, problems in DOCUMENTED.items()}


async def test_the_document_names_every_problem_of_the_table(shared: httpx.AsyncClient) -> None:
    description = (await document_of(shared))["info"]["description"]
    for code, status in CODES.items():
        assert f"| `{code}` | {status} |" in description


async def test_the_document_asks_for_a_token_only_where_tokens_are_set(service: Service) -> None:
    async with service() as client:
        assert "securitySchemes" not in (await document_of(client))["components"]
    async with service(access_tokens="t") as client:
        document = await document_of(client)
        assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
        open_routes = {path for _, path, operation in operations(document) if operation.get("security") == []}
        assert open_routes == {"/health", "/ready", "/webhooks/runninghub/{task_id}/{signature}"}
        assert (await client.get("/tasks", headers={"Authorization": "Bearer t"})).status_code == 200
