"""Every spelling of members and ids that the routes accept."""

from typing import Any

import httpx
import pytest

from simulator.apps import APPS, TEXT_TO_IMAGE
from tests.api.routes.calls import (
    ID,
    RUNNINGHUB_ID,
    Board,
    Json,
    assert_problem,
    submission,
    submit,
    text_node,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.mark.parametrize(
    "body",
    [
        {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [text_node()]},
        {
            "webapp_id": TEXT_TO_IMAGE,
            "node_info_list": [
                {"node_id": "15", "field_name": "text", "field_type": "STRING", "field_value": "a cat"}
            ],
        },
        {"webappId": int(TEXT_TO_IMAGE), "nodeInfoList": [{**text_node(), "nodeId": 15}]},
        {**submission(), "apiKey": "somebody's"},
    ],
    ids=["camelCase", "snake_case", "integers", "API key"],
)
async def test_a_submit_is_understood_in_every_spelling(
    shared: httpx.AsyncClient, board: Board, body: Json
) -> None:
    response = await shared.post("/submit_task", json=body)
    assert response.status_code == 202
    assert response.json() == {
        "task_id": ID,
        "status": "RUNNING",
        "runninghub_task_id": RUNNINGHUB_ID,
        "queue_position": None,
        "warnings": [],
    }
    assert response.headers["location"] == f"/tasks/{response.json()['task_id']}"
    assert await board.sent("run") == {
        "apiKey": True,
        "webappId": TEXT_TO_IMAGE,
        "nodeInfoList": [text_node()],
    }


@pytest.mark.parametrize("name", ["webappId", "webapp_id"])
@pytest.mark.parametrize("webapp_id", [TEXT_TO_IMAGE, int(TEXT_TO_IMAGE)])
async def test_an_app_is_asked_for_in_every_spelling(
    shared: httpx.AsyncClient, name: str, webapp_id: Any
) -> None:
    response = await shared.post("/get_node_info", json={name: webapp_id, "apiKey": "x"})
    assert response.status_code == 200
    assert response.json()["webappId"] == TEXT_TO_IMAGE


@pytest.mark.parametrize("name", ["taskId", "task_id"])
async def test_a_task_is_asked_for_by_either_id_in_every_spelling(
    shared: httpx.AsyncClient, name: str
) -> None:
    answer = await submit(shared)
    expected = await until(shared, answer["task_id"], "SUCCESS")
    for task_id in (answer["task_id"], answer["runninghub_task_id"], int(answer["runninghub_task_id"])):
        response = await shared.post("/task/query_task_status", json={name: task_id, "apiKey": "x"})
        assert response.status_code == 200
        assert response.json() == expected


@pytest.mark.parametrize("action", ["", "/events"])
async def test_a_path_takes_runninghubs_id_as_well(shared: httpx.AsyncClient, action: str) -> None:
    answer = await submit(shared)
    await until(shared, answer["task_id"], "SUCCESS")
    ours = await shared.get(f"/tasks/{answer['task_id']}{action}")
    theirs = await shared.get(f"/tasks/{answer['runninghub_task_id']}{action}")
    assert theirs.status_code == 200
    assert theirs.text == ours.text


async def test_an_id_that_is_a_float_is_refused_since_digits_are_lost_already(
    shared: httpx.AsyncClient,
) -> None:
    response = await shared.post("/get_node_info", json={"webappId": 1.992755951447109633e18})
    assert_problem(
        response,
        "invalid_request",
        422,
        errors=[{"loc": ["body", "webappId"], "msg": "Input should be a valid string"}],
    )


def has_long_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_long_number, value.values()))
    if isinstance(value, list):
        return any(map(has_long_number, value))
    return isinstance(value, int | float) and abs(value) > 2**53


@pytest.mark.parametrize("webapp_id", APPS)
async def test_no_form_holds_a_number_that_javascript_rounds(
    shared: httpx.AsyncClient, webapp_id: str
) -> None:
    form = (await shared.post("/get_node_info", json={"webappId": webapp_id})).json()
    assert not has_long_number(form)
