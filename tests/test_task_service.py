"""The operations on a task: validation before paying, polls, cancels, settling, and webhooks."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from database import Database
from errors import (
    AlreadyKnown,
    AppError,
    IdempotencyKeyReused,
    InvalidNodeInfo,
    NotCancellable,
    NotUnknown,
    RunningHubNotConfigured,
    RunningHubUnavailable,
    TaskNotFound,
    TooManyPending,
)
from models import CancelReason, Task
from models import TaskStatus as S
from runninghub.webhook import named_task
from task_service import Submission, TaskService
from tests.conftest import (
    API_KEY,
    NODE,
    RUNNINGHUB_URL,
    WEBAPP_ID,
    Clock,
    Core,
    MakeCore,
    RunningHub,
    add,
    answer,
    at_runninghub,
    execute,
    stored,
)
from transitions import (
    DEADLINE,
    LOST,
    Accepted,
    CancelRequested,
    Event,
    Finished,
    NotStarted,
    OutcomeUnknown,
    Rejected,
    WebhookReceived,
)

pytestmark = pytest.mark.anyio

CANCEL = CancelRequested(CancelReason.USER)
ERROR = {"code": "c", "message": "m"}

SUBMISSION = Submission([NODE], WEBAPP_ID)
FILES = [{"fileUrl": "https://x/1.png", "taskCostTime": "27"}, {"fileUrl": "https://x/2.png"}]
FORM_NODE = {
    "nodeId": "9",
    "fieldName": "steps",
    "fieldType": "INT",
    "fieldValue": "20",
    "fieldData": '["INT", {"min": 1, "max": 50}]',
}
STEPS = {"nodeId": "9", "fieldName": "steps", "fieldValue": "20"}
SAMPLE_NODE = {"nodeId": "3", "fieldName": "image", "fieldType": "IMAGE", "fieldValue": "sample.png"}


def form_with(*nodes: dict[str, Any]) -> dict[str, Any]:
    return answer(0, {"webappName": "An app", "nodeInfoList": list(nodes)})


def says(runninghub: RunningHub, code: int, data: Any = None) -> None:
    """What RunningHub says of every task."""
    runninghub.outputs.respond(json=answer(code, data))


async def polled(core: Core, task_id: str = "task-1") -> Task:
    """The task after a poll, as the poller makes it."""
    await core.database.lease_due(lease_ms=45_000, limit=9)
    await core.tasks.poll(await stored(core.database, task_id))
    return await stored(core.database, task_id)


async def unknown(database: Database, hint: str | None = None) -> Task:
    await add(database)
    if hint:
        await database.store("task-1", WebhookReceived(hint))
    changed = await database.store("task-1", OutcomeUnknown(1, ERROR))
    assert changed
    return changed


async def in_status(database: Database, status: S) -> Task:
    """A task that RunningHub does not run: not yet, or not any more."""
    ways: dict[S, list[Event]] = {
        S.PENDING: [NotStarted(1)],
        S.SUBMITTING: [],
        S.RUNNING: [Accepted(1, "1001", True, None, 0)],
        S.SUBMIT_UNKNOWN: [OutcomeUnknown(1, ERROR)],
        S.SUCCESS: [Accepted(1, "1001", True, None, 0), Finished("1001", [], None, None, {})],
        S.FAILED: [Rejected(1, ERROR)],
        S.CANCELLED: [NotStarted(1), CANCEL],
    }
    await add(database)
    for event in ways[status]:
        assert await database.store("task-1", event)
    return await stored(database)


# Submitting


async def test_a_submit_answers_the_task_as_it_is_stored(core: Core, runninghub: RunningHub) -> None:
    submission = replace(
        SUBMISSION, instance_type="plus", access_password="open sesame", idempotency_key="key"
    )
    task, warnings = await core.tasks.submit(submission)
    assert warnings == []
    assert task == await stored(core.database, task.id)
    assert (task.status, task.node_info, task.instance_type) == (S.RUNNING, [NODE], "plus")
    assert task.request_digest == core.secret.digest(submission.text)
    sent = json.loads(runninghub.run.calls.last.request.content)
    assert (sent["instanceType"], sent["accessPassword"]) == ("plus", "open sesame")


async def test_ids_sort_by_the_time_of_their_submit(core: Core, clock: Clock) -> None:
    ids = []
    for _ in range(3):
        clock.go_on(1)
        task, _ = await core.tasks.submit(SUBMISSION)
        ids.append(task.id)
    assert ids == sorted(set(ids))
    assert {len(task_id) for task_id in ids} == {32}


async def test_without_a_key_nothing_is_stored(make_core: MakeCore) -> None:
    async with make_core(runninghub_api_key=None) as core:
        with pytest.raises(RunningHubNotConfigured):
            await core.tasks.submit(SUBMISSION)
        assert sum((await core.database.count_by_status()).values()) == 0


async def test_a_refused_submit_names_the_row_it_left(core: Core, runninghub: RunningHub) -> None:
    runninghub.run.respond(json=answer(433))
    with pytest.raises(InvalidNodeInfo) as refused:
        await core.tasks.submit(SUBMISSION)
    assert (await stored(core.database, refused.value.task_id or "")).status is S.FAILED


async def test_past_max_pending_a_submit_is_told_to_come_again(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    runninghub.run.respond(json=answer(421))
    async with make_core(max_pending_tasks=1) as core:
        first, _ = await core.tasks.submit(SUBMISSION)
        assert first.status is S.PENDING
        with pytest.raises(TooManyPending) as refused:
            await core.tasks.submit(SUBMISSION)
        assert refused.value.retry_after == 10
        assert "raise MAX_PENDING_TASKS" in refused.value.message


# The same key


async def test_ten_submits_at_once_with_one_key_are_one_task_and_one_call(
    core: Core, runninghub: RunningHub
) -> None:
    submission = replace(SUBMISSION, idempotency_key="key")
    answers = await asyncio.gather(*(core.tasks.submit(submission) for _ in range(10)))
    assert len({task.id for task, _ in answers}) == 1
    assert {task.status for task, _ in answers} == {S.RUNNING}
    assert runninghub.run.call_count == 1
    assert sum((await core.database.count_by_status()).values()) == 1


async def test_the_same_key_after_a_restart_is_the_same_task(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    submission = replace(SUBMISSION, idempotency_key="key", access_password="open sesame")
    async with make_core() as core:
        first, _ = await core.tasks.submit(submission)
    async with make_core() as core:
        assert await core.tasks.submit(submission) == (first, [])
    assert runninghub.run.call_count == 1


async def test_the_same_key_with_a_refused_task_gets_its_row_and_pays_for_nothing_more(
    core: Core, runninghub: RunningHub
) -> None:
    runninghub.run.respond(json=answer(433))
    submission = replace(SUBMISSION, idempotency_key="key")
    with pytest.raises(InvalidNodeInfo) as refused:
        await core.tasks.submit(submission)
    task, _ = await core.tasks.submit(submission)
    assert (task.id, task.status) == (refused.value.task_id, S.FAILED)
    assert runninghub.run.call_count == 1


@pytest.mark.parametrize(
    "other",
    [
        {"webapp_id": "2"},
        {"node_info": []},
        {"instance_type": "plus"},
        {"access_password": "open sesame"},
    ],
)
async def test_the_same_key_with_another_body_is_refused(
    core: Core, runninghub: RunningHub, other: dict[str, Any]
) -> None:
    submission = replace(SUBMISSION, idempotency_key="key")
    await core.tasks.submit(submission)
    with pytest.raises(IdempotencyKeyReused):
        await core.tasks.submit(replace(submission, **other))
    assert runninghub.run.call_count == 1


async def test_a_key_whose_task_waits_is_answered_although_no_more_may_wait(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    runninghub.run.respond(json=answer(421))
    submission = replace(SUBMISSION, idempotency_key="key")
    async with make_core(max_pending_tasks=1) as core:
        first, _ = await core.tasks.submit(submission)
        again, _ = await core.tasks.submit(submission)
        assert again == first


# The check before paying


async def test_a_value_that_does_not_fit_is_refused_before_anything_is_stored(
    core: Core, runninghub: RunningHub
) -> None:
    runninghub.form.respond(json=form_with(FORM_NODE))
    with pytest.raises(InvalidNodeInfo) as refused:
        await core.tasks.submit(Submission([STEPS | {"fieldValue": "99"}], WEBAPP_ID))
    assert refused.value.errors == [
        {"nodeId": "9", "fieldName": "steps", "msg": "Must be at most 50."},
    ]
    assert sum((await core.database.count_by_status()).values()) == 0
    assert runninghub.run.call_count == 0


async def test_a_form_is_fetched_anew_before_it_refuses(core: Core, runninghub: RunningHub) -> None:
    wider = FORM_NODE | {"fieldData": '["INT", {"min": 1, "max": 100}]'}
    pages = [httpx.Response(200, json=form_with(node)) for node in (FORM_NODE, wider)]
    runninghub.form.mock(side_effect=pages)
    await core.forms.cached_or_fetch("webapp", WEBAPP_ID)
    task, _ = await core.tasks.submit(Submission([STEPS | {"fieldValue": "99"}], WEBAPP_ID))
    assert task.status is S.RUNNING
    assert runninghub.form.call_count == 2


async def test_a_form_that_accepts_is_fetched_once(core: Core, runninghub: RunningHub) -> None:
    for _ in range(3):
        await core.tasks.submit(SUBMISSION)
    assert runninghub.form.call_count == 1


@pytest.mark.parametrize(
    "response", [httpx.Response(500), httpx.Response(200, json=answer(1, msg="webapp not exists"))]
)
async def test_without_a_form_there_is_no_check(
    core: Core, runninghub: RunningHub, response: httpx.Response
) -> None:
    runninghub.form.mock(return_value=response)
    task, warnings = await core.tasks.submit(Submission([STEPS | {"fieldValue": "99"}], WEBAPP_ID))
    assert (task.status, warnings) == (S.RUNNING, [])


async def test_a_form_without_fields_says_nothing_about_values(core: Core, runninghub: RunningHub) -> None:
    runninghub.form.respond(json=form_with())
    task, _ = await core.tasks.submit(SUBMISSION)
    assert task.status is S.RUNNING


async def test_a_file_left_at_the_authors_sample_is_a_warning(core: Core, runninghub: RunningHub) -> None:
    runninghub.form.respond(json=form_with(NODE, SAMPLE_NODE))
    _, warnings = await core.tasks.submit(SUBMISSION)
    assert warnings == [
        {
            "nodeId": "3",
            "fieldName": "image",
            "message": "The author's sample file will be used; upload your own if that is not meant.",
        }
    ]


async def test_a_field_that_changed_since_the_front_end_read_it_is_a_warning(
    core: Core, runninghub: RunningHub
) -> None:
    changed = FORM_NODE | {"fieldValue": "30"}
    pages = [httpx.Response(200, json=form_with(NODE, node)) for node in (FORM_NODE, changed)]
    runninghub.form.mock(side_effect=pages)
    await core.forms.get("webapp", WEBAPP_ID)
    await core.forms.fetch("webapp", WEBAPP_ID)
    _, warnings = await core.tasks.submit(Submission([NODE, STEPS], WEBAPP_ID))
    assert warnings == [
        {
            "nodeId": "9",
            "fieldName": "steps",
            "message": "The app's author has changed this field since the form was read.",
        }
    ]


# Polls


async def test_a_finished_task_has_its_results_and_the_run_time_that_runninghub_counted(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    await at_runninghub(core.database)
    clock.go_on(40)
    says(runninghub, 0, FILES)
    task = await polled(core)
    assert (task.status, task.result_data, task.error) == (S.SUCCESS, FILES, None)
    assert await core.database.run_times(WEBAPP_ID, limit=9) == [27.0]


@pytest.mark.parametrize("cost", [None, "0", 0, "soon", "nan", "-1", "inf", 1e9, [1]])
async def test_without_runninghubs_count_the_run_time_is_ours(
    core: Core, runninghub: RunningHub, clock: Clock, cost: Any
) -> None:
    await at_runninghub(core.database)
    clock.go_on(40)
    runninghub.outputs.respond(text=json.dumps(answer(0, [{"taskCostTime": cost}, "odd"])))
    assert (await polled(core)).status is S.SUCCESS
    assert await core.database.run_times(WEBAPP_ID, limit=9) == [40.0]


async def test_a_task_without_outputs_is_a_success_with_an_empty_list(
    core: Core, runninghub: RunningHub
) -> None:
    await at_runninghub(core.database)
    says(runninghub, 0, [])
    assert (await polled(core)).result_data == []


@pytest.mark.parametrize(
    ("before", "code", "after"),
    [
        (S.QUEUED, 804, S.RUNNING),
        (S.RUNNING, 813, S.QUEUED),
        (S.QUEUED, 813, S.QUEUED),
        (S.RUNNING, 804, S.RUNNING),
        (S.QUEUED, 0, S.RUNNING),
    ],
)
async def test_a_task_follows_runninghubs_progress_and_is_polled_again(
    core: Core, runninghub: RunningHub, clock: Clock, before: S, code: int, after: S
) -> None:
    task = await at_runninghub(core.database, status=before)
    says(runninghub, code)
    seen = await polled(core)
    assert (seen.status, seen.version) == (after, task.version + (before is not after))
    due_ms = await core.database.next_due_ms()
    assert due_ms
    assert 1800 <= due_ms - clock.now_ms <= 2200


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, {"code": "run_failed", "message": "RunningHub ended the task and gave no reason."}),
        (
            {"failedReason": {"exception_message": "no memory", "node_id": "3", "node_name": "KSampler"}},
            {"code": "run_failed", "message": "no memory", "node_id": "3", "node_name": "KSampler"},
        ),
    ],
)
async def test_a_failed_task_says_why(
    core: Core, runninghub: RunningHub, data: Any, error: dict[str, str]
) -> None:
    await at_runninghub(core.database)
    says(runninghub, 805, data)
    task = await polled(core)
    assert (task.status, task.error, task.result_data) == (S.FAILED, error, None)


async def test_node_errors_of_the_submit_are_the_error_of_a_task_that_fails(
    core: Core, runninghub: RunningHub
) -> None:
    await add(core.database)
    node_errors = {"message": "Value not in list", "node_id": "3", "node_name": "KSampler"}
    await core.database.store("task-1", Accepted(1, "1001", True, node_errors, 0))
    says(runninghub, 805)
    assert (await polled(core)).error == {"code": "run_failed", **node_errors}


async def test_a_failure_without_a_reason_after_a_cancel_is_the_cancel(
    core: Core, runninghub: RunningHub
) -> None:
    await at_runninghub(core.database)
    await core.database.store("task-1", CANCEL)
    says(runninghub, 805)
    task = await polled(core)
    assert (task.status, task.error) == (S.CANCELLED, None)


async def test_a_failure_with_a_reason_before_the_cancel_is_confirmed_is_a_failure(
    core: Core, runninghub: RunningHub
) -> None:
    await at_runninghub(core.database)
    await core.database.store("task-1", CANCEL)
    runninghub.cancel.respond(502)
    says(runninghub, 805, {"failedReason": {"exception_message": "no memory"}})
    assert (await polled(core)).error == {"code": "run_failed", "message": "no memory"}


async def test_a_cancelled_task_that_finished_all_the_same_is_a_success(
    core: Core, runninghub: RunningHub
) -> None:
    await at_runninghub(core.database)
    await core.database.store("task-1", CANCEL)
    says(runninghub, 0, FILES)
    assert (await polled(core)).status is S.SUCCESS


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, html="<h1>oops</h1>"),
        httpx.Response(200, json=answer(806)),
        httpx.Response(200, json=answer(1000)),
        httpx.Response(200, json=answer(421)),
        httpx.Response(200, json=answer(0, {})),
        httpx.Response(429),
    ],
)
async def test_a_poll_without_an_outcome_changes_nothing(
    core: Core, runninghub: RunningHub, response: httpx.Response
) -> None:
    before = await at_runninghub(core.database)
    runninghub.outputs.mock(return_value=response)
    with pytest.raises(AppError):
        await core.tasks.poll(before)
    assert await stored(core.database) == before


async def test_a_final_task_is_not_polled(core: Core, runninghub: RunningHub) -> None:
    await at_runninghub(core.database)
    says(runninghub, 0, FILES)
    final = await polled(core)
    assert await polled(core) == final == await core.tasks.query("task-1")
    assert runninghub.outputs.call_count == 1


async def test_the_end_of_a_task_sends_the_next_that_waits(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    await at_runninghub(core.database, 1)
    runninghub.run.mock(side_effect=[httpx.Response(200, json=answer(421)), httpx.Response(500)])
    waiting, _ = await core.tasks.submit(SUBMISSION)
    assert waiting.status is S.PENDING
    says(runninghub, 0, FILES)
    await polled(core)
    await core.submitter.close()
    assert (await stored(core.database, waiting.id)).status is S.SUBMIT_UNKNOWN


# Lost at RunningHub


async def sent_with_its_key(core: Core, task_id: str = "task-1") -> None:
    """A task that the account, with the key that it has now, sent to RunningHub."""
    if await core.database.task(task_id) is None:
        await at_runninghub(core.database)
    await execute(
        core.database,
        "UPDATE tasks SET key_fingerprint = :own",
        own=core.account.key_fingerprint,
    )


async def test_a_task_is_lost_after_six_responses_over_ten_minutes_of_running_time(
    make_core: MakeCore, runninghub: RunningHub, clock: Clock
) -> None:
    running_s = [0.0]
    says(runninghub, 807)
    async with make_core(monotonic=lambda: running_s[0]) as core:
        await sent_with_its_key(core)
        for _ in range(5):
            assert (await polled(core)).status is S.RUNNING
            clock.go_on(150)
            running_s[0] += 150
        lost = await polled(core)
    assert (lost.status, lost.error) == (S.FAILED, LOST)


async def test_neither_a_clock_step_nor_a_restart_counts_as_running_time(
    make_core: MakeCore, runninghub: RunningHub, clock: Clock
) -> None:
    says(runninghub, 807)
    for number in range(10):
        async with make_core(monotonic=lambda: 0.0) as core:
            if number == 0:
                await sent_with_its_key(core)
            task = await polled(core)
        clock.go_on(3600)
    assert (task.status, task.lost_responses, task.lost_running_ms) == (S.RUNNING, 10, 0)


async def test_an_account_with_another_key_loses_no_task(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    await at_runninghub(core.database)
    await execute(core.database, "UPDATE tasks SET key_fingerprint = 'of an older key'")
    says(runninghub, 807)
    for _ in range(10):
        await core.tasks.poll(await stored(core.database))
    task = await stored(core.database)
    assert (task.status, task.lost_responses) == (S.RUNNING, 0)


# Hosts


OTHER_URL = "http://runninghub.other.test"
TWO_HOSTS = {
    "runninghub_accounts": json.dumps(
        [
            {"name": name, "api_key": name * 8, "base_url": url}
            for name, url in (("here", RUNNINGHUB_URL), ("away", OTHER_URL))
        ]
    )
}


async def test_a_file_that_was_uploaded_to_both_hosts_can_be_used_on_both(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    """RunningHub names a file by its content: the second upload of a picture returns the same name."""
    runninghub.form.respond(json=form_with(SAMPLE_NODE))
    submission = Submission([SAMPLE_NODE | {"fieldValue": "api/f.png"}], WEBAPP_ID)
    async with make_core(**TWO_HOSTS) as core:
        here, away = core.accounts.all
        core.tasks.file_uploaded(away, "api/f.png")
        with pytest.raises(InvalidNodeInfo) as refused:
            await core.tasks.submit(submission)
        core.tasks.file_uploaded(here, "api/f.png")
        core.tasks.file_uploaded(away, "api/f.png")
        task, _ = await core.tasks.submit(submission)
    assert refused.value.errors == [
        {
            "nodeId": "3",
            "fieldName": "image",
            "msg": f"The file is on {OTHER_URL}, the app on {RUNNINGHUB_URL}.",
        }
    ]
    assert (task.base_url, task.account) == (RUNNINGHUB_URL, "here")


# Queries


async def test_a_query_asks_runninghub_now(core: Core, runninghub: RunningHub) -> None:
    await at_runninghub(core.database)
    says(runninghub, 0, FILES)
    task = await core.tasks.query("1001")
    assert (task.id, task.status) == ("task-1", S.SUCCESS)
    sent = json.loads(runninghub.outputs.calls.last.request.content)
    assert sent == {"apiKey": API_KEY, "taskId": "1001"}


@pytest.mark.parametrize("status", [S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN, S.FAILED])
async def test_a_query_of_a_task_that_is_not_at_runninghub_is_answered_from_the_database(
    core: Core, runninghub: RunningHub, status: S
) -> None:
    await in_status(core.database, status)
    assert await core.tasks.query("task-1") == await stored(core.database)
    assert runninghub.outputs.call_count == 0


@pytest.mark.parametrize(
    ("code", "data", "status"),
    [(813, None, S.QUEUED), (804, None, S.RUNNING), (0, FILES, S.SUCCESS), (805, None, S.FAILED)],
)
async def test_a_task_that_only_runninghub_knows_is_imported(
    core: Core, runninghub: RunningHub, code: int, data: Any, status: S
) -> None:
    says(runninghub, code, data)
    task = await core.tasks.query("555")
    assert (task.status, task.runninghub_task_id, task.webapp_id, task.node_info) == (status, "555", None, [])
    assert await core.tasks.task("555") == task
    assert (await core.tasks.query(task.id)).id == task.id


async def test_a_task_that_many_query_at_once_is_imported_once(core: Core, runninghub: RunningHub) -> None:
    tasks = await asyncio.gather(*(core.tasks.query("555") for _ in range(5)))
    assert len({task.id for task in tasks}) == 1
    assert sum((await core.database.count_by_status()).values()) == 1


@pytest.mark.parametrize("code", [423, 807, 1004])
async def test_a_task_that_nobody_knows_is_not_found(core: Core, runninghub: RunningHub, code: int) -> None:
    says(runninghub, code)
    with pytest.raises(TaskNotFound):
        await core.tasks.query("555")
    assert sum((await core.database.count_by_status()).values()) == 0


@pytest.mark.parametrize("ref", ["abc", "5x", "", "1" * 31, "٣", "0199f0c2"])
async def test_what_can_be_no_id_of_runninghub_is_not_queried(
    core: Core, runninghub: RunningHub, ref: str
) -> None:
    with pytest.raises(TaskNotFound):
        await core.tasks.query(ref)
    assert runninghub.outputs.call_count == 0


async def test_a_task_that_could_not_be_queried_is_not_imported(core: Core, runninghub: RunningHub) -> None:
    runninghub.outputs.respond(500)
    with pytest.raises(RunningHubUnavailable):
        await core.tasks.query("555")
    with pytest.raises(TaskNotFound):
        await core.tasks.task("555")


# Cancelling


async def test_a_waiting_task_is_cancelled_without_runninghub(core: Core, runninghub: RunningHub) -> None:
    await in_status(core.database, S.PENDING)
    task = await core.tasks.cancel("task-1")
    assert (task.status, task.queue_position) == (S.CANCELLED, None)
    assert not runninghub.cancel.called


async def test_a_running_task_is_cancelled_at_runninghub_and_polled(
    core: Core, runninghub: RunningHub
) -> None:
    await at_runninghub(core.database)
    says(runninghub, 805)
    assert (await core.tasks.cancel("1001")).status is S.CANCELLED
    sent = json.loads(runninghub.cancel.calls.last.request.content)
    assert sent == {"apiKey": API_KEY, "taskId": "1001"}


async def test_a_cancel_during_the_paid_call_is_noted(core: Core, runninghub: RunningHub) -> None:
    await add(core.database)
    task = await core.tasks.cancel("task-1")
    assert (task.status, task.cancel_reason) == (S.SUBMITTING, CancelReason.USER)
    assert not runninghub.cancel.called


async def test_a_cancel_that_runninghub_does_not_confirm_is_sent_again_until_it_does(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    await at_runninghub(core.database)
    runninghub.cancel.mock(
        side_effect=[httpx.Response(502), httpx.ConnectError("no"), httpx.Response(200, json=answer(0))]
    )
    assert (await core.tasks.cancel("task-1")).status is S.RUNNING
    await polled(core)
    assert (await stored(core.database)).is_cancel_due
    await polled(core)
    assert (await stored(core.database)).is_cancel_confirmed
    says(runninghub, 805, {"failedReason": {"exception_message": "interrupted"}})
    assert (await polled(core)).status is S.CANCELLED
    assert runninghub.cancel.call_count == 3


async def test_a_cancel_is_kept_while_the_outcome_is_unknown_and_sent_when_it_is_settled(
    core: Core, runninghub: RunningHub
) -> None:
    await unknown(core.database)
    assert (await core.tasks.cancel("task-1")).status is S.SUBMIT_UNKNOWN
    await core.tasks.settle("task-1", runninghub_task_id="99")
    await polled(core)
    assert json.loads(runninghub.cancel.calls.last.request.content)["taskId"] == "99"


async def test_a_task_past_its_deadline_is_cancelled_at_runninghub_too(
    core: Core, runninghub: RunningHub, clock: Clock
) -> None:
    task, _ = await core.tasks.submit(replace(SUBMISSION, deadline_s=60))
    assert await core.tasks.cancel_past_deadline(limit=9) is False
    clock.go_on(60)
    assert await core.tasks.cancel_past_deadline(limit=9) is True
    says(runninghub, 805)
    ended = await polled(core, task.id)
    assert (ended.status, ended.error) == (S.CANCELLED, DEADLINE)
    assert runninghub.cancel.call_count == 1


@pytest.mark.parametrize("status", [S.SUCCESS, S.FAILED, S.CANCELLED])
async def test_a_final_task_cannot_be_cancelled(core: Core, status: S) -> None:
    await in_status(core.database, status)
    with pytest.raises(NotCancellable, match=rf"^The task is {status} already\.$"):
        await core.tasks.cancel("task-1")


async def test_a_cancel_that_meets_the_refusal_of_the_paid_call_still_cancels(core: Core) -> None:
    await add(core.database)
    await core.tasks.cancel("task-1")
    refused = await core.database.store("task-1", NotStarted(1))
    assert refused
    assert refused.status is S.CANCELLED


# Settling, and webhooks


async def test_an_id_that_runninghub_does_not_know_settles_nothing(
    core: Core, runninghub: RunningHub
) -> None:
    before = await unknown(core.database)
    says(runninghub, 807)
    with pytest.raises(TaskNotFound):
        await core.tasks.settle("task-1", runninghub_task_id="99")
    assert await stored(core.database) == before


async def test_an_id_that_another_task_has_settles_nothing(core: Core) -> None:
    await at_runninghub(core.database, 2)
    before = await unknown(core.database)
    with pytest.raises(AlreadyKnown) as refused:
        await core.tasks.settle("task-1", runninghub_task_id="1002")
    assert refused.value.task_id == "task-2"
    assert await stored(core.database) == before


@pytest.mark.parametrize(("code", "status"), [(804, S.RUNNING), (0, S.SUCCESS)])
async def test_an_id_that_a_webhook_reported_takes_precedence_over_a_resubmit(
    core: Core, runninghub: RunningHub, code: int, status: S
) -> None:
    await unknown(core.database, hint="88")
    says(runninghub, code, [] if code == 0 else None)
    task = await core.tasks.settle("task-1", runninghub_task_id=None)
    assert (task.status, task.runninghub_task_id) == (status, "88")
    assert runninghub.run.call_count == 0


async def test_while_a_webhooks_id_cannot_be_queried_nothing_is_sent_again(
    core: Core, runninghub: RunningHub
) -> None:
    before = await unknown(core.database, hint="88")
    runninghub.outputs.respond(502)
    with pytest.raises(RunningHubUnavailable):
        await core.tasks.settle("task-1", runninghub_task_id=None)
    assert await stored(core.database) == before


async def test_a_webhook_after_a_resubmit_withdraws_the_task_from_the_queue(
    core: Core, runninghub: RunningHub
) -> None:
    await unknown(core.database)
    await core.tasks.settle("task-1", runninghub_task_id=None)
    await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
    await core.submitter.submit_pending()
    await core.submitter.close()
    assert runninghub.run.call_count == 0
    says(runninghub, 0, FILES)
    task = await polled(core)
    assert (task.status, task.runninghub_task_id) == (S.SUCCESS, "88")


async def test_a_webhook_that_arrives_during_a_resubmit_is_not_dropped(
    core: Core, runninghub: RunningHub
) -> None:
    await unknown(core.database, hint="88")

    async def webhook_of_another_run(_: httpx.Request) -> httpx.Response:
        await core.tasks.webhook("task-1", core.secret.signature("task-1"), "89")
        return httpx.Response(200, json=answer(807))

    runninghub.outputs.mock(side_effect=webhook_of_another_run)
    await core.tasks.settle("task-1", runninghub_task_id=None)
    await core.submitter.submit_pending()
    await core.submitter.close()
    assert runninghub.run.call_count == 0
    runninghub.outputs.side_effect = None
    says(runninghub, 0, FILES)
    task = await polled(core)
    assert (task.status, task.runninghub_task_id) == (S.SUCCESS, "89")


async def test_a_person_names_the_id_of_an_unknown_task_and_polling_resumes(core: Core, clock: Clock) -> None:
    await unknown(core.database)
    task = await core.tasks.settle("task-1", runninghub_task_id="99")
    assert (task.status, task.runninghub_task_id, task.error) == (S.RUNNING, "99", None)
    assert await core.database.next_due_ms()


async def test_a_person_sends_an_unknown_task_again(core: Core, runninghub: RunningHub) -> None:
    await unknown(core.database)
    task = await core.tasks.settle("task-1", runninghub_task_id=None)
    assert (task.status, task.error, task.queue_position) == (S.PENDING, None, 1)
    await core.submitter.submit_pending()
    await core.submitter.close()
    assert (await stored(core.database)).status is S.RUNNING
    assert runninghub.run.call_count == 1


async def test_a_task_that_is_sent_again_is_not_cancelled_by_a_cancel_of_its_first_try(
    core: Core, runninghub: RunningHub
) -> None:
    await add(core.database)
    await core.database.store("task-1", CANCEL)
    await core.database.store("task-1", OutcomeUnknown(1, ERROR))
    await core.tasks.settle("task-1", runninghub_task_id=None)
    await core.submitter.submit_pending()
    await core.submitter.close()
    assert (await stored(core.database)).cancel_reason is None
    assert runninghub.cancel.call_count == 0


async def test_a_task_that_is_sent_again_forgets_a_webhook_that_runninghub_does_not_know(
    core: Core, runninghub: RunningHub
) -> None:
    await unknown(core.database, hint="88")
    says(runninghub, 807)
    task = await core.tasks.settle("task-1", runninghub_task_id=None)
    assert task.hinted_task_id is None


@pytest.mark.parametrize("status", [S.PENDING, S.SUBMITTING, S.RUNNING, S.FAILED, S.CANCELLED])
@pytest.mark.parametrize("decision", ["99", None])
async def test_only_an_unknown_task_can_be_settled(core: Core, status: S, decision: str | None) -> None:
    before = await in_status(core.database, status)
    with pytest.raises(NotUnknown):
        await core.tasks.settle("task-1", runninghub_task_id=decision)
    assert await stored(core.database) == before


async def test_of_two_settlements_at_once_one_counts(core: Core, runninghub: RunningHub) -> None:
    await unknown(core.database)
    settled = await asyncio.gather(
        *(core.tasks.settle("task-1", runninghub_task_id=None) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in settled) == ["NotUnknown", "NotUnknown", "Task"]


async def test_a_webhook_makes_the_poll_due_now(core: Core, clock: Clock) -> None:
    await at_runninghub(core.database)
    await core.database.reschedule(await stored(core.database), clock.now_ms + 9000)
    await core.tasks.webhook("task-1", core.secret.signature("task-1"), "1001")
    assert await core.database.next_due_ms() == clock.now_ms


@pytest.mark.parametrize("signature", ["", "0" * 64, "猫"])
async def test_a_forged_webhook_is_not_found_and_changes_nothing(
    core: Core, clock: Clock, signature: str
) -> None:
    await unknown(core.database)
    with pytest.raises(TaskNotFound):
        await core.tasks.webhook("task-1", signature, "88")
    assert (await stored(core.database)).hinted_task_id is None


@pytest.mark.parametrize("body", [b"", b"x", b'{"taskId": "x"}', b'{"taskId": null}', b"[1]"])
async def test_a_webhook_without_an_id_of_runninghubs_leaves_an_unknown_task_alone(
    core: Core, body: bytes
) -> None:
    before = await unknown(core.database)
    await core.tasks.webhook("task-1", core.secret.signature("task-1"), named_task(body))
    assert await stored(core.database) == before


@pytest.mark.parametrize(
    ("code", "data", "status"),
    [(0, FILES, S.SUCCESS), (805, None, S.FAILED), (804, None, S.RUNNING), (813, None, S.QUEUED)],
)
async def test_a_webhooks_id_settles_an_unknown_task_as_runninghub_says(
    core: Core, runninghub: RunningHub, code: int, data: Any, status: S
) -> None:
    await unknown(core.database)
    await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
    says(runninghub, code, data)
    task = await polled(core)
    assert (task.status, task.runninghub_task_id) == (status, "88")


async def test_a_wrong_id_of_a_webhook_leaves_an_unknown_task_unknown(
    core: Core, runninghub: RunningHub
) -> None:
    before = await unknown(core.database)
    await sent_with_its_key(core)
    await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
    says(runninghub, 807)
    task = await polled(core)
    assert (task.status, task.error, task.lost_responses) == (before.status, before.error, 1)


KEYS = {"first": "1" * 32, "second": "2" * 32}
TWO_ACCOUNTS = {
    "runninghub_accounts": json.dumps(
        [{"name": name, "api_key": key, "base_url": RUNNINGHUB_URL} for name, key in KEYS.items()]
    ),
}


def only(name: str, response: httpx.Response, other: httpx.Response) -> Callable[[httpx.Request], Any]:
    """One account gets `response`, all others get `other`."""

    def respond(request: httpx.Request) -> httpx.Response:
        return response if json.loads(request.content)["apiKey"] == KEYS[name] else other

    return respond


NOT_KNOWN_THERE = httpx.Response(200, json=answer(807))
RUN_ENDED = httpx.Response(200, json=answer(0, FILES))


async def resubmitted_with_the_second_account(core: Core, event: Event) -> None:
    """The first account's call had no response, a person sent it again, and `event` ended the second's."""
    await add(core.database)
    await execute(
        core.database,
        "UPDATE tasks SET status = 'SUBMITTING', attempt = 2, account = 'second', key_fingerprint = :key",
        key=core.accounts.all[1].key_fingerprint,
    )
    assert await core.database.store("task-1", event)


@pytest.mark.parametrize("event", [NotStarted(2), OutcomeUnknown(2, ERROR)])
async def test_a_webhook_of_another_accounts_run_finds_that_account(
    make_core: MakeCore, runninghub: RunningHub, event: Event
) -> None:
    runninghub.outputs.mock(side_effect=only("first", RUN_ENDED, NOT_KNOWN_THERE))
    async with make_core(**TWO_ACCOUNTS) as core:
        await resubmitted_with_the_second_account(core, event)
        await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
        task = await polled(core)
        await core.submitter.submit_pending()
    assert (task.status, task.runninghub_task_id, task.account) == (S.SUCCESS, "88", "first")
    assert runninghub.run.call_count == 0


async def test_a_cancel_goes_to_the_account_whose_run_a_webhook_reported(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    is_running = httpx.Response(200, json=answer(804))
    runninghub.outputs.mock(side_effect=only("first", is_running, NOT_KNOWN_THERE))
    runninghub.cancel.mock(side_effect=only("first", httpx.Response(200, json=answer(0)), NOT_KNOWN_THERE))
    async with make_core(**TWO_ACCOUNTS) as core:
        await resubmitted_with_the_second_account(core, OutcomeUnknown(2, ERROR))
        await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
        await core.tasks.cancel("task-1")
        runninghub.outputs.mock(
            side_effect=only("first", httpx.Response(200, json=answer(805)), NOT_KNOWN_THERE)
        )
        task = await polled(core)
    keys = [json.loads(call.request.content)["apiKey"] for call in runninghub.cancel.calls]
    assert keys[-1] == KEYS["first"]
    assert task.status is S.CANCELLED


async def test_an_account_that_does_not_respond_may_have_the_run_that_a_webhook_reported(
    make_core: MakeCore, runninghub: RunningHub, clock: Clock
) -> None:
    running_s = [0.0]
    runninghub.outputs.mock(side_effect=only("first", httpx.Response(502), NOT_KNOWN_THERE))
    async with make_core(monotonic=lambda: running_s[0], **TWO_ACCOUNTS) as core:
        await resubmitted_with_the_second_account(core, NotStarted(2))
        await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
        for _ in range(9):
            held = await polled(core)
            clock.go_on(150)
            running_s[0] += 150
        await core.submitter.submit_pending()
    assert (held.status, held.hinted_task_id, held.lost_responses) == (S.PENDING, "88", 0)
    assert runninghub.run.call_count == 0


@pytest.mark.parametrize("decision", ["88", None])
async def test_a_settlement_finds_the_account_that_knows_the_run(
    make_core: MakeCore, runninghub: RunningHub, decision: str | None
) -> None:
    runninghub.outputs.mock(side_effect=only("first", RUN_ENDED, NOT_KNOWN_THERE))
    async with make_core(**TWO_ACCOUNTS) as core:
        await resubmitted_with_the_second_account(core, OutcomeUnknown(2, ERROR))
        await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
        task = await core.tasks.settle("task-1", runninghub_task_id=decision)
    assert (task.status, task.runninghub_task_id, task.account) == (S.SUCCESS, "88", "first")
    assert runninghub.run.call_count == 0


async def test_a_webhook_settles_a_task_that_was_waiting_in_a_restored_backup(
    make_core: MakeCore, runninghub: RunningHub
) -> None:
    runninghub.outputs.mock(side_effect=only("second", RUN_ENDED, NOT_KNOWN_THERE))
    async with make_core(**TWO_ACCOUNTS) as core:
        await unknown(core.database)
        await execute(core.database, "UPDATE tasks SET attempt = 0, account = NULL, key_fingerprint = NULL")
        await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
        task = await polled(core)
    assert (task.status, task.runninghub_task_id, task.account) == (S.SUCCESS, "88", "second")


async def test_a_webhooks_id_does_not_end_a_task_whose_paid_call_is_under_way(
    core: Core, runninghub: RunningHub
) -> None:
    await add(core.database)
    await core.tasks.webhook("task-1", core.secret.signature("task-1"), "88")
    says(runninghub, 805)
    task = await core.tasks.query("task-1")
    assert (task.status, task.runninghub_task_id) == (S.SUBMITTING, None)


# Pages


async def test_pages_follow_one_another_and_end(core: Core) -> None:
    for number in range(1, 6):
        await at_runninghub(core.database, number)
    filters: dict[str, Any] = {"limit": 2}
    cursor, pages = None, []
    while True:
        tasks, cursor = await core.tasks.page(cursor=cursor, **filters)
        pages.append([task.id for task in tasks])
        if cursor is None:
            break
    assert pages == [["task-5", "task-4"], ["task-3", "task-2"], ["task-1"]]


@pytest.mark.parametrize("call", [TaskService.task, TaskService.cancel])
async def test_a_task_that_is_not_here_is_not_found(
    core: Core, call: Callable[[TaskService, str], Awaitable[Any]]
) -> None:
    with pytest.raises(TaskNotFound, match=r"^There is no such task, neither here nor at RunningHub\.$"):
        await call(core.tasks, "nobody")
