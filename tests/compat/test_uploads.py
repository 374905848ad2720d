"""Uploads of clients built for RunningHub: the key before the file, behind it, or in a header."""

import httpx
import pytest

from tests.compat.conftest import TOKEN, Json, last_sent

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

UPLOAD = "/task/openapi/upload"
BOUNDARY = "a-boundary"
FILE = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nsome bytes\r\n'


def field(name: str, value: str) -> str:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


async def send(client: httpx.AsyncClient, *parts: str) -> Json:
    body = "".join([*parts, f"--{BOUNDARY}--\r\n"])
    content_type = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    response = await client.post(UPLOAD, content=body.encode(), headers=content_type)
    assert response.status_code == 200
    reply: Json = response.json()
    return reply


@pytest.mark.parametrize(
    "parts",
    [
        (field("apiKey", TOKEN), field("fileType", "input"), FILE),
        (FILE, field("apiKey", TOKEN)),
        (field("fileType", "input"), FILE, field("apikey", TOKEN)),
    ],
)
async def test_the_key_may_be_before_or_behind_the_file(
    guarded: httpx.AsyncClient, parts: tuple[str, ...]
) -> None:
    reply = await send(guarded, *parts)

    assert (reply["code"], reply["msg"]) == (0, "success")
    assert reply["data"]["fileName"].startswith("api/")
    assert reply["data"]["fileType"] == "input"


@pytest.mark.parametrize("parts", [(FILE,), (FILE, field("apiKey", "wrong")), (field("apiKey", "x"), FILE)])
async def test_a_file_without_a_valid_key_is_stored_nowhere(
    guarded: httpx.AsyncClient, board: httpx.AsyncClient, parts: tuple[str, ...]
) -> None:
    reply = await send(guarded, *parts)

    assert (reply["code"], reply["msg"]) == (806, "APIKEY_USER_NOT_FOUND")
    assert (await last_sent(board, "upload"))["members"] in (None, {})


async def test_a_missing_file_is_301(service: httpx.AsyncClient) -> None:
    reply = await send(service, field("apiKey", TOKEN))

    assert reply["code"] == 301


async def test_a_file_that_is_too_large_is_809(service: httpx.AsyncClient) -> None:
    response = await service.post(UPLOAD, files={"file": ("a.png", bytes(31 * 2**20))})

    assert response.json()["code"] == 809
    assert response.json()["msg"] == "APIKEY_FILE_SIZE_EXCEEDED"
