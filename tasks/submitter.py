"""A stored task's way to RunningHub: claim the head of the queue, make the paid call, store its outcome."""

import asyncio
import logging
import sqlite3
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from config import Settings
from database import Database
from errors import AppError, DatabaseUnavailable, RunningHubTimeout, RunningHubUnavailable
from models import Change, LimiterSignal, NewTask, Task, TaskStatus
from secret_key import SecretKey
from webapp_service import NotSent, RunningHubFull, WebappService

T = TypeVar("T")

log = logging.getLogger(__name__)

# How long a submit waits for its turn while calls before it are under way; then it answers PENDING.
PATIENCE_S = 5.0
STORE_RETRY_S = 1.0
BUSY_FROM = 3
# How long a stop waits for paid calls under way.
CLOSING_S = 10.0
# Past RunningHub's time limit by this much, nobody can be waiting for a paid call any more.
STALE_MARGIN_S = 15.0

INTERRUPTED = {
    "code": "submit_interrupted",
    "message": "The service was stopped while this task was being handed to RunningHub. It may run there and"
    " cost. Look it up in RunningHub's console and settle it; it is not sent again by itself.",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a paid call came to: the arrow, the problem to answer with, and what it says of free slots."""

    change: Change
    gate: LimiterSignal | None = None
    problem: AppError | None = None


class Submitter:
    """Makes each paid call once. Calls under way belong to it; `close` waits for them."""

    def __init__(
        self,
        database: Database,
        webapps: WebappService,
        settings: Settings,
        secret: SecretKey,
    ) -> None:
        self._database = database
        self._webapps = webapps
        self._secret = secret
        self._settings = settings
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Future[Task | AppError | None]] = {}
        self._may_be_waiting = True
        self._claims: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    @property
    def is_busy(self) -> bool:
        """Whether several paid calls are under way."""
        return len(self._calls) > BUSY_FROM

    async def submit(self, new: NewTask) -> Task | None:
        """Store a task, send it if it may go now, and wait for the answer as `wait` does.

        None: nothing was stored, see `Database.add_task`.
        """
        answer = self._answers[new.id] = asyncio.get_running_loop().create_future()
        try:
            added = await self._to_its_end(self._add(new))
            return added and await self._answered(new.id, answer)
        finally:
            self._answer(new.id)

    async def _add(self, new: NewTask) -> Task | None:
        added = await self._database.add_task(
            new,
            max_pending=self._settings.max_pending_tasks,
            max_concurrent=self._settings.max_concurrent_tasks,
        )
        if added is None:
            return None
        if added.status is TaskStatus.SUBMITTING:
            self._start([added])
        else:
            self._may_be_waiting = True
            await self._submit_pending_or_log()
        return added

    async def wait(self, task_id: str) -> Task | None:
        """Wait until the task's paid call is answered, or it is clear that it has to wait for a slot.

        Answers the task as it then is, or None where there is nothing to wait for. Raises the AppError with
        which RunningHub refused it, or which left its outcome unknown.
        """
        answer = self._answers.get(task_id)
        return await self._answered(task_id, answer) if answer else None

    async def _answered(self, task_id: str, answer: asyncio.Future[Task | AppError | None]) -> Task | None:
        await asyncio.wait({answer}, timeout=PATIENCE_S)
        found = answer.result() if answer.done() else None
        if isinstance(found, AppError):
            raise found
        return found or await self._database.task(task_id)

    async def submit_pending(self) -> None:
        """Send what may go now."""
        if self._webapps.is_configured and not self._is_closing:
            await self._to_its_end(self._claim())

    async def _claim(self) -> None:
        limit = self._settings.max_concurrent_tasks
        claimed = await self._database.claim_pending(max_concurrent=limit)
        self._start(claimed)
        self._may_be_waiting = bool(claimed) or await self._database.has_pending()

    async def _to_its_end(self, claim: Coroutine[Any, Any, T]) -> T:
        """What is claimed has to be sent: a claim goes on when its caller is cancelled."""
        task = asyncio.create_task(claim)
        self._claims.add(task)
        task.add_done_callback(self._claim_ended)
        return await asyncio.shield(task)

    def _claim_ended(self, claim: asyncio.Task[Any]) -> None:
        """With neither a call nor a claim under way, no wait can end well: who waits is answered PENDING."""
        self._claims.discard(claim)
        if not self._calls and not self._claims:
            self.release_waiting()

    async def give_up_stale(self, *, is_only_worker: bool = False) -> None:
        """Make SUBMITTING rows SUBMIT_UNKNOWN whose caller is gone.

        `is_only_worker`: no other worker serves the database, so that all but our own calls are stale.
        """
        patience_s = 0 if is_only_worker else self._settings.runninghub_timeout_s + STALE_MARGIN_S
        before_ms = self._database.clock() - int(patience_s * 1000)
        for task in await self._database.stale_submits(before_ms=before_ms):
            if task.id not in self._calls:
                log.warning("the outcome of a paid call is unknown", extra={"task_id": task.id})
                await self._database.move(task.id, Change(TaskStatus.SUBMIT_UNKNOWN, error=INTERRUPTED))

    def stop(self) -> None:
        """Start no further call, and let nobody wait for one."""
        self._is_closing = True
        self.release_waiting()

    async def close(self) -> None:
        """Wait for the calls under way, and give up those that take too long."""
        self.stop()
        await asyncio.gather(*self._claims, return_exceptions=True)
        if self._calls:
            await asyncio.wait(set(self._calls.values()), timeout=CLOSING_S)
        for call in list(self._calls.values()):
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def _start(self, claimed: list[Task]) -> None:
        for task in claimed:
            call = asyncio.create_task(self._send(task), name=f"submit {task.id}")
            self._calls[task.id] = call
            call.add_done_callback(partial(self._call_ended, task.id))

    def _call_ended(self, task_id: str, call: asyncio.Task[None]) -> None:
        """A refused task may be under way again by now."""
        if self._calls.get(task_id) is call:
            del self._calls[task_id]

    async def _send(self, task: Task) -> None:
        try:
            outcome = await self._call(task)
        except BaseException:  # given up by a stop, or a fault of ours: the call may have been made
            await self._store(task, Outcome(Change(TaskStatus.SUBMIT_UNKNOWN, error=INTERRUPTED)))
            self._answer(task.id)
            raise
        stored = await self._store(task, outcome)
        _log_outcome(task, outcome)
        self._calls.pop(task.id, None)
        self._answer(task.id, outcome.problem or stored)
        if self._may_be_waiting:
            await self._submit_pending_or_log()

    async def _submit_pending_or_log(self) -> None:
        try:
            await self.submit_pending()
        except (DatabaseUnavailable, sqlite3.Error):
            log.exception("the queue could not be read; the watch tries again")

    async def _call(self, task: Task) -> Outcome:
        """Make the paid call and say what its answer does to the task."""
        try:
            accepted = await self._webapps.run(
                task.webapp_id or "",
                task.node_info,
                instance_type=task.instance_type,
                access_password=self._secret.decrypt(task.encrypted_password)
                if task.encrypted_password
                else None,
                webhook_url=self._webhook_url(task.id),
            )
        except (NotSent, RunningHubFull):
            return Outcome(Change(TaskStatus.PENDING), LimiterSignal.REJECTED)
        except (RunningHubUnavailable, RunningHubTimeout) as problem:
            problem.task_id = task.id
            return Outcome(
                Change(TaskStatus.SUBMIT_UNKNOWN, error=_unknown_error(problem)),
                LimiterSignal.REJECTED,
                problem,
            )
        except AppError as problem:
            problem.task_id = task.id
            error = {"code": problem.code, "message": problem.message}
            return Outcome(Change(TaskStatus.FAILED, error=error), problem=problem)
        return Outcome(
            Change(
                TaskStatus.RUNNING if accepted.is_running else TaskStatus.QUEUED,
                runninghub_task_id=accepted.runninghub_task_id,
                node_errors=accepted.node_errors,
                next_poll_ms=self._database.clock() + int(self._settings.poll_interval_s * 1000),
            ),
            LimiterSignal.ACCEPTED,
        )

    async def _store(self, task: Task, outcome: Outcome) -> Task | None:
        """Store an outcome, and go on trying while the disk or a lock hinders it: it was paid for.

        Answers the task as it then is; None where it has to be read anew.
        """
        while True:
            try:
                moved = await self._database.move(task.id, outcome.change, gate=outcome.gate)
                break
            except (DatabaseUnavailable, sqlite3.Error):
                known = {"task_id": task.id, "runninghub_task_id": outcome.change.runninghub_task_id}
                log.exception("a paid call's outcome is not stored yet", extra=known)
                await asyncio.sleep(STORE_RETRY_S)
        if moved and moved.cancel_requested and moved.runninghub_task_id:
            await self._cancel_after_all(moved.id, moved.runninghub_task_id)
        if moved and moved.status is TaskStatus.PENDING:
            self._may_be_waiting = True
            return None
        return moved

    async def _cancel_after_all(self, task_id: str, runninghub_task_id: str) -> None:
        """The user cancelled while the paid call was under way."""
        try:
            await self._webapps.cancel(runninghub_task_id)
        except AppError as problem:
            log.warning(
                "RunningHub did not take a cancel", extra={"task_id": task_id, "problem": problem.code}
            )

    def _webhook_url(self, task_id: str) -> str | None:
        base = self._settings.public_url
        return f"{base}/webhooks/runninghub/{task_id}/{self._secret.signature(task_id)}" if base else None

    def _answer(self, task_id: str, found: Task | AppError | None = None) -> None:
        if (answer := self._answers.pop(task_id, None)) and not answer.done():
            answer.set_result(found)

    def release_waiting(self) -> None:
        """Answer all who wait with the state of their task as it is."""
        for task_id in list(self._answers):
            self._answer(task_id)


def _log_outcome(task: Task, outcome: Outcome) -> None:
    extra = {"task_id": task.id, "status": outcome.change.status}
    if outcome.change.runninghub_task_id:
        extra["runninghub_task_id"] = outcome.change.runninghub_task_id
    if outcome.problem:
        extra["problem"] = outcome.problem.code
    log.info("task handed to RunningHub", extra=extra)


def _unknown_error(problem: AppError) -> dict[str, str]:
    return {
        "code": problem.code,
        "message": f"{problem.message} The task may run at RunningHub and cost. Look it up in RunningHub's"
        " console and settle it; it is not sent again by itself.",
    }
