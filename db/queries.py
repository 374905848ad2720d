"""Every SQL statement, with named parameters; which status follows which is decided in `transitions.py`.

What PostgreSQL needs instead is in comments beside it: see `postgres_sql.py`.
"""

from functools import cache

from db.postgres_sql import FREE_ROWS, LOCKED
from models import Task

# In the order of Task's members, so that a row is decoded by place; the two are read where they are needed.
TASK_COLUMNS = ", ".join(name for name in Task._fields if name not in {"queue_position", "is_truncated"})
JSON_COLUMNS = frozenset(
    {"node_info", "run_options", "metadata", "result_data", "error", "node_errors", "cost", "progress"}
)
SETTABLE_COLUMNS = frozenset(TASK_COLUMNS.replace(",", "").split()) | {
    *("poll_deadline_ms", "run_seconds", "ended_ms", "worker"),
    *("coins_micros", "money_micros", "third_party_money_micros"),
}

# How many tasks start before this one: whole blocks of turns, then turns, then its own turn. A task over its
# user's limit also starts after those of the same user that came before it.
# PostgreSQL counts rows: counters would make all who submit wait for each other.
QUEUE_POSITION = """CASE WHEN status = 'PENDING' AND (hold IS NULL OR hold = 'user_limit') THEN 1
    /*sqlite*/
    + coalesce((SELECT sum(n) FROM queue_counts WHERE level = 0 AND bucket < turn / 512), 0)
    + coalesce((SELECT sum(n) FROM queue_counts WHERE level = 1 AND bucket >= turn / 512 * 512
        AND bucket < turn), 0)
    + (SELECT count(*) FROM tasks AS ahead WHERE ahead.status = 'PENDING' AND ahead.hold IS NULL
        AND ahead.turn = tasks.turn AND ahead.seq < tasks.seq)
    /*postgres
    + (SELECT count(*) FROM tasks AS ahead WHERE ahead.status = 'PENDING' AND ahead.hold IS NULL
        AND (ahead.turn, ahead.seq) < (tasks.turn, tasks.seq))
    */
    + CASE WHEN hold IS NULL THEN 0 ELSE (SELECT count(*) FROM tasks AS own WHERE own.status = 'PENDING'
        AND own.hold = 'user_limit' AND own.owner = tasks.owner AND own.turn < tasks.turn) END
    WHEN status = 'PENDING' THEN 1 END AS queue_position"""

# Part of a transaction that changes the task.
SELECT_TASK = f"SELECT {TASK_COLUMNS} FROM tasks WHERE id = :id /*postgres FOR UPDATE*/"
# An id of ours, RunningHub's, or the digits of `public_id` (as `seq`).
SELECT_TASKS = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE seq IN (
        SELECT seq FROM json_each(:refs) /*sqlite*/CROSS JOIN/*postgres JOIN*/ tasks ON tasks.id = value
        UNION ALL
        SELECT max(seq) FROM json_each(:refs) /*sqlite*/CROSS JOIN/*postgres JOIN*/ tasks
            ON runninghub_task_id = value GROUP BY value
        UNION ALL
        SELECT seq FROM json_each(:seqs) /*sqlite*/CROSS JOIN/*postgres JOIN*/ tasks
            ON tasks.seq = CAST(value AS BIGINT)
        UNION ALL
        SELECT seq FROM json_each(:refs) /*sqlite*/CROSS JOIN/*postgres JOIN*/ tasks ON imported_id = value
    )
