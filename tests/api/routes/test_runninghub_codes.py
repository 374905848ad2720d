"""What RunningHub's codes and faults become in the routes' responses."""

import httpx
import pytest

from simulator.apps import TEXT_TO_IMAGE
from tests.api.routes.calls import (
    ID,
    PNG,
    Board,
    Service,
    assert_problem,
    eventually,
    submission,
    submit,
    task_of,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.mark.parametrize(
    ("upstream", "code", "status"),
    [
        (433, "invalid_node_info", 422),
        (803, "invalid_node_info", 422),
        (1101, "invalid_node_info", 422),
        (901, "webapp_not_found", 404),
        *((number, "runninghub_rejected", 502) for number in (301, 435, 810, 1007)),
    ],
)
async def test_a_refusal_leaves_a_failed_row_with_the_same_code(
    shared: httpx.AsyncClient, board: Board, upstream: int, code: str, status: int
) -> None:
    await board.fault("run", "code", code=upstream, msg="SAID SO")
    response = await shared.post("/submit_task", json=submission())
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["upstream"] == {"code": upstream, "msg": "SAID SO"}
    task = await task_of(shared, response.json()["task_id"])
    assert (task["status"], task["error"]["code"]) == ("FAILED", code)
    assert task["error"]["message"] == response.json()["detail"]
    assert await board.calls("run") == 1


@pytest.mark.parametrize(
    ("upstream", "reason"),
    [
        *((number, "insufficient_balance") for number in (414, 416, 605, 812)),
        *((number, "key_refused") for number in (-1, 401, 801, 802, 806, 811, 1002, 1014)),
    ],
)
async def test_what_is_wrong_with_the_account_leaves_the_task_waiting_with_the_reason(
    client: httpx.AsyncClient, service: Service, board: Board, upstream: int, reason: str
) -> None:
    await board.fault("*", "code", code=upstream, msg="SAID SO")
    answer = await submit(client)
    assert (answer["status"], answer["queue_position"]) == ("PENDING", 1)

    async def is_probed() -> bool:
        """The account has been probed too, and with the same outcome."""
        waiting = (await task_of(client, answer["task_id"]))["waiting"]
        assert waiting["code"] == reason
        return bool(waiting["next_try_at"] > waiting["since"])

    await eventually(is_probed)
    await board.set(faults={})
    service.rows("UPDATE accounts SET next_probe_ms = 0")  # as if the next probe's time had come
    await until(client, answer["task_id"], "SUCCESS")
    assert await board.calls("run") == 2


@pytest.mark.parametrize("upstream", [500, 1000, 1005, 1010, 1011, 1012])
async def test_a_code_that_leaves_open_whether_it_runs_makes_the_outcome_unknown(
    client: httpx.AsyncClient, board: Board, upstream: int
) -> None:
    await board.fault("run", "code", code=upstream, msg="SAID SO")
    response = await client.post("/submit_task", json=submission())
    assert_problem(
        response,
        "runninghub_unavailable",
        503,
        task_id=ID,
        upstream={"code": upstream, "msg": "SAID SO"},
    )
    assert (await task_of(client, response.json()["task_id"]))["status"] == "SUBMIT_UNKNOWN"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("http_500_html", "runninghub_unavailable", 503),
        ("http_429", "runninghub_rejected", 502),
        ("http_401", "runninghub_rejected", 502),
        ("html_200", "runninghub_unavailable", 503),
        ("invalid_json", "runninghub_unavailable", 503),
        ("empty", "runninghub_unavailable", 503),
        ("close_before", "runninghub_unavailable", 503),
        ("huge", "runninghub_unavailable", 503),
        ("hang", "runninghub_timeout", 504),
        ("wrong_types", "", 0),
    ],
)
@pytest.mark.parametrize("route", ["node_info", "upload", "query", "account"])
async def test_whatever_runninghub_answers_the_client_gets_the_tables_problem(
    service: Service, board: Board, route: str, kind: str, code: str, status: int
) -> None:
    details = {"megabytes": 20} if kind == "huge" else {}
    async with service(runninghub_timeout_s=0.3 if kind == "hang" and route != "upload" else 30) as client:
        await board.fault("*", kind, **({"seconds": 0.1} if route == "upload" else {}), **details)
        response = await {
            "node_info": lambda: client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE}),
            "upload": lambda: client.post("/upload", files={"file": ("a.png", PNG)}),
            "query": lambda: client.post("/task/query_task_status", json={"taskId": "1" * 19}),
            "account": lambda: client.get("/account"),
        }[route]()
    if kind == "wrong_types" or (kind == "hang" and route == "upload"):
        assert response.status_code in {200, 502, 503}
        return
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
