"""Paused accounts are probed with free calls, freed slots are detected, and tasks say what they wait for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from models import AccountState, Hold, WaitCode
from models import TaskStatus as S
from tests.conftest import (
    Clock,
    Core,
    MakeCore,
    RunningHub,
    add,
    add_waiting,
    answer,
    at_runninghub,
    execute,
    new_task,
    stored,
    until,
)
from transitions import TooExpensive

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

NO_COINS = answer(0, {"remainCoins": "0", "currentTaskCounts": "0"})
COINS = answer(0, {"remainCoins": "10", "currentTaskCounts": "0"})
BAD_KEY = answer(806, msg="APIKEY_USER_NOT_FOUND")

Monitoring = Callable[[Core], AbstractAsyncContextManager[None]]


@pytest.fixture
def monitoring() -> Monitoring:
    """The monitor's loops as the lifespan owns them; a freed slot is submitted to at once."""

    @asynccontextmanager
    async def run(core: Core) -> AsyncIterator[None]:
        submits: set[asyncio.Task[None]] = set()
        core.monitor.on_freed = lambda: submits.add(asyncio.create_task(core.submitter.submit_pending()))
        loop = asyncio.create_task(core.monitor.run())
        yield
        loop.cancel()
        await asyncio.gather(loop, *submits, return_exceptions=True)

    return run


async def passed(clock: Clock, is_so: Callable[[], bool]) -> None:
    """Let time pass, minute by minute, until it is so."""

    def is_so_a_minute_later() -> bool:
        clock.go_on(60)
        return is_so()

    await until(is_so_a_minute_later)


async def state(core: Core) -> AccountState:
    return (await core.database.submit_view()).account("default").state


async def test_a_queue_survives_an_empty_balance_and_resumes_when_it_is_topped_up(
    core: Core, runninghub: RunningHub, monitoring: Monitoring, clock: Clock
) -> None:
    runninghub.run.respond(json=answer(414))
    runninghub.account.respond(json=NO_COINS)
    await core.submitter.submit(new_task(1))
    await add_waiting(core.database, 2)
    async with monitoring(core):
        await until(lambda: runninghub.account.call_count >= 1)
        assert await state(core) is AccountState.INSUFFICIENT_BALANCE
        assert runninghub.run.call_count == 1
        runninghub.account.respond(json=COINS)
        runninghub.run.mock(side_effect=lambda _: httpx.Response(200, json=runninghub.accepted()))
        await passed(clock, lambda: runninghub.run.call_count == 3)
    await core.submitter.close()
    assert {(await stored(core.database, f"task-{number}")).status for number in (1, 2)} == {S.RUNNING}
    assert await state(core) is AccountState.OK


async def test_a_task_that_costs_more_than_there_is_waits_for_the_balance_and_others_go_on(
    core: Core, runninghub: RunningHub, monitoring: Monitoring, clock: Clock
) -> None:
    runninghub.account.respond(json=COINS)
    runninghub.run.mock(
        side_effect=[httpx.Response(200, json=answer(416)), httpx.Response(200, json=runninghub.accepted())]
    )
    await core.submitter.submit(new_task(1))
    await add_waiting(core.database, 2)
    async with monitoring(core):
        await until(lambda: runninghub.run.call_count == 2)
    held = await stored(core.database)
    waiting = core.monitor.waiting(held)
    assert (held.status, held.hold) == (S.PENDING, Hold.BALANCE)
    assert waiting
    assert waiting.code is WaitCode.INSUFFICIENT_BALANCE


async def test_a_held_task_is_released_when_the_balance_has_grown(
    core: Core, runninghub: RunningHub, monitoring: Monitoring
) -> None:
    await add_waiting(core.database)
    await execute(core.database, "UPDATE tasks SET account = 'default'")
    await core.database.store("task-1", TooExpensive("5/"))
    runninghub.account.respond(json=answer(0, {"remainCoins": "5", "currentTaskCounts": "0"}))
    async with monitoring(core):
        await until(lambda: runninghub.account.call_count >= 1)
        assert (await stored(core.database)).hold is Hold.BALANCE
    core.monitor._balance_due["default"] = 0
    runninghub.account.respond(json=answer(0, {"remainCoins": "5.5", "currentTaskCounts": "0"}))
    async with monitoring(core):
        await until(lambda: runninghub.run.call_count == 1)
    assert runninghub.run.call_count == 1


async def test_a_key_that_is_refused_now_and_then_fails_a_task_only_after_five_times(
    core: Core, runninghub: RunningHub, monitoring: Monitoring
) -> None:
    runninghub.run.respond(json=BAD_KEY)
    runninghub.account.respond(json=COINS)
    async with monitoring(core):
        await core.submitter.submit(new_task(1))
        async with asyncio.timeout(5):
            while (await stored(core.database)).status is not S.FAILED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    task = await stored(core.database)
    assert task.error
    assert task.error["code"] == "runninghub_rejected"
    assert runninghub.run.call_count == 5
    assert await state(core) is AccountState.OK


async def test_while_the_key_is_refused_by_probes_too_no_paid_call_is_made(
    core: Core, runninghub: RunningHub, monitoring: Monitoring, clock: Clock
) -> None:
    runninghub.run.respond(json=BAD_KEY)
    runninghub.account.respond(json=BAD_KEY)
    await core.submitter.submit(new_task(1))
    async with monitoring(core):
        for probes in (1, 2, 3):
            await passed(clock, lambda probes=probes: runninghub.account.call_count >= probes)  # type: ignore[misc]
            await core.submitter.submit_pending()
    assert runninghub.run.call_count == 1
    assert await state(core) is AccountState.KEY_REFUSED


