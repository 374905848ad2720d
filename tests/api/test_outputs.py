"""GET /tasks/{task_id}/outputs/{n}, against the simulator: kept, relayed, signed, in parts, and gone."""

import asyncio
import io
import re
import shutil
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from models import utc_now_ms
from secret_key import SecretKey
from simulator.apps import AUDIO, IMAGE_TO_IMAGE, TEXT_TO_IMAGE, VIDEO
from tests.in_process import serving, serving_at
from tests.processes import Running, start_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

Json = dict[str, Any]
WITH_TEXT = IMAGE_TO_IMAGE
TOKEN = "a-token-of-enough-characters"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
SLOW = 60_000
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with start_simulator(queue_time=0, run_time=0.02, slots=0) as simulator:
        yield simulator


@pytest.fixture
async def board(simulator: Running) -> AsyncIterator[httpx.AsyncClient]:
    """The simulator's switches."""
    async with httpx.AsyncClient(base_url=simulator.url, verify=False) as board:  # noqa: S501 it is http
        (await board.post("/simulator/reset")).raise_for_status()
        yield board


async def switch(board: httpx.AsyncClient, **switches: Any) -> None:
    (await board.patch("/simulator/switches", json=switches)).raise_for_status()


class Service:
    """Starts services on this test's folder."""

    def __init__(self, simulator_url: str, folder: Path) -> None:
        self.simulator_url = simulator_url
        self.folder = folder

    @asynccontextmanager
    async def __call__(self, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        defaults = {"outputs_min_free_mb": 0}
        async with serving(self.simulator_url, self.folder, **defaults | settings) as client:
            yield client

    def link(self, task_id: str, n: int, *, expires: int) -> str:
        """A link as the service signs it."""
        path = f"/tasks/{task_id}/outputs/{n}"
        signature = SecretKey.next_to(str(self.folder / "tasks.db")).output_signature(path, expires)
        return f"{path}?expires={expires}&signature={signature}"


@pytest.fixture
def service(simulator: Running, board: httpx.AsyncClient, tmp_path: Path) -> Service:
    return Service(simulator.url, tmp_path)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service() as client:
        yield client


async def finished(client: httpx.AsyncClient, webapp_id: str = TEXT_TO_IMAGE) -> Json:
    """A task that has just become SUCCESS."""
    body = {"webappId": webapp_id, "nodeInfoList": []}
    task_id = (await client.post("/submit_task", json=body)).json()["task_id"]
    async with asyncio.timeout(PATIENCE_S):
        while (task := (await client.get(f"/tasks/{task_id}")).json())["status"] != "SUCCESS":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    found: Json = task
    return found


async def until_state(client: httpx.AsyncClient, task: Json, state: str) -> Json:
    """The task when all its outputs have this state."""
    async with asyncio.timeout(PATIENCE_S):
        while {output["state"] for output in task["outputs"]} != {state}:
            await asyncio.sleep(0.02)
            task = (await client.get(f"/tasks/{task['id']}")).json()
    return task


async def kept(client: httpx.AsyncClient, webapp_id: str = TEXT_TO_IMAGE) -> Json:
    return await until_state(client, await finished(client, webapp_id), "KEPT")


async def with_thumbnail(client: httpx.AsyncClient, task: Json) -> Json:
    """The task when its first output has one."""
    async with asyncio.timeout(PATIENCE_S):
        while task["outputs"][0]["thumbnail_url"] is None:
            await asyncio.sleep(0.02)
            task = (await client.get(f"/tasks/{task['id']}")).json()
    return task


def assert_problem(response: httpx.Response, code: str, status: int) -> None:
    assert (response.json()["code"], response.status_code) == (code, status)


# The Task's member


async def test_a_result_is_in_the_task_from_its_end_on(client: httpx.AsyncClient) -> None:
    task = await finished(client)
    url = re.escape(f"/tasks/{task['id']}/outputs/0?expires=") + r"\d+&signature=[0-9a-f]{64}"
    first = {"n": 0, "file_type": "png", "media_type": "image/png", "node_id": "9", "text": None}
    assert [{name: output[name] for name in first} for output in task["outputs"]] == [first]
    assert re.fullmatch(url, task["outputs"][0]["url"])
    (output,) = (await until_state(client, task, "KEPT"))["outputs"]
    data = (await client.get(output["url"])).content
    assert (output["bytes"], output["sha256"]) == (len(data), sha256(data).hexdigest())


async def test_the_bytes_are_those_of_runninghub(client: httpx.AsyncClient, board: httpx.AsyncClient) -> None:
    task = await kept(client)
    response = await client.get(task["outputs"][0]["url"])
    assert response.content == (await board.get(task["result_data"][0]["fileUrl"])).content
    assert response.headers["content-type"] == "image/png"


async def test_a_text_result_is_in_the_task_itself(client: httpx.AsyncClient) -> None:
    task = await kept(client, WITH_TEXT)
    picture, text = task["outputs"]
    response = await client.get(text["url"])
    assert (picture["text"], text["text"]) == (None, response.text)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


async def test_every_task_of_a_list_has_its_outputs(client: httpx.AsyncClient) -> None:
    task = await kept(client)
    (listed,) = (await client.get("/tasks")).json()["tasks"]
    assert listed["outputs"] == task["outputs"]


async def test_two_equal_results_are_one_file(client: httpx.AsyncClient, service: Service) -> None:
    tasks = [await kept(client, VIDEO) for _ in range(2)]
    assert tasks[0]["outputs"][0]["sha256"] == tasks[1]["outputs"][0]["sha256"]
    assert len([path for path in (service.folder / "outputs").rglob("*") if path.is_file()]) == 1


# Before it is kept


async def test_a_result_can_be_used_before_it_is_kept(
    client: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, files_bytes_per_second=SLOW)
    task = await finished(client)
    (output,) = task["outputs"]
    async with client.stream("GET", output["url"]) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        assert "etag" not in response.headers
    state = (await client.get(f"/tasks/{task['id']}")).json()["outputs"][0]
    assert (state["state"], state["bytes"], state["sha256"]) == ("KEEPING", None, None)
    part = await client.get(output["url"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")


async def test_where_nothing_is_kept_results_are_relayed_until_the_link_expires(
    service: Service, board: httpx.AsyncClient
) -> None:
    async with service(outputs_url="none") as client:
        assert (await client.get("/health")).json()["outputs"] == "off"
        task = await finished(client)
        (output,) = task["outputs"]
        assert output["state"] == "NOT_KEPT"
        assert (await client.get(output["url"])).content.startswith(b"\x89PNG")
        await switch(board, files_ttl=0)
        assert_problem(await client.get(output["url"]), "output_gone", 410)


async def test_a_result_that_is_too_large_is_relayed(service: Service, board: httpx.AsyncClient) -> None:
    async with service(outputs_max_file_mb=0.001) as client:
        task = await until_state(client, await finished(client), "TOO_LARGE")
        response = await client.get(task["outputs"][0]["url"])
        assert response.content.startswith(b"\x89PNG")
    assert [path for path in (service.folder / "outputs").rglob("*") if path.is_file()] == []


async def test_a_file_host_that_does_not_respond_is_no_end(
    service: Service, board: httpx.AsyncClient
) -> None:
    async with service(outputs_url="none") as client:
        task = await finished(client)
        await switch(board, faults={"files": {"kind": "http_500_html", "times": 1}})
        response = await client.get(task["outputs"][0]["url"])
        assert_problem(response, "runninghub_unavailable", 503)
        assert (await client.get(task["outputs"][0]["url"])).status_code == 200


async def test_a_kept_file_that_disappeared_is_relayed_and_kept_again(
    client: httpx.AsyncClient, service: Service
) -> None:
    task = await kept(client)
    (output,) = task["outputs"]
    for folder in (service.folder / "outputs").iterdir():
        shutil.rmtree(folder)
    response = await client.get(output["url"])
    assert sha256(response.content).hexdigest() == output["sha256"]
    await until_state(client, (await client.get(f"/tasks/{task['id']}")).json(), "KEPT")
    await with_thumbnail(client, task)
    names = {path.name for path in (service.folder / "outputs").rglob("*") if path.is_file()}
    assert names == {output["sha256"], f"{output['sha256']}.thumbnail.webp"}


async def test_a_kept_result_outlives_runninghubs_link(
    client: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    task = await kept(client)
    await switch(board, files_ttl=0)
    assert (await board.get(task["result_data"][0]["fileUrl"])).status_code == 403
    response = await client.get(task["outputs"][0]["url"])
    assert (response.status_code, len(response.content)) == (200, task["outputs"][0]["bytes"])


def a_day_later() -> int:
    return utc_now_ms() + 25 * 3600 * 1000


async def test_a_day_later_all_results_of_the_demo_still_show(
    service: Service, board: httpx.AsyncClient
) -> None:
    async with service() as client:
        tasks = [await kept(client, app) for app in (TEXT_TO_IMAGE, WITH_TEXT, AUDIO, VIDEO)]
        await with_thumbnail(client, tasks[0])
    await switch(board, files_ttl=0)
    async with serving_at(a_day_later, service.simulator_url, service.folder) as client:
        listed = {task["id"]: task for task in (await client.get("/tasks")).json()["tasks"]}
        for task in tasks:
            assert_problem(await client.get(task["outputs"][0]["url"]), "forbidden", 403)
            for output in listed[task["id"]]["outputs"]:
                response = await client.get(output["url"])
                assert (response.status_code, output["state"]) == (200, "KEPT")
                assert sha256(response.content).hexdigest() == output["sha256"]
        picture = listed[tasks[0]["id"]]["outputs"][0]
        assert (await client.get(picture["thumbnail_url"])).headers["content-type"] == "image/webp"
        archive = await client.get(f"/tasks/{tasks[1]['id']}/outputs.zip")
        assert len(zipfile.ZipFile(io.BytesIO(archive.content)).namelist()) == 2


# Links


async def test_a_link_works_without_a_token_and_only_for_its_output(service: Service) -> None:
    async with service(access_tokens=TOKEN) as client:
        client.headers.update(AUTHORIZATION)
        task = await kept(client, WITH_TEXT)
        del client.headers["Authorization"]
        first, second = (output["url"] for output in task["outputs"])
        assert (await client.get(first)).status_code == 200
        assert (await client.get(f"{first}&download=1")).status_code == 200
        assert_problem(await client.get(first.replace("/outputs/0", "/outputs/1")), "forbidden", 403)
        assert_problem(await client.get(first.partition("?")[0]), "unauthorized", 401)
        assert_problem(await client.get(first[:-1]), "forbidden", 403)
        assert_problem(await client.get(re.sub("expires=", "expires=1", second)), "forbidden", 403)
        assert_problem(
            await client.get(f"/tasks/{task['id']}?{first.partition('?')[2]}"), "unauthorized", 401
        )
        assert_problem(await client.get(first.replace(task["id"], "0" * 32)), "forbidden", 403)


async def test_a_token_is_enough_whatever_the_link_says(service: Service) -> None:
    async with service(access_tokens=TOKEN) as client:
        client.headers.update(AUTHORIZATION)
        task = await kept(client)
        path = f"/tasks/{task['id']}/outputs/0"
        assert (await client.get(path)).status_code == 200
        assert (await client.get(f"{path}?expires=1&signature=wrong")).status_code == 200


async def test_a_link_expires(service: Service) -> None:
    async with service() as client:
        task = await kept(client)
        now = int(time.time())
        valid, expired = (service.link(task["id"], 0, expires=end) for end in (now + 60, now - 1))
        assert (await client.get(valid)).status_code == 200
        assert_problem(await client.get(expired), "forbidden", 403)


@pytest.mark.parametrize("expires", ["", "x", "-1", "١", "9" * 20, "1e9"])
async def test_a_link_with_no_time_is_not_valid(client: httpx.AsyncClient, expires: str) -> None:
    url = f"/tasks/{'0' * 32}/outputs/0"
    response = await client.get(url, params={"expires": expires, "signature": "0" * 64})
    assert_problem(response, "forbidden", 403)


async def test_a_page_that_asks_again_gets_the_same_link(client: httpx.AsyncClient) -> None:
    task = await kept(client)
    again = (await client.get(f"/tasks/{task['id']}")).json()
    assert again["outputs"][0]["url"] == task["outputs"][0]["url"]


# Parts and versions


async def test_a_part_of_a_kept_file(client: httpx.AsyncClient) -> None:
    (output,) = (await kept(client))["outputs"]
    whole = (await client.get(output["url"])).content
    for asked, start, stop in (("0-9", 0, 10), ("5-", 5, len(whole)), ("-7", len(whole) - 7, len(whole))):
        part = await client.get(output["url"], headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, whole[start:stop])
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"


async def test_a_range_outside_the_file_is_refused_with_the_size(client: httpx.AsyncClient) -> None:
    (output,) = (await kept(client))["outputs"]
    response = await client.get(output["url"], headers={"Range": "bytes=99999999-"})
    assert_problem(response, "range_not_satisfiable", 416)
    assert response.headers["content-range"] == f"bytes */{output['bytes']}"


async def test_a_condition_decides_between_the_part_the_whole_and_nothing(client: httpx.AsyncClient) -> None:
    (output,) = (await kept(client))["outputs"]
    etag = f'"{output["sha256"]}"'
    one_byte = {"Range": "bytes=0-0"}
    asked = [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({**one_byte, "If-Range": etag}, 206),
        ({**one_byte, "If-Range": '"other"'}, 200),
    ]
    for headers, status in asked:
        response = await client.get(output["url"], headers=headers)
        assert (response.status_code, response.headers["etag"]) == (status, etag)


async def test_head_has_the_headers_of_get(client: httpx.AsyncClient, board: httpx.AsyncClient) -> None:
    (output,) = (await kept(client))["outputs"]
    got, head = await client.get(output["url"]), await client.head(output["url"])
    volatile = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in got.headers.items() if k not in volatile
    }
    assert (head.status_code, head.content) == (200, b"")
    await switch(board, files_bytes_per_second=SLOW)
    (relayed,) = (await finished(client))["outputs"]
    head = await client.head(relayed["url"])
    assert (head.status_code, head.content, int(head.headers["content-length"]) > 0) == (200, b"", True)


# Thumbnails


async def test_a_kept_image_has_a_thumbnail_that_its_signed_link_opens(service: Service) -> None:
    async with service(access_tokens=TOKEN) as client:
        client.headers.update(AUTHORIZATION)
        (output,) = (await with_thumbnail(client, await kept(client)))["outputs"]
        del client.headers["Authorization"]
        assert output["thumbnail_url"] == f"{output['url']}&thumbnail=true"
        response = await client.get(output["thumbnail_url"])
        assert (response.status_code, response.headers["content-type"]) == (200, "image/webp")
        assert max(Image.open(io.BytesIO(response.content)).size) == 384
        assert response.headers["x-content-type-options"] == "nosniff"
        etag = response.headers["etag"]
        assert etag == f'"{output["sha256"]}.thumbnail"'
        current = await client.get(output["thumbnail_url"], headers={"If-None-Match": etag})
        assert (current.status_code, current.content) == (304, b"")
        head = await client.head(output["thumbnail_url"])
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(response.content))
        forged = output["thumbnail_url"].replace("signature=", "signature=0")
        assert_problem(await client.get(forged), "forbidden", 403)


async def test_what_is_no_kept_image_has_no_thumbnail(
    client: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    _, text = (await kept(client, WITH_TEXT))["outputs"]
    (clip,) = (await kept(client, VIDEO))["outputs"]
    await switch(board, files_bytes_per_second=SLOW)
    (coming,) = (await finished(client))["outputs"]
    for output in (text, clip, coming):
        assert output["thumbnail_url"] is None
        response = await client.get(f"{output['url']}&thumbnail=true")
        assert_problem(response, "output_not_found", 404)


async def test_a_thumbnail_that_disappeared_is_not_offered_any_more(
    client: httpx.AsyncClient, service: Service
) -> None:
    task = await with_thumbnail(client, await kept(client))
    (output,) = task["outputs"]
    (thumbnail,) = (service.folder / "outputs").rglob("*.thumbnail.webp")
    thumbnail.unlink()
    assert_problem(await client.get(output["thumbnail_url"]), "output_not_found", 404)
    (output,) = (await client.get(f"/tasks/{task['id']}")).json()["outputs"]
    assert (output["state"], output["thumbnail_url"]) == ("KEPT", None)


async def test_a_thumbnail_is_deleted_with_its_output(service: Service, board: httpx.AsyncClient) -> None:
    async with service() as client:
        task = await with_thumbnail(client, await kept(client))
    async with service(outputs_keep_days=1e-9) as client:
        task = await until_state(client, task, "DELETED")
        assert task["outputs"][0]["thumbnail_url"] is None
        folder = service.folder / "outputs"
        async with asyncio.timeout(PATIENCE_S):
            while [path for path in folder.rglob("*") if path.is_file()]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


# Headers


@pytest.mark.parametrize(("query", "kind"), [("", "inline"), ("&download=1", "attachment")])
async def test_what_a_browser_can_show_is_shown_unless_a_download_is_wanted(
    client: httpx.AsyncClient, query: str, kind: str
) -> None:
    (output,) = (await kept(client))["outputs"]
    response = await client.get(output["url"] + query)
    assert re.fullmatch(rf'{kind}; filename="[\w-]+\.png"', response.headers["content-disposition"])
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_page_of_another_allowed_origin_may_read_it(client: httpx.AsyncClient) -> None:
    (output,) = (await kept(client))["outputs"]
    response = await client.get(output["url"], headers={"Origin": "http://localhost:3000"})
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    exposed = response.headers["access-control-expose-headers"]
    assert {"ETag", "Content-Range", "Content-Disposition"} <= set(exposed.split(", "))


# All in one


async def test_all_results_come_in_one_archive(client: httpx.AsyncClient) -> None:
    task = await kept(client, WITH_TEXT)
    response = await client.get(f"/tasks/{task['id']}/outputs.zip")
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{task["id"]}.zip"'
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    expected = [(await client.get(output["url"])).content for output in task["outputs"]]
    assert [archive.read(name) for name in archive.namelist()] == expected
    assert [name.rpartition(".")[2] for name in archive.namelist()] == ["png", "txt"]


async def test_an_archive_may_contain_what_is_not_kept_yet(
    client: httpx.AsyncClient, board: httpx.AsyncClient
) -> None:
    await switch(board, files_bytes_per_second=SLOW)
    task = await finished(client)
    response = await client.get(f"/tasks/{task['id']}/outputs.zip")
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.read(archive.namelist()[0]).startswith(b"\x89PNG")


async def test_an_archive_of_no_outputs_is_404(client: httpx.AsyncClient, board: httpx.AsyncClient) -> None:
    await switch(board, run_time=600)
    body = {"webappId": TEXT_TO_IMAGE, "nodeInfoList": []}
    task_id = (await client.post("/submit_task", json=body)).json()["task_id"]
    assert_problem(await client.get(f"/tasks/{task_id}/outputs.zip"), "output_not_found", 404)


# What is not there


async def test_an_unknown_task_or_output_is_404(client: httpx.AsyncClient) -> None:
    task = await finished(client)
    assert_problem(await client.get(f"/tasks/{task['id']}/outputs/1"), "output_not_found", 404)
    assert_problem(await client.get(f"/tasks/{'0' * 32}/outputs/0"), "task_not_found", 404)
    assert_problem(await client.get(f"/tasks/{task['id']}/outputs/x"), "invalid_request", 422)


async def test_runninghubs_id_works_as_well(client: httpx.AsyncClient) -> None:
    task = await finished(client)
    response = await client.get(f"/tasks/{task['runninghub_task_id']}/outputs/0")
    assert response.status_code == 200


async def test_a_deleted_output_is_gone_when_runninghubs_link_has_expired(
    service: Service, board: httpx.AsyncClient
) -> None:
    async with service() as client:
        task = await kept(client)
    await switch(board, files_ttl=0)
    async with service(outputs_keep_days=1e-9) as client:
        await until_state(client, task, "DELETED")
        response = await client.get(f"/tasks/{task['id']}/outputs/0")
        assert_problem(response, "output_gone", 410)


# A place that does not work


async def test_tasks_go_on_when_there_is_no_space(service: Service) -> None:
    async with service(outputs_min_free_mb=1_000_000_000) as client:
        task = await finished(client)
        assert (await client.get(task["outputs"][0]["url"])).content.startswith(b"\x89PNG")
        health = await client.get("/health")
        assert (health.status_code, health.json()["outputs"]) == (200, "no_space")
        assert (await client.get(f"/tasks/{task['id']}")).json()["outputs"][0]["state"] == "KEEPING"
    async with service() as client:
        await until_state(client, task, "KEPT")
        assert (await client.get("/health")).json()["outputs"] == "ok"


async def test_a_folder_that_cannot_be_created_stops_no_task(service: Service) -> None:
    (service.folder / "file").write_text("")
    async with service(outputs_url=f"file://{service.folder}/file/outputs") as client:
        task = await finished(client)
        assert (await client.get("/health")).json()["outputs"] == "unavailable"
        assert (await client.get(task["outputs"][0]["url"])).status_code == 200
