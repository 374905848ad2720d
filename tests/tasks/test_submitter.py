"""The paid call: made once, its outcome always stored, and nothing sent when nothing may be sent."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from db.engine import Connection
from errors import (
    AppError,
    DatabaseUnavailable,
    InvalidNodeInfo,
    RunningHubRejected,
    RunningHubTimeout,
    RunningHubUnavailable,
    WebappNotFound,
)
from models import AccountRow, CancelReason, Task, TaskStatus, WaitCode
from models import TaskStatus as S
from runninghub.codes import REFUSALS, Refusal
from secret_key import SecretKey
from tasks.submitter import INTERRUPTED
from tests.conftest import (
    API_KEY,
    NODE,
    WEBAPP_ID,
    Clock,
    Core,
    MakeCore,
    RunningHub,
    add,
    add_waiting,
    answer,
    execute,
    new_task,
    sqlite_file,
    stored,
    until,
    until_status,
)
from transitions import CancelRequested, OutcomeUnknown, WebhookReceived

pytestmark = [pytest.mark.anyio, pytest.mark.both_engines]

ACCEPTED = httpx.Response(200, json=answer(0, {"taskId": "77", "taskStatus": "RUNNING"}))
FULL = httpx.Response(200, json=answer(421, msg="TASK_QUEUE_MAXED"))
REFUSED = httpx.Response(200, json=answer(433, msg="VALIDATE_PROMPT_FAILED"))
CANCEL = CancelRequested(CancelReason.USER)
GATEWAY = httpx.Response(504, html="<h1>gateway</h1>")
UNSENT = httpx.ConnectError("refused")
MAY_RUN = (
    " The task may run at RunningHub and cost. Look it up in RunningHub's console and settle it; it is not"
    " sent again automatically."
)


class HeldCalls:
    """Paid calls that RunningHub has got and answers when the test says so, in the order they came."""

    def __init__(self, runninghub: RunningHub) -> None:
        self.sent: list[dict[str, Any]] = []
        self._answers: list[asyncio.Future[httpx.Response]] = []
        runninghub.run.mock(side_effect=self._take)

    async def _take(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(json.loads(request.content))
        self._answers.append(asyncio.get_running_loop().create_future())
        return await self._answers[-1]

    async def arrive(self, count: int = 1) -> None:
        await until(lambda: len(self.sent) >= count)

    def answer(self, reply: httpx.Response | Exception, number: int = 0) -> None:
        held = self._answers[number]
        if isinstance(reply, Exception):
            held.set_exception(reply)
        else:
            held.set_result(reply)


def acceptance(runninghub_task_id: str) -> httpx.Response:
    return httpx.Response(200, json=answer(0, {"taskId": runninghub_task_id, "taskStatus": "RUNNING"}))


@pytest.fixture
def held(runninghub: RunningHub) -> HeldCalls:
    return HeldCalls(runninghub)


def calls_of(runninghub: RunningHub) -> list[str]:
    """The values with which RunningHub was asked to run, each naming its task."""
    return [
        json.loads(call.request.content)["nodeInfoList"][0]["fieldValue"] for call in runninghub.run.calls
    ]


def named(number: int) -> list[dict[str, str]]:
    return [NODE | {"fieldValue": f"task-{number}"}]


async def go_on_for_an_hour(core: Core, clock: Clock) -> None:
    """All that the poller would do for tasks that wait or whose call is over."""
    for _ in range(3):
        clock.go_on(1200)
        await core.submitter.submit_pending()
        await core.submitter.give_up_stale()
        await core.submitter.give_up_stale(is_only_worker=True)


async def read_limits(core: Core) -> None:
    """What the monitor does first: the account's limit is known, so that all free slots are used."""
    row = replace(AccountRow("default"), concurrent_limit=50)
    await core.database.update_account("default", lambda _: row)


# What a response does to a task


@pytest.mark.parametrize(
    ("reply", "status"), [("RUNNING", S.RUNNING), ("QUEUED", S.QUEUED), ("CREATE", S.QUEUED)]
)
async def test_a_task_that_runninghub_took_is_there_under_its_id(
    core: Core, runninghub: RunningHub, clock: Clock, reply: str, status: TaskStatus
) -> None:
    runninghub.run.respond(json=answer(0, {"taskId": "77", "taskStatus": reply}))
    task = await core.submitter.submit(new_task())
    assert task == await stored(core.database)
    assert (task.status, task.runninghub_task_id, task.error) == (status, "77", None)
    assert task.accepted_ms == clock.now_ms
    assert await core.database.next_due_ms() == clock.now_ms + 2000


