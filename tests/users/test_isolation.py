"""What a user can reach: every route of the OpenAPI document, with two users and an operator."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.openapi import operations
from models import NewOutput, OutputState, TaskStatus
from tests.conftest import NODE, WEBAPP_ID, add_waiting, at_runninghub
from tests.users.service import OPERATOR_TOKEN, Served, serving_users
from transitions import Finished

pytestmark = pytest.mark.anyio

SECRET = "what only ann may read"
RESULT = {"text": SECRET, "nodeId": "9", "consumeCoins": "3"}

# Every route is of one kind. A new one fails the first test below until it is listed here.
OF_A_TASK = {
    "GET /tasks/{task_id}",
    "GET /tasks/{task_id}/events",
    "GET /tasks/{task_id}/outputs.zip",
    "GET /tasks/{task_id}/outputs/{n}",
    "POST /tasks/{task_id}/cancel",
    "POST /tasks/{task_id}/rerun",
    "DELETE /tasks/{task_id}",
    "GET /tasks/{task_id}/deliveries",
    "POST /tasks/{task_id}/deliveries/{delivery_id}/redeliver",
    "POST /task/query_task_status",
}
OPERATOR_ONLY = {
    "POST /tasks/{task_id}/settle",
    "GET /accounts",
    "GET /account",
    "GET /metrics",
    "GET /users",
    "POST /users",
    "PATCH /users/{name}",
    "DELETE /users/{name}",
    "POST /users/{name}/token",
}
# Of a user's own data only, or of nobody's.
OWN = {
    "POST /get_node_info",
    "POST /upload",
    "POST /submit_task",
    "POST /submit_tasks",
    "GET /tasks",
    "GET /webapps",
    "GET /usage",
}
PUBLIC = {"GET /health", "GET /ready", "POST /webhooks/runninghub/{task_id}/{signature}"}

BODIES: dict[str, dict[str, Any]] = {
    "POST /get_node_info": {"json": {"webappId": "1"}},
    "POST /upload": {"files": {"file": ("a.png", b"x")}},
    "POST /submit_task": {"json": {"webappId": "1", "nodeInfoList": []}},
    "POST /submit_tasks": {"json": {"tasks": [{"webappId": "1", "nodeInfoList": []}]}},
    "POST /tasks/{task_id}/settle": {"json": {"resubmit": True}},
    "POST /users": {"json": {"name": "eve"}},
    "PATCH /users/{name}": {"json": {"webapp_ids": None}},
}


class World:
    """Ann has a final and a waiting task, Bob has none."""

    def __init__(self, served: Served, ann: str, bob: str) -> None:
        self.served = served
        self.ann = ann
        self.bob = bob

    async def call(self, token: str | None, route: str, task_id: str = "ann-final") -> httpx.Response:
        method, path = route.split()
        members = dict(BODIES.get(route, {}))
        if route == "POST /task/query_task_status":
            members["json"] = {"taskId": task_id}
        path = path.format(task_id=task_id, n=0, name="bob", signature="0" * 64, delivery_id="none")
        return await self.served.call(token, method, path, **members)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving_users(tmp_path) as served:
        database = served.services.database
        values = [{**NODE, "fieldValue": SECRET}]
        task = await at_runninghub(database, 1, id="ann-final", owner="ann", node_info=values)
        run = Finished(
            "1001",
            [RESULT],
            2.5,
            {"coins": "3"},
            {"coins_micros": 3_000_000},
            (NewOutput(0, OutputState.KEPT, "text/plain", text=SECRET),),
        )
        assert await database.store(task.id, run)
        await add_waiting(database, 2, id="ann-waiting", owner="ann", node_info=values)
        ann, bob = await served.create_user("ann"), await served.create_user("bob")
        yield World(served, ann, bob)


def documented(served: Served) -> set[str]:
    document = served.app.openapi()
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


async def test_every_route_is_classified(world: World) -> None:
    assert list(operations(world.served.app.openapi()))
    assert documented(world.served) == OF_A_TASK | OPERATOR_ONLY | OWN | PUBLIC


@pytest.mark.parametrize("route", sorted(OF_A_TASK))
@pytest.mark.parametrize("ref", ["ann-final", "ann-waiting", "1001"])
async def test_another_users_task_does_not_exist(world: World, route: str, ref: str) -> None:
    response = await world.call(world.bob, route, ref)
    unknown = await world.call(world.bob, route, "0" * 32)
    assert (response.status_code, response.json()) == (404, unknown.json())
    assert response.json()["code"] == "task_not_found"
    assert SECRET not in response.text
    for name in ("ann-final", "ann-waiting"):
        assert await world.served.services.database.task(name)


@pytest.mark.parametrize("route", sorted(OF_A_TASK))
async def test_the_owner_and_the_operator_reach_a_task(world: World, route: str) -> None:
    for token in (world.ann, OPERATOR_TOKEN):
        task_id = "ann-waiting" if route.endswith("cancel") else "ann-final"
        response = await world.call(token, route, task_id)
        assert response.status_code not in {401, 403}
        assert response.status_code != 404 or route.startswith(("DELETE", "POST /tasks/{task_id}/deliveries"))
        if route.startswith("DELETE"):
            assert await world.served.services.database.task("ann-final") is None


@pytest.mark.parametrize("route", sorted(OPERATOR_ONLY))
async def test_the_operators_routes_are_forbidden_for_users(world: World, route: str) -> None:
    for token in (world.ann, world.bob):
        response = await world.call(token, route)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await world.call(OPERATOR_TOKEN, route)).status_code not in {401, 403}


@pytest.mark.parametrize("route", sorted(OWN))
async def test_nothing_of_another_user_is_in_any_other_response(world: World, route: str) -> None:
    response = await world.call(world.bob, route)
    assert response.status_code not in {401, 403, 404}
    for text in (SECRET, "ann-final", "ann-waiting", '"3"'):
        assert text not in response.text


@pytest.mark.parametrize("token", [None, "wrong", "rhg_" + "A" * 43, "a.b.c"])
async def test_without_a_valid_token_nothing_is_reached(world: World, token: str | None) -> None:
    for route in OF_A_TASK | OPERATOR_ONLY | OWN:
        response = await world.call(token, route)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized"), route


async def test_lists_show_a_users_own_tasks_and_apps_only(world: World) -> None:
    call = world.served.call
    ann = await call(world.ann, "GET", "/tasks")
    assert [task["id"] for task in ann.json()["tasks"]] == ["ann-waiting", "ann-final"]
    assert (await call(world.bob, "GET", "/tasks")).json()["tasks"] == []
    assert (await call(world.bob, "GET", "/webapps")).json()["webapps"] == []
    everything = await call(OPERATOR_TOKEN, "GET", "/tasks?owner=ann")
    assert len(everything.json()["tasks"]) == 2


async def test_a_user_may_not_name_an_owner(world: World) -> None:
    for owner in ("ann", "bob"):
        response = await world.served.call(world.bob, "GET", f"/tasks?owner={owner}")
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_a_user_may_not_import_a_task(world: World) -> None:
    body = {"taskId": "1994070439827980290"}
    response = await world.served.call(world.bob, "POST", "/task/query_task_status", json=body)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_a_signed_link_opens_its_output_to_everybody_and_no_other(world: World) -> None:
    call = world.served.call
    task = (await call(world.ann, "GET", "/tasks/ann-final")).json()
    url = task["outputs"][0]["url"]
    for token in (None, world.bob, OPERATOR_TOKEN):
        assert (await call(token, "GET", url)).status_code not in {401, 403, 404}
    for token in (None, world.bob):
        assert (await call(token, "GET", url.replace("outputs/0", "outputs/1"))).status_code == 403
        assert (await call(token, "GET", url[:-1] + "x")).status_code == 403


async def test_the_same_idempotency_key_of_two_users_is_two_keys(world: World) -> None:
    database = world.served.services.database
    body, key = {"webappId": WEBAPP_ID, "nodeInfoList": []}, {"Idempotency-Key": "0"}
    ids = []
    for token in (OPERATOR_TOKEN, world.ann, world.bob, world.ann):
        response = await world.served.call(token, "POST", "/submit_task", json=body, headers=key)
        ids.append(response.json()["task_id"])
    # A list of the operator's under the key "ann" has keys of its own, too.
    many = await world.served.call(
        OPERATOR_TOKEN, "POST", "/submit_tasks", json={"tasks": [body]}, headers={"Idempotency-Key": "ann"}
    )
    ids.append(many.json()["results"][0]["task_id"])
    assert ids[1] == ids[3]
    assert len(set(ids)) == 4
    owners = [task.owner for task_id in ids if (task := await database.task(task_id))]
    assert owners == [None, "ann", "bob", "ann", None]


async def test_a_rerun_belongs_to_who_wants_it(world: World) -> None:
    response = await world.served.call(OPERATOR_TOKEN, "POST", "/tasks/ann-final/rerun")
    task = await world.served.services.database.task(response.json()["task_id"])
    assert task is not None
    assert (task.owner, task.status) == (None, TaskStatus.PENDING)