"""
SELECT_BY_IDEMPOTENCY_KEY = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE idempotency_key = :key
"""
SELECT_BY_RUNNINGHUB_ID = f"""
    SELECT {TASK_COLUMNS}, {QUEUE_POSITION} FROM tasks WHERE runninghub_task_id = :runninghub_task_id
    ORDER BY seq DESC LIMIT 1
"""
# A run has one row: an imported row of it, which knows nothing but the id, gives way to the task's own.
SELECT_OTHER_OF_RUN = """
    SELECT id, coalesce(webapp_id, workflow_id, model_path) IS NULL AS is_import FROM tasks
    WHERE /*sqlite*/account IS :account/*postgres account IS NOT DISTINCT FROM :account*/
        AND runninghub_task_id = :runninghub_task_id AND is_duplicate = 0 AND id <> :id
"""
# Its end is forgotten first: a task's usage remains when it is deleted, and this run's is the other row's.
FORGET_END = "UPDATE tasks SET ended_ms = NULL WHERE id = :id"
DELETE_IMPORT = "DELETE FROM tasks WHERE id = :id"
SELECT_VERSIONS = """
    SELECT id, version FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))
"""
COUNT_BY_STATUS = "SELECT status, sum(n) FROM task_counts GROUP BY status"
COUNT_PENDING = "SELECT coalesce(sum(n), 0) FROM task_counts WHERE status = 'PENDING'"
HAS_CLAIMABLE = "SELECT 1 FROM tasks WHERE status = 'PENDING' AND hold IS NULL LIMIT 1"
SELECT_RUN_TIMES = """
    SELECT run_seconds FROM tasks
    WHERE coalesce(webapp_id, workflow_id, model_path) = :target AND run_seconds IS NOT NULL
    ORDER BY seq DESC LIMIT :limit
"""

# A task's turn is one after the later of the last turn that started and the last turn that its owner waits
# for: waiting tasks of several users then start in turns, and a single user's in the order they came.
# One that starts at once is stored as SUBMITTING: it never enters the indexes and counts of the queue.
INSERT_TASK = f"""
    INSERT INTO tasks (id, status, version, attempt, account, key_fingerprint, worker, submitting_ms,
        created_at, updated_at, kind, webapp_id, workflow_id, model_path, node_info, instance_type,
        run_options, encrypted_password, base_url, owner, metadata, webhook_url, webhook_format, rerun_of,
        deadline_ms, idempotency_key, request_digest, waiting_since_ms, turn)
    VALUES (:id, :status, :version, :attempt, :account, :key_fingerprint, :worker, :submitting_ms,
        :at, :at, :kind, :webapp_id, :workflow_id, :model_path, :node_info, :instance_type,
        :run_options, :encrypted_password, :base_url, :owner, :metadata, :webhook_url, :webhook_format,
        :rerun_of, :deadline_ms, :idempotency_key, :request_digest, :now,
        1 + /*sqlite*/max/*postgres greatest*/((SELECT turn FROM queue_turn),
            coalesce((SELECT max(turn) FROM tasks WHERE status = 'PENDING'
                AND /*sqlite*/owner IS :owner/*postgres coalesce(owner, '') = coalesce(:owner, '')*/), 0)))
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING {TASK_COLUMNS}
"""
IMPORT_TASK = f"""
    INSERT INTO tasks (id, status, created_at, updated_at, node_info, runninghub_task_id, account,
        key_fingerprint, attempt, accepted_ms, next_poll_ms, poll_deadline_ms)
    SELECT :id, 'QUEUED', :at, :at, '[]', :runninghub_task_id, :account, :key_fingerprint, 1,
        CAST(:now AS BIGINT), CAST(:now AS BIGINT), CAST(:now AS BIGINT)
    WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE runninghub_task_id = :runninghub_task_id)
    ON CONFLICT DO NOTHING
    RETURNING {TASK_COLUMNS}
"""
DELETE_TASK = "DELETE FROM tasks WHERE id = :id AND status IN ('SUCCESS', 'FAILED', 'CANCELLED') RETURNING id"
DELETE_OLD_TASKS = f"""
    DELETE FROM tasks WHERE seq IN (
        {FREE_ROWS}SELECT seq FROM tasks
        WHERE status IN ('SUCCESS', 'FAILED', 'CANCELLED') AND ended_ms < :before LIMIT :limit {LOCKED})
    RETURNING id
"""

SELECT_USED_WEBAPPS = """
    SELECT webapp_id, sum(tasks) AS tasks, max(last_seq) AS last_seq, max(last_used_at) AS last_used_at
    FROM used_webapps WHERE CAST(:owner AS TEXT) IS NULL OR owner = :owner
    GROUP BY webapp_id HAVING max(last_seq) < :before ORDER BY last_seq DESC LIMIT :limit
"""

# Claiming

