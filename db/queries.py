"""Every SQL statement, with named parameters."""

from models import LimiterSignal

SUBMIT_WINDOW_MAX = 64
SUBMIT_STREAK_PER_SLOT = 8
SUBMIT_BLOCK_FIRST_MS = 1_000
SUBMIT_BLOCK_MAX_MS = 30_000


TASK_COLUMNS = (
    "seq, id, status, version, created_at, updated_at, webapp_id, node_info, instance_type,"
    " encrypted_password,"
    " runninghub_task_id, hinted_task_id, result_data, error, node_errors, request_digest, cancel_requested,"
    " accepted_ms, running_ms, lost_since_ms"
)
JSON_COLUMNS = ("node_info", "result_data", "error", "node_errors")


QUEUE_POSITION = """CASE status WHEN 'PENDING' THEN
    (SELECT count(*) FROM tasks AS ahead WHERE ahead.status = 'PENDING' AND ahead.seq <= tasks.seq)
    END AS queue_position"""

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
LIMITER_IS_OPEN = f"blocked_until_ms NOT BETWEEN :now + 1 AND :now + {2 * SUBMIT_BLOCK_MAX_MS}"
MAY_CLAIM = f"""
    SELECT 1 FROM submit_limiter
    WHERE {LIMITER_IS_OPEN} AND EXISTS (SELECT 1 FROM tasks WHERE status = 'PENDING')
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
        instance_type, encrypted_password, idempotency_key, request_digest)
    SELECT :id, iif(may_go, 'SUBMITTING', 'PENDING'), :at, :at, iif(may_go, :now, NULL), :webapp_id,
        :node_info, :instance_type, :encrypted_password, :idempotency_key, :request_digest
    FROM (
        SELECT waiting, waiting = 0 AND {FREE_SLOTS} > 0 AS may_go
        FROM submit_limiter, (SELECT count(*) AS waiting FROM tasks WHERE status = 'PENDING')
    )
    WHERE waiting < :max_pending
    ON CONFLICT DO NOTHING
    RETURNING {TASK_COLUMNS}
"""
IMPORT_TASK = f"""
    INSERT INTO tasks (id, status, created_at, updated_at, node_info, runninghub_task_id, accepted_ms,
        next_poll_ms, poll_deadline_ms)
    SELECT :id, 'QUEUED', :at, :at, '[]', :runninghub_task_id, :now, :now, :now
    WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE runninghub_task_id = :runninghub_task_id)
    RETURNING {TASK_COLUMNS}
"""
CLAIM_PENDING = f"""
    UPDATE tasks SET status = 'SUBMITTING', version = version + 1, updated_at = :at, submitting_ms = :now
    WHERE seq IN (
        SELECT seq FROM tasks WHERE status = 'PENDING' ORDER BY seq LIMIT coalesce((
            SELECT {FREE_SLOTS} FROM submit_limiter WHERE {LIMITER_IS_OPEN}
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
        next_poll_ms = CASE WHEN status = 'SUBMITTING' AND hinted_task_id IS NOT NULL THEN :now
            ELSE :next_poll_ms END,
        poll_deadline_ms = CASE WHEN status = 'SUBMITTING' AND hinted_task_id IS NOT NULL THEN :now
            ELSE 2 * :next_poll_ms - :now END,
        run_seconds = coalesce(:run_seconds, run_seconds),
        accepted_ms = CASE WHEN :status IN ('QUEUED', 'RUNNING') THEN coalesce(accepted_ms, :now)
            ELSE accepted_ms END,
        running_ms = CASE WHEN :status = 'RUNNING' THEN coalesce(running_ms, :now) ELSE running_ms END,
        encrypted_password = CASE WHEN :status = 'SUBMIT_UNKNOWN' THEN encrypted_password
            WHEN :status = 'PENDING' AND NOT (status = 'SUBMITTING' AND cancel_requested)
            THEN encrypted_password END,
        hinted_task_id = CASE WHEN :status = 'PENDING' THEN NULL ELSE hinted_task_id END,
        cancel_requested = CASE WHEN status = 'SUBMIT_UNKNOWN' AND :status = 'PENDING' THEN 0
            ELSE cancel_requested END,
        lost_since_ms = NULL
    WHERE id = :id AND status IN (SELECT value FROM json_each(:sources))
    RETURNING {TASK_COLUMNS}
"""
OPEN_LIMITER = "UPDATE submit_limiter SET blocked_until_ms = 0 WHERE blocked_until_ms > 0"
WIDEN_LIMITER = f"""
    UPDATE submit_limiter SET blocked_until_ms = 0, rejections = 0,
        streak = min(streak + :words, {SUBMIT_STREAK_PER_SLOT * SUBMIT_WINDOW_MAX})
    WHERE streak < {SUBMIT_STREAK_PER_SLOT * SUBMIT_WINDOW_MAX} OR rejections > 0 OR blocked_until_ms > 0
"""
BLOCK_LIMITER = f"""
    UPDATE submit_limiter SET rejections = rejections + 1, streak = 0, blocked_until_ms = :now + CAST(
        :jitter * min({SUBMIT_BLOCK_MAX_MS}, {SUBMIT_BLOCK_FIRST_MS} << min(rejections, 10)) AS INTEGER)
"""
LIMITER_STATEMENTS = {
    LimiterSignal.ACCEPTED: WIDEN_LIMITER,
    LimiterSignal.REJECTED: BLOCK_LIMITER,
    LimiterSignal.FREED: OPEN_LIMITER,
}
# A poll is due at `next_poll_ms`; at `poll_deadline_ms` its delay has doubled. The earliest deadline goes
# first, so
# that a backlog of long waits holds up no short one. `+status`: the index of due times serves these.
DUE = "next_poll_ms <= :now AND +status IN ('QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')"
SELECT_DUE = f"SELECT seq FROM tasks WHERE {DUE} ORDER BY poll_deadline_ms LIMIT :limit"
IS_DUE = f"SELECT 1 FROM tasks WHERE {DUE} LIMIT 1"
MOST_URGENT = f"SELECT min(poll_deadline_ms) FROM tasks WHERE {DUE}"
NEXT_DUE = """
    SELECT next_poll_ms FROM tasks
    WHERE next_poll_ms IS NOT NULL AND +status IN ('QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')
    ORDER BY next_poll_ms LIMIT 1
"""
LEASE_DUE = f"""
    UPDATE tasks SET next_poll_ms = :lease_until WHERE seq IN ({SELECT_DUE}) RETURNING {TASK_COLUMNS}
"""
# A due time further away than any wait means that the clock stepped back.
PULL_DUE = "UPDATE tasks SET next_poll_ms = :now, poll_deadline_ms = :now WHERE next_poll_ms > :farthest"
RESCHEDULE = """
    UPDATE tasks SET next_poll_ms = :next_poll_ms, poll_deadline_ms = 2 * :next_poll_ms - :now,
        lost_since_ms = :lost_since_ms,
        hinted_task_id = CASE WHEN :drop_hint THEN NULL ELSE hinted_task_id END
    WHERE id = :id AND status IN ('QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')
"""
# A SUBMITTING row keeps the hint: it is looked at once its own answer is there, or lost.
HINT_FINISHED = f"""
    UPDATE tasks SET next_poll_ms = :now, poll_deadline_ms = :now,
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