async def test_node_errors_beside_an_accepted_task_are_kept(core: Core, runninghub: RunningHub) -> None:
    tips = json.dumps({"node_errors": {"3": {"errors": [{"message": "odd"}], "class_type": "KSampler"}}})
    runninghub.run.respond(json=runninghub.accepted(promptTips=tips))
    task = await core.submitter.submit(new_task())
    assert task
    assert task.node_errors == {"message": "odd", "node_id": "3", "node_name": "KSampler"}


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (REFUSED, InvalidNodeInfo),
        (httpx.Response(200, json=answer(803)), InvalidNodeInfo),
        (httpx.Response(200, json=answer(901)), WebappNotFound),
        (httpx.Response(200, json=answer(810)), RunningHubRejected),
        (httpx.Response(200, json=answer(99999)), RunningHubRejected),
    ],
)
async def test_an_error_of_the_task_fails_it_with_the_problem_that_its_client_gets(
    core: Core, runninghub: RunningHub, clock: Clock, response: httpx.Response, kind: type[AppError]
) -> None:
    runninghub.run.mock(return_value=response)
    with pytest.raises(kind) as refused:
        await core.submitter.submit(new_task())
    assert refused.value.task_id == "task-1"
    task = await stored(core.database)
    assert task.status is S.FAILED
    assert task.error == {"code": kind.code, "message": refused.value.message}
    await go_on_for_an_hour(core, clock)
    assert runninghub.run.call_count == 1


ACCOUNT_REFUSALS = [
    *((code, WaitCode.INSUFFICIENT_BALANCE) for code in sorted(REFUSALS[Refusal.NO_BALANCE])),
    *((code, WaitCode.KEY_REFUSED) for code in sorted(REFUSALS[Refusal.KEY_REFUSED])),
    *((code, WaitCode.SLOTS_FULL) for code in sorted(REFUSALS[Refusal.FULL])),
]


@pytest.mark.parametrize(("code", "reason"), ACCOUNT_REFUSALS)
async def test_a_refusal_for_the_accounts_sake_leaves_the_task_waiting_and_says_why(
    core: Core, runninghub: RunningHub, code: int, reason: WaitCode
) -> None:
    runninghub.run.respond(json=answer(code))
    task = await core.submitter.submit(new_task())
    assert task
    waiting = core.monitor.waiting(task)
    assert (task.status, task.error, waiting and waiting.code) == (S.PENDING, None, reason)
    for _ in range(20):
        await core.submitter.submit_pending()
    assert runninghub.run.call_count == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_refused_in_http_alone_leaves_the_task_waiting(
    core: Core, runninghub: RunningHub, status: int
) -> None:
    runninghub.run.mock(return_value=httpx.Response(status, html="<h1>no</h1>"))
    task = await core.submitter.submit(new_task())
    assert task
    waiting = core.monitor.waiting(task)
    assert (task.status, waiting and waiting.code) == (S.PENDING, WaitCode.KEY_REFUSED)


async def test_two_hundred_waiting_tasks_survive_an_account_without_balance(
    core: Core, runninghub: RunningHub
) -> None:
    for number in range(200):
        await add_waiting(core.database, number)
    runninghub.run.respond(json=answer(414))
    for _ in range(50):
        await core.submitter.submit_pending()
    await core.submitter.close()
    assert (await core.database.count_by_status())[S.PENDING] == 200
    assert runninghub.run.call_count == 1


