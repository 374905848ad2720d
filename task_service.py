"""The operations on a task: validate, store, submit, wait; poll, cancel, settle, rerun."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cachetools import LRUCache

from config import Settings
from database import Database, Limits, PageFilter
from errors import (
    AlreadyKnown,
    AppError,
    BudgetExceeded,
    Forbidden,
    IdempotencyKeyReused,
    InvalidNodeInfo,
    InvalidRequest,
    NotCancellable,
    NotDeletable,
    NotFinal,
    NotUnknown,
    RunningHubNotConfigured,
    TaskNotFound,
    TooManyPending,
)
from forms.app_hosts import AppHosts
from forms.cache import FormCache
from forms.types import Form
from forms.validation import node_info_from_values, validate_node_info, value_warnings
from models import (
    OPERATOR,
    AccountRow,
    CancelReason,
    Json,
    Kind,
    LimiterRow,
    NewTask,
    Principal,
    Task,
    TaskStatus,
    WebhookFormat,
)
from runninghub.accounts import Account, Accounts
from runninghub.replies import PollResult, RunState, cost_of, run_seconds
from runninghub.webhook import RUNNINGHUB_ID
from secret_key import SecretKey
from tasks.account_monitor import AccountMonitor
from tasks.outputs import OUTPUTS_NOT_KEPT, new_outputs
from tasks.poll_schedule import PollSchedule
from tasks.progress_follower import ProgressFollower
from tasks.submit_limiter import after_slot_freed
from tasks.submitter import Submitter
from transitions import (
    CancelConfirmed,
    CancelRequested,
    Event,
    Finished,
    NotKnown,
    Progress,
    Resubmitted,
    RunFailed,
    RunFound,
    Settled,
    WebhookReceived,
)
from webapp_service import WebappService
from webhooks.receivers import Receivers

log = logging.getLogger(__name__)

# A cancel that RunningHub has not confirmed is sent again with the next poll, after this time at most.
CANCEL_RETRY_MS = 2_000
REMEMBERED_HOSTS = 10_000


@dataclass(frozen=True, slots=True)
class Submission:
    """What a front end wants to run; `node_info` holds only members that RunningHub accepts, all strings.

    `values` is the alternative to `node_info`: values by the keys of the form's schema. Of a model,
    `run_options` is the whole body. `batch` is the text of all submissions that came with one
    Idempotency-Key.
    """

    node_info: list[dict[str, str]] = field(default_factory=list)
    webapp_id: str | None = None
    workflow_id: str | None = None
    model_path: str | None = None
    values: dict[str, Json] | None = None
    instance_type: str | None = None
    access_password: str | None = None
    run_options: dict[str, Json] = field(default_factory=dict)
    metadata: dict[str, Json] | None = None
    webhook_url: str | None = None
    webhook_format: WebhookFormat = WebhookFormat.STANDARD
    deadline_s: float | None = None
    idempotency_key: str | None = None
    rerun_of: str | None = None
    batch: str | None = None

    @property
    def kind(self) -> Kind:
        if self.model_path:
            return Kind.MODEL
        return Kind.WORKFLOW if self.workflow_id else Kind.WEBAPP

    @property
    def target(self) -> str:
        return self.workflow_id or self.webapp_id or self.model_path or ""

    @property
    def has_form(self) -> bool:
        """A model has none, and a workflow that is sent along is not the stored one."""
        return self.kind is not Kind.MODEL and "workflow" not in self.run_options

    @property
    def text(self) -> str:
        """The same text for the same request, for an Idempotency-Key's digest."""
        parts: list[Any] = [self.webapp_id, self.node_info, self.instance_type, self.access_password]
        later: dict[str, Any] = {
            "workflow_id": self.workflow_id,
            "model_path": self.model_path,
            "values": self.values,
            "run_options": self.run_options or None,
            "metadata": self.metadata,
            "webhook_url": self.webhook_url,
            "webhook_format": None if self.webhook_format is WebhookFormat.STANDARD else self.webhook_format,
            "deadline_s": self.deadline_s,
            "rerun_of": self.rerun_of,
            "batch": self.batch,
        }
        # Without them, the text is that of the first release: its keys stay valid.
        if given := {name: value for name, value in later.items() if value is not None}:
            parts.append(given)
        return json.dumps(parts, ensure_ascii=False, sort_keys=True)


