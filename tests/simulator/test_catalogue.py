"""The lists of apps."""

import re

import httpx
import pytest

from simulator import apps
from simulator.app import create_app
from tests.simulator.calls import Json, client_of, envelope, v2

pytestmark = pytest.mark.anyio


def ids(records: list[Json]) -> list[str]:
    found = [re.search(r"/openapi/v2/run/ai-app/(\d+)'", record["invokeExample"]) for record in records]
    return [match[1] for match in found if match]


async def test_the_public_list_has_the_ids_in_its_examples_and_is_paged(client: httpx.AsyncClient) -> None:
    first = await v2(client, "aiapp/list", {"current": 1, "size": 4, "sort": "RECOMMEND"}, "key")
    second = await v2(client, "aiapp/list", {"current": 2, "size": 4, "sort": "RECOMMEND"})
    assert (first["code"], first["message"]) == (0, "success")
    assert ids(first["data"]["records"] + second["data"]["records"]) == list(apps.APPS)
    assert [page["data"]["hasNext"] for page in (first, second)] == [True, False]
    assert (first["data"]["total"], first["data"]["pages"]) == (6, 2)
    assert set(first["data"]["records"][0]) == {"title", "description", "cover", "invokeExample"}


async def test_the_newest_come_first_when_sorted_by_them(client: httpx.AsyncClient) -> None:
    page = await v2(client, "aiapp/list", {"sort": "NEWEST", "size": "2"})
    assert ids(page["data"]["records"]) == [apps.WITH_PASSWORD, apps.ALWAYS_FAILS]


async def test_the_public_list_needs_a_key() -> None:
    async with client_of(create_app(keys=frozenset({"good"}), host_name="ai")) as client:
        refused = {"code": 401, "message": "ApiKey verification failed", "data": None}
        assert await v2(client, "aiapp/list", {}, "Bearer bad") == refused
        good = await v2(client, "aiapp/list", {}, "Bearer good")
        assert ids(good["data"]["records"]) == [apps.AUDIO, apps.VIDEO]


async def test_the_sites_list_and_page_need_none(client: httpx.AsyncClient) -> None:
    page = (await client.post("/api/webapp/list", json={"search": "视频", "size": 30, "current": 1})).json()
    assert [record["id"] for record in page["data"]["records"]] == [apps.VIDEO]
    response = await client.post("/api/webapp/detail", json={"webappId": int(apps.WITH_PASSWORD)})
    detail = response.json()["data"]
    assert (detail["id"], detail["publishAccess"]) == (apps.WITH_PASSWORD, {"needPassword": True})
    assert [node["nodeId"] for node in detail["inputNodes"]] == ["15"]
    assert "curl" not in detail
    unknown = await client.post("/api/webapp/detail", json={"webappId": "1"})
    assert unknown.json() == envelope(1, "webapp not exists")
    missing = await client.post("/api/webapp/detail", json={})
    assert missing.json() == envelope(301, "webappId cannot be empty")
