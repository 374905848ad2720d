"""What each event does to a task in each status: every transition, and every one that must not happen."""

from typing import Any

import pytest

from models import CancelReason, Hold, Kind, Task
from models import TaskStatus as S
from transitions import (
    DEADLINE,
    KEY_REFUSALS,
    LOST,
    LOST_RESPONSES,
    LOST_RUNNING_MS,
    RULES,
    TRANSITIONS,
    Accepted,
    CancelConfirmed,
    CancelRequested,
    Event,
    Finished,
    KeyRefusedAgain,
    NotKnown,
    NotStarted,
    OutcomeUnknown,
    Progress,
    Rejected,
    Released,
    Resubmitted,
    RunFailed,
    RunFound,
    Settled,
    TooExpensive,
    WebhookReceived,
    apply,
    is_public,
    is_stray,
)

NOW = 1_800_000_000_000
ERROR = {"code": "c", "message": "m"}
NO_COST: dict[str, int | None] = {}


def task(status: S = S.SUBMITTING, **members: Any) -> Task:
    """A task in a status, with RunningHub's id `77` where RunningHub has it."""
    at_runninghub = status in {S.QUEUED, S.RUNNING, S.SUCCESS}
    values: dict[str, Any] = dict.fromkeys(Task._fields)
    values |= {
        "seq": 1,
        "id": "task-1",
        "status": status,
        "version": 1,
        "created_at": "then",
        "updated_at": "then",
        "kind": Kind.WEBAPP,
        "node_info": [],
        "run_options": {},
        "attempt": 1,
        "account": "default",
        "key_refusals": 0,
        "is_cancel_confirmed": False,
        "lost_responses": 0,
        "lost_running_ms": 0,
        "encrypted_password": b"encrypted",
        "runninghub_task_id": "77" if at_runninghub else None,
        "accepted_ms": NOW - 5000 if at_runninghub else None,
    }
    return Task(**values | members)


def accepted(attempt: int = 1, runninghub_task_id: str = "77", is_running: bool = False) -> Accepted:
    return Accepted(attempt, runninghub_task_id, is_running, None, NOW + 2000)


def finished(runninghub_task_id: str = "77") -> Finished:
    return Finished(runninghub_task_id, [], 3.0, None, NO_COST)


def not_known(*, is_own_account: bool = True, elapsed_ms: int = 0) -> NotKnown:
    return NotKnown(is_own_account, elapsed_ms, NOW + 5000)


def status_after(before: Task, event: Event) -> S | None:
    """The new status; None: the row does not change."""
    columns = apply(before, event, NOW)
    return None if columns is None else columns.get("status", before.status)


def changed(before: Task, event: Event) -> Task:
    """The task as it is stored after the event."""
    columns = apply(before, event, NOW)
    assert columns is not None
    names = Task._fields
    return before._replace(**{name: value for name, value in columns.items() if name in names})


