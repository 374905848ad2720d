"""A task's life: submit, look, cancel, settle, and what RunningHub's word does to a status."""

import json
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config import Settings
from database import Database
from errors import (
    IdempotencyKeyReused,
    InvalidNodeInfo,
    NotCancellable,
    NotUnknown,
    RunningHubNotConfigured,
    TaskNotFound,
    TooManyPending,
)
from forms.cache import FormCache
from forms.types import Form
from forms.validation import validate_node_info, value_warnings
from models import MAY_BE_AT_RUNNINGHUB, Change, LimiterSignal, NewTask, Task, TaskStatus
from secret_key import SecretKey
from tasks.poll_schedule import Pace, next_wait_s
from tasks.run_times import RunTimes
from tasks.submitter import Submitter
from webapp_service import PollResult, RunState, WebappService

log = logging.getLogger(__name__)

# For how long RunningHub has to say that it does not know a task before it counts as lost.
LOST_AFTER_S = 600.0
RUNNINGHUB_ID = re.compile(r"[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class Submission:
    """What a front end wants to run; `node_info` holds only members that RunningHub takes, all strings."""

    webapp_id: str
    node_info: list[dict[str, str]]
    instance_type: str | None = None
    access_password: str | None = None
    idempotency_key: str | None = None

    @property
    def text(self) -> str:
        """The same text for the same request, for an Idempotency-Key's digest."""
        parts = [self.webapp_id, self.node_info, self.instance_type, self.access_password]
        return json.dumps(parts, ensure_ascii=False, sort_keys=True)


class TaskService:
    """Every operation answers the task as the database has it after."""

    def __init__(
        self,
        database: Database,
        webapps: WebappService,
        submitter: Submitter,
        forms: FormCache,
        run_times: RunTimes,
        secret: SecretKey,
        settings: Settings,
        pace: Pace,
        *,
        lost_after_s: float = LOST_AFTER_S,
    ) -> None:
        self._database = database
        self._webapps = webapps
        self._dispatcher = submitter
        self._forms = forms
        self._run_times = run_times
        self._secret = secret
        self._settings = settings
        self._pace = pace
        self._lost_after_ms = int(lost_after_s * 1000)

    async def submit(self, submission: Submission) -> tuple[Task, list[dict[str, Any]]]:
        """Check, store and send; answers the task and warnings about its values.

        Raises InvalidNodeInfo before anything is stored, TooManyPending, IdempotencyKeyReused, or the error
        with which RunningHub refused the task or left its outcome unknown.
        """
        if not self._webapps.is_configured:
            raise RunningHubNotConfigured
        digest = self._secret.digest(submission.text) if submission.idempotency_key else None
        if first := await self._first_with_key(submission.idempotency_key, digest):
            return first, []
        warnings = await self._check(submission)
        new = NewTask(
            id=_new_id(self._database.clock()),
            webapp_id=submission.webapp_id,
            node_info=submission.node_info,
            instance_type=submission.instance_type,
            encrypted_password=self._secret.encrypt(submission.access_password)
            if submission.access_password
            else None,
            idempotency_key=submission.idempotency_key,
            request_digest=digest,
        )
        if task := await self._dispatcher.submit(new):
            return task, warnings
        if first := await self._first_with_key(submission.idempotency_key, digest):
            return first, warnings
        raise TooManyPending(
            f"{self._settings.max_pending_tasks} tasks are waiting already. Submit again when some have"
            " started, or raise MAX_PENDING_TASKS.",
            retry_after=10,
        )

    async def _first_with_key(self, key: str | None, digest: str | None) -> Task | None:
        first = await self._database.task_by_idempotency_key(key) if key else None
        if first is None:
            return None
        if first.request_digest != digest:
            raise IdempotencyKeyReused(
                "This Idempotency-Key came with another body before. Use a new key for a new task."
            )
        return await self._dispatcher.wait(first.id) or first

    async def _check(self, submission: Submission) -> list[dict[str, Any]]:
        """Refuse values that cannot work, by the app's form; no form to be had means no check."""
        form = await self._forms.cached_or_fetch("webapp", submission.webapp_id)
        errors = validate_node_info(form, submission.node_info) if form else []
        if errors:
            form = await self._forms.fetch("webapp", submission.webapp_id)
            errors = validate_node_info(form, submission.node_info) if form else []
        if form is None:
            return []
        if errors and form["nodeInfoList"]:  # an empty one says nothing about the app's fields
            raise InvalidNodeInfo(
                "Some values do not fit the app's form; nothing was submitted. See `errors`.", errors=errors
            )
        seen = self._forms.last_returned("webapp", submission.webapp_id)
        return value_warnings(form, submission.node_info) + _changes(seen, form, submission.node_info)

    async def task(self, ref: str) -> Task:
        """The task with this id, ours or RunningHub's. Raises TaskNotFound."""
        if (task := await self._database.task(ref)) is None:
            raise _not_found()
        return task

    async def query(self, ref: str) -> Task:
        """Ask RunningHub now. Takes in a task that only RunningHub knows; raises TaskNotFound."""
        task = await self._database.task(ref)
        if task is None:
            return await self._import(ref)
        if task.status not in MAY_BE_AT_RUNNINGHUB:
            return task
        await self.poll(task)
        return await self.task(task.id)

    async def _import(self, ref: str) -> Task:
        if not RUNNINGHUB_ID.fullmatch(ref):
            raise _not_found()
        seen = await self._webapps.poll(ref)
        if seen.state is RunState.UNKNOWN:
            raise _not_found()
        if adopted := await self._database.import_task(_new_id(self._database.clock()), ref):
            await self._store_poll_result(adopted, ref, seen)
        return await self.task(ref)

    async def poll(self, task: Task) -> None:
        """Ask RunningHub about a task and store the outcome. Raises AppError; then nothing has changed."""
        runninghub_id = task.runninghub_task_id or task.hinted_task_id
        if task.status not in MAY_BE_AT_RUNNINGHUB or runninghub_id is None:
            return
        await self._store_poll_result(task, runninghub_id, await self._webapps.poll(runninghub_id))

    async def _store_poll_result(self, task: Task, runninghub_id: str, seen: PollResult) -> None:
        match seen.state:
            case RunState.UNKNOWN:
                await self._store_unknown(task)
            case RunState.QUEUED | RunState.RUNNING:
                await self._store_progress(task, runninghub_id, TaskStatus[seen.state.name])
            case RunState.FINISHED | RunState.FAILED:
                await self._store_end(task, runninghub_id, seen)

    async def _store_progress(self, task: Task, runninghub_id: str, status: TaskStatus) -> None:
        next_poll_ms = await self.next_poll_ms(task, status)
        if task.status is status:
            await self._database.reschedule(task.id, next_poll_ms)
        else:
            change = Change(status, runninghub_task_id=runninghub_id, next_poll_ms=next_poll_ms)
            await self._database.move(task.id, change)

    async def _store_end(self, task: Task, runninghub_id: str, seen: PollResult) -> None:
        if seen.state is RunState.FINISHED:
            change = Change(
                TaskStatus.SUCCESS,
                runninghub_task_id=runninghub_id,
                result_data=seen.results,
                run_seconds=self._run_seconds(task, seen.results or []),
            )
        elif seen.reason is None and (await self.task(task.id)).cancel_requested:
            change = Change(TaskStatus.CANCELLED, runninghub_task_id=runninghub_id)
        else:
            change = Change(
                TaskStatus.FAILED, runninghub_task_id=runninghub_id, error=_run_error(task, seen.reason)
            )
        if await self._database.move(task.id, change, gate=LimiterSignal.FREED):
            log.info("task ended", extra={"task_id": task.id, "status": change.status})
        self._run_times.forget(task.webapp_id)
        await self._dispatcher.submit_pending()

    async def _store_unknown(self, task: Task) -> None:
        """RunningHub does not know the task: a wrong hint, or, after ten minutes of that word, a loss."""
        now = self._database.clock()
        if task.runninghub_task_id is None:
            await self._database.reschedule(task.id, None)
            return
        since = min(task.lost_since_ms or now, now)
        if now - since < self._lost_after_ms:
            await self._database.reschedule(task.id, await self.next_poll_ms(task), lost_since_ms=since)
            return
        error = {
            "code": "lost_at_runninghub",
            "message": "RunningHub took this task and now says that it does not know it.",
        }
        status = TaskStatus.CANCELLED if task.cancel_requested else TaskStatus.FAILED
        change = Change(status, error=None if task.cancel_requested else error)
        await self._database.move(task.id, change, gate=LimiterSignal.FREED)
        await self._dispatcher.submit_pending()

    async def next_poll_ms(self, task: Task, status: TaskStatus | None = None) -> int:
        """When to ask about a task again, which is now in `status`.

        Its age counts from its start where that was seen. With webhooks, asking is only the safety net.
        """
        now = self._database.clock()
        is_running = (status or task.status) is TaskStatus.RUNNING
        began_ms = (task.running_ms if is_running else task.accepted_ms) or now
        longest_s = self._settings.poll_interval_max_s
        wait_s = next_wait_s(
            max(0, now - began_ms) / 1000,
            await self._run_times.of(task.webapp_id) if is_running else (),
            first_s=longest_s if self._settings.public_url else self._settings.poll_interval_s,
            longest_s=longest_s,
            stretch=self._pace.stretch,
        )
        return now + int(wait_s * 1000)

    async def cancel(self, ref: str) -> Task:
        """Cancel a waiting task here, a running one at RunningHub. Raises NotCancellable."""
        task = await self.task(ref)
        waiting = Change(TaskStatus.CANCELLED, sources=frozenset({TaskStatus.PENDING}))
        if await self._database.move(task.id, waiting):
            return await self.task(task.id)
        if (under_way := await self._database.request_cancel(task.id)) is None:
            task = await self.task(task.id)
            if task.status is TaskStatus.PENDING:  # its paid call was refused between the two
                return await self.cancel(task.id)
            raise _not_cancellable(task)
        if under_way.runninghub_task_id:
            await self._webapps.cancel(under_way.runninghub_task_id)
            await self.poll(under_way)
        return await self.task(task.id)

    async def settle(self, ref: str, *, runninghub_task_id: str | None) -> Task:
        """A person's word on a SUBMIT_UNKNOWN task: its id at RunningHub, or None: it did not start."""
        task = await self.task(ref)
        sources = frozenset({TaskStatus.SUBMIT_UNKNOWN})
        if runninghub_task_id is None:
            change = Change(TaskStatus.PENDING, sources=sources)
        else:
            change = Change(
                TaskStatus.QUEUED,
                sources=sources,
                runninghub_task_id=runninghub_task_id,
                next_poll_ms=self._database.clock(),
            )
        if await self._database.move(task.id, change) is None:
            raise NotUnknown("Only a task that is SUBMIT_UNKNOWN can be settled.")
        return await self.task(task.id)

    def check_webhook_signature(self, task_id: str, signature: str) -> None:
        """Raises TaskNotFound."""
        if not self._secret.is_signature(task_id, signature):
            raise _not_found()

    async def webhook(self, task_id: str, signature: str, hint: str | None) -> None:
        """RunningHub says that a task ended. Only a hint: the look is made due. Raises TaskNotFound."""
        self.check_webhook_signature(task_id, signature)
        if hint is not None and not RUNNINGHUB_ID.fullmatch(hint):
            hint = None
        await self._database.hint_finished(task_id, hint)

    async def page(
        self, *, cursor: str | None, limit: int, statuses: Sequence[TaskStatus], webapp_id: str | None
    ) -> tuple[list[Task], str | None]:
        """Tasks, newest first, and the cursor of the next page (None at the end)."""
        tasks = await self._database.page(
            before_seq=int(cursor) if cursor else 2**62,
            limit=limit + 1,
            statuses=statuses,
            webapp_id=webapp_id,
        )
        return tasks[:limit], str(tasks[limit - 1].seq) if len(tasks) > limit else None

    def _run_seconds(self, task: Task, results: list[Any]) -> float | None:
        """RunningHub's own count where it gives one, else the time since it took the task."""
        told = [_seconds(result.get("taskCostTime")) for result in results if isinstance(result, dict)]
        if longest := max(told, default=0.0):
            return longest
        taken_ms = task.accepted_ms
        return max(0.0, (self._database.clock() - taken_ms) / 1000) if taken_ms else None


def _new_id(now_ms: int) -> str:
    """32 hex digits that sort by time: 12 of milliseconds, 20 of chance."""
    return f"{now_ms:012x}{secrets.token_hex(10)}"


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < 1e6 else 0.0


def _run_error(task: Task, reason: dict[str, str] | None) -> dict[str, str]:
    known = task.node_errors or reason or {"message": "RunningHub ended the task and gave no reason."}
    return {"code": "run_failed", **known}


def _changes(seen: Form | None, form: Form, node_info: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Warnings for fields that are not as the front end read them last."""
    if seen is None or seen is form:
        return []
    before, after = ({(f["nodeId"], f["fieldName"]): f for f in x["nodeInfoList"]} for x in (seen, form))
    message = "The app's author has changed this field since the form was read."
    return [
        {"nodeId": key[0], "fieldName": key[1], "message": message}
        for key in dict.fromkeys((item["nodeId"], item["fieldName"]) for item in node_info)
        if before.get(key) != after.get(key)
    ]


def _not_found() -> TaskNotFound:
    return TaskNotFound("There is no such task, neither here nor at RunningHub.")


def _not_cancellable(task: Task) -> NotCancellable:
    if task.status is TaskStatus.SUBMIT_UNKNOWN:
        return NotCancellable("It is not known whether this task runs at RunningHub. Settle it first.")
    return NotCancellable(f"The task is {task.status} already.")
