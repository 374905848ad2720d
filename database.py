"""Every operation on stored data; the engine behind it is selected by `DATABASE_URL`."""

import json
import random
from collections.abc import Callable, Iterable, Sequence

from db.batched_reads import BatchedReads
from db.migrations import MIGRATIONS
from db.queries import (
    CLAIM_PENDING,
    COUNT_BY_STATUS,
    HAS_PENDING,
    HINT_FINISHED,
    IMPORT_TASK,
    INSERT_TASK,
    IS_DUE,
    JSON_COLUMNS,
    LEASE_DUE,
    LIMITER_STATEMENTS,
    MAY_CLAIM,
    MOST_URGENT,
    MOVE_TASK,
    NEXT_DUE,
    PULL_DUE,
    REQUEST_CANCEL,
    RESCHEDULE,
    SELECT_BY_IDEMPOTENCY_KEY,
    SELECT_PAGE,
    SELECT_PAGE_OF_STATUS,
    SELECT_PAGE_OF_WEBAPP,
    SELECT_RUN_TIMES,
    SELECT_STALE_SUBMITS,
    SELECT_TASKS,
    SELECT_VERSIONS,
)
from db.sqlite import Connection, Row, SqliteFile
from models import TRANSITIONS, Change, Json, LimiterSignal, NewTask, Task, TaskStatus, rfc3339, utc_now_ms