# Every event for a task that it is about, in every status.
OUTCOMES: list[tuple[Event, dict[S, S]]] = [
    (accepted(), {S.PENDING: S.QUEUED, S.SUBMITTING: S.QUEUED, S.SUBMIT_UNKNOWN: S.QUEUED}),
    (
        accepted(is_running=True),
        {S.PENDING: S.RUNNING, S.SUBMITTING: S.RUNNING, S.SUBMIT_UNKNOWN: S.RUNNING},
    ),
    (NotStarted(1), {S.SUBMITTING: S.PENDING, S.SUBMIT_UNKNOWN: S.PENDING}),
    (OutcomeUnknown(1, ERROR), {S.SUBMITTING: S.SUBMIT_UNKNOWN}),
    (Rejected(1, ERROR), {S.SUBMITTING: S.FAILED, S.SUBMIT_UNKNOWN: S.FAILED}),
    (Progress("77", S.RUNNING, NOW + 1), {S.QUEUED: S.RUNNING, S.RUNNING: S.RUNNING}),
    (Progress("77", S.QUEUED, NOW + 1), {S.QUEUED: S.QUEUED, S.RUNNING: S.QUEUED}),
    (finished(), {S.QUEUED: S.SUCCESS, S.RUNNING: S.SUCCESS}),
    (RunFailed("77", None), {S.QUEUED: S.FAILED, S.RUNNING: S.FAILED}),
    (not_known(), {S.QUEUED: S.QUEUED, S.RUNNING: S.RUNNING}),
    (
        CancelRequested(CancelReason.USER),
        {S.PENDING: S.CANCELLED} | {s: s for s in (S.SUBMITTING, S.QUEUED, S.RUNNING, S.SUBMIT_UNKNOWN)},
    ),
    (
        CancelConfirmed(),
        {s: s for s in (S.PENDING, S.SUBMITTING, S.QUEUED, S.RUNNING, S.SUBMIT_UNKNOWN)},
    ),
    (Settled("77", "default", "key"), {S.SUBMIT_UNKNOWN: S.QUEUED}),
    (RunFound("77", "second", "key"), {}),  # without a webhook
    (Resubmitted(), {S.SUBMIT_UNKNOWN: S.PENDING}),
    (
        WebhookReceived("77"),
        {s: s for s in (S.PENDING, S.SUBMITTING, S.QUEUED, S.RUNNING, S.SUBMIT_UNKNOWN)},
    ),
    (WebhookReceived(None), {S.QUEUED: S.QUEUED, S.RUNNING: S.RUNNING}),
    (TooExpensive("5/"), {S.PENDING: S.PENDING}),
    (KeyRefusedAgain(ERROR), {S.PENDING: S.PENDING}),
]


@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize(("event", "expected"), OUTCOMES, ids=lambda value: type(value).__name__)
def test_an_event_changes_only_the_statuses_it_is_about(
    event: Event, expected: dict[S, S], status: S
) -> None:
    assert status_after(task(status), event) == expected.get(status)


def test_every_event_has_a_rule_and_a_test() -> None:
    tested = {type(event) for event, _ in OUTCOMES} | {Released}
    assert set(RULES) == tested


def test_the_transitions_of_the_table_are_those_that_events_make() -> None:
    seen = {
        (before, after)
        for event, expected in OUTCOMES
        for before, after in expected.items()
        if before is not after
    }
    by_hint = {(before, after) for before in (S.PENDING, S.SUBMIT_UNKNOWN) for after in TRANSITIONS}
    listed = {(before, after) for after, sources in TRANSITIONS.items() for before in sources}
    claimed = {(S.PENDING, S.SUBMITTING)}
    assert seen | claimed <= listed
    assert listed - seen - claimed <= by_hint | {
        (S.SUBMITTING, S.CANCELLED),
        (S.QUEUED, S.CANCELLED),
        (S.RUNNING, S.CANCELLED),
    }


@pytest.mark.parametrize("status", [S.SUCCESS, S.FAILED, S.CANCELLED])
@pytest.mark.parametrize(("event", "_"), OUTCOMES, ids=lambda value: type(value).__name__)
def test_a_final_status_never_changes(status: S, event: Event, _: dict[S, S]) -> None:
    assert apply(task(status), event, NOW) is None


# Attempts


@pytest.mark.parametrize("event", [NotStarted(1), OutcomeUnknown(1, ERROR), Rejected(1, ERROR)])
def test_an_outcome_of_an_older_attempt_changes_nothing(event: Event) -> None:
    assert apply(task(S.SUBMITTING, attempt=2), event, NOW) is None


def test_an_older_attempt_that_was_accepted_is_a_stray_run() -> None:
    assert is_stray(task(S.SUBMITTING, attempt=2), accepted(attempt=1))
    assert is_stray(task(S.QUEUED, runninghub_task_id="78"), accepted())
    assert is_stray(task(S.CANCELLED), accepted())


