"""Every operation on stored data; the engine behind it is selected by `DATABASE_URL`."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any, Protocol, Self, TypeVar

from pydantic_core import from_json

from db import queries
from db.batched_reads import BatchedReads
from db.engine import Connection, Row
from db.engines import open_engine
from db.metric_rows import MetricRows
from db.output_rows import OutputRows
from db.user_rows import QuotaUsed, UserRows
from db.webhook_rows import DeliveryRows
from errors import DatabaseUnavailable
from metrics import COINS, DETECTION, ENDED, OTHER, RUN, UNKNOWN_SUBMITS, WAITING
from models import (
    ACTIVE,
    DEFAULT_INSTANCE_TYPE,
    NO_LIMITS,
    PUBLIC_ID_BASE,
    AccountRow,
    AccountState,
    CancelReason,
    Candidate,
    Claim,
    Hold,
    Json,
    Kind,
    LimiterRow,
    NewTask,
    SubmitView,
    Task,
    TaskProgress,
    TaskStatus,
    UserLimits,
    WebhookEvent,
    WebhookFormat,
    rfc3339,
)
from transitions import (
    DUPLICATE_ID,
    Accepted,
    Columns,
    Event,
    Finished,
    OutcomeUnknown,
    apply,
    is_public,
    is_stray,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_REF_DIGITS = 19
# A page of tasks with long values would take seconds to build and to read.
MAX_PAGE_BYTES = 4 * 1024 * 1024
STALE_WORKER_MS = 6_000
# All instances together have at most so many transactions open at a time.
MOST_CONNECTIONS = 500
EVENTS = {
    TaskStatus.SUCCESS: WebhookEvent.SUCCEEDED,
    TaskStatus.FAILED: WebhookEvent.FAILED,
    TaskStatus.CANCELLED: WebhookEvent.CANCELLED,
    TaskStatus.SUBMIT_UNKNOWN: WebhookEvent.UNKNOWN,
}

Limits = tuple[AccountRow, LimiterRow]
UpdateLimits = Callable[[AccountRow, LimiterRow, int, int], Limits]
"""What an outcome does to its account and limiter: `(account, limiter, active, now_ms)` to both anew."""


class Planner(Protocol):
    """Chooses which waiting tasks start; see `tasks.submit_limiter.SubmitPlanner`."""

    @property
    def base_urls(self) -> Sequence[str | None]: ...

    def capacity(
        self, view: SubmitView, responding: frozenset[str], candidate: Candidate, now_ms: int
    ) -> int: ...

    def choose(
        self, view: SubmitView, responding: frozenset[str], candidates: Sequence[Candidate], now_ms: int
    ) -> list[Claim]: ...


@dataclass(frozen=True, slots=True)
class Added:
    """A stored task, and all tasks whose paid call is to be made now (it may be one of them)."""

    task: Task
    claimed: list[Task]


@dataclass(frozen=True, slots=True)
class StrayRun:
    """A run that no row is for: its cancel is repeated until RunningHub confirms it."""

    account: str
    runninghub_task_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class UsedWebapp:
    """An app that was run here; `last_seq` orders a list of them."""

    webapp_id: str
    tasks: int
    last_seq: int
    last_used_at: str


@dataclass(frozen=True, slots=True)
class PageFilter:
    """Which tasks a list shows; `None` and empty: all. Times are RFC 3339 in UTC with milliseconds."""

    statuses: tuple[TaskStatus, ...] = ()
    webapp_id: str | None = None
    owner: str | None = None
    created_after: str | None = None
    created_before: str | None = None

    def parameters(self) -> dict[str, str]:
        """The filters that are set, except for the statuses."""
        values = {
            "webapp_id": self.webapp_id,
            "owner": self.owner,
            "created_after": self.created_after,
            "created_before": self.created_before,
        }
        return {name: value for name, value in values.items() if value is not None}


def _added(task: Task, claimed: list[Task]) -> Added:
    """`task` as the claim has left it."""
    return Added(next((each for each in claimed if each.id == task.id), task), claimed)


def _json_or_none(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _members(enum: type[StrEnum]) -> Callable[[str], StrEnum]:
    """What a column's text stands for; four times as fast as calling the enum. Raises KeyError."""
    return {member.value: member for member in enum}.__getitem__


COLUMN_NAMES = {
    kind: tuple(column.name for column in fields(kind)) for kind in (NewTask, AccountRow, LimiterRow)
}
ACCOUNT_STATES = _members(AccountState)


def _columns(row: NewTask | AccountRow | LimiterRow) -> dict[str, Any]:
    """A row's values by column name; `asdict` would copy every value of a node list as well."""
    return {name: getattr(row, name) for name in COLUMN_NAMES[type(row)]}


def _from_json(text: str) -> Json:
    try:
        return from_json(text)  # five times as fast
    except ValueError:
        return json.loads(text)  # nested deeper than that parser goes, or half of a surrogate pair


DECODERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(queries.JSON_COLUMNS, _from_json),
    "status": _members(TaskStatus),
    "kind": _members(Kind),
    "webhook_format": _members(WebhookFormat),
    "is_cancel_confirmed": bool,
    "hold": _members(Hold),
    "cancel_reason": _members(CancelReason),
}
# By place: a page has hundreds of rows with dozens of columns, and a dict of each takes twice as long.
DECODERS_BY_PLACE = [(Task._fields.index(name), decode) for name, decode in DECODERS.items()]
QUEUE_POSITION_PLACE = Task._fields.index("queue_position")


def _task(row: Row) -> Task:
    """A row with `TASK_COLUMNS`, and `queue_position` next where it was read."""
    values = list(row)
    for place, decode in DECODERS_BY_PLACE:
        if values[place] is not None:
            values[place] = decode(values[place])
    return Task(*values[: QUEUE_POSITION_PLACE + 1])


def _values(row: Row) -> dict[str, Any]:
    """The members of a task that a list had left out."""
    result_data = _from_json(row["result_data"]) if row["result_data"] else None
    return {"node_info": _from_json(row["node_info"]), "result_data": result_data}


def _tasks(rows: Iterable[Row]) -> list[Task]:
    return sorted((_task(row) for row in rows), key=lambda task: task.seq)


def _decodable(rows: Iterable[Row]) -> list[Task]:
    """The tasks of rows that can be read: one that was damaged from outside must not stop all others."""
    tasks: list[Task] = []
    for row in rows:
        try:
            tasks.append(_task(row))
        except (ValueError, KeyError):
            log.error("a row cannot be decoded", extra={"task_id": row["id"]})
    return sorted(tasks, key=lambda task: task.seq)


def _first(rows: Iterable[Row]) -> Task | None:
    return next((_task(row) for row in rows), None)


def _account(row: Row) -> AccountRow:
    values = dict(zip(row.keys(), row, strict=True))
    values["state"] = ACCOUNT_STATES(values["state"])
    values["is_probe_needed"] = bool(values["is_probe_needed"])
    return AccountRow(**values)


def _limiter(row: Row) -> LimiterRow:
    return LimiterRow(**dict(zip(row.keys(), row, strict=True)))