async def test_after_an_unknown_outcome_a_probe_has_to_be_answered_first(
    core: Core, runninghub: RunningHub, monitoring: Monitoring, clock: Clock
) -> None:
    await add_waiting(core.database, 1)
    await add_waiting(core.database, 2)
    core.account.client.responsiveness.failed()
    gateway = httpx.Response(504, html="<h1>gateway</h1>")
    runninghub.run.mock(side_effect=[gateway, httpx.Response(200, json=runninghub.accepted())])
    runninghub.account.mock(return_value=gateway)
    await core.submitter.submit_pending()
    await until(lambda: runninghub.run.call_count == 1)
    async with monitoring(core):
        await until(lambda: runninghub.account.call_count >= 1)
        clock.go_on(2)
        await core.submitter.submit_pending()
        assert runninghub.run.call_count == 1
        runninghub.account.mock(return_value=httpx.Response(200, json=COINS))
        await passed(clock, lambda: runninghub.run.call_count == 2)
    await core.submitter.close()
    statuses = {(await stored(core.database, f"task-{number}")).status for number in (1, 2)}
    assert statuses == {S.SUBMIT_UNKNOWN, S.RUNNING}


async def test_the_limit_that_runninghub_reports_is_stored(
    core: Core, runninghub: RunningHub, monitoring: Monitoring
) -> None:
    runninghub.queue.respond(json={"code": 0, "message": "success", "data": {"concurrentLimit": "7"}})
    async with monitoring(core):
        await until(lambda: core.monitor.view.account("default").concurrent_limit == 7)


async def test_a_task_that_ended_is_polled_when_the_accounts_own_count_falls(
    make_core: MakeCore, runninghub: RunningHub, monitoring: Monitoring, clock: Clock
) -> None:
    async with make_core(max_concurrent_tasks=1) as core:
        task = await at_runninghub(core.database, 1)
        await core.database.reschedule(task, clock.now_ms + 15_000)
        await add_waiting(core.database, 2)
        runninghub.account.respond(json=answer(0, {"currentTaskCounts": "0"}))
        async with monitoring(core):
            async with asyncio.timeout(5):
                while await core.database.next_due_ms() != clock.now_ms:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_a_task_that_ended_during_anothers_paid_call_is_polled_at_once(
    make_core: MakeCore, runninghub: RunningHub, monitoring: Monitoring, clock: Clock
) -> None:
    async with make_core(max_concurrent_tasks=2) as core:
        task = await at_runninghub(core.database, 1)
        await core.database.reschedule(task, clock.now_ms + 15_000)
        assert (await add(core.database, 2)).status is S.SUBMITTING
        await add_waiting(core.database, 3)
        runninghub.account.respond(json=answer(0, {"currentTaskCounts": "2"}))
        async with monitoring(core):
            await until(lambda: runninghub.account.call_count >= 2)
            assert await core.database.next_due_ms() == clock.now_ms + 15_000
            runninghub.account.respond(json=answer(0, {"currentTaskCounts": "1"}))
            async with asyncio.timeout(5):
                while await core.database.next_due_ms() != clock.now_ms:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_a_slot_that_is_used_outside_this_service_is_not_used_here(
    core: Core, runninghub: RunningHub, monitoring: Monitoring
) -> None:
    runninghub.account.respond(json=answer(0, {"currentTaskCounts": "3"}))
    runninghub.run.respond(json=answer(421))
    await core.submitter.submit(new_task(1))
    async with monitoring(core):
        await until(lambda: core.monitor.view.account("default").running_elsewhere == 3)


@pytest.mark.parametrize(
    ("missing", "code"), [(True, WaitCode.ACCOUNT_MISSING), (False, WaitCode.SLOTS_FULL)]
)
async def test_a_waiting_task_says_what_it_waits_for(
    core: Core, runninghub: RunningHub, missing: bool, code: WaitCode
) -> None:
    host = "https://none.test" if missing else None
    await add_waiting(core.database, 1, base_url=host)
    waiting = core.monitor.waiting(await stored(core.database))
    assert waiting
    assert waiting.code is code


async def test_tasks_behind_the_first_wait_for_those_ahead(core: Core) -> None:
    for number in (1, 2):
        await add_waiting(core.database, number)
    waiting = core.monitor.waiting(await stored(core.database, "task-2"))
    assert waiting
    assert waiting.code is WaitCode.QUEUED


async def test_a_running_task_whose_account_left_the_settings_says_so(core: Core) -> None:
    task = await at_runninghub(core.database)
    assert core.monitor.waiting(task) is None
    waiting = core.monitor.waiting(task._replace(account="gone"))
    assert waiting
    assert waiting.code is WaitCode.ACCOUNT_MISSING


async def test_a_start_probes_a_paused_account_at_once(
    core: Core, runninghub: RunningHub, monitoring: Monitoring
) -> None:
    planned_ms = core.database.clock() + 300_000
    await core.database.update_account(
        "default",
        lambda row: replace(
            row, state=AccountState.KEY_REFUSED, is_probe_needed=True, next_probe_ms=planned_ms
        ),
    )
    runninghub.account.respond(json=COINS)
    async with monitoring(core):
        await until(lambda: runninghub.account.call_count == 1)
        await until(lambda: core.monitor.view.account("default").state is AccountState.OK)
