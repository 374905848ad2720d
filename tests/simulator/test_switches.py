"""The control routes: switches, counters, reset, the last request."""

from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from simulator import apps
from simulator.endpoints import Endpoint
from simulator.switches import FaultKind, Switches
from simulator.workflows import WORKFLOWS
from tests.simulator.calls import envelope, run_body, send_file, start, switch

pytestmark = pytest.mark.anyio


async def test_an_unknown_switch_or_a_wrong_value_is_refused(client: httpx.AsyncClient) -> None:
    wrong: list[dict[str, Any]] = [
        {"runtime": 1},
        {"slots": -1},
        {"faults": {"run": {"kind": "fire"}}},
        {"faults": {"x": {}}},
    ]
    for switches in wrong:
        reply = await client.patch("/simulator/switches", json=switches)
        assert reply.status_code == 422


async def test_a_reset_forgets_everything_but_the_start(client: httpx.AsyncClient) -> None:
    before = (await client.get("/simulator/switches")).json()
    await switch(client, slots=1, faults={"cancel": {"kind": "empty"}})
    await start(client)
    zero = {
        "calls": {},
        "runs_accepted": 0,
        "runs_refused": 0,
        "max_active": 0,
        "active": 0,
        "webhooks_sent": 0,
    }
    assert (await client.post("/simulator/reset")).json() == zero
    assert (await client.get("/simulator/switches")).json() == before
    assert (await client.get("/simulator/tasks")).json() == []


async def test_the_last_request_is_shown_without_its_key(client: httpx.AsyncClient) -> None:
    reply = await client.get("/simulator/last-request", params={"endpoint": "run"})
    assert reply.json() == {"endpoint": "run", "members": None, "headers": None}
    await client.post("/task/openapi/ai-app/run", json=run_body(), headers={"Authorization": "Bearer key"})
    seen = (await client.get("/simulator/last-request", params={"endpoint": "run"})).json()
    assert seen["members"] == {"apiKey": True, "webappId": apps.TEXT_TO_IMAGE, "nodeInfoList": []}
    assert seen["headers"]["authorization"] is True
    await send_file(client, "a.png", b"foo")
    seen = (await client.get("/simulator/last-request", params={"endpoint": "upload"})).json()
    assert seen["members"] == {"apiKey": True, "fileType": "input", "file": {"filename": "a.png", "size": 3}}


def test_the_readme_names_every_switch_and_fault() -> None:
    readme = (Path(apps.__file__).parent / "README.md").read_text(encoding="utf-8")
    missing = [
        name
        for name in (
            *Switches.model_fields,
            *get_args(FaultKind),
            *apps.APPS,
            *WORKFLOWS,
            *get_args(Endpoint),
        )
        if f"`{name}`" not in readme
    ]
    assert missing == []


async def test_a_wrong_path_is_412(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/openapi/upload")).json() == envelope(412, "TOKEN_INVALID")
