"""POST /webhooks/runninghub/{task_id}/{signature}."""

import httpx
import pytest

from tests.api.routes.calls import (
    Board,
    Service,
    assert_problem,
    ended_at_runninghub,
    eventually,
    submit,
    task_of,
    unknown_task,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


WEBHOOKS = {
    "public_url": "http://127.0.0.1:9/app",
    "poll_interval_s": 600,
    "poll_interval_max_s": 600,
}


async def webhook_path(board: Board) -> str:
    await board.set(webhook="off")
    (task,) = await board.tasks()
    path: str = task["webhookUrl"].removeprefix("http://127.0.0.1:9/app")
    return path


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"taskId": 5}', b'{"event":"TASK_END","eventData":"{}"}', b"\xff" * 100]
)
async def test_a_webhook_makes_a_poll_due_whatever_its_body_holds(
    service: Service, board: Board, body: bytes
) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        answer = await submit(client)
        path = await webhook_path(board)
        assert path.startswith(f"/webhooks/runninghub/{answer['task_id']}/")
        await ended_at_runninghub(board)
        response = await client.post(path, content=body)
        assert (response.status_code, response.content) == (204, b"")
        await until(client, answer["task_id"], "SUCCESS")


async def test_early_late_and_repeated_webhooks_do_no_harm(service: Service, board: Board) -> None:
    await board.set(webhook="off", run_time=0.4)
    async with service(**WEBHOOKS) as client:
        answer = await submit(client)
        path = await webhook_path(board)
        early = await client.post(path, json={"event": "TASK_END", "eventData": '{"code":805}'})
        assert early.status_code == 204
        await ended_at_runninghub(board)
        for _ in range(3):
            assert (await client.post(path, json={})).status_code == 204
        task = await until(client, answer["task_id"], "SUCCESS")
        assert (await client.post(path, json={"taskId": "1"})).status_code == 204
        assert await task_of(client, answer["task_id"]) == task


async def test_a_forged_webhook_is_not_found_and_asks_nothing(service: Service, board: Board) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        answer = await submit(client)
        path = await webhook_path(board)
        await ended_at_runninghub(board)
        signature = path.rpartition("/")[2]
        for task_id, word in [
            (answer["task_id"], "0" * 64),
            (answer["task_id"], signature[:-1] + ("0" if signature[-1] != "0" else "1")),
            (answer["runninghub_task_id"], signature),
            (answer["task_id"], "é"),
            ("0" * 32, signature),
        ]:
            response = await client.post(f"/webhooks/runninghub/{task_id}/{word}", json={})
            assert_problem(response, "task_not_found", 404)
        assert (await task_of(client, answer["task_id"]))["status"] == "RUNNING"
    assert [task["polls"] for task in await board.tasks()] == [0]


async def test_a_forged_webhook_is_refused_before_its_size_is_looked_at(shared: httpx.AsyncClient) -> None:
    response = await shared.post(f"/webhooks/runninghub/1/{'0' * 64}", content=bytes(5_000_000))
    assert_problem(response, "task_not_found", 404)


async def test_a_webhook_settles_a_task_whose_paid_call_got_no_answer(service: Service, board: Board) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        task_id = await unknown_task(client, board)
        path = await webhook_path(board)
        await ended_at_runninghub(board)
        (running,) = await board.tasks()
        await client.post(path, json={"event": "TASK_END", "taskId": running["taskId"]})
        task = await until(client, task_id, "SUCCESS")
        assert task["runninghub_task_id"] == running["taskId"]
        assert task["error"] is None
    assert await board.calls("run") == 1


async def test_a_webhook_with_a_wrong_id_leaves_an_unknown_task_unknown(
    service: Service, board: Board
) -> None:
    await board.set(webhook="off")
    async with service(**WEBHOOKS) as client:
        task_id = await unknown_task(client, board)
        path = await webhook_path(board)
        await client.post(path, json={"taskId": "1234567890"})

        async def runninghub_does_not_know_it() -> bool:
            health = (await client.get("/health")).json()
            return bool(health["runninghub_last_answer"]["upstream_code"] == "807")

        await eventually(runninghub_does_not_know_it)
        assert (await task_of(client, task_id))["status"] == "SUBMIT_UNKNOWN"


async def test_without_a_public_url_no_webhook_is_requested(shared: httpx.AsyncClient, board: Board) -> None:
    await submit(shared)
    assert "webhookUrl" not in await board.sent("run")
