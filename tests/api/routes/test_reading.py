"""POST /task/query_task_status, GET /tasks/{task_id} and GET /tasks."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.apps import ALWAYS_FAILS
from tests.api.routes.calls import (
    ID,
    LONG,
    TEXT,
    Board,
    Service,
    assert_problem,
    ended_at_runninghub,
    submit,
    task_of,
    text_node,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


# POST /task/query_task_status


async def test_a_query_asks_runninghub_now_and_stores_what_it_says(service: Service, board: Board) -> None:
    async with service(poll_interval_s=600, poll_interval_max_s=600) as client:
        answer = await submit(client)
        await ended_at_runninghub(board)
        response = await client.post("/task/query_task_status", json={"taskId": answer["task_id"]})
        assert response.status_code == 200
        assert response.json()["status"] == "SUCCESS"
        assert await task_of(client, answer["task_id"]) == response.json()


async def test_a_task_that_only_runninghub_knows_is_imported(
    service: Service, board: Board, tmp_path: Path
) -> None:
    async with service() as client:
        known = await submit(client)
        await until(client, known["task_id"], "SUCCESS")
    (tmp_path / "tasks.db").rename(tmp_path / "old.db")
    for name in ("tasks.db-wal", "tasks.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    async with service() as client:
        task_id = int(known["runninghub_task_id"])
        response = await client.post("/task/query_task_status", json={"taskId": task_id})
        assert response.status_code == 200
        taken_in = response.json()
        assert (taken_in["status"], taken_in["webapp_id"], taken_in["node_info"]) == ("SUCCESS", None, [])
        assert taken_in["id"] == ID
        assert taken_in["runninghub_task_id"] == known["runninghub_task_id"]
        assert len(taken_in["result_data"]) == 1
        assert (await client.get("/tasks")).json()["tasks"] == [taken_in]


# GET /tasks/{task_id}


async def test_reading_a_task_does_not_ask_runninghub(service: Service, board: Board) -> None:
    await board.set(**LONG)
    async with service(poll_interval_s=600, poll_interval_max_s=600) as client:
        answer = await submit(client)
        for _ in range(5):
            await task_of(client, answer["task_id"])
    assert [task["polls"] for task in await board.tasks()] == [0]


async def test_a_wait_answers_at_the_change_or_at_its_end(client: httpx.AsyncClient, board: Board) -> None:
    await board.set(run_time=0.3)
    answer = await submit(client)
    path = f"/tasks/{answer['task_id']}"
    early = await client.get(path, params={"wait": 0.05})
    assert early.json()["status"] == "RUNNING"
    async with asyncio.timeout(20):
        assert (await client.get(path, params={"wait": 60})).json()["status"] == "SUCCESS"
        assert (await client.get(path, params={"wait": 60})).json()["status"] == "SUCCESS"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "x"])
async def test_a_wait_is_between_0_and_60_seconds(shared: httpx.AsyncClient, wait: str) -> None:
    answer = await submit(shared)
    response = await shared.get(f"/tasks/{answer['task_id']}", params={"wait": wait})
    errors = [{"loc": ["query", "wait"], "msg": TEXT}]
    assert_problem(response, "invalid_request", 422, errors=errors)


# GET /tasks


async def test_pages_are_newest_first_and_stable_while_tasks_arrive(service: Service, board: Board) -> None:
    await board.set(**LONG)
    async with service() as client:
        first = [(await submit(client, str(number)))["task_id"] for number in range(7)]
        seen: list[str] = []
        cursor: str | None = None
        sizes = []
        while True:
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/tasks", params=params)).json()
            assert list(page) == ["tasks", "next_cursor"]
            seen += [task["id"] for task in page["tasks"]]
            sizes.append(len(page["tasks"]))
            if (cursor := page["next_cursor"]) is None:
                break
            await submit(client, "a later one")
        assert seen == first[::-1]
        assert sizes == [3, 3, 1]
        newest = (await client.get("/tasks", params={"limit": 1})).json()["tasks"][0]
        assert newest == await task_of(client, newest["id"])
        assert newest["node_info"] == [text_node("a later one")]


async def test_a_page_that_ends_exactly_at_the_last_task_has_no_next(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await submit(client)
    assert (await client.get("/tasks", params={"limit": 2})).json()["next_cursor"] is None


async def test_tasks_are_filtered_by_status_and_app(client: httpx.AsyncClient) -> None:
    done = await submit(client)
    failed = await submit(client, webapp_id=ALWAYS_FAILS)
    await until(client, done["task_id"], "SUCCESS")
    await until(client, failed["task_id"], "FAILED")

    async def ids(**params: Any) -> list[str]:
        response = await client.get("/tasks", params=params)
        assert response.status_code == 200
        return [task["id"] for task in response.json()["tasks"]]

    assert await ids(status="SUCCESS") == [done["task_id"]]
    assert await ids(status=["SUCCESS", "FAILED"]) == [failed["task_id"], done["task_id"]]
    assert await ids(webapp_id=ALWAYS_FAILS) == [failed["task_id"]]
    assert await ids(webapp_id=ALWAYS_FAILS, status="SUCCESS") == []
    assert await ids(status="PENDING") == []


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("limit=0", ["query", "limit"]),
        ("limit=201", ["query", "limit"]),
        ("status=DONE", ["query", "status", 0]),
        ("cursor=x", ["query", "cursor"]),
        ("created_after=0001-01-01T00:00:00%2B10:00", ["query", "created_after"]),
        ("created_before=9999-12-31T23:59:59-10:00", ["query", "created_before"]),
    ],
)
async def test_a_list_query_that_does_not_fit_is_refused(
    shared: httpx.AsyncClient, query: str, loc: list[Any]
) -> None:
    assert (await shared.get("/tasks?limit=200")).status_code == 200
    response = await shared.get(f"/tasks?{query}")
    assert_problem(response, "invalid_request", 422, errors=[{"loc": loc, "msg": TEXT}])


@pytest.mark.parametrize(
    "path",
    [
        "/tasks?status=&webapp_id=&owner=&created_after=&created_before=&limit=&cursor=",
        "/webapps?source=used&limit=&cursor=",
        "/usage?from=&to=",
    ],
)
async def test_a_parameter_without_a_value_counts_as_left_out(shared: httpx.AsyncClient, path: str) -> None:
    response = await shared.get(path)
    assert (response.status_code, response.json()) == (
        200,
        (await shared.get(path.partition("?")[0])).json(),
    )


async def test_an_unknown_query_parameter_of_a_list_is_refused(shared: httpx.AsyncClient) -> None:
    response = await shared.get("/tasks?satus=FAILED&limit=1")
    assert_problem(
        response, "invalid_request", 422, errors=[{"loc": ["query", "satus"], "msg": "Unknown parameter"}]
    )