async def test_an_outage_costs_one_unknown_outcome_and_not_the_queue(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    for number in range(30):
        await add_waiting(core.database, number)
    core.account.client.responsiveness.failed()  # as the first poll in an outage does
    runninghub.run.mock(return_value=GATEWAY)
    for _ in range(20):
        await core.submitter.submit_pending()
        clock.go_on(5)
    await core.submitter.close()
    counts = await core.database.count_by_status()
    assert (counts[S.SUBMIT_UNKNOWN], counts[S.PENDING]) == (1, 29)


@pytest.mark.parametrize(
    "reply", [FULL, httpx.Response(429, text=""), httpx.Response(200, json=answer(1520)), UNSENT]
)
async def test_a_task_that_finds_no_slot_or_no_runninghub_waits_for_the_next_try(
    core: Core, runninghub: RunningHub, clock: Clock, reply: httpx.Response | Exception
) -> None:
    runninghub.run.mock(side_effect=[reply, ACCEPTED])
    task = await core.submitter.submit(new_task())
    assert task == await stored(core.database)
    assert (task.status, task.error, task.queue_position) == (S.PENDING, None, 1)
    await core.submitter.submit_pending()
    assert runninghub.run.call_count == 1
    clock.go_on(1.3)
    await core.submitter.submit_pending()
    await until_status(core.database, S.RUNNING)
    assert runninghub.run.call_count == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (GATEWAY, RunningHubUnavailable),
        (httpx.Response(200, json=answer(1005)), RunningHubUnavailable),
        (httpx.Response(200, html="<h1>welcome</h1>"), RunningHubUnavailable),
        (httpx.Response(200, json=answer(0, {})), RunningHubUnavailable),
        (httpx.ReadTimeout("late"), RunningHubTimeout),
        (httpx.ReadError("reset"), RunningHubTimeout),
        (httpx.RemoteProtocolError("odd"), RunningHubTimeout),
    ],
)
async def test_a_paid_call_without_an_answer_is_unknown_and_never_sent_again(
    core: Core,
    runninghub: RunningHub,
    clock: Clock,
    reply: httpx.Response | Exception,
    kind: type[AppError],
) -> None:
    runninghub.run.mock(side_effect=[reply])
    with pytest.raises(kind) as unknown:
        await core.submitter.submit(new_task())
    assert unknown.value.task_id == "task-1"
    task = await stored(core.database)
    assert task.status is S.SUBMIT_UNKNOWN
    assert task.error == {"code": kind.code, "message": unknown.value.message + MAY_RUN}
    await go_on_for_an_hour(core, clock)
    assert runninghub.run.call_count == 1
    assert await stored(core.database) == task


async def test_a_task_that_may_not_be_stored_is_not_sent(make_core: MakeCore, runninghub: RunningHub) -> None:
    async with make_core(max_pending_tasks=0) as core:
        assert await core.submitter.submit(new_task()) is None
    assert runninghub.run.call_count == 0


@pytest.mark.sqlite_only
async def test_without_a_row_on_disk_nothing_is_sent(
    core: Core, runninghub: RunningHub, tmp_path: Path
) -> None:
    await sqlite_file(core.database).writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        await core.submitter.submit(new_task())
    other.execute("ROLLBACK")
    other.close()
    await core.submitter.submit_pending()
    assert runninghub.run.call_count == 0


async def test_without_a_key_nothing_is_sent(make_core: MakeCore, runninghub: RunningHub) -> None:
    async with make_core(runninghub_api_key=None) as core:
        await add_waiting(core.database)
        await core.submitter.submit_pending()
        assert (await stored(core.database)).status is S.PENDING
    assert runninghub.run.call_count == 0


# What is sent beside the values


async def test_the_password_goes_up_in_clear_and_is_nowhere_after(
    core: Core, runninghub: RunningHub, tmp_path: Path
) -> None:
    await core.submitter.submit(new_task(encrypted_password=core.secret.encrypt("open sesame")))
    sent = json.loads(runninghub.run.calls.last.request.content)
    assert sent["accessPassword"] == "open sesame"
    assert (await stored(core.database)).encrypted_password is None
    assert b"open sesame" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


async def test_a_password_of_another_installation_is_left_out(core: Core, runninghub: RunningHub) -> None:
    foreign = SecretKey(b"x" * 32).encrypt("open sesame")
    await core.submitter.submit(new_task(encrypted_password=foreign))
    assert "accessPassword" not in json.loads(runninghub.run.calls.last.request.content)