SELECT_WAITING_TYPES = """
    SELECT instance_type FROM task_counts WHERE status = 'PENDING' GROUP BY instance_type HAVING sum(n) > 0
"""
SELECT_CANDIDATES = """
    SELECT seq, turn, base_url, instance_type, account FROM tasks
    WHERE status = 'PENDING' AND hold IS NULL
        AND /*sqlite*/base_url IS :base_url/*postgres coalesce(base_url, '') = coalesce(:base_url, '')*/
        AND coalesce(instance_type, 'default') = :instance_type
    ORDER BY turn, seq LIMIT :limit /*postgres FOR UPDATE SKIP LOCKED*/
"""
CLAIM_TASK = f"""
    UPDATE tasks SET status = 'SUBMITTING', version = version + 1, updated_at = :at, submitting_ms = :now,
        attempt = attempt + 1, account = :account, key_fingerprint = :key_fingerprint, worker = :worker
    WHERE seq = :seq AND status = 'PENDING' AND hold IS NULL
    RETURNING {TASK_COLUMNS}
"""
ADVANCE_TURN = "UPDATE queue_turn SET turn = :turn WHERE turn < :turn"
SELECT_COUNTS = """
    SELECT status, account, instance_type, sum(n) AS n FROM task_counts
    WHERE status IN ('SUBMITTING', 'QUEUED', 'RUNNING')
    GROUP BY status, account, instance_type HAVING sum(n) > 0
"""
COUNT_ACTIVE = """
    SELECT coalesce(sum(n), 0) FROM task_counts WHERE status IN ('SUBMITTING', 'QUEUED', 'RUNNING')
        AND account = :account AND instance_type = :instance_type
"""
SELECT_ACCOUNTS = "SELECT * FROM accounts"
SELECT_LIMITERS = "SELECT * FROM submit_limiters"
SELECT_ACCOUNT = "SELECT * FROM accounts WHERE name = :name"
SELECT_LIMITER = "SELECT * FROM submit_limiters WHERE account = :account AND instance_type = :instance_type"
UPSERT_ACCOUNT = """
    INSERT INTO accounts (name, state, message, since_ms, is_probe_needed, next_probe_ms, probes,
        paused_until_ms, failures, unknown_outcomes, failed_ms, concurrent_limit, running_elsewhere, coins,
        money, currency)
    VALUES (:name, :state, :message, :since_ms, :is_probe_needed, :next_probe_ms, :probes, :paused_until_ms,
        :failures, :unknown_outcomes, :failed_ms, :concurrent_limit, :running_elsewhere, :coins, :money,
        :currency)
    ON CONFLICT (name) DO UPDATE SET state = :state, message = :message, since_ms = :since_ms,
        is_probe_needed = :is_probe_needed, next_probe_ms = :next_probe_ms, probes = :probes,
        paused_until_ms = :paused_until_ms, failures = :failures, unknown_outcomes = :unknown_outcomes,
        failed_ms = :failed_ms, concurrent_limit = :concurrent_limit,
        running_elsewhere = :running_elsewhere, coins = :coins, money = :money, currency = :currency
"""
UPSERT_LIMITER = """
    INSERT INTO submit_limiters (account, instance_type, in_flight_max, slots, acceptances, rejections,
        blocked_until_ms, failed_ms)
    VALUES (:account, :instance_type, :in_flight_max, :slots, :acceptances, :rejections, :blocked_until_ms,
        :failed_ms)
    ON CONFLICT (account, instance_type) DO UPDATE SET in_flight_max = :in_flight_max, slots = :slots,
        acceptances = :acceptances, rejections = :rejections, blocked_until_ms = :blocked_until_ms,
        failed_ms = :failed_ms
"""
SELECT_STALE_SUBMITS = f"""
    SELECT {TASK_COLUMNS} FROM tasks WHERE status = 'SUBMITTING'
        AND /*sqlite*/worker IS NOT :worker/*postgres worker IS DISTINCT FROM :worker*/
        AND (:is_only_worker OR worker IS NULL OR NOT EXISTS (
            SELECT 1 FROM workers WHERE workers.id = tasks.worker AND workers.seen_ms >= :seen_after
                AND workers.seen_ms <= CAST(:now AS BIGINT) + 1000))
        AND (:is_only_worker OR submitting_ms < :seen_after OR submitting_ms > CAST(:now AS BIGINT) + 1000)
"""
SELECT_OWN_SUBMITS = f"SELECT {TASK_COLUMNS} FROM tasks WHERE status = 'SUBMITTING' AND worker = :worker"
WORKER_SEEN = """
    INSERT INTO workers VALUES (:worker, :now) ON CONFLICT (id) DO UPDATE SET seen_ms = :now
"""
DELETE_GONE_WORKERS = "DELETE FROM workers WHERE seen_ms < :before OR :is_only_worker"
SELECT_HELD = f"""
    SELECT {TASK_COLUMNS} FROM tasks WHERE status = 'PENDING' AND hold = :hold
    ORDER BY turn, seq LIMIT :limit
"""
ADD_STRAY_RUN = """
    INSERT INTO stray_runs VALUES (:account, :runninghub_task_id, :task_id, :now)
    ON CONFLICT (account, runninghub_task_id) DO NOTHING
"""
LEASE_STRAY_RUNS = f"""
    UPDATE stray_runs SET next_cancel_ms = :lease_until WHERE (account, runninghub_task_id) IN (
        {FREE_ROWS}SELECT account, runninghub_task_id FROM stray_runs WHERE next_cancel_ms <= :now
        LIMIT :limit {LOCKED})
    RETURNING account, runninghub_task_id, task_id
"""
HAS_STRAY_RUN = "SELECT 1 FROM stray_runs WHERE next_cancel_ms <= :now LIMIT 1"
DELETE_STRAY_RUN = """
    DELETE FROM stray_runs WHERE account = :account AND runninghub_task_id = :runninghub_task_id
"""
SET_FINGERPRINT = """
    UPDATE tasks SET key_fingerprint = :key_fingerprint
    WHERE account = :account AND key_fingerprint IS NULL
"""

