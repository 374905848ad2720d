"""Uploads, and the result files of finished tasks."""

import io
import wave
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from simulator import apps
from tests.simulator.calls import Clock, envelope, poll, send_file, start, switch

pytestmark = pytest.mark.anyio
PICTURE_ITEM = {"nodeId": "39", "fieldName": "image"}


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def test_an_upload_is_named_by_its_content(client: httpx.AsyncClient) -> None:
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    data = {"fileName": f"api/{digest}.png", "fileType": "input"}
    assert await send_file(client, "照片.PNG", b"foo") == {"code": 0, "msg": "success", "data": data}
    assert (await send_file(client, "a.zip", b"foo"))["data"]["fileName"] == digest


async def test_parts_may_come_in_any_order_and_in_chunks(client: httpx.AsyncClient) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = (
        part.format("file", '; filename="a.wav"', "foo")
        + part.format("fileType", "", "audio")
        + part.format("apiKey", "", "key")
        + "--b--\r\n"
    )

    async def chunks() -> AsyncIterator[bytes]:
        for character in body:
            yield character.encode()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = await client.post("/task/openapi/upload", content=chunks(), headers=headers)
    assert reply.json()["data"]["fileType"] == "audio"
    assert reply.json()["data"]["fileName"].endswith("e7ae.wav")


async def test_uploads_that_do_not_fit_are_refused(client: httpx.AsyncClient) -> None:
    assert await send_file(client, "a.png", b"") == envelope(301, "file cannot be empty")
    assert await send_file(client, "a.exe", b"foo") == envelope(808, "APIKEY_UPLOAD_FAILED")
    await switch(client, unsupported_dialect="301")
    assert await send_file(client, "a.exe", b"foo") == envelope(301, "file type is not supported")
    await switch(client, unsupported_dialect="accept", upload_max_mb=1)
    assert (await send_file(client, "a.exe", b"x" * 1024**2))["code"] == 0
    assert await send_file(client, "a.png", b"x" * (1024**2 + 1)) == envelope(
        809, "APIKEY_FILE_SIZE_EXCEEDED"
    )
    assert (await client.post("/task/openapi/upload", content=b"foo")).json() == envelope(
        301, "PARAMS_INVALID"
    )


async def fetch_result(client: httpx.AsyncClient, clock: Clock, *args: Any) -> httpx.Response:
    task_id = await start(client, *args)
    clock.now += 60
    return await client.get((await poll(client, task_id))["data"][0]["fileUrl"])


async def test_a_picture_shows_the_uploaded_one_and_changes_with_the_values(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    name = (await send_file(client, "red.png", png("#ff0000")))["data"]["fileName"]
    painted = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE, {**PICTURE_ITEM, "fieldValue": name})
    assert painted.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(painted.content)).getpixel((512, 288)) == (255, 0, 0)
    text = {"nodeId": "150:5", "fieldName": "prompt", "fieldValue": "一只猫"}
    other = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE, text)
    plain = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE)
    assert len({painted.content, other.content, plain.content}) == 3


async def test_an_upload_that_is_no_picture_is_left_out_of_the_result(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    name = (await send_file(client, "broken.png", b"foo"))["data"]["fileName"]
    painted = await fetch_result(client, clock, apps.IMAGE_TO_IMAGE, {**PICTURE_ITEM, "fieldValue": name})
    assert Image.open(io.BytesIO(painted.content)).width == 1024


async def test_sound_film_and_text_are_real_files(client: httpx.AsyncClient, clock: Clock) -> None:
    sound = await fetch_result(client, clock, apps.AUDIO)
    with wave.open(io.BytesIO(sound.content)) as file:
        assert file.getnframes() == 2 * file.getframerate()
    film = await fetch_result(client, clock, apps.VIDEO)
    assert film.headers["content-type"] == "video/mp4"
    assert film.content[4:8] == b"ftyp"
    task_id = await start(
        client, apps.IMAGE_TO_IMAGE, {"nodeId": "3", "fieldName": "steps", "fieldValue": "8"}
    )
    clock.now += 60
    _, file = (await poll(client, task_id))["data"]
    text = await client.get(file["fileUrl"])
    assert "3.steps = 8\n" in text.text


async def test_there_is_no_file_before_the_end_nor_one_that_was_not_made(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    task_id = await start(client)
    assert (await client.get(f"/files/{task_id}_00001.png")).status_code == 404
    clock.now += 60
    for name in (f"{task_id}_00001.txt", f"{task_id}_00002.png", f"{task_id}.png", "1_00001.png"):
        assert (await client.get(f"/files/{name}")).status_code == 404
    assert (await client.get("/covers/1.png")).status_code == 404
