"""What an event does to a task: one pure function from a row and an event to the columns that change.

The database calls `apply` inside the transaction that stores the result, so that both engines share it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from models import ACTIVE, AT_RUNNINGHUB, CancelReason, Hold, Json, NewOutput, Task, TaskStatus

S = TaskStatus
Columns = dict[str, Any]
"""New values by column name. Where `status` or another public member changes, the version is counted up."""

# RunningHub has to say so often, over so much running time, that it does not know a task before it is lost.
LOST_RESPONSES = 6
LOST_RUNNING_MS = 600_000
# Valid keys are refused now and then: only so many refusals with a working key are the task's own fault.
KEY_REFUSALS = 5

# Which statuses a status may follow, whatever the event: the diagram in docs/task-lifecycle.md.
TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.PENDING: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN}),
    S.SUBMITTING: frozenset({S.PENDING}),
    S.SUBMIT_UNKNOWN: frozenset({S.SUBMITTING}),
    S.QUEUED: frozenset({S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN, S.RUNNING}),
    S.RUNNING: frozenset({S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN, S.QUEUED}),
    S.SUCCESS: AT_RUNNINGHUB | {S.PENDING, S.SUBMIT_UNKNOWN},
    S.FAILED: AT_RUNNINGHUB | {S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN},
    S.CANCELLED: AT_RUNNINGHUB | {S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN},
}

LOST = {
    "code": "lost_at_runninghub",
    "message": "RunningHub accepted this task and now reports that it does not know it.",
}
DUPLICATE_ID = {
    "code": "duplicate_runninghub_id",
    "message": "RunningHub returned the id of another task for this one. It may run there and cost. Look it"
    " up in RunningHub's console and settle it; it is not sent again automatically.",
}
DEADLINE = {"code": "deadline", "message": "The task was not finished at its deadline and was cancelled."}


@dataclass(frozen=True, slots=True)
class Accepted:
    """RunningHub accepted the paid call of `attempt`. `node_errors`: nodes it warned about all the same."""

    attempt: int
    runninghub_task_id: str
    is_running: bool
    node_errors: dict[str, str] | None
    next_poll_ms: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The paid call of `attempt` started nothing: refused for the account's sake, or not sent at all."""

    attempt: int


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The paid call of `attempt` was sent, and nobody knows whether the task runs."""

    attempt: int
    error: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rejected:
    """RunningHub refused the task itself: it would be refused again."""

    attempt: int
    error: dict[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """RunningHub says that the task is queued or running."""

    runninghub_task_id: str
    status: TaskStatus
    next_poll_ms: int


@dataclass(frozen=True, slots=True)
class Finished:
    """RunningHub returned the task's results."""

    runninghub_task_id: str
    results: list[Json]
    run_seconds: float | None
    cost: dict[str, str | None] | None
    cost_micros: dict[str, int | None]
    outputs: tuple[NewOutput, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFailed:
    """RunningHub says that the run ended without results; `reason` is None where it gave none."""

    runninghub_task_id: str
    reason: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class NotKnown:
    """RunningHub does not know the task.

    `is_own_account`: the response came from the account that started it; another's says nothing.
    `elapsed_ms`: running time of this process since the previous such response, on a clock that never jumps.
    """

    is_own_account: bool
    elapsed_ms: int
    next_poll_ms: int


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A user, or the task's deadline, cancels the task."""

    reason: CancelReason


@dataclass(frozen=True, slots=True)
class CancelConfirmed:
    """RunningHub confirmed the cancel."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A person named the RunningHub id of a SUBMIT_UNKNOWN task, and RunningHub knows it."""

    runninghub_task_id: str
    account: str
    key_fingerprint: str


@dataclass(frozen=True, slots=True)
class RunFound:
    """The run that a webhook reported is not known to the row's account, but to this one.

    An earlier paid call of the task was made with it.
    """

    runninghub_task_id: str
    account: str
    key_fingerprint: str


@dataclass(frozen=True, slots=True)
class Resubmitted:
    """A person decided that a SUBMIT_UNKNOWN task did not start.

    `refuted_task_id` is the id that a webhook had reported, where RunningHub does not know it.
    """

    refuted_task_id: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookReceived:
    """RunningHub's signed webhook says that the task ended; only a hint. It may name no task."""

    runninghub_task_id: str | None


@dataclass(frozen=True, slots=True)
class TooExpensive:
    """RunningHub refused the task for lack of balance, although its account has `balance`."""

    balance: str


@dataclass(frozen=True, slots=True)
class KeyRefusedAgain:
    """The task was refused for its key, and a free call with the same key passed right after."""

    error: dict[str, str]


@dataclass(frozen=True, slots=True)
class Released:
    """The reason why a PENDING task was held is gone."""

    hold: Hold


Event = (
    Accepted
    | NotStarted
    | OutcomeUnknown
    | Rejected
    | Progress
    | Finished
    | RunFailed
    | NotKnown
    | CancelRequested
    | CancelConfirmed
    | Settled
    | RunFound
    | Resubmitted
    | WebhookReceived
    | TooExpensive
    | KeyRefusedAgain
    | Released
)
E = TypeVar("E")


def apply(task: Task, event: Event, now_ms: int) -> Columns | None:
    """The columns that `event` changes in `task`'s row; None: it changes nothing (somebody was first)."""
    rule: Callable[[Task, Any, int], Columns | None] = RULES[type(event)]
    return rule(task, event, now_ms)


def is_stray(task: Task, event: Accepted) -> bool:
    """Whether an accepted call started a run that no row is for: it has to be cancelled at RunningHub."""
    is_own = event.runninghub_task_id in {task.runninghub_task_id, task.hinted_task_id}
    return not is_own and _accepted(task, event, 0) is None


def _is_awaited(task: Task, attempt: int) -> bool:
    """Whether an outcome is that of the call in flight, or of one that was given up too early."""
    return task.status in {S.SUBMITTING, S.SUBMIT_UNKNOWN} and task.attempt == attempt


def _accepted(task: Task, event: Accepted, now_ms: int) -> Columns | None:
    if task.status not in {S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN} or task.attempt != event.attempt:
        return None
    is_due = task.hinted_task_id is not None or task.cancel_reason is not None
    return {
        **_at_runninghub(task, event.runninghub_task_id, now_ms),
        "status": S.RUNNING if event.is_running else S.QUEUED,
        "node_errors": event.node_errors,
        "running_ms": now_ms if event.is_running else None,
        **_poll_at(now_ms if is_due else event.next_poll_ms, now_ms),
    }


def _at_runninghub(task: Task, runninghub_task_id: str, now_ms: int) -> Columns:
    return {
        "runninghub_task_id": runninghub_task_id,
        "hinted_task_id": None,
        "hold": None,
        "error": None,
        "encrypted_password": None,
        "accepted_ms": task.accepted_ms or now_ms,
        **_no_longer_lost(),
    }


def _no_longer_lost() -> Columns:
    return {"lost_responses": 0, "lost_running_ms": 0, "lost_at_ms": None}


def _poll_at(next_poll_ms: int, now_ms: int) -> Columns:
    """At its deadline a poll is as late as it was planned to wait: the most urgent deadline goes first."""
    return {"next_poll_ms": next_poll_ms, "poll_deadline_ms": 2 * next_poll_ms - now_ms}


def _poll_after(task: Task, next_poll_ms: int, now_ms: int) -> Columns:
    """The next poll after this one, unless a webhook has made a poll due in the meantime."""
    is_due = task.next_poll_ms is not None and task.next_poll_ms <= now_ms
    return {} if is_due else _poll_at(next_poll_ms, now_ms)


NOT_POLLED: Columns = {"next_poll_ms": None, "poll_deadline_ms": None}


def _not_started(task: Task, event: NotStarted, now_ms: int) -> Columns | None:
    if not _is_awaited(task, event.attempt):
        return None
    if task.hinted_task_id:
        return _pending(now_ms) | {"hold": Hold.HINT} | _poll_at(now_ms, now_ms)
    if task.cancel_reason:  # what was cancelled during its paid call waits for no other one
        return _cancelled(task, now_ms)
    return _pending(now_ms)


def _pending(now_ms: int) -> Columns:
    return {"status": S.PENDING, "hold": None, "error": None, "waiting_since_ms": now_ms}


def _outcome_unknown(task: Task, event: OutcomeUnknown, now_ms: int) -> Columns | None:
    if task.status is not S.SUBMITTING or task.attempt != event.attempt:
        return None
    return {"status": S.SUBMIT_UNKNOWN, "error": event.error} | (
        _poll_at(now_ms, now_ms) if task.hinted_task_id else NOT_POLLED
    )


def _rejected(task: Task, event: Rejected, now_ms: int) -> Columns | None:
    if task.hinted_task_id:  # a webhook says that it runs: RunningHub is asked before anything is final
        return _outcome_unknown(task, OutcomeUnknown(event.attempt, event.error), now_ms)
    if not _is_awaited(task, event.attempt):
        return None
    return _final(S.FAILED, now_ms, error=event.error)


def _final(status: TaskStatus, now_ms: int, *, error: dict[str, str] | None = None) -> Columns:
    return {
        "status": status,
        "ended_ms": now_ms,
        "error": error,
        "encrypted_password": None,
        "hold": None,
        **NOT_POLLED,
    }


def _cancelled(task: Task, now_ms: int) -> Columns:
    return _final(
        S.CANCELLED, now_ms, error=DEADLINE if task.cancel_reason is CancelReason.DEADLINE else None
    )


def _may_run(task: Task, runninghub_task_id: str) -> bool:
    """Whether what RunningHub says about this id is about this row."""
    known = task.runninghub_task_id or task.hinted_task_id
    return known == runninghub_task_id and not task.status.is_final


def _progress(task: Task, event: Progress, now_ms: int) -> Columns | None:
    if not _may_run(task, event.runninghub_task_id) or task.status is S.SUBMITTING:
        return None
    is_first_running = event.status is S.RUNNING and task.running_ms is None
    columns = _poll_after(task, event.next_poll_ms, now_ms) | _no_longer_lost()
    if is_first_running:
        columns["running_ms"] = now_ms
    if task.status is event.status:
        return columns
    return _at_runninghub(task, event.runninghub_task_id, now_ms) | columns | {"status": event.status}


def _finished(task: Task, event: Finished, now_ms: int) -> Columns | None:
    if not _may_run(task, event.runninghub_task_id) or task.status is S.SUBMITTING:
        return None
    return {
        **_at_runninghub(task, event.runninghub_task_id, now_ms),
        **_final(S.SUCCESS, now_ms),
        "result_data": event.results,
        "run_seconds": event.run_seconds,
        "cost": event.cost,
        **event.cost_micros,
    }


def _run_failed(task: Task, event: RunFailed, now_ms: int) -> Columns | None:
    if not _may_run(task, event.runninghub_task_id) or task.status is S.SUBMITTING:
        return None
    ended = _at_runninghub(task, event.runninghub_task_id, now_ms)
    if task.is_cancel_confirmed or (task.cancel_reason and event.reason is None):
        return ended | _cancelled(task, now_ms)
    reason = task.node_errors or event.reason
    reason = reason or {"message": "RunningHub ended the task and gave no reason."}
    return ended | _final(S.FAILED, now_ms, error={"code": "run_failed", **reason})


def _not_known(task: Task, event: NotKnown, now_ms: int) -> Columns | None:
    if not task.is_pollable or task.status is S.SUBMITTING:
        return None
    if not event.is_own_account:
        return _poll_after(task, event.next_poll_ms, now_ms)
    responses = task.lost_responses + 1
    running_ms = task.lost_running_ms + event.elapsed_ms
    if responses < LOST_RESPONSES or running_ms < LOST_RUNNING_MS:
        counted = {"lost_responses": responses, "lost_running_ms": running_ms, "lost_at_ms": now_ms}
        return counted | _poll_after(task, event.next_poll_ms, now_ms)
    if task.runninghub_task_id:
        return _cancelled(task, now_ms) if task.cancel_reason else _final(S.FAILED, now_ms, error=LOST)
    if task.status is S.PENDING and task.cancel_reason:
        return _cancelled(task, now_ms)
    return {"hinted_task_id": None, "hold": None, **NOT_POLLED, **_no_longer_lost()}


def _cancel_requested(task: Task, event: CancelRequested, now_ms: int) -> Columns | None:
    if task.status.is_final or task.cancel_reason:
        return None
    if task.status is S.PENDING and task.hinted_task_id is None:
        return {"cancel_reason": event.reason} | (
            _final(S.CANCELLED, now_ms, error=DEADLINE if event.reason is CancelReason.DEADLINE else None)
        )
    columns: Columns = {"cancel_reason": event.reason}
    return columns | (_poll_at(now_ms, now_ms) if task.is_pollable else {})


def _cancel_confirmed(task: Task, event: CancelConfirmed, now_ms: int) -> Columns | None:
    return None if task.status.is_final else {"is_cancel_confirmed": True}


def _settled(task: Task, event: Settled, now_ms: int) -> Columns | None:
    if task.status is not S.SUBMIT_UNKNOWN:
        return None
    return _at_account(task, event, now_ms)


def _run_found(task: Task, event: RunFound, now_ms: int) -> Columns | None:
    if task.status not in {S.PENDING, S.SUBMIT_UNKNOWN} or task.hinted_task_id != event.runninghub_task_id:
        return None
    return _at_account(task, event, now_ms)


def _at_account(task: Task, event: Settled | RunFound, now_ms: int) -> Columns:
    return {
        **_at_runninghub(task, event.runninghub_task_id, now_ms),
        "status": S.QUEUED,
        "account": event.account,
        "key_fingerprint": event.key_fingerprint,
        "is_cancel_confirmed": False,  # whatever confirmed a cancel did not know this run
        **_poll_at(now_ms, now_ms),
    }


def _resubmitted(task: Task, event: Resubmitted, now_ms: int) -> Columns | None:
    if task.status is not S.SUBMIT_UNKNOWN:
        return None
    # Who asks for another run takes an earlier cancel back.
    again = _pending(now_ms) | {"cancel_reason": None, "is_cancel_confirmed": False} | _no_longer_lost()
    # A restored backup may not know of the paid call, whose webhook holds the task back all the same.
    again["attempt"] = max(task.attempt, 1)
    if task.hinted_task_id != event.refuted_task_id:  # a webhook came after the person's decision
        return again | {"hold": Hold.HINT} | _poll_at(now_ms, now_ms)
    return again | {"hinted_task_id": None} | NOT_POLLED


def _webhook_received(task: Task, event: WebhookReceived, now_ms: int) -> Columns | None:
    if task.status in AT_RUNNINGHUB:
        return _poll_at(now_ms, now_ms)
    hint = event.runninghub_task_id
    was_sent = task.status in {S.SUBMITTING, S.SUBMIT_UNKNOWN} or task.attempt > 0
    if hint is None or task.status.is_final or not was_sent:
        return None
    columns = {"hinted_task_id": hint, **_poll_at(now_ms, now_ms), **_no_longer_lost()}
    return columns | {"hold": Hold.HINT} if task.status is S.PENDING else columns


def _too_expensive(task: Task, event: TooExpensive, now_ms: int) -> Columns | None:
    if task.status is not S.PENDING or task.hold:
        return None
    return {"hold": Hold.BALANCE, "balance_at_refusal": event.balance}


def _key_refused_again(task: Task, event: KeyRefusedAgain, now_ms: int) -> Columns | None:
    if task.status is not S.PENDING:
        return None
    refusals = task.key_refusals + 1
    counted: Columns = {"key_refusals": refusals}
    return counted | _final(S.FAILED, now_ms, error=event.error) if refusals >= KEY_REFUSALS else counted


def _released(task: Task, event: Released, now_ms: int) -> Columns | None:
    if task.status is not S.PENDING or task.hold is not event.hold:
        return None
    return {"hold": None, "balance_at_refusal": None}


RULES: dict[type, Callable[[Task, Any, int], Columns | None]] = {
    Accepted: _accepted,
    NotStarted: _not_started,
    OutcomeUnknown: _outcome_unknown,
    Rejected: _rejected,
    Progress: _progress,
    Finished: _finished,
    RunFailed: _run_failed,
    NotKnown: _not_known,
    CancelRequested: _cancel_requested,
    CancelConfirmed: _cancel_confirmed,
    Settled: _settled,
    RunFound: _run_found,
    Resubmitted: _resubmitted,
    WebhookReceived: _webhook_received,
    TooExpensive: _too_expensive,
    KeyRefusedAgain: _key_refused_again,
    Released: _released,
}

# What a reader of the task sees; only then is the version counted up and a stream told.
PUBLIC_COLUMNS = frozenset(
    {"status", "runninghub_task_id", "result_data", "error", "hold", "account", "cost"}
)


def is_public(columns: Columns) -> bool:
    """Whether a change shows in the Task of the HTTP contract."""
    return not PUBLIC_COLUMNS.isdisjoint(columns)


def is_active(status: TaskStatus) -> bool:
    """Whether a task in this status takes one of its account's slots."""
    return status in ACTIVE
