"""Bodies that are no valid request."""

import json

import httpx
import pytest

from tests.api.routes.calls import UNKNOWN_APP, submission

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


LONE = "\\ud83d"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"webappId":"1{LONE}","nodeInfoList":[]}}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":[{{"nodeId":"{LONE}","fieldName":"a","fieldValue":""}}]}}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":[{{"nodeId":"1","fieldName":"{LONE}","fieldValue":""}}]}}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":[],"accessPassword":"{LONE}"}}',
        f'{{"webappId":{"1" * 5000},"nodeInfoList":[]}}',
        '{"webappId":true,"nodeInfoList":[]}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":{"[" * 100_000}',
        f'{{"webappId":"{UNKNOWN_APP}","nodeInfoList":null}}',
        '"x"',
        "",
        "\x00",
    ],
)
async def test_an_odd_body_is_an_invalid_request(shared: httpx.AsyncClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await shared.post("/submit_task", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_a_body_without_its_content_type_is_told_about_it(shared: httpx.AsyncClient) -> None:
    response = await shared.post("/submit_task", content=json.dumps(submission()))
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "Content-Type: application/json" in response.json()["detail"]
