"""TASK_END deliveries."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import respx

from simulator import apps
from simulator.app import create_app
from simulator.payments import Payment
from simulator.state import Run
from simulator.switches import Switches
from simulator.webhooks import Webhooks
from tests.simulator.calls import counters, poll, run, start, switch

pytestmark = pytest.mark.anyio


class Hook:
    """The address that a TASK_END is sent to; every delivery goes into a queue."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.deliveries: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.deliveries.put_nowait(json.loads(request.content))
        return httpx.Response(self.statuses.pop(0) if self.statuses else 200)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.deliveries.get(), 2)


@contextmanager
def listening(hook: Hook) -> Iterator[None]:
    with respx.mock(using="httpx", assert_all_called=False) as mock:
        mock.post("http://client/hook").mock(side_effect=hook)
        mock.route(host="rh").pass_through()
        yield


async def test_a_task_that_ends_is_told_to_its_webhook(client: httpx.AsyncClient) -> None:
    await switch(client, queue_time=0, run_time=0, webhook_repeats=1)
    hook = Hook()
    with listening(hook):
        task_id = await start(client, webhookUrl="http://client/hook")
        first, repeated = await hook.next(), await hook.next()
    assert first == repeated
    assert (first["event"], first["taskId"]) == ("TASK_END", task_id)
    event = json.loads(first["eventData"])
    assert (event["code"], event["data"][0]["taskCostTime"]) == (0, 1)
    assert (await counters(client))["webhooks_sent"] == 2


async def test_a_cancel_sends_the_webhook_at_once(client: httpx.AsyncClient) -> None:
    hook = Hook()
    with listening(hook):
        task_id = await start(client, webhookUrl="http://client/hook")
        await poll(client, task_id, "cancel")
        event = json.loads((await hook.next())["eventData"])
    assert event == {"code": 805, "msg": "APIKEY_TASK_STATUS_ERROR", "data": {"failedReason": None}}


async def test_an_early_webhook_comes_before_the_runs_own_reply(client: httpx.AsyncClient) -> None:
    await switch(client, webhook="early")
    hook = Hook()
    with listening(hook):
        reply = await run(client, webhookUrl="http://client/hook")
        assert hook.deliveries.get_nowait()["taskId"] == reply["data"]["taskId"]
    assert (await poll(client, reply["data"]["taskId"]))["code"] == 0


async def test_a_webhook_that_gets_no_2xx_is_sent_three_times() -> None:
    app = create_app(Switches(webhook="early"))
    simulator = app.state.simulator
    webhooks = Webhooks(simulator.state, pause_s=0)
    run = Run(apps.APPS[apps.AUDIO], "key", b"{}", "http://rh", "http://rh", "http://client/hook")
    task = simulator.state.start(run, Payment(), run_time=0)
    hook = Hook(500, 404, 503, 200)
    with listening(hook):
        await webhooks.send(task)
    await webhooks.close()
    assert hook.deliveries.qsize() == 3


async def test_without_webhooks_none_is_sent(client: httpx.AsyncClient) -> None:
    await switch(client, queue_time=0, run_time=0, webhook="off")
    hook = Hook()
    with listening(hook):
        await start(client, webhookUrl="http://client/hook")
    assert (await counters(client))["webhooks_sent"] == 0
