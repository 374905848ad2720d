"""Two hosts have apps, workflows and files of their own, and a simulator knows its own address."""

import httpx
import pytest

from simulator import apps
from simulator.app import create_app
from simulator.apps import Host
from simulator.switches import Switches
from simulator.workflows import MEDIA_WORKFLOW, TEXT_TO_IMAGE_WORKFLOW
from tests.simulator.calls import client_of, envelope, poll, run, send_file, start

pytestmark = pytest.mark.anyio
NOT_FOUND = envelope(1, "webapp not exists")


@pytest.mark.parametrize(
    ("host_name", "own", "other", "workflow"),
    [
        ("cn", apps.TEXT_TO_IMAGE, apps.AUDIO, TEXT_TO_IMAGE_WORKFLOW),
        ("ai", apps.AUDIO, apps.TEXT_TO_IMAGE, MEDIA_WORKFLOW),
    ],
)
async def test_a_host_has_only_its_own_apps_and_workflows(
    host_name: Host, own: str, other: str, workflow: str
) -> None:
    async with client_of(create_app(host_name=host_name)) as client:
        assert (await run(client, own))["code"] == 0
        assert await run(client, other) == NOT_FOUND
        form = await client.get("/api/webapp/apiCallDemo", params={"apiKey": "key", "webappId": other})
        assert form.json() == NOT_FOUND
        codes = {}
        for workflow_id in (TEXT_TO_IMAGE_WORKFLOW, MEDIA_WORKFLOW):
            body = {"apiKey": "key", "workflowId": workflow_id}
            codes[workflow_id] = (await client.post("/task/openapi/create", json=body)).json()["code"]
        assert sorted(codes.values()) == [0, 380]
        assert codes[workflow] == 0


async def test_a_file_of_the_other_host_is_unknown() -> None:
    async with client_of(create_app(host_name="ai")) as ai:
        elsewhere = (await send_file(ai, "a.png", b"elsewhere"))["data"]["fileName"]
    async with client_of(create_app(host_name="cn")) as cn:
        here = (await send_file(cn, "a.png", b"here"))["data"]["fileName"]
        item = {"nodeId": "39", "fieldName": "image"}
        assert (await run(cn, apps.IMAGE_TO_IMAGE, {**item, "fieldValue": here}))["code"] == 0
        assert (await run(cn, apps.IMAGE_TO_IMAGE, {**item, "fieldValue": "None"}))["code"] == 0
        refused = await run(cn, apps.IMAGE_TO_IMAGE, {**item, "fieldValue": elsewhere})
        assert refused["code"] == 433
        assert f"image - Invalid file: {elsewhere}" in refused["msg"]


async def test_no_address_is_built_from_a_foreign_host_header() -> None:
    app = create_app(Switches(queue_time=0, run_time=600))
    async with client_of(app) as client:
        client.headers = httpx.Headers({"Host": "www.runninghub.cn", "X-Forwarded-Host": "evil.example"})
        running = await start(client)
        params = {"apiKey": "key", "webappId": apps.TEXT_TO_IMAGE}
        form = await client.get("/api/webapp/apiCallDemo", params=params)
        await client.patch("/simulator/switches", json={"run_time": 0})
        ended = await start(client)
        assert form.json()["data"]["covers"][0]["url"].startswith("http://rh/covers/")
        assert (await poll(client, running))["data"]["netWssUrl"].startswith("ws://rh/ws/")
        assert (await poll(client, ended))["data"][0]["fileUrl"].startswith("http://rh/files/")


async def test_a_public_url_replaces_the_address() -> None:
    app = create_app(Switches(queue_time=0, run_time=0), public_url="https://simulator.example:8443")
    async with client_of(app) as client:
        response = await run(client)
        assert response["data"]["netWssUrl"].startswith("wss://simulator.example:8443/ws/")
        files = (await poll(client, response["data"]["taskId"]))["data"]
        assert files[0]["fileUrl"].startswith("https://simulator.example:8443/files/")
