"""All SQL: the tasks' table, its numbered migrations, and every read and write of a task."""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from db.batched_reads import GatheredReads
from db.sqlite import Connection, SqliteFile

Json = Any

SUBMIT_WINDOW_MAX = 64
SUBMIT_STREAK_PER_SLOT = 8
SUBMIT_BLOCK_FIRST_MS = 1_000
SUBMIT_BLOCK_MAX_MS = 30_000


class TaskStatus(StrEnum):
    """The words of the contract; `is_final` ones never change."""

    PENDING = "PENDING"
    SUBMITTING = "SUBMITTING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SUBMIT_UNKNOWN = "SUBMIT_UNKNOWN"

    @property
    def is_final(self) -> bool:
        return self in FINAL


S = TaskStatus
FINAL = frozenset({S.SUCCESS, S.FAILED, S.CANCELLED})
AT_RUNNINGHUB = frozenset({S.QUEUED, S.RUNNING})
MAY_BE_AT_RUNNINGHUB = AT_RUNNINGHUB | {S.SUBMIT_UNKNOWN}

# Which statuses a status may follow. A call may narrow this, never widen it.
ARROWS: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.PENDING: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN}),
    S.SUBMITTING: frozenset({S.PENDING}),
    S.SUBMIT_UNKNOWN: frozenset({S.SUBMITTING}),
    S.QUEUED: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN, S.RUNNING}),
    S.RUNNING: frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN, S.QUEUED}),
    S.SUCCESS: AT_RUNNINGHUB | {S.SUBMIT_UNKNOWN},
    S.FAILED: AT_RUNNINGHUB | {S.SUBMITTING, S.SUBMIT_UNKNOWN},
    S.CANCELLED: AT_RUNNINGHUB | {S.PENDING, S.SUBMITTING, S.SUBMIT_UNKNOWN},
}


@dataclass(frozen=True, slots=True)
class Task:
    """One row. JSON columns are decoded; `*_ms` are milliseconds since 1970 (UTC)."""

    seq: int
    id: str
    status: TaskStatus
    version: int
    created_at: str
    updated_at: str
    webapp_id: str | None
    node_info: list[dict[str, str]]
    instance_type: str | None
    sealed_password: bytes | None
    runninghub_task_id: str | None
    hinted_task_id: str | None
    result_data: list[Json] | None
    error: dict[str, str] | None
    node_errors: dict[str, str] | None
    request_digest: str | None
    cancel_requested: bool
    accepted_ms: int | None
    running_ms: int | None
    lost_since_ms: int | None
    queue_position: int | None = None

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """Build a task from the columns of `TASK_COLUMNS`, and `queue_position` where it was read."""
        values = list(row)
        values[2] = TaskStatus(values[2])
        for index in JSON_COLUMNS:
            if values[index] is not None:
                values[index] = json.loads(values[index])
        values[16] = bool(values[16])
        return cls(*values)


TASK_COLUMNS = (
    "seq, id, status, version, created_at, updated_at, webapp_id, node_info, instance_type, sealed_password,"
    " runninghub_task_id, hinted_task_id, result_data, error, node_errors, request_digest, cancel_requested,"
    " accepted_ms, running_ms, lost_since_ms"
)
JSON_COLUMNS = (7, 12, 13, 14)


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a submit stores before anything is paid for."""

    id: str
    webapp_id: str
    node_info: list[dict[str, str]]
    instance_type: str | None = None
    sealed_password: bytes | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a move to a status stores beside it; `None` leaves a column as it is."""

    status: TaskStatus
    sources: frozenset[TaskStatus] | None = None
    runninghub_task_id: str | None = None
    result_data: list[Json] | None = None
    error: dict[str, str] | None = None
    node_errors: dict[str, str] | None = None
    next_look_ms: int | None = None
    run_seconds: float | None = None


class GateWord(StrEnum):
    """What an outcome says about RunningHub's free slots; the gate is shared by all workers."""

    TAKEN = "taken"
    REFUSED = "refused"
    FREED = "freed"


MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL CHECK (status IN ('PENDING', 'SUBMITTING', 'QUEUED', 'RUNNING',
            'SUCCESS', 'FAILED', 'CANCELLED', 'SUBMIT_UNKNOWN')),
        version INTEGER NOT NULL DEFAULT 1,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        webapp_id TEXT,
        node_info TEXT NOT NULL,
        instance_type TEXT,
        sealed_password BLOB,
        runninghub_task_id TEXT,
        hinted_task_id TEXT,
        result_data TEXT,
        error TEXT,
        node_errors TEXT,
        idempotency_key TEXT UNIQUE,
        request_digest TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        submitting_ms INTEGER,
        accepted_ms INTEGER,
        running_ms INTEGER,
        next_look_ms INTEGER,
        look_by_ms INTEGER,
        lost_since_ms INTEGER,
        run_seconds REAL
    ) STRICT;
    CREATE INDEX tasks_by_status ON tasks (status, seq);
    CREATE INDEX tasks_by_webapp ON tasks (webapp_id, seq);
    CREATE INDEX tasks_by_runninghub_id ON tasks (runninghub_task_id) WHERE runninghub_task_id IS NOT NULL;
    CREATE INDEX tasks_due ON tasks (next_look_ms, look_by_ms, status) WHERE next_look_ms IS NOT NULL;
    CREATE INDEX tasks_run_times ON tasks (webapp_id, seq) WHERE run_seconds IS NOT NULL;
    CREATE TABLE submit_gate (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        blocked_until_ms INTEGER NOT NULL DEFAULT 0,
        refusals INTEGER NOT NULL DEFAULT 0,
        streak INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO submit_gate (id) VALUES (1);
    """,
)

QUEUE_POSITION = """CASE status WHEN 'PENDING' THEN
    (SELECT count(*) FROM tasks AS ahead WHERE ahead.status = 'PENDING' AND ahead.seq <= tasks.seq) END"""

SELECT_TASKS = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE seq IN (
        SELECT seq FROM json_each(:refs) CROSS JOIN tasks ON tasks.id = value
        UNION ALL
        SELECT max(seq) FROM json_each(:refs) CROSS JOIN tasks ON runninghub_task_id = value GROUP BY value
    )
"""
SELECT_BY_IDEMPOTENCY_KEY = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE idempotency_key = :key
"""
SELECT_PAGE = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE seq < :before
    ORDER BY seq DESC LIMIT :limit
"""
SELECT_PAGE_OF_WEBAPP = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE seq < :before AND webapp_id = :webapp_id
    ORDER BY seq DESC LIMIT :limit
"""
SELECT_PAGE_OF_STATUS = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks
    WHERE seq < :before AND status = :status AND (:webapp_id IS NULL OR webapp_id = :webapp_id)
    ORDER BY seq DESC LIMIT :limit
"""
SELECT_VERSIONS = """
    SELECT id, version FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))
"""
COUNT_BY_STATUS = "SELECT status, count(*) FROM tasks GROUP BY status"
# Blocked for longer than it ever is means that the clock stepped back.
GATE_IS_OPEN = f"blocked_until_ms NOT BETWEEN :now + 1 AND :now + {2 * SUBMIT_BLOCK_MAX_MS}"
MAY_CLAIM = f"""
    SELECT 1 FROM submit_gate
    WHERE {GATE_IS_OPEN} AND EXISTS (SELECT 1 FROM tasks WHERE status = 'PENDING')
"""
HAS_PENDING = "SELECT 1 FROM tasks WHERE status = 'PENDING' LIMIT 1"
SELECT_RUN_TIMES = """
    SELECT run_seconds FROM tasks WHERE webapp_id = :webapp_id AND run_seconds IS NOT NULL
    ORDER BY seq DESC LIMIT :limit
"""
# How many paid calls may start now. While RunningHub takes everything, the window of calls under way widens;
# a refusal narrows it to one, so that tasks start in the order they came.
FREE_SLOTS = f"""max(0, min(
    1 + min(streak / {SUBMIT_STREAK_PER_SLOT}, {SUBMIT_WINDOW_MAX - 1})
        - (SELECT count(*) FROM tasks WHERE status = 'SUBMITTING'),
    CASE WHEN :max_concurrent = 0 THEN {SUBMIT_WINDOW_MAX} ELSE :max_concurrent
        - (SELECT count(*) FROM tasks WHERE status IN ('SUBMITTING', 'QUEUED', 'RUNNING')) END
))"""
# Where nobody waits before it, a new task goes at once, even when the gate is closed: as its trial.
INSERT_TASK = f"""
    INSERT INTO tasks (id, status, created_at, updated_at, submitting_ms, webapp_id, node_info,
        instance_type, sealed_password, idempotency_key, request_digest)
    SELECT :id, iif(may_go, 'SUBMITTING', 'PENDING'), :at, :at, iif(may_go, :now, NULL), :webapp_id,
        :node_info, :instance_type, :sealed_password, :idempotency_key, :request_digest
    FROM (
        SELECT waiting, waiting = 0 AND {FREE_SLOTS} > 0 AS may_go
        FROM submit_gate, (SELECT count(*) AS waiting FROM tasks WHERE status = 'PENDING')
    )
    WHERE waiting < :max_pending
    ON CONFLICT DO NOTHING
    RETURNING {TASK_COLUMNS}
"""
ADOPT_TASK = f"""
    INSERT INTO tasks (id, status, created_at, updated_at, node_info, runninghub_task_id, accepted_ms,
        next_look_ms, look_by_ms)
    SELECT :id, 'QUEUED', :at, :at, '[]', :runninghub_task_id, :now, :now, :now
    WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE runninghub_task_id = :runninghub_task_id)
    RETURNING {TASK_COLUMNS}
"""
CLAIM_PENDING = f"""
    UPDATE tasks SET status = 'SUBMITTING', version = version + 1, updated_at = :at, submitting_ms = :now
    WHERE seq IN (
        SELECT seq FROM tasks WHERE status = 'PENDING' ORDER BY seq LIMIT coalesce((
            SELECT {FREE_SLOTS} FROM submit_gate WHERE {GATE_IS_OPEN}
        ), 0)
    )
    RETURNING {TASK_COLUMNS}
"""
# What was cancelled during its paid call does not wait for another one.
MOVE_TASK = f"""
    UPDATE tasks SET
        status = CASE WHEN status = 'SUBMITTING' AND :status = 'PENDING' AND cancel_requested THEN 'CANCELLED'
            ELSE :status END,
        version = version + 1, updated_at = :at,
        runninghub_task_id = coalesce(:runninghub_task_id, runninghub_task_id),
        result_data = :result_data,
        error = :error,
        node_errors = coalesce(:node_errors, node_errors),
        next_look_ms = CASE WHEN status = 'SUBMITTING' AND hinted_task_id IS NOT NULL THEN :now
            ELSE :next_look_ms END,
        look_by_ms = CASE WHEN status = 'SUBMITTING' AND hinted_task_id IS NOT NULL THEN :now
            ELSE 2 * :next_look_ms - :now END,
        run_seconds = coalesce(:run_seconds, run_seconds),
        accepted_ms = CASE WHEN :status IN ('QUEUED', 'RUNNING') THEN coalesce(accepted_ms, :now)
            ELSE accepted_ms END,
        running_ms = CASE WHEN :status = 'RUNNING' THEN coalesce(running_ms, :now) ELSE running_ms END,
        sealed_password = CASE WHEN :status = 'SUBMIT_UNKNOWN' THEN sealed_password
            WHEN :status = 'PENDING' AND NOT (status = 'SUBMITTING' AND cancel_requested)
            THEN sealed_password END,
        hinted_task_id = CASE WHEN :status = 'PENDING' THEN NULL ELSE hinted_task_id END,
        cancel_requested = CASE WHEN status = 'SUBMIT_UNKNOWN' AND :status = 'PENDING' THEN 0
            ELSE cancel_requested END,
        lost_since_ms = NULL
    WHERE id = :id AND status IN (SELECT value FROM json_each(:sources))
    RETURNING {TASK_COLUMNS}
"""
OPEN_GATE = "UPDATE submit_gate SET blocked_until_ms = 0 WHERE blocked_until_ms > 0"
WIDEN_GATE = f"""
    UPDATE submit_gate SET blocked_until_ms = 0, refusals = 0,
        streak = min(streak + :words, {SUBMIT_STREAK_PER_SLOT * SUBMIT_WINDOW_MAX})
    WHERE streak < {SUBMIT_STREAK_PER_SLOT * SUBMIT_WINDOW_MAX} OR refusals > 0 OR blocked_until_ms > 0
"""
BLOCK_GATE = f"""
    UPDATE submit_gate SET refusals = refusals + 1, streak = 0, blocked_until_ms = :now + CAST(
        :jitter * min({SUBMIT_BLOCK_MAX_MS}, {SUBMIT_BLOCK_FIRST_MS} << min(refusals, 10)) AS INTEGER)
"""
GATE_STATEMENTS = {GateWord.TAKEN: WIDEN_GATE, GateWord.REFUSED: BLOCK_GATE, GateWord.FREED: OPEN_GATE}
# A look is due at `next_look_ms`; at `look_by_ms` its wait has doubled. What gets there first goes first, so
# that a backlog of long waits holds up no short one. `+status`: the index of due times serves these.
DUE = "next_look_ms <= :now AND +status IN ('QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')"
SELECT_DUE = f"SELECT seq FROM tasks WHERE {DUE} ORDER BY look_by_ms LIMIT :limit"
IS_DUE = f"SELECT 1 FROM tasks WHERE {DUE} LIMIT 1"
MOST_URGENT = f"SELECT min(look_by_ms) FROM tasks WHERE {DUE}"
NEXT_DUE = """
    SELECT next_look_ms FROM tasks
    WHERE next_look_ms IS NOT NULL AND +status IN ('QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')
    ORDER BY next_look_ms LIMIT 1
"""
LEASE_DUE = f"""
    UPDATE tasks SET next_look_ms = :lease_until WHERE seq IN ({SELECT_DUE}) RETURNING {TASK_COLUMNS}
"""
# A due time further away than any wait means that the clock stepped back.
PULL_DUE = "UPDATE tasks SET next_look_ms = :now, look_by_ms = :now WHERE next_look_ms > :farthest"
RESCHEDULE = """
    UPDATE tasks SET next_look_ms = :next_look_ms, look_by_ms = 2 * :next_look_ms - :now,
        lost_since_ms = :lost_since_ms,
        hinted_task_id = CASE WHEN :drop_hint THEN NULL ELSE hinted_task_id END
    WHERE id = :id AND status IN ('QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')
"""
# A SUBMITTING row keeps the hint: it is looked at once its own answer is there, or lost.
HINT_FINISHED = f"""
    UPDATE tasks SET next_look_ms = :now, look_by_ms = :now,
        hinted_task_id = CASE WHEN runninghub_task_id IS NULL THEN :hint ELSE hinted_task_id END
    WHERE id = :id AND (status IN ('QUEUED', 'RUNNING')
        OR (status IN ('SUBMITTING', 'SUBMIT_UNKNOWN') AND :hint IS NOT NULL))
    RETURNING {TASK_COLUMNS}
"""
REQUEST_CANCEL = f"""
    UPDATE tasks SET cancel_requested = 1
    WHERE id = :id AND status IN ('SUBMITTING', 'QUEUED', 'RUNNING')
    RETURNING {TASK_COLUMNS}
"""
SELECT_STALE_SUBMITS = f"""
    SELECT {TASK_COLUMNS} FROM tasks WHERE status = 'SUBMITTING'
        AND (submitting_ms <= :before OR submitting_ms > :now + 1000)
"""


def utc_now_ms() -> int:
    """Milliseconds since 1970; the one clock of all due times."""
    return int(datetime.now(UTC).timestamp() * 1000)


def rfc3339(ms: int) -> str:
    """`2026-11-23T12:00:00.123Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_or_none(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _tasks(rows: Iterable[Sequence[Any]]) -> list[Task]:
    return sorted((Task.from_row(row) for row in rows), key=lambda task: task.seq)


def _first(rows: Iterable[Sequence[Any]]) -> Task | None:
    return next((Task.from_row(row) for row in rows), None)


class Database(SqliteFile):
    """The tasks' table and the submit gate.

    `async with Database(path) as database` opens the file, brings an older one up to date, and closes it.
    Raises DatabaseRefused on entry, and sqlite3.Error where the disk or a lock stops a call.
    """

    def __init__(self, path: str, *, clock: Callable[[], int] = utc_now_ms) -> None:
        super().__init__(path, MIGRATIONS)
        self.clock = clock
        self._tasks = GatheredReads(self._read_tasks)
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
                        "sealed_password": new.sealed_password,
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

    async def move(self, task_id: str, change: Change, *, gate: GateWord | None = None) -> Task | None:
        """The one place that gives a stored task another status.

        None: the task was not in a status from which this arrow starts; somebody was first.
        """
        sources = ARROWS[change.status] & (change.sources or ARROWS[change.status])

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
                        "next_look_ms": change.next_look_ms,
                        "run_seconds": change.run_seconds,
                    },
                )
            )
            if gate is not None:
                await self._store_gate_word(connection, gate, now)
            return moved

        if gate is GateWord.TAKEN:
            self._taken += 1
        try:
            return await self.write(statements)
        except Exception:
            self._taken = 0  # who tries again says it again
            raise

    async def _store_gate_word(self, connection: Connection, gate: GateWord, now: int) -> None:
        parameters: dict[str, float] = {"now": now, "jitter": random.uniform(0.8, 1.2)}
        if gate is GateWord.TAKEN:
            parameters["words"], self._taken = self._taken, 0
            if not parameters["words"]:
                return
        await connection.execute_fetchall(GATE_STATEMENTS[gate], parameters)

    async def adopt_task(self, task_id: str, runninghub_task_id: str) -> Task | None:
        """Take in a task that RunningHub knows and this file does not. None: it is here already."""
        now = self.clock()
        parameters = {
            "id": task_id,
            "runninghub_task_id": runninghub_task_id,
            "at": rfc3339(now),
            "now": now,
        }

        async def statements(connection: Connection) -> Task | None:
            return _first(await connection.execute_fetchall(ADOPT_TASK, parameters))

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
        ((look_by_ms,),) = await self.reader.execute_fetchall(MOST_URGENT, {"now": now})
        return -1.0 if look_by_ms is None else (now - look_by_ms) / 1000

    async def pull_due(self, *, longest_ms: int) -> None:
        """Make due what would wait for longer: leased by a killed process, or the clock has stepped back."""
        now = self.clock()

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(PULL_DUE, {"now": now, "farthest": now + longest_ms})

        await self.write(statements)

    async def reschedule(
        self, task_id: str, next_look_ms: int | None, *, lost_since_ms: int | None = None
    ) -> None:
        """Set when a task is looked at next; None: not again, and a webhook's hint is dropped."""

        async def statements(connection: Connection) -> None:
            await connection.execute_fetchall(
                RESCHEDULE,
                {
                    "id": task_id,
                    "next_look_ms": next_look_ms,
                    "now": self.clock(),
                    "lost_since_ms": lost_since_ms,
                    "drop_hint": next_look_ms is None,
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
        counted = {row[0]: row[1] for row in await self.lister.execute_fetchall(COUNT_BY_STATUS)}
        return {status: counted.get(status, 0) for status in TaskStatus}

    async def run_times(self, webapp_id: str, *, limit: int) -> list[float]:
        """How many seconds the app's latest successful tasks ran, newest first."""
        rows = await self.reader.execute_fetchall(SELECT_RUN_TIMES, {"webapp_id": webapp_id, "limit": limit})
        return [seconds for (seconds,) in rows]
