"""How tasks end, and how the calls about one task report it."""

import json

import httpx
import pytest

from simulator import apps
from tests.simulator.calls import Clock, envelope, poll, run, start, switch

pytestmark = pytest.mark.anyio


async def test_a_failed_task_says_why_or_not(client: httpx.AsyncClient, clock: Clock) -> None:
    always = await start(client, apps.ALWAYS_FAILS)
    await switch(client, fail_next=1, fail_reason="null")
    silent, fine = await start(client), await start(client)
    clock.now += 60
    reason = (await poll(client, always))["data"]["failedReason"]
    assert (reason["node_name"], reason["exception_type"]) == ("KSampler", "torch.OutOfMemoryError")
    assert isinstance(json.loads(reason["traceback"]), list)
    assert await poll(client, silent) == envelope(805, "APIKEY_TASK_STATUS_ERROR", {"failedReason": None})
    assert (await poll(client, fine))["code"] == 0


async def test_a_cancelled_task_frees_its_slot_and_has_no_reason(client: httpx.AsyncClient) -> None:
    await switch(client, slots=1)
    task_id = await start(client)
    assert await poll(client, task_id, "cancel") == envelope(0, "success")
    assert await poll(client, task_id) == envelope(805, "APIKEY_TASK_STATUS_ERROR", {"failedReason": None})
    await start(client)


async def test_what_is_queued_or_running_can_be_ended_at_once(client: httpx.AsyncClient) -> None:
    await switch(client, slots=1, queue_time=3600, run_time=3600)
    task_id = await start(client)
    assert (await poll(client, task_id))["code"] == 813
    assert (await client.post("/simulator/finish")).json()["active"] == 0
    assert (await poll(client, task_id))["code"] == 0
    await start(client)


async def test_cancelling_after_the_end_changes_nothing(client: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await start(client)
    clock.now += 60
    assert await poll(client, task_id, "cancel") == envelope(0, "success")
    assert (await poll(client, task_id))["code"] == 0


@pytest.mark.parametrize("call", ["outputs", "status", "cancel"])
async def test_an_unknown_task_is_answered_in_both_dialects(client: httpx.AsyncClient, call: str) -> None:
    forgotten = await start(client)
    await switch(client, forget_tasks=True)
    assert await poll(client, forgotten, call) == envelope(807, "APIKEY_TASK_NOT_FOUND")
    await switch(client, forget_tasks=False, unknown_task_dialect="423")
    assert await poll(client, "1990000000000000003", call) == envelope(423, "TASK_NOT_FOUNED")
    assert await poll(client, "", call) == envelope(301, "taskId cannot be empty")
    for wrong in ("000", "abc", "-1", "1.5", "٣x"):
        assert await poll(client, wrong, call) == envelope(301, "taskId must be positive")
    assert (await poll(client, "9" * 5000, call))["code"] == 423


async def test_outputs_speaks_every_dialect(client: httpx.AsyncClient, clock: Clock) -> None:
    task_id = await start(client)
    clock.now += 2
    await switch(client, outputs_dialect="no_wss")
    assert await poll(client, task_id) == envelope(804, "APIKEY_TASK_IS_RUNNING")
    await switch(client, outputs_dialect="zero_null")
    assert await poll(client, task_id) == envelope(0, "任务运行中")
    clock.now += 60
    await switch(client, outputs_dialect="zero_empty")
    assert await poll(client, task_id) == envelope(0, "success", [])


async def test_an_accepted_run_can_carry_node_errors(client: httpx.AsyncClient) -> None:
    await switch(client, prompt_tips_errors=True)
    tips = json.loads((await run(client))["data"]["promptTips"])
    assert tips["result"] is False
    assert list(tips["node_errors"]) == ["9"]
