"""A stored task's way to RunningHub: claim the head of the queue, make the paid call, store its outcome."""

import asyncio
import logging
import math
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from config import Settings
from database import Database, Limits, UpdateLimits
from db.user_rows import QuotaUsed
from errors import AppError, DatabaseUnavailable, QuotaExceeded
from logs import LogLimit
from models import NO_LIMITS, AccountRow, AccountState, LimiterRow, NewTask, Task, TaskStatus, UserLimits
from runninghub.accounts import Account, Accounts
from runninghub.codes import Refusal
from runninghub.replies import RunResult
from secret_key import SecretKey
from tasks import submit_limiter
from tasks.account_monitor import AccountMonitor
from tasks.progress_follower import ProgressFollower
from tasks.submit_limiter import SubmitPlanner
from tasks.submit_waiters import SubmitResult, SubmitWaiters
from transitions import Accepted, Event, NotStarted, OutcomeUnknown, Rejected
from webapp_service import Run, WebappService

T = TypeVar("T")

log = logging.getLogger(__name__)

# How long a submit waits for RunningHub's response; then it returns the row as it is.
WAIT_S = 2.0
DAY_MS = 24 * 3600 * 1000
STORE_RETRY_S = 1.0
STORE_LOG_INTERVAL_S = 60.0
BUSY_FROM = 3
# How long a stop waits for paid calls in flight, from its signal on, and then for storing their outcomes.
CLOSING_S = 7.0
STORING_S = 2.0

