"""The demo apps, and the form that apiCallDemo returns for them."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from simulator import apps
from tests.simulator.calls import envelope

pytestmark = pytest.mark.anyio


async def test_a_form_has_the_callers_key_in_its_curl(client: httpx.AsyncClient) -> None:
    params = {"apiKey": "my-key", "webappId": apps.TEXT_TO_IMAGE}
    reply = await client.get("/api/webapp/apiCallDemo", params=params)
    assert reply.headers["X-RunningHub-Simulator"] == "true"
    form = reply.json()["data"]
    assert '"apiKey": "my-key"' in form["curl"]
    assert [node["nodeId"] for node in form["nodeInfoList"]] == ["4", "11", "15", "16"]
    assert form["accessEncrypted"] is False
    cover = await client.get(form["covers"][0]["url"])
    assert Image.open(io.BytesIO(cover.content)).size == (1280, 720)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"webappId": "1992755951447109633"}, envelope(301, "apiKey cannot be empty")),
        ({"apiKey": "key"}, envelope(301, "webappId cannot be empty")),
        ({"apiKey": "key", "webappId": "app"}, envelope(301, "PARAMS_INVALID")),
        ({"apiKey": "key", "webappId": "1992755951447109600"}, envelope(1, "webapp not exists")),
    ],
)
async def test_a_form_that_cannot_be_had_is_refused_in_the_envelope(
    client: httpx.AsyncClient, params: dict[str, str], expected: dict[str, Any]
) -> None:
    reply = await client.get("/api/webapp/apiCallDemo", params=params)
    assert (reply.status_code, reply.json()) == (200, expected)


def test_the_apps_cover_every_kind_of_field_and_name_each_once() -> None:
    kinds = {node["fieldType"] for app in apps.APPS.values() for node in app.nodes}
    media = {"IMAGE", "AUDIO", "VIDEO", "ZIP"}
    assert kinds == media | {"STRING", "INT", "FLOAT", "BOOLEAN", "LIST", "SWITCH", "CKPT", "LORA"}
    for app in apps.APPS.values():
        identities = [(node["nodeId"], node["fieldName"]) for node in app.nodes]
        assert len(identities) == len(set(identities))
        assert int(app.id) > 2**53
        assert len(app.id) == 19
