"""POST /tasks/{task_id}/settle: a person decides about a task whose outcome is unknown."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.routes.calls import (
    TEXT,
    Board,
    Json,
    Service,
    assert_problem,
    eventually,
    submission,
    task_of,
    unknown_task,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.mark.parametrize("kind", [str, int])
async def test_a_person_settles_an_unknown_task_with_its_id_and_polling_resumes(
    client: httpx.AsyncClient, board: Board, kind: Callable[[str], Any]
) -> None:
    task_id = await unknown_task(client, board)
    (running,) = await board.tasks()
    body = {"runninghub_task_id": kind(running["taskId"])}
    response = await client.post(f"/tasks/{task_id}/settle", json=body)
    assert response.status_code == 200
    assert response.json()["runninghub_task_id"] == running["taskId"]
    assert response.json()["error"] is None
    await until(client, task_id, "SUCCESS")
    assert await board.calls("run") == 1


async def test_a_person_sends_an_unknown_task_again(client: httpx.AsyncClient, board: Board) -> None:
    await board.fault("run", "close_before", times=1)
    response = await client.post("/submit_task", json=submission())
    task_id = response.json()["task_id"]
    settled = await client.post(f"/tasks/{task_id}/settle", json={"resubmit": True})
    assert settled.status_code == 200
    assert settled.json()["status"] in {"PENDING", "SUBMITTING", "RUNNING"}
    await until(client, task_id, "SUCCESS")
    assert len(await board.tasks()) == 1


async def test_a_task_that_is_sent_again_forgets_an_earlier_cancel(service: Service, board: Board) -> None:
    await board.fault("run", "hang", handled=False, times=1)
    async with service(runninghub_timeout_s=1) as client:
        submitting = asyncio.create_task(client.post("/submit_task", json=submission()))

        async def is_submitting() -> bool:
            return bool((await client.get("/tasks?status=SUBMITTING")).json()["tasks"])

        await eventually(is_submitting)
        (task,) = (await client.get("/tasks")).json()["tasks"]
        await client.post(f"/tasks/{task['id']}/cancel")
        assert (await submitting).status_code == 504
        await client.post(f"/tasks/{task['id']}/settle", json={"resubmit": True})
        await until(client, task["id"], "SUCCESS")


@pytest.mark.parametrize("body", [{}, {"resubmit": False}, {"resubmit": True, "runninghub_task_id": "1"}])
async def test_settling_takes_exactly_one_decision(
    client: httpx.AsyncClient, board: Board, body: Json
) -> None:
    task_id = await unknown_task(client, board)
    response = await client.post(f"/tasks/{task_id}/settle", json=body)
    assert_problem(response, "invalid_request", 422, errors=[{"loc": ["body"], "msg": TEXT}])
    assert (await task_of(client, task_id))["status"] == "SUBMIT_UNKNOWN"
