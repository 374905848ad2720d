"""The numbered schema changes; a file's `user_version` counts those it has."""

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
    """
    ALTER TABLE tasks RENAME COLUMN sealed_password TO encrypted_password;
    ALTER TABLE tasks RENAME COLUMN next_look_ms TO next_poll_ms;
    ALTER TABLE tasks RENAME COLUMN look_by_ms TO poll_deadline_ms;
    ALTER TABLE submit_gate RENAME TO submit_limiter;
    ALTER TABLE submit_limiter RENAME COLUMN refusals TO rejections;
    """,
)