INTERRUPTED = {
    "code": "submit_interrupted",
    "message": "The service was stopped while this task was being submitted to RunningHub. It may run there"
    " and cost. Look it up in RunningHub's console and settle it; it is not sent again automatically.",
}
# With it, a task is stored and waits for the next start.
NO_CALLS = SubmitPlanner(())
PAUSED_ACCOUNT = frozenset({Refusal.NO_BALANCE, Refusal.KEY_REFUSED, Refusal.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a paid call does: the event for the task, what it says about the account, and the problem."""

    event: Event
    refusal: Refusal
    limits: UpdateLimits | None = None
    problem: AppError | None = None
    progress_url: str | None = field(default=None, repr=False)


class Submitter:
    """Makes each paid call once. Calls in flight belong to it; `close` waits for them."""

    def __init__(
        self,
        database: Database,
        webapps: WebappService,
        accounts: Accounts,
        planner: SubmitPlanner,
        monitor: AccountMonitor,
        settings: Settings,
        secret: SecretKey,
        progress: ProgressFollower | None = None,
    ) -> None:
        self._database = database
        self._webapps = webapps
        self._accounts = accounts
        self._planner = planner
        self._monitor = monitor
        self._settings = settings
        self._secret = secret
        self._progress = progress
        self._waiters = SubmitWaiters()
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._claims: set[asyncio.Task[Any]] = set()
        self._may_be_waiting = True
        self._stopped_at: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether several paid calls are in flight."""
        return len(self._calls) > BUSY_FROM

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    async def submit(self, new: NewTask, limits: UserLimits = NO_LIMITS) -> Task | None:
        """Store a task, send it if it may start now, and wait for the response as `wait` does.

        None: nothing was stored, see `Database.add_task`. `limits` are the owner's; raises QuotaExceeded.
        """
        self._waiters.add(new.id)
        try:
            added = await self._shielded(self._add(new, limits))
            return added and await self._waited(new.id)
        finally:
            self._waiters.resolve(new.id)

    async def _add(self, new: NewTask, limits: UserLimits) -> Task | None:
        added = await self._database.add_task(
            new,
            max_pending=self._settings.max_pending_tasks,
            planner=self._planner if self._stopped_at is None else NO_CALLS,
            responding=self._accounts.responding(),
            limits=limits,
        )
        if added is None:
            return None
        if isinstance(added, QuotaUsed):
            raise quota_problem(added, limits, self._database.clock())
        self._may_be_waiting = self._may_be_waiting or added.task.status is TaskStatus.PENDING
        self._start(added.claimed)
        return added.task

    async def wait(self, task_id: str) -> Task | None:
        """Wait until the task's paid call has its response, at most `WAIT_S`, or cannot start now.

        Returns the task as it then is, or None where there is nothing to wait for. Raises the problem with
        which RunningHub rejected it, or which left its outcome unknown.
        """
        return await self._waited(task_id) if task_id in self._waiters else None

    async def _waited(self, task_id: str) -> Task | None:
        result = await self._waiters.wait(task_id, WAIT_S if self._stopped_at is None else 0)
        if result.problem:
            raise result.problem.about(task_id)
        return result.task or await self._database.task(task_id)

    async def submit_pending(self) -> None:
        """Send what may start now."""
        if self._stopped_at is None:
            await self._shielded(self._claim())

    async def _claim(self) -> None:
        claimed = await self._database.claim_pending(self._planner, self._accounts.responding())
        self._start(claimed)
        self._may_be_waiting = bool(claimed) or await self._database.has_claimable()

    async def _shielded(self, claim: Coroutine[Any, Any, T]) -> T:
        """What is claimed has to be sent: a claim continues when its caller is cancelled."""
        task = asyncio.create_task(claim)
        self._claims.add(task)
        task.add_done_callback(self._claim_ended)
        return await asyncio.shield(task)

    def _claim_ended(self, claim: asyncio.Task[Any]) -> None:
        """With neither a call nor a claim under way, nobody's wait can end well: all return PENDING."""
        self._claims.discard(claim)
        if not self._calls and not self._claims:
            self._waiters.resolve_all()

    async def give_up_stale(self, *, is_only_worker: bool = False) -> None:
        """Make SUBMITTING rows SUBMIT_UNKNOWN whose worker is gone.

        `is_only_worker`: no other worker serves the database, so that all but our own calls are stale.
        """
        if self._database.may_have_lost_claims:
            await self._return_lost_claims()
        for task in await self._database.stale_submits(is_only_worker=is_only_worker):
            if task.id not in self._calls:
                log.warning("outcome of a paid call unknown", extra={"task_id": task.id})
                await self._database.store(task.id, OutcomeUnknown(task.attempt, INTERRUPTED))

    async def _return_lost_claims(self) -> None:
        """Let the rows wait again that we claimed without hearing of it: their paid calls were never made."""
        claimed = await self._database.own_submits()
        if self._claims:  # what these have claimed is not among the calls yet; the next time, then
            return
        for task in claimed:
            if task.id not in self._calls:
                await self._database.store(task.id, NotStarted(task.attempt))
                self._may_be_waiting = True
        self._database.may_have_lost_claims = False

    def stop(self) -> None:
        """Start no further call, and let nobody wait for one."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
        self._waiters.resolve_all()

    async def close(self) -> None:
        """Wait for the calls in flight, and give up those that take too long, also where storing them does.

        What is not stored then is in the log with both ids; its row becomes SUBMIT_UNKNOWN at the next
        start.
        """
        self.stop()
        end = (self._stopped_at or 0.0) + CLOSING_S
        await _wait_for(self._claims, end)
        await _wait_for(self._calls.values(), end)
        # The first time its outcome is stored as unknown, the second time storing it is given up.
        for _ in range(2):
            for call in list(self._calls.values()):
                call.cancel()
            await _wait_for(self._calls.values(), time.monotonic() + STORING_S)

    def _start(self, claimed: list[Task]) -> None:
        for task in claimed:
            call = asyncio.create_task(self._send(task), name=f"submit {task.id}")
            self._calls[task.id] = call
            call.add_done_callback(partial(self._call_ended, task.id))

    def _call_ended(self, task_id: str, call: asyncio.Task[None]) -> None:
        """A refused task may be in flight again by now."""
        if self._calls.get(task_id) is call:
            del self._calls[task_id]

    async def _send(self, task: Task) -> None:
        account = self._accounts.by_name(task.account or "")
        try:
            outcome = await self._call(task, account) if account else _not_sent(task)
        except BaseException:  # given up by a stop, or a fault of ours: the call may have been made
            unknown = OutcomeUnknown(task.attempt, INTERRUPTED)
            await self._store(task, Outcome(unknown, Refusal.UNKNOWN))
            self._waiters.resolve(task.id)
            raise
        stored = await self._store(task, outcome)
        if self._progress and stored and account:
            self._progress.follow(stored, outcome.progress_url, account.base_url)
        _log_outcome(task, outcome, stored)
        if outcome.refusal in PAUSED_ACCOUNT and account and outcome.problem:
            self._monitor.refused(account.name, task.id, outcome.problem)
        if outcome.refusal is Refusal.FULL and account:
            self._monitor.refused_as_full(account.name)
        if outcome.refusal is not Refusal.ACCEPTED:
            await self._refresh_monitor()
        self._calls.pop(task.id, None)
        self._waiters.resolve(task.id, _result(outcome, stored))
        if self._may_be_waiting:
            await self._submit_pending_or_log()

    async def _refresh_monitor(self) -> None:
        try:
            await self._monitor.refresh()
        except DatabaseUnavailable:
            log.warning("the accounts' states could not be read")

    async def _submit_pending_or_log(self) -> None:
        with suppress(DatabaseUnavailable):  # logged where it was met; the poller tries again
            await self.submit_pending()

    async def _call(self, task: Task, account: Account) -> Outcome:
        """Make the paid call; returns what its response does to the task and its account."""
        run = Run(
            kind=task.kind,
            target=task.webapp_id or task.workflow_id or task.model_path or "",
            node_info=task.node_info,
            instance_type=task.instance_type,
            access_password=self._secret.decrypt(task.encrypted_password)
            if task.encrypted_password
            else None,
            webhook_url=self._webhook_url(task.id),
            options=task.run_options,
        )
        began_ms = self._database.clock()
        return self._outcome(task, await self._webapps.run(account, run), began_ms)

    def _outcome(self, task: Task, result: RunResult, began_ms: int) -> Outcome:
        """The contract's table of refusals; which code has which class is in `runninghub.codes`."""
        problem = result.error
        if problem is None:
            accepted = self._accepted(task, result)
            return Outcome(accepted, result.refusal, _after_accepted, progress_url=result.progress_url)
        message = problem.message
        match result.refusal:
            case Refusal.NOT_SENT:
                limits = partial(_after_not_sent, message, began_ms)
            case Refusal.FULL:
                limits = partial(_after_full, began_ms)
            case Refusal.NO_BALANCE:
                limits = partial(_after_account_refused, AccountState.INSUFFICIENT_BALANCE, message)
            case Refusal.KEY_REFUSED:
                limits = partial(_after_account_refused, AccountState.KEY_REFUSED, message)
            case Refusal.UNKNOWN:
                limits = partial(_after_outcome_unknown, message, began_ms)
                error = _unknown_error(problem)
                return Outcome(OutcomeUnknown(task.attempt, error), result.refusal, limits, problem)
            case Refusal.TASK_ERROR:
                event = Rejected(task.attempt, {"code": problem.code, "message": message})
                return Outcome(event, result.refusal, _after_task_error, problem)
        return Outcome(NotStarted(task.attempt), result.refusal, limits, problem)

    def _accepted(self, task: Task, result: RunResult) -> Accepted:
        return Accepted(
            attempt=task.attempt,
            runninghub_task_id=result.runninghub_task_id,
            is_running=result.is_running,
            node_errors=result.node_errors,
            next_poll_ms=self._database.clock() + int(self._settings.poll_interval_s * 1000),
        )

    async def _store(self, task: Task, outcome: Outcome) -> Task | None:
        """Store an outcome, and retry while the disk or a lock hinders it: it may have been paid for.

        Returns the task as it then is; None where somebody else has changed it.
        """
        limit = LogLimit(STORE_LOG_INTERVAL_S)
        while True:
            try:
                stored = await self._database.store(task.id, outcome.event, limits=outcome.limits)
                break
            except DatabaseUnavailable as problem:
                if limit.allows(task.id):
                    _log_not_stored(task, outcome.event, problem.message)
            except asyncio.CancelledError:
                _log_not_stored(task, outcome.event, "The service is stopping.")
                raise
            await asyncio.sleep(STORE_RETRY_S)
        if stored and stored.status is TaskStatus.PENDING:
            self._may_be_waiting = True
        return stored

    def _webhook_url(self, task_id: str) -> str | None:
        base = self._settings.public_url
        return f"{base}/webhooks/runninghub/{task_id}/{self._secret.signature(task_id)}" if base else None


def quota_problem(quota: QuotaUsed, limits: UserLimits, now_ms: int) -> QuotaExceeded:
    """For the user, with the time after which another submit may succeed."""
    if quota is QuotaUsed.PENDING_TASKS:
        return QuotaExceeded(
            f"{limits.max_pending_tasks} tasks of this user are waiting already. Submit again when some have"
            " started.",
            retry_after=10,
        )
    return QuotaExceeded(
        f"The {limits.tasks_per_day} tasks of this user for today (UTC) are used up.",
        retry_after=math.ceil((DAY_MS - now_ms % DAY_MS) / 1000),
    )


def _result(outcome: Outcome, stored: Task | None) -> SubmitResult:
    """Only an error of the task, or an unknown outcome, is a problem for who submitted it."""
    if outcome.refusal in {Refusal.TASK_ERROR, Refusal.UNKNOWN}:
        return SubmitResult(problem=outcome.problem)
    is_waiting = stored is not None and stored.status is TaskStatus.PENDING
    return SubmitResult(task=None if is_waiting else stored)


def _not_sent(task: Task) -> Outcome:
    """The account left the settings between the claim and the call."""
    return Outcome(NotStarted(task.attempt), Refusal.NOT_SENT)


def _after_accepted(account: AccountRow, limiter: LimiterRow, active: int, now_ms: int) -> Limits:
    return submit_limiter.after_accepted(account, limiter, active)


def _after_task_error(account: AccountRow, limiter: LimiterRow, active: int, now_ms: int) -> Limits:
    """RunningHub works; that a slot is free is not said."""
    return submit_limiter.answered(account), limiter


def _after_full(began_ms: int, account: AccountRow, limiter: LimiterRow, active: int, now_ms: int) -> Limits:
    return submit_limiter.answered(account), submit_limiter.after_full(limiter, active, began_ms, now_ms)


def _after_not_sent(
    message: str, began_ms: int, account: AccountRow, limiter: LimiterRow, active: int, now_ms: int
) -> Limits:
    return submit_limiter.after_not_sent(account, message, began_ms, now_ms), limiter


def _after_account_refused(
    state: AccountState, message: str, account: AccountRow, limiter: LimiterRow, active: int, now_ms: int
) -> Limits:
    return submit_limiter.after_account_refused(account, state, message, now_ms), limiter


def _after_outcome_unknown(
    message: str, began_ms: int, account: AccountRow, limiter: LimiterRow, active: int, now_ms: int
) -> Limits:
    return submit_limiter.after_outcome_unknown(account, message, began_ms, now_ms), limiter


async def _wait_for(tasks: Iterable[asyncio.Task[Any]], end: float) -> None:
    if waiting := set(tasks):
        await asyncio.wait(waiting, timeout=max(0, end - time.monotonic()))


def _log_not_stored(task: Task, event: Event, reason: str) -> None:
    """Both ids, so that the run can be found if this process ends first."""
    known = {"task_id": task.id}
    if isinstance(event, Accepted):
        known["runninghub_task_id"] = event.runninghub_task_id
    log.error("a paid call's outcome is not stored yet: %s", reason, extra=known)


def _log_outcome(task: Task, outcome: Outcome, stored: Task | None) -> None:
    """One line for what happened; WARNING for what an operator should see."""
    extra: dict[str, Any] = {"task_id": task.id, "account": task.account, "outcome": outcome.refusal.value}
    if stored:
        extra["status"] = stored.status
    if isinstance(outcome.event, Accepted):
        extra["runninghub_task_id"] = outcome.event.runninghub_task_id
    if outcome.problem and outcome.problem.upstream:
        extra["upstream_code"] = outcome.problem.upstream["code"]
    quiet = {Refusal.ACCEPTED: "task accepted by RunningHub", Refusal.FULL: "task waits for a free slot"}
    if sentence := quiet.get(outcome.refusal):
        log.info(sentence, extra=extra)
    else:
        log.warning("task not accepted by RunningHub", extra=extra)


def _unknown_error(problem: AppError) -> dict[str, str]:
    return {
        "code": problem.code,
        "message": f"{problem.message} The task may run at RunningHub and cost. Look it up in RunningHub's"
        " console and settle it; it is not sent again automatically.",
    }