def test_an_acceptance_that_is_known_already_is_no_stray_run() -> None:
    assert not is_stray(task(S.RUNNING), accepted())
    assert not is_stray(task(S.SUBMIT_UNKNOWN, hinted_task_id="77", attempt=2), accepted())
    assert not is_stray(task(S.SUBMITTING), accepted())


def test_a_late_acceptance_withdraws_a_resubmitted_task_from_the_queue() -> None:
    assert changed(task(S.PENDING), accepted()).runninghub_task_id == "77"


# Passwords


@pytest.mark.parametrize(
    ("event", "is_kept"),
    [
        (NotStarted(1), True),
        (OutcomeUnknown(1, ERROR), True),
        (accepted(), False),
        (Rejected(1, ERROR), False),
    ],
)
def test_a_password_is_kept_only_while_it_may_be_needed(event: Event, is_kept: bool) -> None:
    assert (changed(task(), event).encrypted_password is not None) == is_kept


# Cancels


def test_a_task_cancelled_during_its_paid_call_waits_for_no_other_one() -> None:
    assert status_after(task(cancel_reason=CancelReason.USER), NotStarted(1)) is S.CANCELLED


def test_a_task_cancelled_during_its_paid_call_is_polled_at_once_when_it_was_accepted() -> None:
    after = changed(task(cancel_reason=CancelReason.USER), accepted())
    assert (after.next_poll_ms, after.is_cancel_due) == (NOW, True)


def test_a_cancel_is_kept_while_the_outcome_is_unknown_and_after_it_is_settled() -> None:
    unknown = changed(task(cancel_reason=CancelReason.USER), OutcomeUnknown(1, ERROR))
    assert unknown.is_cancel_due
    settled = changed(unknown, Settled("77", "default", "key"))
    assert (settled.status, settled.is_cancel_due) == (S.QUEUED, True)


def test_who_resubmits_a_cancelled_task_takes_the_cancel_back() -> None:
    again = changed(task(S.SUBMIT_UNKNOWN, cancel_reason=CancelReason.USER), Resubmitted())
    assert (again.status, again.cancel_reason) == (S.PENDING, None)


@pytest.mark.parametrize("reason", [None, {"message": "interrupted"}])
def test_after_a_confirmed_cancel_a_failed_run_is_cancelled_whatever_reason_it_gives(
    reason: dict[str, str] | None,
) -> None:
    before = task(S.RUNNING, cancel_reason=CancelReason.USER, is_cancel_confirmed=True)
    assert status_after(before, RunFailed("77", reason)) is S.CANCELLED


def test_before_it_is_confirmed_only_a_run_that_gives_no_reason_is_cancelled() -> None:
    before = task(S.RUNNING, cancel_reason=CancelReason.USER)
    assert status_after(before, RunFailed("77", None)) is S.CANCELLED
    assert status_after(before, RunFailed("77", {"message": "out of memory"})) is S.FAILED


def test_a_cancelled_task_that_finished_first_is_a_success() -> None:
    before = task(S.RUNNING, cancel_reason=CancelReason.USER, is_cancel_confirmed=True)
    assert status_after(before, finished()) is S.SUCCESS


def test_a_task_cancelled_by_its_deadline_says_so() -> None:
    assert changed(task(S.PENDING), CancelRequested(CancelReason.DEADLINE)).error == DEADLINE
    running = task(S.RUNNING, cancel_reason=CancelReason.DEADLINE, is_cancel_confirmed=True)
    assert changed(running, RunFailed("77", None)).error == DEADLINE


def test_a_second_cancel_changes_nothing() -> None:
    before = task(S.RUNNING, cancel_reason=CancelReason.USER)
    assert apply(before, CancelRequested(CancelReason.DEADLINE), NOW) is None


# Webhooks


@pytest.mark.parametrize("status", [S.SUBMITTING, S.SUBMIT_UNKNOWN])
def test_a_webhook_of_a_task_without_an_id_is_a_hint_that_is_due(status: S) -> None:
    after = changed(task(status), WebhookReceived("77"))
    assert (after.hinted_task_id, after.next_poll_ms, after.status) == ("77", NOW, status)