class TaskService:
    """Every operation returns the task as the database has it afterwards.

    `principal` is who wants it: for a user, other owners' tasks do not exist.
    """

    def __init__(
        self,
        database: Database,
        webapps: WebappService,
        accounts: Accounts,
        submitter: Submitter,
        monitor: AccountMonitor,
        forms: FormCache,
        app_hosts: AppHosts,
        schedule: PollSchedule,
        secret: SecretKey,
        settings: Settings,
        *,
        receivers: Receivers | None = None,
        progress: ProgressFollower | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._webapps = webapps
        self._accounts = accounts
        self._submitter = submitter
        self._monitor = monitor
        self._forms = forms
        self._app_hosts = app_hosts
        self._schedule = schedule
        self._secret = secret
        self._settings = settings
        self._receivers = receivers
        self._progress = progress
        self._monotonic = monotonic
        self._not_known_at: LRUCache[str, float] = LRUCache(REMEMBERED_HOSTS)
        self._file_hosts: LRUCache[str, tuple[str, ...]] = LRUCache(REMEMBERED_HOSTS)

    # Submitting

    async def submit(
        self, submission: Submission, principal: Principal = OPERATOR
    ) -> tuple[Task, list[dict[str, Any]]]:
        """Validate, store and send; returns the task and warnings about its values.

        Raises InvalidNodeInfo before anything is stored, TooManyPending, IdempotencyKeyReused, Forbidden,
        QuotaExceeded, BudgetExceeded, or the problem with which RunningHub rejected the task or left its
        outcome unknown.
        """
        if not self._accounts.all:
            raise RunningHubNotConfigured
        require_may_run(principal, submission.target)
        await self._check_webhook_url(submission.webhook_url)
        key, digest = self._key_and_digest(submission, principal)
        if first := await self._first_with_key(key, digest):
            return first, []
        if await self._database.users.is_budget_used(principal.owner, principal.limits):
            raise BudgetExceeded("The coins of this user for this month (UTC) are used up.")
        node_info, warnings = await self._validated(submission)
        new = self._new_task(submission, node_info, key, digest, principal)
        if task := await self._submitter.submit(new, principal.limits):
            return task, warnings
        if first := await self._first_with_key(key, digest):
            return first, warnings
        raise TooManyPending(
            f"{self._settings.max_pending_tasks} tasks are waiting already. Submit again when some have"
            " started, or raise MAX_PENDING_TASKS.",
            retry_after=10,
        )

    async def _check_webhook_url(self, url: str | None) -> None:
        """A receiver to which nothing could be sent is refused before anything is paid for."""
        if url is None:
            return
        if not self._settings.webhook_secret:
            problem = "webhook_url requires WEBHOOK_SECRET, which is not set."
            raise InvalidRequest(problem, errors=[{"loc": ["body", "webhook_url"], "msg": problem}])
        if self._receivers and not await self._receivers.may_send_to(url):
            raise Forbidden("webhook_url is a private address; only WEBHOOK_ALLOW_PRIVATE=true allows it.")

    def _new_task(
        self,
        submission: Submission,
        node_info: list[dict[str, str]],
        key: str | None,
        digest: str | None,
        principal: Principal,
    ) -> NewTask:
        now = self._database.clock()
        password = submission.access_password
        return NewTask(
            id=_new_id(now),
            kind=submission.kind,
            webapp_id=submission.webapp_id,
            workflow_id=submission.workflow_id,
            model_path=submission.model_path,
            node_info=node_info,
            instance_type=submission.instance_type,
            run_options=submission.run_options,
            encrypted_password=self._secret.encrypt(password) if password else None,
            base_url=self._base_url(submission, node_info),
            owner=principal.owner,
            metadata=submission.metadata,
            webhook_url=submission.webhook_url,
            webhook_format=submission.webhook_format,
            rerun_of=submission.rerun_of,
            deadline_ms=now + int(submission.deadline_s * 1000) if submission.deadline_s else None,
            idempotency_key=key,
            request_digest=digest,
        )

    def _base_url(self, submission: Submission, node_info: list[dict[str, str]]) -> str | None:
        """The host of the app and of its files; files of another host cannot be used there."""
        hosts_of = {
            item["fieldValue"]: self._file_hosts[item["fieldValue"]]
            for item in node_info
            if item["fieldValue"] in self._file_hosts
        }
        app_host = self._app_hosts.base_url_of(submission.kind, submission.target)
        host = app_host or _common_host(list(hosts_of.values()))
        errors = [
            {
                "nodeId": item["nodeId"],
                "fieldName": item["fieldName"],
                "msg": f"The file is on {' and '.join(hosts_of[item['fieldValue']])}, the app on {host}.",
            }
            for item in node_info
            if item["fieldValue"] in hosts_of and host not in hosts_of[item["fieldValue"]]
        ]
        if errors:
            raise InvalidNodeInfo("The app and its files are on two hosts; see `errors`.", errors=errors)
        return host

    def _key_and_digest(self, submission: Submission, principal: Principal) -> tuple[str | None, str | None]:
        key = _scoped_key(principal, submission.idempotency_key)
        return key, self._secret.digest(submission.text) if key else None

    async def _first_with_key(self, key: str | None, digest: str | None) -> Task | None:
        first = await self._stored_with_key(key, digest)
        return first and (await self._submitter.wait(first.id) or first)

    async def _stored_with_key(self, key: str | None, digest: str | None) -> Task | None:
        first = await self._database.task_by_idempotency_key(key) if key else None
        if first is not None and first.request_digest != digest:
            raise IdempotencyKeyReused(
                "This Idempotency-Key came with another body before. Use a new key for a new task."
            )
        return first

    async def _validated(self, submission: Submission) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
        """The values to send, and warnings; values that cannot work are refused before they are paid for.

        Where the form cannot be obtained, validation is skipped.
        """
        if not submission.has_form:
            return submission.node_info, []
        kind, target = submission.kind, submission.target
        form = await self._forms.cached_or_fetch(kind, target)
        node_info, errors = _errors(form, submission)
        if errors and form is not None:
            form = await self._forms.fetch(kind, target)
            node_info, errors = _errors(form, submission)
        # An empty form says nothing about the app's fields.
        if errors and (form is None or form["nodeInfoList"]):
            raise InvalidNodeInfo(
                "Some values are not valid for the app's form; nothing was submitted. See `errors`.",
                errors=errors,
            )
        if form is None:
            return node_info, []
        seen = self._forms.last_returned(kind, target)
        return node_info, value_warnings(form, node_info) + _changes(seen, form, node_info)

    async def submit_many(
        self,
        submissions: Sequence[Submission],
        principal: Principal = OPERATOR,
        *,
        idempotency_key: str | None,
    ) -> list[tuple[Task, list[dict[str, Any]]] | AppError]:
        """Submit several tasks; returns for each what `submit` returns, or the problem that it raises.

        One Idempotency-Key covers the whole list: with another list, IdempotencyKeyReused is raised.
        """
        if idempotency_key:
            batch = json.dumps([submission.text for submission in submissions])
            submissions = [
                replace(submission, idempotency_key=f"{idempotency_key}\n{number}", batch=batch)
                for number, submission in enumerate(submissions)
            ]
            for submission in submissions:  # before any is paid for: another list may be longer
                await self._stored_with_key(*self._key_and_digest(submission, principal))
        results = await asyncio.gather(
            *(self.submit(submission, principal) for submission in submissions), return_exceptions=True
        )
        for result in results:
            if isinstance(result, IdempotencyKeyReused) or (
                isinstance(result, BaseException) and not isinstance(result, AppError)
            ):
                raise result
        return [
            result
            for result in results
            if not isinstance(result, BaseException) or isinstance(result, AppError)
        ]

    async def rerun(
        self, ref: str, principal: Principal = OPERATOR, *, idempotency_key: str | None
    ) -> tuple[Task, list[dict[str, Any]]]:
        """Submit the values of a task that is final or SUBMIT_UNKNOWN as a new task. Raises NotFinal."""
        task = await self.task(ref, principal)
        if not task.status.is_final and task.status is not TaskStatus.SUBMIT_UNKNOWN:
            raise NotFinal(f"The task is {task.status}; it can be run again when it is final.")
        if not (task.webapp_id or task.workflow_id or task.model_path):
            raise NotFinal("This task was imported from RunningHub; its values are not known here.")
        return await self.submit(
            Submission(
                webapp_id=task.webapp_id,
                workflow_id=task.workflow_id,
                model_path=task.model_path,
                node_info=task.node_info,
                instance_type=task.instance_type,
                access_password=self._secret.decrypt(task.encrypted_password)
                if task.encrypted_password
                else None,
                run_options=task.run_options,
                metadata=task.metadata,
                webhook_url=task.webhook_url,
                webhook_format=task.webhook_format,
                idempotency_key=idempotency_key,
                rerun_of=task.id,
            ),
            principal,
        )

    async def host_of(self, target: str | None, kind: Kind = Kind.WEBAPP) -> str | None:
        """The RunningHub host of an app or workflow; None: any. Raises what looking it up raises."""
        if target is None:
            return None
        if (base_url := self._app_hosts.base_url_of(kind, target)) is None:
            await self._forms.get(kind, target)
        return base_url or self._app_hosts.base_url_of(kind, target)

    def file_uploaded(self, account: Account, file_name: str) -> None:
        """A file belongs to the host that it was uploaded to: to both, where it was uploaded to both."""
        hosts = self._file_hosts.get(file_name, ())
        if len(self._accounts.hosts) > 1 and account.base_url not in hosts:
            self._file_hosts[file_name] = (*hosts, account.base_url)

    # Reading

    async def task(self, ref: str, principal: Principal = OPERATOR) -> Task:
        """The task with this id, ours or RunningHub's. Raises TaskNotFound."""
        task = await self._database.task(ref)
        if task is None or not principal.may_see(task.owner):
            raise _not_found()
        return task

    async def page(
        self,
        principal: Principal = OPERATOR,
        *,
        cursor: str | None,
        limit: int,
        wanted: PageFilter | None = None,
    ) -> tuple[list[Task], str | None]:
        """Tasks, newest first, and the cursor of the next page (None at the end).

        Raises Forbidden where a user wants the tasks of an owner by name.
        """
        wanted = wanted or PageFilter()
        if not principal.is_operator:
            if wanted.owner is not None:
                raise Forbidden("`owner` is for access tokens only: a user's list has only their own tasks.")
            wanted = replace(wanted, owner=principal.owner)
        tasks = await self._database.page(
            before_seq=int(cursor) if cursor else 2**62, limit=limit + 1, wanted=wanted
        )
        return tasks[:limit], str(tasks[limit - 1].seq) if len(tasks) > limit else None

    # Polling

    async def query(self, ref: str, principal: Principal = OPERATOR) -> Task:
        """Query RunningHub now. Imports a task that only RunningHub knows; raises TaskNotFound.

        Raises Forbidden where a user's query would import a task: it may be another user's run.
        """
        task = await self._database.task(ref)
        if task is None and RUNNINGHUB_ID.fullmatch(ref) and not principal.is_operator:
            raise Forbidden("Only access tokens may import a task by RunningHub's id.")
        if task is None:
            return await self._import(ref)
        if not principal.may_see(task.owner):
            raise _not_found()
        if not task.is_pollable or task.status is TaskStatus.SUBMITTING:
            return task
        await self.poll(task)
        return await self.task(task.id)

    async def _import(self, ref: str) -> Task:
        if not RUNNINGHUB_ID.fullmatch(ref):
            raise _not_found()
        if not self._accounts.all:
            raise RunningHubNotConfigured
        for account in self._accounts.all:
            result = await self._webapps.poll(account, ref)
            if result.state is not RunState.NOT_KNOWN:
                imported = await self._database.import_task(
                    _new_id(self._database.clock()),
                    ref,
                    account=account.name,
                    key_fingerprint=account.key_fingerprint,
                )
                if imported:
                    await self._store_poll_result(imported, account, ref, result)
                return await self.task(ref)
        raise _not_found()

    async def poll(self, task: Task) -> None:
        """Query RunningHub about a task and store the outcome. Raises AppError; then its row is unchanged.

        A cancel that RunningHub has not confirmed yet is sent first.
        """
        account, runninghub_id = self._accounts.of_task(task), task.runninghub_task_id or task.hinted_task_id
        if runninghub_id is None or not task.is_pollable:
            return
        if account is None:
            if task.account is None:  # restored: which account it was sent with is not in the backup
                await self._poll_others(task, None, runninghub_id)
            return
        if task.is_cancel_due:
            task = await self._send_cancel(task, account, runninghub_id)
        result = await self._webapps.poll(account, runninghub_id, kind=task.kind)
        if result.state is RunState.NOT_KNOWN and task.runninghub_task_id is None:
            await self._poll_others(task, account, runninghub_id)
        else:
            await self._store_poll_result(task, account, runninghub_id, result)

    async def _poll_others(self, task: Task, own: Account | None, hint: str) -> None:
        """Query the other accounts about a run that a webhook reported and the task's own does not know."""
        try:
            found = await self._run_elsewhere(task, own, hint)
        except AppError as problem:
            log.warning(
                "an account could not be queried about a run that a webhook reported",
                extra={"task_id": task.id, "problem": problem.code},
            )
            await self._database.store(task.id, await self._not_known(task, None))
            return
        if found is None:
            await self._database.store(task.id, await self._not_known(task, own))
            return
        account, result = found
        if at_account := await self._database.store(
            task.id, RunFound(hint, account.name, account.key_fingerprint)
        ):
            await self._store_poll_result(at_account, account, hint, result)

    async def _run_elsewhere(
        self, task: Task, own: Account | None, runninghub_id: str
    ) -> tuple[Account, PollResult] | None:
        """The account other than `own` that knows a run, and what it says; None: no other account does.

        An earlier paid call of the task may have been made with it. Raises what a query raises where nobody
        knows the run, but not all could be queried.
        """
        not_queried: AppError | None = None
        for account in self._accounts.all:
            if account is own:
                continue
            try:
                result = await self._webapps.poll(account, runninghub_id, kind=task.kind)
            except AppError as problem:
                not_queried = problem
                continue
            if result.state is not RunState.NOT_KNOWN:
                return account, result
        if not_queried:
            raise not_queried
        return None

    async def _send_cancel(self, task: Task, account: Account, runninghub_id: str) -> Task:
        try:
            await self._webapps.cancel(account, runninghub_id)
        except AppError as problem:
            log.warning(
                "cancel not confirmed by RunningHub; it is sent again",
                extra={"task_id": task.id, "problem": problem.code},
            )
            return task
        return await self._database.store(task.id, CancelConfirmed()) or task

    async def _store_poll_result(
        self, task: Task, account: Account, runninghub_id: str, result: PollResult
    ) -> None:
        match result.state:
            case RunState.NOT_KNOWN:
                event: Event = await self._not_known(task, account)
            case RunState.QUEUED | RunState.RUNNING:
                status = TaskStatus[result.state.name]
                event = Progress(runninghub_id, status, await self._next_poll_ms(task, status))
            case RunState.FINISHED:
                event = self._finished(task, runninghub_id, result.results or [])
            case RunState.FAILED:
                event = RunFailed(runninghub_id, result.reason)
        if (
            isinstance(event, Progress)
            and event.status is task.status
            and task.running_ms
            and (not task.lost_responses)
        ):
            await self._database.reschedule(task, event.next_poll_ms)
            self._follow(task, account, result)
            return
        stored = await self._database.store(task.id, event, limits=_if_ended(event))
        if stored and stored.status.is_final:
            await self._ended(stored)
        elif stored:
            self._follow(stored, account, result)

    def _follow(self, task: Task, account: Account, result: PollResult) -> None:
        if self._progress:
            self._progress.follow(task, result.progress_url, account.base_url)

    async def _next_poll_ms(self, task: Task, status: TaskStatus | None = None) -> int:
        next_poll_ms = await self._schedule.next_poll_ms(task, status)
        return (
            min(next_poll_ms, self._database.clock() + CANCEL_RETRY_MS)
            if task.is_cancel_due
            else next_poll_ms
        )

    async def _not_known(self, task: Task, account: Account | None) -> NotKnown:
        """Only running time of this process counts towards a loss: neither a clock step nor a restart.

        `account` None: not all that may know the task could be queried.
        """
        now = self._monotonic()
        elapsed_ms = int((now - self._not_known_at.get(task.id, now)) * 1000)
        if task.lost_at_ms is None:
            elapsed_ms = 0
        else:
            elapsed_ms = max(0, min(elapsed_ms, self._database.clock() - task.lost_at_ms))
        self._not_known_at[task.id] = now
        is_own_account = account is not None and task.key_fingerprint in (None, account.key_fingerprint)
        return NotKnown(is_own_account, elapsed_ms, await self._next_poll_ms(task))

    def _finished(self, task: Task, runninghub_id: str, results: list[Json]) -> Finished:
        cost, micros = cost_of(results)
        seconds = run_seconds(results)
        if seconds is None and task.accepted_ms:
            seconds = max(0.0, (self._database.clock() - task.accepted_ms) / 1000)
        outputs = new_outputs(results, is_kept=self._settings.outputs_url != OUTPUTS_NOT_KEPT)
        return Finished(runninghub_id, results, seconds, cost, micros, outputs)

    async def _ended(self, task: Task) -> None:
        extra = {"task_id": task.id, "status": task.status}
        if task.status is TaskStatus.FAILED and task.error:
            log.warning("task failed", extra=extra | {"error": task.error.get("code")})
        else:
            log.info("task ended", extra=extra)
        now = self._database.clock()
        ran_s = max(0, now - (task.running_ms or task.accepted_ms or now)) / 1000
        self._schedule.run_times.forget(task, ran_s)
        self._monitor.run_ended(ran_s)
        if self._progress:
            self._progress.stop(task.id)
        await self._submitter.submit_pending()

    def check_webhook_signature(self, task_id: str, signature: str) -> None:
        """Raises TaskNotFound: to a stranger, no task exists."""
        if not self._secret.is_signature(task_id, signature):
            raise _not_found()

    async def webhook(self, task_id: str, signature: str, runninghub_task_id: str | None) -> None:
        """RunningHub reports that a task ended. Only a hint: a poll is made due. Raises TaskNotFound."""
        self.check_webhook_signature(task_id, signature)
        await self._database.store(task_id, WebhookReceived(runninghub_task_id))

    # Cancelling and settling

    async def cancel(self, ref: str, principal: Principal = OPERATOR) -> Task:
        """Cancel a waiting task here, a running one at RunningHub. Raises NotCancellable for a final one.

        The cancel is stored first: it is sent until RunningHub has confirmed it.
        """
        task = await self.task(ref, principal)
        if task.status.is_final:
            raise NotCancellable(f"The task is {task.status} already.")
        requested = await self._database.store(task.id, CancelRequested(CancelReason.USER))
        task = requested or await self.task(task.id)
        if requested is None and task.status.is_final:
            raise NotCancellable(f"The task is {task.status} already.")
        if task.is_pollable and task.status is not TaskStatus.SUBMITTING:
            try:
                await self.poll(task)
            except AppError as problem:
                log.warning("cancel not sent yet", extra={"task_id": task.id, "problem": problem.code})
        return await self.task(task.id)

    async def cancel_past_deadline(self, *, limit: int) -> bool:
        """Cancel tasks that are not final at their deadline; whether there were any."""
        task_ids = await self._database.past_deadline(limit=limit)
        for task_id in task_ids:
            await self._database.store(task_id, CancelRequested(CancelReason.DEADLINE))
        return bool(task_ids)

    async def cancel_stray_runs(self, *, lease_ms: int, limit: int) -> None:
        """Cancel runs that no row is for, until RunningHub has confirmed it."""
        for run in await self._database.lease_stray_runs(lease_ms=lease_ms, limit=limit):
            account = self._accounts.by_name(run.account)
            if account is None:
                continue
            log.warning(
                "cancelling a second run of a task",
                extra={"task_id": run.task_id, "runninghub_task_id": run.runninghub_task_id},
            )
            await self._webapps.cancel(account, run.runninghub_task_id)
            await self._database.delete_stray_run(run)

    async def settle(self, ref: str, *, runninghub_task_id: str | None) -> Task:
        """A person resolves a SUBMIT_UNKNOWN task: its id at RunningHub, or None: it did not start.

        RunningHub is queried first. Raises NotUnknown, AlreadyKnown, TaskNotFound, and what the query raises;
        then the row is unchanged.
        """
        task = await self.task(ref)
        if task.status is not TaskStatus.SUBMIT_UNKNOWN:
            raise NotUnknown("Only a task that is SUBMIT_UNKNOWN can be settled.")
        account = self._accounts.of_task(task) or self._accounts.first
        if runninghub_task_id is None:
            return await self._resubmit(task, account)
        other = await self._database.task_by_runninghub_id(runninghub_task_id)
        if other is not None and other.id != task.id:
            raise AlreadyKnown("Another task has this RunningHub id; see `task_id`.", task_id=other.id)
        found = await self._run_anywhere(task, account, runninghub_task_id)
        if found is None:
            raise TaskNotFound("RunningHub does not know a task with this id; nothing was changed.")
        return await self._settled(task, *found, runninghub_task_id)

    async def _run_anywhere(
        self, task: Task, own: Account, runninghub_id: str
    ) -> tuple[Account, PollResult] | None:
        """The account that knows a run, the task's own first; raises as `_run_elsewhere` does."""
        result = await self._webapps.poll(own, runninghub_id, kind=task.kind)
        if result.state is not RunState.NOT_KNOWN:
            return own, result
        return await self._run_elsewhere(task, own, runninghub_id)

    async def _settled(self, task: Task, account: Account, result: PollResult, runninghub_id: str) -> Task:
        settled = Settled(runninghub_id, account.name, account.key_fingerprint)
        stored = await self._database.store(task.id, settled)
        if stored is None:
            raise NotUnknown("The task has just been settled otherwise.")
        await self._store_poll_result(stored, account, runninghub_id, result)
        return await self.task(task.id)

    async def _resubmit(self, task: Task, account: Account) -> Task:
        """An id that a webhook reported takes precedence: it is queried before anything is paid for again."""
        if (hint := task.hinted_task_id) and (found := await self._run_anywhere(task, account, hint)):
            return await self._settled(task, *found, hint)
        if await self._database.store(task.id, Resubmitted(task.hinted_task_id)) is None:
            raise NotUnknown("The task has just been settled otherwise.")
        return await self.task(task.id)

    async def delete(self, ref: str, principal: Principal = OPERATOR) -> None:
        """Delete a final task. Raises NotDeletable."""
        task = await self.task(ref, principal)
        if not await self._database.delete_task(task.id):
            raise NotDeletable(f"The task is {task.status}; cancel it first, or wait for its end.")


def _common_host(hosts_of_files: Sequence[Sequence[str]]) -> str | None:
    """The first file's host that most of the files are on; None: there are no files."""
    if not hosts_of_files:
        return None
    return max(hosts_of_files[0], key=lambda host: sum(host in hosts for hosts in hosts_of_files))


def require_may_run(principal: Principal, target: str) -> None:
    """Raises Forbidden for an app, or a workflow, that is not among the user's."""
    if not principal.may_run(target):
        raise Forbidden("This user may not run this app.")


def _scoped_key(principal: Principal, key: str | None) -> str | None:
    """Keys are a user's own; no header contains a line break, so that those of two never meet."""
    return key if key is None or principal.owner is None else f"\n{principal.owner}\n{key}"


def _if_ended(event: Event) -> Callable[[AccountRow, LimiterRow, int, int], Limits] | None:
    return _slot_freed if isinstance(event, Finished | RunFailed) else None


def _slot_freed(account: AccountRow, limiter: LimiterRow, active: int, now_ms: int) -> Limits:
    return account, after_slot_freed(limiter)


def _errors(form: Form | None, submission: Submission) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The values as RunningHub's list, and what is wrong with them; without a form only keys can be wrong."""
    node_info = submission.node_info
    errors: list[dict[str, Any]] = []
    if submission.values is not None:
        node_info, errors = node_info_from_values(form, submission.values)
    if form is None or errors:
        return node_info, errors
    return node_info, validate_node_info(form, node_info)


def _new_id(now_ms: int) -> str:
    """32 hex digits that sort by time: 12 of milliseconds, 20 random ones."""
    return f"{now_ms:012x}{secrets.token_hex(10)}"


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
