"""Users' tokens as keys: a user sees only their own tasks on RunningHub's routes, too."""

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from simulator.workflows import TEXT_TO_IMAGE_WORKFLOW
from tests.compat.conftest import TOKEN, Json, Serve, switch
from tests.processes import API_KEY

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


async def test_no_byte_that_a_client_receives_is_the_services_key(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, run_time=0)
    app, workflow = {"webappId": TEXT_TO_IMAGE}, {"workflowId": TEXT_TO_IMAGE_WORKFLOW}
    task_id = (await run(guarded, TOKEN))["data"]["taskId"]
    calls: list[tuple[str, str, Json]] = [
        ("GET", "/api/webapp/apiCallDemo", {"params": {"apiKey": TOKEN, **app}}),
        ("GET", "/openapi/v2/queue/status", {}),
        ("POST", "/task/openapi/upload", {"files": {"file": ("a.png", b"some bytes")}}),
        ("POST", "/openapi/v2/media/upload/binary", {"files": {"file": ("a.png", b"some bytes")}}),
        *(
            ("POST", path, {"json": body})
            for path, body in (
                ("/task/openapi/ai-app/run", app),
                ("/task/openapi/create", workflow),
                ("/task/openapi/status", {"taskId": task_id}),
                ("/task/openapi/outputs", {"taskId": task_id}),
                ("/task/openapi/cancel", {"taskId": task_id}),
                ("/uc/openapi/accountStatus", {}),
                ("/api/openapi/getJsonApiFormat", workflow),
                (f"/openapi/v2/run/ai-app/{TEXT_TO_IMAGE}", {"nodeInfoList": []}),
                (f"/openapi/v2/run/workflow/{TEXT_TO_IMAGE_WORKFLOW}", {}),
                ("/openapi/v2/vendor/some-model/text-to-image", {"prompt": "a cat"}),
                ("/openapi/v2/query", {"taskId": task_id}),
                ("/openapi/v2/aiapp/list", {"current": 1}),
                ("/task/openapi/unknown", {}),
            )
        ),
    ]
    for method, path, sent in calls:
        response = await guarded.request(method, path, headers=OPERATOR, **sent)

        assert response.status_code == 200, path
        assert API_KEY not in response.text + str(response.headers.raw), path


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