# Polling. A poll is due at `next_poll_ms`; at `poll_deadline_ms` its delay has doubled. The earliest deadline
# goes first, so that a backlog of long delays holds up no short one. `+status`: the index of due times is u
IS_POLLED = "/*sqlite*/+/*postgres */status IN ('PENDING', 'QUEUED', 'RUNNING', 'SUBMIT_UNKNOWN')"
DUE = f"next_poll_ms <= :now AND {IS_POLLED}"
FIRST = f"ORDER BY poll_deadline_ms LIMIT :limit {LOCKED}"
SELECT_DUE = f"{FREE_ROWS}SELECT seq FROM tasks WHERE {DUE} {FIRST}"
SELECT_DUE_EXCEPT = f"""
    {FREE_ROWS}SELECT seq FROM tasks WHERE {DUE} AND account NOT IN (SELECT value FROM json_each(:accounts))
    {FIRST}
"""
SELECT_DUE_AT = f"""
    {FREE_ROWS}SELECT seq FROM tasks WHERE {DUE} AND account IN (SELECT value FROM json_each(:accounts))
    {FIRST}
"""
IS_DUE = f"SELECT 1 FROM tasks WHERE {DUE} LIMIT 1"
MOST_URGENT = f"SELECT min(poll_deadline_ms) AS poll_deadline_ms FROM tasks WHERE {DUE}"
NEXT_DUE = f"""
    SELECT next_poll_ms FROM tasks WHERE next_poll_ms IS NOT NULL AND {IS_POLLED}
    ORDER BY next_poll_ms LIMIT 1
"""
LEASE_DUE = f"""
    UPDATE tasks SET next_poll_ms = :lease_until WHERE seq IN ({{due}}) RETURNING {TASK_COLUMNS}
"""
# A due time further away than any delay means that the clock stepped back.
PULL_DUE = "UPDATE tasks SET next_poll_ms = :now, poll_deadline_ms = :now WHERE next_poll_ms > :farthest"
# The due time is set only where it is still the lease: a webhook may have made a poll due in the meantime.
RESCHEDULE = """
    UPDATE tasks SET next_poll_ms = :next_poll_ms, poll_deadline_ms = 2 * CAST(:next_poll_ms AS BIGINT) - :now
    WHERE id = :id AND next_poll_ms = :leased_until
"""
POLL_NOW = f"""
    UPDATE tasks SET next_poll_ms = :now, poll_deadline_ms = :now
    WHERE seq IN (
        {FREE_ROWS}SELECT seq FROM tasks WHERE account = :account AND status IN ('QUEUED', 'RUNNING')
        ORDER BY accepted_ms LIMIT :limit {LOCKED})
        AND next_poll_ms > :now AND next_poll_ms < :leased_from
"""
STOP_POLLING_MISSING = """
    UPDATE tasks SET next_poll_ms = NULL, poll_deadline_ms = NULL
    WHERE next_poll_ms IS NOT NULL AND account IS NOT NULL
        AND account NOT IN (SELECT value FROM json_each(:names))
        AND coalesce(key_fingerprint, '') NOT IN (SELECT value FROM json_each(:fingerprints))
"""
RESUME_POLLING = """
    UPDATE tasks SET next_poll_ms = :now, poll_deadline_ms = :now
    WHERE next_poll_ms IS NULL AND status IN ('QUEUED', 'RUNNING')
        AND (account IN (SELECT value FROM json_each(:names))
            OR key_fingerprint IN (SELECT value FROM json_each(:fingerprints)))
"""
SELECT_PAST_DEADLINE = """
    SELECT id FROM tasks WHERE deadline_ms <= :now AND deadline_ms IS NOT NULL
        AND status NOT IN ('SUCCESS', 'FAILED', 'CANCELLED') AND cancel_reason IS NULL LIMIT :limit
"""


