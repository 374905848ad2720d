"""POST /tasks/{task_id}/cancel."""

import asyncio

import httpx
import pytest

from tests.api.routes.calls import (
    LONG,
    Board,
    Service,
    ended_at_runninghub,
    eventually,
    submit,
    task_of,
    unknown_task,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


async def test_a_waiting_task_is_cancelled_without_runninghub(service: Service, board: Board) -> None:
    await board.set(**LONG)
    async with service(max_concurrent_tasks=1) as client:
        await submit(client)
        waiting = await submit(client, "second")
        response = await client.post(f"/tasks/{waiting['task_id']}/cancel")
        assert response.status_code == 200
        assert response.json() == await task_of(client, waiting["task_id"])
        assert (response.json()["status"], response.json()["queue_position"]) == ("CANCELLED", None)
    assert (await board.calls("cancel"), await board.calls("run")) == (0, 1)


async def test_a_running_task_is_cancelled_at_runninghub(client: httpx.AsyncClient, board: Board) -> None:
    await board.set(**LONG)
    answer = await submit(client)
    response = await client.post(f"/tasks/{answer['task_id']}/cancel")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["error"]) == ("CANCELLED", None)
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


async def test_a_cancel_during_the_paid_call_is_passed_on_after_it(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(run_latency=0.3, **LONG)
    submitting = asyncio.create_task(submit(client))

    async def is_submitting() -> bool:
        return bool((await client.get("/tasks?status=SUBMITTING")).json()["tasks"])

    await eventually(is_submitting)
    (task,) = (await client.get("/tasks")).json()["tasks"]
    assert (await client.post(f"/tasks/{task['id']}/cancel")).status_code == 200
    await submitting
    await until(client, task["id"], "CANCELLED")
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


async def test_a_cancel_that_comes_after_the_end_ends_as_runninghub_says(
    service: Service, board: Board
) -> None:
    async with service(poll_interval_s=600, poll_interval_max_s=600) as client:
        answer = await submit(client)
        await ended_at_runninghub(board)
        response = await client.post(f"/tasks/{answer['task_id']}/cancel")
        assert (response.status_code, response.json()["status"]) == (200, "SUCCESS")


async def test_a_cancel_that_runninghub_does_not_take_is_kept_until_it_is_confirmed(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(**LONG)
    answer = await submit(client)
    await board.fault("cancel", "http_502_html", times=2)
    response = await client.post(f"/tasks/{answer['task_id']}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "RUNNING")
    await until(client, answer["task_id"], "CANCELLED")
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]


async def test_a_cancel_of_an_unknown_submit_is_kept_until_it_is_settled(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(**LONG)
    task_id = await unknown_task(client, board)
    response = await client.post(f"/tasks/{task_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "SUBMIT_UNKNOWN")
    (running,) = await board.tasks()
    await client.post(f"/tasks/{task_id}/settle", json={"runninghub_task_id": running["taskId"]})
    await until(client, task_id, "CANCELLED")
    assert [task["status"] for task in await board.tasks()] == ["CANCEL"]