def _json_or_none(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _task(row: Row) -> Task:
    """A row with `TASK_COLUMNS`, and `queue_position` where it was read; a new column is one line there."""
    values = dict(zip(row.keys(), row, strict=True))
    values["status"] = TaskStatus(values["status"])
    values["cancel_requested"] = bool(values["cancel_requested"])
    for name in JSON_COLUMNS:
        if values[name] is not None:
            values[name] = json.loads(values[name])
    return Task(**values)


def _tasks(rows: Iterable[Row]) -> list[Task]:
    return sorted((_task(row) for row in rows), key=lambda task: task.seq)


def _first(rows: Iterable[Row]) -> Task | None:
    return next((_task(row) for row in rows), None)


class Database(SqliteFile):
    """The tasks' table and the submit gate.

    `async with Database(path) as database` opens the file, brings an older one up to date, and closes it.
    Raises DatabaseRefused on entry, and sqlite3.Error where the disk or a lock stops a call.
    """

    def __init__(self, path: str, *, clock: Callable[[], int] = utc_now_ms) -> None:
        super().__init__(path, MIGRATIONS)
        self.clock = clock
        self._tasks = BatchedReads(self._read_tasks)
        # How often RunningHub took a task since that was stored: one of several moves stores it for all.
        self._taken = 0

    # Submitting

    async def add_task(self, new: NewTask, *, max_pending: int, max_concurrent: int) -> Task | None:
        """Store a task: SUBMITTING when its paid call may be made now, else PENDING.

        None: nothing was stored, since `max_pending` tasks wait already or the idempotency key exists.
        """
        now = self.clock()

        async def statements(connection: Connection) -> Task | None:
            return _first(
                await connection.execute_fetchall(
                    INSERT_TASK,
                    {
                        "id": new.id,
                        "at": rfc3339(now),
                        "now": now,
                        "webapp_id": new.webapp_id,
                        "node_info": _json_or_none(new.node_info),
                        "instance_type": new.instance_type,
                        "encrypted_password": new.encrypted_password,
                        "idempotency_key": new.idempotency_key,
                        "request_digest": new.request_digest,
                        "max_pending": max_pending,
                        "max_concurrent": max_concurrent,
                    },
                )
            )

        return await self.write(statements)

    async def claim_pending(self, *, max_concurrent: int) -> list[Task]:
        """Move the heads of the queue that may go now to SUBMITTING, oldest first."""
        now = self.clock()
        if not await self.reader.execute_fetchall(MAY_CLAIM, {"now": now}):
            return []
        parameters = {"at": rfc3339(now), "now": now, "max_concurrent": max_concurrent}

        async def statements(connection: Connection) -> list[Task]:
            return _tasks(await connection.execute_fetchall(CLAIM_PENDING, parameters))

        return await self.write(statements)

    async def has_pending(self) -> bool:
        return bool(list(await self.reader.execute_fetchall(HAS_PENDING)))

    async def stale_submits(self, *, before_ms: int) -> list[Task]:
        """SUBMITTING rows whose paid call began at or before `before_ms`: nobody can be waiting any more."""
        rows = await self.reader.execute_fetchall(
            SELECT_STALE_SUBMITS, {"before": before_ms, "now": self.clock()}
        )
        return _tasks(rows)

    # Moving

    async def move(self, task_id: str, change: Change, *, gate: LimiterSignal | None = None) -> Task | None:
        """The one place that gives a stored task another status.

        None: the task was not in a status from which this arrow starts; somebody was first.
        """
        sources = TRANSITIONS[change.status] & (change.sources or TRANSITIONS[change.status])

        async def statements(connection: Connection) -> Task | None:
            now = self.clock()
            moved = _first(
                await connection.execute_fetchall(
                    MOVE_TASK,
                    {
                        "id": task_id,
                        "status": change.status,
                        "sources": json.dumps(sorted(sources)),
                        "at": rfc3339(now),
                        "now": now,
                        "runninghub_task_id": change.runninghub_task_id,
                        "result_data": _json_or_none(change.result_data),
                        "error": _json_or_none(change.error),
                        "node_errors": _json_or_none(change.node_errors),
                        "next_poll_ms": change.next_poll_ms,
                        "run_seconds": change.run_seconds,
                    },
                )
            )
            if gate is not None:
                await self._store_signal(connection, gate, now)
            return moved

        if gate is LimiterSignal.ACCEPTED:
            self._taken += 1
        try:
            return await self.write(statements)
        except Exception:
            self._taken = 0  # who tries again says it again
            raise

    async def _store_signal(self, connection: Connection, gate: LimiterSignal, now: int) -> None:
        parameters: dict[str, float] = {"now": now, "jitter": random.uniform(0.8, 1.2)}
        if gate is LimiterSignal.ACCEPTED:
            parameters["words"], self._taken = self._taken, 0
            if not parameters["words"]:
                return
        await connection.execute_fetchall(LIMITER_STATEMENTS[gate], parameters)

    async def import_task(self, task_id: str, runninghub_task_id: str) -> Task | None:
        """Take in a task that RunningHub knows and this file does not. None: it is here already."""
        now = self.clock()
        parameters = {
            "id": task_id,
            "runninghub_task_id": runninghub_task_id,
            "at": rfc3339(now),
            "now": now,
        }

        async def statements(connection: Connection) -> Task | None:
            return _first(await connection.execute_fetchall(IMPORT_TASK, parameters))

        return await self.write(statements)

    async def request_cancel(self, task_id: str) -> Task | None:
        """Note that a person cancelled a task that is under way. None: it is not under way."""

        async def statements(connection: Connection) -> Task | None:
            return _first(await connection.execute_fetchall(REQUEST_CANCEL, {"id": task_id}))

        return await self.write(statements)

    # Watching

    async def lease_due(self, *, lease_ms: int, limit: int) -> list[Task]:
        """Claim up to `limit` tasks whose look is due; nobody else gets them until the lease runs out."""
        now = self.clock()
        parameters = {"now": now, "lease_until": now + lease_ms, "limit": limit}
        if not await self.reader.execute_fetchall(IS_DUE, {"now": now}):
            return []

        async def statements(connection: Connection) -> list[Task]:
            return _tasks(await connection.execute_fetchall(LEASE_DUE, parameters))

        return await self.write(statements)

    async def next_due_ms(self) -> int | None:
        """When the next look is due; None: no task is looked at."""
        for (next_due_ms,) in await self.reader.execute_fetchall(NEXT_DUE):
            return int(next_due_ms)
        return None

    async def most_late_s(self) -> float:
        """By how many seconds a due look has missed twice its wait; negative: none has."""
        now = self.clock()
        ((poll_deadline_ms,),) = await self.reader.execute_fetchall(MOST_URGENT, {"now": now})
        return -1.0 if poll_deadline_ms is None else (now - poll_deadline_ms) / 1000

    async def pull_due(self, *, longest_ms: int) -> None:
        """Make due what would wait for longer: leased by a killed process, or the clock has stepped back."""
        now = self.clock()

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(PULL_DUE, {"now": now, "farthest": now + longest_ms})

        await self.write(statements)

    async def reschedule(
        self, task_id: str, next_poll_ms: int | None, *, lost_since_ms: int | None = None
    ) -> None:
        """Set when a task is looked at next; None: not again, and a webhook's hint is dropped."""

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(
                RESCHEDULE,
                {
                    "id": task_id,
                    "next_poll_ms": next_poll_ms,
                    "now": self.clock(),
                    "lost_since_ms": lost_since_ms,
                    "drop_hint": next_poll_ms is None,
                },
            )

        await self.write(statements)

    async def hint_finished(self, task_id: str, hint: str | None) -> Task | None:
        """Make a task's look due now; `hint` is RunningHub's id, used where no other is known."""
        now = self.clock()

        async def statements(connection: Connection) -> Task | None:
            rows = await connection.execute_fetchall(HINT_FINISHED, {"id": task_id, "hint": hint, "now": now})
            return _first(rows)

        return await self.write(statements)

    # Reading

    async def task(self, ref: str) -> Task | None:
        """The task with this id, ours or RunningHub's."""
        return await self._tasks.get(ref)

    async def _read_tasks(self, refs: set[str]) -> dict[str, Task]:
        rows = await self.reader.execute_fetchall(SELECT_TASKS, {"refs": json.dumps(list(refs))})
        tasks = _tasks(rows)
        by_runninghub_id = {task.runninghub_task_id: task for task in tasks if task.runninghub_task_id}
        return by_runninghub_id | {task.id: task for task in tasks}

    async def task_by_idempotency_key(self, key: str) -> Task | None:
        return _first(await self.reader.execute_fetchall(SELECT_BY_IDEMPOTENCY_KEY, {"key": key}))

    async def page(
        self,
        *,
        before_seq: int,
        limit: int,
        statuses: Sequence[TaskStatus] = (),
        webapp_id: str | None = None,
    ) -> list[Task]:
        """The newest `limit` tasks with a smaller `seq`, newest first; each status is read off its index."""
        parameters = {"before": before_seq, "limit": limit, "webapp_id": webapp_id}
        if not statuses:
            sql = SELECT_PAGE if webapp_id is None else SELECT_PAGE_OF_WEBAPP
            found = _tasks(await self.lister.execute_fetchall(sql, parameters))
        else:
            found = []
            for status in set(statuses):
                rows = await self.lister.execute_fetchall(
                    SELECT_PAGE_OF_STATUS, {**parameters, "status": status}
                )
                found += _tasks(rows)
        return sorted(found, key=lambda task: task.seq, reverse=True)[:limit]

    async def versions(self, task_ids: Iterable[str]) -> dict[str, int]:
        """How often each of these tasks has changed."""
        rows = await self.lister.execute_fetchall(SELECT_VERSIONS, {"ids": json.dumps(list(task_ids))})
        return {row[0]: row[1] for row in rows}

    async def count_by_status(self) -> dict[TaskStatus, int]:
        counted = {row[0]: row[1] for row in await self.count(COUNT_BY_STATUS)}
        return {status: counted.get(status, 0) for status in TaskStatus}

    async def run_times(self, webapp_id: str, *, limit: int) -> list[float]:
        """How many seconds the app's latest successful tasks ran, newest first."""
        rows = await self.reader.execute_fetchall(SELECT_RUN_TIMES, {"webapp_id": webapp_id, "limit": limit})
        return [seconds for (seconds,) in rows]
