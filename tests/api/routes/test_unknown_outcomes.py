"""POST /submit_task when RunningHub gives no usable response to the paid call."""

import pytest

from tests.api.routes.calls import (
    ID,
    Board,
    Json,
    Service,
    assert_problem,
    submission,
    submit,
    task_of,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.mark.parametrize(
    ("kind", "details", "code", "status"),
    [
        ("lost_reply", {}, "runninghub_timeout", 504),
        ("lost_reply", {"reset": True}, "runninghub_timeout", 504),
        ("close_before", {}, "runninghub_timeout", 504),
        ("hang", {}, "runninghub_timeout", 504),
        ("slow_bytes", {"seconds": 0.2}, "runninghub_timeout", 504),
        ("http_500_html", {}, "runninghub_unavailable", 503),
        ("http_502_html", {}, "runninghub_unavailable", 503),
        ("http_504_html", {"handled": True}, "runninghub_unavailable", 503),
        ("html_200", {}, "runninghub_unavailable", 503),
        ("invalid_json", {"handled": True}, "runninghub_unavailable", 503),
        ("empty", {}, "runninghub_unavailable", 503),
        ("wrong_types", {}, "runninghub_unavailable", 503),
        ("huge", {"megabytes": 20}, "runninghub_unavailable", 503),
    ],
)
async def test_a_paid_call_without_a_usable_answer_is_unknown_and_never_sent_again(
    service: Service, board: Board, kind: str, details: Json, code: str, status: int
) -> None:
    async with service(runninghub_timeout_s=1) as client:
        await board.fault("run", kind, **details)
        response = await client.post("/submit_task", json=submission())
        assert_problem(response, code, status, task_id=ID)
        assert response.headers["retry-after"].isdecimal()
        task_id = response.json()["task_id"]
    await board.set(faults={})
    async with service() as client:
        task = await task_of(client, task_id)
        assert (task["status"], task["error"]["code"]) == ("SUBMIT_UNKNOWN", code)
        assert task["runninghub_task_id"] is None
        last = await submit(client, "the next one")
        await until(client, last["task_id"], "SUCCESS")
        later = await task_of(client, task_id)
        assert later == {**task, "expected_seconds": later["expected_seconds"]}
    assert await board.calls("run") == 2