def test_a_webhook_during_the_paid_call_is_polled_when_the_call_ends_otherwise() -> None:
    hinted = task(hinted_task_id="77")
    assert changed(hinted, OutcomeUnknown(1, ERROR)).next_poll_ms == NOW
    assert status_after(hinted, Rejected(1, ERROR)) is S.SUBMIT_UNKNOWN
    waiting = changed(hinted, NotStarted(1))
    assert (waiting.status, waiting.hold, waiting.next_poll_ms) == (S.PENDING, Hold.HINT, NOW)


def test_a_webhook_of_a_resubmitted_task_holds_it_back() -> None:
    after = changed(task(S.PENDING), WebhookReceived("77"))
    assert (after.hold, after.hinted_task_id, after.next_poll_ms) == (Hold.HINT, "77", NOW)


def test_a_webhook_holds_back_a_resubmitted_task_whose_paid_call_a_backup_does_not_know() -> None:
    again = changed(task(S.SUBMIT_UNKNOWN, attempt=0), Resubmitted())
    assert changed(again, WebhookReceived("77")).hold is Hold.HINT


def test_a_webhook_that_was_checked_before_a_resubmit_is_forgotten_by_it() -> None:
    after = changed(task(S.SUBMIT_UNKNOWN, hinted_task_id="77"), Resubmitted("77"))
    assert (after.status, after.hold, after.hinted_task_id, after.next_poll_ms) == (
        S.PENDING,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("refuted", [None, "76"])
def test_a_webhook_that_came_after_the_decision_to_resubmit_holds_the_task_back(refuted: str | None) -> None:
    after = changed(task(S.SUBMIT_UNKNOWN, hinted_task_id="77"), Resubmitted(refuted))
    assert (after.status, after.hold, after.hinted_task_id) == (S.PENDING, Hold.HINT, "77")
    assert after.next_poll_ms == NOW


def test_a_webhook_of_a_task_that_was_never_sent_says_nothing() -> None:
    assert apply(task(S.PENDING, attempt=0), WebhookReceived("77"), NOW) is None


@pytest.mark.parametrize("event", [finished(), RunFailed("77", None), Progress("77", S.RUNNING, NOW + 1)])
@pytest.mark.parametrize("status", [S.PENDING, S.SUBMIT_UNKNOWN])
def test_what_runninghub_says_about_a_hinted_run_settles_the_task(status: S, event: Event) -> None:
    before = task(status, hinted_task_id="77", hold=Hold.HINT if status is S.PENDING else None)
    after = changed(before, event)
    assert (after.runninghub_task_id, after.hinted_task_id, after.hold) == ("77", None, None)
    assert after.status in {S.SUCCESS, S.FAILED, S.RUNNING}


@pytest.mark.parametrize("status", [S.PENDING, S.SUBMIT_UNKNOWN])
def test_a_hinted_run_of_another_account_moves_the_task_there(status: S) -> None:
    before = task(status, hinted_task_id="77", cancel_reason=CancelReason.USER, is_cancel_confirmed=True)
    after = changed(before, RunFound("77", "second", "key"))
    assert (after.status, after.runninghub_task_id, after.hinted_task_id) == (S.QUEUED, "77", None)
    assert (after.account, after.key_fingerprint, after.next_poll_ms) == ("second", "key", NOW)
    assert after.is_cancel_due
    assert apply(before, RunFound("78", "second", "key"), NOW) is None


def test_what_runninghub_says_about_another_run_changes_nothing() -> None:
    assert apply(task(S.RUNNING), finished("78"), NOW) is None


def test_a_poll_does_not_postpone_one_that_a_webhook_made_due_meanwhile() -> None:
    before = task(S.RUNNING, running_ms=NOW, next_poll_ms=NOW)
    columns = apply(before, Progress("77", S.RUNNING, NOW + 9000), NOW)
    assert columns is not None
    assert "next_poll_ms" not in columns


# Lost tasks


def lost_soon(**members: Any) -> Task:
    """A task that is lost with the next response of its own account."""
    counted = {"lost_responses": LOST_RESPONSES - 1, "lost_running_ms": LOST_RUNNING_MS - 1}
    return task(**{"status": S.RUNNING, **counted, **members})


def test_a_task_is_lost_after_enough_responses_over_enough_running_time() -> None:
    lost = changed(lost_soon(), not_known(elapsed_ms=1))
    assert (lost.status, lost.error) == (S.FAILED, LOST)
    assert status_after(lost_soon(cancel_reason=CancelReason.USER), not_known(elapsed_ms=1)) is S.CANCELLED


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (lost_soon(), not_known(elapsed_ms=0)),
        (lost_soon(lost_responses=LOST_RESPONSES - 2), not_known(elapsed_ms=LOST_RUNNING_MS)),
        (lost_soon(), not_known(is_own_account=False, elapsed_ms=LOST_RUNNING_MS)),
    ],
)
def test_a_task_is_not_lost_too_soon_nor_by_another_account(before: Task, event: Event) -> None:
    assert status_after(before, event) is S.RUNNING


