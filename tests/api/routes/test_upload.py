"""POST /upload: a file becomes the value of a field."""

import httpx
import pytest

from simulator.apps import IMAGE_TO_IMAGE
from tests.api.routes.calls import PNG, TEXT, Board, Json, Like, assert_problem

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


async def test_an_upload_answers_the_name_that_is_the_fields_value(
    shared: httpx.AsyncClient, board: Board
) -> None:
    response = await shared.post("/upload", files={"file": ("cat.png", PNG, "image/png")})
    assert response.status_code == 200
    assert response.json() == {"fileName": Like(r"api/[0-9a-f]{64}\.png"), "fileType": "input"}
    assert await board.sent("upload") == {
        "apiKey": True,
        "fileType": "input",
        "file": {"filename": "cat.png", "size": len(PNG)},
    }
    node = {"nodeId": "39", "fieldName": "image", "fieldValue": response.json()["fileName"]}
    submitted = await shared.post("/submit_task", json={"webappId": IMAGE_TO_IMAGE, "nodeInfoList": [node]})
    assert submitted.json()["warnings"] == []


@pytest.mark.parametrize(
    "parts",
    [
        {"files": {"file": ("cat.png", b"")}},
        {"files": {"other": ("cat.png", PNG)}},
        {"data": {"file": "text"}},
        {"json": {"file": "cat.png"}},
    ],
    ids=["empty", "other name", "no file", "json"],
)
async def test_an_upload_without_a_file_is_an_invalid_request(shared: httpx.AsyncClient, parts: Json) -> None:
    response = await shared.post("/upload", **parts)
    assert_problem(response, "invalid_request", 422, errors=[{"loc": ["body", "file"], "msg": TEXT}])
