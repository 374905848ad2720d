"""A task as the routes show it: its members, its results and why it failed."""

import json

import httpx
import pytest

from simulator.apps import ALWAYS_FAILS, TEXT_TO_IMAGE
from tests.api.routes.calls import (
    ID,
    LONG,
    RUNNINGHUB_ID,
    TEXT,
    TIME,
    Board,
    Json,
    Like,
    assert_problem,
    submit,
    task_of,
    text_node,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


# Its members, for a task with none of the optional ones.
MEMBERS_OF_A_TASK: Json = {
    "id": ID,
    "created_at": TIME,
    "updated_at": TIME,
    "result_data": None,
    "node_info": [text_node()],
    "webapp_id": TEXT_TO_IMAGE,
    "workflow_id": None,
    "runninghub_task_id": RUNNINGHUB_ID,
    "account": "default",
    "owner": None,
    "error": None,
    "waiting": None,
    "queue_position": None,
    "expected_seconds": None,
    "progress": None,
    "outputs": [],
    "cost": None,
    "metadata": None,
    "rerun_of": None,
    "deadline_at": None,
}


async def test_a_finished_task_has_runninghubs_results_and_all_its_members(
    client: httpx.AsyncClient, board: Board
) -> None:
    answer = await submit(client)
    task = await until(client, answer["task_id"], "SUCCESS")
    (running,) = await board.tasks()
    (output,) = task.pop("outputs")
    assert output["url"].startswith(f"/tasks/{task['id']}/outputs/0?expires=")
    assert {"outputs": [], **task} == {
        **MEMBERS_OF_A_TASK,
        "id": answer["task_id"],
        "status": "SUCCESS",
        "result_data": [
            {
                "fileUrl": Like(f"{board.client.base_url}/files/{running['taskId']}_00001.png.q-expires=.*"),
                "fileType": "png",
                "taskCostTime": "1",
                "nodeId": "9",
                "thirdPartyConsumeMoney": None,
                "consumeMoney": None,
                "consumeCoins": "1",
            }
        ],
        "runninghub_task_id": running["taskId"],
        "expected_seconds": 1,
        "cost": {"coins": "1", "money": None, "thirdPartyMoney": None},
    }
    assert task["created_at"] < task["updated_at"]
    assert (await board.client.get(task["result_data"][0]["fileUrl"])).content.startswith(b"\x89PNG")


async def test_a_running_task_has_no_results_and_no_expected_time_yet(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.set(**LONG)
    answer = await submit(client)
    assert await task_of(client, answer["task_id"]) == {
        **MEMBERS_OF_A_TASK,
        "id": answer["task_id"],
        "status": "RUNNING",
        "runninghub_task_id": answer["runninghub_task_id"],
    }


async def test_a_task_without_results_is_a_success_with_an_empty_list(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(outputs_dialect="zero_empty")
    answer = await submit(shared)
    assert (await until(shared, answer["task_id"], "SUCCESS"))["result_data"] == []


@pytest.mark.parametrize("dialect", ["wss", "no_wss", "zero_null"])
async def test_a_task_goes_from_queued_over_running_to_success_in_each_dialect(
    client: httpx.AsyncClient, board: Board, dialect: str
) -> None:
    await board.set(outputs_dialect=dialect, queue_time=0.2, run_time=0.3)
    answer = await submit(client)
    assert answer["status"] == "QUEUED"
    await until(client, answer["task_id"], "RUNNING")
    await until(client, answer["task_id"], "SUCCESS")


async def test_a_failed_task_says_which_node_broke_and_shows_no_traceback(shared: httpx.AsyncClient) -> None:
    answer = await submit(shared, webapp_id=ALWAYS_FAILS)
    task = await until(shared, answer["task_id"], "FAILED")
    assert task["error"] == {
        "code": "run_failed",
        "message": "Allocation on device",
        "node_id": "3",
        "node_name": "KSampler",
    }
    assert task["result_data"] is None
    assert "execution.py" not in json.dumps(task)


async def test_a_failure_without_a_reason_still_has_a_message(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(fail_next=1, fail_reason="null")
    answer = await submit(shared)
    task = await until(shared, answer["task_id"], "FAILED")
    assert task["error"] == {"code": "run_failed", "message": TEXT, "node_id": None, "node_name": None}


async def test_node_errors_beside_code_0_are_the_error_if_the_task_then_fails(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(prompt_tips_errors=True, fail_next=1)
    answer = await submit(shared)
    task = await until(shared, answer["task_id"], "FAILED")
    assert task["error"] == {
        "code": "run_failed",
        "message": "Required input is missing: images",
        "node_id": "9",
        "node_name": "SaveImage",
    }


async def test_node_errors_beside_code_0_do_no_harm_to_a_task_that_succeeds(
    shared: httpx.AsyncClient, board: Board
) -> None:
    await board.set(prompt_tips_errors=True)
    answer = await submit(shared)
    assert (await until(shared, answer["task_id"], "SUCCESS"))["error"] is None


async def test_a_final_status_never_changes_whoever_asks(client: httpx.AsyncClient, board: Board) -> None:
    answer = await submit(client)
    task = await until(client, answer["task_id"], "SUCCESS")
    await board.set(forget_tasks=True)
    asked = [task["polls"] for task in await board.tasks()]
    queried = await client.post("/task/query_task_status", json={"taskId": task["id"]})
    assert queried.json() == task
    assert_problem(await client.post(f"/tasks/{task['id']}/cancel"), "not_cancellable", 409)
    assert await task_of(client, task["id"]) == task
    assert [task["polls"] for task in await board.tasks()] == asked