def test_another_accounts_response_is_not_counted() -> None:
    assert changed(task(S.RUNNING), not_known(is_own_account=False)).lost_responses == 0
    assert changed(task(S.RUNNING), not_known()).lost_responses == 1


def test_any_other_response_starts_the_count_again() -> None:
    again = changed(lost_soon(running_ms=NOW), Progress("77", S.RUNNING, NOW + 1))
    assert (again.lost_responses, again.lost_running_ms) == (0, 0)


def test_a_hint_that_runninghub_does_not_know_is_dropped_in_the_end() -> None:
    waiting = changed(
        lost_soon(status=S.PENDING, hinted_task_id="77", hold=Hold.HINT), not_known(elapsed_ms=1)
    )
    assert (waiting.status, waiting.hold, waiting.hinted_task_id) == (S.PENDING, None, None)
    unknown = changed(lost_soon(status=S.SUBMIT_UNKNOWN, hinted_task_id="77"), not_known(elapsed_ms=1))
    assert (unknown.status, unknown.hinted_task_id, unknown.next_poll_ms) == (S.SUBMIT_UNKNOWN, None, None)


# The account's refusals


def test_a_task_that_is_too_expensive_is_held_until_it_is_released() -> None:
    held = changed(task(S.PENDING), TooExpensive("5/"))
    assert (held.hold, held.balance_at_refusal) == (Hold.BALANCE, "5/")
    assert changed(held, Released(Hold.BALANCE)).hold is None
    assert apply(held, Released(Hold.HINT), NOW) is None


def test_only_so_many_refusals_with_a_working_key_are_the_tasks_own_fault() -> None:
    before = task(S.PENDING)
    for _ in range(KEY_REFUSALS - 1):
        before = changed(before, KeyRefusedAgain(ERROR))
        assert before.status is S.PENDING
    failed = changed(before, KeyRefusedAgain(ERROR))
    assert (failed.status, failed.error) == (S.FAILED, ERROR)


# What a reader sees


def test_a_reschedule_is_no_change_that_a_client_sees() -> None:
    columns = apply(task(S.RUNNING, running_ms=NOW), Progress("77", S.RUNNING, NOW + 1), NOW)
    assert columns is not None
    assert not is_public(columns)
    columns = apply(task(S.QUEUED), Progress("77", S.RUNNING, NOW + 1), NOW)
    assert columns is not None
    assert is_public(columns)


def test_a_run_keeps_the_times_of_its_first_acceptance_and_start() -> None:
    running = changed(task(S.QUEUED), Progress("77", S.RUNNING, NOW + 1))
    assert (running.accepted_ms, running.running_ms) == (NOW - 5000, NOW)
    queued = changed(running._replace(running_ms=NOW - 9), Progress("77", S.QUEUED, NOW + 1))
    assert changed(queued, Progress("77", S.RUNNING, NOW + 1)).running_ms == NOW - 9