STORE_PROGRESS = """
    UPDATE tasks SET progress = :progress, version = version + 1, updated_at = :at
    WHERE id = :id AND status = 'RUNNING' RETURNING id
"""


@cache
def update_task(columns: tuple[str, ...], *, is_public: bool) -> str:
    """An UPDATE of these columns, guarded by the status and attempt the change was decided from."""
    unknown = set(columns) - SETTABLE_COLUMNS
    if unknown:
        raise ValueError(f"no such columns: {unknown}")
    if is_public:
        columns = (*columns, "version", "updated_at")
    assignments = ", ".join(
        "version = version + 1" if name == "version" else f"{name} = :{name}" for name in columns
    )
    return f"""
        UPDATE tasks SET {assignments}
        WHERE id = :id AND status = :from_status AND attempt = :from_attempt
        RETURNING {TASK_COLUMNS}
    """


# Long values are read when it is known how many of them fit into the page.
VALUE_BYTES = (
    "/*sqlite*/length(CAST(node_info AS BLOB)) + coalesce(length(CAST(result_data AS BLOB)), 0)"
    "/*postgres octet_length(node_info) + coalesce(octet_length(result_data), 0)*/"
)
PAGE_COLUMNS = TASK_COLUMNS.replace(
    " node_info,", f" CASE WHEN {VALUE_BYTES} > :short THEN '[]' ELSE node_info END AS node_info,"
).replace(" result_data,", f" CASE WHEN {VALUE_BYTES} <= :short THEN result_data END AS result_data,") + (
    f", {QUEUE_POSITION}, {VALUE_BYTES} AS value_bytes, {VALUE_BYTES} > :short AS is_truncated"
)
SELECT_VALUES = """
    SELECT seq, node_info, result_data FROM tasks
    WHERE seq IN (SELECT CAST(value AS BIGINT) FROM json_each(:seqs))
"""


def select_page(*, filters: tuple[str, ...]) -> str:
    """A page of tasks, newest first; `filters` are names of `PAGE_FILTERS`."""
    before = CREATED_BEFORE_SEQ if "created_before" in filters else ":before"
    conditions = " AND ".join([f"seq < {before}", *(PAGE_FILTERS[name] for name in filters)])
    return f"""
        SELECT {PAGE_COLUMNS} FROM tasks WHERE {conditions}
        ORDER BY seq DESC LIMIT :limit
    """


PAGE_FILTERS = {
    "status": "status = :status",
    "webapp_id": "webapp_id = :webapp_id",
    "owner": "owner = :owner",
    # SQLite stores rows in the order of their times: the bounds of `seq` spare the rows outside. Where there
    # is no such row, no row of any `seq` is one.
    "created_after": """created_at >= :created_after /*sqlite*/AND seq >= coalesce((
        SELECT seq FROM tasks WHERE created_at >= :created_after ORDER BY created_at LIMIT 1), :before)
        /*postgres */""",
    "created_before": "created_at < :created_before",
}
# One bound for both: of two, SQLite would look up the one and compare every row with the other.
CREATED_BEFORE_SEQ = """/*sqlite*/min(:before, 1 + coalesce((
    SELECT seq FROM tasks WHERE created_at < :created_before ORDER BY created_at DESC LIMIT 1), 0))
    /*postgres :before*/"""
