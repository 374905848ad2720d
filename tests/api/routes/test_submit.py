"""POST /submit_task: what is sent to RunningHub, what is refused before, and repeated requests."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from simulator.apps import ACCESS_PASSWORD, IMAGE_TO_IMAGE, TEXT_TO_IMAGE, WITH_PASSWORD
from tests.api.routes.calls import (
    ID,
    TEXT,
    Board,
    Json,
    Service,
    assert_problem,
    submission,
    submit,
    task_of,
    text_node,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


@pytest.mark.parametrize(
    ("value", "text"),
    [(8, "8"), (True, "true"), (False, "false"), (0.7, "0.7"), (2**63, "9223372036854775808"), ("猫", "猫")],
)
async def test_every_value_goes_up_as_a_string(
    shared: httpx.AsyncClient, board: Board, value: Any, text: str
) -> None:
    answer = await submit(shared, value)
    assert (await board.sent("run"))["nodeInfoList"] == [text_node(text)]
    assert (await task_of(shared, answer["task_id"]))["node_info"] == [text_node(text)]


async def test_only_the_fields_that_are_given_go_up(shared: httpx.AsyncClient, board: Board) -> None:
    node = {"nodeId": "15", "fieldName": "text", "fieldValue": "a cat"}
    for nodes in ([], [node]):
        await shared.post("/submit_task", json={"webappId": TEXT_TO_IMAGE, "nodeInfoList": nodes})
        assert (await board.sent("run"))["nodeInfoList"] == nodes


async def test_instance_type_and_password_are_passed_on_and_the_password_is_nowhere_else(
    service: Service, board: Board
) -> None:
    async with service() as client:
        answer = await submit(
            client, webapp_id=WITH_PASSWORD, instanceType="plus", access_password=ACCESS_PASSWORD
        )
        assert await board.sent("run") == {
            "apiKey": True,
            "webappId": WITH_PASSWORD,
            "nodeInfoList": [text_node()],
            "instanceType": "plus",
            "accessPassword": ACCESS_PASSWORD,
        }
        assert ACCESS_PASSWORD not in json.dumps(await until(client, answer["task_id"], "SUCCESS"))
    assert ACCESS_PASSWORD not in repr(service.rows("SELECT * FROM tasks"))


async def test_unknown_members_of_a_submit_are_ignored_and_named_in_warnings(
    shared: httpx.AsyncClient, board: Board
) -> None:
    body = {**submission(), "instancetype": "plus", "apiKey": "somebody's", "note": {"deep": [1]}}
    response = await shared.post("/submit_task", json=body)
    assert response.status_code == 202
    assert response.json()["warnings"] == [
        {
            "nodeId": None,
            "fieldName": "instancetype",
            "message": "Unknown member, ignored. Did you mean instanceType?",
        },
        {"nodeId": None, "fieldName": "note", "message": "Unknown member, ignored."},
    ]
    assert {"instanceType", "instancetype", "note"} & (await board.sent("run")).keys() == set()


async def test_a_wrong_password_leaves_a_failed_row(shared: httpx.AsyncClient) -> None:
    response = await shared.post("/submit_task", json=submission(webapp_id=WITH_PASSWORD, accessPassword="x"))
    upstream = {"code": 301, "msg": "accessPassword is incorrect"}
    assert_problem(response, "runninghub_rejected", 502, upstream=upstream, task_id=ID)


async def test_a_file_left_at_the_authors_sample_is_a_warning(shared: httpx.AsyncClient) -> None:
    response = await shared.post("/submit_task", json={"webappId": IMAGE_TO_IMAGE, "nodeInfoList": []})
    assert response.status_code == 202
    assert response.json()["warnings"] == [{"nodeId": "39", "fieldName": "image", "message": TEXT}]


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (("3", "steps", "61"), {"msg": "Must be at most 60."}),
        (("3", "steps", 0), {"msg": "Must be at least 1."}),
        (("3", "steps", "many"), {"msg": "Must be a whole number."}),
        (("3", "denoise", "x"), {"msg": "Must be a number."}),
        (("70", "value", "True!"), {"msg": "Must be true or false."}),
        (("60", "resolution", "8k"), {"msg": "Is not one of the choices.", "allowed": ["1k", "2k", "4k"]}),
        (("3", "no_such", "1"), {"msg": "The app has no such field."}),
        (("999", "steps", "1"), {"msg": "The app has no such field."}),
    ],
)
async def test_a_value_that_cannot_work_is_refused_before_anything_is_paid_or_stored(
    client: httpx.AsyncClient, board: Board, node: tuple[str, str, Any], error: Json
) -> None:
    node_id, field_name, value = node
    item = {"nodeId": node_id, "fieldName": field_name, "fieldValue": value}
    response = await client.post("/submit_task", json={"webappId": IMAGE_TO_IMAGE, "nodeInfoList": [item]})
    errors = [{"nodeId": node_id, "fieldName": field_name, **error}]
    assert_problem(response, "invalid_node_info", 422, errors=errors)
    assert (await client.get("/tasks")).json() == {"tasks": [], "next_cursor": None}
    assert await board.calls("run") == 0


async def test_a_refusing_form_is_fetched_anew_before_it_refuses(
    client: httpx.AsyncClient, board: Board
) -> None:
    await client.post("/get_node_info", json={"webappId": TEXT_TO_IMAGE})
    body = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [{**text_node(), "fieldName": "new_field"}]}
    assert (await client.post("/submit_task", json=body)).status_code == 422
    assert await board.calls("apiCallDemo") == 2


@pytest.mark.parametrize("kind", ["http_500_html", "invalid_json", "wrong_types", "close_before"])
async def test_without_a_form_the_check_is_skipped(
    client: httpx.AsyncClient, board: Board, kind: str
) -> None:
    await board.fault("apiCallDemo", kind)
    assert (await submit(client))["status"] == "RUNNING"


async def test_what_runninghub_refuses_names_the_fields_and_leaves_a_failed_row(
    client: httpx.AsyncClient, board: Board
) -> None:
    await board.fault("apiCallDemo", "http_500_html")
    body = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": [{**text_node(), "nodeId": "77"}]}
    response = await client.post("/submit_task", json=body)
    msg = "NODE_INFO_MISMATCH(nodeId=77, fieldName=text, reason=node_not_found_in_workflow)"
    assert_problem(
        response,
        "invalid_node_info",
        422,
        errors=[{"nodeId": "77", "fieldName": "text", "msg": "node_not_found_in_workflow"}],
        upstream={"code": 803, "msg": msg},
        task_id=ID,
    )
    task = await task_of(client, response.json()["task_id"])
    assert task["status"] == "FAILED"
    assert task["error"]["code"] == "invalid_node_info"
    assert task["error"]["message"] == response.json()["detail"]


async def test_the_same_key_and_body_is_the_same_task(shared: httpx.AsyncClient, board: Board) -> None:
    headers = {"Idempotency-Key": "order-7"}
    responses = await asyncio.gather(
        *(shared.post("/submit_task", json=submission(), headers=headers) for _ in range(10))
    )
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["task_id"] for response in responses}) == 1
    assert {response.headers["location"] for response in responses} == {
        f"/tasks/{responses[0].json()['task_id']}"
    }
    await until(shared, responses[0].json()["task_id"], "SUCCESS")
    again = await shared.post(
        "/submit_task",
        json={"webapp_id": int(TEXT_TO_IMAGE), "node_info_list": [text_node()], "apiKey": "x"},
        headers=headers,
    )
    assert again.status_code == 202
    assert again.json() == {**responses[0].json(), "status": "SUCCESS"}
    assert await board.calls("run") == 1


async def test_a_longer_list_with_the_key_of_another_submits_nothing(
    client: httpx.AsyncClient, board: Board
) -> None:
    headers, tasks = {"Idempotency-Key": "k"}, [submission(str(number)) for number in range(3)]
    first = await client.post("/submit_tasks", json={"tasks": tasks[:1]}, headers=headers)
    assert [result["status"] for result in first.json()["results"]] == [202]
    longer = await client.post("/submit_tasks", json={"tasks": tasks}, headers=headers)
    assert_problem(longer, "idempotency_key_reused", 422)
    assert await board.calls("run") == 1


async def test_a_rerun_can_wait_for_its_end_too(client: httpx.AsyncClient) -> None:
    first = await submit(client)
    await until(client, first["task_id"], "SUCCESS")
    response = await client.post(f"/tasks/{first['task_id']}/rerun", params={"wait": 30})
    assert response.status_code == 202
    assert response.json()["status"] == response.json()["task"]["status"] == "SUCCESS"


async def test_a_key_survives_a_restart(service: Service, board: Board) -> None:
    async with service() as client:
        first = await client.post("/submit_task", json=submission(), headers={"Idempotency-Key": "k"})
    async with service() as client:
        again = await client.post("/submit_task", json=submission(), headers={"Idempotency-Key": "k"})
    assert again.json()["task_id"] == first.json()["task_id"]
    assert await board.calls("run") == 1


@pytest.mark.parametrize(("length", "status"), [(0, 422), (1, 202), (255, 202), (256, 422)])
async def test_a_key_has_1_to_255_characters(shared: httpx.AsyncClient, length: int, status: int) -> None:
    headers = {"Idempotency-Key": "x" * length}
    assert (await shared.post("/submit_task", json=submission(), headers=headers)).status_code == status
