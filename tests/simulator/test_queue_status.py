"""queue/status: the limit of a key and its tasks now, in numbers, in strings, or not there."""

from typing import Any

import httpx
import pytest

from simulator.app import create_app
from tests.simulator.calls import Clock, Json, client_of, envelope, start, switch

pytestmark = pytest.mark.anyio


async def queue_status(client: httpx.AsyncClient, authorization: str = "Bearer key") -> Json:
    response = await client.get("/openapi/v2/queue/status", headers={"Authorization": authorization})
    assert response.status_code == 200
    return response.json()  # type: ignore[no-any-return]


def reported(limit: Any, running: Any, queued: Any, total: Any) -> Json:
    data = {
        "apiKeyType": "NORMAL",
        "concurrentLimit": limit,
        "runningCount": running,
        "queuedCount": queued,
        "totalCurrentTasks": total,
    }
    return {"code": 0, "message": "success", "data": data}


@pytest.mark.parametrize("authorization", ["Bearer key", "bearer key", "key"])
async def test_the_limit_and_the_tasks_of_a_key_are_reported(
    client: httpx.AsyncClient, clock: Clock, authorization: str
) -> None:
    await start(client)
    clock.now += 2
    await start(client)
    await start(client, apiKey="another key")
    assert await queue_status(client, authorization) == reported(3, 1, 1, 2)
    clock.now += 60
    assert await queue_status(client, authorization) == reported(3, 0, 0, 0)


async def test_an_account_may_report_a_limit_that_its_slots_do_not_have(client: httpx.AsyncClient) -> None:
    await switch(client, slots=0, queue_status="strings", accounts={"key": {"slots": 2}})
    assert await queue_status(client) == reported("2", "0", "0", "0")
    await switch(client, accounts={"key": {"concurrent_limit": 50}})
    assert (await queue_status(client))["data"]["concurrentLimit"] == "50"
    assert (await queue_status(client, "another key"))["data"]["concurrentLimit"] == "9999"


async def test_it_may_not_be_there(client: httpx.AsyncClient) -> None:
    await switch(client, queue_status="hidden")
    assert await queue_status(client) == envelope(412, "TOKEN_INVALID")
    await switch(client, queue_status="http_404")
    assert (await client.get("/openapi/v2/queue/status")).status_code == 404


async def test_a_key_in_the_header_is_needed() -> None:
    refused = {"code": 401, "message": "ApiKey verification failed", "data": None}
    async with client_of(create_app(keys=frozenset({"good"}))) as client:
        assert await queue_status(client, "") == refused
        assert await queue_status(client, "Bearer bad") == refused
        assert (await queue_status(client, "Bearer good"))["code"] == 0