class Database:
    """The tasks, and what all workers know about accounts.

    `async with Database(location) as database` opens it, brings an older one up to date, and closes it.
    Raises DatabaseRefused on entry, and DatabaseUnavailable where the disk, a lock or the network stops a
    call. `location` is a file's path or a server's address. `worker` names this process; its SUBMITTING rows
    are its own. `clock` is used instead of the engine's. `user_limits` are those of users who have none of
    their own.
    """

    def __init__(
        self,
        location: str,
        *,
        worker: str = "main",
        clock: Callable[[], int] | None = None,
        user_limits: UserLimits = NO_LIMITS,
    ) -> None:
        self.engine = open_engine(location)
        self.clock = clock = clock or self.engine.clock
        self.worker = worker
        self._tasks = BatchedReads(self._read_tasks)
        self._one_claim = asyncio.Lock()
        self.may_have_lost_claims = False
        self.users = UserRows(self.engine, clock, user_limits)
        self.outputs = OutputRows(self.engine, clock, on_all_copied=self._outputs_kept)
        self.deliveries = DeliveryRows(self.engine, clock)
        self.metrics = self.engine.metrics
        self.metric_rows = MetricRows(self.engine, clock, worker)

    async def __aenter__(self) -> Self:
        await self.engine.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.engine.__aexit__(*details)

    # Submitting

    async def add_task(
        self,
        new: NewTask,
        *,
        max_pending: int,
        planner: Planner,
        responding: frozenset[str] = frozenset(),
        limits: UserLimits = NO_LIMITS,
    ) -> Added | QuotaUsed | None:
        """Store a task, and claim what may start now. `limits` are those of the task's owner.

        None: nothing was stored, since `max_pending` tasks wait already or the idempotency key exists. Nor
        was it where a quota is returned.
        """
        self.engine.require_no_fault()
        now = self.clock()
        values = {
            **_columns(new),
            **{name: _json_or_none(getattr(new, name)) for name in ("node_info", "run_options", "metadata")},
            "at": rfc3339(now),
            "now": now,
        }

        async def statements(connection: Connection) -> Added | QuotaUsed | None:
            pending = await self._count_pending(connection, max_pending)
            if pending >= max_pending:
                return None
            if await self._is_key_taken(connection, new.idempotency_key):
                return None
            if new.owner is not None:
                await self.users.lock(connection, new.owner)
            if quota := await self.users.quota_used(connection, new.owner, limits):
                return quota
            claim = None
            if pending == 0 and self.engine.has_one_writer:
                claim = await self._claim_for_new(connection, new, planner, responding, now)
            columns = values | self._new_columns(claim, now)
            task = _first(await connection.execute_fetchall(queries.INSERT_TASK, columns))
            if task is None:  # another transaction has stored the key since
                return None
            if claim is not None:
                return Added(task, [task])
            added = await self._within_user_limit(connection, task)
            if not self.engine.has_one_writer:
                return Added(added, [])
            claimed = await self._claim(connection, planner, responding, now)
            return _added(added, claimed)

        added = await self._write_claims(statements)
        if isinstance(added, Added) and not self.engine.has_one_writer:
            claimed = await self._claim_after_adding(planner, responding)
            return _added(added.task, claimed)
        return added

    async def _claim_for_new(
        self,
        connection: Connection,
        new: NewTask,
        planner: Planner,
        responding: frozenset[str],
        now: int,
    ) -> Claim | None:
        """The claim of a task that is about to be stored while no other waits; None: it may have to wait."""
        if new.owner is not None and await self.users.max_active(connection, new.owner):
            return None
        view = await self._view_in(connection)
        candidate = Candidate(0, 0, new.base_url, new.instance_type or DEFAULT_INSTANCE_TYPE)
        return next(iter(planner.choose(view, responding, [candidate], now)), None)

    def _new_columns(self, claim: Claim | None, now: int) -> dict[str, Any]:
        """The columns of a new row that depend on whether its paid call starts now."""
        return {
            "status": TaskStatus.PENDING if claim is None else TaskStatus.SUBMITTING,
            "version": 1 if claim is None else 2,
            "attempt": 0 if claim is None else 1,
            "account": claim and claim.account,
            "key_fingerprint": claim and claim.key_fingerprint,
            "worker": claim and self.worker,
            "submitting_ms": claim and now,
        }

    async def _claim_after_adding(self, planner: Planner, responding: frozenset[str]) -> list[Task]:
        """Claims have to follow one another: of many tasks that are added at once, one claim starts all.

        The tasks are stored whatever happens here; the poller claims them later.
        """
        async with self._one_claim:
            try:
                return await self.claim_pending(planner, responding)
            except DatabaseUnavailable:
                return []

    async def _count_pending(self, connection: Connection, max_pending: int) -> int:
        """How many tasks wait; no other is added until the transaction ends, where that could matter."""
        ((pending,),) = await connection.execute_fetchall(queries.COUNT_PENDING)
        if max_pending - MOST_CONNECTIONS <= pending < max_pending and not self.engine.has_one_writer:
            # Only near the limit do those who submit have to wait for each other.
            await self.engine.lock(connection, "pending tasks")
            ((pending,),) = await connection.execute_fetchall(queries.COUNT_PENDING)
        return int(pending)

    async def _is_key_taken(self, connection: Connection, key: str | None) -> bool:
        if key is None:
            return False
        return bool(await connection.execute_fetchall(queries.SELECT_BY_IDEMPOTENCY_KEY, {"key": key}))

    async def claim_pending(self, planner: Planner, responding: frozenset[str] = frozenset()) -> list[Task]:
        """Move the heads of the queue that may start now to SUBMITTING, in their order."""
        self.engine.require_no_fault()
        now = self.clock()
        if not await self._may_claim(planner, responding, now):
            return []

        async def statements(connection: Connection) -> list[Task]:
            return await self._claim(connection, planner, responding, now)

        return await self._write_claims(statements)

    async def _write_claims(self, statements: Callable[[Connection], Awaitable[T]]) -> T:
        """A connection that breaks during the commit leaves open whether it was stored; see `own_submits`."""
        try:
            return await self.engine.write(statements)
        except DatabaseUnavailable:
            self.may_have_lost_claims = True
            raise

    async def _may_claim(self, planner: Planner, responding: frozenset[str], now: int) -> bool:
        """Whether anything may start, by a reader: while nothing can, no transaction is begun."""
        if not await self.has_claimable():
            return False
        view = await self.submit_view()
        types = [row["instance_type"] for row in await self.engine.read(queries.SELECT_WAITING_TYPES)]
        return any(
            planner.capacity(view, responding, Candidate(0, 0, base_url, instance_type), now) > 0
            for base_url in planner.base_urls
            for instance_type in types
        )

    async def _claim(
        self, connection: Connection, planner: Planner, responding: frozenset[str], now: int
    ) -> list[Task]:
        await self.engine.lock(connection, "claims")
        view = await self._view_in(connection)
        candidates: list[Candidate] = []
        for (instance_type,) in await connection.execute_fetchall(queries.SELECT_WAITING_TYPES):
            for base_url in planner.base_urls:
                group = Candidate(0, 0, base_url, instance_type)
                capacity = planner.capacity(view, responding, group, now)
                if capacity > 0:
                    rows = await connection.execute_fetchall(
                        queries.SELECT_CANDIDATES,
                        {"base_url": base_url, "instance_type": instance_type, "limit": capacity},
                    )
                    candidates += [
                        Candidate(row["seq"], row["turn"], base_url, instance_type) for row in rows
                    ]
        claimed: list[Task] = []
        for claim in planner.choose(view, responding, candidates, now):
            parameters = {
                "seq": claim.candidate.seq,
                "account": claim.account,
                "key_fingerprint": claim.key_fingerprint,
                "worker": self.worker,
                "at": rfc3339(now),
                "now": now,
            }
            claimed += _tasks(await connection.execute_fetchall(queries.CLAIM_TASK, parameters))
            await connection.execute_fetchall(queries.ADVANCE_TURN, {"turn": claim.candidate.turn})
        return claimed

    async def _view_in(self, connection: Connection) -> SubmitView:
        # In this order: a call that has ended since still counts, so that its refusal is not overlooked.
        counts = await connection.execute_fetchall(queries.SELECT_COUNTS)
        limiters = await connection.execute_fetchall(queries.SELECT_LIMITERS)
        return _view(await connection.execute_fetchall(queries.SELECT_ACCOUNTS), limiters, counts)

    async def has_claimable(self) -> bool:
        """Whether a task waits that nothing but free slots and its account keeps waiting."""
        return bool(await self.engine.read(queries.HAS_CLAIMABLE))

    async def held_tasks(self, hold: Hold, *, limit: int) -> list[Task]:
        """The waiting tasks that are held for this reason, in their order."""
        return _tasks(await self.engine.read(queries.SELECT_HELD, {"hold": hold, "limit": limit}))

    async def stale_submits(self, *, is_only_worker: bool = False) -> list[Task]:
        """SUBMITTING rows whose worker is gone: nobody waits for their paid call any more."""
        now = self.clock()
        parameters = {
            "now": now,
            "worker": self.worker,
            "is_only_worker": is_only_worker,
            "seen_after": now - STALE_WORKER_MS,
        }
        return _tasks(await self.engine.read(queries.SELECT_STALE_SUBMITS, parameters))

    async def own_submits(self) -> list[Task]:
        """SUBMITTING rows that this worker has claimed, whether it has heard of it or not."""
        return _tasks(await self.engine.read(queries.SELECT_OWN_SUBMITS, {"worker": self.worker}))

    async def worker_seen(self, *, is_only_worker: bool = False) -> None:
        """Tell the other workers that this one lives, and forget those that are gone."""
        now = self.clock()

        async def statements(connection: Connection) -> None:
            gone = {"before": now - 10 * STALE_WORKER_MS, "is_only_worker": is_only_worker}
            await connection.execute_fetchall(queries.DELETE_GONE_WORKERS, gone)
            await connection.execute_fetchall(queries.WORKER_SEEN, {"worker": self.worker, "now": now})

        await self.engine.write(statements)

    # Changing a task

    async def store(self, task_id: str, event: Event, *, limits: UpdateLimits | None = None) -> Task | None:
        """The one place that gives a stored task another status: `transitions.apply` decides.

        `limits` is what the event says about the account and its free slots, stored with it. None: the event
        changed nothing in the row; somebody was first.
        """

        before: Task | None = None

        async def statements(connection: Connection) -> Task | None:
            nonlocal before
            now = self.clock()
            task = _first(await connection.execute_fetchall(queries.SELECT_TASK, {"id": task_id}))
            if task is None:
                return None
            cause: Event | None = event
            columns = apply(task, event, now)
            if columns and await self._is_other_tasks_run(connection, task, columns):
                log.error("one RunningHub id for two tasks", extra={"task_id": task.id})
                cause = _without_id(event)
                columns = apply(task, cause, now) if cause else None
            if columns is None and isinstance(cause, Accepted) and is_stray(task, cause):
                await self._add_stray(connection, task, cause, now)
            changed = await self._update(connection, task, columns, now) if columns else None
            if changed is not None and isinstance(cause, Finished):
                await self.outputs.insert(connection, changed.id, cause.outputs)
            if changed is not None:
                await self._add_delivery(connection, task, changed)
            if limits is not None and task.account is not None:
                await self._update_limits(connection, changed or task, limits, now)
            before = task
            return changed

        changed = await self.engine.write(statements)
        if before is not None and changed is not None:
            self._record(before, changed, event)
        return changed

    def _record(self, task: Task, changed: Task, event: Event) -> None:
        """Count a change that has been committed, and have its webhook sent."""
        if changed.status is task.status:
            return
        if changed.status in EVENTS:
            self.deliveries.on_due()
        if changed.status.is_final:
            self.metrics.count(ENDED, changed.status)
        if changed.status is TaskStatus.SUBMIT_UNKNOWN:
            self.metrics.count(UNKNOWN_SUBMITS)
        now = self.clock()
        if isinstance(event, Accepted):
            self.metrics.observe(WAITING, now / 1000 - _seconds(task.created_at))
        if isinstance(event, Finished):
            self._record_run(changed, event, now)

    def _record_run(self, task: Task, event: Finished, now: int) -> None:
        """`running_ms` is when this service first saw it run."""
        if event.run_seconds is not None:
            self.metrics.observe(RUN, event.run_seconds)
            if task.running_ms is not None:
                self.metrics.observe(DETECTION, (now - task.running_ms) / 1000 - event.run_seconds)
        if coins_micros := event.cost_micros.get("coins_micros"):
            app = task.webapp_id or task.workflow_id or task.model_path or OTHER
            self.metrics.count(COINS, app, by=coins_micros / 1_000_000)

    async def _within_user_limit(self, connection: Connection, task: Task) -> Task:
        """The task, which has just become claimable, as it is after its owner's limit was applied."""
        if task.owner is None or not await self.users.hold_and_release(connection, task.owner, task.id):
            return task
        return _first(await connection.execute_fetchall(queries.SELECT_TASK, {"id": task.id})) or task

    async def _add_delivery(self, connection: Connection, task: Task, changed: Task) -> None:
        """Store the webhook of a task that has ended, or whose outcome has become unknown."""
        event = EVENTS.get(changed.status)
        if event is not None and changed.status is not task.status:
            outputs = await self.outputs.of_task_in(connection, changed.id)
            await self.deliveries.add(connection, event, changed, outputs)

    async def _outputs_kept(self, connection: Connection, task_id: str) -> None:
        """The last copy of a task's outputs has ended."""
        task = _first(await connection.execute_fetchall(queries.SELECT_TASK, {"id": task_id}))
        if task is not None:
            outputs = await self.outputs.of_task_in(connection, task_id)
            await self.deliveries.add(connection, WebhookEvent.OUTPUTS_KEPT, task, outputs)

    async def _update(self, connection: Connection, task: Task, columns: Columns, now: int) -> Task | None:
        """Store a change, and what it means for the other tasks of its owner."""
        changed = await self._update_row(connection, task, columns, now)
        if changed is None or changed.owner is None:
            return changed
        was_active, is_active = _is_user_active(task), _is_user_active(changed)
        if was_active and not is_active:
            await self.users.release(connection, changed.owner)
        if is_active and not was_active and changed.status is TaskStatus.PENDING:
            return await self._within_user_limit(connection, changed)
        return changed

    async def _update_row(
        self, connection: Connection, task: Task, columns: Columns, now: int
    ) -> Task | None:
        sql = queries.update_task(tuple(sorted(columns)), is_public=is_public(columns))
        values = {
            name: _json_or_none(value) if name in queries.JSON_COLUMNS else value
            for name, value in columns.items()
        }
        guard = {"id": task.id, "from_status": task.status, "from_attempt": task.attempt}
        return _first(await connection.execute_fetchall(sql, values | guard | {"updated_at": rfc3339(now)}))

    async def _is_other_tasks_run(self, connection: Connection, task: Task, columns: Columns) -> bool:
        """Whether another task has the RunningHub id; an imported row of the run gives way to this one."""
        runninghub_task_id = columns.get("runninghub_task_id")
        if runninghub_task_id is None or runninghub_task_id == task.runninghub_task_id:
            return False
        run = {
            "account": columns.get("account", task.account),
            "runninghub_task_id": runninghub_task_id,
            "id": task.id,
        }
        others = list(await connection.execute_fetchall(queries.SELECT_OTHER_OF_RUN, run))
        for other in others:
            if not other["is_import"]:
                return True
            await connection.execute_fetchall(queries.FORGET_END, {"id": other["id"]})
            await connection.execute_fetchall(queries.DELETE_IMPORT, {"id": other["id"]})
            columns["imported_id"] = other["id"]
        return False

    async def _add_stray(self, connection: Connection, task: Task, event: Accepted, now: int) -> None:
        run = {
            "account": task.account or "",
            "runninghub_task_id": event.runninghub_task_id,
            "task_id": task.id,
            "now": now,
        }
        await connection.execute_fetchall(queries.ADD_STRAY_RUN, run)

    async def _update_limits(
        self, connection: Connection, task: Task, update: UpdateLimits, now: int
    ) -> None:
        name, instance_type = task.account or "", task.instance_type or DEFAULT_INSTANCE_TYPE
        await self._lock_account(connection, name)
        accounts = await connection.execute_fetchall(queries.SELECT_ACCOUNT, {"name": name})
        at = {"account": name, "instance_type": instance_type}
        limiters = await connection.execute_fetchall(queries.SELECT_LIMITER, at)
        account = next((_account(row) for row in accounts), AccountRow(name))
        limiter = next((_limiter(row) for row in limiters), LimiterRow(name, instance_type))
        ((active,),) = await connection.execute_fetchall(queries.COUNT_ACTIVE, at)
        new_account, new_limiter = update(account, limiter, int(active), now)
        if new_account != account:
            await connection.execute_fetchall(queries.UPSERT_ACCOUNT, _columns(new_account))
        if new_limiter != limiter:
            await connection.execute_fetchall(queries.UPSERT_LIMITER, _columns(new_limiter))

    async def _lock_account(self, connection: Connection, name: str) -> None:
        """What is read of an account and its limiters, and then written, must not change in between."""
        await self.engine.lock(connection, f"account {name}")

    async def import_task(
        self, task_id: str, runninghub_task_id: str, *, account: str, key_fingerprint: str
    ) -> Task | None:
        """Store a task that RunningHub knows and this database does not. None: it is here already."""
        now = self.clock()
        parameters = {
            "id": task_id,
            "runninghub_task_id": runninghub_task_id,
            "account": account,
            "key_fingerprint": key_fingerprint,
            "at": rfc3339(now),
            "now": now,
        }

        async def statements(connection: Connection) -> Task | None:
            return _first(await connection.execute_fetchall(queries.IMPORT_TASK, parameters))

        return await self.engine.write(statements)

    async def delete_task(self, task_id: str) -> bool:
        """Delete a final task; False: it is not final."""

        async def statements(connection: Connection) -> bool:
            return bool(await connection.execute_fetchall(queries.DELETE_TASK, {"id": task_id}))

        return await self.engine.write(statements)

    async def delete_tasks_ended_before(self, before_ms: int, *, limit: int) -> list[str]:
        """Delete final tasks that ended before then, at most `limit`; their ids."""

        async def statements(connection: Connection) -> list[str]:
            parameters = {"before": before_ms, "limit": limit}
            rows = await connection.execute_fetchall(queries.DELETE_OLD_TASKS, parameters)
            return [row["id"] for row in rows]

        return await self.engine.write(statements)

    # Accounts

    async def submit_view(self) -> SubmitView:
        """What decides which waiting tasks may start."""
        counts = await self.engine.read(queries.SELECT_COUNTS)
        limiters = await self.engine.read(queries.SELECT_LIMITERS)
        return _view(await self.engine.read(queries.SELECT_ACCOUNTS), limiters, counts)

    async def update_account(
        self,
        name: str,
        update: Callable[[AccountRow], AccountRow],
        *,
        events: Mapping[str, Event] | None = None,
    ) -> AccountRow:
        """Change what is known about an account; in the same transaction, `events` by task id."""

        changes: list[tuple[Task, Task, Event]] = []

        async def statements(connection: Connection) -> AccountRow:
            now = self.clock()
            changes.clear()
            for task_id, event in (events or {}).items():
                task = _first(await connection.execute_fetchall(queries.SELECT_TASK, {"id": task_id}))
                columns = apply(task, event, now) if task else None
                if task and columns:
                    changed_task = await self._update(connection, task, columns, now)
                    if changed_task is not None:
                        await self._add_delivery(connection, task, changed_task)
                        changes.append((task, changed_task, event))
            await self._lock_account(connection, name)
            rows = await connection.execute_fetchall(queries.SELECT_ACCOUNT, {"name": name})
            account = next((_account(row) for row in rows), AccountRow(name))
            changed = update(account)
            if changed != account:
                await connection.execute_fetchall(queries.UPSERT_ACCOUNT, _columns(changed))
            return changed

        account = await self.engine.write(statements)
        for task, changed_task, event in changes:
            self._record(task, changed_task, event)
        return account

    async def update_limiters(self, account: str, update: Callable[[LimiterRow], LimiterRow]) -> None:
        """Change all limiters of an account."""

        async def statements(connection: Connection) -> None:
            await self._lock_account(connection, account)
            for row in await connection.execute_fetchall(queries.SELECT_LIMITERS):
                limiter = _limiter(row)
                changed = update(limiter) if limiter.account == account else limiter
                if changed != limiter:
                    await connection.execute_fetchall(queries.UPSERT_LIMITER, _columns(changed))

        await self.engine.write(statements)

    async def assign_accounts(self, fingerprints: Mapping[str, str]) -> None:
        """At startup: what names and key fingerprints are configured now, by account name.

        Rows of an account that is not configured any more are not polled; they are again when it is back.
        """
        now = self.clock()
        known = {
            "names": json.dumps(list(fingerprints)),
            "fingerprints": json.dumps(list(fingerprints.values())),
            "now": now,
        }

        async def statements(connection: Connection) -> None:
            for account, fingerprint in fingerprints.items():
                parameters = {"account": account, "key_fingerprint": fingerprint}
                await connection.execute_fetchall(queries.SET_FINGERPRINT, parameters)
            await connection.execute_fetchall(queries.STOP_POLLING_MISSING, known)
            await connection.execute_fetchall(queries.RESUME_POLLING, known)

        await self.engine.write(statements)

    async def lease_stray_runs(self, *, lease_ms: int, limit: int) -> list[StrayRun]:
        """Runs whose cancel is due; nobody else gets them until the lease runs out."""
        now = self.clock()
        if not await self.engine.read(queries.HAS_STRAY_RUN, {"now": now}):
            return []
        parameters = {"now": now, "lease_until": now + lease_ms, "limit": limit}

        async def statements(connection: Connection) -> list[StrayRun]:
            rows = await connection.execute_fetchall(queries.LEASE_STRAY_RUNS, parameters)
            return [StrayRun(row["account"], row["runninghub_task_id"], row["task_id"]) for row in rows]

        return await self.engine.write(statements)

    async def delete_stray_run(self, run: StrayRun) -> None:
        """RunningHub has confirmed its cancel."""

        async def statements(connection: Connection) -> None:
            parameters = {"account": run.account, "runninghub_task_id": run.runninghub_task_id}
            await connection.execute_fetchall(queries.DELETE_STRAY_RUN, parameters)

        await self.engine.write(statements)

    # Polling

    async def lease_due(
        self, *, lease_ms: int, limit: int, without: Sequence[str] = (), only: str | None = None
    ) -> list[Task]:
        """Lease up to `limit` tasks whose poll is due: of all accounts `without` some, or of one `only`.

        Nobody else gets them until the lease runs out, which is their `next_poll_ms`.
        """
        now = self.clock()
        accounts = list(without) if only is None else [only]
        parameters = {"now": now, "limit": limit, "accounts": json.dumps(accounts)}
        due = queries.SELECT_DUE_EXCEPT if without else queries.SELECT_DUE
        due = queries.SELECT_DUE_AT if only is not None else due
        if not await self.engine.read(queries.IS_DUE, {"now": now}):
            return []

        async def statements(connection: Connection) -> list[Task]:
            lease = queries.LEASE_DUE.format(due=due)
            rows = await connection.execute_fetchall(lease, {**parameters, "lease_until": now + lease_ms})
            return _decodable(rows)

        return await self.engine.write(statements)

    async def next_due_ms(self) -> int | None:
        """When the next poll is due; None: no task is polled."""
        for (next_due_ms,) in await self.engine.read(queries.NEXT_DUE):
            return int(next_due_ms)
        return None

    async def poll_lag_s(self) -> float:
        """By how many seconds a due poll has missed twice its delay; negative: none has."""
        now = self.clock()
        ((poll_deadline_ms,),) = await self.engine.read(queries.MOST_URGENT, {"now": now})
        return -1.0 if poll_deadline_ms is None else (now - poll_deadline_ms) / 1000

    async def pull_due(self, *, longest_ms: int) -> None:
        """Make due what would wait for longer: leased by a killed process, or the clock has stepped back."""
        now = self.clock()

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(queries.PULL_DUE, {"now": now, "farthest": now + longest_ms})

        await self.engine.write(statements)

    async def reschedule(self, task: Task, next_poll_ms: int) -> None:
        """Set when a leased task is polled next, unless a webhook has made a poll due in the meantime."""
        parameters = {
            "id": task.id,
            "next_poll_ms": next_poll_ms,
            "now": self.clock(),
            "leased_until": task.next_poll_ms,
        }

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(queries.RESCHEDULE, parameters)

        await self.engine.write(statements)

    async def poll_now(self, account: str, *, limit: int, lease_ms: int) -> None:
        """Make the polls of an account's oldest running tasks due, except for those under way."""
        now = self.clock()
        parameters = {
            "account": account,
            "limit": limit,
            "now": now,
            "leased_from": now + lease_ms // 2,
        }

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(queries.POLL_NOW, parameters)

        await self.engine.write(statements)

    async def past_deadline(self, *, limit: int) -> list[str]:
        """The ids of tasks that are not final at their deadline."""
        parameters = {"now": self.clock(), "limit": limit}
        return [row["id"] for row in await self.engine.read(queries.SELECT_PAST_DEADLINE, parameters)]

    # Reading

    async def task(self, ref: str) -> Task | None:
        """The task with this id: ours, RunningHub's, or the digits of its `public_id`."""
        if not ref.isprintable():  # no id is like that, and not every engine accepts such text
            return None
        return await self._tasks.get(ref)

    async def _read_tasks(self, refs: set[str]) -> dict[str, Task]:
        seqs = [int(ref) - PUBLIC_ID_BASE for ref in refs if _is_public_id(ref)]
        parameters = {"refs": json.dumps(list(refs)), "seqs": json.dumps(seqs)}
        tasks = _tasks(await self.engine.read(queries.SELECT_TASKS, parameters))
        by_runninghub_id = {task.runninghub_task_id: task for task in tasks if task.runninghub_task_id}
        by_imported_id = {task.imported_id: task for task in tasks if task.imported_id}
        by_public_id = {task.public_id: task for task in tasks}
        return by_public_id | by_imported_id | by_runninghub_id | {task.id: task for task in tasks}

    async def task_by_idempotency_key(self, key: str) -> Task | None:
        return _first(await self.engine.read(queries.SELECT_BY_IDEMPOTENCY_KEY, {"key": key}))

    async def task_by_runninghub_id(self, runninghub_task_id: str) -> Task | None:
        """The newest task with this id at RunningHub."""
        parameters = {"runninghub_task_id": runninghub_task_id}
        return _first(await self.engine.read(queries.SELECT_BY_RUNNINGHUB_ID, parameters))

    async def page(self, *, before_seq: int, limit: int, wanted: PageFilter | None = None) -> list[Task]:
        """The newest `limit` tasks with a smaller `seq`, newest first; each status is read off its index.

        Values and results are left out (`is_truncated`) where they would make the page larger than
        `MAX_PAGE_BYTES`: nor are they read then.
        """
        wanted = wanted or PageFilter()
        filters = wanted.parameters()
        parameters = {"before": before_seq, "limit": limit, "short": MAX_PAGE_BYTES // limit, **filters}
        if not wanted.statuses:
            rows = await self.engine.scan(queries.select_page(filters=tuple(filters)), parameters)
        else:
            sql = queries.select_page(filters=("status", *filters))
            rows = []
            for status in set(wanted.statuses):
                rows += await self.engine.scan(sql, {**parameters, "status": status})
        rows = sorted(rows, key=itemgetter("seq"), reverse=True)[:limit]
        tasks, long_values = [_task(row) for row in rows], await self._long_values(rows)
        left_out = {row["seq"]: {"is_truncated": True} for row in rows if row["is_truncated"]} | long_values
        return [task._replace(**left_out[task.seq]) if task.seq in left_out else task for task in tasks]

    async def _long_values(self, rows: Sequence[Row]) -> dict[int, dict[str, Any]]:
        """What a page's rows have left out, as far as there is room for it; by `seq`."""
        room = MAX_PAGE_BYTES - sum(row["value_bytes"] for row in rows if not row["is_truncated"])
        fitting = []
        for row in rows:
            if row["is_truncated"] and row["value_bytes"] <= room:
                fitting.append(row["seq"])
                room -= row["value_bytes"]
        if not fitting:
            return {}
        found = await self.engine.scan(queries.SELECT_VALUES, {"seqs": json.dumps(fitting)})
        return {row["seq"]: _values(row) for row in found}

    async def used_webapps(
        self, *, before_seq: int, limit: int, owner: str | None = None
    ) -> list[UsedWebapp]:
        """The apps that were run here (by one user), the one used last first."""
        parameters = {"before": before_seq, "limit": limit, "owner": owner}
        rows = await self.engine.scan(queries.SELECT_USED_WEBAPPS, parameters)
        return [UsedWebapp(**dict(zip(row.keys(), row, strict=True))) for row in rows]

    async def store_progress(self, steps: Mapping[str, TaskProgress]) -> set[str]:
        """Store how far tasks are, by id; returns the ids of those that are still running."""
        at = rfc3339(self.clock())
        # In one order for all workers, so that none waits for another that waits for it.
        rows = [
            {"id": task_id, "progress": json.dumps(asdict(step)), "at": at}
            for task_id, step in sorted(steps.items())
        ]

        async def statements(connection: Connection) -> set[str]:
            running: set[str] = set()
            for row in rows:
                updated = await connection.execute_fetchall(queries.STORE_PROGRESS, row)
                running.update(found["id"] for found in updated)
            return running

        return await self.engine.write(statements)

    async def versions(self, task_ids: Iterable[str]) -> dict[str, int]:
        """How often each of these tasks has changed."""
        rows = await self.engine.scan(queries.SELECT_VERSIONS, {"ids": json.dumps(list(task_ids))})
        return {row["id"]: row["version"] for row in rows}

    async def count_by_status(self) -> dict[TaskStatus, int]:
        counted = dict(map(tuple, await self.engine.count(queries.COUNT_BY_STATUS)))
        return {status: counted.get(status, 0) for status in TaskStatus}

    async def run_times(self, target: str, *, limit: int) -> list[float]:
        """How many seconds the latest successful tasks of an app, workflow or model ran, newest first."""
        rows = await self.engine.read(queries.SELECT_RUN_TIMES, {"target": target, "limit": limit})
        return [seconds for (seconds,) in rows]


def _is_user_active(task: Task) -> bool:
    """Whether a task counts towards its owner's limit of active tasks: it runs, or may be claimed."""
    return task.status in ACTIVE or (task.status is TaskStatus.PENDING and task.hold is None)


def _seconds(at: str) -> float:
    """Since 1970, of a time as it is stored."""
    return datetime.fromisoformat(at).timestamp()


def _without_id(event: Event) -> Event | None:
    """What is left of an event whose RunningHub id is another task's."""
    return OutcomeUnknown(event.attempt, DUPLICATE_ID) if isinstance(event, Accepted) else None


def _view(accounts: Iterable[Row], limiters: Iterable[Row], counts: Iterable[Row]) -> SubmitView:
    limiter_rows = [_limiter(row) for row in limiters]
    return SubmitView(
        accounts={row["name"]: _account(row) for row in accounts},
        limiters={(row.account, row.instance_type): row for row in limiter_rows},
        active={(TaskStatus(r["status"]), r["account"], r["instance_type"]): r["n"] for r in counts},
    )


def _is_public_id(ref: str) -> bool:
    return ref.isascii() and ref.isdecimal() and len(ref) == MAX_REF_DIGITS and int(ref) > PUBLIC_ID_BASE