async def test_a_webhook_is_requested_where_there_is_a_public_url(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    async with make_core(public_url="https://here.example") as core:
        await core.submitter.submit(new_task(instance_type="plus"))
        assert json.loads(runninghub.run.calls.last.request.content) == {
            "apiKey": API_KEY,
            "webappId": WEBAPP_ID,
            "nodeInfoList": [NODE],
            "instanceType": "plus",
            "webhookUrl": f"https://here.example/webhooks/runninghub/task-1/{core.secret.signature('task-1')}",
        }


# Order and once


async def test_tasks_go_in_the_order_they_came_also_after_a_refusal(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    accepted = [httpx.Response(200, json=runninghub.accepted()) for _ in range(5)]
    runninghub.run.mock(side_effect=[FULL, *accepted])
    for number in range(5):
        await core.submitter.submit(new_task(number, node_info=named(number)))
    assert calls_of(runninghub) == ["task-0"]
    clock.go_on(2)
    await core.submitter.submit_pending()
    await until_status(core.database, S.RUNNING, "task-4")
    assert calls_of(runninghub) == ["task-0", *(f"task-{number}" for number in range(5))]


async def test_many_submits_at_once_are_all_answered_and_sent_once(
    core: Core, runninghub: RunningHub
) -> None:
    tasks = await asyncio.gather(
        *(core.submitter.submit(new_task(number, node_info=named(number))) for number in range(40))
    )
    assert {task and task.status for task in tasks} == {S.RUNNING}
    assert sorted(calls_of(runninghub)) == sorted(f"task-{number}" for number in range(40))


async def test_a_claim_that_finds_no_slot_does_not_forget_the_queue(core: Core, held: HeldCalls) -> None:
    first = asyncio.create_task(core.submitter.submit(new_task(1)))
    await held.arrive()
    second = asyncio.create_task(core.submitter.submit(new_task(2)))
    await until_status(core.database, S.PENDING, "task-2")
    await core.submitter.submit_pending()
    held.answer(ACCEPTED, 0)
    await held.arrive(2)
    held.answer(acceptance("78"), 1)
    assert [task and task.status for task in await asyncio.gather(first, second)] == [S.RUNNING, S.RUNNING]


@pytest.fixture
async def other_worker(make_core: MakeCore) -> AsyncIterator[Core]:
    """A second submitter on the same rows, as another process would have."""
    async with make_core() as other:
        yield other


async def test_two_workers_send_each_task_once(
    core: Core, other_worker: Core, runninghub: RunningHub, clock: Clock
) -> None:
    for number in range(20):
        await add_waiting(core.database, number, node_info=named(number))
    while (await core.database.count_by_status())[S.RUNNING] < 20:
        await asyncio.gather(core.submitter.submit_pending(), other_worker.submitter.submit_pending())
    assert sorted(calls_of(runninghub)) == sorted(f"task-{number}" for number in range(20))


@pytest.mark.sqlite_only  # what arrives at once has no order on PostgreSQL
async def test_no_more_calls_than_max_concurrent_are_in_flight(make_core: MakeCore, held: HeldCalls) -> None:
    async with make_core(max_concurrent_tasks=2) as core:
        await read_limits(core)
        submits = [asyncio.create_task(core.submitter.submit(new_task(number))) for number in range(4)]
        await held.arrive(2)
        held.answer(acceptance("71"), 0)
        held.answer(REFUSED, 1)
        await held.arrive(3)
        held.answer(acceptance("72"), 2)
        ended = await asyncio.gather(*submits, return_exceptions=True)
    assert [task.status if isinstance(task, Task) else type(task) for task in ended] == [
        S.RUNNING,
        InvalidNodeInfo,
        S.RUNNING,
        S.PENDING,
    ]
    assert len(held.sent) == 3


@pytest.mark.sqlite_only  # 32 commits within the two seconds a submit waits
async def test_where_the_limit_is_known_all_free_slots_are_used_at_once(core: Core, held: HeldCalls) -> None:
    await read_limits(core)
    submits = [asyncio.create_task(core.submitter.submit(new_task(number))) for number in range(32)]
    await held.arrive(32)
    for number in range(32):
        held.answer(acceptance(str(100 + number)), number)
    assert {task and task.status for task in await asyncio.gather(*submits)} == {S.RUNNING}


# Cancelling while the call is in flight


async def cancelled_during_the_call(core: Core, held: HeldCalls, reply: httpx.Response | Exception) -> Task:
    encrypted = core.secret.encrypt("open sesame")
    submit = asyncio.create_task(core.submitter.submit(new_task(encrypted_password=encrypted)))
    await held.arrive()
    assert await core.database.store("task-1", CANCEL)
    held.answer(reply)
    await asyncio.gather(submit, return_exceptions=True)
    return await stored(core.database)


async def test_a_cancel_during_the_call_is_due_when_runninghub_accepted_the_task(
    core: Core, held: HeldCalls, runninghub: RunningHub, clock: Clock
) -> None:
    task = await cancelled_during_the_call(core, held, ACCEPTED)
    assert (task.status, task.is_cancel_due, task.next_poll_ms) == (S.RUNNING, True, clock.now_ms)
    await core.tasks.poll(task)
    (call,) = runninghub.cancel.calls
    assert json.loads(call.request.content) == {"apiKey": API_KEY, "taskId": "77"}


@pytest.mark.parametrize("reply", [FULL, UNSENT])
async def test_a_cancel_during_a_call_that_started_nothing_ends_the_task(
    core: Core, held: HeldCalls, clock: Clock, reply: httpx.Response | Exception
) -> None:
    task = await cancelled_during_the_call(core, held, reply)
    assert (task.status, task.encrypted_password) == (S.CANCELLED, None)
    await go_on_for_an_hour(core, clock)
    assert len(held.sent) == 1


@pytest.mark.parametrize(("reply", "status"), [(REFUSED, S.FAILED), (GATEWAY, S.SUBMIT_UNKNOWN)])
async def test_a_cancel_during_the_call_does_not_hide_a_refusal_or_an_unknown_outcome(
    core: Core, held: HeldCalls, runninghub: RunningHub, reply: httpx.Response, status: TaskStatus
) -> None:
    assert (await cancelled_during_the_call(core, held, reply)).status is status
    assert runninghub.cancel.call_count == 0


# Faults on the way


@pytest.mark.sqlite_only
async def test_an_outcome_is_kept_until_the_database_takes_it(
    core: Core, held: HeldCalls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    await sqlite_file(core.database).writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    held.answer(ACCEPTED)
    await until(lambda: any("outcome is not stored yet" in message for message in caplog.messages))
    assert "77" in [record.__dict__.get("runninghub_task_id") for record in caplog.records]
    assert (await stored(core.database)).status is S.SUBMITTING
    other.execute("ROLLBACK")
    other.close()
    task = await submit
    assert task
    assert (task.status, task.runninghub_task_id) == (S.RUNNING, "77")
    assert len(held.sent) == 1


async def test_another_write_that_fails_does_not_take_an_outcome_with_it(core: Core, held: HeldCalls) -> None:
    async def fails(_: Connection) -> None:
        raise ArithmeticError("a fault in the statements")

    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    both_wait = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, both_wait.set)
    writing = asyncio.create_task(core.database.engine.write(lambda _: both_wait.wait()))
    failing = asyncio.create_task(core.database.engine.write(fails))
    held.answer(ACCEPTED)
    await asyncio.gather(writing, failing, return_exceptions=True)
    async with asyncio.timeout(0.5):
        task = await submit
    assert task
    assert (task.status, task.runninghub_task_id) == (S.RUNNING, "77")


async def test_a_client_that_goes_away_changes_nothing_for_its_task(core: Core, held: HeldCalls) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await asyncio.sleep(0)
    submit.cancel()
    await held.arrive()
    held.answer(ACCEPTED)
    assert (await until_status(core.database, S.RUNNING)).runninghub_task_id == "77"


async def test_a_fault_of_ours_during_the_call_leaves_it_unknown_and_answers_who_waits(
    core: Core, held: HeldCalls
) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    (call,) = (task for task in asyncio.all_tasks() if task.get_name() == "submit task-1")
    held.answer(RuntimeError("a fault of ours"))
    assert [type(each) for each in await asyncio.gather(call, return_exceptions=True)] == [RuntimeError]
    async with asyncio.timeout(1):
        task = await submit
    assert task == await stored(core.database)
    assert (task.status, task.error) == (S.SUBMIT_UNKNOWN, INTERRUPTED)


# Stopping, and what a killed worker left behind


async def test_a_close_waits_for_the_call_under_way_and_stores_its_outcome(
    core: Core, held: HeldCalls
) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    closing = asyncio.create_task(core.submitter.close())
    task = await submit
    assert task
    assert task.status is S.SUBMITTING
    held.answer(ACCEPTED)
    await closing
    assert (await stored(core.database)).runninghub_task_id == "77"


async def test_after_a_stop_nothing_more_is_sent(core: Core, held: HeldCalls, clock: Clock) -> None:
    first = asyncio.create_task(core.submitter.submit(new_task(1)))
    await held.arrive()
    second = asyncio.create_task(core.submitter.submit(new_task(2)))
    await until_status(core.database, S.PENDING, "task-2")
    core.submitter.stop()
    assert [task and task.status for task in await asyncio.gather(first, second)] == [S.SUBMITTING, S.PENDING]
    held.answer(ACCEPTED)
    await until_status(core.database, S.RUNNING)
    await go_on_for_an_hour(core, clock)
    assert (await stored(core.database, "task-2")).status is S.PENDING
    assert len(held.sent) == 1


async def test_a_submit_after_a_stop_is_stored_and_waits_for_the_next_start(
    core: Core, held: HeldCalls
) -> None:
    core.submitter.stop()
    task = await core.submitter.submit(new_task())
    assert task == await stored(core.database)
    assert task.status is S.PENDING
    assert not held.sent


async def test_a_call_that_is_given_up_is_unknown(core: Core, held: HeldCalls) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    core.submitter.stop()
    await submit
    (call,) = (task for task in asyncio.all_tasks() if task.get_name() == "submit task-1")
    call.cancel()
    task = await until_status(core.database, S.SUBMIT_UNKNOWN)
    assert task.error == INTERRUPTED


async def test_the_calls_of_a_worker_that_is_gone_are_unknown(
    core: Core, runninghub: RunningHub, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await add(core.database)
    await execute(core.database, "UPDATE tasks SET worker = 'another'")
    await core.submitter.give_up_stale()
    assert (await stored(core.database)).status is S.SUBMITTING
    clock.go_on(6.1)
    with caplog.at_level(logging.WARNING):
        await core.submitter.give_up_stale()
    task = await stored(core.database)
    assert (task.status, task.error) == (S.SUBMIT_UNKNOWN, INTERRUPTED)
    assert caplog.messages == ["outcome of a paid call unknown"]
    await go_on_for_an_hour(core, clock)
    assert runninghub.run.call_count == 0


async def test_a_restarted_service_that_is_alone_gives_old_calls_up_at_once(core: Core) -> None:
    await add(core.database)
    await execute(core.database, "UPDATE tasks SET worker = 'another'")
    await core.submitter.give_up_stale(is_only_worker=True)
    assert (await stored(core.database)).status is S.SUBMIT_UNKNOWN


async def test_a_call_of_our_own_is_never_stale(core: Core, held: HeldCalls, clock: Clock) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    clock.go_on(3600)
    await core.submitter.give_up_stale(is_only_worker=True)
    assert (await stored(core.database)).status is S.SUBMITTING
    held.answer(ACCEPTED)
    assert await submit == await stored(core.database)


@pytest.mark.parametrize(("reply", "status"), [(ACCEPTED, S.RUNNING), (FULL, S.PENDING), (REFUSED, S.FAILED)])
async def test_a_late_answer_still_settles_a_call_that_another_worker_gave_up(
    core: Core, held: HeldCalls, reply: httpx.Response, status: TaskStatus
) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    await core.database.store("task-1", OutcomeUnknown(1, INTERRUPTED))
    held.answer(reply)
    await asyncio.gather(submit, return_exceptions=True)
    assert (await stored(core.database)).status is status


async def test_a_webhook_during_the_call_settles_it_when_its_answer_gets_lost(
    core: Core, held: HeldCalls, clock: Clock
) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    await core.database.store("task-1", WebhookReceived("88"))
    held.answer(GATEWAY)
    with pytest.raises(RunningHubUnavailable):
        await submit
    assert await core.database.next_due_ms() == clock.now_ms
    assert (await stored(core.database)).hinted_task_id == "88"


async def test_the_answers_own_id_goes_before_a_webhooks(core: Core, held: HeldCalls) -> None:
    submit = asyncio.create_task(core.submitter.submit(new_task()))
    await held.arrive()
    await core.database.store("task-1", WebhookReceived("88"))
    held.answer(ACCEPTED)
    task = await submit
    assert task
    assert (task.status, task.runninghub_task_id) == (S.RUNNING, "77")


async def test_a_claim_that_nobody_heard_of_waits_again(core: Core, held: HeldCalls) -> None:
    """The connection broke during the commit: the row is ours, and its paid call was never made."""
    await add_waiting(core.database)
    await read_limits(core)
    core.database.may_have_lost_claims = True
    sending = asyncio.create_task(core.submitter.submit(new_task(2)))
    await held.arrive(2)  # the head of the queue was claimed with it
    await core.submitter.give_up_stale()
    assert [(await stored(core.database, f"task-{number}")).status for number in (1, 2)] == [
        S.SUBMITTING,
        S.SUBMITTING,
    ]
    for number in range(2):
        held.answer(acceptance(str(71 + number)), number)
    await sending
    await core.submitter.close()


async def test_a_lost_claim_is_returned_to_the_queue(core: Core) -> None:
    await add(core.database)  # claimed by this worker, and its call was not made
    await core.submitter.give_up_stale()
    assert (await stored(core.database)).status is S.SUBMITTING
    core.database.may_have_lost_claims = True
    await core.submitter.give_up_stale()
    assert (await stored(core.database)).status is S.PENDING
    assert not core.database.may_have_lost_claims
