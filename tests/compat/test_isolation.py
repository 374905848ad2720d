"""Users' tokens as keys: a user sees only their own tasks on RunningHub's routes, too."""

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.compat.conftest import TOKEN, Json, Serve, switch

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
V1 = ("/task/openapi/outputs", "/task/openapi/status", "/task/openapi/cancel")


async def user(service: httpx.AsyncClient, name: str, **members: object) -> str:
    created = await service.post("/users", headers=OPERATOR, json={"name": name, **members})
    token: str = created.raise_for_status().json()["token"]
    return token


async def post(service: httpx.AsyncClient, path: str, key: str, **members: object) -> Json:
    reply: Json = (await service.post(path, json={"apiKey": key, **members})).json()
    return reply


async def run(service: httpx.AsyncClient, key: str) -> Json:
    return await post(service, "/task/openapi/ai-app/run", key, webappId=TEXT_TO_IMAGE, nodeInfoList=[])


async def test_a_users_task_exists_for_no_other_user(serve: Serve, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=30)
    async with serve(access_tokens=(TOKEN,)) as service:
        anne, ben = await user(service, "anne"), await user(service, "ben")
        task_id = (await run(service, anne))["data"]["taskId"]
        task = (await service.get(f"/tasks/{task_id}", headers=OPERATOR)).json()
        for ref in (task_id, task["runninghub_task_id"]):
            strangers = [(await post(service, path, ben, taskId=ref))["code"] for path in V1]
            in_v2 = await post(service, "/openapi/v2/query", ben, taskId=ref)

            assert strangers == [807, 807, 807]
            assert (in_v2["taskId"], in_v2["errorCode"]) == ("", "807")
        own = await post(service, "/task/openapi/status", anne, taskId=task_id)
        operators = await post(service, "/task/openapi/status", TOKEN, taskId=task_id)

    assert task["owner"] == "anne"
    assert own["data"] == operators["data"] == "RUNNING"


async def test_a_user_imports_no_task_of_runninghubs(serve: Serve, board: httpx.AsyncClient) -> None:
    async with serve(access_tokens=(TOKEN,)) as service:
        anne = await user(service, "anne")
        before = (await board.get("/simulator/counters")).json()["calls"]
        reply = await post(service, "/task/openapi/outputs", anne, taskId="1990000000000000001")
        after = (await board.get("/simulator/counters")).json()["calls"]

    assert reply["code"] == 807
    assert after.get("outputs") == before.get("outputs")


async def test_a_users_limits_apply(serve: Serve, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=30)
    limits = {"tasks_per_day": 1, "coins_per_month": 50, "max_active_tasks": 2}
    async with serve(access_tokens=(TOKEN,)) as service:
        anne = await user(service, "anne", limits=limits, webapp_ids=[TEXT_TO_IMAGE])
        other_app = await post(service, "/task/openapi/ai-app/run", anne, webappId="12", nodeInfoList=[])
        first, second = await run(service, anne), await run(service, anne)
        account = await post(service, "/uc/openapi/accountStatus", anne)
        queue = await service.get("/openapi/v2/queue/status", headers={"Authorization": anne})

    assert other_app["code"] == 1000
    assert (first["code"], second["code"]) == (0, 421)
    assert account["data"]["remainCoins"] == "50.000"
    assert account["data"]["currentTaskCounts"] == "1"
    assert queue.json()["data"]["concurrentLimit"] == 2


async def test_without_token_settings_a_users_token_is_still_the_users(serve: Serve) -> None:
    async with serve() as service:
        anne = await user(service, "anne")
        task_id = (await run(service, anne))["data"]["taskId"]
        task = (await service.get(f"/tasks/{task_id}")).json()
        revoked = await post(service, "/task/openapi/status", "rhg_revoked", taskId=task_id)

    assert task["owner"] == "anne"
    assert revoked["code"] == 806
