"""POST /submit_task when RunningHub takes no further run, or cannot be reached: the task waits."""

import asyncio

import httpx
import pytest

from tests.api.routes.calls import ID, LONG, Board, Service, submit, task_of, until
from tests.processes import free_port, start_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.mark.parametrize("dialect", ["421", "415", "814", "1003", "1520", "http_429"])
async def test_runninghubs_limits_are_a_wait_and_no_error(
    client: httpx.AsyncClient, board: Board, dialect: str
) -> None:
    await board.set(slots=1, slots_dialect=dialect, run_time=0.2)
    first = await submit(client, "first")
    second = await submit(client, "second")
    assert second == {
        "task_id": ID,
        "status": "PENDING",
        "runninghub_task_id": None,
        "queue_position": 1,
        "warnings": [],
    }
    await until(client, first["task_id"], "SUCCESS")
    await until(client, second["task_id"], "SUCCESS")


async def test_waiting_tasks_have_their_place_and_go_first_in_first_out(
    service: Service, board: Board
) -> None:
    await board.set(**LONG)
    async with service(max_concurrent_tasks=1) as client:
        running = await submit(client, "0")
        answers = [await submit(client, str(number)) for number in range(1, 4)]
        assert [answer["queue_position"] for answer in answers] == [1, 2, 3]
        await client.post(f"/tasks/{answers[0]['task_id']}/cancel")
        places = [(await task_of(client, answer["task_id"]))["queue_position"] for answer in answers]
        assert places == [None, 1, 2]
        await client.post(f"/tasks/{running['task_id']}/cancel")
        await until(client, answers[1]["task_id"], "RUNNING")
        assert (await task_of(client, answers[2]["task_id"]))["queue_position"] == 1
    assert [task["nodeInfoList"][0]["fieldValue"] for task in await board.tasks()] == ["0", "2"]


async def test_never_more_than_max_concurrent_tasks_run(service: Service, board: Board) -> None:
    await board.set(run_time=0.2)
    async with service(max_concurrent_tasks=2) as client:
        answers = await asyncio.gather(*(submit(client, str(number)) for number in range(8)))
        for answer in answers:
            await until(client, answer["task_id"], "SUCCESS")
    counters = (await board.client.get("/simulator/counters")).json()
    assert (counters["max_active"], counters["runs_accepted"]) == (2, 8)


async def test_a_runninghub_that_is_not_reached_was_sent_nothing(service: Service) -> None:
    port = free_port()
    async with service(runninghub_base_url=f"http://127.0.0.1:{port}") as client:
        answer = await submit(client)
        assert (answer["status"], answer["queue_position"]) == ("PENDING", 1)
        assert (await task_of(client, answer["task_id"]))["waiting"]["code"] == "runninghub_unavailable"
        with start_simulator(port=port, queue_time=0, run_time=0.02) as simulator:
            await until(client, answer["task_id"], "SUCCESS")
            async with httpx.AsyncClient(base_url=simulator.url) as board:
                counters = (await board.get("/simulator/counters")).json()
    assert counters["calls"]["run"] == 1
